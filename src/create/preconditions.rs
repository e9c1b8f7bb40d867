//! What must hold before anything is written: facts are read from both servers, then judged without further questions.

use crate::checks::named;
use crate::checks::preflight::privileges::{self, Grants, MONITOR, REPLICATION_CLIENT};
use crate::checks::preflight::{self, Schema};
use crate::deployment::{self, Deployment, Status};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Flavor;
use crate::net::{Row, Server, Session, schemas};

/// What was found on blue.
pub(super) struct BlueFacts {
    pub(super) server: Server,
    address: String,
    grants: Grants,
    pub(super) schema: Schema,
    /// `binlog_do_db` or `binlog_ignore_db` is set.
    is_log_filtered: bool,
    /// It replicates from another server and keeps those changes out of its own log.
    hides_replicated: bool,
}

/// What was found on green.
pub(super) struct GreenFacts {
    pub(super) server: Server,
    address: String,
    pub(super) grants: Grants,
    schemas: Vec<String>,
    /// The schemas that a failed `create` made.
    pub(super) made: Vec<String>,
    deployment: Option<Deployment>,
    is_super_read_only: bool,
}

/// Reads blue's facts.
pub(super) async fn look_at_blue(blue: &mut Session) -> Result<BlueFacts> {
    let server = Server::probe(blue).await?;
    let grants = privileges::read(blue, &server).await?;
    let mut facts = BlueFacts {
        address: blue.address().to_owned(),
        grants,
        schema: Schema::read(blue).await?,
        is_log_filtered: false,
        hides_replicated: false,
        server,
    };
    // Without these the questions below fail; the missing privilege says more.
    if facts.server.binlog.is_on && facts.grants.has(REPLICATION_CLIENT) {
        let status = blue.first(facts.server.log_status()).await?;
        facts.is_log_filtered = status.is_some_and(|row| !row.text(2).is_empty() || !row.text(3).is_empty());
        if !privileges::needs_monitor(&facts.server) || facts.grants.has(MONITOR) {
            facts.hides_replicated = hides_replicated(blue, &facts.server).await?;
        }
    }
    Ok(facts)
}

/// Reads green's facts.
pub(super) async fn look_at_green(green: &mut Session) -> Result<GreenFacts> {
    let server = Server::probe(green).await?;
    let is_on = |row: Option<Row>| row.is_some_and(|row| matches!(row.text(1).as_str(), "ON" | "1"));
    let grants = privileges::read(green, &server).await?;
    // Without it the questions fail; the missing privilege says more.
    let can_select = grants.has(&["SELECT"]);
    let (made, deployment) = if can_select {
        (deployment::created_schemas(green).await?, Deployment::read(green).await?)
    } else {
        (Vec::new(), None)
    };
    Ok(GreenFacts {
        address: green.address().to_owned(),
        grants,
        schemas: schemas(green).await?,
        made,
        deployment,
        is_super_read_only: is_on(green.first("SHOW GLOBAL VARIABLES LIKE 'super_read_only'").await?),
        server,
    })
}

async fn hides_replicated(blue: &mut Session, server: &Server) -> Result<bool> {
    let logs = blue
        .rows("SHOW GLOBAL VARIABLES WHERE Variable_name IN ('log_slave_updates', 'log_replica_updates')")
        .await?
        .iter()
        .any(|row| row.text(1) == "ON");
    if logs {
        return Ok(false);
    }
    let statement = match server.version.flavor {
        Flavor::MariaDb => "SHOW ALL SLAVES STATUS",
        Flavor::MySql if server.version.is_at_least(Flavor::MySql, (8, 0, 22)) => "SHOW REPLICA STATUS",
        Flavor::MySql => "SHOW SLAVE STATUS",
    };
    Ok(!blue.rows(statement).await?.is_empty())
}

/// Judges the facts: the first precondition that does not hold, with the messages of the others behind it.
pub(super) fn check(blue: &BlueFacts, green: &GreenFacts) -> Result<()> {
    let mut refusals = refusals(blue, green);
    if refusals.is_empty() {
        return Ok(());
    }
    let first = refusals.remove(0);
    if refusals.is_empty() {
        return Err(first);
    }
    let others: Vec<&str> = refusals.iter().map(Error::message).collect();
    let message = format!("{}; further: {}", first.message(), others.join("; "));
    let mut error = Error::new(first.kind(), message);
    if let Some(advice) = first.advice() {
        error = error.with_advice(advice.to_owned());
    }
    Err(match first.place() {
        Some(place) => error.at(|at| at.server = place.server.clone()),
        None => error,
    })
}

