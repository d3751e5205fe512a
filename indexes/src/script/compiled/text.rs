//! Strings as JavaScript counts them: in UTF-16 units, whatever they are stored as.

use super::value::Value;
use std::cmp::Ordering;

/// The content of a string value.
#[derive(Clone, Copy)]
pub(super) enum Text<'a> {
    /// ASCII only: units and bytes are the same.
    Ascii(&'a str),
    /// Well-formed, with at least one character beyond ASCII.
    Utf8(&'a str),
    /// With at least one lone surrogate.
    Units(&'a [u16]),
}

impl<'a> Text<'a> {
    /// A well-formed string.
    pub fn of(text: &'a str) -> Self {
        if text.is_ascii() { Self::Ascii(text) } else { Self::Utf8(text) }
    }

    /// Its length in units.
    pub fn len(self) -> usize {
        match self {
            Self::Ascii(text) => text.len(),
            Self::Utf8(text) => text.chars().map(char::len_utf16).sum(),
            Self::Units(units) => units.len(),
        }
    }

    /// Its length in bytes as it is stored.
    pub fn stored_bytes(self) -> usize {
        match self {
            Self::Ascii(text) | Self::Utf8(text) => text.len(),
            Self::Units(units) => units.len() * 2,
        }
    }

    /// Whether it has no characters.
    pub fn is_empty(self) -> bool {
        matches!(self, Self::Ascii(""))
    }

    /// The text, unless it holds lone surrogates.
    pub const fn as_str(self) -> Option<&'a str> {
        match self {
            Self::Ascii(text) | Self::Utf8(text) => Some(text),
            Self::Units(_) => None,
        }
    }

    /// Appends its units.
    pub fn push_units(self, out: &mut Vec<u16>) {
        match self {
            Self::Ascii(text) => out.extend(text.bytes().map(u16::from)),
            Self::Utf8(text) => out.extend(text.encode_utf16()),
            Self::Units(units) => out.extend_from_slice(units),
        }
    }

    /// Its units.
    pub fn units(self) -> Vec<u16> {
        let mut units = Vec::with_capacity(self.stored_bytes());
        self.push_units(&mut units);
        units
    }

    /// The unit at an index.
    pub fn unit(self, index: usize) -> Option<u16> {
        match self {
            Self::Ascii(text) => text.as_bytes().get(index).copied().map(u16::from),
            Self::Utf8(text) => text.encode_utf16().nth(index),
            Self::Units(units) => units.get(index).copied(),
        }
    }

    /// The part between two indices in units, when it can be had without cutting a character in two.
    pub fn slice(self, from: usize, to: usize) -> Option<Text<'a>> {
        match self {
            Self::Ascii(text) => text.get(from..to).map(Self::Ascii),
            Self::Utf8(text) => {
                let begin = byte_index(text, from)?;
                let rest = text.get(begin..)?;
                let length = byte_index(rest, to.saturating_sub(from))?;
                rest.get(..length).map(Text::of)
            }
            Self::Units(_) => None,
        }
    }

    /// Compares by units.
    pub fn compare(self, other: Text<'_>) -> Ordering {
        match (self, other) {
            (Self::Ascii(one), Text::Ascii(other)) => one.as_bytes().cmp(other.as_bytes()),
            (Self::Ascii(one) | Self::Utf8(one), Text::Ascii(other) | Text::Utf8(other)) => {
                one.encode_utf16().cmp(other.encode_utf16())
            }
            (one, other) => one.units().cmp(&other.units()),
        }
    }

    /// Whether both are the same units.
    pub fn equals(self, other: Text<'_>) -> bool {
        match (self, other) {
            (Self::Ascii(one), Text::Ascii(other)) | (Self::Utf8(one), Text::Utf8(other)) => one == other,
            (Self::Units(one), Text::Units(other)) => one == other,
            _ => false,
        }
    }
}

impl<'a> From<Text<'a>> for Value<'a> {
    fn from(text: Text<'a>) -> Self {
        match text {
            Text::Ascii(text) => Value::Ascii(text),
            Text::Utf8(text) => Value::Text(text),
            Text::Units(units) => Value::Units(units),
        }
    }
}

