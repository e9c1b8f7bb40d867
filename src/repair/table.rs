//! The statements that copy rows of one table.

use super::Key;
use crate::create::literal::Plan;
use crate::create::variables::{LENIENT, STRICT};
use crate::error::{Error, ErrorKind, Result};
use crate::model;
use crate::net::{Session, qualified};

/// Rows that one statement asks for, or deletes.
const ROWS_A_STATEMENT: usize = 50;
/// Length from which an INSERT gets no more rows.
const STATEMENT_BYTES: usize = 1 << 20;

/// A row as blue prints it; `None`: there is none.
pub(super) type Row = Option<Vec<Option<Vec<u8>>>>;

/// How the rows of a table are read from blue and written to green.
pub(super) struct Table {
    name: String,
    plan: Plan,
}

impl Table {
    /// Copies the columns that both have and neither computes.
    pub(super) fn new(blue: model::Table, mut green: model::Table) -> Result<Table> {
        green.columns.retain(|column| {
            let twin = blue.columns.iter().find(|other| other.name.eq_ignore_ascii_case(&column.name));
            !column.is_generated && twin.is_some_and(|twin| !twin.is_generated)
        });
        Ok(Table { name: qualified(&green.name), plan: Plan::new(&green)? })
    }

    /// The rows of these keys on blue, in the same order.
    pub(super) async fn read(&self, blue: &mut Session, keys: &[&Key]) -> Result<Vec<Row>> {
        let mut rows: Vec<Row> = vec![None; keys.len()];
        let columns = self.plan.select.strip_prefix("SELECT ").unwrap_or_default();
        for (some, slots) in keys.chunks(ROWS_A_STATEMENT).zip(rows.chunks_mut(ROWS_A_STATEMENT)) {
            // No UNION: it would find a type of its own for every column.
            let cases = some.iter().enumerate().map(|(index, key)| format!("WHEN {} THEN {index}", key.0));
            let sql = format!(
                "SELECT CASE {} END, {columns} WHERE {}",
                cases.collect::<Vec<_>>().join(" "),
                any_of(some.iter().map(|key| key.0.as_str()))
            );
            for row in blue.rows(&sql).await? {
                let at = row.number(0).and_then(|index| usize::try_from(index).ok());
                let slot = at.and_then(|at| slots.get_mut(at));
                let slot = slot.ok_or_else(|| Error::internal("a row came that was not asked for"))?;
                *slot = row.columns().get(1..).map(<[_]>::to_vec);
            }
        }
        Ok(rows)
    }

    /// Makes the rows of these keys on green what they are on blue. All go before any comes: values may have moved from
    /// row to row.
    pub(super) async fn write(&self, green: &mut Session, rows: &[(&Key, Row)]) -> Result<()> {
        for some in rows.chunks(ROWS_A_STATEMENT) {
            let rows = any_of(some.iter().map(|(key, _)| key.1.as_str()));
            green.run(&format!("DELETE FROM {} WHERE {rows}", self.name)).await?;
        }
        let rows: Vec<&[Option<Vec<u8>>]> = rows.iter().filter_map(|(_, row)| row.as_deref()).collect();
        let (lenient, strict): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| self.plan.enum_errors(row) > 0);
        for (mode, rows) in [(STRICT, strict), (LENIENT, lenient)] {
            if !rows.is_empty() {
                green.run(&format!("SET SESSION sql_mode = '{mode}'")).await?;
                self.insert(green, &rows).await?;
            }
        }
        Ok(())
    }

    async fn insert(&self, green: &mut Session, rows: &[&[Option<Vec<u8>>]]) -> Result<()> {
        let (mut sql, mut count, mut warnings) = (String::new(), 0, 0);
        for (index, row) in rows.iter().enumerate() {
            sql.push_str(if sql.is_empty() { &self.plan.insert } else { "," });
            self.plan.push_row(&mut sql, row)?;
            count += 1;
            warnings += self.plan.enum_errors(row);
            if sql.len() >= STATEMENT_BYTES || count as usize >= 10 * ROWS_A_STATEMENT || index + 1 == rows.len() {
                let done = green.run(&sql).await?;
                if done.affected != count || usize::from(done.warnings) != warnings {
                    return Err(Error::new(ErrorKind::Divergence, "green would store a row differently"));
                }
                (sql, count, warnings) = (String::new(), 0, 0);
            }
        }
        Ok(())
    }
}

fn any_of<'a>(predicates: impl Iterator<Item = &'a str>) -> String {
    predicates.map(|predicate| format!("({predicate})")).collect::<Vec<_>>().join(" OR ")
}
