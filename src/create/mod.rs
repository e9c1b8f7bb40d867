//! Builds green from blue: schema and data at one exact position of blue's log, with green read-only and the checkpoint
//! in place, so that replication can start there.
//!
//! The order of actions:
//! 1. Both servers are looked at and every precondition is checked; nothing was written yet.
//! 2. Green becomes read-only and gets the deployment's record, with the status `PROVISIONING`.
//! 3. Blue is locked for a moment (`FLUSH TABLES WITH READ LOCK`): the end of its log is read, and every reading
//!    connection opens a snapshot there.
//! 4. The schemas, sequences and tables are made on green and compared with blue's; then accounts, views, routines, events (at rest)
//!    and privileges.
//! 5. The rows are copied out of the snapshots in chunks, several at once, and noted on green: a later `create` can go on from there.
//! 6. Both checkpoints are begun and the record becomes `AVAILABLE`, in one transaction.
//!
//! # Invariants
//! 1. Nothing is written on blue, ever. Nothing is written on green before all preconditions hold.
//! 2. What green holds in the end is blue at exactly [`Created::position`]: all rows come from snapshots opened under
//!    one lock, the definitions before and after the lock are the same, and blue's log from there to the end of the copy has
//!    no statement that puts another table under a name, which a snapshot would read; else `create` fails.
//! 3. Every value is stored as blue has it, or `create` fails: a warning of green is an error. The exceptions are named
//!    in [`Created::warnings`]: types inside of MySQL's JSON documents, and digits beyond the scale of FLOAT(M,D).
//! 4. What is not carried is refused by name, never left out silently.
//! 5. Green has no `AVAILABLE` record and no checkpoint before it is complete. A failed `create` leaves `PROVISIONING`,
//!    and the next one resumes it, or drops the schemas that this one noted in `bluegreen.created_schema`, and no others.
//! 6. Two `create`s never work on one green at the same time: a named lock on green is held from the beginning to the
//!    end.
//! 7. Green's own replicas get everything too: the load goes through green's binlog like any other change.

mod accounts;
mod copy;
mod intended;
mod keys;
pub(crate) mod literal;
mod preconditions;
mod read_only;
mod resume;
mod schema;
mod snapshot;
pub(crate) mod variables;
mod writer;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tracing::Instrument;

use self::preconditions::{BlueFacts, GreenFacts};
use crate::apply::checkpoint::{self, Checkpoint, Stream};
use crate::checks::{self, Check, Verdict, Walk};
use crate::deployment::{Deployment, Status};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Position, ServerVersion, Table, TableName};
use crate::net::{Server, ServerUrl, Session, identifier, text_literal};
use crate::objects;

/// Bound on one statement's answer: making an index over a large table's worth of rows in one statement is slow.
const STATEMENT_LIMIT: Duration = Duration::from_secs(600);

