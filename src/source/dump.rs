use std::time::Duration;

use bytes::{Buf, Bytes};
use mysql_common::packets::{ComBinlogDumpGtid, GnoInterval, Sid, Tag};
use mysql_common::proto::MySerialize;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{Flavor, Frame, GtidPosition, GtidSet, Position};
use crate::net::{Server, ServerUrl, Session, Wire};

/// How a live log is to be read.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DumpRequest {
    /// Where to start. By GTID where the position has GTIDs, else by file and offset.
    pub start: Position,
    /// The replica's number that this reader registers under; no other replica of the source may have it.
    pub server_id: u32,
    /// How often an idle source says that it is alive. Default 1 s, at least 10 ms. A source that is silent for four
    /// of these, and 5 s more, counts as lost.
    pub heartbeat: Duration,
}

impl DumpRequest {
    /// A request with the default heartbeat.
    pub fn new(start: Position, server_id: u32) -> DumpRequest {
        DumpRequest { start, server_id, heartbeat: Duration::from_secs(1) }
    }
}

/// The dump stream of a live server (MySQL source documentation, "COM_BINLOG_DUMP", "COM_BINLOG_DUMP_GTID"; MariaDB
/// knowledge base, "COM_BINLOG_DUMP").
///
/// The stream is fused: after an error, it gives only errors. It has no clean end: a server that ends the stream has been
/// told to stop, and that is an error here.
///
/// A frame is a view of the buffer that the socket was read into, of about a mebibyte. That is read into again once all
/// its frames are dropped; a reader that keeps few frames for long should copy them.
///
/// # Cancel safety
/// A future of [`Dump::next`] or [`Dump::next_batch`] that is dropped took nothing: the next call gives what it would
/// have given.
pub struct Dump {
    wire: Wire,
    is_ended: bool,
    /// What ended the stream, where frames were given first.
    untold: Option<Error>,
}

impl std::fmt::Debug for Dump {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dump").field("is_ended", &self.is_ended).finish_non_exhaustive()
    }
}

impl Dump {
    /// Connects as a replica and asks for the log.
    ///
    /// # Errors
    /// `Purged`, `Position`, `Privilege`, `Setting` as the server refuses, or a connection's errors. Some refusals
    /// arrive with the first [`Dump::next`].
    pub async fn open(url: &ServerUrl, server: &Server, request: &DumpRequest) -> Result<Dump> {
        let mut wire = Wire::connect(url).await?;
        let by_gtid = match &request.start.gtid {
            Some(gtid) if server.binlog.has_gtid => Some(gtid),
            _ => None,
        };
        prepare(&mut wire, server, request, by_gtid).await?;
        register(&mut wire, request.server_id).await?;
        match (server.version.flavor, by_gtid) {
            (Flavor::MySql, Some(GtidPosition::MySql(executed))) => {
                wire.command(0x1E, &gtid_dump(request.server_id, executed)?).await?;
            }
            (Flavor::MariaDb, Some(_)) => wire.command(0x12, &file_dump(request.server_id, "", 4)?).await?,
            _ => {
                let at = &request.start.coordinates;
                wire.command(0x12, &file_dump(request.server_id, &at.file, at.offset)?).await?;
            }
        }
        let silence_limit = request.heartbeat.saturating_mul(4).saturating_add(Duration::from_secs(5));
        wire.limit_silence(silence_limit);
        Ok(Dump { wire, is_ended: false, untold: None })
    }

    /// The next event.
    ///
    /// # Errors
    /// `Disconnected` where the source ends the stream, breaks the connection or goes silent; the server's refusal.
    pub async fn next(&mut self) -> Result<Frame> {
        self.read(|dump| dump.received()).await
    }

    /// Adds the next events, as many as came: at least one, and of those that are smaller than 256 KiB at most about
    /// a mebibyte. It waits for the source only where nothing came yet.
    ///
    /// # Errors
    /// Those of [`Dump::next`], once all events before the error were given.
    pub async fn next_batch(&mut self, frames: &mut Vec<Frame>) -> Result<()> {
        self.read(|dump| dump.received_batch(frames)).await
    }

