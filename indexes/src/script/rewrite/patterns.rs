//! Destructuring patterns, in declarations and in assignments.

use super::expressions::Level;
use super::{Writer, quoted};
use crate::function::FunctionError;
use crate::script::dialect::names;
use boa_ast::expression::Identifier;
use boa_ast::pattern::{ArrayPattern, ArrayPatternElement, ObjectPattern, ObjectPatternElement, Pattern};
use boa_ast::property::PropertyName;
use boa_ast::{Expression, Spanned};

type Written = Result<(), FunctionError>;

impl Writer<'_> {
    /// Writes a pattern; `declares` tells a declaration from an assignment.
    ///
    /// `checked` says that what is taken apart is checked before. Only then may an array pattern have a rest element:
    /// the engine would collect the rest of an array of any length without counting.
    pub(super) fn pattern(&mut self, pattern: &Pattern, declares: bool, checked: bool) -> Written {
        match pattern {
            Pattern::Object(object) => self.object_pattern(object, declares),
            Pattern::Array(array) => {
                let rest = array.bindings().last().is_some_and(|last| {
                    matches!(
                        last,
                        ArrayPatternElement::SingleNameRest { .. }
                            | ArrayPatternElement::PropertyAccessRest { .. }
                            | ArrayPatternElement::PatternRest { .. }
                    )
                });
                if rest && !checked {
                    return self.refuse(
                        "a rest element (...) in a nested array pattern or in a parameter is not supported in an index: \
                         write const [first, ...rest] = list",
                        pattern.span(),
                    );
                }
                self.array_pattern(array, declares)
            }
        }
    }

    /// Writes `pattern = value`.
    pub(super) fn destructure(&mut self, pattern: &Pattern, value: &Expression, declares: bool) -> Written {
        self.pattern(pattern, declares, true)?;
        self.put("=");
        self.mark(value.span(), None);
        match pattern {
            Pattern::Object(_) => self.expression(value, Level::Assignment),
            Pattern::Array(_) => {
                self.put(names::ITERATE);
                self.mark(value.span(), None);
                self.put("(");
                self.expression(value, Level::Assignment)?;
                self.put(")");
                Ok(())
            }
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
                    self.pattern(pattern, declares, false)?;
                    self.default_value(default_init.as_ref())?;
                }
            }
            if !matches!(
                element,
                ObjectPatternElement::RestProperty { .. }
                    | ObjectPatternElement::AssignmentRestPropertyAccess { .. }
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
                    self.pattern(pattern, declares, false)?;
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
                    self.pattern(pattern, declares, false)?;
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
