use std::time::Duration;

use super::{Check, Verdict};
use crate::error::Result;
use crate::model::Flavor;
use crate::net::{Row, Server, Session};

/// At most so many connections are named; the rest is counted.
const NAMED: usize = 10;

/// Transactions on blue that are older than `limit`: each would hold up the fence.
///
/// Names connection ids, users and ages; never statements.
pub(crate) async fn no_long_transaction(blue: &mut Session, limit: Duration) -> Check {
    const NAME: &str = "no_long_transaction";
    // The processlist is joined from the right: a transaction without a connection (XA, recovered) has none there.
    let sql = format!(
        "SELECT t.trx_mysql_thread_id, COALESCE(p.USER, ''), TIMESTAMPDIFF(SECOND, t.trx_started, NOW()) \
         FROM information_schema.INNODB_TRX t LEFT JOIN information_schema.PROCESSLIST p \
         ON p.ID = t.trx_mysql_thread_id \
         WHERE t.trx_mysql_thread_id <> CONNECTION_ID() AND t.trx_started <= NOW() - INTERVAL {} SECOND \
         ORDER BY t.trx_started",
        limit.as_secs()
    );
    let rows = in_system_time_zone(blue, &sql).await;
    judge(NAME, rows, &format!("no transaction is older than {} s", limit.as_secs()), |row| {
        let owner = match row.text(1).as_str() {
            "" => String::new(),
            user => format!(" of {user}"),
        };
        format!("connection {}{owner} in a transaction for {} s", row.text(0), row.text(2))
    })
    .advised("let them end, or end them with KILL")
}

/// InnoDB writes `trx_started` in the operating system's time zone, whatever the server's or the session's is.
async fn in_system_time_zone(session: &mut Session, sql: &str) -> Result<Vec<Row>> {
    session.run("SET SESSION time_zone = 'SYSTEM'").await?;
    let rows = look(session, sql).await;
    session.run("SET SESSION time_zone = '+00:00'").await?;
    rows
}

/// Reads a view of running statements. MySQL fails the whole view (error 3854) while a statement runs whose text it
/// cannot show in three-byte UTF-8; the statement is over in a moment, so the view is read again.
async fn look(session: &mut Session, sql: &str) -> Result<Vec<Row>> {
    const CANNOT_CONVERT: u16 = 3854;
    for _ in 0..50 {
        match session.rows(sql).await {
            Err(error) if error.code() == Some(CANNOT_CONVERT) => tokio::time::sleep(Duration::from_millis(2)).await,
            answer => return answer,
        }
    }
    session.rows(sql).await
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
    // The statement's first word is looked at by the server and goes no further.
    let states = match server.version.flavor {
        Flavor::MySql => "'altering table', 'copy to tmp table', 'Waiting for global read lock'",
        Flavor::MariaDb => "'altering table', 'copy to tmp table', 'Waiting for backup lock'",
    };
    let sql = format!(
        "SELECT ID, USER, TIME, STATE FROM information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID() AND \
         (INFO REGEXP '^[[:space:]]*(alter|create|drop|truncate|rename|optimize|repair|flush[[:space:]]+tables)[[:space:]]' \
         OR STATE IN ({states}) OR STATE LIKE 'Waiting for%metadata lock' OR STATE = 'Waiting for global read lock') \
         AND COMMAND NOT IN ('Sleep', 'Binlog Dump', 'Binlog Dump GTID', 'Daemon') ORDER BY TIME DESC"
    );
    let rows = look(blue, &sql).await;
    judge(NAME, rows, "no schema change is running and nothing waits for a metadata lock", |row| {
        format!("connection {} of {} for {} s ({})", row.text(0), row.text(1), row.text(2), row.text(3).to_lowercase())
    })
    .advised("let them end, or end them with KILL")
}

async fn sees_all(session: &mut Session) -> Result<bool> {
    let grants = session.rows("SHOW GRANTS").await?;
    Ok(grants.iter().any(|grant| {
        let text = grant.text(0).to_ascii_uppercase();
        let is_global = text.contains(" ON *.* ");
        is_global && (text.starts_with("GRANT ALL PRIVILEGES") || text.contains("PROCESS"))
    }))
}

fn judge(name: &'static str, rows: Result<Vec<Row>>, none: &str, describe: impl Fn(&Row) -> String) -> Check {
    match rows {
        Err(error) => Check::unknown(name, &error),
        Ok(rows) if rows.is_empty() => Check::new(name, Verdict::Pass, none),
        Ok(rows) => {
            let mut named: Vec<String> = rows.iter().take(NAMED).map(describe).collect();
            if let Some(more) = rows.len().checked_sub(NAMED).filter(|more| *more > 0) {
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
