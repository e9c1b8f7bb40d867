//! The command line over the library: arguments, printing, progress. What a verb does is in the library.

mod arguments;
mod binlog;
mod config;
mod conflicts;
mod control;
mod create;
mod delete;
mod demo;
mod graph;
mod metrics;
mod output;
mod progress;
mod replicate;
mod routes;
mod run;
mod status;
mod stop;
mod switchover;
mod verify;

use std::process::ExitCode;

use arguments::{Arguments, Verb};
use bluegreen::{Error, ErrorKind, Result};
use output::Answer;
use stop::Stop;
use switchover::Way;

fn main() -> ExitCode {
    let arguments = match arguments::parse() {
        Ok(arguments) => arguments,
        Err(answered) => return answered,
    };
    log_to_stderr();
    let json = arguments.json;
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return output::failed(&Error::new(ErrorKind::Io, format!("no runtime: {error}")), json),
    };
    let answer = runtime.block_on(async { Box::pin(carry_out(arguments, Stop::listen()?)).await });
    // What is still under way, a name that is being resolved for example, must not hold up the end.
    runtime.shutdown_background();
    match answer {
        Ok(answer) => answer.into(),
        Err(error) => output::failed(&error, json),
    }
}

async fn carry_out(arguments: Arguments, stop: Stop) -> Result<Answer> {
    let Arguments { json, config, verb } = arguments;
    let config = config.as_deref();
    match verb {
        Verb::Create(create) => create::create(create, config, json, stop).await,
        Verb::Replicate(replicate) => replicate::replicate(replicate, config, json, stop).await,
        Verb::Run(run) => run::run(run, config, json, stop).await,
        Verb::Status(status) => status::status(status, config, json, stop).await,
        Verb::Verify(verify) => verify::verify(verify, config, json, stop).await,
        Verb::Switchover(switchover) => switchover::switchover(Way::There, switchover, config, json, stop).await,
        Verb::Rollback(rollback) => switchover::switchover(Way::Back, rollback, config, json, stop).await,
        Verb::Delete(delete) => delete::delete(delete, config, json).await,
        Verb::Demo(demo) => demo::demo(&demo, json, stop).await,
        Verb::Binlog(binlog) => binlog::binlog(binlog, json, stop).await,
        Verb::Conflicts(conflicts) => conflicts::conflicts(conflicts, config, json, stop).await,
    }
}

/// The refusal of what the contract names and this version lacks: never to be ignored silently.
fn not_yet(what: &str) -> Error {
    Error::new(ErrorKind::Config, format!("{what} is not in this version yet")).with_advice("leave it out for now")
}

fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::builder()
        .with_default_directive(tracing_subscriber::filter::LevelFilter::WARN.into())
        .with_env_var("BLUEGREEN_LOG")
        .from_env_lossy();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(progress::above_the_bars).with_ansi(false).init();
}
