//! The fields of auto indexes, under which dynamic queries are reported: `Auto/Users/ByageAndname`.

pub use magpie_indexes::auto::{AutoFields, GroupFields};
