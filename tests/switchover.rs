//! The switchover on real servers: the switch, every way of not switching, and what a crash leaves behind.

mod support;

use std::time::Duration;

use bluegreen::checks::Verdict;
use bluegreen::endpoint::{Endpoint, Upstream};
use bluegreen::pipeline::{dry_run, switch_over};
use bluegreen::sandbox::{Kind, Server};
use bluegreen::switchover::{Endpoints, Hook, NoRouting, Outcome, SwitchoverConfig};
use mysql_async::prelude::Queryable;
use support::Pair;
use support::load::{self, Load};

fn config(pair: &Pair) -> SwitchoverConfig {
    SwitchoverConfig::new(pair.blue_url(), pair.green_url())
}

async fn application(server: &Server) {
    server.sql("CREATE USER app@'%' IDENTIFIED BY 'app'").await.unwrap();
    server.sql("GRANT SELECT, INSERT, UPDATE, DELETE ON *.* TO app@'%'").await.unwrap();
}

fn upstream(server: &Server) -> Upstream {
    Upstream::Tcp(format!("127.0.0.1:{}", server.port()))
}

/// Traffic goes on through the endpoint; what was acknowledged is on the new production, and the two are equal up to
/// the switch.
async fn switches_under_load(blue: Kind, green: Kind) {
    let pair = Pair::start(blue, green).await;
    application(&pair.blue).await;
    application(&pair.green).await;
    load::schema(&pair.blue).await;
    pair.blue.sql("CREATE TABLE shop.ack (id BIGINT NOT NULL PRIMARY KEY) ENGINE = InnoDB").await.unwrap();
    pair.create().await;
    let production = Endpoint::bind("127.0.0.1:0", upstream(&pair.blue)).await.unwrap();
    let other = Endpoint::bind("127.0.0.1:0", upstream(&pair.green)).await.unwrap();
    let (address, old_address) = (production.local_addr(), other.local_addr());
    let routing = Endpoints::new(production, Some(other), upstream(&pair.blue), upstream(&pair.green));
    // The driver would leave the endpoint for the server's socket, if it were let.
    let traffic =
        Load::start(format!("mysql://app:app@{address}?prefer_socket=false"), 4, 5, Duration::from_millis(10));
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let acknowledged =
        tokio::spawn(load::acknowledge(format!("mysql://app:app@{address}?prefer_socket=false"), stopped));
    let replication = pair.replicate().await;
    traffic.commit_more(300).await;
    let report = Box::pin(switch_over(&config(&pair), &routing)).await.unwrap();
    assert_eq!(report.outcome, Outcome::Completed, "{:?}", report.reason);
    let whole = report.write_block_ms.unwrap();
    assert!(whole < 5000.0);
    let steps: f64 = report.steps.iter().map(|step| step.ms).sum();
    assert!((whole - steps).abs() < 0.01, "{whole} ms, but {:?}", report.steps);
    assert!(report.position_map.blue.is_some() && report.position_map.green.is_some());
    assert!(replication.stop().await.is_err(), "the old stream noticed nothing");
    traffic.commit_more(300).await;
    traffic.stop().await;
    stop.send(true).unwrap();
    let acknowledged = acknowledged.await.unwrap();
    assert!(acknowledged.len() > 100);
    let present = load::present(&pair.green).await;
    let lost: Vec<_> = acknowledged.iter().filter(|id| !present.contains(id)).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    // The old production refuses, under its new address too.
    let mut old =
        mysql_async::Conn::from_url(format!("mysql://app:app@{old_address}?prefer_socket=false")).await.unwrap();
    let port: u16 = old.query_first("SELECT @@port").await.unwrap().unwrap();
    assert_eq!(port, pair.blue.port());
    assert!(old.query_drop("INSERT INTO shop.ack VALUES (0)").await.is_err());
    let deleted = bluegreen::deployment::DeleteConfig::new(pair.green_url());
    let refused = bluegreen::deployment::delete(&deleted.clone().delete_target(true)).await;
    assert!(refused.is_err(), "production was deleted");
    bluegreen::deployment::delete(&deleted).await.unwrap();
    assert_eq!(pair.green.sql("SHOW DATABASES LIKE 'bluegreen'").await.unwrap(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_97() {
    switches_under_load(Kind::MySql97, Kind::MySql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_56_to_97() {
    switches_under_load(Kind::MySql56, Kind::MySql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_1011() {
    switches_under_load(Kind::MariaDb1011, Kind::MariaDb1011).await;
}

async fn built(kind: Kind) -> Pair {
    let pair = Pair::start(kind, kind).await;
    load::schema(&pair.blue).await;
    pair.create().await;
    pair
}

async fn is_writable(server: &Server) -> bool {
    server.sql("SELECT @@global.read_only").await.unwrap() == "0"
}

/// Guardrails veto, and nothing was changed: blue takes writes, green does not, the deployment is available.
async fn assert_unchanged(pair: &Pair, guardrail: &str) {
    let dry = Box::pin(dry_run(&config(pair))).await.unwrap();
    assert!(dry.guardrails.iter().any(|check| check.name == guardrail && check.blocks()), "{:?}", dry.guardrails);
    let report = Box::pin(switch_over(&config(pair), &NoRouting::new())).await.unwrap();
    assert_eq!(report.outcome, Outcome::Unchanged);
    assert!(report.reason.unwrap().contains(guardrail));
    assert!(is_writable(&pair.blue).await);
    let status = pair.green.sql("SELECT status FROM bluegreen.deployment").await.unwrap();
    assert_eq!(status, "AVAILABLE");
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_writes_veto() {
    let pair = built(Kind::MariaDb1011).await;
    pair.green.sql("UPDATE shop.seat SET owner = 'foreign' WHERE id = 1").await.unwrap();
    assert_unchanged(&pair, "no_foreign_writes").await;
    assert!(!is_writable(&pair.green).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_transaction_vetoes() {
    let pair = built(Kind::MySql97).await;
    let mut session = mysql_async::Conn::from_url(pair.blue.url()).await.unwrap();
    session.query_drop("BEGIN").await.unwrap();
    session.query_drop("UPDATE shop.seat SET owner = 'long' WHERE id = 1").await.unwrap();
    // The guardrail's bound is in the transaction's age, which only time makes.
    let old = "SELECT COUNT(*) FROM information_schema.INNODB_TRX WHERE trx_started < NOW() - INTERVAL 6 SECOND";
    while pair.blue.sql(old).await.unwrap() == "0" {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_unchanged(&pair, "no_long_transaction").await;
    // With something else in the way, nobody is ended.
    let killing = config(&pair).killing_blockers(true);
    pair.green.sql("SET GLOBAL read_only = 0").await.unwrap();
    let report = Box::pin(switch_over(&killing, &NoRouting::new())).await.unwrap();
    assert_eq!(report.outcome, Outcome::Unchanged);
    session.query_drop("SELECT 1").await.unwrap();
    pair.green.sql("SET GLOBAL read_only = 1").await.unwrap();
    let report = Box::pin(switch_over(&killing, &NoRouting::new())).await.unwrap();
    assert_eq!(report.outcome, Outcome::Completed, "{:?}", report.reason);
    assert!(
        report.notes.iter().any(|note| note.contains(&format!("connection {} ", session.id()))),
        "{:?}",
        report.notes
    );
    assert!(session.query_drop("SELECT 1").await.is_err(), "it was ended");
    let owner = pair.green.sql("SELECT COUNT(*) FROM shop.seat WHERE owner = 'long'").await.unwrap();
    assert_eq!(owner, "0", "what it had done is undone");
}

/// Green goes while writes are blocked, and does not come back: blue need not wait for it.
async fn takes_writes_without_green(kind: Kind) {
    let mut pair = built(kind).await;
    let (ask, mut asked) = tokio::sync::mpsc::unbounded_channel::<tokio::sync::oneshot::Sender<()>>();
    let mut faulty = config(&pair).bounds(Duration::from_secs(30), Duration::from_secs(2)).unwrap();
    faulty.hook = Hook::new(move |step, is_done| {
        let ask = ask.clone();
        async move {
            if step == "Drain" && !is_done {
                let (done, is_done) = tokio::sync::oneshot::channel();
                ask.send(done).unwrap();
                let _ = is_done.await;
            }
        }
    });
    let acting = async {
        let go_on = asked.recv().await.unwrap();
        assert!(!is_writable(&pair.blue).await);
        pair.green.kill().await.unwrap();
        go_on.send(()).unwrap();
        let gone = std::time::Instant::now();
        while !is_writable(&pair.blue).await {
            assert!(gone.elapsed() < Duration::from_secs(15), "blue waits for green");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let routing = NoRouting::new();
    let (report, ()) = tokio::join!(Box::pin(switch_over(&faulty, &routing)), acting);
    assert_ne!(report.unwrap().outcome, Outcome::Completed);
    assert!(is_writable(&pair.blue).await);
    pair.green.start().await.unwrap();
    // Not every server keeps that over a restart.
    pair.green.sql("SET GLOBAL read_only = 1").await.unwrap();
    let report = Box::pin(switch_over(&config(&pair), &NoRouting::new())).await.unwrap();
    assert_eq!(report.outcome, Outcome::Completed, "{:?}", report.reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql97_takes_writes_without_green() {
    Box::pin(takes_writes_without_green(Kind::MySql97)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb1011_takes_writes_without_green() {
    Box::pin(takes_writes_without_green(Kind::MariaDb1011)).await;
}

/// A schema change is ended, and what only waits behind it goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_schema_change_is_ended_where_that_is_asked_for() {
    let pair = built(Kind::MariaDb1011).await;
    let mut holder = mysql_async::Conn::from_url(pair.blue.url()).await.unwrap();
    holder.query_drop("BEGIN").await.unwrap();
    holder.query_drop("SELECT COUNT(*) FROM shop.seat").await.unwrap();
    let url = pair.blue.url();
    let altering = tokio::spawn(async move {
        let mut session = mysql_async::Conn::from_url(url).await.unwrap();
        session.query_drop("ALTER TABLE shop.seat ADD COLUMN later INT NULL").await
    });
    let waits = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE LIKE 'Waiting for%metadata lock'";
    while pair.blue.sql(waits).await.unwrap() == "0" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let url = pair.blue.url();
    let behind = tokio::spawn(async move {
        let mut session = mysql_async::Conn::from_url(url).await.unwrap();
        session.query_first::<u64, _>("SELECT COUNT(*) FROM shop.seat").await
    });
    while pair.blue.sql(waits).await.unwrap() != "2" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_unchanged(&pair, "no_running_ddl").await;
    let report = Box::pin(switch_over(&config(&pair).killing_blockers(true), &NoRouting::new())).await.unwrap();
    assert_eq!(report.outcome, Outcome::Completed, "{:?}", report.reason);
    assert!(altering.await.unwrap().is_err(), "it was ended");
    assert!(behind.await.unwrap().is_ok(), "it only waited");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_green_that_is_less_durable_vetoes() {
    let pair = built(Kind::MariaDb1011).await;
    pair.blue.sql("SET GLOBAL sync_binlog = 1").await.unwrap();
    pair.green.sql("SET GLOBAL sync_binlog = 0").await.unwrap();
    assert_unchanged(&pair, "green_as_durable").await;
}

/// Something else that writes on the two would go on behind the switch.
#[tokio::test(flavor = "multi_thread")]
async fn replication_by_the_servers_themselves_vetoes() {
    for kind in [Kind::MySql97, Kind::MariaDb1011] {
        let pair = built(kind).await;
        pair.follow_natively().await;
        let threads = "SELECT COUNT(*) > 0 FROM information_schema.PROCESSLIST WHERE USER = 'system user' AND COMMAND <> 'Daemon'";
        while pair.green.sql(threads).await.unwrap() == "0" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let report = Box::pin(switch_over(&config(&pair), &NoRouting::new())).await.unwrap();
        assert_eq!(report.outcome, Outcome::Unchanged);
        assert!(report.reason.as_ref().unwrap().contains("no_other_replication"), "{:?}", report.reason);
    }
}

/// MySQL's own list of transactions cannot be read at all while one of them runs such a statement.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_transaction_is_named_beside_text_that_mysql_cannot_show() {
    let pair = built(Kind::MySql97).await;
    let mut long = mysql_async::Conn::from_url(pair.blue.url()).await.unwrap();
    long.query_drop("BEGIN").await.unwrap();
    long.query_drop("UPDATE shop.seat SET owner = 'long' WHERE id = 1").await.unwrap();
    let connection = long.id();
    let url = pair.blue.url();
    let unshown = tokio::spawn(async move {
        let mut session = mysql_async::Conn::from_url(url).await.unwrap();
        session.query_drop("BEGIN").await.unwrap();
        session.query_drop("UPDATE shop.seat SET owner = 'short' WHERE id = 2").await.unwrap();
        session.query_drop("SELECT SLEEP(600), '😀'").await
    });
    let named = format!("connection {connection} of root in a transaction");
    loop {
        let dry = Box::pin(dry_run(&config(&pair))).await.unwrap();
        let check = dry.guardrails.iter().find(|check| check.name == "no_long_transaction").unwrap();
        match check.verdict {
            // Not old enough yet.
            Verdict::Pass => {}
            Verdict::Fail if check.evidence.contains(&named) => break,
            _ => panic!("{check:?}"),
        }
        assert!(!unshown.is_finished());
    }
    unshown.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writable_green_vetoes() {
    let pair = built(Kind::MySql97).await;
    pair.green.sql("SET GLOBAL read_only = 0").await.unwrap();
    assert_unchanged(&pair, "green_read_only").await;
}

/// Blue cannot be fenced in time, as a client holds a table lock: everything is undone.
#[tokio::test(flavor = "multi_thread")]
async fn a_fence_that_does_not_close_is_undone() {
    let pair = built(Kind::MySql97).await;
    let mut session = mysql_async::Conn::from_url(pair.blue.url()).await.unwrap();
    session.query_drop("LOCK TABLES shop.seat WRITE").await.unwrap();
    let config = config(&pair).bounds(Duration::from_secs(30), Duration::from_secs(1)).unwrap();
    let report = Box::pin(switch_over(&config, &NoRouting::new())).await.unwrap();
    assert_eq!(report.outcome, Outcome::Unchanged, "{:?}", report.reason);
    session.query_drop("UPDATE shop.seat SET owner = 'mine' WHERE id = 1").await.unwrap();
    session.query_drop("UNLOCK TABLES").await.unwrap();
    assert!(is_writable(&pair.blue).await);
    assert!(!is_writable(&pair.green).await);
    // And the next one goes through.
    let report = Box::pin(switch_over(&config, &NoRouting::new())).await.unwrap();
    assert_eq!(report.outcome, Outcome::Completed, "{:?}", report.reason);
    assert!(is_writable(&pair.green).await);
    assert!(!is_writable(&pair.blue).await);
}

/// A privileged account writes on blue behind `read_only`, which MariaDB lets it: the switch is undone.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_behind_the_fence_is_noticed() {
    let pair = built(Kind::MariaDb1011).await;
    let load = Load::start(pair.blue.url(), 4, 3, Duration::from_millis(1));
    load.commit_more(50).await;
    let report = Box::pin(switch_over(&config(&pair), &NoRouting::new())).await.unwrap();
    load.stop().await;
    assert_eq!(report.outcome, Outcome::Unchanged, "{:?}", report.reason);
    assert!(is_writable(&pair.blue).await);
    assert!(!is_writable(&pair.green).await);
}

/// What a crash before the point of no return leaves is undone by the next call, which then switches.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_before_the_point_of_no_return_is_undone() {
    let pair = built(Kind::MySql97).await;
    pair.green
        .sql("UPDATE bluegreen.deployment SET status = 'SWITCHOVER_IN_PROGRESS', phase = 'fencing'")
        .await
        .unwrap();
    pair.blue.sql("SET GLOBAL super_read_only = 1").await.unwrap();
    let report = Box::pin(switch_over(&config(&pair), &NoRouting::new())).await.unwrap();
    assert_eq!(report.outcome, Outcome::Completed, "{:?}", report.reason);
    assert!(is_writable(&pair.green).await && !is_writable(&pair.blue).await);
}

/// What a crash after it leaves is finished.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_after_the_point_of_no_return_is_finished() {
    let pair = built(Kind::MariaDb1011).await;
    pair.green
        .sql("UPDATE bluegreen.deployment SET status = 'SWITCHOVER_IN_PROGRESS', phase = 'promoting'")
        .await
        .unwrap();
    pair.blue.sql("SET GLOBAL read_only = 1").await.unwrap();
    let report = Box::pin(switch_over(&config(&pair), &NoRouting::new())).await.unwrap();
    assert_eq!(report.outcome, Outcome::Completed, "{:?}", report.reason);
    assert!(is_writable(&pair.green).await && !is_writable(&pair.blue).await);
    let status = pair.green.sql("SELECT status FROM bluegreen.deployment").await.unwrap();
    assert_eq!(status, "SWITCHOVER_COMPLETED");
}

/// Two controllers at once: one server takes writes at any time, and at most one controller says that it switched.
#[tokio::test(flavor = "multi_thread")]
async fn two_controllers_at_once() {
    let pair = built(Kind::MySql97).await;
    let (done, mut watching) = tokio::sync::watch::channel(false);
    let watch = async {
        let mut both = 0;
        while !*watching.borrow_and_update() {
            // Green first: blue may become writable again between the two looks, green only once.
            let green = is_writable(&pair.green).await;
            both += u32::from(green && is_writable(&pair.blue).await);
        }
        both
    };
    let config = config(&pair);
    let routing = NoRouting::new();
    let controllers = async {
        let outcomes = tokio::join!(Box::pin(switch_over(&config, &routing)), Box::pin(switch_over(&config, &routing)));
        done.send(true).unwrap();
        [outcomes.0, outcomes.1].map(|report| report.map(|report| report.outcome))
    };
    let (both, outcomes) = tokio::join!(watch, controllers);
    assert_eq!(both, 0, "both took writes; {outcomes:?}");
    let completed = outcomes.iter().filter(|outcome| matches!(outcome, Ok(Outcome::Completed))).count();
    assert!(completed <= 1, "{outcomes:?}");
    // Whatever became of the two, the next call settles it.
    if completed == 0 {
        let report = Box::pin(switch_over(&config, &routing)).await.unwrap();
        assert_eq!(report.outcome, Outcome::Completed, "{:?} after {outcomes:?}", report.reason);
    }
    assert!(is_writable(&pair.green).await && !is_writable(&pair.blue).await);
}

/// Statements that wait for rows of transactions whose next statement waits for the fence: a knot that only giving up
/// unties.
async fn closes_the_fence_where_writers_wait_for_rows(kind: Kind) {
    let pair = Pair::start(kind, kind).await;
    application(&pair.blue).await;
    load::schema(&pair.blue).await;
    pair.create().await;
    let load = Load::start(pair.blue.url_as("app", "app"), 8, 5, Duration::ZERO);
    load.commit_more(200).await;
    let report = Box::pin(switch_over(&config(&pair), &NoRouting::new())).await.unwrap();
    load.stop().await;
    assert_eq!(report.outcome, Outcome::Completed, "{:?}", report.reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fence_closes_on_mysql_56() {
    closes_the_fence_where_writers_wait_for_rows(Kind::MySql56).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fence_closes_on_mysql_97() {
    closes_the_fence_where_writers_wait_for_rows(Kind::MySql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fence_closes_on_mariadb_1011() {
    closes_the_fence_where_writers_wait_for_rows(Kind::MariaDb1011).await;
}
