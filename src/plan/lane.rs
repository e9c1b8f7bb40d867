//! Which lane has a row, where several apply at the same time and none waits for another.
//!
//! # Invariants
//! 1. All changes of a row are in one lane, whatever bytes its key is written in: the lane is a hash of the key's folded
//!    values ([`FoldedHash`](super::key::FoldedHash)) and of the table's name.
//! 2. Rows that may stand in each other's way are in one lane. A table whose row key is not its only key, that foreign
//!    keys connect, or whose keys cannot be compared has a lane of its own name, or of its family's.
//! 3. What belongs to two lanes, or to one that cannot be told, is not shared out: its group is applied whole.
//! 4. A group without a transaction is not shared out: which lane is behind is told by how many transactions it has.
//! 5. The rule is kept on green with the lanes' positions: a stream that was killed is gone on with by it, by whatever
//!    build. A change of the rule needs other names for the lanes' checkpoints.

use super::merge::{self, Hash};
use super::{Group, RowOp, TargetTable};
use crate::decode::{Image, Row, RowBuffer};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Position;

impl Group {
    /// A group for each of so many lanes, with the lane's operations in their order; the counts, the position and the
    /// rest are the whole group's. A single group: it must be applied whole, with no lane ahead or behind.
    ///
    /// # Errors
    /// `Internal`.
    pub fn spread(mut self, lanes: usize) -> Result<Vec<Group>> {
        let Some(places) = self.lanes_of_ops(lanes)? else { return Ok(vec![self]) };
        let ops = std::mem::take(&mut self.ops);
        let mut shares = vec![self; lanes];
        for (op, lane) in ops.into_iter().zip(places) {
            shares[lane].ops.push(op);
        }
        Ok(shares)
    }

    fn lanes_of_ops(&self, lanes: usize) -> Result<Option<Vec<usize>>> {
        if lanes < 2 || self.has_unknown_lane || self.transactions == 0 {
            return Ok(None);
        }
        let (first, second) = (&mut RowBuffer::new(), &mut RowBuffer::new());
        let mut places = Vec::with_capacity(self.ops.len());
        for op in &self.ops {
            let table = &op.table;
            let lane = match op.row {
                _ if !table.is_spread => lane_of_table(table, lanes),
                RowOp::Insert(place) => lane_of_row(table, &self.after(place, first)?, None, lanes)?,
                RowOp::Delete(place) | RowOp::Update { before: place, keeps_key: true, .. } => {
                    lane_of_row(table, &self.before(place, first)?, None, lanes)?
                }
                RowOp::Update { before, after, .. } => {
                    let (before, after) = (self.before(before, first)?, self.after(after, second)?);
                    let from = lane_of_row(table, &before, None, lanes)?;
                    let to = lane_of_row(table, &after, Some(&before), lanes)?;
                    from.filter(|_| from == to)
                }
            };
            let Some(lane) = lane else { return Ok(None) };
            places.push(lane);
        }
        Ok(Some(places))
    }
}

/// Lanes of which some were ahead of others when the stream ended: what they have is not applied again.
#[derive(Debug)]
pub(super) struct Ahead {
    /// How far each lane is; `None`: where the stream starts.
    lanes: Vec<Option<Position>>,
    /// Which of them have the transaction that is looked at.
    have: Vec<bool>,
}

impl Ahead {
    pub(super) fn new(lanes: Vec<Option<Position>>) -> Ahead {
        Ahead { have: vec![false; lanes.len()], lanes }
    }

    /// Whether no lane is ahead of the stream any more.
    pub(super) fn is_reached(&self, at: &Position) -> bool {
        self.lanes.iter().flatten().all(|lane| at.covers(lane) == Some(true))
    }

    /// Looks at a transaction, of which `alone` is the position.
    pub(super) fn look_at(&mut self, alone: &Position) {
        let has = |lane: &Option<Position>| lane.as_ref().is_some_and(|lane| lane.covers(alone) == Some(true));
        self.have = self.lanes.iter().map(has).collect();
    }

    /// What of a row of the transaction is still to be done: of a row whose key changes, one lane may have taken it away
    /// and another not made it again.
    ///
    /// # Errors
    /// `State` where its lane cannot be told: it was not shared out, so nothing here may be left of it to do.
    pub(super) fn lacking<'r>(&self, table: &TargetTable, row: Row<'r>) -> Result<Row<'r>> {
        if self.have.iter().all(|has| !has) {
            return Ok(row);
        }
        let lanes = self.lanes.len();
        let has = |image: &Image<'_>, before: Option<&Image<'_>>| {
            let lane = match table.is_spread {
                false => lane_of_table(table, lanes),
                true => lane_of_row(table, image, before, lanes)?,
            };
            lane.map(|lane| self.have[lane]).ok_or_else(unknown)
        };
        let has_before = row.before.as_ref().map_or(Ok(false), |before| has(before, None))?;
        let has_after = row.after.as_ref().map_or(Ok(false), |after| has(after, row.before.as_ref()))?;
        Ok(Row { before: row.before.filter(|_| !has_before), after: row.after.filter(|_| !has_after) })
    }
}

fn lane_of_table(table: &TargetTable, lanes: usize) -> Option<usize> {
    lane(u64::from(crc32fast::hash(table.lane_name.as_bytes())), lanes)
}

/// The lane of a row of a table whose rows are spread; `None`: it cannot be told. What an image after lacks is as it was
/// before.
fn lane_of_row(
    table: &TargetTable,
    image: &Image<'_>,
    before: Option<&Image<'_>>,
    lanes: usize,
) -> Result<Option<usize>> {
    // A checksum, because it is the same in every build.
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(table.lane_name.as_bytes());
    hasher.update(&[0]);
    let key = table.row_key.as_deref().unwrap_or_default();
    Ok(match merge::hash(hasher, table, key, image, before)? {
        Hash::Known(hash) => lane(hash, lanes),
        Hash::Null | Hash::Unknown => None,
    })
}

fn lane(hash: u64, lanes: usize) -> Option<usize> {
    usize::try_from(hash.checked_rem(lanes as u64)?).ok()
}

fn unknown() -> Error {
    Error::new(ErrorKind::State, "it cannot be told which lane applied a row when the stream ended")
        .with_advice("green's table was changed by hand; build green anew with `create`")
}
