//! Member access and calls: where `null` and `undefined` are forgiven.

use super::expressions::Level;
use super::scope::Meaning;
use super::{Writer, position};
use crate::function::FunctionError;
use crate::script::dialect::{self, names};
use crate::script::errors::arguments_error;
use crate::script::parse::Role;
use boa_ast::expression::access::{PropertyAccess, PropertyAccessField, SimplePropertyAccess};
use boa_ast::expression::{Call, Optional, OptionalOperation, OptionalOperationKind};
use boa_ast::{Expression, Span, Spanned};
use boa_interner::Sym;

type Written = Result<(), FunctionError>;

impl Writer<'_> {
    /// Reads a member.
    pub(super) fn member(&mut self, access: &PropertyAccess) -> Written {
        match access {
            PropertyAccess::Simple(simple) if self.has_way(simple) => {
                self.put("(");
                self.links(simple)?;
                self.put(" ?? ");
                self.put(names::WAY);
                self.put("(");
                self.way(simple)?;
                self.put("))");
                Ok(())
            }
            _ => self.last_link(access),
        }
    }

    /// Reads a member of what may be missing, or names it for `delete` and `typeof`.
    pub(super) fn last_link(&mut self, access: &PropertyAccess) -> Written {
        if let PropertyAccess::Simple(simple) = access {
            if self.hangs_on_nothing(simple.target()) {
                return self.nothing(simple.target());
            }
            let argument = self.is_argument_of_patch(simple.target());
            if argument {
                self.put("(");
            }
            self.forgiving(simple.target(), names::NONE)?;
            self.link(simple.field())?;
            if argument {
                self.or_else("null");
            }
            return Ok(());
        }
        self.reference(access)
    }

    /// Whether a member is the end of a chain of two or more that can be gone along twice: it begins with a variable and
    /// its names are in the text or in variables. Whether something on its way is missing is told apart there.
    fn has_way(&self, simple: &SimplePropertyAccess) -> bool {
        !matches!(self.role, Role::Query | Role::Patch)
            && is_plain_name(simple.field())
            && matches!(simple.target().flatten(), Expression::PropertyAccess(_))
            && self.is_plain(simple.target())
    }

    fn is_plain(&self, target: &Expression) -> bool {
        match target.flatten() {
            Expression::Identifier(name) => self.meaning(name.sym()) != Meaning::Free,
            Expression::PropertyAccess(PropertyAccess::Simple(simple)) => {
                is_plain_name(simple.field()) && self.is_plain(simple.target())
            }
            _ => false,
        }
    }

    /// The links of such a chain, each with its substitute.
    fn links(&mut self, simple: &SimplePropertyAccess) -> Written {
        self.put("(");
        match simple.target().flatten() {
            Expression::PropertyAccess(PropertyAccess::Simple(inner)) => self.links(inner)?,
            target => self.expression(target, Level::BitOr)?,
        }
        self.or_else(names::NONE);
        self.link(simple.field())
    }

    /// The variable and the names of such a chain, as arguments.
    fn way(&mut self, simple: &SimplePropertyAccess) -> Written {
        match simple.target().flatten() {
            Expression::PropertyAccess(PropertyAccess::Simple(inner)) => self.way(inner)?,
            target => self.expression(target, Level::Assignment)?,
        }
        self.put(",");
        match simple.field() {
            PropertyAccessField::Const(name) => {
                if let Some(text) = self.interner.resolve(name.sym()) {
                    let key = super::quoted(text.utf16());
                    self.put(&key);
                }
                Ok(())
            }
            PropertyAccessField::Expr(expression) => self.expression(expression, Level::Assignment),
        }
    }

    /// Writes a value of which a member will be read or called, or the substitute when it is null or undefined.
    ///
    /// Not an optional chain: the engine knows no positions inside of those.
    fn forgiving(&mut self, target: &Expression, substitute: &str) -> Written {
        if !self.may_be_missing(target) {
            return self.expression(target, Level::Link);
        }
        self.put("(");
        self.expression(target, Level::BitOr)?;
        self.or_else(substitute);
        Ok(())
    }

    /// Ends what an opening parenthesis began.
    fn or_else(&mut self, substitute: &str) {
        self.put(" ?? ");
        self.put(substitute);
        self.put(")");
    }

    /// Whether this is the `args` of a patch, of which a missing one reads as null.
    fn is_argument_of_patch(&self, target: &Expression) -> bool {
        match target.flatten() {
            Expression::Identifier(name) if self.role == Role::Patch => {
                self.meaning(name.sym()) == Meaning::Declared { depth: 1 }
                    && self.text_of(name.sym()) == "args"
            }
            _ => false,
        }
    }

    /// Writes a member as something that can be assigned, updated or deleted: its last link is not optional.
    pub(super) fn reference(&mut self, access: &PropertyAccess) -> Written {
        self.mark(access.span(), None);
        match access {
            PropertyAccess::Simple(simple) => {
                self.owner(simple.target())?;
                self.link(simple.field())
            }
            PropertyAccess::Private(private) => {
                self.owner(private.target())?;
                self.put(".");
                self.private_name(private.field().description());
                Ok(())
            }
            PropertyAccess::Super(access) => {
                self.put("super");
                self.link(access.field())
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

    fn link(&mut self, field: &PropertyAccessField) -> Written {
        match field {
            PropertyAccessField::Const(name) => {
                if let Some(text) = self.interner.resolve(name.sym()) {
                    let units = text.utf16().to_vec();
                    let text = text.to_string();
                    // The engine reports the place of the name.
                    self.mark(name.span(), None);
                    self.named_link(&text, &units);
                }
            }
            PropertyAccessField::Expr(expression) => {
                self.put("[");
                self.mark(expression.span(), None);
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
                    !self.is_known(&text) && self.refused(&text).is_none()
                }
            }
            Expression::PropertyAccess(PropertyAccess::Simple(simple)) => {
                self.hangs_on_nothing(simple.target())
            }
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
                self.meaning(name.sym()) != Meaning::Free
                    || !names::is_engine_object(&self.text_of(name.sym()))
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
        let method = match callee {
            Expression::PropertyAccess(PropertyAccess::Simple(simple)) => {
                if self.loads(callee) {
                    self.note_load(self.loaded_collection(node), node.span())?;
                    self.put(names::NO_TRACKING);
                } else {
                    self.forgiving(simple.target(), names::METHODS)?;
                }
                self.link(simple.field())?;
                self.method_name(simple.field())
            }
            Expression::PropertyAccess(access) => {
                self.reference(access)?;
                None
            }
            Expression::Identifier(_) if self.loads(callee) => {
                self.note_load(self.loaded_collection(node), node.span())?;
                self.put(names::LOAD);
                None
            }
            Expression::Identifier(name) if self.meaning(name.sym()) == Meaning::Free => {
                self.read(*name)?;
                None
            }
            Expression::FunctionExpression(_) | Expression::ArrowFunction(_) => {
                self.put("(");
                self.expression(callee, Level::Comma)?;
                self.put(")");
                None
            }
            other => {
                self.put("(");
                self.expression(other, Level::BitOr)?;
                self.or_else(names::NOTHING);
                None
            }
        };
        // The engine reports the place of the arguments; users look for the name before them.
        self.mark(callee_span(callee), method.as_deref());
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

    /// Whether the call registers functions of the index: `map(..)`, `groupBy(..)`, and `.aggregate(..)` and
    /// `.finalize(..)` behind it.
    fn registers(&self, callee: &Expression) -> bool {
        if self.is_free(callee, names::MAP) || self.is_free(callee, names::GROUP_BY) {
            return true;
        }
        match callee.flatten() {
            Expression::PropertyAccess(PropertyAccess::Simple(simple)) => match simple.target().flatten() {
                Expression::Call(call) => {
                    !self.is_free(call.function(), names::MAP) && self.registers(call.function())
                }
                _ => false,
            },
            _ => false,
        }
    }

    /// Whether the callee is `load` or `noTracking.load`.
    fn loads(&self, callee: &Expression) -> bool {
        match callee {
            Expression::PropertyAccess(PropertyAccess::Simple(simple)) => {
                self.is_free(simple.target(), names::NO_TRACKING)
                    && self.method_name(simple.field()).as_deref() == Some(names::LOAD)
            }
            other => self.is_free(other, names::LOAD),
        }
    }

    /// The collection that a load names by a literal.
    fn loaded_collection(&self, node: &Call) -> Option<String> {
        match node.args().get(1)?.flatten() {
            Expression::Literal(literal) => literal.as_string().map(|name| self.text_of(name)),
            _ => None,
        }
    }

    /// Whether a call made while the scripts are loaded may run functions of the scripts.
    fn calls_user_code(&self, callee: &Expression, arguments: &[Expression]) -> bool {
        if self.scopes.depth > 0 || self.registers(callee) {
            return false;
        }
        let root_is_engine = match callee {
            Expression::Identifier(name) => {
                self.meaning(name.sym()) == Meaning::Free
                    && names::is_engine_object(&self.text_of(name.sym()))
            }
            Expression::PropertyAccess(PropertyAccess::Simple(simple)) => match simple.target().flatten() {
                Expression::Identifier(name) => {
                    let text = self.text_of(name.sym());
                    self.meaning(name.sym()) == Meaning::Free
                        && names::is_engine_object(&text)
                        && text != "Reflect"
                }
                Expression::Literal(_) | Expression::ArrayLiteral(_) | Expression::TemplateLiteral(_) => true,
                _ => false,
            },
            _ => false,
        };
        let plain_target = |argument: &Expression| match argument.flatten() {
            Expression::FunctionExpression(_) | Expression::ArrowFunction(_) => false,
            Expression::Identifier(name) => {
                self.meaning(name.sym()) == Meaning::Free || self.is_object_helper(callee)
            }
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
                        matches!(
                            name.as_str(),
                            "freeze" | "keys" | "values" | "entries" | "assign" | "create"
                        )
                    })
            }
            _ => false,
        }
    }

    /// Refuses calls of the dialect that are not there.
    fn check_dialect_call(&self, node: &Call, callee: &Expression) -> Written {
        if self.role == Role::Query {
            return Ok(());
        }
        if self.role != Role::Patch && self.loads(callee) && node.args().len() != 2 {
            return Err(arguments_error(
                format!(
                    "load method is expecting two arguments, the first should be the document and the second should be \
                     the collection. e.g. load(u.Product,'Products') but was invoked with {} arguments.",
                    node.args().len()
                ),
                Some(position(node.span())),
            ));
        }
        Ok(())
    }

    /// For `map('Users', u => u.name, ..)`: the member names, if all functions are that simple.
    fn projected_members(&self, node: &Call) -> Option<Vec<Sym>> {
        if !self.is_free(node.function(), names::MAP) {
            return None;
        }
        let functions = node.args().get(1..)?;
        functions
            .iter()
            .map(dialect::simple_member)
            .collect::<Option<Vec<_>>>()
            .filter(|members| !members.is_empty())
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
        let chain = node.chain();
        let wraps: Vec<Option<&str>> = (0..chain.len()).map(|index| substitute(chain, index)).collect();
        wraps.iter().flatten().for_each(|_| self.put("("));
        let wrapped = wraps.first().is_some_and(Option::is_some);
        self.expression(node.target(), if wrapped { Level::BitOr } else { Level::Link })?;
        for (operation, substitute) in chain.iter().zip(wraps) {
            if let Some(substitute) = substitute {
                self.or_else(substitute);
            }
            match operation.kind() {
                OptionalOperationKind::SimplePropertyAccess { field } => {
                    self.link(field)?;
                    let method = self.method_name(field);
                    self.mark(operation.span(), method.as_deref());
                }
                OptionalOperationKind::PrivatePropertyAccess { field } => {
                    self.put("?.");
                    self.private_name(field.description());
                }
                OptionalOperationKind::Call { args } => {
                    if substitute.is_none() && operation.shorted() {
                        self.put("?.");
                    }
                    self.arguments(args)?;
                }
            }
        }
        Ok(())
    }
}

