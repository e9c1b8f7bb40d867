//! Two-phase transactions (XA) in replication: committed, rolled back, in one phase, among others, with engines and
//! servers that start again between PREPARE and COMMIT. Each test ends with a comparison of every row by plain SELECTs.

mod support;

use bluegreen::pipeline::Replication;
use bluegreen::sandbox::{Kind, Server};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use support::Pair;

/// Sessions whose transaction is prepared: servers before MySQL 5.7.7 undo it when its session ends.
struct Prepared {
    session: Conn,
    xid: &'static str,
}

impl Prepared {
    async fn begin(blue: &Server, xid: &'static str, statements: &[&str]) -> Prepared {
        let mut session = Conn::from_url(blue.url()).await.unwrap();
        session.query_drop(format!("XA START {xid}")).await.unwrap();
        for statement in statements {
            session.query_drop(*statement).await.unwrap();
        }
        session.query_drop(format!("XA END {xid}")).await.unwrap();
        session.query_drop(format!("XA PREPARE {xid}")).await.unwrap();
        Prepared { session, xid }
    }

    /// In the session that prepared it, or, where that is gone, in another one.
    async fn end(mut self, blue: &Server, verb: &str) {
        let statement = format!("XA {verb} {}", self.xid);
        if self.session.ping().await.is_ok() {
            return self.session.query_drop(&statement).await.unwrap();
        }
        blue.sql(&statement).await.unwrap();
    }
}

async fn pair(blue: Kind, green: Kind, gtid: bool) -> Pair {
    let pair = Pair::with_gtid(blue, green, gtid).await;
    for statement in [
        "CREATE DATABASE shop",
        "CREATE TABLE shop.a (id INT PRIMARY KEY, n INT NOT NULL) ENGINE = InnoDB",
        "CREATE TABLE shop.b (id INT PRIMARY KEY, n INT NOT NULL) ENGINE = InnoDB",
        // A row that came twice would be there twice.
        "CREATE TABLE shop.keyless (n INT NOT NULL) ENGINE = InnoDB",
        "INSERT INTO shop.a VALUES (1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 6)",
    ] {
        pair.blue.sql(statement).await.unwrap();
    }
    pair.create().await;
    pair
}

