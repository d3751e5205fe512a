//! Counters in queries: those that `select counter(..)` shows, and those that `include counters(..)` sends along.

use crate::error::QueryError;
use crate::execute::Budget;
use crate::include::IncludePath;
use crate::load::Loaded;
use crate::source::Source;
use crate::term::{Subject, fold};
use magpie_store::json::{Json, Object};
use std::collections::HashMap;

/// A counter that `select` shows.
#[derive(Debug, Clone)]
pub(crate) struct CounterField {
    /// The loaded document that has it; `None` for the row's own.
    pub(crate) of: Option<String>,
    /// Its name.
    pub(crate) name: String,
}

impl CounterField {
    /// Its value for a row, null where there is no such document or counter.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn value(
        &self,
        own: Option<&str>,
        loaded: &Loaded,
        source: &dyn Source,
    ) -> Result<Json, QueryError> {
        let id = match &self.of {
            None => own,
            Some(alias) => loaded.iter().find(|(name, _)| name == alias).and_then(|(_, document)| {
                document.get("@metadata").and_then(|metadata| metadata.get("@id")).and_then(Json::as_str)
            }),
        };
        let found = id.map(|id| source.counter(id, &self.name)).transpose()?.flatten();
        Ok(found.into())
    }
}

/// One `include counters(..)`.
#[derive(Debug, Clone)]
pub(crate) struct CounterInclude {
    /// Where a row has the id of the document; `None` for the row's own.
    pub(crate) of: Option<IncludePath>,
    /// The names; `None` for all counters.
    pub(crate) names: Option<Vec<String>>,
}

/// The counters of a document that come along.
#[derive(Debug, Default)]
struct Wanted {
    id: String,
    names: Vec<String>,
    all: bool,
}

/// The counters that the rows met so far want to be sent along.
#[derive(Debug, Default)]
pub(crate) struct WantedCounters {
    documents: Vec<Wanted>,
    /// Their places by lower-cased id.
    places: HashMap<String, usize>,
    bytes: usize,
}

/// Included counters as the answer has them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CounterIncludes {
    /// For each document, by id: `{"DocumentId","CounterName","TotalValue"}` for each counter, null for one that is not
    /// there.
    pub counters: Object,
    /// For each document, by id: the names that were asked for; none where all were.
    pub names: Object,
}

impl WantedCounters {
    /// Collects what a row wants.
    pub(crate) fn collect(&mut self, includes: &[CounterInclude], own: Option<&str>, row: &Subject<'_>) {
        for include in includes {
            match &include.of {
                None => own.into_iter().for_each(|id| self.add(id, include.names.as_deref())),
                Some(path) => path.ids(row, &mut |id| self.add(id, include.names.as_deref())),
            }
        }
    }

    fn add(&mut self, id: &str, names: Option<&[String]>) {
        let key = fold(id).into_owned();
        let place = *self.places.entry(key).or_insert(self.documents.len());
        if place == self.documents.len() {
            self.bytes += 3 * id.len() + 128;
            self.documents.push(Wanted { id: id.to_owned(), ..Wanted::default() });
        }
        let Some(wanted) = self.documents.get_mut(place) else { return };
        wanted.all |= names.is_none();
        for name in names.unwrap_or_default() {
            if !wanted.names.contains(name) {
                self.bytes += name.len() + 32;
                wanted.names.push(name.clone());
            }
        }
    }

    /// About how many bytes it holds.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Reads the counters.
    ///
    /// # Errors
    /// When the store cannot be read, or the answer grows beyond its budget.
    pub(crate) fn load(
        self,
        source: &dyn Source,
        budget: &mut Budget,
    ) -> Result<CounterIncludes, QueryError> {
        let (mut counters, mut names) = (Vec::new(), Vec::new());
        for Wanted { id, names: wanted, all } in self.documents {
            let found: Vec<Option<(String, i64)>> = if all {
                source.counters(&id)?.into_iter().map(Some).collect()
            } else {
                let one = |name: &String| Ok(source.counter(&id, name)?.map(|value| (name.clone(), value)));
                wanted.iter().map(one).collect::<Result<_, QueryError>>()?
            };
            let mut items = Vec::with_capacity(found.len());
            for counter in found {
                budget.take(counter.as_ref().map_or(4, |(name, _)| 2 * name.len() + id.len() + 80))?;
                items.push(counter.map_or(Json::Null, |(name, value)| item(&id, name, value)));
            }
            let asked = if all { Vec::new() } else { wanted.into_iter().map(Json::from).collect() };
            budget.take(2 * id.len() + 16)?;
            counters.push((id.clone(), Json::Array(items)));
            names.push((id, Json::Array(asked)));
        }
        let names = Object::from_distinct(names);
        Ok(CounterIncludes { counters: Object::from_distinct(counters), names })
    }
}

fn item(id: &str, name: String, value: i64) -> Json {
    let item = [("DocumentId", Json::from(id)), ("CounterName", name.into()), ("TotalValue", value.into())];
    Json::Object(Object::from_iter(item))
}
