//! Arrays without holes. What would make a hole is left to the engine.

use super::machine::{Machine, SLOT_BYTES, Slots};
use super::value::{Bound, Outcome, Stop, Value, hand_over, type_error};
use crate::limits::SCRIPT_LENGTH_MAX;
use std::cell::Cell;

/// An array.
pub(super) struct List<'a> {
    /// Room for elements, some of it unused.
    room: Cell<Slots<'a>>,
    len: Cell<usize>,
    /// Whether it may not change any more.
    pub frozen: Cell<bool>,
}

impl<'a> List<'a> {
    /// How many elements it has.
    pub fn len(&self) -> usize {
        self.len.get()
    }

    /// Its elements.
    pub fn slots(&self) -> Slots<'a> {
        self.room.get().get(..self.len.get()).unwrap_or(&[])
    }

    /// Cuts it off behind `len` elements.
    pub fn truncate(&self, len: usize) {
        self.len.set(self.len.get().min(len));
    }
}

impl<'a> Machine<'a> {
    /// An array with these elements.
    pub fn list_of(&mut self, slots: Slots<'a>) -> Outcome<'a, &'a List<'a>> {
        self.place_in_arena(List {
            room: Cell::new(slots),
            len: Cell::new(slots.len()),
            frozen: Cell::new(false),
        })
    }

    /// An empty array with room.
    pub fn list_with_room(&mut self, room: usize) -> Outcome<'a, &'a List<'a>> {
        let room = self.room(room)?;
        self.place_in_arena(List { room: Cell::new(room), len: Cell::new(0), frozen: Cell::new(false) })
    }

    /// An array with copies of these values.
    pub fn list_of_values(&mut self, values: &[Value<'a>]) -> Outcome<'a> {
        let slots = self.slots(values.len(), Value::Undefined)?;
        for (slot, value) in slots.iter().zip(values) {
            slot.set(*value);
        }
        Ok(Value::List(self.list_of(slots)?))
    }

    /// The element at an index; `undefined` behind the end.
    pub fn element(&mut self, list: &List<'a>, index: usize) -> Outcome<'a> {
        match list.slots().get(index) {
            Some(slot) => self.read(slot),
            None => Ok(Value::Undefined),
        }
    }

    /// Appends an element.
    pub fn push(&mut self, list: &List<'a>, value: Value<'a>) -> Outcome<'a, ()> {
        if list.len() >= SCRIPT_LENGTH_MAX {
            return Err(Stop::Bound(Bound::Length));
        }
        self.push_read(list, value)
    }

    /// Appends an element of a document or stored value, of which there may be more than scripts can make.
    pub fn push_read(&mut self, list: &List<'a>, value: Value<'a>) -> Outcome<'a, ()> {
        self.count(SLOT_BYTES)?;
        let len = list.len.get();
        if len == list.room.get().len() {
            self.make_room(list, len + 1)?;
        }
        if let Some(slot) = list.room.get().get(len) {
            slot.set(value);
        }
        list.len.set(len + 1);
        Ok(())
    }

    fn make_room(&mut self, list: &List<'a>, wanted: usize) -> Outcome<'a, ()> {
        let old = list.room.get();
        list.room.set(self.grown(old, wanted.max(old.len() * 2).max(4))?);
        Ok(())
    }

    /// Sets the element at an index.
    pub fn set_element(&mut self, list: &List<'a>, index: usize, value: Value<'a>) -> Outcome<'a, ()> {
        if list.frozen.get() {
            return type_error();
        }
        match list.slots().get(index) {
            Some(slot) => {
                slot.set(value);
                Ok(())
            }
            None if index == list.len() => self.push(list, value),
            None => hand_over(&"an array with holes"),
        }
    }

    /// Gives the array other elements.
    pub fn replace_elements(&mut self, list: &List<'a>, values: &[Value<'a>]) -> Outcome<'a, ()> {
        if values.len() > SCRIPT_LENGTH_MAX {
            return Err(Stop::Bound(Bound::Length));
        }
        self.count(values.len().saturating_sub(list.len()) * SLOT_BYTES)?;
        if values.len() > list.room.get().len() {
            self.make_room(list, values.len())?;
        }
        for (slot, value) in list.room.get().iter().zip(values) {
            slot.set(*value);
        }
        list.len.set(values.len());
        Ok(())
    }

    /// All elements, read.
    pub fn elements(&mut self, list: &List<'a>) -> Outcome<'a, Vec<Value<'a>>> {
        list.slots().iter().map(|slot| self.read(slot)).collect()
    }
}
