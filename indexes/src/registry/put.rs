//! Putting definitions: all or none, nothing re-indexed that need not be, the old results served until the new are
//! there.

use super::chains::{self, Link};
use super::records::{Build, Record};
use super::{NativeIndex, Registry};
use crate::definition::{IndexDefinition, IndexState, LockMode, NATIVE, REPLACEMENT_PREFIX};
use crate::error::IndexError;
use crate::events::IndexEventKind;
use crate::function::{
    FunctionError, FunctionErrorKind, FunctionShape, FunctionSource, IndexFunction, MappedCollections,
    SharedSource,
};
use crate::index::{Index, lock};
use crate::output::cleanup;
use crate::script::{ScriptSource, Scripts, TIER, TierChoice};
use crate::signature::canonical_definition;
use magpie_store::Etag;
use magpie_store::kv::{Batch, Space};
use std::collections::HashSet;
use std::sync::Arc;

/// What a put of one definition comes to.
pub(super) enum Plan {
    /// Nothing changes.
    Keep,
    /// Only the text changes: formatting, priority, lock mode, state.
    Update(Arc<Index>),
    /// As `Update`, and a replacement in progress is given up.
    UpdateAndCancel(Arc<Index>, Arc<Index>),
    /// A new name.
    Create(SharedSource),
    /// A real change: built next to the live one, in place of the replacement in progress if there is one.
    Replace(SharedSource, Arc<Index>, Option<Arc<Index>>),
}

impl Plan {
    /// What a new or replacing build takes in and gives out.
    fn new_shape(&self) -> Option<&FunctionShape> {
        match self {
            Self::Create(source) | Self::Replace(source, ..) => Some(source.shape()),
            _ => None,
        }
    }
}

impl NativeIndex {
    /// The definition under which a native index is stored and shown.
    #[must_use]
    pub fn definition(&self) -> IndexDefinition {
        let native = "native Rust";
        let mut definition = self.source.options();
        definition.name.clone_from(&self.name);
        definition.maps = vec![native.to_owned()];
        definition.reduce = self.source.shape().group_by.is_some().then(|| native.to_owned());
        definition.finalize = None;
        definition.configuration.insert(NATIVE.to_owned(), Some("true".to_owned()));
        definition
    }
}

impl Registry {
    /// Puts definitions: all of them or, on an error, none. An unchanged definition is left alone; one that differs
    /// only in formatting, comments or options that decide no rows is updated in place; a new one is built; a changed
    /// one is built next to the old, which answers until the new one has caught up.
    ///
    /// # Errors
    /// When a definition or its script is refused, an index is locked, or the store fails.
    pub fn put(&self, definitions: Vec<IndexDefinition>) -> Result<Vec<String>, IndexError> {
        let guard = lock(&self.changes);
        let mut names = HashSet::new();
        let mut plans: Vec<(Plan, IndexDefinition)> = Vec::new();
        let mut links = Vec::new();
        for definition in definitions {
            if !names.insert(definition.name.to_lowercase()) {
                return Err(IndexError::InvalidDefinition {
                    name: definition.name,
                    reason: "the request holds it twice; send each index once".to_owned(),
                });
            }
            let plan = self.plan(&definition)?;
            if let Some(shape) = plan.new_shape() {
                links.push(Link::new(&definition, shape)?);
            }
            plans.push((plan, definition));
        }
        self.check_chains(&links)?;
        let names = plans.iter().map(|(_, definition)| definition.name.clone()).collect();
        self.carry_out(plans)?;
        drop(guard);
        Ok(names)
    }

    /// Keeps a definition whose functions cannot run here, as an index that shows why and answers no query. Gives whether
    /// it is kept: an index of this name that is there already stays as it is, and an equal one is kept already.
    ///
    /// # Errors
    /// [`IndexError::InvalidName`], and when the store fails.
    pub fn keep_faulty(&self, definition: IndexDefinition) -> Result<bool, IndexError> {
        definition.validate_name()?;
        let guard = lock(&self.changes);
        if let Some(there) = self.get(&definition.name) {
            return Ok(*there.definition() == definition);
        }
        let source = self.source_or_broken(&definition);
        self.carry_out(vec![(Plan::Create(source), definition)])?;
        drop(guard);
        Ok(true)
    }

