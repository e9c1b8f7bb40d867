//! The nouns that all stages share: servers, positions, tables, values.
//!
//! No I/O, no async, no knowledge of any stage.

mod change;
mod frame;
mod gtid;
mod position;
mod server;
mod table;
mod value;

pub use change::{ChangeKind, RowsFlags};
pub use frame::Frame;
pub use gtid::{Gtid, GtidPosition, GtidSet, MariaDbGtid, MariaDbGtidList, MySqlGtid};
pub use position::{Coordinates, Position, StartPosition};
pub use server::{Flavor, ServerIdentity, ServerVersion};
pub(crate) use table::modern_charset;
pub use table::{Column, ColumnKind, Reference, Table, TableName, UniqueKey};
pub use value::{Json, JsonNumber, TemporalParts, Value};
