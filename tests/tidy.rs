//! The rules of this code base that no compiler checks: file sizes and headers, who may name which engine, which
//! crate may depend on which, a complete code map, complete samples.

#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const LINES_MAX: usize = 600;
const ARCHITECTURE_LINES_MAX: usize = 160;
/// Crates with a code map, and what each may depend on.
const LAYERS: [(&str, &[&str]); 4] = [
    ("store", &[]),
    ("indexes", &["store"]),
    ("query", &["store", "indexes"]),
    ("server", &["store", "indexes", "query"]),
];

fn root() -> PathBuf {
    magpie_tests::workspace()
}

/// Every file of the clone whose name ends with one of `endings`, as path relative to the clone and text.
fn files(endings: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if !["target", "data", ".git", "node_modules", "fixtures"].contains(&name.as_str()) {
                    folders.push(path);
                }
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                found.push((relative(&path), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(!found.is_empty(), "no files end with {endings:?}");
    found.sort();
    found
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().to_string_lossy().into_owned()
}

/// Fails with all complaints at once.
fn report(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn rust_files_are_short_and_say_what_they_are() {
    let mut complaints = Vec::new();
    for (path, text) in files(&[".rs"]) {
        let lines = text.lines().count();
        if lines > LINES_MAX {
            complaints.push(format!("{path} has {lines} lines; split it (at most {LINES_MAX})"));
        }
        let header = text.lines().next().and_then(|line| line.strip_prefix("//! "));
        if header.is_none_or(|header| header.len() < 20) {
            complaints.push(format!("{path} does not start with a `//!` line that says what it is"));
        }
        let stem = Path::new(&path).file_stem().unwrap().to_string_lossy().into_owned();
        if ["util", "utils", "common", "helper", "helpers", "types", "manager"].contains(&stem.as_str()) {
            complaints.push(format!("{path}: name the file after what it holds"));
        }
    }
    report(complaints);
}

#[test]
fn engines_and_the_outer_world_are_named_in_their_places_only() {
    // A word, the places that may use it, and why nobody else may.
    let rules: [(&str, &[&str], &str); 10] = [
        ("rocksdb::", &["store/src/kv/rocks.rs"], "only the seam to the disk knows RocksDB"),
        ("boa_", &["indexes/src/script/"], "only the script tier knows boa"),
        ("axum::", &["server/", "samples/job_service/service.rs"], "only the server speaks HTTP"),
        ("hyper::", &["server/"], "only the server speaks HTTP"),
        ("StatusCode", &["server/", "samples/job_service/service.rs"], "only the server knows status codes"),
        ("std::net", &["server/", "tests/"], "only the server opens sockets"),
        (
            "SystemTime",
            &["server/", "tests/", "samples/job_service/events.rs"],
            "below the server times come in as arguments",
        ),
        (
            "std::env::",
            &["server/", "tests/", "samples/job_service/service.rs"],
            "below the server nothing reads the environment",
        ),
        ("getrandom", &["server/", "tests/"], "below the server nothing is random"),
        (
            "println!",
            &["server/src/cli/", "server/src/main.rs", "tests/", "samples/job_service/service.rs"],
            "libraries do not print",
        ),
    ];
    let mut complaints = Vec::new();
    for (path, text) in files(&[".rs"]) {
        if path == "tests/tidy.rs" {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            if line.trim_start().starts_with("//") {
                continue;
            }
            for (word, places, why) in rules {
                if line.contains(word) && !places.iter().any(|place| path.starts_with(place)) {
                    complaints.push(format!("{path}:{}: `{word}`: {why}", number + 1));
                }
            }
        }
    }
    report(complaints);
}

#[test]
fn crates_depend_in_one_direction() {
    let mut complaints = Vec::new();
    let others = [("samples", ["store", "indexes"].as_slice())];
    for (package, allowed) in LAYERS.into_iter().chain(others) {
        let manifest = fs::read_to_string(root().join(package).join("Cargo.toml")).unwrap();
        let mut found = 0;
        for line in manifest.lines() {
            let Some(rest) = line.strip_prefix("magpie-") else { continue };
            let dependency = rest.split(['.', ' ', '=']).next().unwrap();
            found += 1;
            if !allowed.contains(&dependency) {
                complaints.push(format!("{package}/Cargo.toml: {package} must not depend on {dependency}"));
            }
        }
        assert!(
            found > 0 || allowed.is_empty(),
            "{package}/Cargo.toml: no dependency found, is this test right?"
        );
    }
    report(complaints);
}

#[test]
fn the_code_map_is_complete() {
    let architecture = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    // One line for each file is as long as the code is; the rest is to be read in one sitting.
    let lines = architecture.lines().filter(|line| !line.starts_with("- `")).count();
    assert!(
        lines <= ARCHITECTURE_LINES_MAX,
        "ARCHITECTURE.md has {lines} lines besides the code map, at most {ARCHITECTURE_LINES_MAX}"
    );
    let sources = files(&[".rs"]);
    let mut complaints = Vec::new();
    for (package, _) in LAYERS {
        let folder = format!("{package}/src/");
        let mapped = files_named_in_section(&architecture, &folder);
        let existing: BTreeSet<String> =
            sources.iter().filter_map(|(path, _)| path.strip_prefix(&folder)).map(str::to_owned).collect();
        for missing in existing.difference(&mapped) {
            complaints.push(format!("ARCHITECTURE.md: the section of {folder} does not mention `{missing}`"));
        }
        for gone in mapped.difference(&existing) {
            complaints.push(format!("ARCHITECTURE.md: {folder}{gone} does not exist"));
        }
    }
    report(complaints);
}

/// Every `name.rs` or `folder/name.rs` in backticks between the heading that names `folder` and the next heading.
fn files_named_in_section(text: &str, folder: &str) -> BTreeSet<String> {
    let heading = |line: &str| line.starts_with('#') && line.contains(folder.trim_end_matches('/'));
    let section =
        text.lines().skip_while(|line| !heading(line)).skip(1).take_while(|line| !line.starts_with('#'));
    section
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .filter(|code| code.ends_with(".rs"))
        .map(|code| code.strip_prefix(folder).unwrap_or(code).to_owned())
        .collect()
}

#[test]
fn nothing_points_to_one_machine_or_waits_for_somebody() {
    // In two pieces, so that this file does not hold what it looks for.
    let words = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("#[ig", "nore"),
        concat!("FIX", "ME"),
        concat!("TO", "DO:"),
    ];
    let mut complaints = Vec::new();
    let endings =
        [".rs", ".md", ".toml", ".js", ".json", ".ndjson", "check", "demo", "justfile", "setup", "run"];
    for (path, text) in files(&endings) {
        for (number, line) in text.lines().enumerate() {
            for word in words.iter().filter(|word| line.contains(**word)) {
                complaints.push(format!("{path}:{}: `{word}`", number + 1));
            }
        }
    }
    report(complaints);
}

#[test]
fn every_sample_is_whole_and_listed() {
    let mut folders = BTreeSet::new();
    for entry in fs::read_dir(root().join("samples")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "src" {
            for file in ["events.ndjson", "queries.json", "README.md"] {
                assert!(path.join(file).is_file(), "samples/{name}/{file} is missing");
            }
            let inner = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path());
            let mut indexes: Vec<PathBuf> = inner.filter(|path| path.is_dir()).collect();
            if indexes.is_empty() {
                indexes.push(path);
            }
            for index in indexes {
                for file in ["index.js", "index.rs"] {
                    assert!(index.join(file).is_file(), "{}/{file} is missing", index.display());
                }
            }
            folders.insert(name);
        }
    }
    let listed: BTreeSet<String> =
        magpie_samples::SAMPLES.iter().map(|sample| sample.folder.to_owned()).collect();
    assert_eq!(folders, listed, "the folders of samples/ and magpie_samples::SAMPLES");
}
