//! Index definitions: putting, reading, deleting and resetting them.
//!
//! One path serves `PUT`, `GET`, `DELETE` and the method `RESET`, which axum's method router does not know.

use crate::answer;
use crate::body;
use crate::clock;
use crate::error::ServerError;
use crate::index_stats::scripts_json;
use crate::query_string::Pairs;
use crate::request::DatabaseRequest;
use crate::state::{AppState, blocking};
use crate::topology::url_of;
use crate::version::NODE_TAG;
use axum::body::Body;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use magpie_indexes::definition::{FieldOptions, NUMBERS, Numbers, REPLACEMENT_PREFIX};
use magpie_indexes::{Index, IndexDefinition, Registry, known_keys};
use magpie_store::json::{Json, Object};
use std::collections::BTreeSet;
use std::sync::Arc;

/// `PUT`, `GET`, `DELETE`, `RESET` of `indexes`.
pub(crate) async fn dispatch(request: DatabaseRequest, body: Body) -> Result<Response, ServerError> {
    match request.method {
        Method::PUT => put(request, body).await,
        Method::GET => get(request),
        Method::DELETE => delete(request).await,
        _ if request.method.as_str() == "RESET" => reset(request).await,
        _ => Err(request.route_not_found()),
    }
}

/// `PUT indexes` and `PUT admin/indexes` with `{"Indexes":[definition,..]}`: all of them or none.
pub(crate) async fn put(request: DatabaseRequest, body: Body) -> Result<Response, ServerError> {
    let text = body::read(&request.headers, body, request.app.config().limits.request_body_bytes_max).await?;
    let database = request.database.clone();
    let (default, numbers) = (request.app.config().laws, request.app.config().numbers);
    let puts = blocking(move || {
        let Some(Json::Array(items)) = body::parse_object(&text)?.remove("Indexes") else {
            return Err(ServerError::PropertyMissing { name: "Indexes" });
        };
        let definitions =
            items.iter().map(|item| read_definition(item, numbers)).collect::<Result<Vec<_>, _>>()?;
        let indexes = database.indexes();
        let puts = indexes.put_checked(definitions, default)?;
        Ok(puts
            .into_iter()
            .map(|(name, laws)| {
                // Who puts an index is told what makes it slow; that it is compiled is no news.
                let index =
                    indexes.get(&format!("{REPLACEMENT_PREFIX}{name}")).or_else(|| indexes.get(&name));
                let scripts = index.and_then(|index| index.running_scripts());
                (name, laws, scripts.filter(|scripts| scripts.why_engine.is_some()))
            })
            .collect::<Vec<_>>())
    })
    .await?;
    let results = puts.into_iter().map(|(name, laws, scripts)| {
        let mut result = Object::from_iter([("Index", Json::from(name)), ("RaftCommandIndex", 1_i64.into())]);
        let mut own = Object::new();
        if let Some(laws) = laws {
            own.insert("Laws", laws.to_json());
        }
        if let Some(scripts) = scripts {
            own.insert("Scripts", scripts_json(&scripts));
        }
        if !own.is_empty() {
            result.insert("Magpie", own);
        }
        result.into()
    });
    let answer = Object::from_iter([("Results", Json::Array(results.collect()))]);
    Ok(answer::json(StatusCode::CREATED, answer))
}

