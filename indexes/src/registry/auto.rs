//! Auto indexes come and go with the queries: what a query wants is written down while it is planned, made when it has
//! been answered, widened when others want more, and removed when a wider one has caught up or nobody asks any more.

use super::Registry;
use super::put::Plan;
use super::records;
use crate::auto::AutoDefinition;
use crate::definition::{IndexDefinition, IndexState};
use crate::error::IndexError;
use crate::index::{Index, lock};
use crate::limits;
use crate::terms::TermField;
use magpie_store::{DatabaseView, Timestamp};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The auto index of a query.
pub struct AutoUse {
    /// The name to report.
    pub name: String,
    /// What it has, or will have.
    pub auto: AutoDefinition,
}

/// After how long auto indexes are let go, in ticks of 100 ns.
#[derive(Debug, Clone, Copy)]
pub struct AutoTimes {
    /// From when a wider one has been found caught up.
    pub superseded: i64,
    /// From the last query on; then it does not follow the documents any more, until the next query.
    pub idle: i64,
    /// From the last query on; then it is removed.
    pub removed: i64,
}

/// An auto index that is to be made.
pub(super) struct Wanted {
    auto: AutoDefinition,
    terms: Vec<TermField>,
}

impl Registry {
    /// The auto index for a query that needs what `auto` has. When there is none, the one that would have that and all
    /// that others of its collection have is noted to be made by [`Self::make_wanted_auto_indexes`], with these terms.
    #[must_use]
    pub fn auto_index(&self, auto: &AutoDefinition, terms: &[TermField]) -> AutoUse {
        let mut like = self.auto_indexes();
        like.retain(|(_, there)| there.is_like(auto));
        like.sort_by_key(|(_, there)| (usize::MAX - there.size(), there.name()));
        let mut wider = auto.clone();
        like.iter().for_each(|(_, there)| wider.widen(there));
        like.retain(|(_, there)| there.covers(auto));
        if let Some((index, widest)) = like.first() {
            return AutoUse { name: index.name(), auto: widest.clone() };
        }
        if wider.size() > limits::AUTO_INDEX_FIELDS_MAX {
            wider = auto.clone();
        }
        let mut wanted = lock(&self.wanted_auto);
        wanted.iter().filter(|other| other.auto.is_like(auto)).for_each(|other| wider.widen(&other.auto));
        let name = wider.name();
        let fits = wider.size() <= limits::AUTO_INDEX_FIELDS_MAX && name.len() <= limits::AUTO_NAME_BYTES_MAX;
        if !fits {
            return AutoUse { name: auto.name(), auto: auto.clone() };
        }
        if wanted.len() < limits::AUTO_INDEXES_MAX {
            let mut terms = terms.to_vec();
            let (covered, others) =
                std::mem::take(&mut *wanted).into_iter().partition(|other| wider.covers(&other.auto));
            *wanted = others;
            let covered: Vec<Wanted> = covered;
            terms.extend(covered.into_iter().flat_map(|other| other.terms));
            wanted.push(Wanted { auto: wider.clone(), terms });
        }
        AutoUse { name, auto: wider }
    }

    /// The auto indexes that have what `auto` has and whose rows a snapshot shows, those with the most fields first.
    ///
    /// # Errors
    /// When the store fails or a row is damaged.
    pub fn auto_index_in(
        &self,
        view: &DatabaseView<'_>,
        auto: &AutoDefinition,
    ) -> Result<Vec<Arc<Index>>, IndexError> {
        let mut there = self.auto_indexes();
        there.retain(|(_, there)| there.covers(auto));
        there.sort_by_key(|(_, there)| (usize::MAX - there.size(), there.name()));
        let mut shown = Vec::new();
        for (index, _) in there {
            if records::names(view, &index)? {
                shown.push(index);
            }
        }
        Ok(shown)
    }

    /// The live auto indexes.
    fn auto_indexes(&self) -> Vec<(Arc<Index>, AutoDefinition)> {
        let indexes = self.indexes.iter();
        indexes.filter_map(|index| Some((Arc::clone(&index), index.definition().auto.clone()?))).collect()
    }

