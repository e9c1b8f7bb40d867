//! The journal on green: every foreign write, what it met, and how far green's log was read, in one commit.

use std::collections::HashMap;

use super::meeting::Open;
use super::point::{KeyKind, Point};
use super::reading::{Meeting, Write};
use super::{ForeignWrite, ForeignWrites, Met, Sum};
use crate::apply::Stream;
use crate::apply::checkpoint::{self, Checkpoint, Owner};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Coordinates, Flavor, Position, TableName};
use crate::net::{Row, Session, text_literal};
use crate::render;

/// Rows of an INSERT, and about how many bytes at most.
const INSERT_ROWS: usize = 500;
const INSERT_BYTES: usize = 1 << 20;

/// Writes to the journal, for as long as nobody else claims the watch.
pub(super) struct Journal {
    session: Session,
    owner: Owner,
    checkpoint: Checkpoint,
    flavor: Flavor,
    /// A transaction has begun: what was kept is not committed.
    is_open: bool,
    /// Whose connection has which number, as far as it was asked.
    accounts: HashMap<u32, Option<String>>,
}

impl Journal {
    /// Takes the watch over; `None`: green's log is not watched.
    pub(super) async fn claim(mut session: Session, flavor: Flavor) -> Result<Option<Journal>> {
        let owner = Owner::new();
        let Some(checkpoint) = checkpoint::claim(&mut session, Stream::Watch, owner).await? else { return Ok(None) };
        Ok(Some(Journal { session, owner, checkpoint, flavor, is_open: false, accounts: HashMap::new() }))
    }

    pub(super) fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Whether something was kept that is not committed.
    pub(super) fn has_kept(&self) -> bool {
        self.is_open
    }

    pub(super) fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    pub(super) async fn close(self) {
        self.session.close().await;
    }

    /// Keeps what was found, to be committed with the position.
    pub(super) async fn keep(&mut self, writes: &mut [Write], meetings: &[Meeting]) -> Result<()> {
        if writes.is_empty() && meetings.is_empty() {
            return Ok(());
        }
        self.begin().await?;
        for write in writes.iter_mut().filter(|write| write.account.is_none()) {
            write.account = self.account(write.thread).await?;
        }
        for insert in inserts(writes) {
            self.session.run(&insert).await?;
        }
        for meeting in meetings {
            self.session.run(&update(meeting)).await?;
        }
        self.checkpoint.transactions += writes.len() as u64;
        Ok(())
    }

    /// Commits what was kept, and that the log was read up to the position.
    pub(super) async fn commit(&mut self, position: Position) -> Result<()> {
        if !self.is_open && self.checkpoint.position == position {
            return Ok(());
        }
        self.begin().await?;
        self.checkpoint.position = position;
        if self.session.run(&checkpoint::advance(Stream::Watch, self.owner, &self.checkpoint)).await?.affected != 1 {
            return Err(taken_over());
        }
        self.session.run("COMMIT").await?;
        self.is_open = false;
        Ok(())
    }

    /// The checkpoint's row comes first: it marks the transaction as ours, and nobody else can claim the watch until
    /// the commit.
    async fn begin(&mut self) -> Result<()> {
        if self.is_open {
            return Ok(());
        }
        self.session.run("BEGIN").await?;
        self.is_open = true;
        match self.session.run(&checkpoint::hold(Stream::Watch.into(), self.owner)).await?.affected {
            1 => Ok(()),
            _ => Err(taken_over()),
        }
    }

    /// Whose connection has this number, if it is still there and green says so (MySQL's performance schema).
    async fn account(&mut self, thread: Option<u32>) -> Result<Option<String>> {
        const KEPT: usize = 10_000;
        let Some(thread) = thread.filter(|_| self.flavor == Flavor::MySql) else { return Ok(None) };
        if let Some(known) = self.accounts.get(&thread) {
            return Ok(known.clone());
        }
        let select = format!(
            "SELECT CONCAT(PROCESSLIST_USER, '@', PROCESSLIST_HOST) FROM performance_schema.threads \
             WHERE PROCESSLIST_ID = {thread}"
        );
        let found = match self.session.first(&select).await {
            Ok(row) => row.filter(|row| row.bytes(0).is_some()).map(|row| row.text(0)),
            Err(error) if error.kind() == ErrorKind::Disconnected => return Err(error),
            // No such schema, or no right to look.
            Err(_) => None,
        };
        if self.accounts.len() >= KEPT {
            self.accounts.clear();
        }
        self.accounts.insert(thread, found.clone());
        Ok(found)
    }
}

