//! Reading green's log as it grows.

use std::time::{Duration, Instant};

use metrics::{Unit, counter, describe_counter};
use tokio::sync::watch;
use tracing::Instrument;

use super::recording::{Found, Recording};
use crate::error::{ErrorKind, Recovery, Result};
use crate::net::ServerUrl;
use crate::running::Running;

/// How long the place in green's log may stay behind where nothing was found: each move is a commit on green.
const MOVE: Duration = Duration::from_secs(20);
/// The longest pause between two tries.
const PAUSE: Duration = Duration::from_secs(5);

const FOREIGN_WRITES: &str = "bluegreen_foreign_writes_total";
const MEETINGS: &str = "bluegreen_foreign_writes_met_total";

/// Tells the installed recorder of metrics what the watch's are.
pub fn describe_metrics() {
    describe_counter!(FOREIGN_WRITES, Unit::Count, "Rows and statements that somebody else wrote on green");
    describe_counter!(MEETINGS, Unit::Count, "Changes of blue that met such a write");
    // What has not happened yet is zero, not missing.
    counter!(FOREIGN_WRITES).increment(0);
    counter!(MEETINGS).increment(0);
}

/// A running watch over green's log: foreign writes are journalled as they come, commit by commit.
///
/// Dropping it ends the watch without waiting: what was found is either committed or found again.
#[derive(Debug)]
pub struct Watch {
    progress: watch::Receiver<WatchProgress>,
    running: Running,
}

/// How a watch is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WatchProgress {
    /// Foreign writes that this watch has journalled.
    pub found: u64,
    /// Of all, how many met a change of blue while this watch looked.
    pub met: u64,
    /// When everything that green had committed by then was last known to be read.
    pub level_at: Option<Instant>,
    /// What interrupted the watch, until it goes on.
    pub interrupted: Option<String>,
}

impl Watch {
    /// Starts the watch where the journal ends.
    ///
    /// # Errors
    /// `State` where green was not built by `create`, `Setting` where green keeps no log, `Purged` where it is gone.
    pub async fn start(green: ServerUrl) -> Result<Watch> {
        let (progress_sender, progress) = watch::channel(WatchProgress::default());
        let first = Box::pin(Recording::open(&green)).await?;
        let span = tracing::info_span!("watch", green = green.address());
        let running = Running::start(|stop| drive(green, first, progress_sender, stop).instrument(span));
        Ok(Watch { progress, running })
    }

    /// How it is doing, now and as it changes.
    pub fn progress(&self) -> watch::Receiver<WatchProgress> {
        self.progress.clone()
    }

    /// Waits for the error that ends the watch: one that does not pass by itself.
    ///
    /// # Errors
    /// That error.
    pub async fn finished(&mut self) -> Result<()> {
        self.running.finished().await
    }

    /// Stops it at a commit.
    ///
    /// # Errors
    /// The error that ended the watch before.
    pub async fn stop(self) -> Result<()> {
        self.running.stop().await
    }
}

/// Keeps the watch running over errors that may pass.
async fn drive(
    url: ServerUrl,
    first: Recording,
    progress: watch::Sender<WatchProgress>,
    mut stop: watch::Receiver<bool>,
) -> Result<()> {
    let mut recording = Ok(first);
    let mut pause = Duration::from_millis(100);
    loop {
        let result = match recording {
            Ok(recording) => {
                pause = Duration::from_millis(100);
                progress.send_modify(|progress| progress.interrupted = None);
                Box::pin(run(recording, &progress, &mut stop)).await
            }
            Err(error) => Err(error),
        };
        let Err(error) = result else { return Ok(()) };
        // A scan of another verb takes the log over for as long as it lasts.
        if error.recovery() != Recovery::Retry && error.kind() != ErrorKind::TakenOver {
            return Err(error);
        }
        tracing::warn!(%error, "the watch over green's log is interrupted, and tried again");
        progress.send_modify(|progress| progress.interrupted = Some(error.to_string()));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        }
        pause = (pause * 2).min(PAUSE);
        recording = Box::pin(Recording::open(&url)).await;
    }
}

async fn run(
    mut recording: Recording,
    progress: &watch::Sender<WatchProgress>,
    stop: &mut watch::Receiver<bool>,
) -> Result<()> {
    let mut moved_at = Instant::now();
    loop {
        let frames = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            frames = recording.log.next() => frames?,
        };
        let mut found = Found::default();
        for frame in frames {
            found.add(recording.take(frame).await?);
        }
        found.add(recording.keep().await?);
        let is_level = recording.log.is_level();
        let is_due = found != Found::default() || recording.journal.has_kept() || moved_at.elapsed() >= MOVE;
        if recording.reading.is_settled() && is_due {
            recording.commit().await?;
            moved_at = Instant::now();
        }
        counter!(FOREIGN_WRITES).increment(found.writes);
        counter!(MEETINGS).increment(found.meetings);
        progress.send_if_modified(|progress| {
            progress.found += found.writes;
            progress.met += found.meetings;
            if is_level {
                progress.level_at = Some(Instant::now());
            }
            found != Found::default() || is_level
        });
    }
    if recording.reading.is_settled() {
        recording.commit().await?;
    }
    recording.close().await;
    Ok(())
}
