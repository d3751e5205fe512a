//! Reading compact JSON text from the front, a value or a name at a time. Containers and unusual numbers stay text.

use super::value::Value;

/// Digits that are exact in a double whatever they are.
const EXACT_DIGITS: usize = 15;
/// 10^0 to 10^15, exact.
const POWERS_OF_TEN: [f64; EXACT_DIGITS + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// Reads compact JSON text from the front.
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

/// Bytes that are looked at together, without branches.
const SPECIAL_PIECE: usize = 32;
/// What ends a string, eight times.
const QUOTES: u64 = 0x2222_2222_2222_2222;
const BACKSLASHES: u64 = 0x5c5c_5c5c_5c5c_5c5c;
const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// Marks the lowest zero byte with its high bit; bytes above it may be marked wrongly.
const fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGH_BITS
}

/// Whether two texts of one length are the same. Most names are short, and not worth a call.
#[inline]
pub(super) fn same_bytes(one: &[u8], other: &[u8]) -> bool {
    match (
        one.len(),
        one.first_chunk::<8>(),
        other.first_chunk::<8>(),
        one.last_chunk::<8>(),
        other.last_chunk::<8>(),
    ) {
        (8..=16, Some(one_first), Some(other_first), Some(one_last), Some(other_last)) => {
            one_first == other_first && one_last == other_last
        }
        (0..8, ..) => one.iter().zip(other).all(|(one, other)| one == other),
        _ => one == other,
    }
}

/// The first byte that ends an array, opens something in it, or escapes.
fn first_special(bytes: &[u8]) -> Option<usize> {
    let is_special = |byte: u8| (byte == b'[') | (byte == b']') | (byte == b'\\') | (byte == b'{');
    let (chunks, _) = bytes.as_chunks::<SPECIAL_PIECE>();
    let none = |chunk: &&[u8; SPECIAL_PIECE]| {
        chunk.iter().fold(0, |found, byte| found | u8::from(is_special(*byte))) == 0
    };
    let from = chunks.iter().take_while(none).count() * SPECIAL_PIECE;
    let rest = bytes.get(from..)?;
    rest.iter().position(|byte| is_special(*byte)).map(|at| from + at)
}

impl<'a> Scanner<'a> {
    /// Begins at the front of the text.
    pub const fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// What is not read yet.
    pub fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Takes this byte if it comes next.
    pub fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Takes these bytes if they come next.
    pub fn take_all(&mut self, bytes: &[u8]) -> bool {
        let found = self
            .text
            .as_bytes()
            .get(self.at..self.at + bytes.len())
            .is_some_and(|next| same_bytes(next, bytes));
        if found {
            self.at += bytes.len();
        }
        found
    }