/// Changed rows that a resumed copy looks up one by one; beyond that, tables are copied anew as a whole. Each takes about
/// 150 bytes of memory.
const CHANGED_ROWS: u64 = 500_000;

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
    variables: BTreeMap<String, String>,
    chunk_rows: u64,
    is_resumed: bool,
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
        Ok(CreateConfig {
            name,
            blue,
            green,
            tables_at_once: 4,
            lock_limit: Duration::from_secs(10),
            variables: BTreeMap::new(),
            chunk_rows: 50_000,
            is_resumed: false,
        })
    }

    /// How many tables, or parts of one, are copied at the same time: 1 to 64, default 4. Each takes a connection on blue
    /// and one on green, and about 20 MB of memory.
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

    /// Variables that green is to have a value of its own for, by name in small letters: set for good where green can keep
    /// them (MySQL 8.0 and newer), and no difference to be told of. Default: none.
    ///
    /// # Errors
    /// `Config` for what names no variable, and for variables that a deployment needs as they are.
    pub fn with_green_variables(mut self, variables: BTreeMap<String, String>) -> Result<CreateConfig> {
        intended::must_be_free(&variables)?;
        self.variables = variables;
        Ok(self)
    }

    /// The most rows of a chunk: 1 to 10,000,000, default 50,000; fewer where rows are long or blue takes too long. More:
    /// fewer statements and commits, and more to do again after a crash.
    ///
    /// # Errors
    /// `Config` outside of the bounds.
    pub fn with_chunk_rows(mut self, rows: u64) -> Result<CreateConfig> {
        if !(1..=10_000_000).contains(&rows) {
            return Err(Error::new(ErrorKind::Config, format!("{rows} rows of a chunk are not 1 to 10,000,000")));
        }
        self.chunk_rows = rows;
        Ok(self)
    }

    /// Whether to go on with what an earlier `create` left on green, default no: whatever it left is dropped first. Where
    /// there is nothing to go on with, it begins anew.
    ///
    /// Rows that blue has changed since are read again, which takes blue's log from the earlier `create`'s snapshot on.
    #[must_use]
    pub fn with_resume(mut self, is_resumed: bool) -> Self {
        self.is_resumed = is_resumed;
        self
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
    /// Rows on green, those that an earlier `create` wrote among them.
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
    /// Rows copied; where it was resumed, by this call.
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
/// record stays `PROVISIONING` and `create` can be called again: it begins anew, or goes on from where this one came to
/// ([`CreateConfig::with_resume`]).
///
/// # Cancel safety
/// Dropping the future is as good as an error: connections are closed, which releases blue's lock and the snapshots, and
/// the record stays `PROVISIONING`.
pub async fn create(config: &CreateConfig, progress: impl Fn(Progress) + Send + Sync) -> Result<Created> {
    let (blue, green) = (config.blue.address(), config.green.address());
    let span = tracing::info_span!("create", deployment = config.name, blue, green);
    Box::pin(provision(config, progress)).instrument(span).await
}

async fn provision(config: &CreateConfig, progress: impl Fn(Progress) + Send + Sync) -> Result<Created> {
    let started = Instant::now();
    let mut blue = Session::open(&config.blue).await?.with_limit(STATEMENT_LIMIT);
    let mut green = Session::open(&config.green).await?.with_limit(STATEMENT_LIMIT);
    variables::for_reading(&mut blue).await?;
    for session in [&mut blue, &mut green] {
        // They say nothing while the rows are copied.
        session.run("SET SESSION wait_timeout = 2147483").await?;
    }

    take_green(&mut green).await?;
    let blue_facts = preconditions::look_at_blue(&mut blue).await?;
    let green_facts = preconditions::look_at_green(&mut green).await?;
    preconditions::check(&blue_facts, &green_facts)?;
    let mut warnings = preflight(config, (&blue_facts, &mut blue), (&green_facts, &mut green)).await?;
    let (blue_version, green_version) = (blue_facts.server.version, green_facts.server.version);
    let before = schema::read(&mut blue, blue_version).await?;
    warnings.extend(before.warnings());

    warnings.extend(read_only::set(&mut green, &green_facts).await?);
    intended::set(&mut green, &config.variables, green_version).await?;
    let kept = if config.is_resumed { Deployment::read(&mut green).await? } else { None };
    let earlier = if kept.is_some() { resume::read(&mut green).await? } else { None };
    let deployment = match kept {
        Some(kept) if earlier.is_some() => kept,
        _ => {
            let identity = blue_facts.server.identity.clone();
            let deployment = Deployment::new(&config.name, config.blue.address(), identity);
            let installed = install(&mut green, &deployment, &green_facts.made).await;
            installed.map_err(|error| read_only::explain(error, &green_facts))?;
            deployment
        }
    };
    tracing::info!(name = deployment.name, is_resumed = earlier.is_some(), "provisioning");

    let mut snapshot =
        snapshot::take(&config.blue, &blue_facts.server, config.tables_at_once, config.lock_limit).await?;
    tracing::info!(position = %snapshot.position, lock_millis = snapshot.lock_millis, "snapshot taken");
    let definitions = schema::read(&mut blue, blue_version).await?;
    before.must_equal(&definitions)?;

    variables::for_building(&mut green, &blue_version, &green_version).await?;
    match &earlier {
        Some(earlier) => {
            earlier.must_be_of(&definitions)?;
            for sequence in &definitions.sequences {
                sequence.put(&mut green).await?;
            }
        }
        None => schema::build(&mut green, &definitions).await?,
    }
    let made = schema::compare(&mut green, &definitions).await?;
    if earlier.is_none() {
        warnings.extend(build_rest(config, &definitions, blue_version, green_version).await?);
        resume::begin(&mut green, &snapshot.position, &definitions).await?;
    }

    let late_keys = late_keys(&mut green, &definitions, earlier.is_some()).await?;
    let mut parts = Vec::new();
    for ((definition, made), keys) in definitions.tables.iter().zip(on_green(&definitions, &made)?).zip(&late_keys) {
        let walk = Walk::new(&definition.table, made, (blue_version, green_version));
        parts.push(copy::Part::new(definition.clone(), walk, keys.clone())?);
    }
    let mut pairs = Vec::new();
    for reader in std::mem::take(&mut snapshot.readers) {
        let mut writer = Session::open(&config.green).await?.with_limit(STATEMENT_LIMIT);
        variables::for_writing(&mut writer, green_facts.server.version.flavor).await?;
        pairs.push((reader, writer));
    }
    let max_allowed_packet = green_facts.server.max_allowed_packet;
    let limits = copy::Limits { chunk_rows: config.chunk_rows, max_allowed_packet };
    if let (Some(earlier), Some((reader, _))) = (earlier, pairs.first_mut()) {
        let log = (&config.blue, &blue_facts.server, &mut blue);
        let on = (reader, &config.green, &mut green);
        take_up(earlier, log, on, &snapshot.position, &mut parts, max_allowed_packet).await?;
    }
    let rows = copy::copy(pairs, parts, limits, &progress).await?;
    let tables = definitions.tables.iter().map(|definition| &definition.table.name);
    keys::check(&mut green, tables.zip(late_keys.iter().map(Vec::as_slice))).await?;
    nothing_moved(config, &blue_facts, &mut blue, &snapshot.position, &definitions).await?;

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

/// Green's tables in the order of blue's.
fn on_green<'a>(definitions: &schema::Definitions, made: &'a [Table]) -> Result<Vec<&'a Table>> {
    let find = |name: &TableName| made.binary_search_by(|table| table.name.cmp(name)).ok().and_then(|at| made.get(at));
    let found = definitions.tables.iter().map(|definition| find(&definition.table.name));
    found.collect::<Option<_>>().ok_or_else(|| Error::internal("a table that was compared is not there"))
}

