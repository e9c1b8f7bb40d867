//! How fast do logged rows become values?
//!
//! ```text
//! cargo bench --bench decode             # all
//! cargo bench --bench decode -- rows     # without compression
//! ```
//!
//! A MySQL 9.7 server writes the logs, more than 100 MB each: `oltp`, transactions as sysbench's `oltp_write_only` makes
//! them, and `wide`, rows of 20 columns. Then they are read, from memory and page cache, every value of every row: by
//! this library on one thread, checksums checked; by `mysql_common` and by the server's `mysqlbinlog -vv` with its text
//! to nowhere, neither of which checks them. Of compressed logs the bytes are those before compression, and zstd's
//! decompression alone is what there is to compare with. At the end stands a table of medians, with what each takes of
//! this library's time on one thread.

mod logs;
mod readers;

use std::time::{Duration, Instant};

use criterion::{BenchmarkGroup, Criterion, SamplingMode, Throughput, measurement::WallTime};

use self::logs::{FULL, Log, Logs, TINY};

/// A row of the table: the log and who reads it, bytes, and how long each run took.
struct Line {
    log: String,
    id: String,
    bytes: u64,
    runs: Vec<Duration>,
}

/// Benches of one log, and what they gave.
struct Bench<'c> {
    group: BenchmarkGroup<'c, WallTime>,
    log: String,
    bytes: u64,
    lines: &'c mut Vec<Line>,
}

impl<'c> Bench<'c> {
    fn new(
        criterion: &'c mut Criterion,
        group: &str,
        shape: &str,
        bytes: usize,
        lines: &'c mut Vec<Line>,
    ) -> Bench<'c> {
        let log = format!("{group}/{shape}");
        let mut group = criterion.benchmark_group(group);
        group.throughput(Throughput::Bytes(bytes as u64)).sampling_mode(SamplingMode::Flat).sample_size(10);
        group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(5));
        Bench { group, log, bytes: bytes as u64, lines }
    }

    /// The first one is what the others are compared with.
    fn run(&mut self, id: &str, mut read: impl FnMut()) {
        let mut runs = Vec::new();
        let (_, shape) = self.log.rsplit_once('/').unwrap();
        let path = if id.is_empty() { shape.to_owned() } else { format!("{shape}/{id}") };
        self.group.bench_function(path, |bencher| {
            bencher.iter_custom(|count| {
                let took: Vec<Duration> = (0..count)
                    .map(|_| {
                        let began = Instant::now();
                        read();
                        began.elapsed()
                    })
                    .collect();
                runs.extend_from_slice(&took);
                took.iter().sum()
            });
        });
        if !runs.is_empty() {
            runs.sort();
            self.lines.push(Line { log: self.log.clone(), id: id.to_owned(), bytes: self.bytes, runs });
        }
    }
}

fn main() {
    let has = |flag: &str| std::env::args().any(|argument| argument == flag);
    let size = if has("--bench") && !has("--test") { FULL } else { TINY };
    let mut criterion = Criterion::default().configure_from_args();
    let (logs, mut lines) = (Logs::new(size), Vec::new());
    rows(&mut criterion, &logs, "oltp", &logs.oltp(size, false), &mut lines);
    rows(&mut criterion, &logs, "wide", &logs.wide(size, false), &mut lines);
    compressed(&mut criterion, "oltp", &logs.oltp(size, true), &mut lines);
    compressed(&mut criterion, "wide", &logs.wide(size, true), &mut lines);
    criterion.final_summary();
    print(&lines);
}

fn rows(criterion: &mut Criterion, logs: &Logs, shape: &str, log: &Log, lines: &mut Vec<Line>) {
    let ours = readers::decode(&log.bytes);
    let theirs = readers::mysql_common(&log.bytes);
    assert_eq!((ours.images, ours.values), (theirs.images, theirs.values));
    let mut bench = Bench::new(criterion, "decode/rows", shape, log.bytes.len(), lines);
    bench.run("", || assert_eq!(readers::decode(&log.bytes), ours));
    bench.run("two_threads", || assert_eq!(readers::decode_on_two_threads(&log.bytes), ours));
    bench.run("mysql_common", || assert_eq!(readers::mysql_common(&log.bytes), theirs));
    bench.run("mysqlbinlog", || {
        readers::mysqlbinlog(logs.server.installation().program("mysqlbinlog").unwrap(), &log.path);
    });
}

fn compressed(criterion: &mut Criterion, shape: &str, log: &Log, lines: &mut Vec<Line>) {
    let payloads = readers::payloads(&log.bytes);
    let bytes = readers::unzstd(&payloads);
    let ours = readers::decode(&log.bytes);
    let mut bench = Bench::new(criterion, "decode/compressed", shape, bytes, lines);
    bench.run("", || assert_eq!(readers::decode(&log.bytes), ours));
    bench.run("two_threads", || assert_eq!(readers::decode_on_two_threads(&log.bytes), ours));
    bench.run("zstd_alone", || assert_eq!(readers::unzstd(&payloads), bytes));
}

/// The medians, and how often the first reader's time of the same log fits into each.
fn print(lines: &[Line]) {
    let median = |line: &Line| line.runs[line.runs.len() / 2].as_secs_f64();
    println!(
        "\n| log | reader | MB | MB/s, median | MB/s, best | times the first one's time |\n|---|---|---|---|---|---|"
    );
    for line in lines {
        let first = lines.iter().find(|first| first.log == line.log).unwrap_or(line);
        let megabytes = line.bytes as f64 / 1e6;
        println!(
            "| `{}` | {} | {megabytes:.0} | {:.0} | {:.0} | {:.2} |",
            line.log,
            line.id,
            megabytes / median(line),
            megabytes / line.runs[0].as_secs_f64(),
            median(line) / median(first)
        );
    }
}
