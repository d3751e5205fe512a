//! The values of a running script: small, copied freely, borrowed from the input's text or from the call's arena.
//!
//! Nothing here owns memory, so nothing needs dropping: everything lives until the call ends. Strings are UTF-8 as long
//! as they are well-formed, and UTF-16 units only when half a surrogate pair stands alone; each content has exactly one
//! form, so two strings are equal exactly when their variants and bytes are. Parts of JSON text that nothing has looked
//! at yet are values too (the `Raw` variants); they are read when they are first touched and never reach an operator.

use super::big::Big;
use super::list::List;
use super::natives::Native;
use super::program::Code;
use super::record::Record;
use super::regex::Pattern;
use super::table::Table;
use magpie_store::json::Json;
use std::cell::Cell;

/// A value of the language. With a tag of eight bytes it is copied as three whole words: a payload that may begin at the
/// second byte is copied across words, and reading it behind that write stalls.
#[derive(Clone, Copy)]
#[repr(u64)]
pub(super) enum Value<'a> {
    /// `undefined`
    Undefined,
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number.
    Number(f64),
    /// A string of ASCII characters: its indices are those of its bytes.
    Ascii(&'a str),
    /// A well-formed string with at least one character beyond ASCII.
    Text(&'a str),
    /// A string with at least one lone surrogate, as UTF-16 units.
    Units(&'a [u16]),
    /// A string that was joined and is put together when it is first read.
    Rope(&'a Rope<'a>),
    /// A BigInt.
    Big(&'a Big<'a>),
    /// A plain object.
    Record(&'a Record<'a>),
    /// An array.
    List(&'a List<'a>),
    /// A function of the script.
    Closure(&'a Closure<'a>),
    /// A function of the language or of the dialect.
    Native(Native),
    /// A Date: milliseconds since 1970, or NaN.
    Date(&'a Cell<f64>),
    /// A Map.
    Map(&'a Table<'a>),
    /// A Set.
    Set(&'a Table<'a>),
    /// An error object.
    Failure(&'a Failure<'a>),
    /// A regular expression.
    Regex(&'a RegexObject<'a>),
    /// An iterator over an array, a Map or a Set.
    Iterator(&'a Iter<'a>),
    /// A JSON value of which nothing was read yet.
    Json(&'a Json),
    /// A number as JSON text.
    RawNumber(&'a str),
    /// A string with escapes, as JSON text without its quotes.
    RawString(&'a str),
    /// An object as JSON text.
    RawRecord(&'a str),
    /// An array as JSON text.
    RawList(&'a str),
    /// A declared variable before its declaration ran, or a removed entry of a table.
    Uninitialized,
    /// In a slot: the variable lives in a cell that closures share.
    Boxed(&'a Cell<Value<'a>>),
}

/// Two strings that are one string.
pub(super) struct Rope<'a> {
    /// The first part, a rope itself at times.
    pub left: Value<'a>,
    /// The second part.
    pub right: Value<'a>,
    /// Bytes of both as UTF-8.
    pub bytes: usize,
    /// UTF-16 units of both.
    pub units: usize,
    /// Whether all of it is ASCII.
    pub ascii: bool,
    /// The string as a whole once it was asked for; `Uninitialized` before.
    pub flat: Cell<Value<'a>>,
}

/// A function with the variables it captured.
pub(super) struct Closure<'a> {
    /// What it does.
    pub code: &'a Code,
    /// The captured variables, in the order of [`Code::captures`].
    pub environment: &'a [&'a Cell<Value<'a>>],
}

/// The constructors of errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ErrorKind {
    /// `Error`
    Error,
    /// `TypeError`
    Type,
    /// `RangeError`
    Range,
    /// `SyntaxError`
    Syntax,
    /// `ReferenceError`
    Reference,
    /// `EvalError`
    Eval,
    /// `URIError`
    Uri,
}

impl ErrorKind {
    /// Its name in the language.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "Error",
            Self::Type => "TypeError",
            Self::Range => "RangeError",
            Self::Syntax => "SyntaxError",
            Self::Reference => "ReferenceError",
            Self::Eval => "EvalError",
            Self::Uri => "URIError",
        }
    }

    /// The kind with this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Error, Self::Type, Self::Range, Self::Syntax, Self::Reference, Self::Eval, Self::Uri]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// An error object that a script made.
pub(super) struct Failure<'a> {
    /// Its constructor.
    pub kind: ErrorKind,
    /// Its message, a string; `Undefined` when it was given none.
    pub message: Value<'a>,
}

/// A regular expression object.
pub(super) struct RegexObject<'a> {
    /// The compiled pattern.
    pub pattern: &'a Pattern,
}

/// What an iterator gives.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Gives {
    /// Indices or keys.
    Keys,
    /// Elements or values.
    Values,
    /// Pairs of both.
    Entries,
}

/// What an iterator walks over.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    /// An array.
    List(&'a List<'a>),
    /// A Map or a Set.
    Table {
        /// Its entries.
        table: &'a Table<'a>,
        /// Whether it is a Set, whose entries are pairs of the same value.
        set: bool,
    },
    /// The code points of a string.
    Text(Value<'a>),
}

/// An iterator and where it is.
pub(super) struct Iter<'a> {
    /// What it walks over.
    pub source: Source<'a>,
    /// What it gives.
    pub gives: Gives,
    /// The next position; `usize::MAX` when it is at its end, where it stays.
    pub next: Cell<usize>,
}

