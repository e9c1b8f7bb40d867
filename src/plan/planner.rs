use std::collections::HashMap;
use std::sync::Arc;

use super::{Group, Op, RowOp, TargetTable, mapping};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{
    Change, ChangeKind, Coordinates, Flavor, Position, RowsChange, Statement, Table, TableMap, TableName, Transaction,
};

/// Gathers transactions into groups.
#[derive(Debug)]
pub struct Planner {
    tables: HashMap<TableName, Arc<TargetTable>>,
    /// The log's table that was last checked against green's.
    checked: HashMap<TableName, Arc<TableMap>>,
    /// The position after everything that was added.
    position: Position,
    ops: Vec<Op>,
    transactions: u64,
    bytes: u64,
    committed_at_micros: u64,
    has_moved: bool,
}

impl Planner {
    /// A planner for the `tables` of a green of `flavor`, with everything before `position` applied.
    pub fn new(tables: Vec<Table>, flavor: Flavor, position: Position) -> Planner {
        let tables = tables.into_iter().map(|table| (table.name.clone(), Arc::new(TargetTable::new(table, flavor))));
        Planner {
            tables: tables.collect(),
            checked: HashMap::new(),
            position,
            ops: Vec::new(),
            transactions: 0,
            bytes: 0,
            committed_at_micros: 0,
            has_moved: false,
        }
    }

    /// Adds a transaction to the group.
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
                        place.coordinates = Some(rows.end.clone());
                        place.table = Some(rows.table.name.to_string());
                        place.event = Some(event_name(rows.kind).into());
                    }))
                })?,
                Change::Statement(statement) => plan_statement(statement).map_err(at_transaction)?,
            }
        }
        self.ops.append(&mut ops);
        self.transactions += 1;
        self.bytes += transaction.bytes;
        self.committed_at_micros = transaction.committed_at_micros;
        self.position.coordinates = transaction.end.clone();
        if let (Some(executed), Some(gtid)) = (&mut self.position.gtid, &transaction.gtid)
            && !executed.insert(gtid)
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
        for row in &change.rows {
            let image = |image: &Option<_>| match image {
                Some(image) => mapping::row(image, &table),
                None => Err(Error::internal("a row change without an image it must have")),
            };
            let row = match change.kind {
                ChangeKind::Insert => RowOp::Insert(image(&row.after)?),
                ChangeKind::Update => RowOp::Update { before: image(&row.before)?, after: image(&row.after)? },
                ChangeKind::Delete => RowOp::Delete(image(&row.before)?),
            };
            ops.push(Op { table: table.clone(), row, foreign_key_checks: !change.flags.no_foreign_key_checks });
        }
        Ok(())
    }

    /// Green's table for the log's, checked once for each table map that differs from the one before.
    fn target(&mut self, wire: &Arc<TableMap>) -> Result<Arc<TargetTable>> {
        let target = self.tables.get(&wire.name).ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, "green has no such table")
                .with_advice("build green anew with `create`: tables made on blue later are not replicated yet")
        })?;
        let is_checked = self.checked.get(&wire.name).is_some_and(|last| Arc::ptr_eq(last, wire) || last == wire);
        if !is_checked {
            mapping::check(wire, target)?;
            self.checked.insert(wire.name.clone(), wire.clone());
        }
        Ok(target.clone())
    }
}

fn plan_statement(statement: &Statement) -> Result<()> {
    Err(Error::new(
        ErrorKind::Unsupported,
        "a statement logged as text (DDL, or DML in statement format) is not replicated yet",
    )
    .with_advice(
        "for DML set binlog_format=ROW on blue; after DDL or account changes on blue build green anew with `create`",
    )
    .at(|place| {
        place.coordinates = Some(statement.end.clone());
        place.event = Some("QUERY".into());
    }))
}

fn event_name(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Insert => "WRITE_ROWS",
        ChangeKind::Update => "UPDATE_ROWS",
        ChangeKind::Delete => "DELETE_ROWS",
    }
}
