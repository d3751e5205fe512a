//! Compare-exchange values: changed by who knows their index only, and there after a restart.

#![cfg(test)]

use magpie_store::json::Json;
use magpie_store::kv::memory::MemoryKv;
use magpie_store::{Database, StoreError};
use std::sync::Arc;

const DATABASE_ID: &str = "0123456789abcdefghijkl";

#[test]
fn a_value_changes_for_who_knows_its_index() {
    let kv = Arc::new(MemoryKv::new());
    let database = Database::open(kv.clone(), DATABASE_ID).unwrap();
    let first = database.put_compare_exchange("Users/A", Json::from(1_i64), 0).unwrap();
    assert!(first.successful && first.index == 2);
    let refused = database.put_compare_exchange("users/a", Json::from(2_i64), 0).unwrap();
    assert_eq!((refused.successful, refused.index, refused.value), (false, 2, Some(Json::from(1_i64))));
    let second = database.put_compare_exchange("users/a", Json::from(2_i64), 2).unwrap();
    assert!(second.successful && second.index == 3);
    assert!(!database.delete_compare_exchange("users/a", 2).unwrap().successful);
    assert!(!database.delete_compare_exchange("users/b", 0).unwrap().successful);
    kv.crash();
    let database = Database::open(kv, DATABASE_ID).unwrap();
    let value = database.view().compare_exchange("USERS/A").unwrap().unwrap();
    assert_eq!((value.index, value.value), (3, Json::from(2_i64)));
    database.put_compare_exchange("users/b", Json::Null, 0).unwrap();
    database.put_compare_exchange("other", Json::Null, 0).unwrap();
    let view = database.view();
    let listed: Vec<String> = view.compare_exchanges("users/").map(|value| value.unwrap().0).collect();
    assert_eq!(listed, ["users/a", "users/b"]);
    let deleted = database.delete_compare_exchange("users/a", 3).unwrap();
    assert_eq!((deleted.successful, deleted.value), (true, Some(Json::from(2_i64))));
    // An index is never given twice, so that nobody mistakes a new value for the old one.
    let again = database.put_compare_exchange("users/a", Json::from(3_i64), 0).unwrap();
    assert!(again.successful && again.index > 3);
}

#[test]
fn one_of_many_at_once_gets_the_key() {
    let database = Database::open(Arc::new(MemoryKv::new()), DATABASE_ID).unwrap();
    let winners = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..8_i64)
            .map(|n| {
                let database = &database;
                scope.spawn(move || {
                    database.put_compare_exchange("lock", Json::from(n), 0).unwrap().successful
                })
            })
            .collect();
        tries.into_iter().map(|one| one.join().unwrap()).filter(|won| *won).count()
    });
    assert_eq!(winners, 1);
}

#[test]
fn keys_and_values_that_cannot_be_are_refused() {
    let database = Database::open(Arc::new(MemoryKv::new()), DATABASE_ID).unwrap();
    for (key, value) in [
        (String::new(), Json::Null),
        ("x".repeat(600), Json::Null),
        ("a\0b".to_owned(), Json::Null),
        ("a".to_owned(), Json::from("x".repeat(2 * 1024 * 1024))),
    ] {
        let refused = database.put_compare_exchange(&key, value, 0);
        assert!(matches!(refused, Err(StoreError::InvalidId { .. })), "{refused:?}");
    }
    assert_eq!(database.view().compare_exchanges("").count(), 0);
}
