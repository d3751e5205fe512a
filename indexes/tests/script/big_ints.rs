//! BigInts: arithmetic, conversions both ways, as keys, and what bounds them.

use super::{assert_error, at, document, json, map_error, map_one, output, refused, source_of, with_index};
use magpie_indexes::FunctionSource;
use magpie_indexes::function::FunctionErrorKind::{Definition, Limit, Run};
use magpie_store::json::{BigInt, Json, ScriptNumber};

const TOO_LARGE: &str = "script_big_int_bits_max";

fn big(text: &str) -> Json {
    Json::from(text.parse::<BigInt>().unwrap())
}

/// The value of an expression, with `n` behind a BigInt.
fn value(expression: &str) -> String {
    let emitted =
        map_one(&format!("map('Things', d => {{ const two = 2n; return {{ v: {expression} }}; }})"), "{}")
            .unwrap_or_else(|error| panic!("{expression}: {error}"));
    match emitted[0].value.get("v") {
        Some(number) if number.as_big_int().is_some() => format!("{number}n").replace('"', ""),
        Some(other) => other.to_string(),
        None => "missing".to_owned(),
    }
}

#[test]
fn arithmetic_is_exact() {
    let table = [
        ("123n", "123n"),
        ("0x1Fn", "31n"),
        ("0b101n + 0o7n", "12n"),
        ("1_000n", "1000n"),
        ("9007199254740993n + 2n", "9007199254740995n"),
        ("18446744073709551615n * 18446744073709551615n", "340282366920938463426481119284349108225n"),
        ("-7n / 2n", "-3n"),
        ("-7n % 2n", "-1n"),
        ("2n ** 100n", "1267650600228229401496703205376n"),
        ("-(2n ** 3n)", "-8n"),
        ("(-2n) ** 3n", "-8n"),
        ("two ** two ** two", "16n"),
        ("1n << 70n", "1180591620717411303424n"),
        ("1n << -1n", "0n"),
        ("0n << 99999999999999999999n", "0n"),
        ("-5n >> 1n", "-3n"),
        ("5n >> 99999999999999999999n", "0n"),
        ("5n & 6n | 8n ^ 1n", "13n"),
        ("~5n", "-6n"),
        (
            "(() => { let a = 5n; a++; ++a; a--; a += 4n; a -= 1n; a *= 3n; a /= 2n; a %= 8n; return a; })()",
            "5n",
        ),
        ("(() => { let a = 3n; a **= 3n; a <<= 2n; a >>= 1n; return a; })()", "54n"),
        (
            "(() => { const o = { a: [3n] }; let n = 0; o.a[n++] **= 3n; o.a[0] <<= two; return [o.a[0], n]; })()",
            "[\"108\",1]",
        ),
        (
            "(() => { class C { #x = 2n; go() { this.#x **= 5n; return this.#x; } } return new C().go(); })()",
            "32n",
        ),
        ("(() => { let a = 2; a **= 3; a <<= 1; return a; })()", "16"),
        ("2 ** 10", "1024"),
        ("BigInt(5) + BigInt('12345678901234567890') + BigInt(true)", "12345678901234567896n"),
        ("BigInt('0xff')", "255n"),
        ("BigInt('')", "0n"),
        ("BigInt.asUintN(8, 257n)", "1n"),
        ("BigInt.asUintN(8, -1n)", "255n"),
        ("BigInt.asIntN(8, 255n)", "-1n"),
        ("BigInt.asIntN(8, 127n)", "127n"),
        ("BigInt.asIntN(0, 5n)", "0n"),
        ("typeof 1n", "\"bigint\""),
        ("typeof BigInt", "\"function\""),
        ("Number(2n ** 53n) + 1", "9007199254740992"),
        ("String(12n) + `${13n}` + 14n", "\"121314\""),
        ("(255n).toString(16)", "\"ff\""),
        ("1n.constructor === BigInt", "true"),
        ("two == 2 && 2 == two && two == '2' && two !== 2", "true"),
        ("two < 3 && two <= '2' && 1.5 < two && '10' > two && two != 3n", "true"),
        ("two == null || two == undefined || null == two", "false"),
        ("({}) == ({})", "false"),
        ("(a => a == a)({})", "true"),
        ("({ valueOf: () => 2n }) == two && ({ valueOf: () => 3n }) > two", "true"),
        ("new Date(5) < new Date(6)", "true"),
        ("'b' > 'a' && 'B' != 'a'", "true"),
        ("NaN == NaN || two < NaN", "false"),
    ];
    for (expression, expected) in table {
        assert_eq!(value(expression), expected, "{expression}");
    }
}

