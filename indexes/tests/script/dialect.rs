//! What may be registered: maps, collections, output shapes, reduce keys.

use super::{assert_error, at, document, document_in, json, output, refused, source_of, with_index};
use magpie_indexes::function::FunctionErrorKind::{
    Arguments, Compile, Definition, GroupKey, ReturnShapes, Run,
};
use magpie_indexes::{FunctionSource, MappedCollections};
use magpie_store::Collection;

const MAP: &str = "map('Sales', s => ({ city: s.city, cat: s.cat, loc: { c: s.city }, n: 1 }))";

fn named(names: &[&str]) -> MappedCollections {
    MappedCollections::Named(names.iter().map(|name| Collection::new(name).unwrap()).collect())
}

#[test]
fn collections_and_fields_are_known_before_running() {
    for (maps, collections, fields) in [
        (vec!["map('Users', u => ({ name: u.name, age: u.age }))"], named(&["Users"]), vec!["name", "age"]),
        (vec!["map('A', a => ({ x: 1 }))", "map('B', b => ({ y: 1 }))"], named(&["A", "B"]), vec!["x", "y"]),
        (vec!["map('A', a => ({ x: 1 })); map('a', b => ({ x: 1 }))"], named(&["A"]), vec!["x"]),
        (vec!["map('@all_docs', d => ({ id: id(d) }))"], MappedCollections::All, vec!["id"]),
        (vec!["map('A', u => u.name)"], named(&["A"]), vec!["name"]),
        (vec!["map('A', u => u.address.city)"], named(&["A"]), vec!["city"]),
        (vec!["map('A', u => u.name, u => u.age)"], named(&["A"]), vec!["name", "age"]),
        (
            vec!["map('A', function (u) { if (u.x) return null; return { a: 1, b: 2 }; })"],
            named(&["A"]),
            vec!["a", "b"],
        ),
        (vec!["function f(u) { return { a: u.a }; } map('A', f)"], named(&["A"]), vec!["a"]),
        (vec!["map('A', u => u.xs.map(x => ({ x, y: 1 })))"], named(&["A"]), vec!["x", "y"]),
        (vec!["map('A', u => boost({ x: 1 }, 2))"], named(&["A"]), vec!["x"]),
        (vec!["for (const c of ['A', 'B']) map(c, u => ({ x: u.x }))"], named(&["A", "B"]), vec![]),
        (vec!["// c\nmap('A', d => ({ a: d.a })) // x"], named(&["A"]), vec!["a"]),
        (
            vec!["const k = 2; class Q { v(d) { return d.a * k; } } map('A', d => ({ a: new Q().v(d) }))"],
            named(&["A"]),
            vec!["a"],
        ),
    ] {
        let source = source_of(&maps, None).unwrap_or_else(|error| panic!("{maps:?}: {error}"));
        assert_eq!(source.shape().collections, collections, "{maps:?}");
        assert_eq!(source.shape().fields, fields, "{maps:?}");
        assert_eq!(source.shape().group_by, None);
    }
}

