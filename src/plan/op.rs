use std::sync::Arc;

use super::TargetTable;
use crate::model::{ChangeKind, Position, Value};

/// A run of whole blue transactions, to be applied as one green transaction.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Group {
    /// The row operations in source order.
    pub ops: Vec<Op>,
    /// Where blue's log goes on after the group.
    pub position: Position,
    /// When blue committed the last transaction, in microseconds since 1970; 0: the group holds none.
    pub committed_at_micros: u64,
    /// How many transactions it holds.
    pub transactions: u64,
    /// Bytes of their events.
    pub bytes: u64,
}

/// One row's change on green.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Op {
    /// The table on green.
    pub table: Arc<TargetTable>,
    /// What to do.
    pub row: RowOp,
    /// Whether green shall check and cascade foreign keys. Off where blue's session had them off, and for cascaded
    /// changes that the log carries itself.
    pub foreign_key_checks: bool,
}

/// What to do with a row. Rows have a value for each of the table's columns, in order.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "one for each kind of row event")]
pub enum RowOp {
    /// The row is new.
    Insert(Vec<Value>),
    /// The row changes.
    Update {
        /// As it was.
        before: Vec<Value>,
        /// As it shall be.
        after: Vec<Value>,
    },
    /// The row goes.
    Delete(Vec<Value>),
}

impl RowOp {
    /// The kind of change.
    pub fn kind(&self) -> ChangeKind {
        match self {
            RowOp::Insert(_) => ChangeKind::Insert,
            RowOp::Update { .. } => ChangeKind::Update,
            RowOp::Delete(_) => ChangeKind::Delete,
        }
    }
}
