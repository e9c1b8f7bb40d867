//! TABLE_MAP: a table's columns, and since MySQL 8.0.1 and MariaDB 10.5 more about them (MySQL source,
//! `libs/mysql/binlog/event/rows_event.h`, `Table_map_event`; MariaDB source, `sql/log_event_server.cc`,
//! `Table_map_log_event::init_metadata_fields`).

use super::Layout;
use crate::decode::charset::Charset;
use crate::decode::cursor::Cursor;
use crate::decode::fault::unsupported;
use crate::decode::value;
use crate::error::Result;
use crate::model::{Flavor, TableName};

/// A table as a table map event describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableMap {
    /// Its name.
    pub name: TableName,
    /// Its columns in order.
    pub columns: Vec<WireColumn>,
    /// Indexes of the primary key's columns, where the log says (`binlog_row_metadata=FULL`).
    pub primary_key: Option<Vec<usize>>,
    layout: Layout,
}

impl TableMap {
    /// A map by its parts.
    pub fn new(
        flavor: Flavor,
        name: TableName,
        mut columns: Vec<WireColumn>,
        primary_key: Option<Vec<usize>>,
    ) -> TableMap {
        for column in &mut columns {
            column.charset = column.collation.and_then(|collation| Charset::of_collation(flavor, collation));
        }
        let layout = Layout::new(&columns, flavor);
        TableMap { name, columns, primary_key, layout }
    }

    pub(in crate::decode) fn layout(&self) -> &Layout {
        &self.layout
    }
}

/// A column as a table map event describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WireColumn {
    /// The type's number (MySQL source, `enum_field_types`), after ENUM, SET and long CHAR were told from STRING.
    pub type_code: u8,
    /// The type's metadata, as the event has it (one or two bytes).
    pub metadata: u16,
    /// Whether NULL is allowed.
    pub is_nullable: bool,
    /// Whether an integer is unsigned, where the log says.
    pub is_unsigned: Option<bool>,
    /// The collation's number of a text, ENUM or SET column, where the log says.
    pub collation: Option<u16>,
    /// The character set of that collation.
    pub charset: Option<Charset>,
    /// The name, where the log says (`binlog_row_metadata=FULL`).
    pub name: Option<String>,
    /// Whether `SELECT *` shows the column, where the log says (MySQL 8.0.23 and newer, FULL).
    pub is_visible: Option<bool>,
    /// The members of an ENUM or SET in the column's character set, where the log says (FULL).
    pub members: Option<Vec<Vec<u8>>>,
    /// The kind of a GEOMETRY column, where the log says: 0 any, 1 point, and on as `Field::geometry_type` counts.
    pub geometry_type: Option<u8>,
    /// A VECTOR's most entries, where the log says.
    pub dimensions: Option<u32>,
    /// Digits of the fraction of a MariaDB column of types 7, 11 and 12, as [`DecoderOptions::declare_fraction`] was
    /// told.
    ///
    /// [`DecoderOptions::declare_fraction`]: crate::decode::DecoderOptions::declare_fraction
    pub declared_fraction: Option<u8>,
}

impl WireColumn {
    /// A column by what every table map has.
    pub fn new(type_code: u8, metadata: u16, is_nullable: bool) -> WireColumn {
        WireColumn {
            type_code,
            metadata,
            is_nullable,
            is_unsigned: None,
            collation: None,
            charset: None,
            name: None,
            is_visible: None,
            members: None,
            geometry_type: None,
            dimensions: None,
            declared_fraction: None,
        }
    }

    /// Of CHAR and BINARY the length in bytes; `None` for other types. A BINARY value comes without its trailing zero
    /// bytes, and is as long as this where it is selected.
    pub fn fixed_length(&self) -> Option<u16> {
        (self.type_code == value::STRING).then(|| value::text::fixed_length(self.metadata))
    }
}

impl WireColumn {
    /// The column as [`read_metadata`] reads it: writes the metadata and gives the type.
    pub(crate) fn write_format(&self, metadata: &mut Vec<u8>) -> u8 {
        let [high, low] = self.metadata.to_be_bytes();
        match metadata_form(self.type_code) {
            None | Some(MetadataForm::Nothing) => {}
            Some(MetadataForm::Byte) => metadata.push(low),
            Some(MetadataForm::LowFirst) => metadata.extend([low, high]),
            Some(MetadataForm::HighFirst | MetadataForm::RealType) => metadata.extend([high, low]),
        }
        match self.type_code {
            value::ENUM | value::SET => value::STRING,
            code => code,
        }
    }
}

/// What the table's definition says of columns that the log does not describe fully: digits by column index.
pub(super) type Fractions<'a> = &'a dyn Fn(&TableName, usize) -> Option<u8>;

/// The id by which row events name the table.
pub(in crate::decode) fn read_id(cursor: &mut Cursor<'_>, post_header_length: u8) -> Result<u64> {
    // 4 bytes in the first versions of row logs, whose fixed part has 6 bytes.
    cursor.uint_le(if post_header_length == 6 { 4 } else { 6 })
}

