//! A candidate on its way from the source to the answer.

use crate::error::QueryError;
use crate::plan::Plan;
use crate::projection::{self, Origin, Projection};
use crate::source::Source;
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
}

impl Shaped {
    /// What `include` reads.
    pub(super) fn subject(&self) -> Subject<'_> {
        Subject { id: self.id.as_deref(), fields: &self.origin, metadata: None }
    }

    /// The id, when the row is the whole document.
    pub(super) fn whole_id(&self) -> Option<&str> {
        self.id.as_deref().filter(|_| self.is_whole)
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

    /// What makes two rows the same: the document of an entry, or with `select distinct` the selected fields. `None`
    /// when all rows count as different.
    pub(super) fn identity(&self, plan: &Plan, source: &dyn Source) -> Result<Option<String>, QueryError> {
        match (self, &plan.projection) {
            (Self::Entry { id, .. }, Projection::Whole) => Ok(Some(id.key().to_owned())),
            (Self::Result(result), Projection::Whole) if plan.distinct => Ok(Some(result.to_string())),
            (_, Projection::Fields(_)) if plan.distinct => {
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
            Self::Result(result) => Some(from_result(result, plan, metadata_only)?),
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
    let Projection::Fields(items) = &plan.projection else {
        let metadata = document.wire_metadata(source.database_id());
        // Only `include` needs the fields once more.
        let origin = if plan.include.is_empty() { Object::new() } else { fields.clone() };
        let row = finished(fields, metadata, metadata_only);
        return Ok(Shaped { row, id: Some(id.to_owned()), is_whole: true, origin });
    };
    let stored_metadata = document.metadata_json();
    let origin = Origin { id: Some(id), fields: &fields, metadata: Some(&stored_metadata), entry };
    let (row, all_stored) = projection::row(items, &origin)?;
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
    Ok(Shaped { row, id: Some(id.to_owned()), is_whole: false, origin: fields })
}

fn from_result(result: Object, plan: &Plan, metadata_only: bool) -> Result<Shaped, QueryError> {
    let mut metadata = Object::new();
    let (row, origin) = match &plan.projection {
        Projection::Whole if plan.include.is_empty() => (result, Object::new()),
        Projection::Whole => (result.clone(), result),
        Projection::Fields(items) => {
            metadata.insert("@projection", true);
            let origin = Origin { id: None, fields: &result, metadata: None, entry: None };
            (projection::row(items, &origin)?.0, result)
        }
    };
    metadata.insert("@change-vector", Json::Null);
    Ok(Shaped { row: finished(row, metadata, metadata_only), id: None, is_whole: false, origin })
}

fn finished(row: Object, metadata: Object, metadata_only: bool) -> Json {
    let mut row = if metadata_only { Object::new() } else { row };
    row.remove("@metadata");
    row.insert("@metadata", metadata);
    Json::Object(row)
}
