//! DECIMAL (MySQL source, `strings/decimal.cc`, `decimal2bin`): groups of nine digits in four bytes, the groups at both
//! outer ends in fewer; big-endian; the first bit inverted, and every bit of a negative number.

use std::fmt;

use crate::decode::fault::corrupt;
use crate::error::Result;

const DIGITS_PER_GROUP: u8 = 9;
/// Columns have at most 65 digits; inside of JSON the server counts a result's digits in whole groups, of which it holds
/// nine.
const MAX_PRECISION: u8 = 81;
/// Sign, a zero in front of the point, the point, all digits.
const MAX_TEXT: usize = 84;

/// Bytes of a group of so many digits, and one more than the largest number that they can write.
fn group(digits: u8) -> (u8, u32) {
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

/// Bytes of a DECIMAL of `precision` digits, `scale` of them behind the point; `None` where there is no such type.
pub(in crate::decode) fn byte_count(precision: u8, scale: u8) -> Option<u8> {
    let integer = precision.checked_sub(scale).filter(|_| (1..=MAX_PRECISION).contains(&precision))?;
    let bytes = |digits: u8| {
        let whole = (digits / DIGITS_PER_GROUP).saturating_mul(4);
        whole.saturating_add(group(digits % DIGITS_PER_GROUP).0)
    };
    Some(bytes(integer).saturating_add(bytes(scale)))
}

/// A DECIMAL as the log holds it.
#[derive(Clone, Copy)]
pub struct DecimalRef<'a> {
    bytes: &'a [u8],
    precision: u8,
    scale: u8,
}

/// A DECIMAL's text, without an allocation.
#[derive(Clone, Copy)]
pub struct DecimalText {
    bytes: [u8; MAX_TEXT],
    length: usize,
}

impl<'a> DecimalRef<'a> {
    /// `bytes` must be as many as [`byte_count`] says.
    pub(in crate::decode) fn new(bytes: &'a [u8], precision: u8, scale: u8) -> Result<DecimalRef<'a>> {
        let expected = byte_count(precision, scale)
            .ok_or_else(|| corrupt(format!("expected a DECIMAL type, found DECIMAL({precision},{scale})")))?;
        if bytes.len() != usize::from(expected) {
            return Err(corrupt(format!("expected {expected} bytes of a DECIMAL, found {}", bytes.len())));
        }
        Ok(DecimalRef { bytes, precision, scale })
    }

    /// Digits in all, and digits behind the point.
    pub fn precision_and_scale(&self) -> (u8, u8) {
        (self.precision, self.scale)
    }

    /// The text as the server prints it: all digits of the scale, a `0` where there is no integer part.
    ///
    /// # Errors
    /// `Corrupt` where bytes stand for no digits.
    pub fn text(&self) -> Result<DecimalText> {
        let is_negative = self.bytes.first().is_some_and(|first| first & 0x80 == 0);
        let mut groups = Groups { rest: self.bytes, flip: if is_negative { 0xff } else { 0 }, is_first: true };
        let mut text = DecimalText { bytes: [0; MAX_TEXT], length: 0 };
        let mut is_zero = true;
        if is_negative {
            text.push(b'-');
        }
        let integer_digits = self.precision.saturating_sub(self.scale);
        let mut has_started = false;
        for digits in front_groups(integer_digits) {
            let number = groups.next(digits)?;
            is_zero &= number == 0;
            if has_started {
                text.push_digits(number, digits);
            } else if number != 0 {
                text.push_digits(number, decimal_digits(number));
                has_started = true;
            }
        }
        if !has_started {
            text.push(b'0');
        }
        if self.scale > 0 {
            text.push(b'.');
            for digits in back_groups(self.scale) {
                let number = groups.next(digits)?;
                is_zero &= number == 0;
                text.push_digits(number, digits);
            }
        }
        if is_negative && is_zero {
            // The server has no negative zero.
            text.bytes.copy_within(1.., 0);
            text.length = text.length.saturating_sub(1);
        }
        Ok(text)
    }
}

impl fmt::Debug for DecimalRef<'_> {
    /// The type only: row values stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DECIMAL({},{})", self.precision, self.scale)
    }
}

impl DecimalText {
    /// The text.
    pub fn as_str(&self) -> &str {
        // Digits, point and sign only.
        self.bytes.get(..self.length).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }

    #[inline]
    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
            self.length = self.length.saturating_add(1);
        }
    }

    #[inline]
    fn push_digits(&mut self, mut number: u32, digits: u8) {
        let end = self.length.saturating_add(usize::from(digits));
        for place in self.bytes.get_mut(self.length..end).into_iter().flatten().rev() {
            *place = b'0' | (number % 10).to_le_bytes()[0];
            number /= 10;
        }
        self.length = end;
    }
}

impl fmt::Debug for DecimalText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DecimalText({} bytes)", self.length)
    }
}

fn decimal_digits(number: u32) -> u8 {
    number.checked_ilog10().and_then(|log| u8::try_from(log).ok()).unwrap_or(0).saturating_add(1)
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

struct Groups<'a> {
    rest: &'a [u8],
    /// What every byte is inverted with: 0 or 0xff.
    flip: u8,
    is_first: bool,
}

impl Groups<'_> {
    #[inline]
    fn next(&mut self, digits: u8) -> Result<u32> {
        let (width, bound) = group(digits);
        let (bytes, rest) = self.rest.split_at_checked(usize::from(width)).unwrap_or_default();
        self.rest = rest;
        let mut flip = self.flip ^ if std::mem::take(&mut self.is_first) { 0x80 } else { 0 };
        let mut number = 0_u32;
        for byte in bytes {
            number = (number << 8) | u32::from(byte ^ flip);
            flip = self.flip;
        }
        if number >= bound {
            return Err(corrupt(format!("expected {digits} digits of a DECIMAL, found a larger number")));
        }
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8], precision: u8, scale: u8) -> Result<String> {
        DecimalRef::new(bytes, precision, scale)?.text().map(|text| text.as_str().to_owned())
    }

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
        out.extend(&number.to_be_bytes()[4 - usize::from(group(digits.len() as u8).0)..]);
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
        let read = |bytes: &[u8]| read(bytes, 14, 4).unwrap();
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
                        let read = read(&write(is_negative, &integer, &fraction), precision, scale).unwrap();
                        assert_eq!(read, text(is_negative, &integer, &fraction));
                    }
                }
            }
        }
        for (precision, scale) in [(0, 0), (82, 0), (3, 4), (9, 0)] {
            assert!(read(&[], precision, scale).is_err());
        }
        assert!(read(&[0xff; 4], 9, 0).is_err());
    }

    proptest! {
        #[test]
        fn any_digits(
            integer in prop::collection::vec(0..10_u8, 0..=35),
            fraction in prop::collection::vec(0..10_u8, 0..=30),
            is_negative: bool,
        ) {
            prop_assume!(integer.len() + fraction.len() > 0);
            let precision = (integer.len() + fraction.len()) as u8;
            let read = read(&write(is_negative, &integer, &fraction), precision, fraction.len() as u8).unwrap();
            prop_assert_eq!(read, text(is_negative, &integer, &fraction));
        }
    }
}
