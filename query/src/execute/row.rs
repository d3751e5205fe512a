//! A candidate on its way from the source to the answer.

use crate::answer_row::AnswerRow;
use crate::error::QueryError;
use crate::load::{self, Loaded};
use crate::plan::Plan;
use crate::projection::{self, Origin, Projection};
use crate::row_filter::RowFilter;
use crate::script;
use crate::source::{IndexRow, Source};
use crate::term::Subject;
use magpie_store::json::{Json, Object};
use magpie_store::{ChangeVector, Document, DocumentId};

/// What fits the query, before `select`.
#[derive(Debug)]
pub(super) enum Row {
    /// A document; its parsed fields are dropped while it waits to be ordered.
    Document { document: Document, fields: Option<Object> },
    /// An entry of a map-only index.
    Entry { id: DocumentId, entry: Object },
    /// A result of a map-reduce index.
    Result(Object),
    /// A result that nobody has to look into, as the JSON text that clients see.
    Text(Vec<u8>),
}

/// A row as the client sees it, with what `include` reads.
#[derive(Debug)]
pub(super) struct Shaped {
    pub(super) row: AnswerRow,
    id: Option<String>,
    is_whole: bool,
    origin: Object,
    pub(super) told: Told,
}

/// What else the query asks about a row.
#[derive(Debug, Clone, Default)]
pub(super) struct Told {
    /// Why it is there.
    pub(super) reasons: Option<String>,
    /// For an item of `highlight()`, by its number: the row's name and the pieces of its texts.
    pub(super) pieces: Vec<(usize, String, Vec<String>)>,
}

impl Shaped {
    /// A row that `select` made; `include` looks into it, as in the original, and not into its document.
    fn projected(row: Object, metadata: Object, id: Option<&str>, metadata_only: bool) -> Self {
        let origin = row.clone();
        let row = AnswerRow::Made(finished(row, metadata, metadata_only));
        Self { row, id: id.map(str::to_owned), is_whole: false, origin, told: Told::default() }
    }

    /// What `include` reads.
    pub(super) fn subject(&self) -> Subject<'_> {
        Subject { id: self.id.as_deref(), fields: &self.origin, metadata: None }
    }

    /// The id of its document.
    pub(super) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The id, when the row is the whole document.
    pub(super) fn whole_id(&self) -> Option<&str> {
        self.id.as_deref().filter(|_| self.is_whole)
    }
}

impl From<IndexRow> for Row {
    fn from(row: IndexRow) -> Self {
        match row {
            IndexRow::Result(result) => Self::Result(result),
            IndexRow::Entry(id, entry) => Self::Entry { id, entry },
        }
    }
}

impl Row {
    /// About how many bytes it takes in memory while it waits.
    pub(super) fn bytes(&self) -> usize {
        128 + match self {
            Self::Document { document, .. } => document.body.len() + document.metadata.len(),
            Self::Entry { entry, .. } => 2 * projection::bytes(&Json::Object(entry.clone())),
            Self::Result(result) => 2 * projection::bytes(&Json::Object(result.clone())),
            Self::Text(text) => text.len(),
        }
    }

    /// The row without what can be had again.
    pub(super) fn waiting(self) -> Self {
        match self {
            Self::Document { document, .. } => Self::Document { document, fields: None },
            other => other,
        }
    }

    /// The row with what [`Self::waiting`] left out.
    pub(super) fn whole(self) -> Self {
        match self {
            Self::Document { document, fields: None } => {
                let fields = Some(document.body_json());
                Self::Document { document, fields }
            }
            other => other,
        }
    }

    /// What makes two rows the same: the document of an entry, or with `select distinct` the selected fields. `None`
    /// when all rows count as different.
    pub(super) fn identity(&self, plan: &Plan, source: &dyn Source) -> Result<Option<String>, QueryError> {
        match (self, &plan.projection) {
            (Self::Entry { id, .. }, Projection::Whole) => Ok(Some(id.key().to_owned())),
            (Self::Result(result), Projection::Whole) if plan.distinct => Ok(Some(result.to_string())),
            (_, Projection::Fields(_) | Projection::Loaded(_) | Projection::Script { .. })
                if plan.distinct =>
            {
                let shaped = self.copy().shape(plan, source, false)?;
                let text = |shaped: Shaped| match shaped.row.into_json() {
                    Json::Object(mut row) => {
                        row.remove("@metadata");
                        row.to_string()
                    }
                    other => other.to_string(),
                };
                Ok(Some(shaped.into_iter().map(text).collect::<Vec<_>>().join("\n")))
            }
            _ => Ok(None),
        }
    }

    /// Whether the `filter` clause lets it through; one that is no more does not.
    pub(super) fn passes(&self, filter: &RowFilter, source: &dyn Source) -> Result<bool, QueryError> {
        let loaded = Loaded::new();
        let of_document = |document: &Document| {
            let metadata = document.wire_metadata(source.database_id());
            let fields = document.body_json();
            let id = Some(document.id.as_str());
            filter.holds(
                script::Row { id, fields: &fields, metadata: Some(&metadata), loaded: &loaded },
                source,
            )
        };
        match self {
            Self::Document { document, .. } => of_document(document),
            Self::Entry { id, .. } => match source.document(id.as_str())? {
                Some(document) => of_document(&document),
                None => Ok(false),
            },
            // Rows that are filtered are looked into.
            Self::Text(_) => Ok(false),
            Self::Result(result) => filter
                .holds(script::Row { id: None, fields: result, metadata: None, loaded: &loaded }, source),
        }
    }

