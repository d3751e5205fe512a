//! JavaScript indexes in RavenDB's dialect: `map('Users', u => ..)` and `groupBy(x => ..).aggregate(g => ..)`.
//!
//! What Magpie adds to it: `.finalize(r => ..)` behind the aggregate, or a script that is this function; BigInts, also
//! in outputs and as keys; NaN and the infinities that stay what they are when they are reduced again; and documents
//! whose large whole numbers are BigInts, by [`Numbers::Exact`].
//!
//! A script goes through five steps. `tokens.rs` and `nesting.rs` scan the text and bound its depth before any parser
//! sees it; `parse.rs` parses on a thread with a large stack; `dialect/` finds out what the scripts register and checks
//! the rules; `rewrite/` writes the scripts out again with RavenDB's null propagation and step counters; `boa/` runs
//! the result in a hardened engine. Nothing outside of this folder names the engine.
//!
//! Not here yet: `cmpxchg`, counters, time series and attachments; an index that uses them is refused.

mod boa;
mod canonical;
mod compiled;
mod dialect;
mod errors;
mod inexact;
mod nesting;
mod parse;
pub mod patch;
mod query;
mod regex_guard;
mod rewrite;
mod select_body;
mod tier;
mod tokens;

pub use compiled::WhyNot;
pub(crate) use query::QuerySource;
pub use tier::{TIER, Tier, TierChoice};

use crate::definition::Numbers;
use crate::function::{
    FunctionError, FunctionShape, FunctionSource, IndexFunction, LoadedCollections, MappedCollections,
    RunningScripts,
};
use boa::{BoaFunction, Plan, Registered};
use boa_interner::Interner;
use compiled::{CompiledFunction, CompiledPlan};
use errors::definition_error;
use magpie_store::Collection;
use parse::Role;
use rewrite::Loaded;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Version of what scripts mean; part of the canonical text, so that a change of meaning rebuilds indexes.
const ENGINE_VERSION: &str = "javascript 4";
/// What maps that may ask for the time have besides in theirs: it was refused once.
const CLOCK_VERSION: &str = "\nthe time is the document's";

/// The scripts of one index, checked and ready to be compiled on any thread.
#[derive(Debug)]
pub struct ScriptSource {
    shape: FunctionShape,
    canonical: String,
    plan: Arc<Plan>,
    /// The compiled program, if the compiled tier runs the index.
    compiled: Result<Arc<CompiledPlan>, WhyNot>,
}

/// The scripts of an index, as its definition has them.
#[derive(Debug, Clone, Copy)]
pub struct Scripts<'s> {
    /// The index's name, for messages.
    pub name: &'s str,
    /// Scripts that register maps; at least one.
    pub maps: &'s [String],
    /// The script that registers the reduce.
    pub reduce: Option<&'s str>,
    /// The function that makes results of reduced values, as an expression. The reduce script can register one instead.
    pub finalize: Option<&'s str>,
    /// Helper scripts by name, loaded before the others.
    pub additional_sources: &'s BTreeMap<String, String>,
    /// What the large whole numbers of documents are.
    pub numbers: Numbers,
}

impl<'s> Scripts<'s> {
    /// In the order in which they are loaded.
    fn in_order(&self) -> Result<Vec<Script<'s>>, FunctionError> {
        let script = |label: String, role, text: &'s String| Script { label, role, text: Cow::from(text) };
        let sources = self.additional_sources.iter();
        let mut scripts: Vec<Script<'s>> = sources
            .map(|(file, text)| script(format!("AdditionalSources['{file}']"), Role::Additional, text))
            .collect();
        let maps = self.maps.iter().enumerate();
        scripts.extend(maps.map(|(n, text)| script(format!("Maps[{n}]"), Role::Map, text)));
        let reduce = self.reduce.map(Cow::from);
        scripts.extend(reduce.map(|text| Script { label: "Reduce".to_owned(), role: Role::Reduce, text }));
        parse::check_size(scripts.iter().map(|script| &*script.text).chain(self.finalize))?;
        if let Some(text) = self.finalize {
            scripts.push(Script {
                label: "Finalize".to_owned(),
                role: Role::Finalize,
                text: Cow::Owned(parse::as_expression(text)?),
            });
        }
        Ok(scripts)
    }
}

