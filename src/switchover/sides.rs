use std::time::Duration;

use super::config::SwitchoverConfig;
use super::{Engine, guardrail, way_back};
use crate::checks::{self, Check, Intended};
use crate::deployment::Deployment;
use crate::error::{Error, ErrorKind, Result};
use crate::net::{Server, Session};

/// Both servers, connected.
pub(super) struct Sides {
    pub(super) blue: Server,
    pub(super) blue_session: Session,
    pub(super) green: Server,
    pub(super) green_session: Session,
    pub(super) deployment: Deployment,
}

impl Sides {
    pub(super) async fn open(config: &SwitchoverConfig) -> Result<Sides> {
        let mut green_session = Session::open(&config.green).await?;
        let green = Server::probe(&mut green_session).await?;
        let deployment = Deployment::read(&mut green_session).await?.ok_or_else(|| {
            Error::new(ErrorKind::State, "there is no deployment on this server")
                .with_advice("build green with `create` first")
                .at(|place| place.server = Some(config.green.address()))
        })?;
        let mut blue_session = Session::open(&config.blue).await?;
        let blue = Server::probe(&mut blue_session).await?;
        Ok(Sides { blue, blue_session, green, green_session, deployment })
    }

    pub(super) async fn guardrails(
        &mut self,
        engine: &mut impl Engine,
        max_lag: Option<Duration>,
        record: bool,
    ) -> Vec<Check> {
        let way_back = way_back::check((&self.blue, &mut self.blue_session), &self.green).await;
        let mut guardrails = guardrail::measure(
            &self.deployment,
            (&self.blue, &mut self.blue_session),
            (&self.green, &mut self.green_session),
            engine,
            max_lag,
            record,
        )
        .await;
        guardrails.push(way_back);
        guardrails
    }

    /// What differs between the two but for rows.
    pub(super) async fn drift(&mut self) -> Vec<Check> {
        let (blue, green) = ((&self.blue, &mut self.blue_session), (&self.green, &mut self.green_session));
        checks::measure_drift(blue, green, &Intended::default()).await
    }
}
