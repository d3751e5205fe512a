//! Edge cases written by hand: statements, what fails, what stands outside of functions, reduces, sorting.

use super::cases::DOCUMENT;
use super::{Pair, document, value};
use magpie_store::json::Json;

/// Function bodies that return something.
const BODIES: [&str; 49] = [
    "const a = [1]; return `${a}-${a.push(2)}-${a}`",
    "const a = [1]; let n = 0; return `${a}${n++}${n}${a}${(a[0] = { x: 1 }).x}`",
    "const a = { toString: 1 }, b = [[1], [2]]; return `${b}|${b.map(x => x.pop())}|${b}`",
    "let s = 0; for (let i = 0; i < 5; i++) { if (i === 3) continue; s += i } return s",
    "const fs = []; for (let i = 0; i < 3; i++) fs.push(() => i); return fs.map(f => f())",
    "const fs = []; for (const x of [1, 2]) fs.push(() => x); return fs.map(f => f())",
    "const fs = []; for (var i = 0; i < 3; i++) fs.push(() => i); return fs.map(f => f())",
    "const out = []; for (const k in d.object) out.push(k); return out",
    "const out = []; for (const c of 'a😀') out.push(c); return out",
    "let i = 0; while (true) { if (++i > 4) break } return i",
    "let i = 0; do { i += 2 } while (i < 5); return i",
    "outer: for (const a of [1, 2]) { for (const b of [1, 2]) { if (b === 2) continue outer; if (a === 2) break outer } } return 'x'",
    "switch (d.name) { case 'x': return 1; case 'Ayende': { const y = 2; return y } default: return 3 }",
    "let r = ''; switch (2) { case 1: r += 1; case 2: r += 2; case 3: r += 3; break; default: r += 'd' } return r",
    "let r = ''; switch (9) { default: r += 'd'; case 1: r += 1 } return r",
    "try { throw new Error('x') } catch (e) { return e.message }",
    "try { throw { code: 5 } } catch ({ code }) { return code }",
    "try { return 1 } finally { d.one }",
    "try { try { throw 1 } finally { d.one } } catch (e) { return e + 1 }",
    "let n = 0; try { throw 1 } catch { n = 5 } finally { n++ } return n",
    "for (const x of [1, 2]) { try { continue } finally { if (x === 2) return 'f' } } return 'g'",
    "function fib(n) { return n < 2 ? n : fib(n - 1) + fib(n - 2) } return fib(12)",
    "return inner(); function inner() { return 'hoisted' }",
    "var v; { var v = 5 } return v",
    "const [a, , b = 7, ...c] = [1, 2, undefined, 4, 5]; return [a, b, c]",
    "const { name, deep: { a: { b } }, missing = 'm' } = d; return [name, b, missing]",
    "let a = 1, b = 2; [a, b] = [b, a]; return [a, b]",
    "const o = {}; [o.x, o['y']] = [1, 2]; return o",
    "let x; ({ x } = { x: 3 }); return x",
    "const { ['na' + 'me']: n } = d; return n",
    "const f = (a, b = a + 1, ...c) => [a, b, c]; return [f(1), f(1, 2, 3, 4), f(...[5, 6])]",
    "const f = ({ a = 1, b } = {}, [c] = [9]) => [a, b, c]; return [f(), f({ b: 2 }, [3])]",
    "const counter = () => { let n = 0; return { next() { return ++n } } }; const c = counter(); c.next(); return c.next()",
    "const compose = (f, g) => x => f(g(x)); return compose(x => x + 1, x => x * 2)(5)",
    "let total = 0; d.lines.forEach(l => { total += l.q * (l.price ?? 0) }); return total",
    "const groups = {}; for (const l of d.lines) (groups[l.p] ||= []).push(l.q); return groups",
    "const groups = d.lines.reduce((g, l) => ({ ...g, [l.p]: (g[l.p] || 0) + l.q }), {}); return groups",
    "const m = new Map(); for (const l of d.lines) m.set(l.p, (m.get(l.p) ?? 0) + l.q); return [...m].sort(([a], [b]) => a < b ? -1 : 1)",
    "const u = [...new Set(d.lines.map(l => l.p))]; return u",
    "if (d.one) return 1; else return 2",
    "if (!d.one) { return 1 } return",
    "let a = 1; { let a = 2; { let a = 3 } } return a",
    "const o = { a: 1, b: { c: 2 } }; const copy = { ...o, b: { ...o.b, d: 3 } }; return [o, copy]",
    "let s = ''; for (let i = 0; i < 300; i++) s += 'abcdefgh'; return [s.length, s.slice(-3), s === s + '']",
    "const a = [1, 2, 3]; for (const x of a) if (a.length < 6) a.push(x); return a",
    "const a = []; for (let i = 0, n = 3; i < n; i++) a[i] = i * i; return a",
    "const f = function (x) { return x ? x * 2 : 0 }; return [f(2), f()]",
    "let x = 5; const g = () => { x = x + 1; return x }; g(); return [x, g()]",
    "const isBig = n => n > 2, pick = (list, p) => list.filter(p); return pick(d.list, isBig)",
];

