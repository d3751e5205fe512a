//! What can go wrong with indexes. Staleness is data, not an error.

use crate::calls::CallError;
use crate::function::FunctionError;
use crate::laws::BrokenLaw;
use crate::limits::{TRIAL_MS_MAX, TRIALS_RUNNING_MAX};
use crate::output::pattern::PatternError;
use magpie_store::StoreError;
use magpie_store::kv::KvError;
use thiserror::Error;

/// A failed call on the indexes of a database.
#[derive(Debug, Error)]
pub enum IndexError {
    /// The name breaks the rules.
    #[error("{0}")]
    InvalidName(String),
    /// The definition breaks a rule that needs no script engine to see.
    #[error("index '{name}' cannot be created: {reason}")]
    InvalidDefinition {
        /// The index.
        name: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The script does not compile or breaks a rule of the dialect.
    #[error("{error}")]
    Script {
        /// The index.
        name: String,
        /// What is wrong, with its position.
        error: FunctionError,
    },
    /// The pattern of the ids of reference documents cannot be used.
    #[error("index '{name}' cannot be created: {error}")]
    Pattern {
        /// The index.
        name: String,
        /// What is wrong, and where.
        error: PatternError,
    },
    /// The results must not become documents of that collection.
    #[error("{reason}")]
    OutputRefused {
        /// The index.
        name: String,
        /// Why not, and what to do.
        reason: String,
    },
    /// The functions break a law, and the definition asks for strictness.
    #[error(
        "index '{name}' cannot be created: it breaks a law of map/reduce.\n{law}\nMend it, or set its configuration \
         Magpie.Laws to warn"
    )]
    LawBroken {
        /// The index.
        name: String,
        /// Which law, on what, and what to do.
        law: Box<BrokenLaw>,
    },
    /// A call of the law check did not come back, and the definition asks for strictness.
    #[error(
        "index '{name}' cannot be created: a call of its functions did not come back within {ms_max} ms \
         (law_wait_ms_max) in the law check; make it do less for one call"
    )]
    LawsHang {
        /// The index.
        name: String,
        /// How long was waited, in milliseconds.
        ms_max: u64,
    },
    /// The index is locked against changes.
    #[error("Cannot change index '{name}': its lock mode is LockedError; set it to Unlock first")]
    Locked {
        /// The index.
        name: String,
    },
    /// There is no such index.
    #[error("There is no index with '{name}' name.")]
    NotFound {
        /// The name as asked for.
        name: String,
    },
    /// The index was replaced or reset after the snapshot was taken: take a new snapshot.
    #[error("index '{name}' was replaced while it was read; ask again")]
    Moved {
        /// The index.
        name: String,
    },
    /// More slots than a u32 counts.
    #[error("no more index builds can be numbered in this database; export it and import it into a new one")]
    SlotsExhausted,
    /// The worker thread could not be started.
    #[error("the thread of index '{name}' could not be started: {cause}")]
    Thread {
        /// The index.
        name: String,
        /// The system's words.
        cause: String,
    },
    /// A reduce key that the index cannot have.
    #[error("index '{name}': {reason}")]
    Key {
        /// The index.
        name: String,
        /// What does not fit, and what to give.
        reason: String,
    },
    /// Calling the index's functions outside of its worker gave nothing.
    #[error("calling the functions of index '{name}': {error}")]
    Call {
        /// The index.
        name: String,
        /// Why not.
        error: CallError,
    },
    /// As many definitions as may be tried at a time are being tried.
    #[error(
        "{TRIALS_RUNNING_MAX} definitions are being tried, or hang in their functions (trials_running_max); ask again later"
    )]
    TrialsRunning,
    /// A definition's functions did not come back when it was tried.
    #[error(
        "index '{name}' was tried for {} ms and did not come back; make its functions do less for one call",
        2 * TRIAL_MS_MAX
    )]
    TrialHangs {
        /// The index.
        name: String,
    },
    /// A definition's functions panicked when it was tried.
    #[error("the functions of index '{name}' panicked when it was tried")]
    TrialPanicked {
        /// The index.
        name: String,
    },
    /// A stored row does not have the layout it must have.
    #[error("index rows are damaged: {0}; reset the index")]
    Corrupt(String),
    /// The functions of an index that is being built do not compile.
    #[error("{0}")]
    Function(FunctionError),
    /// No thread of a build could be started.
    #[error("no thread could be started to build the index: {0}")]
    BuildThread(std::io::Error),
    /// A scratch file of a build failed.
    #[error("a scratch file beside the data failed: {0}; make room on that disk, then reset the index")]
    Scratch(std::io::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<KvError> for IndexError {
    fn from(error: KvError) -> Self {
        Self::Store(StoreError::Kv(error))
    }
}
