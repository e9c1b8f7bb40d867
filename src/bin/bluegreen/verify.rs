use std::path::Path;

use bluegreen::Result;
use bluegreen::checks::{self, DifferenceKind, Verification, VerifyConfig, VerifyProgress};
use serde_json::{Map, Value};

use crate::arguments::Verify;
use crate::config::Settings;
use crate::output::{self, Answer, count};
use crate::stop::Stop;
use crate::{not_yet, progress};

/// Differences that are named to people; JSON has all.
const NAMED: usize = 20;

pub(crate) async fn verify(arguments: Verify, config: Option<&Path>, json: bool, stop: Stop) -> Result<Answer> {
    if arguments.repair {
        return Err(not_yet("--repair"));
    }
    let settings = Settings::read(config, &arguments.servers)?;
    let mut verify = VerifyConfig::new(settings.blue()?, settings.green()?);
    verify.tables = arguments.tables;
    let found = stop.or(compare(&verify), "call `verify` again: nothing is known of the rest").await?;
    if json {
        output::document(&found);
    } else {
        print(&found);
    }
    Ok(if found.equal { Answer::Yes } else { Answer::No })
}

/// Compares, with a bar.
pub(crate) async fn compare(config: &VerifyConfig) -> Result<Verification> {
    let bar = progress::bar("verify", 0);
    let show = |at: VerifyProgress| {
        bar.set_length(at.rows_estimate.max(at.rows_done));
        bar.set_position(at.rows_done);
        bar.set_message(format!("{} rows, {} of {} tables", count(at.rows_done), at.tables_done, at.tables_total));
    };
    let found = Box::pin(checks::verify(config, show)).await;
    bar.finish_and_clear();
    found
}

pub(crate) fn print(found: &Verification) {
    let verdict = if found.equal { "green is equal to blue" } else { "green is NOT equal to blue" };
    output::line(format_args!(
        "{verdict}: {} tables, {} rows compared in {:.1} s",
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
