//! Row changes: a row event, its rows as places in the event's bytes, and their values.

mod change;
mod raw;
mod row;

pub use change::RowsChange;
pub(super) use change::{RowsHead, RowsKind};
pub use row::{Image, Row, RowBuffer, Rows, Values};
