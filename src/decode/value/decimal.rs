//! DECIMAL (MySQL source, `strings/decimal.cc`, `decimal2bin`): groups of nine digits in four bytes, the groups at both
//! outer ends in fewer; big-endian; the first bit inverted, and every bit of a negative number.

use std::fmt;

use super::word::{bit_count, mask, word};
use crate::decode::fault::corrupt;
use crate::error::{Error, Result};

const DIGITS_PER_GROUP: u8 = 9;
/// Two groups: on either side of the point so many digits take at most eight bytes.
const DIGITS_PER_WORD: u8 = 18;
/// Columns have at most 65 digits; inside of JSON the server counts a result's digits in whole groups, of which it holds
/// nine.
const MAX_PRECISION: u8 = 81;
/// Sign, a zero in front of the point, the point, all digits.
const MAX_TEXT: usize = 85;
/// All digits in whole groups, and one more where the point divides a group.
const MAX_GROUPS: usize = 10;

/// Bytes of a group of so many digits.
#[inline]
fn group(digits: u8) -> u8 {
    match digits {
        0 => 0,
        1 | 2 => 1,
        3 | 4 => 2,
        5 | 6 => 3,
        _ => 4,
    }
}

/// Bytes of so many digits on one side of the point.
fn side(digits: u8) -> u8 {
    (digits / DIGITS_PER_GROUP).saturating_mul(4).saturating_add(group(digits % DIGITS_PER_GROUP))
}

/// A DECIMAL as the log holds it.
#[derive(Clone, Copy)]
pub struct DecimalRef<'a> {
    bytes: &'a [u8],
    format: DecimalFormat,
}

/// A column's precision and scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::decode) struct DecimalFormat {
    precision: u8,
    scale: u8,
    /// Bytes in front of the point.
    integer_bytes: u8,
}

impl DecimalFormat {
    /// `precision` digits, `scale` of them behind the point; `None` where there is no such type.
    pub(in crate::decode) fn new(precision: u8, scale: u8) -> Option<DecimalFormat> {
        let integer = precision.checked_sub(scale).filter(|_| (1..=MAX_PRECISION).contains(&precision))?;
        Some(DecimalFormat { precision, scale, integer_bytes: side(integer) })
    }

    /// Bytes of a value.
    pub(in crate::decode) fn byte_count(self) -> u8 {
        self.integer_bytes.saturating_add(side(self.scale))
    }
}

/// Room for a DECIMAL's text; keep one for all.
#[derive(Clone, Copy)]
pub struct DecimalBuffer([u8; MAX_TEXT]);