/// Reads all behind the id.
pub(super) fn read(cursor: &mut Cursor<'_>, flavor: Flavor, fractions: Fractions<'_>) -> Result<TableMap> {
    let _flags = cursor.u16()?;
    let schema = terminated_name(cursor)?;
    let table = terminated_name(cursor)?;
    let name = TableName::new(schema, table);
    let in_table = |error: crate::Error| error.at(|place| place.table = Some(name.to_string()));
    let (mut columns, primary_key) = read_columns(cursor, flavor).map_err(in_table)?;
    for (index, column) in columns.iter_mut().enumerate() {
        if flavor == Flavor::MariaDb && matches!(column.type_code, value::TIME | value::DATETIME | value::TIMESTAMP) {
            column.declared_fraction = fractions(&name, index);
        }
    }
    Ok(TableMap::new(flavor, name, columns, primary_key))
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
    let here = cursor.clone();
    let count = cursor.packed_length()?;
    // As many as a row event can name; servers have at most 4,096.
    if count > usize::from(u16::MAX) {
        return Err(here.corrupt(format!("expected at most 65535 columns, found {count}")));
    }
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

/// How the metadata of a type stands in the log.
enum MetadataForm {
    Nothing,
    Byte,
    /// Two bytes, the low one first.
    LowFirst,
    /// Two bytes, the high one first: precision and scale.
    HighFirst,
    /// Two bytes, the high one first: the real type of what is logged as STRING, and the length.
    RealType,
}

/// `None`: this version does not know the type.
fn metadata_form(code: u8) -> Option<MetadataForm> {
    match code {
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
        | value::TIMESTAMP => Some(MetadataForm::Nothing),
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
        | value::BLOB_COMPRESSED => Some(MetadataForm::Byte),
        value::VARCHAR | value::BIT | value::VARCHAR_COMPRESSED => Some(MetadataForm::LowFirst),
        value::NEWDECIMAL => Some(MetadataForm::HighFirst),
        value::STRING | value::VAR_STRING | value::ENUM | value::SET => Some(MetadataForm::RealType),
        _ => None,
    }
}

/// The real type and the metadata of a column of type `code`; two bytes are put together as the server does.
fn read_metadata(metadata: &mut Cursor<'_>, code: u8) -> Result<(u8, u16)> {
    match metadata_form(code) {
        Some(MetadataForm::Nothing) => Ok((code, 0)),
        Some(MetadataForm::Byte) => Ok((code, u16::from(metadata.u8()?))),
        Some(MetadataForm::LowFirst) => Ok((code, metadata.u16()?)),
        Some(MetadataForm::HighFirst) => Ok((code, u16::from_be_bytes(metadata.array()?))),
        Some(MetadataForm::RealType) => {
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
        None => Err(unsupported(format!("columns of type {code} ({}) are not handled", value::type_name(code)))),
    }
}

/// Fields behind the columns, each with its length.
mod field {
    pub(super) const SIGNEDNESS: u8 = 1;
    pub(super) const DEFAULT_CHARSET: u8 = 2;
    pub(super) const COLUMN_CHARSET: u8 = 3;
    pub(super) const COLUMN_NAME: u8 = 4;
    pub(super) const SET_MEMBERS: u8 = 5;
    pub(super) const ENUM_MEMBERS: u8 = 6;
    pub(super) const GEOMETRY_TYPE: u8 = 7;
    pub(super) const SIMPLE_PRIMARY_KEY: u8 = 8;
    pub(super) const PRIMARY_KEY_WITH_PREFIX: u8 = 9;
    pub(super) const ENUM_AND_SET_DEFAULT_CHARSET: u8 = 10;
    pub(super) const ENUM_AND_SET_COLUMN_CHARSET: u8 = 11;
    pub(super) const COLUMN_VISIBILITY: u8 = 12;
    pub(super) const VECTOR_DIMENSIONALITY: u8 = 13;
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
            field::SET_MEMBERS => read_members(&mut part, columns, value::SET)?,
            field::ENUM_MEMBERS => read_members(&mut part, columns, value::ENUM)?,
            field::GEOMETRY_TYPE => {
                for column in of_type(columns, value::GEOMETRY) {
                    column.geometry_type = u8::try_from(part.packed_uint()?).ok();
                }
            }
            field::VECTOR_DIMENSIONALITY => {
                for column in of_type(columns, value::VECTOR) {
                    column.dimensions = u32::try_from(part.packed_uint()?).ok();
                }
            }
            field::COLUMN_VISIBILITY => {
                let bits = part.take(columns.len().div_ceil(8))?;
                for (index, column) in columns.iter_mut().enumerate() {
                    column.is_visible = Some(bit_from_high(bits, index));
                }
            }
            // A newer server's field: it only adds to what is known of the columns.
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
        if is_integer(column.type_code) {
            column.is_unsigned = Some(bit_from_high(bits, index));
        }
    }
    Ok(())
}

/// Whether bit `index` is set, counted from the highest bit of the first byte.
fn bit_from_high(bits: &[u8], index: usize) -> bool {
    bits.get(index / 8).is_some_and(|byte| byte & (0x80 >> (index % 8)) != 0)
}

fn of_type(columns: &mut [WireColumn], code: u8) -> impl Iterator<Item = &mut WireColumn> {
    columns.iter_mut().filter(move |column| column.type_code == code)
}

fn read_members(part: &mut Cursor<'_>, columns: &mut [WireColumn], code: u8) -> Result<()> {
    for column in of_type(columns, code) {
        // No allocation by the count, which is only a claim; each member takes a byte at least.
        let count = part.packed_length()?;
        let mut members = Vec::new();
        for _ in 0..count {
            let length = part.packed_length()?;
            members.push(part.take(length)?.to_vec());
        }
        column.members = Some(members);
    }
    Ok(())
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
