//! The sample `build_partitions` against a replay of the events in the order of their times: after any history, in any
//! order of arrival and any batch sizes, each partition has the reason that the replay finds, in both languages.

#![cfg(test)]

use magpie_indexes::Registry;
use magpie_samples::BUILD_PARTITIONS;
use magpie_store::json::Json;
use magpie_store::kv::memory::MemoryKv;
use magpie_store::{Command, Database, NewDocument, Timestamp};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(60);
const KINDS: [&str; 7] = [
    "WantCreated",
    "WantCancelled",
    "JobRunStarted",
    "JobRunFailed",
    "JobRunMissingInputs",
    "JobRunSucceeded",
    "PartitionTainted",
];

/// An event; `partitions` and `missing` are sets of numbers below 3, as bits.
#[derive(Debug, Clone)]
struct Event {
    kind: usize,
    /// The number of the want or the run.
    number: u8,
    partitions: u8,
    missing: u8,
    minute: u8,
}

fn names(bits: u8) -> Vec<String> {
    (0..3).filter(|bit| bits >> bit & 1 == 1).map(|bit| format!("p{bit}")).collect()
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    // What leaves a partition waiting comes more often than runs, which would hide it.
    let kind = prop_oneof![4 => 0..2_usize, 2 => 2..5_usize, 2 => Just(5_usize), 3 => Just(6_usize)];
    let event = (kind, 0..3_u8, 1..8_u8, 1..8_u8, 0..10_u8);
    let event = event.prop_map(|(kind, number, partitions, missing, minute)| {
        // A taint is of one partition: the lowest bit.
        let partitions = if kind == 6 { partitions & partitions.wrapping_neg() } else { partitions };
        Event { kind, number, partitions, missing, minute }
    });
    prop::collection::vec(event, 1..25)
}

fn put(position: usize, event: &Event) -> Command {
    let id = format!("events/{position:03}");
    let text = format!(
        r#"{{"want":"w{number}","run":"r{number}","error":"e","reason":"r","partitions":{partitions:?},"partition":{one:?},
            "missing":{missing:?},"at":"2026-03-02T08:{minute:02}:00Z","@metadata":{{"@collection":"{kind}"}}}}"#,
        number = event.number,
        partitions = names(event.partitions),
        one = names(event.partitions)[0],
        missing = names(event.missing),
        minute = event.minute,
        kind = KINDS[event.kind],
    );
    let document = NewDocument::parse(&id, text.as_bytes()).unwrap();
    Command::Put { id, document, expected: None }
}

/// One partition in the replay.
#[derive(Default)]
struct Partition {
    built: bool,
    tainted: bool,
    /// The last status of each run since the last build, with the step at which it came and what was missing.
    runs: BTreeMap<u8, (&'static str, usize, Vec<String>)>,
    /// Whether each want is open.
    wants: BTreeMap<u8, bool>,
}

impl Partition {
    fn live(&self) -> bool {
        self.built && !self.tainted
    }

    fn apply(&mut self, event: &Event, step: usize) {
        match KINDS[event.kind] {
            // What is live serves a want at once.
            "WantCreated" if self.live() => drop(self.wants.insert(event.number, false)),
            "WantCreated" => drop(self.wants.insert(event.number, true)),
            "WantCancelled" => drop(self.wants.insert(event.number, false)),
            "JobRunStarted" => drop(self.runs.insert(event.number, ("running", step, Vec::new()))),
            "JobRunFailed" => drop(self.runs.insert(event.number, ("failed", step, Vec::new()))),
            "JobRunMissingInputs" => {
                self.runs.insert(event.number, ("missing inputs", step, names(event.missing)));
            }
            "JobRunSucceeded" => *self = Self { built: true, ..Self::default() },
            _ => self.tainted = true,
        }
    }

    fn reason(&self, is_live: impl Fn(&str) -> bool) -> (&'static str, Vec<String>) {
        if self.live() {
            return ("live", Vec::new());
        }
        if self.runs.values().any(|(status, ..)| *status == "running") {
            return ("running", Vec::new());
        }
        match self.runs.values().max_by_key(|(_, step, _)| *step) {
            Some(("failed", ..)) => ("failed", Vec::new()),
            Some((_, _, inputs)) => {
                let missing: Vec<String> = inputs.iter().filter(|name| !is_live(name)).cloned().collect();
                (if missing.is_empty() { "ready" } else { "missing inputs" }, missing)
            }
            None if self.wants.values().any(|open| *open) => ("wanted", Vec::new()),
            None => ("nobody asked", Vec::new()),
        }
    }
}

/// `partition: reason, missing` of every partition that an event names, in order.
fn replay(events: &[Event]) -> Vec<String> {
    let mut in_order: Vec<(usize, &Event)> = events.iter().enumerate().collect();
    in_order.sort_by_key(|(position, event)| (event.minute, *position));
    let mut partitions: BTreeMap<String, Partition> = BTreeMap::new();
    for (step, (_, event)) in in_order.into_iter().enumerate() {
        for name in names(event.partitions) {
            partitions.entry(name).or_default().apply(event, step);
        }
        if KINDS[event.kind] == "JobRunMissingInputs" {
            for name in names(event.missing) {
                partitions.entry(name).or_default();
            }
        }
    }
    let is_live = |name: &str| partitions.get(name).is_some_and(Partition::live);
    let line = |(name, partition): (&String, &Partition)| {
        let (reason, missing) = partition.reason(is_live);
        format!("{name}: {reason}, {missing:?}")
    };
    partitions.iter().map(line).collect()
}

/// The same as the last index has it.
fn indexed(commands: &[Command], batch_size: usize, native: bool) -> Vec<String> {
    let database = Arc::new(Database::open(Arc::new(MemoryKv::new()), "0123456789abcdefghijkl").unwrap());
    let (mut natives, mut definitions) = (Vec::new(), Vec::new());
    for index in BUILD_PARTITIONS.indexes {
        if native {
            natives.push(index.native_index());
        } else {
            definitions.push(index.definition().unwrap());
        }
    }
    let registry = Registry::open(Arc::clone(&database), Arc::new(|| Timestamp(0)), natives).unwrap();
    registry.put(definitions).unwrap();
    for batch in commands.chunks(batch_size) {
        database.write(batch.to_vec(), Timestamp(0)).unwrap();
    }
    let index = registry.get("PartitionWhy").unwrap();
    assert!(registry.wait_until_followed_blocking(&index, database.last_etag(), WAIT));
    let line = |row: Json| {
        let text = |name| row.get(name).and_then(Json::as_str).unwrap();
        let missing = row.get("missing").and_then(Json::as_array).unwrap();
        let missing: Vec<&str> = missing.iter().map(|name| name.as_str().unwrap()).collect();
        format!("{}: {}, {missing:?}", text("partition"), text("reason"))
    };
    let lines = index.results(&database.view()).map(|result| line(result.unwrap())).collect();
    registry.stop();
    lines
}

fn cases() -> u32 {
    if std::env::var_os("SLOW").is_some() { 2_000 } else { 200 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_history_has_the_reasons_of_its_replay(
        (events, order) in events().prop_flat_map(|events| {
            let order = Just((0..events.len()).collect::<Vec<_>>()).prop_shuffle();
            (Just(events), order)
        }),
        batch_size in 1..15_usize,
    ) {
        let commands: Vec<Command> = order.iter().map(|position| put(*position, &events[*position])).collect();
        let expected = replay(&events);
        prop_assert_eq!(&indexed(&commands, batch_size, false), &expected, "in JavaScript");
        prop_assert_eq!(&indexed(&commands, batch_size, true), &expected, "in Rust");
    }
}
