use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use bluegreen::Result;
use bluegreen::checks::Check;
use bluegreen::create::{self, CreateConfig, Created, Progress};
use bluegreen::switchover::Point;
use indicatif::HumanDuration;
use serde_json::json;

use crate::arguments::Create;
use crate::config::Settings;
use crate::output::{self, Answer, count};
use crate::stop::Stop;
use crate::{not_yet, progress, status};

pub(crate) async fn create(arguments: Create, config: Option<&Path>, json: bool, stop: Stop) -> Result<Answer> {
    for (is_given, what) in [
        (!arguments.green_replica.is_empty(), "--green-replica"),
        (arguments.tables.is_some(), "--tables"),
        (arguments.rename.is_some(), "--rename"),
    ] {
        if is_given {
            return Err(not_yet(what));
        }
    }
    let settings = Settings::read(config, &arguments.servers)?;
    let name = arguments.name.or_else(|| settings.name.clone()).unwrap_or_else(|| "mydb1".to_owned());
    let create = CreateConfig::new(name, settings.blue()?, settings.green()?)?
        .with_tables_at_once(arguments.tables_at_once)?
        .with_green_variables(settings.green_variables)?
        .with_resume(arguments.resume);
    if arguments.dry_run {
        return dry_run(&create, json, stop).await;
    }
    let created = stop.or(build(&create), "call `create --resume`: it goes on from there").await?;
    if json {
        output::document(&as_json(&created));
    } else {
        print(&created);
    }
    Ok(Answer::Yes)
}

async fn dry_run(config: &CreateConfig, json: bool, stop: Stop) -> Result<Answer> {
    let looking = async { Ok(create::dry_run(config).await) };
    let checks: Vec<Check> = stop.or(Box::pin(looking), "nothing was changed").await?;
    let is_refused = checks.iter().any(Check::blocks);
    let document = json!({ "checks": checks });
    match json {
        true => output::document(&document),
        false => status::guardrails(&document["checks"]),
    }
    Ok(if is_refused { Answer::No } else { Answer::Yes })
}

/// Builds green, with a bar.
pub(crate) async fn build(config: &CreateConfig) -> Result<Created> {
    let bar = progress::bar("create", 0);
    let has_begun = AtomicBool::new(false);
    let show = |at: Progress| {
        // The total is blue's estimate.
        bar.set_length(at.rows_total_estimate.max(at.rows_done));
        bar.set_position(at.rows_done);
        if !has_begun.swap(true, Ordering::Relaxed) {
            // What an earlier one copied says nothing of the pace of this one.
            bar.reset_eta();
        }
        let tables = format!("{} of {} tables", at.tables_done, at.tables_total);
        let (rate, left) = (count(bar.per_sec() as u64), HumanDuration(bar.eta()));
        let done = format!("{} rows, {}, {tables}", count(at.rows_done), output::bytes(at.bytes_done));
        bar.set_message(format!("{done}, {rate} rows/s, about {left} left"));
    };
    let created = Box::pin(create::create(config, show)).await;
    bar.finish_and_clear();
    created
}

fn as_json(created: &Created) -> serde_json::Value {
    json!({
        "deployment": { "name": created.deployment.name, "status": created.deployment.status },
        "green": created.deployment.green_name(),
        "position": Point::from(&created.position),
        "tables": created.tables,
        "rows": created.rows,
        "seconds": created.seconds,
        "lock_ms": created.lock_millis,
        "warnings": created.warnings,
    })
}

pub(crate) fn print(created: &Created) {
    output::line(format_args!(
        "{} is built and read-only: {} tables, {} rows in {:.1} s",
        created.deployment.green_name(),
        created.tables,
        count(created.rows),
        created.seconds,
    ));
    output::line(format_args!("  it is blue at {}", created.position));
    output::line(format_args!("  blue's writes waited {} ms for the snapshot", created.lock_millis));
    for warning in &created.warnings {
        output::line(format_args!("  warning: {warning}"));
    }
    output::line("next: bluegreen replicate");
}
