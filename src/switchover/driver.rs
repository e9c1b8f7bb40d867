use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::fence::{self, Fence};
use super::phase::Resume;
use super::report::{Downtime, Member, Outcome, Point, PositionMap, Report};
use super::{Engine, Phase, Routing, guardrail};
use crate::checks::{self, Check};
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
    let controller = crate::entropy::random();
    let mut sides = Sides::open(config).await?;
    if sides.deployment.status == Status::SwitchoverInProgress {
        match Box::pin(resume(config, &mut sides, engine, routing, controller)).await? {
            Some(report) => return Ok(report),
            None => sides = Sides::open(config).await?,
        }
    }
    let guardrails = sides.guardrails(engine, None, true).await;
    if let Some(vetoes) = guardrail::vetoes(&guardrails) {
        return Ok(report(&sides.deployment, Outcome::Unchanged, Some(vetoes), guardrails));
    }
    // Invariant 4: of several controllers one gets past this line.
    if !Deployment::begin(&mut sides.green_session, controller).await? {
        return Err(Error::new(ErrorKind::State, "another controller is switching this deployment over"));
    }
    Box::pin(Switch { config, sides, engine, routing, controller, deadline, guardrails }.run()).await
}

/// Finishes or undoes what a crash left. `None`: undone, the deployment is available again.
async fn resume(
    config: &SwitchoverConfig,
    sides: &mut Sides,
    engine: &mut impl Engine,
    routing: &impl Routing,
    controller: u64,
) -> Result<Option<Report>> {
    let phase = Phase::parse(&sides.deployment.phase).ok_or_else(|| {
        Error::new(
            ErrorKind::State,
            format!("the journal has the phase `{}`, which there is not", sides.deployment.phase),
        )
    })?;
    // From here on the controller before cannot move the record, and so cannot promote green.
    if !sides.deployment.seize(&mut sides.green_session, controller).await? {
        return Err(Error::new(ErrorKind::State, "another controller is switching this deployment over"));
    }
    tracing::warn!(%phase, "a switchover was found in the middle");
    match phase.resume() {
        Resume::Undo => {
            if phase.may_be_fenced() {
                Fence::of(&sides.blue).lift(&mut sides.blue_session).await?;
            }
            routing.release().await;
            Deployment::end(&mut sides.green_session, controller, Status::Available).await?;
            Ok(None)
        }
        Resume::Finish => {
            let mut finished = report(&sides.deployment, Outcome::Completed, None, Vec::new());
            if let Err(error) = finish(config, sides, engine, routing, controller, &mut finished).await {
                finished.outcome = Outcome::Ambiguous;
                finished.reason = Some(error.to_string());
            }
            Ok(Some(finished))
        }
    }
}

/// Goes on from the point of no return. Blue may have been restarted since, and so have lost its fence.
async fn finish(
    config: &SwitchoverConfig,
    sides: &mut Sides,
    engine: &mut impl Engine,
    routing: &impl Routing,
    controller: u64,
    report: &mut Report,
) -> Result<()> {
    let fence = Fence::of(&sides.blue);
    fence.close(&mut sides.blue_session, config.max_write_block).await?;
    let head = frozen_head(&sides.blue, &mut sides.blue_session, &fence).await?;
    let is_level = checks::is_level(&mut sides.green_session, &head).await?;
    if !is_level && !sides.green.is_read_only {
        return Err(Error::new(ErrorKind::State, "blue and green both took writes after the point of no return")
            .with_advice("compare them with `verify`, and decide by hand which is production"));
    }
    if !is_level {
        engine.follow().await?;
        let end = Instant::now() + config.timeout;
        within(end, "green did not reach the end of blue's log", engine.reached(&head)).await?;
    }
    engine.end().await?;
    report.position_map.blue = Some(Point::from(&head));
    report.position_map.green = Some(Point::from(&sides.green.head(&mut sides.green_session).await?));
    let deadline = Instant::now() + Duration::from_secs(30);
    let promotion = promote(config, sides, routing, controller, &head, deadline).await;
    report.notes = promotion.notes;
    promotion.result
}

/// A switchover whose record was taken.
struct Switch<'a, E, R> {
    config: &'a SwitchoverConfig,
    sides: Sides,
    engine: &'a mut E,
    routing: &'a R,
    controller: u64,
    deadline: Instant,
    guardrails: Vec<Check>,
}