impl<'a> DecimalRef<'a> {
    /// `bytes` must be as many as [`DecimalFormat::byte_count`] says.
    #[inline]
    pub(super) fn new(bytes: &'a [u8], format: DecimalFormat) -> DecimalRef<'a> {
        DecimalRef { bytes, format }
    }

    /// Of bytes that nobody counted.
    pub(in crate::decode) fn checked(bytes: &'a [u8], precision: u8, scale: u8) -> Result<DecimalRef<'a>> {
        let format = DecimalFormat::new(precision, scale)
            .ok_or_else(|| corrupt(format!("expected a DECIMAL type, found DECIMAL({precision},{scale})")))?;
        let expected = format.byte_count();
        if bytes.len() != usize::from(expected) {
            return Err(corrupt(format!("expected {expected} bytes of a DECIMAL, found {}", bytes.len())));
        }
        Ok(DecimalRef::new(bytes, format))
    }

    /// Digits in all, and digits behind the point.
    pub fn precision_and_scale(&self) -> (u8, u8) {
        (self.format.precision, self.format.scale)
    }

    /// The number without its point: 1.50 as DECIMAL(5,2) is 150. `None` where an `i128` cannot hold it, which has room
    /// for any 38 digits.
    ///
    /// # Errors
    /// `Corrupt` where bytes stand for no digits.
    #[inline]
    pub fn unscaled(&self) -> Result<Option<i128>> {
        let DecimalFormat { precision, scale, .. } = self.format;
        let Some(words) = self.words() else { return self.unscaled_long() };
        let (integer, fraction) = words?;
        let number = match precision {
            // Most columns: all digits fit into one word.
            ..=DIGITS_PER_WORD => i128::from(integer.wrapping_mul(power(scale)).wrapping_add(fraction)),
            _ => i128::from(integer).wrapping_mul(power(scale).into()).wrapping_add(fraction.into()),
        };
        Ok(Some(if self.is_negative() { number.wrapping_neg() } else { number }))
    }

    fn unscaled_long(&self) -> Result<Option<i128>> {
        let mut whole = Some(0_i128);
        for group in self.groups() {
            let (number, digits) = group?;
            whole = whole.and_then(|whole| whole.checked_mul(power(digits).into())?.checked_add(number.into()));
        }
        Ok(whole.map(|whole| if self.is_negative() { whole.wrapping_neg() } else { whole }))
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
        let DecimalFormat { precision, scale, .. } = self.format;
        let mut text = Writer::new(&mut buffer.0, scale);
        if let Some(words) = self.words() {
            let (integer, fraction) = words?;
            text.push(fraction, scale);
            text.push(integer, precision.saturating_sub(scale));
        } else {
            let mut groups = [(0, 0); MAX_GROUPS];
            for (place, group) in groups.iter_mut().zip(self.groups()) {
                *place = group?;
            }
            groups.into_iter().rev().for_each(|(number, digits)| text.push(number.into(), digits));
        }
        let start = text.finish(self.is_negative());
        Ok(buffer.0.get(start..).unwrap_or_default())
    }

    #[inline]
    fn is_negative(&self) -> bool {
        self.bytes.first().is_some_and(|first| first & 0x80 == 0)
    }

    /// The digits in front of the point and those behind it, each as one number; `None` where a side has more than a
    /// word holds, or none stand in front.
    #[inline]
    fn words(&self) -> Option<Result<(u64, u64)>> {
        let DecimalFormat { precision, scale, integer_bytes } = self.format;
        let integer = precision.saturating_sub(scale);
        if integer == 0 || integer > DIGITS_PER_WORD || scale > DIGITS_PER_WORD {
            return None;
        }
        let (front, back) = self.bytes.split_at_checked(integer_bytes.into()).unwrap_or_default();
        let (sign, flip) = (top_bit(front.len()), if self.is_negative() { u64::MAX } else { 0 });
        let (front, back) = ((word(front) ^ sign ^ flip) & mask(front.len()), (word(back) ^ flip) & mask(back.len()));
        // The group that is not full comes first in front of the point and last behind it.
        let odd = scale.saturating_sub(DIGITS_PER_GROUP);
        let front = join(front, integer.saturating_sub(DIGITS_PER_GROUP), integer.min(DIGITS_PER_GROUP));
        let back = join(back, scale.min(DIGITS_PER_GROUP), odd);
        Some(front.zip(back).ok_or_else(no_digits))
    }

    fn groups(&self) -> Groups<'a> {
        let DecimalFormat { precision, scale, .. } = self.format;
        let flip = if self.is_negative() { 0xff } else { 0 };
        Groups { rest: self.bytes, flip, is_first: true, integer: precision.saturating_sub(scale), scale }
    }
}

/// The highest bit of so many bytes.
#[inline]
fn top_bit(bytes: usize) -> u64 {
    mask(bytes) ^ (mask(bytes) >> 1)
}

/// Two groups in one word as one number; `None` where they stand for more digits than they have.
#[inline]
fn join(word: u64, high_digits: u8, low_digits: u8) -> Option<u64> {
    let bytes = usize::from(group(low_digits));
    let (high, low) = (word.checked_shr(bit_count(bytes)).unwrap_or(0), word & mask(bytes));
    let is_right = high < power(high_digits) && low < power(low_digits);
    is_right.then(|| high.wrapping_mul(power(low_digits)).wrapping_add(low))
}

/// 10 to the power of up to 18.
#[inline]
fn power(digits: u8) -> u64 {
    const POWERS: [u64; 19] = [
        1,
        10,
        100,
        1_000,
        10_000,
        100_000,
        1_000_000,
        10_000_000,
        100_000_000,
        1_000_000_000,
        10_000_000_000,
        100_000_000_000,
        1_000_000_000_000,
        10_000_000_000_000,
        100_000_000_000_000,
        1_000_000_000_000_000,
        10_000_000_000_000_000,
        100_000_000_000_000_000,
        1_000_000_000_000_000_000,
    ];
    POWERS.get(usize::from(digits)).copied().unwrap_or(u64::MAX)
}

#[cold]
fn no_digits() -> Error {
    corrupt("expected the digits of a DECIMAL, found a larger number")
}

/// The groups of digits in order, each with its number and how many digits it has.
struct Groups<'a> {
    rest: &'a [u8],
    /// What every byte is inverted with: 0 or 0xff.
    flip: u8,
    is_first: bool,
    /// Digits that are left in front of the point.
    integer: u8,
    /// Digits that are left behind it.
    scale: u8,
}

