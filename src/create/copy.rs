//! Copies the rows out of the snapshots, several tables at once, the largest first.
//!
//! A table is read by one connection and written by another at the same time, with at most a few batches between them:
//! memory is bounded by that and by the largest row.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Progress;
use super::literal::Plan;
use super::schema::{Definitions, TableDefinition, changed};
use super::variables::{LENIENT, STRICT};
use crate::error::{Error, ErrorKind, Result};
use crate::model::TableName;
use crate::net::{Row, Session};

/// Values read at once.
const BATCH_BYTES: usize = 512 << 10;
/// Length from which a statement gets no more rows.
const STATEMENT_BYTES: usize = 1 << 20;
/// Length of statements after which they are committed: many enough that the commit does not count, few enough that
/// green's log and undo stay small.
const COMMIT_BYTES: usize = 16 << 20;
/// Rows of one lenient statement: the server counts at most 65,535 warnings.
const LENIENT_ROWS: usize = 500;

type Queue = Arc<Mutex<VecDeque<Arc<TableDefinition>>>>;

enum Event {
    Started(TableName),
    Written { rows: u64, bytes: u64 },
    Finished(TableName),
}

/// Copies all tables; returns how many rows there were.
pub(super) async fn copy(
    pairs: Vec<(Session, Session)>,
    definitions: &Definitions,
    max_allowed_packet: u64,
    progress: &(impl Fn(Progress) + Send + Sync),
) -> Result<u64> {
    let mut tables = definitions.tables.clone();
    tables.sort_by_key(|table| std::cmp::Reverse(table.bytes));
    let mut now = Progress {
        tables_total: tables.len(),
        rows_total_estimate: tables.iter().map(|table| table.rows).sum(),
        ..Progress::default()
    };
    let queue: Queue = Arc::new(Mutex::new(tables.into()));
    let (events, mut arriving) = mpsc::channel(64);
    // Dropped with this future, it ends all copies.
    let mut copies = JoinSet::new();
    for (blue, green) in pairs {
        copies.spawn(work(blue, green, queue.clone(), max_allowed_packet, events.clone()));
    }
    drop(events);
    progress(now.clone());
    loop {
        tokio::select! {
            Some(event) = arriving.recv() => {
                account(&mut now, event);
                progress(now.clone());
            }
            Some(ended) = copies.join_next() => {
                ended.map_err(|_| Error::internal("the copy of a table panicked"))??;
            }
            else => break,
        }
    }
    if now.tables_done != now.tables_total {
        return Err(Error::internal(format!("{} of {} tables were copied", now.tables_done, now.tables_total)));
    }
    Ok(now.rows_done)
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

/// Copies tables until none is left.
async fn work(
    mut blue: Session,
    mut green: Session,
    queue: Queue,
    max_allowed_packet: u64,
    events: mpsc::Sender<Event>,
) -> Result<()> {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(definition) = next else { break };
        let name = &definition.table.name;
        events.send(Event::Started(name.clone())).await.map_err(|_| stopped())?;
        copy_table(&mut blue, &mut green, &definition, max_allowed_packet, &events)
            .await
            .map_err(|error| error.at(|place| place.table = Some(name.to_string())))?;
        events.send(Event::Finished(name.clone())).await.map_err(|_| stopped())?;
    }
    blue.close().await;
    green.close().await;
    Ok(())
}

async fn copy_table(
    blue: &mut Session,
    green: &mut Session,
    definition: &TableDefinition,
    max_allowed_packet: u64,
    events: &mpsc::Sender<Event>,
) -> Result<()> {
    let plan = &Plan::new(&definition.table)?;
    let (batches, mut arriving) = mpsc::channel::<Vec<Row>>(2);
    // Going back to the savepoint gives the table's metadata lock back, but keeps the snapshot: blue's DDL waits for one
    // table's copy at most.
    blue.run("SAVEPOINT bluegreen").await?;
    let reader = &mut *blue;
    let read = async move { reader.stream_to(&plan.select, BATCH_BYTES, &batches).await };
    let write = async move {
        let mut writer = Writer { green, plan, max_allowed_packet, uncommitted: 0 };
        let mut written = 0;
        while let Some(batch) = arriving.recv().await {
            let bytes = batch.iter().flat_map(|row| row.columns()).flatten().map(|value| value.len() as u64).sum();
            let rows = writer.write(&batch).await?;
            written += rows;
            events.send(Event::Written { rows, bytes }).await.map_err(|_| stopped())?;
        }
        writer.commit().await?;
        Ok(written)
    };
    let (read, written) = tokio::join!(read, write);
    // Where the writing fails, the reading only notices that nobody takes its rows.
    let written: u64 = written?;
    let read = read.map_err(|error| match error.code() {
        // Definition changed, unknown table, unknown column.
        Some(1412 | 1146 | 1054) => changed(&definition.table.name.to_string()).with_source(error),
        _ => error,
    })?;
    if read != written {
        return Err(Error::internal(format!("{read} rows were read, but {written} written")));
    }
    blue.run("ROLLBACK TO SAVEPOINT bluegreen").await?;
    Ok(())
}

