//! Row images: which columns are there, which of them are NULL, and where the others' values are.
//!
//! # Invariants
//! 1. The rows end exactly where the event ends; nothing is left over and nothing is missing.
//! 2. An image has a place for every column of the table map; a column that the event does not carry is absent.
//! 3. A row takes no allocation: its places stand in a buffer that all rows share. Only values that the log does not
//!    hold as they are (compressed columns, partial JSON updates) are written into a second shared buffer.
//! 4. After an error or the last row nothing more comes.

use std::fmt;
use std::iter::FusedIterator;
use std::slice;
use std::sync::Arc;

use super::RowsChange;
use crate::decode::compression::Unzip;
use crate::decode::cursor::Cursor;
use crate::decode::event;
use crate::decode::fault::{corrupt, unsupported};
use crate::decode::table::{ColumnLayout, Layout, TableMap, UNKNOWN, bit_from_low};
use crate::decode::value::json::{JsonDiff, JsonRef};
use crate::decode::value::{self, Reader, ValueRef, part};
use crate::error::{Error, Result};
use crate::model::{ChangeKind, Value};

/// Bit 0 of the options in front of the after image of a partial update: bits for its JSON columns follow (MySQL
/// source, `sql/log_event.h`, `enum_value_options`).
const PARTIAL_JSON: u64 = 1;

/// Where a value is, and how it is read.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) reader: Reader,
    pub(super) start: u32,
    pub(super) length: u32,
}

impl Place {
    const ABSENT: Place = Place { reader: Reader::Absent, start: 0, length: 0 };
    const NULL: Place = Place { reader: Reader::Null, start: 0, length: 0 };
}

/// The places of a row's values; keep one for all rows.
#[derive(Default)]
pub struct RowBuffer {
    /// The first image's, then the after image's of an update.
    places: Vec<Place>,
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
        write!(f, "RowBuffer({} places)", self.places.len())
    }
}

/// The rows of an event, one after the other.
pub struct Rows<'a> {
    change: &'a RowsChange,
    /// The event up to the rows' end, and the byte where the next row starts.
    event: &'a [u8],
    at: usize,
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
    pub(super) change: &'r RowsChange,
    pub(super) event: &'r [u8],
    pub(super) places: &'r [Place],
    made: &'r [u8],
}

/// The values of an image, see [`Image::iter`].
#[derive(Clone)]
pub struct Values<'r> {
    image: Image<'r>,
    places: slice::Iter<'r, Place>,
}

/// The columns that an image carries.
#[derive(Clone, Copy)]
struct Carried<'a> {
    bits: &'a [u8],
    count: usize,
    is_all: bool,
    /// How many bytes the NULL bits of so many columns take.
    null_bytes: usize,
}

impl<'a> Carried<'a> {
    fn new(bits: &'a [u8], columns: usize) -> Carried<'a> {
        let (whole, rest) = bits.split_at_checked(columns / 8).unwrap_or((&[], bits));
        // Bits beyond the last column are set by some servers and clear by others.
        let last = !0xff_u8.wrapping_shl(u32::try_from(columns % 8).unwrap_or(0));
        let odd = rest.first().map_or(0, |byte| byte & last);
        let is_all = bits.len() >= columns.div_ceil(8) && odd == last && whole.iter().all(|byte| *byte == 0xff);
        let ones = |byte: &u8| usize::try_from(byte.count_ones()).unwrap_or(0);
        let count = if is_all { columns } else { whole.iter().map(ones).fold(ones(&odd), usize::saturating_add) };
        Carried { bits, count, is_all, null_bytes: count.div_ceil(8) }
    }
}

impl<'a> Rows<'a> {
    pub(super) fn new(change: &'a RowsChange, buffer: &'a mut RowBuffer) -> Rows<'a> {
        let (first, after, at) = change.bitmaps();
        let count = change.column_count();
        let first = Carried::new(first, count);
        let after = match change.kind {
            ChangeKind::Update => Carried::new(after, count),
            ChangeKind::Insert | ChangeKind::Delete => first,
        };
        Rows { change, event: change.logged(), at, first, after, buffer, is_checked: false }
    }

