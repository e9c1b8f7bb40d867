//! One edit made to a tree (MySQL source, `sql/json_diff.cc`, `apply_json_diffs`).

use super::diff::{JsonEdit, JsonOperation};
use super::path::{self, Leg};
use super::{JsonRef, MAX_DEPTH};
use crate::decode::fault::corrupt;
use crate::error::{Error, Result};
use crate::model::Json;

pub(super) fn apply(tree: &mut Json, edit: JsonEdit<'_>) -> Result<()> {
    let legs = path::parse(edit.path)?;
    // The server logs the whole document where its root changes.
    let (last, legs_before) = legs.split_last().ok_or_else(misfit)?;
    let parent = legs_before.iter().try_fold(tree, step).ok_or_else(misfit)?;
    match edit.operation {
        JsonOperation::Replace => *step(parent, last).ok_or_else(misfit)? = value(edit.value, legs.len())?,
        JsonOperation::Insert => insert(parent, last, value(edit.value, legs.len())?).ok_or_else(misfit)?,
        JsonOperation::Remove => remove(parent, last).ok_or_else(misfit)?,
    }
    Ok(())
}

/// The new value, which has so many levels around it.
fn value(value: Option<JsonRef<'_>>, depth: usize) -> Result<Json> {
    let depth = u8::try_from(depth).unwrap_or(MAX_DEPTH);
    value.ok_or_else(misfit)?.below(depth).to_tree()
}

fn step<'t>(tree: &'t mut Json, leg: &Leg<'_>) -> Option<&'t mut Json> {
    match (tree, leg) {
        (Json::Object(members), Leg::Member(key)) => {
            let at = position(members, key)?;
            members.get_mut(at).map(|(_, value)| value)
        }
        (Json::Array(items), leg) => {
            let at = leg.within(items.len())?;
            items.get_mut(at)
        }
        _ => None,
    }
}

fn insert(parent: &mut Json, leg: &Leg<'_>, value: Json) -> Option<()> {
    match (parent, leg) {
        (Json::Object(members), Leg::Member(key)) if position(members, key).is_none() => {
            // In any order: the encoder sorts.
            members.push((key.clone().into_owned(), value));
        }
        (Json::Array(items), leg) => items.insert(leg.insertion(items.len())?, value),
        _ => return None,
    }
    Some(())
}

fn remove(parent: &mut Json, leg: &Leg<'_>) -> Option<()> {
    match (parent, leg) {
        (Json::Object(members), Leg::Member(key)) => drop(members.swap_remove(position(members, key)?)),
        (Json::Array(items), leg) => drop(items.remove(leg.within(items.len())?)),
        _ => return None,
    }
    Some(())
}

fn position(members: &[(String, Json)], key: &str) -> Option<usize> {
    members.iter().position(|(name, _)| name == key)
}

#[cold]
fn misfit() -> Error {
    corrupt("a JSON diff does not fit the document before it")
}
