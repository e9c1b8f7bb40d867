use std::time::Instant;

use super::{Clocks, Lag, Lags, Mark, lag};
use crate::apply::checkpoint::{self, Stream};
use crate::error::Result;
use crate::model::{Coordinates, Flavor, Position};
use crate::net::{Server, ServerUrl, Session};

/// Measures the lag of green's forward stream. `received` is how far the stream was when it was asked, if that is known.
///
/// A server that does not answer gives [`Lag::Unknown`], never an error.
pub(crate) async fn measure(
    blue_server: &Server,
    blue: &mut Session,
    green: &mut Session,
    received: impl FnOnce() -> Option<Mark>,
) -> Lags {
    match try_measure(blue_server, blue, green, received, false).await {
        Ok(lags) => lags,
        Err(error) => Lags::unknown(error.message()),
    }
}

/// Measures the lag again and again over the same two connections.
///
/// Where green has no checkpoint it may be a native replica of blue: what it has executed is compared then, which tells
/// the transactions only.
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
        self.measure_beside(|| None).await.end_to_end
    }

    /// The same, with its parts. `received` tells how far the stream is, and is asked once green's checkpoint was read
    /// and before blue's head is: see [`Progress::received`](crate::pipeline::Progress::received).
    ///
    /// # Cancel safety
    /// That of [`measure`](Self::measure).
    pub async fn measure_beside(&mut self, received: impl FnOnce() -> Option<Mark>) -> Lags {
        let sides = match self.sides.take() {
            Some(sides) => Ok(sides),
            None => self.connect().await,
        };
        let mut sides = match sides {
            Ok(sides) => sides,
            Err(error) => return Lags::unknown(error.message()),
        };
        match try_measure(&sides.blue_server, &mut sides.blue, &mut sides.green, received, true).await {
            Ok(lags) => {
                self.sides = Some(sides);
                lags
            }
            Err(error) => Lags::unknown(error.message()),
        }
    }

    async fn connect(&self) -> Result<Sides> {
        let green = Session::open(&self.green).await?;
        let mut blue = Session::open(&self.blue).await?;
        let blue_server = Server::probe(&mut blue).await?;
        Ok(Sides { blue_server, blue, green })
    }
}

async fn try_measure(
    blue_server: &Server,
    blue: &mut Session,
    green: &mut Session,
    received: impl FnOnce() -> Option<Mark>,
    may_be_native: bool,
) -> Result<Lags> {
    // Green first, then the stream, then blue: what happens in between only makes the lag larger, never negative.
    let (durable, is_ours) = match checkpoint::read(green, Stream::Forward).await? {
        Some(checkpoint) if checkpoint.source != blue_server.identity => {
            return Ok(Lags::unknown("green follows another server than this blue"));
        }
        Some(checkpoint) => (Mark::from(&checkpoint), true),
        None => match if may_be_native { executed(blue_server, green).await? } else { None } {
            Some(position) => (Mark::new(position, 0), false),
            None => return Ok(Lags::unknown("green has no checkpoint")),
        },
    };
    let received = received();
    let head = blue_server.head(blue).await?;
    // After the head, so that the head's file is in the list.
    let logs = if is_ours { blue_server.logs(blue).await? } else { Vec::new() };
    let (blue_clock, green_clock) = (Clock::read(blue).await?, Clock::read(green).await?);
    let Some(blue_clock) = blue_clock else { return Ok(Lags::unknown("blue's clock cannot be read")) };
    let head = Mark::new(head, blue_clock.micros);
    let elsewhere = || Lag::unknown("the stream does not run in this process");
    Ok(Lags {
        end_to_end: without_bytes(lag(&durable, &head, &logs), is_ours),
        transport: received.as_ref().map_or_else(elsewhere, |received| lag(received, &head, &logs)),
        apply: received.as_ref().map_or_else(elsewhere, |received| lag(&durable, received, &logs)),
        clocks: green_clock.map(|green_clock| blue_clock.compare(&green_clock)),
    })
}

/// What a native replica has executed; `None`: it does not say, or blue has no GTIDs to compare with.
async fn executed(blue: &Server, green: &mut Session) -> Result<Option<Position>> {
    let select = match blue.version.flavor {
        Flavor::MySql => "SELECT @@global.gtid_executed",
        Flavor::MariaDb => "SELECT @@global.gtid_slave_pos",
    };
    if !blue.binlog.has_gtid {
        return Ok(None);
    }
    let text = match green.first(select).await {
        Ok(row) => row.map(|row| row.text(0)).unwrap_or_default(),
        // Green is of the other family.
        Err(error) if error.code() == Some(1193) => return Ok(None),
        Err(error) => return Err(error),
    };
    if text.is_empty() {
        return Ok(None);
    }
    Ok(Some(Position::new(Coordinates::new("", 0), Some(blue.parse_gtid(&text)?))))
}

/// A native replica's place in blue's files is not known.
fn without_bytes(lag: Lag, is_ours: bool) -> Lag {
    match lag {
        Lag::Known { seconds, transactions, bytes } => {
            Lag::Known { seconds, transactions, bytes: bytes.filter(|bytes| is_ours || *bytes == 0) }
        }
        unknown => unknown,
    }
}

/// A server's clock, and when it was read by this process's.
struct Clock {
    micros: u64,
    asked: Instant,
    answered: Instant,
}

impl Clock {
    async fn read(session: &mut Session) -> Result<Option<Clock>> {
        let asked = Instant::now();
        let now = session.first("SELECT CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS UNSIGNED)").await?;
        let answered = Instant::now();
        Ok(now.and_then(|row| row.number(0)).map(|micros| Clock { micros, asked, answered }))
    }

    /// What the servers' clocks show at one moment, if each answered in the middle of its round trip.
    fn compare(&self, green: &Clock) -> Clocks {
        let half = |clock: &Clock| (clock.answered - clock.asked).as_secs_f64() / 2.0;
        let between = (green.asked - self.asked).as_secs_f64() + half(green) - half(self);
        let shown = (green.micros as f64 - self.micros as f64) / 1e6;
        Clocks { green_ahead_seconds: shown - between, uncertain_by_seconds: half(self) + half(green) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn clocks_are_compared_at_one_moment() {
        let start = Instant::now();
        let at = |micros, asked: u64, answered: u64| Clock {
            micros,
            asked: start + Duration::from_millis(asked),
            answered: start + Duration::from_millis(answered),
        };
        // Blue answered at 5 ms, green at 20 ms, with 115 ms more on its clock.
        let seen = at(1_000_000, 0, 10).compare(&at(1_115_000, 10, 30));
        assert!((seen.green_ahead_seconds - 0.1).abs() < 1e-9, "{seen:?}");
        assert!((seen.uncertain_by_seconds - 0.015).abs() < 1e-9, "{seen:?}");
    }
}
