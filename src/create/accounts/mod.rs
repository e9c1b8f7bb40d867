//! Accounts and roles: carried in the server's own words, with the hashes of their passwords.
//!
//! An account that green has already stays as it is there. What green does not take is named in a warning, with the number
//! of its error and nothing else: the statements hold hashes.

mod from_rows;

use std::collections::BTreeSet;

use crate::checks::named;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Flavor, ServerVersion};
use crate::net::{NOT_SYSTEM_USER, Row, Session, account, text_literal};
use crate::objects::Rounds;

/// All accounts of a server, roles first.
#[derive(Default, PartialEq, Eq, Hash)]
pub(super) struct Accounts(Vec<Account>);

#[derive(PartialEq, Eq, Hash)]
struct Account {
    name: String,
    /// Of MariaDB, where a role is something else than an account.
    is_role: bool,
    /// What makes it.
    create: String,
    /// What makes it on a server that does not say how its accounts are made: there it takes several statements.
    on_older: Vec<String>,
    grants: Vec<String>,
}

impl Account {
    /// What makes it, and what else it takes to be as it was.
    fn statements(&self, green: ServerVersion) -> (&str, &[String]) {
        match self.on_older.split_first() {
            Some((create, more)) if !green.shows_accounts() => (create, more),
            _ => (&self.create, &[]),
        }
    }
}

impl Accounts {
    /// Reads them.
    ///
    /// # Errors
    /// `Privilege` without SELECT on the schema mysql.
    pub(super) async fn read(session: &mut Session, version: ServerVersion) -> Result<Accounts> {
        if !version.shows_accounts() {
            return Ok(Accounts(from_rows::read(session).await?));
        }
        let is_mariadb = version.flavor == Flavor::MariaDb;
        if version.is_at_least(Flavor::MySql, (8, 0, 17)) {
            // A hash of caching_sha2_password may hold bytes that are no text.
            session.run("SET SESSION print_identified_with_as_hex = 1").await?;
        }
        let roles = if is_mariadb { "is_role = 'Y', default_role" } else { "0, ''" };
        let rows = session
            .rows(&format!(
                "SELECT User, Host, {roles} FROM mysql.user WHERE User {NOT_SYSTEM_USER} ORDER BY 3 DESC, User, Host"
            ))
            .await?;
        let mut accounts = Vec::new();
        for row in rows {
            accounts.push(read_one(session, &row).await?);
        }
        Ok(Accounts(accounts))
    }

    /// Makes those that green does not have, without privileges: objects may name them. Answers what is to be granted.
    ///
    /// # Errors
    /// A lost connection; what green refuses is a warning.
    pub(super) async fn build(
        &self,
        green: &mut Session,
        version: ServerVersion,
        warnings: &mut Vec<String>,
    ) -> Result<Grants> {
        let there: BTreeSet<String> =
            green.rows("SELECT User, Host FROM mysql.user").await?.iter().map(name_of).collect();
        let mut to_grant = Vec::new();
        // An account may name a role that comes behind it.
        let mut rounds = Rounds::new(self.0.iter().filter(|account| !there.contains(&account.name)));
        while let Some(account) = rounds.next_one() {
            note(green, account).await?;
            let (create, more) = account.statements(version);
            match green.run(create).await {
                Ok(_) => {
                    let statements = more.iter().chain(&account.grants);
                    to_grant.extend(statements.map(|statement| (account.name.clone(), statement.clone())));
                }
                Err(error) if is_refusal(&error) => {
                    // Somebody may make it by hand, and then it is theirs.
                    forget(green, account).await?;
                    rounds.again(account, error);
                }
                Err(error) => return Err(error),
            }
        }
        let refused: Vec<String> = rounds.left().iter().map(|(account, error)| refusal(&account.name, error)).collect();
        if !refused.is_empty() {
            warnings.push(format!("accounts that green does not take: {}", named(&refused)));
        }
        Ok(Grants(to_grant))
    }
}

