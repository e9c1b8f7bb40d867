//! A document as the server prints it (MySQL source, `sql-common/json_dom.cc`, `wrapper_to_string` and
//! `double_quote`).

use std::fmt::{self, Write};

use super::budget::Budget;
use super::double::write_double;
use super::node::utf8;
use super::{JsonNode, JsonRef};
use crate::decode::value;
use crate::decode::value::DecimalBuffer;
use crate::error::{Error, Result};

impl JsonRef<'_> {
    /// Writes this value exactly as `CAST(document AS CHAR)` of the server prints it: a space behind `,` and `:`, types
    /// that JSON does not have as strings (`"2024-02-29"`, `"base64:type15:yv4="`).
    ///
    /// # Errors
    /// `Corrupt` as in [`node`](Self::node), for any value below; `Internal` where `out` fails. What was written before
    /// stays in `out`.
    pub fn write_text(self, out: &mut impl Write) -> Result<()> {
        write_value(self, out, &mut Budget::of(self))
    }
}

fn write_value<W: Write>(value: JsonRef<'_>, out: &mut W, budget: &mut Budget) -> Result<()> {
    let written = match value.node()? {
        JsonNode::Null => out.write_str("null"),
        JsonNode::Bool(yes) => write!(out, "{yes}"),
        JsonNode::Int(number) => write!(out, "{number}"),
        JsonNode::UInt(number) => write!(out, "{number}"),
        JsonNode::Double(number) => write_double(out, number),
        JsonNode::Decimal(decimal) => out.write_str(decimal.text(&mut DecimalBuffer::default())?),
        JsonNode::Date(parts) => write!(out, "\"{}\"", parts.date()),
        JsonNode::Time(parts) => write!(out, "\"{}\"", parts.time()),
        JsonNode::DateTime(parts) | JsonNode::Timestamp(parts) => write!(out, "\"{}\"", parts.date_time()),
        JsonNode::String(text) => {
            budget.spend(text.len())?;
            write_string(out, text)
        }
        // The server takes these for text.
        JsonNode::Opaque { type_code: value::VAR_STRING, bytes } => {
            budget.spend(bytes.len())?;
            write_string(out, utf8(bytes)?)
        }
        JsonNode::Opaque { type_code, bytes } => {
            budget.spend(bytes.len())?;
            write_opaque(out, type_code, bytes)
        }
        JsonNode::Array(array) => {
            budget.spend(array.len())?;
            out.write_char('[').map_err(refused)?;
            for (index, item) in array.iter().enumerate() {
                out.write_str(if index == 0 { "" } else { ", " }).map_err(refused)?;
                write_value(item?, out, budget)?;
            }
            out.write_char(']')
        }
        JsonNode::Object(object) => {
            budget.spend(object.len())?;
            out.write_char('{').map_err(refused)?;
            for (index, member) in object.iter().enumerate() {
                let (key, value) = member?;
                budget.spend(key.len())?;
                out.write_str(if index == 0 { "" } else { ", " }).map_err(refused)?;
                write_string(out, key).map_err(refused)?;
                out.write_str(": ").map_err(refused)?;
                write_value(value, out, budget)?;
            }
            out.write_char('}')
        }
    };
    written.map_err(refused)
}

/// What a failed writer says.
#[cold]
pub(super) fn refused(_: fmt::Error) -> Error {
    Error::internal("JSON text could not be written")
}

/// Writes a string between quotes.
pub(super) fn write_string(out: &mut impl Write, text: &str) -> fmt::Result {
    out.write_char('"')?;
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        let (plain, special) = rest.split_at_checked(at).unwrap_or_default();
        out.write_str(plain)?;
        let mut special = special.chars();
        match special.next().unwrap_or_default() {
            '\u{8}' => out.write_str("\\b")?,
            '\t' => out.write_str("\\t")?,
            '\n' => out.write_str("\\n")?,
            '\u{c}' => out.write_str("\\f")?,
            '\r' => out.write_str("\\r")?,
            mark @ ('"' | '\\') => write!(out, "\\{mark}")?,
            control => write!(out, "\\u{:04x}", u32::from(control))?,
        }
        rest = special.as_str();
    }
    out.write_str(rest)?;
    out.write_char('"')
}

/// Writes bytes in base 64, in lines of 76 characters.
fn write_opaque(out: &mut impl Write, type_code: u8, bytes: &[u8]) -> fmt::Result {
    const GROUPS_IN_A_LINE: usize = 19;
    write!(out, "\"base64:type{type_code}:")?;
    for (index, line) in bytes.chunks(GROUPS_IN_A_LINE.saturating_mul(3)).enumerate() {
        out.write_str(if index == 0 { "" } else { "\\n" })?;
        line.chunks(3).try_for_each(|group| write_base64(out, group))?;
    }
    out.write_char('"')
}

fn write_base64(out: &mut impl Write, group: &[u8]) -> fmt::Result {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let byte = |index| group.get(index).map_or(0, |byte| u32::from(*byte));
    let bits = (byte(0) << 16) | (byte(1) << 8) | byte(2);
    for (index, shift) in [18, 12, 6, 0].into_iter().enumerate() {
        let digit = usize::try_from((bits >> shift) & 63).ok().and_then(|digit| DIGITS.get(digit));
        out.write_char(match digit {
            Some(digit) if index <= group.len() => char::from(*digit),
            _ => '=',
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::encode;
    use super::*;
    use crate::model::Json;

    fn text(json: &Json) -> String {
        let document = encode(json).unwrap();
        let mut text = String::new();
        JsonRef::new(&document).unwrap().write_text(&mut text).unwrap();
        text
    }

    #[test]
    fn strings_are_escaped_as_the_server_does() {
        let json = Json::Object(vec![("\u{1}\"".into(), Json::String("\\/\u{8}\t\n\u{b}\u{c}\r\u{7f}é😀".into()))]);
        assert_eq!(text(&json), "{\"\\u0001\\\"\": \"\\\\/\\b\\t\\n\\u000b\\f\\r\u{7f}é😀\"}");
    }

    #[test]
    fn bytes_are_in_lines_of_base_64() {
        let opaque = |bytes: &[u8]| text(&Json::Opaque(15, bytes.to_vec().into()));
        assert_eq!(opaque(b""), "\"base64:type15:\"");
        assert_eq!(opaque(&[0xca, 0xfe]), "\"base64:type15:yv4=\"");
        assert_eq!(opaque(&[0; 57]), format!("\"base64:type15:{}\"", "A".repeat(76)));
        assert_eq!(opaque(&[0; 58]), format!("\"base64:type15:{}\\nAA==\"", "A".repeat(76)));
    }
}
