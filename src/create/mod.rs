//! Builds green from blue: schema and data at one exact position of blue's log, with green read-only and the checkpoint
//! in place, so that replication can start there.
//!
//! The order of actions:
//! 1. Both servers are looked at and every precondition is checked; nothing was written yet.
//! 2. Green becomes read-only and gets the deployment's record, with the status `PROVISIONING`.
//! 3. Blue is locked for a moment (`FLUSH TABLES WITH READ LOCK`): the end of its log is read, and every reading
//!    connection opens a snapshot there.
//! 4. The schemas and tables are made on green and compared with blue's.
//! 5. The rows are copied out of the snapshots, several tables at once.
//! 6. Both checkpoints are begun and the record becomes `AVAILABLE`, in one transaction.
//!
//! # Invariants
//! 1. Nothing is written on blue, ever. Nothing is written on green before all preconditions hold.
//! 2. What green holds in the end is blue at exactly [`Created::position`]: all rows come from snapshots opened under
//!    one lock, and the definitions before and after the lock are the same, else `create` fails.
//! 3. Every value is stored as blue has it, or `create` fails: a warning of green is an error. The exceptions are named
//!    in [`Created::warnings`]: types inside of MySQL's JSON documents, and digits beyond the scale of FLOAT(M,D).
//! 4. What is not carried is refused by name, never left out silently.
//! 5. Green has no `AVAILABLE` record and no checkpoint before it is complete. A failed `create` leaves `PROVISIONING`,
//!    and the next one drops the schemas that this one noted in `bluegreen.created_schema`, and no others.
//! 6. Two `create`s never work on one green at the same time: a named lock on green is held from the beginning to the
//!    end.
//! 7. Green's own replicas get everything too: the load goes through green's binlog like any other change.

mod copy;
mod literal;
mod preconditions;
mod privileges;
mod read_only;
mod schema;
mod snapshot;
mod variables;

use std::time::{Duration, Instant};

use crate::apply::checkpoint::{self, Checkpoint, Stream};
use crate::deployment::{Deployment, Status};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Position, TableName};
use crate::net::{ServerUrl, Session, identifier, text_literal};

/// Bound on one statement's answer: making an index over a large table's worth of rows in one statement is slow.
const STATEMENT_LIMIT: Duration = Duration::from_secs(600);

/// What to build, and from what.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CreateConfig {
    /// The deployment's name.
    pub name: String,
    /// The server that is production now.
    pub blue: ServerUrl,
    /// The empty server that green is built on.
    pub green: ServerUrl,
    tables_at_once: usize,
    lock_limit: Duration,
}

impl CreateConfig {
    /// A deployment called `name`: 1 to 60 letters, digits, `-` and `_`.
    ///
    /// # Errors
    /// `Config` where the name is something else.
    pub fn new(name: impl Into<String>, blue: ServerUrl, green: ServerUrl) -> Result<CreateConfig> {
        let name = name.into();
        let is_fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if name.is_empty() || name.len() > 60 || !name.chars().all(is_fine) {
            return Err(Error::new(ErrorKind::Config, "the deployment's name is not 1 to 60 letters, digits, - and _")
                .with_advice("choose a name such as mydb1"));
        }
        Ok(CreateConfig { name, blue, green, tables_at_once: 4, lock_limit: Duration::from_secs(10) })
    }

    /// How many tables are copied at the same time: 1 to 64, default 4. Each takes a connection on blue and one on
    /// green, and a few MB of memory.
    ///
    /// # Errors
    /// `Config` outside of the bounds.
    pub fn with_tables_at_once(mut self, tables: usize) -> Result<CreateConfig> {
        if !(1..=64).contains(&tables) {
            return Err(Error::new(ErrorKind::Config, format!("{tables} tables at once are not 1 to 64")));
        }
        self.tables_at_once = tables;
        Ok(self)
    }

    /// How long blue's read lock may take to get: 1 to 60 s, default 10 s. While it waits, blue's new writes wait too.
    ///
    /// # Errors
    /// `Config` outside of the bounds.
    pub fn with_lock_limit(mut self, limit: Duration) -> Result<CreateConfig> {
        if !(Duration::from_secs(1)..=Duration::from_secs(60)).contains(&limit) {
            return Err(Error::new(ErrorKind::Config, "the lock's limit is not 1 to 60 s"));
        }
        self.lock_limit = limit;
        Ok(self)
    }
}

