//! Methods that are conditions by themselves: `search(..)`, `exists(..)`, `startsWith(..)`, those that only hold others, and
//! those that are refused.

use super::{Compiler, Field, is_id, test, type_name, unknown_method};
use crate::ast::{Argument, Call, Condition, FieldPath, PathIndex, PathPart, Value};
use crate::compare::Matching;
use crate::error::QueryError;
use crate::filter::{Filter, Test};
use crate::full_text::{Search, SearchedTerms};
use crate::limits;
use crate::plan::more_like_this;
use crate::term::fold;
use magpie_indexes::terms::Analyzer;
use magpie_store::json::Json;
use regex::RegexBuilder;

impl Compiler<'_> {
    pub(super) fn call(&mut self, call: &Call, exact: bool) -> Result<Filter, QueryError> {
        let name = call.name.to_lowercase();
        match name.as_str() {
            "exact" if call.arguments.len() > 1 => Err(self
                .context
                .invalid(format!("Method exact() expects one argument, got {}", call.arguments.len()))),
            "exact" => self.inner(call, true),
            "boost" => {
                if call.arguments.len() != 2 {
                    return Err(self.context.invalid(format!(
                        "Boost(expression, boostVal) requires two arguments, but was called with {}",
                        call.arguments.len()
                    )));
                }
                let inner = self.inner(call, exact)?;
                let boost = match call.arguments.get(1) {
                    Some(Argument::Value(value)) => self.value(value)?,
                    _ => Json::Null,
                };
                match boost.as_number() {
                    Some(number) => Ok(Filter::Boost(Box::new(inner), number.as_f64())),
                    None => Err(self.context.invalid("The second argument of boost() must be a number")),
                }
            }
            "search" => self.search(call),
            "morelikethis" => more_like_this::condition(self, call),
            _ if name.starts_with("spatial.")
                && !matches!(call.arguments.get(1), Some(Argument::Call(_))) =>
            {
                Err(self.context.invalid(format!(
                    "Method {}() expects first argument to be a method expression",
                    call.name
                )))
            }
            "exists" => {
                let Some(field) = self.field_argument(call, exact)? else {
                    return Err(self.context.invalid(
                        "Method exists() expects a field name as its first argument but no arguments were passed",
                    ));
                };
                Ok(test(field, Test::Exists))
            }
            "startswith" | "endswith" | "regex" => self.text_method(call, &name, exact),
            "lucene" | "fuzzy" | "proximity" => Err(self.of_lucene(call, &name)),
            "intersect" => Err(QueryError::NotImplemented {
                message: "Corax does not support intersect queries. Join the conditions with 'and'."
                    .to_owned(),
            }),
            _ => Err(unknown_method(call)),
        }
    }

    /// Why a method is refused that only the original's older index engine has.
    fn of_lucene(&self, call: &Call, name: &str) -> QueryError {
        let wanted = match (name, call.arguments.first()) {
            ("lucene", None) => Some("a field name as its first argument but no arguments were passed"),
            ("lucene", Some(_)) if call.arguments.len() < 2 => Some("second argument to be provided"),
            ("fuzzy", first) if !matches!(first, Some(Argument::Condition(Condition::Compare { .. }))) => {
                Some("that first argument will be a binary expression")
            }
            ("proximity", first) if !matches!(first, Some(Argument::Call(_))) => {
                Some("that first argument will be a method expression")
            }
            _ => None,
        };
        self.context.invalid(match wanted {
            Some(wanted) => format!("Method {name}() expects {wanted}"),
            None => {
                let (first, rest) = name.split_at(1);
                format!(
                    "Method '{}{rest}' is not supported. Use search(), which takes words, 'phrases' and wildcards.",
                    first.to_uppercase()
                )
            }
        })
    }

    /// The condition inside `exact()` or `boost()`.
    fn inner(&mut self, call: &Call, exact: bool) -> Result<Filter, QueryError> {
        match call.arguments.first() {
            Some(Argument::Condition(condition)) => self.condition(condition, exact),
            Some(Argument::Call(inner)) => self.call(inner, exact),
            _ => Err(self.context.invalid("Unable to understand query")),
        }
    }

    /// The field that a method's first argument names.
    fn field_argument(&mut self, call: &Call, exact: bool) -> Result<Option<Field>, QueryError> {
        match call.arguments.first() {
            None => Ok(None),
            Some(Argument::Field(path)) => self.field(path, exact).map(Some),
            Some(Argument::Call(inner)) if is_id(inner) => Ok(Some((self.id_field()?, Matching::FoldedText))),
            Some(Argument::Value(Value::Text(name))) => {
                let part = PathPart { name: name.clone(), index: PathIndex::None };
                let path = FieldPath { parts: vec![part], position: call.position };
                self.field(&path, exact).map(Some)
            }
            Some(_) => Err(self
                .context
                .invalid(format!("Method {}() expects a field name as its first argument", call.name))),
        }
    }

    fn text_method(&mut self, call: &Call, name: &str, exact: bool) -> Result<Filter, QueryError> {
        let text = self.text_argument(call)?;
        let text = text.as_str();
        let Some(field) = self.field_argument(call, exact)? else {
            return Err(self.context.invalid("Unable to understand query"));
        };
        let folds = field.1.folds();
        let affix = if folds { fold(text).into_owned() } else { text.to_owned() };
        Ok(match name {
            "startswith" => test(field, Test::StartsWith(affix)),
            "endswith" => test(field, Test::EndsWith(affix)),
            _ => {
                let pattern = RegexBuilder::new(text)
                    // The original's patterns never tell upper from lower case, inside of exact() neither.
                    .case_insensitive(true)
                    .size_limit(limits::PATTERN_BYTES_MAX)
                    .dfa_size_limit(limits::PATTERN_BYTES_MAX)
                    .build()
                    .map_err(|error| QueryError::Pattern {
                        pattern: text.to_owned(),
                        message: error.to_string(),
                    })?;
                test(field, Test::Pattern(Box::new(pattern)))
            }
        })
    }

    /// `search(field, 'terms', and)`
    fn search(&mut self, call: &Call) -> Result<Filter, QueryError> {
        let text = self.text_argument(call)?;
        let all = match call.arguments.get(2) {
            None => false,
            Some(Argument::Word(word)) => word.eq_ignore_ascii_case("and"),
            Some(_) => return Err(self.context.invalid("The third argument of search() is 'and' or 'or'")),
        };
        let field = self.first_field(call, true)?;
        let terms = match (field.1.analyzer(), field.1) {
            // Without an index that says otherwise, fields are searched by words.
            _ if self.index.is_none() => SearchedTerms::Analyzed(Analyzer::Standard),
            (Some(analyzer), _) => SearchedTerms::Analyzed(analyzer),
            (None, Matching::Original) => SearchedTerms::Original,
            (None, _) => SearchedTerms::Folded,
        };
        Ok(test(field, Test::Search(Box::new(Search::new(&text, all, terms)))))
    }

    /// The text that a method's second argument is.
    fn text_argument(&self, call: &Call) -> Result<String, QueryError> {
        let Some(second) = call.arguments.get(1) else {
            let message = format!("Method {}() expects second argument to be provided", call.name);
            return Err(self.context.invalid(message));
        };
        let value = match second {
            Argument::Value(value) => self.value(value)?,
            other => {
                return Err(self.context.invalid(format!("Expected value, but got: <Field>: {other}")));
            }
        };
        match value {
            Json::String(text) => Ok(text),
            other => Err(self.context.invalid(format!(
                "Method {}() expects to get an argument of type String while it got {}",
                call.name,
                type_name(&other)
            ))),
        }
    }

    /// The field that a method searches or compares, which must be there.
    fn first_field(&mut self, call: &Call, search: bool) -> Result<Field, QueryError> {
        self.adds_search = search;
        let found = self.field_argument(call, false);
        self.adds_search = false;
        found?.ok_or_else(|| self.context.invalid("Unable to understand query"))
    }
}
