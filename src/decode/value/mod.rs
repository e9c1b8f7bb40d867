//! One column's value out of a row image, by the column's type (MySQL source, `sql/log_event.cc`,
//! `log_event_print_value`, and `libs/mysql/binlog/event/wrapper_functions.h`).

pub(super) mod decimal;
pub mod json;
mod temporal;
pub(super) mod text;

use std::fmt;

use bytes::Bytes;

use self::json::{JsonDiff, JsonRef};
use super::cursor::Cursor;
use super::fault::{corrupt, unsupported};
use crate::error::Result;
use crate::model::{TemporalParts, Value};

pub use self::decimal::{DecimalRef, DecimalText};

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

/// How the bytes of a column's values are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    Null,
    Int,
    UInt,
    Float,
    Double,
    Decimal {
        precision: u8,
        scale: u8,
    },
    Bytes,
    /// MariaDB's COMPRESSED columns; unfolded before they are read.
    Compressed,
    Json,
    Enum,
    Set,
    /// With the number of bits.
    Bit(u16),
    Year,
    Date,
    /// The temporal types with their digits behind the second.
    Time(u8),
    DateTime(u8),
    Timestamp(u8),
    OldTime,
    OldDateTime,
    OldTimestamp,
    HiresTime(u8),
    HiresDateTime(u8),
    HiresTimestamp(u8),
}

/// A value as a view of the log's bytes: nothing is copied, and what costs work (a DECIMAL's digits, a JSON document's
/// parts, text in a character set) is worked out when it is asked for.
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
    Date(TemporalParts),
    /// TIME: `hour` may reach 838.
    Time(TemporalParts),
    /// DATETIME.
    DateTime(TemporalParts),
    /// TIMESTAMP: zero seconds is the zero date.
    Timestamp {
        /// Seconds since 1970-01-01 00:00:00 UTC.
        seconds: u64,
        /// 0 to 999,999.
        micros: u32,
        /// Digits of the fraction, 0 to 6.
        fraction: u8,
    },
    /// A JSON document (MySQL; MariaDB's JSON is text).
    Json(JsonRef<'a>),
    /// The change of a JSON document in a partial update of which the image before does not carry the document.
    JsonDiff(JsonDiff<'a>),
}

impl Reader {
    /// The value in `bytes`, which are as many as the column's width says.
    ///
    /// # Errors
    /// `Corrupt`: bytes that are no value of the type.
    #[inline]
    pub(super) fn read<'a>(self, bytes: &'a [u8]) -> Result<ValueRef<'a>> {
        let cursor = &mut Cursor::new(bytes);
        Ok(match self {
            Reader::Null => ValueRef::Null,
            Reader::Int => ValueRef::Int(sign_extend(cursor.uint_le(bytes.len())?, bytes.len())),
            Reader::UInt => ValueRef::UInt(cursor.uint_le(bytes.len())?),
            Reader::Float => ValueRef::Float(f32::from_le_bytes(cursor.array()?)),
            Reader::Double => ValueRef::Double(f64::from_le_bytes(cursor.array()?)),
            Reader::Decimal { precision, scale } => ValueRef::Decimal(DecimalRef::new(bytes, precision, scale)?),
            Reader::Bytes | Reader::Compressed => ValueRef::Bytes(bytes),
            Reader::Json => ValueRef::Json(JsonRef::new(bytes)?),
            Reader::Enum => ValueRef::Enum(if bytes.len() == 1 { u16::from(cursor.u8()?) } else { cursor.u16()? }),
            Reader::Set => ValueRef::Set(cursor.uint_le(bytes.len())?),
            Reader::Bit(count) => ValueRef::Bit(bits(cursor.uint_be(bytes.len())?, count)?),
            Reader::Year => temporal::year(cursor)?,
            Reader::Date => temporal::date(cursor)?,
            Reader::Time(fraction) => temporal::time2(cursor, fraction)?,
            Reader::DateTime(fraction) => temporal::datetime2(cursor, fraction)?,
            Reader::Timestamp(fraction) => temporal::timestamp2(cursor, fraction)?,
            Reader::OldTime => temporal::old_time(cursor)?,
            Reader::OldDateTime => temporal::old_datetime(cursor)?,
            Reader::OldTimestamp => temporal::old_timestamp(cursor)?,
            Reader::HiresTime(fraction) => temporal::hires_time(cursor, fraction)?,
            Reader::HiresDateTime(fraction) => temporal::hires_datetime(cursor, fraction)?,
            Reader::HiresTimestamp(fraction) => temporal::hires_timestamp(cursor, fraction)?,
        })
    }
}

