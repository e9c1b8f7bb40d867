//! What green and the way to it do to the stream: locks of others, lost answers, a network that holds, slows and rejects,
//! a green that is read-only, full, or takes only small packets. Each test ends with a comparison of every row by plain
//! SELECTs.

mod support;

use std::time::Duration;

use bluegreen::error::Recovery;
use bluegreen::pipeline::{Replication, ReplicationConfig, State};
use bluegreen::sandbox::{Kind, Server};
use bluegreen::{Error, ErrorKind};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use support::Pair;
use support::load::{self, Load};
use support::proxy::{Fault, Proxy};

async fn pair_of(blue: Kind, green: Kind) -> Pair {
    let pair = Pair::start(blue, green).await;
    load::schema(&pair.blue).await;
    pair.create().await;
    pair
}

/// The error that ends the stream.
async fn failure(mut replication: Replication) -> Error {
    let ended = tokio::time::timeout(Duration::from_secs(60), replication.finished()).await;
    ended.expect("the stream goes on").unwrap_err()
}

/// Goes on after a failure, to the end.
async fn goes_on(pair: &Pair) {
    let replication = pair.replicate().await;
    pair.level(&replication).await;
    assert_eq!(replication.progress().borrow().conflicts, 0);
    replication.stop().await.unwrap();
    pair.assert_same().await;
}

