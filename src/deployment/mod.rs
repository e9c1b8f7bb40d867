//! The deployment's record: what is being deployed, and in which state it is.
//!
//! One row in `bluegreen.deployment` on green. Every verb reads it first. The row is the switchover's journal too: its
//! `phase` says how far a switchover came, so that whoever finds it there can finish or undo it.
//!
//! # Invariants
//! 1. The record is on green. Blue carries none before it is the former production: then it holds one of its own, of the
//!    deployment the other way round.
//! 2. Once the status is [`Status::SwitchoverCompleted`], nothing applies blue's changes to green any more.

mod delete;
mod kept;
mod proof;

pub use delete::{DeleteConfig, Deleted, delete};
pub use proof::Proof;

pub(crate) use delete::created_schemas;
pub(crate) use kept::{keep_green, kept_tables};

use crate::error::{Error, ErrorKind, Result};
use crate::model::{Position, ServerIdentity};
use crate::net::{ServerUrl, Session, text_literal};

/// The end of the name that a former production has.
const OLD: &str = "old1";

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
    /// Who switches over, or was the last to: a token that only that controller knows to be its own; 0 before the first.
    pub(crate) controller: u64,
    /// Whether blue started events before the switchover that is under way, or was the last.
    pub(crate) blue_starts_events: bool,
    /// The one moment in both logs, once a switchover has passed its point of no return.
    pub(crate) position_map: Option<PositionMap>,
}

