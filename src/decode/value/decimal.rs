//! DECIMAL (MySQL source, `strings/decimal.cc`, `decimal2bin`): groups of nine digits in four bytes, the groups at both
//! outer ends in fewer; big-endian; the first bit inverted, and every bit of a negative number.

use std::fmt::Write;

use crate::decode::cursor::Cursor;
use crate::decode::fault::corrupt;
use crate::error::Result;

const DIGITS_PER_GROUP: u8 = 9;
/// Columns have at most 65 digits; inside of JSON the server counts a result's digits in whole groups, of which it holds
/// nine.
const MAX_PRECISION: u8 = 81;

/// Bytes of a group of so many digits, and one more than the largest number that they can write.
fn group(digits: u8) -> (usize, u64) {
    match digits {
        0 => (0, 1),
        1 => (1, 10),
        2 => (1, 100),
        3 => (2, 1_000),
        4 => (2, 10_000),
        5 => (3, 100_000),
        6 => (3, 1_000_000),
        7 => (4, 10_000_000),
        8 => (4, 100_000_000),
        _ => (4, 1_000_000_000),
    }
}

/// A DECIMAL of `precision` digits, `scale` of them behind the point, as the server prints it.
pub(super) fn read(cursor: &mut Cursor<'_>, precision: u8, scale: u8) -> Result<String> {
    let integer_digits = match precision.checked_sub(scale) {
        Some(digits) if (1..=MAX_PRECISION).contains(&precision) => digits,
        _ => return Err(corrupt(format!("expected a DECIMAL type, found DECIMAL({precision},{scale})"))),
    };
    let mut groups = Groups { cursor, mask: None };
    let mut text = String::with_capacity(usize::from(precision).saturating_add(3));
    let mut started = false;
    let mut is_zero = true;
    for digits in front_groups(integer_digits) {
        let number = groups.next(digits)?;
        is_zero &= number == 0;
        if started {
            push_digits(&mut text, number, usize::from(digits));
        } else if number != 0 {
            push_digits(&mut text, number, 1);
            started = true;
        }
    }
    if !started {
        text.push('0');
    }
    if scale > 0 {
        text.push('.');
        for digits in back_groups(scale) {
            let number = groups.next(digits)?;
            is_zero &= number == 0;
            push_digits(&mut text, number, usize::from(digits));
        }
    }
    if groups.is_negative() && !is_zero {
        text.insert(0, '-');
    }
    Ok(text)
}

fn push_digits(text: &mut String, number: u64, width: usize) {
    // Writing into a String cannot fail.
    let _ = write!(text, "{number:0width$}");
}

/// The sizes of the groups in front of the point: the odd one first.
fn front_groups(digits: u8) -> impl Iterator<Item = u8> {
    let odd = digits % DIGITS_PER_GROUP;
    (odd > 0).then_some(odd).into_iter().chain((0..digits / DIGITS_PER_GROUP).map(|_| DIGITS_PER_GROUP))
}

/// The sizes of the groups behind the point: the odd one last.
fn back_groups(digits: u8) -> impl Iterator<Item = u8> {
    let odd = digits % DIGITS_PER_GROUP;
    (0..digits / DIGITS_PER_GROUP).map(|_| DIGITS_PER_GROUP).chain((odd > 0).then_some(odd))
}

struct Groups<'c, 'a> {
    cursor: &'c mut Cursor<'a>,
    /// What every byte is inverted with, known after the first: 0 or 0xff.
    mask: Option<u8>,
}

impl Groups<'_, '_> {
    fn is_negative(&self) -> bool {
        self.mask == Some(0xff)
    }

