//! The whole life of a deployment in front of the reader, on throw-away servers, while an application writes.
//!
//! Nothing is staged: every verb is the library's own, the application knows one address, and what is claimed in the end
//! is compared with what its clients noted.

mod narrate;
mod proof;
mod schema;
mod traffic;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use bluegreen::checks::{LagProbe, VerifyConfig};
use bluegreen::create::CreateConfig;
use bluegreen::deployment::{self, DeleteConfig};
use bluegreen::endpoint::Endpoint;
use bluegreen::net::ServerUrl;
use bluegreen::pipeline::{Replication, ReplicationConfig, dry_roll_back, dry_run, overview, switch_over};
use bluegreen::sandbox::{self, Kind, SandboxError, Server};
use bluegreen::switchover::{Endpoints, Outcome, SwitchoverConfig};
use bluegreen::{Error, ErrorKind, Result};
use serde::Serialize;

use self::narrate::Narrator;
use self::proof::{Claim, Writes};
use self::traffic::Traffic;
use crate::arguments::{Demo, Flavor};
use crate::output::{self, Answer, count};
use crate::routes::upstream;
use crate::stop::Stop;
use crate::switchover::Way;
use crate::{create, progress, replicate, status, switchover, verify};

/// How long green may take to catch up with the burst.
const CATCH_UP_LIMIT: Duration = Duration::from_secs(90);

pub(crate) async fn demo(arguments: &Demo, json: bool, mut stop: Stop) -> Result<Answer> {
    let mut narrator = Narrator::new(json);
    let summary = tokio::select! {
        summary = Box::pin(show(arguments, &mut narrator)) => summary?,
        () = stop.requested() => {
            // The servers ended with the future that held them.
            narrator.say("stopped: the servers and their data are gone");
            return Ok(Answer::Yes);
        }
    };
    let holds = summary.claims.iter().all(|claim| claim.holds);
    if json {
        output::document(&summary);
    } else {
        summary.print();
    }
    Ok(if holds { Answer::Yes } else { Answer::No })
}

/// What was measured, as `--json` prints it.
#[derive(Debug, Default, Serialize)]
struct Summary {
    servers: String,
    seconds: f64,
    rows_copied: u64,
    create_seconds: f64,
    lock_ms: u64,
    lag_before_bytes: Option<u64>,
    caught_up_seconds: f64,
    verified_rows: u64,
    write_block_ms: Option<f64>,
    #[serde(skip)]
    switching: Option<(Instant, Instant)>,
    writes: Option<Writes>,
    claims: Vec<Claim>,
}

impl Summary {
    fn claim(&mut self, claim: Claim) -> bool {
        let holds = claim.holds;
        self.claims.push(claim);
        holds
    }

    fn print(&self) {
        let row = |name: &str, value: String| output::line(format_args!("{name:<28} {value}"));
        output::line("\nWhat was measured");
        row("servers", self.servers.clone());
        row("rows copied by create", format!("{} in {:.1} s", count(self.rows_copied), self.create_seconds));
        row("writes held for the snapshot", format!("{} ms", self.lock_ms));
        let behind = self.lag_before_bytes.map_or("-".to_owned(), output::bytes);
        row("lag when replication began", format!("{behind}, gone after {:.1} s", self.caught_up_seconds));
        row("rows verified equal", count(self.verified_rows));
        row("write block of the switch", self.write_block_ms.map_or("-".to_owned(), |ms| format!("{ms:.0} ms")));
        if let Some(writes) = &self.writes {
            row("writes acknowledged", count(writes.acknowledged));
            let gaps = format!("{:.0} ms; {:.0} ms at the switch", writes.longest_gap_ms, writes.switchover_gap_ms);
            row("longest gap a client saw", gaps);
            let errors: Vec<String> = writes.errors.iter().map(|(what, times)| format!("{times} x {what}")).collect();
            row("errors clients saw", if errors.is_empty() { "none".to_owned() } else { errors.join(", ") });
        }
        row("time in all", format!("{:.1} s", self.seconds));
        output::line("\nWhat was checked");
        for claim in &self.claims {
            let verdict = if claim.holds { "ok" } else { "FAILED" };
            output::line(format_args!("{verdict:<7} {}: {}", claim.name, claim.evidence));
        }
        let failed: Vec<&str> = self.claims.iter().filter(|claim| !claim.holds).map(|claim| claim.name).collect();
        if failed.is_empty() {
            output::line("\nEverything that was claimed holds.");
        } else {
            output::line(format_args!("\nThe demo FAILED: {} does not hold", failed.join(", ")));
        }
    }
}

