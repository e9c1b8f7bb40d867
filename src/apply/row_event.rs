//! Rows in the log's own form, through the statement `BINLOG`: green stores the bytes that blue stored, without making
//! text of values and values of text again.
//!
//! # Invariants
//! 1. Only rows that green stores in the log's bytes ([`TargetTable::stores`]), of tables with a primary key and without
//!    foreign keys, whose operations do not depend on each other. All others are written as SQL.
//! 2. A row that is not there, or whose key is, is an error of the server (1032, 1062), never passed over: only where its
//!    mode of execution is STRICT and it skips no errors. The `BINLOG` statement has no count of rows.
//! 3. Nothing comes behind row events in a script: servers forget that there is more to answer (MySQL 9.7 and MariaDB 11.8
//!    were seen to), and an error behind would not be heard. All of a group's, whose order does not matter, are its last
//!    statements, each in a script of its own.
//! 4. What the account or the server does not allow is found out when a session is opened; a mode that others can change
//!    is asked for again behind the rows, in front of their commit.
//!
//! An event has the primary key alone of a row as it was, as with `binlog_row_image=MINIMAL`: servers look for the row by
//! that, and compare nothing else (MySQL source, `sql/log_event.cc`, `Rows_log_event::do_index_scan_and_update`; MariaDB
//! source, `sql/log_event_server.cc`, `Rows_log_event::find_row`). Triggers of green do not run.
//!
//! Formats: MySQL source, `libs/mysql/binlog/event/control_events.h`, `Format_description_event`, and `rows_event.h`,
//! `Table_map_event` and `Rows_event`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::statement::{STATEMENT_BYTES, Statement, UNCHANGED_BYTES, unchanged_bytes};
use crate::decode::{Image, RowBuffer, TableMap};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ChangeKind, Flavor};
use crate::net::{Server, Session};
use crate::plan::{self, Group, Op, RowOp, TargetTable};

const HEADER_BYTES: usize = 19;
const TABLE_ID_BYTES: usize = 6;
const BINLOG_VERSION: u16 = 4;
const VERSION_BYTES: usize = 50;
/// Of a table map: the lengths of BIT columns are exact.
const BIT_LENGTHS_ARE_EXACT: u16 = 1;
/// Of a row event: the last one of its statement.
const STATEMENT_END: u16 = 1;
/// Events of these types have a length of their own in front of the body; the format's description lists them all.
const POST_HEADERS: [(u8, u8); 10] =
    [(2, 13), (4, 8), (19, 8), (23, 8), (24, 8), (25, 8), (26, 2), (30, 10), (31, 10), (32, 10)];

/// Row events that grow side by side, by which columns their rows have.
const OPEN_EVENTS: usize = 8;
/// What a statement starts with.
const HEAD: &str = "BINLOG '";

mod kind {
    pub(super) const FORMAT_DESCRIPTION: u8 = 15;
    pub(super) const TABLE_MAP: u8 = 19;
    /// The first version's, which MariaDB writes, as MySQL did before 5.6.
    pub(super) const WRITE_ROWS_V1: u8 = 23;
    /// MySQL's, with extra data.
    pub(super) const WRITE_ROWS: u8 = 30;
}

/// How green takes row events.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowEvents {
    flavor: Flavor,
    server_id: u32,
    /// The mode of execution is the session's, and nobody else changes it.
    has_own_mode: bool,
}

impl RowEvents {
    /// Makes a session take row events; `None`: green does not let this account, or not as they are meant. The session is
    /// of no use then.
    ///
    /// # Errors
    /// What a connection meets.
    pub(super) async fn prepare(session: &mut Session, green: &Server) -> Result<Option<RowEvents>> {
        let logs_rows = !green.binlog.is_on || green.binlog.format == "ROW";
        if !logs_rows || !is_strict(session).await? {
            return Ok(None);
        }
        // MySQL takes what comes behind the description of a format for another server's until it is told otherwise. The
        // clock is set by row events, and has to be put back behind them.
        let own_gtids = match green.version.flavor {
            Flavor::MySql => "SET SESSION gtid_next = 'AUTOMATIC';",
            Flavor::MariaDb => "",
        };
        let description = STANDARD.encode(format_description(green));
        let script = format!("{HEAD}{description}';{own_gtids}{CLOCK_AGAIN}");
        match session.run_all(&script, 2 + usize::from(!own_gtids.is_empty())).await {
            Ok(_) => Ok(Some(RowEvents {
                flavor: green.version.flavor,
                server_id: green.server_id,
                has_own_mode: green.version.is_at_least(Flavor::MySql, (5, 7, 1)),
            })),
            Err((_, error)) if error.kind() == ErrorKind::Disconnected => Err(error),
            Err((_, error)) => {
                tracing::debug!(%error, "green takes no row events of this account, rows are written as SQL");
                Ok(None)
            }
        }
    }

