//! JavaScript of a query: the body of `select`, calls of declared functions in `select` and `filter`. One function is
//! made of it, which gets the row and what was loaded and is called once for each row that is given or filtered.

use crate::ast::{Argument, Call, Declaration, FieldPath, PathIndex, Position, Value};
use crate::error::QueryError;
use crate::limits;
use crate::load::Loaded;
use crate::plan::Context;
use crate::source::Source;
use magpie_indexes::function::{FunctionError, Loads};
use magpie_indexes::{CallError, QueryScript, QueryScriptError};
use magpie_store::json::{Json, Object};
use magpie_store::{Collection, Document};
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The parameter of the function.
const ROW: &str = "row__";
/// The row in it where the query gives it no name.
const UNNAMED: &str = "document__";

/// What a function is made of.
pub(crate) struct Parts<'a> {
    pub(crate) context: Context<'a>,
    pub(crate) declarations: &'a [Declaration],
    pub(crate) alias: Option<&'a str>,
    /// The names of what is loaded.
    pub(crate) loaded: Vec<&'a str>,
    /// Those of single documents.
    pub(crate) alone: Vec<&'a str>,
}

/// The function of one clause.
#[derive(Debug)]
pub(crate) struct RowScript {
    script: QueryScript,
    alias: String,
    /// Where parts of the query stand in the function: its line there, and the place in the query.
    pieces: Vec<(u32, Position)>,
    /// How long the calls took so far.
    called: Cell<Duration>,
    /// Whether it may include something.
    includes: bool,
    /// What the calls included since somebody asked.
    included: RefCell<ScriptIncludes>,
}

/// What calls of a script include.
#[derive(Debug, Default)]
pub(crate) struct ScriptIncludes {
    /// Ids of documents.
    pub(crate) ids: Vec<String>,
    /// Keys of compare-exchange values.
    pub(crate) keys: Vec<String>,
}

impl ScriptIncludes {
    /// The script's own result in what a call gave; what it includes is kept.
    fn unwrap(&mut self, mut told: Json) -> Json {
        let Json::Object(parts) = &mut told else { return told };
        let mut texts = |key| match parts.remove(key) {
            Some(Json::Array(items)) => items.iter().filter_map(Json::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        self.ids.extend::<Vec<String>>(texts("i"));
        self.keys.extend::<Vec<String>>(texts("k"));
        parts.remove("r").unwrap_or_default()
    }
}

/// What a call sees.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(crate) id: Option<&'a str>,
    pub(crate) fields: &'a Object,
    /// `None` for what has none.
    pub(crate) metadata: Option<&'a Object>,
    pub(crate) loaded: &'a Loaded,
}

/// `lastModified(document)`: milliseconds since 1970, of a document with its metadata.
const LAST_MODIFIED: &str = "const lastModified=d__=>{const at__=d__['@metadata']['@last-modified'];\
    return typeof at__=='string'?new Date(at__.slice(0,23)+'Z').getTime():null};";

/// `include(id)`, `includes.document(id)` and `includes.cmpxchg(key)`: what comes along with the answer. The result of a
/// script that may call them is an object of its own result, ids and keys.
const INCLUDE: &str = "const ids__=[],keys__=[],including__=(list__,one__)=>{\
    if(typeof one__=='string')list__.push(one__);\
    else if(Array.isArray(one__))one__.forEach(inner__=>including__(list__,inner__));\
    else if(one__!=null)throw new TypeError('include(doc) must be called with an string or string array argument');},\
    include=id__=>{including__(ids__,id__)},\
    includes={document:include,cmpxchg:key__=>{including__(keys__,key__)}};";

impl<'a> Parts<'a> {
    /// Whether a path of several parts begins with a name of the query.
    pub(crate) fn is_named(&self, path: &FieldPath) -> bool {
        let first = path.parts.first().map_or("", |part| part.name.as_str());
        path.parts.len() > 1 && (self.alias == Some(first) || self.loaded.contains(&first))
    }

    /// A function whose result is the object literal `body`, which stands behind the word at `keyword`.
    pub(crate) fn body(&self, body: &str, keyword: Position) -> Result<RowScript, QueryError> {
        let mut text = Text::default();
        let position = place_of(self.context.text, body, keyword);
        text.expression(body, position);
        self.compile(&text, true)
    }

    /// A function whose result is the array of what these calls give.
    pub(crate) fn calls(&self, calls: &[&Call]) -> Result<RowScript, QueryError> {
        let mut text = Text::default();
        text.put("[");
        for call in calls {
            let written = self.call(call)?;
            text.expression(&written, call.position);
            text.put(",");
        }
        text.put("]");
        self.compile(&text, false)
    }

