//! The compiled scripts of an index: trees of expressions and statements in which every name is a place.
//!
//! A program is made once per index and shared by all threads; nothing in it changes when it runs. Variables are slots
//! of their function; those that inner functions use too live in cells of their own ([`Code::boxed`]).

use super::convert::Arithmetic;
use super::natives::Native;
use super::regex::Pattern;
pub(super) use super::statements::{
    Block, Catch, ForEach, ForLoop, Guard, Hot, Label, RowField, Rows, Statement, Step, Sum, Switch, Try,
    WhileLoop,
};
use super::value::ErrorKind;
use crate::script::dialect::GroupBy;

/// The number of a slot in a frame.
pub(super) type Slot = u32;
/// The number of a function in [`Program::functions`].
pub(super) type FunctionId = u32;

/// Everything that the scripts of an index do.
#[derive(Debug)]
pub(super) struct Program {
    /// All functions.
    pub functions: Vec<Code>,
    /// The top-level names that are neither functions nor literals, in order.
    pub globals: Vec<Expr>,
    /// The registered maps, in order.
    pub maps: Vec<MapFunction>,
    /// The registered reduce.
    pub reduce: Option<FunctionId>,
    /// The registered finalize.
    pub finalize: Option<FunctionId>,
    /// The reduce key, if there is a reduce.
    pub group_by: Option<GroupBy>,
    /// The names of each object literal whose names are plain and distinct.
    pub literals: Vec<Box<[Box<str>]>>,
    /// The regular expressions.
    pub patterns: Vec<Pattern>,
    /// How many places read a member by a name in the text.
    pub caches: usize,
    /// How many loops there are whose elements can stay text.
    pub loops: usize,
}

impl Program {
    /// A function.
    pub fn function(&self, id: FunctionId) -> Option<&Code> {
        self.functions.get(usize::try_from(id).ok()?)
    }
}

/// A registered map.
#[derive(Debug)]
pub(super) struct MapFunction {
    /// Lower-cased collection; `None` for all documents.
    pub collection: Option<String>,
    /// The function.
    pub function: FunctionId,
    /// The fields of the document that it reads, when it reads nothing else of it.
    pub fields: Option<Box<[Box<str>]>>,
}

/// One function.
#[derive(Debug, Default)]
pub(super) struct Code {
    /// How many slots a frame has.
    pub slots: usize,
    /// Which of them live in cells of their own, by number; shorter when the last ones do not.
    pub boxed: Vec<bool>,
    /// Parameters and variables that must be put into cells when the function is entered.
    pub entry_boxes: Vec<Slot>,
    /// The parameters.
    pub parameters: Parameters,
    /// What runs.
    pub body: Body,
    /// Where the captured variables come from.
    pub captures: Vec<Capture>,
    /// Whether it is declared outside of every function: such functions capture nothing.
    pub is_global: bool,
    /// For a function that is called for the elements of an array: which parameter the element is, and how it runs on
    /// elements that are only text.
    pub rows: Option<(usize, Rows)>,
    /// Steps that entering it costs.
    pub weight: u64,
    /// How deeply evaluating it nests at most, calls apart.
    pub depth: usize,
}

/// The parameters of a function.
#[derive(Debug)]
pub(super) enum Parameters {
    /// Plain names: the first slots, in order.
    Plain(usize),
    /// Defaults, patterns or a rest parameter.
    Bound(Box<[Parameter]>),
}

impl Default for Parameters {
    fn default() -> Self {
        Self::Plain(0)
    }
}

/// One parameter that is more than a name.
#[derive(Debug)]
pub(super) struct Parameter {
    /// What is bound.
    pub target: Target,
    /// What is taken for undefined.
    pub default: Option<Expr>,
    /// Whether it takes all arguments from here on.
    pub rest: bool,
    /// The slots it declares.
    pub declares: Box<[Slot]>,
}

/// The body of a function.
#[derive(Debug)]
pub(super) enum Body {
    /// The value of an expression.
    Expression(Expr),
    /// Statements.
    Block(Block),
}

impl Default for Body {
    fn default() -> Self {
        Self::Expression(Expr::Undefined)
    }
}

/// Where a captured variable comes from when the function is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Capture {
    /// A slot of the function around.
    Slot(Slot),
    /// What the function around captured itself.
    Outer(u32),
}

/// A variable's place as it is read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Variable {
    /// A slot of the running function.
    Slot(Slot),
    /// A captured variable.
    Captured(u32),
}

/// A name of a property.
#[derive(Debug)]
pub(super) struct Name {
    /// The name.
    pub text: Box<str>,
    /// Whether every object inherits a member of this name.
    pub inherited: bool,
    /// Whether it is `length`.
    pub is_length: bool,
}

