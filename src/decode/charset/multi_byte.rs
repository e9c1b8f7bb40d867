//! The sets of East Asia: characters of one to four bytes.
//!
//! `encoding_rs` knows sets of the same kind, as browsers read them. Where the servers' differ is a table for each set:
//! characters that the server has not, has in another place, or has besides. MySQL 5.6 and 9.7 and MariaDB 10.5 to 11.8
//! have all sets alike.
//!
//! # Source
//! For every sequence of bytes the answer of `CONVERT(CONVERT(CHAR(0x81, 0x40) USING sjis) USING utf8mb4)`, beside that
//! of `encoding_rs`. `tests/charset.rs` asks servers for all of them again and prints what differs.

use encoding_rs::Encoding;

use self::Server::{Absent, Listed, Run};

/// A set of characters of several bytes.
pub(super) struct MultiByte {
    layout: Layout,
    /// The set as browsers have it.
    browsers: &'static Encoding,
    /// Where the server's is another: lists in order of the code.
    differences: &'static [&'static [Difference]],
}

/// How many bytes a character has, as its first ones say.
enum Layout {
    /// Two.
    Double,
    /// Two, both from 0xA1 on.
    Rows,
    /// One for half-width katakana, otherwise two.
    ShiftJis,
    /// Three after 0x8F, otherwise two.
    Euc,
    /// Four where the second is a digit, otherwise two.
    Gb18030,
}

/// From the first to the last code (a character's bytes as one number, the first byte highest) the server has this.
type Difference = (u32, u32, Server);

enum Server {
    Absent,
    /// The characters from this one on, in order.
    Run(char),
    Listed(&'static [u16]),
}

impl MultiByte {
    /// The text of whole, valid characters.
    pub(super) fn text(&self, bytes: &[u8]) -> Option<String> {
        let mut text = String::with_capacity(bytes.len());
        // `alike` starts behind the last difference, so what lies between it and `rest` is read in one go.
        let (mut alike, mut rest) = (bytes, bytes);
        while !rest.is_empty() {
            let (character, behind) = rest.split_at_checked(self.layout.length(rest)?)?;
            let code = character.iter().fold(0, |code: u32, byte| (code << 8) | u32::from(*byte));
            if let Some(difference) = self.difference(code) {
                let (run, _) = alike.split_at_checked(alike.len().checked_sub(rest.len())?)?;
                self.read_alike(run, &mut text)?;
                text.push(on_server(difference, code)?);
                alike = behind;
            }
            rest = behind;
        }
        self.read_alike(alike, &mut text)?;
        Some(text)
    }

    fn difference(&self, code: u32) -> Option<&Difference> {
        self.differences.iter().find_map(|list| {
            let next = list.partition_point(|(_, last, _)| *last < code);
            list.get(next).filter(|(first, ..)| *first <= code)
        })
    }