    /// Whether what was just written was written in STRICT mode: some servers have one mode for all, which anybody may
    /// change at any time.
    ///
    /// # Errors
    /// What a connection meets.
    pub(super) async fn were_strict(self, session: &mut Session) -> Result<bool> {
        Ok(self.has_own_mode || is_strict(session).await?)
    }

    /// The number of a row event's type.
    fn kind(self, change: ChangeKind) -> u8 {
        let first = match self.flavor {
            Flavor::MySql => kind::WRITE_ROWS,
            Flavor::MariaDb => kind::WRITE_ROWS_V1,
        };
        match change {
            ChangeKind::Insert => first,
            ChangeKind::Update => first + 1,
            ChangeKind::Delete => first + 2,
        }
    }
}

/// Puts the session's clock back, which a row event stops at its own time.
pub(super) const CLOCK_AGAIN: &str = "SET timestamp = DEFAULT";

/// Whether a row that is not there is an error, and a value of another type too.
async fn is_strict(session: &mut Session) -> Result<bool> {
    let rows = session
        .rows(
            "SHOW SESSION VARIABLES WHERE Variable_name IN ('rbr_exec_mode', 'slave_exec_mode', 'replica_exec_mode', \
             'slave_type_conversions', 'replica_type_conversions', 'slave_skip_errors', 'replica_skip_errors')",
        )
        .await?;
    let get = |name: &str| rows.iter().find(|row| row.text(0).eq_ignore_ascii_case(name)).map(|row| row.text(1));
    let conversions = get("replica_type_conversions").or_else(|| get("slave_type_conversions"));
    // MySQL from 5.7 on has a mode for what a client sends; before, and on MariaDB, it is the replica's.
    let mode = get("rbr_exec_mode").or_else(|| get("slave_exec_mode"));
    let skipped = get("replica_skip_errors").or_else(|| get("slave_skip_errors"));
    let hears_errors = matches!(skipped.as_deref(), Some("OFF" | ""));
    Ok(hears_errors && mode.as_deref() == Some("STRICT") && conversions.as_deref() == Some(""))
}

fn format_description(green: &Server) -> Vec<u8> {
    let mut body = Vec::from(BINLOG_VERSION.to_le_bytes());
    let (version, is_mariadb) = (green.version, green.version.flavor == Flavor::MariaDb);
    let suffix = if is_mariadb { "-MariaDB" } else { "" };
    body.extend(format!("{}.{}.{}{suffix}", version.major, version.minor, version.patch).as_bytes());
    body.resize(2 + VERSION_BYTES, 0);
    // When a server started: none did.
    body.extend([0; 4]);
    body.push(HEADER_BYTES as u8);
    let (lengths, types) = (body.len(), if is_mariadb { 27 } else { 35 });
    body.resize(lengths + types, 0);
    for (kind, length) in POST_HEADERS {
        if let Some(place) = body.get_mut(lengths + usize::from(kind) - 1) {
            *place = length;
        }
    }
    body[lengths + usize::from(kind::FORMAT_DESCRIPTION) - 1] = (lengths + types) as u8;
    // No checksums, and the place of this event's own.
    body.extend([0; 5]);
    let mut event = Vec::new();
    write_header(&mut event, kind::FORMAT_DESCRIPTION, green.server_id, 0, body.len());
    event.extend(body);
    event
}

fn write_header(out: &mut Vec<u8>, kind: u8, server_id: u32, seconds: u32, body_bytes: usize) {
    out.extend(seconds.to_le_bytes());
    out.push(kind);
    out.extend(server_id.to_le_bytes());
    out.extend(((HEADER_BYTES + body_bytes) as u32).to_le_bytes());
    // The place in a log, and flags: none.
    out.extend([0; 6]);
}

/// Row events of one kind on one table while they grow.
pub(super) struct Events<'g> {
    form: RowEvents,
    group: &'g Group,
    table: &'g TargetTable,
    /// The columns of the primary key, in ascending order.
    key: Vec<usize>,
    longest_row: usize,
    /// The log's table that was last asked about, and the columns of which only the values tell; `None`: not stored alike.
    asked: (*const TableMap, Option<Vec<usize>>),
    open: Vec<Rows>,
    before: RowBuffer,
    after: RowBuffer,
}