#[test]
fn simple_member_functions_give_objects() {
    assert_eq!(output("map('Things', u => u.name)", r#"{"name":"Ann"}"#), r#"{"name":"Ann"}"#);
    assert_eq!(output("map('Things', u => u.a.b)", r#"{"a":{"b":2}}"#), r#"{"b":2}"#);
    assert_eq!(
        output("map('Things', u => u.name, x => x.n)", r#"{"name":"Ann","n":1}"#),
        r#"{"name":"Ann","n":1}"#
    );
    assert_eq!(output("map('Things', u => u.name)", "{}"), "{}");
}

#[test]
fn definitions_that_register_nothing_usable_are_refused() {
    for (maps, part) in [
        (vec![], "JavaScript index Test does not contain any mapping functions to process."),
        (
            vec!["var x = 1;"],
            "JavaScript index Test doesn't contain any map functions or 'globalDefinition.Map' was modified",
        ),
        (
            vec!["map(5, d => ({ a: 1 }))"],
            "JavaScript index Test map function #0 collection name isn't a string",
        ),
        (vec!["map(null, d => ({ a: 1 }))"], "map function #0 is missing a collection name"),
        (vec!["map('A')"], "map function #0 is missing its method property"),
        (
            vec!["map('A', d => ({})); map('B', [1])"],
            "map function #1 method property isn't a 'FunctionInstance'",
        ),
        (vec!["map('A', d => ({ a: cmpxchg('x') }))"], "cmpxchg() is not supported yet"),
        (
            vec!["map('A', d => ({ a: load(d.a) }))"],
            "load method is expecting two arguments, the first should be the document and the second should be the collection. e.g. load(u.Product,'Products') but was invoked with 1 arguments.",
        ),
        (vec!["map('A', function* (d) { yield { a: d.a }; })"], "generator functions are not supported"),
        (vec!["map('A', async d => ({ a: 1 }))"], "async functions are not supported"),
    ] {
        let kind = if part.starts_with("load method") { Arguments } else { Definition };
        assert_error(&refused(&maps, None), kind, part);
    }
}

#[test]
fn scripts_that_are_no_javascript_or_throw_are_refused_with_their_position() {
    let error = refused(&["map('Items', d => { return { a: 1 } "], None);
    assert_error(&error, Compile, "Unexpected end of input");
    assert_eq!(error.position, at(1, 37));
    let error = refused(&["map('Items', d => ({ a: 1 }))\n\nlet x = ;"], None);
    assert_error(&error, Compile, "");
    assert_eq!(error.position.unwrap().line, 3);
    let error = refused(&["throw 'x'; map('Items', d => ({ a: d.a }))"], None);
    assert_error(&error, Compile, "x");
    assert_eq!(error.position.unwrap().line, 1);
    let error = refused(&[MAP], Some("groupBy(x => x.city).aggregate(g => {"));
    assert_error(&error, Compile, "Unexpected end of input in Reduce");
    assert_eq!(error.position, at(1, 38));
}

#[test]
fn all_returns_of_a_map_have_one_shape() {
    let error =
        refused(&["map('A', d => { if (d.x) { return { a: 1, b: 2 }; } return { a: 1, c: 2 }; })"], None);
    assert_eq!(error.kind, ReturnShapes);
    assert_eq!(
        error.message,
        "Index Test contains different return structure from different code paths, expected properties: a, b but also got:a, c"
    );
    for accepted in [
        "map('A', d => { if (d.x) { return { a: 1, b: 2 }; } return { b: 1, a: 2 }; })",
        "map('A', function (d) { function h() { return { z: 1 }; } return { a: h().z }; })",
        "map('A', d => { if (d.x) return null; if (d.y) return []; if (d.z) return d; return { a: 1 }; })",
        "map('A', d => d.x ? { a: 1 } : { b: 1 })",
    ] {
        source_of(&[accepted], None).unwrap_or_else(|error| panic!("{accepted}: {error}"));
    }
}

#[test]
fn accepted_reduce_keys() {
    for (key, fields, given) in [
        ("x => x.city", vec!["city"], r#"["Haifa"]"#),
        ("(x) => (x.city)", vec!["city"], r#"["Haifa"]"#),
        ("x => x.loc.c", vec!["loc.c"], r#"["Haifa"]"#),
        ("x => ({ city: x.city, cat: x.cat })", vec!["city", "cat"], r#"["Haifa","a"]"#),
        ("x => ({ c: x.loc.c })", vec!["loc.c"], r#"["Haifa"]"#),
        ("x => { return { city: x.city, cat: x.cat }; }", vec!["city", "cat"], r#"["Haifa","a"]"#),
        ("function (x) { return { city: x.city }; }", vec!["city"], r#"["Haifa"]"#),
        ("x => ({ k1: x.city, k2: x.cat })", vec!["city", "cat"], r#"["Haifa","a"]"#),
    ] {
        let reduce = format!("groupBy({key}).aggregate(g => ({{ key: g.key, n: g.values.length }}))");
        let source = source_of(&[MAP], Some(&reduce)).unwrap_or_else(|error| panic!("{key}: {error}"));
        let expected: Vec<String> = fields.iter().map(|field| (*field).to_owned()).collect();
        assert_eq!(source.shape().group_by, Some(expected), "{key}");
        let emitted = with_index(&[MAP], Some(&reduce), |index| {
            index
                .map(
                    &document_in("sales", "s/1", r#"{"city":"Haifa","cat":"a"}"#),
                    &mut magpie_indexes::NoLoads,
                )
                .unwrap()
        });
        assert_eq!(magpie_store::json::Json::Array(emitted[0].key.clone()).to_string(), given, "{key}");
    }
}

#[test]
fn refused_reduce_keys() {
    for (reduce, part) in [
        ("groupBy(x => x.a.substr(0,1)).aggregate(g => ({ a: g.key }))", "Unknown body type: CallExpression"),
        ("groupBy(x => x.a + x.b).aggregate(g => ({ a: g.key }))", "Unknown body type: BinaryExpression"),
        ("groupBy(x => x).aggregate(g => ({ a: g.key }))", "Unknown body type: Identifier"),
        ("groupBy(x => 1).aggregate(g => ({ a: g.key }))", "Unknown body type: Literal"),
        (
            "groupBy(function (x) { return x.a; }).aggregate(g => ({ a: g.key }))",
            "Expected statement returning simple object expression inside group by block",
        ),
        (
            "groupBy(x => { return x.a; }).aggregate(g => ({ a: g.key }))",
            "Expected statement returning simple object expression inside group by block",
        ),
        (
            "groupBy((x, y) => x.a).aggregate(g => ({ a: g.key }))",
            "Was requested to get reduce fields from a scripted function in an unexpected format, expected a single return statement got 3.",
        ),
        (
            "groupBy(x => { var y = x; return { a: y.a }; }).aggregate(g => ({ a: g.key }))",
            "expected a single return statement got 2.",
        ),
        ("groupBy(x => ({ a: x.a.trim() })).aggregate(g => ({ a: g.key }))", "'a' is a CallExpression"),
        ("groupBy(x => ({})).aggregate(g => ({ a: g.key }))", "at least one field"),
        ("groupBy(f).aggregate(g => ({ a: g.key }))", "groupBy needs a function"),
        ("var x = 1", "the Reduce registers nothing"),
    ] {
        assert_error(&refused(&[MAP], Some(reduce)), GroupKey, part);
    }
    assert_error(&refused(&[MAP], Some("groupBy(x => x.a)")), Definition, "without .aggregate");
}

#[test]
fn a_reduce_gets_key_and_values() {
    let single =
        "groupBy(x => x.city).aggregate(g => ({ city: g.key, n: g.values.reduce((s, v) => s + v.n, 0) }))";
    let values = [json(r#"{"city":"Haifa","n":1}"#), json(r#"{"city":"Haifa","n":2.5}"#)];
    let result =
        with_index(&[MAP], Some(single), |index| index.reduce(&[json("\"Haifa\"")], &values).unwrap());
    assert_eq!(result.to_string(), r#"{"city":"Haifa","n":3.5}"#);
    let composite = "groupBy(x => ({ k1: x.city, cat: x.cat })).aggregate(g => ({ city: g.key.k1, cat: g.key.cat, n: g.values.length }))";
    let key = [json("null"), json("7")];
    let result = with_index(&[MAP], Some(composite), |index| index.reduce(&key, &values).unwrap());
    assert_eq!(result.to_string(), r#"{"city":null,"cat":7,"n":2}"#);
}

#[test]
fn a_reduce_must_return_an_object() {
    for (value, part) in [
        ("null", "Reduce result is not object: null"),
        ("undefined", "Reduce result is not object: undefined"),
        ("5", "Reduce result is not object: 5"),
        ("[{ a: 1 }]", "Reduce result is not object: an array with 1 elements"),
        ("'text'", "Reduce result is not object: text"),
    ] {
        let reduce = format!("groupBy(x => x.city).aggregate(g => {value})");
        let error =
            with_index(&[MAP], Some(&reduce), |index| index.reduce(&[json("1")], &[json("{}")]).unwrap_err());
        assert_error(&error, Run, part);
    }
}

#[test]
fn map_outputs_must_hold_the_group_by_fields() {
    let reduce = "groupBy(x => ({ a: x.a, b: x.b })).aggregate(g => ({ a: g.key.a, b: g.key.b }))";
    let map = "map('Things', d => { const o = { a: 1, n: 2 }; if (d.b !== 'none') o.b = d.b; return o; })";
    with_index(&[map], Some(reduce), |index| {
        let error = index.map(&document("t/1", r#"{"b":"none"}"#), &mut magpie_indexes::NoLoads).unwrap_err();
        assert_eq!(
            error.message,
            "The output of the mapping function does not contain all fields that the index is supposed to group by.\n\
             Output: {\"a\":1,\"n\":2}\nGroup by fields: a,b"
        );
        // An undefined property is there, and its key is null.
        let emitted = index.map(&document("t/2", "{}"), &mut magpie_indexes::NoLoads).unwrap();
        assert_eq!(emitted[0].key, [json("1"), json("null")]);
        assert_eq!(emitted[0].value.to_string(), r#"{"a":1,"n":2}"#);
    });
}

#[test]
fn several_maps_of_one_collection_all_run() {
    let maps = [
        "map('Things', d => ({ a: 1 })); map('Others', d => ({ b: 1 }))",
        "map('@all_docs', d => ({ c: id(d) }))",
    ];
    with_index(&maps, None, |index| {
        let things: Vec<String> = index
            .map(&document("t/1", "{}"), &mut magpie_indexes::NoLoads)
            .unwrap()
            .iter()
            .map(|emitted| emitted.value.to_string())
            .collect();
        assert_eq!(things, [r#"{"a":1}"#, r#"{"c":"t/1"}"#]);
        let others = index.map(&document_in("OTHERS", "o/1", "{}"), &mut magpie_indexes::NoLoads).unwrap();
        assert_eq!(others.len(), 2);
    });
}
