//! A document's text, checked as strictly as [`super::parse`] does and made compact in the same pass, without a tree.
//!
//! What comes out is byte for byte what parsing and writing would give; only the metadata, which somebody looks into,
//! becomes a [`Json`].

use super::parse::{Fault, JsonError, Parser, parse, utf8};
use super::value::{Json, Object};
use super::write::{into_text, write_string};
use std::collections::HashSet;
use std::ops::Range;

/// The member of a document that is kept apart.
const METADATA: &str = "@metadata";
/// Objects with at most this many keys look for duplicates by comparing, larger ones by hashing.
const LINEAR_KEYS_MAX: usize = 16;

/// How an array and an object end, and what is said where they do not.
const ARRAY: (u8, &str) = (b']', "',' or ']' after an array element");
const OBJECT: (u8, &str) = (b'}', "',' or '}' after an object member");

/// A document as it will be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct DocumentText {
    /// The compact text of the object without its metadata.
    body: String,
    /// What stood under `@metadata`, whatever it is.
    metadata: Option<Json>,
    /// The places of the members in `body`: (key with its quotes, value).
    members: Vec<(Range<usize>, Range<usize>)>,
}

impl DocumentText {
    /// Reads the text of a document; `None` when it is JSON, but not an object.
    ///
    /// # Errors
    /// Those of [`super::parse`].
    pub fn parse(text: &[u8]) -> Result<Option<Self>, JsonError> {
        let valid = utf8(text)?;
        let mut parser = Parser::<false>::new(valid);
        parser.skip_space();
        if parser.peek() != Some(b'{') {
            return parse(text).map(|_| None);
        }
        let read = parser.nested(Self::read).and_then(|document| {
            parser.end()?;
            Ok(document)
        });
        read.map(Some).map_err(|fault| fault.at(valid))
    }

    /// Reads an object of which one member is a document. When that member is not an object it stands among the others.
    ///
    /// # Errors
    /// Those of [`super::parse`]; `None` when the text is JSON, but not an object.
    pub fn parse_in(text: &[u8], key: &str) -> Result<Option<(Object, Option<Self>)>, JsonError> {
        let valid = utf8(text)?;
        let mut parser = Parser::<false>::new(valid);
        parser.skip_space();
        if parser.peek() != Some(b'{') {
            return parse(text).map(|_| None);
        }
        let read = parser.nested(|parser| read_around(parser, key)).and_then(|read| {
            parser.end()?;
            Ok(read)
        });
        read.map(Some).map_err(|fault| fault.at(valid))
    }

    /// The member with this key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Json> {
        let mut quoted = Vec::with_capacity(key.len() + 2);
        write_string(key, &mut quoted);
        let bytes = self.body.as_bytes();
        let found = self.members.iter().find(|(name, _)| bytes.get(name.clone()) == Some(&quoted))?;
        // It was checked when it was read.
        parse(bytes.get(found.1.clone())?).ok()
    }

    /// What stood under `@metadata`.
    #[must_use]
    pub fn metadata(&self) -> Option<&Json> {
        self.metadata.as_ref()
    }

    /// What stands under `@metadata`, to be changed.
    pub fn metadata_mut(&mut self) -> &mut Option<Json> {
        &mut self.metadata
    }

    pub(crate) fn into_parts(self) -> (String, Option<Json>) {
        (self.body, self.metadata)
    }

    /// Reads on behind the opening brace.
    fn read(parser: &mut Parser<'_, false>) -> Result<Self, Fault> {
        let mut out = Vec::with_capacity(parser.left() + 1);
        let mut read = Self { body: String::new(), metadata: None, members: Vec::with_capacity(16) };
        let mut keys = Keys::default();
        out.push(b'{');
        each(parser, OBJECT, |parser| {
            let begin = out.len();
            comma(0, &mut out);
            let key = copy_key(parser, &mut out, &mut keys)?;
            out.push(b':');
            let value = out.len();
            if out.get(key.clone()) == Some(b"\"@metadata\"") {
                out.truncate(begin);
                keys.others.push(METADATA.as_bytes().to_vec());
                read.metadata = Some(parser.value()?);
            } else {
                copy_value(parser, &mut out)?;
                keys.places.push(key.clone());
                read.members.push((key, value..out.len()));
            }
            Ok(())
        })?;
        out.push(b'}');
        read.body = into_text(out);
        Ok(read)
    }
}

/// Reads an object behind its opening brace, the member `wanted` as a document.
fn read_around(
    parser: &mut Parser<'_, false>,
    wanted: &str,
) -> Result<(Object, Option<DocumentText>), Fault> {
    let (mut object, mut document) = (Object::new(), None);
    each(parser, OBJECT, |parser| {
        let at = parser.at_key()?;
        let key = parser.string()?;
        if object.get(&key).is_some() || (document.is_some() && key == wanted) {
            return Err(Fault::duplicate(&key, at));
        }
        parser.colon()?;
        parser.skip_space();
        if key == wanted && parser.peek() == Some(b'{') {
            document = Some(parser.nested(DocumentText::read)?);
        } else {
            let value = parser.value()?;
            object.insert(key, value);
        }
        Ok(())
    })?;
    Ok((object, document))
}

