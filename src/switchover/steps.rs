use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Error, ErrorKind, Result};

/// What is done while nobody can write, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Step {
    /// Blue becomes read-only, and its log is seen to stand still.
    Fence,
    /// Green reaches the end of blue's log.
    Drain,
    /// The stream from blue ends.
    EndOfStream,
    /// Green's log is searched for writes of anybody else.
    ForeignWrites,
    /// Green's AUTO_INCREMENT counters are raised to blue's.
    Counters,
    /// Blue's triggers are made on green; then blue is seen to be as its fence left it.
    Triggers,
    /// The point of no return is journalled.
    Journal,
    /// Green becomes writable.
    Promotion,
}

impl Step {
    /// What did not happen, where time was up in this step.
    fn failure(self) -> &'static str {
        match self {
            Step::Fence => "blue was not made read-only",
            Step::Drain => "green did not reach the end of blue's log",
            Step::EndOfStream => "the stream from blue did not end",
            Step::ForeignWrites => "green's log was not read to its end",
            Step::Counters => "green's AUTO_INCREMENT counters were not raised",
            Step::Triggers => "blue's triggers were not made on green",
            Step::Journal => "the journal was not written",
            Step::Promotion => "green was not made writable",
        }
    }
}

/// A step and the time that it took.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct StepTime {
    /// Which.
    pub step: Step,
    /// Milliseconds.
    pub ms: f64,
}

/// The write block: when it began, what was done in it, and when it must be over.
#[derive(Debug)]
pub(super) struct WriteBlock {
    pub(super) since: Instant,
    pub(super) end: Instant,
    current: (Step, Instant),
    done: Vec<StepTime>,
}

impl WriteBlock {
    /// Begins with the fence, at `since`.
    pub(super) fn begin(since: Instant, end: Instant) -> WriteBlock {
        WriteBlock { since, end, current: (Step::Fence, since), done: Vec::new() }
    }

    /// The step before is done, and this one begins.
    pub(super) fn enter(&mut self, step: Step, now: Instant) {
        let (before, since) = std::mem::replace(&mut self.current, (step, now));
        self.done.push(StepTime { step: before, ms: millis(now - since) });
    }

    /// The error where the time is up.
    pub(super) fn timed_out(&self) -> Error {
        timed_out(self.current.0.failure())
    }

    /// All steps up to the one that ends at `end`, and the whole in milliseconds.
    pub(super) fn finish(mut self, end: Instant) -> (Vec<StepTime>, f64) {
        let (step, since) = self.current;
        self.done.push(StepTime { step, ms: millis(end - since) });
        (self.done, millis(end - self.since))
    }
}

pub(super) fn timed_out(what: &'static str) -> Error {
    Error::new(ErrorKind::Timeout, format!("{what} in time"))
        .with_advice("try again when blue is less busy, or with a longer --timeout or --max-write-block")
}

pub(super) async fn within<T>(end: Instant, what: &'static str, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout_at(end, work).await.unwrap_or_else(|_| Err(timed_out(what)))
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
