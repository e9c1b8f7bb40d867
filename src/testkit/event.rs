//! One event: what a header says that does not depend on its place, and the body.

use super::kind;

/// The length of every event's header.
pub(super) const HEADER_LENGTH: usize = 19;
/// When events happen, in seconds since 1970, if nothing else is said.
const TIMESTAMP: u32 = 1_790_000_000;

/// Flags of headers (MySQL source, `libs/mysql/binlog/event/binlog_event.h`; MariaDB source, `sql/log_event.h`).
pub mod flag {
    /// Of the head of a log: the log is being written, or its server crashed.
    pub const IN_USE: u16 = 0x1;
    /// The statement does not depend on the default schema.
    pub const SUPPRESS_USE: u16 = 0x8;
    /// Made by the server for one replica; in no file.
    pub const ARTIFICIAL: u16 = 0x20;
    /// Those who do not know the event may pass over it.
    pub const IGNORABLE: u16 = 0x80;
}

/// What the header says of where the event ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The low 32 bits of the place.
    Place,
    /// A number of its own.
    Fixed(u32),
}

/// An event that a [`LogWriter`](super::LogWriter) can write: without its place, its length and its checksum.
#[derive(Clone, PartialEq, Eq)]
pub struct Event {
    pub(super) kind: u8,
    pub(super) flags: u16,
    pub(super) timestamp: u32,
    pub(super) server_id: u32,
    pub(super) end: End,
    pub(super) in_file: bool,
    pub(super) body: Vec<u8>,
}

impl Event {
    /// An event by its parts, of server 1 and with a fixed time.
    pub fn raw(kind: u8, flags: u16, body: impl Into<Vec<u8>>) -> Event {
        Event { kind, flags, timestamp: TIMESTAMP, server_id: 1, end: End::Place, in_file: true, body: body.into() }
    }

    /// An event of type 28, which all may pass over.
    pub fn ignorable(body: impl Into<Vec<u8>>) -> Event {
        Event::raw(kind::IGNORABLE, flag::IGNORABLE, body)
    }

    /// Sets flags beside those that the event has.
    #[must_use]
    pub fn with_flags(self, flags: u16) -> Event {
        Event { flags: self.flags | flags, ..self }
    }

    /// Sets the time in seconds since 1970.
    #[must_use]
    pub fn with_timestamp(self, timestamp: u32) -> Event {
        Event { timestamp, ..self }
    }

    /// Sets the server that the change is from.
    #[must_use]
    pub fn with_server_id(self, server_id: u32) -> Event {
        Event { server_id, ..self }
    }

    /// Sets what the header says of where the event ends, in place of the truth. MariaDB 11.4 and newer write 0 inside of
    /// transactions.
    #[must_use]
    pub fn with_log_position(self, position: u32) -> Event {
        Event { end: End::Fixed(position), ..self }
    }

    /// Makes it an event that a server sends and has in no file: it takes no place.
    #[must_use]
    pub fn streamed_only(self) -> Event {
        Event { in_file: false, ..self }
    }

    /// The type's number.
    pub fn kind(&self) -> u8 {
        self.kind
    }

    /// What is between header and checksum.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Header and body, where `trailer` bytes follow and the event ends at `end`.
    pub(super) fn to_bytes(&self, end: u64, trailer: usize) -> Vec<u8> {
        let size = HEADER_LENGTH + self.body.len() + trailer;
        let position = match self.end {
            End::Place => end as u32,
            End::Fixed(position) => position,
        };
        let mut out = Vec::with_capacity(size);
        out.extend(self.timestamp.to_le_bytes());
        out.push(self.kind);
        out.extend(self.server_id.to_le_bytes());
        out.extend(u32::try_from(size).expect("an event is shorter than 4 GiB").to_le_bytes());
        out.extend(position.to_le_bytes());
        out.extend(self.flags.to_le_bytes());
        out.extend(&self.body);
        out
    }
}

impl std::fmt::Debug for Event {
    /// Without the body: it holds row values.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Event({}, {} bytes)", self.kind, self.body.len())
    }
}
