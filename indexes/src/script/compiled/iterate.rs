//! Walking over values: what spreads, `for of` and array patterns get.

use super::machine::Machine;
use super::numbers;
use super::text::Text;
use super::value::{Gives, Iter, Outcome, Source, Value, hand_over, type_error};
use std::cell::Cell;

impl<'a> Machine<'a> {
    /// All that a value gives when it is walked over.
    pub fn collected(&mut self, value: Value<'a>) -> Outcome<'a, Vec<Value<'a>>> {
        if let Value::List(list) = value {
            self.charge_length(list.len())?;
            return self.elements(list);
        }
        let iterator = self.iterator(value)?;
        let mut values = Vec::new();
        while let Some(next) = self.advance(iterator)? {
            values.push(next);
        }
        self.charge_length(values.len())?;
        Ok(values)
    }

    /// An iterator over a value; an iterator is its own.
    pub fn iterator(&mut self, value: Value<'a>) -> Outcome<'a, &'a Iter<'a>> {
        let (source, gives) = match value {
            Value::List(list) => (Source::List(list), Gives::Values),
            Value::Map(table) => (Source::Table { table, set: false }, Gives::Entries),
            Value::Set(table) => (Source::Table { table, set: true }, Gives::Values),
            Value::Iterator(iterator) => return Ok(iterator),
            value if value.is_string() => (Source::Text(value), Gives::Values),
            Value::Record(_) | Value::Undefined | Value::Null | Value::Number(_) | Value::Bool(_) => {
                return type_error();
            }
            _ => return hand_over(&"an iteration over this kind of value"),
        };
        self.iterator_over(source, gives)
    }

    /// A new iterator.
    pub fn iterator_over(&mut self, source: Source<'a>, gives: Gives) -> Outcome<'a, &'a Iter<'a>> {
        self.place_in_arena(Iter { source, gives, next: Cell::new(0) })
    }

    /// The next value of an iterator.
    pub fn advance(&mut self, iterator: &'a Iter<'a>) -> Outcome<'a, Option<Value<'a>>> {
        let at = iterator.next.get();
        if at == usize::MAX {
            return Ok(None);
        }
        self.charge(1)?;
        let found = match iterator.source {
            Source::List(list) => match list.slots().get(at) {
                Some(slot) => {
                    iterator.next.set(at + 1);
                    let value = self.read(slot)?;
                    Some(self.given(iterator.gives, Value::Number(numbers::of_len(at)), value)?)
                }
                None => None,
            },
            Source::Table { table, set } => {
                let mut place = at;
                while place < table.places() && table.entry(place).is_none() {
                    place += 1;
                    self.charge(1)?;
                }
                match table.entry(place) {
                    Some(entry) => {
                        iterator.next.set(place + 1);
                        let key = entry.key.get();
                        let value = if set { key } else { entry.value.get() };
                        Some(self.given(iterator.gives, key, value)?)
                    }
                    None => None,
                }
            }
            Source::Text(text) => self.next_character(iterator, text, at)?,
        };
        if found.is_none() {
            iterator.next.set(usize::MAX);
        }
        Ok(found)
    }

    fn given(&mut self, gives: Gives, key: Value<'a>, value: Value<'a>) -> Outcome<'a> {
        match gives {
            Gives::Keys => Ok(key),
            Gives::Values => Ok(value),
            Gives::Entries => self.list_of_values(&[key, value]),
        }
    }

    /// The code point that begins at a place: a byte of well-formed text, a unit of the rest.
    fn next_character(
        &mut self,
        iterator: &'a Iter<'a>,
        text: Value<'a>,
        at: usize,
    ) -> Outcome<'a, Option<Value<'a>>> {
        match self.text(text)? {
            Some(Text::Ascii(text) | Text::Utf8(text)) => {
                let Some(character) = text.get(at..).and_then(|rest| rest.chars().next()) else {
                    return Ok(None);
                };
                let end = at + character.len_utf8();
                iterator.next.set(end);
                Ok(text.get(at..end).map(|part| Text::of(part).into()))
            }
            _ => hand_over(&"the characters of text with half a surrogate pair"),
        }
    }
}