    async fn read<T>(&mut self, take: impl FnMut(&mut Dump) -> Result<Option<T>>) -> Result<T> {
        if self.is_ended {
            return Err(self.untold.take().unwrap_or_else(|| Error::internal("the stream is read after its error")));
        }
        let taken = self.wait_for(take).await;
        self.is_ended |= taken.is_err();
        taken
    }

    async fn wait_for<T>(&mut self, mut take: impl FnMut(&mut Dump) -> Result<Option<T>>) -> Result<T> {
        loop {
            if let Some(taken) = take(self)? {
                return Ok(taken);
            }
            self.wire.receive().await?;
        }
    }

    fn received_batch(&mut self, frames: &mut Vec<Frame>) -> Result<Option<()>> {
        let before = frames.len();
        loop {
            match self.received() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => return Ok((frames.len() > before).then_some(())),
                Err(error) if frames.len() > before => {
                    (self.is_ended, self.untold) = (true, Some(error));
                    return Ok(Some(()));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The next event, if it is here already.
    fn received(&mut self) -> Result<Option<Frame>> {
        self.wire.received()?.map(|packet| self.frame(packet)).transpose()
    }

    fn frame(&self, mut packet: Bytes) -> Result<Frame> {
        match packet.first() {
            Some(0x00) => {
                packet.advance(1);
                Ok(Frame::new(packet))
            }
            Some(0xFF) => Err(self.wire.refusal(&packet)),
            // An end-of-file packet: the server stops sending, for a shutdown or because another reader took our place.
            Some(0xFE) if packet.len() < 9 => Err(Error::new(ErrorKind::Disconnected, "the server ended the stream")),
            _ => Err(Error::new(ErrorKind::Corrupt, "a packet of the stream cannot be read")),
        }
    }
}

/// The session's variables, which say what the source shall send.
async fn prepare(
    wire: &mut Wire,
    server: &Server,
    request: &DumpRequest,
    by_gtid: Option<&GtidPosition>,
) -> Result<()> {
    let heartbeat = request.heartbeat.max(Duration::from_millis(10)).as_nanos();
    let uuid = crate::entropy::uuid();
    // Servers from 8.4 on know only the new names, older ones only the old: user variables may be set either way.
    wire.run(&format!(
        "SET @master_binlog_checksum = @@global.binlog_checksum, @source_binlog_checksum = @@global.binlog_checksum, \
         @master_heartbeat_period = {heartbeat}, @source_heartbeat_period = {heartbeat}, \
         @slave_uuid = '{uuid}', @replica_uuid = '{uuid}', net_write_timeout = 3600"
    ))
    .await?;
    if server.version.flavor == Flavor::MariaDb {
        // Capability 4: GTID events as they are; less and they come as dummies.
        wire.run("SET @mariadb_slave_capability = 4, @slave_gtid_strict_mode = 0, @slave_gtid_ignore_duplicates = 0")
            .await?;
        if let Some(list) = by_gtid {
            wire.run(&format!("SET @slave_connect_state = '{list}'")).await?;
        }
    }
    Ok(())
}

/// Shows up in the source's list of replicas, and checks the privilege.
async fn register(wire: &mut Wire, server_id: u32) -> Result<()> {
    let mut body = server_id.to_le_bytes().to_vec();
    // Host, user, password: empty. Port, rank, source id: zero.
    body.extend_from_slice(&[0; 3 + 2 + 4 + 4]);
    wire.command(0x15, &body).await?;
    wire.ok().await.map_err(|error| match error.kind() {
        // The servers call it a denied access, though the password was right.
        ErrorKind::Authentication | ErrorKind::Privilege => {
            let server = error.place().and_then(|place| place.server.clone());
            Error::new(ErrorKind::Privilege, "the account may not read the log: it lacks REPLICATION SLAVE")
                .with_advice("GRANT REPLICATION SLAVE ON *.* to the account of the server's URL")
                .at(|place| place.server = server)
        }
        _ => error,
    })
}

fn file_dump(server_id: u32, file: &str, offset: u64) -> Result<Vec<u8>> {
    let offset = u32::try_from(offset).map_err(|_| {
        Error::new(ErrorKind::Unsupported, format!("offset {offset} is beyond the 4 GiB that a dump by file can name"))
            .with_advice("use a GTID position")
    })?;
    let mut body = offset.to_le_bytes().to_vec();
    body.extend_from_slice(&[0; 2]);
    body.extend_from_slice(&server_id.to_le_bytes());
    body.extend_from_slice(file.as_bytes());
    Ok(body)
}

fn gtid_dump(server_id: u32, executed: &GtidSet) -> Result<Vec<u8>> {
    let mut sids: Vec<Sid<'static>> = Vec::new();
    for (uuid, tag, intervals) in executed.iter() {
        let mut sid = Sid::new(uuid);
        if !tag.is_empty() {
            let tag = Tag::new(tag.to_owned()).map_err(|error| Error::internal(error.to_string()))?;
            sid = sid.with_tag(tag);
        }
        for (first, last) in intervals {
            sid = sid.with_interval(GnoInterval::new(*first, last + 1));
        }
        sids.push(sid);
    }
    let mut packet = Vec::new();
    ComBinlogDumpGtid::new(server_id).with_pos(4).with_sids(sids).serialize(&mut packet);
    // The command's code is written by the connection.
    Ok(packet.split_off(1))
}

/// Checks that a server still has the log from `start` on, and that the position is one of its own.
///
/// # Errors
/// `Purged` and `Position`.
pub(crate) async fn check_start(session: &mut Session, server: &Server, start: &Position) -> Result<()> {
    match &start.gtid {
        Some(gtid) if server.binlog.has_gtid => check_gtid(session, server, gtid).await,
        _ => check_file(session, server, start).await,
    }
}

async fn check_gtid(session: &mut Session, server: &Server, start: &GtidPosition) -> Result<()> {
    let head = server.head(session).await?;
    let address = session.address().to_owned();
    let covers = head.gtid.as_ref().and_then(|head| head.covers(start)).unwrap_or(false);
    if !covers {
        return Err(Error::new(ErrorKind::Position, "the position holds GTIDs that blue never executed")
            .at(|place| (place.server, place.gtid) = (Some(address), Some(start.to_string()))));
    }
    if server.version.flavor == Flavor::MariaDb {
        // MariaDB has no list of what it purged; its dump refuses a position that is too old.
        return Ok(());
    }
    let text = session.first("SELECT @@global.gtid_purged").await?.map(|row| row.text(0)).unwrap_or_default();
    let purged = server.parse_gtid(&text)?;
    if start.covers(&purged) == Some(true) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Purged, "blue no longer has the log from this position on")
        .at(|place| (place.server, place.gtid) = (Some(address), Some(start.to_string()))))
}

async fn check_file(session: &mut Session, server: &Server, start: &Position) -> Result<()> {
    let logs = server.logs(session).await?;
    let at = &start.coordinates;
    let problem = match logs.iter().find(|log| log.file == at.file) {
        Some(log) if at.offset <= log.offset => return Ok(()),
        Some(_) => Error::new(ErrorKind::Position, "the offset is beyond the end of the log file"),
        None if logs.first().is_some_and(|oldest| at < oldest) => {
            Error::new(ErrorKind::Purged, "blue no longer has this log file")
        }
        None => Error::new(ErrorKind::Position, "blue has no log file of this name"),
    };
    let address = session.address().to_owned();
    Err(problem.at(|place| (place.server, place.coordinates) = (Some(address), Some(at.clone()))))
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};
    use tokio::io::{AsyncWriteExt, DuplexStream};

