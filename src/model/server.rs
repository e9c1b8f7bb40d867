use std::fmt;
use std::str::FromStr;

/// The two families of servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(clippy::exhaustive_enums, reason = "a third family would change every stage; matching exhaustively is wanted")]
pub enum Flavor {
    /// MySQL, Percona Server, and services built on them.
    MySql,
    /// MariaDB.
    MariaDb,
}

impl fmt::Display for Flavor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Flavor::MySql => "MySQL",
            Flavor::MariaDb => "MariaDB",
        })
    }
}

/// A server's version, ordered within a flavour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ServerVersion {
    /// The family.
    pub flavor: Flavor,
    /// For example 9 of 9.7.4.
    pub major: u16,
    /// For example 7 of 9.7.4.
    pub minor: u16,
    /// For example 4 of 9.7.4.
    pub patch: u16,
}

impl ServerVersion {
    /// A version by its numbers.
    pub const fn new(flavor: Flavor, major: u16, minor: u16, patch: u16) -> ServerVersion {
        ServerVersion { flavor, major, minor, patch }
    }

    /// Whether this is the flavour, and at least this version.
    pub fn is_at_least(&self, flavor: Flavor, version: (u16, u16, u16)) -> bool {
        self.flavor == flavor && (self.major, self.minor, self.patch) >= version
    }

    /// Whether it says how its accounts are made (`SHOW CREATE USER`).
    pub(crate) fn shows_accounts(&self) -> bool {
        self.flavor == Flavor::MariaDb || self.is_at_least(Flavor::MySql, (5, 7, 6))
    }

    /// Whether a session may set a mode, given by its name in capitals, that an older server of the flavour knows.
    pub(crate) fn knows_sql_mode(&self, mode: &str) -> bool {
        !self.is_at_least(Flavor::MySql, (8, 0, 11)) || !REMOVED_SQL_MODES.contains(&mode)
    }
}

/// Modes that MySQL 8.0.11 removed (MySQL 8.0 reference manual, "Server SQL Modes"): they say how names are printed and
/// whether GRANT makes accounts.
const REMOVED_SQL_MODES: [&str; 11] = [
    "DB2",
    "MAXDB",
    "MSSQL",
    "MYSQL323",
    "MYSQL40",
    "NO_AUTO_CREATE_USER",
    "NO_FIELD_OPTIONS",
    "NO_KEY_OPTIONS",
    "NO_TABLE_OPTIONS",
    "ORACLE",
    "POSTGRESQL",
];

impl PartialOrd for ServerVersion {
    /// `None` between the flavours: their numbers have nothing to do with each other.
    fn partial_cmp(&self, other: &ServerVersion) -> Option<std::cmp::Ordering> {
        (self.flavor == other.flavor)
            .then(|| (self.major, self.minor, self.patch).cmp(&(other.major, other.minor, other.patch)))
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}.{}.{}", self.flavor, self.major, self.minor, self.patch)
    }
}

impl FromStr for ServerVersion {
    type Err = ();

    /// Reads `SELECT VERSION()`. MariaDB names itself in it, sometimes behind the old `5.5.5-` prefix.
    fn from_str(text: &str) -> Result<ServerVersion, ()> {
        let flavor = if text.to_ascii_lowercase().contains("mariadb") { Flavor::MariaDb } else { Flavor::MySql };
        let text = match flavor {
            Flavor::MariaDb => text.strip_prefix("5.5.5-").unwrap_or(text),
            Flavor::MySql => text,
        };
        let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u16>);
        let mut next = || numbers.next().and_then(Result::ok).ok_or(());
        Ok(ServerVersion::new(flavor, next()?, next()?, next().unwrap_or(0)))
    }
}

/// What tells one server from another, so that a position is never used on the wrong one.
///
/// MySQL has a UUID of its own. MariaDB has none in every version, so its server id, host name and data directory
/// stand in.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct ServerIdentity(String);

impl ServerIdentity {
    /// An identity by its text.
    pub fn new(text: impl Into<String>) -> ServerIdentity {
        ServerIdentity(text.into())
    }

    /// The text, as it stands in the checkpoint.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_the_servers_own_text() {
        let read = |text: &str| text.parse::<ServerVersion>().unwrap().to_string();
        assert_eq!(read("9.7.4-1"), "MySQL 9.7.4");
        assert_eq!(read("5.6.24-log"), "MySQL 5.6.24");
        assert_eq!(read("5.5.5-10.11.18-MariaDB-0+deb12u1-log"), "MariaDB 10.11.18");
        assert_eq!(read("11.8.6-MariaDB-ubu"), "MariaDB 11.8.6");
        assert!("".parse::<ServerVersion>().is_err());
    }

    #[test]
    fn flavours_are_not_ordered() {
        let mysql = ServerVersion::new(Flavor::MySql, 5, 6, 24);
        let maria = ServerVersion::new(Flavor::MariaDb, 10, 5, 0);
        assert_eq!(mysql.partial_cmp(&maria), None);
        assert!(maria < ServerVersion::new(Flavor::MariaDb, 10, 11, 0));
    }
}
