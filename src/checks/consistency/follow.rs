//! Waiting until green holds what blue had committed.

use std::time::Duration;

use tokio::time::Instant;

use crate::apply::checkpoint::{self, Stream};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Position;
use crate::net::{Server, Session};

const POLL: Duration = Duration::from_millis(10);

/// How it is known that green holds a position of blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Followed {
    /// Its checkpoint covers the position.
    Covered,
    /// It has no checkpoint: something else keeps it in sync, or nothing.
    NoCheckpoint,
}

/// The same for whoever cannot do without a checkpoint.
///
/// # Errors
/// Those of [`catch_up`], and `State` where there is no checkpoint.
pub(crate) async fn follow(
    blue_server: &Server,
    blue: &mut Session,
    green: &mut Session,
    limit: Duration,
) -> Result<()> {
    match catch_up(blue_server, blue, green, limit).await? {
        Followed::Covered => Ok(()),
        Followed::NoCheckpoint => {
            Err(Error::new(ErrorKind::State, "green has no checkpoint, so no stream to stay in step with")
                .with_advice("build green with `create`"))
        }
    }
}

/// Reads blue's head and waits until green's forward checkpoint covers it.
///
/// # Errors
/// `State`: the checkpoint does not get there within `limit`, or belongs to another server.
pub(super) async fn catch_up(
    blue_server: &Server,
    blue: &mut Session,
    green: &mut Session,
    limit: Duration,
) -> Result<Followed> {
    let started = Instant::now();
    let Some(first) = checkpoint::read(green, Stream::Forward).await? else {
        return Ok(Followed::NoCheckpoint);
    };
    if first.source != blue_server.identity {
        return Err(Error::new(ErrorKind::State, "green follows another server than this blue")
            .with_advice("name the blue that green was created from"));
    }
    let head: Position = blue_server.head(blue).await?;
    let mut now = first.clone();
    loop {
        match now.position.covers(&head) {
            Some(true) => return Ok(Followed::Covered),
            Some(false) => {}
            None => {
                return Err(Error::new(ErrorKind::Position, "green's checkpoint and blue's log cannot be compared"));
            }
        }
        if started.elapsed() >= limit {
            let seconds = limit.as_secs();
            return Err(if now.position == first.position {
                Error::new(ErrorKind::State, "green does not follow blue: replication is not running")
                    .with_advice(format!("start `replicate`; its checkpoint did not move for {seconds} s"))
            } else {
                Error::new(ErrorKind::State, format!("green is more than {seconds} s behind blue"))
                    .with_advice("compare again once it has caught up")
            });
        }
        tokio::time::sleep(POLL).await;
        now = checkpoint::read(green, Stream::Forward)
            .await?
            .ok_or_else(|| Error::new(ErrorKind::State, "green's checkpoint went away"))?;
    }
}
