//! Row keys and unique values as bytes, to tell which changes are of one row.
//!
//! # Invariants
//! 1. Equal bytes mean that the server takes the values as equal.
//! 2. Unequal hashes mean that the server takes the values as unequal, whatever the collation. A text of which that
//!    cannot be said has no hash.

use std::hash::Hasher;

use super::{TargetColumn, mapping};
use crate::decode::{DecimalBuffer, TemporalRef, ValueRef};
use crate::error::Result;
use crate::model::ColumnKind;

/// Whether equality of a column's values can be told by their bytes, or by their letters.
pub(crate) fn is_comparable(column: &TargetColumn) -> bool {
    !column.is_generated
        && !matches!(
            column.kind,
            // Zero has two signs.
            ColumnKind::Float | ColumnKind::Double | ColumnKind::Json | ColumnKind::Geometry | ColumnKind::Other
        )
}

/// Whether the server may take values of different bytes as equal.
pub(super) fn is_folded(column: &TargetColumn) -> bool {
    column.kind == ColumnKind::Text
}

/// Appends a value so that no two values of the column have the same bytes and none is another's beginning. Integers
/// are in order.
pub(super) fn write(bytes: &mut Vec<u8>, value: ValueRef<'_>, column: &TargetColumn) -> Result<()> {
    match mapping::with_sign(value, column) {
        ValueRef::Int(number) => bytes.extend((number.cast_unsigned() ^ 1 << 63).to_be_bytes()),
        ValueRef::UInt(number) | ValueRef::Bit(number) | ValueRef::Set(number) => bytes.extend(number.to_be_bytes()),
        ValueRef::Enum(number) | ValueRef::Year(number) => bytes.extend(number.to_be_bytes()),
        ValueRef::Decimal(decimal) => write_bytes(bytes, decimal.ascii(&mut DecimalBuffer::default())?),
        ValueRef::Bytes(value) => write_bytes(bytes, value),
        ValueRef::Date(value) | ValueRef::Time(value) | ValueRef::DateTime(value) => write_temporal(bytes, value)?,
        ValueRef::Timestamp(value) => {
            let (seconds, micros) = value.unix()?;
            bytes.extend(seconds.to_be_bytes());
            bytes.extend(micros.to_be_bytes());
        }
        ValueRef::Null | ValueRef::Float(_) | ValueRef::Double(_) | ValueRef::Json(_) | ValueRef::JsonDiff(_) => {
            return Err(crate::error::Error::internal("a value that cannot be part of a key"));
        }
    }
    Ok(())
}

fn write_bytes(bytes: &mut Vec<u8>, value: &[u8]) {
    bytes.extend((value.len() as u64).to_be_bytes());
    bytes.extend(value);
}

fn write_temporal(bytes: &mut Vec<u8>, value: TemporalRef<'_>) -> Result<()> {
    let parts = value.parts()?;
    bytes.push(u8::from(!parts.is_negative));
    bytes.extend(parts.year.to_be_bytes());
    bytes.extend([parts.month, parts.day]);
    bytes.extend(parts.hour.to_be_bytes());
    bytes.extend([parts.minute, parts.second]);
    bytes.extend(parts.micros.to_be_bytes());
    Ok(())
}

/// Appends a value so that values which the server may take as equal have the same bytes; `false`: it cannot be said which
/// those are, and what was appended means nothing.
pub(crate) fn write_folded(bytes: &mut Vec<u8>, value: ValueRef<'_>, column: &TargetColumn) -> Result<bool> {
    match value {
        ValueRef::Bytes(text) if is_folded(column) => Ok(fold(text, column, bytes)),
        _ => write(bytes, value, column).map(|()| true),
    }
}

/// A hash of the values of a key that equals another key's wherever the server might take the two as equal.
pub(super) struct FoldedHash<H> {
    hasher: H,
    is_known: bool,
    bytes: Vec<u8>,
}

