//! Lanes: shares of groups applied at the same time, each lane over a connection and with a checkpoint of its own.
//!
//! # Invariants
//! 1. A lane commits its shares in blue's order, each with the lane's checkpoint, exactly once. No lane waits for another:
//!    what could meet is in one lane (`plan::lane`).
//! 2. Every lane takes its share of every group, be it empty, and waits where another is [`AHEAD`] groups behind: what a
//!    stream that was killed has to make up for is so much at most.
//! 3. Lanes start from one checkpoint and end at one. In between the stream's own row stays where it was, and says by its
//!    owner who may make lanes and end them.
//!
//! What is not shared out must wait until the lanes have [ended](Lanes::end): the caller sees to that.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::checkpoint::Checkpoint;
use super::green::{Applied, Applier};
use super::script::Prepared;
use crate::error::{Error, Result};
use crate::net::{Server, ServerUrl};

/// How many groups a lane may be ahead of another: one that it applies, and one that waits for it.
const AHEAD: usize = 2;

/// The longest time for which green need not be a prefix of blue: lanes that are never out of work end then.
const PREFIX_EVERY: Duration = Duration::from_secs(1);

/// The lanes of a stream.
///
/// Not cancel-safe but for [`next`](Lanes::next): when a future of it was dropped, drop it too and claim the stream anew.
/// Dropping it leaves each lane's last transaction committed or not, as its checkpoint tells.
pub(crate) struct Lanes {
    url: ServerUrl,
    green: Server,
    count: usize,
    /// None before they are needed.
    lanes: Vec<Lane>,
    at_work: JoinSet<(usize, Box<Applier>, Result<Applied>)>,
    /// The groups that not all lanes have committed, oldest first.
    groups: VecDeque<Shared>,
    started: Option<Started>,
}

struct Lane {
    /// `None`: it is at work.
    applier: Option<Box<Applier>>,
    waiting: VecDeque<Prepared>,
    /// How many of the groups it committed its share of.
    done: usize,
}

/// A group that was shared out.
#[derive(Default)]
struct Shared {
    /// How many lanes committed their share.
    count: usize,
    /// What these did.
    applied: Option<Applied>,
}

struct Started {
    at: Instant,
    /// What all lanes came to, with the conflicts of all.
    reached: Checkpoint,
}

impl Lanes {
    /// So many lanes on green; connected when they are needed.
    pub(crate) fn new(url: ServerUrl, green: Server, count: usize) -> Lanes {
        Lanes { url, green, count, lanes: Vec::new(), at_work: JoinSet::new(), groups: VecDeque::new(), started: None }
    }

    /// How many there are, at work or not.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Whether a lane has anything left to do.
    pub(crate) fn are_at_work(&self) -> bool {
        !self.groups.is_empty()
    }

    /// Whether they have started and not ended.
    pub(crate) fn have_started(&self) -> bool {
        self.started.is_some()
    }

    /// Whether another group may be shared out, as far as the one that is furthest behind is concerned.
    pub(crate) fn have_room(&self) -> bool {
        self.groups.len() < AHEAD
    }

    /// Whether they have run for so long that green should be a prefix of blue again.
    pub(crate) fn must_end(&self) -> bool {
        self.started.as_ref().is_some_and(|started| started.at.elapsed() >= PREFIX_EVERY)
    }

    /// Gives each lane its share of a group; starts them where `stream` had no lanes.
    ///
    /// # Errors
    /// `TakenOver`; what a connection or green refuses.
    pub(crate) async fn share_out(&mut self, stream: &mut Applier, shares: Vec<Prepared>) -> Result<()> {
        if self.started.is_none() {
            self.start(stream).await?;
        }
        self.groups.push_back(Shared::default());
        for (lane, share) in self.lanes.iter_mut().zip(shares) {
            lane.waiting.push_back(share);
        }
        (0..self.lanes.len()).for_each(|lane| self.put_to_work(lane));
        Ok(())
    }

    /// Waits until a lane has committed a share; answers with the group that all lanes have committed now, if there is
    /// one. Forever where no lane is at work. Cancel-safe.
    ///
    /// # Errors
    /// Those of [`Applier::apply`], of any lane. The lanes have to be dropped then.
    pub(crate) async fn next(&mut self) -> Result<Option<Applied>> {
        let Some(joined) = self.at_work.join_next().await else { return std::future::pending().await };
        let (index, applier, applied) =
            joined.map_err(|error| Error::internal("a lane panicked").with_source(error))?;
        let lane = self.lanes.get_mut(index).ok_or_else(nowhere)?;
        lane.applier = Some(applier);
        let shared = self.groups.get_mut(lane.done).ok_or_else(nowhere)?;
        lane.done += 1;
        shared.add(applied?);
        let is_done = shared.count == self.lanes.len();
        self.put_to_work(index);
        // In order: whoever committed this one committed those before it.
        Ok(if is_done { self.finish() } else { None })
    }

    /// Ends the lanes, none of which is at work: `stream` goes on where they came to, and its next commit says so.
    pub(crate) fn end(&mut self, stream: &mut Applier) {
        if let Some(started) = self.started.take() {
            stream.join_lanes(started.reached);
        }
    }

    async fn start(&mut self, stream: &mut Applier) -> Result<()> {
        for lane in self.lanes.len()..self.count {
            let applier = Some(Box::new(stream.lane(lane, &self.url, &self.green).await?));
            self.lanes.push(Lane { applier, waiting: VecDeque::new(), done: 0 });
        }
        stream.start_lanes(self.count).await?;
        for applier in self.lanes.iter_mut().filter_map(|lane| lane.applier.as_mut()) {
            applier.start_from(stream.checkpoint());
        }
        self.started = Some(Started { at: Instant::now(), reached: stream.checkpoint().clone() });
        Ok(())
    }

    /// Gives the lane its next share, if it has nothing to do.
    fn put_to_work(&mut self, index: usize) {
        let Some(lane) = self.lanes.get_mut(index) else { return };
        if lane.applier.is_none() {
            return;
        }
        if let Some(share) = lane.waiting.pop_front()
            && let Some(mut applier) = lane.applier.take()
        {
            self.at_work.spawn(async move {
                let applied = Box::pin(applier.apply(&share)).await;
                (index, applier, applied)
            });
        }
    }

    /// The oldest group, which all lanes have committed.
    fn finish(&mut self) -> Option<Applied> {
        for lane in &mut self.lanes {
            lane.done -= 1;
        }
        let mut applied = self.groups.pop_front()?.applied?;
        let started = self.started.as_mut()?;
        applied.checkpoint.conflicts = started.reached.conflicts + applied.conflicts;
        started.reached = applied.checkpoint.clone();
        Some(applied)
    }
}

impl Shared {
    fn add(&mut self, share: Applied) {
        self.count += 1;
        match &mut self.applied {
            Some(applied) => {
                applied.operations += share.operations;
                applied.conflicts += share.conflicts;
            }
            None => self.applied = Some(share),
        }
    }
}

fn nowhere() -> Error {
    Error::internal("a lane committed what it was not given")
}
