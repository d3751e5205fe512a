//! Printing queries back as RQL. What needs quotes gets single quotes; nested conditions get parentheses.

use super::{
    Argument, Call, Condition, FieldPath, From, FromSource, GroupItem, Include, Left, Limit, LoadFrom,
    LoadItem, Operator, OrderItem, Ordering, PathIndex, Query, Right, Select, SelectItem, Selected,
    Selection, Value,
};
use crate::lexer;
use std::fmt::{self, Display, Formatter, Write};

impl Display for Query {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for declaration in &self.declarations {
            writeln!(f, "{}", declaration.text)?;
        }
        write!(f, "{}", self.from)?;
        list(f, " group by ", &self.group_by)?;
        if let Some(condition) = &self.condition {
            write!(f, " where {condition}")?;
        }
        if let Some(reduce) = &self.reduce {
            // Without `by`, the word behind a collection would be its alias.
            f.write_str(if reduce.content.is_empty() { " reduce by ()" } else { "" })?;
            list(f, " reduce by ", &reduce.content)?;
        }
        list(f, " order by ", &self.order_by)?;
        list(f, " load ", &self.load)?;
        if let Some(filter) = &self.filter {
            write!(f, " filter {}", filter.content)?;
        }
        if let Some(select) = &self.select {
            write!(f, "{select}")?;
        }
        if let Some(update) = &self.update {
            write!(f, " update {}", update.content)?;
        }
        list(f, " include ", &self.include)?;
        if let Some(limit) = &self.limit {
            write!(f, "{limit}")?;
        }
        if let Some(offset) = &self.offset {
            write!(f, " offset {offset}")?;
        }
        match &self.filter_limit {
            Some(limit) => write!(f, " filter_limit {}", limit.content),
            None => Ok(()),
        }
    }
}

fn list<T: Display>(f: &mut Formatter<'_>, lead: &str, items: &[T]) -> fmt::Result {
    for (number, item) in items.iter().enumerate() {
        f.write_str(if number == 0 { lead } else { ", " })?;
        write!(f, "{item}")?;
    }
    Ok(())
}

/// A name where the grammar takes a word or a quoted string.
fn name(f: &mut Formatter<'_>, name: &str) -> fmt::Result {
    if lexer::is_plain_word(name) { f.write_str(name) } else { quoted(f, name) }
}

fn quoted(f: &mut Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('\'')?;
    for c in text.chars() {
        match c {
            '\'' => f.write_str("\\'")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\t' => f.write_str("\\t")?,
            '\r' => f.write_str("\\r")?,
            '\u{8}' => f.write_str("\\b")?,
            '\u{c}' => f.write_str("\\f")?,
            other => f.write_char(other)?,
        }
    }
    f.write_char('\'')
}

fn alias(f: &mut Formatter<'_>, alias: Option<&str>) -> fmt::Result {
    match alias {
        Some(alias) => {
            f.write_str(" as ")?;
            name(f, alias)
        }
        None => Ok(()),
    }
}

impl Display for From {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.source {
            FromSource::Collection(collection) => {
                f.write_str("from ")?;
                name(f, collection)?;
            }
            FromSource::Index(index) => {
                f.write_str("from index ")?;
                quoted(f, index)?;
            }
        }
        alias(f, self.alias.as_deref())
    }
}

impl Display for GroupItem {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.key)?;
        alias(f, self.alias.as_deref())
    }
}

impl Display for OrderItem {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.key)?;
        match self.ordering {
            Some(Ordering::Text) => f.write_str(" as string")?,
            Some(Ordering::Long) => f.write_str(" as long")?,
            Some(Ordering::Double) => f.write_str(" as double")?,
            Some(Ordering::AlphaNumeric) => f.write_str(" as alphaNumeric")?,
            None => {}
        }
        if self.descending { f.write_str(" desc") } else { Ok(()) }
    }
}

impl Display for LoadItem {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.from)?;
        alias(f, self.alias.as_deref())?;
        if self.each { f.write_str("[]") } else { Ok(()) }
    }
}

impl Display for LoadFrom {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(path) => write!(f, "{path}"),
            Self::Value(value) => write!(f, "{value}"),
        }
    }
}

impl Display for Select {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(if self.distinct { " select distinct " } else { " select " })?;
        match &self.what {
            Selection::All => f.write_char('*'),
            Selection::Script(script) => f.write_str(script),
            Selection::Items(items) => list(f, "", items),
        }
    }
}

impl Display for SelectItem {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)?;
        alias(f, self.alias.as_deref())
    }
}

impl Display for Selected {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(argument) => write!(f, "{argument}"),
            Self::Arithmetic(expression) => write!(f, "{expression}"),
        }
    }
}

impl Display for Include {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => quoted(f, path),
            Self::Call(call) => write!(f, "{call}"),
        }
    }
}

impl Display for Limit {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, " limit {}", self.first)?;
        match &self.second {
            Some(second) => write!(f, ", {second}"),
            None => Ok(()),
        }
    }
}

/// A condition inside another one.
fn nested(f: &mut Formatter<'_>, condition: &Condition) -> fmt::Result {
    match condition {
        Condition::And(_) | Condition::Or(_) => write!(f, "({condition})"),
        other => write!(f, "{other}"),
    }
}

fn joined(f: &mut Formatter<'_>, conditions: &[Condition], word: &str) -> fmt::Result {
    for (number, condition) in conditions.iter().enumerate() {
        if number > 0 {
            f.write_str(word)?;
        }
        nested(f, condition)?;
    }
    Ok(())
}

impl Display for Condition {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::True => f.write_str("true"),
            Self::Compare { left, operator, right } => write!(f, "{left} {operator} {right}"),
            Self::Between { left, low, high } => write!(f, "{left} between {low} and {high}"),
            Self::In { left, values, all } => {
                write!(f, "{left} {}in (", if *all { "all " } else { "" })?;
                list(f, "", values)?;
                f.write_char(')')
            }
            Self::Call(call) => write!(f, "{call}"),
            Self::And(conditions) => joined(f, conditions, " and "),
            Self::Or(conditions) => joined(f, conditions, " or "),
            Self::Not(condition) => {
                f.write_str("not ")?;
                nested(f, condition)
            }
        }
    }
}

impl Display for Operator {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        })
    }
}

impl Display for Left {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(path) => write!(f, "{path}"),
            Self::Call(call) => write!(f, "{call}"),
        }
    }
}

impl Display for Right {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => write!(f, "{value}"),
            Self::Field(path) => write!(f, "{path}"),
            Self::Call(call) => write!(f, "{call}"),
        }
    }
}

impl Display for Call {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.name)?;
        list(f, "", &self.arguments)?;
        f.write_char(')')
    }
}

impl Display for Argument {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => write!(f, "{value}"),
            Self::Field(path) => write!(f, "{path}"),
            Self::Call(call) => write!(f, "{call}"),
            Self::Condition(condition) => write!(f, "{condition}"),
            Self::Word(word) => f.write_str(word),
        }
    }
}

impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Minus => f.write_char('-'),
            Self::Text(text) => quoted(f, text),
            Self::Parameter(name) => write!(f, "${name}"),
        }
    }
}

impl Display for FieldPath {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        // A quoted word alone would be a string in a place that takes values too; the grammar offers no other
        // spelling, and the parser treats both alike where a field is asked for.
        for (number, part) in self.parts.iter().enumerate() {
            if number > 0 {
                f.write_char('.')?;
            }
            name(f, &part.name)?;
            match part.index {
                PathIndex::None => {}
                PathIndex::Each => f.write_str("[]")?,
                PathIndex::At(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}
