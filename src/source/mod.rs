//! Bytes in: the dump stream of a live server, or log files. Gives frames, knows nothing of rows.
//!
//! # Invariants
//! 1. A stream is fused: after an error it gives nothing but errors.
//! 2. A live stream never ends cleanly: an end that nobody asked for is an error.
//! 3. Silence is noticed: a source that sends neither event nor heartbeat is an error within a bounded time.

mod dump;
pub mod file;

pub use dump::{Dump, DumpRequest};

pub(crate) use dump::check_start;
