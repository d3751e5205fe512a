//! What each command does, what it refuses, and that a request is all or nothing.

#![cfg(test)]

use magpie_store::kv::memory::MemoryKv;
use magpie_store::{
    CollectionFilter, Command, Database, DocumentId, Etag, NewDocument, Outcome, StoreError, Timestamp,
};
use std::sync::{Arc, Mutex};

const ID: &str = "0123456789ABCDEFGHIJKL";

fn database() -> Database {
    Database::open(Arc::new(MemoryKv::new()), ID).unwrap()
}

fn document(collection: &str, n: u64) -> NewDocument {
    let text = format!(r#"{{"n":{n},"@metadata":{{"@collection":"{collection}"}}}}"#);
    NewDocument::parse("x", text.as_bytes()).unwrap()
}

fn put(id: &str, collection: &str, n: u64) -> Command {
    Command::Put { id: id.to_owned(), document: document(collection, n), expected: None }
}

fn put_expecting(id: &str, expected: &str) -> Command {
    Command::Put { id: id.to_owned(), document: document("Users", 0), expected: Some(expected.to_owned()) }
}

fn delete(id: &str, expected: Option<&str>) -> Command {
    Command::Delete { id: id.to_owned(), expected: expected.map(str::to_owned) }
}

fn write(database: &Database, commands: Vec<Command>) -> Result<Vec<Outcome>, StoreError> {
    database.write(commands, Timestamp(0))
}

fn body(database: &Database, id: &str) -> Option<String> {
    let id = DocumentId::new(id).unwrap();
    database.view().document(&id).unwrap().map(|document| document.body.into())
}

fn put_ids(outcomes: &[Outcome]) -> Vec<&str> {
    let mut ids = Vec::new();
    for outcome in outcomes {
        let Outcome::Put { id, .. } = outcome else { panic!("{outcome:?}") };
        ids.push(id.as_str());
    }
    ids
}

#[test]
fn a_document_comes_back_as_it_was_written() {
    let database = database();
    let text =
        br#"{"z":1.0,"a":{"big":123456789012345678901234567890},"@metadata":{"X":1,"@collection":"Users"}}"#;
    let put = Command::Put {
        id: "Users/1".into(),
        document: NewDocument::parse("x", text).unwrap(),
        expected: None,
    };
    let outcomes = database.write(vec![put], Timestamp(17)).unwrap();
    let [
        Outcome::Put {
            id,
            collection,
            has_collection_key: true,
            etag: Etag(1),
            last_modified: Timestamp(17),
        },
    ] = &outcomes[..]
    else {
        panic!("{outcomes:?}")
    };
    assert_eq!((id.as_str(), collection.as_str()), ("Users/1", "Users"));
    let view = database.view();
    let found = view.document(&DocumentId::new("uSERS/1").unwrap()).unwrap().unwrap();
    assert_eq!(
        found.wire_json(view.database_id()).to_string(),
        r#"{"z":1.0,"a":{"big":123456789012345678901234567890},"@metadata":{"X":1,"@collection":"Users","#
            .to_owned()
            + r#""@change-vector":"A:1-0123456789ABCDEFGHIJKL","@id":"Users/1","@last-modified":"1970-01-01T00:00:00.0000017Z"}}"#
    );
    assert_eq!((database.last_etag(), view.last_etag(), database.id()), (Etag(1), Etag(1), ID));
}

#[test]
fn without_a_collection_key_the_outcome_says_so() {
    let database = database();
    let plain =
        Command::Put { id: "a".into(), document: NewDocument::parse("a", b"{}").unwrap(), expected: None };
    let outcomes = write(&database, vec![plain]).unwrap();
    assert!(matches!(&outcomes[..],
        [Outcome::Put { collection, has_collection_key: false, .. }] if collection.as_str() == "@empty"));
}

#[test]
fn an_import_may_keep_the_time_of_the_source() {
    let database = database();
    let old = document("Users", 1).with_last_modified(Timestamp(5));
    database
        .write(vec![Command::Put { id: "a".into(), document: old, expected: None }], Timestamp(9))
        .unwrap();
    let view = database.view();
    assert_eq!(view.document(&DocumentId::new("a").unwrap()).unwrap().unwrap().last_modified, Timestamp(5));
}

#[test]
fn expected_change_vectors_are_checked() {
    let database = database();
    write(&database, vec![put("a", "Users", 1)]).unwrap();
    let current = format!("A:1-{ID}");
    for (command, actual, message) in [
        (
            put_expecting("A", ""),
            Some(&current),
            "Document A has change vector A:1-0123456789ABCDEFGHIJKL, but Put was called with expecting new document.",
        ),
        (put_expecting("a", "A:2-x"), Some(&current), "but Put was called with change vector A:2-x."),
        (
            put_expecting("b", "A:2-x"),
            None,
            "Document b does not exist, but Put was called with change vector: A:2-x.",
        ),
        (delete("a", Some("A:2-x")), Some(&current), "but Delete was called with change vector 'A:2-x'."),
        (
            delete("b", Some("A:2-x")),
            None,
            "Document b does not exist, but delete was called with change vector 'A:2-x'.",
        ),
    ] {
        let error = write(&database, vec![command]).unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
        let StoreError::Conflict { actual: found, .. } = error else { panic!("{error}") };
        assert_eq!(found.as_ref(), actual);
    }
    assert_eq!(database.last_etag(), Etag(1), "refused requests use up no etag");
    write(&database, vec![put_expecting("a", &current), put_expecting("b", "")]).unwrap();
    write(&database, vec![delete("a", Some(&format!("A:2-{ID}")))]).unwrap();
    let nothing_to_delete = write(&database, vec![delete("c", Some(""))]).unwrap_err();
    assert!(matches!(nothing_to_delete, StoreError::Conflict { actual: None, .. }), "{nothing_to_delete}");
    assert_eq!((body(&database, "a"), body(&database, "b").as_deref()), (None, Some(r#"{"n":0}"#)));
}

#[test]
fn deleting_what_is_not_there_is_no_error_and_no_write() {
    let kv = Arc::new(MemoryKv::new());
    let database = Database::open(kv.clone(), ID).unwrap();
    let commits = kv.commits();
    let outcomes = write(&database, vec![delete("Nobody", None)]).unwrap();
    assert_eq!(outcomes, [Outcome::Deleted { id: "Nobody".into(), etag: None }]);
    assert_eq!(write(&database, Vec::new()).unwrap(), []);
    assert_eq!(kv.commits(), commits);
}

#[test]
fn a_request_is_all_or_nothing_and_sees_its_own_commands() {
    let database = database();
    write(&database, vec![put("a", "Users", 1)]).unwrap();
    let before: Vec<_> = database.view().changes_after(&CollectionFilter::All, Etag(0), 100).unwrap();
    let broken = vec![
        put("new", "Fresh", 1),
        put("a", "Users", 2),
        delete("a", None),
        Command::DeletePrefix { prefix: String::new() },
        put_expecting("x", "A:99-nobody"),
    ];
    assert!(matches!(write(&database, broken), Err(StoreError::Conflict { .. })));
    assert_eq!(database.view().changes_after(&CollectionFilter::All, Etag(0), 100).unwrap(), before);
    assert_eq!(database.view().collections().unwrap().len(), 1);
    assert_eq!(body(&database, "a").as_deref(), Some(r#"{"n":1}"#));

    let chained = vec![
        put("b", "Users", 1),
        put_expecting("B", &format!("A:2-{ID}")),
        delete("b", Some(&format!("A:3-{ID}"))),
        put_expecting("b", ""),
    ];
    assert_eq!(write(&database, chained).unwrap().len(), 4);
    assert_eq!(database.last_etag(), Etag(5));
}

#[test]
fn a_put_does_not_move_a_document_to_another_collection() {
    let database = database();
    write(&database, vec![put("a", "Users", 1)]).unwrap();
    write(&database, vec![put("a", "uSERS", 2)]).unwrap();
    let error = write(&database, vec![put("a", "Orders", 1)]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Changing 'a' from 'Users' to 'Orders' via update is not supported. \
         Delete it and recreate the document 'a'."
    );
    let plain =
        Command::Put { id: "a".into(), document: NewDocument::parse("a", b"{}").unwrap(), expected: None };
    let error = write(&database, vec![plain]).unwrap_err();
    assert!(matches!(error, StoreError::CollectionMismatch { to, .. } if to == "@empty"));
    write(&database, vec![delete("a", None), put("a", "Orders", 1)]).unwrap();
    let spelt: Vec<String> =
        database.view().collections().unwrap().iter().map(|stats| stats.collection.to_string()).collect();
    assert_eq!(spelt, ["Orders", "Users"], "the first spelling stays");
}

#[test]
fn ids_that_end_with_a_slash_get_the_etag() {
    let database = database();
    let outcomes =
        write(&database, vec![put("a", "Users", 1), put("Users/", "Users", 2), put("Users/", "Users", 3)]);
    assert_eq!(
        put_ids(&outcomes.unwrap()),
        ["a", "Users/0000000000000000002-A", "Users/0000000000000000003-A"]
    );
    write(&database, vec![put("users/0000000000000000005-a", "Users", 0)]).unwrap();
    let taken = write(&database, vec![put("Users/", "Users", 4)]).unwrap_err();
    assert!(matches!(taken, StoreError::Conflict { expected, .. } if expected.is_empty()));
}

#[test]
fn ids_that_end_with_a_bar_get_the_next_identity() {
    let database = database();
    let outcomes =
        write(&database, vec![put("Users|", "Users", 1), put("users|", "Users", 2), put("o|", "O", 1)]);
    assert_eq!(put_ids(&outcomes.unwrap()), ["Users/1", "users/2", "o/1"]);
    assert_eq!(database.next_identity("USERS").unwrap(), 3);
    assert_eq!(database.seed_identity("users|", 2, false).unwrap(), 3);
    assert_eq!(database.seed_identity("users|", 10, false).unwrap(), 10);
    assert_eq!(database.seed_identity("users|", 7, true).unwrap(), 7);
    assert_eq!(database.view().identities().unwrap(), [("o|".to_owned(), 1), ("users|".to_owned(), 7)]);
    write(&database, vec![put("users/8", "Users", 0)]).unwrap();
    let taken = write(&database, vec![put("users|", "Users", 1)]).unwrap_err();
    assert!(matches!(taken, StoreError::Conflict { id, .. } if id == "users/8"));
    let outcomes = write(&database, vec![put("users|", "Users", 1)]).unwrap();
    assert_eq!(put_ids(&outcomes), ["users/9"], "a number is used up even by a request that fails");
    assert!(matches!(write(&database, vec![put("|", "Users", 1)]), Err(StoreError::InvalidId { .. })));
    database.seed_identity("end", u64::MAX, true).unwrap();
    assert!(matches!(database.next_identity("end|"), Err(StoreError::InvalidId { .. })));
}

#[test]
fn compare_exchange_values_change_with_the_documents_of_their_request_or_not_at_all() {
    let database = database();
    let set = |key: &str, n: i64, expected: Option<u64>| Command::PutCompareExchange {
        key: key.into(),
        value: magpie_store::json::Json::from(n),
        expected,
    };
    let delete =
        |key: &str, expected: Option<u64>| Command::DeleteCompareExchange { key: key.into(), expected };
    let exchanged = |key: &str, index: u64| Outcome::CompareExchanged { key: key.into(), index };
    let outcomes = write(
        &database,
        vec![set("A", 1, Some(0)), put("users/1", "Users", 1), set("a", 2, Some(2)), set("b", 3, None)],
    )
    .unwrap();
    assert_eq!([&outcomes[0], &outcomes[2]], [&exchanged("a", 2), &exchanged("a", 3)]);
    for refused in [set("b", 4, Some(0)), set("c", 4, Some(9)), delete("b", Some(1)), delete("c", Some(1))] {
        let refused = write(&database, vec![put("users/2", "Users", 1), set("d", 1, None), refused]);
        assert!(matches!(refused, Err(StoreError::ExchangeConflict { .. })), "{refused:?}");
    }
    let view = database.view();
    assert_eq!(view.compare_exchange("A").unwrap().map(|value| value.index), Some(3));
    assert!(view.compare_exchange("d").unwrap().is_none());
    assert!(view.document(&DocumentId::new("users/2").unwrap()).unwrap().is_none());
    drop(view);
    // A conflict of a document takes the values with it, and no index is given twice.
    assert!(write(&database, vec![set("b", 9, Some(4)), put_expecting("users/1", "")]).is_err());
    assert_eq!(database.put_compare_exchange("b", 5_i64.into(), 4).unwrap().index, 5);
    let outcomes = write(&database, vec![delete("b", Some(5)), delete("none", None), set("b", 1, Some(0))]);
    assert_eq!(outcomes.unwrap(), [exchanged("b", 6), exchanged("none", 0), exchanged("b", 7)]);
}

#[test]
fn a_check_writes_nothing_and_fails_the_request_when_the_document_changed() {
    let database = database();
    let check = |id: &str, expected: &str| Command::Check { id: id.into(), expected: expected.into() };
    write(&database, vec![put("users/1", "Users", 1)]).unwrap();
    let vector = magpie_store::ChangeVector::new(Etag(1), database.id()).as_str().to_owned();
    let outcomes = write(&database, vec![check("USERS/1", &vector), check("users/2", "")]).unwrap();
    assert_eq!(outcomes, [Outcome::Checked, Outcome::Checked]);
    assert_eq!(database.last_etag(), Etag(1));

    // It sees what the same request did before it.
    let refused = write(&database, vec![put("users/1", "Users", 2), check("users/1", &vector)]);
    assert!(matches!(refused, Err(StoreError::Conflict { .. })), "{refused:?}");
    for changed in [check("users/1", ""), check("users/2", &vector)] {
        let refused = write(&database, vec![put("users/3", "Users", 1), changed]);
        assert!(matches!(refused, Err(StoreError::Conflict { .. })), "{refused:?}");
    }
    assert_eq!(database.last_etag(), Etag(1), "a failed check leaves nothing of its request");
}

#[test]
fn deleting_a_prefix_ignores_case_and_sees_the_same_request() {
    let database = database();
    write(&database, vec![put("Users/1", "Users", 1), put("users/2", "Users", 1), put("users0", "Users", 1)])
        .unwrap();
    write(&database, vec![delete("users/2", None)]).unwrap();
    let outcomes = write(
        &database,
        vec![
            put("USERS/3", "Users", 1),
            Command::DeletePrefix { prefix: "uSers/".into() },
            put("users/4", "Users", 1),
        ],
    )
    .unwrap();
    assert_eq!(outcomes[1], Outcome::PrefixDeleted { prefix: "uSers/".into(), count: 2 });
    let view = database.view();
    let left: Vec<String> = view
        .documents_by_prefix("USERS", None)
        .unwrap()
        .map(|document| document.unwrap().id.to_string())
        .collect();
    assert_eq!(left, ["users/4", "users0"]);
    let all = write(&database, vec![Command::DeletePrefix { prefix: String::new() }]).unwrap();
    assert_eq!(all, [Outcome::PrefixDeleted { prefix: String::new(), count: 2 }]);
}

#[test]
fn documents_by_prefix_are_paged_by_id() {
    let database = database();
    let ids = ["a/10", "A/2", "a/1", "b/1", "a", "\u{c4}/1"];
    write(&database, ids.iter().map(|id| put(id, "Users", 1)).collect()).unwrap();
    let view = database.view();
    let ids = |prefix: &str, after: Option<&str>| -> Vec<String> {
        view.documents_by_prefix(prefix, after)
            .unwrap()
            .map(|document| document.unwrap().id.to_string())
            .collect()
    };
    assert_eq!(ids("A/", None), ["a/1", "a/10", "A/2"]);
    assert_eq!(ids("a/", Some("A/1")), ["a/10", "A/2"]);
    assert_eq!(ids("a/", Some("a/15")), ["A/2"], "the id to go on after need not exist");
    assert_eq!(ids("a/", Some("b")), [""; 0]);
    assert_eq!(ids("\u{e4}", None), ["\u{c4}/1"]);
    assert_eq!(ids("", None).len(), 6);
}

#[test]
fn bad_ids_are_refused() {
    let database = database();
    for id in ["", "a\nb", "\u{7f}", &"x".repeat(513)] {
        for command in [put(id, "Users", 1), delete(id, None)] {
            assert!(matches!(write(&database, vec![command]), Err(StoreError::InvalidId { .. })), "{id:?}");
        }
    }
    assert!(write(&database, vec![put(&"x".repeat(512), "Users", 1)]).is_ok());
    assert!(
        write(&database, vec![put(&("x".repeat(511) + "/"), "Users", 1)]).is_err(),
        "too long when complete"
    );
}

#[test]
fn listeners_hear_each_commit_of_documents_before_the_write_returns() {
    let database = database();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let ear = Arc::clone(&heard);
    database.on_commit(Box::new(move |_| panic!("a faulty listener")));
    database.on_commit(Box::new(move |etag| ear.lock().unwrap().push(etag)));
    write(&database, vec![put("a", "Users", 1), put("b", "Users", 1)]).unwrap();
    database.next_identity("users").unwrap();
    assert!(write(&database, vec![put("a", "Orders", 1)]).is_err());
    write(&database, vec![delete("b", None)]).unwrap();
    assert_eq!(*heard.lock().unwrap(), [Etag(2), Etag(3)]);
    assert_eq!(database.writes_stopped(), None);
}

#[test]
fn a_view_does_not_see_later_writes() {
    let database = database();
    write(&database, vec![put("a", "Users", 1)]).unwrap();
    let view = database.view();
    write(&database, vec![put("a", "Users", 2), put("b", "Users", 1)]).unwrap();
    let id = DocumentId::new("a").unwrap();
    assert_eq!(&*view.document(&id).unwrap().unwrap().body, r#"{"n":1}"#);
    assert_eq!(view.last_etag(), Etag(1));
    assert_eq!(view.changes_after(&CollectionFilter::All, Etag(0), 10).unwrap().len(), 1);
}
