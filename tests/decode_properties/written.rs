//! A plan as frames, and what they stand for.

use std::collections::VecDeque;

use bluegreen::decode::DecoderOptions;
use bluegreen::model::{ChangeKind, Coordinates, Flavor, Frame, GtidSet, TableName, Value};
use bluegreen::testkit::{
    Cell, Checksum, ColumnSpec, ColumnType, Event, Gtid, LogWriter, MariaDbGtid, PayloadCompression, Query, Release,
    RowMetadata, TableMap, XaId, gtid_flag, rows_flag,
};

use super::cells::Cells;
use super::plan::{self, End, GtidForm, Metadata, Plan, Rows, Step, Table};

const UUID: [u8; 16] = [7; 16];
/// Where a far log starts: headers run over in its first transactions.
const FAR: u64 = (1 << 32) - 300;

/// A log, and what is in it.
pub(crate) struct Written {
    pub(crate) options: DecoderOptions,
    pub(crate) has_checksums: bool,
    /// Of all files, one behind the other.
    pub(crate) frames: Vec<Frame>,
    pub(crate) transactions: Vec<Transaction>,
    /// Where the log ends.
    pub(crate) end: Coordinates,
}

/// A transaction as it must be read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Transaction {
    pub(crate) start: Coordinates,
    pub(crate) end: Coordinates,
    pub(crate) gtid: Option<String>,
    pub(crate) prepared_gtid: Option<String>,
    pub(crate) changes: Vec<Changed>,
    pub(crate) ended: Ended,
}

impl Default for Transaction {
    fn default() -> Transaction {
        let nowhere = Coordinates::new("", 0);
        Transaction {
            start: nowhere.clone(),
            end: nowhere,
            gtid: None,
            prepared_gtid: None,
            changes: Vec::new(),
            ended: Ended::Committed,
        }
    }
}

/// How it ended; two-phase ones by the global part of their names.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Ended {
    Committed,
    RolledBack,
    Prepared(Vec<u8>),
    CommittedPrepared(Vec<u8>),
    RolledBackPrepared(Vec<u8>),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Changed {
    Rows { table: TableName, kind: ChangeKind, rows: Vec<Row> },
    Statement(Vec<u8>),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) before: Option<Image>,
    pub(crate) after: Option<Image>,
}

/// A value for each column that the image has.
type Image = Vec<Option<Value>>;

pub(crate) fn write(plan: &Plan) -> Written {
    let mut writer = Writer::new(plan);
    for (index, file) in plan.files.iter().enumerate() {
        writer.start_file(index);
        for transaction in file {
            writer.transaction(transaction);
        }
    }
    writer.finish()
}

struct Writer<'p> {
    plan: &'p Plan,
    maps: Vec<TableMap>,
    file: String,
    log: LogWriter,
    /// Of the log, those that are part of the stream.
    first_frame: usize,
    written: Written,
    /// The number of the next transaction, and of its XA name.
    number: u64,
    prepared: VecDeque<XaId>,
}

