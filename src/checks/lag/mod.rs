//! How far green is behind blue, and where on the way.

mod probe;

use crate::apply::checkpoint::{self, Checkpoint, Stream};
use crate::error::Result;
use crate::model::{Coordinates, Position};
use crate::net::Session;

pub use self::probe::LagProbe;
pub(crate) use self::probe::measure;

/// How far one place in blue's log is behind another that was read after it, so no figure is ever negative.
///
/// Of green's checkpoint and blue's head all zero means that green holds all that blue had committed when its head was
/// read, not that no writes are coming.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Lag {
    /// Measured.
    #[non_exhaustive]
    Known {
        /// Zero where nothing is pending; else the time since blue committed the last transaction that is not pending, up
        /// to now or to the later place's last transaction, all by blue's clock. An upper bound: an idle time on blue
        /// before the pending transactions counts too. `None` where that is not known: nothing was applied yet.
        seconds: Option<f64>,
        /// Pending transactions, by GTID; `None` without GTIDs.
        transactions: Option<u64>,
        /// Bytes of blue's log between the two, over all files; `None` where blue no longer has the file.
        bytes: Option<u64>,
    },
    /// Could not be measured. Counts as too much.
    #[non_exhaustive]
    Unknown {
        /// The reason.
        unknown: String,
    },
}

impl Lag {
    /// Whether nothing is pending; `false` where that is not known.
    pub fn is_zero(&self) -> bool {
        match self {
            Lag::Known { seconds, .. } => *seconds == Some(0.0),
            Lag::Unknown { .. } => false,
        }
    }

    /// The lag in seconds, where it is known.
    pub fn seconds(&self) -> Option<f64> {
        match self {
            Lag::Known { seconds, .. } => *seconds,
            Lag::Unknown { .. } => None,
        }
    }

    /// The lag in transactions, where it is known.
    pub fn transactions(&self) -> Option<u64> {
        match self {
            Lag::Known { transactions, .. } => *transactions,
            Lag::Unknown { .. } => None,
        }
    }

    /// The lag in bytes of blue's log, where it is known.
    pub fn bytes(&self) -> Option<u64> {
        match self {
            Lag::Known { bytes, .. } => *bytes,
            Lag::Unknown { .. } => None,
        }
    }

    pub(crate) fn unknown(why: impl Into<String>) -> Lag {
        Lag::Unknown { unknown: why.into() }
    }
}

/// The lag in all and its two parts, from one sample.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Lags {
    /// From what green durably holds to blue's head.
    pub end_to_end: Lag,
    /// From what the stream has received to blue's head; unknown where the stream runs in another process.
    pub transport: Lag,
    /// From what green durably holds to what the stream has received.
    pub apply: Lag,
    /// How far the servers' clocks are apart. No figure of the lag depends on it.
    pub clocks: Option<Clocks>,
}

impl Lags {
    /// Nothing is known.
    pub(crate) fn unknown(why: &str) -> Lags {
        let unknown = || Lag::unknown(why);
        Lags { end_to_end: unknown(), transport: unknown(), apply: unknown(), clocks: None }
    }
}

/// The difference between the servers' clocks.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Clocks {
    /// How far green's clock is ahead of blue's; negative: behind.
    pub green_ahead_seconds: f64,
    /// The most that this may be wrong by: half of both round trips.
    pub uncertain_by_seconds: f64,
}

/// A place in blue's log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mark {
    /// Everything before it was passed.
    pub position: Position,
    /// When blue committed the last transaction before it, in microseconds since 1970; 0: not known.
    pub committed_at_micros: u64,
}

impl Mark {
    /// A mark by its parts.
    pub fn new(position: Position, committed_at_micros: u64) -> Mark {
        Mark { position, committed_at_micros }
    }
}

impl From<&Checkpoint> for Mark {
    fn from(checkpoint: &Checkpoint) -> Mark {
        Mark::new(checkpoint.position.clone(), checkpoint.committed_at_micros)
    }
}

