//! The life of one connection: waiting, connecting, established.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::options::Options;
use super::relay::relay;
use super::route::{Gate, Lease, Route};
use super::stats::{Counters, Entered};
use super::upstream::{Stream, connect};

/// How many connections connect to the upstream at a time: below the backlog of a server with default settings.
const CONNECTS_AT_ONCE: usize = 128;

/// How often a held client that has already sent something is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// What the tasks of one endpoint share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) listen: SocketAddr,
    pub(super) options: Options,
    pub(super) counters: Counters,
    turns: Semaphore,
}

impl Shared {
    pub(super) fn new(listen: SocketAddr, options: Options) -> Shared {
        Shared { listen, options, counters: Counters::default(), turns: Semaphore::new(CONNECTS_AT_ONCE) }
    }
}

/// An established way to the upstream.
///
/// The order of the fields is the order of the drops: the socket is closed and no longer counted when the lease is
/// given back.
struct Link {
    stream: Stream,
    _counted: (Entered, Entered),
    lease: Lease,
}

/// Serves `client` until it ends. `route` is dropped last: whoever waits for it knows that the sockets are closed.
pub(super) async fn serve(
    client: TcpStream,
    peer: SocketAddr,
    mut route: watch::Receiver<Route>,
    shared: Arc<Shared>,
    waiting: Entered,
) {
    // Fails on a socket that is already reset; reading will tell.
    let _ = client.set_nodelay(true);
    let link = reach(&client, peer, &mut route, &shared).await;
    drop(waiting);
    if let Some(link) = link {
        forward(client, peer, link, &shared.counters).await;
    } else {
        drop(client);
    }
    drop(route);
}

/// Waits and connects until the connection is established. `None` if it never will be.
async fn reach(
    client: &TcpStream,
    peer: SocketAddr,
    route: &mut watch::Receiver<Route>,
    shared: &Shared,
) -> Option<Link> {
    let mut held_until = None;
    loop {
        let lease = {
            let now = route.borrow_and_update();
            match now.gate() {
                Gate::Open => Some(now.lease()),
                Gate::Held => None,
                Gate::Closed => return None,
            }
        };
        match lease {
            None => {
                let until = *held_until.get_or_insert_with(|| Instant::now() + shared.options.hold_limit);
                stay(client, peer, route, shared, until).await?;
            }
            Some(lease) => match approach(peer, route, shared, lease).await {
                Approach::Established(link) => return Some(link),
                Approach::Superseded => {}
                Approach::Failed => return None,
            },
        }
    }
}

/// Waits while the endpoint is held. `None` if the client is to be closed.
async fn stay(
    client: &TcpStream,
    peer: SocketAddr,
    route: &mut watch::Receiver<Route>,
    shared: &Shared,
    until: Instant,
) -> Option<()> {
    let _held = shared.counters.held.enter();
    let opened = async { route.wait_for(|route| route.gate() != Gate::Held).await.is_ok() };
    tokio::select! {
        biased;
        opened = opened => opened.then_some(()),
        () = gone(client) => {
            shared.counters.left.increment();
            tracing::debug!(%peer, "held connection left");
            None
        }
        () = sleep_until(until) => {
            shared.counters.expired.increment();
            tracing::debug!(%peer, "connection held for too long");
            None
        }
    }
}

/// Returns once the client has closed its connection, without taking a byte from it.
///
/// A client that has only ended its own sending looks the same and counts as gone.
async fn gone(client: &TcpStream) {
    loop {
        match client.peek(&mut [0]).await {
            Ok(0) | Err(_) => return,
            // A client that speaks first: its bytes keep the socket readable, so there is nothing to wait for but time.
            Ok(_) => match client.ready(Interest::READABLE).await {
                Ok(ready) if !ready.is_read_closed() => sleep(LOOK_AGAIN).await,
                _ => return,
            },
        }
    }
}

enum Approach {
    Established(Link),
    /// The endpoint was held, pointed elsewhere or closed meanwhile.
    Superseded,
    Failed,
}

async fn approach(peer: SocketAddr, route: &mut watch::Receiver<Route>, shared: &Shared, lease: Lease) -> Approach {
    // What this future owns of the connection is closed when `select` drops it, which is before the lease is dropped.
    let connected = async {
        let turn = shared.turns.acquire().await;
        let stream = connect(lease.upstream(), shared.listen).await;
        drop(turn);
        stream
    };
    let superseded = async {
        let closed = route.wait_for(|route| !route.admits(&lease)).await.is_err();
        // The endpoint vanished without closing its route: there is nothing to try again.
        if closed { Approach::Failed } else { Approach::Superseded }
    };
    let connected = tokio::select! {
        biased;
        approach = superseded => return approach,
        connected = timeout(shared.options.connect_timeout, connected) => connected,
    };
    let error = match connected {
        Ok(Ok(stream)) => {
            let established = route.borrow().establish(&lease);
            return match established {
                Some(counted) => {
                    let counted = (counted, shared.counters.established.enter());
                    Approach::Established(Link { stream, _counted: counted, lease })
                }
                None => {
                    drop(stream);
                    Approach::Superseded
                }
            };
        }
        Ok(Err(error)) => error.to_string(),
        Err(elapsed) => elapsed.to_string(),
    };
    shared.counters.failed.increment();
    tracing::debug!(%peer, upstream = %lease.upstream(), error, "upstream not reached");
    Approach::Failed
}

/// Passes bytes until either side is done or the lease ends, and closes both sockets.
async fn forward(mut client: TcpStream, peer: SocketAddr, mut link: Link, counters: &Counters) {
    tracing::debug!(%peer, upstream = %link.lease.upstream(), "connection established");
    let relayed = async {
        match &mut link.stream {
            Stream::Tcp(stream) => relay(client.split(), stream.split(), counters).await,
            #[cfg(unix)]
            Stream::Unix(stream) => relay(client.split(), stream.split(), counters).await,
        }
    };
    // In this order: once the lease has ended, not one more byte is passed.
    let ended = tokio::select! {
        biased;
        () = link.lease.ended() => true,
        () = relayed => false,
    };
    if ended {
        link.stream.discard_on_close();
        counters.dropped.increment();
        tracing::debug!(%peer, "connection dropped");
    } else {
        counters.finished.increment();
        tracing::debug!(%peer, "connection finished");
    }
    drop(client);
    drop(link);
}
