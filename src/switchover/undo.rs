//! The way back before the point of no return.

use std::time::Duration;

use super::driver::Switch;
use super::fence::Fence;
use super::promotion::lost_claim;
use super::{Engine, Routing, asleep, scheduler};
use crate::error::{ErrorKind, Result};

/// A connection that may hang in what is to be undone is not waited for longer: there will be another.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// Nor are connections held for longer because nobody says whose record it is.
const RECORD_LIMIT: Duration = Duration::from_secs(1);

impl<E: Engine, R: Routing> Switch<'_, E, R> {
    pub(super) async fn lift(&mut self) -> Result<()> {
        let mut claim = self.blue_claim.take().ok_or_else(lost_claim)?;
        claim.set_limit(ANSWER_LIMIT);
        let fence = Fence::of(&self.sides.blue);
        let left = fence.forget(&mut claim).await;
        fence.lift(&mut claim).await?;
        self.notes.extend(left);
        if self.sides.deployment.blue_starts_events {
            self.notes.extend(scheduler::start(&mut claim).await);
        }
        Ok(())
    }

    pub(super) async fn drop_triggers(&mut self) -> Result<()> {
        // Others than those of the switchover stay where they are: they are what stood in its way.
        if !self.makes_triggers {
            return Ok(());
        }
        let claim = self.green_claim.as_mut().ok_or_else(lost_claim)?;
        asleep::drop_triggers(&self.config.green, claim).await
    }

    pub(super) async fn release(&mut self) -> Result<()> {
        // Another controller's connections are not let through. Where green cannot be asked, blue takes writes by now.
        match tokio::time::timeout(RECORD_LIMIT, self.confirm()).await {
            Ok(Err(error)) if error.kind() == ErrorKind::TakenOver => return Err(error),
            _ => {}
        }
        self.routing.release().await;
        self.blocked = self.blocked_since.map(|since| since.elapsed());
        // Blue takes writes again by now: the stream may take its time to stop.
        if tokio::time::timeout(Duration::from_secs(10), self.engine.leave()).await.is_err() {
            tracing::warn!("the forward stream stops later");
        }
        Ok(())
    }
}
