//! QUERY and the other events that hold statements (MySQL source, `libs/mysql/binlog/event/statement_events.h`,
//! `Query_event`; the variables' numbers from 128 on: MariaDB source, `sql/log_event.h`).

use super::event::{Event, flag};
use super::{compression, encode, kind};

/// A statement of the log, which becomes an [`Event`].
#[derive(Debug, Clone)]
pub struct Query {
    thread: u32,
    seconds: u32,
    schema: String,
    error_code: u16,
    variables: Vec<u8>,
    sql: Vec<u8>,
    flags: u16,
    is_compressed: bool,
}

impl Query {
    /// A statement in a session whose default schema is `schema`; an empty one is none.
    pub fn new(schema: &str, sql: impl Into<Vec<u8>>) -> Query {
        Query {
            thread: 1,
            seconds: 0,
            schema: schema.to_owned(),
            error_code: 0,
            variables: Vec::new(),
            sql: sql.into(),
            flags: 0,
            is_compressed: false,
        }
    }

    /// The start of a transaction.
    pub fn begin() -> Query {
        Query { flags: flag::SUPPRESS_USE, ..Query::new("", "BEGIN") }
    }

    /// The end of a transaction of an engine that knows none, such as MyISAM.
    pub fn commit() -> Query {
        Query { flags: flag::SUPPRESS_USE, ..Query::new("", "COMMIT") }
    }

    /// Sets the session and how many seconds the statement took.
    #[must_use]
    pub fn thread(self, thread: u32, seconds: u32) -> Query {
        Query { thread, seconds, ..self }
    }

    /// Sets the error that the statement ended with.
    #[must_use]
    pub fn error_code(self, error_code: u16) -> Query {
        Query { error_code, ..self }
    }

    /// Adds a variable of the session. Servers write them in the order of [`StatusVariable`].
    #[must_use]
    pub fn variable(mut self, variable: &StatusVariable) -> Query {
        variable.write(&mut self.variables);
        self
    }

    /// Makes it MariaDB's QUERY_COMPRESSED.
    #[must_use]
    pub fn compressed(self) -> Query {
        Query { is_compressed: true, ..self }
    }
}

impl From<Query> for Event {
    fn from(query: Query) -> Event {
        let mut body = Vec::new();
        body.extend(query.thread.to_le_bytes());
        body.extend(query.seconds.to_le_bytes());
        body.push(u8::try_from(query.schema.len()).expect("a schema's name has up to 255 bytes"));
        body.extend(query.error_code.to_le_bytes());
        let length = u16::try_from(query.variables.len()).expect("the variables have up to 65,535 bytes");
        body.extend(length.to_le_bytes());
        body.extend(query.variables);
        body.extend(query.schema.as_bytes());
        body.push(0);
        match query.is_compressed {
            false => body.extend(query.sql),
            true => compression::fold_mariadb(&query.sql, &mut body),
        }
        Event::raw(if query.is_compressed { kind::QUERY_COMPRESSED } else { kind::QUERY }, query.flags, body)
    }
}

/// A variable of the session that a statement depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StatusVariable {
    /// Bits of `autocommit`, `foreign_key_checks`, `unique_checks`, `sql_auto_is_null`.
    Flags(u32),
    /// `sql_mode`.
    SqlMode(u64),
    /// Always `std`.
    Catalog(String),
    /// `auto_increment_increment` and `auto_increment_offset`.
    AutoIncrement(u16, u16),
    /// The numbers of `character_set_client`, `collation_connection`, `collation_server`.
    Charset(u16, u16, u16),
    /// `time_zone`.
    TimeZone(String),
    /// `lc_time_names`.
    LcTimeNames(u16),
    /// The number of `collation_database`.
    CharsetDatabase(u16),
    /// The tables that a multi-table update changes, a bit each.
    TableMapForUpdate(u64),
    /// User and host of whom the statement is run as.
    Invoker(String, String),
    /// The schemas that the statement changes.
    UpdatedSchemas(Vec<String>),
    /// The fraction of the statement's time.
    Microseconds(u32),
    /// `explicit_defaults_for_timestamp`.
    ExplicitDefaultsForTimestamp(bool),
    /// The XID of a statement that is a transaction of its own.
    DdlXid(u64),
    /// The number of `default_collation_for_utf8mb4`.
    DefaultCollationForUtf8mb4(u16),
    /// `sql_require_primary_key`.
    SqlRequirePrimaryKey(bool),
    /// `default_table_encryption`.
    DefaultTableEncryption(bool),
    /// MariaDB: the fraction of the statement's time.
    MariaDbMicroseconds(u32),
    /// MariaDB: the XID of a statement that is a transaction of its own.
    MariaDbXid(u64),
}

