//! RQL: query text to rows.
//!
//! # Promise
//! * [`parse`] reads any text without panicking, and what it accepts prints back as an equal query.
//! * A clause or method that is not answered is refused with its name and place, never skipped.
//! * Arithmetic of `select` is exact, on whole numbers of any size, and `reduce by` folds with the index's own reduce.
//! * Comparisons are by value: numbers exactly, dates by instant, strings without regard to case (see
//!   [`QueryError`] for what is refused).
//! * An answer comes from one [`Source`], that is one state of the database, and holds no more than offset + limit rows
//!   in memory; without a limit it is bounded by [`limits`].
//!
//! The crate never writes, and knows neither the disk nor the network: a [`Source`] gives it documents and index
//! results.
//!
//! # Example
//! ```
//! use magpie_query::{parse, QueryError};
//!
//! let query = parse("from index 'Jobs/Totals' where job = $job order by bytes as long desc limit 10")?;
//! assert_eq!(query.order_by.len(), 1);
//!
//! let error = parse("from Jobs order by").unwrap_err();
//! assert!(error.to_string().starts_with("1:19 Unable to get field for ORDER BY"));
//! assert!(matches!(error, QueryError::Syntax { line: 1, column: 19, .. }));
//! # Ok::<(), QueryError>(())
//! ```

mod answer_row;
mod arithmetic;
pub mod ast;
mod auto_index;
mod auto_read;
mod compare;
mod counters;
mod error;
mod execute;
mod filter;
mod fold;
mod full_text;
mod group_by;
mod grouped;
mod highlight;
mod include;
mod lexer;
pub mod limits;
mod load;
mod order;
mod parsed;
mod parser;
mod plan;
mod projection;
mod reduce_by;
mod row_filter;
mod script;
mod snapshot;
mod source;
mod tally;
mod term;

pub use answer_row::AnswerRow;
pub use auto_index::{AutoFields, GroupFields};
pub use auto_read::{DocumentsInOrder, IndexedGroups, SourceAuto};
pub use counters::CounterIncludes;
pub use error::QueryError;
pub use execute::{Answer, Request, RowSink, execute, stream};
pub use parsed::{ParsedQueries, ParsedQuery};
pub use parser::parse;
pub use snapshot::Snapshot;
pub use source::{
    Documents, Entries, KeyRange, ReducedResult, ReducedResults, Results, Source, SourceCollection,
    SourceIndex,
};
