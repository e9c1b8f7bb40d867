//! Events to transactions. The only code that knows a commit boundary.
//!
//! # Invariants
//! 1. A transaction leaves whole or not at all: only its last event gives it away.
//! 2. What was rolled back to a savepoint is gone, and nothing else is.
//! 3. Memory is charged before it is kept, and bounded.

use super::event::query::{QueryEvent, Verb};
use super::fault::{corrupt, limit, unsupported};
use crate::error::Result;
use crate::model::{Change, Coordinates, Gtid, RowsChange, Statement, Transaction};

const MICROS_PER_SECOND: u64 = 1_000_000;

/// What has been seen of an open group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its GTID; a statement or BEGIN follows (MySQL).
    Announced,
    /// Its GTID; exactly one statement follows (MariaDB).
    Standalone,
    /// Its start; changes and an end follow.
    Begun,
}

#[derive(Debug)]
struct Group {
    transaction: Transaction,
    phase: Phase,
    committed_at_micros: Option<u64>,
    /// Names, and how many changes there were.
    savepoints: Vec<(Vec<u8>, usize)>,
    has_changed: bool,
    kept_bytes: u64,
}

/// Where an event stands and when it was written.
#[derive(Debug, Clone)]
pub(super) struct Moment {
    pub(super) start: Coordinates,
    pub(super) end: Coordinates,
    /// The header's seconds since 1970.
    pub(super) seconds: u32,
    /// Bytes of the event.
    pub(super) bytes: u64,
}

#[derive(Debug)]
pub(super) struct Assembler {
    group: Option<Group>,
    max_bytes: u64,
}

impl Assembler {
    pub(super) fn new(max_bytes: u64) -> Assembler {
        Assembler { group: None, max_bytes }
    }

    pub(super) fn is_open(&self) -> bool {
        self.group.is_some()
    }

    /// Where the open transaction starts.
    pub(super) fn start(&self) -> Option<&Coordinates> {
        self.group.as_ref().map(|group| &group.transaction.start)
    }

    /// The open transaction's GTID.
    pub(super) fn gtid(&self) -> Option<&Gtid> {
        self.group.as_ref()?.transaction.gtid.as_ref()
    }

    /// Counts an event of the log that belongs to the open transaction.
    pub(super) fn count(&mut self, bytes: u64) -> Result<()> {
        if let Some(group) = &mut self.group {
            group.transaction.bytes = group.transaction.bytes.saturating_add(bytes);
        }
        self.charge(bytes)
    }

    /// Counts bytes that are kept until the transaction's end.
    pub(super) fn charge(&mut self, bytes: u64) -> Result<()> {
        let Some(group) = &mut self.group else { return Ok(()) };
        group.kept_bytes = group.kept_bytes.saturating_add(bytes);
        if group.kept_bytes > self.max_bytes {
            let (found, bound) = (group.kept_bytes, self.max_bytes);
            return Err(limit(format!("a transaction has {found} bytes or more, the bound is {bound} bytes"))
                .with_advice(
                    "raise the bound on a transaction's bytes, or let this transaction pass before starting",
                ));
        }
        Ok(())
    }

    /// A GTID event.
    pub(super) fn announce(
        &mut self,
        moment: &Moment,
        gtid: Option<Gtid>,
        committed_at_micros: Option<u64>,
        phase: Phase,
    ) -> Result<()> {
        if self.group.is_some() {
            return Err(corrupt("expected the end of a transaction, found the start of another"));
        }
        let mut transaction = Transaction::new(moment.start.clone(), moment.end.clone());
        transaction.gtid = gtid;
        transaction.bytes = moment.bytes;
        self.group = Some(Group {
            transaction,
            phase,
            committed_at_micros,
            savepoints: Vec::new(),
            has_changed: false,
            kept_bytes: moment.bytes,
        });
        Ok(())
    }