/// A row event whose rows have the same columns.
struct Rows {
    change: ChangeKind,
    table_map: Vec<u8>,
    /// The columns of an update's image after, where that has not all.
    changed: Option<Vec<usize>>,
    bytes: Vec<u8>,
    /// When blue wrote the first of them.
    seconds: u32,
}

impl<'g> Events<'g> {
    pub(super) fn new(form: RowEvents, group: &'g Group, table: &'g TargetTable, longest_row: usize) -> Events<'g> {
        let mut key = table.row_key.clone().unwrap_or_default();
        key.sort_unstable();
        let (before, after) = (RowBuffer::new(), RowBuffer::new());
        Events {
            form,
            group,
            table,
            key,
            longest_row,
            asked: (std::ptr::null(), None),
            open: Vec::new(),
            before,
            after,
        }
    }

    /// Adds an operation's row, if green can take it so. Events that are full go to `done`.
    ///
    /// # Errors
    /// `Corrupt`, `Internal`.
    pub(super) fn add(&mut self, op: &Op, done: &mut Vec<RowEvent>) -> Result<bool> {
        let group = self.group;
        let (mut first_buffer, mut after_buffer) = (std::mem::take(&mut self.before), std::mem::take(&mut self.after));
        let (before, after) = match op.row {
            RowOp::Insert(place) => (None, Some(group.after(place, &mut after_buffer)?)),
            RowOp::Delete(place) => (Some(group.before(place, &mut first_buffer)?), None),
            RowOp::Update { before, after, .. } => {
                (Some(group.before(before, &mut first_buffer)?), Some(group.after(after, &mut after_buffer)?))
            }
        };
        let is_stored = self.stores(before.as_ref())? && self.stores(after.as_ref())?;
        let is_added = is_stored && self.write(op, before.as_ref(), after.as_ref(), done).is_some();
        (self.before, self.after) = (first_buffer, after_buffer);
        Ok(is_added)
    }

    /// Gives what is left.
    pub(super) fn finish(self, done: &mut Vec<RowEvent>) {
        let Events { form, table, key, open, .. } = self;
        done.extend(open.into_iter().filter(|rows| !rows.bytes.is_empty()).map(|rows| rows.event(form, table, &key)));
    }

    /// Whether green stores an image in the log's bytes.
    fn stores(&mut self, image: Option<&Image<'_>>) -> Result<bool> {
        let Some(image) = image else { return Ok(true) };
        // The group holds its tables: no other one can be at this address.
        let wire = std::ptr::from_ref(image.table());
        if self.asked.0 != wire {
            self.asked = (wire, self.table.stores(image.table()));
        }
        match &self.asked.1 {
            Some(columns) => plan::is_text(image, columns, self.table),
            None => Ok(false),
        }
    }

    /// `None`: nothing was written.
    fn write(
        &mut self,
        op: &Op,
        before: Option<&Image<'_>>,
        after: Option<&Image<'_>>,
        done: &mut Vec<RowEvent>,
    ) -> Option<()> {
        let changed = before.zip(after).and_then(|(before, after)| changed_columns(self.table, before, after));
        let number = match self.open.iter().position(|rows| rows.changed == changed) {
            Some(number) => number,
            None if self.open.len() < OPEN_EVENTS => {
                let table_map = table_map(self.table, before.or(after)?.table());
                self.open.push(Rows { change: op.row.kind(), table_map, changed, bytes: Vec::new(), seconds: 0 });
                self.open.len() - 1
            }
            None => return None,
        };
        let rows = self.open.get_mut(number)?;
        let start = rows.bytes.len();
        if rows.write(&self.key, before, after).is_none() || rows.bytes.len() - start > self.longest_row {
            rows.bytes.truncate(start);
            return None;
        }
        if start == 0 {
            rows.seconds = self.group.seconds(op);
        }
        if rows.bytes.len() >= STATEMENT_BYTES.min(self.longest_row) {
            let rows = self.open.swap_remove(number);
            done.push(rows.event(self.form, self.table, &self.key));
        }
        Some(())
    }
}

impl Rows {
    /// `None`: an image is not there as it has to be, and what was written is to be thrown away.
    fn write(&mut self, key: &[usize], before: Option<&Image<'_>>, after: Option<&Image<'_>>) -> Option<()> {
        if let Some(before) = before {
            before.write_raw_columns(key, &mut self.bytes)?;
        }
        match (after, &self.changed) {
            (Some(after), Some(changed)) => after.write_raw_columns(changed, &mut self.bytes)?,
            (Some(after), None) => self.bytes.extend_from_slice(after.raw()?),
            (None, _) => {}
        }
        Some(())
    }

