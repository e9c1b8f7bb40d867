//! One chunk: digests, then hashes, then rows.

use std::time::{Duration, Instant};

use super::difference::{Difference, DifferenceKind, KeyValue, shown, value};
use super::keyless::{self, Surplus};
use super::pace::Pace;
use super::pair::{Compared, Pair, Side};
use super::plan::Chunk;
use super::range::{KeyText, Rows};
use super::reads::{digest, hashes, rows_by_hash, select_by_key};
use super::settle::{Confirmed, Sides, settle};
use super::{LISTED, VerifyConfig};
use crate::error::Result;
use crate::net::Server;

/// How long one statement over a chunk may take: a server that is silent for longer is gone.
const CHUNK_LIMIT: Duration = Duration::from_secs(60);
/// The same for one over a whole table, which has no key to cut it by.
const TABLE_LIMIT: Duration = Duration::from_secs(3600);
/// Hashes looked up in one scan of a keyless table.
const HASHES_A_SCAN: usize = 500;

/// What a chunk's comparison found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) rows: u64,
    pub(super) differences: Vec<Difference>,
    pub(super) more: u64,
    pub(super) unverified: Option<String>,
    /// The keys of the rows that are not proven equal.
    pub(super) open: Vec<KeyText>,
    /// There are such rows that no key tells.
    pub(super) is_open: bool,
}

impl Findings {
    pub(super) fn unverified(reason: impl Into<String>) -> Findings {
        Findings { unverified: Some(reason.into()), is_open: true, ..Findings::default() }
    }
}

/// Compares one chunk.
pub(super) async fn compare(
    config: &VerifyConfig,
    server: &Server,
    sides: &mut Sides,
    chunk: &Chunk,
    pace: &Pace,
) -> Result<Findings> {
    let Chunk { pair, rows } = chunk;
    if pair.columns.is_empty() {
        return Ok(Findings::unverified("the two have no column in common"));
    }
    sides.set_limit(if *rows == Rows::ALL { TABLE_LIMIT } else { CHUNK_LIMIT });
    let turn = pace.turn(&mut sides.blue).await?;
    let on_blue = async {
        let began = Instant::now();
        let blue = digest(&mut sides.blue, pair, Side::Blue, rows).await?;
        Ok((blue, began.elapsed()))
    };
    let ((blue, took), green) = tokio::try_join!(on_blue, digest(&mut sides.green, pair, Side::Green, rows))?;
    pace.end(turn, blue.rows, took).await;
    let mut findings = Findings { rows: blue.rows, ..Findings::default() };
    if blue == green {
        return Ok(findings);
    }
    let is_whole = *rows == Rows::ALL;
    if is_whole && blue.rows.max(green.rows) > config.row_limit {
        if !keyless::settles_by_digest(server, sides, pair, config.settle_limit).await? {
            findings.is_open = true;
            findings.unverified = Some(format!(
                "its digests differ, and with {} rows it is too large to find the rows without a key in an order that \
                 both servers share",
                blue.rows
            ));
        }
        return Ok(findings);
    }
    let restless = if pair.key.is_some() {
        by_key(config, server, sides, chunk, &mut findings).await?
    } else {
        let settled = keyless::settle(server, sides, pair, config.settle_limit).await?;
        findings.is_open = !settled.surplus.is_empty() || settled.restless > 0;
        list_surplus(sides, pair, settled.surplus, &mut findings).await?;
        settled.restless
    };
    if restless > 0 {
        findings.unverified = Some(format!("{restless} rows changed whenever they were looked at"));
    }
    Ok(findings)
}

async fn by_key(
    config: &VerifyConfig,
    server: &Server,
    sides: &mut Sides,
    chunk: &Chunk,
    findings: &mut Findings,
) -> Result<u64> {
    let Chunk { pair, rows } = chunk;
    let (blue, mut green) = tokio::try_join!(
        hashes(&mut sides.blue, pair, Side::Blue, rows),
        hashes(&mut sides.green, pair, Side::Green, rows)
    )?;
    let mut suspects: Vec<KeyText> = Vec::new();
    for (key, hash) in blue {
        if green.remove(&key) != Some(hash) {
            suspects.push(key);
        }
    }
    suspects.extend(green.into_keys());
    suspects.sort();
    let settled = settle(server, sides, pair, suspects, config.settle_limit).await?;
    let restless = settled.restless.len() as u64;
    findings.open.extend(settled.confirmed.iter().map(|row| row.key.clone()));
    findings.open.extend(settled.restless);
    list_confirmed(sides, pair, settled.confirmed, findings).await?;
    Ok(restless)
}

