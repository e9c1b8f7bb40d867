//! What goes wrong while the stream runs: engines that die, servers that die, connections that break, two engines at
//! once, somebody else writing on green. Each test ends with a comparison of every row by plain SELECTs.

mod support;

use std::time::{Duration, Instant};

use bluegreen::ErrorKind;
use bluegreen::pipeline::State;
use bluegreen::sandbox::{Kind, Server};
use rand::{Rng, SeedableRng};
use support::Pair;
use support::load::{self, Load};

async fn loaded_pair(blue: Kind, green: Kind) -> (Pair, Load) {
    let pair = Pair::start(blue, green).await;
    load::schema(&pair.blue).await;
    pair.create().await;
    let load = Load::start(pair.blue.url(), 4, 2, Duration::from_millis(1));
    (pair, load)
}

/// The engine is killed at random 50 times under load; every row is there exactly once.
async fn survives_kill_9(blue: Kind, green: Kind) {
    let (pair, load) = loaded_pair(blue, green).await;
    let mut random = rand::rngs::StdRng::seed_from_u64(9);
    // How long an engine takes to its first commit depends on what else the machine does: each second engine shows it.
    let mut to_first_commit = Duration::ZERO;
    for round in 0..50 {
        let before = transactions(&pair).await;
        let (mut engine, started) = (pair.engine(&[]), Instant::now());
        if round % 2 == 0 {
            // Killed between two commits, or in the middle of one.
            while transactions(&pair).await == before {
                assert!(started.elapsed() < Duration::from_secs(60), "the engine commits nothing");
                assert!(engine.try_wait().unwrap().is_none(), "the engine ended by itself");
            }
            to_first_commit = started.elapsed();
            tokio::time::sleep(Duration::from_millis(random.random_range(0..100))).await;
        } else {
            // Anywhere from before it connects to behind its first commits.
            tokio::time::sleep(to_first_commit.mul_f64(random.random_range(0.0..1.5))).await;
        }
        assert!(engine.try_wait().unwrap().is_none(), "the engine ended by itself");
        engine.kill().unwrap();
        engine.wait().unwrap();
    }
    let committed = load.stop().await;
    assert!(committed > 500, "the load was too small: {committed}");
    let output = pair.engine(&["--until-caught-up"]).wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    pair.assert_same().await;
}

