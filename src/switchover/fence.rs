use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::model::Flavor;
use crate::net::{Server, ServerUrl, Session};

/// Tells our own statement from others in the server's list.
const MARK: &str = "/* bluegreen fence */";

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
        let statement = format!("SET GLOBAL {variable} = 1 {MARK}");
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
    ///
    /// Answers what is left for a person: a setting that the server keeps over a restart and that could not be reset.
    pub(super) async fn lift(&self, session: &mut Session) -> Result<Option<String>> {
        self.end_pending(session).await?;
        // MySQL: turning read_only off turns super_read_only off too.
        session.run("SET GLOBAL read_only = 0").await?;
        if self.is_closed(session).await? {
            return Err(Error::new(ErrorKind::State, "the server is still read-only"));
        }
        if !self.can_persist {
            return Ok(None);
        }
        // What `create` or an earlier switchover persisted must not come back with a restart.
        for variable in ["super_read_only", "read_only"] {
            if let Err(error) = session.run(&format!("RESET PERSIST IF EXISTS {variable}")).await {
                return Ok(Some(format!(
                    "{} may be read-only again after a restart: RESET PERSIST {variable} failed: {error}",
                    session.address()
                )));
            }
        }
        Ok(None)
    }

    /// Ends a fence that was given up and still waits on the server: it would close after the lift.
    async fn end_pending(&self, session: &mut Session) -> Result<()> {
        for _ in 0..200 {
            let own = u64::from(session.id());
            let rows = session.rows("SHOW FULL PROCESSLIST").await?;
            let pending: Vec<u64> = rows
                .iter()
                .filter(|row| row.text(7).contains(MARK))
                .filter_map(|row| row.number(0))
                .filter(|id| *id != own)
                .collect();
            if pending.is_empty() {
                return Ok(());
            }
            for id in pending {
                // It may have ended by itself.
                let _ = session.run(&format!("KILL {id}")).await;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Err(Error::new(ErrorKind::Timeout, "a read-only switch that was given up does not end"))
    }

    /// Whether the switch is on.
    pub(super) async fn is_closed(&self, session: &mut Session) -> Result<bool> {
        let variables =
            if self.has_super { "@@global.read_only | @@global.super_read_only" } else { "@@global.read_only" };
        let row = session.first(&format!("SELECT {variables}")).await?;
        Ok(row.and_then(|row| row.number(0)) != Some(0))
    }

    /// Keeps the switch on over restarts. Answers what is left for a person where that cannot be done.
    pub(super) async fn persist(&self, session: &mut Session) -> Option<String> {
        let reason = match self.can_persist {
            true => session.run("SET PERSIST super_read_only = 1").await.err()?.to_string(),
            false => "this server keeps no variables over a restart".into(),
        };
        let address = session.address();
        Some(format!("{address} takes writes again after a restart ({reason}): set read_only in its configuration"))
    }
}

/// A new session for an undo: the one before may hang in what is to be undone.
pub(super) async fn lift(url: &ServerUrl, limit: Duration) -> Result<Option<String>> {
    let deadline = tokio::time::Instant::now() + limit;
    loop {
        let lifted = async {
            let mut session = Session::open(url).await?;
            let server = Server::probe(&mut session).await?;
            Fence::of(&server).lift(&mut session).await
        };
        match lifted.await {
            Ok(left) => return Ok(left),
            Err(error) if tokio::time::Instant::now() >= deadline => return Err(error),
            Err(error) => {
                tracing::warn!(%error, "the server cannot be made writable yet");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}
