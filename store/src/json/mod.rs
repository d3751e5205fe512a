//! JSON in and out: the value ([`Json`]), strict parsing with limits and positions, and compact writing.
//!
//! Every JSON text that enters Magpie passes [`parse`], so no two parts of it can read one text in two ways.

mod document_text;
mod number;
mod parse;
mod script_number;
mod value;
mod write;

pub use document_text::DocumentText;
pub use num_bigint::BigInt;
pub use number::{Decimal, Number};
pub use parse::{JsonError, parse, parse_stored, parse_stored_object};
pub use script_number::{ScriptNumber, has_script_numbers};
pub use value::{Json, Object};
pub use write::write_string;

pub(crate) use write::object_text;
