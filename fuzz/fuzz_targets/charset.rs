//! Text in every character set: any bytes are text or none, within the bound, and sets that are UTF-8 borrow.
//!
//! Input: flavour (even: MySQL), the collation's number in two bytes, and the bytes.
#![no_main]

use std::borrow::Cow;

use bluegreen::decode::charset::Charset;
use bluegreen::model::Flavor;
use bluegreen_fuzz::Input;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let flavor = if input.byte().is_multiple_of(2) { Flavor::MySql } else { Flavor::MariaDb };
    let collation = input.short();
    let bytes = input.rest();
    let Some(charset) = Charset::of_collation(flavor, collation) else { return };
    assert_eq!(Charset::from_name(charset.name()), Some(charset));
    let text = charset.text(bytes);
    assert!(text.is_none() || !charset.is_binary());
    assert!(bytes.len() < 4 || text.as_ref().is_none_or(|text| text.len() <= 3 * bytes.len()));
    match charset {
        Charset::Utf8mb4 => {
            assert_eq!(text.as_deref(), std::str::from_utf8(bytes).ok());
            assert!(matches!(text, None | Some(Cow::Borrowed(_))));
        }
        Charset::Utf8mb3 => {
            let expected = std::str::from_utf8(bytes).ok().filter(|text| text.chars().all(|c| c <= '\u{ffff}'));
            assert_eq!(text.as_deref(), expected);
        }
        _ => {}
    }
    // Characters stand for themselves wherever they stand: two texts behind each other are the text of both. Sets whose
    // characters can be cut in the middle only where the first part is whole.
    if let Some(text) = text {
        let twice = [bytes, bytes].concat();
        assert_eq!(charset.text(&twice).as_deref(), Some(text.repeat(2).as_str()), "{charset:?}");
    }
});
