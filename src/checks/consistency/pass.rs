//! One pass: tasks are cut into chunks, and several connections compare them.

use std::sync::Arc;

use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

use super::compare::{Findings, compare};
use super::outcome::Outcome;
use super::pace::Pace;
use super::plan::{Chunk, Step, Task, cut};
use super::settle::{self, Sides};
use super::{VerifyConfig, VerifyProgress, is_redefinition};
use crate::error::{Error, Result};
use crate::net::Server;

/// Chunks planned ahead of those being compared; few, so that a new pace shows soon.
const PLANNED_AHEAD: usize = 4;

/// Compares what `tasks` name and adds it to `outcome`. Dropped, it ends all work.
pub(super) async fn run(
    config: &VerifyConfig,
    blue_server: Server,
    sides: Sides,
    tasks: Vec<Task>,
    outcome: &mut Outcome,
    progress: impl Fn(VerifyProgress) + Send + Sync,
) -> Result<()> {
    progress(outcome.progress);
    if tasks.is_empty() {
        return Ok(());
    }
    let blue_server = Arc::new(blue_server);
    let pace = Arc::new(Pace::new(config.chunk_rows, config.statement_target, config.busy_share));
    let (step_sender, mut steps) = mpsc::channel(PLANNED_AHEAD);
    let (chunk_sender, chunks) = mpsc::channel::<Chunk>(PLANNED_AHEAD);
    let chunks = Arc::new(Mutex::new(chunks));
    let mut working: JoinSet<Result<()>> = JoinSet::new();
    let mut free = Some(sides);
    for _ in 0..config.connections.max(1) {
        let sides = match free.take() {
            Some(sides) => sides,
            None => Sides::open(config).await?,
        };
        let worker = Worker { config: config.clone(), blue_server: blue_server.clone(), pace: pace.clone(), sides };
        working.spawn(worker.work(chunks.clone(), step_sender.clone()));
    }
    let planner = settle::open(&config.blue).await?;
    working.spawn(cut(planner, tasks, pace, chunk_sender, step_sender));
    // Only the workers hold it now: with the last of them gone, whoever cuts ends too.
    drop(chunks);
    loop {
        tokio::select! {
            biased;
            Some(step) = steps.recv() => {
                outcome.take(step);
                progress(outcome.progress);
            }
            Some(done) = working.join_next() => {
                done.map_err(|error| Error::internal("a comparing task ended").with_source(error))??;
            }
            else => return Ok(()),
        }
    }
}

struct Worker {
    config: VerifyConfig,
    blue_server: Arc<Server>,
    pace: Arc<Pace>,
    sides: Sides,
}

impl Worker {
    /// Compares chunks until there are no more.
    async fn work(mut self, chunks: Arc<Mutex<mpsc::Receiver<Chunk>>>, steps: mpsc::Sender<Step>) -> Result<()> {
        loop {
            let next = chunks.lock().await.recv().await;
            let Some(chunk) = next else { break };
            let table = chunk.pair.name.clone();
            let compared =
                Box::pin(compare(&self.config, &self.blue_server, &mut self.sides, &chunk, &self.pace)).await;
            let findings = match compared {
                Ok(findings) => findings,
                Err(error) if is_redefinition(&error) => Findings::unverified("it was redefined while it was compared"),
                Err(error) => return Err(error.at(|place| place.table = Some(table.to_string()))),
            };
            if steps.send(Step::Compared { table, findings }).await.is_err() {
                break;
            }
        }
        self.sides.close().await;
        Ok(())
    }
}
