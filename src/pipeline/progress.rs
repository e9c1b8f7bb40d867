use std::time::Instant;

use crate::apply::Checkpoint;
use crate::error::ErrorKind;
use crate::model::Coordinates;

/// What the stream is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// Connecting to both servers.
    Connecting,
    /// Receiving and applying.
    Replicating,
    /// An error that may pass by itself; another try follows.
    Retrying {
        /// The error's line.
        reason: String,
    },
    /// Stopped on request, at a commit boundary.
    Stopped,
    /// Stopped by an error that needs a person.
    Failed {
        /// The error's kind.
        kind: ErrorKind,
        /// The error's line.
        reason: String,
    },
}

impl State {
    /// One word for `status`.
    pub fn name(&self) -> &'static str {
        match self {
            State::Connecting => "connecting",
            State::Replicating => "replicating",
            State::Retrying { .. } => "retrying",
            State::Stopped => "stopped",
            State::Failed { .. } => "failed",
        }
    }

    /// The error's line, where there is one.
    pub fn reason(&self) -> Option<&str> {
        match self {
            State::Retrying { reason } | State::Failed { reason, .. } => Some(reason),
            _ => None,
        }
    }
}

/// How far a large transaction is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenTransaction {
    /// Row changes on green so far.
    pub row_changes: u64,
    /// Bytes of their events, unfolded where they are compressed in the log.
    pub bytes: u64,
}

/// A picture of the stream, renewed with every commit and every change of state.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Progress {
    /// What it is doing.
    pub state: State,
    /// The last durable checkpoint; `None` until green was reached.
    pub checkpoint: Option<Checkpoint>,
    /// How far blue's log was received.
    pub received: Option<Coordinates>,
    /// When the last event or heartbeat of blue came.
    pub heard_at: Option<Instant>,
    /// Groups committed since the start.
    pub groups: u64,
    /// Transactions committed since the start.
    pub transactions: u64,
    /// Row changes committed since the start.
    pub row_changes: u64,
    /// A transaction too large for one group, of which parts are on green and not committed yet.
    pub open: Option<OpenTransaction>,
    /// Row operations that met a green which was not as blue had been.
    pub conflicts: u64,
    /// How often the stream had to be set up again.
    pub reconnects: u64,
}

impl Progress {
    pub(super) fn new() -> Progress {
        Progress {
            state: State::Connecting,
            checkpoint: None,
            received: None,
            heard_at: None,
            groups: 0,
            transactions: 0,
            row_changes: 0,
            open: None,
            conflicts: 0,
            reconnects: 0,
        }
    }
}
