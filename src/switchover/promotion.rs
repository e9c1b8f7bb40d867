//! Behind the point of no return.

use std::time::SystemTime;

use tokio::time::Instant;

use super::asleep::{self, Asleep};
use super::driver::{PERSISTENCE, Switch};
use super::fence::{self, Fence};
use super::{Engine, Routing, scheduler, steps, way_back};
use crate::checks;
use crate::deployment;
use crate::error::{Error, ErrorKind, Result};
use crate::net::{Server, Session};

/// What there is once nobody can write any more and green has all.
pub(super) struct Drained {
    pub(super) map: deployment::PositionMap,
    pub(super) asleep: Asleep,
    /// Whether blue was prepared to follow green.
    pub(super) has_way_back: bool,
}

/// The session that claimed a server is gone.
pub(super) fn lost_claim() -> Error {
    Error::new(ErrorKind::Disconnected, "the session that changes the server's switches is gone")
}

pub(super) fn now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

impl<E: Engine, R: Routing> Switch<'_, E, R> {
    /// A promotion that comes late must find blue as it was left (invariant 2).
    pub(super) async fn look(&mut self) -> Result<()> {
        let claim = self.blue_claim.as_mut().ok_or_else(lost_claim)?;
        let blue = Server::probe(claim).await?;
        let fence = Fence::of(&blue);
        if !fence.is_closed(claim).await? {
            fence.close(&self.config.blue, claim, self.config.max_write_block).await?;
        }
        let head = blue.head(claim).await?;
        // A restart of blue opens a new log file without a transaction in it.
        match self.drained()?.map.blue.covers(&head) {
            Some(true) => Ok(()),
            _ => Err(Error::new(ErrorKind::State, "blue was changed after the point of no return")),
        }
    }

    /// Goes on from the point of no return behind a crash. Blue may have been restarted since, and so have lost its fence.
    pub(super) async fn refence(&mut self) -> Result<()> {
        self.drained = Some(self.drain_again().await?);
        self.deadline = Instant::now() + PERSISTENCE;
        Ok(())
    }

    async fn drain_again(&mut self) -> Result<Drained> {
        let sides = &mut self.sides;
        // As it was found, the controller before may have gone on a while.
        sides.green = Server::probe(&mut sides.green_session).await?;
        let journalled = sides.deployment.position_map.clone();
        if let (true, Some(map)) = (way_back::has_begun(&mut sides.blue_session, &sides.green).await?, &journalled) {
            // The old production's log goes on: nothing of it is compared any more.
            let asleep = Asleep::read(&mut sides.blue_session).await?;
            return Ok(Drained { map: map.clone(), asleep, has_way_back: true });
        }
        let claim = self.blue_claim.as_mut().ok_or_else(lost_claim)?;
        let green_claim = self.green_claim.as_mut().ok_or_else(lost_claim)?;
        let fence = Fence::of(&sides.blue);
        fence.close(&self.config.blue, claim, self.config.max_write_block).await?;
        fence.keep_closed(claim).await;
        let head = fence::frozen_head(&sides.blue, claim, &fence).await?;
        let is_level = checks::is_level(&mut sides.green_session, &head).await?;
        if !is_level && !sides.green.is_read_only {
            return Err(Error::new(ErrorKind::State, "blue and green both took writes after the point of no return")
                .with_advice("compare them with `verify`, and decide by hand which is production"));
        }
        if !is_level {
            asleep::drop_triggers(&self.config.green, green_claim).await?;
            self.engine.follow().await?;
            let end = Instant::now() + self.config.timeout;
            steps::within(end, "green did not reach the end of blue's log", self.engine.reached(&head)).await?;
        }
        self.engine.end().await?;
        let asleep = Asleep::read(&mut sides.blue_session).await?;
        // A green that takes writes has both since before: its tables are in use.
        if sides.green.is_read_only {
            asleep.raise_counters(&self.config.green, Session::open(&self.config.green).await?).await?;
            asleep.make_triggers(&self.config.green, green_claim, sides.green.version).await?;
        }
        // Green may have taken writes since: where its log began as production, the journal says.
        let has_way_back = self.config.has_way_back && journalled.is_some();
        let map = match journalled {
            Some(map) => map,
            None => deployment::PositionMap { blue: head, green: sides.green.head(&mut sides.green_session).await? },
        };
        Ok(Drained { map, asleep, has_way_back })
    }

    pub(super) async fn promote(&mut self) -> Result<()> {
        let claim = self.green_claim.as_mut().ok_or_else(lost_claim)?;
        Fence::of(&self.sides.green).lift(claim).await?;
        if self.accepted.is_none() {
            self.accepted = Some((Instant::now(), now()));
            if let Err(error) = self.routing.switch().await {
                self.notes.push(format!("the applications' way to green: {error}"));
            }
            self.switched = Some(Instant::now());
        }
        Ok(())
    }

    pub(super) async fn keep(&mut self) -> Result<()> {
        let claim = self.green_claim.as_mut().ok_or_else(lost_claim)?;
        let fence = Fence::of(&self.sides.green);
        let left = fence.forget(claim).await;
        // It may have been restarted between the promotion and this.
        if !fence.is_open(claim).await? {
            return Err(Error::new(ErrorKind::State, "green is read-only again"));
        }
        self.notes.extend(left);
        Ok(())
    }

    /// Behind the record nobody would come back for them.
    pub(super) async fn start_events(&mut self) -> Result<()> {
        let notes = self.drained()?.asleep.start_events(&self.config.green).await?;
        self.notes.extend(notes);
        Ok(())
    }

    /// The old production is prepared to follow, or at least stays closed.
    pub(super) async fn follow(&mut self) -> Result<()> {
        let Some(drained) = self.drained.as_ref().filter(|drained| drained.has_way_back) else {
            if let Err(error) = self.stay_closed().await {
                self.notes.push(format!("the old production may take writes: {error}"));
            }
            return Ok(());
        };
        let claim = self.blue_claim.as_mut().ok_or_else(lost_claim)?;
        let (servers, record) = ((&self.sides.blue, &self.sides.green), &self.sides.deployment);
        let left = way_back::begin(self.config, record, servers, &drained.map, &drained.asleep, claim).await?;
        self.notes.extend(left);
        Ok(())
    }

    /// The old production refuses writes and starts no events from now on, over its restarts, too, where it can.
    pub(super) async fn stay_closed(&mut self) -> Result<()> {
        let claim = self.blue_claim.as_mut().ok_or_else(lost_claim)?;
        let fence = Fence::of(&self.sides.blue);
        if self.sides.deployment.blue_starts_events {
            self.notes.push(scheduler::left_off(claim.address(), "it was stopped for the switch"));
        }
        fence.close(&self.config.blue, claim, self.config.max_write_block).await?;
        self.notes.extend(fence.persist(claim).await);
        Ok(())
    }
}
