//! Green's own log → who wrote on green besides the engine, and what these writes met.
//!
//! Every transaction that the engine commits on green touches a table of schema `bluegreen`; a transaction in green's
//! log that does not is foreign, but for the one statement that it announces in `bluegreen.statement`. Green's log holds
//! blue's changes too, as the engine applied them, in the order of green's commits: so the one log tells which foreign
//! write and which change of blue are of one row, or take one unique value. What is found is kept in
//! `bluegreen.foreign_write`, a row of the journal for a row that was written, with both images.
//!
//! Where green is a native replica that this library only watches (see [`install`]) a transaction is foreign if its GTID
//! is of green itself.
//!
//! What is not foreign: the server's own tables, statements that leave nothing behind (`ANALYZE`, `FLUSH`), values that
//! are drawn from sequences. Native replicas of green write nothing on it.
//!
//! # Invariants
//! 1. A foreign write since `create` is never forgotten: the journal and the place in green's log are one commit.
//! 2. What cannot be read is an error, never "nothing found".
//! 3. Each foreign write is in the journal once, whatever restarts.
//! 4. What blue's change replaces is in the journal first: nothing is lost where blue wins.
//! 5. Two changes meet, in either order, where they are of one row key; where they hold one value of a unique key; and where
//!    one takes a value away that foreign keys refer to (its row goes, or gets another value) and the other leaves a row
//!    that refers to it (the row comes, or is changed). That holds whatever the foreign key does then: it refuses, and
//!    where the engine finds it refused the stream stops; it changes or deletes the row that refers, which the other
//!    server does not know of; or it was off. A parent that comes, or changes otherwise, is in no child's way.
//!
//! # Bounds
//! A million open writes are compared with blue's changes; those beyond are journalled, and count, but what they meet is
//! not told. A foreign write that comes behind blue's change of the row meets it where the change is among the last
//! 262,144 that were read. Texts are compared letter by letter as a collation might; two keys that differ only in
//! characters that some collation passes over count as one here. A foreign key between BINARY and VARBINARY is not followed
//! where the values end in zero bytes. A row that both sides deleted is in green's log where the applier could make it come
//! and go (see `apply::green`); where another row holds a unique value of it, only a comparison settles the foreign delete.
//!
//! # Cost
//! Of a backlog of 40,000 row changes (`cargo bench --bench apply -- uniform --transactions 10000 --rounds 2`, with and
//! without `--watch` and `--stop`) on a machine of 2 cores that had other work, so CPU time says more than the rate, which is
//! the best of two rounds:
//!
//! | | MariaDB 10.11: green, engine, watch: CPU µs a row change | row changes/s | MySQL 9.7: the same | row changes/s |
//! |---|---|---|---|---|
//! | blue wins, no watch | 20, 5.5, - | 22,600 | 23, 4.0, - | 30,800 |
//! | blue wins, watched | 27, 6.0, 2.0 | 16,200 | 36, 6.0, 3.0 | 9,800 (under twice the load of others) |
//! | stop, no watch | 56, 11.5, - | 8,900 | 114, 9.0, - | 4,700 (the same) |
//!
//! Green pays for the watch by sending its log, `stop` by comparing each row under its lock. Where nothing is foreign the
//! watch commits nothing but its place, every 20 s.
//!
//! Must not know: the switchover.

mod follow;
mod journal;
mod log;
mod meeting;
mod point;
mod reading;
mod recording;
mod table;

pub use self::follow::{Watch, WatchProgress, describe_metrics};

use self::log::Log;
use self::reading::{Followed, Reading};
pub(crate) use self::recording::Recording;
use std::collections::BTreeSet;

use crate::apply::Stream;
use crate::apply::checkpoint;
use crate::checks::{self, Check, Verdict};
use crate::deployment;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Coordinates, Flavor, TableName};
use crate::net::{Server, ServerUrl, Session};
use crate::source;