    /// A QUERY event; gives the transaction that it ends.
    pub(super) fn query(&mut self, moment: &Moment, query: QueryEvent) -> Result<Option<Transaction>> {
        let verb = Verb::of(&query.sql)?;
        if self.group.is_none() {
            if let Verb::Commit | Verb::Savepoint(_) | Verb::RollbackTo(_) = verb {
                return Err(corrupt("expected the start of a transaction, found a statement that ends or divides one"));
            }
            self.announce(moment, None, None, Phase::Announced)?;
        }
        let Some(group) = &mut self.group else { return Ok(None) };
        let is_begun = group.phase == Phase::Begun;
        match verb {
            Verb::Xa => {
                return Err(
                    unsupported("XA transactions are not handled").with_advice("keep XA transactions off the source")
                );
            }
            Verb::Begin if group.phase == Phase::Announced => group.phase = Phase::Begun,
            Verb::Begin => return Err(corrupt("expected a change or the end of a transaction, found BEGIN")),
            Verb::Commit if is_begun => return Ok(self.finish(moment)),
            Verb::Rollback if group.has_changed => {
                return Err(unsupported("a transaction with changes ends in ROLLBACK")
                    .with_advice("the changes are of non-transactional tables: convert these to InnoDB"));
            }
            Verb::Rollback if group.phase != Phase::Standalone => return Ok(self.finish(moment)),
            Verb::Savepoint(name) if is_begun => {
                group.savepoints.retain(|(known, _)| *known != name);
                group.savepoints.push((name, group.transaction.changes.len()));
            }
            Verb::RollbackTo(name) if is_begun => {
                let found = group.savepoints.iter().position(|(known, _)| *known == name);
                let Some((index, (_, changes))) = found.and_then(|index| Some((index, group.savepoints.get(index)?)))
                else {
                    return Err(corrupt("a transaction is rolled back to a savepoint that it does not have"));
                };
                group.transaction.changes.truncate(*changes);
                group.savepoints.truncate(index.saturating_add(1));
            }
            Verb::Commit | Verb::Rollback | Verb::Savepoint(_) | Verb::RollbackTo(_) => {
                return Err(corrupt(
                    "expected a statement or BEGIN behind a GTID, found the end or a part of a transaction",
                ));
            }
            Verb::Other => {
                if query.error_code != 0 {
                    let code = query.error_code;
                    return Err(unsupported(format!(
                        "a statement failed with error {code} on the source and was logged"
                    ))
                    .with_advice("it may have been carried out in part: compare the two servers and start behind it"));
                }
                group.has_changed = true;
                let statement = Statement::new(query.schema, query.sql, moment.end.clone());
                group.transaction.changes.push(Change::Statement(statement));
                if !is_begun {
                    return Ok(self.finish(moment));
                }
            }
        }
        Ok(None)
    }

    /// Whether changes of rows may come now.
    pub(super) fn expect_begun(&self) -> Result<()> {
        match &self.group {
            Some(group) if group.phase == Phase::Begun => Ok(()),
            _ => Err(corrupt("expected a transaction around a change of rows, found none")),
        }
    }

    /// A row event.
    pub(super) fn rows(&mut self, rows: RowsChange) -> Result<()> {
        self.expect_begun()?;
        if let Some(group) = &mut self.group {
            group.has_changed = true;
            group.transaction.changes.push(Change::Rows(rows));
        }
        Ok(())
    }

    /// An XID event: the commit of a transactional engine.
    pub(super) fn commit(&mut self, moment: &Moment) -> Result<Option<Transaction>> {
        self.expect_begun()?;
        Ok(self.finish(moment))
    }

    fn finish(&mut self, moment: &Moment) -> Option<Transaction> {
        let Group { mut transaction, committed_at_micros, .. } = self.group.take()?;
        transaction.end = moment.end.clone();
        transaction.committed_at_micros =
            committed_at_micros.unwrap_or_else(|| u64::from(moment.seconds).saturating_mul(MICROS_PER_SECOND));
        Some(transaction)
    }
}
