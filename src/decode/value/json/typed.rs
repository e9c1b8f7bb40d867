//! Values of column types inside of a document: DECIMAL with its precision and scale in front, DATE, TIME, DATETIME and
//! TIMESTAMP in eight bytes, others as they are (MySQL source, `sql-common/json_dom.cc`, `Json_decimal` and
//! `Json_datetime`).

use super::format::{OPAQUE, write_length};
use super::node::JsonNode;
use crate::decode::cursor::Cursor;
use crate::decode::fault::corrupt;
use crate::decode::value::temporal::Packed;
use crate::decode::value::{self, DecimalRef, temporal};
use crate::error::Result;
use crate::model::TemporalParts;

/// As many as the server holds.
const MAX_DECIMAL_DIGITS: usize = 81;

pub(super) fn read(type_code: u8, bytes: &[u8]) -> Result<JsonNode<'_>> {
    let mut cursor = Cursor::new(bytes);
    let node = match type_code {
        value::NEWDECIMAL => {
            let (precision, scale) = (cursor.u8()?, cursor.u8()?);
            JsonNode::Decimal(DecimalRef::checked(cursor.rest(), precision, scale)?)
        }
        value::DATE => JsonNode::Date(temporal::packed(&mut cursor, Packed::Date)?),
        value::TIME => JsonNode::Time(temporal::packed(&mut cursor, Packed::Time)?),
        value::DATETIME => JsonNode::DateTime(temporal::packed(&mut cursor, Packed::DateTime)?),
        value::TIMESTAMP => JsonNode::Timestamp(temporal::packed(&mut cursor, Packed::DateTime)?),
        other => return Ok(JsonNode::Opaque { type_code: other, bytes }),
    };
    if cursor.is_empty() { Ok(node) } else { Err(corrupt("a JSON value is longer than its type")) }
}

pub(super) fn write_opaque(out: &mut Vec<u8>, type_code: u8, bytes: &[u8]) -> u8 {
    out.push(type_code);
    write_length(out, bytes.len());
    out.extend(bytes);
    OPAQUE
}

/// Writes a temporal value as [`temporal::packed`] reads it.
pub(super) fn write_temporal(out: &mut Vec<u8>, parts: &TemporalParts, type_code: u8) -> Result<u8> {
    let kind = match type_code {
        value::DATE => Packed::Date,
        value::TIME => Packed::Time,
        _ => Packed::DateTime,
    };
    let months = u64::from(parts.year).wrapping_mul(13).wrapping_add(u64::from(parts.month));
    let date = (months << 5) | u64::from(parts.day);
    let time = (u64::from(parts.hour) << 12) | (u64::from(parts.minute) << 6) | u64::from(parts.second);
    let whole = if kind == Packed::Time { time } else { (date << 17) | time };
    let magnitude = ((whole << 24) | u64::from(parts.micros)).cast_signed();
    let number = if parts.is_negative { magnitude.wrapping_neg() } else { magnitude };
    let bytes = number.to_le_bytes();
    // Parts that are out of range have run into each other.
    let same = TemporalParts { is_negative: number < 0, fraction: 0, ..*parts };
    match temporal::packed(&mut Cursor::new(bytes.as_slice()), kind) {
        Ok(read) if TemporalParts { fraction: 0, ..read } == same => Ok(write_opaque(out, type_code, &bytes)),
        _ => Err(corrupt("expected a temporal value in range for JSON, found one that is not")),
    }
}

/// Writes a DECIMAL with the digits that its text has.
pub(super) fn write_decimal(out: &mut Vec<u8>, text: &str) -> Result<u8> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let is_negative = unsigned.len() < text.len();
    let (integer, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let integer = match integer.trim_start_matches('0') {
        // As the server reads a literal: the zero in front of the point is a digit.
        "" if !integer.is_empty() => "0",
        digits => digits,
    };
    let digits = || integer.bytes().chain(fraction.bytes());
    let count = digits().count();
    if integer.is_empty() || count > MAX_DECIMAL_DIGITS || !digits().all(|digit| digit.is_ascii_digit()) {
        return Err(corrupt("expected a DECIMAL of at most 81 digits for JSON, found other text"));
    }
    let number =
        |digits: &[u8]| digits.iter().fold(0_u32, |n, digit| n.wrapping_mul(10).wrapping_add(u32::from(digit & 15)));
    let mut bytes: Vec<u8> = Vec::new();
    // Groups of nine digits from the point outwards; a group with fewer has fewer bytes.
    let (front, groups) = integer.as_bytes().split_at_checked(integer.len() % 9).unwrap_or_default();
    let (groups, back) = (groups.chunks(9), fraction.as_bytes().chunks(9));
    for group in std::iter::once(front).chain(groups).chain(back) {
        let width = group.len().div_ceil(2).min(4);
        bytes.extend(number(group).to_be_bytes().iter().skip(4_usize.saturating_sub(width)));
    }
    if is_negative {
        bytes.iter_mut().for_each(|byte| *byte = !*byte);
    }
    if let Some(first) = bytes.first_mut() {
        *first ^= 0x80;
    }
    let [precision, scale] = [count, fraction.len()].map(|digits| u8::try_from(digits).unwrap_or(u8::MAX));
    Ok(write_opaque(out, value::NEWDECIMAL, &[&[precision, scale], bytes.as_slice()].concat()))
}
