//! A group of whole transactions → green, with its checkpoint in the same commit.
//!
//! # Invariants
//! 1. The checkpoint's row is the first thing that a transaction writes: two engines, or an engine and what a killed
//!    one left behind, wait for each other there and cannot both go on.
//! 2. A group is on green together with its checkpoint, or not at all.
//! 3. Every statement must match exactly the rows that it speaks of. Where it does not, green was written by somebody
//!    else; the group starts over, row by row, and blue wins: each such row is counted.
//! 4. The session stores what it is given: UTC, zero and invalid dates, AUTO_INCREMENT 0, binary-exact strings in the
//!    column's own character set; a warning is an error.
//!
//! Statement forms: multi-row `INSERT`, `UPDATE` and `DELETE` by row key, many statements in one round trip. Two round
//! trips a group: the statements, and the commit once their counts were looked at.

pub mod checkpoint;
mod context;
mod ddl;
mod definition;
mod green;
mod literal;
mod statement;

pub use checkpoint::{Checkpoint, Stream};
pub(crate) use context::Defaults;
pub(crate) use ddl::Statements;
pub(crate) use green::Applier;
