//! The Unicode sets. Where servers let a surrogate stand alone (ucs2, utf32, utf8mb3 of old), it is no text here: a
//! `str` has none.

/// UTF-8.
pub(super) fn utf8mb4(bytes: &[u8]) -> Option<&str> {
    str::from_utf8(bytes).ok()
}

/// UTF-8 without the characters of four bytes.
pub(super) fn utf8mb3(bytes: &[u8]) -> Option<&str> {
    utf8mb4(bytes).filter(|text| text.bytes().all(|byte| byte < 0xf0))
}

/// A character every two bytes.
pub(super) fn ucs2(bytes: &[u8]) -> Option<String> {
    let (units, []) = bytes.as_chunks() else { return None };
    units.iter().map(|unit| char::from_u32(u16::from_be_bytes(*unit).into())).collect()
}

/// Units of two bytes in the order of `unit`, two of them for a character beyond U+FFFF.
pub(super) fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Option<String> {
    let (units, []) = bytes.as_chunks() else { return None };
    char::decode_utf16(units.iter().copied().map(unit)).collect::<Result<_, _>>().ok()
}

/// A character every four bytes.
pub(super) fn utf32(bytes: &[u8]) -> Option<String> {
    let (units, []) = bytes.as_chunks() else { return None };
    units.iter().map(|unit| char::from_u32(u32::from_be_bytes(*unit))).collect()
}
