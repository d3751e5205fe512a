//! Members and calls, with the forgiveness of the written program.

use super::globals::has_own_name;
use super::scopes::Meaning;
use super::{Compiled, Compiler, refuse};
use crate::script::compiled::methods::Method;
use crate::script::compiled::natives::{self, Native};
use crate::script::compiled::program::{Call, Constructor, Expr, Item, Logical, MethodCall, MethodName};
use crate::script::compiled::value::ErrorKind;
use crate::script::dialect::names;
use boa_ast::expression::access::{PropertyAccess, PropertyAccessField};
use boa_ast::expression::{self as node, New, Optional, OptionalOperationKind};
use boa_ast::{Expression, Spanned};
use boa_interner::Sym;

/// What a link is applied to where it does not matter on which way nothing was found: see [`Machine::nothing_of`].
///
/// [`Machine::nothing_of`]: crate::script::compiled::machine::Machine::nothing_of
pub(super) fn or_undefined(object: Expr) -> Expr {
    match object {
        Expr::Field(_) | Expr::Member(_) | Expr::Part(_) | Expr::Index(_) => {
            Expr::Logic(Logical::Coalesce, Box::new((object, Expr::Undefined)))
        }
        other => other,
    }
}

/// The owner and the name of a called member: `owner.name(..)`.
pub(super) fn called_member(call: &node::Call) -> Option<(&Expression, Sym)> {
    match call.function().flatten() {
        Expression::PropertyAccess(PropertyAccess::Simple(simple)) => match simple.field() {
            PropertyAccessField::Const(name) => Some((simple.target(), name.sym())),
            PropertyAccessField::Expr(_) => None,
        },
        _ => None,
    }
}

/// Which parameter of a method's function is an element, where the function can be called on an element's text.
const fn element_place(method: Method) -> Option<usize> {
    match method {
        Method::Map | Method::ForEach | Method::Some | Method::Every => Some(0),
        Method::Reduce | Method::ReduceRight => Some(1),
        _ => None,
    }
}

