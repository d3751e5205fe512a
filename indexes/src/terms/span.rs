//! What a query needs of terms: spans of them, joined by `and` and `or`.

use super::field::TermField;
use super::posting::{Class, closed, open};
use magpie_store::Timestamp;
use magpie_store::json::{Json, Number};
use magpie_store::ordered;

/// How the texts of points in time in years of five digits begin, which do not stand where they belong in time.
const FAR_YEARS: &str = "10000-";

/// Results by their terms. Whatever fits the query has to fit this; more may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// One of the field's terms is in one of the spans.
    Spans(TermField, Vec<TermSpan>),
    /// All of them.
    And(Vec<Need>),
    /// One of them.
    Or(Vec<Need>),
}

/// Terms that follow each other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TermSpan {
    pub(crate) from: Vec<u8>,
    pub(crate) to: Vec<u8>,
    /// Whether it is a single term, so that its postings are in the order of the results.
    pub(crate) single: bool,
}

impl Need {
    /// The fields that are asked about, each once.
    #[must_use]
    pub fn fields(&self) -> Vec<&TermField> {
        let mut fields = match self {
            Self::Spans(field, _) => vec![field],
            Self::And(needs) | Self::Or(needs) => needs.iter().flat_map(Self::fields).collect(),
        };
        fields.sort_unstable();
        fields.dedup();
        fields
    }
}

/// The first bytes behind a term and all its postings.
fn behind(class: Class, bytes: &[u8]) -> Vec<u8> {
    let mut out = open(class, bytes);
    out.extend_from_slice(&[0, 2]);
    out
}

fn number_bytes(number: &Number) -> Vec<u8> {
    let mut bytes = Vec::new();
    ordered::encode(&Json::Number(number.clone()), &mut bytes);
    bytes
}

impl TermSpan {
    /// The terms that are in a span of both lists.
    pub(crate) fn in_both(left: &[Self], right: &[Self]) -> Vec<Self> {
        let mut both = Vec::new();
        for a in left {
            for b in right {
                let (from, to) = (a.from.clone().max(b.from.clone()), a.to.clone().min(b.to.clone()));
                if from < to {
                    both.push(Self { from, to, single: a.single || b.single });
                }
            }
        }
        both.sort_unstable();
        both.dedup();
        both
    }

    fn one(class: Class, bytes: &[u8]) -> Self {
        Self { from: closed(class, bytes), to: behind(class, bytes), single: true }
    }

    fn between(class: Class, low: Option<&[u8]>, high: Option<&[u8]>) -> Self {
        let to = high.map_or_else(|| vec![class as u8 + 1], |high| behind(class, high));
        Self { from: open(class, low.unwrap_or_default()), to, single: false }
    }

    /// Null, in any family.
    #[must_use]
    pub fn null() -> Self {
        Self::one(Class::Null, &[])
    }

    /// Results without a term in the field, in any family.
    #[must_use]
    pub fn missing() -> Self {
        Self::one(Class::Missing, &[])
    }

    /// Results with a term, null included, in any family.
    #[must_use]
    pub fn exists() -> Self {
        Self { from: vec![Class::Null as u8], to: vec![Class::Other as u8 + 1], single: false }
    }

    /// Terms with this lower-cased text, in the family `Text`.
    #[must_use]
    pub fn text(folded: &str) -> Self {
        Self::one(Class::Plain, folded.as_bytes())
    }

    /// Terms whose lower-cased text begins so, in the family `Text`.
    #[must_use]
    pub fn prefix(folded: &str) -> Self {
        let from = open(Class::Plain, folded.as_bytes());
        let to = [from.as_slice(), &[0xff]].concat();
        Self { from, to, single: false }
    }

    /// Terms with lower-cased texts from `low` to `high`, both included, in the family `Text`.
    #[must_use]
    pub fn texts(low: Option<&str>, high: Option<&str>) -> Self {
        Self::between(Class::Plain, low.map(str::as_bytes), high.map(str::as_bytes))
    }

    /// Points in time from `low` to `high`, both included, in the family `Text`.
    #[must_use]
    pub fn instants(low: Option<Timestamp>, high: Option<Timestamp>) -> Vec<Self> {
        let texts = [low, high].map(|bound| bound.map(|bound| bound.to_string()));
        if let [Some(low), Some(high)] = &texts
            && low == high
        {
            return vec![Self::one(Class::Instant, low.as_bytes())];
        }
        // Texts of the usual length are in the order of time.
        let usual = |text: &Option<String>| text.clone().filter(|text| !text.starts_with(FAR_YEARS));
        let [low, high] = texts.each_ref().map(usual);
        let all = Self::between(
            Class::Instant,
            low.as_ref().map(String::as_bytes),
            high.as_ref().map(String::as_bytes),
        );
        let from = open(Class::Instant, FAR_YEARS.as_bytes());
        let to = [from.as_slice(), &[0xff]].concat();
        vec![all, Self { from, to, single: false }]
    }

    /// Numbers from `low` to `high`, both included, in the family `Double`.
    #[must_use]
    pub fn numbers(low: Option<&Number>, high: Option<&Number>) -> Self {
        let bounds = [low, high].map(|bound| bound.map(number_bytes));
        if let [Some(low), Some(high)] = &bounds
            && low == high
        {
            return Self::one(Class::Plain, low);
        }
        let [low, high] = bounds.each_ref().map(Option::as_deref);
        Self::between(Class::Plain, low, high)
    }
}
