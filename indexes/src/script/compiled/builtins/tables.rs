//! Methods of Map and Set objects, which are tables of entries in order.

use super::argument;
use crate::script::compiled::machine::Machine;
use crate::script::compiled::methods::Method;
use crate::script::compiled::table::Table;
use crate::script::compiled::value::{Gives, Outcome, Source, Value, hand_over, type_error};

impl<'a> Machine<'a> {
    /// `new Map(entries)` and `new Set(values)`.
    pub fn new_table(&mut self, is_map: bool, source: Value<'a>) -> Outcome<'a> {
        let table = self.table()?;
        self.count(size_of::<Table<'_>>())?;
        if !source.is_nullish() {
            for value in self.collected(source)? {
                self.charge(1)?;
                if !is_map {
                    self.table_set(table, value, Value::Undefined)?;
                    self.count_entry()?;
                    continue;
                }
                let Value::List(pair) = value else { return type_error() };
                let key = self.element(pair, 0)?;
                let value = self.element(pair, 1)?;
                self.table_set(table, key, value)?;
                self.count_entry()?;
            }
        }
        Ok(if is_map { Value::Map(table) } else { Value::Set(table) })
    }

    fn count_entry(&mut self) -> Outcome<'a, ()> {
        self.count(crate::script::compiled::machine::SLOT_BYTES)
    }

    /// A method of a Map.
    pub fn map_method(
        &mut self,
        table: &'a Table<'a>,
        method: Method,
        arguments: &[Value<'a>],
    ) -> Outcome<'a> {
        let key = argument(arguments, 0);
        match method {
            Method::Get => {
                let entry = self.table_find(table, key)?;
                Ok(entry.map_or(Value::Undefined, |entry| entry.value.get()))
            }
            Method::Set => {
                self.charge(1)?;
                self.count_entry()?;
                self.table_set(table, key, argument(arguments, 1))?;
                Ok(Value::Map(table))
            }
            Method::Entries => self.table_iterator(table, false, Gives::Entries),
            Method::Keys => self.table_iterator(table, false, Gives::Keys),
            Method::Values => self.table_iterator(table, false, Gives::Values),
            Method::ForEach => self.table_for_each(table, Value::Map(table), false, key),
            _ => self.table_method(table, method, key),
        }
    }

    /// A method of a Set.
    pub fn set_method(
        &mut self,
        table: &'a Table<'a>,
        method: Method,
        arguments: &[Value<'a>],
    ) -> Outcome<'a> {
        let key = argument(arguments, 0);
        match method {
            Method::Add => {
                self.set_add(table, key)?;
                Ok(Value::Set(table))
            }
            Method::Entries => self.table_iterator(table, true, Gives::Entries),
            Method::Keys | Method::Values => self.table_iterator(table, true, Gives::Values),
            Method::ForEach => self.table_for_each(table, Value::Set(table), true, key),
            _ => self.table_method(table, method, key),
        }
    }

    /// `set.add(key)`
    pub fn set_add(&mut self, table: &'a Table<'a>, key: Value<'a>) -> Outcome<'a, bool> {
        self.charge(1)?;
        self.count_entry()?;
        self.table_set(table, key, Value::Undefined)
    }

    fn table_method(&mut self, table: &'a Table<'a>, method: Method, key: Value<'a>) -> Outcome<'a> {
        match method {
            Method::Has => Ok(Value::Bool(self.table_find(table, key)?.is_some())),
            Method::Delete => Ok(Value::Bool(self.table_remove(table, key)?)),
            Method::Clear => {
                self.charge(table.places() as u64 / 4)?;
                table.clear();
                Ok(Value::Undefined)
            }
            _ => hand_over(&"a method of a Map or a Set"),
        }
    }

    fn table_iterator(&mut self, table: &'a Table<'a>, set: bool, gives: Gives) -> Outcome<'a> {
        Ok(Value::Iterator(self.iterator_over(Source::Table { table, set }, gives)?))
    }

    fn table_for_each(
        &mut self,
        table: &'a Table<'a>,
        object: Value<'a>,
        set: bool,
        callback: Value<'a>,
    ) -> Outcome<'a> {
        if !callback.is_callable() {
            return type_error();
        }
        self.enter_native()?;
        let mut place = 0;
        while place < table.places() {
            self.charge(1)?;
            if let Some(entry) = table.entry(place) {
                let key = entry.key.get();
                let value = if set { key } else { entry.value.get() };
                self.call_value(callback, &[value, key, object])?;
            }
            place += 1;
        }
        self.leave_native();
        Ok(Value::Undefined)
    }
}
