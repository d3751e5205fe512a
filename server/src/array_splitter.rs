//! Splits the text of a JSON array into its elements while it streams in, without parsing them.
//!
//! It follows strings, escapes and brackets only; each element is checked by the parser later. It knows the array's end
//! when it sees it: some clients never end the request's body behind it. Bytes behind the end are ignored.
//!
//! An attachment is an element that says its `ContentLength`, and that many raw bytes behind its closing brace.

use magpie_store::json::{self, Json};
use magpie_store::limits::ATTACHMENT_BYTES_MAX;

/// What stands between the JSON of an attachment and its raw bytes in the text that is given out: no JSON has it.
pub(crate) const RAW: u8 = 0;
/// The JSON of an attachment is short; longer elements are not looked at.
const ATTACHMENT_JSON_BYTES_MAX: usize = 16 * 1024;

/// Why a text is not an array of objects.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SplitError {
    /// A byte that cannot stand at the top level.
    #[error("{expected} expected at byte {offset} of the body, got '{}'", char::from(*.found).escape_default())]
    Unexpected {
        /// What should have come.
        expected: &'static str,
        /// What came.
        found: u8,
        /// Where, counted from 1.
        offset: u64,
    },
    /// An element is longer than allowed.
    #[error("element {number} has more than {limit} bytes")]
    TooLong {
        /// Which one, counted from 1.
        number: u64,
        /// The limit, in bytes.
        limit: usize,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before `[`.
    Start,
    /// Behind `[`: an element or `]`.
    First,
    /// Behind an element: `,` or `]`.
    Behind,
    /// Behind `,`: an element.
    Next,
    /// In an element, outside strings.
    Element,
    /// In a string of an element.
    String,
    /// Behind a backslash in a string.
    Escape,
    /// In the raw bytes of an attachment.
    Raw {
        /// How many are to come.
        left: usize,
    },
    /// Behind `]`.
    End,
}

/// The state between two pieces of text.
#[derive(Debug)]
pub(crate) struct ArraySplitter {
    place: Place,
    depth: u32,
    element: Vec<u8>,
    /// How many elements have begun.
    number: u64,
    /// Bytes read so far.
    offset: u64,
    limit: usize,
}

impl ArraySplitter {
    /// At the start of a text whose elements have at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { place: Place::Start, depth: 0, element: Vec::new(), number: 0, offset: 0, limit }
    }

    /// Whether the array's end was seen.
    pub(crate) fn is_complete(&self) -> bool {
        self.place == Place::End
    }

    /// How many elements have begun.
    pub(crate) fn elements(&self) -> u64 {
        self.number
    }

    /// Reads a piece; gives each element that it completes to `take`.
    ///
    /// # Errors
    /// [`SplitError`] when the text is not an array of objects.
    pub(crate) fn feed(&mut self, mut piece: &[u8], mut take: impl FnMut(Vec<u8>)) -> Result<(), SplitError> {
        while !piece.is_empty() && self.place != Place::End {
            if let Place::Raw { left } = self.place {
                let (raw, rest) = piece.split_at_checked(left).unwrap_or((piece, &[]));
                self.element.extend_from_slice(raw);
                self.offset += raw.len() as u64;
                piece = rest;
                if self.raw_left(left - raw.len()) {
                    take(std::mem::take(&mut self.element));
                }
                continue;
            }
            let used = match self.place {
                Place::Element | Place::String => self.run(piece)?,
                Place::Escape => 0,
                _ => self.skip_white(piece),
            };
            let Some((&byte, rest)) = piece.get(used..).and_then(<[u8]>::split_first) else { return Ok(()) };
            piece = rest;
            self.offset += 1;
            if self.step(byte)? {
                take(std::mem::take(&mut self.element));
            }
        }
        Ok(())
    }

    /// Passes over white space between elements; gives how much.
    fn skip_white(&mut self, piece: &[u8]) -> usize {
        let white = piece.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(piece.len());
        self.offset += white as u64;
        white
    }

    /// Copies the bytes of an element up to the next one that matters; gives how many.
    fn run(&mut self, piece: &[u8]) -> Result<usize, SplitError> {
        let matters = |byte: &u8| match self.place {
            Place::String => matches!(byte, b'"' | b'\\'),
            _ => matches!(byte, b'"' | b'{' | b'}' | b'[' | b']'),
        };
        let length = piece.iter().position(matters).unwrap_or(piece.len());
        self.element.extend_from_slice(piece.get(..length).unwrap_or_default());
        self.offset += length as u64;
        self.check_length()?;
        Ok(length)
    }

    fn check_length(&self) -> Result<(), SplitError> {
        if self.element.len() > self.limit {
            return Err(SplitError::TooLong { number: self.number, limit: self.limit });
        }
        Ok(())
    }

    /// Takes one byte that matters; gives whether it completes an element.
    fn step(&mut self, byte: u8) -> Result<bool, SplitError> {
        let inside = matches!(self.place, Place::Element | Place::String | Place::Escape);
        if inside {
            self.element.push(byte);
            self.check_length()?;
        }
        self.place = match (self.place, byte) {
            (Place::Start, b'[') => Place::First,
            (Place::Start, _) => return self.unexpected("'['", byte),
            (Place::First | Place::Behind, b']') => Place::End,
            (Place::First | Place::Next, b'{') => {
                self.number += 1;
                self.depth = 1;
                self.element.push(byte);
                Place::Element
            }
            (Place::First, _) => return self.unexpected("'{' or ']'", byte),
            (Place::Next, _) => return self.unexpected("'{'", byte),
            (Place::Behind, b',') => Place::Next,
            (Place::Behind, _) => return self.unexpected("',' or ']'", byte),
            (Place::Element, b'"') => Place::String,
            (Place::Element, b'{' | b'[') => {
                self.depth += 1;
                Place::Element
            }
            (Place::Element, b'}' | b']') => {
                self.depth -= 1;
                if self.depth == 0 {
                    return self.complete();
                }
                Place::Element
            }
            (Place::String, b'"') => Place::Element,
            (Place::String, b'\\') => Place::Escape,
            (Place::Escape, _) => Place::String,
            (same, _) => same,
        };
        Ok(false)
    }

    /// The element's closing brace was seen; gives whether nothing more belongs to it.
    fn complete(&mut self) -> Result<bool, SplitError> {
        const NEEDLE: &[u8] = b"AttachmentPUT";
        self.place = Place::Behind;
        let is_short = self.element.len() <= ATTACHMENT_JSON_BYTES_MAX;
        if !is_short || !self.element.windows(NEEDLE.len()).any(|part| part == NEEDLE) {
            return Ok(true);
        }
        // What is no JSON is told by whoever parses it.
        let Ok(element) = json::parse(&self.element) else { return Ok(true) };
        if element.get("Type").and_then(Json::as_str) != Some("AttachmentPUT") {
            return Ok(true);
        }
        let length = element.get("ContentLength").and_then(Json::as_i64).unwrap_or(0);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > ATTACHMENT_BYTES_MAX {
            return Err(SplitError::TooLong { number: self.number, limit: ATTACHMENT_BYTES_MAX });
        }
        self.element.push(RAW);
        Ok(self.raw_left(length))
    }

    /// So many raw bytes are to come; gives whether that is none.
    fn raw_left(&mut self, left: usize) -> bool {
        self.place = if left == 0 { Place::Behind } else { Place::Raw { left } };
        left == 0
    }

    fn unexpected(&self, expected: &'static str, found: u8) -> Result<bool, SplitError> {
        Err(SplitError::Unexpected { expected, found, offset: self.offset })
    }
}

