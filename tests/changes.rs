//! Change notifications: who is told what, who is cut off, and that nobody keeps a database or a server from closing.

#![cfg(test)]

use magpie_store::json::{self, Json};
use magpie_tests::process::ServerProcess;
use magpie_tests::wire::Client;
use std::net::TcpStream;
use std::time::Duration;
use tungstenite::{Message, WebSocket};

/// A server with a database `c`.
struct Fixture {
    server: ServerProcess,
    client: Client,
    _data: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let server = ServerProcess::start(data.path(), &["--database", "c"]).unwrap();
        Self { client: server.client(), server, _data: data }
    }

    fn listener(&self) -> Listener {
        let address = self.server.url().trim_start_matches("http://");
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let (socket, _) = tungstenite::client(format!("ws://{address}/databases/c/changes"), stream).unwrap();
        Listener { socket, last_command: 0, waiting: Vec::new() }
    }

    /// Writes a document of the collection Users.
    fn put(&self, id: &str) {
        self.batch(&format!(
            r#"{{"Type":"PUT","Id":"{id}","Document":{{"@metadata":{{"@collection":"Users"}}}}}}"#
        ));
    }

    fn batch(&self, commands: &str) {
        let body = format!(r#"{{"Commands":[{commands}]}}"#);
        self.client.post("/databases/c/bulk_docs", &body).unwrap().expect_status(201).unwrap();
    }

    fn end(mut self) {
        assert!(self.server.stop().unwrap(), "the server did not end well");
    }
}

/// One connection.
struct Listener {
    socket: WebSocket<TcpStream>,
    last_command: u64,
    /// Changes of a message that was read.
    waiting: Vec<Json>,
}

