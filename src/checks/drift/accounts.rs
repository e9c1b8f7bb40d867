use super::{Differences, Facts};
use crate::checks::{Check, Verdict};
use crate::error::Result;
use crate::model::Flavor;
use crate::net::{NOT_SYSTEM_USER, Row, Server, Session, account, text_literal};

pub(super) const NAME: &str = "accounts_drift";

/// Accounts whose privileges are compared: each costs a statement on both servers.
const WITH_GRANTS: usize = 1_000;

/// An account that green lacks cannot log in once green is production. A warning: applications may have others.
pub(super) async fn check(blue: (&Server, &mut Session), green: (&Server, &mut Session)) -> Check {
    // Newer servers have privileges that older ones have not, and store passwords in other ways.
    let is_same_series = (blue.0.version.major, blue.0.version.minor) == (green.0.version.major, green.0.version.minor);
    let read = async {
        let flavor = blue.0.version.flavor;
        let (blue, green) =
            tokio::try_join!(facts(blue.1, flavor, is_same_series), facts(green.1, flavor, is_same_series))?;
        Ok(Differences::between(&blue, &green))
    };
    match read.await {
        Ok(differences) => {
            differences.check(NAME, "accounts", Verdict::Warn, "make green's accounts as blue's before the switchover")
        }
        Err(error) => Check::unknown(NAME, &error).with_advice("grant the account SELECT on the schema mysql"),
    }
}

/// Accounts by name, with a hash of their password and their privileges where these can be compared.
async fn facts(session: &mut Session, flavor: Flavor, in_full: bool) -> Result<Facts> {
    let secret = match (in_full, flavor) {
        (false, _) => "''",
        (true, Flavor::MySql) => "SHA2(CONCAT(plugin, '/', COALESCE(authentication_string, '')), 256)",
        (true, Flavor::MariaDb) => "SHA2(CONCAT(plugin, '/', COALESCE(authentication_string, ''), Password), 256)",
    };
    let accounts = format!("SELECT User, Host, {secret} FROM mysql.user WHERE User {NOT_SYSTEM_USER} AND User <> ''");
    let rows = session.rows(&accounts).await?;
    let mut facts = Facts::new();
    for (index, row) in rows.iter().enumerate() {
        let grants = match in_full && index < WITH_GRANTS {
            true => grants(session, row).await?,
            false => String::new(),
        };
        facts.insert(format!("'{}'@'{}'", row.text(0), row.text(1)), format!("{} {grants}", row.text(2)));
    }
    Ok(facts)
}

/// All privileges, in an order of their own.
async fn grants(session: &mut Session, row: &Row) -> Result<String> {
    let name = account(&row.text(0), &row.text(1));
    let mut grants: Vec<String> =
        session.rows(&format!("SHOW GRANTS FOR {name}")).await?.iter().map(|row| row.text(0)).collect();
    grants.sort();
    let digest = format!("SELECT SHA2({}, 256)", text_literal(&grants.join("\n")));
    // Neither hashes of passwords nor privileges are kept longer than it takes.
    Ok(session.first(&digest).await?.map(|row| row.text(0)).unwrap_or_default())
}
