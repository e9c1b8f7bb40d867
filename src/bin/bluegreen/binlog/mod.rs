//! `binlog`: what log files hold, a line a row change and a line a statement.
//!
//! # Invariants
//! 1. Rows stream: a transaction of any size takes the memory of its largest event, a few times.
//! 2. Only whole lines are written, up to the first error.
//! 3. Everything that undoes rows which were shown is shown too.

mod arguments;
mod json;
mod lines;
mod log;
mod out;
mod statement;
mod stats;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bluegreen::{Error, ErrorKind, Result};
use tokio::task::JoinError;

pub(crate) use self::arguments::Binlog;
use self::json::JsonLines;
use self::lines::Lines;
use self::log::Report;
use self::stats::Stats;
use crate::output::Answer;
use crate::stop::Stop;

/// How long a stop waits for the end of a transaction: somebody may not read what is written.
const STOP_WITHIN: Duration = Duration::from_secs(4);

pub(crate) async fn binlog(arguments: Binlog, json: bool, mut stop: Stop) -> Result<Answer> {
    let is_stopped = Arc::new(AtomicBool::new(false));
    let mut work = tokio::task::spawn_blocking({
        let is_stopped = Arc::clone(&is_stopped);
        move || match (arguments.stats, json) {
            (true, _) => report(&arguments, &is_stopped, Stats::new(json)),
            (false, true) => report(&arguments, &is_stopped, JsonLines::new()),
            (false, false) => report(&arguments, &is_stopped, Lines::new()),
        }
    });
    tokio::select! {
        done = &mut work => done.map_err(lost)??,
        () = stop.requested() => {
            is_stopped.store(true, Ordering::Relaxed);
            if let Ok(done) = tokio::time::timeout(STOP_WITHIN, work).await {
                done.map_err(lost)??;
            }
        }
    }
    Ok(Answer::Yes)
}

fn lost(error: JoinError) -> Error {
    Error::new(ErrorKind::Internal, "the decoding thread ended").with_source(error)
}

fn report(arguments: &Binlog, is_stopped: &AtomicBool, mut report: impl Report) -> Result<()> {
    let read = log::read(arguments, is_stopped, &mut report);
    // What was decoded in front of an error is shown, but for counts, which would not be those of the log.
    let shown = match read {
        Ok(()) => report.finish(),
        Err(_) => report.flush(),
    };
    // A reader that has seen enough, `head` for example, is no failure.
    match read.and(shown) {
        Err(error) if out::is_closed_pipe(&error) => Ok(()),
        result => result,
    }
}
