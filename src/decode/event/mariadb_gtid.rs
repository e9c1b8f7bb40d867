//! MariaDB's GTID and GTID_LIST (MariaDB source, `sql/log_event.h`, `Gtid_log_event`, `Gtid_list_log_event`).

use crate::decode::cursor::Cursor;
use crate::decode::fault::unsupported;
use crate::error::Result;
use crate::model::{Gtid, MariaDbGtid};

const STANDALONE: u8 = 0x1;
const GROUP_COMMIT_ID: u8 = 0x2;
const PREPARED_XA: u8 = 0x40;
const COMPLETED_XA: u8 = 0x80;

const START_ALTER: u8 = 0x2;
const COMMIT_ALTER: u8 = 0x4;
const ROLLBACK_ALTER: u8 = 0x8;

/// The start of an event group on MariaDB.
pub(in crate::decode) struct MariaDbGtidEvent {
    pub(in crate::decode) gtid: Gtid,
    /// The group is one statement, without COMMIT.
    pub(in crate::decode) is_standalone: bool,
}

impl MariaDbGtidEvent {
    /// Reads the body; the header's server id is the middle of the GTID.
    pub(in crate::decode) fn read(cursor: &mut Cursor<'_>, server: u32) -> Result<MariaDbGtidEvent> {
        let sequence = cursor.u64()?;
        let domain = cursor.u32()?;
        let flags = cursor.u8()?;
        if flags & (PREPARED_XA | COMPLETED_XA) != 0 {
            return Err(
                unsupported("XA transactions are not handled").with_advice("keep XA transactions off the source")
            );
        }
        if flags & GROUP_COMMIT_ID != 0 {
            cursor.skip(8)?;
        }
        // Without a commit id zero bytes fill the place, which read as no further flags.
        let extra = if cursor.is_empty() { 0 } else { cursor.u8()? };
        if extra & (START_ALTER | COMMIT_ALTER | ROLLBACK_ALTER) != 0 {
            return Err(unsupported("an ALTER TABLE that is logged in two phases is not handled")
                .with_advice("set binlog_alter_two_phase=OFF on the source"));
        }
        let gtid = Gtid::MariaDb(MariaDbGtid { domain, server, sequence });
        Ok(MariaDbGtidEvent { gtid, is_standalone: flags & STANDALONE != 0 })
    }
}

/// Checks that a GTID_LIST is whole; what it says is known from elsewhere.
pub(in crate::decode) fn read_list(cursor: &mut Cursor<'_>) -> Result<()> {
    let count = cursor.u32()? & 0x0fff_ffff;
    let expected = u64::from(count).saturating_mul(16);
    let found = u64::try_from(cursor.remaining()).unwrap_or(u64::MAX);
    if found < expected {
        return Err(cursor.corrupt(format!("expected {count} GTIDs of 16 bytes, found {found} bytes")));
    }
    Ok(())
}
