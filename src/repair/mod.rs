//! Rows of green that differ are made what they are on blue, while both work.
//!
//! A row is copied at one exact position of blue's log, so that the stream, which goes on from there, meets the row as
//! blue had it: no change is lost, none is applied twice, none counts as a conflict. For some rows of a table:
//!
//! 1. Read blue's rows.
//! 2. Wait until green's checkpoint covers the end that blue's log has then.
//! 3. Lock the checkpoint's row: the stream stands still at its position.
//! 4. Wait until blue's readers see all that is before that position, and read blue's rows again. Those that are as
//!    before are blue's rows at the position, which lies between the two readings. The others are left for another try.
//! 5. On green delete these rows, insert what blue has, and commit; the stream goes on.
//!
//! # Invariants
//! 1. A repair proves nothing: what it did is [`Repair`], whether the rows are equal says the next
//!    [`Verifier::again`].
//! 2. It is one transaction with a write to the checkpoint's row: in green's log it is the engine's own.
//! 3. Nothing is written on blue, and no lock is taken there.
//! 4. A row that cannot be copied exactly is refused, with the reason.
//!
//! A row that changes between the two readings and changes back is taken for one that stood still. Green is then ahead of
//! the stream with it, which the stream may count as a conflict; it has blue's value all the same once the stream is past
//! the second reading.

mod table;

use std::time::Duration;

use self::table::Table;
use crate::checks::{OpenRows, Verifier};
use crate::create::variables::{LENIENT, STRICT};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Flavor, TableName};
use crate::net::{Server, Session, text_literal};

/// Rows that are copied in one transaction: few enough that the stream waits for a moment only.
const BATCH: usize = 500;
/// How often a row is tried that changes meanwhile, and a lock that is not to be had.
const TRIES: u32 = 8;
/// A key of green excludes a row of blue.
const DUPLICATE: u16 = 1062;

/// What a repair did. Whether green is equal now, only another comparison says.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Repair {
    /// Rows that were copied from blue, or deleted where blue has none.
    pub rows: u64,
    /// Rows that changed whenever they were to be copied.
    pub left: u64,
    /// Tables of which nothing was copied.
    pub refused: Vec<Refused>,
}

/// A table that cannot be repaired row by row.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Refused {
    /// Schema and table.
    #[serde(flatten)]
    pub table: TableName,
    /// Why, and what to do instead.
    pub reason: String,
}

/// Copies the rows that the verifier's last pass found not to be equal from blue to green.
///
/// The stream waits for a moment with every 500 rows. Call [`Verifier::again`] behind it: that compares these rows anew.
///
/// # Errors
/// `State` where green has no checkpoint, or replication is not running while blue changes; `ReadOnly`, `Privilege`, and
/// what connecting and writing can fail with. What was copied before an error stays, and is right.
///
/// # Cancel safety
/// Dropping the future leaves whole transactions behind, or nothing of one.
pub async fn repair(verifier: &Verifier) -> Result<Repair> {
    let config = verifier.config();
    let mut done = Repair::default();
    let open = verifier.open_rows().await?;
    if open.is_empty() {
        return Ok(done);
    }
    let mut copy = Copy::open(verifier).await?;
    for rows in open {
        let name = rows.green.name.clone();
        let at_table = |error: Error| error.at(|place| place.table = Some(name.to_string()));
        match copy.table(rows).await.map_err(at_table)? {
            Ok((table, keys)) => copy.rows(&table, &keys, config.settle_limit, &mut done).await.map_err(at_table)?,
            Err(reason) => done.refused.push(Refused { table: name, reason: reason.into() }),
        }
    }
    copy.blue.close().await;
    copy.green.close().await;
    Ok(done)
}

/// The predicates that find a row on blue and on green.
type Key = (String, String);

/// A session on each server.
struct Copy {
    blue_server: Server,
    blue: Session,
    green: Session,
}