impl<'p> Writer<'p> {
    fn new(plan: &'p Plan) -> Writer<'p> {
        let start = if plan.is_far { Coordinates::new("", 4) } else { Coordinates::new(file_name(0), 4) };
        let mut options = DecoderOptions::new(plan.release.flavor(), start.clone());
        options.initial_checksum = plan.has_checksums;
        for (index, table) in plan.tables.iter().enumerate() {
            for (column, spec) in table.columns.iter().enumerate() {
                use ColumnType::{OldDateTime, OldTime, OldTimestamp};
                if matches!(spec.kind, OldTime | OldDateTime | OldTimestamp) {
                    options.declare_fraction(table_name(index), column, 0);
                }
            }
        }
        let maps = plan.tables.iter().enumerate().map(|(index, table)| map(plan, index, table)).collect();
        let written = Written {
            options,
            has_checksums: plan.has_checksums,
            frames: Vec::new(),
            transactions: Vec::new(),
            end: start,
        };
        let (file, log) = (file_name(0), new_log(plan));
        Writer { plan, maps, file, log, first_frame: 0, written, number: 1, prepared: VecDeque::new() }
    }

    fn flavor(&self) -> Flavor {
        self.plan.release.flavor()
    }

    fn at(&self) -> Coordinates {
        Coordinates::new(self.file.as_str(), self.log.position())
    }

    /// The head of a file, behind the end of the one before.
    fn start_file(&mut self, index: usize) {
        let next = file_name(index);
        if index > 0 {
            self.log.write(Event::rotate(&next, 4));
            self.take_frames();
            self.log = new_log(self.plan);
            self.first_frame = 0;
        } else if self.plan.is_far {
            // A dump from inside of the file: where it starts, and the head without a place.
            let checksum = if self.plan.has_checksums { Checksum::Crc32 } else { Checksum::None };
            let head = Event::format_description(self.plan.release, checksum);
            self.first_frame = 1;
            self.log.write(Event::artificial_rotate(&next, FAR));
            self.log.write(head.with_log_position(0).streamed_only()).skip_to(FAR);
        }
        self.file = next;
        let release = self.plan.release;
        if !self.plan.is_far || index > 0 {
            match release {
                Release::MySql55 => {}
                _ if self.flavor() == Flavor::MySql => {
                    let mut before = GtidSet::default();
                    before.insert_interval(UUID, "", 1, 7).unwrap();
                    self.log.write(Event::previous_gtids(&before));
                }
                _ => {
                    self.log.write(Event::mariadb_gtid_list(&[(0, 1, 7)]));
                    self.log.write(Event::binlog_checkpoint(&self.file));
                }
            }
        }
    }

    fn take_frames(&mut self) {
        self.written.frames.extend_from_slice(&self.log.frames()[self.first_frame..]);
    }

    fn finish(mut self) -> Written {
        self.take_frames();
        self.written.end = self.at();
        self.written
    }

    fn transaction(&mut self, plan: &plan::Transaction) {
        let number = self.number;
        self.number += 1;
        let end = self.possible_end(plan.end);
        let xa = match end {
            End::CommitPrepared | End::RollBackPrepared => self.prepared.pop_front().unwrap(),
            _ => XaId::new(1, format!("global {number}"), "branch"),
        };
        let start = self.at();
        let (events, changes) = self.events(plan, end, &xa, number);
        let gtid = match self.flavor() {
            Flavor::MySql => self.write_mysql(plan, end, number, events),
            Flavor::MariaDb => self.write_mariadb(end, &xa, number, events),
        };
        let global = xa.global.clone();
        let ended = match end {
            End::RollBack => Ended::RolledBack,
            End::Prepare => Ended::Prepared(global),
            End::CommitPrepared => Ended::CommittedPrepared(global),
            End::RollBackPrepared => Ended::RolledBackPrepared(global),
            End::Xid | End::Commit | End::OnePhase | End::Standalone => Ended::Committed,
        };
        if let End::Prepare = end {
            self.prepared.push_back(xa);
        }
        let transaction = Transaction { start, end: self.at(), gtid, prepared_gtid: None, changes, ended };
        self.written.transactions.push(transaction);
    }

    /// The end that the release and the transactions before allow.
    fn possible_end(&self, end: End) -> End {
        let knows_xa = !matches!(self.plan.release, Release::MySql55 | Release::MySql56);
        match end {
            End::Prepare | End::OnePhase if !knows_xa => End::Xid,
            End::CommitPrepared | End::RollBackPrepared if self.prepared.is_empty() => End::Xid,
            End::OnePhase if self.flavor() == Flavor::MariaDb => End::Commit,
            end => end,
        }
    }

    /// All events behind the GTID, and the changes that remain of them.
    fn events(&self, plan: &plan::Transaction, end: End, xa: &XaId, number: u64) -> (Vec<Event>, Vec<Changed>) {
        let name = format!("X'{}',X'{}',1", hex(&xa.global), hex(&xa.branch));
        let query = |sql: String| vec![Event::from(Query::new("", sql))];
        let (front, back) = match end {
            End::Standalone => {
                let sql = format!("CREATE TABLE t{number} (a INT)");
                return (query(sql.clone()), vec![Changed::Statement(sql.into())]);
            }
            End::CommitPrepared => return (query(format!("XA COMMIT {name}")), Vec::new()),
            End::RollBackPrepared => return (query(format!("XA ROLLBACK {name}")), Vec::new()),
            End::RollBack => return (vec![Query::begin().into(), Query::new("", "ROLLBACK").into()], Vec::new()),
            End::Xid => (Query::begin().into(), vec![Event::xid(number)]),
            End::Commit => (Query::begin().into(), vec![Query::commit().into()]),
            End::Prepare | End::OnePhase => {
                let prepare = Event::xa_prepare(xa, matches!(end, End::OnePhase));
                let back = vec![Query::new("", format!("XA END {name}")).into(), prepare];
                (Query::new("", format!("XA START {name}")).into(), back)
            }
        };
        let mut events = vec![front];
        let (steps, changes) = self.steps(&plan.steps);
        events.extend(steps);
        events.extend(back);
        (events, changes)
    }

    fn steps(&self, steps: &[Step]) -> (Vec<Event>, Vec<Changed>) {
        let (mut events, mut changes) = (Vec::new(), Vec::new());
        let mut savepoints: Vec<(String, usize)> = Vec::new();
        for step in steps {
            match step {
                Step::Rows { has_text, events: rows } => {
                    changes.extend(self.statement(*has_text, rows, &mut events));
                }
                Step::Statement { is_compressed } => {
                    let sql = format!("CREATE TEMPORARY TABLE t{} (a INT)", changes.len());
                    let query = Query::new("s", sql.clone());
                    let is_compressed = *is_compressed && self.flavor() == Flavor::MariaDb;
                    events.push(if is_compressed { query.compressed() } else { query }.into());
                    changes.push(Changed::Statement(sql.into()));
                }
                Step::Savepoint(number) => {
                    let name = format!("s{number}");
                    events.push(Query::new("", format!("SAVEPOINT `{name}`")).into());
                    savepoints.retain(|(known, _)| *known != name);
                    savepoints.push((name, changes.len()));
                }
                Step::RollBack(_) if savepoints.is_empty() => {}
                Step::RollBack(index) => {
                    let index = index.index(savepoints.len());
                    let (name, kept) = &savepoints[index];
                    events.push(Query::new("", format!("ROLLBACK TO `{name}`")).into());
                    changes.truncate(*kept);
                    savepoints.truncate(index + 1);
                }
            }
        }
        (events, changes)
    }

    /// A statement's row events behind the maps of all their tables.
    fn statement(&self, has_text: bool, rows: &[Rows], events: &mut Vec<Event>) -> Vec<Changed> {
        if has_text {
            match self.flavor() {
                Flavor::MySql if self.plan.release == Release::MySql55 => {}
                Flavor::MySql => events.push(Event::rows_query("REPLACE t")),
                Flavor::MariaDb => events.push(Event::annotate_rows("REPLACE t")),
            }
        }
        let mut tables: Vec<usize> = rows.iter().map(|rows| rows.table.index(self.maps.len())).collect();
        tables.sort_unstable();
        tables.dedup();
        events.extend(tables.into_iter().map(|table| self.maps[table].event()));
        let mut changes = Vec::new();
        for (index, one) in rows.iter().enumerate() {
            let (event, change) = self.rows(one, index + 1 == rows.len());
            changes.push(change);
            match one.part.filter(|_| self.plan.release == Release::MariaDb123) {
                Some(size) => events.extend(Event::partial_row_data(&event, size)),
                None => events.push(event),
            }
        }
        changes
    }

    fn rows(&self, plan: &Rows, is_last: bool) -> (Event, Changed) {
        use bluegreen::testkit::Rows;
        let release = self.plan.release;
        let table = plan.table.index(self.maps.len());
        let (map, columns) = (&self.maps[table], &self.plan.tables[table].columns);
        let has_partial = matches!(release, Release::MySql80 | Release::MySql84 | Release::MySql97);
        let is_partial = plan.is_partial && plan.kind == ChangeKind::Update && has_partial;
        let mut event = match plan.kind {
            ChangeKind::Insert => Rows::insert(map),
            ChangeKind::Update if is_partial => Rows::partial_update(map),
            ChangeKind::Update => Rows::update(map),
            ChangeKind::Delete => Rows::delete(map),
        };
        // Servers from 8.4 on do not list the first version at all; 5.5 has no other.
        let knows_both = !matches!(release, Release::MySql55 | Release::MySql84 | Release::MySql97);
        let is_first = release == Release::MySql55 || (plan.is_first_version && knows_both && !is_partial);
        if is_first {
            event = event.written_by(if release.flavor() == Flavor::MySql { Release::MySql55 } else { release });
        }
        if plan.is_compressed && release.flavor() == Flavor::MariaDb {
            event = event.compressed();
        }
        let of = |bits: u16| -> Vec<usize> {
            let some: Vec<usize> = (0..columns.len()).filter(|index| bits >> (index % 16) & 1 == 0).collect();
            if some.is_empty() { (0..columns.len()).collect() } else { some }
        };
        // A partial update is whole only with the document before.
        let (first, after) = (of(if is_partial { 0 } else { plan.without.0 }), of(plan.without.1));
        event = event.flags(if is_last { rows_flag::STATEMENT_END } else { 0 }).columns(&first).after_columns(&after);

        let mut copies = Vec::new();
        for seed in &plan.rows {
            let mut cells = Cells::of_row(*seed);
            let before: Vec<_> = columns.iter().map(|column| cells.cell(column, self.plan.metadata)).collect();
            if plan.kind != ChangeKind::Update {
                let (only, image) = carried(&before, &first);
                event = event.row(&only);
                copies.push(match plan.kind {
                    ChangeKind::Insert => Row { before: None, after: Some(image) },
                    _ => Row { before: Some(image), after: None },
                });
                continue;
            }
            let now: Vec<_> = columns
                .iter()
                .zip(&before)
                .map(|(column, (_, before))| match before {
                    Value::Json(document) if is_partial && seed % 3 > 0 => cells.json_diff(document),
                    _ => cells.cell(column, self.plan.metadata),
                })
                .collect();
            let ((before, before_image), (now, after_image)) = (carried(&before, &first), carried(&now, &after));
            event = event.updated_row(&before, &now);
            copies.push(Row { before: Some(before_image), after: Some(after_image) });
        }
        let changed = Changed::Rows { table: table_name(table), kind: plan.kind, rows: copies };
        (event.into(), changed)
    }

    /// Writes the start and the events; gives the GTID's text.
    fn write_mysql(
        &mut self,
        plan: &plan::Transaction,
        end: End,
        number: u64,
        mut events: Vec<Event>,
    ) -> Option<String> {
        let release = self.plan.release;
        let is_since = |first: Release| release as u8 >= first as u8;
        if let (Some(is_folded), End::Xid, true) = (plan.payload, end, is_since(Release::MySql80)) {
            let compression = if is_folded { PayloadCompression::Zstd } else { PayloadCompression::None };
            events = vec![Event::transaction_payload(&events, compression)];
        }
        let form = match plan.gtid {
            _ if release == Release::MySql55 => GtidForm::None,
            GtidForm::None | GtidForm::Anonymous if release == Release::MySql56 => GtidForm::None,
            GtidForm::None => GtidForm::Anonymous,
            GtidForm::Tagged if !is_since(Release::MySql84) => GtidForm::Plain,
            form => form,
        };
        let uuid = "07070707-0707-0707-0707-070707070707";
        let (mut gtid, text) = match form {
            GtidForm::None => {
                self.write_all(events);
                return None;
            }
            GtidForm::Anonymous => (Gtid::anonymous(), None),
            GtidForm::Plain => (Gtid::new(UUID, number), Some(format!("{uuid}:{number}"))),
            GtidForm::Tagged => (Gtid::new(UUID, number).tag("tag"), Some(format!("{uuid}:tag:{number}"))),
        };
        if is_since(Release::MySql57) {
            gtid = gtid.clock(number as i64 - 1, number as i64);
        }
        if is_since(Release::MySql80) {
            gtid =
                gtid.committed_at(1_790_000_000_000_000, 1_790_000_000_000_000 - number % 2).versions(80_043, 80_043);
        }
        self.log.transaction(gtid, &events);
        text
    }

    /// As [`Writer::write_mysql`]: a group starts with its GTID alone, without BEGIN.
    fn write_mariadb(&mut self, end: End, xa: &XaId, number: u64, mut events: Vec<Event>) -> Option<String> {
        let gtid = match end {
            End::Standalone => MariaDbGtid::ddl(0, 1, number),
            End::Prepare => MariaDbGtid::new(0, 1, number).xa(xa.clone(), false),
            End::CommitPrepared | End::RollBackPrepared => MariaDbGtid::new(0, 1, number).xa(xa.clone(), true),
            _ if number.is_multiple_of(2) => MariaDbGtid::new(0, 1, number).commit_id(number),
            _ => MariaDbGtid::new(0, 1, number).flags(gtid_flag::WAITED).thread(9),
        };
        if events.len() > 1 {
            events.remove(0);
        }
        self.log.write(gtid);
        let has_zero_places =
            self.plan.has_zero_places && matches!(self.plan.release, Release::MariaDb118 | Release::MariaDb123);
        let last = events.pop();
        let place = |event: Event| if has_zero_places { event.with_log_position(0) } else { event };
        self.write_all(events.into_iter().map(place));
        self.write_all(last);
        Some(format!("0-1-{number}"))
    }

    fn write_all(&mut self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            self.log.write(event);
        }
    }
}

