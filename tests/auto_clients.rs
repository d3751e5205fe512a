//! Auto indexes as clients see them: listed, in dumps, and there again after the process was killed.

#![cfg(test)]

use magpie_store::json::{Json, Object};
use magpie_tests::process::ServerProcess;
use magpie_tests::wire::Client;
use std::io::Read;

fn get(client: &Client, path: &str) -> Json {
    client.get(path).unwrap().expect_status(200).unwrap().json().unwrap()
}

fn post_query(client: &Client, database: &str, query: &str) -> Json {
    // Who asks a collection never waits.
    let waits = query.starts_with("from index");
    let body = Object::from_iter([("Query", Json::from(query)), ("WaitForNonStaleResults", waits.into())]);
    let body = body.to_string();
    let answer = client.post(&format!("/databases/{database}/queries"), &body).unwrap();
    answer.expect_status(200).unwrap().json().unwrap()
}

fn text<'j>(json: &'j Json, key: &str) -> &'j str {
    json.get(key).and_then(Json::as_str).unwrap_or_else(|| panic!("{key} in {json}"))
}

fn put_users(client: &Client, from: u32, to: u32) -> bool {
    let command = |n: u32| {
        format!(
            r#"{{"Id":"users/{n}","ChangeVector":null,"Type":"PUT","Document":{{"name":"u{n}","age":{},"@metadata":{{"@collection":"Users"}}}}}}"#,
            n % 10
        )
    };
    let commands: Vec<String> = (from..to).map(command).collect();
    let body = format!(r#"{{"Commands":[{}]}}"#, commands.join(","));
    client.post("/databases/magpie/bulk_docs", &body).is_ok_and(|answer| answer.status == 201)
}

/// The names and types of the indexes, from all the places that tell them.
fn listed(client: &Client) -> Vec<(String, String)> {
    let pairs = |list: &Json| -> Vec<(String, String)> {
        let list = list.as_array().unwrap();
        list.iter().map(|item| (text(item, "Name").to_owned(), text(item, "Type").to_owned())).collect()
    };
    let definitions = get(client, "/databases/magpie/indexes");
    let definitions = pairs(definitions.get("Results").unwrap());
    let statistics = get(client, "/databases/magpie/indexes/stats");
    assert_eq!(pairs(statistics.get("Results").unwrap()), definitions);
    let database = get(client, "/databases/magpie/stats");
    assert_eq!(pairs(database.get("Indexes").unwrap()), definitions);
    assert_eq!(database.get("CountOfIndexes"), Some(&Json::from(definitions.len())));
    definitions
}

#[test]
fn clients_see_them_and_they_outlive_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = ServerProcess::start(folder.path(), &[]).unwrap();
    let client = process.client();
    assert!(put_users(&client, 0, 200));
    assert_eq!(listed(&client), []);
    let answer = post_query(&client, "magpie", "from Users where age > 7 order by name");
    assert_eq!(text(&answer, "IndexName"), "Auto/Users/ByageAndname");
    let grouped = "from Users group by age select key(), count()";
    assert_eq!(text(&post_query(&client, "magpie", grouped), "IndexName"), "Auto/Users/ByCountReducedByage");
    let both = [("Auto/Users/ByCountReducedByage", "AutoMapReduce"), ("Auto/Users/ByageAndname", "AutoMap")]
        .map(|(name, kind)| (name.to_owned(), kind.to_owned()));
    assert_eq!(listed(&client), both);
    let statistics = get(&client, "/databases/magpie/indexes/stats?name=auto/users/byageandname");
    let statistics = &statistics.get("Results").unwrap().as_array().unwrap()[0];
    assert!(statistics.get("LastQueryingTime").unwrap().as_str().is_some(), "{statistics}");
    let by_name = post_query(&client, "magpie", "from index 'Auto/Users/ByageAndname' where age = 3 limit 1");
    assert_eq!(by_name.get("TotalResults"), Some(&Json::from(20_i64)));
    // Killed while documents come in: what was acknowledged is found, by the index and by ids.
    let writer = process.client();
    let acknowledged = std::thread::spawn(move || {
        (200_u32..).step_by(10).take_while(|from| put_users(&writer, *from, from + 10)).last()
    });
    let far = || get(&client, "/databases/magpie/stats").get("CountOfDocuments").and_then(Json::as_i64);
    while far().unwrap() < 1_000 {
        std::thread::yield_now();
    }
    process.kill().unwrap();
    let last = acknowledged.join().unwrap().unwrap();
    let process = ServerProcess::start(folder.path(), &[]).unwrap();
    let client = process.client();
    assert_eq!(listed(&client), both);
    let count = get(&client, "/databases/magpie/stats").get("CountOfDocuments").unwrap().as_i64().unwrap();
    assert!(count >= i64::from(last) + 10);
    for settled in [false, true] {
        let answer = post_query(&client, "magpie", "from Users where age = 3 limit 5");
        assert_eq!(answer.get("TotalResults"), Some(&Json::from(count / 10)));
        assert_eq!(answer.get("IsStale"), Some(&Json::Bool(false)));
        let groups = post_query(&client, "magpie", grouped);
        let groups = groups.get("Results").unwrap().as_array().unwrap();
        assert_eq!(groups.len(), 10);
        assert!(groups.iter().all(|group| group.get("Count") == Some(&Json::from(count / 10))));
        while !settled
            && get(&client, "/databases/magpie/stats")
                .get("Indexes")
                .and_then(Json::as_array)
                .unwrap()
                .iter()
                .any(|index| index.get("IsStale") == Some(&Json::Bool(true)))
        {
            std::thread::yield_now();
        }
    }
    move_to_another_database(&client);
    let gone = client.send("DELETE", "/databases/magpie/indexes?name=Auto%2FUsers%2FByageAndname", &[], None);
    gone.unwrap().expect_status(204).unwrap();
    assert_eq!(listed(&client), both[..1]);
}

