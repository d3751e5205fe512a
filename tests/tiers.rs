//! The compiled script tier gives what the engine gives, bit for bit: for every sample, for edge cases written by hand,
//! and for generated scripts over generated documents.

use magpie_indexes::definition::Numbers;
use magpie_indexes::function::{Emitted, FunctionError, FunctionSource, IndexFunction, Loads};
use magpie_indexes::script::{ScriptSource, Scripts, Tier, TierChoice};
use magpie_samples::{SAMPLES, SampleIndex};
use magpie_store::json::{self, Json};
use magpie_store::{Collection, Document, DocumentId, Etag, Timestamp, ordered};
use std::collections::BTreeMap;
use std::sync::Arc;

mod bodies;
mod cases;
mod generated;
mod larger;
mod nothing;
mod rows;

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
    loads: Library,
    /// The ids that the last map loaded with tracking.
    tracked: Vec<String>,
}

/// Documents that can be loaded, and the ids of those that were loaded with tracking.
#[derive(Clone, Default)]
struct Library {
    documents: BTreeMap<String, Arc<Document>>,
    tracked: Vec<String>,
}

impl Loads for Library {
    fn load(&mut self, id: &str, collection: Option<&Collection>, tracked: bool) -> Option<Arc<Document>> {
        if tracked {
            self.tracked.push(id.to_owned());
        }
        let found = self.documents.get(&id.to_lowercase())?;
        collection.is_none_or(|wanted| *wanted == found.collection).then(|| Arc::clone(found))
    }
}

impl Pair {
    fn new(maps: &[String], reduce: Option<&str>) -> Result<Self, String> {
        Self::of(maps, reduce, None, Numbers::default())
    }

    fn of(
        maps: &[String],
        reduce: Option<&str>,
        finalize: Option<&str>,
        numbers: Numbers,
    ) -> Result<Self, String> {
        Self::of_scripts(&Scripts { finalize, numbers, ..scripts("Both", maps, reduce) })
    }

    fn of_scripts(scripts: &Scripts<'_>) -> Result<Self, String> {
        let source = |choice| ScriptSource::new(scripts).and_then(|source| source.in_tier(choice));
        let compiled = source(TierChoice::Compiled).map_err(|error| error.to_string())?;
        let boa = source(TierChoice::Boa).map_err(|error| error.to_string())?;
        assert_eq!(compiled.tier(), Tier::Compiled);
        let functions =
            [compiled.create(), boa.create()].map(|function| function.expect("it was loaded before"));
        Ok(Self { compiled, functions, loads: Library::default(), tracked: Vec::new() })
    }

    /// Maps in both tiers; fails when they differ.
    fn map(&mut self, document: &Document) -> Result<Vec<Emitted>, FunctionError> {
        let handed_over = self.handed_over().0;
        let [one, other] = &mut self.functions;
        let (mut loads, mut other_loads) = (self.loads.clone(), self.loads.clone());
        let (one, other) = (one.map(document, &mut loads), other.map(document, &mut other_loads));
        assert_eq!(one, other, "compiled and boa map {} differently", document.body);
        assert_eq!(loads.tracked, other_loads.tracked, "{}", document.body);
        self.tracked = loads.tracked;
        let [compiled, boa] = &self.functions;
        assert_eq!(compiled.inexact_fields(), boa.inexact_fields(), "{}", document.body);
        if self.handed_over().0 == handed_over {
            self.map_stored(document, &one);
        }
        one
    }

    /// Reduces in both tiers; fails when they differ.
    fn reduce(&mut self, key: &[Json], values: &[Json]) -> Result<Json, FunctionError> {
        let handed_over = self.handed_over().0;
        let [one, other] = &mut self.functions;
        let (one, other) = (one.reduce(key, values), other.reduce(key, values));
        assert_eq!(one, other, "compiled and boa reduce {values:?} differently");
        if self.handed_over().0 == handed_over {
            self.reduce_stored(key, values, &one);
        }
        one
    }

    /// Maps to stored outputs; fails when they are not those of `outcome`.
    fn map_stored(&mut self, document: &Document, outcome: &Result<Vec<Emitted>, FunctionError>) {
        let before = self.handed_over();
        let [compiled, _] = &mut self.functions;
        let stored =
            compiled.map_stored(document, &mut self.loads.clone()).expect("it knows stored outputs").unwrap();
        let expected = outcome.as_ref().unwrap();
        assert_eq!(stored.len(), expected.len());
        for (stored, expected) in stored.iter().zip(expected) {
            let (mut key, mut value) = (Vec::new(), Vec::new());
            expected.key.iter().for_each(|value| ordered::encode(value, &mut key));
            expected.value.write_stored_to(&mut value);
            assert_eq!(stored.key, key, "{}", document.body);
            assert_eq!(
                String::from_utf8_lossy(&stored.value),
                String::from_utf8_lossy(&value),
                "{}",
                document.body
            );
            let odd = |number: &str| String::from_utf8_lossy(&value).contains(number);
            assert!(
                stored.odd_numbers || !odd(":NaN") && !odd(":Infinity") && !odd(":-Infinity"),
                "{value:?}"
            );
        }
        assert_eq!(self.handed_over(), before, "{}", document.body);
    }

