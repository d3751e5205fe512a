//! `select facet(..)` and `select suggest(..)` to what is counted.

use super::condition::Compiler;
use super::{Context, condition, refuse};
use crate::ast::{
    Argument, Call, Condition, FieldPath, Left, Query, Right, Select, Selected, Selection, Value,
};
use crate::error::QueryError;
use crate::limits;
use crate::source::{Source, SourceIndex};
use crate::tally::{Aggregation, AggregationKind, Facet, FacetBy, FacetOptions, Likeness, Suggestion, Tally};
use crate::term::{fold, steps_of_text};
use magpie_indexes::definition::FieldIndexing;
use magpie_store::json::{Json, Object, parse};
use std::collections::BTreeSet;

/// How alike a suggested word must be, when the query does not say.
const ACCURACY_DEFAULT: f64 = 0.5;
/// How many words are suggested, when the query does not say.
const SUGGESTIONS_DEFAULT: usize = 15;

/// What `select` counts, if it does.
pub(super) fn tally(
    query: &Query,
    context: Context<'_>,
    compiler: &mut Compiler<'_>,
    source: &dyn Source,
    index: Option<&dyn SourceIndex>,
) -> Result<Option<Tally>, QueryError> {
    let Some(Select { what: Selection::Items(items), .. }) = &query.select else { return Ok(None) };
    let mut facets = Vec::new();
    let mut suggestions = Vec::new();
    let mut others = 0;
    for item in items {
        match &item.what {
            Selected::Plain(Argument::Call(call)) if call.name.eq_ignore_ascii_case("facet") => {
                facets.extend(Builder { context, compiler, source }.facets(call, item.alias.as_deref())?);
            }
            Selected::Plain(Argument::Call(call)) if call.name.eq_ignore_ascii_case("suggest") => {
                suggestions.push(suggestion(call, item.alias.as_deref(), context, compiler, index)?);
            }
            _ => others += 1,
        }
    }
    let message = "facet() and suggest() stand alone in SELECT, each with its like";
    match (facets.is_empty(), suggestions.is_empty(), others) {
        (true, true, _) => Ok(None),
        (false, true, 0) => Ok(Some(Tally::Facets(facets))),
        (true, false, 0) if query.condition.is_none() => Ok(Some(Tally::Suggestions(suggestions))),
        (true, false, 0) => {
            Err(context.invalid("suggest() is about all values of a field, so it takes no WHERE"))
        }
        _ => Err(context.invalid(message)),
    }
}

struct Builder<'a, 'c> {
    context: Context<'a>,
    compiler: &'a mut Compiler<'c>,
    source: &'a dyn Source,
}

impl Builder<'_, '_> {
    /// The facets of one call: one, or those of a set-up document.
    fn facets(&mut self, call: &Call, alias: Option<&str>) -> Result<Vec<Facet>, QueryError> {
        if let [Argument::Call(setup)] = call.arguments.as_slice()
            && setup.name.eq_ignore_ascii_case("id")
        {
            return self.set_up(setup);
        }
        let mut by = None;
        let mut field_name = String::new();
        let mut aggregations: Vec<Aggregation> = Vec::new();
        let mut options = FacetOptions::default();
        for argument in &call.arguments {
            match argument {
                Argument::Field(path) if by.is_none() => {
                    field_name = path.text();
                    let (field, matching) = self.compiler.field(path, false)?;
                    by = Some(FacetBy::Terms(field, matching));
                }
                Argument::Condition(condition) => {
                    let range = self.range(condition, &mut field_name)?;
                    match by.get_or_insert_with(|| FacetBy::Ranges(Vec::new())) {
                        FacetBy::Ranges(ranges) => ranges.push(range),
                        FacetBy::Terms(..) => {
                            return Err(self
                                .context
                                .invalid("facet() takes one field, or ranges of one field"));
                        }
                    }
                }
                Argument::Call(inner) => self.aggregation(inner, &mut aggregations)?,
                Argument::Value(value @ (Value::Parameter(_) | Value::Text(_))) => {
                    options = self.options(&self.value(value)?)?;
                }
                _ => return Err(self.context.invalid(format!("facet() cannot take '{argument}'"))),
            }
        }
        let by = by.ok_or_else(|| self.context.invalid("facet() needs a field or ranges of a field"))?;
        let name = alias.map_or(field_name, str::to_owned);
        Ok(vec![Facet { name, by, aggregations, options }])
    }

    fn value(&self, value: &Value) -> Result<Json, QueryError> {
        match value {
            Value::Parameter(name) => self.context.parameter(name),
            other => Ok(condition::literal(other)),
        }
    }

    fn range(
        &mut self,
        condition: &Condition,
        field_name: &mut String,
    ) -> Result<(String, crate::filter::Filter), QueryError> {
        let mut told = condition.clone();
        self.fill_in(&mut told, field_name)?;
        Ok((told.to_string(), self.compiler.compile(condition)?))
    }

