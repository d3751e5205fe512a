//! Methods of arrays that call no functions of the script, and sorting.

use super::{argument, number};
use crate::script::compiled::list::List;
use crate::script::compiled::machine::Machine;
use crate::script::compiled::methods::Method;
use crate::script::compiled::numbers::relative;
use crate::script::compiled::text::Text;
use crate::script::compiled::value::{Gives, Outcome, Source, Stop, Value, hand_over, type_error};
use std::cmp::Ordering;

/// How deeply arrays may be inside each other in [`Machine::list_text`] and [`Machine::flattened`].
const LISTS_DEEP_MAX: usize = 32;

impl<'a> Machine<'a> {
    /// A method of an array.
    pub fn list_method(
        &mut self,
        list: &'a List<'a>,
        method: Method,
        arguments: &[Value<'a>],
    ) -> Outcome<'a> {
        let first = argument(arguments, 0);
        match method {
            Method::Push => {
                if list.frozen.get() {
                    return type_error();
                }
                for value in arguments {
                    self.push(list, *value)?;
                }
                Ok(number(list.len()))
            }
            Method::Includes => {
                let found = self.position_of(list, arguments, true)?;
                Ok(Value::Bool(found.is_some()))
            }
            Method::IndexOf => {
                let found = self.position_of(list, arguments, false)?;
                Ok(found.map_or(Value::Number(-1.0), number))
            }
            Method::LastIndexOf if arguments.len() == 1 => {
                self.charge_length(list.len())?;
                for place in (0..list.len()).rev() {
                    let value = self.element(list, place)?;
                    if self.strictly_equal(value, first)? {
                        return Ok(number(place));
                    }
                }
                Ok(Value::Number(-1.0))
            }
            Method::Join | Method::ToString => {
                let separator = match first {
                    _ if method == Method::ToString => Value::Ascii(","),
                    Value::Undefined => Value::Ascii(","),
                    separator => {
                        self.check_length(separator)?;
                        self.string_of(separator)?
                    }
                };
                self.list_text(list, separator)
            }
            Method::Pop
            | Method::Shift
            | Method::Unshift
            | Method::Reverse
            | Method::Sort
            | Method::Splice
            | Method::Fill => self.list_change(list, method, arguments),
            Method::Slice
            | Method::At
            | Method::Concat
            | Method::Flat
            | Method::ToReversed
            | Method::Keys
            | Method::Values
            | Method::Entries
            | Method::ToSorted => self.list_copy(list, method, arguments),
            _ => self.list_call(list, method, arguments),
        }
    }

