//! Green becomes production: guardrails, then the switch, or all of it undone.
//!
//! ```text
//! guardrails → what the way back needs is made on blue → journal "fencing" → new connections wait, blue starts no events
//!   → blue read-only → drain to blue's frozen head → blue's triggers on green
//!   → journal "promoting" with the position map = the point of no return
//!   → green writable → connections to green → events on green → blue follows green → completed
//! ```
//!
//! What comes next is decided in `protocol.rs`, which has the whole picture; the driver does it. The decisions are explored
//! with every interleaving of two controllers, crashes, restarts and lost answers: more than 200,000 states.
//!
//! Behind it blue is the green of a deployment the other way round (the *way back*): its record, checkpoint and watch begin at
//! the position map. A rollback is a switchover of that one, and leaves a way back of its own.
//!
//! # Invariants
//! 1. Before the point of no return every failure undoes itself: blue takes writes again, connections go on to blue.
//!    After it only forward.
//! 2. Blue and green never take writes at once: green becomes writable only after blue was seen to be read-only and its
//!    log to stand still. Where the server can do that, a restart does not open blue's fence.
//! 3. No acknowledged write is lost: green holds all of blue's log up to its frozen head before it is promoted.
//! 4. The switch happens at most once: one controller moves the record from `AVAILABLE` and puts its token there; each
//!    phase is a change of that record, made only by who holds the token and only from the phase before. Whoever finds
//!    a record in the middle takes the token over and finishes or undoes it; the former holder cannot go on: its sessions
//!    on both servers end before the next one acts there.
//! 5. Unknown is no: a guardrail whose fact cannot be read blocks.
//! 6. The way back begins exactly where green's log began as production, whatever crashed since, so no write of the new
//!    production is missed by it; and what anybody writes on the old one since its frozen head is a foreign write there.
//!
//! Must not know: decode, the pipeline. What it needs of a running stream is the trait `Engine`.

mod asleep;
mod blocker;
mod config;
mod counters;
mod driver;
#[cfg(test)]
mod exploration;
mod fence;
mod guardrail;
mod hook;
mod phase;
mod preparation;
mod promotion;
mod protocol;
mod report;
mod routing;
mod scheduler;
mod sides;
mod steps;
mod undo;
mod way_back;

use crate::checks::Check;
use crate::error::Result;
use crate::model::Position;

pub use config::SwitchoverConfig;
#[doc(hidden)]
pub use hook::Hook;
pub use phase::Phase;
pub use report::{Downtime, Member, Outcome, Point, PositionMap, Report};
pub use routing::{Effect, Endpoints, HaProxy, NoRouting, RouteCommand, Routing};
pub use steps::{Step, StepTime};

pub(crate) use blocker::end_blockers;
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
