//! JSON documents: their text, their tree, their bytes again, and partial updates.
//!
//! Input: the length of a document in two bytes, the document, and diffs.
#![no_main]

use bluegreen::decode::json::{JsonDiff, JsonNode, JsonRef, encode};
use bluegreen::model::Json;
use bluegreen_fuzz::{Input, expect_no_internal};
use libfuzzer_sys::fuzz_target;

/// Walks a document as a reader does that stops at nothing but depth, for as many values as it has bytes.
fn walk(value: JsonRef<'_>, left: &mut usize) {
    let Some(rest) = left.checked_sub(1) else { return };
    *left = rest;
    match value.node() {
        Ok(JsonNode::Array(array)) => {
            assert_eq!(array.len(), array.iter().count());
            array.iter().flatten().for_each(|item| walk(item, left));
        }
        Ok(JsonNode::Object(object)) => {
            assert_eq!(object.len(), object.iter().count());
            object.iter().flatten().for_each(|(_, member)| walk(member, left));
        }
        Ok(_) => {}
        Err(error) => expect_no_internal(&error),
    }
}

fn text(value: JsonRef<'_>) -> Option<String> {
    let mut text = String::new();
    value.write_text(&mut text).is_ok().then_some(text)
}

/// A tree of the document, where it has one.
fn check(document: &[u8]) -> Option<Json> {
    let value = JsonRef::new(document).ok()?;
    walk(value, &mut document.len().clone());
    let printed = text(value);
    assert!(printed.as_ref().is_none_or(|text| text.len() <= 30 * (document.len() + 4)), "text is multiplied");
    let tree = value.to_tree().ok();
    assert!(printed.is_none() || tree.is_some(), "what can be printed has a tree");
    let tree = tree?;
    // A key may stand there twice, and values may be out of range: then no server writes it so.
    if let Ok(written) = encode(&tree) {
        let again = JsonRef::new(&written).expect("what was written is a document");
        let read = again.to_tree().expect("what was written has a tree");
        assert_eq!(encode(&read).as_deref().ok(), Some(written.as_slice()), "a document changes on its way");
        assert_eq!(text(again).is_some(), printed.is_some(), "one can be printed and the other cannot");
    }
    Some(tree)
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let document = input.part();
    let tree = check(document);
    let diff = JsonDiff::new(input.rest());
    let are_edits_well = diff.iter().all(|edit| edit.is_ok());
    let mut printed = String::new();
    let is_printed = diff.write_json(&mut printed).is_ok();
    assert!(!is_printed || are_edits_well);
    let Ok(before) = JsonRef::new(document) else { return };
    match diff.apply(before) {
        Ok(after) => {
            assert!(tree.is_some() && are_edits_well);
            assert!(check(&after).is_some(), "a diff makes a document that cannot be read");
        }
        Err(error) => expect_no_internal(&error),
    }
});
