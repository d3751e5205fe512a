//! The bytes of format version 3. If this test has to change, stores in the field no longer open: raise the format
//! version and say so in the change log.

#![cfg(test)]

use magpie_store::kv::memory::MemoryKv;
use magpie_store::kv::{Batch, Direction, Durability, Kv, Space};
use magpie_store::{Command, CounterAction, CounterOperation, Database, NewDocument, StoreError, Timestamp};
use std::sync::Arc;

fn put(id: &str, text: &str) -> Command {
    let document = NewDocument::parse(id, text.as_bytes()).unwrap();
    Command::Put { id: id.to_owned(), document, expected: None }
}

fn rows(kv: &MemoryKv, space: Space) -> Vec<String> {
    let view = kv.snapshot();
    let line =
        |(key, value): (Vec<u8>, Vec<u8>)| format!("{} = {}", key.escape_ascii(), value.escape_ascii());
    view.scan(space, b"", b"\xff", Direction::Forward).map(|row| line(row.unwrap())).collect()
}

#[test]
fn a_store_of_an_older_format_becomes_one_of_format_3() {
    let kv = Arc::new(MemoryKv::new());
    drop(Database::open(kv.clone(), "0123456789ABCDEFGHIJKL").unwrap());
    let set = |format: u64| {
        let mut batch = Batch::new();
        batch.put(Space::Meta, b"s/format".as_slice(), format.to_be_bytes());
        kv.commit(batch, Durability::Synced).unwrap();
    };
    let open = || Database::open(kv.clone(), "another").map(|database| database.id().to_owned());
    for old in [1, 2] {
        set(old);
        assert_eq!(open().unwrap(), "0123456789ABCDEFGHIJKL");
        let format = kv.snapshot().get(Space::Meta, b"s/format").unwrap();
        assert_eq!(format.as_deref(), Some(3_u64.to_be_bytes().as_slice()));
    }
    for unknown in [0, 4] {
        set(unknown);
        assert!(
            matches!(open(), Err(StoreError::UnsupportedFormat { found, supported: 3 }) if found == unknown)
        );
    }
}

#[test]
fn the_rows_of_format_3_are_these() {
    let kv = Arc::new(MemoryKv::new());
    let database = Database::open(kv.clone(), "0123456789ABCDEFGHIJKL").unwrap();
    let commands = vec![
        put("Users/1", r#"{ "n": 1.0, "@metadata": { "@collection": "Users", "x": 1 } }"#),
        put("o|", "{}"),
        put("b", r#"{"@metadata":{"@collection":"Users"}}"#),
        Command::Delete { id: "B".into(), expected: None },
        Command::Delete { id: "O/1".into(), expected: None },
        put("o/1", r#"{"@metadata":{"@collection":"\u00c4"}}"#),
    ];
    database.write(commands, Timestamp(258)).unwrap();
    assert_eq!(
        rows(&kv, Space::Meta),
        [
            r"s/collection/@empty = \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01@empty",
            r"s/collection/users = \x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01Users",
            r"s/collection/\xc3\xa4 = \x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\xc3\x84",
            r"s/etag = \x00\x00\x00\x00\x00\x00\x00\x06",
            r"s/format = \x00\x00\x00\x00\x00\x00\x00\x03",
            r"s/id = 0123456789ABCDEFGHIJKL",
            r"s/identity/o| = \x00\x00\x00\x00\x00\x00\x00\x01",
        ]
    );
    assert_eq!(
        rows(&kv, Space::Feed),
        [
            r"@empty\x00\x00\x00\x00\x00\x00\x00\x00\x05 = \x02o/1",
            r"users\x00\x00\x00\x00\x00\x00\x00\x00\x01 = \x03Users/1",
            r"users\x00\x00\x00\x00\x00\x00\x00\x00\x04 = \x02b",
            r"\xc3\xa4\x00\x00\x00\x00\x00\x00\x00\x00\x06 = \x01o/1",
        ]
    );
    assert_eq!(
        rows(&kv, Space::Documents),
        [
            r"b = \x00\x01\x05users\x00\x00\x00\x00\x00\x00\x00\x04".to_owned(),
            r"o/1 = \x01\x01\x06@empty\x00\x00\x00\x00\x00\x00\x00\x05".to_owned()
                + r"\x00\x00\x00\x00\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x01\x02"
                + "\\x03o/1\\x02\\xc3\\x84\\x14{\\\"@collection\\\":\\\"\\xc3\\x84\\\"}{}",
            r"users/1 = \x01\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01\x02".to_owned()
                + "\\x07Users/1\\x05Users\\x1d{\\\"@collection\\\":\\\"Users\\\",\\\"x\\\":1}{\\\"n\\\":1.0}",
        ]
    );
    assert_eq!(rows(&kv, Space::Index), [""; 0]);
}

#[test]
fn the_rows_of_counters_are_these() {
    let kv = Arc::new(MemoryKv::new());
    let database = Database::open(kv.clone(), "0123456789ABCDEFGHIJKL").unwrap();
    let operation =
        |name: &str, by| CounterOperation { name: name.into(), action: CounterAction::Increment(by) };
    let operations = vec![operation("Likes", 3), operation("LIKES", -4), operation("\u{c4} x", 1)];
    database.write(vec![put("U/1", "{}")], Timestamp(258)).unwrap();
    database.write(vec![Command::Counters { id: "u/1".into(), operations }], Timestamp(258)).unwrap();
    assert_eq!(
        rows(&kv, Space::Counters),
        [
            r"u/1\x00likes = \xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x02Likes",
            r"u/1\x00\xc3\xa4 x = \x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x02\xc3\x84 x",
        ]
    );
    let counted = r"s/counters = \x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x02";
    assert!(rows(&kv, Space::Meta).iter().any(|row| row == counted));
    let document = rows(&kv, Space::Documents).concat();
    assert!(document.starts_with(r"u/1 = \x05\x00\x00\x00\x00\x00\x00\x00\x00\x02"), "{document}");
}