/// The keys of each table that are to be made behind its rows.
async fn late_keys(
    green: &mut Session,
    definitions: &schema::Definitions,
    is_resumed: bool,
) -> Result<Vec<Vec<keys::Key>>> {
    let referenced = definitions.referenced();
    let present = if is_resumed { Some(keys::present(green).await?) } else { None };
    let late = definitions.tables.iter().map(|definition| match &present {
        // Which ones the earlier one left out went by blue's statistics of then.
        Some(present) => keys::missing(&keys::split(definition, &referenced).1, present.get(&definition.table.name)),
        None if keys::are_late(definition) => keys::split(definition, &referenced).1,
        None => Vec::new(),
    });
    Ok(late.collect())
}

/// Makes what an earlier `create` copied as it is at `position`, and leaves what it did not copy to be done.
async fn take_up(
    mut earlier: resume::Earlier,
    (blue_url, server, blue): (&ServerUrl, &Server, &mut Session),
    (reader, green_url, green): (&mut Session, &ServerUrl, &mut Session),
    position: &Position,
    parts: &mut [copy::Part],
    max_allowed_packet: u64,
) -> Result<()> {
    let walks = parts.iter().map(|part| &part.walk);
    let log = (blue_url, server, blue);
    let mut due =
        checks::changed(log, (&earlier.position, position), walks, CHANGED_ROWS).await.map_err(|error| match error
            .kind()
        {
            ErrorKind::Purged => error.with_advice("create without --resume: it begins anew"),
            _ => error,
        })?;
    let mut writer = Session::open(green_url).await?.with_limit(STATEMENT_LIMIT);
    variables::for_replacing(&mut writer).await?;
    for part in parts {
        let name = part.definition.table.name.clone();
        let rest = earlier.refresh(part, &mut due, (reader, &mut writer), max_allowed_packet).await;
        part.set_rest(rest.map_err(|error| error.at(|place| place.table = Some(name.to_string())))?);
    }
    writer.close().await;
    resume::advance(green, position).await
}

/// No open snapshot tells that a table's name stands for another table now.
async fn nothing_moved(
    config: &CreateConfig,
    facts: &BlueFacts,
    blue: &mut Session,
    from: &Position,
    definitions: &schema::Definitions,
) -> Result<()> {
    let head = facts.server.head(blue).await?;
    let tables = definitions.tables.iter().map(|definition| &definition.table.name);
    match checks::moved((&config.blue, &facts.server, blue), (from, &head), tables).await? {
        None => Ok(()),
        Some(table) => {
            let message = format!("`{table}` was renamed or exchanged on blue, or another table for it, during create");
            Err(Error::new(ErrorKind::State, message)
                .with_advice("create again with --resume: it copies that table anew; let no DDL run on blue meanwhile"))
        }
    }
}

