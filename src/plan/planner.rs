use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::lane::Ahead;
use super::merge::Changes;
use super::{Group, RowPlace, TargetTable, mapping};
use crate::decode::{self, Change, Prepared, RowBuffer, RowsChange, TableMap, Transaction, Xid};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ChangeKind, Coordinates, Flavor, Gtid, GtidPosition, Position, Table, TableName};

/// Gathers transactions into groups.
#[derive(Debug)]
pub struct Planner {
    flavor: Flavor,
    tables: HashMap<TableName, Known>,
    /// Tables that are green's own.
    kept: BTreeSet<TableName>,
    /// The changes of each table, or of tables that foreign keys connect.
    units: Vec<Changes>,
    /// Which of them have any.
    changed: Vec<usize>,
    /// How many changes units had before events of the transaction that is being added.
    undo: Vec<(usize, usize)>,
    /// The position after everything that was added.
    position: Position,
    /// The two-phase transactions that wait for a decision, and the position in front of each, oldest first.
    prepared: Vec<(Xid, Position)>,
    replay: Option<Replay>,
    ahead: Option<Ahead>,
    events: Vec<RowsChange>,
    buffer: RowBuffer,
    transactions: u64,
    row_changes: u64,
    bytes: u64,
    kept_bytes: u64,
    committed_at_micros: u64,
    has_moved: bool,
}

/// A stream that was started in front of what green has.
#[derive(Debug)]
struct Replay {
    /// How far the stream is.
    at: Position,
    /// Everything before it is on green.
    applied: Position,
}

/// A table of green.
#[derive(Debug)]
struct Known {
    table: Arc<TargetTable>,
    /// Whose changes its own are among.
    unit: usize,
    /// The log's table that was last checked against it.
    checked: Option<Arc<TableMap>>,
}

impl Planner {
    /// A planner for the `tables` of a green of `flavor`, with everything before `position` applied.
    pub fn new(tables: Vec<Table>, flavor: Flavor, position: Position) -> Planner {
        let mut planner = Planner {
            flavor,
            tables: HashMap::new(),
            kept: BTreeSet::new(),
            units: Vec::new(),
            changed: Vec::new(),
            undo: Vec::new(),
            position,
            prepared: Vec::new(),
            replay: None,
            ahead: None,
            events: Vec::new(),
            buffer: RowBuffer::new(),
            transactions: 0,
            row_changes: 0,
            bytes: 0,
            kept_bytes: 0,
            committed_at_micros: 0,
            has_moved: false,
        };
        planner.set_tables(tables);
        planner
    }

    /// The same for a stream that starts at `start`, before the position: see [`Group::resume`]. What is before `applied`
    /// is on green.
    #[must_use]
    pub fn with_replay(mut self, start: Position, applied: Position) -> Planner {
        self.replay = Some(Replay { at: start, applied });
        self
    }

    /// Passes over the rows of these tables: they are green's own.
    #[must_use]
    pub fn with_kept(mut self, kept: BTreeSet<TableName>) -> Planner {
        self.kept = kept;
        self
    }

    /// The same for a stream that ended while lanes were ahead of the position: how far each was; `None`: at the position.
    /// The first group has what the others lack, and reaches the last of them; until then there is none.
    #[must_use]
    pub fn with_lanes(mut self, lanes: Vec<Option<Position>>) -> Planner {
        self.ahead = Some(Ahead::new(lanes));
        self
    }

    /// Takes green's tables as they are now: after a statement changed them. The group must be empty: one that was begun
    /// with the tables as they were is lost.
    pub fn set_tables(&mut self, tables: Vec<Table>) {
        let families = families(&tables);
        let lane_names = lane_names(&tables, &families);
        self.units = tables.iter().map(|_| Changes::default()).collect();
        self.changed.clear();
        let known = tables.into_iter().zip(families).map(|(table, family)| {
            let mut table = TargetTable::new(table, self.flavor, family.is_related);
            table.lane_name.clone_from(&lane_names[family.unit]);
            (table.name.clone(), Known { table: Arc::new(table), unit: family.unit, checked: None })
        });
        self.tables = known.collect();
    }

    /// Adds a transaction's rows to the group. Its statements were dealt with before: see [`Rules`](super::Rules).
    ///
    /// # Errors
    /// `Unsupported` and `Setting` (invariant 2); the group is then as it was before.
    pub fn add(&mut self, transaction: Transaction) -> Result<()> {
        if transaction.is_unprepared {
            return Err(decode::unprepared(&transaction.end));
        }
        let (events, row_changes, kept_bytes) = (self.events.len(), self.row_changes, self.kept_bytes);
        if let Some(ahead) = &mut self.ahead {
            ahead.look_at(&alone(&transaction, self.flavor, &self.position)?);
        }
        self.undo.clear();
        if let Err(error) = self.plan(&transaction.changes) {
            self.events.truncate(events);
            self.row_changes = row_changes;
            self.kept_bytes = kept_bytes;
            for (unit, count) in self.undo.drain(..).rev() {
                self.units[unit].truncate(count);
            }
            return Err(error.at(|place| place.gtid = transaction.gtid.as_ref().map(ToString::to_string)));
        }
        self.transactions += 1;
        self.bytes += transaction.bytes;
        self.committed_at_micros = transaction.committed_at_micros;
        self.end_prepared(&transaction);
        self.has_moved = true;
        pass(&mut self.position, transaction.gtids(), transaction.end.clone())
    }

