//! The paths of diffs: `$` and legs `.key`, `."any key"`, `[3]`, `[last-1]` (MySQL source, `sql-common/json_path.cc`,
//! `Json_path_leg::to_string`).

use std::borrow::Cow;

use crate::decode::fault::corrupt;
use crate::error::{Error, Result};

/// One step into a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Leg<'a> {
    /// To an object's member.
    Member(Cow<'a, str>),
    /// To an array's value, counted from 0.
    Cell(usize),
    /// To an array's value, counted backwards from the last one, which is 0.
    FromEnd(usize),
}

impl Leg<'_> {
    /// The place of the value that this leg leads to in an array of so many values, if there is one.
    pub(super) fn within(&self, length: usize) -> Option<usize> {
        match self {
            Leg::Member(_) => None,
            Leg::Cell(index) => Some(*index).filter(|index| *index < length),
            Leg::FromEnd(back) => length.checked_sub(back.saturating_add(1)),
        }
    }

    /// The place where a new value gets in: an end of the array where this leg leads beyond it.
    pub(super) fn insertion(&self, length: usize) -> Option<usize> {
        match self {
            Leg::Member(_) => None,
            Leg::Cell(index) => Some(*index.min(&length)),
            Leg::FromEnd(_) => Some(self.within(length).unwrap_or(0)),
        }
    }
}

/// Reads a path. The server writes neither wildcards nor blanks outside of keys.
pub(super) fn parse(path: &str) -> Result<Vec<Leg<'_>>> {
    let mut rest = path.strip_prefix('$').ok_or_else(wrong)?;
    let mut legs = Vec::new();
    while !rest.is_empty() {
        let leg;
        (leg, rest) = parse_leg(rest).ok_or_else(wrong)?;
        legs.push(leg);
    }
    Ok(legs)
}

/// The first leg and what is behind it.
fn parse_leg(path: &str) -> Option<(Leg<'_>, &str)> {
    if let Some(cell) = path.strip_prefix('[') {
        let (index, rest) = cell.split_once(']')?;
        let leg = match index.strip_prefix("last") {
            Some("") => Leg::FromEnd(0),
            Some(back) => Leg::FromEnd(number(back.strip_prefix('-')?)?),
            None => Leg::Cell(number(index)?),
        };
        return Some((leg, rest));
    }
    let key = path.strip_prefix('.')?;
    if key.starts_with('"') {
        let (quoted, rest) = key.split_at_checked(quoted_length(key)?)?;
        return Some((Leg::Member(serde_json::from_str::<String>(quoted).ok()?.into()), rest));
    }
    let (key, rest) = key.split_at_checked(key.find(['.', '[']).unwrap_or(key.len()))?;
    (!key.is_empty()).then_some((Leg::Member(key.into()), rest))
}

fn number(digits: &str) -> Option<usize> {
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    usize::try_from(digits.parse::<u32>().ok()?).ok()
}

/// Up to and with the quote that ends the string.
fn quoted_length(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    })?;
    end.checked_add(2)
}

#[cold]
fn wrong() -> Error {
    corrupt("expected a path in a JSON diff, found other text")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_of_every_leg() {
        let member = |key: &'static str| Leg::Member(key.into());
        assert_eq!(parse("$").unwrap(), []);
        assert_eq!(parse("$.a.é").unwrap(), [member("a"), member("é")]);
        assert_eq!(
            parse(r#"$."a.b\"\\\u0001"[12]."".c"#).unwrap(),
            [member("a.b\"\\\u{1}"), Leg::Cell(12), member(""), member("c")]
        );
        assert_eq!(parse("$[last][last-2]").unwrap(), [Leg::FromEnd(0), Leg::FromEnd(2)]);
        for wrong in
            ["", "a", "$.", "$a", "$[", "$[]", "$[-1]", "$[+1]", "$[4294967296]", "$.\"a", "$.\"a\\\"", "$[last+1]"]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn cells_within_and_beyond() {
        let places = |leg: Leg<'_>| (leg.within(3), leg.insertion(3));
        assert_eq!(places(Leg::Cell(2)), (Some(2), Some(2)));
        assert_eq!(places(Leg::Cell(3)), (None, Some(3)));
        assert_eq!(places(Leg::Cell(9)), (None, Some(3)));
        assert_eq!(places(Leg::FromEnd(0)), (Some(2), Some(2)));
        assert_eq!(places(Leg::FromEnd(3)), (None, Some(0)));
    }

    proptest! {
        #[test]
        fn any_key_reads_back(key: String) {
            let path = format!("$.{}", serde_json::Value::from(key.as_str()));
            prop_assert_eq!(parse(&path).unwrap(), [Leg::Member(key.into())]);
        }

        #[test]
        fn any_text_never_panics(path in "\\PC*", legs in "([.\\[\\]\"\\\\a1]|last){0,20}") {
            let _ = parse(&path);
            let _ = parse(&format!("${legs}"));
        }
    }
}
