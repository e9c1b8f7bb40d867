//! BIT, ENUM and SET.

use crate::decode::cursor::Cursor;
use crate::error::Result;
use crate::model::Value;

/// BIT(n): big-endian. The metadata's high byte counts whole bytes, the low one the bits beyond them (MySQL source,
/// `Field_bit::do_save_field_metadata`).
pub(super) fn bit(cursor: &mut Cursor<'_>, metadata: u16) -> Result<Value> {
    let [odd, whole] = metadata.to_le_bytes();
    let width = usize::from(whole).saturating_add(usize::from(odd > 0));
    let count = u32::from(whole).saturating_mul(8).saturating_add(u32::from(odd));
    if odd > 7 || !(1..=64).contains(&count) {
        return Err(cursor.corrupt(format!("expected BIT(1) to BIT(64), found {whole} bytes and {odd} bits")));
    }
    let number = cursor.uint_be(width)?;
    if number.checked_shr(count).unwrap_or(0) != 0 {
        return Err(cursor.corrupt(format!("expected {count} bits, found more")));
    }
    Ok(Value::Bit(number))
}

/// ENUM: an index in one or two bytes, as the metadata's low byte says.
pub(super) fn enumeration(cursor: &mut Cursor<'_>, metadata: u16) -> Result<Value> {
    let [width, _] = metadata.to_le_bytes();
    Ok(Value::Enum(match width {
        1 => u16::from(cursor.u8()?),
        2 => cursor.u16()?,
        other => return Err(cursor.corrupt(format!("expected an ENUM of 1 or 2 bytes, found {other} bytes"))),
    }))
}

/// SET: a bit a member, little-endian in as many bytes as the metadata's low byte says.
pub(super) fn set(cursor: &mut Cursor<'_>, metadata: u16) -> Result<Value> {
    let [width, _] = metadata.to_le_bytes();
    match width {
        1..=8 => cursor.uint_le(usize::from(width)).map(Value::Set),
        other => Err(cursor.corrupt(format!("expected a SET of 1 to 8 bytes, found {other} bytes"))),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bits_of_every_width(number: u64, count in 1..=64_u32) {
            let number = number >> (64 - count);
            let width = count.div_ceil(8) as usize;
            let bytes = Bytes::copy_from_slice(&number.to_be_bytes()[8 - width..]);
            let metadata = u16::from_le_bytes([(count % 8) as u8, (count / 8) as u8]);
            prop_assert!(bit(&mut Cursor::new(&bytes), metadata).unwrap() == Value::Bit(number));
        }
    }

    #[test]
    fn bits_beyond_the_type_are_refused() {
        let bytes = Bytes::from_static(&[0b1000]);
        assert!(bit(&mut Cursor::new(&bytes), 3).is_err());
        assert!(bit(&mut Cursor::new(&bytes), 0).is_err());
        assert!(bit(&mut Cursor::new(&bytes), 0x0801).is_err());
    }

    #[test]
    fn members_in_every_width() {
        let bytes = Bytes::from_static(&[1, 2, 3, 4, 5, 6, 7, 8]);
        assert!(enumeration(&mut Cursor::new(&bytes), 0xf701).unwrap() == Value::Enum(1));
        assert!(enumeration(&mut Cursor::new(&bytes), 0xf702).unwrap() == Value::Enum(0x0201));
        assert!(enumeration(&mut Cursor::new(&bytes), 0xf703).is_err());
        assert!(set(&mut Cursor::new(&bytes), 0xf803).unwrap() == Value::Set(0x03_0201));
        assert!(set(&mut Cursor::new(&bytes), 0xf808).unwrap() == Value::Set(0x0807_0605_0403_0201));
        assert!(set(&mut Cursor::new(&bytes), 0xf809).is_err());
    }
}