/// One script and what to call it in messages.
struct Script<'s> {
    label: String,
    role: Role,
    text: Cow<'s, str>,
}

impl ScriptSource {
    /// Checks the scripts of an index: text, dialect and loading. Takes a thread of its own for that, so it can be
    /// called with any stack.
    ///
    /// # Errors
    /// A [`FunctionError`] of kind `Compile` for what is not JavaScript or throws while loading, `Definition` for what
    /// breaks the dialect's rules, `Limit` for what is too large or nested too deeply; with the position in the script
    /// where there is one.
    pub fn new(scripts: &Scripts<'_>) -> Result<Self, FunctionError> {
        if scripts.maps.is_empty() {
            let message = format!(
                "JavaScript index {} does not contain any mapping functions to process.",
                scripts.name
            );
            return Err(definition_error(message, None));
        }
        if scripts.finalize.is_some() && scripts.reduce.is_none() {
            let message = format!(
                "JavaScript index {} has a Finalize but no Reduce whose results it could finalize",
                scripts.name
            );
            return Err(definition_error(message, None));
        }
        let in_order = scripts.in_order()?;
        parse::on_large_stack(|| Self::compile(scripts, &in_order))
    }

    fn compile(definition: &Scripts<'_>, scripts: &[Script<'_>]) -> Result<Self, FunctionError> {
        let mut interner = Interner::new();
        let mut parsed = Vec::new();
        let mut canonical = ENGINE_VERSION.to_owned();
        if definition.numbers == Numbers::Exact {
            canonical.push_str("\nexact numbers");
        }
        let mut group_by = None;
        for (index, script) in scripts.iter().enumerate() {
            let labelled = |error| with_label(parse::in_source(script.role, error), scripts, index);
            let tokens = tokens::scan(&script.text).map_err(labelled)?;
            let tree = parse::parse(&script.text, &tokens, script.role, &mut interner).map_err(labelled)?;
            let text = canonical::canonical(&tokens);
            canonical.push_str(&format!("\n{} {}\n{text}", script.label, text.len()));
            if tokens.iter().any(|token| token.text == "Date") {
                canonical.push_str(CLOCK_VERSION);
            }
            if script.role == Role::Reduce {
                group_by = Some(dialect::group_by(&tree, &tokens, &interner)?);
            }
            parsed.push(tree);
        }
        let maps = dialect::static_maps(definition.name, &parsed, &interner)?;
        let finalized_fields = dialect::finalized_fields(&parsed, &interner);
        let program = rewrite::rewrite(&parsed, &interner, definition.numbers)?;
        let projections: Vec<_> = maps.iter().map(|map| map.projection.clone()).collect();
        let labels: Vec<String> =
            if scripts.len() > 1 { scripts.iter().map(|s| s.label.clone()).collect() } else { Vec::new() };
        let compiled = compiled::compile(&parsed, &labels, &interner, group_by.as_ref(), &projections);
        drop(parsed);
        let mut fields: Vec<String> = Vec::new();
        for field in maps.iter().flat_map(|map| &map.fields) {
            if !fields.contains(field) {
                fields.push(field.clone());
            }
        }
        let plan = Plan {
            name: definition.name.to_owned(),
            program,
            labels,
            group_by,
            projections,
            numbers: definition.numbers,
            is_query: false,
            reads_values: false,
        };
        let (plan, registered) = try_load(plan)?;
        let group_by = plan.group_by.as_ref();
        let group_by = group_by.map(|key| key.fields.iter().map(|f| f.path.join(".")).collect());
        let shape = FunctionShape {
            loads: loaded_collections(&plan.program.loads)?,
            finalizes: registered.finalizes,
            finalized_fields: if registered.finalizes { finalized_fields } else { Vec::new() },
            ..FunctionShape::new(collections(&registered)?, group_by, fields)
        };
        let compiled = compiled.and_then(|compiled| agreed(compiled, &registered));
        Ok(Self { shape, canonical, plan: Arc::new(plan), compiled: compiled.map(Arc::new) })
    }

    /// Lets a tier run the scripts that `choice` allows.
    ///
    /// # Errors
    /// A definition error with the construct and its position when the compiled tier is asked for and cannot run them.
    pub fn in_tier(self, choice: TierChoice) -> Result<Self, FunctionError> {
        let compiled = choice.settle(self.compiled)?;
        Ok(Self { compiled, ..self })
    }

    /// The tier that runs the scripts.
    #[must_use]
    pub fn tier(&self) -> Tier {
        match &self.compiled {
            Ok(_) => Tier::Compiled,
            Err(why) => Tier::Boa(why.clone()),
        }
    }

    /// How many calls the compiled tier left to the engine so far, and why it did so last.
    #[must_use]
    pub fn handed_over(&self) -> (u64, Option<&'static str>) {
        self.compiled.as_ref().map_or((0, None), |compiled| compiled.handed_over())
    }

    /// How many turns of loops the compiled tier ran on the text of their elements so far.
    #[must_use]
    pub fn native_turns(&self) -> u64 {
        self.compiled.as_ref().map_or(0, |compiled| compiled.native_turns())
    }
}

