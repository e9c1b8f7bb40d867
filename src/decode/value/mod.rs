//! One column's value out of a row image, by the column's type (MySQL source, `sql/log_event.cc`,
//! `log_event_print_value`, and `libs/mysql/binlog/event/wrapper_functions.h`).

mod decimal;
pub mod json;
mod temporal;
pub(super) mod text;
mod word;

use std::fmt;

use bytes::Bytes;

use self::json::{JsonDiff, JsonRef};
use self::word::word;
use super::fault::{corrupt, unsupported};
use crate::error::Result;
use crate::model::Value;

pub(super) use self::decimal::DecimalFormat;
pub use self::decimal::{DecimalBuffer, DecimalRef};
pub use self::temporal::TemporalRef;
pub(super) use self::temporal::{Packing, TemporalFormat, TemporalKind};

pub(super) const TINY: u8 = 1;
pub(super) const SHORT: u8 = 2;
pub(super) const LONG: u8 = 3;
pub(super) const FLOAT: u8 = 4;
pub(super) const DOUBLE: u8 = 5;
pub(super) const NULL: u8 = 6;
pub(super) const TIMESTAMP: u8 = 7;
pub(super) const LONGLONG: u8 = 8;
pub(super) const INT24: u8 = 9;
pub(super) const DATE: u8 = 10;
pub(super) const TIME: u8 = 11;
pub(super) const DATETIME: u8 = 12;
pub(super) const YEAR: u8 = 13;
pub(super) const NEWDATE: u8 = 14;
pub(super) const VARCHAR: u8 = 15;
pub(super) const BIT: u8 = 16;
pub(super) const TIMESTAMP2: u8 = 17;
pub(super) const DATETIME2: u8 = 18;
pub(super) const TIME2: u8 = 19;
pub(super) const BLOB_COMPRESSED: u8 = 140;
pub(super) const VARCHAR_COMPRESSED: u8 = 141;
pub(super) const VECTOR: u8 = 242;
pub(super) const JSON: u8 = 245;
pub(super) const NEWDECIMAL: u8 = 246;
pub(super) const ENUM: u8 = 247;
pub(super) const SET: u8 = 248;
pub(super) const TINY_BLOB: u8 = 249;
pub(super) const MEDIUM_BLOB: u8 = 250;
pub(super) const LONG_BLOB: u8 = 251;
pub(super) const BLOB: u8 = 252;
pub(super) const VAR_STRING: u8 = 253;
pub(super) const STRING: u8 = 254;
pub(super) const GEOMETRY: u8 = 255;

/// The type's name where there is one to tell.
pub(super) fn type_name(code: u8) -> &'static str {
    match code {
        0 => "DECIMAL of servers before 5.0",
        TIMESTAMP => "TIMESTAMP",
        TIME => "TIME",
        DATETIME => "DATETIME",
        244 => "typed array",
        _ => "unknown",
    }
}

/// How a value is read: by the column's type, or by what the row says of it. All on one level, and all but errors made
/// where the value is used: one jump leads from the tag to what is done with the value, which is never written to
/// memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    Int(Width),
    UInt(Width),
    Bytes,
    Decimal(DecimalFormat),
    Date(TemporalFormat),
    Time(TemporalFormat),
    DateTime(TemporalFormat),
    Timestamp(TemporalFormat),
    Float,
    Double,
    /// MariaDB's COMPRESSED columns; unfolded before they are read.
    Compressed,
    Json,
    /// 1 or 2 bytes.
    Enum,
    /// 1 to 8 bytes.
    Set,
    /// So many bits, at most 64.
    Bit(u16),
    Year,
    /// NULL, in any column.
    Null,
    /// The image does not carry the column.
    Absent,
    /// A change of the document before.
    Diff,
    /// Bytes that the log does not hold as they are.
    MadeBytes,
    /// A document that the log does not hold as it is.
    MadeJson,
}

/// How wide an integer is: the bits of a word that it leaves free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Width(u8);

impl Width {
    const WORD: Width = Width(0);

    /// So many bytes, 1 to 8.
    pub(super) fn of_bytes(bytes: u8) -> Width {
        Width(64_u8.saturating_sub(bytes.saturating_mul(8)))
    }

    #[inline(always)]
    fn free_bits(self) -> u32 {
        u32::from(self.0)
    }
}