    use super::*;

    /// A dump and the server's end of it.
    fn dump() -> (Dump, DuplexStream) {
        let (ours, server) = tokio::io::duplex(1 << 20);
        (Dump { wire: Wire::plain(ours), is_ended: false, untold: None }, server)
    }

    fn packet(payload: &[u8]) -> Vec<u8> {
        let mut packet = u32::try_from(payload.len()).unwrap().to_le_bytes().to_vec();
        packet[3] = 1;
        packet.extend_from_slice(payload);
        packet
    }

    const REFUSAL: &[u8] = b"\xFF\xD4\x04#HY000Could not find first log file name in binary log index file";

    #[tokio::test]
    async fn what_came_before_an_error_is_given_first() {
        for (end, kind) in [
            (packet(REFUSAL), ErrorKind::Purged),
            (packet(&[0xFE, 0, 0, 2, 0]), ErrorKind::Disconnected),
            (packet(&[]), ErrorKind::Corrupt),
            (packet(&[7, 7]), ErrorKind::Corrupt),
            (vec![9, 0, 0, 3, 0, b'c', b'u', b't'], ErrorKind::Disconnected),
            (vec![9], ErrorKind::Disconnected),
        ] {
            let (mut dump, mut server) = dump();
            let stream = [packet(b"\0one"), packet(b"\0two"), packet(b"\0three"), end, packet(b"\0behind")].concat();
            let stream = &stream[..stream.len() - if kind == ErrorKind::Disconnected { 11 } else { 0 }];
            server.write_all(stream).await.unwrap();
            drop(server);
            assert_eq!(&dump.next().await.unwrap().bytes[..], b"one");
            let mut frames = Vec::new();
            dump.next_batch(&mut frames).await.unwrap();
            assert_eq!(frames.iter().map(|frame| &frame.bytes[..]).collect::<Vec<_>>(), [&b"two"[..], b"three"]);
            assert_eq!(dump.next_batch(&mut frames).await.unwrap_err().kind(), kind);
            // Fused: neither what is behind the error nor the error again.
            assert_eq!(dump.next().await.unwrap_err().kind(), ErrorKind::Internal);
            assert_eq!(dump.next_batch(&mut frames).await.unwrap_err().kind(), ErrorKind::Internal);
            assert_eq!(frames.len(), 2);
        }
    }

