use std::collections::{BTreeSet, HashMap};
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::watch;
use tracing::Instrument;

use super::applying::Green;
use super::progress::{Progress, State};
use super::stages::Instruments;
use super::stopwatch::Stopwatch;
use super::{metrics, planning, stages};
use crate::apply::checkpoint::{self, Checkpoint, Owner, Stream};
use crate::apply::{Applier, Defaults, Lanes, Policy, Statements};
use crate::checks::preflight;
use crate::decode::{Assembler, DecoderOptions};
use crate::deployment::{self, Deployment, Status};
use crate::error::{Error, ErrorKind, Recovery, Result};
use crate::model::{Coordinates, Flavor, GtidPosition, Position, StartPosition, Table, TableName};
use crate::net::{self, Server, ServerUrl, Session};
use crate::objects;
use crate::plan::{self, Planner, Rules, Way};
use crate::running::Running;
use crate::source::{self, Dump, DumpRequest};

/// What to replicate.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ReplicationConfig {
    /// The server read from.
    pub blue: ServerUrl,
    /// The server written to.
    pub green: ServerUrl,
    /// Where to start if green has no checkpoint yet. With a checkpoint on green this has no effect.
    pub from: Option<StartPosition>,
    /// The replica's number under which blue sees this engine. Default: a random one above 2³¹.
    pub server_id: u32,
    /// How often an idle blue says that it is alive. Default 1 s.
    pub heartbeat: Duration,
    /// The longest pause between two tries to reach a server. Default 5 s; the first pause is 100 ms.
    pub retry_pause: Duration,
    /// What an operator decided about statements that stopped the stream, by the start of their events in blue's log.
    pub ways: HashMap<Coordinates, Way>,
    /// What becomes of a change of blue whose row somebody else has written on green. Default: blue wins.
    pub conflicts: Policy,
    /// Tables that are green's own from now on: blue's changes of their rows are not applied. Such a table cannot become
    /// blue's again. Default: those that are so already.
    pub keep_green: Option<BTreeSet<TableName>>,
    /// How many lanes share large groups.
    pub(crate) lanes: usize,
    /// Whether a deployment that is in the middle of a switchover may be replicated: only the switchover itself does.
    pub(crate) is_switchover: bool,
}

impl ReplicationConfig {
    /// Blue to green, everything else as by default.
    pub fn new(blue: ServerUrl, green: ServerUrl) -> ReplicationConfig {
        ReplicationConfig {
            blue,
            green,
            from: None,
            server_id: crate::entropy::replica_id(),
            heartbeat: Duration::from_secs(1),
            retry_pause: Duration::from_secs(5),
            ways: HashMap::new(),
            conflicts: Policy::BlueWins,
            keep_green: None,
            lanes: 1,
            is_switchover: false,
        }
    }

    /// The same with a place to start where green has no checkpoint.
    #[must_use]
    pub fn from(mut self, from: Option<StartPosition>) -> ReplicationConfig {
        self.from = from;
        self
    }

    /// How many connections write to green at the same time: 1 to 64, default 1. With more than one, large groups are
    /// shared out by row key, and between two commits green may hold more of one row's changes than of another's; it is a
    /// prefix of blue again at least every second, and whenever [`Checkpoint::lanes`] is empty. May be another number at
    /// each start.
    ///
    /// # Errors
    /// `Config` outside of the bounds.
    pub fn with_lanes(mut self, lanes: usize) -> Result<ReplicationConfig> {
        if !(1..=64).contains(&lanes) {
            return Err(Error::new(ErrorKind::Config, format!("{lanes} lanes are not 1 to 64"))
                .with_advice("leave --lanes out for one, or give as many as green has cores"));
        }
        self.lanes = lanes;
        Ok(self)
    }
}

/// A running stream from blue to green. Dropping it ends the stream without waiting: what was under way is either
/// committed or not, and the checkpoint tells which.
#[derive(Debug)]
pub struct Replication {
    progress: watch::Receiver<Progress>,
    running: Running,
    head_at_start: Position,
}