    /// The next row; `None` behind the last one. It lives until the next call.
    ///
    /// # Errors
    /// `Corrupt`: bytes that are no rows of the table, with the column and the byte. `Unsupported`: a column whose
    /// width nothing says.
    #[expect(clippy::should_implement_trait, reason = "a row lends the buffer, which an iterator cannot")]
    #[inline]
    pub fn next(&mut self) -> Result<Option<Row<'_>>> {
        match self.read() {
            Ok(false) => Ok(None),
            Ok(true) => Ok(Some(self.row())),
            Err(error) => Err(self.stop(error)),
        }
    }

    /// Nothing more comes (invariant 4).
    #[cold]
    fn stop(&mut self, error: Error) -> Error {
        self.at = self.event.len();
        self.is_checked = true;
        locate(error, self.change)
    }

    fn read(&mut self) -> Result<bool> {
        let layout = self.change.table.layout();
        let count = layout.columns.len();
        if !self.is_checked {
            self.check(count)?;
        }
        if self.at >= self.event.len() {
            return Ok(false);
        }
        let start = self.at;
        let (first, after) = self.buffer.places.split_at_mut_checked(count).unwrap_or_default();
        self.at = read_image(self.event, self.at, &self.first, &self.change.table, first)?;
        if self.change.kind == ChangeKind::Update {
            let partial = match self.change.is_partial() {
                true => read_partial_bits(self.event, &mut self.at, layout.json_count)?,
                false => &[],
            };
            self.at = read_image(self.event, self.at, &self.after, &self.change.table, after)?;
            if !partial.is_empty() {
                mark_diffs(after, layout, partial);
            }
        }
        if self.at == start {
            return Err(at_byte(start, corrupt("expected a row, found one without bytes")));
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
        if self.at >= self.event.len() {
            return Err(no_bytes(self.first.count));
        }
        self.buffer.places.resize(count.saturating_mul(2), Place::ABSENT);
        Ok(())
    }

    /// Writes out the values that the log does not hold as they are.
    fn make(&mut self, layout: &Layout) -> Result<()> {
        let RowBuffer { places, made, unzip } = &mut *self.buffer;
        made.clear();
        let event = self.event;
        let count = layout.columns.len();
        // Behind a single image stand places of an earlier event.
        let images = if self.change.kind == ChangeKind::Update { 2 } else { 1 };
        for index in 0..count.saturating_mul(images) {
            let Some(place) = places.get(index).copied() else { break };
            let start = made.len();
            let reader = match place.reader {
                Reader::Compressed => {
                    unzip.unfold_column(part(event, place.start, place.length), made)?;
                    Reader::MadeBytes
                }
                Reader::Diff => {
                    let before = index.checked_sub(count).and_then(|before| places.get(before));
                    let Some(before) = before.filter(|before| before.reader == Reader::Json) else { continue };
                    let before = JsonRef::new(part(event, before.start, before.length))?;
                    made.extend(JsonDiff::new(part(event, place.start, place.length)).apply(before)?);
                    Reader::MadeJson
                }
                _ => continue,
            };
            let length = made.len().saturating_sub(start);
            let (Some(place), Ok(start), Ok(length)) =
                (places.get_mut(index), u32::try_from(start), u32::try_from(length))
            else {
                return Err(corrupt("a row's unfolded values have 4 GiB or more"));
            };
            *place = Place { reader, start, length };
        }
        Ok(())
    }

    /// Where the next row starts, for [`RowsChange::row_at`].
    pub fn offset(&self) -> u32 {
        u32::try_from(self.at).unwrap_or(u32::MAX)
    }

    #[inline]
    fn row(&self) -> Row<'_> {
        row(self.change, self.buffer)
    }
}

/// The row whose places are in the buffer.
#[inline]
fn row<'r>(change: &'r RowsChange, buffer: &'r RowBuffer) -> Row<'r> {
    let count = change.table.columns.len();
    let (first, after) = buffer.places.split_at_checked(count).unwrap_or_default();
    let image = |places| Some(Image { change, event: change.logged(), places, made: &buffer.made });
    match change.kind {
        ChangeKind::Insert => Row { before: None, after: image(first) },
        ChangeKind::Update => Row { before: image(first), after: image(after) },
        ChangeKind::Delete => Row { before: image(first), after: None },
    }
}

impl RowsChange {
    /// The row that starts at an offset which [`Rows::offset`] gave.
    ///
    /// # Errors
    /// As [`Rows::next`]; `Corrupt` where the rows have ended.
    pub fn row_at<'a>(&'a self, offset: u32, buffer: &'a mut RowBuffer) -> Result<Row<'a>> {
        let mut rows = Rows::new(self, buffer);
        rows.at = usize::try_from(offset).unwrap_or(usize::MAX);
        match rows.read() {
            Ok(true) => Ok(row(self, rows.buffer)),
            Ok(false) => Err(locate(no_bytes(rows.first.count), self)),
            Err(error) => Err(locate(error, self)),
        }
    }
}

impl fmt::Debug for Rows<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rows({} bytes left)", self.event.len().saturating_sub(self.at))
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

