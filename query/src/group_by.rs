//! `group by`: the query over documents becomes one over groups. References to what is grouped by, `count()` and
//! `sum(..)` become fields of the groups' rows, so that `where`, `order by` and `select` work on them as on the results
//! of a map-reduce index.

use crate::ast::{
    Argument, Call, Condition, Expression, FieldPath, Left, OrderItem, Ordering, PathIndex, PathPart, Query,
    Selected, Selection,
};
use crate::error::QueryError;
use crate::plan::Context;
use crate::term::{Step, steps};
use magpie_indexes::auto::{element_prefix, path_of};
use std::collections::BTreeSet;

/// The field of a group's row that says how many it has.
pub(crate) const COUNT: &str = "Count";
/// The field of a group's row with all its key fields.
pub(crate) const KEY: &str = "Key";

/// One thing that is grouped by.
#[derive(Debug, Clone)]
pub(crate) struct GroupKey {
    /// Its field in the groups' rows.
    pub(crate) name: String,
    /// Its part of the index's name.
    pub(crate) index_part: String,
    /// Where its value is in a document.
    pub(crate) path: Vec<Step>,
    /// Whether an array is one value, instead of one value for each element.
    pub(crate) whole: bool,
    /// What the query calls it.
    alias: Option<String>,
}

/// One sum.
#[derive(Debug, Clone)]
pub(crate) struct Sum {
    /// Its field in the groups' rows, and its part of the index's name.
    pub(crate) name: String,
    /// Where its summands are in a document.
    pub(crate) path: Vec<Step>,
    /// Whether the query asks for it; another one comes along with whole rows and may have no value.
    pub(crate) asked: bool,
}

/// What a query wants of its groups.
#[derive(Debug, Clone, Default)]
pub(crate) struct Grouping {
    pub(crate) keys: Vec<GroupKey>,
    pub(crate) sums: Vec<Sum>,
    pub(crate) counts: bool,
    /// Whether rows carry [`KEY`].
    pub(crate) shows_key: bool,
    /// What is selected without being grouped by or summed: it has a value where earlier queries summed it.
    plain: BTreeSet<String>,
}

impl Grouping {
    /// The grouping of a query with `group by`, and the query that remains to be asked of its groups.
    ///
    /// # Errors
    /// What the original refuses, and arrays in two keys.
    pub(crate) fn new(query: &Query, context: Context<'_>) -> Result<(Self, Query), QueryError> {
        let alias = query.from.alias.as_deref();
        let mut rewriter =
            Rewriter { alias, context, grouping: Self { keys: keys(query, context)?, ..Self::default() } };
        let mut rest = query.clone();
        rest.group_by.clear();
        if let Some(clause) = &query.reduce {
            return Err(QueryError::NotSupported {
                feature: "REDUCE BY together with GROUP BY".to_owned(),
                line: clause.position.line,
                column: clause.position.column,
            });
        }
        if let Some(select) = &mut rest.select
            && let Selection::Items(items) = &mut select.what
        {
            for item in items {
                match &mut item.what {
                    Selected::Plain(argument) => rewriter.selected(argument)?,
                    Selected::Arithmetic(expression) => rewriter.expression(expression)?,
                }
            }
        }
        if let Some(condition) = &mut rest.condition {
            rewriter.condition(condition)?;
        }
        for item in &mut rest.order_by {
            rewriter.order(item, query)?;
        }
        if let Some(clause) = &mut rest.filter {
            rewriter.filter(&mut clause.content);
        }
        Ok((rewriter.grouping, rest))
    }

    /// Takes in what earlier queries summed and this one selects.
    pub(crate) fn widen_plain(&mut self, aggregates: &BTreeSet<String>) {
        let plain: BTreeSet<String> = self.plain.intersection(aggregates).cloned().collect();
        self.widen(&plain);
    }

    /// Takes in what earlier queries counted and summed.
    pub(crate) fn widen(&mut self, aggregates: &BTreeSet<String>) {
        for name in aggregates {
            if name == COUNT {
                self.counts = true;
            } else if !self.sums.iter().any(|sum| sum.name == *name) {
                self.sums.push(Sum { name: name.clone(), path: path_of(name), asked: false });
            }
        }
    }
}

