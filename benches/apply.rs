//! How much faster than the servers' own replication is a backlog applied?
//!
//! ```text
//! cargo bench --bench apply                    # backlogs of 40,000 transactions
//! cargo bench --bench apply -- --full          # 130,000: what 8 threads write in a minute on 2 cores
//! cargo bench --bench apply -- MySQL uniform   # only what has these words in the first two columns
//! ```
//!
//! Blue has 4 tables of 100,000 rows, and its data are copied to two greens while it is down. Then 8 clients write a
//! backlog of transactions as sysbench's `oltp_write_only` makes them: two updates, and a delete and an insert of the
//! same row: of rows by sysbench's default distribution, in which three of four statements meet one row of a hundred, and
//! of rows that are all as likely, where there is less to merge. First the one green catches up by the server's replication with
//! 4 workers (MySQL: by write sets, commits in order; MariaDB: optimistic), then the other by [`Replication`]. All
//! servers have `sync_binlog=1`, `innodb_flush_log_at_trx_commit=1` and their binary logs on. At the end the three are
//! compared by checksum.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use bluegreen::model::{Coordinates, Flavor, GtidPosition, Position};
use bluegreen::pipeline::{Replication, ReplicationConfig};
use bluegreen::sandbox::{Kind, Server};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinSet;

const TABLES: u32 = 4;
const CLIENTS: u64 = 8;
const WORKERS: u32 = 4;

/// How much is written.
#[derive(Clone, Copy)]
struct Size {
    rows: u32,
    transactions: u64,
}

const FULL: Size = Size { rows: 100_000, transactions: 130_000 };
const USUAL: Size = Size { rows: 100_000, transactions: 40_000 };
const TINY: Size = Size { rows: 1_000, transactions: 200 };

/// Which rows are changed.
#[derive(Clone, Copy)]
enum Distribution {
    /// Sysbench's default: three of four from 1 % of the rows, the others around the middle.
    Special,
    Uniform,
}

impl Distribution {
    fn name(self) -> &'static str {
        match self {
            Distribution::Special => "special",
            Distribution::Uniform => "uniform",
        }
    }

    fn row(self, random: &mut StdRng, rows: u32) -> u32 {
        let hot = (rows / 100).max(1);
        match self {
            Distribution::Uniform => 1 + random.random_range(0..rows),
            Distribution::Special if random.random_bool(0.75) => 1 + (rows - hot) / 2 + random.random_range(0..hot),
            Distribution::Special => 1 + (0..12).map(|_| random.random_range(0..rows)).sum::<u32>() / 12,
        }
    }
}

/// What catching up took.
struct Run {
    took: Duration,
    green_cpu: Duration,
}

/// What the engine took beside green.
struct Engine {
    cpu: Duration,
    peak_kib: u64,
}

#[tokio::main]
async fn main() {
    let has = |flag: &str| std::env::args().any(|argument| argument == flag);
    let size = match (has("--bench") && !has("--test"), has("--full")) {
        (false, _) => TINY,
        (true, true) => FULL,
        (true, false) => USUAL,
    };
    let words: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    println!(
        "| server | rows | catches up by | s | transactions/s | row changes/s | ratio | green CPU s | engine CPU us/change | engine MiB |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for kind in [Kind::MySql97, Kind::MariaDb1011] {
        for rows in [Distribution::Special, Distribution::Uniform] {
            let name = format!("{} {}", kind.label(), rows.name());
            if words.iter().all(|word| name.contains(word)) {
                Box::pin(compare(kind, rows, size)).await;
            }
        }
    }
}

async fn compare(kind: Kind, distribution: Distribution, size: Size) {
    let folder = tempfile::tempdir().unwrap();
    let [blue, native, green] = ["blue", "native", "green"].map(|name| folder.path().join(name));
    let mut blue_server = start(kind, &blue, 1).await;
    fill(&blue_server, size).await;
    blue_server.stop().await.unwrap();
    for copy in [&native, &green] {
        copy_folder(&blue, copy);
        // The server's own identity; where there is none, it makes a new one.
        let _ = fs::remove_file(copy.join("auto.cnf"));
    }
    blue_server.start().await.unwrap();
    let position = head(&blue_server).await;
    write(&blue_server, distribution, size).await;

    let native_server = start(kind, &native, 2).await;
    let native = catch_up_natively(&blue_server, &native_server, &position).await;
    let expected = checksum(&blue_server).await;
    assert_eq!(checksum(&native_server).await, expected, "the server's own replication differs");
    drop(native_server);
    report(kind, distribution, "its own replication", size, &native, None, 1.0);

    let green_server = start(kind, &green, 3).await;
    let (run, engine) = catch_up(&blue_server, &green_server, &position).await;
    assert_eq!(checksum(&green_server).await, expected, "green differs");
    let ratio = native.took.as_secs_f64() / run.took.as_secs_f64();
    report(kind, distribution, "bluegreen", size, &run, Some(&engine), ratio);
}

