use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use bluegreen::apply::Policy;
use bluegreen::model::{Coordinates, StartPosition, TableName};
use bluegreen::plan::Way;
use bluegreen::{Error, ErrorKind};
use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Deserialize;

use crate::binlog::Binlog;
use crate::output;

/// Blue/green deployments for any MySQL or MariaDB.
#[derive(Parser)]
#[command(name = "bluegreen", version, max_term_width = 100)]
pub(crate) struct Arguments {
    /// Standard output is JSON and nothing else.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// The deployment's description, such as bluegreen.toml.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Shows the whole life of a deployment on throw-away servers, under an application's live traffic.
    Demo(Demo),
    /// Builds green from blue: schema and data at one exact position.
    Create(Create),
    /// Applies blue's changes to green, from the checkpoint on.
    Replicate(Replicate),
    /// A deployment's long-running service: replication, the endpoint, the control socket.
    Run(Run),
    /// Shows the deployment: phase, positions, lag, guardrails.
    Status(Status),
    /// Compares blue and green while both work; exit status 0: equal, 1: different.
    Verify(Verify),
    /// Makes green production, or leaves everything as it was.
    Switchover(Switchover),
    /// Ends the deployment; never touches what is production.
    Delete(Delete),
    /// Decodes log files: the rows that changed, and statements. Needs no server.
    Binlog(Binlog),
    /// Lists what was written on green by anyone else, and what it met; exit status 0: nothing of it is open.
    Conflicts(Conflicts),
    /// Back to the old environment with every write made since the switchover; or everything stays as it is.
    Rollback(Switchover),
}

/// The two servers. As text: whatever is wrong with one is said without showing it.
#[derive(Args, Default)]
pub(crate) struct Servers {
    /// Production: mysql://USER:PASSWORD@HOST:PORT
    #[arg(long, env = "BLUEGREEN_BLUE", hide_env_values = true, value_name = "URL")]
    pub(crate) blue: Option<String>,
    /// Its staged replacement: mysql://USER:PASSWORD@HOST:PORT
    #[arg(long, env = "BLUEGREEN_GREEN", hide_env_values = true, value_name = "URL")]
    pub(crate) green: Option<String>,
}

#[derive(Args)]
pub(crate) struct Create {
    #[command(flatten)]
    pub(crate) servers: Servers,
    /// The deployment's name; default: the config file's, else mydb1.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// How many tables are copied at the same time.
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub(crate) tables_at_once: usize,
    /// Looks at both servers and changes nothing; exit status 0: `create` would begin.
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[arg(long, hide = true, value_name = "URL")]
    pub(crate) green_replica: Vec<String>,
    #[arg(long, hide = true)]
    pub(crate) tables: Option<String>,
    #[arg(long, hide = true)]
    pub(crate) rename: Option<String>,
    /// Go on with what an earlier `create` left on green; begin anew where there is nothing
    #[arg(long)]
    pub(crate) resume: bool,
}

#[derive(Args)]
pub(crate) struct Replicate {
    #[command(flatten)]
    pub(crate) servers: Servers,
    /// Where to start if green has no checkpoint: beginning, current, gtid:SET, file:NAME:OFFSET
    #[arg(long, value_name = "POSITION", value_parser = position)]
    pub(crate) from: Option<StartPosition>,
    /// Until green holds all that blue had committed at the start.
    #[arg(long, conflicts_with = "until")]
    pub(crate) until_caught_up: bool,
    /// Until green holds everything before this position.
    #[arg(long, value_name = "POSITION", value_parser = position)]
    pub(crate) until: Option<StartPosition>,
    /// What becomes of a statement that stopped the stream: skip (green has its effect, or shall not) or apply (green runs
    /// it as it is).
    #[arg(long, value_name = "FILE:OFFSET=WAY", value_parser = way)]
    pub(crate) statement_at: Vec<(Coordinates, Way)>,
    /// What becomes of a change of blue whose row somebody else has written on green; default: the config file's, else
    /// blue-wins.
    #[arg(long, value_enum, value_name = "POLICY")]
    pub(crate) conflicts: Option<ConflictPolicy>,
    /// How many connections write to green at the same time, 1 to 64; default: the config file's, else 1. For a green with
    /// many cores or a slow disk: large groups are shared out by row, and green is a prefix of blue every second.
    #[arg(long, value_name = "N")]
    pub(crate) lanes: Option<usize>,
    /// Serves the stream's figures to Prometheus at http://ADDR/metrics, as long as the verb runs.
    #[arg(long, value_name = "ADDR")]
    pub(crate) metrics: Option<SocketAddr>,
}

