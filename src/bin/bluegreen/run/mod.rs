//! A deployment's service in one process: the stream, the endpoint, the watch, and the socket on which the other verbs
//! find it.
//!
//! # Invariants
//! 1. Which server is production is read from the deployment's record, never remembered.
//! 2. The endpoint outlives the stream: an application's way to production does not end because green has a problem.
//! 3. One thing at a time: a switchover, the watch and a status never overlap in this process.

mod verification;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use bluegreen::apply::Policy;
use bluegreen::checks::{self, Check, Intended, Verdict, VerifyConfig};
use bluegreen::deployment::{Deployment, Status};
use bluegreen::error::Recovery;
use bluegreen::model::TableName;
use bluegreen::net::ServerUrl;
use bluegreen::pipeline::{Progress, Replication, ReplicationConfig, dry_run, overview, switch_over};
use bluegreen::switchover::{Outcome, Routing, SwitchoverConfig};
use bluegreen::watch::{self, Watch};
use bluegreen::{Error, ErrorKind, Result};
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

use self::verification::Verifying;
use crate::arguments::Run;
use crate::config::Settings;
use crate::control::{Control, Request};
use crate::metrics::LagMeter;
use crate::output::{self, Answer};
use crate::routes::Routes;
use crate::stop::Stop;
use crate::switchover::Way;
use crate::{conflicts, metrics, switchover};

/// How often the record is looked at while no stream runs.
const LOOK: Duration = Duration::from_secs(1);
/// How long reading the record may take.
const READ_LIMIT: Duration = Duration::from_secs(2);
/// How often it is looked whether the watch over green's log is running.
const WATCH: Duration = Duration::from_secs(5);
/// How often schemas, accounts and settings are compared.
const DRIFT: Duration = Duration::from_secs(60);
/// How long a list of foreign writes may wait for the watch to be level with green's log.
const LEVEL_LIMIT: Duration = Duration::from_secs(10);

pub(crate) async fn run(arguments: Run, config: Option<&Path>, json: bool, mut stop: Stop) -> Result<Answer> {
    if config.is_none() {
        return Err(
            Error::new(ErrorKind::Config, "no config file is given").with_advice("give --config bluegreen.toml")
        );
    }
    let settings = Settings::read(config, &arguments.servers)?;
    let (blue, green) = (settings.blue()?, settings.green()?);
    let control = match &settings.control {
        Some(socket) => Some(Control::listen(socket).await?),
        None => None,
    };
    if let Some(address) = settings.metrics {
        metrics::serve(address)?;
    }
    let mut service = tokio::select! {
        service = Service::start(&settings, blue, green, json) => service?,
        () = stop.requested() => return Ok(Answer::Yes),
    };
    Box::pin(service.serve(control, stop)).await
}

/// The record that a server holds, if it says so in time: it may be restarting, and must not hold up a stop.
async fn record_of(server: &ServerUrl) -> Option<Deployment> {
    tokio::time::timeout(READ_LIMIT, Deployment::of(server)).await.ok()?.ok().flatten()
}

/// Whether a server that was production follows the one that is. Not before the switchover is at its end.
async fn follows_back(server: &ServerUrl, production: &ServerUrl) -> bool {
    let of_production = Deployment::of(production).await.ok().flatten();
    if of_production.is_some_and(|record| record.status == Status::SwitchoverInProgress) {
        return false;
    }
    let record = Deployment::of(server).await.ok().flatten();
    record.is_some_and(|record| {
        record.is_way_back() && matches!(record.status, Status::Available | Status::SwitchoverInProgress)
    })
}

fn contradiction() -> Error {
    Error::new(ErrorKind::State, "both servers' records say that theirs is production")
        .with_advice("find out which one takes the application's writes, and `delete` the deployment on the other")
}

fn left_behind() -> Error {
    Error::new(ErrorKind::State, "blue is production again, and green does not follow it")
        .with_advice("`delete` the deployment and build green anew with `create`")
}

/// The forward stream, as far as this process has one.
enum Stream {
    Running(Replication),
    /// None: another controller has it, or it failed. Whether a switchover was seen under way since.
    Absent {
        error: Error,
        is_switching: bool,
    },
    /// Green is production.
    Over,
}

