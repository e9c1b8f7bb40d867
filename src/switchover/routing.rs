use crate::endpoint::{Endpoint, Upstream};
use crate::error::{Error, ErrorKind, Result};

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

/// The built-in endpoint: one address that is always the production, and optionally one for the other server: green
/// before the switch, the old production after it.
#[derive(Debug)]
pub struct Endpoints {
    production: Endpoint,
    other: Option<Endpoint>,
    blue: Upstream,
    green: Upstream,
}

impl Endpoints {
    /// Endpoints that lead to `blue` (production) and `green` (the other) and change places at the switch.
    pub fn new(production: Endpoint, other: Option<Endpoint>, blue: Upstream, green: Upstream) -> Endpoints {
        Endpoints { production, other, blue, green }
    }

    /// The endpoint of the production.
    pub fn production(&self) -> &Endpoint {
        &self.production
    }

    /// The endpoint of the other server.
    pub fn other(&self) -> Option<&Endpoint> {
        self.other.as_ref()
    }
}

impl Routing for Endpoints {
    async fn hold(&self) -> Result<()> {
        self.production.hold();
        Ok(())
    }

    async fn release(&self) {
        self.production.release();
    }

    async fn switch(&self) -> Result<()> {
        let switched = self.production.point_to(self.green.clone()).await;
        if let Some(other) = &self.other {
            let moved = other.point_to(self.blue.clone()).await;
            tracing::info!(dropped = moved.dropped, "the other endpoint leads to the old production");
        }
        tracing::info!(dropped = switched.dropped, held = switched.held, "the production endpoint leads to green");
        if switched.lingering > 0 {
            let message = format!("{} connections to blue did not end in time", switched.lingering);
            return Err(Error::new(ErrorKind::Timeout, message).with_advice("end them on blue"));
        }
        Ok(())
    }
}
