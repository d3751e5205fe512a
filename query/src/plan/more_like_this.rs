//! `moreLikeThis(..)`: rows of an index that share words with another row of it, or with a document that comes with the
//! query. The words that tell most about it are looked for, any of them; the row itself is left out. It becomes a
//! condition like any other, so it can stand next to others, and the index's terms answer it.
//!
//! How often a word occurs in the index is counted by one reading of it, if the options make that matter: without options
//! a word must be in [`MINIMUM_ROWS`] rows.

use super::condition::{Compiler, type_name};
use super::highlight::option;
use super::terms::FilterTerms;
use super::{matching, narrow};
use crate::ast::{Argument, Call, Condition, Value};
use crate::compare::{Matching, Operand};
use crate::error::QueryError;
use crate::filter::{Filter, Test};
use crate::limits;
use crate::source::{IndexRow, SourceIndex};
use crate::term::{FieldRef, Step, Subject, Term, fold};
use magpie_store::json::{Json, Object, parse};
use std::collections::{BTreeMap, HashSet};

/// How often a word must occur in the document. Source: the original's default.
const MINIMUM_TIMES: usize = 2;
/// In how many rows it must be. Source: the original's default.
const MINIMUM_ROWS: usize = 5;
/// How many words are looked for. Source: the original's default.
const WORDS: usize = 25;
/// How many words of a field are read. Source: the original's default.
const WORDS_READ: usize = 5000;

/// What clients may ask for (`MoreLikeThisOptions`).
#[derive(Debug)]
struct Options {
    fields: Option<Vec<String>>,
    times_min: usize,
    rows_min: usize,
    rows_max: Option<usize>,
    rows_percent_max: Option<usize>,
    length_min: usize,
    length_max: Option<usize>,
    words_max: usize,
    read_max: usize,
    stop_words: HashSet<String>,
    boost: Option<f64>,
}

/// A word of a field, or another value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Word {
    field: usize,
    text: String,
}

/// How often a word occurs.
#[derive(Debug)]
struct Occurrence {
    operand: Operand,
    times: usize,
    rows: usize,
}

/// A field of the index, and how its terms are made.
struct Field {
    reference: FieldRef,
    matching: Matching,
}

/// What others are compared with.
struct Base {
    fields: Object,
    /// The condition that holds for it alone; `None` for what is no row.
    itself: Option<Filter>,
}

pub(super) fn condition(compiler: &mut Compiler<'_>, call: &Call) -> Result<Filter, QueryError> {
    let Some(index) = compiler.index else {
        return Err(compiler.invalid("Method moreLikeThis() cannot be used in dynamic queries".to_owned()));
    };
    let (first, options) = match call.arguments.as_slice() {
        [first] => (first, None),
        [first, options] => (first, Some(options)),
        _ => {
            return Err(
                compiler.invalid("Method moreLikeThis() expects to have one or two arguments".to_owned())
            );
        }
    };
    let options = Options::new(options, compiler)?;
    let base = base(first, compiler, index)?;
    let fields = fields(&options, &base.fields, index);
    let mut words = words(&base.fields, &fields, &options)?;
    let rows = count(&mut words, &fields, &options, index)?;
    let any = Filter::Or(tests(words, &fields, &options, rows));
    Ok(match base.itself {
        Some(itself) => Filter::And(vec![Filter::Not(Box::new(itself)), any]),
        None => any,
    })
}

