//! The language: printing and parsing are inverse, no text makes the parser panic, wrong text is refused with its place.

use magpie_query::ast::{
    Argument, ArithmeticFunction, ArithmeticOperator, Call, Clause, Condition, Expression, FieldPath, From,
    FromSource, GroupItem, Include, Left, Limit, LoadFrom, LoadItem, Operation, Operator, OrderItem,
    Ordering, PathIndex, PathPart, Position, Query, Right, Select, SelectItem, Selected, Selection, Value,
};
use magpie_query::{QueryError, parse};
use magpie_store::json::Number;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn place() -> Position {
    Position::default()
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof!["[a-zA-Z_@é][a-zA-Z0-9_-]{0,5}", Just("日本".to_owned())]
        .prop_filter("reserved", |word| {
            parse(&format!("from X order by {word}")).is_ok_and(|q| !q.order_by.is_empty())
        })
        .prop_filter("a value or keyword", |word| {
            ![
                "true",
                "false",
                "null",
                "and",
                "or",
                "not",
                "all",
                "in",
                "between",
                "as",
                "asc",
                "desc",
                "index",
                "exact",
                "select",
                "where",
                "load",
                "group",
                "order",
                "include",
                "update",
                "filter",
                "limit",
                "offset",
                "by",
                "from",
                "array",
                "declare",
                "match",
                "with",
                "distinct",
                "function",
                "timeseries",
            ]
            .iter()
            .any(|name| name.eq_ignore_ascii_case(word))
        })
}

fn any_name() -> impl Strategy<Value = String> {
    prop_oneof![3 => word(), 1 => "\\PC{1,6}", 1 => Just("select".to_owned()), 1 => Just("it's \"x\\\n".to_owned())]
}

fn path_of(name: impl Strategy<Value = String>) -> impl Strategy<Value = FieldPath> {
    let index = prop_oneof![4 => Just(PathIndex::None), 1 => Just(PathIndex::Each), 1 => (0..9_u32).prop_map(PathIndex::At)];
    vec((name, index).prop_map(|(name, index)| PathPart { name, index }), 1..4)
        .prop_map(|parts| FieldPath { parts, position: place() })
}

fn number() -> impl Strategy<Value = Number> {
    prop_oneof![
        any::<i64>().prop_map(Number::from),
        "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,9})?".prop_map(|text| Number::from_valid_text(&text)),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        number().prop_map(Value::Number),
        ".{0,8}".prop_map(Value::Text),
        "[a-z0-9_]{1,4}".prop_map(Value::Parameter),
    ]
}

/// A call whose arguments print as themselves: a field argument that needs quotes would read back as a string.
fn call() -> impl Strategy<Value = Call> {
    let argument = prop_oneof![
        value().prop_map(Argument::Value),
        path_of(word()).prop_map(Argument::Field),
        Just(Argument::Word("and".to_owned())),
        word().prop_map(|name| Argument::Call(Call { name, arguments: Vec::new(), position: place() })),
        (path_of(word()), value()).prop_map(|(path, value)| {
            let left = Left::Field(path);
            Argument::Condition(Condition::Compare {
                left,
                operator: Operator::Equal,
                right: Right::Value(value),
            })
        }),
    ];
    (word(), vec(argument, 0..3)).prop_map(|(name, arguments)| Call { name, arguments, position: place() })
}

fn left() -> impl Strategy<Value = Left> {
    prop_oneof![3 => path_of(any_name()).prop_map(Left::Field), 1 => call().prop_map(Left::Call)]
}