impl Replication {
    /// Checks both servers, takes the stream over from any other engine, and starts it.
    ///
    /// # Errors
    /// Everything that makes replication impossible: unreachable servers, wrong settings (`Setting`), a missing
    /// privilege, a position that is purged or not blue's, no checkpoint (`State`), a deployment that was switched over.
    /// Nothing was changed on either server then.
    pub async fn start(config: ReplicationConfig) -> Result<Replication> {
        let mut blue_session = Session::open(&config.blue).await?;
        let blue = Server::probe(&mut blue_session).await?;
        check_source(&blue, &config.blue)?;
        let mut green_session = Session::open(&config.green).await?;
        let green = Server::probe(&mut green_session).await?;
        if blue.identity == green.identity {
            return Err(Error::new(ErrorKind::Config, "blue and green are the same server")
                .with_advice("name two servers")
                .at(|place| place.server = Some(config.green.address())));
        }
        if let Some(refusal) =
            preflight::failures(&[preflight::version(blue.version, green.version)], ErrorKind::Version).pop()
        {
            return Err(refusal);
        }
        let head_at_start = blue.head(&mut blue_session).await?;
        check_deployment(&mut green_session, &config).await?;
        if let Some(wanted) = &config.keep_green {
            deployment::keep_green(&mut green_session, wanted).await?;
        }
        match checkpoint::read(&mut green_session, Stream::Forward).await? {
            Some(checkpoint) => check_checkpoint(&mut blue_session, &blue, &checkpoint).await?,
            None => {
                let position = first_position(&mut blue_session, &blue, config.from.as_ref()).await?;
                source::check_start(&mut blue_session, &blue, &position).await?;
                // `create` made green's tables from blue's. Whatever made these, nobody has compared them yet.
                compare_tables(&net::tables(&mut blue_session).await?, &net::tables(&mut green_session).await?)?;
                // Blue itself says whether the account may read its log, and this place in it, before green is written.
                Dump::open(&config.blue, &blue, &DumpRequest::new(position.clone(), config.server_id))
                    .await?
                    .next()
                    .await?;
                checkpoint::install(&mut green_session).await?;
                let checkpoint = Checkpoint::start(blue.identity.clone(), position);
                // Another engine may have begun meanwhile; then its checkpoint counts, as any on green does.
                checkpoint::begin(&mut green_session, Stream::Forward, &checkpoint).await?;
            }
        }
        blue_session.close().await;
        green_session.close().await;
        let (progress_sender, progress) = watch::channel(Progress::new());
        let (from, to) = (config.blue.address(), config.green.address());
        let span = tracing::info_span!("replication", blue = from, green = to, lanes = config.lanes);
        let running = Running::start(|stop| Box::pin(drive(config, progress_sender, stop)).instrument(span));
        Ok(Replication { progress, running, head_at_start })
    }

    /// Pictures of the stream.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// Where blue's log ended when the stream was started.
    pub fn head_at_start(&self) -> &Position {
        &self.head_at_start
    }

    /// Waits until green durably holds everything before `target`. Cancel-safe.
    ///
    /// # Errors
    /// The kind of the error that ended the stream before, or `State` where it was stopped.
    pub async fn reached(&self, target: &Position) -> Result<()> {
        let mut progress = self.progress.clone();
        let has_reached = |progress: &Progress| {
            progress.checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.position.covers(target) == Some(true))
        };
        let reached = progress
            .wait_for(|progress| {
                has_reached(progress) || matches!(progress.state, State::Stopped | State::Failed { .. })
            })
            .await;
        let Ok(progress) = reached else {
            return Err(Error::new(ErrorKind::State, "the stream ended before the position was reached"));
        };
        match &progress.state {
            _ if has_reached(&progress) => Ok(()),
            State::Failed { kind, reason } => Err(Error::new(*kind, format!("the stream failed: {reason}"))),
            _ => Err(Error::new(ErrorKind::State, "the stream was stopped before the position was reached")),
        }
    }

    /// Waits until the stream ends by itself. Cancel-safe.
    ///
    /// # Errors
    /// The error that ended it.
    pub async fn finished(&mut self) -> Result<()> {
        self.running.finished().await
    }

    /// Stops at a commit boundary and waits for it.
    ///
    /// # Errors
    /// The error that ended the stream before the request could.
    pub async fn stop(self) -> Result<()> {
        self.running.stop().await
    }
}