/// An expression.
#[derive(Debug)]
pub(super) enum Expr {
    /// `undefined`
    Undefined,
    /// `null`, and every name that nothing declares.
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number.
    Number(f64),
    /// An ASCII string.
    Ascii(Box<str>),
    /// Any other well-formed string.
    Text(Box<str>),
    /// A string with lone surrogates.
    Units(Box<[u16]>),
    /// A BigInt, in decimal digits.
    Big(Box<str>),
    /// A variable of the running function that surely has its value.
    Slot(Slot),
    /// The element of a loop, and where it can be made from while it is only text.
    Element(Slot, Slot),
    /// Any other variable.
    Variable(Variable),
    /// A top-level name.
    Global(u32),
    /// A function of the language or the dialect.
    Native(Native),
    /// A field of the document being mapped.
    Field(u32),
    /// The metadata of the document being mapped.
    Metadata,
    /// The id of the document being mapped.
    DocumentId,
    /// An array literal.
    List(Box<[Item]>),
    /// An object literal with plain, distinct names: the number of its names, and its values.
    Record(u32, Box<[Expr]>),
    /// Any other object literal.
    Object(Box<[Property]>),
    /// A function that is made here.
    Function(FunctionId),
    /// A function declared outside of every function.
    GlobalFunction(FunctionId),
    /// A regular expression.
    Pattern(u32),
    /// A template.
    Template(Box<[TemplatePart]>),
    /// `a.b`
    Member(Box<Member>),
    /// `a.b` where `a` is the element of a loop, which need not be there as an object.
    Part(Box<Part>),
    /// `a[b]`
    Index(Box<(Expr, Expr)>),
    /// `f(..)`
    Call(Box<Call>),
    /// `f(..)` where `f` is declared outside of every function.
    CallGlobal(FunctionId, Box<[Item]>),
    /// `a.b(..)`
    CallMethod(Box<MethodCall>),
    /// A call of a function of the language or the dialect.
    CallNative(Native, Box<[Item]>),
    /// `new X(..)`
    New(Constructor, Box<[Item]>),
    /// `a = b`
    Assign(Box<Assign>),
    /// `a += b` and its like.
    Update(Box<Update>),
    /// `a ||= b`, `a &&= b`, `a ??= b`
    AssignWhen(Box<(Logical, Place, Expr)>),
    /// `++a`, `a--`, ..
    Count(Box<Count>),
    /// `[a, b] = c`
    Destructure(Box<(Target, Expr)>),
    /// `-a`
    Negate(Box<Expr>),
    /// `+a`
    ToNumber(Box<Expr>),
    /// `!a`
    Not(Box<Expr>),
    /// `~a`
    BitNot(Box<Expr>),
    /// `typeof a`
    TypeOf(Box<Expr>),
    /// `void a`
    Void(Box<Expr>),
    /// `delete a.b`
    DeleteMember(Box<(Expr, Name)>),
    /// `delete a[b]`
    DeleteIndex(Box<(Expr, Expr)>),
    /// `a + b`
    Add(Box<(Expr, Expr)>),
    /// `a - b` and its like.
    Arithmetic(Arithmetic, Box<(Expr, Expr)>),
    /// `a < b` and its like.
    Compare(Comparison, Box<(Expr, Expr)>),
    /// `a && b`, `a || b`, `a ?? b`
    Logic(Logical, Box<(Expr, Expr)>),
    /// `a, b`
    Comma(Box<(Expr, Expr)>),
    /// `a in b`
    In(Box<(Expr, Expr)>),
    /// `a instanceof B`
    InstanceOf(Class, Box<Expr>),
    /// `a ? b : c`
    Conditional(Box<(Expr, Expr, Expr)>),
}

/// An element of an array literal, or an argument.
#[derive(Debug)]
pub(super) enum Item {
    /// One value.
    One(Expr),
    /// `...values`
    Spread(Expr),
}

/// A property of an object literal.
#[derive(Debug)]
pub(super) enum Property {
    /// `name: value`
    Named(Name, Expr),
    /// `[name]: value`
    Computed(Expr, Expr),
    /// `...object`
    Spread(Expr),
}

/// A part of a template.
#[derive(Debug)]
pub(super) enum TemplatePart {
    /// Text.
    Text(Box<str>),
    /// `${value}`
    Value(Expr),
}

/// Reading a member by a name in the text.
#[derive(Debug)]
pub(super) struct Member {
    /// The object.
    pub object: Expr,
    /// The name.
    pub name: Name,
    /// Where it was found last.
    pub cache: usize,
}

