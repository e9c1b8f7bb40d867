use super::blockers::{Process, sees_all};
use super::{Check, Verdict};
use crate::error::{Error, ErrorKind, Result};
use crate::net::Session;

/// Whether anything else replicates to one of the two: it would go on writing behind the switch.
///
/// Seen by the server's own replica threads, which every server lists.
pub(crate) async fn no_other_replication(blue: &mut Session, green: &mut Session) -> Check {
    const NAME: &str = "no_other_replication";
    let look = async {
        let mut named = Vec::new();
        for (server, session) in [("blue", blue), ("green", green)] {
            if !sees_all(session).await? {
                let message = format!("the account sees its own connections only on {server}");
                return Err(Error::new(ErrorKind::Setting, message).with_advice("grant it the PROCESS privilege"));
            }
            let threads = Process::list(session).await?.iter().filter(|process| process.replicates()).count();
            if threads > 0 {
                named.push(format!("{server} is an active replica of another server ({threads} threads)"));
            }
        }
        Ok(named)
    };
    match look.await {
        Err(error) => Check::unknown(NAME, &error),
        Ok(named) if named.is_empty() => Check::new(NAME, Verdict::Pass, "neither server is an active replica"),
        Ok(named) => Check::new(NAME, Verdict::Fail, named.join(", "))
            .with_advice("STOP REPLICA there (STOP SLAVE before MySQL 8.0.22 and on MariaDB)"),
    }
}

/// Whether green keeps what it has committed as well as blue does: settings that were relaxed while green was built.
pub(crate) async fn as_durable(blue: &mut Session, green: &mut Session) -> Check {
    const NAME: &str = "green_as_durable";
    let look = async { Ok((Durability::of(blue).await?, Durability::of(green).await?)) };
    match look.await {
        Err(error) => Check::unknown(NAME, &error),
        Ok((blue, green)) if green.keeps_as_much_as(blue) => {
            Check::new(NAME, Verdict::Pass, "green flushes its logs as blue does")
        }
        Ok((blue, green)) => Check::new(
            NAME,
            Verdict::Fail,
            format!(
                "green has sync_binlog {} and innodb_flush_log_at_trx_commit {}, blue {} and {}",
                green.sync_binlog, green.flush_log, blue.sync_binlog, blue.flush_log
            ),
        )
        .with_advice("set both on green as they are on blue: behind the switch a crash would lose commits"),
    }
}

#[derive(Debug, Clone, Copy)]
struct Durability {
    sync_binlog: u64,
    flush_log: u64,
}

impl Durability {
    async fn of(session: &mut Session) -> Result<Durability> {
        let row = session.first("SELECT @@global.sync_binlog, @@global.innodb_flush_log_at_trx_commit").await?;
        let number = |index| row.as_ref().and_then(|row| row.number(index));
        match (number(0), number(1)) {
            (Some(sync_binlog), Some(flush_log)) => Ok(Durability { sync_binlog, flush_log }),
            _ => Err(Error::internal("a setting that is no number")),
        }
    }

    /// 1 is each commit. `sync_binlog`: else each so many, 0 never. `innodb_flush_log_at_trx_commit`: else once a second; 3
    /// is MariaDB's, and more than 1.
    fn keeps_as_much_as(self, other: Durability) -> bool {
        let commits_at_risk = |count: u64| if count == 0 { u64::MAX } else { count };
        let flushes_each = |mode: u64| matches!(mode, 1 | 3);
        commits_at_risk(self.sync_binlog) <= commits_at_risk(other.sync_binlog)
            && (flushes_each(self.flush_log) || !flushes_each(other.flush_log))
    }
}

/// Whether green has as much of its data in memory as blue: a cold server answers slowly at first.
pub(crate) async fn warm(blue: &mut Session, green: &mut Session) -> Check {
    const NAME: &str = "green_warm";
    let look = async { Ok((buffered(blue).await?, buffered(green).await?)) };
    match look.await {
        Err(error) => Check::unknown(NAME, &error),
        Ok((blue, green)) => {
            let megabytes = |bytes: u64| bytes >> 20;
            let evidence =
                format!("green has {} MB of data in memory, blue {} MB", megabytes(green.data), megabytes(blue.data));
            // A smaller pool that is full is as warm as it gets.
            let is_warm = blue.data < LITTLE || green.data >= blue.data / 2 || green.free < green.data / 10;
            match is_warm {
                true => Check::new(NAME, Verdict::Pass, evidence),
                false => Check::new(NAME, Verdict::Warn, evidence)
                    .with_advice("read the tables on green that the application reads most, before the switch"),
            }
        }
    }
}

/// So much is read in a moment.
const LITTLE: u64 = 64 << 20;

/// InnoDB's buffer pool, in bytes.
struct Buffered {
    data: u64,
    free: u64,
}

async fn buffered(session: &mut Session) -> Result<Buffered> {
    let page = session.first("SELECT @@innodb_page_size").await?.and_then(|row| row.number(0)).unwrap_or(16 << 10);
    let rows = session
        .rows("SHOW GLOBAL STATUS WHERE Variable_name IN ('Innodb_buffer_pool_pages_data', 'Innodb_buffer_pool_pages_free')")
        .await?;
    let pages = |name: &str| {
        let row = rows.iter().find(|row| row.text(0).eq_ignore_ascii_case(name));
        row.and_then(|row| row.number(1)).ok_or_else(|| Error::internal(format!("no counter {name}")))
    };
    let data = pages("Innodb_buffer_pool_pages_data")?.saturating_mul(page);
    Ok(Buffered { data, free: pages("Innodb_buffer_pool_pages_free")?.saturating_mul(page) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durability_is_compared_by_what_a_crash_loses() {
        let of = |sync_binlog, flush_log| Durability { sync_binlog, flush_log };
        assert!(of(1, 1).keeps_as_much_as(of(1, 1)));
        assert!(of(1, 3).keeps_as_much_as(of(1, 1)));
        assert!(of(0, 2).keeps_as_much_as(of(0, 0)));
        assert!(of(100, 1).keeps_as_much_as(of(0, 1)));
        for (green, blue) in [((0, 1), (1, 1)), ((1, 2), (1, 1)), ((100, 1), (10, 1)), ((1, 0), (1, 3))] {
            assert!(!of(green.0, green.1).keeps_as_much_as(of(blue.0, blue.1)), "{green:?} {blue:?}");
        }
    }
}
