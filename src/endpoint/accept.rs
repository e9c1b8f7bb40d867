//! The loop that accepts connections.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;

use super::connection::{Shared, serve};
use super::route::{Gate, Route};

const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Where connections come from: the listener, or a script of a test.
pub(super) trait Accept {
    fn accept(&self) -> impl Future<Output = io::Result<(TcpStream, SocketAddr)>> + Send;
}

impl Accept for TcpListener {
    fn accept(&self) -> impl Future<Output = io::Result<(TcpStream, SocketAddr)>> + Send {
        TcpListener::accept(self)
    }
}

/// Accepts until the endpoint is closed.
pub(super) async fn run(listener: impl Accept, mut route: watch::Receiver<Route>, shared: Arc<Shared>) {
    let connections = route.clone();
    let closed = async move {
        // An error means that the endpoint is gone.
        let _ = route.wait_for(|route| route.gate() == Gate::Closed).await;
    };
    tokio::select! {
        biased;
        () = closed => {}
        () = accept_all(&listener, &connections, &shared) => {}
    }
    // The listener closes before the last receiver of the route goes, which is what `Endpoint::close` waits for.
    drop(listener);
    drop(connections);
}

async fn accept_all(listener: &impl Accept, route: &watch::Receiver<Route>, shared: &Arc<Shared>) {
    let mut pause = Pause::default();
    loop {
        match listener.accept().await {
            Ok((client, peer)) => {
                if pause.reset() {
                    tracing::info!(listen = %shared.listen, "endpoint accepts connections again");
                }
                shared.counters.accepted.increment();
                if shared.counters.waiting.now() >= shared.options.max_waiting {
                    shared.counters.refused.increment();
                    tracing::debug!(%peer, "connection refused, too many are waiting");
                    continue;
                }
                let waiting = shared.counters.waiting.enter();
                tokio::spawn(serve(client, peer, route.clone(), Arc::clone(shared), waiting));
            }
            // The client went away between its connecting and our accepting.
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                if pause.is_reset() {
                    tracing::warn!(listen = %shared.listen, %error, "endpoint cannot accept connections, trying again");
                }
                sleep(pause.next()).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Doubles from 10 ms to 1 s.
#[derive(Debug, Default)]
struct Pause(Option<Duration>);

impl Pause {
    fn next(&mut self) -> Duration {
        let next = self.0.map_or(SHORTEST_PAUSE, |last| (last * 2).min(LONGEST_PAUSE));
        self.0 = Some(next);
        next
    }

    fn is_reset(&self) -> bool {
        self.0.is_none()
    }

    /// Returns whether there was one.
    fn reset(&mut self) -> bool {
        self.0.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::endpoint::{Options, Upstream};

    #[test]
    fn pauses_grow_to_a_bound() {
        let mut pause = Pause::default();
        let millis: Vec<u128> = (0..9).map(|_| pause.next().as_millis()).collect();
        assert_eq!(millis, [10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
        assert!(pause.reset());
        assert!(!pause.reset());
        assert_eq!(pause.next(), SHORTEST_PAUSE);
    }

    /// Fails a few times before it accepts.
    struct Failing {
        errors_left: AtomicU32,
        calls: Arc<AtomicU32>,
        listener: TcpListener,
    }

    impl Accept for Failing {
        async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
            self.calls.fetch_add(1, Relaxed);
            let left = self.errors_left.load(Relaxed);
            if left > 0 {
                self.errors_left.store(left - 1, Relaxed);
                // `EMFILE`: too many open files.
                return Err(io::Error::from_raw_os_error(24));
            }
            self.listener.accept().await
        }
    }

    #[tokio::test]
    async fn failing_to_accept_neither_ends_nor_spins() -> io::Result<()> {
        // invariant 6
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let listen = listener.local_addr()?;
        let calls = Arc::new(AtomicU32::new(0));
        let failing = Failing { errors_left: AtomicU32::new(3), calls: Arc::clone(&calls), listener };
        let target = TcpListener::bind("127.0.0.1:0").await?;
        let (sender, route) = watch::channel(Route::to(Upstream::from(target.local_addr()?)));
        let task = tokio::spawn(run(failing, route, Arc::new(Shared::new(listen, Options::default()))));

        let mut client = TcpStream::connect(listen).await?;
        let (upstream, _) = target.accept().await?;
        // Three errors, this connection, and the wait for the next.
        assert!((4..=5).contains(&calls.load(Relaxed)));

        // invariant 7: without its sender the route is closed
        drop(sender);
        assert!(task.await.is_ok());
        drop(upstream);
        assert_eq!(client.read(&mut [0]).await?, 0);
        Ok(())
    }
}
