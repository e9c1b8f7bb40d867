//! Copies the rows out of the snapshots, in chunks between two keys, several at once.
//!
//! Each worker has a connection to blue and one to green. It takes a table of its own, the largest first; once all are
//! taken it helps with what is left of the others'. A chunk is one statement on blue, sized by the time that the last ones
//! took, in turns that blue's latency allows ([`Pace`]). It is written while it is read, with at most a few batches in
//! between: memory is bounded by these and by the largest row. A table that no key cuts is one chunk, read without turns.
//!
//! # Invariants
//! 1. A chunk is noted on green in the transaction that holds the last of its rows ([`resume`]).
//! 2. The chunks of a table are counted in the order of its keys, and each begins where the one before ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Progress;
use super::keys::{self, Key};
use super::literal::Plan;
use super::resume::{self, Chunk, Rest};
use super::schema::{TableDefinition, changed};
use super::writer::{Writer, same};
use crate::checks::{KeyText, Pace, Range, Walk};
use crate::error::{Error, Result};
use crate::model::TableName;
use crate::net::{Row, Session};

/// Values read at once.
const BATCH_BYTES: usize = 512 << 10;
/// Batches between reading and writing: as much as a chunk should have, so that its statement on blue ends without
/// waiting for green.
const BATCHES_AHEAD: usize = 8;
/// Bytes of rows that a chunk should not exceed, by blue's statistics.
const CHUNK_BYTES: u64 = 4 << 20;
/// What a chunk's statement may take on blue.
const CHUNK_TIME: Duration = Duration::from_millis(250);
/// The part of the time in which a busy blue runs a chunk's statement.
const BUSY_SHARE: f64 = 0.25;

/// What bounds statements.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// The most rows of a chunk.
    pub(super) chunk_rows: u64,
    /// Green's.
    pub(super) max_allowed_packet: u64,
}

/// A table to copy, or the rest of one.
pub(super) struct Part {
    pub(super) definition: Arc<TableDefinition>,
    pub(super) plan: Plan,
    pub(super) walk: Walk,
    /// To be made once all rows are there.
    keys: Vec<Key>,
    /// Rows that fit into a chunk.
    fitting: u64,
    cut: Mutex<Cut>,
}

/// How far a table is cut.
struct Cut {
    rest: Rest,
    /// Chunks under way.
    open: usize,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Started,
    Finished,
}

enum Event {
    Started(TableName),
    Written { rows: u64, bytes: u64 },
    Finished(TableName),
}

impl Part {
    pub(super) fn new(definition: Arc<TableDefinition>, walk: Walk, keys: Vec<Key>) -> Result<Part> {
        let plan = Plan::new(&definition.table)?;
        let row_bytes = definition.bytes.checked_div(definition.rows).unwrap_or(0);
        let fitting = CHUNK_BYTES.checked_div(row_bytes).unwrap_or(u64::MAX).max(1);
        let cut = Mutex::new(Cut { rest: Rest::everything(), open: 0, state: State::Waiting });
        Ok(Part { definition, plan, walk, keys, fitting, cut })
    }

    /// Only this is to be copied.
    pub(super) fn set_rest(&mut self, rest: Rest) {
        self.cut.get_mut().rest = rest;
    }

    fn name(&self) -> &TableName {
        &self.definition.table.name
    }

    /// Whether blue's statistics say that one chunk holds it all.
    fn is_small(&self, limits: Limits) -> bool {
        self.definition.bytes <= CHUNK_BYTES / 4 && self.definition.rows <= limits.chunk_rows / 4
    }
}

/// Copies what is left of all parts; returns how many rows that were.
pub(super) async fn copy(
    pairs: Vec<(Session, Session)>,
    mut parts: Vec<Part>,
    limits: Limits,
    progress: &(impl Fn(Progress) + Send + Sync),
) -> Result<u64> {
    parts.sort_by_key(|part| std::cmp::Reverse(part.definition.bytes));
    let there: u64 = parts.iter_mut().map(|part| part.cut.get_mut().rest.rows).sum();
    let mut now = Progress {
        tables_total: parts.len(),
        rows_total_estimate: parts.iter().map(|part| part.definition.rows).sum(),
        rows_done: there,
        ..Progress::default()
    };
    let job = Arc::new(Job {
        parts,
        taken: AtomicUsize::new(0),
        pace: Pace::new(limits.chunk_rows, CHUNK_TIME, BUSY_SHARE),
        limits,
    });
    let (events, mut arriving) = mpsc::unbounded_channel();
    // Dropped with this future, it ends all copies.
    let mut workers = JoinSet::new();
    for (blue, green) in pairs {
        workers.spawn(Worker { job: job.clone(), blue, green, events: events.clone() }.work());
    }
    drop(events);
    progress(now.clone());
    loop {
        tokio::select! {
            Some(event) = arriving.recv() => {
                account(&mut now, event);
                progress(now.clone());
            }
            Some(ended) = workers.join_next() => {
                ended.map_err(|_| Error::internal("the copy of a table panicked"))??;
            }
            else => break,
        }
    }
    if now.tables_done != now.tables_total {
        return Err(Error::internal(format!("{} of {} tables were copied", now.tables_done, now.tables_total)));
    }
    Ok(now.rows_done - there)
}

fn account(now: &mut Progress, event: Event) {
    match event {
        Event::Started(table) => now.current.push(table),
        Event::Written { rows, bytes } => {
            now.rows_done += rows;
            now.bytes_done += bytes;
        }
        Event::Finished(table) => {
            now.current.retain(|other| *other != table);
            now.tables_done += 1;
        }
    }
}

/// What all workers share.
struct Job {
    parts: Vec<Part>,
    /// Parts that a worker has for its own.
    taken: AtomicUsize,
    pace: Pace,
    limits: Limits,
}

