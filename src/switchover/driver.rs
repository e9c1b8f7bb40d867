use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::fence::{self, Fence};
use super::phase::Resume;
use super::report::{Downtime, Member, Outcome, Point, PositionMap, Report};
use super::{Engine, Phase, Routing, guardrail};
use crate::checks::Check;
use crate::deployment::{Deployment, Status};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Position;
use crate::net::{Server, ServerUrl, Session};

/// What to switch, and the bounds in time.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SwitchoverConfig {
    /// Production.
    pub blue: ServerUrl,
    /// What shall become it.
    pub green: ServerUrl,
    /// Bound on the whole. Default 300 s, 30 s to 3600 s.
    pub timeout: Duration,
    /// Bound on the time in which nobody can write. Default 5 s, at least 1 s.
    pub max_write_block: Duration,
}

impl SwitchoverConfig {
    /// The default bounds.
    pub fn new(blue: ServerUrl, green: ServerUrl) -> SwitchoverConfig {
        SwitchoverConfig { blue, green, timeout: Duration::from_secs(300), max_write_block: Duration::from_secs(5) }
    }

    /// Sets the bounds.
    ///
    /// # Errors
    /// `Config` where one is out of range.
    pub fn bounds(mut self, timeout: Duration, max_write_block: Duration) -> Result<SwitchoverConfig> {
        let wrong =
            |message| Err(Error::new(ErrorKind::Config, message).with_advice("correct --timeout or --max-write-block"));
        if !(30..=3600).contains(&timeout.as_secs()) {
            return wrong("the switchover's timeout is not between 30 and 3600 s");
        }
        if max_write_block.as_secs() < 1 || max_write_block >= timeout {
            return wrong("the bound on the write block is not between 1 s and the switchover's timeout");
        }
        (self.timeout, self.max_write_block) = (timeout, max_write_block);
        Ok(self)
    }
}

/// Both servers, connected.
struct Sides {
    blue: Server,
    blue_session: Session,
    green: Server,
    green_session: Session,
    deployment: Deployment,
}

impl Sides {
    async fn open(config: &SwitchoverConfig) -> Result<Sides> {
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

    async fn guardrails(&mut self, engine: &mut impl Engine, max_lag: Option<Duration>, record: bool) -> Vec<Check> {
        guardrail::measure(
            &self.deployment,
            (&self.blue, &mut self.blue_session),
            (&self.green, &mut self.green_session),
            engine,
            max_lag,
            record,
        )
        .await
    }
}

/// The guardrails alone. Writes nothing on either server.
pub(crate) async fn dry_run(config: &SwitchoverConfig, engine: &mut impl Engine) -> Result<Report> {
    let mut sides = Sides::open(config).await?;
    let guardrails = sides.guardrails(engine, None, false).await;
    let reason =
        guardrail::vetoes(&guardrails).unwrap_or_else(|| "dry run: every guardrail lets the switchover pass".into());
    Ok(report(&sides.deployment, Outcome::Unchanged, Some(reason), guardrails))
}

/// Guardrails, then the switch, or all of it undone.
///
/// # Errors
/// Only where nothing was changed by this call. Whatever happens later is in the report.
pub(crate) async fn switch_over(
    config: &SwitchoverConfig,
    engine: &mut impl Engine,
    routing: &impl Routing,
) -> Result<Report> {
    let deadline = Instant::now() + config.timeout;
    let mut sides = Sides::open(config).await?;
    if sides.deployment.status == Status::SwitchoverInProgress {
        match resume(config, &mut sides, engine, routing).await? {
            Some(report) => return Ok(report),
            None => sides = Sides::open(config).await?,
        }
    }
    let guardrails = sides.guardrails(engine, None, true).await;
    if let Some(vetoes) = guardrail::vetoes(&guardrails) {
        return Ok(report(&sides.deployment, Outcome::Unchanged, Some(vetoes), guardrails));
    }
    // Invariant 4: of several controllers one gets past this line.
    if !Deployment::change_status(&mut sides.green_session, Status::Available, Status::SwitchoverInProgress).await? {
        return Err(Error::new(ErrorKind::State, "another controller is switching this deployment over"));
    }
    Box::pin(Switch { config, sides, engine, routing, deadline, guardrails }.run()).await
}

/// Finishes or undoes what a crash left. `None`: undone, the deployment is available again.
async fn resume(
    config: &SwitchoverConfig,
    sides: &mut Sides,
    engine: &mut impl Engine,
    routing: &impl Routing,
) -> Result<Option<Report>> {
    let phase = Phase::parse(&sides.deployment.phase).ok_or_else(|| {
        Error::new(
            ErrorKind::State,
            format!("the journal has the phase `{}`, which there is not", sides.deployment.phase),
        )
    })?;
    tracing::warn!(%phase, "a switchover was found in the middle");
    match phase.resume() {
        Resume::Undo => {
            if phase >= Phase::Fencing && !sides.deployment.was_blue_read_only {
                Fence::of(&sides.blue).lift(&mut sides.blue_session).await?;
            }
            Deployment::change_status(&mut sides.green_session, Status::SwitchoverInProgress, Status::Available)
                .await?;
            Ok(None)
        }
        Resume::Finish => {
            let mut finished = report(&sides.deployment, Outcome::Completed, None, Vec::new());
            engine.end().await?;
            finished.position_map.blue = Some(Point::from(&sides.blue.head(&mut sides.blue_session).await?));
            finished.position_map.green = Some(Point::from(&sides.green.head(&mut sides.green_session).await?));
            if let Err(error) = promote(config, sides, routing).await {
                finished.outcome = Outcome::Ambiguous;
                finished.reason = Some(error.to_string());
            }
            Ok(Some(finished))
        }
    }
}

/// A switchover whose record was taken.
struct Switch<'a, E, R> {
    config: &'a SwitchoverConfig,
    sides: Sides,
    engine: &'a mut E,
    routing: &'a R,
    deadline: Instant,
    guardrails: Vec<Check>,
}

