//! Reading a file of CSV into documents: `smuggler/import/csv`.
//!
//! A record that is at fault is counted and told, and the rest goes on. A file that breaks the grammar of CSV ends the
//! import; what was written before stays, and the error says what that is.

use super::batch::{Batch, Pending, Place};
use super::counts::Counts;
use super::csv_document::{Columns, Fault};
use super::csv_options::CsvOptions;
use super::csv_records::{Record, Records};
use super::error::DumpError;
use super::import::Target;
use super::unpack::Unpacker;
use super::{Intake, import};
use crate::error::ServerError;

/// What some editors write in front of UTF-8.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Takes the pieces of a file and writes the documents that are in it.
pub(crate) struct CsvImport<'d> {
    unpacker: Unpacker,
    records: Records,
    writer: Writer<'d>,
}

struct Writer<'d> {
    target: Target<'d>,
    /// The collection of records that name none.
    collection: String,
    columns: Option<Columns>,
    counts: Counts,
    batch: Batch,
}

impl<'d> CsvImport<'d> {
    /// `collection` is that of records that name none.
    pub(crate) fn new(target: Target<'d>, options: CsvOptions, collection: String) -> Self {
        let writer =
            Writer { target, collection, columns: None, counts: Counts::new(), batch: Batch::default() };
        Self { unpacker: Unpacker::new(), records: Records::new(options), writer }
    }
}

impl Intake for CsvImport<'_> {
    fn feed(&mut self, piece: &[u8]) -> Result<(), ServerError> {
        let Self { unpacker, records, writer } = self;
        unpacker.feed(piece, &mut |plain| records.feed(plain, &mut |record| writer.take(record)))
    }

    fn finish(&mut self) -> Result<Counts, ServerError> {
        let Self { unpacker, records, writer } = self;
        let unpacker = std::mem::replace(unpacker, Unpacker::new());
        unpacker.finish(&mut |plain| records.feed(plain, &mut |record| writer.take(record)))?;
        records.finish(&mut |record| writer.take(record))?;
        writer.flush()?;
        Ok(writer.counts.clone())
    }

    fn stopped(mut self: Box<Self>, cause: ServerError) -> ServerError {
        // The first cause is the one to tell.
        let _ = self.writer.flush();
        import::stopped(cause, &self.writer.counts)
    }
}

impl Writer<'_> {
    fn take(&mut self, mut record: Record) -> Result<(), ServerError> {
        let Some(columns) = &self.columns else {
            if let Some(first) = record.cells.first_mut() {
                *first = first.trim_start_matches(BYTE_ORDER_MARK).to_owned();
            }
            self.columns = Some(Columns::new(record, std::mem::take(&mut self.collection))?);
            return Ok(());
        };
        let line = record.line;
        let bytes = record.cells.iter().map(String::len).sum();
        self.counts.add("Documents", |count| count.read += 1);
        match columns.command(record.cells) {
            Ok((id, command)) => {
                self.batch.add(Pending { kind: "Documents", id, place: Place::Line(line), command }, bytes)
            }
            Err(Fault { column, message }) => {
                self.counts.add("Documents", |count| count.errored += 1);
                let message = match columns.name(column) {
                    "" => message,
                    name => format!("'{name}': {message}"),
                };
                self.counts.say(DumpError::Csv { line, column, message }.to_string());
            }
        }
        if self.batch.is_full() { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), ServerError> {
        if self.target.running.is_killed() {
            return Err(ServerError::OperationKilled);
        }
        self.batch.write(self.target.database.documents(), &mut self.counts)?;
        self.target.running.progress(self.counts.to_json());
        Ok(())
    }
}
