//! The groups of a `group by`, made by reading the documents of the collection once: a map-reduce index that lives as
//! long as its query. Sums are exact.

use crate::ast::{Query, Selection};
use crate::auto_index::GroupFields;
use crate::error::QueryError;
use crate::execute::Budget;
use crate::group_by::{COUNT, Grouping, KEY, Sum, element_prefix};
use crate::limits;
use crate::projection;
use crate::source::{Entries, KeyRange, ReducedResults, Results, Source, SourceCollection, SourceIndex};
use crate::term::Step;
use magpie_store::Document;
use magpie_store::json::{BigInt, Json, Number, Object};
use std::cell::OnceCell;
use std::collections::HashMap;

/// The groups of one query.
pub(crate) struct Grouped<'a> {
    pub(crate) source: &'a dyn Source,
    pub(crate) collection: String,
    pub(crate) grouping: Grouping,
    pub(crate) name: String,
    rows: OnceCell<Vec<Object>>,
}

/// One group while it grows.
struct Group {
    key: Vec<Json>,
    count: u64,
    sums: Vec<DecimalSum>,
}

impl<'a> Grouped<'a> {
    /// The groups that `query` asks for. Whole rows show what earlier queries asked of the same groups, too.
    pub(crate) fn new(
        source: &'a dyn Source,
        collection: &str,
        mut grouping: Grouping,
        query: &Query,
    ) -> Self {
        let mut fields = GroupFields::default();
        fields.keys.extend(grouping.keys.iter().map(|key| key.index_part.clone()));
        fields.aggregates.extend(grouping.sums.iter().map(|sum| sum.name.clone()));
        if grouping.counts {
            fields.aggregates.insert(COUNT.to_owned());
        }
        let wider = source.widen_groups(collection, fields);
        let name = wider.index_name(collection);
        let is_listed =
            query.select.as_ref().is_some_and(|select| matches!(select.what, Selection::Items(_)));
        if is_listed {
            grouping.widen_plain(&wider.aggregates);
        } else {
            grouping.widen(&wider.aggregates);
        }
        Self { source, collection: collection.to_owned(), grouping, name, rows: OnceCell::new() }
    }

    fn rows(&self) -> Result<&[Object], QueryError> {
        if let Some(rows) = self.rows.get() {
            return Ok(rows);
        }
        let groups = self.read()?;
        let rows = groups.into_iter().map(|group| self.row(group)).collect();
        Ok(self.rows.get_or_init(|| rows))
    }

    /// The groups in the order in which their first documents were written.
    fn read(&self) -> Result<Vec<Group>, QueryError> {
        let collection = match self.collection.as_str() {
            "@all_docs" => SourceCollection::All,
            name => SourceCollection::Named(name),
        };
        let paths = || {
            self.grouping
                .keys
                .iter()
                .map(|key| &key.path)
                .chain(self.grouping.sums.iter().map(|sum| &sum.path))
        };
        let needs_metadata = paths().any(|path| path.first() == Some(&Step::Member("@metadata".to_owned())));
        let mut groups: Vec<Group> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut budget = Budget::groups();
        for document in self.source.documents(collection)? {
            let document = document?;
            let mut fields = document.body_json();
            if needs_metadata {
                fields.insert("@metadata", document.wire_metadata(self.source.database_id()));
            }
            for element in self.elements(&fields) {
                let key = self.key(&fields, element.as_ref());
                let text = Json::Array(key.clone()).to_string();
                let bytes = 4 * text.len() + 512;
                let place = *places.entry(text).or_insert(groups.len());
                if place == groups.len() {
                    budget.take(bytes)?;
                    let sums = vec![DecimalSum::default(); self.grouping.sums.len()];
                    groups.push(Group { key, count: 0, sums });
                }
                if let Some(group) = groups.get_mut(place) {
                    group.count += 1;
                    for (total, sum) in group.sums.iter_mut().zip(&self.grouping.sums) {
                        self.add(total, sum, &fields, element.as_ref(), &document)?;
                    }
                }
            }
        }
        Ok(groups)
    }

    /// The array whose elements are grouped, if there is one.
    fn prefix(&self) -> Option<&[Step]> {
        self.grouping.keys.iter().find(|key| !key.whole).map(|key| element_prefix(&key.path))
    }

