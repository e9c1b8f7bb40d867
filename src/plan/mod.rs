//! Transactions → groups of row operations for green. Pure: no sockets, no clock, no SQL.
//!
//! A group is a run of whole blue transactions that becomes one green transaction. All changes of a row become one
//! operation where that is sound (`merge` says when); the rows stay in the events' bytes, and operations name their places.
//!
//! # Invariants
//! 1. A group holds whole transactions only; a transaction that cannot be planned leaves the group as it was.
//! 2. What is not understood stops: a statement that is not known, an image that does not say which row it is, a table that green has not or has
//!    differently. Nothing is passed over but the tables that are the server's or this library's own, or
//!    that were said to be green's.
//! 3. A statement of blue ends the open group: what came before it is on green before it, and nothing that comes after.
//! 4. The position moves with every transaction, also one that changes nothing green holds.

mod ddl;
mod key;
mod lane;
mod mapping;
mod merge;
mod op;
mod planner;
mod stored;
mod target;

pub(crate) use ddl::event_at_rest;
pub use ddl::{Ddl, Object, Rules, WAYS_ON, Way};
pub(crate) use key::{is_comparable, write_folded};
pub use mapping::{compare, with_sign};
pub use op::{Group, Op, RowOp, RowPlace};
pub use planner::Planner;
pub(crate) use stored::is_text;
pub use target::{TargetColumn, TargetTable};
