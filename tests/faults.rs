//! Every commit may fail: for n = 1, 2, .. the n-th commit of a fixed workload fails, the machine "loses power", and
//! after reopening the data must be what was acknowledged, whole batches only, with every index equal to a rebuild, and
//! the documents that an index makes equal to its results.
//!
//! A failed commit is tried in every way it can end: not on disk, on disk although it reported a failure, and visible
//! but not durable.

#![cfg(test)]

use magpie_indexes::{IndexDefinition, Registry};
use magpie_store::json::{Json, Object};
use magpie_store::kv::Kv;
use magpie_store::kv::memory::{FailedCommit, MemoryKv};
use magpie_store::{
    Collection, CollectionFilter, Command, Database, DocumentId, Etag, NewDocument, StoreError, Timestamp,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const DATABASE_ID: &str = "0123456789abcdefghijkl";
const WAIT: Duration = Duration::from_secs(30);
/// Documents of one request; a request is there whole or not at all.
const PAIR: [&str; 2] = ["a", "b"];

/// Sums by kind, which become documents, and the total of those.
fn definitions() -> Vec<IndexDefinition> {
    let total = IndexDefinition {
        name: "Total".to_owned(),
        maps: vec!["map('Kinds', k => ({ all: 'all', n: k.n, count: k.count }))".to_owned()],
        reduce: Some(
            "groupBy(x => x.all).aggregate(g => ({ all: g.key,
                n: g.values.reduce((s, v) => s + v.n, 0), count: g.values.reduce((s, v) => s + v.count, 0) }))"
                .to_owned(),
        ),
        ..IndexDefinition::default()
    };
    vec![sums(), total]
}

fn sums() -> IndexDefinition {
    IndexDefinition {
        name: "Sums".to_owned(),
        output_reduce_to_collection: Some("Kinds".to_owned()),
        maps: vec!["map('Events', e => ({ kind: e.kind, n: e.n, count: 1 }))".to_owned()],
        reduce: Some(
            "groupBy(x => x.kind).aggregate(g => ({ kind: g.key,
                n: g.values.reduce((s, v) => s + v.n, 0), count: g.values.reduce((s, v) => s + v.count, 0) }))"
                .to_owned(),
        ),
        ..IndexDefinition::default()
    }
}