/// Keeps the stream running over errors that may pass.
async fn drive(
    config: ReplicationConfig,
    progress: watch::Sender<Progress>,
    mut stop: watch::Receiver<bool>,
) -> Result<()> {
    let owner = Owner::new();
    let instruments = Instruments { progress: progress.clone(), stopwatch: Stopwatch::default() };
    let mut pause = Duration::from_millis(100);
    loop {
        let before = progress.borrow().groups;
        let run: Pin<Box<dyn Future<Output = Result<()>> + Send + '_>> =
            Box::pin(session(&config, owner, instruments.clone(), &mut stop));
        let result = run.await;
        let error = match result {
            Ok(()) => {
                progress.send_modify(|progress| progress.state = State::Stopped);
                return Ok(());
            }
            Err(error) => error,
        };
        if error.recovery() != Recovery::Retry {
            tracing::error!(%error, "replication stopped");
            progress.send_modify(|progress| {
                progress.state = State::Failed { kind: error.kind(), reason: error.to_string() }
            });
            return Err(error);
        }
        tracing::warn!(%error, "replication is interrupted, and tried again");
        if progress.borrow().groups > before {
            pause = Duration::from_millis(100);
        }
        metrics::reconnects();
        progress.send_modify(|progress| {
            progress.reconnects += 1;
            progress.open = None;
            progress.state = State::Retrying { reason: error.to_string() };
        });
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stop.wait_for(|stop| *stop) => {
                progress.send_modify(|progress| progress.state = State::Stopped);
                return Ok(());
            }
        }
        pause = (pause * 2).min(config.retry_pause);
    }
}

/// One run from the checkpoint on, until an error or the stop.
async fn session(
    config: &ReplicationConfig,
    owner: Owner,
    instruments: Instruments,
    stop: &mut watch::Receiver<bool>,
) -> Result<()> {
    let mut green_session = Session::open(&config.green).await?;
    let green = Server::probe(&mut green_session).await?;
    let mut applier = Applier::claim(&config.green, &green, Stream::Forward, owner, config.conflicts).await?;
    // After the claim, so that a switchover that finished in between is seen.
    check_deployment(applier.session(), config).await?;
    if applier.checkpoint().is_level() {
        applier.end_lanes().await?;
    }
    let mut blue_session = Session::open(&config.blue).await?;
    let blue = Server::probe(&mut blue_session).await?;
    check_source(&blue, &config.blue)?;
    check_checkpoint(&mut blue_session, &blue, applier.checkpoint()).await?;
    let defaults = Defaults::read(&mut blue_session, blue.version).await?;
    let statements = Statements::new(config.green.clone(), green.version, Stream::Forward, owner, defaults);
    let mut rules = Rules::new(green.version);
    rules.ways = config.ways.clone();
    blue_session.close().await;
    objects::check_no_trigger(&mut green_session).await?;
    let tables = net::targets(&mut green_session).await?;
    let kept = deployment::kept_tables(&mut green_session).await?;
    green_session.close().await;
    let planner = planner(tables, green.version.flavor, &blue, applier.checkpoint()).with_kept(kept);
    let position = applier.checkpoint().start_again().clone();
    applier.follow(blue.identity.clone());
    let lanes = Lanes::new(config.green.clone(), green, config.lanes);
    let mut request = DumpRequest::new(position.clone(), config.server_id);
    request.heartbeat = config.heartbeat;
    let dump = Dump::open(&config.blue, &blue, &request).await?;
    let mut options = DecoderOptions::new(blue.version.flavor, position.coordinates.clone());
    options.initial_checksum = blue.binlog.has_checksums();
    instruments.progress.send_modify(|progress| {
        progress.state = State::Replicating;
        progress.checkpoint = Some(applier.checkpoint().clone());
    });
    tracing::info!(%position, "replicating");
    stages::run(
        dump,
        Assembler::new(options)
            .with_parts(planning::GROUP_BYTES)
            .with_unprepared(applier.checkpoint().resume.is_some()),
        planner,
        rules,
        Green { applier: &mut applier, lanes, statements: &statements },
        instruments,
        stop,
    )
    .await
}

/// A planner that goes on behind a checkpoint.
pub(super) fn planner(tables: Vec<Table>, flavor: Flavor, blue: &Server, checkpoint: &Checkpoint) -> Planner {
    let position = checkpoint.position.clone();
    // In one server's log the coordinates say what is before a position, whatever order the GTIDs are in.
    let telling = |position: &Position| {
        let gtid = position.gtid.clone().filter(|_| checkpoint.source != blue.identity);
        Position::new(position.coordinates.clone(), gtid)
    };
    let planner = Planner::new(tables, flavor, position.clone());
    if !checkpoint.lanes.is_empty() {
        let ahead = checkpoint.lanes.iter().map(|lane| (*lane != position).then(|| telling(lane)));
        return planner.with_lanes(ahead.collect());
    }
    match checkpoint.resume.clone() {
        Some(start) => planner.with_replay(start, telling(&position)),
        None => planner,
    }
}

