//! The checksum behind every event's body (MySQL source, `libs/mysql/binlog/event/binlog_event.h`,
//! `enum_binlog_checksum_alg`).

use bytes::Bytes;

use super::cursor::Cursor;
use super::fault::{corrupt, unsupported};
use super::header::IN_USE;
use crate::error::Result;

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

    /// Checks the event and takes the checksum off the cursor's end.
    pub(super) fn strip(self, event: &Bytes, cursor: &mut Cursor<'_>) -> Result<()> {
        match self {
            Checksum::Off => Ok(()),
            Checksum::Crc32 => {
                let stored = cursor.take_tail(CHECKSUM_LENGTH)?;
                verify(event, stored)
            }
        }
    }
}

/// Compares the stored checksum with that of the event's other bytes.
fn verify(event: &Bytes, stored: &[u8]) -> Result<()> {
    let covered = event.get(..event.len().saturating_sub(CHECKSUM_LENGTH)).unwrap_or_default();
    let stored = stored.iter().rev().fold(0_u32, |number, byte| (number << 8) | u32::from(*byte));
    // The server sets the flag when it opens the file and clears it when it closes it, without a new checksum.
    let found = match covered.split_at_checked(FLAGS_OFFSET) {
        Some((front, [low, rest @ ..])) if *low & in_use_byte() != 0 => {
            let mut hasher = crc32fast::Hasher::new();
            hasher.update(front);
            hasher.update(&[*low & !in_use_byte()]);
            hasher.update(rest);
            hasher.finalize()
        }
        _ => crc32fast::hash(covered),
    };
    if found == stored {
        return Ok(());
    }
    Err(corrupt(format!("expected the checksum {stored:#010x}, found {found:#010x}")))
}

fn in_use_byte() -> u8 {
    let [low, _] = IN_USE.to_le_bytes();
    low
}
