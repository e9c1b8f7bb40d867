//! Where two changes can meet: the keys of the rows that they touch, as hashes.

use super::table::Watched;
use crate::decode::{Image, Row, ValueRef};
use crate::error::Result;
use crate::model::TableName;
use crate::plan::{is_comparable, with_sign, write_folded};
use crate::render::{Form, Renderer};

/// A key's value that a change touches, by hash. Equal values have equal hashes in every version of this library: they
/// are kept on green.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Point {
    pub(super) hash: u64,
    pub(super) key: KeyKind,
}

/// What kind of key it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum KeyKind {
    /// It names the row.
    Row,
    /// Another unique key.
    Unique,
    /// The columns that a foreign key refers to; the change takes the value away.
    Parent,
    /// A foreign key, under the hash of the row that it refers to; the change leaves a row that refers to it.
    Child,
}

impl Point {
    /// The point of another change that this one meets.
    pub(super) fn counterpart(self) -> Point {
        let key = match self.key {
            KeyKind::Parent => KeyKind::Child,
            KeyKind::Child => KeyKind::Parent,
            same => same,
        };
        Point { key, ..self }
    }
}

impl KeyKind {
    /// How two changes met in such a key.
    pub(super) fn met(self) -> &'static str {
        match self {
            KeyKind::Row => "row",
            KeyKind::Unique => "unique_value",
            KeyKind::Parent | KeyKind::Child => "foreign_key",
        }
    }
}

/// Appends the points of a row: of `image`, which lacks only what is as in `other`.
pub(super) fn add(
    points: &mut Vec<Point>,
    table: &Watched,
    image: &Image<'_>,
    other: Option<&Image<'_>>,
    renderer: &mut Renderer,
) -> Result<()> {
    let target = &table.target;
    let all: Vec<usize>;
    let keys = match target.unique_keys.as_slice() {
        [] => {
            all = (0..target.columns.len()).collect();
            std::slice::from_ref(&all)
        }
        keys => keys,
    };
    for (number, columns) in keys.iter().enumerate() {
        if let Some(hash) = hash(table, number, columns, image, other, renderer)? {
            let is_row_key = target.row_key.as_ref().is_none_or(|key| key == columns);
            let point = Point { hash, key: if is_row_key { KeyKind::Row } else { KeyKind::Unique } };
            if !points.contains(&point) {
                points.push(point);
            }
        }
    }
    Ok(())
}

/// The point of the row key alone; `None`: the table has none.
pub(super) fn of_row_key(table: &Watched, image: &Image<'_>, renderer: &mut Renderer) -> Result<Option<Point>> {
    let Some(key) = &table.target.row_key else { return Ok(None) };
    let number = table.target.unique_keys.iter().position(|columns| columns == key);
    let hash = number.map_or(Ok(None), |number| hash(table, number, key, image, None, renderer))?;
    Ok(hash.map(|hash| Point { hash, key: KeyKind::Row }))
}

/// `None`: a column is NULL, which excludes nothing, or not known.
fn hash(
    table: &Watched,
    number: usize,
    columns: &[usize],
    image: &Image<'_>,
    other: Option<&Image<'_>>,
    renderer: &mut Renderer,
) -> Result<Option<u64>> {
    let has_key = !table.target.unique_keys.is_empty();
    let mut hash = table.name_hash;
    hash.add(&[u8::try_from(number).unwrap_or(u8::MAX)]);
    let mut bytes = Vec::new();
    for &index in columns {
        let Some(column) = table.target.columns.get(index) else { return Ok(None) };
        let Some(value) = value(image, other, index)? else { return Ok(None) };
        bytes.clear();
        if matches!(value, ValueRef::Null) {
            if has_key {
                return Ok(None);
            }
            bytes.push(0);
        } else if !is_comparable(column) || !write_folded(&mut bytes, value, column)? {
            // Letters whose equals are not known stand for themselves.
            bytes.clear();
            renderer.value(&mut bytes, Form::Base64, Some(with_sign(value, column)))?;
        }
        hash.add(&bytes);
    }
    Ok(Some(hash.0))
}

