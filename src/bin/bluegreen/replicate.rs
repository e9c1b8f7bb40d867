use std::path::Path;
use std::time::{Duration, Instant};

use bluegreen::apply::Policy;
use bluegreen::checks::{Lag, LagProbe};
use bluegreen::model::{Coordinates, Flavor, GtidPosition, Position, StartPosition};
use bluegreen::pipeline::{Progress, Replication, ReplicationConfig, record_lag};
use bluegreen::switchover::Point;
use bluegreen::{Error, ErrorKind, Result};
use serde_json::json;

use crate::arguments::Replicate;
use crate::config::Settings;
use crate::output::{self, Answer, count};
use crate::stop::Stop;
use crate::{metrics, progress};

/// How often a line is printed where nobody watches.
const PLAIN_LINES: Duration = Duration::from_secs(10);

pub(crate) async fn replicate(arguments: Replicate, config: Option<&Path>, json: bool, stop: Stop) -> Result<Answer> {
    let settings = Settings::read(config, &arguments.servers)?;
    if let Some(address) = arguments.metrics.or(settings.metrics) {
        metrics::serve(address)?;
    }
    let (blue, green) = (settings.blue()?, settings.green()?);
    let lag = LagProbe::new(blue.clone(), green.clone());
    let lanes = arguments.lanes.or(settings.lanes).unwrap_or(1);
    let mut config = ReplicationConfig::new(blue, green).from(arguments.from).with_lanes(lanes)?;
    config.ways = arguments.statement_at.into_iter().collect();
    config.conflicts = arguments.conflicts.map_or(settings.conflicts, Policy::from);
    config.keep_green = settings.keep_green;
    let mut replication = Box::pin(Replication::start(config)).await?;
    let target = match (arguments.until_caught_up, &arguments.until) {
        (true, _) => Some(replication.head_at_start().clone()),
        (false, Some(until)) => Some(target(until, replication.head_at_start())?),
        (false, None) => None,
    };
    let ended = Box::pin(follow(&mut replication, target.as_ref(), lag, json, stop)).await;
    let last = replication.progress().borrow().clone();
    match ended {
        // At a commit boundary, within the time that one group takes.
        Ok(_) => replication.stop().await?,
        Err(error) => return Err(error),
    }
    if json {
        output::document(&as_json(&last, None, "stopped"));
    } else {
        let place = last.checkpoint.as_ref().map(|checkpoint| format!(" at {}", checkpoint.position));
        let reached = if matches!(ended, Ok(End::Reached)) { "reached" } else { "stopped" };
        output::line(format_args!(
            "{reached}{}: {} transactions, {} row changes applied",
            place.unwrap_or_default(),
            count(last.transactions),
            count(last.row_changes)
        ));
    }
    Ok(Answer::Yes)
}

/// Why following ended.
enum End {
    Reached,
    Stopped,
}

