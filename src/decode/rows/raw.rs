//! Images in the log's own form, for row events that are made of a log's rows (MySQL source,
//! `libs/mysql/binlog/event/rows_event.h`, "Rows_event": NULL bits of the columns that the image has, then their values).

use super::Image;
use super::row::{Place, to_usize};
use crate::decode::table::{ColumnLayout, UNKNOWN};
use crate::decode::value::{Reader, part};

impl<'r> Image<'r> {
    /// The whole image as it stands in the log. `None`: it lacks columns, or has values that the log does not hold as they
    /// are.
    pub(crate) fn raw(&self) -> Option<&'r [u8]> {
        if self.places.iter().any(|place| !is_as_stored(place.reader)) {
            return None;
        }
        // Values stand one behind the other: the first and the last that are not NULL tell where the image is.
        let mut logged = self.columns().filter(|(place, _)| place.reader != Reader::Null);
        let (first, column) = logged.next()?;
        let (last, _) = logged.last().unwrap_or((first, column));
        let nulls = self.places.len().div_ceil(8);
        let start = to_usize(first.start).checked_sub(usize::from(column.prefix))?.checked_sub(nulls)?;
        self.event.get(start..to_usize(last.start).checked_add(to_usize(last.length))?)
    }

    /// Writes an image of these columns alone, which are in ascending order. `None`: it lacks one of them, or has it not
    /// as the log holds it; what was written is to be thrown away then.
    pub(crate) fn write_raw_columns(&self, columns: &[usize], out: &mut Vec<u8>) -> Option<()> {
        let nulls = out.len();
        out.resize(nulls.checked_add(columns.len().div_ceil(8))?, 0);
        for (number, index) in columns.iter().enumerate() {
            let (place, column) = (self.places.get(*index)?, self.change.table.layout().columns.get(*index)?);
            if place.reader == Reader::Null {
                let byte = out.get_mut(nulls.checked_add(number / 8)?)?;
                *byte |= 1_u8.checked_shl(u32::try_from(number % 8).ok()?)?;
                continue;
            }
            if !is_as_stored(place.reader) || column.prefix == UNKNOWN {
                return None;
            }
            let prefix = u32::from(column.prefix);
            let start = place.start.checked_sub(prefix)?;
            out.extend_from_slice(part(self.event, start, place.length.checked_add(prefix)?));
        }
        Some(())
    }

    /// Bytes of all values together.
    pub(crate) fn len_bytes(&self) -> usize {
        self.places.iter().fold(0_usize, |sum, place| sum.saturating_add(to_usize(place.length)))
    }

    fn columns(&self) -> impl Iterator<Item = (&'r Place, &'r ColumnLayout)> {
        self.places.iter().zip(&self.change.table.layout().columns)
    }
}

/// Whether the log has the value as the server stores it.
fn is_as_stored(reader: Reader) -> bool {
    !matches!(reader, Reader::Absent | Reader::Diff | Reader::MadeBytes | Reader::MadeJson | Reader::Compressed)
}
