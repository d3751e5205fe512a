//! Where the pages of a reduce tree end: a pure function of the entry keys and the index's signature.
//!
//! An entry key ends a page of level L when its hash has at least 5 + 3 L trailing zero bits. So a rebuilt tree has the
//! same pages whatever the history was, and no split or merge code exists. The hash is keyed with the signature: nobody
//! can choose document ids that never make a border.
//!
//! Pages of entries are wide, since entries are small and a page of them is one row. Those above are narrow: a change
//! reduces one page a level, whose values may be large (a set of files), so it reads fewer of them for a few calls more.

use crate::keys::OPEN_END;
use crate::signature::Signature;
use siphasher::sip::SipHasher13;
use std::hash::Hasher;

/// Trailing zero bits of a key that ends a page of entries: a mean of 2^5 = 32 entries a page.
const LEAF_BITS: u32 = 5;
/// Further ones for each level above: a mean of 2^3 = 8 values a page. What other numbers cost stands in
/// `tests/bench/RESULTS.md`.
const UPPER_BITS: u32 = 3;

/// The border rule of one index.
#[derive(Debug, Clone, Copy)]
pub struct Borders {
    key: (u64, u64),
    leaf_bits: u32,
    upper_bits: u32,
}

impl Borders {
    /// The rule of the index with this signature.
    #[must_use]
    pub fn new(signature: &Signature) -> Self {
        Self { key: signature.halves(), leaf_bits: LEAF_BITS, upper_bits: UPPER_BITS }
    }

    /// The same rule with a mean of 2^`leaf` entries and, above, 2^`upper` values a page, so that tests get tall trees
    /// from few entries. Rows written under one rule cannot be read under another.
    #[must_use]
    pub fn with_bits(self, leaf: u32, upper: u32) -> Self {
        Self { leaf_bits: leaf.max(1), upper_bits: upper.max(1), ..self }
    }

    /// Whether a page of `level` ends behind this entry key (or page end).
    #[must_use]
    pub fn ends_page(&self, key: &[u8], level: u8) -> bool {
        if key == OPEN_END {
            return false;
        }
        let mut hasher = SipHasher13::new_with_keys(self.key.0, self.key.1);
        hasher.write(key);
        hasher.finish().trailing_zeros() >= self.leaf_bits + u32::from(level) * self.upper_bits
    }
}