/// What the way up to the point of no return found out.
struct Fenced {
    since: Instant,
    refused_at: f64,
    blue_head: Position,
    green_head: Position,
}

impl<E: Engine, R: Routing> Switch<'_, E, R> {
    async fn run(mut self) -> Result<Report> {
        let mut fenced_since = None;
        let fenced = match self.prepare(&mut fenced_since).await {
            Ok(fenced) => fenced,
            Err(error) => return Ok(self.undo(error, fenced_since).await),
        };
        // From here on only forward.
        let mut done = report(&self.sides.deployment, Outcome::Completed, None, self.guardrails);
        done.downtime.blue_refused_at = Some(fenced.refused_at);
        done.position_map =
            PositionMap { blue: Some(Point::from(&fenced.blue_head)), green: Some(Point::from(&fenced.green_head)) };
        let (promoted, accepted) = promote_until(self.config, &mut self.sides, self.routing, self.deadline).await;
        if let Some((instant, time)) = accepted {
            done.write_block_ms = Some(instant.duration_since(fenced.since).as_secs_f64() * 1e3);
            done.downtime.green_accepted_at = Some(time);
        }
        match (promoted, accepted) {
            (Ok(()), _) => {}
            // Green takes writes and the record says so; what is left is for a person, and is said.
            (Err(error), Some(_)) => done.reason = Some(error.to_string()),
            (Err(error), None) => {
                done.outcome = Outcome::Ambiguous;
                done.reason = Some(error.to_string());
            }
        }
        Ok(done)
    }

    /// Everything before the point of no return.
    async fn prepare(&mut self, fenced_since: &mut Option<Instant>) -> Result<Fenced> {
        let was_read_only = self.sides.blue.is_read_only;
        if was_read_only {
            return Err(Error::new(ErrorKind::State, "blue is read-only already")
                .with_advice("find out who fenced it; SET GLOBAL read_only = 0 on blue, if nobody needs it"));
        }
        Deployment::journal(&mut self.sides.green_session, Phase::Preparing.name(), was_read_only).await?;
        self.engine.follow().await?;
        // Catch up before anything is blocked.
        let head = self.sides.blue.head(&mut self.sides.blue_session).await?;
        within(self.deadline, "green did not catch up", self.engine.reached(&head)).await?;
        self.guardrails = self.sides.guardrails(self.engine, Some(self.config.max_write_block), true).await;
        if let Some(vetoes) = guardrail::vetoes(&self.guardrails) {
            return Err(Error::new(ErrorKind::State, vetoes));
        }
        let mut fence_session = Session::open(&self.config.blue).await?;
        let fence = Fence::of(&self.sides.blue);
        Deployment::journal(&mut self.sides.green_session, Phase::Fencing.name(), was_read_only).await?;
        self.routing.hold().await?;
        let (since, refused_at) = (Instant::now(), now());
        *fenced_since = Some(since);
        let block_end = (since + self.config.max_write_block).min(self.deadline);
        fence.close(&mut fence_session, block_end.saturating_duration_since(since)).await?;
        let blue_head = self.frozen_head(&mut fence_session, &fence).await?;
        within(block_end, "green did not reach the end of blue's log", self.engine.reached(&blue_head)).await?;
        // Invariant 2, once more after the drain: nobody passed the fence meanwhile.
        if !fence.is_closed(&mut fence_session).await? || self.sides.blue.head(&mut fence_session).await? != blue_head {
            return Err(Error::new(ErrorKind::State, "blue took a write behind its fence")
                .with_advice("an account on blue passes read_only (SUPER, READ_ONLY ADMIN): stop its writes first"));
        }
        self.engine.end().await?;
        let green_head = self.sides.green.head(&mut self.sides.green_session).await?;
        if Instant::now() > block_end {
            return Err(timed_out("the write block reached its bound"));
        }
        Deployment::journal(&mut self.sides.green_session, Phase::Promoting.name(), was_read_only).await?;
        Ok(Fenced { since, refused_at, blue_head, green_head })
    }

    /// Blue's head, seen twice without a change.
    async fn frozen_head(&self, session: &mut Session, fence: &Fence) -> Result<Position> {
        let mut last = self.sides.blue.head(session).await?;
        for _ in 0..20 {
            let head = self.sides.blue.head(session).await?;
            if head == last && fence.is_closed(session).await? {
                return Ok(head);
            }
            last = head;
        }
        Err(Error::new(ErrorKind::State, "blue's log does not stand still behind its fence")
            .with_advice("an account on blue passes read_only (SUPER, READ_ONLY ADMIN): stop its writes first"))
    }

    /// Back to how it was (invariant 1). If that cannot be done for sure, the outcome is ambiguous.
    async fn undo(self, error: Error, fenced_since: Option<Instant>) -> Report {
        tracing::warn!(%error, "the switchover is undone");
        let mut undone = report(&self.sides.deployment, Outcome::Unchanged, Some(error.to_string()), self.guardrails);
        self.engine.leave().await;
        let is_ours = error.kind() != ErrorKind::TakenOver;
        // The journal first: had the point of no return been written by an answer that was lost, blue must stay fenced.
        let green = async {
            let mut session = Session::open(&self.config.green).await?;
            let deployment = Deployment::read(&mut session).await?;
            match deployment.map(|deployment| Phase::parse(&deployment.phase)) {
                Some(Some(phase)) if phase.resume() == Resume::Undo => Ok(session),
                _ => Err(Error::new(ErrorKind::State, "the journal says that the switchover cannot be undone")),
            }
        };
        let result = match green.await {
            Ok(mut green_session) => {
                let lifted = match (fenced_since, is_ours) {
                    (Some(_), true) => fence::lift(&self.config.blue, Duration::from_secs(30)).await,
                    _ => Ok(()),
                };
                self.routing.release().await;
                match lifted {
                    Ok(()) if is_ours => {
                        Deployment::change_status(&mut green_session, Status::SwitchoverInProgress, Status::Available)
                            .await
                            .map(drop)
                    }
                    lifted => lifted,
                }
            }
            // Green cannot be read: as long as blue is not fenced, nothing was changed; else nobody knows.
            Err(_) if fenced_since.is_none() => Ok(()),
            Err(error) => Err(error),
        };
        if let Some(since) = fenced_since {
            undone.write_block_ms = Some(since.elapsed().as_secs_f64() * 1e3);
        }
        if let Err(second) = result {
            undone.outcome = Outcome::Ambiguous;
            undone.reason = Some(format!("{error}; and the undo failed: {second}; run `switchover` again"));
        }
        undone
    }
}

