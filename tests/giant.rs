//! Transactions that are too large for one group, on real servers: green gets each as one transaction, whatever happens
//! in the middle of it.

mod support;

use std::time::Duration;

use bluegreen::pipeline::{Progress, Replication};
use bluegreen::sandbox::{Kind, Server};
use support::Pair;

/// Rows of 200 bytes: some 11 MB of events for all of them, and more rows than a group has.
const ROWS: u32 = 50_000;

const SCHEMA: &[&str] = &[
    "CREATE DATABASE large",
    "CREATE TABLE large.t (id INT NOT NULL PRIMARY KEY, n INT NOT NULL, filler VARCHAR(200) NOT NULL, KEY (n))",
    "CREATE TABLE large.digit (d INT NOT NULL PRIMARY KEY)",
    "INSERT INTO large.digit VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)",
    "CREATE TABLE large.other (id INT NOT NULL PRIMARY KEY)",
];

async fn sql(server: &Server, statements: &[&str]) {
    for statement in statements {
        server.sql(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

/// All rows, by one statement.
fn fill() -> String {
    format!(
        "INSERT INTO large.t SELECT a.d + 10 * b.d + 100 * c.d + 1000 * d.d + 10000 * e.d AS id, a.d, REPEAT('x', 190) \
         FROM large.digit a, large.digit b, large.digit c, large.digit d, large.digit e \
         WHERE 10000 * e.d < {ROWS}"
    )
}

async fn pair(kind: Kind) -> Pair {
    let pair = Pair::start(kind, kind).await;
    sql(&pair.blue, SCHEMA).await;
    pair.create().await;
    pair
}

/// Waits until parts of a transaction are on green.
async fn opened(replication: &Replication) -> Progress {
    let mut progress = replication.progress();
    progress.wait_for(|now| now.open.is_some_and(|open| open.row_changes > 0)).await.unwrap().clone()
}

/// Fill, change and empty a table in one transaction, with what comes before and behind it.
async fn applies_as_one(kind: Kind) {
    let pair = pair(kind).await;
    let replication = pair.replicate().await;
    let watched = replication.progress();
    sql(&pair.blue, &["INSERT INTO large.other VALUES (1)", &fill(), "INSERT INTO large.other VALUES (2)"]).await;
    pair.level(&replication).await;
    pair.assert_same().await;
    let filled = watched.borrow().clone();
    assert_eq!(filled.row_changes, u64::from(ROWS) + 2);
    assert_eq!((filled.conflicts, filled.open), (0, None));

    let all = "BEGIN; UPDATE large.t SET n = n + 1, filler = REPEAT('y', 180); INSERT INTO large.other VALUES (3); \
               DELETE FROM large.t WHERE id % 3 = 0; COMMIT";
    pair.blue.sql(all).await.unwrap();
    pair.level(&replication).await;
    pair.assert_same().await;
    let changed = watched.borrow().clone();
    assert_eq!(changed.transactions, filled.transactions + 1);
    assert_eq!(changed.row_changes, filled.row_changes + u64::from(ROWS) + 1 + u64::from(ROWS.div_ceil(3)));
    assert_eq!(changed.conflicts, 0);
    replication.stop().await.unwrap();
    assert_eq!(bluegreen::watch::scan(&pair.green_url(), false).await.unwrap().total(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_transaction_mysql() {
    applies_as_one(Kind::MySql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_transaction_mariadb() {
    applies_as_one(Kind::MariaDb1011).await;
}

/// Stopped in the middle, nothing of it is on green; and a part that meets rows of somebody else takes care of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_undoes_the_parts_and_conflicts_are_settled() {
    let pair = pair(Kind::MySql97).await;
    let replication = pair.replicate().await;
    pair.blue.sql(&fill()).await.unwrap();
    opened(&replication).await;
    replication.stop().await.unwrap();
    assert_eq!(pair.green.sql("SELECT COUNT(*) FROM large.t").await.unwrap().trim(), "0");

    // One row in the first part's way, one in a later part's.
    sql(&pair.green, &["INSERT INTO large.t VALUES (7, 70, 'foreign'), (49999, 71, 'foreign')"]).await;
    let replication = pair.replicate().await;
    pair.level(&replication).await;
    let conflicts = replication.progress().borrow().conflicts;
    replication.stop().await.unwrap();
    pair.assert_same().await;
    assert_eq!(conflicts, 2);
    let kept = pair.green.sql("SELECT conflicts FROM bluegreen.checkpoint WHERE stream = 'forward'").await.unwrap();
    assert_eq!(kept.trim(), "2");
}

/// A killed connection: the stream starts again in front of the transaction.
#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_a_part_starts_the_transaction_again() {
    let pair = pair(Kind::MySql97).await;
    let replication = pair.replicate().await;
    pair.blue.sql(&fill()).await.unwrap();
    opened(&replication).await;
    let threads = pair
        .green
        .sql(
            "SELECT GROUP_CONCAT(trx_mysql_thread_id) FROM information_schema.innodb_trx WHERE trx_rows_modified > 100",
        )
        .await
        .unwrap();
    for thread in threads.trim().split(',').filter(|thread| *thread != "NULL") {
        pair.green.sql(&format!("KILL {thread}")).await.unwrap();
    }
    tokio::time::timeout(Duration::from_secs(120), pair.level(&replication)).await.unwrap();
    let progress = replication.progress().borrow().clone();
    assert!(progress.reconnects > 0 && progress.open.is_none(), "{progress:?}");
    replication.stop().await.unwrap();
    pair.assert_same().await;
}