/// Waits until a query on green gives something that is none of `before`.
async fn changed(green: &Server, query: &str, before: &[&str]) -> String {
    let changed = async {
        loop {
            // Before every look, also the first: InnoDB's tables of transactions are a copy that is renewed only after 100 ms
            // without a reader. Whoever looks on and on sees one state for ever.
            tokio::time::sleep(Duration::from_millis(200)).await;
            let now = green.sql(query).await.unwrap();
            if !before.contains(&now.as_str()) {
                return now;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(120), changed).await.expect("green does not change")
}

/// The start of the transaction that waits for a lock.
const WAITING: &str =
    "SELECT CAST(trx_started AS CHAR) FROM information_schema.INNODB_TRX WHERE trx_state = 'LOCK WAIT'";

/// Another session holds rows: a wait that times out, and a deadlock, undo the group, which is tried again as a whole.
async fn waits_for_locks(kind: Kind) {
    let pair = pair_of(kind, kind).await;
    let replication = pair.replicate().await;
    let mut other = Conn::from_url(pair.green.url()).await.unwrap();
    other.query_drop("SET GLOBAL innodb_lock_wait_timeout = 50").await.unwrap();
    other.query_drop("BEGIN").await.unwrap();
    other.query_drop("SELECT * FROM shop.seat WHERE id = 2 FOR UPDATE").await.unwrap();
    pair.blue.sql("BEGIN; UPDATE shop.seat SET owner = 'x1' WHERE id = 1; INSERT INTO `od.d ``s`.`no key` VALUES (1, 'once', NULL); UPDATE shop.seat SET owner = 'x2' WHERE id = 2; COMMIT").await.unwrap();
    let first = changed(&pair.green, WAITING, &[""]).await;
    // Another transaction waits: the first one gave up.
    changed(&pair.green, WAITING, &["", &first]).await;
    // This one holds more, so that the engine is the one that InnoDB undoes; and nothing of it stays.
    other.query_drop("UPDATE shop.account SET tiny = 1").await.unwrap();
    let deadlocks = "SELECT COUNT FROM information_schema.INNODB_METRICS WHERE NAME = 'lock_deadlocks'";
    let before = pair.green.sql(deadlocks).await.unwrap();
    other.query_drop("SELECT * FROM shop.seat WHERE id = 1 FOR UPDATE").await.unwrap();
    assert_ne!(pair.green.sql(deadlocks).await.unwrap(), before, "there was no deadlock");
    // Tried again, the group waits for the other session.
    changed(&pair.green, WAITING, &[""]).await;
    other.query_drop("ROLLBACK").await.unwrap();
    pair.level(&replication).await;
    let progress = replication.progress().borrow().clone();
    assert_eq!((progress.conflicts, progress.reconnects), (0, 0));
    replication.stop().await.unwrap();
    pair.assert_same().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_of_others_on_mysql() {
    waits_for_locks(Kind::MySql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_of_others_on_mariadb() {
    waits_for_locks(Kind::MariaDb1011).await;
}

/// Whether a COMMIT was carried out whose answer was lost, the checkpoint tells.
async fn survives_the_network(kind: Kind) {
    let pair = pair_of(kind, kind).await;
    let proxy = Proxy::start(pair.green.port()).await;
    let load = Load::start(pair.blue.url(), 4, 3, Duration::from_millis(1));
    let mut config = ReplicationConfig::new(pair.blue_url(), proxy.url().parse().unwrap());
    config.retry_pause = Duration::from_millis(100);
    let replication = Replication::start(config).await.unwrap();
    let mut progress = replication.progress();
    for round in 0..30 {
        proxy.cut(if round % 2 == 0 { Fault::CutAfterCommit } else { Fault::CutBeforeCommit }).await;
    }
    let before = progress.borrow().reconnects;
    proxy.set(Fault::Reject);
    progress.wait_for(|progress| progress.reconnects > before + 2).await.unwrap();
    proxy.set(Fault::None);
    progress.wait_for(|progress| progress.state == State::Replicating).await.unwrap();
    // Held and slowed, it only takes longer.
    let before = progress.borrow().clone();
    proxy.set(Fault::Hold);
    load.commit_more(200).await;
    proxy.set(Fault::Slow(Duration::from_millis(15)));
    progress.wait_for(|progress| progress.groups > before.groups + 10).await.unwrap();
    proxy.set(Fault::None);
    load.stop().await;
    pair.level(&replication).await;
    assert_eq!((progress.borrow().conflicts, progress.borrow().reconnects), (0, before.reconnects));
    // The last of the cuts may be among the three that were waited for.
    assert!(before.reconnects >= 32);
    replication.stop().await.unwrap();
    pair.assert_same().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_answers_and_slow_ways_on_mysql() {
    survives_the_network(Kind::MySql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_answers_and_slow_ways_on_mariadb() {
    survives_the_network(Kind::MariaDb1011).await;
}

/// Green becomes read-only in the middle: the stream stops, says what to do, and goes on when it was done.
async fn stops_at_read_only(kind: Kind) {
    let pair = pair_of(kind, kind).await;
    // Of all privileges those that pass read_only are taken away.
    let (passing, on, off) = match kind.is_mariadb() {
        true => ("READ_ONLY ADMIN, SUPER", "SET GLOBAL read_only = 1", "SET GLOBAL read_only = 0"),
        false => ("CONNECTION_ADMIN, SUPER", "SET GLOBAL super_read_only = 1", "SET GLOBAL read_only = 0"),
    };
    pair.green.sql(&format!("{off}; CREATE USER engine@'%'; GRANT ALL ON *.* TO engine@'%'")).await.unwrap();
    pair.green.sql(&format!("REVOKE {passing} ON *.* FROM engine@'%'")).await.unwrap();
    let config = ReplicationConfig::new(pair.blue_url(), pair.green.url_as("engine", "").parse().unwrap());
    let replication = Replication::start(config).await.unwrap();
    let load = Load::start(pair.blue.url(), 4, 4, Duration::from_millis(1));
    load.commit_more(100).await;
    pair.green.sql(on).await.unwrap();
    let error = failure(replication).await;
    assert_eq!((error.kind(), error.recovery()), (ErrorKind::ReadOnly, Recovery::Operator));
    assert!(error.advice().unwrap().contains("read_only"), "{error}");
    load.commit_more(100).await;
    load.stop().await;
    pair.green.sql(off).await.unwrap();
    goes_on(&pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_green_on_mysql() {
    stops_at_read_only(Kind::MySql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_green_on_mariadb() {
    stops_at_read_only(Kind::MariaDb1011).await;
}

/// Green has room for so many rows only. What did not fit is not there in part.
async fn stops_when_green_is_full(kind: Kind) {
    // All tables are in one file that does not grow.
    let full = ["--innodb-data-file-path=ibdata1:64M", "--innodb-file-per-table=0"];
    let fresh = if kind.is_mariadb() { "--innodb-stats-on-metadata=ON" } else { "--information-schema-stats-expiry=0" };
    let (blue, green) =
        tokio::join!(Server::builder(kind).start(), Server::builder(kind).options(full).option(fresh).start());
    let pair = Pair::of(blue.unwrap(), green.unwrap());
    pair.blue
        .sql("CREATE DATABASE s; CREATE TABLE s.t (id INT AUTO_INCREMENT PRIMARY KEY, a VARCHAR(4000))")
        .await
        .unwrap();
    pair.create().await;
    let replication = pair.replicate().await;
    let insert = format!("INSERT INTO s.t (a) VALUES {}", vec!["(REPEAT('a', 4000))"; 50].join(","));
    for _ in 0..5 {
        pair.blue.sql(&insert).await.unwrap();
    }
    pair.level(&replication).await;
    pair.green.sql("SET sql_log_bin = 0; CREATE TABLE mysql.filler (a LONGBLOB) ENGINE = InnoDB").await.unwrap();
    let fill = "SET sql_log_bin = 0; INSERT INTO mysql.filler VALUES (REPEAT('x', 500000))";
    let free = "SELECT DATA_FREE FROM information_schema.TABLES WHERE TABLE_NAME = 'filler'";
    while pair.green.sql(free).await.unwrap().parse::<u64>().unwrap() > 4 << 20 {
        pair.green.sql(fill).await.unwrap();
    }
    for _ in 0..40 {
        pair.blue.sql(&insert).await.unwrap();
    }
    let error = failure(replication).await;
    assert_eq!((error.code(), error.recovery()), (Some(1114), Recovery::Operator), "{error}");
    assert!(error.advice().unwrap().contains("room"), "{error}");
    let count: u64 = pair.green.sql("SELECT COUNT(*) FROM s.t").await.unwrap().parse().unwrap();
    assert_eq!(count % 50, 0, "a transaction is there in part");
    let logged = pair.green.sql("SELECT row_changes FROM bluegreen.checkpoint WHERE stream = 'forward'").await.unwrap();
    assert_eq!(logged, count.to_string());
    pair.green.sql("SET sql_log_bin = 0; DROP TABLE mysql.filler").await.unwrap();
    // MariaDB gives the room back some time later.
    let is_free = "SELECT DATA_FREE > 20000000 FROM information_schema.TABLES WHERE TABLE_SCHEMA = 's'";
    changed(&pair.green, is_free, &["0"]).await;
    goes_on(&pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_green_on_mysql() {
    stops_when_green_is_full(Kind::MySql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_green_on_mariadb() {
    stops_when_green_is_full(Kind::MariaDb1011).await;
}

/// A row that green takes in no packet stops the stream before anything of its group is sent; many rows that fit one by one
/// pass.
async fn stops_at_packets_that_are_too_large(blue: Kind, green: Kind) {
    let pair = pair_of(blue, green).await;
    pair.blue.sql("CREATE TABLE shop.large (id INT PRIMARY KEY, a LONGTEXT) ENGINE = InnoDB").await.unwrap();
    pair.green.sql("SET GLOBAL max_allowed_packet = 1048576").await.unwrap();
    let replication = pair.replicate().await;
    let rows: Vec<String> = (0..40).map(|id| format!("({id}, REPEAT('b', 200000))")).collect();
    pair.blue.sql(&format!("INSERT INTO shop.large VALUES {}", rows.join(","))).await.unwrap();
    pair.blue.sql("UPDATE shop.large SET a = CONCAT(a, 'c')").await.unwrap();
    pair.level(&replication).await;
    pair.blue.sql("BEGIN; UPDATE shop.seat SET owner = 'large' WHERE id = 1; INSERT INTO shop.large VALUES (99, REPEAT('b', 2000000)); COMMIT").await.unwrap();
    let error = failure(replication).await;
    assert_eq!((error.kind(), error.recovery()), (ErrorKind::Limit, Recovery::Operator), "{error}");
    assert!(error.advice().unwrap().contains("max_allowed_packet on green"), "{error}");
    assert_eq!(pair.green.sql("SELECT owner FROM shop.seat WHERE id = 1").await.unwrap(), "owner1");
    pair.green.sql("SET GLOBAL max_allowed_packet = 16777216").await.unwrap();
    goes_on(&pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_that_are_too_large_on_mysql() {
    stops_at_packets_that_are_too_large(Kind::MySql56, Kind::MySql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_that_are_too_large_on_mariadb() {
    stops_at_packets_that_are_too_large(Kind::MariaDb105, Kind::MariaDb118).await;
}