fn condition() -> impl Strategy<Value = Condition> {
    let operator = prop_oneof![
        Just(Operator::Equal),
        Just(Operator::NotEqual),
        Just(Operator::Less),
        Just(Operator::LessOrEqual),
        Just(Operator::Greater),
        Just(Operator::GreaterOrEqual),
    ];
    let right = prop_oneof![4 => value().prop_map(Right::Value), 1 => path_of(word()).prop_map(Right::Field)];
    let leaf = prop_oneof![
        Just(Condition::True),
        (left(), operator, right).prop_map(|(left, operator, right)| Condition::Compare {
            left,
            operator,
            right
        }),
        (left(), value(), value()).prop_map(|(left, low, high)| Condition::Between { left, low, high }),
        (left(), vec(value(), 0..4), any::<bool>()).prop_map(|(left, values, all)| Condition::In {
            left,
            values,
            all
        }),
        call().prop_map(Condition::Call),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        // `not` stands behind `and` and `or` only.
        let members = (inner.clone(), vec((inner, any::<bool>()), 1..4)).prop_map(|(first, rest)| {
            let negated =
                |(condition, not)| if not { Condition::Not(Box::new(condition)) } else { condition };
            std::iter::once(first).chain(rest.into_iter().map(negated)).collect::<Vec<_>>()
        });
        (members, any::<bool>())
            .prop_map(|(all, and)| if and { Condition::And(all) } else { Condition::Or(all) })
    })
}

/// Something calculated: no value or field alone, and nothing that the parser would have read in another way.
fn expression() -> impl Strategy<Value = Expression> {
    let leaf =
        prop_oneof![value().prop_map(Expression::Value), path_of(word()).prop_map(Expression::Field)].boxed();
    let operator = |is_sum| {
        if is_sum {
            prop_oneof![Just(ArithmeticOperator::Add), Just(ArithmeticOperator::Subtract)].boxed()
        } else {
            Just(ArithmeticOperator::Multiply).boxed()
        }
    };
    let inner = leaf.prop_recursive(4, 24, 3, move |inner| {
        let chain = any::<bool>().prop_flat_map({
            let inner = inner.clone();
            move |is_sum| (inner.clone(), vec((operator(is_sum), inner.clone()), 1..4))
        });
        prop_oneof![
            chain.prop_map(|(first, rest)| {
                let operation = |(operator, right)| Operation { operator, right, position: place() };
                // A chain at the start of a chain of its own kind is the same chain, which prints in parentheses.
                Expression::Chain { first: Box::new(first), rest: rest.into_iter().map(operation).collect() }
            }),
            inner.clone().prop_map(|inner| match inner {
                // A minus before a literal belongs to the literal.
                Expression::Value(Value::Number(_)) => inner,
                other => Expression::Negative(Box::new(other)),
            }),
            inner.clone().prop_map(|argument| Expression::Call {
                function: ArithmeticFunction::BigInt,
                arguments: vec![argument],
                position: place(),
            }),
            vec(inner, 3).prop_map(|arguments| Expression::Call {
                function: ArithmeticFunction::Divide,
                arguments,
                position: place(),
            }),
        ]
    });
    inner.prop_filter("a value or field alone is plain", |expression| {
        !matches!(expression, Expression::Value(_) | Expression::Field(_))
    })
}

fn select() -> impl Strategy<Value = Select> {
    let item = (
        prop_oneof![
            value().prop_map(|value| Selected::Plain(Argument::Value(value))),
            path_of(word()).prop_map(|path| Selected::Plain(Argument::Field(path))),
            call().prop_map(|call| Selected::Plain(Argument::Call(call))),
            expression().prop_map(Selected::Arithmetic),
        ],
        option::of(any_name()),
    )
        .prop_map(|(what, alias)| SelectItem { what, alias, position: place() });
    let what = prop_oneof![
        Just(Selection::All),
        vec(item, 1..4).prop_map(Selection::Items),
        Just(Selection::Script("{ a: '}', b: `{`, c: /[}]/, d: { /* } */ } }".to_owned())),
    ];
    (any::<bool>(), what).prop_map(|(distinct, what)| Select { distinct, what, position: place() })
}

fn order_item() -> impl Strategy<Value = OrderItem> {
    let ordering = prop_oneof![
        Just(Ordering::Text),
        Just(Ordering::Long),
        Just(Ordering::Double),
        Just(Ordering::AlphaNumeric)
    ];
    (left(), option::of(ordering), any::<bool>()).prop_map(|(key, ordering, descending)| OrderItem {
        key,
        ordering,
        descending,
        position: place(),
    })
}

