//! TINYINT to BIGINT: little-endian, in the width of the type.

use crate::decode::cursor::Cursor;
use crate::error::Result;
use crate::model::Value;

/// An integer of `width` bytes, 1 to 8.
#[inline]
pub(super) fn read(cursor: &mut Cursor<'_>, width: usize, is_unsigned: Option<bool>) -> Result<Value> {
    let raw = cursor.uint_le(width)?;
    Ok(if is_unsigned == Some(true) { Value::UInt(raw) } else { Value::Int(sign_extend(raw, width)) })
}

#[inline]
fn sign_extend(raw: u64, width: usize) -> i64 {
    match width {
        1 => raw.wrapping_shl(56).cast_signed() >> 56,
        2 => raw.wrapping_shl(48).cast_signed() >> 48,
        3 => raw.wrapping_shl(40).cast_signed() >> 40,
        4 => raw.wrapping_shl(32).cast_signed() >> 32,
        _ => raw.cast_signed(),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_width_and_sign(number: i64, width in prop::sample::select(vec![1_usize, 2, 3, 4, 8])) {
            let bits = 8 * width as u32;
            let signed = number >> (64 - bits);
            let unsigned = (number as u64) >> (64 - bits);
            let read = |raw: u64, is_unsigned| {
                let bytes = Bytes::copy_from_slice(&raw.to_le_bytes()[..width]);
                read(&mut Cursor::new(&bytes), width, is_unsigned).unwrap()
            };
            prop_assert!(read(signed as u64, Some(false)) == Value::Int(signed));
            prop_assert!(read(signed as u64, None) == Value::Int(signed));
            prop_assert!(read(unsigned, Some(true)) == Value::UInt(unsigned));
        }
    }
}
