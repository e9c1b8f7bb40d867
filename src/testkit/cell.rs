//! A value, and its bytes in a row image (MySQL source, `sql/field.cc`, the `pack` functions; `sql/log_event.cc`,
//! `log_event_print_value`).

use super::column::{ColumnSpec, ColumnType, enum_width, set_width};
use super::{compression, decimal, encode, temporal};
use crate::model::TemporalParts;

/// A value for a column.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum Cell {
    /// NULL.
    Null,
    /// Of an integer column.
    Int(i64),
    /// Of an unsigned integer column beyond what a signed number holds.
    UInt(u64),
    /// FLOAT.
    Float(f32),
    /// DOUBLE.
    Double(f64),
    /// DECIMAL by its digits, such as `-12.50`.
    Decimal(String),
    /// BIT.
    Bit(u64),
    /// ENUM by the member's number from 1; 0 is the empty value of an error.
    Enum(u16),
    /// SET, a bit a member.
    Set(u64),
    /// CHAR, VARCHAR, BLOB, GEOMETRY (SRID and WKB), VECTOR (floats) and JSON (the document's binary form): what is stored.
    /// A compressed column compresses it as a server with default settings does.
    Bytes(Vec<u8>),
    /// A compressed column's value as with `column_compression_zlib_wrap=ON`.
    ZlibWrapped(Vec<u8>),
    /// Of a JSON column in the after image of [`Rows::partial_update`](super::Rows::partial_update).
    JsonDiffs(Vec<JsonDiff>),
    /// YEAR: 1901 to 2155, or 0.
    Year(u16),
    /// DATE.
    Date(TemporalParts),
    /// TIME.
    Time(TemporalParts),
    /// DATETIME.
    DateTime(TemporalParts),
    /// TIMESTAMP: seconds since 1970, and microseconds.
    Timestamp(u32, u32),
    /// These bytes, whatever the column is.
    Raw(Vec<u8>),
}

impl std::fmt::Debug for Cell {
    /// The kind only: a row's value stays out of logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Cell::Null => "Null",
            Cell::Int(_) => "Int",
            Cell::UInt(_) => "UInt",
            Cell::Float(_) => "Float",
            Cell::Double(_) => "Double",
            Cell::Decimal(_) => "Decimal",
            Cell::Bit(_) => "Bit",
            Cell::Enum(_) => "Enum",
            Cell::Set(_) => "Set",
            Cell::Bytes(_) => "Bytes",
            Cell::ZlibWrapped(_) => "ZlibWrapped",
            Cell::JsonDiffs(_) => "JsonDiffs",
            Cell::Year(_) => "Year",
            Cell::Date(_) => "Date",
            Cell::Time(_) => "Time",
            Cell::DateTime(_) => "DateTime",
            Cell::Timestamp(..) => "Timestamp",
            Cell::Raw(_) => "Raw",
        })
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        Cell::Bytes(text.into())
    }
}

/// A change within a JSON document (MySQL source, `sql/json_diff.h` and `.cc`, `Json_diff::write_binary`).
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum JsonDiff {
    /// The value at the path becomes this one, in binary form.
    Replace(String, Vec<u8>),
    /// The value, in binary form, comes in at the path.
    Insert(String, Vec<u8>),
    /// The value at the path goes.
    Remove(String),
}

impl std::fmt::Debug for JsonDiff {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JsonDiff")
    }
}