    /// Passes a transaction that green has; `false`: green has it not, so it is to be added.
    ///
    /// # Errors
    /// `Internal`: a GTID of the other flavour.
    pub fn passes(&mut self, transaction: &Transaction) -> Result<bool> {
        let is_applied = self.is_applied(transaction)?;
        let Some(replay) = &mut self.replay else { return Ok(false) };
        pass(&mut replay.at, transaction.gtids(), transaction.end.clone())?;
        if is_applied {
            self.end_prepared(transaction);
        }
        self.end_replay();
        Ok(is_applied)
    }

    /// Whether the transaction is on green already, of which this may be a part.
    ///
    /// # Errors
    /// `Internal`: a GTID of the other flavour.
    pub fn is_applied(&self, transaction: &Transaction) -> Result<bool> {
        let Some(replay) = &self.replay else { return Ok(false) };
        Ok(replay.applied.covers(&alone(transaction, self.flavor, &replay.at)?) == Some(true))
    }

    /// Passes a two-phase transaction that waits for a decision.
    ///
    /// # Errors
    /// `Internal`: a GTID of the other flavour.
    pub fn prepare(&mut self, prepared: Prepared) -> Result<()> {
        let at = self.replay.as_mut().map_or(&mut self.position, |replay| &mut replay.at);
        // MySQL's set of GTIDs has a gap there until the end, which is enough.
        if !matches!(at.gtid, Some(GtidPosition::MySql(_))) {
            at.coordinates = prepared.start;
            self.prepared.push((prepared.xid, at.clone()));
            pass(at, &prepared.gtid, prepared.end.clone())?;
            self.has_moved |= self.replay.is_none();
        }
        self.advance(prepared.end);
        Ok(())
    }

    /// Adds a change of a transaction that is too large for one group; its end is to be added as a transaction.
    ///
    /// # Errors
    /// Those of [`add`](Self::add). There is no going on then.
    pub fn add_change(&mut self, change: &Change) -> Result<()> {
        self.undo.clear();
        self.plan(std::slice::from_ref(change))
    }

    /// The changes so far that [`add_change`](Self::add_change) took: a group that moves no position and counts no
    /// transaction.
    pub fn take_part(&mut self) -> Option<Group> {
        (self.row_changes > 0).then(|| self.group())
    }

    /// Passes a point between transactions.
    pub fn advance(&mut self, coordinates: Coordinates) {
        if let Some(replay) = &mut self.replay {
            replay.at.coordinates = coordinates;
            return self.end_replay();
        }
        self.has_moved |= self.position.coordinates != coordinates;
        self.position.coordinates = coordinates;
    }

    fn end_prepared(&mut self, transaction: &Transaction) {
        if let Some(ended) = &transaction.prepared_xid {
            self.prepared.retain(|(xid, _)| xid != ended);
        }
    }

    fn end_replay(&mut self) {
        self.replay.take_if(|replay| replay.at.covers(&replay.applied) == Some(true));
    }

    /// Checks that no lane is ahead of what the last group had: see [`with_lanes`](Self::with_lanes).
    ///
    /// # Errors
    /// `State`: what comes now is never shared out among lanes, and yet they are behind it.
    pub fn check_level(&self) -> Result<()> {
        match self.ahead {
            None => Ok(()),
            Some(_) => Err(Error::new(ErrorKind::State, "lanes on green are ahead of what they never pass")
                .with_advice("build green anew with `create`")),
        }
    }

    /// The group so far, if the position moved since the last one and no lane is ahead of it.
    pub fn take(&mut self) -> Option<Group> {
        if self.ahead.as_ref().is_some_and(|ahead| !ahead.is_reached(&self.position)) {
            return None;
        }
        self.ahead = None;
        if !std::mem::take(&mut self.has_moved) {
            return None;
        }
        Some(self.group())
    }

    fn group(&mut self) -> Group {
        let has_unknown_lane = self.changed.iter().any(|unit| self.units[*unit].has_unknown_lane());
        let ops = self.changed.drain(..).flat_map(|unit| self.units[unit].take()).collect();
        self.kept_bytes = 0;
        Group {
            ops,
            position: self.position.clone(),
            resume: self.prepared.first().map(|(_, before)| before.clone()),
            committed_at_micros: std::mem::take(&mut self.committed_at_micros),
            transactions: std::mem::take(&mut self.transactions),
            row_changes: std::mem::take(&mut self.row_changes),
            bytes: std::mem::take(&mut self.bytes),
            events: Arc::new(std::mem::take(&mut self.events)),
            has_unknown_lane,
        }
    }

