//! Rows about all that fits a query: facets (how often each value of a field, or each range, occurs) and suggestions
//! (values that are like a word).

use crate::compare::{self, Matching};
use crate::error::QueryError;
use crate::execute::Budget;
use crate::filter::Filter;
use crate::term::{FieldRef, Subject, Term, fold};
use magpie_indexes::terms::Analyzer;
use magpie_store::json::{Json, Number, Object};
use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet};

/// What a value of the field `null` is called among facets.
const NULL_VALUE: &str = "NULL_VALUE";
/// What an empty text is called.
const EMPTY_STRING: &str = "EMPTY_STRING";

/// What is counted.
#[derive(Debug, Clone)]
pub(crate) enum Tally {
    Facets(Vec<Facet>),
    Suggestions(Vec<Suggestion>),
}

/// One facet.
#[derive(Debug, Clone)]
pub(crate) struct Facet {
    pub(crate) name: String,
    pub(crate) by: FacetBy,
    pub(crate) aggregations: Vec<Aggregation>,
    pub(crate) options: FacetOptions,
}

/// What makes the values of a facet.
#[derive(Debug, Clone)]
pub(crate) enum FacetBy {
    /// Each value of a field.
    Terms(FieldRef, Matching),
    /// Ranges with their texts.
    Ranges(Vec<(String, Filter)>),
}

/// Which values of a facet are shown, in what order.
#[derive(Debug, Clone, Default)]
pub(crate) struct FacetOptions {
    pub(crate) by_count: bool,
    pub(crate) descending: bool,
    pub(crate) start: usize,
    pub(crate) page_size: Option<usize>,
    pub(crate) remaining_terms: bool,
}

/// Numbers of a field that are put together for each value of a facet.
#[derive(Debug, Clone)]
pub(crate) struct Aggregation {
    pub(crate) name: String,
    pub(crate) field: FieldRef,
    pub(crate) kinds: BTreeSet<AggregationKind>,
}

/// How numbers are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum AggregationKind {
    Sum,
    Max,
    Min,
    Average,
}

/// One field whose values are suggested.
#[derive(Debug, Clone)]
pub(crate) struct Suggestion {
    pub(crate) name: String,
    pub(crate) field: FieldRef,
    /// What makes the terms that are suggested, when it is not the values themselves.
    pub(crate) analyzer: Option<Analyzer>,
    /// Lower-cased.
    pub(crate) wanted: Vec<String>,
    pub(crate) accuracy: f64,
    pub(crate) page_size: usize,
    pub(crate) likeness: Likeness,
    pub(crate) by_popularity: bool,
}

/// How alike two words are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Likeness {
    Levenshtein,
    JaroWinkler,
    NGram,
}

/// The counts so far.
pub(crate) struct Counting<'a> {
    tally: &'a Tally,
    /// By facet and value, or by suggestion and term.
    counts: Vec<BTreeMap<String, Bucket>>,
    budget: Budget,
}

/// One value of a facet.
#[derive(Debug, Clone, Default)]
struct Bucket {
    count: u64,
    numbers: Vec<Numbers>,
}

#[derive(Debug, Clone, Default)]
struct Numbers {
    count: u32,
    sum: f64,
    max: Option<f64>,
    min: Option<f64>,
}

impl<'a> Counting<'a> {
    pub(crate) fn new(tally: &'a Tally) -> Self {
        let parts = match tally {
            Tally::Facets(facets) => facets.len(),
            Tally::Suggestions(suggestions) => suggestions.len(),
        };
        Self { tally, counts: vec![BTreeMap::new(); parts], budget: Budget::groups() }
    }

