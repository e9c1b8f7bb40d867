use std::time::Duration;

use tokio::time::Instant;

use super::config::SwitchoverConfig;
use super::preparation::Fenced;
use super::promotion::Drained;
use super::protocol::{Action, End, Outcome as Learned, Protocol, Side};
use super::report::{Outcome, PositionMap, Report};
use super::sides::Sides;
use super::{Engine, Phase, Routing, fence, guardrail};
use crate::checks::Check;
use crate::deployment::{Deployment, Status};
use crate::error::{Error, ErrorKind, Recovery, Result};
use crate::net::Session;

/// How long an undo is tried, and what is left behind the promotion.
pub(super) const PERSISTENCE: Duration = Duration::from_secs(30);

/// How often the way back may be refused before there is none.
const WAY_BACK_REFUSALS: u32 = 3;

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(200);

/// The guardrails alone. Writes nothing on either server.
pub(crate) async fn dry_run(config: &SwitchoverConfig, engine: &mut impl Engine) -> Result<Report> {
    let mut sides = Sides::open(config).await?;
    let guardrails = all_guardrails(config, &mut sides, engine, false).await;
    let reason =
        guardrail::vetoes(&guardrails).unwrap_or_else(|| "dry run: every guardrail lets the switchover pass".into());
    Ok(Report::new(&sides.deployment, Outcome::Unchanged, Some(reason), guardrails))
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
    let mut left = Vec::new();
    if sides.deployment.status == Status::SwitchoverInProgress {
        let phase = found(&sides.deployment)?;
        tracing::warn!(%phase, "a switchover was found in the middle");
        let resumed = Switch::new(config, sides, engine, routing, deadline, Protocol::resume(phase));
        let report = Box::pin(resumed.run()).await?;
        if report.outcome != Outcome::Unchanged {
            return Ok(report);
        }
        // What its undo left for a person.
        left = report.notes;
        sides = Sides::open(config).await?;
    }
    // What is written on a green that is production is to be in no journal of foreign writes.
    let record = sides.deployment.status == Status::Available;
    let guardrails = all_guardrails(config, &mut sides, engine, record).await;
    if let Some(vetoes) = guardrail::vetoes(&guardrails) {
        let mut report = Report::new(&sides.deployment, Outcome::Unchanged, Some(vetoes), guardrails);
        report.notes = left;
        return Ok(report);
    }
    let mut switch = Switch::new(config, sides, engine, routing, deadline, Protocol::begin());
    switch.guardrails = guardrails;
    switch.notes = left;
    Box::pin(switch.run()).await
}

fn found(deployment: &Deployment) -> Result<Phase> {
    Phase::parse(&deployment.phase).ok_or_else(|| {
        let message = format!("the journal has the phase `{}`, which there is not", deployment.phase);
        Error::new(ErrorKind::State, message)
    })
}

async fn all_guardrails(
    config: &SwitchoverConfig,
    sides: &mut Sides,
    engine: &mut impl Engine,
    record: bool,
) -> Vec<Check> {
    let mut guardrails = sides.guardrails(engine, None, record).await;
    if config.compares_definitions {
        guardrails.extend(sides.drift().await);
    }
    guardrails.extend(config.checked.iter().cloned());
    guardrails
}

/// One controller's run: it does what the protocol asks for.
pub(super) struct Switch<'a, E, R> {
    pub(super) config: &'a SwitchoverConfig,
    pub(super) sides: Sides,
    pub(super) engine: &'a mut E,
    pub(super) routing: &'a R,
    protocol: Protocol,
    controller: u64,
    pub(super) deadline: Instant,
    pub(super) guardrails: Vec<Check>,
    /// The sessions that alone change the servers' switches.
    pub(super) blue_claim: Option<Session>,
    pub(super) green_claim: Option<Session>,
    /// Whether the session for the record may be gone.
    is_record_lost: bool,
    /// When blue was first asked to refuse writes, and connections to wait.
    pub(super) blocked_since: Option<Instant>,
    /// How long that lasted, where it was undone.
    pub(super) blocked: Option<Duration>,
    /// To raise counters with, opened when there is time for it.
    pub(super) spare: Option<Session>,
    pub(super) fenced: Option<Fenced>,
    pub(super) drained: Option<Drained>,
    /// When green was first seen to take writes.
    pub(super) accepted: Option<(Instant, f64)>,
    /// When connections were led there.
    pub(super) switched: Option<Instant>,
    /// Whether green may have triggers of this switchover.
    pub(super) makes_triggers: bool,
    pub(super) notes: Vec<String>,
    /// What went wrong first, and last.
    failures: Option<(Error, Option<Error>)>,
    undone_by: Option<Instant>,
    refusals_of_way_back: u32,
}

