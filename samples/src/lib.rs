//! Magpie's samples: one folder per use case, each with the same index in JavaScript and in Rust.
//!
//! A folder holds `index.js` (maps and reduce), `index.rs` (the same index as Rust code, same output byte for byte),
//! `events.ndjson` (a small story with its edge cases), `queries.json` (queries with their expected answers) and a
//! `README.md`. To make an index of your own in Rust, read [`native`] and one `index.rs`.

#[path = "../job_files/index.rs"]
pub mod job_files;
pub mod native;
#[path = "../runtime_by_user/index.rs"]
pub mod runtime_by_user;
#[path = "../shopping_cart/index.rs"]
pub mod shopping_cart;

use magpie_indexes::IndexDefinition;
use magpie_indexes::function::SharedSource;

/// One use case with all its files.
#[derive(Clone, Copy)]
pub struct Sample {
    /// The index's name.
    pub name: &'static str,
    /// The folder's name.
    pub folder: &'static str,
    /// `index.js`.
    pub script: &'static str,
    /// `events.ndjson`: one event a line; `id` is the document id, `type` its collection.
    pub events: &'static str,
    /// `queries.json`: an array of `{query, parameters, results}`, results without `@metadata`.
    pub queries: &'static str,
    /// The same index as Rust code.
    pub native: fn() -> SharedSource,
}

macro_rules! sample {
    ($name:literal, $folder:literal, $native:path) => {
        Sample {
            name: $name,
            folder: $folder,
            script: include_str!(concat!("../", $folder, "/index.js")),
            events: include_str!(concat!("../", $folder, "/events.ndjson")),
            queries: include_str!(concat!("../", $folder, "/queries.json")),
            native: $native,
        }
    };
}

/// Every sample, in the order of the README.
pub const SAMPLES: [Sample; 3] = [
    sample!("ShoppingCart", "shopping_cart", shopping_cart::source),
    sample!("JobFiles", "job_files", job_files::source),
    sample!("RuntimeByUser", "runtime_by_user", runtime_by_user::source),
];

/// The definition of a script like `index.js`: from the line that starts with `groupBy(` on it is the reduce, all
/// before it is the maps. A script without such a line is a map-only index.
///
/// ```
/// let definition = magpie_samples::definition("A", "map('X', x => ({k: x.k, n: 1}));\n\ngroupBy(x => x.k)");
/// assert_eq!(definition.maps, ["map('X', x => ({k: x.k, n: 1}));"]);
/// assert_eq!(definition.reduce.as_deref(), Some("groupBy(x => x.k)"));
/// assert_eq!(magpie_samples::definition("B", "map('X', x => x.k)").reduce, None);
/// ```
#[must_use]
pub fn definition(name: &str, script: &str) -> IndexDefinition {
    let reduce_at = if script.starts_with("groupBy(") {
        Some(0)
    } else {
        script.find("\ngroupBy(").map(|line_end| line_end + 1)
    };
    let (maps, reduce) = match reduce_at {
        Some(at) => {
            let (maps, reduce) = script.split_at(at);
            (maps, Some(reduce.trim_end().to_owned()))
        }
        None => (script, None),
    };
    IndexDefinition {
        name: name.to_owned(),
        maps: vec![maps.trim_end().to_owned()],
        reduce,
        ..IndexDefinition::default()
    }
}