struct Worker {
    job: Arc<Job>,
    blue: Session,
    green: Session,
    events: mpsc::UnboundedSender<Event>,
}

impl Worker {
    /// Copies until nothing is left.
    async fn work(mut self) -> Result<()> {
        let job = self.job.clone();
        while let Some(part) = job.parts.get(job.taken.fetch_add(1, Ordering::Relaxed)) {
            self.copy_part(part).await?;
        }
        let mut index = 0;
        while let Some(part) = job.parts.get(index) {
            self.copy_part(part).await?;
            index += 1;
        }
        self.blue.close().await;
        self.green.close().await;
        Ok(())
    }

    /// Copies chunks until the last one is taken. Whoever ends the last one finishes the table.
    async fn copy_part(&mut self, part: &Part) -> Result<()> {
        let at_table = |error: Error| error.at(|place| place.table = Some(part.name().to_string()));
        while let Some((number, range)) = self.next_chunk(part).await.map_err(at_table)? {
            self.copy_chunk(part, number, range).await.map_err(at_table)?;
            part.cut.lock().await.open -= 1;
        }
        let is_last = {
            let mut cut = part.cut.lock().await;
            let is_last = cut.open == 0 && cut.state == State::Started;
            if is_last {
                cut.state = State::Finished;
            }
            is_last
        };
        if is_last {
            keys::make(&mut self.green, part.name(), &part.keys).await.map_err(at_table)?;
            self.tell(Event::Finished(part.name().clone()));
        }
        Ok(())
    }

    /// Cuts the next chunk off; `None`: all are taken.
    async fn next_chunk(&mut self, part: &Part) -> Result<Option<(u64, Range)>> {
        let mut cut = part.cut.lock().await;
        if cut.state == State::Waiting {
            cut.state = State::Started;
            self.tell(Event::Started(part.name().clone()));
        }
        if let Some(gap) = cut.rest.gaps.pop() {
            cut.open += 1;
            return Ok(Some(gap));
        }
        let Some(above) = cut.rest.tail.clone() else { return Ok(None) };
        let up_to = match part.walk.can_cut() && !part.is_small(self.job.limits) {
            true => self.bound(part, above.clone()).await?,
            false => None,
        };
        let number = cut.rest.next;
        cut.rest.next += 1;
        cut.rest.tail = up_to.clone().map(Some);
        cut.open += 1;
        Ok(Some((number, Range { above, up_to })))
    }

    async fn bound(&mut self, part: &Part, above: Option<KeyText>) -> Result<Option<KeyText>> {
        self.blue.run("SAVEPOINT bluegreen").await?;
        let turn = self.job.pace.turn(&mut self.blue).await?;
        let rows = self.job.pace.rows().min(part.fitting);
        let bound = part.walk.bound(&mut self.blue, above, rows).await.map_err(|error| explain(error, part))?;
        drop(turn);
        self.blue.run("ROLLBACK TO SAVEPOINT bluegreen").await?;
        Ok(bound)
    }

    async fn copy_chunk(&mut self, part: &Part, number: u64, range: Range) -> Result<()> {
        let (batches, arriving) = mpsc::channel::<Vec<Row>>(BATCHES_AHEAD);
        let select = &format!("{}{}", part.plan.select, part.walk.of_range(&range));
        let (pace, events) = (&self.job.pace, &self.events);
        let is_paced = part.walk.can_cut() || part.is_small(self.job.limits);
        let blue = &mut self.blue;
        let read = async move {
            // Going back to the savepoint gives the table's metadata lock back, but keeps the snapshot: blue's DDL waits
            // for one chunk at most.
            blue.run("SAVEPOINT bluegreen").await?;
            let turn = if is_paced { Some(pace.turn(blue).await?) } else { None };
            let began = Instant::now();
            let rows = blue.stream_to(select, BATCH_BYTES, &batches).await.map_err(|error| explain(error, part))?;
            drop(batches);
            let took = began.elapsed();
            blue.run("ROLLBACK TO SAVEPOINT bluegreen").await?;
            if let Some(turn) = turn {
                pace.end(turn, rows, took).await;
            }
            Ok(rows)
        };
        let green = &mut self.green;
        let max_allowed_packet = self.job.limits.max_allowed_packet;
        let write = async move {
            Writer::new(green, &part.plan, max_allowed_packet)
                .write_all(arriving, |rows, bytes| {
                    // Nobody listens where the copy was stopped.
                    let _ = events.send(Event::Written { rows, bytes });
                })
                .await
        };
        let (read, written) = tokio::join!(read, write);
        // A reading that failed ends the rows, as one that is done does: only behind both is the chunk known to be whole.
        let rows = same(read, written)?;
        self.green.run(&resume::note(part.name(), &Chunk { number, range, rows })).await?;
        self.green.run("COMMIT").await.map(drop)
    }

    fn tell(&self, event: Event) {
        // Nobody listens where the copy was stopped.
        let _ = self.events.send(event);
    }
}

/// A refusal of blue, where it says that the table is another one now.
fn explain(error: Error, part: &Part) -> Error {
    match error.code() {
        // Definition changed, unknown table, unknown column, unknown index.
        Some(1412 | 1146 | 1054 | 1176) => changed(&part.name().to_string()).with_source(error),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_counts() {
        let mut now = Progress { tables_total: 2, ..Progress::default() };
        let table = TableName::new("s", "t");
        account(&mut now, Event::Started(table.clone()));
        account(&mut now, Event::Written { rows: 3, bytes: 40 });
        assert_eq!((now.current.len(), now.rows_done, now.bytes_done), (1, 3, 40));
        account(&mut now, Event::Finished(table));
        assert_eq!((now.current.len(), now.tables_done), (0, 1));
    }
}
