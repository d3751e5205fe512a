//! Loops over arrays that are only text: those of a document or of a stored value that nothing has made an array of.

use super::evaluate::place;
use super::execute::{Flow, after_turn};
use super::machine::{Frame, Machine, SLOT_BYTES};
use super::program::{Expr, ForEach, Hot, Part, Rows, Slot, Sum};
use super::record::{Record, State};
use super::row_text::{Fit, Guesses, scan};
use super::scanner::Scanner;
use super::table::{Found, Table};
use super::text::array_index;
use super::value::{Outcome, Value, hand_over};
use std::cell::Cell;

/// Turns of the quickest loops that are charged together.
const TURNS_AT_ONCE: usize = 1024;

/// How far a loop came on text alone.
pub(super) enum Walked<'a> {
    /// To its end.
    All(Flow<'a>),
    /// To the element with this number, which needs an object.
    Until(usize),
}

/// A name in the text of an array.
#[derive(Clone, Copy)]
enum Key<'a> {
    Ascii(&'a str),
    Text(&'a str),
}

impl<'a> Key<'a> {
    const fn name(self) -> &'a str {
        match self {
            Self::Ascii(name) | Self::Text(name) => name,
        }
    }

    const fn value(self) -> Value<'a> {
        match self {
            Self::Ascii(name) => Value::Ascii(name),
            Self::Text(name) => Value::Text(name),
        }
    }
}

/// Takes a string without escapes.
#[inline]
fn plain_string<'a>(scanner: &mut Scanner<'a>) -> Option<Key<'a>> {
    if !scanner.take(b'"') {
        return None;
    }
    match scanner.string()? {
        (name, true, false) => Some(Key::Ascii(name)),
        (name, false, false) => Some(Key::Text(name)),
        (_, _, true) => None,
    }
}

/// An object whose entries are in a table and may be set.
struct Entries<'a> {
    record: &'a Record<'a>,
    table: &'a Table<'a>,
}

impl<'a> Entries<'a> {
    /// Those of the object in a variable.
    fn of(frame: &Frame<'a>, object: Slot) -> Option<Self> {
        let Value::Record(record) = frame.slots.get(place(object))?.get() else { return None };
        match record.state.get() {
            State::Keyed { table, .. } if !record.frozen.get() => Some(Self { record, table }),
            _ => None,
        }
    }
}

impl<'a> Machine<'a> {
    /// The text of the array that a loop walks over, if it is that of a document or of a stored value and nothing was made
    /// of it.
    pub(super) fn unmade(&mut self, frame: &Frame<'a>, over: &'a Expr) -> Outcome<'a, Option<&'a str>> {
        let found = match over {
            Expr::Part(part) => {
                let element = frame.slots.get(place(part.element)).map(Cell::get);
                match element {
                    Some(Value::Uninitialized) => frame.slots.get(place(part.slot)),
                    Some(Value::Record(record)) => {
                        self.named_slot(record, &part.member.name, part.member.cache)?
                    }
                    _ => None,
                }
            }
            Expr::Field(field) => self.unread_field(place(*field))?,
            _ => None,
        };
        Ok(match found.map(Cell::get) {
            Some(Value::RawList(text)) => Some(text),
            _ => None,
        })
    }

