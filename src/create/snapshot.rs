use std::time::{Duration, Instant};

use super::{STATEMENT_LIMIT, variables};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Flavor, Position};
use crate::net::{Patience, Server, ServerUrl, Session};

/// Several connections that see blue as it was at one position of its log.
pub(super) struct Snapshot {
    pub(super) position: Position,
    pub(super) readers: Vec<Session>,
    pub(super) lock_millis: u64,
}

/// Opens `count` snapshots at one position.
///
/// Every connection is open before the lock is asked for, so that it is held for as few round trips as there are
/// snapshots.
pub(super) async fn take(url: &ServerUrl, server: &Server, count: usize, limit: Duration) -> Result<Snapshot> {
    let mut readers = Vec::with_capacity(count);
    for _ in 0..count {
        let mut reader = Session::open(url).await?.with_limit(STATEMENT_LIMIT);
        variables::for_reading(&mut reader).await?;
        variables::for_finding(&mut reader).await?;
        reader.run("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ").await?;
        readers.push(reader);
    }
    let mut locker = Session::open(url).await?;
    let hold = Hold::of(server);
    let mut observer = Session::open(url).await?;
    let asked = lock(&mut locker, &mut observer, hold, limit).await?;
    let position = open(&mut locker, &mut readers, server).await;
    // Whatever went wrong, blue's writes go on now.
    let unlocked = locker.run(hold.release).await;
    let lock_millis = u64::try_from(asked.elapsed().as_millis()).unwrap_or(u64::MAX);
    let position = position?;
    unlocked?;
    for reader in &mut readers {
        // Text comes in the columns' own character sets from now on.
        reader.run("SET SESSION character_set_results = NULL").await?;
    }
    locker.close().await;
    observer.close().await;
    Ok(Snapshot { position, readers, lock_millis })
}

/// How a server's commits are held for a moment.
#[derive(Clone, Copy)]
struct Hold {
    take: &'static [&'static str],
    release: &'static str,
}

impl Hold {
    fn of(server: &Server) -> Hold {
        if server.version.is_at_least(Flavor::MariaDb, (10, 4, 1)) {
            // Holds commits alone and waits for no statement (MariaDB knowledge base, "BACKUP STAGE").
            return Hold { take: &["BACKUP STAGE START", "BACKUP STAGE BLOCK_COMMIT"], release: "BACKUP STAGE END" };
        }
        Hold { take: &["FLUSH TABLES WITH READ LOCK"], release: "UNLOCK TABLES" }
    }
}

/// Answers when the try began that got the lock: see `net::knot`.
async fn lock(locker: &mut Session, observer: &mut Session, hold: Hold, limit: Duration) -> Result<Instant> {
    locker.run(&format!("SET SESSION lock_wait_timeout = {}", limit.as_secs().max(1))).await?;
    let end = Instant::now() + limit;
    let mut patience = Patience::FIRST;
    loop {
        observer.wait_for_row_locks().await?;
        let asked = Instant::now();
        if try_lock(locker, observer, hold, patience.duration()).await? {
            return Ok(asked);
        }
        // A stage that was taken before the one that was not.
        locker.run(hold.release).await?;
        if Instant::now() + patience.duration() >= end {
            let message = format!("blue's read lock could not be had within {} s", limit.as_secs());
            return Err(Error::new(ErrorKind::Timeout, message)
                .with_advice("end the long statements and LOCK TABLES on blue, or try again when it is less busy")
                .at(|place| place.server = Some(locker.address().to_owned())));
        }
        // The writers' turn.
        tokio::time::sleep(patience.duration()).await;
        patience = patience.grown();
    }
}

async fn try_lock(locker: &mut Session, observer: &mut Session, hold: Hold, patience: Duration) -> Result<bool> {
    for statement in hold.take {
        if !locker.run_within(observer, statement, patience).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// With the lock held: nothing commits between the position and the snapshots.
async fn open(locker: &mut Session, readers: &mut [Session], server: &Server) -> Result<Position> {
    // A prepared transaction's rows are in the log before the position, but in no snapshot.
    if !locker.rows("XA RECOVER").await?.is_empty() {
        return Err(Error::new(ErrorKind::State, "blue has prepared XA transactions, which no snapshot holds")
            .with_advice("commit or roll them back (XA RECOVER lists them), then create again")
            .at(|place| place.server = Some(locker.address().to_owned())));
    }
    for reader in readers {
        reader.run("START TRANSACTION WITH CONSISTENT SNAPSHOT").await?;
    }
    server.head(locker).await
}
