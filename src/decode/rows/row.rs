//! Row images: which columns are there, which of them are NULL, and where the others' values are.
//!
//! # Invariants
//! 1. The rows end exactly where the event ends; nothing is left over and nothing is missing.
//! 2. An image has a place for every column of the table map; a column that the event does not carry is absent.
//! 3. A row takes no allocation: its places stand in a buffer that all rows share. Only values that the log does not
//!    hold as they are (compressed columns, partial JSON updates) are written into a second shared buffer.
//! 4. After an error or the last row nothing more comes.

use std::fmt;

use super::RowsChange;
use crate::decode::compression::Unzip;
use crate::decode::cursor::Cursor;
use crate::decode::event;
use crate::decode::fault::{corrupt, unsupported};
use crate::decode::table::{Layout, TableMap, Width, bit_from_low};
use crate::decode::value::json::{JsonDiff, JsonRef};
use crate::decode::value::{self, Reader, ValueRef};
use crate::error::{Error, Result};
use crate::model::{ChangeKind, Value};

/// Bit 0 of the options in front of the after image of a partial update: bits for its JSON columns follow (MySQL
/// source, `sql/log_event.h`, `enum_value_options`).
const PARTIAL_JSON: u64 = 1;

/// Where a value is.
#[derive(Clone, Copy)]
enum Slot {
    Absent,
    Null,
    /// In the event, from this byte on, so many bytes.
    Logged(u32, u32),
    /// In the event, as a change of the document before.
    Diff(u32, u32),
    /// In the buffer of made values.
    Made(u32, u32),
}

/// The places of a row's values; keep one for all rows.
#[derive(Default)]
pub struct RowBuffer {
    /// The first image's, then the after image's of an update.
    slots: Vec<Slot>,
    /// Values that the log does not hold as they are.
    made: Vec<u8>,
    unzip: Unzip,
}

impl RowBuffer {
    /// An empty buffer.
    pub fn new() -> RowBuffer {
        RowBuffer::default()
    }
}

impl fmt::Debug for RowBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RowBuffer({} places)", self.slots.len())
    }
}

/// The rows of an event, one after the other.
pub struct Rows<'a> {
    change: &'a RowsChange,
    cursor: Cursor<'a>,
    first: Carried<'a>,
    after: Carried<'a>,
    buffer: &'a mut RowBuffer,
    is_checked: bool,
}

/// A row as it was and as it is. An insert has no `before`, a delete no `after`.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Row<'r> {
    /// The row as it was.
    pub before: Option<Image<'r>>,
    /// The row as it is now.
    pub after: Option<Image<'r>>,
}

/// One image of a row: a value for each column of the table map, in order.
#[derive(Clone, Copy)]
pub struct Image<'r> {
    change: &'r RowsChange,
    slots: &'r [Slot],
    made: &'r [u8],
}

/// The columns that an image carries.
#[derive(Clone, Copy)]
struct Carried<'a> {
    bits: &'a [u8],
    count: usize,
    is_all: bool,
}

impl<'a> Carried<'a> {
    fn new(bits: &'a [u8], columns: usize) -> Carried<'a> {
        let count = (0..columns).filter(|index| bit_from_low(bits, *index)).count();
        Carried { bits, count, is_all: count == columns }
    }
}

impl<'a> Rows<'a> {
    pub(super) fn new(change: &'a RowsChange, buffer: &'a mut RowBuffer) -> Rows<'a> {
        let count = change.column_count();
        let first = Carried::new(change.first_columns(), count);
        let after = match change.kind {
            ChangeKind::Update => Carried::new(change.after_columns(), count),
            ChangeKind::Insert | ChangeKind::Delete => first,
        };
        Rows { change, cursor: change.body(), first, after, buffer, is_checked: false }
    }

