const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Appends the bytes in base64 with padding (RFC 4648, section 4).
pub(super) fn write(out: &mut Vec<u8>, bytes: &[u8]) {
    let digit = |bits: u32| DIGITS[bits as usize & 63];
    let (triples, rest) = bytes.as_chunks::<3>();
    out.reserve(4 * triples.len() + 4);
    for [a, b, c] in triples {
        let bits = u32::from_be_bytes([0, *a, *b, *c]);
        out.extend([digit(bits >> 18), digit(bits >> 12), digit(bits >> 6), digit(bits)]);
    }
    let (a, b) = match rest {
        [] => return,
        [a] => (*a, 0),
        [a, b, ..] => (*a, *b),
    };
    let bits = u32::from_be_bytes([0, a, b, 0]);
    let third = if rest.len() == 2 { digit(bits >> 6) } else { b'=' };
    out.extend([digit(bits >> 18), digit(bits >> 12), third, b'=']);
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_vectors_of_the_rfc() {
        for (bytes, expected) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            let mut out = Vec::new();
            super::write(&mut out, bytes.as_bytes());
            assert_eq!(out, expected.as_bytes());
        }
        let mut out = Vec::new();
        super::write(&mut out, &[0x00, 0xff, 0xfe]);
        assert_eq!(out, b"AP/+");
    }
}
