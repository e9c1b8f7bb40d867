use std::time::Duration;

use super::Engine;
use crate::checks::{self, Check, Lag, Verdict};
use crate::deployment::{Deployment, Proof, Status};
use crate::error::Result;
use crate::net::{Server, Session};

/// A transaction that is older holds the switch up for longer than anybody wants to wait.
const LONG_TRANSACTION: Duration = Duration::from_secs(5);

/// A comparison that is older says little.
const STALE: Duration = Duration::from_secs(24 * 3600);

/// Those that a connection on blue stands behind, which can be ended.
const BLOCKERS: [&str; 2] = ["no_long_transaction", "no_running_ddl"];

/// The connections on blue to end so that the switchover may go on: where nothing else stands in its way. `None`: there is
/// something else, or nothing at all.
pub(super) async fn connections_in_the_way(
    guardrails: &[Check],
    blue: &Server,
    session: &mut Session,
) -> Result<Option<Vec<u64>>> {
    if !only_blockers(guardrails) {
        return Ok(None);
    }
    checks::blocking_connections(blue, session, LONG_TRANSACTION).await.map(Some)
}

fn only_blockers(guardrails: &[Check]) -> bool {
    let mut blocking = guardrails.iter().filter(|check| check.blocks()).peekable();
    let can_be_ended = |check: &Check| check.verdict == Verdict::Fail && BLOCKERS.contains(&check.name);
    blocking.peek().is_some() && blocking.all(can_be_ended)
}

/// Every guardrail, measured now.
pub(super) async fn measure(
    deployment: &Deployment,
    (blue, blue_session): (&Server, &mut Session),
    (green, green_session): (&Server, &mut Session),
    engine: &mut impl Engine,
    max_lag: Option<Duration>,
    record: bool,
) -> Vec<Check> {
    let mut guardrails = vec![available(deployment), same_blue(deployment, blue)];
    guardrails.extend(checks::preflight::blue(blue));
    guardrails.extend(checks::preflight::pair(blue, green));
    let lag = checks::measure_lag(blue, blue_session, green_session, || None).await.end_to_end;
    guardrails.push(replication(&lag));
    guardrails.push(self::lag(&lag, max_lag));
    guardrails.push(checks::no_conflicts(green_session).await);
    guardrails.push(engine.foreign_writes(record).await);
    guardrails.push(read_only(green));
    guardrails.push(checks::no_other_replication(blue_session, green_session).await);
    let mut durable = checks::as_durable(blue_session, green_session).await;
    // The old production was good enough before, and going back may be urgent.
    if deployment.is_way_back() && durable.verdict == Verdict::Fail {
        durable.verdict = Verdict::Warn;
    }
    guardrails.push(durable);
    guardrails.push(checks::warm(blue_session, green_session).await);
    guardrails.push(compared(&Proof::read(green_session).await));
    guardrails.push(checks::no_long_transaction(blue_session, LONG_TRANSACTION).await);
    guardrails.push(checks::no_running_ddl(blue, blue_session).await);
    guardrails.push(checks::no_prepared_transaction(blue_session).await);
    guardrails
}

/// The first line of every guardrail that blocks.
pub(super) fn vetoes(guardrails: &[Check]) -> Option<String> {
    let vetoes: Vec<String> = guardrails
        .iter()
        .filter(|check| check.blocks())
        .map(|check| match &check.advice {
            Some(advice) => format!("{}: {} ({advice})", check.name, check.evidence),
            None => format!("{}: {}", check.name, check.evidence),
        })
        .collect();
    (!vetoes.is_empty()).then(|| vetoes.join("; "))
}

fn available(deployment: &Deployment) -> Check {
    const NAME: &str = "deployment_available";
    let evidence = format!("the deployment is {}", deployment.status.name());
    match deployment.status {
        Status::Available | Status::SwitchoverInProgress => Check::new(NAME, Verdict::Pass, evidence),
        _ => Check::new(NAME, Verdict::Fail, evidence).with_advice("look at `status`"),
    }
}

fn same_blue(deployment: &Deployment, blue: &Server) -> Check {
    const NAME: &str = "blue_is_the_deployments";
    if deployment.blue_identity == blue.identity {
        Check::new(NAME, Verdict::Pass, "blue is the server that green was built from")
    } else {
        Check::new(NAME, Verdict::Fail, "blue is not the server that green was built from")
            .with_advice("check the URL of blue")
    }
}

