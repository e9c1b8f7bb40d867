//! Columns and rows as texts that are equal exactly where the values are.
//!
//! Only functions that MySQL 5.6 to 9.7 and MariaDB 10.5 to 11.8 share are used, and only forms whose text is the same
//! on all of them.

use crate::model::{Column, ColumnKind};
use crate::net::identifier;

/// Text and bytes of up to this many bytes take part as hexadecimal; longer ones as their own SHA-256, so that no
/// row's text comes near `max_allowed_packet`.
const SHORT: u64 = 4096;

/// How a column's value is turned into text; decided once for both servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// The server's own text: integers, decimals, temporals.
    Plain,
    /// Integers of which a side has ZEROFILL.
    Integer,
    /// Decimals of different scales, at the larger one.
    Decimal(u8),
    /// FLOAT and DOUBLE: as a double, whose text has all its digits. FLOAT's own text has six. `* 1e0` and not
    /// `+ 0e0`, which would lose the sign of -0.0.
    Real,
    /// BIT, ENUM and SET by number.
    Number,
    /// DATETIME and TIMESTAMP of different precisions.
    DateTime,
    /// TIME of different precisions.
    Time,
    /// Bytes as they are stored, in hexadecimal: case, accents and trailing spaces count.
    Hex,
    /// The same, hashed.
    HexHash,
    /// Text of different character sets, in hexadecimal as utf8mb4.
    Unicode,
    /// The same, hashed.
    UnicodeHash,
    /// GEOMETRY and VECTOR, which no function hashes as they are.
    BytesHash,
    /// JSON as the server reads its own text again: a DECIMAL inside becomes the number that it also becomes when a
    /// document is written as text.
    Json,
    /// Types without a form of their own: the server's text, in hexadecimal.
    Other,
}

impl Form {
    /// The form in which a column of blue and its counterpart on green can be compared. `is_key`: the value must be
    /// found again in the text, so it is never hashed.
    pub(super) fn of(blue: &Column, green: &Column, is_key: bool) -> Form {
        use ColumnKind as Kind;
        let is_same = blue.full_type.eq_ignore_ascii_case(&green.full_type);
        let length = blue.length.unwrap_or(u64::MAX).max(green.length.unwrap_or(u64::MAX));
        let is_short = |width: u64| is_key || length.saturating_mul(width) <= SHORT;
        let has_zerofill =
            [blue, green].iter().any(|column| column.full_type.to_ascii_lowercase().contains("zerofill"));
        match (blue.kind, green.kind) {
            (Kind::Integer(_), Kind::Integer(_)) if !is_same && has_zerofill => Form::Integer,
            (Kind::Integer(_), Kind::Integer(_)) => Form::Plain,
            (Kind::Decimal, Kind::Decimal) if is_same => Form::Plain,
            (Kind::Decimal, Kind::Decimal) => Form::Decimal(scale(blue).max(scale(green))),
            (Kind::Float | Kind::Double, Kind::Float | Kind::Double) => Form::Real,
            (Kind::Bit, Kind::Bit) => Form::Number,
            (Kind::Enum, Kind::Enum) | (Kind::Set, Kind::Set) if is_same => Form::Number,
            (Kind::Year, Kind::Year) | (Kind::Date, Kind::Date) => Form::Plain,
            (Kind::Time, Kind::Time) => if_same(is_same, Form::Time),
            (Kind::DateTime | Kind::Timestamp, Kind::DateTime | Kind::Timestamp) => {
                if_same(is_same || temporal_digits(blue) == temporal_digits(green), Form::DateTime)
            }
            (Kind::FixedBinary | Kind::Binary, Kind::FixedBinary | Kind::Binary) if is_short(1) => Form::Hex,
            (Kind::FixedBinary | Kind::Binary, Kind::FixedBinary | Kind::Binary) => Form::HexHash,
            (Kind::Json, Kind::Json) => Form::Json,
            (Kind::Geometry, Kind::Geometry) | (Kind::Vector, Kind::Vector) => Form::BytesHash,
            (Kind::Text, Kind::Text) if charset(blue) == charset(green) => {
                if is_short(4) {
                    Form::Hex
                } else {
                    Form::HexHash
                }
            }
            (Kind::Text | Kind::Enum | Kind::Set, Kind::Text | Kind::Enum | Kind::Set) => {
                if is_short(4) {
                    Form::Unicode
                } else {
                    Form::UnicodeHash
                }
            }
            _ => Form::Other,
        }
    }

    /// The expression over a column of either server.
    pub(super) fn sql(self, column: &str) -> String {
        let c = identifier(column);
        match self {
            Form::Plain => c,
            Form::Integer => format!("({c} + 0)"),
            Form::Decimal(scale) => format!("CAST({c} AS DECIMAL(65,{scale}))"),
            Form::Real => format!("({c} * 1e0)"),
            Form::Number => format!("CAST({c} AS UNSIGNED)"),
            Form::DateTime => format!("CAST({c} AS DATETIME(6))"),
            Form::Time => format!("CAST({c} AS TIME(6))"),
            Form::Hex => format!("HEX({c})"),
            Form::HexHash => format!("SHA2({c},256)"),
            Form::Unicode => format!("HEX(CONVERT({c} USING utf8mb4))"),
            Form::UnicodeHash => format!("SHA2(CONVERT({c} USING utf8mb4),256)"),
            Form::BytesHash => format!("SHA2(CAST({c} AS BINARY),256)"),
            Form::Json => format!("SHA2(CAST(CAST(CAST({c} AS CHAR) AS JSON) AS CHAR),256)"),
            Form::Other => format!("HEX(CAST({c} AS CHAR))"),
        }
    }

