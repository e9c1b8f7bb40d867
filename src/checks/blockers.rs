use std::time::Duration;

use super::{Check, Verdict};
use crate::error::{Error, Result};
use crate::model::Flavor;
use crate::net::{Row, Server, Session};

/// At most so many connections are named; the rest is counted.
const NAMED: usize = 10;

/// Transactions on blue that are older than `limit`: each would hold up the fence.
///
/// Names connection ids, users and ages; never statements.
pub(crate) async fn no_long_transaction(blue: &mut Session, limit: Duration) -> Check {
    judge(
        "no_long_transaction",
        long_transactions(blue, limit).await,
        &format!("no transaction is older than {} s", limit.as_secs()),
        |long| {
            let owner = match long.user.as_str() {
                "" => String::new(),
                user => format!(" of {user}"),
            };
            format!("connection {}{owner} in a transaction for {} s", long.connection, long.seconds)
        },
    )
    .advised("let them end, or end them with KILL")
}

struct LongTransaction {
    connection: u64,
    /// Empty where no connection has it (XA, recovered).
    user: String,
    seconds: u64,
}

async fn long_transactions(blue: &mut Session, limit: Duration) -> Result<Vec<LongTransaction>> {
    /// What MySQL 8.0 and newer answer to any look at `INNODB_TRX` while one of its transactions runs a statement that
    /// three-byte UTF-8 cannot show. On a busy server that may be always.
    const CANNOT_CONVERT: u16 = 3854;
    let rows = match in_engine(blue, limit).await {
        Err(error) if error.code() == Some(CANNOT_CONVERT) => in_instruments(blue, limit, error).await?,
        rows => rows?,
    };
    let processes = Process::list(blue).await?;
    let user = |id| processes.iter().find(|process| process.id == id).map(|process| process.user.clone());
    Ok(rows
        .iter()
        .map(|row| (row.number(0).unwrap_or_default(), row.number(1).unwrap_or_default()))
        .map(|(connection, seconds)| LongTransaction {
            connection,
            user: user(connection).unwrap_or_default(),
            seconds,
        })
        .collect())
}

/// Connection and age, as InnoDB tells them. It writes `trx_started` in the operating system's time zone, whatever the
/// server's or the session's is.
async fn in_engine(blue: &mut Session, limit: Duration) -> Result<Vec<Row>> {
    let sql = format!(
        "SELECT trx_mysql_thread_id, TIMESTAMPDIFF(SECOND, trx_started, NOW()) FROM information_schema.INNODB_TRX \
         WHERE trx_mysql_thread_id <> CONNECTION_ID() AND trx_started <= NOW() - INTERVAL {} SECOND \
         ORDER BY trx_started",
        limit.as_secs()
    );
    blue.run("SET SESSION time_zone = 'SYSTEM'").await?;
    let rows = blue.rows(&sql).await;
    blue.run("SET SESSION time_zone = '+00:00'").await?;
    rows
}

/// The same as the Performance Schema tells it, where it watches every connection; else `refusal`.
async fn in_instruments(blue: &mut Session, limit: Duration, refusal: Error) -> Result<Vec<Row>> {
    let watches_all = "SELECT (SELECT COUNT(*) FROM performance_schema.setup_consumers WHERE ENABLED = 'YES' AND NAME IN \
                       ('global_instrumentation', 'thread_instrumentation', 'events_transactions_current')) = 3 \
                       AND (SELECT COUNT(*) FROM performance_schema.setup_instruments \
                       WHERE NAME = 'transaction' AND ENABLED = 'YES' AND TIMED = 'YES') = 1 \
                       AND (SELECT COUNT(*) FROM performance_schema.threads \
                       WHERE TYPE = 'FOREGROUND' AND INSTRUMENTED = 'NO') = 0 \
                       AND (SELECT VARIABLE_VALUE FROM performance_schema.global_status \
                       WHERE VARIABLE_NAME = 'Performance_schema_thread_instances_lost') = 0";
    if blue.first(watches_all).await?.and_then(|row| row.number(0)) != Some(1) {
        return Err(refusal.with_advice(
            "enable the consumer events_transactions_current and the instrument `transaction` of the Performance Schema",
        ));
    }
    let picoseconds = format!("{}e12", limit.as_secs());
    let sql = format!(
        "SELECT t.PROCESSLIST_ID, FLOOR(e.TIMER_WAIT / 1e12) FROM performance_schema.events_transactions_current e \
         JOIN performance_schema.threads t USING (THREAD_ID) \
         WHERE e.STATE = 'ACTIVE' AND e.TIMER_WAIT >= {picoseconds} AND t.PROCESSLIST_ID <> CONNECTION_ID() \
         ORDER BY e.TIMER_WAIT DESC"
    );
    blue.rows(&sql).await
}

