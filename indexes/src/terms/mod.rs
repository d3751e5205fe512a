//! Terms: the values of result fields in order, each with the results that have it, so that a query filters and sorts
//! by any field without reading all results.
//!
//! Terms are a cache of the results: a pure function of results and wanted fields, kept in rows of the index's slot. A
//! field costs nothing until a query asks for it ([`crate::Index::want_terms`]). Then the worker makes its terms from
//! the results in bounded steps, each a batch with its own progress (`build.rs`), and from then on every indexing batch
//! changes terms together with results (`changes.rs`). Until they are complete nobody reads them.
//!
//! A field has a **family** of terms for each way of ordering, made only where it is asked for. What a family holds
//! and how that becomes bytes is said in `posting.rs`. Readers get the results that *can* fit (`candidates.rs`), which
//! the query filters again, or all results in the order of a field (`walk.rs`), where equal ones are told apart again.
//!
//! Counts of terms (`counts.rs`) tell totals without reading.
//!
//! `Progress::terms` counts the fields. Who changes results without knowing terms, as older versions do, writes none,
//! and then all terms are made anew before they are read again.

mod alphanumeric;
mod build;
mod candidates;
mod changes;
mod counts;
mod documents;
mod field;
pub mod instant;
mod posting;
mod read;
mod span;
pub mod value;
mod verify;
mod walk;
mod words;

pub use alphanumeric::Chunks;
pub use build::{TermStep, fields, step};
pub(crate) use changes::TermChanges;
pub use documents::{AutoReader, PlacedDocument, PlacedDocuments, in_entries};
pub use field::{Family, TermField};
pub use posting::truncated;
pub use read::{InOrder, IndexRow, IndexRows, Placed};
pub use span::{Need, TermSpan};
pub(crate) use verify::wrong_fields;
pub use words::{Analyzer, WordPlace};
