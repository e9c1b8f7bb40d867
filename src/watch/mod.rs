//! Green's own log → who wrote on green besides the engine.
//!
//! Every transaction that the engine commits on green touches a table of schema `bluegreen`; a transaction in green's
//! log that does not is foreign, but for the one statement that it announces in `bluegreen.statement`. The scan starts where `create` ended and goes to the log's end; what it finds is kept in
//! `bluegreen.foreign_write`, and the place it came to in the watch stream's checkpoint, both in one transaction.
//!
//! # Invariants
//! 1. A foreign write since `create` is never forgotten: the journal and the place are one commit.
//! 2. What cannot be read is an error, never "nothing found".
//!
//! Must not know: the switchover.

use std::collections::{BTreeMap, BTreeSet};

use crate::apply::Stream;
use crate::apply::checkpoint::{self, Checkpoint, Owner};
use crate::checks::{Check, Verdict};
use crate::decode::{Assembled, Assembler, Change, DecoderOptions, RowBuffer, Transaction};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ChangeKind, Coordinates, Position, TableName};
use crate::net::{Server, ServerUrl, Session, sequences, text_literal};
use crate::source::{self, Dump, DumpRequest};

/// What somebody else wrote on green, a line a table and kind.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct ForeignWrite {
    /// The table; `None` for a statement.
    pub table: Option<TableName>,
    /// `insert`, `update`, `delete` or `statement`.
    pub kind: String,
    /// Rows, or statements.
    pub row_count: u64,
}

/// Scans green's log for foreign writes, from where the last scan ended.
///
/// With `record`, what is found is kept and the next scan starts behind it; without, nothing is written anywhere.
///
/// # Errors
/// `State` where green was not built by `create`, `Setting` where green keeps no log, `Purged` where it is gone.
pub async fn scan(green_url: &ServerUrl, record: bool) -> Result<Vec<ForeignWrite>> {
    let mut session = Session::open(green_url).await?;
    let green = Server::probe(&mut session).await?;
    let owner = Owner::new();
    let start = match record {
        true => checkpoint::claim(&mut session, Stream::Watch, owner).await?,
        false => checkpoint::read(&mut session, Stream::Watch).await?,
    };
    let start = start.ok_or_else(|| {
        Error::new(ErrorKind::State, "green's log is not watched: green was not built by `create`")
            .at(|place| place.server = Some(green_url.address()))
    })?;
    if start.source != green.identity {
        return Err(Error::new(ErrorKind::Position, "the watched log is another server's than this green")
            .at(|place| place.server = Some(green_url.address())));
    }
    source::check_start(&mut session, &green, &start.position).await?;
    let head = green.head(&mut session).await?;
    let sequences = sequences(&mut session).await?;
    let Findings { found, settled, end } = read_until(green_url, &green, &start.position, &head, &sequences).await?;
    let (kept, unrecorded) = found.split_at(if record { settled } else { 0 });
    if record {
        keep(&mut session, owner, &start, kept, end).await?;
    }
    let journal = journal(&mut session).await?;
    session.close().await;
    Ok(sum(journal.into_iter().chain(unrecorded.iter().flat_map(|foreign| foreign.writes.clone()))))
}

/// The same as a check: foreign writes are a failure, a scan that does not work is unknown.
pub async fn check(green_url: &ServerUrl, record: bool) -> Check {
    judge(&scan(green_url, record).await)
}

/// The check of a scan that was made.
pub(crate) fn judge(writes: &Result<Vec<ForeignWrite>>) -> Check {
    const NAME: &str = "no_foreign_writes";
    match writes {
        Err(error) => Check::unknown(NAME, error),
        Ok(writes) if writes.is_empty() => {
            Check::new(NAME, Verdict::Pass, "nobody else wrote on green since it was built")
        }
        Ok(writes) => {
            let named: Vec<String> = writes
                .iter()
                .take(5)
                .map(|write| match &write.table {
                    Some(table) => format!("{} {} in {table}", write.row_count, write.kind),
                    None => format!("{} statement(s)", write.row_count),
                })
                .collect();
            let more = if writes.len() > 5 { ", …" } else { "" };
            Check::new(NAME, Verdict::Fail, format!("somebody else wrote on green: {}{more}", named.join(", ")))
                .with_advice("compare with `verify`, then build green anew with `create`")
        }
    }
}

