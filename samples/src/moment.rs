//! When an event happened, as a total order: "the later of two" is associative and commutative, whatever arrives first.

use crate::native::{ScriptOrder, text, utc};
use magpie_indexes::function::FunctionError;
use magpie_store::Document;
use magpie_store::json::{Json, Object};

/// The instant of an event and its document id. The later one is the greater one; within one instant, the one with
/// the greater id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment<'a> {
    /// The time without its `Z`, so that a fraction of a second sorts after the whole second.
    instant: &'a str,
    event: ScriptOrder<'a>,
}

/// The moment of a value in a reduce, and the value.
pub type Dated<'a> = (Moment<'a>, &'a Json);

impl<'a> Moment<'a> {
    /// The moment of an event that is mapped: field `at` of `body`, and the id of `document`.
    ///
    /// # Errors
    /// When `at` is no UTC time.
    pub fn of(document: &'a Document, body: &'a Object) -> Result<Self, FunctionError> {
        let (at, _) = utc(body)?;
        Ok(Self { instant: at.trim_end_matches('Z'), event: ScriptOrder(document.id.as_str()) })
    }

    /// The moment in the fields `at` and `event` of a value that an index made itself.
    ///
    /// # Errors
    /// When they are missing.
    pub fn read(object: &'a Object) -> Result<Self, FunctionError> {
        let (at, _) = utc(object)?;
        Ok(Self { instant: at.trim_end_matches('Z'), event: ScriptOrder(text(object, "event")?) })
    }

    /// A value with its moment; `None` for `null` and for what is no object.
    ///
    /// # Errors
    /// When the object has none.
    pub fn dated(value: &'a Json) -> Result<Option<Dated<'a>>, FunctionError> {
        value.as_object().map(|object| Ok((Self::read(object)?, value))).transpose()
    }

    /// Field `at`.
    #[must_use]
    pub fn at(self) -> Json {
        format!("{}Z", self.instant).into()
    }

    /// Field `event`: the document id.
    #[must_use]
    pub fn event(self) -> Json {
        self.event.0.into()
    }
}

/// Keeps the later of `known` and the object in field `name` of `value`, if there is one.
///
/// # Errors
/// When that object has no moment.
pub fn keep_later<'a>(
    known: &mut Option<Dated<'a>>,
    value: &'a Json,
    name: &str,
) -> Result<(), FunctionError> {
    let met = value.get(name).map_or(Ok(None), Moment::dated)?;
    if met.map(|(moment, _)| moment) > known.map(|(moment, _)| moment) {
        *known = met;
    }
    Ok(())
}
