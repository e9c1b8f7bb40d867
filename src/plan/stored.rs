//! Whether green stores a value in the very bytes that blue's log has, so that a row event of these bytes makes the same
//! row there.
//!
//! A row event is stored as it is: nothing converts or checks its values. So a column is asked for all that its bytes
//! depend on, and whatever is not known to be alike is not: such a table gets statements.
//!
//! Formats: MySQL source, `sql/field.cc`, `do_save_field_metadata` of each type; both flavours.

use mysql_common::constants::ColumnType as Wire;

use super::{TargetColumn, TargetTable};
use crate::decode::charset::Charset;
use crate::decode::{Image, TableMap, ValueRef, WireColumn};
use crate::error::Result;
use crate::model::{Column, ColumnKind};

/// A column's type and metadata as a server logs them ([`WireColumn`] has the same); `None`: not known, or of a kind that
/// is not compared.
pub(super) fn format(column: &Column) -> Option<(u8, u16)> {
    if column.is_generated {
        return None;
    }
    let declared = Declared::read(&column.full_type)?;
    let metadata = match (column.kind, declared.name.as_str()) {
        (ColumnKind::Integer(_) | ColumnKind::Year | ColumnKind::Date, _) => 0,
        (ColumnKind::Decimal, _) => match *declared.numbers()? {
            [precision, scale] => (precision << 8) | scale,
            _ => return None,
        },
        // A float of declared digits is rounded where it is stored, and the log does not say so.
        (ColumnKind::Float, _) if declared.arguments.is_empty() => 4,
        (ColumnKind::Double, _) if declared.arguments.is_empty() => 8,
        (ColumnKind::Bit, _) => declared.one().map(|bits| ((bits / 8) << 8) | (bits % 8))?,
        (ColumnKind::Time | ColumnKind::DateTime | ColumnKind::Timestamp, _) => match declared.arguments.is_empty() {
            true => 0,
            false => declared.one()?,
        },
        (ColumnKind::Text | ColumnKind::Binary | ColumnKind::FixedBinary, name) => match name {
            "char" | "binary" => {
                let bytes = declared.one()?.checked_mul(bytes_per_character(column)?)?;
                // The two high bits of the length are in the type.
                u16::from_be_bytes([Wire::MYSQL_TYPE_STRING as u8 ^ ((bytes >> 4) & 0x30) as u8, bytes as u8])
            }
            "varchar" | "varbinary" => declared.one()?.checked_mul(bytes_per_character(column)?)?,
            "tinytext" | "tinyblob" => 1,
            "text" | "blob" => 2,
            "mediumtext" | "mediumblob" => 3,
            "longtext" | "longblob" => 4,
            _ => return None,
        },
        (ColumnKind::Enum, _) => match declared.members()? {
            0..=255 => packed(Wire::MYSQL_TYPE_ENUM, 1),
            _ => packed(Wire::MYSQL_TYPE_ENUM, 2),
        },
        (ColumnKind::Set, _) => match declared.members()?.div_ceil(8) {
            bytes @ 1..=4 => packed(Wire::MYSQL_TYPE_SET, bytes as u8),
            _ => packed(Wire::MYSQL_TYPE_SET, 8),
        },
        (ColumnKind::Json, "json") => 4,
        _ => return None,
    };
    Some((type_code(column.kind, &declared.name)? as u8, metadata))
}

fn packed(wire: Wire, bytes: u8) -> u16 {
    u16::from_be_bytes([wire as u8, bytes])
}

