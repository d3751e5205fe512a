//! One call of a compiled function: its arena, its budget, its frames.
//!
//! Every allocation of a call goes through here, is counted, and comes from one arena, so a call can neither use more
//! memory than [`SCRIPT_MEMORY_BYTES_MAX`] nor leave anything behind. What is counted are elements, properties and
//! characters, never what a cache happens to know, so that a call always comes equally far. Steps are counted at every function call, at every
//! turn of a loop, and for every element or character that a built-in function walks over.

use super::fields::Unread;
use super::loads::Loading;
use super::program::{Code, Program};
use super::realm::Realm;
use super::record::Record;
use super::row_text::Guesses;
use super::text::Text;
use super::value::{Bound, Closure, Outcome, Rope, Stop, Value};
use crate::limits::{
    SCRIPT_CALL_DEPTH_MAX, SCRIPT_EVALUATION_DEPTH_MAX, SCRIPT_LENGTH_MAX, SCRIPT_MEMORY_BYTES_MAX,
    SCRIPT_STEPS_MAX,
};
use bumpalo::Bump;
use magpie_store::Document;
use std::cell::Cell;

/// Strings shorter than this are put together at once.
const ROPE_BYTES_MIN: usize = 1024;
/// Most slots of the first part of the frame stack.
pub(super) const FIRST_SLOTS: usize = 48;
/// Slots of its further parts at least.
const MORE_SLOTS: usize = 512;
/// What an element or a property counts: its slot, and as much again for room that is kept ready.
pub(super) const SLOT_BYTES: usize = 2 * size_of::<Value<'_>>();
/// The arena's own limit. Counted memory ends long before it.
const ARENA_BYTES_MAX: usize = 3 * SCRIPT_MEMORY_BYTES_MAX;

/// The slots of variables or of arguments.
pub(super) type Slots<'a> = &'a [Cell<Value<'a>>];

/// One running function.
pub(super) struct Frame<'a> {
    /// What it does.
    pub code: &'a Code,
    /// Its variables.
    pub slots: Slots<'a>,
    /// What it captured.
    pub environment: &'a [&'a Cell<Value<'a>>],
}

/// The document that is being mapped.
pub(super) struct Mapped<'a> {
    /// The document itself.
    pub document: &'a Document,
    /// The object that stands for it, if the map uses it as a whole.
    pub record: Option<&'a Record<'a>>,
    /// Its metadata, once it was asked for.
    pub metadata: Option<Value<'a>>,
}

/// A place in the frame stack.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    part: usize,
    used: usize,
}

/// What a call runs on.
pub(super) struct Machine<'a> {
    /// The arena.
    pub bump: &'a Bump,
    /// The compiled scripts.
    pub program: &'a Program,
    /// What lasts from call to call and shows nowhere.
    pub realm: &'a mut Realm,
    /// The values of the script's top-level names; `Uninitialized` until they are used.
    pub globals: Slots<'a>,
    /// Whether a number of the document may be one that no double holds.
    pub suspicious: bool,
    /// The fields of the document that the map reads; `Uninitialized` until they were looked for.
    pub fields: Slots<'a>,
    /// Where to look for more of them.
    pub unread: Option<Unread<'a>>,
    /// The document that is being mapped.
    pub mapped: Option<Mapped<'a>>,
    /// The documents that the running map has and asks for, if it may.
    pub loading: Option<Loading<'a>>,
    /// Whether large whole numbers in JSON text are BigInts.
    pub exact: bool,
    /// For each loop whose elements can stay text what is known of them; empty before the first one.
    pub guesses: &'a [Cell<Guesses<'a>>],
    steps_left: u64,
    bytes_left: usize,
    calls: usize,
    depth: usize,
    first_part: Slots<'a>,
    /// The further parts of the frame stack, which most calls do not need.
    more_parts: Vec<Slots<'a>>,
    place: Mark,
}

