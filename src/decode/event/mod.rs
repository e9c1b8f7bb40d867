//! One file an event, or a family of them. Names are the manual's.

pub(super) mod format_description;
pub(super) mod fragment;
pub(super) mod gtid;
pub(super) mod heartbeat;
pub(super) mod mariadb_gtid;
pub(super) mod payload;
pub(super) mod previous_gtids;
pub(super) mod query;
pub(super) mod rotate;
pub(super) mod session_value;
pub(super) mod xa;

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

use super::cursor::Cursor;
use super::fault::{corrupt, unsupported};
use super::header::{HEADER_LENGTH, Header};
use crate::error::{Error, Result};
use crate::model::{Coordinates, Flavor};

/// One event of the log: its checksum was right and is off, and if it was part of a compressed transaction, it is
/// unfolded.
// It is made in place and lent from there: each move of parts that were just written costs more than to make them.
#[derive(Clone)]
pub struct Event {
    header: Header,
    /// The whole event, from its header on.
    bytes: Bytes,
    body_end: usize,
    start: u64,
    end: u64,
    is_inner: bool,
    /// Whether the log goes on behind it.
    is_last: bool,
}

impl Event {
    /// No event, in the place of one.
    pub(super) fn none() -> Event {
        let header = Header { timestamp: 0, kind: 0, server: 0, size: 0, log_position: 0, flags: 0 };
        Event { header, bytes: Bytes::new(), body_end: 0, start: 0, end: 0, is_inner: false, is_last: true }
    }

    /// Makes it the event of its bytes, whose body ends at `body_end`.
    #[inline(always)]
    pub(super) fn set(&mut self, header: Header, body_end: usize, start: u64, end: u64) {
        (self.header, self.body_end, self.start, self.end) = (header, body_end, start, end);
        (self.is_inner, self.is_last) = (false, true);
    }

    /// Makes it an event of a compressed transaction or one put together from fragments, which has the place of these.
    pub(super) fn set_inner(&mut self, bytes: Bytes, start: u64, end: u64, is_last: bool) -> Result<()> {
        let header = Header::read(&mut Cursor::new(&bytes))?;
        if usize::try_from(header.size).ok() != Some(bytes.len()) {
            let found = bytes.len();
            return Err(corrupt(format!("expected an event of {} bytes, found {found} bytes", header.size)));
        }
        self.set_bytes(bytes);
        self.set(header, self.body_end, start, end);
        (self.is_inner, self.is_last) = (true, is_last);
        Ok(())
    }

    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    /// The event's number.
    pub fn kind(&self) -> u8 {
        self.header.kind
    }

    /// When it was written, in seconds since 1970.
    pub fn seconds(&self) -> u32 {
        self.header.timestamp
    }

    /// The offset of its start in its log file; of a compressed transaction's event, of the payload's.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// The offset of its end in the same file.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Whether it was made for a dump, and is not in the log.
    pub(super) fn is_artificial(&self) -> bool {
        !self.is_inner && self.header.is_artificial()
    }

    /// The whole event, the checksum too where it had one.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Gives it other bytes, all of them header and body.
    #[inline(always)]
    pub(super) fn set_bytes(&mut self, bytes: Bytes) {
        (self.body_end, self.bytes) = (bytes.len(), bytes);
    }

    /// Takes the whole event out.
    #[inline(always)]
    pub(super) fn take(&mut self) -> Bytes {
        std::mem::take(&mut self.bytes)
    }

    /// The number of the byte behind the body.
    pub(super) fn body_end(&self) -> usize {
        self.body_end
    }

    /// What is behind the header, without the checksum.
    pub(super) fn body(&self) -> Cursor<'_> {
        Cursor::numbered(self.bytes.get(HEADER_LENGTH..self.body_end).unwrap_or_default(), HEADER_LENGTH)
    }

    /// What is behind the header, a format description's checksum too.
    pub(super) fn body_with_checksum(&self) -> Cursor<'_> {
        Cursor::numbered(self.bytes.get(HEADER_LENGTH..).unwrap_or_default(), HEADER_LENGTH)
    }

    /// Whether it was part of another event.
    pub(super) fn is_inner(&self) -> bool {
        self.is_inner
    }

    /// Whether nothing of the frame comes behind it.
    pub(super) fn is_last(&self) -> bool {
        self.is_last
    }

    /// Adds the event's place in `file` to an error that has none.
    #[cold]
    pub(super) fn locate(&self, file: &Arc<str>, error: Error) -> Error {
        error.at(|place| {
            place.coordinates.get_or_insert_with(|| Coordinates::new(Arc::clone(file), self.start));
            place.event.get_or_insert_with(|| name_of(self.header.kind));
        })
    }
}

