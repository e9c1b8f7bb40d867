//! A deployment's service in one process: the stream, the endpoint, the watch, and the socket on which the other verbs
//! find it.
//!
//! # Invariants
//! 1. Which server is production is read from the deployment's record, never remembered.
//! 2. The endpoint outlives the stream: an application's way to production does not end because green has a problem.
//! 3. One thing at a time: a switchover, the watch and a status never overlap in this process.

mod routes;

pub(crate) use self::routes::upstream;

use std::path::Path;
use std::time::Duration;

use bluegreen::deployment::{Deployment, Status};
use bluegreen::error::Recovery;
use bluegreen::net::ServerUrl;
use bluegreen::pipeline::{Progress, Replication, ReplicationConfig, dry_run, overview, switch_over};
use bluegreen::switchover::{Outcome, Routing, SwitchoverConfig};
use bluegreen::{Error, ErrorKind, Result, watch};
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

use self::routes::Routes;
use crate::arguments::Run;
use crate::config::Settings;
use crate::control::{Control, Request};
use crate::output::{self, Answer};
use crate::stop::Stop;
use crate::{metrics, switchover};

/// How often the record is looked at while no stream runs.
const LOOK: Duration = Duration::from_secs(1);
/// How long reading the record may take.
const READ_LIMIT: Duration = Duration::from_secs(2);
/// How often green's log is read for foreign writes.
const WATCH: Duration = Duration::from_secs(30);

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
    blue: ServerUrl,
    green: ServerUrl,
    routes: Routes,
    stream: Stream,
    /// The last picture of the stream, also of one that has ended.
    pictures: Option<tokio::sync::watch::Receiver<Progress>>,
    json: bool,
}

impl Service {
    async fn start(settings: &Settings, blue: ServerUrl, green: ServerUrl, json: bool) -> Result<Service> {
        let status = Deployment::of(&green).await?.map(|deployment| deployment.status);
        let is_over = status == Some(Status::SwitchoverCompleted);
        let routes = Routes::open(settings.endpoint.as_ref(), &blue, &green, is_over).await?;
        let stream = match status {
            Some(Status::SwitchoverCompleted) => Stream::Over,
            Some(Status::SwitchoverInProgress) => {
                // Nobody knows yet which of the two is production.
                routes.hold().await?;
                let error = Error::new(ErrorKind::State, "a switchover was found in the middle")
                    .with_advice("run `switchover`: it finishes or undoes it");
                Stream::Absent { error, is_switching: true }
            }
            _ => Stream::Over,
        };
        let mut service = Service { blue, green, routes, stream, pictures: None, json };
        if !is_over && status != Some(Status::SwitchoverInProgress) {
            service.replicate().await?;
        }
        service.say("started", &service.production());
        Ok(service)
    }

