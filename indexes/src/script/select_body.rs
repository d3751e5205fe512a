//! What the body of a query's `select { .. }` may not contain, as in the original, which reads the fields that it uses from
//! its syntax tree and refuses the trees that it cannot read: spread, destructuring outside of parameters, classes as
//! values, generators, `await`, tagged templates, `import()`, and members of names that it does not know. All of it may
//! stand in a declared function.
//!
//! It knows the names of the query, the objects in [`KNOWN`] and, from where they are met, the plain parameters of arrow
//! functions, function expressions and methods; variables, parameters with a default and those of declarations not.

use super::errors::definition_error;
use crate::function::{FunctionError, Position};
use boa_ast::declaration::{Binding, Variable};
use boa_ast::expression::access::{PropertyAccessField, SimplePropertyAccess};
use boa_ast::expression::literal::PropertyDefinition;
use boa_ast::expression::operator::Assign;
use boa_ast::expression::operator::assign::AssignTarget;
use boa_ast::expression::{
    Await, Expression, Identifier, ImportCall, Optional, OptionalOperationKind, Spread, TaggedTemplate, Yield,
};
use boa_ast::function::{
    AsyncFunctionDeclaration, AsyncGeneratorDeclaration, ClassExpression, FormalParameter,
    FormalParameterList, FunctionDeclaration, GeneratorDeclaration,
};
use boa_ast::statement::iteration::IterableLoopInitializer;
use boa_ast::visitor::{VisitWith, Visitor};
use boa_ast::{Span, Spanned, Statement, StatementListItem};
use boa_interner::{Interner, Sym};
use std::collections::HashSet;
use std::ops::ControlFlow;

/// The objects whose members may be taken.
const KNOWN: [&str; 7] = ["Math", "Object", "Array", "Date", "Number", "console", "spatial"];

/// Checks the result of a query's function, which is the last statement of the only arrow function in `tree`. `names` are
/// those of the query.
///
/// # Errors
/// A definition error that names the first construct which is not allowed, with its place.
pub(super) fn check(
    tree: &boa_ast::Script,
    names: &[&str],
    interner: &Interner,
) -> Result<(), FunctionError> {
    let Some(result) = result_of(tree) else { return Ok(()) };
    let mut reader = Reader { known: names.iter().map(|name| (*name).to_owned()).collect(), interner };
    reader.known.extend(KNOWN.map(str::to_owned));
    match reader.visit_expression(result) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break((construct, place)) => {
            let place = Position { line: place.start().line_number(), column: place.start().column_number() };
            let message = format!(
                "{construct} cannot stand in the body of a select: put it into a function with declare function and call \
                 that"
            );
            Err(definition_error(message, Some(place)))
        }
    }
}

/// What the function returns.
fn result_of(tree: &boa_ast::Script) -> Option<&Expression> {
    let StatementListItem::Statement(statement) = tree.statements().statements().last()? else { return None };
    let Statement::Expression(Expression::Call(map)) = &**statement else { return None };
    let Expression::ArrowFunction(function) = map.args().last()?.flatten() else { return None };
    let StatementListItem::Statement(last) = function.body().statements().last()? else { return None };
    match &**last {
        Statement::Return(result) => result.target(),
        _ => None,
    }
}

struct Reader<'i> {
    known: HashSet<String>,
    interner: &'i Interner,
}

/// The construct and its place.
type Refused = ControlFlow<(String, Span)>;

fn refuse(construct: impl Into<String>, node: &impl Spanned) -> Refused {
    ControlFlow::Break((construct.into(), node.span()))
}

impl Reader<'_> {
    fn text(&self, name: Sym) -> String {
        self.interner.resolve(name).map(|text| text.to_string()).unwrap_or_default()
    }

    /// Refuses the member of a name that is not known.
    fn member_of(&self, target: &Expression, field: &PropertyAccessField) -> Refused {
        let Expression::Identifier(name) = target.flatten() else { return ControlFlow::Continue(()) };
        let name = self.text(name.sym());
        if self.known.contains(&name) {
            return ControlFlow::Continue(());
        }
        let member = match field {
            PropertyAccessField::Const(field) => format!("{name}.{}", self.text(field.sym())),
            PropertyAccessField::Expr(_) => format!("{name}[..]"),
        };
        refuse(format!("{member}, the member of what is no name of the query,"), target)
    }

    /// Looks at the defaults of parameters, in which there may be anything.
    fn defaults(&mut self, parameters: &FormalParameterList) -> Refused {
        for parameter in parameters.as_ref() {
            self.visit_formal_parameter(parameter)?;
        }
        ControlFlow::Continue(())
    }
}

