//! The clauses of a query in their order: declare, from, group by, where, reduce by, order by, load, filter, select or
//! update, include, limit, offset, filter_limit.
//!
//! The word `reduce` starts a clause, but people may have fields, collections and aliases of that name: it is no keyword
//! behind a collection or grouped field, unless `by` follows it.

use super::Parser;
use crate::ast::{
    Argument, Clause, Declaration, FieldPath, From, FromSource, GroupItem, Include, Left, Limit, LoadFrom,
    LoadItem, OrderItem, Ordering, PathIndex, Position, Query, Select, SelectItem, Selected, Selection,
    Value,
};
use crate::error::QueryError;
use crate::lexer::Token;

/// Words that end a source, so they are no alias unless `as` stands before them.
const NO_ALIAS: [&str; 13] = [
    "as",
    "select",
    "where",
    "load",
    "group",
    "order",
    "include",
    "update",
    "filter",
    "limit",
    "offset",
    "filter_limit",
    "from",
];

impl Parser<'_> {
    pub(super) fn query(mut self) -> Result<Query, QueryError> {
        let declarations = self.declarations()?;
        if !self.take_word("from") {
            return Err(self.syntax("Expected FROM clause"));
        }
        let mut reduce = None;
        let from = self.from(&mut reduce)?;
        let group_by = if reduce.is_none() && self.take_word("group") {
            self.group_by(&mut reduce)?
        } else {
            Vec::new()
        };
        let condition =
            if reduce.is_none() && self.take_word("where") { Some(self.condition()?) } else { None };
        let reduce = self.reduce(reduce)?;
        let order_by = if self.take_word("order") { self.order_by()? } else { Vec::new() };
        let load = if self.take_word("load") { self.load()? } else { Vec::new() };
        let filter = self.clause("filter", Self::condition)?;
        let select = if self.at_word("select") {
            Some(self.select(from.alias.is_some() || !load.is_empty())?)
        } else {
            None
        };
        let update = self.clause("update", Self::script)?;
        let include = if self.take_word("include") { self.include()? } else { Vec::new() };
        let early = self.filter_limit(filter.is_some())?;
        let limit = if self.take_word("limit") { Some(self.limit()?) } else { None };
        let offset = if self.take_word("offset") {
            if limit.as_ref().is_some_and(|limit| limit.second.is_some()) {
                return Err(self.invalid("Cannot use 'offset' after 'limit $skip,$take'"));
            }
            Some(self.count("Offset must contain a value")?)
        } else {
            None
        };
        let filter_limit = if early.is_none() { self.filter_limit(filter.is_some())? } else { early };
        if *self.token() != Token::End {
            let message = match self.token() {
                Token::Word(word) if word.eq_ignore_ascii_case("reduce") => {
                    "REDUCE BY must stand behind WHERE and before ORDER BY"
                }
                Token::Word(word) if word.eq_ignore_ascii_case("where") && reduce.is_some() => {
                    "WHERE must stand before REDUCE BY"
                }
                _ => "Expected end of query",
            };
            return Err(self.syntax(message));
        }
        Ok(Query {
            declarations,
            from,
            group_by,
            condition,
            reduce,
            order_by,
            load,
            filter,
            select,
            update,
            include,
            limit,
            offset,
            filter_limit,
        })
    }

    fn clause<T>(
        &mut self,
        keyword: &str,
        read: impl FnOnce(&mut Self) -> Result<T, QueryError>,
    ) -> Result<Option<Clause<T>>, QueryError> {
        let position = self.position();
        if self.take_word(keyword) { Ok(Some(Clause { position, content: read(self)? })) } else { Ok(None) }
    }

    fn declarations(&mut self) -> Result<Vec<Declaration>, QueryError> {
        let mut declarations: Vec<Declaration> = Vec::new();
        while self.at_word("declare") {
            let start = self.start();
            self.take();
            if self.at_word("timeseries") {
                return Err(QueryError::NotSupported {
                    feature: "declare timeseries".to_owned(),
                    line: start.position().line,
                    column: start.position().column,
                });
            }
            if !self.take_word("function") {
                return Err(self.syntax("Expected FUNCTION after DECLARE"));
            }
            let Some(name) = self.name() else { return Err(self.syntax("Expected the name of a function")) };
            if declarations.iter().any(|earlier| earlier.name == name) {
                return Err(self.syntax(format!("{name} function was declared multiple times")));
            }
            self.declared_arguments()?;
            self.script()?;
            let text = self.scanner.between(start, self.scanner.here()).to_owned();
            declarations.push(Declaration { name, text, position: start.position() });
            self.take_symbol(";");
        }
        Ok(declarations)
    }

    /// The argument names of a declared function; what they are matters only to the script.
    fn declared_arguments(&mut self) -> Result<(), QueryError> {
        if !self.take_symbol("(") {
            return Err(self.syntax("Expected '(' after the name of a function"));
        }
        while !self.take_symbol(")") {
            if *self.token() == Token::End {
                return Err(self.syntax("Expected ')' after the arguments of a function"));
            }
            self.take();
        }
        Ok(())
    }

    fn script(&mut self) -> Result<String, QueryError> {
        if self.at_symbol("{")
            && let Some(script) = self.scanner.skip_script()
        {
            return Ok(script.to_owned());
        }
        Err(self.syntax("Expected a script in braces"))
    }

    /// The source and its alias. When the alias turns out to be the word of `reduce by`, its place is left in `reduce`.
    fn from(&mut self, reduce: &mut Option<Position>) -> Result<From, QueryError> {
        const MISSING: &str = "Unable to parse identifier in FROM clause";
        let is_index = self.take_word("index");
        let reserved = matches!(self.token(), Token::Word(word) if is_clause_word(word));
        if reserved {
            return Err(self.syntax(MISSING));
        }
        let position = self.position();
        let name = match self.head()? {
            Some(Left::Field(path)) if path.parts.iter().all(|part| part.index == PathIndex::None) => {
                path.text()
            }
            Some(Left::Call(_)) => {
                return Err(QueryError::NotSupported {
                    feature: "from Collection(condition)".to_owned(),
                    line: position.line,
                    column: position.column,
                });
            }
            _ => return Err(self.syntax(MISSING)),
        };
        let source = if is_index { FromSource::Index(name) } else { FromSource::Collection(name) };
        let alias = if is_index && self.at_word("reduce") {
            None
        } else {
            self.alias_or_reduce("Expected alias after AS in FROM", reduce)?
        };
        Ok(From { source, alias })
    }

    /// An alias with or without `as`, unless it is the word of `reduce by`.
    fn alias_or_reduce(
        &mut self,
        missing: &str,
        reduce: &mut Option<Position>,
    ) -> Result<Option<String>, QueryError> {
        let position = self.position();
        let bare = self.at_word("reduce");
        let alias = self.alias(missing, true)?;
        if bare && self.at_word("by") {
            *reduce = Some(position);
            return Ok(None);
        }
        Ok(alias)
    }

    /// `reduce`, `reduce by ()`, `reduce by a, b`. `taken` is where the first word stands if it has been read.
    fn reduce(&mut self, taken: Option<Position>) -> Result<Option<Clause<Vec<FieldPath>>>, QueryError> {
        const MISSING: &str = "Expected a field after REDUCE BY";
        let position = taken.unwrap_or(self.position());
        if taken.is_none() && !self.take_word("reduce") {
            return Ok(None);
        }
        let mut fields = Vec::new();
        if !self.take_word("by") {
            return Ok(Some(Clause { position, content: fields }));
        }
        if self.take_symbol("(") {
            return if self.take_symbol(")") {
                Ok(Some(Clause { position, content: fields }))
            } else {
                Err(self
                    .syntax("Expected ')': REDUCE BY () has no fields, and others stand without parentheses"))
            };
        }
        loop {
            let start = self.scanner.peek().clone();
            fields.push(self.field(MISSING)?);
            if self.at_word("by") {
                // The word before it starts the next clause.
                return Err(self.syntax_at(&start, MISSING));
            }
            if !self.take_symbol(",") {
                return Ok(Some(Clause { position, content: fields }));
            }
        }
    }

    /// `as name`, or a name alone where that is allowed.
    fn alias(&mut self, missing: &str, bare: bool) -> Result<Option<String>, QueryError> {
        let word = match self.token() {
            Token::Word(word) => *word,
            _ => return Ok(None),
        };
        if word.eq_ignore_ascii_case("as") {
            self.take();
            if matches!(self.token(), Token::Word(word) if is_clause_word(word)) {
                return Err(self.syntax(missing));
            }
            return match self.name() {
                Some(name) => Ok(Some(name)),
                None => Err(self.syntax(missing)),
            };
        }
        if bare && !is_clause_word(word) { Ok(self.name()) } else { Ok(None) }
    }

    fn by(&mut self, clause: &str) -> Result<(), QueryError> {
        if self.take_word("by") { Ok(()) } else { Err(self.syntax(format!("Expected BY after {clause}"))) }
    }

    fn group_by(&mut self, reduce: &mut Option<Position>) -> Result<Vec<GroupItem>, QueryError> {
        self.by("GROUP")?;
        let mut items = Vec::new();
        loop {
            let position = self.position();
            let key = match self.head()? {
                Some(Left::Field(path)) => Argument::Field(path),
                Some(Left::Call(call)) => Argument::Call(call),
                None => Argument::Value(self.required_value("Unable to get field for GROUP BY")?),
            };
            let alias = self.alias_or_reduce("Expected alias after AS in GROUP BY", reduce)?;
            items.push(GroupItem { key, alias, position });
            if reduce.is_some() || !self.take_symbol(",") {
                return Ok(items);
            }
        }
    }

    fn order_by(&mut self) -> Result<Vec<OrderItem>, QueryError> {
        self.by("ORDER")?;
        let mut items = Vec::new();
        loop {
            let position = self.position();
            let Some(key) = self.head()? else { return Err(self.syntax("Unable to get field for ORDER BY")) };
            let ordering = if self.take_word("as") { Some(self.ordering()?) } else { None };
            let descending = if self.take_word("desc") || self.take_word("descending") {
                true
            } else {
                let _ = self.take_word("asc") || self.take_word("ascending");
                false
            };
            items.push(OrderItem { key, ordering, descending, position });
            if !self.take_symbol(",") {
                return Ok(items);
            }
        }
    }

    fn ordering(&mut self) -> Result<Ordering, QueryError> {
        for (word, ordering) in [
            ("string", Ordering::Text),
            ("long", Ordering::Long),
            ("double", Ordering::Double),
            ("alphaNumeric", Ordering::AlphaNumeric),
        ] {
            if self.take_word(word) {
                return Ok(ordering);
            }
        }
        Err(self.syntax("Expected end of query"))
    }

    fn load(&mut self) -> Result<Vec<LoadItem>, QueryError> {
        let mut items = Vec::new();
        loop {
            let position = self.position();
            let from = self.load_from()?;
            let alias = self.alias("Expected alias after AS in LOAD", true)?;
            let each = alias.is_some() && self.take_symbol("[");
            if each && !self.take_symbol("]") {
                return Err(self.syntax("Expected ']'"));
            }
            items.push(LoadItem { from, alias, each, position });
            if !self.take_symbol(",") {
                return Ok(items);
            }
        }
    }

    fn load_from(&mut self) -> Result<LoadFrom, QueryError> {
        const MISSING: &str = "Unable to get field for LOAD";
        let start = self.scanner.peek().clone();
        if let Token::Parameter(name) = start.token {
            self.take();
            return Ok(LoadFrom::Value(Value::Parameter(name.to_owned())));
        }
        let path = match self.head()? {
            Some(Left::Field(path)) => path,
            Some(Left::Call(call)) => {
                return Err(self.invalid(format!("LOAD clause require a field or value references {call}")));
            }
            None => return Err(self.syntax(MISSING)),
        };
        Ok(match (start.token, path.parts.as_slice()) {
            (Token::Quoted(text), [only]) if only.index == PathIndex::None => {
                LoadFrom::Value(Value::Text(text))
            }
            _ => LoadFrom::Field(path),
        })
    }

    fn select(&mut self, has_alias: bool) -> Result<Select, QueryError> {
        let position = self.position();
        self.take();
        let distinct = self.take_word("distinct");
        let what = if self.take_symbol("*") {
            Selection::All
        } else if self.at_symbol("{") {
            match self.scanner.skip_script() {
                Some(script) if has_alias => Selection::Script(script.to_owned()),
                Some(_) => {
                    return Err(QueryError::Invalid {
                        message:
                            "Use of select function body requires that aliases will be defined, but none had"
                                .to_owned(),
                        query: self.text.into(),
                        parameters: Some("{}".into()),
                    });
                }
                None => return Err(self.syntax("Unable to get field for SELECT")),
            }
        } else {
            Selection::Items(self.select_items()?)
        };
        Ok(Select { distinct, what, position })
    }

    fn select_items(&mut self) -> Result<Vec<SelectItem>, QueryError> {
        let mut items = Vec::new();
        loop {
            let position = self.position();
            let what = self.selected()?;
            let alias = self.alias("Expected field alias after AS in SELECT", false)?;
            items.push(SelectItem { what, alias, position });
            if !self.take_symbol(",") {
                return Ok(items);
            }
        }
    }

    fn selected(&mut self) -> Result<Selected, QueryError> {
        const MISSING: &str = "Unable to get field for SELECT";
        let position = self.position();
        if self.at_word("timeseries") {
            return Err(QueryError::NotSupported {
                feature: "select timeseries(..)".to_owned(),
                line: position.line,
                column: position.column,
            });
        }
        let quoted = matches!(self.token(), Token::Quoted(_));
        if !quoted && let Some(value) = self.value() {
            return self.continued(Argument::Value(value));
        }
        if let Some(calculated) = self.arithmetic()? {
            return Ok(calculated);
        }
        let first = match self.head()? {
            Some(Left::Call(call)) => Argument::Call(call),
            Some(Left::Field(path)) => match path.parts.as_slice() {
                // A quoted word alone is a string here, unlike in a condition.
                [only] if quoted && only.index == PathIndex::None => {
                    Argument::Value(Value::Text(only.name.clone()))
                }
                _ => Argument::Field(path),
            },
            None => return Err(self.syntax(MISSING)),
        };
        self.continued(first)
    }

    fn include(&mut self) -> Result<Vec<Include>, QueryError> {
        const MISSING: &str = "Unable to understand include clause expression";
        let mut items = Vec::new();
        loop {
            items.push(match self.token() {
                Token::Number(_) | Token::Quoted(_) => match self.value() {
                    Some(Value::Number(number)) => Include::Path(number.to_string()),
                    Some(Value::Text(path)) => Include::Path(path),
                    _ => return Err(self.syntax(MISSING)),
                },
                _ => match self.head()? {
                    Some(Left::Field(path)) => Include::Path(path.text()),
                    Some(Left::Call(call)) => Include::Call(call),
                    None => return Err(self.syntax(MISSING)),
                },
            });
            if !self.take_symbol(",") {
                return Ok(items);
            }
        }
    }

    /// `filter_limit`, which belongs to a `filter` and stands before or behind `limit`.
    fn filter_limit(&mut self, filters: bool) -> Result<Option<Clause<Value>>, QueryError> {
        self.clause("filter_limit", |parser| {
            if filters {
                parser.count("FILTER_LIMIT must contain a value")
            } else {
                Err(parser
                    .syntax("Expected end of query: FILTER_LIMIT needs a FILTER whose reading it limits,"))
            }
        })
    }

    fn limit(&mut self) -> Result<Limit, QueryError> {
        let first = self.count("Limit must contain a value")?;
        let second =
            if self.take_symbol(",") { Some(self.count("Limit must contain a second value")?) } else { None };
        Ok(Limit { first, second })
    }

    /// A number of rows that must be there.
    fn count(&mut self, missing: &str) -> Result<Value, QueryError> {
        match self.value() {
            Some(value) => Ok(value),
            None => Err(self.invalid(missing)),
        }
    }
}

fn is_clause_word(word: &str) -> bool {
    NO_ALIAS.iter().any(|name| word.eq_ignore_ascii_case(name))
}
