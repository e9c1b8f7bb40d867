use std::time::{Duration, Instant};

use super::{STATEMENT_LIMIT, variables};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Position;
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
    locker.run(&format!("SET SESSION lock_wait_timeout = {}", limit.as_secs().max(1))).await?;
    let asked = Instant::now();
    lock(&mut locker, &mut readers, limit).await?;
    let position = open(&mut locker, &mut readers, server).await;
    // Whatever went wrong, blue's writes go on now.
    let unlocked = locker.run("UNLOCK TABLES").await;
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

async fn lock(locker: &mut Session, readers: &mut [Session], limit: Duration) -> Result<()> {
    let (id, address) = (locker.id(), locker.address().to_owned());
    let too_long = || {
        Error::new(ErrorKind::Timeout, format!("blue's read lock could not be had within {} s", limit.as_secs()))
            .with_advice("end the long statements and LOCK TABLES on blue, or try again when it is less busy")
            .at(|place| place.server = Some(address.clone()))
    };
    // The server's limit counts for each of the lock's stages; this one for all of them.
    let bound = limit + Duration::from_millis(500);
    match tokio::time::timeout(bound, locker.run("FLUSH TABLES WITH READ LOCK")).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) if error.kind() == ErrorKind::Contention => Err(too_long()),
        Ok(Err(error)) => Err(error),
        Err(_) => {
            // The server would go on waiting, and blue's writes with it.
            if let Some(reader) = readers.first_mut() {
                reader.run(&format!("KILL {id}")).await?;
            }
            Err(too_long())
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
