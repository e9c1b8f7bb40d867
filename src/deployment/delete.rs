use super::{Deployment, Status};
use crate::error::{Error, ErrorKind, Result};
use crate::net::{ServerUrl, Session, identifier};

/// What to delete.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DeleteConfig {
    /// The server that holds the deployment's record.
    pub green: ServerUrl,
    /// Whether green's data goes too. Refused once green is production.
    pub delete_target: bool,
    /// The other server: behind a switchover it has a record of its own, which goes too.
    pub blue: Option<ServerUrl>,
}

impl DeleteConfig {
    /// Ends the deployment and keeps green's data.
    pub fn new(green: ServerUrl) -> DeleteConfig {
        DeleteConfig { green, delete_target: false, blue: None }
    }

    /// The same, with what a switchover left on the other server.
    #[must_use]
    pub fn with_blue(mut self, blue: ServerUrl) -> DeleteConfig {
        self.blue = Some(blue);
        self
    }

    /// The same, and whether green's data goes too.
    #[must_use]
    pub fn delete_target(mut self, delete_target: bool) -> DeleteConfig {
        self.delete_target = delete_target;
        self
    }
}

/// What was deleted.
#[derive(Debug, Clone, serde::Serialize)]
#[non_exhaustive]
pub struct Deleted {
    /// The deployment's name.
    pub name: String,
    /// Its status before.
    pub status: Status,
    /// The schemas dropped on green.
    pub dropped_schemas: Vec<String>,
    /// What could not be seen to, for a person.
    pub notes: Vec<String>,
}

/// Ends a deployment: removes what the library keeps on green, and with `delete_target` the data that `create` put
/// there. No data of blue is touched; after a switchover, neither are the new production's nor the old environment's.
///
/// Can be called again after it was interrupted.
///
/// # Errors
/// `State` where there is no deployment, where a switchover is under way, or where green is production and
/// `delete_target` was asked for.
pub async fn delete(config: &DeleteConfig) -> Result<Deleted> {
    let state = |message: &'static str| {
        Error::new(ErrorKind::State, message).at(|place| place.server = Some(config.green.address()))
    };
    let mut notes = Vec::new();
    let way_back = match &config.blue {
        Some(blue) => match Deployment::of(blue).await {
            Ok(record) => record.filter(Deployment::is_way_back).map(|record| (blue, record)),
            // The old production may be gone for good: that must not keep the deployment.
            Err(error) => {
                notes.push(format!("what a switchover may have left on the other server was not looked for: {error}"));
                None
            }
        },
        None => None,
    };
    if way_back.as_ref().is_some_and(|(_, record)| record.status == Status::SwitchoverInProgress) {
        return Err(state("a rollback is under way").with_advice("run `rollback` again: it finishes or undoes it"));
    }
    let mut green = Session::open(&config.green).await?;
    let deployment = Deployment::read(&mut green).await?.ok_or_else(|| {
        state("there is no deployment on this server")
            .with_advice("check the URL of green: the deployment is kept there, and may be deleted already")
    })?;
    match deployment.status {
        Status::SwitchoverInProgress => {
            return Err(
                state("a switchover is under way").with_advice("run `switchover` again: it finishes or undoes it")
            );
        }
        Status::SwitchoverCompleted if config.delete_target => {
            return Err(state("green is production now and is not deleted")
                .with_advice("call `delete` without --delete-target: the deployment ends, both servers stay"));
        }
        Status::SwitchoverCompleted | Status::Deleting => {}
        from => {
            if !Deployment::change_status(&mut green, from, Status::Deleting).await? {
                return Err(state("the deployment changed while it was to be deleted").with_advice("look at `status`"));
            }
        }
    }
    // First that one: what green says of itself is what leads a second call here.
    if let Some((blue, record)) = way_back {
        let mut session = Session::open(blue).await?;
        let from = record.status;
        if !matches!(from, Status::SwitchoverCompleted | Status::Deleting)
            && !Deployment::change_status(&mut session, from, Status::Deleting).await?
        {
            return Err(state("the deployment changed while it was to be deleted").with_advice("look at `status`"));
        }
        session.run("DROP DATABASE IF EXISTS bluegreen").await?;
        session.close().await;
    }
    let mut dropped_schemas = Vec::new();
    if config.delete_target {
        // Only what `create` made: whatever else is on the server is not ours.
        for schema in created_schemas(&mut green).await? {
            green.run("SET SESSION foreign_key_checks = 0").await?;
            green.run(&format!("DROP DATABASE IF EXISTS {}", identifier(&schema))).await?;
            dropped_schemas.push(schema);
        }
    }
    green.run("DROP DATABASE IF EXISTS bluegreen").await?;
    green.close().await;
    Ok(Deleted { name: deployment.name, status: deployment.status, dropped_schemas, notes })
}

/// The schemas that `create` noted before it made them on green.
pub(crate) async fn created_schemas(green: &mut Session) -> Result<Vec<String>> {
    match green.rows("SELECT name FROM bluegreen.created_schema").await {
        Ok(rows) => Ok(rows.iter().map(|row| row.text(0)).collect()),
        // Unknown schema, unknown table.
        Err(error) if matches!(error.code(), Some(1049 | 1146)) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
