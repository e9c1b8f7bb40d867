//! Row events in all their versions (MySQL source, `libs/mysql/binlog/event/rows_event.h`, `Rows_event`, and
//! `sql/rpl_record.cc`, `pack_row`; the compressed ones: MariaDB source, `sql/log_event_server.cc`,
//! `Rows_log_event::write_compressed`).

use super::cell::Cell;
use super::column::ColumnType;
use super::event::Event;
use super::release::Release;
use super::table_map::TableMap;
use super::{compression, encode, kind};
use crate::model::Flavor;

/// Flags of row events.
pub mod rows_flag {
    /// The last event of a statement.
    pub const STATEMENT_END: u16 = 0x1;
    /// The session had `foreign_key_checks=OFF`.
    pub const NO_FOREIGN_KEY_CHECKS: u16 = 0x2;
    /// The session had `unique_checks=OFF`.
    pub const RELAXED_UNIQUE_CHECKS: u16 = 0x4;
    /// The images have all columns.
    pub const COMPLETE_ROWS: u16 = 0x8;
    /// Changes that foreign keys cascade to are logged too (MySQL 9.6 and newer).
    pub const USE_SQL_FOREIGN_KEY: u16 = 0x10;
}

/// What a row event of the second version carries beside its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExtraRowInfo {
    /// The partition of inserted or deleted rows.
    Partition(u16),
    /// The partitions of updated rows, after and before.
    Partitions(u16, u16),
    /// NDB's bytes, behind their format.
    Ndb(u8, Vec<u8>),
}

impl ExtraRowInfo {
    fn to_bytes(&self) -> Vec<u8> {
        const NDB: u8 = 0;
        const PARTITION: u8 = 1;
        match self {
            ExtraRowInfo::Partition(partition) => [&[PARTITION], &partition.to_le_bytes()[..]].concat(),
            ExtraRowInfo::Partitions(after, before) => {
                [&[PARTITION], &after.to_le_bytes()[..], &before.to_le_bytes()].concat()
            }
            // Its length counts itself and the format.
            ExtraRowInfo::Ndb(format, bytes) => [&[NDB, bytes.len() as u8 + 2, *format], bytes.as_slice()].concat(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Insert,
    Update,
    Delete,
    PartialUpdate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// The rows of one statement, or a part of them, which become an [`Event`].
#[derive(Debug, Clone)]
pub struct Rows<'a> {
    table: &'a TableMap,
    change: Change,
    version: Version,
    is_compressed: bool,
    /// Whether the spare bits are set behind those that tell which values are NULL.
    has_spare_nulls: bool,
    /// Whether the spare bits are set behind those that tell which columns there are, if there are all.
    has_spare_columns: bool,
    flags: u16,
    extra: Vec<u8>,
    /// Whether the only image, or the one before, has the column.
    columns: Vec<bool>,
    after_columns: Vec<bool>,
    images: Vec<u8>,
}

impl<'a> Rows<'a> {
    /// Inserted rows with all columns, the last ones of their statement.
    pub fn insert(table: &'a TableMap) -> Rows<'a> {
        Rows::new(table, Change::Insert)
    }

    /// Updated rows with all columns, the last ones of their statement.
    pub fn update(table: &'a TableMap) -> Rows<'a> {
        Rows::new(table, Change::Update)
    }

    /// Deleted rows with all columns, the last ones of their statement.
    pub fn delete(table: &'a TableMap) -> Rows<'a> {
        Rows::new(table, Change::Delete)
    }

    /// Updated rows as with `binlog_row_value_options=PARTIAL_JSON`: [`Cell::JsonDiffs`] in an after image stand for the
    /// document.
    pub fn partial_update(table: &'a TableMap) -> Rows<'a> {
        Rows::new(table, Change::PartialUpdate)
    }

    fn new(table: &'a TableMap, change: Change) -> Rows<'a> {
        let columns = vec![true; table.columns.len()];
        Rows {
            table,
            change,
            version: Version::Two,
            is_compressed: false,
            has_spare_nulls: false,
            has_spare_columns: true,
            flags: rows_flag::STATEMENT_END,
            extra: Vec::new(),
            after_columns: columns.clone(),
            columns,
            images: Vec::new(),
        }
    }

    /// Writes the rows as this release does, in place of the newest MySQL: MariaDB and MySQL before 5.6 write the first
    /// version, and releases differ in the spare bits of bitmaps, which readers pass over. To be called before any row is
    /// added.
    ///
    /// # Panics
    /// Where a partial update would get the first version.
    #[must_use]
    pub fn written_by(self, release: Release) -> Rows<'a> {
        self.assert_empty();
        let is_mariadb = release.flavor() == Flavor::MariaDb;
        let is_first = is_mariadb || release == Release::MySql55;
        assert!(!is_first || self.change != Change::PartialUpdate, "partial updates have one version");
        Rows {
            version: if is_first { Version::One } else { Version::Two },
            has_spare_nulls: is_mariadb || matches!(release, Release::MySql55 | Release::MySql56 | Release::MySql57),
            has_spare_columns: !is_mariadb || release == Release::MariaDb105,
            ..self
        }
    }

    /// Makes it MariaDB's compressed form.
    #[must_use]
    pub fn compressed(self) -> Rows<'a> {
        assert!(self.change != Change::PartialUpdate, "partial updates are not compressed");
        Rows { is_compressed: true, ..self }
    }

    /// Sets the flags of [`rows_flag`].
    #[must_use]
    pub fn flags(self, flags: u16) -> Rows<'a> {
        Rows { flags, ..self }
    }

    /// Adds what only the second version has room for.
    #[must_use]
    pub fn extra(mut self, extra: &ExtraRowInfo) -> Rows<'a> {
        self.extra.extend(extra.to_bytes());
        self
    }

    /// Sets which columns the only image, or the one before, has. To be called before any row is added.
    #[must_use]
    pub fn columns(self, indexes: &[usize]) -> Rows<'a> {
        Rows { columns: self.bitmap_of(indexes), ..self }
    }

    /// Sets which columns the image after an update has. To be called before any row is added.
    #[must_use]
    pub fn after_columns(self, indexes: &[usize]) -> Rows<'a> {
        Rows { after_columns: self.bitmap_of(indexes), ..self }
    }

    fn bitmap_of(&self, indexes: &[usize]) -> Vec<bool> {
        self.assert_empty();
        (0..self.table.columns.len()).map(|index| indexes.contains(&index)).collect()
    }

    fn assert_empty(&self) {
        assert!(self.images.is_empty(), "the images' form is chosen before rows are added");
    }

    /// Adds an inserted or a deleted row: a cell for each column that the image has.
    ///
    /// # Panics
    /// Where the event is an update, or the cells do not fit the columns.
    #[must_use]
    pub fn row(mut self, cells: &[Cell]) -> Rows<'a> {
        assert!(matches!(self.change, Change::Insert | Change::Delete), "an updated row has two images");
        self.write_image(&self.columns.clone(), cells);
        self
    }

    /// Adds an updated row: a cell for each column that the image has.
    ///
    /// # Panics
    /// Where the event is no update, or the cells do not fit the columns.
    #[must_use]
    pub fn updated_row(mut self, before: &[Cell], after: &[Cell]) -> Rows<'a> {
        assert!(matches!(self.change, Change::Update | Change::PartialUpdate), "the row has one image");
        self.write_image(&self.columns.clone(), before);
        if self.change == Change::PartialUpdate {
            self.write_partial_bits(after);
        }
        self.write_image(&self.after_columns.clone(), after);
        self
    }

