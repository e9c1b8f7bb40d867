use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::progress::{Progress, StreamFigures};
use crate::apply::checkpoint::{self, Checkpoint, Stream};
use crate::checks::{self, Check, Clocks, Lag, Lags, Mark};
use crate::deployment::{Deployment, Proof, Status};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Position;
use crate::net::{Server, ServerUrl, Session};
use crate::switchover::{self, Engine, Point, SwitchoverConfig};
use crate::watch;

/// Time between the two looks at the checkpoint that the rate is computed from.
const SAMPLE: Duration = Duration::from_secs(1);
/// Reading what was written on green since the last scan must not hold up everything else.
const SCAN_LIMIT: Duration = Duration::from_secs(20);

/// A deployment as `status --json` prints it. What could not be found out is `null`.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Overview {
    /// The record.
    pub deployment: DeploymentState,
    /// The forward stream.
    pub replication: ReplicationState,
    /// What others wrote on green.
    pub conflicts: Conflicts,
    /// The last comparison.
    pub verification: VerificationState,
    /// What a switchover would ask, measured now; empty once there is nothing more to switch.
    pub guardrails: Vec<Check>,
}

/// The record's part.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct DeploymentState {
    /// The deployment's name; `null` where green was not built by `create`.
    pub name: Option<String>,
    /// Its status.
    pub status: Option<Status>,
    /// How far a switchover has come, where one is under way.
    pub phase: Option<String>,
    /// The address of the server that is production; `null` in the middle of a switchover.
    pub production: Option<String>,
}

/// The forward stream's part.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct ReplicationState {
    /// Of a stream in this process, its own word; else what the checkpoint shows: `replicating` (it moves), `caught_up`,
    /// `not_moving`, `ended` (after a switchover), `none` (no checkpoint), `unknown`.
    pub state: String,
    /// Why the stream retries or failed.
    pub reason: Option<String>,
    /// What green holds of blue.
    pub checkpoint: Option<Point>,
    /// Where blue's log ends.
    pub blue_head: Option<Point>,
    /// How far green is behind.
    pub lag: LagsFigures,
    /// Row changes applied a second, over the last second.
    pub apply_rows_per_second: Option<f64>,
    /// At the pace of the last second; `null` where green does not catch up at that pace.
    pub caught_up_in_seconds: Option<f64>,
    /// The stream's own figures, where it runs in this process.
    pub stream: Option<StreamFigures>,
}

/// [`Lags`](checks::Lags) with every key, whatever is known.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct LagsFigures {
    /// From what green durably holds to blue's head.
    #[serde(flatten)]
    pub end_to_end: LagFigures,
    /// From what the stream has received to blue's head.
    pub transport: LagFigures,
    /// From what green durably holds to what the stream has received.
    pub apply: LagFigures,
    /// How far the servers' clocks are apart.
    pub clocks: Option<Clocks>,
}

/// [`Lag`] with every key, whatever is known.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct LagFigures {
    /// See [`Lag::Known`].
    pub seconds: Option<f64>,
    /// See [`Lag::Known`].
    pub transactions: Option<u64>,
    /// See [`Lag::Known`].
    pub bytes: Option<u64>,
    /// Why nothing is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
}

/// Foreign writes on green, in rows and statements.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[non_exhaustive]
pub struct Conflicts {
    /// Not dealt with.
    pub open: Option<u64>,
    /// Since green was built.
    pub total: Option<u64>,
}

/// The last comparison of blue and green.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct VerificationState {
    /// `equal`, `different`, or `never`.
    pub state: &'static str,
    /// When it began, in seconds since 1970: what was committed before is part of it.
    pub finished_at: Option<f64>,
    /// Tables compared.
    pub tables: Option<u64>,
    /// Rows compared.
    pub rows: Option<u64>,
    /// Differences found.
    pub differences: Option<u64>,
}

