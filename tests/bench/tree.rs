//! Work per single-event change of one reduce key, as counts: reduce calls and values read.

use magpie_indexes::border::Borders;
use magpie_indexes::keys::{Slot, entry_key};
use magpie_indexes::page_reader::PageReader;
use magpie_indexes::reduce_tree::{ItemChange, PageReducer, ReduceTree, TreeWork};
use magpie_indexes::signature::Signature;
use magpie_indexes::stored_result::Output;
use magpie_indexes::{IndexError, border};
use magpie_store::kv::memory::MemoryKv;
use magpie_store::kv::{Batch, Durability, Kv};

/// Adds decimal numbers.
struct Sum;

impl PageReducer for Sum {
    fn reduce(&mut self, values: &[&[u8]]) -> Result<Output, IndexError> {
        let parse = |value: &&[u8]| std::str::from_utf8(value).ok().and_then(|text| text.parse::<u64>().ok());
        Ok(Output::Value(values.iter().filter_map(parse).sum::<u64>().to_string().into_bytes()))
    }
}

fn apply(
    kv: &MemoryKv,
    borders: border::Borders,
    changes: Vec<ItemChange>,
) -> Result<(TreeWork, usize), IndexError> {
    let mut batch = Batch::new();
    let mut work = TreeWork::default();
    let view = kv.snapshot();
    let mut reader = PageReader::new(view.as_ref(), Slot(1), borders);
    let mut tree = ReduceTree { reader: &mut reader, reduce_key: b"k", batch: &mut batch, work: &mut work };
    tree.apply(changes, &mut Sum)?;
    drop(reader);
    drop(view);
    let bytes = batch.bytes();
    kv.commit(batch, Durability::Buffered)?;
    Ok((work, bytes))
}

/// A tree over one key in memory.
pub struct Sums {
    kv: MemoryKv,
    borders: Borders,
    size: u64,
}

impl Sums {
    /// A tree of so many entries.
    pub fn of(size: u64) -> Result<Self, IndexError> {
        let (kv, borders) = (MemoryKv::new(), Borders::new(&Signature::of("bench")));
        for start in (0..size).step_by(1_000) {
            let entry = |n| ItemChange { key: key(n), value: Some(b"1".to_vec()) };
            apply(&kv, borders, (start..size.min(start + 1_000)).map(entry).collect())?;
        }
        Ok(Self { kv, borders, size })
    }

    /// The `n`-th of changes that are spread over the entries: the work, and the bytes written.
    pub fn change(&self, n: u64) -> Result<(TreeWork, usize), IndexError> {
        let spread = (n * 48_271 + 7) % self.size;
        let change = ItemChange { key: key(spread), value: Some((n + 2).to_string().into_bytes()) };
        apply(&self.kv, self.borders, vec![change])
    }
}

fn key(n: u64) -> Vec<u8> {
    entry_key(&format!("events/{n:012}"), 0)
}

/// Prints one row per tree size: mean and worst of 2,000 changes of entries spread over the key.
pub fn run() -> Result<(), IndexError> {
    const CHANGES: u64 = 2_000;
    println!(
        "| entries under the key | reduce calls, mean / max | values read, mean / max | bytes written, mean |"
    );
    println!("|---|---|---|---|");
    for size in [1_000_u64, 10_000, 100_000, 1_000_000] {
        let sums = Sums::of(size)?;
        let (mut total, mut worst, mut bytes) = (TreeWork::default(), TreeWork::default(), 0);
        for n in 0..CHANGES {
            let (work, written) = sums.change(n)?;
            total.reduce_calls += work.reduce_calls;
            total.values_read += work.values_read;
            worst.reduce_calls = worst.reduce_calls.max(work.reduce_calls);
            worst.values_read = worst.values_read.max(work.values_read);
            bytes += written as u64;
        }
        let mean = |sum: u64| format!("{}.{}", sum / CHANGES, sum * 10 / CHANGES % 10);
        println!(
            "| {size} | {} / {} | {} / {} | {} |",
            mean(total.reduce_calls),
            worst.reduce_calls,
            mean(total.values_read),
            worst.values_read,
            bytes / CHANGES
        );
    }
    Ok(())
}
