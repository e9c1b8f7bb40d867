//! Random numbers for names and tokens that must not meet; not for secrets.

use std::hash::{BuildHasher, Hasher, RandomState};

/// A number that no other call gives, as far as 64 random bits go.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// A replica's number above 2³¹, where administrators put none of their own.
pub(crate) fn replica_id() -> u32 {
    (random() as u32) | 1 << 31
}

/// A UUID of version 4.
pub(crate) fn uuid() -> String {
    let (a, b) = (random(), random());
    format!(
        "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
        a >> 32,
        a >> 16 & 0xFFFF,
        a & 0xFFF,
        b >> 52,
        b & 0xFFFF_FFFF_FFFF
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_uuid_has_its_shape() {
        let uuid = super::uuid();
        let lengths: Vec<usize> = uuid.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert_ne!(uuid, super::uuid());
    }
}
