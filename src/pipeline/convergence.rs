//! A stream that is interrupted anywhere comes to what blue has: logs of the testkit through the real decoder and the real
//! planner to a model of green in memory, whole or over any number of lanes.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::replication::planner;
use crate::apply::Checkpoint;
use crate::decode::{Assembled, Assembler, DecoderOptions, Image, RowBuffer, ValueRef};
use crate::model::{
    Column, ColumnKind, Coordinates, Flavor, Frame, Gtid, GtidPosition, MariaDbGtid, MySqlGtid, Position,
    ServerIdentity, ServerVersion, Table, TableName, UniqueKey,
};
use crate::net::Server;
use crate::plan::{Group, Planner, RowOp};
use crate::testkit::{self, Cell, Checksum, ColumnSpec, Event, LogWriter, Query, Release, Rows, TableMap, XaId};

const FILE: &str = "bin.000001";
const UUID: [u8; 16] = [7; 16];

/// How the stream finds its place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    MySqlFile,
    MySqlGtid,
    MariaDb,
    /// Each start is on another server, where coordinates say nothing.
    MariaDbFailover,
}

/// What somebody does on blue.
#[derive(Debug, Clone)]
enum Action {
    Commit(Vec<Wish>),
    /// Prepares an XA transaction, or, where one of this number is prepared, commits it or rolls it back.
    Xa(u8, bool),
}

/// A change of table `a`, or of `k`, which has no key; where it cannot be made, one like it is.
#[derive(Debug, Clone)]
struct Wish {
    is_keyless: bool,
    deletes: bool,
    id: i64,
    /// The key that the row gets.
    new_id: i64,
    n: i64,
}

/// What becomes of the group at a point between two items of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It stays open.
    Gathers,
    Commits,
    /// It is half done and undone, and tried again.
    IsRetried,
    /// It is half done and undone, and the engine starts again.
    FailsBefore,
    /// It is committed, and the engine starts again without knowing.
    FailsAfter,
    /// Its shares wait for their lanes, of which this one commits its next.
    IsShared(usize),
    /// The same, and the engine starts again.
    IsSharedAndFails(usize),
}

/// Rows by table: a key and a number; without a key the number is its own key, with how often it is there.
type Tables = BTreeMap<&'static str, BTreeMap<i64, i64>>;

/// Both tables are there from the start: a group whose changes cancel out leaves none behind.
fn no_rows() -> Tables {
    ["a", "k"].map(|name| (name, BTreeMap::new())).into()
}

#[derive(Debug, Clone, Default)]
struct Change {
    table: &'static str,
    before: Option<(i64, i64)>,
    after: Option<(i64, i64)>,
}

fn make(tables: &mut Tables, change: &Change) {
    let rows = tables.entry(change.table).or_default();
    if let Some((key, n)) = change.before {
        match change.table {
            "k" => {
                let count = rows.get_mut(&key).expect("a row that is not there goes");
                *count -= 1;
                if *count == 0 {
                    rows.remove(&key);
                }
            }
            _ => assert_eq!(rows.remove(&key), Some(n), "a row is not as it was"),
        }
    }
    if let Some((key, n)) = change.after {
        match change.table {
            "k" => *rows.entry(key).or_default() += 1,
            _ => assert_eq!(rows.insert(key, n), None, "a row is there already"),
        }
    }
}

fn fulfil(tables: &Tables, wish: &Wish) -> Option<Change> {
    let table = if wish.is_keyless { "k" } else { "a" };
    let row = |key| tables.get(table).and_then(|rows| rows.get(&key)).map(|n| (key, *n));
    let (before, after) = match wish.is_keyless {
        true if wish.deletes => (Some((row(wish.n)?.0, 0)), None),
        true => (None, Some((wish.n, 0))),
        false => {
            let (before, is_free) = (row(wish.id), row(wish.new_id).is_none());
            let id = if before.is_some() && is_free { wish.new_id } else { wish.id };
            (before, (!wish.deletes).then_some((id, wish.n)))
        }
    };
    (before.is_some() || after.is_some()).then_some(Change { table, before, after })
}

/// Blue: its rows, and its log in groups of events.
struct Blue {
    place: Place,
    writer: LogWriter,
    groups: Vec<Logged>,
    tables: Tables,
    prepared: BTreeMap<u8, Vec<Change>>,
    /// The last number of each domain.
    numbers: BTreeMap<u32, u64>,
    /// The rows after each number of transactions.
    states: Vec<Tables>,
    row_changes: u64,
}

