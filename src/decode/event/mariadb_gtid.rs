//! MariaDB's GTID: the start of an event group (MariaDB source, `sql/log_event.h`, `Gtid_log_event`).

use super::xa::Xid;
use crate::decode::cursor::Cursor;
use crate::error::Result;
use crate::model::{Gtid, MariaDbGtid};

const STANDALONE: u8 = 0x1;
const GROUP_COMMIT_ID: u8 = 0x2;
const PREPARED_XA: u8 = 0x40;
const COMPLETED_XA: u8 = 0x80;

const MULTI_ENGINE: u8 = 0x1;
const START_ALTER: u8 = 0x2;
const COMMIT_ALTER: u8 = 0x4;
const ROLLBACK_ALTER: u8 = 0x8;

/// The start of an event group on MariaDB.
pub(in crate::decode) struct MariaDbGtidEvent {
    pub(in crate::decode) gtid: Gtid,
    /// The group is one statement, without COMMIT.
    pub(in crate::decode) is_standalone: bool,
    /// Transactions of one number were committed together.
    pub(in crate::decode) group_commit_id: Option<u64>,
    pub(in crate::decode) alter: Option<AlterPhase>,
    /// The group ends with a PREPARE.
    pub(in crate::decode) is_two_phase: bool,
}

/// What a group is of an `ALTER TABLE` that is logged in two phases (`binlog_alter_two_phase=ON`, MariaDB 10.8 and
/// newer).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AlterPhase {
    /// It began: nothing is changed yet.
    Start,
    /// It succeeded: this group's statement is the change.
    Commit,
    /// It failed: nothing was changed.
    Rollback,
}

impl MariaDbGtidEvent {
    /// Reads the body; the header's server id is the middle of the GTID.
    pub(in crate::decode) fn read(cursor: &mut Cursor<'_>, server: u32) -> Result<MariaDbGtidEvent> {
        let sequence = cursor.u64()?;
        let domain = cursor.u32()?;
        let flags = cursor.u8()?;
        let group_commit_id = match flags & GROUP_COMMIT_ID {
            0 => None,
            _ => Some(cursor.u64()?),
        };
        if flags & (PREPARED_XA | COMPLETED_XA) != 0 {
            // The group's own events have the id again.
            Xid::read(cursor, true)?;
        }
        // Zero bytes fill the fixed part up, which read as no further flags.
        let extra = if cursor.is_empty() { 0 } else { cursor.u8()? };
        if extra & MULTI_ENGINE != 0 {
            cursor.u8()?;
        }
        let alter = match extra {
            extra if extra & START_ALTER != 0 => Some(AlterPhase::Start),
            extra if extra & COMMIT_ALTER != 0 => Some(AlterPhase::Commit),
            extra if extra & ROLLBACK_ALTER != 0 => Some(AlterPhase::Rollback),
            _ => None,
        };
        let gtid = Gtid::MariaDb(MariaDbGtid { domain, server, sequence });
        let is_two_phase = flags & PREPARED_XA != 0;
        Ok(MariaDbGtidEvent { gtid, is_standalone: flags & STANDALONE != 0, group_commit_id, alter, is_two_phase })
    }
}
