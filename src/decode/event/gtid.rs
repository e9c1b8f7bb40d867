//! MySQL's GTID, ANONYMOUS_GTID and GTID_TAGGED_LOG (MySQL source, `libs/mysql/binlog/event/control_events.h`,
//! `Gtid_event`; for the tagged form the manual page of `libs/mysql/serialization`).

use crate::decode::cursor::Cursor;
use crate::decode::event::kind;
use crate::decode::fault::unsupported;
use crate::error::Result;
use crate::model::{Gtid, MySqlGtid};

/// Mark of the logical clock, which servers since 5.7.5 write.
const LOGICAL_CLOCK: u8 = 2;
/// In the immediate commit time: the original one follows.
const HAS_ORIGINAL_TIME: u64 = 1 << 55;
const SERIALIZATION_VERSION: u64 = 1;

/// The start of a transaction on MySQL.
pub(in crate::decode) struct GtidEvent {
    /// `None`: the transaction is anonymous.
    pub(in crate::decode) gtid: Option<Gtid>,
    pub(in crate::decode) clock: Clock,
}

/// When a transaction was committed, in the two senses of the word. 0: the server does not say.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::decode) struct Clock {
    /// In microseconds since 1970, on this source (8.0.1 and newer).
    pub(in crate::decode) committed_at_micros: u64,
    /// The same on the server where the transaction came from.
    pub(in crate::decode) original_committed_at_micros: u64,
    /// The logical clock (5.7.5 and newer).
    pub(in crate::decode) last_committed: i64,
    pub(in crate::decode) sequence_number: i64,
}

impl GtidEvent {
    /// Reads the body of an event of `number`.
    pub(in crate::decode) fn read(cursor: &mut Cursor<'_>, number: u8) -> Result<GtidEvent> {
        if number == kind::GTID_TAGGED {
            return read_tagged(cursor);
        }
        let _flags = cursor.u8()?;
        let uuid = cursor.array::<16>()?;
        let number_at = cursor.clone();
        let sequence = cursor.u64()?;
        let gtid = match number {
            kind::ANONYMOUS_GTID => None,
            _ => Some(gtid(&number_at, uuid, "", sequence)?),
        };
        Ok(GtidEvent { gtid, clock: Clock::read(cursor) })
    }
}

impl Clock {
    /// All of it came with later versions, and more may come: what is missing is no error, and what is beyond is passed.
    fn read(cursor: &mut Cursor<'_>) -> Clock {
        let mut clock = Clock::default();
        if cursor.remaining() < 17 || cursor.u8().ok() != Some(LOGICAL_CLOCK) {
            return clock;
        }
        clock.last_committed = cursor.u64().unwrap_or(0).cast_signed();
        clock.sequence_number = cursor.u64().unwrap_or(0).cast_signed();
        // Asked before, as an error that nobody sees would be made for each transaction of 5.7.
        if cursor.remaining() < 7 {
            return clock;
        }
        let time = cursor.uint_le(7).unwrap_or(0);
        clock.committed_at_micros = time & !HAS_ORIGINAL_TIME;
        clock.original_committed_at_micros = match time & HAS_ORIGINAL_TIME {
            0 => clock.committed_at_micros,
            _ => cursor.uint_le(7).unwrap_or(0),
        };
        clock
    }
}

fn gtid(here: &Cursor<'_>, uuid: [u8; 16], tag: &str, sequence: u64) -> Result<Gtid> {
    MySqlGtid::new(uuid, tag, sequence)
        .map(Gtid::MySql)
        .map_err(|reason| here.corrupt(format!("expected a GTID, but {reason}")))
}

/// The fields of a tagged GTID in the order in which the server numbers and writes them.
mod field {
    pub(super) const FLAGS: u64 = 0;
    pub(super) const UUID: u64 = 1;
    pub(super) const SEQUENCE: u64 = 2;
    pub(super) const TAG: u64 = 3;
    pub(super) const LAST_COMMITTED: u64 = 4;
    pub(super) const SEQUENCE_NUMBER: u64 = 5;
    pub(super) const IMMEDIATE_COMMIT_TIME: u64 = 6;
    pub(super) const ORIGINAL_COMMIT_TIME: u64 = 7;
    pub(super) const TRANSACTION_LENGTH: u64 = 8;
    pub(super) const IMMEDIATE_VERSION: u64 = 9;
    pub(super) const ORIGINAL_VERSION: u64 = 10;
    pub(super) const COMMIT_GROUP_TICKET: u64 = 11;
}

