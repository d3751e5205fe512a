//! What the compiled tier has beyond plain maps and reduces: BigInts, exact numbers, finalize, loaded documents.

use super::{Library, Pair, document, value};
use magpie_indexes::definition::Numbers;
use magpie_store::json::Json;
use magpie_store::{Document, DocumentId};
use std::sync::Arc;

/// Expressions with BigInts; `d.n` is a number, `d.t` a text, `d.h` a large whole number.
const BIG_INTS: [&str; 40] = [
    "1n + 2n",
    "170141183460469231731687303715884105727n + 1n",
    "-170141183460469231731687303715884105728n - 1n",
    "-(-170141183460469231731687303715884105728n)",
    "(2n ** 200n) / 3n",
    "(-7n) / 2n + (-7n) % 2n",
    "0n ** 0n + (-1n) ** 999999999n",
    "1n << 100n",
    "-5n >> 1n",
    "-1n >> 4000n",
    "(1n << 200n) >> 199n",
    "5n >> -3n",
    "(-5n) & 0xffn",
    "(-5n) | 3n",
    "(1n << 130n) ^ -1n",
    "~(1n << 130n)",
    "BigInt(d.n) * 3n",
    "BigInt('12345678901234567890') + 1n",
    "BigInt(true) + BigInt(d.n)",
    "BigInt(2 ** 60)",
    "BigInt(1e21)",
    "BigInt(d.t)",
    "BigInt.asIntN(8, 200n)",
    "BigInt.asUintN(64, -1n)",
    "BigInt.asIntN(3, 25n) + BigInt.asUintN(200, -1n)",
    "Number(2n ** 64n) + Number(-(2n ** 80n) - 1n)",
    "Number('5') + Number(9007199254740993n)",
    "`${1n << 70n}|${-3n}` + 5n + 'x'",
    "(255n).toString(16) + (-(1n << 90n)).toString(36) + (5n).toString()",
    "[typeof 1n, 1n == 1, 1n === 1, 1n < 2, 2n > 1.5, 0n ? 1 : 2, 1n == '1', 1n < '2', '10' > 9n, 2n == true, 1n != 1]",
    "[10n, 9n, 1n, 100n].sort()",
    "[10n, 9, 1n, 1e3].sort((a, b) => a < b ? -1 : 1)",
    "({ [5n]: 1, [`${6n}`]: 2 })",
    "[1, 2, 3][1n]",
    "new Map([[1n, 'a']]).get(1n) + new Set([1n, 1n, 2n]).size",
    "(() => { let x = 1n; x++; x += 5n; x *= 3n; x **= 2n; x <<= 1n; return [x--, --x] })()",
    "[1n, 2n, 3n].reduce((s, x) => s + x, 0n)",
    "[d.h, typeof d.h, d.deep.h, d.n + 1, typeof d.n]",
    "[1n, 2n].includes(2n) && [1n, 2n].indexOf(2n)",
    "tryConvertToNumber(5n)",
];

const BODY: &str =
    r#"{"n":7,"t":"-42","h":123456789012345678901234567890,"deep":{"h":9007199254740993,"x":null}}"#;

#[test]
fn big_ints() {
    for numbers in [Numbers::Double, Numbers::Exact] {
        for expression in BIG_INTS {
            let script = format!("map('X', d => ({{ r: {expression}, one: 1n }}))");
            let mut pair =
                Pair::of(&[script], None, None, numbers).unwrap_or_else(|why| panic!("{expression}: {why}"));
            pair.map(&document("X", BODY)).unwrap_or_else(|error| panic!("{expression}: {error}"));
            assert_eq!(pair.handed_over(), (0, None), "{expression}");
        }
    }
}

#[test]
fn big_ints_that_fail_or_grow_are_the_engines() {
    for expression in [
        "1n + 1",
        "1n * null",
        "BigInt(1.5)",
        "BigInt(null)",
        "BigInt('x')",
        "BigInt.asIntN(8, 5)",
        "1n / 0n",
        "2n ** -1n",
        "1n >>> 1n",
        "+1n",
        "Math.max(1n)",
        "JSON.stringify({ a: 1n })",
        "2n ** 5000n",
        "1n << 5000n",
        "(() => { let x = 3n; for (;;) x *= x })()",
        "(5n).toString(1)",
    ] {
        let script = format!("map('X', d => ({{ r: {expression} }}))");
        let mut pair = Pair::new(&[script], None).unwrap_or_else(|why| panic!("{expression}: {why}"));
        assert!(pair.map(&document("X", BODY)).is_err(), "{expression}");
        assert_eq!(pair.handed_over().0, 1, "{expression}");
    }
}

