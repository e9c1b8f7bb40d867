//! TABLE_MAP: a table's columns, and since MySQL 8.0.1 and MariaDB 10.5 more about them (MySQL source,
//! `libs/mysql/binlog/event/rows_event.h`, `Table_map_event`; MariaDB source, `sql/log_event_server.cc`,
//! `Table_map_log_event::init_metadata_fields`).

use crate::decode::cursor::Cursor;
use crate::decode::fault::unsupported;
use crate::decode::value;
use crate::error::Result;
use crate::model::{Flavor, TableMap, TableName, WireColumn};

/// The id by which row events name the table.
pub(in crate::decode) fn read_id(cursor: &mut Cursor<'_>, post_header_length: u8) -> Result<u64> {
    // 4 bytes in the first versions of row logs, whose fixed part has 6 bytes.
    cursor.uint_le(if post_header_length == 6 { 4 } else { 6 })
}

/// Reads all behind the id.
pub(in crate::decode) fn read(cursor: &mut Cursor<'_>, flavor: Flavor) -> Result<TableMap> {
    let _flags = cursor.u16()?;
    let schema = terminated_name(cursor)?;
    let table = terminated_name(cursor)?;
    let name = TableName::new(schema, table);
    let in_table = |error: crate::Error| error.at(|place| place.table = Some(name.to_string()));
    let (columns, primary_key) = read_columns(cursor, flavor).map_err(in_table)?;
    Ok(TableMap::new(name, columns, primary_key))
}

fn terminated_name<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str> {
    let length = usize::from(cursor.u8()?);
    let name = cursor.identifier(length)?;
    let here = cursor.clone();
    if cursor.u8()? != 0 {
        return Err(here.corrupt("expected a zero byte behind a name"));
    }
    Ok(name)
}

fn read_columns(cursor: &mut Cursor<'_>, flavor: Flavor) -> Result<(Vec<WireColumn>, Option<Vec<usize>>)> {
    let count = cursor.packed_length()?;
    let types = cursor.take(count)?;
    let metadata_length = cursor.packed_length()?;
    let mut metadata = cursor.part(metadata_length)?;
    let nullable = cursor.take(count.div_ceil(8))?;
    let mut columns = Vec::with_capacity(count);
    for (index, code) in types.iter().enumerate() {
        let (code, metadata) = read_metadata(&mut metadata, *code)
            .map_err(|error| error.at(|place| place.column = Some(format!("number {}", index.saturating_add(1)))))?;
        columns.push(WireColumn::new(code, metadata, bit_from_low(nullable, index)));
    }
    if !metadata.is_empty() {
        return Err(metadata.corrupt(format!("{} bytes of column metadata belong to no column", metadata.remaining())));
    }
    let primary_key = read_optional(cursor, flavor, &mut columns)?;
    Ok((columns, primary_key))
}

/// Whether bit `index` is set, counted from the lowest bit of the first byte.
pub(in crate::decode) fn bit_from_low(bits: &[u8], index: usize) -> bool {
    bits.get(index / 8).is_some_and(|byte| (byte >> (index % 8)) & 1 != 0)
}

