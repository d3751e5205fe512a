//! Dumps of real RavenDB servers, from 3.5 to 7.1, into a real server process and out again; and what is no dump.

#![cfg(test)]

use magpie_store::json::{self, Json, Object};
use magpie_tests::golden::wait_until_indexed;
use magpie_tests::material;
use magpie_tests::process::ServerProcess;
use magpie_tests::wire::{Answer, Client};
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};

struct Server {
    _folder: tempfile::TempDir,
    process: ServerProcess,
    client: Client,
}

fn server() -> Server {
    let folder = tempfile::tempdir().unwrap();
    let process = ServerProcess::start(&folder.path().join("data"), &[]).unwrap();
    let client = process.client();
    Server { _folder: folder, process, client }
}

impl Server {
    fn database(&self, name: &str) -> Database<'_> {
        let body = format!(r#"{{"DatabaseName":"{name}"}}"#);
        self.client.put(&format!("/admin/databases?name={name}"), &body).unwrap();
        Database { client: &self.client, name: name.to_owned() }
    }
}

struct Database<'s> {
    client: &'s Client,
    name: String,
}

impl Database<'_> {
    fn path(&self, path: &str) -> String {
        format!("/databases/{}/{path}", self.name)
    }

    fn get(&self, path: &str) -> Json {
        self.client.get(&self.path(path)).unwrap().expect_status(200).unwrap().json().unwrap()
    }

    fn import(&self, dump: &[u8]) -> Answer {
        let headers = [("Content-Type", "application/octet-stream")];
        self.client.send("POST", &self.path("smuggler/import"), &headers, Some(dump)).unwrap()
    }

    fn import_all(&self, dump: &[u8]) -> Json {
        self.import(dump).expect_status(200).unwrap().json().unwrap()
    }

    fn collections(&self) -> BTreeMap<String, i64> {
        let stats = self.get("collections/stats");
        let counts = stats.get("Collections").unwrap().as_object().unwrap().iter();
        counts.map(|(name, count)| (name.to_owned(), count.as_i64().unwrap())).collect()
    }

    fn follow(&self) {
        wait_until_indexed(self.client, &self.name).unwrap();
    }

    fn rows(&self, query: &str) -> Vec<Json> {
        let body = Json::Object(Object::from_iter([("Query", Json::from(query))])).to_string();
        let answer = self.client.post(&self.path("queries"), &body).unwrap().expect_status(200).unwrap();
        answer.json().unwrap().get("Results").unwrap().as_array().unwrap().to_vec()
    }
}

/// Everything that a dump carries, as text that can be compared.
#[derive(Debug, PartialEq)]
struct Contents {
    documents: BTreeMap<String, String>,
    attachments: BTreeMap<(String, String), (String, Vec<u8>)>,
    indexes: Vec<Json>,
    identities: Json,
    compare_exchange: Vec<(String, String)>,
}

