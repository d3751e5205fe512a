//! Ordinary JavaScript of all kinds: the rewriting must not change what it computes.

use super::output;

/// Maps `{"n":5}` with each body and compares the outputs.
fn check(table: &[(&str, &str)]) {
    for (body, expected) in table {
        assert_eq!(output(&format!("map('Things', d => {{ {body} }})"), r#"{"n":5}"#), *expected, "{body}");
    }
}

#[test]
fn statements() {
    check(&[
        (
            "let s = 0; for (let i = 0; i < 5; i++) { if (i === 2) continue; if (i === 4) break; s += i; } return { s };",
            r#"{"s":4}"#,
        ),
        (
            "let s = ''; outer: for (const a of [1, 2, 3]) for (const b of [1, 2, 3]) { if (b === 2) continue outer; s += a + '' + b; } return { s };",
            r#"{"s":"112131"}"#,
        ),
        ("const o = {}; for (const k in { x: 1, y: 2 }) o[k + k] = k; return o;", r#"{"xx":"x","yy":"y"}"#),
        ("let i = 0; do { i += 2; } while (i < 5); while (i > 0) i -= 4; return { i };", r#"{"i":-2}"#),
        (
            "switch (d.n) { case 1: case 2: return { v: 'low' }; default: { const q = 3; return { v: q }; } }",
            r#"{"v":3}"#,
        ),
        ("try { d.none.x.y = 1; } catch { return { v: 1 }; } finally { } return { v: 2 };", r#"{"v":1}"#),
        (
            "let v; try { throw new TypeError('t'); } catch ({ name, message: m }) { v = name + m; } finally { v += '!'; } return { v };",
            r#"{"v":"TypeErrort!"}"#,
        ),
        ("for (var i = ('a' in { a: 1 }) ? 1 : 0; i < 3; i++); return { i };", r#"{"i":3}"#),
        ("if (d.n) if (d.none) return { v: 1 }; else return { v: 2 }; return { v: 3 };", r#"{"v":2}"#),
        (
            "var undefined_ = 1; label: { if (undefined_) break label; return { v: 0 }; } return { v: 1 };",
            r#"{"v":1}"#,
        ),
    ]);
}

#[test]
fn declarations_and_destructuring() {
    check(&[
        (
            "const { a = 5, b: [x, , y = 7] = [1, 2], ...rest } = { c: 3, e: 4 }; const [, ...z] = [8, 9]; return { a, x, y, z, rest };",
            r#"{"a":5,"x":1,"y":7,"z":[9],"rest":{"c":3,"e":4}}"#,
        ),
        (
            "let a = 1, b = 2; [a, b] = [b, a]; ({ a, q: b = 9 } = { a: 5 }); return { a, b };",
            r#"{"a":5,"b":9}"#,
        ),
        ("const key = 'x'; const { [key]: v } = { x: 3 }; return { v, [key + 1]: 2 };", r#"{"v":3,"x1":2}"#),
    ]);
}

#[test]
fn functions_and_classes() {
    check(&[
        (
            "const f = (x, y = x * 2, ...z) => [x, y, z.length]; return { v: f(1), w: f(1, 2, 3, 4) };",
            r#"{"v":[1,2,0],"w":[1,2,2]}"#,
        ),
        (
            "const fact = function me(n) { return n < 2 ? 1 : n * me(n - 1); }; return { v: fact(5) };",
            r#"{"v":120}"#,
        ),
        (
            "class A { #p = 2; static s = 3; x = 1; constructor(y) { this.y = y; } get z() { return this.#p; } set w(v) { this.x = v; } m() { return this.x + this.y; } static k() { return this.s; } } class B extends A { constructor() { super(5); this.w = 4; } m() { return super.m() * 10; } } const b = new B(); return { v: b.m(), z: b.z, k: A.k(), i: b instanceof A };",
            r#"{"v":90,"z":2,"k":3,"i":true}"#,
        ),
        (
            "const o = { get x() { return 1; }, set x(v) { }, ['a' + 1]: 2, 'b c': 3, 4: 5, m() { return this.a1; }, async: 1, ...{ q: 6 } }; return { v: o.x + o.a1 + o['b c'] + o[4] + o.m() + o.q, k: Object.keys(o).length };",
            r#"{"v":19,"k":7}"#,
        ),
        (
            "var f = []; for (let i = 0; i < 3; i++) f.push(() => i); return { v: f.map(g => g()) };",
            r#"{"v":[0,1,2]}"#,
        ),
        ("function a() { return b(); } function b() { return 4; } return { v: a() };", r#"{"v":4}"#),
        ("{ function inner() { return 1; } var v = inner(); } return { v };", r#"{"v":1}"#),
        ("const f = function () { return new.target === undefined; }; return { v: f() };", r#"{"v":true}"#),
        (
            "return { v: (function () { return this === undefined; })(), w: (() => 1)(), x: (x => ({ y: x }))(2).y };",
            r#"{"v":true,"w":1,"x":2}"#,
        ),
    ]);
}

#[test]
fn expressions() {
    check(&[
        (
            "return { v: 2 ** 3 ** 2, w: (2 ** 3) ** 2, x: (-2) ** 2, y: -(2 ** 2), z: 7 % 4 * 2 - 1 };",
            r#"{"v":512,"w":64,"x":4,"y":-4,"z":5}"#,
        ),
        (
            "return { v: (1, 2), w: [(1, 2), 3].length, x: 1 - (2 - 3), y: 8 / (4 / 2), z: (5 & 3) === 1 };",
            r#"{"v":2,"w":2,"x":2,"y":4,"z":true}"#,
        ),
        (
            "const a = null, b = 0; return { v: (a ?? b) || 3, w: a ?? (b || 4), x: (a || b) ?? 5, y: a && b || 6 };",
            r#"{"v":3,"w":4,"x":0,"y":6}"#,
        ),
        (
            "return { v: - -1, w: + +'2', x: - (-1), y: typeof typeof 1, z: !(!1), a: ~-1, b: void 0 === undefined };",
            r#"{"v":1,"w":2,"x":1,"y":"string","z":true,"a":0,"b":true}"#,
        ),
        ("let i = 1; const r = [i++ + ++i, i-- - --i, i]; return { r };", r#"{"r":[4,2,1]}"#),
        (
            "return { v: d.n > 1 ? d.n > 4 ? 'a' : 'b' : 'c', w: (d.n, 1) ? 2 : 3, x: true ? (1, 2) : 3 };",
            r#"{"v":"a","w":2,"x":2}"#,
        ),
        (
            "return { v: [1, , 3].length, w: [, ].length, x: [...'ab', ...[1]], y: Math.max(...[1, 5, 2]) };",
            r#"{"v":3,"w":1,"x":["a","b",1],"y":5}"#,
        ),
        (
            "let x = 1; x += 2; x *= 3; x -= 1; x /= 2; x %= 3; x **= 2; x <<= 3; x >>= 1; x |= 1; x &= 7; x ^= 2; let y = null; y ??= 5; y &&= 6; let z = 0; z ||= 7; return { x, y, z };",
            r#"{"x":7,"y":6,"z":7}"#,
        ),
        ("const o = { a: { b: 1 } }; o.a.b += 5; o['a']['c'] = o.a.b++; return o;", r#"{"a":{"b":7,"c":6}}"#),
    ]);
}

#[test]
fn literals() {
    check(&[
        (
            "const t = (s, ...v) => s.raw.join('|') + v.join(','); return { v: t`a\\n${1}b${2}`, w: String.raw`\\u00e9${1}` };",
            r#"{"v":"a\\n|b|1,2","w":"\\u00e91"}"#,
        ),
        (
            "return { v: `a${`b${1 + 1}`}c$\\${}`, w: `\\u00e9\\`` };",
            "{\"v\":\"ab2c$${}\",\"w\":\"\u{e9}`\"}",
        ),
        (
            "const s = 'caf\u{e9} \\x41\\u{1F600}\\0'; return { n: s.length, s: s.slice(0, 6) };",
            "{\"n\":9,\"s\":\"caf\u{e9} A\"}",
        ),
        (
            "return { v: 0x1F + 0b11 + 0o17 + 1_000 + .5 + 1e3, w: 1e400, x: 5e-324, y: 123456789012345680000 };",
            r#"{"v":2049.5,"w":"Infinity","x":5e-324,"y":123456789012345680000}"#,
        ),
        ("const \u{fc}ml = 2, $a_1 = 3; return { v: \u{fc}ml * $a_1 };", r#"{"v":6}"#),
    ]);
}

#[test]
fn built_ins() {
    check(&[
        (
            "const m = new Map([['a', 1]]); m.set('b', 2); const s = new Set(m.keys()); return { v: [...m.values()], w: s.has('b'), x: m.size };",
            r#"{"v":[1,2],"w":true,"x":2}"#,
        ),
        (
            "return { v: 'a,b'.split(',').map((x, i) => x + i), w: [3, 1].sort((a, b) => a - b), x: [1, 2, 3].reduce((a, b) => a + b) };",
            r#"{"v":["a0","b1"],"w":[1,3],"x":6}"#,
        ),
        (
            "return { v: /(\\d+)-(?<n>\\w)/.exec('12-x').groups.n, w: 'aBc'.replace(/b/i, m => m + m), x: [...'a1b2'.matchAll(/\\d/g)].length };",
            r#"{"v":"x","w":"aBBc","x":2}"#,
        ),
        (
            "const a = [1, 2, 3, 4]; return { v: a.find(x => x > 2), w: a.flatMap(x => [x, x]).length, x: a.at(-1), y: a.toSorted((p, q) => q - p), z: Array.from({ length: 2 }, (_, i) => i) };",
            r#"{"v":3,"w":8,"x":4,"y":[4,3,2,1],"z":[0,1]}"#,
        ),
    ]);
}