fn keys(query: &Query, context: Context<'_>) -> Result<Vec<GroupKey>, QueryError> {
    let alias = query.from.alias.as_deref();
    let mut keys: Vec<GroupKey> = Vec::with_capacity(query.group_by.len());
    for item in &query.group_by {
        let (path, is_array) = match &item.key {
            Argument::Field(path) => (path, false),
            Argument::Call(call) => match call.arguments.as_slice() {
                [Argument::Field(path)] => (path, true),
                _ => return Err(context.invalid("array() in GROUP BY takes one field")),
            },
            _ => {
                return Err(QueryError::NotSupported {
                    feature: "a constant in GROUP BY".to_owned(),
                    line: item.position.line,
                    column: item.position.column,
                });
            }
        };
        let path = path.without_alias(alias).unwrap_or_else(|| path.clone());
        let name = path.text();
        let index_part = if is_array { format!("Array({name})") } else { name.clone() };
        let path = steps(&path);
        let whole = is_array || !path.contains(&Step::Each);
        let arrays = path.iter().filter(|step| **step == Step::Each).count();
        let prefix = element_prefix(&path);
        let other = keys.iter().find(|key| !key.whole && element_prefix(&key.path) != prefix);
        if !whole && (arrays > 1 || other.is_some()) {
            return Err(QueryError::NotSupported {
                feature: "GROUP BY over the elements of more than one array".to_owned(),
                line: item.position.line,
                column: item.position.column,
            });
        }
        keys.push(GroupKey { name, index_part, path, whole, alias: item.alias.clone() });
    }
    Ok(keys)
}

struct Rewriter<'a> {
    alias: Option<&'a str>,
    context: Context<'a>,
    grouping: Grouping,
}

/// A field of a group's row, whatever characters its name has.
fn row_field(name: &str, like: &FieldPath) -> FieldPath {
    let part = PathPart { name: name.to_owned(), index: PathIndex::None };
    FieldPath { parts: vec![part], position: like.position }
}

