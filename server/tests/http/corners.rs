//! Corners of the protocol, each as a RavenDB 7.1.5 answers.

use crate::client::{TestServer, start, start_with};
use magpie_server::databases::Storage;
use magpie_store::json::Json;

const DB: &str = "/databases/db";

/// A request that is refused, and by what.
#[track_caller]
fn refused(server: &TestServer, method: &str, path: &str, body: &str, kind: &str) {
    let answer = server.send(method, &format!("{DB}{path}"), &[], body.as_bytes()).expect(400);
    assert_eq!(answer.str_at("Type"), kind, "{method} {path} {body}: {}", answer.text());
}

fn batch(server: &TestServer, commands: &str) -> crate::client::Answer {
    server.post(&format!("{DB}/bulk_docs"), &format!(r#"{{"Commands":[{commands}]}}"#))
}

#[test]
fn what_is_asked_for_is_not_included_again() {
    let server = start();
    for (id, text) in [("a/1", r#"{"next":"a/2","lines":[{"p":"a/3"}]}"#), ("a/2", "{}"), ("a/3", "{}")] {
        server.put(&format!("{DB}/docs?id={id}"), text).expect(201);
    }
    let includes = |query: &str| {
        let answer = server.get(&format!("{DB}/docs?{query}")).expect(200);
        answer.at("Includes").as_object().unwrap().keys().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(includes("id=a/1&include=next"), ["a/2"]);
    assert!(includes("id=a/1&id=A/2&include=next").is_empty());
    // Arrays on the way need no brackets; what a prefix or suffix makes is looked for besides the value.
    assert_eq!(includes("id=a/1&include=lines.p"), ["a/3"]);
    assert_eq!(includes("id=a/1&include=next[{0}/x]"), ["a/2"]);
}

#[test]
fn documents_come_from_an_etag_on_and_by_an_empty_prefix() {
    let server = start();
    for id in ["b", "a", "c"] {
        server.put(&format!("{DB}/docs?id={id}"), "{}").expect(201);
    }
    let ids = |query: &str| {
        let results = server.get(&format!("{DB}/docs?{query}")).expect(200).at("Results");
        let id = |document: &Json| {
            document.get("@metadata").unwrap().get("@id").unwrap().as_str().unwrap().to_owned()
        };
        results.as_array().unwrap().iter().map(id).collect::<String>()
    };
    assert_eq!(
        (ids("etag=2"), ids("etag=0&pageSize=1"), ids("etag=9")),
        ("ac".into(), "b".into(), String::new())
    );
    assert_eq!((ids("startsWith="), ids("start=0")), ("abc".into(), "cab".into()));
}

#[test]
fn parameters_of_another_type_are_refused() {
    let server = start();
    const ARGUMENT: &str = "System.ArgumentException";
    refused(&server, "GET", "/docs?id=a&metadataOnly=x", "", ARGUMENT);
    refused(&server, "GET", "/docs?etag=x", "", ARGUMENT);
    refused(&server, "GET", "/indexes?namesOnly=1", "", ARGUMENT);
    refused(&server, "RESET", "/indexes?name=a&mode=Nope", "", ARGUMENT);
    refused(&server, "PUT", "/docs?id=a&id=b", "{}", ARGUMENT);
    assert_eq!(server.send("HEAD", &format!("{DB}/docs?id=a&id=b"), &[], b"").status, 400);
    refused(
        &server,
        "GET",
        "/hilo/next?tag=a&identityPartsSeparator=--",
        "",
        "System.InvalidOperationException",
    );
    refused(&server, "PUT", "/cmpxchg?key=a&index=-1", r#"{"Object":1}"#, "System.IO.InvalidDataException");
    const FORMAT: &str = "System.FormatException";
    refused(&server, "POST", "/docs", r#"{"Ids":"a"}"#, FORMAT);
    for field in [
        r#""QueryParameters":5"#,
        r#""PageSize":"x""#,
        r#""WaitForNonStaleResults":"x""#,
        r#""ProjectionBehavior":"x""#,
    ] {
        refused(&server, "POST", "/queries", &format!(r#"{{"Query":"from A",{field}}}"#), FORMAT);
    }
    let negative = "Raven.Client.Exceptions.InvalidQueryException";
    refused(&server, "POST", "/queries", r#"{"Query":"from A","PageSize":-1}"#, negative);
    refused(&server, "PUT", "/docs?id=a", "null", "Sparrow.Exceptions.InvalidStartOfObjectException");
    assert_eq!(server.get(&format!("{DB}/stats")).int_at("CountOfDocuments"), 0, "nothing was written");
}

#[test]
fn commands_say_what_is_wrong_with_them() {
    let server = start();
    let kind = |commands: &str| {
        let answer = batch(&server, commands);
        (answer.status, answer.str_at("Type"))
    };
    let object = "Sparrow.Exceptions.InvalidStartOfObjectException";
    let (operation, argument) = ("System.InvalidOperationException", "System.ArgumentException");
    for (command, expected) in [
        (r#"{"Id":"a","Type":"PUT","Document":[]}"#, object),
        (r#"{"Id":"a","Type":"PUT","Document":null}"#, operation),
        (r#"{"Id":5,"Type":"PUT","Document":{}}"#, operation),
        (r#"{"Id":"a","Type":"PATCH"}"#, operation),
        (r#"{"Type":"PATCH","Patch":{"Script":""}}"#, argument),
        (r#"{"Id":"a|","Type":"PATCH","Patch":{"Script":""}}"#, argument),
        (r#"{"Id":"a","Type":"PATCH","Patch":{"Script":"","Values":5}}"#, "System.FormatException"),
    ] {
        assert_eq!(kind(command), (400, expected.to_owned()), "{command}");
    }
    refused(&server, "POST", "/bulk_docs", "[]", operation);
    refused(&server, "PATCH", "/docs?id=a/", r#"{"Patch":{"Script":""}}"#, argument);
    // A delete or patch that expects no document does not find what it wants.
    for command in [
        r#"{"Id":"a","Type":"DELETE","ChangeVector":""}"#,
        r#"{"Id":"a","Type":"PATCH","ChangeVector":"","Patch":{"Script":""},"PatchIfMissing":{"Script":"this.a=1"}}"#,
    ] {
        assert_eq!(kind(command).0, 409, "{command}");
    }
    assert_eq!(
        batch(&server, r#"{"Id":"a","Type":"DELETE","IdPrefixed":true}"#).expect(201).at("Results/0/Deleted"),
        false.into()
    );
    server.put(&format!("{DB}/docs?id=b"), "{}").expect(201);
    let identity = r#"{"Id":"b","Type":"PATCH","Patch":{"Script":"put('c|', {})"}}"#;
    assert_eq!(kind(identity), (400, "System.NotSupportedException".into()));
    assert_eq!(server.get(&format!("{DB}/stats")).int_at("CountOfDocuments"), 1);
}

#[test]
fn an_identity_of_a_single_put_takes_the_place_of_a_document() {
    let server = start();
    server.put(&format!("{DB}/docs?id=users/1"), r#"{"old":true}"#).expect(201);
    let put = || server.put(&format!("{DB}/docs?id=users|"), r#"{"old":false}"#).expect(201).str_at("Id");
    assert_eq!((put(), put()), ("users/1".into(), "users/2".into()));
    assert_eq!(server.get(&format!("{DB}/docs?id=users/1")).at("Results/0/old"), false.into());
    // In a batch it does not.
    server.put(&format!("{DB}/docs?id=users/3"), "{}").expect(201);
    batch(&server, r#"{"Id":"users|","Type":"PUT","Document":{}}"#).expect(409);
}

#[test]
fn attachments_come_many_at_a_time() {
    let server = start();
    server.put(&format!("{DB}/docs?id=a"), "{}").expect(201);
    for (name, bytes) in [("one", "first"), ("two", ""), ("three", "third")] {
        server.put(&format!("{DB}/attachments?id=a&name={name}&contentType=text/plain"), bytes).expect(201);
    }
    let asked = |names: &[&str]| {
        let items: Vec<String> =
            names.iter().map(|name| format!(r#"{{"DocumentId":"a","Name":"{name}"}}"#)).collect();
        let body = format!(r#"{{"AttachmentType":"Document","Attachments":[{}]}}"#, items.join(","));
        server
            .send("POST", &format!("{DB}/attachments/bulk"), &[("Accept", "*/*")], body.as_bytes())
            .expect(200)
            .text()
    };
    let text = asked(&["three", "none", "two", "one"]);
    let (head, bytes) = text.split_once("]}").unwrap();
    // The answer is chunked: the sizes of the chunks stand between them.
    let bytes: Vec<&str> = bytes.split("\r\n").filter(|part| part.len() > 1).collect();
    assert_eq!(bytes, ["third", "first"]);
    assert_eq!(head.matches("\"Hash\"").count(), 3);
    assert!(head.contains(r#"{"AttachmentsMetadata":[{"Name":"three","#) && !head.contains("none"), "{head}");
    assert!(asked(&[]).contains(r#"{"AttachmentsMetadata":[]}"#));
    refused(&server, "POST", "/attachments/bulk", r#"{"Attachments":[]}"#, "System.ArgumentException");
}

#[test]
fn a_query_streams_as_csv() {
    let server = start();
    server
        .put(
            &format!("{DB}/docs?id=u/1"),
            r#"{"n":"a,b","t":[1],"o":{"k":true},"@metadata":{"@collection":"Us"}}"#,
        )
        .expect(201);
    server.put(&format!("{DB}/docs?id=u/2"), r#"{"n":null,"@metadata":{"@collection":"Us"}}"#).expect(201);
    let csv = |query: &str, more: &str| {
        let answer = server.post(&format!("{DB}/streams/queries?format=csv{more}"), query).expect(200);
        assert_eq!(answer.header("content-type"), Some("text/csv"));
        answer.text()
    };
    let all = csv(r#"{"Query":"from Us"}"#, "");
    let lines: Vec<&str> = all.lines().filter(|line| line.contains(',')).collect();
    assert_eq!(lines, ["\u{feff}@id,n,t,o.k,@metadata.@collection", "u/1,\"a,b\",[1],True,Us", "u/2,,,,Us"]);
    let some = csv(r#"{"Query":"from Us where id() = 'u/1'"}"#, "&field=n&field=@metadata.@collection");
    assert!(some.contains("\u{feff}n,@metadata.@collection\r\n\"a,b\",Us\r\n"), "{some}");
}

#[test]
fn an_index_tells_its_trees_documents_and_fields() {
    let server = start();
    for (id, city) in [("d/1", "x"), ("d/2", "x"), ("d/3", "y")] {
        server
            .put(
                &format!("{DB}/docs?id={id}"),
                &format!(r#"{{"city":"{city}","@metadata":{{"@collection":"Ds"}}}}"#),
            )
            .expect(201);
    }
    let index = r#"{"Indexes":[{"Name":"D/ByCity","Maps":["map('Ds', d => ({ city: d.city, n: 1 }))"],
        "Reduce":"groupBy(x => x.city).aggregate(g => ({ city: g.key, n: g.values.reduce((a, v) => a + v.n, 0) }))"}]}"#;
    server.put(&format!("{DB}/admin/indexes"), index).expect(201);
    server
        .post(&format!("{DB}/queries"), r#"{"Query":"from index 'D/ByCity'","WaitForNonStaleResults":true}"#)
        .expect(200);
    let debug = |rest: &str| server.get(&format!("{DB}/indexes/debug?name=d/bycity&op={rest}"));
    let trees = debug("map-reduce-tree&docId=D/2").expect(200);
    assert_eq!(trees.int_at("Results/0/Root/AggregationResult/n"), 2);
    assert_eq!(trees.str_at("Results/0/Root/Entries/1/Source"), "d/2");
    assert_eq!(trees.str_at("Results/0/DisplayName"), r#"{"city":"x"}"#);
    assert!(debug("map-reduce-tree&docId=d/9").expect(200).at("Results").as_array().unwrap().is_empty());
    let ids = debug("source-doc-ids&start=1&pageSize=1").expect(200);
    assert_eq!((ids.str_at("Results/0"), ids.int_at("Count")), ("d/2".into(), 1));
    assert!(debug("entries-fields").expect(200).text().contains(r#"{"Name":"city","#));
    assert_eq!(debug("nope").expect(400).str_at("Type"), "System.NotSupportedException");
    server.get(&format!("{DB}/indexes/debug?name=nope&op=entries-fields")).expect(404);
    refused(&server, "GET", "/indexes/source?name=D/ByCity", "", "System.InvalidOperationException");
    let missing = "Raven.Client.Exceptions.Documents.Indexes.IndexDoesNotExistException";
    refused(&server, "POST", "/indexes/replace?name=D/ByCity", "", missing);
    let times = server.get(&format!("{DB}/indexes/total-time?name=d/bycity&name=nope")).expect(200);
    assert_eq!(
        (times.str_at("Results/0/Name"), times.str_at("Results/0/LagTime")),
        ("D/ByCity".into(), "00:00:00".into())
    );
    assert_eq!(times.at("Results").as_array().unwrap().len(), 1);
    assert_eq!(server.get(&format!("{DB}/indexes/performance")).str_at("Results/0/Name"), "D/ByCity");
}

#[test]
fn the_last_batches_of_indexes_are_told() {
    let server = start();
    let put = |commands: &str| {
        server.post(&format!("{DB}/bulk_docs"), &format!(r#"{{"Commands":[{commands}]}}"#)).expect(201)
    };
    let query = |text: &str| {
        let body = format!(r#"{{"Query":"{text}","WaitForNonStaleResults":true}}"#);
        server.post(&format!("{DB}/queries"), &body).expect(200)
    };
    let index = r#"{"Indexes":[
        {"Name":"P/Sum","Maps":["map('Ps', p => { if (p.n == 3) throw 'no'; return { a: p.n % 2, n: 1 } })"],
         "Reduce":"groupBy(x => x.a).aggregate(g => ({ a: g.key, n: g.values.reduce((a, v) => a + v.n, 0) }))"},
        {"Name":"P/All","Maps":["map('Ps', p => [{ n: p.n }, { n: -p.n }])"]}]}"#;
    server.put(&format!("{DB}/admin/indexes"), index).expect(201);
    let document = |n: usize| {
        format!(r#"{{"Type":"PUT","Id":"p/{n}","Document":{{"n":{n},"@metadata":{{"@collection":"Ps"}}}}}}"#)
    };
    put(&(0..40).map(document).collect::<Vec<_>>().join(","));
    for index in ["P/Sum", "P/All"] {
        query(&format!("from index '{index}'"));
    }
    put(r#"{"Type":"DELETE","Id":"p/8"}"#);
    for index in ["P/Sum", "P/All"] {
        query(&format!("from index '{index}'"));
    }
    let told = |name: &str| {
        let answer = server.get(&format!("{DB}/indexes/performance?name={name}&name=nope")).expect(200);
        assert_eq!(answer.at("Results").as_array().unwrap().len(), 1);
        let batches = answer.at("Results/0/Performance").as_array().unwrap().to_vec();
        let sum =
            |key: &str| batches.iter().map(|batch| batch.get(key).unwrap().as_i64().unwrap()).sum::<i64>();
        let sums =
            ["InputCount", "FailedCount", "SuccessCount", "OutputCount", "TombstoneDeleteSuccesses"].map(sum);
        (batches, sums)
    };
    let (batches, [input, failed, success, results, deleted]) = told("P/Sum");
    assert_eq!((input, failed, success, deleted), (40, 1, 39, 1), "{batches:?}");
    assert!(results >= 3, "two results, and one of them again: {batches:?}");
    let (batches, sums) = told("p/all");
    assert_eq!(sums, [40, 0, 40, 80, 1], "{batches:?}");
    for (at, batch) in batches.iter().enumerate() {
        let text = batch.to_string();
        assert_eq!(batch.get("Id").unwrap().as_i64(), Some(at as i64 + 1), "{text}");
        let times = ["Started", "Completed"].map(|key| batch.get(key).unwrap().as_str().unwrap().to_owned());
        assert!(
            times.iter().all(|time| time.len() == 28 && time.ends_with('Z')) && times[0] <= times[1],
            "{text}"
        );
        let details = batch.get("Details").unwrap();
        let took = |of: &Json| of.get("DurationInMs").unwrap().as_number().unwrap().as_f64();
        let parts = details.get("Operations").unwrap().as_array().unwrap();
        let names: Vec<&str> = parts.iter().map(|part| part.get("Name").unwrap().as_str().unwrap()).collect();
        assert_eq!(names, ["Map", "Storage/Commit"], "{text}");
        // The parts are cut to hundredths.
        assert!(parts.iter().map(took).sum::<f64>() <= took(details) + 0.02, "{text}");
    }
}

#[test]
fn a_database_is_made_as_its_record_says_or_not_at_all() {
    let server = start();
    let put = |name: &str, record: &str| server.put(&format!("/admin/databases?name={name}"), record);
    let index = |map: &str| {
        format!(r#"{{"DatabaseName":"two","Indexes":{{"I/1":{{"Name":"I/1","Maps":["{map}"]}}}}}}"#)
    };
    put("two", &index("map('A', a => (")).expect(400);
    server.get("/admin/databases?name=two").expect(404);
    put("two", &index("map('A', a => ({ n: a.n }))")).expect(201);
    assert_eq!(server.get("/databases/two/indexes?namesOnly=true").str_at("Results/0"), "I/1");
    put("three", r#"{"DatabaseName":"three","Disabled":true}"#).expect(201);
    server.get("/databases/three/stats").expect(503);
    put("four", r#"{"DatabaseName":"five"}"#).expect(400);
    for name in [".a", "a.", "a..b"] {
        put(name, "{}").expect(400);
    }
    // Operations of the server itself: clients ask for them, and there are none.
    assert_eq!(server.get("/admin/operations/next-operation-id").expect(200).int_at("Id"), 1);
    server.get("/operations/state?id=1").expect(404);
    server.post("/admin/operations/kill?id=1", "").expect(400);
}

#[test]
fn scripts_of_patches_have_the_functions_of_the_original() {
    let server = start();
    server
        .put(&format!("{DB}/docs?id=a/1"), r#"{"name":"Ann","@metadata":{"@collection":"As"}}"#)
        .expect(201);
    server.put(&format!("{DB}/docs?id=a/2"), r#"{"n":1.50,"@metadata":{"@collection":"As"}}"#).expect(201);
    let script = "this.s = [startsWith('Ann', 'an'), startsWith(null, 'a'), endsWith('Ann', 'N'), regex('Ann', '^A')]; \
                  this.r = /x/g; this.other = load('a/1');";
    let body = format!(r#"{{"Patch":{{"Script":"{script}"}}}}"#);
    let patched = server.send("PATCH", &format!("{DB}/docs?id=a/2"), &[], body.as_bytes()).expect(200);
    let document = patched.at("ModifiedDocument").to_string();
    assert_eq!(
        document,
        r#"{"n":1.50,"s":[true,false,true,true],"r":{"lastIndex":0},"other":{"name":"Ann","@metadata":{"@collection":"As"}},"@metadata":{"@collection":"As"}}"#
    );
    // Their own functions of the name go first.
    let own = r#"{"Patch":{"Script":"function regex() { return 5 } this.r = regex()"}}"#;
    let patched = server.send("PATCH", &format!("{DB}/docs?id=a/2"), &[], own.as_bytes()).expect(200);
    assert_eq!(patched.int_at("ModifiedDocument/r"), 5);
}

#[test]
fn a_database_in_memory_outlives_being_disabled() {
    let server = start_with(|config| config.storage = Storage::Memory);
    server.put(&format!("{DB}/docs?id=a"), r#"{"n":1}"#).expect(201);
    let toggle = |how: &str| {
        server.post(&format!("/admin/databases/{how}"), r#"{"DatabaseNames":["db"]}"#).expect(200)
    };
    assert_eq!(toggle("disable").at("Status/0/Success"), true.into());
    server.get(&format!("{DB}/docs?id=a")).expect(503);
    toggle("enable");
    assert_eq!(server.get(&format!("{DB}/docs?id=a")).expect(200).int_at("Results/0/n"), 1);
}

#[test]
fn what_clients_ask_of_a_database_has_an_answer() {
    let server = start();
    server.put(&format!("{DB}/docs?id=a"), r#"{"@metadata":{"@collection":"As"}}"#).expect(201);
    server.post(&format!("{DB}/identity/next?name=x"), "").expect(200);
    server.put(&format!("{DB}/cmpxchg?key=k&index=0"), r#"{"Object":1}"#).expect(200);
    let detailed = server.get(&format!("{DB}/stats/detailed")).expect(200);
    assert_eq!((detailed.int_at("CountOfIdentities"), detailed.int_at("CountOfCompareExchange")), (1, 1));
    assert_eq!(server.get(&format!("{DB}/stats/essential")).expect(200).int_at("CountOfDocuments"), 1);
    let collections = server.get(&format!("{DB}/collections/stats/detailed")).expect(200);
    for size in ["Size", "DocumentsSize", "TombstonesSize", "RevisionsSize"] {
        assert!(collections.int_at(&format!("Collections/As/{size}/SizeInBytes")) >= 0);
    }
    assert_eq!(server.get(&format!("{DB}/admin/record")).expect(200).str_at("DatabaseName"), "db");
    assert_eq!(server.get(&format!("{DB}/revisions?id=a")).expect(200).int_at("TotalResults"), 0);
    assert!(
        server
            .get(&format!("{DB}/counters?docId=a"))
            .expect(200)
            .at("Counters")
            .as_array()
            .unwrap()
            .is_empty()
    );
}

#[test]
fn the_terms_of_a_field_are_those_that_it_is_found_by() {
    let server = start();
    server
        .put(&format!("{DB}/docs?id=a/1"), r#"{"t":"The Quick fox","@metadata":{"@collection":"A"}}"#)
        .expect(201);
    let fields = r#"{"s":{"Indexing":"Search"},"x":{"Indexing":"Exact"},"n":{"Indexing":"No"},"w":{"Analyzer":"WhitespaceAnalyzer"}}"#;
    let map = "map('A', a => ({ s: a.t, x: a.t, n: a.t, w: a.t, d: a.t }))";
    let body = format!(r#"{{"Indexes":[{{"Name":"T","Maps":["{map}"],"Fields":{fields}}}]}}"#);
    server.send("PUT", &format!("{DB}/indexes"), &[], body.as_bytes()).expect(201);
    server.get(&format!("{DB}/queries?query=from%20index%20'T'&waitForNonStaleResults=true")).expect(200);
    for (field, terms) in [
        ("s", r#"["fox","quick"]"#),
        ("x", r#"["The Quick fox"]"#),
        ("n", "[]"),
        ("w", r#"["Quick","The","fox"]"#),
        ("d", r#"["the quick fox"]"#),
    ] {
        let answer = server.get(&format!("{DB}/indexes/terms?name=T&field={field}")).expect(200);
        assert_eq!(answer.at("Terms").to_string(), terms, "{field}");
    }
}
