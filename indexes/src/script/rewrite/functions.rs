//! Functions and classes.

use super::Writer;
use super::expressions::Level;
use super::scope::function_names;
use crate::function::FunctionError;
use crate::script::dialect::names;
use boa_ast::expression::literal::ObjectMethodDefinition;
use boa_ast::function::{
    ClassElement, ClassElementName, ClassFieldDefinition, ClassMethodDefinition, FormalParameterList,
    FunctionBody, FunctionExpression,
};
use boa_ast::property::MethodDefinitionKind;
use boa_ast::{Expression, Span, Spanned};
use boa_interner::Sym;
use std::collections::HashSet;

type Written = Result<(), FunctionError>;

impl Writer<'_> {
    /// Writes parameters and body of a function whose keyword and name are written already.
    pub(super) fn function(
        &mut self,
        parameters: &FormalParameterList,
        body: &FunctionBody,
        arrow: bool,
    ) -> Written {
        self.scopes.enter_function(function_names(parameters, body, arrow));
        self.temporaries.push(false);
        self.put("(");
        for (index, parameter) in parameters.as_ref().iter().enumerate() {
            if index > 0 {
                self.put(",");
            }
            if parameter.is_rest_param() {
                self.put("...");
            }
            self.variable(parameter.variable())?;
        }
        self.put(if arrow { ")=>{" } else { "){" });
        let step = self.begin_step();
        if super::text::grows(body, self.big_ints) {
            self.put("let ");
            self.put(super::text::TEMPORARY);
            self.put(";");
            if let Some(declared) = self.temporaries.last_mut() {
                *declared = true;
            }
        }
        self.statements(body.statement_list())?;
        self.end_step(step);
        self.put("}");
        self.temporaries.pop();
        self.scopes.leave_function();
        Ok(())
    }

    pub(super) fn function_expression(&mut self, node: &FunctionExpression) -> Written {
        self.put("function");
        match node.name() {
            // Without a binding of its own the name was only inferred from the place it is assigned to.
            Some(name) if node.has_binding_identifier() => {
                self.scopes.enter(HashSet::from([name.sym()]));
                self.put(" ");
                self.name(name.sym(), name.span())?;
                let written = self.function(node.parameters(), node.body(), false);
                self.scopes.leave();
                written
            }
            _ => self.function(node.parameters(), node.body(), false),
        }
    }

    pub(super) fn object_method(&mut self, node: &ObjectMethodDefinition) -> Written {
        self.method_prefix(node.kind())?;
        self.property_name(node.name())?;
        self.function(node.parameters(), node.body(), false)
    }

    fn method_prefix(&mut self, kind: MethodDefinitionKind) -> Written {
        match kind {
            MethodDefinitionKind::Ordinary => {}
            MethodDefinitionKind::Get => {
                self.note_load_call();
                self.put("get ");
            }
            MethodDefinitionKind::Set => self.put("set "),
            MethodDefinitionKind::Generator => return self.refuse_generator(None::<Span>),
            MethodDefinitionKind::Async | MethodDefinitionKind::AsyncGenerator => {
                return self.refuse_async(None::<Span>);
            }
        }
        Ok(())
    }

    /// Writes heritage and body of a class whose keyword and name are written already.
    pub(super) fn class(
        &mut self,
        name: Option<Sym>,
        heritage: Option<&Expression>,
        constructor: Option<&FunctionExpression>,
        elements: &[ClassElement],
    ) -> Written {
        self.scopes.enter(name.into_iter().collect());
        if let Some(heritage) = heritage {
            self.put(" extends ");
            self.put(names::MADE);
            self.put("(");
            self.expression(heritage, Level::Assignment)?;
            self.put(")");
        }
        self.put("{");
        if let Some(constructor) = constructor {
            self.put("constructor");
            self.function(constructor.parameters(), constructor.body(), false)?;
        }
        for element in elements {
            self.class_element(element)?;
        }
        self.put("}");
        self.scopes.leave();
        Ok(())
    }

    fn class_element(&mut self, element: &ClassElement) -> Written {
        match element {
            ClassElement::MethodDefinition(method) => self.class_method(method),
            ClassElement::FieldDefinition(field) => self.instance_field(field),
            ClassElement::StaticFieldDefinition(field) => {
                self.put("static ");
                self.property_name(field.name())?;
                self.initializer(field.initializer(), false)
            }
            ClassElement::PrivateFieldDefinition(field) => {
                self.note_hidden_field(field.name().span());
                self.private_name(field.name().description());
                self.initializer(field.initializer(), true)
            }
            ClassElement::PrivateStaticFieldDefinition(field) => {
                self.refuse("static private fields are not supported in an index", field.name().span())
            }
            ClassElement::StaticBlock(_) => {
                self.refuse("static blocks of classes are not supported in an index", None::<Span>)
            }
        }
    }

    fn instance_field(&mut self, field: &ClassFieldDefinition) -> Written {
        self.property_name(field.name())?;
        self.initializer(field.initializer(), true)
    }

    /// The initializer of an instance field runs in the constructor, that of a static field while the class is made.
    fn initializer(&mut self, value: Option<&Expression>, instance: bool) -> Written {
        if let Some(value) = value {
            self.put("=");
            if instance {
                self.scopes.enter_function(HashSet::new());
            }
            self.temporaries.push(false);
            let written = self.expression(value, Level::Assignment);
            self.temporaries.pop();
            if instance {
                self.scopes.leave_function();
            }
            written?;
        }
        self.put(";");
        Ok(())
    }

    fn class_method(&mut self, method: &ClassMethodDefinition) -> Written {
        if method.is_static() {
            self.put("static ");
        }
        self.method_prefix(method.kind())?;
        match method.name() {
            ClassElementName::PropertyName(name) => self.property_name(name)?,
            ClassElementName::PrivateName(name) => self.private_name(name.description()),
        }
        self.function(method.parameters(), method.body(), false)
    }

    pub(super) fn private_name(&mut self, name: Sym) {
        let text = self.text_of(name);
        self.put("#");
        self.put(&text);
    }

    pub(super) fn refuse_generator(&self, span: impl Into<Option<Span>>) -> Written {
        self.refuse("generator functions are not supported in an index", span)
    }

    pub(super) fn refuse_async(&self, span: impl Into<Option<Span>>) -> Written {
        self.refuse("async functions are not supported in an index: a promise is not an output", span)
    }
}
