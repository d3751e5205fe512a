//! What is gathered of the rows while they are given: documents, counters and compare-exchange values to send along, explanations,
//! marked pieces of texts.

use super::row::Shaped;
use super::{Answer, Budget};
use crate::counters::WantedCounters;
use crate::error::QueryError;
use crate::highlight::Highlightings;
use crate::include::Included;
use crate::plan::Plan;
use crate::projection;
use crate::source::Source;
use crate::term::fold;
use magpie_store::json::{Json, Object};
use std::collections::HashSet;

/// What was gathered so far.
pub(super) struct Gathered {
    included: Included,
    exchanged: Included,
    counters: WantedCounters,
    /// What scripts include comes along even when it is a row, as in the original.
    by_script: Included,
    /// The ids of rows that are whole documents, in lower case.
    row_ids: HashSet<String>,
    explanations: Vec<(String, Json)>,
    highlightings: Highlightings,
    /// What explanations and pieces take.
    told: Budget,
}

impl Gathered {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            included: Included::default(),
            exchanged: Included::default(),
            counters: WantedCounters::default(),
            by_script: Included::default(),
            row_ids: HashSet::new(),
            explanations: Vec::new(),
            highlightings: Highlightings::new(&plan.highlights),
            told: Budget::answer(),
        }
    }

    /// Gathers of one row.
    ///
    /// # Errors
    /// When it is more than an answer may hold.
    pub(super) fn take(&mut self, plan: &Plan, shaped: &mut Shaped) -> Result<(), QueryError> {
        if !plan.include.is_empty() {
            self.included.collect(&plan.include, &shaped.subject());
            self.row_ids.extend(shaped.whole_id().map(|id| fold(id).into_owned()));
        }
        if !plan.exchanges.is_empty() {
            self.exchanged.collect_keys(&plan.exchanges, &shaped.subject());
        }
        if !plan.counter_includes.is_empty() {
            self.counters.collect(&plan.counter_includes, shaped.id(), &shaped.subject());
            Budget::sorted().take(self.counters.bytes())?;
        }
        if let Some(script) = &plan.script {
            let told = script.take_included();
            told.ids.iter().for_each(|id| self.by_script.add(id));
            told.keys.iter().for_each(|key| self.exchanged.add(key));
        }
        Budget::sorted().take(self.included.bytes() + self.by_script.bytes() + self.exchanged.bytes())?;
        if let (Some(reasons), Some(id)) = (&shaped.told.reasons, shaped.id()) {
            self.told.take(reasons.len() + id.len() + 64)?;
            self.explanations.push((id.to_owned(), Json::Array(vec![Json::from(reasons.as_str())])));
        }
        for (item, name, pieces) in std::mem::take(&mut shaped.told.pieces) {
            self.told.take(pieces.iter().map(String::len).sum::<usize>() + 2 * name.len() + 64)?;
            self.highlightings.add(item, name, pieces);
        }
        Ok(())
    }

    /// Puts into the answer what needs no reading; gives what does.
    pub(super) fn finish(mut self, plan: &Plan, answer: &mut Answer) -> ToInclude {
        if !plan.highlights.is_empty() {
            answer.highlightings = Some(self.highlightings.into_json());
        }
        if plan.explained.is_some() {
            answer.explanations = Some(self.explanations.into_iter().collect());
        }
        self.by_script.add_all(self.included.ids(&self.row_ids));
        ToInclude {
            documents: self.by_script.all().to_vec(),
            exchanges: self.exchanged.all().to_vec(),
            counters: self.counters,
        }
    }
}

/// What the rows point to.
#[derive(Default)]
pub(super) struct ToInclude {
    /// Ids of documents.
    documents: Vec<String>,
    /// Keys of compare-exchange values.
    exchanges: Vec<String>,
    counters: WantedCounters,
}

impl ToInclude {
    /// Adds it to the answer.
    ///
    /// # Errors
    /// When the store cannot be read, or it is more than an answer may hold.
    pub(super) fn load(
        self,
        source: &dyn Source,
        budget: &mut Budget,
        answer: &mut Answer,
    ) -> Result<(), QueryError> {
        answer.includes = includes(source, &self.documents, budget)?;
        if answer.counters.is_some() {
            answer.counters = Some(self.counters.load(source, budget)?);
        }
        if self.exchanges.is_empty() {
            return Ok(());
        }
        let mut values = Vec::with_capacity(self.exchanges.len());
        for key in self.exchanges {
            let found = source.compare_exchange(&key)?;
            let (value, index) = match found {
                Some((value, index)) => (value, Json::from(index)),
                None => (Json::Null, Json::from(-1_i64)),
            };
            budget.take(projection::bytes(&value) + 2 * key.len())?;
            let item =
                Object::from_iter([("Key", Json::from(key.as_str())), ("Index", index), ("Value", value)]);
            values.push((key, Json::Object(item)));
        }
        answer.exchanges = Some(Object::from_distinct(values));
        Ok(())
    }
}

/// Loads the included documents; ids without a document are left out.
fn includes(source: &dyn Source, ids: &[String], budget: &mut Budget) -> Result<Object, QueryError> {
    let mut documents = Vec::new();
    for id in ids {
        if let Some(document) = source.document(id)? {
            budget.take(document.body.len() + document.metadata.len())?;
            documents.push((document.id.as_str().to_owned(), document.wire_json(source.database_id())));
        }
    }
    Ok(Object::from_distinct(documents))
}
