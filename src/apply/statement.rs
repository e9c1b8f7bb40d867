use crate::decode::{Image, RowBuffer, ValueRef};
use crate::error::{Error, Result};
use crate::model::{ChangeKind, ColumnKind, Flavor};
use crate::net::{Server, identifier, qualified};
use crate::plan::{Group, Op, RowOp, TargetColumn, TargetTable};

use super::literal::{self, Purpose};
use super::row_event::{Events, RowEvent, RowEvents};

/// A statement, and how many rows it must affect if green is as blue was.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) sql: String,
    pub(super) expected: Option<u64>,
}

impl Statement {
    /// Whether it affected what it had to.
    pub(super) fn is_met(&self, affected: u64) -> bool {
        self.expected.is_none_or(|expected| affected == expected)
    }
}

impl std::fmt::Debug for Statement {
    /// Without the text, which holds row values.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Statement({} bytes)", self.sql.len())
    }
}

/// What green's SQL is like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dialect {
    /// New rows of an upsert have a name; the function that did it before is deprecated, which warns.
    has_row_alias: bool,
    /// The longest statement that green takes.
    pub(super) max_statement_bytes: u64,
    /// What is done about rows that are not as blue had them.
    pub(super) policy: Policy,
    /// `None`: all rows go as SQL.
    row_events: Option<RowEvents>,
}

impl Dialect {
    /// The dialect of a server, in sessions that take row events or do not.
    pub(super) fn of(green: &Server, policy: Policy, row_events: Option<RowEvents>) -> Dialect {
        Dialect {
            has_row_alias: green.version.is_at_least(Flavor::MySql, (8, 0, 19)),
            max_statement_bytes: green.max_allowed_packet,
            policy,
            row_events,
        }
    }

    /// How rows may go as row events.
    pub(super) fn row_events(&self) -> Option<RowEvents> {
        self.row_events
    }
}

/// What becomes of a change of blue whose row somebody else has written on green.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Policy {
    /// Green gets blue's row, and the watch over green's log has the other in its journal. Where blue leaves 4 KiB or more of
    /// a row as they were, green gets what blue changed.
    #[default]
    BlueWins,
    /// The stream stops before green is changed: each row is compared with blue's image before, under its lock, in the
    /// transaction that would change it.
    Stop,
}

/// Bytes of a statement at which no further row is added to it.
pub(super) const STATEMENT_BYTES: usize = 256 << 10;
/// Rows of a condition on a key of one column. MariaDB makes a subquery of lists of 1,000.
const LISTED_ROWS: u64 = 500;
/// Rows of a condition on a key of several columns: a chain of ORs, which every version turns into ranges. For a list of
/// row constructors MySQL before 5.7.3 reads the whole table.
const CHAINED_ROWS: u64 = 200;
/// Bytes that an update leaves as they are at which it is cheaper to name what it changes.
pub(super) const UNCHANGED_BYTES: usize = 4 << 10;
/// Operations of one kind on one table from which on row events are cheaper than statements.
const EVENT_ROWS: usize = 4;

/// The statement that switches the session's foreign key checks.
pub(super) fn set_foreign_key_checks(on: bool) -> Statement {
    Statement { sql: format!("SET foreign_key_checks = {}", u8::from(on)), expected: None }
}

/// Makes statements of a group's operations.
pub(super) struct Renderer<'g> {
    group: &'g Group,
    dialect: Dialect,
    statements: Vec<Statement>,
    row_events: Vec<RowEvent>,
    before: RowBuffer,
    after: RowBuffer,
}