prop_compose! {
    fn query()(
        name in any_name(),
        is_index in any::<bool>(),
        alias in word(),
        group in vec((path_of(any_name()), option::of(word())), 0..2),
        condition in option::of(condition()),
        reduce in option::of(vec(path_of(any_name()), 0..3)),
        order_by in vec(order_item(), 0..3),
        load in vec((load_from(), option::of(word())), 0..2),
        select in option::of(select()),
        include in vec(prop_oneof![path_of(word()).prop_map(|path| Include::Path(path.text())), call().prop_map(Include::Call)], 0..3),
        limit in option::of((value(), option::of(value()))),
        offset in option::of(value()),
        filter in option::of((condition(), option::of(value()))),
    ) -> Query {
        let source = if is_index { FromSource::Index(name) } else { FromSource::Collection(name) };
        let offset = offset.filter(|_| limit.as_ref().is_none_or(|limit| limit.1.is_none()));
        Query {
            declarations: Vec::new(),
            from: From { source, alias: Some(alias) },
            group_by: group.into_iter().map(|(path, alias)| GroupItem { key: Argument::Field(path), alias, position: place() }).collect(),
            condition,
            reduce: reduce.map(|content| Clause { position: place(), content }),
            order_by,
            load: load.into_iter().map(|(from, alias)| LoadItem { from, each: alias.is_some(), alias, position: place() }).collect(),
            filter: filter.clone().map(|(content, _)| Clause { position: place(), content }),
            select,
            update: None,
            include,
            limit: limit.map(|(first, second)| Limit { first, second }),
            offset,
            filter_limit: filter.and_then(|(_, limit)| limit).map(|content| Clause { position: place(), content }),
        }
    }
}

/// A single name that needs quotes is a text, which may be an id.
fn load_from() -> impl Strategy<Value = LoadFrom> {
    let of_path = |path: FieldPath| match path.parts.as_slice() {
        [only] if path.to_string().starts_with('\'') && only.index == PathIndex::None => {
            LoadFrom::Value(Value::Text(only.name.clone()))
        }
        _ => LoadFrom::Field(path),
    };
    prop_oneof![
        4 => path_of(any_name()).prop_map(of_path),
        1 => "[a-z0-9_]{1,4}".prop_map(|name| LoadFrom::Value(Value::Parameter(name))),
    ]
}

#[test]
fn a_minus_sign_alone_prints_back() {
    for text in [
        "from X where a = - and b < -",
        "from X where a between - and 5 order by b",
        "from X where a in (-, 1, -) or exact(b != -)",
    ] {
        let query = parse(text).unwrap();
        assert_eq!(query.to_string(), text);
        assert_eq!(parse(&query.to_string()).unwrap(), query);
    }
    for text in ["from X where a = - 1", "from X where a = --1", "from X limit -", "from X group by -"] {
        assert!(parse(text).is_err(), "{text}");
    }
}

/// Valid queries to be damaged.
const QUERIES: [&str; 10] = [
    "from index 'X' as x where t < $T and a.b = 1 reduce by x.user, 'org' order by n as long select user, bigint(a) * $T + -bigint(b) as n",
    "from index X reduce select divide((bigint('1') - 5 -3) * -(a + 2), 3600, $d) as q, -a, - -5 limit 3",
    "from Users where name = 'Ann' and (age >= 18 or tags all in ('x', \"y\")) order by name, age as long desc limit 5, 10",
    "from index 'Jobs/Totals' as j where j.job = $job and not exact(startsWith(j.file, 'A')) select j.job as job, id()",
    "declare function f(u) { return { n: u.name, r: /[}]/.test('}') } } from Users as u select f(u)",
    "from Users as u where u.items[].p in ('a', null) load u.friend as f select { n: f.name } include u.friend, 'x'",
    "from @all_docs where id() between 'a' and 'b' or regex(name, '^[0-9]+') filter age > 3 filter_limit 5",
    "from Sales group by city, array(tags[]) where count() > 1 order by sum(amt) select key(), count() as n",
    "from Users update { this.name = \"}\"; put('x/', this); }",
    "from 'Users' /* c */ where v <> -1_0.50 // end\n and boost(search(name, 'a*', and), 2) limit $p0 offset $p1",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn printing_and_parsing_are_inverse(query in query()) {
        let text = query.to_string();
        let read = parse(&text).map_err(|error| TestCaseError::fail(format!("{text}\n{error}")))?;
        prop_assert_eq!(&read, &query, "{}", text);
        prop_assert_eq!(read.to_string(), text);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC*") {
        let _ = parse(&text);
        let _ = parse(&format!("from X where {text}"));
        let _ = parse(&format!("from X as x select {text}"));
    }

    #[test]
    fn damaged_queries_are_read_or_refused(which in 0..QUERIES.len(), at in any::<prop::sample::Index>(), cut in 0..6_usize, put in "\\PC{0,3}|[(){}'\"$.,=<>\\[\\]]{0,4}") {
        let mut chars: Vec<char> = QUERIES[which].chars().collect();
        let at = at.index(chars.len());
        let end = (at + cut).min(chars.len());
        chars.splice(at..end, put.chars());
        let text: String = chars.into_iter().collect();
        if let Ok(query) = parse(&text) {
            let printed = query.to_string();
            let again = parse(&printed).map_err(|error| TestCaseError::fail(format!("{text}\n{printed}\n{error}")))?;
            prop_assert_eq!(again.to_string(), printed);
        }
    }
}

