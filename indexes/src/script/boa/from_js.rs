//! Outputs of the functions into JSON: what is allowed in them, and what becomes of the values JSON does not have.

use super::{Plan, big_ints, budget, failure};
use crate::function::FunctionError;
use crate::limits::{REDUCE_OUTPUT_BYTES_MAX, SCRIPT_BIG_INT_BITS_MAX, SCRIPT_OUTPUT_DEPTH_MAX};
use crate::script::errors::{limit_error, run_error};
use boa_engine::builtins::date::Date;
use boa_engine::object::builtins::JsArray;
use boa_engine::property::PropertyKey;
use boa_engine::value::JsVariant;
use boa_engine::{Context, JsError, JsObject, JsString, JsValue, js_string};
use magpie_store::json::{Json, Number, Object, ScriptNumber};

/// What becomes of an undefined property of an output.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// It is left out (map outputs).
    LeftOut,
    /// It is null (reduce outputs).
    Null,
    /// It is null, and so are functions and symbols; numbers that JSON has not are their texts (rows of queries).
    Told,
}

/// Why an output cannot be taken.
pub(super) enum OutputError {
    /// A getter threw.
    Thrown(JsError),
    /// It holds something that is no data.
    Refused(String),
    /// It is too large or too deep.
    Limit(String),
}

impl OutputError {
    /// The crate's error.
    pub fn into_function_error(self, plan: &Plan, context: &mut Context) -> FunctionError {
        match self {
            Self::Thrown(error) => failure::function_error(error, plan, context),
            Self::Refused(message) => run_error(message, None),
            Self::Limit(message) => limit_error(message, None),
        }
    }
}

impl From<JsError> for OutputError {
    fn from(error: JsError) -> Self {
        Self::Thrown(error)
    }
}

type Converted<T> = Result<T, OutputError>;

/// Converts an output object. The second value names its own properties that were undefined.
///
/// # Errors
/// When it holds functions, symbols and other things that are no data, lone surrogates, or is too large or too deep.
pub(super) fn output(
    object: &JsObject,
    missing: Missing,
    context: &mut Context,
) -> Converted<(Object, Vec<String>)> {
    let mut reader = Reader { missing, bytes: 0, path: Vec::new() };
    let mut undefined = Vec::new();
    let fields = reader.object(object, context, Some(&mut undefined))?;
    Ok((fields, undefined))
}

/// The object inside of `boost({..}, n)`; every other object itself. Boosting has no effect here.
pub(super) fn unboosted(object: &JsObject, context: &mut Context) -> JsObject {
    boosted_value(object, context).and_then(|value| value.as_object()).unwrap_or_else(|| object.clone())
}

fn boosted_value(object: &JsObject, context: &mut Context) -> Option<JsValue> {
    if !object.is_ordinary() || !object.has_own_property(js_string!("$boost"), context).unwrap_or(false) {
        return None;
    }
    object.get(js_string!("$value"), context).ok()
}

/// A short text of any value, for messages; runs no script.
pub(super) fn describe(value: &JsValue, context: &mut Context) -> String {
    let text = match value.variant() {
        JsVariant::String(text) => text.to_std_string_lossy(),
        JsVariant::Object(object) if object.is_callable() => "a function".to_owned(),
        JsVariant::Object(object) if object.is_array() => {
            let length =
                JsArray::from_object(object).and_then(|array| array.length(context)).unwrap_or_default();
            format!("an array with {length} elements")
        }
        JsVariant::Object(object) => {
            // Errors of user-made classes and objects thrown as errors.
            let data = |name: JsString| {
                let property = object.borrow().properties().get(&PropertyKey::from(name))?;
                Some(property.value()?.as_string()?.to_std_string_lossy())
            };
            match (data(js_string!("name")), data(js_string!("message"))) {
                (Some(name), Some(message)) => format!("{name}: {message}"),
                (None, Some(message)) => format!("Error: {message}"),
                _ => "an object".to_owned(),
            }
        }
        _ => value.display().to_string(),
    };
    if text.len() <= 1000 { text } else { text.chars().take(1000).collect::<String>() + ".." }
}