    /// How many rows blue changed in the group.
    pub fn row_changes(&self) -> u64 {
        self.row_changes
    }

    /// Bytes of the group's events, unfolded where they are compressed in the log.
    pub fn kept_bytes(&self) -> u64 {
        self.kept_bytes
    }

    fn plan(&mut self, changes: &[Change]) -> Result<()> {
        for change in changes {
            match change {
                Change::Rows(rows) => self.plan_rows(rows).map_err(|error| {
                    error.at(|place| {
                        place.coordinates.get_or_insert_with(|| rows.start.clone());
                        place.table = Some(rows.table.name.to_string());
                        place.event = Some(event_name(rows.kind).into());
                    })
                })?,
                Change::Statement(_) => {}
                #[expect(unreachable_patterns, reason = "the enum may grow")]
                _ => return Err(Error::internal("an unknown kind of change")),
            }
        }
        Ok(())
    }

    fn plan_rows(&mut self, change: &RowsChange) -> Result<()> {
        if change.table.name.is_system() || self.kept.contains(&change.table.name) {
            return Ok(());
        }
        let known = self.tables.get_mut(&change.table.name).ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, "green has no such table")
                .with_advice("make it there as it is on blue, or build green anew with `create`")
        })?;
        known.check(&change.table)?;
        let (table, changes) = (&known.table, &mut self.units[known.unit]);
        if changes.is_empty() {
            self.changed.push(known.unit);
        }
        self.undo.push((known.unit, changes.len()));
        let event = u32::try_from(self.events.len()).map_err(|_| Error::internal("too many events in a group"))?;
        let mut rows = change.rows(&mut self.buffer);
        loop {
            let place = RowPlace { event, offset: rows.offset() };
            let Some(row) = rows.next()? else { break };
            mapping::check_images(&row, table)?;
            self.row_changes += 1;
            let row = match &self.ahead {
                Some(ahead) => ahead.lacking(table, row)?,
                None => row,
            };
            if row.before.is_some() || row.after.is_some() {
                changes.add(table, &row, place, !change.flags.no_foreign_key_checks)?;
            }
        }
        self.kept_bytes += change.byte_count();
        self.events.push(change.clone());
        Ok(())
    }
}

impl Known {
    /// Compares with the log's table, once for each table map that differs from the one before.
    fn check(&mut self, wire: &Arc<TableMap>) -> Result<()> {
        let is_checked = self.checked.as_ref().is_some_and(|last| Arc::ptr_eq(last, wire) || last == wire);
        if !is_checked {
            mapping::check(wire, &self.table)?;
        }
        // The newest, so that the next comparison is one of addresses.
        self.checked = Some(wire.clone());
        Ok(())
    }
}

/// The position of a transaction with nothing before it: what is before it says nothing, another server may have the same
/// transactions in another order. With GTIDs if `like` has them.
fn alone(transaction: &Transaction, flavor: Flavor, like: &Position) -> Result<Position> {
    let gtid = like.gtid.as_ref().map(|_| GtidPosition::empty(flavor));
    let mut alone = Position::new(transaction.end.clone(), gtid);
    pass(&mut alone, transaction.gtids(), transaction.end.clone())?;
    Ok(alone)
}

/// Moves a position behind what ends there.
fn pass<'g>(position: &mut Position, gtids: impl IntoIterator<Item = &'g Gtid>, end: Coordinates) -> Result<()> {
    match position.pass(gtids, end) {
        true => Ok(()),
        false => Err(Error::internal("a GTID of the other flavour")),
    }
}

/// What foreign keys make of a table.
#[derive(Clone, Copy)]
struct Family {
    unit: usize,
    is_related: bool,
}

/// Each table's family: the tables that foreign keys connect, over any number of steps, have one unit.
fn families(tables: &[Table]) -> Vec<Family> {
    let mut families: Vec<Family> = (0..tables.len()).map(|unit| Family { unit, is_related: false }).collect();
    // Letters of different case may be one table's name; taking two tables for one costs speed only.
    let lower = |name: &TableName| name.to_string().to_lowercase();
    let mut indexes: HashMap<String, Vec<usize>> = HashMap::new();
    for (index, table) in tables.iter().enumerate() {
        indexes.entry(lower(&table.name)).or_default().push(index);
    }
    for (child, table) in tables.iter().enumerate() {
        families[child].is_related |= !table.references.is_empty();
        for &parent in table.references.iter().filter_map(|to| indexes.get(&lower(&to.table))).flatten() {
            let (joined, unit) = (families[child].unit, families[parent].unit);
            for family in families.iter_mut().filter(|family| family.unit == joined || family.unit == unit) {
                *family = Family { unit, is_related: true };
            }
        }
    }
    families
}

