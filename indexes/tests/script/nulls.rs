//! Null propagation: one row for each sentence of the rules, and the cases where it must not happen.

use super::{assert_error, json, map_error, output};
use magpie_indexes::function::FunctionErrorKind;

const BODY: &str =
    r#"{"a":{"b":{"c":1}},"nul":null,"name":"Ann","n":5,"tags":["x","y"],"empty":[],"no":false}"#;

/// The value of an expression over a document `d`, as JSON text; `missing` when it is undefined.
fn value(expression: &str) -> String {
    let text = output(&format!("map('Things', d => {{ return {{ v: {expression} }}; }})"), BODY);
    json(&text).get("v").map_or_else(|| "missing".to_owned(), ToString::to_string)
}

#[test]
fn members_of_nothing_are_nothing() {
    let table = [
        // A missing property is undefined and an explicit null stays null.
        ("d.missing", "missing"),
        ("d.missing === undefined", "true"),
        ("d.missing === null", "false"),
        ("d.nul === null", "true"),
        ("d.nul === undefined", "false"),
        ("d.missing == null", "true"),
        ("typeof d.missing", "\"undefined\""),
        ("typeof d.nul", "\"object\""),
        // A property of what is missing is null, and one of null is missing, at any depth, with any notation.
        ("d.a.b.c", "1"),
        ("d.missing.b", "null"),
        ("d.missing.b.c", "null"),
        ("d.nul.b.c", "missing"),
        ("d.nul[0]", "missing"),
        ("d.missing['x y'].z", "null"),
        ("d['missing']['x']", "null"),
        ("d.tags[5].length", "null"),
        ("d.tags[d.n].length", "missing"),
        ("(n => d.tags[n].length)(5)", "null"),
        ("(d.missing).x", "null"),
        ("d.a.x.y.z", "null"),
        ("d.nul.x === undefined", "true"),
        ("d.missing.x === null", "true"),
        ("typeof d.missing.x", "\"undefined\""),
        ("typeof d.missing.x.y", "\"undefined\""),
        ("delete d.missing.x.y", "true"),
        ("(x => x.y)(d.missing)", "missing"),
        ("(x => x.y.z)(d.a)", "null"),
        ("(x => x.y.z)(d.nul)", "missing"),
        ("(d.missing || d.nul).x", "missing"),
        ("d?.missing.x", "missing"),
        ("d.missing?.x.y.z", "missing"),
        ("d.a?.b.c", "1"),
        ("d.missing.length", "null"),
        ("d.empty[0].deep", "null"),
    ];
    for (expression, expected) in table {
        assert_eq!(value(expression), expected, "{expression}");
    }
}

#[test]
fn methods_of_nothing_names_of_nothing_and_operators_are_forgiving() {
    let table = [
        // A method of null or undefined gives undefined, and so does what hangs on it.
        ("d.nul.toUpperCase()", "missing"),
        ("d.missing.foo().bar.baz()", "missing"),
        ("d.missing.map(x => x.y).filter(x => x)", "missing"),
        ("d.missing['foo'](1)", "missing"),
        ("d.missing?.foo()", "missing"),
        ("d.name.toUpperCase()", "\"ANN\""),
        ("d.tags.map(t => t.toUpperCase()).join('-')", "\"X-Y\""),
        ("d.tags.map(t => typeof t.a.b + (t.a.b === null))", "[\"undefinedtrue\",\"undefinedtrue\"]"),
        // A name that nothing declares is null, and so is all that hangs on it.
        ("unknownThing", "null"),
        ("unknownThing === null", "true"),
        ("unknownThing.x.y", "null"),
        ("unknownThing[d.n].y", "null"),
        ("unknownThing()", "null"),
        ("unknownThing(d.n).x", "null"),
        ("unknownThing.foo(1).bar", "null"),
        ("unknownThing?.x", "null"),
        ("typeof unknownThing", "\"undefined\""),
        ("{ unknownThing }.unknownThing", "null"),
        // Arithmetic and comparison are JavaScript's.
        ("d.nul + 1", "1"),
        ("d.missing + 1", "\"NaN\""),
        ("'k' + d.missing", "\"kundefined\""),
        ("'k' + d.nul", "\"knull\""),
        ("d.missing || 'x'", "\"x\""),
        ("d.missing ?? 'x'", "\"x\""),
        ("d.no ?? 'x'", "false"),
        ("!d.missing", "true"),
        ("`${d.missing}-${d.name}`", "\"undefined-Ann\""),
        // Calling what is no function: a variable without a value gives undefined.
        ("(f => f(1))(d.missing)", "missing"),
        ("(f => f.call(null, 1))(d.missing)", "missing"),
        // Objects and arrays made by the script.
        ("({ p: 1 }).q", "missing"),
        ("[1, 2][7]", "missing"),
        ("({ p: null }).p.q", "missing"),
        ("'abc'.length", "3"),
        ("(5).toFixed(1)", "\"5.0\""),
        ("5..toFixed(1)", "\"5.0\""),
        ("Math.max(1, d.missing || 3)", "3"),
        ("delete d.missing.x", "true"),
        ("(({ a }) => a)(d).b.c", "1"),
    ];
    for (expression, expected) in table {
        assert_eq!(value(expression), expected, "{expression}");
    }
}

#[test]
fn a_missing_method_of_a_real_value_is_an_error() {
    for (expression, method) in [
        ("'abc'.nope()", "nope"),
        ("(5).map(x => x)", "map"),
        ("d.name.nofn(1)", "nofn"),
        ("d.a.b.nope(d.n)", "nope"),
        ("d.tags.map(t => t.bad()).length", "bad"),
        ("d.name?.nofn(1)", "nofn"),
        ("Math.nope(1)", "nope"),
        ("[].nope()", "nope"),
    ] {
        let error = map_error(&format!("map('Things', d => ({{ v: {expression} }}))"), BODY);
        assert_error(
            &error,
            FunctionErrorKind::Run,
            &format!("Property '{method}' of object is not a function"),
        );
    }
}

#[test]
fn assignments_to_members_of_null_still_fail() {
    for statement in [
        "d.missing.x = 1",
        "d.nul.x = 1",
        "d.missing.x.y++",
        "[d.missing.x] = [1]",
        "({ q: d.nul.x } = { q: 1 })",
    ] {
        let error = map_error(&format!("map('Things', d => {{ {statement}; return {{ v: 1 }}; }})"), BODY);
        assert_error(&error, FunctionErrorKind::Run, "TypeError");
    }
    let written =
        output("map('Things', d => { d.a.b.x = 7; d.fresh = d.a; return { v: d.fresh.b.x }; })", BODY);
    assert_eq!(written, r#"{"v":7}"#);
}

#[test]
fn this_keeps_its_meaning_through_chains() {
    let map = "map('Things', d => {
        const o = { n: 4, get() { return this.n; }, inner: { n: 9, get: function () { return this.n; } } };
        return { a: o.get(), b: o['get'](), c: (o.inner).get(), d: o?.inner?.get(), e: (o.inner.get)(), f: o.get?.() };
    })";
    assert_eq!(output(map, "{}"), r#"{"a":4,"b":4,"c":9,"d":9,"e":9,"f":4}"#);
}