/// Names the rows and columns of confirmed differences.
async fn list_confirmed(
    sides: &mut Sides,
    pair: &Pair,
    mut confirmed: Vec<Confirmed>,
    findings: &mut Findings,
) -> Result<()> {
    // Two spellings of a key that the server holds for one row lead to the same pair of rows: name it once.
    let mut seen = std::collections::HashSet::new();
    confirmed.retain(|row| seen.insert((row.blue.clone(), row.green.clone())));
    findings.more += confirmed.len().saturating_sub(LISTED) as u64;
    confirmed.truncate(LISTED);
    for side in [Side::Blue, Side::Green] {
        // A row is named by blue's key, and by green's where blue has none.
        let here: Vec<&Confirmed> = confirmed.iter().filter(|row| row.blue.is_some() == (side == Side::Blue)).collect();
        let keys: Vec<KeyText> = here.iter().map(|row| row.key.clone()).collect();
        let list: Vec<String> = pair.key_columns().map(|column| shown(column).sql(column.name_on(side))).collect();
        let session = sides.of(side);
        let names = select_by_key(session, pair, side, &keys, &list.join(", ")).await?;
        for (row, texts) in here.into_iter().zip(names) {
            let texts = texts.unwrap_or_default();
            let key = pair.key_columns().enumerate().map(|(at, column)| {
                let text = texts.get(at).and_then(Option::as_deref);
                // Deleted in this moment: what is left is the text it was found by.
                let text = text.or_else(|| row.key.get(at).map(Vec::as_slice));
                (column.name.clone(), value(column, text))
            });
            let (kind, columns) = what_differs(pair, row);
            findings.differences.push(Difference { table: pair.name.clone(), key: key.collect(), kind, columns });
        }
    }
    Ok(())
}

fn what_differs(pair: &Pair, row: &Confirmed) -> (DifferenceKind, Vec<String>) {
    match (&row.blue, &row.green) {
        (Some(blue), Some(green)) => {
            let columns = pair.columns.iter().zip(blue.iter().zip(green));
            let differing = columns.filter(|(_, (mine, theirs))| mine != theirs).map(|(column, _)| column.name.clone());
            (DifferenceKind::Different, differing.collect())
        }
        (Some(_), None) => (DifferenceKind::MissingOnGreen, Vec::new()),
        (None, _) => (DifferenceKind::ExtraOnGreen, Vec::new()),
    }
}

/// Names the rows of a keyless table, each as often as it is surplus.
async fn list_surplus(sides: &mut Sides, pair: &Pair, surplus: Vec<Surplus>, findings: &mut Findings) -> Result<()> {
    for side in [Side::Blue, Side::Green] {
        let here: Vec<&Surplus> = surplus.iter().filter(|row| (row.blue > row.green) == (side == Side::Blue)).collect();
        for batch in here.chunks(HASHES_A_SCAN) {
            let hashes: Vec<_> = batch.iter().map(|row| row.hash).collect();
            if findings.differences.len() >= LISTED {
                findings.more += batch.iter().map(|row| row.blue.abs_diff(row.green)).sum::<u64>();
                continue;
            }
            let session = sides.of(side);
            let found = rows_by_hash(session, pair, side, &hashes).await?;
            for row in batch {
                let texts = found.get(&row.hash);
                let named = |(at, column): (usize, &Compared)| {
                    (column.name.clone(), value(column, texts.and_then(|texts| texts.bytes(at + 1))))
                };
                let key: Vec<(String, KeyValue)> = pair.columns.iter().enumerate().map(named).collect();
                let kind = match side {
                    Side::Blue => DifferenceKind::MissingOnGreen,
                    Side::Green => DifferenceKind::ExtraOnGreen,
                };
                for _ in 0..row.blue.abs_diff(row.green) {
                    if findings.differences.len() >= LISTED {
                        findings.more += 1;
                        continue;
                    }
                    let (table, key) = (pair.name.clone(), key.clone());
                    findings.differences.push(Difference { table, key, kind, columns: Vec::new() });
                }
            }
        }
    }
    Ok(())
}
