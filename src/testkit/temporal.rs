//! DATE, TIME, DATETIME and TIMESTAMP, in the packing of 5.6 and in the one before it (MySQL source, `mysys/my_time.cc`,
//! `my_time_packed_to_binary`, `my_datetime_packed_to_binary`, `my_timestamp_to_binary`).

use super::encode;
use crate::model::TemporalParts;

/// DATE: day, month and year in 5, 4 and 15 bits.
pub(super) fn date(parts: &TemporalParts, out: &mut Vec<u8>) {
    encode::le(out, u64::from(parts.year) << 9 | u64::from(parts.month) << 5 | u64::from(parts.day), 3);
}

/// TIME: a sign, hours, 6 bits of minutes, 6 of seconds, and the fraction. A negative one is the complement of whole and
/// fraction together, so a fraction borrows from the whole.
pub(super) fn time(parts: &TemporalParts, fsp: u8, out: &mut Vec<u8>) {
    let packed = (time_of_day(parts) << 24) as i64 + i64::from(check_micros(parts.micros, fsp));
    let packed = if parts.is_negative { -packed } else { packed };
    let (whole, fraction) = (packed >> 24, packed % (1 << 24));
    match fsp {
        5 | 6 => encode::be(out, (packed + 0x8000_0000_0000).cast_unsigned(), 6),
        _ => {
            encode::be(out, (whole + 0x80_0000).cast_unsigned(), 3);
            match fsp {
                0 => {}
                1 | 2 => encode::be(out, (fraction / 10_000).cast_unsigned(), 1),
                _ => encode::be(out, (fraction / 100).cast_unsigned(), 2),
            }
        }
    }
}

/// DATETIME: a sign that is never negative, 17 bits of year * 13 + month, 5 of day, 5, 6 and 6 of the time of day, and the
/// fraction.
pub(super) fn date_time(parts: &TemporalParts, fsp: u8, out: &mut Vec<u8>) {
    let month = u64::from(parts.year) * 13 + u64::from(parts.month);
    let date = month << 5 | u64::from(parts.day);
    encode::be(out, (date << 17 | time_of_day(parts)) + 0x80_0000_0000, 5);
    fraction(parts.micros, fsp, out);
}

/// TIMESTAMP: seconds since 1970, and the fraction.
pub(super) fn timestamp(seconds: u32, micros: u32, fsp: u8, out: &mut Vec<u8>) {
    out.extend(seconds.to_be_bytes());
    fraction(micros, fsp, out);
}

/// TIME of tables made before 5.6: the digits `hhmmss` as a signed number of three bytes.
pub(super) fn old_time(parts: &TemporalParts, out: &mut Vec<u8>) {
    let digits = digits_of_time(parts) as i64;
    encode::le(out, if parts.is_negative { -digits } else { digits }.cast_unsigned(), 3);
}

/// DATETIME of tables made before 5.6: the digits `YYYYMMDDhhmmss`.
pub(super) fn old_date_time(parts: &TemporalParts, out: &mut Vec<u8>) {
    let date = u64::from(parts.year) * 10_000 + u64::from(parts.month) * 100 + u64::from(parts.day);
    encode::le(out, date * 1_000_000 + digits_of_time(parts), 8);
}

fn digits_of_time(parts: &TemporalParts) -> u64 {
    u64::from(parts.hour) * 10_000 + u64::from(parts.minute) * 100 + u64::from(parts.second)
}

fn time_of_day(parts: &TemporalParts) -> u64 {
    u64::from(parts.hour) << 12 | u64::from(parts.minute) << 6 | u64::from(parts.second)
}

fn fraction(micros: u32, fsp: u8, out: &mut Vec<u8>) {
    let micros = u64::from(check_micros(micros, fsp));
    match fsp {
        0 => {}
        1 | 2 => encode::be(out, micros / 10_000, 1),
        3 | 4 => encode::be(out, micros / 100, 2),
        _ => encode::be(out, micros, 3),
    }
}

/// A server rounds to the column's digits before it stores.
fn check_micros(micros: u32, fsp: u8) -> u32 {
    assert!(
        micros < 1_000_000 && micros.is_multiple_of(10_u32.pow(6 - u32::from(fsp))),
        "the cell has more digits of a fraction than the column's {fsp}"
    );
    micros
}
