//! Dates and times as text, in the forms of the contract.

use crate::model::TemporalParts;

/// `YYYY-MM-DD`.
pub(super) fn date(out: &mut Vec<u8>, parts: &TemporalParts) {
    digits(out, parts.year.into(), 4);
    out.push(b'-');
    digits(out, parts.month.into(), 2);
    out.push(b'-');
    digits(out, parts.day.into(), 2);
}

/// `[-]hhh:mm:ss[.ffffff]`, with two digits of hours at least.
pub(super) fn time(out: &mut Vec<u8>, parts: &TemporalParts) {
    if parts.is_negative {
        out.push(b'-');
    }
    digits(out, parts.hour.into(), 2);
    out.push(b':');
    digits(out, parts.minute.into(), 2);
    out.push(b':');
    digits(out, parts.second.into(), 2);
    if parts.fraction > 0 {
        out.push(b'.');
        let start = out.len();
        digits(out, parts.micros, 6);
        out.truncate(start + usize::from(parts.fraction.min(6)));
    }
}

/// `YYYY-MM-DD hh:mm:ss[.ffffff]`, or with another mark between the two.
pub(super) fn date_time(out: &mut Vec<u8>, parts: &TemporalParts, between: u8) {
    date(out, parts);
    out.push(between);
    time(out, parts);
}

/// Appends a moment as RFC 3339 has it, in UTC with microseconds; `micros` since 1970.
pub fn moment(out: &mut Vec<u8>, micros: u64) {
    // The remainder is below a million.
    let parts = TemporalParts::from_unix(micros / 1_000_000, (micros % 1_000_000) as u32, 6);
    date_time(out, &parts, b'T');
    out.push(b'Z');
}

/// A number with at least so many digits.
fn digits(out: &mut Vec<u8>, mut number: u32, width: usize) {
    let mut text = [b'0'; 10];
    let mut start = text.len();
    while number > 0 || text.len() - start < width {
        start -= 1;
        text[start] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    out.extend_from_slice(&text[start..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn moments() {
        assert_eq!(text(|out| moment(out, 1_709_208_245_000_120)), "2024-02-29T12:04:05.000120Z");
    }

    #[test]
    fn times_as_the_server_prints_them() {
        let parts = TemporalParts { is_negative: true, hour: 838, minute: 1, second: 2, ..TemporalParts::default() };
        assert_eq!(text(|out| time(out, &parts)), "-838:01:02");
        let parts = TemporalParts { hour: 1, micros: 450_000, fraction: 2, ..TemporalParts::default() };
        assert_eq!(text(|out| time(out, &parts)), "01:00:00.45");
    }
}
