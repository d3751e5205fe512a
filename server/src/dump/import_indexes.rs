//! The index definitions of a dump. None ends an import: what Magpie cannot run is kept as it is, shown as faulty with
//! what to do about it, and exported again.

use super::auto_index;
use super::counts::Counts;
use super::legacy;
use crate::error::ServerError;
use crate::indexes::read_definition;
use magpie_indexes::definition::Numbers;
use magpie_indexes::{IndexDefinition, IndexError, Registry};
use magpie_store::json::{Json, Object};

/// What became of a definition.
enum Fate {
    Written,
    /// Kept as a faulty index; why.
    Kept(String),
    /// Left out; why.
    LeftOut(String),
    /// Nothing that runs here, but to be kept as it is; why.
    Aside(String),
    /// Refused; why.
    Refused(String),
}

/// Puts the definition of an element of `Indexes`; gives whether the element is to be kept as it is instead.
///
/// # Errors
/// When the store fails.
pub(crate) fn import(
    registry: &Registry,
    numbers: Numbers,
    element: &Json,
    counts: &mut Counts,
) -> Result<bool, ServerError> {
    let fate = fate(registry, numbers, element)?;
    counts.add("Indexes", |count| {
        count.read += 1;
        match fate {
            Fate::Written | Fate::Kept(_) => count.written += 1,
            Fate::LeftOut(_) | Fate::Aside(_) => count.skipped += 1,
            Fate::Refused(_) => count.errored += 1,
        }
    });
    let is_aside = matches!(fate, Fate::Aside(_));
    if let Fate::Kept(message) | Fate::LeftOut(message) | Fate::Aside(message) | Fate::Refused(message) = fate
    {
        counts.say(message);
    }
    Ok(is_aside)
}

fn fate(registry: &Registry, numbers: Numbers, element: &Json) -> Result<Fate, ServerError> {
    let kind = element.get("Type").and_then(Json::as_str).unwrap_or_default();
    let todays = element.get("IndexDefinition").and_then(Json::as_object).cloned();
    let Some(definition) = todays.or_else(|| legacy::definition(element)) else {
        return Ok(Fate::Refused("an element of Indexes has no definition".to_owned()));
    };
    let name = definition.get("Name").and_then(Json::as_str).unwrap_or_default().to_owned();
    if kind.starts_with("Auto") {
        if let Some(definition) = auto_index::from_json(&definition)
            && registry.put_auto_index(definition)?
        {
            return Ok(Fate::Written);
        }
        return Ok(Fate::Aside(format!(
            "the auto index '{name}' is kept for exports: there are too many here, or none of its kind; queries make \
             those that they need"
        )));
    }
    if name.starts_with("Raven/") {
        return Ok(Fate::LeftOut(format!("the index '{name}' was left out: it is one of RavenDB's own")));
    }
    match read_definition(&Json::Object(without_foreign_keys(definition)), numbers) {
        Ok(definition) => put(registry, definition),
        Err(error) => Ok(Fate::Refused(format!("the index '{name}' was not kept: {error}"))),
    }
}

/// Puts a definition, or keeps it as a faulty index.
fn put(registry: &Registry, definition: IndexDefinition) -> Result<Fate, ServerError> {
    let name = definition.name.clone();
    let refusal = match registry.put(vec![definition.clone()]) {
        Ok(_) => return Ok(Fate::Written),
        Err(error @ (IndexError::Script { .. } | IndexError::InvalidDefinition { .. })) => error,
        Err(error @ (IndexError::Store(_) | IndexError::Corrupt(_))) => return Err(error.into()),
        Err(error) => return Ok(Fate::Refused(format!("the index '{name}' was not kept: {error}"))),
    };
    match registry.keep_faulty(definition) {
        Ok(true) => Ok(Fate::Kept(format!("the index '{name}' is kept, but does not work: {refusal}"))),
        Ok(false) => Ok(Fate::LeftOut(format!(
            "the index '{name}' was left out: the one that is here works, and that of the dump does not: {refusal}"
        ))),
        Err(error @ (IndexError::Store(_) | IndexError::Corrupt(_))) => Err(error.into()),
        Err(error) => Ok(Fate::Refused(format!("the index '{name}' was not kept: {error}"))),
    }
}

/// Versions of RavenDB add keys that say nothing to another server.
fn without_foreign_keys(mut definition: Object) -> Object {
    for key in ["IndexId", "IndexVersion", "IsMapReduce", "IsCompiled", "Version", "RollingDeployment"] {
        definition.remove(key);
    }
    definition
}
