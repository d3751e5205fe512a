//! Generated scripts over generated documents: most of what they do makes little sense, and all of it must be the same
//! in both tiers. `SLOW=1` runs more of them: for two minutes, or for as many seconds as `TIERS_SECONDS` says.

use super::{Pair, document};
use magpie_indexes::definition::Numbers;
use magpie_store::json::Json;
use proptest::prelude::*;
use proptest::strategy::BoxedStrategy;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Scripts of one run, each with several maps and a reduce.
const SCRIPTS: u32 = 60;
/// Seconds of a slow run.
const SECONDS_SLOW: u64 = 120;
/// Maps of a script.
const MAPS: usize = 12;

fn leaf(big_ints: bool) -> BoxedStrategy<String> {
    let mut literals = vec![
        "0",
        "1",
        "-1",
        "2",
        "0.5",
        "-0",
        "1e21",
        "NaN",
        "4294967295",
        "null",
        "undefined",
        "true",
        "false",
        "''",
        "'a'",
        "'10'",
        "'b😀'",
        "'1e3'",
        "[]",
        "{}",
        "[1, 2]",
        "['b', 'a']",
        "{ a: 1, b: 'x' }",
    ];
    if big_ints {
        literals.extend([
            "0n",
            "1n",
            "-3n",
            "7n",
            "9007199254740993n",
            "-170141183460469231731687303715884105729n",
        ]);
    }
    let names = ["d.a", "d.b", "d.c", "d.e", "d.f", "d.missing", "x", "y", "i", "nobody"];
    prop_oneof![
        2 => prop::sample::select(literals).prop_map(|text| format!("({text})")),
        3 => prop::sample::select(names.to_vec()).prop_map(str::to_owned),
    ]
    .boxed()
}

fn operators(inner: &BoxedStrategy<String>) -> BoxedStrategy<String> {
    let binary = [
        "+", "+", "-", "*", "/", "%", "<", "<=", ">", ">=", "==", "===", "!=", "!==", "&&", "||", "&", "|",
        "^", "<<", ">>", ">>>", ",", "**",
    ];
    let unary = ["-", "+", "!", "~", "typeof ", "void "];
    prop_oneof![
        4 => (prop::sample::select(binary.to_vec()), inner.clone(), inner.clone())
            .prop_map(|(operator, one, other)| format!("(({one}) {operator} ({other}))")),
        1 => (inner.clone(), inner.clone()).prop_map(|(one, other)| format!("(({one}) ?? ({other}))")),
        1 => (prop::sample::select(unary.to_vec()), inner.clone()).prop_map(|(op, one)| format!("({op}({one}))")),
        1 => (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("(({a}) ? ({b}) : ({c}))")),
        1 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("`{{${{{a}}}-${{{b}}}`")),
    ]
    .boxed()
}

fn members(inner: &BoxedStrategy<String>) -> BoxedStrategy<String> {
    let names = [".a", ".b", ".length", "[0]", "['a']", "?.a", "?.[1]", ".a.b", "?.a?.b", ".size"];
    let methods = [
        "map(x => E)",
        "map((x, i) => E)",
        "filter(x => E)",
        "find(x => E)",
        "some(x => E)",
        "every(x => E)",
        "reduce((x, y) => E, F)",
        "reduce((x, y) => E)",
        "flatMap(x => E)",
        "slice(F)",
        "slice(F, G)",
        "sort()",
        "sort((x, y) => E)",
        "join(F)",
        "indexOf(F)",
        "includes(F)",
        "concat(F)",
        "concat(F, G)",
        "at(F)",
        "split(F)",
        "toString()",
        "trim()",
        "toFixed(2)",
        "charCodeAt(F)",
        "substring(F, G)",
        "startsWith(F)",
        "padStart(F, G)",
        "replace(F, G)",
        "flat()",
        "reverse()",
        "push(F)",
        "pop()",
        "toUpperCase()",
        "localeCompare(F)",
        "hasOwnProperty(F)",
        "findIndex(x => E)",
        "reduceRight((x, y) => E, F)",
        "splice(F, 1)",
        "lastIndexOf(F)",
        "unshift(F)",
        "shift()",
        "fill(F)",
        "toSorted()",
        "forEach(x => E)",
        "repeat(2)",
        "endsWith(F)",
        "charAt(F)",
        "get(F)",
        "has(F)",
        "a(F)",
    ];
    prop_oneof![
        2 => (inner.clone(), prop::sample::select(names.to_vec())).prop_map(|(object, name)| format!("({object}){name}")),
        1 => (inner.clone(), inner.clone()).prop_map(|(object, key)| format!("({object})[{key}]")),
        5 => (inner.clone(), prop::sample::select(methods.to_vec()), inner.clone(), inner.clone(), inner.clone(), any::<bool>())
            .prop_map(|(object, method, e, f, g, optional)| {
                let method = fill(method, &e, &f, &g);
                format!("({object}){}{method}", if optional { "?." } else { "." })
            }),
    ]
    .boxed()
}

