//! The options of an import or export, as clients send them.

use super::error::DumpError;
use crate::error::ServerError;
use magpie_store::json::{Json, Object};

/// What an import or export takes.
#[derive(Debug, Clone, Default)]
pub(crate) struct DumpOptions {
    /// The kinds (`OperateOnTypes`), in lower case; `None` for all.
    types: Option<Vec<String>>,
    /// The collections, in lower case; empty for all.
    collections: Vec<String>,
    /// Whether documents that have expired are left out.
    pub(crate) leave_out_expired: bool,
    /// Whether archived documents are left out.
    pub(crate) leave_out_archived: bool,
    /// Whether documents that an index made are taken.
    pub(crate) include_artificial: bool,
    /// Whether an element that is no JSON is counted and left out, instead of ending the import.
    pub(crate) skip_corrupted: bool,
    /// The script that changes documents on their way.
    pub(crate) transform_script: Option<String>,
    /// Whether a dump is packed with zstd instead of gzip.
    pub(crate) zstd: bool,
}

impl DumpOptions {
    /// Reads the options; those that name nothing this server does are refused, not ignored.
    ///
    /// # Errors
    /// [`DumpError::Option`] for encryption; [`ServerError::ValueNotAllowed`] for another compression.
    pub(crate) fn read(options: &Object) -> Result<Self, ServerError> {
        let text = |key: &str| options.get(key).and_then(Json::as_str).filter(|text| !text.is_empty());
        if text("EncryptionKey").is_some() {
            return Err(DumpError::Option { name: "EncryptionKey" }.into());
        }
        let flag = |key: &str| options.get(key).and_then(Json::as_bool);
        let types = text("OperateOnTypes").map(|types| names(types.split(',')));
        let collections = read_collections(options)?;
        let zstd = match text("CompressionAlgorithm").map(str::to_ascii_lowercase).as_deref() {
            None | Some("gzip") => false,
            Some("zstd") => true,
            Some(other) => {
                return Err(ServerError::ValueNotAllowed {
                    name: "CompressionAlgorithm",
                    value: other.chars().take(100).collect(),
                    expected: "Gzip or Zstd",
                });
            }
        };
        Ok(Self {
            types,
            collections,
            leave_out_expired: flag("IncludeExpired") == Some(false),
            leave_out_archived: flag("IncludeArchived") == Some(false),
            include_artificial: flag("IncludeArtificial") == Some(true),
            transform_script: text("TransformScript").map(str::to_owned),
            skip_corrupted: flag("SkipCorruptedData") == Some(true),
            zstd,
        })
    }

    /// Whether items of a kind (`Documents`, `Indexes`, `Attachments`, ..) are taken.
    pub(crate) fn takes(&self, kind: &str) -> bool {
        self.types.as_ref().is_none_or(|types| types.iter().any(|name| name.eq_ignore_ascii_case(kind)))
    }

    /// Whether documents of a collection are taken.
    pub(crate) fn takes_collection(&self, name: &str) -> bool {
        self.collections.is_empty() || self.collections.contains(&name.to_lowercase())
    }
}

/// The lower-cased names of the collections to take. What is no list of names is refused: without names, all are taken.
fn read_collections(options: &Object) -> Result<Vec<String>, ServerError> {
    let value = options.get("Collections").unwrap_or(&Json::Null);
    let listed = match value {
        Json::Null => Some(Vec::new()),
        Json::Array(values) => values.iter().map(Json::as_str).collect::<Option<Vec<&str>>>(),
        _ => None,
    };
    let listed = listed.ok_or_else(|| ServerError::ValueNotAllowed {
        name: "Collections",
        value: value.to_string().chars().take(100).collect(),
        expected: "a list of names of collections",
    })?;
    Ok(names(listed.into_iter()))
}

fn names<'t>(texts: impl Iterator<Item = &'t str>) -> Vec<String> {
    texts.map(|text| text.trim().to_lowercase()).filter(|text| !text.is_empty()).collect()
}