/// The keys of an object so far, as they stand in the output.
#[derive(Default)]
struct Keys {
    places: Vec<Range<usize>>,
    /// Keys that are not in the output.
    others: Vec<Vec<u8>>,
    seen: HashSet<Vec<u8>>,
}

impl Keys {
    fn has(&mut self, key: &[u8], out: &[u8]) -> bool {
        let inner = key.get(1..key.len().saturating_sub(1)).unwrap_or_default();
        if self.others.iter().any(|other| other == inner) {
            return true;
        }
        if self.places.len() < LINEAR_KEYS_MAX {
            return self.places.iter().any(|place| out.get(place.clone()) == Some(key));
        }
        if self.seen.is_empty() {
            self.seen.extend(self.places.iter().filter_map(|place| Some(out.get(place.clone())?.to_vec())));
        }
        !self.seen.insert(key.to_vec())
    }
}

/// Copies a key with its quotes up to and with the colon, which is not copied; gives its place.
fn copy_key(
    parser: &mut Parser<'_, false>,
    out: &mut Vec<u8>,
    keys: &mut Keys,
) -> Result<Range<usize>, Fault> {
    let at = parser.at_key()?;
    let begin = out.len();
    copy_string(parser, out)?;
    let (before, key) = out.split_at(begin);
    if keys.has(key, before) {
        let text = parse(key).ok();
        return Err(Fault::duplicate(text.as_ref().and_then(Json::as_str).unwrap_or_default(), at));
    }
    parser.colon()?;
    Ok(begin..out.len())
}

fn copy_value(parser: &mut Parser<'_, false>, out: &mut Vec<u8>) -> Result<(), Fault> {
    parser.skip_space();
    match parser.peek() {
        Some(b'"') => copy_string(parser, out),
        Some(b'{') => parser.nested(|parser| copy_object(parser, out)),
        Some(b'[') => parser.nested(|parser| copy_array(parser, out)),
        Some(b'-' | b'0'..=b'9') => {
            out.extend_from_slice(parser.number_text()?.as_bytes());
            Ok(())
        }
        // The words, and everything that is wrong.
        _ => {
            parser.value()?.write_to(out);
            Ok(())
        }
    }
}

fn copy_string(parser: &mut Parser<'_, false>, out: &mut Vec<u8>) -> Result<(), Fault> {
    match parser.plain_string() {
        Some(quoted) => out.extend_from_slice(quoted.as_bytes()),
        None => write_string(&parser.string()?, out),
    }
    Ok(())
}

