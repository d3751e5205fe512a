//! Expressions, with parentheses by precedence.

use super::operators::{Treatment, binary_level};
use super::scope::Meaning;
use super::{Writer, escape, is_plain_name, quoted};
use crate::function::FunctionError;
use crate::limits::SCRIPT_BIG_INT_BITS_MAX;
use crate::script::dialect::names;
use crate::script::parse::Role;
use crate::script::regex_guard;
use boa_ast::expression::literal::{
    ArrayLiteral, Literal, LiteralKind, ObjectLiteral, PropertyDefinition, TemplateElement, TemplateLiteral,
};
use boa_ast::expression::operator::Conditional;
use boa_ast::expression::operator::update::UpdateOp;
use boa_ast::expression::{Identifier, New, RegExpLiteral, TaggedTemplate};
use boa_ast::{Expression, Spanned};

type Written = Result<(), FunctionError>;

/// How tightly an expression binds, from the loosest to the tightest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Comma,
    Assignment,
    Conditional,
    Coalesce,
    Or,
    And,
    BitOr,
    BitXor,
    BitAnd,
    Equality,
    Relation,
    Shift,
    Sum,
    Product,
    Power,
    Unary,
    Postfix,
    Link,
    Primary,
}

impl Level {
    /// The level that the right side of a left-associative operator needs.
    pub(super) const fn tighter(self) -> Self {
        match self {
            Self::Comma => Self::Assignment,
            Self::Or => Self::And,
            Self::And => Self::BitOr,
            Self::BitOr => Self::BitXor,
            Self::BitXor => Self::BitAnd,
            Self::BitAnd => Self::Equality,
            Self::Equality => Self::Relation,
            Self::Relation => Self::Shift,
            Self::Shift => Self::Sum,
            Self::Sum => Self::Product,
            Self::Product => Self::Power,
            other => other,
        }
    }
}

