//! Up to the point of no return.

use std::time::Duration;

use tokio::time::Instant;
use tokio::time::error::Elapsed;

use super::asleep::Asleep;
use super::driver::Switch;
use super::fence::{self, Fence};
use super::promotion::{Drained, lost_claim, now};
use super::sides::Sides;
use super::steps::{self, Step, WriteBlock};
use super::{Engine, Routing, counters, guardrail, scheduler, way_back};
use crate::checks::{Check, Verdict};
use crate::deployment;
use crate::error::{Error, ErrorKind, Result};
use crate::net::{Server, Session};
use crate::objects;

/// Blue refuses writes.
pub(super) struct Fenced {
    pub(super) block: WriteBlock,
    pub(super) refused_at: f64,
}

impl<E: Engine, R: Routing> Switch<'_, E, R> {
    pub(super) async fn prepare(&mut self) -> Result<()> {
        self.sides.blue = Server::probe(&mut self.sides.blue_session).await?;
        if self.sides.blue.is_read_only {
            return Err(Error::new(ErrorKind::State, "blue is read-only already")
                .with_advice("find out who fenced it; SET GLOBAL read_only = 0 on blue, if nobody needs it"));
        }
        way_back::check_ended(&mut self.sides.blue_session).await?;
        self.engine.follow().await?;
        // Catch up before anything is blocked.
        let head = self.sides.blue.head(&mut self.sides.blue_session).await?;
        steps::within(self.deadline, "green did not catch up", self.engine.reached(&head)).await?;
        // Catching up may have taken a while.
        self.sides.green = Server::probe(&mut self.sides.green_session).await?;
        self.guardrails = self.sides.guardrails(self.engine, Some(self.config.max_write_block), true).await;
        if let Some(vetoes) = guardrail::vetoes(&self.guardrails) {
            return Err(Error::new(ErrorKind::State, vetoes));
        }
        if self.has_way_back() {
            way_back::prepare(&self.config.blue).await?;
        }
        self.spare = Some(Session::open(&self.config.green).await?);
        // Of many tables this takes long the first time: the servers have them open behind it.
        warm_up(&mut self.sides).await?;
        self.sides.deployment.blue_starts_events = scheduler::is_on(&mut self.sides.blue_session).await?;
        Ok(())
    }

    fn has_way_back(&self) -> bool {
        let is_possible = |check: &Check| check.name == way_back::NAME && check.verdict == Verdict::Pass;
        self.config.has_way_back && self.guardrails.iter().any(is_possible)
    }

    pub(super) async fn hold(&mut self) -> Result<()> {
        self.routing.hold().await?;
        self.blocked_since = Some(Instant::now());
        Ok(())
    }

    pub(super) async fn fence(&mut self) -> Result<()> {
        // Given back where it can still be used.
        let mut claim = self.blue_claim.take().ok_or_else(lost_claim)?;
        if self.sides.deployment.blue_starts_events {
            scheduler::stop(&mut claim).await?;
        }
        let limit = self.config.max_write_block.min(self.deadline.saturating_duration_since(Instant::now()));
        // It has a bound of its own; this one is for a blue that does not answer any more.
        let fence = Fence::of(&self.sides.blue);
        let end = Instant::now() + limit + Duration::from_secs(1);
        let closed = tokio::time::timeout_at(end, fence.close(&self.config.blue, &mut claim, limit)).await;
        let closed = closed.map_err(|_| steps::timed_out("blue was not made read-only"))?;
        self.blue_claim = Some(claim);
        let since = closed?;
        self.blocked_since = Some(since);
        let refused_at = now() - since.elapsed().as_secs_f64();
        let block = WriteBlock::begin(since, (since + self.config.max_write_block).min(self.deadline));
        self.fenced = Some(Fenced { block, refused_at });
        Ok(())
    }

    /// The next step of the write block begins. Answers when the block must be over.
    pub(super) fn enter(&mut self, step: Step) -> Result<Instant> {
        let block = &mut self.fenced.as_mut().ok_or_else(|| Error::internal("blue was not fenced"))?.block;
        block.enter(step, Instant::now());
        Ok(block.end)
    }

    /// The error of the step where the block's time was up in it.
    pub(super) fn in_time<T>(&self, result: Result<Result<T>, Elapsed>) -> Result<T> {
        match (result, &self.fenced) {
            (Ok(result), _) => result,
            (Err(_), Some(fenced)) => Err(fenced.block.timed_out()),
            (Err(_), None) => Err(Error::internal("blue was not fenced")),
        }
    }

    pub(super) async fn drain(&mut self) -> Result<()> {
        let end = self.fenced.as_ref().ok_or_else(|| Error::internal("blue was not fenced"))?.block.end;
        let drained = tokio::time::timeout_at(end, self.drain_all()).await;
        self.drained = Some(self.in_time(drained)?);
        Ok(())
    }

    /// Nobody can write any more: green gets everything that was written.
    async fn drain_all(&mut self) -> Result<Drained> {
        let fence = Fence::of(&self.sides.blue);
        let blue_head = fence::frozen_head(&self.sides.blue, &mut self.sides.blue_session, &fence).await?;
        self.enter(Step::Drain)?;
        let claim = self.blue_claim.as_mut().ok_or_else(lost_claim)?;
        let asleep = Asleep::read(&mut self.sides.blue_session);
        let level = async { tokio::try_join!(self.engine.reached(&blue_head), asleep) };
        // A restart of blue must not open it: where the server cannot do that, its report says so. Done to its end whatever
        // becomes of the rest: the undo needs that session, all the more where green is gone.
        let (level, ()) = tokio::join!(level, fence.keep_closed(claim));
        let ((), asleep) = level?;
        self.enter(Step::EndOfStream)?;
        self.engine.end().await?;
        self.enter(Step::ForeignWrites)?;
        // Whoever wrote on green since the guardrails were measured.
        let foreign_writes = self.engine.foreign_writes(true).await;
        if let Some(vetoes) = guardrail::vetoes(&[foreign_writes]) {
            return Err(Error::new(ErrorKind::State, vetoes));
        }
        self.enter(Step::Counters)?;
        objects::check_no_trigger(&mut self.sides.green_session).await?;
        let spare = match self.spare.take() {
            Some(spare) => spare,
            None => Session::open(&self.config.green).await?,
        };
        asleep.raise_counters(&self.config.green, spare).await?;
        self.enter(Step::Triggers)?;
        // Given back where it can still be used.
        let mut claim = self.green_claim.take().ok_or_else(lost_claim)?;
        self.makes_triggers = true;
        asleep.make_triggers(&self.config.green, &mut claim, self.sides.green.version).await?;
        self.green_claim = Some(claim);
        // Invariant 2, once more as the last thing: nobody passed the fence meanwhile, and no restart has opened it.
        let (blue, blue_session) = (&self.sides.blue, &mut self.sides.blue_session);
        let still_frozen = async {
            match fence.is_closed(blue_session).await? && blue.head(blue_session).await? == blue_head {
                true => Ok(()),
                false => Err(fence::behind_the_fence()),
            }
        };
        let green_head = self.sides.green.head(&mut self.sides.green_session);
        let ((), green_head) = tokio::try_join!(still_frozen, green_head)?;
        let map = deployment::PositionMap { blue: blue_head, green: green_head };
        Ok(Drained { map, asleep, has_way_back: self.has_way_back() })
    }
}

/// What is read before anything is blocked: the servers have it at hand then.
async fn warm_up(sides: &mut Sides) -> Result<()> {
    let (blue, green) = (&mut sides.blue_session, &mut sides.green_session);
    tokio::try_join!(Asleep::read(blue), counters::read(green)).map(drop)
}