impl Rewriter<'_> {
    /// The field of the groups' rows that the query means, if there is one so far.
    fn known(&mut self, path: &FieldPath) -> Option<FieldPath> {
        let path = path.without_alias(self.alias)?;
        let text = path.text();
        let is_key = |key: &&GroupKey| key.name == text || key.alias.as_deref() == Some(&text);
        if let Some(key) = self.grouping.keys.iter().find(is_key) {
            return Some(row_field(&key.name, &path));
        }
        if text == COUNT {
            self.grouping.counts = true;
            return Some(row_field(COUNT, &path));
        }
        let sum = self.grouping.sums.iter().find(|sum| sum.name == text)?;
        Some(row_field(&sum.name, &path))
    }

    fn sum(&mut self, path: &FieldPath) -> FieldPath {
        let path = path.without_alias(self.alias).unwrap_or_else(|| path.clone());
        let name = path.text();
        let field = row_field(&name, &path);
        if !self.grouping.sums.iter().any(|sum| sum.name == name) {
            self.grouping.sums.push(Sum { name, path: steps(&path), asked: true });
        }
        field
    }

    /// The field that stands for `count()`, `sum(..)` or `key()`; `None` for another call.
    fn aggregate(&mut self, call: &Call) -> Result<Option<FieldPath>, QueryError> {
        let like = FieldPath { parts: Vec::new(), position: call.position };
        Ok(Some(match call.name.to_lowercase().as_str() {
            "count" => {
                self.grouping.counts = true;
                row_field(COUNT, &like)
            }
            "sum" => match call.arguments.as_slice() {
                [Argument::Field(path)] => self.sum(path),
                _ => return Err(self.context.invalid("sum() takes one field")),
            },
            "key" => match self.grouping.keys.as_slice() {
                [only] => row_field(&only.name, &like),
                _ => {
                    self.grouping.shows_key = true;
                    row_field(KEY, &like)
                }
            },
            _ => return Ok(None),
        }))
    }

    /// A field of `where` or `order by`.
    fn field(&mut self, path: &mut FieldPath) -> Result<(), QueryError> {
        match self.known(path) {
            Some(known) => *path = known,
            None => {
                return Err(self.context.invalid(format!(
                    "Field '{}' isn't neither an aggregation operation nor part of the group by key",
                    path.text()
                )));
            }
        }
        Ok(())
    }

    /// A field of `select`.
    fn selected_field(&mut self, path: &mut FieldPath) {
        if let Some(plain) = path.without_alias(self.alias) {
            *path = self.known(path).unwrap_or_else(|| {
                let name = plain.text();
                let field = row_field(&name, &plain);
                self.grouping.plain.insert(name);
                field
            });
        }
    }

    /// An item of `order by`, which may name what `select` calls an aggregate. Aggregates are ordered as numbers.
    fn order(&mut self, item: &mut OrderItem, query: &Query) -> Result<(), QueryError> {
        if let Left::Field(path) = &item.key
            && self.known(path).is_none()
            && let Some(Selection::Items(items)) = query.select.as_ref().map(|select| &select.what)
            && let Some(named) = items.iter().find(|selected| selected.alias.as_deref() == Some(&path.text()))
            && let Selected::Plain(Argument::Call(call)) = &named.what
        {
            item.key = Left::Call(call.clone());
        }
        if let Left::Call(call) = &item.key {
            item.ordering = item.ordering.or(match call.name.to_lowercase().as_str() {
                "sum" => Some(Ordering::Double),
                "count" => Some(Ordering::Long),
                "key" => {
                    return Err(self.context.invalid(format!("Invalid ORDER BY method call {}", call.name)));
                }
                _ => None,
            });
        }
        self.left(&mut item.key)
    }

    fn selected(&mut self, argument: &mut Argument) -> Result<(), QueryError> {
        match argument {
            Argument::Field(path) => self.selected_field(path),
            Argument::Call(call) => {
                if let Some(field) = self.aggregate(call)? {
                    *argument = Argument::Field(field);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn expression(&mut self, expression: &mut Expression) -> Result<(), QueryError> {
        match expression {
            Expression::Value(_) => {}
            Expression::Field(path) => self.selected_field(path),
            Expression::Negative(inner) => self.expression(inner)?,
            Expression::Chain { first, rest } => {
                self.expression(first)?;
                for operation in rest {
                    self.expression(&mut operation.right)?;
                }
            }
            Expression::Call { arguments, .. } => {
                for argument in arguments {
                    self.expression(argument)?;
                }
            }
        }
        Ok(())
    }

    fn left(&mut self, left: &mut Left) -> Result<(), QueryError> {
        match left {
            Left::Field(path) => self.field(path)?,
            Left::Call(call) => {
                if let Some(field) = self.aggregate(call)? {
                    *left = Left::Field(field);
                }
            }
        }
        Ok(())
    }

    fn condition(&mut self, condition: &mut Condition) -> Result<(), QueryError> {
        match condition {
            Condition::True => Ok(()),
            Condition::Compare { left, .. }
            | Condition::Between { left, .. }
            | Condition::In { left, .. } => self.left(left),
            Condition::Call(call) => self.call(call),
            Condition::And(conditions) | Condition::Or(conditions) => {
                conditions.iter_mut().try_for_each(|condition| self.condition(condition))
            }
            Condition::Not(inner) => self.condition(inner),
        }
    }

    fn call(&mut self, call: &mut Call) -> Result<(), QueryError> {
        for argument in &mut call.arguments {
            match argument {
                Argument::Field(path) => self.field(path)?,
                Argument::Condition(condition) => self.condition(condition)?,
                Argument::Call(inner) => match self.aggregate(inner)? {
                    Some(field) => *argument = Argument::Field(field),
                    None => self.call(inner)?,
                },
                Argument::Value(_) | Argument::Word(_) => {}
            }
        }
        Ok(())
    }

    /// `filter` looks at rows as they are: what they lack is missing.
    fn filter(&mut self, condition: &mut Condition) {
        match condition {
            Condition::Compare { left, .. }
            | Condition::Between { left, .. }
            | Condition::In { left, .. } => {
                if let Left::Field(path) = left
                    && let Some(known) = self.known(path)
                {
                    *path = known;
                }
            }
            Condition::And(conditions) | Condition::Or(conditions) => {
                conditions.iter_mut().for_each(|condition| self.filter(condition));
            }
            Condition::Not(inner) => self.filter(inner),
            Condition::True | Condition::Call(_) => {}
        }
    }
}
