//! Compressed bodies: bounded before and while they unfold.
//!
//! # Invariants
//! 1. Memory follows the bytes that really come out, never the length that the event promises.
//! 2. More or fewer bytes than promised is an error.

use std::io::Read;

use bytes::Bytes;

use super::cursor::Cursor;
use super::fault::{corrupt, limit, unsupported};
use crate::error::Result;

/// What is left of the cursor, unfolded as MariaDB compresses statements and rows (MariaDB source,
/// `sql/log_event.cc`, `binlog_buf_compress`): a byte `0x80 | algorithm << 4 | length of the length`, the length with
/// its highest byte first, and a zlib stream.
pub(super) fn unfold_mariadb(cursor: &mut Cursor<'_>, max_bytes: u64) -> Result<Bytes> {
    let head = cursor.u8()?;
    if head & 0x80 == 0 {
        return Err(cursor.corrupt(format!("expected the mark of a compressed part, found {head:#04x}")));
    }
    let algorithm = (head >> 4) & 0x7;
    if algorithm != 0 {
        return Err(cursor.mark(unsupported(format!("compression algorithm {algorithm} is not known"))));
    }
    let width = usize::from(head & 0xf);
    if !(1..=4).contains(&width) {
        return Err(cursor.corrupt(format!("expected a length of 1 to 4 bytes, found {width} bytes")));
    }
    let length = cursor.uint_be(width)?;
    if length > max_bytes {
        return Err(limit(format!("a compressed event unfolds to {length} bytes, the bound is {max_bytes} bytes")));
    }
    let mut plain = Vec::new();
    let mut stream = flate2::read::ZlibDecoder::new(cursor.rest()).take(length.saturating_add(1));
    stream
        .read_to_end(&mut plain)
        .map_err(|error| corrupt("a compressed part cannot be unfolded").with_source(error))?;
    if u64::try_from(plain.len()).ok() != Some(length) {
        return Err(corrupt(format!("expected {length} bytes of an unfolded part, found {}", plain.len())));
    }
    Ok(Bytes::from(plain))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::ErrorKind;

    fn folded(plain: &[u8], promised: u16) -> Bytes {
        let mut out = vec![0x82];
        out.extend(promised.to_be_bytes());
        let mut encoder = flate2::write::ZlibEncoder::new(out, flate2::Compression::default());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap().into()
    }

    #[test]
    fn the_promise_must_hold() {
        let unfold = |bytes: Bytes, max| unfold_mariadb(&mut Cursor::new(&bytes), max);
        assert_eq!(unfold(folded(b"abcabc", 6), 6).unwrap(), "abcabc");
        assert_eq!(unfold(folded(b"abcabc", 5), 9).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(unfold(folded(b"abcabc", 7), 9).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(unfold(folded(b"abcabc", 6), 5).unwrap_err().kind(), ErrorKind::Limit);
        let whole = folded(b"abcabc", 6);
        for cut in 0..whole.len() {
            assert!(unfold(whole.slice(..cut), 6).is_err(), "{cut}");
        }
        assert_eq!(unfold(Bytes::from_static(&[0x91, 1, 0]), 9).unwrap_err().kind(), ErrorKind::Unsupported);
    }
}
