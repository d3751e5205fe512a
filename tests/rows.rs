//! Loops that run on the text of stored values give what the engine gives: the usual ones, generated ones, and all that
//! makes them leave the text. `SLOW=1` runs more generated ones.

use super::Pair;
use magpie_indexes::function::StoredReduced;
use magpie_store::json::{Json, parse_stored};

/// Generated scripts of one run.
const SCRIPTS: usize = 150;
/// Groups of values that each of them reduces.
const GROUPS: usize = 6;

/// What a loop may do at each turn.
const PARTS: [&str; 51] = [
    "sum += v.x;",
    "sum += v.n;",
    "count++;",
    "count += 2;",
    "if (v.x > max) max = v.x;",
    "if (min > v.x) { min = v.x; }",
    "max = Math.max(max, v.x);",
    "min = Math.min(v.n, min);",
    "if (v.ts > last.ts) last = v;",
    "last = v;",
    "if (v.ts >= last.ts) { last = v; all.push(last.x); }",
    "if (v.ok) all.push(v, v.x); else all.push(v.name);",
    "last = v.n > 1 ? v : last; sum += v.x;",
    "if (v.x === 1) { names['v'] = v; }",
    "if (v.n) { last = v; } for (const f of v.files) all.push(f);",
    "for (const l of v.links) if (l.n > 1) last = l;",
    "list[0] = v.x; if (v.x) last = v;",
    "for (const f of v.files) seen[f] = true;",
    "for (const f of v.files) { seen[f] = 7; }",
    "for (const f of v.files) set.add(f);",
    "for (const f of v.files) seen[f] = (seen[f] || 0) + 1;",
    "for (const l of v.links) links[l.k] = (links[l.k] || 0) + l.n;",
    "for (const l of v.links) links[l.k] = (links[l.k] ?? 5) + l.n;",
    "for (const l of v.links) { links[l.k] = l; }",
    "for (const l of v.links) all.push(l.k);",
    "for (const l of v.links) all.push(l);",
    "for (const l of v.links) { if (l.n === 2) continue; if (l.n === 3) break; all.push(l.n); }",
    "for (const l of v.links) for (const d of l.deep) seen[d] = null;",
    "for (const f of v.files) all.push(f);",
    "all.push(v.name);",
    "all.push({ name: v.name, x: v.x });",
    "all.push(v.links);",
    "if (v.x === null) continue;",
    "if (count > 5) break;",
    "names[v.name] = v.x;",
    "names[v.name] = (names[v.name] || 0) + v.n;",
    "const y = v.x * 2, z = `${v.name}:${v.n}`; sum += y; names[z] = y;",
    "all.push(v); v.x = 1;",
    "v.files.push('z');",
    "names[v.name.slice(0, 2)] = v.x;",
    "text += v.name + '/' + v.x + typeof v.n;",
    "g.values[0].x = 5; sum += v.x;",
    "sum += v.files.length;",
    "if (v.files) for (const f of v.files) text += f;",
    "first.x = 2; sum += v.x;",
    "names[v.name] = v.toString === undefined;",
    "if (!(v.ok && v.x >= 0)) count -= 1; else sum -= v.x % 3;",
    "sum += v['x'] ?? v.n ?? 0;",
    "for (const a of v.files) for (const b of v.files) seen[a + b] = true;",
    "for (const f of v.files) if (f) set.add(f);",
    "all.push(g.values.length); names['a'] = v.n;",
];

/// What a reduce may do without a loop of its own.
const CALLS: [&str; 20] = [
    "sum += g.values.reduce((s, v) => s + v.x, 0);",
    "for (const { x, name: key, gone } of g.values) { sum += x; names[key] = gone; }",
    "for (let { x, n } of g.values) { x += n; g.values[0].x = 4; all.push(x); if (all.length > 9) break; }",
    "for (const { files, n } of g.values) { files.push(n); all.push(files); }",
    "for (const v of g.values) for (const { k, n } of v.links) { links[k] = n; if (!n) v.links.pop(); }",
    "sum = g.values.reduceRight((s, v, i) => s + v.n * i, sum);",
    "g.values.forEach(v => { sum += v.x; seen[v.name] = true; });",
    "g.values.forEach((v, i) => { set.add(v.name); links[v.name] = i; });",
    "max = Math.max(...g.values.map(v => v.x));",
    "all.push(...g.values.map((v, i) => v.name + i));",
    "all.push(g.values.some(v => v.x > 3), g.values.every(v => v.n));",
    "all.push(...g.values.flatMap(v => v.files));",
    "all.push(...new Set(g.values.flatMap(v => v.files)));",
    "sum += g.values.map(v => v.n).reduce((a, b) => a + b, 0);",
    "all.push(g.values.reduce((a, v) => { a.n += v.n; a[v.name] = v.x; return a; }, { n: 0 }));",
    "all.push(g.values.reduce((a, v) => v.ts > a.ts ? v : a).name);",
    "last = g.values.reduce((a, v) => v.x > a.x ? v : a, last); last.x = 8;",
    "all.push(...g.values.map(v => v.ok ? v : v.name));",
    "all.push(...g.values.map(v => ({ x: v.x, f: v.files })));",
    "g.values.forEach(v => { if (v.x) return; all.push(v.links); });",
];

