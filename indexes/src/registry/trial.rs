//! Trying definitions on the documents that are there, next to everything else.

use super::Registry;
use crate::definition::IndexDefinition;
use crate::error::IndexError;
use crate::keys::Slot;
use crate::laws::LawReport;
use crate::limits::{LAW_WAIT_MS_MAX, SCRIPT_STACK_BYTES, TRIAL_MS_MAX, TRIALS_RUNNING_MAX};
use crate::trial::{self, Trial, TrialRequest};
use magpie_store::Database;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

/// The place of a running trial, given back when its thread ends.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Registry {
    /// Runs a definition over documents without putting it: what it would give, at what cost, and with all documents also
    /// how that differs from the live index of its name; with the law check's report. Blocks until that is done.
    ///
    /// # Errors
    /// As [`Self::put`] for a definition that cannot be; [`IndexError::TrialsRunning`] when others are being tried or hang;
    /// [`IndexError::TrialHangs`]; and when the store fails.
    pub fn try_definition(
        &self,
        definition: &IndexDefinition,
        request: TrialRequest,
    ) -> Result<(Trial, LawReport), IndexError> {
        definition.validate()?;
        let source = self.source(definition)?;
        let place = Place(Arc::clone(&self.trials));
        if place.0.fetch_add(1, Ordering::SeqCst) >= TRIALS_RUNNING_MAX {
            return Err(IndexError::TrialsRunning);
        }
        let live = if request.newest.is_none() { self.comparable(&definition.name)? } else { None };
        let laws = self.laws.check(&source, &self.database.view(), LAW_WAIT_MS_MAX)?;
        let name = definition.name.clone();
        let (database, definition) = (Arc::clone(&self.database), definition.clone());
        let (answer, answered) = sync_channel(1);
        let work = move || {
            let _place = place;
            let run = || Self::trial(&database, &definition, &source, live, request);
            // Whoever asked may have stopped waiting.
            let _ = answer.send(catch_unwind(AssertUnwindSafe(run)));
        };
        std::thread::Builder::new()
            .name("index trial".to_owned())
            .stack_size(SCRIPT_STACK_BYTES)
            .spawn(work)
            .map_err(|error| IndexError::Thread { name: name.clone(), cause: error.to_string() })?;
        match answered.recv_timeout(Duration::from_millis(TRIAL_MS_MAX * 2)) {
            Ok(Ok(trial)) => Ok((trial?, laws)),
            Ok(Err(_)) => Err(IndexError::TrialPanicked { name }),
            Err(_) => Err(IndexError::TrialHangs { name }),
        }
    }

    fn trial(
        database: &Database,
        definition: &IndexDefinition,
        source: &crate::function::SharedSource,
        live: Option<Slot>,
        request: TrialRequest,
    ) -> Result<Trial, IndexError> {
        trial::run(&database.view(), definition, source, live, request)
    }

    /// The build to compare a trial over all documents with: the live one, if it reduces and is up to date.
    fn comparable(&self, name: &str) -> Result<Option<Slot>, IndexError> {
        let Some(index) = self.get(name).filter(|index| index.is_map_reduce()) else { return Ok(None) };
        let is_stale = self.is_stale(&self.database.view(), &index)?;
        Ok((!is_stale).then(|| index.slot()))
    }
}
