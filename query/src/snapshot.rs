//! [`Source`] over a real database: a view of the store and the indexes as they are in that view.

use crate::auto_index::{AutoFields, GroupFields};
use crate::auto_read::{self, IndexedGroups, SourceAuto};
use crate::error::QueryError;
use crate::execute::fingerprint;
use crate::limits;
use crate::source::{
    Documents, Entries, IndexRow, IndexRows, KeyRange, PlacedRow, ReducedResult, ReducedResults, ResultTexts,
    Results, RowsInOrder, Source, SourceCollection, SourceIndex,
};
use magpie_indexes::auto::AutoDefinition;
use magpie_indexes::definition::FieldIndexing;
use magpie_indexes::faults::describe_key;
use magpie_indexes::key_filter::KeyFilter;
use magpie_indexes::progress::Progress;
use magpie_indexes::terms::{Need, TermField, TermSpan, in_entries};
use magpie_indexes::{CallError, Index, IndexStatus, Registry};
use magpie_store::json::{Json, Object, has_script_numbers, parse_stored};
use magpie_store::{Collection, CollectionFilter, DatabaseView, Document, DocumentId, Etag};
use memchr::memchr_iter;
use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What queries read of one database: everything comes from `view`, so one answer shows one state.
#[derive(Clone, Copy)]
pub struct Snapshot<'a> {
    view: &'a DatabaseView<'a>,
    registry: &'a Registry,
}

impl<'a> Snapshot<'a> {
    /// The state that `view` shows.
    #[must_use]
    pub fn new(view: &'a DatabaseView<'a>, registry: &'a Registry) -> Self {
        Self { view, registry }
    }
}

/// The filter for a collection; `None` when no document can have a collection of that name.
fn filter(collection: SourceCollection<'_>) -> Option<CollectionFilter> {
    match collection {
        SourceCollection::All => Some(CollectionFilter::All),
        SourceCollection::Named(name) if name.eq_ignore_ascii_case(Collection::EMPTY) => {
            Some(CollectionFilter::Named(vec![Collection::empty()]))
        }
        SourceCollection::Named(name) => {
            Collection::new(name).ok().map(|collection| CollectionFilter::Named(vec![collection]))
        }
    }
}

