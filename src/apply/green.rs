use std::time::Duration;

use super::checkpoint::{self, Checkpoint, Owner, Place, Stream};
use super::row_event::{self, RowEvents};
use super::script::{Prepared, Script};
use super::statement::{self, Dialect, Policy, Statement};
use crate::decode::{Image, RowBuffer};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Flavor, ServerIdentity};
use crate::net::{Done, Server, ServerUrl, Session};
use crate::plan::{Group, Op, RowOp, TargetTable};

/// How often a group is tried again after a deadlock or a lock wait timeout.
const CONTENTION_TRIES: u32 = 20;

/// How a script expects the session, and leaves it.
const FOREIGN_KEY_CHECKS: &str = "SET foreign_key_checks = 1";

/// What a commit did.
#[derive(Debug, Clone)]
pub(crate) struct Applied {
    /// The checkpoint, now durable.
    pub(crate) checkpoint: Checkpoint,
    /// Row operations that met a green that was not as blue had been, and were carried out all the same.
    pub(crate) conflicts: u64,
    /// Blue's transactions in it.
    pub(crate) transactions: u64,
    /// How many rows blue had changed.
    pub(crate) row_changes: u64,
    /// Operations that these came to.
    pub(crate) operations: u64,
    /// Bytes of their events.
    pub(crate) bytes: u64,
}

/// What parts did in a transaction that is not committed yet.
#[derive(Default)]
struct Open {
    conflicts: u64,
    row_changes: u64,
}

/// Writes groups to green, each in one transaction together with its checkpoint; or one lane's shares of groups.
///
/// Not cancel-safe: when a future of it was dropped, drop the applier too and claim the stream anew.
pub(crate) struct Applier {
    session: Session,
    stream: Stream,
    place: Place,
    owner: Owner,
    checkpoint: Checkpoint,
    dialect: Dialect,
    /// Parts came, and their end did not.
    open: Option<Open>,
    /// Lanes that have rows on green, which the next commit ends: what it commits reaches the last of them.
    lanes: usize,
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
    pub(crate) async fn claim(
        url: &ServerUrl,
        green: &Server,
        stream: Stream,
        owner: Owner,
        policy: Policy,
    ) -> Result<Applier> {
        let (mut session, row_events) = open(url, green, policy).await?;
        let checkpoint = checkpoint::claim(&mut session, stream, owner).await.map_err(explain_read_only)?;
        let checkpoint = checkpoint.ok_or_else(|| {
            Error::new(ErrorKind::State, "green has no checkpoint")
                .with_advice("build green with `create`, or say with `--from` where its data stands")
                .at(|place| place.server = Some(url.address()))
        })?;
        let (dialect, lanes) = (Dialect::of(green, policy, row_events), checkpoint.lanes.len());
        Ok(Applier { session, stream, place: stream.into(), owner, checkpoint, dialect, open: None, lanes })
    }

    /// Connects another session, for a lane of this stream.
    ///
    /// # Errors
    /// `Unreachable` and what else a connection meets.
    pub(super) async fn lane(&self, lane: usize, url: &ServerUrl, green: &Server) -> Result<Applier> {
        Ok(Applier {
            session: open(url, green, self.dialect.policy).await?.0,
            place: Place::Lane(self.stream, lane),
            checkpoint: self.checkpoint.clone(),
            open: None,
            lanes: 0,
            ..*self
        })
    }

    /// Makes the rows of so many lanes, which go on from here each by itself.
    ///
    /// # Errors
    /// `TakenOver`, and what else green refuses; then there are no lanes.
    pub(super) async fn start_lanes(&mut self, lanes: usize) -> Result<()> {
        let start = Checkpoint { conflicts: 0, ..self.checkpoint.clone() };
        let hold = checkpoint::hold(self.place, self.owner);
        let starts = (0..lanes).map(|lane| checkpoint::start_lane(self.stream, lane, self.owner, &start));
        let claims = [hold].into_iter().chain(starts).map(|sql| Statement { sql, expected: Some(1) });
        self.commit(&claims.collect::<Vec<_>>()).await?;
        self.lanes = lanes;
        Ok(())
    }

    /// All lanes came to `checkpoint`: the next commit ends them.
    pub(super) fn join_lanes(&mut self, checkpoint: Checkpoint) {
        self.checkpoint = checkpoint;
    }

    /// Ends the lanes, which all came to the checkpoint. Nothing where there are none.
    ///
    /// # Errors
    /// `TakenOver`, and what else green refuses.
    pub(crate) async fn end_lanes(&mut self) -> Result<()> {
        if self.lanes > 0 {
            let claims = self.claims(checkpoint::advance(self.place, self.owner, &self.checkpoint));
            self.commit(&claims).await?;
            self.lanes = 0;
            self.checkpoint.lanes.clear();
        }
        Ok(())
    }

    /// Commits statements of the checkpoint's table alone.
    async fn commit(&mut self, claims: &[Statement]) -> Result<()> {
        let script = opening("BEGIN", claims);
        let done = self.session.run_all(&script.sql, script.expected.len()).await.map_err(|(_, error)| error);
        match done {
            Ok(done) if is_as_expected(&done, &script.expected) => {}
            Ok(_) => return Err(self.give_up(taken_over()).await),
            Err(error) => return Err(self.give_up(error).await),
        }
        self.session.run("COMMIT").await?;
        Ok(())
    }