/// Transactions of more bytes than this are read in parts.
const PART_BYTES: u64 = 8 << 20;

/// One foreign transaction, without its rows.
struct Foreign {
    end: Coordinates,
    gtid: Option<String>,
    committed_at_micros: u64,
    writes: Vec<ForeignWrite>,
}

/// What a part of green's log holds.
struct Findings {
    found: Vec<Foreign>,
    /// How many of them are before `end`.
    settled: usize,
    /// Where the next scan starts: behind the last transaction or, where a statement was announced that did not come
    /// yet, before its announcement, without which it would look foreign.
    end: Position,
}

/// Reads green's log up to `head`.
async fn read_until(
    url: &ServerUrl,
    green: &Server,
    start: &Position,
    head: &Position,
    sequences: &BTreeSet<TableName>,
) -> Result<Findings> {
    let mut reading = Reading {
        sequences,
        buffer: RowBuffer::new(),
        position: start.clone(),
        found: Vec::new(),
        announced: None,
        is_ours: false,
        writes: Vec::new(),
    };
    if start.covers(head) == Some(true) {
        return Ok(reading.findings());
    }
    let server_id = crate::entropy::replica_id();
    let mut dump = Dump::open(url, green, &DumpRequest::new(start.clone(), server_id)).await?;
    let mut options = DecoderOptions::new(green.version.flavor, start.coordinates.clone());
    options.initial_checksum = green.binlog.has_checksums();
    let mut assembler = Assembler::new(options).with_parts(PART_BYTES);
    while reading.position.covers(head) != Some(true) {
        assembler.push(dump.next().await?)?;
        while let Some(assembled) = assembler.next()? {
            match assembled {
                Assembled::Part(part) => reading.add(&part)?,
                Assembled::Transaction(rest) => reading.end(rest)?,
                Assembled::Advanced(coordinates) => reading.position.coordinates = coordinates,
                // The source has nothing more to send: all of its log before the heartbeat was read.
                Assembled::Heartbeat(coordinates) if coordinates >= head.coordinates => return Ok(reading.findings()),
                _ => {}
            }
        }
    }
    Ok(reading.findings())
}

/// What was read so far.
struct Reading<'a> {
    sequences: &'a BTreeSet<TableName>,
    buffer: RowBuffer,
    position: Position,
    found: Vec<Foreign>,
    /// The place before, and how much was found by then, where the engine announced a statement that did not come yet.
    announced: Option<(Position, usize)>,
    /// Of the transaction of which parts were read.
    is_ours: bool,
    writes: Vec<ForeignWrite>,
}

impl Reading<'_> {
    fn findings(self) -> Findings {
        let (end, settled) = self.announced.unwrap_or((self.position, self.found.len()));
        Findings { found: self.found, settled, end }
    }

    /// Takes a transaction's next changes.
    fn add(&mut self, part: &Transaction) -> Result<()> {
        match announcement(part) {
            Some(true) => self.announced = Some((self.position.clone(), self.found.len())),
            Some(false) => self.announced = None,
            None => {}
        }
        let is_statement = part.parts == 0 && matches!(part.changes.as_slice(), [Change::Statement(_), ..]);
        self.is_ours |= (is_statement && self.announced.take().is_some()) || writes_to_bluegreen(part);
        if !self.is_ours {
            let more = foreign(part, self.sequences, &mut self.buffer)?;
            self.writes = sum(self.writes.drain(..).chain(more));
        }
        Ok(())
    }

    fn end(&mut self, rest: Transaction) -> Result<()> {
        self.add(&rest)?;
        self.position.coordinates = rest.end.clone();
        if let Some(executed) = &mut self.position.gtid {
            for gtid in rest.gtids() {
                executed.insert(gtid);
            }
        }
        let writes = std::mem::take(&mut self.writes);
        if !std::mem::take(&mut self.is_ours) && !writes.is_empty() {
            self.found.push(Foreign {
                end: rest.end,
                gtid: rest.gtid.as_ref().map(ToString::to_string),
                committed_at_micros: rest.committed_at_micros,
                writes,
            });
        }
        Ok(())
    }
}