    /// What is grouped of one document: the document itself (`None`), or the elements of its array. An array that is
    /// missing, null or empty counts as one element without value; what is no array has none.
    fn elements(&self, fields: &Object) -> Vec<Option<Json>> {
        let Some(prefix) = self.prefix() else { return vec![None] };
        match projection::read_from(fields, prefix) {
            None | Some(Json::Null) => vec![None],
            Some(Json::Array(items)) if items.is_empty() => vec![None],
            Some(Json::Array(items)) => items.into_iter().map(Some).collect(),
            Some(_) => Vec::new(),
        }
    }

    fn key(&self, fields: &Object, element: Option<&Json>) -> Vec<Json> {
        let value = |path: &[Step], whole: bool| {
            if whole {
                return member(fields, path);
            }
            let rest = path.get(element_prefix(path).len() + 1..).unwrap_or_default();
            element.and_then(|element| all(element, rest))
        };
        self.grouping.keys.iter().map(|key| value(&key.path, key.whole).unwrap_or_default()).collect()
    }

    fn add(
        &self,
        total: &mut DecimalSum,
        sum: &Sum,
        fields: &Object,
        element: Option<&Json>,
        document: &Document,
    ) -> Result<(), QueryError> {
        let of_element = self.prefix().is_some_and(|prefix| {
            sum.path.get(prefix.len()) == Some(&Step::Each) && element_prefix(&sum.path) == prefix
        });
        let value = if of_element {
            let rest = sum.path.get(element_prefix(&sum.path).len() + 1..).unwrap_or_default();
            element.and_then(|element| all(element, rest))
        } else {
            member(fields, &sum.path)
        };
        match total.add(value.as_ref().unwrap_or(&Json::Null)) {
            Ok(()) => Ok(()),
            Err(_) if !sum.asked => {
                total.failed = true;
                Ok(())
            }
            Err(found) => Err(QueryError::Operation {
                message: format!(
                    "'{}' of document '{}' is {found}, so it cannot be summed in its group; mend the document, or group \
                     by this field too",
                    sum.name,
                    document.id.as_str()
                ),
            }),
        }
    }

    fn row(&self, group: Group) -> Object {
        let mut row = Object::new();
        for (key, value) in self.grouping.keys.iter().zip(group.key) {
            row.insert(key.name.as_str(), value);
        }
        if self.grouping.shows_key {
            row.insert(KEY, row.clone());
        }
        if self.grouping.counts {
            row.insert(COUNT, group.count);
        }
        for (sum, total) in self.grouping.sums.iter().zip(group.sums) {
            if !total.failed {
                row.insert(sum.name.as_str(), Json::Number(total.number()));
            }
        }
        row
    }
}

fn member(fields: &Object, path: &[Step]) -> Option<Json> {
    let (first, rest) = path.split_first()?;
    let Step::Member(name) = first else { return None };
    all(fields.get(name)?, rest)
}

/// The value at a path; behind `[]` an array with one value for each element.
fn all(value: &Json, path: &[Step]) -> Option<Json> {
    let Some((step, rest)) = path.split_first() else { return Some(value.clone()) };
    match (step, value) {
        (Step::Member(name), Json::Object(object)) => all(object.get(name)?, rest),
        (Step::Member(_), Json::Array(items)) => {
            Some(Json::Array(items.iter().filter_map(|item| all(item, path)).collect()))
        }
        (Step::Each, Json::Array(items)) => {
            Some(Json::Array(items.iter().map(|item| all(item, rest).unwrap_or_default()).collect()))
        }
        (Step::At(index), Json::Array(items)) => all(crate::term::at(items, *index)?, rest),
        _ => None,
    }
}

/// A sum of decimal numbers without rounding.
#[derive(Debug, Clone, Default)]
struct DecimalSum {
    /// The sum is this times ten to the power of minus `places`.
    mantissa: BigInt,
    places: u32,
    /// Whether a summand had no value.
    failed: bool,
}

