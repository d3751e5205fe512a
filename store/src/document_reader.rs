//! Reading many documents by id, in whatever order they are asked for.
//!
//! Events are mostly written in the order of their ids. Then a cursor that goes from one to the next costs a tenth of
//! what looking up each costs; for other orders a cursor would cost twice as much. So the reader tries a cursor and
//! keeps to what has paid lately.

use crate::document::{Document, DocumentId};
use crate::error::StoreError;
use crate::keys;
use crate::kv::{Direction, Row, Rows, Space, View};
use crate::rows;

/// What opening a cursor costs, in rows that it must give to be worth it.
const OPEN_COST: u32 = 4;
/// What a reader may have saved up.
const CREDIT_MAX: u32 = 64;
/// Most rows of other documents that a cursor passes on its way.
const SKIPPED_MAX: u32 = 8;

/// Reads documents of one state, one after the other.
pub struct DocumentReader<'v> {
    view: &'v dyn View,
    rows: Option<Rows<'v>>,
    /// The row on which the cursor stands.
    next: Option<Row>,
    credit: u32,
    /// The key asked for last.
    last: Vec<u8>,
}

impl<'v> DocumentReader<'v> {
    pub(crate) fn new(view: &'v dyn View) -> Self {
        Self { view, rows: None, next: None, credit: CREDIT_MAX, last: Vec::new() }
    }

    /// The document with this id.
    ///
    /// # Errors
    /// [`StoreError::Kv`], [`StoreError::Corrupt`].
    pub fn read(&mut self, id: &DocumentId) -> Result<Option<Document>, StoreError> {
        let key = keys::document(id);
        if let Some(row) = self.step_to(key)? {
            self.credit = (self.credit + 1).min(CREDIT_MAX);
            return rows::live_document(&row);
        }
        if self.credit >= OPEN_COST && self.last.as_slice() < key {
            self.credit -= OPEN_COST;
            let (_, to) = keys::documents("", None);
            let mut rows = self.view.scan(Space::Documents, key, &to, Direction::Forward);
            self.next = rows.next().transpose()?;
            self.rows = Some(rows);
            self.last = key.to_vec();
            // It stands on the row, or there is none.
            return self.step_to(key)?.map_or(Ok(None), |row| rows::live_document(&row));
        }
        self.last = key.to_vec();
        let row = self.view.get(Space::Documents, key)?;
        row.map_or(Ok(None), |row| rows::live_document(&row))
    }

    /// The value of a row if the cursor comes to it within few steps.
    fn step_to(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(rows) = &mut self.rows else { return Ok(None) };
        for _ in 0..=SKIPPED_MAX {
            match &self.next {
                Some((at, _)) if at.as_slice() < key => self.next = rows.next().transpose()?,
                Some((at, _)) if at == key => {
                    let row = self.next.take();
                    self.next = rows.next().transpose()?;
                    return Ok(row.map(|(_, value)| value));
                }
                _ => return Ok(None),
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use crate::kv::memory::MemoryKv;
    use crate::{Command, Database, Document, DocumentId, NewDocument, Timestamp};
    use proptest::prelude::*;
    use std::sync::Arc;

    proptest! {
        #[test]
        fn any_order_gives_what_looking_up_gives(
            present in prop::collection::btree_set(0..200_u32, 0..100),
            asked in prop::collection::vec((0..200_u32, 0..20_u32), 0..60),
        ) {
            let database = Database::open(Arc::new(MemoryKv::new()), "0123456789abcdefghijkl").unwrap();
            let put = |n: &u32| {
                let id = format!("Doc/{n:03}");
                let text = format!(r#"{{"n":{n}}}"#);
                Command::Put { document: NewDocument::parse(&id, text.as_bytes()).unwrap(), id, expected: None }
            };
            database.write(present.iter().map(put).collect(), Timestamp(1)).unwrap();
            let view = database.view();
            let mut reader = view.reader();
            // Runs of ascending ids from anywhere.
            for (from, count) in asked {
                for n in from..from + count {
                    let id = DocumentId::new(&format!("doc/{n:03}")).unwrap();
                    let text = |document: Option<Document>| document.map(|document| (document.id, document.body));
                    prop_assert_eq!(text(reader.read(&id).unwrap()), text(view.document(&id).unwrap()));
                }
            }
        }
    }
}
