//! Short big-endian numbers in one word, without a loop over their bytes.

/// Up to eight bytes as a number, the first one highest.
#[inline]
pub(super) fn word(bytes: &[u8]) -> u64 {
    match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        // The two overlap, with the same bits in the same places.
        (Some(first), Some(last)) => {
            let high = u64::from(u32::from_be_bytes(*first)).wrapping_shl(bit_count(bytes.len().saturating_sub(4)));
            high | u64::from(u32::from_be_bytes(*last))
        }
        _ => bytes.iter().fold(0, |number, byte| number.wrapping_shl(8) | u64::from(*byte)),
    }
}

/// Bits of so many bytes.
#[inline]
pub(super) fn bit_count(bytes: usize) -> u32 {
    u32::try_from(bytes.saturating_mul(8)).unwrap_or(u32::MAX)
}

/// Ones in so many lowest bytes.
#[inline]
pub(super) fn mask(bytes: usize) -> u64 {
    u64::MAX.checked_shr(64_u32.saturating_sub(bit_count(bytes))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_every_length() {
        let bytes = [0x81, 2, 3, 4, 5, 6, 7, 0x88];
        for length in 0..=8 {
            let expected = bytes[..length].iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
            assert_eq!(word(&bytes[..length]), expected);
            assert_eq!(mask(length), (0..length).fold(0, |mask, _| mask << 8 | 0xff));
        }
    }
}
