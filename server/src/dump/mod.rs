//! `.ravendbdump` files: reading them into a database, and writing one.
//!
//! A dump streams through in bounded memory: [`unpack`] takes the container off, [`reader`] finds the elements,
//! [`import`] writes them in sub-batches, [`keep`] keeps what Magpie has nothing for. What was written before a fault stays, and the report says what that is.
//! [`csv_import`] reads tables of text the same way.
//! [`export`] writes one state of a database, and [`pack`] sends it on its way.

pub(crate) mod auto_index;
mod batch;
mod collector;
pub(crate) mod counters;
pub(crate) mod counts;
pub(crate) mod csv_document;
pub(crate) mod csv_import;
pub(crate) mod csv_options;
pub(crate) mod csv_records;
pub(crate) mod error;
pub(crate) mod export;
pub(crate) mod import;
pub(crate) mod import_indexes;
pub(crate) mod keep;
pub(crate) mod legacy;
pub(crate) mod options;
pub(crate) mod pack;
pub(crate) mod reader;
pub(crate) mod transform;
pub(crate) mod unpack;

use crate::error::ServerError;
use counts::Counts;

/// What takes a file in pieces and writes what is in it.
pub(crate) trait Intake {
    /// Takes the next piece.
    ///
    /// # Errors
    /// What is wrong with the file, a failure of the store, [`ServerError::OperationKilled`]. The import is over then; see
    /// [`Self::stopped`].
    fn feed(&mut self, piece: &[u8]) -> Result<(), ServerError>;

    /// The end of the file: what it came to.
    ///
    /// # Errors
    /// As [`Self::feed`].
    fn finish(&mut self) -> Result<Counts, ServerError>;

    /// Writes what was read, if that can be, and says what is in the database now, with the cause of the end.
    fn stopped(self: Box<Self>, cause: ServerError) -> ServerError;
}