impl Source for Snapshot<'_> {
    fn database_id(&self) -> &str {
        self.view.database_id()
    }

    fn last_etag(&self) -> Etag {
        self.view.last_etag()
    }

    fn documents(&self, collection: SourceCollection<'_>) -> Result<Documents<'_>, QueryError> {
        let Some(filter) = filter(collection) else { return Ok(Box::new(std::iter::empty())) };
        let documents = self.view.documents_in_etag_order(&filter, Etag(0))?;
        Ok(Box::new(documents.map(|document| document.map_err(QueryError::from))))
    }

    fn documents_by_prefix(&self, prefix: &str) -> Result<Documents<'_>, QueryError> {
        let documents = self.view.documents_by_prefix(prefix, None)?;
        Ok(Box::new(documents.map(|document| document.map_err(QueryError::from))))
    }

    fn document(&self, id: &str) -> Result<Option<Document>, QueryError> {
        match DocumentId::new(id) {
            Ok(id) => Ok(self.view.document(&id)?),
            Err(_) => Ok(None),
        }
    }

    fn compare_exchange(&self, key: &str) -> Result<Option<(Json, u64)>, QueryError> {
        Ok(self.view.compare_exchange(key)?.map(|found| (found.value, found.index)))
    }

    fn counter(&self, id: &str, name: &str) -> Result<Option<i64>, QueryError> {
        match DocumentId::new(id) {
            Ok(id) => Ok(self.view.counter(&id, name)?.map(|counter| counter.value)),
            Err(_) => Ok(None),
        }
    }

    fn counters(&self, id: &str) -> Result<Vec<(String, i64)>, QueryError> {
        let Ok(id) = DocumentId::new(id) else { return Ok(Vec::new()) };
        Ok(self.view.counters(&id)?.into_iter().map(|counter| (counter.name, counter.value)).collect())
    }

    fn last_compare_exchange(&self) -> Result<u64, QueryError> {
        Ok(self.view.last_compare_exchange()?)
    }

    fn document_count(&self, collection: SourceCollection<'_>) -> Result<Option<u64>, QueryError> {
        let wanted = match filter(collection) {
            Some(CollectionFilter::Named(names)) => names,
            Some(CollectionFilter::All) => Vec::new(),
            None => return Ok(Some(0)),
        };
        let mut count = 0;
        for found in self.view.collections()? {
            let fits = if wanted.is_empty() {
                found.collection.key() != "@hilo"
            } else {
                wanted.contains(&found.collection)
            };
            count += if fits { found.documents } else { 0 };
        }
        Ok(Some(count))
    }

    fn index(&self, name: &str) -> Result<Option<Box<dyn SourceIndex + '_>>, QueryError> {
        let Some(index) = self.registry.get_in(self.view, name)? else { return Ok(None) };
        let progress = index.progress_in(self.view)?;
        if let IndexStatus::Failed(reason) = index.status_at(self.view, &progress)? {
            return Err(QueryError::IndexFailed { name: index.name(), reason });
        }
        Ok(Some(Box::new(SnapshotIndex {
            index,
            progress,
            registry: self.registry,
            view: self.view,
            called: Cell::default(),
        })))
    }

    fn auto_index_name(&self, collection: &str, fields: &AutoFields, terms: &[TermField]) -> String {
        let is_small = auto_read::is_small(self, collection).unwrap_or(true);
        let terms = if is_small { Vec::new() } else { in_entries(terms) };
        self.registry.auto_index(&auto_read::definition(collection, fields), &terms).name
    }

    fn auto_index(
        &self,
        collection: &str,
        fields: &AutoFields,
        terms: &[TermField],
    ) -> Result<Option<Box<dyn SourceAuto + '_>>, QueryError> {
        if auto_read::is_small(self, collection)? {
            return Ok(None);
        }
        let indexes = self.registry.auto_index_in(self.view, &auto_read::definition(collection, fields))?;
        auto_read::open(self.view, &indexes, terms)
    }

    fn auto_groups(&self, collection: &str, fields: GroupFields) -> (String, GroupFields) {
        let found = self.registry.auto_index(&AutoDefinition::groups(collection, fields), &[]);
        (found.name, found.auto.groups.unwrap_or_default())
    }

    fn groups(
        &self,
        collection: &str,
        fields: &GroupFields,
    ) -> Result<Option<IndexedGroups<'_>>, QueryError> {
        if auto_read::is_small(self, collection)? {
            return Ok(None);
        }
        let auto = AutoDefinition::groups(collection, fields.clone());
        auto_read::groups(self.view, &self.registry.auto_index_in(self.view, &auto)?)
    }
}

struct SnapshotIndex<'a> {
    index: Arc<Index>,
    progress: Progress,
    registry: &'a Registry,
    view: &'a DatabaseView<'a>,
    /// How long the calls of the index's functions took so far.
    called: Cell<Duration>,
}

impl SnapshotIndex<'_> {
    /// Refuses to fold over keys that fail: a sum without them would be wrong.
    fn check_keys(&self) -> Result<(), QueryError> {
        match self.progress.failing_keys {
            0 => Ok(()),
            count => Err(QueryError::KeysFail { index: self.index.name(), count }),
        }
    }

    /// Makes one call of a function of the index, within the time that all calls of a query have together.
    fn call<T>(
        &self,
        function: &'static str,
        key: &[Json],
        call: impl FnOnce() -> Result<T, CallError>,
    ) -> Result<T, QueryError> {
        if self.called.get() >= Duration::from_millis(limits::REDUCE_MS_MAX) {
            return Err(QueryError::LimitReached {
                name: "reduce_ms_max",
                limit: usize::try_from(limits::REDUCE_MS_MAX).unwrap_or(usize::MAX),
                unit: "milliseconds in the functions of the index",
                advice: "filter more, or make reduce do less",
            });
        }
        let started = Instant::now();
        let outcome = call();
        self.called.set(self.called.get().saturating_add(started.elapsed()));
        outcome.map_err(|cause| QueryError::Call {
            function,
            index: self.index.name(),
            key: describe_key(self.index.shape().group_by.as_deref().unwrap_or_default(), key),
            cause,
        })
    }

    /// Whether the maps may make fields as they go, with `createField()`.
    fn creates_fields(&self) -> bool {
        self.index.definition().maps.iter().any(|map| map.contains("createField"))
    }
}