    fn event(self, form: RowEvents, table: &TargetTable, key: &[usize]) -> RowEvent {
        let mut body = Vec::with_capacity(self.bytes.len() + 64);
        if form.flavor == Flavor::MySql {
            // No extra data: its length alone.
            body.extend(2_u16.to_le_bytes());
        }
        let count = table.columns.len();
        write_packed(&mut body, count);
        body.extend(match self.change {
            ChangeKind::Insert => bitmap(count, 0..count),
            ChangeKind::Update | ChangeKind::Delete => bitmap(count, key.iter().copied()),
        });
        match &self.changed {
            Some(changed) => body.extend(bitmap(count, changed.iter().copied())),
            None if self.change == ChangeKind::Update => body.extend(bitmap(count, 0..count)),
            None => {}
        }
        body.extend(self.bytes);
        RowEvent { kind: form.kind(self.change), seconds: self.seconds, table_map: self.table_map, body }
    }
}

/// A row event, and the table map that it needs.
pub(super) struct RowEvent {
    kind: u8,
    seconds: u32,
    /// All behind the table's id.
    table_map: Vec<u8>,
    /// All behind the table's id and the flags.
    body: Vec<u8>,
}

impl RowEvents {
    /// Statements of at most some `bytes`, but for one of a single event that is longer.
    pub(super) fn statements(self, events: &[RowEvent], bytes: usize) -> Vec<Statement> {
        let (mut statements, mut rest) = (Vec::new(), events);
        while !rest.is_empty() {
            let mut left = bytes / 4 * 3;
            let fits = |event: &&RowEvent| {
                let length = event.body.len() + event.table_map.len() + 64;
                let fits = length <= left;
                left = left.saturating_sub(length);
                fits
            };
            let count = rest.iter().take_while(fits).count().max(1);
            let (these, others) = rest.split_at(count);
            statements.push(self.statement(these));
            rest = others;
        }
        statements
    }

    /// One statement, as of a statement of blue on several tables: the tables first, then the rows.
    fn statement(self, events: &[RowEvent]) -> Statement {
        let mut tables: Vec<&[u8]> = Vec::new();
        for event in events {
            if !tables.contains(&event.table_map.as_slice()) {
                tables.push(&event.table_map);
            }
        }
        let seconds = events.first().map_or(0, |event| event.seconds);
        let length = events.iter().map(|event| event.body.len() + event.table_map.len() + 64).sum();
        let mut bytes = Vec::with_capacity(length);
        for (number, table_map) in tables.iter().enumerate() {
            write_header(&mut bytes, kind::TABLE_MAP, self.server_id, seconds, TABLE_ID_BYTES + table_map.len());
            write_table_id(&mut bytes, number);
            bytes.extend_from_slice(table_map);
        }
        for (index, event) in events.iter().enumerate() {
            let number = tables.iter().position(|table| *table == event.table_map).unwrap_or(tables.len());
            let flags = if index + 1 == events.len() { STATEMENT_END } else { 0 };
            let body_bytes = TABLE_ID_BYTES + 2 + event.body.len();
            write_header(&mut bytes, event.kind, self.server_id, event.seconds, body_bytes);
            write_table_id(&mut bytes, number);
            bytes.extend(flags.to_le_bytes());
            bytes.extend_from_slice(&event.body);
        }
        let mut sql = String::with_capacity(bytes.len().div_ceil(3) * 4 + 16);
        sql.push_str(HEAD);
        STANDARD.encode_string(&bytes, &mut sql);
        sql.push('\'');
        Statement { sql, expected: Some(0) }
    }
}

/// The id by which the row events of one statement name their tables: any will do but the largest, "no table".
fn write_table_id(out: &mut Vec<u8>, number: usize) {
    out.extend_from_slice(&(number as u64 + 1).to_le_bytes()[..TABLE_ID_BYTES]);
}

/// Of a long row of which little changes the columns that do; `None`: all are written.
fn changed_columns(table: &TargetTable, before: &Image<'_>, after: &Image<'_>) -> Option<Vec<usize>> {
    if after.len_bytes() < UNCHANGED_BYTES || unchanged_bytes(table, before, after) < UNCHANGED_BYTES {
        return None;
    }
    let changed: Vec<usize> = (0..table.columns.len()).filter(|&index| !before.is_same_at(after, index)).collect();
    (!changed.is_empty()).then_some(changed)
}

