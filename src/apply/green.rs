use std::time::Duration;

use super::checkpoint::{self, Checkpoint, Owner, Stream};
use super::statement::{self, Statement, statements};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Flavor, Value};
use crate::net::{Done, Server, ServerUrl, Session};
use crate::plan::{Group, Op, RowOp};

/// How often a group is tried again after a deadlock or a lock wait timeout.
const CONTENTION_TRIES: u32 = 20;
/// Bytes of statements sent in one round trip.
const SCRIPT_BYTES: usize = 1 << 20;

/// What a commit did.
#[derive(Debug, Clone)]
pub(crate) struct Applied {
    /// The checkpoint, now durable.
    pub(crate) checkpoint: Checkpoint,
    /// Row operations that met a green that was not as blue had been, and were carried out all the same.
    pub(crate) conflicts: u64,
}

/// Writes groups to green, each in one transaction together with its checkpoint.
///
/// Not cancel-safe: when a future of it was dropped, drop the applier too and claim the stream anew.
pub(crate) struct Applier {
    session: Session,
    stream: Stream,
    owner: Owner,
    checkpoint: Checkpoint,
    max_statement_bytes: u64,
}

/// Statements for one round trip, and how many rows each must match.
#[derive(Default)]
struct Script {
    sql: String,
    expected: Vec<Option<u64>>,
}

/// Why the fast way did not work: something that only the careful way can settle.
enum Fast {
    Applied,
    NeedsCare,
}

impl Applier {
    /// Connects to green and takes the stream over.
    ///
    /// # Errors
    /// `State` where the stream has no checkpoint, `ReadOnly` or `Privilege` where the account may not write.
    pub(crate) async fn claim(url: &ServerUrl, green: &Server, stream: Stream, owner: Owner) -> Result<Applier> {
        let mut session = Session::open(url).await?.with_limit(Duration::from_secs(600));
        let optimizer = match green.version.is_at_least(Flavor::MySql, (5, 7, 9)) {
            true => ", range_optimizer_max_mem_size = 0",
            false => "",
        };
        session
            .run(&format!(
                "SET SESSION sql_mode = 'STRICT_ALL_TABLES,ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO', \
                 foreign_key_checks = 1, unique_checks = 1, innodb_lock_wait_timeout = 50{optimizer}"
            ))
            .await?;
        session.run("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED").await?;
        let checkpoint = checkpoint::claim(&mut session, stream, owner).await.map_err(explain_read_only)?;
        let checkpoint = checkpoint.ok_or_else(|| {
            Error::new(ErrorKind::State, "green has no checkpoint")
                .with_advice("build green with `create`, or say with `--from` where its data stands")
                .at(|place| place.server = Some(url.address()))
        })?;
        Ok(Applier { session, stream, owner, checkpoint, max_statement_bytes: green.max_allowed_packet })
    }

    /// The last checkpoint that is durable on green.
    pub(crate) fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The applier's session, between groups.
    pub(crate) fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Asks whether the stream is still this engine's. An idle one would not find out by its commits.
    ///
    /// # Errors
    /// `TakenOver` where it is not.
    pub(crate) async fn check_owner(&mut self) -> Result<()> {
        match checkpoint::is_owned(&mut self.session, self.stream, self.owner).await? {
            true => Ok(()),
            false => Err(taken_over()),
        }
    }

    /// Applies a group and commits it with its checkpoint. Deadlocks are tried again as a whole.
    ///
    /// # Errors
    /// `TakenOver` where another engine claimed the stream; `Divergence`; the server's refusals. After an error nothing
    /// of the group is on green, unless it is `Disconnected`: then the checkpoint must be read again.
    pub(crate) async fn apply(&mut self, group: &Group) -> Result<Applied> {
        let mut next = Checkpoint {
            source: self.checkpoint.source.clone(),
            position: group.position.clone(),
            committed_at_micros: match group.committed_at_micros {
                0 => self.checkpoint.committed_at_micros,
                micros => micros,
            },
            transactions: self.checkpoint.transactions + group.transactions,
            row_changes: self.checkpoint.row_changes + group.ops.len() as u64,
            conflicts: self.checkpoint.conflicts,
        };
        let statements = statements(&group.ops)?;
        let mut try_count = 0;
        let conflicts = loop {
            match self.attempt(group, &statements, &next).await {
                Ok(conflicts) => break conflicts,
                Err(error) if error.kind() == ErrorKind::Contention && try_count < CONTENTION_TRIES => {
                    try_count += 1;
                    tracing::debug!(try_count, "contention on green, the group is tried again");
                    self.abandon().await?;
                    tokio::time::sleep(Duration::from_millis(5 << try_count.min(8))).await;
                }
                Err(error) => {
                    if error.kind() != ErrorKind::Disconnected {
                        self.abandon().await?;
                    }
                    return Err(explain_read_only(error));
                }
            }
        };
        next.conflicts += conflicts;
        self.checkpoint = next;
        Ok(Applied { checkpoint: self.checkpoint.clone(), conflicts })
    }

