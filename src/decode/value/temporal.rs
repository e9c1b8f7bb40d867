//! DATE, TIME, DATETIME, TIMESTAMP and YEAR, in the packing of 5.6 and in the one before it (MySQL source,
//! `mysys/my_time.cc`).

use std::fmt;

use super::word::{bit_count, mask, word};
use crate::decode::cursor::Cursor;
use crate::decode::fault::corrupt;
use crate::error::{Error, Result};
use crate::model::{TemporalParts, Value};

const MAX_TIME_HOUR: u64 = 838;

/// A DATE, TIME, DATETIME or TIMESTAMP as the log holds it.
#[derive(Clone, Copy)]
pub struct TemporalRef<'a> {
    bytes: &'a [u8],
    kind: TemporalKind,
    format: TemporalFormat,
}

/// How the values of a temporal column are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::decode) struct TemporalFormat {
    pub(in crate::decode) packing: Packing,
    /// Digits behind the second.
    pub(in crate::decode) fraction: u8,
}

/// The temporal types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::decode) enum TemporalKind {
    Date,
    Time,
    DateTime,
    Timestamp,
}

/// How the parts are put into bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::decode) enum Packing {
    /// Since MySQL 5.6 and MariaDB 10.1.2.
    Modern,
    /// Before, without a fraction.
    Old,
    /// MariaDB's own, with a fraction.
    Hires,
}

impl<'a> TemporalRef<'a> {
    /// `bytes` must be as many as the type has.
    #[inline]
    pub(super) fn new(bytes: &'a [u8], kind: TemporalKind, format: TemporalFormat) -> TemporalRef<'a> {
        TemporalRef { bytes, kind, format }
    }

    /// Digits behind the second that the column has, 0 to 6.
    pub fn fraction(&self) -> u8 {
        self.format.fraction
    }

    /// The parts; of a TIMESTAMP those of the date and time in UTC, all zero for the zero date.
    ///
    /// # Errors
    /// `Corrupt`: bytes that stand for none.
    #[inline]
    pub fn parts(&self) -> Result<TemporalParts> {
        match (self.kind, self.format.packing) {
            (TemporalKind::DateTime, Packing::Modern) => datetime2(self.bytes, self.fraction()),
            (TemporalKind::Date, _) => date(self.bytes),
            (TemporalKind::Timestamp, _) => match self.unix()? {
                (0, 0) => Ok(TemporalParts { fraction: self.fraction(), ..TemporalParts::default() }),
                (seconds, micros) => Ok(TemporalParts::from_unix(seconds, micros, self.fraction())),
            },
            (TemporalKind::Time, Packing::Modern) => time2(self.bytes, self.fraction()),
            (TemporalKind::DateTime | TemporalKind::Time, _) => self.old_parts(),
        }
    }

    fn old_parts(&self) -> Result<TemporalParts> {
        let (cursor, fraction) = (&mut Cursor::new(self.bytes), self.fraction());
        match (self.kind, self.format.packing) {
            (TemporalKind::DateTime, Packing::Hires) => hires_datetime(cursor, fraction),
            (TemporalKind::DateTime, _) => old_datetime(cursor),
            (_, Packing::Hires) => hires_time(cursor, fraction),
            _ => old_time(cursor),
        }
    }

    /// A TIMESTAMP's seconds since 1970-01-01 00:00:00 UTC and microseconds; both 0 for the zero date.
    ///
    /// # Errors
    /// `Corrupt`: bytes that are none, or of another type.
    #[inline]
    pub fn unix(&self) -> Result<(u64, u32)> {
        match (self.kind, self.format.packing) {
            (TemporalKind::Timestamp, Packing::Modern) => timestamp2(self.bytes),
            (TemporalKind::Timestamp, Packing::Old) => old_timestamp(&mut Cursor::new(self.bytes)),
            (TemporalKind::Timestamp, Packing::Hires) => hires_timestamp(&mut Cursor::new(self.bytes), self.fraction()),
            _ => Err(wrong_bytes("TIMESTAMP")),
        }
    }

    pub(super) fn to_value(self) -> Result<Value> {
        Ok(match self.kind {
            TemporalKind::Date => Value::Date(self.parts()?),
            TemporalKind::Time => Value::Time(self.parts()?),
            TemporalKind::DateTime => Value::DateTime(self.parts()?),
            TemporalKind::Timestamp => {
                let (seconds, micros) = self.unix()?;
                Value::Timestamp { seconds, micros, fraction: self.fraction() }
            }
        })
    }
}

impl fmt::Debug for TemporalRef<'_> {
    /// The type only: row values stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({}), {:?}", self.kind, self.format.fraction, self.format.packing)
    }
}

