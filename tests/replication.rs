//! The forward pipeline between real servers. Each test ends with a comparison of every row by plain SELECTs.

mod support;

use std::time::Duration;

use bluegreen::sandbox::Kind;
use support::Pair;
use support::load::{self, Load};

/// Create under load, follow, end equal.
async fn follows(pair: Pair) {
    load::schema(&pair.blue).await;
    let traffic = Load::start(pair.blue.url(), 4, 1, Duration::from_millis(1));
    traffic.commit_more(100).await;
    pair.create().await;
    let replication = pair.replicate().await;
    traffic.commit_more(1500).await;
    traffic.stop().await;
    pair.level(&replication).await;
    let progress = replication.progress().borrow().clone();
    assert!(progress.row_changes > 500, "too little was replicated: {progress:?}");
    assert_eq!(progress.conflicts, 0);
    replication.stop().await.unwrap();
    pair.assert_same().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_97_to_97_by_gtid() {
    follows(Pair::start(Kind::MySql97, Kind::MySql97).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_97_to_97_by_file() {
    follows(Pair::with_gtid(Kind::MySql97, Kind::MySql97, false).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_56_to_97_by_gtid() {
    follows(Pair::start(Kind::MySql56, Kind::MySql97).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_56_to_97_by_file() {
    follows(Pair::with_gtid(Kind::MySql56, Kind::MySql97, false).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_1011_to_1011() {
    follows(Pair::start(Kind::MariaDb1011, Kind::MariaDb1011).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_105_to_118() {
    follows(Pair::start(Kind::MariaDb105, Kind::MariaDb118).await).await;
}