struct Logged {
    gtid: Option<Gtid>,
    start: u64,
    frames: std::ops::Range<usize>,
}

impl Blue {
    fn new(place: Place) -> Blue {
        Blue {
            place,
            writer: LogWriter::with_checksum(release(place), Checksum::None),
            groups: Vec::new(),
            tables: no_rows(),
            prepared: BTreeMap::new(),
            numbers: BTreeMap::new(),
            states: vec![no_rows()],
            row_changes: 0,
        }
    }

    fn act(&mut self, number: usize, action: &Action) {
        match action {
            Action::Commit(wishes) => {
                let mut changes = Vec::new();
                for wish in wishes {
                    let Some(change) = fulfil(&self.tables, wish) else { continue };
                    make(&mut self.tables, &change);
                    changes.push(change);
                }
                self.log(number, None, &changes, [Query::begin().into()], Event::xid(number as u64));
                self.committed(&changes);
            }
            Action::Xa(xa, commits) => match self.prepared.remove(xa) {
                None => {
                    // Nobody else has these rows.
                    let row = Some((1000 + number as i64, number as i64));
                    let keyless = Change { table: "k", before: None, after: row };
                    let changes = vec![Change { table: "a", before: None, after: row }, keyless];
                    let start = Query::new("", format!("XA START {}", xid(*xa)));
                    let id = xa_id(*xa);
                    self.log(
                        number,
                        Some((xa_id(*xa), false)),
                        &changes,
                        [start.into()],
                        Event::xa_prepare(&id, false),
                    );
                    self.prepared.insert(*xa, changes);
                }
                Some(changes) => {
                    let verb = if *commits { "COMMIT" } else { "ROLLBACK" };
                    let end = Query::new("", format!("XA {verb} {}", xid(*xa)));
                    self.log(number, Some((xa_id(*xa), true)), &[], [], end.into());
                    let changes = if *commits { changes } else { Vec::new() };
                    changes.iter().for_each(|change| make(&mut self.tables, change));
                    self.committed(&changes);
                }
            },
        }
    }

    fn committed(&mut self, changes: &[Change]) {
        self.states.push(self.tables.clone());
        self.row_changes += changes.len() as u64;
    }

    fn log<const N: usize>(
        &mut self,
        number: usize,
        xa: Option<(XaId, bool)>,
        changes: &[Change],
        begin: [Event; N],
        end: Event,
    ) {
        let (start, first) = (self.writer.position(), self.writer.frames().len());
        let domain = number as u32 % 2;
        let is_mariadb = release(self.place).flavor() == Flavor::MariaDb;
        // A transaction may be prepared in one domain and end in another.
        let count = self.numbers.entry(if is_mariadb { domain } else { 0 }).or_default();
        *count += 1;
        let count = *count;
        let gtid = match self.place {
            Place::MySqlFile => None,
            Place::MySqlGtid => Some(Gtid::MySql(MySqlGtid::new(UUID, "", count).unwrap())),
            Place::MariaDb | Place::MariaDbFailover => {
                Some(Gtid::MariaDb(MariaDbGtid { domain, server: 1, sequence: count }))
            }
        };
        match self.place {
            Place::MySqlFile => {
                self.writer.write(testkit::Gtid::anonymous());
            }
            Place::MySqlGtid => {
                self.writer.write(testkit::Gtid::new(UUID, count));
            }
            Place::MariaDb | Place::MariaDbFailover => {
                let event = testkit::MariaDbGtid::new(domain, 1, count);
                self.writer.write(match xa {
                    None => event,
                    Some((id, is_completed)) => event.xa(id, is_completed),
                });
            }
        }
        if !is_mariadb {
            for event in begin {
                self.writer.write(event);
            }
        }
        for change in changes {
            let map = TableMap::new(9, "s", change.table, vec![ColumnSpec::int(), ColumnSpec::int()]);
            let cells = |row: (i64, i64)| [Cell::Int(row.0), Cell::Int(row.1)];
            let rows = match (change.before, change.after) {
                (None, Some(after)) => Rows::insert(&map).row(&cells(after)),
                (Some(before), None) => Rows::delete(&map).row(&cells(before)),
                (Some(before), Some(after)) => Rows::update(&map).updated_row(&cells(before), &cells(after)),
                (None, None) => continue,
            };
            self.writer.write(map.event()).write(rows);
        }
        self.writer.write(end);
        self.groups.push(Logged { gtid, start, frames: first..self.writer.frames().len() });
    }

