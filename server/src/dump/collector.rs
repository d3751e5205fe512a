//! One JSON value of a dump, gathered from a stream into strict, compact JSON.
//!
//! Dumps are sloppy in two ways, which are mended here so that everything behind can be strict: control characters
//! stand raw in strings, and a comma may stand before a closing bracket.

use super::error::DumpError;
use crate::limits::{DUMP_DEPTH_MAX, DUMP_ITEM_BYTES_MAX};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Between tokens.
    Plain,
    /// In a number, `true`, `false` or `null`.
    Word,
    /// In a string.
    Text,
    /// Behind a backslash in a string.
    Escape,
}

/// Gathers one value.
pub(crate) struct Collector {
    text: Vec<u8>,
    /// The brackets that are open.
    open: Vec<u8>,
    mode: Mode,
    /// A comma that is written only when something follows it.
    comma: bool,
    /// The last byte that was taken, if any was.
    last: Option<u8>,
    too_long: bool,
}

impl Collector {
    pub(crate) fn new() -> Self {
        Self {
            text: Vec::new(),
            open: Vec::new(),
            mode: Mode::Plain,
            comma: false,
            last: None,
            too_long: false,
        }
    }

    /// Whether nothing has come yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.last.is_none() && !self.comma
    }

    /// Takes bytes, of which the first has the offset `at`. Gives how many belong to the value, and whether it is
    /// complete.
    ///
    /// # Errors
    /// [`DumpError::Malformed`] for brackets that do not fit, [`DumpError::TooDeep`].
    pub(crate) fn feed(&mut self, bytes: &[u8], at: u64) -> Result<(usize, bool), DumpError> {
        let mut used = 0;
        while let Some(rest) = bytes.get(used..).filter(|rest| !rest.is_empty()) {
            match self.mode {
                Mode::Text => {
                    let run = rest.iter().position(|b| *b < 0x20 || *b == b'"' || *b == b'\\');
                    let run = run.unwrap_or(rest.len());
                    self.push_all(rest.get(..run).unwrap_or(rest));
                    used += run;
                    let Some(byte) = rest.get(run).copied() else { continue };
                    used += 1;
                    if self.in_text(byte) {
                        return Ok((used, true));
                    }
                }
                Mode::Escape => {
                    self.push(rest.first().copied().unwrap_or_default());
                    self.mode = Mode::Text;
                    used += 1;
                }
                Mode::Word => {
                    let run = rest.iter().position(|b| is_delimiter(*b)).unwrap_or(rest.len());
                    self.push_all(rest.get(..run).unwrap_or(rest));
                    used += run;
                    if run < rest.len() {
                        if self.open.is_empty() {
                            return Ok((used, true));
                        }
                        self.mode = Mode::Plain;
                        if rest.get(run).is_some_and(u8::is_ascii_whitespace) {
                            // Else `1 2` would become 12.
                            self.push(b' ');
                        }
                    }
                }
                Mode::Plain => {
                    let byte = rest.first().copied().unwrap_or_default();
                    if self.between(byte, at + used as u64)? {
                        return Ok((used + 1, true));
                    }
                    used += 1;
                }
            }
        }
        Ok((used, false))
    }

    /// The value as strict JSON; `None` when it is longer than [`DUMP_ITEM_BYTES_MAX`].
    pub(crate) fn take(&mut self) -> Option<Vec<u8>> {
        let Self { text, too_long, .. } = std::mem::replace(self, Self::new());
        (!too_long).then_some(text)
    }

    /// A byte of a string that is not an ordinary one; whether it ends the value.
    fn in_text(&mut self, byte: u8) -> bool {
        match byte {
            b'"' => {
                self.push(byte);
                self.mode = Mode::Plain;
                return self.open.is_empty();
            }
            b'\\' => {
                self.push(byte);
                self.mode = Mode::Escape;
            }
            control => self.push_all(format!("\\u{control:04x}").as_bytes()),
        }
        false
    }

    /// A byte outside of strings and words; whether it ends the value.
    fn between(&mut self, byte: u8, at: u64) -> Result<bool, DumpError> {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => return Ok(false),
            b'}' | b']' => {
                self.comma = false;
                let fits = self.open.pop().is_some_and(|open| (open == b'{') == (byte == b'}'));
                if !fits {
                    let message = format!("'{}' closes nothing", char::from(byte));
                    return Err(DumpError::Malformed { at, message });
                }
                self.push(byte);
                return Ok(self.open.is_empty());
            }
            // A comma that cannot be right is left to the strict parser.
            b',' if !self.comma && !matches!(self.last, Some(b'{' | b'[' | b':' | b',')) => {
                self.comma = true;
                return Ok(false);
            }
            _ => {}
        }
        if std::mem::take(&mut self.comma) {
            self.push(b',');
        }
        match byte {
            b'"' => self.mode = Mode::Text,
            b'{' | b'[' => {
                if self.open.len() >= DUMP_DEPTH_MAX {
                    return Err(DumpError::TooDeep { at });
                }
                self.open.push(byte);
            }
            b',' | b':' => {}
            _ => self.mode = Mode::Word,
        }
        self.push(byte);
        Ok(false)
    }

    fn push(&mut self, byte: u8) {
        self.push_all(&[byte]);
    }

    fn push_all(&mut self, bytes: &[u8]) {
        let Some(last) = bytes.last() else { return };
        self.last = Some(*last);
        if self.text.len() + bytes.len() > DUMP_ITEM_BYTES_MAX {
            self.too_long = true;
            self.text = Vec::new();
        }
        if !self.too_long {
            self.text.extend_from_slice(bytes);
        }
    }
}

fn is_delimiter(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, b',' | b':' | b'}' | b']' | b'{' | b'[' | b'"')
}
