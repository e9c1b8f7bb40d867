//! Verification as long as the service runs: everything once, then what changed.

use std::time::{Duration, Instant, SystemTime};

use bluegreen::Result;
use bluegreen::checks::{Check, Verdict, Verification, Verifier, VerifyConfig};
use bluegreen::deployment::Proof;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::Instrument;

/// Between two passes over what changed.
const PAUSE: Duration = Duration::from_secs(2);
/// Before another try, where a pass did not work.
const RETRY: Duration = Duration::from_secs(15);
/// Between two notes on green of what is as it was.
const KEEP: Duration = Duration::from_secs(60);
/// A proof that is older is none.
const FRESH: Duration = Duration::from_secs(60);

/// What is known of equality.
#[derive(Debug, Clone)]
enum Picture {
    /// The first pass is not over.
    Running,
    /// The last pass, and when it ended.
    Known(Box<Verification>, SystemTime),
    /// The last pass did not work.
    Unknown(String),
}

/// The task; ends when it is dropped.
#[derive(Debug)]
pub(super) struct Verifying {
    picture: watch::Receiver<Picture>,
    task: JoinHandle<()>,
}

impl Verifying {
    pub(super) fn start(config: VerifyConfig) -> Verifying {
        let (sender, picture) = watch::channel(Picture::Running);
        let span = tracing::info_span!("verify", blue = config.blue.address(), green = config.green.address());
        let verifying = async move {
            let mut verifier = Verifier::new(config);
            let mut kept: Option<(bool, Instant)> = None;
            loop {
                let pass = Box::pin(verifier.again(|_| ())).await;
                if let Ok(found) = &pass
                    && kept.is_none_or(|(was_equal, at)| was_equal != found.equal || at.elapsed() >= KEEP)
                {
                    kept = Some((found.equal, Instant::now()));
                    if let Err(error) = Proof::from(found).keep(&verifier.config().green).await {
                        tracing::warn!(%error, "what was found is not kept on green");
                    }
                }
                let pause = if pass.is_ok() { PAUSE } else { RETRY };
                // Nobody looks any more where the task is about to end.
                let _ = sender.send(Picture::of(pass));
                tokio::time::sleep(pause).await;
            }
        };
        Verifying { picture, task: tokio::spawn(verifying.instrument(span)) }
    }

    /// The status's part.
    pub(super) fn status(&self) -> Value {
        let unknown = |state: &str| json!({ "state": state, "finished_at": null, "tables": null, "rows": null, "differences": null });
        match &*self.picture.borrow() {
            Picture::Running => unknown("running"),
            Picture::Unknown(_) => unknown("unknown"),
            Picture::Known(found, at) => json!({
                "state": if found.equal { "equal" } else { "different" },
                "finished_at": at.duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64()),
                "age_seconds": found.as_of.elapsed().as_secs_f64(),
                "tables": found.tables,
                "rows": found.rows,
                "differences": found.difference_count(),
                "unverified": found.unverified.len(),
            }),
        }
    }

    /// The guardrail: what differs stands in the way, and so does a proof that cannot be had or has gone stale.
    pub(super) fn check(&self) -> Check {
        const NAME: &str = "verified_equal";
        match &*self.picture.borrow() {
            Picture::Running => Check::new(NAME, Verdict::Warn, "the first comparison of all rows is not over")
                .with_advice("wait for it, see `status`"),
            Picture::Unknown(why) => Check::new(NAME, Verdict::Unknown, format!("could not be found out: {why}"))
                .with_advice("see the service's log"),
            Picture::Known(found, _) if !found.equal => {
                let count = found.difference_count();
                let tables = found.unverified.len();
                let evidence = format!("{count} rows differ, and {tables} tables could not be compared");
                Check::new(NAME, Verdict::Fail, evidence).with_advice("see `verify`, then `verify --repair`")
            }
            Picture::Known(found, _) => {
                let age = found.as_of.elapsed();
                let evidence = format!("all rows were equal {:.0} s ago", age.as_secs_f64());
                match age <= FRESH {
                    true => Check::new(NAME, Verdict::Pass, evidence),
                    false => Check::new(NAME, Verdict::Unknown, evidence).with_advice("wait for the next pass"),
                }
            }
        }
    }
}

impl Picture {
    fn of(pass: Result<Verification>) -> Picture {
        match pass {
            Ok(found) => {
                if !found.equal {
                    tracing::warn!(differences = found.difference_count(), "green differs from blue");
                }
                Picture::Known(Box::new(found), SystemTime::now())
            }
            Err(error) => {
                tracing::warn!(%error, "blue and green are not compared");
                Picture::Unknown(error.message().to_owned())
            }
        }
    }
}

impl Drop for Verifying {
    fn drop(&mut self) {
        self.task.abort();
    }
}
