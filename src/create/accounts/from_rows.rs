//! The accounts of a server that does not say how they are made, MySQL before 5.7.6: put together from the rows of
//! `mysql.user` (MySQL 5.6 reference manual, "Grant Tables") and from `SHOW GRANTS`, whose lines are cut: there the password,
//! what a connection must have and the limits stand behind the account, and names are printed without escapes.

use super::Account;
use crate::error::Result;
use crate::net::{NOT_SYSTEM_USER, Row, Session, account};

/// Reads them all.
///
/// # Errors
/// `Privilege` without SELECT on the schema mysql.
pub(super) async fn read(session: &mut Session) -> Result<Vec<Account>> {
    let rows = session
        .rows(&format!(
            "SELECT User, Host, plugin, IF(authentication_string > '', authentication_string, Password), ssl_type, \
             ssl_cipher, x509_issuer, x509_subject, max_questions, max_updates, max_connections, max_user_connections, \
             password_expired, Grant_priv FROM mysql.user WHERE User {NOT_SYSTEM_USER} ORDER BY User, Host"
        ))
        .await?;
    let mut accounts = Vec::new();
    for row in rows {
        let name = account(&row.text(0), &row.text(1));
        let lines = session.rows(&format!("SHOW GRANTS FOR {name}")).await?;
        let grants = lines.iter().filter_map(|line| {
            grant(&line.text(0), (&row.text(0), &row.text(1)), row.text(13) == "Y").map(|head| head.on(&name))
        });
        let (proof, conditions) = (Proof::of(&row.text(2), &row.text(3)), conditions(&row));
        let is_expired = row.text(12) == "Y";
        let mut on_older = vec![format!("CREATE USER {name}{}", proof.on_older())];
        if !conditions.is_empty() {
            on_older.push(format!("GRANT USAGE ON *.* TO {name}{conditions}"));
        }
        if is_expired {
            on_older.push(format!("ALTER USER {name} PASSWORD EXPIRE"));
        }
        let expires = if is_expired { " PASSWORD EXPIRE" } else { "" };
        accounts.push(Account {
            is_role: false,
            create: format!("CREATE USER {name}{}{conditions}{expires}", proof.on_newer()),
            on_older,
            grants: grants.collect(),
            name,
        });
    }
    Ok(accounts)
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// How an account proves itself.
enum Proof {
    /// It does not, whatever checks it: green's own plugin serves.
    None,
    /// By the hash of MySQL 4.1 and newer.
    Native(String),
    Plugin(String, String),
}

impl Proof {
    fn of(plugin: &str, hash: &str) -> Proof {
        match (plugin, hash.len()) {
            ("" | "mysql_native_password", 0) => Proof::None,
            // Rows older than plugins: the hash tells, which had 16 digits before MySQL 4.1.
            ("", 16) => Proof::Plugin("mysql_old_password".into(), hash.into()),
            ("" | "mysql_native_password", _) => Proof::Native(hash.into()),
            _ => Proof::Plugin(plugin.into(), hash.into()),
        }
    }

    fn on_newer(&self) -> String {
        match self {
            Proof::None => String::new(),
            Proof::Native(hash) => format!(" IDENTIFIED WITH 'mysql_native_password' AS {}", quoted(hash)),
            Proof::Plugin(plugin, hash) => format!(" IDENTIFIED WITH {} AS {}", quoted(plugin), quoted(hash)),
        }
    }

    /// MySQL 5.6 puts the hash where its native plugin does not look for it, unless it is given so.
    fn on_older(&self) -> String {
        match self {
            Proof::Native(hash) => format!(" IDENTIFIED BY PASSWORD {}", quoted(hash)),
            other => other.on_newer(),
        }
    }
}

/// What a connection must have, and the limits.
fn conditions(row: &Row) -> String {
    let mut text = String::new();
    match row.text(4).as_str() {
        "ANY" => text.push_str(" REQUIRE SSL"),
        "X509" => text.push_str(" REQUIRE X509"),
        "SPECIFIED" => {
            text.push_str(" REQUIRE");
            for (word, index) in [("CIPHER", 5), ("ISSUER", 6), ("SUBJECT", 7)] {
                match row.text(index) {
                    empty if empty.is_empty() => {}
                    value => text.push_str(&format!(" {word} {}", quoted(&value))),
                }
            }
        }
        _ => {}
    }
    let limits = [
        ("MAX_QUERIES_PER_HOUR", 8),
        ("MAX_UPDATES_PER_HOUR", 9),
        ("MAX_CONNECTIONS_PER_HOUR", 10),
        ("MAX_USER_CONNECTIONS", 11),
    ];
    let set: Vec<String> = limits
        .into_iter()
        .filter(|(_, index)| row.number(*index).is_some_and(|limit| limit > 0))
        .map(|(word, index)| format!(" {word} {}", row.text(index)))
        .collect();
    if !set.is_empty() {
        text.push_str(&format!(" WITH{}", set.concat()));
    }
    text
}

/// A line of `SHOW GRANTS` without the account and what follows it.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    /// `GRANT … ON …`.
    text: String,
    may_grant: bool,
}

