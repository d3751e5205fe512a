//! The seam to the authors of indexes: what a JavaScript index and a native Rust index both are.
//!
//! Map, reduce and finalize are pure: no clock, no random numbers, no I/O, no state kept between calls. They may be
//! called again for the same input at any time and must then give the same output. A map's time, if it asks for one, is
//! that of its document's last change. What a map reads besides its document comes through [`Loads`], which remembers it.

use crate::definition::IndexDefinition;
use magpie_store::json::Json;
use magpie_store::{Collection, Document};
use std::sync::Arc;
use thiserror::Error;

/// Which collections an index maps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MappedCollections {
    /// Every document except those of `@hilo`.
    All,
    /// The named ones.
    Named(Vec<Collection>),
}

/// The collections whose documents a map may load.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum LoadedCollections {
    /// It loads nothing.
    #[default]
    None,
    /// The named ones.
    Named(Vec<Collection>),
    /// Any: a collection is named by a value that only running can tell.
    All,
}

/// What an index takes in and gives out, known without running it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionShape {
    /// The collections whose documents are mapped.
    pub collections: MappedCollections,
    /// The collections whose documents the maps load.
    pub loads: LoadedCollections,
    /// Whether the reduced value of a key goes through [`IndexFunction::finalize`].
    pub finalizes: bool,
    /// The group-by fields of a map-reduce index in the order of its key; `None` for a map-only index.
    pub group_by: Option<Vec<String>>,
    /// The names of the fields of the map outputs as far as they are known, in order of first appearance.
    pub fields: Vec<String>,
    /// The names of the fields that finalize gives, as far as they are known; empty without a finalize.
    pub finalized_fields: Vec<String>,
}

impl FunctionShape {
    /// The shape of an index without loads and finalize.
    #[must_use]
    pub fn new(collections: MappedCollections, group_by: Option<Vec<String>>, fields: Vec<String>) -> Self {
        Self {
            collections,
            loads: LoadedCollections::None,
            finalizes: false,
            group_by,
            fields,
            finalized_fields: Vec::new(),
        }
    }
}

/// One output of a map call.
#[derive(Debug, Clone, PartialEq)]
pub struct Emitted {
    /// The values of the group-by fields, in the order of [`FunctionShape::group_by`]; empty for a map-only index.
    pub key: Vec<Json>,
    /// The output itself: a JSON object.
    pub value: Json,
}

/// One output of a map call in the forms in which index rows keep it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoredOutput {
    /// The reduce key: the ordered forms ([`magpie_store::ordered::encode`]) of its values strung together.
    pub key: Vec<u8>,
    /// The stored text of the output, as [`Json::write_stored_to`] gives it.
    pub value: Vec<u8>,
    /// Whether a number in the output is NaN or an infinity.
    pub odd_numbers: bool,
}

/// A reduced value in the form in which index rows keep it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoredReduced {
    /// The stored text, as [`Json::write_stored_to`] gives it.
    pub text: Vec<u8>,
    /// Whether a field with the name of a group-by field has another value than the key.
    pub detached: bool,
}

/// Where a map gets other documents from.
pub trait Loads {
    /// The document with this id if it is in `collection` (in any when `None`), as of the snapshot that is mapped.
    /// When it is `tracked`, the document being mapped is mapped again whenever the loaded one is changed, created or
    /// deleted.
    ///
    /// A failing store gives `None` and is told to whoever made the loads: the call's outcome is then not used.
    fn load(&mut self, id: &str, collection: Option<&Collection>, tracked: bool) -> Option<Arc<Document>>;

    /// The compare-exchange value of a key, as it is stored. Asked for by scripts of patches and queries only.
    ///
    /// A failing store gives `None`, as with [`Self::load`].
    fn compare_exchange(&mut self, _key: &str) -> Option<Json> {
        None
    }

    /// The value of a document's counter. Asked for by scripts of patches and queries only.
    ///
    /// A failing store gives `None`, as with [`Self::load`].
    fn counter(&mut self, _id: &str, _name: &str) -> Option<i64> {
        None
    }
}

/// Loads for indexes that load nothing.
#[derive(Debug, Default)]
pub struct NoLoads;

impl Loads for NoLoads {
    fn load(&mut self, _: &str, _: Option<&Collection>, _: bool) -> Option<Arc<Document>> {
        None
    }
}

/// The compiled functions of one index. It lives on one thread.
pub trait IndexFunction {
    /// Maps one document of a mapped collection to its outputs, in a fixed order; empty when it gives none.
    ///
    /// # Errors
    /// When the function fails on this document; the document then contributes nothing.
    fn map(&mut self, document: &Document, loads: &mut dyn Loads) -> Result<Vec<Emitted>, FunctionError>;

    /// Folds map outputs or earlier reduce outputs of one key into one JSON object of the same shape.
    ///
    /// `key` has the values of the group-by fields; `values` is never empty and ordered by entry key.
    ///
    /// # Errors
    /// When the function fails; the key then has no result.
    fn reduce(&mut self, key: &[Json], values: &[Json]) -> Result<Json, FunctionError>;

