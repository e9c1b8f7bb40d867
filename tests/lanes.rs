//! Lanes on real servers: engines and servers that die with their lanes apart, another number of lanes at each start, two
//! engines at once. Each test ends with a comparison of every row by plain SELECTs.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bluegreen::ErrorKind;
use bluegreen::model::{Flavor, GtidPosition};
use bluegreen::pipeline::Replication;
use bluegreen::sandbox::{Kind, Server};
use mysql_async::prelude::Queryable;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use support::Pair;
use support::load::{self, Load};
use tokio::task::JoinSet;

const ROWS: u32 = 12_000;

/// Tables whose rows are spread, by a number and by a text, and one whose rows are not.
async fn schema(server: &Server) {
    for statement in [
        "CREATE DATABASE bulk DEFAULT CHARACTER SET utf8mb4",
        "CREATE TABLE bulk.number (id INT NOT NULL PRIMARY KEY, n INT NOT NULL, note VARCHAR(30) NULL) ENGINE = InnoDB",
        "CREATE TABLE bulk.word (word VARCHAR(30) NOT NULL PRIMARY KEY, n INT NOT NULL) ENGINE = InnoDB",
        "CREATE TABLE bulk.nothing (a INT NULL, b VARCHAR(20) NULL) ENGINE = InnoDB",
    ] {
        server.sql(statement).await.unwrap();
    }
    for first in (0..ROWS).step_by(2_000) {
        let numbers: Vec<String> = (first..first + 2_000).map(|id| format!("({id}, 0, NULL)")).collect();
        let words: Vec<String> = (first..first + 2_000).map(|id| format!("('Word-{id}', 0)")).collect();
        server.sql(&format!("INSERT INTO bulk.number VALUES {}", numbers.join(","))).await.unwrap();
        server.sql(&format!("INSERT INTO bulk.word VALUES {}", words.join(","))).await.unwrap();
    }
}

/// Transactions of many rows, next to the small ones of [`Load`].
struct Bulk {
    stop: Arc<AtomicBool>,
    clients: JoinSet<()>,
}

impl Bulk {
    fn start(url: &str) -> Bulk {
        let (stop, mut clients) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
        for seed in 0..2 {
            let (url, stop, mut random) = (url.to_owned(), stop.clone(), StdRng::seed_from_u64(seed));
            clients.spawn(async move {
                let mut conn = mysql_async::Conn::from_url(url).await.unwrap();
                while !stop.load(Ordering::Relaxed) {
                    let statements: Vec<String> = (0..random.random_range(1..4)).map(|_| bulk(&mut random)).collect();
                    let script = format!("BEGIN; {}; COMMIT", statements.join("; "));
                    // A deadlock, or a key that is there already.
                    if conn.query_drop(script).await.is_err() {
                        conn.query_drop("ROLLBACK").await.unwrap();
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            });
        }
        Bulk { stop, clients }
    }

    async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.join_all().await;
    }
}

fn bulk(random: &mut StdRng) -> String {
    let first = random.random_range(0..ROWS);
    let (end, n) = (first + random.random_range(300..1_500), random.random_range(0..100));
    match random.random_range(0..8) {
        0 | 1 => format!(
            "UPDATE bulk.number SET n = n + {n}, note = REPEAT('x', {n} % 30) WHERE id BETWEEN {first} AND {end}"
        ),
        2 => format!("UPDATE bulk.number SET id = id + {ROWS} WHERE id BETWEEN {first} AND {first} + 200"),
        3 => format!("DELETE FROM bulk.number WHERE id BETWEEN {first} AND {first} + 300"),
        4 => {
            let rows: Vec<String> = (first..first + 300).map(|id| format!("({id}, {n}, 'new')")).collect();
            format!("REPLACE INTO bulk.number VALUES {}", rows.join(","))
        }
        5 | 6 => format!("UPDATE bulk.word SET n = n + {n} ORDER BY word DESC LIMIT {}", end - first),
        _ => match n % 3 {
            0 => format!("DELETE FROM bulk.nothing WHERE a = {} LIMIT 2", n % 10),
            // An Umlaut: of this key the lane cannot be told.
            1 => format!(
                "UPDATE bulk.word SET word = IF(word LIKE 'ü%', 'Word-{first}', 'ü{first}') WHERE word LIKE '%{first}'"
            ),
            _ => format!("INSERT INTO bulk.nothing VALUES ({}, 'twice'), ({}, 'twice')", n % 10, n % 10),
        },
    }
}

struct Traffic {
    /// How many transactions were in blue's log before it.
    before: u64,
    bulk: Bulk,
    load: Load,
}

impl Traffic {
    async fn start(kind: Kind) -> (Pair, Traffic) {
        let pair = Pair::start(kind, kind).await;
        load::schema(&pair.blue).await;
        schema(&pair.blue).await;
        pair.create().await;
        let before = logged(&pair).await;
        let load = Load::start(pair.blue.url(), 2, 5, Duration::from_millis(2));
        let traffic = Traffic { before, bulk: Bulk::start(&pair.blue.url()), load };
        (pair, traffic)
    }

