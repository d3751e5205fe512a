//! The container of a dump, told by its first bytes: gzip, zstd or plain. Unpacks as a stream, in bounded steps.
//!
//! What RavenDB packs with zstd has no end of frame, so the end of the input is no error here; whoever reads what
//! comes out knows whether it is complete. Gzip has a checksum at its end, which [`Unpacker::finish`] looks at.

use super::error::DumpError;
use crate::limits::{
    DUMP_RATIO_FREE_BYTES, DUMP_RATIO_MAX, DUMP_WINDOW_LOG_MAX, INFLATE_STEP_BYTES, UNPACK_STEP_BYTES,
};
use flate2::write::MultiGzDecoder;
use std::io::Write;
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

enum Container {
    Unknown,
    Plain,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
    Zstd(Box<Decoder<'static>>, Vec<u8>),
}

/// Packed bytes in, plain bytes out.
pub(crate) struct Unpacker {
    container: Container,
    /// The first bytes, until there are enough to tell what it is.
    begin: Vec<u8>,
    packed: u64,
    plain: u64,
}

impl Unpacker {
    pub(crate) fn new() -> Self {
        Self { container: Container::Unknown, begin: Vec::new(), packed: 0, plain: 0 }
    }

    /// Unpacks a piece and hands the plain bytes to `sink`, a bounded number at a time.
    ///
    /// # Errors
    /// [`DumpError::Packed`], [`DumpError::Bomb`], and what `sink` answers.
    pub(crate) fn feed<E: From<DumpError>>(
        &mut self,
        piece: &[u8],
        sink: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if !matches!(self.container, Container::Unknown) {
            return self.unpack(piece, sink);
        }
        self.begin.extend_from_slice(piece);
        if self.begin.len() < ZSTD.len() {
            return Ok(());
        }
        self.decide()?;
        let begin = std::mem::take(&mut self.begin);
        self.unpack(&begin, sink)
    }

    /// The end of the input.
    ///
    /// # Errors
    /// [`DumpError::Packed`] when a gzip stream is cut off or its checksum is wrong; what `sink` answers.
    pub(crate) fn finish<E: From<DumpError>>(
        mut self,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if matches!(self.container, Container::Unknown) {
            self.decide()?;
            let begin = std::mem::take(&mut self.begin);
            self.unpack(&begin, sink)?;
        }
        let at = self.plain;
        match self.container {
            Container::Gzip(decoder) => {
                let rest = decoder.finish().map_err(|cause| packed("gzip", at, &cause))?;
                sink(&rest)
            }
            _ => Ok(()),
        }
    }

    fn decide(&mut self) -> Result<(), DumpError> {
        self.container = if self.begin.starts_with(GZIP) {
            Container::Gzip(Box::new(MultiGzDecoder::new(Vec::new())))
        } else if self.begin.starts_with(ZSTD) {
            let decoder = Decoder::new().and_then(|mut decoder| {
                decoder.set_parameter(DParameter::WindowLogMax(DUMP_WINDOW_LOG_MAX))?;
                Ok(decoder)
            });
            let decoder = decoder.map_err(|cause| packed("zstd", 0, &cause))?;
            Container::Zstd(Box::new(decoder), vec![0; UNPACK_STEP_BYTES])
        } else {
            Container::Plain
        };
        Ok(())
    }

