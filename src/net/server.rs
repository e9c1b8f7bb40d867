use std::collections::HashMap;

use super::session::Session;
use super::url::ServerUrl;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Coordinates, Flavor, GtidPosition, Position, ServerIdentity, ServerVersion};

/// What a server is and how it is set, read once.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Server {
    /// Flavour and version.
    pub version: ServerVersion,
    /// Tells it from every other server.
    pub identity: ServerIdentity,
    /// `server_id`; 0 means that none was set.
    pub server_id: u32,
    /// What its binlog carries.
    pub binlog: BinlogSettings,
    /// Whether `read_only` was on.
    pub is_read_only: bool,
    /// `lower_case_table_names`.
    pub lower_case_table_names: u8,
    /// Bytes of the largest statement the server takes.
    pub max_allowed_packet: u64,
}

/// The variables that decide what the binlog carries.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BinlogSettings {
    /// `log_bin`.
    pub is_on: bool,
    /// `binlog_format`, in capitals.
    pub format: String,
    /// `binlog_row_image`, in capitals; `FULL` where the server has no such variable.
    pub row_image: String,
    /// `binlog_checksum`, in capitals.
    pub checksum: String,
    /// MySQL: `gtid_mode` is ON. MariaDB: always.
    pub has_gtid: bool,
}

impl Server {
    /// Asks the server in a session of its own.
    ///
    /// # Errors
    /// `Unreachable`, `Authentication`, `Unavailable`; `Version` where it is neither MySQL nor MariaDB.
    pub async fn ask(url: &ServerUrl) -> Result<Server> {
        let mut session = Session::open(url).await?;
        let server = Server::probe(&mut session).await?;
        session.close().await;
        Ok(server)
    }

    /// Asks the server.
    pub(crate) async fn probe(session: &mut Session) -> Result<Server> {
        let address = session.address().to_owned();
        let version_text = session.first("SELECT VERSION()").await?.map(|row| row.text(0)).unwrap_or_default();
        let version: ServerVersion = version_text.parse().map_err(|()| {
            Error::new(ErrorKind::Version, format!("the server's version `{version_text}` cannot be read"))
                .at(|place| place.server = Some(address.clone()))
        })?;
        let variables = variables(session).await?;
        let get = |name: &str| variables.get(name).map(String::as_str).unwrap_or_default();
        let upper = |name: &str| get(name).to_ascii_uppercase();
        let identity = match version.flavor {
            Flavor::MySql => get("server_uuid").to_owned(),
            Flavor::MariaDb => format!("{}@{}:{}", get("server_id"), get("hostname"), get("datadir")),
        };
        Ok(Server {
            version,
            identity: ServerIdentity::new(identity),
            server_id: get("server_id").parse().unwrap_or(0),
            binlog: BinlogSettings {
                is_on: get("log_bin") == "ON",
                format: upper("binlog_format"),
                row_image: variables.get("binlog_row_image").map_or("FULL".into(), |image| image.to_ascii_uppercase()),
                checksum: upper("binlog_checksum"),
                has_gtid: version.flavor == Flavor::MariaDb || get("gtid_mode") == "ON",
            },
            is_read_only: matches!(upper("read_only").as_str(), "ON" | "1"),
            lower_case_table_names: get("lower_case_table_names").parse().unwrap_or(0),
            max_allowed_packet: get("max_allowed_packet").parse().unwrap_or(1 << 20),
        })
    }

    /// Where the server's log ends now.
    ///
    /// # Errors
    /// `Setting` where the binlog is off, `Privilege`.
    pub(crate) async fn head(&self, session: &mut Session) -> Result<Position> {
        let row = session.first(self.log_status()).await?.ok_or_else(|| {
            Error::new(ErrorKind::Setting, "the binlog is off")
                .with_advice("start the server with log_bin")
                .at(|place| place.server = Some(session.address().to_owned()))
        })?;
        let coordinates = Coordinates::new(row.text(0), row.number(1).unwrap_or(0));
        let gtid_text = match self.version.flavor {
            Flavor::MySql => row.text(4),
            Flavor::MariaDb => {
                session.first("SELECT @@global.gtid_binlog_pos").await?.map(|row| row.text(0)).unwrap_or_default()
            }
        };
        let gtid = if self.binlog.has_gtid { Some(self.parse_gtid(&gtid_text)?) } else { None };
        Ok(Position::new(coordinates, gtid))
    }

    /// The statement that shows where the log ends and which schemas it leaves out.
    pub(crate) fn log_status(&self) -> &'static str {
        match self.version.is_at_least(Flavor::MySql, (8, 2, 0)) {
            true => "SHOW BINARY LOG STATUS",
            false => "SHOW MASTER STATUS",
        }
    }

    /// The server's log files, oldest first, with their sizes in bytes.
    pub(crate) async fn logs(&self, session: &mut Session) -> Result<Vec<Coordinates>> {
        let rows = session.rows("SHOW BINARY LOGS").await?;
        Ok(rows.iter().map(|row| Coordinates::new(row.text(0), row.number(1).unwrap_or(0))).collect())
    }

    /// GTIDs in the server's own text.
    pub(crate) fn parse_gtid(&self, text: &str) -> Result<GtidPosition> {
        GtidPosition::parse(self.version.flavor, text).map_err(|reason| Error::new(ErrorKind::Position, reason))
    }
}

impl BinlogSettings {
    /// Whether events carry a checksum.
    pub(crate) fn has_checksums(&self) -> bool {
        !matches!(self.checksum.as_str(), "" | "NONE")
    }
}

