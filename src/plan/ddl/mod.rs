//! Statements that blue logged as text → what green shall run. Pure.
//!
//! Green runs blue's own text in blue's session, so the statement's inside is parsed by the one parser that knows all of
//! it: the server's. What must be known here is what kind of statement it is and which objects it touches: that is in its
//! head, in front of the definitions, and is read with the server's own lexical rules (character set, `sql_mode`,
//! versioned comments) and a grammar of every head that is let through. A general SQL parser would have to know both
//! families' whole DDL to say the same, and would refuse statements that green takes.
//!
//! # Invariants
//! 1. Nothing is guessed: a head that the grammar does not cover to the last name stops, with its place and the ways on.
//! 2. A setting of blue's session that is not known stops too: the same text may mean something else without it.
//! 3. What changes rows is never run: its rows could differ.
//! 4. A transaction has one statement at most that runs, and all its rows come behind it.
//!
//! What becomes of each class:
//!
//! | statement | on green |
//! |---|---|
//! | schemas, tables, indexes, partitions, views, routines, sequences, accounts and privileges | run |
//! | events | run, with ENABLE turned into a state in which green does not start them |
//! | triggers | CREATE is passed over: their effects are in blue's rows, and a switchover makes blue's triggers on green. DROP runs where green has it |
//! | CREATE TABLE … SELECT, as the log in row format has it | run; the rows follow in the engine's transaction |
//! | temporary tables; statistics, caches and the order of pages; the server's own schemas and `bluegreen` | passed over |
//! | DML in statement format | stops, with the remedy |
//! | anything else: loadable functions, servers, tablespaces, instances, … | stops |

mod class;
mod token;

use std::collections::HashMap;

use bytes::{Bytes, BytesMut};

use self::class::{Class, Run, classify};
use self::token::Reading;
use crate::decode::charset::Charset;
use crate::decode::{Change, SessionContext, Statement, Transaction};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Coordinates, Flavor, ServerVersion};

pub use self::class::Object;

/// A statement for green.
#[derive(Clone)]
#[non_exhaustive]
pub struct Ddl {
    /// Names the statement, on whichever server its log is read: the GTID, else the place.
    pub name: String,
    /// The start of its event in blue's log.
    pub start: Coordinates,
    /// The session's default schema; empty: none.
    pub schema: String,
    /// The text, in the session's `character_set_client`.
    pub sql: Bytes,
    /// The session it ran in.
    pub context: SessionContext,
    /// When it began, in seconds since 1970.
    pub seconds: u32,
    /// What it makes, changes or drops; empty: not known.
    pub objects: Vec<Object>,
    /// It drops its objects, and does nothing else.
    pub drops: bool,
    /// Where its one object is not there, there is nothing to do.
    pub only_if_there: bool,
    /// It names several accounts, which not every server changes in one step.
    pub is_list: bool,
    /// Count it as done, without running it.
    pub is_skipped: bool,
}

impl std::fmt::Debug for Ddl {
    /// Without the text, which may hold values and secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ddl({} bytes at {})", self.sql.len(), self.start)
    }
}

impl Ddl {
    /// Whether tables may be others after it.
    pub fn changes_tables(&self) -> bool {
        let is_table = |object: &Object| matches!(object, Object::Relation(_) | Object::Schema(_));
        self.objects.is_empty() || self.objects.iter().any(is_table)
    }
}

/// What an operator decided about a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Way {
    /// Green has its effect already, or shall not have it.
    Skip,
    /// Green runs it as it is, in blue's session. Rows that it changes are in green's log like anybody's: they count as
    /// foreign writes.
    Apply,
}

/// What decides about statements beside themselves.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Rules {
    /// Green's.
    pub green: ServerVersion,
    /// What was decided by hand, by the start of the statement's event.
    pub ways: HashMap<Coordinates, Way>,
    passes_triggers: bool,
}

impl Rules {
    /// Rules without a decision, for blue's log.
    pub fn new(green: ServerVersion) -> Rules {
        Rules { green, ways: HashMap::new(), passes_triggers: true }
    }

