use std::collections::HashMap;
use std::sync::Arc;

use super::{Group, Op, RowOp, TargetTable, mapping};
use crate::decode::{Change, Image, RowBuffer, RowsChange, TableMap, Transaction};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ChangeKind, Coordinates, Flavor, Position, Table, TableName};

/// Gathers transactions into groups.
#[derive(Debug)]
pub struct Planner {
    tables: HashMap<TableName, Arc<TargetTable>>,
    flavor: Flavor,
    /// The log's table that was last checked against green's.
    checked: HashMap<TableName, Arc<TableMap>>,
    /// The position after everything that was added.
    position: Position,
    ops: Vec<Op>,
    buffer: RowBuffer,
    transactions: u64,
    bytes: u64,
    committed_at_micros: u64,
    has_moved: bool,
}

impl Planner {
    /// A planner for the `tables` of a green of `flavor`, with everything before `position` applied.
    pub fn new(tables: Vec<Table>, flavor: Flavor, position: Position) -> Planner {
        Planner {
            tables: targets(tables, flavor),
            flavor,
            checked: HashMap::new(),
            position,
            ops: Vec::new(),
            buffer: RowBuffer::new(),
            transactions: 0,
            bytes: 0,
            committed_at_micros: 0,
            has_moved: false,
        }
    }

    /// Takes green's tables as they are now: after a statement changed them.
    pub fn set_tables(&mut self, tables: Vec<Table>) {
        self.tables = targets(tables, self.flavor);
        self.checked.clear();
    }

    /// Adds a transaction's rows to the group. Its statements were dealt with before: see [`Rules`](super::Rules).
    ///
    /// # Errors
    /// `Unsupported` and `Setting` (invariant 2); the group is then as it was before.
    pub fn add(&mut self, transaction: &Transaction) -> Result<()> {
        let mut ops = Vec::new();
        let at_transaction =
            |error: Error| error.at(|place| place.gtid = transaction.gtid.as_ref().map(ToString::to_string));
        for change in &transaction.changes {
            match change {
                Change::Rows(rows) => self.plan_rows(rows, &mut ops).map_err(|error| {
                    at_transaction(error.at(|place| {
                        place.coordinates.get_or_insert_with(|| rows.start.clone());
                        place.table = Some(rows.table.name.to_string());
                        place.event = Some(event_name(rows.kind).into());
                    }))
                })?,
                Change::Statement(_) => {}
                #[expect(unreachable_patterns, reason = "the enum may grow")]
                _ => return Err(Error::internal("an unknown kind of change")),
            }
        }
        self.ops.append(&mut ops);
        self.transactions += 1;
        self.bytes += transaction.bytes;
        self.committed_at_micros = transaction.committed_at_micros;
        self.position.coordinates = transaction.end.clone();
        if let Some(executed) = &mut self.position.gtid
            && !transaction.gtids().all(|gtid| executed.insert(gtid))
        {
            return Err(Error::internal("a GTID of the other flavour"));
        }
        self.has_moved = true;
        Ok(())
    }

    /// Passes a point between transactions.
    pub fn advance(&mut self, coordinates: Coordinates) {
        self.has_moved |= self.position.coordinates != coordinates;
        self.position.coordinates = coordinates;
    }

    /// The group so far, if the position moved since the last one.
    pub fn take(&mut self) -> Option<Group> {
        if !std::mem::take(&mut self.has_moved) {
            return None;
        }
        Some(Group {
            ops: std::mem::take(&mut self.ops),
            position: self.position.clone(),
            committed_at_micros: std::mem::take(&mut self.committed_at_micros),
            transactions: std::mem::take(&mut self.transactions),
            bytes: std::mem::take(&mut self.bytes),
        })
    }

    /// How many row operations the group has.
    pub fn op_count(&self) -> usize {
        self.ops.len()
    }

    /// Bytes of the group's events.
    pub fn byte_count(&self) -> u64 {
        self.bytes
    }

