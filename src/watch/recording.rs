//! Reading green's log and keeping what is found, for whoever drives it: over time, or up to the end now.

use super::journal::{self, Journal};
use super::log::Log;
use super::reading::Reading;
use super::{ForeignWrites, check_start, followed, meeting, not_watched, refresh};
use crate::error::Result;
use crate::model::Frame;
use crate::net::{Server, ServerUrl, Session};

/// Writes that are held in memory, and about how many bytes of images: more are handed to green before the commit.
const HELD: usize = 2_000;

/// A place in green's log and the journal behind it. Whoever opens one takes the watch over from all others.
pub(crate) struct Recording {
    green: Server,
    pub(super) journal: Journal,
    pub(super) reading: Reading,
    pub(super) log: Log,
}

/// How much was found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) writes: u64,
    pub(super) meetings: u64,
}

impl Found {
    pub(super) fn add(&mut self, other: Found) {
        self.writes += other.writes;
        self.meetings += other.meetings;
    }
}

impl Recording {
    /// Goes on where the journal ends.
    ///
    /// # Errors
    /// `State` where green was not built by `create`, `Setting` where green keeps no log, `Purged` where it is gone.
    pub(crate) async fn open(url: &ServerUrl) -> Result<Recording> {
        let mut session = Session::open(url).await?;
        let green = Server::probe(&mut session).await?;
        let mut journal = Journal::claim(session, green.version.flavor).await?.ok_or_else(|| not_watched(url))?;
        let start = journal.checkpoint().clone();
        check_start(journal.session(), &green, &start, url).await?;
        let (open, next_id): (meeting::Open, u64) = journal::open(journal.session()).await?;
        let followed = followed(journal.session(), &green).await?;
        let mut reading = Reading::new(green.version, followed, start.position, open, next_id);
        refresh(&mut reading, journal.session()).await?;
        let log = Log::open(url, &green, &reading.position).await?;
        Ok(Recording { green, journal, reading, log })
    }

    /// Takes a frame; what it adds stays in memory as long as it is little.
    pub(super) async fn take(&mut self, frame: Frame) -> Result<Found> {
        let mut found = Found::default();
        for assembled in self.log.assemble(frame)? {
            refresh(&mut self.reading, self.journal.session()).await?;
            self.reading.take(&assembled)?;
            if self.reading.writes.len() >= HELD {
                found.add(self.keep().await?);
            }
        }
        Ok(found)
    }

    /// Hands what was found to green, to be committed with the position.
    pub(super) async fn keep(&mut self) -> Result<Found> {
        if !self.reading.may_keep() {
            return Ok(Found::default());
        }
        let (mut writes, meetings) = self.reading.drain();
        self.journal.keep(&mut writes, &meetings).await?;
        Ok(Found { writes: writes.len() as u64, meetings: meetings.len() as u64 })
    }

    /// Commits what was kept, and that the log was read so far.
    pub(super) async fn commit(&mut self) -> Result<()> {
        self.journal.commit(self.reading.position.clone()).await
    }

    pub(super) async fn close(self) {
        self.journal.close().await;
    }

    /// Reads up to the end of the log as it is now. Answers what the journal holds then, and itself where it can go on
    /// from there.
    ///
    /// # Errors
    /// A lost connection, or `TakenOver`.
    pub(crate) async fn read_to_end(mut self) -> Result<(ForeignWrites, Option<Recording>)> {
        let head = self.green.head(self.journal.session()).await?;
        while let Some(frames) = self.log.until(&self.reading.position, &head).await? {
            for frame in frames {
                self.take(frame).await?;
            }
        }
        let can_go_on = self.reading.is_settled();
        let end = self.reading.settle();
        self.keep().await?;
        self.journal.commit(end).await?;
        let found = journal::count(self.journal.session()).await?;
        Ok((found, can_go_on.then_some(self)))
    }
}