fn refusals(blue: &BlueFacts, green: &GreenFacts) -> Vec<Error> {
    if blue.server.identity == green.server.identity {
        return vec![
            Error::new(ErrorKind::Config, "blue and green are the same server")
                .with_advice("name two servers, with a server_id and a data directory of their own"),
        ];
    }
    let mut found = Vec::new();
    if let Some(error) = versions(blue, green) {
        found.push(error);
    }
    found.extend(emptiness(blue, green));
    for (role, server, address) in [("blue", &blue.server, &blue.address), ("green", &green.server, &green.address)] {
        found.extend(
            preflight::refusals(role, server)
                .into_iter()
                .map(|error| error.at(|place| place.server = Some(address.clone()))),
        );
    }
    found.extend(settings(blue, green));
    found.extend(privileges::refusal("blue", &blue.grants, &blue.address, &privileges::needed_on_blue(&blue.server)));
    found.extend(privileges::refusal(
        "green",
        &green.grants,
        &green.address,
        &privileges::needed_on_green(&green.server),
    ));
    // Invariant 4 of `create`.
    let not_carried = preflight::failures(&preflight::carried(&blue.schema), ErrorKind::Unsupported);
    found.extend(not_carried.into_iter().map(|error| error.at(|place| place.server = Some(blue.address.clone()))));
    found
}

fn versions(blue: &BlueFacts, green: &GreenFacts) -> Option<Error> {
    let (from, to) = (&blue.server.version, &green.server.version);
    let is_newer = to.partial_cmp(from).is_some_and(std::cmp::Ordering::is_ge);
    (!is_newer).then(|| Error::new(ErrorKind::Version, format!("green is {to}, which does not follow blue's {from}")))
}

fn emptiness(blue: &BlueFacts, green: &GreenFacts) -> Option<Error> {
    let at_green = |error: Error| error.at(|place| place.server = Some(green.address.clone()));
    if let Some(deployment) = &green.deployment {
        if deployment.status != Status::Provisioning {
            let message =
                format!("green belongs to the deployment `{}`, which is {}", deployment.name, deployment.status.name());
            return Some(at_green(
                Error::new(ErrorKind::NotEmpty, message).with_advice("end that deployment with `delete` first"),
            ));
        }
        if deployment.blue_identity != blue.server.identity {
            let message = format!("green is being built for another blue, {}", deployment.blue_address);
            return Some(at_green(
                Error::new(ErrorKind::NotEmpty, message).with_advice("end that deployment with `delete` first"),
            ));
        }
    }
    // What a failed `create` made is dropped only where its record is there too.
    let is_ours = |schema: &String| green.deployment.is_some() && green.made.contains(schema);
    let foreign: Vec<String> = green.schemas.iter().filter(|schema| !is_ours(schema)).cloned().collect();
    (!foreign.is_empty())
        .then(|| at_green(Error::new(ErrorKind::NotEmpty, format!("green has schemas already: {}", named(&foreign)))))
}