impl Options {
    fn new(argument: Option<&Argument>, compiler: &Compiler<'_>) -> Result<Self, QueryError> {
        let object = match argument {
            None => Object::new(),
            Some(Argument::Value(value)) => object_of(compiler.value(value)?, "options")?,
            Some(_) => return Err(refused("The options of moreLikeThis() are JSON, or a parameter")),
        };
        let number = |name: &str| -> Result<Option<usize>, QueryError> {
            match option(&object, name) {
                None | Some(Json::Null) => Ok(None),
                Some(value) => {
                    value.as_i64().and_then(|number| usize::try_from(number).ok()).map(Some).ok_or_else(
                        || refused(format!("{name} must be a whole number of at least 0, but is {value}")),
                    )
                }
            }
        };
        let length_max = number("MaximumWordLength")?.filter(|longest| *longest > 0);
        let fields = match option(&object, "Fields") {
            None | Some(Json::Null) => None,
            Some(value) => Some(texts(value, "Fields")?),
        };
        let boost = match (option(&object, "Boost"), option(&object, "BoostFactor")) {
            (Some(Json::Bool(true)), factor) => {
                Some(factor.and_then(Json::as_number).map_or(1.0, magpie_store::json::Number::as_f64))
            }
            _ => None,
        };
        Ok(Self {
            fields: fields.filter(|fields| !fields.is_empty()),
            times_min: number("MinimumTermFrequency")?.unwrap_or(MINIMUM_TIMES),
            rows_min: number("MinimumDocumentFrequency")?.unwrap_or(MINIMUM_ROWS),
            rows_max: number("MaximumDocumentFrequency")?,
            rows_percent_max: number("MaximumDocumentFrequencyPercentage")?,
            length_min: number("MinimumWordLength")?.unwrap_or(0),
            length_max,
            words_max: number("MaximumQueryTerms")?.unwrap_or(WORDS).min(limits::TERM_SPANS_MAX),
            read_max: number("MaximumNumberOfTokensParsed")?
                .unwrap_or(WORDS_READ)
                .min(limits::LIKE_WORDS_MAX),
            stop_words: stop_words(&object, compiler)?,
            boost,
        })
    }

    /// Whether it matters in how many rows a word is.
    fn counts(&self, words: usize) -> bool {
        self.rows_min > 1
            || self.rows_max.is_some()
            || self.rows_percent_max.is_some()
            || self.boost.is_some()
            || words > self.words_max
    }

    fn takes(&self, text: &str, times: usize) -> bool {
        let length = text.chars().count();
        times >= self.times_min
            && length >= self.length_min
            && self.length_max.is_none_or(|longest| length <= longest)
            && !self.stop_words.contains(&*fold(text))
    }
}

fn refused(message: impl Into<String>) -> QueryError {
    QueryError::Operation { message: message.into() }
}

fn texts(value: &Json, name: &str) -> Result<Vec<String>, QueryError> {
    let texts = value.as_array().map(|items| items.iter().map(|item| item.as_str().map(str::to_owned)));
    texts
        .and_then(Iterator::collect)
        .ok_or_else(|| refused(format!("{name} must be an array of strings, but is {value}")))
}

/// An object, or the text of one.
fn object_of(value: Json, what: &str) -> Result<Object, QueryError> {
    let value = match value {
        Json::String(text) => parse(text.as_bytes())
            .map_err(|error| refused(format!("The {what} of moreLikeThis() are no JSON: {error}")))?,
        other => other,
    };
    match value {
        Json::Object(object) => Ok(object),
        other => Err(refused(format!(
            "The {what} of moreLikeThis() must be a JSON object, but are of type {}",
            type_name(&other)
        ))),
    }
}

fn stop_words(options: &Object, compiler: &Compiler<'_>) -> Result<HashSet<String>, QueryError> {
    let Some(id) = option(options, "StopWordsDocumentId").filter(|id| !id.is_null()) else {
        return Ok(HashSet::new());
    };
    let id = id.as_str().ok_or_else(|| refused("StopWordsDocumentId must be the id of a document"))?;
    let Some(document) = compiler.source.document(id)? else {
        return Err(refused(format!("Stop words document {id} could not be found")));
    };
    let body = document.body_json();
    let words = option(&body, "StopWords")
        .ok_or_else(|| refused(format!("The stop words document {id} has no field StopWords")))?;
    Ok(texts(words, "StopWords")?.iter().map(|word| fold(word).into_owned()).collect())
}

