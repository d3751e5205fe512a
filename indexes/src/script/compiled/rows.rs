//! Turns of loops over elements that are only text: the members that a loop reads are taken from the text, and no object
//! is made. Whatever does not fit is made an object, and the turn, or the rest of the loop, runs as every other does.

use super::evaluate::{number_in, place};
use super::execute::{Flow, after_turn};
use super::list::List;
use super::machine::{Frame, Machine, SLOT_BYTES};
use super::numbers;
use super::program::{Expr, ForEach, Guard, Hot, Parameters, Part, Rows, Slot, Statement, Step};
use super::record::{Record, State};
use super::scanner::Scanner;
use super::text::array_index;
use super::value::{Bound, Closure, Outcome, Stop, Value, hand_over, same};
use bumpalo::Bump;
use std::cell::Cell;

/// Most fields of an element that are taken from its text.
pub(super) const FIELDS_MAX: usize = 16;

/// What stood around the fields of the loop's element before: where the same text stands, it needs no reading. For each
/// field, in the order of the text: what stands between the field before, or the beginning, and its value; and which
/// field it is.
pub(super) type Guesses<'a> = &'a [Cell<(&'a [u8], usize)>];

/// A function that is called for each element of an array, on the elements' text where that is possible.
#[derive(Clone, Copy)]
pub(super) struct RowCallback<'a> {
    /// The array.
    list: &'a List<'a>,
    closure: &'a Closure<'a>,
    /// Which parameter the element is.
    parameter: usize,
    rows: &'a Rows,
    guesses: Guesses<'a>,
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

    /// What is known of the elements of a loop in this call.
    pub(super) fn guesses(&mut self, rows: &Rows) -> Outcome<'a, Guesses<'a>> {
        let fresh = |bump: &'a Bump, count| {
            let made = bump.try_alloc_slice_fill_with(count, |_| Cell::new((&[][..], 0)));
            made.map(|slice| &*slice).map_err(|_| Stop::Bound(Bound::Memory))
        };
        if self.guesses.is_empty() {
            let made = self.bump.try_alloc_slice_fill_with(self.program.loops, |_| Cell::new(&[][..]));
            self.guesses = made.map_err(|_| Stop::Bound(Bound::Memory))?;
        }
        let Some(cell) = self.guesses.get(rows.number) else { return fresh(self.bump, rows.fields.len()) };
        if cell.get().is_empty() && !rows.fields.is_empty() {
            cell.set(fresh(self.bump, rows.fields.len())?);
        }
        Ok(cell.get())
    }

    /// The element of a loop as a value.
    #[inline]
    pub(super) fn element_value(&mut self, frame: &Frame<'a>, element: Slot, origin: Slot) -> Outcome<'a> {
        if let Some(Value::Uninitialized) = frame.slots.get(place(element)).map(Cell::get) {
            self.make_element(frame, element, origin)?;
        }
        Self::local(frame, element)
    }

    /// Makes an object of the element of a turn that began on its text. From here on the turn has its element as an object.
    #[inline(never)]
    fn make_element(&mut self, frame: &Frame<'a>, element: Slot, origin: Slot) -> Outcome<'a, ()> {
        if let (Some(element), Some(Value::Boxed(cell))) =
            (frame.slots.get(place(element)), frame.slots.get(place(origin)).map(Cell::get))
        {
            let made = self.read(cell)?;
            element.set(made);
        }
        Ok(())
    }

    /// Whether the loop's statements do what they were taken to do: methods are those of arrays and Sets, and no array that
    /// grows is the one that is walked over.
    pub(super) fn guards_hold(frame: &Frame<'a>, rows: &Rows, walked: Option<&List<'a>>) -> bool {
        rows.guards.iter().all(|(variable, guard)| match (guard, Self::variable(frame, *variable)) {
            (Guard::List, Ok(Value::List(list))) => !walked.is_some_and(|walked| same(walked, list)),
            (Guard::Set, Ok(Value::Set(_))) => true,
            (Guard::Any, Ok(Value::List(list))) => !walked.is_some_and(|walked| same(walked, list)),
            (Guard::Any, Ok(_)) => true,
            _ => false,
        })
    }

    /// A turn on an element that is an object's text; `None` when it must become an object.
    pub(super) fn row_turn(
        &mut self,
        frame: &Frame<'a>,
        node: &'a ForEach,
        rows: &'a Rows,
        cell: &'a Cell<Value<'a>>,
        guesses: Guesses<'a>,
    ) -> Outcome<'a, Option<Flow<'a>>> {
        let Value::RawRecord(text) = cell.get() else { return Ok(None) };
        let mut scanner = Scanner::new(text);
        if scan(frame, rows, &mut scanner, false, guesses)? == Fit::Object {
            return Ok(None);
        }
        self.realm.native_turns += 1;
        self.charge(node.weight)?;
        self.undeclare(frame, &node.declares)?;
        if let Some(origin) = frame.slots.get(place(rows.origin)) {
            origin.set(Value::Boxed(cell));
        }
        self.row_body(frame, node, rows).map(Some)
    }

    /// How a function is called for the elements of an array that are only text, if it can be.
    pub(super) fn row_callback(
        &mut self,
        callback: Value<'a>,
        list: &'a List<'a>,
    ) -> Outcome<'a, Option<RowCallback<'a>>> {
        let Value::Closure(closure) = callback else { return Ok(None) };
        let Some((parameter, rows)) = &closure.code.rows else { return Ok(None) };
        let guards = Frame { code: closure.code, slots: &[], environment: closure.environment };
        if !Self::guards_hold(&guards, rows, Some(list)) {
            return Ok(None);
        }
        let guesses = self.guesses(rows)?;
        Ok(Some(RowCallback { list, closure, parameter: *parameter, rows, guesses }))
    }

    /// Calls a function for an element that is an object's text; `None` when it must become an object. `before` are the
    /// arguments before the element, `index` is the one behind it.
    pub(super) fn row_call(
        &mut self,
        callback: &RowCallback<'a>,
        cell: &'a Cell<Value<'a>>,
        before: Option<Value<'a>>,
        index: usize,
    ) -> Outcome<'a, Option<Value<'a>>> {
        let Value::RawRecord(text) = cell.get() else { return Ok(None) };
        let RowCallback { list, closure, parameter, rows, guesses } = callback;
        // What is carried on may be the array itself, and may be changed.
        let is_array = matches!(before, Some(Value::List(before)) if same(before, *list));
        if is_array || before.is_some() != (*parameter == 1) {
            return Ok(None);
        }
        let (slots, mark) = self.reserve(closure.code.slots)?;
        let frame = Frame { code: closure.code, slots, environment: closure.environment };
        let mut scanner = Scanner::new(text);
        if scan(&frame, rows, &mut scanner, false, guesses)? == Fit::Object {
            self.release(mark);
            return Ok(None);
        }
        self.realm.native_turns += 1;
        let mut arguments = slots.iter();
        for value in before.into_iter().chain([Value::Uninitialized]) {
            if let Some(slot) = arguments.next() {
                slot.set(value);
            }
        }
        if let Parameters::Plain(count) = closure.code.parameters
            && count > parameter + 1
            && let Some(slot) = arguments.next()
        {
            slot.set(Value::Number(numbers::of_len(index)));
        }
        if let Some(origin) = slots.get(place(rows.origin)) {
            origin.set(Value::Boxed(cell));
        }
        let result = self.run(closure.code, slots, closure.environment, &[]);
        self.release(mark);
        result.map(Some)
    }

    /// Runs the body of a loop on an element whose fields were taken.
    #[inline]
    fn row_body(&mut self, frame: &Frame<'a>, node: &'a ForEach, rows: &'a Rows) -> Outcome<'a, Flow<'a>> {
        let Statement::Block(block) = &node.body else { return self.execute(frame, &node.body) };
        if rows.steps.is_empty() {
            return self.execute(frame, &node.body);
        }
        self.undeclare(frame, &block.declares)?;
        for (statement, step) in block.statements.iter().zip(&rows.steps) {
            if step.is_some_and(|step| took_step(frame, step)) {
                continue;
            }
            match self.execute(frame, statement)? {
                Flow::Next => {}
                other => return Ok(other),
            }
        }
        Ok(Flow::Next)
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
            if let Some(Hot::Mark(object, literal)) = &rows.hot {
                index += self.walk_marks(frame, node, (*object, literal), &mut scanner)?;
            }
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
        let Some(Value::Record(record)) = frame.slots.get(place(object)).map(Cell::get) else { return Ok(0) };
        let (State::Keyed { table, mut indices }, false) = (record.state.get(), record.frozen.get()) else {
            return Ok(0);
        };
        let value = literal_value(literal);
        let mut count = 0;
        loop {
            let begin = scanner.place();
            let text = match scanner.take(b'"').then(|| scanner.string()).flatten() {
                // The caller looks at what ends the array.
                Some((text, ascii, false)) if scanner.take(b',') => {
                    if ascii {
                        Value::Ascii(text)
                    } else {
                        Value::Text(text)
                    }
                }
                _ => {
                    scanner.go_back(begin);
                    break;
                }
            };
            let (Value::Ascii(name) | Value::Text(name)) = text else { break };
            let found = self.table_place(table, name)?;
            match found.entry {
                Some(entry) => entry.value.set(value),
                None => {
                    self.table_add(table, text, value, found)?;
                    self.count(SLOT_BYTES)?;
                    if !indices && array_index(name).is_some() {
                        indices = true;
                        record.state.set(State::Keyed { table, indices });
                    }
                }
            }
            count += 1;
        }
        let turns = count as u64;
        self.realm.native_turns += turns;
        self.charge(node.weight.saturating_mul(turns))?;
        Ok(count)
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

/// Does what a usual statement does, if both values are numbers; says whether it did.
#[inline]
fn took_step(frame: &Frame<'_>, step: Step) -> bool {
    let slot_of = |slot: Slot| frame.slots.get(place(slot));
    let number_of = |slot: Slot| slot_of(slot).and_then(number_in);
    let (variable, result) = match step {
        Step::Count(variable, by) => (variable, number_of(variable).map(|old| old + by)),
        Step::Add(variable, part) => {
            (variable, number_of(variable).and_then(|old| Some(old + number_of(part)?)))
        }
        Step::Greatest(variable, part, exact) | Step::Least(variable, part, exact) => {
            let (Some(old), Some(new)) = (number_of(variable), number_of(part)) else { return false };
            // Which of two equal zeros it is, and what comes of NaN, the functions know.
            if exact && (old == new || old.is_nan() || new.is_nan()) {
                return false;
            }
            let replaces = if matches!(step, Step::Greatest(..)) { new > old } else { new < old };
            (variable, Some(if replaces { new } else { old }))
        }
    };
    match (slot_of(variable), result) {
        (Some(slot), Some(result)) => {
            slot.set(Value::Number(result));
            true
        }
        _ => false,
    }
}

/// Takes the fields of an object's text; behind the whole text if it is `nested` in an array's.
#[inline]
fn scan<'a>(
    frame: &Frame<'a>,
    rows: &'a Rows,
    scanner: &mut Scanner<'a>,
    nested: bool,
    guesses: Guesses<'a>,
) -> Outcome<'a, Fit> {
    let fit = scan_fields(frame, rows, scanner, nested, guesses);
    fit.map_or_else(|| hand_over(&"damaged JSON text"), Ok)
}

fn scan_fields<'a>(
    frame: &Frame<'a>,
    rows: &'a Rows,
    scanner: &mut Scanner<'a>,
    nested: bool,
    guesses: Guesses<'a>,
) -> Option<Fit> {
    let mut count = 0;
    while count < rows.fields.len() {
        let guess = guesses.get(count)?;
        let (between, guessed) = guess.get();
        let known = (!between.is_empty() && scanner.take_all(between)).then_some(guessed);
        let number = match known {
            Some(number) => number,
            None => {
                let begin = scanner.place();
                match next_field(rows, scanner)? {
                    Next::Field(number) => {
                        guess.set((scanner.since(begin), number));
                        number
                    }
                    Next::End => {
                        clear_others(frame, rows, guesses.get(..count).unwrap_or(&[]));
                        return Some(Fit::Taken);
                    }
                    Next::Escapes => return Some(Fit::Object),
                }
            }
        };
        let field = rows.fields.get(number)?;
        let value = scanner.short_value()?;
        match value {
            Value::RawRecord(_) => return Some(Fit::Object),
            Value::RawList(_) if nested || !field.walked => return Some(Fit::Object),
            _ => frame.slots.get(place(field.slot))?.set(value),
        }
        count += 1;
    }
    if !nested {
        return Some(Fit::Taken);
    }
    if count == 0 && !scanner.take(b'{') {
        return None;
    }
    scanner.end_of_container(1).map(|()| Fit::Taken)
}

/// What is not there is undefined.
fn clear_others(frame: &Frame<'_>, rows: &Rows, found: &[Cell<(&[u8], usize)>]) {
    for (number, field) in rows.fields.iter().enumerate() {
        if found.iter().all(|found| found.get().1 != number)
            && let Some(slot) = frame.slots.get(place(field.slot))
        {
            slot.set(Value::Undefined);
        }
    }
}

/// What comes next of an object that is looked for.
enum Next {
    /// The value of this field.
    Field(usize),
    /// Its end, which was taken.
    End,
    /// A name with escapes.
    Escapes,
}

/// Goes to the value of the next field, from the beginning of an object or from behind a value.
fn next_field(rows: &Rows, scanner: &mut Scanner<'_>) -> Option<Next> {
    if scanner.take(b'{') {
        if scanner.take(b'}') {
            return Some(Next::End);
        }
    } else if scanner.take(b'}') {
        return Some(Next::End);
    } else if !scanner.take(b',') {
        return None;
    }
    loop {
        if !scanner.take(b'"') {
            return None;
        }
        let (name, _, escaped) = scanner.string()?;
        if !scanner.take(b':') {
            return None;
        }
        if escaped {
            return Some(Next::Escapes);
        }
        if let Some(number) = rows.fields.iter().position(|field| *field.name == *name) {
            return Some(Next::Field(number));
        }
        scanner.skip()?;
        if scanner.take(b'}') {
            return Some(Next::End);
        }
        if !scanner.take(b',') {
            return None;
        }
    }
}
