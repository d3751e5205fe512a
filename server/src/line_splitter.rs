//! Splits a stream of text into lines, without limits on the stream and with one on the line.
//!
//! A line ends with `\n` (a `\r` before it is dropped), the last one also without. Empty lines are counted and passed
//! over. A line beyond the limit is read to its end and given as too long, so that the lines behind it keep their
//! numbers.

/// One line with something in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line {
    /// Its text without the line end.
    Text(Vec<u8>),
    /// It has more bytes than allowed.
    TooLong,
}

/// The state between two pieces of text.
#[derive(Debug)]
pub(crate) struct LineSplitter {
    line: Vec<u8>,
    too_long: bool,
    /// The number of the line being read, from 1.
    number: u64,
    limit: usize,
}

impl LineSplitter {
    /// At the start of a text whose lines have at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { line: Vec::new(), too_long: false, number: 1, limit }
    }

    /// Reads a piece; gives each line that it completes, with its number, to `take`.
    pub(crate) fn feed(&mut self, piece: &[u8], mut take: impl FnMut(u64, Line)) {
        let mut rest = piece;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, behind) = rest.split_at(end);
            self.append(line);
            self.end_line(&mut take);
            rest = behind.get(1..).unwrap_or_default();
        }
        self.append(rest);
    }

    /// Gives the last line, if it has no line end.
    pub(crate) fn finish(mut self, mut take: impl FnMut(u64, Line)) {
        self.end_line(&mut take);
    }

    fn append(&mut self, text: &[u8]) {
        // One byte more for a `\r` that will be dropped.
        if self.too_long || self.line.len() + text.len() > self.limit + 1 {
            self.too_long = true;
            self.line = Vec::new();
        } else {
            self.line.extend_from_slice(text);
        }
    }

    fn end_line(&mut self, take: &mut impl FnMut(u64, Line)) {
        let mut text = std::mem::take(&mut self.line);
        if text.last() == Some(&b'\r') {
            text.pop();
        }
        if self.number == 1 && text.starts_with(b"\xef\xbb\xbf") {
            text.drain(..3);
        }
        let number = self.number;
        self.number += 1;
        if std::mem::take(&mut self.too_long) || text.len() > self.limit {
            take(number, Line::TooLong);
        } else if !text.trim_ascii().is_empty() {
            take(number, Line::Text(text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Line, LineSplitter};

    #[test]
    fn lines_come_whole_however_the_text_is_cut() {
        let text = b"\xef\xbb\xbf{1}\r\n\n  \n{22}\n12345678901\r\n{4}\n1234567890\r\nlast";
        for step in 1..text.len() {
            let mut lines = Vec::new();
            let mut splitter = LineSplitter::new(10);
            for piece in text.chunks(step) {
                splitter.feed(piece, |number, line| lines.push((number, line)));
            }
            splitter.finish(|number, line| lines.push((number, line)));
            let text = |text: &str| Line::Text(text.as_bytes().to_vec());
            let expected = [
                (1, text("{1}")),
                (4, text("{22}")),
                (5, Line::TooLong),
                (6, text("{4}")),
                (7, text("1234567890")),
                (8, text("last")),
            ];
            assert_eq!(lines, expected, "step {step}");
        }
    }
}
