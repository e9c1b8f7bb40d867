use crate::error::{Error, Result};
use crate::model::{ColumnKind, Value};
use crate::net::{identifier, qualified};
use crate::plan::{Op, RowOp, TargetColumn, TargetTable};

use super::literal::{self, Purpose};

/// A statement, and how many rows it must match if green is as blue was.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) sql: String,
    pub(super) expected: Option<u64>,
}

impl std::fmt::Debug for Statement {
    /// Without the text, which holds row values.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Statement({} bytes)", self.sql.len())
    }
}

/// Bytes of a statement at which no further row is added to it.
const STATEMENT_BYTES: usize = 256 << 10;
/// Rows of a DELETE: its condition is a chain of ORs, which green must be able to turn into ranges.
const DELETE_ROWS: usize = 200;

/// The group's statements in order. Neighbours of one kind on one table share a statement.
pub(super) fn statements(ops: &[Op]) -> Result<Vec<Statement>> {
    let mut statements = Vec::new();
    let mut checks = true;
    let mut rest = ops;
    while let [first, ..] = rest {
        if first.foreign_key_checks != checks {
            checks = first.foreign_key_checks;
            statements.push(set_foreign_key_checks(checks));
        }
        let run = rest
            .iter()
            .take_while(|op| {
                op.table == first.table && op.foreign_key_checks == checks && op.row.kind() == first.row.kind()
            })
            .count();
        let (run, after) = rest.split_at(run);
        rest = after;
        render_run(run, &mut statements)
            .map_err(|error| error.at(|place| place.table = Some(first.table.name.to_string())))?;
    }
    if !checks {
        statements.push(set_foreign_key_checks(true));
    }
    Ok(statements)
}

/// The statement that switches the session's foreign key checks.
pub(super) fn set_foreign_key_checks(on: bool) -> Statement {
    Statement { sql: format!("SET foreign_key_checks = {}", u8::from(on)), expected: None }
}

fn render_run(run: &[Op], statements: &mut Vec<Statement>) -> Result<()> {
    let mut rest = run;
    while let [first, ..] = rest {
        let (statement, taken) = match &first.row {
            RowOp::Insert(_) => insert(rest)?,
            RowOp::Delete(before) if first.table.row_key.is_none() => (delete_one(&first.table, before)?, 1),
            RowOp::Delete(_) => delete(rest)?,
            RowOp::Update { before, after } => (update(&first.table, before, after)?, 1),
        };
        statements.push(statement);
        rest = rest.get(taken..).unwrap_or_default();
    }
    Ok(())
}

fn insert(ops: &[Op]) -> Result<(Statement, usize)> {
    let Some(table) = ops.first().map(|op| &op.table) else { return Err(Error::internal("an empty run")) };
    let mut sql = insert_head(table);
    let mut taken = 0;
    for op in ops {
        let RowOp::Insert(row) = &op.row else { break };
        sql.push_str(if taken == 0 { "(" } else { ",(" });
        list(&mut sql, table, row)?;
        sql.push(')');
        taken += 1;
        if sql.len() >= STATEMENT_BYTES {
            break;
        }
    }
    Ok((Statement { sql, expected: Some(taken as u64) }, taken))
}

/// `INSERT` of one row.
pub(super) fn insert_one(table: &TargetTable, row: &[Value]) -> Result<Statement> {
    let mut sql = insert_head(table);
    sql.push('(');
    list(&mut sql, table, row)?;
    sql.push(')');
    Ok(Statement { sql, expected: Some(1) })
}

fn insert_head(table: &TargetTable) -> String {
    let names: Vec<String> =
        table.columns.iter().filter(|column| !column.is_generated).map(|column| identifier(&column.name)).collect();
    format!("INSERT INTO {} ({}) VALUES ", qualified(&table.name), names.join(","))
}

fn list(sql: &mut String, table: &TargetTable, row: &[Value]) -> Result<()> {
    let mut separator = "";
    for (column, value) in table.columns.iter().zip(row).filter(|(column, _)| !column.is_generated) {
        sql.push_str(separator);
        separator = ",";
        write_value(sql, value, column, Purpose::Store)?;
    }
    Ok(())
}

fn delete(ops: &[Op]) -> Result<(Statement, usize)> {
    let Some(table) = ops.first().map(|op| &op.table) else { return Err(Error::internal("an empty run")) };
    let mut sql = format!("DELETE FROM {} WHERE ", qualified(&table.name));
    let mut taken = 0;
    for op in ops.iter().take(DELETE_ROWS) {
        let RowOp::Delete(before) = &op.row else { break };
        sql.push_str(if taken == 0 { "(" } else { " OR (" });
        condition(&mut sql, table, before)?;
        sql.push(')');
        taken += 1;
        if sql.len() >= STATEMENT_BYTES {
            break;
        }
    }
    Ok((Statement { sql, expected: Some(taken as u64) }, taken))
}

