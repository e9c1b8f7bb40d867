//! WRITE_ROWS, UPDATE_ROWS and DELETE_ROWS in their versions 1 and 2 (MySQL source,
//! `libs/mysql/binlog/event/rows_event.h`, `Rows_event`; compressed ones: MariaDB source, `sql/log_event.cc`).

use bytes::Bytes;

use crate::decode::compression;
use crate::decode::cursor::Cursor;
use crate::decode::event::kind;
use crate::error::Result;
use crate::model::{ChangeKind, RowsFlags};

/// The id of the event that frees tables and has no rows.
pub(in crate::decode) const DUMMY_TABLE: u64 = 0x00ff_ffff;

const STATEMENT_END: u16 = 0x1;
const NO_FOREIGN_KEY_CHECKS: u16 = 0x2;
const RELAXED_UNIQUE_CHECKS: u16 = 0x4;
const USE_SQL_FOREIGN_KEY: u16 = 0x10;

/// What an event type says of its rows.
#[derive(Debug, Clone, Copy)]
pub(in crate::decode) struct RowsKind {
    pub(in crate::decode) change: ChangeKind,
    is_second_version: bool,
    is_compressed: bool,
}

impl RowsKind {
    /// The kind by the event's number; `None` for other events.
    pub(in crate::decode) fn of(number: u8) -> Option<RowsKind> {
        let (change, is_second_version, is_compressed) = match number {
            kind::WRITE_ROWS_V1 => (ChangeKind::Insert, false, false),
            kind::UPDATE_ROWS_V1 => (ChangeKind::Update, false, false),
            kind::DELETE_ROWS_V1 => (ChangeKind::Delete, false, false),
            kind::WRITE_ROWS => (ChangeKind::Insert, true, false),
            kind::UPDATE_ROWS => (ChangeKind::Update, true, false),
            kind::DELETE_ROWS => (ChangeKind::Delete, true, false),
            kind::WRITE_ROWS_COMPRESSED_V1 => (ChangeKind::Insert, false, true),
            kind::UPDATE_ROWS_COMPRESSED_V1 => (ChangeKind::Update, false, true),
            kind::DELETE_ROWS_COMPRESSED_V1 => (ChangeKind::Delete, false, true),
            kind::WRITE_ROWS_COMPRESSED => (ChangeKind::Insert, true, true),
            kind::UPDATE_ROWS_COMPRESSED => (ChangeKind::Update, true, true),
            kind::DELETE_ROWS_COMPRESSED => (ChangeKind::Delete, true, true),
            _ => return None,
        };
        Some(RowsKind { change, is_second_version, is_compressed })
    }
}

/// A row event up to its rows.
pub(in crate::decode) struct RowsEvent<'a> {
    pub(in crate::decode) table_id: u64,
    pub(in crate::decode) is_statement_end: bool,
    pub(in crate::decode) flags: RowsFlags,
    pub(in crate::decode) column_count: usize,
    /// The columns that the images carry: of the only image, or of the before image.
    pub(in crate::decode) first_columns: &'a [u8],
    /// The columns of an update's after image.
    pub(in crate::decode) after_columns: &'a [u8],
    /// Where the rows are, if they were compressed.
    pub(in crate::decode) unfolded: Option<Bytes>,
}

impl<'a> RowsEvent<'a> {
    /// Reads up to the rows and leaves the cursor on them.
    pub(in crate::decode) fn read(
        cursor: &mut Cursor<'a>,
        rows: RowsKind,
        post_header_length: u8,
        max_bytes: u64,
    ) -> Result<RowsEvent<'a>> {
        let table_id = super::table_map::read_id(cursor, post_header_length)?;
        let flags = cursor.u16()?;
        if rows.is_second_version {
            let here = cursor.clone();
            let length = usize::from(cursor.u16()?);
            let extra = length.checked_sub(2);
            let extra =
                extra.ok_or_else(|| here.corrupt(format!("expected extra data of 2 bytes or more, found {length}")))?;
            cursor.skip(extra)?;
        }
        let here = cursor.clone();
        let column_count = cursor.packed_uint()?;
        let column_count = usize::try_from(column_count).ok().filter(|count| *count <= 0xffff);
        let column_count = column_count.ok_or_else(|| here.corrupt("expected at most 65535 columns"))?;
        let bitmap_length = column_count.div_ceil(8);
        let first_columns = cursor.take(bitmap_length)?;
        let after_columns = match rows.change {
            ChangeKind::Update => cursor.take(bitmap_length)?,
            ChangeKind::Insert | ChangeKind::Delete => first_columns,
        };
        let unfolded = match rows.is_compressed && !cursor.is_empty() {
            true => Some(compression::unfold_mariadb(cursor, max_bytes)?),
            false => None,
        };
        Ok(RowsEvent {
            table_id,
            is_statement_end: flags & STATEMENT_END != 0,
            flags: RowsFlags {
                no_foreign_key_checks: flags & NO_FOREIGN_KEY_CHECKS != 0,
                relaxed_unique_checks: flags & RELAXED_UNIQUE_CHECKS != 0,
                logged_cascades: flags & USE_SQL_FOREIGN_KEY != 0,
            },
            column_count,
            first_columns,
            after_columns,
            unfolded,
        })
    }
}
