//! The program itself: its log line with the address, its exit codes, its signals.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const ANY: &str = "127.0.0.1:0";

fn magpie(folder: &Path, listen: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_magpie"))
        .args(["serve", "--listen", listen, "--database", "events", "--data"])
        .arg(folder)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Reads the log up to the line with the address; gives the address.
fn address(child: &mut Child) -> String {
    let log = BufReader::new(child.stderr.take().unwrap());
    let mut lines = log.lines().map(Result::unwrap);
    let line = lines.find(|line| line.contains("listening on http://")).unwrap();
    // The rest of the log has to be read, or the program stands still when the pipe is full.
    std::thread::spawn(move || lines.for_each(drop));
    line.split("http://").nth(1).unwrap().to_owned()
}

fn refused(mut child: Child) -> String {
    let mut log = String::new();
    child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert!(!child.wait().unwrap().success(), "{log}");
    log
}

#[test]
fn it_says_where_it_listens_and_ends_well_on_a_signal() {
    for signal in ["-TERM", "-INT"] {
        let folder = tempfile::tempdir().unwrap();
        let mut child = magpie(folder.path(), ANY);
        let address = address(&mut child);
        std::net::TcpStream::connect(&address).unwrap();
        let second = refused(magpie(folder.path(), ANY));
        assert!(second.contains("is in use by another server"), "{second}");
        let taken = refused(magpie(tempfile::tempdir().unwrap().path(), &address));
        assert!(taken.contains("cannot listen on"), "{taken}");
        let id = child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn it_refuses_to_be_open_to_all_by_accident() {
    let folder = tempfile::tempdir().unwrap();
    assert!(refused(magpie(folder.path(), "0.0.0.0:0")).contains("--unsecured-access PublicNetwork"));
}