impl SourceIndex for SnapshotIndex<'_> {
    fn name(&self) -> String {
        self.index.name()
    }

    fn is_map_reduce(&self) -> bool {
        self.index.is_map_reduce()
    }

    fn has_field(&self, name: &str) -> bool {
        // Without any known name the outputs are made in a way that only running the script can tell.
        let shape = self.index.shape();
        if self.creates_fields() {
            return true;
        }
        if shape.finalizes {
            return shape.finalized_fields.is_empty()
                || shape.finalized_fields.iter().any(|field| field == name);
        }
        let is_grouped =
            shape.group_by.as_ref().is_some_and(|fields| fields.iter().any(|field| field == name));
        shape.fields.is_empty() || is_grouped || shape.fields.iter().any(|field| field == name)
    }

    fn indexing(&self, field: &str) -> FieldIndexing {
        self.index.definition().indexing_of(field)
    }

    fn is_stored(&self, field: &str) -> bool {
        self.index.definition().is_stored(field)
    }

    fn is_stale(&self) -> Result<bool, QueryError> {
        Ok(self.registry.is_stale(self.view, &self.index)?)
    }

    fn version(&self) -> Result<u64, QueryError> {
        let progress = &self.progress;
        let slot = format!("{:?}", self.index.slot());
        Ok(fingerprint(&[
            slot.as_bytes(),
            &progress.etag.0.to_be_bytes(),
            &progress.indexed_at.to_be_bytes(),
        ]))
    }

    fn count(&self) -> Result<Option<u64>, QueryError> {
        let progress = &self.progress;
        // A failing key has a row but no result.
        Ok((progress.failing_keys == 0).then_some(progress.results))
    }

    fn results(&self) -> Result<Results<'_>, QueryError> {
        if !self.index.is_map_reduce() {
            return Ok(Box::new(std::iter::empty()));
        }
        Ok(Box::new(self.index.results(self.view).map(|result| Ok(object(result?)))))
    }

    fn result_texts(&self) -> Result<Option<ResultTexts<'_>>, QueryError> {
        if !self.index.is_map_reduce() {
            return Ok(None);
        }
        Ok(Some(Box::new(self.index.result_texts(self.view).map(|text| Ok(wire_result(text?))))))
    }

    fn results_within(&self, keys: &KeyFilter) -> Result<Results<'_>, QueryError> {
        if !self.index.is_map_reduce() {
            return Ok(Box::new(std::iter::empty()));
        }
        Ok(Box::new(self.index.results_within(self.view, keys)?.map(|result| Ok(object(result?)))))
    }

    fn rows_by_terms(&self, need: &Need, keys: &KeyFilter) -> Result<Option<IndexRows<'_>>, QueryError> {
        if self.creates_fields() || self.progress.terms == 0 {
            return Ok(None);
        }
        if self.index.is_map_reduce()
            && !keys.is_all()
            && let Some(few) = self.index.few_results_within(self.view, keys, limits::KEY_ROWS_TRIED)?
        {
            return Ok(Some(Box::new(few.into_iter().map(|result| Ok(IndexRow::Result(object(result)))))));
        }
        let Some(rows) = self.index.rows_by_terms(self.view, need)? else { return Ok(None) };
        Ok(Some(Box::new(rows.map(|found| row(found?)))))
    }

    fn count_of_term(&self, field: &TermField, term: &TermSpan) -> Result<Option<u64>, QueryError> {
        if self.creates_fields() {
            return Ok(None);
        }
        Ok(self.index.count_of_term(self.view, field, term)?)
    }

    fn rows_in_order(
        &self,
        field: &TermField,
        descending: bool,
    ) -> Result<Option<RowsInOrder<'_>>, QueryError> {
        if self.creates_fields() {
            return Ok(None);
        }
        let Some(found) = self.index.rows_in_order(self.view, field, descending)? else { return Ok(None) };
        let rows = found.rows.map(|placed| {
            let placed = placed?;
            Ok(PlacedRow { row: row(placed.row)?, group: placed.group, exact: placed.exact })
        });
        Ok(Some(RowsInOrder { rows: Box::new(rows), left_out: found.left_out }))
    }

    fn want_terms(&self, fields: Vec<TermField>) {
        if !self.creates_fields() {
            self.index.want_terms(fields);
        }
    }

    fn group_by(&self) -> Vec<String> {
        self.index.shape().group_by.clone().unwrap_or_default()
    }

    fn reduced_results(&self, range: &KeyRange) -> Result<ReducedResults<'_>, QueryError> {
        if !self.index.is_map_reduce() {
            return Ok(Box::new(std::iter::empty()));
        }
        self.check_keys()?;
        let results = self.index.reduced_results_between(self.view, &range.from, range.to.as_deref());
        Ok(Box::new(results.map(|result| Ok(reduced(result?)))))
    }

    fn reduced_results_within(&self, keys: &KeyFilter) -> Result<ReducedResults<'_>, QueryError> {
        if !self.index.is_map_reduce() {
            return Ok(Box::new(std::iter::empty()));
        }
        self.check_keys()?;
        let results = self.index.reduced_results_within(self.view, keys)?;
        Ok(Box::new(results.map(|result| Ok(reduced(result?)))))
    }

    fn reduce(&self, key: &[Json], values: Vec<Json>) -> Result<Json, QueryError> {
        self.call("reduce", key, || self.index.calls().reduce(key.to_vec(), values))
    }

    fn finalize(&self, key: &[Json], reduced: Json) -> Result<Option<Json>, QueryError> {
        if !self.index.shape().finalizes {
            return Ok(Some(reduced));
        }
        self.call("finalize", key, || self.index.calls().finalize(reduced))
    }

    fn entries(&self) -> Result<Entries<'_>, QueryError> {
        if self.index.is_map_reduce() {
            return Ok(Box::new(std::iter::empty()));
        }
        let creates_fields = self.creates_fields();
        Ok(Box::new(self.index.entries(self.view).map(move |entry| {
            let (id, output) = entry?;
            let output = object(output);
            Ok((DocumentId::new(&id)?, if creates_fields { with_created_fields(output) } else { output }))
        })))
    }
}

