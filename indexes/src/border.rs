//! Where the pages of a reduce tree end: a pure function of the entry keys and the index's signature.
//!
//! An entry key ends a page of level L when its hash has at least (L+1) x b trailing zero bits. So a rebuilt tree has
//! the same pages whatever the history was, and no split or merge code exists. The hash is keyed with the signature:
//! nobody can choose document ids that never make a border.

use crate::keys::OPEN_END;
use crate::signature::Signature;
use siphasher::sip::SipHasher13;
use std::hash::Hasher;

/// Trailing zero bits per level: a mean of 2^5 = 32 entries a page.
const BITS_PER_LEVEL: u32 = 5;

/// The border rule of one index.
#[derive(Debug, Clone, Copy)]
pub struct Borders {
    key: (u64, u64),
    bits_per_level: u32,
}

impl Borders {
    /// The rule of the index with this signature.
    #[must_use]
    pub fn new(signature: &Signature) -> Self {
        Self { key: signature.halves(), bits_per_level: BITS_PER_LEVEL }
    }

    /// The same rule with a mean of 2^`bits` entries a page, so that tests get tall trees from few entries. Rows
    /// written under one rule cannot be read under another.
    #[must_use]
    pub fn with_bits_per_level(self, bits: u32) -> Self {
        Self { bits_per_level: bits.max(1), ..self }
    }

    /// Whether a page of `level` ends behind this entry key (or page end).
    #[must_use]
    pub fn ends_page(&self, key: &[u8], level: u8) -> bool {
        if key == OPEN_END {
            return false;
        }
        let mut hasher = SipHasher13::new_with_keys(self.key.0, self.key.1);
        hasher.write(key);
        hasher.finish().trailing_zeros() >= (u32::from(level) + 1) * self.bits_per_level
    }
}
