//! Entries in the order they were added, found by key: what Map and Set are, and objects with many or ever new names.
//!
//! Removed entries leave a gap that is never filled, so iterators keep their places whatever happens meanwhile. Chains
//! of keys that collide are charged to the budget, so that no choice of keys makes a call hang.

use super::big::Big;
use super::machine::Machine;
use super::scanner::same_bytes;
use super::text::{Text, hash, mix};
use super::value::{Bound, Outcome, Stop, Value, same};
use crate::limits::SCRIPT_LENGTH_MAX;
use std::cell::Cell;

/// Tables with more entries look keys up by hash.
const LINEAR_MAX: usize = 8;
/// Tables with fewer places get four times as many when they are full.
const SMALL_PLACES: usize = 256;
/// Probes that one step pays for.
const PROBES_PER_STEP: usize = 64;
/// Tables with fewer places grow without steps: whether an object is a table must not show in its steps.
const FREE_PLACES_MAX: usize = 64;
/// What an entry counts beyond its value: its key, and as much for the room kept ready.
const ENTRY_BYTES: usize = 3 * size_of::<Value<'_>>();

/// One entry.
pub(super) struct Entry<'a> {
    /// Its key; `Uninitialized` when it was removed.
    pub key: Cell<Value<'a>>,
    /// Its value.
    pub value: Cell<Value<'a>>,
    hash: Cell<u64>,
}

/// The entries.
pub(super) struct Table<'a> {
    entries: Cell<&'a [Entry<'a>]>,
    /// Entries in use, removed ones among them.
    used: Cell<usize>,
    removed: Cell<usize>,
    /// The place that was found last by a name.
    recent: Cell<usize>,
    /// For each bucket the number of its entry plus one and the upper half of its hash, or 0. Empty while the table is
    /// small.
    buckets: Cell<&'a [Cell<u64>]>,
}

/// Where a key is, or would be.
#[derive(Clone, Copy)]
pub(super) struct Found<'a> {
    /// Its entry, if it has one.
    pub entry: Option<&'a Entry<'a>>,
    hash: u64,
    /// The free bucket that its chain ends at.
    bucket: usize,
}

/// The part of a bucket that is the entry's number plus one.
const NUMBER: u64 = 0xffff_ffff;

impl<'a> Table<'a> {
    /// An empty one.
    pub const fn new() -> Self {
        Self {
            entries: Cell::new(&[]),
            used: Cell::new(0),
            removed: Cell::new(0),
            recent: Cell::new(0),
            buckets: Cell::new(&[]),
        }
    }

    /// How many entries it has.
    pub fn len(&self) -> usize {
        self.used.get() - self.removed.get()
    }

    /// How many places it has; entries that were removed keep theirs.
    pub fn places(&self) -> usize {
        self.used.get()
    }

    /// The entry at a place, unless it was removed.
    pub fn entry(&self, place: usize) -> Option<&'a Entry<'a>> {
        let entry = self.entries.get().get(..self.used.get())?.get(place)?;
        (!matches!(entry.key.get(), Value::Uninitialized)).then_some(entry)
    }

    /// All entries in order.
    pub fn iter(&self) -> impl Iterator<Item = &'a Entry<'a>> + use<'a> {
        let entries = self.entries.get().get(..self.used.get()).unwrap_or(&[]);
        entries.iter().filter(|entry| !matches!(entry.key.get(), Value::Uninitialized))
    }

    /// Removes all entries.
    pub fn clear(&self) {
        for entry in self.iter() {
            entry.key.set(Value::Uninitialized);
            entry.value.set(Value::Undefined);
        }
        self.removed.set(self.used.get());
    }
}

