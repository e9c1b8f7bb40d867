//! Frames to transactions: bytes in, values out.
//!
//! ```text
//! Frame ─Unfolder→ Event ─Decoder→ Decoded ─Assembler→ Transaction
//!                             └ RowsChange ─rows()→ Row ─get()→ ValueRef
//! ```
//!
//! A [`Decoder`] gives the parts of transactions as they stream, whatever a transaction's size; an [`Assembler`] puts
//! whole transactions together. Rows are places in the event's own bytes, worked out by a plan that is made once a
//! table; values are views of these bytes, read when they are asked for. An [`Unfolder`] apart moves checksums and
//! decompression to a thread of their own.
//!
//! # Invariants
//! 1. No bytes make it panic. Memory follows the bytes that are there: an event has at most
//!    [`DecoderOptions::max_event_bytes`], and what is unfolded is bounded before it is kept.
//! 2. Nothing is passed over: an event that is not understood is an error, unless the server flagged it ignorable.
//! 3. After an error every call is an error, and the coordinates stay where they were.
//! 4. A [`Transaction`] is whole. Rows that were rolled back are not in it.
//! 5. What stands in the log behind [`Decoder::coordinates`] has not been given away. The coordinates of
//!    [`Decoded::Advanced`], [`Decoded::Heartbeat`] and [`Decoded::End`] are between transactions.
//! 6. Every event with a checksum is checked before its body is read.
//! 7. In steady state nothing is allocated, by row or by event, from the frame to the value.
//!
//! # Coordinates
//! Headers hold the low 32 bits of an event's end. Logs grow beyond 4 GiB with one large transaction, and MariaDB from
//! 11.4 writes 0 inside of transactions. So the decoder adds lengths, and takes the header's figure as a check of the
//! low 32 bits. Servers leave out events of a dump by GTID that the replica has already, and MariaDB leaves out
//! annotations that it was not asked for: where the header's figure is *ahead* by less than 2 GiB the decoder goes there,
//! carrying into the high bits. Any other difference is an error, and so is a gap inside of a transaction of MySQL.
//!
//! An error's place is the *start* of the event that it names; events of a compressed transaction have the place of the
//! payload. The byte is counted from the start of the event's header; of compressed parts, from the start of the
//! unfolded event.
//!
//! # What is refused
//! LOAD DATA in statement format, typed arrays, encrypted files, logs of servers before 5.0 and row events of servers
//! before 5.1.18, incidents; rows of MariaDB's columns of types 7, 11 and 12 unless
//! [`DecoderOptions::declare_fraction`] tells their digits; by the [`Assembler`] also changes in statement format,
//! statements that failed on the source, and a rollback of a transaction that changed tables without transactions: each
//! with what an operator can do.
//!
//! Must not know: SQL beyond the words that bound a transaction, sockets, clocks.
//!
//! Formats: MySQL source, `libs/mysql/binlog/event`; MariaDB source, `sql/log_event.h`; each file names its own.

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::panic
    )
)]

mod assembler;
pub mod charset;
mod checksum;
mod compression;
mod cursor;
mod decoder;
mod event;
mod fault;
mod group;
mod header;
mod options;
mod rows;
mod statement;
mod table;
mod transaction;
mod unfold;
mod value;

pub(crate) use self::assembler::unprepared;
pub use self::assembler::{Assembled, Assembler};
pub use self::decoder::Decoder;
pub use self::event::Event;
pub use self::options::DecoderOptions;
pub use self::rows::{Image, Row, RowBuffer, Rows, RowsChange, Values};
pub use self::statement::{SessionContext, Statement};
pub use self::table::{TableMap, WireColumn};
pub use self::transaction::{
    AlterPhase, Begin, Change, Decoded, End, Outcome, Prepared, SessionValue, Transaction, UserValue, Xid,
};
pub use self::unfold::Unfolder;
pub use self::value::json;
pub use self::value::{DecimalBuffer, DecimalRef, TemporalRef, ValueRef};

use self::options::Fractions;
