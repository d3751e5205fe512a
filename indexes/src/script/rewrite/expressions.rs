//! Expressions, with parentheses by precedence.

use super::scope::Meaning;
use super::text::is_number;
use super::{Writer, escape, is_plain_name, quoted};
use crate::function::FunctionError;
use crate::script::dialect::names;
use crate::script::regex_guard;
use boa_ast::expression::literal::{
    ArrayLiteral, Literal, LiteralKind, ObjectLiteral, PropertyDefinition, TemplateElement, TemplateLiteral,
};
use boa_ast::expression::operator::assign::{AssignOp, AssignTarget};
use boa_ast::expression::operator::binary::{ArithmeticOp, BinaryOp, BitwiseOp, LogicalOp, RelationalOp};
use boa_ast::expression::operator::unary::UnaryOp;
use boa_ast::expression::operator::update::{UpdateOp, UpdateTarget};
use boa_ast::expression::operator::{Assign, Binary, Conditional, Unary, Update};
use boa_ast::expression::{Identifier, New, RegExpLiteral, TaggedTemplate};
use boa_ast::{Expression, Spanned};

type Written = Result<(), FunctionError>;

/// The operator that also joins strings.
const ADD: BinaryOp = BinaryOp::Arithmetic(ArithmeticOp::Add);

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
    const fn tighter(self) -> Self {
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
        let parentheses = level_of(expression) < level;
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
                if matches!(literal.kind(), LiteralKind::BigInt(_)) {
                    return self.refuse("BigInt is not available in an index", literal.span());
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
                if let Some(reason) = names::refused(&text) {
                    return self.refuse(reason, name.span());
                }
                self.put(if names::is_known(&text) { &text } else { "null" });
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
            // Refused before.
            LiteralKind::BigInt(_) => "null".to_owned(),
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
            return self.checked_text(|writer| writer.plain_template(template));
        }
        self.plain_template(template)
    }

    fn plain_template(&mut self, template: &TemplateLiteral) -> Written {
        self.put("`");
        for element in template.elements() {
            match element {
                TemplateElement::String(text) => {
                    if let Some(units) = self.interner.resolve(*text) {
                        let mut escaped = String::new();
                        escape(units.utf16(), &mut escaped, '`');
                        self.put(&escaped);
                    }
                }
                TemplateElement::Expr(expression) => {
                    self.put("${");
                    self.expression(expression, Level::Comma)?;
                    self.put("}");
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

    fn assign(&mut self, node: &Assign) -> Written {
        self.mark(node.span(), None);
        match node.lhs() {
            // Parentheses are not allowed around a pattern itself; the assignment as a whole has them where needed.
            AssignTarget::Pattern(pattern) => self.destructure(pattern, node.rhs(), false),
            _ if node.op() == AssignOp::Add && !is_number(node.rhs()) => {
                self.checked_text(|writer| writer.plain_assign(node))
            }
            _ => self.plain_assign(node),
        }
    }

    fn plain_assign(&mut self, node: &Assign) -> Written {
        match node.lhs() {
            AssignTarget::Identifier(name) => {
                self.check_assignment(name.sym(), name.span())?;
                self.note_capture(name.sym(), name.span());
                self.name(name.sym(), name.span())?;
            }
            AssignTarget::Access(access) => self.reference(access)?,
            AssignTarget::Pattern(_) => {}
        }
        self.put(&node.op().to_string());
        self.expression(node.rhs(), Level::Assignment)
    }

    fn unary(&mut self, node: &Unary) -> Written {
        let target = node.target().flatten();
        self.put(&node.op().to_string());
        self.put(" ");
        match (node.op(), target) {
            // `typeof` of a name that nothing declares is "undefined", so it must stay a name.
            (UnaryOp::TypeOf, Expression::Identifier(name)) if self.meaning(name.sym()) == Meaning::Free => {
                let text = self.text_of(name.sym());
                self.put(&text);
                Ok(())
            }
            (UnaryOp::Delete, Expression::PropertyAccess(access)) => self.member(access),
            _ => self.expression(target, Level::Unary),
        }
    }

    fn update(&mut self, node: &Update) -> Written {
        let prefix = matches!(node.op(), UpdateOp::IncrementPre | UpdateOp::DecrementPre);
        let operator = node.op().to_string();
        self.mark(node.span(), None);
        if prefix {
            self.put(&operator);
        }
        match node.target() {
            UpdateTarget::Identifier(name) => {
                self.check_assignment(name.sym(), name.span())?;
                self.note_capture(name.sym(), name.span());
                self.name(name.sym(), name.span())?;
            }
            UpdateTarget::PropertyAccess(access) => self.reference(access)?,
        }
        if !prefix {
            self.put(&operator);
        }
        Ok(())
    }

    /// A sum may be a string: the outermost one of a chain is checked.
    fn binary(&mut self, node: &Binary) -> Written {
        if node.op() == ADD && !(is_number(node.lhs()) && is_number(node.rhs())) {
            return self.checked_text(|writer| writer.sum(node, 1));
        }
        self.plain_binary(node)
    }

    /// Writes the sums on the left of a sum without checks of their own, except every eighth.
    fn sum(&mut self, node: &Binary, terms: usize) -> Written {
        match node.lhs().flatten() {
            Expression::Binary(left) if left.op() == ADD && terms < 8 => self.sum(left, terms + 1)?,
            left => self.expression(left, Level::Sum)?,
        }
        self.put(" + ");
        self.expression(node.rhs(), Level::Product)
    }

    fn plain_binary(&mut self, node: &Binary) -> Written {
        let own = binary_level(node.op());
        let (left, right) = match node.op() {
            BinaryOp::Arithmetic(ArithmeticOp::Exp) => (Level::Postfix, Level::Power),
            // `??` cannot stand next to `||` or `&&` without parentheses.
            BinaryOp::Logical(LogicalOp::Coalesce) => match node.lhs().flatten() {
                Expression::Binary(inner) if inner.op() == node.op() => (Level::Coalesce, Level::BitOr),
                _ => (Level::BitOr, Level::BitOr),
            },
            _ => (own, own.tighter()),
        };
        // A loop's head would take a bare `in` for its own.
        let parentheses = node.op() == BinaryOp::Relational(RelationalOp::In);
        if parentheses {
            self.put("(");
        }
        self.expression(node.lhs(), left)?;
        self.put(&format!(" {} ", node.op()));
        self.expression(node.rhs(), right)?;
        if parentheses {
            self.put(")");
        }
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
}

fn level_of(expression: &Expression) -> Level {
    match expression {
        // A checked sum is written in parentheses.
        Expression::Binary(node) if node.op() == ADD && !(is_number(node.lhs()) && is_number(node.rhs())) => {
            Level::Primary
        }
        Expression::Assign(node)
            if node.op() == AssignOp::Add
                && !is_number(node.rhs())
                && !matches!(node.lhs(), AssignTarget::Pattern(_)) =>
        {
            Level::Primary
        }
        Expression::ArrowFunction(_)
        | Expression::AsyncArrowFunction(_)
        | Expression::Assign(_)
        | Expression::Yield(_) => Level::Assignment,
        Expression::Conditional(_) => Level::Conditional,
        Expression::Binary(node) => binary_level(node.op()),
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

const fn binary_level(op: BinaryOp) -> Level {
    match op {
        BinaryOp::Comma => Level::Comma,
        BinaryOp::Logical(LogicalOp::Coalesce) => Level::Coalesce,
        BinaryOp::Logical(LogicalOp::Or) => Level::Or,
        BinaryOp::Logical(LogicalOp::And) => Level::And,
        BinaryOp::Bitwise(BitwiseOp::Or) => Level::BitOr,
        BinaryOp::Bitwise(BitwiseOp::Xor) => Level::BitXor,
        BinaryOp::Bitwise(BitwiseOp::And) => Level::BitAnd,
        BinaryOp::Bitwise(BitwiseOp::Shl | BitwiseOp::Shr | BitwiseOp::UShr) => Level::Shift,
        BinaryOp::Relational(
            RelationalOp::Equal
            | RelationalOp::NotEqual
            | RelationalOp::StrictEqual
            | RelationalOp::StrictNotEqual,
        ) => Level::Equality,
        BinaryOp::Relational(_) => Level::Relation,
        BinaryOp::Arithmetic(ArithmeticOp::Add | ArithmeticOp::Sub) => Level::Sum,
        BinaryOp::Arithmetic(ArithmeticOp::Exp) => Level::Power,
        BinaryOp::Arithmetic(_) => Level::Product,
    }
}
