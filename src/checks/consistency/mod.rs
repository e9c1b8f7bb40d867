//! Is green equal to blue? Both are compared while both work.
//!
//! Every table is cut into chunks along its row key. Both servers compute a digest of a chunk at once; where the
//! digests differ the chunk's rows are compared by hash, and each row that differs goes through rounds that tell a
//! difference from a change under way (`settle`).

mod compare;
mod difference;
mod expression;
mod follow;
mod keyless;
mod pair;
mod plan;
mod range;
mod reads;
mod settle;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

pub use self::difference::{Difference, DifferenceKind, KeyValue};

use self::compare::{Findings, compare};
use self::plan::{Chunk, Step, tables};
use self::settle::Sides;
use crate::error::{Error, ErrorKind, Result};
use crate::model::TableName;
use crate::net::{Server, ServerUrl, Session};

/// One statement may read a whole table where it has no key to cut it by.
const STATEMENT_LIMIT: Duration = Duration::from_secs(3600);
/// Chunks planned ahead of those being compared.
const PLANNED_AHEAD: usize = 32;
/// Differences listed of one table; the rest is counted.
const LISTED: usize = 10_000;

/// What to compare, and how hard.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct VerifyConfig {
    /// The server that is right.
    pub blue: ServerUrl,
    /// The server that is compared with it.
    pub green: ServerUrl,
    /// The tables to compare; `None`: all but the servers' own.
    pub tables: Option<Vec<TableName>>,
    /// Rows of a chunk, default 10,000; fewer where rows are long. More: fewer statements, each longer.
    pub chunk_rows: u64,
    /// Connections to each server that compare at the same time, default 2, at least 1. One more to blue finds the
    /// chunks' bounds.
    pub connections: usize,
    /// How long a row that differs may wait for green to catch up with blue, default 30 s.
    pub settle_limit: Duration,
    /// Rows up to which a table that is one chunk is compared row by row, default 5,000,000. Memory grows with it, by
    /// about 100 bytes a row and side. A larger one that differs is reported as unverified.
    pub row_limit: u64,
}

impl VerifyConfig {
    /// All tables, with the defaults.
    pub fn new(blue: ServerUrl, green: ServerUrl) -> VerifyConfig {
        VerifyConfig {
            blue,
            green,
            tables: None,
            chunk_rows: 10_000,
            connections: 2,
            settle_limit: Duration::from_secs(30),
            row_limit: 5_000_000,
        }
    }
}

/// How far a comparison has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyProgress {
    /// Tables to compare.
    pub tables_total: u64,
    /// Tables compared.
    pub tables_done: u64,
    /// Rows to compare, as blue's statistics estimate them.
    pub rows_estimate: u64,
    /// Rows of blue compared.
    pub rows_done: u64,
}

/// What a comparison found.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Verification {
    /// No difference was found, and nothing was left out.
    pub equal: bool,
    /// Tables looked at.
    pub tables: u64,
    /// Rows of blue compared.
    pub rows: u64,
    /// How long it took.
    pub seconds: f64,
    /// The differences, by table; at most 10,000 of a table.
    pub differences: Vec<Difference>,
    /// Differences that were found but are not listed.
    pub more: u64,
    /// What could not be compared. Counts as not equal.
    pub unverified: Vec<Unverified>,
}

/// A table of which something could not be compared.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Unverified {
    /// Schema and table.
    #[serde(flatten)]
    pub table: TableName,
    /// Why.
    pub reason: String,
}

/// Compares green with blue while both work: no lock, no long snapshot, short statements.
///
/// Generated columns are compared too. Columns and their types may differ between the sides where a value has a common
/// text (another precision, another character set); columns that only green has are not compared, columns that only
/// blue has are a difference, and so is a table that only one side has.
///
/// Green is expected to follow blue, which its forward checkpoint shows: a row that differs is judged only once the
/// checkpoint covers blue's head. Where green has no checkpoint (servers that something else keeps in sync, or that
/// stand still) a difference is what stays the same on both sides for 3.6 s, so a lag of more than that shows as
/// differences.
///
/// `progress` is called after every chunk, from this future.
///
/// # Errors
/// `State`: a row differs and green does not catch up with blue within the limit. `Config`: a named table is on
/// neither side, or both URLs lead to the same server. `Limit`: a row is too long to be hashed. Besides what
/// connecting and reading can fail with. Tables that were changed while they were compared are no error, but
/// [`Verification::unverified`].
///
/// # Cancel safety
/// Dropping the future ends all work; nothing was changed on either server.
pub async fn verify(config: &VerifyConfig, progress: impl Fn(VerifyProgress) + Send + Sync) -> Result<Verification> {
    let started = Instant::now();
    let mut sides = open(config).await?;
    let blue_server = Arc::new(Server::probe(&mut sides.blue).await?);
    let green_server = Server::probe(&mut sides.green).await?;
    if blue_server.identity == green_server.identity {
        return Err(Error::new(ErrorKind::Config, "blue and green are the same server")
            .with_advice("name two servers; a copied data directory needs a server_uuid of its own"));
    }
    let planned = tables(config, &blue_server, &green_server, &mut sides).await?;
    let mut outcome = Outcome::new(planned.one_sided, planned.rows_estimate, planned.tables.len() as u64);
    progress(outcome.progress);

    let (step_sender, mut steps) = mpsc::channel(PLANNED_AHEAD);
    let (chunk_sender, chunks) = mpsc::channel::<Chunk>(PLANNED_AHEAD);
    let chunks = Arc::new(Mutex::new(chunks));
    let mut tasks: JoinSet<Result<()>> = JoinSet::new();
    let mut free = Some(sides);
    for _ in 0..config.connections.max(1) {
        let sides = match free.take() {
            Some(sides) => sides,
            None => open(config).await?,
        };
        tasks.spawn(work(config.clone(), blue_server.clone(), sides, chunks.clone(), step_sender.clone()));
    }
    let planner = Session::open(&config.blue).await?.with_limit(STATEMENT_LIMIT);
    tasks.spawn(plan::cut(planner, planned.tables, config.chunk_rows, chunk_sender, step_sender));

    loop {
        tokio::select! {
            biased;
            Some(step) = steps.recv() => {
                outcome.take(step);
                progress(outcome.progress);
            }
            Some(done) = tasks.join_next() => {
                done.map_err(|error| Error::internal("a comparing task ended").with_source(error))??;
            }
            else => break,
        }
    }
    Ok(outcome.end(started.elapsed()))
}

