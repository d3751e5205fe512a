//! A candidate on its way from the source to the answer.

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
}

/// A row as the client sees it, with what `include` reads.
#[derive(Debug)]
pub(super) struct Shaped {
    pub(super) row: Json,
    id: Option<String>,
    is_whole: bool,
    origin: Object,
    /// Why it is there, if that is asked.
    pub(super) reasons: Option<String>,
}

impl Shaped {
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
            (_, Projection::Fields(_) | Projection::Script { .. }) if plan.distinct => {
                let shaped = self.copy().shape(plan, source, false)?;
                Ok(shaped.map(|shaped| match shaped.row {
                    Json::Object(mut row) => {
                        row.remove("@metadata");
                        row.to_string()
                    }
                    other => other.to_string(),
                }))
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
        }
    }

    /// Applies `select`. `None` when the document of an entry no longer exists.
    pub(super) fn shape(
        self,
        plan: &Plan,
        source: &dyn Source,
        metadata_only: bool,
    ) -> Result<Option<Shaped>, QueryError> {
        Ok(match self {
            Self::Document { document, fields } => {
                let fields = fields.unwrap_or_else(|| document.body_json());
                Some(from_document(&document, fields, None, plan, source, metadata_only)?)
            }
            // The document also knows how its id is spelt.
            Self::Entry { id, entry } => match source.document(id.as_str())? {
                Some(document) => {
                    let fields = document.body_json();
                    Some(from_document(&document, fields, Some(&entry), plan, source, metadata_only)?)
                }
                None => None,
            },
            Self::Result(result) => Some(from_result(result, plan, source, metadata_only)?),
        })
    }
}

fn from_document(
    document: &Document,
    fields: Object,
    entry: Option<&Object>,
    plan: &Plan,
    source: &dyn Source,
    metadata_only: bool,
) -> Result<Shaped, QueryError> {
    let id = document.id.as_str();
    if matches!(plan.projection, Projection::Whole) {
        let metadata = document.wire_metadata(source.database_id());
        // Only `include` needs the fields once more.
        let origin = if plan.include.is_empty() { Object::new() } else { fields.clone() };
        let row = finished(fields, metadata, metadata_only);
        return Ok(Shaped { row, id: Some(id.to_owned()), is_whole: true, origin, reasons: None });
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
    let stored_metadata = document.metadata_json();
    let origin = Origin {
        id: Some(id),
        fields: &fields,
        metadata: Some(&stored_metadata),
        entry,
        loaded: &loaded,
        scripted: scripted.as_ref(),
    };
    let (row, all_stored) = projected(plan, &origin)?;
    let mut metadata = Object::new();
    metadata.insert("@projection", true);
    if all_stored {
        // The row shows the index entry, which may be older than the document.
        metadata.insert("@change-vector", Json::Null);
        metadata.insert("@id", id);
    } else {
        let change_vector = ChangeVector::new(document.etag, source.database_id());
        metadata.insert("@change-vector", change_vector.as_str());
        metadata.insert("@id", id);
        if plan.shows_score {
            metadata.insert("@index-score", 1_i64);
        }
        metadata.insert("@last-modified", document.last_modified.to_string());
    }
    let row = finished(row, metadata, metadata_only);
    Ok(Shaped { row, id: Some(id.to_owned()), is_whole: false, origin: fields, reasons: None })
}

fn from_result(
    result: Object,
    plan: &Plan,
    source: &dyn Source,
    metadata_only: bool,
) -> Result<Shaped, QueryError> {
    let mut metadata = Object::new();
    let (row, origin) = if !matches!(plan.projection, Projection::Whole) {
        metadata.insert("@projection", true);
        let loaded = load::documents(&plan.loads, &result, source)?;
        let row = script::Row { id: None, fields: &result, metadata: None, loaded: &loaded };
        let scripted = plan.script.as_ref().map(|script| script.call(row, source)).transpose()?;
        let origin = Origin {
            id: None,
            fields: &result,
            metadata: None,
            entry: None,
            loaded: &loaded,
            scripted: scripted.as_ref(),
        };
        (projected(plan, &origin)?.0, result)
    } else if plan.include.is_empty() {
        (result, Object::new())
    } else {
        (result.clone(), result)
    };
    metadata.insert("@change-vector", Json::Null);
    Ok(Shaped {
        row: finished(row, metadata, metadata_only),
        id: None,
        is_whole: false,
        origin,
        reasons: None,
    })
}

/// The fields of the row, and whether all of them came from the index entry.
fn projected(plan: &Plan, origin: &Origin<'_>) -> Result<(Object, bool), QueryError> {
    let made = match &plan.projection {
        Projection::Fields(items) => return projection::row(items, origin),
        Projection::Script { is_call: true } => {
            origin.scripted.and_then(Json::as_array).and_then(|all| all.first())
        }
        Projection::Script { is_call: false } | Projection::Whole => origin.scripted,
    };
    match made {
        Some(Json::Object(row)) => Ok((row.clone(), false)),
        other => Err(QueryError::Operation {
            message: format!(
                "Query returning a single function call result must return an object, but got: {}",
                other.map_or_else(|| "null".to_owned(), ToString::to_string)
            ),
        }),
    }
}

fn finished(row: Object, metadata: Object, metadata_only: bool) -> Json {
    let mut row = if metadata_only { Object::new() } else { row };
    row.remove("@metadata");
    row.insert("@metadata", metadata);
    Json::Object(row)
}
