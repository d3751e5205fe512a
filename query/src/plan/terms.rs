//! From a filter to the terms that results must have to fit it, and from `order by` to the field whose terms are in its
//! order.
//!
//! What is not surely known is left out: the filter is applied to what was read all the same. How terms and operands
//! compare is said in `compare.rs` and `order.rs`, and has to be followed here.

use crate::ast::Operator;
use crate::compare::{Matching, Operand};
use crate::filter::{Filter, Test};
use crate::full_text::{Search, SearchedTerms, Wanted};
use crate::limits;
use crate::order::{OrderBy, OrderKey};
use crate::term::{FieldRef, Step, fold};
use magpie_indexes::terms::{Analyzer, Family, Need, TermField, TermSpan};
use magpie_store::json::Number;

/// What the terms of an index tell about a filter.
#[derive(Debug, Default)]
pub(crate) struct FilterTerms {
    /// What results must have among their terms to fit.
    pub(crate) need: Option<Need>,
    /// The one term that exactly those have that fit, and its field.
    pub(crate) exact: Option<(TermField, TermSpan)>,
}

impl FilterTerms {
    pub(crate) fn new(filter: &Filter) -> Self {
        Self { need: need(filter), exact: exact(filter) }
    }
}

/// The fields whose terms would make a query with this filter and order faster.
pub(crate) fn wanted(filter: &FilterTerms, order: &[OrderKey]) -> Vec<TermField> {
    let of_filter = filter.need.iter().flat_map(|need| need.fields().into_iter().cloned());
    of_filter.chain(order.first().and_then(self::order)).collect()
}

/// What results must have to fit; `None` when terms do not tell.
fn need(filter: &Filter) -> Option<Need> {
    match filter {
        Filter::All => None,
        Filter::Boost(inner, _) => need(inner),
        Filter::And(filters) => {
            let mut needs: Vec<_> = filters.iter().filter_map(need).collect();
            if needs.len() > 1 { Some(Need::And(needs)) } else { needs.pop() }
        }
        Filter::Or(filters) => filters.iter().map(need).collect::<Option<_>>().map(Need::Or),
        Filter::Not(inner) => match inner.as_ref() {
            Filter::Test { field: FieldRef::Path(path), matching, test: Test::Exists }
                if *matching != Matching::Nothing =>
            {
                Some(spans(Family::Text, path, vec![TermSpan::missing()]))
            }
            _ => None,
        },
        Filter::Test { field: FieldRef::Path(path), matching, test } if *matching != Matching::Nothing => {
            of_test(path, *matching, test)
        }
        Filter::Test { .. } => None,
    }
}

/// The one term that exactly those results have that fit, if there is one, and its field.
fn exact(filter: &Filter) -> Option<(TermField, TermSpan)> {
    let Filter::Test { field: FieldRef::Path(path), matching: Matching::Folded, test: Test::Equal(operand) } =
        filter
    else {
        return None;
    };
    let term = match operand {
        Operand::Null => TermSpan::null(),
        Operand::Text { folded, instant: None, .. } => TermSpan::text(folded),
        Operand::Bool(_) => TermSpan::text(operand.compared(Matching::Folded)),
        // Points in time have several texts, and numbers are not counted.
        Operand::Text { .. } | Operand::Number { .. } => return None,
    };
    Some((TermField { family: Family::Text, path: path.clone() }, term))
}

/// The field whose terms are in the order of a key.
pub(crate) fn order(key: &OrderKey) -> Option<TermField> {
    let (family, field) = match &key.by {
        OrderBy::Text(field) => (Family::Text, field),
        OrderBy::Long(field) => (Family::Long, field),
        OrderBy::Double(field) => (Family::Double, field),
        OrderBy::AlphaNumeric(field) => (Family::AlphaNumeric, field),
        OrderBy::Score(_) | OrderBy::Random(_) => return None,
    };
    match field {
        FieldRef::Path(path) => Some(TermField { family, path: path.clone() }),
        FieldRef::Id => None,
    }
}

fn spans(family: Family, path: &[Step], spans: Vec<TermSpan>) -> Need {
    Need::Spans(TermField { family, path: path.to_vec() }, spans)
}

fn of_test(path: &[Step], matching: Matching, test: &Test) -> Option<Need> {
    let family = of_texts(matching)?;
    let text = |found: Vec<TermSpan>| spans(family, path, found);
    match test {
        Test::Exists => Some(spans(Family::Text, path, vec![TermSpan::exists()])),
        Test::Equal(operand) => Some(match operand {
            Operand::Number { number, .. } => {
                spans(Family::Double, path, vec![TermSpan::numbers(Some(number), Some(number))])
            }
            other => text(same_text(other, matching)),
        }),
        Test::In(set) => {
            let texts = set.texts().flat_map(spellings).map(|text| TermSpan::text(&text));
            let mut found: Vec<_> = texts.collect();
            found.extend(set.instants().flat_map(|instant| TermSpan::instants(Some(instant), Some(instant))));
            found.extend(set.has_null().then(TermSpan::null));
            found.sort_unstable();
            found.dedup();
            (found.len() <= limits::TERM_SPANS_MAX).then(|| text(found))
        }
        Test::AllIn(operands) => {
            let needs: Vec<_> = operands.iter().map(|operand| text(same_text(operand, matching))).collect();
            (!needs.is_empty() && needs.len() <= limits::TERM_SPANS_MAX).then_some(Need::And(needs))
        }
        Test::Range { operator, bound } => match operator {
            Operator::Less | Operator::LessOrEqual => range(path, None, Some(bound), matching),
            Operator::Greater | Operator::GreaterOrEqual => range(path, Some(bound), None, matching),
            Operator::Equal | Operator::NotEqual => None,
        },
        Test::Between { low: Operand::Null, high: Operand::Null } => {
            Some(spans(Family::Text, path, vec![TermSpan::exists()]))
        }
        Test::Between { low: Operand::Null, high } => range(path, None, Some(high), matching),
        // Null fits as well, and stands before all other terms.
        Test::Between { high: Operand::Null, .. } => None,
        Test::Between { low, high } => {
            // Bounds of one kind make one span; of others, each tells on its own.
            range(path, Some(low), Some(high), matching)
                .or_else(|| range(path, Some(low), None, matching))
                .or_else(|| range(path, None, Some(high), matching))
        }
        Test::StartsWith(affix) | Test::EndsWith(affix) if affix.is_empty() => {
            Some(text(vec![TermSpan::text("")]))
        }
        Test::StartsWith(prefix) => {
            Some(text(spellings(prefix).iter().map(|prefix| TermSpan::prefix(prefix)).collect()))
        }
        Test::Search(search) => of_search(path, search),
        Test::NotEqual(_) | Test::EndsWith(_) | Test::Pattern(_) => None,
    }
}

