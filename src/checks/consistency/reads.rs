//! The statements of a comparison. Each is short, takes no lock and has a snapshot of its own.

use std::collections::HashMap;

use super::expression::UNHASHED;
use super::pair::{Pair, Side};
use super::range::{KeyText, Range, Rows, equals};
use crate::error::{Error, ErrorKind, Result};
use crate::net::{Row, Session, qualified};

/// Rows asked for by key in one statement.
const KEYS_A_STATEMENT: usize = 50;

/// What stands for the rows of a range.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Digest {
    pub(super) rows: u64,
    /// `None`: no row.
    sum: Option<u128>,
}

/// A row as the texts of its columns; `None` where there is no such row.
pub(super) type Image = Option<Vec<Option<Vec<u8>>>>;

/// A row's SHA-256.
pub(super) type RowHash = [u8; 32];

fn too_long(pair: &Pair) -> Error {
    Error::new(ErrorKind::Limit, "a row is too long for the server to be hashed")
        .with_advice("raise max_allowed_packet")
        .at(|place| place.table = Some(pair.name.to_string()))
}

/// The digest of rows.
pub(super) async fn digest(session: &mut Session, pair: &Pair, side: Side, rows: &Rows) -> Result<Digest> {
    let clause = rows.clause(pair, side);
    // Without a bound there is nothing to find in an index.
    let hint = if clause.is_empty() { String::new() } else { pair.hint(side) };
    let sql = format!("SELECT {} FROM {}{hint}{clause}", pair.digest(side), qualified(&pair.name));
    let row = session.first(&sql).await?.ok_or_else(|| Error::internal("a digest has no row"))?;
    let rows = row.number(0).ok_or_else(|| Error::internal("a digest has no count"))?;
    if row.bytes(1).is_none() {
        return Ok(Digest { rows, sum: None });
    }
    match row.text(1).parse() {
        Ok(sum) if sum < UNHASHED => Ok(Digest { rows, sum: Some(sum) }),
        _ => Err(too_long(pair)),
    }
}

/// The last key of the next `rows` rows of blue after `above`; `None` where fewer are left.
pub(super) async fn boundary(
    blue: &mut Session,
    pair: &Pair,
    above: Option<KeyText>,
    rows: u64,
) -> Result<Option<KeyText>> {
    let range = Range { above, up_to: None };
    let texts: Vec<String> = pair.key_columns().map(|column| column.form.sql(&column.name)).collect();
    let order: Vec<String> = pair.key_columns().map(|column| crate::net::identifier(&column.name)).collect();
    let sql = format!(
        "SELECT {} FROM {}{}{} ORDER BY {} LIMIT 1 OFFSET {}",
        texts.join(", "),
        qualified(&pair.name),
        pair.hint(Side::Blue),
        range.clause(pair, Side::Blue),
        order.join(", "),
        rows.saturating_sub(1)
    );
    blue.first(&sql).await?.map(|row| key_of(&row, 0, pair)).transpose()
}

fn key_of(row: &Row, first: usize, pair: &Pair) -> Result<KeyText> {
    let width = pair.key_columns().count();
    let texts: Option<KeyText> = (first..first + width).map(|index| row.bytes(index).map(<[u8]>::to_vec)).collect();
    texts.ok_or_else(|| Error::internal("a key column is NULL"))
}

fn hash_of(row: &Row, index: usize, pair: &Pair) -> Result<RowHash> {
    let digits = row.bytes(index).ok_or_else(|| too_long(pair))?;
    unhex(digits).and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| Error::internal("a row's hash is not one"))
}

/// Bytes from hexadecimal digits.
pub(super) fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    let value = |digit: u8| char::from(digit).to_digit(16);
    let pairs = digits.chunks(2).map(|pair| match pair {
        [high, low] => u8::try_from(value(*high)? * 16 + value(*low)?).ok(),
        _ => None,
    });
    pairs.collect()
}