    /// Puts the values of parameters in their places, and finds the field.
    fn fill_in(&self, condition: &mut Condition, field_name: &mut String) -> Result<(), QueryError> {
        let fill = |value: &mut Value| -> Result<(), QueryError> {
            if let Value::Parameter(name) = value {
                *value = match self.context.parameter(name)? {
                    Json::Number(number) => Value::Number(number),
                    Json::String(text) => Value::Text(text),
                    Json::Bool(flag) => Value::Bool(flag),
                    _ => Value::Null,
                };
            }
            Ok(())
        };
        let mut named = |left: &Left| {
            if let (Left::Field(path), true) = (left, field_name.is_empty()) {
                *field_name = path.text();
            }
        };
        match condition {
            Condition::Compare { left, right: Right::Value(value), .. } => {
                named(left);
                fill(value)
            }
            Condition::Between { left, low, high } => {
                named(left);
                fill(low)?;
                fill(high)
            }
            Condition::And(conditions) | Condition::Or(conditions) => {
                conditions.iter_mut().try_for_each(|condition| self.fill_in(condition, field_name))
            }
            _ => Err(self.context.invalid("a range of facet() compares one field with values")),
        }
    }

    fn aggregation(&mut self, call: &Call, all: &mut Vec<Aggregation>) -> Result<(), QueryError> {
        let kind = match fold(&call.name).as_ref() {
            "sum" => AggregationKind::Sum,
            "max" => AggregationKind::Max,
            "min" => AggregationKind::Min,
            "avg" | "average" => AggregationKind::Average,
            _ => return Err(refuse::call(call, "facet()")),
        };
        match call.arguments.as_slice() {
            [Argument::Field(path)] => self.aggregate(path, kind, None, all),
            _ => Err(self.context.invalid(format!("{}() in facet() takes one field", call.name))),
        }
    }

    fn aggregate(
        &mut self,
        path: &FieldPath,
        kind: AggregationKind,
        name: Option<&str>,
        all: &mut Vec<Aggregation>,
    ) -> Result<(), QueryError> {
        let name = name.map_or_else(|| path.text(), str::to_owned);
        let field = self.compiler.field(path, false)?.0;
        match all.iter_mut().find(|aggregation| aggregation.name == name) {
            Some(known) => {
                known.kinds.insert(kind);
            }
            None => all.push(Aggregation { name, field, kinds: BTreeSet::from([kind]) }),
        }
        Ok(())
    }

    fn options(&self, options: &Json) -> Result<FacetOptions, QueryError> {
        let options = &options_of(options, self.context)?;
        let mode = option(options, "TermSortMode").and_then(Json::as_str).unwrap_or("ValueAsc");
        let size = |key: &str| {
            option(options, key).and_then(Json::as_i64).and_then(|size| usize::try_from(size).ok())
        };
        let (by_count, descending) = match fold(mode).as_ref() {
            "valueasc" => (false, false),
            "valuedesc" => (false, true),
            "countasc" => (true, false),
            "countdesc" => (true, true),
            _ => {
                let message = format!(
                    "TermSortMode of facet() is ValueAsc, ValueDesc, CountAsc or CountDesc, but not '{mode}'"
                );
                return Err(self.context.invalid(message));
            }
        };
        Ok(FacetOptions {
            by_count,
            descending,
            start: size("Start").unwrap_or(0),
            page_size: size("PageSize"),
            remaining_terms: option(options, "IncludeRemainingTerms").and_then(Json::as_bool) == Some(true),
        })
    }

    /// The facets of a document that describes them: `Facets` and `RangeFacets`.
    fn set_up(&mut self, call: &Call) -> Result<Vec<Facet>, QueryError> {
        let id = match call.arguments.as_slice() {
            [Argument::Value(value)] => self.value(value)?,
            _ => return Err(self.context.invalid("facet(id(..)) takes the id of a document with facets")),
        };
        let id = id.as_str().unwrap_or_default().to_owned();
        let Some(document) = self.source.document(&id)? else {
            return Err(self.context.invalid(format!("There is no document '{id}' with facets")));
        };
        let body = document.body_json();
        let list = |key: &str| body.get(key).and_then(Json::as_array).unwrap_or_default().to_vec();
        let mut facets = Vec::new();
        for entry in list("Facets").iter().take(limits::FACETS_MAX) {
            let field = entry.get("FieldName").and_then(Json::as_str).unwrap_or_default();
            let path = self.path(field)?;
            let (reference, matching) = self.compiler.field(&path, false)?;
            facets.push(self.described(entry, field.to_owned(), FacetBy::Terms(reference, matching))?);
        }
        for entry in list("RangeFacets").iter().take(limits::FACETS_MAX) {
            let mut ranges = Vec::new();
            let mut field = String::new();
            for range in entry.get("Ranges").and_then(Json::as_array).unwrap_or_default() {
                let text = range.as_str().unwrap_or_default();
                let parsed = crate::parser::parse(&format!("from x where {text}"))?;
                let Some(condition) = parsed.condition else {
                    return Err(self.context.invalid(format!("'{text}' in '{id}' is no range")));
                };
                ranges.push(self.range(&condition, &mut field)?);
            }
            facets.push(self.described(entry, field, FacetBy::Ranges(ranges))?);
        }
        if facets.is_empty() {
            return Err(self.context.invalid(format!("The document '{id}' describes no facets")));
        }
        Ok(facets)
    }