impl<'a> Machine<'a> {
    /// A new table without entries, which is not counted.
    pub fn table(&mut self) -> Outcome<'a, &'a Table<'a>> {
        self.bump.try_alloc(Table::new()).map(|table| &*table).map_err(|_| Stop::Bound(Bound::Memory))
    }

    /// The entry with a key, under SameValueZero.
    pub fn table_find(&mut self, table: &Table<'a>, key: Value<'a>) -> Outcome<'a, Option<&'a Entry<'a>>> {
        if table.len() == 0 {
            return Ok(None);
        }
        let key = self.table_key(key)?;
        let hash = self.hash_of(key);
        self.find_hashed(table, key, hash)
    }

    /// The entry with a name. Who walks over the keys asks for one after the other, often twice, and with the same text.
    pub fn table_find_name(&mut self, table: &Table<'a>, name: &str) -> Outcome<'a, Option<&'a Entry<'a>>> {
        let recent = table.recent.get();
        for place in [recent, recent + 1] {
            let entry = table.entries.get().get(place).filter(|_| place < table.used.get());
            if let Some(entry) = entry
                && let Value::Ascii(key) | Value::Text(key) = entry.key.get()
                && std::ptr::eq(key, name)
            {
                table.recent.set(place);
                return Ok(Some(entry));
            }
        }
        self.table_place(table, name).map(|found| found.entry)
    }

    /// Sets the value of a key; says whether the key is new.
    pub fn table_set(&mut self, table: &Table<'a>, key: Value<'a>, value: Value<'a>) -> Outcome<'a, bool> {
        let key = self.table_key(key)?;
        let hash = self.hash_of(key);
        let found = self.search(table, hash, |known| is_same(known, key))?;
        if let Some(entry) = found.entry {
            entry.value.set(value);
            return Ok(false);
        }
        self.table_add(table, key, value, found)?;
        Ok(true)
    }

    /// Where a string that is no rope is or would be. Nothing may change the table before [`Self::table_add`].
    #[inline]
    pub fn table_place(&mut self, table: &Table<'a>, name: &str) -> Outcome<'a, Found<'a>> {
        let hash = hash(self.realm.seed, name.as_bytes());
        self.search(table, hash, |key| match key {
            Value::Ascii(text) | Value::Text(text) => same_bytes(text.as_bytes(), name.as_bytes()),
            _ => false,
        })
    }

    /// Adds a key that was not found.
    pub fn table_add(
        &mut self,
        table: &Table<'a>,
        key: Value<'a>,
        value: Value<'a>,
        found: Found<'a>,
    ) -> Outcome<'a, ()> {
        if table.places() >= FREE_PLACES_MAX {
            self.count(ENTRY_BYTES)?;
        }
        let used = table.used.get();
        let hash = found.hash;
        let is_full = used == table.entries.get().len();
        if is_full {
            self.grow(table)?;
        }
        if let Some(entry) = table.entries.get().get(used) {
            entry.key.set(key);
            entry.value.set(value);
            entry.hash.set(hash);
        }
        table.used.set(used + 1);
        let buckets = table.buckets.get();
        match buckets.get(found.bucket).filter(|bucket| !is_full && bucket.get() == 0) {
            Some(bucket) => bucket.set(numbered(hash, used)),
            None => insert(buckets, hash, used),
        }
        Ok(())
    }

    /// Removes a key; says whether it was there.
    pub fn table_remove(&mut self, table: &Table<'a>, key: Value<'a>) -> Outcome<'a, bool> {
        let Some(entry) = self.table_find(table, key)? else { return Ok(false) };
        entry.key.set(Value::Uninitialized);
        entry.value.set(Value::Undefined);
        table.removed.set(table.removed.get() + 1);
        Ok(true)
    }

    /// Removes the entry with a name.
    pub fn table_remove_name(&mut self, table: &Table<'a>, name: &str) -> Outcome<'a, ()> {
        if let Some(entry) = self.table_find_name(table, name)? {
            entry.key.set(Value::Uninitialized);
            entry.value.set(Value::Undefined);
            table.removed.set(table.removed.get() + 1);
        }
        Ok(())
    }

    /// The form in which a key is compared: ropes put together, -0 as 0.
    fn table_key(&mut self, key: Value<'a>) -> Outcome<'a> {
        match key {
            Value::Rope(_) => Ok(self.text(key)?.map_or(Value::Undefined, Value::from)),
            Value::Number(0.0) => Ok(Value::Number(0.0)),
            _ => Ok(key),
        }
    }

    fn hash_of(&self, key: Value<'a>) -> u64 {
        let seed = self.realm.seed;
        let of_number = |bits: u64| mix(bits ^ seed, 0x9e37_79b9_7f4a_7c15);
        match key {
            Value::Ascii(text) | Value::Text(text) => hash(seed, text.as_bytes()),
            Value::Units(units) => {
                units.iter().fold(seed, |state, unit| mix(state ^ u64::from(*unit), seed | 1))
            }
            Value::Number(number) if number.is_nan() => of_number(1),
            Value::Number(number) => of_number(number.to_bits()),
            Value::Bool(value) => of_number(2 + u64::from(value)),
            Value::Null => of_number(4),
            Value::Undefined => of_number(5),
            Value::Big(Big::Small(small)) => hash(seed, &small.to_le_bytes()),
            Value::Big(Big::Large { digits, .. }) => {
                digits.iter().fold(seed, |state, digit| mix(state ^ u64::from(*digit), seed | 1))
            }
            Value::Native(native) => of_number(native.number()),
            Value::Record(object) => of_number(address(object)),
            Value::List(object) => of_number(address(object)),
            Value::Closure(object) => of_number(address(object.code)),
            Value::Date(object) => of_number(address(object)),
            Value::Map(object) | Value::Set(object) => of_number(address(object)),
            Value::Failure(object) => of_number(address(object)),
            Value::Regex(object) => of_number(address(object)),
            Value::Iterator(object) => of_number(address(object)),
            _ => seed,
        }
    }

    fn find_hashed(
        &mut self,
        table: &Table<'a>,
        key: Value<'a>,
        hash: u64,
    ) -> Outcome<'a, Option<&'a Entry<'a>>> {
        self.search(table, hash, |known| is_same(known, key)).map(|found| found.entry)
    }

    #[inline]
    fn search(
        &mut self,
        table: &Table<'a>,
        hash: u64,
        matches: impl Fn(Value<'a>) -> bool,
    ) -> Outcome<'a, Found<'a>> {
        let entries = table.entries.get();
        let buckets = table.buckets.get();
        let fits = |entry: &&Entry<'a>| entry.hash.get() == hash && matches(entry.key.get());
        let Some(mask) = buckets.len().checked_sub(1) else {
            let entry = entries.get(..table.used.get()).unwrap_or(&[]).iter().find(fits);
            return Ok(Found { entry, hash, bucket: 0 });
        };
        let mut bucket = bucket_of(hash, buckets.len());
        let mut probes = 0;
        loop {
            let number = buckets.get(bucket).map_or(0, Cell::get);
            let Some(place) = (number & NUMBER).checked_sub(1) else {
                return Ok(Found { entry: None, hash, bucket });
            };
            if number & !NUMBER == hash & !NUMBER {
                let entry = usize::try_from(place).ok().and_then(|place| entries.get(place));
                if let Some(entry) = entry.filter(fits) {
                    return Ok(Found { entry: Some(entry), hash, bucket });
                }
            }
            bucket = (bucket + 1) & mask;
            probes += 1;
            if probes % PROBES_PER_STEP == 0 {
                self.charge(1)?;
            }
        }
    }

    fn grow(&mut self, table: &Table<'a>) -> Outcome<'a, ()> {
        let old = table.entries.get();
        // Small ones grow faster.
        let count = if old.len() < SMALL_PLACES { (old.len() * 4).max(LINEAR_MAX) } else { old.len() * 2 };
        if old.len() > SCRIPT_LENGTH_MAX {
            return Err(Stop::Bound(Bound::Length));
        }
        if old.len() > FREE_PLACES_MAX {
            self.charge(old.len() as u64 / 4)?;
        }
        let fresh = |place: usize| {
            let old = old.get(place);
            Entry {
                key: Cell::new(old.map_or(Value::Uninitialized, |entry| entry.key.get())),
                value: Cell::new(old.map_or(Value::Undefined, |entry| entry.value.get())),
                hash: Cell::new(old.map_or(0, |entry| entry.hash.get())),
            }
        };
        let entries =
            self.bump.try_alloc_slice_fill_with(count, fresh).map_err(|_| Stop::Bound(Bound::Memory))?;
        table.entries.set(entries);
        if count > LINEAR_MAX {
            let buckets = self
                .bump
                .try_alloc_slice_fill_with((count * 2).next_power_of_two(), |_| Cell::new(0))
                .map_err(|_| Stop::Bound(Bound::Memory))?;
            table.buckets.set(buckets);
            for (place, entry) in entries.iter().take(table.used.get()).enumerate() {
                insert(buckets, entry.hash.get(), place);
            }
        }
        Ok(())
    }
}

fn bucket_of(hash: u64, buckets: usize) -> usize {
    // The count is a power of two far below 2^32, so nothing is lost.
    usize::try_from(hash & (buckets as u64 - 1)).unwrap_or(0)
}

/// What a bucket with the entry at a place holds.
const fn numbered(hash: u64, place: usize) -> u64 {
    (hash & !NUMBER) | (place as u64 + 1)
}

/// Puts an entry into the first free bucket of its chain.
fn insert(buckets: &[Cell<u64>], hash: u64, place: usize) {
    let Some(mask) = buckets.len().checked_sub(1) else { return };
    let mut bucket = bucket_of(hash, buckets.len());
    while buckets.get(bucket).is_some_and(|number| number.get() != 0) {
        bucket = (bucket + 1) & mask;
    }
    if let Some(free) = buckets.get(bucket) {
        free.set(numbered(hash, place));
    }
}

fn address<T>(object: &T) -> u64 {
    std::ptr::from_ref(object).addr() as u64
}

/// Whether two keys are the same under SameValueZero. Ropes were put together before.
pub(super) fn is_same<'a>(one: Value<'a>, other: Value<'a>) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || (one.is_nan() && other.is_nan()),
        _ => is_strictly_equal(one, other),
    }
}