/// The same words in the config file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ConflictPolicy {
    /// Green gets blue's value; what was there is in the journal.
    BlueWins,
    /// Replication stops before green is changed.
    Stop,
}

impl From<ConflictPolicy> for Policy {
    fn from(policy: ConflictPolicy) -> Policy {
        match policy {
            ConflictPolicy::BlueWins => Policy::BlueWins,
            ConflictPolicy::Stop => Policy::Stop,
        }
    }
}

#[derive(Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) servers: Servers,
}

#[derive(Args)]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) servers: Servers,
    /// Again every two seconds, until stopped.
    #[arg(long)]
    pub(crate) watch: bool,
}

#[derive(Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    pub(crate) servers: Servers,
    /// Only these tables.
    #[arg(long, value_name = "SCHEMA.TABLE,…", value_delimiter = ',', value_parser = table)]
    pub(crate) tables: Option<Vec<TableName>>,
    /// Copies the rows that differ from blue to green, and compares them anew.
    #[arg(long)]
    pub(crate) repair: bool,
    /// After all rows, again and again those that changed since, until stopped; a line of JSON each time.
    #[arg(long, conflicts_with = "repair")]
    pub(crate) continuous: bool,
}

#[derive(Args)]
pub(crate) struct Conflicts {
    #[command(flatten)]
    pub(crate) servers: Servers,
    /// Accepts these writes: they stay in the journal, and stand in nobody's way any more.
    #[arg(long, value_name = "ID", num_args = 1.., value_delimiter = ',')]
    pub(crate) acknowledge: Vec<u64>,
    /// Makes the tables that others wrote to as they are on blue, and compares them; what is equal then is settled.
    #[arg(long)]
    pub(crate) repair: bool,
}

