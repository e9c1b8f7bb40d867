//! The numbers of the format (MySQL source, `sql-common/json_binary.cc`).

use crate::decode::cursor::Cursor;
use crate::decode::fault::corrupt;
use crate::error::Result;

pub(super) const SMALL_OBJECT: u8 = 0x0;
pub(super) const LARGE_OBJECT: u8 = 0x1;
pub(super) const SMALL_ARRAY: u8 = 0x2;
pub(super) const LARGE_ARRAY: u8 = 0x3;
pub(super) const LITERAL: u8 = 0x4;
pub(super) const INT16: u8 = 0x5;
pub(super) const UINT16: u8 = 0x6;
pub(super) const INT32: u8 = 0x7;
pub(super) const UINT32: u8 = 0x8;
pub(super) const INT64: u8 = 0x9;
pub(super) const UINT64: u8 = 0xa;
pub(super) const DOUBLE: u8 = 0xb;
pub(super) const STRING: u8 = 0xc;
pub(super) const OPAQUE: u8 = 0xf;

pub(super) const NULL_LITERAL: u8 = 0;
pub(super) const TRUE_LITERAL: u8 = 1;
pub(super) const FALSE_LITERAL: u8 = 2;

/// How wide the counts, sizes and offsets of an array or object are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    Small,
    Large,
}

impl Width {
    /// Of a count, a size or an offset.
    pub(super) fn number(self) -> usize {
        match self {
            Width::Small => 2,
            Width::Large => 4,
        }
    }

    /// Of what tells where a key is: an offset and a length of two bytes.
    pub(super) fn key_entry(self) -> usize {
        self.number().saturating_add(2)
    }

    /// Of what tells where a value is, or holds it: a type and an offset.
    pub(super) fn value_entry(self) -> usize {
        self.number().saturating_add(1)
    }

    /// Whether an entry holds a value of this type itself.
    pub(super) fn is_inline(self, kind: u8) -> bool {
        match kind {
            LITERAL | INT16 | UINT16 => true,
            INT32 | UINT32 => self == Width::Large,
            _ => false,
        }
    }
}

/// Reads a length in groups of seven bits, the lowest first; the high bit says that more follow.
pub(super) fn read_length(cursor: &mut Cursor<'_>) -> Result<usize> {
    let mut length = 0_u64;
    for shift in [0_u32, 7, 14, 21, 28] {
        let byte = cursor.u8()?;
        length |= u64::from(byte & 0x7f).wrapping_shl(shift);
        if byte & 0x80 == 0 {
            return cursor.length(length);
        }
    }
    Err(corrupt("expected a length of at most 5 bytes in JSON, found more"))
}

/// Writes a length that [`read_length`] reads.
pub(super) fn write_length(out: &mut Vec<u8>, length: usize) {
    let mut rest = length;
    loop {
        let group = u8::try_from(rest & 0x7f).unwrap_or_default();
        rest >>= 7;
        if rest == 0 {
            return out.push(group);
        }
        out.push(group | 0x80);
    }
}