    /// A member that is walked over in a way that needs it as a value.
    pub(super) fn walked_part(&mut self, frame: &Frame<'a>, part: &'a Part) -> Outcome<'a> {
        let get = |slot: Slot| frame.slots.get(place(slot)).map(Cell::get);
        if let (Some(Value::Uninitialized), Some(Value::RawList(_))) = (get(part.element), get(part.slot)) {
            self.make_element(frame, part.element, part.origin)?;
        }
        self.element_part(frame, part)
    }

    /// Runs a loop over the text of an array as far as its elements are plain values and objects of plain values.
    pub(super) fn walk(
        &mut self,
        frame: &Frame<'a>,
        node: &'a ForEach,
        rows: &'a Rows,
        text: &'a str,
    ) -> Outcome<'a, Walked<'a>> {
        let mut scanner = Scanner::new(text);
        if !scanner.take(b'[') {
            return hand_over(&"damaged JSON text");
        }
        if scanner.take(b']') {
            self.charge_length(0)?;
            return Ok(Walked::All(Flow::Next));
        }
        let mut index = 0;
        let guesses = self.guesses(rows)?;
        loop {
            index += match &rows.hot {
                Some(Hot::Mark(object, literal)) => {
                    self.walk_marks(frame, node, (*object, literal), &mut scanner)?
                }
                Some(Hot::Sum(sum)) => self.walk_sums(frame, (node, rows), sum, guesses, &mut scanner)?,
                _ => 0,
            };
            let flow = if scanner.next_is(b'{') {
                if rows.whole || scan(frame, rows, &mut scanner, true, guesses)? == Fit::Object {
                    return Ok(Walked::Until(index));
                }
                self.walked_turn(frame, node, rows, None)?
            } else {
                match scanner.value() {
                    Some(Value::RawList(_)) => return Ok(Walked::Until(index)),
                    Some(value) => self.walked_turn(frame, node, rows, Some(value))?,
                    None => return hand_over(&"damaged JSON text"),
                }
            };
            index += 1;
            if let Some(end) = after_turn(flow, &node.labels) {
                self.charge_length(index)?;
                return Ok(Walked::All(end));
            }
            if scanner.take(b']') {
                self.charge_length(index)?;
                return Ok(Walked::All(Flow::Next));
            }
            if !scanner.take(b',') {
                return hand_over(&"damaged JSON text");
            }
        }
    }

    /// One turn of such a loop: on a plain value, or on an object whose fields were taken.
    #[inline]
    fn walked_turn(
        &mut self,
        frame: &Frame<'a>,
        node: &'a ForEach,
        rows: &'a Rows,
        value: Option<Value<'a>>,
    ) -> Outcome<'a, Flow<'a>> {
        self.charge(node.weight)?;
        self.realm.native_turns += 1;
        if let Some(hot) = &rows.hot
            && self.hot_turn(frame, hot, value)?
        {
            return Ok(Flow::Next);
        }
        self.undeclare(frame, &node.declares)?;
        let Some(value) = value else { return self.row_body(frame, node, rows) };
        let value = self.cooked(value)?;
        self.bind(frame, &node.target, value)?;
        self.execute(frame, &node.body)
    }

    /// `object[element] = literal` for all but the last of the strings that come next, as long as nothing is unusual: how
    /// many those were.
    fn walk_marks(
        &mut self,
        frame: &Frame<'a>,
        node: &'a ForEach,
        (object, literal): (Slot, &'a Expr),
        scanner: &mut Scanner<'a>,
    ) -> Outcome<'a, usize> {
        let Some(entries) = Entries::of(frame, object) else { return Ok(0) };
        let value = literal_value(literal);
        let mut count = 0;
        while count < TURNS_AT_ONCE {
            let begin = scanner.place();
            // The caller looks at what ends the array.
            let Some(key) = plain_string(scanner).filter(|_| scanner.take(b',')) else {
                scanner.go_back(begin);
                break;
            };
            let found = self.table_place(entries.table, key.name())?;
            match found.entry {
                Some(entry) => entry.value.set(value),
                None => self.add_found(&entries, key, value, found)?,
            }
            count += 1;
        }
        self.count_turns(node, count)?;
        Ok(count)
    }

    /// Sums as long as key and number are what stood there before: how many elements, of which the last of the array is none.
    fn walk_sums(
        &mut self,
        frame: &Frame<'a>,
        (node, rows): (&'a ForEach, &'a Rows),
        sum: &'a Sum,
        guesses: Guesses<'a>,
        scanner: &mut Scanner<'a>,
    ) -> Outcome<'a, usize> {
        let (Some(entries), [first, second]) = (Entries::of(frame, sum.object), guesses) else {
            return Ok(0);
        };
        let (first, second) = (first.get(), second.get());
        let slot_of = |guess: (&[u8], usize)| rows.fields.get(guess.1).map(|field| field.slot);
        let is_known = !first.0.is_empty() && !second.0.is_empty();
        if !is_known || slot_of(first) != Some(sum.key) || slot_of(second) != Some(sum.by) {
            return Ok(0);
        }
        let mut count = 0;
        while count < TURNS_AT_ONCE {
            let begin = scanner.place();
            let key = if scanner.take_all(first.0) { plain_string(scanner) } else { None };
            let by = if key.is_some() && scanner.take_all(second.0) { scanner.plain_number() } else { None };
            let (Some(key), Some(by), true) = (key, by, scanner.take_all(b"},")) else {
                scanner.go_back(begin);
                break;
            };
            let found = self.table_place(entries.table, key.name())?;
            match found.entry.map(|entry| (entry, entry.value.get())) {
                Some((entry, Value::Number(old))) => {
                    let is_nothing = sum.falsy && (old == 0.0 || old.is_nan());
                    let old = if is_nothing { sum.missing } else { old };
                    entry.value.set(Value::Number(old + by));
                }
                None if !Self::is_inherited(key.name()) => {
                    self.add_found(&entries, key, Value::Number(sum.missing + by), found)?;
                }
                _ => {
                    scanner.go_back(begin);
                    break;
                }
            }
            count += 1;
        }
        self.count_turns(node, count)?;
        Ok(count)
    }

    fn count_turns(&mut self, node: &'a ForEach, count: usize) -> Outcome<'a, ()> {
        let turns = count as u64;
        self.realm.native_turns += turns;
        self.charge(node.weight.saturating_mul(turns))
    }

    fn add_found(
        &mut self,
        entries: &Entries<'a>,
        key: Key<'a>,
        value: Value<'a>,
        found: Found<'a>,
    ) -> Outcome<'a, ()> {
        self.table_add(entries.table, key.value(), value, found)?;
        self.count(SLOT_BYTES)?;
        if array_index(key.name()).is_some() {
            entries.record.state.set(State::Keyed { table: entries.table, indices: true });
        }
        Ok(())
    }

    /// Does what the body of the loop does, if key and object are what they mostly are.
    #[inline]
    fn hot_turn(&mut self, frame: &Frame<'a>, hot: &'a Hot, value: Option<Value<'a>>) -> Outcome<'a, bool> {
        let get = |slot: u32| frame.slots.get(place(slot)).map(Cell::get);
        match (hot, value) {
            (Hot::Mark(object, literal), Some(key @ (Value::Ascii(_) | Value::Text(_)))) => {
                let Some(Value::Record(record)) = get(*object) else { return Ok(false) };
                let value = literal_value(literal);
                self.hot_set(record, key, |_| Some(value))
            }
            (Hot::Add(set), Some(key @ (Value::Ascii(_) | Value::Text(_)))) => {
                let Some(Value::Set(table)) = get(*set) else { return Ok(false) };
                self.set_add(table, key)?;
                Ok(true)
            }
            (Hot::Sum(Sum { object, key, missing, falsy, by }), None) => {
                let (Some(Value::Record(record)), Some(Value::Number(by))) = (get(*object), get(*by)) else {
                    return Ok(false);
                };
                let Some(key @ (Value::Ascii(_) | Value::Text(_))) = get(*key) else { return Ok(false) };
                self.hot_set(record, key, |old| match old {
                    None | Some(Value::Undefined | Value::Null) => Some(Value::Number(missing + by)),
                    Some(Value::Number(old)) if *falsy && (old == 0.0 || old.is_nan()) => {
                        Some(Value::Number(missing + by))
                    }
                    Some(Value::Number(old)) => Some(Value::Number(old + by)),
                    Some(_) => None,
                })
            }
            _ => Ok(false),
        }
    }

    /// Sets an entry of an object that is a table to what `change` makes of it; says whether it did.
    #[inline]
    fn hot_set(
        &mut self,
        record: &'a Record<'a>,
        key: Value<'a>,
        change: impl FnOnce(Option<Value<'a>>) -> Option<Value<'a>>,
    ) -> Outcome<'a, bool> {
        let (Value::Ascii(name) | Value::Text(name)) = key else { return Ok(false) };
        let State::Keyed { table, indices } = record.state.get() else { return Ok(false) };
        if record.frozen.get() {
            return Ok(false);
        }
        let found = self.table_place(table, name)?;
        let old = found.entry.map(|entry| self.read(&entry.value)).transpose()?;
        if old.is_none() && Self::is_inherited(name) {
            return Ok(false);
        }
        let Some(value) = change(old) else { return Ok(false) };
        match found.entry {
            Some(entry) => entry.value.set(value),
            None => {
                self.table_add(table, key, value, found)?;
                self.count(SLOT_BYTES)?;
                if !indices && array_index(name).is_some() {
                    record.state.set(State::Keyed { table, indices: true });
                }
            }
        }
        Ok(true)
    }
}

/// What a literal stands for.
const fn literal_value<'a>(literal: &Expr) -> Value<'a> {
    match literal {
        Expr::Bool(value) => Value::Bool(*value),
        Expr::Number(value) => Value::Number(*value),
        _ => Value::Null,
    }
}
