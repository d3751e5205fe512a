//! Random documents and random questions about them, in which every rule of comparing and ordering is met.

use magpie_store::json::{Json, Object};
use proptest::prelude::*;

/// The texts for which an index may have what is no finite number.
pub const NON_FINITE: [&str; 3] = ["NaN", "Infinity", "-Infinity"];

/// Values as JSON text: few enough that conditions meet them, and every kind for which comparing has a rule.
fn scalar() -> impl Strategy<Value = String> {
    let quoted = |text: String| Json::from(text).to_string();
    let date =
        "(20(23-12-31|24-01-01|24-01-02)|9999-12-31|0001-01-01)(T23:30(:00)?(\\.0000000)?(Z|[+-]0[12]:00)?)?";
    prop_oneof![
        1 => Just("null".to_owned()),
        1 => any::<bool>().prop_map(|value| value.to_string()),
        1 => prop::sample::select(&NON_FINITE[..]).prop_map(|text| format!("\"{text}\"")),
        3 => (-3_i64..12).prop_map(|n| n.to_string()),
        2 => "-?[01]\\.[05]{1,2}",
        1 => "(1e30|1E-9|9007199254740993|9223372036854775808|-1e300|1\\.0|-0)",
        3 => "[abABé]{0,2}".prop_map(quoted),
        1 => "(true|FALSE|1|1\\.0|1E\\+30|1e\\+30|a9|A10|a09|NaN|K|\u{212a}|İ|a\u{0}|a\u{0}b)".prop_map(quoted),
        2 => date.prop_map(quoted),
        1 => "(2024-01-01t23:30z|2024|2024-01-01 )".prop_map(quoted),
        // Longer than what is kept of a term.
        1 => "[ab]{0,2}".prop_map(move |end| quoted("Long".repeat(100) + &end)),
        1 => (0..3_u8).prop_map(|n| format!("{}{n}", "12".repeat(400))),
    ]
}

