//! MySQL's binary JSON (MySQL source, `sql-common/json_binary.h`): read without a copy, written, printed as the server
//! prints it, and brought forward by the diffs of partial updates (`sql/json_diff.cc`).
//!
//! [`JsonRef`] is a value where it lies in the log; [`encode`] writes a tree the way the server does; [`JsonDiff`] is what
//! `binlog_row_value_options=PARTIAL_JSON` logs instead of a document.
//!
//! # Invariants
//! 1. Depth is bounded as on the server, which refuses to store more than 100 levels: a [`JsonRef`] knows its level.
//! 2. What [`JsonRef::to_tree`] and [`JsonRef::write_text`] make has no more values and no more text than the document has
//!    bytes: offsets that lead to the same place again and again cannot multiply it.
//! 3. No bytes make anything here panic, and no allocation is larger than invariant 2 allows.
//! 4. `Debug` shows no value.

mod budget;
mod diff;
mod double;
mod encode;
mod format;
mod node;
mod patch;
mod path;
mod text;
mod tree;
mod typed;

pub use self::diff::{JsonDiff, JsonEdit, JsonOperation};
pub use self::encode::encode;
pub use self::node::{JsonArray, JsonNode, JsonObject, JsonRef};

/// The most levels of arrays and objects that a document has (MySQL source, `sql-common/json_syntax_check.cc`).
const MAX_DEPTH: u8 = 100;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::format::{OPAQUE, SMALL_ARRAY};
    use super::*;
    use crate::ErrorKind;
    use crate::model::{Json, JsonNumber, TemporalParts};

    /// Documents with members in the server's order.
    pub(super) fn any_json() -> impl Strategy<Value = Json> {
        let moment =
            TemporalParts { year: 9999, month: 12, day: 31, hour: 23, fraction: 6, ..TemporalParts::default() };
        let time = TemporalParts { is_negative: true, hour: 838, micros: 1, fraction: 6, ..TemporalParts::default() };
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::Bool),
            any::<i64>().prop_map(|n| Json::Number(JsonNumber::Int(n))),
            any::<i16>().prop_map(|n| Json::Number(JsonNumber::Int(n.into()))),
            any::<i32>().prop_map(|n| Json::Number(JsonNumber::Int(n.into()))),
            any::<u64>().prop_map(|n| Json::Number(JsonNumber::UInt(n))),
            any::<u32>().prop_map(|n| Json::Number(JsonNumber::UInt(n.into()))),
            (-1e300..1e300).prop_map(|n| Json::Number(JsonNumber::Double(n))),
            ".{0,200}".prop_map(Json::String),
            "-?[1-9][0-9]{0,50}(\\.[0-9]{1,30})?".prop_map(Json::Decimal),
            Just(Json::DateTime(moment)),
            Just(Json::Timestamp(moment)),
            Just(Json::Time(time)),
            Just(Json::Date(TemporalParts { year: 2024, month: 2, day: 29, ..TemporalParts::default() })),
            prop::collection::vec(any::<u8>(), 0..200).prop_map(|bytes| Json::Opaque(252, bytes.into())),
            Just(Json::String("x".repeat(66_000))),
        ];
        leaf.prop_recursive(5, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Json::Array),
                prop::collection::btree_map(".{0,5}", inner, 0..6).prop_map(|members| {
                    let mut members: Vec<_> = members.into_iter().collect();
                    members.sort_by(|(one, _), (two, _)| (one.len(), one).cmp(&(two.len(), two)));
                    Json::Object(members)
                }),
            ]
        })
    }

    fn walk(document: &[u8]) {
        let Ok(value) = JsonRef::new(document) else { return };
        let mut text = String::new();
        let is_printed = value.write_text(&mut text).is_ok();
        let tree = value.to_tree();
        assert!(tree.is_ok() || !is_printed);
        assert!(text.len() <= 30 * (document.len() + 4));
        if let Ok(tree) = tree {
            // Keys may be there twice.
            let _ = encode(&tree);
        }
    }

    proptest! {
        #[test]
        fn documents_round_trip(json in any_json()) {
            let document = encode(&json).unwrap();
            prop_assert!(JsonRef::new(&document).unwrap().to_tree().unwrap() == json);
        }

        #[test]
        fn damaged_documents_never_panic(
            json in any_json(), cut: prop::sample::Index, marks: Vec<(prop::sample::Index, u8)>,
        ) {
            let mut document = encode(&json).unwrap();
            walk(&document[..cut.index(document.len())]);
            for (at, byte) in marks {
                let at = at.index(document.len().min(100));
                document[at] = byte;
                walk(&document);
            }
        }

        #[test]
        fn any_bytes_never_panic(kind in 0..16_u8, bytes: Vec<u8>) {
            walk(&[&[kind], bytes.as_slice()].concat());
            let before = encode(&Json::Array(vec![Json::Null])).unwrap();
            let _ = JsonDiff::new(&bytes).apply(JsonRef::new(&before).unwrap());
        }
    }

    #[test]
    fn no_bytes_are_json_null() {
        assert!(JsonRef::new(&[]).unwrap().to_tree().unwrap() == Json::Null);
    }

    #[test]
    fn typed_values() {
        let read = |bytes: &[u8]| JsonRef::new(bytes).unwrap().to_tree();
        assert!(read(&[OPAQUE, 246, 4, 2, 1, 0x81, 0x05]).unwrap() == Json::Decimal("1.5".into()));
        assert!(read(&[OPAQUE, 246, 5, 2, 1, 0x81, 0x05, 0]).is_err());
    }

    #[test]
    fn offsets_that_meet_cannot_multiply_a_document() {
        // Levels of two entries that lead to the same next level: 2^60 values in a few hundred bytes.
        let mut out = vec![SMALL_ARRAY];
        let levels = 60_u16;
        let size = levels * 10 + 4;
        for level in 0..levels {
            out.extend(2_u16.to_le_bytes());
            out.extend((size - level * 10).to_le_bytes());
            for _ in 0..2 {
                out.push(SMALL_ARRAY);
                out.extend(10_u16.to_le_bytes());
            }
        }
        out.extend([0, 0, 4, 0]);
        let value = JsonRef::new(&out).unwrap();
        assert_eq!(value.to_tree().unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(value.write_text(&mut String::new()).unwrap_err().kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |levels: usize| (0..levels).fold(Json::Null, |inner, _| Json::Array(vec![inner]));
        let deepest = encode(&nested(100)).unwrap();
        assert!(JsonRef::new(&deepest).unwrap().to_tree().unwrap() == nested(100));
        assert!(encode(&nested(101)).is_err());
        // An array in itself, without end.
        let endless = [SMALL_ARRAY, 1, 0, 7, 0, SMALL_ARRAY, 0, 0];
        assert!(JsonRef::new(&endless).unwrap().write_text(&mut String::new()).is_err());
    }
}