    #[tokio::test]
    async fn a_dropped_future_took_nothing() {
        let mut random = StdRng::seed_from_u64(5);
        let events: Vec<Vec<u8>> = (0..2000).map(|index| vec![index as u8; random.random_range(1..3000)]).collect();
        let stream: Vec<u8> = events.iter().flat_map(|event| packet(&[&[0], &event[..]].concat())).collect();
        let (mut dump, mut server) = dump();
        let writing = tokio::spawn(async move {
            let mut rest = stream.as_slice();
            while !rest.is_empty() {
                let (now, later) = rest.split_at(random.random_range(1..=rest.len().min(5000)));
                server.write_all(now).await.unwrap();
                rest = later;
                tokio::task::yield_now().await;
            }
            server
        });
        let mut frames = Vec::new();
        let mut dropped = 0;
        while frames.len() < events.len() {
            tokio::select! {
                biased;
                batch = dump.next_batch(&mut frames) => batch.unwrap(),
                () = tokio::task::yield_now() => dropped += 1,
            }
            tokio::select! {
                biased;
                frame = dump.next(), if frames.len() < events.len() => frames.push(frame.unwrap()),
                () = tokio::task::yield_now() => dropped += 1,
            }
        }
        assert!(frames.iter().map(|frame| &frame.bytes[..]).eq(events.iter().map(|event| &event[..])));
        assert!(dropped > 100, "only {dropped} futures were dropped");
        drop(writing.await.unwrap());
    }

    #[tokio::test]
    async fn silence_is_an_end() {
        let (mut dump, mut server) = dump();
        dump.wire.limit_silence(Duration::from_millis(50));
        server.write_all(&packet(b"\0one")).await.unwrap();
        server.write_all(&packet(b"\0cut")[..6]).await.unwrap();
        assert_eq!(&dump.next().await.unwrap().bytes[..], b"one");
        let silence = dump.next().await.unwrap_err();
        assert_eq!(silence.kind(), ErrorKind::Disconnected);
        assert_eq!(silence.to_string().matches("nothing came for 0.05 s").count(), 1, "{silence}");
    }
}
