//! Statements of blue on green: in blue's session, exactly once.
//!
//! DDL commits by itself, so its proof cannot be in its own transaction. It is in `bluegreen.statement`, a row a stream:
//! which statement is under way, and what its objects were before. An engine that finds the row of a statement that it is
//! to run looks at the objects again: as before, it was not carried out (or changed nothing, and may run again: every
//! statement that leaves its objects' definitions and InnoDB's numbers as they were does the same a second time); changed,
//! it was. The form needs nothing of the server and works on all of them; MySQL's `GTID_NEXT` would need GTIDs on green and
//! put blue's among green's own.
//!
//! # Invariants
//! 1. The row is durable before the statement is sent, and says "done" before rows that come behind are applied.
//! 2. Only one engine is between the two: it holds a lock by name, which the server frees when that connection, and what
//!    it was running, has ended.
//! 3. Where a crash of the server may have left half of a statement (several objects; before MySQL 8.0 and MariaDB 10.6),
//!    or nothing is known of its objects, the answer is not guessed: it stops.
//! 4. The row's writes announce the statement in green's log: that is how `watch` tells it from a foreign one.

use std::time::Duration;

use super::checkpoint::{self, Owner, Stream};
use super::context::{self, Defaults};
use super::definition;
use super::green::taken_over;
use crate::error::{Error, ErrorKind, Recovery, Result};
use crate::model::{Flavor, ServerVersion, Table};
use crate::net::{ServerUrl, Session, targets, text_literal};
use crate::plan::{Ddl, Object, WAYS_ON};

/// The longest time that one statement may take: a table may be large.
const STATEMENT_LIMIT: Duration = Duration::from_secs(7 * 24 * 3600);

/// Runs blue's statements on green.
#[derive(Debug, Clone)]
pub(crate) struct Statements {
    url: ServerUrl,
    green: ServerVersion,
    stream: Stream,
    owner: Owner,
    defaults: Defaults,
}

/// How far the statement of a row came.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// It may have been carried out or not.
    Begun = 0,
    /// It was carried out, or skipped.
    Done = 1,
    /// It stopped, and an operator was asked.
    Asked = 2,
}

/// What is known of a statement that was begun.
#[derive(Debug, PartialEq, Eq)]
enum Settled {
    Done,
    NotDone,
    Unclear,
}

impl Statements {
    /// For the stream of an engine that claimed it.
    pub(crate) fn new(
        url: ServerUrl,
        green: ServerVersion,
        stream: Stream,
        owner: Owner,
        defaults: Defaults,
    ) -> Statements {
        Statements { url, green, stream, owner, defaults }
    }

    /// Runs a statement, unless it was carried out before; green holds all before it and nothing behind it. Answers
    /// green's tables, where the statement may have changed them. `session` is the applier's, between groups.
    ///
    /// # Errors
    /// `TakenOver`; `State` where it is not known whether the statement was carried out; green's refusal. After any
    /// error the statement may have been carried out: a next call finds out.
    pub(crate) async fn run(&self, session: &mut Session, ddl: &Ddl) -> Result<Option<Vec<Table>>> {
        self.carry_out(session, ddl).await.map_err(|error| {
            let error = match error.recovery() {
                Recovery::Operator if error.kind() != ErrorKind::Privilege => error.with_advice(WAYS_ON),
                _ => error,
            };
            error.at(|place| {
                place.coordinates = Some(ddl.start.clone());
                place.gtid = (ddl.name != ddl.start.to_string()).then(|| ddl.name.clone());
                place.event = Some("QUERY".into());
            })
        })?;
        if !ddl.changes_tables() {
            return Ok(None);
        }
        let tables = targets(session).await?;
        if !ddl.is_skipped {
            check_engines(ddl, &tables)?;
        }
        Ok(Some(tables))
    }