/// YEAR: years since 1900, 0 for the zero year.
#[inline]
pub(super) fn year(bytes: &[u8]) -> u16 {
    match bytes.first().copied().unwrap_or_default() {
        0 => 0,
        since => u16::from(since).saturating_add(1900),
    }
}

/// DATE: day, month and year in 5, 4 and 15 bits.
#[inline]
pub(super) fn date(bytes: &[u8]) -> Result<TemporalParts> {
    let [low, middle, high] = bytes.first_chunk().copied().unwrap_or([u8::MAX; 3]);
    let number = u64::from(u32::from_le_bytes([low, middle, high, 0]));
    let parts = DateNumbers { year: number >> 9, month: (number >> 5) & 0xf, day: number & 0x1f };
    parts.check(TemporalParts::default()).ok_or_else(|| wrong_bytes("DATE"))
}

/// TIME since 5.6: a sign, 10 bits of hours, 6 of minutes, 6 of seconds and the fraction; negative numbers as the two's
/// complement of the whole.
pub(super) fn time2(bytes: &[u8], fraction: u8) -> Result<TemporalParts> {
    let width = bytes.len().saturating_sub(3);
    // The sign bit is inverted so that the bytes sort: the middle of the range is zero.
    let zero = 0x80_0000_i64.wrapping_shl(bit_count(width));
    let number = word(bytes).cast_signed().wrapping_sub(zero);
    let (seconds, part) = split(number.unsigned_abs(), width);
    let parts = TemporalParts { is_negative: number < 0, fraction, ..TemporalParts::default() };
    let read = if seconds >> 22 == 0 { time_of_day(seconds, MAX_TIME_HOUR, parts) } else { None };
    read.and_then(|parts| with_fraction(parts, part, width)).ok_or_else(|| wrong_bytes("TIME"))
}

/// DATETIME since 5.6: a sign that is never negative, 17 bits of year * 13 + month, 5 of day, 5, 6 and 6 of the time of
/// day, and the fraction.
#[inline]
pub(super) fn datetime2(bytes: &[u8], fraction: u8) -> Result<TemporalParts> {
    let width = bytes.len().saturating_sub(5);
    let (number, part) = split(word(bytes), width);
    let parts = TemporalParts { fraction, ..TemporalParts::default() };
    number
        .checked_sub(0x80_0000_0000)
        .and_then(|number| packed_datetime(number, parts))
        .and_then(|parts| with_fraction(parts, part, width))
        .ok_or_else(|| wrong_bytes("DATETIME"))
}

/// TIMESTAMP since 5.6: seconds since 1970 with the highest byte first, and the fraction.
#[inline]
pub(super) fn timestamp2(bytes: &[u8]) -> Result<(u64, u32)> {
    let width = bytes.len().saturating_sub(4);
    let (seconds, part) = split(word(bytes), width);
    let micros = micros(part, width).ok_or_else(|| wrong_bytes("TIMESTAMP"))?;
    Ok((seconds, micros))
}

/// A packed number without its last `width` bytes, and these: the fraction.
#[inline]
fn split(number: u64, width: usize) -> (u64, u64) {
    (number.checked_shr(bit_count(width)).unwrap_or(0), number & mask(width))
}

/// TIME of tables made before 5.6: the digits `hhmmss` as a signed number of three bytes.
pub(super) fn old_time(cursor: &mut Cursor<'_>) -> Result<TemporalParts> {
    let here = cursor.clone();
    let number = (cursor.uint_le(3)?.wrapping_shl(40).cast_signed()) >> 40;
    let parts = TemporalParts { is_negative: number < 0, ..TemporalParts::default() };
    let digits = number.unsigned_abs();
    clock(digits / 10_000, digits / 100 % 100, digits % 100, MAX_TIME_HOUR, parts).ok_or_else(|| wrong(&here, "TIME"))
}

/// DATETIME of tables made before 5.6: the digits `YYYYMMDDhhmmss`.
pub(super) fn old_datetime(cursor: &mut Cursor<'_>) -> Result<TemporalParts> {
    let here = cursor.clone();
    let digits = cursor.u64()?;
    let (date, time) = (digits / 1_000_000, digits % 1_000_000);
    let date = DateNumbers { year: date / 10_000, month: date / 100 % 100, day: date % 100 };
    date.check(TemporalParts::default())
        .and_then(|parts| clock(time / 10_000, time / 100 % 100, time % 100, 23, parts))
        .ok_or_else(|| wrong(&here, "DATETIME"))
}

