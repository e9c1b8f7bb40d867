//! The checksum behind every event's body (MySQL source, `libs/mysql/binlog/event/binlog_event.h`,
//! `enum_binlog_checksum_alg`).

use bytes::Bytes;
use crc32fast::Hasher;

use super::cursor::Cursor;
use super::fault::{corrupt, unsupported};
use super::header::IN_USE;
use crate::error::{Error, Result};

/// Bytes of a checksum.
pub(super) const CHECKSUM_LENGTH: usize = 4;
/// Where the flags are in an event.
const FLAGS_OFFSET: usize = 17;

/// How a log's events are protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Checksum {
    Off,
    Crc32,
}

impl Checksum {
    /// The algorithm by its number in a format description.
    pub(super) fn from_number(number: u8) -> Result<Checksum> {
        match number {
            // 255 is "undefined": written by servers that know checksums into logs that have none.
            0 | 255 => Ok(Checksum::Off),
            1 => Ok(Checksum::Crc32),
            other => Err(unsupported(format!("the log uses checksum algorithm {other}, which is not known"))),
        }
    }

    /// Checks the event and takes the checksum off the cursor's end. `fresh` has hashed nothing: to make one for each
    /// event is to ask each time what the processor can do.
    #[inline(always)]
    pub(super) fn strip(self, event: &Bytes, cursor: &mut Cursor<'_>, fresh: &Hasher) -> Result<()> {
        match self {
            Checksum::Off => Ok(()),
            Checksum::Crc32 => {
                let stored = cursor.take_tail(CHECKSUM_LENGTH)?;
                verify(event, stored, fresh.clone())
            }
        }
    }
}

/// Compares the stored checksum with that of the event's other bytes.
#[inline(always)]
fn verify(event: &Bytes, stored: &[u8], mut hasher: Hasher) -> Result<()> {
    let covered = event.get(..event.len().saturating_sub(CHECKSUM_LENGTH)).unwrap_or_default();
    // The server sets the flag when it opens the file and clears it when it closes it, without a new checksum.
    match covered.split_at_checked(FLAGS_OFFSET) {
        Some((front, [low, rest @ ..])) if *low & in_use_byte() != 0 => {
            hasher.update(front);
            hasher.update(&[*low & !in_use_byte()]);
            hasher.update(rest);
        }
        _ => hasher.update(covered),
    }
    let (found, stored) = (hasher.finalize(), stored.first_chunk().copied().map_or(0, u32::from_le_bytes));
    if found == stored { Ok(()) } else { Err(mismatch(stored, found)) }
}

#[cold]
fn mismatch(stored: u32, found: u32) -> Error {
    corrupt(format!("expected the checksum {stored:#010x}, found {found:#010x}"))
}

fn in_use_byte() -> u8 {
    let [low, _] = IN_USE.to_le_bytes();
    low
}