/// The cells that an image has, and the image as it is read.
fn carried(row: &[(Cell, Value)], columns: &[usize]) -> (Vec<Cell>, Image) {
    let image = row.iter().enumerate().map(|(index, (_, value))| columns.contains(&index).then(|| value.clone()));
    (columns.iter().map(|index| row[*index].0.clone()).collect(), image.collect())
}

fn map(plan: &Plan, index: usize, table: &Table) -> TableMap {
    let column = |(index, column): (usize, &plan::Column)| {
        let mut spec = ColumnSpec::new(column.kind.clone()).named(&format!("c{index}"));
        if column.is_unsigned {
            spec = spec.unsigned();
        }
        if column.is_nullable {
            spec = spec.nullable();
        }
        spec
    };
    let columns = table.columns.iter().enumerate().map(column).collect();
    let flavor = plan.release.flavor();
    let metadata = match plan.metadata {
        Metadata::None => RowMetadata::None,
        Metadata::Minimal => RowMetadata::Minimal(flavor),
        Metadata::Full => RowMetadata::Full(flavor),
    };
    TableMap::new(100 + index as u64, "s", &table_name(index).table, columns).metadata(metadata)
}

fn table_name(index: usize) -> TableName {
    TableName::new("s", format!("t{index}"))
}

fn file_name(index: usize) -> String {
    format!("bin.{:06}", index + 1)
}

fn new_log(plan: &Plan) -> LogWriter {
    let checksum = if plan.has_checksums { Checksum::Crc32 } else { Checksum::None };
    LogWriter::with_checksum(plan.release, checksum)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
