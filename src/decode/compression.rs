//! Zlib parts of MariaDB's log: bounded before and while they unfold.
//!
//! # Invariants
//! 1. Memory follows the bytes that really come out, never the length that the log promises.
//! 2. More or fewer bytes than promised is an error.
//! 3. The inflater and its buffer are kept from one part to the next.

use std::fmt;

use bytes::{Bytes, BytesMut};
use flate2::{Decompress, FlushDecompress, Status};

use super::cursor::Cursor;
use super::fault::{corrupt, limit, unsupported};
use crate::error::Result;

/// The largest event that servers take: the largest packet, and room for an event's fixed parts.
const MAX_UNFOLDED: u64 = (1 << 30) + (1 << 20);
/// How much room is made at a time.
const STEP: usize = 64 << 10;

/// An inflater.
#[derive(Default)]
pub(super) struct Unzip {
    buffer: BytesMut,
    raw: Option<Box<Decompress>>,
    wrapped: Option<Box<Decompress>>,
}

impl Unzip {
    /// What is left of the cursor, unfolded as MariaDB compresses statements and rows (MariaDB source,
    /// `sql/log_event.cc`, `binlog_buf_compress`): a byte `0x80 | algorithm << 4 | length of the length`, the length
    /// with its highest byte first, and a zlib stream. Gives all of `event` in front of the part, then the plain bytes.
    pub(super) fn unfold(&mut self, event: &[u8], cursor: &mut Cursor<'_>) -> Result<Bytes> {
        let front = event.get(..cursor.offset()).unwrap_or_default();
        let head = cursor.u8()?;
        if head & 0x80 == 0 {
            return Err(cursor.corrupt(format!("expected the mark of a compressed part, found {head:#04x}")));
        }
        let algorithm = (head >> 4) & 0x7;
        if algorithm != 0 {
            return Err(cursor.mark(unsupported(format!("compression algorithm {algorithm} is not known"))));
        }
        let length = read_length(cursor, head & 0xf)?;
        self.buffer.clear();
        self.buffer.extend_from_slice(front);
        inflate(
            self.wrapped.get_or_insert_with(|| Box::new(Decompress::new(true))),
            true,
            cursor.rest(),
            length,
            &mut self.buffer,
        )?;
        Ok(self.buffer.split().freeze())
    }

    /// A value of a COMPRESSED column, unfolded behind what is in `out` (MariaDB source, `sql/field_comp.cc`,
    /// `compress_zlib`): a byte `algorithm << 4 | is raw << 3 | length of the length`, then as above, but a raw stream has
    /// no zlib header; algorithm 0 is the plain bytes, 8 is zlib.
    pub(super) fn unfold_column(&mut self, value: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let mut cursor = Cursor::new(value);
        if cursor.is_empty() {
            return Ok(());
        }
        let head = cursor.u8()?;
        match head >> 4 {
            0 => {
                out.extend_from_slice(cursor.rest());
                Ok(())
            }
            8 => {
                let length = read_length(&mut cursor, head & 0x7)?;
                let has_header = head & 0x8 == 0;
                let inflater = if has_header { &mut self.wrapped } else { &mut self.raw };
                let inflater = inflater.get_or_insert_with(|| Box::new(Decompress::new(has_header)));
                inflate(inflater, has_header, cursor.rest(), length, out)
            }
            other => Err(unsupported(format!("compression method {other} of a column is not known"))),
        }
    }
}

impl fmt::Debug for Unzip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unzip")
    }
}

fn read_length(cursor: &mut Cursor<'_>, width: u8) -> Result<u64> {
    if !(1..=4).contains(&width) {
        return Err(cursor.corrupt(format!("expected a length of 1 to 4 bytes, found {width} bytes")));
    }
    let length = cursor.uint_be(usize::from(width))?;
    if length > MAX_UNFOLDED {
        return Err(limit(format!("a compressed part unfolds to {length} bytes, the bound is {MAX_UNFOLDED} bytes")));
    }
    Ok(length)
}

/// A place that unfolded bytes go to.
trait Sink: AsMut<[u8]> {
    fn length(&self) -> usize;
    fn set_length(&mut self, length: usize);
}

impl Sink for BytesMut {
    fn length(&self) -> usize {
        self.len()
    }

