//! Expressions, except for members and calls.

use super::links::or_undefined;
use super::{Compiled, Compiler, refuse};
use crate::script::compiled::convert::Arithmetic;
use crate::script::compiled::program::{
    Assign, Class, Comparison, Count, Expr, Item, Logical, Property, TemplatePart, Update,
};
use crate::script::compiled::regex::Pattern;
use crate::script::compiled::value::ErrorKind;
use crate::script::dialect::names;
use boa_ast::expression::access::{PropertyAccess, PropertyAccessField};
use boa_ast::expression::literal::{
    ArrayLiteral, Literal, LiteralKind, ObjectLiteral, PropertyDefinition, TemplateElement, TemplateLiteral,
};
use boa_ast::expression::operator::assign::{AssignOp, AssignTarget};
use boa_ast::expression::operator::binary::{ArithmeticOp, BinaryOp, BitwiseOp, LogicalOp, RelationalOp};
use boa_ast::expression::operator::unary::UnaryOp;
use boa_ast::expression::operator::update::{UpdateOp, UpdateTarget};
use boa_ast::expression::operator::{self as node};
use boa_ast::expression::{Identifier, RegExpLiteral};
use boa_ast::property::{MethodDefinitionKind, PropertyName};
use boa_ast::{Expression, Spanned};

