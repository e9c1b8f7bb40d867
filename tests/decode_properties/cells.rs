//! A cell for each type, and the value that it must be read as.

use bluegreen::decode::json::encode;
use bluegreen::model::{Json, JsonNumber, TemporalParts, Value};
use bluegreen::testkit::{Cell, ColumnType, JsonDiff};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::plan::{Column, Metadata};

/// Cells of one row, from its seed.
pub(crate) struct Cells(StdRng);

impl Cells {
    pub(crate) fn of_row(seed: u64) -> Cells {
        Cells(StdRng::seed_from_u64(seed))
    }

    /// A cell, and its value.
    pub(crate) fn cell(&mut self, column: &Column, metadata: Metadata) -> (Cell, Value) {
        if column.is_nullable && self.0.random_ratio(1, 4) {
            return (Cell::Null, Value::Null);
        }
        match &column.kind {
            ColumnType::Integer(width) => self.integer(*width, column.is_unsigned, metadata != Metadata::None),
            ColumnType::Float => {
                let number = self.0.random::<f32>() * 1e9 - 5e8;
                (Cell::Float(number), Value::Float(number))
            }
            ColumnType::Double => {
                let number = self.0.random::<f64>() * 1e99 - 5e98;
                (Cell::Double(number), Value::Double(number))
            }
            ColumnType::Decimal(precision, scale) => {
                let text = self.decimal(*precision, *scale);
                (Cell::Decimal(text.clone()), Value::Decimal(text))
            }
            ColumnType::Bit(count) => {
                let bits = self.0.random::<u64>() >> (64 - count);
                (Cell::Bit(bits), Value::Bit(bits))
            }
            ColumnType::Enum(members) => {
                let index = self.0.random_range(0..=members.len() as u16);
                (Cell::Enum(index), Value::Enum(index))
            }
            ColumnType::Set(members) => {
                let bits = self.0.random::<u64>() >> (64 - members.len());
                (Cell::Set(bits), Value::Set(bits))
            }
            ColumnType::Char(max) | ColumnType::VarChar(max) => self.bytes((*max).into()),
            ColumnType::Blob(width) => {
                self.bytes(if *width == 1 { 255 } else { 70_000_usize.min((1 << (8 * width)) - 1) })
            }
            ColumnType::Geometry(_) => self.bytes(100),
            ColumnType::Vector(dimensions) => {
                let bytes: Vec<u8> = (0..4 * dimensions).map(|_| self.0.random()).collect();
                (Cell::Bytes(bytes.clone()), Value::Bytes(bytes.into()))
            }
            ColumnType::VarCharCompressed(_) | ColumnType::BlobCompressed(_) => {
                // Short or not random, so that it does not grow by more than the column's bound.
                let length = self.0.random_range(0..290);
                let bytes = vec![self.0.random(); length];
                let value = Value::Bytes(bytes.clone().into());
                (if self.0.random() { Cell::Bytes(bytes) } else { Cell::ZlibWrapped(bytes) }, value)
            }
            ColumnType::Json => {
                let json = self.json();
                (Cell::Bytes(encode(&json).unwrap()), Value::Json(Box::new(json)))
            }
            ColumnType::Year => {
                let year = *[0, 1901, 2155, 2026].get(self.0.random_range(0..4)).unwrap();
                (Cell::Year(year), Value::Year(year))
            }
            ColumnType::Date => {
                let parts = self.date(TemporalParts::default());
                (Cell::Date(parts), Value::Date(parts))
            }
            ColumnType::Time(fraction) => self.time(*fraction),
            ColumnType::OldTime => self.time(0),
            ColumnType::DateTime(fraction) => self.date_time(*fraction),
            ColumnType::OldDateTime => self.date_time(0),
            ColumnType::Timestamp(fraction) => self.timestamp(*fraction),
            ColumnType::OldTimestamp => self.timestamp(0),
            other => panic!("no cells of {other:?} are made"),
        }
    }