/// The name of each unit's lane: that of its first table by name.
fn lane_names(tables: &[Table], families: &[Family]) -> Vec<String> {
    let mut names = vec![String::new(); tables.len()];
    for (table, family) in tables.iter().zip(families) {
        let (name, first) = (table.name.to_string(), &mut names[family.unit]);
        if first.is_empty() || name < *first {
            *first = name;
        }
    }
    names
}

fn event_name(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Insert => "WRITE_ROWS",
        ChangeKind::Update => "UPDATE_ROWS",
        ChangeKind::Delete => "DELETE_ROWS",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, VecDeque};

    use proptest::prelude::*;

    use super::*;
    use crate::decode::{Image, ValueRef, WireColumn};
    use crate::model::{
        Column, ColumnKind, Gtid, GtidPosition, MariaDbGtid, MariaDbGtidList, Reference, RowsFlags, UniqueKey,
    };
    use crate::plan::{Op, RowOp};

    /// `b` has a key, `u` another unique one too, `t` one of text, `k` none; `child` refers to `parent`.
    const TABLES: [&str; 6] = ["b", "u", "t", "k", "parent", "child"];

    fn column(name: &str, kind: ColumnKind) -> Column {
        Column {
            is_unsigned: kind == ColumnKind::Integer(4),
            is_nullable: name == "u",
            charset: (kind == ColumnKind::Text).then(|| "utf8mb4".into()),
            ..Column::sample(name, kind, "")
        }
    }

    fn table(name: &str) -> Table {
        let key =
            |name: &str, columns, is_row_key| UniqueKey { name: name.into(), columns, is_row_key, is_whole: true };
        let kind = if name == "t" { ColumnKind::Text } else { ColumnKind::Integer(4) };
        let unique_keys = match name {
            "k" => Vec::new(),
            "u" => vec![key("PRIMARY", vec![0], true), key("u", vec![1], false)],
            _ => vec![key("PRIMARY", vec![0], true)],
        };
        let columns =
            vec![column("id", kind), column("u", ColumnKind::Integer(4)), column("n", ColumnKind::Integer(4))];
        let references = match name {
            "child" => vec![Reference::new(TableName::new("s", "parent"))],
            _ => Vec::new(),
        };
        Table { unique_keys, references, ..Table::sample(name, columns) }
    }

    fn planner() -> Planner {
        let start = Position::new(Coordinates::new("bin.000001", 4), Some(GtidPosition::empty(Flavor::MariaDb)));
        Planner::new(TABLES.map(table).into(), Flavor::MariaDb, start)
    }

    fn wire(name: &str) -> Arc<TableMap> {
        let key = if name == "t" { WireColumn::new(15, 40, false) } else { WireColumn::new(3, 0, false) };
        let columns = vec![key, WireColumn::new(3, 0, true), WireColumn::new(3, 0, false)];
        Arc::new(TableMap::new(Flavor::MariaDb, TableName::new("s", name), columns, None))
    }

    /// The bitmap of all columns.
    const ALL: u8 = 0b111;

    /// A row; the key is a text or a number.
    #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
    struct Record {
        id: String,
        u: Option<u32>,
        n: u32,
    }

    impl Record {
        fn bytes(&self) -> Vec<u8> {
            self.some_bytes(ALL)
        }

        /// An image of the columns whose bits are set.
        fn some_bytes(&self, columns: u8) -> Vec<u8> {
            let has = |index: u8| columns & 1 << index != 0;
            // NULL bits count the columns that are there.
            let nulls = u8::from(has(1) && self.u.is_none()) << u8::from(has(0));
            let mut bytes = if columns == 0 { Vec::new() } else { vec![nulls] };
            match self.id.parse::<u32>() {
                _ if !has(0) => {}
                Ok(id) => bytes.extend(id.to_le_bytes()),
                Err(_) => {
                    bytes.push(self.id.len() as u8);
                    bytes.extend(self.id.as_bytes());
                }
            }
            bytes.extend(self.u.filter(|_| has(1)).map(u32::to_le_bytes).into_iter().flatten());
            bytes.extend(Some(self.n).filter(|_| has(2)).map(u32::to_le_bytes).into_iter().flatten());
            bytes
        }

        /// Which columns differ.
        fn changed(&self, other: &Record) -> u8 {
            u8::from(self.id != other.id) | u8::from(self.u != other.u) << 1 | u8::from(self.n != other.n) << 2
        }

        fn read(image: &Image<'_>) -> Record {
            Record::read_over(image, Record { id: "none".into(), u: None, n: 0 })
        }

        /// The row; what the image lacks is as `base` has it.
        fn read_over(image: &Image<'_>, base: Record) -> Record {
            let number = |value: ValueRef<'_>| match value {
                ValueRef::Int(number) => Some(number as u32),
                _ => None,
            };
            let value = |index: usize| image.get(index).unwrap();
            let id = match value(0) {
                None => base.id,
                Some(ValueRef::Bytes(text)) => String::from_utf8(text.to_vec()).unwrap(),
                Some(value) => number(value).unwrap().to_string(),
            };
            Record {
                id,
                u: value(1).map_or(base.u, number),
                n: value(2).map_or(base.n, |value| number(value).unwrap()),
            }
        }

        /// The key as a collation takes it that passes over case and blanks at the end.
        fn key(&self) -> String {
            self.id.trim_end().to_lowercase().replace('ß', "ss")
        }
    }

    /// A server that has these tables, and refuses what a real one would.
    #[derive(Debug, PartialEq, Eq)]
    struct Model(BTreeMap<&'static str, Vec<Record>>);

    impl Model {
        fn new() -> Model {
            Model(TABLES.into_iter().map(|name| (name, Vec::new())).collect())
        }

        fn rows(&mut self, table: &str) -> &mut Vec<Record> {
            self.0.get_mut(table).unwrap()
        }

        fn takes(&mut self, table: &str, row: &Record) -> bool {
            table == "k"
                || !self
                    .rows(table)
                    .iter()
                    .any(|other| other.key() == row.key() || table == "u" && other.u.is_some() && other.u == row.u)
        }

        fn insert(&mut self, table: &str, row: Record) {
            assert!(self.takes(table, &row), "{table}: {row:?} has a key that is there");
            let rows = self.rows(table);
            rows.push(row);
            rows.sort();
        }

        fn remove(&mut self, table: &str, row: &Record) -> Record {
            let place = self.rows(table).iter().position(|other| match table {
                "k" => other == row,
                _ => other.key() == row.key(),
            });
            self.rows(table).remove(place.unwrap_or_else(|| panic!("{table} does not have {row:?}")))
        }

        fn apply(&mut self, group: &Group) {
            for Op { table, row, .. } in &group.ops {
                let (name, buffer) = (table.name.table.as_str(), &mut RowBuffer::new());
                match *row {
                    RowOp::Insert(place) => self.insert(name, Record::read(&group.after(place, buffer).unwrap())),
                    RowOp::Delete(place) => {
                        self.remove(name, &Record::read(&group.before(place, buffer).unwrap()));
                    }
                    RowOp::Update { before, after, keeps_key } => {
                        let before = Record::read(&group.before(before, buffer).unwrap());
                        let was = self.remove(name, &before);
                        let after = Record::read_over(&group.after(after, buffer).unwrap(), was);
                        assert_eq!(keeps_key, name != "k" && before.id == after.id);
                        self.insert(name, after);
                    }
                }
            }
        }
    }

    /// What somebody wants to do; where the tables do not allow it, something like it is done.
    #[derive(Debug, Clone)]
    struct Wish {
        table: usize,
        deletes: bool,
        row: usize,
        id: usize,
        u: Option<u32>,
        n: u32,
        ends_transaction: bool,
        ends_group: bool,
    }

    fn wish() -> impl Strategy<Value = Wish> {
        let parts = (
            0..6_usize,
            proptest::bool::weighted(0.15),
            0..4_usize,
            0..7_usize,
            proptest::option::weighted(0.8, 0..4_u32),
            0..3_u32,
        );
        (parts, any::<bool>(), proptest::bool::weighted(0.04)).prop_map(|(parts, ends_transaction, ends_group)| {
            let (table, deletes, row, id, u, n) = parts;
            Wish { table, deletes, row, id, u, n, ends_transaction, ends_group }
        })
    }

    /// Does what is wished on blue and gives the event, whose images have all columns or, as with MINIMAL, the needed ones.
    fn fulfil(blue: &mut Model, wish: &Wish, is_minimal: bool) -> Option<RowsChange> {
        let table = TABLES[wish.table];
        let ids =
            if table == "t" { ["a", "A", "a  ", "ss", "ß", "b", "c"] } else { ["0", "1", "2", "3", "4", "5", "6"] };
        let mut after = Record { id: ids[wish.id].into(), u: wish.u, n: wish.n };
        let before = blue.rows(table).get(wish.row).cloned();
        if let Some(before) = &before {
            blue.remove(table, before);
        }
        // Without its other unique value it may do, or with the key that it had.
        for (u, id) in [(None, None), (before.as_ref().and_then(|row| row.u), before.as_ref().map(|row| &row.id))] {
            if !blue.takes(table, &after) {
                after = Record { id: id.unwrap_or(&after.id).clone(), u, n: after.n };
            }
        }
        let after = (blue.takes(table, &after) && (before.is_none() || !wish.deletes)).then_some(after);
        if let Some(after) = &after {
            blue.insert(table, after.clone());
        }
        let needed = if table == "k" { ALL } else { 0b001 };
        let default = Record { id: String::new(), u: None, n: 0 };
        let (kind, images) = match (before, after) {
            (None, None) => return None,
            (None, Some(after)) => (ChangeKind::Insert, vec![(after.changed(&default), after)]),
            (Some(before), None) => (ChangeKind::Delete, vec![(needed, before)]),
            // A statement may set what is so already.
            (Some(before), Some(after)) => (
                ChangeKind::Update,
                vec![(needed, before.clone()), (after.changed(&before) | wish.n as u8 & 0b110, after)],
            ),
        };
        let columns = |image: &(u8, Record)| if is_minimal { image.0 } else { ALL };
        let bitmaps = images.iter().map(columns);
        let rows = images.iter().flat_map(|image| image.1.some_bytes(columns(image)));
        let event = bitmaps.chain(rows).collect();
        Some(RowsChange::of(wire(table), kind, RowsFlags::default(), event, Coordinates::new("bin.000001", 50)))
    }

    fn transaction(number: u64, changes: Vec<Change>) -> Transaction {
        let at = |offset| Coordinates::new("bin.000001", offset);
        let mut transaction = Transaction::new(at(number * 100), at(number * 100 + 100));
        transaction.gtid = Some(Gtid::MariaDb(MariaDbGtid { domain: 0, server: 1, sequence: number }));
        transaction.bytes = 100;
        transaction.committed_at_micros = number;
        transaction.changes = changes;
        transaction
    }

    fn insert(table: &str, id: u32) -> Change {
        let row = Record { id: id.to_string(), u: None, n: 0 };
        let at = Coordinates::new("bin.000001", 150);
        Change::Rows(RowsChange::full(wire(table), ChangeKind::Insert, RowsFlags::default(), &row.bytes(), at))
    }

    fn cases() -> u32 {
        std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(2000)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(cases()))]
        /// Any transactions, however groups are cut, leave green as blue is, and no operation meets a key in its way.
        #[test]
        fn groups_do_what_blue_did(is_minimal: bool, wishes in proptest::collection::vec(wish(), 1..150)) {
            let (mut blue, mut green, mut planner) = (Model::new(), Model::new(), planner());
            let (mut changes, mut number, mut transactions, mut row_changes, mut count) = (Vec::new(), 0, 0, 0, 0);
            let mut last = None;
            let mut apply = |planner: &mut Planner, green: &mut Model| {
                if let Some(group) = planner.take() {
                    transactions += group.transactions;
                    row_changes += group.row_changes;
                    green.apply(&group);
                    // Where nothing forbids it, a row has one operation.
                    let keys = |op: &Op| match op.row {
                        RowOp::Insert(place) => Record::read(&group.after(place, &mut RowBuffer::new()).unwrap()).id,
                        RowOp::Update { before: place, .. } | RowOp::Delete(place) => {
                            Record::read(&group.before(place, &mut RowBuffer::new()).unwrap()).id
                        }
                    };
                    let mut touched: Vec<String> =
                        group.ops.iter().filter(|op| op.table.name.table == "b").map(keys).collect();
                    touched.sort_unstable();
                    let is_sorted = touched.is_sorted_by(|one, other| one < other);
                    assert!(is_sorted || is_minimal, "a row has two operations");
                    last = Some(group.position);
                }
            };
            for (index, wish) in wishes.iter().enumerate() {
                let change = fulfil(&mut blue, wish, is_minimal);
                count += u64::from(change.is_some());
                changes.extend(change.map(Change::Rows));
                let is_last = index + 1 == wishes.len();
                if wish.ends_transaction || wish.ends_group || is_last {
                    number += 1;
                    planner.add(transaction(number, std::mem::take(&mut changes))).unwrap();
                }
                if wish.ends_group || is_last {
                    apply(&mut planner, &mut green);
                }
            }
            prop_assert_eq!(&green, &blue);
            prop_assert_eq!((transactions, row_changes), (number, count));
            let mut list = MariaDbGtidList::default();
            list.insert(MariaDbGtid { domain: 0, server: 1, sequence: number });
            let end = Coordinates::new("bin.000001", number * 100 + 100);
            prop_assert_eq!(last, Some(Position::new(end, Some(GtidPosition::MariaDb(list)))));
            prop_assert!(planner.take().is_none());
        }
    }

    /// Lanes, each with its shares that wait, how many transactions it has, and will have behind each share.
    type Lanes = Vec<(VecDeque<(Group, u64)>, u64)>;

    fn apply_next(green: &mut Model, (waiting, has): &mut (VecDeque<(Group, u64)>, u64)) -> bool {
        let Some((share, end)) = waiting.pop_front() else { return false };
        green.apply(&share);
        *has = end;
        true
    }

    fn apply_all(green: &mut Model, lanes: &mut Lanes) {
        lanes.iter_mut().for_each(|lane| while apply_next(green, lane) {});
    }

    /// Behind so many transactions.
    fn position(count: u64) -> Position {
        let mut list = MariaDbGtidList::default();
        if count > 0 {
            list.insert(MariaDbGtid { domain: 0, server: 1, sequence: count });
        }
        Position::new(Coordinates::new("bin.000001", count * 100 + 100), Some(GtidPosition::MariaDb(list)))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(cases()))]
        /// Lanes that are any number of groups ahead of each other leave green as blue is, and meet no key in their way; so
        /// does a planner that goes on where they were left.
        #[test]
        fn lanes_do_what_blue_did(
            is_minimal: bool, is_left: bool, count in 2..5_usize, wishes in proptest::collection::vec(wish(), 1..150),
            turns in proptest::collection::vec(0..5_usize, 0..60),
        ) {
            let (mut blue, mut green, mut planner) = (Model::new(), Model::new(), planner());
            let mut lanes: Lanes = vec![(VecDeque::new(), 0); count];
            let (mut turns, mut log) = (turns.into_iter(), Vec::new());
            for (index, wish) in wishes.iter().enumerate() {
                let change = fulfil(&mut blue, wish, is_minimal).map(Change::Rows);
                log.push(transaction(index as u64 + 1, Vec::from_iter(change)));
                planner.add(log[index].clone()).unwrap();
                if !wish.ends_transaction && index + 1 < wishes.len() {
                    continue;
                }
                let shares = planner.take().unwrap().spread(count).unwrap();
                match <[Group; 1]>::try_from(shares) {
                    Ok([whole]) => {
                        apply_all(&mut green, &mut lanes);
                        green.apply(&whole);
                        lanes.iter_mut().for_each(|(_, has)| *has = log.len() as u64);
                    }
                    Err(shares) => {
                        prop_assert_eq!(shares.len(), count);
                        lanes.iter_mut().zip(shares).for_each(|(lane, share)| lane.0.push_back((share, log.len() as u64)));
                    }
                }
                for turn in turns.by_ref().take(3) {
                    lanes.get_mut(turn).map(|lane| apply_next(&mut green, lane));
                }
            }
            if is_left {
                let start = lanes.iter().map(|(_, has)| *has).min().unwrap();
                let ahead = lanes.iter().map(|(_, has)| (*has > start).then(|| position(*has))).collect();
                let tables = TABLES.map(table).into();
                let mut planner = Planner::new(tables, Flavor::MariaDb, position(start)).with_lanes(ahead);
                for transaction in log.into_iter().skip(start as usize) {
                    planner.add(transaction).unwrap();
                }
                if let Some(group) = planner.take() {
                    green.apply(&group);
                }
            } else {
                apply_all(&mut green, &mut lanes);
            }
            prop_assert_eq!(&green, &blue);
        }
    }

    /// Which lanes' shares have operations on a table's rows of these keys; `None`: the group is whole.
    fn lanes_of(table: &str, ids: &[&str]) -> Option<Vec<usize>> {
        let mut planner = planner();
        for (number, id) in (1..).zip(ids) {
            let row = Record { id: (*id).into(), u: None, n: 0 };
            let at = Coordinates::new("bin.000001", 150);
            let rows = RowsChange::full(wire(table), ChangeKind::Insert, RowsFlags::default(), &row.bytes(), at);
            planner.add(transaction(number, vec![Change::Rows(rows)])).unwrap();
        }
        let shares = planner.take().unwrap().spread(4).unwrap();
        let lanes = shares.iter().enumerate().filter(|(_, share)| !share.ops.is_empty()).map(|(lane, _)| lane);
        (shares.len() > 1).then(|| lanes.collect())
    }

    /// The lanes are kept on green: another build must find the same. If this fails, the lanes' checkpoints need other names.
    #[test]
    fn a_row_has_one_lane_whatever_the_build() {
        let ids = ["0", "1", "2", "3", "4", "5", "6", "7"];
        assert_eq!(ids.map(|id| lanes_of("b", &[id]).unwrap()[0]), [2, 3, 0, 1, 2, 3, 0, 1]);
        assert_eq!(["u", "k", "parent"].map(|table| lanes_of(table, &ids).unwrap()), [vec![0], vec![3], vec![2]]);
        assert_eq!(lanes_of("child", &ids), lanes_of("parent", &ids));
        assert_eq!(lanes_of("t", &["abc"]), lanes_of("t", &["ABC "]));
        assert_eq!(lanes_of("t", &["abc"]), Some(vec![1]));
        assert_eq!(lanes_of("t", &["straße"]), None);
    }

    /// Invariant 4 of the lanes: which of them is behind is told by its transactions.
    #[test]
    fn a_group_without_a_transaction_is_whole() {
        let mut planner = planner();
        planner.advance(Coordinates::new("bin.000001", 500));
        assert_eq!(planner.take().unwrap().spread(4).unwrap().len(), 1);
        planner.add(transaction(1, Vec::new())).unwrap();
        assert_eq!(planner.take().unwrap().spread(4).unwrap().len(), 4);
    }

    #[test]
    fn rows_are_spread_evenly() {
        for lanes in [2, 3, 4, 7, 8] {
            let mut planner = planner();
            planner.add(transaction(1, (0..8000).map(|id| insert("b", id * 2)).collect())).unwrap();
            for share in planner.take().unwrap().spread(lanes).unwrap() {
                let (count, mean) = (share.ops.len(), 8000 / lanes);
                assert!((mean * 9 / 10..mean * 11 / 10).contains(&count), "{count} of {mean}, {lanes} lanes");
                assert_eq!((share.transactions, share.row_changes), (1, 8000));
            }
        }
    }

    /// Invariant 1: what cannot be planned leaves nothing of its transaction behind.
    #[test]
    fn a_refused_transaction_leaves_the_group_as_it_was() {
        let mut planner = planner();
        planner.add(transaction(1, vec![insert("b", 1), insert("b", 2)])).unwrap();
        let mut other = insert("b", 4);
        let Change::Rows(rows) = &mut other else { panic!("not rows") };
        let columns = vec![WireColumn::new(3, 0, false)];
        rows.table = Arc::new(TableMap::new(Flavor::MariaDb, TableName::new("s", "b"), columns, None));
        let error = planner.add(transaction(2, vec![insert("b", 3), insert("u", 3), other])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let place = error.place().unwrap();
        assert_eq!((place.table.as_deref(), place.gtid.as_deref()), (Some("s.b"), Some("0-1-2")));
        let mut unknown = insert("b", 4);
        let Change::Rows(rows) = &mut unknown else { panic!("not rows") };
        rows.table = wire("elsewhere");
        let error = planner.add(transaction(2, vec![insert("b", 3), unknown])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let group = planner.take().unwrap();
        assert_eq!((group.ops.len(), group.transactions, group.row_changes), (2, 1, 2));
        assert_eq!(group.position.coordinates.offset, 200);
    }

    #[test]
    fn the_servers_own_tables_are_left_out_but_move_the_position() {
        let mut planner = planner();
        let mut own = insert("b", 1);
        let Change::Rows(rows) = &mut own else { panic!("not rows") };
        rows.table = Arc::new(TableMap::new(Flavor::MariaDb, TableName::new("mysql", "x"), Vec::new(), None));
        planner.add(transaction(1, vec![own])).unwrap();
        let group = planner.take().unwrap();
        assert_eq!((group.ops.len(), group.position.coordinates.offset), (0, 200));
    }

    /// Two rows swap a unique value through NULL: merged, each would meet the other's.
    #[test]
    fn a_swap_of_unique_values_keeps_its_steps() {
        let mut planner = planner();
        let row = |id: u32, u| Record { id: id.to_string(), u, n: 0 }.bytes();
        let update = |table: &str, id, before, after| {
            let rows = [row(id, before), row(id, after)].concat();
            let at = Coordinates::new("bin.000001", 150);
            Change::Rows(RowsChange::full(wire(table), ChangeKind::Update, RowsFlags::default(), &rows, at))
        };
        for table in ["u", "b"] {
            let swap = vec![
                update(table, 1, Some(5), None),
                update(table, 2, Some(6), Some(5)),
                update(table, 1, None, Some(6)),
            ];
            planner.add(transaction(1, swap)).unwrap();
        }
        let ops = planner.take().unwrap().ops;
        let count = |table: &str| ops.iter().filter(|op| op.table.name.table == table).count();
        assert_eq!((count("u"), count("b")), (3, 2));
    }

    #[test]
    fn row_values_are_in_no_debug() {
        let mut planner = planner();
        let row = Record { id: "plughvalue".into(), u: None, n: 0 };
        let at = Coordinates::new("bin.000001", 150);
        let rows = RowsChange::full(wire("t"), ChangeKind::Insert, RowsFlags::default(), &row.bytes(), at);
        planner.add(transaction(1, vec![Change::Rows(rows)])).unwrap();
        let mut shown = format!("{planner:?} {planner:#?}");
        let group = planner.take().unwrap();
        shown.push_str(&format!("{group:?} {group:#?}"));
        for secret in [row.id.clone(), format!("{:?}", row.id.as_bytes()).replace(['[', ']'], "")] {
            assert!(!shown.contains(&secret));
        }
    }

    /// Foreign keys connect over any number of steps, in any order of the tables.
    #[test]
    fn families_are_joined_over_steps() {
        let table = |name: &str, references: &[&str]| {
            let references = references.iter().map(|name| Reference::new(TableName::new("S", *name))).collect();
            Table { references, ..table(name) }
        };
        let tables =
            [table("a", &["B"]), table("x", &[]), table("b", &[]), table("c", &["b"]), table("self", &["self"])];
        let families = families(&tables);
        let unit = |index: usize| families[index].unit;
        assert_eq!((unit(0), unit(3)), (unit(2), unit(2)));
        assert!(unit(1) != unit(2) && unit(4) != unit(2));
        let related: Vec<bool> = families.iter().map(|family| family.is_related).collect();
        assert_eq!(related, [true, false, true, true, true]);
    }
}