#[derive(Args)]
pub(crate) struct Switchover {
    #[command(flatten)]
    pub(crate) servers: Servers,
    /// Seconds that the whole may take, 30 to 3600.
    #[arg(long, value_name = "S", default_value_t = 300)]
    pub(crate) timeout: u64,
    /// Seconds in which nobody can write.
    #[arg(long, value_name = "S", default_value_t = 5)]
    pub(crate) max_write_block: u64,
    /// Ends connections that hold the switch up (transactions older than 5 s, schema changes), where nothing else stands in
    /// its way.
    #[arg(long)]
    pub(crate) kill_blockers: bool,
    /// Measures the guardrails and changes nothing; exit status 0: all of them let it pass.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Args)]
pub(crate) struct Delete {
    #[command(flatten)]
    pub(crate) servers: Servers,
    /// Drops what `create` made on green too; refused once green is production.
    #[arg(long)]
    pub(crate) delete_target: bool,
}

#[derive(Args)]
pub(crate) struct Demo {
    /// The servers' family.
    #[arg(long, value_enum, default_value_t = Flavor::Mysql)]
    pub(crate) flavor: Flavor,
    /// How long the application's traffic goes on, 8 to 600; what is shown takes its own time.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(8..=600))]
    pub(crate) seconds: u64,
    /// Leaves the servers' folders in place.
    #[arg(long)]
    pub(crate) keep: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Flavor {
    Mysql,
    Mariadb,
}

/// Whatever follows a verb that is not there yet.
#[derive(Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Later {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _rest: Vec<String>,
}

fn position(text: &str) -> Result<StartPosition, String> {
    text.parse()
}

fn way(text: &str) -> Result<(Coordinates, Way), String> {
    const FORM: &str = "write FILE:OFFSET=skip or FILE:OFFSET=apply";
    let (place, way) = text.rsplit_once('=').ok_or(FORM)?;
    let (file, offset) = place.rsplit_once(':').ok_or(FORM)?;
    let way = match way {
        "skip" => Way::Skip,
        "apply" => Way::Apply,
        _ => return Err(FORM.to_owned()),
    };
    Ok((Coordinates::new(file, offset.parse().map_err(|_| FORM)?), way))
}

pub(crate) fn table(text: &str) -> Result<TableName, String> {
    match text.split_once('.') {
        Some((schema, table)) if !schema.is_empty() && !table.is_empty() => Ok(TableName::new(schema, table)),
        _ => Err("write SCHEMA.TABLE".to_owned()),
    }
}

/// The process's arguments; else what was answered already: help, the version, or a line on what is wrong.
pub(crate) fn parse() -> Result<Arguments, ExitCode> {
    let error = match Arguments::try_parse() {
        Ok(arguments) => return Ok(arguments),
        Err(error) => error,
    };
    if !error.use_stderr() {
        // A reader that is gone, `head` for example, is none of our business.
        let _ = error.print();
        return Err(ExitCode::SUCCESS);
    }
    let json = std::env::args_os().any(|argument| argument == "--json");
    Err(output::failed(&as_error(&error), json))
}

/// clap's own text is several lines, and quotes what was given: a URL in it may hold a password.
fn as_error(error: &clap::Error) -> Error {
    if error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Error::new(ErrorKind::Config, "no verb is given").with_advice("see bluegreen --help");
    }
    let text = error.render().to_string();
    let lines: Vec<&str> = text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:")).collect();
    let lines = lines.into_iter().filter(|line| !line.is_empty() && !line.starts_with("For more information"));
    let line = lines.collect::<Vec<_>>().join(" ");
    let line = line.strip_prefix("error: ").unwrap_or(&line);
    Error::new(ErrorKind::Config, output::without_urls(line)).with_advice("see bluegreen --help")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn refused(arguments: &[&str]) -> String {
        match Arguments::try_parse_from(arguments) {
            Ok(_) => panic!("{arguments:?} is taken"),
            Err(error) => as_error(&error).to_string(),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn what_is_wrong_is_one_line_without_passwords() {
        for arguments in [
            &["bluegreen", "status", "mysql://root:s3cret@h"][..],
            &["bluegreen", "replicate", "--from", "now"],
            &["bluegreen", "verify", "--tables", "nodot"],
            &["bluegreen", "demo", "--flavor", "oracle"],
            &["bluegreen", "demo", "--seconds", "1"],
            &["bluegreen", "switchover", "--timeout", "soon"],
            &["bluegreen", "launch"],
        ] {
            let line = refused(arguments);
            assert!(!line.contains('\n') && !line.contains("s3cret") && line.contains("--help"), "{line}");
        }
    }

    #[test]
    fn positions_and_tables_are_read() {
        let parsed =
            Arguments::try_parse_from(["bluegreen", "replicate", "--from", "file:bin.000002:157", "--until-caught-up"]);
        let Ok(Arguments { verb: Verb::Replicate(replicate), .. }) = parsed else { panic!("not taken") };
        assert_eq!(replicate.from, "file:bin.000002:157".parse().ok());
        let parsed = Arguments::try_parse_from(["bluegreen", "--json", "verify", "--tables", "a.b,c.d.e"]);
        let Ok(Arguments { verb: Verb::Verify(verify), json: true, .. }) = parsed else { panic!("not taken") };
        assert_eq!(verify.tables, Some(vec![TableName::new("a", "b"), TableName::new("c", "d.e")]));
    }

    #[test]
    fn later_verbs_take_whatever_the_contract_gives_them() {
        for arguments in [
            &["bluegreen", "rollback", "--timeout", "30", "--dry-run", "--json"][..],
            &["bluegreen", "conflicts", "--acknowledge", "1", "2"],
        ] {
            assert!(Arguments::try_parse_from(arguments).is_ok(), "{arguments:?}");
        }
    }
}
