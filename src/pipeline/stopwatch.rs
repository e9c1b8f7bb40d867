//! How long each stage of a stream was at work: where the time goes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::queue::Level;

/// A stage of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// Waiting for blue's next bytes.
    Blue,
    /// Events to transactions.
    Decode,
    /// Transactions to groups.
    Plan,
    /// Groups to statements.
    Render,
    /// Sending statements to green and waiting for its answers.
    Green,
}

impl Stage {
    /// All of them, in the order that data pass them.
    pub const ALL: [Stage; 5] = [Stage::Blue, Stage::Decode, Stage::Plan, Stage::Render, Stage::Green];

    /// One word.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Blue => "blue",
            Stage::Decode => "decode",
            Stage::Plan => "plan",
            Stage::Render => "render",
            Stage::Green => "green",
        }
    }
}

/// What the stages did since the stream's start, and what waits between them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StageFigures {
    /// Microseconds that each of [`Stage::ALL`] took.
    pub micros: [u64; 5],
    /// Bytes of received events that wait for decoding, and of decoded transactions that wait for planning.
    pub queued_bytes: [u64; 2],
}

impl Serialize for StageFigures {
    /// `{"seconds":{"blue":…,"decode":…,"plan":…,"render":…,"green":…},"queued_bytes":{"events":…,"transactions":…}}`
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let seconds = Stage::ALL.map(|stage| (stage.name(), self.micros_of(stage) as f64 / 1e6));
        let queued = QUEUES.into_iter().zip(self.queued_bytes);
        let mut figures = serializer.serialize_struct("StageFigures", 2)?;
        figures.serialize_field("seconds", &BTreeMap::from(seconds))?;
        figures.serialize_field("queued_bytes", &queued.collect::<BTreeMap<_, _>>())?;
        figures.end()
    }
}

/// The queues between stages, by what waits in them.
pub(super) const QUEUES: [&str; 2] = ["events", "transactions"];

impl StageFigures {
    /// Microseconds that a stage took.
    pub fn micros_of(&self, stage: Stage) -> u64 {
        self.micros[stage as usize]
    }
}

/// Counts the stages' time, from whatever thread they run on.
#[derive(Debug, Clone, Default)]
pub(super) struct Stopwatch(Arc<[AtomicU64; 5]>);

impl Stopwatch {
    pub(super) fn add(&self, stage: Stage, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.0[stage as usize].fetch_add(micros, Ordering::Relaxed);
    }

    /// Counts what `work` takes.
    pub(super) fn time<T>(&self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let done = work();
        self.add(stage, start.elapsed());
        done
    }

    pub(super) fn figures(&self, queues: &[Level; 2]) -> StageFigures {
        StageFigures {
            micros: std::array::from_fn(|index| self.0[index].load(Ordering::Relaxed)),
            queued_bytes: std::array::from_fn(|index| queues[index].bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stage_has_its_own_time() {
        let stopwatch = Stopwatch::default();
        for (index, stage) in Stage::ALL.into_iter().enumerate() {
            assert_eq!(stage as usize, index);
            stopwatch.add(stage, Duration::from_micros(index as u64 + 1));
        }
        assert_eq!(stopwatch.time(Stage::Plan, || 7), 7);
        let (sender, _receiver) = super::super::queue::queue::<()>(10);
        let figures = stopwatch.figures(&[sender.level(), sender.level()]);
        assert_eq!((figures.micros_of(Stage::Blue), figures.micros_of(Stage::Green)), (1, 5));
        assert_eq!(figures.queued_bytes, [0, 0]);
        let json = serde_json::to_value(figures).unwrap();
        assert_eq!((&json["seconds"]["green"], &json["queued_bytes"]["events"]), (&5e-6.into(), &0.into()));
    }
}