impl Writer<'_> {
    /// Writes an expression for a place that needs at least this level.
    pub(super) fn expression(&mut self, expression: &Expression, level: Level) -> Written {
        let expression = expression.flatten();
        let parentheses = self.level_of(expression) < level;
        if parentheses {
            self.put("(");
        }
        self.bare(expression)?;
        if parentheses {
            self.put(")");
        }
        Ok(())
    }

    fn bare(&mut self, expression: &Expression) -> Written {
        match expression {
            Expression::This(_) => self.put("this"),
            Expression::Identifier(name) => self.read(*name)?,
            Expression::Literal(literal) => {
                if let LiteralKind::BigInt(value) = literal.kind()
                    && value.bits() > SCRIPT_BIG_INT_BITS_MAX
                {
                    return self.refuse(
                        format!(
                            "this BigInt has {} bits; at most {SCRIPT_BIG_INT_BITS_MAX} are allowed \
                             (script_big_int_bits_max)",
                            value.bits()
                        ),
                        literal.span(),
                    );
                }
                self.literal(literal);
            }
            Expression::RegExpLiteral(regex) => self.regex(regex)?,
            Expression::ArrayLiteral(array) => self.array(array)?,
            Expression::ObjectLiteral(object) => self.object(object)?,
            Expression::Spread(spread) => {
                self.put("...");
                self.put(names::ITERATE);
                self.mark(spread.target().span(), None);
                self.put("(");
                self.expression(spread.target(), Level::Assignment)?;
                self.put(")");
            }
            Expression::FunctionExpression(node) => self.function_expression(node)?,
            Expression::ArrowFunction(node) => self.function(node.parameters(), node.body(), true)?,
            Expression::ClassExpression(node) => {
                self.put("class");
                let name = node.name_scope().and(node.name());
                if let Some(name) = name {
                    self.put(" ");
                    self.name(name.sym(), name.span())?;
                }
                self.class(name.map(Identifier::sym), node.super_ref(), node.constructor(), node.elements())?;
            }
            Expression::TemplateLiteral(template) => self.template(template)?,
            Expression::PropertyAccess(access) => self.member(access)?,
            Expression::New(node) => self.construct(node)?,
            Expression::Call(node) => self.call(node)?,
            Expression::SuperCall(node) => {
                self.mark(node.span(), None);
                self.put("super");
                self.arguments(node.arguments())?;
            }
            Expression::Optional(node) => self.optional(node)?,
            Expression::TaggedTemplate(node) => self.tagged_template(node)?,
            Expression::NewTarget(_) => self.put("new.target"),
            Expression::Assign(node) => self.assign(node)?,
            Expression::Unary(node) => self.unary(node)?,
            Expression::Update(node) => self.update(node)?,
            Expression::Binary(node) => self.binary(node)?,
            Expression::BinaryInPrivate(node) => {
                self.put("(");
                self.private_name(node.lhs().description());
                self.put(" in ");
                self.expression(node.rhs(), Level::Shift)?;
                self.put(")");
            }
            Expression::Conditional(node) => self.conditional(node)?,
            Expression::Parenthesized(node) => self.expression(node.expression(), Level::Comma)?,
            other => return self.refuse_expression(other),
        }
        Ok(())
    }

    fn refuse_expression(&self, expression: &Expression) -> Written {
        match expression {
            Expression::GeneratorExpression(_) | Expression::Yield(_) => {
                self.refuse_generator(expression.span())
            }
            Expression::ImportCall(_) | Expression::ImportMeta(_) => {
                self.refuse("import is not supported in an index: use AdditionalSources", expression.span())
            }
            _ => self.refuse_async(expression.span()),
        }
    }

    /// Reads a name.
    pub(super) fn read(&mut self, name: Identifier) -> Written {
        match self.meaning(name.sym()) {
            Meaning::Declared { .. } => {
                self.note_capture(name.sym(), name.span());
                self.mark(name.span(), None);
                self.name(name.sym(), name.span())
            }
            Meaning::Free => {
                let text = self.text_of(name.sym());
                if let Some(reason) = self.refused(&text) {
                    return self.refuse(reason, name.span());
                }
                // Not called with a collection on the spot: it may load from any.
                if text == names::LOAD || text == names::NO_TRACKING {
                    self.note_load(None, name.span())?;
                }
                if self.role == Role::Patch
                    && let Some(argument) = text.strip_prefix('$').filter(|name| !name.is_empty())
                {
                    let units: Vec<u16> = argument.encode_utf16().collect();
                    self.put(&format!("(args[{}] ?? null)", quoted(&units)));
                    return Ok(());
                }
                self.put(if self.is_known(&text) { &text } else { "null" });
                Ok(())
            }
        }
    }

    fn literal(&mut self, literal: &Literal) {
        let text = match literal.kind() {
            LiteralKind::String(text) => {
                self.interner.resolve(*text).map(|t| quoted(t.utf16())).unwrap_or_default()
            }
            LiteralKind::Num(value) if value.is_finite() => format!("{value:?}"),
            LiteralKind::Num(_) => "1e999".to_owned(),
            LiteralKind::Int(value) => value.to_string(),
            LiteralKind::BigInt(value) => format!("{value}n"),
            LiteralKind::Bool(value) => value.to_string(),
            LiteralKind::Null => "null".to_owned(),
            LiteralKind::Undefined => "undefined".to_owned(),
        };
        self.put(&text);
    }

    fn regex(&mut self, regex: &RegExpLiteral) -> Written {
        let pattern = self.text_of(regex.pattern());
        if let Err(reason) = regex_guard::check(&pattern) {
            return self.refuse(reason, regex.span());
        }
        let flags = self.text_of(regex.flags());
        self.mark(regex.span(), None);
        self.put("/");
        self.put(&pattern);
        self.put("/");
        self.put(&flags);
        Ok(())
    }

    fn array(&mut self, array: &ArrayLiteral) -> Written {
        self.put("[");
        for element in array.as_ref() {
            if let Some(element) = element {
                self.expression(element, Level::Assignment)?;
            }
            self.put(",");
        }
        self.put("]");
        Ok(())
    }

    fn object(&mut self, object: &ObjectLiteral) -> Written {
        self.put("{");
        for property in object.properties() {
            match property {
                PropertyDefinition::IdentifierReference(name) => {
                    // In brackets, because a plain "__proto__" would set the prototype.
                    let key = self.text_of(name.sym());
                    self.put(&if key == "__proto__" {
                        "[\"__proto__\"]:".to_owned()
                    } else {
                        format!("\"{key}\":")
                    });
                    self.read(*name)?;
                }
                PropertyDefinition::Property(name, value) => {
                    if let Some(name) = name.literal()
                        && self.text_of(name.sym()) == "__proto__"
                    {
                        return self
                            .refuse("__proto__ is not available in an index: use a class", name.span());
                    }
                    self.property_name(name)?;
                    self.put(":");
                    self.expression(value, Level::Assignment)?;
                }
                PropertyDefinition::MethodDefinition(method) => self.object_method(method)?,
                PropertyDefinition::SpreadObject(value) => {
                    self.put("...");
                    self.expression(value, Level::Assignment)?;
                }
                PropertyDefinition::CoverInitializedName(name, _) => {
                    return self
                        .refuse("a default value is only allowed in a destructuring pattern", name.span());
                }
            }
            self.put(",");
        }
        self.put("}");
        Ok(())
    }

    /// `new X(..)`: what could be a class of the script is checked, and so are the arguments.
    fn construct(&mut self, node: &New) -> Written {
        self.note_load_call();
        self.mark(node.span(), None);
        self.put(names::MADE);
        self.put("(new (");
        self.expression(node.constructor(), Level::Comma)?;
        self.put(")");
        self.mark(node.constructor().span(), None);
        self.put("(");
        for argument in node.arguments() {
            match argument.flatten() {
                Expression::Spread(_) | Expression::Literal(_) => {
                    self.expression(argument, Level::Assignment)?
                }
                _ => {
                    self.put(names::LIST);
                    self.put("(");
                    self.expression(argument, Level::Assignment)?;
                    self.put(")");
                }
            }
            self.put(",");
        }
        self.put("))");
        Ok(())
    }

    fn template(&mut self, template: &TemplateLiteral) -> Written {
        let grows = template.elements().iter().any(|element| matches!(element, TemplateElement::Expr(_)));
        if grows {
            return self.checked(|writer| writer.plain_template(template));
        }
        self.plain_template(template)
    }

    /// The engine evaluates all values of a template before it makes text of the first one. Where evaluating a later one
    /// may change an earlier one, the earlier one stands in a template of its own, which is text at once.
    fn plain_template(&mut self, template: &TemplateLiteral) -> Written {
        self.put("`");
        let last_effect = template.elements().iter().rposition(super::text::may_have_effects);
        for (place, element) in template.elements().iter().enumerate() {
            let at_once = last_effect.is_some_and(|last| place < last);
            match element {
                TemplateElement::String(text) => {
                    if let Some(units) = self.interner.resolve(*text) {
                        let mut escaped = String::new();
                        escape(units.utf16(), &mut escaped, '`');
                        self.put(&escaped);
                    }
                }
                TemplateElement::Expr(expression) => {
                    self.put(if at_once { "${`${" } else { "${" });
                    self.expression(expression, Level::Comma)?;
                    self.put(if at_once { "}`}" } else { "}" });
                }
            }
        }
        self.put("`");
        Ok(())
    }

    fn tagged_template(&mut self, node: &TaggedTemplate) -> Written {
        self.note_load_call();
        self.mark(node.span(), None);
        self.put("(");
        self.expression(node.tag(), Level::Link)?;
        self.put(")`");
        for (index, raw) in node.raws().iter().enumerate() {
            let text = self.text_of(*raw);
            self.put(&text);
            if let Some(expression) = node.exprs().get(index) {
                self.put("${");
                self.expression(expression, Level::Comma)?;
                self.put("}");
            }
        }
        self.put("`");
        Ok(())
    }

    fn conditional(&mut self, node: &Conditional) -> Written {
        self.expression(node.condition(), Level::Coalesce)?;
        self.put(" ? ");
        self.expression(node.if_true(), Level::Assignment)?;
        self.put(" : ");
        self.expression(node.if_false(), Level::Assignment)
    }

    pub(super) fn arguments(&mut self, arguments: &[Expression]) -> Written {
        self.put("(");
        for (index, argument) in arguments.iter().enumerate() {
            if index > 0 {
                self.put(",");
            }
            self.expression(argument, Level::Assignment)?;
        }
        self.put(")");
        Ok(())
    }

    /// Writes `.name` or `["name"]`.
    pub(super) fn named_link(&mut self, name: &str, units: &[u16]) {
        if is_plain_name(name) {
            self.put(".");
            self.put(name);
        } else {
            self.put("[");
            self.put(&quoted(units));
            self.put("]");
        }
    }

    /// Remembers a call of user code outside of every function.
    pub(super) fn note_load_call(&mut self) {
        self.load_call |= self.scopes.depth == 0;
    }

    /// How tightly the text binds that this expression is written as.
    fn level_of(&self, expression: &Expression) -> Level {
        match expression {
            Expression::Binary(node) => match self.treatment(node) {
                Treatment::Plain => binary_level(node.op()),
                Treatment::Checked | Treatment::Call(..) => Level::Primary,
            },
            Expression::Assign(node) => match self.assign_treatment(node) {
                Treatment::Plain => Level::Assignment,
                Treatment::Checked | Treatment::Call(..) => Level::Primary,
            },
            Expression::ArrowFunction(_) | Expression::AsyncArrowFunction(_) | Expression::Yield(_) => {
                Level::Assignment
            }
            Expression::Conditional(_) => Level::Conditional,
            Expression::Unary(_) | Expression::Await(_) => Level::Unary,
            Expression::Update(node) => match node.op() {
                UpdateOp::IncrementPre | UpdateOp::DecrementPre => Level::Unary,
                UpdateOp::IncrementPost | UpdateOp::DecrementPost => Level::Postfix,
            },
            Expression::Call(_)
            | Expression::SuperCall(_)
            | Expression::New(_)
            | Expression::PropertyAccess(_)
            | Expression::Optional(_)
            | Expression::TaggedTemplate(_) => Level::Link,
            // A dot after digits would belong to the number.
            Expression::Literal(literal)
                if matches!(literal.kind(), LiteralKind::Int(_) | LiteralKind::Num(_)) =>
            {
                Level::Postfix
            }
            _ => Level::Primary,
        }
    }
}
