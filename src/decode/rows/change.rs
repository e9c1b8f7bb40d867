//! WRITE_ROWS, UPDATE_ROWS, DELETE_ROWS and PARTIAL_UPDATE_ROWS up to their rows (MySQL source,
//! `libs/mysql/binlog/event/rows_event.h`, `Rows_event`).

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::{RowBuffer, Rows};
use crate::decode::compression::Unzip;
use crate::decode::cursor::Cursor;
use crate::decode::event::{Event, kind};
use crate::decode::table::{TableMap, read_id};
use crate::error::Result;
use crate::model::{ChangeKind, Coordinates, RowsFlags};

/// The table id of an event that only closes all maps (MySQL source, `sql/log_event.cc`, `Rows_log_event`).
const DUMMY_TABLE: u64 = 0xff_ffff;

const STATEMENT_END: u16 = 0x1;
const NO_FOREIGN_KEY_CHECKS: u16 = 0x2;
const RELAXED_UNIQUE_CHECKS: u16 = 0x4;
const USE_SQL_FOREIGN_KEY: u16 = 0x10;

/// What a row event's number says.
#[derive(Debug, Clone, Copy)]
pub(in crate::decode) struct RowsKind {
    change: ChangeKind,
    is_second_version: bool,
    is_compressed: bool,
    is_partial: bool,
}

impl RowsKind {
    /// The kind by the event's number; `None` for other events.
    #[inline]
    pub(in crate::decode) fn of(number: u8) -> Option<RowsKind> {
        let (change, is_second_version, is_compressed) = match number {
            kind::WRITE_ROWS_V1 => (ChangeKind::Insert, false, false),
            kind::UPDATE_ROWS_V1 => (ChangeKind::Update, false, false),
            kind::DELETE_ROWS_V1 => (ChangeKind::Delete, false, false),
            kind::WRITE_ROWS => (ChangeKind::Insert, true, false),
            kind::UPDATE_ROWS | kind::PARTIAL_UPDATE_ROWS => (ChangeKind::Update, true, false),
            kind::DELETE_ROWS => (ChangeKind::Delete, true, false),
            kind::WRITE_ROWS_COMPRESSED_V1 => (ChangeKind::Insert, false, true),
            kind::UPDATE_ROWS_COMPRESSED_V1 => (ChangeKind::Update, false, true),
            kind::DELETE_ROWS_COMPRESSED_V1 => (ChangeKind::Delete, false, true),
            kind::WRITE_ROWS_COMPRESSED => (ChangeKind::Insert, true, true),
            kind::UPDATE_ROWS_COMPRESSED => (ChangeKind::Update, true, true),
            kind::DELETE_ROWS_COMPRESSED => (ChangeKind::Delete, true, true),
            _ => return None,
        };
        Some(RowsKind { change, is_second_version, is_compressed, is_partial: number == kind::PARTIAL_UPDATE_ROWS })
    }
}

/// The fixed part of a row event.
pub(in crate::decode) struct RowsHead {
    pub(in crate::decode) table_id: u64,
    pub(in crate::decode) is_statement_end: bool,
    flags: RowsFlags,
    column_count: u16,
    /// Where the bitmaps of the columns start; the rows follow them.
    bitmaps: u32,
}

impl RowsHead {
    /// Reads up to the bitmaps.
    pub(in crate::decode) fn read(cursor: &mut Cursor<'_>, kind: RowsKind, post_header_length: u8) -> Result<RowsHead> {
        let table_id = read_id(cursor, post_header_length)?;
        let flags = cursor.u16()?;
        if kind.is_second_version {
            let here = cursor.clone();
            let length = usize::from(cursor.u16()?);
            let extra = length.checked_sub(2);
            let extra =
                extra.ok_or_else(|| here.corrupt(format!("expected extra data of 2 bytes or more, found {length}")))?;
            cursor.skip(extra)?;
        }
        let here = cursor.clone();
        let column_count = u16::try_from(cursor.packed_uint()?);
        let column_count = column_count.map_err(|_| here.corrupt("expected at most 65535 columns"))?;
        Ok(RowsHead {
            table_id,
            is_statement_end: flags & STATEMENT_END != 0,
            flags: RowsFlags {
                no_foreign_key_checks: flags & NO_FOREIGN_KEY_CHECKS != 0,
                relaxed_unique_checks: flags & RELAXED_UNIQUE_CHECKS != 0,
                logged_cascades: flags & USE_SQL_FOREIGN_KEY != 0,
            },
            column_count,
            bitmaps: u32::try_from(cursor.offset()).unwrap_or(u32::MAX),
        })
    }

    /// Whether the event only closes the statement's tables.
    pub(in crate::decode) fn is_dummy(&self) -> bool {
        self.table_id == DUMMY_TABLE && self.is_statement_end
    }
}

/// The rows that one event changed in one table. Holds the event's own bytes; a clone copies none of them.
///
/// Rows are read when they are visited, see [`RowsChange::rows`]: only then are their bytes known to be right.
#[derive(Clone)]
#[non_exhaustive]
pub struct RowsChange {
    /// The table as the log describes it.
    pub table: Arc<TableMap>,
    /// What was done.
    pub kind: ChangeKind,
    /// The session's settings that matter for applying.
    pub flags: RowsFlags,
    /// The event's start; of a compressed transaction's, the payload's.
    pub start: Coordinates,
    /// The offset of the event's end in the same file; of a compressed transaction's event, of the payload's end.
    pub end: u64,
    /// When the statement ran, in seconds since 1970.
    pub seconds: u32,
    event: Bytes,
    event_kind: u8,
    is_partial: bool,
    column_count: u16,
    /// Where the bitmaps of the columns start: of the only image or the before image, then of an update's after image.
    bitmaps: u32,
    /// Where the rows end.
    end_of_rows: u32,
}

