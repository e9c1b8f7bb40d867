//! HEARTBEAT and HEARTBEAT_V2: the source is there, and this is how far it has read (MySQL source,
//! `libs/mysql/binlog/event/control_events.h`, `Heartbeat_event`, `Heartbeat_event_v2`; MariaDB source,
//! `sql/log_event.cc`, `Heartbeat_log_event`).

use crate::decode::cursor::Cursor;
use crate::decode::event::kind;
use crate::decode::header::Header;
use crate::error::Result;
use crate::model::Flavor;

const END_MARK: u64 = 0;
const FILE_NAME: u64 = 1;
const POSITION: u64 = 2;

/// A position in a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::decode) enum Offset {
    /// The whole offset.
    Whole(u64),
    /// Its low 32 bits.
    Low(u32),
}

/// The file and the offset that the heartbeat names.
pub(in crate::decode) fn read<'a>(
    cursor: &mut Cursor<'a>,
    header: &Header,
    flavor: Flavor,
) -> Result<(&'a str, Offset)> {
    if header.kind == kind::HEARTBEAT_V2 {
        return read_fields(cursor);
    }
    // MariaDB puts an offset that does not fit the header in front of the name.
    let offset = match (flavor, header.log_position) {
        (Flavor::MariaDb, 0) => Offset::Whole(cursor.u64()?),
        (_, low) => Offset::Low(low),
    };
    let length = cursor.remaining();
    Ok((cursor.identifier(length)?, offset))
}

fn read_fields<'a>(cursor: &mut Cursor<'a>) -> Result<(&'a str, Offset)> {
    let (mut file, mut offset) = (None, None);
    while !cursor.is_empty() {
        let field = cursor.packed_uint()?;
        if field == END_MARK {
            break;
        }
        let length = cursor.packed_length()?;
        let mut value = cursor.part(length)?;
        match field {
            FILE_NAME => file = Some(value.identifier(length)?),
            POSITION => offset = Some(value.packed_uint()?),
            _ => {}
        }
    }
    match (file, offset) {
        (Some(file), Some(offset)) => Ok((file, Offset::Whole(offset))),
        _ => Err(cursor.corrupt("expected a file name and a position in a heartbeat")),
    }
}