/// One row that somebody else changed on green, or one statement that somebody else ran there.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct ForeignWrite {
    /// Names it.
    pub id: u64,
    /// The table's schema; `None` for a statement.
    pub schema: Option<String>,
    /// The table; `None` for a statement.
    pub table: Option<String>,
    /// `insert`, `update`, `delete` or `ddl`.
    pub kind: String,
    /// The row's key, by column; all its columns where the table has no key. `None` where the table is not known.
    pub key: Option<serde_json::Value>,
    /// The row before, by column, in the form of [`render`](crate::render).
    pub before: Option<serde_json::Value>,
    /// The row after.
    pub after: Option<serde_json::Value>,
    /// The statement; of accounts only its first words, as it may hold secrets.
    pub statement: Option<String>,
    /// When green committed it, as RFC 3339 has it, in UTC.
    pub at: String,
    /// The end of its event in green's log.
    pub green: Place,
    /// Green's number of the connection, where the log tells it.
    pub thread: Option<u64>,
    /// Whose connection it was, where that could be found out.
    pub account: Option<String>,
    /// The change of blue that it met.
    pub met: Option<Met>,
    /// Somebody has accepted it.
    pub acknowledged: bool,
    /// The row was made as it is on blue.
    pub repaired: bool,
    /// The table is green's own: blue's changes of it are not applied.
    pub keeps_green: bool,
}

impl ForeignWrite {
    /// Whether nobody has dealt with it.
    pub fn is_open(&self) -> bool {
        !self.acknowledged && !self.repaired && !self.keeps_green
    }
}

/// A place in a server's log.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Place {
    /// File and offset.
    #[serde(flatten)]
    pub coordinates: Option<Coordinates>,
    /// On green the transaction's GTID; on blue all that green held with the change.
    pub gtid: Option<String>,
}

/// What a foreign write met.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Met {
    /// `row`: the same row; `unique_value`: another row with the same value of a unique key; `foreign_key`: of a row and one
    /// that refers to it, see invariant 5.
    pub how: String,
    /// Where the engine was in blue's log behind the change: its own place, or a little later.
    pub blue: Place,
    /// The row as blue had it before: as the first foreign write found it. Not known of a row of another table.
    pub before: Option<serde_json::Value>,
    /// What blue made of it; `None`: it deleted it.
    pub after: Option<serde_json::Value>,
    /// `blue_wins`: green holds blue's value; `foreign_write_stands`: blue's change came first, green holds the other.
    pub resolution: String,
}

/// How much somebody else wrote on green.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct ForeignWrites {
    /// By table and kind.
    pub sums: Vec<Sum>,
}

/// Writes of one kind to one table.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Sum {
    /// The table; `None` for statements.
    pub table: Option<TableName>,
    /// `insert`, `update`, `delete` or `ddl`.
    pub kind: String,
    /// Rows, or statements.
    pub total: u64,
    /// Those that nobody has dealt with: see [`ForeignWrite::is_open`].
    pub open: u64,
}

impl ForeignWrites {
    /// All there are.
    pub fn total(&self) -> u64 {
        self.sums.iter().map(|sum| sum.total).sum()
    }

    /// Those that nobody has dealt with: see [`ForeignWrite::is_open`].
    pub fn open(&self) -> u64 {
        self.sums.iter().map(|sum| sum.open).sum()
    }

    fn add(&mut self, write: &reading::Write, kept: &BTreeSet<TableName>) {
        let open = u64::from(write.table.as_ref().is_none_or(|table| !kept.contains(table)));
        let sum = self.sums.iter_mut().find(|sum| sum.table == write.table && sum.kind == write.kind);
        match sum {
            Some(sum) => (sum.total, sum.open) = (sum.total + 1, sum.open + open),
            None => self.sums.push(Sum { table: write.table.clone(), kind: write.kind.into(), total: 1, open }),
        }
    }
}