    /// What blue sends to a stream that starts at a position.
    fn dump(&self, start: &Position) -> Vec<Frame> {
        let mut head = LogWriter::with_checksum(release(self.place), Checksum::None);
        let description = Event::format_description(release(self.place), Checksum::None);
        let first = if start.gtid.is_some() { 4 } else { start.coordinates.offset };
        head.write(Event::artificial_rotate(FILE, first)).write(description.with_log_position(0).streamed_only());
        let is_sent = |group: &&Logged| match (&start.gtid, &group.gtid) {
            (Some(GtidPosition::MySql(set)), Some(Gtid::MySql(gtid))) => !set.contains(gtid),
            (Some(GtidPosition::MariaDb(list)), Some(Gtid::MariaDb(gtid))) => {
                !list.iter().any(|last| last.domain == gtid.domain && last.sequence >= gtid.sequence)
            }
            _ => group.start >= start.coordinates.offset,
        };
        let sent = self.groups.iter().filter(is_sent).flat_map(|group| &self.writer.frames()[group.frames.clone()]);
        head.frames()[1..].iter().chain(sent).cloned().collect()
    }
}

fn release(place: Place) -> Release {
    match place {
        Place::MySqlFile | Place::MySqlGtid => Release::MySql80,
        Place::MariaDb | Place::MariaDbFailover => Release::MariaDb1011,
    }
}

fn xid(number: u8) -> String {
    format!("X'{number:02x}',X'',1")
}

fn xa_id(number: u8) -> XaId {
    XaId::new(1, [number], [])
}

fn table(name: &str) -> Table {
    let column = |name: &str| Column {
        name: name.into(),
        kind: ColumnKind::Integer(4),
        full_type: "int".into(),
        is_unsigned: false,
        is_nullable: false,
        is_generated: false,
        charset: None,
        collation: None,
        length: None,
    };
    let key = UniqueKey { name: "PRIMARY".into(), columns: vec![0], is_row_key: true, is_whole: true };
    Table {
        name: TableName::new("s", name),
        columns: vec![column("id"), column("n")],
        unique_keys: if name == "k" { Vec::new() } else { vec![key] },
        engine: "InnoDB".into(),
        references: Vec::new(),
    }
}

/// Green: its rows, and the checkpoints that are written with them.
struct Green {
    tables: Tables,
    checkpoint: Checkpoint,
    /// Those of lanes; none: green is a prefix.
    lanes: Vec<Checkpoint>,
}

fn advance(checkpoint: &mut Checkpoint, group: &Group) {
    checkpoint.position = group.position.clone();
    checkpoint.resume = group.resume.clone();
    checkpoint.transactions += group.transactions;
    checkpoint.row_changes += group.row_changes;
}

impl Green {
    /// What a start finds, as `checkpoint::read` does.
    fn found(&self) -> Checkpoint {
        let last = self.lanes.iter().min_by_key(|lane| lane.transactions).unwrap_or(&self.checkpoint);
        Checkpoint { lanes: self.lanes.iter().map(|lane| lane.position.clone()).collect(), ..last.clone() }
    }

    /// Ends the lanes with it.
    fn commit(&mut self, group: &Group, source: &ServerIdentity) {
        self.checkpoint = Checkpoint { source: source.clone(), ..self.found() };
        self.lanes.clear();
        self.checkpoint.lanes.clear();
        change(&mut self.tables, group, group.ops.len());
        advance(&mut self.checkpoint, group);
    }

    fn commit_share(&mut self, lane: usize, share: &Group) {
        change(&mut self.tables, share, share.ops.len());
        advance(&mut self.lanes[lane], share);
    }

    /// Half of it, and back.
    fn undo(&self, group: &Group) {
        change(&mut self.tables.clone(), group, group.ops.len() / 2);
    }
}

fn change(tables: &mut Tables, group: &Group, count: usize) {
    for op in &group.ops[..count] {
        let (first, second) = (&mut RowBuffer::new(), &mut RowBuffer::new());
        let (before, after) = match op.row {
            RowOp::Insert(place) => (None, Some(group.after(place, second).unwrap())),
            RowOp::Delete(place) => (Some(group.before(place, first).unwrap()), None),
            RowOp::Update { before, after, .. } => {
                (Some(group.before(before, first).unwrap()), Some(group.after(after, second).unwrap()))
            }
        };
        let table = if op.table.name.table == "k" { "k" } else { "a" };
        make(tables, &Change { table, before: before.map(read), after: after.map(read) });
    }
}

