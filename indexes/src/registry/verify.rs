//! Verifying indexes by name, and having what is damaged mended.

use super::Registry;
use crate::error::IndexError;
use crate::limits::{REPAIR_ROUNDS_MAX, REPAIR_WAIT_MS_MAX};
use crate::verify::{Repair, Verification};
use std::time::Duration;

/// What a verification found, and what is left of it after mending.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified {
    /// As the index was.
    pub found: Verification,
    /// As it is after it was mended; `None` when there was nothing to mend, or it was not asked for.
    pub mended: Option<Verification>,
}

impl Registry {
    /// Verifies an index on a new snapshot; with `repair`, mends what can be mended and verifies again, as often as that
    /// brings it on. `go_on` is asked now and then; once it says no, this gives `None`.
    ///
    /// # Errors
    /// [`IndexError::NotFound`], [`IndexError::Moved`], [`IndexError::Call`] when the functions cannot be called, and when
    /// the store fails.
    pub fn verify(
        &self,
        name: &str,
        repair: bool,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Option<Verified>, IndexError> {
        let Some(found) = self.verify_once(name, go_on)? else { return Ok(None) };
        let mut verified = Verified { found, mended: None };
        for _ in 0..REPAIR_ROUNDS_MAX {
            let now = verified.mended.as_ref().unwrap_or(&verified.found);
            let mut repairs: Vec<Repair> = Vec::new();
            for repair in now.listed.iter().flat_map(|damage| &damage.repair) {
                if repairs.last() != Some(repair) {
                    repairs.push(repair.clone());
                }
            }
            if !repair || repairs.is_empty() {
                break;
            }
            let index = self.get(name).ok_or_else(|| IndexError::NotFound { name: name.to_owned() })?;
            if !index.mend(repairs, Duration::from_millis(REPAIR_WAIT_MS_MAX)) {
                break;
            }
            let Some(mended) = self.verify_once(name, go_on)? else { return Ok(None) };
            verified.mended = Some(mended);
        }
        Ok(Some(verified))
    }

    fn verify_once(&self, name: &str, go_on: &dyn Fn() -> bool) -> Result<Option<Verification>, IndexError> {
        let view = self.database.view();
        let index =
            self.get_in(&view, name)?.ok_or_else(|| IndexError::NotFound { name: name.to_owned() })?;
        index.verify(&view, go_on)
    }
}