/// How many transactions green has.
async fn transactions(pair: &Pair) -> String {
    pair.green.sql("SELECT transactions FROM bluegreen.checkpoint WHERE stream = 'forward'").await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_killed_50_times_on_mysql() {
    survives_kill_9(Kind::MySql97, Kind::MySql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_killed_50_times_on_mariadb() {
    survives_kill_9(Kind::MariaDb1011, Kind::MariaDb1011).await;
}

/// Both servers are killed and started again in turn, and stopped cleanly, while the stream runs.
async fn survives_restarts(blue: Kind, green: Kind) {
    let (mut pair, load) = loaded_pair(blue, green).await;
    let replication = pair.replicate().await;
    for _ in 0..2 {
        load.commit_more(200).await;
        pair.green.kill().await.unwrap();
        pair.green.start().await.unwrap();
        load.commit_more(200).await;
        pair.blue.kill().await.unwrap();
        pair.blue.start().await.unwrap();
    }
    load.commit_more(200).await;
    let load = match blue {
        // What a transaction that stands behind a ROLLBACK TO SAVEPOINT did before it, MySQL 5.6.24 keeps when it is stopped
        // in that moment, and writes to no log (its own general log beside its binlog shows it): nobody can follow that.
        Kind::MySql56 => {
            load.stop().await;
            restart(&mut pair.blue).await;
            Load::start(pair.blue.url(), 4, 3, Duration::from_millis(1))
        }
        _ => {
            restart(&mut pair.blue).await;
            load
        }
    };
    load.commit_more(200).await;
    load.stop().await;
    pair.level(&replication).await;
    assert!(replication.progress().borrow().reconnects > 0);
    replication.stop().await.unwrap();
    pair.assert_same().await;
}

async fn restart(server: &mut Server) {
    server.stop().await.unwrap();
    server.start().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_killed_and_restarted_mysql_97() {
    survives_restarts(Kind::MySql97, Kind::MySql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_killed_and_restarted_mysql_56_to_97() {
    survives_restarts(Kind::MySql56, Kind::MySql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_killed_and_restarted_mariadb() {
    survives_restarts(Kind::MariaDb1011, Kind::MariaDb1011).await;
}

/// Every connection of the engine is killed by the servers again and again.
#[tokio::test(flavor = "multi_thread")]
async fn connections_killed_by_both_servers() {
    let pair = Pair::start(Kind::MySql97, Kind::MySql97).await;
    // The engine has an account of its own, so that its connections can be told from others.
    for server in [&pair.blue, &pair.green] {
        server.sql("CREATE USER engine@'%'; GRANT ALL ON *.* TO engine@'%'").await.unwrap();
    }
    load::schema(&pair.blue).await;
    pair.create().await;
    let load = Load::start(pair.blue.url(), 4, 2, Duration::from_millis(1));
    let config = bluegreen::pipeline::ReplicationConfig::new(
        pair.blue.url_as("engine", "").parse().unwrap(),
        pair.green.url_as("engine", "").parse().unwrap(),
    );
    let replication = bluegreen::pipeline::Replication::start(config).await.unwrap();
    let mut progress = replication.progress();
    for round in 0..20 {
        load.commit_more(30).await;
        progress.wait_for(|progress| progress.state == State::Replicating).await.unwrap();
        let before = progress.borrow().reconnects;
        let server = if round % 2 == 0 { &pair.green } else { &pair.blue };
        let ids = "SELECT PROCESSLIST_ID FROM performance_schema.threads WHERE PROCESSLIST_USER = 'engine'";
        for id in server.sql(ids).await.unwrap().lines() {
            // It may be gone already.
            let _ = server.sql(&format!("KILL {id}")).await;
        }
        progress.wait_for(|progress| progress.reconnects > before).await.unwrap();
    }
    load.stop().await;
    pair.level(&replication).await;
    assert!(replication.progress().borrow().reconnects >= 20);
    replication.stop().await.unwrap();
    pair.assert_same().await;
}

/// A stop is at a commit boundary, and the next start goes on exactly there.
#[tokio::test(flavor = "multi_thread")]
async fn stopped_and_started_again() {
    let (pair, load) = loaded_pair(Kind::MariaDb1011, Kind::MariaDb1011).await;
    for _ in 0..10 {
        let replication = pair.replicate().await;
        load.commit_more(50).await;
        replication.stop().await.unwrap();
    }
    load.stop().await;
    let replication = pair.replicate().await;
    pair.level(&replication).await;
    replication.stop().await.unwrap();
    pair.assert_same().await;
}

/// A second engine takes the stream over; the first one notices at its next commit and writes nothing more.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_engine_takes_over() {
    let (pair, load) = loaded_pair(Kind::MySql97, Kind::MySql97).await;
    let mut first = pair.replicate().await;
    load.commit_more(50).await;
    let second = pair.replicate().await;
    load.commit_more(50).await;
    let ended =
        tokio::time::timeout(Duration::from_secs(20), first.finished()).await.expect("the first engine goes on");
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::TakenOver);
    load.stop().await;
    pair.level(&second).await;
    assert_eq!(second.progress().borrow().conflicts, 0);
    second.stop().await.unwrap();
    pair.assert_same().await;
}

/// An idle engine notices too that another one took its stream.
#[tokio::test(flavor = "multi_thread")]
async fn an_idle_engine_notices_that_it_was_replaced() {
    let pair = Pair::start(Kind::MariaDb1011, Kind::MariaDb1011).await;
    load::schema(&pair.blue).await;
    pair.create().await;
    let mut first = pair.replicate().await;
    let second = pair.replicate().await;
    let ended =
        tokio::time::timeout(Duration::from_secs(20), first.finished()).await.expect("the first engine goes on");
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::TakenOver);
    second.stop().await.unwrap();
}

/// Definitions that the log does not tell apart are compared before anything is applied.
#[tokio::test(flavor = "multi_thread")]
async fn tables_that_differ_are_refused() {
    let pair = Pair::start(Kind::MySql56, Kind::MySql97).await;
    for (server, member, fraction) in [(&pair.blue, "'a','b'", 6), (&pair.green, "'b','a'", 0)] {
        server.sql("CREATE DATABASE d").await.unwrap();
        server.sql(&format!("CREATE TABLE d.time (id INT PRIMARY KEY, at DATETIME({fraction}))")).await.unwrap();
        server.sql(&format!("CREATE TABLE d.member (id INT PRIMARY KEY, m ENUM({member}))")).await.unwrap();
    }
    let error = |config| async { bluegreen::pipeline::Replication::start(config).await.unwrap_err() };
    let from = || pair.config().from(Some(bluegreen::model::StartPosition::Current));
    let first = error(from()).await;
    assert_eq!((first.kind(), first.place().unwrap().table.as_deref()), (ErrorKind::Unsupported, Some("d.member")));
    pair.green.sql("DROP TABLE d.member").await.unwrap();
    let second = error(from()).await;
    assert_eq!(second.place().unwrap().table.as_deref(), Some("d.time"));
    assert_eq!(pair.green.sql("SHOW DATABASES LIKE 'bluegreen'").await.unwrap(), "", "something was written");
}

/// Somebody else wrote on green: blue wins, and it is counted.
#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_write_is_overwritten_and_counted() {
    let pair = Pair::start(Kind::MySql97, Kind::MySql97).await;
    load::schema(&pair.blue).await;
    // Of this key one part is an expression: what stands in the other names no row.
    pair.blue
        .sql("CREATE TABLE shop.part (id INT PRIMARY KEY, t INT, e VARCHAR(9), UNIQUE KEY (t, (LOWER(e)))) ENGINE = InnoDB")
        .await
        .unwrap();
    pair.blue.sql("INSERT INTO shop.part VALUES (1, 7, 'a'), (2, 7, 'b'), (3, 7, 'c')").await.unwrap();
    pair.create().await;
    pair.green.sql("DELETE FROM shop.part WHERE id = 1").await.unwrap();
    pair.green.sql("INSERT INTO shop.seat VALUES (900, 'taken')").await.unwrap();
    pair.green.sql("DELETE FROM shop.seat WHERE id = 1").await.unwrap();
    pair.green.sql("DELETE FROM shop.seat WHERE id = 2").await.unwrap();
    let writes = bluegreen::watch::scan(&pair.green_url(), false).await.unwrap();
    assert_eq!((writes.open(), writes.total()), (4, 4));
    let replication = pair.replicate().await;
    // A unique value that a foreign row holds; a row that is missing; a row that is missing and goes.
    pair.blue.sql("UPDATE shop.seat SET owner = 'taken' WHERE id = 7").await.unwrap();
    pair.blue.sql("UPDATE shop.seat SET owner = 'back' WHERE id = 1").await.unwrap();
    pair.blue.sql("DELETE FROM shop.seat WHERE id = 2").await.unwrap();
    pair.blue.sql("UPDATE shop.part SET e = 'z' WHERE id = 1").await.unwrap();
    pair.level(&replication).await;
    assert_eq!(replication.progress().borrow().conflicts, 4);
    let kept = "SELECT conflicts FROM bluegreen.checkpoint WHERE stream = 'forward'";
    assert_eq!(pair.green.sql(kept).await.unwrap(), "4");
    replication.stop().await.unwrap();
    pair.assert_same().await;
    // The journal does not forget.
    assert_eq!(bluegreen::watch::scan(&pair.green_url(), true).await.unwrap().total(), 4);
    assert_eq!(bluegreen::watch::scan(&pair.green_url(), true).await.unwrap().total(), 4);
}

/// Foreign keys act as on blue behind a row that was put over a foreign write: what a cascade changes stands in no log.
async fn cascades_go_on_behind_a_conflict(kind: Kind) {
    let pair = Pair::start(kind, kind).await;
    load::schema(&pair.blue).await;
    pair.blue.sql("INSERT INTO shop.line VALUES (1, 1, 1), (2, 1, 1)").await.unwrap();
    pair.create().await;
    pair.green.sql("DELETE FROM shop.seat WHERE id = 1").await.unwrap();
    let replication = pair.replicate().await;
    pair.blue.sql("UPDATE shop.seat SET owner = 'back' WHERE id = 1").await.unwrap();
    pair.level(&replication).await;
    assert_eq!(replication.progress().borrow().conflicts, 1);
    pair.blue.sql("UPDATE shop.account SET id = 10001 WHERE id = 1").await.unwrap();
    pair.blue.sql("DELETE FROM shop.account WHERE id = 2").await.unwrap();
    pair.level(&replication).await;
    replication.stop().await.unwrap();
    pair.assert_same().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cascades_go_on_behind_a_conflict_on_mysql() {
    cascades_go_on_behind_a_conflict(Kind::MySql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cascades_go_on_behind_a_conflict_on_mariadb() {
    cascades_go_on_behind_a_conflict(Kind::MariaDb1011).await;
}

/// What is not handled stops the stream with its place; everything before it is on green.
#[tokio::test(flavor = "multi_thread")]
async fn a_statement_stops_the_stream_behind_what_came_before() {
    let pair = Pair::start(Kind::MariaDb1011, Kind::MariaDb1011).await;
    load::schema(&pair.blue).await;
    pair.create().await;
    let mut replication = pair.replicate().await;
    pair.blue.sql("UPDATE shop.seat SET owner = 'before' WHERE id = 3").await.unwrap();
    pair.blue.sql("/* hidden */ DROP TABLE IF EXISTS shop.none, mysql.none").await.unwrap();
    pair.blue.sql("UPDATE shop.seat SET owner = 'after' WHERE id = 4").await.unwrap();
    let error = replication.finished().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let place = error.place().unwrap();
    assert_eq!(place.event.as_deref(), Some("QUERY"));
    assert!(place.coordinates.is_some() && place.gtid.is_some(), "{error}");
    assert_eq!(pair.green.sql("SELECT owner FROM shop.seat WHERE id = 3").await.unwrap(), "before");
    assert_eq!(pair.green.sql("SELECT owner FROM shop.seat WHERE id = 4").await.unwrap(), "owner4");
}

/// A source that hangs without closing its connection is noticed, and followed again once it answers.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_blue_is_noticed() {
    let (pair, load) = loaded_pair(Kind::MariaDb1011, Kind::MariaDb1011).await;
    let mut config = pair.config();
    config.heartbeat = Duration::from_millis(100);
    let replication = bluegreen::pipeline::Replication::start(config).await.unwrap();
    load.commit_more(50).await;
    pair.blue.pause().unwrap();
    let mut progress = replication.progress();
    let noticed = progress.wait_for(|progress| matches!(progress.state, State::Retrying { .. }));
    tokio::time::timeout(Duration::from_secs(30), noticed).await.expect("nothing was noticed").unwrap();
    pair.blue.resume().unwrap();
    load.commit_more(50).await;
    load.stop().await;
    pair.level(&replication).await;
    replication.stop().await.unwrap();
    pair.assert_same().await;
}
