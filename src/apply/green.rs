use std::time::Duration;

use super::checkpoint::{self, Checkpoint, Owner, Stream};
use super::script::{Prepared, Script};
use super::statement::{self, Dialect, Statement};
use crate::decode::{Image, RowBuffer};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Flavor;
use crate::net::{Done, Server, ServerUrl, Session};
use crate::plan::{Group, Op, RowOp, TargetTable};

/// How often a group is tried again after a deadlock or a lock wait timeout.
const CONTENTION_TRIES: u32 = 20;

/// What a commit did.
#[derive(Debug, Clone)]
pub(crate) struct Applied {
    /// The checkpoint, now durable.
    pub(crate) checkpoint: Checkpoint,
    /// Row operations that met a green that was not as blue had been, and were carried out all the same.
    pub(crate) conflicts: u64,
    /// How many rows blue had changed.
    pub(crate) row_changes: u64,
}

/// What parts did in a transaction that is not committed yet.
#[derive(Default)]
struct Open {
    conflicts: u64,
    row_changes: u64,
}

/// Writes groups to green, each in one transaction together with its checkpoint.
///
/// Not cancel-safe: when a future of it was dropped, drop the applier too and claim the stream anew.
pub(crate) struct Applier {
    session: Session,
    stream: Stream,
    owner: Owner,
    checkpoint: Checkpoint,
    dialect: Dialect,
    /// Parts came, and their end did not.
    open: Option<Open>,
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
        Ok(Applier { session, stream, owner, checkpoint, dialect: Dialect::of(green), open: None })
    }

    /// The last checkpoint that is durable on green.
    pub(crate) fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// How green wants its statements.
    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
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

    /// Applies a group and commits it with its checkpoint, and with the parts that came before it. Deadlocks are tried again
    /// as a whole where no part did.
    ///
    /// # Errors
    /// `TakenOver` where another engine claimed the stream; `Divergence`; the server's refusals. After an error nothing
    /// of the group is on green, unless it is `Disconnected`: then the checkpoint must be read again.
    pub(crate) async fn apply(&mut self, prepared: &Prepared) -> Result<Applied> {
        let group = &prepared.group;
        let parts = self.open.as_ref().map_or((0, 0), |open| (open.conflicts, open.row_changes));
        let row_changes = parts.1 + group.row_changes;
        let mut next = Checkpoint {
            source: self.checkpoint.source.clone(),
            position: group.position.clone(),
            committed_at_micros: match group.committed_at_micros {
                0 => self.checkpoint.committed_at_micros,
                micros => micros,
            },
            transactions: self.checkpoint.transactions + group.transactions,
            row_changes: self.checkpoint.row_changes + row_changes,
            conflicts: self.checkpoint.conflicts + parts.0,
        };
        let mut try_count = 0;
        let conflicts = loop {
            let error = match self.attempt(prepared, &next).await {
                Ok(conflicts) => break conflicts,
                Err(error) => error,
            };
            let may_retry = self.open.is_none() && error.kind() == ErrorKind::Contention;
            if !may_retry || try_count == CONTENTION_TRIES {
                return Err(self.give_up(error).await);
            }
            try_count += 1;
            tracing::debug!(try_count, "contention on green, the group is tried again");
            self.abandon().await?;
            tokio::time::sleep(Duration::from_millis(5 << try_count.min(8))).await;
        };
        next.conflicts += conflicts;
        self.checkpoint = next;
        self.open = None;
        Ok(Applied { checkpoint: self.checkpoint.clone(), conflicts: parts.0 + conflicts, row_changes })
    }

    /// Applies a part of a transaction that is too large for one group, and leaves it open.
    ///
    /// # Errors
    /// Those of [`apply`](Self::apply), and `Contention`. After an error nothing of the transaction is on green, and the
    /// stream must be claimed anew.
    pub(crate) async fn apply_part(&mut self, part: &Prepared) -> Result<()> {
        let hold = checkpoint::hold(self.stream, self.owner);
        match self.write(part, &hold).await {
            Ok(conflicts) => {
                let open = self.open.get_or_insert_default();
                open.conflicts += conflicts;
                open.row_changes += part.group.row_changes;
                Ok(())
            }
            Err(error) => Err(self.give_up(error).await),
        }
    }

    /// Undoes what parts did, if any are open.
    pub(crate) async fn close(&mut self) -> Result<()> {
        match self.open.take() {
            Some(_) => self.abandon().await,
            None => Ok(()),
        }
    }

    async fn attempt(&mut self, prepared: &Prepared, next: &Checkpoint) -> Result<u64> {
        let conflicts = self.write(prepared, &checkpoint::advance(self.stream, self.owner, next)).await?;
        if conflicts > 0 {
            // In the same transaction: that green had diverged is never forgotten.
            let next = Checkpoint { conflicts: next.conflicts + conflicts, ..next.clone() };
            if self.session.run(&checkpoint::advance(self.stream, self.owner, &next)).await?.affected != 1 {
                return Err(taken_over());
            }
        }
        self.session.run("COMMIT").await?;
        Ok(conflicts)
    }

    /// Writes the rows, behind `claim`, the statement that writes the checkpoint's row. Answers how many of them met a
    /// green that was not as blue had been.
    async fn write(&mut self, prepared: &Prepared, claim: &str) -> Result<u64> {
        let (begin, undo) = match self.open {
            None => ("BEGIN", "ROLLBACK"),
            Some(_) => ("SAVEPOINT part", "ROLLBACK TO part"),
        };
        match self.fast(&prepared.scripts, begin, claim).await? {
            Fast::Applied => Ok(0),
            Fast::NeedsCare => {
                tracing::info!("green does not answer as expected, the group is applied row by row");
                self.session.run(undo).await?;
                self.session.run("SET foreign_key_checks = 1").await?;
                self.careful(&prepared.group, begin, claim).await
            }
        }
    }

    /// Ends the transaction after an error, which it explains.
    async fn give_up(&mut self, error: Error) -> Error {
        let abandoned = match error.kind() {
            ErrorKind::Disconnected => Ok(()),
            _ => self.abandon().await,
        };
        abandoned.err().unwrap_or_else(|| explain_read_only(error))
    }

    /// Ends the transaction without effect, and puts the session back to how a group expects it.
    async fn abandon(&mut self) -> Result<()> {
        self.session.run("ROLLBACK").await?;
        self.session.run("SET foreign_key_checks = 1").await?;
        Ok(())
    }

    /// All statements in as few round trips as they fit in; every one must affect the rows that it speaks of.
    async fn fast(&mut self, scripts: &[Script], begin: &str, claim: &str) -> Result<Fast> {
        for (index, script) in scripts.iter().enumerate() {
            let opened = (index == 0).then(|| opening(begin, claim).before(script));
            let script = opened.as_ref().unwrap_or(script);
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

    /// One operation after the other: where green is not as blue was, blue wins. Answers how often that was so.
    async fn careful(&mut self, group: &Group, begin: &str, claim: &str) -> Result<u64> {
        self.session.run(begin).await?;
        if self.session.run(claim).await?.affected != 1 {
            return Err(taken_over());
        }
        let mut conflicts = 0;
        for op in &group.ops {
            let is_conflict = self
                .careful_op(group, op)
                .await
                .map_err(|error| error.at(|place| place.table = Some(op.table.name.to_string())))?;
            if is_conflict {
                conflicts += 1;
                tracing::warn!(table = %op.table.name, kind = ?op.row.kind(), "green was not as blue had been; blue wins");
            }
        }
        Ok(conflicts)
    }

    async fn careful_op(&mut self, group: &Group, op: &Op) -> Result<bool> {
        let table = &op.table;
        let (first, second) = (&mut RowBuffer::new(), &mut RowBuffer::new());
        self.session.run(&statement::set_foreign_key_checks(op.foreign_key_checks).sql).await?;
        match op.row {
            RowOp::Insert(place) => {
                let after = group.after(place, first)?;
                match self.one(statement::insert_one(table, &after)?).await? {
                    Outcome::Done(_) => Ok(false),
                    Outcome::Excluded => self.put(table, None, &after).await,
                }
            }
            RowOp::Update { before, after, .. } => {
                let (before, after) = (group.before(before, first)?, group.after(after, second)?);
                match self.one(statement::update(table, &before, &after)?).await? {
                    Outcome::Done(1) => Ok(false),
                    Outcome::Done(_) | Outcome::Excluded => self.put(table, Some(&before), &after).await,
                }
            }
            RowOp::Delete(place) => {
                let before = group.before(place, first)?;
                match self.one(statement::delete_one(table, &before)?).await? {
                    Outcome::Done(1) => Ok(false),
                    Outcome::Done(_) if table.row_key.is_some() => Ok(true),
                    Outcome::Done(_) => Err(keyless_divergence()),
                    Outcome::Excluded => {
                        Err(Error::new(ErrorKind::Divergence, "green holds rows that refer to a row that blue deleted"))
                    }
                }
            }
        }
    }

    /// Makes `after` a row of green whatever is there: what excludes it goes, the row key first.
    async fn put(&mut self, table: &TargetTable, before: Option<&Image<'_>>, after: &Image<'_>) -> Result<bool> {
        let Some(key) = &table.row_key else { return Err(keyless_divergence()) };
        if before.is_some_and(|before| key.iter().any(|&index| !before.is_same_at(after, index))) {
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
        self.dialect.check_size(&statement)?;
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

/// How every script starts: with the checkpoint's row, so that engines wait for each other there.
fn opening(begin: &str, claim: &str) -> Script {
    let mut script = Script::default();
    script.push(&Statement { sql: begin.into(), expected: None });
    script.push(&Statement { sql: claim.into(), expected: Some(1) });
    script
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