impl StatusVariable {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            StatusVariable::Flags(bits) => number(out, 0, u64::from(*bits), 4),
            StatusVariable::SqlMode(bits) => number(out, 1, *bits, 8),
            StatusVariable::AutoIncrement(step, offset) => {
                number(out, 3, u64::from(*step), 2);
                encode::le(out, u64::from(*offset), 2);
            }
            StatusVariable::Charset(client, connection, server) => {
                number(out, 4, u64::from(*client), 2);
                encode::le(out, u64::from(*connection), 2);
                encode::le(out, u64::from(*server), 2);
            }
            StatusVariable::TimeZone(zone) => text(out, &[5], zone),
            StatusVariable::Catalog(name) => text(out, &[6], name),
            StatusVariable::LcTimeNames(locale) => number(out, 7, u64::from(*locale), 2),
            StatusVariable::CharsetDatabase(collation) => number(out, 8, u64::from(*collation), 2),
            StatusVariable::TableMapForUpdate(bits) => number(out, 9, *bits, 8),
            StatusVariable::Invoker(user, host) => {
                text(out, &[11], user);
                text(out, &[], host);
            }
            StatusVariable::UpdatedSchemas(names) => {
                out.extend([12, u8::try_from(names.len()).expect("up to 255 schemas")]);
                for name in names {
                    out.extend(name.as_bytes());
                    out.push(0);
                }
            }
            StatusVariable::Microseconds(micros) => number(out, 13, u64::from(*micros), 3),
            StatusVariable::ExplicitDefaultsForTimestamp(is_on) => number(out, 16, u64::from(*is_on), 1),
            StatusVariable::DdlXid(xid) => number(out, 17, *xid, 8),
            StatusVariable::DefaultCollationForUtf8mb4(collation) => number(out, 18, u64::from(*collation), 2),
            StatusVariable::SqlRequirePrimaryKey(is_on) => number(out, 19, u64::from(*is_on), 1),
            StatusVariable::DefaultTableEncryption(is_on) => number(out, 20, u64::from(*is_on), 1),
            StatusVariable::MariaDbMicroseconds(micros) => number(out, 128, u64::from(*micros), 3),
            StatusVariable::MariaDbXid(xid) => number(out, 129, *xid, 8),
        }
    }
}

fn number(out: &mut Vec<u8>, code: u8, value: u64, width: usize) {
    out.push(code);
    encode::le(out, value, width);
}

fn text(out: &mut Vec<u8>, code: &[u8], value: &str) {
    out.extend(code);
    out.push(u8::try_from(value.len()).expect("a text of up to 255 bytes"));
    out.extend(value.as_bytes());
}

impl Event {
    /// ROWS_QUERY of MySQL: the statement behind the following rows (`Rows_query_event`).
    pub fn rows_query(sql: &str) -> Event {
        // The length is too small for most statements, and no reader looks at it.
        let mut body = vec![sql.len().min(255) as u8];
        body.extend(sql.as_bytes());
        Event::raw(kind::ROWS_QUERY, flag::IGNORABLE, body)
    }

    /// ANNOTATE_ROWS of MariaDB: the statement behind the following rows.
    pub fn annotate_rows(sql: &str) -> Event {
        Event::raw(kind::ANNOTATE_ROWS, 0, sql.as_bytes())
    }
}
