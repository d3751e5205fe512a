//! Facets, suggestions and explanations.

use crate::fake::{FakeDatabase, object};
use crate::{ask, refused, request};
use magpie_query::{Request, execute};
use magpie_store::json::Json;

fn shop() -> FakeDatabase {
    let mut database = FakeDatabase::default();
    for (number, (city, price, tags)) in [
        (r#""Haifa""#, "10", r#"["a","b"]"#),
        (r#""haifa""#, "20.5", r#"["a"]"#),
        (r#""Hadera""#, "30", "[]"),
        ("null", "5", "null"),
        (r#""""#, r#""text""#, r#""a""#),
    ]
    .into_iter()
    .enumerate()
    {
        let text = format!(r#"{{"city":{city},"price":{price},"tags":{tags}}}"#);
        database.put_text(&format!("s/{number}"), "Shops", &text);
    }
    database
}

/// Each facet as `name: range count sum max min average, ..; remaining terms and hits`.
fn facets(database: &FakeDatabase, query: &str, parameters: &str) -> String {
    let request = Request { parameters: Some(object(parameters)), ..request(query) };
    let answer = execute(database, &request).unwrap_or_else(|error| panic!("{query}: {error}"));
    assert_eq!(answer.total_results, i64::try_from(answer.rows.len()).unwrap());
    let text = |value: &Json, key: &str| match value.get(key).unwrap() {
        Json::Null => "-".to_owned(),
        Json::String(text) => text.clone(),
        other => other.to_string(),
    };
    let facet = |row: &Json| {
        let values = row.get("Values").and_then(Json::as_array).unwrap();
        let value = |value: &Json| {
            ["Name", "Range", "Count", "Sum", "Max", "Min", "Average"].map(|key| text(value, key)).join(" ")
        };
        format!(
            "{}: {}; {} {}",
            text(row, "Name"),
            values.iter().map(value).collect::<Vec<String>>().join(", "),
            text(row, "RemainingTerms"),
            text(row, "RemainingHits")
        )
    };
    answer.json_rows().iter().map(facet).collect::<Vec<String>>().join(" | ")
}

#[test]
fn facets_count_values_and_ranges() {
    let mut database = shop();
    database.put_text(
        "facets/f",
        "Setups",
        r#"{"Facets":[{"FieldName":"tags","Options":{"PageSize":1},"Aggregations":{"Max":[{"Name":"price"}]}}],
            "RangeFacets":[{"Ranges":["price < 15","price >= 15"],"DisplayFieldName":"p"}]}"#,
    );
    for (query, parameters, wanted) in [
        (
            "from Shops select facet(city)",
            "{}",
            "city: - EMPTY_STRING 1 - - - -, - NULL_VALUE 1 - - - -, - hadera 1 - - - -, - haifa 2 - - - -; [] 0",
        ),
        (
            "from Shops where price > 5 select facet(city, sum(price), avg(price)) as town",
            "{}",
            "town: price hadera 1 30 - - 30, price haifa 2 30.5 - - 15.25; [] 0",
        ),
        (
            "from Shops select facet(price < $a, price >= $a and price <= 20.5, price > 1000)",
            r#"{"a":15}"#,
            "price: - price < 15 2 - - - -, - price >= 15 and price <= 20.5 1 - - - -, - price > 1000 0 - - - -; [] 0",
        ),
        (
            "from Shops select facet(tags, $o), facet(city, max(price), min(price), $o)",
            r#"{"o":{"termSortMode":"CountDesc","PageSize":1,"IncludeRemainingTerms":true}}"#,
            "tags: - a 3 - - - -; [\"NULL_VALUE\",\"b\"] 2 | city: price haifa 2 - 20.5 10 -; \
             [\"EMPTY_STRING\",\"NULL_VALUE\",\"hadera\"] 3",
        ),
        (
            "from Shops select facet(id('facets/f'))",
            "{}",
            "tags: price NULL_VALUE 1 - 5 - -; [] 4 | p: - price < 15 2 - - - -, - price >= 15 2 - - - -; [] 0",
        ),
    ] {
        assert_eq!(facets(&database, query, parameters), wanted, "{query}");
    }
    for (query, message) in [
        ("from Shops select facet(city, '{')", "are an object, or its JSON"),
        ("from Shops select facet()", "needs a field or ranges"),
        ("from Shops select facet(city), price", "stand alone in SELECT"),
        ("from Shops select facet(id('no'))", "There is no document 'no'"),
        ("from Shops select facet(city, median(price))", "median() in facet()"),
    ] {
        let error = refused(&database, query).to_string();
        assert!(error.contains(message), "{query}: {error}");
    }
}

#[test]
fn suggestions_are_the_values_most_alike() {
    let mut database = FakeDatabase::default();
    for (number, name) in ["John", "john", "Jon", "Joan", "Mary", "Johnathan"].into_iter().enumerate() {
        database.put_text(&format!("p/{number}"), "People", &format!(r#"{{"name":"{name}"}}"#));
    }
    for (query, parameters, wanted) in [
        ("from People select suggest(name, 'jonh')", "{}", r#"["jon","john","joan"]"#),
        (
            "from People select suggest(name, $w, $o)",
            r#"{"w":["jhon","mari"],"o":{"Accuracy":0.7,"PageSize":1}}"#,
            r#"["jon"]"#,
        ),
        ("from People select suggest(name, 'zzz')", "{}", "[]"),
        (
            "from People select suggest(name, 'john', $o)",
            r#"{"o":{"Distance":"JaroWinkler","Accuracy":0.9}}"#,
            r#"["jon"]"#,
        ),
    ] {
        let request = Request { parameters: Some(object(parameters)), ..request(query) };
        let answer = execute(&database, &request).unwrap();
        assert_eq!(answer.json_rows()[0].get("Name"), Some(&Json::from("name")));
        assert_eq!(answer.json_rows()[0].get("Suggestions").unwrap().to_string(), wanted, "{query}");
    }
    assert!(
        refused(&database, "from People where name = 'x' select suggest(name, 'a')")
            .to_string()
            .contains("no WHERE")
    );
}

#[test]
fn answers_explain_themselves_and_scores_order() {
    let database = shop();
    let answer =
        ask(&database, "from Shops where city = 'haifa' and price > 5 include explanations(), timings()");
    assert!(answer.wants_timings && answer.included_paths.is_none());
    let explained = answer.explanations.unwrap();
    assert_eq!(explained.len(), 2);
    assert_eq!(
        explained.get("s/1").unwrap().to_string(),
        r#"["score 2\ncity = 'haifa' holds, score 1\nprice > 5 holds, score 1"]"#
    );
    let ordered = ask(
        &database,
        "from Shops where boost(city = 'hadera', 5) or price > 5 or search(tags, 'a b') order by score() select city",
    );
    let rows = ordered.json_rows();
    let cities: Vec<&str> =
        rows.iter().map(|row| row.get("city").and_then(Json::as_str).unwrap_or("-")).collect();
    assert_eq!(cities, ["Hadera", "Haifa", "haifa"]);
}
