//! JSON in and out: the value ([`Json`]), strict parsing with limits and positions, and compact writing.
//!
//! Every JSON text that enters Magpie passes [`parse`], so no two parts of it can read one text in two ways.

mod number;
mod parse;
mod value;
mod write;

pub use number::{Decimal, Number};
pub use parse::{JsonError, parse, parse_stored, parse_stored_object};
pub use value::{Json, Object};

pub(crate) use write::object_text;
