use std::time::{Duration, Instant};

use super::{STATEMENT_LIMIT, variables};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Flavor, Position};
use crate::net::{Server, ServerUrl, Session};

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
        reader.run("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ").await?;
        readers.push(reader);
    }
    let mut locker = Session::open(url).await?;
    let hold = Hold::of(server);
    let asked = lock(&mut locker, &mut readers, hold, limit).await?;
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

/// One try for the lock. The read lock waits for running statements, which may wait for a row of a transaction whose
/// client waits behind the read lock: only giving up frees such a knot, so a try is short.
const TRY: Duration = Duration::from_secs(1);

/// Answers when the try began that got the lock.
async fn lock(locker: &mut Session, readers: &mut [Session], hold: Hold, limit: Duration) -> Result<Instant> {
    let end = Instant::now() + limit;
    loop {
        let asked = Instant::now();
        match try_lock(locker, readers, hold).await {
            Ok(()) => return Ok(asked),
            Err(error) if error.kind() == ErrorKind::Contention && Instant::now() < end => {
                // The writers' turn.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(error) if error.kind() == ErrorKind::Contention => {
                let message = format!("blue's read lock could not be had within {} s", limit.as_secs());
                return Err(Error::new(ErrorKind::Timeout, message)
                    .with_advice("end the long statements and LOCK TABLES on blue, or try again when it is less busy")
                    .at(|place| place.server = Some(locker.address().to_owned())));
            }
            Err(error) => return Err(error),
        }
    }
}

async fn try_lock(locker: &mut Session, readers: &mut [Session], hold: Hold) -> Result<()> {
    let id = locker.id();
    locker.run(&format!("SET SESSION lock_wait_timeout = {}", TRY.as_secs())).await?;
    let take = async {
        for statement in hold.take {
            locker.run(statement).await?;
        }
        Ok(())
    };
    // The server's limit counts for each of the lock's stages; this one for all of them.
    let taken = tokio::time::timeout(TRY * 5, take).await;
    match taken {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => {
            // A stage that was taken before the one that failed.
            locker.run(hold.release).await?;
            Err(error)
        }
        Err(_) => {
            // The server would go on waiting, and blue's writes with it.
            if let Some(reader) = readers.first_mut() {
                reader.run(&format!("KILL {id}")).await?;
            }
            Err(Error::new(ErrorKind::Timeout, "blue's read lock could not be had")
                .with_advice("end the long statements and LOCK TABLES on blue, or try again when it is less busy")
                .at(|place| place.server = Some(locker.address().to_owned())))
        }
    }
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