    fn set_length(&mut self, length: usize) {
        self.resize(length, 0);
    }
}

impl Sink for Vec<u8> {
    fn length(&self) -> usize {
        self.len()
    }

    fn set_length(&mut self, length: usize) {
        self.resize(length, 0);
    }
}

/// Adds exactly `length` unfolded bytes to `out`.
fn inflate(
    inflater: &mut Decompress,
    has_header: bool,
    mut folded: &[u8],
    length: u64,
    out: &mut impl Sink,
) -> Result<()> {
    inflater.reset(has_header);
    let start = out.length();
    let promised = usize::try_from(length).unwrap_or(usize::MAX);
    let mut found = 0_usize;
    loop {
        // One byte more than promised shows a stream that is too long.
        let room = promised.saturating_add(1).saturating_sub(found).min(STEP);
        let at = start.saturating_add(found);
        out.set_length(at.saturating_add(room));
        let place = out.as_mut().get_mut(at..).unwrap_or_default();
        let (read, written) = (inflater.total_in(), inflater.total_out());
        let status = inflater
            .decompress(folded, place, FlushDecompress::None)
            .map_err(|error| corrupt("a compressed part cannot be unfolded").with_source(error))?;
        let read = usize::try_from(inflater.total_in().saturating_sub(read)).unwrap_or(usize::MAX);
        let written = usize::try_from(inflater.total_out().saturating_sub(written)).unwrap_or(usize::MAX);
        folded = folded.get(read..).unwrap_or_default();
        found = found.saturating_add(written);
        let is_stuck = read == 0 && written == 0;
        if status == Status::StreamEnd || found > promised || is_stuck {
            out.set_length(start.saturating_add(found));
            if status != Status::StreamEnd || found != promised {
                return Err(corrupt(format!("expected {promised} bytes of an unfolded part, found {found} or more")));
            }
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::ErrorKind;

    fn folded(plain: &[u8], promised: u16) -> Vec<u8> {
        let mut out = vec![0x82];
        out.extend(promised.to_be_bytes());
        let mut encoder = flate2::write::ZlibEncoder::new(out, flate2::Compression::default());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn the_promise_must_hold() {
        let mut unzip = Unzip::default();
        let mut unfold = |bytes: &[u8]| unzip.unfold(&[], &mut Cursor::new(bytes));
        assert_eq!(unfold(&folded(b"abcabc", 6)).unwrap(), "abcabc");
        assert_eq!(unfold(&folded(b"abcabc", 5)).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(unfold(&folded(b"abcabc", 7)).unwrap_err().kind(), ErrorKind::Corrupt);
        let whole = folded(b"abcabc", 6);
        for cut in 0..whole.len() {
            assert!(unfold(&whole[..cut]).is_err(), "{cut}");
        }
        assert_eq!(unfold(&[0x91, 1, 0]).unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!(unfold(&[0x84, 0xff, 0xff, 0xff, 0xff, 0]).unwrap_err().kind(), ErrorKind::Limit);
        let plain = vec![7; 3 * STEP];
        let mut long = vec![0x84];
        long.extend((plain.len() as u32).to_be_bytes());
        let mut encoder = flate2::write::ZlibEncoder::new(long, flate2::Compression::default());
        encoder.write_all(&plain).unwrap();
        assert!(unfold(&encoder.finish().unwrap()).unwrap() == plain);
    }

    #[test]
    fn columns_are_plain_or_folded() {
        let mut unzip = Unzip::default();
        let mut out = b"front ".to_vec();
        unzip.unfold_column(b"\0plain ", &mut out).unwrap();
        unzip.unfold_column(b"", &mut out).unwrap();
        let mut raw = vec![0x89, 4];
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(b"raw ").unwrap();
        raw.extend(encoder.finish().unwrap());
        unzip.unfold_column(&raw, &mut out).unwrap();
        let mut wrapped = vec![0x81, 7];
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(b"wrapped").unwrap();
        wrapped.extend(encoder.finish().unwrap());
        unzip.unfold_column(&wrapped, &mut out).unwrap();
        assert_eq!(out, b"front plain raw wrapped");
        assert!(unzip.unfold_column(&[0x71, 1, 0], &mut out).is_err());
        assert!(unzip.unfold_column(&[0x85, 1, 0], &mut out).is_err());
    }
}