/// Blue's settings that replication cannot work with.
fn check_source(blue: &Server, url: &ServerUrl) -> Result<()> {
    match preflight::refusals("blue", blue).into_iter().next() {
        None => Ok(()),
        Some(error) => Err(error.at(|place| place.server = Some(url.address()))),
    }
}

/// Tables that both servers have must be alike. What only one has is found out by its first change.
fn compare_tables(blue: &[Table], green: &[Table]) -> Result<()> {
    let green: HashMap<&TableName, &Table> = green.iter().map(|table| (&table.name, table)).collect();
    blue.iter()
        .filter_map(|table| Some((table, green.get(&table.name)?)))
        .try_for_each(|(blue, green)| plan::compare(blue, green))
}

async fn check_deployment(green: &mut Session, config: &ReplicationConfig) -> Result<()> {
    let Some(deployment) = Deployment::read(green).await? else { return Ok(()) };
    let may_run = match deployment.status {
        Status::Available => true,
        Status::SwitchoverInProgress => config.is_switchover,
        _ => false,
    };
    if may_run {
        return Ok(());
    }
    let message = format!("the deployment is {}, so blue's changes are not applied", deployment.status.name());
    let advice = match deployment.status {
        Status::Provisioning => "let `create` finish, or start it again",
        Status::SwitchoverInProgress => "let the switchover finish, or run `switchover` again",
        Status::SwitchoverCompleted => "green is production now",
        _ => "look at `status`",
    };
    Err(Error::new(ErrorKind::State, message)
        .with_advice(advice)
        .at(|place| place.server = Some(config.green.address())))
}

/// The checkpoint's position must be one of this blue, which must still have the log from there on.
async fn check_checkpoint(session: &mut Session, blue: &Server, checkpoint: &Checkpoint) -> Result<()> {
    let has_gtid = checkpoint.position.gtid.is_some() && blue.binlog.has_gtid;
    // GTIDs name a transaction on every server of a topology; coordinates mean something on one server only.
    if checkpoint.source != blue.identity && !has_gtid {
        return Err(Error::new(
            ErrorKind::Position,
            "the checkpoint on green was taken on another server than this blue",
        )
        .at(|place| place.server = Some(session.address().to_owned())));
    }
    source::check_start(session, blue, checkpoint.start_again()).await
}

async fn first_position(session: &mut Session, blue: &Server, from: Option<&StartPosition>) -> Result<Position> {
    let flavor = blue.version.flavor;
    match from {
        None => Err(Error::new(ErrorKind::State, "green has no checkpoint")
            .with_advice("build green with `create`, or say with `--from` where its data stands")),
        Some(StartPosition::Current) => blue.head(session).await,
        Some(StartPosition::File(coordinates)) => Ok(Position::new(coordinates.clone(), None)),
        Some(StartPosition::Gtid(text)) => {
            if !blue.binlog.has_gtid {
                return Err(Error::new(ErrorKind::Position, "blue has no GTIDs")
                    .with_advice("start with file:NAME:OFFSET, or set gtid_mode=ON on blue"));
            }
            let gtid = GtidPosition::parse(flavor, text).map_err(|reason| {
                Error::new(ErrorKind::Config, reason).with_advice("write gtid:SET as blue prints it")
            })?;
            Ok(Position::new(Coordinates::new("", 4), Some(gtid)))
        }
        Some(StartPosition::Beginning) => {
            let oldest = blue.logs(session).await?.into_iter().next();
            let oldest = oldest.ok_or_else(|| Error::new(ErrorKind::Setting, "blue has no binlog"))?;
            let gtid = match flavor {
                Flavor::MySql if blue.binlog.has_gtid => {
                    let text =
                        session.first("SELECT @@global.gtid_purged").await?.map(|row| row.text(0)).unwrap_or_default();
                    Some(blue.parse_gtid(&text)?)
                }
                // MariaDB does not say what came before its oldest file.
                _ => None,
            };
            Ok(Position::new(Coordinates::new(oldest.file, 4), gtid))
        }
    }
}
