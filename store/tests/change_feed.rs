//! The change feed: each live document and tombstone once, in etag order, across collections; the purge; and a
//! comparison with a plain model over random commands.

#![cfg(test)]

use magpie_store::kv::memory::MemoryKv;
use magpie_store::{
    Collection, CollectionFilter, Command, Database, DocumentId, Etag, NewDocument, Outcome, StoreError,
    Timestamp,
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

fn put(id: &str, collection: &str) -> Command {
    let text = format!(r#"{{"@metadata":{{"@collection":"{collection}"}}}}"#);
    let document = NewDocument::parse(id, text.as_bytes()).unwrap();
    Command::Put { id: id.to_owned(), document, expected: None }
}

fn delete(id: &str) -> Command {
    Command::Delete { id: id.to_owned(), expected: None }
}

fn open(kv: &Arc<MemoryKv>) -> Database {
    Database::open(kv.clone(), "0123456789ABCDEFGHIJKL").unwrap()
}

fn database_after(commands: Vec<Command>) -> Database {
    let database = open(&Arc::new(MemoryKv::new()));
    for command in commands {
        database.write(vec![command], Timestamp(0)).unwrap();
    }
    database
}

fn named(names: &[&str]) -> CollectionFilter {
    CollectionFilter::Named(names.iter().map(|name| Collection::new(name).unwrap()).collect())
}

/// `etag id collection`, with a `-` before the id of a tombstone.
fn feed(database: &Database, filter: &CollectionFilter, after: u64, limit: usize) -> Vec<String> {
    let changes = database.view().changes_after(filter, Etag(after), limit).unwrap();
    let line = |change: magpie_store::Change| {
        let mark = if change.tombstone { "-" } else { "" };
        format!("{} {mark}{} {}", change.etag, change.id, change.collection)
    };
    changes.into_iter().map(line).collect()
}

fn stats(database: &Database) -> Vec<String> {
    let line = |s: magpie_store::CollectionStats| {
        format!("{} {} {} {}", s.collection, s.documents, s.tombstones, s.last_etag)
    };
    database.view().collections().unwrap().into_iter().map(line).collect()
}

#[test]
fn a_document_stands_at_its_last_write_only() {
    let database = database_after(vec![put("a", "Users"), put("b", "Users"), put("A", "users"), delete("b")]);
    assert_eq!(feed(&database, &named(&["USERS"]), 0, 10), ["3 A Users", "4 -b Users"]);
    assert_eq!(stats(&database), ["Users 1 1 4"]);
    assert_eq!(feed(&database, &named(&["users"]), 3, 10), ["4 -b Users"]);
    assert_eq!(feed(&database, &named(&["users"]), 4, 10), [""; 0]);
}

#[test]
fn several_collections_are_merged_and_limited() {
    let database = database_after(vec![
        put("a1", "A"),
        put("b1", "B"),
        put("Raven/Hilo/a", "@hilo"),
        put("a2", "A"),
        put("c1", "C"),
        put("b2", "B"),
    ]);
    let all = ["1 a1 A", "2 b1 B", "4 a2 A", "5 c1 C", "6 b2 B"];
    assert_eq!(feed(&database, &CollectionFilter::All, 0, 10), all, "without @hilo");
    assert_eq!(feed(&database, &CollectionFilter::All, 1, 3), all[1..4]);
    assert_eq!(feed(&database, &CollectionFilter::All, 1, 0), [""; 0]);
    assert_eq!(feed(&database, &named(&["b", "C", "B", "nobody"]), 0, 10), ["2 b1 B", "5 c1 C", "6 b2 B"]);
    assert_eq!(feed(&database, &named(&["@hilo"]), 0, 10), ["3 Raven/Hilo/a @hilo"]);
    let view = database.view();
    assert_eq!(view.last_etag_of(&CollectionFilter::All).unwrap(), Etag(6));
    assert_eq!(view.last_etag_of(&named(&["a", "@hilo"])).unwrap(), Etag(4));
    assert_eq!(view.last_etag_of(&named(&["nobody"])).unwrap(), Etag(0));
    let ids =
        |documents: &mut dyn Iterator<Item = Result<magpie_store::Document, StoreError>>| -> Vec<String> {
            documents.map(|document| document.unwrap().id.to_string()).collect()
        };
    assert_eq!(
        ids(&mut view.documents_newest_first(&CollectionFilter::All).unwrap()),
        ["b2", "c1", "a2", "b1", "a1"]
    );
    assert_eq!(
        ids(&mut view.documents_in_etag_order(&named(&["b", "a"]), Etag(1)).unwrap()),
        ["b1", "a2", "b2"]
    );
}

#[test]
fn a_name_that_begins_like_another_is_another_collection() {
    let database =
        database_after(vec![put("1", "Users"), put("2", "Users2"), put("3", "User"), put("4", "Users 2")]);
    assert_eq!(feed(&database, &named(&["users"]), 0, 10), ["1 1 Users"]);
    assert_eq!(feed(&database, &named(&["user"]), 0, 10), ["3 3 User"]);
}

#[test]
fn tombstones_are_replaced_in_the_same_collection_and_kept_in_another() {
    let database = database_after(vec![put("a", "A"), delete("a"), put("a", "A")]);
    assert_eq!(feed(&database, &CollectionFilter::All, 0, 10), ["3 a A"]);
    assert_eq!(stats(&database), ["A 1 0 3"]);

    let database = database_after(vec![put("a", "A"), delete("a"), put("a", "B")]);
    assert_eq!(feed(&database, &CollectionFilter::All, 0, 10), ["2 -a A", "3 a B"]);
    assert_eq!(stats(&database), ["A 0 1 2", "B 1 0 3"]);

    let database =
        database_after(vec![put("a", "A"), delete("a"), put("a", "B"), delete("a"), put("a", "A")]);
    assert_eq!(feed(&database, &CollectionFilter::All, 0, 10), ["4 -a B", "5 a A"]);
    assert_eq!(stats(&database), ["A 1 0 5", "B 0 1 4"]);
}

#[test]
fn a_purge_removes_tombstones_up_to_its_etag_and_nothing_else() {
    let commands = || vec![put("a", "A"), put("b", "A"), delete("a"), delete("b"), put("b", "B")];
    let database = database_after(commands());
    assert_eq!(database.purge_tombstones(Etag(3)).unwrap(), 1);
    assert_eq!(feed(&database, &CollectionFilter::All, 0, 10), ["4 -b A", "5 b B"]);
    assert_eq!(stats(&database), ["A 0 1 4", "B 1 0 5"]);
    assert_eq!(database.purge_tombstones(Etag(u64::MAX)).unwrap(), 1);
    assert_eq!(database.purge_tombstones(Etag(u64::MAX)).unwrap(), 0);
    assert_eq!(feed(&database, &CollectionFilter::All, 0, 10), ["5 b B"]);
    assert_eq!(stats(&database), ["A 0 0 0", "B 1 0 5"]);
    database.write(vec![delete("b"), put("b", "A")], Timestamp(0)).unwrap();
    assert_eq!(feed(&database, &CollectionFilter::All, 0, 10), ["6 -b B", "7 b A"]);
}

#[test]
fn a_purge_of_many_tombstones_among_many_documents_is_complete() {
    let database = open(&Arc::new(MemoryKv::new()));
    let ids: Vec<String> = (0..26_000).map(|n| format!("d/{n}")).collect();
    database.write(ids.iter().map(|id| put(id, "D")).collect(), Timestamp(0)).unwrap();
    let doomed: Vec<&String> = ids.iter().take(25_000).filter(|id| id.ends_with(['1', '2'])).collect();
    database.write(doomed.iter().map(|id| delete(id)).collect(), Timestamp(0)).unwrap();
    assert_eq!(database.purge_tombstones(Etag(u64::MAX)).unwrap(), doomed.len() as u64);
    let view = database.view();
    assert_eq!(stats(&database), [format!("D {} 0 26000", ids.len() - doomed.len())]);
    assert_eq!(
        view.documents_in_etag_order(&named(&["d"]), Etag(0)).unwrap().count(),
        ids.len() - doomed.len()
    );
}

/// What the store should hold, kept in the plainest way.
#[derive(Default)]
struct Model {
    last_etag: u64,
    /// By id: collection and etag of the live document.
    live: BTreeMap<String, (String, u64)>,
    /// By collection and id: etag of the tombstone.
    tombstones: BTreeMap<(String, String), u64>,
}

impl Model {
    fn put(&mut self, id: &str, collection: &str) -> bool {
        if self.live.get(id).is_some_and(|(current, _)| current != collection) {
            return false;
        }
        self.last_etag += 1;
        self.live.insert(id.to_owned(), (collection.to_owned(), self.last_etag));
        self.tombstones.remove(&(collection.to_owned(), id.to_owned()));
        true
    }

    fn delete(&mut self, id: &str) {
        if let Some((collection, _)) = self.live.remove(id) {
            self.last_etag += 1;
            self.tombstones.insert((collection, id.to_owned()), self.last_etag);
        }
    }

    fn delete_prefix(&mut self, prefix: &str) {
        let ids: Vec<String> = self.live.keys().filter(|id| id.starts_with(prefix)).cloned().collect();
        ids.iter().for_each(|id| self.delete(id));
    }

    fn feed(&self) -> Vec<String> {
        let live =
            self.live.iter().map(|(id, (collection, etag))| (*etag, format!("{etag} {id} {collection}")));
        let dead = self
            .tombstones
            .iter()
            .map(|((collection, id), etag)| (*etag, format!("{etag} -{id} {collection}")));
        let rows: BTreeMap<u64, String> = live.chain(dead).collect();
        rows.into_values().collect()
    }
}

#[derive(Debug, Clone)]
enum Step {
    Put(u8, u8),
    Delete(u8),
    DeletePrefix(u8),
    Purge(u8),
    Reopen,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0_u8..12, 0_u8..3).prop_map(|(id, collection)| Step::Put(id, collection)),
        6 => (0_u8..12).prop_map(Step::Delete),
        1 => (0_u8..3).prop_map(Step::DeletePrefix),
        1 => any::<u8>().prop_map(Step::Purge),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_store_equals_the_model(steps in prop::collection::vec(any_step(), 1..60)) {
        let kv = Arc::new(MemoryKv::new());
        let mut database = open(&kv);
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Put(id, collection) => {
                    let (id, collection) = (format!("{}/{id}", id % 3), format!("c{collection}"));
                    let written = database.write(vec![put(&id, &collection)], Timestamp(0));
                    if model.put(&id, &collection) {
                        prop_assert!(written.is_ok());
                    } else {
                        let refused = matches!(written, Err(StoreError::CollectionMismatch { .. }));
                        prop_assert!(refused);
                    }
                }
                Step::Delete(id) => {
                    let id = format!("{}/{id}", id % 3);
                    let there = model.live.contains_key(&id);
                    let outcomes = database.write(vec![delete(&id)], Timestamp(0)).unwrap();
                    let deleted = matches!(&outcomes[..], [Outcome::Deleted { etag: Some(_), .. }]);
                    prop_assert_eq!(deleted, there);
                    model.delete(&id);
                }
                Step::DeletePrefix(n) => {
                    let prefix = format!("{n}/");
                    database.write(vec![Command::DeletePrefix { prefix: prefix.clone() }], Timestamp(0)).unwrap();
                    model.delete_prefix(&prefix);
                }
                Step::Purge(up_to) => {
                    database.purge_tombstones(Etag(u64::from(up_to))).unwrap();
                    model.tombstones.retain(|_, etag| *etag > u64::from(up_to));
                }
                Step::Reopen => {
                    drop(database);
                    kv.crash();
                    database = open(&kv);
                }
            }
            prop_assert_eq!(database.last_etag(), Etag(model.last_etag));
            prop_assert_eq!(feed(&database, &CollectionFilter::All, 0, usize::MAX), model.feed());
        }
        let view = database.view();
        for stats in view.collections().unwrap() {
            let name = stats.collection.key();
            let live = model.live.values().filter(|(collection, _)| collection == name);
            let dead = model.tombstones.iter().filter(|((collection, _), _)| collection == name);
            let newest = live.clone().map(|(_, etag)| *etag).chain(dead.clone().map(|(_, etag)| *etag)).max();
            prop_assert_eq!(stats.documents, live.count() as u64);
            prop_assert_eq!(stats.tombstones, dead.count() as u64);
            prop_assert_eq!(stats.last_etag, Etag(newest.unwrap_or(0)));
        }
        for (id, (collection, etag)) in &model.live {
            let document = view.document(&DocumentId::new(id).unwrap()).unwrap().unwrap();
            prop_assert_eq!((document.etag, document.collection.as_str()), (Etag(*etag), collection.as_str()));
        }
        prop_assert_eq!(view.documents_by_prefix("", None).unwrap().count(), model.live.len());
    }
}