#[test]
fn valid_queries_are_read() {
    for text in QUERIES {
        let query = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(parse(&query.to_string()).expect("prints as RQL"), query, "{text}");
    }
}

#[test]
fn deep_and_long_texts_are_refused_or_read_without_overflow() {
    // A quarter of what a thread usually has.
    let small = std::thread::Builder::new().stack_size(512 * 1024);
    small.spawn(read_deep_and_long_texts).expect("a thread").join().expect("no overflow, no failed check");
}

fn read_deep_and_long_texts() {
    for (open, close) in [("(", ")"), ("-", ""), ("bigint(", ")"), ("(1 + ", ")")] {
        for depth in [100, 200, 100_000] {
            let text = format!("from X select {}a{} as x", open.repeat(depth), close.repeat(depth));
            let result = parse(&text);
            let is_too_deep =
                matches!(&result, Err(QueryError::Syntax { message, .. }) if message.contains("too complex"));
            assert!(if depth == 100 { result.is_ok() } else { is_too_deep }, "{open}: {depth}");
        }
    }
    for (open, close) in [("(", ")"), ("exact(", ")"), ("not ", ""), ("true or (", ")")] {
        for depth in [100, 200, 100_000] {
            let text = format!("from X where true and {}a = 1{}", open.repeat(depth), close.repeat(depth));
            let result = parse(&text);
            match depth {
                100 => assert!(result.is_ok(), "{open}: {result:?}"),
                _ => assert!(
                    matches!(&result, Err(QueryError::Syntax { message, .. }) if message.contains("too complex")),
                    "{open}"
                ),
            }
        }
    }
    let chain = format!("from X where {}", vec!["a = 1"; 50_000].join(" and "));
    assert!(parse(&chain).is_ok(), "a long chain is not deep");
    let path = format!("from X where {} = 1", vec!["a"; 1000].join("."));
    assert!(matches!(parse(&path), Err(QueryError::Syntax { .. })));
    let long = format!("from X where a = '{}'", "x".repeat(1024 * 1024));
    assert!(matches!(parse(&long), Err(QueryError::LimitReached { name: "query_bytes_max", .. })));
    for text in [
        "from X select {",
        "from X as x select { '",
        "from X as x select { a: /",
        "declare function f(",
        "from X /*",
    ] {
        let _ = parse(text);
    }
}

#[test]
fn keywords_ignore_case_and_comments_are_blank() {
    let plain =
        parse("from Users where a = 1 and b in (1, 2) order by c as long desc select distinct a limit 1")
            .unwrap();
    let other = parse(
        "FROM Users /* x */ WHERE a == 1_0 // y\n AND b In (1,2) Order By c AS LONG Descending SELECT DISTINCT a LIMIT 1",
    )
    .unwrap();
    assert_eq!(plain.order_by, other.order_by);
    assert_eq!(plain.select, other.select);
    assert_ne!(plain.condition, other.condition, "1 is not 10");
}

#[test]
fn precedence_is_and_before_or() {
    let implicit = parse("from X where a = 1 or b = 2 and c = 3").unwrap();
    let explicit = parse("from X where a = 1 or (b = 2 and c = 3)").unwrap();
    assert_eq!(implicit, explicit);
    assert_ne!(implicit, parse("from X where (a = 1 or b = 2) and c = 3").unwrap());
}