impl Database<'_> {
    fn contents(&self) -> Contents {
        let mut documents = BTreeMap::new();
        let mut attachments = BTreeMap::new();
        let page = self.get("docs?pageSize=100000");
        for document in page.get("Results").unwrap().as_array().unwrap() {
            let mut document = document.clone();
            let Json::Object(fields) = &mut document else { panic!("{document}") };
            let Some(Json::Object(metadata)) = fields.get_mut("@metadata") else { panic!("no metadata") };
            metadata.remove("@change-vector");
            let id = metadata.get("@id").unwrap().as_str().unwrap().to_owned();
            if metadata.get("@flags").is_some_and(|flags| flags.to_string().contains("Artificial")) {
                continue;
            }
            for attachment in metadata.get("@attachments").and_then(Json::as_array).unwrap_or_default() {
                let name = attachment.get("Name").unwrap().as_str().unwrap().to_owned();
                attachments.insert((id.clone(), name.clone()), self.attachment(&id, &name));
            }
            documents.insert(id, document.to_string());
        }
        let definitions = self.get("indexes");
        let values = self.get("cmpxchg?startsWith=&pageSize=100000");
        let value =
            |value: &Json| (value.get("Key").unwrap().to_string(), value.get("Value").unwrap().to_string());
        Contents {
            documents,
            attachments,
            indexes: definitions.get("Results").unwrap().as_array().unwrap().to_vec(),
            identities: self.get("debug/identities"),
            compare_exchange: values.get("Results").unwrap().as_array().unwrap().iter().map(value).collect(),
        }
    }

    /// The media type and the bytes.
    fn attachment(&self, id: &str, name: &str) -> (String, Vec<u8>) {
        let answer = self.client.get(&self.attachment_path(id, name)).unwrap().expect_status(200).unwrap();
        assert_eq!(answer.header("attachment-size"), Some(answer.body.len().to_string().as_str()));
        (answer.header("content-type").unwrap_or_default().to_owned(), answer.body)
    }

    fn attachment_path(&self, id: &str, name: &str) -> String {
        let escape = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
        self.path(&format!("attachments?id={}&name={}", escape(id), escape(name)))
    }

    fn export(&self, options: &str) -> Vec<u8> {
        self.client.post(&self.path("smuggler/export"), options).unwrap().expect_status(200).unwrap().body
    }
}

fn dump(name: &str) -> Option<Vec<u8>> {
    material(&format!("data/dumps/{name}.ravendbdump")).map(|file| fs::read(file).unwrap())
}

fn unzip(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut plain).unwrap();
    plain
}

fn count(result: &Json, kind: &str) -> (i64, i64, i64) {
    let kind = kind.split('.').fold(result, |result, part| result.get(part).unwrap());
    let of = |name: &str| kind.get(name).unwrap().as_i64().unwrap();
    (of("ReadCount"), of("SkippedCount"), of("ErroredCount"))
}

const NORTHWIND: [(&str, i64); 9] = [
    ("@hilo", 8),
    ("Categories", 8),
    ("Companies", 91),
    ("Employees", 9),
    ("Orders", 830),
    ("Products", 77),
    ("Regions", 4),
    ("Shippers", 3),
    ("Suppliers", 29),
];

#[test]
fn real_dumps_of_every_version_go_in_completely() {
    let server = server();
    for (name, indexes, compare_exchange, identities) in [
        ("Northwind_3.5.35168", (4, 1, 0), 0, 1),
        ("Northwind-4.1", (3, 0, 0), 0, 0),
        ("northwind-7.1.5-js.zstd", (12, 0, 0), 77, 0),
    ] {
        let Some(bytes) = dump(name) else { return };
        let database = server.database(&name.replace('.', "_"));
        let result = database.import_all(&bytes);
        assert_eq!(count(&result, "Documents"), (1059, 0, 0), "{result}");
        assert_eq!(count(&result, "Indexes"), indexes, "{result}");
        assert_eq!(count(&result, "CompareExchange"), (compare_exchange, 0, 0));
        assert_eq!(count(&result, "Identities"), (identities, 0, 0));
        database.follow();
        let mut collections = database.collections();
        collections.retain(|name, _| !name.starts_with("MonthlyTotals"));
        assert_eq!(collections, NORTHWIND.map(|(name, count)| (name.to_owned(), count)).into(), "{name}");
    }
    let Some(bytes) = dump("hospital") else { return };
    let hospital = server.database("hospital");
    assert_eq!(count(&hospital.import_all(&bytes), "Documents"), (29, 0, 0));
    assert_eq!(hospital.collections()["Patients"], 16);
    let indexes = hospital.get("indexes").to_string();
    let of_type = |name: &str| indexes.matches(&format!("\"Type\":\"{name}\"")).count();
    assert_eq!((of_type("AutoMapReduce"), of_type("AutoMap")), (2, 1), "{indexes}");
}

