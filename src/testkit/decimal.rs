//! DECIMAL (MySQL source, `strings/decimal.cc`, `decimal2bin`): groups of nine digits in four bytes, the groups at both
//! outer ends in fewer; big-endian; the first bit inverted, and every bit of a negative number.

use super::encode;

/// Bytes of a group of so many digits.
const WIDTHS: [usize; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];

/// Writes the number that `text` spells: an optional sign, digits, and an optional point with digits.
///
/// # Panics
/// Where the text is no number, or has more digits than the column.
pub(super) fn write(text: &str, precision: u8, scale: u8, out: &mut Vec<u8>) {
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (front, back) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = digits.chars().all(|c| c.is_ascii_digit() || c == '.') && !(front.is_empty() && back.is_empty());
    let front = front.trim_start_matches('0');
    let (front_width, back_width) = (usize::from(precision - scale), usize::from(scale));
    assert!(
        is_number && front.len() <= front_width && back.len() <= back_width,
        "the cell is no DECIMAL({precision},{scale})"
    );
    let front = format!("{front:0>front_width$}");
    let back = format!("{back:0<back_width$}");

    let start = out.len();
    let (odd, whole) = front.split_at(front_width % 9);
    for group in std::iter::once(odd).chain(chunks(whole)).chain(chunks(&back)) {
        let number = group.bytes().fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
        encode::be(out, number, WIDTHS[group.len()]);
    }
    // There is no negative zero.
    if is_negative && digits.bytes().any(|digit| (b'1'..=b'9').contains(&digit)) {
        out[start..].iter_mut().for_each(|byte| *byte = !*byte);
    }
    out[start] ^= 0x80;
}

/// Nine digits each, the rest last.
fn chunks(digits: &str) -> impl Iterator<Item = &str> {
    (0..digits.len()).step_by(9).map(|start| &digits[start..digits.len().min(start + 9)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str, precision: u8, scale: u8) -> Vec<u8> {
        let mut out = Vec::new();
        write(text, precision, scale, &mut out);
        out
    }

    /// The example in the source of `decimal2bin`.
    #[test]
    fn the_example_of_the_source() {
        let positive = [0x81, 0x0d, 0xfb, 0x38, 0xd2, 0x04, 0xd2];
        assert_eq!(written("1234567890.1234", 14, 4), positive);
        assert_eq!(written("-1234567890.1234", 14, 4), positive.map(|byte| !byte));
    }

    #[test]
    fn zero_has_no_sign() {
        assert_eq!(written("-0.00", 4, 2), written("0", 4, 2));
    }
}
