//! Plain objects: own data properties that can be written and listed, or none of that when frozen.
//!
//! Most objects have a shape and a slot for each of its names. An object that gets a name by a computed key, too many
//! names, or loses one, becomes a table. What an object inherits is not here: the few members of `Object.prototype`
//! are known by name, and the engine is asked when one of them is read as a value.

use super::machine::{Machine, SLOT_BYTES, Slots};
use super::program::Name;
use super::shapes::{EMPTY, ShapeId};
use super::table::Table;
use super::text::{Text, array_index};
use super::value::{Bound, Outcome, Stop, Value, hand_over, type_error};
use std::cell::Cell;

/// Where the properties are.
#[derive(Clone, Copy)]
pub(super) enum State<'a> {
    /// In slots, one for each name of the shape and some to spare.
    Shaped {
        /// The names.
        shape: ShapeId,
        /// The values.
        slots: Slots<'a>,
    },
    /// In a table, by name.
    Keyed {
        /// The entries; their keys are well-formed strings.
        table: &'a Table<'a>,
        /// Whether a name may be an array index: those are listed first, in ascending order.
        indices: bool,
    },
}

/// A plain object.
pub(super) struct Record<'a> {
    /// Its properties.
    pub state: Cell<State<'a>>,
    /// Whether it may not change any more.
    pub frozen: Cell<bool>,
}

/// A place of an object's property, from [`Machine::property_places`].
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    /// In the slots of an object with this shape.
    Slot {
        /// The shape it had.
        shape: ShapeId,
        /// The place in it.
        place: usize,
        /// The value's slot.
        slot: &'a Cell<Value<'a>>,
    },
    /// In a table.
    Entry {
        /// The name, a string.
        name: Value<'a>,
        /// The value's slot.
        slot: &'a Cell<Value<'a>>,
    },
}

impl<'a> Place<'a> {
    /// Where the value is.
    pub const fn slot(self) -> &'a Cell<Value<'a>> {
        match self {
            Self::Slot { slot, .. } | Self::Entry { slot, .. } => slot,
        }
    }
}