    async fn attempt(&mut self, group: &Group, statements: &[Statement], next: &Checkpoint) -> Result<u64> {
        let conflicts = match self.fast(statements, next).await? {
            Fast::Applied => 0,
            Fast::NeedsCare => {
                self.abandon().await?;
                self.careful(&group.ops, next).await?
            }
        };
        self.session.run("COMMIT").await?;
        Ok(conflicts)
    }

    /// Ends the transaction without effect, and puts the session back to how a group expects it.
    async fn abandon(&mut self) -> Result<()> {
        self.session.run("ROLLBACK").await?;
        self.session.run("SET foreign_key_checks = 1").await?;
        Ok(())
    }

    /// All statements in as few round trips as they fit in; every one must match the rows that it speaks of.
    async fn fast(&mut self, statements: &[Statement], next: &Checkpoint) -> Result<Fast> {
        let opening = [
            Statement { sql: "BEGIN".into(), expected: None },
            Statement { sql: checkpoint::advance(self.stream, self.owner, next), expected: Some(1) },
        ];
        for (index, script) in self.scripts(&opening, statements)?.iter().enumerate() {
            match self.session.run_all(&script.sql, script.expected.len()).await {
                Ok(done) => {
                    if index == 0 && done.get(1).is_some_and(|done| done.affected != 1) {
                        return Err(taken_over());
                    }
                    if !is_as_expected(&done, &script.expected) {
                        return Ok(Fast::NeedsCare);
                    }
                }
                Err((_, error)) if error.kind() == ErrorKind::Divergence => return Ok(Fast::NeedsCare),
                Err((_, error)) => return Err(error),
            }
        }
        Ok(Fast::Applied)
    }

    /// The statements in as few scripts as their bound allows.
    fn scripts(&self, opening: &[Statement], statements: &[Statement]) -> Result<Vec<Script>> {
        let mut scripts = vec![Script::default()];
        for statement in opening.iter().chain(statements) {
            self.check_size(statement)?;
            if scripts.last().is_some_and(|script| script.sql.len() + statement.sql.len() > SCRIPT_BYTES) {
                scripts.push(Script::default());
            }
            let Some(script) = scripts.last_mut() else { continue };
            if !script.sql.is_empty() {
                script.sql.push(';');
            }
            script.sql.push_str(&statement.sql);
            script.expected.push(statement.expected);
        }
        Ok(scripts)
    }

    fn check_size(&self, statement: &Statement) -> Result<()> {
        // A packet's header and the command's code, generously.
        if statement.sql.len() as u64 + 64 > self.max_statement_bytes {
            let message = format!(
                "a row needs a statement of {} bytes, green takes {}",
                statement.sql.len(),
                self.max_statement_bytes
            );
            return Err(Error::new(ErrorKind::Limit, message).with_advice("raise max_allowed_packet on green"));
        }
        Ok(())
    }

    /// One operation after the other: where green is not as blue was, blue wins. Answers how often that was so.
    async fn careful(&mut self, ops: &[Op], next: &Checkpoint) -> Result<u64> {
        self.session.run("BEGIN").await?;
        if self.session.run(&checkpoint::advance(self.stream, self.owner, next)).await?.affected != 1 {
            return Err(taken_over());
        }
        let mut conflicts = 0;
        for op in ops {
            let is_conflict = self
                .careful_op(op)
                .await
                .map_err(|error| error.at(|place| place.table = Some(op.table.name.to_string())))?;
            if is_conflict {
                conflicts += 1;
                tracing::warn!(table = %op.table.name, kind = ?op.row.kind(), "green was not as blue had been; blue wins");
            }
        }
        if conflicts > 0 {
            // In the same transaction: that green had diverged is never forgotten.
            let next = Checkpoint { conflicts: next.conflicts + conflicts, ..next.clone() };
            if self.session.run(&checkpoint::advance(self.stream, self.owner, &next)).await?.affected != 1 {
                return Err(taken_over());
            }
        }
        Ok(conflicts)
    }

