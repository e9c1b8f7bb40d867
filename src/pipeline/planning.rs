//! The planning stage: whole transactions to steps for the applier.

use tokio::sync::{mpsc, oneshot};

use super::queue::Receiver;
use crate::apply::{Dialect, Prepared};
use crate::decode::{Assembled, Transaction};
use crate::error::{Error, Result};
use crate::model::Table;
use crate::plan::{Ddl, Planner, Rules};

/// A group is closed at so many row changes …
const GROUP_ROWS: u64 = 16_000;
/// … or so many bytes of events.
pub(super) const GROUP_BYTES: u64 = 8 << 20;

/// What the applier does next.
pub(super) enum Step {
    /// Rows, and a commit with their checkpoint.
    Group(Prepared),
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
    pub(super) steps: mpsc::Sender<Result<Step>>,
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
            if !self.is_full() && self.steps.capacity() == 0 {
                next = assembled.try_recv();
            }
        }
        Ok(())
    }

    fn add(&mut self, item: Assembled) -> Result<()> {
        match item {
            Assembled::Transaction(transaction) => {
                if let Some(ddl) = self.rules.statement(&transaction)? {
                    self.run_statement(ddl)?;
                }
                self.planner.add(transaction)
            }
            Assembled::Part(part) => self.send_part(&part),
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
        self.send_group()?;
        if let Some(ddl) = self.rules.statement(part)? {
            self.run_statement(ddl)?;
        }
        for (index, change) in part.changes.iter().enumerate() {
            self.planner.add_change(change)?;
            let is_last = index + 1 == part.changes.len();
            if (is_last || self.is_full())
                && let Some(group) = self.planner.take_part()
            {
                self.send(Step::Part(Prepared::new(group, self.dialect)?))?;
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
        let (reply, tables) = oneshot::channel();
        self.send(Step::Statement(Box::new(ddl), reply))?;
        if let Some(tables) = tables.blocking_recv().map_err(|_| applier_ended())? {
            self.planner.set_tables(tables);
        }
        Ok(())
    }

    fn send_group(&mut self) -> Result<()> {
        match self.planner.take() {
            Some(group) => self.send(Step::Group(Prepared::new(group, self.dialect)?)),
            None => Ok(()),
        }
    }

    fn send(&self, step: Step) -> Result<()> {
        self.steps.blocking_send(Ok(step)).map_err(|_| applier_ended())
    }
}

fn applier_ended() -> Error {
    Error::internal("the applying stage ended")
}