impl std::fmt::Debug for Event {
    /// Without the body.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Event({}, {} bytes at {})", name_of(self.header.kind), self.bytes.len(), self.start)
    }
}

/// The event's name, or its number where there is no name.
#[cold]
pub(super) fn name_of(number: u8) -> Cow<'static, str> {
    match name(number) {
        "unknown" => format!("number {number}").into(),
        name => name.into(),
    }
}

#[cold]
pub(super) fn of_other_flavor(number: u8, flavor: Flavor) -> Error {
    unsupported(format!("event {number} is of another family of servers, the source was said to be {flavor}"))
        .with_advice("give the source's flavour as it is")
}

/// The numbers of the events (MySQL source, `libs/mysql/binlog/event/binlog_event.h`, `Log_event_type`; from 160 on
/// MariaDB source, `sql/log_event.h`).
pub(super) mod kind {
    pub(in crate::decode) const START_V3: u8 = 1;
    pub(in crate::decode) const QUERY: u8 = 2;
    pub(in crate::decode) const STOP: u8 = 3;
    pub(in crate::decode) const ROTATE: u8 = 4;
    pub(in crate::decode) const INTVAR: u8 = 5;
    pub(in crate::decode) const RAND: u8 = 13;
    pub(in crate::decode) const USER_VAR: u8 = 14;
    pub(in crate::decode) const FORMAT_DESCRIPTION: u8 = 15;
    pub(in crate::decode) const XID: u8 = 16;
    pub(in crate::decode) const TABLE_MAP: u8 = 19;
    pub(in crate::decode) const WRITE_ROWS_V1: u8 = 23;
    pub(in crate::decode) const UPDATE_ROWS_V1: u8 = 24;
    pub(in crate::decode) const DELETE_ROWS_V1: u8 = 25;
    pub(in crate::decode) const INCIDENT: u8 = 26;
    pub(in crate::decode) const HEARTBEAT: u8 = 27;
    pub(in crate::decode) const IGNORABLE: u8 = 28;
    pub(in crate::decode) const ROWS_QUERY: u8 = 29;
    pub(in crate::decode) const WRITE_ROWS: u8 = 30;
    pub(in crate::decode) const UPDATE_ROWS: u8 = 31;
    pub(in crate::decode) const DELETE_ROWS: u8 = 32;
    pub(in crate::decode) const GTID: u8 = 33;
    pub(in crate::decode) const ANONYMOUS_GTID: u8 = 34;
    pub(in crate::decode) const PREVIOUS_GTIDS: u8 = 35;
    pub(in crate::decode) const TRANSACTION_CONTEXT: u8 = 36;
    pub(in crate::decode) const VIEW_CHANGE: u8 = 37;
    pub(in crate::decode) const XA_PREPARE: u8 = 38;
    pub(in crate::decode) const PARTIAL_UPDATE_ROWS: u8 = 39;
    pub(in crate::decode) const TRANSACTION_PAYLOAD: u8 = 40;
    pub(in crate::decode) const HEARTBEAT_V2: u8 = 41;
    pub(in crate::decode) const GTID_TAGGED: u8 = 42;
    pub(in crate::decode) const ANNOTATE_ROWS: u8 = 160;
    pub(in crate::decode) const BINLOG_CHECKPOINT: u8 = 161;
    pub(in crate::decode) const MARIADB_GTID: u8 = 162;
    pub(in crate::decode) const MARIADB_GTID_LIST: u8 = 163;
    pub(in crate::decode) const START_ENCRYPTION: u8 = 164;
    pub(in crate::decode) const QUERY_COMPRESSED: u8 = 165;
    pub(in crate::decode) const WRITE_ROWS_COMPRESSED_V1: u8 = 166;
    pub(in crate::decode) const UPDATE_ROWS_COMPRESSED_V1: u8 = 167;
    pub(in crate::decode) const DELETE_ROWS_COMPRESSED_V1: u8 = 168;
    pub(in crate::decode) const WRITE_ROWS_COMPRESSED: u8 = 169;
    pub(in crate::decode) const UPDATE_ROWS_COMPRESSED: u8 = 170;
    pub(in crate::decode) const DELETE_ROWS_COMPRESSED: u8 = 171;
    pub(in crate::decode) const PARTIAL_ROW_DATA: u8 = 172;
}

