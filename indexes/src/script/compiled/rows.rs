//! Turns of loops over elements that are only text: the members that a loop reads are taken from the text, and no object
//! is made. Whatever does not fit is made an object, and the turn, or the rest of the loop, runs as every other does.

use super::evaluate::place;
use super::execute::{Flow, after_turn};
use super::list::List;
use super::machine::{Frame, Machine};
use super::program::{Expr, ForEach, Guard, Hot, Part, Rows};
use super::read::Scanner;
use super::record::{Record, State};
use super::shapes::json_name;
use super::text::array_index;
use super::value::{Outcome, Value, hand_over, same};
use std::cell::Cell;

/// Most places of an element whose names are remembered.
const REMEMBERED_MAX: usize = 64;

/// The name that stood at a place of an element last.
pub(super) struct RowName {
    /// As it stands in JSON, with its quotes and the colon.
    json: Box<[u8]>,
    /// Which of the loop's fields it is.
    field: Option<usize>,
}

/// How far a loop came on text alone.
pub(super) enum Walked<'a> {
    /// To its end.
    All(Flow<'a>),
    /// To the element with this number, which needs an object.
    Until(usize),
}

/// What a row's text gave.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fit {
    /// The fields were taken.
    Taken,
    /// The element is needed as an object.
    Object,
}