async fn open(config: &VerifyConfig) -> Result<Sides> {
    let (blue, green) = tokio::try_join!(Session::open(&config.blue), Session::open(&config.green))?;
    Ok(Sides { blue: blue.with_limit(STATEMENT_LIMIT), green: green.with_limit(STATEMENT_LIMIT) })
}

/// Compares chunks until there are no more.
async fn work(
    config: VerifyConfig,
    blue_server: Arc<Server>,
    mut sides: Sides,
    chunks: Arc<Mutex<mpsc::Receiver<Chunk>>>,
    steps: mpsc::Sender<Step>,
) -> Result<()> {
    loop {
        let next = chunks.lock().await.recv().await;
        let Some(chunk) = next else { break };
        let table = chunk.pair.name.clone();
        let findings = match Box::pin(compare(&config, &blue_server, &mut sides, &chunk)).await {
            Ok(findings) => findings,
            Err(error) if is_redefinition(&error) => Findings::unverified("it was redefined while it was compared"),
            Err(error) => return Err(error.at(|place| place.table = Some(table.to_string()))),
        };
        if steps.send(Step::Compared { table, findings }).await.is_err() {
            break;
        }
    }
    sides.blue.close().await;
    sides.green.close().await;
    Ok(())
}

/// Unknown table, unknown column, unknown index, definition changed: somebody altered the table meanwhile.
fn is_redefinition(error: &Error) -> bool {
    matches!(error.code(), Some(1049 | 1051 | 1054 | 1146 | 1176 | 1412))
}

/// The sum of all steps.
struct Outcome {
    progress: VerifyProgress,
    /// Chunks of a table: planned in all, once that is known, and compared.
    chunks: HashMap<TableName, (Option<u64>, u64)>,
    listed: HashMap<TableName, usize>,
    differences: Vec<Difference>,
    more: u64,
    unverified: Vec<Unverified>,
}

impl Outcome {
    fn new(one_sided: Vec<Difference>, rows_estimate: u64, pairs: u64) -> Outcome {
        let whole_tables = one_sided.iter().filter(|difference| difference.columns.is_empty()).count() as u64;
        let progress = VerifyProgress {
            tables_total: pairs + whole_tables,
            tables_done: whole_tables,
            rows_estimate,
            rows_done: 0,
        };
        Outcome {
            progress,
            chunks: HashMap::new(),
            listed: HashMap::new(),
            differences: one_sided,
            more: 0,
            unverified: Vec::new(),
        }
    }

    fn take(&mut self, step: Step) {
        let table = match step {
            Step::Cut { table, chunks, reason } => {
                self.chunks.entry(table.clone()).or_default().0 = Some(chunks);
                self.not_verified(&table, reason);
                table
            }
            Step::Compared { table, findings } => {
                self.chunks.entry(table.clone()).or_default().1 += 1;
                self.progress.rows_done += findings.rows;
                self.not_verified(&table, findings.unverified);
                let listed = self.listed.entry(table.clone()).or_default();
                for difference in findings.differences {
                    if *listed < LISTED {
                        *listed += 1;
                        self.differences.push(difference);
                    } else {
                        self.more += 1;
                    }
                }
                self.more += findings.more;
                table
            }
        };
        if self.chunks.get(&table).is_some_and(|(planned, done)| *planned == Some(*done)) {
            self.progress.tables_done += 1;
        }
    }

    fn not_verified(&mut self, table: &TableName, reason: Option<String>) {
        let Some(reason) = reason else { return };
        let unverified = Unverified { table: table.clone(), reason };
        if !self.unverified.contains(&unverified) {
            self.unverified.push(unverified);
        }
    }

    fn end(mut self, took: Duration) -> Verification {
        self.differences.sort_by(|a, b| a.table.cmp(&b.table));
        self.unverified.sort_by(|a, b| a.table.cmp(&b.table));
        Verification {
            equal: self.differences.is_empty() && self.unverified.is_empty(),
            tables: self.progress.tables_total,
            rows: self.progress.rows_done,
            seconds: took.as_secs_f64(),
            differences: self.differences,
            more: self.more,
            unverified: self.unverified,
        }
    }
}
