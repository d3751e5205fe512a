//! Which numbers of documents scripts get, and which of them they do not get as they are.

use super::{document, map_one, on_script_thread, source_with};
use magpie_indexes::definition::Numbers;
use magpie_indexes::{FunctionSource, IndexDefinition, IndexError, NoLoads};

const BODY: &str = r#"{"small":5,"edge":9007199254740991,"over":9007199254740992,"odd":-9007199254740993,"long":123456789012345678901234567890,"tenth":0.1,"digits":0.12345678901234567890123,"third":0.3333333333333333,"seventeen":0.30000000000000004,"huge":1e400,"tiny":1e-400,"exponent":1e21,"text":"9007199254740993","items":[{"price":1},{"price":9007199254740993},{"price":9007199254740995}],"nested":{"list":[[9007199254740993]]},"minus":-0}"#;

fn mapped(map: &str, numbers: Numbers, body: &str) -> (String, Vec<String>) {
    let source = source_with(&[map], None, None, numbers).unwrap();
    on_script_thread(|| {
        let mut functions = source.create().unwrap();
        let emitted = functions.map(&document("things/1", body), &mut NoLoads).unwrap();
        (emitted[0].value.to_string(), functions.inexact_fields().to_vec())
    })
}

#[test]
fn whole_numbers_beyond_the_gapless_ones_are_big_ints_when_exact() {
    let map = "map('Things', d => ({ t: [d.small, d.edge, d.over, d.odd, d.long, d.tenth, d.exponent, d.items[1].price].map(x => typeof x), over: d.over, odd: d.odd, long: d.long, minus: 1 / d.minus }))";
    let (exact, _) = mapped(map, Numbers::Exact, BODY);
    assert_eq!(
        exact,
        r#"{"t":["number","number","bigint","bigint","bigint","number","number","bigint"],"over":"9007199254740992","odd":"-9007199254740993","long":"123456789012345678901234567890","minus":"-Infinity"}"#
    );
    let (double, _) = mapped(map, Numbers::Double, BODY);
    assert_eq!(
        double,
        r#"{"t":["number","number","number","number","number","number","number","number"],"over":9007199254740992,"odd":-9007199254740992,"long":1.2345678901234568e+29,"minus":"-Infinity"}"#
    );
}

#[test]
fn what_a_script_does_not_see_as_it_is_gets_listed() {
    let all = "map('Things', d => ({ v: Object.keys(d).length }))";
    assert_eq!(
        mapped(all, Numbers::Double, BODY).1,
        ["odd", "long", "digits", "huge", "tiny", "items[].price", "nested.list[][]"]
    );
    assert_eq!(mapped(all, Numbers::Exact, BODY).1, ["digits", "huge", "tiny"]);
    // A map that reads few fields only loses what is in those.
    let few = "map('Things', d => ({ v: d.tenth, w: d.items.length }))";
    assert_eq!(mapped(few, Numbers::Double, BODY).1, ["items[].price"]);
    assert_eq!(mapped(few, Numbers::Double, r#"{"tenth":0.1,"items":[]}"#).1, [""; 0]);
}

#[test]
fn the_list_is_that_of_the_document_mapped_last() {
    let source = source_with(&["map('Things', d => ({ v: d.n }))"], None, None, Numbers::Double).unwrap();
    on_script_thread(|| {
        let mut functions = source.create().unwrap();
        for (body, fields) in
            [(r#"{"n":9007199254740993}"#, vec!["n"]), (r#"{"n":1}"#, vec![]), ("{}", vec![])]
        {
            functions.map(&document("things/1", body), &mut NoLoads).unwrap();
            assert_eq!(functions.inexact_fields(), fields, "{body}");
        }
        functions.map(&document("things/1", r#"{"n":9007199254740993}"#), &mut NoLoads).unwrap();
        functions.map(&super::document_in("Others", "o/1", "{}"), &mut NoLoads).unwrap();
        assert!(functions.inexact_fields().is_empty());
    });
}

#[test]
fn only_documents_have_big_ints_made_of_numbers() {
    let reduce =
        "groupBy(x => x.k).aggregate(g => ({ k: g.key, t: typeof g.values[0].n, n: g.values[0].n }))";
    let map = "map('Things', d => ({ k: d.k, n: d.n + 1 }))";
    let source = source_with(&[map], Some(reduce), None, Numbers::Exact).unwrap();
    on_script_thread(|| {
        let mut functions = source.create().unwrap();
        let emitted =
            functions.map(&document("t/1", r#"{"k":9007199254740993,"n":1e20}"#), &mut NoLoads).unwrap();
        // A double that prints as a whole number stays a double.
        assert_eq!(emitted[0].value.to_string(), r#"{"k":"9007199254740993","n":100000000000000000000}"#);
        let reduced = functions.reduce(&emitted[0].key, &[emitted[0].value.clone()]).unwrap();
        assert_eq!(reduced.to_string(), r#"{"k":"9007199254740993","t":"number","n":100000000000000000000}"#);
    });
}

#[test]
fn the_setting_is_part_of_the_text_only_when_exact() {
    let text = |numbers| {
        let source = source_with(&["map('Things', d => ({ v: d.n }))"], None, None, numbers).unwrap();
        source.canonical_text().to_owned()
    };
    assert_ne!(text(Numbers::Double), text(Numbers::Exact));
    assert!(!text(Numbers::Double).contains("exact"));
}

#[test]
fn the_setting_is_read_from_the_definition() {
    let with = |value: Option<&str>| {
        let mut definition = IndexDefinition {
            name: "X".to_owned(),
            maps: vec!["map('Things', d => ({ v: d.n }))".to_owned()],
            ..IndexDefinition::default()
        };
        definition.configuration.insert("Magpie.Numbers".to_owned(), value.map(str::to_owned));
        definition
    };
    assert_eq!(IndexDefinition::default().numbers().unwrap(), Numbers::Double);
    for (value, numbers) in [
        (None, Numbers::Double),
        (Some("double"), Numbers::Double),
        (Some("exact"), Numbers::Exact),
        (Some("Exact"), Numbers::Exact),
    ] {
        assert_eq!(with(value).numbers().unwrap(), numbers);
        with(value).validate().unwrap();
    }
    match with(Some("decimal")).validate() {
        Err(IndexError::InvalidDefinition { reason, .. }) => {
            assert_eq!(reason, "its setting Magpie.Numbers is 'decimal'; give double or exact");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn numbers_that_are_too_long_for_a_script_are_named() {
    let body = format!("{{\"n\":1{}}}", "0".repeat(2000));
    let source = source_with(&["map('Things', d => ({ v: d.n }))"], None, None, Numbers::Exact).unwrap();
    let error =
        on_script_thread(|| source.create().unwrap().map(&document("t/1", &body), &mut NoLoads).unwrap_err());
    super::assert_error(
        &error,
        magpie_indexes::function::FunctionErrorKind::Limit,
        "script_big_int_bits_max",
    );
    assert_eq!(
        map_one("map('Things', d => ({ v: d.n }))", &body).unwrap()[0].value.to_string(),
        r#"{"v":"Infinity"}"#
    );
}
