//! Proof that is kept: after a full pass, only what changed since is compared again.

use std::collections::BTreeMap;
use std::time::Instant;

use super::changes::{Changed, Changes};
use super::due::{Due, Part};
use super::family::Family;
use super::log::{Log, visible_head};
use super::logged::LoggedKey;
use super::outcome::Outcome;
use super::pair::{Both, Side};
use super::plan::{Planned, PlannedTable, Task, tables};
use super::range::KeyText;
use super::settle::Sides;
use super::{Positions, Scope, Verification, VerifyConfig, VerifyProgress, pass};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Position, Table, TableName};
use crate::net::Server;

/// Compares green with blue, and keeps what it knows: [`Verifier::full`] once, then [`Verifier::again`] as often as one
/// likes, each of which looks only at the rows that either server's log says have changed since, and at what was not
/// equal before.
///
/// # Guarantees
/// A row that no pass has named differing, and no log has named since, was seen equal after its last change. A
/// [`Verification::equal`] of `again` speaks of all tables, at [`Verification::positions`].
///
/// What neither log has (`sql_log_bin = 0`, a page that went bad) only `full` finds.
///
/// # Memory
/// About 150 bytes a changed row, up to [`VerifyConfig::key_limit`] rows; beyond that the table with most of them is
/// compared as a whole.
///
/// ```no_run
/// use bluegreen::checks::{Verifier, VerifyConfig};
///
/// # async fn example() -> bluegreen::Result<()> {
/// let config = VerifyConfig::new("mysql://root@blue".parse()?, "mysql://root@green".parse()?);
/// let mut verifier = Verifier::new(config);
/// let first = verifier.full(|_| ()).await?;
/// let now = verifier.again(|_| ()).await?;
/// println!("{} rows, then {} that changed; equal: {}", first.rows, now.rows, now.equal);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Verifier {
    config: VerifyConfig,
    proof: Option<Proof>,
}

/// What is known: all is equal up to `heads` that is not due.
#[derive(Debug)]
struct Proof {
    heads: Both<Position>,
    definitions: BTreeMap<TableName, Both<Table>>,
    due: Due,
    /// The logs, read up to the heads; opened when first wanted.
    logs: Option<Both<Log>>,
}

/// A table's rows that are not equal, for whoever makes them so.
pub(crate) struct OpenRows {
    /// As blue and as green define it.
    pub(crate) blue: Table,
    pub(crate) green: Table,
    /// Of each row the predicate that finds it on blue, and on green; `None`: no key tells the rows.
    pub(crate) keys: Option<Vec<(String, String)>>,
    /// The columns that both have, by green's name, and whether the two store the same bytes for the same value.
    pub(crate) columns: Vec<(String, bool)>,
}

impl Verifier {
    /// A verifier that knows nothing yet.
    pub fn new(config: VerifyConfig) -> Verifier {
        Verifier { config, proof: None }
    }

    /// What it compares.
    pub fn config(&self) -> &VerifyConfig {
        &self.config
    }

    /// Compares every row of every table.
    ///
    /// # Errors
    /// Those of [`verify`](super::verify); what was known before is then forgotten.
    ///
    /// # Cancel safety
    /// Dropping the future ends all work and forgets what was known; nothing was changed on either server.
    pub async fn full(&mut self, progress: impl Fn(VerifyProgress) + Send + Sync) -> Result<Verification> {
        self.proof = None;
        let (mut sides, servers) = Box::pin(open(&self.config)).await?;
        let as_of = Instant::now();
        // Without logs there is a result, but nothing to go on from.
        let heads = match servers.blue.binlog.is_on && servers.green.binlog.is_on {
            true => Some(heads(&servers, &mut sides).await?),
            false => None,
        };
        let planned = Box::pin(tables(&self.config, &servers.blue, &servers.green, &mut sides)).await?;
        let mut everything = Due::nothing(self.config.key_limit);
        everything.add_everything();
        let carried = Due::nothing(self.config.key_limit);
        let pass = Pass { scope: Scope::Full, as_of, heads, due: everything, carried, logs: None };
        let (verification, proof) = Box::pin(pass.run(&self.config, servers, sides, planned, progress)).await?;
        self.proof = proof;
        Ok(verification)
    }

    /// Compares what changed since the last pass and what was not equal then; everything, where there was no pass.
    ///
    /// # Errors
    /// Those of [`verify`](super::verify); `Purged` where a log no longer has what changed, `Setting` where a server
    /// keeps none, and what the log holds that cannot be read. What was known before stays known: call it again, or
    /// [`full`](Verifier::full).
    ///
    /// # Cancel safety
    /// Dropping the future ends all work; what was known stays known.
    pub async fn again(&mut self, progress: impl Fn(VerifyProgress) + Send + Sync) -> Result<Verification> {
        let Some(proof) = &mut self.proof else { return Box::pin(self.full(progress)).await };
        let (mut sides, servers) = Box::pin(open(&self.config)).await?;
        let as_of = Instant::now();
        let heads = Box::pin(heads(&servers, &mut sides)).await?;
        let planned = Box::pin(tables(&self.config, &servers.blue, &servers.green, &mut sides)).await?;
        // Taken out: logs that were read on by a call that failed are of no use to the next.
        let mut logs = match proof.logs.take() {
            Some(logs) => logs,
            None => Box::pin(open_logs(&self.config, &servers, &mut sides, &proof.heads)).await?,
        };
        let mut due = proof.due.clone();
        for table in &planned.tables {
            if proof.definitions.get(&table.pair.name) != Some(&table.definitions) {
                due.add_whole(&table.pair.name);
            }
        }
        let mut carried = Due::nothing(self.config.key_limit);
        for side in [Side::Blue, Side::Green] {
            let family = Box::pin(Family::read(sides.of(side))).await?;
            let mut changes = Changes::new(planned.tables.iter().map(|table| changed(table, side)), &family);
            let read = logs.of_mut(side).read_to(heads.of(side), |transaction, is_behind| {
                changes.add(transaction, &mut due)?;
                if is_behind { changes.add(transaction, &mut carried) } else { Ok(()) }
            });
            Box::pin(read).await?;
        }
        let pass = Pass { scope: Scope::Changed, as_of, heads: Some(heads), due, carried, logs: Some(logs) };
        let (verification, proof) = Box::pin(pass.run(&self.config, servers, sides, planned, progress)).await?;
        self.proof = proof;
        Ok(verification)
    }

