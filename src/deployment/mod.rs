//! The deployment's record: what is being deployed, and in which state it is.
//!
//! One row in `bluegreen.deployment` on green. Every verb reads it first. The row is the switchover's journal too: its
//! `phase` says how far a switchover came, so that whoever finds it there can finish or undo it.
//!
//! # Invariants
//! 1. The record is on green only; blue carries nothing of it.
//! 2. Once the status is [`Status::SwitchoverCompleted`], nothing applies blue's changes to green any more.

mod delete;

pub use delete::{DeleteConfig, Deleted, delete};

pub(crate) use delete::created_schemas;

use crate::error::{Error, ErrorKind, Result};
use crate::model::ServerIdentity;
use crate::net::{ServerUrl, Session, text_literal};

/// A deployment's state, with the names that the command line's contract fixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum Status {
    /// Green is being built.
    Provisioning,
    /// Green is built and may follow blue.
    Available,
    /// A switchover was started and neither finished nor undone.
    SwitchoverInProgress,
    /// Green is production.
    SwitchoverCompleted,
    /// A switchover ended in a way that a person must look at.
    SwitchoverFailed,
    /// A member is missing or was changed so that the deployment cannot go on.
    InvalidConfiguration,
    /// The deployment is being deleted.
    Deleting,
}

impl Status {
    /// The contract's name.
    pub fn name(self) -> &'static str {
        match self {
            Status::Provisioning => "PROVISIONING",
            Status::Available => "AVAILABLE",
            Status::SwitchoverInProgress => "SWITCHOVER_IN_PROGRESS",
            Status::SwitchoverCompleted => "SWITCHOVER_COMPLETED",
            Status::SwitchoverFailed => "SWITCHOVER_FAILED",
            Status::InvalidConfiguration => "INVALID_CONFIGURATION",
            Status::Deleting => "DELETING",
        }
    }

    fn parse(name: &str) -> Option<Status> {
        const ALL: [Status; 7] = [
            Status::Provisioning,
            Status::Available,
            Status::SwitchoverInProgress,
            Status::SwitchoverCompleted,
            Status::SwitchoverFailed,
            Status::InvalidConfiguration,
            Status::Deleting,
        ];
        ALL.into_iter().find(|status| status.name() == name)
    }
}

/// The record.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Deployment {
    /// The deployment's name, `mydb1` for example: the name that production has before and after.
    pub name: String,
    /// Its state.
    pub status: Status,
    /// Blue's address when green was built.
    pub blue_address: String,
    /// What tells blue from other servers.
    pub blue_identity: ServerIdentity,
    /// Six random characters, which make green's name: `mydb1-green-x7k2pq`.
    pub suffix: String,
    /// How far a switchover has come; empty where none is under way.
    pub phase: String,
    /// Who switches over: a token that only that controller knows to be its own; 0 where nobody does.
    pub(crate) controller: u64,
}

impl Deployment {
    /// A record of a deployment that is being built.
    pub fn new(name: impl Into<String>, blue_address: impl Into<String>, blue_identity: ServerIdentity) -> Deployment {
        let mut random = crate::entropy::random();
        let mut suffix = String::new();
        for _ in 0..6 {
            suffix.push(char::from(b"abcdefghijkmnpqrstuvwxyz23456789"[(random % 32) as usize]));
            random /= 32;
        }
        Deployment {
            name: name.into(),
            status: Status::Provisioning,
            blue_address: blue_address.into(),
            blue_identity,
            suffix,
            phase: String::new(),
            controller: 0,
        }
    }

    /// The record that a server holds; `None` where it holds none.
    ///
    /// # Errors
    /// Where the server cannot be read, or its record cannot.
    pub async fn of(green: &ServerUrl) -> Result<Option<Deployment>> {
        let mut session = Session::open(green).await?;
        let deployment = Deployment::read(&mut session).await?;
        session.close().await;
        Ok(deployment)
    }

    /// Green's name until the switchover.
    pub fn green_name(&self) -> String {
        format!("{}-green-{}", self.name, self.suffix)
    }

    /// Blue's name after the switchover.
    pub fn old_name(&self) -> String {
        format!("{}-old1", self.name)
    }