fn taken_over() -> Error {
    Error::new(ErrorKind::TakenOver, "another engine reads green's log")
}

fn text(text: Option<&str>) -> String {
    text.map_or_else(|| "NULL".into(), text_literal)
}

fn number<T: ToString>(number: Option<T>) -> String {
    number.map_or_else(|| "NULL".into(), |number| number.to_string())
}

fn inserts(writes: &[Write]) -> Vec<String> {
    let mut statements: Vec<(String, usize)> = Vec::new();
    for write in writes {
        let row = values(write);
        match statements.last_mut() {
            Some((sql, rows)) if *rows < INSERT_ROWS && sql.len() + row.len() < INSERT_BYTES => {
                sql.push(',');
                sql.push_str(&row);
                *rows += 1;
            }
            _ => {
                let head = "INSERT INTO bluegreen.foreign_write (id, table_schema, table_name, kind, row_key, \
                            before_image, after_image, statement, points, file, `offset`, gtid, committed_at_micros, \
                            thread, account) VALUES ";
                statements.push((format!("{head}{row}"), 1));
            }
        }
    }
    statements.into_iter().map(|(sql, _)| sql).collect()
}

fn values(write: &Write) -> String {
    let points: String = write.points.iter().map(point_text).collect::<Vec<_>>().join(" ");
    format!(
        "({}, {}, {}, '{}', {}, {}, {}, {}, '{points}', {}, {}, {}, {}, {}, {})",
        write.id,
        text(write.table.as_ref().map(|table| table.schema.as_str())),
        text(write.table.as_ref().map(|table| table.table.as_str())),
        write.kind,
        text(write.key.as_deref()),
        text(write.before.as_deref()),
        text(write.after.as_deref()),
        text(write.statement.as_deref()),
        text_literal(&write.at.file),
        write.at.offset,
        text(write.gtid.as_deref()),
        write.committed_at_micros,
        number(write.thread),
        text(write.account.as_deref()),
    )
}

/// The value that blue had before is what the first of the writes found, where it is a row of the same table.
fn update(meeting: &Meeting) -> String {
    let ids: Vec<String> = meeting.ids.iter().map(u64::to_string).collect();
    let blue = &meeting.blue;
    let is_same_table = meeting.how != KeyKind::Child.met();
    format!(
        "UPDATE bluegreen.foreign_write met JOIN bluegreen.foreign_write first ON first.id = {} SET met.met_how = '{}', \
         met.met_before = {}, met.met_after = {}, met.met_file = {}, met.met_offset = {}, \
         met.met_gtid = {}, met.resolution = '{}' WHERE met.id IN ({})",
        meeting.ids.first().copied().unwrap_or_default(),
        meeting.how,
        if is_same_table { "first.before_image" } else { "NULL" },
        text(meeting.after.as_deref()),
        text(blue.coordinates.as_ref().map(|at| &*at.file)),
        number(blue.coordinates.as_ref().map(|at| at.offset)),
        text(blue.gtid.as_deref()),
        meeting.resolution.name(),
        ids.join(", "),
    )
}

fn point_text(point: &Point) -> String {
    let kind = match point.key {
        KeyKind::Row => 'r',
        KeyKind::Unique => 'u',
        KeyKind::Parent => 'p',
        KeyKind::Child => 'c',
    };
    format!("{kind}{:016x}", point.hash)
}

fn point_of(text: &str) -> Option<Point> {
    let key = match text.get(..1)? {
        "r" => KeyKind::Row,
        "u" => KeyKind::Unique,
        "p" => KeyKind::Parent,
        "c" => KeyKind::Child,
        _ => return None,
    };
    Some(Point { hash: u64::from_str_radix(text.get(1..)?, 16).ok()?, key })
}

/// The writes that blue's changes have not met, and the number of the next write.
pub(super) async fn open(session: &mut Session) -> Result<(Open, u64)> {
    let mut open = Open::default();
    session
        .each_row("SELECT id, points FROM bluegreen.foreign_write WHERE resolution IS NULL AND repaired = 0", |row| {
            let points: Option<Vec<Point>> = row.text(1).split_whitespace().map(point_of).collect();
            let unreadable = || Error::new(ErrorKind::State, "the journal of foreign writes cannot be read");
            open.add(row.number(0).ok_or_else(unreadable)?, &points.ok_or_else(unreadable)?);
            Ok(())
        })
        .await?;
    let next = session.first("SELECT COALESCE(MAX(id), 0) + 1 FROM bluegreen.foreign_write").await?;
    Ok((open, next.and_then(|row| row.number(0)).unwrap_or(1)))
}