/// TIMESTAMP of tables made before 5.6: seconds since 1970, little-endian.
pub(super) fn old_timestamp(cursor: &mut Cursor<'_>) -> Result<(u64, u32)> {
    Ok((u64::from(cursor.u32()?), 0))
}

/// TIME of MariaDB with `mysql56_temporal_format=OFF` and a fraction: the number of units since the smallest time, with
/// the highest byte first (MariaDB source, `sql/field.cc`, `Field_time_hires::store_TIME`).
pub(super) fn hires_time(cursor: &mut Cursor<'_>, fraction: u8) -> Result<TemporalParts> {
    /// 839 hours.
    const ZERO_SECONDS: u64 = 3_020_400;
    let here = cursor.clone();
    let width = cursor.remaining();
    let units = cursor.uint_be(width)?;
    let read = (|| {
        let per_second = 10_u64.checked_pow(fraction.into())?;
        let units = units.cast_signed().checked_sub(ZERO_SECONDS.checked_mul(per_second)?.cast_signed())?;
        let (seconds, micros) = seconds_and_micros(units.unsigned_abs(), fraction)?;
        let parts = TemporalParts { is_negative: units < 0, fraction, micros, ..TemporalParts::default() };
        clock(seconds / 3_600, seconds / 60 % 60, seconds % 60, MAX_TIME_HOUR, parts)
    })();
    read.ok_or_else(|| wrong(&here, "TIME"))
}

/// DATETIME of MariaDB with `mysql56_temporal_format=OFF` and a fraction: all parts as one number, with the highest
/// byte first (MariaDB source, `sql/field.cc`, `Field_datetime_hires::store_TIME`; `pack_time`).
pub(super) fn hires_datetime(cursor: &mut Cursor<'_>, fraction: u8) -> Result<TemporalParts> {
    let here = cursor.clone();
    let width = cursor.remaining();
    let units = cursor.uint_be(width)?;
    let read = (|| {
        let (seconds, micros) = seconds_and_micros(units, fraction)?;
        let (days, months) = (seconds / 86_400, seconds / 86_400 / 32);
        let date = DateNumbers { year: months / 13, month: months % 13, day: days % 32 };
        let parts = date.check(TemporalParts { fraction, micros, ..TemporalParts::default() })?;
        clock(seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60, 23, parts)
    })();
    read.ok_or_else(|| wrong(&here, "DATETIME"))
}

/// TIMESTAMP of MariaDB with `mysql56_temporal_format=OFF` and a fraction: seconds since 1970 and the fraction's units,
/// each with the highest byte first (MariaDB source, `sql/field.cc`, `Field_timestamp_hires::store_TIMEVAL`).
pub(super) fn hires_timestamp(cursor: &mut Cursor<'_>, fraction: u8) -> Result<(u64, u32)> {
    let here = cursor.clone();
    let seconds = cursor.uint_be(4)?;
    let width = cursor.remaining();
    let (more, micros) =
        seconds_and_micros(cursor.uint_be(width)?, fraction).ok_or_else(|| wrong(&here, "TIMESTAMP"))?;
    match more {
        0 => Ok((seconds, micros)),
        _ => Err(wrong(&here, "TIMESTAMP")),
    }
}

/// Units of so many digits behind the second, as whole seconds and microseconds.
fn seconds_and_micros(units: u64, fraction: u8) -> Option<(u64, u32)> {
    let per_second = 10_u64.checked_pow(fraction.into())?;
    let micros_per_unit = 1_000_000_u64.checked_div(per_second)?;
    let micros = units.checked_rem(per_second)?.checked_mul(micros_per_unit)?;
    Some((units.checked_div(per_second)?, u32::try_from(micros).ok()?))
}

/// The kinds of temporal values inside a JSON document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packed {
    Date,
    Time,
    DateTime,
}

/// A temporal value as JSON documents hold it: 40 bits as above and 24 bits of microseconds in one signed number.
pub(super) fn packed(cursor: &mut Cursor<'_>, kind: Packed) -> Result<TemporalParts> {
    let here = cursor.clone();
    let number = cursor.u64()?.cast_signed();
    let magnitude = number.unsigned_abs();
    let (whole, micros) = (magnitude >> 24, magnitude & 0xff_ffff);
    let parts = TemporalParts { is_negative: number < 0, fraction: 6, ..TemporalParts::default() };
    let read = match kind {
        Packed::Time if whole >> 22 == 0 => time_of_day(whole, MAX_TIME_HOUR, parts),
        Packed::DateTime if number >= 0 => packed_datetime(whole, parts),
        Packed::Date if number >= 0 => packed_datetime(whole, TemporalParts { fraction: 0, ..parts }).filter(|parts| {
            micros == 0 && TemporalParts { year: 0, month: 0, day: 0, ..*parts } == TemporalParts::default()
        }),
        _ => None,
    };
    read.and_then(|parts| with_fraction(parts, micros, 3)).ok_or_else(|| wrong(&here, "temporal value in JSON"))
}