/// The same moment in both servers' logs: everything of blue before it is on green, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct PositionMap {
    /// The end of blue's log as production.
    pub(crate) blue: Position,
    /// Where green's log begins as production.
    pub(crate) green: Position,
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
            blue_starts_events: false,
            position_map: None,
        }
    }

    /// The record on an old production, which follows the new one.
    pub(crate) fn way_back(
        name: impl Into<String>,
        production: impl Into<String>,
        identity: ServerIdentity,
    ) -> Deployment {
        Deployment { suffix: OLD.into(), ..Deployment::new(name, production, identity) }
    }

    /// Whether green is the former production, and the switchover a rollback.
    pub fn is_way_back(&self) -> bool {
        self.suffix == OLD
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

    /// Whether green is production, by its own record and by blue's; `None`: the two contradict each other.
    ///
    /// A former production whose way back was gone, and which nothing follows since, has a record that says it is production,
    /// as green's of the first switchover still does.
    pub fn leads_to_green(green: Option<&Deployment>, blue: Option<&Deployment>) -> Option<bool> {
        let is_production = |record: &&Deployment| record.status == Status::SwitchoverCompleted;
        let went_back = blue.filter(is_production).is_some_and(Deployment::is_way_back);
        match green.filter(is_production) {
            Some(green) if went_back && green.is_way_back() => None,
            Some(_) => Some(!went_back),
            None => Some(false),
        }
    }

    /// Green's name until the switchover.
    pub fn green_name(&self) -> String {
        match self.is_way_back() {
            true => self.old_name(),
            false => format!("{}-green-{}", self.name, self.suffix),
        }
    }

    /// Blue's name after the switchover.
    pub fn old_name(&self) -> String {
        format!("{}-{OLD}", self.name)
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
                   blue_starts_events BOOLEAN NOT NULL DEFAULT 0,
                   position_map LONGTEXT NULL,
                   created_at DATETIME(6) NOT NULL,
                   changed_at DATETIME(6) NOT NULL
                 ) ENGINE = InnoDB",
            )
            .await?;
        session
            .run(
                "CREATE TABLE IF NOT EXISTS bluegreen.foreign_write (
                   id BIGINT UNSIGNED NOT NULL PRIMARY KEY,
                   table_schema VARCHAR(64) NULL,
                   table_name VARCHAR(64) NULL,
                   kind VARCHAR(16) CHARACTER SET ascii NOT NULL,
                   row_key LONGTEXT NULL,
                   before_image LONGTEXT NULL,
                   after_image LONGTEXT NULL,
                   statement LONGTEXT NULL,
                   points TEXT CHARACTER SET ascii NOT NULL,
                   file VARCHAR(512) NOT NULL,
                   `offset` BIGINT UNSIGNED NOT NULL,
                   gtid VARCHAR(255) NULL,
                   committed_at_micros BIGINT UNSIGNED NOT NULL,
                   thread BIGINT UNSIGNED NULL,
                   account VARCHAR(512) NULL,
                   met_how VARCHAR(32) CHARACTER SET ascii NULL,
                   met_file VARCHAR(512) NULL,
                   met_offset BIGINT UNSIGNED NULL,
                   met_gtid LONGTEXT NULL,
                   met_before LONGTEXT NULL,
                   met_after LONGTEXT NULL,
                   resolution VARCHAR(32) CHARACTER SET ascii NULL,
                   acknowledged BOOLEAN NOT NULL DEFAULT 0,
                   repaired BOOLEAN NOT NULL DEFAULT 0
                 ) ENGINE = InnoDB",
            )
            .await?;
        session
            .run(
                "CREATE TABLE IF NOT EXISTS bluegreen.kept_table (
                   table_schema VARCHAR(64) NOT NULL,
                   table_name VARCHAR(64) NOT NULL,
                   PRIMARY KEY (table_schema, table_name)
                 ) ENGINE = InnoDB COLLATE utf8mb4_bin",
            )
            .await?;
        session.run(proof::TABLE).await?;
        Ok(())
    }

    /// Reads the record; `None` where there is none.
    pub(crate) async fn read(green: &mut Session) -> Result<Option<Deployment>> {
        let row = match green
            .first(
                "SELECT name, status, blue_address, blue_identity, suffix, phase, controller, position_map, \
                    blue_starts_events FROM bluegreen.deployment WHERE id = 1",
            )
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
        let position_map = row.bytes(7).map(serde_json::from_slice).transpose().map_err(|_| {
            Error::new(ErrorKind::State, "the position map of the deployment's record cannot be read")
                .with_advice("it was changed by hand or by a newer version")
        })?;
        Ok(Some(Deployment {
            position_map,
            blue_starts_events: row.number(8) == Some(1),
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
        Proof::forget(green).await
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
        let assignments = format!(
            "status = 'SWITCHOVER_IN_PROGRESS', phase = '', controller = {controller}, \
             position_map = NULL, blue_starts_events = 0"
        );
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
        Deployment::move_on(green, controller, from, &format!("phase = '{to}'")).await
    }

    async fn move_on(green: &mut Session, controller: u64, from: &str, assignments: &str) -> Result<()> {
        let expected = format!("status = 'SWITCHOVER_IN_PROGRESS' AND phase = '{from}' AND controller = {controller}");
        match Deployment::change(green, assignments, &expected).await? {
            true => Ok(()),
            false => Err(Deployment::taken_over()),
        }
    }

    /// Journals that blue may be fenced from now on, and whether it started events until then.
    ///
    /// # Errors
    /// `TakenOver` where another controller has the switchover, or it is not in phase `from` any more.
    pub(crate) async fn journal_fence(
        green: &mut Session,
        controller: u64,
        from: &str,
        to: &str,
        blue_starts_events: bool,
    ) -> Result<()> {
        let assignments = format!("phase = '{to}', blue_starts_events = {}", u8::from(blue_starts_events));
        Deployment::move_on(green, controller, from, &assignments).await
    }

    /// Journals the point of no return with the one moment in both logs, in one statement.
    ///
    /// # Errors
    /// `TakenOver` where another controller has the switchover, or it is not in phase `from` any more.
    pub(crate) async fn journal_map(
        green: &mut Session,
        controller: u64,
        from: &str,
        to: &str,
        map: &PositionMap,
    ) -> Result<()> {
        let map = serde_json::to_string(map).map_err(|_| Error::internal("a position map that is no JSON"))?;
        let assignments = format!("phase = '{to}', position_map = {}", text_literal(&map));
        Deployment::move_on(green, controller, from, &assignments).await
    }

    /// Ends a switchover; done again, it changes nothing. The record keeps the token, to tell who ended it.
    ///
    /// # Errors
    /// `TakenOver` where another controller has it.
    pub(crate) async fn end(green: &mut Session, controller: u64, status: Status) -> Result<()> {
        let name = status.name();
        let expected = format!("status IN ('SWITCHOVER_IN_PROGRESS', '{name}') AND controller = {controller}");
        match Deployment::change(green, &format!("status = '{name}', phase = ''"), &expected).await? {
            true => Ok(()),
            false => Err(Deployment::taken_over()),
        }
    }

    /// The record of a switchover under way that is this controller's.
    ///
    /// # Errors
    /// `TakenOver` where another controller has it.
    pub(crate) async fn own(green: &mut Session, controller: u64) -> Result<Deployment> {
        let is_own =
            |record: &Deployment| record.status == Status::SwitchoverInProgress && record.controller == controller;
        Deployment::read(green).await?.filter(is_own).ok_or_else(Deployment::taken_over)
    }

    fn taken_over() -> Error {
        Error::new(ErrorKind::TakenOver, "another controller took this switchover over")
            .with_advice("look at that one's outcome and at `status`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_records_the_newer_switch_counts() {
        let there = |status| Deployment { status, ..Deployment::new("d", "b", ServerIdentity::new("b")) };
        let back = |status| Deployment { status, ..Deployment::way_back("d", "g", ServerIdentity::new("g")) };
        let (following, production) = (Status::Available, Status::SwitchoverCompleted);
        let leads =
            |green: Deployment, blue: Option<Deployment>| Deployment::leads_to_green(Some(&green), blue.as_ref());
        assert_eq!(leads(there(following), None), Some(false));
        assert_eq!(leads(there(production), None), Some(true));
        assert_eq!(leads(there(production), Some(back(following))), Some(true));
        assert_eq!(leads(back(following), Some(back(production))), Some(false));
        // The way back was gone, and green's record knows nothing of it.
        assert_eq!(leads(there(production), Some(back(production))), Some(false));
        assert_eq!(leads(back(production), Some(back(production))), None);
        assert_eq!(Deployment::leads_to_green(None, None), Some(false));
    }
}
