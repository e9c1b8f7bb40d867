//! Green becomes production: guardrails, then the switch, or all of it undone.
//!
//! ```text
//! guardrails → journal "fencing" → hold new connections, blue read-only → drain to blue's frozen head
//!   → journal "promoting" = the point of no return → green writable → connections to green → completed
//! ```
//!
//! # Invariants
//! 1. Before the point of no return every failure undoes itself: blue takes writes again, connections go on to blue.
//!    After it only forward.
//! 2. Blue and green never take writes at once: green becomes writable only after blue was seen to be read-only and its
//!    log to stand still.
//! 3. No acknowledged write is lost: green holds all of blue's log up to its frozen head before it is promoted.
//! 4. The switch happens at most once: one controller moves the record from `AVAILABLE` and puts its token there; each
//!    phase is a change of that record, made only by who holds the token and only from the phase before. Whoever finds
//!    a record in the middle takes the token over and finishes or undoes it; the former holder cannot go on.
//! 5. Unknown is no: a guardrail whose fact cannot be read blocks.
//!
//! Must not know: decode, the pipeline. What it needs of a running stream is the trait `Engine`.

mod driver;
mod fence;
mod guardrail;
mod phase;
mod report;
mod routing;

use crate::checks::Check;
use crate::error::Result;
use crate::model::Position;

pub use driver::SwitchoverConfig;
pub use phase::Phase;
pub use report::{Downtime, Member, Outcome, Point, PositionMap, Report};
pub use routing::{Endpoints, NoRouting, Routing};

pub(crate) use driver::{dry_run, switch_over};

/// What the switchover needs of the forward stream and of the watch.
pub(crate) trait Engine: Send {
    /// Starts the forward stream, taking it over from whoever ran it.
    fn follow(&mut self) -> impl Future<Output = Result<()>> + Send;

    /// Waits until green durably holds everything of blue before `target`. Cancel-safe.
    fn reached(&mut self, target: &Position) -> impl Future<Output = Result<()>> + Send;

    /// Stops the forward stream at a commit boundary, and makes sure that no other engine goes on with it.
    fn end(&mut self) -> impl Future<Output = Result<()>> + Send;

    /// Stops the forward stream and leaves it to whoever starts it next.
    fn leave(&mut self) -> impl Future<Output = ()> + Send;

    /// Whether anybody else ever wrote on green. With `record`, findings are kept on green.
    fn foreign_writes(&mut self, record: bool) -> impl Future<Output = Check> + Send;
}
