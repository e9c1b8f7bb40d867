//! A double as the server prints it (MySQL source, `strings/dtoa.cc`, `my_gcvt`, with its widest field): the shortest digits
//! that make the same double again.

use std::fmt::{self, Write};

/// Where the point may stand, counted from the first digit, without an exponent.
const PLAIN: std::ops::RangeInclusive<i32> = -14..=15;

/// Writes the digits plainly where the point is near them or among them, else with an exponent, and a double without a
/// fraction as `1.0`. What is no number is 0.
pub(super) fn write_double(out: &mut impl Write, number: f64) -> fmt::Result {
    if !number.is_finite() {
        return out.write_str("0.0");
    }
    if number.is_sign_negative() {
        out.write_char('-')?;
    }
    let (digits, point) = shortest(number.abs());
    // Digits in front of the point.
    let front = usize::try_from(point).unwrap_or(0);
    if !PLAIN.contains(&point) && front >= digits.len() || point < *PLAIN.start() {
        let (first, rest) = digits.split_at_checked(1).unwrap_or_default();
        let dot = if rest.is_empty() { "" } else { "." };
        return write!(out, "{first}{dot}{rest}e{}", point.saturating_sub(1));
    }
    match digits.split_at_checked(front) {
        Some(("", rest)) => {
            let zeros = usize::try_from(point.unsigned_abs()).unwrap_or(0);
            write!(out, "0.{:0>zeros$}{rest}", "")
        }
        Some((whole, rest)) => write!(out, "{whole}.{}", if rest.is_empty() { "0" } else { rest }),
        None => write!(out, "{digits:0<front$}.0"),
    }
}

/// The digits of a number that is not negative, and how many of them are in front of the point.
fn shortest(number: f64) -> (String, i32) {
    let text = format!("{number:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let point = exponent.parse::<i32>().unwrap_or(0).saturating_add(1);
    let digits = mantissa.replace('.', "");
    (half_to_even(number, &digits, point).unwrap_or(digits), point)
}

/// The even one of two shortest results where the number is exactly in the middle of them: Rust rounds up there, the
/// server to even.
fn half_to_even(number: f64, digits: &str, point: i32) -> Option<String> {
    let exact = exact_digits(number)?;
    let even = (exact / 10).checked_add(exact / 10 % 2)?.to_string();
    let is_half = exact.to_string().len() == digits.len().checked_add(1)? && even.len() == digits.len();
    // Near a power of two the lower one may be another double.
    (is_half && format!("0.{even}e{point}").parse() == Ok(number)).then_some(even)
}

/// All digits of a double with at most 25 bits behind the point, more than which no middle has: the last one is a 5.
fn exact_digits(number: f64) -> Option<u128> {
    const MANTISSA_BITS: u32 = 52;
    const BIAS: u64 = 1023;
    let bits = number.to_bits();
    let hidden = 1_u64.wrapping_shl(MANTISSA_BITS);
    let exponent = bits.checked_shr(MANTISSA_BITS).filter(|exponent| *exponent != 0)?;
    let mantissa = (bits & hidden.wrapping_sub(1)) | hidden;
    let behind = BIAS.checked_add(u64::from(MANTISSA_BITS))?.checked_sub(exponent)?;
    let behind = u32::try_from(behind).ok()?.checked_sub(mantissa.trailing_zeros())?;
    if !(1..=25).contains(&behind) {
        return None;
    }
    u128::from(mantissa.checked_shr(mantissa.trailing_zeros())?).checked_mul(5_u128.checked_pow(behind)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(number: f64) -> String {
        let mut text = String::new();
        write_double(&mut text, number).unwrap();
        text
    }

    #[test]
    fn as_the_server_prints_them() {
        for (number, expected) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-1.5, "-1.5"),
            (100.0, "100.0"),
            (1e14, "100000000000000.0"),
            (1e15, "1e15"),
            (1.5e20, "1.5e20"),
            (1_234_567_890_123_456.7, "1234567890123456.8"),
            (1.5e-7, "0.00000015"),
            (1e-15, "0.000000000000001"),
            (1e-16, "1e-16"),
            (1.5e-16, "1.5e-16"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e308"),
            // In the middle of two.
            (2_f64.powi(-25), "0.000000029802322387695312"),
            (f64::INFINITY, "0.0"),
            (f64::NAN, "0.0"),
        ] {
            assert_eq!(text(number), expected);
        }
    }

    proptest! {
        #[test]
        fn any_double_reads_back(number: f64) {
            prop_assume!(number.is_finite());
            prop_assert_eq!(text(number).parse::<f64>().unwrap().to_bits(), number.to_bits());
        }
    }
}
