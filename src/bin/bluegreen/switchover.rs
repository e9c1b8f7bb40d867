use std::path::Path;
use std::time::Duration;

use bluegreen::pipeline::{dry_run, switch_over};
use bluegreen::switchover::{NoRouting, Outcome, Report, SwitchoverConfig};
use bluegreen::{Error, ErrorKind, Result};
use serde_json::{Value, json};

use crate::arguments::Switchover;
use crate::config::Settings;
use crate::output::{self, Answer};
use crate::stop::Stop;
use crate::{control, progress, status};

pub(crate) async fn switchover(arguments: Switchover, config: Option<&Path>, json: bool, stop: Stop) -> Result<Answer> {
    let settings = Settings::read(config, &arguments.servers)?;
    let bounds = (Duration::from_secs(arguments.timeout), Duration::from_secs(arguments.max_write_block));
    let request = SwitchoverConfig::new(settings.blue()?, settings.green()?).bounds(bounds.0, bounds.1)?;
    let (answer, document) = match hand_over(&settings, &arguments).await? {
        Some(answered) => answered,
        None => Box::pin(alone(&request, arguments.dry_run, stop)).await?,
    };
    if json {
        output::document(&document);
    } else {
        print(&document, answer, arguments.dry_run);
    }
    Ok(answer)
}

/// To the process that runs the deployment: it owns the endpoint, and its stream goes on after an undo.
async fn hand_over(settings: &Settings, arguments: &Switchover) -> Result<Option<(Answer, Value)>> {
    let Some(socket) = &settings.control else { return Ok(None) };
    let request = json!({
        "verb": "switchover",
        "timeout": arguments.timeout,
        "max_write_block": arguments.max_write_block,
        "dry_run": arguments.dry_run,
    });
    let spinner = progress::spinner("switchover");
    spinner.set_message("in the process that runs the deployment");
    let answered = control::ask(socket, &request).await;
    spinner.finish_and_clear();
    Ok(answered?.map(|answered| (answered.answer, answered.document)))
}

async fn alone(request: &SwitchoverConfig, is_dry: bool, stop: Stop) -> Result<(Answer, Value)> {
    let spinner = progress::spinner("switchover");
    let report = if is_dry {
        spinner.set_message("measuring the guardrails");
        stop.or(Box::pin(dry_run(request)), "call it again: nothing was changed").await
    } else {
        spinner.set_message("guardrails, catching up, the switch");
        to_the_end(request, stop).await
    };
    spinner.finish_and_clear();
    let report = report?;
    Ok((answer(&report, is_dry), document(&report)?))
}

/// A switch in the middle is worse than one that is waited for, so a request to stop is answered with a line only: the
/// switchover ends within its own bound in time.
async fn to_the_end(request: &SwitchoverConfig, mut stop: Stop) -> Result<Report> {
    let routing = NoRouting::new();
    let mut switch = Box::pin(switch_over(request, &routing));
    tokio::select! {
        report = &mut switch => return report,
        () = stop.requested() => {
            let limit = request.timeout.as_secs();
            eprintln!("bluegreen: a switchover is not cut in two: it ends or undoes itself first, within {limit} s");
        }
    }
    switch.await
}

pub(crate) fn document(report: &Report) -> Result<Value> {
    serde_json::to_value(report)
        .map_err(|error| Error::new(ErrorKind::Internal, format!("the report is no JSON: {error}")))
}

/// A dry run's yes is that nothing stands in the way.
pub(crate) fn answer(report: &Report, is_dry: bool) -> Answer {
    match report.outcome {
        Outcome::Completed => Answer::Yes,
        Outcome::Unchanged if is_dry && !report.guardrails.iter().any(|check| check.blocks()) => Answer::Yes,
        Outcome::Unchanged => Answer::No,
        Outcome::Ambiguous => Answer::Unknown,
    }
}

/// The report for people.
pub(crate) fn print(report: &Value, answer: Answer, is_dry: bool) {
    let reason = report["reason"].as_str().unwrap_or_default();
    let first = match (report["outcome"].as_str(), is_dry) {
        (_, true) if answer == Answer::Yes => "dry run: a switchover would go ahead; nothing was changed",
        (_, true) => "dry run: a switchover would be refused; nothing was changed",
        (Some("completed"), _) => "green is production now",
        (Some("unchanged"), _) => "blue is production as before",
        _ => "the outcome is NOT KNOWN: a person must look before anybody writes",
    };
    output::line(first);
    if let Some(milliseconds) = report["write_block_ms"].as_f64() {
        output::line(format_args!("  writes were blocked for {milliseconds:.0} ms"));
    }
    let has_passed = is_dry && answer == Answer::Yes;
    if !reason.is_empty() && !has_passed {
        output::line(format_args!("  reason: {reason}"));
    }
    for member in report["members"].as_array().into_iter().flatten().filter(|_| !is_dry) {
        let name = |key: &str| member[key].as_str().unwrap_or_default().to_owned();
        for (old, new) in [("source", "source_new_name"), ("target", "target_new_name")] {
            if name(old) != name(new) {
                output::line(format_args!("  {} is {} now", name(old), name(new)));
            }
        }
    }
    if answer != Answer::Yes || is_dry {
        status::guardrails(&report["guardrails"]);
    }
}
