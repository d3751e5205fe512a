//! The compiled script tier gives what the engine gives, bit for bit: for every sample, for edge cases written by hand,
//! and for generated scripts over generated documents.

use magpie_indexes::definition::Numbers;
use magpie_indexes::function::{Emitted, FunctionError, FunctionSource, IndexFunction, NoLoads};
use magpie_indexes::script::{ScriptSource, Scripts, Tier, TierChoice};
use magpie_samples::SAMPLES;
use magpie_store::json::{self, Json};
use magpie_store::{Collection, Document, DocumentId, Etag, Timestamp};
use std::collections::BTreeMap;

mod bodies;
mod cases;
mod generated;

static NO_SOURCES: BTreeMap<String, String> = BTreeMap::new();

/// The scripts of an index without finalize.
fn scripts<'s>(name: &'s str, maps: &'s [String], reduce: Option<&'s str>) -> Scripts<'s> {
    Scripts {
        name,
        maps,
        reduce,
        finalize: None,
        additional_sources: &NO_SOURCES,
        numbers: Numbers::default(),
    }
}

/// The same scripts in both tiers.
struct Pair {
    compiled: ScriptSource,
    functions: [Box<dyn IndexFunction>; 2],
}

impl Pair {
    fn new(maps: &[String], reduce: Option<&str>) -> Result<Self, String> {
        let source = |choice| {
            ScriptSource::new(&scripts("Both", maps, reduce)).and_then(|source| source.in_tier(choice))
        };
        let compiled = source(TierChoice::Compiled).map_err(|error| error.to_string())?;
        let boa = source(TierChoice::Boa).map_err(|error| error.to_string())?;
        assert_eq!(compiled.tier(), Tier::Compiled);
        let functions =
            [compiled.create(), boa.create()].map(|function| function.expect("it was loaded before"));
        Ok(Self { compiled, functions })
    }

    /// Maps in both tiers; fails when they differ.
    fn map(&mut self, document: &Document) -> Result<Vec<Emitted>, FunctionError> {
        let [one, other] = &mut self.functions;
        let (one, other) = (one.map(document, &mut NoLoads), other.map(document, &mut NoLoads));
        assert_eq!(one, other, "compiled and boa map {} differently", document.body);
        let [compiled, boa] = &self.functions;
        assert_eq!(compiled.inexact_fields(), boa.inexact_fields(), "{}", document.body);
        one
    }

    /// Reduces in both tiers; fails when they differ.
    fn reduce(&mut self, key: &[Json], values: &[Json]) -> Result<Json, FunctionError> {
        let [one, other] = &mut self.functions;
        let (one, other) = (one.reduce(key, values), other.reduce(key, values));
        assert_eq!(one, other, "compiled and boa reduce {values:?} differently");
        one
    }

    fn handed_over(&self) -> (u64, Option<&'static str>) {
        self.compiled.handed_over()
    }
}

fn document(collection: &str, body: &str) -> Document {
    let parsed = json::parse(body.as_bytes()).unwrap_or_else(|error| panic!("{body}: {error}"));
    Document {
        id: DocumentId::new("docs/1-A").unwrap(),
        collection: Collection::new(collection).unwrap(),
        etag: Etag(7),
        last_modified: Timestamp(0),
        body: parsed.to_string().into(),
        metadata: format!(r#"{{"@collection":"{collection}","tag":"x"}}"#).into(),
    }
}

fn value(text: &str) -> Json {
    json::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Both tiers fold entries pair by pair, in fours and all at once.
fn fold(pair: &mut Pair, entries: &BTreeMap<String, (Vec<Json>, Vec<Json>)>) {
    for (key, values) in entries.values() {
        for width in [1, 2, 4, values.len().max(1)] {
            let mut level = values.clone();
            while level.len() > 1 || width == 1 {
                let next: Vec<Json> =
                    level.chunks(width).map(|part| pair.reduce(key, part).expect("samples reduce")).collect();
                level = next;
                if width == 1 {
                    break;
                }
            }
        }
    }
}

#[test]
fn samples_run_compiled_and_give_the_same() {
    let mut compiled = Vec::new();
    for (sample, index) in
        SAMPLES.iter().flat_map(|sample| sample.indexes.iter().map(move |index| (sample, index)))
    {
        let definition = index.definition().unwrap();
        let scripts = scripts(index.name, &definition.maps, definition.reduce.as_deref());
        // BigInts, load and finalize are the engine's; the others must not fall back to it unnoticed.
        if ScriptSource::new(&scripts).unwrap().tier() != Tier::Compiled {
            continue;
        }
        compiled.push(index.name);
        let mut pair = Pair::new(&definition.maps, definition.reduce.as_deref())
            .unwrap_or_else(|why| panic!("{}: {why}", index.name));
        let mut entries: BTreeMap<String, (Vec<Json>, Vec<Json>)> = BTreeMap::new();
        let mut failures = 0;
        for line in sample.events.lines().filter(|line| !line.trim().is_empty()) {
            let event = value(line);
            let collection = event.get("type").and_then(Json::as_str).expect("events have a type");
            match pair.map(&document(collection, line)) {
                Ok(emitted) => {
                    for output in emitted {
                        let group = entries.entry(format!("{:?}", output.key)).or_default();
                        group.0 = output.key;
                        group.1.push(output.value);
                    }
                }
                Err(_) => failures += 1,
            }
        }
        fold(&mut pair, &entries);
        let (handed_over, reason) = pair.handed_over();
        assert_eq!(handed_over, failures, "{}: {reason:?}", index.name);
    }
    assert_eq!(compiled, ["RuntimeByUser", "PartitionState", "JobState"]);
}

#[test]
fn what_is_not_understood_is_named_with_its_place() {
    for (script, construct, line) in [
        ("map('X', d => ({ a: this }))", "this", Some(1)),
        ("map('X', d => {\n  class A {}\n  return { a: 1 };\n})", "class", Some(2)),
        ("map('X', d => ({ a: JSON.parse(d.a) }))", "JSON.parse", Some(1)),
        ("map('X', d => ({ a: /(?=x)/.test(d.a) }))", "regular expression", Some(1)),
        ("let seen = [];\nseen.push(1);\nmap('X', d => ({ a: seen }))", "outside", Some(2)),
    ] {
        let maps = [script.to_owned()];
        let source = ScriptSource::new(&scripts("Not", &maps, None)).unwrap();
        let Tier::Boa(why) = source.tier() else { panic!("{script} is compiled") };
        assert!(why.construct.contains(construct), "{script}: {why:?}");
        assert_eq!(why.position.map(|position| position.line), line, "{script}");
        let refused = source.in_tier(TierChoice::Compiled).map(|_| ()).unwrap_err();
        assert_eq!(refused.position, why.position);
    }
}

#[test]
fn hostile_scripts_end() {
    for body in [
        "while (true) {}",
        "const f = () => f(); f()",
        "let a = []; for (;;) a.push(a.slice())",
        "let s = 'x'; for (;;) s += s",
        "const m = new Map(); for (let i = 0;; i++) m.set(i, i)",
        "let o = {}; for (let i = 0;; i++) o['k' + i] = i",
        "return { a: /(a|b|ab)*c/.test('ab'.repeat(5000)) }",
        "let a = 1; for (;;) a = [a, [a, a].flat()]",
    ] {
        let maps = [format!("map('X', d => {{ {body} }})")];
        let Ok(mut pair) = Pair::new(&maps, None) else { continue };
        let _ = pair.map(&document("X", "{}"));
    }
}
