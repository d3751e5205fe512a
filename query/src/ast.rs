//! A query as plain data, whole RQL as far as it is understood, also the parts that are refused later.
//!
//! `Display` prints it back as RQL, and parsing that text gives an equal value. Positions take no part in equality.
//! Parentheses are not kept: nested [`Condition::And`] and [`Condition::Or`] stand for them.

mod expression;
mod print;

pub use expression::{ArithmeticFunction, ArithmeticOperator, Expression, Operation};
use magpie_store::json::Number;

/// Where something stands in the query's text; both count from 1, columns in characters.
///
/// All positions are equal: two queries are equal when they say the same, however they are laid out.
#[derive(Debug, Clone, Copy, Default)]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

impl PartialEq for Position {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}
impl Eq for Position {}

/// A clause together with the place of its keyword.
#[derive(Debug, Clone, PartialEq)]
pub struct Clause<T> {
    /// Where its keyword stands.
    pub position: Position,
    /// What it says.
    pub content: T,
}

/// A whole query. Clauses that do not occur are empty or `None`.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// `declare function ..`, in order.
    pub declarations: Vec<Declaration>,
    /// `from ..`.
    pub from: From,
    /// `group by ..`.
    pub group_by: Vec<GroupItem>,
    /// `where ..`.
    pub condition: Option<Condition>,
    /// `reduce by ..`: the fields; none for one row of all results (`reduce`, `reduce by ()`).
    pub reduce: Option<Clause<Vec<FieldPath>>>,
    /// `order by ..`.
    pub order_by: Vec<OrderItem>,
    /// `load ..`.
    pub load: Vec<LoadItem>,
    /// `filter ..`.
    pub filter: Option<Clause<Condition>>,
    /// `select ..`.
    pub select: Option<Select>,
    /// `update { .. }`: the script with its braces.
    pub update: Option<Clause<String>>,
    /// `include ..`.
    pub include: Vec<Include>,
    /// `limit ..`.
    pub limit: Option<Limit>,
    /// `offset ..`.
    pub offset: Option<Value>,
    /// `filter_limit ..`.
    pub filter_limit: Option<Clause<Value>>,
}

/// A declared function.
#[derive(Debug, Clone, PartialEq)]
pub struct Declaration {
    /// Its name.
    pub name: String,
    /// Its whole text, from `declare` to the closing brace.
    pub text: String,
    /// Where it starts.
    pub position: Position,
}

/// What is queried.
#[derive(Debug, Clone, PartialEq)]
pub struct From {
    /// The collection or index.
    pub source: FromSource,
    /// The name that field paths may start with.
    pub alias: Option<String>,
}

/// A collection or an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromSource {
    /// `from Name`, also `from @all_docs` and `from @empty`.
    Collection(String),
    /// `from index 'Name'`.
    Index(String),
}

/// One item of `group by`.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupItem {
    /// What is grouped by.
    pub key: Argument,
    /// Its alias.
    pub alias: Option<String>,
    /// Where it stands.
    pub position: Position,
}

/// One item of `order by`.
#[derive(Debug, Clone, PartialEq)]
pub struct OrderItem {
    /// What is ordered by.
    pub key: Left,
    /// `as ..`; text when absent.
    pub ordering: Option<Ordering>,
    /// Whether `desc` is given.
    pub descending: bool,
    /// Where it stands.
    pub position: Position,
}

/// How the values of an order key compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ordering {
    /// By text.
    Text,
    /// By whole number.
    Long,
    /// By number.
    Double,
    /// By text, digit runs as numbers.
    AlphaNumeric,
}

/// One item of `load`.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadItem {
    /// Where the id or ids are.
    pub from: LoadFrom,
    /// The name of the loaded document; required, but checked later than the syntax.
    pub alias: Option<String>,
    /// Whether the alias ends with `[]`: several documents.
    pub each: bool,
    /// Where it stands.
    pub position: Position,
}

/// Where an item of `load` has its id or ids from.
#[derive(Debug, Clone, PartialEq)]
pub enum LoadFrom {
    /// A field.
    Field(FieldPath),
    /// A text in quotes, which is a field or, where there is none, an id; or a parameter.
    Value(Value),
}

/// The `select` clause.
#[derive(Debug, Clone, PartialEq)]
pub struct Select {
    /// `select distinct`.
    pub distinct: bool,
    /// What is selected.
    pub what: Selection,
    /// Where the clause stands.
    pub position: Position,
}

/// What `select` gives.
#[derive(Debug, Clone, PartialEq)]
pub enum Selection {
    /// `*`
    All,
    /// A JavaScript object literal, with its braces.
    Script(String),
    /// A list of fields, values and calls.
    Items(Vec<SelectItem>),
}

