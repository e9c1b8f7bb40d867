use std::fmt::Write;

use crate::decode::json::{JsonDiff, JsonOperation};
use crate::decode::{DecimalBuffer, ValueRef};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ColumnKind, Json, JsonNumber};
use crate::net::text_literal;
use crate::plan::{self, TargetColumn};

/// What a literal is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To be stored: a text's bytes go into the column as they are.
    Store,
    /// To be compared with the column: a text has the column's character set, so that the column's collation decides
    /// and its index is used.
    Compare,
}

/// Writes a value as a literal that stores, or compares as, exactly this value in `column`.
///
/// # Errors
/// `Unsupported` for the JSON types that no expression makes, and for a charset that is not known.
pub(super) fn write(sql: &mut String, value: ValueRef<'_>, column: &TargetColumn, purpose: Purpose) -> Result<()> {
    // Writing to a string cannot fail.
    let _ = match plan::with_sign(value, column) {
        ValueRef::Null => write!(sql, "NULL"),
        ValueRef::Int(number) => write!(sql, "{number}"),
        ValueRef::UInt(number) | ValueRef::Bit(number) | ValueRef::Set(number) => write!(sql, "{number}"),
        ValueRef::Enum(number) | ValueRef::Year(number) => write!(sql, "{number}"),
        // All digits of the double that equals the float: the server rounds it back to the same float.
        ValueRef::Float(number) => write!(sql, "{:e}", f64::from(number)),
        ValueRef::Double(number) => write!(sql, "{number:e}"),
        ValueRef::Decimal(decimal) => write!(sql, "{}", decimal.text(&mut DecimalBuffer::default())?),
        ValueRef::Bytes(bytes) => return write_bytes(sql, bytes, column, purpose),
        ValueRef::Date(value) => write!(sql, "'{}'", value.parts()?.date()),
        ValueRef::Time(value) => write!(sql, "'{}'", value.parts()?.time()),
        ValueRef::DateTime(value) | ValueRef::Timestamp(value) => write!(sql, "'{}'", value.parts()?.date_time()),
        ValueRef::Json(document) => {
            let document = document.to_tree()?;
            // The column makes a document of a text by itself.
            if purpose == Purpose::Store && is_plain(&document) {
                json_string(sql, &document);
                return Ok(());
            }
            return json(sql, &document);
        }
        // Says what to do about it.
        ValueRef::JsonDiff(_) => return value.to_value().map(|_| ()),
        #[expect(unreachable_patterns, reason = "the enum may grow")]
        _ => return Err(Error::internal("an unknown kind of value")),
    };
    Ok(())
}

/// Writes a change of a document as an expression on green's own: where the log has no document before it.
///
/// # Errors
/// Those of [`write`].
pub(super) fn write_edits(sql: &mut String, column: &str, diff: JsonDiff<'_>) -> Result<()> {
    let mut expression = column.to_owned();
    for edit in diff.iter() {
        let edit = edit?;
        let function = match edit.operation {
            JsonOperation::Replace => "JSON_REPLACE",
            JsonOperation::Insert if edit.path.ends_with(']') => "JSON_ARRAY_INSERT",
            JsonOperation::Insert => "JSON_INSERT",
            JsonOperation::Remove => "JSON_REMOVE",
        };
        expression = format!("{function}({expression},{}", text_literal(edit.path));
        if let Some(value) = edit.value {
            expression.push(',');
            json(&mut expression, &value.to_tree()?)?;
        }
        expression.push(')');
    }
    sql.push_str(&expression);
    Ok(())
}

fn write_bytes(sql: &mut String, bytes: &[u8], column: &TargetColumn, purpose: Purpose) -> Result<()> {
    let charset = column.literal_charset.as_deref();
    let padding = match column.fixed_bytes {
        // The log leaves the zero bytes out; storing adds them, comparing does not.
        Some(length) if purpose == Purpose::Compare => length.saturating_sub(bytes.len()),
        _ => 0,
    };
    if padding == 0
        && let Some(text) = as_text(bytes, column)
    {
        if let (Purpose::Compare, Some(charset), false) = (purpose, charset, text.is_ascii()) {
            sql.extend(["_", charset]);
        }
        write_quoted(sql, text);
        return Ok(());
    }
    match (column.kind, purpose, charset) {
        (ColumnKind::Text, Purpose::Store, _) => sql.push_str("x'"),
        (ColumnKind::Text, Purpose::Compare, Some(charset)) => sql.extend(["_", charset, " x'"]),
        (ColumnKind::Text, Purpose::Compare, None) => {
            return Err(Error::internal("a text column without a character set"));
        }
        _ => sql.push_str("_binary x'"),
    }
    write_hex(sql, bytes);
    sql.extend(std::iter::repeat_n("00", padding));
    sql.push('\'');
    Ok(())
}