/// How far the way up to the point of no return was gone, for the undo.
#[derive(Default)]
struct Gone {
    /// When blue's fence was asked for.
    fenced_since: Option<Instant>,
    /// Whether the point of no return may be in the journal.
    may_be_promoting: bool,
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
        let mut gone = Gone::default();
        let fenced = match self.prepare(&mut gone).await {
            Ok(fenced) => fenced,
            Err(error) => return Ok(self.undo(error, gone).await),
        };
        // From here on only forward.
        let mut done = report(&self.sides.deployment, Outcome::Completed, None, self.guardrails);
        done.downtime.blue_refused_at = Some(fenced.refused_at);
        done.position_map =
            PositionMap { blue: Some(Point::from(&fenced.blue_head)), green: Some(Point::from(&fenced.green_head)) };
        let promotion =
            promote(self.config, &mut self.sides, self.routing, self.controller, &fenced.blue_head, self.deadline)
                .await;
        done.notes = promotion.notes;
        if let Some((instant, time)) = promotion.accepted {
            done.write_block_ms = Some(instant.duration_since(fenced.since).as_secs_f64() * 1e3);
            done.downtime.green_accepted_at = Some(time);
        }
        if let Err(error) = promotion.result {
            done.outcome = Outcome::Ambiguous;
            done.reason = Some(format!("{error}; run `switchover` again: it goes on from here"));
        }
        Ok(done)
    }

    /// Everything before the point of no return.
    async fn prepare(&mut self, gone: &mut Gone) -> Result<Fenced> {
        if self.sides.blue.is_read_only {
            return Err(Error::new(ErrorKind::State, "blue is read-only already")
                .with_advice("find out who fenced it; SET GLOBAL read_only = 0 on blue, if nobody needs it"));
        }
        self.engine.follow().await?;
        // Catch up before anything is blocked.
        let head = self.sides.blue.head(&mut self.sides.blue_session).await?;
        within(self.deadline, "green did not catch up", self.engine.reached(&head)).await?;
        // Catching up may have taken a while.
        self.sides.green = Server::probe(&mut self.sides.green_session).await?;
        self.guardrails = self.sides.guardrails(self.engine, Some(self.config.max_write_block), true).await;
        if let Some(vetoes) = guardrail::vetoes(&self.guardrails) {
            return Err(Error::new(ErrorKind::State, vetoes));
        }
        let mut fence_session = Session::open(&self.config.blue).await?;
        self.journal(Phase::Preparing, Phase::Fencing).await?;
        self.routing.hold().await?;
        let (since, refused_at) = (Instant::now(), now());
        gone.fenced_since = Some(since);
        let block_end = (since + self.config.max_write_block).min(self.deadline);
        let limit = block_end.saturating_duration_since(since);
        let drained = self.fence_and_drain(&mut fence_session, limit);
        let (blue_head, green_head) = within(block_end, "green did not reach the end of blue's log", drained).await?;
        gone.may_be_promoting = true;
        within(block_end, "the journal was not written", self.journal(Phase::Fencing, Phase::Promoting)).await?;
        Ok(Fenced { since, refused_at, blue_head, green_head })
    }

    async fn journal(&mut self, from: Phase, to: Phase) -> Result<()> {
        Deployment::journal(&mut self.sides.green_session, self.controller, from.name(), to.name()).await
    }

    /// Nobody can write any more, and green has everything that was written. Answers both logs' ends.
    async fn fence_and_drain(&mut self, blue: &mut Session, limit: Duration) -> Result<(Position, Position)> {
        let fence = Fence::of(&self.sides.blue);
        fence.close(blue, limit).await?;
        let blue_head = frozen_head(&self.sides.blue, blue, &fence).await?;
        self.engine.reached(&blue_head).await?;
        self.engine.end().await?;
        // Whoever wrote on green since the guardrails were measured.
        let foreign_writes = self.engine.foreign_writes(true).await;
        if let Some(vetoes) = guardrail::vetoes(&[foreign_writes]) {
            return Err(Error::new(ErrorKind::State, vetoes));
        }
        // Invariant 2, once more after the drain: nobody passed the fence meanwhile.
        if !fence.is_closed(blue).await? || self.sides.blue.head(blue).await? != blue_head {
            return Err(behind_the_fence());
        }
        let green_head = self.sides.green.head(&mut self.sides.green_session).await?;
        Ok((blue_head, green_head))
    }

    /// Back to how it was (invariant 1). If that cannot be done for sure, the outcome is ambiguous.
    async fn undo(self, error: Error, gone: Gone) -> Report {
        tracing::warn!(%error, "the switchover is undone");
        let mut undone = report(&self.sides.deployment, Outcome::Unchanged, Some(error.to_string()), self.guardrails);
        let result = undo_on_servers(self.config, self.controller, &gone, &mut undone.notes).await;
        if result.is_ok() {
            self.routing.release().await;
        }
        if let Some(since) = gone.fenced_since {
            undone.write_block_ms = Some(since.elapsed().as_secs_f64() * 1e3);
            undone.downtime.green_accepted_at = None;
        }
        // Blue takes writes again by now: the stream may take its time to stop.
        if tokio::time::timeout(Duration::from_secs(10), self.engine.leave()).await.is_err() {
            tracing::warn!("the forward stream stops later");
        }
        let ended = match result {
            Ok(()) => end_undo(self.config, self.controller).await,
            Err(second) => Err(second),
        };
        if let Err(second) = ended {
            undone.outcome = Outcome::Ambiguous;
            undone.reason = Some(format!("{error}; and the undo failed: {second}; run `switchover` again"));
        }
        undone
    }
}