/// One item of `select`.
#[derive(Debug, Clone, PartialEq)]
pub struct SelectItem {
    /// What is selected.
    pub what: Selected,
    /// Its name in the answer.
    pub alias: Option<String>,
    /// Where it stands.
    pub position: Position,
}

/// What one item of `select` gives.
#[derive(Debug, Clone, PartialEq)]
pub enum Selected {
    /// A value, field or call.
    Plain(Argument),
    /// Something calculated. Never a value or field alone, which are plain.
    Arithmetic(Expression),
}

/// One item of `include`.
#[derive(Debug, Clone, PartialEq)]
pub enum Include {
    /// The path of a field that holds ids, as text without quotes.
    Path(String),
    /// A call such as `counters(..)`.
    Call(Call),
}

/// The `limit` clause.
#[derive(Debug, Clone, PartialEq)]
pub struct Limit {
    /// How many to take, or how many to skip when there is a second value.
    pub first: Value,
    /// How many to take.
    pub second: Option<Value>,
}

/// A condition of `where` or `filter`.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// `true`
    True,
    /// `left = right` and the like.
    Compare {
        /// The field or call.
        left: Left,
        /// The operator.
        operator: Operator,
        /// The value.
        right: Right,
    },
    /// `left between low and high`, both ends included.
    Between {
        /// The field or call.
        left: Left,
        /// The lower end.
        low: Value,
        /// The upper end.
        high: Value,
    },
    /// `left in (..)`, `left all in (..)`.
    In {
        /// The field or call.
        left: Left,
        /// The list.
        values: Vec<Value>,
        /// Whether every value must occur.
        all: bool,
    },
    /// A method call that is a condition by itself.
    Call(Call),
    /// All of them; two or more.
    And(Vec<Condition>),
    /// One of them; two or more.
    Or(Vec<Condition>),
    /// The opposite. RQL has it only behind an `and` or `or`.
    Not(Box<Condition>),
}

/// A comparison operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `=`, `==`
    Equal,
    /// `!=`, `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// The left side of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub enum Left {
    /// A field.
    Field(FieldPath),
    /// A call, such as `id()`.
    Call(Call),
}

/// The right side of a comparison. Only values make sense; the rest is refused with a message of its own.
#[derive(Debug, Clone, PartialEq)]
pub enum Right {
    /// A value.
    Value(Value),
    /// A field.
    Field(FieldPath),
    /// A call.
    Call(Call),
}

/// A method call.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The method's name as written, with dots if any.
    pub name: String,
    /// Its arguments.
    pub arguments: Vec<Argument>,
    /// Where its name stands.
    pub position: Position,
}

/// One argument of a call.
#[derive(Debug, Clone, PartialEq)]
pub enum Argument {
    /// A value.
    Value(Value),
    /// A field.
    Field(FieldPath),
    /// A call.
    Call(Call),
    /// A condition other than a bare call.
    Condition(Condition),
    /// The bare word `and` or `or`.
    Word(String),
}

/// A literal or parameter.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A number without exponent; whole when its text has no point.
    Number(Number),
    /// A minus sign alone, which counts as 0.
    Minus,
    /// A quoted string.
    Text(String),
    /// `$name`
    Parameter(String),
}

/// A path to a field: parts joined by dots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPath {
    /// One or more parts.
    pub parts: Vec<PathPart>,
    /// Where it starts.
    pub position: Position,
}

/// One part of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPart {
    /// The member's name, unquoted.
    pub name: String,
    /// What stands in brackets behind it.
    pub index: PathIndex,
}

/// The brackets behind a part of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathIndex {
    /// None.
    None,
    /// `[]`: every element.
    Each,
    /// `[n]`: the element at n, from 0.
    At(u32),
}

impl FieldPath {
    /// The path as it is named in answers and index names: unquoted, joined by dots.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (number, part) in self.parts.iter().enumerate() {
            if number > 0 {
                text.push('.');
            }
            text.push_str(&part.name);
            match part.index {
                PathIndex::None => {}
                PathIndex::Each => text.push_str("[]"),
                PathIndex::At(index) => text.push_str(&format!("[{index}]")),
            }
        }
        text
    }

    /// The path behind the alias of `from`; the path itself when it does not start with the alias. `None` when it is
    /// the alias alone: the whole document.
    #[must_use]
    pub fn without_alias(&self, alias: Option<&str>) -> Option<Self> {
        match (self.parts.split_first(), alias) {
            (Some((first, rest)), Some(alias)) if first.name == alias && first.index == PathIndex::None => {
                (!rest.is_empty()).then(|| Self { parts: rest.to_vec(), position: self.position })
            }
            _ => Some(self.clone()),
        }
    }
}