/// The text of a result as clients see it. What is not plain JSON text, or has metadata of its own, is made anew.
fn wire_result(stored: Vec<u8>) -> Vec<u8> {
    const METADATA: &[u8] = b"\"@metadata\":{\"@change-vector\":null}}";
    // Hardly any result has the sign at all.
    let is_metadata = |at| stored.get(at..).is_some_and(|rest| rest.starts_with(b"@metadata\":"));
    let has_metadata = memchr_iter(b'@', &stored).any(is_metadata);
    if stored.first() == Some(&b'{') && !has_metadata && !has_script_numbers(&stored) {
        let mut text = stored;
        text.pop();
        if text.len() > 1 {
            text.push(b',');
        }
        text.extend_from_slice(METADATA);
        return text;
    }
    let mut result = parse_stored(&stored).map(object).unwrap_or_default();
    result.remove("@metadata");
    result.insert("@metadata", Object::from_iter([("@change-vector", Json::Null)]));
    let mut text = Vec::new();
    result.write_to(&mut text);
    text
}

fn row(found: magpie_indexes::terms::IndexRow) -> Result<IndexRow, QueryError> {
    Ok(match found {
        magpie_indexes::terms::IndexRow::Result(result) => IndexRow::Result(object(result)),
        magpie_indexes::terms::IndexRow::Output(id, output) => {
            IndexRow::Entry(DocumentId::new(&id)?, object(output))
        }
    })
}

fn reduced(result: magpie_indexes::ReducedResult) -> ReducedResult {
    ReducedResult { key: result.key, reduced: result.reduced, result: object(result.result) }
}

/// An output with the fields that `createField()` made in it.
fn with_created_fields(output: Object) -> Object {
    let mut fields = output.clone();
    for (_, value) in output.iter() {
        for item in value.as_array().unwrap_or(std::slice::from_ref(value)) {
            if let (Some(name), Some(value)) = (item.get("$name").and_then(Json::as_str), item.get("$value"))
            {
                fields.insert(name, value.clone());
            }
        }
    }
    fields
}

/// Results and outputs are objects; anything else has no fields.
fn object(value: Json) -> Object {
    match value {
        Json::Object(object) => object,
        _ => Object::new(),
    }
}
