//! JavaScript indexes in RavenDB's dialect: `map('Users', u => ..)` and `groupBy(x => ..).aggregate(g => ..)`.
//!
//! A script goes through five steps. `tokens.rs` and `nesting.rs` scan the text and bound its depth before any parser
//! sees it; `parse.rs` parses on a thread with a large stack; `dialect/` finds out what the scripts register and checks
//! the rules; `rewrite/` writes the scripts out again with RavenDB's null propagation and step counters; `boa/` runs
//! the result in a hardened engine. Nothing outside of this folder names the engine.
//!
//! Not here yet: `load`, `cmpxchg`, counters, time series and attachments; an index that uses them is refused.

mod boa;
mod canonical;
mod dialect;
mod errors;
mod nesting;
mod parse;
mod regex_guard;
mod rewrite;
mod tokens;

use crate::function::{FunctionError, FunctionShape, FunctionSource, IndexFunction, MappedCollections};
use boa::{BoaFunction, Plan, Registered};
use boa_interner::Interner;
use errors::definition_error;
use magpie_store::Collection;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Version of what scripts mean; part of the canonical text, so that a change of meaning rebuilds indexes.
const ENGINE_VERSION: &str = "javascript 1";

/// The scripts of one index, checked and ready to be compiled on any thread.
#[derive(Debug)]
pub struct ScriptSource {
    shape: FunctionShape,
    canonical: String,
    plan: Arc<Plan>,
}

/// One script and what to call it in messages.
struct Script<'s> {
    label: String,
    text: &'s str,
}

impl ScriptSource {
    /// Checks the scripts of an index: text, dialect and loading. Takes a thread of its own for that, so it can be
    /// called with any stack.
    ///
    /// `maps`, `reduce` and `additional_sources` are those of the index definition; `name` is for messages.
    ///
    /// # Errors
    /// A [`FunctionError`] of kind `Compile` for what is not JavaScript or throws while loading, `Definition` for what
    /// breaks the dialect's rules, `Limit` for what is too large or nested too deeply; with the position in the script
    /// where there is one.
    pub fn new(
        name: &str,
        maps: &[String],
        reduce: Option<&str>,
        additional_sources: &BTreeMap<String, String>,
    ) -> Result<Self, FunctionError> {
        if maps.is_empty() {
            let message =
                format!("JavaScript index {name} does not contain any mapping functions to process.");
            return Err(definition_error(message, None));
        }
        let mut scripts: Vec<Script<'_>> = additional_sources
            .iter()
            .map(|(file, text)| Script { label: format!("AdditionalSources['{file}']"), text })
            .collect();
        scripts.extend(maps.iter().enumerate().map(|(n, text)| Script { label: format!("Maps[{n}]"), text }));
        scripts.extend(reduce.map(|text| Script { label: "Reduce".to_owned(), text }));
        parse::check_size(scripts.iter().map(|script| script.text))?;
        parse::on_large_stack(|| Self::compile(name, &scripts, reduce.is_some()))
    }

    fn compile(name: &str, scripts: &[Script<'_>], has_reduce: bool) -> Result<Self, FunctionError> {
        let mut interner = Interner::new();
        let mut parsed = Vec::new();
        let mut canonical = ENGINE_VERSION.to_owned();
        let mut group_by = None;
        for (index, script) in scripts.iter().enumerate() {
            let labelled = |error| with_label(error, scripts, index);
            let tokens = tokens::scan(script.text).map_err(labelled)?;
            let tree = parse::parse(script.text, &tokens, &mut interner).map_err(labelled)?;
            let text = canonical::canonical(&tokens);
            canonical.push_str(&format!("\n{} {}\n{text}", script.label, text.len()));
            if has_reduce && index + 1 == scripts.len() {
                group_by = Some(dialect::group_by(&tree, &tokens, &interner)?);
            }
            parsed.push(tree);
        }
        let maps = dialect::static_maps(name, &parsed, &interner)?;
        let program = rewrite::rewrite(&parsed, &interner)?;
        drop(parsed);
        let labels =
            if scripts.len() > 1 { scripts.iter().map(|s| s.label.clone()).collect() } else { Vec::new() };
        let mut fields: Vec<String> = Vec::new();
        for field in maps.iter().flat_map(|map| &map.fields) {
            if !fields.contains(field) {
                fields.push(field.clone());
            }
        }
        let plan = Plan {
            name: name.to_owned(),
            program,
            labels,
            group_by,
            projections: maps.into_iter().map(|map| map.projection).collect(),
        };
        let (plan, registered) = try_load(plan)?;
        let group_by = plan.group_by.as_ref();
        let group_by = group_by.map(|key| key.fields.iter().map(|f| f.path.join(".")).collect());
        let shape = FunctionShape::new(collections(&registered)?, group_by, fields);
        Ok(Self { shape, canonical, plan: Arc::new(plan) })
    }
}

impl FunctionSource for ScriptSource {
    fn shape(&self) -> &FunctionShape {
        &self.shape
    }

    fn canonical_text(&self) -> &str {
        &self.canonical
    }

    fn create(&self) -> Result<Box<dyn IndexFunction>, FunctionError> {
        Ok(Box::new(BoaFunction::new(Arc::clone(&self.plan))?))
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

/// Says in which script it happened when there are several.
fn with_label(error: FunctionError, scripts: &[Script<'_>], index: usize) -> FunctionError {
    match scripts.get(index) {
        Some(script) if scripts.len() > 1 => {
            FunctionError { message: format!("{} in {}", error.message, script.label), ..error }
        }
        _ => error,
    }
}