    /// Counts what fits the query.
    ///
    /// # Errors
    /// [`QueryError::LimitReached`] when there are too many values.
    pub(crate) fn take(&mut self, subject: &Subject<'_>) -> Result<(), QueryError> {
        match self.tally {
            Tally::Facets(facets) => {
                for (facet, counts) in facets.iter().zip(&mut self.counts) {
                    let numbers =
                        || facet.aggregations.iter().map(|aggregation| aggregation.numbers(subject));
                    for value in facet.values(subject) {
                        let bucket = bucket(counts, value, &mut self.budget)?;
                        bucket.count += 1;
                        bucket.numbers.resize_with(facet.aggregations.len(), Numbers::default);
                        for (total, found) in bucket.numbers.iter_mut().zip(numbers()) {
                            found.into_iter().for_each(|number| total.add(number));
                        }
                    }
                }
            }
            Tally::Suggestions(suggestions) => {
                for (suggestion, counts) in suggestions.iter().zip(&mut self.counts) {
                    for term in suggestion.terms(subject) {
                        bucket(counts, term, &mut self.budget)?.count += 1;
                    }
                }
            }
        }
        Ok(())
    }

    /// One row for each facet or suggestion.
    pub(crate) fn rows(self) -> Vec<Object> {
        let counts = self.counts.into_iter();
        match self.tally {
            Tally::Facets(facets) => {
                facets.iter().zip(counts).map(|(facet, counts)| facet.row(counts)).collect()
            }
            Tally::Suggestions(suggestions) => {
                suggestions.iter().zip(counts).map(|(suggestion, counts)| suggestion.row(&counts)).collect()
            }
        }
    }
}

fn bucket<'c>(
    counts: &'c mut BTreeMap<String, Bucket>,
    value: String,
    budget: &mut Budget,
) -> Result<&'c mut Bucket, QueryError> {
    if !counts.contains_key(&value) {
        budget.take(value.len() + 256)?;
    }
    Ok(counts.entry(value).or_default())
}

/// The distinct terms of a field, in the case in which they compare.
fn terms(field: &FieldRef, matching: Matching, subject: &Subject<'_>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut add = |term: &Term<'_>| {
        found.insert(match term {
            Term::Null => NULL_VALUE.to_owned(),
            other => match compare::compared(other, matching).into_owned() {
                text if text.is_empty() => EMPTY_STRING.to_owned(),
                text => text,
            },
        });
        false
    };
    field.any(subject, &mut |term| match matching.analyzer() {
        Some(analyzer) => analyzer.any(term, &mut add),
        None => add(term),
    });
    found
}

impl Facet {
    fn values(&self, subject: &Subject<'_>) -> BTreeSet<String> {
        match &self.by {
            FacetBy::Terms(_, Matching::Nothing) => BTreeSet::new(),
            FacetBy::Terms(field, matching) => terms(field, *matching, subject),
            FacetBy::Ranges(ranges) => {
                let fitting = ranges.iter().filter(|(_, filter)| filter.holds(subject));
                fitting.map(|(text, _)| text.clone()).collect()
            }
        }
    }

    fn row(&self, mut counts: BTreeMap<String, Bucket>) -> Object {
        let mut values: Vec<(String, Bucket)> = match &self.by {
            // Ranges are all told, in the order of the query.
            FacetBy::Ranges(ranges) => ranges
                .iter()
                .map(|(text, _)| (text.clone(), counts.remove(text).unwrap_or_default()))
                .collect(),
            FacetBy::Terms(..) => counts.into_iter().collect(),
        };
        if matches!(self.by, FacetBy::Terms(..)) {
            match (self.options.by_count, self.options.descending) {
                (false, false) => {}
                (false, true) => values.reverse(),
                (true, false) => values.sort_by_key(|(_, bucket)| bucket.count),
                (true, true) => values.sort_by_key(|(_, bucket)| Reverse(bucket.count)),
            }
        }
        let start = self.options.start.min(values.len());
        let end =
            self.options.page_size.map_or(values.len(), |size| start.saturating_add(size).min(values.len()));
        let remaining = values.split_off(end);
        let hits: u64 = remaining.iter().map(|(_, bucket)| bucket.count).sum();
        let shown = values.into_iter().skip(start);
        let told = shown.flat_map(|(value, bucket)| self.told(&value, bucket));
        let mut row = Object::new();
        row.insert("Name", self.name.as_str());
        row.insert("Values", told.map(Json::Object).collect::<Vec<Json>>());
        let count = u64::try_from(remaining.len()).unwrap_or(u64::MAX);
        let names: Vec<Json> = if self.options.remaining_terms {
            remaining.into_iter().map(|(value, _)| Json::from(value)).collect()
        } else {
            Vec::new()
        };
        row.insert("RemainingTerms", names);
        row.insert("RemainingTermsCount", count);
        row.insert("RemainingHits", hits);
        row
    }

