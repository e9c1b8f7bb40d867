//! The record of how far a stream has come, and the right to move it.
//!
//! Lanes have rows of their own beside the stream's, `forward/0`, `forward/1`, …, from the moment they start until green
//! is a prefix of blue again. A lane's position says how far its share of the rows is; the figures with it are the
//! stream's at that position, only the conflicts are the lane's own since it started. The stream's row keeps the position
//! from which the lanes started.

use std::collections::HashMap;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{Coordinates, Flavor, GtidPosition, Position, ServerIdentity};
use crate::net::{Row, Session, text_literal};

/// Which of the pipeline's uses a checkpoint belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stream {
    /// Blue's changes, applied to green.
    Forward,
    /// Green's own log, watched for foreign writes.
    Watch,
}

impl Stream {
    /// The name in the checkpoint's row.
    pub fn name(self) -> &'static str {
        match self {
            Stream::Forward => "forward",
            Stream::Watch => "watch",
        }
    }
}

/// How far a stream has come: the row of `bluegreen.checkpoint` on green that is written in the same transaction as
/// the rows it speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checkpoint {
    /// The server whose log the position is in.
    pub source: ServerIdentity,
    /// Everything before it is on green, and nothing after it but what lanes have that are ahead.
    pub position: Position,
    /// Where the stream has to start again, if that is before the position: in front of a two-phase transaction that
    /// waits for a decision.
    pub resume: Option<Position>,
    /// When the source committed the last transaction before it, in microseconds since 1970; 0: none was applied yet.
    pub committed_at_micros: u64,
    /// Transactions applied since the stream began.
    pub transactions: u64,
    /// Row changes applied since the stream began.
    pub row_changes: u64,
    /// Row changes among them that met a green which was not as blue had been.
    pub conflicts: u64,
    /// How far each lane is, none behind the position. Empty: there are no lanes, and nothing after the position is on
    /// green.
    pub lanes: Vec<Position>,
}

impl Checkpoint {
    /// A checkpoint at which nothing was applied yet.
    pub fn start(source: ServerIdentity, position: Position) -> Checkpoint {
        Checkpoint {
            source,
            position,
            resume: None,
            committed_at_micros: 0,
            transactions: 0,
            row_changes: 0,
            conflicts: 0,
            lanes: Vec::new(),
        }
    }

    /// Where a stream starts again: up to the position it meets what is on green, but for prepared transactions.
    pub fn start_again(&self) -> &Position {
        self.resume.as_ref().unwrap_or(&self.position)
    }

    /// Whether no lane is ahead of another.
    pub(crate) fn is_level(&self) -> bool {
        self.lanes.iter().all(|lane| *lane == self.position)
    }

    fn assignments(&self) -> String {
        let (flavor, gtid) = match &self.position.gtid {
            None => ("NULL", "NULL".to_owned()),
            Some(gtid @ GtidPosition::MySql(_)) => ("'mysql'", text_literal(&gtid.to_string())),
            Some(gtid @ GtidPosition::MariaDb(_)) => ("'mariadb'", text_literal(&gtid.to_string())),
        };
        let resume = self.resume.as_ref().and_then(|resume| serde_json::to_string(resume).ok());
        let resume = resume.map_or("NULL".into(), |resume| text_literal(&resume));
        format!(
            "source = {}, file = {}, `offset` = {}, gtid_flavor = {flavor}, gtid = {gtid}, resume = {resume}, \
             committed_at_micros = {}, transactions = {}, row_changes = {}, conflicts = {}, updated_at = UTC_TIMESTAMP(6)",
            text_literal(self.source.as_str()),
            text_literal(&self.position.coordinates.file),
            self.position.coordinates.offset,
            self.committed_at_micros,
            self.transactions,
            self.row_changes,
            self.conflicts,
        )
    }
}

/// The right to advance a stream's checkpoint. Whoever claims last has it; the one before finds out at its next
/// commit, which then changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner(u64);

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The stream's own.
    Stream(Stream),
    /// That of a lane of it.
    Lane(Stream, usize),
}

impl From<Stream> for Place {
    fn from(stream: Stream) -> Place {
        Place::Stream(stream)
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Stream(stream) => f.write_str(stream.name()),
            Place::Lane(stream, lane) => write!(f, "{}/{lane}", stream.name()),
        }
    }
}

impl Owner {
    /// A token that no other engine has.
    pub(crate) fn new() -> Owner {
        Owner(crate::entropy::random())
    }
}