/// How many writes there are, and of which those that nobody has dealt with.
pub(super) async fn count(session: &mut Session) -> Result<ForeignWrites> {
    let rows = session
        .rows(
            // Of a table that is green's own nothing is open.
            "SELECT w.table_schema, w.table_name, w.kind, COUNT(*), \
             SUM(w.acknowledged = 0 AND w.repaired = 0 AND k.table_name IS NULL) \
             FROM bluegreen.foreign_write w LEFT JOIN bluegreen.kept_table k \
             ON k.table_schema = w.table_schema COLLATE utf8mb4_bin AND k.table_name = w.table_name COLLATE utf8mb4_bin \
             GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
        )
        .await?;
    let sums = rows.iter().map(|row| Sum {
        table: row.bytes(0).map(|_| TableName::new(row.text(0), row.text(1))),
        kind: row.text(2),
        total: row.number(3).unwrap_or(0),
        open: row.number(4).unwrap_or(0),
    });
    Ok(ForeignWrites { sums: sums.collect() })
}

/// The journal's entries, oldest first.
pub(super) async fn list(session: &mut Session) -> Result<Vec<ForeignWrite>> {
    let mut list = Vec::new();
    session
        .each_row(
            "SELECT id, table_schema, table_name, kind, row_key, before_image, after_image, statement, file, `offset`, \
             gtid, committed_at_micros, thread, account, met_how, met_file, met_offset, met_gtid, met_before, \
             met_after, resolution, acknowledged, repaired, EXISTS (SELECT 1 FROM bluegreen.kept_table k WHERE \
             k.table_schema = w.table_schema COLLATE utf8mb4_bin AND k.table_name = w.table_name COLLATE utf8mb4_bin) \
             FROM bluegreen.foreign_write w ORDER BY id",
            |row| {
                list.push(entry(&row));
                Ok(())
            },
        )
        .await?;
    Ok(list)
}

fn entry(row: &Row) -> ForeignWrite {
    let text = |index: usize| row.bytes(index).map(|_| row.text(index));
    let json = |index: usize| row.bytes(index).and_then(|json| serde_json::from_slice(json).ok());
    let place = |file: usize| super::Place {
        coordinates: text(file).zip(row.number(file + 1)).map(|(file, offset)| Coordinates::new(file, offset)),
        gtid: text(file + 2),
    };
    let mut at = Vec::new();
    render::moment(&mut at, row.number(11).unwrap_or(0));
    ForeignWrite {
        id: row.number(0).unwrap_or(0),
        schema: text(1),
        table: text(2),
        kind: row.text(3),
        key: json(4),
        before: json(5),
        after: json(6),
        statement: text(7),
        green: place(8),
        at: String::from_utf8_lossy(&at).into_owned(),
        thread: row.number(12),
        account: text(13),
        met: text(14).map(|how| Met {
            how,
            blue: place(15),
            before: json(18),
            after: json(19),
            resolution: row.text(20),
        }),
        acknowledged: row.number(21) == Some(1),
        repaired: row.number(22) == Some(1),
        keeps_green: row.number(23) == Some(1),
    }
}

/// Marks entries as accepted; answers how many there are of these numbers. The change is marked as ours by its table.
pub(super) async fn acknowledge(session: &mut Session, ids: &[u64]) -> Result<u64> {
    let list: Vec<String> = ids.iter().map(u64::to_string).collect();
    let update = format!("UPDATE bluegreen.foreign_write SET acknowledged = 1 WHERE id IN ({})", list.join(", "));
    Ok(session.run(&update).await?.affected)
}

/// Marks the open entries of these tables as repaired, up to and with `last`.
pub(super) async fn mark_repaired(session: &mut Session, tables: &[TableName], last: u64) -> Result<u64> {
    let mut marked = 0;
    for table in tables {
        let update = format!(
            "UPDATE bluegreen.foreign_write SET repaired = 1 WHERE table_schema = {} AND table_name = {} AND id <= {last} \
             AND repaired = 0",
            text_literal(&table.schema),
            text_literal(&table.table),
        );
        marked += session.run(&update).await?.affected;
    }
    Ok(marked)
}