    /// Makes the auto indexes that queries wanted, up to [`limits::AUTO_INDEXES_MAX`] of them; what is beyond is wanted
    /// anew by the next query. Costs nothing when there are none.
    ///
    /// # Errors
    /// When the store fails, or a thread cannot be started.
    pub fn make_wanted_auto_indexes(&self) -> Result<(), IndexError> {
        if lock(&self.wanted_auto).is_empty() {
            return Ok(());
        }
        let guard = lock(&self.changes);
        let wanted = std::mem::take(&mut *lock(&self.wanted_auto));
        for Wanted { auto, terms } in wanted {
            if !self.make(auto.definition())? {
                continue;
            }
            if let Some(index) = self.get(&auto.name()) {
                index.want_terms(terms);
                // What queries asked of those that it will replace, they will ask of it.
                let view = self.database.view();
                for (smaller, _) in self.auto_indexes().iter().filter(|(_, there)| auto.covers(there)) {
                    index.want_terms(smaller.term_fields(&view)?);
                }
            }
        }
        drop(guard);
        Ok(())
    }

    /// Makes an auto index without being asked by a query. Gives whether there is one that has what it has.
    ///
    /// # Errors
    /// When the store fails, or a thread cannot be started.
    pub fn put_auto_index(&self, definition: IndexDefinition) -> Result<bool, IndexError> {
        let guard = lock(&self.changes);
        let Some(auto) = definition.auto.clone() else { return Ok(false) };
        let is_there = self.make(definition)?;
        let is_covered = || self.auto_indexes().iter().any(|(_, there)| there.covers(&auto));
        let is_there = is_there || is_covered();
        drop(guard);
        Ok(is_there)
    }

    /// Makes an auto index unless there is one like it, there are too many, or it cannot be; gives whether it was made. The
    /// caller holds the lock.
    fn make(&self, definition: IndexDefinition) -> Result<bool, IndexError> {
        let Some(auto) = &definition.auto else { return Ok(false) };
        let there = self.auto_indexes();
        // A name may be taken by fields that differ from these by case alone.
        let is_made =
            there.iter().any(|(_, there)| there.covers(auto)) || self.get(&definition.name).is_some();
        // One of all documents would leave out those that indexes make, so no query could be answered from it.
        let is_useless = auto.is_of_all();
        let is_large = auto.size() > limits::AUTO_INDEX_FIELDS_MAX
            || definition.name.len() > limits::AUTO_NAME_BYTES_MAX
            || there.len() >= limits::AUTO_INDEXES_MAX;
        if is_made || is_useless || is_large || self.stopped.load(Ordering::Acquire) {
            return Ok(false);
        }
        // What no document can be in needs no index.
        let Ok(source) = self.source(&definition) else { return Ok(false) };
        self.carry_out(vec![(Plan::Create(source), definition)])?;
        Ok(true)
    }

    /// Notes that an index was asked; an idle one follows the documents again.
    pub fn note_queried(&self, name: &str, now: Timestamp) {
        if let Some(index) = self.get(name)
            && index.life.note_queried(now)
        {
            index.set_paused(index.definition().state == IndexState::Disabled);
        }
    }

    /// Removes auto indexes whose place a wider one has taken for long enough, or that nobody has asked for long enough;
    /// before that they become idle. Gives the names of those that were removed.
    ///
    /// # Errors
    /// When the store fails.
    pub fn tend_auto_indexes(&self, now: Timestamp, times: &AutoTimes) -> Result<Vec<String>, IndexError> {
        let all = self.auto_indexes();
        let mut removed = Vec::new();
        for (index, auto) in &all {
            let is_superseded = self.is_superseded(index, auto, &all)?;
            let superseded = index.life.superseded(is_superseded, now);
            let unused = index.life.unused(now);
            if superseded.is_some_and(|since| since >= times.superseded) || unused >= times.removed {
                if self.delete(&index.name())? {
                    removed.push(index.name());
                }
            } else if (superseded.is_some() || unused >= times.idle) && index.life.set_idle() {
                // Nobody needs it to follow the documents.
                index.set_paused(true);
            }
        }
        Ok(removed)
    }

    /// Whether another one has all that an index has, and is ready to answer.
    fn is_superseded(
        &self,
        index: &Index,
        auto: &AutoDefinition,
        all: &[(Arc<Index>, AutoDefinition)],
    ) -> Result<bool, IndexError> {
        let view = self.database.view();
        for (wider, other) in all {
            if wider.slot == index.slot || !other.covers(auto) || wider.is_behind(&view)? {
                continue;
            }
            let mut missing = Vec::new();
            for field in index.term_fields(&view)? {
                if !wider.has_terms(&view, &field)? {
                    missing.push(field);
                }
            }
            if missing.is_empty() {
                return Ok(true);
            }
            // It may have got them after the wider one was made.
            wider.want_terms(missing);
        }
        Ok(false)
    }
}
