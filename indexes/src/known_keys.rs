//! The keys that a definition may have: one that nobody knows is refused with its place, as nobody would follow it
//!
//! Keys of RavenDB that mean nothing here are known all the same: its clients send them. A key without content (null or
//! empty) says nothing and is let through. Stored definitions are not checked: what was taken once must open.

use crate::error::IndexError;
use magpie_store::json::{Json, Object};

/// The keys of a definition: those of RavenDB's server and clients, and `Finalize`, which is Magpie's own.
const DEFINITION: [&str; 25] = [
    "Name",
    "Maps",
    "Reduce",
    "Finalize",
    "Fields",
    "Configuration",
    "AdditionalSources",
    "AdditionalAssemblies",
    "LockMode",
    "Priority",
    "State",
    "Type",
    "IndexType",
    "SourceType",
    "OutputReduceToCollection",
    "ReduceOutputIndex",
    "PatternForOutputReduceToCollectionReferences",
    "PatternReferencesCollectionName",
    "DeploymentMode",
    "ClusterState",
    "ArchivedDataProcessingBehavior",
    "CompoundFields",
    "SearchEngineType",
    "IndexSourceType",
    "IsTestIndex",
];

/// The keys of a field's options.
const FIELD: [&str; 7] =
    ["Analyzer", "Indexing", "Storage", "Suggestions", "TermVector", "Spatial", "Vector"];

/// How settings start that are Magpie's own, and those that there are.
const OWN: &str = "Magpie.";
const CONFIGURATION: [&str; 4] = ["Magpie.Native", "Magpie.Numbers", "Magpie.Laws", "Magpie.Tier"];

/// Refuses a definition from outside that has a key with content which is not known.
///
/// # Errors
/// [`IndexError::InvalidDefinition`] with the place of the key and the known key that is most like it.
pub fn check(definition: &Json) -> Result<(), IndexError> {
    let Some(object) = definition.as_object() else { return Ok(()) };
    let name = object.get("Name").and_then(Json::as_str).unwrap_or_default();
    check_object(name, "", object, &DEFINITION)?;
    for (field, options) in object.get("Fields").and_then(Json::as_object).into_iter().flat_map(Object::iter)
    {
        if let Some(options) = options.as_object() {
            check_object(name, &format!("Fields.{field}."), options, &FIELD)?;
        }
    }
    let settings = object.get("Configuration").and_then(Json::as_object);
    for (key, value) in settings.into_iter().flat_map(Object::iter) {
        let is_own = key.get(..OWN.len()).is_some_and(|start| start.eq_ignore_ascii_case(OWN));
        if is_own && !is_empty(value) && !CONFIGURATION.contains(&key) {
            return Err(unknown(name, &format!("Configuration.{key}"), key, &CONFIGURATION));
        }
    }
    Ok(())
}

fn check_object(name: &str, place: &str, object: &Object, known: &[&str]) -> Result<(), IndexError> {
    match object.iter().find(|(key, value)| !known.contains(key) && !is_empty(value)) {
        None => Ok(()),
        Some((key, _)) => Err(unknown(name, &format!("{place}{key}"), key, known)),
    }
}

fn is_empty(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::String(text) => text.is_empty(),
        Json::Array(items) => items.is_empty(),
        Json::Object(object) => object.is_empty(),
        _ => false,
    }
}

fn unknown(name: &str, place: &str, key: &str, known: &[&str]) -> IndexError {
    let place: String = place.chars().take(200).collect();
    IndexError::InvalidDefinition {
        name: name.to_owned(),
        reason: match nearest(key, known) {
            Some(nearest) => {
                format!("its key '{place}' is not known; did you mean '{nearest}'? Or leave the key out")
            }
            None => format!("its key '{place}' is not known; leave it out. Known are {}", known.join(", ")),
        },
    }
}

/// The known key that is most like this one, if any is much like it. Case does not count.
fn nearest<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    let key = key.to_lowercase();
    let distance = |known: &str| strsim::damerau_levenshtein(&key, &known.to_lowercase());
    let nearest = known.iter().copied().min_by_key(|known| distance(known))?;
    (distance(nearest) * 2 < nearest.len().max(2)).then_some(nearest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use magpie_store::json::parse;

    fn refusal(definition: &str) -> Option<String> {
        check(&parse(definition.as_bytes()).unwrap()).err().map(|error| error.to_string())
    }

    #[test]
    fn every_level_names_the_place_and_the_nearest_key() {
        for (definition, place, nearest) in [
            (r#"{"Name":"A","Maps":["m"],"Redcue":"r"}"#, "'Redcue'", "'Reduce'"),
            (r#"{"Name":"A","maps":["m"]}"#, "'maps'", "'Maps'"),
            (r#"{"Name":"A","OutputReduceToColection":"X"}"#, "'OutputReduceToColection'", "Collection'"),
            (r#"{"Name":"A","Fields":{"x":{"Index":"No"}}}"#, "'Fields.x.Index'", "'Indexing'"),
            (
                r#"{"Name":"A","Configuration":{"Magpie.Nativ":"1"}}"#,
                "Configuration.Magpie.Nativ",
                "'Magpie.Native'",
            ),
            (r#"{"Name":"A","Configuration":{"magpie.tier":"1"}}"#, "magpie.tier", "'Magpie.Tier'"),
        ] {
            let refusal = refusal(definition).unwrap();
            assert!(refusal.contains("index 'A'"), "{refusal}");
            assert!(refusal.contains(place) && refusal.contains(nearest), "{refusal}");
        }
        let far = refusal(r#"{"Name":"A","Zzzzzzz":1}"#).unwrap();
        assert!(far.contains("Known are Name, Maps"), "{far}");
    }

    #[test]
    fn known_keys_and_keys_without_content_pass() {
        for definition in [
            r#"{"Name":"A","Maps":["m"],"Nope":null,"No":"","Non":[],"None":{},"IndexType":"Map","ClusterState":{"x":1}}"#,
            r#"{"Name":"A","Configuration":{"Indexing.MapBatchSize":"9","Anything":"1","Magpie.Laws":"Off"}}"#,
            r#"{"Name":"A","Fields":{"x":{"Vector":{"a":1},"Spatial":{}},"y":null}}"#,
        ] {
            assert_eq!(refusal(definition), None, "{definition}");
        }
    }
}