    /// Takes a string whose opening quote was taken, and its closing quote: what is between them, whether that is
    /// ASCII, and whether it has escapes.
    #[inline]
    pub fn string(&mut self) -> Option<(&'a str, bool, bool)> {
        let begin = self.at;
        let bytes = self.text.as_bytes();
        let mut high = 0;
        let mut escaped = false;
        let mut at = begin;
        loop {
            if let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
                let word = u64::from_le_bytes(*chunk);
                let ends = zero_bytes(word ^ QUOTES) | zero_bytes(word ^ BACKSLASHES);
                if ends == 0 {
                    high |= word & HIGH_BITS;
                    at += 8;
                    continue;
                }
                let offset = ends.trailing_zeros() / 8;
                high |= word & HIGH_BITS & !(u64::MAX << (8 * offset));
                at += usize::try_from(offset).ok()?;
            }
            match bytes.get(at)? {
                b'"' => {
                    self.at = at + 1;
                    return Some((self.text.get(begin..at)?, high == 0, escaped));
                }
                b'\\' => {
                    escaped = true;
                    at += 2;
                }
                byte => {
                    high |= u64::from(*byte) & 0x80;
                    at += 1;
                }
            }
        }
    }

    /// Takes a value. Containers and numbers stay text.
    pub fn value(&mut self) -> Option<Value<'a>> {
        let begin = self.at;
        match self.peek()? {
            b'"' => {
                self.at += 1;
                let (text, ascii, escaped) = self.string()?;
                Some(match (escaped, ascii) {
                    (true, _) => Value::RawString(text),
                    (false, true) => Value::Ascii(text),
                    (false, false) => Value::Text(text),
                })
            }
            b'{' => {
                self.skip_container()?;
                self.text.get(begin..self.at).map(Value::RawRecord)
            }
            b'[' => {
                self.skip_list()?;
                self.text.get(begin..self.at).map(Value::RawList)
            }
            b't' => self.take_all(b"true").then_some(Value::Bool(true)),
            b'f' => self.take_all(b"false").then_some(Value::Bool(false)),
            b'n' => self.take_all(b"null").then_some(Value::Null),
            b'0'..=b'9' | b'-' | b'N' | b'I' => {
                if let Some(number) = self.plain_number() {
                    return Some(Value::Number(number));
                }
                let rest = self.text.as_bytes().get(begin..)?;
                let length =
                    rest.iter().position(|byte| matches!(byte, b',' | b'}' | b']')).unwrap_or(rest.len());
                self.at += length;
                self.text.get(begin..self.at).map(Value::RawNumber)
            }
            _ => None,
        }
    }

    /// Takes a number of at most fifteen digits without an exponent: those are exact in a double, and so is one of them
    /// divided by a power of ten, as far as a double can be.
    #[inline]
    pub fn plain_number(&mut self) -> Option<f64> {
        let bytes = self.text.as_bytes().get(self.at..)?;
        let negative = bytes.first() == Some(&b'-');
        let (mut whole, mut digits, mut places) = (0_i64, 0_usize, None);
        let mut at = usize::from(negative);
        loop {
            match bytes.get(at) {
                Some(digit @ b'0'..=b'9') if digits < EXACT_DIGITS => {
                    whole = whole * 10 + i64::from(digit - b'0');
                    digits += 1;
                }
                Some(b'.') if places.is_none() => places = Some(digits),
                Some(b',' | b'}' | b']') => break,
                _ => return None,
            }
            at += 1;
        }
        #[expect(clippy::cast_precision_loss, reason = "fifteen digits are exact in a double")]
        let value = whole as f64;
        let value = match places {
            None => value,
            Some(places) => value / POWERS_OF_TEN.get(digits - places)?,
        };
        self.at += at;
        Some(if negative { -value } else { value })
    }

    /// Takes a value without reading it.
    pub fn skip(&mut self) -> Option<()> {
        match self.peek()? {
            b'"' => {
                self.at += 1;
                self.string().map(|_| ())
            }
            b'[' => self.skip_list(),
            b'{' => self.skip_container(),
            _ => {
                let rest = self.text.as_bytes().get(self.at..)?;
                self.at += rest.iter().position(|byte| matches!(byte, b',' | b'}' | b']'))?;
                Some(())
            }
        }
    }

    /// What was taken since a place.
    pub fn since(&self, from: usize) -> &'a [u8] {
        self.text.as_bytes().get(from..self.at).unwrap_or(&[])
    }

    /// Where it is.
    pub const fn place(&self) -> usize {
        self.at
    }

    /// Goes back to where it was.
    pub const fn go_back(&mut self, place: usize) {
        self.at = place;
    }

    /// [`Self::value`], without a call where it is a short number or a string without escapes.
    #[inline]
    pub fn short_value(&mut self) -> Option<Value<'a>> {
        match self.peek()? {
            b'"' => {
                self.at += 1;
                match self.string()? {
                    (text, true, false) => Some(Value::Ascii(text)),
                    (text, false, false) => Some(Value::Text(text)),
                    (text, _, true) => Some(Value::RawString(text)),
                }
            }
            b'0'..=b'9' => match self.plain_number() {
                Some(number) => Some(Value::Number(number)),
                None => self.value(),
            },
            _ => self.value(),
        }
    }

    /// Whether this byte comes next.
    pub fn next_is(&self, byte: u8) -> bool {
        self.peek() == Some(byte)
    }

    /// Takes an array whole. One of plain values that begins with a string mostly ends at its first bracket.
    fn skip_list(&mut self) -> Option<()> {
        let bytes = self.text.as_bytes().get(self.at..)?;
        if bytes.starts_with(b"[\"")
            && let Some(end) = first_special(bytes.get(1..)?)
            && let Some([before, b'"', b']']) = bytes.get(..end + 2)?.last_chunk::<3>()
            // Behind these a quote may be the first one of a string.
            && !matches!(before, b',' | b'[')
        {
            self.at += end + 2;
            return Some(());
        }
        self.skip_container()
    }

    /// Takes an object or an array whole.
    fn skip_container(&mut self) -> Option<()> {
        self.end_of_container(0)
    }

    /// Takes all up to the end of the container that is so deep around.
    pub fn end_of_container(&mut self, mut depth: usize) -> Option<()> {
        loop {
            let byte = self.peek()?;
            self.at += 1;
            match byte {
                b'"' => {
                    self.string()?;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    if depth == 0 {
                        return Some(());
                    }
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Scanner;
    use crate::script::compiled::value::Value;

    #[test]
    fn strings_end_at_the_first_quote_that_is_not_escaped() {
        for (text, content, ascii, escaped) in [
            (r#"""#, "", true, false),
            (r#"abc""#, "abc", true, false),
            (
                r#"a long text without anything else" and more"#,
                "a long text without anything else",
                true,
                false,
            ),
            (r#"a\"b",1"#, r#"a\"b"#, true, true),
            (r#"1234567\"b"x"#, r#"1234567\"b"#, true, true),
            (r#"ends with a backslash\\","x""#, r"ends with a backslash\\", true, true),
            (r#"é and more than eight bytes" é"#, "é and more than eight bytes", false, false),
            (r#"abcdefg"é"#, "abcdefg", true, false),
        ] {
            assert_eq!(Scanner::new(text).string(), Some((content, ascii, escaped)), "{text}");
        }
        assert_eq!(Scanner::new("no end").string(), None);
        assert_eq!(Scanner::new("no end\\").string(), None);
    }

    #[test]
    fn plain_numbers_are_read_as_by_the_standard_library() {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        for turn in 0..200_000_u32 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let digits = format!("{:015}", state % 1_000_000_000_000_000);
            let (before, after) = digits.split_at(1 + (turn as usize) % 14);
            let number = format!(
                "{}{}.{after}",
                if turn % 3 == 0 { "-" } else { "" },
                before.trim_start_matches('0').parse::<u64>().unwrap_or(0)
            );
            let text = format!("{number},");
            let Some(Value::Number(read)) = Scanner::new(&text).value() else { panic!("{number}") };
            assert_eq!(read.to_bits(), number.parse::<f64>().unwrap().to_bits(), "{number}");
        }
        for number in ["0", "-0", "-0.0", "999999999999999", "-5"] {
            let text = format!("{number}]");
            let Some(Value::Number(read)) = Scanner::new(&text).value() else { panic!("{number}") };
            assert_eq!(read.to_bits(), number.parse::<f64>().unwrap().to_bits(), "{number}");
        }
        for number in ["1000000000000000", "1e5", "12n", "NaN", "-Infinity"] {
            assert!(
                matches!(Scanner::new(&format!("{number}}}")).value(), Some(Value::RawNumber(raw)) if raw == number)
            );
        }
    }

    #[test]
    fn arrays_end_where_they_end() {
        let long = format!(r#"["{}","{}"]"#, "a".repeat(40), "b".repeat(90));
        for list in [
            r#"["a"]"#,
            r#"["",""]"#,
            r#"["a,"]"#,
            r#"["]"]"#,
            r#"["a","]","b"]"#,
            r#"["a\"]","b"]"#,
            r#"["a",["b"],"c"]"#,
            r#"["a",{"]":"]"},"c"]"#,
            r#"["a","[","]"]"#,
            r#"["a",1]"#,
            r#"[[],"a"]"#,
            "[]",
            &long,
            r#"["é]","😀"]"#,
        ] {
            let text = format!(r#"{list},"next"]"#);
            let mut scanner = Scanner::new(&text);
            assert!(matches!(scanner.value(), Some(Value::RawList(found)) if found == list), "{list}");
            assert_eq!(scanner.rest(), r#","next"]"#);
        }
    }

    #[test]
    fn containers_are_taken_whole() {
        let mut scanner = Scanner::new(r#"{"a":[1,{"b":"]}\""}],"c":-1.5e3},true,[],12n]"#);
        assert!(matches!(scanner.value(), Some(Value::RawRecord(r#"{"a":[1,{"b":"]}\""}],"c":-1.5e3}"#))));
        assert!(scanner.take(b','));
        assert!(matches!(scanner.value(), Some(Value::Bool(true))));
        assert!(scanner.take(b','));
        assert!(matches!(scanner.value(), Some(Value::RawList("[]"))));
        assert!(scanner.take(b','));
        assert!(matches!(scanner.value(), Some(Value::RawNumber("12n"))));
    }
}