/// A definition from the wire. What the server's `numbers` are is written into definitions that do not say it, so that an
/// index keeps its numbers when the server is started in another way.
///
/// # Errors
/// When it has no maps, a key that is not known, or a value of another type than it must have.
pub(crate) fn read_definition(json: &Json, numbers: Numbers) -> Result<IndexDefinition, ServerError> {
    let has_maps = json.get("Maps").and_then(Json::as_array).is_some_and(|maps| !maps.is_empty());
    if !has_maps {
        return Err(ServerError::MapsMissing);
    }
    let maps = json.get("Maps").and_then(Json::as_array).unwrap_or_default();
    if maps.iter().any(|map| map.as_str().is_some_and(|map| map.trim().is_empty())) {
        let (value, expected) = (String::new(), "maps that are not blank");
        return Err(ServerError::ValueNotAllowed { name: "Maps", value, expected });
    }
    known_keys::check(json)?;
    check_field_options(json)?;
    let mut definition: IndexDefinition = serde_json::from_str(&json.to_string()).map_err(|error| {
        // The position is that of our own compact text, which the client never saw.
        let text = error.to_string();
        let reason = text.split(" at line ").next().unwrap_or(&text).to_owned();
        ServerError::DefinitionMalformed { reason }
    })?;
    // The same map twice gives each output once, as in the original.
    let mut seen = BTreeSet::new();
    definition.maps.retain(|map| seen.insert(map.clone()));
    if numbers == Numbers::Exact {
        definition.configuration.entry(NUMBERS.to_owned()).or_insert_with(|| Some("exact".to_owned()));
    }
    Ok(definition)
}

/// The options of fields that have a fixed set of names.
const FIELD_ENUMERATIONS: [(&str, &str, &str); 3] = [
    ("Indexing", "Raven.Client.Documents.Indexes.FieldIndexing", "No, Search, Exact, Default, Highlighting"),
    ("Storage", "Raven.Client.Documents.Indexes.FieldStorage", "Yes, No"),
    (
        "TermVector",
        "Raven.Client.Documents.Indexes.FieldTermVector",
        "No, Yes, WithPositions, WithOffsets, WithPositionsAndOffsets",
    ),
];

fn check_field_options(json: &Json) -> Result<(), ServerError> {
    let Some(fields) = json.get("Fields").and_then(Json::as_object) else { return Ok(()) };
    for (_, options) in fields.iter() {
        for (key, enumeration, allowed) in FIELD_ENUMERATIONS {
            let value = options.get(key).and_then(Json::as_str);
            if let Some(value) = value.filter(|value| !allowed.split(", ").any(|name| name == *value)) {
                let value = value.chars().take(100).collect();
                return Err(ServerError::NotInEnumeration { value, enumeration, allowed });
            }
        }
    }
    Ok(())
}

fn get(request: DatabaseRequest) -> Result<Response, ServerError> {
    let DatabaseRequest { app, database, query, headers, .. } = request;
    let indexes = match query.raw("name") {
        Some(name) => match database.indexes().get(name) {
            Some(index) => vec![index],
            None => return Ok(answer::not_found()),
        },
        None => page(database.indexes(), &query)?,
    };
    let mut body = Object::new();
    if query.flag("namesOnly")? {
        body.insert("@metadata", metadata(&app, &headers));
        body.insert("Results", indexes.iter().map(|index| index.name().into()).collect::<Vec<Json>>());
    } else {
        let definitions = indexes.iter().map(|index| definition_json(&index.definition()).into());
        body.insert("Results", definitions.collect::<Vec<Json>>());
    }
    Ok(answer::json(StatusCode::OK, body))
}

fn page(registry: &Registry, query: &Pairs) -> Result<Vec<Arc<Index>>, ServerError> {
    let start = usize::try_from(query.number("start")?.unwrap_or(0)).unwrap_or(0);
    let size = usize::try_from(query.number("pageSize")?.unwrap_or(i64::MAX)).unwrap_or(0);
    Ok(registry.all().into_iter().skip(start).take(size).collect())
}

/// What stands above some lists of indexes.
pub(crate) fn metadata(app: &AppState, headers: &HeaderMap) -> Object {
    Object::from_iter([
        ("DateTime", Json::from(clock::now().to_string())),
        ("WebUrl", url_of(app, headers).into()),
        ("NodeTag", NODE_TAG.into()),
    ])
}