    async fn carry_out(&self, session: &mut Session, ddl: &Ddl) -> Result<()> {
        let mut own = Session::open(&self.url).await?.with_limit(STATEMENT_LIMIT);
        self.lock(&mut own).await?;
        let now = definition::read(session, self.green, &ddl.objects).await?;
        let is_by_hand = ddl.is_skipped || ddl.objects.is_empty();
        match self.begun(session, ddl).await? {
            Some((State::Done, _)) => return Ok(()),
            Some((State::Asked, _)) if is_by_hand => {}
            Some((State::Begun, _)) if ddl.is_skipped => {}
            Some((state, before)) => match settle(ddl, self.is_atomic(), &before, &now) {
                _ if state == State::Asked => return Err(unclear()),
                Settled::NotDone => {}
                Settled::Done => return self.mark(session, State::Done).await,
                Settled::Unclear => {
                    self.mark(session, State::Asked).await?;
                    return Err(unclear());
                }
            },
            None => {}
        }
        self.begin(session, ddl, &now).await?;
        let is_there = now.iter().all(|definition| !definition.is_empty());
        if !ddl.is_skipped && (is_there || !ddl.only_if_there) {
            context::set(&mut own, ddl, self.green, &self.defaults).await?;
            tracing::info!(start = %ddl.start, "green runs a statement of blue");
            own.run_bytes(&ddl.sql).await.map_err(|error| quiet(ddl, error))?;
        }
        self.mark(session, State::Done).await?;
        own.close().await;
        Ok(())
    }

    /// Waits until nobody else runs a statement of this stream (invariant 2).
    async fn lock(&self, own: &mut Session) -> Result<()> {
        // An engine whose machine is gone says no good-bye: the server shall not wait for it for long.
        own.run("SET SESSION wait_timeout = 120").await?;
        let ask = format!("SELECT GET_LOCK('bluegreen.{}', 10)", self.stream.name());
        while own.first(&ask).await?.and_then(|row| row.number(0)) != Some(1) {
            tracing::info!("a statement that another engine began is still running on green");
        }
        Ok(())
    }

    /// Whether servers of green's version carry out a statement with several objects wholly or not at all.
    fn is_atomic(&self) -> bool {
        self.green.is_at_least(Flavor::MySql, (8, 0, 0)) || self.green.is_at_least(Flavor::MariaDb, (10, 6, 1))
    }

    /// What is known of this statement; `None`: it was not begun.
    async fn begun(&self, session: &mut Session, ddl: &Ddl) -> Result<Option<(State, Vec<String>)>> {
        let select = format!(
            "SELECT state, before_it FROM bluegreen.statement WHERE stream = '{}' AND name = {}",
            self.stream.name(),
            text_literal(&ddl.name)
        );
        let Some(row) = session.first(&select).await? else { return Ok(None) };
        let state = match row.number(0) {
            Some(0) => State::Begun,
            Some(1) => State::Done,
            Some(2) => State::Asked,
            _ => return Err(unreadable()),
        };
        let before = serde_json::from_slice(row.bytes(1).unwrap_or_default()).map_err(|_| unreadable())?;
        Ok(Some((state, before)))
    }

    /// Invariants 1 and 4. Nobody who was replaced gets past it.
    async fn begin(&self, session: &mut Session, ddl: &Ddl, before: &[String]) -> Result<()> {
        let stream = self.stream.name();
        let before = serde_json::to_string(before).map_err(|error| Error::internal("no JSON").with_source(error))?;
        session.run("BEGIN").await?;
        if !checkpoint::lock_owned(session, self.stream, self.owner).await? {
            session.run("ROLLBACK").await?;
            return Err(taken_over());
        }
        session.run(&format!("DELETE FROM bluegreen.statement WHERE stream = '{stream}'")).await?;
        session
            .run(&format!(
                "INSERT INTO bluegreen.statement SET stream = '{stream}', name = {}, state = 0, before_it = {}, \
                 updated_at = UTC_TIMESTAMP(6)",
                text_literal(&ddl.name),
                text_literal(&before)
            ))
            .await?;
        session.run("COMMIT").await?;
        Ok(())
    }

    async fn mark(&self, session: &mut Session, state: State) -> Result<()> {
        let update = format!(
            "UPDATE bluegreen.statement SET state = {}, updated_at = UTC_TIMESTAMP(6) WHERE stream = '{}'",
            state as u8,
            self.stream.name()
        );
        session.run(&update).await.map(|_| ())
    }
}