impl<'g> Renderer<'g> {
    pub(super) fn new(group: &'g Group, dialect: Dialect) -> Renderer<'g> {
        let (before, after) = (RowBuffer::new(), RowBuffer::new());
        Renderer { group, dialect, statements: Vec::new(), row_events: Vec::new(), before, after }
    }

    /// The group's statements in order. Neighbours of one kind on one table share statements. Those of row events are the
    /// last, each to be sent without another behind it.
    pub(super) fn statements(mut self) -> Result<Vec<Statement>> {
        let mut checks = true;
        let is_alike = |one: &Op, other: &Op| {
            std::sync::Arc::ptr_eq(&one.table, &other.table)
                && one.foreign_key_checks == other.foreign_key_checks
                && one.row.kind() == other.row.kind()
        };
        for run in self.group.ops.chunk_by(is_alike) {
            let Some(first) = run.first() else { continue };
            if first.foreign_key_checks != checks {
                checks = first.foreign_key_checks;
                self.statements.push(set_foreign_key_checks(checks));
            }
            let rendered = match self.dialect.policy {
                Policy::BlueWins => self.run(&first.table, run),
                // Of operations on one row each finds what the one before it left.
                Policy::Stop => run
                    .chunk_by(|one, other| one.is_merged && other.is_merged)
                    .try_for_each(|run| self.guard(&first.table, run).and_then(|()| self.run(&first.table, run))),
            };
            rendered.map_err(|error| error.at(|place| place.table = Some(first.table.name.to_string())))?;
        }
        if !checks {
            self.statements.push(set_foreign_key_checks(true));
        }
        if let Some(form) = self.dialect.row_events {
            self.statements.extend(form.statements(&self.row_events, self.dialect.script_bytes()));
        }
        Ok(self.statements)
    }

    /// Operations of one kind on one table.
    fn run(&mut self, table: &TargetTable, run: &[Op]) -> Result<()> {
        match self.dialect.row_events {
            Some(form) if run.len() >= EVENT_ROWS && run.iter().all(|op| op.is_merged) => {
                let left = self.as_row_events(form, table, run)?;
                self.as_sql(table, &left)
            }
            _ => self.as_sql(table, run),
        }
    }

    /// Writes rows as row events, in any order: no two operations meet. Gives those that have to go as SQL.
    fn as_row_events(&mut self, form: RowEvents, table: &TargetTable, run: &[Op]) -> Result<Vec<Op>> {
        // A packet has to hold an event in base64 that the longest row was added to last.
        let longest_row = usize::try_from(self.dialect.max_statement_bytes / 4).unwrap_or(usize::MAX);
        let mut events = Events::new(form, self.group, table, longest_row);
        let mut left = Vec::new();
        for op in run {
            if !events.add(op, &mut self.row_events)? {
                left.push(op.clone());
            }
        }
        events.finish(&mut self.row_events);
        Ok(left)
    }

    fn as_sql(&mut self, table: &TargetTable, run: &[Op]) -> Result<()> {
        match run.first().map(|op| op.row.kind()) {
            Some(ChangeKind::Insert) => self.inserts(table, run),
            Some(ChangeKind::Update) => self.updates(table, run),
            Some(ChangeKind::Delete) => self.deletes(table, run),
            None => Ok(()),
        }
    }

    /// Counts the rows that are as blue had them. Without a key that is done by the operation itself, and what comes is
    /// excluded by what is there.
    fn guard(&mut self, table: &TargetTable, run: &[Op]) -> Result<()> {
        if table.row_key.is_none() {
            return Ok(());
        }
        let mut rows = Keys::new(format!("UPDATE {} SET {} WHERE ", qualified(&table.name), no_change(table)?));
        for op in run {
            let (RowOp::Update { before: place, .. } | RowOp::Delete(place)) = op.row else { continue };
            rows.push_image(table, &self.group.before(place, &mut self.before)?)?;
            if rows.is_full() {
                rows.finish(&mut self.statements);
            }
        }
        rows.finish(&mut self.statements);
        Ok(())
    }

    fn inserts(&mut self, table: &TargetTable, run: &[Op]) -> Result<()> {
        let mut rows = Rows::new(insert_head(table, |_| true), String::new(), 1);
        let mut has_all = true;
        for op in run {
            let RowOp::Insert(place) = op.row else { continue };
            let row = self.group.after(place, &mut self.after)?;
            let is_full = table.is_full(&row);
            if !(is_full && has_all) {
                let head = insert_head(table, |index| row.has(index));
                if head != rows.head {
                    rows.finish(&mut self.statements);
                    (rows.head, has_all) = (head, is_full);
                }
            }
            rows.open();
            list(&mut rows.sql, table, &row)?;
            rows.close();
            if rows.is_full() {
                rows.finish(&mut self.statements);
            }
        }
        rows.finish(&mut self.statements);
        Ok(())
    }

    fn updates(&mut self, table: &TargetTable, run: &[Op]) -> Result<()> {
        // 2 is how the server counts a row that was there and is changed; 1 a new one, or one that is as it was.
        let mut rows = Rows::new(insert_head(table, |_| true), upsert_tail(table, self.dialect), 2);
        let mut guard = Keys::new(format!("UPDATE {} SET {} WHERE ", qualified(&table.name), no_change(table)?));
        for op in run {
            let RowOp::Update { before, after, keeps_key } = op.row else { continue };
            let (before, after) =
                (self.group.before(before, &mut self.before)?, self.group.after(after, &mut self.after)?);
            let is_upsert = run.len() > 1
                && keeps_key
                && (table.has_one_key || table.has_primary_key && op.is_merged)
                && table.is_full(&before)
                && table.is_full(&after)
                && is_worth_an_upsert(table, &before, &after);
            if is_upsert {
                rows.open();
                list(&mut rows.sql, table, &after)?;
                rows.close();
                // With one unique key nothing but the row itself can be hit. With several, a row that is not there may
                // hit another, so the rows are asked for first.
                if !table.has_one_key {
                    guard.push(table, &before)?;
                }
            }
            if !is_upsert || rows.is_full() || guard.is_full() {
                guard.finish(&mut self.statements);
                rows.finish(&mut self.statements);
            }
            if !is_upsert {
                self.statements.push(update(table, &before, &after)?);
            }
        }
        guard.finish(&mut self.statements);
        rows.finish(&mut self.statements);
        Ok(())
    }

    fn deletes(&mut self, table: &TargetTable, run: &[Op]) -> Result<()> {
        let mut keys = Keys::new(format!("DELETE FROM {} WHERE ", qualified(&table.name)));
        for op in run {
            let RowOp::Delete(place) = op.row else { continue };
            let row = self.group.before(place, &mut self.before)?;
            if table.row_key.is_none() {
                self.statements.push(delete_one(table, &row)?);
                continue;
            }
            keys.push(table, &row)?;
            if keys.is_full() {
                keys.finish(&mut self.statements);
            }
        }
        keys.finish(&mut self.statements);
        Ok(())
    }
}

/// A statement about rows of certain keys while it grows.
struct Keys {
    head: String,
    sql: String,
    count: u64,
    is_list: bool,
}

impl Keys {
    fn new(head: String) -> Keys {
        Keys { head, sql: String::new(), count: 0, is_list: false }
    }

