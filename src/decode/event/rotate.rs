//! ROTATE: the next log file (MySQL source, `libs/mysql/binlog/event/control_events.h`, `Rotate_event`).

use crate::decode::cursor::Cursor;
use crate::error::Result;
use crate::model::Coordinates;

/// Where the log goes on.
pub(in crate::decode) fn read(cursor: &mut Cursor<'_>) -> Result<Coordinates> {
    let offset = cursor.u64()?;
    let here = cursor.clone();
    let length = cursor.remaining();
    let file = cursor.identifier(length)?;
    if file.is_empty() || offset < 4 {
        return Err(here.corrupt(format!("expected a file name and an offset of at least 4, found offset {offset}")));
    }
    Ok(Coordinates::new(file, offset))
}
