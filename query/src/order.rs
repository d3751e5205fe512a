//! The `order by` clause: the sort keys of a subject, and their order.
//!
//! Missing and null sort before everything (behind it when descending) and count as equal. Text orders by lower-cased
//! text, dates by instant. An array sorts by its smallest element, when descending by its largest. A numeric ordering
//! in the first place leaves out what has a value but no number, as the original does; further on that counts as
//! missing.

use crate::filter::Filter;
use crate::term::{FieldRef, Subject, Term};
use magpie_indexes::terms::{Chunks, instant, truncated};
use magpie_store::json::{Json, Number, ScriptNumber};
use magpie_store::ordered;
use std::cmp::Ordering;

/// One item of the clause.
#[derive(Debug, Clone)]
pub(crate) struct OrderKey {
    pub(crate) by: OrderBy,
    pub(crate) descending: bool,
}

/// What is ordered by.
#[derive(Debug, Clone)]
pub(crate) enum OrderBy {
    Text(FieldRef),
    Long(FieldRef),
    Double(FieldRef),
    AlphaNumeric(FieldRef),
    /// How well the row fits, the best first.
    Score(Box<Filter>),
    /// An order that the seed fixes.
    Random(u64),
}

/// A sort key. The variants are listed in their order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum SortKey {
    Absent,
    Long(i64),
    Exact(ByValue),
    Text(String),
    AlphaNumeric(Chunks),
}

/// A number, perhaps an infinity, that orders by its value.
#[derive(Debug, Clone)]
struct ByValue(Json);

impl Ord for ByValue {
    fn cmp(&self, other: &Self) -> Ordering {
        ordered::compare(&self.0, &other.0)
    }
}
impl PartialOrd for ByValue {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl PartialEq for ByValue {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for ByValue {}

/// A key in the direction that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Directed {
    Up(SortKey),
    Down(SortKey),
}

impl Ord for Directed {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Up(left), Self::Up(right)) => left.cmp(right),
            (Self::Down(left), Self::Down(right)) => right.cmp(left),
            // One clause gives each place one direction, so these never meet.
            (Self::Up(_), Self::Down(_)) => Ordering::Less,
            (Self::Down(_), Self::Up(_)) => Ordering::Greater,
        }
    }
}
impl PartialOrd for Directed {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The place of a row in the answer: by its keys, then missing before null, then in the order it was read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    keys: Vec<Directed>,
    presence: Vec<u8>,
    number: u64,
}

impl Rank {
    /// The rank of the `number`th row read; `None` when a numeric ordering leaves the row out.
    pub(crate) fn new(order: &[OrderKey], subject: &Subject<'_>, number: u64) -> Option<Self> {
        let mut keys = Vec::with_capacity(order.len());
        let mut presence = Vec::with_capacity(order.len());
        for (place, key) in order.iter().enumerate() {
            let (found, present) = match key.of(subject, number) {
                Some(found) => found,
                None if place == 0 => return None,
                None => (SortKey::Absent, 0),
            };
            keys.push(if key.descending { Directed::Down(found) } else { Directed::Up(found) });
            presence.push(if key.descending { 2 - present } else { present });
        }
        Some(Self { keys, presence, number })
    }

    /// About how many bytes it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        let size = |directed: &Directed| {
            let (Directed::Up(key) | Directed::Down(key)) = directed;
            64 + match key {
                SortKey::Text(text) => text.len(),
                SortKey::AlphaNumeric(chunks) => chunks.bytes(),
                SortKey::Exact(number) => number.0.to_string().len(),
                _ => 0,
            }
        };
        64 + self.keys.iter().map(size).sum::<usize>()
    }
}

impl OrderKey {
    /// The key, and whether the value is missing (0), null (1) or there (2).
    fn of(&self, subject: &Subject<'_>, number: u64) -> Option<(SortKey, u8)> {
        match &self.by {
            OrderBy::Text(field) => Some(self.best(field, subject, text_key)),
            OrderBy::AlphaNumeric(field) => Some(self.best(field, subject, alphanumeric_key)),
            OrderBy::Long(field) => self.numeric(field, subject, |number| {
                SortKey::Long(match number {
                    Json::Number(number) => truncated(&number),
                    Json::ScriptNumber(ScriptNumber::NegativeInfinity) => i64::MIN,
                    _ => i64::MAX,
                })
            }),
            OrderBy::Double(field) => self.numeric(field, subject, |number| SortKey::Exact(ByValue(number))),
            OrderBy::Score(filter) => {
                let score = Number::from_f64(-filter.score(subject)).unwrap_or_else(|| Number::from(0_i64));
                Some((SortKey::Exact(ByValue(Json::Number(score))), 2))
            }
            OrderBy::Random(seed) => {
                Some((SortKey::Long(i64::from_ne_bytes(mixed(*seed ^ mixed(number)).to_ne_bytes())), 2))
            }
        }
    }

    fn best(&self, field: &FieldRef, subject: &Subject<'_>, key: fn(&Term<'_>) -> SortKey) -> (SortKey, u8) {
        let mut best: Option<(SortKey, u8)> = None;
        field.any(subject, &mut |term| {
            let found = (key(term), if matches!(term, Term::Null) { 1 } else { 2 });
            if best.as_ref().is_none_or(|best| if self.descending { found > *best } else { found < *best }) {
                best = Some(found);
            }
            false
        });
        best.unwrap_or((SortKey::Absent, 0))
    }

    fn numeric(
        &self,
        field: &FieldRef,
        subject: &Subject<'_>,
        key: impl Fn(Json) -> SortKey,
    ) -> Option<(SortKey, u8)> {
        let mut best: Option<(SortKey, u8)> = None;
        let mut others = false;
        field.any(subject, &mut |term| {
            let found = match term {
                Term::Null => (SortKey::Absent, 1),
                Term::Number(number) => (key(Json::Number(number.clone().into_owned())), 2),
                Term::NonFinite(number @ (ScriptNumber::Infinity | ScriptNumber::NegativeInfinity)) => {
                    (key(Json::ScriptNumber((*number).clone())), 2)
                }
                Term::Text(text) => match instant::parse(text) {
                    Some(instant) => (key(Json::from(instant.0)), 2),
                    None => {
                        others = true;
                        return false;
                    }
                },
                _ => {
                    others = true;
                    return false;
                }
            };
            if best.as_ref().is_none_or(|best| if self.descending { found > *best } else { found < *best }) {
                best = Some(found);
            }
            false
        });
        match best {
            None if others => None,
            None => Some((SortKey::Absent, 0)),
            found => found,
        }
    }
}

fn text_key(term: &Term<'_>) -> SortKey {
    match term {
        Term::Null => SortKey::Absent,
        // The normal form of an instant has a fixed width, so it orders among other texts without contradiction.
        Term::Text(text) => SortKey::Text(
            instant::parse(text).map_or_else(|| term.folded().into_owned(), |instant| instant.to_string()),
        ),
        other => SortKey::Text(other.folded().into_owned()),
    }
}

fn alphanumeric_key(term: &Term<'_>) -> SortKey {
    match term {
        Term::Null => SortKey::Absent,
        other => SortKey::AlphaNumeric(Chunks::of(&other.folded())),
    }
}

/// A well mixed number. Source: the finalizer of SplitMix64 (Steele, Lea, Flood, "Fast Splittable Pseudorandom
/// Number Generators").
fn mixed(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
