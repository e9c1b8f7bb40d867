//! How long after its commit on blue is a transaction visible on green?
//!
//! Clients commit 300 transactions a second, each with a number of the client's own in a row of a marker table. Somebody
//! reads that table on green again and again: a commit is visible when its number, or a later one of the same client, is
//! seen for the first time. It is the same for either way of replication.

use std::thread;
use std::time::{Duration, Instant};

use bluegreen::sandbox::Server;
use mysql_async::prelude::Queryable;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::servers::{Trio, connect};
use crate::{Size, engine, native, workload};

const TRANSACTIONS_PER_SECOND: u32 = 300;
const CLIENTS: usize = 4;
/// Between two looks at green.
const PAUSE: Duration = Duration::from_micros(200);

/// Times from commits to when they are visible, from the shortest to the longest.
pub(crate) struct Latency(Vec<Duration>);

impl Latency {
    pub(crate) fn median(&self) -> Duration {
        self.0[self.0.len() / 2]
    }

    pub(crate) fn p99(&self) -> Duration {
        self.0[self.0.len() * 99 / 100]
    }

    pub(crate) fn longest(&self) -> Duration {
        self.0[self.0.len() - 1]
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }
}

pub(crate) async fn create_marker(blue: &Server) {
    blue.sql("CREATE DATABASE marker").await.unwrap();
    blue.sql("CREATE TABLE marker.marker (client INT NOT NULL PRIMARY KEY, n INT NOT NULL)").await.unwrap();
    for client in 0..CLIENTS {
        blue.sql(&format!("INSERT INTO marker.marker VALUES ({client}, 0)")).await.unwrap();
    }
}

/// The server's own replication, and then the engine.
pub(crate) async fn compare(trio: &Trio, size: Size) -> [Latency; 2] {
    trio.only_native().await;
    native::start(&trio.native).await;
    let of_native = measure(&trio.blue, &trio.native, size).await;
    workload::sysbench().assert_same(&trio.blue, &trio.native, size).await;
    native::stop(&trio.native).await;

    trio.only_green().await;
    let mut child = engine::run(&trio.blue.url(), &trio.green.url(), &trio.start);
    let of_engine = measure(&trio.blue, &trio.green, size).await;
    child.kill().unwrap();
    child.wait().unwrap();
    workload::sysbench().assert_same(&trio.blue, &trio.green, size).await;
    [of_native, of_engine]
}

async fn measure(blue: &Server, green: &Server, size: Size) -> Latency {
    let first = numbers(blue).await.iter().max().unwrap() + 1;
    // What is measured begins when the stream is up.
    blue.sql(&format!("UPDATE marker.marker SET n = {first}")).await.unwrap();
    while numbers(green).await.iter().any(|&n| n < first) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (stop, stopped) = oneshot::channel();
    let url = green.url();
    // A thread, because the runtime's clock is too coarse for the pause.
    let watcher =
        thread::spawn(|| Builder::new_current_thread().enable_all().build().unwrap().block_on(watch(url, stopped)));
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let conn = connect(blue).await;
        clients.spawn(write(conn, client, first, size));
    }
    let committed = clients.join_all().await;
    let last = numbers(blue).await;
    while numbers(green).await != last {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stop.send(()).unwrap();
    let seen = watcher.join().unwrap();
    let mut latencies = Vec::new();
    for (client, number, committed) in committed.into_iter().flatten() {
        let seen = &seen[client];
        let (_, at) = seen[seen.partition_point(|(n, _)| *n < number)];
        latencies.push(at.saturating_duration_since(committed));
    }
    latencies.sort_unstable();
    Latency(latencies)
}

async fn numbers(server: &Server) -> Vec<u32> {
    let text = server.sql("SELECT n FROM marker.marker ORDER BY client").await.unwrap();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

/// Commits at an even pace; answers when each number was committed.
async fn write(mut conn: mysql_async::Conn, client: usize, first: u32, size: Size) -> Vec<(usize, u32, Instant)> {
    let mut random = StdRng::seed_from_u64(client as u64);
    let pace = Duration::from_secs(CLIENTS as u64) / TRANSACTIONS_PER_SECOND;
    let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + pace * client as u32 / CLIENTS as u32, pace);
    let count = (size.latency.as_secs_f64() / pace.as_secs_f64()) as u32;
    let mut committed = Vec::new();
    for number in first + 1..=first + count {
        tick.tick().await;
        let transaction = workload::sysbench().transaction(&mut random, size);
        let mark = format!("UPDATE marker.marker SET n = {number} WHERE client = {client}; COMMIT");
        let script = transaction.replace("COMMIT", &mark);
        // A deadlock undid all of it.
        while conn.query_drop(&script).await.is_err() {
            conn.query_drop("ROLLBACK").await.unwrap();
        }
        committed.push((client, number, Instant::now()));
    }
    committed
}

/// When each client's numbers were seen for the first time.
async fn watch(url: String, mut stopped: oneshot::Receiver<()>) -> Vec<Vec<(u32, Instant)>> {
    let mut conn = mysql_async::Conn::from_url(url).await.unwrap();
    let mut seen: Vec<Vec<(u32, Instant)>> = vec![Vec::new(); CLIENTS];
    // The last look comes after all is there.
    let mut is_last = false;
    while !is_last {
        is_last = stopped.try_recv().is_ok();
        let numbers: Vec<u32> = conn.query("SELECT n FROM marker.marker ORDER BY client").await.unwrap();
        let now = Instant::now();
        for (seen, number) in seen.iter_mut().zip(numbers) {
            if seen.last().is_none_or(|(last, _)| *last < number) {
                seen.push((number, now));
            }
        }
        thread::sleep(PAUSE);
    }
    seen
}
