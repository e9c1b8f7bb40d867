//! The changes of a table, or of a family of tables, inside a group, and the operations that they come to.
//!
//! A row whose key is touched several times becomes one operation: an insert and its updates the insert of the last
//! image, an insert and a delete nothing, a delete and an insert an update, a chain of updates a single one; an update
//! that changes the key a delete and an insert. The operations of a table then stand deletes first, in the order of the
//! key. Otherwise the changes stay as they were, in source order.
//!
//! # When merging is sound
//! 1. The table has a row key whose equality is known ([`key`]), and it has no unique key over expressions or parts of
//!    columns, and none over columns that the image may lack.
//! 2. It has no foreign key and none refers to it. Tables that foreign keys connect keep their changes in source order,
//!    among each other: cascades and checks see each step that blue saw.
//! 3. No two keys in the group differ in their bytes while the server may take them as equal.
//! 4. Where `binlog_row_image` leaves columns out of images after: a row is changed once, or goes in the end, and no key
//!    changes. No image has what several changed, or all of a row that comes.
//! 5. A value of another unique key is given up or taken by one row only. One that moves from row to row (a swap, a
//!    chain) needs the steps that it was moved in.
//!
//! Then no two operations touch the same row or the same unique value, so their order does not matter.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};
use std::ops::Range;
use std::sync::Arc;

use super::key::{self, FoldedHash};
use super::{Op, RowOp, RowPlace, TargetTable};
use crate::decode::{Image, Row, ValueRef};
use crate::error::{Error, Result};
use crate::model::ChangeKind;

/// The changes of one table, or of a family of tables, since the last group.
#[derive(Default)]
pub(super) struct Changes {
    changes: Vec<Change>,
    /// The bytes of row keys.
    keys: Vec<u8>,
    /// Rule 3: the row key that has the hash.
    key_hashes: HashMap<u64, Range<usize>>,
    /// Rule 5: the row key that gave up or took the unique value that has the hash.
    value_hashes: HashMap<u64, Range<usize>>,
    /// Rule 3 or 5 was broken, or may have been.
    is_ambiguous: bool,
    /// A key, or a unique value, has no hash.
    is_unknown: bool,
}

struct Change {
    table: Arc<TargetTable>,
    kind: ChangeKind,
    place: RowPlace,
    foreign_key_checks: bool,
    /// It has only some of the columns that come.
    is_partial: bool,
    /// Where the row key is: as it was, or as it came.
    first_key: Range<usize>,
    /// As it is after an update.
    after_key: Range<usize>,
}

/// What the changes of one row come to.
struct Net {
    before: Option<RowPlace>,
    after: Option<RowPlace>,
    /// The image after has only some of the columns.
    is_partial: bool,
}

