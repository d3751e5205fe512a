//! A reduce that changes what it is given is found out.

use super::{json, with_index};
use magpie_store::json::{BigInt, Json, ScriptNumber};

const VALUES: [&str; 2] = [
    r#"{"k":"a","n":1,"files":["x","y"],"o":{"p":[{"q":null}]},"zero":0,"minus":-0}"#,
    r#"{"k":"a","n":2,"files":[],"o":{},"big":9007199254740993}"#,
];

fn change(body: &str) -> Option<String> {
    let reduce = format!("groupBy(x => x.k).aggregate(g => {{ {body}; return {{ k: g.key, n: 7 }}; }})");
    let mut values: Vec<Json> = VALUES.iter().map(|value| json(value)).collect();
    values.push(Json::Object(
        [
            ("b".to_owned(), Json::from("5".parse::<BigInt>().unwrap())),
            ("nan".to_owned(), Json::ScriptNumber(ScriptNumber::NaN)),
            ("up".to_owned(), Json::ScriptNumber(ScriptNumber::Infinity)),
        ]
        .into_iter()
        .collect(),
    ));
    with_index(&["map('Things', d => ({ k: 'a' }))"], Some(&reduce), |index| {
        let (reduced, change) = index.reduce_watched(&[json("\"a\"")], &values).unwrap();
        assert_eq!(reduced.to_string(), r#"{"k":"a","n":7}"#);
        assert_eq!(index.reduce(&[json("\"a\"")], &values).unwrap(), reduced);
        change
    })
}

#[test]
fn changes_are_reported_by_their_path() {
    for (body, path) in [
        ("g.values[0].n++", "values[0].n"),
        ("g.values[1].n = g.values[0].n", "values[1].n"),
        ("g.values[0].files.push('z')", "values[0].files"),
        ("g.values[0].files.sort((a, b) => a < b ? 1 : -1)", "values[0].files[0]"),
        ("g.values[0].files[1] = 'z'", "values[0].files[1]"),
        ("g.values[1].extra = 1", "values[1].extra"),
        ("delete g.values[1].n", "values[1].n"),
        ("g.values[0].o.p[0].q = 1", "values[0].o.p[0].q"),
        ("g.values[0].o = {}", "values[0].o.p"),
        ("g.values[0].o = 5", "values[0].o"),
        ("g.values[0].zero = -0", "values[0].zero"),
        ("g.values[0].minus = 0", "values[0].minus"),
        ("g.values[2].b = 6n", "values[2].b"),
        ("g.values[2].b = 5", "values[2].b"),
        ("g.values[2].nan = 0", "values[2].nan"),
        ("const first = g.values.shift(); first.n = 3", "values[0].n"),
        ("Object.defineProperty(g.values[0], 'n', { get: () => 1 })", "values[0].n"),
        ("Object.assign(g.values[0], g.values[1])", "values[0].n"),
    ] {
        assert_eq!(change(body).as_deref(), Some(path), "{body}");
    }
}

#[test]
fn what_leaves_the_values_alone_is_fine() {
    for body in [
        "g.values.sort((a, b) => b.n - a.n)",
        "g.values.push({ n: 1 })",
        "g.values = []",
        "g.values[0].n = 1",
        "g.values[2].nan = NaN",
        "g.values[0].files.push('z'); g.values[0].files.pop()",
        "const copy = { ...g.values[0] }; copy.n = 9; copy.files = [...copy.files, 1]",
        "const { files } = g.values[0]; const mine = files.slice(); mine.push(1)",
        "1n",
    ] {
        assert_eq!(change(body), None, "{body}");
    }
}

#[test]
fn the_key_is_watched_too() {
    let reduce = "groupBy(x => ({ a: x.a, b: x.b })).aggregate(g => { g.key.b = 3; return { a: g.key.a }; })";
    with_index(&["map('Things', d => ({ a: 1, b: 2 }))"], Some(reduce), |index| {
        let (_, change) = index.reduce_watched(&[json("1"), json("2")], &[json("{}")]).unwrap();
        assert_eq!(change.as_deref(), Some("key.b"));
    });
    let reduce = "groupBy(x => x.a).aggregate(g => { g.key.push(1); return { a: 1 }; })";
    with_index(&["map('Things', d => ({ a: [1] }))"], Some(reduce), |index| {
        let (_, change) = index.reduce_watched(&[json("[1]")], &[json("{}")]).unwrap();
        assert_eq!(change.as_deref(), Some("key"));
        assert!(index.reduce_watched(&[json("1")], &[json("{}")]).is_err());
    });
}
