//! Values on their way into scripts and out of them.

use super::{assert_error, document, json, map_error, map_one, output, with_index};
use magpie_indexes::function::FunctionErrorKind::{Limit, Run};

#[test]
fn outputs_of_every_kind() {
    let table = [
        ("null", "null"),
        ("true", "true"),
        ("5.0", "5"),
        ("5.5", "5.5"),
        ("9007199254740993", "9007199254740992"),
        ("1e21", "1e+21"),
        ("1e-7", "1e-7"),
        ("0.1 + 0.2", "0.30000000000000004"),
        ("-0", "-0"),
        ("NaN", "\"NaN\""),
        ("1 / 0", "\"Infinity\""),
        ("-1 / 0", "\"-Infinity\""),
        ("'Str'", "\"Str\""),
        ("'q\"\\\\\\n\\u00e9\\ud83d\\ude00'", "\"q\\\"\\\\\\n\u{e9}\u{1f600}\""),
        ("new Date(Date.UTC(2024, 0, 2, 3, 4, 5, 6))", "\"2024-01-02T03:04:05.0060000Z\""),
        ("new Date('2024-01-15T10:00:00.0000000Z')", "\"2024-01-15T10:00:00.0000000Z\""),
        ("new Date('2024-01-15').toISOString()", "\"2024-01-15T00:00:00.000Z\""),
        ("new Date(2024, 0, 15).getTimezoneOffset()", "0"),
        ("[1, 'a', null, undefined, [2, [3]]]", "[1,\"a\",null,null,[2,[3]]]"),
        ("[]", "[]"),
        ("({ x: 1, y: undefined, z: [{ w: undefined }] })", "{\"x\":1,\"z\":[{}]}"),
        ("new Array(3)", "[null,null,null]"),
        (
            "createField('f', 1, { indexing: 'Exact' })",
            "{\"$name\":\"f\",\"$value\":1,\"$options\":{\"indexing\":\"Exact\"}}",
        ),
        ("createSpatialField(1, 2)", "{\"$spatial\":[1,2]}"),
        ("createSpatialField('POINT(1 2)')", "{\"$spatial\":\"POINT(1 2)\"}"),
        ("boost(7, 2)", "7"),
        ("tryConvertToNumber('3.5')", "3.5"),
        ("tryConvertToNumber(4)", "4"),
        ("tryConvertToNumber('x')", "null"),
        ("tryConvertToNumber('')", "null"),
        ("tryConvertToNumber(undefined)", "null"),
        ("recurse({ n: 1, c: [{ n: 2, c: [{ n: 3 }] }, { n: 4 }] }, x => x.c).map(x => x.n)", "[1,2,3,4]"),
        ("'abcdef'.substr(1, 3)", "\"bcd\""),
        ("'abcdef'.substr(-2)", "\"ef\""),
        ("process.env.EXEC_ENV", "\"RavenDB\""),
        ("Object.keys({ b: 1, a: 2 })", "[\"b\",\"a\"]"),
        ("'a-b-c'.replace(/-/g, '+')", "\"a+b+c\""),
        ("'aXb'.split(/x/i)", "[\"a\",\"b\"]"),
        ("[3, 1, 2].sort()", "[1,2,3]"),
        ("JSON.stringify({ a: [1, { b: 2 }] })", "\"{\\\"a\\\":[1,{\\\"b\\\":2}]}\""),
        ("[...new Set([1, 1, 2])]", "[1,2]"),
        (
            "(() => { class E extends Error { constructor(m) { super(m); this.name = 'E'; } } return new E('x').name; })()",
            "\"E\"",
        ),
        (
            "(() => { const o = {}; o.constructor = 1; o.toString = 2; return o; })()",
            "{\"constructor\":1,\"toString\":2}",
        ),
    ];
    for (expression, expected) in table {
        let text = output(&format!("map('Things', d => ({{ v: {expression} }}))"), "{}");
        assert_eq!(text, format!("{{\"v\":{expected}}}"), "{expression}");
    }
}

#[test]
fn values_that_are_no_data_are_refused_by_field() {
    for expression in [
        "x => x",
        "/a/",
        "new Map()",
        "new Set([1])",
        "Symbol('s')",
        "new Date(NaN)",
        "new Error('e')",
        "'\\ud800'",
        "[1, [x => x]]",
        "{ a: { b: Symbol.iterator } }",
    ] {
        let error = map_error(&format!("map('Things', d => ({{ ok: 1, bad: {expression} }}))"), "{}");
        assert_error(&error, Run, "The value of 'bad' field is a complex object");
    }
}

