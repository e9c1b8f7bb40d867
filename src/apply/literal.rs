use std::fmt::Write;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{ColumnKind, Json, JsonNumber, Value};
use crate::plan::TargetColumn;

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
pub(super) fn write(sql: &mut String, value: &Value, column: &TargetColumn, purpose: Purpose) -> Result<()> {
    // Writing to a string cannot fail.
    let _ = match value {
        Value::Null => write!(sql, "NULL"),
        Value::Int(number) => write!(sql, "{number}"),
        Value::UInt(number) | Value::Bit(number) | Value::Set(number) => write!(sql, "{number}"),
        Value::Enum(number) | Value::Year(number) => write!(sql, "{number}"),
        // All digits of the double that equals the float: the server rounds it back to the same float.
        Value::Float(number) => write!(sql, "{:e}", f64::from(*number)),
        Value::Double(number) => write!(sql, "{number:e}"),
        Value::Decimal(text) => write!(sql, "{text}"),
        Value::Bytes(bytes) => {
            match (column.kind, purpose, column.literal_charset.as_deref()) {
                (ColumnKind::Text, Purpose::Store, _) => sql.push_str("x'"),
                (ColumnKind::Text, Purpose::Compare, Some(charset)) => sql.extend(["_", charset, " x'"]),
                (ColumnKind::Text, Purpose::Compare, None) => {
                    return Err(Error::internal("a text column without a character set"));
                }
                _ => sql.push_str("_binary x'"),
            }
            write_hex(sql, bytes);
            write!(sql, "'")
        }
        Value::Date(_) | Value::Time(_) | Value::DateTime(_) | Value::Timestamp { .. } => {
            write!(sql, "'{}'", value.temporal_text().unwrap_or_default())
        }
        Value::Json(document) => return json(sql, document),
    };
    Ok(())
}

fn write_hex(sql: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    sql.reserve(bytes.len() * 2);
    for byte in bytes {
        sql.push(char::from(DIGITS[usize::from(byte >> 4)]));
        sql.push(char::from(DIGITS[usize::from(byte & 15)]));
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
        let mut text = String::new();
        json_text(&mut text, document);
        sql.push_str("CAST(");
        sql.push_str("_utf8mb4 x'");
        write_hex(sql, text.as_bytes());
        sql.push_str("' AS JSON)");
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
                sql.push_str(if index == 0 { "_utf8mb4 x'" } else { ",_utf8mb4 x'" });
                write_hex(sql, name.as_bytes());
                sql.push_str("',");
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
    use crate::model::{Column, Flavor, Table, TableName, TemporalParts};
    use crate::plan::TargetTable;

    fn column(kind: ColumnKind, charset: Option<&str>) -> TargetColumn {
        let column = Column {
            name: "c".into(),
            kind,
            full_type: String::new(),
            is_unsigned: false,
            is_nullable: true,
            is_generated: false,
            charset: charset.map(str::to_owned),
            collation: None,
            length: None,
        };
        let table = Table {
            name: TableName::new("s", "t"),
            columns: vec![column],
            unique_keys: Vec::new(),
            engine: "InnoDB".into(),
        };
        TargetTable::new(table, Flavor::MySql).columns.remove(0)
    }

    fn literal(value: Value, kind: ColumnKind) -> String {
        let mut sql = String::new();
        write(&mut sql, &value, &column(kind, Some("utf8mb3")), Purpose::Compare).unwrap();
        sql
    }

    #[test]
    fn literals_are_exact() {
        assert_eq!(literal(Value::Float(0.1), ColumnKind::Float), "1.0000000149011612e-1");
        assert_eq!(literal(Value::Double(-0.0), ColumnKind::Double), "-0e0");
        assert_eq!(literal(Value::Bytes(b"\xe9'".as_slice().into()), ColumnKind::Text), "_utf8mb4 x'e927'");
        assert_eq!(literal(Value::Bytes(b"\0".as_slice().into()), ColumnKind::Binary), "_binary x'00'");
        let parts = TemporalParts { year: 2024, month: 2, day: 0, ..TemporalParts::default() };
        assert_eq!(literal(Value::Date(parts), ColumnKind::Date), "'2024-02-00'");
    }

    #[test]
    fn json_keeps_the_types_that_text_has_not() {
        let typed = Json::Object(vec![("a".into(), Json::Array(vec![Json::Decimal("-1.10".into()), Json::Null]))]);
        assert_eq!(
            literal(Value::Json(Box::new(typed)), ColumnKind::Json),
            "JSON_OBJECT(_utf8mb4 x'61',JSON_ARRAY(CAST(-1.10 AS DECIMAL(3,2)),CAST(_utf8mb4 x'6e756c6c' AS JSON)))"
        );
        let mut text = String::new();
        json_text(&mut text, &Json::Array(vec![Json::Number(JsonNumber::Double(1.0)), Json::String("\"\n".into())]));
        assert_eq!(text, r#"[1.0,"\"\n"]"#);
        let opaque = Value::Json(Box::new(Json::Opaque(252, b"x".as_slice().into())));
        assert!(write(&mut String::new(), &opaque, &column(ColumnKind::Json, None), Purpose::Store).is_err());
    }
}
