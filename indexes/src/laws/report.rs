//! What a law check found, as data, as text for people and as JSON.
//!
//! The text is also the message with which a definition is refused.

use magpie_store::json::{Json, Object};
use std::fmt::{self, Write as _};

/// A law that the functions of an index must keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Law {
    /// The same input gives the same output, whenever and wherever it is computed.
    Determinism,
    /// No call changes what it was given.
    Purity,
    /// An output of reduce is accepted as its input, and has the key's fields.
    Closure,
    /// Reducing the output of a single value gives that output.
    SingleValue,
    /// Reducing the outputs of parts gives what reducing all values gives.
    Associativity,
    /// The order of the values does not matter. The reduce tree keeps the order of document ids, so the results of an
    /// index that breaks only this are stable; but they hang on the ids of the documents.
    Commutativity,
}

impl Law {
    /// Its name on the wire and in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Determinism => "Determinism",
            Self::Purity => "Purity",
            Self::Closure => "Closure",
            Self::SingleValue => "SingleValue",
            Self::Associativity => "Associativity",
            Self::Commutativity => "Commutativity",
        }
    }
}

/// The function that a law is broken by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TestedFunction {
    /// The maps.
    Map,
    /// The reduce.
    Reduce,
    /// The finalize.
    Finalize,
}

impl TestedFunction {
    fn name(self) -> &'static str {
        match self {
            Self::Map => "map",
            Self::Reduce => "reduce",
            Self::Finalize => "finalize",
        }
    }
}

/// Inputs on which a law does not hold, as few and as simple as were found.
#[derive(Debug, Clone, PartialEq)]
pub struct Counterexample {
    /// Map outputs of the user's own documents, or what is left of them; the document's body for the map.
    pub inputs: Vec<Json>,
    /// The sizes of the parts that were reduced first, one after the other; empty when nothing was split.
    pub split: Vec<usize>,
    /// The positions of the inputs (from 0) in the order in which they gave `got`; empty when nothing was reordered.
    pub order: Vec<usize>,
    /// The field that was made equal in the last input to see a tie; the documents themselves have none.
    pub tie: Option<String>,
    /// What came out. Text that starts with `fails: ` stands for an error.
    pub got: Json,
    /// What had to come out; null when that was only "no error".
    pub wanted: Json,
}

/// A law that does not hold.
#[derive(Debug, Clone, PartialEq)]
pub struct BrokenLaw {
    /// Which.
    pub law: Law,
    /// By which function.
    pub function: TestedFunction,
    /// The reduce key by its fields; empty for the map.
    pub key: Object,
    /// On what.
    pub counterexample: Counterexample,
    /// The likely mistake and what to do.
    pub hint: String,
}

/// A document or key at which the functions fail, so that nothing is tested on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LawFailure {
    /// The document's id, or the reduce key.
    pub subject: String,
    /// Which function.
    pub function: TestedFunction,
    /// The error.
    pub message: String,
}

/// Why not everything was tested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfinished {
    /// All calls were used.
    Calls {
        /// The limit.
        calls_max: u64,
    },
    /// The time was used.
    Time {
        /// The limit, in milliseconds.
        ms_max: u64,
    },
    /// A call did not come back and was left behind.
    Hanging {
        /// How long was waited, in milliseconds.
        ms_max: u64,
    },
    /// Too many checks are at work.
    Busy {
        /// The limit.
        running_max: usize,
    },
    /// Nobody waits for the outcome any more.
    GivenUp,
    /// The functions could not be called at all, or panicked.
    Broken {
        /// Why.
        cause: String,
    },
}

impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Calls { calls_max } => write!(f, "all {calls_max} calls (law_calls_max) were used"),
            Self::Time { ms_max } => write!(f, "its {ms_max} ms (law_ms_max) were used"),
            Self::Hanging { ms_max } => {
                write!(f, "a call did not come back within {ms_max} ms (law_wait_ms_max)")
            }
            Self::Busy { running_max } => {
                write!(f, "{running_max} law checks (law_checks_running_max) are at work already")
            }
            Self::GivenUp => write!(f, "nobody waited for it any more"),
            Self::Broken { cause } => write!(f, "the functions could not be called: {cause}"),
        }
    }
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LawReport {
    /// Documents that were mapped.
    pub documents: usize,
    /// Their map outputs.
    pub outputs: usize,
    /// Reduce keys that were tested.
    pub keys: usize,
    /// Calls and compilations of the functions.
    pub calls: u64,
    /// Laws that do not hold, each once.
    pub broken: Vec<BrokenLaw>,
    /// Laws that hold but for the rounding of doubles, each once.
    pub inexact: Vec<BrokenLaw>,
    /// The first [`crate::limits::LAW_FAILURES_LISTED_MAX`] documents and keys at which the functions fail.
    pub failures: Vec<LawFailure>,
    /// Why not everything was tested, if so.
    pub unfinished: Option<Unfinished>,
}

