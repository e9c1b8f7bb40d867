use std::collections::BTreeSet;
use std::path::Path;

use bluegreen::checks::{Verifier, VerifyConfig};
use bluegreen::model::TableName;
use bluegreen::net::ServerUrl;
use bluegreen::repair::repair;
use bluegreen::watch::{self, ForeignWrite};
use bluegreen::{Error, ErrorKind, Result};
use serde_json::{Value, json};

use crate::arguments::Conflicts;
use crate::config::Settings;
use crate::control;
use crate::output::{self, Answer, count};
use crate::stop::Stop;

/// Entries that are named to people; JSON has all.
const NAMED: usize = 50;

pub(crate) async fn conflicts(arguments: Conflicts, config: Option<&Path>, json: bool, stop: Stop) -> Result<Answer> {
    let settings = Settings::read(config, &arguments.servers)?;
    let request = json!({ "verb": "conflicts", "acknowledge": arguments.acknowledge });
    let work = async {
        let first = ask(&settings, &request).await?;
        match arguments.repair {
            true => {
                repair_written(&settings).await?;
                answer(&settings.green()?, &json!({})).await
            }
            false => Ok(first),
        }
    };
    let (answer, document) = stop.or(Box::pin(work), "call `conflicts` again").await?;
    if json {
        output::document(&document);
    } else {
        print(&document);
    }
    Ok(answer)
}

/// From the process that runs the deployment, whose watch is level with green's log; else the log is read from here.
async fn ask(settings: &Settings, request: &Value) -> Result<(Answer, Value)> {
    if let Some(socket) = &settings.control
        && let Some(answered) = control::ask(socket, request).await?
    {
        return Ok((answered.answer, answered.document));
    }
    let green = settings.green()?;
    watch::scan(&green, true).await?;
    answer(&green, request).await
}

/// Compares the tables that others wrote to, copies the rows that differ from blue, and compares again. Writes to tables
/// that are equal then are settled.
async fn repair_written(settings: &Settings) -> Result<()> {
    let (blue, green) = (settings.blue()?, settings.green()?);
    let open: Vec<ForeignWrite> = watch::journal(&green).await?.into_iter().filter(ForeignWrite::is_open).collect();
    let Some(last) = open.iter().map(|write| write.id).max() else { return Ok(()) };
    let name = |write: &ForeignWrite| Some(TableName::new(write.schema.clone()?, write.table.clone()?));
    let written: BTreeSet<TableName> = open.iter().filter_map(name).collect();
    let mut config = VerifyConfig::new(blue, green.clone());
    config.tables = Some(written.iter().cloned().collect());
    let mut verifier = Verifier::new(config);
    let mut now = Box::pin(verifier.full(|_| ())).await?;
    if !now.equal {
        Box::pin(repair(&verifier)).await?;
        now = Box::pin(verifier.again(|_| ())).await?;
    }
    let is_equal = |table: &&TableName| {
        !now.differences.iter().any(|difference| difference.table == **table)
            && !now.unverified.iter().any(|unverified| unverified.table == **table)
    };
    let equal: Vec<TableName> = written.iter().filter(is_equal).cloned().collect();
    watch::mark_repaired(&green, &equal, last).await?;
    Ok(())
}

/// What the journal holds, after what was asked for. No: some of it is open.
pub(crate) async fn answer(green: &ServerUrl, request: &Value) -> Result<(Answer, Value)> {
    let ids: Vec<u64> = request["acknowledge"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
    watch::acknowledge(green, &ids).await?;
    let writes = watch::journal(green).await?;
    let is_open = writes.iter().any(ForeignWrite::is_open);
    let writes = serde_json::to_value(&writes)
        .map_err(|error| Error::new(ErrorKind::Internal, format!("the journal is no JSON: {error}")))?;
    Ok((if is_open { Answer::No } else { Answer::Yes }, json!({ "foreign_writes": writes })))
}

/// A line an entry. Keys are the answer here, so they are shown: on standard output, never in a log.
fn print(document: &Value) {
    let writes = document["foreign_writes"].as_array().map(Vec::as_slice).unwrap_or_default();
    if writes.is_empty() {
        output::line("nobody else wrote on green since it was built");
    }
    for write in writes.iter().take(NAMED) {
        let text = |key: &str| write[key].as_str().unwrap_or("-").to_owned();
        let what = match write["table"].as_str() {
            Some(table) => format!("{} {}.{table} {}", text("kind"), text("schema"), write["key"]),
            None => text("statement"),
        };
        let met = match write["met"]["how"].as_str() {
            Some(how) => {
                let resolution = write["met"]["resolution"].as_str().unwrap_or_default();
                format!("  met blue's change ({how}): {resolution}").replace('_', " ")
            }
            None => String::new(),
        };
        let states = [("repaired", "  repaired"), ("keeps_green", "  green's own"), ("acknowledged", "  acknowledged")];
        let state = states.iter().find(|(key, _)| write[key] == true).map_or("", |(_, words)| words);
        let who = write["account"].as_str().map(|account| format!(" by {account}")).unwrap_or_default();
        output::line(format_args!("{}  {}{who}  {what}{met}{state}", write["id"], text("at")));
    }
    if writes.len() > NAMED {
        output::line(format_args!("and {} more; --json names all", count((writes.len() - NAMED) as u64)));
    }
}