fn read(image: Image<'_>) -> (i64, i64) {
    let value = |index| match image.get(index).unwrap().unwrap() {
        ValueRef::Int(number) => number,
        other => panic!("{other:?}"),
    };
    (value(0), value(1))
}

/// An engine with lanes, each of which has shares that wait for it.
struct Engine<'a> {
    blue: &'a Blue,
    green: &'a mut Green,
    source: ServerIdentity,
    planner: Planner,
    waiting: Vec<VecDeque<Group>>,
    must_be_whole: bool,
}

impl Engine<'_> {
    fn commit_next(&mut self, lane: usize) {
        if let Some(share) = self.waiting.get_mut(lane).and_then(VecDeque::pop_front) {
            self.green.commit_share(lane, &share);
        }
    }

    fn wait_for_lanes(&mut self) {
        for lane in 0..self.waiting.len() {
            while !self.waiting[lane].is_empty() {
                self.commit_next(lane);
            }
        }
    }

    fn commit(&mut self, group: &Group) {
        self.wait_for_lanes();
        self.must_be_whole = group.resume.is_some();
        self.green.commit(group, &self.source);
        self.assert_prefix();
    }

    fn end_lanes(&mut self) {
        self.wait_for_lanes();
        let found = self.green.found();
        assert!(found.is_level());
        self.green.checkpoint = Checkpoint { lanes: Vec::new(), ..found };
        self.green.lanes.clear();
        self.assert_prefix();
    }

    fn assert_prefix(&self) {
        let state = &self.blue.states[self.green.checkpoint.transactions as usize];
        assert_eq!(&self.green.tables, state, "green is no prefix of blue");
    }

    fn share_out(&mut self, group: Group) {
        if self.must_be_whole || group.resume.is_some() || self.waiting.is_empty() {
            return self.commit(&group);
        }
        let mut shares = group.spread(self.waiting.len()).unwrap();
        if let [whole] = &mut shares[..] {
            return self.commit(whole);
        }
        if self.green.lanes.is_empty() {
            let start = Checkpoint { source: self.source.clone(), ..self.green.checkpoint.clone() };
            self.green.lanes = vec![start; shares.len()];
        }
        self.waiting.iter_mut().zip(shares).for_each(|(lane, share)| lane.push_back(share));
    }
}

/// Runs an engine from the checkpoint until its fate ends it, or the log ends: `true` then.
fn run(blue: &Blue, green: &mut Green, server: &Server, lanes: usize, fates: &mut impl Iterator<Item = Fate>) -> bool {
    let flavor = release(blue.place).flavor();
    let found = green.found();
    let planner = planner(["a", "k"].map(table).into(), flavor, server, &found);
    // As `session` does.
    if found.is_level() {
        green.lanes.clear();
        green.checkpoint = Checkpoint { lanes: Vec::new(), ..found.clone() };
    }
    let start = found.start_again();
    let options = DecoderOptions::new(flavor, start.coordinates.clone());
    let mut assembler = Assembler::new(options).with_unprepared(found.resume.is_some());
    let must_be_whole = !green.lanes.is_empty() || found.resume.is_some();
    let waiting = if lanes > 1 { vec![VecDeque::new(); lanes] } else { Vec::new() };
    let mut engine = Engine { blue, green, source: server.identity.clone(), planner, waiting, must_be_whole };
    for frame in blue.dump(start) {
        assembler.push(frame).unwrap();
        while let Some(item) = assembler.next().unwrap() {
            add(&mut engine.planner, item);
            let fate = fates.next().unwrap_or(Fate::Commits);
            let group = if fate == Fate::Gathers { None } else { engine.planner.take() };
            if let Some(group) = group {
                if matches!(fate, Fate::IsRetried | Fate::FailsBefore) {
                    engine.wait_for_lanes();
                    engine.green.undo(&group);
                }
                match fate {
                    Fate::FailsBefore => {}
                    Fate::IsShared(_) | Fate::IsSharedAndFails(_) => engine.share_out(group),
                    _ => engine.commit(&group),
                }
            }
            if let Fate::IsShared(lane) | Fate::IsSharedAndFails(lane) = fate {
                engine.commit_next(lane);
            }
            if matches!(fate, Fate::FailsBefore | Fate::FailsAfter | Fate::IsSharedAndFails(_)) {
                return false;
            }
        }
    }
    match engine.planner.take() {
        Some(group) => engine.commit(&group),
        None => engine.end_lanes(),
    }
    true
}

