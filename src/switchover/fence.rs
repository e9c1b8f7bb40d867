use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::model::Flavor;
use crate::net::{Server, ServerUrl, Session};

/// The server's own read-only switch.
pub(super) struct Fence {
    has_super: bool,
    can_persist: bool,
}

impl Fence {
    pub(super) fn of(server: &Server) -> Fence {
        Fence {
            has_super: server.version.is_at_least(Flavor::MySql, (5, 7, 8)),
            can_persist: server.version.is_at_least(Flavor::MySql, (8, 0, 11)),
        }
    }

    /// Makes the server refuse writes.
    ///
    /// The switch waits for statements and commits that are under way, at most `limit`; new writes wait behind it.
    ///
    /// # Errors
    /// `Timeout` where something under way did not end in time; the switch may have come into force all the same, so
    /// [`Fence::lift`] must follow.
    pub(super) async fn close(&self, session: &mut Session, limit: Duration) -> Result<()> {
        let variable = if self.has_super { "super_read_only" } else { "read_only" };
        session.run(&format!("SET SESSION lock_wait_timeout = {}", limit.as_secs().max(1))).await?;
        let statement = format!("SET GLOBAL {variable} = 1");
        let set = tokio::time::timeout(limit, session.run(&statement)).await;
        let slow = || {
            Error::new(ErrorKind::Timeout, format!("blue could not be made read-only within {} s", limit.as_secs()))
                .with_advice("end the long statements and LOCK TABLES on blue first")
        };
        match set {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) if error.kind() == ErrorKind::Contention => Err(slow()),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(slow()),
        }
    }

    /// Makes the server take writes again, and proves it by reading the switch back. Safe to repeat.
    pub(super) async fn lift(&self, session: &mut Session) -> Result<()> {
        if self.can_persist {
            // What `create` or an earlier switchover persisted must not come back with a restart.
            session.run("RESET PERSIST IF EXISTS super_read_only").await?;
            session.run("RESET PERSIST IF EXISTS read_only").await?;
        }
        // MySQL: turning read_only off turns super_read_only off too.
        session.run("SET GLOBAL read_only = 0").await?;
        match self.is_closed(session).await? {
            false => Ok(()),
            true => Err(Error::new(ErrorKind::State, "the server is still read-only")),
        }
    }

    /// Whether the switch is on.
    pub(super) async fn is_closed(&self, session: &mut Session) -> Result<bool> {
        let row = session.first("SELECT @@global.read_only").await?;
        Ok(row.and_then(|row| row.number(0)) == Some(1))
    }

    /// Keeps the switch on over restarts, where the server can. The old production stays as it was.
    pub(super) async fn persist(&self, session: &mut Session) -> Result<()> {
        if self.can_persist {
            session.run("SET PERSIST super_read_only = 1").await?;
        }
        Ok(())
    }
}

/// A new session for an undo: the one before may hang in what is to be undone.
pub(super) async fn lift(url: &ServerUrl, limit: Duration) -> Result<()> {
    let deadline = tokio::time::Instant::now() + limit;
    loop {
        let lifted = async {
            let mut session = Session::open(url).await?;
            let server = Server::probe(&mut session).await?;
            Fence::of(&server).lift(&mut session).await
        };
        match lifted.await {
            Ok(()) => return Ok(()),
            Err(error) if tokio::time::Instant::now() >= deadline => return Err(error),
            Err(error) => {
                tracing::warn!(%error, "the server cannot be made writable yet");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}
