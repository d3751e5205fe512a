//! JSON patches (RFC 6902): operations on one document that need no script. Numbers keep their digits.
//!
//! The paths are JSON pointers (RFC 6901). A patch is applied wholly or fails; what is made of a document never gets
//! larger or deeper than a document may be, however often a patch copies.

use super::failure::PatchFailure;
use magpie_store::json::{Json, Object};
use magpie_store::limits::{DOCUMENT_BYTES_MAX, JSON_DEPTH_MAX};
use std::sync::Arc;

/// The patch of one document.
#[derive(Debug, Clone)]
pub(crate) struct JsonPatchCommand {
    /// The document.
    pub(crate) id: String,
    /// The change vector it must have; empty = there must be none.
    pub(crate) expected: Option<String>,
    /// Whether the answer has the document.
    pub(crate) return_document: bool,
    /// What is done, in order.
    pub(crate) operations: Arc<Vec<Operation>>,
}

/// One operation.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    kind: Kind,
    path: Pointer,
}

#[derive(Debug, Clone)]
enum Kind {
    Add(Json),
    Remove,
    Replace(Json),
    Move(Pointer),
    Copy(Pointer),
    Test(Json),
}

/// A JSON pointer to something below the document.
#[derive(Debug, Clone)]
struct Pointer {
    text: String,
    parents: Vec<String>,
    last: String,
}

type Applied<T> = Result<T, String>;

/// Reads `{"Operations":[..]}`.
///
/// # Errors
/// [`PatchFailure::JsonPatch`] with the operation that is none.
pub(crate) fn read(body: &Object) -> Result<Arc<Vec<Operation>>, PatchFailure> {
    let Some(Json::Array(list)) = body.get("Operations") else {
        return Err(PatchFailure::JsonPatch("it must have a property 'Operations' with an array".to_owned()));
    };
    let mut operations = Vec::with_capacity(list.len());
    for (place, operation) in list.iter().enumerate() {
        let read = read_one(operation);
        operations.push(read.map_err(|why| PatchFailure::JsonPatch(format!("operation {place}: {why}")))?);
    }
    Ok(Arc::new(operations))
}

fn read_one(operation: &Json) -> Applied<Operation> {
    let text = |name: &str| operation.get(name).and_then(Json::as_str);
    let value = || operation.get("value").cloned().ok_or("Unable to find 'value' property");
    let path = Pointer::read(text("path").ok_or("Unable to find 'path' property")?)?;
    let from = || Pointer::read(text("from").ok_or("Unable to find 'from' property")?);
    let kind = match text("op").unwrap_or_default().to_lowercase().as_str() {
        "add" => Kind::Add(value()?),
        "remove" => Kind::Remove,
        "replace" => Kind::Replace(value()?),
        "move" => Kind::Move(from()?),
        "copy" => Kind::Copy(from()?),
        "test" => Kind::Test(value()?),
        other => {
            return Err(format!(
                "Unable to understand 'op' {other}: use add, remove, replace, move, copy or test"
            ));
        }
    };
    Ok(Operation { kind, path })
}

/// Applies all operations to a document, in order.
///
/// # Errors
/// Which operation cannot be applied and why.
pub(super) fn apply(document: &mut Json, operations: &[Operation]) -> Applied<()> {
    let mut size = extent(document).0;
    for (place, operation) in operations.iter().enumerate() {
        apply_one(document, operation, &mut size)
            .map_err(|why| format!("operation {place} at '{}': {why}", operation.path.text))?;
    }
    Ok(())
}

fn apply_one(document: &mut Json, operation: &Operation, size: &mut usize) -> Applied<()> {
    let path = &operation.path;
    match &operation.kind {
        Kind::Add(value) => add(document, path, value.clone(), size),
        Kind::Remove => remove(document, path).map(drop),
        Kind::Replace(value) => {
            grow(path, value, size)?;
            *find(document, path)? = value.clone();
            Ok(())
        }
        Kind::Move(from) => {
            if path.text.starts_with(&format!("{}/", from.text)) {
                return Err(format!("'{}' cannot be moved into itself", from.text));
            }
            let value = remove(document, from)?;
            add(document, path, value, size)
        }
        Kind::Copy(from) => {
            let value = find(document, from)?.clone();
            add(document, path, value, size)
        }
        Kind::Test(value) => {
            let found = find(document, path)?;
            if is_equal(found, value) {
                return Ok(());
            }
            let shown: String = found.to_string().chars().take(100).collect();
            Err(format!("The current value '{shown}' is not equal to the test value"))
        }
    }
}

