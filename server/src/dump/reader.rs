//! The grammar of a dump, as bytes stream in: one object of arrays, and raw bytes behind some of their elements.
//!
//! Nothing is held but one element. An attachment or a time series says its number of raw bytes, which follow its
//! closing brace at once; they are handed on as they come.

use super::collector::Collector;
use super::error::DumpError;
use crate::limits::DUMP_KEY_BYTES_MAX;
use magpie_store::json::{self, Json};

/// What a dump is made of.
pub(crate) enum Event<'e> {
    /// A value on the top level that is no array: its text as strict JSON.
    Value { key: &'e str, text: Vec<u8> },
    /// An element of an array: its text as strict JSON, and where it begins.
    Element { key: &'e str, text: Vec<u8>, at: u64 },
    /// An element that is too long to be held.
    TooLong { key: &'e str, at: u64 },
    /// An element with this many raw bytes behind it.
    Blob { key: &'e str, header: Json, size: u64, at: u64 },
    /// Some of these bytes.
    Bytes(&'e [u8]),
    /// Their end.
    BlobEnd,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first brace.
    Begin,
    /// Before a key, or the end if `first` or a comma was seen.
    Key,
    /// Before the colon.
    Colon,
    /// Before or in a value of the top level.
    Value,
    /// In an array, before or in an element.
    Element,
    /// Behind an element.
    BehindElement,
    /// In raw bytes.
    Blob { left: u64 },
    /// Behind a value.
    BehindValue,
    /// Behind the last brace.
    End,
}

/// Reads a dump.
pub(crate) struct Reader {
    state: State,
    at: u64,
    key: String,
    value: Collector,
    value_at: u64,
    begin: Vec<u8>,
    keys: u64,
    elements: u64,
}

type Sink<'s, E> = &'s mut dyn FnMut(Event<'_>) -> Result<(), E>;

/// The names on the top level of dumps that were ever seen first.
const FIRST_KEYS: [&str; 8] = [
    "BuildVersion",
    "DatabaseRecord",
    "Docs",
    "Indexes",
    "Attachments",
    "Transformers",
    "Identities",
    "CompareExchange",
];
const BOM: &[u8] = &[0xef, 0xbb, 0xbf];
/// How much of something else is shown.
const SHOWN_BYTES: usize = 40;
/// Headers of raw bytes are short; longer elements are not looked at.
const HEADER_BYTES_MAX: usize = 64 * 1024;

impl Reader {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Begin,
            at: 0,
            key: String::new(),
            value: Collector::new(),
            value_at: 0,
            begin: Vec::new(),
            keys: 0,
            elements: 0,
        }
    }

    /// Reads on, and tells `sink` what was found.
    ///
    /// # Errors
    /// What is wrong with the dump, and what `sink` answers. The reader must not be used after that.
    pub(crate) fn feed<E: From<DumpError>>(&mut self, mut bytes: &[u8], sink: Sink<'_, E>) -> Result<(), E> {
        while !bytes.is_empty() {
            let used = match self.state {
                State::Value | State::Element if !self.value.is_empty() => self.in_value(bytes, sink)?,
                State::Blob { left } => self.in_blob(bytes, left, sink)?,
                _ => {
                    let byte = bytes.first().copied().unwrap_or_default();
                    self.between(byte, sink)?
                }
            };
            self.at += used as u64;
            bytes = bytes.get(used..).unwrap_or_default();
        }
        Ok(())
    }

    /// The end of the input.
    ///
    /// # Errors
    /// [`DumpError::Cut`] when the dump is not complete, [`DumpError::NotADump`] when there was none.
    pub(crate) fn finish(&self) -> Result<(), DumpError> {
        let place = match self.state {
            State::End => return Ok(()),
            State::Begin => return Err(self.not_a_dump()),
            State::Element | State::BehindElement => {
                format!("in '{}', behind {} elements", self.key, self.elements)
            }
            State::Blob { left } => {
                format!(
                    "in '{}', where {left} raw bytes of an attachment or time series are missing",
                    self.key
                )
            }
            State::Colon | State::Value => format!("in the value '{}'", self.key),
            State::Key | State::BehindValue => "between its parts, before the last '}'".to_owned(),
        };
        Err(DumpError::Cut { at: self.at, place })
    }

    fn in_blob<E: From<DumpError>>(
        &mut self,
        bytes: &[u8],
        left: u64,
        sink: Sink<'_, E>,
    ) -> Result<usize, E> {
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        sink(Event::Bytes(bytes.get(..count).unwrap_or(bytes)))?;
        self.blob_left(left - count as u64, sink)?;
        Ok(count)
    }

    fn blob_left<E: From<DumpError>>(&mut self, left: u64, sink: Sink<'_, E>) -> Result<(), E> {
        if left > 0 {
            self.state = State::Blob { left };
            return Ok(());
        }
        self.state = State::BehindElement;
        sink(Event::BlobEnd)
    }

    fn in_value<E: From<DumpError>>(&mut self, bytes: &[u8], sink: Sink<'_, E>) -> Result<usize, E> {
        let (used, complete) = self.value.feed(bytes, self.at)?;
        if !complete {
            return Ok(used);
        }
        let text = self.value.take();
        match (self.state, text) {
            (State::Element, Some(text)) => self.element(text, sink)?,
            (State::Element, None) => {
                self.elements += 1;
                self.state = State::BehindElement;
                sink(Event::TooLong { key: &self.key, at: self.value_at })?;
            }
            (_, Some(text)) => {
                parse(&text, self.value_at, &self.key)?;
                self.state = State::BehindValue;
                sink(Event::Value { key: &self.key, text })?;
            }
            (_, None) => {
                return Err(DumpError::LongValue { at: self.value_at, key: self.key.clone() }.into());
            }
        }
        Ok(used)
    }

    fn element<E: From<DumpError>>(&mut self, text: Vec<u8>, sink: Sink<'_, E>) -> Result<(), E> {
        self.elements += 1;
        self.state = State::BehindElement;
        let at = self.value_at;
        if let Some((header, size)) = self.blob_header(&text)? {
            sink(Event::Blob { key: &self.key, header, size, at })?;
            return self.blob_left(size, sink);
        }
        sink(Event::Element { key: &self.key, text, at })
    }

    /// The element and its number of raw bytes, if it has any.
    fn blob_header(&self, text: &[u8]) -> Result<Option<(Json, u64)>, DumpError> {
        const ATTACHMENT: &[u8] = b"@export-type";
        const SERIES: &[u8] = b"@raven-blob-size";
        let names =
            |name: &[u8]| text.len() <= HEADER_BYTES_MAX && text.windows(name.len()).any(|part| part == name);
        if !names(ATTACHMENT) && !names(SERIES) {
            return Ok(None);
        }
        let header = parse(text, self.value_at, &self.key)?;
        let metadata = header.get("@metadata");
        // A document has an id, whatever else its users write into its metadata.
        let is_attachment = metadata.is_some_and(|metadata| {
            metadata.get("@export-type").and_then(Json::as_str) == Some("Attachment")
                && metadata.get("@id").is_none()
        });
        let size = match (is_attachment, metadata) {
            (true, _) => header.get("Size"),
            (false, None) => header.get("@raven-blob-size"),
            (false, Some(_)) => None,
        };
        let Some(size) = size else {
            return if is_attachment { Err(self.sizeless()) } else { Ok(None) };
        };
        let size = size.as_i64().and_then(|size| u64::try_from(size).ok()).ok_or_else(|| self.sizeless())?;
        Ok(Some((header, size)))
    }

    fn sizeless(&self) -> DumpError {
        let message = "an element with raw bytes behind it does not say how many".to_owned();
        DumpError::Malformed { at: self.value_at, message }
    }

    /// A byte outside of values; gives how many bytes were used.
    fn between<E: From<DumpError>>(&mut self, byte: u8, sink: Sink<'_, E>) -> Result<usize, E> {
        if self.state == State::Begin {
            return Ok(self.at_begin(byte)?);
        }
        let in_key = self.state == State::Key && !self.begin.is_empty();
        if byte.is_ascii_whitespace() && !in_key {
            return Ok(1);
        }
        match (self.state, byte) {
            (State::Key, _) => return Ok(self.in_key(byte)?),
            (State::Colon, b':') => self.state = State::Value,
            (State::Value, b'[') => {
                self.elements = 0;
                self.state = State::Element;
            }
            // A comma before a bracket, as in the objects of real dumps.
            (State::Element, b']') => self.state = State::BehindValue,
            (State::Value | State::Element, _) => {
                self.value_at = self.at;
                return self.in_value(&[byte], sink);
            }
            (State::BehindElement, b',') => self.state = State::Element,
            (State::BehindElement, b']') | (State::BehindValue, b'}') => {
                self.state = if self.state == State::BehindElement { State::BehindValue } else { State::End };
            }
            (State::BehindValue, b',') => self.state = State::Key,
            _ => return Err(self.unexpected(byte).into()),
        }
        Ok(1)
    }

    /// Before the first brace.
    fn at_begin(&mut self, byte: u8) -> Result<usize, DumpError> {
        let is_first = self.begin.is_empty() || self.begin == BOM;
        if is_first && byte == b'{' {
            self.begin.clear();
            self.state = State::Key;
            return Ok(1);
        }
        if is_first && byte.is_ascii_whitespace() {
            return Ok(1);
        }
        self.begin.push(byte);
        if self.begin.len() < SHOWN_BYTES { Ok(1) } else { Err(self.not_a_dump()) }
    }

    fn not_a_dump(&self) -> DumpError {
        let found = if self.begin.is_empty() {
            "it is empty".to_owned()
        } else if self.begin.starts_with(b"PK") {
            "it is a zip archive; a .ravendb-snapshot cannot be imported, export the database instead"
                .to_owned()
        } else {
            format!("it begins with '{}'", String::from_utf8_lossy(&self.begin).escape_debug())
        };
        DumpError::NotADump { found }
    }

    /// In a key of the top level, which `begin` holds with its first quote.
    fn in_key(&mut self, byte: u8) -> Result<usize, DumpError> {
        match (self.begin.is_empty(), byte) {
            (true, b'"') => self.begin.push(byte),
            (true, b'}') if self.keys > 0 => self.state = State::End,
            (true, b'}') => {
                return Err(DumpError::NotADump { found: "it is an empty JSON object".to_owned() });
            }
            (true, _) => return Err(self.unexpected(byte)),
            (false, b'"') if self.begin.last() != Some(&b'\\') => self.key_read()?,
            (false, _) => {
                self.begin.push(byte);
                if self.begin.len() > DUMP_KEY_BYTES_MAX {
                    return Err(DumpError::LongKey { at: self.at });
                }
            }
        }
        Ok(1)
    }

    fn key_read(&mut self) -> Result<(), DumpError> {
        let begin = std::mem::take(&mut self.begin);
        let quoted = [begin.as_slice(), b"\""].concat();
        let Ok(Json::String(key)) = json::parse(&quoted) else {
            let message = "a name on the top level is not a JSON string".to_owned();
            return Err(DumpError::Malformed { at: self.at, message });
        };
        self.key = key;
        self.keys += 1;
        if self.keys == 1 && !FIRST_KEYS.contains(&self.key.as_str()) {
            return Err(DumpError::NotADump {
                found: format!("it is a JSON object whose first key is '{}'", self.key.escape_debug()),
            });
        }
        self.state = State::Colon;
        Ok(())
    }

    fn unexpected(&self, byte: u8) -> DumpError {
        let expected = match self.state {
            State::Key => "a name in double quotes".to_owned(),
            State::Colon => format!("':' behind the name '{}'", self.key),
            State::BehindElement => format!("',' or ']' behind element {} of '{}'", self.elements, self.key),
            State::BehindValue => format!("',' or '}}' behind the value '{}'", self.key),
            _ => "nothing behind the last '}'".to_owned(),
        };
        let found = String::from_utf8_lossy(&[byte]).escape_debug().to_string();
        DumpError::Malformed { at: self.at, message: format!("expected {expected}, but found '{found}'") }
    }
}

/// Parses an element.
///
/// # Errors
/// [`DumpError::Malformed`] with its place.
pub(crate) fn parse(text: &[u8], at: u64, key: &str) -> Result<Json, DumpError> {
    json::parse(text).map_err(|error| DumpError::Malformed {
        at,
        message: format!("a value of '{key}' begins there and is {error} of its compact form"),
    })
}

#[cfg(test)]
mod tests {
    use super::{DumpError, Event, Reader};
    use proptest::prelude::*;

    /// What a dump says, as text; pieces of raw bytes joined.
    fn read(bytes: &[u8], step: usize) -> Result<Vec<String>, DumpError> {
        let mut said: Vec<String> = Vec::new();
        let mut blob = Vec::new();
        let mut reader = Reader::new();
        for piece in bytes.chunks(step) {
            reader.feed(piece, &mut |event| {
                match event {
                    Event::Value { key, .. } => said.push(format!("value {key}")),
                    Event::Element { key, text, at } => {
                        said.push(format!("{key} at {at}: {}", String::from_utf8_lossy(&text)));
                    }
                    Event::TooLong { key, at } => said.push(format!("{key} at {at} is too long")),
                    Event::Blob { key, size, at, .. } => said.push(format!("{key} at {at}, {size} bytes")),
                    Event::Bytes(part) => blob.extend_from_slice(part),
                    Event::BlobEnd => said.push(format!("{:?}", std::mem::take(&mut blob))),
                }
                Ok::<(), DumpError>(())
            })?;
        }
        reader.finish()?;
        Ok(said)
    }

    const DUMP: &[u8] = b"\xef\xbb\xbf {\"BuildVersion\":71000, \"Record\" : {\"a\":[1,2]},\"Docs\":[\
        {\"a\":\"]\\\"}\x19\",\"@metadata\":{\"@id\":\"x\"}}\n,\
        {\"@metadata\":{\"@export-type\":\"Attachment\"},\"Hash\":\"h\",\"Size\":5,\"Tag\":\"t\"}]},\"{,\
        {\"@metadata\":{\"@export-type\":\"Attachment\"},\"Size\":0},\
        {\"@metadata\":{\"@export-type\":\"Attachment\",\"@id\":\"d\"},\"Size\":9}],\
        \"TimeSeries\":[{\"@raven-data\":{},\"@raven-blob-size\":2}ab],\
        \"Indexes\":[{\"q\":false,},[1,null,true ],\"s\",1.50 , -2]} \n";

    #[test]
    fn real_oddities_are_read() {
        let said = read(DUMP, 1000).unwrap();
        assert_eq!(said[0], "value BuildVersion");
        assert_eq!(said[1], "value Record");
        assert!(said[2].ends_with(r#"{"a":"]\"}\u0019","@metadata":{"@id":"x"}}"#), "{}", said[2]);
        assert_eq!(said[4], format!("{:?}", b"]},\"{"));
        assert!(said[5].ends_with("0 bytes") && said[6] == "[]", "{said:?}");
        assert!(said[7].contains(r#""Size":9"#), "a document may look like that");
        assert_eq!(said[9], format!("{:?}", b"ab"));
        let ends: Vec<&str> = said[10..].iter().map(|text| text.split_once(": ").unwrap().1).collect();
        assert_eq!(ends, [r#"{"q":false}"#, "[1,null,true ]", "\"s\"", "1.50", "-2"]);
    }

    #[test]
    fn every_cut_is_told_with_its_place_and_every_step_reads_the_same() {
        let whole = read(DUMP, 1000).unwrap();
        for step in 1..40 {
            assert_eq!(read(DUMP, step).unwrap(), whole);
        }
        let end = DUMP.len() - 2;
        for cut in 5..end {
            match read(&DUMP[..cut], 7) {
                Err(DumpError::Cut { at, .. }) => assert_eq!(at, cut as u64),
                other => panic!("{cut}: {other:?}"),
            }
        }
    }

    fn dump() -> impl Strategy<Value = (Vec<u8>, usize)> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            any::<i32>().prop_map(|n| n.to_string()),
            "[a-z\\]\\[{},:@ ]{0,9}".prop_map(|text| format!("{text:?}")),
            Just("\"\\\\\\\"\"".to_owned()),
        ];
        let value = leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4)
                    .prop_map(|items| format!("[{}]", items.join(", "))),
                prop::collection::vec(inner, 0..4).prop_map(|items| {
                    let pairs: Vec<String> =
                        items.iter().enumerate().map(|(at, item)| format!("\"k{at}\" :{item}")).collect();
                    format!("{{{}}}", pairs.join(","))
                }),
            ]
        });
        let blob = prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| {
            let mut text =
                format!("{{\"@metadata\":{{\"@export-type\":\"Attachment\"}},\"Size\":{}}}", bytes.len())
                    .into_bytes();
            text.extend(bytes);
            text
        });
        let element = prop_oneof![4 => value.prop_map(String::into_bytes), 1 => blob];
        prop::collection::vec(prop::collection::vec(element, 0..6), 1..4).prop_map(|arrays| {
            let elements = arrays.iter().map(Vec::len).sum();
            let mut text = b"{\"BuildVersion\":1".to_vec();
            for (at, array) in arrays.into_iter().enumerate() {
                text.extend(format!(",\"A{at}\":[").into_bytes());
                text.extend(array.join(&b", "[..]));
                text.push(b']');
            }
            text.push(b'}');
            (text, elements)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1500, max_shrink_time: 5000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_good_dump_is_read_alike_in_any_steps((text, elements) in dump(), step in 1_usize..50) {
            let whole = read(&text, text.len());
            prop_assert!(whole.is_ok(), "{whole:?}");
            let whole = whole.unwrap();
            let found = whole.iter().filter(|said| said.contains(" at ")).count();
            prop_assert_eq!(found, elements);
            prop_assert_eq!(&read(&text, step).unwrap(), &whole);
        }

        #[test]
        fn a_damaged_dump_is_read_alike_or_refused_with_a_place(
            (text, _) in dump(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()
        ) {
            let mut text = text;
            let at = at.index(text.len());
            if cut {
                text.truncate(at);
            } else {
                text[at] = byte;
            }
            let (one, other) = (read(&text, 1), read(&text, 4096));
            match (one, other) {
                (Ok(one), Ok(other)) => prop_assert_eq!(one, other),
                (Err(one), Err(other)) => {
                    prop_assert_eq!(one.to_string(), other.to_string());
                    if let DumpError::Cut { at, .. } | DumpError::Malformed { at, .. } = one {
                        prop_assert!(at <= text.len() as u64);
                    }
                }
                (one, other) => prop_assert!(false, "{one:?} {other:?}"),
            }
        }

        #[test]
        fn noise_never_panics(noise in prop::collection::vec(any::<u8>(), 0..300), step in 1_usize..20) {
            let mut unpacker = crate::dump::unpack::Unpacker::new();
            let mut reader = Reader::new();
            let mut sink = |plain: &[u8]| reader.feed(plain, &mut |_| Ok::<(), DumpError>(()));
            let fed = noise.chunks(step).try_for_each(|piece| unpacker.feed(piece, &mut sink));
            prop_assert!(fed.and_then(|()| unpacker.finish(&mut sink)).and_then(|()| reader.finish()).is_err());
        }
    }
}