#[test]
fn exact_numbers_reach_reduce_and_finalize() {
    let map = "map('X', d => ({ k: d.k, bytes: BigInt(d.bytes ?? 0), key: d.bytes }))".to_owned();
    let reduce = "groupBy(x => x.k).aggregate(g => ({ k: g.key, bytes: g.values.reduce((s, v) => s + v.bytes, 0n), key: g.values[0].key }))";
    let finalize =
        "r => r.bytes > 20n ? { ...r, gb: r.bytes / 10n, text: `${r.bytes}`, n: Number(r.bytes) } : null";
    let mut pair = Pair::of(&[map], Some(reduce), Some(finalize), Numbers::Exact).unwrap();
    let mut values = Vec::new();
    for bytes in
        ["1", "9007199254740993", "-5", "123456789012345678901234567890", "1e30", "9007199254740992.0"]
    {
        let body = format!(r#"{{"k":"a","bytes":{bytes}}}"#);
        let outputs = pair.map(&document("X", &body)).unwrap();
        values.push(outputs[0].value.clone());
    }
    let reduced = pair.reduce(&[Json::from("a")], &values).unwrap();
    let again = pair.reduce(&[Json::from("a")], &[reduced.clone(), values[0].clone()]).unwrap();
    let whole = again.get("bytes").map(Json::to_string);
    assert_eq!(whole.as_deref(), Some(r#""1123456789012363713184368888528""#));
    assert!(pair.finalize(&again).unwrap().is_some());
    assert_eq!(pair.finalize(&values[0]).unwrap(), None);
    assert_eq!(pair.handed_over(), (0, None));
}

fn library() -> Library {
    let mut library = Library::default();
    for (id, collection, body) in [
        ("users/1", "Users", r#"{"name":"Ann","boss":"users/2","tags":["a"],"big":9007199254740993}"#),
        ("users/2", "Users", r#"{"name":"Bea","boss":"users/3"}"#),
        ("users/3", "Users", r#"{"name":"Cid","boss":"users/3"}"#),
        ("things/1", "Things", r#"{"name":"Thing","@metadata":{"x":1}}"#),
    ] {
        let loaded = Document { id: DocumentId::new(id).unwrap(), ..document(collection, body) };
        library.documents.insert(id.to_owned(), Arc::new(loaded));
    }
    library
}

#[test]
fn loaded_documents() {
    for (expression, tracked) in [
        ("load(d.user, 'Users').name", vec!["users/1"]),
        ("load(d.user, 'users')?.name ?? 'none'", vec!["users/1"]),
        (
            "load(load(load(d.user, 'Users').boss, 'Users').boss, 'Users').name",
            vec!["users/1", "users/2", "users/3"],
        ),
        (
            "load(d.users, 'Users').map(u => u && [u.name, id(u), u['@metadata']['@collection']])",
            vec!["users/1", "users/9", "users/2"],
        ),
        ("noTracking.load(d.user, 'Users').name", vec![]),
        ("noTracking.load(d.user, 'Users').name + load(d.user, 'Users').name", vec!["users/1"]),
        ("load(d.missing, 'Users')", vec![]),
        (
            "[load(d.user, 'Things'), load('things/1', 'Things').name, load('things/1', '@all_docs').name]",
            vec!["users/1", "things/1", "things/1"],
        ),
        (
            "(u => { u.name = 'changed'; return load(d.user, 'Users').name })(load(d.user, 'Users'))",
            vec!["users/1"],
        ),
        ("load(d.user, 'Users') === load(d.user, 'Users')", vec!["users/1"]),
        ("getMetadata(load(d.user, 'Users'))", vec!["users/1"]),
        ("[...load(d.user, 'Users').tags]", vec!["users/1"]),
        ("d.users.map(u => load(u, 'Users').name)", vec!["users/1", "users/9", "users/2"]),
        (
            "(() => { let u = load(d.user, 'Users'), n = 0; while (u && n < 10) { n++; u = load(u.boss, 'Users') } return n })()",
            vec!["users/1", "users/2", "users/3"],
        ),
        ("load(d.user, 'Users').big", vec!["users/1"]),
        ("load('', 'Users')", vec![]),
    ] {
        for numbers in [Numbers::Double, Numbers::Exact] {
            let script =
                format!("map('X', d => ({{ r: {expression}, self: id(d), m: getMetadata(d)['@id'] }}))");
            let mut pair =
                Pair::of(&[script], None, None, numbers).unwrap_or_else(|why| panic!("{expression}: {why}"));
            pair.loads = library();
            let body = r#"{"user":"users/1","users":["users/1",null,"users/9","users/2"]}"#;
            pair.map(&document("X", body)).unwrap_or_else(|error| panic!("{expression}: {error}"));
            assert_eq!(pair.handed_over(), (0, None), "{expression}");
            assert_eq!(pair.tracked, tracked, "{expression}");
        }
    }
}

#[test]
fn too_many_loads_are_the_engines() {
    let mut library = library();
    for number in 0..30 {
        let body = format!(r#"{{"next":"chain/{}"}}"#, number + 1);
        let loaded =
            Document { id: DocumentId::new(&format!("chain/{number}")).unwrap(), ..document("Chain", &body) };
        library.documents.insert(format!("chain/{number}"), Arc::new(loaded));
    }
    for (expression, fails) in [
        (
            "(() => { let at = 'chain/0', n = 0; while (at) { at = load(at, 'Chain')?.next; n++ } return n })()",
            true,
        ),
        ("Array.from({ length: 1500 }, (x, i) => load('none/' + i, 'Chain'))", true),
        ("load(d.user, 5)", true),
        ("load(7, 'Users')", true),
        ("load(d.user, 'Users').name.nothing()", true),
    ] {
        let script = format!("map('X', d => ({{ r: {expression} ?? null }}))");
        let mut pair = Pair::new(&[script], None).unwrap_or_else(|why| panic!("{expression}: {why}"));
        pair.loads = library.clone();
        let result = pair.map(&document("X", r#"{"user":"users/1"}"#));
        assert_eq!(result.is_err(), fails, "{expression}: {result:?}");
        assert_eq!(pair.handed_over().0, 1, "{expression}");
    }
}

#[test]
fn helpers_of_the_dialect() {
    let body = r#"{"name":"a","children":[{"name":"b","children":[{"name":"c"},{"name":"d"}]},{"name":"e","children":[]}],"lat":1.5,"lon":2}"#;
    for expression in [
        "recurse(d, x => x.children).map(x => x.name).filter(x => x)",
        "recurse({ a: { a: { a: null } } }, x => x.a).length",
        "createSpatialField(d.lat, d.lon)",
        "createSpatialField('POINT(1 2)')",
    ] {
        let script = format!("map('X', d => ({{ r: {expression} }}))");
        let mut pair = Pair::new(&[script], None).unwrap_or_else(|why| panic!("{expression}: {why}"));
        pair.map(&document("X", body)).unwrap_or_else(|error| panic!("{expression}: {error}"));
        assert_eq!(pair.handed_over(), (0, None), "{expression}");
    }
}

#[test]
fn finalize_in_the_reduce_and_beside_it() {
    let map = ["map('X', d => ({ k: d.k, n: 1 }))".to_owned()];
    let plain = "groupBy(x => x.k).aggregate(g => ({ k: g.key, n: g.values.reduce((s, v) => s + v.n, 0) }))";
    let chained = format!("{plain}.finalize(r => ({{ ...r, twice: r.n * 2, missing: undefined }}))");
    for (reduce, finalize) in [
        (chained.as_str(), None),
        (plain, Some("function (r) { if (r.n > 3) return null; return { k: r.k, half: r.n / 2 } }")),
        (plain, Some("r => r.n && r")),
    ] {
        let mut pair = Pair::of(&map, Some(reduce), finalize, Numbers::Double).unwrap();
        for text in
            [r#"{"k":"a","n":2}"#, r#"{"k":"b","n":5}"#, r#"{"k":null,"n":-0.0}"#, r#"{"k":null,"n":null}"#]
        {
            let _ = pair.finalize(&value(text));
        }
        assert!(pair.handed_over().0 <= 1, "{:?}", pair.handed_over());
    }
}
