//! Binary log files: one, or a series of one server's.
//!
//! # Invariants
//! 1. Memory follows the bytes that are in the file, not the length that an event claims.
//! 2. A file that ends inside of an event is [`End::Unfinished`] where it says itself that it was not closed; else it is
//!    an error.
//! 3. After an error or the end nothing more comes.
//! 4. A frame is a view of the chunk that it was read in: no event takes memory of its own, except one that is longer
//!    than a chunk. A frame that is kept keeps its chunk.
//! 5. A series never leaves a file out: neither one that its names skip, nor one that a ROTATE names.
//!
//! Format: MySQL source, `sql/binlog_istream.cc` and `libs/mysql/binlog/event/binlog_event.h`, "Binlog file header".

mod chunks;
mod fault;
mod format;
mod one;
mod series;

pub use one::FileSource;
pub use series::FileSeries;

/// How a file that was read to its end ends. What is inside of a transaction is for the decoder to say.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// The server closed the file, with ROTATE or STOP.
    Clean {
        /// The file that the log goes on in, as ROTATE names it. `None`: the server was stopped.
        next: Option<String>,
    },
    /// Between two events, and neither is ROTATE or STOP: the server still writes to it, or crashed. A copy that was cut
    /// between two events looks the same.
    Open,
    /// Inside of an event that was not written to its end: the server writes it now, or crashed.
    Unfinished {
        /// Where the event starts, in bytes from the start of the file.
        offset: u64,
        /// Bytes of it that are there, at least 1.
        bytes: u64,
    },
}
