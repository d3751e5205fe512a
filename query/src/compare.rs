//! How a term compares with a value of the query.
//!
//! Strings compare by lower-cased text, numbers by exact decimal value, dates by instant. A string also finds the number
//! or boolean with that text, but a number never finds a string. `null` equals only `null` and is in no range. Infinities
//! lie beyond all numbers and NaN among none; none of them is found by its text.

use crate::term::{Term, fold, number_text};
use magpie_indexes::terms::{Analyzer, instant};
use magpie_store::Timestamp;
use magpie_store::json::{Json, Number, ScriptNumber};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashSet;

/// How upper and lower case count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Matching {
    /// They do not, and dates compare by instant.
    Folded,
    /// They do not; dates are texts like others. For document ids.
    FoldedText,
    /// They do.
    Original,
    /// The value is taken as written, the terms are lower-cased: `exact()` on a field that is not indexed exactly.
    OriginalAgainstFolded,
    /// The value in lower case, the terms as the analyzer makes them: the field is indexed for search.
    Words(Analyzer),
    /// The value as written, the terms as the analyzer makes them.
    OriginalAgainstWords(Analyzer),
    /// The field is not indexed: it has no terms.
    Nothing,
}

impl Matching {
    /// Whether the query's value is lower-cased.
    pub(crate) fn folds(self) -> bool {
        matches!(self, Self::Folded | Self::FoldedText | Self::Words(_))
    }

    /// What makes the terms of a field of its texts, when these are no terms themselves.
    pub(crate) fn analyzer(self) -> Option<Analyzer> {
        match self {
            Self::Words(analyzer) | Self::OriginalAgainstWords(analyzer) => Some(analyzer),
            _ => None,
        }
    }

    /// Whether dates compare by instant.
    pub(crate) fn by_instant(self) -> bool {
        matches!(self, Self::Folded | Self::Words(_))
    }
}

/// A value of the query, ready to be compared.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Operand {
    Null,
    Bool(bool),
    Number { number: Number, text: String },
    Text { original: String, folded: String, instant: Option<Timestamp> },
}

impl Operand {
    /// From a scalar; an array or object is taken as its JSON text.
    pub(crate) fn new(value: &Json) -> Self {
        match value {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(number) => Self::Number { number: number.clone(), text: number_text(number) },
            Json::String(text) => Self::text(text),
            other => Self::text(&other.to_string()),
        }
    }

    fn text(text: &str) -> Self {
        Self::Text {
            original: text.to_owned(),
            folded: fold(text).into_owned(),
            instant: instant::parse(text),
        }
    }

    /// Its text as it is compared with terms.
    pub(crate) fn compared(&self, matching: Matching) -> &str {
        match self {
            Self::Null => "",
            Self::Bool(true) => "true",
            Self::Bool(false) => "false",
            Self::Number { text, .. } => text,
            Self::Text { folded, .. } if matching.folds() => folded,
            Self::Text { original, .. } => original,
        }
    }

    /// The point in time that it is compared as.
    pub(crate) fn instant(&self, matching: Matching) -> Option<Timestamp> {
        match self {
            Self::Text { instant, .. } if matching.by_instant() => *instant,
            _ => None,
        }
    }
}

/// The text of a term as it is compared.
pub(crate) fn compared<'t>(term: &'t Term<'_>, matching: Matching) -> Cow<'t, str> {
    // The terms of an analyzer are as they shall be.
    let is_kept = matching == Matching::Original || matching.analyzer().is_some();
    if is_kept { term.text() } else { term.folded() }
}

fn term_instant(term: &Term<'_>) -> Option<Timestamp> {
    match term {
        Term::Text(text) => instant::parse(text),
        _ => None,
    }
}

/// `term = operand`.
pub(crate) fn equals(term: &Term<'_>, operand: &Operand, matching: Matching) -> bool {
    match (term, operand) {
        (Term::Null, other) => *other == Operand::Null,
        (_, Operand::Null) => false,
        (Term::Number(left), Operand::Number { number, .. }) => left.cmp_value(number) == Ordering::Equal,
        (_, Operand::Number { .. }) => false,
        _ => same_text(term, operand, matching),
    }
}

/// Equality by text, as `in` has it: 1 is in ('1'), and '1' is in (1).
fn same_text(term: &Term<'_>, operand: &Operand, matching: Matching) -> bool {
    if let Some(wanted) = operand.instant(matching)
        && let Some(found) = term_instant(term)
    {
        return wanted == found;
    }
    compared(term, matching) == operand.compared(matching)
}

/// How `term` stands to `operand` in a range; `None` when it is in no range with it.
pub(crate) fn order(term: &Term<'_>, operand: &Operand, matching: Matching) -> Option<Ordering> {
    match (term, operand) {
        (Term::Null, _) | (_, Operand::Null) => None,
        (Term::Number(left), Operand::Number { number, .. }) => Some(left.cmp_value(number)),
        (Term::NonFinite(ScriptNumber::Infinity), Operand::Number { .. }) => Some(Ordering::Greater),
        (Term::NonFinite(ScriptNumber::NegativeInfinity), Operand::Number { .. }) => Some(Ordering::Less),
        (_, Operand::Number { .. }) => None,
        _ => match operand.instant(matching) {
            Some(wanted) => term_instant(term).map(|found| found.cmp(&wanted)),
            None => Some(compared(term, matching).as_ref().cmp(operand.compared(matching))),
        },
    }
}

/// The values of an `in` list.
#[derive(Debug, Clone, Default)]
pub(crate) struct OperandSet {
    null: bool,
    texts: HashSet<String>,
    instants: HashSet<Timestamp>,
}

impl OperandSet {
    pub(crate) fn new(operands: &[Operand], matching: Matching) -> Self {
        let mut set = Self::default();
        for operand in operands {
            match operand {
                Operand::Null => set.null = true,
                other => {
                    set.instants.extend(other.instant(matching));
                    set.texts.insert(other.compared(matching).to_owned());
                }
            }
        }
        set
    }

    pub(crate) fn has_null(&self) -> bool {
        self.null
    }

    /// The texts of all values but null.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        self.texts.iter().map(String::as_str)
    }

    pub(crate) fn instants(&self) -> impl Iterator<Item = Timestamp> {
        self.instants.iter().copied()
    }

    pub(crate) fn contains(&self, term: &Term<'_>, matching: Matching) -> bool {
        match term {
            Term::Null => self.null,
            other => {
                self.texts.contains(compared(other, matching).as_ref())
                    || (!self.instants.is_empty()
                        && term_instant(other).is_some_and(|instant| self.instants.contains(&instant)))
            }
        }
    }
}

/// Whether `term` occurs as the operand of an `all in` list.
pub(crate) fn is_listed(term: &Term<'_>, operand: &Operand, matching: Matching) -> bool {
    match (term, operand) {
        (Term::Null, other) => *other == Operand::Null,
        (_, Operand::Null) => false,
        _ => same_text(term, operand, matching),
    }
}
