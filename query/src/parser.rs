//! RQL text to [`Query`]. The whole language is read, also clauses that are refused later, so that nothing is
//! misread. Recursion is bounded by [`limits::QUERY_DEPTH_MAX`]; no text makes it panic.

mod clauses;
mod condition;
mod expression;
mod names;

use crate::ast::{Position, Query};
use crate::error::QueryError;
use crate::lexer::{Lexeme, Mark, Scanner, Token};
use crate::limits;

/// Reads a query.
///
/// ```
/// let query = magpie_query::parse("from Users where age >= 18 order by name limit 10")?;
/// assert_eq!(query.to_string(), "from Users where age >= 18 order by name limit 10");
/// # Ok::<(), magpie_query::QueryError>(())
/// ```
///
/// # Errors
/// [`QueryError::Syntax`] and [`QueryError::Invalid`] for text that is not RQL, [`QueryError::Operation`] for an empty
/// text, [`QueryError::LimitReached`] for a text beyond [`limits::QUERY_BYTES_MAX`].
pub fn parse(text: &str) -> Result<Query, QueryError> {
    if text.trim().is_empty() {
        return Err(QueryError::Operation {
            message: "Index query does not contain 'Query' field.".to_owned(),
        });
    }
    if text.len() > limits::QUERY_BYTES_MAX {
        return Err(QueryError::LimitReached {
            name: "query_bytes_max",
            limit: limits::QUERY_BYTES_MAX,
            unit: "bytes of query text",
            advice: "pass long lists as parameters",
        });
    }
    Parser { scanner: Scanner::new(text), text, depth: 0 }.query()
}

/// The state of reading one query.
struct Parser<'a> {
    scanner: Scanner<'a>,
    text: &'a str,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn token(&mut self) -> &Token<'a> {
        &self.scanner.peek().token
    }

    fn start(&mut self) -> Mark {
        self.scanner.peek().start
    }

    fn position(&mut self) -> Position {
        self.start().position()
    }

    fn take(&mut self) -> Lexeme<'a> {
        self.scanner.take()
    }

    /// Whether the next token is this keyword.
    fn at_word(&mut self, word: &str) -> bool {
        matches!(self.token(), Token::Word(found) if found.eq_ignore_ascii_case(word))
    }

    /// Takes the next token if it is this keyword.
    fn take_word(&mut self, word: &str) -> bool {
        let found = self.at_word(word);
        if found {
            self.take();
        }
        found
    }

    fn at_symbol(&mut self, symbol: &str) -> bool {
        matches!(self.token(), Token::Symbol(found) if *found == symbol)
    }

    fn take_symbol(&mut self, symbol: &str) -> bool {
        let found = self.at_symbol(symbol);
        if found {
            self.take();
        }
        found
    }

    /// The error that the next token is not what is expected.
    fn syntax(&mut self, message: impl Into<String>) -> QueryError {
        let lexeme = self.scanner.peek().clone();
        self.syntax_at(&lexeme, message)
    }

    /// The error that `lexeme` is not what is expected.
    fn syntax_at(&self, lexeme: &Lexeme<'a>, message: impl Into<String>) -> QueryError {
        let message = if lexeme.token == Token::BadEscape {
            "unrecognized escape character found in string".to_owned()
        } else {
            message.into()
        };
        let position = lexeme.start.position();
        QueryError::Syntax {
            line: position.line,
            column: position.column,
            message,
            found: self.scanner.shown(lexeme),
            query: self.text.into(),
        }
    }

    /// The error that what was read makes no sense, found before the parameters are looked at.
    fn invalid(&self, message: impl Into<String>) -> QueryError {
        QueryError::Invalid { message: message.into(), query: self.text.into(), parameters: None }
    }

    /// Runs `read` one level deeper.
    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, QueryError>) -> Result<T, QueryError> {
        if self.depth >= limits::QUERY_DEPTH_MAX {
            return Err(self.syntax(format!(
                "Query is too complex, over {} nested clauses are not allowed",
                limits::QUERY_DEPTH_MAX
            )));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }
}