impl Compiler<'_> {
    pub(super) fn expression(&mut self, expression: &Expression) -> Compiled<Expr> {
        self.enter_node(Some(expression.span()))?;
        let made = self.bare(expression.flatten());
        self.leave_node();
        made
    }

    fn bare(&mut self, expression: &Expression) -> Compiled<Expr> {
        match expression {
            Expression::Identifier(name) => self.read(*name),
            Expression::Literal(literal) => self.literal(literal),
            Expression::RegExpLiteral(regex) => self.regex(regex),
            Expression::ArrayLiteral(array) => self.array(array),
            Expression::ObjectLiteral(object) => self.object(object),
            Expression::FunctionExpression(node) => {
                let own = node.has_binding_identifier().then(|| node.name().map(Identifier::sym)).flatten();
                Ok(Expr::Function(self.inner_function(node.parameters(), node.body(), own)?))
            }
            Expression::ArrowFunction(node) => {
                Ok(Expr::Function(self.inner_function(node.parameters(), node.body(), None)?))
            }
            Expression::TemplateLiteral(template) => self.template(template),
            Expression::PropertyAccess(access) => self.member(access),
            Expression::New(node) => self.construct(node),
            Expression::Call(node) => self.call(node),
            Expression::Optional(node) => self.optional(node),
            Expression::Assign(node) => self.assign(node),
            Expression::Unary(node) => self.unary(node),
            Expression::Update(node) => self.update(node),
            Expression::Binary(node) => self.binary(node),
            Expression::Conditional(node) => {
                let condition = self.expression(node.condition())?;
                let then = self.expression(node.if_true())?;
                let other = self.expression(node.if_false())?;
                Ok(Expr::Conditional(Box::new((condition, then, other))))
            }
            Expression::Parenthesized(node) => self.expression(node.expression()),
            Expression::This(node) => refuse("this", node.span()),
            Expression::ClassExpression(_) => refuse("a class", expression.span()),
            Expression::TaggedTemplate(_) => refuse("a tagged template", expression.span()),
            other => refuse("an expression of this kind", other.span()),
        }
    }

    fn literal(&self, literal: &Literal) -> Compiled<Expr> {
        Ok(match literal.kind() {
            LiteralKind::String(text) => {
                let units =
                    self.interner.resolve(*text).map(|text| text.utf16().to_vec()).unwrap_or_default();
                match String::from_utf16(&units) {
                    Ok(text) if text.is_ascii() => Expr::Ascii(text.into()),
                    Ok(text) => Expr::Text(text.into()),
                    Err(_) => Expr::Units(units.into()),
                }
            }
            LiteralKind::Num(value) => Expr::Number(*value),
            LiteralKind::Int(value) => Expr::Number(f64::from(*value)),
            LiteralKind::BigInt(value) => Expr::Big(value.to_string().into()),
            LiteralKind::Bool(value) => Expr::Bool(*value),
            LiteralKind::Null => Expr::Null,
            LiteralKind::Undefined => Expr::Undefined,
        })
    }

    fn regex(&mut self, regex: &RegExpLiteral) -> Compiled<Expr> {
        let pattern = self.text(regex.pattern())?;
        let flags = self.text(regex.flags())?;
        let Some(pattern) = Pattern::compile(&pattern, &flags) else {
            return refuse("a regular expression of this kind", regex.span());
        };
        self.program.patterns.push(pattern);
        Ok(Expr::Pattern(u32::try_from(self.program.patterns.len() - 1).unwrap_or(u32::MAX)))
    }

    fn array(&mut self, array: &ArrayLiteral) -> Compiled<Expr> {
        let mut items = Vec::new();
        for element in array.as_ref() {
            items.push(match element.as_ref().map(Expression::flatten) {
                None => return refuse("an array with holes", array.span()),
                Some(Expression::Spread(spread)) => Item::Spread(self.expression(spread.target())?),
                Some(element) => Item::One(self.expression(element)?),
            });
        }
        Ok(Expr::List(items.into()))
    }

    fn object(&mut self, object: &ObjectLiteral) -> Compiled<Expr> {
        let mut properties = Vec::new();
        for property in object.properties() {
            properties.push(match property {
                PropertyDefinition::IdentifierReference(name) => {
                    let text = self.text(name.sym())?;
                    Property::Named(self.property(text), self.read(*name)?)
                }
                PropertyDefinition::Property(PropertyName::Literal(name), value) => {
                    let text = self.text(name.sym())?;
                    Property::Named(self.property(text), self.expression(value)?)
                }
                PropertyDefinition::Property(PropertyName::Computed(name), value) => {
                    Property::Computed(self.expression(name)?, self.expression(value)?)
                }
                PropertyDefinition::SpreadObject(value) => Property::Spread(self.expression(value)?),
                PropertyDefinition::MethodDefinition(method) => {
                    let Some(name) = method.name().literal() else {
                        return refuse("a method with a computed name", object.span());
                    };
                    if method.kind() != MethodDefinitionKind::Ordinary {
                        return refuse("a getter or setter", name.span());
                    }
                    let text = self.text(name.sym())?;
                    let function = self.inner_function(method.parameters(), method.body(), None)?;
                    Property::Named(self.property(text), Expr::Function(function))
                }
                PropertyDefinition::CoverInitializedName(name, _) => {
                    return refuse("a default value outside of a pattern", name.span());
                }
            });
        }
        Ok(self.record_or_object(properties))
    }

    /// Objects whose names are known and distinct get their shape once.
    fn record_or_object(&mut self, properties: Vec<Property>) -> Expr {
        let mut names: Vec<Box<str>> = Vec::new();
        for property in &properties {
            match property {
                Property::Named(name, _) if !names.contains(&name.text) => names.push(name.text.clone()),
                _ => return Expr::Object(properties.into()),
            }
        }
        let values = properties.into_iter().filter_map(|property| match property {
            Property::Named(_, value) => Some(value),
            _ => None,
        });
        let values = values.collect();
        let literal = u32::try_from(self.program.literals.len()).unwrap_or(u32::MAX);
        self.program.literals.push(names.into());
        Expr::Record(literal, values)
    }

    fn template(&mut self, template: &TemplateLiteral) -> Compiled<Expr> {
        let mut parts = Vec::new();
        for element in template.elements() {
            match element {
                TemplateElement::String(text) => {
                    let text = self.text(*text)?;
                    if !text.is_empty() {
                        parts.push(TemplatePart::Text(text));
                    }
                }
                TemplateElement::Expr(expression) => {
                    parts.push(TemplatePart::Value(self.expression(expression)?));
                }
            }
        }
        Ok(Expr::Template(parts.into()))
    }

    fn assign(&mut self, node: &node::Assign) -> Compiled<Expr> {
        let place = match node.lhs() {
            AssignTarget::Pattern(pattern) => {
                let target = self.pattern(pattern, true)?;
                let value = self.expression(node.rhs())?;
                return Ok(Expr::Destructure(Box::new((target, value))));
            }
            AssignTarget::Identifier(name) => self.name_place(*name)?,
            AssignTarget::Access(access) => self.access_place(access)?,
        };
        let value = self.expression(node.rhs())?;
        let update = |operator, place, value| Expr::Update(Box::new(Update { place, operator, value }));
        let when = |logical, place, value| Expr::AssignWhen(Box::new((logical, place, value)));
        Ok(match node.op() {
            AssignOp::Assign => Expr::Assign(Box::new(Assign { place, value })),
            AssignOp::Add => update(None, place, value),
            AssignOp::Sub => update(Some(Arithmetic::Subtract), place, value),
            AssignOp::Mul => update(Some(Arithmetic::Multiply), place, value),
            AssignOp::Div => update(Some(Arithmetic::Divide), place, value),
            AssignOp::Mod => update(Some(Arithmetic::Remainder), place, value),
            AssignOp::Exp => update(Some(Arithmetic::Power), place, value),
            AssignOp::And => update(Some(Arithmetic::And), place, value),
            AssignOp::Or => update(Some(Arithmetic::Or), place, value),
            AssignOp::Xor => update(Some(Arithmetic::Xor), place, value),
            AssignOp::Shl => update(Some(Arithmetic::ShiftLeft), place, value),
            AssignOp::Shr => update(Some(Arithmetic::ShiftRight), place, value),
            AssignOp::Ushr => update(Some(Arithmetic::ShiftRightUnsigned), place, value),
            AssignOp::BoolAnd => when(Logical::And, place, value),
            AssignOp::BoolOr => when(Logical::Or, place, value),
            AssignOp::Coalesce => when(Logical::Coalesce, place, value),
        })
    }

    fn unary(&mut self, node: &node::Unary) -> Compiled<Expr> {
        let target = node.target().flatten();
        match node.op() {
            UnaryOp::TypeOf => {
                if let Some(name) = self.free_name(target) {
                    return match &*name {
                        "undefined" => Ok(Expr::Ascii("undefined".into())),
                        "NaN" | "Infinity" => Ok(Expr::Ascii("number".into())),
                        name if names::is_known(name) || names::refused(name).is_some() => {
                            refuse("typeof of a global", node.span())
                        }
                        _ => Ok(Expr::Ascii("undefined".into())),
                    };
                }
                let target = match self.expression(target)? {
                    Expr::Member(mut member) => {
                        member.object = or_undefined(member.object);
                        Expr::Member(member)
                    }
                    Expr::Index(sides) => Expr::Index(Box::new((or_undefined(sides.0), sides.1))),
                    other => other,
                };
                Ok(Expr::TypeOf(Box::new(target)))
            }
            UnaryOp::Delete => self.delete(target),
            UnaryOp::Minus => Ok(Expr::Negate(Box::new(self.expression(target)?))),
            UnaryOp::Plus => Ok(Expr::ToNumber(Box::new(self.expression(target)?))),
            UnaryOp::Not => Ok(Expr::Not(Box::new(self.expression(target)?))),
            UnaryOp::Tilde => Ok(Expr::BitNot(Box::new(self.expression(target)?))),
            UnaryOp::Void => Ok(Expr::Void(Box::new(self.expression(target)?))),
        }
    }

    fn delete(&mut self, target: &Expression) -> Compiled<Expr> {
        let Expression::PropertyAccess(PropertyAccess::Simple(simple)) = target else {
            return refuse("delete of this kind", target.span());
        };
        let object = self.expression(simple.target())?;
        match simple.field() {
            PropertyAccessField::Const(name) => {
                let name = self.text(name.sym())?;
                Ok(Expr::DeleteMember(Box::new((object, self.property(name)))))
            }
            PropertyAccessField::Expr(key) => {
                let key = self.expression(key)?;
                Ok(Expr::DeleteIndex(Box::new((object, key))))
            }
        }
    }

    fn update(&mut self, node: &node::Update) -> Compiled<Expr> {
        let place = match node.target() {
            UpdateTarget::Identifier(name) => self.name_place(*name)?,
            UpdateTarget::PropertyAccess(access) => self.access_place(access)?,
        };
        let (by, prefix) = match node.op() {
            UpdateOp::IncrementPre => (1.0, true),
            UpdateOp::IncrementPost => (1.0, false),
            UpdateOp::DecrementPre => (-1.0, true),
            UpdateOp::DecrementPost => (-1.0, false),
        };
        Ok(Expr::Count(Box::new(Count { place, by, prefix })))
    }

    fn binary(&mut self, node: &node::Binary) -> Compiled<Expr> {
        if node.op() == BinaryOp::Relational(RelationalOp::InstanceOf) {
            let class = self.class(node.rhs())?;
            return Ok(Expr::InstanceOf(class, Box::new(self.expression(node.lhs())?)));
        }
        let sides = Box::new((self.expression(node.lhs())?, self.expression(node.rhs())?));
        Ok(match node.op() {
            BinaryOp::Arithmetic(op) => match op {
                ArithmeticOp::Add => Expr::Add(sides),
                ArithmeticOp::Sub => Expr::Arithmetic(Arithmetic::Subtract, sides),
                ArithmeticOp::Mul => Expr::Arithmetic(Arithmetic::Multiply, sides),
                ArithmeticOp::Div => Expr::Arithmetic(Arithmetic::Divide, sides),
                ArithmeticOp::Mod => Expr::Arithmetic(Arithmetic::Remainder, sides),
                ArithmeticOp::Exp => Expr::Arithmetic(Arithmetic::Power, sides),
            },
            BinaryOp::Bitwise(op) => Expr::Arithmetic(
                match op {
                    BitwiseOp::And => Arithmetic::And,
                    BitwiseOp::Or => Arithmetic::Or,
                    BitwiseOp::Xor => Arithmetic::Xor,
                    BitwiseOp::Shl => Arithmetic::ShiftLeft,
                    BitwiseOp::Shr => Arithmetic::ShiftRight,
                    BitwiseOp::UShr => Arithmetic::ShiftRightUnsigned,
                },
                sides,
            ),
            BinaryOp::Relational(op) => {
                let comparison = match op {
                    RelationalOp::Equal => Comparison::Equal,
                    RelationalOp::NotEqual => Comparison::NotEqual,
                    RelationalOp::StrictEqual => Comparison::Same,
                    RelationalOp::StrictNotEqual => Comparison::NotSame,
                    RelationalOp::LessThan => Comparison::Less,
                    RelationalOp::LessThanOrEqual => Comparison::LessOrEqual,
                    RelationalOp::GreaterThan => Comparison::Greater,
                    RelationalOp::GreaterThanOrEqual => Comparison::GreaterOrEqual,
                    RelationalOp::In => return Ok(Expr::In(sides)),
                    RelationalOp::InstanceOf => return refuse("instanceof", node.lhs().span()),
                };
                Expr::Compare(comparison, sides)
            }
            BinaryOp::Logical(LogicalOp::And) => Expr::Logic(Logical::And, sides),
            BinaryOp::Logical(LogicalOp::Or) => Expr::Logic(Logical::Or, sides),
            BinaryOp::Logical(LogicalOp::Coalesce) => Expr::Logic(Logical::Coalesce, sides),
            BinaryOp::Comma => Expr::Comma(sides),
        })
    }

    fn class(&mut self, expression: &Expression) -> Compiled<Class> {
        let name = self.free_name(expression);
        Ok(match name.as_deref() {
            Some("Object") => Class::Object,
            Some("Array") => Class::List,
            Some("Date") => Class::Date,
            Some("Map") => Class::Map,
            Some("Set") => Class::Set,
            Some("RegExp") => Class::RegExp,
            Some("Function") => Class::Function,
            Some(name) if ErrorKind::named(name).is_some() => {
                Class::Error(ErrorKind::named(name).unwrap_or(ErrorKind::Error))
            }
            _ => return refuse("instanceof of a class of the script", expression.span()),
        })
    }
}
