//! The way back: behind a switchover the old production follows the new one, and a rollback keeps every write.

mod support;

use std::collections::HashSet;
use std::time::Duration;

use bluegreen::checks::{Verdict, VerifyConfig, verify};
use bluegreen::deployment::{Deployment, Status};
use bluegreen::endpoint::{Endpoint, Upstream};
use bluegreen::pipeline::{Replication, ReplicationConfig, dry_roll_back, roll_back, switch_over};
use bluegreen::sandbox::{Kind, Server};
use bluegreen::switchover::{Endpoints, NoRouting, Outcome, SwitchoverConfig};
use mysql_async::prelude::Queryable;
use support::Pair;
use support::load::{self, Load};

fn config(pair: &Pair) -> SwitchoverConfig {
    SwitchoverConfig::new(pair.blue_url(), pair.green_url())
}

fn upstream(server: &Server) -> Upstream {
    Upstream::Tcp(format!("127.0.0.1:{}", server.port()))
}

/// There and back and there again under load, with everything that sleeps on green: triggers and events.
async fn goes_there_and_back(kind: Kind) {
    let pair = Pair::start(kind, kind).await;
    for server in [&pair.blue, &pair.green] {
        server.sql("CREATE USER app@'%' IDENTIFIED BY 'app'").await.unwrap();
        server.sql("GRANT SELECT, INSERT, UPDATE, DELETE ON *.* TO app@'%'").await.unwrap();
        server.sql("SET GLOBAL event_scheduler = ON").await.unwrap();
    }
    load::schema(&pair.blue).await;
    for statement in [
        "CREATE TABLE shop.ack (id BIGINT NOT NULL PRIMARY KEY) ENGINE = InnoDB",
        "CREATE TABLE shop.seen (id BIGINT NOT NULL PRIMARY KEY) ENGINE = InnoDB",
        "CREATE TABLE shop.tick (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, at_server INT) ENGINE = InnoDB",
        "CREATE TRIGGER shop.after_ack AFTER INSERT ON shop.ack FOR EACH ROW INSERT INTO shop.seen VALUES (NEW.id)",
        "CREATE EVENT shop.ticking ON SCHEDULE EVERY 1 SECOND DO INSERT INTO shop.tick (at_server) VALUES (@@server_id)",
    ] {
        pair.blue.sql(statement).await.unwrap();
    }
    pair.create().await;
    let production = Endpoint::bind("127.0.0.1:0", upstream(&pair.blue)).await.unwrap();
    let url = format!("mysql://app:app@{}?prefer_socket=false", production.local_addr());
    let mut routing = Endpoints::new(production, None, upstream(&pair.blue), upstream(&pair.green));
    let traffic = Load::start(url.clone(), 4, 7, Duration::from_millis(5));
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let acknowledged = tokio::spawn(load::acknowledge(url, stopped));

    for there in 0..2 {
        traffic.commit_more(100).await;
        let report = Box::pin(switch_over(&config(&pair), &routing)).await.unwrap();
        assert_eq!(report.outcome, Outcome::Completed, "{:?}", report.reason);
        routing = routing.reversed();
        assert_one_writable(&pair, &pair.green).await;
        traffic.commit_more(100).await;
        // Another call changes nothing, and takes nothing that the new production's clients write for somebody else's.
        let again = Box::pin(switch_over(&config(&pair), &NoRouting::new())).await.unwrap();
        assert_eq!(again.outcome, Outcome::Unchanged);
        let dry = Box::pin(dry_roll_back(&config(&pair))).await.unwrap();
        let vetoes: Vec<_> = dry.guardrails.iter().filter(|check| check.blocks()).collect();
        assert!(vetoes.is_empty(), "{vetoes:?}");

        let reverse = ReplicationConfig::new(pair.green_url(), pair.blue_url());
        let replication = Replication::start(reverse).await.unwrap();
        // What is defined on the new production comes along, too.
        pair.green.sql(&format!("CREATE TABLE shop.of_round{there} (id INT PRIMARY KEY, UNIQUE (id))")).await.unwrap();
        pair.green
            .sql(&format!(
                "CREATE TRIGGER shop.in_round{there} BEFORE INSERT ON shop.of_round{there} FOR EACH ROW SET NEW.id = NEW.id + 1"
            ))
            .await
            .unwrap();
        pair.green.sql(&format!("INSERT INTO shop.of_round{there} VALUES (1)")).await.unwrap();
        traffic.commit_more(100).await;
        let verification = verify(&VerifyConfig::new(pair.green_url(), pair.blue_url()), |_| {}).await.unwrap();
        assert!(verification.equal, "round {there}: {:?}", verification.differences);
        replication.stop().await.unwrap();

        let report = Box::pin(roll_back(&config(&pair), &routing)).await.unwrap();
        assert_eq!(report.outcome, Outcome::Completed, "{:?}", report.reason);
        assert_eq!(report.members[0].target, "mydb1-old1");
        routing = routing.reversed();
        assert_one_writable(&pair, &pair.blue).await;
        pair.blue.sql(&format!("INSERT INTO shop.of_round{there} VALUES (5)")).await.unwrap();
        assert_eq!(pair.blue.sql(&format!("SELECT GROUP_CONCAT(id) FROM shop.of_round{there}")).await.unwrap(), "2,6");
    }
    traffic.commit_more(100).await;
    traffic.stop().await;
    stop.send(true).unwrap();
    let acknowledged: HashSet<u64> = acknowledged.await.unwrap().into_iter().collect();
    let present = load::present(&pair.blue).await;
    let lost: Vec<_> = acknowledged.difference(&present).collect();
    assert!(acknowledged.len() > 100 && lost.is_empty(), "acknowledged and lost: {lost:?}");
    // The trigger fired once for each row, on whichever server it came to.
    assert_eq!(
        pair.blue
            .sql("SELECT COUNT(*) FROM shop.ack LEFT JOIN shop.seen USING (id) WHERE seen.id IS NULL")
            .await
            .unwrap(),
        "0"
    );
    // And the event ran on both, each as it was production.
    let ticked = pair.blue.sql("SELECT COUNT(DISTINCT at_server) FROM shop.tick").await.unwrap();
    assert_eq!(ticked, "2");
    assert_eq!(
        pair.blue.sql("SELECT STATUS FROM information_schema.EVENTS WHERE EVENT_NAME = 'ticking'").await.unwrap(),
        "ENABLED"
    );
    assert_eq!(
        Box::pin(roll_back(&config(&pair), &NoRouting::new())).await.unwrap_err().kind(),
        bluegreen::ErrorKind::State
    );
    // The last way back can be gone, too.
    pair.blue.sql("SET GLOBAL event_scheduler = OFF").await.unwrap();
    let replication = Replication::start(ReplicationConfig::new(pair.blue_url(), pair.green_url())).await.unwrap();
    pair.level(&replication).await;
    replication.stop().await.unwrap();
    pair.assert_same().await;
}

