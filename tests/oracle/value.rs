//! The same value as a SELECT gives it, as the log tool prints it, and as `binlog --json` writes it.

use crate::json::Json;
use crate::tool::Printed;

/// What decides how a column's values are written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Type {
    Integer {
        bits: u32,
        is_unsigned: bool,
    },
    Float,
    Double,
    Decimal,
    Bit,
    Set,
    Enum,
    Year,
    Date,
    Time,
    DateTime,
    Timestamp {
        precision: usize,
    },
    /// In this character set.
    Text(String),
    /// `is_padded`: of a fixed length, which zeros fill; logs leave them out.
    Bytes {
        is_padded: bool,
    },
    Json,
    Vector,
}

/// A column as the server describes it.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) of: Type,
    /// What to select, so that nothing is rounded, converted or lost on the way.
    pub(crate) expression: String,
    /// Why the tool's word does not count for this column, where it does not.
    pub(crate) tool_fails: Option<&'static str>,
}

/// A value, in one form for all who tell of it.
#[derive(Debug, Clone)]
pub(crate) enum Cell {
    Null,
    /// Integers in decimal, reals with all their digits, bytes in hexadecimal, all else as the server's text.
    Exact(String),
    /// Text: its bytes, and the same in UTF-8 as the server converts it; `is_text`: it converts back to its bytes.
    Text {
        bytes: String,
        utf8: String,
        is_text: bool,
    },
    Float(f32),
    /// Reals of which six digits are known.
    Rounded(Vec<f64>),
    /// The tool cannot say.
    Unknown,
}

impl Column {
    /// Whether its values are JSON documents, which may be changed in parts.
    pub(crate) fn is_document(&self) -> bool {
        self.of == Type::Json
    }

    /// What the server answered to [`Column::expression`].
    pub(crate) fn selected(&self, answer: &str) -> Cell {
        if answer == "NULL" {
            return Cell::Null;
        }
        Cell::Exact(match &self.of {
            Type::Integer { .. } | Type::Bit | Type::Set | Type::Enum | Type::Year => integer(answer),
            Type::Float => return Cell::Float(answer.parse::<f64>().unwrap() as f32),
            Type::Double => format!("{:e}", answer.parse::<f64>().unwrap()),
            Type::Text(_) => {
                let [bytes, utf8, back] = answer.split('/').collect::<Vec<_>>().try_into().unwrap();
                return Cell::Text { bytes: bytes.to_owned(), utf8: utf8.to_owned(), is_text: bytes == back };
            }
            Type::Bytes { is_padded: true } => unpadded(answer),
            Type::Json => String::from_utf8(bytes(answer)).unwrap(),
            _ => answer.to_owned(),
        })
    }

    /// What the tool printed. Texts come without the server's conversion.
    pub(crate) fn printed(&self, value: &Printed) -> Cell {
        match (&self.of, value) {
            _ if self.tool_fails.is_some() => Cell::Unknown,
            (_, Printed::Null) => Cell::Null,
            (Type::Integer { is_unsigned, .. }, Printed::Plain(text)) => Cell::Exact(match text.split_once(" (") {
                Some((_, unsigned)) if *is_unsigned => unsigned.trim_end_matches(')').to_owned(),
                Some((signed, _)) => signed.to_owned(),
                None => text.clone(),
            }),
            (Type::Float, Printed::Plain(text)) => Cell::Rounded(vec![text.parse().unwrap()]),
            // All digits, from `%-20g` of old and `%.20g` of new tools alike.
            (Type::Double, Printed::Plain(text)) => Cell::Exact(format!("{:e}", text.parse::<f64>().unwrap())),
            (Type::Decimal, Printed::Plain(text)) => Cell::Exact(text.clone()),
            (Type::Enum, Printed::Plain(text)) => Cell::Exact(integer(text)),
            // The year 0 is printed as 1900, which is a year of its own only in text.
            (Type::Year, Printed::Plain(text)) if text == "1900" => Cell::Exact("0".to_owned()),
            (Type::Year, Printed::Plain(text)) => Cell::Exact(integer(text)),
            (Type::Bit, Printed::Plain(text)) => Cell::Exact(number(digits(text)).to_string()),
            // Byte by byte, the lowest first.
            (Type::Set, Printed::Plain(text)) => {
                let bytes = digits(text).as_bytes().chunks(8).rev();
                Cell::Exact(number(&bytes.map(utf8).collect::<String>()).to_string())
            }
            (Type::Date, Printed::Quoted(text)) => Cell::Exact(utf8(text).replace(':', "-")),
            (Type::Time | Type::DateTime, Printed::Quoted(text)) => Cell::Exact(utf8(text)),
            (Type::Timestamp { precision }, Printed::Plain(text)) => Cell::Exact(moment(text, *precision)),
            // The tool prints a document that is only a string without its quotes.
            (Type::Json, Printed::Quoted(text)) if serde_json::from_slice::<serde::de::IgnoredAny>(text).is_err() => {
                Cell::Unknown
            }
            (Type::Json, Printed::Quoted(text)) => Cell::Exact(utf8(text)),
            (Type::Text(_), Printed::Quoted(text)) => {
                Cell::Text { bytes: hex(text), utf8: String::new(), is_text: false }
            }
            (Type::Bytes { is_padded }, Printed::Quoted(text)) => {
                Cell::Exact(if *is_padded { unpadded(&hex(text)) } else { hex(text) })
            }
            (Type::Vector, Printed::Quoted(text)) => Cell::Exact(hex(text)),
            (Type::Vector, Printed::Plain(text)) => {
                let numbers = text.trim_matches(['[', ']']).split(',').map(|number| number.parse().unwrap());
                Cell::Rounded(numbers.collect())
            }
            (of, other) => panic!("{}: expected a value of {of:?}, the tool printed {other:?}", self.name),
        }
    }