    /// The next row; `None` behind the last one. It lives until the next call.
    ///
    /// # Errors
    /// `Corrupt`: bytes that are no rows of the table, with the column and the byte. `Unsupported`: a column whose
    /// width nothing says.
    #[expect(clippy::should_implement_trait, reason = "a row lends the buffer, which an iterator cannot")]
    pub fn next(&mut self) -> Result<Option<Row<'_>>> {
        match self.read() {
            Ok(false) => Ok(None),
            Ok(true) => Ok(Some(self.row())),
            Err(error) => {
                // Invariant 4.
                self.cursor = Cursor::new(&[]);
                self.is_checked = true;
                Err(locate(error, self.change))
            }
        }
    }

    fn read(&mut self) -> Result<bool> {
        let layout = self.change.table.layout();
        let count = layout.columns.len();
        if !self.is_checked {
            self.check(count)?;
        }
        if self.cursor.is_empty() {
            return Ok(false);
        }
        let left = self.cursor.remaining();
        self.buffer.made.clear();
        let (first, after) = self.buffer.slots.split_at_mut_checked(count).unwrap_or_default();
        read_image(&mut self.cursor, &self.first, layout, &self.change.table, first)?;
        if self.change.kind == ChangeKind::Update {
            let partial = match self.change.is_partial() {
                true => read_partial_bits(&mut self.cursor, layout.json_count)?,
                false => &[],
            };
            read_image(&mut self.cursor, &self.after, layout, &self.change.table, after)?;
            if !partial.is_empty() {
                mark_diffs(after, layout, partial);
            }
        }
        if self.cursor.remaining() == left {
            return Err(self.cursor.corrupt("expected a row, found one without bytes"));
        }
        if layout.has_compressed || self.change.is_partial() {
            self.make(layout)?;
        }
        Ok(true)
    }

    /// What is checked once for all rows.
    fn check(&mut self, count: usize) -> Result<()> {
        self.is_checked = true;
        let found = self.change.column_count();
        if found != count {
            return Err(corrupt(format!("the table map names {count} columns, the row images have {found}")));
        }
        if self.cursor.is_empty() {
            return Err(no_bytes(self.first.count));
        }
        self.buffer.slots.clear();
        self.buffer.slots.resize(count.saturating_mul(2), Slot::Absent);
        Ok(())
    }

    /// Writes out the values that the log does not hold as they are.
    fn make(&mut self, layout: &Layout) -> Result<()> {
        let RowBuffer { slots, made, unzip } = &mut *self.buffer;
        let event = self.change.event();
        let count = layout.columns.len();
        for index in 0..slots.len() {
            let Some(column) = index.checked_rem(count).and_then(|column| layout.columns.get(column)) else { break };
            let start = made.len();
            match slots.get(index).copied() {
                Some(Slot::Logged(at, length)) if column.reader == Reader::Compressed => {
                    unzip.unfold_column(part(event, at, length), made)?;
                }
                Some(Slot::Diff(at, length)) => {
                    let before = index.checked_sub(count).and_then(|before| slots.get(before)).copied();
                    let Some(Slot::Logged(before_at, before_length)) = before else { continue };
                    let before = part(event, before_at, before_length);
                    let whole = JsonDiff::new(part(event, at, length)).apply(JsonRef::new(before)?)?;
                    made.extend(whole);
                }
                _ => continue,
            }
            let length = made.len().saturating_sub(start);
            if let (Some(slot), Ok(start), Ok(length)) =
                (slots.get_mut(index), u32::try_from(start), u32::try_from(length))
            {
                *slot = Slot::Made(start, length);
            } else {
                return Err(corrupt("a row's unfolded values have 4 GiB or more"));
            }
        }
        Ok(())
    }

    fn row(&self) -> Row<'_> {
        let count = self.change.table.columns.len();
        let (first, after) = self.buffer.slots.split_at_checked(count).unwrap_or_default();
        let image = |slots| Some(Image { change: self.change, slots, made: &self.buffer.made });
        match self.change.kind {
            ChangeKind::Insert => Row { before: None, after: image(first) },
            ChangeKind::Update => Row { before: image(first), after: image(after) },
            ChangeKind::Delete => Row { before: image(first), after: None },
        }
    }
}

