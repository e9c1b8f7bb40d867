//! What does it take to build green, and what does blue feel of it?
//!
//! ```text
//! cargo bench --bench create                       # a million rows
//! cargo bench --bench create -- --rows 20000000 MySQL
//! ```
//!
//! Four tables of sysbench's columns, each with a secondary key. In one run: the servers' own `mysqldump | mysql` into a new
//! server, then `bluegreen create` into another, both from warm pages, and both results are compared with blue by
//! `CHECKSUM TABLE`. Then clients commit 200 transactions a second on blue, and their latency is measured, from when a
//! transaction was due, without and with a `create` under way.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bluegreen::sandbox::{Kind, Server};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinSet;

#[path = "apply/process.rs"]
mod process;

const TABLES: u64 = 4;
const CLIENTS: u32 = 4;
const TRANSACTIONS_PER_SECOND: u32 = 200;

struct Arguments {
    kinds: Vec<Kind>,
    rows: u64,
}

impl Arguments {
    fn read() -> Arguments {
        let given: Vec<String> = std::env::args().skip(1).collect();
        let has = |flag: &str| given.iter().any(|argument| argument == flag);
        // Without cargo's flag this is a test.
        let is_test = !has("--bench") || has("--test");
        let rows = given
            .iter()
            .position(|argument| argument == "--rows")
            .map(|at| given.get(at + 1).and_then(|text| text.parse().ok()).expect("a number behind the option"));
        let all = [Kind::MySql97, Kind::MariaDb1011];
        let wanted = |kind: &Kind| given.iter().any(|word| kind.label().contains(word.as_str()));
        let named: Vec<Kind> = all.into_iter().filter(wanted).collect();
        Arguments {
            kinds: if named.is_empty() { all.into() } else { named },
            rows: rows.unwrap_or(if is_test { 4_000 } else { 1_000_000 }),
        }
    }
}

/// What building green took, in seconds of CPU but for the first.
struct Built {
    took: Duration,
    blue: Duration,
    green: Duration,
    programs: Duration,
    peak_kib: u64,
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::read();
    for &kind in &arguments.kinds {
        Box::pin(measure(kind, arguments.rows)).await;
    }
}

async fn start(kind: Kind) -> Server {
    let log = if kind.is_mariadb() { "--innodb-log-file-size=1G" } else { "--innodb-redo-log-capacity=1G" };
    let options = ["--innodb-buffer-pool-size=1G", "--sync-binlog=1", "--innodb-flush-log-at-trx-commit=1", log];
    Server::builder(kind).options(options).start().await.unwrap()
}

async fn measure(kind: Kind, rows: u64) {
    let blue = start(kind).await;
    fill(&blue, rows).await;
    let wanted = checksums(&blue).await;

    let green = start(kind).await;
    let dumped = build(&blue, &green, dump_and_load).await;
    assert_eq!(checksums(&green).await, wanted);
    drop(green);
    let green = start(kind).await;
    let created = build(&blue, &green, create).await;
    assert_eq!(checksums(&green).await, wanted);
    drop(green);

    println!(
        "| {}, {rows} rows | s | rows/s | CPU s: blue, green, programs | memory, MB |\n|---|---|---|---|---|",
        kind.label()
    );
    let memory = format!("{}", created.peak_kib / 1024);
    for (name, built, memory) in
        [("`mysqldump \\| mysql`", &dumped, "–"), ("`bluegreen create`", &created, memory.as_str())]
    {
        let [blue, green, programs] = [built.blue, built.green, built.programs].map(|time| time.as_secs_f64());
        println!(
            "| {name} | {:.1} | {:.0} | {blue:.1}, {green:.1}, {programs:.1} | {memory} |",
            built.took.as_secs_f64(),
            rows as f64 / built.took.as_secs_f64()
        );
    }
    println!("\n{:.2} × as fast\n", dumped.took.as_secs_f64() / created.took.as_secs_f64());
    latencies(&blue, kind, rows, created.took).await;
}

/// Runs a way to build green and looks at the processes.
async fn build(blue: &Server, green: &Server, way: fn(&Server, &Server) -> std::process::Child) -> Built {
    let pids = [blue, green].map(process::of_server);
    let before = pids.map(process::cpu);
    let (programs, began) = (process::cpu_of_children(), Instant::now());
    let mut child = way(blue, green);
    let mut peak_kib = 0;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        // The last look before its end counts.
        peak_kib = process::peak_kib(child.id()).unwrap_or(peak_kib);
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let took = began.elapsed();
    assert!(status.success(), "it failed");
    let [blue, green] = [0, 1].map(|index| process::cpu(pids[index]) - before[index]);
    Built { took, blue, green, programs: process::cpu_of_children() - programs, peak_kib }
}

fn create(blue: &Server, green: &Server) -> std::process::Child {
    let url = |server: &Server| format!("mysql://root@127.0.0.1:{}", server.port());
    let arguments = ["create", "--json", "--blue", &url(blue), "--green", &url(green)];
    Command::new(env!("CARGO_BIN_EXE_bluegreen")).args(arguments).stdout(Stdio::null()).spawn().unwrap()
}

