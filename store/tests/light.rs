//! Light snapshots read what is in memory and no more than a little of it; states are known by numbers.

#![cfg(test)]

use magpie_store::kv::rocks::RocksKv;
use magpie_store::kv::{Batch, Direction, Durability, Kv, KvError, Space};
use magpie_store::limits::{LIGHT_BYTES_MAX, LIGHT_READS_MAX};

fn put(kv: &RocksKv, from: u32, to: u32, bytes: usize) -> Result<(), KvError> {
    let mut batch = Batch::new();
    for n in from..to {
        batch.put(Space::Index, n.to_be_bytes(), vec![7; bytes]);
    }
    kv.commit(batch, Durability::Synced)
}

#[test]
fn a_light_snapshot_reads_a_little_and_says_when_it_gave_up() {
    let folder = tempfile::tempdir().unwrap();
    let kv = RocksKv::open(folder.path()).unwrap();
    put(&kv, 0, 1_000, 8).unwrap();
    let light = kv.light_snapshot();
    for n in 0..LIGHT_READS_MAX {
        assert_eq!(light.get(Space::Index, &n.to_be_bytes()).unwrap(), Some(vec![7; 8]));
    }
    assert!(!light.gave_up());
    assert!(matches!(light.get(Space::Index, &0_u32.to_be_bytes()), Err(KvError::NotAtHand)));
    assert!(light.gave_up());

    let light = kv.light_snapshot();
    let read = light.scan(Space::Index, &[], &[0xff], Direction::Forward).take_while(Result::is_ok).count();
    assert!(read <= LIGHT_READS_MAX as usize && light.gave_up(), "{read}");

    put(&kv, 0, 4, LIGHT_BYTES_MAX / 3).unwrap();
    let light = kv.light_snapshot();
    let mut cursor = light.cursor(Space::Index, &[0xff]).unwrap();
    assert!(cursor.seek(&0_u32.to_be_bytes()).unwrap().is_some());
    assert!(cursor.next().unwrap().is_some());
    assert!(matches!(cursor.next(), Err(KvError::NotAtHand)));
    assert!(light.gave_up());
}

#[test]
fn what_is_on_disk_alone_is_not_at_hand_until_it_was_read() {
    let folder = tempfile::tempdir().unwrap();
    let kv = RocksKv::open(folder.path()).unwrap();
    put(&kv, 0, 10_000, 100).unwrap();
    kv.flush().unwrap();
    drop(kv);
    let kv = RocksKv::open(folder.path()).unwrap();
    let key = 5_000_u32.to_be_bytes();
    let light = kv.light_snapshot();
    assert!(matches!(light.get(Space::Index, &key), Err(KvError::NotAtHand)));
    assert!(light.gave_up());
    assert!(kv.snapshot().get(Space::Index, &key).unwrap().is_some());
    let light = kv.light_snapshot();
    assert!(light.get(Space::Index, &key).unwrap().is_some());
    let mut cursor = light.cursor(Space::Index, &[0xff]).unwrap();
    assert_eq!(cursor.seek(&key).unwrap().unwrap().0, key);
    assert!(!light.gave_up());
}

#[test]
fn a_state_has_a_number_that_no_other_one_has() {
    let kv = RocksKv::open_in_memory().unwrap();
    let first = kv.snapshot();
    assert!(first.version().is_some());
    assert_eq!(first.version(), kv.light_snapshot().version());
    put(&kv, 0, 1, 1).unwrap();
    let second = kv.snapshot();
    assert!(second.version().is_some() && second.version() != first.version());

    // Beside a writer a number always means the same rows.
    let folder = tempfile::tempdir().unwrap();
    let kv = RocksKv::open(folder.path()).unwrap();
    let read = |view: &dyn magpie_store::kv::View| {
        let row = view.get(Space::Index, b"n").unwrap().unwrap_or_default();
        (view.version(), row)
    };
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for n in 0..2_000_u32 {
                let mut batch = Batch::new();
                batch.put(Space::Index, b"n", n.to_be_bytes());
                kv.commit(batch, Durability::Buffered).unwrap();
            }
        });
        let mut known = std::collections::BTreeMap::new();
        while !writer.is_finished() {
            if let (Some(version), row) = read(kv.snapshot().as_ref()) {
                assert_eq!(known.entry(version).or_insert_with(|| row.clone()), &row);
            }
        }
        let last = read(kv.snapshot().as_ref());
        assert_eq!(last, (Some(2_000), 1_999_u32.to_be_bytes().to_vec()));
    });
}
