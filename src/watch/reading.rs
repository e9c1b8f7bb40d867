//! Green's log → foreign writes, and what they meet.

use std::collections::{BTreeSet, HashMap};

use super::meeting::{Open, Recent};
use super::point::{self, Point};
use super::table::{Watched, unnamed, watched};
use crate::decode::{Assembled, Change, Row, RowBuffer, RowsChange, Statement, Transaction, ValueRef};
use crate::error::{Error, Result};
use crate::model::{ChangeKind, Coordinates, Gtid, Position, ServerVersion, Table, TableName};
use crate::plan::{Object, Rules};
use crate::render::Renderer;

/// A longer image is not journalled; the write is.
const MAX_IMAGE_BYTES: usize = 4 << 20;

/// A row that somebody else changed on green, or a statement that somebody else ran.
pub(super) struct Write {
    pub(super) id: u64,
    pub(super) table: Option<TableName>,
    pub(super) kind: &'static str,
    pub(super) key: Option<String>,
    pub(super) before: Option<String>,
    pub(super) after: Option<String>,
    pub(super) statement: Option<String>,
    pub(super) points: Vec<Point>,
    /// The end of its event in green's log.
    pub(super) at: Coordinates,
    pub(super) gtid: Option<String>,
    pub(super) committed_at_micros: u64,
    pub(super) thread: Option<u32>,
    pub(super) account: Option<String>,
}

/// Foreign writes and a change of blue met. Of several with one write the last tells how.
pub(super) struct Meeting {
    /// The writes, oldest first.
    pub(super) ids: Vec<u64>,
    pub(super) how: &'static str,
    pub(super) resolution: Resolution,
    /// What the change made of the row; `None`: it is gone, or not known.
    pub(super) after: Option<String>,
    pub(super) blue: BluePlace,
}

/// Whose value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resolution {
    /// Blue's: its change came behind the write.
    BlueWins,
    /// The foreign write's: it came behind blue's change.
    ForeignStands,
}

impl Resolution {
    pub(super) fn name(self) -> &'static str {
        match self {
            Resolution::BlueWins => "blue_wins",
            Resolution::ForeignStands => "foreign_write_stands",
        }
    }
}

/// Where the engine was in blue's log behind a change.
#[derive(Debug, Clone, Default)]
pub(super) struct BluePlace {
    pub(super) coordinates: Option<Coordinates>,
    pub(super) gtid: Option<String>,
}

/// What keeps green in sync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Followed {
    /// The engine alone.
    ByEngine,
    /// The server's own replication: what comes from elsewhere has the GTID of another server than this one's. Text that
    /// a GTID of green's own begins with (MySQL), or its server id (MariaDB).
    Natively { uuid: String, server_id: u32 },
}

impl Followed {
    /// Whether a transaction came from another server.
    fn is_from_elsewhere(&self, gtid: Option<&Gtid>) -> bool {
        match (self, gtid) {
            (Followed::Natively { uuid, .. }, Some(Gtid::MySql(gtid))) => {
                !gtid.to_string().to_lowercase().starts_with(&uuid.to_lowercase())
            }
            (Followed::Natively { server_id, .. }, Some(Gtid::MariaDb(gtid))) => gtid.server != *server_id,
            _ => false,
        }
    }
}

/// What is known of green, and what was read so far.
pub(super) struct Reading {
    green: ServerVersion,
    tables: HashMap<TableName, Watched>,
    sequences: BTreeSet<TableName>,
    /// Whose transactions, beside the engine's, are not foreign.
    followed: Followed,
    /// A statement may have changed the tables.
    pub(super) is_stale: bool,
    rules: Rules,
    /// Everything before it was read.
    pub(super) position: Position,
    /// Where the engine announced a statement that did not come yet: the place before, and how much was found by then.
    announced: Option<(Position, usize, usize)>,
    pub(super) open: Open,
    recent: Recent,
    pub(super) next_id: u64,
    pub(super) writes: Vec<Write>,
    pub(super) meetings: Vec<Meeting>,
    transaction: Current,
    renderer: Renderer,
    buffer: RowBuffer,
}