/// The terms that tell about the texts of a field; `None` when no family does.
fn of_texts(matching: Matching) -> Option<Family> {
    match matching.analyzer() {
        None => Some(Family::Text),
        Some(Analyzer::Standard) => Some(Family::Words),
        Some(_) => None,
    }
}

fn of_search(path: &[Step], search: &Search) -> Option<Need> {
    let family = match search.terms {
        SearchedTerms::Analyzed(Analyzer::Standard) => Family::Words,
        SearchedTerms::Analyzed(_) => return None,
        SearchedTerms::Folded | SearchedTerms::Original => Family::Text,
    };
    let one =
        |text: &str| spans(family, path, spellings(text).iter().map(|text| TermSpan::text(text)).collect());
    let of = |wanted: &Wanted| match wanted {
        Wanted::Any => Some(spans(Family::Text, path, vec![TermSpan::exists()])),
        Wanted::Phrase(phrase) if phrase.len() > limits::TERM_SPANS_MAX => None,
        Wanted::Phrase(phrase) => match phrase.as_slice() {
            [word] => Some(one(word)),
            words => Some(Need::And(words.iter().map(|word| one(word)).collect())),
        },
        Wanted::Part { more_before: true, .. } => None,
        Wanted::Part { text, .. } => {
            let prefixes = spellings(text);
            Some(spans(family, path, prefixes.iter().map(|prefix| TermSpan::prefix(prefix)).collect()))
        }
    };
    if search.wanted.len() > limits::TERM_SPANS_MAX {
        return None;
    }
    if search.all {
        let mut needs: Vec<_> = search.wanted.iter().filter_map(of).collect();
        return if needs.len() > 1 { Some(Need::And(needs)) } else { needs.pop() };
    }
    // Without anything that is looked for, nothing fits.
    search.wanted.iter().map(of).collect::<Option<Vec<_>>>().map(Need::Or)
}

/// Under which texts a term may be found whose text is this one: terms are kept in lower case, but numbers as they are
/// shown, with an upper-case E.
fn spellings(text: &str) -> Vec<String> {
    let mut spellings = vec![fold(text).into_owned(), text.to_owned()];
    spellings.dedup();
    spellings
}

/// The terms that equal an operand other than by number.
fn same_text(operand: &Operand, matching: Matching) -> Vec<TermSpan> {
    let Operand::Null = operand else {
        let mut found: Vec<_> =
            spellings(operand.compared(matching)).iter().map(|text| TermSpan::text(text)).collect();
        if let Some(instant) = operand.instant(matching) {
            found.extend(TermSpan::instants(Some(instant), Some(instant)));
        }
        return found;
    };
    vec![TermSpan::null()]
}

/// The terms between two bounds of one kind; at least one is given.
fn range(path: &[Step], low: Option<&Operand>, high: Option<&Operand>, matching: Matching) -> Option<Need> {
    let bounds = || low.into_iter().chain(high);
    // Null is in no range.
    let family = of_texts(matching)?;
    if bounds().any(|bound| *bound == Operand::Null) {
        return Some(spans(family, path, Vec::new()));
    }
    if bounds().any(|bound| matches!(bound, Operand::Number { .. })) {
        let number = |bound: Option<&Operand>| -> Option<Option<Number>> {
            match bound {
                Some(Operand::Number { number, .. }) => Some(Some(number.clone())),
                Some(_) => None,
                None => Some(None),
            }
        };
        let (low, high) = (number(low)?, number(high)?);
        return Some(spans(Family::Double, path, vec![TermSpan::numbers(low.as_ref(), high.as_ref())]));
    }
    let instants = [low, high].map(|bound| bound.map(|bound| bound.instant(matching)));
    if instants.iter().flatten().any(Option::is_some) {
        // An operand that is no point in time is compared with the texts of all terms.
        if instants.contains(&Some(None)) {
            return None;
        }
        let [low, high] = instants.map(Option::flatten);
        return Some(spans(family, path, TermSpan::instants(low, high)));
    }
    // With case, texts are in another order than their lower case.
    if matching == Matching::Original {
        return None;
    }
    let [low, high] = [low, high].map(|bound| bound.map(|bound| bound.compared(matching)));
    Some(spans(family, path, vec![TermSpan::texts(low, high)]))
}