    fn path(&self, text: &str) -> Result<FieldPath, QueryError> {
        match crate::parser::parse(&format!("from x order by {text}"))?.order_by.into_iter().next() {
            Some(item) => match item.key {
                Left::Field(path) => Ok(path),
                Left::Call(call) => Err(refuse::call(&call, "facet()")),
            },
            None => Err(self.context.invalid(format!("'{text}' is no field"))),
        }
    }

    fn described(&mut self, entry: &Json, field: String, by: FacetBy) -> Result<Facet, QueryError> {
        let mut aggregations = Vec::new();
        for (kind, fields) in
            entry.get("Aggregations").and_then(Json::as_object).into_iter().flat_map(Object::iter)
        {
            let kind = match fold(kind).as_ref() {
                "sum" => AggregationKind::Sum,
                "max" => AggregationKind::Max,
                "min" => AggregationKind::Min,
                "average" | "avg" => AggregationKind::Average,
                _ => continue,
            };
            for item in fields.as_array().unwrap_or(std::slice::from_ref(fields)) {
                let name = item.as_str().or_else(|| item.get("Name").and_then(Json::as_str));
                let shown = item.get("DisplayName").and_then(Json::as_str);
                if let Some(name) = name {
                    let path = self.path(name)?;
                    self.aggregate(&path, kind, shown, &mut aggregations)?;
                }
            }
        }
        let shown = entry.get("DisplayFieldName").and_then(Json::as_str);
        let name = shown.map_or(field, str::to_owned);
        let options = self.options(entry.get("Options").unwrap_or(&Json::Null))?;
        Ok(Facet { name, by, aggregations, options })
    }
}

/// Options: an object, the text of one, or null for none.
fn options_of(value: &Json, context: Context<'_>) -> Result<Object, QueryError> {
    let parsed = match value {
        Json::String(text) => parse(text.as_bytes()).ok(),
        other => Some(other.clone()),
    };
    match parsed {
        Some(Json::Object(options)) => Ok(options),
        Some(Json::Null) => Ok(Object::new()),
        _ => Err(context.invalid("Options of facet() and suggest() are an object, or its JSON as text")),
    }
}

/// The value of an option, however its name is spelt.
fn option<'o>(options: &'o Object, name: &str) -> Option<&'o Json> {
    options.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn suggestion(
    call: &Call,
    alias: Option<&str>,
    context: Context<'_>,
    compiler: &mut Compiler<'_>,
    index: Option<&dyn SourceIndex>,
) -> Result<Suggestion, QueryError> {
    let value = |argument: &Argument| match argument {
        Argument::Value(Value::Parameter(name)) => context.parameter(name),
        Argument::Value(other) => Ok(condition::literal(other)),
        other => Err(context.invalid(format!("Expected value, but got: <Field>: {other}"))),
    };
    let (path, term, options) = match call.arguments.as_slice() {
        [Argument::Field(path), term] => (path, value(term)?, Json::Null),
        [Argument::Field(path), term, options] => (path, value(term)?, value(options)?),
        _ => return Err(context.invalid("suggest() takes a field, a word and perhaps options")),
    };
    let wanted: Vec<String> = match &term {
        Json::String(word) => vec![fold(word).into_owned()],
        Json::Array(words) => {
            words.iter().filter_map(Json::as_str).map(|word| fold(word).into_owned()).collect()
        }
        _ => Vec::new(),
    };
    if wanted.is_empty() {
        return Err(context.invalid("The second argument of suggest() is a word or several"));
    }
    compiler.field(path, false)?;
    let name = path.without_alias(compiler.alias).unwrap_or_else(|| path.clone()).text();
    let options = options_of(&options, context)?;
    let read = |key: &str| option(&options, key);
    let likeness =
        match read("Distance").and_then(Json::as_str).map(|name| fold(name).into_owned()).as_deref() {
            None | Some("default" | "none" | "levenshtein") => Likeness::Levenshtein,
            Some("jarowinkler") => Likeness::JaroWinkler,
            Some("ngram") => Likeness::NGram,
            Some(other) => return Err(context.invalid(format!("suggest() knows no distance '{other}'"))),
        };
    let page_size = read("PageSize").and_then(Json::as_i64).and_then(|size| usize::try_from(size).ok());
    let is_popularity = |mode: &str| mode.eq_ignore_ascii_case("Popularity");
    Ok(Suggestion {
        field: crate::term::FieldRef::Path(steps_of_text(&name)),
        analyzer: match index.map(|index| index.indexing(&name)) {
            Some(FieldIndexing::Analyzed(analyzer)) => Some(analyzer),
            _ => None,
        },
        name: alias.map_or(name, str::to_owned),
        wanted,
        accuracy: read("Accuracy")
            .and_then(Json::as_number)
            .map_or(ACCURACY_DEFAULT, |number| number.as_f64()),
        page_size: page_size.unwrap_or(SUGGESTIONS_DEFAULT),
        likeness,
        by_popularity: read("SortMode").and_then(Json::as_str).is_none_or(is_popularity),
    })
}
