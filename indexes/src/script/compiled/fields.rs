//! The fields of a document that a map reads, taken from the stored text only as far as they are asked for: a map that
//! looks at the kind of an event first reads no further when it is another one.
//!
//! Documents of one collection mostly have the same names in the same order, so the name that stood at a place before is
//! tried first.

use super::machine::Machine;
use super::scanner::Scanner;
use super::shapes::json_name;
use super::value::{Outcome, Value, hand_over};
use crate::script::inexact;
use std::cell::Cell;

/// Most places of a document whose names are remembered.
const REMEMBERED_MAX: usize = 64;
/// How often a remembered name may be missed in a row after it was often found.
const TRUST_MAX: u8 = 8;

/// The rest of a document's text.
pub(super) struct Unread<'a> {
    scanner: Scanner<'a>,
    names: &'a [Box<str>],
    /// The number of the map, and how many names were read.
    map: usize,
    place: usize,
    /// How many fields were not found yet.
    missing: usize,
}

/// The name that stands at a place of most documents of a map.
pub(super) struct Remembered {
    /// As it stands in JSON, with its quotes and the colon.
    json: Box<[u8]>,
    /// Which of the map's fields it is.
    field: Option<usize>,
    /// How often it may still be missed.
    trust: u8,
}

impl<'a> Machine<'a> {
    /// Begins to look for fields in an object's text.
    pub fn begin_fields(&mut self, map: usize, names: &'a [Box<str>], text: &'a str) -> Outcome<'a, ()> {
        self.fields = self.slots(names.len(), Value::Uninitialized)?;
        let mut scanner = Scanner::new(text);
        if !scanner.take(b'{') {
            return hand_over(&"damaged JSON text");
        }
        self.unread =
            (!scanner.take(b'}')).then_some(Unread { scanner, names, map, place: 0, missing: names.len() });
        Ok(())
    }

    /// The value of a field of the document being mapped.
    #[inline]
    pub fn field(&mut self, field: usize) -> Outcome<'a> {
        let Some(slot) = self.fields.get(field) else { return Ok(Value::Undefined) };
        if matches!(slot.get(), Value::Uninitialized) {
            self.find_field(field)?;
            if matches!(slot.get(), Value::Uninitialized) {
                slot.set(Value::Undefined);
            }
        }
        self.read(slot)
    }

    /// Where the value of a field is, which may still be text.
    pub fn unread_field(&mut self, field: usize) -> Outcome<'a, Option<&'a Cell<Value<'a>>>> {
        let Some(slot) = self.fields.get(field) else { return Ok(None) };
        if matches!(slot.get(), Value::Uninitialized) {
            self.find_field(field)?;
        }
        Ok(Some(slot))
    }

    /// Reads on until a field was found or the text ends.
    #[inline(never)]
    fn find_field(&mut self, wanted: usize) -> Outcome<'a, ()> {
        let Some(mut unread) = self.unread.take() else { return Ok(()) };
        loop {
            let Some(field) = self.next_name(&mut unread)? else { return hand_over(&"damaged JSON text") };
            let Some(value) = unread.scanner.value() else { return hand_over(&"damaged JSON text") };
            if let Some(slot) = field.and_then(|field| self.fields.get(field)) {
                slot.set(value);
                unread.missing = unread.missing.saturating_sub(1);
                self.suspicious = self.suspicious || may_be_inexact(value);
            }
            if unread.scanner.take(b'}') {
                return Ok(());
            }
            if !unread.scanner.take(b',') {
                return hand_over(&"damaged JSON text");
            }
            if field == Some(wanted) {
                self.unread = Some(unread);
                return Ok(());
            }
        }
    }

    /// Notes whether a field that was not read may hold a number that no double does.
    pub fn end_fields(&mut self) {
        if let Some(unread) = self.unread.take().filter(|unread| unread.missing > 0) {
            self.suspicious = self.suspicious || inexact::may_be(unread.scanner.rest());
        }
    }

    /// Takes the next name: which field it is, if it is one.
    fn next_name(&mut self, unread: &mut Unread<'a>) -> Outcome<'a, Option<Option<usize>>> {
        let place = unread.place;
        unread.place += 1;
        let remembered = self.realm.remembered.get_mut(unread.map).and_then(|map| map.get_mut(place));
        if let Some(remembered) = remembered {
            if unread.scanner.take_all(&remembered.json) {
                remembered.trust = TRUST_MAX.min(remembered.trust + 1);
                return Ok(Some(remembered.field));
            }
            remembered.trust = remembered.trust.saturating_sub(1);
        }
        let Some(name) = self.name_of_text(&mut unread.scanner)? else { return Ok(None) };
        let field = unread.names.iter().position(|wanted| **wanted == *name);
        let Some(map) = self.realm.remembered.get_mut(unread.map) else { return Ok(Some(field)) };
        let fresh = || Remembered { json: json_name(name), field, trust: 1 };
        let count = map.len();
        match map.get_mut(place) {
            Some(known) if known.trust == 0 => *known = fresh(),
            None if place == count && place < REMEMBERED_MAX => map.push(fresh()),
            _ => {}
        }
        Ok(Some(field))
    }
}

/// Whether a value as it stands in a document may be or hold a number that no double does.
fn may_be_inexact(value: Value<'_>) -> bool {
    match value {
        Value::RawNumber(_) => true,
        Value::RawRecord(text) | Value::RawList(text) => inexact::may_be(text),
        _ => false,
    }
}
