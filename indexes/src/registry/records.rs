//! Definition rows: which builds an index has, as JSON in [`Space::Meta`].

use crate::definition::IndexDefinition;
use crate::error::IndexError;
use crate::index::Index;
use crate::keys::{Slot, meta};
use magpie_store::DatabaseView;
use magpie_store::kv::{Batch, Direction, Space};
use serde_json::{Value, json};

/// One build: its definition and where its rows are.
#[derive(Debug, Clone)]
pub(super) struct Build {
    pub definition: IndexDefinition,
    pub slot: Slot,
}

/// A definition row: `{"Live":{"Slot":1,"Definition":{..}},"Replacement":{..}|null}`.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub live: Build,
    pub replacement: Option<Build>,
}

impl Build {
    pub fn of(index: &Index) -> Self {
        Self { definition: (*index.definition()).clone(), slot: index.slot }
    }

    fn to_json(&self) -> Value {
        json!({ "Slot": self.slot.0, "Definition": self.definition })
    }

    fn from_json(value: &Value) -> Option<Self> {
        let slot = Slot(u32::try_from(value.get("Slot")?.as_u64()?).ok()?);
        let definition = serde_json::from_value(value.get("Definition")?.clone()).ok()?;
        Some(Self { definition, slot })
    }
}

impl Record {
    /// The row of an index without a replacement.
    pub fn live(index: &Index) -> Self {
        Self { live: Build::of(index), replacement: None }
    }

    pub fn name(&self) -> String {
        self.live.definition.name.clone()
    }

    pub fn write(&self, batch: &mut Batch) {
        let row = json!({
            "Live": self.live.to_json(),
            "Replacement": self.replacement.as_ref().map(Build::to_json),
        });
        batch.put(Space::Meta, meta::definition(&self.live.definition.name), row.to_string());
    }

    fn decode(row: &[u8]) -> Result<Self, IndexError> {
        let corrupt = || IndexError::Corrupt("an index definition".to_owned());
        let value: Value = serde_json::from_slice(row).map_err(|_| corrupt())?;
        let live = value.get("Live").and_then(Build::from_json).ok_or_else(corrupt)?;
        let replacement = match value.get("Replacement") {
            None | Some(Value::Null) => None,
            Some(build) => Some(Build::from_json(build).ok_or_else(corrupt)?),
        };
        Ok(Self { live, replacement })
    }
}

pub(super) fn read(view: &DatabaseView<'_>, name: &str) -> Result<Option<Record>, IndexError> {
    let row = view.kv().get(Space::Meta, &meta::definition(name))?;
    row.map(|row| Record::decode(&row)).transpose()
}

pub(super) fn read_all(view: &DatabaseView<'_>) -> Result<Vec<Record>, IndexError> {
    let (from, to) = meta::DEFINITIONS;
    view.kv().scan(Space::Meta, from, to, Direction::Forward).map(|row| Record::decode(&row?.1)).collect()
}