fn add(document: &mut Json, path: &Pointer, value: Json, size: &mut usize) -> Applied<()> {
    grow(path, &value, size)?;
    match path.parent(document)? {
        Json::Object(object) => object.insert(path.last.as_str(), value),
        Json::Array(items) if path.last == "-" => items.push(value),
        Json::Array(items) => {
            // One behind the last element is a place, too.
            let place = index(&path.last, items.len() + 1)?;
            items.insert(place, value);
        }
        _ => return Err(path.no_container()),
    }
    Ok(())
}

fn remove(document: &mut Json, path: &Pointer) -> Applied<Json> {
    match path.parent(document)? {
        Json::Object(object) => object.remove(&path.last).ok_or_else(|| path.nothing()),
        Json::Array(items) => {
            let place = index(&path.last, items.len())?;
            Ok(items.remove(place))
        }
        _ => Err(path.no_container()),
    }
}

fn find<'j>(document: &'j mut Json, path: &Pointer) -> Applied<&'j mut Json> {
    let parent = path.parent(document)?;
    child(parent, &path.last).ok_or_else(|| path.nothing())
}

fn child<'j>(parent: &'j mut Json, name: &str) -> Option<&'j mut Json> {
    match parent {
        Json::Object(object) => object.get_mut(name),
        Json::Array(items) => {
            let place = index(name, items.len()).ok()?;
            items.get_mut(place)
        }
        _ => None,
    }
}

/// An array index below `length`, without leading zeros.
fn index(text: &str, length: usize) -> Applied<usize> {
    let plain = text == "0" || (!text.starts_with('0') && text.bytes().all(|digit| digit.is_ascii_digit()));
    match text.parse::<usize>() {
        Ok(place) if plain && place < length => Ok(place),
        Ok(place) if plain => Err(format!("Position {place} is out of array bounds")),
        _ => Err(format!("Expected an index but got a '{text}'")),
    }
}

/// Counts a value that comes in; refuses what is too much.
fn grow(path: &Pointer, value: &Json, size: &mut usize) -> Applied<()> {
    let (bytes, depth) = extent(value);
    *size = size.saturating_add(bytes);
    if *size > 2 * DOCUMENT_BYTES_MAX {
        return Err(format!(
            "the patch adds more than a document may have ({DOCUMENT_BYTES_MAX} bytes, document_bytes_max)"
        ));
    }
    if path.parents.len() + 1 + depth > JSON_DEPTH_MAX {
        return Err(format!("the document would nest deeper than {JSON_DEPTH_MAX} levels (json_depth_max)"));
    }
    Ok(())
}

/// Roughly the bytes of a value as text, and how many levels it has.
fn extent(value: &Json) -> (usize, usize) {
    let sum = |(bytes, depth): (usize, usize), (name, child): (usize, &Json)| {
        let (more, levels) = extent(child);
        (bytes + name + more + 1, depth.max(levels + 1))
    };
    match value {
        Json::String(text) => (text.len() + 2, 0),
        Json::Array(items) => items.iter().map(|item| (0, item)).fold((2, 1), sum),
        Json::Object(fields) => fields.iter().map(|(name, item)| (name.len() + 3, item)).fold((2, 1), sum),
        Json::Number(number) => (number.to_string().len(), 0),
        Json::ScriptNumber(_) | Json::Null | Json::Bool(_) => (5, 0),
    }
}

/// Numbers are equal by value, objects in any order.
fn is_equal(one: &Json, other: &Json) -> bool {
    match (one, other) {
        (Json::Number(one), Json::Number(other)) => one.cmp_value(other).is_eq(),
        (Json::Array(one), Json::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_equal(one, other))
        }
        (Json::Object(one), Json::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, one)| other.get(name).is_some_and(|other| is_equal(one, other)))
        }
        (one, other) => one == other,
    }
}

impl Pointer {
    fn read(text: &str) -> Applied<Self> {
        let wrong = || format!("Invalid path {text}. Paths must be of format /*/*/*...");
        let inner = text.strip_prefix('/').ok_or_else(wrong)?;
        let mut parts: Vec<String> =
            inner.split('/').map(|part| part.replace("~1", "/").replace("~0", "~")).collect();
        let last = parts.pop().filter(|last| !last.is_empty()).ok_or_else(wrong)?;
        if parts.len() > JSON_DEPTH_MAX {
            return Err(format!("the path has more than {JSON_DEPTH_MAX} parts (json_depth_max)"));
        }
        Ok(Self { text: text.to_owned(), parents: parts, last })
    }