fn report(
    kind: Kind,
    distribution: Distribution,
    by: &str,
    size: Size,
    run: &Run,
    engine: Option<&Engine>,
    ratio: f64,
) {
    let seconds = run.took.as_secs_f64();
    // Two updates, a delete and an insert.
    let changes = (size.transactions * 4) as f64;
    let engine = match engine {
        Some(engine) => {
            format!("{:.1} | {}", engine.cpu.as_secs_f64() * 1e6 / changes, engine.peak_kib / 1024)
        }
        None => " | ".into(),
    };
    println!(
        "| {} | {} | {by} | {seconds:.2} | {:.0} | {:.0} | {ratio:.1} | {:.1} | {engine} |",
        kind.label(),
        distribution.name(),
        size.transactions as f64 / seconds,
        changes / seconds,
        run.green_cpu.as_secs_f64(),
    );
}

async fn start(kind: Kind, folder: &Path, id: u32) -> Server {
    let workers = match kind.is_mariadb() {
        true => [
            "--log-slave-updates=ON".into(),
            format!("--slave-parallel-threads={WORKERS}"),
            "--slave-parallel-mode=optimistic".into(),
        ],
        false => [
            "--skip-replica-start=ON".into(),
            format!("--replica-parallel-workers={WORKERS}"),
            "--replica-preserve-commit-order=ON".into(),
        ],
    };
    let builder = Server::builder(kind).durable(true).data_dir(folder).options(workers);
    let builder = builder.option(format!("--server-id={id}")).option("--max-binlog-size=1G");
    // All rows fit in memory.
    builder.option("--innodb-buffer-pool-size=1G").start().await.unwrap()
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy_folder(&entry.path(), &to.join(entry.file_name()));
        } else if kind.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

async fn connect(server: &Server) -> Conn {
    Conn::from_url(server.url()).await.unwrap()
}

async fn fill(server: &Server, size: Size) {
    let (mut conn, mut random) = (connect(server).await, StdRng::seed_from_u64(0));
    conn.query_drop("CREATE DATABASE sbtest CHARACTER SET utf8mb4").await.unwrap();
    for table in 1..=TABLES {
        conn.query_drop(format!(
            "CREATE TABLE sbtest.sbtest{table} (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, k INT NOT NULL DEFAULT 0, \
             c CHAR(120) NOT NULL DEFAULT '', pad CHAR(60) NOT NULL DEFAULT '', KEY (k))"
        ))
        .await
        .unwrap();
        for start in (1..=size.rows).step_by(1_000) {
            let row = |id| {
                format!("({id},{},'{}','{}')", random.random_range(0..size.rows), c(&mut random), pad(&mut random))
            };
            let rows: Vec<String> = (start..start + 1_000).map(row).collect();
            conn.query_drop(format!("INSERT INTO sbtest.sbtest{table} VALUES {}", rows.join(","))).await.unwrap();
        }
    }
    conn.disconnect().await.unwrap();
}

fn groups(random: &mut StdRng, count: usize) -> String {
    (0..count).map(|_| format!("{:011}", random.random_range(0..100_000_000_000_u64))).collect::<Vec<_>>().join("-")
}

fn c(random: &mut StdRng) -> String {
    groups(random, 10)
}

fn pad(random: &mut StdRng) -> String {
    groups(random, 5)
}

/// Clients write the backlog.
async fn write(server: &Server, distribution: Distribution, size: Size) {
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let mut conn = connect(server).await;
        clients.spawn(async move {
            let mut random = StdRng::seed_from_u64(1 + client);
            for _ in 0..size.transactions / CLIENTS {
                let script = transaction(&mut random, distribution, size.rows);
                // A deadlock undid all of it.
                while conn.query_drop(&script).await.is_err() {
                    conn.query_drop("ROLLBACK").await.unwrap();
                }
            }
            conn.disconnect().await.unwrap();
        });
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
}

fn transaction(random: &mut StdRng, distribution: Distribution, rows: u32) -> String {
    let mut at = || (random.random_range(1..=TABLES), distribution.row(random, rows));
    let [(one, first), (two, second), (three, third)] = [at(), at(), at()];
    let (k, long, text, filling) = (distribution.row(random, rows), c(random), c(random), pad(random));
    format!(
        "BEGIN; UPDATE sbtest.sbtest{one} SET k = k + 1 WHERE id = {first}; \
         UPDATE sbtest.sbtest{two} SET c = '{long}' WHERE id = {second}; \
         DELETE FROM sbtest.sbtest{three} WHERE id = {third}; \
         INSERT INTO sbtest.sbtest{three} (id, k, c, pad) VALUES ({third}, {k}, '{text}', '{filling}'); COMMIT"
    )
}

