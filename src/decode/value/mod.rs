//! One column's value out of a row image, by the column's type (MySQL source, `sql/log_event.cc`, `log_event_print_value`,
//! and `libs/mysql/binlog/event/wrapper_functions.h`).

mod bits;
mod decimal;
mod integer;
pub mod json;
mod temporal;
mod text;

use super::cursor::Cursor;
use super::fault::unsupported;
use crate::error::Result;
use crate::model::{Flavor, Value, WireColumn};

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
        BLOB_COMPRESSED => "BLOB COMPRESSED",
        VARCHAR_COMPRESSED => "VARCHAR COMPRESSED",
        244 => "typed array",
        _ => "unknown",
    }
}

/// The value of a column that is not NULL.
#[inline]
pub(super) fn read(column: &WireColumn, flavor: Flavor, cursor: &mut Cursor<'_>) -> Result<Value> {
    let metadata = column.metadata;
    match column.type_code {
        TINY => integer::read(cursor, 1, column.is_unsigned),
        SHORT => integer::read(cursor, 2, column.is_unsigned),
        INT24 => integer::read(cursor, 3, column.is_unsigned),
        LONG => integer::read(cursor, 4, column.is_unsigned),
        LONGLONG => integer::read(cursor, 8, column.is_unsigned),
        FLOAT if metadata == 4 => cursor.array().map(f32::from_le_bytes).map(Value::Float),
        DOUBLE if metadata == 8 => cursor.array().map(f64::from_le_bytes).map(Value::Double),
        FLOAT | DOUBLE => Err(cursor.corrupt(format!("expected a floating number of 4 or 8 bytes, found {metadata}"))),
        NEWDECIMAL => {
            let [precision, scale] = metadata.to_be_bytes();
            decimal::read(cursor, precision, scale).map(Value::Decimal).map_err(|error| cursor.mark(error))
        }
        STRING => text::bounded(cursor, text::fixed_length(metadata)),
        VARCHAR | VAR_STRING => text::bounded(cursor, metadata),
        TINY_BLOB | MEDIUM_BLOB | LONG_BLOB | BLOB | GEOMETRY | VECTOR => text::blob(cursor, metadata),
        JSON => {
            let here = cursor.clone();
            let length = text::blob_length(cursor, metadata)?;
            let document = cursor.view(length)?;
            json::read(&document).map(|json| Value::Json(Box::new(json))).map_err(|error| {
                // The byte within the document says nothing to a reader of the event.
                here.corrupt(error.message().to_owned())
            })
        }
        ENUM => bits::enumeration(cursor, metadata),
        SET => bits::set(cursor, metadata),
        BIT => bits::bit(cursor, metadata),
        YEAR => temporal::year(cursor),
        DATE | NEWDATE => temporal::date(cursor),
        TIME2 => temporal::time2(cursor, metadata),
        DATETIME2 => temporal::datetime2(cursor, metadata),
        TIMESTAMP2 => temporal::timestamp2(cursor, metadata),
        NULL => Ok(Value::Null),
        TIME | DATETIME | TIMESTAMP if flavor == Flavor::MariaDb => Err(ambiguous(column.type_code)),
        TIME => temporal::old_time(cursor),
        DATETIME => temporal::old_datetime(cursor),
        TIMESTAMP => temporal::old_timestamp(cursor),
        BLOB_COMPRESSED | VARCHAR_COMPRESSED => {
            Err(unsupported(format!("columns of type {} are not handled", type_name(column.type_code)))
                .with_advice("alter the column to one without COMPRESSED before starting"))
        }
        other => Err(unsupported(format!("columns of type {other} ({}) are not handled", type_name(other)))),
    }
}

/// MariaDB packs these types in one way without a fraction and in another with one, and does not log which.
#[cold]
fn ambiguous(code: u8) -> crate::Error {
    let name = type_name(code);
    unsupported(format!("the log does not say how this {name} column of MariaDB's old format is packed"))
        .with_advice("rebuild the table with mysql56_temporal_format=ON and ALTER TABLE ... FORCE")
}