impl<'a, E: Engine, R: Routing> Switch<'a, E, R> {
    fn new(
        config: &'a SwitchoverConfig,
        sides: Sides,
        engine: &'a mut E,
        routing: &'a R,
        deadline: Instant,
        protocol: Protocol,
    ) -> Self {
        Switch {
            config,
            sides,
            engine,
            routing,
            // What the controller before did is not known.
            makes_triggers: protocol.is_resumed(),
            protocol,
            controller: crate::entropy::random(),
            deadline,
            guardrails: Vec::new(),
            blue_claim: None,
            green_claim: None,
            is_record_lost: false,
            blocked_since: None,
            blocked: None,
            spare: None,
            fenced: None,
            drained: None,
            accepted: None,
            switched: None,
            notes: Vec::new(),
            failures: None,
            undone_by: None,
            refusals_of_way_back: 0,
        }
    }

    async fn run(mut self) -> Result<Report> {
        loop {
            let action = match self.protocol.next() {
                Ok(action) => action,
                Err(End::NotBegun) => return Err(self.not_begun()),
                Err(end) => return Ok(self.report(end)),
            };
            tracing::debug!(?action);
            self.config.hook.call(action, false).await;
            let done = Box::pin(self.act(action)).await;
            self.config.hook.call(action, true).await;
            match done {
                Ok(learned) => self.protocol.learn(learned, false),
                Err(error) => self.failed(action, error).await,
            }
        }
    }

    async fn act(&mut self, action: Action) -> Result<Learned> {
        let done = match action {
            Action::Begin => return self.begin().await,
            Action::Seize => return self.seize().await,
            Action::Prepare => self.prepare().await,
            Action::Claim(side) => self.claim(side).await,
            Action::Confirm => self.confirm().await,
            Action::JournalFencing => self.journal_fencing().await,
            Action::Hold => self.hold().await,
            Action::Fence => self.fence().await,
            Action::Drain => self.drain().await,
            Action::JournalPromoting => self.journal_promoting().await,
            Action::Look => self.look().await,
            Action::Refence => self.refence().await,
            Action::Promote => self.promote().await,
            Action::Keep => self.keep().await,
            Action::StartEvents => self.start_events().await,
            Action::Follow => self.follow().await,
            Action::StayClosed => self.stay_closed().await,
            Action::Complete => self.end(Status::SwitchoverCompleted).await,
            Action::JournalUndoing => return self.journal_undoing().await,
            Action::Lift => self.lift().await,
            Action::Release => self.release().await,
            Action::DropTriggers => self.drop_triggers().await,
            Action::Free => self.end(Status::Available).await,
        };
        done.map(|()| Learned::Done)
    }

    async fn failed(&mut self, action: Action, error: Error) {
        let learned = match error.kind() {
            ErrorKind::TakenOver => Learned::TakenOver,
            _ => Learned::Unknown,
        };
        let is_hopeless = match action {
            // What blue has behind its fence, no second look takes away.
            Action::Look => error.kind() == ErrorKind::State,
            Action::Follow if error.recovery() != Recovery::Retry => {
                self.refusals_of_way_back += 1;
                self.refusals_of_way_back > WAY_BACK_REFUSALS
            }
            _ => false,
        };
        let is_first = self.failures.is_none();
        if !is_first {
            tokio::time::sleep(PAUSE).await;
        }
        let before = self.protocol.is_undoing();
        // Behind its first write green needs nobody any more.
        let promoted_by = self.switched.map(|since| since + PERSISTENCE);
        let end = self.undone_by.or(promoted_by).unwrap_or(self.deadline);
        tracing::warn!(?action, %error, "a step of the switchover failed");
        let goal = self.protocol.goal();
        self.protocol.learn(learned, is_hopeless || Instant::now() >= end);
        match (goal, self.protocol.goal()) {
            (Action::Follow, Action::StayClosed) => self.notes.push(format!("there is no way back: {error}")),
            (Action::StayClosed, Action::Complete) => {
                self.notes.push(format!("the old production may take writes: {error}"));
            }
            _ => {}
        }
        if !before && self.protocol.is_undoing() {
            self.undone_by = Some(Instant::now() + PERSISTENCE);
        }
        self.is_record_lost = true;
        match &mut self.failures {
            Some((_, last)) => *last = Some(error),
            none => *none = Some((error, None)),
        }
    }

    /// The session for the record.
    async fn record(&mut self) -> Result<&mut Session> {
        if self.is_record_lost {
            self.sides.green_session = Session::open(&self.config.green).await?;
            self.is_record_lost = false;
        }
        Ok(&mut self.sides.green_session)
    }

