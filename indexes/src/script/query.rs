//! Scripts of queries: one function from a row to a value, in the same engine, dialect and bounds as the scripts of
//! indexes. Unlike those it may load any document without naming a collection, and what is no data becomes null or the
//! text of it.

use super::boa::{BoaFunction, Plan};
use super::dialect::names;
use super::parse::{self, Role};
use super::{rewrite, select_body, tokens};
use crate::definition::Numbers;
use crate::function::{
    Emitted, FunctionError, FunctionShape, FunctionSource, IndexFunction, Loads, MappedCollections,
};
use boa_interner::Interner;
use magpie_store::Document;
use magpie_store::json::Json;
use std::sync::Arc;

/// The function's result stands under this name in what the engine gives.
const RESULT: &str = "v";

/// A function from a row to a value, ready to be compiled on any thread.
pub(crate) struct QuerySource {
    shape: FunctionShape,
    plan: Arc<Plan>,
}

impl QuerySource {
    /// From the function's text, which takes the row as its parameter. Takes a thread of its own to parse it. When its
    /// result is the body of a `select`, `body_of` are the names that the query has.
    ///
    /// # Errors
    /// A [`FunctionError`] with its place in `function` for what is not JavaScript, or not allowed.
    pub(crate) fn new(function: &str, body_of: Option<&[&str]>) -> Result<Self, FunctionError> {
        let text = format!("map('@all_docs',{function})");
        parse::check_size(std::iter::once(text.as_str()))?;
        let program = parse::on_large_stack(|| {
            let mut interner = Interner::new();
            let tokens = tokens::scan(&text)?;
            let tree = parse::parse(&text, &tokens, Role::Query, &mut interner)?;
            if let Some(names) = body_of {
                select_body::check(&tree.tree, names, &interner)?;
            }
            rewrite::rewrite(&[tree], &interner, Numbers::Double)
        })?;
        let plan = Plan {
            name: "query".to_owned(),
            program,
            labels: Vec::new(),
            group_by: None,
            projections: Vec::new(),
            numbers: Numbers::Double,
            is_query: true,
            reads_values: names::VALUE_PARAMETERS.iter().any(|name| text.contains(name)),
        };
        let shape = FunctionShape::new(MappedCollections::All, None, Vec::new());
        Ok(Self { shape, plan: Arc::new(plan) })
    }

    /// The function's result in what it emitted.
    pub(crate) fn result(emitted: Vec<Emitted>) -> Json {
        match emitted.into_iter().next().map(|emitted| emitted.value) {
            Some(Json::Object(mut wrapped)) => wrapped.remove(RESULT).unwrap_or_default(),
            _ => Json::Null,
        }
    }

    /// The function's text with its result where [`Self::result`] looks for it.
    pub(crate) fn wrapped(parameter: &str, head: &str, result: &str) -> String {
        format!("({parameter})=>{{{head}return{{{RESULT}:{result}}}}}")
    }
}

impl FunctionSource for QuerySource {
    fn shape(&self) -> &FunctionShape {
        &self.shape
    }

    fn canonical_text(&self) -> &str {
        &self.plan.program.text
    }

    fn create(&self) -> Result<Box<dyn IndexFunction>, FunctionError> {
        Ok(Box::new(Query(BoaFunction::new(Arc::clone(&self.plan))?)))
    }
}

/// Only maps.
struct Query(BoaFunction);

impl IndexFunction for Query {
    fn map(&mut self, document: &Document, loads: &mut dyn Loads) -> Result<Vec<Emitted>, FunctionError> {
        self.0.map(document, loads)
    }

    fn reduce(&mut self, key: &[Json], values: &[Json]) -> Result<Json, FunctionError> {
        self.0.reduce(key, values)
    }
}
