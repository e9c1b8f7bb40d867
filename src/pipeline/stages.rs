use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tracing::{Instrument, Span};

use super::applying::{Applying, Green};
use super::planning::Planning;
use super::progress::Progress;
use super::queue::{Closed, Receiver, Sender, queue};
use super::stopwatch::{Stage, Stopwatch};
use crate::checks::Mark;
use crate::decode::{Assembled, Assembler};
use crate::error::{Error, Result};
use crate::model::Frame;
use crate::plan::{Planner, Rules};
use crate::source::Dump;

/// Bytes of received events that wait for decoding.
const FRAME_BYTES: u32 = 32 << 20;
/// Bytes of assembled transactions that wait for planning.
const TRANSACTION_BYTES: u32 = 32 << 20;

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
    let receiving = receive(dump, batch_sender, progress.clone(), stopwatch.clone());
    let receiving = Aborted(tokio::spawn(receiving.instrument(tracing::info_span!("receive"))));
    let received = Mark::from(green.applier.checkpoint());
    let decoding = Decoding {
        assembler,
        received,
        assembled: assembled_sender,
        runtime,
        progress: progress.clone(),
        stopwatch: stopwatch.clone(),
    };
    let decoding = spawn("bluegreen-decode", tracing::info_span!("decode"), move || decoding.run(&batches))?;
    let dialect = green.applier.dialect();
    let lanes_at_work = Arc::new(AtomicBool::new(false));
    let planning = Planning {
        planner,
        rules,
        dialect,
        lanes: green.lanes.count(),
        must_be_whole: green.applier.must_go_on_whole(),
        lanes_at_work: lanes_at_work.clone(),
        steps: step_sender,
        stopwatch: stopwatch.clone(),
    };
    let planning = spawn("bluegreen-plan", tracing::info_span!("plan"), move || planning.run(&assembled))?;
    let applying = Applying { green, lanes_at_work, at_work_since: None, progress, stopwatch, queues };
    let result = Box::pin(applying.run(steps, stop)).instrument(tracing::info_span!("apply")).await;
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

fn spawn(name: &str, span: Span, work: impl FnOnce() + Send + 'static) -> Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name.into())
        .spawn(move || span.in_scope(work))
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
    /// Behind what was given over.
    received: Mark,
    assembled: Sender<Result<Assembled>>,
    runtime: Handle,
    progress: watch::Sender<Progress>,
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
            self.progress.send_if_modified(|progress| {
                progress.received = Some(self.received.clone());
                // Not worth waking anybody for each batch.
                false
            });
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
            if let Ok(item) = &item {
                self.pass(item);
            }
            let (bytes, is_end) = (item.as_ref().map_or(0, kept_bytes), item.is_err());
            self.assembled.send_blocking(&self.runtime, item, bytes)?;
            if is_end {
                return Err(Closed);
            }
            pushed = Ok(());
        }
    }
}

impl Decoding {
    /// Moves behind what is given over.
    fn pass(&mut self, item: &Assembled) {
        let Mark { position, committed_at_micros, .. } = &mut self.received;
        match item {
            Assembled::Transaction(transaction) => {
                // A GTID of the other flavour is the planning stage's to refuse.
                let _ = position.pass(transaction.gtids(), transaction.end.clone());
                *committed_at_micros = transaction.committed_at_micros;
            }
            Assembled::Part(part) => position.coordinates = part.end.clone(),
            Assembled::Prepared(prepared) => position.coordinates = prepared.end.clone(),
            Assembled::Advanced(coordinates) | Assembled::Heartbeat(coordinates) => {
                position.coordinates = coordinates.clone();
            }
            #[expect(unreachable_patterns, reason = "the enum may grow")]
            _ => {}
        }
    }
}

fn kept_bytes(item: &Assembled) -> u64 {
    match item {
        Assembled::Transaction(transaction) | Assembled::Part(transaction) => transaction.kept_bytes(),
        _ => 0,
    }
}