impl RowsChange {
    /// Checks that the bitmaps are there, and unfolds compressed rows in the event's place.
    #[inline(always)]
    pub(in crate::decode) fn check(
        event: &mut Event,
        kind: RowsKind,
        head: &RowsHead,
        unzip: &mut Unzip,
    ) -> Result<()> {
        if kind.is_compressed {
            let unfolded = unfold(event, kind, head, unzip)?;
            event.set_bytes(unfolded);
        } else {
            skip_bitmaps(event, kind, head)?;
        }
        Ok(())
    }

    /// Takes an event's bytes over that were checked.
    #[inline(always)]
    pub(in crate::decode) fn new(
        event: &mut Event,
        kind: RowsKind,
        head: &RowsHead,
        table: Arc<TableMap>,
        start: Coordinates,
    ) -> RowsChange {
        RowsChange {
            table,
            kind: kind.change,
            flags: head.flags,
            start,
            end: event.end(),
            seconds: event.seconds(),
            event_kind: event.kind(),
            is_partial: kind.is_partial,
            column_count: head.column_count,
            bitmaps: head.bitmaps,
            end_of_rows: u32::try_from(event.body_end()).unwrap_or(u32::MAX),
            event: event.take(),
        }
    }

    /// A change whose images carry all columns; `rows` are the images' bytes.
    #[cfg(test)]
    pub(crate) fn full(table: Arc<TableMap>, kind: ChangeKind, flags: RowsFlags, rows: &[u8], at: Coordinates) -> Self {
        let bitmap_count = if kind == ChangeKind::Update { 2 } else { 1 };
        let bitmaps = vec![0xff; table.columns.len().div_ceil(8) * bitmap_count];
        RowsChange::of(table, kind, flags, [&bitmaps, rows].concat(), at)
    }

    /// A change by the bytes of its bitmaps and its rows.
    #[cfg(test)]
    pub(crate) fn of(
        table: Arc<TableMap>,
        kind: ChangeKind,
        flags: RowsFlags,
        event: Vec<u8>,
        at: Coordinates,
    ) -> Self {
        RowsChange {
            kind,
            flags,
            end: at.offset,
            start: at,
            seconds: 0,
            event_kind: 0,
            is_partial: false,
            column_count: u16::try_from(table.columns.len()).unwrap(),
            bitmaps: 0,
            end_of_rows: u32::try_from(event.len()).unwrap(),
            table,
            event: event.into(),
        }
    }

    /// The rows in order. `buffer` is reused from one event to the next.
    pub fn rows<'a>(&'a self, buffer: &'a mut RowBuffer) -> Rows<'a> {
        Rows::new(self, buffer)
    }

    /// How many rows there are.
    ///
    /// # Errors
    /// As [`Rows::next`].
    pub fn row_count(&self, buffer: &mut RowBuffer) -> Result<u64> {
        let (mut rows, mut count) = (self.rows(buffer), 0_u64);
        while rows.next()?.is_some() {
            count = count.saturating_add(1);
        }
        Ok(count)
    }

    /// Bytes that the change keeps in memory.
    pub fn byte_count(&self) -> u64 {
        u64::try_from(self.event.len()).unwrap_or(u64::MAX)
    }

    pub(super) fn event_kind(&self) -> u8 {
        self.event_kind
    }

    pub(super) fn column_count(&self) -> usize {
        usize::from(self.column_count)
    }

    pub(super) fn is_partial(&self) -> bool {
        self.is_partial
    }

    /// The bitmap of the columns in the only image or the before image, that of an update's after image, and where the
    /// rows start.
    pub(super) fn bitmaps(&self) -> (&[u8], &[u8], usize) {
        let length = self.column_count().div_ceil(8);
        let start = usize::try_from(self.bitmaps).unwrap_or(usize::MAX);
        let end = start.saturating_add(length);
        let first = self.event.get(start..end).unwrap_or_default();
        match self.kind {
            ChangeKind::Insert | ChangeKind::Delete => (first, first, end),
            ChangeKind::Update => {
                let end_of_both = end.saturating_add(length);
                (first, self.event.get(end..end_of_both).unwrap_or_default(), end_of_both)
            }
        }
    }

    /// The event up to the rows' end.
    pub(super) fn logged(&self) -> &[u8] {
        let end = usize::try_from(self.end_of_rows).unwrap_or(usize::MAX);
        self.event.get(..end).unwrap_or_default()
    }
}

/// Passes the bitmaps, which must be there.
fn skip_bitmaps<'a>(event: &'a Event, kind: RowsKind, head: &RowsHead) -> Result<Cursor<'a>> {
    let mut cursor = event.body();
    let bitmaps = usize::try_from(head.bitmaps).unwrap_or(usize::MAX);
    cursor.skip(bitmaps.saturating_sub(cursor.offset()))?;
    let count = if kind.change == ChangeKind::Update { 2 } else { 1 };
    cursor.skip(usize::from(head.column_count).div_ceil(8).saturating_mul(count))?;
    Ok(cursor)
}

/// The event with its rows unfolded; what is in front of them stays where it was.
fn unfold(event: &Event, kind: RowsKind, head: &RowsHead, unzip: &mut Unzip) -> Result<Bytes> {
    let mut cursor = skip_bitmaps(event, kind, head)?;
    match cursor.is_empty() {
        true => Ok(event.bytes().slice(..event.body_end())),
        false => unzip.unfold(event.bytes(), &mut cursor),
    }
}

impl fmt::Debug for RowsChange {
    /// Without the rows.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RowsChange({:?} in {} at {})", self.kind, self.table.name, self.start)
    }
}
