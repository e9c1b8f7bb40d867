//! A log: its head, the places of its events, and their checksums.

use bytes::Bytes;

use super::event::{Event, HEADER_LENGTH, flag};
use super::gtid::Gtid;
use super::kind;
use super::release::Release;
use crate::model::Frame;

const MAGIC: &[u8] = b"\xfebin";
const CHECKSUM_LENGTH: usize = 4;
const BINLOG_VERSION: u16 = 4;
const VERSION_LENGTH: usize = 50;
/// Where the flags are in an event.
const FLAGS_OFFSET: usize = 17;

/// What is behind every event (MySQL source, `libs/mysql/binlog/event/binlog_event.h`, `enum_binlog_checksum_alg`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Checksum {
    /// Nothing.
    None,
    /// Four bytes of CRC32.
    Crc32,
}

/// Builds a log in memory.
///
/// ```
/// use bluegreen::testkit::{Cell, ColumnSpec, Event, Gtid, LogWriter, Query, Release, Rows, TableMap};
///
/// let table = TableMap::new(42, "shop", "orders", vec![ColumnSpec::int(), ColumnSpec::varchar(40).nullable()]);
/// let mut log = LogWriter::new(Release::MySql97);
/// log.transaction(
///     Gtid::anonymous(),
///     &[
///         Query::begin().into(),
///         table.event(),
///         Rows::insert(&table).row(&[Cell::Int(1), Cell::from("red")]).row(&[Cell::Int(2), Cell::Null]).into(),
///         Event::xid(7),
///     ],
/// );
/// assert_eq!(log.frames().len(), 1 + 5);
/// assert!(log.bytes().starts_with(b"\xfebin"));
/// ```
#[derive(Clone)]
pub struct LogWriter {
    release: Release,
    checksum: Checksum,
    file: Vec<u8>,
    position: u64,
    frames: Vec<Frame>,
}

impl LogWriter {
    /// A log with its head, and with checksums where the release knows them.
    pub fn new(release: Release) -> LogWriter {
        let checksum = if release.knows_checksums() { Checksum::Crc32 } else { Checksum::None };
        LogWriter::with_checksum(release, checksum)
    }

    /// A log with its head.
    ///
    /// # Panics
    /// Where the release does not know the checksum.
    pub fn with_checksum(release: Release, checksum: Checksum) -> LogWriter {
        assert!(checksum == Checksum::None || release.knows_checksums(), "{release:?} writes no checksums");
        let mut log =
            LogWriter { release, checksum, file: MAGIC.to_vec(), position: MAGIC.len() as u64, frames: Vec::new() };
        log.write(Event::format_description(release, checksum));
        log
    }

    /// Writes an event at the log's end.
    pub fn write(&mut self, event: impl Into<Event>) -> &mut LogWriter {
        let event = event.into();
        let trailer = self.trailer(event.kind);
        let size = (HEADER_LENGTH + event.body.len() + trailer) as u64;
        let mut bytes = event.to_bytes(self.position + size, trailer);
        if trailer > 0 {
            bytes.extend(checksum(&event, &bytes).to_le_bytes());
        }
        if event.in_file {
            self.file.extend(&bytes);
            self.position += size;
        }
        self.frames.push(Frame::new(Bytes::from(bytes)));
        self
    }

    /// Bytes behind the body of an event of `kind`. The head of a log has a checksum wherever the server knows any.
    fn trailer(&self, kind: u8) -> usize {
        let is_sealed = match kind {
            kind::FORMAT_DESCRIPTION => self.release.knows_checksums(),
            _ => self.checksum == Checksum::Crc32,
        };
        if is_sealed { CHECKSUM_LENGTH } else { 0 }
    }

    /// Writes a transaction of MySQL: its start, which is told the length of the whole where it has a place for that, and
    /// the events.
    pub fn transaction(&mut self, gtid: Gtid, events: &[Event]) -> &mut LogWriter {
        let frame = |event: &Event| (HEADER_LENGTH + event.body.len() + self.trailer(event.kind)) as u64;
        let rest = events.iter().map(frame).sum::<u64>();
        let start = gtid.with_length_of(|start| rest + frame(start));
        self.write(start);
        for event in events {
            self.write(event.clone());
        }
        self
    }

    /// Goes on at another place, as if the log had grown to there: headers hold only 32 bits of it. The bytes between are
    /// not made, so [`LogWriter::bytes`] is no whole file any more; the frames are those that a server sends.
    ///
    /// # Panics
    /// Where that is before the end.
    pub fn skip_to(&mut self, position: u64) -> &mut LogWriter {
        assert!(position >= self.position, "a log only grows");
        self.position = position;
        self
    }

    /// Where the next event starts.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The whole file.
    pub fn bytes(&self) -> &[u8] {
        &self.file
    }

    /// The events as a server sends them, the head first; those too that are in no file.
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }
}

impl std::fmt::Debug for LogWriter {
    /// The sizes only: events hold row values.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LogWriter({} events, {} bytes)", self.frames.len(), self.file.len())
    }
}

impl Event {
    /// FORMAT_DESCRIPTION, the head of a log (MySQL source, `libs/mysql/binlog/event/control_events.h`,
    /// `Format_description_event`).
    pub fn format_description(release: Release, checksum: Checksum) -> Event {
        let mut body = Vec::from(BINLOG_VERSION.to_le_bytes());
        body.extend(release.version().as_bytes());
        body.resize(2 + VERSION_LENGTH, 0);
        // The time of the server's start, which only the first log after a start has.
        body.extend(0_u32.to_le_bytes());
        body.push(HEADER_LENGTH as u8);
        body.extend(release.post_header_lengths());
        if release.knows_checksums() {
            body.push(u8::from(checksum == Checksum::Crc32));
        }
        Event::raw(kind::FORMAT_DESCRIPTION, 0, body)
    }
}

/// The checksum of header and body. It does not cover the head's flag "in use", which is cleared later.
fn checksum(event: &Event, bytes: &[u8]) -> u32 {
    match event.flags & flag::IN_USE {
        0 => crc32fast::hash(bytes),
        _ => {
            let mut covered = bytes.to_vec();
            covered[FLAGS_OFFSET] &= !(flag::IN_USE as u8);
            crc32fast::hash(&covered)
        }
    }
}
