//! The diffs that a partial update logs for a column instead of its document (MySQL source, `sql/json_diff.cc`,
//! `Json_diff_vector::read_binary`): an operation in a byte, a path with its length, and but for a removal a document with
//! its length.

use std::fmt;

use super::text::{refused, write_string};
use super::{JsonRef, encode, node, patch};
use crate::decode::cursor::Cursor;
use crate::decode::fault::corrupt;
use crate::error::Result;

const REPLACE: u8 = 0;
const INSERT: u8 = 1;
const REMOVE: u8 = 2;

/// The diffs of one column in a PARTIAL_UPDATE_ROWS event.
#[derive(Clone, Copy)]
pub struct JsonDiff<'a> {
    bytes: &'a [u8],
}

/// What an edit does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "MySQL's diffs have exactly these")]
pub enum JsonOperation {
    /// Puts another value in the place of one that is there.
    Replace,
    /// Adds an object's member that is not there, or a value in front of an array's value; behind the last one where the
    /// array is shorter.
    Insert,
    /// Takes a member or an array's value away.
    Remove,
}

impl JsonOperation {
    /// `replace`, `insert` or `remove`.
    pub const fn name(self) -> &'static str {
        match self {
            JsonOperation::Replace => "replace",
            JsonOperation::Insert => "insert",
            JsonOperation::Remove => "remove",
        }
    }
}

/// One edit of a document.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct JsonEdit<'a> {
    /// What is done.
    pub operation: JsonOperation,
    /// Where, as the statement had it: `$`, then `.key`, `."any key"` in JSON's quoting, `[3]`, `[last]` or `[last-1]`.
    pub path: &'a str,
    /// The new value; none for a removal.
    pub value: Option<JsonRef<'a>>,
}

impl<'a> JsonDiff<'a> {
    /// The diffs in a column's value of an after image, without the four bytes of its length. Nothing is read yet.
    pub fn new(bytes: &'a [u8]) -> JsonDiff<'a> {
        JsonDiff { bytes }
    }

    /// The edits, in the order in which they are made. After an error there are no more.
    ///
    /// # Errors
    /// `Corrupt` for bytes that the server does not write. Paths are not checked yet.
    pub fn iter(self) -> impl Iterator<Item = Result<JsonEdit<'a>>> {
        let mut cursor = Cursor::new(self.bytes);
        std::iter::from_fn(move || {
            if cursor.is_empty() {
                return None;
            }
            let edit = read_edit(&mut cursor);
            if edit.is_err() {
                cursor.rest();
            }
            Some(edit)
        })
    }

    /// The document as it is after the update, as [`encode`] writes it.
    ///
    /// # Errors
    /// `Corrupt` where an edit does not fit the document before it, and as in [`iter`](Self::iter),
    /// [`JsonRef::to_tree`] and [`encode`].
    pub fn apply(self, before: JsonRef<'_>) -> Result<Vec<u8>> {
        let mut tree = before.to_tree()?;
        for edit in self.iter() {
            patch::apply(&mut tree, edit?)?;
        }
        encode(&tree)
    }

    /// Writes the edits as a JSON array: `[{"op":"replace","path":"$.a","value":1}]`. Values are as
    /// [`JsonRef::write_text`] has them.
    ///
    /// # Errors
    /// As [`iter`](Self::iter) and [`JsonRef::write_text`]. What was written before stays in `out`.
    pub fn write_json(self, out: &mut impl fmt::Write) -> Result<()> {
        out.write_char('[').map_err(refused)?;
        for (index, edit) in self.iter().enumerate() {
            let edit = edit?;
            let comma = if index == 0 { "" } else { "," };
            write!(out, "{comma}{{\"op\":\"{}\",\"path\":", edit.operation.name()).map_err(refused)?;
            write_string(out, edit.path).map_err(refused)?;
            if let Some(value) = edit.value {
                out.write_str(",\"value\":").map_err(refused)?;
                value.write_text(out)?;
            }
            out.write_char('}').map_err(refused)?;
        }
        out.write_char(']').map_err(refused)
    }
}

