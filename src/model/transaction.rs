use std::sync::Arc;

use super::{Coordinates, Gtid, TableName, Value};

/// One committed transaction of the source, whole.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Transaction {
    /// Where the transaction's first event starts.
    pub start: Coordinates,
    /// Just after its last event: where the next one starts.
    pub end: Coordinates,
    /// Its global id, where the source has GTIDs on.
    pub gtid: Option<Gtid>,
    /// When it was committed, in microseconds since 1970; whole seconds where the server logs no more.
    pub committed_at_micros: u64,
    /// What it did, in order. Empty where everything was rolled back or filtered.
    pub changes: Vec<Change>,
    /// Bytes of all its events.
    pub bytes: u64,
}

impl Transaction {
    /// A transaction by its parts.
    pub fn new(start: Coordinates, end: Coordinates) -> Transaction {
        Transaction { start, end, gtid: None, committed_at_micros: 0, changes: Vec::new(), bytes: 0 }
    }

    /// How many rows it changed.
    pub fn row_count(&self) -> u64 {
        self.changes
            .iter()
            .map(|change| match change {
                Change::Rows(rows) => rows.rows.len() as u64,
                Change::Statement(_) => 0,
            })
            .sum()
    }
}

/// One event's worth of change.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Change {
    /// Rows of one table.
    Rows(RowsChange),
    /// A statement that is logged as text: DDL, account changes, or DML in statement format.
    Statement(Statement),
}

/// Rows that one event changed in one table.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RowsChange {
    /// The table as the log describes it.
    pub table: Arc<TableMap>,
    /// What was done.
    pub kind: ChangeKind,
    /// The session's settings that matter for applying.
    pub flags: RowsFlags,
    /// The rows in order.
    pub rows: Vec<RowChange>,
    /// The end of the row event.
    pub end: Coordinates,
}

impl RowsChange {
    /// A change by its parts.
    pub fn new(
        table: Arc<TableMap>,
        kind: ChangeKind,
        flags: RowsFlags,
        rows: Vec<RowChange>,
        end: Coordinates,
    ) -> Self {
        RowsChange { table, kind, flags, rows, end }
    }
}

/// What was done to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[expect(clippy::exhaustive_enums, reason = "there are no other row events")]
pub enum ChangeKind {
    /// A new row.
    Insert,
    /// A changed row.
    Update,
    /// A row gone.
    Delete,
}

/// Flags of a row event (MySQL source, `rows_event.h`, `Rows_event::flag_set`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RowsFlags {
    /// `NO_FOREIGN_KEY_CHECKS_F`: the session had `foreign_key_checks = 0`, or the change is a logged cascade.
    pub no_foreign_key_checks: bool,
    /// `RELAXED_UNIQUE_CHECKS_F`: the session had `unique_checks = 0`.
    pub relaxed_unique_checks: bool,
    /// `USE_SQL_FOREIGN_KEY_F` (MySQL 9.6 and newer): cascaded changes of children are in the log by themselves.
    pub logged_cascades: bool,
}

/// One row's images. An insert has no `before`, a delete no `after`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RowChange {
    /// The row as it was.
    pub before: Option<RowImage>,
    /// The row as it is now.
    pub after: Option<RowImage>,
}

impl RowChange {
    /// A change by its images.
    pub fn new(before: Option<RowImage>, after: Option<RowImage>) -> RowChange {
        RowChange { before, after }
    }
}

/// A value for each column of the table map, in order; `None` where the image does not carry the column.
pub type RowImage = Vec<Option<Value>>;

/// A statement logged as text.
#[derive(Clone)]
#[non_exhaustive]
pub struct Statement {
    /// The default schema of the session.
    pub schema: String,
    /// The text, in the session's `character_set_client`.
    pub sql: bytes::Bytes,
    /// The end of its event.
    pub end: Coordinates,
}

impl Statement {
    /// A statement by its parts.
    pub fn new(schema: impl Into<String>, sql: bytes::Bytes, end: Coordinates) -> Statement {
        Statement { schema: schema.into(), sql, end }
    }
}

impl std::fmt::Debug for Statement {
    /// Without the text, which may hold values.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Statement({} bytes at {})", self.sql.len(), self.end)
    }
}

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
}

impl TableMap {
    /// A map by its parts.
    pub fn new(name: TableName, columns: Vec<WireColumn>, primary_key: Option<Vec<usize>>) -> TableMap {
        TableMap { name, columns, primary_key }
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
    /// The name, where the log says (`binlog_row_metadata=FULL`).
    pub name: Option<String>,
}

impl WireColumn {
    /// A column by what every table map has.
    pub fn new(type_code: u8, metadata: u16, is_nullable: bool) -> WireColumn {
        WireColumn { type_code, metadata, is_nullable, is_unsigned: None, collation: None, name: None }
    }
}