fn type_code(kind: ColumnKind, name: &str) -> Option<Wire> {
    Some(match kind {
        ColumnKind::Integer(1) => Wire::MYSQL_TYPE_TINY,
        ColumnKind::Integer(2) => Wire::MYSQL_TYPE_SHORT,
        ColumnKind::Integer(3) => Wire::MYSQL_TYPE_INT24,
        ColumnKind::Integer(4) => Wire::MYSQL_TYPE_LONG,
        ColumnKind::Integer(8) => Wire::MYSQL_TYPE_LONGLONG,
        ColumnKind::Decimal => Wire::MYSQL_TYPE_NEWDECIMAL,
        ColumnKind::Float => Wire::MYSQL_TYPE_FLOAT,
        ColumnKind::Double => Wire::MYSQL_TYPE_DOUBLE,
        ColumnKind::Bit => Wire::MYSQL_TYPE_BIT,
        ColumnKind::Text | ColumnKind::Binary | ColumnKind::FixedBinary => match name {
            "char" | "binary" => Wire::MYSQL_TYPE_STRING,
            "varchar" | "varbinary" => Wire::MYSQL_TYPE_VARCHAR,
            _ => Wire::MYSQL_TYPE_BLOB,
        },
        ColumnKind::Enum => Wire::MYSQL_TYPE_ENUM,
        ColumnKind::Set => Wire::MYSQL_TYPE_SET,
        ColumnKind::Year => Wire::MYSQL_TYPE_YEAR,
        ColumnKind::Date => Wire::MYSQL_TYPE_DATE,
        ColumnKind::Time => Wire::MYSQL_TYPE_TIME2,
        ColumnKind::DateTime => Wire::MYSQL_TYPE_DATETIME2,
        ColumnKind::Timestamp => Wire::MYSQL_TYPE_TIMESTAMP2,
        ColumnKind::Json => Wire::MYSQL_TYPE_JSON,
        _ => return None,
    })
}

fn bytes_per_character(column: &Column) -> Option<u16> {
    match column.kind {
        ColumnKind::Text => Charset::from_name(column.charset.as_deref()?)?.max_bytes(),
        _ => Some(1),
    }
}

/// A type as a server prints it: a name, what is in parentheses, and words behind it.
struct Declared<'t> {
    name: String,
    arguments: &'t str,
}

impl<'t> Declared<'t> {
    /// `None` where words follow that may change how values are stored (`COMPRESSED`, an old format of times).
    fn read(full_type: &'t str) -> Option<Declared<'t>> {
        let end = full_type.find(['(', ' ']).unwrap_or(full_type.len());
        let (name, rest) = full_type.split_at(end);
        let (arguments, words) = match rest.strip_prefix('(') {
            Some(rest) => rest.rsplit_once(')')?,
            None => ("", rest),
        };
        let is_plain = words.split_whitespace().all(|word| matches!(word, "unsigned" | "zerofill"));
        is_plain.then(|| Declared { name: name.to_ascii_lowercase(), arguments })
    }

    fn numbers(&self) -> Option<Vec<u16>> {
        self.arguments.split(',').map(|number| number.trim().parse().ok()).collect()
    }

    fn one(&self) -> Option<u16> {
        self.arguments.parse().ok()
    }

    /// How many members an ENUM or SET has: quoted, a quote inside doubled.
    fn members(&self) -> Option<usize> {
        let mut is_quoted = false;
        let commas = self.arguments.bytes().filter(|byte| {
            is_quoted ^= *byte == b'\'';
            *byte == b',' && !is_quoted
        });
        let count = commas.count() + 1;
        (!is_quoted && self.arguments.starts_with('\'')).then_some(count)
    }
}

impl TargetTable {
    /// Whether its rows can be made by row events at all: whatever the order, each by its primary key, and with nothing
    /// that green computes.
    pub(super) fn can_store_rows(&self, engine: &str) -> bool {
        let has_known_columns = self.columns.iter().all(|column| column.stored_as.is_some());
        // The server's own names go into an event as they are.
        let has_short_name = self.name.schema.len() < 256 && self.name.table.len() < 256;
        has_known_columns
            && has_short_name
            && self.is_mergeable
            && self.has_primary_key
            && engine.eq_ignore_ascii_case("InnoDB")
    }

