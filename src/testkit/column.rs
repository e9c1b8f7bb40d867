//! A table's columns as TABLE_MAP describes them (MySQL source, `libs/mysql/binlog/event/rows_event.h`,
//! `Table_map_event`; the metadata of each type: `sql/field.cc`, `do_save_field_metadata`; the compressed types: MariaDB
//! source, `sql/field.h`).

use crate::model::Flavor;

/// The binary collation: bytes, no text.
const BINARY: u16 = 63;

/// What values a column holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ColumnType {
    /// TINYINT to BIGINT: 1, 2, 3, 4 or 8 bytes.
    Integer(u8),
    /// FLOAT.
    Float,
    /// DOUBLE.
    Double,
    /// DECIMAL: digits in all, and digits behind the point.
    Decimal(u8, u8),
    /// BIT: 1 to 64 bits.
    Bit(u8),
    /// ENUM, with its members.
    Enum(Vec<String>),
    /// SET, with its members.
    Set(Vec<String>),
    /// CHAR or BINARY of up to so many bytes, at most 1023.
    Char(u16),
    /// VARCHAR or VARBINARY of up to so many bytes.
    VarChar(u16),
    /// BLOB or TEXT whose length takes 1 to 4 bytes.
    Blob(u8),
    /// GEOMETRY or, by its number, one of its subtypes.
    Geometry(u8),
    /// VECTOR of MySQL, of so many dimensions.
    Vector(u16),
    /// JSON of MySQL.
    Json,
    /// YEAR.
    Year,
    /// DATE.
    Date,
    /// TIME with 0 to 6 digits of a fraction.
    Time(u8),
    /// DATETIME with 0 to 6 digits of a fraction.
    DateTime(u8),
    /// TIMESTAMP with 0 to 6 digits of a fraction.
    Timestamp(u8),
    /// TIME of a table made before 5.6.
    OldTime,
    /// DATETIME of a table made before 5.6.
    OldDateTime,
    /// TIMESTAMP of a table made before 5.6.
    OldTimestamp,
    /// VARCHAR COMPRESSED of MariaDB, of up to so many bytes as stored.
    VarCharCompressed(u16),
    /// BLOB COMPRESSED of MariaDB, whose stored length takes 1 to 4 bytes.
    BlobCompressed(u8),
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnSpec {
    pub(super) kind: ColumnType,
    pub(super) name: String,
    pub(super) is_unsigned: bool,
    pub(super) is_nullable: bool,
    pub(super) is_visible: bool,
    pub(super) collation: u16,
}

impl ColumnSpec {
    /// A visible column that takes no NULL, with a sign and the binary collation.
    pub fn new(kind: ColumnType) -> ColumnSpec {
        ColumnSpec {
            kind,
            name: String::new(),
            is_unsigned: false,
            is_nullable: false,
            is_visible: true,
            collation: BINARY,
        }
    }

    /// INT.
    pub fn int() -> ColumnSpec {
        ColumnSpec::new(ColumnType::Integer(4))
    }

    /// BIGINT.
    pub fn bigint() -> ColumnSpec {
        ColumnSpec::new(ColumnType::Integer(8))
    }

    /// VARCHAR of up to so many bytes.
    pub fn varchar(max_bytes: u16) -> ColumnSpec {
        ColumnSpec::new(ColumnType::VarChar(max_bytes))
    }

    /// Names it; only full metadata tells.
    #[must_use]
    pub fn named(self, name: &str) -> ColumnSpec {
        ColumnSpec { name: name.to_owned(), ..self }
    }

    /// Takes the sign away.
    #[must_use]
    pub fn unsigned(self) -> ColumnSpec {
        ColumnSpec { is_unsigned: true, ..self }
    }

    /// Allows NULL.
    #[must_use]
    pub fn nullable(self) -> ColumnSpec {
        ColumnSpec { is_nullable: true, ..self }
    }

    /// Hides it from `SELECT *`.
    #[must_use]
    pub fn invisible(self) -> ColumnSpec {
        ColumnSpec { is_visible: false, ..self }
    }

    /// Sets the collation by its number.
    #[must_use]
    pub fn collation(self, collation: u16) -> ColumnSpec {
        ColumnSpec { collation, ..self }
    }