/// A definition as clients expect it: every key there, nulls included.
pub(crate) fn definition_json(definition: &IndexDefinition) -> Object {
    let texts = |texts: &[String]| Json::Array(texts.iter().map(|text| text.as_str().into()).collect());
    let configuration =
        definition.configuration.iter().map(|(key, value)| (key.as_str(), value.clone().into()));
    let sources =
        definition.additional_sources.iter().map(|(key, value)| (key.as_str(), value.as_str().into()));
    let fields = definition.fields.iter().map(|(name, options)| (name.as_str(), field_json(options).into()));
    let mut body = Object::from_iter([
        ("Name", Json::from(definition.name.as_str())),
        ("SourceType", definition.source_type.as_deref().unwrap_or("Documents").into()),
        ("Type", definition.type_name().into()),
        ("LockMode", format!("{:?}", definition.lock_mode).into()),
        ("ArchivedDataProcessingBehavior", Json::Null),
        ("Priority", format!("{:?}", definition.priority).into()),
        ("State", format!("{:?}", definition.state).into()),
        ("OutputReduceToCollection", definition.output_reduce_to_collection.clone().into()),
        ("DeploymentMode", Json::Null),
        ("ReduceOutputIndex", Json::Null),
        (
            "PatternForOutputReduceToCollectionReferences",
            definition.pattern_for_output_reduce_to_collection_references.clone().into(),
        ),
        ("PatternReferencesCollectionName", definition.pattern_references_collection_name.clone().into()),
        ("Configuration", Object::from_iter(configuration).into()),
        ("AdditionalSources", Object::from_iter(sources).into()),
        ("AdditionalAssemblies", Vec::new().into()),
        ("Reduce", definition.reduce.clone().into()),
        ("Maps", texts(&definition.maps)),
        ("Fields", Object::from_iter(fields).into()),
    ]);
    // Magpie's own: clients that compare definitions must not meet it where it says nothing.
    if let Some(finalize) = &definition.finalize {
        body.insert("Finalize", finalize.as_str());
    }
    body
}

fn field_json(options: &FieldOptions) -> Object {
    Object::from_iter([
        ("Analyzer", Json::from(options.analyzer.clone())),
        ("Indexing", options.indexing.clone().into()),
        ("Storage", options.storage.clone().into()),
        ("Suggestions", options.suggestions.into()),
        ("TermVector", options.term_vector.clone().into()),
        ("Spatial", Json::Null),
        ("Vector", Json::Null),
    ])
}

async fn delete(request: DatabaseRequest) -> Result<Response, ServerError> {
    let name = request.query.required("name")?.to_owned();
    let database = request.database;
    let existed = blocking(move || Ok(database.indexes().delete(&name)?)).await?;
    Ok(if existed { answer::no_content() } else { answer::not_found() })
}

async fn reset(request: DatabaseRequest) -> Result<Response, ServerError> {
    let name = request.query.required("name")?.to_owned();
    // Side by side or not: queries are told that the index is stale until it is built again.
    if let Some(mode) = request.query.get("mode")
        && !["InPlace", "SideBySide"].iter().any(|known| known.eq_ignore_ascii_case(mode))
    {
        let value = mode.chars().take(100).collect();
        return Err(ServerError::ValueNotAllowed { name: "mode", value, expected: "InPlace or SideBySide" });
    }
    let database = request.database;
    blocking(move || Ok(database.indexes().reset(&name)?)).await?;
    Ok(answer::no_content())
}

/// `POST indexes/has-changed` with a definition: whether putting it would change anything.
pub(crate) async fn has_changed(request: DatabaseRequest, body: Body) -> Result<Response, ServerError> {
    let text = body::read(&request.headers, body, request.app.config().limits.request_body_bytes_max).await?;
    let numbers = request.app.config().numbers;
    let database = request.database;
    let changed = blocking(move || {
        let definition = read_definition(&Json::Object(body::parse_object(&text)?), numbers)?;
        Ok(database.indexes().has_changed(&definition)?)
    })
    .await?;
    Ok(answer::json(StatusCode::OK, Object::from_iter([("Changed", Json::from(changed))])))
}
