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
const MAX_TEXT: usize = 85;

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
    format: DecimalFormat,
}

/// A column's precision and scale in the bytes of a word, which is moved as a whole (see
/// [`ValueRef`](super::ValueRef)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::decode) struct DecimalFormat(u64);

impl DecimalFormat {
    pub(in crate::decode) fn new(precision: u8, scale: u8) -> DecimalFormat {
        DecimalFormat(u64::from_le_bytes([precision, scale, 0, 0, 0, 0, 0, 0]))
    }

    fn precision_and_scale(self) -> (u8, u8) {
        let [precision, scale, ..] = self.0.to_le_bytes();
        (precision, scale)
    }
}

/// Room for a DECIMAL's text; keep one for all.
#[derive(Clone, Copy)]
pub struct DecimalBuffer([u8; MAX_TEXT]);

impl<'a> DecimalRef<'a> {
    /// `bytes` must be as many as [`byte_count`] says.
    #[inline]
    pub(super) fn new(bytes: &'a [u8], format: DecimalFormat) -> DecimalRef<'a> {
        DecimalRef { bytes, format }
    }

    /// Of bytes that nobody counted.
    pub(in crate::decode) fn checked(bytes: &'a [u8], precision: u8, scale: u8) -> Result<DecimalRef<'a>> {
        let expected = byte_count(precision, scale)
            .ok_or_else(|| corrupt(format!("expected a DECIMAL type, found DECIMAL({precision},{scale})")))?;
        if bytes.len() != usize::from(expected) {
            return Err(corrupt(format!("expected {expected} bytes of a DECIMAL, found {}", bytes.len())));
        }
        Ok(DecimalRef::new(bytes, DecimalFormat::new(precision, scale)))
    }

    /// Digits in all, and digits behind the point.
    pub fn precision_and_scale(&self) -> (u8, u8) {
        self.format.precision_and_scale()
    }

    /// The text as the server prints it: all digits of the scale, a `0` where there is no integer part.
    ///
    /// # Errors
    /// `Corrupt` where bytes stand for no digits.
    pub fn text<'b>(&self, buffer: &'b mut DecimalBuffer) -> Result<&'b str> {
        // ASCII, so never an error.
        self.ascii(buffer).map(|bytes| std::str::from_utf8(bytes).unwrap_or_default())
    }

    /// As [`DecimalRef::text`], as bytes.
    ///
    /// # Errors
    /// As [`DecimalRef::text`].
    pub fn ascii<'b>(&self, buffer: &'b mut DecimalBuffer) -> Result<&'b [u8]> {
        let is_negative = self.bytes.first().is_some_and(|first| first & 0x80 == 0);
        let mut groups = Groups { rest: self.bytes, flip: if is_negative { 0xff } else { 0 }, is_first: true };
        // Leading zeros are cut off afterwards; in front is room for a sign and for a zero that the log does not hold.
        let mut text = Writer { bytes: &mut buffer.0, end: FRONT, is_zero: true };
        let (precision, scale) = self.precision_and_scale();
        let integer = precision.saturating_sub(scale);
        if !integer.is_multiple_of(DIGITS_PER_GROUP) {
            text.push(groups.next(integer % DIGITS_PER_GROUP)?, integer % DIGITS_PER_GROUP);
        }
        for _ in 0..integer / DIGITS_PER_GROUP {
            text.push(groups.next(DIGITS_PER_GROUP)?, DIGITS_PER_GROUP);
        }
        let point = text.end;
        if scale > 0 {
            text.put(point, b'.');
            text.end = point.saturating_add(1);
            for _ in 0..scale / DIGITS_PER_GROUP {
                text.push(groups.next(DIGITS_PER_GROUP)?, DIGITS_PER_GROUP);
            }
            if !scale.is_multiple_of(DIGITS_PER_GROUP) {
                text.push(groups.next(scale % DIGITS_PER_GROUP)?, scale % DIGITS_PER_GROUP);
            }
        }
        let mut start = text.first_digit(point);
        text.put(start, if start < FRONT { b'0' } else { text.at(start) });
        // The server has no negative zero.
        if is_negative && !text.is_zero {
            start = start.saturating_sub(1);
            text.put(start, b'-');
        }
        let end = text.end;
        Ok(buffer.0.get(start..end).unwrap_or_default())
    }
}