/// Appends the points of a row in the foreign keys that it has a part in: the values that it had and has no more, to which
/// other rows may refer, and those that it refers to now.
pub(super) fn add_foreign_keys(
    points: &mut Vec<Point>,
    table: &Watched,
    row: &Row<'_>,
    renderer: &mut Renderer,
) -> Result<()> {
    let (before, after) = (row.before.as_ref(), row.after.as_ref());
    for end in &table.referenced {
        let was = before.map(|before| end.hash(table, before, None, renderer)).transpose()?.flatten();
        let is = after.map(|after| end.hash(table, after, before, renderer)).transpose()?.flatten();
        points.extend(was.filter(|_| was != is).map(|hash| Point { hash, key: KeyKind::Parent }));
    }
    for end in &table.references {
        let is = after.map(|after| end.hash(table, after, before, renderer)).transpose()?.flatten();
        points.extend(is.map(|hash| Point { hash, key: KeyKind::Child }));
    }
    Ok(())
}

/// One end of a foreign key: columns of a table whose hash is the same at both ends.
pub(super) struct ForeignKeyEnd {
    /// What the hash begins with: of the columns that are referred to.
    head: Fnv,
    columns: Vec<usize>,
}

impl ForeignKeyEnd {
    /// The end with these columns, of the foreign key that refers to the columns `referenced` of `parent`.
    pub(super) fn new(parent: &TableName, referenced: &[String], columns: Vec<usize>) -> ForeignKeyEnd {
        let mut head = Fnv::of(parent);
        head.add(b"foreign key");
        referenced.iter().for_each(|name| head.add(name.to_lowercase().as_bytes()));
        ForeignKeyEnd { head, columns }
    }

    /// `None`: a column is NULL, which refers to nothing, or not known.
    fn hash(
        &self,
        table: &Watched,
        image: &Image<'_>,
        other: Option<&Image<'_>>,
        renderer: &mut Renderer,
    ) -> Result<Option<u64>> {
        let (mut hash, mut bytes) = (self.head, Vec::new());
        for &index in &self.columns {
            let Some(column) = table.target.columns.get(index) else { return Ok(None) };
            let Some(value) = value(image, other, index)? else { return Ok(None) };
            bytes.clear();
            match value {
                ValueRef::Null => return Ok(None),
                ValueRef::Float(_) | ValueRef::Double(_) | ValueRef::Json(_) | ValueRef::JsonDiff(_) => {
                    renderer.value(&mut bytes, Form::Base64, Some(value))?;
                }
                _ if write_folded(&mut bytes, value, column)? => {}
                _ => {
                    bytes.clear();
                    renderer.value(&mut bytes, Form::Base64, Some(value))?;
                }
            }
            hash.add(&bytes);
        }
        Ok(Some(hash.0))
    }
}

/// A column's value in `image`, which lacks only what is as in `other`.
fn value<'a>(image: &Image<'a>, other: Option<&Image<'a>>, index: usize) -> Result<Option<ValueRef<'a>>> {
    match (image.get(index)?, other) {
        (None, Some(other)) => other.get(index),
        (value, _) => Ok(value),
    }
}

/// FNV-1a of 64 bits (RFC 9923): the same in all versions and on all machines.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fnv(u64);

impl Fnv {
    /// The hash of a table's name, whatever its letters' case.
    pub(super) fn of(name: &TableName) -> Fnv {
        let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
        hash.add(name.schema.to_lowercase().as_bytes());
        hash.add(name.table.to_lowercase().as_bytes());
        hash
    }

    /// Adds a part: its length too, so that no two lists of parts look alike.
    fn add(&mut self, part: &[u8]) {
        let length = (part.len() as u64).to_le_bytes();
        for byte in part.iter().chain(&length) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