impl Cell {
    /// Adds the value as `column` stores it; NULL has no bytes.
    ///
    /// # Panics
    /// Where the value does not fit the column.
    pub(super) fn write(&self, column: &ColumnSpec, out: &mut Vec<u8>) {
        match (self, &column.kind) {
            (Cell::Null, _) => assert!(column.is_nullable, "the column takes no NULL"),
            (Cell::Raw(bytes), _) => out.extend(bytes),
            (Cell::Int(number), ColumnType::Integer(width)) => {
                assert!(fits(i128::from(*number), *width, column.is_unsigned), "the number does not fit {width} bytes");
                encode::le(out, number.cast_unsigned(), usize::from(*width));
            }
            (Cell::UInt(number), ColumnType::Integer(width)) => {
                assert!(fits(i128::from(*number), *width, column.is_unsigned), "the number does not fit {width} bytes");
                encode::le(out, *number, usize::from(*width));
            }
            (Cell::Float(number), ColumnType::Float) => out.extend(number.to_le_bytes()),
            (Cell::Double(number), ColumnType::Double) => out.extend(number.to_le_bytes()),
            (Cell::Decimal(text), ColumnType::Decimal(precision, scale)) => {
                decimal::write(text, *precision, *scale, out);
            }
            (Cell::Bit(bits), ColumnType::Bit(count)) => {
                assert!(bits.checked_shr(u32::from(*count)).unwrap_or(0) == 0, "the value has more than {count} bits");
                encode::be(out, *bits, usize::from(count.div_ceil(8)));
            }
            (Cell::Enum(index), ColumnType::Enum(members)) => {
                encode::le(out, u64::from(*index), enum_width(members.len()));
            }
            (Cell::Set(bits), ColumnType::Set(members)) => encode::le(out, *bits, set_width(members.len())),
            (Cell::Bytes(bytes), ColumnType::Char(max) | ColumnType::VarChar(max)) => short(out, bytes, *max),
            (Cell::Bytes(bytes), ColumnType::Blob(width)) => long(out, bytes, *width),
            (Cell::Bytes(bytes), ColumnType::Geometry(_) | ColumnType::Vector(_) | ColumnType::Json) => {
                long(out, bytes, 4);
            }
            (Cell::Bytes(plain), ColumnType::VarCharCompressed(max)) => {
                short(out, &compression::fold_column(plain, false), *max);
            }
            (Cell::Bytes(plain), ColumnType::BlobCompressed(width)) => {
                long(out, &compression::fold_column(plain, false), *width);
            }
            (Cell::ZlibWrapped(plain), ColumnType::VarCharCompressed(max)) => {
                short(out, &compression::fold_column(plain, true), *max);
            }
            (Cell::ZlibWrapped(plain), ColumnType::BlobCompressed(width)) => {
                long(out, &compression::fold_column(plain, true), *width);
            }
            (Cell::JsonDiffs(diffs), ColumnType::Json) => long(out, &written_diffs(diffs), 4),
            (Cell::Year(year), ColumnType::Year) => out.push(match year {
                0 => 0,
                1901..=2155 => (year - 1900) as u8,
                _ => panic!("the year is not of 1901 to 2155"),
            }),
            (Cell::Date(parts), ColumnType::Date) => temporal::date(parts, out),
            (Cell::Time(parts), ColumnType::Time(fsp)) => temporal::time(parts, *fsp, out),
            (Cell::Time(parts), ColumnType::OldTime) => temporal::old_time(parts, out),
            (Cell::DateTime(parts), ColumnType::DateTime(fsp)) => temporal::date_time(parts, *fsp, out),
            (Cell::DateTime(parts), ColumnType::OldDateTime) => temporal::old_date_time(parts, out),
            (Cell::Timestamp(seconds, micros), ColumnType::Timestamp(fsp)) => {
                temporal::timestamp(*seconds, *micros, *fsp, out);
            }
            (Cell::Timestamp(seconds, 0), ColumnType::OldTimestamp) => out.extend(seconds.to_le_bytes()),
            (cell, kind) => panic!("{cell:?} does not fit {kind:?}"),
        }
    }
}

fn fits(number: i128, width: u8, is_unsigned: bool) -> bool {
    let bits = 8 * u32::from(width);
    match is_unsigned {
        true => (0..1 << bits).contains(&number),
        false => (-(1 << (bits - 1))..1 << (bits - 1)).contains(&number),
    }
}

/// CHAR and VARCHAR: the length takes one byte where the longest value's does.
fn short(out: &mut Vec<u8>, bytes: &[u8], max: u16) {
    assert!(bytes.len() <= usize::from(max), "the value is longer than {max} bytes");
    encode::le(out, bytes.len() as u64, if max < 256 { 1 } else { 2 });
    out.extend(bytes);
}

fn long(out: &mut Vec<u8>, bytes: &[u8], width: u8) {
    assert!(bytes.len() as u64 >> (8 * width) == 0, "the value's length takes more than {width} bytes");
    encode::le(out, bytes.len() as u64, usize::from(width));
    out.extend(bytes);
}

fn written_diffs(diffs: &[JsonDiff]) -> Vec<u8> {
    let mut out = Vec::new();
    for diff in diffs {
        let (operation, path, value) = match diff {
            JsonDiff::Replace(path, value) => (0, path, Some(value)),
            JsonDiff::Insert(path, value) => (1, path, Some(value)),
            JsonDiff::Remove(path) => (2, path, None),
        };
        out.push(operation);
        encode::packed_bytes(&mut out, path.as_bytes());
        if let Some(value) = value {
            encode::packed_bytes(&mut out, value);
        }
    }
    out
}
