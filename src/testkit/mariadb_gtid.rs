//! GTID and GTID_LIST of MariaDB (MariaDB source, `sql/log_event_server.cc`, `Gtid_log_event::write` and
//! `Gtid_list_log_event::write`).

use super::event::{Event, flag};
use super::group::XaId;
use super::{encode, kind};

/// The shortest body: zero bytes fill it up.
const SHORTEST: usize = 19;

/// Flags of [`MariaDbGtid`] (MariaDB source, `sql/log_event.h`, `Gtid_log_event`).
pub mod gtid_flag {
    /// The group is one statement, without a commit.
    pub const STANDALONE: u8 = 0x1;
    /// A commit id follows. Set by [`MariaDbGtid::commit_id`](super::MariaDbGtid::commit_id).
    pub const GROUP_COMMIT_ID: u8 = 0x2;
    /// All of the group can be rolled back.
    pub const TRANSACTIONAL: u8 = 0x4;
    /// Replicas may apply the group in parallel.
    pub const ALLOW_PARALLEL: u8 = 0x8;
    /// The group waited for a row lock.
    pub const WAITED: u8 = 0x10;
    /// The group is a DDL statement.
    pub const DDL: u8 = 0x20;
    /// The first phase of an XA transaction. Set by [`MariaDbGtid::xa`](super::MariaDbGtid::xa).
    pub const PREPARED_XA: u8 = 0x40;
    /// The second phase of an XA transaction.
    pub const COMPLETED_XA: u8 = 0x80;
}

/// The first or the second phase of an ALTER TABLE that is logged in two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AlterPhase {
    /// It starts.
    Start,
    /// The one that started with this sequence number is done.
    Commit(u64),
    /// The one that started with this sequence number failed.
    Rollback(u64),
}

/// The start of an event group on MariaDB, which becomes an [`Event`].
#[derive(Debug, Clone)]
pub struct MariaDbGtid {
    domain: u32,
    server: u32,
    sequence: u64,
    flags: u8,
    commit_id: Option<u64>,
    xa: Option<XaId>,
    extra_engines: Option<u8>,
    alter: Option<AlterPhase>,
    thread: Option<u32>,
}

impl MariaDbGtid {
    /// A transaction that replicas may apply in parallel.
    pub fn new(domain: u32, server: u32, sequence: u64) -> MariaDbGtid {
        MariaDbGtid {
            domain,
            server,
            sequence,
            flags: gtid_flag::TRANSACTIONAL | gtid_flag::ALLOW_PARALLEL,
            commit_id: None,
            xa: None,
            extra_engines: None,
            alter: None,
            thread: None,
        }
    }

    /// A DDL statement, which has no commit.
    pub fn ddl(domain: u32, server: u32, sequence: u64) -> MariaDbGtid {
        MariaDbGtid {
            flags: gtid_flag::STANDALONE | gtid_flag::ALLOW_PARALLEL | gtid_flag::DDL,
            ..MariaDbGtid::new(domain, server, sequence)
        }
    }

    /// Sets the flags of [`gtid_flag`] that do not bring bytes of their own.
    #[must_use]
    pub fn flags(self, flags: u8) -> MariaDbGtid {
        MariaDbGtid { flags, ..self }
    }

    /// The group commit that the group was in.
    #[must_use]
    pub fn commit_id(self, commit_id: u64) -> MariaDbGtid {
        MariaDbGtid { commit_id: Some(commit_id), flags: self.flags | gtid_flag::GROUP_COMMIT_ID, ..self }
    }

    /// The XA transaction whose first phase, or with `is_completed` its second one, the group is.
    #[must_use]
    pub fn xa(self, id: XaId, is_completed: bool) -> MariaDbGtid {
        let flag = if is_completed { gtid_flag::COMPLETED_XA } else { gtid_flag::PREPARED_XA };
        MariaDbGtid { xa: Some(id), flags: self.flags | flag, ..self }
    }

    /// How many engines beyond one take part.
    #[must_use]
    pub fn extra_engines(self, count: u8) -> MariaDbGtid {
        MariaDbGtid { extra_engines: Some(count), ..self }
    }

    /// The phase of an ALTER TABLE that is logged in two.
    #[must_use]
    pub fn alter(self, phase: AlterPhase) -> MariaDbGtid {
        MariaDbGtid { alter: Some(phase), ..self }
    }

    /// The session; 10.11 does not write it, 11.8 does.
    #[must_use]
    pub fn thread(self, thread: u32) -> MariaDbGtid {
        MariaDbGtid { thread: Some(thread), ..self }
    }
}

impl From<MariaDbGtid> for Event {
    fn from(gtid: MariaDbGtid) -> Event {
        const MULTI_ENGINE: u8 = 0x1;
        const START_ALTER: u8 = 0x2;
        const COMMIT_ALTER: u8 = 0x4;
        const ROLLBACK_ALTER: u8 = 0x8;
        const THREAD_ID: u8 = 0x10;

        let mut body = Vec::from(gtid.sequence.to_le_bytes());
        body.extend(gtid.domain.to_le_bytes());
        body.push(gtid.flags);
        body.extend(gtid.commit_id.map(u64::to_le_bytes).into_iter().flatten());
        if let Some(id) = &gtid.xa {
            body.extend(id.format.to_le_bytes());
            body.extend([id.global.len() as u8, id.branch.len() as u8]);
            body.extend([id.global.as_slice(), &id.branch].concat());
        }
        let (alter_flag, alter_start) = match gtid.alter {
            None => (0, None),
            Some(AlterPhase::Start) => (START_ALTER, None),
            Some(AlterPhase::Commit(start)) => (COMMIT_ALTER, Some(start)),
            Some(AlterPhase::Rollback(start)) => (ROLLBACK_ALTER, Some(start)),
        };
        let extra = gtid.extra_engines.map_or(0, |_| MULTI_ENGINE) | alter_flag | gtid.thread.map_or(0, |_| THREAD_ID);
        if extra > 0 {
            body.push(extra);
        }
        body.extend(gtid.extra_engines);
        body.extend(alter_start.map(u64::to_le_bytes).into_iter().flatten());
        body.extend(gtid.thread.map(u32::to_le_bytes).into_iter().flatten());
        body.resize(body.len().max(SHORTEST), 0);
        Event::raw(kind::MARIADB_GTID, flag::SUPPRESS_USE, body).with_server_id(gtid.server)
    }
}

impl Event {
    /// GTID_LIST: domain, server and number of the last GTIDs of all earlier logs.
    pub fn mariadb_gtid_list(gtids: &[(u32, u32, u64)]) -> Event {
        let mut body = Vec::from((gtids.len() as u32).to_le_bytes());
        for (domain, server, sequence) in gtids {
            body.extend(domain.to_le_bytes());
            body.extend(server.to_le_bytes());
            encode::le(&mut body, *sequence, 8);
        }
        // An empty list is two bytes longer than its count.
        body.resize(body.len().max(6), 0);
        Event::raw(kind::MARIADB_GTID_LIST, 0, body)
    }
}