    /// The methods that make something of the elements and leave the array as it is.
    fn list_copy(&mut self, list: &'a List<'a>, method: Method, arguments: &[Value<'a>]) -> Outcome<'a> {
        let first = argument(arguments, 0);
        match method {
            Method::Slice => {
                let (from, to) = self.range(list.len(), first, argument(arguments, 1))?;
                self.charge_length(list.len())?;
                let values = self.elements(list)?;
                self.list_of_values(values.get(from..to).unwrap_or(&[]))
            }
            Method::At => {
                let index = self.integer(first, 0)?;
                if index == i64::MIN {
                    return hand_over(&"an index that the engine cannot negate");
                }
                let len = i64::try_from(list.len()).unwrap_or(i64::MAX);
                let index = if index < 0 { index.saturating_add(len) } else { index };
                usize::try_from(index).map_or(Ok(Value::Undefined), |index| self.element(list, index))
            }
            Method::Concat => {
                let mut values = self.elements(list)?;
                for value in arguments {
                    self.check_length(*value)?;
                    match value {
                        Value::List(other) => values.extend(self.elements(other)?),
                        value => values.push(*value),
                    }
                    self.charge_length(values.len())?;
                }
                self.charge_length(values.len())?;
                self.list_of_values(&values)
            }
            Method::Flat => {
                let depth = self.integer(first, 1)?;
                let mut out = Vec::new();
                self.flattened(list, depth, 0, &mut out)?;
                self.list_of_values(&out)
            }
            Method::ToReversed => {
                self.charge_length(list.len())?;
                let mut values = self.elements(list)?;
                values.reverse();
                self.list_of_values(&values)
            }
            Method::Keys => self.list_iterator(list, Gives::Keys),
            Method::Values => self.list_iterator(list, Gives::Values),
            Method::Entries => self.list_iterator(list, Gives::Entries),
            _ => {
                let sorted = self.sorted(list, first)?;
                self.list_of_values(&sorted)
            }
        }
    }

    /// The methods that change the array.
    fn list_change(&mut self, list: &'a List<'a>, method: Method, arguments: &[Value<'a>]) -> Outcome<'a> {
        if list.frozen.get() {
            return type_error();
        }
        if method == Method::Pop {
            let last =
                list.len().checked_sub(1).map_or(Ok(Value::Undefined), |last| self.element(list, last))?;
            list.truncate(list.len().saturating_sub(1));
            return Ok(last);
        }
        self.charge_length(list.len() + arguments.len())?;
        let first = argument(arguments, 0);
        let mut values = self.elements(list)?;
        let result = match method {
            Method::Shift => {
                if values.is_empty() {
                    Value::Undefined
                } else {
                    values.remove(0)
                }
            }
            Method::Unshift => {
                values.splice(0..0, arguments.iter().copied());
                number(values.len())
            }
            Method::Reverse => {
                values.reverse();
                Value::List(list)
            }
            Method::Sort => {
                values = self.sorted(list, first)?;
                Value::List(list)
            }
            Method::Fill => {
                let (from, to) = self.range(values.len(), argument(arguments, 1), argument(arguments, 2))?;
                values.iter_mut().take(to).skip(from).for_each(|value| *value = first);
                Value::List(list)
            }
            _ => {
                let from = relative(self.integer(first, 0)?, values.len());
                let rest = values.len() - from;
                let count = match arguments {
                    [] => 0,
                    [_] => rest,
                    [_, count, ..] => usize::try_from(self.integer(*count, 0)?).unwrap_or(0).min(rest),
                };
                let put = arguments.get(2..).unwrap_or(&[]).iter().copied();
                let removed: Vec<Value<'a>> = values.splice(from..from + count, put).collect();
                self.list_of_values(&removed)?
            }
        };
        self.replace_elements(list, &values)?;
        Ok(result)
    }

    /// Begin and end of a part, with negative numbers counted from the end.
    pub fn range(&mut self, len: usize, from: Value<'a>, to: Value<'a>) -> Outcome<'a, (usize, usize)> {
        let from = relative(self.integer(from, 0)?, len);
        let to = relative(self.integer(to, i64::MAX)?, len);
        Ok((from.min(to), to))
    }

    fn position_of(
        &mut self,
        list: &'a List<'a>,
        arguments: &[Value<'a>],
        nan_is_nan: bool,
    ) -> Outcome<'a, Option<usize>> {
        let wanted = argument(arguments, 0);
        self.charge_length(list.len())?;
        let from = relative(self.integer(argument(arguments, 1), 0)?, list.len());
        let wanted_nan = nan_is_nan && matches!(wanted, Value::Number(number) if number.is_nan());
        for (place, slot) in list.slots().iter().enumerate().skip(from) {
            let value = self.read(slot)?;
            let is_nan = matches!(value, Value::Number(number) if number.is_nan());
            if (wanted_nan && is_nan) || self.strictly_equal(value, wanted)? {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    fn list_iterator(&mut self, list: &'a List<'a>, gives: Gives) -> Outcome<'a> {
        Ok(Value::Iterator(self.iterator_over(Source::List(list), gives)?))
    }

    /// The elements as text, with something between them.
    pub fn list_text(&mut self, list: &'a List<'a>, separator: Value<'a>) -> Outcome<'a> {
        self.enter_native()?;
        self.charge_length(list.len())?;
        let separator = self.text(separator)?.unwrap_or(Text::Ascii(""));
        let mut units: Option<Vec<u16>> = None;
        let mut whole = String::new();
        for (place, value) in self.elements(list)?.into_iter().enumerate() {
            let text = if value.is_nullish() { Text::Ascii("") } else { self.text_of(value)? };
            for part in [separator, text].into_iter().skip(usize::from(place == 0)) {
                match (&mut units, part.as_str()) {
                    (None, Some(part)) => whole.push_str(part),
                    (Some(units), _) => part.push_units(units),
                    (None, None) => {
                        let mut begun: Vec<u16> = whole.encode_utf16().collect();
                        part.push_units(&mut begun);
                        units = Some(begun);
                    }
                }
                self.charge_length(whole.len() / 4)?;
            }
        }
        self.leave_native();
        match units {
            Some(units) => self.units(&units),
            None => self.string(&whole),
        }
    }

    fn flattened(
        &mut self,
        list: &'a List<'a>,
        depth: i64,
        levels: usize,
        out: &mut Vec<Value<'a>>,
    ) -> Outcome<'a, ()> {
        if levels > LISTS_DEEP_MAX {
            return hand_over(&"arrays that are nested deeply");
        }
        self.charge_length(list.len())?;
        for value in self.elements(list)? {
            match value {
                Value::List(inner) if depth >= 1 => self.flattened(inner, depth - 1, levels + 1, out)?,
                value => out.push(value),
            }
        }
        self.charge_length(out.len())
    }

    /// The elements in order, by the same sequence of comparisons as the engine's.
    fn sorted(&mut self, list: &'a List<'a>, order: Value<'a>) -> Outcome<'a, Vec<Value<'a>>> {
        self.charge_length(list.len())?;
        self.charge(list.len() as u64)?;
        let mut values = self.elements(list)?;
        match order {
            Value::Undefined => self.sort_as_text(values),
            order if order.is_callable() => {
                self.enter_native()?;
                let mut failed: Outcome<'a, ()> = Ok(());
                values.sort_by(|one, other| {
                    if failed.is_err() {
                        return Ordering::Equal;
                    }
                    self.order_by(order, *one, *other).unwrap_or_else(|stop| {
                        failed = Err(stop);
                        Ordering::Equal
                    })
                });
                self.leave_native();
                failed.map(|()| values)
            }
            _ => type_error(),
        }
    }

    fn order_by(&mut self, order: Value<'a>, one: Value<'a>, other: Value<'a>) -> Result<Ordering, Stop<'a>> {
        match (one, other) {
            (Value::Undefined, Value::Undefined) => return Ok(Ordering::Equal),
            (Value::Undefined, _) => return Ok(Ordering::Greater),
            (_, Value::Undefined) => return Ok(Ordering::Less),
            _ => {}
        }
        let result = self.call_value(order, &[one, other])?;
        let number = match result {
            Value::Number(number) => number,
            other => self.number(other)?,
        };
        Ok(number.partial_cmp(&0.0).unwrap_or(Ordering::Equal))
    }

    fn sort_as_text(&mut self, values: Vec<Value<'a>>) -> Outcome<'a, Vec<Value<'a>>> {
        let mut keyed = Vec::with_capacity(values.len());
        for value in values {
            let text = if matches!(value, Value::Undefined) { None } else { Some(self.text_of(value)?) };
            self.charge(text.map_or(0, Text::stored_bytes) as u64 / 64)?;
            keyed.push((value, text));
        }
        keyed.sort_by(|(_, one), (_, other)| match (one, other) {
            (Some(one), Some(other)) => one.compare(*other),
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
        });
        Ok(keyed.into_iter().map(|(value, _)| value).collect())
    }
}
