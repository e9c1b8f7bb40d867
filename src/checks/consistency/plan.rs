//! Which tables are compared, and where each is cut.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::mpsc;

use super::compare::Findings;
use super::difference::{Difference, DifferenceKind};
use super::due::Part;
use super::pace::Pace;
use super::pair::{Both, Pair};
use super::range::{KeyText, Keys, Range, Rows};
use super::reads::boundary;
use super::settle::{Judgement, Rounds, Sides, Witness};
use super::{VerifyConfig, is_redefinition};
use crate::deployment;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Table, TableName};
use crate::net::{self, Server, Session};

/// Bytes of rows that a chunk should not exceed, by blue's average row length.
const CHUNK_BYTES: u64 = 32 << 20;
/// Keys of a chunk. More make long statements, for which MySQL's optimizer wants memory by the key.
const CHUNK_KEYS: usize = 500;

/// A piece of a table.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) pair: Arc<Pair>,
    pub(super) rows: Rows,
}

/// Something that was done.
#[derive(Debug)]
pub(super) enum Step {
    /// A table was cut into so many chunks; with a reason where not all of it could be cut.
    Cut { table: TableName, chunks: u64, reason: Option<String> },
    /// A chunk was compared.
    Compared { table: TableName, findings: Findings },
}

/// What there is to compare.
pub(super) struct Planned {
    pub(super) tables: Vec<PlannedTable>,
    /// Tables and columns that only one side has.
    pub(super) one_sided: Vec<Difference>,
}

/// A table that both sides have.
pub(super) struct PlannedTable {
    pub(super) pair: Arc<Pair>,
    pub(super) definitions: Both<Table>,
    /// As blue's statistics estimate them.
    pub(super) rows: u64,
    /// Rows that make a chunk of a size to be read at once.
    pub(super) fitting: u64,
}

/// A table, or rows of it, to be cut into chunks.
pub(super) struct Task {
    pub(super) pair: Arc<Pair>,
    pub(super) part: Part,
    pub(super) fitting: u64,
}

/// Reads both catalogues and pairs what both have.
pub(super) async fn tables(
    config: &VerifyConfig,
    blue_server: &Server,
    green_server: &Server,
    sides: &mut Sides,
) -> Result<Planned> {
    let (mut blue, mut green) = definitions(config, blue_server, sides).await?;
    let kept = deployment::kept_tables(&mut sides.green).await?;
    blue.retain(|table| !kept.contains(&table.name));
    green.retain(|table| !kept.contains(&table.name));
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
    let have_zero_signs =
        net::tells_zero_signs(&mut sides.blue).await? && net::tells_zero_signs(&mut sides.green).await?;
    let one = |table: &TableName, kind, columns| Difference { table: table.clone(), key: Vec::new(), kind, columns };
    let mut planned = Planned { tables: Vec::new(), one_sided: Vec::new() };
    let names: BTreeSet<TableName> = blue.iter().map(|table| table.name.clone()).collect();
    let extra = green.iter().filter(|table| !names.contains(&table.name));
    let extra: Vec<Difference> =
        extra.map(|table| one(&table.name, DifferenceKind::ExtraOnGreen, Vec::new())).collect();
    for table in blue {
        let Some(twin) = green.iter().find(|other| other.name == table.name) else {
            planned.one_sided.push(one(&table.name, DifferenceKind::MissingOnGreen, Vec::new()));
            continue;
        };
        let pair = Pair::new(&table, twin, &versions);
        let pair = if have_zero_signs { pair } else { pair.without_zero_signs() };
        if !pair.missing.is_empty() {
            planned.one_sided.push(one(&table.name, DifferenceKind::MissingOnGreen, pair.missing.clone()));
        }
        let (rows, row_bytes) = sizes.get(&table.name).copied().unwrap_or_default();
        let fitting = CHUNK_BYTES.checked_div(row_bytes).unwrap_or(u64::MAX).max(16);
        let definitions = Both { green: twin.clone(), blue: table };
        planned.tables.push(PlannedTable { pair: Arc::new(pair), definitions, rows, fitting });
    }
    planned.one_sided.extend(extra);
    Ok(planned)
}

