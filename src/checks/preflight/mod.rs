//! What must hold, or should be known, before green follows blue: settings, what blue's schema holds, and what the two are
//! to each other.
//!
//! The settings that replication stands on are judged here, of what was read before; those that could be better in
//! `settings`, what the schema holds in `schema`, its names in `words`. Each is a line of a table: name, what is accepted,
//! why, and the remedy, which are a check's advice.
//!
//! # Invariants
//! 1. What `create` refuses is a failure here, and what is a failure here `create` refuses.
//! 2. What could not be read is unknown, and the other checks are made all the same.

pub(crate) mod privileges;
mod schema;
mod settings;
mod words;

use std::collections::BTreeSet;

use self::settings::Values;
use super::{Check, Verdict, settings_drift};
use crate::error::{Error, ErrorKind};
use crate::model::ServerVersion;
use crate::net::{Server, Session};

pub(crate) use self::schema::{Schema, carried};

/// Everything that can be said of the two before green is built. Some dozen statements on each, none of which reads a row.
/// `intended`: the variables that green is to have a value of its own for.
pub(crate) async fn measure(
    schema: &Schema,
    (blue_server, blue_session): (&Server, &mut Session),
    (green_server, green_session): (&Server, &mut Session),
    intended: &BTreeSet<String>,
) -> Vec<Check> {
    let mut checks = blue(blue_server);
    checks.extend(pair(blue_server, green_server));
    let on_blue = Values::read(blue_session, blue_server).await;
    checks.extend(settings::judge(&on_blue, &Values::read(green_session, green_server).await));
    let told = settings::names().map(str::to_owned).chain(intended.iter().cloned()).collect();
    checks.push(settings_drift(blue_session, green_session, &told).await);
    checks.extend(carried(schema));
    checks
        .extend(schema::notable(schema, (blue_server, &mut *blue_session), (green_server, &mut *green_session)).await);
    checks.push(words::check(&schema.tables, blue_session, (green_server, green_session)).await);
    checks
}

/// The failures among checks as errors of a kind: for whoever cannot go on with them.
pub(crate) fn failures(checks: &[Check], kind: ErrorKind) -> Vec<Error> {
    let failed = checks.iter().filter(|check| check.verdict == Verdict::Fail);
    failed
        .map(|check| {
            let error = Error::new(kind, check.evidence.clone());
            match &check.advice {
                Some(advice) => error.with_advice(advice.clone()),
                None => error,
            }
        })
        .collect()
}

/// A requirement on one server.
struct Requirement {
    name: &'static str,
    /// Whether it is met.
    is_met: fn(&Server) -> bool,
    /// What the server has.
    evidence: fn(&Server) -> String,
    advice: &'static str,
}

const LOG: [Requirement; 3] = [
    Requirement {
        name: "log_bin",
        is_met: |server| server.binlog.is_on,
        evidence: |server| format!("log_bin is {}", if server.binlog.is_on { "ON" } else { "OFF" }),
        advice: "start the server with log_bin",
    },
    Requirement {
        name: "binlog_format",
        is_met: |server| server.binlog.format == "ROW",
        evidence: |server| format!("binlog_format is {}", server.binlog.format),
        advice: "set binlog_format = ROW, and let sessions that are older than that end",
    },
    Requirement {
        name: "server_id",
        is_met: |server| server.server_id != 0,
        evidence: |server| format!("server_id is {}", server.server_id),
        advice: "set server_id to a number that no other server of the deployment has",
    },
];

/// Foreign writes on green are shown by their rows.
const FULL_IMAGES: Requirement = Requirement {
    name: "binlog_row_image",
    is_met: |server| server.binlog.row_image == "FULL",
    evidence: |server| format!("binlog_row_image is {}", server.binlog.row_image),
    advice: "set binlog_row_image = FULL, and let sessions that are older than that end",
};

fn against(requirements: &[Requirement], server: &Server) -> Vec<Check> {
    requirements
        .iter()
        .map(|requirement| {
            let evidence = (requirement.evidence)(server);
            if (requirement.is_met)(server) {
                Check::new(requirement.name, Verdict::Pass, evidence)
            } else {
                Check::new(requirement.name, Verdict::Fail, evidence).with_advice(requirement.advice)
            }
        })
        .collect()
}

/// What blue's log must carry so that green can follow it.
pub fn blue(server: &Server) -> Vec<Check> {
    against(&LOG, server)
}

/// What of it is missing, as errors: for whoever cannot go on without. A log that is off has no other faults.
pub(crate) fn refusals(role: &str, server: &Server) -> Vec<Error> {
    let images = (role == "green").then_some(&FULL_IMAGES);
    let unmet = LOG.iter().chain(images).filter(|requirement| !(requirement.is_met)(server));
    let refusal = |requirement: &Requirement| {
        Error::new(ErrorKind::Setting, format!("{} on {role}", (requirement.evidence)(server)))
            .with_advice(requirement.advice)
    };
    unmet.take(if server.binlog.is_on { usize::MAX } else { 1 }).map(refusal).collect()
}