#[cold]
fn wrong(here: &Cursor<'_>, what: &str) -> Error {
    here.mark(wrong_bytes(what))
}

#[cold]
fn wrong_bytes(what: &str) -> Error {
    corrupt(format!("expected a {what}, found bytes that are none"))
}

#[inline]
fn micros(part: u64, width: usize) -> Option<u32> {
    let unit = match width {
        0 => 0,
        1 => 10_000,
        2 => 100,
        _ => 1,
    };
    let micros = part.checked_mul(unit).filter(|micros| *micros < 1_000_000)?;
    u32::try_from(micros).ok()
}

#[inline]
fn with_fraction(parts: TemporalParts, part: u64, width: usize) -> Option<TemporalParts> {
    Some(TemporalParts { micros: micros(part, width)?, ..parts })
}

struct DateNumbers {
    year: u64,
    month: u64,
    day: u64,
}

impl DateNumbers {
    #[inline]
    fn check(self, parts: TemporalParts) -> Option<TemporalParts> {
        if self.year > 9_999 || self.month > 12 || self.day > 31 {
            return None;
        }
        Some(TemporalParts {
            year: u16::try_from(self.year).ok()?,
            month: u8::try_from(self.month).ok()?,
            day: u8::try_from(self.day).ok()?,
            ..parts
        })
    }
}

#[inline]
fn clock(hour: u64, minute: u64, second: u64, max_hour: u64, parts: TemporalParts) -> Option<TemporalParts> {
    if hour > max_hour || minute > 59 || second > 59 {
        return None;
    }
    Some(TemporalParts {
        hour: u16::try_from(hour).ok()?,
        minute: u8::try_from(minute).ok()?,
        second: u8::try_from(second).ok()?,
        ..parts
    })
}

/// Hours, 6 bits of minutes, 6 bits of seconds.
#[inline]
fn time_of_day(number: u64, max_hour: u64, parts: TemporalParts) -> Option<TemporalParts> {
    clock(number >> 12, (number >> 6) & 0x3f, number & 0x3f, max_hour, parts)
}