const BEFORE: &str = "let sum = 0, count = 0, max = -Infinity, min = Infinity, last = { ts: '' }, text = '';
    const seen = {}, links = {}, names = {}, set = new Set(), all = [];";
const AFTER: &str = "return { key: g.key, sum, count, max, min, last: last.ts, text, names, links, seen,
        keys: Object.keys(seen), set: [...set], all };";

/// A reduce with these statements.
fn reduce_of(statements: &str) -> Pair {
    let reduce = format!("groupBy(v => v.key).aggregate(g => {{ {BEFORE}\n{statements}\n{AFTER} }})");
    Pair::new(&["map('X', d => ({ key: 1 }))".to_owned()], Some(&reduce))
        .unwrap_or_else(|why| panic!("{statements}: {why}"))
}

/// Reduces stored values in both tiers; gives how many turns ran on text.
fn native_turns(pair: &mut Pair, values: &[&str]) -> u64 {
    let parsed: Vec<Json> = values
        .iter()
        .map(|text| parse_stored(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}")))
        .collect();
    let key = [Json::from(1_i64)];
    let texts: Vec<&[u8]> = values.iter().map(|text| text.as_bytes()).collect();
    let before = pair.compiled.native_turns();
    let [compiled, boa] = &mut pair.functions;
    let found = compiled.reduce_stored(&key, &texts).expect("it knows stored values");
    let expected = boa.reduce(&key, &parsed).map(|reduced| {
        let mut text = Vec::new();
        reduced.write_stored_to(&mut text);
        String::from_utf8(text).unwrap()
    });
    let found = found.map(|StoredReduced { text, .. }| String::from_utf8(text).unwrap());
    assert_eq!(found, expected, "{values:?}");
    pair.compiled.native_turns() - before
}

const PLAIN: [&str; 3] = [
    r#"{"x":3,"n":1.5,"ts":"2026-01-02","name":"ann","files":["a","b"],"links":[{"k":"a","n":2},{"k":"c","n":-1}]}"#,
    r#"{"x":5,"n":0.1,"ts":"2026-01-03","name":"bob","files":["b","c","d"],"links":[{"k":"c","n":1}]}"#,
    r#"{"x":-2,"n":7,"ts":"2026-01-01","name":"ann","files":[],"links":[]}"#,
];

#[test]
fn the_usual_loops_run_on_text() {
    for (statements, turns) in [
        ("for (const v of g.values) { sum += v.x; count++; }", 3),
        ("for (const v of g.values) { if (v.x > max) max = v.x; min = Math.min(min, v.n); }", 3),
        ("for (const v of g.values) for (const f of v.files) seen[f] = true;", 3 + 5),
        ("for (const v of g.values) for (const f of v.files) set.add(f);", 3 + 5),
        ("for (const v of g.values) for (const l of v.links) links[l.k] = (links[l.k] || 0) + l.n;", 3 + 3),
        ("for (const v of g.values) names[v.name] = (names[v.name] || 0) + v.x;", 3),
        ("for (const v of g.values) { sum += v.x; for (const f of v.files) seen[f] = true; }", 3 + 5),
        ("for (const v of g.values) all.push({ name: v.name.slice(0, 2), x: v.x });", 3),
        ("sum = g.values.reduce((s, v) => s + v.x, 0);", 3),
        ("g.values.forEach(v => { sum += v.x; count += 1; });", 3),
        ("max = Math.max(...g.values.map(v => v.x));", 3),
        ("for (const v of g.values) { sum += v.x; if (v.ts > last.ts) last = v; }", 3),
        (
            "for (const v of g.values) { if (v.ts > last.ts) last = v; text += last.ts + v.ts; all.push(v.n); }",
            3,
        ),
        ("last = g.values.reduce((a, v) => v.ts > a.ts ? v : a, last);", 3),
        ("for (const { x, name } of g.values) { const f = () => x; sum += f(); names[name] = x; }", 0),
        (
            "for (const { x, name } of g.values) { sum += x; g.values.push(1, 2); names[name] = x; if (count++ > 1) break; }",
            3,
        ),
        ("for (const { x, n: y } of g.values) { sum += x * y; }", 3),
        ("for (const v of g.values) for (const { k, n } of v.links) links[k] = n;", 3),
        // These need their elements.
        ("for (const v of g.values) last = v;", 0),
        ("for (const v of g.values) { last = v; last.x = 3; sum += v.x; }", 0),
        (
            "const list = g.values; for (const v of list) { list[0] = 5; sum += v.x; if (v.n > 1) last = v; }",
            0,
        ),
        (
            "const list = g.values; list.reduce((a, v) => { a[0] = 7; sum += v.x; if (v.n > 1) last = v; return a; }, list);",
            0,
        ),
        ("for (const v of g.values) v.x += 1;", 0),
        ("for (const v of g.values) all.push(v.files);", 0),
        ("for (let v of g.values) { v = { x: 1 }; sum += v.x; }", 0),
        ("for (const v of g.values) { const f = () => v.x; sum += f(); }", 0),
        (
            "const push = { push: x => { g.values[0].x = 9; } }; for (const v of g.values) { push.push(1); sum += v.x; }",
            0,
        ),
        ("for (const v of g.values) { g.values.push({ x: 1 }); sum += v.x; if (count++ > 2) break; }", 0),
        (
            "const list = g.values; for (const v of list) { list.push({ x: 1 }); sum += v.x; if (count++ > 2) break; }",
            0,
        ),
    ] {
        let mut pair = reduce_of(statements);
        assert_eq!(native_turns(&mut pair, &PLAIN), turns, "{statements}");
        assert_eq!(pair.handed_over(), (0, None), "{statements}");
    }
}

#[test]
fn what_does_not_fit_leaves_the_text() {
    let loops = [
        "for (const v of g.values) { sum += v.x; count++; }",
        "for (const v of g.values) { if (v.x > max) max = v.x; min = Math.min(min, v.x); }",
        "for (const v of g.values) for (const f of v.files) seen[f] = true;",
        "for (const v of g.values) for (const f of v.files) set.add(f);",
        "for (const v of g.values) { sum += v.x; for (const l of v.links) links[l.k] = (links[l.k] || 0) + l.n; }",
        "for (const v of g.values) for (const l of v.links) { links[l.k] = l.n; all.push(l.k); }",
        "sum = g.values.reduce((s, v) => s + v.x, 0);",
    ];
    let odd = [
        r#"{"x":null,"files":["a"],"links":[{"k":"a","n":1}]}"#,
        r#"{"x":"7","files":["a","a\n\"b","a"],"links":[{"k":"a\\","n":1}]}"#,
        r#"{"x":-0,"files":["é","😀","e\u0301"],"links":[{"k":"é","n":-0},{"k":"é","n":0}]}"#,
        r#"{"x":NaN,"files":["10","9","a","4294967294","4294967295","01"],"links":[{"k":"10","n":1},{"k":"9","n":1},{"k":"b","n":1}]}"#,
        r#"{"x":-Infinity,"files":["__proto__","constructor","toString"],"links":[{"k":"__proto__","n":1},{"k":"valueOf","n":1}]}"#,
        r#"{"x":1e300,"files":["","length"],"links":[{"k":"","n":12345678901234567890}]}"#,
        r#"{"x":123n,"files":["a",1,null,true,"b"],"links":[{"k":"a","n":5n}]}"#,
        r#"{"files":["a",["b"],"c"],"links":[{"n":1},{"k":"a"}]}"#,
        r#"{"x":{"y":1},"files":["a",{"b":1},"c"],"links":[{"k":{"a":1},"n":1}]}"#,
        r#"{"x":[1],"files":{"a":1},"links":{"k":1}}"#,
        r#"{"x":1,"files":"abc","links":"abc"}"#,
        r#"{"x":1,"files":null,"links":null}"#,
        r#"{"\u0078":4,"files":["a"],"links":[{"\u006b":"a","n":1}]}"#,
        r#"{"x":0.1,"files":["x"],"links":[{"k":"a","n":0.2,"more":[{"k":"no"}]},{"n":0.7,"k":"a"}],"y":1}"#,
        r#"{"links":[],"files":[],"x":true}"#,
        "{}",
    ];
    for statements in loops {
        let mut pair = reduce_of(statements);
        for value in odd {
            native_turns(&mut pair, &[value]);
            native_turns(&mut pair, &[PLAIN[0], value, PLAIN[1], value]);
        }
        native_turns(&mut pair, &odd);
        assert!(pair.compiled.native_turns() > 0, "{statements}");
    }
}

#[test]
fn one_name_very_often_and_very_many_names() {
    let same = format!(r#"{{"x":1,"files":[{}]}}"#, vec!["\"same\""; 10_000].join(","));
    let many: Vec<String> = (0..10_000).map(|name| format!("\"name-{name}\"")).collect();
    let many = format!(r#"{{"x":1,"files":[{}]}}"#, many.join(","));
    let marks = "for (const v of g.values) for (const f of v.files) seen[f] = true; count = Object.keys(seen).length;";
    let mut pair = reduce_of(marks);
    assert_eq!(native_turns(&mut pair, &[&same, &many, &same]), 3 + 30_000);
    assert_eq!(pair.handed_over(), (0, None));
    // Steps are counted on text too: what is far too much is the engine's, which stops it.
    let mut pair = reduce_of(&format!("for (let i = 0; i < 60; i++) {{ {marks} }}"));
    native_turns(&mut pair, &[&many, &many]);
    assert_eq!(pair.handed_over().1, Some("a call with too many steps"));
}

/// Numbers without a random source.
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }

    fn of<'t>(&mut self, texts: &[&'t str]) -> &'t str {
        texts[self.below(texts.len())]
    }

    /// Mostly one of the first three, else any.
    fn mostly<'t>(&mut self, texts: &[&'t str]) -> &'t str {
        let end = if self.below(8) == 0 { texts.len() } else { 3 };
        texts[self.below(end)]
    }
}