/// How far the copy is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Tables to copy.
    pub tables_total: usize,
    /// Tables copied.
    pub tables_done: usize,
    /// Rows to copy, as blue's statistics estimate them: the true number may be far off.
    pub rows_total_estimate: u64,
    /// Rows written to green.
    pub rows_done: u64,
    /// Bytes of values read from blue for them.
    pub bytes_done: u64,
    /// The tables that are being copied.
    pub current: Vec<TableName>,
}

/// What was built.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Created {
    /// The record, now `AVAILABLE`.
    pub deployment: Deployment,
    /// Green is blue at this position of blue's log.
    pub position: Position,
    /// Tables made.
    pub tables: usize,
    /// Rows copied.
    pub rows: u64,
    /// How long it all took.
    pub seconds: f64,
    /// How long blue's writes were held up, in milliseconds: from the request for the lock until its release.
    pub lock_millis: u64,
    /// What an operator should know; none of it makes the copy wrong, except what is said of JSON documents and of
    /// FLOAT(M,D).
    pub warnings: Vec<String>,
}

/// Builds green from blue; see the [module](self) for the order of actions. `progress` is called after each batch of rows, from the caller's task; it should be quick.
///
/// # Errors
/// Before anything is written: `Config` (blue and green are one server), `Version`, `Setting`, `Privilege`, `NotEmpty`,
/// `State` (another `create` is at work), `Unsupported` (objects that are not carried, by name). Later: `Timeout` (blue's
/// lock), `State` (a table was changed meanwhile, or blue has prepared XA transactions), `Limit` (a row that is larger
/// than green's `max_allowed_packet`), `Refused`, `Privilege`, and the errors of a lost connection. After an error the
/// record stays `PROVISIONING` and `create` can be called again: it begins anew.
///
/// # Cancel safety
/// Dropping the future is as good as an error: connections are closed, which releases blue's lock and the snapshots, and
/// the record stays `PROVISIONING`.
pub async fn create(config: &CreateConfig, progress: impl Fn(Progress) + Send + Sync) -> Result<Created> {
    let started = Instant::now();
    let mut blue = Session::open(&config.blue).await?.with_limit(STATEMENT_LIMIT);
    let mut green = Session::open(&config.green).await?.with_limit(STATEMENT_LIMIT);
    variables::for_reading(&mut blue).await?;

    take_green(&mut green).await?;
    let blue_facts = preconditions::look_at_blue(&mut blue).await?;
    let green_facts = preconditions::look_at_green(&mut green).await?;
    let mut warnings = preconditions::check(&blue_facts, &green_facts)?;
    let before = schema::read(&mut blue).await?;
    warnings.extend(before.warnings());

    warnings.extend(read_only::set(&mut green, &green_facts).await?);
    let deployment = Deployment::new(&config.name, config.blue.address(), blue_facts.server.identity.clone());
    install(&mut green, &deployment, &green_facts.made)
        .await
        .map_err(|error| read_only::explain(error, &green_facts))?;
    tracing::info!(name = config.name, "provisioning");

    let mut snapshot =
        snapshot::take(&config.blue, &blue_facts.server, config.tables_at_once, config.lock_limit).await?;
    tracing::info!(position = %snapshot.position, lock_millis = snapshot.lock_millis, "snapshot taken");
    let definitions = schema::read(&mut blue).await?;
    before.must_equal(&definitions)?;

    variables::for_building(&mut green, &blue_facts.server.version, &green_facts.server.version).await?;
    schema::build(&mut green, &definitions).await?;
    schema::compare(&mut green, &definitions).await?;

    let mut pairs = Vec::new();
    for reader in std::mem::take(&mut snapshot.readers) {
        let mut writer = Session::open(&config.green).await?.with_limit(STATEMENT_LIMIT);
        variables::for_writing(&mut writer, green_facts.server.version.flavor).await?;
        pairs.push((reader, writer));
    }
    let rows = copy::copy(pairs, &definitions, green_facts.server.max_allowed_packet, &progress).await?;

    let watch_from = green_facts.server.head(&mut green).await?;
    let forward = Checkpoint::start(blue_facts.server.identity.clone(), snapshot.position.clone());
    let watch = Checkpoint::start(green_facts.server.identity.clone(), watch_from);
    finish(&mut green, &forward, &watch).await?;
    tracing::info!(name = config.name, tables = definitions.tables.len(), rows, "available");
    blue.close().await;
    green.close().await;
    Ok(Created {
        deployment: Deployment { status: Status::Available, ..deployment },
        position: snapshot.position,
        tables: definitions.tables.len(),
        rows,
        seconds: started.elapsed().as_secs_f64(),
        lock_millis: snapshot.lock_millis,
        warnings,
    })
}

