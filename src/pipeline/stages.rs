use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::planning::{Planning, Step};
use super::progress::{Progress, State};
use super::queue::{Closed, Receiver, Sender, queue};
use crate::apply::{Applier, Statements};
use crate::decode::{Assembled, Assembler};
use crate::error::{Error, Result};
use crate::model::{Frame, Position};
use crate::plan::{Planner, Rules};
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

/// Runs all stages until an error, or until `stop` turns true: `Ok` then, at a commit boundary.
pub(super) async fn run(
    dump: Dump,
    assembler: Assembler,
    planner: Planner,
    rules: Rules,
    green: Green<'_>,
    progress: watch::Sender<Progress>,
    stop: &mut watch::Receiver<bool>,
) -> Result<()> {
    let runtime = Handle::current();
    let (batch_sender, batches) = queue(FRAME_BYTES);
    let (assembled_sender, assembled) = queue(TRANSACTION_BYTES);
    // A single group may wait while another is applied: as the applier falls behind, transactions gather behind it and
    // the next group is larger. With an empty queue a transaction goes out alone and at once.
    let (step_sender, steps) = mpsc::channel(1);
    let receiving = Aborted(tokio::spawn(receive(dump, batch_sender, progress.clone())));
    let decode_runtime = runtime.clone();
    let decoding = spawn("bluegreen-decode", move || decode(assembler, &batches, &assembled_sender, &decode_runtime))?;
    let planning = Planning { planner, rules, dialect: green.applier.dialect(), steps: step_sender };
    let planning = spawn("bluegreen-plan", move || planning.run(&assembled))?;
    let result = apply(steps, green, progress, stop).await;
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

async fn receive(mut dump: Dump, batches: Sender<Result<Vec<Frame>>>, progress: watch::Sender<Progress>) {
    loop {
        let mut frames = Vec::new();
        let batch = dump.next_batch(&mut frames).await.map(|()| frames);
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

fn decode(
    mut assembler: Assembler,
    batches: &Receiver<Result<Vec<Frame>>>,
    assembled: &Sender<Result<Assembled>>,
    runtime: &Handle,
) {
    for frame in std::iter::from_fn(|| batches.recv()).flat_map(each) {
        let mut pushed = frame.and_then(|frame| assembler.push(frame));
        loop {
            let item = match pushed.and_then(|()| assembler.next()) {
                Ok(None) => break,
                Ok(Some(item)) => Ok(item),
                Err(error) => Err(error),
            };
            let (bytes, is_end) = (item.as_ref().map_or(0, kept_bytes), item.is_err());
            if assembled.send_blocking(runtime, item, bytes) == Err(Closed) || is_end {
                return;
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

/// What the applying stage wakes up for.
enum Turn {
    Step(Option<Result<Step>>),
    Stop,
    Idle,
}

async fn apply(
    mut steps: mpsc::Receiver<Result<Step>>,
    green: Green<'_>,
    progress: watch::Sender<Progress>,
    stop: &mut watch::Receiver<bool>,
) -> Result<()> {
    let Green { applier, statements } = green;
    loop {
        let turn = tokio::select! {
            biased;
            // An error means that whoever could ask to stop is gone, which asks for the same.
            _ = stop.wait_for(|stop| *stop) => Turn::Stop,
            step = steps.recv() => Turn::Step(step),
            () = tokio::time::sleep(OWNER_CHECK) => Turn::Idle,
        };
        let step = match turn {
            Turn::Step(step) => step,
            Turn::Stop => return applier.close().await,
            Turn::Idle => {
                applier.check_owner().await?;
                continue;
            }
        };
        let step = step.ok_or_else(|| Error::internal("the planning stage ended without a reason"))??;
        let prepared = match step {
            Step::Group(prepared) => prepared,
            Step::Part(prepared) => {
                applier.apply_part(&prepared).await?;
                progress.send_modify(|progress| {
                    let open = progress.open.get_or_insert_default();
                    open.row_changes += prepared.group.row_changes;
                    open.bytes += prepared.group.kept_bytes();
                });
                continue;
            }
            Step::Statement(ddl, reply) => {
                let tables = statements.run(applier.session(), &ddl).await?;
                // The planner is gone only where the stream ends.
                let _ = reply.send(tables);
                continue;
            }
        };
        let applied = applier.apply(&prepared).await?;
        let group = &prepared.group;
        progress.send_modify(|progress| {
            progress.state = State::Replicating;
            progress.groups += 1;
            progress.open = None;
            progress.transactions += group.transactions;
            progress.row_changes += applied.row_changes;
            progress.conflicts += applied.conflicts;
            progress.received = Some(received(&group.position));
            progress.checkpoint = Some(applied.checkpoint);
        });
    }
}

fn received(position: &Position) -> crate::model::Coordinates {
    position.coordinates.clone()
}