    /// The same for green's own log, where a trigger is somebody else's and would fire for blue's rows: it is `Unsupported`.
    pub(crate) fn of_green(green: ServerVersion) -> Rules {
        Rules { passes_triggers: false, ..Rules::new(green) }
    }

    /// The statement that green must run before the transaction's rows; `None`: there is none.
    ///
    /// # Errors
    /// `Unsupported` for what cannot be run, `Setting` for DML in statement format; with the place and the ways on.
    pub fn statement(&self, transaction: &Transaction) -> Result<Option<Ddl>> {
        let mut found = None;
        let mut has_rows = transaction.parts > 0;
        for change in &transaction.changes {
            let Change::Statement(statement) = change else {
                has_rows = true;
                continue;
            };
            let gtid = transaction.gtid.as_ref().map(ToString::to_string);
            let at_statement = |error: Error| {
                error.at(|place| {
                    place.coordinates = Some(statement.start.clone());
                    place.gtid = gtid.clone();
                    place.event = Some("QUERY".into());
                })
            };
            let Some(mut ddl) = self.one(statement).map_err(at_statement)? else { continue };
            if has_rows || found.is_some() {
                return Err(at_statement(stop("a statement stands behind other changes of its transaction")));
            }
            if let Some(gtid) = gtid {
                ddl.name = gtid;
            }
            found = Some(ddl);
        }
        Ok(found)
    }

    fn one(&self, statement: &Statement) -> Result<Option<Ddl>> {
        let way = self.ways.get(&statement.start);
        let context = statement.context()?;
        if way.is_some() {
            let run = Run::default();
            return Ok(Some(Ddl { is_skipped: way == Some(&Way::Skip), ..ddl(statement, context, run) }));
        }
        let Some(reading) = reading(statement, &context, self.green.flavor) else {
            return Err(stop("the statement's character set is not known"));
        };
        let invoker = context.invoker.as_ref();
        match classify(&statement.sql, &statement.schema, reading, invoker, at_rest(self.green)) {
            Class::Nothing => Ok(None),
            Class::Trigger if self.passes_triggers => Ok(None),
            Class::Trigger => Err(stop("a trigger on green fires for blue's rows")),
            Class::Data => Err(Error::new(ErrorKind::Setting, "a change was logged as a statement, not as rows")
                .with_advice(
                    "set binlog_format=ROW on blue, for running sessions too, and build green anew with `create`",
                )),
            Class::Stop(reason) => Err(stop(reason)),
            Class::Run(_) if !context.is_complete || has_unknown_options(&context, self.green.flavor) => {
                Err(stop("the statement's session has a setting that this version does not know"))
            }
            Class::Run(run) => Ok(Some(ddl(statement, context, run))),
        }
    }
}

/// How green is told that it shall not start an event.
fn at_rest(green: ServerVersion) -> &'static str {
    match green.is_at_least(Flavor::MySql, (8, 2, 0)) {
        true => " DISABLE ON REPLICA ",
        false => " DISABLE ON SLAVE ",
    }
}

/// The text that makes an event of which `SHOW CREATE EVENT` has this one, but so that green does not start it. `None`: it
/// is no such text.
pub(crate) fn event_at_rest(sql: &str, schema: &str, sql_mode: &str, green: ServerVersion) -> Option<String> {
    let has = |wanted: &str| sql_mode.split(',').any(|mode| mode == wanted);
    let reading = Reading {
        charset: Charset::Utf8mb4,
        ansi_quotes: has("ANSI_QUOTES"),
        backslash_escapes: !has("NO_BACKSLASH_ESCAPES"),
    };
    match classify(sql.as_bytes(), schema, reading, None, at_rest(green)) {
        Class::Run(run) if matches!(run.objects.as_slice(), [Object::Event(_)]) => {
            String::from_utf8(edited(&Bytes::copy_from_slice(sql.as_bytes()), &run.edits).to_vec()).ok()
        }
        _ => None,
    }
}