    fn compile(&self, result: &Text, is_body: bool) -> Result<RowScript, QueryError> {
        let alias = self.alias.unwrap_or(UNNAMED);
        let mut head = Text::default();
        for name in std::iter::once(alias).chain(self.loaded.iter().copied()) {
            if !is_name(name) {
                return Err(self
                    .context
                    .invalid(format!("'{name}' cannot be the name of something in JavaScript")));
            }
            head.put(&format!("const {name}={ROW}[{}];", Json::from(name)));
        }
        let all = || {
            self.declarations.iter().map(|declaration| declaration.text.as_str()).chain([result.out.as_str()])
        };
        for (name, value) in self.context.parameters.iter().flat_map(|parameters| parameters.iter()) {
            let name = format!("${name}");
            if is_name(&name) && all().any(|text| text.contains(&name)) {
                head.put(&format!("const {name}={value};"));
            }
        }
        if all().any(|text| text.contains("lastModified")) {
            head.put(LAST_MODIFIED);
        }
        let declared = self.declarations.iter().map(|declaration| declaration.name.as_str());
        let mut own = std::iter::once(alias).chain(self.loaded.iter().copied()).chain(declared);
        // A name that the query gives stands for what it gives it to.
        let includes = all().any(|text| text.contains("include"))
            && !own.any(|name| name == "include" || name == "includes");
        if includes {
            head.put(INCLUDE);
        }
        for declaration in self.declarations {
            // The word `declare` becomes blanks, so that columns stay what they are.
            let function = declaration.text.get(7..).unwrap_or_default();
            head.statement(&format!("       {function}"), declaration.position);
        }
        let before = QueryScript::text(ROW, &head.out, "").matches('\n').count();
        let before = u32::try_from(before).unwrap_or(u32::MAX);
        let mut pieces = head.pieces;
        pieces.extend(result.pieces.iter().map(|(line, position)| (line.saturating_add(before), *position)));
        let parameters: Vec<String> = self
            .context
            .parameters
            .iter()
            .flat_map(|all| all.iter())
            .map(|(name, _)| format!("${name}"))
            .collect();
        let names: Vec<&str> = std::iter::once(alias)
            .chain(self.loaded.iter().copied())
            .chain(parameters.iter().map(String::as_str))
            .collect();
        let body_of = is_body.then_some(names.as_slice());
        let told = if includes {
            Cow::Owned(format!("{{r:{},i:ids__,k:keys__}}", result.out))
        } else {
            Cow::Borrowed(result.out.as_str())
        };
        let script = QueryScript::new(ROW, &head.out, &told, body_of, self.context.now);
        let script = script.map_err(|error| self.refused(error, &pieces))?;
        Ok(RowScript {
            script,
            alias: alias.to_owned(),
            pieces,
            called: Cell::default(),
            includes,
            included: RefCell::default(),
        })
    }

    fn refused(&self, error: QueryScriptError, pieces: &[(u32, Position)]) -> QueryError {
        match error {
            QueryScriptError::Busy { limit } => QueryError::ScriptsBusy { limit },
            QueryScriptError::Refused(FunctionError { message, position, .. }) => {
                let place = position.and_then(|position| original(pieces, position));
                let place = place.map_or_else(String::new, |at| format!(" at {}:{}", at.line, at.column));
                self.context.invalid(format!("Select clause contains invalid script{place}: {message}"))
            }
        }
    }

    /// A call as JavaScript.
    fn call(&self, call: &Call) -> Result<String, QueryError> {
        let mut text = format!("{}(", call.name);
        for (number, argument) in call.arguments.iter().enumerate() {
            if number > 0 {
                text.push(',');
            }
            match argument {
                Argument::Value(Value::Parameter(name)) => {
                    self.context.parameter(name)?;
                    let _ = write!(text, "${name}");
                }
                Argument::Value(value) => {
                    let _ = write!(text, "{}", crate::plan::literal(value));
                }
                Argument::Field(path) => self.path(path, &mut text)?,
                Argument::Call(inner) => text.push_str(&self.call(inner)?),
                Argument::Condition(_) | Argument::Word(_) => {
                    return Err(self.context.invalid(format!("{}() cannot take a condition", call.name)));
                }
            }
        }
        text.push(')');
        Ok(text)
    }

    fn path(&self, path: &FieldPath, text: &mut String) -> Result<(), QueryError> {
        let first = path.parts.first().map_or("", |part| part.name.as_str());
        let named = self.alias == Some(first) || self.loaded.contains(&first);
        if !named {
            text.push_str(self.alias.unwrap_or(UNNAMED));
        }
        for (number, part) in path.parts.iter().enumerate() {
            if number == 0 && named {
                text.push_str(&part.name);
            } else {
                let _ = write!(text, "[{}]", Json::from(part.name.as_str()));
            }
            match part.index {
                PathIndex::None => {}
                PathIndex::At(index) => {
                    let _ = write!(text, "[{index}]");
                }
                PathIndex::Each => {
                    let message = format!("'{}' cannot be an argument: pass the array itself", path.text());
                    return Err(self.context.invalid(message));
                }
            }
        }
        Ok(())
    }
}

impl RowScript {
    /// What the calls included since this was asked last.
    pub(crate) fn take_included(&self) -> ScriptIncludes {
        self.included.take()
    }

