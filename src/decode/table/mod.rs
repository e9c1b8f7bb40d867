//! Tables as the log describes them: columns, and the plan by which their rows are read.

mod layout;
mod map;
mod open;

pub(super) use layout::{ColumnLayout, Layout, UNKNOWN};
pub use map::{TableMap, WireColumn};
pub(super) use map::{bit_from_low, read_id};
pub(super) use open::OpenTables;