/// The real type and the metadata of a column of type `code`.
///
/// The metadata's two bytes are put together as the server does: the first one is the low one for VARCHAR and BIT and
/// the high one for DECIMAL (precision, scale) and for what is logged as STRING (real type, length).
fn read_metadata(metadata: &mut Cursor<'_>, code: u8) -> Result<(u8, u16)> {
    match code {
        value::FLOAT
        | value::DOUBLE
        | value::BLOB
        | value::TINY_BLOB
        | value::MEDIUM_BLOB
        | value::LONG_BLOB
        | value::GEOMETRY
        | value::JSON
        | value::VECTOR
        | value::TIME2
        | value::DATETIME2
        | value::TIMESTAMP2
        | value::BLOB_COMPRESSED => Ok((code, u16::from(metadata.u8()?))),
        value::VARCHAR | value::BIT | value::VARCHAR_COMPRESSED => Ok((code, metadata.u16()?)),
        value::NEWDECIMAL => Ok((code, u16::from_be_bytes(metadata.array()?))),
        value::STRING | value::VAR_STRING | value::ENUM | value::SET => {
            let here = metadata.clone();
            let [real, length] = metadata.array()?;
            let both = u16::from_be_bytes([real, length]);
            match real {
                value::ENUM | value::SET => Ok((real, both)),
                // The two bits that hide a long CHAR's length are inverted in the type.
                _ if real | 0x30 == value::STRING => Ok((value::STRING, both)),
                // The whole length, as servers before 5.0.3 declared VARCHAR; no newer server writes it.
                _ => Err(here.corrupt(format!("expected CHAR, ENUM or SET, found type {real}"))),
            }
        }
        value::TINY
        | value::SHORT
        | value::LONG
        | value::LONGLONG
        | value::INT24
        | value::NULL
        | value::DATE
        | value::NEWDATE
        | value::YEAR
        | value::TIME
        | value::DATETIME
        | value::TIMESTAMP => Ok((code, 0)),
        other => Err(unsupported(format!("columns of type {other} ({}) are not handled", value::type_name(other)))),
    }
}

/// Fields behind the columns, each with its length.
mod field {
    pub(super) const SIGNEDNESS: u8 = 1;
    pub(super) const DEFAULT_CHARSET: u8 = 2;
    pub(super) const COLUMN_CHARSET: u8 = 3;
    pub(super) const COLUMN_NAME: u8 = 4;
    pub(super) const SIMPLE_PRIMARY_KEY: u8 = 8;
    pub(super) const PRIMARY_KEY_WITH_PREFIX: u8 = 9;
    pub(super) const ENUM_AND_SET_DEFAULT_CHARSET: u8 = 10;
    pub(super) const ENUM_AND_SET_COLUMN_CHARSET: u8 = 11;
}

fn read_optional(cursor: &mut Cursor<'_>, flavor: Flavor, columns: &mut [WireColumn]) -> Result<Option<Vec<usize>>> {
    let mut primary_key = None;
    let is_text = |column: &WireColumn| has_charset(column.type_code, flavor);
    let is_enum_or_set = |column: &WireColumn| matches!(column.type_code, value::ENUM | value::SET);
    while !cursor.is_empty() {
        let number = cursor.u8()?;
        let length = cursor.packed_length()?;
        let mut part = cursor.part(length)?;
        match number {
            field::SIGNEDNESS => read_signedness(&mut part, columns)?,
            field::DEFAULT_CHARSET => read_default_charset(&mut part, columns, is_text)?,
            field::COLUMN_CHARSET => read_column_charset(&mut part, columns, is_text)?,
            field::ENUM_AND_SET_DEFAULT_CHARSET => read_default_charset(&mut part, columns, is_enum_or_set)?,
            field::ENUM_AND_SET_COLUMN_CHARSET => read_column_charset(&mut part, columns, is_enum_or_set)?,
            field::COLUMN_NAME => {
                for column in columns.iter_mut() {
                    let length = part.packed_length()?;
                    column.name = Some(part.identifier(length)?.to_owned());
                }
            }
            field::SIMPLE_PRIMARY_KEY | field::PRIMARY_KEY_WITH_PREFIX => {
                let mut key = Vec::new();
                while !part.is_empty() {
                    let here = part.clone();
                    let index = usize::try_from(part.packed_uint()?).ok().filter(|index| *index < columns.len());
                    key.push(index.ok_or_else(|| here.corrupt("a primary key names a column that is not there"))?);
                    if number == field::PRIMARY_KEY_WITH_PREFIX {
                        part.packed_uint()?;
                    }
                }
                primary_key = Some(key);
            }
            // Members of ENUM and SET, geometry types, visibility, dimensions: not needed to read values.
            _ => part.skip(length)?,
        }
        if !part.is_empty() {
            return Err(part.corrupt(format!(
                "expected the end of table map field {number}, found {} bytes more",
                part.remaining()
            )));
        }
    }
    Ok(primary_key)
}

