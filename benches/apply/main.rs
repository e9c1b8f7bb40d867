//! How much faster than the servers' own replication is a backlog applied, and how soon is a commit on green?
//!
//! ```text
//! cargo bench --bench apply                          # backlogs of 40,000 transactions
//! cargo bench --bench apply -- --full                # 130,000: what 8 threads write in a minute on 2 cores
//! cargo bench --bench apply -- MySQL uniform json    # these workloads on this server only; `latency` and `delay` too
//! cargo bench --bench apply -- uniform --rounds 5    # the median of five backlogs
//! cargo bench --bench apply -- special --transactions 10000 --rtt 5
//! cargo bench --bench apply -- uniform --lanes 1,2,4 # a backlog for each number of lanes
//! cargo bench --bench apply -- uniform --watch       # green's log is read by a watch meanwhile, and its cost printed
//! cargo bench --bench apply -- uniform --stop        # with `--conflicts stop`
//! ```
//!
//! Blue is filled, and its data are copied to two greens while it is down. For each workload 8 clients write a backlog on
//! blue. Then the one green catches up by the server's replication with 4 workers (MySQL: by write sets, commits in order;
//! MariaDB: optimistic), and the other by `bluegreen replicate`, a process of its own. Which of the two is not measured is
//! frozen meanwhile, and all start with their pages written. All servers have `sync_binlog=1`,
//! `innodb_flush_log_at_trx_commit=1` and their binary logs on. Behind each workload the three are compared by checksum.

mod data;
mod delay;
mod engine;
mod latency;
mod native;
mod process;
mod report;
mod servers;
mod watched;
mod workload;

use std::time::Duration;

use bluegreen::sandbox::Kind;

use delay::link;
use report::Measured;
use servers::Trio;
use workload::Workload;

const KINDS: [Kind; 2] = [Kind::MySql97, Kind::MariaDb1011];
/// The network between blue and green of the workload `delay`.
const DELAY_ROUND_TRIP: Duration = Duration::from_millis(2);

/// How much is written.
#[derive(Clone, Copy)]
struct Size {
    /// Of the tables, and of their rows, one in so many is there.
    divisor: u32,
    transactions: u32,
    latency: Duration,
}

const FULL: Size = Size { divisor: 1, transactions: 130_000, latency: Duration::from_secs(60) };
const USUAL: Size = Size { divisor: 1, transactions: 40_000, latency: Duration::from_secs(20) };
const TINY: Size = Size { divisor: 100, transactions: 80, latency: Duration::from_millis(500) };

/// What is done about the writes of others.
#[derive(Clone, Copy)]
struct How {
    is_watched: bool,
    /// At a row that is not as blue had it; else blue wins.
    stops: bool,
}

/// What is asked for.
struct Arguments {
    kinds: Vec<Kind>,
    /// Names of workloads; none: all.
    names: Vec<String>,
    size: Size,
    rounds: usize,
    /// Of the network between blue and green.
    round_trip: Duration,
    /// Of the engine.
    lanes: Vec<usize>,
    how: How,
    is_test: bool,
}

impl Arguments {
    fn read() -> Arguments {
        let mut arguments = Arguments {
            kinds: Vec::new(),
            names: Vec::new(),
            // Without cargo's flag this is a test.
            size: TINY,
            rounds: 1,
            round_trip: Duration::ZERO,
            lanes: vec![1],
            how: How { is_watched: false, stops: false },
            is_test: true,
        };
        let known: Vec<&str> = workload::ALL.iter().map(|workload| workload.name).chain(["delay", "latency"]).collect();
        let given: Vec<String> = std::env::args().skip(1).collect();
        let has = |flag: &str| given.iter().any(|argument| argument == flag);
        if has("--bench") && !has("--test") {
            arguments.is_test = false;
            arguments.size = if has("--full") { FULL } else { USUAL };
        }
        let mut given = given.iter();
        while let Some(argument) = given.next() {
            if argument == "--lanes" {
                let list = given.next().expect("numbers behind --lanes");
                arguments.lanes = list.split(',').map(|text| text.parse().expect("a number of lanes")).collect();
                continue;
            }
            let mut number =
                || given.next().and_then(|text| text.parse::<f64>().ok()).expect("a number behind the option");
            match argument.as_str() {
                "--bench" | "--test" | "--full" => {}
                "--watch" => arguments.how.is_watched = true,
                "--stop" => arguments.how.stops = true,
                "--rounds" => arguments.rounds = number() as usize,
                "--transactions" => arguments.size.transactions = number() as u32,
                "--rtt" => arguments.round_trip = Duration::from_secs_f64(number() / 1e3),
                name if known.contains(&name) => arguments.names.push(name.into()),
                word => {
                    let kinds = KINDS.into_iter().filter(|kind| kind.label().contains(word));
                    let before = arguments.kinds.len();
                    arguments.kinds.extend(kinds);
                    assert!(arguments.kinds.len() > before, "`{word}` is none of MySQL, MariaDB, {}", known.join(", "));
                }
            }
        }
        if arguments.kinds.is_empty() {
            arguments.kinds = KINDS.into();
        }
        arguments
    }

