//! Methods of arrays that call a function for each element.

use super::{argument, number};
use crate::script::compiled::list::List;
use crate::script::compiled::machine::Machine;
use crate::script::compiled::methods::Method;
use crate::script::compiled::rows::RowCallback;
use crate::script::compiled::value::{Outcome, Value, hand_over, type_error};

impl<'a> Machine<'a> {
    /// A method that calls a function.
    pub fn list_call(&mut self, list: &'a List<'a>, method: Method, arguments: &[Value<'a>]) -> Outcome<'a> {
        let callback = argument(arguments, 0);
        let known = matches!(
            method,
            Method::Map
                | Method::Filter
                | Method::Find
                | Method::FindIndex
                | Method::FindLast
                | Method::FindLastIndex
                | Method::Some
                | Method::Every
                | Method::ForEach
                | Method::FlatMap
                | Method::Reduce
                | Method::ReduceRight
        );
        if !known {
            return hand_over(&"a method of an array");
        }
        if !callback.is_callable() {
            return type_error();
        }
        if arguments.len() > 1 && !matches!(method, Method::Reduce | Method::ReduceRight) {
            return hand_over(&"a callback with a this");
        }
        self.charge_length(list.len())?;
        self.enter_native()?;
        let row = self.row_callback(callback, list)?;
        let result = match method {
            Method::Map => self.list_map(list, (callback, row)),
            Method::Filter => self.list_filter(list, callback),
            Method::FlatMap => self.list_flat_map(list, callback),
            Method::Find | Method::FindIndex | Method::FindLast | Method::FindLastIndex => {
                self.list_find(list, method, callback)
            }
            Method::Reduce | Method::ReduceRight => {
                self.list_reduce(list, (callback, row), arguments, method == Method::ReduceRight)
            }
            _ => self.list_test(list, method, (callback, row)),
        };
        self.leave_native();
        result
    }

    /// Calls the function for the element at a place, if it is still there; gives the element too.
    fn call_at(
        &mut self,
        list: &'a List<'a>,
        callback: Value<'a>,
        place: usize,
    ) -> Outcome<'a, Option<(Value<'a>, Value<'a>)>> {
        if place >= list.len() {
            return Ok(None);
        }
        let value = self.element(list, place)?;
        let result = self.call_value(callback, &[value, number(place), Value::List(list)])?;
        Ok(Some((value, result)))
    }

    /// Calls the function for the element at a place, if it is still there, on its text if possible.
    fn call_row_at(
        &mut self,
        list: &'a List<'a>,
        (callback, row): (Value<'a>, Option<RowCallback<'a>>),
        place: usize,
    ) -> Outcome<'a, Option<Value<'a>>> {
        if let (Some(row), Some(cell)) = (&row, list.slots().get(place))
            && let Some(result) = self.row_call(row, cell, None, place)?
        {
            return Ok(Some(result));
        }
        Ok(self.call_at(list, callback, place)?.map(|(_, result)| result))
    }

    fn list_map(
        &mut self,
        list: &'a List<'a>,
        callback: (Value<'a>, Option<RowCallback<'a>>),
    ) -> Outcome<'a> {
        let len = list.len();
        let slots = self.slots(len, Value::Undefined)?;
        for (place, slot) in slots.iter().enumerate() {
            match self.call_row_at(list, callback, place)? {
                Some(result) => slot.set(result),
                None => return hand_over(&"an array with holes"),
            }
        }
        Ok(Value::List(self.list_of(slots)?))
    }

    fn list_filter(&mut self, list: &'a List<'a>, callback: Value<'a>) -> Outcome<'a> {
        let kept = self.list_with_room(4)?;
        for place in 0..list.len() {
            if let Some((value, result)) = self.call_at(list, callback, place)?
                && result.truthy()
            {
                self.push(kept, value)?;
            }
        }
        Ok(Value::List(kept))
    }

    fn list_flat_map(&mut self, list: &'a List<'a>, callback: Value<'a>) -> Outcome<'a> {
        let kept = self.list_with_room(4)?;
        for place in 0..list.len() {
            match self.call_at(list, callback, place)? {
                Some((_, Value::List(inner))) => {
                    self.charge_length(inner.len())?;
                    for value in self.elements(inner)? {
                        self.push(kept, value)?;
                    }
                }
                Some((_, value)) => {
                    self.check_length(value)?;
                    self.push(kept, value)?;
                }
                None => {}
            }
        }
        Ok(Value::List(kept))
    }

    fn list_find(&mut self, list: &'a List<'a>, method: Method, callback: Value<'a>) -> Outcome<'a> {
        let backwards = matches!(method, Method::FindLast | Method::FindLastIndex);
        let by_index = matches!(method, Method::FindIndex | Method::FindLastIndex);
        let len = list.len();
        for turn in 0..len {
            let place = if backwards { len - 1 - turn } else { turn };
            let value = self.element(list, place)?;
            if self.call_value(callback, &[value, number(place), Value::List(list)])?.truthy() {
                return Ok(if by_index { number(place) } else { value });
            }
        }
        Ok(if by_index { Value::Number(-1.0) } else { Value::Undefined })
    }

    fn list_test(
        &mut self,
        list: &'a List<'a>,
        method: Method,
        callback: (Value<'a>, Option<RowCallback<'a>>),
    ) -> Outcome<'a> {
        for place in 0..list.len() {
            let Some(result) = self.call_row_at(list, callback, place)? else { continue };
            match method {
                Method::Some if result.truthy() => return Ok(Value::Bool(true)),
                Method::Every if !result.truthy() => return Ok(Value::Bool(false)),
                _ => {}
            }
        }
        Ok(match method {
            Method::Some => Value::Bool(false),
            Method::Every => Value::Bool(true),
            _ => Value::Undefined,
        })
    }

    fn list_reduce(
        &mut self,
        list: &'a List<'a>,
        (callback, row): (Value<'a>, Option<RowCallback<'a>>),
        arguments: &[Value<'a>],
        backwards: bool,
    ) -> Outcome<'a> {
        let len = list.len();
        let place_of = |turn: usize| if backwards { len - 1 - turn } else { turn };
        let (mut result, first) = match arguments.get(1) {
            Some(initial) => (*initial, 0),
            None if len == 0 => return type_error(),
            None => (self.element(list, place_of(0))?, 1),
        };
        for turn in first..len {
            let place = place_of(turn);
            if place >= list.len() {
                continue;
            }
            if let (Some(row), Some(cell)) = (&row, list.slots().get(place))
                && let Some(next) = self.row_call(row, cell, Some(result), place)?
            {
                result = next;
                continue;
            }
            let value = self.element(list, place)?;
            result = self.call_value(callback, &[result, value, number(place), Value::List(list)])?;
        }
        Ok(result)
    }
}
