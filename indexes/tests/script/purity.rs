//! An index is a pure function: no state between calls, no clock, no random numbers, no code from strings.

use super::{assert_error, document, output, refused, source_of, with_index};
use magpie_indexes::NoLoads;
use magpie_indexes::function::FunctionErrorKind::{Compile, Definition, Run};
use magpie_store::{Document, Timestamp};

/// Maps the same document three times; all outputs, errors included, must be the same.
fn repeatable(map: &str) -> Vec<String> {
    with_index(&[map], None, |index| {
        (0..3)
            .map(|_| match index.map(&document("t/1", r#"{"n":1}"#), &mut magpie_indexes::NoLoads) {
                Ok(emitted) => emitted.iter().map(|one| one.value.to_string()).collect::<String>(),
                Err(error) => error.to_string(),
            })
            .collect()
    })
}

#[test]
fn assigning_outer_variables_is_refused_with_its_position() {
    for map in [
        "let n = 0; map('Things', d => ({ n: ++n }))",
        "var n = 0; map('Things', d => ({ n: n++ }))",
        "var n = 0; map('Things', d => { n += 1; return { n }; })",
        "let seen; map('Things', d => { seen ??= d.n; return { seen }; })",
        "let a, b; map('Things', d => { [a, b] = [d.n, 1]; return { a }; })",
        "let a; map('Things', d => { ({ n: a } = d); return { a }; })",
        "let k; map('Things', d => { for (k in d) { } return { k }; })",
        "let k; map('Things', d => { for (k of [1]) { } return { k }; })",
        "let n = 0; function count() { return ++n; } map('Things', d => ({ n: count() }))",
        "{ let n = 0; map('Things', d => ({ n: ++n })); }",
        "for (let n = 0; n < 1; n++) map('Things', d => ({ n: ++n }))",
        "function f() { } map('Things', d => { f = 1; return { v: 1 }; })",
        "map('Things', d => { undeclared = 1; return { v: 1 }; })",
        "map('Things', d => { Math = 1; return { v: 1 }; })",
        "map('Things', d => { id = 1; return { v: 1 }; })",
    ] {
        let error = refused(&[map], None);
        assert_error(&error, Definition, "");
        assert!(error.position.is_some(), "{map}: {error}");
    }
    let error = refused(&["let n = 0;\nmap('Things', d => ({\n  n: ++n }))"], None);
    assert_eq!(error.position, super::at(3, 8));
}

#[test]
fn closures_that_could_hide_state_are_refused() {
    for map in [
        "const next = (function () { let c = 0; return () => ++c; })(); map('Things', d => ({ n: next() }))",
        "function make() { let c = 0; return () => ++c; } const next = make(); map('Things', d => ({ n: next() }))",
        "const memo = (() => { const cache = {}; return k => cache[k] = (cache[k] || 0) + 1; })(); map('Things', d => ({ n: memo('a') }))",
        "class C { #n = 0; next() { return ++this.#n; } } const c = new C(); map('Things', d => ({ n: c.next() }))",
    ] {
        assert_error(&refused(&[map], None), Definition, "keep state");
    }
    for map in [
        "const cache = new Map(); map('Things', d => { cache.set(1, (cache.get(1) || 0) + 1); return { n: cache.get(1) }; })",
        "const seen = new Set(); map('Things', d => ({ n: seen.add(d.n).size }))",
        "const when = new Date(0); map('Things', d => ({ n: when.setTime(when.getTime() + 1) }))",
        "const re = /a/g; map('Things', d => { re.test('aa'); return { n: re.lastIndex }; })",
        "const it = [1, 2, 3][Symbol.iterator](); map('Things', d => ({ n: it.next().value }))",
        "const o = { deep: [new WeakMap()] }; map('Things', d => ({ n: 1 }))",
    ] {
        assert_error(&refused(&[map], None), Definition, "an index must be a pure function");
    }
    // Helpers with closures are fine as long as nothing runs them while loading.
    for map in [
        "function total(xs, k) { return xs.reduce((s, x) => s + x * k, 0); } map('Things', d => ({ v: total([1, 2], 3) }))",
        "const RATES = Object.freeze({ a: [1, 2] }); const HOUR = 60 * 60; map('Things', d => ({ v: RATES.a[1] * HOUR }))",
        "const re = /^a/; map('Things', d => ({ v: re.test('abc') }))",
        "const names = 'a,b'.split(','); map('Things', d => ({ v: names.length }))",
    ] {
        source_of(&[map], None).unwrap_or_else(|error| panic!("{map}: {error}"));
    }
}

#[test]
fn nothing_that_a_call_does_reaches_the_next_call() {
    for leak in [
        "globalThis.leak = (globalThis.leak || 0) + 1; return { n: globalThis.leak };",
        "Object.prototype.leak = (({}).leak || 0) + 1; return { n: ({}).leak };",
        "Array.prototype.leak = ([].leak || 0) + 1; return { n: [].leak };",
        "Function.prototype.leak = 1; return { n: 1 };",
        "Object.leak = (Object.leak || 0) + 1; return { n: Object.leak };",
        "Math.PI2 = (Math.PI2 || 0) + 1; return { n: Math.PI2 };",
        "Array.prototype.map = function () { return [7]; }; return { n: [1].map(x => x)[0] };",
        "String.prototype.toUpperCase = () => 'x'; return { n: 'a'.toUpperCase() };",
        "JSON.stringify = () => 'x'; return { n: JSON.stringify(1) };",
        "[][Symbol.iterator]().__proto__.next = () => ({ done: true }); return { n: [...[1]] };",
        "Object.getPrototypeOf([][Symbol.iterator]()).next = () => ({ done: true }); return { n: [...[1]] };",
        "Object.getPrototypeOf(new Map().entries()).next = 1; return { n: 1 };",
        "Object.getPrototypeOf(Object(Symbol.iterator)).x = 1; return { n: 1 };",
        "Object.setPrototypeOf(Object.prototype, { leak: 1 }); return { n: ({}).leak };",
        "Object.defineProperty(Object.prototype, 'leak', { value: 1 }); return { n: ({}).leak };",
        "Reflect.defineProperty(globalThis, 'leak', { value: 1 }); return { n: typeof leak, m: globalThis.leak };",
        "delete Array.prototype.map; return { n: typeof [].map };",
        "TABLE.x.push(1); return { n: TABLE.x.length };",
        "TABLE.y = 1; return { n: TABLE.y };",
        "TABLE.x.length = 0; return { n: TABLE.x.length };",
        "helper.count = (helper.count || 0) + 1; return { n: helper.count };",
        "helper.prototype.x = 1; return { n: new helper().x };",
        "Klass.prototype.m = () => 5; return { n: new Klass().m() };",
        "Klass.s = (Klass.s || 0) + 1; return { n: Klass.s };",
        "process.env.EXEC_ENV = 'x'; return { n: process.env.EXEC_ENV };",
        "id.x = (id.x || 0) + 1; return { n: id.x };",
        "Symbol.iterator.description = 'x'; return { n: 1 };",
        "Error.prototype.name = 'X'; return { n: new Error('a').name };",
        "Date.prototype.getTime = () => 5; return { n: new Date(1).getTime() };",
        "RegExp.prototype.test = () => 5; return { n: /a/.test('a') };",
        "const t = (s) => { s.n = 1; return s; }; return { n: t`a`.n };",
        "map('Things', x => ({ z: 1 })); return { n: 1 };",
    ] {
        let map = format!(
            "const TABLE = {{ x: [1, 2] }}; function helper() {{ }} class Klass {{ m() {{ return 1; }} }} \
             map('Things', function me(d) {{ {leak} }})"
        );
        let outputs = repeatable(&map);
        assert_eq!(outputs[0], outputs[1], "{leak}");
        assert_eq!(outputs[1], outputs[2], "{leak}");
    }
}

#[test]
fn random_numbers_are_not_there() {
    for (expression, part) in [
        ("Date()", "Date() without new is not available"),
        ("new d.n.constructor.constructor()", "not available"),
        ("Math.random()", "an index must be a pure function: Math.random() is not available"),
    ] {
        let error = super::map_error(&format!("map('Things', d => ({{ v: {expression} }}))"), r#"{"n":1}"#);
        assert_error(&error, Run, part);
    }
    assert_eq!(output("map('Things', d => ({ v: new Date(0).getFullYear() }))", "{}"), r#"{"v":1970}"#);
}

/// The ways to ask for the time.
const ASKING: [&str; 5] = [
    "Date.now()",
    "new Date().getTime()",
    "new (class extends Date {})().getTime()",
    "Reflect.construct(Date, []).getTime()",
    "new (Object.getPrototypeOf(new Date(0)).constructor)().getTime()",
];

#[test]
fn the_time_of_a_map_is_that_of_its_document() {
    for expression in ASKING {
        with_index(&[&format!("map('Things', d => ({{ v: {expression} }}))")], None, |index| {
            // 1 ms and 7 ticks after the first second of 1970, and a time before.
            for (ticks, expected) in [(10_010_007, r#"{"v":1001}"#), (-1, r#"{"v":-1}"#)] {
                let document = Document { last_modified: Timestamp(ticks), ..document("things/1", "{}") };
                let emitted = index.map(&document, &mut NoLoads).unwrap();
                assert_eq!(emitted[0].value.to_string(), expected, "{expression}");
            }
        });
    }
}

#[test]
fn where_there_is_no_document_there_is_no_time() {
    for expression in ASKING {
        let reduce = format!("groupBy(x => x.n).aggregate(g => ({{ n: g.key, at: {expression} }}))");
        let maps = ["map('Things', d => ({ n: d.n, at: Date.now() }))"];
        with_index(&maps, Some(&reduce), |index| {
            let emitted = index.map(&document("things/1", r#"{"n":1}"#), &mut NoLoads).unwrap();
            assert_eq!(emitted[0].value.to_string(), r#"{"n":1,"at":0}"#);
            let error = index.reduce(&emitted[0].key, &[emitted[0].value.clone()]).unwrap_err();
            let part =
                "is the time of the document's last change in a map, and elsewhere it is not available";
            assert_error(&error, Run, part);
            assert!(error.position.is_some(), "{error}");
        });
    }
    let error = refused(&["const started = Date.now(); map('Things', d => ({ started }))"], None);
    assert!(error.message.contains("Date.now() is the time of"), "{error}");
}

#[test]
fn code_from_strings_is_refused_on_every_route() {
    for expression in [
        "Function('return 1')()",
        "new Function('return 1')()",
        "(() => 1).constructor('return 1')()",
        "(function () {}).constructor('return 1')()",
        "[].map.constructor('return 1')()",
        "Reflect.construct(Function, ['return 1'])()",
        "Object.getPrototypeOf(class {}).constructor('return 1')()",
        "globalThis.Function('return 1')()",
    ] {
        let error = super::map_error(&format!("map('Things', d => ({{ v: {expression} }}))"), "{}");
        assert_error(&error, magpie_indexes::function::FunctionErrorKind::Run, "compiling code from strings");
    }
    for script in ["eval('1')", "(0, eval)('1')", "const e = eval; map('Things', d => ({ v: e('1') }))"] {
        assert_error(&refused(&[script], None), Definition, "eval is not available in an index");
    }
    assert_eq!(output("map('Things', d => ({ v: globalThis.eval === undefined }))", "{}"), r#"{"v":true}"#);
    assert_error(
        &refused(&["Function('return 1')(); map('A', d => ({}))"], None),
        Compile,
        "compiling code from strings",
    );
}

#[test]
fn what_would_break_the_bounds_is_not_there() {
    for name in ["Promise", "Proxy", "ArrayBuffer", "SharedArrayBuffer", "Uint8Array", "WeakRef", "Atomics"] {
        let map = format!("map('Things', d => ({{ v: typeof {name}, w: globalThis.{name} === undefined }}))");
        assert_eq!(output(&map, "{}"), r#"{"v":"undefined","w":true}"#, "{name}");
        let error = refused(&[&format!("map('Things', d => ({{ v: {name}.x }}))")], None);
        assert_error(&error, Definition, &format!("{name} is not available in an index"));
    }
}