    fn read_alike(&self, run: &[u8], text: &mut String) -> Option<()> {
        text.push_str(&self.browsers.decode_without_bom_handling_and_without_replacement(run)?);
        Some(())
    }
}

fn on_server((first, _, server): &Difference, code: u32) -> Option<char> {
    let offset = code.checked_sub(*first)?;
    let character = match server {
        Absent => return None,
        Run(character) => u32::from(*character).checked_add(offset)?,
        Listed(characters) => u32::from(*characters.get(usize::try_from(offset).ok()?)?),
    };
    char::from_u32(character)
}

impl Layout {
    /// The length of the first character; `None` where no character starts like that.
    fn length(&self, bytes: &[u8]) -> Option<usize> {
        match (self, bytes) {
            (_, [..0x80, ..]) => Some(1),
            // `encoding_rs` has characters of one byte there, the servers have none.
            (_, [0x80 | 0xff, ..]) => None,
            (Layout::Rows, [0xa1..=0xff, 0xa1..=0xff, ..]) => Some(2),
            (Layout::Rows, _) => None,
            (Layout::ShiftJis, [0xa1..0xe0, ..]) => Some(1),
            (Layout::Euc, [0x8f, ..]) => Some(3),
            (Layout::Gb18030, [_, b'0'..=b'9', ..]) => Some(4),
            (Layout::Double | Layout::ShiftJis | Layout::Euc | Layout::Gb18030, _) => Some(2),
        }
    }
}

pub(super) static BIG5: MultiByte =
    MultiByte { layout: Layout::Double, browsers: encoding_rs::BIG5, differences: &[BIG5_DIFFERENCES] };
pub(super) static UJIS: MultiByte = MultiByte {
    layout: Layout::Euc,
    browsers: encoding_rs::EUC_JP,
    differences: &[UJIS_DIFFERENCES, EUC_USER_DEFINED],
};
pub(super) static EUCJPMS: MultiByte = MultiByte {
    layout: Layout::Euc,
    browsers: encoding_rs::EUC_JP,
    differences: &[EUCJPMS_DIFFERENCES, EUC_USER_DEFINED],
};
pub(super) static SJIS: MultiByte =
    MultiByte { layout: Layout::ShiftJis, browsers: encoding_rs::SHIFT_JIS, differences: &[SJIS_DIFFERENCES] };
pub(super) static CP932: MultiByte =
    MultiByte { layout: Layout::ShiftJis, browsers: encoding_rs::SHIFT_JIS, differences: &[] };
pub(super) static EUCKR: MultiByte =
    MultiByte { layout: Layout::Double, browsers: encoding_rs::EUC_KR, differences: &[] };
pub(super) static GB2312: MultiByte =
    MultiByte { layout: Layout::Rows, browsers: encoding_rs::GBK, differences: &[GB2312_DIFFERENCES] };
pub(super) static GBK: MultiByte =
    MultiByte { layout: Layout::Double, browsers: encoding_rs::GBK, differences: &[GBK_DIFFERENCES] };
pub(super) static GB18030: MultiByte =
    MultiByte { layout: Layout::Gb18030, browsers: encoding_rs::GB18030, differences: &[GB18030_DIFFERENCES] };

/// No extensions of Hong Kong, other marks, and the kana and Cyrillic of ETEN in other places.
static BIG5_DIFFERENCES: &[Difference] = &[
    (0x8740, 0xA0FE, Absent),
    (0xA145, 0xA145, Run('\u{2022}')),
    (0xA14E, 0xA14E, Run('\u{FF64}')),
    (0xA15A, 0xA15A, Absent),
    (0xA1C2, 0xA1C2, Run('\u{203E}')),
    (0xA1C3, 0xA1C3, Absent),
    (0xA1C5, 0xA1C5, Absent),
    (0xA1E3, 0xA1E3, Run('\u{223C}')),
    (0xA1F2, 0xA1F2, Run('\u{2641}')),
    (0xA1F3, 0xA1F3, Run('\u{2609}')),
    (0xA1FE, 0xA240, Absent),
    (0xA241, 0xA241, Run('\u{FF0F}')),
    (0xA242, 0xA242, Run('\u{FF3C}')),
    (0xA244, 0xA244, Run('\u{A5}')),
    (0xA246, 0xA247, Run('\u{A2}')),
    (0xA2CC, 0xA2CC, Absent),
    (0xA2CE, 0xA2CE, Absent),
    (0xA3C0, 0xA3E1, Absent),
    (0xC6A1, 0xC6A1, Run('\u{30FE}')),
    (0xC6A2, 0xC6A3, Run('\u{309D}')),
    (0xC6A4, 0xC6A4, Run('\u{3005}')),
    (0xC6A5, 0xC6F7, Run('\u{3041}')),
    (0xC6F8, 0xC6FE, Run('\u{30A1}')),
    (0xC740, 0xC77E, Run('\u{30A8}')),
    (0xC7A1, 0xC7B0, Run('\u{30E7}')),
    (0xC7B1, 0xC7B2, Run('\u{414}')),
    (0xC7B3, 0xC7B3, Run('\u{401}')),
    (0xC7B4, 0xC7BA, Run('\u{416}')),
    (0xC7BB, 0xC7CD, Run('\u{423}')),
    (0xC7CE, 0xC7CE, Run('\u{451}')),
    (0xC7CF, 0xC7E8, Run('\u{436}')),
    (0xC7E9, 0xC7F2, Run('\u{2460}')),
    (0xC7F3, 0xC7FC, Run('\u{2474}')),
    (0xC7FD, 0xC8FE, Absent),
    (0xF9DD, 0xFEFE, Absent),
];

/// JIS X 0208 and 0212 without the extensions of NEC, and marks as JIS has them.
static UJIS_DIFFERENCES: &[Difference] = &[
    (0xA1C0, 0xA1C0, Run('\u{5C}')),
    (0xA1C1, 0xA1C1, Run('\u{301C}')),
    (0xA1C2, 0xA1C2, Run('\u{2016}')),
    (0xA1DD, 0xA1DD, Run('\u{2212}')),
    (0xA1F1, 0xA1F2, Run('\u{A2}')),
    (0xA2CC, 0xA2CC, Run('\u{AC}')),
    (0xADA1, 0xADFC, Absent),
    (0x8FA2B7, 0x8FA2B7, Run('\u{7E}')),
];

/// JIS X 0208 without the extensions of NEC and IBM, and marks as JIS has them.
static SJIS_DIFFERENCES: &[Difference] = &[
    (0x815F, 0x815F, Run('\u{5C}')),
    (0x8160, 0x8160, Run('\u{301C}')),
    (0x8161, 0x8161, Run('\u{2016}')),
    (0x817C, 0x817C, Run('\u{2212}')),
    (0x8191, 0x8192, Run('\u{A2}')),
    (0x81CA, 0x81CA, Run('\u{AC}')),
    (0x8740, 0x879C, Absent),
    (0xED40, 0xFC4B, Absent),
];

/// What GBK adds between the rows of GB 2312, and two marks.
static GB2312_DIFFERENCES: &[Difference] = &[
    (0xA1A4, 0xA1A4, Run('\u{30FB}')),
    (0xA1AA, 0xA1AA, Run('\u{2015}')),
    (0xA2A1, 0xA2B0, Absent),
    (0xA2E3, 0xA2E4, Absent),
    (0xA2EF, 0xA2F0, Absent),
    (0xA2FD, 0xA2FE, Absent),
    (0xA4F4, 0xA4FE, Absent),
    (0xA5F7, 0xA5FE, Absent),
    (0xA6B9, 0xA6C0, Absent),
    (0xA6D9, 0xA6FE, Absent),
    (0xA7C2, 0xA7D0, Absent),
    (0xA7F2, 0xA7FE, Absent),
    (0xA8BB, 0xA8C4, Absent),
    (0xA8EA, 0xA9A3, Absent),
    (0xA9F0, 0xAFFE, Absent),
    (0xD7FA, 0xD7FE, Absent),
    (0xF8A1, 0xFEFE, Absent),
];

/// What browsers fill up with private characters or GB 18030's.
static GBK_DIFFERENCES: &[Difference] = &[
    (0xA140, 0xA1A0, Absent),
    (0xA240, 0xA2A0, Absent),
    (0xA2AB, 0xA2B0, Absent),
    (0xA2E3, 0xA2E4, Absent),
    (0xA2EF, 0xA2F0, Absent),
    (0xA2FD, 0xA3A0, Absent),
    (0xA440, 0xA4A0, Absent),
    (0xA4F4, 0xA5A0, Absent),
    (0xA5F7, 0xA6A0, Absent),
    (0xA6B9, 0xA6C0, Absent),
    (0xA6D9, 0xA6DF, Absent),
    (0xA6EC, 0xA6ED, Absent),
    (0xA6F3, 0xA6F3, Absent),
    (0xA6F6, 0xA7A0, Absent),
    (0xA7C2, 0xA7D0, Absent),
    (0xA7F2, 0xA7FE, Absent),
    (0xA896, 0xA8A0, Absent),
    (0xA8BC, 0xA8BC, Absent),
    (0xA8BF, 0xA8BF, Absent),
    (0xA8C1, 0xA8C4, Absent),
    (0xA8EA, 0xA8FE, Absent),
    (0xA958, 0xA958, Absent),
    (0xA95B, 0xA95B, Absent),
    (0xA95D, 0xA95F, Absent),
    (0xA989, 0xA995, Absent),
    (0xA997, 0xA9A3, Absent),
    (0xA9F0, 0xA9FE, Absent),
    (0xAAA1, 0xAAFE, Absent),
    (0xABA1, 0xABFE, Absent),
    (0xACA1, 0xACFE, Absent),
    (0xADA1, 0xADFE, Absent),
    (0xAEA1, 0xAEFE, Absent),
    (0xAFA1, 0xAFFE, Absent),
    (0xD7FA, 0xD7FE, Absent),
    (0xF8A1, 0xF8FE, Absent),
    (0xF9A1, 0xF9FE, Absent),
    (0xFAA1, 0xFAFE, Absent),
    (0xFBA1, 0xFBFE, Absent),
    (0xFCA1, 0xFCFE, Absent),
    (0xFDA1, 0xFDFE, Absent),
    (0xFE50, 0xFEFE, Absent),
];

/// Marks and kanji of IBM.
#[rustfmt::skip]
static EUCJPMS_IBM: &[u16] = &[
    0xFF07, 0xFF02, 0x3231, 0x2116, 0x2121, 0x70BB, 0x4EFC, 0x50F4,
    0x51EC, 0x5307, 0x5324, 0xFA0E, 0x548A, 0x5759, 0xFA0F, 0xFA10,
    0x589E, 0x5BEC, 0x5CF5, 0x5D53, 0xFA11, 0x5FB7, 0x6085, 0x6120,
    0x654E, 0x663B, 0x6665, 0xFA12, 0xF929, 0x6801, 0xFA13, 0xFA14,
    0x6A6B, 0x6AE2, 0x6DF8, 0x6DF2, 0x7028, 0xFA15, 0xFA16, 0x7501,
    0x7682, 0x769E, 0xFA17, 0x7930, 0xFA18, 0xFA19, 0xFA1A, 0xFA1B,
    0x7AE7, 0xFA1C, 0xFA1D, 0x7DA0, 0x7DD6, 0xFA1E, 0x8362, 0xFA1F,
    0x85B0, 0xFA20, 0xFA21, 0x8807, 0xFA22, 0x8B7F, 0x8CF4, 0x8D76,
    0xFA23, 0xFA24, 0xFA25, 0x90DE, 0xFA26, 0x9115, 0xFA27, 0xFA28,
    0x9592, 0xF9DC, 0xFA29, 0x973B, 0x974D, 0x9751, 0xFA2A, 0xFA2B,
    0xFA2C, 0x999E, 0x9AD9, 0x9B72, 0xFA2D, 0x9ED1,
];

/// IBM's extensions behind those of JIS X 0212.
static EUCJPMS_DIFFERENCES: &[Difference] = &[
    (0x8FA2C3, 0x8FA2C3, Run('\u{FFE4}')),
    (0x8FF3F3, 0x8FF3FC, Run('\u{2170}')),
    (0x8FF3FD, 0x8FF3FE, Run('\u{2160}')),
    (0x8FF4A1, 0x8FF4A8, Run('\u{2162}')),
    (0x8FF4A9, 0x8FF4FE, Listed(EUCJPMS_IBM)),
];

/// The standard of 2005, where browsers have characters that came later.
static GB18030_DIFFERENCES: &[Difference] = &[
    (0xA3A0, 0xA3A0, Run('\u{E5E5}')),
    (0xA6D9, 0xA6DF, Run('\u{E78D}')),
    (0xA6EC, 0xA6ED, Run('\u{E794}')),
    (0xA6F3, 0xA6F3, Run('\u{E796}')),
    (0xFE59, 0xFE59, Run('\u{E81E}')),
    (0xFE61, 0xFE61, Run('\u{E826}')),
    (0xFE66, 0xFE67, Run('\u{E82B}')),
    (0xFE6D, 0xFE6D, Run('\u{E832}')),
    (0xFE7E, 0xFE7E, Run('\u{E843}')),
    (0xFE90, 0xFE90, Run('\u{E854}')),
    (0xFEA0, 0xFEA0, Run('\u{E864}')),
];

/// Ten rows and again ten for characters of the user: private ones in Unicode.
static EUC_USER_DEFINED: &[Difference] = &[
    (0xF5A1, 0xF5FE, Run('\u{E000}')),
    (0xF6A1, 0xF6FE, Run('\u{E05E}')),
    (0xF7A1, 0xF7FE, Run('\u{E0BC}')),
    (0xF8A1, 0xF8FE, Run('\u{E11A}')),
    (0xF9A1, 0xF9FE, Run('\u{E178}')),
    (0xFAA1, 0xFAFE, Run('\u{E1D6}')),
    (0xFBA1, 0xFBFE, Run('\u{E234}')),
    (0xFCA1, 0xFCFE, Run('\u{E292}')),
    (0xFDA1, 0xFDFE, Run('\u{E2F0}')),
    (0xFEA1, 0xFEFE, Run('\u{E34E}')),
    (0x8FF5A1, 0x8FF5FE, Run('\u{E3AC}')),
    (0x8FF6A1, 0x8FF6FE, Run('\u{E40A}')),
    (0x8FF7A1, 0x8FF7FE, Run('\u{E468}')),
    (0x8FF8A1, 0x8FF8FE, Run('\u{E4C6}')),
    (0x8FF9A1, 0x8FF9FE, Run('\u{E524}')),
    (0x8FFAA1, 0x8FFAFE, Run('\u{E582}')),
    (0x8FFBA1, 0x8FFBFE, Run('\u{E5E0}')),
    (0x8FFCA1, 0x8FFCFE, Run('\u{E63E}')),
    (0x8FFDA1, 0x8FFDFE, Run('\u{E69C}')),
    (0x8FFEA1, 0x8FFEFE, Run('\u{E6FA}')),
];
