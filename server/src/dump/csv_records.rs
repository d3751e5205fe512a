//! CSV (RFC 4180) in pieces of any size to records of text, in bounded memory.
//!
//! It is strict where leniency would give other data than the file has: a quote that is never closed, and text behind a
//! closing quote, end the import with their line, where usual readers take the rest of the file for one cell.

use super::csv_options::CsvOptions;
use super::error::DumpError;
use crate::limits::{CSV_COLUMNS_MAX, DUMP_ITEM_BYTES_MAX};

/// A record and the line that it begins in, counted from 1.
pub(crate) struct Record {
    pub(crate) line: u64,
    pub(crate) cells: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// At the beginning of a record.
    Record,
    /// At the beginning of a cell.
    Cell,
    Plain,
    Quoted,
    /// Behind a quote in a quoted cell: its end, or the first half of a doubled one.
    Quote,
    /// Behind the end of a quoted cell.
    Closed,
    Comment,
}

/// Takes bytes, gives records.
pub(crate) struct Records {
    options: CsvOptions,
    state: State,
    /// The line of the next byte, and that of the record and of the quote that are open.
    line: u64,
    begin: u64,
    quote: u64,
    cells: Vec<String>,
    cell: Vec<u8>,
    bytes: usize,
    after_return: bool,
}

impl Records {
    pub(crate) fn new(options: CsvOptions) -> Self {
        Self {
            options,
            state: State::Record,
            line: 1,
            begin: 1,
            quote: 1,
            cells: Vec::new(),
            cell: Vec::new(),
            bytes: 0,
            after_return: false,
        }
    }

    /// Takes the next bytes and hands on each record that they complete.
    ///
    /// # Errors
    /// [`DumpError::Csv`], and what `sink` answers.
    pub(crate) fn feed<E: From<DumpError>>(
        &mut self,
        bytes: &[u8],
        sink: &mut dyn FnMut(Record) -> Result<(), E>,
    ) -> Result<(), E> {
        for byte in bytes {
            // A line ends with \n, \r\n or \r.
            let is_rest = std::mem::replace(&mut self.after_return, *byte == b'\r') && *byte == b'\n';
            let is_end = !is_rest && matches!(byte, b'\n' | b'\r');
            if self.state == State::Quoted || !(is_end || is_rest) {
                self.byte(*byte)?;
            } else if is_end {
                self.end_of_line(sink)?;
            }
            self.line += u64::from(is_end);
        }
        Ok(())
    }

    /// The end of the file; the last line needs no line end.
    ///
    /// # Errors
    /// As [`Self::feed`].
    pub(crate) fn finish<E: From<DumpError>>(
        &mut self,
        sink: &mut dyn FnMut(Record) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.state == State::Quoted {
            let message = "the quote that opens here is never closed".to_owned();
            return Err(DumpError::Csv { line: self.quote, column: self.column(), message }.into());
        }
        self.end_of_line(sink)
    }

    fn byte(&mut self, byte: u8) -> Result<(), DumpError> {
        let options = &self.options;
        let (is_quote, is_delimiter) = (byte == options.quote, byte == options.delimiter);
        let is_blank = options.trim && matches!(byte, b' ' | b'\t') && !is_delimiter;
        match self.state {
            State::Comment => {}
            State::Record if Some(byte) == options.comment => self.state = State::Comment,
            State::Record | State::Cell => {
                if self.state == State::Record {
                    self.begin = self.line;
                    self.state = State::Cell;
                }
                if is_quote {
                    // Blanks before it are no part of the cell.
                    self.cell.clear();
                    self.quote = self.line;
                    self.state = State::Quoted;
                } else if is_delimiter {
                    self.end_of_cell(false)?;
                } else {
                    if !is_blank {
                        self.state = State::Plain;
                    }
                    self.push(byte)?;
                }
            }
            State::Plain if is_delimiter => self.end_of_cell(false)?,
            State::Quoted if is_quote => self.state = State::Quote,
            State::Plain | State::Quoted => self.push(byte)?,
            State::Quote if is_quote => {
                self.state = State::Quoted;
                self.push(byte)?;
            }
            State::Quote | State::Closed if is_delimiter => self.end_of_cell(true)?,
            State::Quote | State::Closed if is_blank => self.state = State::Closed,
            State::Quote | State::Closed => {
                let message = "text stands behind a closing quote; double the quotes inside of a quoted cell";
                return Err(self.fault(message.to_owned()));
            }
        }
        Ok(())
    }

    fn push(&mut self, byte: u8) -> Result<(), DumpError> {
        self.bytes += 1;
        if self.bytes > DUMP_ITEM_BYTES_MAX {
            let message = format!(
                "the record is longer than {DUMP_ITEM_BYTES_MAX} bytes (dump_item_bytes_max); is a quote missing, or \
                 another Delimiter or Quote meant?"
            );
            return Err(DumpError::Csv { line: self.begin, column: self.column(), message });
        }
        self.cell.push(byte);
        Ok(())
    }

