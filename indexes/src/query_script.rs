//! The script of one query: called for one row after the other on a thread of its own, with the bounds that every
//! script has. Threads of queries are counted across all databases, those too that are left behind in a call that does
//! not come back.

use crate::calls::{CallError, CallLimits, Calls};
use crate::function::{FunctionError, FunctionShape, FunctionSource, IndexFunction, Loads};
use crate::limits::QUERY_SCRIPTS_MAX;
use crate::script::QuerySource;
use magpie_store::json::{Json, Object};
use magpie_store::{Collection, Document, DocumentId, Etag, Timestamp};
use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// Why there is no script to call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueryScriptError {
    /// The text is no JavaScript that a query may use.
    Refused(FunctionError),
    /// As many run as may.
    Busy {
        /// How many.
        limit: usize,
    },
}

/// One function, called by one query.
pub struct QueryScript {
    calls: Calls,
    now: Timestamp,
}

impl Debug for QueryScript {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str("QueryScript")
    }
}

impl QueryScript {
    /// The function of `parameter` that runs the statements `head`, each with its end, and gives `result`, an
    /// expression. When that is the body of a `select`, `body_of` are the names that the query has, and the body may contain
    /// only what RavenDB allows in it. `now` is what its clock shows, if it has one. Positions of errors count in what
    /// [`Self::text`] makes of these.
    ///
    /// # Errors
    /// [`QueryScriptError::Refused`] with the position in the text; [`QueryScriptError::Busy`].
    pub fn new(
        parameter: &str,
        head: &str,
        result: &str,
        body_of: Option<&[&str]>,
        now: Option<Timestamp>,
    ) -> Result<Self, QueryScriptError> {
        let permit = Permit::take()?;
        let source = QuerySource::new(&Self::text(parameter, head, result), body_of)
            .map_err(QueryScriptError::Refused)?;
        let limits = CallLimits { threads_max: 1, abandoned_max: 1, ..CallLimits::default() };
        let calls = Calls::with_limits(Arc::new(Counted { source, _permit: permit }), limits);
        Ok(Self { calls, now: now.unwrap_or_default() })
    }

    /// The text in which positions of errors count, one line further down.
    #[must_use]
    pub fn text(parameter: &str, head: &str, result: &str) -> String {
        QuerySource::wrapped(parameter, head, result)
    }

    /// Calls the function with an object as its argument. `loads` is asked on the calling thread.
    ///
    /// # Errors
    /// Any [`CallError`].
    pub fn call(&self, row: &Object, loads: &mut dyn Loads) -> Result<Json, CallError> {
        let id = DocumentId::new("row").map_err(|error| CallError::Thread { cause: error.to_string() })?;
        let document = Document {
            id,
            collection: Collection::empty(),
            etag: Etag(0),
            // The engine takes the time of the row for the query's.
            last_modified: self.now,
            body: row.to_string().into(),
            metadata: "{}".into(),
        };
        self.calls.map(&document, loads).map(QuerySource::result)
    }
}

/// A source whose place is free again when the last thread that uses it has ended.
struct Counted {
    source: QuerySource,
    _permit: Permit,
}

impl FunctionSource for Counted {
    fn shape(&self) -> &FunctionShape {
        self.source.shape()
    }

    fn canonical_text(&self) -> &str {
        self.source.canonical_text()
    }

    fn create(&self) -> Result<Box<dyn IndexFunction>, FunctionError> {
        self.source.create()
    }
}

struct Permit;

impl Permit {
    fn take() -> Result<Self, QueryScriptError> {
        let taken = RUNNING.fetch_add(1, Ordering::SeqCst);
        let permit = Self;
        if taken < QUERY_SCRIPTS_MAX {
            Ok(permit)
        } else {
            Err(QueryScriptError::Busy { limit: QUERY_SCRIPTS_MAX })
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::{QueryScript, QueryScriptError};
    use crate::function::NoLoads;
    use crate::limits::QUERY_SCRIPTS_MAX;
    use magpie_store::json::{Json, Object, parse};

    fn row(text: &str) -> Object {
        parse(text.as_bytes()).unwrap().as_object().unwrap().clone()
    }

    // One test, because the scripts of all tests are counted together.
    #[test]
    fn scripts_give_data_and_are_counted() {
        let result =
            "{a: r.d.n + 1, b: undefined, c: NaN, d: [1/0, () => 1, Symbol()], e: /x/, f: r.gone.x, g: -0}";
        let script = QueryScript::new("r", "", result, None, None).unwrap();
        let told = script.call(&row(r#"{"d":{"n":1}}"#), &mut NoLoads).unwrap();
        assert_eq!(
            told.to_string(),
            r#"{"a":2,"b":null,"c":"NaN","d":["Infinity",null,null],"e":{"lastIndex":0},"f":null,"g":0}"#
        );
        let boosted = QueryScript::new("r", "", "{$boost: 1, $value: 2}", None, None).unwrap();
        let told = boosted.call(&Object::new(), &mut NoLoads).unwrap();
        assert_eq!(told.get("$value").and_then(Json::as_i64), Some(2), "nothing is unwrapped");
        let endless = QueryScript::new("r", "while (true) {}", "1", None, None).unwrap();
        assert!(endless.call(&Object::new(), &mut NoLoads).is_err());
        drop((script, boosted, endless));

        let held: Vec<QueryScript> =
            (0..QUERY_SCRIPTS_MAX).map(|_| QueryScript::new("r", "", "1", None, None).unwrap()).collect();
        let more = QueryScript::new("r", "", "1", None, None);
        assert!(matches!(more, Err(QueryScriptError::Busy { limit: QUERY_SCRIPTS_MAX })), "{more:?}");
        drop(held);
        assert!(QueryScript::new("r", "", "1", None, None).is_ok());
        assert!(matches!(QueryScript::new("r", "", "1 +", None, None), Err(QueryScriptError::Refused(_))));
    }
}
