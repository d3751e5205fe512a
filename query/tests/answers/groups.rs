//! Groups: `exact()`, orders by aggregates and their names, fields that nobody grouped or summed.

use super::fake::FakeDatabase;
use magpie_query::{Request, execute};
use magpie_store::json::Json;

#[test]
fn groups_are_filtered_and_ordered_like_the_originals() {
    let mut database = FakeDatabase::default();
    for (number, (city, amount)) in
        [("Haifa", "5.5"), ("haifa", "12"), ("Hadera", "10"), ("Haifa", "-1.5"), ("Acre", "1")]
            .iter()
            .enumerate()
    {
        let text = format!(r#"{{"city":"{city}","amt":{amount},"cat":"a"}}"#);
        database.put_text(&format!("s/{number}"), "Sales", &text);
    }
    let ask = |query: &str| {
        let request =
            Request { query: query.to_owned(), parameters: Some(Default::default()), ..Request::default() };
        execute(&database, &request)
    };
    for (query, rows) in [
        ("where exact(city = 'Haifa') select city, count()", "Haifa 2"),
        ("where exact(city = 'HAIFA') select city", ""),
        ("where exact(startsWith(city, 'h')) select city", "haifa"),
        ("where city = 'HAIFA' select city", "Haifa haifa"),
        ("order by sum(amt) desc select city, sum(amt)", "haifa 12 Hadera 10 Haifa 4 Acre 1"),
        ("order by sum(amt) as string select city, sum(amt)", "Acre 1 Hadera 10 haifa 12 Haifa 4"),
        ("order by count() desc, city select city", "Haifa Acre Hadera haifa"),
        ("order by n, city desc select city, count() as n", "haifa 1 Hadera 1 Acre 1 Haifa 2"),
        // Nothing sums it, so it has no value; once it is summed, it has.
        ("where city = 'acre' select city, cat, nope", "Acre null null"),
    ] {
        let answer =
            ask(&format!("from Sales group by city {query}")).unwrap_or_else(|e| panic!("{query}: {e}"));
        let given = answer.json_rows();
        let fields = given.iter().flat_map(|row| row.as_object().unwrap().iter());
        let texts = fields
            .filter(|(name, _)| *name != "@metadata")
            .map(|(_, value): (_, &Json)| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        assert_eq!(texts.collect::<Vec<_>>().join(" "), rows, "{query}");
    }
    for (query, wire_type) in [
        ("from Sales group by city order by key()", "Raven.Client.Exceptions.InvalidQueryException"),
        ("from Sales group by id()", "Raven.Client.Exceptions.InvalidQueryException"),
        ("from Sales group by foo(city)", "System.NotSupportedException"),
    ] {
        assert_eq!(ask(query).unwrap_err().wire_type(), wire_type, "{query}");
    }
}
