//! The settings with which it works, but not as well or not as safely as it could, as a table. Those without which it does
//! not work at all are in the module above.

use std::collections::HashMap;

use crate::checks::{Check, Verdict};
use crate::error::Result;
use crate::model::ServerVersion;
use crate::net::{Server, Session};

/// A setting, or several that mean one thing.
struct Setting {
    name: &'static str,
    /// The variables that say it. What a server does not have is as it should be.
    variables: &'static [&'static str],
    /// What is accepted, in words.
    accepted: &'static str,
    /// Whether it is, on blue and on green.
    is_met: fn(&Values, &Values) -> bool,
    why: &'static str,
    remedy: &'static str,
}

const SETTINGS: [Setting; 12] = [
    Setting {
        name: "binlog_row_image",
        variables: &["binlog_row_image"],
        accepted: "FULL",
        is_met: |blue, green| both(blue, green, |values| values.is("binlog_row_image", &["FULL"])),
        why: "a row of which the log has a part only cannot be put where green does not hold it, and the stream stops there",
        remedy: "set binlog_row_image = FULL",
    },
    Setting {
        name: "binlog_row_metadata",
        variables: &["binlog_row_metadata"],
        accepted: "FULL, MINIMAL (MySQL, MariaDB), NO_LOG (MariaDB)",
        is_met: |blue, green| {
            both(blue, green, |values| values.is("binlog_row_metadata", &["FULL", "MINIMAL", "NO_LOG"]))
        },
        why: "another value is not known to this version",
        remedy: "set binlog_row_metadata = FULL",
    },
    Setting {
        name: "binlog_checksum",
        variables: &["binlog_checksum"],
        accepted: "CRC32",
        is_met: |blue, green| both(blue, green, |values| values.is("binlog_checksum", &["CRC32"])),
        why: "a damaged log is not noticed where the damage still makes sense",
        remedy: "set binlog_checksum = CRC32",
    },
    Setting {
        name: "gtid_mode",
        variables: &["gtid_mode"],
        accepted: "ON",
        is_met: |blue, green| both(blue, green, |values| values.is("gtid_mode", &["ON"])),
        why: "without GTIDs a position is lost when another server takes blue's place",
        remedy: "set gtid_mode = ON, by way of OFF_PERMISSIVE and ON_PERMISSIVE",
    },
    Setting {
        name: "log_retention",
        variables: &["binlog_expire_logs_seconds", "expire_logs_days"],
        accepted: "a day at least, or 0: for ever",
        is_met: |blue, green| both(blue, green, |values| values.retention() >= DAY),
        why: "what is purged before the engine has read it means to build green anew",
        remedy: "set binlog_expire_logs_seconds (older servers: expire_logs_days) to more than an outage may last",
    },
    Setting {
        name: "sync_binlog",
        variables: &["sync_binlog"],
        accepted: "1",
        is_met: |blue, green| both(blue, green, |values| values.is("sync_binlog", &["1"])),
        why: "a host that fails loses the end of its log: what green has then is not on blue, or not in green's log",
        remedy: "set sync_binlog = 1",
    },
    Setting {
        name: "innodb_flush_log_at_trx_commit",
        variables: &["innodb_flush_log_at_trx_commit"],
        accepted: "1",
        is_met: |blue, green| both(blue, green, |values| values.is("innodb_flush_log_at_trx_commit", &["1"])),
        why: "a host that fails loses transactions that were committed, and that the other server may have",
        remedy: "set innodb_flush_log_at_trx_commit = 1",
    },
    Setting {
        name: "sql_mode",
        variables: &["sql_mode"],
        accepted: "modes that green knows",
        is_met: |blue, green| blue.modes().iter().all(|mode| green.version.knows_sql_mode(mode)),
        why: "green refuses sessions that set such a mode, and does not start with it",
        remedy: "leave the modes out that were removed in MySQL 8.0.11",
    },
    Setting {
        name: "time_zone",
        variables: &["time_zone", "system_time_zone"],
        accepted: "the same on both",
        is_met: |blue, green| blue.time_zone() == green.time_zone(),
        why: "after the switchover NOW(), and TIMESTAMPs as they are shown, are of another zone",
        remedy: "set green's time_zone as blue's",
    },
    Setting {
        name: "event_scheduler",
        variables: &["event_scheduler"],
        accepted: "the same on both",
        is_met: |blue, green| blue.is("event_scheduler", &["ON"]) == green.is("event_scheduler", &["ON"]),
        why: "green's events are at rest until the switchover, and are to run as on blue from then on",
        remedy: "set green's event_scheduler as blue's",
    },
    Setting {
        name: "max_allowed_packet",
        variables: &["max_allowed_packet"],
        accepted: "on green as much as on blue",
        is_met: |blue, green| green.number("max_allowed_packet") >= blue.number("max_allowed_packet"),
        why: "a long row may not fit",
        remedy: "set green's max_allowed_packet as blue's",
    },
    Setting {
        name: "innodb_page_size",
        variables: &["innodb_page_size"],
        accepted: "on green as much as on blue",
        is_met: |blue, green| green.number("innodb_page_size") >= blue.number("innodb_page_size"),
        why: "rows and keys that fit blue's pages may not fit green's",
        remedy: "initialise green with blue's innodb_page_size",
    },
];

