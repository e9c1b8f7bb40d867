//! Statements as text, and what else a log says between rows, as the statement that would say it.

use std::borrow::Cow;
use std::fmt::Write;

use bluegreen::Result;
use bluegreen::decode::charset::Charset;
use bluegreen::decode::{Outcome, SessionValue, Statement, UserValue};
use bluegreen::model::{Coordinates, Flavor};

/// A statement for a line.
pub(super) struct Said<'a> {
    pub(super) sql: Sql<'a>,
    /// The session's default schema.
    pub(super) schema: Option<&'a str>,
    /// The end of its event.
    pub(super) end: Coordinates,
    /// Of an end: the offset where the transaction starts. The rows behind it are those that it is about.
    pub(super) transaction_start: Option<u64>,
}

pub(super) enum Sql<'a> {
    Text(Cow<'a, str>),
    /// Not valid in the session's character set.
    Bytes(Cow<'a, [u8]>),
}

impl<'a> Said<'a> {
    pub(super) fn statement(statement: &'a Statement, flavor: Flavor) -> Result<Said<'a>> {
        let client = statement.context()?.collations.and_then(|(client, ..)| Charset::of_collation(flavor, client));
        let text = match client {
            Some(charset) if !charset.is_binary() => charset.text(&statement.sql),
            _ => std::str::from_utf8(&statement.sql).ok().map(Cow::Borrowed),
        };
        Ok(Said {
            sql: text.map_or(Sql::Bytes(Cow::Borrowed(&statement.sql)), Sql::Text),
            schema: Some(statement.schema.as_str()).filter(|schema| !schema.is_empty()),
            end: statement.end.clone(),
            transaction_start: None,
        })
    }

    pub(super) fn session_value(value: &SessionValue, flavor: Flavor, end: Coordinates) -> Said<'static> {
        let text = |text: String| Sql::Text(text.into());
        let sql = match value {
            SessionValue::LastInsertId(id) => text(format!("SET LAST_INSERT_ID={id}")),
            SessionValue::InsertId(id) => text(format!("SET INSERT_ID={id}")),
            SessionValue::Rand(one, two) => text(format!("SET @@RAND_SEED1={one}, @@RAND_SEED2={two}")),
            SessionValue::User { name, value } => {
                let value = value.as_ref().map_or_else(|| "NULL".to_owned(), |value| literal(value, flavor));
                let mut sql = b"SET @`".to_vec();
                sql.extend(name.iter().flat_map(|byte| std::iter::repeat_n(*byte, 1 + usize::from(*byte == b'`'))));
                sql.extend(format!("`:={value}").as_bytes());
                String::from_utf8(sql).map_or_else(|error| Sql::Bytes(error.into_bytes().into()), text)
            }
            _ => text("SET @@unknown".to_owned()),
        };
        Said { sql, schema: None, end, transaction_start: None }
    }

    /// How a transaction ends, where rows that were shown are not simply made by it.
    pub(super) fn end(outcome: &Outcome, start: &Coordinates, end: Coordinates) -> Option<Said<'static>> {
        // `Debug` of an id is its text in a log.
        let sql = match outcome {
            Outcome::RolledBack => "ROLLBACK".to_owned(),
            Outcome::Prepared(xid) => format!("XA PREPARE {xid:?}"),
            Outcome::CommittedPrepared(xid) => format!("XA COMMIT {xid:?}"),
            Outcome::RolledBackPrepared(xid) => format!("XA ROLLBACK {xid:?}"),
            _ => return None,
        };
        Some(Said { sql: Sql::Text(sql.into()), schema: None, end, transaction_start: Some(start.offset) })
    }
}

/// A user variable's value as a literal; bytes in hexadecimal where they are no number (MySQL source,
/// `sql/log_event.cc`, `User_var_log_event::print`).
fn literal(value: &UserValue, flavor: Flavor) -> String {
    let number = value.bytes.first_chunk::<8>();
    match (value.result_type, number) {
        (1, Some(bytes)) => format!("{:e}", f64::from_le_bytes(*bytes)),
        (2, Some(bytes)) if value.is_unsigned => u64::from_le_bytes(*bytes).to_string(),
        (2, Some(bytes)) => i64::from_le_bytes(*bytes).to_string(),
        (4, _) => value.decimal_text().unwrap_or_else(|| hexadecimal(&value.bytes)),
        _ => {
            let collation = u16::try_from(value.collation).ok();
            let charset = collation.and_then(|collation| Charset::of_collation(flavor, collation));
            let introducer = charset.map(|charset| format!("_{} ", charset.name())).unwrap_or_default();
            introducer + &hexadecimal(&value.bytes)
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = "X'".to_owned();
    for byte in bytes {
        // Memory takes everything.
        let _ = write!(text, "{byte:02X}");
    }
    text + "'"
}
