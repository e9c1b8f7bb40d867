use std::path::Path;
use std::time::Duration;

use bluegreen::checks::{DifferenceKind, Scope, Verification, Verifier, VerifyConfig, VerifyProgress};
use bluegreen::deployment::Proof;
use bluegreen::repair::{Repair, repair};
use bluegreen::{ErrorKind, Result};
use serde::Serialize;
use serde_json::{Map, Value};
use tracing::Instrument;

use crate::arguments::Verify;
use crate::config::Settings;
use crate::output::{self, Answer, count};
use crate::progress;
use crate::stop::Stop;

/// Differences that are named to people; JSON has all.
const NAMED: usize = 20;
/// Between two passes of `--continuous`.
const PAUSE: Duration = Duration::from_secs(1);
const AGAIN: &str = "call `verify` again: nothing is known of the rest";

/// What a repair found and did; the comparison behind it is the answer.
#[derive(Serialize)]
struct Repaired {
    #[serde(flatten)]
    now: Verification,
    repair: Repair,
    found: Verification,
}

pub(crate) async fn verify(arguments: Verify, config: Option<&Path>, json: bool, stop: Stop) -> Result<Answer> {
    let settings = Settings::read(config, &arguments.servers)?;
    let mut config = VerifyConfig::new(settings.blue()?, settings.green()?);
    config.tables = arguments.tables;
    let mut verifier = Verifier::new(config);
    if arguments.continuous {
        return again_and_again(&mut verifier, json, stop).await;
    }
    let found = stop.clone().or(full(&mut verifier), AGAIN).await?;
    if found.equal || !arguments.repair {
        return Ok(answer(&found, json));
    }
    let repaired = stop.or(Box::pin(repaired(&mut verifier, found)), AGAIN).await?;
    if json {
        output::document(&repaired);
    } else {
        print(&repaired.found);
        print_repair(&repaired.repair);
        print(&repaired.now);
    }
    Ok(if repaired.now.equal { Answer::Yes } else { Answer::No })
}

/// Compares everything, with a bar.
pub(crate) async fn compare(config: &VerifyConfig) -> Result<Verification> {
    full(&mut Verifier::new(config.clone())).await
}

async fn full(verifier: &mut Verifier) -> Result<Verification> {
    let bar = progress::bar("verify", 0);
    let show = |at: VerifyProgress| {
        bar.set_length(at.rows_estimate.max(at.rows_done));
        bar.set_position(at.rows_done);
        bar.set_message(format!("{} rows, {} of {} tables", count(at.rows_done), at.tables_done, at.tables_total));
    };
    let (blue, green) = (verifier.config().blue.address(), verifier.config().green.address());
    let span = tracing::info_span!("verify", blue, green);
    let found = Box::pin(verifier.full(show)).instrument(span).await;
    bar.finish_and_clear();
    let found = found?;
    keep(verifier, &found).await;
    Ok(found)
}

/// A comparison of everything is kept, where green can keep it: it may have been built by other means.
async fn keep(verifier: &Verifier, found: &Verification) {
    let config = verifier.config();
    if config.tables.is_none()
        && let Err(error) = Proof::from(found).keep(&config.green).await
        && error.kind() != ErrorKind::State
    {
        tracing::warn!(%error, "what was found is not kept on green");
    }
}

async fn repaired(verifier: &mut Verifier, found: Verification) -> Result<Repaired> {
    let repair = Box::pin(repair(verifier)).await?;
    let now = Box::pin(verifier.again(|_| ())).await?;
    keep(verifier, &now).await;
    Ok(Repaired { now, repair, found })
}

/// Until it is stopped; the answer is the last one.
async fn again_and_again(verifier: &mut Verifier, json: bool, mut stop: Stop) -> Result<Answer> {
    let mut last = answer(&stop.clone().or(full(verifier), AGAIN).await?, json);
    loop {
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = stop.requested() => return Ok(last),
        }
        tokio::select! {
            found = Box::pin(verifier.again(|_| ())) => last = answer(&found?, json),
            () = stop.requested() => return Ok(last),
        }
    }
}

fn answer(found: &Verification, json: bool) -> Answer {
    if json {
        output::document(found);
    } else {
        print(found);
    }
    if found.equal { Answer::Yes } else { Answer::No }
}

fn print_repair(repair: &Repair) {
    output::line(format_args!("{} rows were copied from blue", count(repair.rows)));
    if repair.left > 0 {
        output::line(format_args!("  {} rows changed whenever they were to be copied", count(repair.left)));
    }
    for refused in &repair.refused {
        output::line(format_args!("  {}  not repaired: {}", refused.table, refused.reason));
    }
}

pub(crate) fn print(found: &Verification) {
    let verdict = if found.equal { "green is equal to blue" } else { "green is NOT equal to blue" };
    let rows = match found.scope {
        Scope::Changed => "changed rows",
        _ => "rows",
    };
    output::line(format_args!(
        "{verdict}: {} tables, {} {rows} compared in {:.1} s",
        found.tables,
        count(found.rows),
        found.seconds
    ));
    for difference in found.differences.iter().take(NAMED) {
        let kind = match difference.kind {
            DifferenceKind::MissingOnGreen => "missing on green",
            DifferenceKind::ExtraOnGreen => "only on green",
            DifferenceKind::Different => "different",
            _ => "not the same",
        };
        // A key's values are the answer here, so they are shown: on standard output, never in a log.
        let key: Map<String, Value> = difference
            .key
            .iter()
            .map(|(column, value)| (column.clone(), serde_json::to_value(value).unwrap_or(Value::Null)))
            .collect();
        let columns = match difference.columns.as_slice() {
            [] => String::new(),
            columns => format!(" in {}", columns.join(", ")),
        };
        output::line(format_args!("  {}  {}  {kind}{columns}", difference.table, Value::Object(key)));
    }
    let unnamed = found.differences.len().saturating_sub(NAMED) as u64 + found.more;
    if unnamed > 0 {
        output::line(format_args!("  and {} more; --json names up to 10,000 of a table", count(unnamed)));
    }
    for unverified in &found.unverified {
        output::line(format_args!("  {}  not compared: {}", unverified.table, unverified.reason));
    }
}
