//! Destructuring patterns, in declarations and in assignments.

use super::expressions::Level;
use super::{Writer, quoted};
use crate::function::FunctionError;
use boa_ast::expression::Identifier;
use boa_ast::pattern::{ArrayPattern, ArrayPatternElement, ObjectPattern, ObjectPatternElement, Pattern};
use boa_ast::property::PropertyName;
use boa_ast::{Expression, Spanned};

type Written = Result<(), FunctionError>;

impl Writer<'_> {
    /// Writes a pattern; `declares` tells a declaration from an assignment.
    pub(super) fn pattern(&mut self, pattern: &Pattern, declares: bool) -> Written {
        match pattern {
            Pattern::Object(object) => self.object_pattern(object, declares),
            Pattern::Array(array) => self.array_pattern(array, declares),
        }
    }

    fn object_pattern(&mut self, pattern: &ObjectPattern, declares: bool) -> Written {
        self.put("{");
        for element in pattern.bindings() {
            match element {
                ObjectPatternElement::SingleName { name, ident, default_init } => {
                    self.property_name(name)?;
                    self.put(":");
                    self.target_name(*ident, declares)?;
                    self.default_value(default_init.as_ref())?;
                }
                ObjectPatternElement::RestProperty { ident } => {
                    self.put("...");
                    self.target_name(*ident, declares)?;
                }
                ObjectPatternElement::AssignmentPropertyAccess { name, access, default_init } => {
                    self.property_name(name)?;
                    self.put(":");
                    self.reference(access)?;
                    self.default_value(default_init.as_ref())?;
                }
                ObjectPatternElement::AssignmentRestPropertyAccess { access } => {
                    self.put("...");
                    self.reference(access)?;
                }
                ObjectPatternElement::Pattern { name, pattern, default_init } => {
                    self.property_name(name)?;
                    self.put(":");
                    self.pattern(pattern, declares)?;
                    self.default_value(default_init.as_ref())?;
                }
            }
            if !matches!(
                element,
                ObjectPatternElement::RestProperty { .. } | ObjectPatternElement::AssignmentRestPropertyAccess { .. }
            ) {
                self.put(",");
            }
        }
        self.put("}");
        Ok(())
    }

    fn array_pattern(&mut self, pattern: &ArrayPattern, declares: bool) -> Written {
        self.put("[");
        for (index, element) in pattern.bindings().iter().enumerate() {
            if index > 0 {
                self.put(",");
            }
            match element {
                // An elision at the end needs its own comma, which does no harm elsewhere in last place.
                ArrayPatternElement::Elision => {
                    if index + 1 == pattern.bindings().len() {
                        self.put(",");
                    }
                }
                ArrayPatternElement::SingleName { ident, default_init } => {
                    self.target_name(*ident, declares)?;
                    self.default_value(default_init.as_ref())?;
                }
                ArrayPatternElement::PropertyAccess { access, default_init } => {
                    self.reference(access)?;
                    self.default_value(default_init.as_ref())?;
                }
                ArrayPatternElement::Pattern { pattern, default_init } => {
                    self.pattern(pattern, declares)?;
                    self.default_value(default_init.as_ref())?;
                }
                ArrayPatternElement::SingleNameRest { ident } => {
                    self.put("...");
                    self.target_name(*ident, declares)?;
                }
                ArrayPatternElement::PropertyAccessRest { access } => {
                    self.put("...");
                    self.reference(access)?;
                }
                ArrayPatternElement::PatternRest { pattern } => {
                    self.put("...");
                    self.pattern(pattern, declares)?;
                }
            }
        }
        self.put("]");
        Ok(())
    }

    fn target_name(&mut self, name: Identifier, declares: bool) -> Written {
        if !declares {
            self.check_assignment(name.sym(), name.span())?;
            self.note_capture(name.sym(), name.span());
        }
        self.name(name.sym(), name.span())
    }

    fn default_value(&mut self, value: Option<&Expression>) -> Written {
        if let Some(value) = value {
            self.put("=");
            self.expression(value, Level::Assignment)?;
        }
        Ok(())
    }

    /// Writes a property's name in an object literal, a pattern or a class: quoted, or computed in brackets.
    pub(super) fn property_name(&mut self, name: &PropertyName) -> Written {
        match name {
            PropertyName::Literal(name) => {
                if let Some(text) = self.interner.resolve(name.sym()) {
                    self.put(&quoted(text.utf16()));
                }
                Ok(())
            }
            PropertyName::Computed(expression) => {
                self.put("[");
                self.expression(expression, Level::Assignment)?;
                self.put("]");
                Ok(())
            }
        }
    }
}