    fn plan_rows(&mut self, change: &RowsChange, ops: &mut Vec<Op>) -> Result<()> {
        if change.table.name.is_system() {
            return Ok(());
        }
        let table = self.target(&change.table)?;
        let image = |image: Option<Image<'_>>| match image {
            Some(image) => mapping::row(&image, &table),
            None => Err(Error::internal("a row change without an image it must have")),
        };
        let mut rows = change.rows(&mut self.buffer);
        while let Some(row) = rows.next()? {
            let row = match change.kind {
                ChangeKind::Insert => RowOp::Insert(image(row.after)?),
                ChangeKind::Update => RowOp::Update { before: image(row.before)?, after: image(row.after)? },
                ChangeKind::Delete => RowOp::Delete(image(row.before)?),
            };
            ops.push(Op { table: table.clone(), row, foreign_key_checks: !change.flags.no_foreign_key_checks });
        }
        Ok(())
    }

    /// Green's table for the log's, checked once for each table map that differs from the one before.
    fn target(&mut self, wire: &Arc<TableMap>) -> Result<Arc<TargetTable>> {
        let target = self.tables.get(&wire.name).ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, "green has no such table")
                .with_advice("make it there as it is on blue, or build green anew with `create`")
        })?;
        let is_checked = self.checked.get(&wire.name).is_some_and(|last| Arc::ptr_eq(last, wire) || last == wire);
        if !is_checked {
            mapping::check(wire, target)?;
            self.checked.insert(wire.name.clone(), wire.clone());
        }
        Ok(target.clone())
    }
}

