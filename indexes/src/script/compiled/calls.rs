//! Calls: arguments, frames, and who answers.

use super::evaluate::place;
use super::execute::Flow;
use super::machine::{Frame, Machine, Slots};
use super::methods::Method;
use super::numbers;
use super::program::{Body, Call, Code, FunctionId, Item, MethodCall, MethodName, Parameters};
use super::text::Text;
use super::value::{Outcome, Value, hand_over, type_error};
use std::cell::Cell;

/// Arguments that need no list of their own.
const FEW: usize = 3;

/// The arguments of a call.
pub(super) enum Arguments<'a> {
    /// A few.
    Few([Value<'a>; FEW], usize),
    /// Many, or those of a spread.
    Many(Vec<Value<'a>>),
}

impl<'a> Arguments<'a> {
    /// All of them.
    pub fn as_slice(&self) -> &[Value<'a>] {
        match self {
            Self::Few(values, count) => values.get(..*count).unwrap_or(&[]),
            Self::Many(values) => values,
        }
    }
}

impl<'a> Machine<'a> {
    /// Evaluates arguments or elements.
    pub fn arguments(&mut self, frame: &Frame<'a>, items: &'a [Item]) -> Outcome<'a, Arguments<'a>> {
        if items.len() <= FEW && items.iter().all(|item| matches!(item, Item::One(_))) {
            let mut values = [Value::Undefined; FEW];
            for (value, item) in values.iter_mut().zip(items) {
                if let Item::One(expr) = item {
                    *value = self.eval(frame, expr)?;
                }
            }
            return Ok(Arguments::Few(values, items.len()));
        }
        let mut values = Vec::with_capacity(items.len());
        for item in items {
            match item {
                Item::One(expr) => values.push(self.eval(frame, expr)?),
                Item::Spread(expr) => {
                    let source = self.eval(frame, expr)?;
                    values.extend(self.collected(source)?);
                }
            }
        }
        Ok(Arguments::Many(values))
    }

    #[inline(never)]
    pub(super) fn call_expression(&mut self, frame: &Frame<'a>, call: &'a Call) -> Outcome<'a> {
        match self.eval(frame, &call.callee)? {
            Value::Closure(closure) => {
                self.call_items(frame, closure.code, closure.environment, &call.arguments)
            }
            Value::Undefined | Value::Null if call.optional => Ok(Value::Undefined),
            Value::Undefined | Value::Null => {
                self.arguments(frame, &call.arguments)?;
                Ok(Value::Undefined)
            }
            Value::Native(native) => {
                let arguments = self.arguments(frame, &call.arguments)?;
                self.call_native(native, arguments.as_slice())
            }
            _ => {
                self.arguments(frame, &call.arguments)?;
                type_error()
            }
        }
    }

    #[inline(never)]
    pub(super) fn call_global(
        &mut self,
        frame: &Frame<'a>,
        id: FunctionId,
        items: &'a [Item],
    ) -> Outcome<'a> {
        match self.program.function(id) {
            Some(code) => self.call_items(frame, code, &[], items),
            None => type_error(),
        }
    }

    /// Calls a function of the script with arguments that are evaluated here, right into its frame where possible.
    fn call_items(
        &mut self,
        frame: &Frame<'a>,
        code: &'a Code,
        environment: &'a [&'a Cell<Value<'a>>],
        items: &'a [Item],
    ) -> Outcome<'a> {
        let Parameters::Plain(count) = code.parameters else {
            let arguments = self.arguments(frame, items)?;
            return self.invoke(code, environment, arguments.as_slice());
        };
        if items.iter().any(|item| matches!(item, Item::Spread(_))) {
            let arguments = self.arguments(frame, items)?;
            return self.invoke(code, environment, arguments.as_slice());
        }
        let (slots, mark) = self.reserve(code.slots)?;
        for (index, item) in items.iter().enumerate() {
            let Item::One(expr) = item else { continue };
            let value = self.eval(frame, expr)?;
            if index < count
                && let Some(slot) = slots.get(index)
            {
                slot.set(value);
            }
        }
        let result = self.run(code, slots, environment, &[]);
        self.release(mark);
        result
    }

    /// Calls a function of the script.
    pub fn invoke(
        &mut self,
        code: &'a Code,
        environment: &'a [&'a Cell<Value<'a>>],
        arguments: &[Value<'a>],
    ) -> Outcome<'a> {
        let (slots, mark) = self.reserve(code.slots)?;
        if let Parameters::Plain(count) = code.parameters {
            for (slot, value) in slots.iter().zip(arguments).take(count) {
                slot.set(*value);
            }
        }
        let result = self.run(code, slots, environment, arguments);
        self.release(mark);
        result
    }

    pub(super) fn run(
        &mut self,
        code: &'a Code,
        slots: Slots<'a>,
        environment: &'a [&'a Cell<Value<'a>>],
        arguments: &[Value<'a>],
    ) -> Outcome<'a> {
        self.enter(code)?;
        let frame = Frame { code, slots, environment };
        let result = self.run_in(&frame, arguments);
        self.leave(code);
        result
    }

    fn run_in(&mut self, frame: &Frame<'a>, arguments: &[Value<'a>]) -> Outcome<'a> {
        let code = frame.code;
        if let Parameters::Bound(parameters) = &code.parameters {
            for slot in parameters.iter().flat_map(|parameter| &parameter.declares) {
                if let Some(slot) = frame.slots.get(place(*slot)) {
                    slot.set(Value::Uninitialized);
                }
            }
        }
        for slot in &code.entry_boxes {
            if let Some(slot) = frame.slots.get(place(*slot)) {
                let cell = self.cell(slot.get())?;
                slot.set(Value::Boxed(cell));
            }
        }
        if let Parameters::Bound(parameters) = &code.parameters {
            for (index, parameter) in parameters.iter().enumerate() {
                let value = if parameter.rest {
                    self.list_of_values(arguments.get(index..).unwrap_or(&[]))?
                } else {
                    match (arguments.get(index).copied().unwrap_or(Value::Undefined), &parameter.default) {
                        (Value::Undefined, Some(default)) => self.eval(frame, default)?,
                        (value, _) => value,
                    }
                };
                self.bind(frame, &parameter.target, value)?;
            }
        }
        match &code.body {
            Body::Expression(expr) => self.eval(frame, expr),
            Body::Block(block) => match self.block(frame, block)? {
                Flow::Return(value) => Ok(value),
                _ => Ok(Value::Undefined),
            },
        }
    }

    /// Calls any value, as built-in functions do with what they are given.
    pub fn call_value(&mut self, callee: Value<'a>, arguments: &[Value<'a>]) -> Outcome<'a> {
        match callee {
            Value::Closure(closure) => self.invoke(closure.code, closure.environment, arguments),
            Value::Native(native) => self.call_native(native, arguments),
            _ => type_error(),
        }
    }

    #[inline(never)]
    pub(super) fn call_method(&mut self, frame: &Frame<'a>, call: &'a MethodCall) -> Outcome<'a> {
        let object = self.eval(frame, &call.object)?;
        if let (Value::List(list), MethodName::Named(_, Some(Method::Push)), [Item::One(value)]) =
            (object, &call.method, &*call.arguments)
        {
            let value = self.eval(frame, value)?;
            if list.frozen.get() {
                return type_error();
            }
            self.push(list, value)?;
            return Ok(Value::Number(numbers::of_len(list.len())));
        }
        let (name, method): (Text<'a>, Option<Method>) = match &call.method {
            MethodName::Named(name, method) => match object {
                Value::Record(record) => {
                    if let Some(slot) = self.named_slot(record, name, call.cache)? {
                        let callee = self.read(slot)?;
                        return self.call_found(frame, call, callee);
                    }
                    (Text::of(&name.text), *method)
                }
                _ => (Text::Ascii(""), *method),
            },
            MethodName::Computed(key) => {
                let key = self.eval(frame, key)?;
                let key = self.property_key(key)?;
                let name = self.text(key)?.unwrap_or(Text::Ascii(""));
                if let (Value::Record(record), Some(name)) = (object, name.as_str())
                    && let Some(callee) = self.own(record, name)?
                {
                    return self.call_found(frame, call, callee);
                }
                (name, name.as_str().and_then(Method::named))
            }
        };
        match object {
            Value::Undefined | Value::Null if call.lazy => Ok(Value::Undefined),
            Value::Undefined | Value::Null => {
                self.arguments(frame, &call.arguments)?;
                Ok(Value::Undefined)
            }
            Value::Record(record) => match (name.as_str(), method) {
                (Some("hasOwnProperty"), _) => {
                    let arguments = self.arguments(frame, &call.arguments)?;
                    let key = arguments.as_slice().first().copied().unwrap_or(Value::Undefined);
                    self.has_own(record, key)
                }
                (Some(name), _) if Self::is_inherited(name) => hand_over(&"an inherited method"),
                (Some(_), _) if call.optional => Ok(Value::Undefined),
                (Some(_), _) => type_error(),
                (None, _) => hand_over(&"a property name with half a surrogate pair"),
            },
            object => match method {
                Some(method) => {
                    let arguments = self.arguments(frame, &call.arguments)?;
                    self.call_built_in(object, method, arguments.as_slice())
                }
                None => hand_over(&"a method of this name"),
            },
        }
    }

    /// Calls the value of a property.
    fn call_found(&mut self, frame: &Frame<'a>, call: &'a MethodCall, callee: Value<'a>) -> Outcome<'a> {
        match callee {
            Value::Closure(closure) => {
                self.call_items(frame, closure.code, closure.environment, &call.arguments)
            }
            Value::Undefined | Value::Null if call.optional => Ok(Value::Undefined),
            Value::Native(native) => {
                let arguments = self.arguments(frame, &call.arguments)?;
                self.call_native(native, arguments.as_slice())
            }
            _ => type_error(),
        }
    }
}