impl LawReport {
    /// Whether a law is broken on the user's own documents, without a tie that was made up.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.broken.iter().any(|broken| broken.counterexample.tie.is_none())
    }

    /// Whether there is anything to tell: documents were tested, or it did not work.
    #[must_use]
    pub fn says_something(&self) -> bool {
        self.documents > 0 || self.unfinished.is_some()
    }

    /// The wire's word for the outcome: `Broken`, `Unfinished`, `Inexact` or `Passed`.
    #[must_use]
    pub fn outcome(&self) -> &'static str {
        if !self.broken.is_empty() {
            "Broken"
        } else if self.unfinished.is_some() {
            "Unfinished"
        } else if !self.inexact.is_empty() {
            "Inexact"
        } else {
            "Passed"
        }
    }

    /// The report as JSON, with PascalCase keys; `Text` is the same for people.
    #[must_use]
    pub fn to_json(&self) -> Object {
        let list = |laws: &[BrokenLaw]| Json::Array(laws.iter().map(|law| law.to_json().into()).collect());
        let failures = self.failures.iter().map(|failure| {
            let fields = [
                ("Function", failure.function.name()),
                ("Subject", failure.subject.as_str()),
                ("Error", failure.message.as_str()),
            ];
            fields.into_iter().map(|(name, value)| (name, Json::from(value))).collect::<Object>().into()
        });
        Object::from_iter([
            ("Outcome", Json::from(self.outcome())),
            ("Documents", self.documents.into()),
            ("Outputs", self.outputs.into()),
            ("Keys", self.keys.into()),
            ("Calls", self.calls.into()),
            ("Broken", list(&self.broken)),
            ("Inexact", list(&self.inexact)),
            ("Failures", Json::Array(failures.collect())),
            ("Unfinished", self.unfinished.as_ref().map(Unfinished::to_string).into()),
            ("Text", self.to_string().into()),
        ])
    }
}

impl BrokenLaw {
    fn to_json(&self) -> Object {
        let Counterexample { inputs, split, order, tie, got, wanted } = &self.counterexample;
        let numbers = |numbers: &[usize]| Json::Array(numbers.iter().map(|n| Json::from(*n)).collect());
        let counterexample = Object::from_iter([
            ("Inputs", Json::Array(inputs.clone())),
            ("Split", numbers(split)),
            ("Order", numbers(order)),
            ("Tie", tie.clone().into()),
            ("Got", got.clone()),
            ("Wanted", wanted.clone()),
        ]);
        Object::from_iter([
            ("Law", Json::from(self.law.name())),
            ("Function", self.function.name().into()),
            ("Key", self.key.clone().into()),
            ("Counterexample", counterexample.into()),
            ("Hint", self.hint.as_str().into()),
        ])
    }
}

impl fmt::Display for LawReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { documents, outputs, keys, .. } = self;
        writeln!(f, "{}: {documents} documents, {outputs} map outputs, {keys} keys", self.outcome())?;
        for broken in &self.broken {
            writeln!(f, "Broken: {broken}")?;
        }
        for inexact in &self.inexact {
            writeln!(f, "Inexact: {inexact}")?;
        }
        for LawFailure { subject, function, message } in &self.failures {
            writeln!(f, "Not tested: the {} fails on {subject}: {message}", function.name())?;
        }
        match &self.unfinished {
            Some(why) => writeln!(f, "Not finished: {why}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for BrokenLaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counterexample { inputs, split, order, tie, got, wanted } = &self.counterexample;
        let function = self.function.name();
        write!(f, "{} of {function}", self.law.name())?;
        if !self.key.is_empty() {
            write!(f, " for {}", Json::from(self.key.clone()))?;
        }
        writeln!(f)?;
        for (number, input) in (1_usize..).zip(inputs) {
            writeln!(f, "  {number}: {input}")?;
        }
        if let Some(field) = tie {
            writeln!(f, "  (made up: '{field}' of the last was made equal to that of the first)")?;
        }
        let all = arguments(1..=inputs.len());
        let whole = format!("{function}({all})");
        let tested = match self.law {
            Law::Determinism if wanted.is_null() => whole.clone(),
            Law::Determinism => format!("{whole} again"),
            Law::Purity => format!("{whole} changes"),
            Law::Closure | Law::SingleValue => format!("{function}({whole})"),
            Law::Associativity => {
                let mut from = 1;
                let parts = split.iter().map(|size| {
                    let part = format!("{function}({})", arguments(from..from + size));
                    from += size;
                    part
                });
                format!("{function}({})", parts.collect::<Vec<_>>().join(", "))
            }
            Law::Commutativity => format!("{function}({})", arguments(order.iter().map(|at| at + 1))),
        };
        let width = whole.len().max(tested.len());
        match self.law {
            Law::Purity => writeln!(f, "  {tested} {}", got.as_str().unwrap_or_default())?,
            Law::Closure if !wanted.is_null() => {
                writeln!(f, "  {whole} {}, but must hold {wanted}", shown(got))?;
            }
            _ if wanted.is_null() => writeln!(f, "  {tested} {}", shown(got))?,
            Law::SingleValue | Law::Closure | Law::Determinism | Law::Associativity | Law::Commutativity => {
                writeln!(f, "  {whole:width$} {}", shown(wanted))?;
                writeln!(f, "  {tested:width$} {}", shown(got))?;
            }
        }
        write!(f, "  Hint: {}", self.hint)
    }
}

fn arguments(numbers: impl Iterator<Item = usize>) -> String {
    let mut text = String::new();
    for number in numbers {
        let comma = if text.is_empty() { "" } else { ", " };
        // Writing into a string cannot fail.
        let _ = write!(text, "{comma}{number}");
    }
    text
}

/// A value, or an error, as the right side of an equation.
fn shown(value: &Json) -> String {
    match value.as_str() {
        Some(error) => error.to_owned(),
        None => format!("= {value}"),
    }
}