/// The connections that stand behind a failure of [`no_long_transaction`] or [`no_running_ddl`] and can be ended: those of
/// accounts. What only waits for them goes on once they are gone; what nobody's connection holds (two-phase transactions)
/// is not among them.
pub(crate) async fn blocking_connections(server: &Server, blue: &mut Session, limit: Duration) -> Result<Vec<u64>> {
    let long = long_transactions(blue, limit).await?;
    let processes = Process::list(blue).await?;
    let is_long = |process: &Process| long.iter().any(|long| long.connection == process.id);
    let blocks = |process: &&Process| is_long(process) || process.blocks_tables(server.version.flavor);
    let of_account = |process: &&Process| !["system user", "event_scheduler"].contains(&process.user.as_str());
    Ok(processes
        .iter()
        .filter(blocks)
        .filter(of_account)
        .filter(|process| !process.only_waits())
        .map(|p| p.id)
        .collect())
}

/// Whether of these connections none is there any more, nor a transaction of one that is still rolled back.
pub(crate) async fn are_gone(connections: &[u64], blue: &mut Session) -> Result<bool> {
    let long = long_transactions(blue, Duration::ZERO).await?;
    let processes = Process::list(blue).await?;
    let mut there = long.iter().map(|long| long.connection).chain(processes.iter().map(|process| process.id));
    Ok(!there.any(|id| connections.contains(&id)))
}

/// A connection as the server lists it.
pub(super) struct Process {
    id: u64,
    user: String,
    command: String,
    seconds: u64,
    state: String,
    /// The beginning of its statement. It is looked at and goes no further.
    statement: String,
}

impl Process {
    /// All that the account may see, but for the session's own. (The view `PROCESSLIST` fails where this does not: see
    /// `CANNOT_CONVERT`.)
    pub(super) async fn list(session: &mut Session) -> Result<Vec<Process>> {
        let own = u64::from(session.id());
        let rows = session.rows("SHOW PROCESSLIST").await?;
        let process = |row: &Row| Process {
            id: row.number(0).unwrap_or_default(),
            user: row.text(1),
            command: row.text(4),
            seconds: row.number(5).unwrap_or_default(),
            state: row.text(6),
            statement: row.text(7),
        };
        Ok(rows.iter().map(process).filter(|process| process.id != own).collect())
    }

    /// Whether it changes a schema or holds all tables, or waits for somebody who does.
    fn blocks_tables(&self, flavor: Flavor) -> bool {
        const IDLE: &[&str] = &["Sleep", "Binlog Dump", "Binlog Dump GTID", "Daemon"];
        let waits_for_all = match flavor {
            Flavor::MySql => "Waiting for global read lock",
            Flavor::MariaDb => "Waiting for backup lock",
        };
        let state = self.state.as_str();
        !IDLE.contains(&self.command.as_str())
            && (changes_schema(&self.statement)
                || ["altering table", "copy to tmp table", "Waiting for global read lock", waits_for_all]
                    .contains(&state)
                || state.starts_with("Waiting for") && state.ends_with("metadata lock"))
    }

    /// Whether it waits for a table that somebody else has, and changes none itself.
    fn only_waits(&self) -> bool {
        self.state.starts_with("Waiting for") && !changes_schema(&self.statement)
    }

    /// Whether it is one of the server's own that write what another server sends: purging and the like have one name.
    pub(super) fn replicates(&self) -> bool {
        self.user == "system user" && self.command != "Daemon"
    }
}

/// Whether a statement begins like one that takes tables for itself. A guess; where it is wrong, a switchover waits, or one
/// that was told to end blockers ends a connection too many.
fn changes_schema(statement: &str) -> bool {
    const FIRST: &[&str] = &["alter", "create", "drop", "truncate", "rename", "optimize", "repair"];
    let statement = behind_comments(statement).to_ascii_lowercase();
    let mut words = statement.split_ascii_whitespace();
    match words.next() {
        Some("flush") => words.any(|word| matches!(word, "table" | "tables")),
        Some(first) => FIRST.contains(&first),
        None => false,
    }
}

/// The statement from its first word on. What stands in a comment for certain versions counts as text.
fn behind_comments(statement: &str) -> &str {
    let mut rest = statement.trim_start();
    loop {
        let behind = if let Some(version) = rest.strip_prefix("/*!").or_else(|| rest.strip_prefix("/*M!")) {
            Some(version.trim_start_matches(|c: char| c.is_ascii_digit()))
        } else if let Some(comment) = rest.strip_prefix("/*") {
            comment.split_once("*/").map(|(_, behind)| behind)
        } else if rest.starts_with("--") || rest.starts_with('#') {
            rest.split_once('\n').map(|(_, behind)| behind)
        } else {
            return rest;
        };
        match behind {
            Some(behind) => rest = behind.trim_start(),
            None => return "",
        }
    }
}

