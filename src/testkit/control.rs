//! Events about the log itself (MySQL source, `libs/mysql/binlog/event/control_events.h`; MariaDB source,
//! `sql/log_event.h`).

use super::event::{Event, flag};
use super::{encode, kind};

const HEARTBEAT_END: u64 = 0;
const HEARTBEAT_FILE: u64 = 1;
const HEARTBEAT_POSITION: u64 = 2;
/// The only kind of incident that servers write: changes are missing.
const LOST_EVENTS: u16 = 1;

impl Event {
    /// ROTATE: the log goes on in `file`.
    pub fn rotate(file: &str, offset: u64) -> Event {
        let mut body = Vec::from(offset.to_le_bytes());
        body.extend(file.as_bytes());
        Event::raw(kind::ROTATE, 0, body)
    }

    /// ROTATE as a server makes it for a replica: before a log's head, to say which log follows.
    pub fn artificial_rotate(file: &str, offset: u64) -> Event {
        Event::rotate(file, offset).with_flags(flag::ARTIFICIAL).with_timestamp(0).with_log_position(0).streamed_only()
    }

    /// STOP: the server was shut down.
    pub fn stop() -> Event {
        Event::raw(kind::STOP, 0, [])
    }

    /// XID: the commit of a transaction.
    pub fn xid(number: u64) -> Event {
        Event::raw(kind::XID, 0, number.to_le_bytes())
    }

    /// INCIDENT: changes are missing from the log (`Incident_event`).
    pub fn incident(message: &str) -> Event {
        let mut body = Vec::from(LOST_EVENTS.to_le_bytes());
        body.push(u8::try_from(message.len()).expect("an incident's message has up to 255 bytes"));
        body.extend(message.as_bytes());
        Event::raw(kind::INCIDENT, 0, body)
    }

    /// HEARTBEAT: all up to this offset was sent. The header holds the offset, so it must fit.
    pub fn heartbeat(file: &str, offset: u32) -> Event {
        Event::raw(kind::HEARTBEAT, 0, file.as_bytes()).with_timestamp(0).with_log_position(offset).streamed_only()
    }

    /// HEARTBEAT of MariaDB beyond 4 GiB: the offset is in front of the name (MariaDB source, `sql/log_event.cc`,
    /// `Heartbeat_log_event`).
    pub fn mariadb_long_heartbeat(file: &str, offset: u64) -> Event {
        let mut body = Vec::from(offset.to_le_bytes());
        body.extend(file.as_bytes());
        Event::raw(kind::HEARTBEAT, 0, body).with_timestamp(0).with_log_position(0).streamed_only()
    }

    /// HEARTBEAT_V2, since MySQL 8.0.26 (`Heartbeat_event_v2`; `codecs/binary.cpp`).
    pub fn heartbeat_v2(file: &str, offset: u64) -> Event {
        let mut body = Vec::new();
        encode::field(&mut body, HEARTBEAT_FILE, file.as_bytes());
        encode::field(&mut body, HEARTBEAT_POSITION, &encode::packed_alone(offset));
        encode::packed(&mut body, HEARTBEAT_END);
        Event::raw(kind::HEARTBEAT_V2, 0, body).with_timestamp(0).with_log_position(0).streamed_only()
    }

    /// BINLOG_CHECKPOINT of MariaDB: crash recovery needs no log before this one.
    pub fn binlog_checkpoint(file: &str) -> Event {
        let mut body = Vec::from((file.len() as u32).to_le_bytes());
        body.extend(file.as_bytes());
        Event::raw(kind::BINLOG_CHECKPOINT, 0, body)
    }

    /// START_ENCRYPTION of MariaDB (`Start_encryption_log_event`). What follows it in a real file is not readable.
    pub fn start_encryption(key_version: u32, nonce: [u8; 12]) -> Event {
        const SCHEME: u8 = 1;
        let mut body = vec![SCHEME];
        body.extend(key_version.to_le_bytes());
        body.extend(nonce);
        Event::raw(kind::START_ENCRYPTION, 0, body)
    }
}
