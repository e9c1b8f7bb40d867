//! Lag on real servers: in all and by its parts, with the engine and with the servers' own replication.

mod support;

use std::time::Duration;

use bluegreen::checks::{Lag, LagProbe, Lags};
use bluegreen::sandbox::{Kind, Server};
use mysql_async::prelude::Queryable;
use support::Pair;

async fn insert(server: &Server, count: u64) {
    for _ in 0..count {
        server.sql("INSERT INTO d.t (v) VALUES ('x')").await.unwrap();
    }
}

async fn is_told_by_its_parts(kind: Kind) {
    let pair = Pair::start(kind, kind).await;
    pair.blue.sql("CREATE DATABASE d").await.unwrap();
    pair.blue.sql("CREATE TABLE d.t (id INT AUTO_INCREMENT PRIMARY KEY, v TEXT) ENGINE = InnoDB").await.unwrap();
    pair.create().await;
    let replication = pair.replicate().await;
    insert(&pair.blue, 1).await;
    pair.level(&replication).await;
    let mut probe = LagProbe::new(pair.blue_url(), pair.green_url());
    let progress = replication.progress();
    let mut measure = async || {
        let received = || progress.borrow().received.clone();
        probe.measure_beside(received).await
    };
    let level = measure().await;
    for part in [&level.end_to_end, &level.transport, &level.apply] {
        assert_eq!((part.seconds(), part.transactions(), part.bytes()), (Some(0.0), Some(0), Some(0)), "{level:?}");
    }
    // Both servers are on this machine.
    let clocks = level.clocks.unwrap();
    assert!(clocks.green_ahead_seconds.abs() <= clocks.uncertain_by_seconds + 0.01, "{clocks:?}");

    // Green takes no commit of the engine: what blue commits is received, and no further.
    let mut holder = mysql_async::Conn::from_url(pair.green.url()).await.unwrap();
    holder.query_drop("BEGIN").await.unwrap();
    holder.query_drop("SELECT * FROM bluegreen.checkpoint FOR UPDATE").await.unwrap();
    insert(&pair.blue, 10).await;
    let held = loop {
        let lags = measure().await;
        assert_eq!(lags.end_to_end.transactions(), Some(10), "{lags:?}");
        if lags.transport.transactions() == Some(0) {
            break lags;
        }
    };
    assert_eq!((held.transport.seconds(), held.transport.bytes()), (Some(0.0), Some(0)), "{held:?}");
    assert_eq!(held.apply.transactions(), Some(10), "{held:?}");
    assert!(held.apply.bytes() > Some(0) && held.apply.bytes() == held.end_to_end.bytes(), "{held:?}");
    // All by blue's clock: the part is never more than the whole.
    assert!(held.apply.seconds().unwrap() <= held.end_to_end.seconds().unwrap(), "{held:?}");
    holder.query_drop("ROLLBACK").await.unwrap();
    pair.level(&replication).await;
    assert!(measure().await.end_to_end.is_zero());

    // Nothing is known without blue, and that is not zero.
    pair.blue.pause().unwrap();
    let frozen = tokio::time::timeout(Duration::from_secs(3), measure()).await;
    assert!(frozen.is_err() || !frozen.unwrap().end_to_end.is_zero());
    pair.blue.resume().unwrap();
    replication.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn is_told_by_its_parts_on_mysql() {
    is_told_by_its_parts(Kind::MySql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn is_told_by_its_parts_on_mariadb() {
    is_told_by_its_parts(Kind::MariaDb1011).await;
}

/// Two servers that their own replication keeps in sync, and nothing of this library on either.
async fn of_native_replication(kind: Kind) {
    let pair = Pair::start(kind, kind).await;
    pair.follow_natively().await;
    pair.blue.sql("CREATE DATABASE d").await.unwrap();
    pair.blue.sql("CREATE TABLE d.t (id INT AUTO_INCREMENT PRIMARY KEY, v TEXT) ENGINE = InnoDB").await.unwrap();
    insert(&pair.blue, 3).await;
    let mut probe = LagProbe::new(pair.blue_url(), pair.green_url());
    let mut until = async |wanted: fn(&Lags) -> bool| {
        let reached = async {
            loop {
                let lags = probe.measure_beside(|| None).await;
                if wanted(&lags) {
                    return lags;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(30), reached).await.expect("the lag is not as wanted")
    };
    let level = until(|lags| lags.end_to_end.is_zero()).await;
    assert!(matches!(level.apply, Lag::Unknown { .. }), "{level:?}");
    pair.native("STOP").await;
    insert(&pair.blue, 4).await;
    let behind = until(|lags| lags.end_to_end.transactions() == Some(4)).await;
    assert_eq!((behind.end_to_end.seconds(), behind.end_to_end.bytes()), (None, None), "{behind:?}");
    assert!(!behind.end_to_end.is_zero());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_native_replication_on_mysql() {
    of_native_replication(Kind::MySql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_native_replication_on_mariadb() {
    of_native_replication(Kind::MariaDb1011).await;
}
