mod mariadb;
mod mysql;

use std::fmt;

pub use mariadb::{MariaDbGtid, MariaDbGtidList};
pub use mysql::{GtidSet, MySqlGtid};

use super::Flavor;

/// One transaction's global id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "one variant a flavour")]
pub enum Gtid {
    /// `uuid[:tag]:number`.
    MySql(MySqlGtid),
    /// `domain-server-sequence`.
    MariaDb(MariaDbGtid),
}

impl fmt::Display for Gtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Gtid::MySql(gtid) => gtid.fmt(f),
            Gtid::MariaDb(gtid) => gtid.fmt(f),
        }
    }
}

/// What has been executed up to a position: a set on MySQL, the last of each domain on MariaDB. The two are different
/// things and never compared with each other.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "flavor", content = "gtid", rename_all = "lowercase")]
#[expect(clippy::exhaustive_enums, reason = "one variant a flavour")]
pub enum GtidPosition {
    /// MySQL's `gtid_executed` up to here.
    MySql(GtidSet),
    /// MariaDB's `gtid_binlog_pos` up to here.
    MariaDb(MariaDbGtidList),
}

impl GtidPosition {
    /// Reads the text that a server of `flavor` prints.
    ///
    /// # Errors
    /// The reason, where the text is none.
    pub fn parse(flavor: Flavor, text: &str) -> Result<GtidPosition, String> {
        match flavor {
            Flavor::MySql => text.parse().map(GtidPosition::MySql),
            Flavor::MariaDb => text.parse().map(GtidPosition::MariaDb),
        }
    }

    /// Nothing executed yet.
    pub fn empty(flavor: Flavor) -> GtidPosition {
        match flavor {
            Flavor::MySql => GtidPosition::MySql(GtidSet::default()),
            Flavor::MariaDb => GtidPosition::MariaDb(MariaDbGtidList::default()),
        }
    }

    /// Adds a committed transaction. A GTID of the other flavour is ignored and answered with `false`.
    pub fn insert(&mut self, gtid: &Gtid) -> bool {
        match (self, gtid) {
            (GtidPosition::MySql(set), Gtid::MySql(gtid)) => set.insert(gtid),
            (GtidPosition::MariaDb(list), Gtid::MariaDb(gtid)) => list.insert(*gtid),
            _ => return false,
        }
        true
    }

    /// Whether all of `other` is in `self`; `None` between flavours.
    pub fn covers(&self, other: &GtidPosition) -> Option<bool> {
        match (self, other) {
            (GtidPosition::MySql(mine), GtidPosition::MySql(theirs)) => Some(mine.covers(theirs)),
            (GtidPosition::MariaDb(mine), GtidPosition::MariaDb(theirs)) => Some(mine.covers(theirs)),
            _ => None,
        }
    }

    /// How many transactions `self` has and `other` has not. On MariaDB a difference of sequence numbers, which counts
    /// transactions as long as numbers are given out without gaps; `None` between flavours.
    pub fn count_beyond(&self, other: &GtidPosition) -> Option<u64> {
        match (self, other) {
            (GtidPosition::MySql(mine), GtidPosition::MySql(theirs)) => Some(mine.count_beyond(theirs)),
            (GtidPosition::MariaDb(mine), GtidPosition::MariaDb(theirs)) => Some(mine.count_beyond(theirs)),
            _ => None,
        }
    }
}

impl fmt::Display for GtidPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GtidPosition::MySql(set) => set.fmt(f),
            GtidPosition::MariaDb(list) => list.fmt(f),
        }
    }
}
