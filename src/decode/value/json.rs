//! MySQL's binary JSON (MySQL source, `sql-common/json_binary.h`), read into a tree.
//!
//! # Invariants
//! 1. Depth is bounded as on the server, which refuses to store more than 100 levels.
//! 2. A document has no more values and no more text than it has bytes: offsets that lead to the same place again and
//!    again cannot multiply it.

use bytes::Bytes;

use super::{decimal, temporal};
use crate::decode::cursor::Cursor;
use crate::decode::fault::corrupt;
use crate::error::Result;
use crate::model::{Json, JsonNumber};

const MAX_DEPTH: u32 = 100;

const SMALL_OBJECT: u8 = 0x0;
const LARGE_OBJECT: u8 = 0x1;
const SMALL_ARRAY: u8 = 0x2;
const LARGE_ARRAY: u8 = 0x3;
const LITERAL: u8 = 0x4;
const INT16: u8 = 0x5;
const UINT16: u8 = 0x6;
const INT32: u8 = 0x7;
const UINT32: u8 = 0x8;
const INT64: u8 = 0x9;
const UINT64: u8 = 0xa;
const DOUBLE: u8 = 0xb;
const STRING: u8 = 0xc;
const OPAQUE: u8 = 0xf;

/// A document as the log holds it.
#[derive(Clone, Copy)]
pub struct JsonRef<'a> {
    document: &'a [u8],
}

impl<'a> JsonRef<'a> {
    pub(in crate::decode) fn new(document: &'a [u8]) -> Result<JsonRef<'a>> {
        Ok(JsonRef { document })
    }

    /// All of it.
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn to_tree(self) -> Result<Json> {
        read(&Bytes::copy_from_slice(self.document))
    }
}

/// A document. No bytes at all are what `INSERT IGNORE` leaves where a value was missing: the server reads JSON null.
pub(super) fn read(document: &Bytes) -> Result<Json> {
    if document.is_empty() {
        return Ok(Json::Null);
    }
    let mut cursor = Cursor::new(document);
    let kind = cursor.u8()?;
    Reader { budget: document.len() }.value(kind, document.slice(1..), 0)
}

pub(in crate::decode) fn apply_diff(_before: &[u8], _diff: &[u8], _out: &mut Vec<u8>) -> Result<()> {
    Err(corrupt("todo"))
}
pub(in crate::decode) fn read_diff(_diff: &[u8]) -> Result<super::ValueRef<'_>> {
    Err(corrupt("todo"))
}

struct Reader {
    /// What is left of invariant 2.
    budget: usize,
}

/// The width of counts, sizes and offsets in an object or array.
#[derive(Clone, Copy)]
struct Width(usize);

impl Reader {
    fn spend(&mut self, amount: usize) -> Result<()> {
        match self.budget.checked_sub(amount) {
            Some(budget) => {
                self.budget = budget;
                Ok(())
            }
            None => Err(corrupt("a JSON document holds more than its bytes")),
        }
    }

    /// The value of `kind` at the start of `bytes`.
    fn value(&mut self, kind: u8, bytes: Bytes, depth: u32) -> Result<Json> {
        self.spend(1)?;
        let mut cursor = Cursor::new(&bytes);
        Ok(match kind {
            SMALL_OBJECT => self.object(&bytes, Width(2), depth)?,
            LARGE_OBJECT => self.object(&bytes, Width(4), depth)?,
            SMALL_ARRAY => self.array(&bytes, Width(2), depth)?,
            LARGE_ARRAY => self.array(&bytes, Width(4), depth)?,
            LITERAL | INT16 | UINT16 | INT32 | UINT32 => scalar(kind, &mut cursor)?,
            INT64 => Json::Number(JsonNumber::Int(cursor.u64()?.cast_signed())),
            UINT64 => Json::Number(JsonNumber::UInt(cursor.u64()?)),
            DOUBLE => Json::Number(JsonNumber::Double(f64::from_le_bytes(cursor.array()?))),
            STRING => {
                let length = variable_length(&mut cursor)?;
                self.text(&mut cursor, length).map(Json::String)?
            }
            OPAQUE => self.opaque(&mut cursor)?,
            other => return Err(corrupt(format!("expected a type of a JSON value, found {other:#04x}"))),
        })
    }

