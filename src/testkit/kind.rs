//! The numbers of the events (MySQL source, `libs/mysql/binlog/event/binlog_event.h`, `Log_event_type`; from 160 on
//! MariaDB source, `sql/log_event.h`, the last one of 12.3).

/// A statement as text.
pub const QUERY: u8 = 2;
/// The server was shut down.
pub const STOP: u8 = 3;
/// The next log file.
pub const ROTATE: u8 = 4;
/// A value of `LAST_INSERT_ID` or `INSERT_ID`.
pub const INTVAR: u8 = 5;
/// The seeds of `RAND()`.
pub const RAND: u8 = 13;
/// A user variable.
pub const USER_VAR: u8 = 14;
/// The head of a log.
pub const FORMAT_DESCRIPTION: u8 = 15;
/// The commit of a transaction.
pub const XID: u8 = 16;
/// The table that rows belong to.
pub const TABLE_MAP: u8 = 19;
/// Inserted rows; updates and deletes follow.
pub const WRITE_ROWS_V1: u8 = 23;
/// Changes are missing from the log.
pub const INCIDENT: u8 = 26;
/// The source is alive.
pub const HEARTBEAT: u8 = 27;
/// May be passed over by those who do not know it.
pub const IGNORABLE: u8 = 28;
/// The statement behind the following rows.
pub const ROWS_QUERY: u8 = 29;
/// Inserted rows; updates and deletes follow.
pub const WRITE_ROWS: u8 = 30;
/// A transaction's start, with its GTID.
pub const GTID: u8 = 33;
/// A transaction's start, without a GTID.
pub const ANONYMOUS_GTID: u8 = 34;
/// The GTIDs of all earlier logs.
pub const PREVIOUS_GTIDS: u8 = 35;
/// Group replication: what a transaction read and wrote.
pub const TRANSACTION_CONTEXT: u8 = 36;
/// Group replication: the members changed.
pub const VIEW_CHANGE: u8 = 37;
/// The first phase of an XA transaction.
pub const XA_PREPARE: u8 = 38;
/// Updated rows with parts of JSON documents.
pub const PARTIAL_UPDATE_ROWS: u8 = 39;
/// A whole transaction, compressed.
pub const TRANSACTION_PAYLOAD: u8 = 40;
/// The source is alive, beyond 4 GiB too.
pub const HEARTBEAT_V2: u8 = 41;
/// A transaction's start, with a tagged GTID.
pub const GTID_TAGGED: u8 = 42;
/// MariaDB: the statement behind the following rows.
pub const ANNOTATE_ROWS: u8 = 160;
/// MariaDB: the oldest log that crash recovery needs.
pub const BINLOG_CHECKPOINT: u8 = 161;
/// MariaDB: the start of an event group.
pub const MARIADB_GTID: u8 = 162;
/// MariaDB: the last GTIDs of all earlier logs.
pub const MARIADB_GTID_LIST: u8 = 163;
/// MariaDB: all following events are encrypted.
pub const START_ENCRYPTION: u8 = 164;
/// MariaDB: a statement, compressed.
pub const QUERY_COMPRESSED: u8 = 165;
/// MariaDB: inserted rows, compressed; updates and deletes follow.
pub const WRITE_ROWS_COMPRESSED_V1: u8 = 166;
/// MariaDB: inserted rows, compressed; updates and deletes follow.
pub const WRITE_ROWS_COMPRESSED: u8 = 169;
/// MariaDB: a part of a row event.
pub const PARTIAL_ROW_DATA: u8 = 172;