/// As their manuals have it: one snapshot, rows as they come. The shell waits for both.
fn dump_and_load(blue: &Server, green: &Server) -> std::process::Child {
    let words = |server: &Server, program: &str, more: &[&str]| {
        let command = server.installation().program(program).unwrap();
        let socket = format!("--socket={}", server.socket().display());
        let own = [command.get_program()].into_iter().chain(command.get_args());
        let mut words: Vec<String> = own.map(|word| format!("'{}'", word.to_string_lossy())).collect();
        let more = ["--no-defaults", "--user=root", &socket].into_iter().chain(more.iter().copied());
        words.extend(more.map(|word| format!("'{word}'")));
        words.join(" ")
    };
    let mut options = vec!["--single-transaction", "--quick"];
    if !blue.kind().is_mariadb() {
        options.push("--set-gtid-purged=OFF");
    }
    options.extend(["--databases", "sbtest"]);
    let script = format!("{} | {}", words(blue, "mysqldump", &options), words(green, "mysql", &[]));
    let mut shell = Command::new("sh");
    // The machine's own libraries would not fit the programs' loader.
    shell.env_remove("LD_LIBRARY_PATH").env_remove("LD_PRELOAD");
    shell.args(["-c", &script]).stdout(Stdio::null()).spawn().unwrap()
}

async fn fill(blue: &Server, rows: u64) {
    let mut conn = Conn::from_url(blue.url()).await.unwrap();
    conn.query_drop("SET GLOBAL sync_binlog = 0, GLOBAL innodb_flush_log_at_trx_commit = 2").await.unwrap();
    conn.query_drop("CREATE DATABASE sbtest DEFAULT CHARACTER SET utf8mb4").await.unwrap();
    // Ten thousand numbers by a join of digits, on every version.
    let digits = "(SELECT 0 d UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL \
         SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9)";
    let of_table = rows / TABLES;
    for table in 1..=TABLES {
        conn.query_drop(format!(
            "CREATE TABLE sbtest.t{table} (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, k INT NOT NULL, \
             c CHAR(120) NOT NULL, pad CHAR(60) NOT NULL, KEY k (k))"
        ))
        .await
        .unwrap();
        for first in (0..of_table).step_by(10_000) {
            conn.query_drop(format!(
                "INSERT INTO sbtest.t{table} SELECT i, i * 7919 % {of_table}, CONCAT(SHA2(i, 224), '-', SHA2(i + 1, 224)), \
                 LEFT(SHA2(i, 256), 59) FROM (SELECT {first} + 1 + a.d + 10 * b.d + 100 * c.d + 1000 * e.d i \
                 FROM {digits} a, {digits} b, {digits} c, {digits} e) n WHERE i <= {of_table}"
            ))
            .await
            .unwrap();
        }
        conn.query_drop(format!("ANALYZE TABLE sbtest.t{table}")).await.unwrap();
    }
    conn.query_drop("SET GLOBAL sync_binlog = 1, GLOBAL innodb_flush_log_at_trx_commit = 1").await.unwrap();
}

async fn checksums(server: &Server) -> String {
    let tables: Vec<String> = (1..=TABLES).map(|table| format!("sbtest.t{table}")).collect();
    server.sql(&format!("CHECKSUM TABLE {}", tables.join(", "))).await.unwrap()
}

/// Blue's write latency without a `create`, and while one runs, for about as long.
async fn latencies(blue: &Server, kind: Kind, rows: u64, length: Duration) {
    let length = length.clamp(Duration::from_millis(300), Duration::from_secs(60));
    let stopped = async |ended: tokio::sync::oneshot::Receiver<()>| {
        let _ = ended.await;
    };
    let (end, ended) = tokio::sync::oneshot::channel();
    let (without, ()) = tokio::join!(load(blue, rows, stopped(ended)), async {
        tokio::time::sleep(length).await;
        let _ = end.send(());
    });
    let green = start(kind).await;
    let (end, ended) = tokio::sync::oneshot::channel();
    let (with, built) = tokio::join!(load(blue, rows, stopped(ended)), async {
        let built = build(blue, &green, create).await;
        let _ = end.send(());
        built
    });
    println!("| blue's commits, ms | p50 | p95 | p99 |\n|---|---|---|---|");
    let with_create = format!("with `create`, {:.1} s", built.took.as_secs_f64());
    for (name, mut times) in [("without", without), (&*with_create, with)] {
        times.sort_unstable();
        let at = |percent: usize| times[times.len() * percent / 100].as_secs_f64() * 1e3;
        println!("| {name} | {:.2} | {:.2} | {:.2} |", at(50), at(95), at(99));
    }
    println!();
}

/// Commits at an even pace until `stopped`, and how long each took.
async fn load(blue: &Server, rows: u64, stopped: impl Future<Output = ()>) -> Vec<Duration> {
    let (stop, stopping) = tokio::sync::watch::channel(false);
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let conn = Conn::from_url(blue.url()).await.unwrap();
        clients.spawn(client_load(conn, rows / TABLES, stopping.clone(), client));
    }
    stopped.await;
    stop.send(true).unwrap();
    clients.join_all().await.into_iter().flatten().collect()
}

async fn client_load(
    mut conn: Conn,
    rows: u64,
    stopping: tokio::sync::watch::Receiver<bool>,
    client: u32,
) -> Vec<Duration> {
    let mut random = StdRng::seed_from_u64(client.into());
    let pace = Duration::from_secs(1) * CLIENTS / TRANSACTIONS_PER_SECOND;
    let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + pace * client / CLIENTS, pace);
    let mut times = Vec::new();
    while !*stopping.borrow() {
        let due = tick.tick().await;
        let (table, id, k) =
            (random.random_range(1..=TABLES), random.random_range(1..=rows), random.random_range(0..rows));
        let script = format!(
            "BEGIN; UPDATE sbtest.t{table} SET k = {k} WHERE id = {id}; \
             UPDATE sbtest.t{table} SET c = CONCAT('{k}-', LEFT(c, 80)) WHERE id = {id}; COMMIT"
        );
        conn.query_drop(script).await.unwrap();
        times.push(due.elapsed());
    }
    times
}