/// The bytes as text that a literal in the session's character set, utf8mb4, makes these bytes of in the column: half as
/// long as in hexadecimal.
fn as_text<'b>(bytes: &'b [u8], column: &TargetColumn) -> Option<&'b str> {
    let has_bytes_of_ascii = match (column.kind, column.literal_charset.as_deref()) {
        (ColumnKind::Text, Some("utf8" | "utf8mb3" | "utf8mb4")) => return std::str::from_utf8(bytes).ok(),
        (ColumnKind::Text, charset) => matches!(charset, Some("ascii" | "latin1" | "latin2")),
        (kind, _) => matches!(kind, ColumnKind::Binary | ColumnKind::FixedBinary),
    };
    if has_bytes_of_ascii && bytes.is_ascii() { std::str::from_utf8(bytes).ok() } else { None }
}

/// Writes a string between quotes, for a session whose `sql_mode` has no NO_BACKSLASH_ESCAPES.
fn write_quoted(sql: &mut String, text: &str) {
    sql.push('\'');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| matches!(byte, b'\'' | b'\\' | 0)) {
        let (plain, special) = rest.split_at(at);
        sql.push_str(plain);
        sql.push_str(match special.as_bytes().first() {
            Some(b'\'') => "\\'",
            Some(0) => "\\0",
            _ => "\\\\",
        });
        rest = &special[1..];
    }
    sql.push_str(rest);
    sql.push('\'');
}

fn write_hex(sql: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    // By pieces: a string takes many characters at once as fast as one.
    let mut digits = [0; 256];
    for piece in bytes.chunks(digits.len() / 2) {
        for (pair, byte) in digits.chunks_exact_mut(2).zip(piece) {
            pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
        sql.push_str(std::str::from_utf8(&digits[..piece.len() * 2]).unwrap_or_default());
    }
}

/// Whether JSON text says all that the document holds.
fn is_plain(document: &Json) -> bool {
    match document {
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => true,
        Json::Array(elements) => elements.iter().all(is_plain),
        Json::Object(members) => members.iter().all(|(_, member)| is_plain(member)),
        _ => false,
    }
}

/// A document as an expression: as text where text says all, else built from parts so that a DECIMAL or a DATE inside
/// keeps its type.
fn json(sql: &mut String, document: &Json) -> Result<()> {
    if is_plain(document) {
        sql.push_str("CAST(_utf8mb4");
        json_string(sql, document);
        sql.push_str(" AS JSON)");
        return Ok(());
    }
    let _ = match document {
        Json::Decimal(text) => {
            let digits = text.bytes().filter(u8::is_ascii_digit).count().max(1);
            let scale = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
            write!(sql, "CAST({text} AS DECIMAL({digits},{scale}))")
        }
        Json::Date(parts) => write!(sql, "CAST('{}' AS DATE)", parts.date()),
        Json::Time(parts) => write!(sql, "CAST('{}' AS TIME(6))", parts.time()),
        Json::DateTime(parts) => write!(sql, "CAST('{}' AS DATETIME(6))", parts.date_time()),
        Json::Array(elements) => {
            sql.push_str("JSON_ARRAY(");
            for (index, element) in elements.iter().enumerate() {
                sql.push_str(if index == 0 { "" } else { "," });
                json(sql, element)?;
            }
            write!(sql, ")")
        }
        Json::Object(members) => {
            sql.push_str("JSON_OBJECT(");
            for (index, (name, member)) in members.iter().enumerate() {
                sql.push_str(if index == 0 { "_utf8mb4" } else { ",_utf8mb4" });
                write_quoted(sql, name);
                sql.push(',');
                json(sql, member)?;
            }
            write!(sql, ")")
        }
        _ => {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "a JSON document holds a TIMESTAMP or binary value, which is not replicated yet",
            )
            .with_advice("store it as a string inside the document"));
        }
    };
    Ok(())
}

/// A document as a string.
fn json_string(sql: &mut String, document: &Json) {
    let mut text = String::new();
    json_text(&mut text, document);
    write_quoted(sql, &text);
}

