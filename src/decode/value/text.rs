//! What the metadata of CHAR and BINARY columns hides.

/// The length in bytes of a CHAR or BINARY column. More than 255 bytes are hidden in two inverted bits of the type in
/// the metadata's high byte (MySQL bug 37426; MySQL source, `Field_string::do_save_field_metadata`).
pub(in crate::decode) fn fixed_length(metadata: u16) -> u16 {
    let [kind, length] = metadata.to_be_bytes();
    u16::from(length) | (u16::from((kind & 0x30) ^ 0x30) << 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_char_columns_hide_their_length() {
        assert_eq!(fixed_length(0xfe0a), 10);
        assert_eq!(fixed_length(0xfeff), 255);
        // CHAR(255) in utf8mb4: 1020 = 0x3fc bytes.
        assert_eq!(fixed_length(0xcefc), 1020);
    }
}
