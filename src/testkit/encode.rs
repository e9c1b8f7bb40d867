//! Numbers and bitmaps as logs hold them.

/// The lowest `width` bytes, lowest first.
pub(super) fn le(out: &mut Vec<u8>, number: u64, width: usize) {
    out.extend(&number.to_le_bytes()[..width]);
}

/// The lowest `width` bytes, highest first.
pub(super) fn be(out: &mut Vec<u8>, number: u64, width: usize) {
    out.extend(&number.to_be_bytes()[8 - width..]);
}

/// An integer of 1, 3, 4 or 9 bytes (MySQL source, `mysys/pack.cc`, `net_store_length`).
pub(super) fn packed(out: &mut Vec<u8>, number: u64) {
    match number {
        0..=250 => out.push(number as u8),
        251..=0xffff => {
            out.push(252);
            le(out, number, 2);
        }
        0x1_0000..=0xff_ffff => {
            out.push(253);
            le(out, number, 3);
        }
        _ => {
            out.push(254);
            le(out, number, 8);
        }
    }
}

/// The bytes behind their length as [`packed`] integer.
pub(super) fn packed_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    packed(out, bytes.len() as u64);
    out.extend(bytes);
}

/// A field of those events that are made of typed fields: number, length, value.
pub(super) fn field(out: &mut Vec<u8>, number: u64, value: &[u8]) {
    packed(out, number);
    packed_bytes(out, value);
}

/// A [`packed`] integer alone.
pub(super) fn packed_alone(number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    packed(&mut out, number);
    out
}

/// A bit an item, from the lowest bit of the first byte.
pub(super) fn bits_from_low(bits: &[bool]) -> Vec<u8> {
    bits.chunks(8).map(|byte| byte.iter().rev().fold(0, |sum, bit| sum << 1 | u8::from(*bit))).collect()
}

/// A bit an item, from the highest bit of the first byte.
pub(super) fn bits_from_high(bits: &[bool]) -> Vec<u8> {
    bits_from_low(bits).into_iter().map(u8::reverse_bits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_integers_are_as_short_as_they_can_be() {
        assert_eq!(packed_alone(250), [250]);
        assert_eq!(packed_alone(251), [252, 251, 0]);
        assert_eq!(packed_alone(0xffff), [252, 0xff, 0xff]);
        assert_eq!(packed_alone(0x1_0000), [253, 0, 0, 1]);
        assert_eq!(packed_alone(0x100_0000), [254, 0, 0, 0, 1, 0, 0, 0, 0]);
    }

    #[test]
    fn bitmaps_start_at_either_end_of_the_first_byte() {
        let bits = [true, false, false, false, false, false, false, false, true];
        assert_eq!(bits_from_low(&bits), [0x01, 0x01]);
        assert_eq!(bits_from_high(&bits), [0x80, 0x80]);
    }
}