/// Starts to watch a server that was not built by `create`, from the end of its log on: a native replica of blue. Makes
/// this library's tables there, for the journal; does nothing where a watch was begun before. Such a server must have
/// GTIDs, by which its own writes are told from those that it replicates.
///
/// # Errors
/// `Setting` where the server keeps no log in row format or has no GTIDs, `Privilege`, `ReadOnly`.
pub async fn install(green_url: &ServerUrl) -> Result<()> {
    let mut session = Session::open(green_url).await?;
    let green = Server::probe(&mut session).await?;
    let at_green = |error: Error| error.at(|place| place.server = Some(green_url.address()));
    if let Some(refusal) = checks::preflight::refusals("green", &green).into_iter().next() {
        return Err(at_green(refusal));
    }
    if !green.binlog.has_gtid {
        return Err(at_green(
            Error::new(ErrorKind::Setting, "the server has no GTIDs").with_advice("set gtid_mode = ON"),
        ));
    }
    if checkpoint::read(&mut session, Stream::Watch).await?.is_none() {
        checkpoint::install(&mut session).await?;
        deployment::Deployment::install(&mut session).await?;
        let head = green.head(&mut session).await?;
        let start = checkpoint::Checkpoint::start(green.identity.clone(), head);
        checkpoint::begin(&mut session, Stream::Watch, &start).await?;
    }
    session.close().await;
    Ok(())
}

/// Scans green's log for foreign writes, from where the last scan ended to its end now.
///
/// With `record`, what is found is kept and the next scan starts behind it; without, nothing is written anywhere.
///
/// # Errors
/// `State` where green was not built by `create`, `Setting` where green keeps no log, `Purged` where it is gone.
pub async fn scan(green_url: &ServerUrl, record: bool) -> Result<ForeignWrites> {
    if record {
        let recording = Box::pin(Recording::open(green_url)).await?;
        return Ok(Box::pin(recording.read_to_end()).await?.0);
    }
    let mut session = Session::open(green_url).await?;
    let green = Server::probe(&mut session).await?;
    let start = checkpoint::read(&mut session, Stream::Watch).await?;
    let start = start.ok_or_else(|| not_watched(green_url))?;
    check_start(&mut session, &green, &start, green_url).await?;
    let mut found = journal::count(&mut session).await?;
    let kept = deployment::kept_tables(&mut session).await?;
    let followed = followed(&mut session, &green).await?;
    let mut reading = Reading::new(green.version, followed, start.position, meeting::Open::default(), 1);
    let head = green.head(&mut session).await?;
    let mut log = Log::open(green_url, &green, &reading.position).await?;
    while let Some(frames) = log.until(&reading.position, &head).await? {
        for frame in frames {
            for assembled in log.assemble(frame)? {
                refresh(&mut reading, &mut session).await?;
                reading.take(&assembled)?;
                reading.writes.drain(..).for_each(|write| found.add(&write, &kept));
            }
        }
    }
    session.close().await;
    Ok(found)
}

/// What the journal holds, oldest first. Reads only what was recorded: see [`scan`] and [`Watch`].
///
/// # Errors
/// Where green cannot be read.
pub async fn journal(green: &ServerUrl) -> Result<Vec<ForeignWrite>> {
    let mut session = Session::open(green).await?;
    let list = journal::list(&mut session).await?;
    session.close().await;
    Ok(list)
}

/// Accepts writes by their numbers: they stay in the journal, and stand in nobody's way any more.
///
/// # Errors
/// `Config` where a number is not the journal's: nothing is accepted then.
pub async fn acknowledge(green: &ServerUrl, ids: &[u64]) -> Result<()> {
    let mut session = Session::open(green).await?;
    session.run("BEGIN").await?;
    let wanted: std::collections::BTreeSet<u64> = ids.iter().copied().collect();
    let wanted: Vec<u64> = wanted.into_iter().collect();
    if !wanted.is_empty() && journal::acknowledge(&mut session, &wanted).await? != wanted.len() as u64 {
        session.run("ROLLBACK").await?;
        return Err(Error::new(ErrorKind::Config, "the journal has no foreign write of one of these numbers")
            .with_advice("see `conflicts`"));
    }
    session.run("COMMIT").await?;
    session.close().await;
    Ok(())
}

