//! Bytes in: frames of the log, from files or from a server.
//!
//! Must not know: rows.

pub mod file;
