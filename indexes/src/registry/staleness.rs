//! Why an index is stale: one sentence for people, and what it is made of for programs.

use super::Registry;
use crate::definition::REPLACEMENT_PREFIX;
use crate::error::IndexError;
use crate::faults::{Fault, read_faults};
use crate::index::{Index, IndexStatus};
use crate::limits;
use crate::progress::Progress;
use crate::references::PendingLoad;
use magpie_store::DatabaseView;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How many changes of its documents, deletions included, an index has still to take in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behind {
    /// Counted, up to [`limits::BEHIND_COUNTED_MAX`].
    Counted(u64),
    /// More than that; about so many.
    About(u64),
}

impl Behind {
    /// The number, be it counted or estimated.
    #[must_use]
    pub fn count(self) -> u64 {
        let (Self::Counted(count) | Self::About(count)) = self;
        count
    }
}

/// `1 changed document`, `12 changed documents`, `more than 1024 (about 5000) changed documents`.
impl fmt::Display for Behind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Counted(0) => write!(formatter, "no changed document"),
            Self::Counted(1) => write!(formatter, "1 changed document"),
            Self::Counted(count) => write!(formatter, "{count} changed documents"),
            Self::About(count) => {
                write!(
                    formatter,
                    "more than {} (about {count}) changed documents",
                    limits::BEHIND_COUNTED_MAX
                )
            }
        }
    }
}

/// Whether an index is stale, and why, as of a snapshot.
#[derive(Debug, Clone, PartialEq)]
pub struct Staleness {
    /// Whether it does not show everything that is in the snapshot.
    pub is_stale: bool,
    /// The reason in one sentence or two, with what to do about it if anything.
    pub why: String,
    /// What it has to take in itself.
    pub behind: Behind,
    /// The first index of its chain that holds it up, if that is another one.
    pub blocked_by: Option<String>,
    /// When it will have caught up by itself, as fast as it went lately; `None` when that cannot be told.
    pub eta: Option<Duration>,
    /// The newest of its errors that are listed.
    pub last_error: Option<Fault>,
    /// What it is doing.
    pub status: IndexStatus,
}

impl Registry {
    /// Why an index is stale, if it is, as of the snapshot.
    ///
    /// # Errors
    /// When the store fails or a row is damaged.
    pub fn staleness(&self, view: &DatabaseView<'_>, index: &Arc<Index>) -> Result<Staleness, IndexError> {
        let blocker = self.blocked_by(view, index)?;
        let is_stale = blocker.is_some();
        let other = blocker.filter(|blocker| blocker.slot() != index.slot());
        let behind = behind(view, index)?;
        let status = index.status(view)?;
        let runs = status == IndexStatus::Running;
        let eta = if runs && other.is_none() && is_stale { index.time_for(behind.count()) } else { None };
        let mut why = match &other {
            Some(other) if runs => waits_for(view, index, other)?,
            _ => reason(view, index, &status, behind, is_stale)?,
        };
        if let Some(eta) = eta {
            why.push_str(&format!(" It will take about {} seconds.", eta.as_secs()));
        }
        if let Some(next) = self.get(&format!("{REPLACEMENT_PREFIX}{}", index.name())) {
            let missing = self::behind(view, &next)?;
            why.push_str(&format!(" Its new definition is being built next to it and waits for {missing}."));
        }
        let faults = read_faults(view.kv(), index.slot(), limits::ERRORS_LISTED_MAX)?;
        Ok(Staleness {
            is_stale,
            why,
            behind,
            blocked_by: other.map(|other| other.name()),
            eta,
            last_error: faults.into_iter().max_by_key(|fault| fault.at.0),
            status,
        })
    }
}

/// The changes of its feed that an index has not taken in.
fn behind(view: &DatabaseView<'_>, index: &Index) -> Result<Behind, IndexError> {
    let reached = Progress::read(view.kv(), index.slot())?.etag;
    let newest = view.last_etag_of(index.feed())?;
    if newest <= reached {
        return Ok(Behind::Counted(0));
    }
    let changes = view.changes_after(index.feed(), reached, limits::BEHIND_COUNTED_MAX + 1)?.len();
    if changes <= limits::BEHIND_COUNTED_MAX {
        return Ok(Behind::Counted(changes as u64));
    }
    // Each document and tombstone waits once, and no more of them than etags were given since.
    // A bulk build is through with some of them.
    let built = index.bulk_mapped();
    let all = view.collections()?.into_iter().filter(|stats| index.feed().contains(&stats.collection));
    let rows: u64 = all.map(|stats| stats.documents + stats.tombstones).sum();
    let left = rows.min(newest.0 - reached.0).saturating_sub(built);
    Ok(Behind::About(left.max(changes as u64)))
}

/// The sentence for an index that another one holds up.
fn waits_for(view: &DatabaseView<'_>, index: &Index, other: &Index) -> Result<String, IndexError> {
    let (name, before) = (index.name(), other.name());
    let its = match other.status(view)? {
        IndexStatus::Failed(_) => "has failed".to_owned(),
        IndexStatus::Disabled => "is disabled".to_owned(),
        IndexStatus::Paused => "is paused".to_owned(),
        IndexStatus::Running if other.is_behind(view)? => {
            format!("waits for {} itself", behind(view, other)?)
        }
        IndexStatus::Running => "is still writing its results as documents".to_owned(),
    };
    Ok(format!("Index {name} is stale because index {before}, whose documents it reads, {its}."))
}

/// The sentence for an index that nobody else holds up.
fn reason(
    view: &DatabaseView<'_>,
    index: &Index,
    status: &IndexStatus,
    behind: Behind,
    is_stale: bool,
) -> Result<String, IndexError> {
    let name = index.name();
    Ok(match status {
        IndexStatus::Failed(cause) => format!("{}.", cause.trim_end_matches('.')),
        IndexStatus::Disabled | IndexStatus::Paused if behind.count() == 0 && !is_stale => {
            format!("Index {name} takes nothing in at present, and nothing waits.")
        }
        IndexStatus::Disabled => {
            format!("Index {name} is disabled, and {behind} must wait until it is enabled.")
        }
        IndexStatus::Paused => format!("Index {name} is paused, and {behind} must wait until it is started."),
        IndexStatus::Running if !is_stale && index.is_output_behind(view)? => {
            format!("Index {name} is up to date and is writing its results as documents.")
        }
        IndexStatus::Running if !is_stale => format!("Index {name} is up to date."),
        IndexStatus::Running => match PendingLoad::read(view.kv(), index.slot())? {
            Some(pending) => format!(
                "Index {name} maps the documents again that load '{}', which has changed; then it has {behind} to take \
                 in.",
                pending.loaded
            ),
            None if index.is_replacement() => format!(
                "Index {name} is being rebuilt next to the old one, which answers meanwhile, and has {behind} to take \
                 in."
            ),
            None => format!("Index {name} has {behind} to take in."),
        },
    })
}