    fn push(&mut self, table: &TargetTable, row: &Image<'_>) -> Result<()> {
        let Some(key) = &table.row_key else { return Err(Error::internal("a table without a row key")) };
        if let [index] = key.as_slice()
            && let Some(column) = table.columns.get(*index)
        {
            self.is_list = true;
            match self.count {
                0 => self.sql.extend([&self.head, &identifier(&column.name), " IN ("]),
                _ => self.sql.push(','),
            }
            write_value(&mut self.sql, value_at(row, *index)?, column, Purpose::Compare)?;
        } else {
            self.sql.extend(if self.count == 0 { [&self.head, "("] } else { [") OR (", ""] });
            key_condition(&mut self.sql, table, key, row)?;
        }
        self.count += 1;
        Ok(())
    }

    fn push_image(&mut self, table: &TargetTable, row: &Image<'_>) -> Result<()> {
        self.sql.extend(if self.count == 0 { [&self.head, "("] } else { [") OR (", ""] });
        as_it_was(&mut self.sql, table, row)?;
        self.count += 1;
        Ok(())
    }

    fn is_full(&self) -> bool {
        let most = if self.is_list { LISTED_ROWS } else { CHAINED_ROWS };
        self.count >= most || self.sql.len() >= STATEMENT_BYTES
    }