/// As the planning stage does.
fn add(planner: &mut Planner, item: Assembled) {
    match item {
        Assembled::Transaction(transaction) if planner.passes(&transaction).unwrap() => {}
        Assembled::Transaction(transaction) => planner.add(transaction).unwrap(),
        Assembled::Prepared(prepared) => planner.prepare(prepared).unwrap(),
        Assembled::Advanced(coordinates) => planner.advance(coordinates),
        _ => {}
    }
}

fn places() -> impl Strategy<Value = Place> {
    prop_oneof![Just(Place::MySqlFile), Just(Place::MySqlGtid), Just(Place::MariaDb), Just(Place::MariaDbFailover)]
}

fn actions() -> impl Strategy<Value = Action> {
    let new_id = proptest::option::weighted(0.3, 0..4_i64);
    let wish = (any::<bool>(), proptest::bool::weighted(0.3), 0..4_i64, new_id, 0..3_i64).prop_map(
        |(is_keyless, deletes, id, new_id, n)| Wish { is_keyless, deletes, id, new_id: new_id.unwrap_or(id), n },
    );
    prop_oneof![
        3 => proptest::collection::vec(wish, 0..5).prop_map(Action::Commit),
        2 => (0..3_u8, proptest::bool::weighted(0.7)).prop_map(|(xa, commits)| Action::Xa(xa, commits)),
    ]
}

fn fates() -> impl Strategy<Value = Fate> {
    prop_oneof![
        8 => Just(Fate::Gathers),
        4 => Just(Fate::Commits),
        1 => Just(Fate::IsRetried),
        1 => Just(Fate::FailsBefore),
        1 => Just(Fate::FailsAfter),
        8 => (0..5_usize).prop_map(Fate::IsShared),
        2 => (0..5_usize).prop_map(Fate::IsSharedAndFails),
    ]
}

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(300)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases()) })]
    /// Any transactions, any grouping, any lanes, any fault and any restart leave green as blue is, by way of prefixes of
    /// blue wherever no lane is ahead; and whatever comes a second time does nothing.
    #[test]
    fn green_comes_to_what_blue_has(
        place in places(), actions in proptest::collection::vec(actions(), 1..40),
        fates in proptest::collection::vec(fates(), 0..200), lanes in proptest::collection::vec(1..5_usize, 1..6),
    ) {
        let mut blue = Blue::new(place);
        for (number, action) in actions.iter().enumerate() {
            blue.act(number, action);
        }
        let servers: Vec<Server> = (1..3).map(|id| Server::sample(id, ServerVersion::new(Flavor::MariaDb, 11, 8, 6))).collect();
        let gtid = (place != Place::MySqlFile).then(|| GtidPosition::empty(release(place).flavor()));
        let beginning = Position::new(Coordinates::new(FILE, 4), gtid);
        let checkpoint = Checkpoint::start(servers[0].identity.clone(), beginning.clone());
        let mut green = Green { tables: no_rows(), checkpoint, lanes: Vec::new() };
        let mut lanes = lanes.into_iter().cycle();
        let mut lanes = || lanes.next().unwrap();
        let (mut fates, mut starts) = (fates.into_iter(), 0);
        let mut server = || {
            starts += 1;
            &servers[if place == Place::MariaDbFailover { starts % 2 } else { 0 }]
        };
        while !run(&blue, &mut green, server(), lanes(), &mut fates) {}
        prop_assert_eq!(&green.tables, &blue.tables);
        prop_assert_eq!(green.lanes.len(), 0);
        prop_assert_eq!(green.checkpoint.transactions, blue.states.len() as u64 - 1);
        prop_assert_eq!(green.checkpoint.row_changes, blue.row_changes);
        let waits = !blue.prepared.is_empty() && place != Place::MySqlGtid;
        prop_assert_eq!(green.checkpoint.resume.is_some(), waits);

        // Twice is once: from where it stands, and, where nothing is known but the position, from the beginning.
        let checkpoint = green.checkpoint.clone();
        prop_assert!(run(&blue, &mut green, server(), lanes(), &mut std::iter::empty()));
        // MySQL's set of GTIDs says all; blue never sends again what is in it.
        if place != Place::MySqlGtid {
            green.checkpoint.resume = Some(beginning);
        }
        prop_assert!(run(&blue, &mut green, server(), lanes(), &mut std::iter::empty()));
        prop_assert_eq!(&green.tables, &blue.tables);
        prop_assert_eq!(green.checkpoint.transactions, checkpoint.transactions);
        prop_assert_eq!(green.checkpoint.position.covers(&checkpoint.position), Some(true));
    }
}