/// Puts expressions into the places that capital letters keep for them.
fn fill(template: &str, e: &str, f: &str, g: &str) -> String {
    let mut text = String::new();
    for character in template.chars() {
        // A letter of a name is no place.
        if text.ends_with(|before: char| before.is_ascii_alphabetic()) {
            text.push(character);
            continue;
        }
        match character {
            'E' => text.push_str(&format!("({e})")),
            'F' => text.push_str(&format!("({f})")),
            'G' => text.push_str(&format!("({g})")),
            other => text.push(other),
        }
    }
    text
}

/// What makes BigInts of other values, and what works on them.
const BIG_INTS: [&str; 14] = [
    "BigInt(E ?? 0)",
    "BigInt(Math.trunc(E) || 0)",
    "BigInt(`${E}`)",
    "BigInt.asIntN(8, BigInt(E ?? 0))",
    "BigInt.asUintN(64, BigInt(E || -1))",
    "(BigInt(E ?? 1) * 3n).toString(16)",
    "Number(BigInt(E ?? 0) ** 3n)",
    "((x, y) => typeof x === 'bigint' && typeof y === 'bigint' ? [x + y, x - y, x * y, y && x / y, y && x % y] : G)(E, F)",
    "((x, y) => typeof x === 'bigint' && typeof y === 'bigint' ? [x & y, x | y, x ^ y, ~x, -y, x << 3n, x >> 2n] : G)(E, F)",
    "((x) => { let y = 2n; for (const i of [1n, E]) { if (typeof i === 'bigint') y *= i; y++ } return [x, y] })(F)",
    "[BigInt(E ?? 0), F, G].sort()",
    "[3n, BigInt(E ?? 0), 2n, 10n].sort((x, y) => x < y ? -1 : x > y ? 1 : 0)",
    "({ [BigInt(E ?? 0)]: F })",
    "new Map([[BigInt(E ?? 0), F]]).get(0n)",
];

fn built(inner: &BoxedStrategy<String>, big_ints: bool) -> BoxedStrategy<String> {
    let mut templates = vec![
        "Object.keys(E)",
        "Object.values(E)",
        "Object.entries(E)",
        "Object.assign({}, E, F)",
        "Math.max(E, F)",
        "Math.min(E, F)",
        "Math.round(E)",
        "Math.floor(E)",
        "Math.abs(E)",
        "Math.sign(E)",
        "String(E)",
        "Number(E)",
        "Boolean(E)",
        "parseInt(E)",
        "parseFloat(E)",
        "isNaN(E)",
        "Array.isArray(E)",
        "Array.from(E)",
        "JSON.stringify(E)",
        "Number.isInteger(E)",
        "[...new Set(E)]",
        "[...new Set([E, F, G])]",
        "[...new Map([[E, F], [G, 1]])]",
        "new Map([[E, F]]).get(G)",
        "[E, F, G]",
        "[...[E], ...(F)]",
        "[E, ...[F, G]]",
        "({ a: E, b: F })",
        "({ b: E, 1: F, a: G, 0: 1 })",
        "({ ...(E), c: F })",
        "({ [E]: F })",
        "((x, y = F) => G)(E)",
        "((...x) => F)(E, G)",
        "(({ a, b: y = F }) => G)(E)",
        "((x) => { const [y, i = F, ...z] = x; return [y, i, z, G] })(E)",
        "((x) => { x.c = F; return x })({ a: E })",
        "((x) => { x[F] = G; return x })({ a: E })",
        "((x) => { x[0] = F; return x })([E])",
        "((x) => { let y = F; for (const i of [1, 2, 3]) { y = G; if (i > 1) break } return [x, y] })(E)",
        "((x) => { let y = 0; for (let i = 0; i < 4; i++) { if (E) continue; y += i } return y })(F)",
        "((x) => { try { if (E) throw F; return G } catch (y) { return [y] } finally { x = 1 } })(1)",
        "((x) => { switch (x) { case F: return 1; case G: x = 2; default: return [x] } })(E)",
        "((x) => { const y = []; for (const i in x) y.push(i, x[i]); return y })(E)",
        "((x) => { const y = []; for (const i of x) y.push(i); return y })(E)",
        "((x) => { x.a += F; x.b++; x.e ??= G; return x })({ a: E, b: 1 })",
        "((x) => { const y = () => x; x = F; return y() })(E)",
        "tryConvertToNumber(E)",
        "Object.is(E, F)",
        "((x) => delete x.a && x)({ a: 1, b: E })",
        "Object.fromEntries([[E, F]])",
        "((x) => { x += F; x -= G; return x })(E)",
        "[E, F].sort((x, y) => x < y ? -1 : 1)",
        "(E) instanceof Object",
        "Math.hypot(E, F)",
        "recurse(E, x => x.a)",
        "id(E)",
    ];
    if big_ints {
        // As often as all the others together.
        templates.extend(BIG_INTS.iter().cycle().take(templates.len()));
    }
    (prop::sample::select(templates), inner.clone(), inner.clone(), inner.clone())
        .prop_map(|(template, e, f, g)| format!("({})", fill(template, &e, &f, &g)))
        .boxed()
}