    fn finish(&mut self, statements: &mut Vec<Statement>) {
        if self.count > 0 {
            let mut sql = std::mem::take(&mut self.sql);
            sql.push(')');
            statements.push(Statement { sql, expected: Some(std::mem::take(&mut self.count)) });
        }
    }
}

/// A statement of many rows while it grows.
struct Rows {
    head: String,
    tail: String,
    /// How many rows the server says it affected for each.
    affected: u64,
    sql: String,
    count: u64,
}

impl Rows {
    fn new(head: String, tail: String, affected: u64) -> Rows {
        Rows { head, tail, affected, sql: String::new(), count: 0 }
    }

    fn open(&mut self) {
        self.sql.push_str(if self.count == 0 { &self.head } else { "," });
        self.sql.push('(');
        self.count += 1;
    }

    fn close(&mut self) {
        self.sql.push(')');
    }

    fn is_full(&self) -> bool {
        self.sql.len() >= STATEMENT_BYTES
    }

    fn finish(&mut self, statements: &mut Vec<Statement>) {
        if self.count > 0 {
            let mut sql = std::mem::take(&mut self.sql);
            sql.push_str(&self.tail);
            statements.push(Statement { sql, expected: Some(std::mem::take(&mut self.count) * self.affected) });
        }
    }
}

/// Whether something changes, and not too little of a long row.
fn is_worth_an_upsert(table: &TargetTable, before: &Image<'_>, after: &Image<'_>) -> bool {
    let written = || table.columns.iter().enumerate().filter(|(_, column)| !column.is_generated);
    let changes = written().any(|(index, _)| !before.is_same_at(after, index));
    changes && unchanged_bytes(table, before, after) < UNCHANGED_BYTES
}

/// Bytes of the columns that an update leaves as they are.
pub(super) fn unchanged_bytes(table: &TargetTable, before: &Image<'_>, after: &Image<'_>) -> usize {
    let written = table.columns.iter().enumerate().filter(|(_, column)| !column.is_generated);
    written.filter(|(index, _)| before.is_same_at(after, *index)).map(|(index, _)| after.byte_count_at(index)).sum()
}

/// `INSERT` of one row.
pub(super) fn insert_one(table: &TargetTable, row: &Image<'_>) -> Result<Statement> {
    let mut sql = insert_head(table, |index| row.has(index));
    sql.push('(');
    list(&mut sql, table, row)?;
    sql.push(')');
    Ok(Statement { sql, expected: Some(1) })
}

/// What the log leaves out of a row that comes has the column's default, on green as on blue.
fn insert_head(table: &TargetTable, has: impl Fn(usize) -> bool) -> String {
    let columns = table.columns.iter().enumerate().filter(|(index, column)| !column.is_generated && has(*index));
    let names: Vec<String> = columns.map(|(_, column)| identifier(&column.name)).collect();
    format!("INSERT INTO {} ({}) VALUES ", qualified(&table.name), names.join(","))
}

/// Behind the rows of an insert: a row that is there takes all values but those of its key.
fn upsert_tail(table: &TargetTable, dialect: Dialect) -> String {
    let is_key = |index: usize| table.row_key.as_ref().is_some_and(|key| key.contains(&index));
    let assignments: Vec<String> = table
        .columns
        .iter()
        .enumerate()
        .filter(|(index, column)| !column.is_generated && !is_key(*index))
        .map(|(_, column)| identifier(&column.name))
        .map(|name| match dialect.has_row_alias {
            true => format!("{name}=bluegreen_row.{name}"),
            false => format!("{name}=VALUES({name})"),
        })
        .collect();
    let alias = if dialect.has_row_alias { " AS bluegreen_row" } else { "" };
    format!("{alias} ON DUPLICATE KEY UPDATE {}", assignments.join(","))
}

fn list(sql: &mut String, table: &TargetTable, row: &Image<'_>) -> Result<()> {
    let mut separator = "";
    for (column, value) in table.columns.iter().zip(row.iter()).filter(|(column, _)| !column.is_generated) {
        let Some(value) = value? else { continue };
        sql.push_str(separator);
        separator = ",";
        write_value(sql, value, column, Purpose::Store)?;
    }
    Ok(())
}

/// `DELETE` of the one row that `before` names.
pub(super) fn delete_one(table: &TargetTable, before: &Image<'_>) -> Result<Statement> {
    let mut sql = format!("DELETE FROM {} WHERE ", qualified(&table.name));
    condition(&mut sql, table, before)?;
    limit_keyless(&mut sql, table);
    Ok(Statement { sql, expected: Some(1) })
}

/// `UPDATE` of the one row that `before` names, setting every column that can be set: blue's row is green's then, whatever
/// was there. Of a long row only what changed.
pub(super) fn update(table: &TargetTable, before: &Image<'_>, after: &Image<'_>) -> Result<Statement> {
    let names_changes = unchanged_bytes(table, before, after) >= UNCHANGED_BYTES;
    let mut sql = format!("UPDATE {} SET ", qualified(&table.name));
    let mut separator = "";
    for (index, (column, value)) in table.columns.iter().zip(after.iter()).enumerate() {
        if column.is_generated {
            continue;
        }
        let (value, name) = (value?, identifier(&column.name));
        let stays = match value {
            Some(_) => names_changes && before.is_same_at(after, index) && may_be_left_out(column.kind),
            None => !may_set_itself(column.kind),
        };
        if stays {
            continue;
        }
        sql.extend([separator, &name, "="]);
        separator = ",";
        match value {
            Some(ValueRef::JsonDiff(diff)) => literal::write_edits(&mut sql, &name, diff)?,
            Some(value) => write_value(&mut sql, value, column, Purpose::Store)?,
            None => sql.push_str(&name),
        }
    }
    if separator.is_empty() {
        // Nothing that can be set differs: the row must still be there, which a matched row proves.
        sql.push_str(&no_change(table)?);
    }
    sql.push_str(" WHERE ");
    condition(&mut sql, table, before)?;
    limit_keyless(&mut sql, table);
    Ok(Statement { sql, expected: Some(1) })
}

/// An assignment that changes nothing, so that only matched rows are counted.
fn no_change(table: &TargetTable) -> Result<String> {
    let written = || table.columns.iter().enumerate().filter(|(_, column)| !column.is_generated);
    // Of an assignment to the key green would make a table of its own first.
    let is_key = |index: &usize| table.row_key.as_ref().is_some_and(|key| key.contains(index));
    let Some((_, column)) = written().find(|(index, _)| !is_key(index)).or_else(|| written().next()) else {
        return Err(Error::internal("a table of generated columns only"));
    };
    let name = identifier(&column.name);
    Ok(format!("{name}={name}"))
}

/// Whether a column that stays as it was need not be set: floats that compare as equal can differ in the sign of zero.
fn may_be_left_out(kind: ColumnKind) -> bool {
    !may_set_itself(kind) && !matches!(kind, ColumnKind::Float | ColumnKind::Double | ColumnKind::Json)
}

/// Whether a column that is not set may change with the others (ON UPDATE CURRENT_TIMESTAMP).
fn may_set_itself(kind: ColumnKind) -> bool {
    matches!(kind, ColumnKind::Timestamp | ColumnKind::DateTime)
}

/// Deletes whatever row of green excludes `row`: one statement for each unique key, the row key first.
pub(super) fn clear_way(table: &TargetTable, row: &Image<'_>) -> Result<Vec<Statement>> {
    let mut statements = Vec::new();
    for key in &table.unique_keys {
        // NULL in a unique key excludes nothing.
        if key.is_empty() || excludes_nothing(key, row)? {
            continue;
        }
        let mut sql = format!("DELETE FROM {} WHERE ", qualified(&table.name));
        key_condition(&mut sql, table, key, row)?;
        statements.push(Statement { sql, expected: None });
    }
    Ok(statements)
}

fn excludes_nothing(key: &[usize], row: &Image<'_>) -> Result<bool> {
    for &index in key {
        if matches!(row.get(index)?, None | Some(ValueRef::Null)) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn limit_keyless(sql: &mut String, table: &TargetTable) {
    if table.row_key.is_none() {
        // Equal rows are interchangeable: any one of them is the one.
        sql.push_str(" LIMIT 1");
    }
}

fn condition(sql: &mut String, table: &TargetTable, row: &Image<'_>) -> Result<()> {
    match &table.row_key {
        Some(key) => key_condition(sql, table, key, row),
        None => image_condition(sql, table, row),
    }
}

/// The key's columns equal the row's, as the server compares them: that is what makes a key unique.
fn key_condition(sql: &mut String, table: &TargetTable, key: &[usize], row: &Image<'_>) -> Result<()> {
    let mut separator = "";
    for &index in key {
        let Some(column) = table.columns.get(index) else { return Err(no_value()) };
        sql.extend([separator, &identifier(&column.name), "="]);
        separator = " AND ";
        write_value(sql, value_at(row, index)?, column, Purpose::Compare)?;
    }
    Ok(())
}

/// The key's columns equal the row's, and so do all others that the image has, byte for byte.
fn as_it_was(sql: &mut String, table: &TargetTable, row: &Image<'_>) -> Result<()> {
    let Some(key) = &table.row_key else { return image_condition(sql, table, row) };
    key_condition(sql, table, key, row)?;
    for (index, column) in table.columns.iter().enumerate().filter(|(_, column)| !column.is_generated) {
        if let Some(value) = row.get(index)? {
            sql.push_str(" AND ");
            same_value(sql, column, value)?;
        }
    }
    Ok(())
}

/// A statement that changes nothing, and matches the row if it is as blue had it. Only for tables with a row key.
pub(super) fn is_as_it_was(table: &TargetTable, before: &Image<'_>) -> Result<Statement> {
    let mut sql = format!("UPDATE {} SET {} WHERE ", qualified(&table.name), no_change(table)?);
    as_it_was(&mut sql, table, before)?;
    Ok(Statement { sql, expected: Some(1) })
}

/// Every column equals the row's, byte for byte: a collation would take `a` for `A`.
fn image_condition(sql: &mut String, table: &TargetTable, row: &Image<'_>) -> Result<()> {
    let mut separator = "";
    for (column, value) in table.columns.iter().zip(row.iter()).filter(|(column, _)| !column.is_generated) {
        let value = value?.ok_or_else(no_value)?;
        sql.push_str(separator);
        separator = " AND ";
        same_value(sql, column, value)?;
    }
    Ok(())
}

fn same_value(sql: &mut String, column: &TargetColumn, value: ValueRef<'_>) -> Result<()> {
    let name = identifier(&column.name);
    match (column.kind, value) {
        (ColumnKind::Text, ValueRef::Bytes(_)) => {
            sql.extend(["CAST(", &name, " AS BINARY)<=>CAST("]);
            write_value(sql, value, column, Purpose::Compare)?;
            sql.push_str(" AS BINARY)");
        }
        _ => {
            sql.extend([&name, "<=>"]);
            write_value(sql, value, column, Purpose::Compare)?;
        }
    }
    Ok(())
}

fn value_at<'r>(row: &Image<'r>, index: usize) -> Result<ValueRef<'r>> {
    row.get(index)?.ok_or_else(no_value)
}

fn no_value() -> Error {
    Error::internal("a column that the row lacks")
}

fn write_value(sql: &mut String, value: ValueRef<'_>, column: &TargetColumn, purpose: Purpose) -> Result<()> {
    literal::write(sql, value, column, purpose)
        .map_err(|error| error.at(|place| place.column = Some(column.name.clone())))
}