#[cfg(test)]
mod tests {
    use super::{ArraySplitter, SplitError};

    fn split(text: &str, step: usize) -> Result<(Vec<String>, bool), SplitError> {
        let mut splitter = ArraySplitter::new(60);
        let mut elements = Vec::new();
        for piece in text.as_bytes().chunks(step) {
            splitter.feed(piece, |element| elements.push(String::from_utf8(element).unwrap()))?;
        }
        Ok((elements, splitter.is_complete()))
    }

    #[test]
    fn elements_come_whole_however_the_text_is_cut() {
        let text = " [ {\"a\":[1,{\"b\":\"}]\\\"\"}]} ,\n{\"\\\\\":\"[\"},{}] trailing {";
        for step in 1..text.len() {
            let (elements, complete) = split(text, step).unwrap();
            assert_eq!(elements, ["{\"a\":[1,{\"b\":\"}]\\\"\"}]}", "{\"\\\\\":\"[\"}", "{}"]);
            assert!(complete);
        }
    }

    #[test]
    fn raw_bytes_belong_to_their_attachment() {
        let text = r#"[{"Type":"AttachmentPUT","ContentLength":4}],{},{"t":"AttachmentPUT"},{"Type":"AttachmentPUT"}]"#;
        for step in 1..text.len() {
            let mut splitter = ArraySplitter::new(60);
            let mut elements = Vec::new();
            for piece in text.as_bytes().chunks(step) {
                splitter.feed(piece, |element| elements.push(String::from_utf8(element).unwrap())).unwrap();
            }
            assert!(splitter.is_complete());
            let first = "{\"Type\":\"AttachmentPUT\",\"ContentLength\":4}\0],{}";
            let last = "{\"Type\":\"AttachmentPUT\"}\0";
            assert_eq!(elements, [first, "{\"t\":\"AttachmentPUT\"}", last]);
        }
        let long = r#"[{"Type":"AttachmentPUT","ContentLength":99999999999}"#;
        assert!(matches!(split(long, 5), Err(SplitError::TooLong { .. })));
    }

    #[test]
    fn an_end_that_did_not_come_is_no_end() {
        for text in ["", "[", "[{}", "[{},", "[{\"a\":\"]"] {
            assert!(!split(text, 2).unwrap().1, "{text}");
        }
        assert!(split("[]", 1).unwrap().1);
    }

    #[test]
    fn other_texts_are_refused_with_the_place() {
        for (text, offset) in [("{\"Id\":1}", 1), ("[1]", 2), ("[{}{}]", 4), ("[{},]", 5), (" x", 2)] {
            let refused = split(text, 3).unwrap_err();
            assert!(
                matches!(refused, SplitError::Unexpected { offset: at, .. } if at == offset),
                "{text}: {refused}"
            );
        }
        let long = format!("[{{}},{{\"a\":\"{}\"}}]", "x".repeat(60));
        for step in [1, 7, 1000] {
            assert_eq!(split(&long, step), Err(SplitError::TooLong { number: 2, limit: 60 }));
        }
    }
}