/// Whether a member's name is in the text or in a variable.
fn is_plain_name(field: &PropertyAccessField) -> bool {
    match field {
        PropertyAccessField::Const(_) => true,
        PropertyAccessField::Expr(key) => {
            matches!(key.flatten(), Expression::Literal(_) | Expression::Identifier(_))
        }
    }
}

/// What a link of an optional chain is applied to instead of null and undefined; `None` when it follows a property and
/// must keep it as its `this`, or needs no substitute.
fn substitute(chain: &[OptionalOperation], index: usize) -> Option<&'static str> {
    let after_property = index
        .checked_sub(1)
        .and_then(|before| chain.get(before))
        .is_some_and(|before| matches!(before.kind(), OptionalOperationKind::SimplePropertyAccess { .. }));
    let call_follows =
        chain.get(index + 1).is_some_and(|next| matches!(next.kind(), OptionalOperationKind::Call { .. }));
    match chain.get(index)?.kind() {
        OptionalOperationKind::SimplePropertyAccess { .. } if call_follows => Some(names::METHODS),
        OptionalOperationKind::SimplePropertyAccess { .. } => Some(names::NONE),
        OptionalOperationKind::PrivatePropertyAccess { .. } => None,
        OptionalOperationKind::Call { .. } if after_property || index == 0 => None,
        OptionalOperationKind::Call { .. } => Some(names::NOTHING),
    }
}

/// Where users look for a call: at the method's name, or at the called expression.
fn callee_span(callee: &Expression) -> Span {
    match callee {
        Expression::PropertyAccess(PropertyAccess::Simple(simple)) => simple.field().span(),
        other => other.span(),
    }
}
