use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{Flavor, Position};
use crate::net::{Patience, Server, ServerUrl, Session};

/// The lock on a server whose holder alone changes its switches.
const CLAIM: &str = "bluegreen.switches";

/// A session that alone changes the server's switches. Whoever else had claimed that is disconnected: what that session
/// still waited for does not come any more.
///
/// # Errors
/// Where the server cannot be reached; `Timeout` where the session before does not end.
pub(super) async fn claim(url: &ServerUrl) -> Result<Session> {
    const PAUSE: Duration = Duration::from_millis(10);
    let mut session = Session::open(url).await?;
    let mut refusal = None;
    for _ in 0..500 {
        let sql = format!("SELECT GET_LOCK('{CLAIM}', 0), IS_USED_LOCK('{CLAIM}')");
        let row = session.first(&sql).await?.ok_or_else(|| Error::internal("a SELECT without a row"))?;
        match (row.number(0), row.number(1)) {
            (Some(1), _) => return Ok(session),
            (_, Some(holder)) => refusal = session.end_connection(holder).await.err().or(refusal),
            _ => {}
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(refusal
        .unwrap_or_else(|| Error::new(ErrorKind::Timeout, "another controller's session does not end"))
        .with_advice("end it, or use an account that may (CONNECTION_ADMIN, CONNECTION ADMIN, SUPER)")
        .at(|place| place.server = Some(url.address())))
}

/// The server's own read-only switch.
pub(super) struct Fence {
    has_super: bool,
    can_persist: bool,
}

/// What the server's switches say.
struct State {
    /// Accounts without privileges are refused.
    refuses_some: bool,
    /// So are the others, where the server has a switch for it.
    refuses_all: bool,
}

impl Fence {
    pub(super) fn of(server: &Server) -> Fence {
        Fence {
            has_super: server.version.is_at_least(Flavor::MySql, (5, 7, 8)),
            can_persist: server.version.is_at_least(Flavor::MySql, (8, 0, 11)),
        }
    }

    /// Makes the server refuse writes. Answers since when it may have refused them.
    ///
    /// The switch waits for the statements and commits under way, and new ones wait behind it: see `net::knot`.
    ///
    /// # Errors
    /// `Timeout` where it did not come into force within `limit`. Behind any error it may be in force all the same, so
    /// [`Fence::lift`] must follow.
    pub(super) async fn close(&self, url: &ServerUrl, session: &mut Session, limit: Duration) -> Result<Instant> {
        let mut observer = Session::open(url).await?;
        session.run(&format!("SET SESSION lock_wait_timeout = {}", limit.as_secs().max(1))).await?;
        let statement = format!("SET GLOBAL {} = 1", self.variable());
        let end = Instant::now() + limit;
        let (mut refuses_since, mut patience) = (None, Patience::FIRST);
        loop {
            observer.wait_for_row_locks().await?;
            let asked = Instant::now();
            let try_limit = patience.duration().min(end.saturating_duration_since(asked));
            // Whether it came into force, the server's state tells.
            session.run_within(&mut observer, &statement, try_limit).await?;
            let state = self.state(&mut observer).await?;
            if state.refuses_some {
                refuses_since.get_or_insert(asked);
            }
            if state.refuses_all {
                observer.close().await;
                return Ok(refuses_since.unwrap_or(asked));
            }
            if Instant::now() + patience.duration() >= end {
                return Err(Error::new(
                    ErrorKind::Timeout,
                    format!("blue could not be made read-only within {} s", limit.as_secs()),
                )
                .with_advice("end the long statements and LOCK TABLES on blue first"));
            }
            if !state.refuses_some {
                // The writers' turn.
                tokio::time::sleep(patience.duration()).await;
            }
            patience = patience.grown();
        }
    }

    /// Makes the server take writes again, and proves it by reading the switch back. Safe to repeat. [`Fence::forget`]
    /// belongs to it: before it, a restart in between opens the server, behind it, a restart closes it again.
    pub(super) async fn lift(&self, session: &mut Session) -> Result<()> {
        // MySQL: turning read_only off turns super_read_only off too.
        session.run("SET GLOBAL read_only = 0").await?;
        match self.state(session).await?.refuses_some {
            true => Err(Error::new(ErrorKind::State, "the server is still read-only")),
            false => Ok(()),
        }
    }

    /// Takes care that what `create` or an earlier switchover persisted does not come back with a restart. Answers what is
    /// left for a person: a setting that could not be reset.
    pub(super) async fn forget(&self, session: &mut Session) -> Option<String> {
        if !self.can_persist {
            return None;
        }
        for variable in ["super_read_only", "read_only"] {
            if let Err(error) = session.run(&format!("RESET PERSIST IF EXISTS {variable}")).await {
                return Some(format!(
                    "{} may be read-only again after a restart: RESET PERSIST {variable} failed: {error}",
                    session.address()
                ));
            }
        }
        None
    }

    /// Whether everybody is refused whom this server's switch can refuse.
    pub(super) async fn is_closed(&self, session: &mut Session) -> Result<bool> {
        Ok(self.state(session).await?.refuses_all)
    }

    /// Whether anybody may write.
    pub(super) async fn is_open(&self, session: &mut Session) -> Result<bool> {
        Ok(!self.state(session).await?.refuses_some)
    }

    fn variable(&self) -> &'static str {
        if self.has_super { "super_read_only" } else { "read_only" }
    }

    async fn state(&self, session: &mut Session) -> Result<State> {
        let sql = format!("SELECT @@global.read_only <> 0, @@global.{} <> 0", self.variable());
        let row = session.first(&sql).await?.ok_or_else(|| Error::internal("a SELECT without a row"))?;
        Ok(State { refuses_some: row.number(0) != Some(0), refuses_all: row.number(1) != Some(0) })
    }

    /// Lets those write whom `read_only` lets: the engine among them.
    pub(super) async fn let_privileged_in(&self, session: &mut Session) -> Result<()> {
        if self.has_super {
            session.run("SET GLOBAL super_read_only = 0").await?;
        }
        Ok(())
    }

    /// Keeps `read_only` on over restarts, for a server that the engine writes to. Answers what is left for a person where
    /// that cannot be done.
    pub(super) async fn persist_for_followers(&self, session: &mut Session) -> Option<String> {
        let reason = match self.can_persist {
            true => {
                let persist = async {
                    session.run("SET PERSIST read_only = 1").await?;
                    session.run("RESET PERSIST IF EXISTS super_read_only").await
                };
                persist.await.err()?.to_string()
            }
            false => "this server keeps no variables over a restart".into(),
        };
        Some(takes_writes_again(session, &reason))
    }

    /// Keeps the switch on over a restart while the switchover is under way, where the server can do that.
    pub(super) async fn keep_closed(&self, session: &mut Session) {
        if self.can_persist
            && let Some(left) = self.persist(session).await
        {
            tracing::warn!(left, "blue's fence does not outlast a restart");
        }
    }

    /// Keeps the switch on over restarts. Answers what is left for a person where that cannot be done.
    pub(super) async fn persist(&self, session: &mut Session) -> Option<String> {
        let reason = match self.can_persist {
            true => session.run("SET PERSIST super_read_only = 1").await.err()?.to_string(),
            false => "this server keeps no variables over a restart".into(),
        };
        Some(takes_writes_again(session, &reason))
    }
}

fn takes_writes_again(session: &Session, reason: &str) -> String {
    let address = session.address();
    format!("{address} takes writes again after a restart ({reason}): set read_only in its configuration")
}

/// Blue's head, seen twice without a change.
pub(super) async fn frozen_head(blue: &Server, session: &mut Session, fence: &Fence) -> Result<Position> {
    let mut last = blue.head(session).await?;
    for _ in 0..20 {
        let head = blue.head(session).await?;
        if head == last && fence.is_closed(session).await? {
            return Ok(head);
        }
        last = head;
    }
    Err(behind_the_fence())
}

pub(super) fn behind_the_fence() -> Error {
    Error::new(ErrorKind::State, "blue took a write behind its fence")
        .with_advice("an account on blue passes read_only (SUPER, READ_ONLY ADMIN): stop its writes first")
}