    /// Answers how many transactions there were.
    async fn stop(self, pair: &Pair) -> u64 {
        self.load.stop().await;
        self.bulk.stop().await;
        logged(pair).await - self.before
    }
}

/// How many lanes there are on green, and at how many different places.
async fn lanes(pair: &Pair) -> (u64, u64) {
    let select =
        "SELECT COUNT(*), COUNT(DISTINCT transactions) FROM bluegreen.checkpoint WHERE stream LIKE 'forward/%'";
    let counts = pair.green.sql(select).await.unwrap();
    let (lanes, places) = counts.split_once('\t').unwrap();
    (lanes.parse().unwrap(), places.parse().unwrap())
}

async fn forward(pair: &Pair, column: &str) -> u64 {
    let select = format!("SELECT {column} FROM bluegreen.checkpoint WHERE stream = 'forward'");
    pair.green.sql(&select).await.unwrap().parse().unwrap()
}

/// How many transactions are in blue's log.
async fn logged(pair: &Pair) -> u64 {
    let flavor = if pair.blue.kind().is_mariadb() { Flavor::MariaDb } else { Flavor::MySql };
    let head = support::head(&pair.blue).await.gtid.unwrap();
    head.count_beyond(&GtidPosition::empty(flavor)).unwrap()
}

/// Green is blue, nothing was applied twice or met a row that was not as blue had it, and all of it is marked as ours.
async fn assert_exactly_once(pair: &Pair, committed: u64) {
    pair.assert_same().await;
    assert_eq!(lanes(pair).await, (0, 0), "lanes were left");
    assert_eq!(forward(pair, "conflicts").await, 0);
    assert_eq!(forward(pair, "transactions").await, committed);
    assert_eq!(bluegreen::watch::scan(&pair.green_url(), false).await.unwrap().total(), 0);
}

/// The engine is killed again and again while lanes are at work, and started with another number of them.
async fn survives_kill_9(kind: Kind) {
    let (pair, traffic) = Traffic::start(kind).await;
    let mut random = StdRng::seed_from_u64(4);
    let (mut apart, mut round) = (0, 0);
    // Lanes are apart for moments only; whether a kill meets one is chance.
    while round < 16 || apart < 5 {
        assert!(round < 200, "no kill meets lanes that are apart");
        let mut engine = pair.engine(&["--lanes", ["4", "3", "1", "4", "2", "8"][round % 6]]);
        let (started, first) = (Instant::now(), forward(&pair, "transactions").await);
        while lanes(&pair).await.1 < 2 && forward(&pair, "transactions").await < first + 500 {
            assert!(started.elapsed() < Duration::from_secs(60), "the engine commits nothing");
            assert!(engine.try_wait().unwrap().is_none(), "the engine ended by itself");
        }
        if round % 2 == 0 {
            tokio::time::sleep(Duration::from_millis(random.random_range(0..80))).await;
        }
        engine.kill().unwrap();
        engine.wait().unwrap();
        apart += u64::from(lanes(&pair).await.1 > 1);
        round += 1;
    }
    let committed = traffic.stop(&pair).await;
    let output = pair.engine(&["--lanes", "4", "--until-caught-up"]).wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    println!("{apart} of {round} kills met lanes that were apart");
    assert_exactly_once(&pair, committed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn engines_killed_with_lanes_apart_on_mysql() {
    survives_kill_9(Kind::MySql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn engines_killed_with_lanes_apart_on_mariadb() {
    survives_kill_9(Kind::MariaDb1011).await;
}

async fn start(pair: &Pair, lanes: usize) -> Replication {
    Box::pin(Replication::start(pair.config().with_lanes(lanes).unwrap())).await.unwrap()
}

/// Waits until a group was shared out.
async fn shared_out(replication: &Replication, lanes: usize) {
    let mut progress = replication.progress();
    let shared = progress.wait_for(|progress| progress.last_group.is_some_and(|group| group.lanes == lanes));
    tokio::time::timeout(Duration::from_secs(60), shared).await.expect("nothing is shared out").unwrap();
}

/// Green dies under its lanes, another engine takes them over, statements and large transactions wait for them, and a
/// stop leaves none.
#[tokio::test(flavor = "multi_thread")]
async fn lanes_end_taken_over_cut_off_and_stopped() {
    let (mut pair, traffic) = Traffic::start(Kind::MySql97).await;
    let mut first = start(&pair, 4).await;
    shared_out(&first, 4).await;
    pair.green.kill().await.unwrap();
    pair.green.start().await.unwrap();
    let mut progress = first.progress();
    progress.wait_for(|progress| progress.reconnects > 0 && progress.state.name() == "replicating").await.unwrap();
    shared_out(&first, 4).await;
    let second = start(&pair, 2).await;
    shared_out(&second, 2).await;
    let ended = tokio::time::timeout(Duration::from_secs(20), first.finished()).await.expect("the first goes on");
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::TakenOver);
    second.stop().await.unwrap();
    assert_eq!(lanes(&pair).await, (0, 0), "a stop left lanes");
    let third = start(&pair, 3).await;
    shared_out(&third, 3).await;
    // A statement waits for the lanes; a transaction of many megabytes comes in parts, and waits too.
    pair.blue.sql("ALTER TABLE bulk.number ADD INDEX (n)").await.unwrap();
    pair.blue
        .sql("CREATE TABLE bulk.giant (id INT PRIMARY KEY, n INT, note VARCHAR(500)) ENGINE = InnoDB")
        .await
        .unwrap();
    pair.blue.sql("INSERT INTO bulk.giant SELECT id, n, REPEAT('g', 500) FROM bulk.number").await.unwrap();
    pair.blue.sql("UPDATE bulk.giant SET n = n + 1").await.unwrap();
    let committed = traffic.stop(&pair).await;
    pair.level(&third).await;
    third.stop().await.unwrap();
    assert_exactly_once(&pair, committed).await;
}
