//! A cursor made of scans, a new one for each jump, for views that have none of their own

use super::{Cursor, Direction, KvError, Row, Rows, Space, View};

/// A cursor over the rows with `from <= key < to`.
pub struct ScanCursor<'v> {
    view: &'v dyn View,
    space: Space,
    from: Vec<u8>,
    to: Vec<u8>,
    rows: Rows<'v>,
}

impl<'v> ScanCursor<'v> {
    /// A cursor that stands nowhere yet.
    #[must_use]
    pub fn new(view: &'v dyn View, space: Space, from: Vec<u8>, to: Vec<u8>) -> Self {
        Self { view, space, from, to, rows: Box::new(std::iter::empty()) }
    }
}

impl Cursor for ScanCursor<'_> {
    fn seek(&mut self, key: &[u8]) -> Result<Option<Row>, KvError> {
        self.rows = self.view.scan(self.space, self.from.as_slice().max(key), &self.to, Direction::Forward);
        self.next()
    }

    fn next(&mut self) -> Result<Option<Row>, KvError> {
        self.rows.next().transpose()
    }

    fn seek_back(&mut self, key: &[u8]) -> Result<Option<Row>, KvError> {
        self.rows = self.view.scan(self.space, &self.from, self.to.as_slice().min(key), Direction::Reverse);
        self.previous()
    }

    fn previous(&mut self) -> Result<Option<Row>, KvError> {
        self.rows.next().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::rocks::RocksKv;
    use crate::kv::{Batch, Durability, Kv};

    /// Where both cursors go: forwards and backwards from keys that are there, between others, and outside of all.
    #[test]
    fn it_goes_where_a_cursor_of_the_store_goes() {
        let kv = RocksKv::open_in_memory().unwrap();
        let mut batch = Batch::new();
        for key in [b"b1", b"b3", b"b5", b"c1"] {
            batch.put(Space::Index, key.as_slice(), key.as_slice());
        }
        kv.commit(batch, Durability::Buffered).unwrap();
        let view = kv.snapshot();
        let mut own = view.cursor(Space::Index, b"c").unwrap();
        let mut scans = ScanCursor::new(view.as_ref(), Space::Index, b"b".to_vec(), b"c".to_vec());
        let key = |row: Option<Row>| row.map(|(key, _)| String::from_utf8(key).unwrap());
        let mut forwards = |from: &[u8]| {
            let found = [own.seek(from), own.next(), own.next()].map(|row| key(row.unwrap()));
            assert_eq!(found, [scans.seek(from), scans.next(), scans.next()].map(|row| key(row.unwrap())));
            found.into_iter().flatten().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            ["a", "b3", "b4", "b6"].map(|from| forwards(from.as_bytes())),
            ["b1 b3 b5", "b3 b5", "b5", ""]
        );
        let mut backwards = |from: &[u8]| {
            let found = [own.seek_back(from), own.previous(), own.previous()].map(|row| key(row.unwrap()));
            let others = [scans.seek_back(from), scans.previous(), scans.previous()];
            assert_eq!(found, others.map(|row| key(row.unwrap())));
            found.into_iter().flatten().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            ["b1", "b3", "b4", "bz"].map(|from| backwards(from.as_bytes())),
            ["", "b1", "b3 b1", "b5 b3 b1"]
        );
    }
}