/// `DELETE` of the one row that `before` names.
pub(super) fn delete_one(table: &TargetTable, before: &[Value]) -> Result<Statement> {
    let mut sql = format!("DELETE FROM {} WHERE ", qualified(&table.name));
    condition(&mut sql, table, before)?;
    limit_keyless(&mut sql, table);
    Ok(Statement { sql, expected: Some(1) })
}

/// `UPDATE` of the one row that `before` names, setting every column that can be set.
pub(super) fn update(table: &TargetTable, before: &[Value], after: &[Value]) -> Result<Statement> {
    let mut sql = format!("UPDATE {} SET ", qualified(&table.name));
    let mut separator = "";
    for (index, (column, value)) in table.columns.iter().zip(after).enumerate() {
        if column.is_generated {
            continue;
        }
        if before.get(index) == Some(value) && may_be_left_out(column.kind) {
            continue;
        }
        sql.push_str(separator);
        separator = ",";
        sql.push_str(&identifier(&column.name));
        sql.push('=');
        write_value(&mut sql, value, column, Purpose::Store)?;
    }
    if separator.is_empty() {
        // Nothing that can be set differs: the row must still be there, which a matched row proves.
        let Some(column) = table.columns.iter().find(|column| !column.is_generated) else {
            return Err(Error::internal("a table of generated columns only"));
        };
        let name = identifier(&column.name);
        sql.push_str(&format!("{name}={name}"));
    }
    sql.push_str(" WHERE ");
    condition(&mut sql, table, before)?;
    limit_keyless(&mut sql, table);
    Ok(Statement { sql, expected: Some(1) })
}

/// Whether a column that stays as it was need not be set. A time might set itself (ON UPDATE CURRENT_TIMESTAMP); floats
/// that compare as equal can differ in the sign of zero.
fn may_be_left_out(kind: ColumnKind) -> bool {
    !matches!(
        kind,
        ColumnKind::Timestamp | ColumnKind::DateTime | ColumnKind::Float | ColumnKind::Double | ColumnKind::Json
    )
}

/// Deletes whatever row of green excludes `row`: one statement for each unique key, the row key first.
pub(super) fn clear_way(table: &TargetTable, row: &[Value]) -> Result<Vec<Statement>> {
    let mut statements = Vec::new();
    for key in &table.unique_keys {
        // NULL in a unique key excludes nothing.
        if key.is_empty() || key.iter().any(|&index| matches!(row.get(index), None | Some(Value::Null))) {
            continue;
        }
        let mut sql = format!("DELETE FROM {} WHERE ", qualified(&table.name));
        key_condition(&mut sql, table, key, row)?;
        statements.push(Statement { sql, expected: None });
    }
    Ok(statements)
}

fn limit_keyless(sql: &mut String, table: &TargetTable) {
    if table.row_key.is_none() {
        // Equal rows are interchangeable: any one of them is the one.
        sql.push_str(" LIMIT 1");
    }
}

fn condition(sql: &mut String, table: &TargetTable, row: &[Value]) -> Result<()> {
    match &table.row_key {
        Some(key) => key_condition(sql, table, key, row),
        None => image_condition(sql, table, row),
    }
}

/// The key's columns equal the row's, as the server compares them: that is what makes a key unique.
fn key_condition(sql: &mut String, table: &TargetTable, key: &[usize], row: &[Value]) -> Result<()> {
    let mut separator = "";
    for &index in key {
        let (Some(column), Some(value)) = (table.columns.get(index), row.get(index)) else {
            return Err(Error::internal("a key column that the row lacks"));
        };
        sql.extend([separator, &identifier(&column.name), "="]);
        separator = " AND ";
        write_value(sql, value, column, Purpose::Compare)?;
    }
    Ok(())
}

/// Every column equals the row's, byte for byte: a collation would take `a` for `A`.
fn image_condition(sql: &mut String, table: &TargetTable, row: &[Value]) -> Result<()> {
    let mut separator = "";
    for (column, value) in table.columns.iter().zip(row).filter(|(column, _)| !column.is_generated) {
        sql.push_str(separator);
        separator = " AND ";
        let name = identifier(&column.name);
        match (column.kind, value) {
            (ColumnKind::Text, Value::Bytes(_)) => {
                sql.extend(["CAST(", &name, " AS BINARY)<=>CAST("]);
                write_value(sql, value, column, Purpose::Compare)?;
                sql.push_str(" AS BINARY)");
            }
            _ => {
                sql.extend([&name, "<=>"]);
                write_value(sql, value, column, Purpose::Compare)?;
            }
        }
    }
    Ok(())
}

fn write_value(sql: &mut String, value: &Value, column: &TargetColumn, purpose: Purpose) -> Result<()> {
    literal::write(sql, value, column, purpose)
        .map_err(|error| error.at(|place| place.column = Some(column.name.clone())))
}