/// What `create` would find on the two servers before it writes anything: whether it would begin at all, and what else
/// should be known. Writes nothing anywhere.
pub async fn dry_run(config: &CreateConfig) -> Vec<Check> {
    const NAME: &str = "create";
    let look = async {
        let (mut blue, mut green) = (Session::open(&config.blue).await?, Session::open(&config.green).await?);
        variables::for_reading(&mut blue).await?;
        let on_blue = preconditions::look_at_blue(&mut blue).await?;
        let on_green = preconditions::look_at_green(&mut green).await?;
        let first = match preconditions::check(&on_blue, &on_green) {
            Ok(()) => Check::new(NAME, Verdict::Pass, "green is empty, and what `create` needs is there"),
            Err(error) => match error.advice() {
                Some(advice) => Check::new(NAME, Verdict::Fail, error.message()).with_advice(advice),
                None => Check::new(NAME, Verdict::Fail, error.message()),
            },
        };
        let further = look_further(config, (&on_blue, &mut blue), (&on_green, &mut green)).await;
        Ok([vec![first], further].concat())
    };
    Box::pin(look).await.unwrap_or_else(|error: Error| vec![Check::unknown(NAME, &error)])
}

/// All that can be said of the two before green is built.
async fn look_further(
    config: &CreateConfig,
    (on_blue, blue): (&BlueFacts, &mut Session),
    (on_green, green): (&GreenFacts, &mut Session),
) -> Vec<Check> {
    let intended = config.variables.keys().cloned().collect();
    let (of_blue, of_green) = ((&on_blue.server, blue), (&on_green.server, green));
    let mut checks = checks::preflight::measure(&on_blue.schema, of_blue, of_green, &intended).await;
    checks.push(intended::check(&config.variables, on_green.server.version));
    checks
}

/// Refuses what the preflight fails, and tells of the rest that is not as it should be.
async fn preflight(
    config: &CreateConfig,
    blue: (&BlueFacts, &mut Session),
    green: (&GreenFacts, &mut Session),
) -> Result<Vec<String>> {
    let checks = look_further(config, blue, green).await;
    if let Some(error) = checks::preflight::failures(&checks, ErrorKind::Setting).into_iter().next() {
        return Err(error);
    }
    let told = checks.iter().filter(|check| check.verdict != Verdict::Pass);
    Ok(told
        .map(|check| match &check.advice {
            Some(advice) => format!("{}; {advice}", check.evidence),
            None => check.evidence.clone(),
        })
        .collect())
}

/// What is made of words alone: accounts, then the objects that name them, then the privileges that name the objects.
/// Answers what green did not take of accounts.
async fn build_rest(
    config: &CreateConfig,
    definitions: &schema::Definitions,
    blue: ServerVersion,
    green: ServerVersion,
) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    let mut session = Session::open(&config.green).await?.with_limit(STATEMENT_LIMIT);
    let grants = definitions.accounts.build(&mut session, green, &mut warnings).await?;
    let mut builder = Session::open(&config.green).await?.with_limit(STATEMENT_LIMIT);
    objects::build(&mut builder, &definitions.objects, green).await?;
    builder.close().await;
    objects::compare(&mut session, &definitions.objects, (blue, green)).await?;
    grants.build(&mut session, &mut warnings).await?;
    session.close().await;
    Ok(warnings)
}

/// Invariant 6. The server releases the lock with the connection, whatever ends it; it may take a moment to notice, and
/// `--resume` often comes right behind the end of another `create`.
async fn take_green(green: &mut Session) -> Result<()> {
    let row = green.first("SELECT GET_LOCK('bluegreen.create', 5)").await?;
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
    green.run(accounts::NOTES).await?;
    // Nothing may be taken for a copy that can be resumed while it is dropped.
    resume::install(green).await?;
    deployment.write(green).await?;
    green.run("DELETE FROM bluegreen.checkpoint").await?;
    accounts::drop_made(green).await?;
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
    resume::forget(green).await?;
    green.run("COMMIT").await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

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