    /// A value as it is told: once, or once for each field that is put together.
    fn told(&self, value: &str, mut bucket: Bucket) -> Vec<Object> {
        bucket.numbers.resize_with(self.aggregations.len(), Numbers::default);
        let one = |name: Option<&str>, numbers: Option<(&Aggregation, &Numbers)>| {
            let number = |kind: AggregationKind| {
                let (aggregation, numbers) = numbers?;
                let value = numbers.value(kind).filter(|_| aggregation.kinds.contains(&kind))?;
                Number::from_f64(value).map(Json::Number)
            };
            Object::from_iter([
                ("Name", Json::from(name)),
                ("Range", value.into()),
                ("Count", bucket.count.into()),
                ("Sum", number(AggregationKind::Sum).into()),
                ("Max", number(AggregationKind::Max).into()),
                ("Min", number(AggregationKind::Min).into()),
                ("Average", number(AggregationKind::Average).into()),
            ])
        };
        if self.aggregations.is_empty() {
            return vec![one(None, None)];
        }
        let all = self.aggregations.iter().zip(&bucket.numbers);
        all.map(|(aggregation, numbers)| one(Some(&aggregation.name), Some((aggregation, numbers)))).collect()
    }
}

impl Aggregation {
    fn numbers(&self, subject: &Subject<'_>) -> Vec<f64> {
        let mut found = Vec::new();
        self.field.any(subject, &mut |term| {
            if let Term::Number(number) = term {
                found.push(number.as_f64());
            }
            false
        });
        found
    }
}

impl Numbers {
    fn add(&mut self, number: f64) {
        self.count = self.count.saturating_add(1);
        self.sum += number;
        self.max = Some(self.max.map_or(number, |max| max.max(number)));
        self.min = Some(self.min.map_or(number, |min| min.min(number)));
    }

    fn value(&self, kind: AggregationKind) -> Option<f64> {
        match kind {
            AggregationKind::Sum => Some(self.sum),
            AggregationKind::Max => self.max,
            AggregationKind::Min => self.min,
            AggregationKind::Average => (self.count > 0).then(|| self.sum / f64::from(self.count)),
        }
    }
}

impl Suggestion {
    fn terms(&self, subject: &Subject<'_>) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        self.field.any(subject, &mut |term| {
            if let Term::Text(text) = term {
                match self.analyzer {
                    Some(analyzer) => found.extend(analyzer.words(text)),
                    None => {
                        found.insert(fold(text).into_owned());
                    }
                }
            }
            false
        });
        found
    }

    fn row(&self, counts: &BTreeMap<String, Bucket>) -> Object {
        let mut best: Vec<(f64, u64, &str)> = Vec::new();
        for (term, bucket) in counts {
            let alike = |wanted: &String| self.likeness.of(wanted, term);
            let likeness = self.wanted.iter().map(alike).fold(0.0, f64::max);
            if likeness >= self.accuracy && !self.wanted.contains(term) {
                best.push((likeness, bucket.count, term));
            }
        }
        let by_likeness = |left: &(f64, u64, &str), right: &(f64, u64, &str)| right.0.total_cmp(&left.0);
        let by_count = |left: &(f64, u64, &str), right: &(f64, u64, &str)| right.1.cmp(&left.1);
        best.sort_by(|left, right| {
            let order = by_likeness(left, right)
                .then_with(|| if self.by_popularity { by_count(left, right) } else { Ordering::Equal });
            order.then_with(|| left.2.cmp(right.2))
        });
        let terms: Vec<Json> =
            best.into_iter().take(self.page_size).map(|(_, _, term)| term.into()).collect();
        Object::from_iter([("Name", Json::from(self.name.as_str())), ("Suggestions", terms.into())])
    }
}

impl Likeness {
    fn of(self, left: &str, right: &str) -> f64 {
        match self {
            Self::Levenshtein => strsim::normalized_levenshtein(left, right),
            Self::JaroWinkler => strsim::jaro_winkler(left, right),
            Self::NGram => strsim::sorensen_dice(left, right),
        }
    }
}