/// Waits until green has what blue does now, apart from what is prepared: of that MySQL counts the GTID as executed.
async fn marked(pair: &Pair, replication: &Replication, n: u32) {
    pair.blue.sql(&format!("INSERT INTO shop.keyless VALUES ({n})")).await.unwrap();
    let select = format!("SELECT COUNT(*) FROM shop.keyless WHERE n = {n}");
    let arrives = async {
        while pair.green.sql(&select).await.unwrap() == "0" {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let has_arrived = tokio::time::timeout(std::time::Duration::from_secs(60), arrives).await.is_ok();
    assert!(has_arrived, "the stream stands still: {:?}", replication.progress().borrow().state);
}

async fn replicates(blue: Kind, green: Kind, gtid: bool) {
    let pair = pair(blue, green, gtid).await;
    let replication = pair.replicate().await;
    let committed = Prepared::begin(
        &pair.blue,
        "'global','branch',7",
        &[
            "UPDATE shop.a SET n = 10 WHERE id = 1",
            "INSERT INTO shop.keyless VALUES (1)",
            "DELETE FROM shop.a WHERE id = 2",
        ],
    )
    .await;
    let undone = Prepared::begin(
        &pair.blue,
        "'undone'",
        &["UPDATE shop.a SET n = 30 WHERE id = 3", "INSERT INTO shop.b VALUES (3, 3)"],
    )
    .await;
    pair.blue.sql("INSERT INTO shop.b VALUES (1, 1); UPDATE shop.a SET n = 40 WHERE id = 4").await.unwrap();
    marked(&pair, &replication, 2).await;
    assert_eq!(pair.green.sql("SELECT n FROM shop.a WHERE id = 1").await.unwrap(), "1");
    undone.end(&pair.blue, "ROLLBACK").await;
    pair.blue.sql("UPDATE shop.a SET n = 31 WHERE id = 3; INSERT INTO shop.b VALUES (3, 31)").await.unwrap();
    committed.end(&pair.blue, "COMMIT").await;
    pair.blue.sql("UPDATE shop.a SET n = n + 1 WHERE id = 1; INSERT INTO shop.a VALUES (2, 20)").await.unwrap();
    // In one phase, and one that changes nothing.
    for changes in ["UPDATE shop.a SET n = n + 1", "SELECT 1"] {
        pair.blue.sql(&format!("XA START 'one'; {changes}; XA END 'one'; XA COMMIT 'one' ONE PHASE")).await.unwrap();
    }
    Prepared::begin(&pair.blue, "'empty'", &["SELECT 1"]).await.end(&pair.blue, "COMMIT").await;
    pair.level(&replication).await;
    assert_eq!(replication.progress().borrow().conflicts, 0);
    replication.stop().await.unwrap();
    pair.assert_same().await;
}

/// Engines and blue start again while transactions are prepared. What was applied behind a PREPARE is not applied again,
/// and what was prepared is not lost.
async fn replicates_over_restarts(blue: Kind, green: Kind, gtid: bool) {
    let mut pair = pair(blue, green, gtid).await;
    let first = pair.replicate().await;
    pair.blue.sql("INSERT INTO shop.keyless VALUES (100)").await.unwrap();
    let one = Prepared::begin(
        &pair.blue,
        "'one'",
        &["INSERT INTO shop.keyless VALUES (1)", "UPDATE shop.a SET n = 10 WHERE id = 1"],
    )
    .await;
    marked(&pair, &first, 101).await;
    let two = Prepared::begin(
        &pair.blue,
        "'two'",
        &["INSERT INTO shop.keyless VALUES (2)", "DELETE FROM shop.a WHERE id = 2"],
    )
    .await;
    let undone = Prepared::begin(&pair.blue, "'undone'", &["UPDATE shop.a SET n = 30 WHERE id = 3"]).await;
    // Both the statement and the rows would fail a second time.
    pair.blue.sql("CREATE TABLE shop.new (id INT PRIMARY KEY) ENGINE = InnoDB").await.unwrap();
    pair.blue.sql("INSERT INTO shop.new VALUES (1); UPDATE shop.a SET n = 40 WHERE id = 4").await.unwrap();
    marked(&pair, &first, 102).await;
    first.stop().await.unwrap();

    pair.blue.sql("UPDATE shop.a SET n = n + 1 WHERE id = 4; FLUSH BINARY LOGS").await.unwrap();
    let second = pair.replicate().await;
    marked(&pair, &second, 103).await;
    one.end(&pair.blue, "COMMIT").await;
    marked(&pair, &second, 104).await;
    assert_eq!(pair.green.sql("SELECT n FROM shop.a WHERE id = 1").await.unwrap(), "10");
    // Nothing new for the third engine: it stands where the second one stood, with two prepared.
    second.stop().await.unwrap();
    let third = pair.replicate().await;
    pair.blue.kill().await.unwrap();
    pair.blue.start().await.unwrap();
    marked(&pair, &third, 105).await;
    undone.end(&pair.blue, "ROLLBACK").await;
    two.end(&pair.blue, "COMMIT").await;
    pair.blue.sql("UPDATE shop.a SET n = n + 1").await.unwrap();
    pair.level(&third).await;
    let conflicts = "SELECT conflicts, resume FROM bluegreen.checkpoint WHERE stream = 'forward'";
    assert_eq!(pair.green.sql(conflicts).await.unwrap(), "0\tNULL");
    third.stop().await.unwrap();
    pair.assert_same().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_97_by_gtid() {
    replicates(Kind::MySql97, Kind::MySql97, true).await;
    replicates_over_restarts(Kind::MySql97, Kind::MySql97, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_97_by_file() {
    replicates(Kind::MySql97, Kind::MySql97, false).await;
    replicates_over_restarts(Kind::MySql97, Kind::MySql97, false).await;
}

/// MySQL 5.6 logs a two-phase transaction as any other, when it is committed.
#[tokio::test(flavor = "multi_thread")]
async fn mysql_56_to_97() {
    replicates(Kind::MySql56, Kind::MySql97, true).await;
    replicates(Kind::MySql56, Kind::MySql97, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_1011() {
    replicates(Kind::MariaDb1011, Kind::MariaDb1011, true).await;
    replicates_over_restarts(Kind::MariaDb1011, Kind::MariaDb1011, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_105_to_118() {
    replicates(Kind::MariaDb105, Kind::MariaDb118, true).await;
    replicates_over_restarts(Kind::MariaDb105, Kind::MariaDb118, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_118() {
    replicates(Kind::MariaDb118, Kind::MariaDb118, true).await;
    replicates_over_restarts(Kind::MariaDb118, Kind::MariaDb118, true).await;
}