impl<'a> Machine<'a> {
    /// A machine for one call.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn new(bump: &'a Bump, program: &'a Program, realm: &'a mut Realm) -> Outcome<'a, Self> {
        let mut machine = Self {
            bump,
            program,
            realm,
            globals: &[],
            fields: &[],
            suspicious: false,
            unread: None,
            mapped: None,
            loading: None,
            exact: false,
            guesses: &[],
            steps_left: SCRIPT_STEPS_MAX,
            bytes_left: SCRIPT_MEMORY_BYTES_MAX,
            calls: 0,
            depth: 0,
            first_part: &[],
            more_parts: Vec::new(),
            place: Mark { part: 0, used: 0 },
        };
        if !program.globals.is_empty() {
            machine.globals = machine.slots(program.globals.len(), Value::Uninitialized)?;
        }
        machine.first_part = machine.room(machine.realm.first_slots)?;
        Ok(machine)
    }

    /// The steps taken so far.
    pub fn steps(&self) -> u64 {
        SCRIPT_STEPS_MAX - self.steps_left
    }

    /// Takes steps from the budget.
    pub fn charge(&mut self, steps: u64) -> Outcome<'a, ()> {
        match self.steps_left.checked_sub(steps) {
            Some(left) => {
                self.steps_left = left;
                Ok(())
            }
            None => Err(Stop::Bound(Bound::Steps)),
        }
    }

    /// Refuses lengths beyond the limit, and charges one step and one for every four elements.
    pub fn charge_length(&mut self, length: usize) -> Outcome<'a, ()> {
        if length > SCRIPT_LENGTH_MAX {
            return Err(Stop::Bound(Bound::Length));
        }
        self.charge(1 + length as u64 / 4)
    }

    /// Counts memory.
    pub fn count(&mut self, bytes: usize) -> Outcome<'a, ()> {
        match self.bytes_left.checked_sub(bytes) {
            Some(left) => {
                self.bytes_left = left;
                Ok(())
            }
            None => Err(Stop::Bound(Bound::Memory)),
        }
    }

    /// Puts a value into the arena.
    pub fn alloc<T: Copy>(&mut self, value: T) -> Outcome<'a, &'a T> {
        self.place_in_arena(value)
    }

    /// Puts a value with cells into the arena. It is never dropped, so it must not own memory.
    pub fn place_in_arena<T>(&mut self, value: T) -> Outcome<'a, &'a T> {
        const { assert!(!std::mem::needs_drop::<T>(), "nothing in the arena is dropped") };
        self.count(size_of::<T>())?;
        self.bump.try_alloc(value).map(|value| &*value).map_err(|_| Stop::Bound(Bound::Memory))
    }

    /// Copies elements into the arena.
    pub fn copied<T: Copy>(&mut self, elements: &[T]) -> Outcome<'a, &'a [T]> {
        self.count(size_of_val(elements))?;
        self.bump.try_alloc_slice_copy(elements).map(|slice| &*slice).map_err(|_| Stop::Bound(Bound::Memory))
    }

    /// New cells, each with this value.
    pub fn slots(&mut self, count: usize, value: Value<'a>) -> Outcome<'a, Slots<'a>> {
        self.count(count.saturating_mul(SLOT_BYTES))?;
        self.cells(count, |_| value)
    }

    /// New cells that may stay unused and are not counted.
    pub fn room(&mut self, count: usize) -> Outcome<'a, Slots<'a>> {
        self.cells(count, |_| Value::Undefined)
    }

    /// More cells, with the values of these in front. They are not counted: what fills them is.
    pub fn grown(&mut self, old: Slots<'a>, count: usize) -> Outcome<'a, Slots<'a>> {
        self.cells(count, |place| old.get(place).map_or(Value::Undefined, Cell::get))
    }

    fn cells(&mut self, count: usize, value: impl Fn(usize) -> Value<'a>) -> Outcome<'a, Slots<'a>> {
        self.bump
            .try_alloc_slice_fill_with(count, |place| Cell::new(value(place)))
            .map(|slice| &*slice)
            .map_err(|_| Stop::Bound(Bound::Memory))
    }

    /// Copies text into the arena.
    pub fn stored(&mut self, text: &str) -> Outcome<'a, &'a str> {
        self.count(text.len())?;
        self.bump.try_alloc_str(text).map(|text| &*text).map_err(|_| Stop::Bound(Bound::Memory))
    }

    /// A cell of its own.
    pub fn cell(&mut self, value: Value<'a>) -> Outcome<'a, &'a Cell<Value<'a>>> {
        self.place_in_arena(Cell::new(value))
    }

    /// Takes `count` slots from the frame stack, each undefined. [`Self::release`] gives them back.
    pub fn reserve(&mut self, count: usize) -> Outcome<'a, (Slots<'a>, Mark)> {
        let mark = self.place;
        let end = mark.used + count;
        if let Some(slots) = self.part(mark.part).get(mark.used..end) {
            self.place.used = end;
            return Ok((clear(slots), mark));
        }
        let part = mark.part + 1;
        if self.part(part).len() < count {
            let more = self.room(count.max(MORE_SLOTS))?;
            self.more_parts.truncate(mark.part);
            self.more_parts.push(more);
        }
        self.place = Mark { part, used: count };
        let slots = self.part(part).get(..count).unwrap_or(&[]);
        Ok((clear(slots), mark))
    }

    fn part(&self, part: usize) -> Slots<'a> {
        match part.checked_sub(1) {
            None => self.first_part,
            Some(more) => self.more_parts.get(more).copied().unwrap_or(&[]),
        }
    }

    /// Gives slots back.
    pub fn release(&mut self, mark: Mark) {
        self.place = mark;
    }

    /// How deep the call is in functions, for [`Self::restore`].
    pub const fn state(&self) -> (usize, usize, Mark) {
        (self.calls, self.depth, self.place)
    }

    /// Goes back to where a `try` began.
    pub const fn restore(&mut self, (calls, depth, place): (usize, usize, Mark)) {
        self.calls = calls;
        self.depth = depth;
        self.place = place;
    }

    /// Enters a function; [`Self::leave`] must follow.
    pub fn enter(&mut self, code: &'a Code) -> Outcome<'a, ()> {
        self.charge(code.weight)?;
        self.calls += 1;
        self.depth += code.depth;
        if self.calls > SCRIPT_CALL_DEPTH_MAX || self.depth > SCRIPT_EVALUATION_DEPTH_MAX {
            self.leave(code);
            return Err(Stop::Bound(Bound::Recursion));
        }
        Ok(())
    }

    /// Leaves a function.
    pub fn leave(&mut self, code: &'a Code) {
        self.calls -= 1;
        self.depth -= code.depth;
    }

    /// Enters a built-in function that calls functions of the script.
    pub fn enter_native(&mut self) -> Outcome<'a, ()> {
        if self.calls >= SCRIPT_CALL_DEPTH_MAX {
            return Err(Stop::Bound(Bound::Recursion));
        }
        self.calls += 1;
        Ok(())
    }

    /// Leaves what [`Self::enter_native`] entered.
    pub fn leave_native(&mut self) {
        self.calls -= 1;
    }

    /// A new string that is known to be ASCII.
    pub fn ascii(&mut self, text: &str) -> Outcome<'a> {
        if text.len() > SCRIPT_LENGTH_MAX {
            return Err(Stop::Bound(Bound::Length));
        }
        Ok(Value::Ascii(self.stored(text)?))
    }

    /// A new string.
    pub fn string(&mut self, text: &str) -> Outcome<'a> {
        if text.is_ascii() {
            return self.ascii(text);
        }
        if text.len() > SCRIPT_LENGTH_MAX && Text::Utf8(text).len() > SCRIPT_LENGTH_MAX {
            return Err(Stop::Bound(Bound::Length));
        }
        Ok(Value::Text(self.stored(text)?))
    }

    /// A new string of UTF-16 units.
    pub fn units(&mut self, units: &[u16]) -> Outcome<'a> {
        if units.len() > SCRIPT_LENGTH_MAX {
            return Err(Stop::Bound(Bound::Length));
        }
        match String::from_utf16(units) {
            Ok(text) => self.string(&text),
            Err(_) => Ok(Value::Units(self.copied(units)?)),
        }
    }

    /// The part of a string between two indices in units, which must be in order and within it.
    pub fn slice(&mut self, text: Text<'a>, from: usize, to: usize) -> Outcome<'a> {
        if let Some(part) = text.slice(from, to) {
            return Ok(part.into());
        }
        let units = text.units();
        self.units(units.get(from..to).unwrap_or(&[]))
    }

    /// The content of a string value; `None` for every other value.
    pub fn text(&mut self, value: Value<'a>) -> Outcome<'a, Option<Text<'a>>> {
        Ok(match value {
            Value::Ascii(text) => Some(Text::Ascii(text)),
            Value::Text(text) => Some(Text::Utf8(text)),
            Value::Units(units) => Some(Text::Units(units)),
            Value::Rope(rope) => {
                let flat = self.flatten(rope)?;
                return self.text(flat);
            }
            _ => None,
        })
    }

    /// Joins two strings.
    pub fn join(&mut self, left: Value<'a>, right: Value<'a>) -> Outcome<'a> {
        let (left_size, right_size) = (text_size(left), text_size(right));
        match (left_size, right_size) {
            (Some(one), Some(other)) if one.bytes + other.bytes < ROPE_BYTES_MIN => {
                let (Some(one), Some(other)) = (self.text(left)?, self.text(right)?) else {
                    return Ok(Value::Undefined);
                };
                let mut scratch = std::mem::take(&mut self.realm.scratch);
                scratch.clear();
                scratch.push_str(one.as_str().unwrap_or(""));
                scratch.push_str(other.as_str().unwrap_or(""));
                let text = self.stored(&scratch)?;
                self.realm.scratch = scratch;
                let ascii = matches!((one, other), (Text::Ascii(_), Text::Ascii(_)));
                Ok(if ascii { Value::Ascii(text) } else { Value::Text(text) })
            }
            (Some(one), Some(other)) => self.rope(left, right, &one, &other),
            _ => {
                let mut units = Vec::new();
                for part in [left, right] {
                    if let Some(text) = self.text(part)? {
                        text.push_units(&mut units);
                    }
                }
                self.charge(units.len() as u64 / 256)?;
                self.units(&units)
            }
        }
    }

    fn rope(&mut self, left: Value<'a>, right: Value<'a>, one: &Size, other: &Size) -> Outcome<'a> {
        if one.bytes == 0 {
            return Ok(right);
        }
        if other.bytes == 0 {
            return Ok(left);
        }
        let units = one.units + other.units;
        if units > SCRIPT_LENGTH_MAX {
            return Err(Stop::Bound(Bound::Length));
        }
        self.charge(1 + units as u64 / 256)?;
        let rope = self.place_in_arena(Rope {
            left,
            right,
            bytes: one.bytes + other.bytes,
            units,
            ascii: one.ascii && other.ascii,
            flat: Cell::new(Value::Uninitialized),
        })?;
        Ok(Value::Rope(rope))
    }

    /// Puts a rope together, once.
    fn flatten(&mut self, rope: &'a Rope<'a>) -> Outcome<'a> {
        if !matches!(rope.flat.get(), Value::Uninitialized) {
            return Ok(rope.flat.get());
        }
        let mut text = String::with_capacity(rope.bytes);
        let mut todo = vec![Value::Rope(rope)];
        while let Some(next) = todo.pop() {
            match next {
                Value::Rope(inner) => match inner.flat.get() {
                    Value::Uninitialized => todo.extend([inner.right, inner.left]),
                    flat => todo.push(flat),
                },
                Value::Ascii(part) | Value::Text(part) => text.push_str(part),
                _ => {}
            }
        }
        let text = self.stored(&text)?;
        let flat = if rope.ascii { Value::Ascii(text) } else { Value::Text(text) };
        rope.flat.set(flat);
        Ok(flat)
    }

    /// A function with what it captures.
    pub fn closure(
        &mut self,
        code: &'a Code,
        environment: &'a [&'a Cell<Value<'a>>],
    ) -> Outcome<'a, &'a Closure<'a>> {
        self.place_in_arena(Closure { code, environment })
    }
}

/// The size of a well-formed string.
struct Size {
    bytes: usize,
    units: usize,
    ascii: bool,
}

/// `None` for strings with lone surrogates and for what is no string.
fn text_size(value: Value<'_>) -> Option<Size> {
    match value {
        Value::Ascii(text) => Some(Size { bytes: text.len(), units: text.len(), ascii: true }),
        Value::Text(text) => Some(Size { bytes: text.len(), units: Text::Utf8(text).len(), ascii: false }),
        Value::Rope(rope) => Some(Size { bytes: rope.bytes, units: rope.units, ascii: rope.ascii }),
        _ => None,
    }
}

fn clear<'a>(slots: Slots<'a>) -> Slots<'a> {
    for slot in slots {
        slot.set(Value::Undefined);
    }
    slots
}

/// An arena for calls.
pub(super) fn arena() -> Bump {
    let bump = Bump::with_capacity(16 * 1024);
    bump.set_allocation_limit(Some(ARENA_BYTES_MAX));
    bump
}