    /// What the function gives for a row.
    ///
    /// # Errors
    /// [`QueryError::Script`]; [`QueryError::LimitReached`] when all calls took too long together.
    pub(crate) fn call(&self, row: Row<'_>, source: &dyn Source) -> Result<Json, QueryError> {
        if self.called.get() >= Duration::from_millis(limits::SCRIPT_MS_MAX) {
            return Err(QueryError::LimitReached {
                name: "script_ms_max",
                limit: usize::try_from(limits::SCRIPT_MS_MAX).unwrap_or(usize::MAX),
                unit: "milliseconds in JavaScript",
                advice: "ask for fewer rows, filter with where, or make an index",
            });
        }
        let mut fields = row.fields.clone();
        if let Some(metadata) = row.metadata {
            fields.insert("@metadata", metadata.clone());
        }
        let mut argument = Object::new();
        argument.insert(self.alias.as_str(), fields);
        for (name, document) in row.loaded {
            argument.insert(name.as_str(), document.clone());
        }
        let mut loads = SourceLoads { source, failed: None };
        let started = Instant::now();
        let outcome = self.script.call(&argument, &mut loads);
        self.called.set(self.called.get().saturating_add(started.elapsed()));
        if let Some(error) = loads.failed {
            return Err(error);
        }
        let outcome =
            outcome.map(|told| if self.includes { self.included.borrow_mut().unwrap(told) } else { told });
        outcome.map_err(|error| {
            let place = match &error {
                CallError::Function(FunctionError { position: Some(at), .. }) => original(&self.pieces, *at),
                _ => None,
            };
            let message = match error {
                CallError::Function(FunctionError { message, .. }) => message,
                other => other.to_string(),
            };
            let at = place.unwrap_or(Position { line: 1, column: 1 });
            QueryError::Script {
                line: at.line,
                column: at.column,
                id: row.id.unwrap_or_default().to_owned(),
                message,
            }
        })
    }
}

/// `load()` in the script.
struct SourceLoads<'a> {
    source: &'a dyn Source,
    failed: Option<QueryError>,
}

impl Loads for SourceLoads<'_> {
    fn load(&mut self, id: &str, collection: Option<&Collection>, _: bool) -> Option<Arc<Document>> {
        match self.source.document(id) {
            Ok(found) => found
                .filter(|document| collection.is_none_or(|wanted| *wanted == document.collection))
                .map(Arc::new),
            Err(error) => {
                self.failed.get_or_insert(error);
                None
            }
        }
    }

    fn counter(&mut self, id: &str, name: &str) -> Option<i64> {
        self.source.counter(id, name).unwrap_or_else(|error| {
            self.failed.get_or_insert(error);
            None
        })
    }

    fn compare_exchange(&mut self, key: &str) -> Option<Json> {
        match self.source.compare_exchange(key) {
            Ok(found) => found.map(|(value, _)| value),
            Err(error) => {
                self.failed.get_or_insert(error);
                None
            }
        }
    }
}

/// Text that grows, with the places of what comes from the query.
#[derive(Default)]
struct Text {
    out: String,
    lines: u32,
    pieces: Vec<(u32, Position)>,
}

impl Text {
    fn put(&mut self, text: &str) {
        self.lines += u32::try_from(text.matches('\n').count()).unwrap_or(0);
        self.out.push_str(text);
    }

    /// Puts an expression of the query on lines of its own.
    fn expression(&mut self, text: &str, position: Position) {
        self.put("(");
        self.statement(text, position);
        self.put(")");
    }

    /// Puts a statement of the query on lines of its own.
    fn statement(&mut self, text: &str, position: Position) {
        self.put("\n");
        self.pieces.push((self.lines + 1, position));
        self.put(text);
        self.put("\n");
    }
}

/// The place in the query of a place in the function.
fn original(pieces: &[(u32, Position)], at: magpie_indexes::function::Position) -> Option<Position> {
    let (line, start) = pieces.iter().rev().find(|(line, _)| *line <= at.line)?;
    let column = if at.line == *line { start.column + at.column - 1 } else { at.column };
    Some(Position { line: start.line + (at.line - line), column })
}

/// Where `part` stands in the query behind the word at `keyword`.
fn place_of(query: &str, part: &str, keyword: Position) -> Position {
    let line_start: usize = query
        .split_inclusive('\n')
        .take(usize::try_from(keyword.line.saturating_sub(1)).unwrap_or(0))
        .map(str::len)
        .sum();
    let behind = query.get(line_start..).unwrap_or_default();
    let column = usize::try_from(keyword.column.saturating_sub(1)).unwrap_or(0);
    let skipped: usize = behind.chars().take(column).map(char::len_utf8).sum();
    let from = line_start + skipped;
    let found = query.get(from..).and_then(|rest| rest.find(part)).map_or(from, |at| from + at);
    let before = query.get(..found).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    Position { line: u32::try_from(line).unwrap_or(1), column: u32::try_from(column).unwrap_or(1) }
}

fn is_name(text: &str) -> bool {
    !text.starts_with(|c: char| c.is_ascii_digit())
        && !text.is_empty()
        && text.chars().all(|c| c == '_' || c == '$' || c.is_alphanumeric())
}
