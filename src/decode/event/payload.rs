//! TRANSACTION_PAYLOAD: a transaction's events, compressed as one (MySQL source,
//! `libs/mysql/binlog/event/codecs/binary.cpp` and `compression`).
//!
//! # Invariants
//! 1. Events are unfolded a block at a time at most: memory follows one block and the largest event within, never the sum.
//! 2. The sum must be what the event promises, and end between two events.
//! 3. The decompressor and the block are kept from one payload to the next.

use bytes::{Buf, Bytes, BytesMut};
use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};

use crate::decode::cursor::Cursor;
use crate::decode::fault::{corrupt, limit, unsupported};
use crate::decode::header::{HEADER_LENGTH, Header};
use crate::error::{Error, Result};

const END_MARK: u64 = 0;
const PAYLOAD_SIZE: u64 = 1;
const COMPRESSION: u64 = 2;
const UNCOMPRESSED_SIZE: u64 = 3;

const ZSTD: u64 = 0;
const NONE: u64 = 255;

/// How much is unfolded at a time.
const BLOCK: usize = 256 << 10;
/// The least room to unfold into, whatever was promised.
const LEAST: usize = 1 << 10;

/// Unfolds payloads, one after the other.
#[derive(Default)]
pub(in crate::decode) struct Payload {
    zstd: Option<Decoder<'static>>,
    /// What is still folded, where the payload is compressed.
    folded: Bytes,
    is_plain: bool,
    /// Unfolded bytes that were not given away.
    plain: BytesMut,
    promised: Option<u64>,
    unfolded: u64,
    /// Whether the compressed stream came to a frame's end.
    is_at_frame_end: bool,
    is_open: bool,
}

impl Payload {
    pub(in crate::decode) fn is_open(&self) -> bool {
        self.is_open
    }

    /// Reads the fields in front of the payload, of which `event` is the whole.
    pub(in crate::decode) fn open(&mut self, event: &Bytes, cursor: &mut Cursor<'_>) -> Result<()> {
        let (mut size, mut algorithm, mut promised) = (None, None, None);
        loop {
            let field = cursor.packed_uint()?;
            if field == END_MARK {
                break;
            }
            let length = cursor.packed_length()?;
            let mut value = cursor.part(length)?;
            match field {
                PAYLOAD_SIZE => size = Some(value.packed_uint()?),
                COMPRESSION => algorithm = Some(value.packed_uint()?),
                UNCOMPRESSED_SIZE => promised = Some(value.packed_uint()?),
                _ => {}
            }
        }
        let (Some(size), Some(algorithm)) = (size, algorithm) else {
            return Err(cursor.corrupt("expected the size and the compression of a transaction's payload"));
        };
        if u64::try_from(cursor.remaining()).ok() != Some(size) {
            let found = cursor.remaining();
            return Err(cursor.corrupt(format!("expected a payload of {size} bytes, found {found} bytes")));
        }
        self.is_plain = match algorithm {
            ZSTD => false,
            NONE => true,
            other => return Err(unsupported(format!("compression {other} of a transaction's payload is not known"))),
        };
        if !self.is_plain {
            match &mut self.zstd {
                Some(zstd) => zstd.reinit(),
                none => Decoder::new().map(|zstd| *none = Some(zstd)),
            }
            .map_err(cannot_unfold)?;
        }
        let start = cursor.offset();
        self.folded = event.slice(start..start.saturating_add(cursor.remaining()));
        self.plain.clear();
        (self.promised, self.unfolded, self.is_at_frame_end, self.is_open) = (promised, 0, false, true);
        Ok(())
    }

    /// The next event. With the last one, the end is checked and the payload closed.
    pub(in crate::decode) fn next(&mut self, max_event_bytes: u64) -> Result<Bytes> {
        if !self.fill(HEADER_LENGTH)? {
            return Err(corrupt("expected an event in a transaction's payload, found none"));
        }
        let size = Header::read(&mut Cursor::new(self.front()))?.size;
        if u64::from(size) > max_event_bytes {
            return Err(limit(format!("an event of {size} bytes in a payload, the bound is {max_event_bytes} bytes")));
        }
        let size = usize::try_from(size).ok().filter(|size| *size >= HEADER_LENGTH);
        let size = size.ok_or_else(|| corrupt("expected an event's length of at least 19 bytes in a payload"))?;
        if !self.fill(size)? {
            let found = self.front().len();
            return Err(corrupt(format!("expected an event of {size} bytes in a payload, found {found}")));
        }
        self.unfolded = self.unfolded.saturating_add(u64::try_from(size).unwrap_or(u64::MAX));
        let event = if self.is_plain { self.folded.split_to(size) } else { self.plain.split_to(size).freeze() };
        if !self.fill(HEADER_LENGTH)? {
            self.close()?;
        }
        Ok(event)
    }

    fn front(&self) -> &[u8] {
        if self.is_plain { &self.folded } else { &self.plain }
    }

    fn close(&mut self) -> Result<()> {
        self.is_open = false;
        let left = self.front().len();
        if left > 0 {
            return Err(corrupt(format!("expected an event's header in a payload, found {left} bytes")));
        }
        if !self.is_plain && !self.is_at_frame_end {
            return Err(corrupt("a transaction's payload is cut"));
        }
        match self.promised.filter(|promised| *promised != self.unfolded) {
            Some(promised) => {
                Err(corrupt(format!("expected {promised} bytes in a payload, found {} bytes", self.unfolded)))
            }
            None => Ok(()),
        }
    }

    /// Unfolds until `length` bytes are there; false where the payload ends before.
    fn fill(&mut self, length: usize) -> Result<bool> {
        while self.front().len() < length {
            if self.is_plain || !self.unfold()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// How many bytes were promised and have not been unfolded; a block where nothing was promised.
    fn left(&self) -> usize {
        let unfolded = usize::try_from(self.unfolded).unwrap_or(usize::MAX).saturating_add(self.plain.len());
        let promised = self.promised.map(|promised| usize::try_from(promised).unwrap_or(usize::MAX));
        promised.map_or(BLOCK, |promised| promised.saturating_sub(unfolded))
    }

    /// Unfolds up to a block; false where nothing more comes.
    fn unfold(&mut self) -> Result<bool> {
        // Most transactions are much smaller than a block: room that is not needed need not be cleared.
        let room = self.left().clamp(LEAST, BLOCK);
        let Some(zstd) = &mut self.zstd else { return Ok(false) };
        if self.folded.is_empty() && self.is_at_frame_end {
            return Ok(false);
        }
        let start = self.plain.len();
        if self.plain.capacity().saturating_sub(start) < room {
            // Room that all events of the blocks before have given back is used again.
            self.plain.reserve(BLOCK);
        }
        self.plain.resize(start.saturating_add(room), 0);
        let mut out = OutBuffer::around(self.plain.get_mut(start..).unwrap_or_default());
        let mut folded = InBuffer::around(&self.folded);
        let hint = zstd.run(&mut folded, &mut out);
        let (read, written) = (folded.pos(), out.pos());
        self.plain.truncate(start.saturating_add(written));
        self.is_at_frame_end = hint.map_err(cannot_unfold)? == 0;
        self.folded.advance(read);
        Ok(read > 0 || written > 0)
    }
}

impl std::fmt::Debug for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Payload({} bytes unfolded)", self.unfolded)
    }
}

#[cold]
fn cannot_unfold(error: std::io::Error) -> Error {
    corrupt("a transaction's payload cannot be unfolded").with_source(error)
}
