//! What a law check may do to a definition that breaks a law.

use crate::definition::IndexDefinition;
use crate::error::IndexError;

/// The key of [`IndexDefinition::configuration`] that says what a law check does: `strict`, `warn` or `off`.
pub(crate) const LAWS: &str = "Magpie.Laws";

/// See [`IndexDefinition::law_mode`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LawMode {
    /// A definition that breaks a law is refused.
    Strict,
    /// It is taken and the report says so.
    #[default]
    Warn,
    /// Nothing is checked.
    Off,
}

impl IndexDefinition {
    /// What its setting `Magpie.Laws` says; `None` when it says nothing, so that the server's default counts.
    ///
    /// # Errors
    /// [`IndexError::InvalidDefinition`] when it is something else than `strict`, `warn` or `off`.
    pub fn law_mode(&self) -> Result<Option<LawMode>, IndexError> {
        let Some(Some(text)) = self.configuration.get(LAWS) else { return Ok(None) };
        match text.to_lowercase().as_str() {
            "strict" => Ok(Some(LawMode::Strict)),
            "warn" => Ok(Some(LawMode::Warn)),
            "off" => Ok(Some(LawMode::Off)),
            _ => Err(IndexError::InvalidDefinition {
                name: self.name.clone(),
                reason: format!("its setting {LAWS} is '{text}'; give strict, warn or off"),
            }),
        }
    }
}