/// The tables of blue and of green. A definition that only is on its way to green is not taken for a difference.
async fn definitions(
    config: &VerifyConfig,
    blue_server: &Server,
    sides: &mut Sides,
) -> Result<(Vec<Table>, Vec<Table>)> {
    let (mut blue, mut green) = tokio::try_join!(net::tables(&mut sides.blue), net::tables(&mut sides.green))?;
    let (mut rounds, mut witness) = (Rounds::new(), Witness::default());
    while columns(&blue) != columns(&green) && rounds.next().await {
        // Where green does not follow, what it has is what there is to compare.
        if rounds.catch_up(blue_server, sides, config.settle_limit).await.is_err() {
            break;
        }
        green = net::tables(&mut sides.green).await?;
        let after = net::tables(&mut sides.blue).await?;
        let judgement = witness.judge(columns(&blue), columns(&green), columns(&after), rounds.confirming);
        // Green may have what blue had before.
        if judgement != Judgement::Settled || columns(&blue) != columns(&green) {
            blue = after;
        }
        if judgement != Judgement::Undecided {
            break;
        }
    }
    Ok((blue, green))
}

/// What both sides should have of each other: the tables' and their columns' names.
fn columns(tables: &[Table]) -> BTreeSet<(TableName, BTreeSet<String>)> {
    let names = |table: &Table| table.columns.iter().map(|column| column.name.to_lowercase()).collect();
    tables.iter().map(|table| (table.name.clone(), names(table))).collect()
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
    tasks: Vec<Task>,
    pace: Arc<Pace>,
    chunks: mpsc::Sender<Chunk>,
    steps: mpsc::Sender<Step>,
) -> Result<()> {
    for Task { pair, part, fitting } in tasks {
        let table = pair.name.clone();
        let cut = match part {
            Part::Keys(keys) => cut_keys(&pair, keys.into_iter().collect(), &chunks).await,
            Part::Whole => cut_table(&mut blue, &pair, fitting, &pace, &chunks)
                .await
                .map_err(|error| error.at(|place| place.table = Some(table.to_string())))?,
        };
        let Some(Cut { count, reason }) = cut else { return Ok(()) };
        if steps.send(Step::Cut { table, chunks: count, reason }).await.is_err() {
            return Ok(());
        }
    }
    blue.close().await;
    Ok(())
}

/// How many chunks a table became, and why not all of it did.
struct Cut {
    count: u64,
    reason: Option<String>,
}

/// `None`: nobody takes the chunks any more.
async fn cut_keys(pair: &Arc<Pair>, mut keys: Vec<KeyText>, chunks: &mpsc::Sender<Chunk>) -> Option<Cut> {
    // Neighbours are on the same pages of the index.
    keys.sort_unstable();
    let mut count = 0;
    for some in keys.chunks(CHUNK_KEYS) {
        count += 1;
        chunks.send(Chunk { pair: pair.clone(), rows: Rows::Keys(Keys(some.to_vec())) }).await.ok()?;
    }
    Some(Cut { count, reason: None })
}

/// `None`: nobody takes the chunks any more.
async fn cut_table(
    blue: &mut Session,
    pair: &Arc<Pair>,
    fitting: u64,
    pace: &Pace,
    chunks: &mpsc::Sender<Chunk>,
) -> Result<Option<Cut>> {
    let is_walkable = pair.key.as_ref().is_some_and(|key| key.index.is_some());
    let (mut count, mut above) = (0, None);
    loop {
        let up_to = if is_walkable {
            match boundary(blue, pair, above.clone(), pace.rows().min(fitting)).await {
                Ok(up_to) => up_to,
                Err(error) if is_redefinition(&error) => {
                    return Ok(Some(Cut { count, reason: Some("it was redefined while it was compared".to_owned()) }));
                }
                Err(error) => return Err(error),
            }
        } else {
            None
        };
        count += 1;
        let rows = Rows::Range(Range { above, up_to: up_to.clone() });
        if chunks.send(Chunk { pair: pair.clone(), rows }).await.is_err() {
            return Ok(None);
        }
        if up_to.is_none() {
            return Ok(Some(Cut { count, reason: None }));
        }
        above = up_to;
    }
}
