//! A document as a tree of its own.

use bytes::Bytes;

use super::budget::Budget;
use super::{JsonNode, JsonRef};
use crate::decode::value::DecimalBuffer;
use crate::error::Result;
use crate::model::{Json, JsonNumber};

impl JsonRef<'_> {
    /// Copies this value and all that it holds.
    ///
    /// # Errors
    /// `Corrupt` as in [`node`](Self::node), for any value below.
    pub fn to_tree(self) -> Result<Json> {
        tree(self, &mut Budget::of(self))
    }
}

fn tree(value: JsonRef<'_>, budget: &mut Budget) -> Result<Json> {
    Ok(match value.node()? {
        JsonNode::Null => Json::Null,
        JsonNode::Bool(yes) => Json::Bool(yes),
        JsonNode::Int(number) => Json::Number(JsonNumber::Int(number)),
        JsonNode::UInt(number) => Json::Number(JsonNumber::UInt(number)),
        JsonNode::Double(number) => Json::Number(JsonNumber::Double(number)),
        JsonNode::String(text) => {
            budget.spend(text.len())?;
            Json::String(text.to_owned())
        }
        JsonNode::Decimal(decimal) => Json::Decimal(decimal.text(&mut DecimalBuffer::default())?.to_owned()),
        JsonNode::Date(parts) => Json::Date(parts),
        JsonNode::Time(parts) => Json::Time(parts),
        JsonNode::DateTime(parts) => Json::DateTime(parts),
        JsonNode::Timestamp(parts) => Json::Timestamp(parts),
        JsonNode::Opaque { type_code, bytes } => {
            budget.spend(bytes.len())?;
            Json::Opaque(type_code, Bytes::copy_from_slice(bytes))
        }
        JsonNode::Array(array) => {
            budget.spend(array.len())?;
            let mut items = Vec::with_capacity(array.len());
            for item in array.iter() {
                items.push(tree(item?, budget)?);
            }
            Json::Array(items)
        }
        JsonNode::Object(object) => {
            budget.spend(object.len())?;
            let mut members = Vec::with_capacity(object.len());
            for member in object.iter() {
                let (key, value) = member?;
                budget.spend(key.len())?;
                members.push((key.to_owned(), tree(value, budget)?));
            }
            Json::Object(members)
        }
    })
}