fn expression(big_ints: bool) -> BoxedStrategy<String> {
    leaf(big_ints)
        .prop_recursive(4, 24, 3, move |inner| {
            let inner = inner.boxed();
            prop_oneof![operators(&inner), members(&inner), built(&inner, big_ints)]
        })
        .boxed()
}

fn json_value() -> BoxedStrategy<String> {
    let plain = [
        "null",
        "true",
        "false",
        "0",
        "-0.0",
        "1",
        "-1",
        "2.5",
        "0.1",
        "1e21",
        "1e-7",
        "2147483648",
        "9007199254740991",
        "9007199254740993",
        "-123456789012345678901234567890",
        "1.0",
        "\"\"",
        "\"a\"",
        "\"b\"",
        "\"10\"",
        "\"1\"",
        "\" 5 \"",
        "\"ü\"",
        "\"a😀b\"",
        "\"x\\ny\"",
        "\"2026-03-01T08:00:00Z\"",
        "[]",
        "{}",
    ];
    prop::sample::select(plain.to_vec())
        .prop_map(str::to_owned)
        .prop_recursive(2, 12, 4, |inner| {
            let names = prop::sample::select(vec!["a", "b", "c", "10", "9", "length", "toString"]);
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(|items| format!("[{}]", items.join(","))),
                prop::collection::btree_map(names, inner, 0..4).prop_map(|fields| {
                    let fields: Vec<String> =
                        fields.iter().rev().map(|(name, value)| format!("\"{name}\":{value}")).collect();
                    format!("{{{}}}", fields.join(","))
                }),
            ]
        })
        .boxed()
}

fn body() -> impl Strategy<Value = String> {
    prop::collection::vec(json_value(), 5).prop_map(|values| {
        let fields: Vec<String> = ["a", "b", "c", "e", "f"]
            .iter()
            .zip(values)
            .map(|(name, value)| format!("\"{name}\":{value}"))
            .collect();
        format!("{{{}}}", fields.join(","))
    })
}

/// One generated index and its documents.
#[derive(Debug, Clone)]
struct Case {
    maps: Vec<String>,
    reduce: String,
    finalize: Option<String>,
    bodies: Vec<String>,
    numbers: Numbers,
}

fn case() -> BoxedStrategy<Case> {
    let of_kind = |big_ints: bool| {
        (
            prop::collection::vec(expression(big_ints), MAPS),
            expression(big_ints),
            prop::option::of(expression(big_ints)),
            prop::collection::vec(body(), 3),
            prop::bool::weighted(if big_ints { 0.5 } else { 0.0 }),
        )
            .prop_map(|(maps, reduce, finalize, bodies, exact)| Case {
                maps,
                reduce,
                finalize,
                bodies,
                numbers: if exact { Numbers::Exact } else { Numbers::Double },
            })
    };
    prop_oneof![3 => of_kind(false), 2 => of_kind(true)].boxed()
}