/// The lag between a mark and one that was read after it. The head's time is blue's clock now.
fn lag(from: &Mark, to: &Mark, logs: &[Coordinates]) -> Lag {
    let (position, head) = (&from.position, &to.position);
    let Some(is_covered) = position.covers(head) else {
        return Lag::unknown("green's checkpoint and blue's log cannot be compared");
    };
    if is_covered {
        let transactions = position.gtid.as_ref().and(head.gtid.as_ref()).map(|_| 0);
        return Lag::Known { seconds: Some(0.0), transactions, bytes: Some(0) };
    }
    let transactions = match (&head.gtid, &position.gtid) {
        (Some(head), Some(mine)) => head.count_beyond(mine),
        _ => None,
    };
    let is_timed = from.committed_at_micros > 0 && to.committed_at_micros > 0;
    let seconds = is_timed.then(|| to.committed_at_micros.saturating_sub(from.committed_at_micros) as f64 / 1e6);
    Lag::Known { seconds, transactions, bytes: bytes_between(&position.coordinates, &head.coordinates, logs) }
}

/// Bytes of log from `from` to `to`, over the files between; `None` where the list does not span them.
fn bytes_between(from: &Coordinates, to: &Coordinates, logs: &[Coordinates]) -> Option<u64> {
    if from.file == to.file {
        return to.offset.checked_sub(from.offset);
    }
    let first = logs.iter().position(|log| log.file == from.file)?;
    let last = logs.iter().position(|log| log.file == to.file)?;
    let whole = logs.get(first..last).filter(|files| !files.is_empty())?;
    let bytes = whole.iter().fold(0u64, |sum, log| sum.saturating_add(log.offset));
    Some(bytes.checked_sub(from.offset)?.saturating_add(to.offset))
}

/// Whether green durably holds everything of blue before `head`; `false` too where the two cannot be compared.
pub(crate) async fn is_level(green: &mut Session, head: &Position) -> Result<bool> {
    let checkpoint = checkpoint::read(green, Stream::Forward).await?;
    Ok(checkpoint.is_some_and(|checkpoint| checkpoint.position.covers(head) == Some(true)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Flavor, GtidPosition};

    fn position(file: &str, offset: u64, gtid: Option<&str>) -> Position {
        let gtid = gtid.map(|text| GtidPosition::parse(Flavor::MariaDb, text).unwrap());
        Position::new(Coordinates::new(file, offset), gtid)
    }

    fn at(position: Position) -> Mark {
        Mark::new(position, 5_000_000)
    }

    fn head(position: Position, now_micros: u64) -> Mark {
        Mark::new(position, now_micros)
    }

    fn logs() -> Vec<Coordinates> {
        vec![Coordinates::new("b.000001", 100), Coordinates::new("b.000002", 50), Coordinates::new("b.000003", 400)]
    }

    #[test]
    fn bytes_span_log_files() {
        let of = |from: (&str, u64), to: (&str, u64)| {
            bytes_between(&Coordinates::new(from.0, from.1), &Coordinates::new(to.0, to.1), &logs())
        };
        assert_eq!(of(("b.000001", 90), ("b.000003", 20)), Some(10 + 50 + 20));
        assert_eq!(of(("b.000003", 90), ("b.000003", 100)), Some(10));
        assert_eq!(of(("b.000000", 90), ("b.000003", 100)), None, "purged");
        assert_eq!(of(("b.000003", 90), ("b.000001", 100)), None, "backwards");
    }

    #[test]
    fn pending_transactions_are_counted_and_timed() {
        let to = head(position("b.000002", 10, Some("0-1-8")), 6_500_000);
        let seen = lag(&at(position("b.000001", 90, Some("0-1-5"))), &to, &logs());
        assert_eq!(seen, Lag::Known { seconds: Some(1.5), transactions: Some(3), bytes: Some(20) });
        assert!(!seen.is_zero());
    }

    #[test]
    fn nothing_pending_is_zero_even_with_an_old_checkpoint() {
        let seen = lag(&at(position("b.000001", 90, None)), &head(position("b.000001", 90, None), u64::MAX), &logs());
        assert_eq!(seen, Lag::Known { seconds: Some(0.0), transactions: None, bytes: Some(0) });
        assert!(seen.is_zero());
    }

    #[test]
    fn what_cannot_be_compared_is_unknown() {
        let seen = lag(&at(position("a.000001", 90, None)), &head(position("b.000001", 90, None), 0), &logs());
        assert!(matches!(seen, Lag::Unknown { .. }));
        assert!(!seen.is_zero());
    }
}
