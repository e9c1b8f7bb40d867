//! The bounds of an endpoint.

use std::time::Duration;

/// The longest time that an option takes.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Bounds on what waits in an endpoint.
///
/// ```
/// # use bluegreen::endpoint::Options;
/// # use std::time::Duration;
/// let options = Options::default().hold_limit(Duration::from_secs(30)).max_waiting(500);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    pub(super) hold_limit: Duration,
    pub(super) connect_timeout: Duration,
    pub(super) max_waiting: u64,
}

impl Options {
    /// How long one connection is held before it is closed, counted from the moment that it is first held.
    ///
    /// Default 10 s; at most 24 h, more is taken as that; zero closes at once. Set it above the time that a switchover
    /// may take: applications that are held longer see an error. Their own connect timeout may end them earlier.
    #[must_use]
    pub fn hold_limit(mut self, limit: Duration) -> Options {
        self.hold_limit = limit.min(LONGEST);
        self
    }

    /// How long connecting to the upstream may take, name resolution and waiting for a turn included (128 connect at a
    /// time, so that released connections do not overrun the server's backlog). The client is closed after it.
    ///
    /// Default 5 s; at most 24 h, more is taken as that.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Options {
        self.connect_timeout = timeout.min(LONGEST);
        self
    }

    /// How many accepted connections may wait at a time, held or connecting. One more is closed at once.
    ///
    /// Default 10 000; at least 1, less is taken as that. Each takes a file descriptor and a few KiB; the limit of
    /// descriptors of the process (`ulimit -n`) has to allow for it.
    #[must_use]
    pub fn max_waiting(mut self, count: u64) -> Options {
        self.max_waiting = count.max(1);
        self
    }
}

impl Default for Options {
    fn default() -> Options {
        Options { hold_limit: Duration::from_secs(10), connect_timeout: Duration::from_secs(5), max_waiting: 10_000 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_out_of_bounds_are_taken_as_the_bound() {
        // invariant 4
        let options = Options::default().hold_limit(Duration::MAX).connect_timeout(Duration::MAX).max_waiting(0);
        assert_eq!(options, Options { hold_limit: LONGEST, connect_timeout: LONGEST, max_waiting: 1 });
    }
}
