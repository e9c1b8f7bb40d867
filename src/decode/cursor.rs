//! Checked reads. The only code that touches offsets.
//!
//! # Invariants
//! 1. A move is checked before it is made: no read goes beyond the end.
//! 2. A read that fails moves nothing and names the byte at which it failed.
//! 3. No read allocates or copies: what is taken is a part of the event's own bytes.

use super::fault::corrupt;
use crate::error::{Error, Result};

/// A place in an event's bytes, from which reads go on.
#[derive(Clone)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
    /// The number of the byte behind `rest`.
    end: usize,
}

impl<'a> Cursor<'a> {
    /// All of `bytes`.
    pub(super) fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { rest: bytes, end: bytes.len() }
    }

    /// All of `bytes`, of which the first has the number `first` in the event.
    pub(super) fn numbered(bytes: &'a [u8], first: usize) -> Cursor<'a> {
        Cursor { rest: bytes, end: first.saturating_add(bytes.len()) }
    }

    /// The number of the next byte.
    pub(super) fn offset(&self) -> usize {
        self.end.saturating_sub(self.rest.len())
    }

    /// The number of the next byte, as errors name it.
    pub(super) fn position(&self) -> u64 {
        u64::try_from(self.offset()).unwrap_or(u64::MAX)
    }

    /// Bytes that are left.
    pub(super) fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Whether nothing is left.
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
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
        match self.rest.split_at_checked(length) {
            Some((bytes, rest)) => {
                self.rest = rest;
                Ok(bytes)
            }
            None => Err(self.ended(length)),
        }
    }

    /// A cursor over the next `length` bytes, which are passed.
    pub(super) fn part(&mut self, length: usize) -> Result<Cursor<'a>> {
        let first = self.offset();
        self.take(length).map(|bytes| Cursor::numbered(bytes, first))
    }

    /// Takes `length` bytes off the end.
    pub(super) fn take_tail(&mut self, length: usize) -> Result<&'a [u8]> {
        let split = self.rest.len().checked_sub(length).and_then(|middle| self.rest.split_at_checked(middle));
        let Some((rest, tail)) = split else { return Err(self.ended(length)) };
        self.rest = rest;
        self.end = self.end.saturating_sub(length);
        Ok(tail)
    }

    /// Passes `length` bytes.
    #[inline]
    pub(super) fn skip(&mut self, length: usize) -> Result<()> {
        self.take(length).map(drop)
    }

    /// All that is left.
    pub(super) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// The next `N` bytes.
    #[inline]
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        match self.rest.split_first_chunk::<N>() {
            Some((array, rest)) => {
                self.rest = rest;
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
        Ok(match length {
            0 => 0,
            1 => u64::from(self.u8()?),
            2 => u64::from(self.u16()?),
            3 => little(self.array::<3>()?),
            4 => u64::from(self.u32()?),
            5 => little(self.array::<5>()?),
            6 => little(self.array::<6>()?),
            7 => little(self.array::<7>()?),
            8 => self.u64()?,
            _ => return Err(self.corrupt(format!("expected a number of at most 8 bytes, found {length} bytes"))),
        })
    }

    /// A big-endian number of `length` bytes, 0 to 8.
    #[inline]
    pub(super) fn uint_be(&mut self, length: usize) -> Result<u64> {
        let shift = 64_u32.saturating_sub(u32::try_from(length).unwrap_or(8).saturating_mul(8));
        let number = self.uint_le(length)?;
        // The bytes are turned as a whole; those that were not there end up lowest.
        Ok(number.swap_bytes().checked_shr(shift).unwrap_or(0))
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

/// A little-endian number of up to 8 bytes.
#[inline]
fn little<const N: usize>(bytes: [u8; N]) -> u64 {
    let mut whole = [0; 8];
    if let Some(low) = whole.first_chunk_mut::<N>() {
        *low = bytes;
    }
    u64::from_le_bytes(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_read_moves_nothing() {
        let mut cursor = Cursor::new(&[1, 2, 3]);
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
        let mut cursor = Cursor::new(&[250, 252, 1, 2, 253, 1, 2, 3, 254, 1, 0, 0, 0, 0, 0, 0, 1, 251]);
        let mut next = || cursor.packed_uint();
        assert_eq!(next().unwrap(), 250);
        assert_eq!(next().unwrap(), 0x0201);
        assert_eq!(next().unwrap(), 0x03_0201);
        assert_eq!(next().unwrap(), 0x0100_0000_0000_0001);
        assert!(next().is_err());
    }

    #[test]
    fn the_tail_comes_off_once() {
        let mut cursor = Cursor::new(&[1, 2, 3, 4, 5]);
        cursor.skip(1).unwrap();
        assert_eq!(cursor.take_tail(2).unwrap(), [4, 5]);
        assert!(cursor.take_tail(3).is_err());
        assert_eq!(cursor.rest(), [2, 3]);
    }
}