    /// Invariant 4 of the module: of several controllers one gets past this.
    async fn begin(&mut self) -> Result<Learned> {
        let controller = self.controller;
        Deployment::begin(self.record().await?, controller).await.map(taken)
    }

    async fn seize(&mut self) -> Result<Learned> {
        self.sides.deployment.seize(&mut self.sides.green_session, self.controller).await.map(taken)
    }

    async fn claim(&mut self, side: Side) -> Result<()> {
        // Not without the record: the session that ends may be that of a controller which has it.
        self.confirm().await?;
        let (claim, url) = match side {
            Side::Blue => (&mut self.blue_claim, &self.config.blue),
            Side::Green => (&mut self.green_claim, &self.config.green),
        };
        *claim = None;
        *claim = Some(fence::claim(url).await?);
        Ok(())
    }

    pub(super) async fn confirm(&mut self) -> Result<()> {
        let controller = self.controller;
        Deployment::own(self.record().await?, controller).await.map(drop)
    }

    async fn journal_fencing(&mut self) -> Result<()> {
        let (controller, starts_events) = (self.controller, self.sides.deployment.blue_starts_events);
        let (from, to) = (Phase::Preparing.name(), Phase::Fencing.name());
        Deployment::journal_fence(self.record().await?, controller, from, to, starts_events).await
    }

    async fn journal_promoting(&mut self) -> Result<()> {
        let map = self.drained()?.map.clone();
        let (controller, end) = (self.controller, self.enter(super::Step::Journal)?);
        let (from, to) = (Phase::Fencing.name(), Phase::Promoting.name());
        let green = self.record().await?;
        let journalled = Deployment::journal_map(green, controller, from, to, &map);
        let journalled = tokio::time::timeout_at(end, journalled).await;
        self.in_time(journalled)?;
        self.enter(super::Step::Promotion).map(drop)
    }

    /// Waits for a promotion whose answer was lost: that one either is in the journal then, or never will be.
    async fn journal_undoing(&mut self) -> Result<Learned> {
        let controller = self.controller;
        let (from, to) = (Phase::Fencing.name(), Phase::Undoing.name());
        let green = self.record().await?;
        match Deployment::journal(green, controller, from, to).await {
            Err(error) if error.kind() == ErrorKind::TakenOver => {}
            other => return other.map(|()| Learned::Done),
        }
        match found(&Deployment::own(green, controller).await?)? {
            Phase::Undoing => Ok(Learned::Done),
            Phase::Promoting => Ok(Learned::Promoting),
            _ => Err(Error::internal("the journal refused a phase")),
        }
    }

    async fn end(&mut self, status: Status) -> Result<()> {
        let controller = self.controller;
        Deployment::end(self.record().await?, controller, status).await
    }

    pub(super) fn drained(&self) -> Result<&Drained> {
        self.drained.as_ref().ok_or_else(|| Error::internal("green was not drained"))
    }

    fn not_begun(self) -> Error {
        let other = || Error::new(ErrorKind::State, "another controller is switching this deployment over");
        self.failures.map_or_else(other, |(first, _)| first)
    }

    fn report(self, end: End) -> Report {
        let outcome = match end {
            End::Completed => Outcome::Completed,
            End::Undone | End::NotBegun => Outcome::Unchanged,
            End::Ambiguous => Outcome::Ambiguous,
        };
        let reason = match (outcome, self.failures) {
            (Outcome::Completed, _) | (_, None) => None,
            (Outcome::Unchanged, Some((first, _))) => Some(first.to_string()),
            (Outcome::Ambiguous, Some((first, last))) if self.protocol.is_promoting() => {
                Some(format!("{}; run `switchover` again: it goes on from here", last.unwrap_or(first)))
            }
            (Outcome::Ambiguous, Some((first, None))) => Some(format!("{first}; run `switchover` again")),
            (Outcome::Ambiguous, Some((first, Some(second)))) => {
                Some(format!("{first}; and the undo failed: {second}; run `switchover` again"))
            }
        };
        let mut report = Report::new(&self.sides.deployment, outcome, reason, self.guardrails);
        report.notes = self.notes;
        if let Some(blocked) = self.blocked {
            report.write_block_ms = Some(blocked.as_secs_f64() * 1e3);
        }
        if self.protocol.is_promoting() {
            if let Some(drained) = &self.drained {
                report.position_map = PositionMap::from(&drained.map);
            }
            if let Some(fenced) = self.fenced {
                report.downtime.blue_refused_at = Some(fenced.refused_at);
                if let Some((instant, time)) = self.accepted {
                    report.blocked(fenced.block, instant);
                    report.downtime.green_accepted_at = Some(time);
                }
            }
        }
        report
    }
}

fn taken(is_taken: bool) -> Learned {
    if is_taken { Learned::Done } else { Learned::TakenOver }
}