/// Says that these tables are equal on both servers, whatever was written to them up to and with the write numbered
/// `last`: for whoever compared them behind it. Answers how many writes that settles.
///
/// # Errors
/// Where green cannot be written to.
pub async fn mark_repaired(green: &ServerUrl, tables: &[TableName], last: u64) -> Result<u64> {
    let mut session = Session::open(green).await?;
    let marked = journal::mark_repaired(&mut session, tables, last).await?;
    session.close().await;
    Ok(marked)
}

/// The engine has a checkpoint wherever it applies anything.
async fn followed(session: &mut Session, green: &Server) -> Result<Followed> {
    if checkpoint::read(session, Stream::Forward).await?.is_some() {
        return Ok(Followed::ByEngine);
    }
    let uuid = match green.version.flavor {
        Flavor::MySql => session.first("SELECT @@global.server_uuid").await?.map(|row| row.text(0)).unwrap_or_default(),
        Flavor::MariaDb => String::new(),
    };
    Ok(Followed::Natively { uuid, server_id: green.server_id })
}

/// Reads green's tables where they may have changed.
async fn refresh(reading: &mut Reading, session: &mut Session) -> Result<()> {
    if reading.is_stale {
        let (tables, sequences) = (crate::net::targets(session).await?, crate::net::sequences(session).await?);
        reading.set_tables(tables, sequences);
    }
    Ok(())
}

fn not_watched(url: &ServerUrl) -> Error {
    Error::new(ErrorKind::State, "green's log is not watched: green was not built by `create`")
        .at(|place| place.server = Some(url.address()))
}

async fn check_start(
    session: &mut Session,
    green: &Server,
    start: &checkpoint::Checkpoint,
    url: &ServerUrl,
) -> Result<()> {
    if start.source != green.identity {
        return Err(Error::new(ErrorKind::Position, "the watched log is another server's than this green")
            .at(|place| place.server = Some(url.address())));
    }
    source::check_start(session, green, &start.position).await
}

/// The same as a check: open foreign writes are a failure, a scan that does not work is unknown.
pub async fn check(green_url: &ServerUrl, record: bool) -> Check {
    judge(&scan(green_url, record).await)
}

/// The check of a scan that was made.
pub(crate) fn judge(writes: &Result<ForeignWrites>) -> Check {
    const NAME: &str = "no_foreign_writes";
    const NAMED: usize = 5;
    let writes = match writes {
        Err(error) => return Check::unknown(NAME, error),
        Ok(writes) => writes,
    };
    match (writes.open(), writes.total()) {
        (0, 0) => Check::new(NAME, Verdict::Pass, "nobody else wrote on green since it was built"),
        (0, total) => {
            let evidence = format!("somebody else wrote on green {total} times; all of it was accepted or repaired");
            Check::new(NAME, Verdict::Warn, evidence).with_advice("see `conflicts`")
        }
        _ => {
            let open = writes.sums.iter().filter(|sum| sum.open > 0);
            let named: Vec<String> = open
                .clone()
                .take(NAMED)
                .map(|sum| match &sum.table {
                    Some(table) => format!("{} {} in {table}", sum.open, sum.kind),
                    None => format!("{} statement(s)", sum.open),
                })
                .collect();
            let more = if open.count() > NAMED { ", …" } else { "" };
            Check::new(NAME, Verdict::Fail, format!("somebody else wrote on green: {}{more}", named.join(", ")))
                .with_advice("see `conflicts`; compare with `verify`; then repair, accept, or build green anew")
        }
    }
}