    /// Whether it stores the log's values in the log's own bytes. Then the columns of text of which the log does not say
    /// the character set, to be looked at by [`is_text`].
    pub(crate) fn stores(&self, wire: &TableMap) -> Option<Vec<usize>> {
        let columns = || wire.columns.iter().zip(&self.columns);
        let is_alike = self.stores_rows
            && wire.columns.len() == self.columns.len()
            && columns().all(|(from, to)| is_stored_alike(from, to));
        let is_unknown =
            |(from, to): (&WireColumn, &TargetColumn)| to.kind == ColumnKind::Text && from.charset.is_none();
        is_alike.then(|| columns().enumerate().filter(|(_, pair)| is_unknown(*pair)).map(|(index, _)| index).collect())
    }
}

/// All but what `mapping::check` has compared: names, signs, character sets.
fn is_stored_alike(from: &WireColumn, to: &TargetColumn) -> bool {
    to.stored_as == Some((from.type_code, from.metadata)) && from.is_nullable == to.is_nullable
}

/// Whether these columns hold text of green's character sets: green would refuse a literal that is none, and asks nothing
/// of a row event.
///
/// # Errors
/// `Corrupt`.
pub(crate) fn is_text(image: &Image<'_>, columns: &[usize], table: &TargetTable) -> Result<bool> {
    for &index in columns {
        let Some(ValueRef::Bytes(bytes)) = image.get(index)? else { continue };
        let charset = table.columns.get(index).and_then(|column| column.known_charset);
        if charset.is_none_or(|charset| charset.text(bytes).is_none()) {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged(kind: ColumnKind, full_type: &str, charset: Option<&str>) -> Option<(u8, u16)> {
        format(&Column { charset: charset.map(str::to_owned), ..Column::sample("c", kind, full_type) })
    }

    #[test]
    fn types_are_logged_with_what_their_bytes_depend_on() {
        for (kind, full_type, charset, wire) in [
            (ColumnKind::Integer(4), "int(10) unsigned zerofill", None, (3, 0)),
            (ColumnKind::Decimal, "decimal(12,2) unsigned", None, (246, 0x0c02)),
            (ColumnKind::Float, "float", None, (4, 4)),
            (ColumnKind::Bit, "bit(13)", None, (16, 0x0105)),
            (ColumnKind::Text, "char(10)", Some("latin1"), (254, 0xfe0a)),
            (ColumnKind::Text, "char(255)", Some("utf8mb4"), (254, 0xcefc)),
            (ColumnKind::Text, "varchar(40)", Some("utf8"), (15, 120)),
            (ColumnKind::Text, "mediumtext", Some("utf8mb4"), (252, 3)),
            (ColumnKind::FixedBinary, "binary(4)", None, (254, 0xfe04)),
            (ColumnKind::Binary, "varbinary(100)", None, (15, 100)),
            (ColumnKind::Binary, "blob", None, (252, 2)),
            (ColumnKind::Enum, "enum('a,b','c''d')", Some("utf8mb4"), (247, 0xf701)),
            (ColumnKind::Set, "set('a','b','c','d','e','f','g','h','i')", Some("utf8mb4"), (248, 0xf802)),
            (ColumnKind::DateTime, "datetime(6)", None, (18, 6)),
            (ColumnKind::Timestamp, "timestamp", None, (17, 0)),
            (ColumnKind::Json, "json", None, (245, 4)),
        ] {
            assert_eq!(logged(kind, full_type, charset), Some(wire), "{full_type}");
        }
    }

    #[test]
    fn what_is_not_known_has_no_format() {
        for (kind, full_type, charset) in [
            (ColumnKind::Float, "float(7,4)", None),
            (ColumnKind::Text, "varchar(40)", Some("no_such_set")),
            (ColumnKind::Text, "varchar(40)", None),
            (ColumnKind::Text, "varchar(40) /*M!100301 COMPRESSED*/", Some("latin1")),
            (ColumnKind::DateTime, "datetime /* mariadb-5.3 */", None),
            (ColumnKind::Geometry, "point", None),
            (ColumnKind::Other, "uuid", None),
        ] {
            assert_eq!(logged(kind, full_type, charset), None, "{full_type}");
        }
    }
}
