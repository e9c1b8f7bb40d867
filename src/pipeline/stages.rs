use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::metrics;
use super::planning::{Planning, Step};
use super::progress::{GroupFigures, Progress, State};
use super::queue::{Closed, Level, Receiver, Sender, queue};
use super::stopwatch::{Stage, Stopwatch};
use crate::apply::{Applied, Applier, Statements};
use crate::decode::{Assembled, Assembler};
use crate::error::{Error, Result};
use crate::model::Frame;
use crate::plan::{Group, Planner, Rules};
use crate::source::Dump;

/// Bytes of received events that wait for decoding.
const FRAME_BYTES: u32 = 32 << 20;
/// Bytes of assembled transactions that wait for planning.
const TRANSACTION_BYTES: u32 = 32 << 20;

/// How long the applier is idle before it asks whether the stream is still its own.
const OWNER_CHECK: Duration = Duration::from_secs(2);

/// What writes to green.
pub(super) struct Green<'a> {
    pub(super) applier: &'a mut Applier,
    pub(super) statements: &'a Statements,
}

/// What shows how the stream is doing.
#[derive(Clone)]
pub(super) struct Instruments {
    pub(super) progress: watch::Sender<Progress>,
    pub(super) stopwatch: Stopwatch,
}

/// Runs all stages until an error, or until `stop` turns true: `Ok` then, at a commit boundary.
pub(super) async fn run(
    dump: Dump,
    assembler: Assembler,
    planner: Planner,
    rules: Rules,
    green: Green<'_>,
    instruments: Instruments,
    stop: &mut watch::Receiver<bool>,
) -> Result<()> {
    let Instruments { progress, stopwatch } = instruments;
    let runtime = Handle::current();
    let (batch_sender, batches) = queue(FRAME_BYTES);
    let (assembled_sender, assembled) = queue(TRANSACTION_BYTES);
    // A single group may wait while another is applied: as the applier falls behind, transactions gather behind it and
    // the next group is larger. With an empty queue a transaction goes out alone and at once.
    let (step_sender, steps) = mpsc::channel(1);
    let queues = [batch_sender.level(), assembled_sender.level()];
    let receiving = Aborted(tokio::spawn(receive(dump, batch_sender, progress.clone(), stopwatch.clone())));
    let decoding = Decoding { assembler, assembled: assembled_sender, runtime, stopwatch: stopwatch.clone() };
    let decoding = spawn("bluegreen-decode", move || decoding.run(&batches))?;
    let dialect = green.applier.dialect();
    let planning = Planning { planner, rules, dialect, steps: step_sender, stopwatch: stopwatch.clone() };
    let planning = spawn("bluegreen-plan", move || planning.run(&assembled))?;
    let result = Applying { green, progress, stopwatch, queues }.run(steps, stop).await;
    // The applier's end of the queues is gone: the other stages end, the receiver by being told so.
    drop(receiving);
    let joined = tokio::task::spawn_blocking(move || [decoding.join(), planning.join()]).await;
    match joined {
        Ok([Ok(()), Ok(())]) => result,
        _ => result.and(Err(Error::internal("a stage of the pipeline panicked"))),
    }
}

/// A task that ends with its handle.
struct Aborted(JoinHandle<()>);

impl Drop for Aborted {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name.into())
        .spawn(work)
        .map_err(|error| Error::internal("a thread cannot be started").with_source(error))
}

async fn receive(
    mut dump: Dump,
    batches: Sender<Result<Vec<Frame>>>,
    progress: watch::Sender<Progress>,
    stopwatch: Stopwatch,
) {
    loop {
        let mut frames = Vec::new();
        let start = Instant::now();
        let batch = dump.next_batch(&mut frames).await.map(|()| frames);
        stopwatch.add(Stage::Blue, start.elapsed());
        progress.send_if_modified(|progress| {
            progress.heard_at = Some(Instant::now());
            // Not worth waking anybody for each batch.
            false
        });
        let bytes = batch.iter().flatten().map(|frame| frame.bytes.len() as u64).sum();
        let is_end = batch.is_err();
        if batches.send(batch, bytes).await == Err(Closed) || is_end {
            return;
        }
    }
}