    /// Whether `binlog --json` wrote this value. Without metadata in the log (`is_named`) nobody can know signs and
    /// character sets from it.
    pub(crate) fn is_written(&self, json: &Json, cell: &Cell, is_named: bool) -> bool {
        match (&self.of, json, cell) {
            (_, _, Cell::Unknown) => true,
            (_, Json::Null, Cell::Null) => true,
            (_, Json::Null, _) | (_, _, Cell::Null) => false,
            (Type::Integer { bits, .. }, Json::Number(number), Cell::Exact(text)) => {
                let (found, expected): (i128, i128) = (number.parse().unwrap(), text.parse().unwrap());
                found == expected || !is_named && (found - expected).rem_euclid(1 << bits) == 0
            }
            (Type::Bit | Type::Set | Type::Enum | Type::Year, Json::Number(number), Cell::Exact(text)) => {
                number == text
            }
            (Type::Float, Json::Number(number), Cell::Float(float)) => {
                (number.parse::<f64>().unwrap() as f32).to_bits() == float.to_bits()
            }
            (Type::Double, Json::Number(number), Cell::Exact(text)) => {
                format!("{:e}", number.parse::<f64>().unwrap()) == *text
            }
            (Type::Float, Json::Number(number), Cell::Rounded(numbers)) => {
                rounded(&[f64::from(number.parse::<f64>().unwrap() as f32)]) == rounded(numbers)
            }
            (Type::Vector, object, Cell::Rounded(numbers)) => {
                base64(object).is_some_and(|bytes| rounded(&floats(&bytes)) == rounded(numbers))
            }
            (Type::Text(_), Json::String(string), Cell::Text { bytes, utf8, is_text }) => {
                let found = hex(string.as_bytes());
                // Where two bytes stand for one character, text does not convert back; `?` stands for what is no text.
                let is_valid = *is_text || !utf8.contains("3F");
                is_valid && found == *utf8 || !is_named && found == *bytes
            }
            (Type::Text(set), object, Cell::Text { bytes, is_text, .. }) => {
                (!is_named || !is_text || set == "binary") && base64(object).is_some_and(|found| hex(&found) == *bytes)
            }
            (Type::Bytes { is_padded }, _, Cell::Exact(text)) => {
                let found = match json {
                    Json::String(string) if !is_named => Some(string.clone().into_bytes()),
                    object => base64(object),
                };
                found.map(|bytes| hex(&bytes)).is_some_and(|found| match is_padded {
                    true => unpadded(&found) == *text,
                    false => found == *text,
                })
            }
            (Type::Vector, object, Cell::Exact(text)) => base64(object).is_some_and(|found| hex(&found) == *text),
            (_, Json::String(string), Cell::Exact(text)) => string == text,
            _ => false,
        }
    }
}

