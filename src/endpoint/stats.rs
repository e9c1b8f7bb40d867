//! What an endpoint counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts of an endpoint: three of now, the rest since it was opened.
///
/// Every accepted connection is in exactly one of `waiting`, `established`, `refused`, `expired`, `left`, `failed`,
/// `finished` and `dropped`, up to the few that change their place while the counts are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Now: connections between a client and an upstream.
    pub established: u64,
    /// Now: connections that are accepted and not connected to an upstream yet, held ones included.
    pub waiting: u64,
    /// Now: connections that wait because of a hold.
    pub held: u64,
    /// Connections that clients made.
    pub accepted: u64,
    /// Closed at once, because [`Options::max_waiting`](super::Options::max_waiting) were waiting.
    pub refused: u64,
    /// Closed after being held for [`Options::hold_limit`](super::Options::hold_limit).
    pub expired: u64,
    /// Gone by themselves while they were held.
    pub left: u64,
    /// Closed because the upstream refused, or did not answer within
    /// [`Options::connect_timeout`](super::Options::connect_timeout).
    pub failed: u64,
    /// Established connections that the client or the server ended.
    pub finished: u64,
    /// Established connections that the endpoint ended.
    pub dropped: u64,
    /// Bytes passed from clients to upstreams.
    pub upstream_bytes: u64,
    /// Bytes passed from upstreams to clients.
    pub client_bytes: u64,
}

/// What a change of the upstream did to the connections that there were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "a lingering connection may still reach the old upstream"]
pub struct Switched {
    /// Established connections that were ended.
    pub dropped: u64,
    /// Connections that were waiting at that moment, held or connecting; they lead to the current upstream now.
    pub held: u64,
    /// Connections with a socket to the old upstream that was still open when waiting for them was given up. Zero, save
    /// on a starved runtime; anything else means that invariant 1 of the [module](super) is not proven yet.
    pub lingering: usize,
}

/// The live counters behind [`Stats`].
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) established: Arc<Gauge>,
    pub(super) waiting: Arc<Gauge>,
    pub(super) held: Arc<Gauge>,
    pub(super) accepted: Counter,
    pub(super) refused: Counter,
    pub(super) expired: Counter,
    pub(super) left: Counter,
    pub(super) failed: Counter,
    pub(super) finished: Counter,
    pub(super) dropped: Counter,
    pub(super) upstream_bytes: Counter,
    pub(super) client_bytes: Counter,
}

impl Counters {
    pub(super) fn snapshot(&self) -> Stats {
        Stats {
            established: self.established.now(),
            waiting: self.waiting.now(),
            held: self.held.now(),
            accepted: self.accepted.now(),
            refused: self.refused.now(),
            expired: self.expired.now(),
            left: self.left.now(),
            failed: self.failed.now(),
            finished: self.finished.now(),
            dropped: self.dropped.now(),
            upstream_bytes: self.upstream_bytes.now(),
            client_bytes: self.client_bytes.now(),
        }
    }
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn increment(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    pub(super) fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Relaxed);
    }

    fn now(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// How many [`Entered`] there are.
#[derive(Debug, Default)]
pub(super) struct Gauge(AtomicU64);

impl Gauge {
    pub(super) fn enter(self: &Arc<Gauge>) -> Entered {
        self.0.fetch_add(1, Relaxed);
        Entered(Arc::clone(self))
    }

    pub(super) fn now(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// One in a [`Gauge`], until it is dropped.
#[derive(Debug)]
pub(super) struct Entered(Arc<Gauge>);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}