#[test]
fn deep_cyclic_and_large_outputs_are_limits() {
    for map in [
        "map('Things', d => { const o = { a: 1 }; o.self = o; return o; })",
        "map('Things', d => { const o = []; o.push(o); return { o }; })",
        "map('Things', d => { let o = {}; for (let i = 0; i < 5000; i++) o = { o }; return o; })",
        "map('Things', d => { let o = []; for (let i = 0; i < 50000; i++) o = [o]; return { o }; })",
        "map('Things', d => ({ s: 'x'.repeat(900000) + 'y'.repeat(900000) }))",
        "map('Things', d => ({ s: Array(300000).fill('abcdef') }))",
        "map('Things', d => Array(2000).fill({ a: 1 }))",
        "map('Things', d => Array(900000))",
    ] {
        assert_error(&map_error(map, "{}"), Limit, "");
    }
    assert_eq!(map_one("map('Things', d => Array(1024).fill({ a: 1 }))", "{}").unwrap().len(), 1024);
}

#[test]
fn reduce_outputs_have_null_for_undefined() {
    let reduce =
        "groupBy(x => x.a).aggregate(g => ({ a: g.key, und: undefined, n: 1 / 0, d: g.values[0].d }))";
    let result = with_index(&["map('Things', d => ({ a: 1 }))"], Some(reduce), |index| {
        index.reduce(&[json("1")], &[json(r#"{"d":"2024-01-01T00:00:00.0000000Z"}"#)]).unwrap()
    });
    assert_eq!(result.to_string(), r#"{"a":1,"und":null,"n":"Infinity","d":"2024-01-01T00:00:00.0000000Z"}"#);
}

#[test]
fn what_counts_as_an_output() {
    for (value, count) in [
        ("null", 0),
        ("undefined", 0),
        ("5", 0),
        ("'text'", 0),
        ("true", 0),
        ("({})", 1),
        ("[]", 0),
        ("[{ a: 1 }, null, 5, { a: 2 }]", 2),
        ("boost({ a: 1 }, 3)", 1),
        ("[boost({ a: 1 }, 3)]", 1),
    ] {
        let emitted = map_one(&format!("map('Things', d => {{ return {value}; }})"), "{}").unwrap();
        assert_eq!(emitted.len(), count, "{value}");
    }
    assert_eq!(output("map('Things', d => boost({ a: 1 }, 3))", "{}"), r#"{"a":1}"#);
}

#[test]
fn documents_with_id_and_metadata() {
    let body = r#"{"n":1,"deep":{"x":[1,{"y":2}]},"big":9007199254740993,"huge":1e400,"neg":-0.0,"@odd key":3,"__proto__":4}"#;
    for (map, expected) in [
        (
            "d => ({ v: id(d), w: id(this), x: id(null), y: id({}) })",
            r#"{"v":"things/1","w":null,"x":null,"y":null}"#,
        ),
        (
            "d => ({ v: getMetadata(d)['@collection'], w: metadataFor(d)['@id'] })",
            r#"{"v":"Things","w":"things/1"}"#,
        ),
        ("d => ({ v: d['@metadata']['@collection'] })", r#"{"v":"Things"}"#),
        ("d => ({ v: typeof getMetadata(d)['@last-modified'] })", r#"{"v":"string"}"#),
        (
            "d => { const e = d; return { v: id(e), w: getMetadata(e)['@id'], k: Object.keys(e).length }; }",
            r#"{"v":"things/1","w":"things/1","k":8}"#,
        ),
        (
            "d => ({ v: d.deep.x[1].y, w: d.big, x: d.huge, y: 1 / d.neg, z: d['@odd key'] })",
            r#"{"v":2,"w":9007199254740992,"x":"Infinity","y":"-Infinity","z":3}"#,
        ),
        (
            "d => ({ v: 'n' in d, w: 'nope' in d, x: Object.keys(d) })",
            r#"{"v":true,"w":false,"x":["n","deep","big","huge","neg","@odd key","__proto__","@metadata"]}"#,
        ),
        ("function (d) { return { v: arguments[0].n, w: arguments.length }; }", r#"{"v":1,"w":1}"#),
        (
            "({ n, deep: { x: [first] } }) => { const [one, ...rest] = [n, first, 3]; return { n, first, rest }; }",
            r#"{"n":1,"first":1,"rest":[1,3]}"#,
        ),
        ("d => { d.n = d.n + 1; return { v: d.n }; }", r#"{"v":2}"#),
    ] {
        assert_eq!(output(&format!("map('Things', {map})"), body), expected, "{map}");
    }
}

#[test]
fn writing_to_a_document_does_not_reach_the_next_map() {
    let maps = [
        "map('Things', d => { d.n = 9; d.o.x = 9; return { v: d.n }; })",
        "map('Things', d => ({ v: d.n, w: d.o.x }))",
    ];
    with_index(&maps, None, |index| {
        let outputs: Vec<String> = index
            .map(&document("t/1", r#"{"n":1,"o":{"x":1}}"#), &mut magpie_indexes::NoLoads)
            .unwrap()
            .iter()
            .map(|emitted| emitted.value.to_string())
            .collect();
        assert_eq!(outputs, [r#"{"v":9}"#, r#"{"v":1,"w":1}"#]);
    });
}
