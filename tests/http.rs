//! Recorded exchanges of a live RavenDB, replayed against the real server process.
//!
//! `golden_scope.txt` lists the cases that Magpie does not answer alike so far; a listed case that does pass is an
//! error too, so that the list only shrinks. Where the recordings are absent, these tests say so and do nothing.

#![cfg(test)]

use magpie_store::json;
use magpie_tests::golden::replay;
use magpie_tests::material;
use magpie_tests::process::ServerProcess;
use std::collections::BTreeSet;
use std::fs;

/// The lines of `golden_scope.txt` that are not comments.
fn out_of_scope() -> BTreeSet<&'static str> {
    let lines = include_str!("golden_scope.txt").lines().map(str::trim_end);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

/// Replays one recorded area and fails with what changed against `golden_scope.txt`.
fn replay_area(area: &str) {
    let Some(file) = material(&format!("spec/golden/{area}.json")) else { return };
    let recording = json::parse(&fs::read(file).unwrap()).unwrap();
    let data = tempfile::tempdir().unwrap();
    let mut server = ServerProcess::start(data.path(), &[]).unwrap();
    let outcomes = replay(&server.client(), &recording, area);
    assert!(server.stop().unwrap(), "the server did not end well");

    let listed = out_of_scope();
    let mut complaints = Vec::new();
    let mut names = BTreeSet::new();
    let mut passed = 0;
    for outcome in outcomes.iter().filter(|outcome| !outcome.quirk) {
        names.insert(outcome.name.as_str());
        match (&outcome.difference, listed.contains(outcome.name.as_str())) {
            (None, false) => passed += 1,
            (Some(_), true) => {}
            (None, true) => complaints.push(format!("now passes, take it off the list:\n{}", outcome.name)),
            (Some(difference), false) => complaints.push(format!("{}\n      {difference}", outcome.name)),
        }
    }
    for gone in listed.iter().filter(|name| name.starts_with(&format!("{area} |")) && !names.contains(*name))
    {
        complaints.push(format!("listed, but no such case: {gone}"));
    }
    println!("{area}: {passed} of {} cases pass", names.len());
    assert!(complaints.is_empty(), "{} of {}\n{}\n", complaints.len(), names.len(), complaints.join("\n"));
    assert!(passed > 0, "no case of {area} passes");
}

#[test]
fn documents() {
    replay_area("http_docs");
}

#[test]
fn batches() {
    replay_area("http_batch");
}

#[test]
fn patches() {
    replay_area("patch");
}

#[test]
fn indexes() {
    replay_area("http_index");
}

#[test]
fn scripts() {
    replay_area("js_index");
}

#[test]
fn comparisons() {
    replay_area("rql_compare");
}

#[test]
fn orders() {
    replay_area("rql_order");
}

#[test]
fn projections() {
    replay_area("rql_select");
}

#[test]
fn groups() {
    replay_area("rql_group");
}

#[test]
fn bad_queries() {
    replay_area("errors");
}