/// The digits of the numbers below 100.
const PAIRS: [u8; 200] = *b"\
    0001020304050607080910111213141516171819\
    2021222324252627282930313233343536373839\
    4041424344454647484950515253545556575859\
    6061626364656667686970717273747576777879\
    8081828384858687888990919293949596979899\
";

/// Where digits start in a buffer.
const FRONT: usize = 2;

struct Writer<'b> {
    bytes: &'b mut [u8; MAX_TEXT],
    end: usize,
    is_zero: bool,
}

impl Writer<'_> {
    #[inline]
    fn put(&mut self, at: usize, byte: u8) {
        if let Some(place) = self.bytes.get_mut(at) {
            *place = byte;
        }
    }

    #[inline]
    fn at(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or_default()
    }

    /// Adds a number with all its leading zeros.
    #[inline]
    fn push(&mut self, mut number: u32, digits: u8) {
        self.is_zero &= number == 0;
        let end = self.end.saturating_add(usize::from(digits));
        let places = self.bytes.get_mut(self.end..end).unwrap_or_default();
        let (odd, pairs) = places.split_at_mut_checked(places.len() % 2).unwrap_or_default();
        for pair in pairs.as_chunks_mut::<2>().0.iter_mut().rev() {
            let digits = usize::try_from(number % 100).ok().and_then(|number| PAIRS.as_chunks::<2>().0.get(number));
            *pair = digits.copied().unwrap_or_default();
            number /= 100;
        }
        if let [place] = odd {
            *place = b'0' | (number % 10).to_le_bytes()[0];
        }
        self.end = end;
    }

    /// Where the integer part starts that ends at `point`, without leading zeros; one digit is always there.
    #[inline]
    fn first_digit(&self, point: usize) -> usize {
        let integer = self.bytes.get(FRONT..point).unwrap_or_default();
        let zeros = integer.iter().take_while(|digit| **digit == b'0').count();
        FRONT.saturating_add(zeros).min(point.saturating_sub(1))
    }
}

impl fmt::Debug for DecimalRef<'_> {
    /// The type only: row values stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (precision, scale) = self.precision_and_scale();
        write!(f, "DECIMAL({precision},{scale})")
    }
}

impl Default for DecimalBuffer {
    fn default() -> DecimalBuffer {
        DecimalBuffer([0; MAX_TEXT])
    }
}

impl fmt::Debug for DecimalBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DecimalBuffer")
    }
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
        // The first bit of all is inverted; it is the highest of its group.
        let first = if std::mem::take(&mut self.is_first) { 0x80 } else { 0 };
        let number = match (bytes, self.flip) {
            ([a], flip) => u32::from(a ^ flip ^ first),
            ([a, b], flip) => u32::from_be_bytes([0, 0, a ^ flip ^ first, b ^ flip]),
            ([a, b, c], flip) => u32::from_be_bytes([0, a ^ flip ^ first, b ^ flip, c ^ flip]),
            ([a, b, c, d], flip) => u32::from_be_bytes([a ^ flip ^ first, b ^ flip, c ^ flip, d ^ flip]),
            _ => 0,
        };
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

    /// The sizes of the groups in front of the point: the odd one first.
    fn front_groups(digits: u8) -> impl Iterator<Item = u8> {
        let odd = digits % 9;
        (odd > 0).then_some(odd).into_iter().chain((0..digits / 9).map(|_| 9))
    }

    /// The sizes of the groups behind the point: the odd one last.
    fn back_groups(digits: u8) -> impl Iterator<Item = u8> {
        let odd = digits % 9;
        (0..digits / 9).map(|_| 9).chain((odd > 0).then_some(odd))
    }

    fn read(bytes: &[u8], precision: u8, scale: u8) -> Result<String> {
        DecimalRef::checked(bytes, precision, scale)?.text(&mut DecimalBuffer::default()).map(str::to_owned)
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
