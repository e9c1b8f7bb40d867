//! FORMAT_DESCRIPTION: the server's version, the lengths of all events' fixed parts, and the checksum in use (MySQL
//! source, `libs/mysql/binlog/event/control_events.h`, `Format_description_event`).

use crate::decode::checksum::{CHECKSUM_LENGTH, Checksum};
use crate::decode::cursor::Cursor;
use crate::decode::fault::unsupported;
use crate::decode::header::HEADER_LENGTH;
use crate::error::Result;
use crate::model::{Flavor, ServerVersion};

const VERSION_LENGTH: usize = 50;
const TYPED_FIRST: u8 = 1;

/// How the events of a log are laid out.
#[derive(Debug, Clone)]
pub(in crate::decode) struct FormatDescription {
    /// The checksum of all following events.
    pub(in crate::decode) checksum: Checksum,
    /// Lengths of the fixed parts of the bodies, by event type from 1.
    post_header_lengths: Vec<u8>,
}

impl FormatDescription {
    /// Reads the body, of which the checksum is still the last part.
    pub(in crate::decode) fn read(cursor: &mut Cursor<'_>) -> Result<FormatDescription> {
        let binlog_version = cursor.u16()?;
        if binlog_version != 4 {
            return Err(unsupported(format!("expected a log of version 4, found version {binlog_version}")));
        }
        let here = cursor.clone();
        let version = cursor.take(VERSION_LENGTH)?;
        let version = version.split(|byte| *byte == 0).next().unwrap_or_default();
        let version = std::str::from_utf8(version)
            .ok()
            .and_then(|text| text.parse::<ServerVersion>().ok())
            .ok_or_else(|| here.corrupt("expected the server's version"))?;
        let _created = cursor.u32()?;
        let header_length = cursor.u8()?;
        if usize::from(header_length) != HEADER_LENGTH {
            return Err(
                cursor.corrupt(format!("expected headers of {HEADER_LENGTH} bytes, found {header_length} bytes"))
            );
        }
        let checksum = if knows_checksums(version) {
            cursor.take_tail(CHECKSUM_LENGTH)?;
            let algorithm = cursor.take_tail(1)?.first().copied().unwrap_or_default();
            Checksum::from_number(algorithm)?
        } else {
            Checksum::Off
        };
        Ok(FormatDescription { checksum, post_header_lengths: cursor.rest().to_vec() })
    }

    /// The length of the fixed part of the bodies of `kind`; `None` where the server does not know the event.
    pub(in crate::decode) fn post_header_length(&self, kind: u8) -> Option<u8> {
        let index = kind.checked_sub(TYPED_FIRST)?;
        self.post_header_lengths.get(usize::from(index)).copied()
    }
}

/// MySQL since 5.6.1 and MariaDB since 5.3.0 end every format description with the algorithm and a checksum.
fn knows_checksums(version: ServerVersion) -> bool {
    version.is_at_least(Flavor::MySql, (5, 6, 1)) || version.is_at_least(Flavor::MariaDb, (5, 3, 0))
}