    fn unpack<E: From<DumpError>>(
        &mut self,
        piece: &[u8],
        sink: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        match &mut self.container {
            Container::Unknown => Ok(()),
            Container::Plain => sink(piece),
            Container::Gzip(decoder) => {
                for step in piece.chunks(INFLATE_STEP_BYTES) {
                    decoder
                        .write_all(step)
                        .and_then(|()| decoder.flush())
                        .map_err(|cause| packed("gzip", self.plain, &cause))?;
                    let plain = std::mem::take(decoder.get_mut());
                    count(&mut self.packed, step.len());
                    count(&mut self.plain, plain.len());
                    check_ratio(self.packed, self.plain)?;
                    sink(&plain)?;
                }
                Ok(())
            }
            Container::Zstd(decoder, space) => {
                let mut input = InBuffer::around(piece);
                loop {
                    let before = input.pos();
                    let mut output = OutBuffer::around(space.as_mut_slice());
                    decoder
                        .run(&mut input, &mut output)
                        .map_err(|cause| packed("zstd", self.plain, &cause))?;
                    let (plain, full) = (output.as_slice(), output.pos() == output.capacity());
                    count(&mut self.packed, input.pos() - before);
                    count(&mut self.plain, plain.len());
                    check_ratio(self.packed, self.plain)?;
                    sink(plain)?;
                    if input.pos() == piece.len() && !full {
                        return Ok(());
                    }
                }
            }
        }
    }
}

fn count(total: &mut u64, more: usize) {
    *total = total.saturating_add(more as u64);
}

fn check_ratio(packed: u64, plain: u64) -> Result<(), DumpError> {
    if plain > DUMP_RATIO_FREE_BYTES && plain / packed.max(1) > DUMP_RATIO_MAX {
        return Err(DumpError::Bomb { at: plain, packed });
    }
    Ok(())
}

fn packed(container: &'static str, at: u64, cause: &std::io::Error) -> DumpError {
    DumpError::Packed { container, at, cause: cause.to_string() }
}

#[cfg(test)]
mod tests {
    use super::{DumpError, Unpacker};
    use std::io::Write;

    fn unpack(bytes: &[u8], step: usize) -> Result<Vec<u8>, DumpError> {
        let mut unpacker = Unpacker::new();
        let mut plain = Vec::new();
        let mut sink = |piece: &[u8]| {
            plain.extend_from_slice(piece);
            Ok::<(), DumpError>(())
        };
        for chunk in bytes.chunks(step) {
            unpacker.feed(chunk, &mut sink)?;
        }
        unpacker.finish(&mut sink)?;
        Ok(plain)
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn containers_are_told_by_their_first_bytes() {
        let text = b"{\"BuildVersion\":70000}".repeat(9000);
        for step in [1, 3, 7000] {
            assert_eq!(unpack(&text, step).unwrap(), text);
            assert_eq!(unpack(&gzip(&text), step).unwrap(), text);
            assert_eq!(unpack(&zstd::encode_all(&text[..], 3).unwrap(), step).unwrap(), text);
        }
        assert_eq!(unpack(b"{}", 1).unwrap(), b"{}");
        assert_eq!(unpack(b"", 1).unwrap(), b"");
    }

    #[test]
    fn zstd_needs_no_end_of_frame_and_gzip_needs_its_own() {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.write_all(b"{\"a\":1}").unwrap();
        encoder.flush().unwrap();
        assert_eq!(unpack(encoder.get_ref(), 5).unwrap(), b"{\"a\":1}");
        let whole = gzip(b"{\"a\":1}");
        for cut in 2..whole.len() {
            assert!(unpack(&whole[..cut], 5).is_err(), "{cut}");
        }
    }

    #[test]
    fn damage_is_told_with_its_container() {
        let mut bytes = zstd::encode_all(&[7_u8; 1000][..], 3).unwrap();
        bytes[5] ^= 0xff;
        bytes.extend_from_slice(b"rubbish");
        assert!(matches!(unpack(&bytes, 4), Err(DumpError::Packed { container: "zstd", .. })));
        let mut bytes = gzip(&[7_u8; 1000]);
        let last = bytes.len() - 6;
        bytes[last] ^= 1;
        assert!(matches!(unpack(&bytes, 4), Err(DumpError::Packed { container: "gzip", .. })));
    }

    #[test]
    fn what_grows_beyond_reason_is_refused_early() {
        let zeros = vec![b' '; 64 << 20];
        let part = zstd::encode_all(&zeros[..], 19).unwrap();
        let bomb = part.repeat(64);
        let mut unpacker = Unpacker::new();
        let mut seen = 0_u64;
        let mut sink = |piece: &[u8]| {
            seen += piece.len() as u64;
            Ok::<(), DumpError>(())
        };
        assert!(matches!(unpacker.feed(&bomb, &mut sink), Err(DumpError::Bomb { .. })));
        assert!(seen < 300 << 20, "{seen}");
    }
}