/// The transaction that is being read.
#[derive(Default)]
struct Current {
    is_ours: bool,
    /// Its own among what was found: the first write and the first meeting.
    first: Option<(usize, usize)>,
    /// The last change of a checkpoint.
    checkpoint: Option<RowsChange>,
}

impl Reading {
    pub(super) fn new(
        green: ServerVersion,
        followed: Followed,
        position: Position,
        open: Open,
        next_id: u64,
    ) -> Reading {
        Reading {
            green,
            followed,
            tables: HashMap::new(),
            sequences: BTreeSet::new(),
            is_stale: true,
            rules: Rules::of_green(green),
            position,
            announced: None,
            open,
            recent: Recent::default(),
            next_id,
            writes: Vec::new(),
            meetings: Vec::new(),
            transaction: Current::default(),
            renderer: Renderer::default(),
            buffer: RowBuffer::new(),
        }
    }

    /// Green's tables as they are now.
    pub(super) fn set_tables(&mut self, tables: Vec<Table>, sequences: BTreeSet<TableName>) {
        self.tables = watched(tables, self.green.flavor);
        self.sequences = sequences;
        self.is_stale = false;
    }

    /// Takes what the log has next.
    pub(super) fn take(&mut self, assembled: &Assembled) -> Result<()> {
        match assembled {
            Assembled::Part(part) => self.part(part)?,
            Assembled::Transaction(rest) => self.end(rest)?,
            Assembled::Prepared(prepared) => self.position.coordinates = prepared.end.clone(),
            Assembled::Advanced(coordinates) => self.position.coordinates = coordinates.clone(),
            _ => {}
        }
        Ok(())
    }

    /// Whether all that was found may be kept with the position: no transaction is open, and no statement announced.
    pub(super) fn is_settled(&self) -> bool {
        self.transaction.first.is_none() && self.announced.is_none()
    }

    /// Whether what was found may be kept before the position is: no statement is announced.
    pub(super) fn may_keep(&self) -> bool {
        self.announced.is_none()
    }

    /// Takes what was found so far. Where a transaction of the engine is open, its place on blue is not known yet, so what
    /// it met stays.
    pub(super) fn drain(&mut self) -> (Vec<Write>, Vec<Meeting>) {
        let meetings = match (&mut self.transaction.first, self.transaction.is_ours) {
            (Some((_, first)), true) => self.meetings.drain(..std::mem::take(first)).collect(),
            (first, _) => {
                *first = first.map(|_| (0, 0));
                std::mem::take(&mut self.meetings)
            }
        };
        (std::mem::take(&mut self.writes), meetings)
    }

    /// Leaves what was found up to the place from which the next reader shall start, and that place.
    pub(super) fn settle(&mut self) -> Position {
        let Some((position, writes, meetings)) = self.announced.take() else { return self.position.clone() };
        self.writes.truncate(writes);
        self.meetings.truncate(meetings);
        position
    }

    fn part(&mut self, part: &Transaction) -> Result<()> {
        self.transaction.first.get_or_insert((self.writes.len(), self.meetings.len()));
        match announcement(part) {
            Some(true) => self.announced = Some((self.position.clone(), self.writes.len(), self.meetings.len())),
            Some(false) => self.announced = None,
            None => {}
        }
        let is_statement = part.parts == 0 && matches!(part.changes.as_slice(), [Change::Statement(_), ..]);
        self.is_stale |= is_statement;
        self.transaction.is_ours |= (is_statement && self.announced.take().is_some())
            || writes_to_bluegreen(part)
            || self.followed.is_from_elsewhere(part.gtid.as_ref());
        for change in &part.changes {
            match change {
                Change::Rows(rows) if rows.table.name.is_system() => self.own(rows),
                // Values are logged apart from the transaction that sets them, so nothing tells whose they are. Blue's
                // next value replaces whatever somebody else drew.
                Change::Rows(rows) if self.sequences.contains(&rows.table.name) => {}
                Change::Rows(rows) => self.rows(rows, part)?,
                Change::Statement(statement) if !self.transaction.is_ours => self.statement(statement, part)?,
                Change::Statement(_) => {}
                #[expect(unreachable_patterns, reason = "the enum may grow")]
                _ => return Err(Error::internal("an unknown kind of change")),
            }
        }
        Ok(())
    }

