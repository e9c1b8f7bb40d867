use tracing::{Instrument, Span};

use crate::apply::checkpoint::{self, Owner, Stream};
use crate::checks::Check;
use crate::deployment::{Deployment, Status};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Position;
use crate::net::Session;
use crate::pipeline::{Replication, ReplicationConfig};
use crate::switchover::{self, Engine, Report, Routing, SwitchoverConfig};
use crate::watch::{self, ForeignWrites, Recording};

/// Measures the guardrails as a switchover would, and writes nothing on either server.
///
/// # Errors
/// Where a server cannot be reached, or holds no deployment.
pub async fn dry_run(config: &SwitchoverConfig) -> Result<Report> {
    let mut forward = Forward::new(config);
    Box::pin(switchover::dry_run(config, &mut forward)).instrument(span(config, true)).await
}

/// Makes green production, or leaves everything as it was: see [`crate::switchover`]. A forward stream that runs
/// elsewhere is taken over and ends with `TakenOver`; after an undo it must be started again.
///
/// Not cancel-safe: call it again after it was dropped, and it finishes or undoes what it finds.
///
/// # Errors
/// Only where nothing was changed: a server cannot be reached, there is no deployment, another controller switches.
/// Everything else is an [`Outcome`](crate::switchover::Outcome) in the report.
pub async fn switch_over(config: &SwitchoverConfig, routing: &impl Routing) -> Result<Report> {
    let mut ended = Vec::new();
    if config.kills_blockers {
        let dry = Box::pin(dry_run(config)).await?;
        ended = switchover::end_blockers(config, &dry.guardrails).await?;
    }
    let mut forward = Forward::new(config);
    let switched = Box::pin(switchover::switch_over(config, &mut forward, routing));
    let mut report = switched.instrument(span(config, false)).await?;
    report.effects = routing.effects();
    report.notes.extend(ended.iter().map(|id| format!("connection {id} on blue was ended: it held the switchover up")));
    Ok(report)
}

/// Makes blue production again, behind a switchover that left a way back: with every write that green took since. It is
/// a switchover the other way round, with the same guardrails, bounds and guarantees, and leaves a way back of its own:
/// the next `switch_over` may follow, any number of times. `routing` leads from green to blue.
///
/// Not cancel-safe, as [`switch_over`] is not.
///
/// # Errors
/// `State` where blue does not follow green; else as [`switch_over`].
pub async fn roll_back(config: &SwitchoverConfig, routing: &impl Routing) -> Result<Report> {
    check_way_back(config).await?;
    Box::pin(switch_over(&config.clone().reversed(), routing)).await
}

/// Measures the guardrails as a rollback would, and writes nothing on either server.
///
/// # Errors
/// As [`roll_back`].
pub async fn dry_roll_back(config: &SwitchoverConfig) -> Result<Report> {
    check_way_back(config).await?;
    Box::pin(dry_run(&config.clone().reversed())).await
}

async fn check_way_back(config: &SwitchoverConfig) -> Result<()> {
    let of_green = Deployment::of(&config.green).await?.map(|record| record.status);
    if of_green == Some(Status::SwitchoverInProgress) {
        return Err(Error::new(ErrorKind::State, "the switchover to green is not at its end")
            .with_advice("run `switchover`: it finishes or undoes it")
            .at(|place| place.server = Some(config.green.address())));
    }
    let record = Deployment::of(&config.blue).await?;
    let advice = match record {
        Some(record) if record.is_way_back() && record.status != Status::SwitchoverCompleted => return Ok(()),
        Some(_) => "blue is production: `switchover` leads to green",
        None => "behind a switchover that left a way back, `rollback` leads to blue again",
    };
    Err(Error::new(ErrorKind::State, "blue does not follow green, so nothing can be rolled back")
        .with_advice(advice)
        .at(|place| place.server = Some(config.blue.address())))
}

fn span(config: &SwitchoverConfig, dry_run: bool) -> Span {
    tracing::info_span!("switchover", blue = config.blue.address(), green = config.green.address(), dry_run)
}

/// The forward stream, as the switchover drives it.
struct Forward {
    config: SwitchoverConfig,
    replication: Option<Replication>,
    /// The watch, as far as it has read: the next look begins there.
    recording: Option<Recording>,
    /// To take the stream's record with, when every millisecond counts.
    claimant: Option<Session>,
}

impl Forward {
    fn new(config: &SwitchoverConfig) -> Forward {
        Forward { config: config.clone(), replication: None, recording: None, claimant: None }
    }

    /// Goes on where the last look ended, where that can be done: what a new one needs to begin takes longer than all
    /// else that is done while nobody can write.
    ///
    /// The watch of another process takes the journal back when it notices: then it is taken over once more.
    async fn record(&mut self) -> Result<ForeignWrites> {
        const TRIES: u32 = 4;
        let mut tries = 0;
        loop {
            let is_kept = self.recording.is_some();
            tries += u32::from(!is_kept);
            let read = async {
                let recording = match self.recording.take() {
                    Some(recording) => recording,
                    None => Recording::open(&self.config.green).await?,
                };
                recording.read_to_end().await
            };
            match read.await {
                Ok((found, recording)) => {
                    self.recording = recording;
                    return Ok(found);
                }
                Err(error) if is_kept || error.kind() == ErrorKind::TakenOver && tries < TRIES => {
                    tracing::debug!(%error, "green's log is opened anew");
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl Engine for Forward {
    async fn follow(&mut self) -> Result<()> {
        let mut config = ReplicationConfig::new(self.config.blue.clone(), self.config.green.clone());
        config.is_switchover = true;
        self.replication = Some(Box::pin(Replication::start(config)).await?);
        self.claimant = Some(Session::open(&self.config.green).await?);
        Ok(())
    }

    async fn reached(&mut self, target: &Position) -> Result<()> {
        match &self.replication {
            Some(replication) => replication.reached(target).await,
            None => Err(Error::internal("the stream was not started")),
        }
    }

    async fn end(&mut self) -> Result<()> {
        if let Some(replication) = self.replication.take() {
            replication.stop().await?;
        }
        // Whoever still believes to own the stream cannot commit any more.
        let mut session = match self.claimant.take() {
            Some(session) => session,
            None => Session::open(&self.config.green).await?,
        };
        checkpoint::claim(&mut session, Stream::Forward, Owner::new()).await?;
        Ok(())
    }

    async fn leave(&mut self) {
        self.recording = None;
        if let Some(replication) = self.replication.take()
            && let Err(error) = replication.stop().await
        {
            tracing::warn!(%error, "the forward stream had ended");
        }
    }

    async fn foreign_writes(&mut self, record: bool) -> Check {
        match record {
            true => watch::judge(&Box::pin(self.record()).await),
            false => watch::check(&self.config.green, false).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::switchover::NoRouting;

    #[test]
    fn the_futures_can_be_spawned() {
        fn can_be_spawned(_: impl Send) {}
        let url: crate::net::ServerUrl = "mysql://u@h".parse().unwrap();
        let (config, routing) = (SwitchoverConfig::new(url.clone(), url), NoRouting::new());
        can_be_spawned(switch_over(&config, &routing));
        can_be_spawned(roll_back(&config, &routing));
        can_be_spawned(dry_run(&config));
    }
}
