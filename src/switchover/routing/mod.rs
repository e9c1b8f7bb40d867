//! How applications are led to the production: one way a file.

mod builtin;
mod command;
mod haproxy;

use std::sync::{Mutex, PoisonError};

pub use builtin::Endpoints;
pub use command::RouteCommand;
pub use haproxy::HaProxy;

use crate::checks::Check;
use crate::error::Result;

/// How applications are led to the production server.
///
/// # Guarantees
/// `hold` and `release` may be called in any order and any number of times; `switch` is called at most once a
/// switchover, after green takes writes, and again where a crash left that open.
pub trait Routing: Send + Sync {
    /// From now on new connections wait.
    ///
    /// # Errors
    /// Where they cannot be made to: the switchover is then undone.
    fn hold(&self) -> impl Future<Output = Result<()>> + Send;

    /// New connections, and those that wait, go where they went before.
    fn release(&self) -> impl Future<Output = ()> + Send;

    /// Connections to blue end; new ones, and those that wait, go to green.
    ///
    /// # Errors
    /// Where somebody must lead the applications to green by hand.
    fn switch(&self) -> impl Future<Output = Result<()>> + Send;

    /// Whether it could act now: a guardrail. Changes nothing. `None`: nothing is to be looked at.
    fn check(&self) -> impl Future<Output = Option<Check>> + Send {
        std::future::ready(None)
    }

    /// What was changed outside of this process since this was last asked.
    fn effects(&self) -> Vec<Effect> {
        Vec::new()
    }
}

/// A change of something outside of this process.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Effect {
    /// What was changed.
    pub target: String,
    /// What it was; `None`: not known.
    pub before: Option<String>,
    /// What it should become.
    pub intended: String,
    /// What it was seen to be then; `None`: not known.
    pub observed: Option<String>,
}

/// The effects so far.
#[derive(Debug, Default)]
struct Ledger(Mutex<Vec<Effect>>);

impl Ledger {
    fn note(&self, effect: Effect) {
        tracing::info!(effect.target, effect.before, effect.intended, effect.observed, "routing");
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(effect);
    }

    fn take(&self) -> Vec<Effect> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Applications find the new production by themselves.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct NoRouting;

impl NoRouting {
    /// No routing.
    pub fn new() -> NoRouting {
        NoRouting
    }
}

impl Routing for NoRouting {
    async fn hold(&self) -> Result<()> {
        Ok(())
    }

    async fn release(&self) {}

    async fn switch(&self) -> Result<()> {
        Ok(())
    }
}
