//! What a file says of itself: its first bytes, the headers of its events, and its format description as far as files
//! need it.

use super::fault::{corrupt, encrypted, located};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Coordinates, Flavor, ServerVersion};

const MAGIC: [u8; 4] = *b"\xfebin";
const ENCRYPTED_MAGIC: [u8; 4] = *b"\xfdbin";
pub(super) const MAGIC_LENGTH: usize = 4;
pub(super) const HEADER_LENGTH: usize = 19;
const CHECKSUM_LENGTH: usize = 4;
/// 1 GiB, the largest packet that servers take, and room for an event's fixed parts.
const MAX_EVENT_LENGTH: usize = (1 << 30) + (1 << 20);

const START_V3: u8 = 1;
pub(super) const STOP: u8 = 3;
pub(super) const ROTATE: u8 = 4;
const FORMAT_DESCRIPTION: u8 = 15;
const START_ENCRYPTION: u8 = 164;

/// `LOG_EVENT_BINLOG_IN_USE_F`, of the format description: set when the file is opened, cleared when it is closed.
const IN_USE: u16 = 0x1;
/// `LOG_EVENT_ARTIFICIAL_F`: the event is not in the log.
const ARTIFICIAL: u16 = 0x20;
/// `LOG_EVENT_RELAY_LOG_F`: a replica's copy.
const RELAY_LOG: u16 = 0x40;

/// Looks at the first bytes of a file, up to [`MAGIC_LENGTH`].
pub(super) fn expect_magic(found: &[u8], at: &Coordinates) -> Result<()> {
    if found == MAGIC {
        return Ok(());
    }
    if found == ENCRYPTED_MAGIC {
        return Err(encrypted("the log file is encrypted", at));
    }
    let (message, advice) = match found {
        [] => ("the log file is empty", "take the file again from the server, or leave it out"),
        cut if MAGIC.starts_with(cut) => {
            ("the file ends inside of its first 4 bytes", "take the file again from the server, or leave it out")
        }
        text if text.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()) => {
            ("expected a binary log file, found text", "give the log files alone, not their index or a dump")
        }
        _ => ("expected a binary log file, found another one", "give a server's binary log files, unpacked"),
    };
    Err(corrupt(message, at).with_advice(advice))
}

/// What files need of an event's header.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    pub(super) kind: u8,
    pub(super) size: usize,
    /// The low bits of the offset where the event ends; 0 where MariaDB does not say.
    end: u32,
    flags: u16,
}

impl Header {
    #[inline]
    pub(super) fn read(bytes: &[u8; HEADER_LENGTH], at: &Coordinates) -> Result<Header> {
        let [_, _, _, _, kind, _, _, _, _, a, b, c, d, e, f, g, h, low, high] = *bytes;
        let found = u32::from_le_bytes([a, b, c, d]);
        let size = usize::try_from(found).ok().filter(|size| (HEADER_LENGTH..=MAX_EVENT_LENGTH).contains(size));
        let Some(size) = size else { return Err(not_a_length(found, at)) };
        if kind == START_ENCRYPTION {
            return Err(encrypted_from(at));
        }
        let (end, flags) = (u32::from_le_bytes([e, f, g, h]), u16::from_le_bytes([low, high]));
        Ok(Header { kind, size, end, flags })
    }

    /// Of a file's first event: whether it begins a log that can be read.
    pub(super) fn expect_first(self, at: &Coordinates) -> Result<()> {
        match self.kind {
            FORMAT_DESCRIPTION if self.flags & RELAY_LOG == 0 => Ok(()),
            FORMAT_DESCRIPTION => Err(located(ErrorKind::Unsupported, "the file is a replica's relay log", at)
                .with_advice("give the source's log, or the binary log of the replica itself")),
            START_V3 => Err(located(ErrorKind::Unsupported, "the log is of a server before 5.0", at)),
            other => Err(corrupt(format!("expected a format description as the first event, found event {other}"), at)),
        }
    }

    /// Whether the event's length and its end agree, of an event that starts at `at`.
    pub(super) fn fits(self, at: &Coordinates) -> bool {
        let end = u64::try_from(self.size).unwrap_or(u64::MAX).saturating_add(at.offset);
        self.end == 0 || u64::from(self.end) == end & u64::from(u32::MAX)
    }

    /// Of a format description: whether the file was not closed.
    pub(super) fn is_in_use(self) -> bool {
        self.flags & IN_USE != 0
    }
}

#[cold]
fn not_a_length(found: u32, at: &Coordinates) -> Error {
    corrupt(format!("expected an event of {HEADER_LENGTH} to {MAX_EVENT_LENGTH} bytes, found {found} bytes"), at)
}

#[cold]
fn encrypted_from(at: &Coordinates) -> Error {
    let error = encrypted("the log file is encrypted from here on", at);
    error.at(|place| place.event = Some("START_ENCRYPTION".into()))
}

/// What a format description says: the server, and whether events end with a checksum.
///
/// Layout: MySQL source, `libs/mysql/binlog/event/control_events.h`, `Format_description_event`. MySQL since 5.6.1 and
/// MariaDB since 5.3.0 end it with the algorithm and a checksum.
pub(super) fn read_description(event: &[u8], at: &Coordinates) -> Result<(ServerVersion, bool)> {
    let Some((_, [a, b, body @ ..])) = event.split_at_checked(HEADER_LENGTH) else {
        return Err(corrupt("the format description is too short", at));
    };
    match u16::from_le_bytes([*a, *b]) {
        4 => {}
        other => {
            let message = format!("expected a log of version 4, found version {other}");
            return Err(located(ErrorKind::Unsupported, message, at));
        }
    }
    let version = body.split(|byte| *byte == 0).next().unwrap_or_default();
    let version = String::from_utf8_lossy(version).parse::<ServerVersion>();
    let version = version.map_err(|()| corrupt("expected the server's version", at))?;
    let is_told = version.is_at_least(Flavor::MySql, (5, 6, 1)) || version.is_at_least(Flavor::MariaDb, (5, 3, 0));
    Ok((version, is_told && matches!(body, [.., 1, _, _, _, _])))
}

/// The file that a ROTATE names.
pub(super) fn next_file(rotate: &[u8], has_checksum: bool) -> String {
    let name = rotate.get(HEADER_LENGTH + 8..).unwrap_or_default();
    let tail = if has_checksum { CHECKSUM_LENGTH } else { 0 };
    String::from_utf8_lossy(&name[..name.len().saturating_sub(tail)]).into_owned()
}

/// The ROTATE that a server makes for a dump where the log goes on in another file without saying so.
pub(super) fn artificial_rotate(file: &str, has_checksum: bool) -> Vec<u8> {
    let size = HEADER_LENGTH + 8 + file.len() + if has_checksum { CHECKSUM_LENGTH } else { 0 };
    let mut event = vec![0; 4];
    event.push(ROTATE);
    event.extend(0_u32.to_le_bytes());
    event.extend(u32::try_from(size).unwrap_or(u32::MAX).to_le_bytes());
    event.extend(0_u32.to_le_bytes());
    event.extend(ARTIFICIAL.to_le_bytes());
    event.extend(4_u64.to_le_bytes());
    event.extend(file.as_bytes());
    if has_checksum {
        event.extend(crc32fast::hash(&event).to_le_bytes());
    }
    event
}