/// Makes schema and table, where they are not there yet.
pub(crate) async fn install(session: &mut Session) -> Result<()> {
    session.run("CREATE DATABASE IF NOT EXISTS bluegreen DEFAULT CHARACTER SET utf8mb4").await?;
    session
        .run(
            "CREATE TABLE IF NOT EXISTS bluegreen.checkpoint (
               stream VARCHAR(32) CHARACTER SET ascii NOT NULL PRIMARY KEY,
               owner BIGINT UNSIGNED NOT NULL,
               source VARCHAR(512) NOT NULL,
               file VARCHAR(512) NOT NULL,
               `offset` BIGINT UNSIGNED NOT NULL,
               gtid_flavor VARCHAR(16) CHARACTER SET ascii NULL,
               gtid LONGTEXT CHARACTER SET ascii NULL,
               resume LONGTEXT NULL,
               committed_at_micros BIGINT UNSIGNED NOT NULL,
               transactions BIGINT UNSIGNED NOT NULL,
               row_changes BIGINT UNSIGNED NOT NULL,
               conflicts BIGINT UNSIGNED NOT NULL,
               updated_at DATETIME(6) NOT NULL
             ) ENGINE = InnoDB",
        )
        .await?;
    session
        .run(
            "CREATE TABLE IF NOT EXISTS bluegreen.statement (
               stream VARCHAR(32) CHARACTER SET ascii NOT NULL PRIMARY KEY,
               name VARCHAR(1024) NOT NULL,
               state TINYINT UNSIGNED NOT NULL,
               before_it LONGTEXT NOT NULL,
               updated_at DATETIME(6) NOT NULL
             ) ENGINE = InnoDB",
        )
        .await?;
    Ok(())
}