struct Service {
    /// Production, until `stream` is over.
    blue: ServerUrl,
    /// What follows it.
    green: ServerUrl,
    /// The two have changed places: green is production, and what was blue follows it, for a rollback.
    is_reversed: bool,
    routes: Routes,
    stream: Stream,
    lanes: usize,
    /// Whether rows are compared all the time.
    verifies: bool,
    /// The settings that green has a value of its own for.
    intended: BTreeSet<String>,
    /// The last picture of the stream, also of one that has ended.
    pictures: Option<tokio::sync::watch::Receiver<Progress>>,
    /// Records the lag of the last stream.
    lag: Option<LagMeter>,
    /// The watch over green's log, beside a stream.
    watch: Option<Watch>,
    conflicts: Policy,
    keep_green: Option<BTreeSet<TableName>>,
    /// The comparison of all rows, beside a stream.
    verifying: Option<Verifying>,
    /// What differed between the two but for rows, when it was last compared.
    drift: Vec<Check>,
    json: bool,
}

impl Service {
    async fn start(settings: &Settings, mut blue: ServerUrl, mut green: ServerUrl, json: bool) -> Result<Service> {
        let is_reversed = follows_back(&blue, &green).await;
        if is_reversed {
            std::mem::swap(&mut blue, &mut green);
        }
        let record = Deployment::of(&green).await?;
        let status = record.as_ref().map(|record| record.status);
        let is_completed = status == Some(Status::SwitchoverCompleted);
        let of_blue = if is_completed { Deployment::of(&blue).await.ok().flatten() } else { None };
        let is_over = Deployment::leads_to_green(record.as_ref(), of_blue.as_ref()).ok_or_else(contradiction)?;
        let routes = Routes::open(settings.endpoint.as_ref(), (&blue, &green), is_reversed, is_over).await?;
        let stream = match status {
            Some(Status::SwitchoverCompleted) if !is_over => {
                Stream::Absent { error: left_behind(), is_switching: false }
            }
            Some(Status::SwitchoverInProgress) => {
                // Nobody knows yet which of the two is production.
                if let Some(own) = routes.own() {
                    own.hold().await?;
                }
                let error = Error::new(ErrorKind::State, "a switchover was found in the middle")
                    .with_advice("run `switchover`: it finishes or undoes it");
                Stream::Absent { error, is_switching: true }
            }
            _ => Stream::Over,
        };
        let mut service = Service {
            blue,
            green,
            is_reversed,
            routes,
            stream,
            lanes: settings.lanes.unwrap_or(1),
            verifies: settings.verifies,
            intended: settings.green_variables.keys().cloned().collect(),
            pictures: None,
            lag: None,
            watch: None,
            verifying: None,
            conflicts: settings.conflicts,
            keep_green: settings.keep_green.clone(),
            drift: Vec::new(),
            json,
        };
        if !is_completed && status != Some(Status::SwitchoverInProgress) {
            service.replicate().await?;
        }
        service.say("started", &service.production());
        Ok(service)
    }

