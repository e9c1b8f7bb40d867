//! What does a proof of equality cost?
//!
//! ```text
//! cargo bench --bench verify                       # a million rows
//! cargo bench --bench verify -- --rows 10000000 MySQL
//! ```
//!
//! Four tables of sysbench's columns; green is built by `create` and kept in step by the engine. Measured are, in this order
//! and on servers that do nothing else: `CHECKSUM TABLE` on both servers at once, a full pass, and a pass after one row in
//! a hundred has changed. Then clients commit on blue at an even pace, and their latency is measured, from when a transaction
//! was due, by turns without a pass and with full passes all the time.

use std::time::{Duration, Instant};

use bluegreen::checks::{Verification, Verifier, VerifyConfig};
use bluegreen::create::{CreateConfig, create};
use bluegreen::pipeline::{Replication, ReplicationConfig};
use bluegreen::sandbox::{Kind, Server};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinSet;

const TABLES: u64 = 4;
const CLIENTS: u32 = 4;
const TRANSACTIONS_PER_SECOND: u32 = 300;

struct Arguments {
    kinds: Vec<Kind>,
    rows: u64,
    /// Of one turn under load.
    turn: Duration,
    turns: u32,
    busy_share: Option<f64>,
}

impl Arguments {
    fn read() -> Arguments {
        let given: Vec<String> = std::env::args().skip(1).collect();
        let has = |flag: &str| given.iter().any(|argument| argument == flag);
        let number = |flag: &str| {
            let at = given.iter().position(|argument| argument == flag)?;
            Some(given.get(at + 1).and_then(|text| text.parse::<f64>().ok()).expect("a number behind the option"))
        };
        // Without cargo's flag this is a test.
        let is_test = !has("--bench") || has("--test");
        let all = [Kind::MySql97, Kind::MariaDb1011];
        let wanted = |kind: &Kind| given.iter().any(|word| kind.label().contains(word.as_str()));
        let named: Vec<Kind> = all.into_iter().filter(wanted).collect();
        Arguments {
            kinds: if named.is_empty() { all.into() } else { named },
            rows: number("--rows").map_or(if is_test { 4_000 } else { 1_000_000 }, |rows| rows as u64),
            turn: if is_test { Duration::from_millis(300) } else { Duration::from_secs(20) },
            turns: if is_test { 1 } else { 3 },
            busy_share: number("--share"),
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
    let start = || {
        let options = ["--innodb-buffer-pool-size=1G", "--sync-binlog=1", "--innodb-flush-log-at-trx-commit=1"];
        Server::builder(kind).options(options).start()
    };
    let (blue, green) = tokio::try_join!(start(), start()).unwrap();
    fill(&blue, arguments.rows).await;
    let urls = || (blue.url().parse().unwrap(), green.url().parse().unwrap());
    let config = CreateConfig::new("mydb1", urls().0, urls().1).unwrap();
    Box::pin(create(&config, |_| {})).await.unwrap();
    let mut config = VerifyConfig::new(urls().0, urls().1);
    config.busy_share = arguments.busy_share.unwrap_or(config.busy_share);
    let mut verifier = Verifier::new(config);

    // Once for the pages.
    checksums(&blue, &green).await;
    let checksum = checksums(&blue, &green).await;
    let full = equal(verifier.full(|_| ()).await.unwrap());
    println!("| {}, {} rows | s | |\n|---|---|---|", kind.label(), full.rows);
    let line = |what: &str, seconds: f64, of: f64, unit: &str| {
        println!("| {what} | {seconds:.2} | {:.2} {unit} |", seconds / of)
    };
    line("CHECKSUM TABLE on both at once", checksum, checksum, "×");
    line("full pass", full.seconds, checksum, "×");

    // The logs are opened and found; a service does that once.
    let nothing = equal(Box::pin(verifier.again(|_| ())).await.unwrap());
    line(
        "pass after nothing changed, which opens the logs",
        nothing.seconds,
        full.seconds / 100.0,
        "% of the full pass",
    );
    let replication = Box::pin(Replication::start(ReplicationConfig::new(urls().0, urls().1))).await.unwrap();
    for table in 1..=TABLES {
        let changed = format!("UPDATE sbtest.t{table} SET k = k + 1 WHERE id % 100 = 7");
        blue.sql(&changed).await.unwrap();
    }
    level(&blue, &green).await;
    let again = equal(Box::pin(verifier.again(|_| ())).await.unwrap());
    assert_eq!(again.rows, arguments.rows / 100);
    line("pass after 1 % changed", again.seconds, full.seconds / 100.0, "% of the full pass");

    latencies(&blue, &mut verifier, arguments).await;
    replication.stop().await.unwrap();
}

fn equal(verification: Verification) -> Verification {
    assert!(verification.equal, "{verification:?}");
    verification
}

async fn fill(blue: &Server, rows: u64) {
    let mut conn = Conn::from_url(blue.url()).await.unwrap();
    conn.query_drop("SET GLOBAL sync_binlog = 0, GLOBAL innodb_flush_log_at_trx_commit = 2").await.unwrap();
    conn.query_drop("CREATE DATABASE sbtest DEFAULT CHARACTER SET utf8mb4").await.unwrap();
    for table in 1..=TABLES {
        conn.query_drop(format!(
            "CREATE TABLE sbtest.t{table} (id INT NOT NULL PRIMARY KEY, k INT NOT NULL, c CHAR(120) NOT NULL, \
             pad CHAR(60) NOT NULL, KEY (k))"
        ))
        .await
        .unwrap();
        let of_table = rows / TABLES;
        // Ten thousand numbers by a join of digits, on every version.
        let digits = "(SELECT 0 d UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL \
             SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9)";
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

/// Seconds.
async fn checksums(blue: &Server, green: &Server) -> f64 {
    let tables: Vec<String> = (1..=TABLES).map(|table| format!("sbtest.t{table}")).collect();
    let statement = format!("CHECKSUM TABLE {}", tables.join(", "));
    let began = Instant::now();
    let (blue, green) = tokio::join!(blue.sql(&statement), green.sql(&statement));
    assert_eq!(blue.unwrap(), green.unwrap());
    began.elapsed().as_secs_f64()
}

/// Waits until green holds what blue holds.
async fn level(blue: &Server, green: &Server) {
    blue.sql("INSERT INTO sbtest.t1 VALUES (-1, 0, '', '')").await.unwrap();
    for present in [true, false] {
        while green.sql("SELECT id FROM sbtest.t1 WHERE id = -1").await.unwrap().is_empty() == present {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        blue.sql("DELETE FROM sbtest.t1 WHERE id = -1").await.unwrap();
    }
}

/// Blue's write latency by turns without and with full passes.
async fn latencies(blue: &Server, verifier: &mut Verifier, arguments: &Arguments) {
    let (mut without, mut with, mut passes) = (Vec::new(), Vec::new(), 0);
    for turn in 0..arguments.turns {
        without.extend(load(blue, arguments, turn).await);
        let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
        let verifying = async {
            loop {
                tokio::select! {
                    found = Box::pin(verifier.full(|_| ())) => {
                        equal(found.unwrap());
                        passes += 1;
                    }
                    _ = &mut stopped => return,
                }
            }
        };
        let loading = async {
            let measured = load(blue, arguments, turn + 100).await;
            let _ = stop.send(());
            measured
        };
        let ((), measured) = tokio::join!(verifying, loading);
        with.extend(measured);
    }
    println!("\n| blue's commits, ms | p50 | p95 | p99 |\n|---|---|---|---|");
    for (name, mut times) in [("without", without), (&*format!("with full passes ({passes} ended)"), with)] {
        times.sort_unstable();
        let at = |percent: usize| times[times.len() * percent / 100].as_secs_f64() * 1e3;
        println!("| {name} | {:.2} | {:.2} | {:.2} |", at(50), at(95), at(99));
    }
    println!();
}

/// Commits at an even pace, and how long each took.
async fn load(blue: &Server, arguments: &Arguments, seed: u32) -> Vec<Duration> {
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let conn = Conn::from_url(blue.url()).await.unwrap();
        clients.spawn(client_load(conn, arguments.rows / TABLES, arguments.turn, seed * CLIENTS + client));
    }
    clients.join_all().await.into_iter().flatten().collect()
}

async fn client_load(mut conn: Conn, rows: u64, length: Duration, seed: u32) -> Vec<Duration> {
    let mut random = StdRng::seed_from_u64(seed.into());
    let pace = Duration::from_secs(1) * CLIENTS / TRANSACTIONS_PER_SECOND;
    let first = tokio::time::Instant::now() + pace * (seed % CLIENTS) / CLIENTS;
    let mut tick = tokio::time::interval_at(first, pace);
    let mut times = Vec::new();
    while first.elapsed() < length {
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