/// An event's name as the manuals have it.
fn name(number: u8) -> &'static str {
    match number {
        kind::START_V3 => "START_V3",
        kind::QUERY => "QUERY",
        kind::STOP => "STOP",
        kind::ROTATE => "ROTATE",
        kind::INTVAR => "INTVAR",
        6 => "LOAD",
        7 => "SLAVE",
        8 => "CREATE_FILE",
        9 => "APPEND_BLOCK",
        10 => "EXEC_LOAD",
        11 => "DELETE_FILE",
        12 => "NEW_LOAD",
        kind::RAND => "RAND",
        kind::USER_VAR => "USER_VAR",
        kind::FORMAT_DESCRIPTION => "FORMAT_DESCRIPTION",
        kind::XID => "XID",
        17 => "BEGIN_LOAD_QUERY",
        18 => "EXECUTE_LOAD_QUERY",
        kind::TABLE_MAP => "TABLE_MAP",
        20 => "PRE_GA_WRITE_ROWS",
        21 => "PRE_GA_UPDATE_ROWS",
        22 => "PRE_GA_DELETE_ROWS",
        kind::WRITE_ROWS_V1 => "WRITE_ROWS_V1",
        kind::UPDATE_ROWS_V1 => "UPDATE_ROWS_V1",
        kind::DELETE_ROWS_V1 => "DELETE_ROWS_V1",
        kind::INCIDENT => "INCIDENT",
        kind::HEARTBEAT => "HEARTBEAT",
        kind::IGNORABLE => "IGNORABLE",
        kind::ROWS_QUERY => "ROWS_QUERY",
        kind::WRITE_ROWS => "WRITE_ROWS",
        kind::UPDATE_ROWS => "UPDATE_ROWS",
        kind::DELETE_ROWS => "DELETE_ROWS",
        kind::GTID => "GTID",
        kind::ANONYMOUS_GTID => "ANONYMOUS_GTID",
        kind::PREVIOUS_GTIDS => "PREVIOUS_GTIDS",
        kind::TRANSACTION_CONTEXT => "TRANSACTION_CONTEXT",
        kind::VIEW_CHANGE => "VIEW_CHANGE",
        kind::XA_PREPARE => "XA_PREPARE",
        kind::PARTIAL_UPDATE_ROWS => "PARTIAL_UPDATE_ROWS",
        kind::TRANSACTION_PAYLOAD => "TRANSACTION_PAYLOAD",
        kind::HEARTBEAT_V2 => "HEARTBEAT_V2",
        kind::GTID_TAGGED => "GTID_TAGGED_LOG",
        kind::ANNOTATE_ROWS => "ANNOTATE_ROWS",
        kind::BINLOG_CHECKPOINT => "BINLOG_CHECKPOINT",
        kind::MARIADB_GTID => "GTID",
        kind::MARIADB_GTID_LIST => "GTID_LIST",
        kind::START_ENCRYPTION => "START_ENCRYPTION",
        kind::QUERY_COMPRESSED => "QUERY_COMPRESSED",
        kind::WRITE_ROWS_COMPRESSED_V1 => "WRITE_ROWS_COMPRESSED_V1",
        kind::UPDATE_ROWS_COMPRESSED_V1 => "UPDATE_ROWS_COMPRESSED_V1",
        kind::DELETE_ROWS_COMPRESSED_V1 => "DELETE_ROWS_COMPRESSED_V1",
        kind::WRITE_ROWS_COMPRESSED => "WRITE_ROWS_COMPRESSED",
        kind::UPDATE_ROWS_COMPRESSED => "UPDATE_ROWS_COMPRESSED",
        kind::DELETE_ROWS_COMPRESSED => "DELETE_ROWS_COMPRESSED",
        kind::PARTIAL_ROW_DATA => "PARTIAL_ROW_DATA",
        _ => "unknown",
    }
}