/// Whether a statement that was begun was carried out.
fn settle(ddl: &Ddl, is_atomic: bool, before: &[String], now: &[String]) -> Settled {
    if before.len() != now.len() || now.is_empty() {
        return Settled::Unclear;
    }
    let changed = before.iter().zip(now).filter(|(before, now)| before != now).count();
    let is_gone = now.iter().all(String::is_empty);
    if changed == 0 || (ddl.drops && matches!(ddl.objects[..], [Object::Schema(_)]) && !is_gone) {
        return Settled::NotDone;
    }
    if ddl.drops {
        // MariaDB drops one object after the other.
        return if is_gone { Settled::Done } else { Settled::Unclear };
    }
    if is_atomic || (now.len() == 1 && !ddl.is_list) || (changed == now.len() && !ddl.is_list) {
        return Settled::Done;
    }
    Settled::Unclear
}

/// A table that cannot be changed together with the checkpoint would not be replicated exactly once.
fn check_engines(ddl: &Ddl, tables: &[Table]) -> Result<()> {
    let foreign = tables.iter().find(|table| {
        !table.engine.eq_ignore_ascii_case("InnoDB")
            && ddl.objects.iter().any(|object| matches!(object, Object::Relation(name) if *name == table.name))
    });
    match foreign {
        None => Ok(()),
        Some(table) => {
            Err(Error::new(ErrorKind::Unsupported, format!("the table is now of engine {}, not InnoDB", table.engine))
                .with_advice("make it InnoDB on green, then start once with --statement-at FILE:OFFSET=skip")
                .at(|place| {
                    place.coordinates = Some(ddl.start.clone());
                    place.table = Some(table.name.to_string());
                }))
        }
    }
}

/// A refusal without the server's words where these may hold a secret.
fn quiet(ddl: &Ddl, error: Error) -> Error {
    let is_account = ddl.objects.is_empty() || ddl.objects.contains(&Object::Accounts);
    match error.code() {
        Some(code) if is_account => {
            Error::new(error.kind(), format!("green refused a statement with error {code}")).with_code(code)
        }
        _ => error,
    }
}

fn unclear() -> Error {
    Error::new(ErrorKind::State, "a statement was begun on green, and it is not known whether it was carried out")
}

fn unreadable() -> Error {
    Error::new(ErrorKind::State, "the record of a statement on green cannot be read")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Coordinates, TableName};

    fn ddl(objects: Vec<Object>, drops: bool, is_list: bool) -> Ddl {
        Ddl {
            name: String::new(),
            start: Coordinates::new("bin.000001", 4),
            schema: String::new(),
            sql: Vec::new().into(),
            context: Default::default(),
            seconds: 0,
            objects,
            drops,
            only_if_there: false,
            is_list,
            is_skipped: false,
        }
    }

    fn tables(count: usize) -> Vec<Object> {
        vec![Object::Relation(TableName::new("s", "t")); count]
    }

    /// Each state of the objects after a crash, on servers with atomic statements and on others.
    #[test]
    fn a_statement_is_settled_by_its_objects() {
        use Settled::{Done, NotDone, Unclear};
        let schema = vec![Object::Schema("s".into())];
        let accounts = vec![Object::Accounts];
        let (make, drop) = (|count| ddl(tables(count), false, false), |count| ddl(tables(count), true, false));
        for (what, ddl, before, now, atomic, other) in [
            ("not made", make(1), &[""][..], &[""][..], NotDone, NotDone),
            ("made", make(1), &[""], &["x"], Done, Done),
            ("renamed", make(2), &["x", ""], &["", "x"], Done, Done),
            ("exchanged by a third name", make(3), &["x", "", "y"], &["y", "", "x"], Done, Unclear),
            ("not exchanged", make(3), &["x", "", "y"], &["x", "", "y"], NotDone, NotDone),
            ("one of two dropped", drop(2), &["x", "y"], &["", "y"], Unclear, Unclear),
            ("both dropped", drop(2), &["x", "y"], &["", ""], Done, Done),
            ("a schema half dropped", ddl(schema.clone(), true, false), &["x"], &["y"], NotDone, NotDone),
            ("a schema dropped", ddl(schema, true, false), &["x"], &[""], Done, Done),
            ("several accounts", ddl(accounts.clone(), false, true), &["1"], &["2"], Done, Unclear),
            ("an account", ddl(accounts, false, false), &["1"], &["2"], Done, Done),
            ("nothing known", make(0), &[], &[], Unclear, Unclear),
        ] {
            let text = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
            let (before, now) = (text(before), text(now));
            assert_eq!(settle(&ddl, true, &before, &now), atomic, "{what}");
            assert_eq!(settle(&ddl, false, &before, &now), other, "{what}");
        }
    }
}
