//! Statements that wait for all others and have all others wait behind them: global locks and read-only switches.
//!
//! One under way may wait for a row of a transaction whose next statement waits behind such a statement: a knot that no
//! server sees, and that lasts until somebody gives up. So they are asked for in short tries, at moments when nobody waits
//! for a row where there are such, and between the tries the others go on. Each try is longer than the one before: in the
//! end a slow statement is outlasted.

use std::time::Duration;

use super::session::Session;
use crate::error::{ErrorKind, Result};

/// How long the next try may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience(Duration);

impl Patience {
    /// That of the first try. Where nothing is in the way, such a statement takes a few milliseconds.
    pub(crate) const FIRST: Patience = Patience(Duration::from_millis(20));

    /// How long that is; so long is the others' turn behind it, too.
    pub(crate) fn duration(self) -> Duration {
        self.0
    }

    /// That of the next try.
    pub(crate) fn grown(self) -> Patience {
        Patience(self.0 * 3 / 2)
    }
}

impl Session {
    /// Runs such a statement, and gives it up behind `patience`. Answers whether the server said that it was done; one that
    /// was given up may be done all the same.
    ///
    /// # Errors
    /// The server's refusal but for one that time may mend, or `Disconnected`.
    pub(crate) async fn run_within(
        &mut self,
        observer: &mut Session,
        statement: &str,
        patience: Duration,
    ) -> Result<bool> {
        const INTERRUPTED: u16 = 1317;
        let connection = self.id();
        let (answer, is_ended) = {
            let mut run = std::pin::pin!(self.run(statement));
            let mut is_ended = false;
            loop {
                match tokio::time::timeout(patience, &mut run).await {
                    Ok(answer) => break (answer, is_ended),
                    // Again and again: the order may overtake a statement that is late on its way.
                    Err(_) => observer.run(&format!("KILL QUERY {connection}")).await?,
                };
                is_ended = true;
            }
        };
        if is_ended {
            // The order to end may have come behind the statement: then it ends the next one, which is this.
            match self.run("DO 0").await {
                Err(error) if error.code() != Some(INTERRUPTED) => return Err(error),
                _ => {}
            }
        }
        match answer {
            Ok(_) => Ok(true),
            Err(error) if error.code() == Some(INTERRUPTED) || error.kind() == ErrorKind::Contention => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Waits a moment for one in which nobody waits for a row.
    pub(crate) async fn wait_for_row_locks(&mut self) -> Result<()> {
        for _ in 0..20 {
            let waits = self.first("SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'").await?;
            if waits.and_then(|row| row.number(1)).unwrap_or(0) == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }
}