    /// The object or array that holds what the pointer points to.
    fn parent<'j>(&self, document: &'j mut Json) -> Applied<&'j mut Json> {
        self.parents.iter().try_fold(document, |at, name| {
            child(at, name).ok_or_else(|| {
                format!("Cannot reach target location. Failed to fetch '{name}' in path '{}'", self.text)
            })
        })
    }

    fn nothing(&self) -> String {
        format!("Cannot reach target location. Failed to fetch '{}' in path '{}'", self.last, self.text)
    }

    fn no_container(&self) -> String {
        format!(
            "Cannot reach target location of '{}': what holds '{}' is no object or array",
            self.text, self.last
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use magpie_store::json::parse;

    fn patched(document: &str, operations: &str) -> Result<String, String> {
        let body = parse(format!(r#"{{"Operations":[{operations}]}}"#).as_bytes()).unwrap();
        let operations = read(body.as_object().unwrap()).map_err(|error| error.to_string())?;
        let mut document = parse(document.as_bytes()).unwrap();
        apply(&mut document, &operations)?;
        Ok(document.to_string())
    }

    #[test]
    fn operations_do_what_the_standard_says() {
        let document = r#"{"a":1.0,"l":[1,2.50,3],"o":{"x/y":1,"m~n":2}}"#;
        for (operations, expected) in [
            (
                r#"{"op":"add","path":"/b","value":[1e3]}"#,
                r#"{"a":1.0,"l":[1,2.50,3],"o":{"x/y":1,"m~n":2},"b":[1e3]}"#,
            ),
            (
                r#"{"op":"add","path":"/l/1","value":9}"#,
                r#"{"a":1.0,"l":[1,9,2.50,3],"o":{"x/y":1,"m~n":2}}"#,
            ),
            (
                r#"{"op":"add","path":"/l/-","value":4},{"op":"add","path":"/l/4","value":5}"#,
                r#"{"a":1.0,"l":[1,2.50,3,4,5],"o":{"x/y":1,"m~n":2}}"#,
            ),
            (
                r#"{"op":"replace","path":"/o/x~1y","value":null},{"op":"remove","path":"/o/m~0n"}"#,
                r#"{"a":1.0,"l":[1,2.50,3],"o":{"x/y":null}}"#,
            ),
            (
                r#"{"op":"move","from":"/l/1","path":"/o"},{"op":"copy","from":"/o","path":"/c"}"#,
                r#"{"a":1.0,"l":[1,3],"o":2.50,"c":2.50}"#,
            ),
            (
                r#"{"op":"test","path":"/a","value":1},{"op":"TEST","path":"/o","value":{"m~n":2,"x/y":1.0}}"#,
                document,
            ),
        ] {
            assert_eq!(patched(document, operations).as_deref(), Ok(expected), "{operations}");
        }
    }

    #[test]
    fn what_cannot_be_applied_is_refused() {
        let document = r#"{"a":1,"l":[1]}"#;
        for operations in [
            r#"{"op":"replace","path":"/b","value":1}"#,
            r#"{"op":"remove","path":"/b"}"#,
            r#"{"op":"remove","path":"/l/1"}"#,
            r#"{"op":"add","path":"/l/2","value":1}"#,
            r#"{"op":"add","path":"/l/01","value":1}"#,
            r#"{"op":"add","path":"/l/x","value":1}"#,
            r#"{"op":"add","path":"/a/b","value":1}"#,
            r#"{"op":"add","path":"/x/b","value":1}"#,
            r#"{"op":"add","path":"","value":1}"#,
            r#"{"op":"add","path":"/b"}"#,
            r#"{"op":"move","path":"/b"}"#,
            r#"{"op":"move","from":"/l","path":"/l/0"}"#,
            r#"{"op":"test","path":"/a","value":2}"#,
            r#"{"op":"grow","path":"/a"}"#,
            "7",
        ] {
            assert!(patched(document, operations).is_err(), "{operations}");
        }
    }

    #[test]
    fn copies_of_copies_stay_within_the_limits_of_a_document() {
        let deeper = vec![r#"{"op":"copy","from":"/a","path":"/a/a"}"#; 1000].join(",");
        assert!(patched(r#"{"a":{}}"#, &deeper).unwrap_err().contains("json_depth_max"));
        let wider =
            vec![r#"{"op":"copy","from":"/l","path":"/m/-"},{"op":"copy","from":"/m","path":"/l"}"#; 60];
        let failed = patched(r#"{"l":["xxxxxxxxxxxxxxxx"],"m":[]}"#, &wider.join(",")).unwrap_err();
        assert!(failed.contains("document_bytes_max") || failed.contains("json_depth_max"), "{failed}");
    }
}
