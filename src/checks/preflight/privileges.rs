//! What an account may do, and what it must be able to.

use std::collections::BTreeSet;

use crate::error::{Error, ErrorKind, Result};
use crate::model::Flavor;
use crate::net::{Server, Session};

/// An account's privileges on the whole server.
#[derive(Debug, Default)]
pub(crate) struct Grants {
    /// `` `user`@`host` ``.
    pub(crate) account: String,
    has_all: bool,
    global: BTreeSet<String>,
    /// Some schemas are exempt (MySQL's partial revokes).
    is_partial: bool,
}

impl Grants {
    /// Reads the lines of `SHOW GRANTS`; what it cannot read grants nothing.
    pub(crate) fn parse(account: &str, lines: &[String]) -> Grants {
        let mut grants = Grants { account: account.to_owned(), ..Grants::default() };
        for line in lines {
            grants.is_partial |= line.starts_with("REVOKE ");
            let Some((list, _)) = line.strip_prefix("GRANT ").and_then(|rest| rest.split_once(" ON *.* TO ")) else {
                continue;
            };
            grants.global.extend(list.split(',').map(|privilege| privilege.trim().to_ascii_uppercase()));
        }
        grants.has_all = grants.global.contains("ALL PRIVILEGES") || grants.global.contains("ALL");
        grants
    }

    /// Whether the account has one of these.
    pub(crate) fn has(&self, any: &[&str]) -> bool {
        self.has_all || any.iter().any(|privilege| self.global.contains(*privilege))
    }
}

/// Reads the account's own privileges.
pub(crate) async fn read(session: &mut Session, server: &Server) -> Result<Grants> {
    let mut statement = "SHOW GRANTS".to_owned();
    if server.version.is_at_least(Flavor::MySql, (8, 0, 0)) {
        // A role's privileges are listed only where the role is named.
        let roles = session.first("SELECT CURRENT_ROLE()").await?.map(|row| row.text(0)).unwrap_or_default();
        if roles != "NONE" && !roles.is_empty() {
            statement = format!("SHOW GRANTS FOR CURRENT_USER() USING {roles}");
        }
    }
    let lines: Vec<String> = session.rows(&statement).await?.iter().map(|row| row.text(0)).collect();
    let account = session.first("SELECT CURRENT_USER()").await?.map(|row| row.text(0)).unwrap_or_default();
    let account = account.rsplit_once('@').map_or(account.clone(), |(user, host)| format!("`{user}`@`{host}`"));
    Ok(Grants::parse(&account, &lines))
}

pub(crate) const REPLICATION_CLIENT: &[&str] = &["REPLICATION CLIENT", "BINLOG MONITOR", "SUPER"];
/// To see whether blue replicates from another server.
pub(crate) const MONITOR: &[&str] = &["SLAVE MONITOR", "REPLICA MONITOR", "SUPER"];
const REPLICATION_SLAVE: &[&str] = &["REPLICATION SLAVE", "REPLICATION REPLICA"];

/// MariaDB split it off REPLICATION CLIENT.
pub(crate) fn needs_monitor(server: &Server) -> bool {
    server.version.is_at_least(Flavor::MariaDb, (10, 5, 9))
}

