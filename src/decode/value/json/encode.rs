//! A tree as the server stores it (MySQL source, `sql-common/json_binary.cc`, `serialize_json_value`): the small format
//! where it fits, short scalars in their entries, keys in order, no gaps.

use super::format::{
    DOUBLE, FALSE_LITERAL, INT16, INT32, INT64, LARGE_ARRAY, LARGE_OBJECT, LITERAL, NULL_LITERAL, SMALL_ARRAY,
    SMALL_OBJECT, STRING, TRUE_LITERAL, UINT16, UINT32, UINT64, Width, write_length,
};
use super::{MAX_DEPTH, typed};
use crate::decode::fault::{corrupt, limit};
use crate::decode::value;
use crate::error::Result;
use crate::model::{Json, JsonNumber};

/// The largest size and offset of the small format, and the longest key.
const MAX_SMALL: usize = 0xffff;

/// The bytes that the server stores for a new document. Members stand in any order in `tree`.
///
/// A DECIMAL gets the precision that its digits need, which may be less than the server took from a column's type; its
/// value and text are the same.
///
/// # Errors
/// `Corrupt` for what no document holds: more than 100 levels, a key twice or of more than 65,535 bytes, text that is no
/// DECIMAL, a temporal value out of range. `Limit` from 4 GiB on.
pub fn encode(tree: &Json) -> Result<Vec<u8>> {
    let mut document = vec![LITERAL];
    let kind = write(tree, 0, &mut document)?;
    if let Some(first) = document.first_mut() {
        *first = kind;
    }
    Ok(document)
}

/// Writes a value's bytes to the end of `out` and returns its type.
fn write(json: &Json, depth: u8, out: &mut Vec<u8>) -> Result<u8> {
    Ok(match json {
        Json::Null => put(out, LITERAL, &[NULL_LITERAL]),
        Json::Bool(true) => put(out, LITERAL, &[TRUE_LITERAL]),
        Json::Bool(false) => put(out, LITERAL, &[FALSE_LITERAL]),
        Json::Number(JsonNumber::Int(number)) => match (i16::try_from(*number), i32::try_from(*number)) {
            (Ok(short), _) => put(out, INT16, &short.to_le_bytes()),
            (_, Ok(long)) => put(out, INT32, &long.to_le_bytes()),
            _ => put(out, INT64, &number.to_le_bytes()),
        },
        Json::Number(JsonNumber::UInt(number)) => match (u16::try_from(*number), u32::try_from(*number)) {
            (Ok(short), _) => put(out, UINT16, &short.to_le_bytes()),
            (_, Ok(long)) => put(out, UINT32, &long.to_le_bytes()),
            _ => put(out, UINT64, &number.to_le_bytes()),
        },
        Json::Number(JsonNumber::Double(number)) => put(out, DOUBLE, &number.to_le_bytes()),
        Json::String(text) => {
            write_length(out, text.len());
            put(out, STRING, text.as_bytes())
        }
        Json::Decimal(text) => typed::write_decimal(out, text)?,
        Json::Date(parts) => typed::write_temporal(out, parts, value::DATE)?,
        Json::Time(parts) => typed::write_temporal(out, parts, value::TIME)?,
        Json::DateTime(parts) => typed::write_temporal(out, parts, value::DATETIME)?,
        Json::Timestamp(parts) => typed::write_temporal(out, parts, value::TIMESTAMP)?,
        Json::Opaque(type_code, bytes) => typed::write_opaque(out, *type_code, bytes),
        Json::Array(items) => match Values::encode(items, depth)?.write(&[], out)? {
            Width::Small => SMALL_ARRAY,
            Width::Large => LARGE_ARRAY,
        },
        Json::Object(members) => {
            let mut members: Vec<_> = members.iter().map(|(key, value)| (key.as_str(), value)).collect();
            members.sort_unstable_by_key(|(key, _)| (key.len(), *key));
            let (keys, values): (Vec<_>, Vec<_>) = members.into_iter().unzip();
            check_keys(&keys)?;
            match Values::encode(values, depth)?.write(&keys, out)? {
                Width::Small => SMALL_OBJECT,
                Width::Large => LARGE_OBJECT,
            }
        }
    })
}

fn put(out: &mut Vec<u8>, kind: u8, bytes: &[u8]) -> u8 {
    out.extend(bytes);
    kind
}

fn check_keys(sorted: &[&str]) -> Result<()> {
    if sorted.windows(2).any(|pair| matches!(pair, [key, next] if key == next)) {
        return Err(corrupt("expected each key once in a JSON object, found one twice"));
    }
    match sorted.last() {
        Some(longest) if longest.len() > MAX_SMALL => {
            Err(corrupt(format!("expected at most {MAX_SMALL} bytes of a JSON key, found {}", longest.len())))
        }
        _ => Ok(()),
    }
}