impl Copy {
    async fn open(verifier: &Verifier) -> Result<Copy> {
        let config = verifier.config();
        let mut blue = Session::open(&config.blue).await?;
        let blue_server = Server::probe(&mut blue).await?;
        // Text comes in the columns' own character sets.
        blue.run(&format!("SET SESSION character_set_results = NULL, sql_mode = '{LENIENT}'")).await?;
        let mut green = Session::open(&config.green).await?;
        // A row is replaced, not deleted: the rows that refer to it stay.
        green
            .run(&format!(
                "SET SESSION sql_mode = '{STRICT}', foreign_key_checks = 0, unique_checks = 1, \
                 innodb_lock_wait_timeout = 10"
            ))
            .await?;
        green.run("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED").await?;
        if Server::probe(&mut green).await?.version.flavor == Flavor::MariaDb {
            // Rows may be older than a CHECK.
            green.run("SET SESSION check_constraint_checks = 0").await?;
        }
        Ok(Copy { blue_server, blue, green })
    }

    /// How the table's rows are copied; else why not.
    async fn table(&mut self, rows: OpenRows) -> Result<std::result::Result<(Table, Vec<Key>), &'static str>> {
        let name = rows.green.name.clone();
        let triggers = format!(
            "SELECT 1 FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = {} AND EVENT_OBJECT_TABLE = {}",
            text_literal(&name.schema),
            text_literal(&name.table)
        );
        if self.green.first(&triggers).await?.is_some() {
            return Ok(Err("green has triggers on it, which would fire: drop them first"));
        }
        let Some(keys) = rows.keys else {
            return Ok(Err("no key tells its rows, or too many differ: build green anew with `create`"));
        };
        if rows.columns.iter().any(|(_, keeps_bytes)| !keeps_bytes) {
            return Ok(Err("a column is of another type or character set on green: build green anew with `create`"));
        }
        Ok(Ok((Table::new(rows.blue, rows.green)?, keys)))
    }

    async fn rows(&mut self, table: &Table, keys: &[Key], limit: Duration, done: &mut Repair) -> Result<()> {
        for batch in keys.chunks(BATCH) {
            match self.batch(table, batch, limit, done).await {
                // The row that is in the way is of another batch.
                Err(error) if error.code() == Some(DUPLICATE) && batch.len() < keys.len() => {
                    return self.batch(table, keys, limit, done).await;
                }
                other => other?,
            }
        }
        Ok(())
    }

    async fn batch(&mut self, table: &Table, keys: &[Key], limit: Duration, done: &mut Repair) -> Result<()> {
        let mut open: Vec<&Key> = keys.iter().collect();
        for _ in 0..TRIES {
            match self.copy(table, &open, limit).await {
                Ok(left) => {
                    done.rows += (open.len() - left.len()) as u64;
                    open = left;
                }
                Err(error) if error.kind() == ErrorKind::Contention => self.green.run("ROLLBACK").await.map(drop)?,
                Err(error) => {
                    // Where the connection is gone, so is the transaction.
                    let _ = self.green.run("ROLLBACK").await;
                    return Err(error);
                }
            }
            if open.is_empty() {
                return Ok(());
            }
        }
        done.left += open.len() as u64;
        Ok(())
    }

    /// The steps of the module's introduction. Answers the keys of the rows that changed meanwhile.
    async fn copy<'k>(&mut self, table: &Table, keys: &[&'k Key], limit: Duration) -> Result<Vec<&'k Key>> {
        let before = table.read(&mut self.blue, keys).await?;
        crate::checks::follow(&self.blue_server, &mut self.blue, &mut self.green, limit).await?;
        self.green.run("BEGIN").await?;
        let position = crate::apply::checkpoint::halt(&mut self.green).await?;
        crate::checks::wait_until_visible(&self.blue_server, &mut self.blue, &position).await?;
        let after = table.read(&mut self.blue, keys).await?;
        let (mut still, mut left) = (Vec::new(), Vec::new());
        for ((key, before), after) in keys.iter().zip(before).zip(after) {
            if before == after { still.push((*key, after)) } else { left.push(*key) }
        }
        table.write(&mut self.green, &still).await?;
        self.green.run("COMMIT").await?;
        Ok(left)
    }
}
