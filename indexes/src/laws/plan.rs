//! What is tried on the values of one reduce key: small pieces first, so that what is found is small, then all of them in
//! many splits and orders. Deterministic: the same values are always tried in the same ways.

use super::report::Law;
use super::trial::Trial;
use magpie_store::json::{Json, Object};

/// Adjacent pairs and triples of values that are tried on their own.
const WINDOWS_MAX: usize = 8;
/// Single values that are reduced again.
const SINGLES_MAX: usize = 8;
/// Random splits and orders of all values.
const RANDOM_ROUNDS: usize = 4;
/// Ties that are made up for one pair of values.
const TIES_MAX: usize = 8;
/// Most values that one reduce call gets from one page, more or less: what large parts look like.
const PAGE: usize = 32;

/// All trials on these values, those that others build on first.
pub(super) fn trials(key: &[Json], values: &[Json]) -> Vec<Trial> {
    let mut trials = vec![
        Trial::of_reduce(Law::Determinism, key, values),
        Trial::of_reduce(Law::Purity, key, values),
        Trial::of_reduce(Law::Closure, key, values),
    ];
    for value in values.iter().take(SINGLES_MAX) {
        trials.push(Trial::of_reduce(Law::SingleValue, key, std::slice::from_ref(value)));
    }
    for pair in values.windows(2).take(WINDOWS_MAX) {
        trials.push(split(key, pair, vec![1, 1]));
        trials.push(reordered(key, pair, vec![1, 0]));
    }
    for triple in values.windows(3).take(WINDOWS_MAX) {
        trials.push(split(key, triple, vec![2, 1]));
        trials.push(split(key, triple, vec![1, 2]));
        trials.push(reordered(key, triple, vec![1, 2, 0]));
    }
    if values.len() > 3 {
        whole(key, values, &mut trials);
    }
    for pair in values.windows(2).take(WINDOWS_MAX) {
        trials.extend(
            ties(pair)
                .into_iter()
                .map(|(field, tied)| Trial { tie: Some(field), ..reordered(key, &tied, vec![1, 0]) }),
        );
    }
    trials
}

/// Trials on all values at once.
fn whole(key: &[Json], values: &[Json], trials: &mut Vec<Trial>) {
    let count = values.len();
    for size in [1, 2, 3, 7, count / 2, count - 1, PAGE] {
        if (1..count).contains(&size) {
            trials.push(split(key, values, chunks(count, size)));
        }
    }
    trials.push(reordered(key, values, (0..count).rev().collect()));
    trials.push(reordered(key, values, (count / 2..count).chain(0..count / 2).collect()));
    let mut random = Random::new(key, count);
    for _ in 0..RANDOM_ROUNDS {
        let mut sizes = Vec::new();
        let mut left = count;
        while left > 0 {
            let size = 1 + random.below(left.min(PAGE));
            sizes.push(size);
            left -= size;
        }
        if sizes.len() > 1 {
            trials.push(split(key, values, sizes));
        }
        let mut order: Vec<usize> = (0..count).collect();
        for at in (1..count).rev() {
            order.swap(at, random.below(at + 1));
        }
        trials.push(reordered(key, values, order));
    }
    // Reducing outputs a second time, as above the first level of a tree.
    trials.push(split(key, values, vec![count]));
}

fn chunks(count: usize, size: usize) -> Vec<usize> {
    (0..count).step_by(size).map(|from| size.min(count - from)).collect()
}

fn split(key: &[Json], inputs: &[Json], split: Vec<usize>) -> Trial {
    Trial { split, ..Trial::of_reduce(Law::Associativity, key, inputs) }
}

fn reordered(key: &[Json], inputs: &[Json], order: Vec<usize>) -> Trial {
    Trial { order, ..Trial::of_reduce(Law::Commutativity, key, inputs) }
}

