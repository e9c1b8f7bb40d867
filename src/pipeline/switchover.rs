use crate::apply::checkpoint::{self, Owner, Stream};
use crate::checks::Check;
use crate::error::{Error, Result};
use crate::model::Position;
use crate::net::Session;
use crate::pipeline::{Replication, ReplicationConfig};
use crate::switchover::{self, Engine, Report, Routing, SwitchoverConfig};
use crate::watch;

/// Measures the guardrails as a switchover would, and writes nothing on either server.
///
/// # Errors
/// Where a server cannot be reached, or holds no deployment.
pub async fn dry_run(config: &SwitchoverConfig) -> Result<Report> {
    switchover::dry_run(config, &mut Forward { config: config.clone(), replication: None }).await
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
    switchover::switch_over(config, &mut Forward { config: config.clone(), replication: None }, routing).await
}

/// The forward stream, as the switchover drives it.
struct Forward {
    config: SwitchoverConfig,
    replication: Option<Replication>,
}

impl Engine for Forward {
    async fn follow(&mut self) -> Result<()> {
        let mut config = ReplicationConfig::new(self.config.blue.clone(), self.config.green.clone());
        config.is_switchover = true;
        self.replication = Some(Box::pin(Replication::start(config)).await?);
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
        let mut session = Session::open(&self.config.green).await?;
        checkpoint::claim(&mut session, Stream::Forward, Owner::new()).await?;
        session.close().await;
        Ok(())
    }

    async fn leave(&mut self) {
        if let Some(replication) = self.replication.take()
            && let Err(error) = replication.stop().await
        {
            tracing::warn!(%error, "the forward stream had ended");
        }
    }

    async fn foreign_writes(&mut self, record: bool) -> Check {
        watch::check(&self.config.green, record).await
    }
}