fn generated_value(draw: &mut Draw) -> String {
    const NUMBERS: [&str; 14] = [
        "1",
        "2.5",
        "-3",
        "0",
        "-0",
        "null",
        "\"4\"",
        "NaN",
        "1e21",
        "true",
        "7n",
        "{\"x\":1}",
        "[2]",
        "\"\"",
    ];
    const NAMES: [&str; 12] = [
        "\"a\"",
        "\"bc\"",
        "\"file-1\"",
        "\"10\"",
        "\"2\"",
        "\"é\"",
        "\"q\\\"\"",
        "\"constructor\"",
        "null",
        "3",
        "[]",
        "{}",
    ];
    let mut fields = Vec::new();
    for name in ["x", "n", "ok"] {
        fields.push(format!("\"{name}\":{}", draw.mostly(&NUMBERS)));
    }
    for name in ["name", "ts"] {
        fields.push(format!("\"{name}\":{}", draw.mostly(&NAMES)));
    }
    let files: Vec<&str> = (0..draw.below(5)).map(|_| draw.mostly(&NAMES)).collect();
    fields.push(format!("\"files\":[{}]", files.join(",")));
    let links: Vec<String> = (0..draw.below(4))
        .map(|_| {
            let (k, n, deep) = (draw.mostly(&NAMES), draw.mostly(&NUMBERS), draw.mostly(&NAMES));
            match draw.below(6) {
                0 => format!(r#"{{"n":{n},"deep":[{deep}],"k":{k}}}"#),
                1 => format!(r#"{{"n":{n}}}"#),
                2 => n.to_owned(),
                _ => format!(r#"{{"k":{k},"n":{n}}}"#),
            }
        })
        .collect();
    fields.push(format!("\"links\":[{}]", links.join(",")));
    for _ in 0..draw.below(3) / 2 {
        let gone = draw.below(fields.len());
        fields.remove(gone);
    }
    if draw.below(4) == 0 {
        let turn = draw.below(fields.len());
        fields.rotate_left(turn);
    }
    format!("{{{}}}", fields.join(","))
}

#[test]
fn generated_loops_give_the_same() {
    let slow = std::env::var_os("SLOW").is_some();
    let mut draw = Draw(42);
    let (mut native, mut calls) = (0, 0);
    for _ in 0..if slow { SCRIPTS * 40 } else { SCRIPTS } {
        // Half of them begin with an element that is an object already.
        let mut statements = draw
            .of(&["const first = g.values[0], list = [];", "const first = {}, list = g.values;"])
            .to_owned();
        for _ in 0..=draw.below(2) {
            if draw.below(4) == 0 {
                statements.push_str(draw.of(&CALLS));
                continue;
            }
            let parts: Vec<&str> = (0..=draw.below(3)).map(|_| draw.of(&PARTS)).collect();
            statements.push_str(&format!("for (const v of g.values) {{ {} }}\n", parts.join(" ")));
        }
        let reduce = format!("groupBy(v => v.key).aggregate(g => {{ {BEFORE}\n{statements}\n{AFTER} }})");
        // Two parts may declare the same name.
        let Ok(mut pair) = Pair::new(&["map('X', d => ({ key: 1 }))".to_owned()], Some(&reduce)) else {
            continue;
        };
        for _ in 0..GROUPS {
            let values: Vec<String> = (0..=draw.below(5)).map(|_| generated_value(&mut draw)).collect();
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            let turns = native_turns(&mut pair, &values);
            native += usize::from(turns > 0);
            calls += 1;
        }
    }
    assert!(native * 3 > calls, "only {native} of {calls} calls had turns on text");
}
