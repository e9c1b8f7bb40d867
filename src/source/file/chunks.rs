use std::fmt;
use std::io::{ErrorKind, Read, Result};

use bytes::{Bytes, BytesMut};

/// Bytes read at once. Larger ones gain nothing and leave the processor's cache.
pub(super) const CHUNK_LENGTH: usize = 1 << 18;

/// A reader's bytes as views of large chunks.
///
/// A chunk's memory is used again once all its views are dropped, and only what a chunk's end cuts in two is moved.
pub(super) struct Chunks<R> {
    reader: R,
    chunk: BytesMut,
}

impl<R> fmt::Debug for Chunks<R> {
    /// The length only: a chunk holds row values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chunks({} bytes ahead)", self.chunk.len())
    }
}

impl<R: Read> Chunks<R> {
    pub(super) fn new(reader: R) -> Chunks<R> {
        Chunks { reader, chunk: BytesMut::new() }
    }

    /// The next `length` bytes, at most [`CHUNK_LENGTH`], without taking them; fewer at the end.
    pub(super) fn peek(&mut self, length: usize) -> Result<&[u8]> {
        self.fill(length)?;
        Ok(self.chunk.get(..length).unwrap_or(&self.chunk))
    }

    /// Takes the next `length` bytes; fewer at the end.
    pub(super) fn take(&mut self, length: usize) -> Result<Bytes> {
        if length > CHUNK_LENGTH {
            return self.take_long(length);
        }
        self.fill(length)?;
        Ok(self.chunk.split_to(length.min(self.chunk.len())).freeze())
    }

    /// Bytes of a length that may be a lie: the buffer grows with what is really there.
    fn take_long(&mut self, length: usize) -> Result<Bytes> {
        let mut bytes = self.chunk.split_to(length.min(self.chunk.len())).to_vec();
        let rest = u64::try_from(length.saturating_sub(bytes.len())).unwrap_or(u64::MAX);
        (&mut self.reader).take(rest).read_to_end(&mut bytes)?;
        Ok(bytes.into())
    }

    /// Reads on until `length` bytes are there, or the reader ends.
    fn fill(&mut self, length: usize) -> Result<()> {
        while self.chunk.len() < length {
            let filled = self.chunk.len();
            self.chunk.reserve(CHUNK_LENGTH - filled);
            self.chunk.resize(CHUNK_LENGTH, 0);
            let read = self.reader.read(&mut self.chunk[filled..]);
            self.chunk.truncate(filled + read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
