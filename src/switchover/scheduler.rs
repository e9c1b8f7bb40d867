//! Blue's event scheduler: its events write for their definers, whom `read_only` may let pass.

use std::time::Duration;

use crate::error::Result;
use crate::net::{NOT_SYSTEM, Session};

/// How long events that are running may take to end, in tries of 5 ms: behind that the fence will tell.
const PATIENCE: u32 = 200;

/// Whether the server starts events of its schemas.
pub(super) async fn is_on(blue: &mut Session) -> Result<bool> {
    let sql = format!(
        "SELECT @@global.event_scheduler = 'ON' AND EXISTS (SELECT 1 FROM information_schema.EVENTS \
         WHERE STATUS = 'ENABLED' AND LOWER(EVENT_SCHEMA) {NOT_SYSTEM})"
    );
    Ok(blue.first(&sql).await?.and_then(|row| row.number(0)) == Some(1))
}

/// Lets no event start any more, and those that run end.
pub(super) async fn stop(blue: &mut Session) -> Result<()> {
    blue.run("SET GLOBAL event_scheduler = OFF").await?;
    for _ in 0..PATIENCE {
        // A worker looks like a connection that does not come to an end of connecting.
        let rows = blue.rows("SHOW PROCESSLIST").await?;
        let others = ["system user", "unauthenticated user"];
        let is_worker = |row: &crate::net::Row| row.text(4) == "Connect" && !others.contains(&row.text(1).as_str());
        if !rows.iter().any(is_worker) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// Lets events start again. Answers what is left for a person where that is refused: it stands in the way of nothing else.
pub(super) async fn start(blue: &mut Session) -> Option<String> {
    let error = blue.run("SET GLOBAL event_scheduler = ON").await.err()?;
    tracing::warn!(%error, "the events of blue do not start again");
    Some(left_off(blue.address(), &error.to_string()))
}

/// What a person should know of a scheduler that stays off.
pub(super) fn left_off(blue: &str, reason: &str) -> String {
    format!("{blue} starts no events any more, as event_scheduler is off ({reason})")
}
