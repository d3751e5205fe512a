//! Error positions, canonical text, additional sources, and faithful rewriting of ordinary JavaScript.

use super::{assert_error, at, document, map_error, output, source_of, with_index};
use magpie_indexes::definition::Numbers;
use magpie_indexes::function::FunctionErrorKind::Run;
use magpie_indexes::script::{ScriptSource, Scripts};
use magpie_indexes::{FunctionError, FunctionSource};
use std::collections::BTreeMap;

#[test]
fn run_errors_point_into_the_users_script() {
    for (map, line, message) in [
        (
            "map('Things', function (d) {\n  if (d.a)\n    throw new Error('bad doc');\n  return { a: 1 };\n})",
            3,
            "Error: bad doc",
        ),
        (
            "map('Things', d => ({\n  a: 1,\n  b: d.a.nope(1)\n}))",
            3,
            "Property 'nope' of object is not a function",
        ),
        (
            "// \u{e9}\nmap('Things', d => {\n const s = `\n${d.a}`; return { s: s.bad() };\n})",
            4,
            "Property 'bad' of object is not a function",
        ),
        (
            "function h(x) {\n  return x.missing.deep = 1;\n}\nmap('Things', d => ({ v: h(d) }))",
            2,
            "TypeError",
        ),
        ("map('Things', d => {\n  throw 'plain';\n})", 2, "plain"),
        ("map('Things', d => {\n  throw { code: 7, message: 'm' };\n})", 2, "Error: m"),
        ("map('Things', d => {\n const [x] = d.nothing;\n return { x };\n})", 2, "TypeError"),
        (
            "map('Things', d => {\n let s = 0;\n for (const x of d.nothing) s += x;\n return { s };\n})",
            3,
            "TypeError",
        ),
    ] {
        let error = map_error(map, r#"{"a":"x"}"#);
        assert_error(&error, Run, message);
        assert_eq!(error.position.map(|position| position.line), Some(line), "{map}: {error}");
    }
    let error = map_error("map('Things', d => ({ v: d.a.nope() }))", r#"{"a":1}"#);
    assert_eq!(error.position, at(1, 30));
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
    let other = source_of(
        &["map('Things', d => ({ a: 1 })) map('Things', d => ({ a: 2 }))"
            .replace(") map", ")\nmap")
            .as_str()],
        None,
    )
    .unwrap();
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
    let with = |additional_sources| {
        ScriptSource::new(&Scripts {
            name: "V/Src",
            maps: &maps,
            reduce: None,
            finalize: None,
            additional_sources,
            numbers: Numbers::Double,
        })
    };
    let source = with(&sources).unwrap();
    let text = super::on_script_thread(|| {
        source
            .create()
            .unwrap()
            .map(&document("t/1", r#"{"name":"Ann"}"#), &mut magpie_indexes::NoLoads)
            .unwrap()[0]
            .value
            .to_string()
    });
    assert_eq!(text, r#"{"u":"ANN","z":42}"#);
    let broken = BTreeMap::from([("h.js".to_owned(), "function up( {".to_owned())]);
    let error: FunctionError = with(&broken).unwrap_err();
    assert!(error.message.ends_with("in AdditionalSources['h.js']"), "{error}");
}