    async fn serve(&mut self, mut control: Option<Control>, mut stop: Stop) -> Result<Answer> {
        let (mut look, mut read_log) = (interval(LOOK), interval(WATCH));
        for tick in [&mut look, &mut read_log] {
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        loop {
            tokio::select! {
                biased;
                () = stop.requested() => break,
                request = next(control.as_mut()) => self.answer(request, &mut stop).await,
                error = ended(&mut self.stream) => self.stream_ended(error)?,
                _ = look.tick() => self.look().await,
                _ = read_log.tick() => self.watch(&mut stop).await,
            }
        }
        if let Stream::Running(replication) = std::mem::replace(&mut self.stream, Stream::Over) {
            replication.stop().await?;
        }
        self.say("stopped", "stopped at a commit boundary");
        Ok(Answer::Yes)
    }

    async fn replicate(&mut self) -> Result<()> {
        let config = ReplicationConfig::new(self.blue.clone(), self.green.clone());
        let replication = Box::pin(Replication::start(config)).await?;
        self.pictures = Some(replication.progress());
        self.stream = Stream::Running(replication);
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
        if !is_another && !self.routes.is_serving() {
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
            return;
        }
        // Green may be restarting; it is asked again, and must not hold up a stop.
        let Ok(Ok(Some(deployment))) = tokio::time::timeout(READ_LIMIT, Deployment::of(&self.green)).await else {
            return;
        };
        match (deployment.status, &mut self.stream) {
            (Status::SwitchoverInProgress, stream) => {
                if let Stream::Absent { is_switching, .. } = stream {
                    *is_switching = true;
                }
                if matches!(deployment.phase.as_str(), "fencing" | "promoting") {
                    self.hold().await;
                }
            }
            (Status::SwitchoverCompleted, _) => self.lead_to_green().await,
            (Status::Available, Stream::Running(_)) => self.routes.release().await,
            (Status::Available, Stream::Absent { error, is_switching })
                if *is_switching || error.recovery() == Recovery::Retry =>
            {
                self.routes.release().await;
                self.replicate_again().await;
            }
            _ => {}
        }
    }

    async fn hold(&self) {
        if let Err(error) = self.routes.hold().await {
            tracing::warn!(%error, "new connections are not held");
        }
    }

    /// A switchover was completed by another process.
    async fn lead_to_green(&mut self) {
        if let Err(error) = self.routes.switch().await {
            tracing::warn!(%error, "the endpoint's switch");
        }
        if let Stream::Running(replication) = std::mem::replace(&mut self.stream, Stream::Over)
            && let Err(error) = replication.stop().await
        {
            tracing::debug!(%error, "the stream had ended");
        }
        self.say("switched_over", &self.production());
    }

    async fn watch(&mut self, stop: &mut Stop) {
        if !matches!(self.stream, Stream::Running(_)) {
            return;
        }
        tokio::select! {
            check = Box::pin(watch::check(&self.green, true)) => {
                if check.blocks() {
                    tracing::warn!(evidence = %check.evidence, "foreign writes");
                }
            }
            () = stop.requested() => {}
        }
    }

    async fn answer(&mut self, request: Request, stop: &mut Stop) {
        let answer = match request.request["verb"].as_str() {
            Some("status") => tokio::select! {
                answer = self.status() => answer,
                () = stop.requested() => Err(Error::new(ErrorKind::State, "the running process is stopping")),
            },
            // Never dropped in the middle.
            Some("switchover") => Box::pin(self.switch_over(&request.request)).await,
            _ => Err(Error::new(ErrorKind::Config, "the running process does not know this verb")
                .with_advice("use the same version of bluegreen for both")),
        };
        request.answer(answer).await;
    }

    async fn status(&self) -> Result<(Answer, Value)> {
        let picture = self.pictures.as_ref().map(|pictures| pictures.borrow().clone());
        let overview = Box::pin(overview(&self.blue, &self.green, picture.as_ref())).await?;
        let document = serde_json::to_value(&overview)
            .map_err(|error| Error::new(ErrorKind::Internal, format!("the status is no JSON: {error}")))?;
        Ok((Answer::Yes, document))
    }

    async fn switch_over(&mut self, request: &Value) -> Result<(Answer, Value)> {
        let seconds = |key: &str, default: u64| Duration::from_secs(request[key].as_u64().unwrap_or(default));
        let config = SwitchoverConfig::new(self.blue.clone(), self.green.clone())
            .bounds(seconds("timeout", 300), seconds("max_write_block", 5))?;
        if request["dry_run"] == true {
            let report = Box::pin(dry_run(&config)).await?;
            return Ok((switchover::answer(&report, true), switchover::document(&report)?));
        }
        // The switchover has a stream of its own, which would take this one over anyway.
        if let Stream::Running(replication) = std::mem::replace(&mut self.stream, Stream::Over)
            && let Err(error) = replication.stop().await
        {
            tracing::warn!(%error, "the stream had ended");
        }
        self.say("switchover", "a switchover begins");
        let report = Box::pin(switch_over(&config, &self.routes)).await;
        match &report {
            Ok(report) if report.outcome == Outcome::Completed => {
                self.stream = Stream::Over;
                self.say("switched_over", &self.production());
            }
            Ok(report) if report.outcome == Outcome::Ambiguous => {
                let reason = report.reason.clone().unwrap_or_default();
                self.say("ambiguous", &reason);
                self.stream = Stream::Absent { error: Error::new(ErrorKind::State, reason), is_switching: true };
            }
            _ => {
                self.say("unchanged", "the switchover changed nothing");
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

    /// Who is production, in one line.
    fn production(&self) -> String {
        let server = match &self.stream {
            Stream::Over => format!("green ({})", self.green.address()),
            Stream::Running(_) => format!("blue ({})", self.blue.address()),
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