/// Whether SIGNEDNESS has a bit for the type: all numbers, YEAR too, but not BIT (seen on MySQL 9.7 and MariaDB 10.5
/// to 11.8).
fn has_signedness(code: u8) -> bool {
    matches!(
        code,
        value::TINY
            | value::SHORT
            | value::INT24
            | value::LONG
            | value::LONGLONG
            | value::FLOAT
            | value::DOUBLE
            | value::NEWDECIMAL
            | value::YEAR
    )
}

fn is_integer(code: u8) -> bool {
    matches!(code, value::TINY | value::SHORT | value::INT24 | value::LONG | value::LONGLONG)
}

/// Whether DEFAULT_CHARSET and COLUMN_CHARSET count the type. MariaDB counts GEOMETRY and its compressed types too
/// (seen on 10.5 to 11.8); MySQL counts neither GEOMETRY nor JSON nor VECTOR (seen on 9.7).
fn has_charset(code: u8, flavor: Flavor) -> bool {
    match code {
        value::STRING
        | value::VARCHAR
        | value::VAR_STRING
        | value::BLOB
        | value::TINY_BLOB
        | value::MEDIUM_BLOB
        | value::LONG_BLOB => true,
        value::GEOMETRY | value::BLOB_COMPRESSED | value::VARCHAR_COMPRESSED => flavor == Flavor::MariaDb,
        _ => false,
    }
}

fn read_signedness(part: &mut Cursor<'_>, columns: &mut [WireColumn]) -> Result<()> {
    let count = columns.iter().filter(|column| has_signedness(column.type_code)).count();
    let here = part.clone();
    let bits = part.rest();
    if bits.len() != count.div_ceil(8) {
        return Err(here.corrupt(format!("expected signs of {count} numeric columns, found {} bytes", bits.len())));
    }
    let numeric = columns.iter_mut().filter(|column| has_signedness(column.type_code));
    for (index, column) in numeric.enumerate() {
        // From the highest bit of the first byte.
        let is_set = bits.get(index / 8).is_some_and(|byte| (byte.wrapping_shl(bit_number(index))) & 0x80 != 0);
        if is_integer(column.type_code) {
            column.is_unsigned = Some(is_set);
        }
    }
    Ok(())
}

fn bit_number(index: usize) -> u32 {
    u32::try_from(index % 8).unwrap_or(0)
}

fn collation(part: &mut Cursor<'_>) -> Result<u16> {
    let here = part.clone();
    u16::try_from(part.packed_uint()?).map_err(|_| here.corrupt("expected a collation of at most 65535"))
}

/// One collation for all columns of the kind, then pairs of a column's number among them and its collation.
fn read_default_charset(
    part: &mut Cursor<'_>,
    columns: &mut [WireColumn],
    counts: impl Fn(&WireColumn) -> bool,
) -> Result<()> {
    let default = collation(part)?;
    let mut counted: Vec<&mut WireColumn> = columns.iter_mut().filter(|column| counts(column)).collect();
    for column in &mut counted {
        column.collation = Some(default);
    }
    while !part.is_empty() {
        let here = part.clone();
        let index = usize::try_from(part.packed_uint()?).ok();
        let collation = collation(part)?;
        match index.and_then(|index| counted.get_mut(index)) {
            Some(column) => column.collation = Some(collation),
            None => return Err(here.corrupt("a collation is given for a column that is not there")),
        }
    }
    Ok(())
}

/// A collation for each column of the kind.
fn read_column_charset(
    part: &mut Cursor<'_>,
    columns: &mut [WireColumn],
    counts: impl Fn(&WireColumn) -> bool,
) -> Result<()> {
    for column in columns.iter_mut().filter(|column| counts(column)) {
        column.collation = Some(collation(part)?);
    }
    Ok(())
}