impl Compiler<'_> {
    /// Whether a chain begins with a name that nothing declares, so that all of it is `null`.
    fn hangs_on_nothing(&mut self, expression: &Expression) -> bool {
        match expression.flatten() {
            Expression::Identifier(name) => {
                !self.is_declared(*name)
                    && self
                        .text(name.sym())
                        .is_ok_and(|text| !names::is_known(&text) && names::refused(&text).is_none())
            }
            Expression::PropertyAccess(PropertyAccess::Simple(simple)) => {
                self.hangs_on_nothing(simple.target())
            }
            Expression::Call(call) => self.hangs_on_nothing(call.function()),
            Expression::Optional(optional) => self.hangs_on_nothing(optional.target()),
            _ => false,
        }
    }

    /// Whether an expression is the document being mapped.
    fn is_document(&mut self, expression: &Expression) -> bool {
        match expression.flatten() {
            Expression::Identifier(name) => matches!(self.meaning(*name), Ok(Meaning::Document)),
            _ => false,
        }
    }

    /// Reads a member.
    pub(super) fn member(&mut self, access: &PropertyAccess) -> Compiled<Expr> {
        let PropertyAccess::Simple(simple) = access else {
            return refuse("a private or inherited member", access.span());
        };
        if self.hangs_on_nothing(simple.target()) {
            return Ok(Expr::Null);
        }
        self.link_of(simple.target(), simple.field())
    }

    fn link_of(&mut self, target: &Expression, field: &PropertyAccessField) -> Compiled<Expr> {
        if self.is_document(target) {
            let name = match field {
                PropertyAccessField::Const(name) => Some(name.sym()),
                PropertyAccessField::Expr(key) => match key.flatten() {
                    Expression::Literal(literal) => literal.as_string(),
                    _ => None,
                },
            };
            let Some(name) = name else { return refuse("a computed field of the document", field.span()) };
            let name = self.text(name)?;
            return self.field(&name, field.span());
        }
        if let Some(owner) = self.free_name(target)
            && names::is_engine_object(&owner)
        {
            let PropertyAccessField::Const(name) = field else {
                return refuse(&format!("a computed member of {owner}"), field.span());
            };
            let path = format!("{owner}.{}", self.text(name.sym())?);
            if let Some(value) = natives::constant(&path) {
                return Ok(Expr::Number(value));
            }
            return match Native::named(&path) {
                Some(native) => Ok(Expr::Native(native)),
                None => refuse(&path, field.span()),
            };
        }
        let object = self.expression(target)?;
        self.link(object, field)
    }

    fn link(&mut self, object: Expr, field: &PropertyAccessField) -> Compiled<Expr> {
        match field {
            PropertyAccessField::Const(name) => {
                let name = self.text(name.sym())?;
                Ok(self.named_member(object, name))
            }
            PropertyAccessField::Expr(key) => {
                if let Expression::Literal(literal) = key.flatten()
                    && let Some(name) = literal.as_string()
                {
                    let name = self.text(name)?;
                    return Ok(self.named_member(object, name));
                }
                let key = self.expression(key)?;
                Ok(Expr::Index(Box::new((object, key))))
            }
        }
    }

    fn method_name(&mut self, field: &PropertyAccessField) -> Compiled<MethodName> {
        let name = match field {
            PropertyAccessField::Const(name) => Some(name.sym()),
            PropertyAccessField::Expr(key) => match key.flatten() {
                Expression::Literal(literal) => literal.as_string(),
                _ => None,
            },
        };
        match (name, field) {
            (Some(name), _) => {
                let text = self.text(name)?;
                let method = Method::named(&text);
                Ok(MethodName::Named(self.property(text), method))
            }
            (None, PropertyAccessField::Expr(key)) => Ok(MethodName::Computed(self.expression(key)?)),
            (None, PropertyAccessField::Const(_)) => refuse("a method without a name", field.span()),
        }
    }

    pub(super) fn items(&mut self, list: &[Expression]) -> Compiled<Box<[Item]>> {
        let mut items = Vec::with_capacity(list.len());
        for node in list {
            items.push(match node.flatten() {
                Expression::Spread(spread) => Item::Spread(self.expression(spread.target())?),
                other => Item::One(self.expression(other)?),
            });
        }
        Ok(items.into())
    }

    pub(super) fn call(&mut self, node: &node::Call) -> Compiled<Expr> {
        let callee = node.function().flatten();
        if self.hangs_on_nothing(callee) {
            return Ok(Expr::Null);
        }
        match callee {
            Expression::PropertyAccess(PropertyAccess::Simple(simple)) => {
                let free = self.free_name(simple.target());
                if free.as_deref() == Some(names::NO_TRACKING)
                    && called_member(node).is_some_and(|(_, name)| self.is_text(name, names::LOAD))
                {
                    return Ok(Expr::CallNative(Native::LoadUntracked, self.items(node.args())?));
                }
                if free.is_some_and(|name| names::is_engine_object(&name)) {
                    return match self.link_of(simple.target(), simple.field())? {
                        Expr::Native(native) => Ok(Expr::CallNative(native, self.items(node.args())?)),
                        _ => refuse("the call of a constant", node.span()),
                    };
                }
                if self.is_document(simple.target()) {
                    return refuse("a call of a field of the document", node.span());
                }
                let object = self.expression(simple.target())?;
                self.method_call(object, simple.field(), node.args(), (false, false))
            }
            Expression::Identifier(name) => match self.meaning(*name)? {
                Meaning::GlobalFunction(id) => Ok(Expr::CallGlobal(id, self.items(node.args())?)),
                Meaning::Free => {
                    let text = self.text(name.sym())?;
                    self.free_call(&text, node)
                }
                _ => self.plain_call(callee, node.args(), false),
            },
            Expression::FunctionExpression(_) | Expression::ArrowFunction(_) if has_own_name(callee) => {
                refuse("a function expression that is called by its name", node.span())
            }
            _ => self.plain_call(callee, node.args(), false),
        }
    }

    /// A call of a function that the scripts do not declare.
    fn free_call(&mut self, name: &str, node: &node::Call) -> Compiled<Expr> {
        if let [argument] = node.args()
            && self.is_document(argument)
        {
            return match name {
                "id" => Ok(Expr::DocumentId),
                "getMetadata" | "metadataFor" => Ok(Expr::Metadata),
                _ => refuse("the document as a whole", argument.span()),
            };
        }
        if name == names::LOAD {
            return Ok(Expr::CallNative(Native::Load, self.items(node.args())?));
        }
        match Native::named(name) {
            Some(native) => Ok(Expr::CallNative(native, self.items(node.args())?)),
            None => refuse(&format!("{name}()"), node.span()),
        }
    }

    fn plain_call(
        &mut self,
        callee: &Expression,
        arguments: &[Expression],
        optional: bool,
    ) -> Compiled<Expr> {
        let callee = self.expression(callee)?;
        let arguments = self.items(arguments)?;
        Ok(Expr::Call(Box::new(Call { callee, arguments, optional })))
    }

    fn method_call(
        &mut self,
        object: Expr,
        field: &PropertyAccessField,
        arguments: &[Expression],
        (optional, lazy): (bool, bool),
    ) -> Compiled<Expr> {
        let method = self.method_name(field)?;
        self.callback = match (&method, arguments.first().map(Expression::flatten)) {
            (
                MethodName::Named(_, Some(method)),
                Some(Expression::ArrowFunction(_) | Expression::FunctionExpression(_)),
            ) => element_place(*method),
            _ => None,
        };
        let arguments = self.items(arguments)?;
        let cache = self.cache();
        Ok(Expr::CallMethod(Box::new(MethodCall { object, method, arguments, optional, lazy, cache })))
    }

    /// `a?.b`, `a?.[b]`, `a?.b(..)`, `f?.(..)`: links do not end the chain here, as members of nothing are undefined.
    pub(super) fn optional(&mut self, node: &Optional) -> Compiled<Expr> {
        if self.hangs_on_nothing(node.target()) {
            return Ok(Expr::Null);
        }
        let mut chain = node.chain().iter().peekable();
        let is_engine = self.free_name(node.target()).is_some_and(|name| names::is_engine_object(&name));
        if is_engine {
            return refuse("an optional call of this kind", node.span());
        }
        let called = match chain.peek().map(|first| first.kind()) {
            Some(OptionalOperationKind::Call { args }) => self.called_reference(node, args)?,
            _ => None,
        };
        let mut after_call = called.is_some();
        let mut at = if let Some(called) = called {
            chain.next();
            called
        } else if self.is_document(node.target()) {
            let field = chain.next().map(|first| first.kind());
            match (field, chain.peek().map(|next| next.kind())) {
                (_, Some(OptionalOperationKind::Call { .. })) => {
                    return refuse("a call of a field of the document", node.span());
                }
                (Some(OptionalOperationKind::SimplePropertyAccess { field }), _) => {
                    self.link_of(node.target(), field)?
                }
                _ => return refuse("the document as a whole", node.span()),
            }
        } else {
            self.expression(node.target())?
        };
        let mut begin = true;
        while let Some(operation) = chain.next() {
            at = match operation.kind() {
                OptionalOperationKind::SimplePropertyAccess { field } => match chain.peek() {
                    Some(next) if matches!(next.kind(), OptionalOperationKind::Call { .. }) => {
                        let optional = next.shorted();
                        let OptionalOperationKind::Call { args } = next.kind() else { continue };
                        chain.next();
                        after_call = true;
                        begin = false;
                        at = self.method_call(at, field, args, (optional, false))?;
                        continue;
                    }
                    _ => self.link(or_undefined(at), field)?,
                },
                OptionalOperationKind::PrivatePropertyAccess { .. } => {
                    return refuse("a private member", operation.span());
                }
                OptionalOperationKind::Call { args } => {
                    let optional = begin && !after_call && operation.shorted();
                    let arguments = self.items(args)?;
                    after_call = true;
                    Expr::Call(Box::new(Call { callee: at, arguments, optional }))
                }
            };
            begin = false;
        }
        Ok(at)
    }

    /// `a.b?.(..)`: the member is read first, and the arguments are left alone when it is nothing.
    fn called_reference(&mut self, node: &Optional, arguments: &[Expression]) -> Compiled<Option<Expr>> {
        let Expression::PropertyAccess(access) = node.target().flatten() else { return Ok(None) };
        let PropertyAccess::Simple(simple) = access else { return refuse("a private member", node.span()) };
        let is_engine = self.free_name(simple.target()).is_some_and(|name| names::is_engine_object(&name));
        if is_engine || self.is_document(simple.target()) {
            return refuse("an optional call of this kind", node.span());
        }
        let object = self.expression(simple.target())?;
        self.method_call(object, simple.field(), arguments, (true, true)).map(Some)
    }

    /// `new X(..)`
    pub(super) fn construct(&mut self, node: &New) -> Compiled<Expr> {
        let Some(name) = self.free_name(node.constructor()) else {
            return refuse("new of a class of the script", node.span());
        };
        let constructor = match &*name {
            "Map" => Constructor::Map,
            "Set" => Constructor::Set,
            "Date" => Constructor::Date,
            "Array" => Constructor::List,
            other => match ErrorKind::named(other) {
                Some(kind) => Constructor::Error(kind),
                None => return refuse(&format!("new {other}"), node.span()),
            },
        };
        Ok(Expr::New(constructor, self.items(node.arguments())?))
    }
}