    /// The type's number in TABLE_MAP.
    pub(super) fn type_code(&self) -> u8 {
        match self.kind {
            ColumnType::Integer(1) => 1,
            ColumnType::Integer(2) => 2,
            ColumnType::Integer(3) => 9,
            ColumnType::Integer(4) => 3,
            ColumnType::Integer(8) => 8,
            ColumnType::Integer(width) => panic!("no integer has {width} bytes"),
            ColumnType::Float => 4,
            ColumnType::Double => 5,
            ColumnType::OldTimestamp => 7,
            ColumnType::Date => 10,
            ColumnType::OldTime => 11,
            ColumnType::OldDateTime => 12,
            ColumnType::Year => 13,
            ColumnType::VarChar(_) => 15,
            ColumnType::Bit(_) => 16,
            ColumnType::Timestamp(_) => 17,
            ColumnType::DateTime(_) => 18,
            ColumnType::Time(_) => 19,
            ColumnType::BlobCompressed(_) => 140,
            ColumnType::VarCharCompressed(_) => 141,
            ColumnType::Vector(_) => 242,
            ColumnType::Json => 245,
            ColumnType::Decimal(..) => 246,
            ColumnType::Blob(_) => 252,
            // ENUM and SET are logged as CHAR, with their own number in the metadata.
            ColumnType::Enum(_) | ColumnType::Set(_) | ColumnType::Char(_) => STRING,
            ColumnType::Geometry(_) => 255,
        }
    }

    /// What TABLE_MAP says beside the type's number.
    pub(super) fn metadata(&self) -> Vec<u8> {
        match &self.kind {
            ColumnType::Float => vec![4],
            ColumnType::Double => vec![8],
            ColumnType::Decimal(precision, scale) => vec![*precision, *scale],
            ColumnType::Bit(bits) => vec![bits % 8, bits / 8],
            ColumnType::Enum(members) => vec![ENUM, enum_width(members.len()) as u8],
            ColumnType::Set(members) => vec![SET, set_width(members.len()) as u8],
            ColumnType::Char(length) => {
                let [high, low] = length.to_be_bytes();
                // The high bits hide inverted in the type's number.
                vec![STRING ^ (high << 4), low]
            }
            ColumnType::VarChar(length) | ColumnType::VarCharCompressed(length) => length.to_le_bytes().to_vec(),
            ColumnType::Blob(width) | ColumnType::BlobCompressed(width) => vec![*width],
            ColumnType::Json | ColumnType::Geometry(_) | ColumnType::Vector(_) => vec![4],
            ColumnType::Time(fsp) | ColumnType::DateTime(fsp) | ColumnType::Timestamp(fsp) => vec![*fsp],
            ColumnType::Integer(_)
            | ColumnType::Year
            | ColumnType::Date
            | ColumnType::OldTime
            | ColumnType::OldDateTime
            | ColumnType::OldTimestamp => Vec::new(),
        }
    }

    /// Whether the metadata has a bit for its sign: all numbers, YEAR too, but not BIT.
    pub(super) fn has_sign(&self) -> bool {
        matches!(
            self.kind,
            ColumnType::Integer(_)
                | ColumnType::Float
                | ColumnType::Double
                | ColumnType::Decimal(..)
                | ColumnType::Year
        )
    }

    /// Whether the metadata counts it among the columns of text. MariaDB counts GEOMETRY and its compressed types too.
    pub(super) fn is_text(&self, flavor: Flavor) -> bool {
        match self.kind {
            ColumnType::Char(_) | ColumnType::VarChar(_) | ColumnType::Blob(_) => true,
            ColumnType::Geometry(_) | ColumnType::VarCharCompressed(_) | ColumnType::BlobCompressed(_) => {
                flavor == Flavor::MariaDb
            }
            _ => false,
        }
    }
}

const ENUM: u8 = 247;
const SET: u8 = 248;
const STRING: u8 = 254;

/// Bytes of an ENUM's value (MySQL source, `sql/field.h`, `get_enum_pack_length`).
pub(super) fn enum_width(members: usize) -> usize {
    if members < 256 { 1 } else { 2 }
}

/// Bytes of a SET's value (MySQL source, `sql/field.h`, `get_set_pack_length`).
pub(super) fn set_width(members: usize) -> usize {
    match members.div_ceil(8) {
        width @ 0..=4 => width,
        _ => 8,
    }
}