#[inline]
fn packed_datetime(number: u64, parts: TemporalParts) -> Option<TemporalParts> {
    let (date, time) = (number >> 17, number & 0x1_ffff);
    let months = date >> 5;
    let date = DateNumbers { year: months / 13, month: months % 13, day: date & 0x1f };
    time_of_day(time, 23, date.check(parts)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Writes a TIME as the server does (`TIME_to_longlong_time_packed`, `my_time_packed_to_binary`).
    fn write_time(is_negative: bool, seconds: (i64, i64, i64), micros: i64, fraction: u8) -> Vec<u8> {
        let (hour, minute, second) = seconds;
        let packed = (((hour << 12) | (minute << 6) | second) << 24) + micros;
        let packed = if is_negative { -packed } else { packed };
        let (whole, part) = (packed >> 24, packed % (1 << 24));
        let mut out = Vec::new();
        match fraction {
            0 => out.extend(&(0x80_0000 + whole).to_be_bytes()[5..]),
            1 | 2 => {
                out.extend(&(0x80_0000 + whole).to_be_bytes()[5..]);
                out.push((part / 10_000) as u8);
            }
            3 | 4 => {
                out.extend(&(0x80_0000 + whole).to_be_bytes()[5..]);
                out.extend(&((part / 100) as i16).to_be_bytes());
            }
            _ => out.extend(&(packed + 0x8000_0000_0000).to_be_bytes()[2..]),
        }
        out
    }

    fn rounded(micros: u32, fraction: u8) -> u32 {
        let unit = 10_u32.pow(6 - u32::from(fraction));
        micros / unit * unit
    }

    proptest! {
        #[test]
        fn times_of_every_fraction(
            is_negative: bool, hour in 0..=838_i64, minute in 0..60_i64, second in 0..60_i64,
            micros in prop_oneof![Just(0), Just(999_999), 0..1_000_000_u32], fraction in 0..=6_u8,
        ) {
            let micros = rounded(micros, fraction);
            let is_negative = is_negative && (hour, minute, second, micros) != (0, 0, 0, 0);
            let bytes = write_time(is_negative, (hour, minute, second), micros.into(), fraction);
            let read = time2(&bytes, fraction).unwrap();
            prop_assert_eq!(
                (read.is_negative, i64::from(read.hour), i64::from(read.minute), i64::from(read.second), read.micros),
                (is_negative, hour, minute, second, micros)
            );
            prop_assert_eq!(read.fraction, fraction);
        }

        #[test]
        fn datetimes_of_every_fraction(
            year in 0..=9_999_u64, month in 0..=12_u64, day in 0..=31_u64,
            hour in 0..24_u64, minute in 0..60_u64, second in 0..60_u64,
            micros in 0..1_000_000_u32, fraction in 0..=6_u8,
        ) {
            let micros = rounded(micros, fraction);
            let number = (((year * 13 + month) << 5 | day) << 17 | hour << 12 | minute << 6 | second) + 0x80_0000_0000;
            let mut out = number.to_be_bytes()[3..].to_vec();
            match fraction {
                0 => {}
                1 | 2 => out.push((micros / 10_000) as u8),
                3 | 4 => out.extend(((micros / 100) as u16).to_be_bytes()),
                _ => out.extend(&micros.to_be_bytes()[1..]),
            }
            let bytes = out;
            let text = datetime2(&bytes, fraction).unwrap().date_time().to_string();
            let mut expected = format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}");
            if fraction > 0 {
                expected += &format!(".{micros:06}")[..=usize::from(fraction)];
            }
            prop_assert_eq!(text, expected);

            let digits = (year * 10_000 + month * 100 + day) * 1_000_000;
            let old = (digits + hour * 10_000 + minute * 100 + second).to_le_bytes();
            let text = old_datetime(&mut Cursor::new(&old)).unwrap().date_time().to_string();
            prop_assert_eq!(&text, &format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"));

            let bytes = Vec::from(&(year << 9 | month << 5 | day).to_le_bytes()[..3]);
            let text_of_date = date(&bytes).unwrap().date().to_string();
            prop_assert_eq!(&text_of_date, &text[..10]);
        }

        #[test]
        fn old_times(is_negative: bool, hour in 0..=838_i32, minute in 0..60_i32, second in 0..60_i32) {
            let number = hour * 10_000 + minute * 100 + second;
            let number = if is_negative { -number } else { number };
            let bytes = Vec::from(&number.to_le_bytes()[..3]);
            let read = old_time(&mut Cursor::new(&bytes)).unwrap();
            prop_assert_eq!(
                (i32::from(read.hour), i32::from(read.minute), i32::from(read.second), read.is_negative),
                (hour, minute, second, number < 0)
            );
        }

        #[test]
        fn any_bytes_never_panic(bytes: Vec<u8>, fraction: u8) {
            let cursor = Cursor::new(&bytes);
            let _ = time2(&bytes, fraction % 8);
            let _ = datetime2(&bytes, fraction % 8);
            let _ = timestamp2(&bytes);
            let _ = hires_time(&mut cursor.clone(), fraction % 8);
            let _ = hires_datetime(&mut cursor.clone(), fraction % 8);
            let _ = hires_timestamp(&mut cursor.clone(), fraction % 8);
            let _ = old_time(&mut cursor.clone());
            let _ = old_datetime(&mut cursor.clone());
            let _ = date(&bytes);
            for kind in [Packed::Date, Packed::Time, Packed::DateTime] {
                let _ = packed(&mut cursor.clone(), kind);
            }
        }
    }

    #[test]
    fn timestamps_are_in_utc_and_zero_is_the_zero_date() {
        let text = |seconds: u32, part: &[u8], fraction| {
            let bytes = [&seconds.to_be_bytes(), part].concat();
            let format = TemporalFormat { packing: Packing::Modern, fraction };
            TemporalRef::new(&bytes, TemporalKind::Timestamp, format).parts().unwrap().date_time().to_string()
        };
        assert_eq!(text(0, &[0, 0], 3), "0000-00-00 00:00:00.000");
        assert_eq!(text(0, &[10], 1), "1970-01-01 00:00:00.1");
        assert_eq!(text(u32::MAX, &[], 0), "2106-02-07 06:28:15");
    }

    #[test]
    fn years() {
        let read = |byte| year(&[byte]);
        assert_eq!([0, 1, 255].map(read), [0, 1901, 2155]);
    }
}
