//! From a filter to the reduce keys that can fit it, so that a query on a map-reduce index reads about the results it
//! gives.
//!
//! Each field is looked at on its own, and what is not surely known lets every value through: the filter is applied to
//! what was read all the same. How terms and operands compare is said in `compare.rs`, and has to be followed here.

use crate::ast::Operator;
use crate::compare::{Matching, Operand, OperandSet};
use crate::filter::{Filter, Test};
use crate::limits;
use crate::term::{FieldRef, Step};
use magpie_indexes::key_filter::{KeyFilter, Span};
use magpie_store::Timestamp;
use magpie_store::json::{self, Json, Number};

/// One day of 100 ns ticks: more than any offset from UTC.
const DAY: i64 = 864_000_000_000;
/// How long the date is that a point in time begins with.
const DATE_LENGTH: usize = 10;

/// The keys whose results may fit `filter`, for an index that groups by `fields`.
pub(crate) fn keys(filter: &Filter, fields: &[String]) -> KeyFilter {
    let fields = fields.iter().map(|field| of_field(filter, field).filter(|spans| is_few(spans)));
    KeyFilter { fields: fields.collect() }
}

fn is_few(spans: &[Span]) -> bool {
    spans.len() <= limits::KEY_SPANS_MAX
}

/// The values of `field` that may fit; `None` for all.
fn of_field(filter: &Filter, field: &str) -> Option<Vec<Span>> {
    match filter {
        Filter::All | Filter::Not(_) => None,
        Filter::Boost(inner, _) => of_field(inner, field),
        Filter::And(filters) => {
            filters.iter().filter_map(|filter| of_field(filter, field)).reduce(|left, right| {
                // Two long lists would make a longer one.
                if left.len() * right.len() <= limits::KEY_SPANS_MAX {
                    Span::in_both(&left, &right)
                } else {
                    left
                }
            })
        }
        Filter::Or(filters) => {
            let mut spans = Vec::new();
            for filter in filters {
                spans.extend(of_field(filter, field)?);
            }
            Some(spans)
        }
        Filter::Test { field: FieldRef::Path(steps), matching, test } => match steps.as_slice() {
            [Step::Member(name)]
                if name == field && *matching != Matching::Nothing && matching.analyzer().is_none() =>
            {
                of_test(test, *matching)
            }
            _ => None,
        },
        Filter::Test { .. } => None,
    }
}

fn of_test(test: &Test, matching: Matching) -> Option<Vec<Span>> {
    let mut spans = match test {
        Test::Equal(operand) => equal(operand, matching)?,
        Test::In(set) => listed(set)?,
        Test::Range { operator, bound } => match operator {
            Operator::Less | Operator::LessOrEqual => range(None, Some(bound), matching)?,
            Operator::Greater | Operator::GreaterOrEqual => range(Some(bound), None, matching)?,
            Operator::Equal | Operator::NotEqual => return None,
        },
        Test::Between { low, high } => {
            Span::in_both(&range(Some(low), None, matching)?, &range(None, Some(high), matching)?)
        }
        Test::StartsWith(prefix) if !prefix.is_empty() => {
            // Numbers and booleans are texts here, too.
            let mut spans =
                vec![Span::spellings(&crate::term::fold(prefix), true)?, Span::numbers(None, None)];
            spans.extend([Span::bool(false), Span::bool(true)]);
            spans
        }
        Test::Exists
        | Test::NotEqual(_)
        | Test::AllIn(_)
        | Test::StartsWith(_)
        | Test::EndsWith(_)
        | Test::Search(_)
        | Test::Pattern(_) => return None,
    };
    // An array is searched element by element, and an object is its text.
    spans.push(Span::compound());
    Some(spans)
}

fn equal(operand: &Operand, matching: Matching) -> Option<Vec<Span>> {
    match operand {
        Operand::Null => Some(vec![Span::null()]),
        Operand::Bool(value) => {
            let text = if *value { "true" } else { "false" };
            Some(vec![Span::bool(*value), Span::spellings(text, false)?])
        }
        Operand::Number { number, .. } => Some(vec![Span::numbers(Some(number), Some(number))]),
        Operand::Text { instant: Some(instant), .. } if matching == Matching::Folded => {
            Some(vec![dates(Some(*instant), Some(*instant))?])
        }
        Operand::Text { folded, .. } => same_text(folded),
    }
}

