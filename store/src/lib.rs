//! The document store of Magpie: JSON documents in, a change feed out, nothing acknowledged before it is on disk.
//!
//! # Promise
//! * [`Database::write`] is all or nothing, returns after the data is synced, and gives each write the next
//!   [`Etag`] of one gapless sequence.
//! * [`DatabaseView`] is one consistent state; its change feed has each live document and each tombstone once.
//! * A document comes back as it was sent: key order and every digit of every number.
//! * After a failed commit the database takes no more writes and says so. It never goes on as if nothing happened.
//!
//! It knows no indexes, reads no clock, draws no random numbers, and opens no sockets: times and ids come in as
//! arguments, so the same commands give the same bytes everywhere.
//!
//! # Limits
//! Ids have up to 512 bytes, collection names 256, documents 16 MiB as compact JSON, nesting 100 levels; see
//! [`limits`]. One process at a time has a folder open.
//!
//! # Example
//! ```
//! use magpie_store::kv::memory::MemoryKv;
//! use magpie_store::{CollectionFilter, Command, Database, DocumentId, Etag, NewDocument, StoreError, Timestamp};
//! use std::sync::Arc;
//!
//! # fn main() -> Result<(), StoreError> {
//! let database = Database::open(Arc::new(MemoryKv::new()), "AAAAAAAAAAAAAAAAAAAAAA")?;
//! let text = br#"{"job":"42","bytes":1024,"@metadata":{"@collection":"FileEvents"}}"#;
//! let put = Command::Put { id: "events/".into(), document: NewDocument::parse("events/", text)?, expected: None };
//! database.write(vec![put], Timestamp(0))?;
//!
//! let view = database.view();
//! let changes = view.changes_after(&CollectionFilter::All, Etag(0), 100)?;
//! assert_eq!(changes[0].id.as_str(), "events/0000000000000000001-A");
//! let event = view.document(&DocumentId::new("EVENTS/0000000000000000001-A")?)?.expect("ids ignore case");
//! assert_eq!(&*event.body, r#"{"job":"42","bytes":1024}"#);
//! # Ok(())
//! # }
//! ```

pub mod json;
pub mod kv;
pub mod limits;
pub mod ordered;

mod attachments;
mod change_feed;
mod command;
mod compare_exchange;
mod counters;
mod database;
mod document;
mod document_reader;
mod error;
mod group_commit;
mod identities;
mod kept;
mod keys;
mod lists;
mod rows;
mod timestamp;
mod view;
mod write;

pub use attachments::{Attachment, Content, ContentHash};
pub use change_feed::{Change, CollectionFilter};
pub use command::{Command, NewDocument, Outcome};
pub use compare_exchange::{CompareExchangeValue, CompareExchanged};
pub use counters::{Counter, CounterAction, CounterOperation};
pub use database::Database;
pub use document::{ChangeVector, Collection, Document, DocumentId, Etag};
pub use document_reader::DocumentReader;
pub use error::StoreError;
pub use kept::{KeptItem, KeptPart};
pub use timestamp::Timestamp;
pub use view::{CollectionStats, DatabaseView};