fn json_text(text: &mut String, document: &Json) {
    let _ = match document {
        Json::Bool(value) => write!(text, "{value}"),
        Json::Number(JsonNumber::Int(number)) => write!(text, "{number}"),
        Json::Number(JsonNumber::UInt(number)) => write!(text, "{number}"),
        // `{:?}` keeps the fraction or exponent that makes the server read a double again.
        Json::Number(JsonNumber::Double(number)) => write!(text, "{number:?}"),
        Json::String(string) => write!(text, "{}", serde_json::Value::from(string.as_str())),
        Json::Array(elements) => {
            text.push('[');
            for (index, element) in elements.iter().enumerate() {
                text.push_str(if index == 0 { "" } else { "," });
                json_text(text, element);
            }
            write!(text, "]")
        }
        Json::Object(members) => {
            text.push('{');
            for (index, (name, member)) in members.iter().enumerate() {
                text.push_str(if index == 0 { "" } else { "," });
                let _ = write!(text, "{}:", serde_json::Value::from(name.as_str()));
                json_text(text, member);
            }
            write!(text, "}}")
        }
        // The others are not plain and never come here.
        _ => write!(text, "null"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Column, Flavor, Table};
    use crate::plan::TargetTable;

    fn column(kind: ColumnKind, charset: Option<&str>) -> TargetColumn {
        let column = Column { charset: charset.map(str::to_owned), ..Column::sample("c", kind, "") };
        let table = Table::sample("t", vec![column]);
        TargetTable::new(table, Flavor::MySql, false).columns.remove(0)
    }

    fn literal(value: ValueRef<'_>, column: &TargetColumn, purpose: Purpose) -> String {
        let mut sql = String::new();
        write(&mut sql, value, column, purpose).unwrap();
        sql
    }

    #[test]
    fn literals_are_exact() {
        let compare = |value, kind| literal(value, &column(kind, Some("utf8mb3")), Purpose::Compare);
        assert_eq!(compare(ValueRef::Float(0.1), ColumnKind::Float), "1.0000000149011612e-1");
        assert_eq!(compare(ValueRef::Double(-0.0), ColumnKind::Double), "-0e0");
        assert_eq!(compare(ValueRef::Bytes(b"\xe9'"), ColumnKind::Text), "_utf8mb4 x'e927'");
        assert_eq!(compare(ValueRef::Bytes("é'".as_bytes()), ColumnKind::Text), "_utf8mb4'é\\''");
        assert_eq!(compare(ValueRef::Bytes(b"\0\xff"), ColumnKind::Binary), "_binary x'00ff'");
    }

    #[test]
    fn text_needs_no_hexadecimal_where_it_has_the_same_bytes() {
        let store =
            |value: &[u8], kind, charset| literal(ValueRef::Bytes(value), &column(kind, charset), Purpose::Store);
        assert_eq!(store(b"a b", ColumnKind::Text, Some("latin1")), "'a b'");
        assert_eq!(store(b"a b", ColumnKind::Binary, None), "'a b'");
        assert_eq!(store(b"", ColumnKind::Text, Some("utf8mb4")), "''");
        assert_eq!(store("é'\\\n\0ß".as_bytes(), ColumnKind::Text, Some("utf8mb4")), "'é\\'\\\\\n\\0ß'");
        assert_eq!(store("é".as_bytes(), ColumnKind::Text, Some("latin1")), "x'c3a9'");
        assert_eq!(store("é".as_bytes(), ColumnKind::Binary, None), "_binary x'c3a9'");
        assert_eq!(store(b"\xe9", ColumnKind::Text, Some("utf8mb4")), "x'e9'");
        assert_eq!(store(b"ab", ColumnKind::Text, Some("utf16")), "x'6162'");
        let long: Vec<u8> = (0..300_u32).map(|number| number as u8 | 0x80).collect();
        let digits: String = long.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(store(&long, ColumnKind::Binary, None), format!("_binary x'{digits}'"));
    }

    #[test]
    fn an_unsigned_column_has_the_catalogues_sign() {
        let mut column = column(ColumnKind::Integer(4), None);
        column.is_unsigned = true;
        assert_eq!(literal(ValueRef::Int(-1), &column, Purpose::Store), "4294967295");
    }

    #[test]
    fn a_fixed_binary_is_padded_where_it_is_compared() {
        let mut column = column(ColumnKind::FixedBinary, None);
        column.fixed_bytes = Some(3);
        assert_eq!(literal(ValueRef::Bytes(b"a"), &column, Purpose::Compare), "_binary x'610000'");
        assert_eq!(literal(ValueRef::Bytes(b"abc"), &column, Purpose::Compare), "'abc'");
        assert_eq!(literal(ValueRef::Bytes(b"a"), &column, Purpose::Store), "'a'");
    }

    #[test]
    fn json_keeps_the_types_that_text_has_not() {
        let typed = Json::Object(vec![("a".into(), Json::Array(vec![Json::Decimal("-1.10".into()), Json::Null]))]);
        let mut sql = String::new();
        json(&mut sql, &typed).unwrap();
        assert_eq!(
            sql,
            "JSON_OBJECT(_utf8mb4'a',JSON_ARRAY(CAST(-1.10 AS DECIMAL(3,2)),CAST(_utf8mb4'null' AS JSON)))"
        );
        let mut text = String::new();
        json_text(&mut text, &Json::Array(vec![Json::Number(JsonNumber::Double(1.0)), Json::String("\"\n".into())]));
        assert_eq!(text, r#"[1.0,"\"\n"]"#);
        assert!(json(&mut String::new(), &Json::Opaque(252, b"x".as_slice().into())).is_err());
    }
}
