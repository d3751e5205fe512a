//! Reading results by their terms, as of one snapshot.

use super::build::visible;
use super::candidates::{Finder, Merged, Subjects};
use super::field::{TermField, TermFields};
use super::posting::{Class, best, terms};
use super::span::Need;
use super::walk::{Visit, Walk};
use crate::error::IndexError;
use crate::index::Index;
use crate::keys::{Kind, Slot, parse_entry_key};
use crate::progress::Progress;
use magpie_store::DatabaseView;
use magpie_store::json::Json;
use magpie_store::kv::{Direction, Rows, Space, View};

/// How many rows are read one after the other before reading goes on elsewhere.
const STEPS_BEFORE_JUMP: usize = 8;

/// A result of a map-reduce index, or an output of a map-only one.
#[derive(Debug, Clone, PartialEq)]
pub enum IndexRow {
    /// A result.
    Result(Json),
    /// The lower-cased id of a document, and one of its outputs.
    Output(String, Json),
}

/// Rows of an index one after the other.
pub type IndexRows<'v> = Box<dyn Iterator<Item = Result<IndexRow, IndexError>> + 'v>;

/// A row at its place in the order of a field.
#[derive(Debug, Clone, PartialEq)]
pub struct Placed {
    /// The row.
    pub row: IndexRow,
    /// The number of its group: rows of a lower one come before it, whatever else is ordered by.
    pub group: u64,
    /// Whether the rows of its group come in the order of a query that orders by this field alone.
    pub exact: bool,
}

/// All rows of an index in the order of a field.
pub struct InOrder<'v> {
    /// The rows.
    pub rows: Box<dyn Iterator<Item = Result<Placed, IndexError>> + 'v>,
    /// How many rows have only values that this order leaves out; they do not come.
    pub left_out: u64,
}

impl Index {
    /// The fields that have terms or will have them.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) fn term_fields(&self, view: &DatabaseView<'_>) -> Result<Vec<TermField>, IndexError> {
        Ok(super::fields(view.kv(), self.slot())?.into_iter().map(|(field, _)| field).collect())
    }

    /// Whether the terms of a field are all there.
    ///
    /// # Errors
    /// When the store fails.
    pub fn has_terms(&self, view: &DatabaseView<'_>, field: &TermField) -> Result<bool, IndexError> {
        let progress = Progress::read(view.kv(), self.slot())?;
        if progress.terms == 0 {
            return Ok(false);
        }
        Ok(TermFields::read(view.kv(), self.slot(), &progress)?.complete(field).is_some())
    }

    /// The rows that can have what is needed, in the order of [`Self::results`] or [`Self::entries`]: all that have it,
    /// and perhaps others. `None` when terms do not tell, or reading all rows costs no more.
    ///
    /// # Errors
    /// When the store fails or a row is damaged.
    pub fn rows_by_terms<'v>(
        &self,
        view: &'v DatabaseView<'_>,
        need: &Need,
    ) -> Result<Option<IndexRows<'v>>, IndexError> {
        let progress = Progress::read(view.kv(), self.slot())?;
        if progress.terms == 0 {
            return Ok(None);
        }
        let fields = TermFields::read(view.kv(), self.slot(), &progress)?;
        let finder = Finder { view: view.kv(), slot: self.slot(), fields: &fields };
        let table = self.table(view);
        Ok(match finder.subjects(need, progress.results)? {
            None => None,
            Some(Subjects::Listed(subjects)) => {
                let row = move |subject: Vec<u8>| table.shown(&subject, table.value(&subject)?);
                Some(Box::new(subjects.into_iter().map(row)))
            }
            Some(Subjects::Merged(merged)) => {
                Some(Box::new(MergedRows { table, merged, after: Some(Vec::new()), rows: None }))
            }
        })
    }

    /// All rows in the order of a field; `None` when its terms are not there.
    ///
    /// # Errors
    /// When the store fails or a row is damaged.
    pub fn rows_in_order<'v>(
        &self,
        view: &'v DatabaseView<'_>,
        field: &TermField,
        descending: bool,
    ) -> Result<Option<InOrder<'v>>, IndexError> {
        let progress = Progress::read(view.kv(), self.slot())?;
        if progress.terms == 0 {
            return Ok(None);
        }
        let fields = TermFields::read(view.kv(), self.slot(), &progress)?;
        let Some(number) = fields.complete(field) else { return Ok(None) };
        let [from, to] = [Class::Other as u8, Class::Other as u8 + 1]
            .map(|class| super::field::posting_key(self.slot(), number, &[class]));
        let mut left_out = 0;
        for row in view.kv().scan(Space::Index, &from, &to, Direction::Forward) {
            row?;
            left_out += 1;
        }
        let table = self.table(view);
        let field = field.clone();
        let walk = Walk::new(view.kv(), self.slot(), number, &field, descending);
        let rows = walk.filter_map(move |visit| {
            visit.and_then(|visit| table.placed(&field, visit, descending)).transpose()
        });
        Ok(Some(InOrder { rows: Box::new(rows), left_out }))
    }

    fn table<'v>(&self, view: &'v DatabaseView<'_>) -> Table<'v> {
        let kind = if self.is_map_reduce() { Kind::Result } else { Kind::MapOutput };
        Table { view: view.kv(), slot: self.slot(), kind }
    }
}

