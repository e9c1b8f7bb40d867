//! CHAR, VARCHAR and TEXT as text, where somebody wants to read it.
//!
//! Values keep the bytes as the server stores them; nothing that is replicated passes through here. The log names each
//! column's collation by number ([`WireColumn::collation`](crate::decode::WireColumn::collation)), which gives the set,
//! and the set gives the text:
//!
//! ```
//! use bluegreen::decode::charset::Charset;
//! use bluegreen::model::Flavor;
//!
//! let charset = Charset::of_collation(Flavor::MySql, 13).unwrap();
//! assert_eq!(charset.name(), "sjis");
//! assert_eq!(charset.text(b"\x93\xfa\x96\x7b").as_deref(), Some("日本"));
//! assert_eq!(charset.text(b"\x93"), None);
//! ```
//!
//! # Invariants
//! 1. The text is the one of the server's `CONVERT(… USING utf8mb4)`.
//! 2. There is no text where one character is not valid in the set or has none in Unicode: the server's replacements
//!    (`?`, in big5 and tis620 U+FFFD) never come out.
//! 3. No bytes make it panic, and it takes memory for at most three bytes of text per byte.

mod collation;
mod multi_byte;
mod single_byte;
mod unicode;

use std::borrow::Cow;

use self::multi_byte::MultiByte;
use self::single_byte::UpperHalf;
use crate::model::Flavor;