    /// [`Self::map`] with stored outputs: the same ones, without the detour over trees of JSON values. `None` from functions
    /// that only know [`Self::map`]; then nothing was called.
    fn map_stored(
        &mut self,
        _document: &Document,
        _loads: &mut dyn Loads,
    ) -> Option<Result<Vec<StoredOutput>, FunctionError>> {
        None
    }

    /// [`Self::reduce`] of stored values, `values` being the stored texts: the same value, without the detour over trees of
    /// JSON values. `None` from functions that only know [`Self::reduce`], and for a text that is damaged; then nothing was
    /// called.
    fn reduce_stored(
        &mut self,
        _key: &[Json],
        _values: &[&[u8]],
    ) -> Option<Result<StoredReduced, FunctionError>> {
        None
    }

    /// Turns the reduced value of a whole key into its result, a JSON object; `None` when the key shall have none. Its
    /// output is never reduced. Only called when [`FunctionShape::finalizes`].
    ///
    /// # Errors
    /// When the function fails; the key then has no result.
    fn finalize(&mut self, reduced: &Json) -> Result<Option<Json>, FunctionError> {
        Ok(Some(reduced.clone()))
    }

    /// The fields of the document that [`Self::map`] read last whose numbers a double could not hold, each once, as
    /// paths such as `items[].price`. Empty when the functions see numbers as they are.
    fn inexact_fields(&self) -> &[String] {
        &[]
    }

    /// How many steps the last call took, as they are counted against `crate::limits::SCRIPT_STEPS_MAX`; `None` for
    /// functions whose steps nobody counts.
    fn steps(&self) -> Option<u64> {
        None
    }

    /// [`Self::reduce`], and where it changed one of the values it was given, as a path such as `values[0].files`. For
    /// the law check; functions that cannot change their input say `None`.
    ///
    /// # Errors
    /// Those of [`Self::reduce`].
    fn reduce_watched(
        &mut self,
        key: &[Json],
        values: &[Json],
    ) -> Result<(Json, Option<String>), FunctionError> {
        Ok((self.reduce(key, values)?, None))
    }
}

/// How the scripts of an index run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningScripts {
    /// Why Magpie's own compiler left them to the JavaScript engine, which is slower: a construct and its place, as in
    /// `a class in Maps[0] (line 2, column 3)`. `None` when they are compiled.
    pub why_engine: Option<String>,
    /// How many calls of the compiled scripts were run by the engine after all, since the server started.
    pub handed_over: u64,
    /// Why the last of them was.
    pub handed_over_for: Option<&'static str>,
}

/// Makes [`IndexFunction`]s on whatever thread needs one.
pub trait FunctionSource: Send + Sync {
    /// What the functions take in and give out.
    fn shape(&self) -> &FunctionShape;

    /// The canonical text of everything that decides the functions' output: equal text, equal output. It is hashed
    /// into the index's signature. Formatting and comments do not count as far as that can be told safely.
    fn canonical_text(&self) -> &str;

    /// What the definition of a native index ([`crate::NativeIndex`]) says besides its functions, such as the collection
    /// that its results become documents of. Name, maps and reduce are filled in by the registry; the definition of a
    /// script says all this itself, and nobody asks its source.
    fn options(&self) -> IndexDefinition {
        IndexDefinition::default()
    }

    /// Why [`Self::create`] will fail, when that is known without trying.
    fn defect(&self) -> Option<&FunctionError> {
        None
    }

    /// How its scripts run; `None` for functions that are no scripts.
    fn running(&self) -> Option<RunningScripts> {
        None
    }

    /// Compiles the functions for the calling thread, whose stack must have [`crate::limits::SCRIPT_STACK_BYTES`].
    ///
    /// # Errors
    /// When the source does not compile.
    fn create(&self) -> Result<Box<dyn IndexFunction>, FunctionError>;
}

/// Any way to come by the functions of an index.
pub type SharedSource = Arc<dyn FunctionSource>;

/// Where in a script something happened; both count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The line of the script it happened in.
    pub line: u32,
    /// The column, in characters.
    pub column: u32,
}

/// What kind of failure it was; decides the wire's error type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FunctionErrorKind {
    /// The script's text is not JavaScript, or throws while it is loaded.
    Compile,
    /// The definition breaks a rule of the dialect (no map, unknown groupBy shape ..).
    Definition,
    /// A function returns objects with different sets of names.
    ReturnShapes,
    /// The group-by key of a reduce is not made of fields of the map output.
    GroupKey,
    /// A function of the dialect is called with arguments that it does not take.
    Arguments,
    /// A map or reduce call threw or gave something that is not allowed.
    Run,
    /// A call used more steps, memory, recursion or output than it may.
    Limit,
}

/// A failed compilation or call.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}{}", position.map_or_else(String::new, |p| format!(" (line {}, column {})", p.line, p.column)))]
pub struct FunctionError {
    /// What kind of failure.
    pub kind: FunctionErrorKind,
    /// What happened and what to do, in one or two sentences, without the position.
    pub message: String,
    /// Where, if the engine knows.
    pub position: Option<Position>,
}
