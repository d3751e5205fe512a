//! Every command of the README works: the demo and the tour are run against a real server, in the order of the text.
//!
//! A fenced `sh` block is run as it stands, with the address of the test's server; each line of a `json` block must be
//! in the output of the commands before it.

#![cfg(test)]

use magpie_tests::process::build_folder;
use magpie_tests::workspace;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The address that the README names.
const ADDRESS: &str = "http://127.0.0.1:8080";

/// A fenced block: its language and its text.
fn blocks(markdown: &str) -> Vec<(&str, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(&str, String)> = None;
    for line in markdown.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(language), None) => open = Some((language, String::new())),
            (None, Some((_, text))) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a fenced block is not closed");
    blocks
}

/// A running `./demo`, ended when dropped.
struct Demo {
    process: Child,
    address: String,
}

impl Demo {
    fn start(data: &Path) -> Self {
        let mut process = demo(data).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("Magpie serves at ").map(str::to_owned));
        // It goes on printing; nobody must close the pipe under it.
        std::thread::spawn(move || lines.count());
        Self { address: address.expect("./demo ended before it served"), process }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // SIGTERM, so that the script ends its server; its own end may have come before.
        let _ = Command::new("kill").arg("-TERM").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
    }
}

/// `./demo` on a free port, with this build's target folder.
fn demo(data: &Path) -> Command {
    let mut command = Command::new(workspace().join("demo"));
    let folder = build_folder().unwrap();
    command.env("CARGO_TARGET_DIR", folder.parent().unwrap());
    command.args(["--port", "0", "--data"]).arg(data).stdin(Stdio::null());
    command
}

fn bash(script: &str) -> String {
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", script])
        .current_dir(workspace())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}\n{}: {error}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_tour_works_while_the_demo_runs() {
    let readme = fs::read_to_string(workspace().join("README.md")).unwrap();
    let blocks = blocks(&readme);
    let (first, tour) = blocks.split_first().unwrap();
    assert_eq!(first, &("sh", "./demo\n./check\n".to_owned()), "the README opens with the two commands");

    let data = tempfile::tempdir().unwrap();
    let demo = Demo::start(data.path());
    let mut output = String::new();
    let mut run = 0;
    for (language, text) in tour {
        match *language {
            "sh" => {
                assert!(text.contains(ADDRESS), "not a command against the demo's server: {text}");
                output = bash(&text.replace(ADDRESS, &demo.address));
                assert!(!output.contains("\"Results\":[]"), "{text}\n{output}");
                run += 1;
            }
            "json" => {
                for line in text.lines() {
                    assert!(output.contains(line), "expected {line}\nin {output}");
                }
            }
            other => panic!("a block of an unknown language: {other}\n{text}"),
        }
    }
    assert!(run >= 4, "only {run} blocks were run");
}

#[test]
fn the_demo_answers_its_questions_and_what_it_proposes_works() {
    let data = tempfile::tempdir().unwrap();
    let first = demo(data.path()).arg("--once").output().unwrap();
    let printed = String::from_utf8(first.stdout).unwrap();
    assert!(first.status.success(), "{printed}\n{}", String::from_utf8_lossy(&first.stderr));
    for expected in [
        r#"{"user":"users/grace","jobs":3,"seconds":324002,"processorSeconds":1166402}"#,
        r#"{"job":"jobs/1","files":["aligned.bam","genome.fa","reads_1.fastq","reads_2.fastq"],"count":4}"#,
        r#""due":1256"#,
    ] {
        assert!(printed.contains(expected), "expected {expected}\nin {printed}");
    }

    // A second start on the same folder gives the same answers.
    let second = demo(data.path()).arg("--once").output().unwrap();
    let answers =
        |text: &str| text.lines().filter(|line| line.starts_with(' ')).collect::<Vec<_>>().join("\n");
    assert_eq!(answers(&String::from_utf8(second.stdout).unwrap()), answers(&printed));
}

#[test]
fn the_commands_that_the_demo_prints_work() {
    let data = tempfile::tempdir().unwrap();
    let mut process = demo(data.path()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut proposed = String::new();
    let mut within = false;
    for line in lines {
        within |= line.starts_with("Try this");
        if within && line.starts_with("  ") {
            proposed.push_str(&line);
            proposed.push('\n');
        }
        if line.starts_with("Data is in ") {
            break;
        }
    }
    let ended = Demo { process, address: String::new() };
    let output = bash(&proposed.replace("curl ", "curl -fsS "));
    assert_eq!(proposed.matches("curl ").count(), 3, "{proposed}");
    assert!(output.contains(r#""Inserted":1"#), "{output}");
    assert!(output.contains(r#"{"product":"jam","quantity":1,"price":250,"total":250}"#), "{output}");
    assert!(output.contains(r#""procs":64"#), "{output}");
    drop(ended);
}

#[test]
fn the_scripts_are_executable_and_parse() {
    for script in ["demo", "check", ".ci/run"] {
        bash(&format!("test -x {script} && bash -n {script}"));
    }
    bash("bash -n .ci/setup");
    assert_eq!(bash("grep -c './check' .ci/run").trim(), "1");
}