fn stopped() -> Error {
    Error::internal("the copy was stopped")
}

/// Writes rows of one table to green.
struct Writer<'a> {
    green: &'a mut Session,
    plan: &'a Plan,
    max_allowed_packet: u64,
    /// Bytes of statements since the last commit.
    uncommitted: usize,
}

impl Writer<'_> {
    /// Returns how many rows green says it stored.
    async fn write(&mut self, rows: &[Row]) -> Result<u64> {
        let limit = STATEMENT_BYTES.min(usize::try_from(self.max_allowed_packet / 2).unwrap_or(STATEMENT_BYTES));
        let (lenient, strict): (Vec<&Row>, Vec<&Row>) =
            rows.iter().partition(|row| self.plan.enum_errors(row.columns()) > 0);
        let mut written = 0;
        let mut sql = String::new();
        for (index, row) in strict.iter().enumerate() {
            self.append(&mut sql, row)?;
            if sql.len() >= limit || index + 1 == strict.len() {
                written += self.insert(&sql, 0).await?;
                sql.clear();
            }
        }
        if !lenient.is_empty() {
            self.green.run(&format!("SET SESSION sql_mode = '{LENIENT}'")).await?;
            for chunk in lenient.chunks(LENIENT_ROWS) {
                written += self.write_lenient(chunk, limit).await?;
            }
            self.green.run(&format!("SET SESSION sql_mode = '{STRICT}'")).await?;
        }
        Ok(written)
    }

    /// Rows with the error value of an ENUM: green must raise exactly one warning for each of those values.
    async fn write_lenient(&mut self, rows: &[&Row], limit: usize) -> Result<u64> {
        let (mut written, mut errors, mut sql) = (0, 0, String::new());
        for (index, row) in rows.iter().enumerate() {
            errors += self.plan.enum_errors(row.columns());
            self.append(&mut sql, row)?;
            if sql.len() >= limit || index + 1 == rows.len() || errors > usize::from(u16::MAX) / 2 {
                written += self.insert(&sql, errors).await?;
                (errors, sql) = (0, String::new());
            }
        }
        Ok(written)
    }

    fn append(&self, sql: &mut String, row: &Row) -> Result<()> {
        sql.push_str(if sql.is_empty() { &self.plan.insert } else { "," });
        let before = sql.len();
        self.plan.push_row(sql, row.columns())?;
        // A statement is cut at half of the limit or 1 MiB: it is too long only where its last row is.
        if sql.len() as u64 >= self.max_allowed_packet {
            let message = format!(
                "a row takes {} bytes as a statement, but green's max_allowed_packet is {}",
                sql.len() - before,
                self.max_allowed_packet
            );
            return Err(Error::new(ErrorKind::Limit, message)
                .with_advice("raise max_allowed_packet on green (at most 1 GiB) and create again"));
        }
        Ok(())
    }

    async fn insert(&mut self, sql: &str, warnings: usize) -> Result<u64> {
        let done = self.green.run(sql).await?;
        if usize::from(done.warnings) != warnings {
            // The warning's text may quote the value.
            let codes = self.green.rows("SHOW WARNINGS").await?;
            let code = codes.first().map(|row| row.text(1)).unwrap_or_default();
            return Err(Error::new(
                ErrorKind::Divergence,
                format!("green would store a value differently: warning {code}"),
            )
            .with_advice("a definition on green differs from blue's; use a green that takes the same values"));
        }
        self.uncommitted += sql.len();
        if self.uncommitted >= COMMIT_BYTES {
            self.commit().await?;
        }
        Ok(done.affected)
    }

    async fn commit(&mut self) -> Result<()> {
        self.uncommitted = 0;
        self.green.run("COMMIT").await.map(drop)
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