async fn head(server: &Server) -> Position {
    let mariadb = server.kind().is_mariadb();
    let status = server.sql(if mariadb { "SHOW MASTER STATUS" } else { "SHOW BINARY LOG STATUS" }).await.unwrap();
    let columns: Vec<&str> = status.split('\t').collect();
    let (flavor, gtid) = match mariadb {
        true => (Flavor::MariaDb, server.sql("SELECT @@gtid_binlog_pos").await.unwrap()),
        false => (Flavor::MySql, columns[4].replace("\\n", "")),
    };
    let gtid = GtidPosition::parse(flavor, gtid.trim()).unwrap();
    Position::new(Coordinates::new(columns[0], columns[1].parse().unwrap()), Some(gtid))
}

async fn checksum(server: &Server) -> String {
    let tables: Vec<String> = (1..=TABLES).map(|table| format!("sbtest.sbtest{table}")).collect();
    server.sql(&format!("CHECKSUM TABLE {}", tables.join(", "))).await.unwrap()
}

async fn catch_up_natively(blue: &Server, green: &Server, position: &Position) -> Run {
    let target = head(blue).await.gtid.unwrap();
    let (cpu, began) = (cpu(&server_pid(green)), Instant::now());
    let (host, port) = ("127.0.0.1", blue.port());
    let wait = match blue.kind().is_mariadb() {
        true => {
            let start = position.gtid.as_ref().unwrap();
            green.sql(&format!("SET GLOBAL gtid_slave_pos = '{start}'")).await.unwrap();
            let source =
                format!("MASTER_HOST='{host}', MASTER_PORT={port}, MASTER_USER='root', MASTER_USE_GTID=slave_pos");
            green.sql(&format!("CHANGE MASTER TO {source}")).await.unwrap();
            green.sql("START SLAVE").await.unwrap();
            format!("SELECT MASTER_GTID_WAIT('{target}', 600) = 0")
        }
        false => {
            let source =
                format!("SOURCE_HOST='{host}', SOURCE_PORT={port}, SOURCE_USER='root', SOURCE_AUTO_POSITION=1");
            green.sql(&format!("CHANGE REPLICATION SOURCE TO {source}, GET_SOURCE_PUBLIC_KEY=1")).await.unwrap();
            green.sql("START REPLICA").await.unwrap();
            format!("SELECT WAIT_FOR_EXECUTED_GTID_SET('{target}', 600) = 0")
        }
    };
    let mut conn = connect(green).await;
    let is_reached: Option<bool> = conn.query_first(wait).await.unwrap();
    assert_eq!(is_reached, Some(true), "the server's own replication does not catch up");
    Run { took: began.elapsed(), green_cpu: self::cpu(&server_pid(green)) - cpu }
}

async fn catch_up(blue: &Server, green: &Server, position: &Position) -> (Run, Engine) {
    let target = head(blue).await;
    let start = format!("gtid:{}", position.gtid.as_ref().unwrap()).parse().unwrap();
    let config = ReplicationConfig::new(blue.url().parse().unwrap(), green.url().parse().unwrap()).from(Some(start));
    // The peak starts from here; where that is not allowed, the clients' memory counts as the engine's.
    let _ = fs::write("/proc/self/clear_refs", "5");
    let (green_cpu, engine_cpu, began) = (cpu(&server_pid(green)), cpu("self"), Instant::now());
    let replication = Box::pin(Replication::start(config)).await.unwrap();
    replication.reached(&target).await.unwrap();
    let run = Run { took: began.elapsed(), green_cpu: cpu(&server_pid(green)) - green_cpu };
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak_kib = peak.trim().trim_end_matches(" kB").parse().unwrap();
    let engine = Engine { cpu: cpu("self") - engine_cpu, peak_kib };
    let progress = replication.progress().borrow().clone();
    assert_eq!((progress.conflicts, progress.reconnects), (0, 0));
    replication.stop().await.unwrap();
    (run, engine)
}

/// The server's process, as its own file says.
fn server_pid(server: &Server) -> String {
    let file = server.socket().with_file_name("pid");
    fs::read_to_string(file).unwrap().trim().to_owned()
}

/// CPU time that a process took so far, in user mode and in the system.
fn cpu(process: &str) -> Duration {
    const TICKS_PER_SECOND: u32 = 100;
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // The program's name, in parentheses, may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u32 = [11, 12].map(|field: usize| fields[field].parse::<u32>().unwrap()).iter().sum();
    Duration::from_secs(1) * ticks / TICKS_PER_SECOND
}
