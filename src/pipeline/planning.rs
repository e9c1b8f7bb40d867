//! The planning stage: whole transactions to steps for the applier.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{mpsc, oneshot};

use super::queue::Receiver;
use super::stopwatch::{Stage, Stopwatch};
use crate::apply::{Dialect, Prepared};
use crate::decode::{Assembled, Transaction};
use crate::error::{Error, Result};
use crate::model::Table;
use crate::plan::{Ddl, Group, Planner, Rules};

/// A group is closed at so many row changes …
const GROUP_ROWS: u64 = 16_000;
/// … or so many bytes of events.
pub(super) const GROUP_BYTES: u64 = 8 << 20;
/// A group of fewer operations for each lane is applied whole: starting the lanes and ending them costs two commits.
const SHARE_ROWS: usize = 256;

/// What the applier does next.
pub(super) enum Step {
    /// Rows, and a commit with their checkpoint.
    Group(Prepared),
    /// The same as a share for each lane.
    Shares(Vec<Prepared>),
    /// Rows of a transaction of which more follow: its rest is in a group.
    Part(Prepared),
    /// A statement; the tables as they are after it go back to the planner, which waits for them.
    Statement(Box<Ddl>, oneshot::Sender<Option<Vec<Table>>>),
}

/// The stage, on a thread of its own.
pub(super) struct Planning {
    pub(super) planner: Planner,
    pub(super) rules: Rules,
    pub(super) dialect: Dialect,
    pub(super) lanes: usize,
    /// The next group is not shared out: it ends a transaction that came in parts, or is behind a two-phase transaction
    /// that waits for a decision.
    pub(super) must_be_whole: bool,
    pub(super) lanes_at_work: Arc<AtomicBool>,
    pub(super) steps: mpsc::Sender<Result<Step>>,
    pub(super) stopwatch: Stopwatch,
}

impl Planning {
    pub(super) fn run(mut self, assembled: &Receiver<Result<Assembled>>) {
        while let Some(item) = assembled.recv() {
            let failure = self.gather(item, assembled).err();
            // What came before a failure is applied all the same.
            if let Some(error) = self.send_group().err().or(failure) {
                // The applier may be gone already; then nobody needs the reason.
                let _ = self.steps.blocking_send(Err(error));
                return;
            }
        }
    }

    /// Adds an item to the group, and those behind it for as long as the applier is busy with the group before.
    fn gather(&mut self, item: Result<Assembled>, assembled: &Receiver<Result<Assembled>>) -> Result<()> {
        let mut next = Some(item);
        while let Some(item) = next.take() {
            self.add(item?)?;
            let is_applier_busy = self.steps.capacity() == 0 || self.lanes_at_work.load(Ordering::Relaxed);
            if !self.is_full() && is_applier_busy {
                next = assembled.try_recv();
            }
        }
        Ok(())
    }

    fn add(&mut self, item: Assembled) -> Result<()> {
        match item {
            Assembled::Transaction(transaction) => {
                if self.planner.passes(&transaction)? {
                    return Ok(());
                }
                if let Some(ddl) = self.rules.statement(&transaction)? {
                    self.run_statement(ddl)?;
                }
                self.stopwatch.time(Stage::Plan, || self.planner.add(transaction))
            }
            Assembled::Part(part) => self.send_part(&part),
            Assembled::Prepared(prepared) => self.planner.prepare(prepared),
            Assembled::Advanced(coordinates) => {
                self.planner.advance(coordinates);
                Ok(())
            }
            Assembled::Heartbeat(_) => Ok(()),
            #[expect(unreachable_patterns, reason = "the enum may grow")]
            _ => Err(Error::internal("an unknown item of the decoder")),
        }
    }

    /// Green's transaction stays open over the parts of blue's; what came before commits by itself.
    fn send_part(&mut self, part: &Transaction) -> Result<()> {
        if self.planner.is_applied(part)? {
            return Ok(());
        }
        self.send_group()?;
        self.planner.check_level()?;
        self.must_be_whole = true;
        if let Some(ddl) = self.rules.statement(part)? {
            self.run_statement(ddl)?;
        }
        for (index, change) in part.changes.iter().enumerate() {
            self.stopwatch.time(Stage::Plan, || self.planner.add_change(change))?;
            let is_last = index + 1 == part.changes.len();
            if (is_last || self.is_full())
                && let Some(group) = self.planner.take_part()
            {
                let prepared = self.prepare(group)?;
                self.send(Step::Part(prepared))?;
            }
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.planner.row_changes() >= GROUP_ROWS || self.planner.kept_bytes() >= GROUP_BYTES
    }

    /// A barrier: everything before the statement is on green when it runs, and green's tables are read again behind it.
    fn run_statement(&mut self, ddl: Ddl) -> Result<()> {
        self.send_group()?;
        self.planner.check_level()?;
        let (reply, tables) = oneshot::channel();
        self.send(Step::Statement(Box::new(ddl), reply))?;
        if let Some(tables) = tables.blocking_recv().map_err(|_| applier_ended())? {
            self.planner.set_tables(tables);
        }
        Ok(())
    }

    fn send_group(&mut self) -> Result<()> {
        match self.stopwatch.time(Stage::Plan, || self.planner.take()) {
            Some(group) => self.share_out(group),
            None => Ok(()),
        }
    }

    fn share_out(&mut self, group: Group) -> Result<()> {
        let is_waiting = group.resume.is_some();
        let is_large = group.ops.len() >= SHARE_ROWS * self.lanes;
        let may_share = self.lanes > 1 && is_large && !is_waiting && !self.must_be_whole;
        self.must_be_whole = is_waiting;
        let groups = match may_share {
            true => self.stopwatch.time(Stage::Plan, || group.spread(self.lanes))?,
            false => vec![group],
        };
        let mut prepared = groups.into_iter().map(|group| self.prepare(group)).collect::<Result<Vec<_>>>()?;
        self.send(match prepared.pop() {
            Some(whole) if prepared.is_empty() => Step::Group(whole),
            last => Step::Shares(prepared.into_iter().chain(last).collect()),
        })
    }

    fn prepare(&self, group: Group) -> Result<Prepared> {
        self.stopwatch.time(Stage::Render, || Prepared::new(group, self.dialect))
    }

    fn send(&self, step: Step) -> Result<()> {
        self.steps.blocking_send(Ok(step)).map_err(|_| applier_ended())
    }
}

fn applier_ended() -> Error {
    Error::internal("the applying stage ended")
}