    /// Whether putting this definition would change anything.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub fn has_changed(&self, definition: &IndexDefinition) -> Result<bool, IndexError> {
        let guard = lock(&self.changes);
        let plan = self.plan(definition)?;
        if let Some(shape) = plan.new_shape() {
            self.check_chains(&[Link::new(definition, shape)?])?;
        }
        drop(guard);
        Ok(!matches!(plan, Plan::Keep))
    }

    pub(super) fn plan(&self, definition: &IndexDefinition) -> Result<Plan, IndexError> {
        definition.validate()?;
        let source = self.source(definition)?;
        let Some(live) = self.get(&definition.name) else { return Ok(Plan::Create(source)) };
        let replacement = self.get(&format!("{REPLACEMENT_PREFIX}{}", definition.name));
        let canonical = canonical_definition(definition, source.as_ref());
        let current = replacement.as_ref().unwrap_or(&live);
        if *current.definition() == *definition {
            return Ok(Plan::Keep);
        }
        match live.definition().lock_mode {
            LockMode::Unlock => {}
            LockMode::LockedIgnore => return Ok(Plan::Keep),
            LockMode::LockedError => return Err(IndexError::Locked { name: definition.name.clone() }),
        }
        Ok(match replacement {
            Some(next) if next.canonical == canonical => Plan::Update(next),
            Some(next) if live.canonical == canonical => Plan::UpdateAndCancel(live, next),
            None if live.canonical == canonical => Plan::Update(live),
            replacement => Plan::Replace(source, live, replacement),
        })
    }

    /// Refuses new definitions whose outputs would make a loop or get in the way of others.
    fn check_chains(&self, links: &[Link]) -> Result<(), IndexError> {
        if links.is_empty() {
            return Ok(());
        }
        let view = self.database.view();
        for link in links {
            let mut others = self.links_without(link.name());
            others.retain(|other| links.iter().all(|new| !new.is(other.name())));
            let new = links.iter().filter(|new| !new.is(link.name()));
            chains::check(link, others.iter().chain(new), &view)?;
        }
        Ok(())
    }

    /// Writes all plans in one batch, then ends and starts workers.
    pub(super) fn carry_out(&self, plans: Vec<(Plan, IndexDefinition)>) -> Result<(), IndexError> {
        let mut batch = Batch::new();
        let mut ended = Vec::new();
        let mut started = Vec::new();
        let mut updated = Vec::new();
        let mut next_slot = None;
        for (plan, definition) in plans {
            let slot = |batch: &mut Batch, next: &mut Option<u32>| self.take_slot(batch, next);
            match plan {
                Plan::Keep => {}
                Plan::Update(index) => {
                    self.write_definition(&index, definition.clone(), &mut batch)?;
                    updated.push((index, definition));
                }
                Plan::UpdateAndCancel(live, next) => {
                    let build = Build::new(definition.clone(), live.slot, &live.canonical);
                    Record { live: build, replacement: None }.write(&mut batch);
                    ended.push(next);
                    updated.push((live, definition));
                }
                Plan::Create(source) => {
                    let canonical = canonical_definition(&definition, source.as_ref());
                    let build = Build::new(definition, slot(&mut batch, &mut next_slot)?, &canonical);
                    Record { live: build.clone(), replacement: None }.write(&mut batch);
                    started.push((build.definition.name.clone(), build, source));
                }
                Plan::Replace(source, live, replacement) => {
                    let canonical = canonical_definition(&definition, source.as_ref());
                    let build = Build::new(definition, slot(&mut batch, &mut next_slot)?, &canonical);
                    let record = Record { live: Build::of(&live), replacement: Some(build.clone()) };
                    record.write(&mut batch);
                    ended.extend(replacement);
                    started.push((format!("{REPLACEMENT_PREFIX}{}", build.definition.name), build, source));
                }
            }
        }
        if batch.is_empty() {
            return Ok(());
        }
        let mut new = Vec::new();
        for (name, build, source) in started {
            let index = Arc::new(Index::new(name, build.definition, source, build.slot)?);
            cleanup::keep(index.output_collections(), &mut batch);
            new.push(index);
        }
        self.end_builds(&ended, batch)?;
        for (index, definition) in updated {
            index.set_paused(definition.state == IndexState::Disabled);
            index.set_definition(definition);
        }
        for index in new {
            self.indexes.insert(index.name().to_lowercase(), Arc::clone(&index));
            self.events.tell(IndexEventKind::Added, &index.name(), Etag(0));
            self.launch(&index)?;
        }
        Ok(())
    }

    /// Slots for several builds of one batch: the counter on disk does not show what the batch holds already.
    pub(super) fn take_slot(
        &self,
        batch: &mut Batch,
        next: &mut Option<u32>,
    ) -> Result<crate::keys::Slot, IndexError> {
        let slot = match *next {
            None => self.next_slot(batch)?.0,
            Some(slot) => {
                let behind = slot.checked_add(1).ok_or(IndexError::SlotsExhausted)?;
                batch.put(Space::Meta, crate::keys::meta::NEXT_SLOT, behind.to_be_bytes());
                slot
            }
        };
        *next = slot.checked_add(1);
        Ok(crate::keys::Slot(slot))
    }

    pub(super) fn source(&self, definition: &IndexDefinition) -> Result<SharedSource, IndexError> {
        let name = definition.name.clone();
        if let Some(auto) = &definition.auto {
            return auto.source(self.database.view().database_id());
        }
        if definition.is_native() {
            let native = self.natives.get(&name.to_lowercase());
            return native.map(|native| Arc::clone(&native.source)).ok_or_else(|| IndexError::InvalidDefinition {
                name,
                reason: "its functions are Rust code that this program does not have; register it when opening"
                    .to_owned(),
            });
        }
        let scripts = Scripts {
            name: &name,
            maps: &definition.maps,
            reduce: definition.reduce.as_deref().filter(|reduce| !reduce.trim().is_empty()),
            finalize: definition.finalize_script(),
            additional_sources: &definition.additional_sources,
            numbers: definition.numbers()?,
        };
        let tier = definition.configuration.get(TIER).and_then(Option::as_deref).map(TierChoice::parse);
        tier.unwrap_or(Ok(TierChoice::default()))
            .and_then(|tier| ScriptSource::new(&scripts)?.in_tier(tier))
            .map(|source| Arc::new(source) as SharedSource)
            .map_err(|error| IndexError::Script { name, error })
    }

    /// The source of a stored definition. One that is refused today (it was accepted when it was put) must not keep
    /// the database from opening: the index shows the reason as its failure.
    pub(super) fn source_or_broken(&self, definition: &IndexDefinition) -> SharedSource {
        let runnable = match definition.why_not_runnable() {
            None => Ok(()),
            Some(reason) => Err(IndexError::InvalidDefinition { name: definition.name.clone(), reason }),
        };
        runnable.and_then(|()| self.source(definition)).unwrap_or_else(|error| {
            Arc::new(BrokenSource {
                shape: FunctionShape::new(MappedCollections::Named(Vec::new()), None, Vec::new()),
                canonical: format!("broken {definition:?}"),
                error: FunctionError {
                    kind: FunctionErrorKind::Compile,
                    message: error.to_string(),
                    position: None,
                },
            })
        })
    }
}

/// A source that can only say why it does not work.
struct BrokenSource {
    shape: FunctionShape,
    canonical: String,
    error: FunctionError,
}

impl FunctionSource for BrokenSource {
    fn shape(&self) -> &FunctionShape {
        &self.shape
    }
    fn canonical_text(&self) -> &str {
        &self.canonical
    }
    fn defect(&self) -> Option<&FunctionError> {
        Some(&self.error)
    }
    fn create(&self) -> Result<Box<dyn IndexFunction>, FunctionError> {
        Err(self.error.clone())
    }
}
