//! Row images: which columns are there, which of them are NULL, and the values.
//!
//! # Invariants
//! 1. The rows end exactly where the event ends; nothing is left over and nothing is missing.
//! 2. An image has an entry for every column of the table map, `None` where the event does not carry the column.

use super::cursor::Cursor;
use super::event::rows::RowsEvent;
use super::event::table_map::bit_from_low;
use super::fault::{corrupt, unsupported};
use super::value;
use crate::error::{Error, Result};
use crate::model::{ChangeKind, Flavor, RowChange, RowImage, TableMap, Value};

/// All rows of an event.
pub(super) fn read_all(
    cursor: &mut Cursor<'_>,
    event: &RowsEvent<'_>,
    change: ChangeKind,
    table: &TableMap,
    flavor: Flavor,
) -> Result<Vec<RowChange>> {
    let count = table.columns.len();
    if event.column_count != count {
        let (id, found) = (event.table_id, event.column_count);
        return Err(corrupt(format!("table map for table id {id} names {count} columns, row image has {found}")));
    }
    let first = Carried::new(event.first_columns, count);
    let after = Carried::new(event.after_columns, count);
    if cursor.is_empty() {
        return Err(no_bytes(&first));
    }
    let mut rows = Vec::new();
    while !cursor.is_empty() {
        let before_row = cursor.remaining();
        let row = match change {
            ChangeKind::Insert => RowChange::new(None, Some(read_image(cursor, &first, table, flavor)?)),
            ChangeKind::Delete => RowChange::new(Some(read_image(cursor, &first, table, flavor)?), None),
            ChangeKind::Update => {
                let before = read_image(cursor, &first, table, flavor)?;
                RowChange::new(Some(before), Some(read_image(cursor, &after, table, flavor)?))
            }
        };
        if cursor.remaining() == before_row {
            return Err(cursor.corrupt("expected a row, found one without bytes"));
        }
        rows.push(row);
    }
    Ok(rows)
}

/// Rows of which no column was logged take no bytes, so that nothing says how many there are.
#[cold]
fn no_bytes(first: &Carried<'_>) -> Error {
    if first.count == 0 {
        return unsupported("rows were logged without any column, so their number is unknown")
            .with_advice("set binlog_row_image=FULL on the source");
    }
    corrupt("expected at least one row, found none")
}

/// The columns that an image carries.
struct Carried<'a> {
    bits: &'a [u8],
    count: usize,
}

impl<'a> Carried<'a> {
    fn new(bits: &'a [u8], columns: usize) -> Carried<'a> {
        Carried { bits, count: (0..columns).filter(|index| bit_from_low(bits, *index)).count() }
    }
}

fn read_image(cursor: &mut Cursor<'_>, carried: &Carried<'_>, table: &TableMap, flavor: Flavor) -> Result<RowImage> {
    let nulls = cursor.take(carried.count.div_ceil(8))?;
    let mut image = Vec::with_capacity(table.columns.len());
    // NULL bits count the carried columns only.
    let mut carried_index = 0_usize;
    for (index, column) in table.columns.iter().enumerate() {
        if !bit_from_low(carried.bits, index) {
            image.push(None);
            continue;
        }
        let is_null = bit_from_low(nulls, carried_index);
        carried_index = carried_index.saturating_add(1);
        if is_null {
            image.push(Some(Value::Null));
            continue;
        }
        match value::read(column, flavor, cursor) {
            Ok(value) => image.push(Some(value)),
            Err(error) => return Err(name_column(error, table, index)),
        }
    }
    Ok(image)
}

#[cold]
fn name_column(error: Error, table: &TableMap, index: usize) -> Error {
    let name = table.columns.get(index).and_then(|column| column.name.clone());
    error.at(|place| {
        place.table = Some(table.name.to_string());
        place.column = Some(name.unwrap_or_else(|| format!("number {}", index.saturating_add(1))));
    })
}
