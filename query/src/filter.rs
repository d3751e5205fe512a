//! The `where` clause ready to run: parameters are filled in, patterns compiled, lists turned into sets.

use crate::ast::Operator;
use crate::compare::{self, Matching, Operand, OperandSet};
use crate::full_text::Search;
use crate::term::{FieldRef, Subject, Term};
use regex::Regex;
use std::cmp::Ordering;

/// A condition on one subject.
#[derive(Debug, Clone)]
pub(crate) enum Filter {
    /// Always holds.
    All,
    /// Holds when all do.
    And(Vec<Filter>),
    /// Holds when one does.
    Or(Vec<Filter>),
    /// Holds when the other does not.
    Not(Box<Filter>),
    /// Holds when the other does, which counts so many times for the score.
    Boost(Box<Filter>, f64),
    /// A test of one field.
    Test { field: FieldRef, matching: Matching, test: Test },
}

/// What is asked of a field: whether any of its terms fits.
#[derive(Debug, Clone)]
pub(crate) enum Test {
    Exists,
    Equal(Operand),
    NotEqual(Operand),
    Range {
        operator: Operator,
        bound: Operand,
    },
    /// A bound that is null is none; without an upper one null fits, too.
    Between {
        low: Operand,
        high: Operand,
    },
    In(OperandSet),
    AllIn(Vec<Operand>),
    StartsWith(String),
    EndsWith(String),
    Pattern(Box<Regex>),
    Search(Box<Search>),
}

impl Filter {
    /// Whether `subject` fits.
    pub(crate) fn holds(&self, subject: &Subject<'_>) -> bool {
        match self {
            Self::All => true,
            Self::And(filters) => filters.iter().all(|filter| filter.holds(subject)),
            Self::Or(filters) => filters.iter().any(|filter| filter.holds(subject)),
            Self::Not(filter) => !filter.holds(subject),
            Self::Boost(filter, _) => filter.holds(subject),
            Self::Test { field, matching, test } => test.holds(field, *matching, subject),
        }
    }

    /// How well `subject` fits: one for each test that holds and for each word that is found, times what boosts it.
    pub(crate) fn score(&self, subject: &Subject<'_>) -> f64 {
        match self {
            Self::All | Self::Not(_) => 0.0,
            Self::And(filters) | Self::Or(filters) => {
                filters.iter().map(|filter| filter.score(subject)).sum()
            }
            Self::Boost(filter, boost) => filter.score(subject) * boost,
            Self::Test { field, test: Test::Search(search), .. } => {
                let found = u32::try_from(search.found(field, subject)).unwrap_or(u32::MAX);
                f64::from(found)
            }
            Self::Test { field, matching, test } => {
                f64::from(u8::from(test.holds(field, *matching, subject)))
            }
        }
    }

    /// Whether every subject fits, known without looking.
    pub(crate) fn is_all(&self) -> bool {
        matches!(self, Self::All)
    }
}

impl Test {
    fn holds(&self, field: &FieldRef, matching: Matching, subject: &Subject<'_>) -> bool {
        let any = |test: &mut dyn FnMut(&Term<'_>) -> bool| match (matching, matching.analyzer()) {
            (Matching::Nothing, _) => false,
            (_, Some(analyzer)) => field.any(subject, &mut |term| analyzer.any(term, test)),
            (_, None) => field.any(subject, test),
        };
        match self {
            Self::Exists => matching != Matching::Nothing && field.any(subject, &mut |_| true),
            Self::Equal(operand) => any(&mut |term| compare::equals(term, operand, matching)),
            Self::NotEqual(operand) => !any(&mut |term| compare::equals(term, operand, matching)),
            Self::Range { operator, bound } => any(&mut |term| {
                compare::order(term, bound, matching).is_some_and(|found| fits(found, *operator))
            }),
            Self::Between { low, high } => any(&mut |term| is_between(term, low, high, matching)),
            Self::In(set) => any(&mut |term| set.contains(term, matching)),
            Self::AllIn(operands) => {
                operands.iter().all(|operand| any(&mut |term| compare::is_listed(term, operand, matching)))
            }
            Self::StartsWith(prefix) if *field == FieldRef::Id => {
                any(&mut |term| compare::compared(term, matching).starts_with(prefix))
            }
            Self::StartsWith(affix) | Self::EndsWith(affix) if affix.is_empty() => {
                any(&mut |term| !matches!(term, Term::Null) && term.text().is_empty())
            }
            Self::StartsWith(prefix) => {
                any(&mut |term| has_text(term) && compare::compared(term, matching).starts_with(prefix))
            }
            Self::EndsWith(suffix) => {
                any(&mut |term| has_text(term) && compare::compared(term, matching).ends_with(suffix))
            }
            Self::Search(search) => matching != Matching::Nothing && search.holds(field, subject),
            Self::Pattern(pattern) => {
                any(&mut |term| has_text(term) && pattern.is_match(&compare::compared(term, matching)))
            }
        }
    }
}

fn is_between(term: &Term<'_>, low: &Operand, high: &Operand, matching: Matching) -> bool {
    let is_open = |bound: &Operand| *bound == Operand::Null;
    if matches!(term, Term::Null) {
        return is_open(high);
    }
    (is_open(low) || compare::order(term, low, matching).is_some_and(Ordering::is_ge))
        && (is_open(high) || compare::order(term, high, matching).is_some_and(Ordering::is_le))
}

fn has_text(term: &Term<'_>) -> bool {
    !matches!(term, Term::Null)
}

fn fits(found: Ordering, operator: Operator) -> bool {
    match operator {
        Operator::Less => found.is_lt(),
        Operator::LessOrEqual => found.is_le(),
        Operator::Greater => found.is_gt(),
        Operator::GreaterOrEqual => found.is_ge(),
        Operator::Equal => found.is_eq(),
        Operator::NotEqual => found.is_ne(),
    }
}
