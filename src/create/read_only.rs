use super::preconditions::GreenFacts;
use crate::checks::preflight::privileges;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Flavor;
use crate::net::Session;

/// Makes green read-only for everybody but the engine. Returns a warning where a restart of green would lose it.
///
/// `super_read_only` stays off: the engine writes there.
pub(super) async fn set(green: &mut Session, facts: &GreenFacts) -> Result<Option<String>> {
    green.run("SET SESSION lock_wait_timeout = 10").await?;
    if facts.server.version.is_at_least(Flavor::MySql, (8, 0, 0))
        && green.run("SET PERSIST read_only = 1").await.is_ok()
    {
        return Ok(None);
    }
    green.run("SET GLOBAL read_only = 1").await?;
    Ok(Some("green is read-only until it is restarted: put read_only=1 into its option file too".into()))
}

/// A refusal to write because of `read_only`, as the privilege that the account lacks.
pub(super) fn explain(error: Error, facts: &GreenFacts) -> Error {
    if error.kind() != ErrorKind::ReadOnly {
        return error;
    }
    let privileges = privileges::passing_read_only(&facts.server);
    let privilege = privileges.first().copied().unwrap_or_default();
    Error::new(ErrorKind::Privilege, format!("the account cannot write on a read-only green: it lacks {privilege}"))
        .with_advice(format!("GRANT {privilege} ON *.* TO {}", facts.grants.account))
        .with_source(error)
}