    async fn serve(&mut self, mut control: Option<Control>, mut stop: Stop) -> Result<Answer> {
        let (mut look, mut read_log, mut compare) = (interval(LOOK), interval(WATCH), interval(DRIFT));
        for tick in [&mut look, &mut read_log, &mut compare] {
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        loop {
            tokio::select! {
                biased;
                () = stop.requested() => break,
                request = next(control.as_mut()) => self.answer(request, &mut stop).await,
                error = ended(&mut self.stream) => self.stream_ended(error)?,
                _ = look.tick() => self.look().await,
                found = foreign_writes(&mut self.watch) => self.foreign_writes(found),
                _ = read_log.tick() => self.watch(&mut stop).await,
                _ = compare.tick() => self.compare_definitions(&mut stop).await,
            }
        }
        self.end_watch().await;
        if let Stream::Running(replication) = std::mem::replace(&mut self.stream, Stream::Over) {
            replication.stop().await?;
        }
        self.say("stopped", "stopped at a commit boundary");
        Ok(Answer::Yes)
    }

    async fn replicate(&mut self) -> Result<()> {
        let mut config = ReplicationConfig::new(self.blue.clone(), self.green.clone()).with_lanes(self.lanes)?;
        config.conflicts = self.conflicts;
        // What is green's own was said of green.
        config.keep_green = self.keep_green.clone().filter(|_| !self.is_reversed);
        let replication = Box::pin(Replication::start(config)).await?;
        self.lag = Some(LagMeter::start(self.blue.clone(), self.green.clone(), replication.progress()));
        self.pictures = Some(replication.progress());
        self.stream = Stream::Running(replication);
        if self.verifies && self.verifying.is_none() {
            self.verifying = Some(Verifying::start(VerifyConfig::new(self.blue.clone(), self.green.clone())));
        }
        Ok(())
    }

    /// Starts the stream where one should run; what stands in the way is looked at again later.
    async fn replicate_again(&mut self) {
        match self.replicate().await {
            Ok(()) => self.say("replicating", "replication goes on"),
            Err(error) => {
                tracing::warn!(%error, "replication does not start");
                self.stream = Stream::Absent { error, is_switching: false };
            }
        }
    }

    fn stream_ended(&mut self, error: Error) -> Result<()> {
        // Another controller took it, most likely for a switchover: its record will tell.
        let is_another = matches!(error.kind(), ErrorKind::TakenOver | ErrorKind::State);
        if !is_another && self.routes.own().is_none() {
            return Err(error);
        }
        self.say("replication_ended", &error.to_string());
        self.stream = Stream::Absent { error, is_switching: false };
        Ok(())
    }

    /// Invariant 1: what the record says. An idle stream does not notice that another controller took it over, so the
    /// record is asked while it runs, too.
    async fn look(&mut self) {
        if matches!(self.stream, Stream::Over) {
            return self.look_again().await;
        }
        let Some(deployment) = record_of(&self.green).await else { return };
        match (deployment.status, &mut self.stream) {
            (Status::SwitchoverInProgress, stream) => {
                if let Stream::Absent { is_switching, .. } = stream {
                    *is_switching = true;
                }
                if matches!(deployment.phase.as_str(), "fencing" | "promoting") {
                    self.hold().await;
                }
            }
            (Status::SwitchoverCompleted, _) => {
                let of_blue = record_of(&self.blue).await;
                if Deployment::leads_to_green(Some(&deployment), of_blue.as_ref()) == Some(true) {
                    self.lead_to_green().await;
                }
            }
            (Status::Available, Stream::Running(_)) => self.release().await,
            (Status::Available, Stream::Absent { error, is_switching })
                if *is_switching || error.recovery() == Recovery::Retry =>
            {
                self.release().await;
                self.replicate_again().await;
            }
            _ => {}
        }
    }

    /// Behind a switchover: whether what was production follows now, or others have switched back meanwhile.
    async fn look_again(&mut self) {
        let Some(record) = record_of(&self.green).await else { return };
        match record.status {
            Status::SwitchoverCompleted => self.turn_around().await,
            Status::Available if record.is_way_back() => {
                self.reverse_routes();
                self.lead().await;
                self.reverse_routes();
                self.replicate_again().await;
            }
            _ => {}
        }
    }

    async fn hold(&self) {
        if let Some(own) = self.routes.own()
            && let Err(error) = own.hold().await
        {
            tracing::warn!(%error, "new connections are not held");
        }
    }

    async fn release(&self) {
        if let Some(own) = self.routes.own() {
            own.release().await;
        }
    }

    /// Behind a switch that was made elsewhere.
    async fn lead(&self) {
        if let Some(own) = self.routes.own()
            && let Err(error) = own.switch().await
        {
            tracing::warn!(%error, "the endpoint's switch");
        }
    }

    /// A switchover was completed by another process.
    async fn lead_to_green(&mut self) {
        self.end_watch().await;
        (self.lag, self.verifying) = (None, None);
        self.lead().await;
        if let Stream::Running(replication) = std::mem::replace(&mut self.stream, Stream::Over)
            && let Err(error) = replication.stop().await
        {
            tracing::debug!(%error, "the stream had ended");
        }
        self.say("switched_over", &self.production());
    }

    /// Starts the watch where one should run and none does.
    async fn watch(&mut self, stop: &mut Stop) {
        if !matches!(self.stream, Stream::Running(_)) || self.watch.is_some() {
            return;
        }
        tokio::select! {
            watch = Box::pin(Watch::start(self.green.clone())) => match watch {
                Ok(watch) => self.watch = Some(watch),
                Err(error) => tracing::warn!(%error, "green's log is not watched"),
            },
            () = stop.requested() => {}
        }
    }

    async fn compare_definitions(&mut self, stop: &mut Stop) {
        if !matches!(self.stream, Stream::Running(_)) {
            return;
        }
        let mut intended = Intended::default();
        intended.settings.clone_from(&self.intended);
        tokio::select! {
            drift = Box::pin(checks::drift(&self.blue, &self.green, &intended)) => {
                for check in &drift {
                    let was = self.drift.iter().find(|other| other.name == check.name).map(|other| other.verdict);
                    if check.verdict != Verdict::Pass && was != Some(check.verdict) {
                        self.say("drift", &format!("{}: {}", check.name, check.evidence));
                    }
                }
                self.drift = drift;
            }
            () = stop.requested() => {}
        }
    }

    async fn end_watch(&mut self) {
        if let Some(watch) = self.watch.take()
            && let Err(error) = watch.stop().await
        {
            tracing::warn!(%error, "the watch over green's log had ended");
        }
    }

    fn foreign_writes(&mut self, found: Result<u64>) {
        match found {
            Ok(found) => {
                self.say("foreign_writes", &format!("somebody else wrote on green: {found} rows or statements"))
            }
            Err(error) => {
                tracing::warn!(%error, "the watch over green's log ended");
                self.watch = None;
            }
        }
    }

    /// The journal, with everything in it that green had committed when it was asked for.
    async fn conflicts(&mut self, request: &Value) -> Result<(Answer, Value)> {
        let is_level = match &self.watch {
            Some(watch) => {
                let (asked, mut progress) = (Instant::now(), watch.progress());
                let level = progress.wait_for(|progress| progress.level_at.is_some_and(|at| at > asked));
                tokio::time::timeout(LEVEL_LIMIT, level).await.is_ok_and(|level| level.is_ok())
            }
            None => false,
        };
        if !is_level {
            watch::scan(&self.green, true).await?;
        }
        conflicts::answer(&self.green, request).await
    }

    async fn answer(&mut self, request: Request, stop: &mut Stop) {
        let answer = match request.request["verb"].as_str() {
            Some("status") => tokio::select! {
                answer = self.status() => answer,
                () = stop.requested() => Err(Error::new(ErrorKind::State, "the running process is stopping")),
            },
            Some("conflicts") => Box::pin(self.conflicts(&request.request)).await,
            // Never dropped in the middle.
            Some("switchover") => Box::pin(self.switch_over(Way::There, &request.request)).await,
            Some("rollback") => Box::pin(self.switch_over(Way::Back, &request.request)).await,
            _ => Err(Error::new(ErrorKind::Config, "the running process does not know this verb")
                .with_advice("use the same version of bluegreen for both")),
        };
        request.answer(answer).await;
    }

    async fn status(&self) -> Result<(Answer, Value)> {
        let overview = Box::pin(overview(&self.blue, &self.green, self.pictures.as_ref())).await?;
        let no_json = |error| Error::new(ErrorKind::Internal, format!("the status is no JSON: {error}"));
        let mut document = serde_json::to_value(&overview).map_err(no_json)?;
        if let Some(verifying) = &self.verifying {
            document["verification"] = verifying.status();
            if let Some(guardrails) = document["guardrails"].as_array_mut() {
                guardrails.push(serde_json::to_value(verifying.check()).map_err(no_json)?);
            }
        }
        document["drift"] = serde_json::to_value(&self.drift).map_err(no_json)?;
        Ok((Answer::Yes, document))
    }

    async fn switch_over(&mut self, way: Way, request: &Value) -> Result<(Answer, Value)> {
        self.check_way(way)?;
        let seconds = |key: &str, default: u64| Duration::from_secs(request[key].as_u64().unwrap_or(default));
        let config = SwitchoverConfig::new(self.blue.clone(), self.green.clone())
            .bounds(seconds("timeout", 300), seconds("max_write_block", 5))?
            .killing_blockers(request["kill_blockers"] == true)
            .checked(self.verifying.iter().map(Verifying::check).chain(self.routes.check().await).collect());
        if request["dry_run"] == true {
            let report = Box::pin(dry_run(&config)).await?;
            return Ok((switchover::answer(&report, true), switchover::document(&report)?));
        }
        self.end_watch().await;
        (self.lag, self.verifying) = (None, None);
        // The switchover has a stream of its own, which would take this one over anyway.
        if let Stream::Running(replication) = std::mem::replace(&mut self.stream, Stream::Over)
            && let Err(error) = replication.stop().await
        {
            tracing::warn!(%error, "the stream had ended");
        }
        self.say(way.verb(), &format!("a {} begins", way.verb()));
        let report = Box::pin(switch_over(&config, &self.routes)).await;
        match &report {
            Ok(report) if report.outcome == Outcome::Completed => {
                self.stream = Stream::Over;
                self.say("switched_over", &self.production());
                self.turn_around().await;
            }
            Ok(report) if report.outcome == Outcome::Ambiguous => {
                let reason = report.reason.clone().unwrap_or_default();
                self.say("ambiguous", &reason);
                self.stream = Stream::Absent { error: Error::new(ErrorKind::State, reason), is_switching: true };
            }
            _ => {
                self.say("unchanged", &format!("the {} changed nothing", way.verb()));
                self.stream = Stream::Over;
                self.resume().await;
            }
        }
        let report = report?;
        Ok((switchover::answer(&report, false), switchover::document(&report)?))
    }

    /// After a switchover that changed nothing: back to what the record says.
    async fn resume(&mut self) {
        let status = Deployment::of(&self.green).await.ok().flatten().map(|deployment| deployment.status);
        if status == Some(Status::SwitchoverCompleted) {
            self.lead_to_green().await;
        } else {
            self.replicate_again().await;
        }
    }

    fn check_way(&self, way: Way) -> Result<()> {
        let state = |message: &'static str, advice: &'static str| {
            Err(Error::new(ErrorKind::State, message).with_advice(advice))
        };
        match (way, self.is_reversed) {
            (Way::There, false) | (Way::Back, true) => Ok(()),
            (Way::There, true) => state("green is production already", "`rollback` leads back to blue"),
            (Way::Back, false) => {
                state("blue does not follow green, so nothing can be rolled back", "`switchover` leads to green")
            }
        }
    }

    /// Behind a switchover that left a way back: the old production is what follows now.
    async fn turn_around(&mut self) {
        let follows = tokio::time::timeout(READ_LIMIT, follows_back(&self.blue, &self.green)).await;
        if !follows.unwrap_or(false) {
            return;
        }
        std::mem::swap(&mut self.blue, &mut self.green);
        self.reverse_routes();
        self.is_reversed = !self.is_reversed;
        self.replicate_again().await;
    }

    fn reverse_routes(&mut self) {
        self.routes = std::mem::take(&mut self.routes).reversed();
    }

    /// Who is production, in one line.
    fn production(&self) -> String {
        let names = if self.is_reversed { ["green", "blue"] } else { ["blue", "green"] };
        let server = match &self.stream {
            Stream::Over => format!("{} ({})", names[1], self.green.address()),
            Stream::Running(_) => format!("{} ({})", names[0], self.blue.address()),
            Stream::Absent { error, .. } => return error.to_string(),
        };
        match self.routes.address() {
            Some(address) => format!("production is {server}, reached at {address}"),
            None => format!("production is {server}"),
        }
    }

    fn say(&self, event: &str, text: &str) {
        if self.json {
            output::document(&json!({ "event": event, "message": text }));
        } else {
            output::line(text);
        }
    }
}

async fn next(control: Option<&mut Control>) -> Request {
    match control {
        Some(control) => control.next().await,
        None => std::future::pending().await,
    }
}

/// How much the watch has found since it was last asked, or the error that ended it. Cancel-safe.
async fn foreign_writes(watch: &mut Option<Watch>) -> Result<u64> {
    let Some(watch) = watch else { return std::future::pending().await };
    let mut progress = watch.progress();
    let before = progress.borrow_and_update().found;
    tokio::select! {
        more = progress.wait_for(|progress| progress.found > before) => {
            if let Ok(progress) = more {
                return Ok(progress.found - before);
            }
        }
        ended = watch.finished() => return ended.map(|()| 0),
    }
    // It has ended, and says why.
    watch.finished().await.map(|()| 0)
}

/// The error that ended the stream. Cancel-safe.
async fn ended(stream: &mut Stream) -> Error {
    match stream {
        Stream::Running(replication) => {
            let ended = || Error::new(ErrorKind::Internal, "the stream ended without an error");
            replication.finished().await.err().unwrap_or_else(ended)
        }
        _ => std::future::pending().await,
    }
}