/// Invariant 6. The server releases the lock with the connection, whatever ends it.
async fn take_green(green: &mut Session) -> Result<()> {
    let row = green.first("SELECT GET_LOCK('bluegreen.create', 0)").await?;
    if row.and_then(|row| row.number(0)) == Some(1) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::State, "another create is at work on this green")
        .with_advice("wait for it, or stop it first")
        .at(|place| place.server = Some(green.address().to_owned())))
}

/// Makes this library's schema and writes the record; drops what a failed `create` left (invariant 5).
async fn install(green: &mut Session, deployment: &Deployment, made: &[String]) -> Result<()> {
    Deployment::install(green).await?;
    checkpoint::install(green).await?;
    green
        .run(
            "CREATE TABLE IF NOT EXISTS bluegreen.created_schema (
               name VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY
             ) ENGINE = InnoDB",
        )
        .await?;
    deployment.write(green).await?;
    green.run("DELETE FROM bluegreen.checkpoint").await?;
    green.run("SET SESSION foreign_key_checks = 0").await?;
    for schema in made {
        green.run(&format!("DROP DATABASE IF EXISTS {}", identifier(schema))).await?;
        green.run(&format!("DELETE FROM bluegreen.created_schema WHERE name = {}", text_literal(schema))).await?;
    }
    Ok(())
}

/// One transaction, so that an `AVAILABLE` deployment always has both checkpoints; and one that touches a checkpoint, so
/// that the watch, which starts just before it, takes it for ours.
async fn finish(green: &mut Session, forward: &Checkpoint, watch: &Checkpoint) -> Result<()> {
    green.run("BEGIN").await?;
    let began = checkpoint::begin(green, Stream::Forward, forward).await?
        && checkpoint::begin(green, Stream::Watch, watch).await?;
    if !began {
        return Err(Error::new(ErrorKind::State, "another engine began to replicate during create"));
    }
    if !Deployment::change_status(green, Status::Provisioning, Status::Available).await? {
        return Err(Error::new(ErrorKind::State, "the deployment's record was changed during create"));
    }
    green.run("COMMIT").await?;
    Ok(())
}

/// At most five names, and how many more there are.
fn named(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let mut text = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_names_are_cut() {
        let names: Vec<String> = (1..=7).map(|n| format!("t{n}")).collect();
        assert_eq!(named(&names), "t1, t2, t3, t4, t5 and 2 more");
        assert_eq!(named(&names[..2]), "t1, t2");
    }

    #[test]
    fn the_future_can_be_spawned() {
        fn can_be_spawned(_: impl Send) {}
        let url: ServerUrl = "mysql://u@h".parse().unwrap();
        let config = CreateConfig::new("d", url.clone(), url).unwrap();
        can_be_spawned(create(&config, |_| {}));
    }

    #[test]
    fn bounds_hold() {
        let url: ServerUrl = "mysql://u@h".parse().unwrap();
        for name in ["", "a b", "é", &"x".repeat(61)] {
            assert_eq!(CreateConfig::new(name, url.clone(), url.clone()).unwrap_err().kind(), ErrorKind::Config);
        }
        let config = CreateConfig::new("my-db_1", url.clone(), url).unwrap();
        assert!(config.clone().with_tables_at_once(0).is_err());
        assert!(config.clone().with_tables_at_once(65).is_err());
        assert!(config.clone().with_lock_limit(Duration::from_millis(10)).is_err());
        assert!(config.with_tables_at_once(64).is_ok());
    }
}