    /// The rows that the last pass found not to be equal, by table.
    pub(crate) async fn open_rows(&self) -> Result<Vec<OpenRows>> {
        let Some(proof) = &self.proof else { return Ok(Vec::new()) };
        let (mut sides, servers) = Box::pin(open(&self.config)).await?;
        let planned = Box::pin(tables(&self.config, &servers.blue, &servers.green, &mut sides)).await?;
        sides.close().await;
        let open = planned.tables.into_iter().filter_map(|table| {
            let name = &table.pair.name;
            let keys: Vec<KeyText> = proof.due.keys(name);
            let keys = match (proof.due.is_whole(name), keys.is_empty()) {
                (true, _) => None,
                (false, true) => return None,
                (false, false) => Some(keys.iter().map(|key| table.pair.predicates(key)).collect()),
            };
            let columns = table.pair.columns.iter();
            let columns = columns.map(|column| (column.green_name.clone(), column.form.keeps_bytes())).collect();
            Some(OpenRows { blue: table.definitions.blue, green: table.definitions.green, keys, columns })
        });
        Ok(open.collect())
    }
}

/// One pass and what it starts from.
struct Pass {
    scope: Scope,
    as_of: Instant,
    heads: Option<Both<Position>>,
    /// What is compared.
    due: Due,
    /// What is compared now and once more in the next pass.
    carried: Due,
    logs: Option<Both<Log>>,
}

impl Pass {
    async fn run(
        mut self,
        config: &VerifyConfig,
        servers: Both<Server>,
        sides: Sides,
        planned: Planned,
        progress: impl Fn(VerifyProgress) + Send + Sync,
    ) -> Result<(Verification, Option<Proof>)> {
        let (mut tasks, mut definitions, mut rows) = (Vec::new(), BTreeMap::new(), 0);
        let table_count = planned.tables.len() as u64;
        for PlannedTable { pair, definitions: both, rows: all_rows, fitting } in planned.tables {
            definitions.insert(pair.name.clone(), both);
            let Some(part) = self.due.take(&pair.name) else { continue };
            rows += match &part {
                Part::Keys(keys) => keys.len() as u64,
                Part::Whole => all_rows,
            };
            tasks.push(Task { pair, part, fitting });
        }
        let untouched = table_count - tasks.len() as u64;
        let mut outcome = Outcome::new(planned.one_sided, rows, table_count, self.carried);
        outcome.progress.tables_done += untouched;
        pass::run(config, servers.blue, sides, tasks, &mut outcome, progress).await?;
        let positions = self.heads.clone().map(|heads| Positions { blue: heads.blue, green: heads.green });
        let (verification, due) = outcome.end(self.scope, self.as_of.elapsed(), self.as_of, positions);
        let logs = self.logs;
        let proof = self.heads.map(|heads| Proof { heads, definitions, due, logs });
        Ok((verification, proof))
    }
}

/// Two sessions, and what the servers are.
async fn open(config: &VerifyConfig) -> Result<(Sides, Both<Server>)> {
    let mut sides = Sides::open(config).await?;
    let blue = Server::probe(&mut sides.blue).await?;
    let green = Server::probe(&mut sides.green).await?;
    if blue.identity == green.identity {
        return Err(Error::new(ErrorKind::Config, "blue and green are the same server")
            .with_advice("name two servers; a copied data directory needs a server_uuid of its own"));
    }
    Ok((sides, Both { blue, green }))
}

async fn heads(servers: &Both<Server>, sides: &mut Sides) -> Result<Both<Position>> {
    let Sides { blue, green } = sides;
    let (blue, green) = tokio::try_join!(visible_head(&servers.blue, blue), visible_head(&servers.green, green))?;
    Ok(Both { blue, green })
}

async fn open_logs(
    config: &VerifyConfig,
    servers: &Both<Server>,
    sides: &mut Sides,
    starts: &Both<Position>,
) -> Result<Both<Log>> {
    Ok(Both {
        blue: Log::open(&config.blue, &servers.blue, &mut sides.blue, &starts.blue).await?,
        green: Log::open(&config.green, &servers.green, &mut sides.green, &starts.green).await?,
    })
}

fn changed(table: &PlannedTable, side: Side) -> Changed<'_> {
    let definition = table.definitions.of(side);
    Changed { definition, key: LoggedKey::new(&table.pair, side, definition) }
}