    fn end(&mut self, rest: &Transaction) -> Result<()> {
        self.part(rest)?;
        if !self.position.pass(rest.gtids(), rest.end.clone()) {
            return Err(Error::internal("a GTID of the other flavour"));
        }
        let current = std::mem::take(&mut self.transaction);
        let (first_write, first_meeting) = current.first.unwrap_or_default();
        if current.is_ours {
            let blue = current.checkpoint.map(|rows| blue_place(&rows, &mut self.buffer)).transpose()?.flatten();
            let blue = blue.unwrap_or_default();
            self.recent.end(blue.coordinates.clone().unwrap_or_else(|| Coordinates::new("", 0)));
            for meeting in self.meetings.iter_mut().skip(first_meeting) {
                meeting.blue = blue.clone();
                meeting.ids.iter().for_each(|id| self.open.remove(*id));
            }
            return Ok(());
        }
        for write in self.writes.iter_mut().skip(first_write) {
            (write.committed_at_micros, write.thread) = (rest.committed_at_micros, rest.thread);
        }
        Ok(())
    }

    /// A table of the engine's or the server's own.
    fn own(&mut self, rows: &RowsChange) {
        if rows.table.name.schema.eq_ignore_ascii_case("bluegreen") && rows.table.name.table == "checkpoint" {
            self.transaction.checkpoint = Some(rows.clone());
        }
    }

    fn rows(&mut self, rows: &RowsChange, transaction: &Transaction) -> Result<()> {
        let Reading { tables, renderer, buffer, .. } = self;
        let table = tables.get(&rows.table.name).filter(|table| table.fits(rows));
        let mut each = rows.rows(buffer);
        while let Some(row) = each.next()? {
            if !self.transaction.is_ours {
                let mut write = Write::of(rows, &row, table, renderer)?;
                write.id = self.next_id;
                self.next_id += 1;
                write.gtid = transaction.gtid.as_ref().map(ToString::to_string);
                if let Some((how, coordinates)) = self.recent.find(&write.points) {
                    self.meetings.push(Meeting {
                        ids: vec![write.id],
                        how,
                        resolution: Resolution::ForeignStands,
                        after: None,
                        blue: BluePlace { coordinates: Some(coordinates.clone()), gtid: None },
                    });
                }
                self.open.add(write.id, &write.points);
                self.writes.push(write);
                continue;
            }
            let Some(table) = table else { continue };
            let mut remembered = Vec::new();
            for image in row.before.iter().chain(&row.after).filter(|image| !image.is_empty()) {
                remembered.extend(point::of_row_key(table, image, renderer)?);
            }
            point::add_foreign_keys(&mut remembered, table, &row, renderer)?;
            remembered.into_iter().for_each(|point| self.recent.add(point));
            if self.open.is_empty() {
                continue;
            }
            for met in self.open.meet(&points(table, &row, renderer)?) {
                let after = row.after.as_ref().map(|image| table.row(image, renderer)).transpose()?;
                self.meetings.push(Meeting {
                    ids: met.ids,
                    how: met.how,
                    resolution: Resolution::BlueWins,
                    after: after.map(shortened),
                    blue: BluePlace::default(),
                });
            }
        }
        Ok(())
    }