impl<'a> Machine<'a> {
    /// An object without properties.
    pub fn record(&mut self) -> Outcome<'a, &'a Record<'a>> {
        self.shaped(EMPTY, &[])
    }

    /// An object with a shape and its values.
    pub fn shaped(&mut self, shape: ShapeId, slots: Slots<'a>) -> Outcome<'a, &'a Record<'a>> {
        self.place_in_arena(Record {
            state: Cell::new(State::Shaped { shape, slots }),
            frozen: Cell::new(false),
        })
    }

    /// An object in a table of its own.
    pub fn keyed(&mut self, table: &'a Table<'a>, indices: bool) -> Outcome<'a, &'a Record<'a>> {
        self.place_in_arena(Record {
            state: Cell::new(State::Keyed { table, indices }),
            frozen: Cell::new(false),
        })
    }

    /// The slot of a property that the text names; remembers where it was.
    pub fn named_slot(
        &mut self,
        record: &Record<'a>,
        name: &Name,
        cache: usize,
    ) -> Outcome<'a, Option<&'a Cell<Value<'a>>>> {
        match record.state.get() {
            State::Shaped { shape, slots } => {
                let place = match self.realm.caches.get(cache) {
                    Some(known) if known.shape == shape => known.place,
                    _ => {
                        let place = self.realm.shapes.find(shape, &name.text);
                        if let Some(known) = self.realm.caches.get_mut(cache) {
                            known.shape = shape;
                            known.place = place;
                        }
                        place
                    }
                };
                Ok(place.and_then(|place| slots.get(usize::try_from(place).ok()?)))
            }
            State::Keyed { table, .. } => {
                Ok(self.table_find_name(table, &name.text)?.map(|entry| &entry.value))
            }
        }
    }

    /// The slot of a property.
    pub fn slot(&mut self, record: &Record<'a>, name: &str) -> Outcome<'a, Option<&'a Cell<Value<'a>>>> {
        match record.state.get() {
            State::Shaped { shape, slots } => {
                let place = self.realm.shapes.find(shape, name);
                Ok(place.and_then(|place| slots.get(usize::try_from(place).ok()?)))
            }
            State::Keyed { table, .. } => Ok(self.table_find_name(table, name)?.map(|entry| &entry.value)),
        }
    }

    /// The value of a property; `None` when the object itself has none of this name.
    pub fn own(&mut self, record: &Record<'a>, name: &str) -> Outcome<'a, Option<Value<'a>>> {
        match self.slot(record, name)? {
            Some(slot) => self.read(slot).map(Some),
            None => Ok(None),
        }
    }

    /// Sets a property whose name is known text.
    pub fn define(&mut self, record: &Record<'a>, name: &str, value: Value<'a>) -> Outcome<'a, ()> {
        if let Some(slot) = self.slot(record, name)? {
            slot.set(value);
            return Ok(());
        }
        self.count(SLOT_BYTES)?;
        if let State::Shaped { shape, slots } = record.state.get() {
            if let Some(next) = self.realm.shapes.with(shape, name) {
                return self.add_slot(record, shape, slots, next, value);
            }
            self.become_table(record)?;
        }
        let key = Text::of(self.room_for_name(name)?).into();
        self.add_entry(record, key, value)
    }

    /// Sets a property by a computed key, which must be a well-formed string.
    pub fn define_computed(
        &mut self,
        record: &Record<'a>,
        key: Value<'a>,
        value: Value<'a>,
    ) -> Outcome<'a, ()> {
        let Some(name) = self.text(key)?.and_then(Text::as_str) else {
            return hand_over(&"a property name with half a surrogate pair");
        };
        if let State::Keyed { table, indices } = record.state.get() {
            let key = Text::of(name).into();
            if self.table_set(table, key, value)? {
                self.count(SLOT_BYTES)?;
                if !indices && array_index(name).is_some() {
                    record.state.set(State::Keyed { table, indices: true });
                }
            }
            return Ok(());
        }
        if let Some(slot) = self.slot(record, name)? {
            slot.set(value);
            return Ok(());
        }
        self.count(SLOT_BYTES)?;
        self.become_table(record)?;
        let key = Text::of(name).into();
        self.add_entry(record, key, value)
    }

    fn add_slot(
        &mut self,
        record: &Record<'a>,
        shape: ShapeId,
        slots: Slots<'a>,
        next: ShapeId,
        value: Value<'a>,
    ) -> Outcome<'a, ()> {
        let used = self.realm.shapes.len(shape);
        let slots = if used < slots.len() { slots } else { self.grown(slots, (used * 2).max(4))? };
        if let Some(slot) = slots.get(used) {
            slot.set(value);
        }
        record.state.set(State::Shaped { shape: next, slots });
        Ok(())
    }

    fn add_entry(&mut self, record: &Record<'a>, key: Value<'a>, value: Value<'a>) -> Outcome<'a, ()> {
        let State::Keyed { table, indices } = record.state.get() else { return Ok(()) };
        let index = match key {
            Value::Ascii(name) => array_index(name).is_some(),
            _ => false,
        };
        record.state.set(State::Keyed { table, indices: indices || index });
        self.table_set(table, key, value).map(|_| ())
    }

    fn become_table(&mut self, record: &Record<'a>) -> Outcome<'a, ()> {
        let State::Shaped { shape, slots } = record.state.get() else { return Ok(()) };
        let table = self.table()?;
        record.state.set(State::Keyed { table, indices: false });
        for (place, slot) in slots.iter().enumerate().take(self.realm.shapes.len(shape)) {
            let name = self.bump.try_alloc_str(self.realm.shapes.name(shape, place));
            let key = Text::of(name.map_err(|_| Stop::Bound(Bound::Memory))?).into();
            self.add_entry(record, key, slot.get())?;
        }
        Ok(())
    }

    /// Removes a property.
    pub fn remove_property(&mut self, record: &Record<'a>, name: &str) -> Outcome<'a, ()> {
        if self.slot(record, name)?.is_none() {
            return Ok(());
        }
        if record.frozen.get() {
            return type_error();
        }
        self.become_table(record)?;
        if let State::Keyed { table, .. } = record.state.get() {
            self.table_remove_name(table, name)?;
        }
        Ok(())
    }

    /// How many properties an object has.
    pub fn property_count(&self, record: &Record<'a>) -> usize {
        match record.state.get() {
            State::Shaped { shape, .. } => self.realm.shapes.len(shape),
            State::Keyed { table, .. } => table.len(),
        }
    }

    /// The properties in the order in which the language lists them.
    pub fn property_places(&mut self, record: &Record<'a>) -> Outcome<'a, Vec<Place<'a>>> {
        let count = self.property_count(record);
        self.charge_length(count)?;
        Ok(match record.state.get() {
            State::Shaped { shape, slots } => {
                let at = |place: usize| slots.get(place).map(|slot| Place::Slot { shape, place, slot });
                match self.realm.shapes.order(shape) {
                    Some(order) => {
                        order.iter().filter_map(|place| at(usize::try_from(*place).ok()?)).collect()
                    }
                    None => (0..count).filter_map(at).collect(),
                }
            }
            State::Keyed { table, indices } => {
                let mut places: Vec<Place<'a>> = table
                    .iter()
                    .map(|entry| Place::Entry { name: entry.key.get(), slot: &entry.value })
                    .collect();
                if indices {
                    self.charge(count as u64)?;
                    places.sort_by_cached_key(|place| match place {
                        Place::Entry { name: Value::Ascii(name), .. } => {
                            array_index(name).map_or(u64::MAX, u64::from)
                        }
                        _ => u64::MAX,
                    });
                }
                places
            }
        })
    }

    /// The name at a place, as a string value.
    pub fn place_name(&mut self, place: Place<'a>) -> Outcome<'a> {
        match place {
            Place::Slot { shape, place, .. } => {
                let name = self.bump.try_alloc_str(self.realm.shapes.name(shape, place));
                let name = Text::of(name.map_err(|_| Stop::Bound(Bound::Memory))?);
                self.count(name.stored_bytes())?;
                Ok(name.into())
            }
            Place::Entry { name, .. } => {
                // The same as if it had been copied.
                let bytes = self.text(name)?.map_or(0, Text::stored_bytes);
                self.count(bytes)?;
                Ok(name)
            }
        }
    }

    fn room_for_name(&mut self, name: &str) -> Outcome<'a, &'a str> {
        self.bump.try_alloc_str(name).map(|name| &*name).map_err(|_| Stop::Bound(Bound::Memory))
    }

    /// Whether every object inherits a member of this name.
    pub fn is_inherited(name: &str) -> bool {
        INHERITED.contains(&name)
    }
}

/// The members of `Object.prototype` in the engine's realm.
pub(super) const INHERITED: [&str; 9] = [
    "constructor",
    "hasOwnProperty",
    "isPrototypeOf",
    "propertyIsEnumerable",
    "toLocaleString",
    "toString",
    "valueOf",
    "__lookupGetter__",
    "__lookupSetter__",
];
