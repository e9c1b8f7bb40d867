//! What becomes of blue: it fails over to a replica of its own, it purges the log that the stream needs. Each test ends
//! with a comparison of every row by plain SELECTs, or says why there is none.

mod support;

use std::time::Duration;

use bluegreen::ErrorKind;
use bluegreen::error::Recovery;
use bluegreen::pipeline::{Replication, ReplicationConfig};
use bluegreen::sandbox::{Kind, Server};
use support::load::{self, Load};
use support::{Pair, assert_same, head};

/// Makes `replica` follow `source`, from the replica's own position on.
async fn follow(replica: &Server, source: &Server) {
    let port = source.port();
    let statements = match source.kind() {
        Kind::MySql97 => format!(
            "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = {port}, SOURCE_USER = 'root', \
             SOURCE_AUTO_POSITION = 1, GET_SOURCE_PUBLIC_KEY = 1, SOURCE_CONNECT_RETRY = 1; START REPLICA"
        ),
        Kind::MySql56 => format!(
            "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {port}, MASTER_USER = 'root', \
             MASTER_AUTO_POSITION = 1, MASTER_CONNECT_RETRY = 1; START SLAVE"
        ),
        _ => format!(
            "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {port}, MASTER_USER = 'root', \
             MASTER_USE_GTID = slave_pos, MASTER_CONNECT_RETRY = 1; START SLAVE"
        ),
    };
    replica.sql(&statements).await.unwrap();
}

/// Waits until `replica` has everything that `source` logged.
async fn caught_up(replica: &Server, source: &Server) {
    let target = head(source).await;
    let caught_up = async {
        while head(replica).await.covers(&target) != Some(true) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), caught_up).await.expect("the replica does not catch up");
}

