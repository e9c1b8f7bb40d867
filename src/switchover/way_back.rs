//! The way back: the old production is made the green of the same deployment the other way round, at the position where
//! the new one's log began as production. From then on it is replicated to, watched, compared and switched to like any
//! green.

use super::asleep::{self, Asleep};
use super::config::SwitchoverConfig;
use super::fence::Fence;
use super::scheduler;
use crate::apply::checkpoint::{self, Checkpoint, Stream};
use crate::checks::preflight::{self, privileges};
use crate::checks::{Check, Verdict};
use crate::deployment::{self, Deployment, PositionMap, Status};
use crate::error::{Error, ErrorKind, Result};
use crate::net::{NOT_SYSTEM, Server, ServerUrl, Session};

/// The guardrail's name.
pub(super) const NAME: &str = "rollback_possible";

/// Whether the old production will be able to follow the new one. Said before the switch: behind it, it is of no use.
pub(super) async fn check((blue, blue_session): (&Server, &mut Session), green: &Server) -> Check {
    match obstacle((blue, blue_session), green).await {
        // It stands in nobody's way: a switch without a way back is what most have.
        Err(error) => Check::new(
            NAME,
            Verdict::Warn,
            format!("whether there will be a way back is not known: {}", error.message()),
        ),
        Ok(None) => Check::new(NAME, Verdict::Pass, "blue can follow green after the switch"),
        Ok(Some(error)) => {
            let check = Check::new(NAME, Verdict::Warn, format!("there will be no way back: {}", error.message()));
            match error.advice() {
                Some(advice) => check.with_advice(advice),
                None => check,
            }
        }
    }
}

async fn obstacle((blue, blue_session): (&Server, &mut Session), green: &Server) -> Result<Option<Error>> {
    if preflight::version(green.version, blue.version).verdict == Verdict::Fail {
        let message = format!("blue ({}) is older than green ({})", blue.version, green.version);
        return Ok(Some(Error::new(ErrorKind::Version, message)));
    }
    if let Some(refusal) = preflight::refusals("green", blue).into_iter().next() {
        return Ok(Some(refusal));
    }
    let grants = privileges::read(blue_session, blue).await?;
    let mut needs = privileges::needed_on_green(blue);
    needs.push(("TRIGGER", &["TRIGGER"]));
    needs.push(("EVENT", &["EVENT"]));
    if has_other_definers(blue_session).await? {
        needs.push(privileges::setting_definers(blue));
    }
    Ok(privileges::refusal("blue", &grants, blue_session.address(), &needs))
}

/// Whether blue has triggers or events of other accounts than this one: events are put to rest, and a rollback makes triggers,
/// for their definers.
async fn has_other_definers(blue: &mut Session) -> Result<bool> {
    let sql = format!(
        "SELECT EXISTS (SELECT 1 FROM information_schema.TRIGGERS \
         WHERE LOWER(TRIGGER_SCHEMA) {NOT_SYSTEM} AND DEFINER <> CURRENT_USER()) \
         OR EXISTS (SELECT 1 FROM information_schema.EVENTS \
         WHERE LOWER(EVENT_SCHEMA) {NOT_SYSTEM} AND DEFINER <> CURRENT_USER())"
    );
    Ok(blue.first(&sql).await?.and_then(|row| row.number(0)) == Some(1))
}

/// Makes what the old production will need, while it still is the production: its log carries it, and the stream to green
/// passes over it.
pub(super) async fn prepare(blue: &ServerUrl) -> Result<()> {
    let mut session = Session::open(blue).await?;
    if !is_prepared(&mut session).await? {
        Deployment::install(&mut session).await?;
        checkpoint::install(&mut session).await?;
    }
    session.close().await;
    Ok(())
}

async fn is_prepared(session: &mut Session) -> Result<bool> {
    let tables = "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'bluegreen' \
                  AND TABLE_NAME IN ('deployment', 'foreign_write', 'kept_table', 'checkpoint', 'statement')";
    Ok(session.first(tables).await?.and_then(|row| row.number(0)) == Some(5))
}

