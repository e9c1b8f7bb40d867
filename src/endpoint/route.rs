//! Where connections lead: one value behind one lock, so that every change is seen whole.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use super::stats::{Entered, Gauge};
use super::upstream::Upstream;

/// What happens to a new connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    /// It is connected to the upstream.
    Open,
    /// It waits.
    Held,
    /// It is closed: the endpoint is.
    Closed,
}

/// The current upstream, and whether connections may go there.
///
/// Each replacement has a higher `epoch`, also when it leads to the same upstream. Dropping a route ends the
/// connections that hold a [`Lease`] of it.
#[derive(Debug)]
pub(super) struct Route {
    epoch: u64,
    gate: Gate,
    upstream: Arc<Upstream>,
    established: Arc<Gauge>,
    end: watch::Sender<()>,
}

impl Route {
    pub(super) fn to(upstream: Upstream) -> Route {
        Route::new(0, Gate::Open, Arc::new(upstream))
    }

    fn new(epoch: u64, gate: Gate, upstream: Arc<Upstream>) -> Route {
        Route { epoch, gate, upstream, established: Arc::default(), end: watch::Sender::new(()) }
    }

    pub(super) fn numbered_after(mut self, before: &Route) -> Route {
        self.epoch = before.epoch + 1;
        self
    }

    /// The same for new connections, without the established ones.
    pub(super) fn renewed(&self) -> Route {
        Route::new(self.epoch + 1, self.gate, Arc::clone(&self.upstream))
    }

    pub(super) fn closed(&self) -> Route {
        Route::new(self.epoch + 1, Gate::Closed, Arc::clone(&self.upstream))
    }

    pub(super) fn gate(&self) -> Gate {
        self.gate
    }

    /// Returns whether that is a change. A closed route stays closed.
    pub(super) fn set_gate(&mut self, gate: Gate) -> bool {
        let changes = self.gate != gate && self.gate != Gate::Closed;
        if changes {
            self.gate = gate;
        }
        changes
    }

    pub(super) fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    pub(super) fn established(&self) -> &Gauge {
        &self.established
    }

    pub(super) fn lease(&self) -> Lease {
        Lease { epoch: self.epoch, upstream: Arc::clone(&self.upstream), ended: self.end.subscribe() }
    }

    /// Whether a holder of `lease` may be established now.
    pub(super) fn admits(&self, lease: &Lease) -> bool {
        self.gate == Gate::Open && self.epoch == lease.epoch
    }

    /// Counts a connection as established, if `lease` is still good.
    ///
    /// The caller borrows the route, which excludes a replacement: either the replacement counts this connection and
    /// ends it, or this is `None`.
    pub(super) fn establish(&self, lease: &Lease) -> Option<Entered> {
        self.admits(lease).then(|| self.established.enter())
    }

    /// Ends the leases and waits until they are given back. Returns how many are not, after `limit`.
    pub(super) async fn end(self, limit: Duration) -> usize {
        self.end.send_replace(());
        match timeout(limit, self.end.closed()).await {
            Ok(()) => 0,
            Err(_) => self.end.receiver_count(),
        }
    }
}

/// The right to have a socket to the upstream of one route.
///
/// Taken before connecting, and given back (dropped) only after the socket is closed: that is what makes waiting for
/// all leases a proof that no socket is left.
#[derive(Debug)]
pub(super) struct Lease {
    epoch: u64,
    upstream: Arc<Upstream>,
    ended: watch::Receiver<()>,
}

impl Lease {
    pub(super) fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// Returns once the route was replaced or dropped.
    pub(super) async fn ended(&mut self) {
        // An error means that the sender is gone: ended as well.
        let _ = self.ended.changed().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route() -> Route {
        Route::to(Upstream::Tcp("blue:3306".into()))
    }

    #[test]
    fn a_lease_is_good_only_for_the_open_route_that_gave_it() {
        // invariants 2 and 3
        let mut route = route();
        let lease = route.lease();
        assert!(route.establish(&lease).is_some());
        assert!(route.set_gate(Gate::Held));
        assert!(!route.set_gate(Gate::Held));
        assert!(route.establish(&lease).is_none());
        assert!(route.set_gate(Gate::Open));
        assert!(route.establish(&lease).is_some());
        assert!(route.renewed().establish(&lease).is_none());
        assert!(Route::to(Upstream::Tcp("green:3306".into())).numbered_after(&route).establish(&lease).is_none());
    }

    #[test]
    fn a_closed_route_does_not_open_again() {
        let mut closed = route().closed();
        assert!(!closed.set_gate(Gate::Open));
        assert_eq!(closed.gate(), Gate::Closed);
    }

    #[test]
    fn renewing_keeps_a_hold() {
        let mut route = route();
        route.set_gate(Gate::Held);
        assert_eq!(route.renewed().gate(), Gate::Held);
    }

    #[tokio::test]
    async fn ending_waits_for_every_lease_and_counts_those_that_stay() {
        // invariant 1
        let first = route();
        let mut lease = first.lease();
        let task = tokio::spawn(async move { lease.ended().await });
        assert_eq!(first.end(Duration::from_secs(60)).await, 0);
        assert!(task.await.is_ok());

        let second = route();
        let _kept = (second.lease(), second.lease());
        assert_eq!(second.end(Duration::ZERO).await, 2);
    }

    #[tokio::test]
    async fn dropping_a_route_ends_its_leases() {
        // invariant 7
        let route = route();
        let mut lease = route.lease();
        drop(route);
        lease.ended().await;
    }
}