impl DecimalSum {
    /// Adds a number, or the numbers of an array; null counts as nothing. Otherwise says what it is.
    fn add(&mut self, value: &Json) -> Result<(), &'static str> {
        match value {
            Json::Null => Ok(()),
            Json::Number(number) => self.add_number(number),
            Json::Array(items) => items.iter().try_for_each(|item| self.add(item)),
            Json::String(_) => Err("text"),
            Json::Bool(_) => Err("a boolean"),
            Json::Object(_) => Err("an object"),
            Json::ScriptNumber(_) => Err("a number that JSON has not"),
        }
    }

    fn add_number(&mut self, number: &Number) -> Result<(), &'static str> {
        const TOO_LARGE: &str = "a number with too many digits";
        let decimal = number.decimal();
        if decimal.digits.is_empty() {
            return Ok(());
        }
        let digits = i64::try_from(decimal.digits.len()).map_err(|_| TOO_LARGE)?;
        let shift = decimal.exponent.checked_sub(digits).ok_or(TOO_LARGE)?;
        if shift.unsigned_abs() > u64::from(limits::SUM_DIGITS_MAX) || decimal.digits.len() > 10_000 {
            return Err(TOO_LARGE);
        }
        let mut mantissa = decimal.digits.iter().fold(BigInt::from(0), |sum, digit| sum * 10 + *digit);
        if decimal.negative {
            mantissa = -mantissa;
        }
        let places = u32::try_from(-shift).unwrap_or(0);
        if shift > 0 {
            mantissa *= BigInt::from(10).pow(u32::try_from(shift).unwrap_or(0));
        }
        if places > self.places {
            self.mantissa *= BigInt::from(10).pow(places - self.places);
            self.places = places;
        } else {
            mantissa *= BigInt::from(10).pow(self.places - places);
        }
        self.mantissa += mantissa;
        Ok(())
    }

    fn number(&self) -> Number {
        let text = self.mantissa.to_string();
        let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |digits| ("-", digits));
        let places = usize::try_from(self.places).unwrap_or(0);
        let padded = format!("{digits:0>width$}", width = places + 1);
        let (whole, fraction) = padded.split_at(padded.len() - places);
        let fraction = fraction.trim_end_matches('0');
        let point = if fraction.is_empty() { "" } else { "." };
        Number::from_valid_text(&format!("{sign}{whole}{point}{fraction}"))
    }
}

impl SourceIndex for Grouped<'_> {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn is_map_reduce(&self) -> bool {
        true
    }

    fn has_field(&self, _name: &str) -> bool {
        true
    }

    fn keeps_originals(&self) -> bool {
        true
    }

    fn is_stale(&self) -> Result<bool, QueryError> {
        Ok(false)
    }

    fn version(&self) -> Result<u64, QueryError> {
        Ok(0)
    }

    fn results(&self) -> Result<Results<'_>, QueryError> {
        Ok(Box::new(self.rows()?.iter().map(|row| Ok(row.clone()))))
    }

    fn group_by(&self) -> Vec<String> {
        self.grouping.keys.iter().map(|key| key.name.clone()).collect()
    }

    fn reduced_results(&self, _range: &KeyRange) -> Result<ReducedResults<'_>, QueryError> {
        Ok(Box::new(std::iter::empty()))
    }

    fn reduce(&self, _key: &[Json], _values: Vec<Json>) -> Result<Json, QueryError> {
        Err(QueryError::Operation { message: "groups of GROUP BY are not reduced further".to_owned() })
    }

    fn entries(&self) -> Result<Entries<'_>, QueryError> {
        Ok(Box::new(std::iter::empty()))
    }
}

#[cfg(test)]
mod tests {
    use super::DecimalSum;
    use magpie_store::json::parse;

    #[test]
    fn sums_are_exact() {
        for (values, sum) in [
            ("[]", "0"),
            ("[0.1, 0.2]", "0.3"),
            ("[1, -1.50, 0.5]", "0"),
            ("[9007199254740993, 1]", "9007199254740994"),
            ("[1e3, 2.5e-2]", "1000.025"),
            ("[-0.05]", "-0.05"),
            ("[null, [1, [2]]]", "3"),
            ("[1e300, 1, -1e300]", "1"),
        ] {
            let mut total = DecimalSum::default();
            total.add(&parse(values.as_bytes()).unwrap()).unwrap();
            assert_eq!(total.number().to_string(), sum, "{values}");
        }
        for refused in ["\"1\"", "true", "{}", "1e99999", "1e-99999"] {
            let value = parse(refused.as_bytes()).unwrap();
            assert!(DecimalSum::default().add(&value).is_err(), "{refused}");
        }
    }
}