/// Keys and hashes of rows.
pub(super) async fn hashes(
    session: &mut Session,
    pair: &Pair,
    side: Side,
    rows: &Rows,
) -> Result<HashMap<KeyText, RowHash>> {
    let mut list: Vec<String> = pair.key_columns().map(|column| column.form.sql(column.name_on(side))).collect();
    let width = list.len();
    list.push(pair.row_hash(side));
    let clause = rows.clause(pair, side);
    let hint = if clause.is_empty() { String::new() } else { pair.hint(side) };
    let sql = format!("SELECT {} FROM {}{hint}{clause}", list.join(", "), qualified(&pair.name));
    let mut found = HashMap::new();
    session
        .each_row(&sql, |row| {
            found.insert(key_of(&row, 0, pair)?, hash_of(&row, width, pair)?);
            Ok(())
        })
        .await?;
    Ok(found)
}

/// How often each row occurs, for a table whose rows only all columns together name.
pub(super) async fn counts(session: &mut Session, pair: &Pair, side: Side) -> Result<HashMap<RowHash, u64>> {
    let sql = format!("SELECT {} FROM {}", pair.row_hash(side), qualified(&pair.name));
    let mut found = HashMap::new();
    session
        .each_row(&sql, |row| {
            *found.entry(hash_of(&row, 0, pair)?).or_insert(0) += 1;
            Ok(())
        })
        .await?;
    Ok(found)
}

/// One row for each of these hashes that the table has, as its columns' texts, with the hash.
pub(super) async fn rows_by_hash(
    session: &mut Session,
    pair: &Pair,
    side: Side,
    wanted: &[RowHash],
) -> Result<HashMap<RowHash, Row>> {
    let list: Vec<String> = wanted.iter().map(|hash| format!("'{}'", hex(hash))).collect();
    let hash = pair.row_hash(side);
    let sql = format!(
        "SELECT {hash}, {} FROM {} WHERE {hash} IN ({})",
        pair.shown_list(side),
        qualified(&pair.name),
        list.join(",")
    );
    let mut found = HashMap::new();
    session
        .each_row(&sql, |row| {
            found.entry(hash_of(&row, 0, pair)?).or_insert(row);
            Ok(())
        })
        .await?;
    Ok(found)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The rows of these keys, in the same order.
pub(super) async fn images(session: &mut Session, pair: &Pair, side: Side, keys: &[KeyText]) -> Result<Vec<Image>> {
    let list = pair.column_list(side);
    select_by_key(session, pair, side, keys, &list).await
}

/// For each key what `list` selects from its row, in the same order.
pub(super) async fn select_by_key(
    session: &mut Session,
    pair: &Pair,
    side: Side,
    keys: &[KeyText],
    list: &str,
) -> Result<Vec<Image>> {
    let mut images: Vec<Image> = vec![None; keys.len()];
    let table = qualified(&pair.name);
    let hint = pair.hint(side);
    for (batch, slots) in keys.chunks(KEYS_A_STATEMENT).zip(images.chunks_mut(KEYS_A_STATEMENT)) {
        // No UNION: its temporary table takes a date for zero that the `sql_mode` has as invalid.
        let predicates: Vec<String> = batch.iter().map(|key| format!("({})", equals(pair, side, key))).collect();
        let cases = predicates.iter().enumerate().map(|(index, predicate)| format!("WHEN {predicate} THEN {index}"));
        let sql = format!(
            "SELECT CASE {} END, {list} FROM {table}{hint} WHERE {}",
            cases.collect::<Vec<_>>().join(" "),
            predicates.join(" OR ")
        );
        for row in session.rows(&sql).await? {
            let at = row.number(0).and_then(|index| usize::try_from(index).ok());
            let slot = at.and_then(|at| slots.get_mut(at));
            let slot = slot.ok_or_else(|| Error::internal("a row came that was not asked for"))?;
            *slot = row.columns().get(1..).map(<[_]>::to_vec);
        }
    }
    Ok(images)
}