fn request(step: i64) -> Vec<Command> {
    let put = |half: &str| {
        let id = format!("events/{}-{half}", step % 7);
        let text = format!(r#"{{"kind":"k{}","n":{step},"@metadata":{{"@collection":"Events"}}}}"#, step % 3);
        let document = NewDocument::parse(&id, text.as_bytes()).unwrap();
        Command::Put { id, document, expected: None }
    };
    let delete =
        |half: &str| Command::Delete { id: format!("events/{}-{half}", (step + 3) % 7), expected: None };
    if step % 4 == 3 { PAIR.map(delete).to_vec() } else { PAIR.map(put).to_vec() }
}

/// Applies a request to the model: id -> n.
fn apply(model: &mut BTreeMap<String, i64>, step: i64) {
    for half in PAIR {
        if step % 4 == 3 {
            model.remove(&format!("events/{}-{half}", (step + 3) % 7));
        } else {
            model.insert(format!("events/{}-{half}", step % 7), step);
        }
    }
}

const STEPS: i64 = 12;

/// Runs the workload until it ends or a write fails. Gives how many steps were acknowledged and whether one failed.
fn work(kv: &Arc<MemoryKv>) -> (i64, bool) {
    let Ok(database) = Database::open(kv.clone(), DATABASE_ID) else { return (0, true) };
    let database = Arc::new(database);
    let Ok(registry) = Registry::open(database.clone(), Arc::new(|| Timestamp(0)), Vec::new()) else {
        return (0, true);
    };
    let mut outcome = (0, registry.put(definitions()).is_err());
    for step in 0..STEPS {
        match database.write(request(step), Timestamp(0)) {
            Ok(_) if !outcome.1 => outcome.0 = step + 1,
            Ok(_) => {}
            Err(_) => outcome.1 = true,
        }
        if outcome.1 {
            break;
        }
        // Waiting for the index now and then makes its commits fall between those of the documents.
        if step % 3 == 0
            && let Some(index) = registry.get("Total")
            && !registry.wait_until_followed_blocking(&index, database.last_etag(), WAIT)
        {
            outcome.1 = true;
            break;
        }
    }
    if outcome.1 {
        let refused = database.write(request(0), Timestamp(0));
        assert!(
            matches!(refused, Err(StoreError::WritesStopped { .. })),
            "after a failed commit the outcome is unknown: no more writes, but got {refused:?}"
        );
    }
    registry.stop();
    outcome
}

fn documents(database: &Database) -> BTreeMap<String, i64> {
    let view = database.view();
    let mut found = BTreeMap::new();
    for document in view.documents_by_prefix("events/", None).unwrap() {
        let document = document.unwrap();
        let n = document.body_json().get("n").and_then(Json::as_i64).unwrap();
        found.insert(document.id.as_str().to_owned(), n);
    }
    found
}

/// All rows of both indexes, once they have caught up.
fn rows(database: &Database, registry: &Registry) -> Vec<(Vec<u8>, Vec<u8>)> {
    let total = registry.get("Total").unwrap();
    assert!(
        registry.wait_until_followed_blocking(&total, database.last_etag(), WAIT),
        "the indexes catch up after the crash"
    );
    let view = database.view();
    let sums = registry.get("Sums").unwrap();
    [sums, total].iter().flat_map(|index| index.rows(&view).unwrap()).collect()
}

/// The documents of the output and the total are those that the events give.
fn judge_chain(database: &Database, registry: &Registry, events: &BTreeMap<String, i64>) {
    let view = database.view();
    let filter = CollectionFilter::Named(vec![Collection::new("Kinds").unwrap()]);
    let kinds = view.documents_in_etag_order(&filter, Etag(0)).unwrap();
    let kinds = kinds.map(|document| figures(&document.unwrap().body_json(), "kind"));
    let mut expected: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    for n in events.values() {
        let kind = expected.entry(format!("k{}", n % 3)).or_default();
        *kind = (kind.0 + *n as f64, kind.1 + 1.0);
    }
    assert_eq!(kinds.collect::<BTreeMap<_, _>>(), expected);
    let total = registry.get("Total").unwrap();
    let total = total.results(&view).map(|result| figures(result.unwrap().as_object().unwrap(), "all"));
    let all = expected.values().fold((0.0, 0.0), |all, kind| (all.0 + kind.0, all.1 + kind.1));
    let all = (!expected.is_empty()).then(|| ("all".to_owned(), all));
    assert_eq!(total.collect::<Vec<_>>(), all.into_iter().collect::<Vec<_>>());
}

fn figures(json: &Object, key: &str) -> (String, (f64, f64)) {
    let number = |field: &str| json.get(field).and_then(Json::as_number).unwrap().as_f64();
    (json.get(key).and_then(Json::as_str).unwrap().to_owned(), (number("n"), number("count")))
}

/// Reopens after the loss of power and judges what is there.
fn judge(kv: &Arc<MemoryKv>, acknowledged: i64, failed: bool) {
    kv.crash();
    let database = Arc::new(Database::open(kv.clone(), DATABASE_ID).unwrap());
    let found = documents(&database);
    let mut model = BTreeMap::new();
    (0..acknowledged).for_each(|step| apply(&mut model, step));
    if found != model {
        assert!(failed, "nothing failed, but the documents differ: {found:?} is not {model:?}");
        apply(&mut model, acknowledged);
        assert_eq!(
            found, model,
            "the documents are those of the acknowledged requests, or of one more, whole"
        );
    }
    let registry = Registry::open(database.clone(), Arc::new(|| Timestamp(0)), Vec::new()).unwrap();
    registry.put(definitions()).unwrap();
    let incremental = rows(&database, &registry);
    judge_chain(&database, &registry, &found);
    registry.reset("Sums").unwrap();
    registry.reset("Total").unwrap();
    assert_eq!(incremental, rows(&database, &registry));
    judge_chain(&database, &registry, &found);
    let id = DocumentId::new("events/none").unwrap();
    assert!(database.view().document(&id).unwrap().is_none());
    assert!(database.last_etag() >= Etag(0));
    registry.stop();
}

#[test]
fn whichever_commit_fails_nothing_acknowledged_is_lost() {
    for leaves in [FailedCommit::NotApplied, FailedCommit::Applied, FailedCommit::AppliedNotDurable] {
        let mut n = 1;
        loop {
            let kv = Arc::new(MemoryKv::new());
            kv.fail_commit_as(n, leaves);
            let (acknowledged, failed) = work(&kv);
            judge(&kv, acknowledged, failed);
            if !failed && kv.commits() < n {
                assert_eq!(acknowledged, STEPS);
                break;
            }
            n += 1;
        }
        assert!(n > STEPS as u64, "at least every write's commit has failed once, but only {n} were tried");
    }
}

#[test]
fn without_faults_a_view_is_one_state() {
    let kv = Arc::new(MemoryKv::new());
    let database = Database::open(kv.clone(), DATABASE_ID).unwrap();
    let before = database.view();
    database.write(request(0), Timestamp(0)).unwrap();
    assert!(before.documents_by_prefix("events/", None).unwrap().next().is_none(), "a view does not move");
    assert_eq!(documents(&database).len(), 2);
    assert!(kv.snapshot().get(magpie_store::kv::Space::Documents, b"events/0-a").unwrap().is_some());
}