impl fmt::Debug for Rows<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rows({} bytes left)", self.cursor.remaining())
    }
}

/// Rows of which no column was logged take no bytes, so that nothing says how many there are.
#[cold]
fn no_bytes(carried: usize) -> Error {
    if carried == 0 {
        return unsupported("rows were logged without any column, so their number is unknown")
            .with_advice("set binlog_row_image=FULL on the source");
    }
    corrupt("expected at least one row, found none")
}

fn part(bytes: &[u8], start: u32, length: u32) -> &[u8] {
    let range = usize::try_from(start).ok().zip(usize::try_from(length).ok());
    range.and_then(|(start, length)| bytes.get(start..start.checked_add(length)?)).unwrap_or_default()
}

fn read_image(
    cursor: &mut Cursor<'_>,
    carried: &Carried<'_>,
    layout: &Layout,
    table: &TableMap,
    slots: &mut [Slot],
) -> Result<()> {
    let nulls = cursor.take(carried.count.div_ceil(8))?;
    // NULL bits count the carried columns only.
    let mut carried_index = 0_usize;
    for (index, (column, slot)) in layout.columns.iter().zip(slots).enumerate() {
        if !carried.is_all && !bit_from_low(carried.bits, index) {
            *slot = Slot::Absent;
            continue;
        }
        let is_null = bit_from_low(nulls, carried_index);
        carried_index = carried_index.saturating_add(1);
        *slot = if is_null {
            Slot::Null
        } else {
            match read_place(cursor, column.width) {
                Ok(slot) => slot,
                Err(error) => return Err(name_column(error, table, index)),
            }
        };
    }
    Ok(())
}

#[inline]
fn read_place(cursor: &mut Cursor<'_>, width: Width) -> Result<Slot> {
    let length = match width {
        Width::Fixed(length) => u32::from(length),
        Width::Short(max) => match cursor.u8()? {
            length if length <= max => u32::from(length),
            length => return Err(too_long(cursor, max.into(), length.into())),
        },
        Width::Long(max) => match cursor.u16()? {
            length if length <= max => u32::from(length),
            length => return Err(too_long(cursor, max, length)),
        },
        Width::Blob(width) => u32::try_from(cursor.uint_le(usize::from(width))?).unwrap_or(u32::MAX),
        Width::Unknown => return Err(unknown_width(cursor)),
    };
    let start = u32::try_from(cursor.offset()).unwrap_or(u32::MAX);
    cursor.skip(usize::try_from(length).unwrap_or(usize::MAX))?;
    Ok(Slot::Logged(start, length))
}

#[cold]
fn too_long(cursor: &Cursor<'_>, max: u16, found: u16) -> Error {
    cursor.corrupt(format!("expected at most {max} bytes of text, found {found} bytes"))
}

#[cold]
fn unknown_width(cursor: &Cursor<'_>) -> Error {
    cursor.mark(unsupported("the log does not say how this column is packed"))
}

/// The bits of a partial update's JSON columns, one for each JSON column of the table, carried or not (MySQL source,
/// `sql/rpl_record.cc`, `unpack_row`); empty where no column is partial.
fn read_partial_bits<'a>(cursor: &mut Cursor<'a>, json_count: usize) -> Result<&'a [u8]> {
    let here = cursor.clone();
    match cursor.packed_uint()? {
        0 => Ok(&[]),
        PARTIAL_JSON => cursor.take(json_count.div_ceil(8)),
        other => Err(here.mark(unsupported(format!("row value options {other} are not known")))),
    }
}

fn mark_diffs(after: &mut [Slot], layout: &Layout, partial: &[u8]) {
    let json = after.iter_mut().zip(&layout.columns).filter(|(_, column)| column.reader == Reader::Json);
    for (index, (slot, _)) in json.enumerate() {
        if let Slot::Logged(start, length) = *slot
            && bit_from_low(partial, index)
        {
            *slot = Slot::Diff(start, length);
        }
    }
}

