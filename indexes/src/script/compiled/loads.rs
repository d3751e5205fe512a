//! `load(id, collection)`: other documents for maps, in the same rounds as the engine's.
//!
//! A document that is not fetched yet is noted and reads as null. Behind the round the noted ones are fetched and the map
//! runs again, until nothing is missing; what the rounds before the last gave does not count. A call that breaks a bound
//! of loading is the engine's, which has the words for it.

use super::machine::{Machine, Mapped};
use super::text::Text;
use super::value::{Outcome, Value, hand_over, type_error};
use crate::function::Loads;
use crate::limits::{LOADED_BYTES_MAX, LOADS_PER_DOCUMENT_MAX};
use magpie_store::{Collection, Document, DocumentId};
use std::collections::HashMap;
use std::sync::Arc;

/// Bytes of a loaded document that cost one step.
const BYTES_PER_STEP: usize = 64;
/// A collection of this name is any.
const ANY: &str = "@all_docs";

/// A document that a script asks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Wanted {
    id: DocumentId,
    /// The collection it must be in; `None` for any.
    collection: Option<Collection>,
}

/// The documents that the rounds of a map have fetched.
#[derive(Debug, Default)]
pub(super) struct Fetched {
    documents: HashMap<Wanted, Option<Arc<Document>>>,
    bytes: usize,
}

impl Fetched {
    /// Fetches what a round missed; false when the documents are too large together.
    pub fn add(&mut self, missing: Vec<Wanted>, loads: &mut dyn Loads) -> bool {
        for wanted in missing {
            let found = loads.load(wanted.id.as_str(), wanted.collection.as_ref(), false);
            self.bytes += found.as_ref().map_or(0, |document| document.body.len() + document.metadata.len());
            self.documents.insert(wanted, found);
            if self.bytes > LOADED_BYTES_MAX {
                return false;
            }
        }
        true
    }
}

/// What one round asked for.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// What it did not get.
    pub missing: Vec<Wanted>,
    /// Everything, in order, and whether with tracking.
    asked: Vec<(Wanted, bool)>,
    /// Whether it asked for too many.
    pub too_many: bool,
}

impl Round {
    /// Tells the loads what the document depends on.
    pub fn track(&self, loads: &mut dyn Loads) {
        for (wanted, _) in self.asked.iter().filter(|(_, tracked)| *tracked) {
            loads.load(wanted.id.as_str(), wanted.collection.as_ref(), true);
        }
    }
}

/// The loading of a running map.
pub(super) struct Loading<'a> {
    fetched: &'a Fetched,
    places: HashMap<Wanted, usize>,
    /// The objects that the running function has already, by the place of what they were asked for.
    objects: HashMap<usize, Value<'a>>,
    /// What this round asks for.
    pub round: Round,
}

impl<'a> Loading<'a> {
    /// Begins a round.
    pub fn new(fetched: &'a Fetched) -> Self {
        Self { fetched, places: HashMap::new(), objects: HashMap::new(), round: Round::default() }
    }

    /// Forgets the objects: a map function must not see what another one wrote into them.
    pub fn forget_objects(&mut self) {
        self.objects.clear();
    }

    /// The place of what is asked for, and whether it is asked for the first time.
    fn ask(&mut self, wanted: &Wanted, tracked: bool) -> Option<(usize, bool)> {
        if let Some(place) = self.places.get(wanted).copied() {
            if let Some((_, before)) = self.round.asked.get_mut(place) {
                *before |= tracked;
            }
            return Some((place, false));
        }
        let place = self.round.asked.len();
        if place >= LOADS_PER_DOCUMENT_MAX {
            self.round.too_many = true;
            return None;
        }
        self.round.asked.push((wanted.clone(), tracked));
        self.places.insert(wanted.clone(), place);
        Some((place, true))
    }
}

impl<'a> Machine<'a> {
    /// `load(ids, collection)`
    pub fn load(&mut self, arguments: &[Value<'a>], tracked: bool) -> Outcome<'a> {
        let [ids, collection] = arguments else { return type_error() };
        let Some(name) = self.text(*collection)?.and_then(Text::as_str) else { return type_error() };
        let collection = match Collection::new(name) {
            _ if name == ANY => None,
            Ok(collection) => Some(collection),
            Err(_) => return type_error(),
        };
        let Value::List(list) = ids else { return self.load_one(*ids, collection.as_ref(), tracked) };
        self.charge_length(list.len())?;
        let mut answers = Vec::with_capacity(list.len());
        for id in self.elements(list)? {
            answers.push(self.load_one(id, collection.as_ref(), tracked)?);
        }
        self.list_of_values(&answers)
    }

    fn load_one(&mut self, id: Value<'a>, collection: Option<&Collection>, tracked: bool) -> Outcome<'a> {
        if id.is_nullish() {
            return Ok(Value::Null);
        }
        let text = match self.text(id)? {
            Some(Text::Units(_)) => return hand_over(&"an id with half a surrogate pair"),
            text => text.and_then(Text::as_str),
        };
        let Some(text) = text else { return type_error() };
        // Text that cannot be an id is the id of nothing, and never will be.
        let Ok(id) = DocumentId::new(text) else { return Ok(Value::Null) };
        self.charge(1)?;
        let wanted = Wanted { id, collection: collection.cloned() };
        let Some(loading) = &mut self.loading else { return hand_over(&"a load outside of a map") };
        let Some((place, first)) = loading.ask(&wanted, tracked) else {
            return hand_over(&"a map with too many loads");
        };
        if let Some(object) = loading.objects.get(&place) {
            return Ok(*object);
        }
        let fetched = loading.fetched;
        let document = match fetched.documents.get(&wanted) {
            Some(Some(document)) => document,
            Some(None) => return Ok(Value::Null),
            None => {
                if first {
                    loading.round.missing.push(wanted);
                }
                return Ok(Value::Null);
            }
        };
        self.charge((document.body.len() / BYTES_PER_STEP) as u64)?;
        let (record, _) = self.whole_document(document)?;
        if let Some(loading) = &mut self.loading {
            loading.objects.insert(place, Value::Record(record));
        }
        Ok(Value::Record(record))
    }

    /// Begins a map function on a document.
    pub fn begin_map(&mut self, document: &'a Document) {
        self.mapped = Some(Mapped { document, record: None, metadata: None });
        if let Some(loading) = &mut self.loading {
            loading.forget_objects();
        }
    }
}
