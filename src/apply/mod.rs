//! A group of whole transactions → green, with its checkpoint in the same commit.
//!
//! # Invariants
//! 1. The checkpoint's row is the first thing that a transaction writes: two engines, or an engine and what a killed
//!    one left behind, wait for each other there and cannot both go on.
//! 2. A group is on green together with its checkpoint, or not at all. Where lanes share it, that is so for each lane's
//!    share (`lanes`).
//! 3. Every statement must match exactly the rows that it speaks of. Where it does not, green was written by somebody
//!    else; the group starts over, row by row, and blue wins: each such row is counted.
//! 4. With [`Policy::Stop`] no row is changed that was not as blue had it: such a group is not committed.
//! 5. The session stores what it is given: UTC, zero and invalid dates, AUTO_INCREMENT 0, binary-exact strings in the
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
//! Where the account may use them and green stores blue's values in blue's bytes, the rows of a group go in one `BINLOG`
//! statement as row events instead: those of tables with a primary key and no foreign keys, merged to one operation a row,
//! from four of a kind on (`row_event`). They have no counts; a row that is not there, or is, is an error.
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
//! Row events through `BINLOG`, in events of 256 KiB, beside a statement of 1,000 rows (MySQL 9.7; MariaDB 10.11):
//!
//! | rows | statement | `BINLOG` |
//! |---|---|---|
//! | sysbench's, inserted | 23 µs; 19 µs | 16 µs; 14 µs |
//! | sysbench's, `ON DUPLICATE KEY UPDATE` | 39 µs | 30 µs |
//! | of 40 columns, inserted | 53 µs; 50 µs | 29 µs; 20 µs |
//!
//! So it is the form of all groups of rows that may have it, where the account may use it (`BINLOG_ADMIN`, `BINLOG REPLAY`,
//! SUPER before there were these). In `benches/apply`, MySQL 9.7, on a machine that others used too; green's CPU time and the
//! engine's for a row change of blue:
//!
//! | workload | green, SQL | green, `BINLOG` | engine, SQL | engine, `BINLOG` |
//! |---|---|---|---|---|
//! | 50 columns, changed in small transactions | 69 µs | 44 µs | 12.9 µs | 8.6 µs |
//! | documents of 500 bytes, likewise | 45 µs | 24 µs | 13.0 µs | 6.2 µs |
//! | 1 to 8 KiB of random bytes, likewise | 197 µs | 123 µs | 36.5 µs | 26 µs |
//! | 400,000 rows inserted at once | 26 µs | 15 µs | 2.7 µs | 1.8 µs |
//! | 100,000 rows updated at once | 41 µs | 22 µs | 3.2 µs | 2.1 µs |
//! | 100,000 rows deleted at once | 20 µs | 15 µs | 1.6 µs | 1.4 µs |
//!
//! MySQL's own replication takes 20 µs, 39 µs and 16 µs of the last three. MariaDB 10.11 takes by `BINLOG` 27, 17, 80, 15, 19
//! and 9 µs, its own replication 14, 18 and 9 µs of the last three; the engine 8.8, 7.2, 26, 1.9, 2.8 and 1.1 µs.
//!
//! Where a value of bytes goes as SQL it is in hexadecimal. A literal of the bytes as they are, `_binary'…'` with backslashes in
//! front of `'` and `\\`, is exact and without warnings on MySQL 5.6 and 9.7 and MariaDB 10.5, 10.11 and 11.8 (all pairs of
//! bytes, random values); scripts would have to be bytes instead of text. It is not built yet.
//!
//! `LOCAL` passes over rows that a key excludes, and MySQL allows it only where an operator has set `local_infile`.
//! `REPLACE` deletes rows that foreign keys refer to or that only share another unique value, and joins convert values
//! through the types of a derived table; none of these is worth its risk.

pub mod checkpoint;
mod context;
mod ddl;
mod definition;
mod green;
mod lanes;
mod literal;
mod row_event;
mod script;
mod statement;

pub use checkpoint::{Checkpoint, Stream};
pub(crate) use context::Defaults;
pub(crate) use ddl::Statements;
pub(crate) use green::{Applied, Applier};
pub(crate) use lanes::Lanes;
pub(crate) use script::Prepared;
pub(crate) use statement::Dialect;
pub use statement::Policy;
