//! Text in which runs of digits compare by their value: `a9` before `a10`.

use std::cmp::Ordering;

/// The runs of a text, in an order of their own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Chunks(Vec<Chunk>);

/// A run of digits or of anything else.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Chunk {
    /// The digits without leading zeros, and how many those were.
    Digits(String, usize),
    Other(String),
}

impl Ord for Chunk {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Digits(left, left_zeros), Self::Digits(right, right_zeros)) => left
                .len()
                .cmp(&right.len())
                .then_with(|| left.cmp(right))
                .then_with(|| right_zeros.cmp(left_zeros)),
            (Self::Other(left), Self::Other(right)) => left.cmp(right),
            // A text run never starts with a digit, so its first character decides alone.
            (Self::Digits(..), Self::Other(text)) => "0".cmp(text),
            (Self::Other(text), Self::Digits(..)) => text.as_str().cmp("0"),
        }
    }
}
impl PartialOrd for Chunk {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Chunks {
    /// The runs of `text`.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut chunks = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let digits = first.is_ascii_digit();
            let end = rest.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(rest.len());
            let (run, behind) = rest.split_at(end);
            chunks.push(if digits {
                let value = run.trim_start_matches('0');
                Chunk::Digits(value.to_owned(), run.len() - value.len())
            } else {
                Chunk::Other(run.to_owned())
            });
            rest = behind;
        }
        Self(chunks)
    }

    /// About how many bytes they take in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let size = |chunk: &Chunk| {
            let (Chunk::Digits(text, _) | Chunk::Other(text)) = chunk;
            32 + text.len()
        };
        self.0.iter().map(size).sum()
    }

    /// Bytes whose order is that of the runs.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let bounded = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        for chunk in &self.0 {
            match chunk {
                Chunk::Digits(text, zeros) => {
                    // As the first byte of a text run decides against digits, so does this one.
                    out.push(b'0');
                    out.extend_from_slice(&bounded(text.len()).to_be_bytes());
                    out.extend_from_slice(text.as_bytes());
                    out.extend_from_slice(&(u32::MAX - bounded(*zeros)).to_be_bytes());
                }
                Chunk::Other(text) => {
                    for byte in text.bytes() {
                        out.push(byte);
                        if byte == 0 {
                            out.push(0xff);
                        }
                    }
                    out.extend_from_slice(&[0, 1]);
                }
            }
        }
        out.extend_from_slice(&[0, 0]);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::Chunks;
    use proptest::prelude::*;

    #[test]
    fn digit_runs_order_by_value() {
        let mut names = ["a10", "a9", "a1", "b", "a01", "9", "10", "", "a-1", "aa"];
        names.sort_by_key(|name| Chunks::of(name));
        assert_eq!(names, ["", "9", "10", "a01", "a1", "a9", "a10", "a-1", "aa", "b"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn the_order_of_the_bytes_is_that_of_the_runs(a in "[ab\u{0}/:0129é]{0,6}", b in "[ab\u{0}/:0129é]{0,6}") {
            let (a, b) = (Chunks::of(&a), Chunks::of(&b));
            prop_assert_eq!(a.encode().cmp(&b.encode()), a.cmp(&b));
        }
    }
}
