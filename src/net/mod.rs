//! The only code that opens a connection: server URLs, sessions with the right variables, TLS, the raw dump
//! connection, and what a server is, has and can do.
//!
//! # Invariants
//! 1. A password is in no message, no log line and no `Debug`.
//! 2. Every wait on a socket has a bound in time.
//! 3. The types of the driver stay inside this module.

mod catalog;
mod knot;
mod packets;
mod server;
mod session;
mod sql;
mod tls;
mod url;
mod wire;

pub use self::server::{BinlogSettings, Server};
pub use self::url::{ServerUrl, TlsMode};

pub(crate) use self::catalog::{NOT_SYSTEM, NOT_SYSTEM_USER, schemas, sequences, tables, targets};
pub(crate) use self::knot::Patience;
pub(crate) use self::server::tells_zero_signs;
pub(crate) use self::session::{Done, Row, Session};
pub(crate) use self::sql::{account, identifier, qualified, text_literal};
pub(crate) use self::wire::Wire;