/// Statements that are to run once the objects are there of which they speak, each with its account.
pub(super) struct Grants(Vec<(String, String)>);

impl Grants {
    /// # Errors
    /// A lost connection; what green refuses is a warning.
    pub(super) async fn build(&self, green: &mut Session, warnings: &mut Vec<String>) -> Result<()> {
        let mut refused = Vec::new();
        for (account, grant) in &self.0 {
            match green.run(grant).await {
                Ok(_) => {}
                Err(error) if is_refusal(&error) => refused.push(refusal(account, &error)),
                Err(error) => return Err(error),
            }
        }
        refused.dedup();
        if !refused.is_empty() {
            warnings.push(format!("accounts to which green does not grant all that blue does: {}", named(&refused)));
        }
        Ok(())
    }
}

const NO_SUCH_ACCOUNT: u16 = 1396;

/// Drops what a `create` before made.
pub(super) async fn drop_made(green: &mut Session) -> Result<()> {
    for row in green.rows("SELECT name, is_role FROM bluegreen.created_account").await? {
        let what = if row.number(1) == Some(1) { "ROLE" } else { "USER" };
        // MySQL 5.6 has no IF EXISTS here.
        match green.run(&format!("DROP {what} {}", row.text(0))).await {
            Err(error) if error.code() != Some(NO_SUCH_ACCOUNT) => return Err(error),
            _ => {}
        }
    }
    green.run("DELETE FROM bluegreen.created_account").await.map(drop)
}

/// Where it is noted which accounts are `create`'s.
pub(super) const NOTES: &str = "CREATE TABLE IF NOT EXISTS bluegreen.created_account (
       id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, name VARCHAR(700) CHARACTER SET utf8mb4 NOT NULL,
       is_role BOOL NOT NULL
     ) ENGINE = InnoDB";

async fn note(green: &mut Session, account: &Account) -> Result<()> {
    let (name, is_role) = (text_literal(&account.name), u8::from(account.is_role));
    green.run(&format!("INSERT INTO bluegreen.created_account SET name = {name}, is_role = {is_role}")).await.map(drop)
}

async fn forget(green: &mut Session, account: &Account) -> Result<()> {
    let name = text_literal(&account.name);
    green.run(&format!("DELETE FROM bluegreen.created_account WHERE name = {name}")).await.map(drop)
}

fn name_of(row: &Row) -> String {
    account(&row.text(0), &row.text(1))
}

async fn read_one(session: &mut Session, row: &Row) -> Result<Account> {
    let (name, is_role) = (name_of(row), row.number(2) == Some(1));
    let create = match is_role {
        true => format!("CREATE ROLE {name}"),
        false => first_text(session, &format!("SHOW CREATE USER {name}")).await?,
    };
    let mut grants: Vec<String> =
        session.rows(&format!("SHOW GRANTS FOR {name}")).await?.iter().map(|row| row.text(0)).collect();
    // MariaDB from 10.5 on prints it here, older ones do not: it comes from mysql.user below.
    grants.retain(|grant| !grant.starts_with("SET DEFAULT ROLE"));
    let default_role = row.text(3);
    if !default_role.is_empty() {
        grants.push(format!("SET DEFAULT ROLE {} FOR {name}", account(&default_role, "")));
    }
    Ok(Account { name, is_role, create, on_older: Vec::new(), grants })
}

async fn first_text(session: &mut Session, sql: &str) -> Result<String> {
    let row = session.first(sql).await?;
    row.map(|row| row.text(0)).ok_or_else(|| Error::internal("an account has no definition"))
}

/// Whether the server answered, and the answer was no.
fn is_refusal(error: &Error) -> bool {
    error.code().is_some() && error.kind() != ErrorKind::Disconnected
}

/// An account and the number of a refusal.
fn refusal(account: &str, error: &Error) -> String {
    format!("{account} (error {})", error.code().unwrap_or_default())
}