const DAY: u64 = 86_400;

fn both(blue: &Values, green: &Values, is_met: fn(&Values) -> bool) -> bool {
    is_met(blue) && is_met(green)
}

/// The variables of one server.
pub(super) struct Values {
    version: ServerVersion,
    by_name: HashMap<String, String>,
}

impl Values {
    pub(super) async fn read(session: &mut Session, server: &Server) -> Result<Values> {
        let names: Vec<String> = names().map(|name| format!("'{name}'")).collect();
        let rows =
            session.rows(&format!("SHOW GLOBAL VARIABLES WHERE Variable_name IN ({})", names.join(", "))).await?;
        let by_name = rows.iter().map(|row| (row.text(0).to_ascii_lowercase(), row.text(1))).collect();
        Ok(Values { version: server.version, by_name })
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.by_name.get(name).map(String::as_str)
    }

    fn is(&self, name: &str, accepted: &[&str]) -> bool {
        self.get(name).is_none_or(|value| accepted.iter().any(|accepted| accepted.eq_ignore_ascii_case(value)))
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.parse().ok()
    }

    /// Seconds for which the server keeps its log. The variable in seconds decides where both are there and it is set.
    fn retention(&self) -> u64 {
        let days: f64 = self.get("expire_logs_days").and_then(|days| days.parse().ok()).unwrap_or(0.0);
        match self.number("binlog_expire_logs_seconds").unwrap_or(0) {
            0 if days > 0.0 => std::time::Duration::from_secs_f64(days * DAY as f64).as_secs(),
            0 => u64::MAX,
            seconds => seconds,
        }
    }

    fn modes(&self) -> Vec<String> {
        let modes = self.get("sql_mode").unwrap_or_default().split(',');
        modes.map(|mode| mode.trim().to_ascii_uppercase()).filter(|mode| !mode.is_empty()).collect()
    }

    fn time_zone(&self) -> Option<&str> {
        match self.get("time_zone") {
            Some("SYSTEM") => self.get("system_time_zone"),
            zone => zone,
        }
    }

    fn shown(&self, variables: &[&str]) -> String {
        let shown = |name: &&str| self.get(name).map(|value| if value.is_empty() { "empty" } else { value });
        let values: Vec<&str> = variables.iter().filter_map(shown).collect();
        if values.is_empty() { "not there".into() } else { values.join(", ") }
    }
}

/// The variables of the table.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    SETTINGS.iter().flat_map(|setting| setting.variables).copied()
}

