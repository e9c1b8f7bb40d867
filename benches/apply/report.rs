//! The tables that are printed.

use std::time::Duration;

use bluegreen::sandbox::Kind;

use crate::engine::Engine;
use crate::latency::Latency;

/// What catching up took.
pub(crate) struct Run {
    pub(crate) took: Duration,
    pub(crate) green_cpu: Duration,
}

/// One backlog applied by either.
pub(crate) struct Measured {
    pub(crate) native: Run,
    pub(crate) engine: Engine,
}

impl Measured {
    /// How many times faster than the server's own replication.
    fn ratio(&self) -> f64 {
        self.native.took.as_secs_f64() / self.engine.run.took.as_secs_f64()
    }
}

pub(crate) fn heading(kind: Kind) {
    println!(
        "| {} | row changes | own replication: s | changes/s | green CPU s | bluegreen: s | changes/s | green CPU s | \
         engine CPU µs/change | engine MiB | faster | green's CPU |",
        kind.label()
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
}

/// The line of a workload: the median of its rounds by what it is about.
pub(crate) fn line(name: &str, mut rounds: Vec<Measured>) {
    rounds.sort_by(|one, other| one.ratio().total_cmp(&other.ratio()));
    let (least, most) = (rounds[0].ratio(), rounds[rounds.len() - 1].ratio());
    let Measured { native, engine } = &rounds[rounds.len() / 2];
    let changes = engine.row_changes as f64;
    let run = |run: &Run| {
        let (seconds, cpu) = (run.took.as_secs_f64(), run.green_cpu.as_secs_f64());
        format!("{seconds:.2} | {:.0} | {cpu:.2}", changes / seconds)
    };
    let ratio = rounds[rounds.len() / 2].ratio();
    let spread = if rounds.len() > 1 { format!(" ({least:.1} to {most:.1})") } else { String::new() };
    println!(
        "| {name} | {changes} | {} | {} | {:.1} | {} | **{ratio:.1}**{spread} | 1/{:.1} |",
        run(native),
        run(&engine.run),
        engine.cpu.as_secs_f64() * 1e6 / changes,
        engine.peak_kib / 1024,
        native.green_cpu.as_secs_f64() / engine.run.green_cpu.as_secs_f64(),
    );
}

pub(crate) fn latency(kind: Kind, native: &Latency, ours: &Latency) {
    let milliseconds = |duration: Duration| format!("{:.1}", duration.as_secs_f64() * 1e3);
    println!("\n| {}: commit to visible, ms | commits | median | p99 | longest |\n|---|---|---|---|---|", kind.label());
    for (by, latency) in [("own replication", native), ("bluegreen", ours)] {
        let [median, p99, longest] = [latency.median(), latency.p99(), latency.longest()].map(milliseconds);
        println!("| {by} | {} | {median} | {p99} | {longest} |", latency.count());
    }
    println!();
}
