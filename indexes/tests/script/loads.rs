//! `load`: other documents in maps, found in rounds.

use super::{assert_error, document, document_in, on_script_thread, refused, source_of};
use magpie_indexes::function::FunctionErrorKind::{Arguments, Definition, Limit, Run};
use magpie_indexes::{Emitted, FunctionError, FunctionSource, LoadedCollections, Loads};
use magpie_store::{Collection, Document};
use std::collections::HashMap;
use std::sync::Arc;

/// Documents to load, and a record of who asked for them.
#[derive(Default)]
struct Shelf {
    documents: HashMap<String, Arc<Document>>,
    tracked: Vec<String>,
    untracked: Vec<String>,
}

impl Shelf {
    fn with(documents: &[(&str, &str, &str)]) -> Self {
        let documents = documents
            .iter()
            .map(|(collection, id, body)| (id.to_lowercase(), Arc::new(document_in(collection, id, body))));
        Self { documents: documents.collect(), ..Self::default() }
    }
}

impl Loads for Shelf {
    fn load(&mut self, id: &str, collection: Option<&Collection>, tracked: bool) -> Option<Arc<Document>> {
        if tracked { &mut self.tracked } else { &mut self.untracked }.push(id.to_owned());
        let found = self.documents.get(&id.to_lowercase())?;
        collection.is_none_or(|wanted| *wanted == found.collection).then(|| Arc::clone(found))
    }
}

