//! A value where it lies in a document.

use std::fmt;

use super::format::{
    DOUBLE, FALSE_LITERAL, INT16, INT32, INT64, LARGE_ARRAY, LARGE_OBJECT, LITERAL, NULL_LITERAL, OPAQUE, SMALL_ARRAY,
    SMALL_OBJECT, STRING, TRUE_LITERAL, UINT16, UINT32, UINT64, Width, read_length,
};
use super::{MAX_DEPTH, typed};
use crate::decode::cursor::Cursor;
use crate::decode::fault::corrupt;
use crate::decode::value::DecimalRef;
use crate::error::Result;
use crate::model::TemporalParts;

/// A value in a document: one word and a view. Nothing is read before it is asked for, so any part may still turn out to
/// be corrupt.
///
/// ```
/// use bluegreen::decode::json::JsonRef;
///
/// // `{"a": [1.5, null]}` as MySQL stores it.
/// let document = b"\x00\x01\0\x1e\0\x0b\0\x01\0\x02\x0c\0a\x02\0\x12\0\x0b\x0a\0\x04\0\0\0\0\0\0\0\0\xf8\x3f";
/// let mut text = String::new();
/// JsonRef::new(document)?.write_text(&mut text)?;
/// assert_eq!(text, r#"{"a": [1.5, null]}"#);
/// # Ok::<(), bluegreen::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct JsonRef<'a> {
    kind: u8,
    /// Arrays and objects around it.
    depth: u8,
    /// From the value's first byte to the end of what holds it.
    bytes: &'a [u8],
}

/// What a value is.
#[derive(Clone)]
#[non_exhaustive]
pub enum JsonNode<'a> {
    /// JSON null.
    Null,
    /// true or false.
    Bool(bool),
    /// A signed integer.
    Int(i64),
    /// An unsigned integer.
    UInt(u64),
    /// A double.
    Double(f64),
    /// A string.
    String(&'a str),
    /// DECIMAL as the server prints it.
    Decimal(DecimalRef<'a>),
    /// DATE.
    Date(TemporalParts),
    /// TIME, with six digits of a fraction.
    Time(TemporalParts),
    /// DATETIME, with six digits of a fraction.
    DateTime(TemporalParts),
    /// TIMESTAMP, with six digits of a fraction, in the time zone of the session that made it.
    Timestamp(TemporalParts),
    /// Any other column type: the type's number and its bytes.
    Opaque {
        /// The number of the column type.
        type_code: u8,
        /// The value as the type stores it.
        bytes: &'a [u8],
    },
    /// An array.
    Array(JsonArray<'a>),
    /// An object.
    Object(JsonObject<'a>),
}

impl<'a> JsonRef<'a> {
    /// A document's root. No bytes at all are what `INSERT IGNORE` leaves where a value was missing: the server reads JSON
    /// null.
    ///
    /// # Errors
    /// `Corrupt` where the first byte names no type.
    pub fn new(document: &'a [u8]) -> Result<JsonRef<'a>> {
        match document.split_first() {
            Some((kind, bytes)) if is_kind(*kind) => Ok(JsonRef { kind: *kind, depth: 0, bytes }),
            Some((other, _)) => Err(corrupt(format!("expected a type of a JSON value, found {other:#04x}"))),
            None => Ok(JsonRef { kind: LITERAL, depth: 0, bytes: &[NULL_LITERAL] }),
        }
    }

    /// The same value with so many levels around it.
    pub(super) fn below(self, depth: u8) -> JsonRef<'a> {
        JsonRef { depth, ..self }
    }

    /// Bytes that the value and what it holds have at most.
    pub(super) fn len(self) -> usize {
        self.bytes.len()
    }

    /// Reads this value; an array's and an object's values are read one by one later.
    ///
    /// # Errors
    /// `Corrupt` for bytes that the server does not write, text that is not UTF-8, and more than 100 levels.
    pub fn node(self) -> Result<JsonNode<'a>> {
        let mut cursor = Cursor::new(self.bytes);
        Ok(match self.kind {
            SMALL_OBJECT => JsonNode::Object(JsonObject(self.container(Width::Small, Width::Small.key_entry())?)),
            LARGE_OBJECT => JsonNode::Object(JsonObject(self.container(Width::Large, Width::Large.key_entry())?)),
            SMALL_ARRAY => JsonNode::Array(JsonArray(self.container(Width::Small, 0)?)),
            LARGE_ARRAY => JsonNode::Array(JsonArray(self.container(Width::Large, 0)?)),
            LITERAL => literal(cursor.u8()?)?,
            INT16 => JsonNode::Int(i64::from(cursor.u16()?.cast_signed())),
            UINT16 => JsonNode::UInt(u64::from(cursor.u16()?)),
            INT32 => JsonNode::Int(i64::from(cursor.u32()?.cast_signed())),
            UINT32 => JsonNode::UInt(u64::from(cursor.u32()?)),
            INT64 => JsonNode::Int(cursor.u64()?.cast_signed()),
            UINT64 => JsonNode::UInt(cursor.u64()?),
            DOUBLE => JsonNode::Double(f64::from_le_bytes(cursor.array()?)),
            STRING => {
                let length = read_length(&mut cursor)?;
                JsonNode::String(utf8(cursor.take(length)?)?)
            }
            OPAQUE => {
                let type_code = cursor.u8()?;
                let length = read_length(&mut cursor)?;
                typed::read(type_code, cursor.take(length)?)?
            }
            other => return Err(corrupt(format!("expected a type of a JSON value, found {other:#04x}"))),
        })
    }

    fn container(self, width: Width, key_entry: usize) -> Result<Container<'a>> {
        if self.depth >= MAX_DEPTH {
            return Err(corrupt(format!("expected at most {MAX_DEPTH} levels in a JSON document, found more")));
        }
        let mut cursor = Cursor::new(self.bytes);
        let count = cursor.uint_le(width.number())?;
        let size = cursor.uint_le(width.number())?;
        let whole = Cursor::new(self.bytes).length(size).map(|size| self.bytes.get(..size).unwrap_or_default())?;
        // An entry has bytes, so a count that does not fit is refused before anything is made of it.
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let mut cursor = Cursor::new(whole);
        cursor.skip(width.number().saturating_mul(2))?;
        let keys = cursor.take(count.saturating_mul(key_entry))?;
        let values = cursor.take(count.saturating_mul(width.value_entry()))?;
        Ok(Container { whole, count, keys, values, width, depth: self.depth.saturating_add(1) })
    }
}

impl fmt::Debug for JsonRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JsonRef")
    }
}