/// What a run came to.
#[derive(Default)]
struct Tally {
    scripts: Cell<u64>,
    calls: Cell<u64>,
    answered: Cell<u64>,
    refused: Cell<u64>,
    reasons: RefCell<BTreeMap<&'static str, u64>>,
}

impl Tally {
    fn add(place: &Cell<u64>, count: u64) {
        place.set(place.get() + count);
    }

    /// Runs a call, and notes why it was left to the engine if it was.
    fn note(&self, pair: &mut Pair, call: impl FnOnce(&mut Pair)) {
        let before = pair.handed_over().0;
        call(pair);
        Self::add(&self.calls, 1);
        match pair.handed_over() {
            (after, Some(reason)) if after > before => {
                *self.reasons.borrow_mut().entry(reason).or_default() += 1;
            }
            _ => Self::add(&self.answered, 1),
        }
    }
}

fn compare(case: &Case, tally: &Tally) {
    let text: Vec<String> = case
        .maps
        .iter()
        .enumerate()
        .map(|(number, expression)| format!("map('X{number}', d => ({{ k: 1, r: {expression} }}));"))
        .collect();
    let reduce = &case.reduce;
    let reduce = format!(
        "groupBy(x => x.k).aggregate(g => {{ const d = {{ a: g.values, b: g.key, c: g.values[0].a, e: g.values.length, \
         f: g.values[0].b }}; return {{ k: g.key, r: {reduce} }} }})"
    );
    let finalize = case.finalize.as_ref().map(|finalize| format!("d => ({{ k: d.k, r: {finalize} }})"));
    let mut pair = match Pair::of(&text, Some(&reduce), finalize.as_deref(), case.numbers) {
        Ok(pair) => pair,
        // Functions in the conditions of cases are left to the engine.
        Err(why) if why.contains("declaration is not clear") => return,
        // Both tiers refuse what is no JavaScript or breaks a bound of the text.
        Err(why) if !why.contains("the compiled tier does not run") => {
            return Tally::add(&tally.refused, 1);
        }
        Err(why) => panic!("{why}"),
    };
    Tally::add(&tally.scripts, 1);
    let values: Vec<Json> = case.bodies.iter().map(|body| super::value(body)).collect();
    for (number, body) in
        (0..case.maps.len()).flat_map(|number| case.bodies.iter().map(move |body| (number, body)))
    {
        tally.note(&mut pair, |pair| drop(pair.map(&document(&format!("X{number}"), body))));
    }
    for count in 1..=values.len() {
        tally.note(&mut pair, |pair| drop(pair.reduce(&[Json::from("k")], &values[..count])));
    }
    if case.finalize.is_some() {
        for value in &values {
            tally.note(&mut pair, |pair| drop(pair.finalize(value)));
        }
    }
}

#[test]
fn generated_scripts_give_the_same() {
    let slow = std::env::var("SLOW").is_ok_and(|slow| slow == "1");
    let config =
        Config { cases: SCRIPTS, failure_persistence: None, max_shrink_iters: 1000, ..Config::default() };
    let tally = Tally::default();
    let seconds = std::env::var("TIERS_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    let end = Instant::now() + Duration::from_secs(seconds.unwrap_or(SECONDS_SLOW));
    loop {
        // The default run is the same every time, so that it fails for a change and not by chance.
        let mut runner = if slow {
            TestRunner::new(config.clone())
        } else {
            TestRunner::new_with_rng(config.clone(), TestRng::deterministic_rng(RngAlgorithm::ChaCha))
        };
        runner
            .run(&case(), |case| {
                compare(&case, &tally);
                Ok(())
            })
            .unwrap_or_else(|error| panic!("{error}"));
        if !slow || Instant::now() > end {
            break;
        }
    }
    let (answered, calls) = (tally.answered.get(), tally.calls.get());
    println!(
        "{answered} of {calls} calls of {} scripts were answered, {} scripts refused",
        tally.scripts.get(),
        tally.refused.get()
    );
    println!("left to the engine: {:#?}", tally.reasons.borrow());
    assert!(answered * 5 > calls * 2, "only {answered} of {calls} calls were answered");
}
