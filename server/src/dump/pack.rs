//! Packing a dump on its way to the client: gzip or zstd over pieces that a thread hands to the network.

use crate::limits::DUMP_PIECE_BYTES;
use axum::body::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::{self, Write};
use tokio::sync::mpsc::Sender;

/// Between the smallest and the fastest: a dump is made more often than it is kept.
const GZIP_LEVEL: u32 = 3;

/// What goes to the client: bytes, or that the dump broke off.
pub(crate) type Piece = io::Result<Bytes>;

/// Hands bytes to the network, a piece at a time; waits while the client is slow.
pub(crate) struct Pieces {
    sender: Sender<Piece>,
    buffer: Vec<u8>,
}

impl Pieces {
    pub(crate) fn new(sender: Sender<Piece>) -> Self {
        Self { sender, buffer: Vec::with_capacity(DUMP_PIECE_BYTES) }
    }

    fn send(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.buffer, Vec::with_capacity(DUMP_PIECE_BYTES));
        self.sender
            .blocking_send(Ok(piece.into()))
            .map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the client went away"))
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.get(..DUMP_PIECE_BYTES).unwrap_or(bytes);
        self.buffer.extend_from_slice(taken);
        if self.buffer.len() >= DUMP_PIECE_BYTES {
            self.send()?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()
    }
}

/// Plain bytes in, packed pieces out.
pub(crate) enum Packer {
    Gzip(GzEncoder<Pieces>),
    Zstd(zstd::stream::write::Encoder<'static, Pieces>),
}

impl Packer {
    /// # Errors
    /// When memory cannot be had.
    pub(crate) fn new(zstd: bool, pieces: Pieces) -> io::Result<Self> {
        if zstd {
            return zstd::stream::write::Encoder::new(pieces, 3).map(Self::Zstd);
        }
        Ok(Self::Gzip(GzEncoder::new(pieces, Compression::new(GZIP_LEVEL))))
    }

    /// Writes the end.
    ///
    /// # Errors
    /// When the client went away.
    pub(crate) fn finish(self) -> io::Result<()> {
        let mut pieces = match self {
            Self::Gzip(encoder) => encoder.finish()?,
            Self::Zstd(encoder) => encoder.finish()?,
        };
        pieces.flush()
    }
}

impl Write for Packer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Gzip(encoder) => encoder.flush(),
            Self::Zstd(encoder) => encoder.flush(),
        }
    }
}