/// Whether the transaction announces a statement of the engine, or ends one; see `apply::ddl`.
fn announcement(transaction: &Transaction) -> Option<bool> {
    transaction.changes.iter().rev().find_map(|change| match change {
        Change::Rows(rows) => {
            let name = &rows.table.name;
            let is_record = name.schema.eq_ignore_ascii_case("bluegreen") && name.table == "statement";
            is_record.then_some(rows.kind == ChangeKind::Insert)
        }
        _ => None,
    })
}

/// Whether the engine's own tables are written to: with its checkpoint, each of its transactions does so first.
fn writes_to_bluegreen(transaction: &Transaction) -> bool {
    transaction.changes.iter().any(|change| match change {
        Change::Rows(rows) => rows.table.name.schema.eq_ignore_ascii_case("bluegreen"),
        _ => false,
    })
}

/// What somebody else's transaction wrote.
fn foreign(
    transaction: &Transaction,
    sequences: &BTreeSet<TableName>,
    buffer: &mut RowBuffer,
) -> Result<Vec<ForeignWrite>> {
    let mut writes = Vec::new();
    for change in &transaction.changes {
        writes.push(match change {
            // The server's own housekeeping.
            Change::Rows(rows) if rows.table.name.is_system() => continue,
            // Values are logged apart from the transaction that sets them, so nothing tells whose they are. Blue's next
            // value replaces whatever somebody else drew.
            Change::Rows(rows) if sequences.contains(&rows.table.name) => continue,
            Change::Rows(rows) => ForeignWrite {
                table: Some(rows.table.name.clone()),
                kind: kind_name(rows.kind).into(),
                row_count: rows.row_count(buffer)?,
            },
            _ => ForeignWrite { table: None, kind: "statement".into(), row_count: 1 },
        });
    }
    Ok(writes)
}

fn kind_name(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Insert => "insert",
        ChangeKind::Update => "update",
        ChangeKind::Delete => "delete",
    }
}

fn sum(writes: impl Iterator<Item = ForeignWrite>) -> Vec<ForeignWrite> {
    let mut sums = BTreeMap::<(Option<TableName>, String), u64>::new();
    for write in writes {
        *sums.entry((write.table, write.kind)).or_default() += write.row_count;
    }
    sums.into_iter().map(|((table, kind), row_count)| ForeignWrite { table, kind, row_count }).collect()
}

/// Journals the findings and moves the place (invariant 1).
async fn keep(session: &mut Session, owner: Owner, start: &Checkpoint, found: &[Foreign], end: Position) -> Result<()> {
    if end == start.position {
        return Ok(());
    }
    let mut next = start.clone();
    next.position = end;
    next.transactions += found.len() as u64;
    session.run("BEGIN").await?;
    if session.run(&checkpoint::advance(Stream::Watch, owner, &next)).await?.affected != 1 {
        session.run("ROLLBACK").await?;
        return Err(Error::new(ErrorKind::TakenOver, "another engine scans green's log"));
    }
    for foreign in found {
        for write in &foreign.writes {
            let text = |text: Option<&str>| text.map_or("NULL".into(), text_literal);
            session
                .run(&format!(
                    "INSERT INTO bluegreen.foreign_write SET file = {}, `offset` = {}, gtid = {}, table_schema = {}, \
                     table_name = {}, kind = {}, row_count = {}, committed_at_micros = {}",
                    text_literal(&foreign.end.file),
                    foreign.end.offset,
                    text(foreign.gtid.as_deref()),
                    text(write.table.as_ref().map(|table| table.schema.as_str())),
                    text(write.table.as_ref().map(|table| table.table.as_str())),
                    text_literal(&write.kind),
                    write.row_count,
                    foreign.committed_at_micros,
                ))
                .await?;
        }
    }
    session.run("COMMIT").await?;
    Ok(())
}

async fn journal(session: &mut Session) -> Result<Vec<ForeignWrite>> {
    let rows = session
        .rows("SELECT table_schema, table_name, kind, SUM(row_count) FROM bluegreen.foreign_write GROUP BY 1, 2, 3")
        .await?;
    Ok(rows
        .iter()
        .map(|row| ForeignWrite {
            table: row.bytes(0).map(|_| TableName::new(row.text(0), row.text(1))),
            kind: row.text(2),
            row_count: row.number(3).unwrap_or(0),
        })
        .collect())
}
