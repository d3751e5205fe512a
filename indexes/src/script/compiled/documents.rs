//! What goes in and what comes out: documents and groups as values, outputs as JSON with their reduce keys.

use super::machine::{Machine, Mapped};
use super::output::Missing;
use super::program::{FunctionId, MapFunction};
use super::record::Record;
use super::text::Text;
use super::value::{Bound, Outcome, Stop, Value, hand_over, same};
use crate::function::{Emitted, StoredReduced};
use crate::limits::EMITS_PER_DOCUMENT_MAX;
use crate::script::boa::document_metadata;
use crate::script::dialect::GroupBy;
use magpie_store::Document;
use magpie_store::json::{Json, Object};

/// The name of the metadata in a document.
const METADATA: &str = "@metadata";

/// Where the outputs of a map go.
pub(super) trait Sink<'a>: Default {
    /// How many it has.
    fn count(&self) -> usize;
    /// Takes one more.
    fn take(&mut self, machine: &mut Machine<'a>, record: &'a Record<'a>) -> Outcome<'a, ()>;
}

impl<'a> Sink<'a> for Vec<Emitted> {
    fn count(&self) -> usize {
        self.len()
    }

    fn take(&mut self, machine: &mut Machine<'a>, record: &'a Record<'a>) -> Outcome<'a, ()> {
        let (value, undefined) = machine.output(record, Missing::LeftOut)?;
        let key = machine.reduce_key(&value, &undefined)?;
        self.push(Emitted { key, value: Json::Object(value) });
        Ok(())
    }
}

impl<'a> Machine<'a> {
    /// Maps a document by all maps of its collection.
    pub fn map<S: Sink<'a>>(&mut self, document: &'a Document) -> Outcome<'a, S> {
        let mut emitted = S::default();
        let collection = document.collection.key();
        for (number, map) in self.program.maps.iter().enumerate() {
            if map.collection.as_deref().is_none_or(|wanted| wanted == collection) {
                let result = self.map_by(number, map, document)?;
                self.emit(result, &mut emitted)?;
            }
        }
        Ok(emitted)
    }

    fn map_by(&mut self, number: usize, map: &'a MapFunction, document: &'a Document) -> Outcome<'a> {
        let mut argument = Value::Undefined;
        self.begin_map(document);
        match &map.fields {
            Some(names) => self.begin_fields(number, names, &document.body)?,
            None => {
                let (record, metadata) = self.whole_document(document)?;
                argument = Value::Record(record);
                self.mapped = Some(Mapped { document, record: Some(record), metadata: Some(metadata) });
            }
        }
        self.call_registered(map.function, argument)
    }

    /// A document as an object with its metadata, and the metadata.
    pub fn whole_document(&mut self, document: &'a Document) -> Outcome<'a, (&'a Record<'a>, Value<'a>)> {
        let body = self.cooked(Value::RawRecord(&document.body))?;
        let Value::Record(record) = body else { return hand_over(&"damaged JSON text") };
        let metadata = self.metadata_of_document(document)?;
        self.define(record, METADATA, metadata)?;
        Ok((record, metadata))
    }

    fn metadata_of_document(&mut self, document: &Document) -> Outcome<'a> {
        let text = Json::Object(document_metadata(document)).to_string();
        let text = self.stored(&text)?;
        self.cooked(Value::RawRecord(text))
    }

    fn call_registered(&mut self, function: FunctionId, argument: Value<'a>) -> Outcome<'a> {
        match self.program.function(function) {
            Some(code) => self.invoke(code, &[], &[argument]),
            None => hand_over(&"a function that is not there"),
        }
    }

    /// The id of the document being mapped.
    pub fn document_id(&mut self) -> Outcome<'a> {
        match &self.mapped {
            Some(mapped) => Ok(Text::of(mapped.document.id.as_str()).into()),
            None => hand_over(&"the id of no document"),
        }
    }

    /// The metadata of the document being mapped.
    pub fn document_metadata(&mut self) -> Outcome<'a> {
        let Some(mapped) = &self.mapped else { return hand_over(&"the metadata of no document") };
        if let Some(metadata) = mapped.metadata {
            return Ok(metadata);
        }
        let document = mapped.document;
        let metadata = self.metadata_of_document(document)?;
        if let Some(mapped) = &mut self.mapped {
            mapped.metadata = Some(metadata);
        }
        Ok(metadata)
    }

    /// Whether an object is the document being mapped.
    pub fn is_mapped(&self, record: &Record<'a>) -> bool {
        self.mapped.as_ref().and_then(|mapped| mapped.record).is_some_and(|mapped| same(mapped, record))
    }

    /// An array gives one output per element, an object gives one, anything else none.
    fn emit(&mut self, result: Value<'a>, emitted: &mut impl Sink<'a>) -> Outcome<'a, ()> {
        match result {
            Value::Record(record) => self.emit_one(record, emitted),
            Value::List(list) => {
                for value in self.elements(list)? {
                    match value {
                        Value::Record(record) => self.emit_one(record, emitted)?,
                        value if value.is_object() => return hand_over(&"an output that is no plain object"),
                        _ => {}
                    }
                }
                Ok(())
            }
            value if value.is_object() => hand_over(&"an output that is no plain object"),
            _ => Ok(()),
        }
    }

    fn emit_one(&mut self, record: &'a Record<'a>, emitted: &mut impl Sink<'a>) -> Outcome<'a, ()> {
        if emitted.count() >= EMITS_PER_DOCUMENT_MAX {
            return Err(Stop::Bound(Bound::Outputs));
        }
        let record = match self.boosted(record)? {
            Some(Value::Record(inner)) => inner,
            Some(value) if value.is_object() => return hand_over(&"boost() of what is no plain object"),
            _ => record,
        };
        emitted.take(self, record)
    }

    /// The values of the group-by fields in a map output. A property that is there but undefined counts as null.
    pub fn reduce_key(&self, value: &Object, undefined: &[String]) -> Outcome<'a, Vec<Json>> {
        let Some(group_by) = &self.program.group_by else { return Ok(Vec::new()) };
        let mut key = Vec::with_capacity(group_by.fields.len());
        for field in &group_by.fields {
            let Some((first, rest)) = field.path.split_first() else { continue };
            match value.get(first) {
                Some(found) => {
                    let nested = rest.iter().try_fold(found, |at, name| at.get(name));
                    key.push(nested.cloned().unwrap_or_default());
                }
                None if undefined.contains(first) => key.push(Json::Null),
                None => return hand_over(&"an output without a field of the key"),
            }
        }
        Ok(key)
    }

    /// Reduces values of one key.
    pub fn reduce(&mut self, key: &'a [Json], values: &'a [Json]) -> Outcome<'a, Json> {
        let record = self.reduced(key, values.len(), values.iter().map(Value::Json))?;
        Ok(Json::Object(self.output(record, Missing::Null)?.0))
    }

    /// Reduces stored values of one key.
    pub fn reduce_stored(&mut self, key: &'a [Json], values: &'a [&'a [u8]]) -> Outcome<'a, StoredReduced> {
        let mut texts = Vec::with_capacity(values.len());
        for value in values {
            match std::str::from_utf8(value) {
                Ok(text) => texts.push(Value::RawRecord(text)),
                Err(_) => return hand_over(&"damaged JSON text"),
            }
        }
        let record = self.reduced(key, values.len(), texts.into_iter())?;
        self.stored_reduced(record, key)
    }

    /// The key of a group with several fields.
    fn group_key(&mut self, group_by: &'a GroupBy, key: &'a [Json]) -> Outcome<'a, &'a Record<'a>> {
        match self.realm.key {
            Some(shape) if key.len() == group_by.fields.len() => {
                let slots = self.slots(key.len(), Value::Undefined)?;
                for (slot, value) in slots.iter().zip(key) {
                    slot.set(Value::Json(value));
                }
                self.shaped(shape, slots)
            }
            _ => {
                let record = self.record()?;
                for (field, value) in group_by.fields.iter().zip(key) {
                    self.define(record, &field.key, Value::Json(value))?;
                }
                Ok(record)
            }
        }
    }

    fn reduced(
        &mut self,
        key: &'a [Json],
        count: usize,
        values: impl Iterator<Item = Value<'a>>,
    ) -> Outcome<'a, &'a Record<'a>> {
        let (Some(reduce), Some(group_by)) = (self.program.reduce, &self.program.group_by) else {
            return hand_over(&"an index without a reduce");
        };
        let key = if group_by.single {
            match key.first() {
                Some(value) => self.cooked(Value::Json(value))?,
                None => Value::Null,
            }
        } else {
            Value::Record(self.group_key(group_by, key)?)
        };
        let slots = self.slots(count, Value::Undefined)?;
        for (slot, value) in slots.iter().zip(values) {
            slot.set(value);
        }
        let list = self.list_of(slots)?;
        let parts = self.slots(2, key)?;
        if let Some(values) = parts.get(1) {
            values.set(Value::List(list));
        }
        let Some(shape) = self.realm.group else { return hand_over(&"a group without a shape") };
        let group = self.shaped(shape, parts)?;
        match self.call_registered(reduce, Value::Record(group))? {
            Value::Record(record) => Ok(record),
            _ => hand_over(&"a reduce result that is no plain object"),
        }
    }

    /// Makes a result of a reduced value; `None` when the key shall have none.
    pub fn finalize(&mut self, reduced: &'a Json) -> Outcome<'a, Option<Json>> {
        let Some(finalize) = self.program.finalize else { return hand_over(&"an index without a finalize") };
        let argument = self.cooked(Value::Json(reduced))?;
        match self.call_registered(finalize, argument)? {
            Value::Undefined | Value::Null => Ok(None),
            Value::Record(record) => Ok(Some(Json::Object(self.output(record, Missing::Null)?.0))),
            _ => hand_over(&"a finalize result that is no plain object"),
        }
    }
}