/// Nobody but the privileged writes on the other one, whose record says that it follows.
async fn assert_one_writable(pair: &Pair, production: &Server) {
    let other = if std::ptr::eq(production, &pair.blue) { &pair.green } else { &pair.blue };
    assert_eq!(production.sql("SELECT @@global.read_only").await.unwrap(), "0");
    assert_eq!(other.sql("SELECT @@global.read_only").await.unwrap(), "1");
    assert_eq!(
        other.sql("SELECT COUNT(*) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = 'shop'").await.unwrap(),
        "0"
    );
    assert_eq!(
        other.sql("SELECT STATUS FROM information_schema.EVENTS WHERE EVENT_NAME = 'ticking'").await.unwrap(),
        "DISABLED"
    );
    for (server, expected) in [(production, Status::SwitchoverCompleted), (other, Status::Available)] {
        let record = Deployment::of(&server.url().parse().unwrap()).await.unwrap().unwrap();
        assert_eq!(record.status, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_97() {
    goes_there_and_back(Kind::MySql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_1011() {
    goes_there_and_back(Kind::MariaDb1011).await;
}

/// An older production cannot follow a newer one: that is said before the switch, and stands in nobody's way.
#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_has_no_way_back() {
    let pair = Pair::start(Kind::MySql56, Kind::MySql97).await;
    load::schema(&pair.blue).await;
    pair.create().await;
    let report = Box::pin(switch_over(&config(&pair), &NoRouting::new())).await.unwrap();
    assert_eq!(report.outcome, Outcome::Completed, "{:?}", report.reason);
    let check = report.guardrails.iter().find(|check| check.name == "rollback_possible").unwrap();
    assert_eq!(check.verdict, Verdict::Warn);
    assert!(check.evidence.contains("older"), "{}", check.evidence);
    let refused = Box::pin(roll_back(&config(&pair), &NoRouting::new())).await.unwrap_err();
    assert_eq!(refused.kind(), bluegreen::ErrorKind::State);
}

/// Somebody who passes `read_only` writes on the old production: the way back is barred until that is settled.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_on_the_old_production_is_noticed() {
    let pair = Pair::start(Kind::MySql97, Kind::MySql97).await;
    load::schema(&pair.blue).await;
    pair.create().await;
    Box::pin(switch_over(&config(&pair), &NoRouting::new())).await.unwrap();
    let before = Box::pin(dry_roll_back(&config(&pair))).await.unwrap();
    assert!(before.guardrails.iter().all(|check| !check.blocks()), "{:?}", before.guardrails);
    pair.blue.sql("UPDATE shop.seat SET owner = 'foreign' WHERE id = 1").await.unwrap();
    let report = Box::pin(roll_back(&config(&pair), &NoRouting::new())).await.unwrap();
    assert_eq!(report.outcome, Outcome::Unchanged);
    assert!(report.reason.unwrap().contains("no_foreign_writes"));
    assert_one_writable_record(&pair).await;
}

async fn assert_one_writable_record(pair: &Pair) {
    assert_eq!(pair.green.sql("SELECT @@global.read_only").await.unwrap(), "0");
    assert_eq!(pair.blue.sql("SELECT @@global.read_only").await.unwrap(), "1");
}

/// What a crash leaves while the way back is begun is finished, from the position that the journal has: green took writes
/// since.
async fn a_crash_on_the_way_is_finished(kind: Kind, left_on_blue: &str) {
    let pair = Pair::start(kind, kind).await;
    load::schema(&pair.blue).await;
    pair.create().await;
    Box::pin(switch_over(&config(&pair), &NoRouting::new())).await.unwrap();
    write(&pair.green, 10_001).await;
    pair.green
        .sql("UPDATE bluegreen.deployment SET status = 'SWITCHOVER_IN_PROGRESS', phase = 'promoting'")
        .await
        .unwrap();
    pair.blue.sql(left_on_blue).await.unwrap();
    write(&pair.green, 10_002).await;
    let report = Box::pin(switch_over(&config(&pair), &NoRouting::new())).await.unwrap();
    assert_eq!(report.outcome, Outcome::Completed, "{:?}", report.reason);
    comes_back(&pair, 3).await;
}

async fn write(server: &Server, id: u32) {
    let statement = format!("INSERT INTO shop.account (id, name, balance) VALUES ({id}, 'new', 1)");
    server.sql(&statement).await.unwrap();
}

/// One more write on green, and all of them are on blue behind a rollback.
async fn comes_back(pair: &Pair, writes: u32) {
    write(&pair.green, 10_003).await;
    let report = Box::pin(roll_back(&config(pair), &NoRouting::new())).await.unwrap();
    assert_eq!(report.outcome, Outcome::Completed, "{:?}", report.reason);
    let new = pair.blue.sql("SELECT COUNT(*) FROM shop.account WHERE name = 'new'").await.unwrap();
    assert_eq!(new, writes.to_string());
    pair.assert_same().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_before_the_record_is_moved_is_finished() {
    a_crash_on_the_way_is_finished(Kind::MySql97, "DO 0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_before_the_way_back_is_complete_is_finished() {
    let half = "UPDATE bluegreen.deployment SET status = 'PROVISIONING'";
    a_crash_on_the_way_is_finished(Kind::MariaDb1011, half).await;
}

/// The tables for it are there, and nothing more.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_before_the_way_back_is_begun_is_finished() {
    let pair = Pair::start(Kind::MySql97, Kind::MySql97).await;
    load::schema(&pair.blue).await;
    pair.create().await;
    let mut without = config(&pair);
    without.has_way_back = false;
    let report = Box::pin(switch_over(&without, &NoRouting::new())).await.unwrap();
    assert_eq!(report.outcome, Outcome::Completed, "{:?}", report.reason);
    assert!(Box::pin(roll_back(&config(&pair), &NoRouting::new())).await.is_err());
    write(&pair.green, 10_001).await;
    let mut blue = mysql_async::Conn::from_url(pair.blue.url()).await.unwrap();
    let mut green = mysql_async::Conn::from_url(pair.green.url()).await.unwrap();
    for statement in ["SET GLOBAL super_read_only = 0", "SET sql_log_bin = 0", "CREATE DATABASE bluegreen"] {
        blue.query_drop(statement).await.unwrap();
    }
    blue.query_drop("USE bluegreen").await.unwrap();
    for table in ["deployment", "foreign_write", "kept_table", "checkpoint", "statement"] {
        let shown: Option<(String, String)> =
            green.query_first(format!("SHOW CREATE TABLE bluegreen.{table}")).await.unwrap();
        blue.query_drop(shown.unwrap().1).await.unwrap();
    }
    pair.green
        .sql("UPDATE bluegreen.deployment SET status = 'SWITCHOVER_IN_PROGRESS', phase = 'promoting'")
        .await
        .unwrap();
    let report = Box::pin(switch_over(&config(&pair), &NoRouting::new())).await.unwrap();
    assert_eq!(report.outcome, Outcome::Completed, "{:?}", report.reason);
    comes_back(&pair, 2).await;
}