impl<H: Hasher> FoldedHash<H> {
    /// A hash of nothing but what `hasher` was given before.
    pub(super) fn new(hasher: H) -> FoldedHash<H> {
        FoldedHash { hasher, is_known: true, bytes: Vec::new() }
    }

    /// Adds a column's value.
    pub(super) fn add(&mut self, value: ValueRef<'_>, column: &TargetColumn) -> Result<()> {
        self.bytes.clear();
        self.is_known &= write_folded(&mut self.bytes, value, column)?;
        self.hasher.write(&self.bytes);
        self.hasher.write_u8(0xff);
        Ok(())
    }

    /// The hash; `None` where some value's equals are not known.
    pub(super) fn finish(self) -> Option<u64> {
        self.is_known.then(|| self.hasher.finish())
    }
}

/// Folds a text to letters and digits that are the same for all texts that a collation may take as equal: without case,
/// without the characters that a collation may pass over, and with those letters as one that some language has as one.
/// `false`: it has characters that may equal several others, as ß equals ss.
fn fold(text: &[u8], column: &TargetColumn, folded: &mut Vec<u8>) -> bool {
    // Of other character sets a byte does not say that a character is of ASCII.
    if !matches!(column.charset.as_deref(), Some("ascii" | "latin1" | "utf8" | "utf8mb3" | "utf8mb4")) {
        return false;
    }
    if column.has_binary_collation {
        let end = text.iter().rposition(|&byte| byte != b' ').map_or(0, |last| last + 1);
        folded.extend(&text[..end]);
        return true;
    }
    for byte in text {
        match byte.to_ascii_lowercase() {
            0x80.. => return false,
            // Latin and Lithuanian.
            b'i' | b'j' | b'y' => folded.push(b'i'),
            // Latin and Swedish.
            b'u' | b'v' | b'w' => folded.push(b'u'),
            letter if letter.is_ascii_alphanumeric() => folded.push(letter),
            _ => {}
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use std::hash::DefaultHasher;

    use super::*;
    use crate::plan::merge::tests::text_column;

    fn hash(text: &str, charset: &str) -> Option<u64> {
        hash_in(text, &text_column(charset))
    }

    fn hash_in(text: &str, column: &TargetColumn) -> Option<u64> {
        let mut hash = FoldedHash::new(DefaultHasher::new());
        hash.add(ValueRef::Bytes(text.as_bytes()), column).unwrap();
        hash.finish()
    }

    #[test]
    fn texts_that_a_collation_may_take_as_equal_have_one_hash() {
        for (one, other) in [("abc", "ABC"), ("abc", "abc  "), ("a\u{1}b", "ab"), ("jus", "IUS"), ("vy", "WI")] {
            assert_eq!(hash(one, "utf8mb4"), hash(other, "utf8mb4"), "{one} {other}");
        }
        assert_ne!(hash("abc", "utf8mb4"), hash("abd", "utf8mb4"));
        for unknown in ["straße", "é", "ａ"] {
            assert_eq!(hash(unknown, "utf8mb4"), None);
        }
        assert_eq!(hash("abc", "swe7"), None);
    }

    #[test]
    fn a_binary_collation_takes_only_blanks_as_equal() {
        let column = TargetColumn { has_binary_collation: true, ..text_column("utf8mb4") };
        assert_eq!(hash_in("é", &column), hash_in("é  ", &column));
        assert!(hash_in("é", &column).is_some());
        for other in ["É", "e", "é\t", " é"] {
            assert_ne!(hash_in("é", &column), hash_in(other, &column), "{other}");
        }
        let wide = TargetColumn { has_binary_collation: true, ..text_column("utf16") };
        assert_eq!(hash_in("a", &wide), None);
    }

    #[test]
    fn no_value_is_the_beginning_of_another() {
        let column = text_column("utf8mb4");
        let key = |parts: [&str; 2]| {
            let mut bytes = Vec::new();
            for part in parts {
                write(&mut bytes, ValueRef::Bytes(part.as_bytes()), &column).unwrap();
            }
            bytes
        };
        assert_ne!(key(["a", "bc"]), key(["ab", "c"]));
    }
}