impl<'r> Image<'r> {
    /// How many columns the table has.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether the table has no columns.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The table as the log describes it.
    pub fn table(&self) -> &'r TableMap {
        &self.change.table
    }

    /// The value of a column, counted from 0; `None` where the image does not carry it.
    ///
    /// # Errors
    /// `Corrupt`: bytes that are no value of the column's type.
    #[inline]
    pub fn get(&self, index: usize) -> Result<Option<ValueRef<'r>>> {
        match (self.slots.get(index), self.change.table.layout().columns.get(index)) {
            (Some(slot), Some(column)) => self.value(*slot, column.reader).map_err(|error| self.locate(error, index)),
            _ => Ok(None),
        }
    }

    /// Copies of all columns' values in order.
    ///
    /// # Errors
    /// As [`Image::get`].
    pub fn to_values(&self) -> Result<Vec<Option<Value>>> {
        self.iter().map(|value| value?.map(|value| value.to_value()).transpose()).collect()
    }

    /// All columns' values in order, as [`Image::get`].
    pub fn iter(&self) -> impl Iterator<Item = Result<Option<ValueRef<'r>>>> {
        let image = *self;
        self.slots.iter().zip(&self.change.table.layout().columns).enumerate().map(move |(index, (slot, column))| {
            image.value(*slot, column.reader).map_err(|error| image.locate(error, index))
        })
    }

    #[inline]
    fn value(&self, slot: Slot, reader: Reader) -> Result<Option<ValueRef<'r>>> {
        let event: &'r [u8] = self.change.event();
        match slot {
            Slot::Absent => Ok(None),
            Slot::Null => Ok(Some(ValueRef::Null)),
            Slot::Logged(start, length) => reader.read(part(event, start, length)).map(Some),
            Slot::Made(start, length) => reader.read(part(self.made, start, length)).map(Some),
            Slot::Diff(start, length) => Ok(Some(ValueRef::JsonDiff(JsonDiff::new(part(event, start, length))))),
        }
    }

    /// Adds a value's place to an error of reading on in it, such as a DECIMAL's digits or a document.
    #[cold]
    pub fn locate(&self, error: Error, index: usize) -> Error {
        let byte = match self.slots.get(index) {
            Some(Slot::Logged(start, _) | Slot::Diff(start, _)) => Some(u64::from(*start)),
            _ => None,
        };
        let error = error.at(|place| place.byte = byte);
        locate(name_column(error, &self.change.table, index), self.change)
    }
}

impl fmt::Debug for Image<'_> {
    /// The number of columns only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Image({} columns)", self.len())
    }
}

#[cold]
fn name_column(error: Error, table: &TableMap, index: usize) -> Error {
    let column = table.columns.get(index);
    let name = column.and_then(|column| column.name.clone());
    let error = match column.map(|column| column.type_code) {
        Some(code @ (value::TIME | value::DATETIME | value::TIMESTAMP))
            if error.kind() == crate::ErrorKind::Unsupported =>
        {
            let kind = value::type_name(code);
            unsupported(format!("the log does not say how this {kind} column of MariaDB's old format is packed"))
                .with_advice(
                    "declare the column's digits behind the second, or rebuild the table with \
                     mysql56_temporal_format=ON and ALTER TABLE ... FORCE",
                )
        }
        _ => error,
    };
    error.at(|place| place.column = Some(name.unwrap_or_else(|| format!("number {}", index.saturating_add(1)))))
}

#[cold]
fn locate(error: Error, change: &RowsChange) -> Error {
    error.at(|place| {
        place.coordinates = Some(change.start.clone());
        place.event = Some(event::name_of(change.event_kind()));
        place.table = Some(change.table.name.to_string());
    })
}