impl Changes {
    pub(super) fn len(&self) -> usize {
        self.changes.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Forgets the changes after the first `count`.
    pub(super) fn truncate(&mut self, count: usize) {
        self.changes.truncate(count);
    }

    /// Adds a row of an event.
    pub(super) fn add(
        &mut self,
        table: &Arc<TargetTable>,
        row: &Row<'_>,
        place: RowPlace,
        foreign_key_checks: bool,
    ) -> Result<()> {
        let (kind, first) = match (&row.before, &row.after) {
            (None, Some(after)) => (ChangeKind::Insert, after),
            (Some(before), None) => (ChangeKind::Delete, before),
            (Some(before), Some(_)) => (ChangeKind::Update, before),
            (None, None) => return Err(Error::internal("a row change without an image")),
        };
        let first_key = self.write_key(table, first, None)?;
        let after_key = match &row.after {
            Some(after) if kind == ChangeKind::Update => self.write_key(table, after, row.before.as_ref())?,
            _ => first_key.clone(),
        };
        let is_partial = row.after.as_ref().is_some_and(|after| !table.is_full(after));
        if table.is_mergeable {
            self.note_key(table, first, None, &first_key)?;
            if let (Some(before), Some(after)) = (&row.before, &row.after) {
                self.note_key(table, after, Some(before), &after_key)?;
                self.note_values(table, before, None, &first_key, Some(after))?;
                self.note_values(table, after, Some(before), &after_key, Some(before))?;
            } else {
                self.note_values(table, first, None, &first_key, None)?;
            }
        }
        let table = table.clone();
        self.changes.push(Change { table, kind, place, foreign_key_checks, is_partial, first_key, after_key });
        Ok(())
    }

    /// What an image after lacks is as it was before.
    fn write_key(
        &mut self,
        table: &TargetTable,
        image: &Image<'_>,
        before: Option<&Image<'_>>,
    ) -> Result<Range<usize>> {
        let start = self.keys.len();
        if !table.has_comparable_key {
            return Ok(start..start);
        }
        for &index in table.row_key.iter().flatten() {
            match (value(image, before, index)?, table.columns.get(index)) {
                (Some(value), Some(column)) => key::write(&mut self.keys, value, column)?,
                // A row that comes with the default as its key, which the log does not have.
                _ => self.is_ambiguous = true,
            }
        }
        Ok(start..self.keys.len())
    }

    /// Rule 3.
    fn note_key(
        &mut self,
        table: &TargetTable,
        image: &Image<'_>,
        before: Option<&Image<'_>>,
        key: &Range<usize>,
    ) -> Result<()> {
        let Some(columns) = &table.row_key else { return Ok(()) };
        if !columns.iter().filter_map(|&index| table.columns.get(index)).any(key::is_folded) {
            return Ok(());
        }
        match hash(hasher(0), table, columns, image, before)? {
            Hash::Null => {}
            Hash::Unknown => self.is_unknown = true,
            Hash::Known(hash) => {
                let other = self.key_hashes.entry(hash).or_insert_with(|| key.clone());
                self.is_ambiguous |= self.keys.get(other.clone()) != self.keys.get(key.clone());
            }
        }
        Ok(())
    }

    /// Rule 5. What an update leaves as it is, no other row can have or take.
    fn note_values(
        &mut self,
        table: &TargetTable,
        image: &Image<'_>,
        before: Option<&Image<'_>>,
        key: &Range<usize>,
        other: Option<&Image<'_>>,
    ) -> Result<()> {
        for (number, columns) in table.other_keys.iter().enumerate() {
            let is_same = other.is_some_and(|other| {
                let mut all = columns.iter().chain(table.row_key.iter().flatten());
                all.all(|&index| image.is_same_at(other, index) || !image.has(index) && !other.has(index))
            });
            if is_same {
                continue;
            }
            match hash(hasher(number + 1), table, columns, image, before)? {
                Hash::Null => {}
                Hash::Unknown => self.is_unknown = true,
                Hash::Known(hash) => {
                    let owner = self.value_hashes.entry(hash).or_insert_with(|| key.clone());
                    self.is_ambiguous |= self.keys.get(owner.clone()) != self.keys.get(key.clone());
                }
            }
        }
        Ok(())
    }

    /// Whether a row came, changed or went of which nobody can tell the lane, be it that nothing is left of it.
    pub(super) fn has_unknown_lane(&self) -> bool {
        self.is_unknown && self.changes.iter().any(|change| change.table.is_spread)
    }

    /// Gives the operations and starts over.
    pub(super) fn take(&mut self) -> Vec<Op> {
        let ops = self.merged().unwrap_or_else(|| self.in_source_order());
        self.changes.clear();
        self.keys.clear();
        self.key_hashes.clear();
        self.value_hashes.clear();
        (self.is_ambiguous, self.is_unknown) = (false, false);
        ops
    }

    fn in_source_order(&self) -> Vec<Op> {
        let op = |change: &Change| {
            let keeps_key =
                change.table.has_comparable_key && self.key(&change.first_key) == self.key(&change.after_key);
            let row = match change.kind {
                ChangeKind::Insert => RowOp::Insert(change.place),
                ChangeKind::Update => RowOp::Update { before: change.place, after: change.place, keeps_key },
                ChangeKind::Delete => RowOp::Delete(change.place),
            };
            Op { table: change.table.clone(), row, foreign_key_checks: change.foreign_key_checks, is_merged: false }
        };
        self.changes.iter().map(op).collect()
    }

    /// One operation a row; `None` where a rule forbids it, or where the changes do not fit each other.
    fn merged(&self) -> Option<Vec<Op>> {
        let table = &self.changes.first()?.table;
        if !table.is_mergeable || self.is_ambiguous {
            return None;
        }
        let mut rows: HashMap<&[u8], Net> = HashMap::with_capacity(self.changes.len());
        for change in &self.changes {
            let (first, after) = (self.key(&change.first_key), self.key(&change.after_key));
            // Of a new key's row the image would have to have all.
            if change.is_partial && first != after {
                return None;
            }
            if change.kind != ChangeKind::Insert {
                remove(&mut rows, first, change)?;
            }
            if change.kind != ChangeKind::Delete {
                put(&mut rows, after, change)?;
            }
        }
        // Rules 3 and 5 for a key or a value without a hash: it may be any other row's.
        if self.is_unknown && rows.len() > 1 {
            return None;
        }
        let mut ops: Vec<(&[u8], RowOp)> = rows
            .into_iter()
            .filter_map(|(key, net)| match (net.before, net.after) {
                (None, None) => None,
                (None, Some(after)) => Some((key, RowOp::Insert(after))),
                (Some(before), None) => Some((key, RowOp::Delete(before))),
                (Some(before), Some(after)) => Some((key, RowOp::Update { before, after, keeps_key: true })),
            })
            .collect();
        let rank = |op: &RowOp| match op {
            RowOp::Delete(_) => 0,
            RowOp::Update { .. } => 1,
            RowOp::Insert(_) => 2,
        };
        ops.sort_unstable_by_key(|(key, op)| (rank(op), *key));
        Some(
            ops.into_iter()
                .map(|(_, row)| Op { table: table.clone(), row, foreign_key_checks: true, is_merged: true })
                .collect(),
        )
    }

    fn key(&self, range: &Range<usize>) -> &[u8] {
        self.keys.get(range.clone()).unwrap_or_default()
    }
}

impl std::fmt::Debug for Changes {
    /// Without the keys, which are row values.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Changes({})", self.changes.len())
    }
}