impl<'a> Machine<'a> {
    /// A member of a loop's element.
    #[inline]
    pub(super) fn element_part(&mut self, frame: &Frame<'a>, part: &'a Part) -> Outcome<'a> {
        if let (Some(Value::Uninitialized), Some(slot)) =
            (frame.slots.get(place(part.element)).map(Cell::get), frame.slots.get(place(part.slot)))
        {
            return match slot.get() {
                Value::Number(number) => Ok(Value::Number(number)),
                Value::Ascii(text) => Ok(Value::Ascii(text)),
                _ => self.read(slot),
            };
        }
        self.eval_member(frame, &part.member)
    }

    /// Whether the loop's statements do what they were taken to do: methods are those of arrays and Sets, and no array that
    /// grows is the one that is walked over.
    pub(super) fn guards_hold(frame: &Frame<'a>, rows: &Rows, walked: Option<&List<'a>>) -> bool {
        rows.guards.iter().all(|(slot, guard)| {
            match (guard, frame.slots.get(place(*slot)).map(Cell::get)) {
                (Guard::List, Some(Value::List(list))) => !walked.is_some_and(|walked| same(walked, list)),
                (Guard::Set, Some(Value::Set(_))) => true,
                _ => false,
            }
        })
    }

    /// A turn on an element that is an object's text; `None` when it must become an object.
    pub(super) fn row_turn(
        &mut self,
        frame: &Frame<'a>,
        node: &'a ForEach,
        rows: &'a Rows,
        cell: &'a Cell<Value<'a>>,
    ) -> Outcome<'a, Option<Flow<'a>>> {
        let Value::RawRecord(text) = cell.get() else { return Ok(None) };
        let mut scanner = Scanner::new(text);
        if self.scan(frame, rows, &mut scanner, false)? == Fit::Object {
            return Ok(None);
        }
        self.realm.native_turns += 1;
        self.charge(node.weight)?;
        self.undeclare(frame, &node.declares)?;
        if let Some(origin) = frame.slots.get(place(rows.origin)) {
            origin.set(Value::Boxed(cell));
        }
        self.execute(frame, &node.body).map(Some)
    }

    /// Takes the fields of an object's text; behind the whole text if it is `nested` in an array's.
    fn scan(
        &mut self,
        frame: &Frame<'a>,
        rows: &'a Rows,
        scanner: &mut Scanner<'a>,
        nested: bool,
    ) -> Outcome<'a, Fit> {
        for field in &rows.fields {
            if let Some(slot) = frame.slots.get(place(field.slot)) {
                slot.set(Value::Undefined);
            }
        }
        if !scanner.take(b'{') {
            return hand_over(&"damaged JSON text");
        }
        if rows.fields.is_empty() {
            return match if nested { scanner.end_of_container(1) } else { Some(()) } {
                Some(()) => Ok(Fit::Taken),
                None => hand_over(&"damaged JSON text"),
            };
        }
        if scanner.take(b'}') {
            return Ok(Fit::Taken);
        }
        let mut names = std::mem::take(self.realm.row_names(rows.layout));
        let fit = scan_names(frame, rows, scanner, nested, &mut names);
        *self.realm.row_names(rows.layout) = names;
        match fit {
            Some(fit) => Ok(fit),
            None => hand_over(&"damaged JSON text"),
        }
    }

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
        let get = |slot: u32| frame.slots.get(place(slot));
        if let (Some(element), Some(slot), Some(origin)) =
            (get(part.element), get(part.slot), get(part.origin))
            && let (Value::Uninitialized, Value::RawList(_), Value::Boxed(cell)) =
                (element.get(), slot.get(), origin.get())
        {
            // From here on the turn has its element as an object.
            let made = self.read(cell)?;
            element.set(made);
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
        loop {
            let flow = if scanner.next_is(b'{') {
                if rows.whole || self.scan(frame, rows, &mut scanner, true)? == Fit::Object {
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
        if let Some(value) = value {
            let value = self.cooked(value)?;
            self.bind(frame, &node.target, value)?;
        }
        self.execute(frame, &node.body)
    }

    /// Does what the body of the loop does, if key and object are what they mostly are.
    #[inline]
    fn hot_turn(&mut self, frame: &Frame<'a>, hot: &'a Hot, value: Option<Value<'a>>) -> Outcome<'a, bool> {
        let get = |slot: u32| frame.slots.get(place(slot)).map(Cell::get);
        match (hot, value) {
            (Hot::Mark(object, literal), Some(key @ (Value::Ascii(_) | Value::Text(_)))) => {
                let Some(Value::Record(record)) = get(*object) else { return Ok(false) };
                let value = match literal {
                    Expr::Bool(value) => Value::Bool(*value),
                    Expr::Number(value) => Value::Number(*value),
                    _ => Value::Null,
                };
                self.hot_set(record, key, |_| Some(value))
            }
            (Hot::Add(set), Some(key @ (Value::Ascii(_) | Value::Text(_)))) => {
                let Some(Value::Set(table)) = get(*set) else { return Ok(false) };
                self.set_add(table, key)?;
                Ok(true)
            }
            (Hot::Sum { object, key, missing, falsy, by }, None) => {
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
                self.count(super::machine::SLOT_BYTES)?;
                if !indices && array_index(name).is_some() {
                    record.state.set(State::Keyed { table, indices: true });
                }
            }
        }
        Ok(true)
    }
}

/// Takes the fields of the text behind an object's brace; `None` when it is damaged.
fn scan_names<'a>(
    frame: &Frame<'a>,
    rows: &'a Rows,
    scanner: &mut Scanner<'a>,
    nested: bool,
    names: &mut Vec<RowName>,
) -> Option<Fit> {
    let mut missing = rows.fields.len();
    let mut at = 0;
    loop {
        let field = match names.get(at) {
            Some(known) if scanner.take_all(&known.json) => known.field,
            _ => match next_name(rows, scanner, names, at)? {
                Some(field) => field,
                None => return Some(Fit::Object),
            },
        };
        at += 1;
        if let Some((field, slot)) =
            field.and_then(|field| rows.fields.get(field)).and_then(|field| Some((field, frame.slots.get(place(field.slot))?)))
        {
            let value = scanner.value()?;
            match value {
                Value::RawRecord(_) => return Some(Fit::Object),
                Value::RawList(_) if nested || !field.walked => return Some(Fit::Object),
                _ => slot.set(value),
            }
            missing -= 1;
            if missing == 0 {
                if nested {
                    scanner.end_of_container(1)?;
                }
                return Some(Fit::Taken);
            }
        } else {
            scanner.skip()?;
        }
        if scanner.take(b'}') {
            return Some(Fit::Taken);
        }
        if !scanner.take(b',') {
            return None;
        }
    }
}

/// Takes a name that is not the remembered one: which field it is. The inner `None` is for a name with escapes.
fn next_name<'a>(
    rows: &Rows,
    scanner: &mut Scanner<'a>,
    names: &mut Vec<RowName>,
    at: usize,
) -> Option<Option<Option<usize>>> {
    if !scanner.take(b'"') {
        return None;
    }
    let (name, _, escaped) = scanner.string()?;
    if !scanner.take(b':') {
        return None;
    }
    if escaped {
        return Some(None);
    }
    let field = rows.fields.iter().position(|field| *field.name == *name);
    let fresh = || RowName { json: json_name(name), field };
    let count = names.len();
    match names.get_mut(at) {
        Some(known) => *known = fresh(),
        None if at == count && at < REMEMBERED_MAX => names.push(fresh()),
        None => {}
    }
    Some(Some(field))
}