/// Everything about a deployment, measured now; writes nothing anywhere. `stream` is the stream that runs in this
/// process, if one does.
///
/// Takes a little longer than a second where blue answers, because a rate needs two looks.
///
/// # Errors
/// Where green cannot be read. A blue that does not answer shows as unknown.
pub async fn overview(
    blue_url: &ServerUrl,
    green_url: &ServerUrl,
    stream: Option<&tokio::sync::watch::Receiver<Progress>>,
) -> Result<Overview> {
    let mut green = Session::open(green_url).await?;
    let deployment = Deployment::read(&mut green).await?;
    let status = deployment.as_ref().map(|deployment| deployment.status);
    let is_over = status == Some(Status::SwitchoverCompleted);
    let of_blue = if is_over { Deployment::of(blue_url).await.ok().flatten() } else { None };
    let before = checkpoint::read(&mut green, Stream::Forward).await?;
    let mut replication = ReplicationState {
        state: "none".into(),
        reason: None,
        checkpoint: before.as_ref().map(|checkpoint| Point::from(&checkpoint.position)),
        blue_head: None,
        lag: LagsFigures::default(),
        apply_rows_per_second: None,
        caught_up_in_seconds: None,
        stream: None,
    };
    let mut guardrails = Vec::new();
    let mut conflicts = Conflicts::default();
    if is_over {
        replication.state = "ended".into();
    } else {
        if let Some(before) = before {
            let received = || stream.and_then(|stream| stream.borrow().received.clone());
            replication = follow(blue_url, &mut green, &before, received).await?;
        }
        let writes = scan(green_url).await;
        if let Ok(writes) = &writes {
            conflicts = Conflicts { open: Some(writes.open()), total: Some(writes.total()) };
        }
        let mut config = SwitchoverConfig::new(blue_url.clone(), green_url.clone());
        // Too much for a look every few seconds.
        config.compares_definitions = false;
        let measured = switchover::dry_run(&config, &mut Scanned(watch::judge(&writes))).await;
        guardrails = match measured {
            Ok(report) => report.guardrails,
            Err(error) => vec![Check::unknown("servers_readable", &error), watch::judge(&writes)],
        };
    }
    if let Some(progress) = stream.filter(|_| !is_over).map(|stream| stream.borrow().clone()) {
        replication.state = progress.state.name().into();
        replication.reason = progress.state.reason().map(str::to_owned);
        replication.stream = Some(progress.figures());
    }
    let proof = if status.is_some() { Proof::read(&mut green).await? } else { None };
    green.close().await;
    Ok(Overview {
        deployment: DeploymentState {
            production: match status {
                Some(Status::SwitchoverCompleted) => Deployment::leads_to_green(deployment.as_ref(), of_blue.as_ref())
                    .map(|to_green| if to_green { green_url.address() } else { blue_url.address() }),
                Some(Status::SwitchoverInProgress | Status::SwitchoverFailed) => None,
                _ => Some(blue_url.address()),
            },
            phase: deployment.as_ref().map(|deployment| deployment.phase.clone()).filter(|phase| !phase.is_empty()),
            name: deployment.map(|deployment| deployment.name),
            status,
        },
        replication,
        conflicts,
        verification: VerificationState::of(proof),
        guardrails,
    })
}

impl VerificationState {
    fn of(proof: Option<Proof>) -> VerificationState {
        let Some(proof) = proof else {
            return VerificationState {
                state: "never",
                finished_at: None,
                tables: None,
                rows: None,
                differences: None,
            };
        };
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        VerificationState {
            state: if proof.equal { "equal" } else { "different" },
            finished_at: Some(since.saturating_sub(proof.age).as_secs_f64()),
            tables: Some(proof.tables),
            rows: Some(proof.rows),
            differences: Some(proof.differences),
        }
    }
}

async fn scan(green: &ServerUrl) -> Result<watch::ForeignWrites> {
    let scan = Box::pin(watch::scan(green, false));
    tokio::time::timeout(SCAN_LIMIT, scan).await.unwrap_or_else(|_| {
        Err(Error::new(ErrorKind::Timeout, "green's log is too long to be read at once")
            .with_advice("let `run` read it as it grows, or wait for the switchover's own scan"))
    })
}

/// Two looks at the stream, a second apart.
async fn follow(
    blue_url: &ServerUrl,
    green: &mut Session,
    before: &Checkpoint,
    received: impl Fn() -> Option<Mark>,
) -> Result<ReplicationState> {
    let mut blue = blue(blue_url).await;
    let first = lag(&mut blue, green, &received).await;
    tokio::time::sleep(SAMPLE).await;
    let head = match &mut blue {
        Ok((server, session)) => server.head(session).await.ok(),
        Err(_) => None,
    };
    let second = lag(&mut blue, green, &received).await;
    let after = checkpoint::read(green, Stream::Forward).await?.unwrap_or_else(|| before.clone());
    if let Ok((_, session)) = blue {
        session.close().await;
    }
    Ok(state(before, &after, &first, &second, head.as_ref()))
}

