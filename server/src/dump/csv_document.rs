//! A record of CSV as a document: column names are paths, and texts that are JSON are values.
//!
//! - `@id` is the id; without that column the documents get `{collection}/` and a number. `@metadata.x` is metadata.
//! - `a.b` stands inside of `a`.
//! - Empty is null (and no metadata); numbers of JSON keep their digits, and what only looks like one (`007`, `+5`) stays
//!   text; `true`, `false`, and `True`, `False` as exports write them; lists and objects; `\"7\"` is the text 7.

use super::csv_records::Record;
use super::error::DumpError;
use magpie_store::json::{self, Json, Object};
use magpie_store::{Command, NewDocument};

const ID: &str = "@id";
const METADATA: &str = "@metadata";
const COLLECTION: &str = "@collection";

/// The columns of a file, by its first record.
pub(crate) struct Columns {
    columns: Vec<Column>,
    /// The collection of records that name none.
    collection: String,
}

struct Column {
    /// As the file has it.
    name: String,
    /// The keys from the outside to the inside.
    path: Vec<String>,
}

/// A fault of a record: the column, counted from 1, and what is wrong with it.
pub(crate) struct Fault {
    pub(crate) column: usize,
    pub(crate) message: String,
}

impl Columns {
    /// Reads the column names.
    ///
    /// # Errors
    /// [`DumpError::Csv`] when two columns would be one field, or one stands inside of another.
    pub(crate) fn new(head: Record, collection: String) -> Result<Self, DumpError> {
        let column = |name: String| {
            let path = if name == ID { format!("{METADATA}.{ID}") } else { name.clone() };
            Column { path: path.split('.').map(str::to_owned).collect(), name }
        };
        let columns: Vec<Column> = head.cells.into_iter().map(column).collect();
        // In the order of paths, a column is followed by those inside of it.
        let mut order: Vec<(usize, &Column)> = columns.iter().enumerate().collect();
        order.sort_by(|a, b| a.1.path.cmp(&b.1.path).then(a.0.cmp(&b.0)));
        for pair in order.windows(2) {
            let [(_, outer), (at, inner)] = pair else { continue };
            if inner.path.starts_with(&outer.path) {
                let message = if inner.path == outer.path {
                    format!("the column '{}' is there twice", inner.name)
                } else {
                    format!("the column '{}' stands inside of '{}', which is a value", inner.name, outer.name)
                };
                return Err(DumpError::Csv { line: head.line, column: at + 1, message });
            }
        }
        if let Some(at) = columns.iter().position(|column| column.name == METADATA) {
            let message =
                "@metadata is an object; give a column for each of its fields: @metadata.x".to_owned();
            return Err(DumpError::Csv { line: head.line, column: at + 1, message });
        }
        Ok(Self { columns, collection })
    }

    /// The name of a column, counted from 1.
    pub(crate) fn name(&self, column: usize) -> &str {
        column.checked_sub(1).and_then(|at| self.columns.get(at)).map_or("", |column| &column.name)
    }

    /// The id of a record's document, or its beginning, and the write.
    ///
    /// # Errors
    /// [`Fault`]
    pub(crate) fn command(&self, cells: Vec<String>) -> Result<(String, Command), Fault> {
        let (has, wants) = (cells.len(), self.columns.len());
        if has != wants {
            let message = format!("the record has {has} cells, but there are {wants} columns");
            return Err(Fault { column: has.min(wants) + 1, message });
        }
        let mut document = Object::new();
        for (at, (column, text)) in self.columns.iter().zip(cells).enumerate() {
            let is_metadata = column.path.first().is_some_and(|key| key == METADATA);
            if is_metadata && text.is_empty() {
                if column.path.last().is_some_and(|key| key == ID) {
                    let message = "the id is empty; take the column away to have ids made".to_owned();
                    return Err(Fault { column: at + 1, message });
                }
                continue;
            }
            let value = if is_metadata { Json::String(text) } else { value(text) };
            insert(&mut document, &column.path, value);
        }
        let mut metadata = match document.remove(METADATA) {
            Some(Json::Object(metadata)) => metadata,
            _ => Object::new(),
        };
        if metadata.get(COLLECTION).is_none() {
            metadata.insert(COLLECTION, self.collection.as_str());
        }
        let collection = metadata.get(COLLECTION).and_then(Json::as_str).unwrap_or_default();
        let made = format!("{collection}/");
        let id = metadata.get(ID).and_then(Json::as_str).map_or(made, str::to_owned);
        document.insert(METADATA, metadata);
        let document = NewDocument::from_json(&id, document.into())
            .map_err(|error| Fault { column: 1, message: error.to_string() })?;
        Ok((id.clone(), Command::Put { id, document, expected: None }))
    }
}

/// Puts a value at its path; [`Columns::new`] has seen to it that what is on the way is an object.
fn insert(object: &mut Object, path: &[String], value: Json) {
    match path {
        [] => {}
        [key] => object.insert(key.as_str(), value),
        [key, rest @ ..] => {
            if !matches!(object.get(key), Some(Json::Object(_))) {
                object.insert(key.as_str(), Object::new());
            }
            if let Some(Json::Object(inner)) = object.get_mut(key) {
                insert(inner, rest, value);
            }
        }
    }
}

