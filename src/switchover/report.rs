use tokio::time::Instant;

use super::Effect;
use super::steps::{StepTime, WriteBlock};
use crate::checks::Check;
use crate::deployment::{self, Deployment};
use crate::model::Position;

/// How a switchover ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[expect(clippy::exhaustive_enums, reason = "the command line's contract: there is no fourth way")]
pub enum Outcome {
    /// Green is production.
    Completed,
    /// Blue is production as before.
    Unchanged,
    /// It is not known which of the two is production; both are fenced. A person must look.
    Ambiguous,
}

/// What a switchover did, as `switchover --json` prints it.
#[derive(Debug, Clone, serde::Serialize)]
#[non_exhaustive]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// Why it did not complete.
    pub reason: Option<String>,
    /// Milliseconds in which neither server took writes; `None` where blue was never fenced.
    pub write_block_ms: Option<f64>,
    /// What was done in that time, in order.
    pub steps: Vec<StepTime>,
    /// When the block began and ended, by this machine's clock.
    pub downtime: Downtime,
    /// Where blue's log ended and where green's begins as production.
    pub position_map: PositionMap,
    /// What was changed beside the servers, one by one: the applications' way to production.
    pub effects: Vec<Effect>,
    /// What is left for a person, whatever the outcome.
    pub notes: Vec<String>,
    /// The guardrails as they were measured last.
    pub guardrails: Vec<Check>,
    /// The members and their names.
    pub members: Vec<Member>,
}

impl Report {
    pub(super) fn new(
        deployment: &Deployment,
        outcome: Outcome,
        reason: Option<String>,
        guardrails: Vec<Check>,
    ) -> Report {
        let (name, green) = (deployment.name.clone(), deployment.green_name());
        let (source_new_name, target_new_name) = match outcome {
            Outcome::Completed => (deployment.old_name(), name.clone()),
            _ => (name.clone(), green.clone()),
        };
        Report {
            outcome,
            reason,
            write_block_ms: None,
            steps: Vec::new(),
            downtime: Downtime::default(),
            position_map: PositionMap::default(),
            effects: Vec::new(),
            notes: Vec::new(),
            guardrails,
            members: vec![Member { source: name, target: green, source_new_name, target_new_name }],
        }
    }

    /// Writes what the write block was, which ended at `end`.
    pub(super) fn blocked(&mut self, block: WriteBlock, end: Instant) {
        let (steps, milliseconds) = block.finish(end);
        (self.steps, self.write_block_ms) = (steps, Some(milliseconds));
    }
}

/// Times in seconds since 1970.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
#[non_exhaustive]
pub struct Downtime {
    /// When blue was told to refuse writes.
    pub blue_refused_at: Option<f64>,
    /// When green was seen to take writes; after an undo, when blue was.
    pub green_accepted_at: Option<f64>,
}

/// The same moment in both servers' logs, for consumers of the binlog.
#[derive(Debug, Clone, Default, serde::Serialize)]
#[non_exhaustive]
pub struct PositionMap {
    /// The end of blue's log.
    pub blue: Option<Point>,
    /// Where green's log stood when it became production.
    pub green: Option<Point>,
}

impl From<&deployment::PositionMap> for PositionMap {
    fn from(map: &deployment::PositionMap) -> PositionMap {
        PositionMap { blue: Some(Point::from(&map.blue)), green: Some(Point::from(&map.green)) }
    }
}

/// A position as the contract prints it.
#[derive(Debug, Clone, serde::Serialize)]
#[non_exhaustive]
pub struct Point {
    /// Log file.
    pub file: String,
    /// Offset in it.
    pub offset: u64,
    /// GTIDs up to there.
    pub gtid: Option<String>,
}

impl From<&Position> for Point {
    fn from(position: &Position) -> Point {
        Point {
            file: position.coordinates.file.to_string(),
            offset: position.coordinates.offset,
            gtid: position.gtid.as_ref().map(ToString::to_string),
        }
    }
}

/// A pair of servers and what they are called.
#[derive(Debug, Clone, serde::Serialize)]
#[non_exhaustive]
pub struct Member {
    /// Blue's name before.
    pub source: String,
    /// Green's name before.
    pub target: String,
    /// Blue's name now.
    pub source_new_name: String,
    /// Green's name now.
    pub target_new_name: String,
}