fn replication(lag: &Lag) -> Check {
    const NAME: &str = "replication_healthy";
    match lag {
        Lag::Unknown { unknown } => {
            Check::new(NAME, Verdict::Unknown, unknown.clone()).with_advice("start `replicate` and look at its error")
        }
        Lag::Known { .. } => Check::new(NAME, Verdict::Pass, "green's checkpoint is in blue's log"),
    }
}

/// `max`: the bound; `None`: the switchover catches up by itself before it blocks anything.
fn lag(lag: &Lag, max: Option<Duration>) -> Check {
    const NAME: &str = "lag";
    let (Some(bytes), seconds) = (lag.bytes(), lag.seconds()) else {
        return Check::new(NAME, Verdict::Unknown, "the lag cannot be measured");
    };
    let evidence = match seconds {
        Some(seconds) => format!("green is {seconds:.1} s and {bytes} bytes behind"),
        None => format!("green is {bytes} bytes behind"),
    };
    let is_small = match max {
        Some(max) => bytes < 1 << 20 || seconds.is_some_and(|seconds| seconds <= max.as_secs_f64()),
        None => bytes < 1 << 20,
    };
    match (is_small, max) {
        (true, _) => Check::new(NAME, Verdict::Pass, evidence),
        (false, None) => Check::new(NAME, Verdict::Warn, evidence)
            .with_advice("the switchover will first catch up, within its timeout"),
        (false, Some(_)) => Check::new(NAME, Verdict::Fail, evidence)
            .with_advice("wait until green has caught up, or lower the write rate on blue"),
    }
}

/// What the last comparison of all rows said, whoever made it. Without one nobody knows more than that each change was
/// applied.
fn compared(proof: &Result<Option<Proof>>) -> Check {
    const NAME: &str = "rows_compared";
    const ADVICE: &str = "run `verify`, or `run`, which compares all the time";
    let proof = match proof {
        Err(error) => return Check::unknown(NAME, error),
        Ok(None) => return Check::new(NAME, Verdict::Warn, "all rows were never compared").with_advice(ADVICE),
        Ok(Some(proof)) => proof,
    };
    let age = match proof.age.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} minutes", seconds / 60),
        seconds => format!("{} hours", seconds / 3600),
    };
    if !proof.equal && proof.differences == 0 {
        let evidence = format!("{age} ago no row differed, but not all tables could be compared");
        return Check::new(NAME, Verdict::Warn, evidence).with_advice("see `verify`");
    }
    if !proof.equal {
        let evidence = format!("{} rows differed {age} ago", proof.differences);
        return Check::new(NAME, Verdict::Fail, evidence).with_advice("see `verify`, then `verify --repair`");
    }
    let evidence = format!("all rows were equal {age} ago");
    match proof.age < STALE {
        true => Check::new(NAME, Verdict::Pass, evidence),
        false => Check::new(NAME, Verdict::Warn, evidence).with_advice(ADVICE),
    }
}

fn read_only(green: &Server) -> Check {
    const NAME: &str = "green_read_only";
    if green.is_read_only {
        Check::new(NAME, Verdict::Pass, "green is read-only")
    } else {
        Check::new(NAME, Verdict::Fail, "green takes writes of anybody")
            .with_advice("SET GLOBAL read_only = 1 on green")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comparison_is_judged_by_its_answer_and_its_age() {
        let of = |equal, seconds| Ok(Some(Proof::new(equal, 3, 9, u64::from(!equal), Duration::from_secs(seconds))));
        assert_eq!(compared(&Ok(None)).verdict, Verdict::Warn);
        assert_eq!(compared(&of(true, 5)).verdict, Verdict::Pass);
        assert_eq!(compared(&of(true, 25 * 3600)).verdict, Verdict::Warn);
        assert!(compared(&of(true, 25 * 3600)).evidence.contains("25 hours"));
        assert_eq!(compared(&of(false, 5)).verdict, Verdict::Fail);
        assert_eq!(compared(&Err(crate::Error::internal("x"))).verdict, Verdict::Unknown);
    }
}