    /// Makes the library's tables, where they are not there yet. Only while green is built: later the statements would
    /// stand in green's log as somebody else's.
    pub(crate) async fn install(session: &mut Session) -> Result<()> {
        session.run("CREATE DATABASE IF NOT EXISTS bluegreen DEFAULT CHARACTER SET utf8mb4").await?;
        session
            .run(
                "CREATE TABLE IF NOT EXISTS bluegreen.deployment (
                   id TINYINT NOT NULL PRIMARY KEY,
                   name VARCHAR(255) NOT NULL,
                   status VARCHAR(64) CHARACTER SET ascii NOT NULL,
                   blue_address VARCHAR(255) NOT NULL,
                   blue_identity VARCHAR(512) NOT NULL,
                   suffix VARCHAR(16) NOT NULL,
                   phase VARCHAR(32) CHARACTER SET ascii NOT NULL DEFAULT '',
                   controller BIGINT UNSIGNED NOT NULL DEFAULT 0,
                   created_at DATETIME(6) NOT NULL,
                   changed_at DATETIME(6) NOT NULL
                 ) ENGINE = InnoDB",
            )
            .await?;
        session
            .run(
                "CREATE TABLE IF NOT EXISTS bluegreen.foreign_write (
                   id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
                   file VARCHAR(512) NOT NULL,
                   `offset` BIGINT UNSIGNED NOT NULL,
                   gtid VARCHAR(255) NULL,
                   table_schema VARCHAR(64) NULL,
                   table_name VARCHAR(64) NULL,
                   kind VARCHAR(16) CHARACTER SET ascii NOT NULL,
                   row_count BIGINT UNSIGNED NOT NULL,
                   committed_at_micros BIGINT UNSIGNED NOT NULL
                 ) ENGINE = InnoDB",
            )
            .await?;
        Ok(())
    }

    /// Reads the record; `None` where there is none.
    pub(crate) async fn read(green: &mut Session) -> Result<Option<Deployment>> {
        let row = match green
            .first("SELECT name, status, blue_address, blue_identity, suffix, phase, controller FROM bluegreen.deployment WHERE id = 1")
            .await
        {
            Ok(Some(row)) => row,
            Ok(None) => return Ok(None),
            Err(error) if matches!(error.code(), Some(1049 | 1146)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let status = Status::parse(&row.text(1)).ok_or_else(|| {
            Error::new(
                ErrorKind::State,
                format!("the deployment's record has the status `{}`, which there is not", row.text(1)),
            )
            .with_advice("it was changed by hand or by a newer version")
        })?;
        Ok(Some(Deployment {
            name: row.text(0),
            status,
            blue_address: row.text(2),
            blue_identity: ServerIdentity::new(row.text(3)),
            suffix: row.text(4),
            phase: row.text(5),
            controller: row.number(6).unwrap_or(0),
        }))
    }

    /// Writes the record over whatever was there.
    pub(crate) async fn write(&self, green: &mut Session) -> Result<()> {
        green
            .run(&format!(
                "REPLACE INTO bluegreen.deployment SET id = 1, name = {}, status = '{}', blue_address = {}, \
                 blue_identity = {}, suffix = {}, created_at = UTC_TIMESTAMP(6), changed_at = UTC_TIMESTAMP(6)",
                text_literal(&self.name),
                self.status.name(),
                text_literal(&self.blue_address),
                text_literal(self.blue_identity.as_str()),
                text_literal(&self.suffix),
            ))
            .await?;
        Ok(())
    }

    /// Moves the record from one status to another; `false` where it was not in `from`.
    pub(crate) async fn change_status(green: &mut Session, from: Status, to: Status) -> Result<bool> {
        let done = green
            .run(&format!(
                "UPDATE bluegreen.deployment SET status = '{}', changed_at = UTC_TIMESTAMP(6) WHERE id = 1 AND status = '{}'",
                to.name(),
                from.name()
            ))
            .await?;
        Ok(done.affected == 1)
    }

    /// Changes the record of a switchover under way, if it still is as `expected`: of several controllers, one.
    async fn change(green: &mut Session, assignments: &str, expected: &str) -> Result<bool> {
        let statement = format!(
            "UPDATE bluegreen.deployment SET {assignments}, changed_at = UTC_TIMESTAMP(6) WHERE id = 1 AND {expected}"
        );
        Ok(green.run(&statement).await?.affected == 1)
    }

    /// Begins a switchover, if the deployment is available.
    pub(crate) async fn begin(green: &mut Session, controller: u64) -> Result<bool> {
        let assignments = format!("status = 'SWITCHOVER_IN_PROGRESS', phase = '', controller = {controller}");
        Deployment::change(green, &assignments, "status = 'AVAILABLE'").await
    }

    /// Takes over a switchover that was found in the middle, if nobody else did meanwhile.
    pub(crate) async fn seize(&self, green: &mut Session, controller: u64) -> Result<bool> {
        let expected = format!(
            "status = 'SWITCHOVER_IN_PROGRESS' AND phase = '{}' AND controller = {}",
            self.phase, self.controller
        );
        Deployment::change(green, &format!("controller = {controller}"), &expected).await
    }

    /// Journals a step of a switchover from one phase to the next.
    ///
    /// # Errors
    /// `TakenOver` where another controller has the switchover, or it is not in phase `from` any more.
    pub(crate) async fn journal(green: &mut Session, controller: u64, from: &str, to: &str) -> Result<()> {
        let expected = format!("status = 'SWITCHOVER_IN_PROGRESS' AND phase = '{from}' AND controller = {controller}");
        match Deployment::change(green, &format!("phase = '{to}'"), &expected).await? {
            true => Ok(()),
            false => Err(Error::new(ErrorKind::TakenOver, "another controller took this switchover over")
                .with_advice("look at that one's outcome and at `status`")),
        }
    }

    /// Ends a switchover.
    ///
    /// # Errors
    /// `TakenOver` where another controller has it.
    pub(crate) async fn end(green: &mut Session, controller: u64, status: Status) -> Result<()> {
        let assignments = format!("status = '{}', phase = '', controller = 0", status.name());
        let expected = format!("status = 'SWITCHOVER_IN_PROGRESS' AND controller = {controller}");
        match Deployment::change(green, &assignments, &expected).await? {
            true => Ok(()),
            false => Err(Error::new(ErrorKind::TakenOver, "another controller took this switchover over")
                .with_advice("look at that one's outcome and at `status`")),
        }
    }
}