/// Whether the server keeps -0.0 apart from 0.0: the releases of MariaDB of 2026 (seen on 10.11.18 and 11.8.9, not on
/// 10.5.23) compute, store and show the one as the other.
pub(crate) async fn tells_zero_signs(session: &mut Session) -> Result<bool> {
    Ok(session.first("SELECT -0e0").await?.is_some_and(|row| row.text(0).starts_with('-')))
}

#[cfg(test)]
impl Server {
    /// A server that has everything as it should be.
    pub(crate) fn sample(id: u32, version: ServerVersion) -> Server {
        Server {
            version,
            identity: ServerIdentity::new(format!("server {id}")),
            server_id: id,
            binlog: BinlogSettings {
                is_on: true,
                format: "ROW".into(),
                row_image: "FULL".into(),
                checksum: "CRC32".into(),
                has_gtid: true,
            },
            is_read_only: false,
            lower_case_table_names: 0,
            max_allowed_packet: 64 << 20,
        }
    }
}

async fn variables(session: &mut Session) -> Result<HashMap<String, String>> {
    // SHOW leaves out what a version does not have; @@ would be an error.
    let rows = session
        .rows(
            "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('server_uuid', 'server_id', 'hostname', 'datadir', 'log_bin', \
             'binlog_format', 'binlog_row_image', 'binlog_checksum', 'gtid_mode', 'read_only', \
             'lower_case_table_names', 'max_allowed_packet')",
        )
        .await?;
    Ok(rows.iter().map(|row| (row.text(0).to_ascii_lowercase(), row.text(1))).collect())
}

/// The error for a server's refusal, by its number (MySQL and MariaDB "Server Error Message Reference").
pub(super) fn refusal(code: u16, message: &str) -> Error {
    let kind = match code {
        1045 | 1698 | 1130 | 1129 | 1251 | 1820 | 1862 | 3118 | 4151 => ErrorKind::Authentication,
        1044 | 1142 | 1143 | 1227 | 1370 => ErrorKind::Privilege,
        1205 | 1213 | 3572 => ErrorKind::Contention,
        1040 | 1053 | 1077 | 1079 | 1203 | 1226 | 3032 => ErrorKind::Unavailable,
        1317 | 1927 | 1152 | 1158..=1161 | 3024 | 3169 => ErrorKind::Disconnected,
        1290 | 1836 => ErrorKind::ReadOnly,
        1153 => ErrorKind::Limit,
        1236 | 1220 | 1789 => dump_refusal(message),
        1062 | 1032 | 1451 | 1452 | 1216 | 1217 => ErrorKind::Divergence,
        _ => ErrorKind::Refused,
    };
    let text = if holds_values(code) { redact(message) } else { message.replace('\n', " ") };
    let error = Error::new(kind, format!("server error {code}: {text}")).with_code(code);
    match code {
        1021 | 1114 => error.with_advice("make room on the server, then start again: it goes on from the checkpoint"),
        _ => error,
    }
}

/// Error 1236 says in words why a dump cannot go on.
fn dump_refusal(message: &str) -> ErrorKind {
    let text = message.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if has(&["purged", "could not find first log", "could not find gtid state", "no longer", "is not in the master"]) {
        ErrorKind::Purged
    } else if has(&["a slave with the same", "a replica with the same"]) {
        ErrorKind::TakenOver
    } else if has(&["server id was not set", "server_id"]) {
        ErrorKind::Setting
    } else if has(&[
        "impossible position",
        "ahead",
        "than the master",
        "not exist",
        "strict mode",
        "not in the",
        "more gtids",
    ]) {
        ErrorKind::Position
    } else if has(&["shutdown", "being closed", "failed reading log event, reconnecting"]) {
        ErrorKind::Unavailable
    } else {
        ErrorKind::Corrupt
    }
}

/// Whether the server quotes row values or statement text in the message of this error.
fn holds_values(code: u16) -> bool {
    matches!(
        code,
        1062 | 1064
            | 1149
            | 1264
            | 1265
            | 1292
            | 1300
            | 1366
            | 1367
            | 1406
            | 1411
            | 1416
            | 1525
            | 1526
            | 1586
            | 1690
            | 1859
            | 1861
            | 3140..=3160 | 3819 | 4025
    )
}

/// The message without anything between its first and its last quote: a value may hold quotes itself.
fn redact(message: &str) -> String {
    let text = match (message.find('\''), message.rfind('\'')) {
        (Some(first), Some(last)) => format!("{}…{}", &message[..first], &message[last + 1..]),
        _ => message.to_owned(),
    };
    text.replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_redacted_from_refusals() {
        let error = refusal(1062, "Duplicate entry 's3cret'cret' for key 'PRIMARY'");
        assert_eq!(error.message(), "server error 1062: Duplicate entry …");
        assert_eq!(error.kind(), ErrorKind::Divergence);
        assert_eq!(refusal(1213, "Deadlock found").kind(), ErrorKind::Contention);
    }

    #[test]
    fn dump_refusals_are_told_apart() {
        let kind = |text| refusal(1236, text).kind();
        assert_eq!(kind("Could not find first log file name in binary log index file"), ErrorKind::Purged);
        assert_eq!(kind("Client requested master to start replication from impossible position"), ErrorKind::Position);
        assert_eq!(kind("Misconfigured master - server id was not set"), ErrorKind::Setting);
        assert_eq!(kind("log event entry exceeded max_allowed_packet"), ErrorKind::Corrupt);
    }
}