/// The pair with a number or a time of the second made equal to the first's, one field at a time. Only these: they are
/// what values are ordered by. Making names equal would make up documents that mean something else.
fn ties(pair: &[Json]) -> Vec<(String, Vec<Json>)> {
    let [first, second] = pair else { return Vec::new() };
    let mut found = Vec::new();
    collect_ties(first, second, "", &mut found);
    found.into_iter().take(TIES_MAX).map(|(field, tied)| (field, vec![first.clone(), tied])).collect()
}

fn collect_ties(first: &Json, second: &Json, path: &str, found: &mut Vec<(String, Json)>) {
    match (first, second) {
        (Json::Object(first), Json::Object(second)) => {
            for (name, value) in second.iter() {
                let Some(other) = first.get(name) else { continue };
                let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
                let mut inner = Vec::new();
                collect_ties(other, value, &path, &mut inner);
                found.extend(inner.into_iter().map(|(field, tied)| (field, with(second, name, tied).into())));
            }
        }
        (Json::Array(first), Json::Array(second)) => {
            let (Some(other), Some((value, rest))) = (first.first(), second.split_first()) else { return };
            let mut inner = Vec::new();
            collect_ties(other, value, &format!("{path}[0]"), &mut inner);
            found.extend(inner.into_iter().map(|(field, tied)| {
                (field, Json::Array(std::iter::once(tied).chain(rest.iter().cloned()).collect()))
            }));
        }
        (Json::Number(_), Json::Number(_)) if first != second => {
            found.push((path.to_owned(), first.clone()));
        }
        (Json::String(one), Json::String(other)) if one != other && is_time(one) && is_time(other) => {
            found.push((path.to_owned(), first.clone()));
        }
        _ => {}
    }
}

fn with(object: &Object, name: &str, value: Json) -> Object {
    let mut object = object.clone();
    object.insert(name, value);
    object
}

/// Whether a text starts like `2026-03-01`.
fn is_time(text: &str) -> bool {
    text.len() >= 10
        && text.bytes().take(10).enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

/// Pseudo-random numbers that depend on the key only.
///
/// Source: SplitMix64, Steele, Lea and Flood 2014.
struct Random(u64);

impl Random {
    fn new(key: &[Json], count: usize) -> Self {
        let mut seed = count as u64;
        for byte in key.iter().flat_map(|value| value.to_string().into_bytes()) {
            seed = (seed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Self(seed)
    }

    /// A number below `bound`, which is not 0.
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let chosen = (mixed ^ (mixed >> 31)) % (bound.max(1) as u64);
        usize::try_from(chosen).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use magpie_store::json::parse;

    #[test]
    fn ties_are_made_in_numbers_and_times_only() {
        let values = [
            r#"{"job":"a","at":"2026-01-01T00:00:00Z","n":1,"list":[{"p":5,"name":"x"}],"same":2}"#,
            r#"{"job":"b","at":"2026-01-02T00:00:00Z","n":3,"list":[{"p":6,"name":"y"}],"same":2}"#,
        ]
        .map(|text| parse(text.as_bytes()).unwrap());
        let fields: Vec<String> = ties(&values).into_iter().map(|(field, _)| field).collect();
        assert_eq!(fields, ["at", "n", "list[0].p"]);
    }

    #[test]
    fn splits_and_orders_cover_all_values_and_are_the_same_each_time() {
        let values: Vec<Json> = (0..40_i64).map(Json::from).collect();
        let all = trials(&["k".into()], &values);
        assert_eq!(format!("{all:?}"), format!("{:?}", trials(&["k".into()], &values)));
        for trial in all {
            if trial.law == Law::Associativity {
                assert_eq!(trial.split.iter().sum::<usize>(), trial.inputs.len());
            }
            if trial.law == Law::Commutativity {
                let mut order = trial.order.clone();
                order.sort_unstable();
                assert_eq!(order, (0..trial.inputs.len()).collect::<Vec<_>>());
            }
        }
    }
}
