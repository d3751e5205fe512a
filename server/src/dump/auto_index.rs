//! Auto indexes in dumps: their layout there is another one than that of indexes that somebody wrote.

use magpie_indexes::IndexDefinition;
use magpie_indexes::auto::{AutoDefinition, AutoFields, COUNT, GroupFields};
use magpie_indexes::definition::{LockMode, Priority};
use magpie_store::json::{Json, Object};

/// The numbers that stand for what is done with a field.
const NOTHING: i64 = 0;
const COUNTED: i64 = 1;
const SUMMED: i64 = 2;

/// The definition as a dump has it; `None` for an index that is no auto index.
pub(super) fn to_json(definition: &IndexDefinition) -> Option<Object> {
    let auto = definition.auto.as_ref()?;
    let mut body = Object::from_iter([
        ("Name", Json::from(definition.name.as_str())),
        ("Collections", Json::Array(vec![auto.collection.as_str().into()])),
        ("LockMode", lock_number(definition.lock_mode).into()),
        ("Priority", priority_number(definition.priority).into()),
        ("State", NOTHING.into()),
        ("ArchivedDataProcessingBehavior", Json::Null),
    ]);
    let Some(groups) = &auto.groups else {
        let fields = auto.fields.iter().map(|(name, ways)| {
            let indexing = match (ways.search, ways.exact) {
                (true, true) => "Search, Exact",
                (true, false) => "Search",
                (false, true) => "Exact",
                (false, false) => "Default",
            };
            field(name, indexing, NOTHING)
        });
        body.insert("MapFields", fields.collect::<Vec<_>>());
        return Some(body);
    };
    let aggregates = groups
        .aggregates
        .iter()
        .map(|name| field(name, "Default", if name == COUNT { COUNTED } else { SUMMED }));
    body.insert("MapFields", aggregates.collect::<Vec<_>>());
    let keys = groups.keys.iter().map(|key| {
        let inner = array_of(key);
        let behavior = match inner {
            Some(_) => "ByContent",
            None if key.contains("[]") => "ByIndividualValues",
            None => "NotApplicable",
        };
        Json::from(Object::from_iter([
            ("Name", Json::from(inner.unwrap_or(key))),
            ("Indexing", "Default".into()),
            ("GroupByArrayBehavior", behavior.into()),
            ("HasQuotedName", false.into()),
        ]))
    });
    body.insert("GroupByFields", keys.collect::<Vec<_>>());
    let names = groups.keys.iter().map(|key| Json::from(array_of(key).unwrap_or(key)));
    body.insert("GroupByFieldNames", names.collect::<Vec<_>>());
    Some(body)
}

fn array_of(key: &str) -> Option<&str> {
    key.strip_prefix("Array(").and_then(|rest| rest.strip_suffix(')'))
}

fn field(name: &str, indexing: &str, aggregation: i64) -> Json {
    Json::from(Object::from_iter([
        ("Name", Json::from(name)),
        ("Indexing", indexing.into()),
        ("Aggregation", aggregation.into()),
        ("Spatial", Json::Null),
        ("Vector", Json::Null),
        ("HasSuggestions", false.into()),
        ("HasQuotedName", false.into()),
    ]))
}

/// The definition that a dump has in this way; `None` when Magpie has no such index: it asks for more than fields, or is
/// not named by them.
pub(super) fn from_json(stored: &Object) -> Option<IndexDefinition> {
    let [collection] = stored.get("Collections")?.as_array()? else { return None };
    let collection = collection.as_str()?;
    let map_fields = stored.get("MapFields")?.as_array()?;
    let auto = match stored.get("GroupByFields").and_then(Json::as_array) {
        None => AutoDefinition::map(collection, fields(map_fields)?),
        Some(keys) => AutoDefinition::groups(
            collection,
            GroupFields {
                keys: keys.iter().map(key).collect::<Option<_>>()?,
                aggregates: map_fields.iter().map(aggregate).collect::<Option<_>>()?,
            },
        ),
    };
    let mut definition = auto.definition();
    definition.lock_mode = match stored.get("LockMode").and_then(Json::as_i64) {
        Some(1) => LockMode::LockedIgnore,
        Some(2) => LockMode::LockedError,
        _ => LockMode::Unlock,
    };
    definition.priority = match stored.get("Priority").and_then(Json::as_i64) {
        Some(0) => Priority::Low,
        Some(2) => Priority::High,
        _ => Priority::Normal,
    };
    (stored.get("Name")?.as_str()? == definition.name).then_some(definition)
}