fn value() -> impl Strategy<Value = String> {
    let list = prop::collection::vec(scalar(), 0..3).prop_map(|items| format!("[{}]", items.join(",")));
    prop_oneof![
        8 => scalar(),
        1 => list,
        1 => scalar().prop_map(|value| format!("[[{value}],7]")),
        1 => scalar().prop_map(|value| format!(r#"{{"x":{value}}}"#)),
        1 => scalar().prop_map(|value| format!(r#"[{{"x":{value}}},{{"x":[3]}},{{}}]"#)),
    ]
}

fn fields() -> impl Strategy<Value = String> {
    (prop::option::weighted(0.9, value()), prop::option::weighted(0.8, value())).prop_map(|(a, b)| {
        let named = |name: &str, value: Option<String>| value.map(|value| format!(r#""{name}":{value}"#));
        let all: Vec<String> = [named("a", a), named("b", b)].into_iter().flatten().collect();
        all.join(",")
    })
}

fn document() -> impl Strategy<Value = String> {
    let extra = prop_oneof![20 => Just(""), 1 => Just(r#","dropped":1"#), 1 => Just(r#","fails":1"#)];
    let items = prop::option::weighted(0.2, prop::collection::vec(fields(), 0..3));
    (0..25_u8, fields(), items, extra).prop_map(|(k, fields, items, extra)| {
        let comma = if fields.is_empty() { "" } else { "," };
        let items = items.map_or_else(String::new, |items| {
            let items: Vec<String> = items.iter().map(|fields| format!("{{{fields}}}")).collect();
            format!(r#","items":[{}]"#, items.join(","))
        });
        format!(r#"{{"k":{k}{comma}{fields}{items}{extra},"@metadata":{{"@collection":"Docs"}}}}"#)
    })
}

/// A change of a document of the collection `Docs`.
#[derive(Debug, Clone)]
pub enum Change {
    /// Written, with this id and body.
    Put(u8, String),
    /// Deleted.
    Delete(u8),
}

/// Changes of documents with a `k`, perhaps an `a` and a `b` of any kind, and perhaps several such items.
pub fn changes(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Change>> {
    let change = prop_oneof![
        5 => (0..40_u8, document()).prop_map(|(id, body)| Change::Put(id, body)),
        1 => (0..40_u8).prop_map(Change::Delete),
    ];
    prop::collection::vec(change, count)
}

/// A condition, with the values of its parameters.
type Asked = (String, Vec<Json>);

fn json(text: &str) -> Json {
    magpie_store::json::parse(text.as_bytes()).unwrap()
}

fn test() -> impl Strategy<Value = Asked> {
    let path = prop_oneof![5 => Just("a"), 3 => Just("b"), 1 => Just("a.x"), 1 => Just("a[].x"), 1 => Just("b.length")];
    (path, 0..14_u8, scalar(), scalar(), prop::bool::weighted(0.2)).prop_map(
        |(path, kind, one, two, exact)| {
            let (one, two) = (json(&one), json(&two));
            let text =
                |value: &Json| value.as_str().map_or_else(|| Json::from(value.to_string()), Json::from);
            let (condition, values) = match kind {
                0..=2 => (format!("{path} = $p"), vec![one]),
                3 => (format!("{path} != $p"), vec![one]),
                4 => (format!("{path} > $p"), vec![one]),
                5 => (format!("{path} >= $p"), vec![one]),
                6 => (format!("{path} < $p"), vec![one]),
                7 => (format!("{path} <= $p"), vec![one]),
                8 => (format!("{path} between $p and $p"), vec![one, two]),
                9 => (format!("{path} in ($p, $p)"), vec![one, two]),
                10 => (format!("{path} all in ($p, $p)"), vec![one, two]),
                11 => (format!("startsWith({path}, $p)"), vec![text(&one)]),
                12 => (format!("endsWith({path}, $p)"), vec![text(&one)]),
                _ => return (format!("exists({path})"), Vec::new()),
            };
            (if exact { format!("exact({condition})") } else { condition }, values)
        },
    )
}

fn condition() -> impl Strategy<Value = Asked> {
    let join = |parts: Vec<Asked>, word: &str| {
        let texts: Vec<String> = parts.iter().map(|part| part.0.clone()).collect();
        (format!("({})", texts.join(word)), parts.into_iter().flat_map(|part| part.1).collect())
    };
    test().prop_recursive(2, 6, 3, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(move |parts| join(parts, " and ")),
            prop::collection::vec(inner.clone(), 2..3).prop_map(move |parts| join(parts, " or ")),
            inner.prop_map(|(text, values)| (format!("(true and not {text})"), values)),
        ]
    })
}

fn order() -> impl Strategy<Value = String> {
    let path = prop_oneof![5 => Just("a"), 3 => Just("b"), 1 => Just("a.x"), 1 => Just("b.length")];
    let way = prop_oneof![
        4 => Just(""),
        1 => Just(" as string"),
        2 => Just(" as long"),
        2 => Just(" as double"),
        1 => Just(" as alphaNumeric"),
    ];
    let item = (path, way, any::<bool>())
        .prop_map(|(path, way, down)| format!("{path}{way}{}", if down { " desc" } else { "" }));
    prop::collection::vec(item, 1..3).prop_map(|items| format!(" order by {}", items.join(", ")))
}

/// What comes behind `from index '..'`, with the values of its parameters.
pub fn query() -> impl Strategy<Value = (String, Object)> {
    let select = prop_oneof![5 => Just(""), 1 => Just(" select distinct a"), 1 => Just(" select b")];
    let limit = prop::option::weighted(0.8, (0..4_u8, 0..6_u8));
    (prop::option::weighted(0.6, condition()), prop::option::weighted(0.6, order()), select, limit).prop_map(
        |(condition, order, select, limit)| {
            let (mut text, values) = condition.unwrap_or_default();
            let mut parameters = Object::new();
            for (number, value) in values.into_iter().enumerate() {
                text = text.replacen("$p", &format!("$q{number}_"), 1);
                parameters.insert(format!("q{number}_"), value);
            }
            let clause = if text.is_empty() { String::new() } else { format!(" where {text}") };
            let limit = limit.map_or_else(String::new, |(skip, take)| format!(" limit {skip}, {take}"));
            (format!("{clause}{}{select}{limit}", order.unwrap_or_default()), parameters)
        },
    )
}
