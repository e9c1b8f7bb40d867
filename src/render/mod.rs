//! Values as JSON: the one form in which rows are shown and journalled.
//!
//! Integers and floats are numbers, DECIMAL is a string, text a string where its bytes are valid in the column's character
//! set, other bytes `{"base64":"…"}`, BIT and SET unsigned numbers, ENUM its index, temporal values
//! `YYYY-MM-DD hh:mm:ss[.ffffff]` (TIMESTAMP in UTC) and `[-]hhh:mm:ss[.ffffff]`, YEAR a number, JSON a string with the
//! server's own text, NULL `null`, a column that the image does not carry `{"absent":true}`.
//!
//! # Invariants
//! 1. Two values of a column that the server tells apart have different texts.
//! 2. What is written is one line of valid JSON.
//!
//! Pure: bytes in, text out.

mod base64;
mod temporal;

use std::fmt;

use crate::decode::charset::Charset;
use crate::decode::{DecimalBuffer, Image, ValueRef, WireColumn};
use crate::error::Result;
use crate::model::ColumnKind;

pub use self::temporal::moment;

/// The types whose bytes are never text (MySQL source, `enum_field_types`).
const VECTOR: u8 = 242;
const GEOMETRY: u8 = 255;

/// How a column's bytes are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is no other way to show bytes")]
pub enum Form {
    /// As text where they are valid in the set.
    Text(Charset),
    /// The log does not name the set: as text where they are UTF-8.
    Guessed,
    /// As base64, whatever they are.
    Base64,
    /// BINARY: the log strips trailing zero bytes, the server selects them.
    Padded(usize),
}

impl Form {
    /// How the log's column is shown.
    pub fn of(column: &WireColumn) -> Form {
        match column.charset {
            _ if matches!(column.type_code, VECTOR | GEOMETRY) => Form::Base64,
            Some(Charset::Binary) => {
                column.fixed_length().map_or(Form::Base64, |length| Form::Padded(usize::from(length)))
            }
            Some(charset) => Form::Text(charset),
            None if column.collation.is_some() => Form::Base64,
            None => Form::Guessed,
        }
    }

    /// How a column is shown that the catalogue describes: logs may leave out what it takes.
    pub fn of_kind(kind: ColumnKind, charset: Option<&str>, fixed_bytes: Option<usize>) -> Form {
        match (kind, charset.and_then(Charset::from_name)) {
            (ColumnKind::Geometry | ColumnKind::Vector, _) => Form::Base64,
            (_, Some(charset)) => Form::Text(charset),
            (ColumnKind::Text, None) => Form::Guessed,
            (_, None) => fixed_bytes.map_or(Form::Base64, Form::Padded),
        }
    }
}

/// Writes values; keeps the memory of what is made on the way.
#[derive(Debug, Default)]
pub struct Renderer {
    decimal: DecimalBuffer,
    document: String,
    padded: Vec<u8>,
}

impl Renderer {
    /// Appends an image's values as an array; `null` without an image.
    ///
    /// # Errors
    /// `Corrupt`: a value that no server writes.
    pub fn image(&mut self, out: &mut Vec<u8>, forms: &[Form], image: Option<Image<'_>>) -> Result<()> {
        let Some(image) = image else {
            out.extend_from_slice(b"null");
            return Ok(());
        };
        out.push(b'[');
        for (index, (value, form)) in image.iter().zip(forms).enumerate() {
            if index > 0 {
                out.push(b',');
            }
            self.value(out, *form, value?).map_err(|error| image.locate(error, index))?;
        }
        out.push(b']');
        Ok(())
    }

    /// Appends a value; `None` is a column that the image does not carry.
    ///
    /// # Errors
    /// `Corrupt`: a value that no server writes.
    pub fn value(&mut self, out: &mut Vec<u8>, form: Form, value: Option<ValueRef<'_>>) -> Result<()> {
        let Some(value) = value else {
            out.extend_from_slice(b"{\"absent\":true}");
            return Ok(());
        };
        match value {
            ValueRef::Null => out.extend_from_slice(b"null"),
            ValueRef::Int(number) => json(out, &number),
            ValueRef::UInt(number) | ValueRef::Bit(number) | ValueRef::Set(number) => json(out, &number),
            ValueRef::Enum(number) | ValueRef::Year(number) => json(out, &number),
            // No server stores what JSON has no number for.
            ValueRef::Float(number) if !number.is_finite() => bytes(out, &number.to_le_bytes()),
            ValueRef::Double(number) if !number.is_finite() => bytes(out, &number.to_le_bytes()),
            ValueRef::Float(number) => json(out, &number),
            ValueRef::Double(number) => json(out, &number),
            ValueRef::Decimal(decimal) => {
                quoted(out, |out| decimal.ascii(&mut self.decimal).map(|text| out.extend_from_slice(text)))?
            }
            ValueRef::Date(date) => {
                let parts = date.parts()?;
                quoted(out, |out| temporal::date(out, &parts));
            }
            ValueRef::Time(time) => {
                let parts = time.parts()?;
                quoted(out, |out| temporal::time(out, &parts));
            }
            ValueRef::DateTime(moment) | ValueRef::Timestamp(moment) => {
                let parts = moment.parts()?;
                quoted(out, |out| temporal::date_time(out, &parts, b' '));
            }
            ValueRef::Bytes(value) => self.bytes(out, form, value),
            ValueRef::Json(document) => {
                self.document.clear();
                document.write_text(&mut self.document)?;
                json(out, &self.document);
            }
            ValueRef::JsonDiff(diff) => {
                out.extend_from_slice(b"{\"json_diff\":");
                diff.write_json(&mut Text(out))?;
                out.push(b'}');
            }
        }
        Ok(())
    }

    fn bytes(&mut self, out: &mut Vec<u8>, form: Form, value: &[u8]) {
        match form {
            Form::Text(charset) => match charset.text(value) {
                Some(text) => json(out, &text),
                None => bytes(out, value),
            },
            Form::Guessed => match std::str::from_utf8(value) {
                Ok(text) => json(out, text),
                Err(_) => bytes(out, value),
            },
            Form::Padded(length) if value.len() < length => {
                self.padded.clear();
                self.padded.extend_from_slice(value);
                self.padded.resize(length, 0);
                bytes(out, &self.padded);
            }
            Form::Padded(_) | Form::Base64 => bytes(out, value),
        }
    }
}

/// Appends a number or a text. Numbers have the fewest digits that read back as the same one.
pub fn json(out: &mut Vec<u8>, value: &(impl serde::Serialize + ?Sized)) {
    // Memory takes everything, and neither numbers nor texts are refused.
    let _ = serde_json::to_writer(out, value);
}

/// Appends `{"base64":"…"}`.
pub fn bytes(out: &mut Vec<u8>, value: &[u8]) {
    out.extend_from_slice(b"{\"base64\":\"");
    base64::write(out, value);
    out.extend_from_slice(b"\"}");
}

/// Appends a text that needs no escapes.
fn quoted<T>(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    out.push(b'"');
    let written = write(out);
    out.push(b'"');
    written
}

/// Bytes that are written as text.
struct Text<'a>(&'a mut Vec<u8>);

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}