/// Reads what is behind an opening bracket up to the closing one, element by element.
fn each(
    parser: &mut Parser<'_, false>,
    (close, expected): (u8, &str),
    mut one: impl FnMut(&mut Parser<'_, false>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    parser.skip_space();
    if parser.peek() == Some(close) {
        parser.skip(1);
        return Ok(());
    }
    loop {
        one(parser)?;
        if parser.ends(close, expected)? {
            return Ok(());
        }
    }
}

/// A comma, unless it would be behind the opening bracket at `begin`.
fn comma(begin: usize, out: &mut Vec<u8>) {
    if out.len() > begin + 1 {
        out.push(b',');
    }
}

fn copy_array(parser: &mut Parser<'_, false>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let begin = out.len();
    out.push(b'[');
    each(parser, ARRAY, |parser| {
        comma(begin, out);
        copy_value(parser, out)
    })?;
    out.push(b']');
    Ok(())
}

fn copy_object(parser: &mut Parser<'_, false>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let begin = out.len();
    let mut keys = Keys::default();
    out.push(b'{');
    each(parser, OBJECT, |parser| {
        comma(begin, out);
        let key = copy_key(parser, out, &mut keys)?;
        keys.places.push(key);
        out.push(b':');
        copy_value(parser, out)
    })?;
    out.push(b'}');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The slow way: a tree, and its text.
    fn by_tree(text: &str) -> Result<Option<(String, Option<Json>)>, JsonError> {
        Ok(match parse(text.as_bytes())? {
            Json::Object(mut object) => {
                let metadata = object.remove(METADATA);
                Some((object.to_string(), metadata))
            }
            _ => None,
        })
    }

    fn check(text: &str) {
        let read = DocumentText::parse(text.as_bytes());
        let found = read.clone().map(|read| read.map(DocumentText::into_parts));
        assert_eq!(found, by_tree(text), "{text}");
        let wrapped = format!(r#"{{"Id":"x", "Document" : {text},"Type":"PUT"}}"#);
        match (DocumentText::parse_in(wrapped.as_bytes(), "Document"), parse(wrapped.as_bytes())) {
            (Err(found), Err(expected)) => assert_eq!(found, expected, "{wrapped}"),
            (Ok(Some((mut around, document))), Ok(Json::Object(mut expected))) => {
                let inner = expected.remove("Document").unwrap();
                let found = match document {
                    Some(document) => {
                        let (body, metadata) = document.into_parts();
                        let Json::Object(mut object) = parse(body.as_bytes()).unwrap() else { panic!() };
                        metadata.into_iter().for_each(|metadata| object.insert(METADATA, metadata));
                        Json::Object(object)
                    }
                    None => around.remove("Document").unwrap(),
                };
                // The order of keys does not count here: metadata may have stood anywhere.
                assert_eq!(sorted(&found), sorted(&inner));
                assert_eq!(around, expected);
            }
            (found, expected) => panic!("{wrapped}: {found:?} instead of {expected:?}"),
        }
        let Ok(Some(read)) = read else { return };
        let Json::Object(object) = parse(text.as_bytes()).unwrap() else { panic!("{text}") };
        for (key, value) in object.iter().filter(|(key, _)| *key != METADATA) {
            assert_eq!(read.get(key).as_ref(), Some(value), "{text}");
        }
        assert_eq!(read.get("no such key"), None);
    }

    fn sorted(value: &Json) -> String {
        let Json::Object(object) = value else { return value.to_string() };
        let mut members: Vec<String> = object.iter().map(|(key, value)| format!("{key:?}:{value}")).collect();
        members.sort();
        members.join(",")
    }

    #[test]
    fn texts_are_what_the_tree_gives_and_errors_are_the_same() {
        for text in [
            "{}",
            " { } ",
            "[1]",
            "7",
            "nul",
            "",
            "{",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":1",
            "{\"a\":1,}",
            "{,}",
            "{\"a\" 1}",
            "{'a':1}",
            "{\"a\":1}x",
            "{\"a\":1} {}",
            r#"{"a":1,"a":2}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"@metadata":{},"b":{"@metadata":1},"@metadata":{}}"#,
            r#"{"@metadata":{"@collection":"X"},"a":1}"#,
            r#"{"a":1,"@metadata":5}"#,
            r#"{"a" : [ 1 , 2.50 , -0 , 1e5, true , false, null , "x" ] , "b" : { "c" : [ ] , "d" : { } } }"#,
            r#"{"a":"\u00e9\n\/\\\"é\ud83d\ude00"}"#,
            r#"{"a":"\ud83d"}"#,
            "{\"a\":\"\u{1}\"}",
            r#"{"a":01}"#,
            r#"{"a":1.}"#,
            r#"{"a":-}"#,
            r#"{"a":1e999999999}"#,
            r#"{"a":NaN}"#,
            r#"{"a":tru}"#,
            r#"{"a":[1,]}"#,
            r#"{"a":[1 2]}"#,
            "\u{feff}{}",
        ] {
            check(text);
        }
        let deep = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        for levels in [1, 60, 98, 99, 100, 101, 126, 127, 128, 129, 200, 511, 512, 513] {
            check(&deep(levels));
        }
        let many: Vec<String> = (0..40).map(|n| format!("\"k{n}\":{n}")).collect();
        check(&format!("{{{}}}", many.join(",")));
        check(&format!("{{{},\"k3\":1}}", many.join(",")));
        check(&format!("{{\"a\":{{{},\"k39\":1}}}}", many.join(",")));
    }

    fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            Just("true".to_owned()),
            any::<i64>().prop_map(|n| n.to_string()),
            any::<f64>().prop_filter_map("finite", |n| n.is_finite().then(|| format!("{n:?}"))),
            any::<String>().prop_map(|text| Json::from(text).to_string()),
            "\"(a|\\\\n|\\\\u00e9|\\\\\"|ü)*\"".prop_map(|text| text),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            let key = prop_oneof!["[a-c]", "@metadata", any::<String>()];
            let key = key.prop_map(|key| Json::from(key).to_string());
            let space = "[ \n]{0,2}";
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5)
                    .prop_map(|items| format!("[{}]", items.join(" ,"))),
                prop::collection::vec((key, space, inner), 0..5).prop_map(|members| {
                    let members: Vec<String> = members
                        .into_iter()
                        .map(|(key, space, value)| format!("{key}{space}:{space}{value}"))
                        .collect();
                    format!("{{{}}}", members.join(","))
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_text_reads_as_the_tree_reads_it(text in json(), cut in 0_usize..400, broken in any::<bool>()) {
            let end = if broken { cut.min(text.len()) } else { text.len() };
            let end = (0..=end).rev().find(|at| text.is_char_boundary(*at)).unwrap();
            check(&text[..end]);
        }
    }
}
