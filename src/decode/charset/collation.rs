//! Collation numbers to character sets.
//!
//! # Source
//! `SELECT ID, CHARACTER_SET_NAME FROM information_schema.COLLATIONS` on MySQL 5.6 and 9.7 and MariaDB 10.5; on MariaDB
//! from 10.10 `information_schema.COLLATION_CHARACTER_SET_APPLICABILITY`, which has the numbers of collations that belong
//! to several sets. How MariaDB counts from 1024 on is in its source, `include/m_ctype.h` and `strings/ctype-uca1400.h`.

use super::Charset;
use crate::model::Flavor;

pub(super) fn charset(flavor: Flavor, collation: u16) -> Option<Charset> {
    match flavor {
        Flavor::MySql => shared(collation).or_else(|| of_mysql(collation)),
        Flavor::MariaDb => of_mariadb(collation),
    }
}

fn of_mysql(collation: u16) -> Option<Charset> {
    Some(match collation {
        76 => Charset::Utf8mb3,
        248..=250 => Charset::Gb18030,
        303..=323 => Charset::Utf8mb4,
        _ => return None,
    })
}

fn of_mariadb(collation: u16) -> Option<Charset> {
    Some(match collation {
        // Other names for collations of MySQL.
        305 | 309 => Charset::Utf8mb4,
        576..=579 => Charset::Utf8mb3,
        608..=611 => Charset::Utf8mb4,
        640..=642 => Charset::Ucs2,
        672..=674 => Charset::Utf16,
        736..=738 => Charset::Utf32,
        // Without padding: the number of the one that pads, and 1024.
        1024..2048 => return shared(collation.checked_sub(1024)?),
        // UCA 14.0.0: 256 numbers for each set.
        2048..2304 => Charset::Utf8mb3,
        2304..2560 => Charset::Utf8mb4,
        2560..2816 => Charset::Ucs2,
        2816..3072 => Charset::Utf16,
        3072..3328 => Charset::Utf32,
        _ => return shared(collation),
    })
}

/// What both families number alike.
fn shared(collation: u16) -> Option<Charset> {
    Some(match collation {
        1 | 84 => Charset::Big5,
        2 | 9 | 21 | 27 | 77 => Charset::Latin2,
        3 | 69 => Charset::Dec8,
        4 | 80 => Charset::Cp850,
        5 | 8 | 15 | 31 | 47..=49 | 94 => Charset::Latin1,
        6 | 72 => Charset::Hp8,
        7 | 74 => Charset::Koi8r,
        10 | 82 => Charset::Swe7,
        11 | 65 => Charset::Ascii,
        12 | 91 => Charset::Ujis,
        13 | 88 => Charset::Sjis,
        14 | 23 | 50..=52 => Charset::Cp1251,
        16 | 71 => Charset::Hebrew,
        18 | 89 => Charset::Tis620,
        19 | 85 => Charset::Euckr,
        20 | 41 | 42 | 79 => Charset::Latin7,
        22 | 75 => Charset::Koi8u,
        24 | 86 => Charset::Gb2312,
        25 | 70 => Charset::Greek,
        26 | 34 | 44 | 66 | 99 => Charset::Cp1250,
        28 | 87 => Charset::Gbk,
        29 | 58 | 59 => Charset::Cp1257,
        30 | 78 => Charset::Latin5,
        32 | 64 => Charset::Armscii8,
        33 | 83 | 192..=215 | 223 => Charset::Utf8mb3,
        35 | 90 | 128..=151 | 159 => Charset::Ucs2,
        36 | 68 => Charset::Cp866,
        37 | 73 => Charset::Keybcs2,
        38 | 43 => Charset::Macce,
        39 | 53 => Charset::Macroman,
        40 | 81 => Charset::Cp852,
        45 | 46 | 224..=247 | 255..=271 | 273..=275 | 277..=294 | 296..=298 | 300 => Charset::Utf8mb4,
        54 | 55 | 101..=124 => Charset::Utf16,
        56 | 62 => Charset::Utf16le,
        57 | 67 => Charset::Cp1256,
        60 | 61 | 160..=183 => Charset::Utf32,
        63 => Charset::Binary,
        92 | 93 => Charset::Geostd8,
        95 | 96 => Charset::Cp932,
        97 | 98 => Charset::Eucjpms,
        _ => return None,
    })
}
