//! GB-hours of storage per job, user and file, exact at any instant: three indexes, each over the results of the one
//! before.

#[path = "file_shares/index.rs"]
pub mod file_shares;
#[path = "file_timelines/index.rs"]
pub mod file_timelines;
#[path = "storage_usage/index.rs"]
pub mod storage_usage;
