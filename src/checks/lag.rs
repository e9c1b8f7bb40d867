use crate::apply::checkpoint::{self, Checkpoint, Stream};
use crate::error::Result;
use crate::model::{Coordinates, Position};
use crate::net::{Server, ServerUrl, Session};

/// How far green's checkpoint trails blue's log.
///
/// Green's checkpoint is read before blue's head, so no figure is ever negative. All zero means that green holds all
/// that blue had committed when its head was read, not that no writes are coming.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Lag {
    /// Measured.
    #[non_exhaustive]
    Known {
        /// Zero where nothing is pending; else blue's clock now minus the time at which blue committed the last
        /// transaction that green has. An upper bound: an idle time on blue before the pending transactions counts
        /// too. `None` where green has applied nothing yet.
        seconds: Option<f64>,
        /// Transactions on blue that green has not, by GTID; `None` without GTIDs.
        transactions: Option<u64>,
        /// Bytes of blue's log after the checkpoint, over all files; `None` where blue no longer has the file.
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

/// The lag between a checkpoint and a head that was read after it. `now_micros` is blue's clock.
fn lag(checkpoint: &Checkpoint, head: &Position, logs: &[Coordinates], now_micros: u64) -> Lag {
    let Some(is_covered) = checkpoint.position.covers(head) else {
        return Lag::unknown("green's checkpoint and blue's log cannot be compared");
    };
    if is_covered {
        let transactions = checkpoint.position.gtid.as_ref().and(head.gtid.as_ref()).map(|_| 0);
        return Lag::Known { seconds: Some(0.0), transactions, bytes: Some(0) };
    }
    let transactions = match (&head.gtid, &checkpoint.position.gtid) {
        (Some(head), Some(mine)) => head.count_beyond(mine),
        _ => None,
    };
    let seconds = (checkpoint.committed_at_micros > 0)
        .then(|| now_micros.saturating_sub(checkpoint.committed_at_micros) as f64 / 1e6);
    Lag::Known {
        seconds,
        transactions,
        bytes: bytes_between(&checkpoint.position.coordinates, &head.coordinates, logs),
    }
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

/// Measures the lag of green's forward stream.
///
/// A server that does not answer gives [`Lag::Unknown`], never an error.
pub(crate) async fn measure(blue_server: &Server, blue: &mut Session, green: &mut Session) -> Lag {
    match try_measure(blue_server, blue, green).await {
        Ok(lag) => lag,
        Err(error) => Lag::unknown(error.message()),
    }
}

/// Measures the lag again and again over the same two connections.
#[derive(Debug)]
pub struct LagProbe {
    blue: ServerUrl,
    green: ServerUrl,
    sides: Option<Sides>,
}

struct Sides {
    blue_server: Server,
    blue: Session,
    green: Session,
}

impl std::fmt::Debug for Sides {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sides").finish_non_exhaustive()
    }
}

impl LagProbe {
    /// A probe that connects at its first measurement.
    pub fn new(blue: ServerUrl, green: ServerUrl) -> LagProbe {
        LagProbe { blue, green, sides: None }
    }

    /// The lag now. A server that does not answer gives [`Lag::Unknown`] and is connected to anew the next time.
    ///
    /// # Cancel safety
    /// A measurement that is dropped costs the connections, which the next one opens again.
    pub async fn measure(&mut self) -> Lag {
        let sides = match self.sides.take() {
            Some(sides) => Ok(sides),
            None => self.connect().await,
        };
        let mut sides = match sides {
            Ok(sides) => sides,
            Err(error) => return Lag::unknown(error.message()),
        };
        match try_measure(&sides.blue_server, &mut sides.blue, &mut sides.green).await {
            Ok(lag) => {
                self.sides = Some(sides);
                lag
            }
            Err(error) => Lag::unknown(error.message()),
        }
    }

    async fn connect(&self) -> Result<Sides> {
        let green = Session::open(&self.green).await?;
        let mut blue = Session::open(&self.blue).await?;
        let blue_server = Server::probe(&mut blue).await?;
        Ok(Sides { blue_server, blue, green })
    }
}

async fn try_measure(blue_server: &Server, blue: &mut Session, green: &mut Session) -> Result<Lag> {
    // Green first: what blue commits after this read only makes the lag larger, never negative.
    let Some(checkpoint) = checkpoint::read(green, Stream::Forward).await? else {
        return Ok(Lag::unknown("green has no checkpoint"));
    };
    if checkpoint.source != blue_server.identity {
        return Ok(Lag::unknown("green follows another server than this blue"));
    }
    let head = blue_server.head(blue).await?;
    // After the head, so that the head's file is in the list.
    let logs = blue_server.logs(blue).await?;
    let now = blue.first("SELECT CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS UNSIGNED)").await?;
    let Some(now_micros) = now.and_then(|row| row.number(0)) else {
        return Ok(Lag::unknown("blue's clock cannot be read"));
    };
    Ok(lag(&checkpoint, &head, &logs, now_micros))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Flavor, GtidPosition, ServerIdentity};

    fn position(file: &str, offset: u64, gtid: Option<&str>) -> Position {
        let gtid = gtid.map(|text| GtidPosition::parse(Flavor::MariaDb, text).unwrap());
        Position::new(Coordinates::new(file, offset), gtid)
    }

    fn at(position: Position) -> Checkpoint {
        let mut checkpoint = Checkpoint::start(ServerIdentity::new("x"), position);
        checkpoint.committed_at_micros = 5_000_000;
        checkpoint
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
        let seen = lag(
            &at(position("b.000001", 90, Some("0-1-5"))),
            &position("b.000002", 10, Some("0-1-8")),
            &logs(),
            6_500_000,
        );
        assert_eq!(seen, Lag::Known { seconds: Some(1.5), transactions: Some(3), bytes: Some(20) });
        assert!(!seen.is_zero());
    }

    #[test]
    fn nothing_pending_is_zero_even_with_an_old_checkpoint() {
        let seen = lag(&at(position("b.000001", 90, None)), &position("b.000001", 90, None), &logs(), u64::MAX);
        assert_eq!(seen, Lag::Known { seconds: Some(0.0), transactions: None, bytes: Some(0) });
        assert!(seen.is_zero());
    }

    #[test]
    fn what_cannot_be_compared_is_unknown() {
        let seen = lag(&at(position("a.000001", 90, None)), &position("b.000001", 90, None), &logs(), 0);
        assert!(matches!(seen, Lag::Unknown { .. }));
        assert!(!seen.is_zero());
    }
}
