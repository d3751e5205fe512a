//! Finalize: behind the aggregate or as a script of its own.

use super::{assert_error, at, json, on_script_thread, source_of, source_with};
use magpie_indexes::definition::Numbers;
use magpie_indexes::function::FunctionErrorKind::{Compile, Definition, Run};
use magpie_indexes::{FunctionError, FunctionSource};
use magpie_store::json::Json;

const MAP: &str = "map('Things', d => ({ k: d.k, n: d.n, sum: d.n }))";
const REDUCE: &str = "groupBy(x => x.k).aggregate(g => ({ k: g.key, n: g.values.length, sum: 6 }))";

fn with_script(finalize: &str) -> Result<magpie_indexes::script::ScriptSource, FunctionError> {
    source_with(&[MAP], Some(REDUCE), Some(finalize), Numbers::Double)
}

fn chained(finalize: &str) -> Result<magpie_indexes::script::ScriptSource, FunctionError> {
    source_of(&[MAP], Some(&format!("{REDUCE}.finalize({finalize})")))
}

fn finalized(source: &dyn FunctionSource, reduced: &str) -> Result<Option<Json>, FunctionError> {
    on_script_thread(|| source.create().unwrap().finalize(&json(reduced)))
}

#[test]
fn both_ways_give_the_same_result() {
    for finalize in [
        "r => ({ key: r.k, average: r.sum / r.n })",
        "function (r) { return { key: r.k, average: r.sum / r.n }; }",
        "function finish(r) { const { k: key, sum, n } = r; return { key, average: sum / n }; }",
        "r => { return { key: r.k, average: r.sum / r.n }; } // the mean",
        "\n/* mean */ (r => ({ key: r.k, average: r.sum / r.n }))\n",
    ] {
        for source in [with_script(finalize).unwrap(), chained(&format!("{finalize}\n")).unwrap()] {
            assert!(source.shape().finalizes);
            assert_eq!(source.shape().finalized_fields, ["key", "average"], "{finalize}");
            assert_eq!(source.shape().fields, ["k", "n", "sum"]);
            let result = finalized(&source, r#"{"k":"a","n":4,"sum":6}"#).unwrap().unwrap();
            assert_eq!(result.to_string(), r#"{"key":"a","average":1.5}"#, "{finalize}");
        }
    }
    let ended = with_script("r => ({ key: r.k });").unwrap();
    assert_eq!(finalized(&ended, r#"{"k":1}"#).unwrap().unwrap().to_string(), r#"{"key":1}"#);
    let none = source_of(&[MAP], Some(REDUCE)).unwrap();
    assert!(!none.shape().finalizes && none.shape().finalized_fields.is_empty());
    assert_eq!(finalized(&none, r#"{"k":1}"#).unwrap().unwrap(), json(r#"{"k":1}"#));
}

#[test]
fn null_is_no_result_and_other_values_are_errors() {
    for nothing in
        ["r => null", "r => undefined", "r => {}", "r => r.missing.deeper", "r => { if (r.n > 5) return r; }"]
    {
        assert_eq!(finalized(&with_script(nothing).unwrap(), r#"{"n":1}"#).unwrap(), None, "{nothing}");
    }
    for (other, part) in [
        ("r => 5", "Finalize result is not object: 5"),
        ("r => 'text'", "Finalize result is not object: text"),
        ("r => [r]", "Finalize result is not object: an array with 1 elements"),
        ("r => x => x", "Finalize result is not object: a function"),
        ("r => ({ bad: x => x })", "The value of 'bad' field is a complex object"),
    ] {
        assert_error(&finalized(&with_script(other).unwrap(), "{}").unwrap_err(), Run, part);
    }
    let shapes =
        with_script("r => { if (r.n) return { a: 1 }; return { b: r.missing, c: 10n ** 20n, d: 0 / 0 }; }")
            .unwrap();
    assert_eq!(shapes.shape().finalized_fields, ["a", "b", "c", "d"]);
    let result = finalized(&shapes, "{}").unwrap().unwrap();
    assert_eq!(result.to_string(), r#"{"b":null,"c":"100000000000000000000","d":"NaN"}"#);
}

#[test]
fn errors_have_their_place_in_the_finalize() {
    let thrown = with_script("r => {\n  throw new Error('no ' + r.k);\n}").unwrap();
    let error = finalized(&thrown, r#"{"k":1}"#).unwrap_err();
    assert_error(&error, Run, "Error: no 1 in Finalize");
    assert_eq!(error.position, at(2, 9));
    let method = with_script("r => ({ v: r.k.nope() })").unwrap();
    let error = finalized(&method, r#"{"k":1}"#).unwrap_err();
    assert_error(&error, Run, "Property 'nope' of object is not a function in Finalize");
    assert_eq!(error.position, at(1, 16));
    let syntax = with_script("r => ({\n v: ] })").unwrap_err();
    assert_error(&syntax, Compile, "in Finalize");
    assert_eq!(syntax.position.unwrap().line, 2);
    let refused = with_script("r => ({\n v: eval('1') })").unwrap_err();
    assert_error(&refused, Definition, "eval is not available");
    assert_eq!(refused.position, at(2, 5));
    let error = finalized(&chained("r => {\n  throw 1; }").unwrap(), "{}").unwrap_err();
    assert_eq!((error.message.as_str(), error.position.unwrap().line), ("1 in Reduce", 2));
}

#[test]
fn what_is_no_finalize_is_refused() {
    let both =
        source_with(&[MAP], Some(&format!("{REDUCE}.finalize(r => r)")), Some("r => r"), Numbers::Double);
    assert_error(&both.unwrap_err(), Definition, "more than one finalize");
    let alone = source_with(&[MAP], None, Some("r => r"), Numbers::Double);
    assert_error(&alone.unwrap_err(), Definition, "has a Finalize but no Reduce");
    for text in
        ["5", "({ a: 1 })", "x => x, y => y", "r => r), (x => x", "finish", "[r => r]", "map('A', d => d)"]
    {
        assert_error(&with_script(text).unwrap_err(), Definition, "the Finalize must be one function");
    }
    for text in ["", "r => r; map('Other', d => ({}))", "function (", "r => r; r => r"] {
        assert!(with_script(text).is_err(), "{text}");
    }
    assert_error(&chained("5").unwrap_err(), Compile, "finalize() needs a function");
    for text in ["r => ({ v: load(r.k, 'Things') })", "r => ({ v: noTracking.load(r.k, 'Things') })"] {
        let error = with_script(text).unwrap_err();
        assert_error(&error, Definition, "load() is only available in a map");
        assert!(error.position.is_some());
    }
}

#[test]
fn it_is_part_of_the_canonical_text() {
    let canonical = |finalize: &str| with_script(finalize).unwrap().canonical_text().to_owned();
    let plain = canonical("r => ({ a: r.k })");
    assert_eq!(canonical("r=>({a:r.k}) // a"), plain);
    assert_eq!(canonical("r => ({ a: r.k });"), plain);
    assert_ne!(canonical("r => ({ b: r.k })"), plain);
    assert_ne!(source_of(&[MAP], Some(REDUCE)).unwrap().canonical_text(), plain);
}

#[test]
fn it_keeps_no_state_and_may_change_its_argument() {
    let source = with_script("r => { r.n += 1; r.list.push(1); return r; }").unwrap();
    let results: Vec<String> = on_script_thread(|| {
        let mut functions = source.create().unwrap();
        (0..2)
            .map(|_| functions.finalize(&json(r#"{"n":1,"list":[]}"#)).unwrap().unwrap().to_string())
            .collect()
    });
    assert_eq!(results, [r#"{"n":2,"list":[1]}"#; 2]);
}
