//! Scripts that try to run for ever, to exhaust memory, or to overflow the stack. Each must end in an error, quickly.

use super::{assert_error, document, map_error, output, refused, source_of, with_index};
use magpie_indexes::function::FunctionErrorKind::{self, Definition, Limit, Run};
use std::time::{Duration, Instant};

const STEPS: &str = "The maximum number of statements executed has been reached. You can configure it by modifying the \
                     configuration option: 'Indexing.MaxStepsForScript'.";

#[test]
fn runaway_loops_stop() {
    for body in [
        "while (true) {}",
        "for (;;) ;",
        "do ; while (1)",
        "const f = () => { for (let i = 0; i < 900000; i++) ; }; for (let i = 0; i < 900000; i++) f();",
        "const a = Array(1000).fill(0); a.forEach(() => a.forEach(() => a.forEach(() => 0)));",
        "const a = Array(900).fill(0); for (;;) a.map(Number);",
        "const a = Array(1000).fill(1); a.sort(() => a.sort(() => a.sort(() => 1)));",
        "try { while (true) {} } catch (e) { } finally { while (true) {} }",
        "const o = { get x() { return this.x2 + 1; }, get x2() { let s = 0; while (true) s++; } }; o.x;",
        "const o = { [Symbol.iterator]() { return { next: () => ({ done: false }) }; } }; for (const x of o) ;",
        "const o = { [Symbol.iterator]() { return { next: () => ({ done: false, value: 1 }) }; } }; [...o];",
        "const o = { [Symbol.iterator]() { return { next: () => ({ done: false, value: 1 }) }; } }; Array.from(o);",
        "const o = { [Symbol.iterator]() { return { next: () => ({ done: false, value: 1 }) }; } }; const [...x] = o;",
        "const s = 'x'.repeat(100000); for (;;) s.toUpperCase();",
        "const m = new Map(); for (let i = 0; ; i++) m.set(i, i);",
        "const m = new Set([1]); m.forEach(x => { m.delete(x); m.add(x + 1); });",
        "JSON.stringify({ toJSON() { while (true) {} } });",
        "'aaa'.replace(/a/g, () => { while (true) {} });",
    ] {
        let started = Instant::now();
        let error = map_error(&format!("map('Things', d => {{ {body} return {{ v: 1 }}; }})"), "{}");
        assert_error(&error, Limit, STEPS);
        assert!(started.elapsed() < Duration::from_secs(10), "{body}: {:?}", started.elapsed());
    }
}

