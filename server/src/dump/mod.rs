//! `.ravendbdump` files: reading them into a database, and writing one.
//!
//! A dump streams through in bounded memory: [`unpack`] takes the container off, [`reader`] finds the elements,
//! [`import`] writes them in sub-batches, [`keep`] keeps what Magpie has nothing for. What was written before a fault stays, and the report says what that is.
//! [`export`] writes one state of a database, and [`pack`] sends it on its way.

pub(crate) mod auto_index;
mod collector;
pub(crate) mod counts;
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