#[test]
fn reduce_is_a_name_wherever_it_was_one() {
    for (text, alias, is_reduced) in [
        ("from X reduce", Some("reduce"), false),
        ("from X reduce where reduce.a = 1", Some("reduce"), false),
        ("from X as reduce reduce by a", Some("reduce"), true),
        ("from X reduce by a", None, true),
        ("from index X reduce", None, true),
        ("from index X as x reduce", Some("x"), true),
        ("from index X x reduce by ()", Some("x"), true),
        ("from index X where reduce = 1 order by reduce select reduce", None, false),
        ("from reduce", None, false),
    ] {
        let query = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!((query.from.alias.as_deref(), query.reduce.is_some()), (alias, is_reduced), "{text}");
    }
}

#[test]
fn arithmetic_is_read_by_precedence() {
    for (text, same) in [
        ("a + b * c", "a + (b * c)"),
        ("a - b - c", "(a) - b - c"),
        ("5 -3", "5 - 3"),
        ("a *-5", "a * (-5)"),
        ("-(5)", "-5 + 0"),
        ("((a))", "a"),
        ("-_0", "- _0"),
    ] {
        let read = |text: &str| parse(&format!("from X select {text}")).unwrap().select.unwrap().what;
        if same.ends_with("+ 0") {
            assert!(
                matches!(read(text), Selection::Items(items) if matches!(items[0].what, Selected::Plain(_)))
            );
        } else {
            assert_eq!(read(text), read(same), "{text}");
        }
    }
    assert_ne!(parse("from X select a - (b - c)").unwrap(), parse("from X select a - b - c").unwrap());
    let word = parse("from X select a-b").unwrap();
    assert_eq!(word.to_string(), "from X select a-b", "a name may hold a minus");
}

#[test]
fn errors_name_line_column_and_token() {
    for (text, line, column, message, found) in [
        ("from X\nwhere a =\n  , 5", 3, 3, "Unable to parse WHERE clause", Some(",")),
        ("from X order by a, ", 1, 20, "Unable to get field for ORDER BY", None),
        ("from X select a as", 1, 19, "Expected field alias after AS in SELECT", None),
        ("from X as x select { a: 1", 1, 20, "Unable to get field for SELECT", Some("{")),
        ("from X where é = 'ü' order by", 1, 30, "Unable to get field for ORDER BY", None),
        ("from where", 1, 6, "Unable to parse identifier in FROM clause", Some("where")),
        ("from X where a in (1 2)", 1, 22, "parsing In expression, expected ','", Some("2")),
        ("from index X reduce by", 1, 23, "Expected a field after REDUCE BY", None),
        ("from index X reduce by order by a", 1, 24, "Expected a field after REDUCE BY", Some("order")),
        ("from index X reduce by a,\n  f(b)", 2, 3, "Expected a field after REDUCE BY", Some("f")),
        ("from index X reduce by a where b = 1", 1, 26, "WHERE must stand before REDUCE BY", Some("where")),
        (
            "from index X where a = 1 order by a reduce by a",
            1,
            37,
            "REDUCE BY must stand behind WHERE and before ORDER BY",
            Some("reduce"),
        ),
        (
            "from X select a + ",
            1,
            19,
            "Expected a field, number, parameter or parenthesis in the arithmetic of SELECT",
            None,
        ),
        ("from X select (a + b", 1, 21, "Unmatched parenthesis, expected ')'", None),
        (
            "from X select a * f(b)",
            1,
            19,
            "Only bigint() and divide() can be part of arithmetic in SELECT",
            Some("f"),
        ),
        ("from X select divide(a, b)", 1, 26, "divide() takes 3 arguments: expected ','", Some(")")),
        ("from X select bigint(a, b)", 1, 23, "bigint() takes 1 argument: expected ')'", Some(",")),
    ] {
        match parse(text) {
            Err(QueryError::Syntax { line: l, column: c, message: m, found: f, .. }) => {
                assert_eq!((l, c, m.as_str(), f.as_deref()), (line, column, message, found), "{text}");
            }
            other => panic!("{text}: {other:?}"),
        }
    }
}
