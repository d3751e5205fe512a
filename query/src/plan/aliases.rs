//! Fields of a query that gives its source a name: a path of several parts has to begin with a name that is given.

use super::Context;
use crate::ast::{
    Argument, Call, Condition, FieldPath, Include, Left, LoadFrom, PathIndex, Query, Selected, Selection,
};
use crate::error::QueryError;

/// Refuses paths that begin with a name nobody gave. `filter` and `group by` are not looked at, as in the original.
///
/// # Errors
/// [`QueryError::Invalid`] with the name.
pub(super) fn check(query: &Query, context: Context<'_>) -> Result<(), QueryError> {
    let mut names: Vec<&str> = query.from.alias.as_deref().into_iter().collect();
    names.extend(query.load.iter().filter_map(|item| item.alias.as_deref()));
    let scope = Names { named: query.from.alias.is_some(), names, context };
    if let Some(condition) = &query.condition {
        scope.condition(condition)?;
    }
    for item in &query.order_by {
        scope.left(&item.key)?;
    }
    for item in &query.load {
        if let LoadFrom::Field(path) = &item.from {
            scope.path(path)?;
        }
    }
    if let Some(select) = &query.select
        && let Selection::Items(items) = &select.what
    {
        for item in items {
            match &item.what {
                Selected::Plain(Argument::Call(call)) if super::condition::is_id(call) => scope.id(call)?,
                Selected::Plain(argument) => scope.argument(argument)?,
                Selected::Arithmetic(_) => {}
            }
        }
    }
    for item in &query.include {
        if let Include::Path(path) = item
            && let Some((first, _)) = path.split_once('.')
        {
            scope.name(first)?;
        }
    }
    Ok(())
}

/// The names that a query gives.
struct Names<'a> {
    /// Whether the source has one.
    named: bool,
    names: Vec<&'a str>,
    context: Context<'a>,
}

impl Names<'_> {
    fn name(&self, first: &str) -> Result<(), QueryError> {
        if !self.named || self.names.contains(&first) { Ok(()) } else { Err(self.unknown(first)) }
    }

    fn unknown(&self, first: &str) -> QueryError {
        let names = self.names.join(", ");
        self.context
            .invalid(format!("Unknown alias {first}, but there are aliases specified in the query ({names})"))
    }

    fn path(&self, path: &FieldPath) -> Result<(), QueryError> {
        match path.parts.as_slice() {
            [only] if only.index == PathIndex::None => Ok(()),
            [first, ..] => self.name(&first.name),
            [] => Ok(()),
        }
    }

    /// `id(name)`: the name of a document.
    fn id(&self, call: &Call) -> Result<(), QueryError> {
        match call.arguments.first() {
            Some(Argument::Field(path)) if !self.names.contains(&path.text().as_str()) => {
                Err(self.unknown(&path.text()))
            }
            _ => Ok(()),
        }
    }

    fn left(&self, left: &Left) -> Result<(), QueryError> {
        match left {
            Left::Field(path) => self.path(path),
            Left::Call(call) => self.call(call),
        }
    }

    fn call(&self, call: &Call) -> Result<(), QueryError> {
        call.arguments.iter().try_for_each(|argument| self.argument(argument))
    }

    fn argument(&self, argument: &Argument) -> Result<(), QueryError> {
        match argument {
            Argument::Field(path) => self.path(path),
            Argument::Call(call) => self.call(call),
            Argument::Condition(condition) => self.condition(condition),
            Argument::Value(_) | Argument::Word(_) => Ok(()),
        }
    }

    fn condition(&self, condition: &Condition) -> Result<(), QueryError> {
        match condition {
            Condition::True => Ok(()),
            Condition::And(all) | Condition::Or(all) => all.iter().try_for_each(|one| self.condition(one)),
            Condition::Not(one) => self.condition(one),
            Condition::Call(call) => self.call(call),
            Condition::Compare { left, .. }
            | Condition::Between { left, .. }
            | Condition::In { left, .. } => self.left(left),
        }
    }
}