#[test]
fn statements() {
    let document = document("X", DOCUMENT);
    for body in BODIES {
        let script = format!("map('X', d => ({{ r: run(d) ?? null }}))\nfunction run(d) {{ {body} }}");
        let mut pair = Pair::new(&[script], None).unwrap_or_else(|why| panic!("{body}: {why}"));
        let result = pair.map(&document).unwrap_or_else(|error| panic!("{body}: {error}"));
        assert!(
            result[0].value.get("r").is_some_and(|r| !r.is_null() || body.contains("return 1 } return")),
            "{body}"
        );
        assert_eq!(pair.handed_over(), (0, None), "{body}");
    }
}

#[test]
fn failures_are_the_engines() {
    let document = document("X", DOCUMENT);
    for body in [
        "throw new Error('no')",
        "throw 'text'",
        "null.x = 1",
        "const c = 1; c = 2",
        "return x; let x = 1",
        "d.list.nothing()",
        "[...d.nothing]",
        "const { a } = d.missing",
        "const [a] = d.one",
        "new Error(",
        "return 'a'.repeat(-1)",
        "try { d.missing.x = 1 } catch (e) { return e.message }",
        "for (const x of 5) {}",
        "return [].reduce((a, b) => a)",
        "return d.list.map(5)",
        "return f(); function f() { return f() }",
        "return () => 1",
        "return [1].sort(5)",
        "const o = { get a() { return 1 } }",
    ] {
        let script = format!("map('X', d => ({{ r: run(d) }}))\nfunction run(d) {{ {body} }}");
        if let Ok(mut pair) = Pair::new(&[script], None) {
            let result = pair.map(&document);
            assert_eq!(pair.handed_over().0, 1, "{body}: {result:?}");
        }
    }
}