struct Reader {
    missing: Missing,
    /// Roughly the size of the output so far as JSON.
    bytes: usize,
    /// The names from the output's root to the value being read.
    path: Vec<String>,
}

impl Reader {
    fn grow(&mut self, bytes: usize) -> Converted<()> {
        self.bytes += bytes;
        if self.bytes > REDUCE_OUTPUT_BYTES_MAX {
            return Err(OutputError::Limit(format!(
                "the output has more than {REDUCE_OUTPUT_BYTES_MAX} bytes as JSON, which is not allowed"
            )));
        }
        Ok(())
    }

    /// What is no data: null where it is told, else refused.
    fn no_data(&mut self, what: &str) -> Converted<Json> {
        if self.missing != Missing::Told {
            return self.refuse(what);
        }
        self.grow(4)?;
        Ok(Json::Null)
    }

    fn refuse<T>(&self, what: &str) -> Converted<T> {
        let field = self.path.first().map_or("", String::as_str);
        Err(OutputError::Refused(format!(
            "The value of '{field}' field is a complex object: {what} cannot be indexed or stored (at '{}'). Return \
             strings, numbers, booleans, dates, null, or plain objects and arrays of them.",
            self.path.join(".")
        )))
    }

    fn object(
        &mut self,
        object: &JsObject,
        context: &mut Context,
        mut undefined: Option<&mut Vec<String>>,
    ) -> Converted<Object> {
        self.check_depth()?;
        self.grow(2)?;
        let mut fields = Vec::new();
        for key in object.own_property_keys(context)? {
            let Some(name) = self.name(&key)? else { continue };
            // A data property is read without a call; only accessors run script code.
            let property = object.borrow().properties().get(&key);
            let value = match property {
                // What is no plain object is told by all that it has.
                Some(property)
                    if property.enumerable() == Some(false)
                        && (self.missing != Missing::Told || object.is_ordinary()) =>
                {
                    continue;
                }
                Some(property) if property.is_data_descriptor() => {
                    property.value().cloned().unwrap_or_default()
                }
                _ => object.get(key, context)?,
            };
            if value.is_undefined() {
                if let Some(names) = undefined.as_deref_mut() {
                    names.push(name.clone());
                }
                if self.missing == Missing::LeftOut {
                    continue;
                }
            }
            self.grow(name.len() + 4)?;
            self.path.push(name);
            let json = self.value(&value, context)?;
            let name = self.path.pop().unwrap_or_default();
            fields.push((name, json));
        }
        Ok(Object::from_distinct(fields))
    }

    fn name(&self, key: &PropertyKey) -> Converted<Option<String>> {
        match key {
            PropertyKey::String(text) => match text.to_std_string() {
                Ok(name) => Ok(Some(name)),
                Err(_) => self.refuse("a property name with half a surrogate pair"),
            },
            PropertyKey::Index(index) => Ok(Some(index.get().to_string())),
            PropertyKey::Symbol(_) => Ok(None),
        }
    }

    fn check_depth(&self) -> Converted<()> {
        if self.path.len() >= SCRIPT_OUTPUT_DEPTH_MAX {
            return Err(OutputError::Limit(format!(
                "the output is nested more than {SCRIPT_OUTPUT_DEPTH_MAX} levels deep, or contains itself (at '{}')",
                self.path.iter().take(8).cloned().collect::<Vec<_>>().join(".")
            )));
        }
        Ok(())
    }