    fn end_of_cell(&mut self, is_quoted: bool) -> Result<(), DumpError> {
        if self.cells.len() >= CSV_COLUMNS_MAX {
            return Err(self.fault(format!("there are more than {CSV_COLUMNS_MAX} cells (csv_columns_max)")));
        }
        let text = String::from_utf8(std::mem::take(&mut self.cell));
        let Ok(mut text) = text else {
            return Err(self.fault("the text is not UTF-8; convert the file".to_owned()));
        };
        let inside = self.options.trim_inside_quotes;
        if if is_quoted { inside } else { self.options.trim } {
            text = text.trim().to_owned();
        }
        self.cells.push(text);
        self.state = State::Cell;
        Ok(())
    }

    fn end_of_line<E: From<DumpError>>(
        &mut self,
        sink: &mut dyn FnMut(Record) -> Result<(), E>,
    ) -> Result<(), E> {
        match std::mem::replace(&mut self.state, State::Record) {
            // Empty lines are none.
            State::Record | State::Comment => return Ok(()),
            state => self.end_of_cell(matches!(state, State::Quote | State::Closed))?,
        }
        self.state = State::Record;
        self.bytes = 0;
        sink(Record { line: self.begin, cells: std::mem::take(&mut self.cells) })
    }

    /// The column that is being read, counted from 1.
    fn column(&self) -> usize {
        self.cells.len() + 1
    }

    fn fault(&self, message: String) -> DumpError {
        DumpError::Csv { line: self.line, column: self.column(), message }
    }
}

#[cfg(test)]
mod tests {
    use super::{CsvOptions, DumpError, Records};
    use magpie_store::json::{self, Json};

    /// The records with their lines, whatever the pieces.
    fn read(text: &str, options: &str) -> Result<Vec<(u64, Vec<String>)>, String> {
        let Json::Object(options) = json::parse(options.as_bytes()).unwrap() else { panic!("{options}") };
        let read = |size: usize| {
            let mut records = Records::new(CsvOptions::read(&options).map_err(|error| error.to_string())?);
            let mut found = Vec::new();
            let mut sink = |record: super::Record| -> Result<(), DumpError> {
                found.push((record.line, record.cells));
                Ok(())
            };
            text.as_bytes()
                .chunks(size)
                .try_for_each(|piece| records.feed(piece, &mut sink))
                .map_err(|e| e.to_string())?;
            records.finish(&mut sink).map_err(|error| error.to_string())?;
            Ok(found)
        };
        let (whole, bytes) = (read(1000), read(1));
        assert_eq!(whole, bytes, "{text:?}");
        whole
    }

    fn cells(text: &str, options: &str) -> Vec<Vec<String>> {
        read(text, options).unwrap().into_iter().map(|(_, cells)| cells).collect()
    }

    #[test]
    fn records_have_their_cells_and_lines() {
        let text = "a,b\r\n\r\n1,\"x \"\"y\"\"\r\nz\"\n,\r3, c \"d\"";
        let expected: Vec<(u64, Vec<String>)> = [
            (1, vec!["a", "b"]),
            (3, vec!["1", "x \"y\"\r\nz"]),
            (5, vec!["", ""]),
            (6, vec!["3", " c \"d\""]),
        ]
        .map(|(line, cells)| (line, cells.into_iter().map(str::to_owned).collect()))
        .into();
        assert_eq!(read(text, "{}").unwrap(), expected);
    }

    #[test]
    fn options_change_the_dialect() {
        let options =
            r##"{"Delimiter":";","Quote":"'","TrimOptions":"Trim","AllowComments":true,"Comment":"#"}"##;
        assert_eq!(cells("#c\n a ; ' x;y ' ;\n#d\n", options), [["a", " x;y ", ""]]);
        assert_eq!(cells("' a '\n", r#"{"Quote":"'","TrimOptions":"Trim, InsideQuotes"}"#), [["a"]]);
        assert_eq!(cells("#x\ty\n", r#"{"Delimiter":"\t"}"#), [["#x", "y"]]);
    }

    #[test]
    fn faults_name_line_and_column() {
        for (text, words) in [
            ("a,b\n1,\"x\ny\n", "line 2, column 2: the quote"),
            ("a,b\n\"1\"x,2\n", "line 2, column 1: text stands behind"),
        ] {
            let message = read(text, "{}").unwrap_err();
            assert!(message.contains(words), "{message}");
        }
        for options in [
            r#"{"Delimiter":";;"}"#,
            r#"{"Quote":"é"}"#,
            r#"{"TrimOptions":"bla"}"#,
            r#"{"Delimiter":"\""}"#,
            r#"{"Delimeter":";"}"#,
            r#"{"AllowComments":1}"#,
        ] {
            assert!(read("", options).is_err(), "{options}");
        }
    }
}