fn targets(tables: Vec<Table>, flavor: Flavor) -> HashMap<TableName, Arc<TargetTable>> {
    tables.into_iter().map(|table| (table.name.clone(), Arc::new(TargetTable::new(table, flavor)))).collect()
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
    use proptest::prelude::*;

    use super::*;
    use crate::decode::WireColumn;
    use crate::model::{
        Column, ColumnKind, Gtid, GtidPosition, MariaDbGtid, MariaDbGtidList, RowsFlags, UniqueKey, Value,
    };

    fn column(name: &str) -> Column {
        Column {
            name: name.into(),
            kind: ColumnKind::Integer(4),
            full_type: "int unsigned".into(),
            is_unsigned: true,
            is_nullable: false,
            is_generated: false,
            charset: None,
            collation: None,
            length: None,
        }
    }

    fn table(name: &str) -> Table {
        let key = UniqueKey { name: "PRIMARY".into(), columns: vec![0], is_row_key: true, is_whole: true };
        Table {
            name: TableName::new("s", name),
            columns: vec![column("id"), column("n")],
            unique_keys: vec![key],
            engine: "InnoDB".into(),
        }
    }

    fn planner() -> Planner {
        let start = Position::new(Coordinates::new("bin.000001", 4), Some(GtidPosition::empty(Flavor::MariaDb)));
        Planner::new(vec![table("a"), table("b")], Flavor::MariaDb, start)
    }

    fn wire(name: &str, columns: usize) -> Arc<TableMap> {
        let columns = (0..columns).map(|_| WireColumn::new(3, 0, false)).collect();
        Arc::new(TableMap::new(Flavor::MariaDb, TableName::new("s", name), columns, None))
    }

    /// A transaction of one row event per table name; row `n` has the id `n`.
    fn transaction(number: u64, tables: &[&str], rows: usize) -> Transaction {
        let at = |offset| Coordinates::new("bin.000001", offset);
        let mut transaction = Transaction::new(at(number * 100), at(number * 100 + 100));
        transaction.gtid = Some(Gtid::MariaDb(MariaDbGtid { domain: 0, server: 1, sequence: number }));
        transaction.bytes = 100;
        transaction.committed_at_micros = number;
        let row = |n: usize| [vec![0], (n as i32 - 1).to_le_bytes().to_vec(), (number as i32).to_le_bytes().to_vec()];
        let bytes: Vec<u8> = (0..rows).flat_map(row).flatten().collect();
        transaction.changes = tables
            .iter()
            .map(|name| {
                let flags = RowsFlags::default();
                Change::Rows(RowsChange::full(wire(name, 2), ChangeKind::Insert, flags, &bytes, at(number * 100 + 50)))
            })
            .collect();
        transaction
    }

    proptest! {
        /// Invariants 1 and 3: however groups are cut, every operation comes once, in order, and the last group's
        /// position is behind all transactions, those of tables that are not the deployment's too.
        #[test]
        fn groups_hold_every_operation_once(shapes in proptest::collection::vec((0usize..4, 1usize..5, any::<bool>()), 1..40)) {
            let mut planner = planner();
            let (mut sequences, mut transactions, mut last) = (Vec::new(), 0, None);
            for (index, (kind, rows, cut)) in shapes.iter().enumerate() {
                let number = index as u64 + 1;
                let tables: &[&str] = [&["a"][..], &["a", "b"], &[], &["b"]][*kind];
                planner.add(&transaction(number, tables, *rows)).unwrap();
                if *cut && let Some(group) = planner.take() {
                    transactions += group.transactions;
                    sequences.extend(group.ops);
                    last = Some(group.position);
                }
            }
            if let Some(group) = planner.take() {
                transactions += group.transactions;
                sequences.extend(group.ops);
                last = Some(group.position);
            }
            let expected: Vec<Value> = shapes
                .iter()
                .enumerate()
                .flat_map(|(index, (kind, rows, _))| vec![Value::UInt(index as u64 + 1); [1, 2, 0, 1][*kind] * rows])
                .collect();
            let planned: Vec<Value> = sequences
                .iter()
                .map(|op| match &op.row { RowOp::Insert(row) => row[1].clone(), _ => Value::Null })
                .collect();
            prop_assert_eq!(planned, expected);
            prop_assert_eq!(transactions, shapes.len() as u64);
            let mut list = MariaDbGtidList::default();
            list.insert(MariaDbGtid { domain: 0, server: 1, sequence: shapes.len() as u64 });
            let end = Coordinates::new("bin.000001", shapes.len() as u64 * 100 + 100);
            prop_assert_eq!(last, Some(Position::new(end, Some(GtidPosition::MariaDb(list)))));
            prop_assert!(planner.take().is_none());
        }
    }

    /// Invariant 1: what cannot be planned leaves nothing of its transaction behind.
    #[test]
    fn a_refused_transaction_leaves_the_group_as_it_was() {
        let mut planner = planner();
        planner.add(&transaction(1, &["a"], 2)).unwrap();
        let mut half = transaction(2, &["a", "a"], 1);
        let Change::Rows(second) = &mut half.changes[1] else { panic!("not rows") };
        second.table = wire("a", 3);
        let error = planner.add(&half).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let place = error.place().unwrap();
        assert_eq!((place.table.as_deref(), place.gtid.as_deref()), (Some("s.a"), Some("0-1-2")));
        let unknown = transaction(2, &["a", "elsewhere"], 1);
        assert_eq!(planner.add(&unknown).unwrap_err().kind(), ErrorKind::Unsupported);
        let group = planner.take().unwrap();
        assert_eq!((group.ops.len(), group.transactions, group.position.coordinates.offset), (2, 1, 200));
    }

    /// Trap 1: a log without signs has the catalogue's.
    #[test]
    fn an_unsigned_column_is_read_with_the_catalogues_sign() {
        let mut planner = planner();
        planner.add(&transaction(1, &["a"], 1)).unwrap();
        let RowOp::Insert(row) = planner.take().unwrap().ops.remove(0).row else { panic!("no insert") };
        assert_eq!(row[0], Value::UInt(u64::from(u32::MAX)));
    }

    #[test]
    fn the_servers_own_tables_are_left_out_but_move_the_position() {
        let mut planner = planner();
        let mut own = transaction(1, &["a"], 3);
        let Change::Rows(rows) = &mut own.changes[0] else { panic!("not rows") };
        rows.table = Arc::new(TableMap::new(Flavor::MariaDb, TableName::new("mysql", "x"), Vec::new(), None));
        planner.add(&own).unwrap();
        let group = planner.take().unwrap();
        assert_eq!((group.ops.len(), group.position.coordinates.offset), (0, 200));
    }
}