    fn text(&mut self, cursor: &mut Cursor<'_>, length: usize) -> Result<String> {
        self.spend(length)?;
        match std::str::from_utf8(cursor.take(length)?) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(corrupt("expected JSON text in UTF-8")),
        }
    }

    fn opaque(&mut self, cursor: &mut Cursor<'_>) -> Result<Json> {
        let kind = cursor.u8()?;
        let length = variable_length(cursor)?;
        self.spend(length)?;
        let mut data = cursor.part(length)?;
        let json = match kind {
            super::NEWDECIMAL => {
                let (precision, scale) = (data.u8()?, data.u8()?);
                Json::Decimal(decimal::DecimalRef::new(data.rest(), precision, scale)?.text()?.as_str().to_owned())
            }
            super::DATE => Json::Date(temporal::packed(&mut data, temporal::Packed::Date)?),
            super::TIME => Json::Time(temporal::packed(&mut data, temporal::Packed::Time)?),
            super::DATETIME => Json::DateTime(temporal::packed(&mut data, temporal::Packed::DateTime)?),
            super::TIMESTAMP => Json::Timestamp(temporal::packed(&mut data, temporal::Packed::DateTime)?),
            other => Json::Opaque(other, Bytes::copy_from_slice(data.rest())),
        };
        if data.is_empty() { Ok(json) } else { Err(corrupt("a JSON value is longer than its type")) }
    }

    fn array(&mut self, bytes: &Bytes, width: Width, depth: u32) -> Result<Json> {
        let depth = deeper(depth)?;
        let (container, count, mut entries) = open(bytes, width, 0)?;
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(self.entry(&container, &mut entries, width, depth)?);
        }
        Ok(Json::Array(items))
    }

    fn object(&mut self, bytes: &Bytes, width: Width, depth: u32) -> Result<Json> {
        let depth = deeper(depth)?;
        let key_entry = width.0.saturating_add(2);
        let (container, count, mut keys) = open(bytes, width, key_entry)?;
        let mut entries = keys.clone();
        entries.skip(count.saturating_mul(key_entry))?;
        let mut members = Vec::with_capacity(count);
        for _ in 0..count {
            let offset = keys.uint_le(width.0)?;
            let length = usize::from(keys.u16()?);
            let mut key = at(&container, offset)?;
            let name = self.text(&mut key, length)?;
            members.push((name, self.entry(&container, &mut entries, width, depth)?));
        }
        Ok(Json::Object(members))
    }

    /// The value that the next entry holds or points to.
    fn entry(&mut self, container: &Bytes, entries: &mut Cursor<'_>, width: Width, depth: u32) -> Result<Json> {
        let kind = entries.u8()?;
        let mut slot = entries.part(width.0)?;
        let is_inline = match kind {
            LITERAL | INT16 | UINT16 => true,
            INT32 | UINT32 => width.0 == 4,
            _ => false,
        };
        if is_inline {
            self.spend(1)?;
            return scalar(kind, &mut slot);
        }
        let mut value = at(container, slot.uint_le(width.0)?)?;
        self.value(kind, Bytes::copy_from_slice(value.rest()), depth)
    }
}

fn deeper(depth: u32) -> Result<u32> {
    if depth >= MAX_DEPTH {
        return Err(corrupt(format!("expected at most {MAX_DEPTH} levels in a JSON document, found more")));
    }
    Ok(depth.saturating_add(1))
}

/// An object's or array's own bytes, the number of its members, and a cursor on its first entry.
fn open(bytes: &Bytes, width: Width, key_entry: usize) -> Result<(Bytes, usize, Cursor<'_>)> {
    let mut cursor = Cursor::new(bytes);
    let count = cursor.uint_le(width.0)?;
    let size = cursor.uint_le(width.0)?;
    let mut whole = Cursor::new(bytes);
    let size = whole.length(size)?;
    let container = Bytes::copy_from_slice(whole.take(size)?);
    let head = width.0.saturating_mul(2);
    let entry = width.0.saturating_add(1).saturating_add(key_entry);
    let needed = usize::try_from(count).ok().and_then(|count| count.checked_mul(entry)?.checked_add(head));
    match (usize::try_from(count), needed) {
        (Ok(count), Some(needed)) if needed <= size => Ok((container, count, cursor)),
        _ => Err(corrupt(format!("expected {count} members in a JSON value, found {size} bytes"))),
    }
}

