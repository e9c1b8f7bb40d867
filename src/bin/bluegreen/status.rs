use std::path::Path;
use std::time::Duration;

use bluegreen::pipeline::overview;
use bluegreen::{Error, Result};
use serde_json::{Value, json};

use crate::arguments::Status;
use crate::config::Settings;
use crate::control;
use crate::graph::Graph;
use crate::output::{self, Answer, count};
use crate::stop::Stop;

/// Pause between two pictures of `--watch`.
const PAUSE: Duration = Duration::from_secs(2);

pub(crate) async fn status(arguments: Status, config: Option<&Path>, json: bool, mut stop: Stop) -> Result<Answer> {
    let settings = Settings::read(config, &arguments.servers)?;
    let mut graph = Graph::default();
    loop {
        tokio::select! {
            picture = picture(&settings) => {
                let picture = picture?;
                graph.add(picture.pointer("/replication/lag/seconds").and_then(Value::as_f64));
                if json { output::document(&picture) } else { print_with(&picture, &graph) }
            }
            () = stop.requested() => return Ok(Answer::Yes),
        }
        if !arguments.watch {
            return Ok(Answer::Yes);
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = stop.requested() => return Ok(Answer::Yes),
        }
    }
}

/// From the process that runs the deployment, else looked at from here.
async fn picture(settings: &Settings) -> Result<Value> {
    if let Some(socket) = &settings.control
        && let Some(answered) = control::ask(socket, &json!({ "verb": "status" })).await?
    {
        return Ok(answered.document);
    }
    let overview = Box::pin(overview(&settings.blue()?, &settings.green()?, None)).await?;
    serde_json::to_value(&overview)
        .map_err(|error| Error::new(bluegreen::ErrorKind::Internal, format!("the status is no JSON: {error}")))
}

/// The table for people.
pub(crate) fn print(picture: &Value) {
    print_with(picture, &Graph::default());
}

fn print_with(picture: &Value, graph: &Graph) {
    let at = |path: &str| picture.pointer(path).unwrap_or(&Value::Null);
    let text = |path: &str| match at(path) {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let figure = |path: &str, unit: &str| match at(path) {
        Value::Null => "-".to_owned(),
        Value::Number(number) => match number.as_u64() {
            Some(whole) => format!("{} {unit}", count(whole)),
            None => format!("{:.1} {unit}", number.as_f64().unwrap_or_default()),
        },
        other => other.to_string(),
    };
    let row = |name: &str, value: String| output::line(format_args!("{name:<14} {value}"));
    row("deployment", format!("{}, {}", text("/deployment/name"), text("/deployment/status")));
    row("production", text("/deployment/production"));
    let reason = match at("/replication/reason") {
        Value::String(reason) => format!(": {reason}"),
        _ => String::new(),
    };
    row("replication", format!("{}{reason}", text("/replication/state")));
    row("checkpoint", point(at("/replication/checkpoint")));
    row("blue's head", point(at("/replication/blue_head")));
    let lag = |part: &str| match at(&format!("/replication/lag{part}/unknown")) {
        Value::String(why) => format!("not known: {why}"),
        _ => [("seconds", "s"), ("transactions", "transactions"), ("bytes", "bytes")]
            .map(|(key, unit)| figure(&format!("/replication/lag{part}/{key}"), unit))
            .join(", "),
    };
    row("lag", lag(""));
    if graph.has_course() {
        row("  its course", format!("{graph}, every {} s", PAUSE.as_secs()));
    }
    if !at("/replication/stream").is_null() {
        row("  transport", lag("/transport"));
        row("  apply", lag("/apply"));
    }
    if let Some(ahead) = at("/replication/lag/clocks/green_ahead_seconds").as_f64() {
        let uncertain = at("/replication/lag/clocks/uncertain_by_seconds").as_f64().unwrap_or_default();
        row("green's clock", format!("{ahead:+.3} s beside blue's (within {uncertain:.3} s)"));
    }
    row("apply rate", figure("/replication/apply_rows_per_second", "rows/s"));
    row("caught up in", figure("/replication/caught_up_in_seconds", "s"));
    let stream = at("/replication/stream");
    if !stream.is_null() {
        row("applied", applied(stream));
        row("stages", stages(stream));
    }
    row("conflicts", format!("{} open, {} in all", text("/conflicts/open"), text("/conflicts/total")));
    row("verification", text("/verification/state"));
    guardrails(at("/guardrails"));
    guardrails(at("/drift"));
}

/// The guardrails' lines, of a status or of a switchover's report.
/// What the stream in the running process did since its start, and the size of its last group.
fn applied(stream: &Value) -> String {
    let number = |key: &str| stream.pointer(key).and_then(Value::as_u64).unwrap_or_default();
    let mut text = format!(
        "{} transactions, {} row changes, {} in {} groups",
        count(number("/transactions")),
        count(number("/row_changes")),
        output::bytes(number("/bytes")),
        count(number("/groups"))
    );
    if stream["last_group"].is_object() {
        text.push_str(&format!("; the last of {} row changes", count(number("/last_group/row_changes"))));
        if number("/last_group/lanes") > 1 {
            text.push_str(&format!(" over {} lanes", number("/last_group/lanes")));
        }
    }
    if stream["open_transaction"].is_object() {
        text.push_str(&format!(
            "; {} rows ({}) of a large transaction written",
            count(number("/open_transaction/row_changes")),
            output::bytes(number("/open_transaction/bytes"))
        ));
    }
    text
}

/// Where the stream's time went, and what waits in it.
fn stages(stream: &Value) -> String {
    let seconds = stream.pointer("/stages/seconds").and_then(Value::as_object);
    let mut parts: Vec<String> = ["blue", "decode", "plan", "render", "green"]
        .into_iter()
        .filter_map(|stage| Some(format!("{stage} {:.1} s", seconds?.get(stage)?.as_f64()?)))
        .collect();
    for queue in ["events", "transactions"] {
        let bytes = stream.pointer(&format!("/stages/queued_bytes/{queue}")).and_then(Value::as_u64);
        parts.extend(bytes.filter(|bytes| *bytes > 0).map(|bytes| format!("{} of {queue} wait", output::bytes(bytes))));
    }
    parts.join(", ")
}

pub(crate) fn guardrails(list: &Value) {
    for guardrail in list.as_array().into_iter().flatten() {
        let text = |key: &str| guardrail.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        output::line(format_args!("{:>8}  {:<26} {}", text("verdict"), text("name"), text("evidence")));
        if text("verdict") != "pass" && !text("advice").is_empty() {
            output::line(format_args!("{:>8}  {:<26} -> {}", "", "", text("advice")));
        }
    }
}

fn point(point: &Value) -> String {
    let Some(file) = point.get("file").and_then(Value::as_str) else { return "-".to_owned() };
    let offset = point.get("offset").and_then(Value::as_u64).unwrap_or_default();
    match point.get("gtid").and_then(Value::as_str) {
        Some(gtid) => format!("{file}:{offset} (gtid {gtid})"),
        None => format!("{file}:{offset}"),
    }
}