/// The two servers and the address that the application knows.
struct Stage {
    blue: Server,
    green: Server,
    blue_url: ServerUrl,
    green_url: ServerUrl,
    endpoints: Endpoints,
}

impl Stage {
    fn application_address(&self) -> SocketAddr {
        self.endpoints.production().local_addr()
    }
}

async fn show(arguments: &Demo, narrator: &mut Narrator) -> Result<Summary> {
    let started = Instant::now();
    let mut summary = Summary::default();
    let mut stage = Box::pin(set_the_stage(arguments.flavor, narrator)).await?;
    summary.servers = format!("{0} -> {0}", stage.blue.kind().label());
    let traffic = Traffic::start(stage.application_address());
    let is_shown = Box::pin(life(arguments, &stage, &traffic, narrator, &mut summary)).await?;
    let records = traffic.finish().await;
    if is_shown {
        Box::pin(prove(&stage, &records, narrator, &mut summary)).await?;
    }
    if arguments.keep {
        for (role, server) in [("blue", &mut stage.blue), ("green", &mut stage.green)] {
            let folder = server.keep().display().to_string();
            narrator.say(format!("{role} is kept in {folder}; the server ends with the demo, and starts again with"));
            narrator.say(format!("{:?}", server.command()));
            narrator.say(format!("and is reached at {}", server.url()));
        }
    }
    summary.seconds = started.elapsed().as_secs_f64();
    Ok(summary)
}

async fn set_the_stage(flavor: Flavor, narrator: &mut Narrator) -> Result<Stage> {
    let kind = match flavor {
        Flavor::Mysql => Kind::MySql97,
        Flavor::Mariadb => Kind::MariaDb1011,
    };
    narrator.step("the stage", &format!("two throw-away servers, {}, and a shop on blue", kind.label()));
    let spinner = progress::spinner("servers");
    spinner.set_message("fetching, once");
    let fetched = |line: &str| {
        spinner.set_message(line.to_owned());
        if !progress::is_watched() {
            narrator.say(line);
        }
    };
    Box::pin(sandbox::fetch(kind, &fetched)).await.map_err(|error| from_sandbox(&error))?;
    spinner.set_message("starting blue and green");
    let start = || Box::pin(Server::builder(kind).start());
    let (blue, green) = tokio::try_join!(start(), start()).map_err(|error| from_sandbox(&error))?;
    spinner.set_message("filling the shop");
    let rows = async {
        schema::account(&blue).await?;
        schema::account(&green).await?;
        schema::shop(&blue).await
    };
    let rows = rows.await.map_err(|error| from_sandbox(&error))?;
    spinner.finish_and_clear();
    let (blue_url, green_url): (ServerUrl, ServerUrl) = (blue.url().parse()?, green.url().parse()?);
    let upstreams = (upstream(&blue_url), upstream(&green_url));
    let bind = |upstream| Endpoint::bind((Ipv4Addr::LOCALHOST, 0), upstream);
    let endpoints = async {
        let production = bind(upstreams.0.clone()).await?;
        let other = bind(upstreams.1.clone()).await?;
        Ok(Endpoints::new(production, Some(other), upstreams.0, upstreams.1))
    };
    let endpoints = endpoints.await.map_err(|error: std::io::Error| {
        Error::new(ErrorKind::Io, format!("an endpoint cannot listen on 127.0.0.1: {error}"))
    })?;
    narrator.say(format!("blue is at {blue_url}, green at {green_url}; {} rows on blue", count(rows)));
    narrator.say(format!(
        "{} clients write over {}: the only address that the application knows",
        traffic::CLIENTS,
        endpoints.production().local_addr()
    ));
    Ok(Stage { blue, green, blue_url, green_url, endpoints })
}

