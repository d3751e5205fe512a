//! The statements of a program.

use super::program::{Expr, FunctionId, Slot, Target, Variable};

/// Statements with the names they declare.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// Slots of names that are not there yet when the block begins.
    pub declares: Box<[Slot]>,
    /// Functions declared in it, made when it begins.
    pub functions: Box<[(Slot, FunctionId)]>,
    /// What runs.
    pub statements: Box<[Statement]>,
}

/// A statement.
#[derive(Debug)]
pub(super) enum Statement {
    /// An expression.
    Expression(Expr),
    /// `let x = ..`; without a value it is undefined.
    Declare(Slot, Option<Expr>),
    /// `let {..} = ..`
    DeclarePattern(Box<(Target, Expr)>),
    /// `{ .. }`
    Block(Block),
    /// `if`
    If(Box<(Expr, Statement, Option<Statement>)>),
    /// `for (..;..;..)`
    For(Box<ForLoop>),
    /// `for (.. of ..)`
    ForOf(Box<ForEach>),
    /// `for (.. in ..)`
    ForIn(Box<ForEach>),
    /// `while`
    While(Box<WhileLoop>),
    /// `do .. while`
    DoWhile(Box<WhileLoop>),
    /// `switch`
    Switch(Box<Switch>),
    /// `try`
    Try(Box<Try>),
    /// `throw`
    Throw(Expr),
    /// `return`
    Return(Expr),
    /// `break`, with the label it names
    Break(Option<Label>),
    /// `continue`, with the label it names
    Continue(Option<Label>),
    /// `label: ..`
    Labelled(Label, Box<Statement>),
    /// `;`
    Empty,
}

/// The number of a label in its function.
pub(super) type Label = u32;

/// `for (..;..;..)`
#[derive(Debug)]
pub(super) struct ForLoop {
    /// Slots that the head declares with `let`: each turn has variables of its own.
    pub declares: Box<[Slot]>,
    /// What runs before.
    pub init: Statement,
    /// Whether it goes on.
    pub condition: Option<Expr>,
    /// What runs after each turn.
    pub step: Option<Expr>,
    /// What runs at each turn.
    pub body: Statement,
    /// The labels that stand before it.
    pub labels: Box<[Label]>,
    /// Steps that a turn costs.
    pub weight: u64,
}

/// `for (.. of ..)` and `for (.. in ..)`
#[derive(Debug)]
pub(super) struct ForEach {
    /// Slots that the head declares with `let` or `const`.
    pub declares: Box<[Slot]>,
    /// What takes the element or the key.
    pub target: Target,
    /// What is walked over.
    pub over: Expr,
    /// What runs at each turn.
    pub body: Statement,
    /// The labels that stand before it.
    pub labels: Box<[Label]>,
    /// Steps that a turn costs.
    pub weight: u64,
    /// How its turns run on elements that are only text; `None` when they need the elements as objects.
    pub rows: Option<Rows>,
}

/// How the turns of a loop run on elements that nothing has made objects of. No statement of such a loop can make one of
/// the element that its turn is at and change it, so its parts are the same whenever they are read.
#[derive(Debug)]
pub(super) struct Rows {
    /// Its number among all such loops.
    pub number: usize,
    /// Where the element itself can be made from in a turn that began without.
    pub origin: Slot,
    /// The members that are read.
    pub fields: Box<[RowField]>,
    /// Whether the element is used in another way than by its members.
    pub whole: bool,
    /// Whether every turn uses it so.
    pub always_whole: bool,
    /// Whether the loop's variables are the members themselves; its body may do anything then.
    pub taken_apart: bool,
    /// What the statements rely on.
    pub guards: Box<[(Variable, Guard)]>,
    /// What all of the body is, if it is something that has a loop of its own.
    pub hot: Option<Hot>,
    /// What each statement of the body's block does, if it is one of the usual things; empty for other bodies.
    pub steps: Box<[Option<Step>]>,
}

/// The usual statements that fold a member of the element into a variable, both of them numbers.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    /// `variable += element.member`
    Add(Slot, Slot),
    /// `variable++`, `variable += 2`
    Count(Slot, f64),
    /// `if (element.member > variable) variable = element.member`, `variable = Math.max(variable, element.member)`; the
    /// flag says that it is the second form, which knows -0 and NaN.
    Greatest(Slot, Slot, bool),
    /// The same with `<` and `min`.
    Least(Slot, Slot, bool),
}

/// A member of an element that a loop reads.
#[derive(Debug)]
pub(super) struct RowField {
    /// Its name.
    pub name: Box<str>,
    /// Where its value goes.
    pub slot: Slot,
    /// Whether it is only walked over, so that an array can stay text too.
    pub walked: bool,
}

/// What kind of value a variable must have, so that calling its methods calls no function of the script, and that what
/// changes is not the array that is walked over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guard {
    /// An array.
    List,
    /// A Set.
    Set,
    /// Any: its entries are assigned.
    Any,
}

/// Bodies of loops that have loops of their own.
#[derive(Debug)]
pub(super) enum Hot {
    /// `object[element] = value`, a literal.
    Mark(Slot, Expr),
    /// `set.add(element)`
    Add(Slot),
    /// `object[element.key] = (object[element.key] || value) + element.by`
    Sum(Sum),
}

/// A sum for each key.
#[derive(Debug)]
pub(super) struct Sum {
    /// The object.
    pub object: Slot,
    /// Where the key is.
    pub key: Slot,
    /// What is taken for nothing.
    pub missing: f64,
    /// Whether 0 and NaN are nothing too.
    pub falsy: bool,
    /// Where the number is.
    pub by: Slot,
}

/// `while` and `do .. while`
#[derive(Debug)]
pub(super) struct WhileLoop {
    /// Whether it goes on.
    pub condition: Expr,
    /// What runs at each turn.
    pub body: Statement,
    /// The labels that stand before it.
    pub labels: Box<[Label]>,
    /// Steps that a turn costs.
    pub weight: u64,
}

/// A condition and what runs from there on; the default has no condition.
pub(super) type Case = (Option<Expr>, Box<[Statement]>);

/// `switch`
#[derive(Debug)]
pub(super) struct Switch {
    /// What is compared.
    pub value: Expr,
    /// Slots of names that the cases declare.
    pub declares: Box<[Slot]>,
    /// Functions that the cases declare.
    pub functions: Box<[(Slot, FunctionId)]>,
    /// The cases; the one without a condition is the default.
    pub cases: Box<[Case]>,
}

/// `try`
#[derive(Debug)]
pub(super) struct Try {
    /// What is tried.
    pub block: Block,
    /// What runs when that throws.
    pub catch: Option<Catch>,
    /// What runs in any case.
    pub finally: Option<Block>,
}

/// `catch`
#[derive(Debug)]
pub(super) struct Catch {
    /// What takes the thrown value.
    pub target: Option<Target>,
    /// Slots that the parameter declares.
    pub declares: Box<[Slot]>,
    /// What runs.
    pub block: Block,
}
