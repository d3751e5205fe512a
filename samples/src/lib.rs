//! Magpie's samples: one folder per use case, each with the same indexes in JavaScript and in Rust.
//!
//! A folder holds `events.ndjson` (a small story with its edge cases), `queries.json` (queries with their expected
//! answers), a `README.md`, and either one index or a folder for each of its indexes: `index.js` (maps and reduce),
//! `index.rs` (the same index as Rust code, same output byte for byte) and, where there is more to say, `index.json`
//! (further fields of the definition). To make an index of your own in Rust, read [`native`] and one `index.rs`.

#[path = "../build_partitions/index.rs"]
pub mod build_partitions;
#[path = "../job_files/index.rs"]
pub mod job_files;
#[path = "../job_service/index.rs"]
pub mod job_service;
pub mod moment;
pub mod native;
#[path = "../runtime_by_user/index.rs"]
pub mod runtime_by_user;
#[path = "../shopping_cart/index.rs"]
pub mod shopping_cart;
#[path = "../storage_gb_hours/index.rs"]
pub mod storage_gb_hours;

use magpie_indexes::function::SharedSource;
use magpie_indexes::{IndexDefinition, NativeIndex};

/// One use case with all its files.
#[derive(Clone, Copy)]
pub struct Sample {
    /// The folder's name.
    pub folder: &'static str,
    /// Its indexes, each behind those whose documents it maps.
    pub indexes: &'static [SampleIndex],
    /// `events.ndjson`: one event a line; `id` is the document id, `type` its collection.
    pub events: &'static str,
    /// `queries.json`: an array of `{query, parameters, results}`, results without `@metadata`.
    pub queries: &'static str,
}

/// One index of a sample.
#[derive(Clone, Copy)]
pub struct SampleIndex {
    /// Its name.
    pub name: &'static str,
    /// `index.js`.
    pub script: &'static str,
    /// `index.json`: further fields of the definition; `{}` where there is no such file.
    pub options: &'static str,
    /// The same index as Rust code.
    pub native: fn() -> SharedSource,
}

impl SampleIndex {
    /// The index in JavaScript.
    ///
    /// # Errors
    /// When `index.json` does not hold fields of a definition.
    pub fn definition(&self) -> Result<IndexDefinition, serde_json::Error> {
        let functions = definition(self.name, self.script);
        let options: IndexDefinition = serde_json::from_str(self.options)?;
        Ok(IndexDefinition {
            name: functions.name,
            maps: functions.maps,
            reduce: functions.reduce,
            ..options
        })
    }

    /// The index in Rust, under the same name.
    #[must_use]
    pub fn native_index(&self) -> NativeIndex {
        NativeIndex { name: self.name.to_owned(), source: (self.native)() }
    }
}

/// A sample with one index, whose files lie next to the others.
macro_rules! sample {
    ($name:literal, $folder:literal, $native:path) => {
        Sample {
            folder: $folder,
            indexes: &[SampleIndex {
                name: $name,
                script: include_str!(concat!("../", $folder, "/index.js")),
                options: "{}",
                native: $native,
            }],
            events: include_str!(concat!("../", $folder, "/events.ndjson")),
            queries: include_str!(concat!("../", $folder, "/queries.json")),
        }
    };
}

/// An index of a sample that has a folder for each.
macro_rules! index {
    ($name:literal, $folder:literal, $options:expr, $native:path) => {
        SampleIndex {
            name: $name,
            script: include_str!(concat!("../", $folder, "/index.js")),
            options: $options,
            native: $native,
        }
    };
}

/// Files over time, who shares them, and what that comes to.
const STORAGE_GB_HOURS: Sample = Sample {
    folder: "storage_gb_hours",
    indexes: &[
        index!(
            "FileTimelines",
            "storage_gb_hours/file_timelines",
            include_str!("../storage_gb_hours/file_timelines/index.json"),
            storage_gb_hours::file_timelines::source
        ),
        index!(
            "FileShares",
            "storage_gb_hours/file_shares",
            include_str!("../storage_gb_hours/file_shares/index.json"),
            storage_gb_hours::file_shares::source
        ),
        index!(
            "StorageUsage",
            "storage_gb_hours/storage_usage",
            "{}",
            storage_gb_hours::storage_usage::source
        ),
    ],
    events: include_str!("../storage_gb_hours/events.ndjson"),
    queries: include_str!("../storage_gb_hours/queries.json"),
};

/// `build_partitions`.
pub const BUILD_PARTITIONS: Sample = Sample {
    folder: "build_partitions",
    indexes: &[
        index!(
            "PartitionState",
            "build_partitions/partition_state",
            include_str!("../build_partitions/partition_state/index.json"),
            build_partitions::partition_state::source
        ),
        index!(
            "PartitionWhy",
            "build_partitions/partition_why",
            "{}",
            build_partitions::partition_why::source
        ),
    ],
    events: include_str!("../build_partitions/events.ndjson"),
    queries: include_str!("../build_partitions/queries.json"),
};

/// `job_service`.
pub const JOB_SERVICE: Sample = Sample {
    folder: "job_service",
    indexes: &[
        index!("JobState", "job_service/job_state", "{}", job_service::job_state::source),
        index!("JobHistory", "job_service/job_history", "{}", job_service::job_history::source),
    ],
    events: include_str!("../job_service/events.ndjson"),
    queries: include_str!("../job_service/queries.json"),
};

/// Every sample, in the order of the README.
pub const SAMPLES: [Sample; 6] = [
    sample!("ShoppingCart", "shopping_cart", shopping_cart::source),
    sample!("JobFiles", "job_files", job_files::source),
    sample!("RuntimeByUser", "runtime_by_user", runtime_by_user::source),
    STORAGE_GB_HOURS,
    BUILD_PARTITIONS,
    JOB_SERVICE,
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
