use std::path::Path;
use std::time::Duration;

use bluegreen::pipeline::{dry_roll_back, dry_run, roll_back, switch_over};
use bluegreen::switchover::{Outcome, Report, Routing, SwitchoverConfig};
use bluegreen::{Error, ErrorKind, Result};
use serde_json::{Value, json};

use crate::arguments::Switchover;
use crate::config::Settings;
use crate::output::{self, Answer};
use crate::routes::Routes;
use crate::stop::Stop;
use crate::{control, progress, status};

/// A switchover, or a rollback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    There,
    Back,
}

impl Way {
    pub(crate) fn verb(self) -> &'static str {
        match self {
            Way::There => "switchover",
            Way::Back => "rollback",
        }
    }
}

pub(crate) async fn switchover(
    way: Way,
    arguments: Switchover,
    config: Option<&Path>,
    json: bool,
    stop: Stop,
) -> Result<Answer> {
    let settings = Settings::read(config, &arguments.servers)?;
    let bounds = (Duration::from_secs(arguments.timeout), Duration::from_secs(arguments.max_write_block));
    let request = SwitchoverConfig::new(settings.blue()?, settings.green()?)
        .bounds(bounds.0, bounds.1)?
        .killing_blockers(arguments.kill_blockers);
    let (answer, document) = match hand_over(way, &settings, &arguments).await? {
        Some(answered) => answered,
        None => {
            let mut routes = Routes::outside(settings.endpoint.as_ref(), &request.blue, &request.green)?;
            if way == Way::Back {
                routes = routes.reversed();
            }
            let request = request.checked(routes.check().await.into_iter().collect());
            Box::pin(alone(way, &request, &routes, arguments.dry_run, stop)).await?
        }
    };
    if json {
        output::document(&document);
    } else {
        print(way, &document, answer, arguments.dry_run);
    }
    Ok(answer)
}

/// To the process that runs the deployment: it owns the endpoint, and its stream goes on after an undo.
async fn hand_over(way: Way, settings: &Settings, arguments: &Switchover) -> Result<Option<(Answer, Value)>> {
    let Some(socket) = &settings.control else { return Ok(None) };
    let request = json!({
        "verb": way.verb(),
        "timeout": arguments.timeout,
        "max_write_block": arguments.max_write_block,
        "kill_blockers": arguments.kill_blockers,
        "dry_run": arguments.dry_run,
    });
    let spinner = progress::spinner(way.verb());
    spinner.set_message("in the process that runs the deployment");
    let answered = control::ask(socket, &request).await;
    spinner.finish_and_clear();
    Ok(answered?.map(|answered| (answered.answer, answered.document)))
}

async fn alone(
    way: Way,
    request: &SwitchoverConfig,
    routes: &Routes,
    is_dry: bool,
    stop: Stop,
) -> Result<(Answer, Value)> {
    let spinner = progress::spinner(way.verb());
    let report = if is_dry {
        spinner.set_message("measuring the guardrails");
        let dry = async {
            match way {
                Way::There => Box::pin(dry_run(request)).await,
                Way::Back => Box::pin(dry_roll_back(request)).await,
            }
        };
        stop.or(dry, "call it again: nothing was changed").await
    } else {
        spinner.set_message("guardrails, catching up, the switch");
        to_the_end(way, request, routes, stop).await
    };
    spinner.finish_and_clear();
    let report = report?;
    Ok((answer(&report, is_dry), document(&report)?))
}

/// A switch in the middle is worse than one that is waited for, so a request to stop is answered with a line only: the
/// switchover ends within its own bound in time.
async fn to_the_end(way: Way, request: &SwitchoverConfig, routes: &Routes, mut stop: Stop) -> Result<Report> {
    let mut switch = Box::pin(async {
        match way {
            Way::There => switch_over(request, routes).await,
            Way::Back => roll_back(request, routes).await,
        }
    });
    tokio::select! {
        report = &mut switch => return report,
        () = stop.requested() => {
            let limit = request.timeout.as_secs();
            eprintln!("bluegreen: a {} is not cut in two: it ends or undoes itself first, within {limit} s", way.verb());
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

/// The steps of the write block, in brackets.
fn steps(steps: &Value) -> String {
    let step = |step: &Value| {
        let name = step["step"].as_str().unwrap_or_default().replace('_', " ");
        format!("{name} {:.0}", step["ms"].as_f64().unwrap_or_default())
    };
    let steps: Vec<String> = steps.as_array().into_iter().flatten().map(step).collect();
    if steps.is_empty() { String::new() } else { format!(" ({})", steps.join(", ")) }
}

/// The report for people.
pub(crate) fn print(way: Way, report: &Value, answer: Answer, is_dry: bool) {
    let reason = report["reason"].as_str().unwrap_or_default();
    let (from, to) = match way {
        Way::There => ("blue", "green"),
        Way::Back => ("green", "blue"),
    };
    let verb = way.verb();
    let first = match (report["outcome"].as_str(), is_dry) {
        (_, true) if answer == Answer::Yes => format!("dry run: a {verb} would go ahead; nothing was changed"),
        (_, true) => format!("dry run: a {verb} would be refused; nothing was changed"),
        (Some("completed"), _) => format!("{to} is production now"),
        (Some("unchanged"), _) => format!("{from} is production as before"),
        _ => "the outcome is NOT KNOWN: a person must look before anybody writes".to_owned(),
    };
    output::line(first);
    if let Some(milliseconds) = report["write_block_ms"].as_f64() {
        output::line(format_args!("  writes were blocked for {milliseconds:.0} ms{}", steps(&report["steps"])));
    }
    let has_passed = is_dry && answer == Answer::Yes;
    if !reason.is_empty() && !has_passed {
        output::line(format_args!("  reason: {reason}"));
    }
    for effect in report["effects"].as_array().into_iter().flatten() {
        let text = |key: &str| effect[key].as_str().unwrap_or("not known").to_owned();
        output::line(format_args!("  {}: {} (asked for: {})", text("target"), text("observed"), text("intended")));
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
