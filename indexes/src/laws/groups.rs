//! The map outputs of a check by reduce key, and which of them are tried.

use crate::function::Emitted;
use magpie_store::json::Json;
use magpie_store::ordered;
use std::cmp::Reverse;
use std::collections::HashMap;

/// The outputs of one reduce key, in the order of the documents.
pub(super) struct Group {
    pub key: Vec<Json>,
    pub values: Vec<Json>,
}

/// All outputs, by key.
#[derive(Default)]
pub(super) struct Groups {
    groups: Vec<Group>,
    /// The place of a key by its ordered form.
    places: HashMap<Vec<u8>, usize>,
}

impl Groups {
    pub fn add(&mut self, output: Emitted) {
        let mut key = Vec::new();
        output.key.iter().for_each(|value| ordered::encode(value, &mut key));
        let place = *self.places.entry(key).or_insert(self.groups.len());
        match self.groups.get_mut(place) {
            Some(group) => group.values.push(output.value),
            None => self.groups.push(Group { key: output.key, values: vec![output.value] }),
        }
    }

    /// The keys with most outputs, and of each at most so many outputs.
    pub fn largest(mut self, keys_max: usize, values_max: usize) -> Vec<Group> {
        // The sort is stable, so equal sizes stay in the order of the documents.
        self.groups.sort_by_key(|group| Reverse(group.values.len()));
        self.groups.truncate(keys_max);
        for group in &mut self.groups {
            spread(&mut group.values, values_max);
        }
        self.groups
    }
}

/// Keeps at most `count` values, evenly spread, in order.
fn spread(values: &mut Vec<Json>, count: usize) {
    let all = values.len();
    if all <= count {
        return;
    }
    let mut seen = 0;
    // Of `all` even steps to `count`, a value stays when the next whole number is reached with it.
    values.retain(|_| {
        seen += 1;
        seen * count / all > (seen - 1) * count / all
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_keys_keep_values_from_all_over() {
        let mut groups = Groups::default();
        for (key, count) in [("few", 2), ("many", 100), ("some", 5)] {
            for n in 0..count {
                groups.add(Emitted { key: vec![key.into()], value: Json::from(i64::from(n)) });
            }
        }
        let largest = groups.largest(2, 4);
        let shown: Vec<String> = largest
            .iter()
            .map(|group| Json::Array([group.key.clone(), group.values.clone()].concat()).to_string())
            .collect();
        assert_eq!(shown, [r#"["many",24,49,74,99]"#, r#"["some",1,2,3,4]"#]);
    }
}
