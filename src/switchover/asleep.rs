//! What green has not, or does not start, until it is production: triggers, events, and the numbers that go on where blue
//! stopped.

use super::counters::{self, Counters};
use crate::error::Result;
use crate::model::ServerVersion;
use crate::net::{ServerUrl, Session};
use crate::objects::{self, Object, Rounds, Started};

/// How long a trigger may wait for those who read its table on green, in seconds: nobody can write meanwhile.
const LOCK_WAIT: u32 = 1;

/// Blue's triggers, the events that it starts, and where its counters stand, as its fence found them.
pub(super) struct Asleep {
    counters: Counters,
    triggers: Vec<Object>,
    events: Vec<Started>,
}

impl Asleep {
    /// Reads them. Behind the fence nobody changes them.
    pub(super) async fn read(blue: &mut Session) -> Result<Asleep> {
        Ok(Asleep {
            counters: counters::read(blue).await?,
            triggers: objects::read_triggers(blue).await?,
            events: objects::started_events(blue).await?,
        })
    }

    /// Moves green's counters of AUTO_INCREMENT to where blue's stand, where they are behind. No row of blue is applied any
    /// more. The session is one to green, which was opened when there was time for it.
    ///
    /// # Errors
    /// What green refuses, with the table's name.
    pub(super) async fn raise_counters(&self, green: &ServerUrl, mut session: Session) -> Result<()> {
        let behind = counters::behind(&self.counters, &mut session).await?;
        session
            .run(&format!(
                "SET SESSION lock_wait_timeout = {LOCK_WAIT}, foreign_key_checks = 0, auto_increment_increment = 1"
            ))
            .await?;
        let mut stubborn = Vec::new();
        for (name, counter) in behind {
            if !counters::push(&mut session, &name, &counter).await? {
                stubborn.push((name, counter.next));
            }
        }
        if !stubborn.is_empty() {
            let mut writer = Session::open(green).await?;
            for (name, next) in stubborn {
                announce(&mut writer).await?;
                session
                    .run(&counters::set(&name, next))
                    .await
                    .map_err(|error| error.at(|place| place.table = Some(name.to_string())))?;
            }
            end_announcement(&mut writer).await?;
            writer.close().await;
        }
        session.close().await;
        Ok(())
    }

    /// Makes the triggers, where no row of blue is applied any more, in a session that claimed green. Those that are there
    /// already stay.
    ///
    /// # Errors
    /// What green refuses, with the trigger's name; `Contention` where somebody holds its table.
    pub(super) async fn make_triggers(
        &self,
        green: &ServerUrl,
        session: &mut Session,
        version: ServerVersion,
    ) -> Result<()> {
        if self.triggers.is_empty() {
            return Ok(());
        }
        session.run(&format!("SET SESSION lock_wait_timeout = {LOCK_WAIT}")).await?;
        let mut writer = Session::open(green).await?;
        // One may stand before another that comes behind it in the list.
        let mut rounds = Rounds::new(&self.triggers);
        while let Some(trigger) = rounds.next_one() {
            announce(&mut writer).await?;
            if let Err(error) = objects::build(session, std::slice::from_ref(trigger), version).await {
                rounds.again(trigger, error);
            }
        }
        end_announcement(&mut writer).await?;
        if let Some((_, error)) = rounds.left().into_iter().next() {
            return Err(error);
        }
        writer.close().await;
        Ok(())
    }

    /// Starts the events. Answers what green refused.
    ///
    /// # Errors
    /// A lost connection: to be done again.
    pub(super) async fn start_events(&self, green: &ServerUrl) -> Result<Vec<String>> {
        let mut notes = Vec::new();
        if self.events.is_empty() {
            return Ok(notes);
        }
        let mut session = Session::open(green).await?;
        for event in &self.events {
            match objects::turn_event(&mut session, event, true).await {
                Err(error) if error.code().is_none() => return Err(error),
                Err(error) => notes.push(format!("green does not start the event {}: {error}", event.name)),
                Ok(()) => {}
            }
        }
        session.close().await;
        Ok(notes)
    }

    /// Puts the events to rest on the old production: what they do now comes from the new one, as rows.
    ///
    /// # Errors
    /// What the old production refuses.
    pub(super) async fn stop_events(&self, blue: &ServerUrl) -> Result<()> {
        if self.events.is_empty() {
            return Ok(());
        }
        let (mut session, mut writer) = (Session::open(blue).await?, Session::open(blue).await?);
        for event in &self.events {
            announce(&mut writer).await?;
            objects::turn_event(&mut session, event, false).await?;
        }
        end_announcement(&mut writer).await?;
        writer.close().await;
        session.close().await;
        Ok(())
    }
}

/// Takes the triggers away from a server that is no production, in a session that claimed it: rows of the one that is are to
/// come.
///
/// # Errors
/// What it refuses.
pub(super) async fn drop_triggers(server: &ServerUrl, session: &mut Session) -> Result<()> {
    let mut writer = Session::open(server).await?;
    session.run("SET SESSION lock_wait_timeout = 3").await?;
    let triggers = objects::triggers(session).await?;
    for trigger in &triggers {
        announce(&mut writer).await?;
        objects::drop_trigger(session, trigger).await?;
    }
    if !triggers.is_empty() {
        end_announcement(&mut writer).await?;
    }
    writer.close().await;
    Ok(())
}

/// Says in green's log that the next statement there is not somebody else's: that is how `watch` tells it.
async fn announce(green: &mut Session) -> Result<()> {
    green.run("BEGIN").await?;
    green.run("DELETE FROM bluegreen.statement WHERE stream = 'switchover'").await?;
    green
        .run(
            "INSERT INTO bluegreen.statement SET stream = 'switchover', name = 'trigger', state = 0, before_it = '[]', \
             updated_at = UTC_TIMESTAMP(6)",
        )
        .await?;
    green.run("COMMIT").await.map(drop)
}

/// No statement comes that was announced.
async fn end_announcement(green: &mut Session) -> Result<()> {
    let done = "UPDATE bluegreen.statement SET state = 1, updated_at = UTC_TIMESTAMP(6) WHERE stream = 'switchover'";
    green.run(done).await.map(drop)
}