    /// A change of a document that [`Cells::cell`] made, and the document behind it.
    pub(crate) fn json_diff(&mut self, before: &Json) -> (Cell, Value) {
        let Json::Object(members) = before else { panic!("documents are objects") };
        let mut members = members.clone();
        let number = Json::Number(JsonNumber::Int(self.0.random::<i64>()));
        let mut diffs = vec![JsonDiff::Replace("$.a".into(), encode(&number).unwrap())];
        members[0].1 = number;
        if self.0.random() {
            members.truncate(1);
            diffs.push(JsonDiff::Remove("$.bb".into()));
        } else {
            diffs.push(JsonDiff::Insert("$.ccc".into(), encode(&Json::Null).unwrap()));
            members.push(("ccc".into(), Json::Null));
        }
        (Cell::JsonDiffs(diffs), Value::Json(Box::new(Json::Object(members))))
    }

    fn integer(&mut self, width: u8, is_unsigned: bool, is_sign_known: bool) -> (Cell, Value) {
        let shift = 64 - 8 * u32::from(width);
        let bits = match self.0.random_range(0..4) {
            0 => u64::MAX << shift,
            1 => 1 << 63,
            _ => self.0.random::<u64>() & (u64::MAX << shift),
        };
        let (signed, unsigned) = (bits.cast_signed() >> shift, bits >> shift);
        match is_unsigned {
            false => (Cell::Int(signed), Value::Int(signed)),
            true if is_sign_known => (Cell::UInt(unsigned), Value::UInt(unsigned)),
            true => (Cell::UInt(unsigned), Value::Int(signed)),
        }
    }

    /// As the server prints it.
    fn decimal(&mut self, precision: u8, scale: u8) -> String {
        let mut digits = |count: u8, is_zero: bool| -> String {
            (0..count).map(|_| if is_zero { '0' } else { char::from(b'0' + self.0.random_range(0..10)) }).collect()
        };
        let whole = digits(precision - scale, scale % 2 == 1);
        let fraction = digits(scale, false);
        let whole = whole.trim_start_matches('0');
        let is_zero = whole.is_empty() && fraction.chars().all(|digit| digit == '0');
        let sign = if !is_zero && self.0.random() { "-" } else { "" };
        let whole = if whole.is_empty() { "0" } else { whole };
        if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
    }

    fn bytes(&mut self, max: usize) -> (Cell, Value) {
        let length = if self.0.random_ratio(1, 50) { max } else { self.0.random_range(0..=max.min(300)) };
        let bytes: Vec<u8> = (0..length).map(|_| self.0.random()).collect();
        (Cell::Bytes(bytes.clone()), Value::Bytes(bytes.into()))
    }

    fn json(&mut self) -> Json {
        let text: String = (0..self.0.random_range(0..200)).map(|_| self.0.random::<char>()).collect();
        let array = vec![Json::Null, Json::Bool(self.0.random()), Json::String(text)];
        let number = Json::Number(JsonNumber::Double(self.0.random()));
        Json::Object(vec![("a".into(), number), ("bb".into(), Json::Array(array))])
    }

    fn date(&mut self, parts: TemporalParts) -> TemporalParts {
        let year = self.0.random_range(0..=9999);
        TemporalParts { year, month: self.0.random_range(0..=12), day: self.0.random_range(0..=31), ..parts }
    }

    fn of_day(&mut self, hours: u16, fraction: u8) -> TemporalParts {
        TemporalParts {
            hour: self.0.random_range(0..=hours),
            minute: self.0.random_range(0..60),
            second: self.0.random_range(0..60),
            micros: self.micros(fraction),
            fraction,
            ..TemporalParts::default()
        }
    }

    fn micros(&mut self, fraction: u8) -> u32 {
        let unit = 10_u32.pow(6 - u32::from(fraction));
        self.0.random_range(0..1_000_000) / unit * unit
    }

    fn time(&mut self, fraction: u8) -> (Cell, Value) {
        let mut parts = self.of_day(838, fraction);
        // There is no negative zero.
        let is_zero = (parts.hour, parts.minute, parts.second, parts.micros) == (0, 0, 0, 0);
        parts.is_negative = !is_zero && self.0.random();
        (Cell::Time(parts), Value::Time(parts))
    }

    fn date_time(&mut self, fraction: u8) -> (Cell, Value) {
        let parts = self.of_day(23, fraction);
        let parts = self.date(parts);
        (Cell::DateTime(parts), Value::DateTime(parts))
    }

    fn timestamp(&mut self, fraction: u8) -> (Cell, Value) {
        let (seconds, micros) = (self.0.random::<u32>(), self.micros(fraction));
        (Cell::Timestamp(seconds, micros), Value::Timestamp { seconds: seconds.into(), micros, fraction })
    }
}
