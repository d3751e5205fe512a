//! Files of CSV into a real server process and out again, and files that lie on the server's machine.

#![cfg(test)]

use magpie_store::json::Json;
use magpie_tests::process::ServerProcess;
use magpie_tests::wire::{Answer, Client};

struct Server {
    folder: tempfile::TempDir,
    _process: ServerProcess,
    client: Client,
}

fn server(more: &[&str]) -> Server {
    let folder = tempfile::tempdir().unwrap();
    let process = ServerProcess::start(&folder.path().join("data"), more).unwrap();
    let client = process.client();
    Server { folder, _process: process, client }
}

impl Server {
    fn make(&self, name: &str) {
        magpie_tests::smuggler::make(&self.client, name).unwrap();
    }

    /// Sends a file as clients do: a form with options and the file.
    fn csv(&self, route: &str, options: &str, file: &str, text: &str) -> Answer {
        let options = match options {
            "" => String::new(),
            options => format!(
                "--xx\r\nContent-Disposition: form-data; name=\"csvImportOptions\"\r\n\r\n{options}\r\n"
            ),
        };
        let body = format!(
            "{options}--xx\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{file}\"\r\n\r\n{text}\r\n--xx--\r\n"
        );
        let headers = [("Content-Type", "multipart/form-data; boundary=xx")];
        let path = format!("/databases/{route}");
        self.client.send("POST", &path, &headers, Some(body.as_bytes())).unwrap()
    }

    fn get(&self, path: &str) -> Json {
        self.client.get(path).unwrap().expect_status(200).unwrap().json().unwrap()
    }

    /// Documents of a database by id, with their metadata but what each write makes anew.
    fn documents(&self, name: &str) -> Vec<String> {
        let page = self.get(&format!("/databases/{name}/docs?pageSize=100000"));
        let document = |document: &Json| {
            let Json::Object(mut fields) = document.clone() else { panic!("{document}") };
            if let Some(Json::Object(metadata)) = fields.get_mut("@metadata") {
                metadata.remove("@change-vector");
                metadata.remove("@last-modified");
            }
            Json::Object(fields).to_string()
        };
        let mut documents: Vec<String> =
            page.get("Results").unwrap().as_array().unwrap().iter().map(document).collect();
        documents.sort();
        documents
    }

    fn exported(&self, name: &str) -> Vec<u8> {
        let path = format!("/databases/{name}/streams/queries?format=csv&query=from%20%40all_docs");
        self.client.get(&path).unwrap().expect_status(200).unwrap().body
    }
}

/// Read, refused and written documents of a result.
fn counts(result: &Json) -> (i64, i64, i64) {
    let documents = result.get("Documents").unwrap();
    let number = |key: &str| documents.get(key).unwrap().as_i64().unwrap();
    let written = result.get("Magpie").unwrap().get("Written").unwrap().get("Documents");
    (number("ReadCount"), number("ErroredCount"), written.and_then(Json::as_i64).unwrap_or(0))
}

#[test]
fn csv_becomes_documents() {
    let server = server(&[]);
    server.make("c");
    let text = "\u{feff}@id,name,to.city,n,ok,@metadata.@collection,@metadata.Own\r\n\
        u/1,\"Ann, \"\"A\"\"\",Kiel,1.50,True,People,x\r\n\
        u/2,,\"a\nb\",007,false,,\r\n";
    let answer = server.csv("c/smuggler/import/csv?operationId=7&collection=Users", "", "x.csv", text);
    let result = answer.expect_status(200).unwrap().json().unwrap();
    assert_eq!(counts(&result), (2, 0, 2), "{result}");
    assert_eq!(
        server.documents("c"),
        [
            r#"{"name":"Ann, \"A\"","to":{"city":"Kiel"},"n":1.50,"ok":true,"@metadata":{"@collection":"People","Own":"x","@id":"u/1"}}"#,
            r#"{"name":null,"to":{"city":"a\nb"},"n":"007","ok":false,"@metadata":{"@collection":"Users","@id":"u/2"}}"#,
        ]
    );
    let state = server.get("/databases/c/operations/state?id=7");
    assert_eq!(state.get("Status").unwrap().as_str(), Some("Completed"), "{state}");
    assert_eq!(counts(state.get("Result").unwrap()), (2, 0, 2), "{state}");

    // The dialect; the collection is the file's, and ids are made.
    server.make("d");
    let options =
        r##"{"Delimiter":";","Quote":"'","TrimOptions":"Trim","AllowComments":true,"Comment":"#"}"##;
    let text = "a;b\n# nothing\n 'x;y' ; 7 \n";
    let answer = server.csv("d/smuggler/import/csv", options, "order.csv", text);
    assert_eq!(counts(&answer.expect_status(200).unwrap().json().unwrap()), (1, 0, 1));
    let documents = server.documents("d");
    let begin = r#"{"a":"x;y","b":7,"@metadata":{"@collection":"Orders","@id":"Orders/000"#;
    assert!(documents.len() == 1 && documents.iter().all(|text| text.starts_with(begin)), "{documents:?}");
}

