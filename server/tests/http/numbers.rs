//! Which numbers scripts see: the index's own word, else the server's, kept when the server is started in another way.

use crate::client::{TestServer, start, start_with};
use magpie_indexes::definition::Numbers;

const DB: &str = "/databases/db";
/// A double cannot hold it.
const LARGE: &str = "9007199254740993";

fn put_index(server: &TestServer, name: &str, configuration: &str) {
    let body = format!(
        r#"{{"Indexes":[{{"Name":"{name}","Maps":["map('Events', e => ({{ k: 'all', n: e.n }}))"],
            "Reduce":"groupBy(x => x.k).aggregate(g => ({{ k: g.key, n: g.values.map(v => v.n).reduce((s, v) => s + v) }}))",
            "Configuration":{configuration}}}]}}"#
    );
    server.put(&format!("{DB}/indexes"), &body).expect(201);
}

fn put_event(server: &TestServer, id: &str) {
    let event = format!(r#"{{"n":{LARGE},"@metadata":{{"@collection":"Events"}}}}"#);
    server.put(&format!("{DB}/docs?id={id}"), &event).expect(201);
}

fn sum(server: &TestServer, name: &str) -> String {
    let query = format!(r#"{{"Query":"from index '{name}'","WaitForNonStaleResults":true}}"#);
    server.post(&format!("{DB}/queries"), &query).expect(200).at("Results/0/n").to_string()
}

#[test]
fn exact_numbers_are_asked_for_and_doubles_are_counted() {
    let server = start();
    put_index(&server, "Exact", r#"{"Magpie.Numbers":"exact"}"#);
    put_index(&server, "Double", "{}");
    put_event(&server, "e/1");
    put_event(&server, "e/2");
    assert_eq!(sum(&server, "Exact"), r#""18014398509481986""#);
    assert_eq!(sum(&server, "Double"), "18014398509481984");
    let losses = server.get(&format!("{DB}/indexes/stats?name=Double")).expect(200);
    assert_eq!(losses.str_at("Results/0/Magpie/Losses/0/Kind"), "Inexact");
    assert_eq!(losses.str_at("Results/0/Magpie/Losses/0/Field"), "n");
    assert_eq!(losses.int_at("Results/0/Magpie/Losses/0/Documents"), 2);
    assert_eq!(losses.str_at("Results/0/Magpie/Losses/0/First"), "e/1");
    let exact = server.get(&format!("{DB}/indexes/stats?name=Exact")).expect(200);
    assert!(!exact.text().contains("Losses"), "{}", exact.text());
    let refused = server.put(
        &format!("{DB}/indexes"),
        r#"{"Indexes":[{"Name":"N","Maps":["map('E', e => ({ n: e.n }))"],"Configuration":{"Magpie.Numbers":"large"}}]}"#,
    );
    assert!(refused.expect(400).str_at("Message").contains("give double or exact"));
}

#[test]
fn the_servers_numbers_are_written_into_new_indexes() {
    let server = start_with(|config| config.numbers = Numbers::Exact);
    put_index(&server, "ByServer", "{}");
    put_index(&server, "ByIndex", r#"{"Magpie.Numbers":"double"}"#);
    put_event(&server, "e/1");
    put_event(&server, "e/2");
    assert_eq!(sum(&server, "ByServer"), r#""18014398509481986""#);
    assert_eq!(sum(&server, "ByIndex"), "18014398509481984");
    let definition = server.get(&format!("{DB}/indexes?name=ByServer")).expect(200);
    assert!(definition.text().contains(r#""Magpie.Numbers":"exact""#), "{}", definition.text());
}
