//! Error positions, canonical text, additional sources, and faithful rewriting of ordinary JavaScript.

use super::{assert_error, at, document, map_error, output, source_of, with_index};
use magpie_indexes::function::FunctionErrorKind::Run;
use magpie_indexes::script::ScriptSource;
use magpie_indexes::{FunctionError, FunctionSource};
use std::collections::BTreeMap;

#[test]
fn run_errors_point_into_the_users_script() {
    for (map, line, message) in [
        ("map('Things', function (d) {\n  if (d.a)\n    throw new Error('bad doc');\n  return { a: 1 };\n})", 3, "Error: bad doc"),
        ("map('Things', d => ({\n  a: 1,\n  b: d.a.nope(1)\n}))", 3, "Property 'nope' of object is not a function"),
        ("// \u{e9}\nmap('Things', d => {\n const s = `\n${d.a}`; return { s: s.bad() };\n})", 4, "Property 'bad' of object is not a function"),
        ("function h(x) {\n  return x.missing.deep = 1;\n}\nmap('Things', d => ({ v: h(d) }))", 2, "TypeError"),
        ("map('Things', d => {\n  throw 'plain';\n})", 2, "plain"),
        ("map('Things', d => {\n  throw { code: 7, message: 'm' };\n})", 2, "Error: m"),
        ("map('Things', d => {\n const [x] = d.nothing;\n return { x };\n})", 2, "TypeError"),
        ("map('Things', d => {\n let s = 0;\n for (const x of d.nothing) s += x;\n return { s };\n})", 3, "TypeError"),
    ] {
        let error = map_error(map, r#"{"a":"x"}"#);
        assert_error(&error, Run, message);
        assert_eq!(error.position.map(|position| position.line), Some(line), "{map}: {error}");
    }
    let error = map_error("map('Things', d => ({ v: d.a.nope() }))", r#"{"a":1}"#);
    assert_eq!(error.position, at(1, 26));
}

#[test]
fn errors_name_the_script_when_there_are_several() {
    let reduce = "groupBy(x => x.a).aggregate(g => {\n throw new Error('red'); })";
    let error = with_index(&["map('Things', d => ({ a: 1 }))"], Some(reduce), |index| {
        index.reduce(&[super::json("1")], &[super::json("{}")]).unwrap_err()
    });
    assert_eq!(error.message, "Error: red in Reduce");
    assert_eq!(error.position.unwrap().line, 2);
}

#[test]
fn formatting_does_not_change_the_canonical_text() {
    let canonical = |map: &str| source_of(&[map], None).unwrap().canonical_text().to_owned();
    let plain = canonical("map('Things', d => ({ a: d.a + 1 }))");
    assert_eq!(canonical("map('Things',d=>({a:d.a+1})) // sum"), plain);
    assert_eq!(canonical("\n/* x */ map('Things', d => ({\n a: d.a + 1\n}))"), plain);
    assert_ne!(canonical("map('Things', d => ({ a: d.a + 2 }))"), plain);
    assert_ne!(canonical("map('Things', d => ({ a: d.a - 1 }))"), plain);
    let two = source_of(&["map('Things', d => ({ a: 1 }))", "map('Things', d => ({ a: 2 }))"], None).unwrap();
    let other = source_of(&["map('Things', d => ({ a: 1 })) map('Things', d => ({ a: 2 }))".replace(") map", ")\nmap").as_str()], None).unwrap();
    assert_ne!(two.canonical_text(), other.canonical_text());
}

#[test]
fn canonical_text_means_the_same_as_the_source() {
    for map in [
        "map('Things', function (d) {\n  var a = 1\n  var b = a\n  ++b\n  return {\n    a, b, s: `x ${a\n} y`\n  }\n})",
        "map('Things', d => { let x = 6 / 2 / 3; let y = /a \\/ [/]/.test('a / /'); return { x, y } })",
        "map('Things', d => { for (var i = 0, s = 0; i < 3; i++) s += i\n if (s) { s-- } else s++\n return { s } })",
        "map('Things', d => { let r = 0\n do r++\n while (r < 3)\n return { r } })",
    ] {
        let once = source_of(&[map], None).unwrap().canonical_text().to_owned();
        let text = once.splitn(3, '\n').nth(2).unwrap().to_owned();
        assert_eq!(output(map, "{}"), output(&text, "{}"), "{map}");
        assert_eq!(source_of(&[&text], None).unwrap().canonical_text(), once, "{map}");
    }
}

#[test]
fn additional_sources_are_loaded_first() {
    let sources = BTreeMap::from([(
        "h.js".to_owned(),
        "function up(s) { return s ? s.toUpperCase() : 'none'; } var helper = { z: 42 };".to_owned(),
    )]);
    let maps = ["map('Things', d => ({ u: up(d.name), z: helper.z }))".to_owned()];
    let source = ScriptSource::new("V/Src", &maps, None, &sources).unwrap();
    let text = super::on_script_thread(|| {
        source.create().unwrap().map(&document("t/1", r#"{"name":"Ann"}"#)).unwrap()[0].value.to_string()
    });
    assert_eq!(text, r#"{"u":"ANN","z":42}"#);
    let broken = BTreeMap::from([("h.js".to_owned(), "function up( {".to_owned())]);
    let error: FunctionError = ScriptSource::new("V/Src", &maps, None, &broken).unwrap_err();
    assert!(error.message.ends_with("in AdditionalSources['h.js']"), "{error}");
}

/// Ordinary JavaScript of all kinds: the rewriting must not change what it computes.
#[test]
fn rewriting_keeps_the_meaning_of_ordinary_javascript() {
    let table = [
        ("let s = 0; for (let i = 0; i < 5; i++) { if (i === 2) continue; if (i === 4) break; s += i; } return { s };", r#"{"s":4}"#),
        ("let s = ''; outer: for (const a of [1, 2, 3]) for (const b of [1, 2, 3]) { if (b === 2) continue outer; s += a + '' + b; } return { s };", r#"{"s":"112131"}"#),
        ("const o = {}; for (const k in { x: 1, y: 2 }) o[k + k] = k; return o;", r#"{"xx":"x","yy":"y"}"#),
        ("let i = 0; do { i += 2; } while (i < 5); while (i > 0) i -= 4; return { i };", r#"{"i":-2}"#),
        ("switch (d.n) { case 1: case 2: return { v: 'low' }; default: { const q = 3; return { v: q }; } }", r#"{"v":3}"#),
        ("try { null_.x.y = 1; } catch { return { v: 1 }; } finally { } return { v: 2 };".replace("null_", "d.none").leak(), r#"{"v":1}"#),
        ("let v; try { throw new TypeError('t'); } catch ({ name, message: m }) { v = name + m; } finally { v += '!'; } return { v };", r#"{"v":"TypeErrort!"}"#),
        ("const { a = 5, b: [x, , y = 7, ...z] = [1, 2], ...rest } = { c: 3, e: 4 }; return { a, x, y, z, rest };", r#"{"a":5,"x":1,"y":7,"z":[],"rest":{"c":3,"e":4}}"#),
        ("let a = 1, b = 2; [a, b] = [b, a]; ({ a, q: b = 9 } = { a: 5 }); return { a, b };", r#"{"a":5,"b":9}"#),
        ("const f = (x, y = x * 2, ...z) => [x, y, z.length]; return { v: f(1), w: f(1, 2, 3, 4) };", r#"{"v":[1,2,0],"w":[1,2,2]}"#),
        ("const fact = function me(n) { return n < 2 ? 1 : n * me(n - 1); }; return { v: fact(5) };", r#"{"v":120}"#),
        ("class A { #p = 2; static s = 3; x = 1; constructor(y) { this.y = y; } get z() { return this.#p; } set w(v) { this.x = v; } m() { return this.x + this.y; } static k() { return this.s; } } class B extends A { constructor() { super(5); this.w = 4; } m() { return super.m() * 10; } } const b = new B(); return { v: b.m(), z: b.z, k: A.k(), i: b instanceof A };", r#"{"v":90,"z":2,"k":3,"i":true}"#),
        ("const o = { get x() { return 1; }, set x(v) { }, ['a' + 1]: 2, 'b c': 3, 4: 5, m() { return this.a1; }, async: 1, ...{ q: 6 } }; return { v: o.x + o.a1 + o['b c'] + o[4] + o.m() + o.q, k: Object.keys(o).length };", r#"{"v":19,"k":7}"#),
        ("return { v: 2 ** 3 ** 2, w: (2 ** 3) ** 2, x: (-2) ** 2, y: -(2 ** 2), z: 7 % 4 * 2 - 1 };", r#"{"v":512,"w":64,"x":4,"y":-4,"z":5}"#),
        ("return { v: (1, 2), w: [(1, 2), 3].length, x: 1 - (2 - 3), y: 8 / (4 / 2), z: (5 & 3) === 1 };", r#"{"v":2,"w":2,"x":2,"y":4,"z":true}"#),
        ("const a = null, b = 0; return { v: (a ?? b) || 3, w: a ?? (b || 4), x: (a || b) ?? 5, y: a && b || 6 };", r#"{"v":3,"w":4,"x":0,"y":6}"#),
        ("return { v: - -1, w: + +'2', x: - (-1), y: typeof typeof 1, z: !(!1), a: ~-1, b: void 0 === undefined };", r#"{"v":1,"w":2,"x":1,"y":"string","z":true,"a":0,"b":true}"#),
        ("let i = 1; const r = [i++ + ++i, i-- - --i, i]; return { r };", r#"{"r":[4,2,1]}"#),
        ("return { v: d.n > 1 ? d.n > 4 ? 'a' : 'b' : 'c', w: (d.n, 1) ? 2 : 3, x: true ? (1, 2) : 3 };", r#"{"v":"a","w":2,"x":2}"#),
        ("const t = (s, ...v) => s.raw.join('|') + v.join(','); return { v: t`a\\n${1}b${2}`, w: String.raw`\\u00e9${1}` };", r#"{"v":"a\\n|b|1,2","w":"\\u00e91"}"#),
        ("return { v: `a${`b${1 + 1}`}c$\\${}`, w: `\\u00e9\\`` };", "{\"v\":\"ab2c$${}\",\"w\":\"\u{e9}`\"}"),
        ("const s = 'caf\u{e9} \\x41\\u{1F600}\\0'; return { n: s.length, s: s.slice(0, 6) };", "{\"n\":9,\"s\":\"caf\u{e9} A\"}"),
        ("return { v: 0x1F + 0b11 + 0o17 + 1_000 + .5 + 1e3, w: 1e400, x: 5e-324, y: 123456789012345680000 };", r#"{"v":2049.5,"w":"Infinity","x":5e-324,"y":123456789012345680000}"#),
        ("const \u{fc}ml = 2, $a_1 = 3; return { v: \u{fc}ml * $a_1 };", r#"{"v":6}"#),
        ("for (var i = ('a' in { a: 1 }) ? 1 : 0; i < 3; i++); return { i };", r#"{"i":3}"#),
        ("var f = []; for (let i = 0; i < 3; i++) f.push(() => i); return { v: f.map(g => g()) };", r#"{"v":[0,1,2]}"#),
        ("function a() { return b(); } function b() { return 4; } return { v: a() };", r#"{"v":4}"#),
        ("{ function inner() { return 1; } var v = inner(); } return { v };", r#"{"v":1}"#),
        ("if (d.n) if (d.none) return { v: 1 }; else return { v: 2 }; return { v: 3 };", r#"{"v":2}"#),
        ("const f = function () { return new.target === undefined; }; return { v: f() };", r#"{"v":true}"#),
        ("return { v: [1, , 3].length, w: [, ].length, x: [...'ab', ...[1]], y: Math.max(...[1, 5, 2]) };", r#"{"v":3,"w":1,"x":["a","b",1],"y":5}"#),
        ("const m = new Map([['a', 1]]); m.set('b', 2); const s = new Set(m.keys()); return { v: [...m.values()], w: s.has('b'), x: m.size };", r#"{"v":[1,2],"w":true,"x":2}"#),
        ("let x = 1; x += 2; x *= 3; x -= 1; x /= 2; x %= 3; x **= 2; x <<= 3; x >>= 1; x |= 1; x &= 7; x ^= 2; let y = null; y ??= 5; y &&= 6; let z = 0; z ||= 7; return { x, y, z };", r#"{"x":7,"y":6,"z":7}"#),
        ("const o = { a: { b: 1 } }; o.a.b += 5; o['a']['c'] = o.a.b++; return o;", r#"{"a":{"b":7,"c":6}}"#),
        ("const key = 'x'; const { [key]: v } = { x: 3 }; return { v, [key + 1]: 2 };", r#"{"v":3,"x1":2}"#),
        ("return { v: (function () { return this === undefined; })(), w: (() => 1)(), x: (x => ({ y: x }))(2).y };", r#"{"v":true,"w":1,"x":2}"#),
        ("return { v: 'a,b'.split(',').map((x, i) => x + i), w: [3, 1].sort((a, b) => a - b), x: [1, 2, 3].reduce((a, b) => a + b) };", r#"{"v":["a0","b1"],"w":[1,3],"x":6}"#),
        ("return { v: /(\\d+)-(?<n>\\w)/.exec('12-x').groups.n, w: 'aBc'.replace(/b/i, m => m + m), x: [...'a1b2'.matchAll(/\\d/g)].length };", r#"{"v":"x","w":"aBBc","x":2}"#),
        ("var undefined_ = 1; label: { if (undefined_) break label; return { v: 0 }; } return { v: 1 };", r#"{"v":1}"#),
        ("const a = [1, 2, 3, 4]; return { v: a.find(x => x > 2), w: a.flatMap(x => [x, x]).length, x: a.at(-1), y: a.toSorted((p, q) => q - p), z: Array.from({ length: 2 }, (_, i) => i) };", r#"{"v":3,"w":8,"x":4,"y":[4,3,2,1],"z":[0,1]}"#),
    ];
    for (body, expected) in table {
        assert_eq!(output(&format!("map('Things', d => {{ {body} }})"), r#"{"n":5}"#), expected, "{body}");
    }
}
