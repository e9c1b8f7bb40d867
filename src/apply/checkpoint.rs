//! The record of how far a stream has come, and the right to move it.

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
    /// Everything before it is on green, nothing after it.
    pub position: Position,
    /// When the source committed the last transaction before it, in microseconds since 1970; 0: none was applied yet.
    pub committed_at_micros: u64,
    /// Transactions applied since the stream began.
    pub transactions: u64,
    /// Row changes applied since the stream began.
    pub row_changes: u64,
    /// Row changes among them that met a green which was not as blue had been.
    pub conflicts: u64,
}

impl Checkpoint {
    /// A checkpoint at which nothing was applied yet.
    pub fn start(source: ServerIdentity, position: Position) -> Checkpoint {
        Checkpoint { source, position, committed_at_micros: 0, transactions: 0, row_changes: 0, conflicts: 0 }
    }

    fn assignments(&self) -> String {
        let (flavor, gtid) = match &self.position.gtid {
            None => ("NULL", "NULL".to_owned()),
            Some(gtid @ GtidPosition::MySql(_)) => ("'mysql'", text_literal(&gtid.to_string())),
            Some(gtid @ GtidPosition::MariaDb(_)) => ("'mariadb'", text_literal(&gtid.to_string())),
        };
        format!(
            "source = {}, file = {}, `offset` = {}, gtid_flavor = {flavor}, gtid = {gtid}, committed_at_micros = {}, \
             transactions = {}, row_changes = {}, conflicts = {}, updated_at = UTC_TIMESTAMP(6)",
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
    match session.first(&select(stream, "")).await {
        Ok(row) => row.map(|row| parse(&row)).transpose(),
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

/// Takes the stream over and reads its checkpoint.
///
/// Waits for a transaction of the former owner that is still under way: its first statement locked the row. After this
/// returns, nothing of the former owner can be committed any more.
pub(crate) async fn claim(session: &mut Session, stream: Stream, owner: Owner) -> Result<Option<Checkpoint>> {
    session.run("BEGIN").await?;
    let Some(row) = session.first(&select(stream, " FOR UPDATE")).await? else {
        session.run("ROLLBACK").await?;
        return Ok(None);
    };
    session
        .run(&format!("UPDATE bluegreen.checkpoint SET owner = {} WHERE stream = '{}'", owner.0, stream.name()))
        .await?;
    session.run("COMMIT").await?;
    parse(&row).map(Some)
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
pub(crate) fn advance(stream: Stream, owner: Owner, checkpoint: &Checkpoint) -> String {
    format!(
        "UPDATE bluegreen.checkpoint SET {} WHERE stream = '{}' AND owner = {}",
        checkpoint.assignments(),
        stream.name(),
        owner.0
    )
}

/// The statement that claims the checkpoint's row for a transaction whose end is not known yet. The change is logged, as
/// that of [`advance`] is. It matches no row once another engine has claimed the stream.
pub(crate) fn hold(stream: Stream, owner: Owner) -> String {
    format!(
        "UPDATE bluegreen.checkpoint SET updated_at = UTC_TIMESTAMP(6) WHERE stream = '{}' AND owner = {}",
        stream.name(),
        owner.0
    )
}

fn select(stream: Stream, lock: &str) -> String {
    format!(
        "SELECT source, file, `offset`, gtid_flavor, gtid, committed_at_micros, transactions, row_changes, \
         conflicts \
         FROM bluegreen.checkpoint WHERE stream = '{}'{lock}",
        stream.name()
    )
}

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
    let number = |index, what| row.number(index).ok_or_else(|| unreadable(what));
    Ok(Checkpoint {
        source: ServerIdentity::new(row.text(0)),
        position: Position::new(Coordinates::new(row.text(1), number(2, "its offset")?), gtid),
        committed_at_micros: number(5, "its time")?,
        transactions: number(6, "its transactions")?,
        row_changes: number(7, "its row changes")?,
        conflicts: number(8, "its conflicts")?,
    })
}

fn unreadable(what: &str) -> Error {
    Error::new(ErrorKind::State, format!("the checkpoint on green cannot be read: {what}"))
        .with_advice("it was changed by hand; build green anew with `create`")
}
