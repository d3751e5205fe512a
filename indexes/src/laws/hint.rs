//! What is likely wrong with a function that breaks a law, and what to do: recognised by the numbers of the counterexample
//! and, in scripts, by words of the text.

use super::likeness::{differing, same};
use super::report::Law;
use super::trial::{Trial, Verdict};
use crate::verify::nearly_same;
use magpie_store::json::Json;

const CLOCK: &str = "the output depends on something besides the input, such as the clock, random numbers or kept state: \
    Math.random() is not available to an index, and Date.now() only to a map, as the time of the document's last change; \
    put times into the events";
const COPY: &str = "reduce changes what it was given: build new objects and arrays, or copy first \
    ({...value}, [...value.list])";
const AVERAGE: &str = "an average of averages: keep sum and count in the output of map and reduce, and divide in finalize \
    or when reading";
const COUNT: &str = "reduce counts its inputs, but an input may stand for many documents: let map emit count: 1 and sum \
    the counts";
const FILTER: &str = "reduce leaves values out, but it sees parts and not the whole: filter in map (single values) or in \
    finalize (whole results)";
const LAST: &str = "reduce takes a value by its position, but values come in the order of document ids, not of time: let \
    map emit a time stamp and take the value with the greatest, then with the greatest id";
const SORT: &str = "the same elements in another order: sort the list before returning it, with a second field that \
    breaks ties";
const TOP: &str = "reduce cuts a list that has no complete order: sort by the amount and then by a field that breaks ties \
    before slice";
const KEY: &str = "reduce must return the group-by fields with the values of g.key";
const ACCEPT: &str = "reduce does not accept what it returns: outputs are reduced again, so they must have the shape of \
    the map's outputs";
const SHAPE: &str = "outputs are reduced again: map and reduce must give the same fields with the same meaning, and a \
    value that was reduced once must stay as it is when it is reduced again";
const PARTS: &str = "reduce runs on parts first and then on their outputs: return whatever is needed to combine parts, \
    and compute what is only for the reader in finalize";
const ORDER: &str = "the order of the values decides the result; it is the order of document ids, so the result would \
    hang on ids";

/// The hint for a law that does not hold; `text` is the source of the functions.
pub(super) fn broken(trial: &Trial, verdict: &Verdict, text: &str) -> String {
    let hint = match trial.law {
        Law::Determinism => CLOCK,
        Law::Purity => COPY,
        Law::Closure if verdict.wanted.is_null() => ACCEPT,
        Law::Closure => KEY,
        Law::SingleValue => SHAPE,
        Law::Associativity => parts(trial, verdict, text).unwrap_or(PARTS),
        Law::Commutativity => order(trial, verdict, text),
    };
    match &trial.tie {
        Some(field) => {
            format!("{hint} (here two values have the same '{field}'; none of the documents tested do)")
        }
        None => hint.to_owned(),
    }
}

/// The hint for a law that holds but for rounding.
pub(super) fn inexact() -> String {
    "the results are equal but for the rounding of fractions: sum whole numbers (cents, bytes, milliseconds) or BigInt \
     to have every digit exact"
        .to_owned()
}

fn number(value: Option<&Json>) -> Option<f64> {
    value?.as_number().map(magpie_store::json::Number::as_f64)
}

/// The mistakes that show when parts are reduced first.
fn parts(trial: &Trial, verdict: &Verdict, text: &str) -> Option<&'static str> {
    let Verdict { wanted, got, .. } = verdict;
    #[expect(clippy::cast_precision_loss, reason = "counts of at most a few dozen inputs")]
    let [inputs, parts] = [trial.inputs.len() as f64, trial.split.len().max(1) as f64];
    let mut leaves_out = false;
    for field in differing(wanted, got) {
        let (Some(wanted), Some(got)) = (number(wanted.get(&field)), number(got.get(&field))) else {
            continue;
        };
        let columns = numeric_fields(&trial.inputs);
        let means =
            |(_, column): &(String, Vec<f64>)| nearly_same(column.iter().sum::<f64>() / inputs, wanted);
        let of_field = columns.iter().find(|(name, _)| *name == field);
        let sum = of_field.map(|(_, column)| column.iter().sum::<f64>());
        if nearly_same(wanted, inputs) && nearly_same(got, parts) {
            return Some(COUNT);
        }
        leaves_out |= sum.is_some_and(|sum| nearly_same(sum, wanted) || nearly_same(sum, got));
        if !leaves_out && columns.iter().any(means) {
            return Some(AVERAGE);
        }
    }
    (leaves_out || text.contains("filter")).then_some(FILTER)
}

/// The fields that are numbers in all inputs.
fn numeric_fields(inputs: &[Json]) -> Vec<(String, Vec<f64>)> {
    let names = inputs.first().and_then(Json::as_object).into_iter().flat_map(|first| first.keys());
    let column = |name: &str| {
        let numbers: Option<Vec<f64>> = inputs.iter().map(|input| number(input.get(name))).collect();
        numbers.map(|numbers| (name.to_owned(), numbers))
    };
    names.filter_map(column).collect()
}

/// The mistakes that show in another order.
fn order(trial: &Trial, verdict: &Verdict, text: &str) -> &'static str {
    let at = |place: usize| trial.inputs.get(place);
    let Verdict { wanted, got, .. } = verdict;
    let ends = [
        (trial.inputs.first(), trial.order.first().and_then(|place| at(*place))),
        (trial.inputs.last(), trial.order.last().and_then(|place| at(*place))),
    ];
    for field in differing(wanted, got) {
        let (Some(wanted), Some(got)) = (wanted.get(&field), got.get(&field)) else { continue };
        if let (Some(left), Some(right)) = (wanted.as_array(), got.as_array()) {
            let contains_all = left.iter().all(|item| right.iter().any(|other| same(item, other)));
            let is_whole = contains_all && left.len() == right.len() && !text.contains("slice");
            return if is_whole { SORT } else { TOP };
        }
        let is = |input: Option<&Json>, value: &Json| {
            input.and_then(|input| input.get(&field)).is_some_and(|own| same(own, value))
        };
        if ends.iter().any(|(before, after)| is(*before, wanted) && is(*after, got)) {
            return LAST;
        }
    }
    if text.contains("slice") { TOP } else { ORDER }
}
