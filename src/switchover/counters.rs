//! Where AUTO_INCREMENT goes on. Rows that blue made and deleted again, or took back, moved its counter and left nothing for
//! green's: without this a number that blue has given would be given a second time.

use std::collections::BTreeMap;

use crate::deployment;
use crate::error::Result;
use crate::model::TableName;
use crate::net::{NOT_SYSTEM, Session, identifier, qualified};

/// The counters of tables, by name.
pub(super) type Counters = BTreeMap<TableName, Counter>;

pub(super) struct Counter {
    column: String,
    /// The number that comes next.
    pub(super) next: u64,
}

/// Reads them, as exactly as the server knows them. Engines without transactions have none but their largest number.
pub(super) async fn read(session: &mut Session) -> Result<Counters> {
    // MySQL 8.0 and newer answer from what they knew a day ago; other servers do not have the variable.
    match session.run("SET SESSION information_schema_stats_expiry = 0").await {
        Err(error) if error.code().is_none() => return Err(error),
        _ => {}
    }
    let columns = session
        .rows(&format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME FROM information_schema.COLUMNS \
             WHERE LOWER(TABLE_SCHEMA) {NOT_SYSTEM} AND EXTRA LIKE '%auto_increment%'"
        ))
        .await?;
    // NULL: it was never used.
    let mut counters: Counters = columns
        .iter()
        .map(|row| (TableName::new(row.text(0), row.text(1)), Counter { column: row.text(2), next: 1 }))
        .collect();
    let numbers = session
        .rows(&format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME, AUTO_INCREMENT FROM information_schema.TABLES \
             WHERE LOWER(TABLE_SCHEMA) {NOT_SYSTEM} AND AUTO_INCREMENT IS NOT NULL AND ENGINE = 'InnoDB'"
        ))
        .await?;
    for row in numbers {
        let counter = counters.get_mut(&TableName::new(row.text(0), row.text(1)));
        if let (Some(counter), Ok(next)) = (counter, row.text(2).parse()) {
            counter.next = next;
        }
    }
    Ok(counters)
}

/// Green's counters that stand before blue's, where blue's stand. A table that is green's own is none of blue's.
pub(super) async fn behind(of_blue: &Counters, green: &mut Session) -> Result<Counters> {
    let (mut counters, kept) = (read(green).await?, deployment::kept_tables(green).await?);
    counters.retain(|name, counter| match of_blue.get(name) {
        Some(blue) if counter.next < blue.next && !kept.contains(name) => {
            counter.next = blue.next;
            true
        }
        _ => false,
    });
    Ok(counters)
}

/// Moves a counter by a row that is taken back at once: no log has it, and it waits for no reader. Answers whether it could;
/// a row that says nothing but its number may not be possible.
///
/// # Errors
/// A lost connection.
pub(super) async fn push(green: &mut Session, name: &TableName, counter: &Counter) -> Result<bool> {
    let (table, column) = (qualified(name), identifier(&counter.column));
    green.run("BEGIN").await?;
    let pushed =
        green.run(&format!("INSERT INTO {table} ({column}) VALUES ({})", counter.next.saturating_sub(1))).await;
    green.run("ROLLBACK").await?;
    match pushed {
        Err(error) if error.code().is_none() => Err(error),
        pushed => Ok(pushed.is_ok()),
    }
}

/// The statement that sets a counter.
pub(super) fn set(name: &TableName, next: u64) -> String {
    format!("ALTER TABLE {} AUTO_INCREMENT = {next}", qualified(name))
}