    /// Statements that leave nothing behind are housekeeping.
    fn statement(&mut self, statement: &Statement, transaction: &Transaction) -> Result<()> {
        let mut alone = Transaction::new(statement.start.clone(), statement.end.clone());
        alone.changes.push(Change::Statement(statement.clone()));
        let (ddl, is_known) = match self.rules.statement(&alone) {
            Ok(None) => return Ok(()),
            Ok(Some(ddl)) => (Some(ddl), true),
            Err(_) => (None, false),
        };
        let text = String::from_utf8_lossy(&statement.sql).into_owned();
        // Accounts have secrets in their statements, and what is not known may have, too.
        let is_secret = ddl.as_ref().is_some_and(|ddl| ddl.objects.contains(&Object::Accounts)) || !is_known;
        let text = match is_secret {
            true => text.split_whitespace().take(2).collect::<Vec<_>>().join(" ") + " …",
            false => text,
        };
        let account = statement.context()?.invoker.map(|(user, host)| format!("{user}@{host}"));
        let id = self.next_id;
        self.next_id += 1;
        self.writes.push(Write {
            id,
            table: None,
            kind: "ddl",
            key: None,
            before: None,
            after: None,
            statement: Some(shortened(text)),
            points: Vec::new(),
            at: statement.end.clone(),
            gtid: transaction.gtid.as_ref().map(ToString::to_string),
            committed_at_micros: u64::from(statement.seconds) * 1_000_000,
            thread: Some(statement.thread),
            account,
        });
        Ok(())
    }
}

impl Write {
    fn of(rows: &RowsChange, row: &Row<'_>, table: Option<&Watched>, renderer: &mut Renderer) -> Result<Write> {
        let shown = |image: &Option<_>, renderer: &mut Renderer| -> Result<Option<String>> {
            let Some(image) = image else { return Ok(None) };
            let text = match table {
                Some(table) => table.row(image, renderer)?,
                None => unnamed(rows, image, renderer)?,
            };
            Ok(Some(shortened(text)))
        };
        let (before, after) = (shown(&row.before, renderer)?, shown(&row.after, renderer)?);
        let named = row.before.as_ref().or(row.after.as_ref());
        let key = match (table, named) {
            (Some(table), Some(image)) => Some(shortened(table.key(image, renderer)?)),
            _ => None,
        };
        Ok(Write {
            id: 0,
            table: Some(rows.table.name.clone()),
            kind: match rows.kind {
                ChangeKind::Insert => "insert",
                ChangeKind::Update => "update",
                ChangeKind::Delete => "delete",
            },
            key,
            before,
            after,
            statement: None,
            points: table.map_or(Ok(Vec::new()), |table| points(table, row, renderer))?,
            at: Coordinates { offset: rows.end, ..rows.start.clone() },
            gtid: None,
            committed_at_micros: u64::from(rows.seconds) * 1_000_000,
            thread: None,
            account: None,
        })
    }
}

/// All that a change touches: as it was, and as it became.
fn points(table: &Watched, row: &Row<'_>, renderer: &mut Renderer) -> Result<Vec<Point>> {
    let mut points = Vec::new();
    if let Some(before) = &row.before {
        point::add(&mut points, table, before, None, renderer)?;
    }
    if let Some(after) = &row.after {
        point::add(&mut points, table, after, row.before.as_ref(), renderer)?;
    }
    point::add_foreign_keys(&mut points, table, row, renderer)?;
    Ok(points)
}

fn shortened(json: String) -> String {
    match json.len() > MAX_IMAGE_BYTES {
        true => format!("{{\"omitted_bytes\":{}}}", json.len()),
        false => json,
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

/// Where a checkpoint's row says that the engine is in blue's log; see `apply::checkpoint` for its columns.
fn blue_place(rows: &RowsChange, buffer: &mut RowBuffer) -> Result<Option<BluePlace>> {
    let (mut each, mut place) = (rows.rows(buffer), None);
    while let Some(row) = each.next()? {
        let Some(after) = row.after else { continue };
        let text = |index| -> Result<Option<String>> {
            Ok(match after.get(index)? {
                Some(ValueRef::Bytes(bytes)) => Some(String::from_utf8_lossy(bytes).into_owned()),
                _ => None,
            })
        };
        let offset = match after.get(4)? {
            Some(ValueRef::Int(offset)) => Some(offset.cast_unsigned()),
            Some(ValueRef::UInt(offset)) => Some(offset),
            _ => None,
        };
        if text(0)?.is_some_and(|stream| stream.starts_with("forward")) {
            let coordinates = text(3)?.zip(offset).map(|(file, offset)| Coordinates::new(file, offset));
            place = Some(BluePlace { coordinates, gtid: text(6)? });
        }
    }
    Ok(place)
}