/// The rows of the results.
#[derive(Clone, Copy)]
struct Table<'v> {
    view: &'v dyn View,
    slot: Slot,
    kind: Kind,
}

impl Table<'_> {
    /// The value of a subject's row.
    fn value(&self, subject: &[u8]) -> Result<Json, IndexError> {
        let stored = self.view.get(Space::Index, &self.slot.key(self.kind, subject))?;
        let value = stored.map(|stored| visible(self.kind, &stored)).transpose()?.flatten();
        value.ok_or_else(stray)
    }

    fn shown(&self, subject: &[u8], value: Json) -> Result<IndexRow, IndexError> {
        Ok(if self.kind == Kind::MapOutput {
            IndexRow::Output(parse_entry_key(subject)?.0.to_owned(), value)
        } else {
            IndexRow::Result(value)
        })
    }

    /// The row of a visit, unless this is not the term that tells its place.
    fn placed(
        &self,
        field: &TermField,
        visit: Visit,
        descending: bool,
    ) -> Result<Option<Placed>, IndexError> {
        let value = self.value(&visit.subject)?;
        if best(&terms(field, &value), descending) != Some(visit.term.as_slice()) {
            return Ok(None);
        }
        let row = self.shown(&visit.subject, value)?;
        Ok(Some(Placed { row, group: visit.group, exact: visit.exact }))
    }
}

fn stray() -> IndexError {
    IndexError::Corrupt("a term of a result that is not there; verify the index with repair".to_owned())
}

/// The rows of subjects that are merged while they are read.
struct MergedRows<'v> {
    table: Table<'v>,
    merged: Merged<'v>,
    /// Behind which subject to go on; `None` at the end.
    after: Option<Vec<u8>>,
    rows: Option<Rows<'v>>,
}

impl MergedRows<'_> {
    fn advance(&mut self) -> Result<Option<IndexRow>, IndexError> {
        let Some(after) = self.after.take() else { return Ok(None) };
        let Some(subject) = self.merged.seek(&after)? else { return Ok(None) };
        let wanted = self.table.slot.key(self.table.kind, &subject);
        let value = visible(self.table.kind, &self.read(&wanted)?)?.ok_or_else(stray)?;
        let row = self.table.shown(&subject, value)?;
        self.after = Some([subject.as_slice(), &[0]].concat());
        Ok(Some(row))
    }

    /// The row with this key, which is behind the last one.
    fn read(&mut self, wanted: &[u8]) -> Result<Vec<u8>, IndexError> {
        for _ in 0..STEPS_BEFORE_JUMP {
            let Some((key, value)) = self.rows.as_mut().and_then(Iterator::next).transpose()? else { break };
            if key.as_slice() >= wanted {
                return if key == wanted { Ok(value) } else { Err(stray()) };
            }
        }
        let to = self.table.slot.range_of(self.table.kind).1;
        let mut rows = self.table.view.scan(Space::Index, wanted, &to, Direction::Forward);
        let found = rows.next().transpose()?.filter(|(key, _)| key == wanted);
        self.rows = Some(rows);
        found.map(|(_, value)| value).ok_or_else(stray)
    }
}

impl Iterator for MergedRows<'_> {
    type Item = Result<IndexRow, IndexError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().transpose()
    }
}
