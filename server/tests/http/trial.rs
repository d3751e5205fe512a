//! Trying a definition on the documents that are there, without putting it.

use crate::client::{Answer, TestServer, start};
use magpie_store::json::Json;

const DB: &str = "/databases/db";

fn definition(map: &str) -> String {
    format!(
        r#"{{"Name":"Sums","Maps":["{map}"],"Reduce":"groupBy(x => x.k).aggregate(g => ({{ k: g.key, n: g.values.reduce((s, v) => s + v.n, 0) }}))"}}"#
    )
}

const PLAIN: &str = "map('Events', e => ({ k: e.k, n: e.n }))";

/// 200 events of 4 keys.
fn server() -> TestServer {
    let server = start();
    let events: Vec<String> =
        (0..200).map(|n| format!(r#"{{"id":"e/{n}","type":"Events","k":"k{}","n":{n}}}"#, n % 4)).collect();
    server.post(&format!("{DB}/docs/ndjson?collectionFrom=type"), &events.join("\n")).expect(201);
    server
}

fn ask(server: &TestServer, index: &str, more: &str) -> Answer {
    server.post(&format!("{DB}/indexes/test"), &format!(r#"{{"Index":{index}{more}}}"#))
}

#[test]
fn a_trial_shows_what_a_build_would_give_and_puts_nothing() {
    let server = server();
    let trial = ask(&server, &definition(PLAIN), r#","Documents":"all""#).expect(200);
    assert_eq!((trial.int_at("Documents"), trial.at("AllDocuments")), (200, Json::Bool(true)));
    assert_eq!((trial.int_at("ResultsCount"), trial.int_at("Cost/Maps")), (4, 200));
    assert!(trial.int_at("Cost/Reduces") >= 4);
    let steps = |name: &str| trial.at(&format!("Cost/{name}")).as_number().map(|steps| steps.as_f64());
    assert!(
        steps("StepsPerReduce") > steps("StepsPerMap") && steps("StepsPerMap").is_some(),
        "{}",
        trial.text()
    );
    assert_eq!(trial.at("Outputs").as_array().unwrap().len(), 25);
    assert!(trial.at("Difference").is_null() && trial.at("Errors").as_array().unwrap().is_empty());
    assert_eq!(server.get(&format!("{DB}/indexes?namesOnly=true")).at("Results"), Json::Array(Vec::new()));
    // The same results as the real thing.
    server.put(&format!("{DB}/indexes"), &format!(r#"{{"Indexes":[{}]}}"#, definition(PLAIN))).expect(201);
    let query = r#"{"Query":"from index 'Sums' order by k","WaitForNonStaleResults":true}"#;
    let live = server.post(&format!("{DB}/queries"), query).expect(200);
    for n in 0..4 {
        assert_eq!(trial.int_at(&format!("Results/{n}/Result/n")), live.int_at(&format!("Results/{n}/n")));
    }
    // The tree behind each: as many pages as its level has, and the root's value is the result.
    for n in 0..4 {
        let levels = trial.at(&format!("Results/{n}/Levels")).as_array().unwrap().len();
        assert_eq!(levels as i64, trial.int_at(&format!("Results/{n}/Height")) + 1);
        let root = format!("Results/{n}/Levels/{}", levels - 1);
        assert_eq!(trial.int_at(&format!("{root}/Pages")), 1);
        assert_eq!(trial.at(&format!("{root}/Values/0")), trial.at(&format!("Results/{n}/Result")));
        let pages = trial.int_at(&format!("Results/{n}/Levels/0/Pages"));
        let sums: Vec<i64> = (0..pages.min(4))
            .map(|page| trial.int_at(&format!("Results/{n}/Levels/0/Values/{page}/n")))
            .collect();
        if pages <= 4 {
            assert_eq!(sums.iter().sum::<i64>(), trial.int_at(&format!("Results/{n}/Result/n")));
        }
    }
    let heights: Vec<i64> = (0..4).map(|n| trial.int_at(&format!("Results/{n}/Height"))).collect();
    assert!(heights.iter().any(|height| *height >= 1), "of 200 entries some end a page: {heights:?}");
}

#[test]
fn a_trial_says_how_it_differs_from_the_live_index() {
    let server = server();
    server.put(&format!("{DB}/indexes"), &format!(r#"{{"Indexes":[{}]}}"#, definition(PLAIN))).expect(201);
    let query = r#"{"Query":"from index 'Sums'","WaitForNonStaleResults":true}"#;
    server.post(&format!("{DB}/queries"), query).expect(200);
    // k0 is another name, k1 is counted twice.
    let changed = "map('Events', e => ({ k: e.k == 'k0' ? 'new' : e.k, n: e.k == 'k1' ? 2 * e.n : e.n }))";
    let trial = ask(&server, &definition(changed), r#","Documents":"all""#).expect(200);
    let count = |name: &str| trial.int_at(&format!("Difference/{name}"));
    assert_eq!((count("Added"), count("Removed"), count("Changed"), count("Same")), (1, 1, 1, 2));
    assert_eq!(trial.at("Difference/Rows/0/Key"), Json::Array(vec![Json::from("k0")]));
    assert!(trial.at("Difference/Rows/0/New").is_null());
    assert_eq!(trial.int_at("Difference/Rows/1/New/n"), 2 * trial.int_at("Difference/Rows/1/Live/n"));
    assert!(trial.at("Difference/Rows/2/Live").is_null());
}

#[test]
fn a_sample_errors_and_bad_questions_are_told() {
    let server = server();
    let sample = ask(&server, &definition(PLAIN), r#","Documents":10,"PageSize":3"#).expect(200);
    assert_eq!((sample.int_at("Documents"), sample.at("AllDocuments")), (10, Json::Bool(false)));
    assert_eq!(sample.at("Outputs").as_array().unwrap().len(), 3);
    assert!(sample.str_at("Outputs/0/Document").starts_with("e/19"), "the newest: {}", sample.text());
    let throwing =
        "map('Events', e => { if (e.n > 197) throw new Error('large'); return { k: e.k, n: e.n }; })";
    let failing = ask(&server, &definition(throwing), "").expect(200);
    assert_eq!(failing.at("Errors").as_array().unwrap().len(), 2);
    assert!(failing.str_at("Errors/0/Error").contains("large"));
    let mean = definition(PLAIN).replace("s + v.n, 0)", "s + v.n, 0) / g.values.length");
    let broken = ask(&server, &mean, "").expect(200);
    assert_eq!(broken.str_at("Laws/Outcome"), "Broken", "{}", broken.text());
    ask(&server, r#"{"Name":"X","Maps":["map('E'"]}"#, "").expect(400);
    ask(&server, &definition(PLAIN), r#","Documents":0"#).expect(400);
    server.post(&format!("{DB}/indexes/test"), "{}").expect(400);
}