impl Iterator for Groups<'_> {
    type Item = Result<(u32, u8)>;

    fn next(&mut self) -> Option<Self::Item> {
        let digits = match (self.integer, self.scale) {
            (0, 0) => return None,
            (0, scale) => scale.min(DIGITS_PER_GROUP),
            (integer, _) => match integer % DIGITS_PER_GROUP {
                0 => DIGITS_PER_GROUP,
                odd => odd,
            },
        };
        match self.integer {
            0 => self.scale = self.scale.saturating_sub(digits),
            _ => self.integer = self.integer.saturating_sub(digits),
        }
        let (bytes, rest) = self.rest.split_at_checked(group(digits).into()).unwrap_or_default();
        self.rest = rest;
        // The first bit of all is inverted.
        let sign = if std::mem::take(&mut self.is_first) { top_bit(bytes.len()) } else { 0 };
        let flip = if self.flip == 0 { 0 } else { mask(bytes.len()) };
        let number = word(bytes) ^ sign ^ flip;
        Some(match u32::try_from(number) {
            Ok(number) if u64::from(number) < power(digits) => Ok((number, digits)),
            _ => Err(no_digits()),
        })
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

/// Writes from the last digit to the first.
struct Writer<'b> {
    bytes: &'b mut [u8; MAX_TEXT],
    start: usize,
    /// Where the integer part ends.
    point: usize,
    is_zero: bool,
}

impl Writer<'_> {
    fn new(bytes: &mut [u8; MAX_TEXT], scale: u8) -> Writer<'_> {
        let point = if scale == 0 { MAX_TEXT } else { MAX_TEXT.saturating_sub(usize::from(scale).saturating_add(1)) };
        if let Some(place) = bytes.get_mut(point) {
            *place = b'.';
        }
        Writer { bytes, start: MAX_TEXT, point, is_zero: true }
    }

    /// Puts so many digits in front, leading zeros too, and the point in front of the last one behind it.
    #[inline]
    fn push(&mut self, mut number: u64, digits: u8) {
        self.is_zero &= number == 0;
        let end = self.start;
        self.start = end.saturating_sub(usize::from(digits));
        let places = self.bytes.get_mut(self.start..end).unwrap_or_default();
        let (odd, pairs) = places.split_at_mut_checked(places.len() % 2).unwrap_or_default();
        for pair in pairs.as_chunks_mut::<2>().0.iter_mut().rev() {
            let digits = usize::try_from(number % 100).ok().and_then(|number| PAIRS.as_chunks::<2>().0.get(number));
            *pair = digits.copied().unwrap_or_default();
            number /= 100;
        }
        if let [place] = odd {
            *place = b'0' | (number % 10).to_le_bytes()[0];
        }
        if self.start == self.point.saturating_add(1) {
            self.start = self.point;
        }
    }

    /// Takes leading zeros off, of which one stays in front of the point, and adds the sign; gives the text's start.
    #[inline]
    fn finish(mut self, is_negative: bool) -> usize {
        let integer = self.bytes.get(self.start..self.point).unwrap_or_default();
        let zeros = integer.iter().take_while(|digit| **digit == b'0').count();
        self.start = self.start.saturating_add(zeros);
        if self.start == self.point {
            self.put(b'0');
        }
        // The server has no negative zero.
        if is_negative && !self.is_zero {
            self.put(b'-');
        }
        self.start
    }

    #[inline]
    fn put(&mut self, byte: u8) {
        self.start = self.start.saturating_sub(1);
        if let Some(place) = self.bytes.get_mut(self.start) {
            *place = byte;
        }
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
        out.extend(&number.to_be_bytes()[4 - usize::from(group(digits.len() as u8))..]);
    }

    fn unscaled(is_negative: bool, integer: &[u8], fraction: &[u8]) -> Option<i128> {
        let digits = || integer.iter().chain(fraction).map(|digit| i128::from(*digit));
        let number = digits().try_fold(0_i128, |number, digit| number.checked_mul(10)?.checked_add(digit))?;
        Some(if is_negative { -number } else { number })
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
                        let bytes = write(is_negative, &integer, &fraction);
                        assert_eq!(read(&bytes, precision, scale).unwrap(), text(is_negative, &integer, &fraction));
                        let read = DecimalRef::checked(&bytes, precision, scale).unwrap().unscaled().unwrap();
                        assert_eq!(read, unscaled(is_negative, &integer, &fraction));
                    }
                }
            }
        }
        for (precision, scale) in [(0, 0), (82, 0), (3, 4), (9, 0)] {
            assert!(read(&[], precision, scale).is_err());
        }
        for (precision, scale) in [(9, 0), (9, 8), (18, 9), (36, 18), (38, 0), (38, 38)] {
            let bytes =
                [0xff; 20].get(..usize::from(DecimalFormat::new(precision, scale).unwrap().byte_count())).unwrap();
            assert!(read(bytes, precision, scale).is_err());
            assert!(DecimalRef::checked(bytes, precision, scale).unwrap().unscaled().is_err());
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
            let precision = (integer.len() + fraction.len()) as u8;
            let bytes = write(is_negative, &integer, &fraction);
            let scale = fraction.len() as u8;
            prop_assert_eq!(read(&bytes, precision, scale).unwrap(), text(is_negative, &integer, &fraction));
            let read = DecimalRef::checked(&bytes, precision, scale).unwrap().unscaled().unwrap();
            prop_assert_eq!(read, unscaled(is_negative, &integer, &fraction));
        }
    }
}
