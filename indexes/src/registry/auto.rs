//! Auto indexes come and go with the queries: what a query wants is written down while it is planned, made when it has
//! been answered, widened when others want more, and removed when a wider one has caught up or nobody asks any more.

use super::Registry;
use super::put::Plan;
use super::records;
use crate::auto::AutoDefinition;
use crate::error::IndexError;
use crate::index::{Index, lock};
use crate::limits;
use crate::terms::TermField;
use magpie_store::DatabaseView;
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
        for (index, auto) in there {
            let record = records::read(view, &auto.name())?;
            if record.is_some_and(|record| record.live.slot == index.slot) {
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
            let there = self.auto_indexes();
            // A name may be taken by fields that differ from these by case alone.
            let is_made =
                there.iter().any(|(_, there)| there.covers(&auto)) || self.get(&auto.name()).is_some();
            if is_made || there.len() >= limits::AUTO_INDEXES_MAX || self.stopped.load(Ordering::Acquire) {
                continue;
            }
            let definition = auto.definition();
            // What no document can be in needs no index.
            let Ok(source) = self.source(&definition) else { continue };
            self.carry_out(vec![(Plan::Create(source), definition)])?;
            if let Some(index) = self.get(&auto.name()) {
                index.want_terms(terms);
                // What queries asked of those that it will replace, they will ask of it.
                let view = self.database.view();
                for (smaller, _) in there.iter().filter(|(_, there)| auto.covers(there)) {
                    index.want_terms(smaller.term_fields(&view)?);
                }
            }
        }
        drop(guard);
        Ok(())
    }
}
