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
//! # Statement forms
//! Inserts are multi-row `INSERT`s, deletes conditions on many keys, updates of a key that stays multi-row `INSERT … ON
//! DUPLICATE KEY UPDATE`, whose count tells changed rows (2) from new ones (1): a row that is not there is noticed. With
//! several unique keys a row that is not there could hit another row, so an `UPDATE` that changes nothing counts the
//! rows first. Whatever is alone, changes its key, or changes little of a long row is an `UPDATE` of its own. All goes in
//! one script, in packets of at most 4 MiB: one round trip for it, one for the commit once the counts were looked at.
//! An image that lacks columns is an `INSERT` of those that it has, or an `UPDATE` of its own; a document of which it has a
//! change only is changed by the JSON functions.
//!
//! CPU time of green for a row, of 10,000 to a transaction and 1,000 to a statement, rows of sysbench's table with all
//! columns but the key changed (best of two, on two cores that others used too):
//!
//! | form | MySQL 9.7 | MariaDB 10.11 |
//! |---|---|---|
//! | `INSERT … ON DUPLICATE KEY UPDATE` | 23 µs | 23 µs |
//! | `REPLACE` | 23 µs | 14 µs |
//! | `UPDATE … JOIN (VALUES ROW …)` | 23 µs | – |
//! | `UPDATE … JOIN (SELECT … UNION ALL …)` | 27 µs | 19 µs |
//! | `DELETE … IN`, then `INSERT` | 40 µs | 21 µs |
//! | `UPDATE` of one row, a round trip each | 126 µs | 95 µs |
//!
//! And for an inserted row, of 200,000 in one transaction (two rounds, both alike):
//!
//! | form | MySQL 9.7 | MariaDB 10.11 |
//! |---|---|---|
//! | `INSERT` of 1,200 rows | 23 µs | 12 µs |
//! | `INSERT` of 120 rows | 22 µs | 12 µs |
//! | `LOAD DATA LOCAL INFILE` | 17 µs | 10 µs |
//!
//! `LOCAL` passes over rows that a key excludes, and MySQL allows it only where an operator has set `local_infile`.
//! `REPLACE` deletes rows that foreign keys refer to or that only share another unique value, and joins convert values
//! through the types of a derived table; none of these is worth its risk.

pub mod checkpoint;
mod context;
mod ddl;
mod definition;
mod green;
mod literal;
mod script;
mod statement;

pub use checkpoint::{Checkpoint, Stream};
pub(crate) use context::Defaults;
pub(crate) use ddl::Statements;
pub(crate) use green::{Applied, Applier};
pub(crate) use script::Prepared;
pub(crate) use statement::Dialect;