/// The values whose text is `folded`, whatever the case.
fn same_text(folded: &str) -> Option<Vec<Span>> {
    let mut spans = vec![Span::spellings(folded, false)?];
    match folded {
        "true" => spans.push(Span::bool(true)),
        "false" => spans.push(Span::bool(false)),
        "nan" | "infinity" | "-infinity" => spans.extend(Span::not_finite()),
        // The shortest text of a large number has an upper-case E.
        _ => {
            if let Ok(Json::Number(number)) = json::parse(folded.as_bytes()) {
                spans.push(Span::numbers(Some(&number), Some(&number)));
            }
        }
    }
    Some(spans)
}

fn listed(set: &OperandSet) -> Option<Vec<Span>> {
    let mut spans = if set.has_null() { vec![Span::null()] } else { Vec::new() };
    for text in set.texts() {
        spans.extend(same_text(&crate::term::fold(text))?);
    }
    for instant in set.instants() {
        spans.push(dates(Some(instant), Some(instant))?);
    }
    Some(spans)
}

/// Numbers or points in time between two bounds. Texts are in the order of their lower case, which keys are not.
fn range(low: Option<&Operand>, high: Option<&Operand>, matching: Matching) -> Option<Vec<Span>> {
    let bounds = || low.into_iter().chain(high);
    let number = |operand: Option<&Operand>| match operand {
        Some(Operand::Number { number, .. }) => Some(number.clone()),
        _ => None,
    };
    let instant = |operand: Option<&Operand>| match operand {
        Some(Operand::Text { instant, .. }) if matching == Matching::Folded => *instant,
        _ => None,
    };
    if bounds().all(|bound| matches!(bound, Operand::Number { .. })) {
        let (low, high): (Option<Number>, Option<Number>) = (number(low), number(high));
        return Some(vec![Span::numbers(low.as_ref(), high.as_ref())]);
    }
    if bounds().all(|bound| instant(Some(bound)).is_some()) {
        return Some(vec![dates(instant(low), instant(high))?]);
    }
    None
}

