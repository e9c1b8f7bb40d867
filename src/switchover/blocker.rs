//! Ends what holds a switchover up, before it begins.

use std::time::Duration;

use tokio::time::Instant;

use super::config::SwitchoverConfig;
use super::guardrail;
use crate::checks::{self, Check};
use crate::error::{Error, ErrorKind, Result};
use crate::net::{Server, Session};

/// Between two looks. InnoDB shows again what it showed last to whoever looks within 0.1 s of the last look (its
/// `CACHE_MIN_IDLE_TIME`): who looks more often never sees a transaction end.
const LOOK: Duration = Duration::from_millis(250);
/// What a transaction may take to be rolled back, beside the limit of the whole.
const LIMIT: Duration = Duration::from_secs(60);

/// Ends the connections on blue that alone stand behind the vetoes of `guardrails`, and waits until they are gone. Answers
/// which there were.
///
/// # Errors
/// `Timeout` where one does not end in time; what blue refuses.
pub(crate) async fn end_blockers(config: &SwitchoverConfig, guardrails: &[Check]) -> Result<Vec<u64>> {
    let mut session = Session::open(&config.blue).await?;
    let blue = Server::probe(&mut session).await?;
    let Some(blockers) = guardrail::connections_in_the_way(guardrails, &blue, &mut session).await? else {
        return Ok(Vec::new());
    };
    for id in &blockers {
        session.end_connection(*id).await.map_err(|error| {
            error.with_advice("grant the account CONNECTION_ADMIN (CONNECTION ADMIN, SUPER), or end them")
        })?;
        tracing::warn!(connection = id, "ended on blue: it held the switchover up");
    }
    let deadline = Instant::now() + config.timeout.min(LIMIT);
    while !checks::are_gone(&blockers, &mut session).await? {
        if Instant::now() >= deadline {
            let message = "a connection on blue that was ended still rolls its transaction back";
            return Err(Error::new(ErrorKind::Timeout, message).with_advice("wait until it is gone, and call again"));
        }
        tokio::time::sleep(LOOK).await;
    }
    session.close().await;
    Ok(blockers)
}