    /// Whether the text stands for the value itself, so that it can be shown.
    pub(super) fn is_value(self) -> bool {
        !matches!(self, Form::HexHash | Form::UnicodeHash | Form::BytesHash | Form::Json)
    }
}

fn if_same(is_same: bool, otherwise: Form) -> Form {
    if is_same { Form::Plain } else { otherwise }
}

/// The digits after the point that `decimal(10,2)` names.
fn scale(column: &Column) -> u8 {
    let digits = column.full_type.split_once(',').map(|(_, rest)| rest.split(')').next().unwrap_or_default());
    digits.and_then(|digits| digits.trim().parse().ok()).unwrap_or(0)
}

/// The digits of a second that `datetime(3)` names.
fn temporal_digits(column: &Column) -> u8 {
    let digits = column.full_type.split_once('(').and_then(|(_, rest)| rest.split(')').next());
    digits.and_then(|digits| digits.trim().parse().ok()).unwrap_or(0)
}

/// The character set by the name that all versions understand as the same.
fn charset(column: &Column) -> Option<String> {
    column.charset.as_deref().map(modern_name)
}

/// What was `utf8` is called `utf8mb3` by newer servers, its collations too.
pub(super) fn modern_name(name: &str) -> String {
    match name {
        "utf8" => "utf8mb3".to_owned(),
        _ => match name.strip_prefix("utf8_") {
            Some(rest) => format!("utf8mb3_{rest}"),
            None => name.to_owned(),
        },
    }
}

/// A row as one text. Each column is its text or `-` for NULL, which is the text of no value; the texts hold no comma.
/// Where a text is too long for the server the whole is NULL, which the digest counts.
pub(super) fn row_text(columns: impl Iterator<Item = (Form, String)>) -> String {
    let parts: Vec<String> =
        columns.map(|(form, name)| format!("IF({} IS NULL,'-',{})", identifier(&name), form.sql(&name))).collect();
    format!("CONCAT({})", parts.join(",',',"))
}

/// The SHA-256 of a row's text.
pub(super) fn row_hash(text: &str) -> String {
    format!("SHA2({text},256)")
}

/// The digest of many rows: their count, how many were hashed, and two sums that know nothing of each other: 64 bits
/// of SHA-256, and CRC-32. Sums and not XOR: two equal rows must not cancel each other.
pub(super) fn digest(text: &str) -> String {
    format!("COUNT(*), COUNT({text}), SUM(CAST(CONV(LEFT(SHA2({text},256),16),16,10) AS UNSIGNED)), SUM(CRC32({text}))")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(kind: ColumnKind, full_type: &str, charset: Option<&str>, length: Option<u64>) -> Column {
        Column {
            name: "c".into(),
            kind,
            full_type: full_type.into(),
            is_unsigned: false,
            is_nullable: true,
            is_generated: false,
            charset: charset.map(Into::into),
            collation: None,
            length,
        }
    }

    #[test]
    fn types_that_print_alike_take_their_own_text() {
        let of = |kind, a: &str, b: &str| Form::of(&column(kind, a, None, None), &column(kind, b, None, None), false);
        assert_eq!(of(ColumnKind::Integer(4), "int(11)", "int"), Form::Plain);
        assert_eq!(of(ColumnKind::Integer(4), "int(11) zerofill", "int"), Form::Integer);
        assert_eq!(of(ColumnKind::Decimal, "decimal(9,2)", "decimal(12,4)"), Form::Decimal(4));
        assert_eq!(of(ColumnKind::DateTime, "datetime", "datetime(6)"), Form::DateTime);
        assert_eq!(of(ColumnKind::Enum, "enum('a')", "enum('a')"), Form::Number);
        assert_eq!(of(ColumnKind::Enum, "enum('a')", "enum('b','a')"), Form::UnicodeHash);
    }

    #[test]
    fn long_text_is_hashed_unless_it_is_a_key() {
        let of = |length, charset: [&str; 2], is_key| {
            let [a, b] = charset.map(|charset| column(ColumnKind::Text, "varchar", Some(charset), Some(length)));
            Form::of(&a, &b, is_key)
        };
        assert_eq!(of(100, ["utf8", "utf8mb3"], false), Form::Hex);
        assert_eq!(of(100, ["latin1", "utf8mb4"], false), Form::Unicode);
        assert_eq!(of(9999, ["utf8", "utf8mb3"], false), Form::HexHash);
        assert_eq!(of(9999, ["utf8", "utf8mb3"], true), Form::Hex);
    }

    #[test]
    fn null_and_empty_are_told_apart() {
        let text = row_text([(Form::Hex, "a`b".to_owned()), (Form::Plain, "c".to_owned())].into_iter());
        assert_eq!(text, "CONCAT(IF(`a``b` IS NULL,'-',HEX(`a``b`)),',',IF(`c` IS NULL,'-',`c`))");
    }
}