/// What a cell means.
fn value(text: String) -> Json {
    match text.as_str() {
        "" => return Json::Null,
        "True" => return true.into(),
        "False" => return false.into(),
        _ => {}
    }
    let quoted = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match (json::parse(text.as_bytes()), quoted) {
        // JSON may have blanks around it, a text has them inside.
        (Ok(value), _) if text.trim() == text => value,
        (_, Some(inner)) => Json::String(inner.to_owned()),
        _ => Json::String(text),
    }
}

/// The collection that a file's name stands for: `order.csv` is for `Orders`.
pub(crate) fn collection_of(file: &str) -> String {
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    let mut name: String =
        stem.chars().map(|c| if c.is_alphanumeric() || c == '.' { c } else { '_' }).collect();
    let first = name.chars().next().map(char::len_utf8).unwrap_or_default();
    let upper: String = name.chars().take(1).flat_map(char::to_uppercase).collect();
    name.replace_range(..first, &upper);
    let is_vowel = |c: char| "aeiouAEIOU".contains(c);
    let mut ends = name.chars().rev();
    match (ends.next(), ends.next()) {
        (None, _) => return "Imported".to_owned(),
        (Some('y'), Some(before)) if !is_vowel(before) => {
            name.pop();
            name.push_str("ies");
        }
        (Some('s'), Some('s')) | (Some('x' | 'z'), _) | (Some('h'), Some('c' | 's')) => name.push_str("es"),
        (Some('s'), _) => {}
        _ => name.push('s'),
    }
    name
}

#[cfg(test)]
mod tests {
    use super::{Columns, DumpError, Record, collection_of};
    use magpie_store::json::{self, Json, Object};
    use magpie_store::{Command, DocumentId, Timestamp};

    fn columns(names: &[&str]) -> Result<Columns, DumpError> {
        let cells = names.iter().map(|name| (*name).to_owned()).collect();
        Columns::new(Record { line: 1, cells }, "Users".to_owned())
    }

    fn read(names: &[&str], cells: &[&str]) -> Result<(String, String, String), (usize, String)> {
        let cells = cells.iter().map(|cell| (*cell).to_owned()).collect();
        match columns(names).unwrap().command(cells) {
            Ok((id, Command::Put { document, .. })) => {
                let collection = document.collection().to_string();
                let document = document.to_document(DocumentId::new("x").unwrap(), Timestamp(0));
                Ok((id, collection, document.body.to_string()))
            }
            Ok(_) => panic!("not a put"),
            Err(fault) => Err((fault.column, fault.message)),
        }
    }

    #[test]
    fn cells_are_values_and_paths_are_objects() {
        let names = ["@id", "n", "a.b", "a.c", "@metadata.@collection"];
        let (id, collection, body) = read(&names, &["u/1", "1.50", "true", "x", "People"]).unwrap();
        let expected = (r#"{"n":1.50,"a":{"b":true,"c":"x"}}"#, "People", "u/1");
        assert_eq!((body.as_str(), collection.as_str(), id.as_str()), expected);
        for (cell, value) in [
            ("", "null"),
            ("null", "null"),
            ("12345678901234567890123", "12345678901234567890123"),
            ("007", r#""007""#),
            ("+5", r#""+5""#),
            (" 5", r#"" 5""#),
            ("False", "false"),
            ("NULL", r#""NULL""#),
            (r#""7""#, r#""7""#),
            (r#""a"b""#, r#""a\"b""#),
            (r#"[1,"a"]"#, r#"[1,"a"]"#),
            ("[bad", r#""[bad""#),
            (r#"{"q":1}"#, r#"{"q":1}"#),
        ] {
            let (id, collection, body) = read(&["v"], &[cell]).unwrap();
            let expected = Object::from_iter([("v", json::parse(value.as_bytes()).unwrap())]);
            assert_eq!(body, Json::Object(expected).to_string(), "{cell}");
            assert_eq!((id.as_str(), collection.as_str()), ("Users/", "Users"));
        }
    }

    #[test]
    fn faults_name_the_column() {
        for (names, cells, column, words) in [
            (["a", "b"], &["1"][..], 2, "has 1 cells, but there are 2"),
            (["a", "b"], &["1", "2", "3"][..], 3, "has 3 cells"),
            (["a", "@id"], &["1", ""][..], 2, "id is empty"),
        ] {
            let (found, message) = read(&names, cells).unwrap_err();
            assert!(found == column && message.contains(words), "{found}: {message}");
        }
        for names in [&["a", "b", "a"][..], &["a.b", "a"], &["@metadata"], &["@id", "@metadata.@id"]] {
            assert!(columns(names).is_err(), "{names:?}");
        }
        assert!(columns(&["a.b", "a.c", "ab", "@metadata.x"]).is_ok());
    }

    #[test]
    fn a_file_names_its_collection() {
        for (file, name) in [
            ("people.csv", "Peoples"),
            ("orders.csv", "Orders"),
            ("category.csv", "Categories"),
            ("box.csv", "Boxes"),
            ("my file-2.csv", "My_file_2s"),
            ("Company.CSV", "Companies"),
            ("address.csv", "Addresses"),
            ("day", "Days"),
            ("", "Imported"),
        ] {
            assert_eq!(collection_of(file), name);
        }
    }
}
