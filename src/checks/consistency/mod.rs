//! Is green equal to blue? Both are compared while both work.
//!
//! Every table is cut into chunks along its row key. Both servers compute a digest of a chunk at once; where the
//! digests differ the chunk's rows are compared by hash, and each row that differs goes through rounds that tell a
//! difference from a change under way (`settle`).
//!
//! A pass begins with a position in each server's log such that whoever reads from then on sees all that is before it
//! (`log`). So a row that the pass found equal, and that neither log has named since, is equal. The next pass reads both
//! logs up to new positions, and compares the rows that they name (`changes`), by the same digests and rounds; what has no
//! key in the log is compared as a whole table.
//!
//! # Invariants
//! 1. A row is proven by what both servers answered, never by what a log says of it: the logs only name rows.
//! 2. What is not proven stays due: a pass that fails, or a row that could not be settled, is looked at by the next one.
//! 3. Whatever a log does not tell exactly (a statement, a cascade, a definition that changed, an image without the key)
//!    makes more due, never less.
//! 4. No lock is taken and no snapshot outlives its statement; a statement on blue is as short as
//!    [`VerifyConfig::statement_target`] wants, where a key cuts the table.

mod changes;
mod compare;
mod difference;
mod due;
mod expression;
mod family;
mod follow;
mod keyless;
mod log;
mod logged;
mod outcome;
mod pace;
mod pair;
mod pass;
mod plan;
mod range;
mod reads;
mod settle;
mod verifier;
mod walk;

use std::time::{Duration, Instant};

use serde::ser::SerializeMap;

pub use self::difference::{Difference, DifferenceKind, KeyValue};
pub(crate) use self::due::{Due, Part};
pub(crate) use self::follow::follow;
pub(crate) use self::log::wait_until_visible;
pub(crate) use self::pace::Pace;
pub(crate) use self::range::{KeyText, Range};
pub(crate) use self::verifier::OpenRows;
pub use self::verifier::Verifier;
pub(crate) use self::walk::{Walk, changed, moved};

use crate::deployment::Proof;
use crate::error::{Error, Result};
use crate::model::{Position, TableName};
use crate::net::ServerUrl;

/// Differences listed of one table; the rest is counted.
const LISTED: usize = 10_000;

/// What to compare, and how hard.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct VerifyConfig {
    /// The server that is right.
    pub blue: ServerUrl,
    /// The server that is compared with it.
    pub green: ServerUrl,
    /// The tables to compare; `None`: all but the servers' own.
    pub tables: Option<Vec<TableName>>,
    /// Rows of a chunk, default 10,000; fewer where rows are long or blue takes too long. More: fewer statements, each
    /// longer.
    pub chunk_rows: u64,
    /// What a statement over a chunk may take on blue, default 100 ms: chunks become smaller where it takes longer.
    pub statement_target: Duration,
    /// The part of the time in which a statement of the comparison may run on blue while clients write there, default
    /// 0.25, from 0.01 to 1. It bounds the latency that is added: of the clients' statements no larger part meets one. Less
    /// is taken by itself where blue answers late. Blue counts as busy from 10 changing statements a second on.
    pub busy_share: f64,
    /// Connections to each server that compare at the same time, default 2, at least 1. One more to blue finds the
    /// chunks' bounds.
    pub connections: usize,
    /// How long a row that differs may wait for green to catch up with blue, default 30 s.
    pub settle_limit: Duration,
    /// Rows up to which a table that is one chunk is compared row by row, default 5,000,000. Memory grows with it, by
    /// about 100 bytes a row and side. A larger one that differs is reported as unverified.
    pub row_limit: u64,
    /// Changed rows that [`Verifier::again`] looks up one by one, default 1,000,000; beyond that, tables are compared as
    /// a whole. Memory grows with it, by about 150 bytes a row.
    pub key_limit: u64,
}

impl VerifyConfig {
    /// All tables, with the defaults.
    pub fn new(blue: ServerUrl, green: ServerUrl) -> VerifyConfig {
        VerifyConfig {
            blue,
            green,
            tables: None,
            chunk_rows: 10_000,
            statement_target: Duration::from_millis(100),
            busy_share: 0.25,
            connections: 2,
            settle_limit: Duration::from_secs(30),
            row_limit: 5_000_000,
            key_limit: 1_000_000,
        }
    }
}