#[test]
fn an_export_comes_back_as_it_was() {
    let server = server(&[]);
    server.make("from");
    server.make("to");
    // More than some sub-batches, and every kind of value a table can tell apart.
    let rows: Vec<String> = (0..3_000)
        .map(|n| {
            format!(
                r#"{{"Type":"PUT","Id":"e/{n}","Document":{{"n":{n}.50,"text":"line\n\"{n}\", é","flag":{},"none":null,"list":[{n},"a"],"in":{{"deep":{{"x":{n}}},"big":123456789012345678901234567890}},"@metadata":{{"@collection":"Es","Own":"k{n}"}}}}}}"#,
                n % 2 == 0
            )
        })
        .collect();
    let body = format!(r#"{{"Commands":[{}]}}"#, rows.join(","));
    server.client.post("/databases/from/bulk_docs", &body).unwrap().expect_status(201).unwrap();
    let table = server.exported("from");
    let text = String::from_utf8(table.clone()).unwrap();
    let answer = server.csv("to/smuggler/import/csv", "", "whatever.csv", &text);
    let result = answer.expect_status(200).unwrap().json().unwrap();
    assert_eq!(counts(&result), (3_000, 0, 3_000), "{result}");
    assert_eq!(server.documents("to"), server.documents("from"));
    assert_eq!(server.exported("to"), table);
    // As the body, without a form, and again: nothing is there twice.
    let path = "/databases/to/smuggler/import/csv";
    let headers = [("Content-Type", "text/csv")];
    server.client.send("POST", path, &headers, Some(&table)).unwrap().expect_status(200).unwrap();
    assert_eq!(server.documents("to"), server.documents("from"));
}

#[test]
fn faults_of_csv_are_told_with_line_and_column() {
    let server = server(&[]);
    server.make("c");
    let refused = |options: &str, text: &str, words: &str| {
        let answer = server.csv("c/smuggler/import/csv?operationId=9", options, "a.csv", text);
        let body = answer.expect_status(400).unwrap().json().unwrap();
        let message = body.get("Message").unwrap().as_str().unwrap();
        assert!(message.contains(words), "{body}");
        let state = server.get("/databases/c/operations/state?id=9");
        assert_eq!(state.get("Status").unwrap().as_str(), Some("Faulted"), "{state}");
    };
    refused("", "a,b,a\n1,2,3\n", "line 1, column 3: the column 'a' is there twice");
    refused("", "a,a.b\n1,2\n", "line 1, column 2: the column 'a.b' stands inside of 'a'");
    refused(r#"{"Delimeter":";"}"#, "a\n1\n", "Delimeter");
    refused(r#"{"Delimiter":"::"}"#, "a\n1\n", "Delimiter");
    assert_eq!(server.documents("c"), <[String; 0]>::default());
    // What stands before a fault of the grammar is written, and told.
    refused(
        "",
        "@id,a\nx/1,1\nx/2,\"y\nx/3,3\n",
        "line 3, column 2: the quote that opens here is never closed",
    );
    refused("", "@id,a\nx/1,1\nx/2,\"y\" z\n", "stays: 1 Documents");
    assert_eq!(server.documents("c").len(), 1);
    // What is wrong with a record does not keep the others out.
    let text = "@id,a,@metadata.@collection\nx/2,2,As\n,3,As\nx/4\nx/5,5,As,6\nx/6,\"a\nb\",As\nx/7,7,b/c\n";
    let answer = server.csv("c/smuggler/import/csv", "", "a.csv", text);
    let result = answer.expect_status(200).unwrap().json().unwrap();
    let messages = result.get("Messages").unwrap().to_string();
    for words in [
        "line 3, column 1: '@id': the id is empty",
        "line 4, column 2: 'a': the record has 1 cells, but there are 3 columns",
        "line 5, column 4: the record has 4 cells",
    ] {
        assert!(messages.contains(words), "{words}: {messages}");
    }
    assert_eq!(counts(&result).0, 6, "{result}");
    assert!(server.documents("c").iter().any(|text| text.contains("x/6")), "{result}");
}

/// A dump of documents `id` with the number `n`.
fn dump(documents: &[(&str, u32)]) -> String {
    let documents = documents
        .iter()
        .map(|(id, n)| format!(r#"{{"n":{n},"@metadata":{{"@collection":"Ds","@id":"{id}"}}}}"#))
        .collect::<Vec<_>>();
    format!(r#"{{"BuildVersion":71028,"Docs":[{}]}}"#, documents.join(","))
}

fn encoded(path: &std::path::Path) -> String {
    path.to_str().unwrap().replace('/', "%2F")
}

#[test]
fn dumps_of_an_allowed_folder_are_imported_where_they_lie() {
    let files = tempfile::tempdir().unwrap();
    let root = files.path().join("dumps");
    std::fs::create_dir_all(root.join("day")).unwrap();
    let write = |name: &str, text: &str| std::fs::write(root.join(name), text).unwrap();
    write("day/2.ravendbdump", &dump(&[("d/1", 2), ("d/2", 2)]));
    write("day/1.ravendbdump", &dump(&[("d/1", 1), ("d/3", 1)]));
    write("day/3.txt", &dump(&[("d/4", 3)]));
    write("broken.ravendbdump", &format!("{} rest", dump(&[("d/9", 9)]).trim_end_matches("]}")));
    std::fs::write(files.path().join("secret.dump"), dump(&[("d/5", 5)])).unwrap();
    let server = server(&["--import-dir-root", root.to_str().unwrap()]);
    server.make("d");
    let path =
        format!("/databases/d/admin/smuggler/import-dir?operationId=3&dir={}", encoded(&root.join("day")));
    let result = server.get(&path);
    assert_eq!(counts(&result), (4, 0, 4), "{result}");
    let messages = result.get("Messages").unwrap().to_string();
    assert!(messages.contains("1.ravendbdump: 2 Documents"), "{messages}");
    let state = server.get("/databases/d/operations/state?id=3");
    assert_eq!(state.get("Status").unwrap().as_str(), Some("Completed"), "{state}");
    // In the order of their names, so the later file has the last word; other files are left alone.
    let numbers: Vec<String> =
        server.documents("d").iter().map(|text| text.chars().take(6).collect::<String>()).collect();
    assert_eq!(numbers, [r#"{"n":1"#, r#"{"n":2"#, r#"{"n":2"#]);

    let get = |path: &str| server.client.get(&format!("/databases/d/admin/smuggler/{path}")).unwrap();
    let refused = |path: &str, status: u16, kind: &str, words: &str| {
        let body = get(path).expect_status(status).unwrap().json().unwrap();
        assert!(body.get("Type").unwrap().as_str().unwrap().ends_with(kind), "{body}");
        assert!(body.get("Message").unwrap().as_str().unwrap().contains(words), "{body}");
    };
    get("import?file=day%2F3.txt").expect_status(200).unwrap();
    assert_eq!(server.documents("d").len(), 4);
    refused("import?file=..%2Fsecret.dump", 403, "AuthorizationException", "outside of the folder");
    refused("import?file=..%2Fnone.dump", 403, "AuthorizationException", "outside of the folder");
    refused("import-dir?dir=%2Fetc", 403, "AuthorizationException", "outside of the folder");
    refused("import?file=none.dump", 400, "FileNotFoundException", "none.dump");
    refused("import-dir?dir=day%2F3.txt", 400, "DirectoryNotFoundException", "3.txt");
    refused("import?url=http%3A%2F%2F127.0.0.1%2F", 400, "NotSupportedException", "another address");
    refused("import?file=broken.ravendbdump", 400, "InvalidDataException", "broken.ravendbdump: ");
    assert_eq!(server.documents("d").len(), 5, "what stands before the damage stays");
}

#[test]
fn files_of_the_server_are_not_read_unless_it_is_told_to() {
    let server = server(&[]);
    server.make("d");
    let file = server.folder.path().join("a.dump");
    std::fs::write(&file, dump(&[("d/1", 1)])).unwrap();
    for path in [format!("import?file={}", encoded(&file)), format!("import-dir?dir={}", encoded(&file))] {
        let answer = server.client.get(&format!("/databases/d/admin/smuggler/{path}")).unwrap();
        let body = answer.expect_status(403).unwrap().json().unwrap();
        assert!(body.get("Message").unwrap().as_str().unwrap().contains("--import-dir-root"), "{body}");
    }
    assert_eq!(server.documents("d"), <[String; 0]>::default());
}
