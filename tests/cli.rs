//! The client verbs of `magpie` against a running server: what they print, and how they end.

#![cfg(test)]

use magpie_store::json::{self, Json};
use magpie_tests::process::{ServerProcess, binary};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

struct Ended {
    success: bool,
    out: String,
    err: String,
}

fn magpie(server: &ServerProcess, arguments: &[&str]) -> Ended {
    let output =
        Command::new(binary().unwrap()).args(arguments).args(["--url", server.url()]).output().unwrap();
    Ended {
        success: output.status.success(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn server() -> (tempfile::TempDir, ServerProcess) {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(&folder.path().join("data"), &[]).unwrap();
    (folder, server)
}

fn sample(file: &str) -> String {
    magpie_tests::workspace().join("samples/shopping_cart").join(file).display().to_string()
}

#[test]
fn load_index_put_and_query_work_together() {
    let (folder, server) = server();
    let put = magpie(&server, &["index", "put", &sample("index.js"), "--name", "ShoppingCart"]);
    assert_eq!((put.success, put.out.trim()), (true, "ShoppingCart"), "{}", put.err);
    let zipped = folder.path().join("events.ndjson.gz");
    let mut gzip =
        flate2::write::GzEncoder::new(std::fs::File::create(&zipped).unwrap(), flate2::Compression::fast());
    gzip.write_all(&std::fs::read(sample("events.ndjson")).unwrap()).unwrap();
    gzip.finish().unwrap();
    let load = magpie(&server, &["load", &zipped.display().to_string(), "--json"]);
    assert!(load.success, "{}", load.err);
    let answers = json::parse(load.out.as_bytes()).unwrap();
    assert_eq!(answers.as_array().unwrap()[0].get("Failed"), Some(&Json::from(0_i64)), "{answers}");
    let question = "from index 'ShoppingCart' where cart = $cart select due, paid";
    let query = magpie(&server, &["query", question, "--parameter", "cart=carts/1"]);
    assert!(query.success, "{}", query.err);
    assert!(query.out.starts_with(r#"{"due":1256,"paid":1256"#), "{}", query.out);
    assert_eq!(query.out.lines().count(), 1);
}

#[test]
fn a_broken_law_is_told_when_the_index_is_put() {
    let (folder, server) = server();
    let script = folder.path().join("Lengths.js");
    let text = "map('AddItemToCart', e => ({ cart: e.cart, n: 1 }))\ngroupBy(x => x.cart).aggregate(g => ({ cart: g.key, n: g.values.length }))";
    std::fs::write(&script, text).unwrap();
    assert!(magpie(&server, &["load", &sample("events.ndjson")]).success);
    let put = magpie(&server, &["index", "put", &script.display().to_string()]);
    assert_eq!((put.success, put.out.trim()), (true, "Lengths"), "{}", put.err);
    assert!(put.err.starts_with("Laws: Broken: "), "{}", put.err);
    assert!(
        put.err.contains("  reduce(reduce(1, 2), reduce(3)) = ") && put.err.contains("  Hint: "),
        "{}",
        put.err
    );
}

#[test]
fn what_makes_scripts_slow_is_told_when_the_index_is_put() {
    let (folder, server) = server();
    let script = folder.path().join("Slow.js");
    std::fs::write(&script, "map('Things', t => {\n  class Box {}\n  return { name: t.name }\n})").unwrap();
    let put = magpie(&server, &["index", "put", &script.display().to_string()]);
    assert_eq!((put.success, put.out.trim()), (true, "Slow"), "{}", put.err);
    assert!(
        put.err.contains("in the JavaScript engine") && put.err.contains("a class (line 2, column "),
        "{}",
        put.err
    );
    let put = magpie(&server, &["index", "put", &sample("index.js"), "--name", "ShoppingCart"]);
    assert!(!put.err.contains("Scripts"), "{}", put.err);
    let client = server.client();
    for (name, expected) in [
        ("Slow", r#"{"Tier":"boa","Why":"a class (line 2, column 9)"}"#),
        ("ShoppingCart", r#"{"Tier":"compiled","HandedOver":0,"HandedOverFor":null}"#),
    ] {
        let stats =
            client.get(&format!("/databases/magpie/indexes/stats?name={name}")).unwrap().json().unwrap();
        let stats = stats.to_string();
        assert!(stats.contains(&format!(r#""Scripts":{expected}"#)), "{stats}");
    }
}

#[test]
fn refusals_say_what_is_wrong_and_end_with_a_failure() {
    let (folder, server) = server();
    let bad = folder.path().join("bad.ndjson");
    std::fs::write(&bad, "{\"id\":\"a\",\"type\":\"T\"}\n{bad\n").unwrap();
    let bad = bad.display().to_string();
    let abort = magpie(&server, &["load", &bad]);
    assert!(!abort.success && abort.err.contains("line 2"), "{}", abort.err);
    assert_eq!(magpie(&server, &["query", "from T"]).out, "", "none of the file is loaded");
    let skip = magpie(&server, &["load", &bad, "--on-error", "skip"]);
    assert!(!skip.success && skip.out.contains("1 loaded, 1 left out"), "{}", skip.out);
    assert_eq!(magpie(&server, &["query", "from T"]).out.lines().count(), 1, "the good line is loaded");
    for (arguments, message) in [
        (["query", "from index 'Nope'"], "no index of that name"),
        (["query", "from"], "1:"),
        (["load", "/nowhere.ndjson"], "cannot be read"),
    ] {
        let ended = magpie(&server, &arguments);
        assert!(!ended.success && ended.err.contains(message), "{arguments:?}: {}", ended.err);
    }
    let nobody = Command::new(binary().unwrap())
        .args(["query", "from T", "--url", "http://127.0.0.1:1"])
        .output()
        .unwrap();
    assert!(!nobody.status.success());
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("is the server running there?"));
}

#[test]
fn results_are_explained_and_indexes_verified() {
    let (folder, server) = server();
    let script = folder.path().join("Days.js");
    let text = "map('E', e => ({ day: e.day, n: e.n }))\n
groupBy(x => x.day).aggregate(g => ({ day: g.key, n: g.values.reduce((s, v) => s + v.n, 0) }))\n";
    std::fs::write(&script, text).unwrap();
    let events = folder.path().join("events.ndjson");
    std::fs::write(&events, "{\"id\":\"a\",\"type\":\"E\",\"day\":\"d\",\"n\":3}\n{\"id\":\"b\",\"type\":\"E\",\"day\":\"d\",\"n\":4}\n")
        .unwrap();
    assert!(magpie(&server, &["index", "put", &script.display().to_string()]).success);
    assert!(magpie(&server, &["load", &events.display().to_string()]).success);
    assert!(magpie(&server, &["query", "from index 'Days'"]).out.contains(r#""n":7"#));
    let explained = magpie(&server, &["explain", "Days", "d", "--without"]);
    assert_eq!(
        explained.out,
        "Days {\"day\":\"d\"} => {\"day\":\"d\",\"n\":7}\n  'a' #0: {\"day\":\"d\",\"n\":3}\n      without it: \
         {\"day\":\"d\",\"n\":4} \n  'b' #0: {\"day\":\"d\",\"n\":4}\n      without it: {\"day\":\"d\",\"n\":3} \n"
    );
    assert!(!magpie(&server, &["explain", "Nope", "d"]).success);
    let verified = magpie(&server, &["verify", "--repair"]);
    assert!(
        verified.success && verified.out.starts_with("Days: 0 damages; 2 documents, 2 entries, 1 keys"),
        "{}",
        verified.out
    );
    let why = magpie(&server, &["index", "why", "days"]);
    assert_eq!((why.success, why.out.trim()), (true, "Index Days is up to date."), "{}", why.err);
    assert!(!magpie(&server, &["index", "why", "Nope"]).success);
}

/// `magpie index test` on a folder: its exit code and what it printed.
fn index_test(folder: &Path, more: &[&str]) -> (Option<i32>, String) {
    let run =
        Command::new(binary().unwrap()).args(["index", "test"]).arg(folder).args(more).output().unwrap();
    (run.status.code(), String::from_utf8(run.stdout).unwrap())
}

#[test]
fn index_test_runs_a_folder_without_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("Days");
    std::fs::create_dir(&folder).unwrap();
    let write = |file: &str, text: &str| std::fs::write(folder.join(file), text).unwrap();
    write(
        "index.js",
        "map('Event', e => ({ day: e.day, n: e.n }));\n\ngroupBy(x => x.day).aggregate(g => ({ day: g.key, n: g.values.reduce((s, v) => s + v.n, 0) }));\n",
    );
    assert_eq!(index_test(&folder, &[]).0, Some(2), "there are no fixtures");
    write(
        "fixtures.ndjson",
        "{\"type\":\"Event\",\"day\":\"b\",\"n\":1}\n{\"type\":\"Event\",\"day\":\"a\",\"n\":2}\n\n{\"type\":\"Event\",\"day\":\"b\",\"n\":3}\n",
    );
    assert_eq!(index_test(&folder, &[]).0, Some(2), "there is nothing to compare with");
    let (code, out) = index_test(&folder, &["--update"]);
    assert_eq!(code, Some(0), "{out}");
    let expected = std::fs::read_to_string(folder.join("expected.json")).unwrap();
    assert_eq!(expected, "[\n  {\"day\":\"a\",\"n\":2},\n  {\"day\":\"b\",\"n\":4}\n]\n");
    let (code, out) = index_test(&folder, &[]);
    assert!(code == Some(0) && out.starts_with("ok"), "{out}");

    write("expected.json", "[{\"day\":\"a\",\"n\":2},{\"day\":\"b\",\"n\":5}]");
    let (code, out) = index_test(&folder, &[]);
    assert_eq!(code, Some(1), "{out}");
    let difference =
        "    {\"day\":\"a\",\"n\":2}\n  - {\"day\":\"b\",\"n\":5}\n  + {\"day\":\"b\",\"n\":4}\n";
    assert!(out.contains(difference), "{out}");

    write("expected.json", &expected);
    write("index.json", "{\"Nmae\":\"Other\"}");
    let (code, out) = index_test(&folder, &[]);
    assert!(code == Some(2) && out.contains("did you mean 'Name'"), "{out}");
    write("index.json", r#"{"Name":"Other","Maps":["map('Event', e => ({ day: e.day, n: 1 }))"]}"#);
    let (code, out) = index_test(&folder, &[]);
    assert!(code == Some(1) && out.contains("+ {\"day\":\"b\",\"n\":2}"), "the map is another: {out}");

    std::fs::remove_file(folder.join("index.json")).unwrap();
    write("index.js", "map('Event', e => { if (e.n > 2) throw new Error('large'); return { n: e.n }; });\n");
    write("expected.json", "[{\"n\":1},{\"n\":2}]");
    let (code, out) = index_test(&folder, &[]);
    assert!(code == Some(1) && out.contains("large"), "what fails is no success: {out}");
}

#[test]
fn a_server_in_memory_keeps_nothing() {
    let run = |put: bool| {
        let mut child = Command::new(binary().unwrap())
            .args(["serve", "--in-memory", "--listen", "127.0.0.1:0"])
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut out, &mut line).unwrap();
        let url = line.trim().strip_prefix("Server available on: ").unwrap().to_owned();
        let client = magpie_tests::wire::Client::new(&url);
        let path = "/databases/magpie/docs?id=a";
        if put {
            client.put(path, r#"{"n":1}"#).unwrap().expect_status(201).unwrap();
            client.get(path).unwrap().expect_status(200).unwrap();
        } else {
            client.get(path).unwrap().expect_status(404).unwrap();
        }
        child.kill().unwrap();
        child.wait().unwrap();
    };
    run(true);
    run(false);
    assert!(!Path::new("data").exists(), "no data folder is made");
}

#[test]
fn rows_are_printed_as_csv() {
    let (_folder, server) = server();
    let body = r#"{"Commands":[{"Type":"PUT","Id":"o/1","Document":{"name":"a, \"b\"","n":1.50,"to":{"city":"X"},"@metadata":{"@collection":"O"}}}]}"#;
    server.client().post("/databases/magpie/bulk_docs", body).unwrap().expect_status(201).unwrap();
    let query = magpie(&server, &["query", "from O", "--csv"]);
    assert_eq!(query.out, "@id,name,n,to.city\r\no/1,\"a, \"\"b\"\"\",1.50,X\r\n", "{}", query.err);
    let query = magpie(&server, &["query", "from O", "--csv=n,@id"]);
    assert_eq!(query.out, "n,@id\r\n1.50,o/1\r\n", "{}", query.err);
}

#[test]
fn a_dump_is_exported_and_imported_with_a_report() {
    let (folder, server) = server();
    let body =
        r#"{"Commands":[{"Type":"PUT","Id":"o/1","Document":{"n":1.50,"@metadata":{"@collection":"O"}}}]}"#;
    server.client().post("/databases/magpie/bulk_docs", body).unwrap().expect_status(201).unwrap();
    let file = folder.path().join("x.ravendbdump").display().to_string();
    let export = magpie(&server, &["export", &file, "--zstd"]);
    assert!(export.success && export.out.contains("Documents: 1 taken"), "{} {}", export.out, export.err);
    let import = magpie(&server, &["import", &file]);
    assert!(import.success && import.out.contains("Documents: 1 taken"), "{} {}", import.out, import.err);
    std::fs::write(&file, b"{\"BuildVersion\":1,\"Docs\":[{").unwrap();
    let import = magpie(&server, &["import", &file]);
    assert!(!import.success && import.err.contains("cut off at byte 27"), "{}", import.err);
    let missing = magpie(&server, &["export", "/nowhere/x.ravendbdump"]);
    assert!(!missing.success && missing.err.contains("/nowhere/x.ravendbdump"), "{}", missing.err);
}