/// Why a call was stopped by a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    /// It used all its steps.
    Steps,
    /// It asked for an array or a string that is too long.
    Length,
    /// It recurses too deeply.
    Recursion,
    /// It used all its memory.
    Memory,
    /// It made a BigInt that is too long.
    Digits,
    /// Its output has too many bytes.
    OutputBytes,
    /// Its output is nested too deeply.
    OutputDepth,
    /// It gave too many outputs.
    Outputs,
}

impl Bound {
    /// The bound, for statistics: the engine has the words for users.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Steps => "a call with too many steps",
            Self::Length => "a text or an array that is too long",
            Self::Recursion => "a recursion that is too deep",
            Self::Memory => "a call that needs too much memory",
            Self::Digits => "a BigInt with too many digits",
            Self::OutputBytes => "an output that is too large",
            Self::OutputDepth => "an output that is too deep",
            Self::Outputs => "a map with too many outputs",
        }
    }
}

/// What ends an evaluation early.
#[derive(Clone, Copy)]
#[repr(u64)]
pub(super) enum Stop<'a> {
    /// The script threw a value.
    Thrown(&'a Value<'a>),
    /// An operation of the language failed. The engine knows the words for it.
    Failed(ErrorKind),
    /// A bound was hit; scripts cannot catch that.
    Bound(Bound),
    /// Something that only the engine does exactly right: the whole call is its to run.
    HandOver(&'static &'static str),
}

/// The outcome of an evaluation.
pub(super) type Outcome<'a, T = Value<'a>> = Result<T, Stop<'a>>;

/// An operation that does not fit the type of a value.
pub(super) const fn type_error<'a, T>() -> Outcome<'a, T> {
    Err(Stop::Failed(ErrorKind::Type))
}

/// Leaves the call to the engine because of `what`.
pub(super) const fn hand_over<'a, T>(what: &'static &'static str) -> Outcome<'a, T> {
    Err(Stop::HandOver(what))
}

impl<'a> Value<'a> {
    /// Whether it is `null` or `undefined`.
    pub const fn is_nullish(self) -> bool {
        matches!(self, Self::Undefined | Self::Null)
    }

    /// Whether it is a string of any form.
    pub const fn is_string(self) -> bool {
        matches!(self, Self::Ascii(_) | Self::Text(_) | Self::Units(_) | Self::Rope(_))
    }

    /// Whether it can be called.
    pub const fn is_callable(self) -> bool {
        matches!(self, Self::Closure(_) | Self::Native(_))
    }

    /// Whether it is an object of any kind, functions among them.
    pub const fn is_object(self) -> bool {
        matches!(
            self,
            Self::Record(_)
                | Self::List(_)
                | Self::Closure(_)
                | Self::Native(_)
                | Self::Date(_)
                | Self::Map(_)
                | Self::Set(_)
                | Self::Failure(_)
                | Self::Regex(_)
                | Self::Iterator(_)
        )
    }

    /// What `typeof` says.
    pub const fn type_name(self) -> &'static str {
        match self {
            Self::Undefined | Self::Uninitialized => "undefined",
            Self::Bool(_) => "boolean",
            Self::Number(_) | Self::RawNumber(_) => "number",
            Self::Ascii(_) | Self::Text(_) | Self::Units(_) | Self::Rope(_) | Self::RawString(_) => "string",
            Self::Big(_) => "bigint",
            Self::Closure(_) | Self::Native(_) => "function",
            _ => "object",
        }
    }

    /// Whether conditions take it as true.
    pub fn truthy(self) -> bool {
        match self {
            Self::Undefined | Self::Null => false,
            Self::Bool(value) => value,
            Self::Number(value) => value != 0.0 && !value.is_nan(),
            Self::Ascii(text) => !text.is_empty(),
            Self::Big(big) => !big.is_zero(),
            _ => true,
        }
    }
}

/// Whether two references lead to the same object.
pub(super) fn same<T: ?Sized>(one: &T, other: &T) -> bool {
    std::ptr::eq(one, other)
}

const _: () = {
    assert!(size_of::<Value<'_>>() == 24, "values are small");
    assert!(size_of::<Outcome<'_>>() == 24, "a failed evaluation takes the room of a value");
};
