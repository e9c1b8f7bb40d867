//! Which tables are compared, and where each is cut.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::mpsc;

use super::compare::Findings;
use super::difference::{Difference, DifferenceKind};
use super::pair::{Both, Pair};
use super::range::Range;
use super::reads::boundary;
use super::settle::Sides;
use super::{VerifyConfig, is_redefinition};
use crate::error::{Error, ErrorKind, Result};
use crate::model::TableName;
use crate::net::{self, Server, Session};

/// Bytes of rows that a chunk should not exceed, by blue's average row length.
const CHUNK_BYTES: u64 = 32 << 20;

/// A piece of a table.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) pair: Arc<Pair>,
    pub(super) range: Range,
}

/// Something that was done.
#[derive(Debug)]
pub(super) enum Step {
    /// A table was cut into so many chunks; with a reason where not all of it could be cut.
    Cut { table: TableName, chunks: u64, reason: Option<String> },
    /// A chunk was compared.
    Compared { table: TableName, findings: Findings },
}

/// The work that lies ahead.
pub(super) struct Planned {
    pub(super) tables: Vec<(Arc<Pair>, u64)>,
    /// Tables and columns that only one side has.
    pub(super) one_sided: Vec<Difference>,
    pub(super) rows_estimate: u64,
}

/// Reads both catalogues and pairs what both have.
pub(super) async fn tables(
    config: &VerifyConfig,
    blue_server: &Server,
    green_server: &Server,
    sides: &mut Sides,
) -> Result<Planned> {
    let (mut blue, mut green) = tokio::try_join!(net::tables(&mut sides.blue), net::tables(&mut sides.green))?;
    if let Some(wanted) = &config.tables {
        let wanted: BTreeSet<&TableName> = wanted.iter().collect();
        blue.retain(|table| wanted.contains(&table.name));
        green.retain(|table| wanted.contains(&table.name));
        let is_known = |name: &TableName| blue.iter().chain(&green).any(|table| table.name == *name);
        if let Some(name) = wanted.into_iter().find(|name| !is_known(name)) {
            return Err(Error::new(ErrorKind::Config, format!("there is no table {name} on either server"))
                .with_advice("write names as SCHEMA.TABLE"));
        }
    }
    let sizes = sizes(&mut sides.blue).await?;
    let versions = Both { blue: blue_server.version, green: green_server.version };
    let one = |table: &TableName, kind, columns| Difference { table: table.clone(), key: Vec::new(), kind, columns };
    let mut planned = Planned { tables: Vec::new(), one_sided: Vec::new(), rows_estimate: 0 };
    for table in &blue {
        let Some(twin) = green.iter().find(|other| other.name == table.name) else {
            planned.one_sided.push(one(&table.name, DifferenceKind::MissingOnGreen, Vec::new()));
            continue;
        };
        let pair = Pair::new(table, twin, &versions);
        if !pair.missing.is_empty() {
            planned.one_sided.push(one(&table.name, DifferenceKind::MissingOnGreen, pair.missing.clone()));
        }
        let (rows, row_bytes) = sizes.get(&table.name).copied().unwrap_or_default();
        planned.rows_estimate += rows;
        let fitting = CHUNK_BYTES.checked_div(row_bytes).unwrap_or(u64::MAX).max(16);
        planned.tables.push((Arc::new(pair), fitting));
    }
    let names: BTreeSet<&TableName> = blue.iter().map(|table| &table.name).collect();
    let extra = green.iter().filter(|table| !names.contains(&table.name));
    planned.one_sided.extend(extra.map(|table| one(&table.name, DifferenceKind::ExtraOnGreen, Vec::new())));
    Ok(planned)
}

/// Rows and average row length by the server's statistics.
async fn sizes(session: &mut Session) -> Result<BTreeMap<TableName, (u64, u64)>> {
    let rows = session
        .rows(
            "SELECT TABLE_SCHEMA, TABLE_NAME, COALESCE(TABLE_ROWS, 0), COALESCE(AVG_ROW_LENGTH, 0) \
             FROM information_schema.TABLES WHERE TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED')",
        )
        .await?;
    let size = |index, row: &net::Row| row.number(index).unwrap_or(0);
    Ok(rows.iter().map(|row| (TableName::new(row.text(0), row.text(1)), (size(2, row), size(3, row)))).collect())
}

/// Cuts the tables one after the other and hands the chunks on.
pub(super) async fn cut(
    mut blue: Session,
    tables: Vec<(Arc<Pair>, u64)>,
    chunk_rows: u64,
    chunks: mpsc::Sender<Chunk>,
    steps: mpsc::Sender<Step>,
) -> Result<()> {
    for (pair, fitting) in tables {
        let is_walkable = pair.key.as_ref().is_some_and(|key| key.index.is_some());
        let rows = chunk_rows.max(1).min(fitting);
        let (mut count, mut above, mut reason) = (0, None, None);
        loop {
            let up_to = if is_walkable {
                match boundary(&mut blue, &pair, above.clone(), rows).await {
                    Ok(up_to) => up_to,
                    Err(error) if is_redefinition(&error) => {
                        reason = Some("it was redefined while it was compared".to_owned());
                        break;
                    }
                    Err(error) => return Err(error.at(|place| place.table = Some(pair.name.to_string()))),
                }
            } else {
                None
            };
            let range = Range { above, up_to: up_to.clone() };
            count += 1;
            if chunks.send(Chunk { pair: pair.clone(), range }).await.is_err() {
                return Ok(());
            }
            if up_to.is_none() {
                break;
            }
            above = up_to;
        }
        let step = Step::Cut { table: pair.name.clone(), chunks: count, reason };
        if steps.send(step).await.is_err() {
            return Ok(());
        }
    }
    blue.close().await;
    Ok(())
}
