//! Checked reads. The only code that touches offsets.
//!
//! # Invariants
//! 1. `at <= end <= source.len()` always: every move is checked against `end` before it is made.
//! 2. A read that fails moves nothing and names the byte at which it failed.
//! 3. No read allocates; a view of an event's buffer shares it.

use bytes::Bytes;

use super::fault::corrupt;
use crate::error::{Error, Result};

/// What is read: an event's buffer, of which views can be taken, or a part of one.
pub(super) trait Source {
    fn parts(&self) -> (&[u8], Option<&Bytes>);
}

impl Source for Bytes {
    fn parts(&self) -> (&[u8], Option<&Bytes>) {
        (self, Some(self))
    }
}

impl Source for [u8] {
    fn parts(&self) -> (&[u8], Option<&Bytes>) {
        (self, None)
    }
}

/// A place in an event's bytes, from which reads go on.
#[derive(Clone)]
pub(super) struct Cursor<'a> {
    source: &'a [u8],
    buffer: Option<&'a Bytes>,
    at: usize,
    end: usize,
}

impl<'a> Cursor<'a> {
    /// All of `source`.
    pub(super) fn new<S: Source + ?Sized>(source: &'a S) -> Cursor<'a> {
        let (source, buffer) = source.parts();
        Cursor { source, buffer, at: 0, end: source.len() }
    }

    /// Bytes from the start of the buffer.
    pub(super) fn position(&self) -> u64 {
        u64::try_from(self.at).unwrap_or(u64::MAX)
    }

    /// Bytes that are left.
    pub(super) fn remaining(&self) -> usize {
        self.end.saturating_sub(self.at)
    }

    /// Whether nothing is left.
    pub(super) fn is_empty(&self) -> bool {
        self.at >= self.end
    }

    #[cold]
    fn ended(&self, wanted: usize) -> Error {
        let left = self.remaining();
        self.mark(corrupt(format!("expected {wanted} bytes more, found {left}")))
    }

    /// Adds this byte's number to an error.
    #[cold]
    pub(super) fn mark(&self, error: Error) -> Error {
        error.at(|place| place.byte = Some(self.position()))
    }

    /// An error at this byte.
    #[cold]
    pub(super) fn corrupt(&self, message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
        self.mark(corrupt(message))
    }

    /// The next `length` bytes.
    #[inline]
    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let next = match self.at.checked_add(length) {
            Some(next) if next <= self.end => next,
            _ => return Err(self.ended(length)),
        };
        let Some(bytes) = self.source.get(self.at..next) else { return Err(self.ended(length)) };
        self.at = next;
        Ok(bytes)
    }

    /// The next `length` bytes as a view of the buffer.
    #[inline]
    pub(super) fn view(&mut self, length: usize) -> Result<Bytes> {
        let start = self.at;
        let bytes = self.take(length)?;
        Ok(match self.buffer {
            Some(buffer) => buffer.slice(start..self.at),
            None => Bytes::copy_from_slice(bytes),
        })
    }

