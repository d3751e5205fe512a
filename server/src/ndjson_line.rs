//! One line of an NDJSON upload becomes a command: where its collection and its id come from.

use crate::error::ServerError;
use crate::query_string::Pairs;
use crate::random;
use magpie_store::json::{DocumentText, Json, Object};
use magpie_store::{Command, NewDocument};

/// How lines are read; the same for a whole upload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LineOptions {
    /// The collection of lines that name none.
    collection: Option<String>,
    /// The field with a line's collection.
    collection_from: Option<String>,
    /// The field with a line's id.
    id_field: Option<String>,
}

impl LineOptions {
    /// Lines whose collection is in their metadata or in this field, and whose id is in their metadata or in `id`.
    #[must_use]
    pub fn with_collection_from(field: &str) -> Self {
        Self { collection_from: Some(field.to_owned()), ..Self::default() }
    }

    /// Reads `collection`, `collectionFrom` and `id`.
    ///
    /// # Errors
    /// [`ServerError::ValueNotAllowed`] when both collection parameters are given.
    pub(crate) fn read(query: &Pairs) -> Result<Self, ServerError> {
        let text = |key: &str| query.get(key).map(str::to_owned);
        let options = Self {
            collection: text("collection"),
            collection_from: text("collectionFrom"),
            id_field: text("id"),
        };
        match (&options.collection, &options.collection_from) {
            (Some(_), Some(field)) => Err(ServerError::ValueNotAllowed {
                name: "collectionFrom",
                value: field.clone(),
                expected: "either collection or collectionFrom",
            }),
            _ => Ok(options),
        }
    }
}

/// Reads a line.
///
/// # Errors
/// What is wrong with it, in one sentence.
pub fn read_line(text: &[u8], options: &LineOptions) -> Result<Command, String> {
    let mut document = match DocumentText::parse(text) {
        Ok(Some(document)) => document,
        Ok(None) => return Err("the line is JSON, but not an object".to_owned()),
        Err(error) => return Err(format!("column {}: {}", error.column, error.message)),
    };
    let collection = collection_of(&document, options)?;
    let id = match id_of(&document, options)? {
        Some(id) => id,
        None => match &collection {
            Some(collection) => format!("{collection}/"),
            None => random::uuid().map_err(|error| error.to_string())?,
        },
    };
    if let Some(collection) = collection {
        set_collection(&mut document, collection)?;
    }
    let document = NewDocument::from_text(&id, document).map_err(|error| error.to_string())?;
    Ok(Command::Put { id, document, expected: None })
}

fn metadata<'d>(document: &'d DocumentText, key: &str) -> Option<&'d Json> {
    document.metadata().and_then(|metadata| metadata.get(key))
}

fn collection_of(document: &DocumentText, options: &LineOptions) -> Result<Option<String>, String> {
    if let Some(Json::String(own)) = metadata(document, "@collection") {
        return Ok(Some(own.clone()));
    }
    let Some(field) = &options.collection_from else { return Ok(options.collection.clone()) };
    match document.get(field) {
        Some(Json::String(name)) => Ok(Some(name)),
        Some(_) => Err(format!("the field '{field}' must be a string: it names the collection")),
        None => Err(format!("there is no field '{field}', which names the collection")),
    }
}

fn id_of(document: &DocumentText, options: &LineOptions) -> Result<Option<String>, String> {
    if let Some(field) = &options.id_field {
        return match document.get(field).map(|id| id_text(&id)) {
            Some(Some(id)) => Ok(Some(id)),
            Some(None) => {
                Err(format!("the field '{field}' must be a string or a whole number: it is the id"))
            }
            None => Err(format!("there is no field '{field}', which is the id")),
        };
    }
    if let Some(Json::String(id)) = metadata(document, "@id") {
        return Ok(Some(id.clone()));
    }
    Ok(document.get("id").and_then(|id| id_text(&id)))
}

fn id_text(value: &Json) -> Option<String> {
    match value {
        Json::String(text) if !text.is_empty() => Some(text.clone()),
        Json::Number(number) => number.as_i64().map(|whole| whole.to_string()),
        _ => None,
    }
}

fn set_collection(document: &mut DocumentText, collection: String) -> Result<(), String> {
    match document.metadata_mut() {
        place @ None => {
            *place = Some(Json::Object(Object::from_iter([("@collection", Json::from(collection))])));
        }
        Some(Json::Object(metadata)) => metadata.insert("@collection", collection),
        Some(_) => return Err("@metadata must be an object".to_owned()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{LineOptions, read_line};
    use crate::query_string::Pairs;
    use magpie_store::Command;

    fn read(line: &str, options: &str) -> Result<(String, String), String> {
        let options = LineOptions::read(&Pairs::parse(options)).unwrap();
        match read_line(line.as_bytes(), &options)? {
            Command::Put { id, document, .. } => Ok((id, document.collection().to_string())),
            _ => Err("not a put".to_owned()),
        }
    }

    #[test]
    fn ids_and_collections_come_from_where_they_are_said_to_be() {
        let cases = [
            (r#"{"id":"e/1"}"#, "collection=Events", ("e/1", "Events")),
            (r#"{"id":7}"#, "collection=Events", ("7", "Events")),
            (r#"{"x":1}"#, "collection=Events", ("Events/", "Events")),
            (r#"{"id":true}"#, "collection=Events", ("Events/", "Events")),
            (r#"{"k":"a","id":"b"}"#, "collection=Events&id=k", ("a", "Events")),
            (r#"{"t":"Jobs","id":"b"}"#, "collectionFrom=t", ("b", "Jobs")),
            (r#"{"id":"b","@metadata":{"@collection":"Own","@id":"a"}}"#, "collection=Events", ("a", "Own")),
            (r#"{"id":"b","@metadata":{"k":1}}"#, "collection=Events", ("b", "Events")),
        ];
        for (line, options, (id, collection)) in cases {
            assert_eq!(read(line, options).unwrap(), (id.to_owned(), collection.to_owned()), "{line}");
        }
        assert_eq!(read("{}", "").unwrap().0.len(), 36);
    }

    #[test]
    fn bad_lines_say_what_is_wrong() {
        let cases = [
            ("{\"a\":1,}", "", "column 8"),
            ("[1]", "", "not an object"),
            ("{}", "id=k", "no field 'k'"),
            ("{\"k\":1.5}", "id=k", "whole number"),
            ("{}", "collectionFrom=t", "no field 't'"),
            ("{\"t\":1}", "collectionFrom=t", "must be a string"),
            ("{\"@metadata\":5}", "collection=X", "@metadata"),
        ];
        for (line, options, words) in cases {
            let message = read(line, options).unwrap_err();
            assert!(message.contains(words), "{line}: {message}");
        }
        assert!(LineOptions::read(&Pairs::parse("collection=a&collectionFrom=b")).is_err());
    }
}