#[test]
fn big_ints_are_values_like_others() {
    let table = [
        ("0n ? 1 : 2", "2"),
        ("0n || two", "2n"),
        ("[3n, 1n, 2].sort((a, b) => a < b ? -1 : 1).join()", "\"1,2,3\""),
        ("[10n, 9n].sort()", "[\"10\",\"9\"]"),
        ("({ 1n: 5 })['1']", "5"),
        ("(({ 2n: x }) => x)({ 2: 7 })", "7"),
        ("JSON.stringify({ a: String(1n) })", "\"{\\\"a\\\":\\\"1\\\"}\""),
        ("tryConvertToNumber(5n)", "5n"),
        ("[1n, 2n].reduce((a, b) => a + b, 0n)", "3n"),
        ("1n / 3n * 3n - 1n", "-1n"),
        ("1n - 2n - 3n", "-4n"),
        ("100n / (5n / 2n)", "50n"),
        ("globalThis.BigInt(7)", "7n"),
    ];
    for (expression, expected) in table {
        assert_eq!(value(expression), expected, "{expression}");
    }
}

#[test]
fn what_does_not_mix_is_an_error_with_its_place() {
    for (expression, part) in [
        ("1n + d.n", "cannot mix BigInt and other types, use explicit conversions: BigInt(x ?? 0)"),
        ("1n + d.nul", "cannot mix BigInt"),
        ("1n + d.missing", "cannot mix BigInt"),
        ("d.n * 1n", "cannot mix BigInt"),
        ("+1n", "TypeError"),
        ("Math.max(1n)", "TypeError"),
        ("BigInt(d.missing)", "TypeError"),
        ("BigInt(d.nul)", "TypeError"),
        ("BigInt(1.5)", "RangeError"),
        ("BigInt('x')", "SyntaxError"),
        ("new BigInt(1)", "TypeError"),
        ("1n / 0n", "RangeError"),
        ("2n ** -1n", "RangeError"),
        ("1n >>> 0n", "TypeError"),
        ("JSON.stringify(1n)", "TypeError"),
    ] {
        let error =
            map_error(&format!("map('Things', d => ({{ v: {expression} }}))"), r#"{"n":1,"nul":null}"#);
        assert_error(&error, Run, part);
    }
    let map = "map('Things', d => {\n  const total = 1n;\n  return { v: total + d.n };\n})";
    let error = map_error(map, r#"{"n":1}"#);
    assert_eq!(error.position, at(3, 15), "{error}");
    assert_eq!(output("map('Things', d => ({ v: BigInt(d.n ?? 0) + 1n }))", "{}"), r#"{"v":"1"}"#);
}

#[test]
fn sums_beyond_64_bits_survive_reducing_again() {
    let map = "map('Things', d => ({ k: 1, n: BigInt(d.n) }))";
    let reduce =
        "groupBy(x => x.k).aggregate(g => ({ k: g.key, n: g.values.reduce((s, v) => s + v.n, 0n) }))";
    with_index(&[map], Some(reduce), |index| {
        let body = r#"{"n":"170141183460469231731687303715884105727"}"#;
        let one = index.map(&document("t/1", body), &mut magpie_indexes::NoLoads).unwrap()[0].value.clone();
        let two = index.reduce(&[json("1")], &[one.clone(), one.clone()]).unwrap();
        let four = index.reduce(&[json("1")], &[two.clone(), two.clone()]).unwrap();
        assert_eq!(four.get("n").unwrap(), &big("680564733841876926926749214863536422908"));
        assert_eq!(
            index.reduce(&[json("1")], &[one, two.clone(), two]).unwrap().get("n").unwrap(),
            &big("850705917302346158658436518579420528635")
        );
    });
}

#[test]
fn a_big_int_is_a_key() {
    let map = "map('Things', d => ({ k: BigInt(d.k), deep: { k: 5n } }))";
    let reduce = "groupBy(x => x.k).aggregate(g => ({ k: g.key, next: g.key + 1n }))";
    with_index(&[map], Some(reduce), |index| {
        let emitted = index
            .map(&document("t/1", r#"{"k":"36893488147419103232"}"#), &mut magpie_indexes::NoLoads)
            .unwrap();
        assert_eq!(emitted[0].key, [big("36893488147419103232")]);
        let reduced = index.reduce(&emitted[0].key, &[emitted[0].value.clone()]).unwrap();
        assert_eq!(reduced.get("next").unwrap(), &big("36893488147419103233"));
    });
    let composite = "groupBy(x => ({ a: x.a, k: x.deep.k })).aggregate(g => ({ a: 1, s: g.key.k * 2n }))";
    let map = "map('Things', d => ({ a: 1, deep: { k: 5n } }))";
    with_index(&[map], Some(composite), |index| {
        let emitted = index.map(&document("t/1", "{}"), &mut magpie_indexes::NoLoads).unwrap();
        assert_eq!(emitted[0].key, [json("1"), big("5")]);
        assert_eq!(index.reduce(&emitted[0].key, &[json("{}")]).unwrap().get("s").unwrap(), &big("10"));
    });
}

#[test]
fn nan_and_the_infinities_are_reduced_again_as_themselves() {
    let map = "map('Things', d => ({ k: 1, n: d.n / d.m, m: 0 * d.sign }))";
    let reduce = "groupBy(x => x.k).aggregate(g => ({ k: g.key, n: g.values.reduce((s, v) => s + v.n, 0), \
                  t: typeof g.values[0].n, i: 1 / g.values[0].m }))";
    with_index(&[map], Some(reduce), |index| {
        let mut of = |body: &str| {
            index.map(&document("t/1", body), &mut magpie_indexes::NoLoads).unwrap()[0].value.clone()
        };
        let (nan, up, minus) =
            (of(r#"{"n":0,"m":0}"#), of(r#"{"n":1,"m":0}"#), of(r#"{"n":-1,"m":0,"sign":-1}"#));
        assert_eq!(nan.get("n"), Some(&Json::ScriptNumber(ScriptNumber::NaN)));
        assert_eq!(minus.get("m").unwrap().to_string(), "-0");
        for (values, n) in [
            (vec![nan.clone(), of(r#"{"n":1,"m":1}"#)], ScriptNumber::NaN),
            (vec![up.clone(), up.clone()], ScriptNumber::Infinity),
            (vec![minus.clone()], ScriptNumber::NegativeInfinity),
            (vec![up.clone(), minus.clone()], ScriptNumber::NaN),
        ] {
            let once = index.reduce(&[json("1")], &values).unwrap();
            assert_eq!(once.get("n"), Some(&Json::ScriptNumber(n.clone())), "{values:?}");
            assert_eq!(once.get("t").unwrap().to_string(), "\"number\"");
            let again = index.reduce(&[json("1")], &[once]).unwrap();
            assert_eq!(again.get("n"), Some(&Json::ScriptNumber(n)), "{values:?}");
        }
        let reduced = index.reduce(&[json("1")], &[minus]).unwrap();
        assert_eq!(reduced.get("i"), Some(&Json::ScriptNumber(ScriptNumber::NegativeInfinity)));
    });
}

#[test]
fn runaway_big_ints_stop() {
    for body in [
        "2n ** 1000000000n;",
        "2n ** 999999999999999999999n;",
        "let a = 2n; a **= 1000000n;",
        "const o = { a: 2n }; o.a **= 1000000n;",
        "const o = { a: 2n }; o['a'] <<= 1000000n;",
        "1n << 1000000000n;",
        "let a = 1n; a <<= 5000n;",
        "1n >> -1000000000n;",
        "1n << 99999999999999999999n;",
        "let a = 3n; for (;;) a = a * a;",
        "let a = 3n; for (;;) a *= a;",
        "let a = 3n; for (;;) a = a ** 2n;",
        "let a = 3n; for (;;) a = a + a;",
        "let a = 3n; for (;;) a += a;",
        "let a = 3n; for (;;) a = a - -a;",
        "let a = 3n; for (;;) a -= -a;",
        "let a = 3n; const f = x => x * x; for (;;) a = f(a);",
        "const o = { a: 3n }; for (;;) o.a *= o.a;",
        "const f = (x = 3n ** 2000n * 3n ** 2000n) => x; f();",
        "class C { x = 3n ** 2000n * 3n ** 2000n; } new C();",
        "[1n].reduce((a, b) => a, 1n); Array(5000).fill(2n).reduce((a, b) => a * b, 1n);",
        "BigInt('9'.repeat(2000));",
        "BigInt(d.s);",
        "BigInt({ valueOf: () => '9'.repeat(500000) });",
        "BigInt.asUintN(1000000000, 5n);",
        "BigInt.asIntN(8, '9'.repeat(900000));",
        "1n == '9'.repeat(900000);",
        "'9'.repeat(900000) > 1n;",
        "const s = '9'.repeat(900000); [s] == 1n;",
        "const s = '9'.repeat(900000); ({ valueOf: () => 1n }) < ({ toString: () => s });",
        "const a = 2n ** 4000n; Array(900000).fill(a).join();",
        "const a = 2n ** 4000n; Array(100000).fill(a).sort();",
        "const a = 2n ** 4000n; for (;;) String(a) + `${a}` + a.toString();",
        "const a = 2n ** 4000n; for (;;) a % (a - 1n);",
        "const s = '9'.repeat(5000); for (;;) 1n == s;",
    ] {
        let text = "9".repeat(100_000);
        let error = map_error(
            &format!("map('Things', d => {{ {body} return {{ v: 1 }}; }})"),
            &format!("{{\"s\":\"{text}\"}}"),
        );
        assert_error(&error, Limit, "");
    }
    for expression in ["2n ** 4096n", "1n << 4096n", "2n ** 4095n * 2n", "BigInt('1' + '0'.repeat(1240))"] {
        assert_error(
            &map_error(&format!("map('Things', d => ({{ v: {expression} }}))"), "{}"),
            Limit,
            TOO_LARGE,
        );
    }
    // The largest ones, and steps that many small ones take.
    assert_eq!(
        output("map('Things', d => ({ v: String(2n ** 4095n - 1n + 2n ** 4095n).length }))", "{}"),
        r#"{"v":1234}"#
    );
    assert_eq!(
        output(
            "map('Things', d => { let s = 0n; for (let i = 0n; i < 100000n; i++) s += i * i; return { s }; })",
            "{}"
        ),
        r#"{"s":"333328333350000"}"#
    );
}

#[test]
fn literals_that_are_too_large_are_refused() {
    let error = refused(&[&format!("map('Things', d => ({{\n v: {}n }}))", "9".repeat(1300))], None);
    assert_error(&error, Definition, TOO_LARGE);
    assert_eq!(error.position, at(2, 5));
    let error = refused(&[&format!("map('Things', d => ({{ v: {}n }}))", "9".repeat(1_000_000))], None);
    assert_error(&error, Definition, TOO_LARGE);
}

#[test]
fn scripts_without_big_ints_have_none() {
    let map = "map('Things', d => ({ v: globalThis['Big' + 'Int'] === undefined }))";
    assert_eq!(output(map, "{}"), r#"{"v":true}"#);
    assert_eq!(output("map('Things', d => ({ v: globalThis['BigInt'](1) }))", "{}"), r#"{"v":"1"}"#);
}

#[test]
fn literals_stay_in_the_canonical_text() {
    let canonical = |map: &str| source_of(&[map], None).unwrap().canonical_text().to_owned();
    let plain = canonical("map('Things', d => ({ a: 1n + 0xFn, 2n: 3n }))");
    assert_eq!(canonical("map('Things', d=>({a:1n+0xFn,2n:3n}))"), plain);
    assert_ne!(canonical("map('Things', d => ({ a: 1 + 0xFn, 2n: 3n }))"), plain);
}

#[test]
fn outputs_cannot_be_changed_through_prototypes() {
    for leak in [
        "BigInt.prototype.leak = 1; return { n: 1n.leak };",
        "BigInt.leak = (BigInt.leak || 0) + 1; return { n: BigInt.leak };",
        "Object.getPrototypeOf(Object(1n)).toString = () => 'x'; return { n: `${1n}` };",
    ] {
        let map = format!("map('Things', d => {{ {leak} }})");
        let texts: Vec<String> = with_index(&[&map], None, |index| {
            (0..2)
                .map(|_| match index.map(&document("t/1", "{}"), &mut magpie_indexes::NoLoads) {
                    Ok(emitted) => emitted[0].value.to_string(),
                    Err(error) => error.to_string(),
                })
                .collect()
        });
        assert_eq!(texts[0], texts[1], "{leak}");
    }
}