/// A table map behind the table's id. The columns are as `wire` has them, which is as green has them.
fn table_map(table: &TargetTable, wire: &TableMap) -> Vec<u8> {
    let mut body = Vec::from(BIT_LENGTHS_ARE_EXACT.to_le_bytes());
    for name in [&table.name.schema, &table.name.table] {
        body.push(name.len() as u8);
        body.extend(name.as_bytes());
        body.push(0);
    }
    write_packed(&mut body, wire.columns.len());
    let mut metadata = Vec::new();
    for column in &wire.columns {
        body.push(column.write_format(&mut metadata));
    }
    write_packed(&mut body, metadata.len());
    body.extend(metadata);
    let columns = wire.columns.iter().enumerate();
    let nullable = columns.filter(|(_, column)| column.is_nullable).map(|(index, _)| index);
    body.extend(bitmap(wire.columns.len(), nullable));
    body
}

/// A bit for each of `count` columns, from the lowest of the first byte on; set for `columns`.
fn bitmap(count: usize, columns: impl Iterator<Item = usize>) -> Vec<u8> {
    let mut bits = vec![0; count.div_ceil(8)];
    for index in columns {
        bits[index / 8] |= 1 << (index % 8);
    }
    bits
}

/// A number in one byte, or in two behind a byte that says so.
fn write_packed(out: &mut Vec<u8>, number: usize) {
    match u8::try_from(number) {
        Ok(number @ 0..251) => out.push(number),
        _ => {
            out.push(252);
            out.extend((number as u16).to_le_bytes());
        }
    }
}

impl Statement {
    /// Whether it is one of row events.
    pub(super) fn is_row_events(&self) -> bool {
        self.sql.starts_with(HEAD)
    }
}

/// Whether green may have refused row events that it takes as SQL: what nobody thought of is found out by going on with
/// care, and never by ending the stream.
pub(super) fn may_be_refusal(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Refused | ErrorKind::Privilege)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The types and bodies of a statement's events.
    fn events(statement: &Statement) -> Vec<(u8, Vec<u8>)> {
        let base64 = statement.sql.strip_prefix(HEAD).unwrap().strip_suffix('\'').unwrap();
        let (bytes, mut events) = (STANDARD.decode(base64).unwrap(), Vec::new());
        let mut rest = bytes.as_slice();
        while let Some((header, _)) = rest.split_at_checked(HEADER_BYTES) {
            let length = u32::from_le_bytes(header[9..13].try_into().unwrap()) as usize;
            events.push((header[4], rest[HEADER_BYTES..length].to_vec()));
            rest = &rest[length..];
        }
        assert!(rest.is_empty());
        events
    }

    fn event(kind: u8, table: u8, body_bytes: usize) -> RowEvent {
        RowEvent { kind, seconds: 1, table_map: vec![table; 3], body: vec![7; body_bytes] }
    }

    #[test]
    fn a_statement_has_each_table_once_and_ends_with_its_last_rows() {
        let form = RowEvents { flavor: Flavor::MySql, server_id: 3, has_own_mode: true };
        let statements = form.statements(&[event(30, 1, 10), event(31, 2, 10), event(32, 1, 10)], 4096);
        let [statement] = statements.as_slice() else { panic!("{} statements", statements.len()) };
        let events = events(statement);
        let kinds: Vec<u8> = events.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, [kind::TABLE_MAP, kind::TABLE_MAP, 30, 31, 32]);
        let ids: Vec<u8> = events.iter().map(|(_, body)| body[0]).collect();
        assert_eq!(ids, [1, 2, 1, 2, 1]);
        let ends: Vec<u8> = events[2..].iter().map(|(_, body)| body[TABLE_ID_BYTES]).collect();
        assert_eq!(ends, [0, 0, 1]);
    }

    #[test]
    fn statements_are_no_longer_than_they_may_but_for_one_event() {
        let form = RowEvents { flavor: Flavor::MariaDb, server_id: 3, has_own_mode: false };
        let lengths = [100, 600, 5000, 100, 100, 900];
        let all: Vec<RowEvent> = lengths.map(|length| event(23, 1, length)).into();
        let statements = form.statements(&all, 2000);
        let counts: Vec<usize> = statements.iter().map(|statement| events(statement).len() - 1).collect();
        assert_eq!(counts, [2, 1, 3]);
        assert!(statements.iter().all(|statement| statement.sql.len() <= 2000 || events(statement).len() == 2));
    }

    #[test]
    fn the_description_lists_the_types_that_are_used() {
        for (version, types) in [("9.7.1", 35), ("11.8.6-MariaDB", 27)] {
            let event = format_description(&Server::sample(1, version.parse().unwrap()));
            assert_eq!(event.len(), HEADER_BYTES + 57 + types + 5);
            assert_eq!(usize::from(event[HEADER_BYTES + 57 + 14]), 57 + types);
            assert!(event[HEADER_BYTES + 2..].starts_with(version.as_bytes()));
        }
    }
}