#[inline]
fn sign_extend(raw: u64, width: usize) -> i64 {
    match width {
        1 => raw.wrapping_shl(56).cast_signed() >> 56,
        2 => raw.wrapping_shl(48).cast_signed() >> 48,
        3 => raw.wrapping_shl(40).cast_signed() >> 40,
        4 => raw.wrapping_shl(32).cast_signed() >> 32,
        _ => raw.cast_signed(),
    }
}

#[inline]
fn bits(number: u64, count: u16) -> Result<u64> {
    match number.checked_shr(count.into()) {
        None | Some(0) => Ok(number),
        Some(_) => Err(corrupt(format!("expected {count} bits, found more"))),
    }
}

impl ValueRef<'_> {
    /// A copy that owns its bytes.
    ///
    /// # Errors
    /// `Corrupt`: a DECIMAL or a JSON document whose bytes are none. `Unsupported`: a [`ValueRef::JsonDiff`].
    pub fn to_value(&self) -> Result<Value> {
        Ok(match *self {
            ValueRef::Null => Value::Null,
            ValueRef::Int(number) => Value::Int(number),
            ValueRef::UInt(number) => Value::UInt(number),
            ValueRef::Float(number) => Value::Float(number),
            ValueRef::Double(number) => Value::Double(number),
            ValueRef::Decimal(decimal) => Value::Decimal(decimal.text()?.as_str().to_owned()),
            ValueRef::Bytes(bytes) => Value::Bytes(Bytes::copy_from_slice(bytes)),
            ValueRef::Bit(number) => Value::Bit(number),
            ValueRef::Enum(index) => Value::Enum(index),
            ValueRef::Set(members) => Value::Set(members),
            ValueRef::Year(year) => Value::Year(year),
            ValueRef::Date(parts) => Value::Date(parts),
            ValueRef::Time(parts) => Value::Time(parts),
            ValueRef::DateTime(parts) => Value::DateTime(parts),
            ValueRef::Timestamp { seconds, micros, fraction } => Value::Timestamp { seconds, micros, fraction },
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
            ValueRef::Timestamp { .. } => "Timestamp",
            ValueRef::Json(_) => "Json",
            ValueRef::JsonDiff(_) => "JsonDiff",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn integers_of_every_width_and_sign(number: i64, width in prop::sample::select(vec![1_usize, 2, 3, 4, 8])) {
            let bits = 8 * width as u32;
            let signed = number >> (64 - bits);
            let unsigned = (number as u64) >> (64 - bits);
            let bytes = &signed.to_le_bytes()[..width];
            prop_assert!(matches!(Reader::Int.read(bytes), Ok(ValueRef::Int(read)) if read == signed));
            let bytes = &unsigned.to_le_bytes()[..width];
            prop_assert!(matches!(Reader::UInt.read(bytes), Ok(ValueRef::UInt(read)) if read == unsigned));
        }

        #[test]
        fn bits_of_every_width(number: u64, count in 1..=64_u16) {
            let number = number >> (64 - count);
            let bytes = &number.to_be_bytes()[8 - usize::from(count.div_ceil(8))..];
            prop_assert!(matches!(Reader::Bit(count).read(bytes), Ok(ValueRef::Bit(read)) if read == number));
        }
    }

    #[test]
    fn bits_beyond_the_type_are_refused() {
        assert!(Reader::Bit(3).read(&[0b1000]).is_err());
        assert!(Reader::Bit(3).read(&[0b111]).is_ok());
    }

    #[test]
    fn members_in_every_width() {
        assert!(matches!(Reader::Enum.read(&[1]), Ok(ValueRef::Enum(1))));
        assert!(matches!(Reader::Enum.read(&[1, 2]), Ok(ValueRef::Enum(0x0201))));
        assert!(matches!(Reader::Set.read(&[1, 2, 3]), Ok(ValueRef::Set(0x03_0201))));
    }
}