/// How far a comparison has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyProgress {
    /// Tables to compare.
    pub tables_total: u64,
    /// Tables compared.
    pub tables_done: u64,
    /// Rows to compare, as blue's statistics estimate them.
    pub rows_estimate: u64,
    /// Rows of blue compared.
    pub rows_done: u64,
}

/// What a comparison found.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Verification {
    /// No difference was found, and nothing was left out.
    pub equal: bool,
    /// Whether all rows were compared, or those that changed since an earlier pass.
    pub scope: Scope,
    /// Tables that this speaks of.
    pub tables: u64,
    /// Rows of blue compared by this pass.
    pub rows: u64,
    /// How long it took.
    pub seconds: f64,
    /// The differences, by table; at most 10,000 of a table.
    pub differences: Vec<Difference>,
    /// Differences that were found but are not listed.
    pub more: u64,
    /// What could not be compared. Counts as not equal.
    pub unverified: Vec<Unverified>,
    /// Where both logs ended when the pass began: everything before is part of what is said here. `None` where a server
    /// keeps no log.
    pub positions: Option<Positions>,
    /// When that was; in JSON as `age_seconds`.
    #[serde(rename = "age_seconds", serialize_with = "as_age")]
    pub as_of: Instant,
}

impl Verification {
    /// How many differences were found, listed or not.
    pub fn difference_count(&self) -> u64 {
        self.differences.len() as u64 + self.more
    }
}

impl From<&Verification> for Proof {
    fn from(found: &Verification) -> Proof {
        Proof::new(found.equal, found.tables, found.rows, found.difference_count(), found.as_of.elapsed())
    }
}

/// What a pass compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Scope {
    /// Every row.
    Full,
    /// What changed since the pass before, and what was not equal then.
    Changed,
}

/// A place in each server's log.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Positions {
    /// In blue's log.
    #[serde(serialize_with = "as_place")]
    pub blue: Position,
    /// In green's log.
    #[serde(serialize_with = "as_place")]
    pub green: Position,
}

fn as_age<S: serde::Serializer>(at: &Instant, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_f64(at.elapsed().as_secs_f64())
}

/// `{"file":…,"offset":…,"gtid":…}`.
fn as_place<S: serde::Serializer>(position: &Position, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(3))?;
    map.serialize_entry("file", &*position.coordinates.file)?;
    map.serialize_entry("offset", &position.coordinates.offset)?;
    map.serialize_entry("gtid", &position.gtid.as_ref().map(ToString::to_string))?;
    map.end()
}

/// A table of which something could not be compared.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Unverified {
    /// Schema and table.
    #[serde(flatten)]
    pub table: TableName,
    /// Why.
    pub reason: String,
}

/// Compares green with blue while both work: no lock, no long snapshot, short statements.
///
/// Generated columns are compared too. Columns and their types may differ between the sides where a value has a common
/// text (another precision, another character set); columns that only green has are not compared, columns that only
/// blue has are a difference, and so is a table that only one side has.
///
/// Green is expected to follow blue, which its forward checkpoint shows: a row that differs is judged only once the
/// checkpoint covers blue's head. Where green has no checkpoint (servers that something else keeps in sync, or that
/// stand still) a difference is what stays the same on both sides for 3.6 s, so a lag of more than that shows as
/// differences.
///
/// Tables that are green's own (`keep_green`) are left out.
///
/// `progress` is called after every chunk, from this future.
///
/// # Errors
/// `State`: a row differs and green does not catch up with blue within the limit. `Config`: a named table is on
/// neither side, or both URLs lead to the same server. `Limit`: a row is too long to be hashed. Besides what
/// connecting and reading can fail with. Tables that were changed while they were compared are no error, but
/// [`Verification::unverified`].
///
/// # Cancel safety
/// Dropping the future ends all work; nothing was changed on either server.
pub async fn verify(config: &VerifyConfig, progress: impl Fn(VerifyProgress) + Send + Sync) -> Result<Verification> {
    Verifier::new(config.clone()).full(progress).await
}

/// Unknown table, unknown column, unknown index, definition changed: somebody altered the table meanwhile.
fn is_redefinition(error: &Error) -> bool {
    matches!(error.code(), Some(1049 | 1051 | 1054 | 1146 | 1176 | 1412))
}
