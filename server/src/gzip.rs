//! Gzip as a stream: compressed chunks in, plain bytes out as soon as they can be known.
//!
//! The bulk insert of the Node client flushes its compressor after each document and never writes the end of the
//! stream, so nothing here waits for a trailer. Input is taken in small steps: a hostile stream grows data about a
//! thousand times, and the caller gets to look (and to refuse) between steps.

use crate::error::ServerError;
use crate::limits::INFLATE_STEP_BYTES;
use flate2::write::MultiGzDecoder;
use std::borrow::Cow;
use std::io::Write;

/// Turns the body of a request into plain bytes, whatever its `Content-Encoding`.
pub(crate) enum Inflater {
    /// The body is plain.
    Plain,
    /// The body is gzip.
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
}

impl Inflater {
    /// For a `Content-Encoding` header; absent and `identity` mean plain.
    ///
    /// # Errors
    /// [`ServerError::ContentEncoding`] for anything but gzip.
    pub(crate) fn new(encoding: Option<&str>) -> Result<Self, ServerError> {
        match encoding.map(str::trim) {
            None | Some("" | "identity") => Ok(Self::Plain),
            Some(name) if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") => {
                Ok(Self::Gzip(Box::new(MultiGzDecoder::new(Vec::new()))))
            }
            Some(name) => Err(ServerError::ContentEncoding(name.chars().take(40).collect())),
        }
    }

    /// Cuts a chunk into the steps that [`Self::inflate`] takes.
    pub(crate) fn steps<'c>(&self, chunk: &'c [u8]) -> std::slice::Chunks<'c, u8> {
        chunk.chunks(match self {
            Self::Plain => chunk.len().max(1),
            Self::Gzip(_) => INFLATE_STEP_BYTES,
        })
    }

    /// The plain bytes of one step.
    ///
    /// # Errors
    /// [`ServerError::Gzip`] when it is not gzip.
    pub(crate) fn inflate<'c>(&mut self, step: &'c [u8]) -> Result<Cow<'c, [u8]>, ServerError> {
        match self {
            Self::Plain => Ok(Cow::Borrowed(step)),
            Self::Gzip(decoder) => {
                decoder.write_all(step).and_then(|()| decoder.flush()).map_err(gzip_error)?;
                Ok(Cow::Owned(std::mem::take(decoder.get_mut())))
            }
        }
    }

    /// Checks that the stream was complete, for bodies that must have an end.
    ///
    /// # Errors
    /// [`ServerError::Gzip`] when it was cut off or its checksum is wrong.
    pub(crate) fn finish(self) -> Result<Vec<u8>, ServerError> {
        match self {
            Self::Plain => Ok(Vec::new()),
            Self::Gzip(decoder) => decoder
                .finish()
                .map_err(|cause| ServerError::Gzip(format!("it is cut off or damaged: {cause}"))),
        }
    }
}

fn gzip_error(cause: std::io::Error) -> ServerError {
    ServerError::Gzip(cause.to_string())
}

#[cfg(test)]
mod tests {
    use super::Inflater;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    fn inflate(bytes: &[u8], step: usize) -> (Vec<u8>, bool) {
        let mut inflater = Inflater::new(Some("gzip")).unwrap();
        let mut plain = Vec::new();
        for chunk in bytes.chunks(step) {
            plain.extend_from_slice(&inflater.inflate(chunk).unwrap());
        }
        let rest = inflater.finish();
        let complete = rest.is_ok();
        plain.extend(rest.unwrap_or_default());
        (plain, complete)
    }

    #[test]
    fn what_was_flushed_is_seen_without_an_end() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(b"[{\"a\":1},").unwrap();
        encoder.flush().unwrap();
        let unfinished = encoder.get_ref().clone();
        for step in [1, 3, 1000] {
            assert_eq!(inflate(&unfinished, step), (b"[{\"a\":1},".to_vec(), false));
        }
    }

    #[test]
    fn members_follow_each_other_and_a_cut_is_seen() {
        let member = |text: &[u8]| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        };
        let mut both = member(b"one");
        both.extend(member(b"two"));
        assert_eq!(inflate(&both, 7), (b"onetwo".to_vec(), true));
        assert!(!inflate(&both[..both.len() - 1], 7).1);
    }

    #[test]
    fn other_bytes_are_refused() {
        let mut inflater = Inflater::new(Some("GZIP")).unwrap();
        assert!(inflater.inflate(b"this is not gzip").is_err());
        assert!(Inflater::new(Some("br")).is_err());
    }
}
