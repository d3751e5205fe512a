//! Definition rows: which builds an index has, as JSON in [`Space::Meta`].

use crate::definition::IndexDefinition;
use crate::error::IndexError;
use crate::index::{Index, lock};
use crate::keys::{FORMAT_VERSION, Slot, meta};
use crate::signature::Signature;
use magpie_store::DatabaseView;
use magpie_store::kv::{Batch, Direction, Space};
use serde_json::{Value, json};

/// One build: its definition and where its rows are.
#[derive(Debug, Clone)]
pub(super) struct Build {
    pub definition: IndexDefinition,
    pub slot: Slot,
    /// Of what its rows were made with: a program that reads scripts in another way has others. Empty when that was not
    /// written down.
    pub signature: String,
    /// Whether its rows have today's layout.
    pub is_current: bool,
}

/// A definition row: `{"Live":{"Slot":1,"Format":2,"Signature":"..","Definition":{..}},"Replacement":{..}|null}`. Format and
/// signature are those of the build's rows; rows of others are not read but built again.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub live: Build,
    pub replacement: Option<Build>,
}

impl Build {
    /// A build of what `canonical` says.
    pub fn new(definition: IndexDefinition, slot: Slot, canonical: &str) -> Self {
        Self { definition, slot, signature: Signature::of(canonical).to_string(), is_current: true }
    }

    pub fn of(index: &Index) -> Self {
        Self::new((*index.definition()).clone(), index.slot, &index.canonical)
    }

    fn to_json(&self) -> Value {
        json!({
            "Slot": self.slot.0,
            "Format": FORMAT_VERSION,
            "Signature": self.signature,
            "Definition": self.definition,
        })
    }

    fn from_json(value: &Value) -> Option<Self> {
        let slot = Slot(u32::try_from(value.get("Slot")?.as_u64()?).ok()?);
        let definition = serde_json::from_value(value.get("Definition")?.clone()).ok()?;
        // The first layout had no such number.
        let format = value.get("Format").map_or(Some(1), Value::as_u64)?;
        let signature = value.get("Signature").and_then(Value::as_str).unwrap_or_default().to_owned();
        Some(Self { definition, slot, signature, is_current: format == FORMAT_VERSION })
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

/// Whether a build is one of those that its index has, as of the snapshot.
pub(crate) fn names(view: &DatabaseView<'_>, index: &Index) -> Result<bool, IndexError> {
    let Some(row) = view.kv().get(Space::Meta, &meta::definition(&index.definition().name))? else {
        return Ok(false);
    };
    let mut known = lock(&index.known_row);
    if *known == row {
        return Ok(true);
    }
    let Record { live, replacement } = Record::decode(&row)?;
    let is_named = live.slot == index.slot || replacement.is_some_and(|next| next.slot == index.slot);
    if is_named {
        *known = row;
    }
    Ok(is_named)
}

pub(super) fn read_all(view: &DatabaseView<'_>) -> Result<Vec<Record>, IndexError> {
    let (from, to) = meta::DEFINITIONS;
    view.kv().scan(Space::Meta, from, to, Direction::Forward).map(|row| Record::decode(&row?.1)).collect()
}
