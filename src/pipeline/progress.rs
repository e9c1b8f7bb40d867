use std::time::Instant;

use serde::Serialize;

use super::stopwatch::StageFigures;
use crate::apply::Checkpoint;
use crate::checks::Mark;
use crate::error::ErrorKind;

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

/// The figures of a picture, as `--json` prints them.
#[derive(Debug, Clone, Copy, Serialize)]
#[non_exhaustive]
pub struct StreamFigures {
    /// See [`Progress::groups`].
    pub groups: u64,
    /// See [`Progress::transactions`].
    pub transactions: u64,
    /// See [`Progress::row_changes`].
    pub row_changes: u64,
    /// See [`Progress::bytes`].
    pub bytes: u64,
    /// See [`Progress::last_group`].
    pub last_group: Option<GroupFigures>,
    /// See [`Progress::open`].
    pub open_transaction: Option<OpenTransaction>,
    /// See [`Progress::stages`].
    pub stages: StageFigures,
}

/// What was committed on green at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct GroupFigures {
    /// Blue's transactions.
    pub transactions: u64,
    /// The rows that they changed.
    pub row_changes: u64,
    /// The operations that these came to.
    pub operations: u64,
    /// Bytes of their events in blue's log.
    pub bytes: u64,
    /// How many lanes it was shared out among; 1: it was applied whole.
    pub lanes: usize,
}

/// How far a large transaction is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
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
    /// How far blue's log was received and decoded. Inside of a transaction that is too large for one piece the coordinates
    /// are ahead of its start.
    pub received: Option<Mark>,
    /// When the last event or heartbeat of blue came.
    pub heard_at: Option<Instant>,
    /// Groups committed since the start.
    pub groups: u64,
    /// Transactions committed since the start.
    pub transactions: u64,
    /// Row changes committed since the start.
    pub row_changes: u64,
    /// Bytes of blue's log committed since the start.
    pub bytes: u64,
    /// The last group.
    pub last_group: Option<GroupFigures>,
    /// Where the time goes.
    pub stages: StageFigures,
    /// A transaction too large for one group, of which parts are on green and not committed yet.
    pub open: Option<OpenTransaction>,
    /// Row operations that met a green which was not as blue had been.
    pub conflicts: u64,
    /// How often the stream had to be set up again.
    pub reconnects: u64,
}

impl Progress {
    /// Its figures.
    pub fn figures(&self) -> StreamFigures {
        StreamFigures {
            groups: self.groups,
            transactions: self.transactions,
            row_changes: self.row_changes,
            bytes: self.bytes,
            last_group: self.last_group,
            open_transaction: self.open,
            stages: self.stages,
        }
    }

    pub(super) fn new() -> Progress {
        Progress {
            state: State::Connecting,
            checkpoint: None,
            received: None,
            heard_at: None,
            groups: 0,
            transactions: 0,
            row_changes: 0,
            bytes: 0,
            last_group: None,
            stages: StageFigures::default(),
            open: None,
            conflicts: 0,
            reconnects: 0,
        }
    }
}
