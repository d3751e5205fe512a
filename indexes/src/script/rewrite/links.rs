//! Member access and calls: where `null` and `undefined` are forgiven.

use super::Writer;
use super::expressions::Level;
use super::scope::Meaning;
use crate::function::FunctionError;
use crate::script::dialect::{self, names};
use boa_ast::expression::access::{PropertyAccess, PropertyAccessField};
use boa_ast::expression::{Call, Optional, OptionalOperationKind};
use boa_ast::{Expression, Spanned};
use boa_interner::Sym;

type Written = Result<(), FunctionError>;

impl Writer<'_> {
    /// Reads a member.
    pub(super) fn member(&mut self, access: &PropertyAccess) -> Written {
        if let PropertyAccess::Simple(simple) = access {
            if self.hangs_on_nothing(simple.target()) {
                return self.nothing(simple.target());
            }
            self.mark(access.span(), None);
            self.expression(simple.target(), Level::Link)?;
            let optional = self.may_be_missing(simple.target());
            return self.link(simple.field(), optional);
        }
        self.reference(access)
    }

    /// Writes a member as something that can be assigned, updated or deleted: its last link is not optional.
    pub(super) fn reference(&mut self, access: &PropertyAccess) -> Written {
        self.mark(access.span(), None);
        match access {
            PropertyAccess::Simple(simple) => {
                self.owner(simple.target())?;
                self.link(simple.field(), false)
            }
            PropertyAccess::Private(private) => {
                self.owner(private.target())?;
                self.put(".");
                self.private_name(private.field().description());
                Ok(())
            }
            PropertyAccess::Super(access) => {
                self.put("super");
                self.link(access.field(), false)
            }
        }
    }

    /// An assignment target cannot contain an optional link, unless parentheses end the chain before it.
    fn owner(&mut self, target: &Expression) -> Written {
        if matches!(target.flatten(), Expression::Identifier(_) | Expression::This(_)) {
            return self.expression(target, Level::Link);
        }
        self.put("(");
        self.expression(target, Level::Comma)?;
        self.put(")");
        Ok(())
    }

    fn link(&mut self, field: &PropertyAccessField, optional: bool) -> Written {
        match field {
            PropertyAccessField::Const(name) => {
                if let Some(text) = self.interner.resolve(name.sym()) {
                    let units = text.utf16().to_vec();
                    self.named_link(&text.to_string(), &units, optional);
                }
            }
            PropertyAccessField::Expr(expression) => {
                self.put(if optional { "?.[" } else { "[" });
                self.expression(expression, Level::Comma)?;
                self.put("]");
            }
        }
        Ok(())
    }

    /// Whether a chain begins with a name that nothing declares, so that all of it is `null`.
    fn hangs_on_nothing(&self, expression: &Expression) -> bool {
        match expression.flatten() {
            Expression::Identifier(name) => {
                self.meaning(name.sym()) == Meaning::Free && {
                    let text = self.text_of(name.sym());
                    !names::is_known(&text) && names::refused(&text).is_none()
                }
            }
            Expression::PropertyAccess(PropertyAccess::Simple(simple)) => self.hangs_on_nothing(simple.target()),
            Expression::Call(call) => self.hangs_on_nothing(call.function()),
            Expression::Optional(optional) => self.hangs_on_nothing(optional.target()),
            _ => false,
        }
    }

    fn nothing(&mut self, expression: &Expression) -> Written {
        self.mark(expression.span(), None);
        self.put("null");
        Ok(())
    }

    /// Whether the value could be `null` or `undefined`. Literals and the engine's own globals cannot.
    fn may_be_missing(&self, target: &Expression) -> bool {
        match target.flatten() {
            Expression::Identifier(name) => {
                self.meaning(name.sym()) != Meaning::Free || !names::is_engine_object(&self.text_of(name.sym()))
            }
            Expression::ArrayLiteral(_)
            | Expression::ObjectLiteral(_)
            | Expression::FunctionExpression(_)
            | Expression::ArrowFunction(_)
            | Expression::TemplateLiteral(_)
            | Expression::RegExpLiteral(_)
            | Expression::New(_) => false,
            Expression::Literal(literal) => literal.as_string().is_none(),
            _ => true,
        }
    }

    pub(super) fn call(&mut self, node: &Call) -> Written {
        let callee = node.function().flatten();
        if self.hangs_on_nothing(callee) {
            return self.nothing(callee);
        }
        self.check_dialect_call(node, callee)?;
        if self.calls_user_code(callee, node.args()) {
            self.note_load_call();
        }
        let registers = self.registers(callee);
        match callee {
            Expression::PropertyAccess(PropertyAccess::Simple(simple)) => {
                let method = self.method_name(simple.field());
                self.mark(node.span(), method.as_deref());
                self.expression(simple.target(), Level::Link)?;
                self.mark(simple.field().span(), method.as_deref());
                let optional = self.may_be_missing(simple.target());
                self.link(simple.field(), optional)?;
                self.mark(simple.field().span(), method.as_deref());
            }
            Expression::PropertyAccess(access) => self.reference(access)?,
            Expression::Identifier(name) => {
                self.mark(node.span(), Some(&self.text_of(name.sym())));
                let declared = self.meaning(name.sym()) != Meaning::Free;
                self.read(*name)?;
                if declared {
                    self.put("?.");
                }
            }
            Expression::FunctionExpression(_) | Expression::ArrowFunction(_) => {
                self.mark(node.span(), None);
                self.put("(");
                self.expression(callee, Level::Comma)?;
                self.put(")");
            }
            other => {
                self.mark(node.span(), None);
                self.expression(other, Level::Link)?;
                self.put("?.");
            }
        }
        self.call_arguments(node, registers)
    }

    fn call_arguments(&mut self, node: &Call, registers: bool) -> Written {
        if registers {
            self.registered += 1;
        }
        let written = match self.projected_members(node) {
            Some(members) => self.member_map(node, &members),
            None => self.arguments(node.args()),
        };
        if registers {
            self.registered -= 1;
        }
        written
    }

    fn method_name(&self, field: &PropertyAccessField) -> Option<String> {
        match field {
            PropertyAccessField::Const(name) => Some(self.text_of(name.sym())),
            PropertyAccessField::Expr(_) => None,
        }
    }

    /// Whether the callee is a free name with this text.
    fn is_free(&self, expression: &Expression, name: &str) -> bool {
        match expression.flatten() {
            Expression::Identifier(identifier) => {
                self.meaning(identifier.sym()) == Meaning::Free && self.text_of(identifier.sym()) == name
            }
            _ => false,
        }
    }

    /// Whether the call registers functions of the index: `map(..)`, `groupBy(..)`, `groupBy(..).aggregate(..)`.
    fn registers(&self, callee: &Expression) -> bool {
        if self.is_free(callee, names::MAP) || self.is_free(callee, names::GROUP_BY) {
            return true;
        }
        match callee {
            Expression::PropertyAccess(PropertyAccess::Simple(simple)) => match simple.target().flatten() {
                Expression::Call(call) => self.is_free(call.function(), names::GROUP_BY),
                _ => false,
            },
            _ => false,
        }
    }

    /// Whether a call made while the scripts are loaded may run functions of the scripts.
    fn calls_user_code(&self, callee: &Expression, arguments: &[Expression]) -> bool {
        if self.scopes.depth > 0 || self.registers(callee) {
            return false;
        }
        let root_is_engine = match callee {
            Expression::Identifier(name) => {
                self.meaning(name.sym()) == Meaning::Free && names::is_engine_object(&self.text_of(name.sym()))
            }
            Expression::PropertyAccess(PropertyAccess::Simple(simple)) => match simple.target().flatten() {
                Expression::Identifier(name) => {
                    let text = self.text_of(name.sym());
                    self.meaning(name.sym()) == Meaning::Free && names::is_engine_object(&text) && text != "Reflect"
                }
                Expression::Literal(_) | Expression::ArrayLiteral(_) | Expression::TemplateLiteral(_) => true,
                _ => false,
            },
            _ => false,
        };
        let plain_target = |argument: &Expression| match argument.flatten() {
            Expression::FunctionExpression(_) | Expression::ArrowFunction(_) => false,
            Expression::Identifier(name) => self.meaning(name.sym()) == Meaning::Free || self.is_object_helper(callee),
            _ => true,
        };
        !(root_is_engine && arguments.iter().all(plain_target))
    }

    /// `Object.freeze(X)` and its like take names but call nothing.
    fn is_object_helper(&self, callee: &Expression) -> bool {
        match callee {
            Expression::PropertyAccess(PropertyAccess::Simple(simple)) => {
                self.is_free(simple.target(), "Object")
                    && self.method_name(simple.field()).is_some_and(|name| {
                        matches!(name.as_str(), "freeze" | "keys" | "values" | "entries" | "assign" | "create")
                    })
            }
            _ => false,
        }
    }

    /// Refuses calls of the dialect that are not there.
    fn check_dialect_call(&self, node: &Call, callee: &Expression) -> Written {
        if self.is_free(callee, "load") && node.args().len() != 2 {
            return self.refuse(
                format!(
                    "load method is expecting two arguments, the first should be the document and the second should be \
                     the collection. e.g. load(u.Product,'Products') but was invoked with {} arguments.",
                    node.args().len()
                ),
                node.span(),
            );
        }
        Ok(())
    }

    /// For `map('Users', u => u.name, ..)`: the member names, if all functions are that simple.
    fn projected_members(&self, node: &Call) -> Option<Vec<Sym>> {
        if !self.is_free(node.function(), names::MAP) {
            return None;
        }
        let functions = node.args().get(1..)?;
        functions.iter().map(dialect::simple_member).collect::<Option<Vec<_>>>().filter(|members| !members.is_empty())
    }

    /// Writes the arguments of such a `map`: one function that gives an object.
    fn member_map(&mut self, node: &Call, members: &[Sym]) -> Written {
        self.put("(");
        if let Some(collection) = node.args().first() {
            self.expression(collection, Level::Assignment)?;
        }
        self.put(",(__magpie_document)=>{return {");
        for (member, function) in members.iter().zip(node.args().iter().skip(1)) {
            if let Some(text) = self.interner.resolve(*member) {
                let key = super::quoted(text.utf16());
                self.put(&key);
            }
            self.put(":(");
            self.expression(function, Level::Comma)?;
            self.put(")(__magpie_document),");
        }
        self.put("};})");
        Ok(())
    }

    pub(super) fn optional(&mut self, node: &Optional) -> Written {
        if self.hangs_on_nothing(node.target()) {
            return self.nothing(node.target());
        }
        self.note_load_call();
        self.mark(node.span(), None);
        self.expression(node.target(), Level::Link)?;
        let mut after_member = false;
        for operation in node.chain() {
            match operation.kind() {
                OptionalOperationKind::SimplePropertyAccess { field } => {
                    let method = self.method_name(field);
                    self.mark(operation.span(), method.as_deref());
                    self.link(field, true)?;
                    after_member = true;
                }
                OptionalOperationKind::PrivatePropertyAccess { field } => {
                    self.put("?.");
                    self.private_name(field.description());
                    after_member = true;
                }
                OptionalOperationKind::Call { args } => {
                    // A method that a real value does not have is an error; anything else that is missing is not.
                    if operation.shorted() || !after_member {
                        self.put("?.");
                    }
                    self.arguments(args)?;
                    after_member = false;
                }
            }
        }
        Ok(())
    }
}
