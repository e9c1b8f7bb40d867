//! Tables that are green's own: blue's changes of them are not applied.

use std::collections::BTreeSet;

use crate::error::{Error, ErrorKind, Result};
use crate::model::TableName;
use crate::net::{Session, text_literal};

/// The tables that are green's own.
pub(crate) async fn kept_tables(green: &mut Session) -> Result<BTreeSet<TableName>> {
    match green.rows("SELECT table_schema, table_name FROM bluegreen.kept_table").await {
        Ok(rows) => Ok(rows.iter().map(|row| TableName::new(row.text(0), row.text(1))).collect()),
        // Green was not built by `create`.
        Err(error) if matches!(error.code(), Some(1049 | 1146)) => Ok(BTreeSet::new()),
        Err(error) => Err(error),
    }
}

/// Makes these the tables that are green's own. None that is can become blue's again: its changes were not applied.
///
/// # Errors
/// `State` where green was not built by `create`, or where a table that is green's own is left out; nothing is changed
/// then.
pub(crate) async fn keep_green(green: &mut Session, wanted: &BTreeSet<TableName>) -> Result<()> {
    let kept = kept_tables(green).await?;
    if let Some(lost) = kept.iter().find(|table| !wanted.contains(table)) {
        return Err(Error::new(ErrorKind::State, format!("{lost} is green's own, and has missed blue's changes"))
            .with_advice("name it in `keep_green` again, or build green anew with `create`"));
    }
    for table in wanted.difference(&kept) {
        // The table marks the change as the engine's.
        let insert = format!(
            "INSERT INTO bluegreen.kept_table VALUES ({}, {})",
            text_literal(&table.schema),
            text_literal(&table.table)
        );
        green.run(&insert).await.map_err(|error| match error.code() {
            Some(1049 | 1146) => Error::new(ErrorKind::State, "green has no record of a deployment")
                .with_advice("tables can be kept once green was built by `create`"),
            _ => error,
        })?;
    }
    Ok(())
}