    fn value(&mut self, value: &JsValue, context: &mut Context) -> Converted<Json> {
        match value.variant() {
            JsVariant::Null | JsVariant::Undefined => {
                self.grow(4)?;
                Ok(Json::Null)
            }
            JsVariant::Boolean(value) => {
                self.grow(5)?;
                Ok(Json::Bool(value))
            }
            JsVariant::Integer32(value) => {
                self.grow(4)?;
                Ok(Json::Number(Number::from(i64::from(value))))
            }
            JsVariant::Float64(value) => {
                self.grow(8)?;
                // A map output keeps the sign of -0, as its index term does; results print 0.
                if self.missing == Missing::LeftOut && value == 0.0 && value.is_sign_negative() {
                    return Ok(Json::Number(Number::from_valid_text("-0")));
                }
                if self.missing == Missing::Told && !value.is_finite() {
                    let text = if value.is_nan() {
                        "NaN"
                    } else if value > 0.0 {
                        "Infinity"
                    } else {
                        "-Infinity"
                    };
                    return Ok(Json::from(text));
                }
                Ok(number(value))
            }
            JsVariant::String(text) => {
                self.grow(text.len() + 2)?;
                match text.to_std_string() {
                    Ok(text) => Ok(Json::String(text)),
                    Err(_) => self.refuse("a string with half a surrogate pair"),
                }
            }
            JsVariant::BigInt(value) => {
                let integer = value.as_inner();
                if !big_ints::is_allowed(integer) {
                    return Err(OutputError::Limit(format!(
                        "the output has a BigInt with more than {SCRIPT_BIG_INT_BITS_MAX} bits \
                         (script_big_int_bits_max) at '{}'",
                        self.path.join(".")
                    )));
                }
                self.grow(usize::try_from(big_ints::digits_max(&value)).unwrap_or(usize::MAX))?;
                Ok(Json::from(integer.clone()))
            }
            JsVariant::Symbol(_) => self.no_data("a symbol"),
            JsVariant::Object(object) => self.inner_object(&object, context),
        }
    }

    fn inner_object(&mut self, object: &JsObject, context: &mut Context) -> Converted<Json> {
        if object.is_array() {
            return self.array(object, context);
        }
        if let Some(date) = object.downcast_ref::<Date>().map(|_| ()) {
            let () = date;
            return self.date(object, context);
        }
        if object.is_callable() {
            return self.no_data("a function");
        }
        if !object.is_ordinary() && self.missing == Missing::Told {
            return Ok(Json::Object(self.object(object, context, None)?));
        }
        if !object.is_ordinary() {
            return self.refuse("an object that is no plain data (a regular expression, Map, Set, error ..)");
        }
        if self.missing != Missing::Told
            && let Some(value) = boosted_value(object, context)
        {
            return self.value(&value, context);
        }
        Ok(Json::Object(self.object(object, context, None)?))
    }

    fn array(&mut self, object: &JsObject, context: &mut Context) -> Converted<Json> {
        self.check_depth()?;
        let length = JsArray::from_object(object.clone())?.length(context)?;
        budget::charge_length(length)?;
        self.grow(2)?;
        let mut items = Vec::new();
        for index in 0..length {
            self.grow(1)?;
            let item = object.get(index, context)?;
            self.path.push(index.to_string());
            items.push(self.value(&item, context)?);
            self.path.pop();
        }
        Ok(Json::Array(items))
    }

    fn date(&mut self, object: &JsObject, context: &mut Context) -> Converted<Json> {
        let iso = boa_engine::object::builtins::JsDate::from_object(object.clone())?;
        let time = iso.get_time(context)?.as_number().unwrap_or(f64::NAN);
        if time.is_nan() {
            return self.no_data("an invalid Date");
        }
        let text = iso.to_iso_string(context)?;
        let text = text.as_string().map(|text| text.to_std_string_lossy()).unwrap_or_default();
        self.grow(text.len() + 2)?;
        // Three digits of milliseconds become seven, as .NET prints ticks.
        Ok(Json::String(match text.strip_suffix('Z') {
            Some(body) => format!("{body}0000Z"),
            None => text,
        }))
    }
}

/// Numbers that JSON does not have stay what they are while they are in index rows.
fn number(value: f64) -> Json {
    match Number::from_f64(value) {
        Some(number) => Json::Number(number),
        None => ScriptNumber::from_f64(value).map_or(Json::Null, Json::ScriptNumber),
    }
}
