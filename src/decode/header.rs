//! The 19 bytes in front of every event (MySQL source, `libs/mysql/binlog/event/binlog_event.h`, "Common-Header").

use super::cursor::Cursor;
use super::event::kind;
use crate::error::Result;

/// Length of the header in version 4 of the format, the only one that is read.
pub(super) const HEADER_LENGTH: usize = 19;

/// `LOG_EVENT_BINLOG_IN_USE_F`: the file was not closed; not covered by the checksum.
pub(super) const IN_USE: u16 = 0x1;
/// `LOG_EVENT_ARTIFICIAL_F`: the server made the event for the dump; it is not in the log.
const ARTIFICIAL: u16 = 0x20;
/// `LOG_EVENT_IGNORABLE_F`: whoever does not know the event may pass it.
const IGNORABLE: u16 = 0x80;

/// An event's header.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    pub(super) timestamp: u32,
    pub(super) kind: u8,
    pub(super) server: u32,
    pub(super) size: u32,
    pub(super) log_position: u32,
    pub(super) flags: u16,
}

impl Header {
    /// Reads the header and leaves the cursor on the body.
    #[inline(always)]
    pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Header> {
        let bytes = cursor.array::<HEADER_LENGTH>()?;
        let [t0, t1, t2, t3, kind, i0, i1, i2, i3, s0, s1, s2, s3, p0, p1, p2, p3, f0, f1] = bytes;
        Ok(Header {
            timestamp: u32::from_le_bytes([t0, t1, t2, t3]),
            kind,
            server: u32::from_le_bytes([i0, i1, i2, i3]),
            size: u32::from_le_bytes([s0, s1, s2, s3]),
            log_position: u32::from_le_bytes([p0, p1, p2, p3]),
            flags: u16::from_le_bytes([f0, f1]),
        })
    }

    /// Whether the event is not in the log. A server that starts a dump inside of a file sends the file's format
    /// description without the flag but with position 0, and so do old servers with their first ROTATE.
    pub(super) fn is_artificial(&self) -> bool {
        self.flags & ARTIFICIAL != 0
            || (self.log_position == 0 && matches!(self.kind, kind::FORMAT_DESCRIPTION | kind::ROTATE))
    }

    pub(super) fn is_ignorable(&self) -> bool {
        self.flags & IGNORABLE != 0
    }
}
