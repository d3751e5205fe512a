//! The JSON value every crate above shares: numbers keep their digits, objects keep their key order.
//!
//! It is not `serde_json::Value` because that loses integers beyond 2^64 and long decimals, or, with the feature
//! that keeps them, lets a document forge a number through a magic key.

use super::number::Number;
use super::script_number::ScriptNumber;
use num_bigint::BigInt;

/// Any JSON value, and the numbers of scripts. Numbers are exact; objects keep insertion order and hold each key once.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Json {
    /// `null`
    #[default]
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, digit for digit as it was written.
    Number(Number),
    /// A number of an index script that JSON does not have; only index rows hold it. It leaves as a string.
    ScriptNumber(ScriptNumber),
    /// A string without lone surrogates.
    String(String),
    /// An array.
    Array(Vec<Json>),
    /// An object in key order of insertion.
    Object(Object),
}

/// A JSON object: (key, value) pairs in insertion order, each key once.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Object(Vec<(String, Json)>);

impl Object {
    /// The empty object.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Builds from pairs whose keys the caller knows to be distinct (the parser checked, or they are literals).
    #[must_use]
    pub fn from_distinct(pairs: Vec<(String, Json)>) -> Self {
        Self(pairs)
    }

    /// The value under `key`, if there is one.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Json> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The value under `key` for changing it.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Json> {
        self.0.iter_mut().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// Sets `key`; a key that exists keeps its position.
    pub fn insert(&mut self, key: impl Into<String>, value: impl Into<Json>) {
        let key = key.into();
        let value = value.into();
        match self.get_mut(&key) {
            Some(place) => *place = value,
            None => self.0.push((key, value)),
        }
    }

    /// Removes `key` and gives its value.
    pub fn remove(&mut self, key: &str) -> Option<Json> {
        let position = self.0.iter().position(|(name, _)| name == key)?;
        Some(self.0.remove(position).1)
    }

    /// The pairs in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Json)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// The keys in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(key, _)| key.as_str())
    }

    /// How many keys it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl IntoIterator for Object {
    type Item = (String, Json);
    type IntoIter = std::vec::IntoIter<(String, Json)>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<K: Into<String>> FromIterator<(K, Json)> for Object {
    fn from_iter<T: IntoIterator<Item = (K, Json)>>(pairs: T) -> Self {
        let mut object = Self::new();
        for (key, value) in pairs {
            object.insert(key, value);
        }
        object
    }
}

impl Json {
    /// The string, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The object, if it is one.
    #[must_use]
    pub fn as_object(&self) -> Option<&Object> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }

    /// The array's elements, if it is one.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Json]> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The number, if it is one.
    #[must_use]
    pub fn as_number(&self) -> Option<&Number> {
        match self {
            Self::Number(number) => Some(number),
            _ => None,
        }
    }

    /// The BigInt of a script, if it is one.
    #[must_use]
    pub fn as_big_int(&self) -> Option<&BigInt> {
        match self {
            Self::ScriptNumber(number) => number.as_big_int(),
            _ => None,
        }
    }

    /// The number as an `i64`, if it is one exactly.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        self.as_number().and_then(Number::as_i64)
    }

    /// The boolean, if it is one.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// Whether it is `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The member `key` of an object; `None` for other values.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Json> {
        self.as_object().and_then(|object| object.get(key))
    }
}

impl From<bool> for Json {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}
impl From<i64> for Json {
    fn from(value: i64) -> Self {
        Self::Number(Number::from(value))
    }
}
impl From<u64> for Json {
    fn from(value: u64) -> Self {
        Self::Number(Number::from(value))
    }
}
impl From<u32> for Json {
    fn from(value: u32) -> Self {
        Self::Number(Number::from(i64::from(value)))
    }
}
impl From<usize> for Json {
    fn from(value: usize) -> Self {
        Self::Number(Number::from(value as u64))
    }
}
impl From<&str> for Json {
    fn from(value: &str) -> Self {
        Self::String(value.to_owned())
    }
}
impl From<String> for Json {
    fn from(value: String) -> Self {
        Self::String(value)
    }
}
impl From<Vec<Json>> for Json {
    fn from(value: Vec<Json>) -> Self {
        Self::Array(value)
    }
}
impl From<Object> for Json {
    fn from(value: Object) -> Self {
        Self::Object(value)
    }
}
impl From<Number> for Json {
    fn from(value: Number) -> Self {
        Self::Number(value)
    }
}
impl From<BigInt> for Json {
    fn from(value: BigInt) -> Self {
        Self::ScriptNumber(value.into())
    }
}
impl<T: Into<Json>> From<Option<T>> for Json {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}
