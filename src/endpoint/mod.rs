//! A stable address in front of a server that may be replaced.
//!
//! An [`Endpoint`] listens on one address and forwards every connection to one current [`Upstream`]. Applications
//! connect to the address and never learn of a switchover, beyond a connection that ends and one that takes a little
//! longer:
//!
//! ```text
//!                 hold()              point_to(green)                     connections that
//! application ──▶ accepted, waiting ──▶ connected to green                were established: ended
//!                                   └─ release(): connected to blue ──▶   were established: go on
//! ```
//!
//! A deployment uses two: one whose upstream is always the production, and one for what was the production before.
//!
//! ```
//! # #[tokio::main] async fn main() -> std::io::Result<()> {
//! use bluegreen::endpoint::{Endpoint, Upstream};
//!
//! let production = Endpoint::bind("127.0.0.1:0", Upstream::Tcp("127.0.0.1:3306".into())).await?;
//! production.hold(); // new connections wait
//! // ... stop the writes on blue, let green catch up ...
//! let switched = production.point_to(Upstream::Tcp("127.0.0.1:3307".into())).await;
//! assert_eq!(switched.lingering, 0); // nothing leads to blue any more
//! # Ok(()) }
//! ```
//!
//! # Invariants
//! 1. After [`point_to`](Endpoint::point_to) has returned with no [`lingering`](Switched::lingering) connection, no byte
//!    from a client goes to the old upstream: every socket to it is closed, and what a TCP socket had not sent yet is
//!    discarded with it.
//! 2. A connection is established only while the endpoint is open and only to the upstream that is current at that
//!    instant, however long connecting took and whatever happened meanwhile. Being established and a change of the
//!    upstream exclude each other.
//! 3. After [`hold`](Endpoint::hold) has returned, no connection is established until [`release`](Endpoint::release) or
//!    `point_to`. Established connections go on.
//! 4. Waiting is bounded, in time by [`Options::hold_limit`] and [`Options::connect_timeout`], in number by
//!    [`Options::max_waiting`]. A client that goes away while it is held gives its place back.
//! 5. Bytes are neither changed nor lost nor reordered while a connection lives; when one side ends its stream, the
//!    other side receives everything before it and then the end, and may go on sending.
//! 6. No error of a socket ends the endpoint: failing to accept is retried with a growing pause.
//! 7. A dropped endpoint leaves nothing behind: listener, waiting and established connections are closed.
//!
//! # What it does not know
//! MySQL's protocol, or whether an upstream is any good: it does not look at a single byte. Hence the server sees the
//! endpoint's address and not the application's, in account names (`'app'@'host'`) as in its process list, and a
//! client that is turned away sees its connection end before the server's greeting.
//!
//! # Cost
//! Two file descriptors and 32 KiB of buffers a connection.

mod accept;
mod connection;
mod options;
mod relay;
mod route;
mod stats;
mod upstream;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, ToSocketAddrs};
use tokio::sync::watch;
use tokio::time::timeout;

pub use options::Options;
pub use stats::{Stats, Switched};
pub use upstream::Upstream;

use connection::Shared;
use route::{Gate, Route};

/// How long ending connections is waited for. They end as soon as their tasks run once, so this is only reached when
/// the runtime is starved.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);

/// A listening address and the upstream that it currently leads to.
///
/// The methods take `&self` and may be called from several tasks; their effects then happen one after the other.
/// Dropping the endpoint closes the listener and ends every connection soon after; [`close`](Endpoint::close) also waits
/// for it.
#[derive(Debug)]
pub struct Endpoint {
    local_addr: SocketAddr,
    route: watch::Sender<Route>,
    shared: Arc<Shared>,
}

impl Endpoint {
    /// Listens on `listen` (port 0 picks a free one) and forwards to `upstream`, with the default [`Options`].
    ///
    /// The upstream is not contacted before a client connects.
    ///
    /// # Errors
    /// What the system says of the address: not parsed or not resolved, in use, not ours, not permitted.
    ///
    /// # Panics
    /// Outside of a Tokio runtime with I/O and time enabled.
    pub async fn bind(listen: impl ToSocketAddrs, upstream: Upstream) -> io::Result<Endpoint> {
        Endpoint::bind_with(listen, upstream, Options::default()).await
    }

    /// Like [`bind`](Endpoint::bind), with `options`.
    ///
    /// # Errors
    /// As [`bind`](Endpoint::bind).
    ///
    /// # Panics
    /// As [`bind`](Endpoint::bind).
    pub async fn bind_with(listen: impl ToSocketAddrs, upstream: Upstream, options: Options) -> io::Result<Endpoint> {
        let listener = TcpListener::bind(listen).await?;
        let local_addr = listener.local_addr()?;
        tracing::info!(listen = %local_addr, %upstream, "endpoint opened");
        let shared = Arc::new(Shared::new(local_addr, options));
        let (route, current) = watch::channel(Route::to(upstream));
        tokio::spawn(accept::run(listener, current, Arc::clone(&shared)));
        Ok(Endpoint { local_addr, route, shared })
    }