async fn follow(
    replication: &mut Replication,
    target: Option<&Position>,
    mut lag: LagProbe,
    json: bool,
    mut stop: Stop,
) -> Result<End> {
    let pictures = replication.progress();
    let spinner = progress::spinner("replicate");
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    let mut pace = Pace::new();
    let mut printed: Option<(&'static str, Instant)> = None;
    let end = loop {
        let reached = async {
            match target {
                Some(target) => replication.reached(target).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = stop.requested() => break Ok(End::Stopped),
            reached = reached => match reached {
                Ok(()) => break Ok(End::Reached),
                // The stream's own error says more than that it ended.
                Err(error) => break Err(replication.finished().await.err().unwrap_or(error)),
            },
            _ = tick.tick() => {}
        }
        let now = pictures.borrow().clone();
        if now.state.name() == "failed" {
            let ended = || Error::new(ErrorKind::Internal, "the stream ended without an error");
            break Err(replication.finished().await.err().unwrap_or_else(ended));
        }
        // A server that does not answer must not hold up the stop.
        let received = || pictures.borrow().received.clone();
        let lags = tokio::time::timeout(Duration::from_millis(800), lag.measure_beside(received)).await.ok();
        lags.iter().for_each(record_lag);
        let lag = lags.map(|lags| lags.end_to_end);
        let (transactions, rows) = pace.of(&now);
        let text = line(&now, lag.as_ref(), transactions, rows);
        spinner.set_message(text.clone());
        if json {
            output::document(&as_json(&now, lag.as_ref(), now.state.name()));
        } else if !progress::is_watched() {
            let is_due = printed.is_none_or(|(state, at)| state != now.state.name() || at.elapsed() >= PLAIN_LINES);
            if is_due {
                output::line(&text);
                printed = Some((now.state.name(), Instant::now()));
            }
        }
    };
    spinner.finish_and_clear();
    end
}

/// Transactions and rows a second, between two looks.
struct Pace {
    at: Instant,
    transactions: u64,
    rows: u64,
}

impl Pace {
    fn new() -> Pace {
        Pace { at: Instant::now(), transactions: 0, rows: 0 }
    }

    fn of(&mut self, now: &Progress) -> (f64, f64) {
        let seconds = self.at.elapsed().as_secs_f64().max(1e-3);
        let pace = (
            now.transactions.saturating_sub(self.transactions) as f64 / seconds,
            now.row_changes.saturating_sub(self.rows) as f64 / seconds,
        );
        *self = Pace { at: Instant::now(), transactions: now.transactions, rows: now.row_changes };
        pace
    }
}

fn line(now: &Progress, lag: Option<&Lag>, transactions: f64, rows: f64) -> String {
    let behind = match lag {
        Some(lag) if lag.is_zero() => "nothing behind".to_owned(),
        Some(lag) => lag_text(lag),
        None => "lag not known".to_owned(),
    };
    let mut text = format!("{}, {transactions:.0} transactions/s, {rows:.0} rows/s, {behind}", now.state.name());
    if let Some(open) = &now.open {
        let (rows, bytes) = (count(open.row_changes), output::bytes(open.bytes));
        text.push_str(&format!(", {rows} rows ({bytes}) of a large transaction written"));
    }
    if let Some(reason) = now.state.reason() {
        text.push_str(&format!(": {reason}"));
    }
    text
}

/// How far behind, in the figures that there are.
pub(crate) fn lag_text(lag: &Lag) -> String {
    let figures = [
        lag.transactions().map(|number| format!("{} transactions", count(number))),
        lag.bytes().map(output::bytes),
        lag.seconds().map(|seconds| format!("{seconds:.1} s")),
    ];
    let known: Vec<String> = figures.into_iter().flatten().collect();
    if known.is_empty() { "lag not known".to_owned() } else { format!("{} behind", known.join(", ")) }
}

fn as_json(now: &Progress, lag: Option<&Lag>, state: &str) -> serde_json::Value {
    json!({
        "state": state,
        "reason": now.state.reason(),
        "checkpoint": now.checkpoint.as_ref().map(|checkpoint| Point::from(&checkpoint.position)),
        "transactions": now.transactions,
        "row_changes": now.row_changes,
        "stream": now.figures(),
        "conflicts": now.conflicts,
        "reconnects": now.reconnects,
        "lag": lag,
    })
}

/// The position to stop at. `head` is blue's and tells how its positions are written.
fn target(until: &StartPosition, head: &Position) -> Result<Position> {
    let wrong = |message: String| Err(Error::new(ErrorKind::Config, format!("--until: {message}")));
    match until {
        StartPosition::Current => Ok(head.clone()),
        StartPosition::File(coordinates) => {
            let target = Position::new(coordinates.clone(), None);
            match head.covers(&target) {
                Some(_) => Ok(target),
                None => {
                    wrong(format!("`{}` is no log of blue, which writes {}", coordinates.file, head.coordinates.file))
                }
            }
        }
        StartPosition::Gtid(text) => {
            let flavor = match &head.gtid {
                Some(GtidPosition::MySql(_)) => Flavor::MySql,
                Some(GtidPosition::MariaDb(_)) => Flavor::MariaDb,
                None => return wrong("blue has no GTIDs".to_owned()),
            };
            match StartPosition::parse_gtid(text, flavor) {
                Ok(gtid) => Ok(Position::new(Coordinates::new(head.coordinates.file.clone(), 4), Some(gtid))),
                Err(reason) => wrong(reason),
            }
        }
        _ => wrong("write current, gtid:SET or file:NAME:OFFSET".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_one_of_blues() {
        let gtid = StartPosition::parse_gtid("0-1-9", Flavor::MariaDb).unwrap();
        let head = Position::new(Coordinates::new("bin.000003", 900), Some(gtid));
        let of = |text: &str| target(&text.parse().unwrap(), &head);
        assert_eq!(of("current").unwrap(), head);
        assert!(of("file:bin.000002:4").is_ok() && of("file:bin.000009:4").is_ok());
        assert!(of("gtid:0-1-7").is_ok());
        for wrong in ["beginning", "file:log.000002:4", "gtid:x"] {
            assert_eq!(of(wrong).unwrap_err().kind(), ErrorKind::Config, "{wrong}");
        }
    }
}