/// A privilege to grant, and those that hold it too.
pub(crate) type Need = (&'static str, &'static [&'static str]);

/// What `create` needs on blue.
pub(crate) fn needed_on_blue(blue: &Server) -> Vec<Need> {
    let mut needs: Vec<Need> = vec![
        ("SELECT", &["SELECT"]),
        ("RELOAD", &["RELOAD"]),
        ("REPLICATION SLAVE", REPLICATION_SLAVE),
        ("REPLICATION CLIENT", REPLICATION_CLIENT),
        // To see what is not carried: without them these objects are hidden, and would be left out silently.
        ("TRIGGER", &["TRIGGER"]),
        ("EVENT", &["EVENT"]),
    ];
    if blue.version.is_at_least(Flavor::MySql, (8, 0, 0)) {
        needs.push(("XA_RECOVER_ADMIN", &["XA_RECOVER_ADMIN"]));
    }
    if needs_monitor(blue) {
        needs.push(("SLAVE MONITOR", MONITOR));
    }
    needs
}

/// What `create`, and the engine after it, need on green.
pub(crate) fn needed_on_green(green: &Server) -> Vec<Need> {
    let version = &green.version;
    let mut needs: Vec<Need> = vec![
        ("SELECT", &["SELECT"]),
        ("INSERT", &["INSERT"]),
        ("UPDATE", &["UPDATE"]),
        ("DELETE", &["DELETE"]),
        ("CREATE", &["CREATE"]),
        ("DROP", &["DROP"]),
        ("ALTER", &["ALTER"]),
        ("INDEX", &["INDEX"]),
        ("REFERENCES", &["REFERENCES"]),
        ("REPLICATION SLAVE", REPLICATION_SLAVE),
        ("REPLICATION CLIENT", REPLICATION_CLIENT),
    ];
    if version.is_at_least(Flavor::MySql, (8, 0, 0)) {
        needs.push(("SYSTEM_VARIABLES_ADMIN", &["SYSTEM_VARIABLES_ADMIN", "SUPER"]));
    } else if version.is_at_least(Flavor::MariaDb, (10, 5, 2)) {
        // READ_ONLY ADMIN sets the variable and passes it.
    } else {
        needs.push(("SUPER", &["SUPER"]));
    }
    let passes = passing_read_only(green);
    if let Some(narrowest) = passes.first() {
        needs.push((narrowest, passes));
    }
    needs
}

/// What making or changing an object for another account takes.
pub(crate) fn setting_definers(server: &Server) -> Need {
    let version = &server.version;
    if version.is_at_least(Flavor::MySql, (8, 2, 0)) {
        ("SET_ANY_DEFINER", &["SET_ANY_DEFINER", "SUPER"])
    } else if version.is_at_least(Flavor::MySql, (8, 0, 0)) {
        ("SET_USER_ID", &["SET_USER_ID", "SUPER"])
    } else if version.is_at_least(Flavor::MariaDb, (10, 5, 2)) {
        ("SET USER", &["SET USER", "SUPER"])
    } else {
        ("SUPER", &["SUPER"])
    }
}

/// The missing privileges as one error, with the statement that grants them.
pub(crate) fn refusal(role: &str, grants: &Grants, address: &str, needs: &[Need]) -> Option<Error> {
    let at_server = |error: Error| error.at(|place| place.server = Some(address.to_owned()));
    let mut missing: Vec<&str> = needs.iter().filter(|(_, any)| !grants.has(any)).map(|(name, _)| *name).collect();
    missing.dedup();
    if !missing.is_empty() {
        let list = missing.join(", ");
        return Some(at_server(
            Error::new(ErrorKind::Privilege, format!("the account on {role} lacks {list} on *.*"))
                .with_advice(format!("GRANT {list} ON *.* TO {}", grants.account)),
        ));
    }
    grants.is_partial.then(|| {
        at_server(
            Error::new(ErrorKind::Privilege, format!("the account on {role} has privileges revoked for some schemas"))
                .with_advice("use an account without partial revokes"),
        )
    })
}

/// Any of these lets an account write while `read_only` is on, the narrowest first.
pub(crate) fn passing_read_only(green: &Server) -> &'static [&'static str] {
    let version = &green.version;
    if version.is_at_least(Flavor::MySql, (8, 0, 0)) {
        &["CONNECTION_ADMIN", "SUPER"]
    } else if version.is_at_least(Flavor::MariaDb, (10, 11, 0)) {
        // SUPER no longer holds it.
        &["READ_ONLY ADMIN"]
    } else if version.is_at_least(Flavor::MariaDb, (10, 5, 2)) {
        &["READ_ONLY ADMIN", "SUPER"]
    } else {
        &["SUPER"]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_read_leniently() {
        let lines = [
            "GRANT SELECT, RELOAD ON *.* TO `u`@`%`",
            "GRANT BINLOG MONITOR ON *.* TO `u`@`%` WITH GRANT OPTION",
            "GRANT INSERT ON `shop`.* TO `u`@`%`",
            "GRANT `r`@`%` TO `u`@`%`",
            "GRANT PROXY ON ``@`` TO `u`@`%`",
        ];
        let grants = Grants::parse("`u`@`%`", &lines.map(String::from));
        assert!(grants.has(&["SELECT"]) && grants.has(REPLICATION_CLIENT) && !grants.has(&["INSERT"]));
        assert!(!grants.is_partial);
        assert!(Grants::parse("", &["REVOKE SELECT ON `a`.* FROM `u`@`%`".into()]).is_partial);
    }
}