impl<'ast> Visitor<'ast> for Reader<'_> {
    type BreakTy = (String, Span);

    fn visit_spread(&mut self, node: &'ast Spread) -> Refused {
        refuse("spread (...)", node)
    }

    fn visit_property_definition(&mut self, node: &'ast PropertyDefinition) -> Refused {
        match node {
            PropertyDefinition::SpreadObject(spread) => refuse("spread (...)", spread),
            _ => node.visit_with(self),
        }
    }

    fn visit_binding(&mut self, node: &'ast Binding) -> Refused {
        match node {
            Binding::Pattern(pattern) => refuse("destructuring", pattern),
            Binding::Identifier(_) => node.visit_with(self),
        }
    }

    fn visit_assign(&mut self, node: &'ast Assign) -> Refused {
        match node.lhs() {
            AssignTarget::Pattern(pattern) => refuse("destructuring", pattern),
            _ => node.visit_with(self),
        }
    }

    fn visit_iterable_loop_initializer(&mut self, node: &'ast IterableLoopInitializer) -> Refused {
        match node {
            IterableLoopInitializer::Pattern(pattern) => refuse("destructuring", pattern),
            _ => node.visit_with(self),
        }
    }

    fn visit_class_expression(&mut self, node: &'ast ClassExpression) -> Refused {
        refuse("a class as a value", node)
    }

    fn visit_yield(&mut self, node: &'ast Yield) -> Refused {
        refuse("yield", node)
    }

    fn visit_await(&mut self, node: &'ast Await) -> Refused {
        refuse("await", node)
    }

    fn visit_tagged_template(&mut self, node: &'ast TaggedTemplate) -> Refused {
        refuse("a template with a tag", node)
    }

    fn visit_import_call(&mut self, node: &'ast ImportCall) -> Refused {
        refuse("import()", node)
    }

    fn visit_simple_property_access(&mut self, node: &'ast SimplePropertyAccess) -> Refused {
        self.member_of(node.target(), node.field())?;
        node.visit_with(self)
    }

    fn visit_optional(&mut self, node: &'ast Optional) -> Refused {
        if let Some(first) = node.chain().first()
            && let OptionalOperationKind::SimplePropertyAccess { field } = first.kind()
        {
            self.member_of(node.target(), field)?;
        }
        node.visit_with(self)
    }

    fn visit_formal_parameter_list(&mut self, node: &'ast FormalParameterList) -> Refused {
        for parameter in node.as_ref() {
            if let (Binding::Identifier(name), None, false) =
                (parameter.variable().binding(), parameter.init(), parameter.is_rest_param())
            {
                self.known.insert(self.text(name.sym()));
            }
        }
        self.defaults(node)
    }

    fn visit_formal_parameter(&mut self, node: &'ast FormalParameter) -> Refused {
        let variable: &Variable = node.variable();
        if let Binding::Pattern(pattern) = variable.binding() {
            pattern.visit_with(self)?;
        }
        match node.init() {
            Some(default) => self.visit_expression(default),
            None => ControlFlow::Continue(()),
        }
    }

    fn visit_function_declaration(&mut self, node: &'ast FunctionDeclaration) -> Refused {
        self.defaults(node.parameters())?;
        self.visit_function_body(node.body())
    }

    fn visit_async_function_declaration(&mut self, node: &'ast AsyncFunctionDeclaration) -> Refused {
        self.defaults(node.parameters())?;
        self.visit_function_body(node.body())
    }

    fn visit_generator_declaration(&mut self, node: &'ast GeneratorDeclaration) -> Refused {
        self.defaults(node.parameters())?;
        self.visit_function_body(node.body())
    }

    fn visit_async_generator_declaration(&mut self, node: &'ast AsyncGeneratorDeclaration) -> Refused {
        self.defaults(node.parameters())?;
        self.visit_function_body(node.body())
    }

    fn visit_identifier(&mut self, _: &'ast Identifier) -> Refused {
        ControlFlow::Continue(())
    }
}
