//! What a decoder gives: the parts of transactions as they stream, and whole ones.

use crate::model::{Coordinates, Gtid, GtidPosition};

pub use super::event::mariadb_gtid::AlterPhase;
pub use super::event::session_value::{SessionValue, UserValue};
pub use super::event::xa::Xid;
use super::rows::RowsChange;
use super::statement::Statement;

/// What the events of a stream say, one after the other. Between [`Decoded::Begin`] and [`Decoded::End`] are the parts
/// of one transaction; all others but heartbeats come between transactions.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Decoded {
    /// A transaction begins.
    Begin(Begin),
    /// Rows of one table.
    Rows(RowsChange),
    /// A statement that was logged as text. A change, as rows are.
    Statement(Statement),
    /// A value of the session for the next statement: the log is not in row format here.
    SessionValue {
        /// The value.
        value: SessionValue,
        /// Where its event starts.
        start: Coordinates,
        /// The offset of its end in the same file.
        end: u64,
    },
    /// The text of the statement whose rows follow (`binlog_rows_query_log_events`, `binlog_annotate_row_events`), in
    /// the session's character set.
    Source(bytes::Bytes),
    /// `SAVEPOINT`: no change, but what a [`Decoded::RolledBack`] may name.
    Savepoint(Statement),
    /// A rollback to a savepoint: of the transaction's changes the first `kept` remain.
    RolledBack {
        /// How many changes remain.
        kept: u64,
        /// `ROLLBACK TO`, with the savepoint's name.
        statement: Statement,
    },
    /// A transaction ends.
    End(End),
    /// What the log files before this one hold.
    Previous(GtidPosition),
    /// A point between transactions was passed without one: a stream may start again from here.
    Advanced(Coordinates),
    /// The source is idle, or passed transactions that were not asked for. A stream may start again from here.
    Heartbeat(Coordinates),
}

/// The start of a transaction.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Begin {
    /// Where its first event starts.
    pub start: Coordinates,
    /// Its global id, where the source has GTIDs on.
    pub gtid: Option<Gtid>,
    /// When this source committed it, in microseconds since 1970; `None` where the server does not log that (MySQL
    /// before 8.0.1, MariaDB).
    pub committed_at_micros: Option<u64>,
    /// The same on the server that ran it first.
    pub original_committed_at_micros: Option<u64>,
    /// MySQL's logical clock (5.7.5 and newer): the transaction may run beside all that come behind the one with this
    /// number. 0 without a clock.
    pub last_committed: i64,
    /// Its own number in the file.
    pub sequence_number: i64,
    /// MariaDB: transactions with equal numbers were committed together.
    pub group_commit_id: Option<u64>,
    /// MariaDB: the transaction is a part of an `ALTER TABLE` that is logged in two phases.
    pub alter: Option<AlterPhase>,
}

/// The end of a transaction.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct End {
    /// Just after its last event: where the next one starts.
    pub end: Coordinates,
    /// When the last event was written, in seconds since 1970.
    pub seconds: u32,
    /// The connection that ran it; `None` where the log does not say (MariaDB's rows).
    pub thread: Option<u32>,
    /// What became of the changes.
    pub outcome: Outcome,
}

/// How a transaction ends.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Its changes are made.
    Committed,
    /// They are undone, but for those of tables without transactions, which the log does not tell apart.
    RolledBack,
    /// They are held until a transaction of their own says what becomes of them.
    Prepared(Xid),
    /// The changes of the prepared transaction of this id are made.
    CommittedPrepared(Xid),
    /// The changes of the prepared transaction of this id are undone.
    RolledBackPrepared(Xid),
}

/// A two-phase transaction that waits for a decision.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Prepared {
    /// The id that its end will name.
    pub xid: Xid,
    /// Where its first event starts.
    pub start: Coordinates,
    /// Just after its XA PREPARE.
    pub end: Coordinates,
    /// Its global id, where the source has GTIDs on.
    pub gtid: Option<Gtid>,
}

/// One committed transaction of the source, whole.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Transaction {
    /// Where the transaction's first event starts; of a two-phase transaction, that of its commit.
    pub start: Coordinates,
    /// Just after its last event: where the next one starts.
    pub end: Coordinates,
    /// Its global id, where the source has GTIDs on.
    pub gtid: Option<Gtid>,
    /// The id under which a two-phase transaction was prepared.
    pub prepared_gtid: Option<Gtid>,
    /// The two-phase transaction that ends with it.
    pub prepared_xid: Option<Xid>,
    /// Its changes are not here: they were prepared in front of the stream's start. Only where an
    /// [`Assembler`](super::Assembler) was asked for such.
    pub is_unprepared: bool,
    /// When it was committed, in microseconds since 1970; whole seconds where the server logs no more.
    pub committed_at_micros: u64,
    /// MySQL's logical clock, see [`Begin::last_committed`].
    pub last_committed: i64,
    /// See [`Begin::sequence_number`].
    pub sequence_number: i64,
    /// The connection that ran it, see [`End::thread`]; `None` as long as its end was not seen.
    pub thread: Option<u32>,
    /// What it did, in order. Empty where everything was rolled back or filtered.
    pub changes: Vec<Change>,
    /// Bytes of all its events in the log; 0 as long as its end was not seen.
    pub bytes: u64,
    /// How many parts of it came before this one; see [`Assembled::Part`](super::Assembled::Part).
    pub parts: u64,
}

impl Transaction {
    /// A transaction by its parts.
    pub fn new(start: Coordinates, end: Coordinates) -> Transaction {
        Transaction {
            start,
            end,
            gtid: None,
            prepared_gtid: None,
            prepared_xid: None,
            is_unprepared: false,
            committed_at_micros: 0,
            last_committed: 0,
            sequence_number: 0,
            thread: None,
            changes: Vec::new(),
            bytes: 0,
            parts: 0,
        }
    }

    /// The bytes that its changes keep in memory.
    pub fn kept_bytes(&self) -> u64 {
        self.changes.iter().map(Change::byte_count).fold(0, u64::saturating_add)
    }

    /// All ids that count as executed with it. On MySQL that of a PREPARE is among them: without it in the set the source
    /// sends the transaction again to whoever starts in between. MariaDB's list knows no such gap.
    pub fn gtids(&self) -> impl Iterator<Item = &Gtid> {
        self.prepared_gtid.iter().filter(|gtid| matches!(gtid, Gtid::MySql(_))).chain(&self.gtid)
    }
}

/// One event's worth of change.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Change {
    /// Rows of one table.
    Rows(RowsChange),
    /// A statement that is logged as text.
    Statement(Statement),
}

impl Change {
    /// The bytes that it keeps in memory: those of its event, unfolded where it is compressed in the log.
    pub fn byte_count(&self) -> u64 {
        match self {
            Change::Rows(rows) => rows.byte_count(),
            Change::Statement(statement) => u64::try_from(statement.sql.len()).unwrap_or(u64::MAX),
        }
    }
}
