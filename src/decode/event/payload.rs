//! TRANSACTION_PAYLOAD: a transaction's events, compressed as one (MySQL source,
//! `libs/mysql/binlog/event/codecs/binary.cpp` and `compression`).
//!
//! # Invariants
//! 1. Events are unfolded one at a time; the bound holds for their sum and before each is taken.
//! 2. The sum must be what the event promises, and end between two events.

use std::io::Read;

use bytes::{Bytes, BytesMut};

use crate::decode::cursor::Cursor;
use crate::decode::fault::{corrupt, limit, unsupported};
use crate::decode::header::{HEADER_LENGTH, Header};
use crate::error::Result;

const END_MARK: u64 = 0;
const PAYLOAD_SIZE: u64 = 1;
const COMPRESSION: u64 = 2;
const UNCOMPRESSED_SIZE: u64 = 3;

const ZSTD: u64 = 0;
const NONE: u64 = 255;

/// The events within, in order.
pub(in crate::decode) struct PayloadEvents<'a> {
    stream: Box<dyn Read + 'a>,
    promised: Option<u64>,
    unfolded: u64,
    max_bytes: u64,
}

impl<'a> PayloadEvents<'a> {
    /// Reads the fields in front of the payload.
    pub(in crate::decode) fn open(cursor: &mut Cursor<'a>, max_bytes: u64) -> Result<PayloadEvents<'a>> {
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
        if let Some(promised) = promised.filter(|promised| *promised > max_bytes) {
            return Err(too_large(promised, max_bytes));
        }
        let stream: Box<dyn Read + 'a> = match algorithm {
            ZSTD => Box::new(
                zstd::stream::read::Decoder::with_buffer(cursor.rest())
                    .map_err(|error| corrupt("a transaction's payload cannot be unfolded").with_source(error))?,
            ),
            NONE => Box::new(cursor.rest()),
            other => return Err(unsupported(format!("compression {other} of a transaction's payload is not known"))),
        };
        Ok(PayloadEvents { stream, promised, unfolded: 0, max_bytes })
    }

    /// The next event, `None` at a clean end.
    pub(in crate::decode) fn next(&mut self) -> Result<Option<Bytes>> {
        let mut event = BytesMut::new();
        self.fill(&mut event, HEADER_LENGTH)?;
        if event.is_empty() {
            return match self.promised.filter(|promised| *promised != self.unfolded) {
                Some(promised) => {
                    Err(corrupt(format!("expected {promised} bytes in a payload, found {} bytes", self.unfolded)))
                }
                None => Ok(None),
            };
        }
        let event_start = event.clone().freeze();
        let size = Header::read(&mut Cursor::new(&event_start))?.size;
        let size = usize::try_from(size).ok().filter(|size| *size >= HEADER_LENGTH);
        let size = size.ok_or_else(|| corrupt("expected an event's length of at least 19 bytes in a payload"))?;
        let added = u64::try_from(size).unwrap_or(u64::MAX);
        let unfolded = self.unfolded.saturating_add(added);
        if unfolded > self.max_bytes {
            return Err(too_large(unfolded, self.max_bytes));
        }
        self.fill(&mut event, size)?;
        if event.len() != size {
            return Err(corrupt(format!("expected an event of {size} bytes in a payload, found {}", event.len())));
        }
        self.unfolded = unfolded;
        Ok(Some(event.freeze()))
    }

    /// Reads until `event` has `length` bytes or the stream ends.
    fn fill(&mut self, event: &mut BytesMut, length: usize) -> Result<()> {
        let mut chunk = [0; 16 * 1024];
        while event.len() < length {
            let room = length.saturating_sub(event.len()).min(chunk.len());
            let Some(room) = chunk.get_mut(..room) else { break };
            let read = self
                .stream
                .read(room)
                .map_err(|error| corrupt("a transaction's payload cannot be unfolded").with_source(error))?;
            if read == 0 {
                break;
            }
            event.extend_from_slice(room.get(..read).unwrap_or_default());
        }
        Ok(())
    }
}

#[cold]
fn too_large(wanted: u64, max_bytes: u64) -> crate::Error {
    limit(format!("a compressed transaction unfolds to {wanted} bytes or more, the bound is {max_bytes} bytes"))
}