fn read_edit<'a>(cursor: &mut Cursor<'a>) -> Result<JsonEdit<'a>> {
    let operation = match cursor.u8()? {
        REPLACE => JsonOperation::Replace,
        INSERT => JsonOperation::Insert,
        REMOVE => JsonOperation::Remove,
        other => return Err(corrupt(format!("expected an operation of a JSON diff, found {other}"))),
    };
    let length = cursor.packed_length()?;
    let path = node::utf8(cursor.take(length)?)?;
    let value = match operation {
        JsonOperation::Remove => None,
        _ => {
            let length = cursor.packed_length()?;
            Some(JsonRef::new(cursor.take(length)?)?)
        }
    };
    Ok(JsonEdit { operation, path, value })
}

impl fmt::Debug for JsonDiff<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JsonDiff")
    }
}

impl fmt::Debug for JsonEdit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JsonEdit")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{Json, JsonNumber};

    fn edit(operation: u8, path: &str, value: &Json) -> Vec<u8> {
        let part = |bytes: &[u8]| [&[253], &bytes.len().to_le_bytes()[..3], bytes].concat();
        let value = if operation == REMOVE { Vec::new() } else { part(&encode(value).unwrap()) };
        [&[operation], part(path.as_bytes()).as_slice(), &value].concat()
    }

    fn number(number: i64) -> Json {
        Json::Number(JsonNumber::Int(number))
    }

    fn applied(before: &Json, diff: &[u8]) -> Result<String> {
        let before = encode(before)?;
        let after = JsonDiff::new(diff).apply(JsonRef::new(&before)?)?;
        let mut text = String::new();
        JsonRef::new(&after)?.write_text(&mut text)?;
        Ok(text)
    }

    fn document() -> Json {
        Json::Object(vec![("b".into(), Json::Array(vec![number(1), number(2)])), ("cc".into(), Json::Null)])
    }

    #[test]
    fn edits_follow_each_other() {
        let diff = [
            edit(REPLACE, "$.b[1]", &Json::Object(Vec::new())),
            edit(INSERT, "$.b[1].new", &number(-1)),
            edit(INSERT, "$.b[9]", &number(9)),
            edit(INSERT, "$.b[0]", &number(0)),
            edit(INSERT, "$.a", &Json::Bool(true)),
            edit(REMOVE, "$.cc", &Json::Null),
            edit(REMOVE, "$.b[1]", &Json::Null),
        ]
        .concat();
        assert_eq!(applied(&document(), &diff).unwrap(), r#"{"a": true, "b": [0, {"new": -1}, 9]}"#);
        let mut json = String::new();
        JsonDiff::new(&diff[..diff.len() - edit(REMOVE, "$.b[1]", &Json::Null).len()]).write_json(&mut json).unwrap();
        assert!(json.starts_with(r#"[{"op":"replace","path":"$.b[1]","value":{}},{"op":"insert","#), "{json}");
        assert!(json.ends_with(r#"{"op":"remove","path":"$.cc"}]"#), "{json}");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (operation, path) in [
            (REPLACE, "$"),
            (REPLACE, "$.x"),
            (REPLACE, "$.b.x"),
            (REPLACE, "$.b[2]"),
            (INSERT, "$.b"),
            (INSERT, "$.x.y"),
            (INSERT, "$.b.x"),
            (INSERT, "$.cc[0]"),
            (INSERT, "$[0]"),
            (REMOVE, "$.x"),
            (REMOVE, "$.b[2]"),
            (REMOVE, "$.cc[0]"),
            (3, "$.b"),
        ] {
            assert!(applied(&document(), &edit(operation, path, &number(1))).is_err(), "{operation} {path}");
        }
    }

    #[test]
    fn edits_cannot_nest_without_bound() {
        let deep = (0..60).fold(Json::Array(Vec::new()), |inner, _| Json::Array(vec![inner]));
        let step = edit(INSERT, &format!("${}", "[0]".repeat(60)), &deep);
        assert!(applied(&deep, &step).is_err());
    }

    proptest! {
        #[test]
        fn damaged_diffs_never_panic(
            before in super::super::tests::any_json(), path in "\\$(\\.[ab]|\\[[01]\\]){0,3}", operation in 0..4_u8,
            value in super::super::tests::any_json(), marks: Vec<(prop::sample::Index, u8)>,
        ) {
            let mut diff = [edit(operation, &path, &value), edit(INSERT, "$.a", &value)].concat();
            let _ = applied(&before, &diff);
            for (at, byte) in marks {
                let at = at.index(diff.len().min(60));
                diff[at] = byte;
                let _ = applied(&before, &diff);
                let _ = JsonDiff::new(&diff).write_json(&mut String::new());
            }
        }
    }
}