    /// Reduces stored values; fails when it does not give `outcome`.
    fn reduce_stored(&mut self, key: &[Json], values: &[Json], outcome: &Result<Json, FunctionError>) {
        let before = self.handed_over();
        let stored_text = |value: &Json| {
            let mut text = Vec::new();
            value.write_stored_to(&mut text);
            text
        };
        let texts: Vec<Vec<u8>> = values.iter().map(stored_text).collect();
        let texts: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
        let [compiled, _] = &mut self.functions;
        let stored = compiled.reduce_stored(key, &texts).expect("it knows stored values").unwrap();
        let expected = stored_text(outcome.as_ref().unwrap());
        assert_eq!(String::from_utf8_lossy(&stored.text), String::from_utf8_lossy(&expected), "{values:?}");
        assert_eq!(self.handed_over(), before, "{values:?}");
    }

    /// Finalizes in both tiers; fails when they differ.
    fn finalize(&mut self, reduced: &Json) -> Result<Option<Json>, FunctionError> {
        let [one, other] = &mut self.functions;
        let (one, other) = (one.finalize(reduced), other.finalize(reduced));
        assert_eq!(one, other, "compiled and boa finalize {reduced} differently");
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
        last_modified: Timestamp(17_123_456_789_123_456),
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

/// The document ids and bodies of a collection, and the documents that results become.
type Bodies = Vec<(String, String)>;

/// Runs one index of a sample over documents in both tiers; gives the documents that its results become.
fn run_sample(index: &SampleIndex, documents: &Bodies) -> Bodies {
    let definition = index.definition().unwrap();
    let scripts = Scripts {
        additional_sources: &definition.additional_sources,
        finalize: definition.finalize_script(),
        numbers: definition.numbers().unwrap(),
        ..scripts(index.name, &definition.maps, definition.reduce.as_deref())
    };
    // None must fall back to the engine unnoticed.
    let mut pair = Pair::of_scripts(&scripts).unwrap_or_else(|why| panic!("{}: {why}", index.name));
    let mut entries: BTreeMap<String, (Vec<Json>, Vec<Json>)> = BTreeMap::new();
    let (mut failures, mut outputs) = (0, 0);
    for (collection, body) in documents {
        match pair.map(&document(collection, body)) {
            Ok(emitted) => {
                for output in emitted {
                    outputs += 1;
                    let group = entries.entry(format!("{:?}", output.key)).or_default();
                    group.0 = output.key;
                    group.1.push(output.value);
                }
            }
            Err(_) => failures += 1,
        }
    }
    assert!(outputs > 0, "{} maps nothing", index.name);
    fold(&mut pair, &entries);
    let mut results = Vec::new();
    for (key, values) in entries.values().filter(|_| definition.reduce.is_some()) {
        let reduced = pair.reduce(key, values).expect("samples reduce");
        if let Some(result) = pair.finalize(&reduced).expect("samples finalize")
            && let Some(collection) = &definition.output_reduce_to_collection
        {
            results.push((collection.clone(), result.to_string()));
        }
    }
    let (handed_over, reason) = pair.handed_over();
    assert_eq!(handed_over, failures, "{}: {reason:?}", index.name);
    results
}

#[test]
fn samples_run_compiled_and_give_the_same() {
    let mut ran = 0;
    for sample in SAMPLES {
        let lines = sample.events.lines().filter(|line| !line.trim().is_empty());
        let mut documents: Bodies = lines
            .map(|line| {
                let collection =
                    value(line).get("type").and_then(Json::as_str).expect("events have a type").to_owned();
                (collection, line.to_owned())
            })
            .collect();
        for index in sample.indexes {
            let results = run_sample(index, &documents);
            documents.extend(results);
            ran += 1;
        }
    }
    assert!(ran >= 8, "only {ran} indexes");
}

#[test]
fn what_is_not_understood_is_named_with_its_place() {
    for (script, construct, line) in [
        ("map('X', d => ({ a: this }))", "this", Some(1)),
        ("map('X', d => {\n  class A {}\n  return { a: 1 };\n})", "class", Some(2)),
        ("map('X', d => ({ a: escape(d.a), b: encodeURI(d.b) }))", "encodeURI", Some(1)),
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