/// A refusal with the ways on.
fn stop(reason: &'static str) -> Error {
    Error::new(ErrorKind::Unsupported, reason).with_advice(WAYS_ON)
}

/// What an operator can do about a statement that stopped.
pub const WAYS_ON: &str = "look at it in blue's log; then make green as it must be by hand and start once with \
                           --statement-at FILE:OFFSET=skip, or let green run it as it is with --statement-at \
                           FILE:OFFSET=apply; or build green anew with `create`";

fn ddl(statement: &Statement, context: SessionContext, run: Run) -> Ddl {
    Ddl {
        name: statement.start.to_string(),
        start: statement.start.clone(),
        schema: statement.schema.clone(),
        sql: edited(&statement.sql, &run.edits),
        context,
        seconds: statement.seconds,
        objects: run.objects,
        drops: run.drops,
        only_if_there: run.only_if_there,
        is_list: run.is_list,
        is_skipped: false,
    }
}

fn edited(sql: &Bytes, edits: &[(std::ops::Range<usize>, String)]) -> Bytes {
    let (mut edited, mut at) = (BytesMut::new(), 0);
    for (range, text) in edits {
        edited.extend_from_slice(sql.get(at..range.start).unwrap_or_default());
        edited.extend_from_slice(text.as_bytes());
        at = range.end;
    }
    edited.extend_from_slice(sql.get(at..).unwrap_or_default());
    edited.freeze()
}

/// Bits of the options that are set on green again; that of autocommit means nothing for what commits by itself.
fn has_unknown_options(context: &SessionContext, flavor: Flavor) -> bool {
    let known: u32 = match flavor {
        Flavor::MySql => 1 << 14 | 1 << 19 | 1 << 26 | 1 << 27,
        Flavor::MariaDb => 1 << 14 | 1 << 15 | 1 << 19 | 1 << 24 | 1 << 26 | 1 << 27,
    };
    context.options.is_some_and(|options| options & !known != 0)
}

/// `sql_mode`'s numbers (MySQL source, `sql/query_options.h`; MariaDB's are the same).
const ANSI_QUOTES: u64 = 1 << 2;
const NO_BACKSLASH_ESCAPES: u64 = 1 << 20;

