//! Includes: ids found in a document by a path, whose documents are sent along.
//!
//! A path is `field`, `a.b`, `lines[].product` (each element of an array), `map.$Keys` or `map.$Values` (a dictionary),
//! with an optional prefix `customerId(customers/)` or suffix `customerId[{0}/profile]` around the value. What does
//! not lead to a string or number is passed over silently, as is an id that has no document.

use magpie_store::json::{Json, Object};

/// The ids that `path` finds in a document, in document order, duplicates included.
pub(crate) fn ids(document: &Object, path: &str) -> Vec<String> {
    let (path, affix) = split_affix(path);
    let mut found = Vec::new();
    if let Some((first, rest)) = split_path(path).split_first() {
        walk_key(document, first, rest, &mut found);
    }
    let ids = found.into_iter().flat_map(|value| {
        let whole = affix.around(&value);
        // The value alone may be an id as well.
        [Some(value).filter(|value| *value != whole), Some(whole)]
    });
    ids.flatten().filter(|id| !id.is_empty()).collect()
}

/// What a found value is completed with.
enum Affix<'a> {
    None,
    Prefix(&'a str),
    Template(&'a str),
}

impl Affix<'_> {
    fn around(&self, value: &str) -> String {
        match self {
            Self::None => value.to_owned(),
            Self::Prefix(prefix) => format!("{prefix}{value}"),
            Self::Template(template) => template.replace("{0}", value),
        }
    }
}

fn split_affix(path: &str) -> (&str, Affix<'_>) {
    if let Some((before, prefix)) = path.strip_suffix(')').and_then(|path| path.rsplit_once('(')) {
        return (before, Affix::Prefix(prefix));
    }
    match path.strip_suffix(']').and_then(|path| path.rsplit_once('[')) {
        Some((before, template)) if template.contains("{0}") => (before, Affix::Template(template)),
        _ => (path, Affix::None),
    }
}

/// The steps of a path; `lines[].p` gives `lines`, `[]`, `p`.
fn split_path(path: &str) -> Vec<&str> {
    let mut steps = Vec::new();
    for part in path.split('.') {
        let name = part.trim_end_matches("[]");
        steps.push(name);
        steps.extend(std::iter::repeat_n("[]", (part.len() - name.len()) / 2));
    }
    steps
}

fn walk_key(object: &Object, step: &str, rest: &[&str], found: &mut Vec<String>) {
    match step {
        "$Keys" if rest.is_empty() => found.extend(object.keys().map(str::to_owned)),
        "$Values" => object.iter().for_each(|(_, value)| walk(value, rest, found)),
        key => {
            if let Some(value) = object.get(key) {
                walk(value, rest, found);
            }
        }
    }
}

fn walk(value: &Json, steps: &[&str], found: &mut Vec<String>) {
    match (steps.split_first(), value) {
        (None, Json::String(text)) => found.push(text.clone()),
        (None, Json::Number(number)) => found.push(number.to_string()),
        // An array of ids needs no brackets at the end of the path.
        (None, Json::Array(items)) => items.iter().for_each(|item| walk(item, &[], found)),
        // Nor does one in its middle.
        (Some((step, _)), Json::Array(items)) if *step != "[]" => {
            items.iter().for_each(|item| walk(item, steps, found));
        }
        (Some((&"[]", rest)), Json::Array(items)) => items.iter().for_each(|item| walk(item, rest, found)),
        (Some((step, rest)), Json::Object(object)) => walk_key(object, step, rest, found),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::ids;
    use magpie_store::json::{Json, parse};

    #[test]
    fn paths_find_ids() {
        let text = br#"{"a":"x/1","n":{"b":"x/2"},"l":[{"p":"x/3"},{"p":7},{"q":1}],"m":{"x/4":"x/5"},"t":["x/6",["x/7"]],"e":"","z":null}"#;
        let Ok(Json::Object(document)) = parse(text) else { panic!("not an object") };
        let cases: [(&str, &[&str]); 15] = [
            ("a", &["x/1"]),
            ("n.b", &["x/2"]),
            ("l[].p", &["x/3", "7"]),
            ("l[].p(users/)", &["x/3", "users/x/3", "7", "users/7"]),
            ("l.p", &["x/3", "7"]),
            ("m.$Keys", &["x/4"]),
            ("m.$Values", &["x/5"]),
            ("t", &["x/6", "x/7"]),
            ("t[]", &["x/6", "x/7"]),
            ("a[{0}/suffix]", &["x/1", "x/1/suffix"]),
            ("e", &[]),
            ("z", &[]),
            ("nope.b", &[]),
            ("l,p", &[]),
            ("", &[]),
        ];
        for (path, expected) in cases {
            assert_eq!(ids(&document, path), expected, "{path}");
        }
    }
}