impl Head {
    fn on(&self, name: &str) -> String {
        format!("{} TO {name}{}", self.text, if self.may_grant { " WITH GRANT OPTION" } else { "" })
    }
}

/// `None`: it grants nothing. `may_grant`: whether the account may pass on what it has on the whole server.
fn grant(line: &str, (user, host): (&str, &str), may_grant: bool) -> Option<Head> {
    let Some((text, rest)) = line.split_once(&format!(" TO '{user}'@'{host}'")) else {
        // Green will refuse it, and it is said.
        return Some(Head { text: line.to_owned(), may_grant: false });
    };
    let may_grant = match text.ends_with(" ON *.*") {
        true => may_grant,
        false => rest.ends_with(" WITH GRANT OPTION"),
    };
    (may_grant || text != "GRANT USAGE ON *.*").then(|| Head { text: text.to_owned(), may_grant })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_cut_behind_the_account() {
        let of = |line: &str, may_grant| grant(line, ("o'q", "10.%"), may_grant).map(|head| head.on("'o\\'q'@'10.%'"));
        let secret = "GRANT USAGE ON *.* TO 'o'q'@'10.%' IDENTIFIED BY PASSWORD '*B6' REQUIRE SSL";
        assert_eq!(of(secret, false), None);
        assert_eq!(of(secret, true).unwrap(), "GRANT USAGE ON *.* TO 'o\\'q'@'10.%' WITH GRANT OPTION");
        assert_eq!(
            of("GRANT SELECT ON *.* TO 'o'q'@'10.%' IDENTIFIED BY PASSWORD '*B6' REQUIRE SUBJECT '/ WITH GRANT OPTION'", false)
                .unwrap(),
            "GRANT SELECT ON *.* TO 'o\\'q'@'10.%'"
        );
        assert_eq!(
            of("GRANT SELECT (a) ON `s`.`t` TO 'o'q'@'10.%' WITH GRANT OPTION", false).unwrap(),
            "GRANT SELECT (a) ON `s`.`t` TO 'o\\'q'@'10.%' WITH GRANT OPTION"
        );
    }

    #[test]
    fn the_plugin_is_told_by_the_hash_where_the_row_does_not_name_it() {
        let both = |plugin, hash| (Proof::of(plugin, hash).on_newer(), Proof::of(plugin, hash).on_older());
        let alike = |plugin, hash, text: &str| assert_eq!(both(plugin, hash), (text.to_owned(), text.to_owned()));
        alike("mysql_native_password", "", "");
        alike("", "0123456789abcdef", " IDENTIFIED WITH 'mysql_old_password' AS '0123456789abcdef'");
        alike("sha256_password", "$5$'\\", " IDENTIFIED WITH 'sha256_password' AS '$5$\\'\\\\'");
        alike("mysql_old_password", "", " IDENTIFIED WITH 'mysql_old_password' AS ''");
        let (newer, older) = both("", "*B6");
        assert_eq!(newer, " IDENTIFIED WITH 'mysql_native_password' AS '*B6'");
        assert_eq!(older, " IDENTIFIED BY PASSWORD '*B6'");
    }
}