/// Reads a stream's checkpoint; `None` where the stream has none, or the table is not there.
pub(crate) async fn read(session: &mut Session, stream: Stream) -> Result<Option<Checkpoint>> {
    match session.rows(&select(stream, "")).await {
        Ok(rows) => join(stream, &rows),
        // Unknown schema, unknown table.
        Err(error) if matches!(error.code(), Some(1049 | 1146)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a stream's first checkpoint. `false`: there is one already, and it stays.
pub(crate) async fn begin(session: &mut Session, stream: Stream, checkpoint: &Checkpoint) -> Result<bool> {
    const DUPLICATE: u16 = 1062;
    let values = checkpoint.assignments();
    let insert = format!("INSERT INTO bluegreen.checkpoint SET stream = '{}', owner = 0, {values}", stream.name());
    match session.run(&insert).await {
        Ok(_) => Ok(true),
        Err(error) if error.code() == Some(DUPLICATE) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Takes the stream over, with its lanes, and reads its checkpoint.
///
/// Waits for transactions of the former owner that are still under way: the first statement of each locked its row. After
/// this returns, nothing of the former owner can be committed any more.
pub(crate) async fn claim(session: &mut Session, stream: Stream, owner: Owner) -> Result<Option<Checkpoint>> {
    session.run("BEGIN").await?;
    // The stream's row alone first: whoever has it locked may be about to make lanes, or to end them.
    session
        .run(&format!("UPDATE bluegreen.checkpoint SET owner = {} WHERE stream = '{}'", owner.0, stream.name()))
        .await?;
    let rows = session.rows(&select(stream, " FOR UPDATE")).await?;
    for lane in 1..rows.len() {
        let place = Place::Lane(stream, lane - 1);
        session.run(&format!("UPDATE bluegreen.checkpoint SET owner = {} WHERE stream = '{place}'", owner.0)).await?;
    }
    session.run("COMMIT").await?;
    join(stream, &rows)
}

/// Whether the stream is still `owner`'s.
pub(crate) async fn is_owned(session: &mut Session, stream: Stream, owner: Owner) -> Result<bool> {
    let select = format!("SELECT owner FROM bluegreen.checkpoint WHERE stream = '{}'", stream.name());
    Ok(session.first(&select).await?.and_then(|row| row.number(0)) == Some(owner.0))
}

/// The same, with the row locked until the transaction ends: until then nobody else takes the stream over.
pub(crate) async fn lock_owned(session: &mut Session, stream: Stream, owner: Owner) -> Result<bool> {
    let select = format!("SELECT owner FROM bluegreen.checkpoint WHERE stream = '{}' FOR UPDATE", stream.name());
    Ok(session.first(&select).await?.and_then(|row| row.number(0)) == Some(owner.0))
}

/// The statement that advances the checkpoint. It matches no row once another engine has claimed the stream.
pub(crate) fn advance(place: impl Into<Place>, owner: Owner, checkpoint: &Checkpoint) -> String {
    let (place, values) = (place.into(), checkpoint.assignments());
    format!("UPDATE bluegreen.checkpoint SET {values} WHERE stream = '{place}' AND owner = {}", owner.0)
}

/// The statement that makes a lane's row.
pub(crate) fn start_lane(stream: Stream, lane: usize, owner: Owner, checkpoint: &Checkpoint) -> String {
    let (place, values) = (Place::Lane(stream, lane), checkpoint.assignments());
    format!("INSERT INTO bluegreen.checkpoint SET stream = '{place}', owner = {}, {values}", owner.0)
}

/// The statement that removes a lane's row. In front of it, in the same transaction, belongs one that writes the stream's.
pub(crate) fn end_lane(stream: Stream, lane: usize) -> String {
    format!("DELETE FROM bluegreen.checkpoint WHERE stream = '{}'", Place::Lane(stream, lane))
}

/// The statement that claims the checkpoint's row for a transaction whose end is not known yet. The change is logged, as
/// that of [`advance`] is. It matches no row once another engine has claimed the stream.
pub(crate) fn hold(place: Place, owner: Owner) -> String {
    format!(
        "UPDATE bluegreen.checkpoint SET updated_at = UTC_TIMESTAMP(6) WHERE stream = '{place}' AND owner = {}",
        owner.0
    )
}

/// Within a transaction: holds the forward stream and its lanes still until that ends, and answers where. The row is written to, so the
/// transaction is the engine's own in green's log; it stays with whoever owns the stream.
///
/// # Errors
/// `State` where green has no checkpoint.
pub(crate) async fn halt(session: &mut Session) -> Result<Position> {
    let touch = "UPDATE bluegreen.checkpoint SET updated_at = UTC_TIMESTAMP(6) WHERE stream = 'forward'";
    session.run(touch).await?;
    // Lanes write rows of their own: the transactions that they have under way are waited for, and no other begins.
    let rows = session.rows(&select(Stream::Forward, " FOR UPDATE")).await?;
    join(Stream::Forward, &rows)?
        .map(|checkpoint| checkpoint.position)
        .ok_or_else(|| Error::new(ErrorKind::State, "green has no checkpoint"))
}

/// By the index, or rows of other streams would be locked too: of so small a table the server may rather read all.
fn select(stream: Stream, lock: &str) -> String {
    format!(
        "SELECT source, file, `offset`, gtid_flavor, gtid, committed_at_micros, transactions, row_changes, \
         conflicts, resume, stream \
         FROM bluegreen.checkpoint FORCE INDEX (PRIMARY) WHERE stream = '{name}' OR stream LIKE '{name}/%'{lock}",
        name = stream.name(),
    )
}

/// The checkpoint of a stream and its lanes: that of the lane which is behind all others.
fn join(stream: Stream, rows: &[Row]) -> Result<Option<Checkpoint>> {
    let mut places = HashMap::new();
    for row in rows {
        places.insert(row.text(STREAM), parse(row)?);
    }
    let Some(own) = places.remove(stream.name()) else { return Ok(None) };
    let lanes = (0..places.len()).map(|lane| places.remove(&Place::Lane(stream, lane).to_string()));
    let lanes: Vec<Checkpoint> = lanes.collect::<Option<_>>().ok_or_else(|| unreadable("the numbers of its lanes"))?;
    // Lanes stand at ends of groups, each of which holds transactions.
    let Some(last) = lanes.iter().min_by_key(|lane| lane.transactions) else { return Ok(Some(own)) };
    Ok(Some(Checkpoint {
        conflicts: lanes.iter().fold(own.conflicts, |sum, lane| sum + lane.conflicts),
        lanes: lanes.iter().map(|lane| lane.position.clone()).collect(),
        ..last.clone()
    }))
}

/// The column of the row's own name.
const STREAM: usize = 10;

fn parse(row: &Row) -> Result<Checkpoint> {
    let flavor = match row.bytes(3) {
        None => None,
        Some(b"mysql") => Some(Flavor::MySql),
        Some(b"mariadb") => Some(Flavor::MariaDb),
        Some(_) => return Err(unreadable("its gtid_flavor")),
    };
    let gtid = match flavor {
        None => None,
        Some(flavor) => Some(GtidPosition::parse(flavor, &row.text(4)).map_err(|_| unreadable("its gtid"))?),
    };
    let resume = row.bytes(9).map(serde_json::from_slice).transpose().map_err(|_| unreadable("its resume"))?;
    let number = |index, what| row.number(index).ok_or_else(|| unreadable(what));
    Ok(Checkpoint {
        source: ServerIdentity::new(row.text(0)),
        position: Position::new(Coordinates::new(row.text(1), number(2, "its offset")?), gtid),
        resume,
        committed_at_micros: number(5, "its time")?,
        transactions: number(6, "its transactions")?,
        row_changes: number(7, "its row changes")?,
        conflicts: number(8, "its conflicts")?,
        lanes: Vec::new(),
    })
}

fn unreadable(what: &str) -> Error {
    Error::new(ErrorKind::State, format!("the checkpoint on green cannot be read: {what}"))
        .with_advice("it was changed by hand; build green anew with `create`")
}