    /// A cursor over the next `length` bytes, which are passed.
    pub(super) fn part(&mut self, length: usize) -> Result<Cursor<'a>> {
        let start = self.at;
        self.take(length)?;
        Ok(Cursor { at: start, end: self.at, ..*self })
    }

    /// Takes `length` bytes off the end.
    pub(super) fn take_tail(&mut self, length: usize) -> Result<&'a [u8]> {
        match self.end.checked_sub(length) {
            Some(end) if end >= self.at => {
                let tail = self.source.get(end..self.end).ok_or_else(|| self.ended(length))?;
                self.end = end;
                Ok(tail)
            }
            _ => Err(self.ended(length)),
        }
    }

    /// Passes `length` bytes.
    #[inline]
    pub(super) fn skip(&mut self, length: usize) -> Result<()> {
        self.take(length).map(drop)
    }

    /// All that is left.
    pub(super) fn rest(&mut self) -> &'a [u8] {
        let rest = self.source.get(self.at..self.end).unwrap_or_default();
        self.at = self.end;
        rest
    }

    /// All that is left as a view of the buffer.
    pub(super) fn rest_view(&mut self) -> Result<Bytes> {
        self.view(self.remaining())
    }

    #[inline]
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        match self.source.get(self.at..self.end).and_then(<[u8]>::first_chunk::<N>) {
            Some(array) => {
                self.at = self.at.saturating_add(N);
                Ok(*array)
            }
            None => Err(self.ended(N)),
        }
    }

    #[inline]
    pub(super) fn u8(&mut self) -> Result<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    #[inline]
    pub(super) fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_le_bytes)
    }

    #[inline]
    pub(super) fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    #[inline]
    pub(super) fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A little-endian number of `length` bytes, 0 to 8.
    #[inline]
    pub(super) fn uint_le(&mut self, length: usize) -> Result<u64> {
        if length > 8 {
            return Err(self.corrupt(format!("expected a number of at most 8 bytes, found {length} bytes")));
        }
        Ok(self.take(length)?.iter().rev().fold(0, |number, byte| (number << 8) | u64::from(*byte)))
    }

    /// A big-endian number of `length` bytes, 0 to 8.
    #[inline]
    pub(super) fn uint_be(&mut self, length: usize) -> Result<u64> {
        if length > 8 {
            return Err(self.corrupt(format!("expected a number of at most 8 bytes, found {length} bytes")));
        }
        Ok(self.take(length)?.iter().fold(0, |number, byte| (number << 8) | u64::from(*byte)))
    }

    /// A length-encoded integer (MySQL protocol manual, "Protocol::LengthEncodedInteger").
    #[inline]
    pub(super) fn packed_uint(&mut self) -> Result<u64> {
        match self.u8()? {
            short @ 0..=250 => Ok(u64::from(short)),
            252 => self.uint_le(2),
            253 => self.uint_le(3),
            254 => self.uint_le(8),
            other => Err(self.corrupt(format!("expected a packed integer, found the mark {other}"))),
        }
    }

    /// A length-encoded integer that is a length within this buffer.
    #[inline]
    pub(super) fn packed_length(&mut self) -> Result<usize> {
        let number = self.packed_uint()?;
        self.length(number)
    }

    /// A number as a length, which must be left.
    #[inline]
    pub(super) fn length(&self, number: u64) -> Result<usize> {
        match usize::try_from(number) {
            Ok(length) if length <= self.remaining() => Ok(length),
            _ => Err(self.corrupt(format!("expected {number} bytes more, found {}", self.remaining()))),
        }
    }

    /// The next `length` bytes as the server's own identifier text (UTF-8).
    pub(super) fn identifier(&mut self, length: usize) -> Result<&'a str> {
        let here = self.clone();
        std::str::from_utf8(self.take(length)?).map_err(|_| here.corrupt("expected a name in UTF-8"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_read_moves_nothing() {
        let bytes = Bytes::from_static(&[1, 2, 3]);
        let mut cursor = Cursor::new(&bytes);
        assert_eq!(cursor.u8().unwrap(), 1);
        let error = cursor.u32().unwrap_err();
        assert_eq!(error.place().unwrap().byte, Some(1));
        assert_eq!(error.message(), "expected 4 bytes more, found 2");
        assert_eq!(cursor.uint_be(2).unwrap(), 0x0203);
        assert!(cursor.take(usize::MAX).is_err());
        assert!(cursor.is_empty());
    }

    #[test]
    fn packed_integers_of_every_width() {
        let bytes = Bytes::from_static(&[250, 252, 1, 2, 253, 1, 2, 3, 254, 1, 0, 0, 0, 0, 0, 0, 1, 251]);
        let mut cursor = Cursor::new(&bytes);
        let mut next = || cursor.packed_uint();
        assert_eq!(next().unwrap(), 250);
        assert_eq!(next().unwrap(), 0x0201);
        assert_eq!(next().unwrap(), 0x03_0201);
        assert_eq!(next().unwrap(), 0x0100_0000_0000_0001);
        assert!(next().is_err());
    }

    #[test]
    fn the_tail_comes_off_once() {
        let bytes = Bytes::from_static(&[1, 2, 3, 4, 5]);
        let mut cursor = Cursor::new(&bytes);
        cursor.skip(1).unwrap();
        assert_eq!(cursor.take_tail(2).unwrap(), [4, 5]);
        assert!(cursor.take_tail(3).is_err());
        assert_eq!(cursor.rest(), [2, 3]);
    }
}
