use std::fmt;

use serde::ser::SerializeMap;

use super::expression::Form;
use super::pair::Compared;
use super::reads::unhex;
use crate::model::{ColumnKind, TableName};

/// A row, a table or a column that is not the same on green.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Difference {
    /// Schema and table.
    #[serde(flatten)]
    pub table: TableName,
    /// The row's key: the columns of the primary or unique key; all columns where the table has none. Empty where the
    /// table as a whole, or a column of it, is on one side only.
    #[serde(serialize_with = "as_map")]
    pub key: Vec<(String, KeyValue)>,
    /// What is different.
    pub kind: DifferenceKind,
    /// For [`DifferenceKind::Different`]: the columns whose values differ; for an empty key: the columns that green
    /// lacks.
    pub columns: Vec<String>,
}

/// What is different.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DifferenceKind {
    /// Blue has it, green has not.
    MissingOnGreen,
    /// Green has it, blue has not.
    ExtraOnGreen,
    /// Both have it, with other values.
    Different,
}

/// A key column's value. `Debug` does not show it; JSON does.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum KeyValue {
    /// SQL NULL, which only a keyless table's rows have.
    Null,
    /// Signed integers.
    Signed(i64),
    /// Unsigned integers, BIT and SET, ENUM's index, YEAR.
    Unsigned(u64),
    /// FLOAT and DOUBLE.
    Real(f64),
    /// Text, decimals and temporals.
    Text(String),
    /// BINARY and BLOB, and text that is none.
    Bytes(Vec<u8>),
    /// A long value of a keyless table's row, as the SHA-256 of its bytes.
    Sha256(String),
}

impl fmt::Debug for KeyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl serde::Serialize for KeyValue {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let wrapped = |serializer: S, name: &'static str, text: &str| {
            let mut map = serializer.serialize_map(Some(1))?;
            map.serialize_entry(name, text)?;
            map.end()
        };
        match self {
            KeyValue::Null => serializer.serialize_none(),
            KeyValue::Signed(number) => serializer.serialize_i64(*number),
            KeyValue::Unsigned(number) => serializer.serialize_u64(*number),
            KeyValue::Real(number) => serializer.serialize_f64(*number),
            KeyValue::Text(text) => serializer.serialize_str(text),
            KeyValue::Bytes(bytes) => wrapped(serializer, "base64", &base64(bytes)),
            KeyValue::Sha256(digits) => wrapped(serializer, "sha256", digits),
        }
    }
}

fn as_map<S: serde::Serializer>(key: &[(String, KeyValue)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(key.len()))?;
    for (name, value) in key {
        map.serialize_entry(name, value)?;
    }
    map.end()
}

/// The form in which a key column's value is shown: text as Unicode, whatever its character set.
pub(super) fn shown(column: &Compared) -> Form {
    match (column.kind, column.form) {
        (ColumnKind::Text, Form::Hex) => Form::Unicode,
        (_, form) => form,
    }
}

/// A value from the text of its shown form.
pub(super) fn value(column: &Compared, text: Option<&[u8]>) -> KeyValue {
    let Some(bytes) = text else { return KeyValue::Null };
    let form = shown(column);
    let text = String::from_utf8_lossy(bytes).into_owned();
    if !form.is_value() {
        return KeyValue::Sha256(text);
    }
    match (form, column.kind) {
        (Form::Plain | Form::Integer | Form::Number, ColumnKind::Decimal) => KeyValue::Text(text),
        (Form::Plain | Form::Integer, ColumnKind::Integer(_)) if !column.is_unsigned => {
            text.parse().map_or(KeyValue::Text(text), KeyValue::Signed)
        }
        (Form::Number, _) | (_, ColumnKind::Integer(_) | ColumnKind::Year) => {
            text.parse().map_or(KeyValue::Text(text), KeyValue::Unsigned)
        }
        (Form::Real | Form::RealWithoutZeroSign, _) => text.parse().map_or(KeyValue::Text(text), KeyValue::Real),
        (Form::Hex, _) => KeyValue::Bytes(unhex(bytes).unwrap_or_default()),
        (Form::Unicode | Form::Other, _) => match String::from_utf8(unhex(bytes).unwrap_or_default()) {
            Ok(text) => KeyValue::Text(text),
            Err(error) => KeyValue::Bytes(error.into_bytes()),
        },
        _ => KeyValue::Text(text),
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for at in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * at)) as usize & 63];
            text.push(if at <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_padded() {
        let of = |text: &str| base64(text.as_bytes());
        assert_eq!([of(""), of("f"), of("fo"), of("foo"), of("foob")], ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg=="]);
    }

    #[test]
    fn the_json_is_the_contracts_and_debug_shows_no_value() {
        let difference = Difference {
            table: TableName::new("shop", "orders"),
            key: vec![("id".into(), KeyValue::Signed(-7)), ("b".into(), KeyValue::Bytes(vec![1]))],
            kind: DifferenceKind::MissingOnGreen,
            columns: Vec::new(),
        };
        assert_eq!(
            serde_json::to_string(&difference).unwrap(),
            r#"{"schema":"shop","table":"orders","key":{"id":-7,"b":{"base64":"AQ=="}},"kind":"missing_on_green","columns":[]}"#
        );
        assert!(!format!("{difference:?}").contains("-7"));
    }
}