/// The compiled program, if what it maps and finalizes is what was registered by running the scripts.
fn agreed(compiled: CompiledPlan, registered: &Registered) -> Result<CompiledPlan, WhyNot> {
    let by_text = compiled.collections().map(|name| name.map(str::to_owned));
    let by_running =
        registered.collections.iter().map(|name| (name != "@all_docs").then(|| name.to_lowercase()));
    if by_text.eq(by_running) && compiled.finalizes() == registered.finalizes {
        return Ok(compiled);
    }
    Err(WhyNot::of_the_whole("a registration that the text does not tell"))
}

impl FunctionSource for ScriptSource {
    fn shape(&self) -> &FunctionShape {
        &self.shape
    }

    fn canonical_text(&self) -> &str {
        &self.canonical
    }

    fn running(&self) -> Option<RunningScripts> {
        let (handed_over, handed_over_for) = self.handed_over();
        let why_engine = self.compiled.as_ref().err().map(ToString::to_string);
        Some(RunningScripts { why_engine, handed_over, handed_over_for })
    }

    fn create(&self) -> Result<Box<dyn IndexFunction>, FunctionError> {
        match &self.compiled {
            Ok(compiled) => Ok(Box::new(CompiledFunction::new(Arc::clone(compiled), Arc::clone(&self.plan)))),
            Err(_) => Ok(Box::new(BoaFunction::new(Arc::clone(&self.plan))?)),
        }
    }
}

/// Loads the scripts once to see what they register. What the text told about the maps only counts when it found as
/// many of them as were registered.
fn try_load(plan: Plan) -> Result<(Plan, Registered), FunctionError> {
    let registered = boa::register(&plan)?;
    let known = registered.collections.len() == plan.projections.len();
    let projections = if known { plan.projections } else { Vec::new() };
    Ok((Plan { projections, ..plan }, registered))
}

fn collections(registered: &Registered) -> Result<MappedCollections, FunctionError> {
    let mut named: Vec<Collection> = Vec::new();
    for name in &registered.collections {
        if name == "@all_docs" {
            return Ok(MappedCollections::All);
        }
        let collection = Collection::new(name).map_err(|error| definition_error(error.to_string(), None))?;
        if !named.contains(&collection) {
            named.push(collection);
        }
    }
    Ok(MappedCollections::Named(named))
}

fn loaded_collections(loaded: &Loaded) -> Result<LoadedCollections, FunctionError> {
    if loaded.any || loaded.collections.iter().any(|name| name == "@all_docs") {
        return Ok(LoadedCollections::All);
    }
    let mut named: Vec<Collection> = Vec::new();
    for name in &loaded.collections {
        let collection = Collection::new(name).map_err(|error| definition_error(error.to_string(), None))?;
        if !named.contains(&collection) {
            named.push(collection);
        }
    }
    Ok(if named.is_empty() { LoadedCollections::None } else { LoadedCollections::Named(named) })
}

/// Says in which script it happened when there are several.
fn with_label(error: FunctionError, scripts: &[Script<'_>], index: usize) -> FunctionError {
    match scripts.get(index) {
        Some(script) if scripts.len() > 1 => {
            FunctionError { message: format!("{} in {}", error.message, script.label), ..error }
        }
        _ => error,
    }
}
