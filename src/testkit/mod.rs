//! Logs without a server: a small writer of binary logs, for properties, benches and embedders' tests.
//!
//! It knows the format by itself and shares no code with [`decode`](crate::decode), so that a round trip through both
//! proves something. See [`LogWriter`] for an example.
//!
//! # Invariants
//! 1. What it writes is what a server writes: `tests/testkit.rs` lets the servers' own `mysqlbinlog` and `mariadb-binlog`
//!    read every event and every type, lets servers apply what those cannot show, and compares heads, table maps, rows and
//!    GTIDs with real logs, byte for byte.
//! 2. A value that its column cannot hold is not written: that panics, for it is a mistake in a test. Bytes that no server
//!    writes come from [`Event::raw`] and [`Cell::Raw`] alone.
//! 3. The same calls make the same bytes: no clock, no randomness.
//! 4. No row value is in any `Debug` output.
//!
//! # What is not in it
//! Encrypted logs, LOAD events of old servers, MariaDB's DATETIME of 5.3 with a fraction (which no log can tell from one
//! without).
//!
//! Three events are written after their documents alone, for no tool of the tests reads them: PARTIAL_ROW_DATA (172) of
//! MariaDB 12.3, START_ENCRYPTION (164), and heartbeats, which are in no file.

mod cell;
mod column;
mod compression;
mod control;
mod decimal;
mod encode;
mod event;
mod group;
mod gtid;
pub mod kind;
mod log;
mod mariadb_gtid;
mod release;
mod rows;
mod session_value;
mod statement;
mod table_map;
mod temporal;

pub use cell::{Cell, JsonDiff};
pub use column::{ColumnSpec, ColumnType};
pub use compression::PayloadCompression;
pub use event::{Event, flag};
pub use group::{TransactionContext, XaId};
pub use gtid::Gtid;
pub use log::{Checksum, LogWriter};
pub use mariadb_gtid::{AlterPhase, MariaDbGtid, gtid_flag};
pub use release::Release;
pub use rows::{ExtraRowInfo, Rows, rows_flag};
pub use session_value::{IntVar, UserValue};
pub use statement::{Query, StatusVariable};
pub use table_map::{RowMetadata, TableMap};
