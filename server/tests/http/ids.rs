//! Ids that clients make themselves, and several requests in one.

use crate::client::start;
use magpie_store::json::Json;
use std::collections::BTreeSet;

const DB: &str = "/databases/db";

#[test]
fn no_two_clients_get_the_same_numbers() {
    let server = start();
    let taken: Vec<(i64, i64)> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let ranges = (0..10).map(|_| {
                        let range =
                            server.get(&format!("{DB}/hilo/next?tag=users&lastBatchSize=32")).expect(201);
                        (range.int_at("Low"), range.int_at("High"))
                    });
                    ranges.collect::<Vec<_>>()
                })
            })
            .collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    let numbers: BTreeSet<i64> = taken.iter().flat_map(|(low, high)| *low..=*high).collect();
    assert_eq!(numbers.len(), 80 * 32, "every range is given once");
    assert_eq!(server.get(&format!("{DB}/docs?id=Raven/Hilo/users")).int_at("Results/0/Max"), 80 * 32);
}

#[test]
fn a_range_that_was_not_used_up_comes_back() {
    let server = start();
    server.get(&format!("{DB}/hilo/next?tag=users")).expect(201);
    server.put(&format!("{DB}/hilo/return?tag=users&end=32&last=4"), "").expect(200);
    assert_eq!(server.get(&format!("{DB}/hilo/next?tag=users")).expect(201).int_at("Low"), 5);
    // Not after another range was given.
    server.put(&format!("{DB}/hilo/return?tag=users&end=32&last=4"), "").expect(200);
    assert_eq!(server.get(&format!("{DB}/hilo/next?tag=users")).expect(201).int_at("Low"), 37);
}

#[test]
fn several_requests_in_one_are_answered_each_for_itself() {
    let server = start();
    server.put(&format!("{DB}/docs?id=a"), r#"{"n":1}"#).expect(201);
    let ask =
        |requests: &str| server.post(&format!("{DB}/multi_get"), &format!(r#"{{"Requests":[{requests}]}}"#));
    let one = format!(r#"{{"Url":"{DB}/docs","Query":"?id=a"}}"#);
    let none = format!(r#"{{"Url":"{DB}/docs","Query":"?id=b","Method":"GET"}}"#);
    let bad =
        format!(r#"{{"Url":"{DB}/queries","Query":"","Method":"POST","Content":"{{\"Query\":\"from\"}}"}}"#);
    let answers = ask(&[one.as_str(), &none, &bad].join(",")).expect(200);
    assert_eq!(answers.int_at("Results/0/Result/Results/0/n"), 1);
    assert!(answers.str_at("Results/0/Headers/ETag").starts_with('"'));
    assert_eq!((answers.int_at("Results/1/StatusCode"), answers.at("Results/1/Result")), (404, Json::Null));
    assert_eq!(answers.int_at("Results/2/StatusCode"), 400);
    // What the client has is not sent again.
    let etag = answers.str_at("Results/0/Headers/ETag").replace('"', "\\\"");
    let cached = format!(r#"{{"Url":"{DB}/docs","Query":"?id=a","Headers":{{"If-None-Match":"{etag}"}}}}"#);
    assert_eq!(ask(&cached).expect(200).int_at("Results/0/StatusCode"), 304);
    for refused in [
        format!(r#"{{"Url":"{DB}/multi_get","Method":"POST","Content":"{{}}"}}"#),
        format!(r#"{{"Url":"{DB}/docs?id=a","Method":"DELETE"}}"#),
        r#"{"Url":"http://elsewhere/","Query":""}"#.to_owned(),
    ] {
        ask(&refused).expect(400);
    }
}