/// Texts that may be points in time between two others, told by the date that they begin with, in whatever zone.
fn dates(low: Option<Timestamp>, high: Option<Timestamp>) -> Option<Span> {
    let date = |instant: Timestamp, days: i64| {
        let text = Timestamp(instant.0.checked_add(days * DAY)?).to_string();
        let date = text.get(..DATE_LENGTH)?;
        let is_date = date.bytes().enumerate().all(|(place, byte)| match place {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
        is_date.then(|| date.to_owned())
    };
    let low = low.map_or_else(|| Some("0".to_owned()), |low| date(low, -1))?;
    let high = high.map_or_else(|| Some("9".to_owned()), |high| date(high, 1))?;
    Some(Span::texts(Some(&low), Some(&high)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::term::Subject;
    use magpie_indexes::terms::Analyzer;
    use magpie_store::json::{BigInt, Object, ScriptNumber};
    use proptest::prelude::*;

    fn text() -> impl Strategy<Value = String> {
        prop_oneof![
            "[aAkK\u{212a}iİé]{0,2}",
            "(true|TRUE|False|1|1.0|-2|NaN|-infinity|1E\\+30)",
            "20(23-12-31|24-01-01|24-01-02)(T00:30(:00)?(.0000000)?(Z|[+-]0[12]:00)?)?",
            "2024-01-01t00:30",
        ]
    }

    fn value() -> impl Strategy<Value = Json> {
        prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            (-3_i64..4).prop_map(Json::from),
            (-3_i64..4).prop_map(|n| Json::from(BigInt::from(n))),
            (-3_i64..4).prop_map(|n| Number::from_f64(n as f64 / 2.0).into()),
            Just(Number::from_f64(1e30).into()),
            Just(Json::ScriptNumber(ScriptNumber::NaN)),
            Just(Json::ScriptNumber(ScriptNumber::NegativeInfinity)),
            text().prop_map(Json::from),
            prop::collection::vec(text().prop_map(Json::from), 0..3).prop_map(Json::from),
            Just(Json::from(Object::from_iter([("a", Json::from(1_i64))]))),
        ]
    }

    fn matching() -> impl Strategy<Value = Matching> {
        prop_oneof![
            3 => Just(Matching::Folded),
            1 => Just(Matching::FoldedText),
            1 => Just(Matching::Original),
            1 => Just(Matching::OriginalAgainstFolded),
            1 => Just(Matching::Words(Analyzer::Whitespace)),
            1 => Just(Matching::OriginalAgainstWords(Analyzer::Standard)),
            1 => Just(Matching::Nothing),
        ]
    }

    fn test() -> impl Strategy<Value = Filter> {
        let operators = [Operator::Less, Operator::LessOrEqual, Operator::Greater, Operator::GreaterOrEqual];
        (0_usize..8, 0_usize..4, prop::collection::vec(value(), 3), matching(), any::<bool>()).prop_map(
            move |(kind, operator, values, matching, first)| {
                let operands: Vec<Operand> = values.iter().map(Operand::new).collect();
                let text = values[0].as_str().unwrap_or("a").to_owned();
                let text = if matching.folds() { crate::term::fold(&text).into_owned() } else { text };
                let [one, two, _] = operands.clone().try_into().unwrap();
                let test = match kind {
                    0 | 1 => Test::Equal(one),
                    2 => Test::In(OperandSet::new(&operands, matching)),
                    3 => Test::Range { operator: operators[operator], bound: one },
                    4 => Test::Between { low: one, high: two },
                    5 => Test::StartsWith(text),
                    6 => Test::NotEqual(one),
                    _ => Test::AllIn(operands),
                };
                let name = if first { "a" } else { "b" };
                Filter::Test { field: FieldRef::Path(vec![Step::Member(name.to_owned())]), matching, test }
            },
        )
    }

    fn filter() -> impl Strategy<Value = Filter> {
        test().prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 1..3).prop_map(Filter::And),
                prop::collection::vec(inner.clone(), 1..3).prop_map(Filter::Or),
                inner.prop_map(|filter| Filter::Not(Box::new(filter))),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn no_key_is_left_out_whose_result_fits(filter in filter(), a in value(), b in value()) {
            let result = Object::from_iter([("a", a.clone()), ("b", b.clone())]);
            let subject = Subject { id: None, fields: &result, metadata: None };
            if filter.holds(&subject) {
                let keys = keys(&filter, &["a".to_owned(), "b".to_owned()]);
                prop_assert!(keys.lets_through(&[a, b]).unwrap(), "{:?}", keys);
            }
        }
    }

    #[test]
    fn what_is_asked_for_most_is_narrow() {
        let on = |name: &str, test| Filter::Test {
            field: FieldRef::Path(vec![Step::Member(name.to_owned())]),
            matching: Matching::Folded,
            test,
        };
        let text = |text: &str| Operand::new(&Json::from(text));
        let filter = Filter::And(vec![
            on("user", Test::Equal(text("Users/1-A"))),
            on("day", Test::Range { operator: Operator::GreaterOrEqual, bound: text("2024-03-01") }),
            on("day", Test::Range { operator: Operator::Less, bound: text("2024-04-01") }),
        ]);
        let keys = keys(&filter, &["user".to_owned(), "day".to_owned()]);
        let through = |user: &str, day: &str| keys.lets_through(&[user.into(), day.into()]).unwrap();
        assert!(through("users/1-a", "2024-03-01") && through("USERS/1-A", "2024-03-31T23:59:59Z"));
        assert!(!through("users/2-a", "2024-03-15") && !through("users/1-a", "2024-05-01"));
        assert!(!through("users/1-a", "2024-02-27") && !through("users/1-aa", "2024-03-15"));
    }
}