impl Listener {
    /// Sends a command and waits until it is confirmed.
    fn command(&mut self, command: &str, parameter: &str) {
        self.last_command += 1;
        let id = self.last_command;
        let text = format!(r#"{{"CommandId":{id},"Command":"{command}","Param":"{parameter}"}}"#);
        self.socket.send(Message::text(text)).unwrap();
        let answer = self.next();
        assert_eq!(answer.to_string(), format!(r#"{{"CommandId":{id},"Type":"Confirm"}}"#));
    }

    /// The next message; those of a frame one by one.
    fn next(&mut self) -> Json {
        loop {
            if !self.waiting.is_empty() {
                return self.waiting.remove(0);
            }
            match self.socket.read().unwrap() {
                Message::Text(text) => match json::parse(text.trim().as_bytes()).unwrap() {
                    Json::Array(messages) => self.waiting = messages,
                    other => panic!("every frame is an array, as the Python client wants it: {other}"),
                },
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The next change as `Type what name`.
    fn told(&mut self) -> String {
        let message = self.next();
        let value = message.get("Value").unwrap();
        let text = |json: &Json, name: &str| json.get(name).and_then(Json::as_str).unwrap_or("").to_owned();
        match text(&message, "Type").as_str() {
            "DocumentChange" => {
                assert!(text(value, "ChangeVector").starts_with("A:"), "{message}");
                format!("{} {} of {}", text(value, "Type"), text(value, "Id"), text(value, "CollectionName"))
            }
            "IndexChange" => format!("{} {}", text(value, "Type"), text(value, "Name")),
            "OperationStatusChange" => {
                let id = value.get("OperationId").and_then(Json::as_i64).unwrap();
                format!("{} operation {id}", text(value.get("State").unwrap(), "Status"))
            }
            other => panic!("{other}"),
        }
    }

    /// How the server ends the connection: code and reason.
    fn ending(&mut self) -> (u16, String) {
        loop {
            match self.socket.read() {
                Ok(Message::Close(Some(frame))) => return (frame.code.into(), frame.reason.to_string()),
                Ok(_) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[test]
fn documents_are_told_to_those_who_watch_them() {
    let fixture = Fixture::new();
    fixture.put("users/before");
    let mut of_one = fixture.listener();
    of_one.command("watch-doc", "USERS/1");
    let mut of_prefix = fixture.listener();
    of_prefix.command("watch-prefix", "users/");
    let mut of_all = fixture.listener();
    of_all.command("watch-docs", "");
    of_all.command("watch-doc", "users/1");
    let mut of_orders = fixture.listener();
    of_orders.command("watch-collection", "orders");

    fixture.put("users/2");
    assert_eq!(of_prefix.told(), "Put users/2 of Users");
    assert_eq!(of_all.told(), "Put users/2 of Users");
    fixture.batch(r#"{"Type":"PUT","Id":"o/1","Document":{"@metadata":{"@collection":"Orders"}}}"#);
    assert_eq!(of_all.told(), "Put o/1 of Orders");
    assert_eq!(of_orders.told(), "Put o/1 of Orders");
    fixture.put("Users/1");
    assert_eq!(of_one.told(), "Put Users/1 of Users");
    assert_eq!(of_prefix.told(), "Put Users/1 of Users");
    assert_eq!(of_all.told(), "Put Users/1 of Users", "once, although it is watched twice");
    of_one.command("unwatch-doc", "users/1");
    of_one.command("watch-doc", "users/2");
    fixture.batch(r#"{"Type":"DELETE","Id":"users/1"},{"Type":"DELETE","Id":"users/2"}"#);
    assert_eq!(of_one.told(), "Delete users/2 of Users");
    assert_eq!(of_all.told(), "Delete Users/1 of Users");
    fixture.end();
}

#[test]
fn indexes_and_operations_are_told() {
    let fixture = Fixture::new();
    let mut listener = fixture.listener();
    listener.command("watch-index", "Names");
    listener.command("watch-operations", "");
    fixture.put("users/1");
    let index = r#"{"Indexes":[{"Name":"Names","Maps":["map('Users', u => ({ n: 1 }))"]},
                               {"Name":"Other","Maps":["map('Users', u => ({ n: 1 }))"]}]}"#;
    let put = |text: &str| {
        fixture.client.send("PUT", "/databases/c/admin/indexes", &[], Some(text.as_bytes())).unwrap()
    };
    put(index).expect_status(201).unwrap();
    assert_eq!(listener.told(), "IndexAdded Names");
    assert_eq!(listener.told(), "BatchCompleted Names");
    put(&index.replace("n: 1", "n: 2")).expect_status(201).unwrap();
    while listener.told() != "SideBySideReplace Names" {}
    let locked = r#"{"IndexNames":["Names"],"Mode":"LockedIgnore"}"#;
    fixture.client.post("/databases/c/indexes/set-lock", locked).unwrap();
    assert_eq!(listener.told(), "LockModeChanged Names");
    fixture.client.send("DELETE", "/databases/c/indexes?name=names", &[], None).unwrap();
    assert_eq!(listener.told(), "IndexRemoved Names");

    let patch = r#"{"Query":{"Query":"from Users update { this.x = 1 }"}}"#;
    fixture.client.send("PATCH", "/databases/c/queries", &[], Some(patch.as_bytes())).unwrap();
    let mut last = listener.told();
    while last == "InProgress operation 1" {
        last = listener.told();
    }
    assert_eq!(last, "Completed operation 1");
    let failing = patch.replace("this.x = 1", "throw 'no'");
    fixture.client.send("PATCH", "/databases/c/queries", &[], Some(failing.as_bytes())).unwrap();
    last = listener.told();
    while last == "InProgress operation 2" {
        last = listener.told();
    }
    assert_eq!(last, "Faulted operation 2", "the end of an operation is told once");
    fixture.end();
}

#[test]
fn wrong_commands_are_answered_and_plain_requests_refused() {
    let fixture = Fixture::new();
    let mut listener = fixture.listener();
    for command in
        ["{", r#"{"CommandId":1,"Command":"watch-nothing"}"#, r#"{"Command":"watch-operation","Param":"x"}"#]
    {
        listener.socket.send(Message::text(command)).unwrap();
        let answer = listener.next();
        assert_eq!(answer.get("Type").and_then(Json::as_str), Some("Error"), "{command}: {answer}");
    }
    listener.command("watch-docs", "");
    fixture.put("users/1");
    assert_eq!(listener.told(), "Put users/1 of Users", "the connection goes on");
    listener.socket.send(Message::binary(vec![1, 2, 3])).unwrap();
    assert_eq!(listener.ending().0, 1003);
    let answer = fixture.client.get("/databases/c/changes").unwrap();
    assert_eq!(answer.status, 400);
    let answer = fixture.client.get("/databases/none/changes").unwrap();
    assert!(String::from_utf8(answer.body).unwrap().contains("DatabaseDoesNotExistException"));
    fixture.end();
}

#[test]
fn a_connection_that_does_not_read_is_cut_off_and_the_others_are_not() {
    let fixture = Fixture::new();
    let mut asleep = fixture.listener();
    asleep.command("watch-docs", "");
    let mut awake = fixture.listener();
    awake.command("watch-doc", "last");
    // More than the system's buffers of a connection and the server's queue hold.
    for batch in 0..100 {
        let commands: Vec<String> = (0..1000)
            .map(|n| format!(r#"{{"Type":"PUT","Id":"{}/{batch}/{n}","Document":{{}}}}"#, "x".repeat(200)))
            .collect();
        fixture.batch(&commands.join(","));
    }
    fixture.put("last");
    assert_eq!(awake.told(), "Put last of Users");
    let (code, reason) = asleep.ending();
    assert_eq!((code, reason.as_str()), (1008, "changes were not read fast enough"));
    fixture.put("last");
    assert_eq!(awake.told(), "Put last of Users");
    fixture.end();
}

#[test]
fn a_deleted_database_ends_its_connections() {
    let fixture = Fixture::new();
    let mut listener = fixture.listener();
    listener.command("watch-docs", "");
    fixture.put("users/1");
    assert_eq!(listener.told(), "Put users/1 of Users");
    let body = r#"{"DatabaseNames":["c"],"HardDelete":true}"#;
    let answer = fixture.client.send("DELETE", "/admin/databases", &[], Some(body.as_bytes())).unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(listener.ending(), (1001, "the database was closed".to_owned()));
    fixture.end();
}

#[test]
fn a_server_that_stops_ends_its_connections() {
    let mut fixture = Fixture::new();
    let mut listener = fixture.listener();
    listener.command("watch-docs", "");
    assert!(fixture.server.stop().unwrap());
    assert_eq!(listener.ending(), (1012, "the server is stopping".to_owned()));
}
