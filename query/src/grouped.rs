//! The groups of a `group by`: from the auto index that has them, or made by reading the documents of the collection once,
//! as a map-reduce index that lives as long as its query. Sums are exact, so both give the same.

use crate::ast::{Query, Selection};
use crate::auto_index::GroupFields;
use crate::error::QueryError;
use crate::execute::Budget;
use crate::group_by::{COUNT, Grouping, KEY, Sum};
use crate::source::{Entries, KeyRange, ReducedResults, Results, Source, SourceCollection, SourceIndex};
use magpie_indexes::auto::{DecimalSum, GroupReader, KeyPath, compare_keys, key_of, key_text, path_of};
use magpie_store::Document;
use magpie_store::json::{Json, Object};
use std::cell::OnceCell;
use std::collections::HashMap;

/// The groups of one query.
pub(crate) struct Grouped<'a> {
    pub(crate) source: &'a dyn Source,
    pub(crate) collection: String,
    pub(crate) grouping: Grouping,
    pub(crate) name: String,
    /// What the auto index of the query has; `None` when it would read other values than the query means.
    fields: Option<GroupFields>,
    rows: OnceCell<Vec<Object>>,
}

/// One group: the values of the keys in the order of the query, and the sums in its order, null where a summand was no
/// number.
struct Group {
    key: Vec<Json>,
    count: u64,
    sums: Vec<Json>,
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
        let is_readable = fields.are_distinct() && are_named(&grouping);
        let (name, wider) = if is_readable {
            source.auto_groups(collection, fields)
        } else {
            (fields.index_name(collection), fields)
        };
        let is_listed =
            query.select.as_ref().is_some_and(|select| matches!(select.what, Selection::Items(_)));
        if is_listed {
            grouping.widen_plain(&wider.aggregates);
        } else {
            grouping.widen(&wider.aggregates);
        }
        let fields = is_readable.then_some(wider);
        Self { source, collection: collection.to_owned(), grouping, name, fields, rows: OnceCell::new() }
    }

    fn rows(&self) -> Result<&[Object], QueryError> {
        if let Some(rows) = self.rows.get() {
            return Ok(rows);
        }
        let mut groups = match self.indexed()? {
            Some(groups) => groups,
            None => self.read()?,
        };
        groups.sort_by(|left, right| compare_keys(&left.key, &right.key));
        let rows = groups.into_iter().map(|group| self.row(group)).collect();
        Ok(self.rows.get_or_init(|| rows))
    }

    /// The groups as the auto index has them; `None` when it cannot tell, or a sum that is asked for has no value: reading
    /// the documents tells where.
    fn indexed(&self) -> Result<Option<Vec<Group>>, QueryError> {
        let Some(fields) = &self.fields else { return Ok(None) };
        let Some(found) = self.source.groups(&self.collection, fields)? else { return Ok(None) };
        let key_places: Vec<_> = self
            .grouping
            .keys
            .iter()
            .map(|key| fields.keys.iter().position(|name| *name == key.index_part))
            .collect();
        let sum_places: Vec<_> = self
            .grouping
            .sums
            .iter()
            .map(|sum| found.sums.iter().position(|name| *name == sum.name))
            .collect();
        let at = |values: &[Json], place: &Option<usize>| {
            place.and_then(|place| values.get(place)).cloned().unwrap_or_default()
        };
        let mut budget = Budget::groups();
        let mut groups = Vec::new();
        for group in found.rows {
            let group = group?;
            let key: Vec<Json> = key_places.iter().map(|place| at(&group.key, place)).collect();
            budget.take(held(&key_text(&key)))?;
            let sums: Vec<Json> = sum_places.iter().map(|place| at(&group.sums, place)).collect();
            if self.grouping.sums.iter().zip(&sums).any(|(sum, value)| sum.asked && value.is_null()) {
                return Ok(None);
            }
            groups.push(Group { key, count: group.count, sums });
        }
        Ok(Some(groups))
    }

    /// The groups as the documents have them.
    fn read(&self) -> Result<Vec<Group>, QueryError> {
        let collection = match self.collection.as_str() {
            "@all_docs" => SourceCollection::All,
            name => SourceCollection::Named(name),
        };
        let keys = self.grouping.keys.iter().map(|key| KeyPath { path: key.path.clone(), whole: key.whole });
        let sums = self.grouping.sums.iter().map(|sum| sum.path.clone());
        let reader = GroupReader::new(keys.collect(), sums.collect());
        let mut groups: Vec<(Vec<Json>, u64, Vec<DecimalSum>)> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut budget = Budget::groups();
        for document in self.source.documents(collection)? {
            let document = document?;
            for entry in reader.entries(&document, self.source.database_id()) {
                let text = key_text(&entry.key);
                let bytes = held(&text);
                let place = *places.entry(text).or_insert(groups.len());
                if place == groups.len() {
                    budget.take(bytes)?;
                    groups.push((entry.key, 0, vec![DecimalSum::default(); self.grouping.sums.len()]));
                }
                if let Some((_, count, totals)) = groups.get_mut(place) {
                    *count += 1;
                    for ((total, sum), summand) in
                        totals.iter_mut().zip(&self.grouping.sums).zip(&entry.summands)
                    {
                        add(total, sum, summand, &document)?;
                    }
                }
            }
        }
        let group = |(key, count, totals): (_, _, Vec<DecimalSum>)| Group {
            key,
            count,
            sums: totals.iter().map(DecimalSum::value).collect(),
        };
        Ok(groups.into_iter().map(group).collect())
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
            if !total.is_null() {
                row.insert(sum.name.as_str(), total);
            }
        }
        row
    }
}

/// Whether the names under which an index knows keys and sums lead to the values that the query means: quoted names and
/// numbered elements may not.
fn are_named(grouping: &Grouping) -> bool {
    let mut keys = grouping.keys.iter();
    keys.all(|key| key_of(&key.index_part) == KeyPath { path: key.path.clone(), whole: key.whole })
        && grouping.sums.iter().all(|sum| path_of(&sum.name) == sum.path)
}

/// About how many bytes a group takes in memory.
fn held(key: &str) -> usize {
    4 * key.len() + 512
}

fn add(total: &mut DecimalSum, sum: &Sum, summand: &Json, document: &Document) -> Result<(), QueryError> {
    match total.add(summand) {
        Ok(()) => Ok(()),
        Err(_) if !sum.asked => {
            total.fail();
            Ok(())
        }
        Err(found) => Err(QueryError::Operation {
            message: format!(
                "'{}' of document '{}' is {found}, so it cannot be summed in its group; mend the document, or group by \
                 this field too",
                sum.name,
                document.id.as_str()
            ),
        }),
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