/// The row of this key comes. `None` where it is there already, and by rule 4.
fn put<'k>(rows: &mut HashMap<&'k [u8], Net>, key: &'k [u8], change: &Change) -> Option<()> {
    let is_first = rows.get(key).is_none_or(|net| net.before == Some(change.place));
    if change.is_partial && !is_first {
        return None;
    }
    let net = rows.entry(key).or_insert(Net { before: None, after: None, is_partial: false });
    net.is_partial = change.is_partial;
    net.after.replace(change.place).is_none().then_some(())
}

/// The row of this key goes. `None` where it is gone already, and by rule 4.
fn remove<'k>(rows: &mut HashMap<&'k [u8], Net>, key: &'k [u8], change: &Change) -> Option<()> {
    match rows.get_mut(key) {
        Some(net) if net.is_partial && change.kind == ChangeKind::Update => None,
        Some(net) => net.after.take().map(|_| ()),
        None => {
            rows.insert(key, Net { before: Some(change.place), after: None, is_partial: false });
            Some(())
        }
    }
}

pub(super) enum Hash {
    /// NULL equals nothing.
    Null,
    Unknown,
    Known(u64),
}

/// A column's value; what an image after lacks is as it was before.
fn value<'r>(image: &Image<'r>, before: Option<&Image<'r>>, index: usize) -> Result<Option<ValueRef<'r>>> {
    match (image.get(index)?, before) {
        (None, Some(before)) => before.get(index),
        (value, _) => Ok(value),
    }
}

/// For the values of the unique key with this number.
fn hasher(key: usize) -> DefaultHasher {
    let mut hasher = DefaultHasher::new();
    hasher.write_usize(key);
    hasher
}

/// The hash of a key's values, behind what `hasher` was given before; see [`FoldedHash`].
pub(super) fn hash(
    hasher: impl Hasher,
    table: &TargetTable,
    columns: &[usize],
    image: &Image<'_>,
    before: Option<&Image<'_>>,
) -> Result<Hash> {
    let mut hash = FoldedHash::new(hasher);
    for &index in columns {
        let (Some(column), Some(value)) = (table.columns.get(index), value(image, before, index)?) else {
            return Ok(Hash::Unknown);
        };
        if matches!(value, ValueRef::Null) {
            return Ok(Hash::Null);
        }
        hash.add(value, column)?;
    }
    Ok(hash.finish().map_or(Hash::Unknown, Hash::Known))
}

#[cfg(test)]
pub(super) mod tests {
    use crate::model::{Column, ColumnKind, Flavor, Table};
    use crate::plan::{TargetColumn, TargetTable};

    pub(in crate::plan) fn text_column(charset: &str) -> TargetColumn {
        let column = Column {
            is_nullable: false,
            charset: Some(charset.into()),
            length: Some(10),
            ..Column::sample("c", ColumnKind::Text, "varchar(10)")
        };
        TargetTable::new(Table::sample("t", vec![column]), Flavor::MySql, false).columns.remove(0)
    }
}