fn state(
    before: &Checkpoint,
    after: &Checkpoint,
    first: &Lags,
    second: &Lags,
    head: Option<&Position>,
) -> ReplicationState {
    let seconds = SAMPLE.as_secs_f64();
    let (first, lags) = (&first.end_to_end, second);
    let second = &lags.end_to_end;
    let state = match second {
        _ if after.transactions != before.transactions => "replicating",
        Lag::Unknown { .. } => "unknown",
        _ if second.is_zero() => "caught_up",
        _ => "not_moving",
    };
    let gained = match (first.bytes(), second.bytes()) {
        (Some(first), Some(second)) => first.checked_sub(second).filter(|gained| *gained > 0),
        _ => None,
    };
    let caught_up_in_seconds = match (second.bytes(), gained) {
        _ if second.is_zero() => Some(0.0),
        (Some(left), Some(gained)) => Some(left as f64 / gained as f64 * seconds),
        _ => None,
    };
    ReplicationState {
        state: state.into(),
        reason: None,
        checkpoint: Some(Point::from(&after.position)),
        blue_head: head.map(Point::from),
        lag: LagsFigures {
            end_to_end: figures(second),
            transport: figures(&lags.transport),
            apply: figures(&lags.apply),
            clocks: lags.clocks,
        },
        apply_rows_per_second: Some(after.row_changes.saturating_sub(before.row_changes) as f64 / seconds),
        caught_up_in_seconds,
        stream: None,
    }
}

fn figures(lag: &Lag) -> LagFigures {
    LagFigures {
        seconds: lag.seconds(),
        transactions: lag.transactions(),
        bytes: lag.bytes(),
        unknown: match lag {
            Lag::Unknown { unknown } => Some(unknown.clone()),
            Lag::Known { .. } => None,
        },
    }
}

async fn blue(url: &ServerUrl) -> Result<(Server, Session)> {
    let mut session = Session::open(url).await?;
    let server = Server::probe(&mut session).await?;
    Ok((server, session))
}

async fn lag(
    blue: &mut Result<(Server, Session)>,
    green: &mut Session,
    received: impl FnOnce() -> Option<Mark>,
) -> Lags {
    match blue {
        Ok((server, session)) => checks::measure_lag(server, session, green, received).await,
        Err(error) => Lags::unknown(error.message()),
    }
}

/// An engine of which only the guardrails are asked, with the scan that was made already.
struct Scanned(Check);

impl Engine for Scanned {
    async fn follow(&mut self) -> Result<()> {
        Err(Error::internal("an overview starts no stream"))
    }

    async fn reached(&mut self, _: &Position) -> Result<()> {
        Err(Error::internal("an overview follows no stream"))
    }

    async fn end(&mut self) -> Result<()> {
        Err(Error::internal("an overview ends no stream"))
    }

    async fn leave(&mut self) {}

    async fn foreign_writes(&mut self, _: bool) -> Check {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Coordinates, ServerIdentity};

    fn at(transactions: u64, row_changes: u64) -> Checkpoint {
        let position = Position::new(Coordinates::new("b.000001", 4), None);
        let mut checkpoint = Checkpoint::start(ServerIdentity::new("x"), position);
        (checkpoint.transactions, checkpoint.row_changes) = (transactions, row_changes);
        checkpoint
    }

    fn of(lag: Lag) -> Lags {
        Lags { end_to_end: lag, ..Lags::unknown("not asked") }
    }

    fn behind(bytes: u64) -> Lags {
        let seconds = Some(if bytes == 0 { 0.0 } else { 1.0 });
        of(Lag::Known { seconds, transactions: None, bytes: Some(bytes) })
    }

    #[test]
    fn pace_is_what_was_gained_between_two_looks() {
        let seen = state(&at(1, 10), &at(5, 110), &behind(4000), &behind(3000), None);
        assert_eq!((seen.state.as_str(), seen.apply_rows_per_second), ("replicating", Some(100.0)));
        assert_eq!(seen.caught_up_in_seconds, Some(3.0));
    }

    #[test]
    fn a_stream_that_stands_still_is_told_from_one_that_has_nothing_to_do() {
        let seen = |lags: Lags| state(&at(1, 10), &at(1, 10), &lags, &lags, None);
        assert_eq!(seen(behind(0)).state, "caught_up");
        assert_eq!(seen(behind(0)).caught_up_in_seconds, Some(0.0));
        assert_eq!(seen(behind(9)).state, "not_moving");
        assert_eq!(seen(behind(9)).caught_up_in_seconds, None);
        assert_eq!(seen(of(Lag::unknown("x"))).state, "unknown");
    }
}