/// What the two must be to each other.
pub fn pair(blue: &Server, green: &Server) -> Vec<Check> {
    vec![version(blue.version, green.version), distinct(blue, green), green_log(green), names(blue, green)]
}

/// Whether green can hold all that blue does: a patch back within a series is told, and no obstacle.
pub(crate) fn version(blue: ServerVersion, green: ServerVersion) -> Check {
    let evidence = format!("blue is {blue}, green is {green}");
    let advice = "use a green of the same flavour and of the same or a newer version";
    match blue.partial_cmp(&green) {
        Some(order) if order.is_le() => Check::new("version", Verdict::Pass, evidence),
        // Within a release series the formats are the same: a patch back is no downgrade of the data.
        Some(_) if (blue.major, blue.minor) == (green.major, green.minor) => {
            Check::new("version", Verdict::Warn, evidence).with_advice(advice)
        }
        _ => Check::new("version", Verdict::Fail, evidence).with_advice(advice),
    }
}

fn distinct(blue: &Server, green: &Server) -> Check {
    if blue.identity == green.identity {
        return Check::new("distinct_servers", Verdict::Fail, "blue and green are the same server")
            .with_advice("name two servers; a copied data directory needs a server_uuid of its own");
    }
    let evidence = format!("server_id is {} on blue, {} on green", blue.server_id, green.server_id);
    if blue.server_id == green.server_id {
        return Check::new("distinct_servers", Verdict::Fail, evidence)
            .with_advice("give each server its own server_id");
    }
    Check::new("distinct_servers", Verdict::Pass, evidence)
}

fn green_log(green: &Server) -> Check {
    let binlog = &green.binlog;
    let advice =
        "without a ROW log with FULL images on green, foreign writes are not seen and a rollback is impossible";
    let on = if binlog.is_on { "ON" } else { "OFF" };
    let evidence =
        format!("green: log_bin {on}, binlog_format {}, binlog_row_image {}", binlog.format, binlog.row_image);
    let is_good = binlog.is_on && binlog.format == "ROW" && binlog.row_image == "FULL";
    if is_good {
        Check::new("green_log_bin", Verdict::Pass, evidence)
    } else {
        Check::new("green_log_bin", Verdict::Fail, evidence).with_advice(advice)
    }
}

fn names(blue: &Server, green: &Server) -> Check {
    let (mine, theirs) = (blue.lower_case_table_names, green.lower_case_table_names);
    let evidence = format!("lower_case_table_names is {mine} on blue, {theirs} on green");
    if mine == theirs {
        Check::new("lower_case_table_names", Verdict::Pass, evidence)
    } else {
        Check::new("lower_case_table_names", Verdict::Fail, evidence)
            .with_advice("initialise green with blue's lower_case_table_names")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Flavor, ServerIdentity};

    const NEW: ServerVersion = ServerVersion::new(Flavor::MySql, 9, 7, 4);
    const OLD: ServerVersion = ServerVersion::new(Flavor::MySql, 5, 6, 24);

    fn failing(checks: &[Check]) -> Vec<&'static str> {
        checks.iter().filter(|check| check.blocks()).map(|check| check.name).collect()
    }

    #[test]
    fn a_good_pair_passes() {
        let (a, b) = (Server::sample(1, OLD), Server::sample(2, NEW));
        assert_eq!(failing(&blue(&a)), Vec::<&str>::new());
        assert_eq!(failing(&pair(&a, &b)), Vec::<&str>::new());
    }

    #[test]
    fn each_wrong_setting_is_named() {
        let mut bad = Server::sample(0, NEW);
        bad.binlog.is_on = false;
        bad.binlog.format = "MIXED".into();
        assert_eq!(failing(&blue(&bad)), ["log_bin", "binlog_format", "server_id"]);
        assert!(blue(&bad).iter().all(|check| check.advice.is_some()));
    }

    #[test]
    fn a_pair_that_cannot_work_is_refused() {
        let (a, mut b) = (Server::sample(1, NEW), Server::sample(1, OLD));
        b.identity = ServerIdentity::new("other");
        b.binlog.is_on = false;
        b.lower_case_table_names = 1;
        assert_eq!(failing(&pair(&a, &b)), ["version", "distinct_servers", "green_log_bin", "lower_case_table_names"]);
        assert_eq!(failing(&pair(&a, &a)), ["distinct_servers"]);
        let maria = Server::sample(2, ServerVersion::new(Flavor::MariaDb, 11, 8, 6));
        assert_eq!(failing(&pair(&a, &maria)), ["version"]);
    }
}