/// Green writable, connections to green, the record completed. Tried again until the deadline. Answers also when green
/// was first seen to take writes.
async fn promote_until(
    config: &SwitchoverConfig,
    sides: &mut Sides,
    routing: &impl Routing,
    deadline: Instant,
) -> (Result<()>, Option<(Instant, f64)>) {
    let mut accepted = None;
    loop {
        let result = async {
            if accepted.is_none() {
                Fence::of(&sides.green).lift(&mut sides.green_session).await?;
                accepted = Some((Instant::now(), now()));
            }
            complete(sides, routing).await
        };
        let error = match result.await {
            Ok(()) => return (Ok(()), accepted),
            Err(error) => error,
        };
        if Instant::now() >= deadline || error.kind() == ErrorKind::Timeout {
            return (Err(error), accepted);
        }
        tracing::warn!(%error, "the promotion of green is tried again");
        tokio::time::sleep(Duration::from_millis(200)).await;
        if let Ok(session) = Session::open(&config.green).await {
            sides.green_session = session;
        }
    }
}

async fn promote(config: &SwitchoverConfig, sides: &mut Sides, routing: &impl Routing) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    promote_until(config, sides, routing, deadline).await.0
}

async fn complete(sides: &mut Sides, routing: &impl Routing) -> Result<()> {
    let routed = routing.switch().await;
    Deployment::change_status(&mut sides.green_session, Status::SwitchoverInProgress, Status::SwitchoverCompleted)
        .await?;
    // The old production stays read-only over its restarts; not being able to say so changes nothing for the new one.
    if let Err(error) = Fence::of(&sides.blue).persist(&mut sides.blue_session).await {
        tracing::warn!(%error, "the old production's read_only is not persisted");
    }
    routed
}

fn report(deployment: &Deployment, outcome: Outcome, reason: Option<String>, guardrails: Vec<Check>) -> Report {
    let (name, green) = (deployment.name.clone(), deployment.green_name());
    let (source_new_name, target_new_name) = match outcome {
        Outcome::Completed => (deployment.old_name(), name.clone()),
        _ => (name.clone(), green.clone()),
    };
    Report {
        outcome,
        reason,
        write_block_ms: None,
        downtime: Downtime::default(),
        position_map: PositionMap::default(),
        guardrails,
        members: vec![Member { source: name, target: green, source_new_name, target_new_name }],
    }
}

async fn within(end: Instant, what: &'static str, work: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::time::timeout_at(end, work).await.unwrap_or_else(|_| Err(timed_out(what)))
}

fn timed_out(what: &'static str) -> Error {
    Error::new(ErrorKind::Timeout, format!("{what} in time"))
        .with_advice("try again when blue is less busy, or with a longer --timeout or --max-write-block")
}

fn now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}
