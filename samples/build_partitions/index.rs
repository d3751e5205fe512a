//! Is a partition live, and if not, why: two indexes, the second over the results of the first.

#[path = "partition_state/index.rs"]
pub mod partition_state;
#[path = "partition_why/index.rs"]
pub mod partition_why;