    /// The statements that write the checkpoint's rows, `first` that of the stream or the lane.
    fn claims(&self, first: String) -> Vec<Statement> {
        let ends = (0..self.lanes).map(|lane| checkpoint::end_lane(self.stream, lane));
        [first].into_iter().chain(ends).map(|sql| Statement { sql, expected: Some(1) }).collect()
    }

    /// Where a lane starts from.
    pub(super) fn start_from(&mut self, checkpoint: &Checkpoint) {
        self.checkpoint = Checkpoint { conflicts: 0, ..checkpoint.clone() };
    }

    /// Reads `source` from now on: coordinates in the checkpoints to come are of its log.
    pub(crate) fn follow(&mut self, source: ServerIdentity) {
        self.checkpoint.source = source;
    }

    /// The last checkpoint that is durable on green.
    pub(crate) fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Whether the next group must not be shared out among lanes: lanes start where a stream can start again, and where
    /// none of those before is ahead.
    pub(crate) fn must_go_on_whole(&self) -> bool {
        self.lanes > 0 || self.checkpoint.resume.is_some()
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
            resume: group.resume.clone(),
            committed_at_micros: match group.committed_at_micros {
                0 => self.checkpoint.committed_at_micros,
                micros => micros,
            },
            transactions: self.checkpoint.transactions + group.transactions,
            row_changes: self.checkpoint.row_changes + row_changes,
            conflicts: self.checkpoint.conflicts + parts.0,
            lanes: Vec::new(),
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
        self.lanes = 0;
        Ok(Applied {
            checkpoint: self.checkpoint.clone(),
            conflicts: parts.0 + conflicts,
            transactions: group.transactions,
            row_changes,
            operations: group.ops.len() as u64,
            bytes: group.bytes,
        })
    }

    /// Applies a part of a transaction that is too large for one group, and leaves it open.
    ///
    /// # Errors
    /// Those of [`apply`](Self::apply), and `Contention`. After an error nothing of the transaction is on green, and the
    /// stream must be claimed anew.
    pub(crate) async fn apply_part(&mut self, part: &Prepared) -> Result<()> {
        let hold = Statement { sql: checkpoint::hold(self.place, self.owner), expected: Some(1) };
        match self.write(part, &[hold]).await {
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
        let claims = self.claims(checkpoint::advance(self.place, self.owner, next));
        let conflicts = self.write(prepared, &claims).await?;
        if conflicts > 0 {
            // In the same transaction: that green had diverged is never forgotten.
            let next = Checkpoint { conflicts: next.conflicts + conflicts, ..next.clone() };
            if self.session.run(&checkpoint::advance(self.place, self.owner, &next)).await?.affected != 1 {
                return Err(taken_over());
            }
        }
        self.session.run("COMMIT").await?;
        Ok(conflicts)
    }

    /// Writes the rows, behind `claims`, the statements that write the checkpoint's rows. Answers how many of them met a
    /// green that was not as blue had been.
    async fn write(&mut self, prepared: &Prepared, claims: &[Statement]) -> Result<u64> {
        let (begin, undo) = match self.open {
            None => ("BEGIN", "ROLLBACK"),
            Some(_) => ("SAVEPOINT part", "ROLLBACK TO part"),
        };
        match self.fast(&prepared.scripts, begin, claims).await? {
            Fast::Applied => Ok(0),
            Fast::NeedsCare => {
                tracing::info!("green does not answer as expected, the group is applied row by row");
                self.session.run(undo).await?;
                self.put_back().await?;
                self.careful(&prepared.group, begin, claims).await
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
        self.put_back().await
    }

    /// What statements change in the session, and a script that ends early does not put back.
    async fn put_back(&mut self) -> Result<()> {
        self.session.run(FOREIGN_KEY_CHECKS).await?;
        if self.dialect.row_events().is_some() {
            self.session.run(row_event::CLOCK_AGAIN).await?;
        }
        Ok(())
    }

    /// All statements in as few round trips as they fit in; every one must affect the rows that it speaks of.
    async fn fast(&mut self, scripts: &[Script], begin: &str, claims: &[Statement]) -> Result<Fast> {
        for (index, script) in scripts.iter().enumerate() {
            let opened = (index == 0).then(|| opening(begin, claims).before(script));
            let script = opened.as_ref().unwrap_or(script);
            match self.session.run_all(&script.sql, script.expected.len()).await {
                Ok(done) => {
                    let mut claimed = done.iter().skip(1).zip(claims);
                    if index == 0 && claimed.any(|(done, claim)| !claim.is_met(done.affected)) {
                        return Err(taken_over());
                    }
                    if !is_as_expected(&done, &script.expected) {
                        return Ok(Fast::NeedsCare);
                    }
                }
                Err((_, error)) if error.kind() == ErrorKind::Divergence => return Ok(Fast::NeedsCare),
                Err((_, error)) if script.has_row_events && row_event::may_be_refusal(&error) => {
                    tracing::warn!(%error, "green refuses row events");
                    return Ok(Fast::NeedsCare);
                }
                Err((_, error)) => return Err(error),
            }
        }
        if let Some(row_events) = self.dialect.row_events()
            && scripts.iter().any(|script| script.has_row_events)
        {
            self.session.run(row_event::CLOCK_AGAIN).await?;
            if !row_events.were_strict(&mut self.session).await? {
                return Ok(Fast::NeedsCare);
            }
        }
        Ok(Fast::Applied)
    }

    /// One operation after the other: where green is not as blue was, blue wins. Answers how often that was so.
    async fn careful(&mut self, group: &Group, begin: &str, claims: &[Statement]) -> Result<u64> {
        self.session.run(begin).await?;
        for claim in claims {
            if !claim.is_met(self.session.run(&claim.sql).await?.affected) {
                return Err(taken_over());
            }
        }
        let mut conflicts = 0;
        for op in &group.ops {
            let at_table = |error: Error| error.at(|place| place.table = Some(op.table.name.to_string()));
            let stops = self.dialect.policy == Policy::Stop;
            let is_conflict = (stops && !self.is_as_it_was(group, op).await.map_err(at_table)?)
                || self.careful_op(group, op).await.map_err(at_table)?;
            if is_conflict && stops {
                return Err(at_table(conflict()));
            }
            if is_conflict {
                conflicts += 1;
                tracing::warn!(table = %op.table.name, kind = ?op.row.kind(), "green was not as blue had been; blue wins");
            }
        }
        // A foreign key that the next group stands on must not be passed over.
        self.session.run(FOREIGN_KEY_CHECKS).await?;
        Ok(conflicts)
    }

    /// Whether the operation finds its row as blue had it; an insert's is found out by inserting.
    async fn is_as_it_was(&mut self, group: &Group, op: &Op) -> Result<bool> {
        let (RowOp::Update { before: place, .. } | RowOp::Delete(place)) = op.row else { return Ok(true) };
        if op.table.row_key.is_none() {
            return Ok(true);
        }
        let before = &mut RowBuffer::new();
        let guard = statement::is_as_it_was(&op.table, &group.before(place, before)?)?;
        Ok(matches!(self.one(guard).await?, Outcome::Done(1)))
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
                    Outcome::Done(_) if table.row_key.is_some() => {
                        self.leave_trace(table, &before).await?;
                        Ok(true)
                    }
                    Outcome::Done(_) => Err(keyless_divergence()),
                    Outcome::Excluded => {
                        let message = "green holds rows that refer to a row that blue deleted";
                        let advice =
                            "see `conflicts`: delete on green what somebody else wrote there, then start again";
                        Err(Error::new(ErrorKind::Divergence, message).with_advice(advice))
                    }
                }
            }
        }
    }