/// Whether the way back from this new production was begun: the old one's log goes on since.
pub(super) async fn has_begun(blue: &mut Session, green: &Server) -> Result<bool> {
    let begun = [Status::Provisioning, Status::Available, Status::SwitchoverInProgress];
    Ok(status(blue, green).await?.is_some_and(|status| begun.contains(&status)))
}

/// Whether the switchover to this production has not ended, by its own record.
///
/// # Errors
/// `State` where it has not: this one would begin at what that one still makes.
pub(super) async fn check_ended(blue: &mut Session) -> Result<()> {
    match Deployment::read(blue).await?.map(|record| record.status) {
        Some(Status::SwitchoverInProgress) => Err(Error::new(ErrorKind::State, "the switchover to blue has not ended")
            .with_advice("run that one again first: it finishes or undoes it")),
        _ => Ok(()),
    }
}

/// That of the record of the way back from `green`.
async fn status(blue: &mut Session, green: &Server) -> Result<Option<Status>> {
    let record = Deployment::read(blue).await?;
    let of_green = record.filter(|record| record.is_way_back() && record.blue_identity == green.identity);
    Ok(of_green.map(|record| record.status))
}

/// Begins it, behind the promotion, in a session that claimed blue. Can be done again where it was left in the middle.
/// Answers what is left for a person.
///
/// # Errors
/// What blue refuses, or a lost connection: to be done again.
pub(super) async fn begin(
    config: &SwitchoverConfig,
    record_of_switch: &Deployment,
    (blue, green): (&Server, &Server),
    map: &PositionMap,
    asleep: &Asleep,
    session: &mut Session,
) -> Result<Vec<String>> {
    if !is_prepared(session).await? {
        return Ok(vec!["there is no way back: it was not prepared before the switch".into()]);
    }
    match status(session, green).await? {
        // Somebody has begun to go it, beside this.
        Some(Status::SwitchoverInProgress) => return Ok(Vec::new()),
        Some(Status::Available) => {
            return Ok(Fence::of(blue).persist_for_followers(session).await.into_iter().collect());
        }
        // Blue may have been restarted since.
        Some(Status::Provisioning) => Fence::of(blue).let_privileged_in(session).await?,
        _ => {
            // From here on the engine may write on the old production, and what others write is watched.
            Fence::of(blue).let_privileged_in(session).await?;
            let record = Deployment::way_back(&record_of_switch.name, config.green.address(), green.identity.clone());
            session.run("BEGIN").await?;
            record.write(session).await?;
            session.run("DELETE FROM bluegreen.checkpoint").await?;
            session.run("DELETE FROM bluegreen.statement").await?;
            // What was written here as long as it was production is nobody else's write.
            session.run("DELETE FROM bluegreen.foreign_write").await?;
            let forward = Checkpoint::start(green.identity.clone(), map.green.clone());
            let watch = Checkpoint::start(blue.identity.clone(), map.blue.clone());
            checkpoint::begin(session, Stream::Forward, &forward).await?;
            checkpoint::begin(session, Stream::Watch, &watch).await?;
            // What was green's own is the new production's own.
            let mut production = Session::open(&config.green).await?;
            let kept = deployment::kept_tables(&mut production).await?;
            production.close().await;
            deployment::keep_green(session, &kept).await?;
            session.run("COMMIT").await?;
        }
    }
    // Its triggers would fire for the new production's rows. They are there since before the switch.
    asleep::drop_triggers(&config.blue, session).await?;
    asleep.stop_events(&config.blue).await?;
    let mut left = Vec::new();
    if record_of_switch.blue_starts_events {
        left.extend(scheduler::start(session).await);
    }
    left.extend(Fence::of(blue).persist_for_followers(session).await);
    Deployment::change_status(session, Status::Provisioning, Status::Available).await?;
    Ok(left)
}