#[test]
fn what_magpie_has_not_is_counted_and_told() {
    let Some(bytes) = dump("northwind-7.1.5-js.zstd") else { return };
    let server = server();
    let result = server.database("n").import_all(&bytes);
    assert_eq!(count(&result, "RevisionDocuments"), (5475, 5475, 0));
    assert_eq!(count(&result, "Counters"), (77, 0, 0));
    assert_eq!(count(&result, "TimeSeries"), (864, 864, 0));
    assert_eq!(count(&result, "DatabaseRecord"), (1, 1, 0));
    let messages = result.get("Messages").unwrap().to_string();
    for words in ["5475 RevisionDocuments are kept", "864 TimeSeries"] {
        assert!(messages.contains(words), "{words}: {messages}");
    }
}

#[test]
fn values_and_times_are_those_of_the_dump() {
    let Some(bytes) = dump("small-7.1.5.plain") else { return };
    let server = server();
    let database = server.database("small");
    let result = database.import_all(&bytes);
    assert_eq!(count(&result, "Documents"), (8, 0, 0), "{result}");
    let user = database.get("docs?id=users/1").get("Results").unwrap().as_array().unwrap()[0].to_string();
    for text in [
        r#""d":1.0,"e":1e3,"big":12345678901234567890,"dec":0.12345678901234567890123"#,
        r#""ctl":"tab\tnl\nbell\u0007nul\u0000us\u001f del"#,
        r#""@last-modified":"2026-11-22T07:08:07.9269957Z""#,
        r#""Custom":{"k":[1]}"#,
    ] {
        assert!(user.contains(text), "{text}: {user}");
    }
    assert!(!user.contains("Gb0aU+/5uk2p+VOySe8KBg"), "the change vector is the database's own: {user}");
    let values = database.get("cmpxchg?startsWith=");
    assert!(values.to_string().contains(r#""Key":"num""#), "{values}");
    assert!(database.get("debug/identities").to_string().contains(r#""invoices|":3"#));
    database.follow();
    let mut collections = database.collections();
    collections.retain(|name, _| !name.starts_with("OrdersByDay"));
    assert_eq!(collections.values().sum::<i64>(), 8, "besides those that an index makes");
    let mut rows = database.rows("from index 'Orders/ByDay'");
    rows.sort_by_key(|row| row.get("day").unwrap().to_string());
    assert!(rows[0].to_string().starts_with(r#"{"day":"2024-01-01","n":2,"total":12.5,"users":["users/1"]"#));
    assert!(
        rows[1].to_string().starts_with(r#"{"day":"2024-02-01","n":1,"total":-1.25,"users":["users/2"]"#)
    );
}

#[test]
fn a_csharp_index_says_how_to_rewrite_it_and_the_rewritten_one_is_right() {
    let Some(bytes) = dump("Northwind-4.1") else { return };
    let server = server();
    let database = server.database("n");
    database.import_all(&bytes);
    let stats = database.get("indexes/stats?name=Orders/ByCompany").to_string();
    assert!(stats.contains(r#""State":"Error""#) && stats.contains("write map('Orders'"), "{stats}");
    let index = r#"{"Indexes":[{"Name":"Orders/ByCompany","Maps":["map('Orders', o => ({ Company: o.Company, Count: 1, Total: o.Lines.reduce((sum, l) => sum + l.Quantity * l.PricePerUnit * (1 - l.Discount), 0) }))"],
        "Reduce":"groupBy(x => x.Company).aggregate(g => ({ Company: g.key, Count: g.values.reduce((s, v) => s + v.Count, 0), Total: g.values.reduce((s, v) => s + v.Total, 0) }))"}]}"#
        .replace('\n', "");
    database.client.put(&database.path("indexes"), &index).unwrap().expect_status(201).unwrap();
    database.follow();

    // The same by hand, from the dump itself: its documents stand before the revisions.
    let plain = unzip(&bytes);
    let text = String::from_utf8_lossy(&plain);
    let docs = &text[text.find(r#""Docs":["#).unwrap()..text.find(r#""RevisionDocuments""#).unwrap()];
    let mut expected: BTreeMap<String, (i64, f64)> = BTreeMap::new();
    for order in docs.split(r#"}},{"#).filter(|part| part.contains(r#""@collection":"Orders""#)) {
        let whole = format!("{{{}}}}}", order.trim_start_matches('{').trim_end_matches("}}"));
        let order = json::parse(whole.as_bytes()).unwrap();
        let number = |line: &Json, key: &str| line.get(key).unwrap().as_number().unwrap().as_f64();
        let lines = order.get("Lines").unwrap().as_array().unwrap().iter();
        let total: f64 = lines
            .map(|l| number(l, "Quantity") * number(l, "PricePerUnit") * (1.0 - number(l, "Discount")))
            .sum();
        let entry = expected.entry(order.get("Company").unwrap().as_str().unwrap().to_owned()).or_default();
        *entry = (entry.0 + 1, entry.1 + total);
    }
    assert_eq!(expected.values().map(|(count, _)| count).sum::<i64>(), 830);
    let rows = database.rows("from index 'Orders/ByCompany' limit 1000");
    assert_eq!(rows.len(), expected.len());
    for row in rows {
        let (count, total) = expected[row.get("Company").unwrap().as_str().unwrap()];
        assert_eq!(row.get("Count").unwrap().as_i64(), Some(count));
        let found = row.get("Total").unwrap().as_number().unwrap().as_f64();
        assert!((found - total).abs() < 1e-9 * total.abs().max(1.0), "{row}: {total}");
    }
}

#[test]
fn a_form_as_the_clients_send_it_is_understood_and_the_operation_tells_the_result() {
    let Some(bytes) = dump("small-7.1.5.gzip") else { return };
    let server = server();
    let database = server.database("form");
    let boundary = "----formdata-undici-054221662004";
    let mut body = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"importOptions\"\r\n\r\n\
         {{\"OperateOnTypes\":\"Documents,Identities\",\"Collections\":[\"users\"],\"TransformScript\":null}}\r\n\
         --{boundary}\r\nContent-Disposition: form-data; name=\"name\"; filename=\"blob\"\r\n\
         Content-Type: text/plain\r\n\r\n"
    )
    .into_bytes();
    body.extend_from_slice(&bytes);
    body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    let id = database.get("operations/next-operation-id").get("Id").unwrap().as_i64().unwrap();
    let path = database.path(&format!("smuggler/import?operationId={id}&nodeTag=A"));
    let kind = format!("multipart/form-data; boundary={boundary}");
    let answer = server.client.send("POST", &path, &[("Content-Type", &kind)], Some(&body)).unwrap();
    let result = answer.expect_status(200).unwrap().json().unwrap();
    assert_eq!(count(&result, "Documents"), (8, 6, 0), "{result}");
    assert_eq!(count(&result, "Indexes"), (5, 5, 0), "{result}");
    let state = database.get(&format!("operations/state?id={id}"));
    assert_eq!(state.get("Status").unwrap().as_str(), Some("Completed"));
    assert_eq!(count(state.get("Result").unwrap(), "Documents"), (8, 6, 0));
    assert_eq!(database.collections(), BTreeMap::from([("Users".to_owned(), 2)]));
}

#[test]
fn a_cut_dump_ends_at_its_place_and_the_report_says_what_is_in() {
    let Some(bytes) = dump("small-7.1.5.plain") else { return };
    let server = server();
    let documents_end = bytes.windows(22).position(|part| part == b"],\"RevisionDocuments\":").unwrap();
    for (at, cut) in [10, 3000, 5000, documents_end, bytes.len() - 1].into_iter().enumerate() {
        let database = server.database(&format!("cut{at}"));
        let answer = database.import(&bytes[..cut]).expect_status(400).unwrap().json().unwrap();
        let message = answer.get("Message").unwrap().as_str().unwrap().to_owned();
        assert!(message.contains(&format!("cut off at byte {cut}")), "{message}");
        database.follow();
        let mut collections = database.collections();
        collections.retain(|name, _| !name.starts_with("OrdersByDay"));
        let documents: i64 = collections.values().sum();
        let expected =
            if documents == 0 { "stays: nothing".to_owned() } else { format!("{documents} Documents") };
        assert!(message.contains(&expected), "{documents}: {message}");
        if cut >= documents_end {
            assert_eq!(documents, 8);
        }
    }
}

#[test]
fn what_is_no_dump_is_refused_with_what_it_is() {
    let server = server();
    let database = server.database("none");
    for (bytes, words) in [
        (&b""[..], "it is empty"),
        (b"<!DOCTYPE html><html><body>Not found</body></html>", "it begins with '<!DOCTYPE html>"),
        (b"PK\x03\x04 zip", "it is a zip archive"),
        (b"\x00\x01\x02\x03random", "it begins with"),
        (b"{}", "it is an empty JSON object"),
        (br#"{"name":"x"}"#, "whose first key is 'name'"),
        (b"\x1f\x8b\x08not gzip at all", "gzip stream is damaged"),
        (br#"{"BuildVersion":70000,"Docs":[{"a":1,"@metadata":{"@id":"a"}},{"a":tru}]}"#, "byte 62"),
        (br#"{"BuildVersion":70000,"Docs":[{"a":1]]}"#, "']' closes nothing"),
        (br#"{"BuildVersion":70000,"Docs":[1 2]}"#, "damaged at byte"),
    ] {
        let answer = database.import(bytes).expect_status(400).unwrap().json().unwrap();
        let message = answer.get("Message").unwrap().as_str().unwrap();
        assert!(message.contains(words), "{words}: {message}");
        assert_eq!(answer.get("Type").unwrap().as_str(), Some("System.IO.InvalidDataException"));
    }
    let _ = database.collections();
}

#[test]
fn a_bomb_is_stopped_early() {
    let server = server();
    let database = server.database("bomb");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(br#"{"BuildVersion":70000,"Docs":["#).unwrap();
    let spaces = vec![b' '; 1 << 20];
    for _ in 0..1024 {
        gzip.write_all(&spaces).unwrap();
    }
    gzip.write_all(b"]}").unwrap();
    let bomb = gzip.finish().unwrap();
    let answer = database.import(&bomb).expect_status(400).unwrap().json().unwrap();
    let message = answer.get("Message").unwrap().as_str().unwrap();
    assert!(message.contains("dump_ratio_max"), "{message}");
}

#[test]
fn what_is_refused_is_told_one_by_one_and_the_rest_goes_in() {
    let mut server = server();
    let long = "x".repeat(600);
    let dump = format!(
        r#"{{"BuildVersion":70000,"Docs":[{{"a":1.0,"@metadata":{{"@id":"a","@collection":"A"}}}},{{"b":1,"@metadata":{{"@id":"{long}"}}}},{{"c":1}},{{"d":"{raw}","@metadata":{{"@id":"d",}},}},],"Nonsense":[1,"]",{{"x":[]}}],"Other":5}}"#,
        raw = "\u{19}"
    );
    let database = server.database("some");
    let result = database.import_all(dump.as_bytes());
    assert_eq!(count(&result, "Documents"), (4, 0, 2), "{result}");
    let messages = result.get("Messages").unwrap().to_string();
    for words in ["it is longer than 512 bytes", "has no @metadata", "3 items of type 'Nonsense'"] {
        assert!(messages.contains(words), "{words}: {messages}");
    }
    assert_eq!(database.collections().values().sum::<i64>(), 2);
    let again = database.import_all(dump.as_bytes());
    assert_eq!(count(&again, "Documents"), (4, 0, 2), "an import overwrites");
    assert!(server.process.stop().unwrap());
}

#[test]
fn an_export_imported_again_is_the_same_database() {
    let server = server();
    for (name, attachments) in [
        ("Northwind_3.5.35168", 0),
        ("Northwind-4.1", 17),
        ("hospital", 16),
        ("RavenDB_9912_1", 5),
        ("northwind-7.1.5-js.zstd", 17),
        ("small-7.1.5.zstd", 4),
    ] {
        let Some(bytes) = dump(name) else { return };
        let name = name.replace('.', "_");
        let database = server.database(&name);
        let result = database.import_all(&bytes);
        assert!(!result.to_string().contains(r#""ErroredCount":1"#), "{result}");
        database.follow();
        let contents = database.contents();
        assert_eq!(contents.attachments.len(), attachments, "{name}");
        let stats = database.get("stats");
        assert_eq!(stats.get("CountOfAttachments").unwrap().as_i64(), i64::try_from(attachments).ok());
        for (algorithm, magic) in [("Gzip", &b"\x1f\x8b"[..]), ("Zstd", b"\x28\xb5\x2f\xfd")] {
            let dump = database.export(&format!(r#"{{"CompressionAlgorithm":"{algorithm}"}}"#));
            assert!(dump.starts_with(magic));
            let again = server.database(&format!("{name}_{algorithm}"));
            let result = again.import_all(&dump);
            assert_eq!(count(&result, "Documents").2 + count(&result, "Indexes").2, 0, "{result}");
            again.follow();
            assert_eq!(again.contents(), contents, "{name}");
        }
    }
}

#[test]
fn an_export_has_the_form_that_other_servers_read() {
    let Some(bytes) = dump("small-7.1.5.gzip") else { return };
    let server = server();
    let database = server.database("small");
    database.import_all(&bytes);
    database.follow();
    let plain = unzip(&database.export(""));
    let text = String::from_utf8_lossy(&plain).into_owned();
    assert!(text.starts_with(r#"{"BuildVersion":71000,"DatabaseRecord":{"#), "{text}");
    let keys = ["Docs", "RevisionDocuments", "Conflicts", "Indexes", "Identities", "CompareExchange"];
    let places: Vec<usize> =
        keys.iter().map(|key| text.find(&format!("],\"{key}\":[")).unwrap_or(0)).collect();
    assert!(places.is_sorted() && places[1] > 0, "{places:?}");
    // Each content once, before the first document that names it, and raw.
    assert_eq!(text.matches(r#""@export-type":"Attachment""#).count(), 3);
    let all: Vec<u8> = (0..=255).collect();
    let at = plain.windows(256).position(|part| part == all).unwrap();
    assert!(plain[..at].ends_with(b"}") && plain[at + 256..].starts_with(b",{"));
    assert!(!text.contains("Artificial"), "what an index makes is not exported");
    assert!(text.contains(r#"{"Key":"invoices|","Value":"3"}"#));
    assert!(text.contains(r#"{"Type":"Map","IndexDefinition":{"Name":"Users/CSharp""#));
    let few = unzip(&database.export(r#"{"OperateOnTypes":"Documents","Collections":["orders"]}"#));
    let few = String::from_utf8_lossy(&few).into_owned();
    assert_eq!(few.matches(r#""@id""#).count(), 3, "{few}");
    assert!(few.contains(r#""Indexes":[],"Identities":[],"CompareExchange":[]"#), "{few}");
}

#[test]
fn attachments_are_stored_read_and_deleted() {
    let mut server = server();
    let database = server.database("a");
    let large: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
    let path = database.attachment_path("d/1", "lärge \"x\".bin");
    let answer = server.client.send("PUT", &path, &[], Some(&large)).unwrap();
    let answer = answer.expect_status(400).unwrap().json().unwrap();
    assert!(answer.get("Type").unwrap().as_str().unwrap().ends_with("DocumentDoesNotExistException"));
    let body = r#"{"n":1.50,"@metadata":{"@collection":"D"}}"#;
    database.client.put(&database.path("docs?id=d/1"), body).unwrap().expect_status(201).unwrap();
    let put = server.client.send("PUT", &format!("{path}&contentType=a%2Fb"), &[], Some(&large)).unwrap();
    let put = put.expect_status(201).unwrap().json().unwrap();
    assert_eq!(put.get("Size").unwrap().as_i64(), Some(3_000_000));
    assert_eq!(database.attachment("D/1", "LÄRGE \"X\".BIN"), ("a/b".to_owned(), large.clone()));
    let head = server.client.send("HEAD", &path, &[], None).unwrap().expect_status(200).unwrap();
    let etag = head.header("etag").unwrap().to_owned();
    assert_eq!(head.header("attachment-hash"), put.get("Hash").unwrap().as_str());
    server.client.send("GET", &path, &[("If-None-Match", &etag)], None).unwrap().expect_status(304).unwrap();
    let document = database.get("docs?id=d/1").to_string();
    assert!(document.contains(r#""n":1.50"#) && document.contains(r#""@flags":"HasAttachments""#));
    server
        .client
        .send("PUT", &path, &[("If-Match", "\"A:1-x\"")], Some(b"1"))
        .unwrap()
        .expect_status(409)
        .unwrap();

    // After the end of the process everything is there; after the document's end nothing is.
    server.process.kill().unwrap();
    let data = server._folder.path().join("data");
    server.process = ServerProcess::start(&data, &[]).unwrap();
    server.client = server.process.client();
    let database = Database { client: &server.client, name: "a".to_owned() };
    assert_eq!(database.attachment("d/1", "lärge \"x\".bin").1, large);
    server
        .client
        .send("DELETE", &database.path("docs?id=d/1"), &[], None)
        .unwrap()
        .expect_status(204)
        .unwrap();
    server.client.get(&path).unwrap().expect_status(404).unwrap();
    let stats = database.get("stats");
    assert_eq!(stats.get("CountOfAttachments").unwrap().as_i64(), Some(0));
}

#[test]
fn a_batch_carries_attachments_and_is_all_or_nothing() {
    let server = server();
    let database = server.database("b");
    let batch = |commands: &str, streams: &[&[u8]]| {
        let mut body = format!(
            "--x\r\nContent-Disposition: form-data; name=\"main\"\r\n\r\n{{\"Commands\":[{commands}]}}\r\n"
        )
        .into_bytes();
        for (number, stream) in streams.iter().enumerate() {
            let head = format!("--x\r\nContent-Disposition: form-data; name=\"attachment_{number}\"\r\n\r\n");
            body.extend_from_slice(head.as_bytes());
            body.extend_from_slice(stream);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"--x--\r\n");
        let headers = [("Content-Type", "multipart/form-data; boundary=x")];
        server.client.send("POST", &database.path("bulk_docs"), &headers, Some(&body)).unwrap()
    };
    let put = r#"{"Type":"PUT","Id":"d/1","ChangeVector":null,"Document":{"a":1}}"#;
    let first = r#"{"Type":"AttachmentPUT","Id":"d/1","Name":"one","ContentType":null,"ChangeVector":null}"#;
    let second =
        r#"{"Type":"AttachmentPUT","Id":"d/1","Name":"two","ContentType":"t/t","ChangeVector":null}"#;
    let commands = [put, first, second].join(",");
    let answer = batch(&commands, &[b"1\r\n--y", b"22"]).expect_status(201).unwrap().json().unwrap();
    let results = answer.get("Results").unwrap().as_array().unwrap();
    assert_eq!(results[2].get("Name").unwrap().as_str(), Some("two"));
    assert_eq!(database.attachment("d/1", "one").1, b"1\r\n--y");
    assert_eq!(database.attachment("d/1", "two"), ("t/t".to_owned(), b"22".to_vec()));
    let copy =
        r#"{"Type":"AttachmentMOVE","Id":"d/1","Name":"one","DestinationId":"d/1","DestinationName":"uno"}"#;
    let bad = r#"{"Type":"AttachmentPUT","Id":"none","Name":"x"}"#;
    batch(&[copy, bad].join(","), &[b"x"]).expect_status(400).unwrap();
    assert_eq!(database.attachment("d/1", "one").1, b"1\r\n--y", "nothing of a refused batch is done");
    batch(copy, &[]).expect_status(201).unwrap();
    server.client.get(&database.attachment_path("d/1", "one")).unwrap().expect_status(404).unwrap();
    batch(first, &[]).expect_status(400).unwrap();
}

#[test]
fn documents_and_attachments_that_cannot_be_taken_are_told_and_nothing_else_is_lost() {
    let server = server();
    let database = server.database("t");
    let there = r#"{"@metadata":{"@collection":"Old"}}"#;
    database.client.put(&database.path("docs?id=d/1"), there).unwrap().expect_status(201).unwrap();
    let hash = "Oafrn+3BmqvINCXGdV3ZDm+dDIBJZKH0qu6juftZmDU=";
    let empty = "DldRwCblQ7Loqy6wYJnaodHl30d3j3eH+qtFzfEv46g=";
    let stream = |hash: &str, bytes: &str| {
        let size = bytes.len();
        format!(
            r#"{{"@metadata":{{"@export-type":"Attachment"}},"Hash":"{hash}","Size":{size},"Tag":"x"}}{bytes}"#
        )
    };
    let listed =
        |name: &str, hash: &str| format!(r#"{{"Name":"{name}","Hash":"{hash}","ContentType":"","Size":0}}"#);
    let document = |id: &str, collection: &str, more: &str| {
        format!(r#"{{"n":1.0,"@metadata":{{{more}"@collection":"{collection}","@id":"{id}"}}}}"#)
    };
    let attachments = format!(r#""@attachments":[{},{}],"#, listed("wrong", hash), listed("good", empty));
    let elements = [
        stream(hash, "not those"),
        stream(empty, ""),
        document("d/1", "New", ""),
        document("d/2", "New", &attachments),
        document("d/3", "New", r#""@flags":"Artificial, HasAttachments","#),
        document("d/4/", "New", ""),
        document("d/5", "New", ""),
    ];
    let dump = format!(r#"{{"BuildVersion":71000,"Docs":[{}]}}"#, elements.join(","));
    let result = database.import_all(dump.as_bytes());
    assert_eq!(count(&result, "Documents"), (5, 1, 2), "{result}");
    let messages = result.get("Messages").unwrap().to_string();
    for words in [
        "from 'Old' to 'New'",
        "its id ends with",
        "not those that its hash says",
        "'wrong' of the document 'd/2'",
    ] {
        assert!(messages.contains(words), "{words}: {messages}");
    }
    assert_eq!(database.collections(), BTreeMap::from([("New".to_owned(), 2), ("Old".to_owned(), 1)]));
    assert_eq!(database.attachment("d/2", "good").1, b"");
    server.client.get(&database.attachment_path("d/2", "wrong")).unwrap().expect_status(404).unwrap();

    // A damaged element ends an import, unless the damage is to be left out.
    let dump = format!(
        r#"{{"BuildVersion":71000,"Docs":[{{"a":tru,"@metadata":{{}}}},{}]}}"#,
        document("d/6", "New", "")
    );
    database.import(dump.as_bytes()).expect_status(400).unwrap();
    let path = database.path("smuggler/import?importOptions=%7B%22SkipCorruptedData%22%3Atrue%7D");
    let headers = [("Content-Type", "application/octet-stream")];
    let answer = server.client.send("POST", &path, &headers, Some(dump.as_bytes())).unwrap();
    let result = answer.expect_status(200).unwrap().json().unwrap();
    assert_eq!(count(&result, "Documents"), (2, 0, 1), "{result}");
    let encrypted = "smuggler/import?importOptions=%7B%22EncryptionKey%22%3A%22x%22%7D";
    let answer =
        server.client.send("POST", &database.path(encrypted), &headers, Some(dump.as_bytes())).unwrap();
    let answer = answer.expect_status(400).unwrap().json().unwrap();
    assert!(answer.get("Message").unwrap().as_str().unwrap().contains("EncryptionKey"), "{answer}");
}
