//! What a document may still grow to while it is walked as a whole.

use super::JsonRef;
use crate::decode::fault::corrupt;
use crate::error::Result;

/// Values and bytes of text that a document's bytes leave room for.
pub(super) struct Budget(usize);

impl Budget {
    /// What can be at and below a value.
    pub(super) fn of(value: JsonRef<'_>) -> Budget {
        Budget(value.len())
    }

    /// Takes an array's or object's values, or the bytes of a text, before they are taken from the document.
    pub(super) fn spend(&mut self, amount: usize) -> Result<()> {
        match self.0.checked_sub(amount) {
            Some(left) => {
                self.0 = left;
                Ok(())
            }
            None => Err(corrupt("a JSON document holds more than its bytes")),
        }
    }
}
