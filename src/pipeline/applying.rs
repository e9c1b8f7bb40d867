//! The applying stage: steps of the planning stage to green, whole or shared out among lanes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use super::metrics;
use super::planning::Step;
use super::progress::{GroupFigures, Progress, State};
use super::queue::Level;
use super::stopwatch::{Stage, Stopwatch};
use crate::apply::{Applied, Applier, Lanes, Prepared, Statements};
use crate::error::{Error, Result};

/// How long the applier is idle before it asks whether the stream is still its own.
const OWNER_CHECK: Duration = Duration::from_secs(2);
/// How long lanes are out of work before they end.
const LANES_REST: Duration = Duration::from_millis(20);

/// What writes to green.
pub(super) struct Green<'a> {
    pub(super) applier: &'a mut Applier,
    pub(super) lanes: Lanes,
    pub(super) statements: &'a Statements,
}

/// The stage, a task.
pub(super) struct Applying<'a> {
    pub(super) green: Green<'a>,
    /// Tells the planning stage that there is time to gather a large group.
    pub(super) lanes_at_work: Arc<AtomicBool>,
    pub(super) at_work_since: Option<Instant>,
    pub(super) progress: watch::Sender<Progress>,
    pub(super) stopwatch: Stopwatch,
    pub(super) queues: [Level; 2],
}

/// What it wakes up for.
enum Turn {
    Step(Option<Result<Step>>),
    Lanes(Result<Option<Applied>>),
    Stop,
    Idle,
}

impl Applying<'_> {
    pub(super) async fn run(
        mut self,
        mut steps: mpsc::Receiver<Result<Step>>,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<()> {
        loop {
            let lanes_rest = self.green.lanes.have_started() && !self.green.lanes.are_at_work();
            let turn = tokio::select! {
                biased;
                // An error means that whoever could ask to stop is gone, which asks for the same.
                _ = stop.wait_for(|stop| *stop) => Turn::Stop,
                done = self.green.lanes.next() => Turn::Lanes(done),
                step = steps.recv() => Turn::Step(step),
                () = tokio::time::sleep(if lanes_rest { LANES_REST } else { OWNER_CHECK }) => Turn::Idle,
            };
            match turn {
                Turn::Stop => {
                    self.level().await?;
                    return self.green.applier.close().await;
                }
                Turn::Lanes(done) => self.lanes_did(done?),
                Turn::Idle if lanes_rest => self.level().await?,
                Turn::Idle => self.green.applier.check_owner().await?,
                Turn::Step(step) => {
                    let step = step.ok_or_else(|| Error::internal("the planning stage ended without a reason"))??;
                    self.step(step).await?;
                }
            }
        }
    }

    async fn step(&mut self, step: Step) -> Result<()> {
        match step {
            Step::Shares(shares) => self.share_out(shares).await?,
            Step::Group(prepared) => {
                // Its own commit ends the lanes.
                self.wait_for_lanes().await?;
                let start = Instant::now();
                let applied = self.green.applier.apply(&prepared).await?;
                self.stopwatch.add(Stage::Green, start.elapsed());
                self.committed(applied, 1);
            }
            Step::Part(prepared) => {
                self.level().await?;
                let start = Instant::now();
                self.green.applier.apply_part(&prepared).await?;
                self.stopwatch.add(Stage::Green, start.elapsed());
                self.progress.send_modify(|progress| {
                    let open = progress.open.get_or_insert_default();
                    open.row_changes += prepared.group.row_changes;
                    open.bytes += prepared.group.kept_bytes();
                });
            }
            Step::Statement(ddl, reply) => {
                self.level().await?;
                let start = Instant::now();
                let tables = self.green.statements.run(self.green.applier.session(), &ddl).await?;
                self.stopwatch.add(Stage::Green, start.elapsed());
                // The planner is gone only where the stream ends.
                let _ = reply.send(tables);
            }
        }
        Ok(())
    }

    async fn share_out(&mut self, shares: Vec<Prepared>) -> Result<()> {
        if self.green.lanes.must_end() {
            self.level().await?;
        }
        while !self.green.lanes.have_room() {
            let done = self.green.lanes.next().await?;
            self.lanes_did(done);
        }
        self.at_work_since.get_or_insert_with(Instant::now);
        self.green.lanes.share_out(self.green.applier, shares).await?;
        self.lanes_at_work.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// A lane is done with a share, and perhaps all of them with a group.
    fn lanes_did(&mut self, applied: Option<Applied>) {
        if let Some(applied) = applied {
            self.committed(applied, self.green.lanes.count());
        }
        if !self.green.lanes.are_at_work() {
            self.lanes_at_work.store(false, Ordering::Relaxed);
            if let Some(since) = self.at_work_since.take() {
                self.stopwatch.add(Stage::Green, since.elapsed());
            }
        }
    }

    /// No lane is ahead of another behind this, but for their rows on green, which the next commit removes.
    async fn wait_for_lanes(&mut self) -> Result<()> {
        while self.green.lanes.are_at_work() {
            let done = self.green.lanes.next().await?;
            self.lanes_did(done);
        }
        self.green.lanes.end(self.green.applier);
        Ok(())
    }

    /// Green is a prefix of blue behind this, and says so.
    async fn level(&mut self) -> Result<()> {
        self.wait_for_lanes().await?;
        self.green.applier.end_lanes().await
    }

    fn committed(&self, applied: Applied, lanes: usize) {
        let figures = GroupFigures {
            transactions: applied.transactions,
            row_changes: applied.row_changes,
            operations: applied.operations,
            bytes: applied.bytes,
            lanes,
        };
        self.progress.send_modify(|progress| {
            progress.state = State::Replicating;
            progress.groups += 1;
            progress.transactions += figures.transactions;
            progress.row_changes += figures.row_changes;
            progress.bytes += figures.bytes;
            progress.last_group = Some(figures);
            progress.stages = self.stopwatch.figures(&self.queues);
            progress.open = None;
            progress.conflicts += applied.conflicts;
            progress.checkpoint = Some(applied.checkpoint);
            metrics::committed(progress, &figures, applied.conflicts);
        });
    }
}