    fn copy(&self) -> Self {
        match self {
            Self::Document { document, fields } => {
                Self::Document { document: document.clone(), fields: fields.clone() }
            }
            Self::Entry { id, entry } => Self::Entry { id: id.clone(), entry: entry.clone() },
            Self::Result(result) => Self::Result(result.clone()),
            Self::Text(text) => Self::Text(text.clone()),
        }
    }

    /// Applies `select`. Nothing when the document of an entry no longer exists, several rows when JavaScript gives them.
    pub(super) fn shape(
        self,
        plan: &Plan,
        source: &dyn Source,
        metadata_only: bool,
    ) -> Result<Vec<Shaped>, QueryError> {
        match self {
            Self::Document { document, .. } if plan.gives_stored_text() => {
                Ok(vec![stored(&document, source, metadata_only)])
            }
            Self::Document { document, fields } => {
                let fields = fields.unwrap_or_else(|| document.body_json());
                from_document(&document, fields, None, plan, source, metadata_only)
            }
            // The document also knows how its id is spelt.
            Self::Entry { id, entry } => match source.document(id.as_str())? {
                Some(document) if plan.gives_stored_text() => {
                    Ok(vec![stored(&document, source, metadata_only)])
                }
                Some(document) => {
                    let fields = document.body_json();
                    from_document(&document, fields, Some(&entry), plan, source, metadata_only)
                }
                None => Ok(Vec::new()),
            },
            Self::Result(result) => from_result(result, plan, source, metadata_only),
            Self::Text(text) => Ok(vec![Shaped {
                row: AnswerRow::Stored(text),
                id: None,
                is_whole: false,
                origin: Object::new(),
                told: Told::default(),
            }]),
        }
    }
}

fn from_document(
    document: &Document,
    fields: Object,
    entry: Option<&Object>,
    plan: &Plan,
    source: &dyn Source,
    metadata_only: bool,
) -> Result<Vec<Shaped>, QueryError> {
    let id = document.id.as_str();
    if matches!(plan.projection, Projection::Whole) {
        return Ok(vec![whole(document, fields, plan, source, metadata_only)]);
    }
    let loaded = load::documents(&plan.loads, &fields, source)?;
    let scripted = match &plan.script {
        Some(script) => {
            let metadata = document.wire_metadata(source.database_id());
            let row =
                script::Row { id: Some(id), fields: &fields, metadata: Some(&metadata), loaded: &loaded };
            Some(script.call(row, source)?)
        }
        None => None,
    };
    let counters = counters(plan, Some(id), &loaded, source)?;
    let stored_metadata = document.metadata_json();
    let last_modified = document.last_modified.to_string();
    let origin = Origin {
        id: Some(id),
        fields: &fields,
        metadata: Some(&stored_metadata),
        entry,
        last_modified: Some(&last_modified),
        loaded: &loaded,
        scripted: scripted.as_ref(),
        counters: &counters,
    };
    let mut rows = Vec::new();
    for made in projected(plan, &origin)? {
        let own = own_metadata(&made.row);
        // A function that gives the document itself gives it as a whole.
        if matches!(plan.projection, Projection::Script { is_call: true })
            && own.is_some_and(|own| own.get("@id").and_then(Json::as_str) == Some(id))
            && is_same(&made.row, &fields)
        {
            rows.push(whole(document, fields.clone(), plan, source, metadata_only));
            continue;
        }
        if made.is_document {
            rows.push(Shaped::projected(
                made.row.clone(),
                own.cloned().unwrap_or_default(),
                Some(id),
                metadata_only,
            ));
            continue;
        }
        let mut metadata = Object::new();
        metadata.insert("@projection", true);
        for (name, value) in own.into_iter().flat_map(Object::iter) {
            metadata.insert(name, value.clone());
        }
        if made.all_stored {
            // The row shows the index entry, which may be older than the document.
            metadata.insert("@change-vector", Json::Null);
            metadata.insert("@id", id);
        } else {
            let change_vector = ChangeVector::new(document.etag, source.database_id());
            metadata.insert("@change-vector", change_vector.as_str());
            metadata.insert("@id", id);
            if let Some(flags) = stored_metadata.get("@flags") {
                metadata.insert("@flags", flags.clone());
            }
            if plan.shows_score {
                metadata.insert("@index-score", 1_i64);
            }
            metadata.insert("@last-modified", last_modified.as_str());
        }
        rows.push(Shaped::projected(made.row, metadata, Some(id), metadata_only));
    }
    Ok(rows)
}