    /// A delete that finds nothing is not in green's log, where the watch looks for what a foreign write met: the row comes,
    /// and goes again. Where it cannot come, because of a key or as only a part of it is known, there is no trace.
    async fn leave_trace(&mut self, table: &TargetTable, before: &Image<'_>) -> Result<()> {
        if !table.is_full(before) {
            return Ok(());
        }
        self.session.run(&statement::set_foreign_key_checks(false).sql).await?;
        if let Outcome::Done(_) = self.one(statement::insert_one(table, before)?).await? {
            self.one(statement::delete_one(table, before)?).await?;
        }
        Ok(())
    }

    /// Makes `after` a row of green whatever is there: what excludes it goes, the row key first.
    async fn put(&mut self, table: &TargetTable, before: Option<&Image<'_>>, after: &Image<'_>) -> Result<bool> {
        let Some(key) = &table.row_key else { return Err(keyless_divergence()) };
        if before.is_some() && !table.is_full(after) {
            return Err(Error::new(
                ErrorKind::Divergence,
                "green does not hold a row of which the log has only a part",
            ));
        }
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

/// A session that groups are written in, and how it takes row events if it does.
async fn open(url: &ServerUrl, green: &Server, policy: Policy) -> Result<(Session, Option<RowEvents>)> {
    // Row events cannot be compared with what is there.
    if policy == Policy::BlueWins {
        let mut session = open_for_sql(url, green).await?;
        if let Some(row_events) = RowEvents::prepare(&mut session, green).await? {
            return Ok((session, Some(row_events)));
        }
    }
    Ok((open_for_sql(url, green).await?, None))
}

async fn open_for_sql(url: &ServerUrl, green: &Server) -> Result<Session> {
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
    Ok(session)
}

/// How every script starts: with the checkpoint's rows, so that engines wait for each other there.
fn opening(begin: &str, claims: &[Statement]) -> Script {
    let mut script = Script::default();
    script.push(&Statement { sql: begin.into(), expected: None });
    for claim in claims {
        script.push(claim);
    }
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

fn conflict() -> Error {
    Error::new(
        ErrorKind::Divergence,
        "green's row is not as blue had it: somebody else wrote there, and the stream stops",
    )
    .with_advice("see `conflicts`; make the row as it is on blue, or go on with --conflicts blue-wins")
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