/// Reads the places of an image that starts at byte `at`; gives the byte behind it.
fn read_image(event: &[u8], at: usize, carried: &Carried<'_>, table: &TableMap, places: &mut [Place]) -> Result<usize> {
    let end = at.saturating_add(carried.null_bytes);
    let (Some(nulls), Ok(mut at)) = (event.get(at..end), u32::try_from(end)) else { return Err(no_null_bits(event)) };
    if !carried.is_all {
        return read_part(event, at, nulls, carried.bits, table, places);
    }
    let (mut bits, mut nulls) = (1_u32, nulls.iter());
    for (index, (column, place)) in table.layout().columns.iter().zip(places).enumerate() {
        // Only the mark above the last byte's bits is left.
        if bits == 1 {
            bits = nulls.next().map_or(0, |byte| u32::from(*byte)) | 0x100;
        }
        if bits & 1 != 0 {
            *place = Place::NULL;
        } else {
            let Some(found) = read_place(event, at, column) else { return Err(wrong_place(event, at, table, index)) };
            (*place, at) = found;
        }
        bits >>= 1;
    }
    Ok(to_usize(at))
}

#[cold]
fn no_null_bits(event: &[u8]) -> Error {
    at_byte(event.len(), corrupt("expected a row image's NULL bits, found the event's end"))
}

/// As above, of an image that lacks columns; its NULL bits count those that it has.
fn read_part(
    event: &[u8],
    mut at: u32,
    nulls: &[u8],
    carried: &[u8],
    table: &TableMap,
    places: &mut [Place],
) -> Result<usize> {
    let mut count = 0_usize;
    for (index, (column, place)) in table.layout().columns.iter().zip(places).enumerate() {
        if !bit_from_low(carried, index) {
            *place = Place::ABSENT;
            continue;
        }
        if bit_from_low(nulls, count) {
            *place = Place::NULL;
        } else {
            let Some(found) = read_place(event, at, column) else { return Err(wrong_place(event, at, table, index)) };
            (*place, at) = found;
        }
        count = count.saturating_add(1);
    }
    Ok(to_usize(at))
}

/// Where the value is whose column starts at byte `at`, and the byte behind it; `None` where that cannot be.
#[inline(always)]
fn read_place(event: &[u8], at: u32, column: &ColumnLayout) -> Option<(Place, u32)> {
    let (start, length) = match column.prefix {
        0 => (at, column.limit),
        1 => (at.checked_add(1)?, u32::from(*event.get(to_usize(at))?)),
        prefix => (at.checked_add(prefix.into())?, read_length(event.get(to_usize(at)..)?, prefix)?),
    };
    let end = start.checked_add(length)?;
    let is_there = length <= column.limit && to_usize(end) <= event.len();
    is_there.then_some((Place { reader: column.reader, start, length }, end))
}

pub(super) fn to_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// A length of 2 to 4 bytes.
#[inline(never)]
fn read_length(bytes: &[u8], prefix: u8) -> Option<u32> {
    match (prefix, bytes) {
        (2, [a, b, ..]) => Some(u32::from(u16::from_le_bytes([*a, *b]))),
        (3, [a, b, c, ..]) => Some(u32::from_le_bytes([*a, *b, *c, 0])),
        (4, [a, b, c, d, ..]) => Some(u32::from_le_bytes([*a, *b, *c, *d])),
        _ => None,
    }
}

/// Why [`read_place`] found nothing.
#[cold]
fn wrong_place(event: &[u8], at: u32, table: &TableMap, index: usize) -> Error {
    let at = to_usize(at);
    let column = table.layout().columns.get(index);
    let prefix = column.map_or(0, |column| column.prefix);
    let mut cursor = Cursor::numbered(event.get(at..).unwrap_or_default(), at);
    let error = match cursor.uint_le(usize::from(prefix)) {
        _ if prefix == UNKNOWN => at_byte(at, unsupported("the log does not say how this column is packed")),
        Err(error) => error,
        Ok(length) => {
            let limit = column.map_or(0, |column| column.limit);
            let length = if prefix == 0 { limit } else { u32::try_from(length).unwrap_or(u32::MAX) };
            let left = cursor.remaining();
            at_byte(
                at,
                match length > limit {
                    true => corrupt(format!("expected at most {limit} bytes of text, found {length} bytes")),
                    false => corrupt(format!("expected {length} bytes more, found {left}")),
                },
            )
        }
    };
    name_column(error, table, index)
}

#[cold]
fn at_byte(byte: usize, error: Error) -> Error {
    error.at(|place| place.byte = u64::try_from(byte).ok())
}

/// The bits of a partial update's JSON columns, one for each JSON column of the table, carried or not (MySQL source,
/// `sql/rpl_record.cc`, `unpack_row`); empty where no column is partial. Moves `at` behind them.
fn read_partial_bits<'a>(event: &'a [u8], at: &mut usize, json_count: usize) -> Result<&'a [u8]> {
    let mut cursor = Cursor::numbered(event.get(*at..).unwrap_or_default(), *at);
    let here = cursor.clone();
    let bits = match cursor.packed_uint()? {
        0 => &[][..],
        PARTIAL_JSON => cursor.take(json_count.div_ceil(8))?,
        other => return Err(here.mark(unsupported(format!("row value options {other} are not known")))),
    };
    *at = cursor.offset();
    Ok(bits)
}

