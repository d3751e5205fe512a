//! Rows as CSV (RFC 4180): a line of column names, then a line per row, `\r\n` behind each.
//!
//! The columns are those that were asked for, or those of the first row: its fields, objects taken apart by dots
//! (`ShipTo.City`), and `@id` first where a row has one. Text stands as it is, numbers digit for digit, arrays as JSON;
//! a field that is absent or null is empty. What a later row has besides is not written, but counted.
//!
//! On the wire it is the original's CSV: a byte order mark, the metadata behind the fields, `True` and `False`.

use magpie_store::json::{Json, Object};

/// Deepest object that is taken apart; what is deeper is written as JSON.
const DEPTH_MAX: usize = 8;
/// Most columns that are taken from a first row.
const COLUMNS_MAX: usize = 1024;

/// Writes rows as lines.
#[derive(Debug, Default)]
pub struct Csv {
    columns: Vec<String>,
    begun: bool,
    left_out: u64,
    wire: bool,
}

/// Metadata that has no column of its own: the id has one, the others are the server's.
const OWN_METADATA: [&str; 4] = ["@id", "@change-vector", "@last-modified", "@index-score"];

impl Csv {
    /// With these columns, or those of the first row when there are none.
    #[must_use]
    pub fn new(columns: Vec<String>) -> Self {
        Self { columns, begun: false, left_out: 0, wire: false }
    }

    /// As the original writes it for its clients.
    #[must_use]
    pub fn for_wire(columns: Vec<String>) -> Self {
        Self { wire: true, ..Self::new(columns) }
    }

    /// Appends a row, and before the first one the names of the columns.
    pub fn row(&mut self, row: &Json, out: &mut Vec<u8>) {
        let mut fields = Vec::new();
        if let Some(id) = row.get("@metadata").and_then(|metadata| metadata.get("@id")) {
            fields.push(("@id".to_owned(), id));
        }
        if let Some(object) = row.as_object() {
            flatten("", object, DEPTH_MAX, &mut fields);
        }
        if let Some(Json::Object(metadata)) = row.get("@metadata").filter(|_| self.wire) {
            flatten("@metadata.", metadata, DEPTH_MAX, &mut fields);
            fields.retain(|(name, _)| {
                name.strip_prefix("@metadata.").is_none_or(|name| !OWN_METADATA.contains(&name))
            });
        }
        if !self.begun {
            self.begin(&fields, out);
        }
        let known = fields.iter().filter(|(name, _)| self.columns.contains(name)).count();
        if known < fields.len() {
            self.left_out += 1;
        }
        for (at, column) in self.columns.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            let value = fields.iter().find(|(name, _)| name == column).map(|(_, value)| *value);
            match value.or_else(|| at_path(row, column)) {
                None | Some(Json::Null) => {}
                Some(Json::String(text)) => cell(text, out),
                Some(Json::Bool(value)) if self.wire => cell(if *value { "True" } else { "False" }, out),
                Some(other) => cell(&other.to_string(), out),
            }
        }
        out.extend_from_slice(b"\r\n");
    }

    /// How many rows had fields without a column.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    fn begin(&mut self, fields: &[(String, &Json)], out: &mut Vec<u8>) {
        self.begun = true;
        if self.wire {
            out.extend_from_slice("\u{feff}".as_bytes());
        }
        if self.columns.is_empty() {
            self.columns = fields.iter().take(COLUMNS_MAX).map(|(name, _)| name.clone()).collect();
        }
        for (at, column) in self.columns.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            cell(column, out);
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// The value at a path with dots, whatever it is.
fn at_path<'r>(row: &'r Json, path: &str) -> Option<&'r Json> {
    path.split('.').try_fold(row, |value, key| value.get(key))
}

fn flatten<'r>(prefix: &str, object: &'r Object, depth: usize, fields: &mut Vec<(String, &'r Json)>) {
    for (key, value) in object.iter().filter(|(key, _)| !prefix.is_empty() || *key != "@metadata") {
        let name = format!("{prefix}{key}");
        match value {
            Json::Object(inner) if depth > 0 && !inner.is_empty() => {
                flatten(&format!("{name}."), inner, depth - 1, fields);
            }
            _ => fields.push((name, value)),
        }
    }
}

fn cell(text: &str, out: &mut Vec<u8>) {
    let plain = !text.contains([',', '"', '\r', '\n']) && text.trim() == text;
    if plain {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(b'"');
    out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::Csv;
    use magpie_store::json;

    fn csv(columns: &[&str], rows: &[&str]) -> (String, u64) {
        let mut csv = Csv::new(columns.iter().map(|name| (*name).to_owned()).collect());
        let mut out = Vec::new();
        for row in rows {
            csv.row(&json::parse(row.as_bytes()).unwrap(), &mut out);
        }
        (String::from_utf8(out).unwrap(), csv.left_out())
    }

    #[test]
    fn the_first_row_gives_the_columns() {
        let rows = [
            r#"{"name":"a,b","n":1.50,"to":{"city":"x \"y\"","deep":{"z":12345678901234567890}},"list":[1,"2"],"@metadata":{"@id":"r/1"}}"#,
            r#"{"n":null,"to":{"city":" line\nbreak"},"more":1,"@metadata":{"@id":"r/2"}}"#,
        ];
        let expected = "@id,name,n,to.city,to.deep.z,list\r\n\
            r/1,\"a,b\",1.50,\"x \"\"y\"\"\",12345678901234567890,\"[1,\"\"2\"\"]\"\r\n\
            r/2,,,\" line\nbreak\",,\r\n";
        assert_eq!(csv(&[], &rows), (expected.to_owned(), 1));
    }

    #[test]
    fn the_wire_has_metadata_and_a_mark() {
        let row = r#"{"a":true,"@metadata":{"@collection":"Users","Own":{"k":1},"@id":"u/1","@change-vector":"A:1"}}"#;
        let mut out = Vec::new();
        Csv::for_wire(Vec::new()).row(&json::parse(row.as_bytes()).unwrap(), &mut out);
        let expected = "\u{feff}@id,a,@metadata.@collection,@metadata.Own.k\r\nu/1,True,Users,1\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn columns_that_are_asked_for_are_taken() {
        let (text, _) = csv(&["to", "n", "none"], &[r#"{"n":1,"to":{"a":2}}"#, "{}"]);
        assert_eq!(text, "to,n,none\r\n\"{\"\"a\"\":2}\",1,\r\n,,\r\n");
    }
}