#[test]
fn runaway_recursion_stops() {
    for body in [
        "const f = n => 1 + f(n + 1); f(0);",
        "function f() { return g(); } function g() { return f(); } f();",
        "const f = () => [1].map(f); f();",
        "const o = { get x() { return this.x; } }; o.x;",
        "const f = () => [2, 1].sort(f); f();",
        "const f = () => 'a'.replace('a', f); f();",
        "class A { constructor() { new A(); } } new A();",
        "const f = () => f.apply(null, []); f();",
        "const f = () => Reflect.apply(f, null, []); f();",
        "const o = { toJSON() { return JSON.stringify(this); } }; JSON.stringify(o);",
        "function f(x = f()) { } f();",
        "const f = (s) => f`a`; f`b`;",
    ] {
        let error = map_error(&format!("map('Things', d => {{ {body} return {{ v: 1 }}; }})"), "{}");
        assert_error(&error, Limit, "");
    }
    // Recursion within bounds works.
    let map = "function f(n) { return n === 0 ? 0 : 1 + f(n - 1); } map('Things', d => ({ v: f(60) }))";
    assert_eq!(output(map, "{}"), r#"{"v":60}"#);
    let error = map_error(&map.replace("60", "500"), "{}");
    assert_error(&error, Limit, "The recursion is forbidden by script host.");
}

#[test]
fn huge_allocations_are_refused() {
    for body in [
        "'x'.repeat(2 ** 29);",
        "'x'.repeat(2 ** 31 - 1);",
        "'x'.padStart(2 ** 30);",
        "'x'.padEnd(2 ** 30, 'ab');",
        "new Array(4294967295).join('xx');",
        "new Array(1e9).fill(0);",
        "Array.from({ length: 1e9 });",
        "Array.prototype.map.call({ length: 1e15 }, x => x);",
        "Array.prototype.join.call({ length: 1e9 });",
        "[...new Array(1e9)];",
        "Math.max(...new Array(1e9));",
        "Math.max.apply(null, { length: 1e9 });",
        "Reflect.apply(Math.max, null, { length: 1e9 });",
        "const [...rest] = new Array(1e9);",
        "let s = 'x'; for (let i = 0; i < 60; i++) s += s; ",
        "let s = 'x'; for (let i = 0; i < 60; i++) s = s + s; ",
        "let s = 'x'; for (let i = 0; i < 60; i++) s = `${s}${s}`;",
        "let s = 'x'; for (let i = 0; i < 60; i++) s = s.concat(s);",
        "let s = 'x'; for (let i = 0; i < 60; i++) s = [s, s].join('');",
        "let s = 'xx'; for (let i = 0; i < 60; i++) s = s.replaceAll('x', s);",
        "let s = 'xx'; for (let i = 0; i < 60; i++) s = s.replace(/x/g, () => s);",
        "let s = 'xx'; for (let i = 0; i < 60; i++) s = s.replace(/x/g, '$&$&$&$&');",
        "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25].reduce(s => s + s, 'abcd');",
        "let a = [1]; for (let i = 0; i < 60; i++) a = a.concat(a);",
        "let a = [1]; for (let i = 0; i < 60; i++) a.push(...a);",
        "let a = [1]; for (let i = 0; i < 60; i++) a = [...a, ...a];",
        "let a = [1, 2]; for (let i = 0; i < 60; i++) a = a.flatMap(() => a);",
        "let a = Array(1000).fill(1); a = Array(1000).fill(a); a = Array(1000).fill(a); a.flat(3);",
        "let a = [1]; for (let i = 0; i < 60; i++) a = [a, a]; JSON.stringify(a);",
        "let a = [1]; for (let i = 0; i < 60; i++) a = [a, a]; '' + a;",
        "let a = []; for (let i = 0; i < 20000; i++) a = [a]; JSON.stringify(a);",
        "let a = []; for (let i = 0; i < 20000; i++) a = [a]; '' + a;",
        "let a = []; for (let i = 0; i < 20000; i++) a = [a]; a.flat(Infinity);",
        "let o = {}; for (let i = 0; i < 200000; i++) o = Object.create(o); o.nothing;",
        "function F() { } for (let i = 0; i < 200000; i++) F.prototype = new F(); new F().nothing;",
        "let C = class { }; for (let i = 0; i < 20000; i++) C = class extends C { }; new C();",
        "let o = {}; for (let i = 0; i < 20000; i++) { const p = {}; Object.setPrototypeOf(p, o); o = p; } o.nothing;",
        "let f = () => 1; for (let i = 0; i < 20000; i++) f = f.bind(null); f();",
        "String.raw({ raw: { length: 1e9 } });",
    ] {
        let started = Instant::now();
        let error = map_error(&format!("map('Things', d => {{ {body} return {{ v: 1 }}; }})"), "{}");
        assert_error(&error, Limit, "");
        assert!(started.elapsed() < Duration::from_secs(10), "{body}: {:?}", started.elapsed());
    }
}

#[test]
fn large_but_allowed_structures_do_not_overflow_the_stack() {
    for body in [
        "let o = {}; for (let i = 0; i < 100000; i++) o = { o };",
        "let f = () => 1; for (let i = 0; i < 10000; i++) { const g = f; f = () => g; }",
        "const m = new Map(); let k = {}; for (let i = 0; i < 50000; i++) { m.set(k, k = { k }); }",
    ] {
        assert_eq!(
            output(&format!("map('Things', d => {{ {body} return {{ v: 1 }}; }})"), "{}"),
            r#"{"v":1}"#
        );
    }
}

#[test]
fn dangerous_regular_expressions_are_refused() {
    for literal in ["/^(a+)+$/", "/(a*)*b/", "/(x|xx)*y/", "/(.*,)*z/", "/(a{1,9})+b/"] {
        let error = refused(&[&format!("map('Things', d => ({{\n v: {literal}.test(d.s) }}))")], None);
        assert_error(&error, Definition, "exponential time");
        assert_eq!(error.position.unwrap().line, 2);
    }
    for expression in [
        "new RegExp('^(a+)+$').test(d.s)",
        "RegExp(d.p).test(d.s)",
        "d.s.match('(a+)+b')",
        "d.s.search('(a+)+b')",
        "[...d.s.matchAll('(a+)+b')]",
        "new (/x/.constructor)('(a+)+b').test(d.s)",
        "Reflect.construct(RegExp, ['(a+)+b']).test(d.s)",
    ] {
        let error = map_error(
            &format!("map('Things', d => ({{ v: {expression} }}))"),
            r#"{"s":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac","p":"(a+)+b"}"#,
        );
        assert_error(&error, Run, "exponential time");
    }
}

/// Source text nested in many shapes at growing depth: refused or accepted, never a crash.
#[test]
fn deep_source_is_refused_in_every_shape() {
    type Shape = fn(usize) -> String;
    let shapes: [(&str, Shape); 24] = [
        ("parentheses", |n| format!("{}1{}", "(".repeat(n), ")".repeat(n))),
        ("arrays", |n| format!("{}{}", "[".repeat(n), "]".repeat(n))),
        ("objects", |n| format!("({}1{})", "{a:".repeat(n), "}".repeat(n))),
        ("functions", |n| format!("{}1{}", "(function(){return ".repeat(n), "})".repeat(n))),
        ("arrows", |n| format!("{}1", "x=>".repeat(n))),
        ("arrow blocks", |n| format!("{}1{}", "x=>{return ".repeat(n), "}".repeat(n))),
        ("conditions", |n| format!("{}1", "1?2:".repeat(n))),
        ("unary minus", |n| format!("{}1", "- ".repeat(n))),
        ("not", |n| format!("{}1", "!".repeat(n))),
        ("typeof", |n| format!("{}1", "typeof ".repeat(n))),
        ("sums", |n| format!("{}1", "1+".repeat(n))),
        ("powers", |n| format!("{}1", "1**".repeat(n))),
        ("commas", |n| format!("({}1)", "1,".repeat(n))),
        ("coalescing", |n| format!("{}1", "1??".repeat(n))),
        ("members", |n| format!("x{}", ".x".repeat(n))),
        ("calls", |n| format!("x{}", "()".repeat(n))),
        ("indexes", |n| format!("x{}", "[0]".repeat(n))),
        ("optional chains", |n| format!("x{}", "?.x".repeat(n))),
        ("templates", |n| format!("{}1{}", "`${".repeat(n), "}`".repeat(n))),
        ("tags", |n| format!("x{}", "`a`".repeat(n))),
        ("new", |n| format!("{}X", "new ".repeat(n))),
        ("assignments", |n| format!("(function(){{var x;return {}1}})", "x=".repeat(n))),
        ("classes", |n| format!("{}1{}", "(class{a(){return ".repeat(n), "}})".repeat(n))),
        ("patterns", |n| format!("(({}a{})=>1)", "[".repeat(n), "]".repeat(n))),
    ];
    let statements: [(&str, Shape); 9] = [
        ("blocks", |n| format!("{}{}", "{".repeat(n), "}".repeat(n))),
        ("if", |n| format!("{};", "if(0)".repeat(n))),
        ("else if", |n| format!("{};", "if(0);else ".repeat(n))),
        ("else if blocks", |n| format!("{}{{}}", "if(0){}else ".repeat(n))),
        ("for", |n| format!("{};", "for(;0;)".repeat(n))),
        ("while", |n| format!("{};", "while(0)\n".repeat(n))),
        ("do", |n| format!("{};{}", "do ".repeat(n), "while(0);".repeat(n))),
        ("labels", |n| format!("{};", (0..n).map(|i| format!("l{i}:")).collect::<String>())),
        ("declarations", |n| format!("var x=1{};", ",y=x".repeat(n))),
    ];
    for exponent in 1..=14 {
        let depth = 1_usize << exponent;
        let expressions = shapes
            .iter()
            .map(|(name, shape)| (*name, format!("map('Things', d => ({{ v: {} }}))", shape(depth))));
        let blocks = statements.iter().map(|(name, shape)| {
            (*name, format!("map('Things', d => {{ {} return {{ v: 1 }}; }})", shape(depth)))
        });
        for (name, script) in expressions.chain(blocks) {
            match source_of(&[&script], None) {
                Ok(_) => assert!(depth <= 512, "{name} {depth}"),
                Err(error) => assert!(
                    depth >= 32 && matches!(error.kind, Limit | FunctionErrorKind::Compile)
                        || error.kind == Definition,
                    "{name} {depth}: {error}"
                ),
            }
        }
    }
}

#[test]
fn long_flat_scripts_are_fine() {
    let table: Vec<String> = (0..5000).map(|n| format!("k{n}: [{n}, 'x']")).collect();
    let statements = "s += 1\n".repeat(3000);
    let cases: String = (0..500).map(|n| format!("case {n}: case 'a{n}': s++; break\n")).collect();
    let ifs = "if (s > 1e9) { s = 0 }\n".repeat(600);
    let map = format!(
        "const TABLE = {{ {} }}\nmap('Things', d => {{ let s = 0\n{statements} switch (d.n) {{ {cases} }} {ifs} return {{ s, v: TABLE.k77[0] }} }})",
        table.join(", ")
    );
    assert_eq!(output(&map, r#"{"n":7}"#), r#"{"s":3001,"v":77}"#);
}

#[test]
fn too_large_scripts_are_refused() {
    let error = refused(&[&format!("map('Things', d => ({{ v: '{}' }}))", "x".repeat(1024 * 1024))], None);
    assert_error(&error, Limit, "1048576");
}

#[test]
fn an_index_works_on_after_a_stopped_call() {
    let map = "map('Things', d => { if (d.bad === 1) while (true) {} if (d.bad === 2) { const f = () => f(); f(); } if (d.bad === 3) throw 1; return { v: d.v }; })";
    with_index(&[map], None, |index| {
        for round in 0..3 {
            for bad in [1, 2, 3] {
                assert!(
                    index
                        .map(&document("t/1", &format!("{{\"bad\":{bad}}}")), &mut magpie_indexes::NoLoads)
                        .is_err()
                );
                let good = index
                    .map(&document("t/2", &format!("{{\"v\":{round}}}")), &mut magpie_indexes::NoLoads)
                    .unwrap();
                assert_eq!(good[0].value.to_string(), format!("{{\"v\":{round}}}"));
            }
        }
    });
}

#[test]
fn reserved_names_cannot_reach_the_counters() {
    for script in [
        "map('Things', d => { __magpie_step = 1; return {}; })",
        "map('Things', d => { const __magpie_step = () => 1; while (true) ; })",
        "map('Things', __magpie_step => ({}))",
        "function __magpie_text() { } map('Things', d => ({}))",
        "map('Things', ({ a: __magpie_x }) => ({}))",
        "class __magpie_c { } map('Things', d => ({}))",
    ] {
        assert_error(&refused(&[script], None), Definition, "");
    }
    assert_eq!(output("map('Things', d => ({ v: __magpie_step }))", "{}"), r#"{"v":null}"#);
}