/// How a set's bytes are read.
#[derive(Clone, Copy)]
enum Form {
    Binary,
    Ascii,
    /// ASCII and a table of 128 characters above.
    SingleByte(&'static UpperHalf),
    Swe7,
    MultiByte(&'static MultiByte),
    Utf8mb3,
    Utf8mb4,
    Ucs2,
    Utf16,
    Utf16le,
    Utf32,
}

macro_rules! charsets {
    ($($(#[$doc:meta])+ $charset:ident = $name:literal, $form:expr;)+) => {
        /// A character set of MySQL or MariaDB.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Charset {
            $($(#[$doc])+ $charset,)+
        }

        impl Charset {
            /// Every set.
            pub const ALL: &'static [Charset] = &[$(Charset::$charset,)+];

            /// The name that servers of today give it: `utf8mb3`, not `utf8`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Charset::$charset => $name,)+
                }
            }

            fn form(self) -> Form {
                match self {
                    $(Charset::$charset => $form,)+
                }
            }
        }
    };
}

charsets! {
    /// Traditional Chinese.
    Big5 = "big5", Form::MultiByte(&multi_byte::BIG5);
    /// DEC, West European.
    Dec8 = "dec8", Form::SingleByte(&single_byte::DEC8);
    /// DOS, West European.
    Cp850 = "cp850", Form::SingleByte(&single_byte::CP850);
    /// HP, West European.
    Hp8 = "hp8", Form::SingleByte(&single_byte::HP8);
    /// KOI8-R, Russian.
    Koi8r = "koi8r", Form::SingleByte(&single_byte::KOI8R);
    /// Windows 1252, with control characters where that has none: not ISO 8859-1.
    Latin1 = "latin1", Form::SingleByte(&single_byte::LATIN1);
    /// ISO 8859-2, Central European.
    Latin2 = "latin2", Form::SingleByte(&single_byte::LATIN2);
    /// Seven bits, Swedish.
    Swe7 = "swe7", Form::Swe7;
    /// Seven bits.
    Ascii = "ascii", Form::Ascii;
    /// EUC-JP, Japanese.
    Ujis = "ujis", Form::MultiByte(&multi_byte::UJIS);
    /// Shift-JIS, Japanese.
    Sjis = "sjis", Form::MultiByte(&multi_byte::SJIS);
    /// ISO 8859-8, Hebrew.
    Hebrew = "hebrew", Form::SingleByte(&single_byte::HEBREW);
    /// TIS-620, Thai.
    Tis620 = "tis620", Form::SingleByte(&single_byte::TIS620);
    /// EUC-KR with the extensions of Windows, Korean.
    Euckr = "euckr", Form::MultiByte(&multi_byte::EUCKR);
    /// KOI8-U, Ukrainian.
    Koi8u = "koi8u", Form::SingleByte(&single_byte::KOI8U);
    /// Simplified Chinese.
    Gb2312 = "gb2312", Form::MultiByte(&multi_byte::GB2312);
    /// ISO 8859-7, Greek.
    Greek = "greek", Form::SingleByte(&single_byte::GREEK);
    /// Windows, Central European.
    Cp1250 = "cp1250", Form::SingleByte(&single_byte::CP1250);
    /// Simplified Chinese, extended.
    Gbk = "gbk", Form::MultiByte(&multi_byte::GBK);
    /// ISO 8859-9, Turkish.
    Latin5 = "latin5", Form::SingleByte(&single_byte::LATIN5);
    /// ARMSCII-8, Armenian.
    Armscii8 = "armscii8", Form::SingleByte(&single_byte::ARMSCII8);
    /// UTF-8 of at most three bytes a character; `utf8` on servers of old.
    Utf8mb3 = "utf8mb3", Form::Utf8mb3;
    /// Two bytes a character, the high one first.
    Ucs2 = "ucs2", Form::Ucs2;
    /// DOS, Russian.
    Cp866 = "cp866", Form::SingleByte(&single_byte::CP866);
    /// DOS Kamenicky, Czech and Slovak.
    Keybcs2 = "keybcs2", Form::SingleByte(&single_byte::KEYBCS2);
    /// Macintosh, Central European.
    Macce = "macce", Form::SingleByte(&single_byte::MACCE);
    /// Macintosh, West European.
    Macroman = "macroman", Form::SingleByte(&single_byte::MACROMAN);
    /// DOS, Central European.
    Cp852 = "cp852", Form::SingleByte(&single_byte::CP852);
    /// ISO 8859-13, Baltic.
    Latin7 = "latin7", Form::SingleByte(&single_byte::LATIN7);
    /// UTF-8.
    Utf8mb4 = "utf8mb4", Form::Utf8mb4;
    /// Windows, Cyrillic.
    Cp1251 = "cp1251", Form::SingleByte(&single_byte::CP1251);
    /// UTF-16, the high byte first.
    Utf16 = "utf16", Form::Utf16;
    /// UTF-16, the low byte first.
    Utf16le = "utf16le", Form::Utf16le;
    /// Windows, Arabic.
    Cp1256 = "cp1256", Form::SingleByte(&single_byte::CP1256);
    /// Windows, Baltic.
    Cp1257 = "cp1257", Form::SingleByte(&single_byte::CP1257);
    /// UTF-32, the high byte first.
    Utf32 = "utf32", Form::Utf32;
    /// Bytes that are no text.
    Binary = "binary", Form::Binary;
    /// GEOSTD8, Georgian.
    Geostd8 = "geostd8", Form::SingleByte(&single_byte::GEOSTD8);
    /// Shift-JIS of Windows, Japanese.
    Cp932 = "cp932", Form::MultiByte(&multi_byte::CP932);
    /// EUC-JP of Windows, Japanese.
    Eucjpms = "eucjpms", Form::MultiByte(&multi_byte::EUCJPMS);
    /// All of Unicode, Chinese first; MySQL only.
    Gb18030 = "gb18030", Form::MultiByte(&multi_byte::GB18030);
}

impl Charset {
    /// The set of a collation's number, which depends on the family from 303 on. `None`: no server known here has that
    /// number.
    pub fn of_collation(flavor: Flavor, collation: u16) -> Option<Charset> {
        collation::charset(flavor, collation)
    }

    /// The set of a name, in any case; `utf8` is [`Charset::Utf8mb3`].
    pub fn from_name(name: &str) -> Option<Charset> {
        let name = if name.eq_ignore_ascii_case("utf8") { "utf8mb3" } else { name };
        Charset::ALL.iter().copied().find(|charset| charset.name().eq_ignore_ascii_case(name))
    }

    /// How many bytes a character takes at most; `None` for the sets of East Asia.
    pub(crate) fn max_bytes(self) -> Option<u16> {
        match self.form() {
            Form::Binary | Form::Ascii | Form::SingleByte(_) | Form::Swe7 => Some(1),
            Form::Ucs2 => Some(2),
            Form::Utf8mb3 => Some(3),
            Form::Utf8mb4 | Form::Utf16 | Form::Utf16le | Form::Utf32 => Some(4),
            Form::MultiByte(_) => None,
        }
    }

    /// Whether it is no set of characters at all.
    pub fn is_binary(self) -> bool {
        self == Charset::Binary
    }

    /// The bytes as text. `None` where they are not valid in the set, or have a character that Unicode has not: then they
    /// are best shown as bytes. So is everything binary.
    ///
    /// # Cost
    /// Borrowed where the bytes are UTF-8 as they are, a copy where they are not.
    pub fn text(self, bytes: &[u8]) -> Option<Cow<'_, str>> {
        let converted = match self.form() {
            Form::Binary => return None,
            Form::Utf8mb4 => return unicode::utf8mb4(bytes).map(Cow::Borrowed),
            Form::Utf8mb3 => return unicode::utf8mb3(bytes).map(Cow::Borrowed),
            Form::Ascii | Form::SingleByte(_) | Form::MultiByte(_) if bytes.is_ascii() => {
                return unicode::utf8mb4(bytes).map(Cow::Borrowed);
            }
            Form::Ascii => None,
            Form::SingleByte(upper) => single_byte::text(upper, bytes),
            Form::Swe7 => single_byte::swe7(bytes),
            Form::MultiByte(set) => set.text(bytes),
            Form::Ucs2 => unicode::ucs2(bytes),
            Form::Utf16 => unicode::utf16(bytes, u16::from_be_bytes),
            Form::Utf16le => unicode::utf16(bytes, u16::from_le_bytes),
            Form::Utf32 => unicode::utf32(bytes),
        };
        converted.map(Cow::Owned)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(name: &str, bytes: &[u8]) -> Option<String> {
        Charset::from_name(name).unwrap().text(bytes).map(Cow::into_owned)
    }

    #[test]
    fn a_name_finds_its_set() {
        for charset in Charset::ALL {
            assert_eq!(Charset::from_name(charset.name()), Some(*charset));
            assert_eq!(charset.is_binary(), charset.name() == "binary");
        }
        assert_eq!(Charset::from_name("UTF8"), Some(Charset::Utf8mb3));
        assert_eq!(Charset::from_name("latin-1"), None);
    }

    #[test]
    fn a_run_around_a_difference_stays_in_order() {
        // 81 60 is a wave dash in sjis and a full-width tilde in cp932; both have the characters around it alike.
        let bytes = b"a\x93\xfa\x81\x60\x96\x7b\xb1\x81\x60";
        assert_eq!(text("sjis", bytes).as_deref(), Some("a日\u{301c}本ｱ\u{301c}"));
        assert_eq!(text("cp932", bytes).as_deref(), Some("a日\u{ff5e}本ｱ\u{ff5e}"));
    }

    #[test]
    fn one_wrong_character_is_no_text() {
        for (name, bytes) in [
            ("binary", b"a".as_slice()),
            ("ascii", b"a\x80"),
            ("swe7", b"\x7f"),
            ("tis620", b"a\xa0"),
            ("big5", b"\xa4\xa4\xa1\x5a"),
            ("sjis", b"\x93\xfa\x93"),
            ("gbk", b"\x80"),
            ("ujis", b"\x8f\xa2"),
            ("gb18030", b"\x81\x30\x81"),
            ("utf8mb3", "😀".as_bytes()),
            ("ucs2", b"\x00a\x00"),
            ("ucs2", b"\xd8\x3d\xde\x00"),
            ("utf16", b"\xd8\x3d"),
            ("utf16le", b"\x00\xde\x3d\xd8"),
            ("utf32", b"\x00\x11\x00\x00"),
            ("utf32", b"\x00\x00\xd8\x00"),
        ] {
            assert_eq!(text(name, bytes), None, "{name} {bytes:x?}");
        }
    }

    proptest! {
        /// Invariant 3, and that text is read character by character.
        #[test]
        fn any_bytes_are_text_or_not(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            for charset in Charset::ALL {
                if let Some(text) = charset.text(&bytes) {
                    prop_assert!(text.len() <= 3 * bytes.len());
                    let twice = charset.text(&bytes.repeat(2)).map(Cow::into_owned);
                    prop_assert_eq!(twice, Some(text.repeat(2)));
                }
            }
        }
    }
}
