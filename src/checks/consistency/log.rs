//! A server's log from one head to the next.

use crate::decode::{Assembled, Assembler, DecoderOptions, Transaction};
use crate::error::Result;
use crate::model::{Flavor, Gtid, GtidPosition, Position};
use crate::net::{Server, ServerUrl, Session};
use crate::source::{self, Dump, DumpRequest};

/// Transactions of more bytes than this are read in parts.
const PART_BYTES: u64 = 8 << 20;
/// How long a commit that is in the log may take to show, where nothing tells when it does.
const COMMIT_TIME: std::time::Duration = std::time::Duration::from_secs(1);

/// A position of the server's log such that whoever reads from now on sees all that is before it.
///
/// A log's end is no such position: commits stand in the log before readers see them. MySQL adds a GTID to its executed
/// ones after the commit (MySQL source, `sql/binlog.cc`, `process_commit_stage_queue`), and MariaDB tells the position
/// that belongs to a snapshot (MariaDB knowledge base, "START TRANSACTION", `binlog_snapshot_position`). MySQL without GTIDs
/// tells neither: there the head is what the log's end was a second ago.
///
/// # Errors
/// `Setting` where the server keeps no log, `Privilege`.
pub(super) async fn visible_head(server: &Server, session: &mut Session) -> Result<Position> {
    match server.version.flavor {
        Flavor::MariaDb => snapshot_head(server, session).await,
        Flavor::MySql => {
            let head = server.head(session).await?;
            if head.gtid.is_none() {
                tokio::time::sleep(COMMIT_TIME).await;
            }
            Ok(head)
        }
    }
}

/// Waits until whoever reads from the server sees all that its log has before `position`: a moment, and never longer than
/// a commit takes that is in the log already.
///
/// # Errors
/// Those of [`visible_head`].
pub(crate) async fn wait_until_visible(server: &Server, session: &mut Session, position: &Position) -> Result<()> {
    let began = tokio::time::Instant::now();
    while visible_head(server, session).await?.covers(position) != Some(true) && began.elapsed() < COMMIT_TIME {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    Ok(())
}

/// By file and offset: what belongs to it as a list of GTIDs the server would have to read its log for.
async fn snapshot_head(server: &Server, session: &mut Session) -> Result<Position> {
    session.run("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ").await?;
    session.run("START TRANSACTION WITH CONSISTENT SNAPSHOT").await?;
    let status = session.rows("SHOW STATUS LIKE 'binlog_snapshot_%'").await?;
    session.run("COMMIT").await?;
    let get = |name: &str| status.iter().find(|row| row.text(0).eq_ignore_ascii_case(name));
    let (file, offset) = (get("binlog_snapshot_file"), get("binlog_snapshot_position"));
    match (file.map(|row| row.text(1)), offset.and_then(|row| row.number(1))) {
        (Some(file), Some(offset)) if !file.is_empty() => {
            Ok(Position::new(crate::model::Coordinates::new(file, offset), None))
        }
        // Explains what is wrong.
        _ => server.head(session).await,
    }
}

/// A log that is read on from head to head.
#[derive(Debug)]
pub(super) struct Log {
    dump: Dump,
    assembler: Assembler,
    position: Position,
}

impl Log {
    /// Opens the server's log at a head.
    ///
    /// # Errors
    /// `Purged` where the server no longer has the log from there on, `Privilege`.
    pub(super) async fn open(url: &ServerUrl, server: &Server, session: &mut Session, start: &Position) -> Result<Log> {
        source::check_start(session, server, start).await?;
        let dump = Dump::open(url, server, &DumpRequest::new(start.clone(), crate::entropy::replica_id())).await?;
        let mut options = DecoderOptions::new(server.version.flavor, start.coordinates.clone());
        options.initial_checksum = server.binlog.has_checksums();
        let assembler = Assembler::new(options).with_parts(PART_BYTES).with_unprepared(true);
        Ok(Log { dump, assembler, position: start.clone() })
    }

    /// Reads up to `head` and hands on every transaction, or part of one, and whether it is behind `head` all the same:
    /// then readers do not see it for certain yet.
    ///
    /// Not cancel-safe, and after an error of no more use.
    pub(super) async fn read_to(
        &mut self,
        head: &Position,
        mut each: impl FnMut(&Transaction, bool) -> Result<()>,
    ) -> Result<()> {
        while self.position.covers(head) != Some(true) {
            self.assembler.push(self.dump.next().await?)?;
            while let Some(assembled) = self.assembler.next()? {
                match assembled {
                    Assembled::Part(part) => each(&part, is_behind(head, &part))?,
                    Assembled::Transaction(rest) => {
                        each(&rest, is_behind(head, &rest))?;
                        self.position.coordinates = rest.end.clone();
                        if let Some(executed) = &mut self.position.gtid {
                            for gtid in rest.gtids() {
                                executed.insert(gtid);
                            }
                        }
                    }
                    Assembled::Prepared(prepared) => self.position.coordinates = prepared.end,
                    Assembled::Advanced(coordinates) => self.position.coordinates = coordinates,
                    // The source has nothing more to send: all of its log before the heartbeat was read.
                    Assembled::Heartbeat(coordinates) if coordinates >= head.coordinates => return Ok(()),
                    Assembled::Heartbeat(_) => {}
                }
            }
        }
        Ok(())
    }
}

/// Whether the head's GTIDs lack the transaction's.
fn is_behind(head: &Position, transaction: &Transaction) -> bool {
    match (&head.gtid, &transaction.gtid) {
        (Some(GtidPosition::MySql(executed)), Some(Gtid::MySql(gtid))) => !executed.contains(gtid),
        _ => false,
    }
}
