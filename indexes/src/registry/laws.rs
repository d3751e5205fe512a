//! Putting definitions behind a law check, and checking indexes by name.

use super::Registry;
use super::put::Plan;
use crate::definition::IndexDefinition;
use crate::error::IndexError;
use crate::function::SharedSource;
use crate::index::lock;
use crate::laws::{LawMode, LawReport, Unfinished};
use crate::limits::LAW_WAIT_MS_MAX;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

/// An index that was put, and what its law check found if there was one.
pub type CheckedPut = (String, Option<Arc<LawReport>>);

impl Registry {
    /// [`Self::put`] behind a law check of each definition that is new or really changed, on a sample of the documents
    /// that are there. `default` counts for definitions whose configuration says nothing. All checks together are waited
    /// for at most [`LAW_WAIT_MS_MAX`].
    ///
    /// # Errors
    /// [`IndexError::LawBroken`] and [`IndexError::LawsHang`] in strict mode; nothing is put then. Those of [`Self::put`].
    pub fn put_checked(
        &self,
        definitions: Vec<IndexDefinition>,
        default: LawMode,
    ) -> Result<Vec<CheckedPut>, IndexError> {
        let begin = Instant::now();
        let mut reports: HashMap<String, Arc<LawReport>> = HashMap::new();
        for definition in &definitions {
            let mode = definition.law_mode()?.unwrap_or(default);
            let Some(source) = self.source_to_check(definition, mode)? else { continue };
            let used = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
            let left = LAW_WAIT_MS_MAX.saturating_sub(used).max(1);
            let mut report = self.laws.check(&source, &self.database.view(), left)?;
            if mode == LawMode::Strict {
                refuse(&definition.name, &mut report)?;
            }
            if report.says_something() {
                reports.insert(definition.name.to_lowercase(), Arc::new(report));
            }
        }
        let names = self.put(definitions)?;
        let attached = names.into_iter().map(|name| {
            let report = reports.get(&name.to_lowercase()).cloned();
            let built = self.get(&format!("{}{name}", crate::definition::REPLACEMENT_PREFIX));
            if let (Some(report), Some(index)) = (&report, built.or_else(|| self.get(&name))) {
                index.set_laws(Arc::clone(report));
            }
            (name, report)
        });
        Ok(attached.collect())
    }

    /// Checks the laws of an index on a sample of the documents that are there now, and keeps the report with it.
    ///
    /// # Errors
    /// [`IndexError::NotFound`], and when the store fails.
    pub fn check_laws(&self, name: &str) -> Result<Arc<LawReport>, IndexError> {
        let index = self.get(name).ok_or_else(|| IndexError::NotFound { name: name.to_owned() })?;
        let report = Arc::new(self.laws.check(&index.source, &self.database.view(), LAW_WAIT_MS_MAX)?);
        index.set_laws(Arc::clone(&report));
        Ok(report)
    }

    /// The functions of a definition that would be built.
    fn source_to_check(
        &self,
        definition: &IndexDefinition,
        mode: LawMode,
    ) -> Result<Option<SharedSource>, IndexError> {
        if mode == LawMode::Off {
            return Ok(None);
        }
        let guard = lock(&self.changes);
        let plan = self.plan(definition)?;
        drop(guard);
        Ok(match plan {
            Plan::Create(source) | Plan::Replace(source, ..) => Some(source),
            Plan::Keep | Plan::Update(_) | Plan::UpdateAndCancel(..) => None,
        })
    }
}

/// What strict mode does not take.
fn refuse(name: &str, report: &mut LawReport) -> Result<(), IndexError> {
    if report.is_refused() {
        let at = report.broken.iter().position(|broken| broken.counterexample.tie.is_none()).unwrap_or(0);
        let law = Box::new(report.broken.swap_remove(at));
        return Err(IndexError::LawBroken { name: name.to_owned(), law });
    }
    match &report.unfinished {
        Some(Unfinished::Hanging { ms_max }) => {
            Err(IndexError::LawsHang { name: name.to_owned(), ms_max: *ms_max })
        }
        _ => Ok(()),
    }
}
