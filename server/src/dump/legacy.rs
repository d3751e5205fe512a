//! Dumps of RavenDB 3.5: its metadata and its index definitions in today's form.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use magpie_store::json::{Json, Object};
use magpie_store::{Attachment, Content, NewDocument};

/// What 3.5 kept in metadata for itself.
const OWN: [&str; 7] = [
    "Raven-Entity-Name",
    "Last-Modified",
    "Raven-Last-Modified",
    "@etag",
    "Non-Authoritative-Information",
    "Temp-Index-Score",
    "Raven-Document-Parent-Revision",
];

/// Gives a document of 3.5 the metadata of today: its collection and its time; what 3.5 kept there for itself goes.
pub(crate) fn modernise(document: &mut Json) {
    let Json::Object(document) = document else { return };
    let Some(Json::Object(metadata)) = document.get_mut("@metadata") else { return };
    let text = |metadata: &Object, key: &str| metadata.get(key).and_then(Json::as_str).map(str::to_owned);
    let id = text(metadata, "@id").unwrap_or_default();
    let named = text(metadata, "Raven-Entity-Name").filter(|name| !name.is_empty());
    let is_hilo =
        id.get(.."Raven/Hilo/".len()).is_some_and(|start| start.eq_ignore_ascii_case("Raven/Hilo/"));
    let collection = named.or_else(|| is_hilo.then(|| "@hilo".to_owned()));
    let modified = text(metadata, "Raven-Last-Modified").or_else(|| text(metadata, "Last-Modified"));
    OWN.iter().for_each(|key| drop(metadata.remove(key)));
    if let Some(collection) = collection.filter(|_| metadata.get("@collection").is_none()) {
        metadata.insert("@collection", collection);
    }
    if let Some(modified) = modified.filter(|_| metadata.get("@last-modified").is_none()) {
        metadata.insert("@last-modified", modified);
    }
}

/// Whether a document of 3.5 is an old revision of another one.
pub(crate) fn is_revision(metadata: &Object) -> bool {
    metadata.get("Raven-Document-Revision-Status").and_then(Json::as_str) == Some("Historical")
}

/// An attachment of 3.5 (`{"Data","Metadata","Key"}`): the document that it becomes, and the attachment of that.
///
/// # Errors
/// One sentence.
pub(crate) fn attachment(element: &Json) -> Result<(String, NewDocument, Attachment, Content), String> {
    let text = |key: &str| element.get(key).and_then(Json::as_str);
    let key = text("Key").ok_or("it has no Key")?;
    let data = text("Data").ok_or("it has no Data")?;
    let bytes = STANDARD.decode(data).map_err(|error| format!("its Data is not base64: {error}"))?;
    let content = Content::new(bytes).map_err(|error| error.to_string())?;
    let id = format!("files/{key}");
    let metadata = element.get("Metadata");
    let content_type = metadata.and_then(|metadata| metadata.get("Content-Type")).and_then(Json::as_str);
    let own = Object::from_iter([("@collection", Json::from("@files"))]);
    let document = Json::Object(Object::from_iter([("@metadata", Json::from(own))]));
    let document = NewDocument::from_json(&id, document).map_err(|error| error.to_string())?;
    let attachment = Attachment {
        name: key.to_owned(),
        hash: content.hash().clone(),
        content_type: content_type.unwrap_or_default().to_owned(),
        size: content.size(),
    };
    Ok((id, document, attachment, content))
}

/// An index definition of 3.5 (`{"name","definition":{"Map","Maps","Reduce",..}}`) in today's form.
pub(crate) fn definition(element: &Json) -> Option<Object> {
    let old = element.get("definition").and_then(Json::as_object)?;
    let name = element.get("name").or_else(|| old.get("Name")).cloned()?;
    let filled = |key: &str| old.get(key).filter(|value| !value.is_null()).cloned();
    let maps = match filled("Maps") {
        Some(Json::Array(maps)) if !maps.is_empty() => maps,
        _ => filled("Map").into_iter().collect(),
    };
    let lock_mode = old.get("LockMode").and_then(Json::as_str);
    let lock_mode = lock_mode.filter(|mode| matches!(*mode, "LockedIgnore" | "LockedError"));
    let mut definition = Object::from_iter([
        ("Name", name),
        ("Maps", Json::Array(maps)),
        ("Reduce", filled("Reduce").unwrap_or_default()),
        ("LockMode", lock_mode.unwrap_or("Unlock").into()),
    ]);
    let mut fields = Object::new();
    for (option, values) in [("Indexing", "Indexes"), ("Storage", "Stores"), ("Analyzer", "Analyzers")] {
        for (field, value) in old.get(values).and_then(Json::as_object).into_iter().flat_map(Object::iter) {
            let value = match value.as_str() {
                Some("Analyzed") => "Search".into(),
                Some("NotAnalyzed") => "Exact".into(),
                _ => value.clone(),
            };
            if fields.get(field).is_none() {
                fields.insert(field, Object::new());
            }
            if let Some(Json::Object(options)) = fields.get_mut(field) {
                options.insert(option, value);
            }
        }
    }
    definition.insert("Fields", fields);
    Some(definition)
}

#[cfg(test)]
mod tests {
    use super::{definition, modernise};
    use magpie_store::json;

    #[test]
    fn metadata_of_old_dumps_becomes_todays() {
        let mut document = json::parse(
            br#"{"a":1.50,"@metadata":{"Raven-Entity-Name":"Users","Raven-Clr-Type":"U","@id":"users/1",
                "Last-Modified":"2016-08-22T11:23:36.1861726Z","@etag":"01","Non-Authoritative-Information":false}}"#,
        )
        .unwrap();
        modernise(&mut document);
        let expected = r#"{"a":1.50,"@metadata":{"Raven-Clr-Type":"U","@id":"users/1","@collection":"Users","@last-modified":"2016-08-22T11:23:36.1861726Z"}}"#;
        assert_eq!(document.to_string(), expected);
        let mut hilo = json::parse(br#"{"Max":32,"@metadata":{"@id":"Raven/Hilo/users"}}"#).unwrap();
        modernise(&mut hilo);
        assert_eq!(hilo.get("@metadata").unwrap().get("@collection").unwrap().as_str(), Some("@hilo"));
    }

    #[test]
    fn definitions_of_old_dumps_become_todays() {
        let old = json::parse(
            br#"{"name":"A","definition":{"Map":"from x in docs.X select x","Reduce":null,"LockMode":"SideBySide",
                "Indexes":{"t":"Analyzed","u":"NotAnalyzed"},"Stores":{"t":"Yes"}}}"#,
        )
        .unwrap();
        let expected = r#"{"Name":"A","Maps":["from x in docs.X select x"],"Reduce":null,"LockMode":"Unlock","Fields":{"t":{"Indexing":"Search","Storage":"Yes"},"u":{"Indexing":"Exact"}}}"#;
        assert_eq!(json::Json::Object(definition(&old).unwrap()).to_string(), expected);
    }
}
