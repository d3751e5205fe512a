//! The signature of an index: a hash of everything that decides its rows. It seeds the borders of its reduce trees.
//!
//! Whether two definitions are the same is decided by their canonical texts, never by the hash alone.

use crate::definition::IndexDefinition;
use crate::function::FunctionSource;
use crate::keys::FORMAT_VERSION;
use std::fmt::Write as _;

/// 128 bits that name a canonical definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signature([u8; 16]);

impl Signature {
    /// The signature of a canonical text.
    #[must_use]
    pub fn of(canonical: &str) -> Self {
        let hash = blake3::hash(canonical.as_bytes());
        let mut bytes = [0; 16];
        for (to, from) in bytes.iter_mut().zip(hash.as_bytes()) {
            *to = *from;
        }
        Self(bytes)
    }

    /// Its two halves, as keys of a hash.
    #[must_use]
    pub fn halves(&self) -> (u64, u64) {
        let whole = u128::from_be_bytes(self.0);
        #[expect(clippy::cast_possible_truncation, reason = "the halves are what is asked for")]
        let halves = ((whole >> 64) as u64, whole as u64);
        halves
    }
}

impl std::fmt::Display for Signature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The canonical text of a definition: what decides its rows and nothing else. Names, priorities, lock modes,
/// formatting and comments do not count.
#[must_use]
pub fn canonical_definition(definition: &IndexDefinition, source: &dyn FunctionSource) -> String {
    let mut text = format!("format {FORMAT_VERSION}\n");
    for part in definition.deciding_parts() {
        // Each part stands behind its length, so that no two lists of parts give one text.
        let _ = writeln!(text, "{} {part}", part.len());
    }
    text.push_str(source.canonical_text());
    text
}