fn lock_number(mode: LockMode) -> i64 {
    match mode {
        LockMode::Unlock => 0,
        LockMode::LockedIgnore => 1,
        LockMode::LockedError => 2,
    }
}

fn priority_number(priority: Priority) -> i64 {
    match priority {
        Priority::Low => 0,
        Priority::Normal => 1,
        Priority::High => 2,
    }
}

/// The name of a field, unless more is asked of it than Magpie does.
fn plain_name(field: &Json) -> Option<&str> {
    let is_plain = ["Spatial", "Vector"].iter().all(|key| field.get(key).is_none_or(Json::is_null))
        && field.get("HasSuggestions") != Some(&Json::Bool(true));
    field.get("Name").and_then(Json::as_str).filter(|_| is_plain)
}

fn fields(stored: &[Json]) -> Option<AutoFields> {
    let mut fields = AutoFields::default();
    for field in stored {
        let name = plain_name(field)?;
        fields.add(name, false);
        for way in field.get("Indexing").and_then(Json::as_str).unwrap_or("Default").split(", ") {
            match way {
                "Default" => {}
                "Search" => fields.add_search(name),
                "Exact" => fields.add(name, true),
                _ => return None,
            }
        }
    }
    Some(fields)
}

fn aggregate(stored: &Json) -> Option<String> {
    let name = plain_name(stored)?;
    let is_count = match stored.get("Aggregation")?.as_i64()? {
        COUNTED => true,
        SUMMED => false,
        _ => return None,
    };
    (is_count == (name == COUNT)).then(|| name.to_owned())
}

fn key(stored: &Json) -> Option<String> {
    let name = plain_name(stored)?;
    let is_array = stored.get("GroupByArrayBehavior").and_then(Json::as_str) == Some("ByContent");
    Some(if is_array { format!("Array({name})") } else { name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use magpie_store::json::parse;

    #[test]
    fn what_is_written_is_read_again() {
        let mut fields = AutoFields::default();
        fields.add("a.b", true);
        fields.add_search("a.b");
        fields.add("c", false);
        let groups = GroupFields {
            keys: ["Array(tags)".to_owned(), "lines[].p".to_owned(), "city".to_owned()].into(),
            aggregates: ["Count".to_owned(), "total".to_owned()].into(),
        };
        for auto in [AutoDefinition::map("Users", fields), AutoDefinition::groups("@all_docs", groups)] {
            let mut definition = auto.definition();
            definition.priority = Priority::High;
            definition.lock_mode = LockMode::LockedError;
            assert_eq!(from_json(&to_json(&definition).unwrap()), Some(definition));
        }
        assert_eq!(to_json(&IndexDefinition::default()), None);
    }

    #[test]
    fn what_is_more_than_fields_is_not_read() {
        for (changed, to) in [
            ("\"Default\"", "\"Default\""),
            ("\"Default\"", "\"Highlighting\""),
            ("\"Spatial\":null", "\"Spatial\":{}"),
            ("\"HasSuggestions\":false", "\"HasSuggestions\":true"),
            ("Byn\"", "ByN\""),
            ("[\"Users\"]", "[]"),
        ] {
            let text = r#"{"Name":"Auto/Users/Byn","Collections":["Users"],"LockMode":0,"Priority":1,"MapFields":[{"Name":"n","Indexing":"Default","Aggregation":0,"Spatial":null,"HasSuggestions":false}]}"#;
            let Ok(Json::Object(stored)) = parse(text.replace(changed, to).as_bytes()) else {
                panic!("{to}")
            };
            assert_eq!(from_json(&stored).is_some(), changed == to, "{to}");
        }
    }
}