/// What others are compared with: the first row that fits a condition, or a document.
fn base(
    argument: &Argument,
    compiler: &mut Compiler<'_>,
    index: &dyn SourceIndex,
) -> Result<Base, QueryError> {
    let filter = match argument {
        Argument::Value(Value::Bool(true)) => Filter::All,
        Argument::Value(value) => {
            let fields = object_of(compiler.value(value)?, "document")?;
            return Ok(Base { fields, itself: None });
        }
        Argument::Condition(condition) => compiler.compile(condition)?,
        Argument::Call(call) => compiler.compile(&Condition::Call(call.clone()))?,
        Argument::Field(_) | Argument::Word(_) => {
            return Err(compiler.invalid("moreLikeThis() takes a condition or a document".to_owned()));
        }
    };
    let mut found = None;
    each_row(index, Some(&filter), &mut |row| {
        let (id, fields) = parts(&row);
        let subject = Subject { id, fields, metadata: None };
        if filter.holds(&subject) {
            found = Some(row);
        }
        found.is_none()
    })?;
    match found {
        Some(IndexRow::Entry(id, fields)) => {
            let test = Test::Equal(Operand::new(&Json::from(id.as_str())));
            let itself = Filter::Test { field: FieldRef::Id, matching: Matching::FoldedText, test };
            Ok(Base { fields, itself: Some(itself) })
        }
        Some(IndexRow::Result(fields)) => {
            let of_key = |name: &String| {
                let test = Test::Equal(Operand::new(fields.get(name).unwrap_or(&Json::Null)));
                let field = FieldRef::Path(vec![Step::Member(name.clone())]);
                Filter::Test { field, matching: Matching::Original, test }
            };
            let itself = Filter::And(index.group_by().iter().map(of_key).collect());
            Ok(Base { fields, itself: Some(itself) })
        }
        None => Err(refused(
            "Given filtering expression did not yield any documents that could be used as a base of comparison",
        )),
    }
}

fn parts(row: &IndexRow) -> (Option<&str>, &Object) {
    match row {
        IndexRow::Entry(id, fields) => (Some(id.as_str()), fields),
        IndexRow::Result(fields) => (None, fields),
    }
}

/// Shows rows until `visit` has enough: those that can fit `filter` where the index knows them, else all, up to
/// [`limits::LIKE_ROWS_MAX`].
fn each_row(
    index: &dyn SourceIndex,
    filter: Option<&Filter>,
    visit: &mut dyn FnMut(IndexRow) -> bool,
) -> Result<(), QueryError> {
    let keys = narrow::keys(filter.unwrap_or(&Filter::All), &index.group_by());
    let need = filter.and_then(|filter| FilterTerms::new(filter).need);
    let by_terms = match &need {
        Some(need) => index.rows_by_terms(need, &keys)?,
        None => None,
    };
    let rows = match by_terms {
        Some(rows) => rows,
        None if index.is_map_reduce() => {
            Box::new(index.results_within(&keys)?.map(|result| Ok(IndexRow::Result(result?))))
        }
        None => Box::new(index.entries()?.map(|entry| entry.map(|(id, fields)| IndexRow::Entry(id, fields)))),
    };
    for (number, row) in rows.enumerate() {
        if number >= limits::LIKE_ROWS_MAX {
            return Err(QueryError::LimitReached {
                name: "like_rows_max",
                limit: limits::LIKE_ROWS_MAX,
                unit: "rows of the index read by moreLikeThis()",
                advice: match filter {
                    Some(_) => {
                        "name the row to compare with by id() or by fields with terms, or give a document"
                    }
                    None => {
                        "set MinimumDocumentFrequency to 1 and MaximumQueryTerms high, so that nothing is counted"
                    }
                },
            });
        }
        if !visit(row?) {
            break;
        }
    }
    Ok(())
}

fn fields(options: &Options, base: &Object, index: &dyn SourceIndex) -> Vec<Field> {
    let all = || base.iter().map(|(name, _)| name.to_owned()).collect();
    let names: Vec<String> = options.fields.clone().unwrap_or_else(all);
    let known = names.iter().filter(|name| index.has_field(name));
    known
        .map(|name| Field {
            reference: FieldRef::Path(vec![Step::Member(name.clone())]),
            // Terms are taken as they are, so that they are found again whatever made them.
            matching: match matching(index.indexing(name), false) {
                Matching::Words(analyzer) => Matching::OriginalAgainstWords(analyzer),
                other => other,
            },
        })
        .filter(|field| field.matching != Matching::Nothing)
        .collect()
}

