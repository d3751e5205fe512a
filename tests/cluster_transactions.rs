//! Cluster-wide transactions on one server: documents and compare-exchange values change together or not at all.

#![cfg(test)]

use magpie_store::json::Json;
use magpie_tests::process::ServerProcess;
use magpie_tests::wire::Client;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

struct Fixture {
    server: ServerProcess,
    client: Client,
    _data: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let server = ServerProcess::start(data.path(), &["--database", "t"]).unwrap();
        Self { client: server.client(), server, _data: data }
    }

    /// Status and body of a transaction.
    fn transaction(&self, commands: &str, options: &str) -> (u16, Json) {
        self.transaction_of("7.2.6", commands, options)
    }

    /// The same by a client of that version; an empty one is not told.
    fn transaction_of(&self, version: &str, commands: &str, options: &str) -> (u16, Json) {
        let body = format!(r#"{{"Commands":[{commands}],"TransactionMode":"ClusterWide"}}"#);
        let path = format!("/databases/t/bulk_docs?{options}");
        let told = [("Raven-Client-Version", version)];
        let headers = if version.is_empty() { &[][..] } else { &told[..] };
        let answer = self.client.send("POST", &path, headers, Some(body.as_bytes())).unwrap();
        (answer.status, answer.json().unwrap())
    }

    fn index(&self, key: &str) -> Option<i64> {
        let answer = self.client.get(&format!("/databases/t/cmpxchg?key={key}")).unwrap();
        if answer.status == 404 {
            return None;
        }
        let list = answer.json().unwrap();
        list.get("Results").unwrap().as_array().unwrap()[0].get("Index").and_then(Json::as_i64)
    }

    fn exists(&self, id: &str) -> bool {
        self.client.get(&format!("/databases/t/docs?id={id}")).unwrap().status == 200
    }

    fn end(mut self) {
        assert!(self.server.stop().unwrap(), "the server did not end well");
    }
}

fn put(id: &str, known: &str) -> String {
    let known = if known.is_empty() { "null".to_owned() } else { format!("\"{known}\"") };
    format!(
        r#"{{"Type":"PUT","Id":"{id}","ChangeVector":null,"OriginalChangeVector":{known},"Document":{{"n":1,"@metadata":{{"@collection":"Users"}}}}}}"#
    )
}

fn exchange(key: &str, index: u64) -> String {
    format!(r#"{{"Type":"CompareExchangePUT","Id":"{key}","Document":{{"Object":1}},"Index":{index}}}"#)
}

fn field<'j>(json: &'j Json, place: usize, name: &str) -> &'j str {
    json.get("Results").and_then(Json::as_array).unwrap()[place]
        .get(name)
        .and_then(Json::as_str)
        .unwrap_or("")
}

#[test]
fn documents_and_values_change_together_or_not_at_all() {
    let fixture = Fixture::new();
    let (status, answer) =
        fixture.transaction(&format!("{},{}", put("users/1", ""), exchange("name/ann", 0)), "");
    assert_eq!(status, 201, "{answer}");
    assert!(answer.get("TransactionIndex").and_then(Json::as_i64).unwrap() > 0);
    assert_eq!((field(&answer, 0, "Type"), field(&answer, 1, "Type")), ("PUT", "CompareExchangePUT"));
    let known = field(&answer, 0, "@change-vector").to_owned();
    assert!(fixture.index("rvn-atomic/users/1").is_some());

    // The name is taken: nothing of the transaction stays.
    let (status, answer) =
        fixture.transaction(&format!("{},{}", put("users/2", ""), exchange("name/ann", 0)), "");
    assert_eq!(status, 409);
    let kind = answer.get("Type").and_then(Json::as_str).unwrap();
    assert_eq!(kind, "Raven.Client.Exceptions.ClusterTransactionConcurrencyException");
    assert!(!fixture.exists("users/2") && fixture.index("rvn-atomic/users/2").is_none());

    // A document that the client has not loaded, and one that it has.
    assert_eq!(fixture.transaction(&put("users/1", ""), "").0, 409);
    assert_eq!(fixture.transaction(&put("users/1", ""), "disableAtomicDocumentWrites=true").0, 201);
    assert_eq!(fixture.transaction(&put("users/1", &known), "").0, 409, "it was written since");
    let index = fixture.index("name/ann").unwrap();
    let commands = format!(
        r#"{{"Type":"DELETE","Id":"users/1"}},{{"Type":"CompareExchangeDELETE","Id":"name/ann","Index":{index}}}"#
    );
    let (status, answer) = fixture.transaction(&commands, "");
    assert_eq!(status, 201, "{answer}");
    assert_eq!(field(&answer, 1, "Type"), "CompareExchangeDELETE");
    assert!(!fixture.exists("users/1") && fixture.index("name/ann").is_none());
    assert!(fixture.index("rvn-atomic/users/1").is_none(), "a deleted document has no guard");
    assert_eq!(fixture.transaction(&put("users/1", ""), "").0, 201);
    fixture.end();
}