/// Transactions that were prepared with XA and wait for somebody's decision: they hold locks for ever.
pub(crate) async fn no_prepared_transaction(blue: &mut Session) -> Check {
    let rows = blue.rows("XA RECOVER").await;
    let count = rows.as_ref().map_or(0, Vec::len);
    // The ids are the application's own bytes: count them, do not print them.
    judge(
        "no_prepared_transaction",
        rows.map(|rows| rows.into_iter().take(1).collect()),
        "no XA transaction is prepared",
        |_| format!("{count} prepared XA transactions"),
    )
    .advised("commit or roll them back: XA RECOVER lists them")
}

/// Schema changes and global read locks that run now, or that something waits for.
///
/// A session that holds a global read lock and is idle shows only by who waits for it.
///
/// A MySQL without the processlist privilege shows only the account's own connections, which would look like a pass:
/// that is unknown.
pub(crate) async fn no_running_ddl(server: &Server, blue: &mut Session) -> Check {
    const NAME: &str = "no_running_ddl";
    match sees_all(blue).await {
        Ok(true) => {}
        Ok(false) => {
            return Check::new(NAME, Verdict::Unknown, "the account sees its own connections only")
                .with_advice("grant it the PROCESS privilege");
        }
        Err(error) => return Check::unknown(NAME, &error),
    }
    let processes = Process::list(blue).await.map(|processes| {
        let mut blocking: Vec<Process> =
            processes.into_iter().filter(|process| process.blocks_tables(server.version.flavor)).collect();
        blocking.sort_by_key(|process| std::cmp::Reverse(process.seconds));
        blocking
    });
    judge(NAME, processes, "no schema change is running and nothing waits for a metadata lock", |process| {
        format!(
            "connection {} of {} for {} s ({})",
            process.id,
            process.user,
            process.seconds,
            process.state.to_lowercase()
        )
    })
    .advised("let them end, or end them with KILL")
}

pub(super) async fn sees_all(session: &mut Session) -> Result<bool> {
    let grants = session.rows("SHOW GRANTS").await?;
    Ok(grants.iter().any(|grant| {
        let text = grant.text(0).to_ascii_uppercase();
        let is_global = text.contains(" ON *.* ");
        is_global && (text.starts_with("GRANT ALL PRIVILEGES") || text.contains("PROCESS"))
    }))
}

fn judge<T>(name: &'static str, found: Result<Vec<T>>, none: &str, describe: impl Fn(&T) -> String) -> Check {
    match found {
        Err(error) => Check::unknown(name, &error),
        Ok(found) if found.is_empty() => Check::new(name, Verdict::Pass, none),
        Ok(found) => {
            let mut named: Vec<String> = found.iter().take(NAMED).map(describe).collect();
            if let Some(more) = found.len().checked_sub(NAMED).filter(|more| *more > 0) {
                named.push(format!("and {more} more"));
            }
            Check::new(name, Verdict::Fail, named.join(", "))
        }
    }
}

impl Check {
    /// The advice for a failure; a pass needs none and an unknown has its own.
    fn advised(self, advice: &str) -> Check {
        if self.verdict == Verdict::Fail { self.with_advice(advice) } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schema_changes_are_told_by_their_first_word() {
        for statement in [
            "ALTER TABLE t ADD c INT",
            "  create\nindex i on t (a)",
            "/* job 7 */ -- nightly\n# now\nDROP TABLE t",
            "/*!50000 TRUNCATE */ t",
            "FLUSH TABLES WITH READ LOCK",
            "flush local tables",
        ] {
            assert!(changes_schema(statement), "{statement}");
        }
        for statement in
            ["", "SELECT 'ALTER TABLE'", "UPDATE alter_log SET a = 1", "FLUSH LOGS", "/* ALTER TABLE", "-- DROP"]
        {
            assert!(!changes_schema(statement), "{statement}");
        }
    }

    #[test]
    fn idle_connections_block_nothing() {
        let process = |command: &str, state: &str, statement: &str| Process {
            id: 1,
            user: "app".into(),
            command: command.into(),
            seconds: 0,
            state: state.into(),
            statement: statement.into(),
        };
        let blocks = |process: Process| process.blocks_tables(Flavor::MySql);
        assert!(!blocks(process("Sleep", "", "")));
        assert!(!blocks(process("Query", "updating", "UPDATE t SET a = 1")));
        assert!(blocks(process("Query", "Waiting for table metadata lock", "SELECT 1 FROM t")));
        assert!(blocks(process("Query", "altering table", "SET STATEMENT x = 1 FOR ALTER TABLE t ADD c INT")));
        assert!(blocks(process("Query", "Waiting for global read lock", "INSERT INTO t VALUES (1)")));
        assert!(!blocks(process("Binlog Dump", "Waiting for table metadata lock", "")));
    }
}