    fn next(&mut self, digits: u8) -> Result<u64> {
        let (width, bound) = group(digits);
        let here = self.cursor.clone();
        let mut number = 0_u64;
        for byte in self.cursor.take(width)? {
            let byte = match self.mask {
                Some(mask) => byte ^ mask,
                None => {
                    let mask = if byte & 0x80 == 0 { 0xff } else { 0 };
                    self.mask = Some(mask);
                    byte ^ 0x80 ^ mask
                }
            };
            number = (number << 8) | u64::from(byte);
        }
        if number >= bound {
            return Err(here.corrupt(format!("expected {digits} digits of a DECIMAL, found a larger number")));
        }
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    /// Writes as `decimal2bin` does.
    fn write(is_negative: bool, integer: &[u8], fraction: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut at = 0;
        for digits in front_groups(integer.len() as u8) {
            put(&mut out, &integer[at..at + digits as usize]);
            at += digits as usize;
        }
        at = 0;
        for digits in back_groups(fraction.len() as u8) {
            put(&mut out, &fraction[at..at + digits as usize]);
            at += digits as usize;
        }
        if is_negative {
            out.iter_mut().for_each(|byte| *byte = !*byte);
        }
        out[0] ^= 0x80;
        out
    }

    fn put(out: &mut Vec<u8>, digits: &[u8]) {
        let number = digits.iter().fold(0_u32, |number, digit| number * 10 + u32::from(*digit));
        out.extend(&number.to_be_bytes()[4 - group(digits.len() as u8).0..]);
    }

    fn text(is_negative: bool, integer: &[u8], fraction: &[u8]) -> String {
        let digits = |part: &[u8]| part.iter().map(|digit| char::from(b'0' + digit)).collect::<String>();
        let whole = digits(integer);
        let whole = whole.trim_start_matches('0');
        let is_zero = integer.iter().chain(fraction).all(|digit| *digit == 0);
        let sign = if is_negative && !is_zero { "-" } else { "" };
        let whole = if whole.is_empty() { "0" } else { whole };
        if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{}", digits(fraction)) }
    }

    #[test]
    fn the_manuals_example() {
        // MySQL source, comment of `decimal2bin`: 1234567890.1234 and its negative as DECIMAL(14,4).
        let read = |bytes: &'static [u8]| read(&mut Cursor::new(&Bytes::from_static(bytes)), 14, 4).unwrap();
        assert_eq!(read(&[0x81, 0x0d, 0xfb, 0x38, 0xd2, 0x04, 0xd2]), "1234567890.1234");
        assert_eq!(read(&[0x7e, 0xf2, 0x04, 0xc7, 0x2d, 0xfb, 0x2d]), "-1234567890.1234");
    }

    #[test]
    fn every_precision_and_scale() {
        for precision in 1..=81_u8 {
            for scale in 0..=precision {
                for fill in [0, 1, 9] {
                    let integer = vec![fill; usize::from(precision - scale)];
                    let fraction = vec![fill; usize::from(scale)];
                    for is_negative in [false, true] {
                        let bytes = Bytes::from(write(is_negative, &integer, &fraction));
                        let mut cursor = Cursor::new(&bytes);
                        let read = read(&mut cursor, precision, scale).unwrap();
                        assert_eq!(read, text(is_negative, &integer, &fraction));
                        assert!(cursor.is_empty());
                    }
                }
            }
        }
        let none = Bytes::new();
        for (precision, scale) in [(0, 0), (82, 0), (3, 4)] {
            assert!(read(&mut Cursor::new(&none), precision, scale).is_err());
        }
    }

    proptest! {
        #[test]
        fn any_digits(
            integer in prop::collection::vec(0..10_u8, 0..=35),
            fraction in prop::collection::vec(0..10_u8, 0..=30),
            is_negative: bool,
        ) {
            prop_assume!(integer.len() + fraction.len() > 0);
            let bytes = Bytes::from(write(is_negative, &integer, &fraction));
            let precision = (integer.len() + fraction.len()) as u8;
            let read = read(&mut Cursor::new(&bytes), precision, fraction.len() as u8).unwrap();
            prop_assert_eq!(read, text(is_negative, &integer, &fraction));
        }
    }
}