/// As RavenDB 7.1.5 answered: older clients, and who tells no version, may write a document again without knowing it.
#[test]
fn documents_of_clients_that_know_no_guards_have_none() {
    let fixture = Fixture::new();
    for (version, options, again, guarded) in [
        ("", "", 201, false),
        ("5.1.0", "disableAtomicDocumentWrites=false", 201, false),
        ("5.2.0", "", 409, true),
        ("6.0", "disableAtomicDocumentWrites=false", 409, true),
        ("7.1.5", "disableAtomicDocumentWrites=true", 201, false),
        ("soon", "", 201, false),
    ] {
        let id = format!("users/of{version}");
        assert_eq!(fixture.transaction_of(version, &put(&id, ""), options).0, 201, "{version}");
        assert_eq!(fixture.transaction_of(version, &put(&id, ""), options).0, again, "{version}");
        assert_eq!(fixture.index(&format!("rvn-atomic/{id}")).is_some(), guarded, "{version}");
    }
    fixture.end();
}

#[test]
fn what_a_transaction_cannot_have_is_refused() {
    let fixture = Fixture::new();
    for command in [
        r#"{"Type":"PATCH","Id":"users/1","Patch":{"Script":"this.a = 1"}}"#,
        r#"{"Type":"DELETE","Id":"users/","IdPrefixed":true}"#,
        r#"{"Type":"CompareExchangePUT","Id":"k","Document":{}}"#,
        r#"{"Type":"CompareExchangePUT","Id":"","Document":{},"Index":0}"#,
        r#"{"Type":"CompareExchangePUT","Id":"RVN-atomic/users/1","Document":{},"Index":0}"#,
        r#"{"Id":"users/1"}"#,
        "7",
        &put("users/", ""),
    ] {
        let (status, answer) = fixture.transaction(&format!("{},{command}", put("users/1", "")), "");
        assert_eq!(status, 400, "{command}: {answer}");
    }
    assert!(!fixture.exists("users/1"));
    let (_, answer) = fixture.transaction(&put("users|", ""), "");
    assert_eq!(field(&answer, 0, "@id"), "users/1");
    fixture.end();
}

#[test]
fn of_many_who_want_one_name_one_gets_it() {
    let fixture = Fixture::new();
    let winners = AtomicUsize::new(0);
    thread::scope(|scope| {
        for n in 0..8 {
            let (fixture, winners) = (&fixture, &winners);
            scope.spawn(move || {
                let commands = format!("{},{}", put(&format!("users/{n}"), ""), exchange("name", 0));
                match fixture.transaction(&commands, "").0 {
                    201 => {
                        winners.fetch_add(1, Ordering::SeqCst);
                    }
                    status => assert_eq!(status, 409),
                }
            });
        }
    });
    assert_eq!(winners.into_inner(), 1);
    assert_eq!((0..8).filter(|n| fixture.exists(&format!("users/{n}"))).count(), 1);
    fixture.end();
}