/// A dump holds them in RavenDB's layout, and brings them.
fn move_to_another_database(client: &Client) {
    let dump = client.post("/databases/magpie/smuggler/export", "{}").unwrap().expect_status(200).unwrap();
    let mut plain = String::new();
    flate2::read::GzDecoder::new(dump.body.as_slice()).read_to_string(&mut plain).unwrap();
    let wanted = r#"{"Type":"AutoMap","IndexDefinition":{"Name":"Auto/Users/ByageAndname","Collections":["Users"],"LockMode":0,"Priority":1,"State":0,"ArchivedDataProcessingBehavior":null,"MapFields":[{"Name":"age","Indexing":"Default","Aggregation":0,"Spatial":null,"#;
    assert!(plain.contains(wanted), "{plain}");
    client
        .put("/admin/databases?name=other", r#"{"DatabaseName":"other"}"#)
        .unwrap()
        .expect_status(201)
        .unwrap();
    let headers = [("Content-Type", "application/octet-stream")];
    let path = "/databases/other/smuggler/import";
    let result = client.send("POST", path, &headers, Some(&dump.body)).unwrap().expect_status(200).unwrap();
    let counts = result.json().unwrap().get("Indexes").unwrap().to_string();
    assert!(counts.contains(r#""ReadCount":2"#), "{counts}");
    let names = get(client, "/databases/other/indexes?namesOnly=true");
    let names = names.get("Results").unwrap().to_string();
    assert_eq!(names, r#"["Auto/Users/ByCountReducedByage","Auto/Users/ByageAndname"]"#);
    let answer = post_query(client, "other", "from Users where name = 'U77'");
    assert_eq!(text(&answer, "IndexName"), "Auto/Users/ByageAndname");
    assert_eq!(answer.get("TotalResults"), Some(&Json::from(1_i64)));
}