/// Shows the terms of a field by which it is found.
fn each_word(field: &Field, subject: &Subject<'_>, show: &mut dyn FnMut(Operand, String) -> bool) {
    let mut add = |term: &Term<'_>| {
        let text = crate::compare::compared(term, field.matching).into_owned();
        let operand = match term {
            Term::Bool(value) => Operand::Bool(*value),
            Term::Number(number) => Operand::new(&Json::Number(number.clone().into_owned())),
            Term::Text(_) => Operand::new(&Json::from(text.as_str())),
            Term::Null | Term::NonFinite(_) | Term::Object => return false,
        };
        show(operand, text)
    };
    field.reference.any(subject, &mut |term| match field.matching.analyzer() {
        Some(analyzer) => analyzer.any(term, &mut add),
        None => add(term),
    });
}

/// The words of the document that can be looked for.
fn words(
    base: &Object,
    fields: &[Field],
    options: &Options,
) -> Result<BTreeMap<Word, Occurrence>, QueryError> {
    let subject = Subject { id: None, fields: base, metadata: None };
    let mut words: BTreeMap<Word, Occurrence> = BTreeMap::new();
    for (number, field) in fields.iter().enumerate() {
        let mut read = 0;
        each_word(field, &subject, &mut |operand, text| {
            read += 1;
            if read > options.read_max {
                return true;
            }
            let occurrence = words.entry(Word { field: number, text });
            occurrence.or_insert(Occurrence { operand, times: 0, rows: 0 }).times += 1;
            false
        });
    }
    words.retain(|word, occurrence| options.takes(&word.text, occurrence.times));
    if words.len() <= limits::LIKE_WORDS_MAX {
        return Ok(words);
    }
    Err(QueryError::LimitReached {
        name: "like_words_max",
        limit: limits::LIKE_WORDS_MAX,
        unit: "different words of the document of moreLikeThis()",
        advice: "name Fields in its options, or a smaller MaximumNumberOfTokensParsed",
    })
}

/// Counts in how many rows each word is, and the rows.
fn count(
    words: &mut BTreeMap<Word, Occurrence>,
    fields: &[Field],
    options: &Options,
    index: &dyn SourceIndex,
) -> Result<usize, QueryError> {
    let mut rows = 0;
    if words.is_empty() || !options.counts(words.len()) {
        return Ok(rows);
    }
    let mut met = HashSet::new();
    each_row(index, None, &mut |row| {
        rows += 1;
        let (id, row_fields) = parts(&row);
        let subject = Subject { id, fields: row_fields, metadata: None };
        for (number, field) in fields.iter().enumerate() {
            met.clear();
            each_word(field, &subject, &mut |_, text| {
                met.insert(text);
                false
            });
            for text in met.drain() {
                if let Some(occurrence) = words.get_mut(&Word { field: number, text }) {
                    occurrence.rows += 1;
                }
            }
        }
        true
    })?;
    let percent = |percent: usize| rows.saturating_mul(percent) / 100;
    let most = [options.rows_max, options.rows_percent_max.map(percent)].into_iter().flatten().min();
    words.retain(|_, found| found.rows >= options.rows_min && most.is_none_or(|most| found.rows <= most));
    Ok(rows)
}

/// The tests of the words that tell most about the document: those that are often in it and seldom elsewhere.
fn tests(words: BTreeMap<Word, Occurrence>, fields: &[Field], options: &Options, rows: usize) -> Vec<Filter> {
    #[expect(clippy::cast_precision_loss, reason = "counts of words and rows are far below 2^53")]
    let weight = |found: &Occurrence| {
        found.times as f64 * ((rows as f64 / (found.rows as f64 + 1.0)).max(f64::MIN_POSITIVE).ln() + 1.0)
    };
    let mut weighed: Vec<(f64, Word, Operand)> =
        words.into_iter().map(|(word, found)| (weight(&found), word, found.operand)).collect();
    // Words of equal weight stay in their order, so that the same are taken each time.
    weighed.sort_by(|(one, ..), (other, ..)| other.total_cmp(one));
    weighed.truncate(options.words_max);
    let most = weighed.first().map_or(1.0, |(weight, ..)| *weight);
    let test = |(weight, word, operand): (f64, Word, Operand)| {
        let field = fields.get(word.field)?;
        let test = Test::Equal(operand);
        let filter = Filter::Test { field: field.reference.clone(), matching: field.matching, test };
        Some(match options.boost {
            Some(factor) => Filter::Boost(Box::new(filter), factor * weight / most),
            None => filter,
        })
    };
    weighed.into_iter().filter_map(test).collect()
}
