//! Destructuring patterns and the places that can be assigned.

use super::scopes::Meaning;
use super::{Compiled, Compiler, refuse};
use crate::script::compiled::program::{
    Expr, ListPattern, Member, Name, PatternKey, PatternMember, Place, RecordPattern, Target,
};
use crate::script::compiled::record::INHERITED;
use boa_ast::Spanned;
use boa_ast::expression::access::{PropertyAccess, PropertyAccessField};
use boa_ast::expression::{Expression, Identifier};
use boa_ast::pattern::{ArrayPattern, ArrayPatternElement, ObjectPattern, ObjectPatternElement, Pattern};
use boa_ast::property::PropertyName;

impl Compiler<'_> {
    /// A name of a property.
    pub(super) fn property(&self, text: Box<str>) -> Name {
        let inherited = INHERITED.contains(&&*text);
        let is_length = &*text == "length";
        Name { text, inherited, is_length }
    }

    /// A variable as something that is assigned.
    pub(super) fn name_place(&mut self, name: Identifier) -> Compiled<Place> {
        match self.meaning(name)? {
            Meaning::Variable { variable, constant: false } => Ok(Place::Variable(variable)),
            Meaning::Variable { variable, constant: true } => Ok(Place::Constant(variable)),
            _ => refuse("an assignment to a name that is no variable of a function", name.span()),
        }
    }

    /// A member as something that is assigned.
    pub(super) fn access_place(&mut self, access: &PropertyAccess) -> Compiled<Place> {
        let PropertyAccess::Simple(simple) = access else {
            return refuse("a private or inherited member", access.span());
        };
        let object = self.expression(simple.target())?;
        match simple.field() {
            PropertyAccessField::Const(name) => {
                let name = self.text(name.sym())?;
                Ok(Place::Member(Box::new(Member { object, name: self.property(name), cache: self.cache() })))
            }
            PropertyAccessField::Expr(key) => {
                let key = self.expression(key)?;
                Ok(Place::Index(Box::new((object, key))))
            }
        }
    }

    /// A pattern.
    pub(super) fn pattern(&mut self, pattern: &Pattern, assigns: bool) -> Compiled<Target> {
        self.enter_node(Some(pattern.span()))?;
        let made = match pattern {
            Pattern::Object(object) => self.object_pattern(object, assigns),
            Pattern::Array(array) => self.array_pattern(array, assigns),
        };
        self.leave_node();
        made
    }

    fn default(&mut self, value: Option<&Expression>) -> Compiled<Option<Expr>> {
        value.map(|value| self.expression(value)).transpose()
    }

    fn pattern_key(&mut self, name: &PropertyName) -> Compiled<PatternKey> {
        match name {
            PropertyName::Literal(name) => {
                let text = self.text(name.sym())?;
                let cache = self.cache();
                Ok(PatternKey::Named(self.property(text), cache))
            }
            PropertyName::Computed(expression) => Ok(PatternKey::Computed(self.expression(expression)?)),
        }
    }

    fn object_pattern(&mut self, pattern: &ObjectPattern, assigns: bool) -> Compiled<Target> {
        let mut members = Vec::new();
        let mut rest = None;
        for element in pattern.bindings() {
            let (name, target, default) = match element {
                ObjectPatternElement::SingleName { name, ident, default_init } => {
                    (name, self.name_target(*ident, assigns)?, default_init)
                }
                ObjectPatternElement::AssignmentPropertyAccess { name, access, default_init } => {
                    (name, Target::Place(self.access_place(access)?), default_init)
                }
                ObjectPatternElement::Pattern { name, pattern, default_init } => {
                    (name, self.pattern(pattern, assigns)?, default_init)
                }
                ObjectPatternElement::RestProperty { ident } => {
                    rest = Some(self.name_target(*ident, assigns)?);
                    continue;
                }
                ObjectPatternElement::AssignmentRestPropertyAccess { access } => {
                    return refuse("a member that takes the rest of an object", access.span());
                }
            };
            let key = self.pattern_key(name)?;
            let default = self.default(default.as_ref())?;
            members.push(PatternMember { key, target, default });
        }
        Ok(Target::Record(Box::new(RecordPattern { members: members.into(), rest })))
    }

    fn array_pattern(&mut self, pattern: &ArrayPattern, assigns: bool) -> Compiled<Target> {
        let mut elements = Vec::new();
        let mut rest = None;
        for element in pattern.bindings() {
            let (target, default) = match element {
                ArrayPatternElement::Elision => {
                    elements.push(None);
                    continue;
                }
                ArrayPatternElement::SingleName { ident, default_init } => {
                    (self.name_target(*ident, assigns)?, default_init)
                }
                ArrayPatternElement::PropertyAccess { access, default_init } => {
                    (Target::Place(self.access_place(access)?), default_init)
                }
                ArrayPatternElement::Pattern { pattern, default_init } => {
                    (self.pattern(pattern, assigns)?, default_init)
                }
                ArrayPatternElement::SingleNameRest { ident } => {
                    rest = Some(self.name_target(*ident, assigns)?);
                    continue;
                }
                ArrayPatternElement::PropertyAccessRest { access } => {
                    rest = Some(Target::Place(self.access_place(access)?));
                    continue;
                }
                ArrayPatternElement::PatternRest { pattern } => {
                    rest = Some(self.pattern(pattern, assigns)?);
                    continue;
                }
            };
            let default = self.default(default.as_ref())?;
            elements.push(Some((target, default)));
        }
        Ok(Target::List(Box::new(ListPattern { elements: elements.into(), rest })))
    }
}