fn mark_diffs(after: &mut [Place], layout: &Layout, partial: &[u8]) {
    let json = after.iter_mut().zip(&layout.columns).filter(|(_, column)| column.reader == Reader::Json);
    for (index, (place, _)) in json.enumerate() {
        if place.reader == Reader::Json && bit_from_low(partial, index) {
            place.reader = Reader::Diff;
        }
    }
}

impl<'r> Image<'r> {
    /// How many columns the table has.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether the table has no columns.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
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
        let Some(place) = self.places.get(index) else { return Ok(None) };
        self.read(place).map_err(|error| self.locate(error, index))
    }

    #[inline(always)]
    fn read(&self, place: &Place) -> Result<Option<ValueRef<'r>>> {
        place.reader.read(self.event, self.made, place.start, place.length)
    }

    /// Copies of all columns' values in order.
    ///
    /// # Errors
    /// As [`Image::get`].
    pub fn to_values(&self) -> Result<Vec<Option<Value>>> {
        self.iter().map(|value| value?.map(|value| value.to_value()).transpose()).collect()
    }

    /// The first column, if any, that the image does not carry, or not as a whole (a JSON document of which it has a change
    /// only), and that `may_lack` does not allow to be absent.
    pub fn lacks(&self, may_lack: impl Fn(usize) -> bool) -> Option<usize> {
        let is_lacking = |reader: Reader| matches!(reader, Reader::Absent | Reader::Diff);
        let mut places = self.places.iter().enumerate();
        places.find(|(index, place)| is_lacking(place.reader) && !may_lack(*index)).map(|(index, _)| index)
    }

    /// Whether the image carries a column, be it as a change of the document before.
    pub fn has(&self, index: usize) -> bool {
        self.places.get(index).is_some_and(|place| place.reader != Reader::Absent)
    }

    /// How many bytes the log has for a column; 0 for NULL and where the image does not carry it.
    pub fn byte_count_at(&self, index: usize) -> usize {
        self.logged_at(index).flatten().map_or(0, <[u8]>::len)
    }

    /// Whether a column is logged with the same bytes in both images. `false` also where the images' tables differ.
    pub fn is_same_at(&self, other: &Image<'_>, index: usize) -> bool {
        match (self.logged_at(index), other.logged_at(index)) {
            (Some(ours), Some(theirs)) => {
                ours == theirs
                    && (Arc::ptr_eq(&self.change.table, &other.change.table) || self.change.table == other.change.table)
            }
            _ => false,
        }
    }

    /// The bytes of a value, or `None` inside for NULL.
    fn logged_at(&self, index: usize) -> Option<Option<&'r [u8]>> {
        let Place { reader, start, length } = *self.places.get(index)?;
        match reader {
            Reader::Absent | Reader::Diff => None,
            Reader::Null => Some(None),
            Reader::MadeBytes | Reader::MadeJson => Some(Some(part(self.made, start, length))),
            _ => Some(Some(part(self.event, start, length))),
        }
    }

    /// All columns' values in order, as [`Image::get`].
    #[inline(always)]
    pub fn iter(&self) -> Values<'r> {
        Values { image: *self, places: self.places.iter() }
    }

    /// Adds a value's place to an error of reading on in it, such as a DECIMAL's digits or a document.
    #[cold]
    pub fn locate(&self, error: Error, index: usize) -> Error {
        let byte = match self.places.get(index) {
            Some(Place { reader: Reader::Absent | Reader::Null | Reader::MadeBytes | Reader::MadeJson, .. }) | None => {
                None
            }
            Some(place) => Some(u64::from(place.start)),
        };
        let error = error.at(|place| place.byte = byte);
        locate(name_column(error, &self.change.table, index), self.change)
    }
}

impl<'r> Iterator for Values<'r> {
    type Item = Result<Option<ValueRef<'r>>>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        let place = self.places.next()?;
        Some(self.image.read(place).map_err(|error| self.locate(error)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.places.size_hint()
    }
}

impl ExactSizeIterator for Values<'_> {}

impl fmt::Debug for Values<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Values({} left)", self.len())
    }
}

impl FusedIterator for Values<'_> {}

impl Values<'_> {
    /// The number of the column whose value was given last.
    fn passed(&self) -> usize {
        self.image.len().saturating_sub(self.places.len()).saturating_sub(1)
    }

    #[cold]
    fn locate(&self, error: Error) -> Error {
        self.image.locate(error, self.passed())
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
