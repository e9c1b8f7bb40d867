//! The composition root: joins source, decode, plan and apply into a running stream. The only module that sees every
//! stage.
//!
//! Source and apply wait on sockets and are tasks; decode and plan compute and are threads. The queues between them are
//! bounded in bytes. An error travels through the queues behind the work that came before it, so everything before the
//! error is on green when the stream stops.
//!
//! # Invariants
//! 1. The stream always starts from the checkpoint on green; nothing is remembered anywhere else.
//! 2. An error that may pass leads to a new start from the checkpoint, with back-off; every other error ends the
//!    stream.
//! 3. A stop on request happens at a commit boundary, with no lane ahead of another.

mod applying;
#[cfg(test)]
mod convergence;
mod metrics;
mod overview;
mod planning;
mod progress;
mod queue;
mod replication;
mod stages;
mod stopwatch;
mod switchover;

pub use metrics::{describe as describe_metrics, record_lag};
pub use overview::{Conflicts, DeploymentState, LagFigures, Overview, ReplicationState, VerificationState, overview};
pub use progress::{GroupFigures, OpenTransaction, Progress, State, StreamFigures};
pub use replication::{Replication, ReplicationConfig};
pub use stopwatch::{Stage, StageFigures};
pub use switchover::{dry_roll_back, dry_run, roll_back, switch_over};
