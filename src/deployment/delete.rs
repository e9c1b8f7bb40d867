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
}

impl DeleteConfig {
    /// Ends the deployment and keeps green's data.
    pub fn new(green: ServerUrl) -> DeleteConfig {
        DeleteConfig { green, delete_target: false }
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
}

/// Ends a deployment: removes what the library keeps on green, and with `delete_target` the data that `create` put
/// there. Blue is never touched; after a switchover, neither are the new production's data nor the old environment.
///
/// Can be called again after it was interrupted.
///
/// # Errors
/// `State` where there is no deployment, where a switchover is under way, or where green is production and
/// `delete_target` was asked for.
pub async fn delete(config: &DeleteConfig) -> Result<Deleted> {
    let mut green = Session::open(&config.green).await?;
    let place = |error: Error| error.at(|place| place.server = Some(config.green.address()));
    let state = |message: &'static str| place(Error::new(ErrorKind::State, message));
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
    Ok(Deleted { name: deployment.name, status: deployment.status, dropped_schemas })
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