/// All of the table, of values that were read.
pub(super) fn judge(blue: &Result<Values>, green: &Result<Values>) -> Vec<Check> {
    let check = |setting: &Setting| match (blue, green) {
        (Err(error), _) | (_, Err(error)) => Check::unknown(setting.name, error),
        (Ok(blue), Ok(green)) => {
            let evidence = format!(
                "{}: {} on blue, {} on green",
                setting.variables.join(", "),
                blue.shown(setting.variables),
                green.shown(setting.variables)
            );
            match (setting.is_met)(blue, green) {
                true => Check::new(setting.name, Verdict::Pass, evidence),
                false => Check::new(setting.name, Verdict::Warn, evidence)
                    .with_advice(format!("{} (accepted: {}): {}", setting.remedy, setting.accepted, setting.why)),
            }
        }
    };
    SETTINGS.iter().map(check).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, ErrorKind};
    use crate::model::Flavor;

    const NEW: ServerVersion = ServerVersion::new(Flavor::MySql, 9, 7, 4);

    fn values(set: &[(&str, &str)]) -> Result<Values> {
        let good = [
            ("binlog_row_image", "FULL"),
            ("binlog_row_metadata", "MINIMAL"),
            ("binlog_checksum", "CRC32"),
            ("gtid_mode", "ON"),
            ("binlog_expire_logs_seconds", "2592000"),
            ("sync_binlog", "1"),
            ("innodb_flush_log_at_trx_commit", "1"),
            ("sql_mode", "STRICT_TRANS_TABLES"),
            ("time_zone", "SYSTEM"),
            ("system_time_zone", "UTC"),
            ("event_scheduler", "OFF"),
            ("max_allowed_packet", "67108864"),
            ("innodb_page_size", "16384"),
        ];
        let by_name = good.iter().chain(set).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Ok(Values { version: NEW, by_name })
    }

    fn warned(blue: &[(&str, &str)], green: &[(&str, &str)]) -> Vec<&'static str> {
        let checks = judge(&values(blue), &values(green));
        assert!(checks.iter().all(|check| (check.verdict == Verdict::Warn) == check.advice.is_some()));
        checks.iter().filter(|check| check.verdict == Verdict::Warn).map(|check| check.name).collect()
    }

    #[test]
    fn each_setting_is_judged() {
        assert_eq!(warned(&[], &[]), Vec::<&str>::new());
        for (name, variable, value) in [
            ("binlog_row_image", "binlog_row_image", "MINIMAL"),
            ("binlog_row_metadata", "binlog_row_metadata", "OTHER"),
            ("binlog_checksum", "binlog_checksum", "NONE"),
            ("gtid_mode", "gtid_mode", "OFF_PERMISSIVE"),
            ("log_retention", "binlog_expire_logs_seconds", "3600"),
            ("sync_binlog", "sync_binlog", "0"),
            ("innodb_flush_log_at_trx_commit", "innodb_flush_log_at_trx_commit", "2"),
            ("sql_mode", "sql_mode", "NO_AUTO_CREATE_USER,ANSI"),
            ("time_zone", "system_time_zone", "CET"),
            ("max_allowed_packet", "max_allowed_packet", "1073741824"),
            ("innodb_page_size", "innodb_page_size", "65536"),
        ] {
            assert_eq!(warned(&[(variable, value)], &[]), [name]);
        }
        assert_eq!(warned(&[("event_scheduler", "ON")], &[("event_scheduler", "ON")]), Vec::<&str>::new());
        assert_eq!(warned(&[("event_scheduler", "ON")], &[]), ["event_scheduler"]);
        assert_eq!(warned(&[("event_scheduler", "DISABLED")], &[]), Vec::<&str>::new());
    }

    #[test]
    fn retention_is_in_days_on_older_servers() {
        let seconds = |set: &[(&str, &str)]| values(set).unwrap().retention();
        assert_eq!(seconds(&[("binlog_expire_logs_seconds", "0")]), u64::MAX);
        assert_eq!(seconds(&[("binlog_expire_logs_seconds", "0"), ("expire_logs_days", "10.500000")]), 907_200);
        assert_eq!(seconds(&[("binlog_expire_logs_seconds", "60"), ("expire_logs_days", "10")]), 60);
    }

    #[test]
    fn what_cannot_be_read_is_unknown() {
        let lost = Err(Error::new(ErrorKind::Disconnected, "gone"));
        assert!(judge(&values(&[]), &lost).iter().all(|check| check.verdict == Verdict::Unknown));
    }
}
