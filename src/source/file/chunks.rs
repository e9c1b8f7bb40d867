use std::fmt;
use std::io::{ErrorKind, Read, Result};

use bytes::{Bytes, BytesMut};

/// Bytes read at once. Larger ones gain nothing and leave the processor's cache.
pub(super) const CHUNK_LENGTH: usize = 1 << 18;

/// A reader's bytes as views of large chunks.
///
/// A chunk's memory is used again once all its views are dropped, and only what a chunk's end cuts in two is moved. A
/// reader that gives a few bytes at a time fills a chunk with many reads: views take no more memory than their bytes.
pub(super) struct Chunks<R> {
    reader: R,
    /// What was read and not taken, and place for more.
    chunk: BytesMut,
    /// How much of the chunk was read.
    filled: usize,
}

impl<R> fmt::Debug for Chunks<R> {
    /// The length only: a chunk holds row values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chunks({} bytes ahead)", self.filled)
    }
}

impl<R: Read> Chunks<R> {
    pub(super) fn new(reader: R) -> Chunks<R> {
        Chunks { reader, chunk: BytesMut::new(), filled: 0 }
    }

    /// The next `length` bytes, at most [`CHUNK_LENGTH`], without taking them; fewer at the end.
    #[inline]
    pub(super) fn peek(&mut self, length: usize) -> Result<&[u8]> {
        if self.filled < length {
            self.fill(length)?;
        }
        Ok(&self.chunk[..length.min(self.filled)])
    }

    /// Takes the next `length` bytes; fewer at the end.
    #[inline]
    pub(super) fn take(&mut self, length: usize) -> Result<Bytes> {
        if length > CHUNK_LENGTH {
            return self.take_long(length);
        }
        if self.filled < length {
            self.fill(length)?;
        }
        Ok(self.taken(length).freeze())
    }

    /// Bytes of a length that may be a lie: the buffer grows with what is really there.
    fn take_long(&mut self, length: usize) -> Result<Bytes> {
        let mut bytes = self.taken(length).to_vec();
        let rest = u64::try_from(length.saturating_sub(bytes.len())).unwrap_or(u64::MAX);
        (&mut self.reader).take(rest).read_to_end(&mut bytes)?;
        Ok(bytes.into())
    }

    #[inline]
    fn taken(&mut self, length: usize) -> BytesMut {
        let length = length.min(self.filled);
        self.filled -= length;
        self.chunk.split_to(length)
    }

    /// Reads on until `length` bytes are there, or the reader ends.
    #[cold]
    fn fill(&mut self, length: usize) -> Result<()> {
        while self.filled < length {
            if self.chunk.len() < length {
                self.chunk.truncate(self.filled);
                self.chunk.reserve(CHUNK_LENGTH - self.filled);
                self.chunk.resize(CHUNK_LENGTH, 0);
            }
            match self.reader.read(&mut self.chunk[self.filled..]) {
                Ok(0) => break,
                Ok(count) => self.filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that gives a few bytes at a time, as a pipe may.
    struct Drops(usize);

    impl Read for Drops {
        fn read(&mut self, out: &mut [u8]) -> Result<usize> {
            let count = self.0.min(out.len()).min(10);
            self.0 -= count;
            out[..count].fill(1);
            Ok(count)
        }
    }

    #[test]
    fn views_of_few_bytes_share_a_chunk() {
        let mut chunks = Chunks::new(Drops(CHUNK_LENGTH + 15));
        let mut views = Vec::new();
        loop {
            let view = chunks.take(10).unwrap();
            if view.is_empty() {
                break;
            }
            views.push(view);
        }
        assert_eq!(views.iter().map(Bytes::len).sum::<usize>(), CHUNK_LENGTH + 15);
        let apart = views.windows(2).filter(|pair| pair[0].as_ptr_range().end != pair[1].as_ptr()).count();
        assert_eq!(apart, 1, "views pin a chunk each");
    }
}