/// Create to switchover. `false`: a claim failed, and nothing after it makes sense.
async fn life(
    arguments: &Demo,
    stage: &Stage,
    traffic: &Traffic,
    narrator: &mut Narrator,
    summary: &mut Summary,
) -> Result<bool> {
    let pause = |share: f64| tokio::time::sleep(Duration::from_secs_f64(arguments.seconds as f64 * share));
    let urls = || (stage.blue_url.clone(), stage.green_url.clone());
    pause(0.15).await;

    narrator.step("create", "green is built from blue, while the application writes");
    let created = create::build(&CreateConfig::new("mydb1", urls().0, urls().1)?).await?;
    summary.rows_copied = created.rows;
    summary.create_seconds = created.seconds;
    summary.lock_ms = created.lock_millis;
    narrator.show(|| create::print(&created));

    narrator.step("replicate", "green catches up from exactly there, and stays in step");
    schema::burst(&stage.blue, 40, 1_000).await.map_err(|error| from_sandbox(&error))?;
    narrator.say("a campaign wrote 40,000 rows more on blue in the meantime");
    let mut lag = LagProbe::new(urls().0, urls().1);
    summary.lag_before_bytes = lag.measure().await.bytes();
    let replication = Box::pin(Replication::start(ReplicationConfig::new(urls().0, urls().1))).await?;
    summary.caught_up_seconds = catch_up(&replication, &mut lag, narrator).await?;

    narrator.step("status", "what is known of the deployment");
    let seen = Box::pin(overview(&stage.blue_url, &stage.green_url, Some(&replication.progress()))).await?;
    let seen = serde_json::to_value(&seen)
        .map_err(|error| Error::new(ErrorKind::Internal, format!("the status is no JSON: {error}")))?;
    narrator.show(|| status::print(&seen));
    pause(0.35).await;

    narrator.step("verify", "every row compared, while both work");
    let found = verify::compare(&VerifyConfig::new(urls().0, urls().1)).await?;
    summary.verified_rows = found.rows;
    narrator.show(|| verify::print(&found));
    let evidence = format!(
        "{} rows in {} tables, {} differences, {} not compared",
        count(found.rows),
        found.tables,
        found.difference_count(),
        found.unverified.len()
    );
    if !summary.claim(Claim::new("green_equals_blue", found.equal, evidence)) {
        return Ok(false);
    }

    let config = SwitchoverConfig::new(urls().0, urls().1);
    narrator.step("switchover --dry-run", "would every guardrail let it pass?");
    let report = Box::pin(dry_run(&config)).await?;
    let answer = switchover::answer(&report, true);
    let document = switchover::document(&report)?;
    narrator.show(|| switchover::print(Way::There, &document, answer, true));
    let evidence = report.reason.clone().unwrap_or_default();
    if !summary.claim(Claim::new("guardrails_pass", answer == Answer::Yes, evidence)) {
        return Ok(false);
    }

    narrator.step("switchover", "green becomes production, under load");
    let before = traffic.acknowledged();
    // The switchover has a stream of its own.
    replication.stop().await?;
    let began = Instant::now();
    let report = Box::pin(switch_over(&config, &stage.endpoints)).await?;
    summary.switching = Some((began, Instant::now()));
    let document = switchover::document(&report)?;
    narrator.show(|| switchover::print(Way::There, &document, switchover::answer(&report, false), false));
    summary.write_block_ms = report.write_block_ms;
    let is_completed = report.outcome == Outcome::Completed;
    let evidence = report.reason.clone().unwrap_or_else(|| "the outcome is completed".to_owned());
    if !summary.claim(Claim::new("switchover_completed", is_completed, evidence)) {
        return Ok(false);
    }
    pause(0.5).await;
    let after = traffic.acknowledged();
    narrator.say(format!(
        "{} writes got an OK before, {} since: the application goes on",
        count(before),
        count(after - before)
    ));

    narrator.step("rollback --dry-run", "blue follows green from exactly there: would a way back lose anything?");
    let report = Box::pin(dry_roll_back(&config)).await?;
    let answer = switchover::answer(&report, true);
    let document = switchover::document(&report)?;
    narrator.show(|| switchover::print(Way::Back, &document, answer, true));
    let evidence = report.reason.clone().unwrap_or_default();
    Ok(summary.claim(Claim::new("rollback_possible", answer == Answer::Yes, evidence)))
}