/// A value as a view of the log's bytes: nothing is copied, and what costs work (a DECIMAL's digits, a date's
/// parts, a JSON document's nodes, text in a character set) is worked out when it is asked for.
///
/// `Debug` shows the kind and never the content: row values stay out of logs.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum ValueRef<'a> {
    /// SQL NULL.
    Null,
    /// An integer column that is signed, or whose signedness the log does not say (MySQL before 8.0.1, MariaDB before
    /// 10.5): sign-extended from the column's width.
    Int(i64),
    /// An integer column that the log says is unsigned.
    UInt(u64),
    /// FLOAT.
    Float(f32),
    /// DOUBLE.
    Double(f64),
    /// DECIMAL.
    Decimal(DecimalRef<'a>),
    /// CHAR, VARCHAR, TEXT, BINARY, VARBINARY, BLOB, GEOMETRY, VECTOR, UUID, INET: the bytes in the column's own
    /// character set. A fixed BINARY column comes without its trailing zero bytes.
    Bytes(&'a [u8]),
    /// BIT(n), right-aligned.
    Bit(u64),
    /// ENUM: the index from 1; 0 is the empty error value.
    Enum(u16),
    /// SET: bit 0 is the first member.
    Set(u64),
    /// YEAR: 0 or 1901 to 2155.
    Year(u16),
    /// DATE; any part may be zero.
    Date(TemporalRef<'a>),
    /// TIME: `hour` may reach 838.
    Time(TemporalRef<'a>),
    /// DATETIME.
    DateTime(TemporalRef<'a>),
    /// TIMESTAMP.
    Timestamp(TemporalRef<'a>),
    /// A JSON document (MySQL; MariaDB's JSON is text).
    Json(JsonRef<'a>),
    /// The change of a JSON document in a partial update of which the image before does not carry the document.
    JsonDiff(JsonDiff<'a>),
}

impl Reader {
    /// The value in `length` bytes of `event` from `start` on, or of `made`; so many are there. `None` for a column that
    /// is absent.
    ///
    /// # Errors
    /// `Corrupt`: bytes that are no value of the type.
    #[inline(always)]
    pub(super) fn read<'a>(
        &self,
        event: &'a [u8],
        made: &'a [u8],
        start: u32,
        length: u32,
    ) -> Result<Option<ValueRef<'a>>> {
        let bytes = || part(event, start, length);
        let made = || part(made, start, length);
        Ok(Some(match *self {
            Reader::Int(width) => {
                ValueRef::Int(integer(event, start, width).cast_signed().wrapping_shr(width.free_bits()))
            }
            Reader::UInt(width) => ValueRef::UInt(integer(event, start, width).wrapping_shr(width.free_bits())),
            Reader::Bytes | Reader::Compressed => ValueRef::Bytes(bytes()),
            Reader::Decimal(format) => ValueRef::Decimal(DecimalRef::new(bytes(), format)),
            Reader::Date(format) => ValueRef::Date(TemporalRef::new(bytes(), TemporalKind::Date, format)),
            Reader::Time(format) => ValueRef::Time(TemporalRef::new(bytes(), TemporalKind::Time, format)),
            Reader::DateTime(format) => ValueRef::DateTime(TemporalRef::new(bytes(), TemporalKind::DateTime, format)),
            Reader::Timestamp(format) => {
                ValueRef::Timestamp(TemporalRef::new(bytes(), TemporalKind::Timestamp, format))
            }
            Reader::Float => ValueRef::Float(f32::from_le_bytes(bytes().first_chunk().copied().unwrap_or_default())),
            Reader::Double => ValueRef::Double(f64::from_bits(integer(event, start, Width::WORD))),
            Reader::Json => ValueRef::Json(JsonRef::new(bytes())?),
            Reader::Enum => ValueRef::Enum(index(bytes())),
            Reader::Set => ValueRef::Set(set(bytes())),
            Reader::Bit(count) => ValueRef::Bit(bits(bytes(), count)?),
            Reader::Year => ValueRef::Year(temporal::year(bytes())),
            Reader::Null => ValueRef::Null,
            Reader::Absent => return Ok(None),
            Reader::Diff => ValueRef::JsonDiff(JsonDiff::new(bytes())),
            Reader::MadeBytes => ValueRef::Bytes(made()),
            Reader::MadeJson => ValueRef::Json(JsonRef::new(made())?),
        }))
    }
}

/// So many bytes from `start` on, which are there.
#[inline(always)]
pub(super) fn part(bytes: &[u8], start: u32, length: u32) -> &[u8] {
    let (Ok(start), Ok(length)) = (usize::try_from(start), usize::try_from(length)) else { return &[] };
    bytes.get(start..start.saturating_add(length)).unwrap_or_default()
}

/// The integer of so many bytes in the highest bytes of the result.
#[inline(always)]
fn integer(event: &[u8], start: u32, width: Width) -> u64 {
    let word = match part(event, start, 8).first_chunk::<8>() {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => last_integer(event, start),
    };
    word.wrapping_shl(width.free_bits())
}

/// As above, with fewer than eight bytes up to the event's end.
#[cold]
fn last_integer(event: &[u8], start: u32) -> u64 {
    let bytes = usize::try_from(start).ok().and_then(|start| event.get(start..)).unwrap_or_default();
    set(bytes)
}

/// The number of an ENUM's member.
#[inline]
fn index(bytes: &[u8]) -> u16 {
    match *bytes {
        [low] => u16::from(low),
        [low, high] => u16::from_le_bytes([low, high]),
        _ => 0,
    }
}

/// The members of a SET as bits.
fn set(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number.wrapping_shl(8) | u64::from(*byte))
}

fn bits(bytes: &[u8], count: u16) -> Result<u64> {
    let number = word(bytes);
    match number.checked_shr(count.into()) {
        None | Some(0) => Ok(number),
        Some(_) => Err(corrupt(format!("expected {count} bits, found more"))),
    }
}

impl ValueRef<'_> {
    /// A copy that owns its bytes.
    ///
    /// # Errors
    /// `Corrupt`: a DECIMAL, a temporal value or a JSON document whose bytes are none. `Unsupported`: a [`ValueRef::JsonDiff`].
    pub fn to_value(&self) -> Result<Value> {
        Ok(match *self {
            ValueRef::Null => Value::Null,
            ValueRef::Int(number) => Value::Int(number),
            ValueRef::UInt(number) => Value::UInt(number),
            ValueRef::Float(number) => Value::Float(number),
            ValueRef::Double(number) => Value::Double(number),
            ValueRef::Decimal(decimal) => Value::Decimal(decimal.text(&mut DecimalBuffer::default())?.to_owned()),
            ValueRef::Bytes(bytes) => Value::Bytes(Bytes::copy_from_slice(bytes)),
            ValueRef::Bit(number) => Value::Bit(number),
            ValueRef::Enum(index) => Value::Enum(index),
            ValueRef::Set(members) => Value::Set(members),
            ValueRef::Year(year) => Value::Year(year),
            ValueRef::Date(temporal)
            | ValueRef::Time(temporal)
            | ValueRef::DateTime(temporal)
            | ValueRef::Timestamp(temporal) => temporal.to_value()?,
            ValueRef::Json(document) => Value::Json(Box::new(document.to_tree()?)),
            ValueRef::JsonDiff(_) => {
                return Err(unsupported("a partial update of a JSON document does not have the document before it")
                    .with_advice(
                        "set binlog_row_image=FULL or binlog_row_value_options='' on the source, for all sessions",
                    ));
            }
        })
    }
}

impl fmt::Debug for ValueRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ValueRef::Null => "Null",
            ValueRef::Int(_) => "Int",
            ValueRef::UInt(_) => "UInt",
            ValueRef::Float(_) => "Float",
            ValueRef::Double(_) => "Double",
            ValueRef::Decimal(_) => "Decimal",
            ValueRef::Bytes(_) => "Bytes",
            ValueRef::Bit(_) => "Bit",
            ValueRef::Enum(_) => "Enum",
            ValueRef::Set(_) => "Set",
            ValueRef::Year(_) => "Year",
            ValueRef::Date(_) => "Date",
            ValueRef::Time(_) => "Time",
            ValueRef::DateTime(_) => "DateTime",
            ValueRef::Timestamp(_) => "Timestamp",
            ValueRef::Json(_) => "Json",
            ValueRef::JsonDiff(_) => "JsonDiff",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(reader: Reader, bytes: &[u8]) -> Result<ValueRef<'_>> {
        Ok(reader.read(bytes, &[], 0, bytes.len() as u32)?.unwrap())
    }

    proptest! {
        #[test]
        fn integers_of_every_width_and_sign(number: i64, behind in 0..10_usize) {
            for bytes in [1_u8, 2, 3, 4, 8] {
                let (width, bits) = (usize::from(bytes), 8 * u32::from(bytes));
                let number = number >> (64 - bits);
                let mut event = number.to_le_bytes()[..width].to_vec();
                event.resize(width + behind, 0xaa);
                let signed = read(Reader::Int(Width::of_bytes(bytes)), &event);
                prop_assert!(matches!(signed, Ok(ValueRef::Int(read)) if read == number));
                let unsigned = read(Reader::UInt(Width::of_bytes(bytes)), &event);
                let expected = number as u64 & (u64::MAX >> (64 - bits));
                prop_assert!(matches!(unsigned, Ok(ValueRef::UInt(read)) if read == expected));
            }
        }

        #[test]
        fn bits_of_every_width(number: u64, count in 1..=64_u16) {
            let number = number >> (64 - count);
            let bytes = &number.to_be_bytes()[8 - usize::from(count.div_ceil(8))..];
            prop_assert!(matches!(read(Reader::Bit(count), bytes), Ok(ValueRef::Bit(read)) if read == number));
        }
    }

    #[test]
    fn bits_beyond_the_type_are_refused() {
        assert!(read(Reader::Bit(3), &[0b1000]).is_err());
        assert!(read(Reader::Bit(3), &[0b111]).is_ok());
    }

    #[test]
    fn members_in_every_width() {
        assert!(matches!(read(Reader::Enum, &[1]), Ok(ValueRef::Enum(1))));
        assert!(matches!(read(Reader::Enum, &[1, 2]), Ok(ValueRef::Enum(0x0201))));
        assert!(matches!(read(Reader::Set, &[1, 2, 3]), Ok(ValueRef::Set(0x03_0201))));
    }
}