    async fn careful_op(&mut self, op: &Op) -> Result<bool> {
        let table = &op.table;
        self.session.run(&statement::set_foreign_key_checks(op.foreign_key_checks).sql).await?;
        match &op.row {
            RowOp::Insert(after) => match self.one(statement::insert_one(table, after)?).await? {
                Outcome::Done(_) => Ok(false),
                Outcome::Excluded => self.put(op, None, after).await,
            },
            RowOp::Update { before, after } => match self.one(statement::update(table, before, after)?).await? {
                Outcome::Done(1) => Ok(false),
                Outcome::Done(_) | Outcome::Excluded => self.put(op, Some(before), after).await,
            },
            RowOp::Delete(before) => match self.one(statement::delete_one(table, before)?).await? {
                Outcome::Done(1) => Ok(false),
                Outcome::Done(_) if table.row_key.is_some() => Ok(true),
                Outcome::Done(_) => Err(keyless_divergence()),
                Outcome::Excluded => {
                    Err(Error::new(ErrorKind::Divergence, "green holds rows that refer to a row that blue deleted"))
                }
            },
        }
    }

    /// Makes `after` a row of green whatever is there: what excludes it goes, the row key first.
    async fn put(&mut self, op: &Op, before: Option<&[Value]>, after: &[Value]) -> Result<bool> {
        let table = &op.table;
        let Some(key) = &table.row_key else { return Err(keyless_divergence()) };
        if before.is_some_and(|before| key.iter().any(|&index| before.get(index) != after.get(index))) {
            // Children would have to follow the changed key, which they do only where the row itself is updated.
            return Err(Error::new(
                ErrorKind::Divergence,
                "green does not hold, or cannot take, a row whose key blue changed",
            ));
        }
        // The rows that go are replaced, not deleted: their children stay.
        self.session.run(&statement::set_foreign_key_checks(false).sql).await?;
        let mut statements = match before {
            Some(before) => vec![statement::delete_one(table, before)?],
            None => Vec::new(),
        };
        statements.extend(statement::clear_way(table, after)?);
        statements.push(statement::insert_one(table, after)?);
        for statement in statements {
            if let Outcome::Excluded = self.one(statement).await? {
                return Err(Error::new(
                    ErrorKind::Divergence,
                    "green has a row that excludes blue's and cannot be named",
                ));
            }
        }
        Ok(true)
    }

    async fn one(&mut self, statement: Statement) -> Result<Outcome> {
        self.check_size(&statement)?;
        let done = match self.session.run(&statement.sql).await {
            Ok(done) => done,
            Err(error) if error.kind() == ErrorKind::Divergence => return Ok(Outcome::Excluded),
            Err(error) => return Err(error),
        };
        if done.warnings > 0 {
            // 1287 is about the statement's words, not about the data.
            let warnings = self.session.rows("SHOW WARNINGS").await?;
            if let Some(code) = warnings.iter().filter_map(|row| row.number(1)).find(|code| *code != 1287) {
                return Err(Error::new(ErrorKind::Divergence, format!("green took a row only with warning {code}")));
            }
        }
        Ok(Outcome::Done(done.affected))
    }
}

/// What became of one statement.
enum Outcome {
    /// It ran and matched so many rows.
    Done(u64),
    /// A key or a foreign key of green did not let it.
    Excluded,
}

fn is_as_expected(done: &[Done], expected: &[Option<u64>]) -> bool {
    done.len() == expected.len()
        && done
            .iter()
            .zip(expected)
            .all(|(done, expected)| expected.is_none_or(|expected| done.affected == expected && done.warnings == 0))
}

pub(super) fn taken_over() -> Error {
    Error::new(ErrorKind::TakenOver, "another engine took over this stream")
}

fn keyless_divergence() -> Error {
    Error::new(ErrorKind::Divergence, "green does not hold the row of a table without a key that blue changed")
}

fn explain_read_only(error: Error) -> Error {
    match error.kind() {
        ErrorKind::ReadOnly => error.with_advice(
            "the engine's account on green must pass read_only: grant it CONNECTION_ADMIN (MySQL 8 and newer), \
             READ_ONLY ADMIN (MariaDB) or SUPER; super_read_only must be off",
        ),
        _ => error,
    }
}