/// A batch's frames, or its error.
fn each(batch: Result<Vec<Frame>>) -> impl Iterator<Item = Result<Frame>> {
    let (frames, error) = batch.map_or_else(|error| (Vec::new(), Some(error)), |frames| (frames, None));
    frames.into_iter().map(Ok).chain(error.map(Err))
}

/// The decoding stage, on a thread of its own.
struct Decoding {
    assembler: Assembler,
    assembled: Sender<Result<Assembled>>,
    runtime: Handle,
    stopwatch: Stopwatch,
}

impl Decoding {
    fn run(mut self, batches: &Receiver<Result<Vec<Frame>>>) {
        while let Some(batch) = batches.recv() {
            for frame in each(batch) {
                if self.frame(frame) == Err(Closed) {
                    return;
                }
            }
        }
    }

    /// Gives over what a frame completes. Behind an error nothing is given.
    fn frame(&mut self, frame: Result<Frame>) -> Result<(), Closed> {
        let mut pushed = frame.and_then(|frame| self.assembler.push(frame));
        loop {
            let item = match self.stopwatch.time(Stage::Decode, || pushed.and_then(|()| self.assembler.next())) {
                Ok(None) => return Ok(()),
                Ok(Some(item)) => Ok(item),
                Err(error) => Err(error),
            };
            let (bytes, is_end) = (item.as_ref().map_or(0, kept_bytes), item.is_err());
            self.assembled.send_blocking(&self.runtime, item, bytes)?;
            if is_end {
                return Err(Closed);
            }
            pushed = Ok(());
        }
    }
}

fn kept_bytes(item: &Assembled) -> u64 {
    match item {
        Assembled::Transaction(transaction) | Assembled::Part(transaction) => transaction.kept_bytes(),
        _ => 0,
    }
}

/// The applying stage.
struct Applying<'a> {
    green: Green<'a>,
    progress: watch::Sender<Progress>,
    stopwatch: Stopwatch,
    queues: [Level; 2],
}

/// What it wakes up for.
#[expect(clippy::large_enum_variant, reason = "one lives at a time")]
enum Turn {
    Step(Option<Result<Step>>),
    Stop,
    Idle,
}

impl Applying<'_> {
    async fn run(mut self, mut steps: mpsc::Receiver<Result<Step>>, stop: &mut watch::Receiver<bool>) -> Result<()> {
        loop {
            let turn = tokio::select! {
                biased;
                // An error means that whoever could ask to stop is gone, which asks for the same.
                _ = stop.wait_for(|stop| *stop) => Turn::Stop,
                step = steps.recv() => Turn::Step(step),
                () = tokio::time::sleep(OWNER_CHECK) => Turn::Idle,
            };
            let start = Instant::now();
            match turn {
                Turn::Stop => return self.green.applier.close().await,
                Turn::Idle => self.green.applier.check_owner().await?,
                Turn::Step(step) => {
                    let step = step.ok_or_else(|| Error::internal("the planning stage ended without a reason"))??;
                    self.step(step, start).await?;
                }
            }
        }
    }

    async fn step(&mut self, step: Step, start: Instant) -> Result<()> {
        match step {
            Step::Group(prepared) => {
                let applied = self.green.applier.apply(&prepared).await?;
                self.stopwatch.add(Stage::Green, start.elapsed());
                self.committed(&prepared.group, applied);
            }
            Step::Part(prepared) => {
                self.green.applier.apply_part(&prepared).await?;
                self.stopwatch.add(Stage::Green, start.elapsed());
                self.progress.send_modify(|progress| {
                    let open = progress.open.get_or_insert_default();
                    open.row_changes += prepared.group.row_changes;
                    open.bytes += prepared.group.kept_bytes();
                });
            }
            Step::Statement(ddl, reply) => {
                let tables = self.green.statements.run(self.green.applier.session(), &ddl).await?;
                self.stopwatch.add(Stage::Green, start.elapsed());
                // The planner is gone only where the stream ends.
                let _ = reply.send(tables);
            }
        }
        Ok(())
    }

    fn committed(&self, group: &Group, applied: Applied) {
        let figures = GroupFigures {
            transactions: group.transactions,
            row_changes: applied.row_changes,
            operations: group.ops.len() as u64,
            bytes: group.bytes,
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
            progress.received = Some(group.position.coordinates.clone());
            progress.checkpoint = Some(applied.checkpoint);
            metrics::committed(progress, &figures, applied.conflicts);
        });
    }
}