    /// A bit for each column of the image that is NULL, then the others' values.
    fn write_image(&mut self, present: &[bool], cells: &[Cell]) {
        let columns =
            self.table.columns.iter().zip(present).filter_map(|(column, is_there)| is_there.then_some(column));
        assert_eq!(cells.len(), columns.clone().count(), "a cell for each column of the image");
        let mut nulls: Vec<bool> = cells.iter().map(|cell| *cell == Cell::Null).collect();
        if self.has_spare_nulls {
            nulls.resize(nulls.len().next_multiple_of(8), true);
        }
        self.images.extend(encode::bits_from_low(&nulls));
        columns.zip(cells).for_each(|(column, cell)| cell.write(column, &mut self.images));
    }

    /// The options of the image's values, and a bit for each JSON column of the table, whether the image has it or not
    /// (MySQL source, `sql/log_event.cc`, `print_verbose_one_row`).
    fn write_partial_bits(&mut self, after: &[Cell]) {
        const PARTIAL_JSON: u64 = 1;
        let mut cells = after.iter();
        let mut is_partial = Vec::new();
        for (column, is_there) in self.table.columns.iter().zip(&self.after_columns) {
            let cell = if *is_there { cells.next() } else { None };
            if column.kind == ColumnType::Json {
                is_partial.push(matches!(cell, Some(Cell::JsonDiffs(_))));
            }
        }
        if is_partial.contains(&true) {
            encode::packed(&mut self.images, PARTIAL_JSON);
            self.images.extend(encode::bits_from_low(&is_partial));
        } else {
            encode::packed(&mut self.images, 0);
        }
    }

    /// A bit for each column.
    fn bitmap(&self, present: &[bool]) -> Vec<u8> {
        match self.has_spare_columns && !present.contains(&false) {
            true => vec![0xff; present.len().div_ceil(8)],
            false => encode::bits_from_low(present),
        }
    }

    fn kind(&self) -> u8 {
        let first = match (self.version, self.is_compressed) {
            (Version::One, false) => kind::WRITE_ROWS_V1,
            (Version::Two, false) => kind::WRITE_ROWS,
            (Version::One, true) => kind::WRITE_ROWS_COMPRESSED_V1,
            (Version::Two, true) => kind::WRITE_ROWS_COMPRESSED,
        };
        match self.change {
            Change::Insert => first,
            Change::Update => first + 1,
            Change::Delete => first + 2,
            Change::PartialUpdate => kind::PARTIAL_UPDATE_ROWS,
        }
    }
}

impl From<Rows<'_>> for Event {
    fn from(rows: Rows<'_>) -> Event {
        let mut body = Vec::with_capacity(rows.images.len() + 64);
        encode::le(&mut body, rows.table.id, 6);
        body.extend(rows.flags.to_le_bytes());
        if rows.version == Version::Two {
            // The length counts itself.
            body.extend((rows.extra.len() as u16 + 2).to_le_bytes());
            body.extend(&rows.extra);
        }
        encode::packed(&mut body, rows.table.columns.len() as u64);
        body.extend(rows.bitmap(&rows.columns));
        if matches!(rows.change, Change::Update | Change::PartialUpdate) {
            body.extend(rows.bitmap(&rows.after_columns));
        }
        if rows.is_compressed {
            compression::fold_mariadb(&rows.images, &mut body);
        } else {
            body.extend(&rows.images);
        }
        Event::raw(rows.kind(), 0, body)
    }
}
