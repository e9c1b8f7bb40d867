use std::sync::Arc;

use super::TargetTable;
use crate::decode::{Image, RowBuffer, RowsChange};
use crate::error::{Error, Result};
use crate::model::{ChangeKind, Position};

/// A run of whole blue transactions, to be applied as one green transaction; or a part of a single one.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Group {
    /// The row operations, in an order in which no key of green stands in their way.
    pub ops: Vec<Op>,
    /// Where blue's log goes on after the group.
    pub position: Position,
    /// Where a stream has to start again, if that is before the position: in front of a two-phase transaction that waits
    /// for a decision.
    pub resume: Option<Position>,
    /// When blue committed the last transaction, in microseconds since 1970; 0: the group holds none.
    pub committed_at_micros: u64,
    /// How many transactions it holds.
    pub transactions: u64,
    /// How many rows blue changed; the operations may be fewer.
    pub row_changes: u64,
    /// Bytes of their events.
    pub bytes: u64,
    /// The events that the operations' rows are in.
    pub(super) events: Arc<Vec<RowsChange>>,
    /// Which lane a row of it belongs to cannot be told.
    pub(super) has_unknown_lane: bool,
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
    /// Whether no other operation of the group is of the same row.
    pub is_merged: bool,
}

/// What to do with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a row comes, changes or goes")]
pub enum RowOp {
    /// The row is new.
    Insert(RowPlace),
    /// The row changes.
    Update {
        /// As it was: the image before.
        before: RowPlace,
        /// As it shall be: the image after.
        after: RowPlace,
        /// Whether the row key stays as it was, byte for byte.
        keeps_key: bool,
    },
    /// The row goes.
    Delete(RowPlace),
}

/// Where in a group's events a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowPlace {
    pub(super) event: u32,
    pub(super) offset: u32,
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

impl Group {
    /// Bytes of the events that it keeps, unfolded where they are compressed in the log.
    pub fn kept_bytes(&self) -> u64 {
        self.events.iter().map(RowsChange::byte_count).sum()
    }

    /// A row as it was. `buffer` is reused from one row to the next.
    ///
    /// # Errors
    /// `Internal`: a place of another group, or of an insert.
    pub fn before<'a>(&'a self, place: RowPlace, buffer: &'a mut RowBuffer) -> Result<Image<'a>> {
        self.event(place)?.row_at(place.offset, buffer)?.before.ok_or_else(no_image)
    }

    /// A row as it became. `buffer` is reused from one row to the next.
    ///
    /// # Errors
    /// `Internal`: a place of another group, or of a delete.
    pub fn after<'a>(&'a self, place: RowPlace, buffer: &'a mut RowBuffer) -> Result<Image<'a>> {
        self.event(place)?.row_at(place.offset, buffer)?.after.ok_or_else(no_image)
    }

    /// When blue did what an operation came of, in seconds since 1970.
    pub(crate) fn seconds(&self, op: &Op) -> u32 {
        let (RowOp::Insert(place) | RowOp::Delete(place) | RowOp::Update { after: place, .. }) = op.row;
        self.event(place).map_or(0, |event| event.seconds)
    }

    fn event(&self, place: RowPlace) -> Result<&RowsChange> {
        usize::try_from(place.event).ok().and_then(|index| self.events.get(index)).ok_or_else(no_image)
    }
}

fn no_image() -> Error {
    Error::internal("a row operation without the image it must have")
}