impl fmt::Debug for JsonNode<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JsonNode")
    }
}

/// The values of an array, in order.
#[derive(Clone, Copy)]
pub struct JsonArray<'a>(Container<'a>);

impl<'a> JsonArray<'a> {
    /// How many values.
    pub fn len(self) -> usize {
        self.0.count
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0.count == 0
    }

    /// The values.
    ///
    /// # Errors
    /// Each is `Corrupt` where its place is not in the array.
    pub fn iter(self) -> impl Iterator<Item = Result<JsonRef<'a>>> {
        self.0.values()
    }
}

/// The members of an object, in the order in which the server stores them: short keys first, then by bytes.
#[derive(Clone, Copy)]
pub struct JsonObject<'a>(Container<'a>);

impl<'a> JsonObject<'a> {
    /// How many members.
    pub fn len(self) -> usize {
        self.0.count
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0.count == 0
    }

    /// The keys with their values.
    ///
    /// # Errors
    /// Each is `Corrupt` where its place is not in the object or its key is not UTF-8.
    pub fn iter(self) -> impl Iterator<Item = Result<(&'a str, JsonRef<'a>)>> {
        let keys = self.0.keys.chunks_exact(self.0.width.key_entry());
        keys.zip(self.0.values()).map(move |(key, value)| Ok((self.0.key(key)?, value?)))
    }
}

impl fmt::Debug for JsonArray<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JsonArray")
    }
}

impl fmt::Debug for JsonObject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JsonObject")
    }
}

/// An array or object: entries, and behind them what they point to.
#[derive(Clone, Copy)]
struct Container<'a> {
    whole: &'a [u8],
    count: usize,
    /// The entries of the keys; empty for an array.
    keys: &'a [u8],
    /// The entries of the values.
    values: &'a [u8],
    width: Width,
    /// Of the values in it.
    depth: u8,
}

impl<'a> Container<'a> {
    fn values(self) -> impl Iterator<Item = Result<JsonRef<'a>>> {
        self.values.chunks_exact(self.width.value_entry()).map(move |entry| self.value(entry))
    }

    fn key(self, entry: &'a [u8]) -> Result<&'a str> {
        let mut cursor = Cursor::new(entry);
        let offset = cursor.uint_le(self.width.number())?;
        let length = usize::from(cursor.u16()?);
        utf8(Cursor::new(self.at(offset)?).take(length)?)
    }

    fn value(self, entry: &'a [u8]) -> Result<JsonRef<'a>> {
        let mut cursor = Cursor::new(entry);
        let kind = cursor.u8()?;
        let bytes = match self.width.is_inline(kind) {
            true => cursor.rest(),
            false => self.at(cursor.uint_le(self.width.number())?)?,
        };
        Ok(JsonRef { kind, depth: self.depth, bytes })
    }

    fn at(self, offset: u64) -> Result<&'a [u8]> {
        let mut cursor = Cursor::new(self.whole);
        let offset = cursor.length(offset)?;
        cursor.skip(offset)?;
        Ok(cursor.rest())
    }
}

fn is_kind(kind: u8) -> bool {
    kind <= STRING || kind == OPAQUE
}

fn literal(byte: u8) -> Result<JsonNode<'static>> {
    match byte {
        NULL_LITERAL => Ok(JsonNode::Null),
        TRUE_LITERAL => Ok(JsonNode::Bool(true)),
        FALSE_LITERAL => Ok(JsonNode::Bool(false)),
        other => Err(corrupt(format!("expected null, true or false in JSON, found {other:#04x}"))),
    }
}

pub(super) fn utf8(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| corrupt("expected JSON text in UTF-8"))
}