fn shelf() -> Shelf {
    Shelf::with(&[
        ("Products", "products/1", r#"{"name":"Pen","supplier":"suppliers/1","price":2}"#),
        ("Products", "Products/2", r#"{"name":"Ink","supplier":"suppliers/9"}"#),
        ("Suppliers", "suppliers/1", r#"{"name":"Ann","region":"regions/1","deep":{"x":[1,2]}}"#),
        ("Regions", "regions/1", r#"{"name":"North"}"#),
    ])
}

fn map_with(map: &str, body: &str, shelf: &mut Shelf) -> Result<Vec<Emitted>, FunctionError> {
    let source = source_of(&[map], None).unwrap_or_else(|error| panic!("{map}: {error}"));
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(magpie_indexes::limits::SCRIPT_STACK_BYTES);
        let work = || source.create().unwrap().map(&document("things/1", body), shelf);
        thread.spawn_scoped(scope, work).unwrap().join().unwrap()
    })
}

fn loaded(map: &str, body: &str, shelf: &mut Shelf) -> String {
    let emitted = map_with(map, body, shelf).unwrap_or_else(|error| panic!("{map}: {error}"));
    assert_eq!(emitted.len(), 1, "{map}");
    emitted[0].value.to_string()
}

#[test]
fn loaded_documents_look_like_the_mapped_one() {
    let body = r#"{"p":"products/1","q":"PRODUCTS/2","none":"products/7","nul":null,"list":["products/1",null,"products/7","products/2"]}"#;
    for (value, expected) in [
        ("load(d.p, 'Products').name", r#""Pen""#),
        ("load(d.q, 'products').name", r#""Ink""#),
        ("id(load(d.q, 'Products'))", r#""Products/2""#),
        ("id(load('suppliers/1', 'Suppliers'))", r#""suppliers/1""#),
        ("getMetadata(load(d.p, 'Products'))['@collection']", r#""Products""#),
        ("load(d.p, 'Products')['@metadata']['@id']", r#""products/1""#),
        ("load(d.none, 'Products') === null", "true"),
        ("load(d.p, 'Suppliers')", "null"),
        ("load(d.none, 'Products').supplier.name.length ?? 'x'", r#""x""#),
        ("load(d.nul, 'Products')", "null"),
        ("load(d.missing, 'Products')", "null"),
        ("load('', 'Products')", "null"),
        ("load('x'.repeat(2000), 'Products')", "null"),
        ("load(d.p, '@all_docs').price", "2"),
        ("load(d.list, 'Products').map(p => p && p.name)", r#"["Pen",null,null,"Ink"]"#),
        ("load([], 'Products')", "[]"),
        ("noTracking.load(d.p, 'Products').name", r#""Pen""#),
        ("load(d.p, 'Products') === load('Products/1', 'Products')", "true"),
        ("load('suppliers/1', 'Suppliers').deep.x[1]", "2"),
        ("Object.keys(load('regions/1', 'Regions'))", r#"["name","@metadata"]"#),
        ("[d.p, d.q].map(x => load(x, 'Products').name).join()", r#""Pen,Ink""#),
        ("load(load(load(d.p, 'Products').supplier, 'Suppliers').region, 'Regions').name", r#""North""#),
        (
            "load(load(load(d.q, 'Products').supplier, 'Suppliers').region, 'Regions').name ?? 'none'",
            r#""none""#,
        ),
        ("((l, c) => l(d.p, c).name)(load, 'Products')", r#""Pen""#),
        ("noTracking?.load(d.p, 'Products').name", r#""Pen""#),
    ] {
        let text = loaded(&format!("map('Things', d => ({{ v: {value} }}))"), body, &mut shelf());
        assert_eq!(text, format!("{{\"v\":{expected}}}"), "{value}");
    }
}

#[test]
fn only_the_last_round_is_tracked() {
    let mut shelf = shelf();
    let map = "map('Things', d => {
        const product = load(d.p, 'Products');
        if (!product) load('products/wrong', 'Products');
        const supplier = load(product.supplier, 'Suppliers');
        const missing = load('suppliers/404', 'Suppliers');
        const region = noTracking.load(supplier.region, 'Regions');
        noTracking.load(d.p, 'Products');
        return { v: [product.name, supplier.name, missing, region.name] };
    })";
    assert_eq!(loaded(map, r#"{"p":"Products/1"}"#, &mut shelf), r#"{"v":["Pen","Ann",null,"North"]}"#);
    assert_eq!(shelf.tracked, ["Products/1", "suppliers/1", "suppliers/404"]);
    // Every document is fetched once, whatever the number of rounds.
    let mut fetched = shelf.untracked.clone();
    fetched.sort();
    assert_eq!(fetched, ["Products/1", "products/wrong", "regions/1", "suppliers/1", "suppliers/404"]);
}

#[test]
fn a_throw_in_a_round_with_missing_documents_is_not_final() {
    let mut shelf = shelf();
    let map = "map('Things', d => { const p = load(d.p, 'Products'); if (!p) throw new Error('no product'); return { v: p.name }; })";
    assert_eq!(loaded(map, r#"{"p":"products/1"}"#, &mut shelf), r#"{"v":"Pen"}"#);
    let error = map_with(map, r#"{"p":"products/7"}"#, &mut shelf).unwrap_err();
    assert_error(&error, Run, "Error: no product");
    assert_eq!(shelf.tracked, ["products/1", "products/7"], "a failing map still depends on what it loads");
    // Nor is running into a bound: the document may be what ends the loop.
    let map =
        "map('Things', d => { let p = null; while (!p) p = load(d.p, 'Products'); return { v: p.name }; })";
    assert_eq!(loaded(map, r#"{"p":"products/1"}"#, &mut shelf), r#"{"v":"Pen"}"#);
    assert_error(&map_with(map, r#"{"p":"products/7"}"#, &mut shelf).unwrap_err(), Limit, "statements");
}

#[test]
fn what_a_map_writes_into_a_loaded_document_stays_there() {
    let maps = [
        "map('Things', d => { const s = load('suppliers/1', 'Suppliers'); s.deep.x.push(9); s.name = 'x'; return { v: load('suppliers/1', 'Suppliers').name }; })",
        "map('Things', d => ({ v: load('suppliers/1', 'Suppliers') }))",
    ];
    let source = source_of(&maps, None).unwrap();
    let outputs: Vec<String> = on_script_thread(|| {
        let emitted = source.create().unwrap().map(&document("t/1", "{}"), &mut shelf()).unwrap();
        emitted.iter().map(|one| one.value.get("v").unwrap().to_string()).collect()
    });
    assert_eq!(outputs[0], "\"x\"");
    assert!(
        outputs[1].starts_with(r#"{"name":"Ann","region":"regions/1","deep":{"x":[1,2]}"#),
        "{}",
        outputs[1]
    );
}

#[test]
fn the_shape_names_the_collections() {
    let loads = |map: &str| source_of(&[map], None).unwrap().shape().loads.clone();
    let named = |names: &[&str]| {
        LoadedCollections::Named(names.iter().map(|name| Collection::new(name).unwrap()).collect())
    };
    assert_eq!(loads("map('Things', d => ({ v: 1 }))"), LoadedCollections::None);
    assert_eq!(loads("map('Things', d => ({ v: d.load('a', 'B') }))"), LoadedCollections::None);
    assert_eq!(
        loads("map('Things', d => { const load = (a, b) => a; return { v: load(d.a, d.b) }; })"),
        LoadedCollections::None
    );
    assert_eq!(loads("map('Things', d => ({ v: load(d.a, 'B'), w: load(d.b, \"b\") }))"), named(&["B"]));
    assert_eq!(
        loads(
            "function get(x) { return noTracking.load(x, 'C'); } map('Things', d => ({ v: get(load(d.a, 'B').c) }))"
        ),
        named(&["C", "B"])
    );
    for map in [
        "map('Things', d => ({ v: load(d.a, d.c) }))",
        "map('Things', d => ({ v: load(d.a, 'A' + 'B') }))",
        "map('Things', d => ({ v: load(d.a, `AB`) }))",
        "const l = load; map('Things', d => ({ v: l(d.a, 'B') }))",
        "map('Things', d => ({ v: load.call(null, d.a, 'B') }))",
        "map('Things', d => ({ v: noTracking['load'](d.a, 'B') }))",
        "map('Things', d => ({ v: load(d.a, '@all_docs') }))",
        "map('Things', d => { const { load: l } = noTracking; return { v: l(d.a, 'B') }; })",
    ] {
        assert_eq!(loads(map), LoadedCollections::All, "{map}");
    }
}

#[test]
fn wrong_loads_are_errors() {
    for (call, kind, part) in [
        ("load(5, 'Products')", Run, "expects two string arguments, but got: load(number, string)"),
        ("load({}, 'Products')", Run, "expects two string arguments"),
        ("load(['a', 7], 'Products')", Run, "expects two string arguments"),
        ("load('a', d.missing)", Run, "expects two string arguments, but got: load(string, undefined)"),
        ("load.apply(null, ['a'])", Run, "expects two arguments, but got: 1"),
    ] {
        let map = format!("map('Things', d => ({{ v: {call} }}))");
        assert_error(&map_with(&map, "{}", &mut shelf()).unwrap_err(), kind, part);
    }
    for call in ["load(d.a)", "noTracking.load(d.a)", "load(d.a, 'B', 1)"] {
        let error = refused(&[&format!("map('Things', d => ({{ v: {call} }}))")], None);
        assert_error(&error, Arguments, "load method is expecting two arguments");
    }
    let reduce = "groupBy(x => x.a).aggregate(g => ({ a: load(g.key, 'B') }))";
    assert_error(
        &refused(&["map('Things', d => ({ a: 1 }))"], Some(reduce)),
        Definition,
        "only available in a map",
    );
    // Through a helper it shows when it is called.
    let map = "function get(x) { return load(x, 'B'); } map('Things', d => ({ a: get(d.a) }))";
    let source = source_of(&[map], Some("groupBy(x => x.a).aggregate(g => ({ a: get('x') }))")).unwrap();
    let error = on_script_thread(|| {
        source.create().unwrap().reduce(&[super::json("1")], &[super::json("{}")]).unwrap_err()
    });
    assert_error(&error, Run, "load() is only available in a map");
    let error = refused(&["const x = load('a', 'B'); map('Things', d => ({ v: x }))"], None);
    assert!(error.message.contains("load() is only available in a map"), "{error}");
}

#[test]
fn loads_are_bounded() {
    let many = "map('Things', d => { for (let i = 0; i < 2000; i++) load('products/' + i, 'Products'); return { v: 1 }; })";
    assert_error(&map_with(many, "{}", &mut shelf()).unwrap_err(), Limit, "loads_per_document_max");
    let chain: Vec<(String, String)> =
        (0..40).map(|n| (format!("c/{n}"), format!("{{\"next\":\"c/{}\",\"n\":{n}}}", n + 1))).collect();
    let chain: Vec<(&str, &str, &str)> =
        chain.iter().map(|(id, body)| ("Chain", id.as_str(), body.as_str())).collect();
    let follow = |steps: usize| {
        let map = format!(
            "map('Things', d => {{ let c = {{ next: 'c/0' }}; for (let i = 0; i < {steps}; i++) c = load(c.next, 'Chain'); return {{ v: c.n }}; }})"
        );
        map_with(&map, "{}", &mut Shelf::with(&chain))
    };
    assert_eq!(follow(15).unwrap()[0].value.to_string(), r#"{"v":14}"#);
    assert_error(&follow(16).unwrap_err(), Limit, "load_rounds_max");
    let large = format!("{{\"x\":\"{}\"}}", "x".repeat(9 * 1024 * 1024));
    let mut shelf = Shelf::with(&[
        ("Large", "l/1", &large),
        ("Large", "l/2", &large),
        ("Large", "l/3", &large),
        ("Large", "l/4", &large),
    ]);
    let map = "map('Things', d => ({ v: load(['l/1', 'l/2', 'l/3', 'l/4'], 'Large').length }))";
    assert_error(&map_with(map, "{}", &mut shelf).unwrap_err(), Limit, "loaded_bytes_max");
}
