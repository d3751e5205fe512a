//! `bulk_docs`: all or nothing, one result per command, waiting for indexes.

use crate::client::start;

const BULK: &str = "/databases/db/bulk_docs";
const DOCS: &str = "/databases/db/docs";

#[test]
fn every_command_has_its_result() {
    let server = start();
    let answer = server
        .post(
            BULK,
            r#"{"Commands":[
                {"Id":"u/1","ChangeVector":null,"Document":{"n":1,"@metadata":{"@collection":"Users","@id":"x"}},"Type":"PUT"},
                {"Id":"e/","Document":{},"Type":"PUT"},{"Id":"i|","Document":{},"Type":"PUT"},{"Document":{},"Type":"PUT"},
                {"Id":"u/1","Type":"DELETE"},{"Id":"nope","Type":"DELETE"},{"Id":"e/","IdPrefixed":true,"Type":"DELETE"}]}"#,
        )
        .expect(201);
    assert_eq!(answer.str_at("Results/0/@collection"), "Users");
    assert_eq!(answer.at("Results/0").as_object().unwrap().len(), 5);
    assert!(answer.str_at("Results/1/@id").starts_with("e/000"));
    assert_eq!(answer.str_at("Results/2/@id"), "i/1");
    assert_eq!(answer.str_at("Results/3/@id").len(), 36);
    assert_eq!(answer.at("Results/4/Deleted").as_bool(), Some(true));
    assert_eq!(answer.at("Results/5/Deleted").as_bool(), Some(false));
    assert_eq!(answer.at("Results/6/Deleted").as_bool(), Some(true));
    server.get(&format!("{DOCS}?id=u/1")).expect(404);
}

#[test]
fn one_refused_command_leaves_nothing_written() {
    let server = start();
    server.put(&format!("{DOCS}?id=old"), "{}").expect(201);
    let good = r#"{"Id":"new","Document":{},"Type":"PUT"}"#;
    let cases = [
        (
            r#"{"Id":"old","ChangeVector":"","Document":{},"Type":"PUT"}"#,
            409,
            "Raven.Client.Exceptions.ConcurrencyException",
        ),
        (r#"{"Id":"x","Type":"NOPE"}"#, 400, "Raven.Server.Exceptions.InvalidCommandTypeException"),
        (r#"{"Id":"x","Type":"PATCH"}"#, 400, "System.InvalidOperationException"),
        (r#"{"Id":"x","Type":"Counters"}"#, 400, "System.InvalidOperationException"),
        (r#"{"Id":"x","Type":"TimeSeries"}"#, 400, "System.NotSupportedException"),
        (r#"{"Id":"x"}"#, 400, "System.InvalidOperationException"),
        (r#"{"Id":"x","Type":"PUT"}"#, 400, "System.InvalidOperationException"),
        (
            r#"{"Id":"x","Document":[1],"Type":"PUT"}"#,
            400,
            "Sparrow.Exceptions.InvalidStartOfObjectException",
        ),
        (
            r#"{"Id":"old","Document":{"@metadata":{"@collection":"Other"}},"Type":"PUT"}"#,
            400,
            "Raven.Client.Exceptions.Documents.DocumentCollectionMismatchException",
        ),
    ];
    for (bad, status, kind) in cases {
        let refused = server.post(BULK, &format!(r#"{{"Commands":[{good},{bad}]}}"#)).expect(status);
        assert_eq!(refused.str_at("Type"), kind, "{bad}");
        server.get(&format!("{DOCS}?id=new")).expect(404);
    }
    server.post(BULK, r#"{"Commands":[]}"#).expect(201);
}

#[test]
fn a_write_can_wait_for_its_indexes() {
    let server = start();
    let index = r#"{"Indexes":[{"Name":"N","Maps":["map('Users', u => ({ n: u.n }))"]}]}"#;
    server.put("/databases/db/indexes", index).expect(201);
    let put = |id: &str| {
        format!(
            r#"{{"Commands":[{{"Id":"{id}","Document":{{"n":1,"@metadata":{{"@collection":"Users"}}}},"Type":"PUT"}}]}}"#
        )
    };
    let wait = format!("{BULK}?&waitForIndexesTimeout=00:00:15&waitForIndexThrow=true");
    server.post(&wait, &put("u/1")).expect(201);
    let stats = server.get("/databases/db/indexes/stats?name=n").expect(200);
    assert_eq!(stats.int_at("Results/0/EntriesCount"), 1);

    server.post("/databases/db/admin/indexes/stop", "").expect(204);
    let short = wait.replace("15", "00.2");
    let late = server.post(&short, &put("u/2")).expect(408);
    assert_eq!(late.str_at("Type"), "Raven.Client.Exceptions.RavenTimeoutException");
    assert_eq!(late.at("FailImmediately").as_bool(), Some(true));
    assert!(late.str_at("Message").contains("total stale indexes: 1 (N), total paused indexes: 1 (N)"));
    server.get(&format!("{DOCS}?id=u/2")).expect(200);
    // Nobody maps these, so there is nothing to wait for.
    server.post(&short, r#"{"Commands":[{"Id":"o","Document":{},"Type":"PUT"}]}"#).expect(201);
    server.post(&format!("{short}&waitForSpecificIndex=Nope"), &put("u/3")).expect(201);
    server.post(&short.replace("true", "false"), &put("u/4")).expect(201);
    let delete = r#"{"Commands":[{"Id":"u/1","Type":"DELETE"}]}"#;
    server.post(&short, delete).expect(408);
    server.post("/databases/db/admin/indexes/start", "").expect(204);
    server.post(&wait, &put("u/5")).expect(201);
    let stats = server.get("/databases/db/indexes/stats?name=N").expect(200);
    assert_eq!(stats.int_at("Results/0/EntriesCount"), 4);
}