/// Takes the point of no return out of reach, then lifts blue's fence.
async fn undo_on_servers(
    config: &SwitchoverConfig,
    controller: u64,
    gone: &Gone,
    notes: &mut Vec<String>,
) -> Result<()> {
    let Some(_) = gone.fenced_since else { return Ok(()) };
    let journalled = async {
        let mut green = Session::open(&config.green).await?;
        // Waits for a promotion whose answer was lost: that one either is in the journal now, or never will be.
        Deployment::journal(&mut green, controller, Phase::Fencing.name(), Phase::Undoing.name()).await
    };
    match journalled.await {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::TakenOver => return Err(error),
        // Green cannot be reached. Without the order to promote, nobody will: blue need not stay fenced.
        Err(error) if !gone.may_be_promoting => tracing::warn!(%error, "the undo is not journalled"),
        Err(error) => return Err(error),
    }
    notes.extend(fence::lift(&config.blue, Duration::from_secs(30)).await?);
    Ok(())
}

/// Makes the deployment available again.
async fn end_undo(config: &SwitchoverConfig, controller: u64) -> Result<()> {
    let mut green = Session::open(&config.green).await?;
    Deployment::end(&mut green, controller, Status::Available).await
}

/// Blue's head, seen twice without a change.
async fn frozen_head(blue: &Server, session: &mut Session, fence: &Fence) -> Result<Position> {
    let mut last = blue.head(session).await?;
    for _ in 0..20 {
        let head = blue.head(session).await?;
        if head == last && fence.is_closed(session).await? {
            return Ok(head);
        }
        last = head;
    }
    Err(behind_the_fence())
}

fn behind_the_fence() -> Error {
    Error::new(ErrorKind::State, "blue took a write behind its fence")
        .with_advice("an account on blue passes read_only (SUPER, READ_ONLY ADMIN): stop its writes first")
}

/// What became of the promotion.
struct Promotion {
    /// When green was first seen to take writes.
    accepted: Option<(Instant, f64)>,
    notes: Vec<String>,
    result: Result<()>,
}

/// Green writable, connections to green, the record completed. Tried again until the deadline.
async fn promote(
    config: &SwitchoverConfig,
    sides: &mut Sides,
    routing: &impl Routing,
    controller: u64,
    blue_head: &Position,
    deadline: Instant,
) -> Promotion {
    let mut promotion = Promotion { accepted: None, notes: Vec::new(), result: Ok(()) };
    loop {
        let error = match try_promote(sides, routing, controller, &mut promotion).await {
            Ok(()) => return promotion,
            Err(error) => error,
        };
        if Instant::now() >= deadline || error.kind() == ErrorKind::TakenOver {
            promotion.result = Err(error);
            return promotion;
        }
        tracing::warn!(%error, "the promotion of green is tried again");
        tokio::time::sleep(Duration::from_millis(200)).await;
        if promotion.accepted.is_none()
            && let Err(error) = still_fenced(config, blue_head).await
        {
            promotion.result = Err(error);
            return promotion;
        }
        if let Ok(session) = Session::open(&config.green).await {
            sides.green_session = session;
        }
    }
}

/// A promotion that comes late must find blue as it was left (invariant 2).
async fn still_fenced(config: &SwitchoverConfig, head: &Position) -> Result<()> {
    let mut session = Session::open(&config.blue).await?;
    let blue = Server::probe(&mut session).await?;
    let fence = Fence::of(&blue);
    if !fence.is_closed(&mut session).await? {
        fence.close(&mut session, config.max_write_block).await?;
    }
    // A restart of blue opens a new log file without a transaction in it.
    match head.covers(&blue.head(&mut session).await?) {
        Some(true) => Ok(()),
        _ => Err(Error::new(ErrorKind::State, "blue was changed after the point of no return")),
    }
}

async fn try_promote(
    sides: &mut Sides,
    routing: &impl Routing,
    controller: u64,
    promotion: &mut Promotion,
) -> Result<()> {
    if promotion.accepted.is_none() {
        promotion.notes.extend(Fence::of(&sides.green).lift(&mut sides.green_session).await?);
        promotion.accepted = Some((Instant::now(), now()));
        if let Err(error) = routing.switch().await {
            promotion.notes.push(format!("the applications' way to green: {error}"));
        }
    }
    Deployment::end(&mut sides.green_session, controller, Status::SwitchoverCompleted).await?;
    // The old production stays read-only over its restarts, where it can.
    promotion.notes.extend(Fence::of(&sides.blue).persist(&mut sides.blue_session).await);
    Ok(())
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
        notes: Vec::new(),
        guardrails,
        members: vec![Member { source: name, target: green, source_new_name, target_new_name }],
    }
}

async fn within<T>(end: Instant, what: &'static str, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout_at(end, work).await.unwrap_or_else(|_| Err(timed_out(what)))
}

fn timed_out(what: &'static str) -> Error {
    Error::new(ErrorKind::Timeout, format!("{what} in time"))
        .with_advice("try again when blue is less busy, or with a longer --timeout or --max-write-block")
}

fn now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}