/// Blue dies, and its replica takes its place: the stream goes on there by GTID, in the middle of a backlog. A replica that
/// lacks what green has is refused.
async fn fails_over(blue: Kind, green: Kind) {
    let (pair, replica) = tokio::join!(Pair::start(blue, green), Server::builder(blue).start());
    let (mut pair, replica) = (pair, replica.unwrap());
    load::schema(&pair.blue).await;
    pair.create().await;
    follow(&replica, &pair.blue).await;
    let load = Load::start(pair.blue.url(), 4, 5, Duration::from_millis(1));
    let replication = pair.replicate().await;
    load.commit_more(300).await;
    let stop = if blue == Kind::MySql97 { "STOP REPLICA" } else { "STOP SLAVE" };
    replica.sql(stop).await.unwrap();
    load.commit_more(100).await;
    let reached = head(&pair.blue).await;
    replication.reached(&reached).await.unwrap();
    replication.stop().await.unwrap();

    let to_replica = || ReplicationConfig::new(replica.url().parse().unwrap(), pair.green_url());
    let error = Replication::start(to_replica()).await.unwrap_err();
    assert_eq!((error.kind(), error.recovery()), (ErrorKind::Position, Recovery::Operator), "{error}");

    load.commit_more(100).await;
    load.stop().await;
    replica.sql(&stop.replace("STOP", "START")).await.unwrap();
    caught_up(&replica, &pair.blue).await;
    pair.blue.kill().await.unwrap();
    replica.sql(stop).await.unwrap();
    let to_replica = || ReplicationConfig::new(replica.url().parse().unwrap(), pair.green_url());
    let load = Load::start(replica.url(), 4, 6, Duration::from_millis(1));
    for _ in 0..3 {
        let replication = Replication::start(to_replica()).await.unwrap();
        load.commit_more(100).await;
        assert_eq!(replication.progress().borrow().conflicts, 0);
        replication.stop().await.unwrap();
    }
    load.stop().await;
    let replication = Replication::start(to_replica()).await.unwrap();
    let target = head(&replica).await;
    tokio::time::timeout(Duration::from_secs(120), replication.reached(&target)).await.unwrap().unwrap();
    replication.stop().await.unwrap();
    let conflicts = "SELECT conflicts FROM bluegreen.checkpoint WHERE stream = 'forward'";
    assert_eq!(pair.green.sql(conflicts).await.unwrap(), "0");
    assert_same(&replica, &pair.green).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failover_to_a_replica_mysql_97() {
    fails_over(Kind::MySql97, Kind::MySql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failover_to_a_replica_mysql_56() {
    fails_over(Kind::MySql56, Kind::MySql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failover_to_a_replica_mariadb_1011() {
    fails_over(Kind::MariaDb1011, Kind::MariaDb1011).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failover_to_a_replica_mariadb_105() {
    fails_over(Kind::MariaDb105, Kind::MariaDb118).await;
}

/// Purges all logs before this one. A server keeps, without a word, those that a connection reads which it does not know to
/// be gone.
async fn purge_to(server: &Server, file: &str) {
    let purged = async {
        while !server.sql("SHOW BINARY LOGS").await.unwrap().starts_with(file) {
            server.sql(&format!("PURGE BINARY LOGS TO '{file}'")).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), purged).await.expect("the logs stay");
}

/// Blue purges what green has not: a clear stop, and green stays as it was.
async fn stops_behind_a_purge(blue: Kind, green: Kind, gtid: bool) {
    let pair = Pair::with_gtid(blue, green, gtid).await;
    load::schema(&pair.blue).await;
    pair.create().await;
    let replication = pair.replicate().await;
    pair.blue.sql("UPDATE shop.seat SET owner = 'before' WHERE id = 1").await.unwrap();
    pair.level(&replication).await;
    replication.stop().await.unwrap();
    pair.assert_same().await;
    // A log that green has may go; the next one is the needed one.
    pair.blue.sql("FLUSH BINARY LOGS").await.unwrap();
    let needed = head(&pair.blue).await.coordinates;
    let replication = pair.replicate().await;
    pair.level(&replication).await;
    replication.stop().await.unwrap();
    purge_to(&pair.blue, &needed.file).await;
    pair.blue.sql("UPDATE shop.seat SET owner = 'kept' WHERE id = 2").await.unwrap();
    let replication = pair.replicate().await;
    pair.level(&replication).await;
    replication.stop().await.unwrap();
    pair.assert_same().await;

    let before = pair
        .green
        .sql("SELECT file, `offset`, gtid, transactions FROM bluegreen.checkpoint; CHECKSUM TABLE shop.seat")
        .await
        .unwrap();
    pair.blue.sql("UPDATE shop.seat SET owner = 'lost' WHERE id = 3").await.unwrap();
    pair.blue.sql("FLUSH BINARY LOGS").await.unwrap();
    let last = head(&pair.blue).await.coordinates;
    purge_to(&pair.blue, &last.file).await;
    // MariaDB says it when the log is asked for only.
    let error = match Replication::start(pair.config()).await {
        Ok(mut replication) => {
            let ended = tokio::time::timeout(Duration::from_secs(60), replication.finished()).await;
            ended.unwrap_or_else(|_| panic!("the stream goes on: {:?}", replication.progress().borrow())).unwrap_err()
        }
        Err(error) => error,
    };
    assert_eq!((error.kind(), error.recovery()), (ErrorKind::Purged, Recovery::Operator), "{error}");
    assert!(error.advice().unwrap().contains("build green anew"), "{error}");

    let after = pair
        .green
        .sql("SELECT file, `offset`, gtid, transactions FROM bluegreen.checkpoint; CHECKSUM TABLE shop.seat")
        .await
        .unwrap();
    assert_eq!(after, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn purged_logs_mysql_97() {
    stops_behind_a_purge(Kind::MySql97, Kind::MySql97, true).await;
    stops_behind_a_purge(Kind::MySql97, Kind::MySql97, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn purged_logs_mysql_56() {
    stops_behind_a_purge(Kind::MySql56, Kind::MySql97, true).await;
    stops_behind_a_purge(Kind::MySql56, Kind::MySql97, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn purged_logs_mariadb() {
    stops_behind_a_purge(Kind::MariaDb105, Kind::MariaDb118, true).await;
    stops_behind_a_purge(Kind::MariaDb1011, Kind::MariaDb1011, true).await;
}