    /// The address that is listened on, with the real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Where new connections lead, or will lead once they are no longer held.
    pub fn upstream(&self) -> Upstream {
        self.route.borrow().upstream().clone()
    }

    /// Whether new connections wait.
    pub fn is_held(&self) -> bool {
        self.route.borrow().gate() == Gate::Held
    }

    /// Lets new connections wait instead of leading them to the upstream, from the moment that this returns
    /// (invariant 3).
    ///
    /// A connection that was accepted before and is not connected yet waits too; established ones go on. Each waits at
    /// most [`Options::hold_limit`] and is closed then. Holding twice is holding once.
    ///
    /// A client that closes its connection while it is held gives its place back; ending only its own sending looks the
    /// same and counts as that.
    pub fn hold(&self) {
        if self.set_gate(Gate::Held) {
            tracing::info!(listen = %self.local_addr, "endpoint holds new connections");
        }
    }

    /// Undoes [`hold`](Endpoint::hold): the waiting connections lead to the unchanged upstream, established ones go on.
    /// Without a hold it does nothing.
    pub fn release(&self) {
        if self.set_gate(Gate::Open) {
            tracing::info!(listen = %self.local_addr, upstream = %self.upstream(), "endpoint releases held connections");
        }
    }

    /// Makes `upstream` the current one: new and waiting connections lead to it, held or not, and every established
    /// connection is ended and waited for (invariants 1 and 2).
    ///
    /// Ends a [`hold`](Endpoint::hold). Pointing to the upstream that is already current does the same. An ended client
    /// sees the end of its stream (or a reset, if it had sent what was not forwarded); the old server sees a reset. An
    /// answer that was already passed on may still reach the client.
    ///
    /// Waits for at most 5 s; what has not ended by then is counted in [`Switched::lingering`] and ends later.
    ///
    /// # Cancel safety
    /// Nothing happens before the first poll. From then on the endpoint has changed; dropping the future only gives up
    /// the waiting and with it the proof of invariant 1.
    pub async fn point_to(&self, upstream: Upstream) -> Switched {
        let from = self.upstream();
        let to = upstream.to_string();
        let switched = self.replace(|route| Route::to(upstream).numbered_after(route)).await;
        tracing::info!(
            listen = %self.local_addr, %from, %to,
            dropped = switched.dropped, held = switched.held, lingering = switched.lingering,
            "endpoint points to another upstream"
        );
        switched
    }

    /// Ends every established connection and waits for it, as [`point_to`](Endpoint::point_to) does; the upstream and a
    /// hold stay as they are.
    ///
    /// Without a hold, an application that reconnects reaches the same upstream at once.
    ///
    /// # Cancel safety
    /// As [`point_to`](Endpoint::point_to).
    pub async fn disconnect_all(&self) -> Switched {
        let switched = self.replace(Route::renewed).await;
        tracing::info!(
            listen = %self.local_addr, dropped = switched.dropped, lingering = switched.lingering,
            "endpoint ended its connections"
        );
        switched
    }

    /// Counts of now and since the endpoint was opened.
    pub fn stats(&self) -> Stats {
        self.shared.counters.snapshot()
    }

    /// Closes the listener, the waiting and the established connections, and waits until they are closed, at most 5 s.
    /// The address can be listened on again then.
    ///
    /// # Cancel safety
    /// Dropping the future drops the endpoint, which closes the same without waiting.
    pub async fn close(self) {
        self.shut();
        // Every task holds a receiver of the route until its sockets are closed.
        let closed = timeout(DRAIN_LIMIT, self.route.closed()).await;
        if closed.is_err() {
            tracing::warn!(listen = %self.local_addr, "endpoint still has connections 5 s after closing");
        }
    }

    fn set_gate(&self, gate: Gate) -> bool {
        self.route.send_if_modified(|route| route.set_gate(gate))
    }

    async fn replace(&self, successor: impl FnOnce(&Route) -> Route) -> Switched {
        let (mut dropped, mut held) = (0, 0);
        let mut old = None;
        self.route.send_modify(|route| {
            let new = successor(route);
            dropped = route.established().now();
            held = self.shared.counters.waiting.now();
            old = Some(std::mem::replace(route, new));
        });
        let Some(old) = old else {
            unreachable!("send_modify runs its closure exactly once");
        };
        let lingering = old.end(DRAIN_LIMIT).await;
        if lingering > 0 {
            tracing::warn!(listen = %self.local_addr, lingering, "connections to the old upstream still open after 5 s");
        }
        Switched { dropped, held, lingering }
    }

    fn shut(&self) -> bool {
        self.route.send_if_modified(|route| {
            if route.gate() == Gate::Closed {
                return false;
            }
            *route = route.closed();
            true
        })
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.shut();
        tracing::info!(listen = %self.local_addr, "endpoint closed");
    }
}
