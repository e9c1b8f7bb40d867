use super::Routing;
use crate::endpoint::{Endpoint, Upstream};
use crate::error::{Error, ErrorKind, Result};

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

    /// The same for a switchover the other way round, where green is production.
    #[must_use]
    pub fn reversed(mut self) -> Endpoints {
        std::mem::swap(&mut self.blue, &mut self.green);
        self
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
