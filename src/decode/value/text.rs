//! CHAR, VARCHAR, TEXT, their binary kinds, GEOMETRY and VECTOR: a length, then the bytes as stored.

use crate::decode::cursor::Cursor;
use crate::error::Result;
use crate::model::Value;

/// The length in bytes of a CHAR or BINARY column. More than 255 bytes are hidden in two inverted bits of the type in
/// the metadata's high byte (MySQL bug 37426; MySQL source, `Field_string::do_save_field_metadata`).
pub(in crate::decode) fn fixed_length(metadata: u16) -> u16 {
    let [low, high] = metadata.to_be_bytes();
    let (length, kind) = (high, low);
    u16::from(length) | (u16::from((kind & 0x30) ^ 0x30) << 4)
}

/// CHAR or VARCHAR of at most `max_bytes`: the prefix has two bytes where the maximum does not fit one.
#[inline]
pub(super) fn bounded(cursor: &mut Cursor<'_>, max_bytes: u16) -> Result<Value> {
    let length = if max_bytes > 255 { cursor.u16()? } else { u16::from(cursor.u8()?) };
    if length > max_bytes {
        return Err(cursor.corrupt(format!("expected at most {max_bytes} bytes of text, found {length} bytes")));
    }
    cursor.view(usize::from(length)).map(Value::Bytes)
}

/// TEXT, BLOB and what is stored like them: the metadata says how many bytes the length has.
#[inline]
pub(super) fn blob(cursor: &mut Cursor<'_>, metadata: u16) -> Result<Value> {
    let length = blob_length(cursor, metadata)?;
    cursor.view(length).map(Value::Bytes)
}

/// The length in front of a BLOB.
pub(super) fn blob_length(cursor: &mut Cursor<'_>, metadata: u16) -> Result<usize> {
    if !(1..=4).contains(&metadata) {
        return Err(cursor.corrupt(format!("expected a length of 1 to 4 bytes, found {metadata} bytes")));
    }
    let length = cursor.uint_le(usize::from(metadata))?;
    cursor.length(length)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn long_char_columns_hide_their_length() {
        assert_eq!(fixed_length(0xfe0a), 10);
        assert_eq!(fixed_length(0xfeff), 255);
        // CHAR(255) in utf8mb4: 1020 = 0x3fc bytes.
        assert_eq!(fixed_length(0xcefc), 1020);
    }

    #[test]
    fn prefixes_follow_the_maximum() {
        let bytes = Bytes::from_static(&[2, 0, b'a', b'b']);
        assert!(bounded(&mut Cursor::new(&bytes), 256).unwrap() == Value::Bytes("ab".into()));
        assert!(bounded(&mut Cursor::new(&bytes), 255).unwrap() == Value::Bytes(Bytes::from_static(&[0, b'a'])));
        assert!(bounded(&mut Cursor::new(&bytes), 1).is_err());
        assert!(blob(&mut Cursor::new(&bytes), 2).unwrap() == Value::Bytes("ab".into()));
        assert!(blob(&mut Cursor::new(&bytes), 4).is_err());
        assert!(blob(&mut Cursor::new(&bytes), 5).is_err());
    }
}
