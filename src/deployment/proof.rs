//! What the last comparison of all rows found, kept on green for whoever asks next.

use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::net::{ServerUrl, Session};

/// The answer of a comparison of all rows of all tables, or of what changed since one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Proof {
    /// No difference was found, and nothing was left out.
    pub equal: bool,
    /// Tables that it speaks of.
    pub tables: u64,
    /// Rows that were compared.
    pub rows: u64,
    /// Rows that differed.
    pub differences: u64,
    /// How long ago it began: what was committed before is part of it.
    pub age: Duration,
}

/// The table's definition, made with the deployment's record.
pub(super) const TABLE: &str = "CREATE TABLE IF NOT EXISTS bluegreen.verification (
   id TINYINT NOT NULL PRIMARY KEY,
   is_equal BOOLEAN NOT NULL,
   tables_compared BIGINT UNSIGNED NOT NULL,
   rows_compared BIGINT UNSIGNED NOT NULL,
   differences BIGINT UNSIGNED NOT NULL,
   as_of DATETIME(6) NOT NULL
 ) ENGINE = InnoDB";

impl Proof {
    /// A comparison that began `age` ago.
    pub fn new(equal: bool, tables: u64, rows: u64, differences: u64, age: Duration) -> Proof {
        Proof { equal, tables, rows, differences, age }
    }

    /// Keeps it on green, in the place of the one before: a guardrail of the switchover asks for it.
    ///
    /// # Errors
    /// `State` where green was not built by `create`.
    pub async fn keep(&self, green: &ServerUrl) -> Result<()> {
        let mut session = Session::open(green).await?;
        let statement = format!(
            "REPLACE INTO bluegreen.verification SET id = 1, is_equal = {}, tables_compared = {}, rows_compared = {}, \
             differences = {}, as_of = UTC_TIMESTAMP(6) - INTERVAL {} MICROSECOND",
            self.equal,
            self.tables,
            self.rows,
            self.differences,
            self.age.as_micros()
        );
        session.run(&statement).await.map_err(|error| match error.code() {
            Some(1049 | 1146) => Error::new(ErrorKind::State, "green has no record of a deployment")
                .with_advice("build green with `create`"),
            _ => error,
        })?;
        session.close().await;
        Ok(())
    }

    /// The one that is kept.
    pub(crate) async fn read(green: &mut Session) -> Result<Option<Proof>> {
        let sql = "SELECT is_equal, tables_compared, rows_compared, differences, \
                   GREATEST(0, TIMESTAMPDIFF(MICROSECOND, as_of, UTC_TIMESTAMP(6))) FROM bluegreen.verification";
        let row = match green.first(sql).await {
            // Green was not built by `create`.
            Err(error) if matches!(error.code(), Some(1049 | 1146)) => None,
            row => row?,
        };
        let Some(row) = row else { return Ok(None) };
        let number = |index| row.number(index).ok_or_else(|| Error::internal("a kept comparison that cannot be read"));
        let age = Duration::from_micros(number(4)?);
        Ok(Some(Proof::new(number(0)? == 1, number(1)?, number(2)?, number(3)?, age)))
    }

    /// There is none for a deployment that begins.
    pub(super) async fn forget(green: &mut Session) -> Result<()> {
        match green.run("DELETE FROM bluegreen.verification").await {
            // An earlier version made the schema.
            Err(error) if error.code() == Some(1146) => Ok(()),
            done => done.map(drop),
        }
    }
}