/// A document as a row that `include` does not look into.
fn stored(document: &Document, source: &dyn Source, metadata_only: bool) -> Shaped {
    let mut text = Vec::with_capacity(document.body.len() + document.metadata.len() + 256);
    document.write_wire(source.database_id(), metadata_only, &mut text);
    let (id, origin) = (Some(document.id.as_str().to_owned()), Object::new());
    Shaped { row: AnswerRow::Stored(text), id, is_whole: true, origin, told: Told::default() }
}

/// A document as a row.
fn whole(
    document: &Document,
    fields: Object,
    plan: &Plan,
    source: &dyn Source,
    metadata_only: bool,
) -> Shaped {
    let metadata = document.wire_metadata(source.database_id());
    // Only `include` needs the fields once more.
    let origin = if plan.includes_nothing() { Object::new() } else { fields.clone() };
    let row = AnswerRow::Made(finished(fields, metadata, metadata_only));
    Shaped { row, id: Some(document.id.as_str().to_owned()), is_whole: true, origin, told: Told::default() }
}

fn own_metadata(row: &Object) -> Option<&Object> {
    row.get("@metadata").and_then(Json::as_object)
}

/// Whether a row has exactly these fields, whatever its metadata is.
fn is_same(row: &Object, fields: &Object) -> bool {
    row.iter().filter(|(name, _)| *name != "@metadata").count() == fields.iter().count()
        && fields.iter().all(|(name, value)| row.get(name) == Some(value))
}

fn from_result(
    result: Object,
    plan: &Plan,
    source: &dyn Source,
    metadata_only: bool,
) -> Result<Vec<Shaped>, QueryError> {
    let mut metadata = Object::new();
    if matches!(plan.projection, Projection::Whole) {
        metadata.insert("@change-vector", Json::Null);
        let origin = if plan.includes_nothing() { Object::new() } else { result.clone() };
        let row = AnswerRow::Made(finished(result, metadata, metadata_only));
        return Ok(vec![Shaped { row, id: None, is_whole: false, origin, told: Told::default() }]);
    }
    metadata.insert("@projection", true);
    metadata.insert("@change-vector", Json::Null);
    let loaded = load::documents(&plan.loads, &result, source)?;
    let row = script::Row { id: None, fields: &result, metadata: None, loaded: &loaded };
    let scripted = plan.script.as_ref().map(|script| script.call(row, source)).transpose()?;
    let counters = counters(plan, None, &loaded, source)?;
    let origin = Origin {
        id: None,
        fields: &result,
        metadata: None,
        entry: None,
        last_modified: None,
        loaded: &loaded,
        scripted: scripted.as_ref(),
        counters: &counters,
    };
    let shaped = |made: Made| Shaped::projected(made.row, metadata.clone(), None, metadata_only);
    Ok(projected(plan, &origin)?.into_iter().map(shaped).collect())
}

/// The values of the counters that a row shows.
fn counters(
    plan: &Plan,
    id: Option<&str>,
    loaded: &Loaded,
    source: &dyn Source,
) -> Result<Vec<Json>, QueryError> {
    plan.counters.iter().map(|counter| counter.value(id, loaded, source)).collect()
}

/// What `select` makes of a row.
struct Made {
    /// With `@metadata` where JavaScript gave one.
    row: Object,
    /// Whether all fields came from the index entry.
    all_stored: bool,
    /// Whether it is a loaded document with its metadata.
    is_document: bool,
}

impl From<(Object, bool)> for Made {
    fn from((row, all_stored): (Object, bool)) -> Self {
        Self { row, all_stored, is_document: false }
    }
}

/// The rows that `select` makes: one, but as many as JavaScript gives when it gives an array.
fn projected(plan: &Plan, origin: &Origin<'_>) -> Result<Vec<Made>, QueryError> {
    let made = match &plan.projection {
        Projection::Fields(items) => return Ok(vec![projection::row(items, origin)?.into()]),
        Projection::Loaded(alias) => {
            let document = origin.loaded(alias).and_then(Json::as_object);
            let row = document.cloned().unwrap_or_default();
            return Ok(vec![Made { row, all_stored: false, is_document: document.is_some() }]);
        }
        Projection::Script { is_call: true } => {
            origin.scripted.and_then(Json::as_array).and_then(|all| all.first())
        }
        Projection::Script { is_call: false } | Projection::Whole => origin.scripted,
    };
    let object = |made: Option<&Json>| match made {
        Some(Json::Object(row)) => {
            let inside = |(name, value): (&str, &Json)| match name {
                "@metadata" => (name.to_owned(), value.clone()),
                _ => (name.to_owned(), projection::without_state(value.clone())),
            };
            Ok((row.iter().map(inside).collect(), false).into())
        }
        other => Err(QueryError::Operation {
            message: format!(
                "Query returning a single function call result must return an object, but got: {}",
                other.map_or_else(|| "null".to_owned(), ToString::to_string)
            ),
        }),
    };
    match made {
        Some(Json::Array(rows)) => rows.iter().map(|row| object(Some(row))).collect(),
        one => Ok(vec![object(one)?]),
    }
}

fn finished(row: Object, metadata: Object, metadata_only: bool) -> Json {
    let mut row = if metadata_only { Object::new() } else { row };
    row.remove("@metadata");
    row.insert("@metadata", metadata);
    Json::Object(row)
}
