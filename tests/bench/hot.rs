//! What a reduce near the root of a large key costs: 32 values, each a set of some hundred names, as rows of text.

use super::tiers;
use super::workload;
use magpie_indexes::function::{IndexFunction, NoLoads};
use magpie_store::json::{self, Json};
use std::error::Error;

/// Values of one reduce call.
const WIDTH: u64 = 32;
/// Names that the values are drawn from.
const POOL: u64 = 2_000;
/// Names of each value.
const NAMES: [u64; 4] = [1, 8, 600, 2_000];

/// Prints one table row for each index and size: nanoseconds of the thread's own time for each name that is read.
///
/// # Errors
/// When a script does not compile or fails.
pub fn run(wanted: &[String]) -> Result<(), Box<dyn Error>> {
    if wanted.iter().any(|name| name == "maps") {
        return maps();
    }
    println!("| index | names of a value | names of the result | ns per name |");
    println!("|---|---|---|---|");
    for [name, map, reduce] in workload::INDEXES.iter().filter(|index| index[0].ends_with("Files")) {
        // For a profiler: one index, one size.
        let is_wanted =
            |what: &str| !wanted.iter().any(|name| name != "hot") || wanted.iter().any(|name| name == what);
        let mut functions = tiers::compiled(map, reduce)?;
        for names in NAMES.into_iter().filter(|names| is_wanted(&format!("{name}{names}"))) {
            row(name, names, &mut *functions)?;
        }
    }
    Ok(())
}

/// Prints nanoseconds for each event that a map of the workload gets.
fn maps() -> Result<(), Box<dyn Error>> {
    println!("| index | ns per event |");
    println!("|---|---|");
    let lines = workload::generate(640).lines;
    let events = lines.iter().map(|line| tiers::document("Events", line)).collect::<Result<Vec<_>, _>>()?;
    for [name, map, reduce] in workload::INDEXES {
        let mut functions = tiers::compiled(map, reduce)?;
        let rate = tiers::rate(|turn| {
            let event = events.get(turn % events.len()).ok_or("no events")?;
            functions.map_stored(event, &mut NoLoads).transpose()?;
            Ok(())
        })?;
        println!("| {name} | {:.0} |", 1e9 / rate);
    }
    Ok(())
}

fn row(index: &str, names: u64, functions: &mut dyn IndexFunction) -> Result<(), Box<dyn Error>> {
    let values: Vec<Vec<u8>> = (0..WIDTH).map(|place| value(index, names, place).into_bytes()).collect();
    let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
    let key = [Json::from("users/17")];
    let reduced = functions.reduce_stored(&key, &values).ok_or("no stored form")??;
    let files = json::parse(&reduced.text)?.get("files").and_then(Json::as_array).map_or(0, <[Json]>::len);
    let rate = tiers::rate(|_| {
        functions.reduce_stored(&key, &values).transpose()?;
        Ok(())
    })?;
    let read = f64::from(u32::try_from(names * WIDTH)?);
    println!("| {index} | {names} | {files} | {:.1} |", 1e9 / rate / read);
    Ok(())
}

/// A value as a reduce below gave it: names of the pool in an order of its own, each once.
fn value(index: &str, names: u64, place: u64) -> String {
    let file = |turn: u64| format!("file-00017-{:05}", (turn * 1_003 + place * 613) % POOL);
    let files: Vec<String> = match index {
        "UserFiles" => (0..names).map(|turn| format!("\"{}\"", file(turn))).collect(),
        _ => (0..names)
            .map(|turn| format!(r#"{{"file":"{}","links":{}}}"#, file(turn), turn % 5 + 1))
            .collect(),
    };
    let files = files.join(",");
    match index {
        "UserFiles" => format!(
            r#"{{"user":"users/17","largest":{},"files":[{files}],"count":{names},"links":{}}}"#,
            place * 1_000_000,
            names * 3
        ),
        _ => format!(r#"{{"job":"users/17","files":[{files}]}}"#),
    }
}