/// The byte at which the unit with this index begins; `None` inside of a character and behind the end.
fn byte_index(text: &str, units: usize) -> Option<usize> {
    let mut left = units;
    for (at, character) in text.char_indices() {
        if left == 0 {
            return Some(at);
        }
        left = left.checked_sub(character.len_utf16())?;
    }
    (left == 0).then_some(text.len())
}

/// The array index that a property name stands for: a whole number below 2^32 - 1 in its shortest form.
pub(super) fn array_index(name: &str) -> Option<u32> {
    let first = *name.as_bytes().first()?;
    if !first.is_ascii_digit() || name.len() > 10 || (first == b'0' && name.len() > 1) {
        return None;
    }
    let value: u64 = name.parse().ok()?;
    u32::try_from(value).ok().filter(|index| *index != u32::MAX)
}

/// Whether JavaScript's `trim` takes the character away.
pub(super) const fn is_space(character: char) -> bool {
    matches!(
        character,
        '\u{9}'..='\u{d}'
            | ' '
            | '\u{a0}'
            | '\u{1680}'
            | '\u{2000}'..='\u{200a}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{202f}'
            | '\u{205f}'
            | '\u{3000}'
            | '\u{feff}'
    )
}

/// A hash of bytes that no script can foresee, as `seed` is drawn anew by every process.
#[inline]
pub(super) fn hash(seed: u64, bytes: &[u8]) -> u64 {
    let other = seed.rotate_left(32) ^ 0x9e37_79b9_7f4a_7c15;
    let length = (bytes.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let (first, last) = match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
        _ => match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
            (Some(first), Some(last)) => {
                (u64::from(u32::from_le_bytes(*first)), u64::from(u32::from_le_bytes(*last)))
            }
            _ => (bytes.iter().fold(0, |sum, byte| (sum << 8) | u64::from(*byte)), 0),
        },
    };
    let mut state = seed ^ length;
    if bytes.len() > 16 {
        // All but the last sixteen bytes at most, eight at a time; the first eight are read once more below.
        let (chunks, _) = bytes.get(8..bytes.len() - 8).unwrap_or(&[]).as_chunks::<8>();
        for chunk in chunks {
            state = mix(state ^ u64::from_le_bytes(*chunk), other | 1);
        }
        let rest = bytes.last_chunk::<16>().and_then(|rest| rest.first_chunk::<8>());
        state = mix(state ^ rest.map_or(0, |rest| u64::from_le_bytes(*rest)), other | 1);
    }
    mix(first ^ state, last ^ other)
}

/// Both halves of the 128-bit product, laid over each other.
#[inline]
pub(super) fn mix(one: u64, other: u64) -> u64 {
    let product = u128::from(one).wrapping_mul(u128::from(other));
    let [low, high] =
        [product, product >> 64].map(|half| u64::try_from(half & u128::from(u64::MAX)).unwrap_or(0));
    low ^ high
}

#[cfg(test)]
mod tests {
    use super::{Text, array_index};
    use std::cmp::Ordering;

    #[test]
    fn only_canonical_numbers_are_indices() {
        for (name, expected) in [
            ("0", Some(0)),
            ("17", Some(17)),
            ("4294967294", Some(4_294_967_294)),
            ("4294967295", None),
            ("01", None),
            ("-1", None),
            ("1.0", None),
            ("+1", None),
            ("", None),
            ("99999999999", None),
        ] {
            assert_eq!(array_index(name), expected, "{name}");
        }
    }

    #[test]
    fn units_count_and_order() {
        let text = Text::of("a😀é");
        assert_eq!(text.len(), 4);
        assert_eq!(text.slice(0, 1).and_then(Text::as_str), Some("a"));
        assert_eq!(text.slice(1, 3).and_then(Text::as_str), Some("😀"));
        assert_eq!(text.slice(3, 4).and_then(Text::as_str), Some("é"));
        assert!(text.slice(0, 2).is_none());
        assert!(text.slice(2, 4).is_none());
        // U+FF5E is above U+1F600 in units, although it is below it as a code point.
        assert_eq!(Text::of("\u{ff5e}").compare(Text::of("😀")), Ordering::Greater);
    }
}