/// Reading a member of a loop's element.
#[derive(Debug)]
pub(super) struct Part {
    /// The variable of the element; uninitialized while the element is only text.
    pub element: Slot,
    /// Where the member's value is while the element is only text.
    pub slot: Slot,
    /// Where the element can be made from.
    pub origin: Slot,
    /// The reading of the member from the element as an object.
    pub member: Member,
}

/// A call.
#[derive(Debug)]
pub(super) struct Call {
    /// What is called.
    pub callee: Expr,
    /// The arguments.
    pub arguments: Box<[Item]>,
    /// Whether nothing happens, not even to the arguments, when there is nothing to call: `f?.()`.
    pub optional: bool,
}

/// A call of a member.
#[derive(Debug)]
pub(super) struct MethodCall {
    /// The object.
    pub object: Expr,
    /// The name of the method.
    pub method: MethodName,
    /// The arguments.
    pub arguments: Box<[Item]>,
    /// Whether nothing happens, not even to the arguments, when there is no such method: `a.f?.()`.
    pub optional: bool,
    /// Whether arguments are left alone when there is no object: `(a.f)?.()`.
    pub lazy: bool,
    /// Where the name was found last.
    pub cache: usize,
}

/// The name of a method.
#[derive(Debug)]
pub(super) enum MethodName {
    /// As it stands in the text, and the built-in method of that name.
    Named(Name, Option<super::methods::Method>),
    /// Computed.
    Computed(Expr),
}

/// What `new` can make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Constructor {
    /// `new Map(..)`
    Map,
    /// `new Set(..)`
    Set,
    /// `new Date(..)`
    Date,
    /// `new Error(..)` and its like.
    Error(ErrorKind),
    /// `new Array(..)`
    List,
}

/// What `instanceof` knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// `Object`
    Object,
    /// `Array`
    List,
    /// `Date`
    Date,
    /// `Map`
    Map,
    /// `Set`
    Set,
    /// `RegExp`
    RegExp,
    /// `Function`
    Function,
    /// `Error` and its like.
    Error(ErrorKind),
}

/// A logical operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Logical {
    /// `&&`
    And,
    /// `||`
    Or,
    /// `??`
    Coalesce,
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    /// `===`
    Same,
    /// `!==`
    NotSame,
    /// `==`
    Equal,
    /// `!=`
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

/// What can be assigned.
#[derive(Debug)]
pub(super) enum Place {
    /// A variable.
    Variable(Variable),
    /// A variable that must not be assigned: a constant.
    Constant(Variable),
    /// `a.b`
    Member(Box<Member>),
    /// `a[b]`
    Index(Box<(Expr, Expr)>),
}

/// `place = value`
#[derive(Debug)]
pub(super) struct Assign {
    /// Where to.
    pub place: Place,
    /// What.
    pub value: Expr,
}

/// `place op= value`
#[derive(Debug)]
pub(super) struct Update {
    /// Where to.
    pub place: Place,
    /// The operator; `None` for `+`.
    pub operator: Option<Arithmetic>,
    /// The right side.
    pub value: Expr,
}

/// `++place` and its like.
#[derive(Debug)]
pub(super) struct Count {
    /// Where to.
    pub place: Place,
    /// 1 or -1.
    pub by: f64,
    /// Whether its value is the one after counting.
    pub prefix: bool,
}

/// What a value is bound or assigned to.
#[derive(Debug)]
pub(super) enum Target {
    /// A variable that is declared here.
    Declare(Slot),
    /// A place that is assigned.
    Place(Place),
    /// `{..}`
    Record(Box<RecordPattern>),
    /// `[..]`
    List(Box<ListPattern>),
}

/// An object pattern.
#[derive(Debug)]
pub(super) struct RecordPattern {
    /// Its members.
    pub members: Box<[PatternMember]>,
    /// What takes the rest.
    pub rest: Option<Target>,
}

/// One member of an object pattern.
#[derive(Debug)]
pub(super) struct PatternMember {
    /// Its name.
    pub key: PatternKey,
    /// What takes it.
    pub target: Target,
    /// What is taken for undefined.
    pub default: Option<Expr>,
}

/// The name of a member of an object pattern.
#[derive(Debug)]
pub(super) enum PatternKey {
    /// As it stands in the text, and where it was found last.
    Named(Name, usize),
    /// `[name]`
    Computed(Expr),
}

/// What takes an element of an array, and what is taken for undefined.
pub(super) type ListElement = (Target, Option<Expr>);

/// An array pattern.
#[derive(Debug)]
pub(super) struct ListPattern {
    /// Its elements; `None` for one that is left out.
    pub elements: Box<[Option<ListElement>]>,
    /// What takes the rest.
    pub rest: Option<Target>,
}