#[test]
fn top_level_values() {
    let document = document("X", r#"{"k":"b","n":3}"#);
    let script = "const RATES = { a: 1, b: [2, 3] };\nconst FACTOR = 10, KINDS = new Object;\n"
        .replace(", KINDS = new Object", "")
        + "const rate = k => RATES[k] ?? 0;\nlet NAMES = Object.keys(RATES);\n\
           map('X', d => ({ r: rate(d.k), n: d.n * FACTOR, same: RATES.b === RATES.b, names: NAMES }));\n\
           map('X', function (d) { return [{ r: 1 }, null, 5, { r: 2, u: undefined }] });\n\
           map('X', d => { if (d.n > 5) return { r: 1 } });\n\
           map('Y', d => ({ r: 'never' }));\n\
           map('@all_docs', d => ({ whole: d, key: Object.keys(d) }));\n\
           map('X', d => d.k, d => d.n);\nmap('X', d => d.deep.n)";
    let mut pair = Pair::new(&[script], None).unwrap();
    let outputs = pair.map(&document).unwrap();
    assert_eq!(outputs.len(), 6);
    assert_eq!(outputs[0].value.to_string(), r#"{"r":[2,3],"n":30,"same":true,"names":["a","b"]}"#);
    assert_eq!(pair.handed_over(), (0, None));
    let script = "const LIST = [1];\nmap('X', d => { LIST.push(2); return { n: LIST.length } })";
    let mut pair = Pair::new(&[script.to_owned()], None).unwrap();
    assert!(pair.map(&document).is_err());
}

#[test]
fn reduces() {
    let map = "map('X', d => ({ k: d.k, j: d.j, n: d.n, t: [d.t] }))".to_owned();
    let values: Vec<Json> = [
        r#"{"k":"a","j":null,"n":1,"t":["x"]}"#,
        r#"{"k":"a","j":null,"n":0.1,"t":["y","😀"]}"#,
        r#"{"k":"a","j":null,"n":-0.0,"t":[]}"#,
        r#"{"k":"a","j":null,"n":1e21,"t":["x"],"10":1,"9":2,"extra":{"b":1,"a":[{"c":null}]}}"#,
        r#"{"k":"a","j":null,"n":null}"#,
    ]
    .map(value)
    .into();
    for (reduce, group) in [
        ("groupBy(x => x.k).aggregate(g => ({ k: g.key, n: g.values.reduce((s, v) => s + v.n, 0) }))", 1),
        (
            "groupBy(x => x.k).aggregate(g => ({ k: g.key, n: g.values.map(v => v.n), u: undefined, z: -0 }))",
            1,
        ),
        (
            "groupBy(x => x.k).aggregate(g => ({ k: g.key, t: [...new Set(g.values.flatMap(v => v.t))].sort() }))",
            1,
        ),
        ("groupBy(x => x.k).aggregate(g => ({ k: g.key, all: g.values }))", 1),
        (
            "groupBy(x => ({ k: x.k, j: x.j })).aggregate(g => ({ ...g.key, n: g.values.length, inf: 1 / 0, nan: 0 / 0 }))",
            2,
        ),
        (
            "groupBy(x => ({ k: x.k, j: x.j })).aggregate(({ key: { k, j }, values }) => ({ k, j, last: values.at(-1) }))",
            2,
        ),
        (
            "groupBy(x => x.k).aggregate(g => { const o = {}; for (const v of g.values) Object.assign(o, v.extra, v); return o })",
            1,
        ),
        (
            "groupBy(x => x.k).aggregate(g => { g.values[0].n = 5; g.values.sort((a, b) => a.n - b.n); return { k: g.key, v: g.values } })",
            1,
        ),
    ] {
        let mut pair = Pair::new(std::slice::from_ref(&map), Some(reduce))
            .unwrap_or_else(|why| panic!("{reduce}: {why}"));
        let key = [Json::from("a"), Json::Null];
        for count in 1..=values.len() {
            pair.reduce(&key[..group], &values[..count]).unwrap_or_else(|error| panic!("{reduce}: {error}"));
        }
        assert_eq!(pair.handed_over(), (0, None), "{reduce}");
    }
}

#[test]
fn methods_of_nothing_do_not_depend_on_earlier_documents() {
    let script = "map('X', d => ({ own: `${d.o.hasOwnProperty('a')}`, text: `${d.o.valueOf()}` }))";
    let mut pair = Pair::new(&[script.to_owned()], None).unwrap();
    for body in [r#"{"o":{}}"#, r#"{"o":null}"#, r#"{"o":{"a":1}}"#, "{}"] {
        let outputs = pair.map(&document("X", body)).unwrap();
        if !body.contains(":{") {
            assert_eq!(outputs[0].value.to_string(), r#"{"own":"undefined","text":"undefined"}"#);
        }
    }
}

#[test]
fn sorting_is_the_engines_for_every_comparator() {
    let numbers: Vec<String> =
        (0..300_u64).map(|n| (n.wrapping_mul(2_654_435_761) % 97).to_string()).collect();
    let body = format!(r#"{{"list":[{}]}}"#, numbers.join(","));
    for order in [
        "(a, b) => a.n < b.n ? -1 : 1",
        "(a, b) => a.n > b.n ? -1 : 1",
        "(a, b) => a.n < b.n",
        "(a, b) => a.n - b.n",
        "(a, b) => (a.n * 7 + b.n) % 3 - 1",
        "(a, b) => (a.n + b.n) % 2 ? NaN : b.n - a.n",
        "(a, b) => 1",
        "(a, b) => -1",
    ] {
        let script = format!(
            "map('X', d => ({{ r: d.list.map((n, i) => ({{ n, i }})).sort({order}).map(x => x.i) }}))"
        );
        let mut pair = Pair::new(&[script], None).unwrap();
        pair.map(&document("X", &body)).unwrap();
        assert_eq!(pair.handed_over(), (0, None), "{order}");
    }
}
