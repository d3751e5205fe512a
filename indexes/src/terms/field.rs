//! Which fields of an index have terms, and how far these are made. One row a field; its value is
//! `version u8, family u8, complete u8, steps, cursor`, a step being `kind u8` and a name or number behind its length.

use super::value::Step;
use crate::error::IndexError;
use crate::keys::{Kind, Reader, Slot, put_bytes, put_length};
use crate::progress::Progress;
use magpie_store::kv::{Batch, Direction, Space, View};
use std::fmt;

/// The version of the bytes of terms. Terms of another version are made anew.
const VERSION: u8 = 3;

/// What a field's terms are in order of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// Text and whatever is found by its text.
    Text = 1,
    /// Numbers by value.
    Double = 2,
    /// Numbers by their whole part.
    Long = 3,
    /// Text whose digits count by value.
    AlphaNumeric = 4,
    /// The words of texts as [`super::Analyzer::Standard`] has them, and whatever else is found by its text.
    Words = 5,
}

impl Family {
    fn from_code(code: u8) -> Result<Self, IndexError> {
        [Self::Text, Self::Double, Self::Long, Self::AlphaNumeric, Self::Words]
            .into_iter()
            .find(|family| *family as u8 == code)
            .ok_or_else(|| IndexError::Corrupt(format!("family of terms {code}")))
    }
}

/// A field of results with one way of ordering it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TermField {
    /// The order of its terms.
    pub family: Family,
    /// Where its value is.
    pub path: Vec<Step>,
}

impl fmt::Display for TermField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, step) in self.path.iter().enumerate() {
            match step {
                Step::Member(name) if number == 0 => write!(f, "{name}")?,
                Step::Member(name) => write!(f, ".{name}")?,
                Step::Each => write!(f, "[]")?,
                Step::At(index) => write!(f, "[{index}]")?,
            }
        }
        match self.family {
            Family::Text => Ok(()),
            Family::Double => write!(f, " as double"),
            Family::Long => write!(f, " as long"),
            Family::AlphaNumeric => write!(f, " as alphaNumeric"),
            Family::Words => write!(f, " as words"),
        }
    }
}

/// How far the terms of a field are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Those of all results up to this subject, itself included.
    Building(Vec<u8>),
    /// All.
    Complete,
}

/// A wanted field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FieldState {
    pub number: u16,
    pub field: TermField,
    pub phase: Phase,
}

/// The wanted fields of one build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TermFields {
    pub list: Vec<FieldState>,
    /// Whether their terms follow the results. If not, nobody may read them.
    pub valid: bool,
}

impl TermFields {
    /// Those of a build as of a snapshot.
    ///
    /// # Errors
    /// When the store fails or a row is damaged.
    pub fn read(view: &dyn View, slot: Slot, progress: &Progress) -> Result<Self, IndexError> {
        let mut fields = Self { list: Vec::new(), valid: true };
        let (from, to) = slot.range_of(Kind::TermField);
        for row in view.scan(Space::Index, &from, &to, Direction::Forward) {
            let (key, value) = row?;
            // What another version wrote cannot be read; it is made anew when a query misses it.
            if value.first() == Some(&VERSION) {
                fields.list.push(decode(&key, &value)?);
            }
        }
        fields.valid &= fields.list.len() as u64 == progress.terms;
        Ok(fields)
    }

    /// The number of a field whose terms are all there.
    pub fn complete(&self, field: &TermField) -> Option<u16> {
        let is_it = |state: &&FieldState| state.field == *field && state.phase == Phase::Complete;
        self.list.iter().find(is_it).filter(|_| self.valid).map(|state| state.number)
    }
}

/// The first part of the keys of a field's postings, behind slot and kind.
pub(crate) fn posting_key(slot: Slot, number: u16, rest: &[u8]) -> Vec<u8> {
    slot.key(Kind::Term, &[&number.to_be_bytes(), rest].concat())
}

impl FieldState {
    pub fn write(&self, slot: Slot, batch: &mut Batch) {
        let complete = self.phase == Phase::Complete;
        let mut value = vec![VERSION, self.field.family as u8, u8::from(complete)];
        put_length(self.field.path.len(), &mut value);
        for step in &self.field.path {
            match step {
                Step::Member(name) => {
                    value.push(0);
                    put_bytes(name.as_bytes(), &mut value);
                }
                Step::Each => value.push(1),
                Step::At(index) => {
                    value.push(2);
                    put_bytes(&index.to_be_bytes(), &mut value);
                }
            }
        }
        if let Phase::Building(cursor) = &self.phase {
            value.extend_from_slice(cursor);
        }
        batch.put(Space::Index, slot.key(Kind::TermField, &self.number.to_be_bytes()), value);
    }
}

fn decode(key: &[u8], value: &[u8]) -> Result<FieldState, IndexError> {
    let corrupt = || IndexError::Corrupt("a row about a field with terms".to_owned());
    let number = crate::keys::rest(key)?.try_into().map(u16::from_be_bytes).map_err(|_| corrupt())?;
    let mut reader = Reader(value);
    reader.byte()?;
    let family = Family::from_code(reader.byte()?)?;
    let complete = reader.byte()? == 1;
    let steps = reader.length()?;
    let mut path = Vec::new();
    for _ in 0..steps {
        path.push(match reader.byte()? {
            0 => Step::Member(std::str::from_utf8(reader.bytes()?).map_err(|_| corrupt())?.to_owned()),
            1 => Step::Each,
            2 => Step::At(reader.bytes()?.try_into().map(u32::from_be_bytes).map_err(|_| corrupt())?),
            _ => return Err(corrupt()),
        });
    }
    let phase = if complete { Phase::Complete } else { Phase::Building(reader.0.to_vec()) };
    Ok(FieldState { number, field: TermField { family, path }, phase })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back() {
        let slot = Slot(3);
        let path =
            vec![Step::Member("a b".to_owned()), Step::Each, Step::Member("é".to_owned()), Step::At(70_000)];
        for (number, phase) in
            (0..).zip([Phase::Building(vec![0, 1]), Phase::Building(Vec::new()), Phase::Complete])
        {
            let field = TermField { family: Family::Long, path: path.clone() };
            let state = FieldState { number, field, phase };
            let mut batch = Batch::new();
            state.write(slot, &mut batch);
            let key = slot.key(Kind::TermField, &number.to_be_bytes());
            let row = batch.last_put(Space::Index, &key).unwrap();
            assert_eq!(decode(&key, row).unwrap(), state);
            for end in 0..4 {
                assert!(decode(&key, &row[..end]).is_err());
            }
        }
    }
}
