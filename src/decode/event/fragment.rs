//! PARTIAL_ROW_DATA: a part of a row event that is too long for a replica's packets (MariaDB 12.3 and newer; manual,
//! "PARTIAL_ROW_DATA_EVENT").
//!
//! # Invariants
//! 1. Memory follows the parts that came, never the size that the first one claims.
//! 2. Parts are of one group, in order, without anything in between.

use bytes::{Bytes, BytesMut};

use crate::decode::cursor::Cursor;
use crate::decode::fault::limit;
use crate::error::Result;

/// The first part says how long the whole event is.
const ORIGINAL_SIZE: u8 = 0x1;

/// The parts of an event so far.
#[derive(Debug, Default)]
pub(in crate::decode) struct Fragments {
    total: u32,
    /// The number of the last part; 0: no event is open.
    last: u32,
    bytes: BytesMut,
}

impl Fragments {
    pub(in crate::decode) fn is_open(&self) -> bool {
        self.last > 0
    }

    /// Adds the part in `cursor`; gives the whole event with the last one.
    pub(in crate::decode) fn push(&mut self, cursor: &mut Cursor<'_>, max_event_bytes: u64) -> Result<Option<Bytes>> {
        let here = cursor.clone();
        let (total, number, flags) = (cursor.u32()?, cursor.u32()?, cursor.u8()?);
        if flags & ORIGINAL_SIZE != 0 {
            let size = cursor.u64()?;
            if size > max_event_bytes {
                return Err(too_large(size, max_event_bytes));
            }
        }
        let expected = self.last.saturating_add(1);
        if number != expected || number > total || (self.is_open() && total != self.total) {
            return Err(here.corrupt(format!("expected part {expected} of an event, found part {number} of {total}")));
        }
        let part = cursor.rest();
        let size = u64::try_from(self.bytes.len().saturating_add(part.len())).unwrap_or(u64::MAX);
        if size > max_event_bytes {
            return Err(too_large(size, max_event_bytes));
        }
        self.bytes.extend_from_slice(part);
        (self.total, self.last) = (total, number);
        if number < total {
            return Ok(None);
        }
        self.last = 0;
        Ok(Some(self.bytes.split().freeze()))
    }
}

#[cold]
fn too_large(size: u64, max_event_bytes: u64) -> crate::Error {
    limit(format!("an event in parts has {size} bytes or more, the bound is {max_event_bytes} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn part(total: u32, number: u32, size: Option<u64>, data: &[u8]) -> Vec<u8> {
        let mut out = total.to_le_bytes().to_vec();
        out.extend(number.to_le_bytes());
        out.push(u8::from(size.is_some()));
        out.extend(size.into_iter().flat_map(u64::to_le_bytes));
        out.extend(data);
        out
    }

    #[test]
    fn parts_come_in_order_and_within_the_bound() {
        let push = |fragments: &mut Fragments, part: Vec<u8>| fragments.push(&mut Cursor::new(&part), 6);
        let mut fragments = Fragments::default();
        assert!(push(&mut fragments, part(2, 1, Some(6), b"abc")).unwrap().is_none());
        assert!(fragments.is_open());
        assert_eq!(push(&mut fragments, part(2, 2, None, b"def")).unwrap().unwrap(), "abcdef");
        assert!(!fragments.is_open());
        assert_eq!(push(&mut fragments, part(2, 2, None, b"x")).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(push(&mut fragments, part(2, 1, Some(7), b"x")).unwrap_err().kind(), ErrorKind::Limit);
        push(&mut fragments, part(3, 1, None, b"abc")).unwrap();
        assert_eq!(push(&mut fragments, part(4, 2, None, b"d")).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(push(&mut fragments, part(3, 2, None, b"abcd")).unwrap_err().kind(), ErrorKind::Limit);
        assert!(push(&mut fragments, vec![1, 0, 0]).is_err());
    }
}