/// The values of an array or object, before it is known how wide its offsets are.
struct Values {
    /// The type of each, and its length in `bytes`.
    entries: Vec<(u8, usize)>,
    bytes: Vec<u8>,
}

impl Values {
    fn encode<'t>(values: impl IntoIterator<Item = &'t Json>, depth: u8) -> Result<Values> {
        if depth >= MAX_DEPTH {
            return Err(corrupt(format!("expected at most {MAX_DEPTH} levels in a JSON document, found more")));
        }
        let (mut entries, mut bytes) = (Vec::new(), Vec::new());
        for value in values {
            let before = bytes.len();
            let kind = write(value, depth.saturating_add(1), &mut bytes)?;
            entries.push((kind, bytes.len().saturating_sub(before)));
        }
        Ok(Values { entries, bytes })
    }

    /// Where the first key or value that is not in an entry lies.
    fn head(&self, keys: &[&str], width: Width) -> usize {
        let entries = [width.number().saturating_mul(2), keys.len().saturating_mul(width.key_entry())];
        entries.iter().sum::<usize>().saturating_add(self.entries.len().saturating_mul(width.value_entry()))
    }

    fn size(&self, keys: &[&str], width: Width) -> usize {
        let values = self.entries.iter().filter(|(kind, _)| !width.is_inline(*kind)).map(|(_, length)| length);
        let keys_size: usize = keys.iter().map(|key| key.len()).sum();
        self.head(keys, width).saturating_add(keys_size).saturating_add(values.sum())
    }

    /// Writes the whole array or object: counts, entries of keys, entries of values, keys, values.
    fn write(&self, keys: &[&str], out: &mut Vec<u8>) -> Result<Width> {
        let width = if self.size(keys, Width::Small) <= MAX_SMALL { Width::Small } else { Width::Large };
        let size = self.size(keys, width);
        if u32::try_from(size).is_err() {
            return Err(limit(format!("expected a JSON document of less than 4 GiB, found {size} bytes")));
        }
        let number = |out: &mut Vec<u8>, number: usize| out.extend(number.to_le_bytes().iter().take(width.number()));
        number(out, self.entries.len());
        number(out, size);
        let mut at = self.head(keys, width);
        for key in keys {
            number(out, at);
            out.extend(key.len().to_le_bytes().iter().take(2));
            at = at.saturating_add(key.len());
        }
        let mut rest = self.bytes.as_slice();
        let mut behind: Vec<u8> = Vec::new();
        for (kind, length) in &self.entries {
            let (value, next) = rest.split_at_checked(*length).unwrap_or_default();
            rest = next;
            out.push(*kind);
            if width.is_inline(*kind) {
                let is_negative = *kind == INT16 && value.last().is_some_and(|high| high & 0x80 != 0);
                let fill = if is_negative { 0xff } else { 0 };
                out.extend(value.iter().chain(std::iter::repeat(&fill)).take(width.number()));
            } else {
                number(out, at.saturating_add(behind.len()));
                behind.extend(value);
            }
        }
        keys.iter().for_each(|key| out.extend(key.as_bytes()));
        out.extend(behind);
        Ok(width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TemporalParts;

    #[test]
    fn members_are_sorted_and_there_once() {
        let object = |keys: &[&str]| Json::Object(keys.iter().map(|key| ((*key).to_owned(), Json::Null)).collect());
        assert_eq!(encode(&object(&["ab", "b", "", "a"])).unwrap(), encode(&object(&["", "a", "b", "ab"])).unwrap());
        assert!(encode(&object(&["a", "b", "a"])).is_err());
        assert!(encode(&object(&["k".repeat(65_535).as_str()])).is_ok());
        assert!(encode(&object(&["k".repeat(65_536).as_str()])).is_err());
    }

    #[test]
    fn what_no_document_holds_is_refused() {
        for text in ["", "-", "--1", "1.2.3", "1e5", "\u{666}", &"9".repeat(82)] {
            assert!(encode(&Json::Decimal(text.into())).is_err(), "{text}");
        }
        let late = TemporalParts { year: 2024, month: 1, day: 32, ..TemporalParts::default() };
        assert!(encode(&Json::Date(late)).is_err());
        assert!(encode(&Json::DateTime(TemporalParts { year: u16::MAX, micros: u32::MAX, ..late })).is_err());
        assert!(encode(&Json::Time(TemporalParts { hour: 839, ..TemporalParts::default() })).is_err());
    }
}