/// A cursor at an offset of a container.
fn at(container: &Bytes, offset: u64) -> Result<Cursor<'_>> {
    let mut cursor = Cursor::new(container);
    let offset = cursor.length(offset)?;
    cursor.skip(offset)?;
    Ok(cursor)
}

/// The values that may stand in an entry itself.
fn scalar(kind: u8, cursor: &mut Cursor<'_>) -> Result<Json> {
    let number = match kind {
        LITERAL => {
            return match cursor.u8()? {
                0 => Ok(Json::Null),
                1 => Ok(Json::Bool(true)),
                2 => Ok(Json::Bool(false)),
                other => Err(corrupt(format!("expected null, true or false in JSON, found {other:#04x}"))),
            };
        }
        INT16 => JsonNumber::Int(i64::from(cursor.u16()?.cast_signed())),
        UINT16 => JsonNumber::UInt(u64::from(cursor.u16()?)),
        INT32 => JsonNumber::Int(i64::from(cursor.u32()?.cast_signed())),
        _ => JsonNumber::UInt(u64::from(cursor.u32()?)),
    };
    Ok(Json::Number(number))
}

/// A length in groups of seven bits, the lowest first; the high bit says that more follow.
fn variable_length(cursor: &mut Cursor<'_>) -> Result<usize> {
    let mut length = 0_u64;
    for shift in [0_u32, 7, 14, 21, 28] {
        let byte = cursor.u8()?;
        length |= u64::from(byte & 0x7f).wrapping_shl(shift);
        if byte & 0x80 == 0 {
            return cursor.length(length);
        }
    }
    Err(corrupt("expected a length of at most 5 bytes in JSON, found more"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ErrorKind;

    /// Writes the way the server does: small where it fits, scalars in their entries where they fit.
    fn write(json: &Json, is_large: bool) -> (u8, Vec<u8>) {
        match json {
            Json::Null => (LITERAL, vec![0]),
            Json::Bool(yes) => (LITERAL, vec![if *yes { 1 } else { 2 }]),
            Json::Number(JsonNumber::Int(n)) => match (i16::try_from(*n), i32::try_from(*n)) {
                (Ok(n), _) => (INT16, n.to_le_bytes().to_vec()),
                (_, Ok(n)) => (INT32, n.to_le_bytes().to_vec()),
                _ => (INT64, n.to_le_bytes().to_vec()),
            },
            Json::Number(JsonNumber::UInt(n)) => match (u16::try_from(*n), u32::try_from(*n)) {
                (Ok(n), _) => (UINT16, n.to_le_bytes().to_vec()),
                (_, Ok(n)) => (UINT32, n.to_le_bytes().to_vec()),
                _ => (UINT64, n.to_le_bytes().to_vec()),
            },
            Json::Number(JsonNumber::Double(n)) => (DOUBLE, n.to_le_bytes().to_vec()),
            Json::String(text) => (STRING, with_length(text.as_bytes())),
            Json::Opaque(kind, bytes) => (OPAQUE, [vec![*kind], with_length(bytes)].concat()),
            Json::Array(items) => {
                let kind = if is_large { LARGE_ARRAY } else { SMALL_ARRAY };
                (kind, container(&[], &items.iter().collect::<Vec<_>>(), is_large))
            }
            Json::Object(members) => {
                let kind = if is_large { LARGE_OBJECT } else { SMALL_OBJECT };
                let keys: Vec<_> = members.iter().map(|(key, _)| key.as_str()).collect();
                (kind, container(&keys, &members.iter().map(|(_, value)| value).collect::<Vec<_>>(), is_large))
            }
            _ => unreachable!(),
        }
    }

    fn with_length(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut length = bytes.len();
        while length > 0x7f {
            out.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        out.push(length as u8);
        out.extend(bytes);
        out
    }

    fn container(keys: &[&str], items: &[&Json], is_large: bool) -> Vec<u8> {
        let width = if is_large { 4 } else { 2 };
        let number = |n: usize| n.to_le_bytes()[..width].to_vec();
        let mut heap_at = 2 * width + keys.len() * (width + 2) + items.len() * (width + 1);
        let (mut key_entries, mut entries, mut heap) = (Vec::new(), Vec::new(), Vec::new());
        for key in keys {
            key_entries.extend(number(heap_at));
            key_entries.extend((key.len() as u16).to_le_bytes());
            heap.extend(key.as_bytes());
            heap_at += key.len();
        }
        for item in items {
            let (kind, bytes) = write(item, is_large);
            entries.push(kind);
            if matches!(kind, LITERAL | INT16 | UINT16) || is_large && matches!(kind, INT32 | UINT32) {
                let mut slot = bytes;
                slot.resize(width, 0);
                entries.extend(slot);
            } else {
                entries.extend(number(heap_at));
                heap_at += bytes.len();
                heap.extend(bytes);
            }
        }
        [number(items.len()), number(heap_at), key_entries, entries, heap].concat()
    }

    fn document(json: &Json, is_large: bool) -> Bytes {
        let (kind, bytes) = write(json, is_large);
        [vec![kind], bytes].concat().into()
    }

    fn any_json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::Bool),
            any::<i64>().prop_map(|n| Json::Number(JsonNumber::Int(n))),
            any::<i16>().prop_map(|n| Json::Number(JsonNumber::Int(n.into()))),
            any::<i32>().prop_map(|n| Json::Number(JsonNumber::Int(n.into()))),
            any::<u64>().prop_map(|n| Json::Number(JsonNumber::UInt(n))),
            any::<u32>().prop_map(|n| Json::Number(JsonNumber::UInt(n.into()))),
            (-1e300..1e300).prop_map(|n| Json::Number(JsonNumber::Double(n))),
            ".{0,200}".prop_map(Json::String),
            prop::collection::vec(any::<u8>(), 0..200).prop_map(|bytes| Json::Opaque(252, bytes.into())),
        ];
        leaf.prop_recursive(5, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Json::Array),
                prop::collection::vec((".{0,5}", inner), 0..6).prop_map(Json::Object),
            ]
        })
    }

    proptest! {
        #[test]
        fn documents_round_trip(json in any_json(), is_large: bool) {
            prop_assert!(read(&document(&json, is_large)).unwrap() == json);
        }

        #[test]
        fn cut_documents_are_refused_or_read_but_never_panic(json in any_json(), is_large: bool, at: prop::sample::Index) {
            let whole = document(&json, is_large);
            let _ = read(&whole.slice(..at.index(whole.len())));
        }

        #[test]
        fn any_bytes_never_panic(bytes: Vec<u8>) {
            let _ = read(&bytes.into());
        }
    }

    #[test]
    fn no_bytes_are_json_null() {
        assert!(read(&Bytes::new()).unwrap() == Json::Null);
    }

    #[test]
    fn typed_values() {
        let decimal = Bytes::from_static(&[OPAQUE, 246, 4, 2, 1, 0x81, 0x05]);
        assert!(read(&decimal).unwrap() == Json::Decimal("1.5".into()));
        let too_long = Bytes::from_static(&[OPAQUE, 246, 5, 2, 1, 0x81, 0x05, 0]);
        assert!(read(&too_long).is_err());
    }

    #[test]
    fn offsets_that_meet_cannot_multiply_a_document() {
        // Levels of two entries that lead to the same next level: 2^60 values in a few hundred bytes.
        let mut out = vec![SMALL_ARRAY];
        let levels = 60_u16;
        let size = levels * 10 + 4;
        for level in 0..levels {
            out.extend(2_u16.to_le_bytes());
            out.extend((size - level * 10).to_le_bytes());
            for _ in 0..2 {
                out.push(SMALL_ARRAY);
                out.extend(10_u16.to_le_bytes());
            }
        }
        out.extend([0, 0, 4, 0]);
        assert_eq!(read(&out.into()).unwrap_err().kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |levels: usize| (0..levels).fold(Json::Null, |inner, _| Json::Array(vec![inner]));
        assert!(read(&document(&nested(100), true)).is_ok());
        assert!(read(&document(&nested(101), true)).is_err());
    }
}