/// Shows the lag as it falls; answers how long that took, in seconds.
async fn catch_up(replication: &Replication, lag: &mut LagProbe, narrator: &Narrator) -> Result<f64> {
    let began = Instant::now();
    let mut bar = None;
    let mut said = Instant::now() - Duration::from_secs(1);
    let result = loop {
        let now = lag.measure().await;
        let text = replicate::lag_text(&now);
        if let Some(bytes) = now.bytes() {
            let bar = bar.get_or_insert_with(|| progress::bar("catch up", bytes.max(1)));
            bar.set_position(bar.length().unwrap_or(0).saturating_sub(bytes));
            bar.set_message(text.clone());
        }
        // Under load it is never quite nothing for long; a few kB are what is on its way.
        if now.is_zero() || now.bytes().is_some_and(|bytes| bytes < 20_000) {
            narrator.say(format!("caught up: {text}"));
            break Ok(began.elapsed().as_secs_f64());
        }
        if said.elapsed() >= Duration::from_millis(500) {
            narrator.say(text);
            said = Instant::now();
        }
        if let Some(reason) = replication.progress().borrow().state.reason() {
            break Err(Error::new(ErrorKind::State, format!("replication does not go on: {reason}")));
        }
        if began.elapsed() > CATCH_UP_LIMIT {
            break Err(Error::new(ErrorKind::Timeout, "green did not catch up with blue in time"));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    result
}

async fn prove(
    stage: &Stage,
    records: &[traffic::Record],
    narrator: &mut Narrator,
    summary: &mut Summary,
) -> Result<()> {
    narrator.step("the new production", "is every write there, and who answers at the address?");
    let failed = |error: mysql_async::Error| {
        Error::new(ErrorKind::Disconnected, format!("the new production cannot be read: {error}"))
    };
    let address = stage.application_address();
    let port = Box::pin(proof::server_behind(address)).await.map_err(failed)?;
    let evidence = format!("{address} leads to the server on port {port}; green is on {}", stage.green.port());
    summary.claim(Claim::new("address_leads_to_green", port == stage.green.port(), evidence));
    let switching = summary.switching.unwrap_or((Instant::now(), Instant::now()));
    let writes = Box::pin(proof::writes(records, switching, address)).await.map_err(failed)?;
    summary.claim(writes.claim());
    summary.writes = Some(writes);
    let old = SocketAddr::from((Ipv4Addr::LOCALHOST, stage.blue.port()));
    summary.claim(Box::pin(proof::refuses_writes(old)).await);

    narrator.step("delete", "the deployment ends; both servers and their data stay");
    let deleted =
        deployment::delete(&DeleteConfig::new(stage.green_url.clone()).with_blue(stage.blue_url.clone())).await?;
    narrator.say(format!("the deployment {} is gone; it was {}", deleted.name, deleted.status.name()));
    let mut left = String::new();
    for server in [&stage.blue, &stage.green] {
        left += &server.sql("SHOW DATABASES LIKE 'bluegreen'").await.map_err(|error| from_sandbox(&error))?;
    }
    let evidence = "nothing of bluegreen is left on either server";
    summary.claim(Claim::new("delete_leaves_nothing", left.is_empty(), evidence));
    Ok(())
}

/// With its causes: a failed download says why only there.
fn from_sandbox(error: &SandboxError) -> Error {
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        message.push_str(&format!(": {error}"));
        cause = error.source();
    }
    Error::new(ErrorKind::Io, message)
}