    fn wants(&self, kind: Kind, name: &str) -> bool {
        // One pass of everything on one server is test enough.
        let is_left_out = self.is_test && kind.is_mariadb() && !matches!(name, "special" | "latency");
        match self.names.is_empty() {
            true => !is_left_out,
            false => self.names.iter().any(|wanted| wanted == name),
        }
    }
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::read();
    for &kind in &arguments.kinds {
        Box::pin(measure(kind, &arguments)).await;
    }
}

async fn measure(kind: Kind, arguments: &Arguments) {
    let mut cases: Vec<(&str, &'static Workload, Duration)> = Vec::new();
    for workload in &workload::ALL {
        if arguments.wants(kind, workload.name) {
            cases.push((workload.name, workload, arguments.round_trip));
        }
    }
    if arguments.wants(kind, "delay") {
        cases.push(("delay", workload::sysbench(), DELAY_ROUND_TRIP));
    }
    let of_latency = arguments.wants(kind, "latency").then(workload::sysbench);
    let tables: Vec<_> =
        cases.iter().map(|(_, workload, _)| *workload).chain(of_latency).map(|workload| workload.tables).collect();
    let trio = Box::pin(Trio::start(kind, &tables, arguments.size)).await;
    if !cases.is_empty() {
        report::heading(kind);
    }
    let mut backlog = 0;
    for (name, workload, round_trip) in cases {
        for &lanes in &arguments.lanes {
            let mut rounds = Vec::new();
            for _ in 0..arguments.rounds {
                let how = arguments.how;
                rounds
                    .push(Box::pin(compare(&trio, workload, backlog, round_trip, (lanes, how), arguments.size)).await);
                backlog += 1;
            }
            let mut name = if lanes == 1 { name.to_owned() } else { format!("{name}, {lanes} lanes") };
            for (is_so, word) in [(arguments.how.is_watched, ", watched"), (arguments.how.stops, ", stop")] {
                name.push_str(if is_so { word } else { "" });
            }
            report::line(&name, rounds);
        }
    }
    if arguments.wants(kind, "latency") {
        let [native, ours] = Box::pin(latency::compare(&trio, arguments.size)).await;
        report::latency(kind, &native, &ours);
    }
}

/// One backlog, applied by either.
async fn compare(
    trio: &Trio,
    workload: &'static Workload,
    backlog: u32,
    round_trip: Duration,
    (lanes, how): (usize, How),
    size: Size,
) -> Measured {
    workload.write(&trio.blue, backlog, size).await;
    let one_way = round_trip / 2;
    let target = trio.blue_head().await;

    trio.only_native().await;
    // The replica's threads are inside of its server: it is the stream that crosses the network.
    let native = native::catch_up(&trio.native, link(trio.blue.port(), one_way), &target).await;
    workload.assert_same(&trio.blue, &trio.native, size).await;

    trio.only_green().await;
    // The engine is beside blue: what it writes crosses the network.
    let green = engine::url(link(trio.green.port(), one_way));
    let (blue, work) = (trio.blue.url(), (lanes, how.stops));
    let watch = if how.is_watched { Some(watched::start(&green).await) } else { None };
    let engine = engine::catch_up(&blue, &green, &trio.start, work, trio.green_pid()).await;
    if let Some(watch) = watch {
        watch.end(engine.row_changes).await;
    }
    workload.assert_same(&trio.blue, &trio.green, size).await;
    Measured { native, engine }
}
