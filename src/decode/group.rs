//! What may follow what: the one place that knows a transaction's boundaries.
//!
//! # Invariants
//! 1. Rows and statements come inside of a transaction only, and each transaction has exactly one end.
//! 2. What is rolled back to a savepoint is exactly what came behind the savepoint.

use super::event::query::Verb;
use super::event::xa::Xid;
use super::fault::corrupt;
use super::transaction::Outcome;
use crate::error::Result;
use crate::model::{Coordinates, Gtid};

/// What has been seen of an open transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its GTID; a statement or BEGIN follows (MySQL).
    Announced,
    /// Its GTID; exactly one statement follows (MariaDB).
    Standalone,
    /// Its start; changes and an end follow.
    Begun,
}

/// An open transaction.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) start: Coordinates,
    pub(super) gtid: Option<Gtid>,
    pub(super) phase: Phase,
    /// The connection that ran its last statement.
    pub(super) thread: Option<u32>,
    /// It is prepared now, and committed or rolled back by another.
    pub(super) is_two_phase: bool,
    /// How many changes it has, those of no effect left out.
    changes: u64,
    /// Names, and how many changes there were.
    savepoints: Vec<(Vec<u8>, u64)>,
}

/// What a statement does to its transaction.
pub(super) enum Step {
    /// Nothing that is to be told: BEGIN.
    Quiet,
    /// No change; a part of the transaction begins.
    Savepoint,
    /// Changes behind the first so many are undone.
    RolledBack(u64),
    /// It is a change.
    Change,
    /// It is a change, and the transaction is complete with it.
    LastChange,
    /// It is the end.
    End(Outcome),
}

impl Group {
    pub(super) fn new(start: Coordinates, gtid: Option<Gtid>, phase: Phase) -> Group {
        Group { start, gtid, phase, thread: None, is_two_phase: false, changes: 0, savepoints: Vec::new() }
    }

    pub(super) fn is_begun(&self) -> bool {
        self.phase == Phase::Begun
    }

    /// Counts a change.
    pub(super) fn change(&mut self) {
        self.changes = self.changes.saturating_add(1);
    }

    /// A statement's part in the transaction.
    pub(super) fn step(&mut self, verb: Verb) -> Result<Step> {
        let is_begun = self.is_begun();
        // MariaDB's GTID event has told it.
        self.is_two_phase |= verb == Verb::XaStart;
        Ok(match verb {
            Verb::Begin | Verb::XaStart if self.phase == Phase::Announced => {
                self.phase = Phase::Begun;
                Step::Quiet
            }
            // MariaDB's group of a two-phase transaction has begun with its GTID.
            Verb::XaStart | Verb::XaEnd if is_begun => Step::Quiet,
            Verb::Begin | Verb::XaStart | Verb::XaEnd => {
                return Err(corrupt("expected a change or the end of a transaction, found the start of one"));
            }
            Verb::Commit if is_begun => Step::End(Outcome::Committed),
            Verb::Rollback if self.phase != Phase::Standalone => Step::End(Outcome::RolledBack),
            Verb::XaCommit(xid) => self.end_prepared(Outcome::CommittedPrepared, xid)?,
            Verb::XaRollback(xid) => self.end_prepared(Outcome::RolledBackPrepared, xid)?,
            Verb::Savepoint(name) if is_begun => {
                self.savepoints.retain(|(known, _)| *known != name);
                self.savepoints.push((name, self.changes));
                Step::Savepoint
            }
            Verb::RollbackTo(name) if is_begun => self.roll_back_to(&name)?,
            Verb::Commit | Verb::Rollback | Verb::Savepoint(_) | Verb::RollbackTo(_) => {
                return Err(corrupt(
                    "expected a statement or BEGIN behind a GTID, found the end or a part of a transaction",
                ));
            }
            Verb::Other => {
                self.change();
                if is_begun { Step::Change } else { Step::LastChange }
            }
        })
    }

    /// A prepared transaction ends in a transaction of its own, of which this is all.
    fn end_prepared(&self, outcome: fn(Xid) -> Outcome, xid: Xid) -> Result<Step> {
        match self.changes {
            0 => Ok(Step::End(outcome(xid))),
            _ => Err(corrupt("expected the end of a transaction with changes, found that of a prepared one")),
        }
    }

    fn roll_back_to(&mut self, name: &[u8]) -> Result<Step> {
        let index = self.savepoints.iter().position(|(known, _)| known == name);
        let Some((index, (_, changes))) = index.and_then(|index| Some((index, self.savepoints.get(index)?))) else {
            return Err(corrupt("a transaction is rolled back to a savepoint that it does not have"));
        };
        self.changes = *changes;
        self.savepoints.truncate(index.saturating_add(1));
        Ok(Step::RolledBack(self.changes))
    }
}