fn reading(statement: &Statement, context: &SessionContext, flavor: Flavor) -> Option<Reading> {
    let charset = match context.collations {
        Some((client, _, _)) => Charset::of_collation(flavor, client)?,
        None if statement.sql.is_ascii() => Charset::Utf8mb4,
        None => return None,
    };
    let mode = context.sql_mode.unwrap_or(0);
    Some(Reading { charset, ansi_quotes: mode & ANSI_QUOTES != 0, backslash_escapes: mode & NO_BACKSLASH_ESCAPES == 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Gtid, MariaDbGtid, TableName};

    const GREEN: ServerVersion = ServerVersion::new(Flavor::MariaDb, 10, 11, 18);

    fn transaction(statements: &[&str]) -> Transaction {
        let at = |offset| Coordinates::new("bin.000001", offset);
        let mut transaction = Transaction::new(at(4), at(900));
        let change = |(index, sql): (usize, &&str)| {
            let start = 100 + index as u64;
            Change::Statement(Statement::new("s", Bytes::copy_from_slice(sql.as_bytes()), at(start), at(start + 1)))
        };
        transaction.changes = statements.iter().enumerate().map(change).collect();
        transaction
    }

    fn plan(sql: &str) -> Result<Option<Ddl>> {
        Rules::new(GREEN).statement(&transaction(&[sql]))
    }

    fn relation(schema: &str, name: &str) -> Object {
        Object::Relation(TableName::new(schema, name))
    }

    #[test]
    fn a_head_names_what_it_touches() {
        for (sql, objects) in [
            ("CREATE TABLE a (x INT)", vec![relation("s", "a")]),
            ("/* x */ create or replace table if not exists `b`.`a` LIKE c", vec![relation("b", "a")]),
            (
                "ALTER TABLE a ADD COLUMN (`rename` INT, y INT), RENAME TO z.b",
                vec![relation("s", "a"), relation("z", "b")],
            ),
            ("ALTER TABLE a RENAME COLUMN x TO y, RENAME INDEX k TO l", vec![relation("s", "a")]),
            ("ALTER TABLE a EXCHANGE PARTITION p0 WITH TABLE b", vec![relation("s", "a"), relation("s", "b")]),
            ("DROP TABLE IF EXISTS `a`,t.b /* generated by server */", vec![relation("s", "a"), relation("t", "b")]),
            ("RENAME TABLE a TO b, c TO a", vec![relation("s", "a"), relation("s", "b"), relation("s", "c")]),
            ("TRUNCATE a", vec![relation("s", "a")]),
            ("CREATE UNIQUE INDEX i USING BTREE ON a (x)", vec![relation("s", "a")]),
            ("DROP INDEX `PRIMARY` ON a", vec![relation("s", "a")]),
            (
                "CREATE ALGORITHM=MERGE DEFINER=`r`@`%` SQL SECURITY INVOKER VIEW v AS SELECT 1",
                vec![relation("s", "v")],
            ),
            ("SET STATEMENT max_statement_time=1, lock_wait_timeout=2 FOR DROP TABLE a", vec![relation("s", "a")]),
            ("CREATE SEQUENCE q START WITH 5", vec![relation("s", "q")]),
            ("CREATE DATABASE IF NOT EXISTS d CHARSET latin1", vec![Object::Schema("d".into())]),
            ("ALTER SCHEMA CHARACTER SET latin1", vec![Object::Schema("s".into())]),
            ("ALTER DATABASE d COLLATE latin1_bin", vec![Object::Schema("d".into())]),
            (
                "CREATE DEFINER=r@localhost PROCEDURE p() BEGIN SELECT 1; SELECT 2; END",
                vec![Object::Routine("PROCEDURE", TableName::new("s", "p"))],
            ),
            ("GRANT SELECT ON *.* TO a@b", vec![Object::Accounts]),
        ] {
            let ddl = plan(sql).unwrap_or_else(|error| panic!("{sql}: {error}")).expect(sql);
            assert_eq!(ddl.objects, objects, "{sql}");
        }
    }

    #[test]
    fn what_leaves_nothing_is_passed_over() {
        for sql in [
            "DROP /*!40005 TEMPORARY */ TABLE IF EXISTS `a`",
            "CREATE TEMPORARY TABLE a (x INT)",
            "ANALYZE TABLE a",
            "OPTIMIZE LOCAL TABLE a",
            "FLUSH PRIVILEGES",
            "CREATE TABLE mysql.x (y INT)",
            "DROP TABLE bluegreen.checkpoint",
            "CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW SET @a = 1",
        ] {
            assert!(plan(sql).unwrap().is_none(), "{sql}");
        }
    }

    #[test]
    fn what_is_not_known_stops_with_its_place() {
        for (sql, kind) in [
            ("INSERT INTO a VALUES (1)", ErrorKind::Setting),
            ("/*!50003 UPDATE */ a SET x = 1", ErrorKind::Setting),
            ("SET STATEMENT max_statement_time=1 FOR DELETE FROM a", ErrorKind::Setting),
            ("CREATE TABLE a SELECT 1", ErrorKind::Setting),
            ("CREATE TABLE a TABLE b", ErrorKind::Setting),
            ("CREATE FUNCTION f RETURNS STRING SONAME 'x.so'", ErrorKind::Unsupported),
            ("SET STATEMENT sql_mode='ANSI_QUOTES' FOR DROP TABLE \"a\"", ErrorKind::Unsupported),
            ("ALTER TABLE a DISCARD TABLESPACE", ErrorKind::Unsupported),
            ("DROP TABLE a b", ErrorKind::Unsupported),
            ("DROP TABLE a; DROP TABLE b", ErrorKind::Unsupported),
            ("DROP TABLE a, mysql.b", ErrorKind::Unsupported),
            ("CREATE TABLESPACE x", ErrorKind::Unsupported),
            ("XYZZY", ErrorKind::Unsupported),
            ("", ErrorKind::Unsupported),
        ] {
            let error = plan(sql).unwrap_err();
            assert_eq!(error.kind(), kind, "{sql}");
            assert_eq!(error.place().unwrap().coordinates, Some(Coordinates::new("bin.000001", 100)), "{sql}");
        }
    }

    #[test]
    fn events_are_made_so_that_green_does_not_start_them() {
        let head = "CREATE DEFINER=`a`@`b` EVENT e ON SCHEDULE EVERY (1+1) DAY";
        for (sql, expected) in [
            (format!("{head} DO SET @do = 1"), format!("{head}  DISABLE ON SLAVE DO SET @do = 1")),
            (format!("{head} COMMENT 'DO' DO x"), format!("{head}  DISABLE ON SLAVE COMMENT 'DO' DO x")),
            (format!("{head} ENABLE DO x"), format!("{head}  DISABLE ON SLAVE  DO x")),
            (format!("{head} DISABLE DO x"), format!("{head} DISABLE DO x")),
            ("ALTER DEFINER=a EVENT e ENABLE".into(), "ALTER DEFINER=a EVENT e  DISABLE ON SLAVE ".into()),
            ("ALTER DEFINER=a EVENT e RENAME TO f".into(), "ALTER DEFINER=a EVENT e RENAME TO f".into()),
        ] {
            let ddl = plan(&sql).unwrap().unwrap();
            assert_eq!(String::from_utf8_lossy(&ddl.sql), expected);
        }
    }

    #[test]
    fn an_event_keeps_the_account_that_altered_it() {
        let reading = Reading { charset: Charset::Utf8mb4, ansi_quotes: false, backslash_escapes: true };
        let account = ("a`b".to_owned(), "%".to_owned());
        let Class::Run(run) = classify(b"ALTER EVENT e ENABLE", "s", reading, Some(&account), "OFF") else {
            panic!("does not run")
        };
        let sql = edited(&Bytes::from_static(b"ALTER EVENT e ENABLE"), &run.edits);
        assert_eq!(sql, "ALTER DEFINER=`a``b`@`%`  EVENT e OFF");
        assert!(matches!(classify(b"ALTER EVENT e ENABLE", "s", reading, None, "OFF"), Class::Stop(_)));
        let grant = classify(b"GRANT x TO CURRENT_USER", "s", reading, Some(&account), "OFF");
        assert!(matches!(grant, Class::Stop(_)));
    }

    #[test]
    fn rows_of_a_created_table_come_in_the_engines_transaction() {
        let ddl = plan("CREATE TABLE `a` (\n `x` int\n) ENGINE=InnoDB START TRANSACTION").unwrap().unwrap();
        assert_eq!(&ddl.sql[..], b"CREATE TABLE `a` (\n `x` int\n) ENGINE=InnoDB ");
    }

    #[test]
    fn a_statement_is_named_by_its_gtid_and_stands_alone() {
        let mut two = transaction(&["DROP TEMPORARY TABLE x", "DROP TABLE a"]);
        two.gtid = Some(Gtid::MariaDb(MariaDbGtid { domain: 0, server: 1, sequence: 7 }));
        assert_eq!(Rules::new(GREEN).statement(&two).unwrap().unwrap().name, "0-1-7");
        let both = transaction(&["DROP TABLE a", "DROP TABLE b"]);
        assert_eq!(Rules::new(GREEN).statement(&both).unwrap_err().kind(), ErrorKind::Unsupported);
    }

    #[test]
    fn an_operator_decides_by_place() {
        let mut rules = Rules::new(GREEN);
        for (way, is_skipped) in [(Way::Skip, true), (Way::Apply, false)] {
            rules.ways.insert(Coordinates::new("bin.000001", 100), way);
            let ddl = rules.statement(&transaction(&["XYZZY"])).unwrap().unwrap();
            assert_eq!((ddl.is_skipped, ddl.changes_tables()), (is_skipped, true));
        }
        assert!(rules.statement(&transaction(&["DROP TABLE a", "XYZZY"])).is_err());
    }
}