impl Cell {
    /// Whether two tell of the same value, as far as both know it.
    pub(crate) fn agrees(&self, other: &Cell) -> bool {
        match (self, other) {
            (Cell::Unknown, _) | (_, Cell::Unknown) => true,
            (Cell::Null, Cell::Null) => true,
            (Cell::Float(mine), Cell::Float(theirs)) => mine.to_bits() == theirs.to_bits(),
            (Cell::Exact(mine), Cell::Exact(theirs)) => mine == theirs,
            (Cell::Text { bytes: mine, .. }, Cell::Text { bytes: theirs, .. }) => mine == theirs,
            (Cell::Rounded(mine), Cell::Rounded(theirs)) => rounded(mine) == rounded(theirs),
            (Cell::Rounded(mine), Cell::Float(theirs)) | (Cell::Float(theirs), Cell::Rounded(mine)) => {
                rounded(mine) == rounded(&[f64::from(*theirs)])
            }
            // A VECTOR.
            (Cell::Rounded(mine), Cell::Exact(theirs)) | (Cell::Exact(theirs), Cell::Rounded(mine)) => {
                rounded(mine) == rounded(&floats(&bytes(theirs)))
            }
            _ => false,
        }
    }

    /// What tells rows apart: keys are integers.
    pub(crate) fn key(&self) -> String {
        match self {
            Cell::Exact(text) => text.clone(),
            other => panic!("expected a key, found {other:?}"),
        }
    }
}

fn integer(text: &str) -> String {
    text.parse::<i128>().unwrap().to_string()
}

/// Of `b'0101'`.
fn digits(text: &str) -> &str {
    text.trim_start_matches("b'").trim_end_matches('\'')
}

fn number(digits: &str) -> u64 {
    u64::from_str_radix(digits, 2).unwrap()
}

/// Seconds since 1970 as UTC text; 0 is the zero date.
fn moment(text: &str, precision: usize) -> String {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = seconds.parse().unwrap();
    let fraction = if precision == 0 { String::new() } else { format!(".{fraction:0<precision$}") };
    if seconds == 0 && fraction.bytes().all(|digit| matches!(digit, b'.' | b'0')) {
        return format!("0000-00-00 00:00:00{fraction}");
    }
    // Days to a date: years begin in March, so that the leap day is the last.
    let (days, second) = (seconds.div_euclid(86_400) + 719_468, seconds.rem_euclid(86_400));
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}{fraction}", second / 3600, second / 60 % 60, second % 60)
}

fn rounded(numbers: &[f64]) -> Vec<String> {
    numbers.iter().map(|number| format!("{number:.5e}")).collect()
}

fn floats(bytes: &[u8]) -> Vec<f64> {
    bytes.chunks_exact(4).map(|four| f64::from(f32::from_le_bytes(four.try_into().unwrap()))).collect()
}

fn utf8(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

pub(crate) fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|index| u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).unwrap()).collect()
}

fn unpadded(hex: &str) -> String {
    let mut hex = hex;
    while let Some(shorter) = hex.strip_suffix("00") {
        hex = shorter;
    }
    hex.to_owned()
}

/// The bytes of `{"base64":"…"}`.
fn base64(json: &Json) -> Option<Vec<u8>> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let text = json.get("base64")?.text()?.trim_end_matches('=');
    let mut bytes = Vec::new();
    for four in text.as_bytes().chunks(4) {
        let number = four.iter().try_fold(0_u32, |number, digit| {
            Some(number << 6 | DIGITS.iter().position(|other| other == digit)? as u32)
        })?;
        let number = number << (6 * (4 - four.len()));
        bytes.extend(&number.to_be_bytes()[1..four.len()]);
    }
    Some(bytes)
}

#[test]
fn base64_is_read() {
    let read = |text: &str| base64(&Json::read(&format!("{{\"base64\":\"{text}\"}}"))).unwrap();
    assert_eq!(read(""), b"");
    assert_eq!(read("Zg=="), b"f");
    assert_eq!(read("Zm8="), b"fo");
    assert_eq!(read("Zm9v"), b"foo");
    assert_eq!(read("AP/+"), b"\x00\xff\xfe");
}

#[test]
fn moments_are_dates() {
    assert_eq!(moment("0", 0), "0000-00-00 00:00:00");
    assert_eq!(moment("1", 2), "1970-01-01 00:00:01.00");
    assert_eq!(moment("1709251199.5", 1), "2024-02-29 23:59:59.5");
    assert_eq!(moment("4294967295.999999", 6), "2106-02-07 06:28:15.999999");
}