fn read_tagged(cursor: &mut Cursor<'_>) -> Result<GtidEvent> {
    let start = cursor.remaining();
    let here = cursor.clone();
    let version = variable_uint(cursor)?;
    if version != SERIALIZATION_VERSION {
        return Err(here.mark(unsupported(format!(
            "expected a tagged GTID in serialization version {SERIALIZATION_VERSION}, found version {version}"
        ))));
    }
    let size = variable_uint(cursor)?;
    let last_required = variable_uint(cursor)?;
    let read = start.saturating_sub(cursor.remaining());
    let fields = usize::try_from(size).ok().and_then(|size| size.checked_sub(read));
    let Some(fields) = fields else {
        return Err(here.corrupt(format!("expected a tagged GTID of at least {read} bytes, found {size} bytes")));
    };
    let mut fields = cursor.part(fields)?;

    let (mut uuid, mut sequence, mut tag, mut original) = (None, None, None, None);
    let mut clock = Clock::default();
    let mut last = None;
    while !fields.is_empty() {
        let here = fields.clone();
        let id = variable_uint(&mut fields)?;
        if last.is_some_and(|last| id <= last) {
            return Err(here.corrupt(format!("expected the fields of a tagged GTID in order, found field {id}")));
        }
        last = Some(id);
        match id {
            field::UUID => {
                let mut bytes = [0; 16];
                for byte in &mut bytes {
                    let here = fields.clone();
                    let number = variable_uint(&mut fields)?;
                    *byte = u8::try_from(number).map_err(|_| here.corrupt("expected a byte of a UUID"))?;
                }
                uuid = Some(bytes);
            }
            field::SEQUENCE => {
                let here = fields.clone();
                let number = u64::try_from(variable_int(&mut fields)?);
                sequence = Some(number.map_err(|_| here.corrupt("expected a GTID number, found a negative one"))?);
            }
            field::TAG => {
                let length = variable_uint(&mut fields)?;
                let length = fields.length(length)?;
                tag = Some(fields.identifier(length)?);
            }
            field::IMMEDIATE_COMMIT_TIME => clock.committed_at_micros = variable_uint(&mut fields)?,
            field::ORIGINAL_COMMIT_TIME => original = Some(variable_uint(&mut fields)?),
            field::LAST_COMMITTED => clock.last_committed = variable_int(&mut fields)?,
            field::SEQUENCE_NUMBER => clock.sequence_number = variable_int(&mut fields)?,
            field::FLAGS
            | field::TRANSACTION_LENGTH
            | field::IMMEDIATE_VERSION
            | field::ORIGINAL_VERSION
            | field::COMMIT_GROUP_TICKET => {
                variable_uint(&mut fields)?;
            }
            unknown if unknown <= last_required => {
                return Err(here.mark(unsupported(format!("a tagged GTID needs field {unknown}, which is not known"))));
            }
            // A field has no length of its own, so nothing behind an unknown one can be read.
            _ => break,
        }
    }
    clock.original_committed_at_micros = original.unwrap_or(clock.committed_at_micros);
    match (uuid, sequence) {
        (Some(uuid), Some(sequence)) => {
            Ok(GtidEvent { gtid: Some(gtid(&here, uuid, tag.unwrap_or_default(), sequence)?), clock })
        }
        _ => Err(here.corrupt("expected a UUID and a number in a tagged GTID")),
    }
}

/// A signed integer: the lowest bit is the sign, and of a negative one all others are inverted.
fn variable_int(cursor: &mut Cursor<'_>) -> Result<i64> {
    let number = variable_uint(cursor)?;
    let magnitude = (number >> 1).cast_signed();
    Ok(if number & 1 == 0 { magnitude } else { !magnitude })
}

/// An integer of 1 to 9 bytes: the count of low one-bits in the first byte is the count of bytes that follow.
pub(super) fn variable_uint(cursor: &mut Cursor<'_>) -> Result<u64> {
    let first = cursor.u8()?;
    let more = usize::try_from(first.trailing_ones()).unwrap_or(8);
    let low = match first.trailing_ones() {
        8 => return cursor.u64(),
        7 => 0,
        ones => u64::from(first).wrapping_shr(ones.saturating_add(1)),
    };
    let width = 7_u32.saturating_sub(first.trailing_ones());
    let high = cursor.uint_le(more)?;
    Ok(low | high.wrapping_shl(width))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    /// Writes as the serialization library does.
    fn put(out: &mut Vec<u8>, number: u64) {
        let bits = (64 - number.leading_zeros()).max(1);
        let width = bits.div_ceil(7);
        if width > 8 {
            out.push(0xff);
            out.extend(number.to_le_bytes());
        } else {
            let marked = (u128::from(number) << width) | ((1_u128 << (width - 1)) - 1);
            out.extend(&marked.to_le_bytes()[..width as usize]);
        }
    }

    proptest! {
        #[test]
        fn variable_integers_round_trip(number: u64, shift in 0..64_u32) {
            let number = number >> shift;
            let mut out = Vec::new();
            put(&mut out, number);
            let bytes = Bytes::from(out);
            let mut cursor = Cursor::new(&bytes);
            prop_assert_eq!(variable_uint(&mut cursor).unwrap(), number);
            prop_assert!(cursor.is_empty());
        }

        #[test]
        fn any_bytes_never_panic(bytes: Vec<u8>) {
            let bytes = Bytes::from(bytes);
            for number in [kind::GTID, kind::ANONYMOUS_GTID, kind::GTID_TAGGED] {
                let _ = GtidEvent::read(&mut Cursor::new(&bytes), number);
            }
        }
    }
}