/// `===` of values that are no ropes.
pub(super) fn is_strictly_equal<'a>(one: Value<'a>, other: Value<'a>) -> bool {
    match (one, other) {
        (Value::Undefined, Value::Undefined) | (Value::Null, Value::Null) => true,
        (Value::Bool(one), Value::Bool(other)) => one == other,
        (Value::Number(one), Value::Number(other)) => one == other,
        (Value::Ascii(one), Value::Ascii(other)) | (Value::Text(one), Value::Text(other)) => one == other,
        (Value::Units(one), Value::Units(other)) => Text::Units(one).equals(Text::Units(other)),
        (Value::Big(one), Value::Big(other)) => one.compare(*other).is_eq(),
        (Value::Record(one), Value::Record(other)) => same(one, other),
        (Value::List(one), Value::List(other)) => same(one, other),
        (Value::Closure(one), Value::Closure(other)) => {
            // A function without captured variables is the same wherever it is named.
            same(one, other) || (one.code.is_global && same(one.code, other.code))
        }
        (Value::Native(one), Value::Native(other)) => one == other,
        (Value::Date(one), Value::Date(other)) => same(one, other),
        (Value::Map(one), Value::Map(other)) | (Value::Set(one), Value::Set(other)) => same(one, other),
        (Value::Failure(one), Value::Failure(other)) => same(one, other),
        (Value::Regex(one), Value::Regex(other)) => same(one, other),
        (Value::Iterator(one), Value::Iterator(other)) => same(one, other),
        _ => false,
    }
}
