//! Blue/green deployments for any MySQL or MariaDB.
//!
//! Blue is the production server, green the one that shall replace it. This library builds green from blue, keeps it in
//! step from blue's binary log, compares the two, and switches over.
//!
//! ```text
//! source ─Frame→ decode ─Transaction→ plan ─Group→ apply ─Checkpoint→ checks ─Verdict→ switchover
//! ```
//!
//! What a log changed, without a server:
//!
//! ```
//! use bluegreen::decode::{Assembled, Assembler, DecoderOptions};
//! use bluegreen::model::Flavor;
//! use bluegreen::source::file::FileSource;
//!
//! # fn main() -> bluegreen::Result<()> {
//! let source = FileSource::open("tests/data/binlog/mariadb-11.8/transactions.bin")?;
//! let mut assembler = Assembler::new(DecoderOptions::new(Flavor::MariaDb, source.coordinates().clone()));
//! let mut transaction_count = 0;
//! for frame in source {
//!     assembler.push(frame?)?;
//!     while let Some(assembled) = assembler.next()? {
//!         transaction_count += u64::from(matches!(assembled, Assembled::Transaction(_)));
//!     }
//! }
//! assert!(transaction_count > 0);
//! # Ok(())
//! # }
//! ```
//!
//! # What it is not
//! Not a replacement for replicas or backups, not a tool between MySQL and MariaDB, and not a schema migration tool: green
//! has blue's schema. There is no way back after a switchover yet. The README has the table of what is supported.
//!
//! # Guarantees
//! 1. At every commit of the engine, green holds the effect of a prefix of blue's committed transactions; none is ever
//!    visible in part.
//! 2. Each is applied exactly once: the checkpoint is a row on green that is written in the same transaction.
//! 3. Nothing ends silently: what is not understood is an error, and a fact that cannot be read counts as no.
//! 4. The two servers never take writes at the same time on behalf of this library; before a switchover's point of no
//!    return every failure is undone.
//! 5. Passwords and row values are in no log line, no error and no `Debug` output.
//!
//! The modules number their own invariants.
//!
//! # Modules
//! | module | holds |
//! |---|---|
//! | [`model`] | servers, positions, tables, values, transactions; no I/O |
//! | [`error`] | the one [`Error`]: kind, place, advice |
//! | [`net`] | server URLs, and all connections |
//! | [`source`] | bytes in: dump streams and log files |
//! | [`decode`] | bytes to transactions; pure |
//! | [`render`] | values as JSON; pure |
//! | [`plan`] | transactions to groups of row operations; pure |
//! | [`apply`] | groups to green, with their checkpoint |
//! | [`watch`] | who else wrote on green |
//! | [`checks`] | settings, lag, blockers, equality |
//! | [`create`] | green from blue |
//! | [`repair`] | rows of green that differ, from blue |
//! | [`deployment`] | the deployment's record on green |
//! | [`endpoint`] | a stable address for applications |
//! | [`switchover`] | guardrails and the switch |
//! | [`pipeline`] | the stages, joined: replication and switchover to start from |
//! | `sandbox` | throw-away servers |
//! | `testkit` | logs without a server |
//!
//! # Features
//! | feature | default | adds |
//! |---|---|---|
//! | `cli` | yes | the binary `bluegreen`; brings `sandbox` |
//! | `sandbox` | with `cli` | throw-away servers for tests and demos |
//! | `testkit` | no | a writer of binary logs, for tests and benches |
//!
//! Without features the library is complete. Types of the MySQL driver are in no public signature.
//!
//! # Rust
//! 1.93 or newer. Raising that is a change of the minor version.

pub mod apply;
pub mod checks;
pub mod create;
pub mod decode;
pub mod deployment;
pub mod endpoint;
mod entropy;
pub mod error;
pub mod model;
pub mod net;
mod objects;
pub mod pipeline;
pub mod plan;
pub mod render;
pub mod repair;
mod running;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod source;
pub mod switchover;
#[cfg(feature = "testkit")]
pub mod testkit;
pub mod watch;

pub use error::{Error, ErrorKind, Result};

/// The README's examples are tests too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
