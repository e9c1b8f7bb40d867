use std::time::Duration;

use bytes::Buf;
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
/// The stream is fused: after an error, [`Dump::next`] gives only errors. It has no clean end: a server that ends the
/// stream has been told to stop, and that is an error here.
pub struct Dump {
    wire: Wire,
    is_failed: bool,
}

impl std::fmt::Debug for Dump {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dump").field("is_failed", &self.is_failed).finish_non_exhaustive()
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
        Ok(Dump { wire, is_failed: false })
    }

    /// The next event. Cancel-safe.
    ///
    /// # Errors
    /// `Disconnected` where the source ends the stream, breaks the connection or goes silent; the server's refusal.
    pub async fn next(&mut self) -> Result<Frame> {
        if self.is_failed {
            return Err(Error::internal("the stream is read after its error"));
        }
        let frame = self.read().await;
        self.is_failed = frame.is_err();
        frame
    }

    async fn read(&mut self) -> Result<Frame> {
        let mut packet = self.wire.packet().await?;
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