fn settings(blue: &BlueFacts, green: &GreenFacts) -> Vec<Error> {
    let mut found = Vec::new();
    let mut refuse = |address: &String, message: String, advice: &'static str| {
        let error = Error::new(ErrorKind::Setting, message).with_advice(advice);
        found.push(error.at(|place| place.server = Some(address.clone())));
    };
    if blue.server.server_id == green.server.server_id && blue.server.server_id != 0 {
        refuse(
            &green.address,
            format!("blue and green have the same server_id {}", green.server.server_id),
            "give green another server_id",
        );
    }
    if blue.is_log_filtered {
        refuse(
            &blue.address,
            "blue's log leaves schemas out (binlog_do_db, binlog_ignore_db)".into(),
            "start blue without binlog_do_db and binlog_ignore_db",
        );
    }
    if blue.hides_replicated {
        refuse(
            &blue.address,
            "blue replicates from another server and keeps those changes out of its log".into(),
            "start blue with log_slave_updates",
        );
    }
    if blue.server.lower_case_table_names != green.server.lower_case_table_names {
        refuse(
            &green.address,
            format!(
                "lower_case_table_names is {} on blue and {} on green",
                blue.server.lower_case_table_names, green.server.lower_case_table_names
            ),
            "initialize green with blue's lower_case_table_names",
        );
    }
    if green.is_super_read_only {
        refuse(&green.address, "super_read_only is on on green".into(), "SET GLOBAL super_read_only = 0 on green");
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::create::literal::tests::{column, table};
    use crate::model::{ColumnKind, ServerIdentity, ServerVersion};

    fn all() -> Grants {
        Grants::parse("`root`@`%`", &["GRANT ALL PRIVILEGES ON *.* TO `root`@`%` WITH GRANT OPTION".into()])
    }

    const V8: ServerVersion = ServerVersion::new(Flavor::MySql, 8, 0, 40);

    fn pair() -> (BlueFacts, GreenFacts) {
        let blue = BlueFacts {
            server: Server::sample(1, V8),
            address: "b:1".into(),
            grants: all(),
            schema: Schema {
                tables: vec![table(vec![column("a", ColumnKind::Integer(4), "int")])],
                objects: Vec::new(),
            },
            is_log_filtered: false,
            hides_replicated: false,
        };
        let green = GreenFacts {
            server: Server::sample(2, V8),
            address: "g:2".into(),
            grants: all(),
            schemas: Vec::new(),
            made: Vec::new(),
            deployment: None,
            is_super_read_only: false,
        };
        (blue, green)
    }

    fn refusal(change: impl FnOnce(&mut BlueFacts, &mut GreenFacts)) -> (ErrorKind, String) {
        let (mut blue, mut green) = pair();
        change(&mut blue, &mut green);
        let error = check(&blue, &green).unwrap_err();
        assert!(error.advice().is_some(), "{error}");
        assert!(!error.to_string().contains('\n'));
        (error.kind(), error.to_string())
    }

    #[test]
    fn a_good_pair_passes() {
        let (blue, green) = pair();
        check(&blue, &green).unwrap();
    }

    #[test]
    fn each_precondition_has_its_own_error() {
        use ErrorKind::{Config, NotEmpty, Privilege, Setting, Unsupported, Version};
        type Change = fn(&mut BlueFacts, &mut GreenFacts);
        let cases: &[(ErrorKind, &str, Change)] = &[
            (Config, "same server", |b, g| g.server.identity = b.server.identity.clone()),
            (Version, "does not follow", |_, g| g.server.version = ServerVersion::new(Flavor::MySql, 5, 7, 1)),
            (Version, "does not follow", |_, g| g.server.version = ServerVersion::new(Flavor::MariaDb, 11, 8, 1)),
            (NotEmpty, "shop", |_, g| g.schemas = vec!["shop".into()]),
            (NotEmpty, "shop", |_, g| (g.schemas, g.made) = (vec!["shop".into()], vec!["shop".into()])),
            (Setting, "log_bin is OFF on blue", |b, _| b.server.binlog.is_on = false),
            (Setting, "log_bin is OFF on green", |_, g| g.server.binlog.is_on = false),
            (Setting, "binlog_format is STATEMENT on blue", |b, _| b.server.binlog.format = "STATEMENT".into()),
            (Setting, "binlog_row_image is MINIMAL on green", |_, g| g.server.binlog.row_image = "MINIMAL".into()),
            (Setting, "server_id is 0 on blue", |b, _| b.server.server_id = 0),
            (Setting, "same server_id", |b, g| g.server.server_id = b.server.server_id),
            (Setting, "lower_case_table_names", |_, g| g.server.lower_case_table_names = 1),
            (Setting, "super_read_only", |_, g| g.is_super_read_only = true),
            (Setting, "binlog_do_db", |b, _| b.is_log_filtered = true),
            (Setting, "replicates from another", |b, _| b.hides_replicated = true),
            (Privilege, "on blue lacks SELECT, RELOAD", |b, _| b.grants = Grants::parse("`u`@`%`", &[])),
            (Privilege, "CONNECTION_ADMIN", |_, g| g.grants = Grants::parse("`u`@`%`", &[])),
            (Unsupported, "sequence s.q", |b, _| b.schema.objects = vec!["sequence s.q".into()]),
            (Unsupported, "s.t (MyISAM)", |b, _| b.schema.tables[0].engine = "MyISAM".into()),
            (Unsupported, "s.t.u (uuid)", |b, _| {
                b.schema.tables[0].columns.push(column("u", ColumnKind::Other, "uuid"));
            }),
            (Unsupported, "all generated", |b, _| b.schema.tables[0].columns[0].is_generated = true),
        ];
        for (kind, text, change) in cases {
            let (found, message) = refusal(change);
            assert_eq!(found, *kind, "{message}");
            assert!(message.contains(text), "{message}");
        }
    }

    #[test]
    fn several_refusals_are_one_line() {
        let (kind, message) = refusal(|blue, green| {
            blue.server.binlog.format = "MIXED".into();
            green.server.lower_case_table_names = 1;
        });
        assert_eq!(kind, ErrorKind::Setting);
        assert!(message.contains("MIXED on blue; further: lower_case_table_names"), "{message}");
    }

    #[test]
    fn a_failed_create_may_be_repeated_for_the_same_blue_only() {
        let (mut blue, mut green) = pair();
        green.deployment = Some(Deployment::new("d", "b:1", blue.server.identity.clone()));
        (green.schemas, green.made) = (vec!["shop".into()], vec!["shop".into()]);
        assert!(check(&blue, &green).is_ok());
        green.schemas.push("mine".into());
        assert!(check(&blue, &green).unwrap_err().message().ends_with(": mine"));
        green.schemas.pop();
        blue.server.identity = ServerIdentity::new("another");
        assert_eq!(check(&blue, &green).unwrap_err().kind(), ErrorKind::NotEmpty);
        blue.server.identity = ServerIdentity::new("server 1");
        green.deployment.as_mut().unwrap().status = Status::Available;
        assert_eq!(check(&blue, &green).unwrap_err().kind(), ErrorKind::NotEmpty);
    }
}
