//! Applications behind HAProxy, and behind whatever a command leads, through a switchover and back again.

mod support;

use std::time::{Duration, Instant};

use bluegreen::checks::Verdict;
use bluegreen::pipeline::{roll_back, switch_over};
use bluegreen::sandbox::{HaProxyServer, Kind};
use bluegreen::switchover::{HaProxy, Outcome, Routing, SwitchoverConfig};
use mysql_async::prelude::Queryable;
use support::Pair;
use support::load;

/// How many applications write at once.
const CLIENTS: u64 = 6;

/// Writes one row after the other, connecting anew whenever a connection is lost. Returns what was acknowledged, and how many
/// connections were refused.
async fn application(url: String, first: u64, mut stop: tokio::sync::watch::Receiver<bool>) -> (Vec<u64>, u64) {
    let (mut acknowledged, mut refused, mut id) = (Vec::new(), 0, first);
    while !*stop.borrow_and_update() {
        let mut conn = match mysql_async::Conn::from_url(&url).await {
            Ok(conn) => conn,
            Err(mysql_async::Error::Io(_)) => {
                refused += 1;
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        while !*stop.borrow_and_update() {
            id += CLIENTS;
            // Lost or refused: the id is not used again.
            if conn.query_drop(format!("INSERT INTO shop.ack VALUES ({id})")).await.is_err() {
                break;
            }
            acknowledged.push(id);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    (acknowledged, refused)
}

async fn port_behind(url: &str) -> u16 {
    let mut conn = mysql_async::Conn::from_url(url).await.unwrap();
    conn.query_first("SELECT @@port").await.unwrap().unwrap()
}

async fn behind_haproxy(kind: Kind) {
    let pair = Pair::start(kind, kind).await;
    load::schema(&pair.blue).await;
    for statement in [
        "CREATE TABLE shop.ack (id BIGINT NOT NULL PRIMARY KEY) ENGINE = InnoDB",
        "CREATE USER app@'%' IDENTIFIED BY 'app'",
        "GRANT SELECT, INSERT ON *.* TO app@'%'",
    ] {
        pair.blue.sql(statement).await.unwrap();
    }
    pair.create().await;
    let proxy = HaProxyServer::start(pair.blue.port(), pair.green.port()).await.unwrap();
    let url = format!("mysql://app:app@{}?prefer_socket=false", proxy.address());
    let mut routing = HaProxy::new(&proxy.socket().to_string_lossy(), "db", "blue", "green").unwrap();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let applications: Vec<_> =
        (0..CLIENTS).map(|client| tokio::spawn(application(url.clone(), client, stopped.clone()))).collect();
    let config = SwitchoverConfig::new(pair.blue_url(), pair.green_url());

    for round in 0..2 {
        assert_eq!(port_behind(&url).await, pair.blue.port());
        let report = Box::pin(switch_over(&config, &routing)).await.unwrap();
        assert_eq!(report.outcome, Outcome::Completed, "{:?}", report.reason);
        assert!(report.notes.iter().all(|note| !note.contains("way to green")), "{:?}", report.notes);
        let seen: Vec<_> = report.effects.iter().map(|effect| effect.intended.as_str()).collect();
        assert_eq!(seen, ["1", "ready", "maint", "0"], "round {round}");
        assert!(report.effects.iter().all(|effect| effect.observed.is_some()));
        assert_eq!(port_behind(&url).await, pair.green.port());
        routing = routing.reversed();
        // Switching what is switched is no error: it may be done again where a crash left it open.
        let back = Box::pin(roll_back(&config, &routing)).await.unwrap();
        assert_eq!(back.outcome, Outcome::Completed, "{:?}", back.reason);
        routing = routing.reversed();
    }
    stop.send_replace(true);
    let (mut acknowledged, mut refused) = (Vec::new(), 0);
    for application in applications {
        let (ids, more) = application.await.unwrap();
        assert!(!ids.is_empty());
        acknowledged.extend(ids);
        refused += more;
    }
    assert!(proxy.is_running());
    assert_eq!(refused, 0, "connections that HAProxy did not hold");
    let present = load::present(&pair.blue).await;
    let lost: Vec<_> = acknowledged.iter().filter(|id| !present.contains(id)).collect();
    assert!(lost.is_empty(), "{lost:?} of {}", acknowledged.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql97_behind_haproxy() {
    behind_haproxy(Kind::MySql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb1011_behind_haproxy() {
    behind_haproxy(Kind::MariaDb1011).await;
}

/// What waits is let through by a release as by a switch, and what somebody else set is left alone.
#[tokio::test(flavor = "multi_thread")]
async fn held_connections_go_on_either_way() {
    let pair = Pair::start(Kind::MySql97, Kind::MySql97).await;
    for server in [&pair.blue, &pair.green] {
        server.sql("CREATE USER app@'%' IDENTIFIED BY 'app'").await.unwrap();
    }
    let proxy = HaProxyServer::start(pair.blue.port(), pair.green.port()).await.unwrap();
    let url = format!("mysql://app:app@{}?prefer_socket=false", proxy.address());
    let routing = HaProxy::new(&proxy.socket().to_string_lossy(), "db", "blue", "green").unwrap().with_maxconn(50);
    assert_eq!(routing.check().await.unwrap().verdict, Verdict::Pass);
    let _open = mysql_async::Conn::from_url(&url).await.unwrap();
    for (is_switched, port) in [(false, pair.blue.port()), (true, pair.green.port())] {
        routing.hold().await.unwrap();
        routing.hold().await.unwrap();
        let waiting: Vec<_> = (0..5)
            .map(|_| {
                let url = url.clone();
                tokio::spawn(async move { port_behind(&url).await })
            })
            .collect();
        let held = Instant::now();
        while !proxy_queue(&proxy).await.starts_with('5') {
            assert!(held.elapsed() < Duration::from_secs(10), "they do not wait: {}", proxy_queue(&proxy).await);
        }
        match is_switched {
            true => routing.switch().await.unwrap(),
            false => routing.release().await,
        }
        for waiting in waiting {
            assert_eq!(waiting.await.unwrap(), port);
        }
    }
    // In maintenance, it is not production: nothing can be held there.
    assert!(routing.hold().await.unwrap_err().message().contains("maintenance"));
    routing.switch().await.unwrap();
    let wrong = HaProxy::new(&proxy.socket().to_string_lossy(), "db", "blue", "nobody").unwrap();
    assert!(wrong.check().await.unwrap().evidence.contains("db/nobody"));
    assert_eq!(routing.check().await.unwrap().verdict, Verdict::Fail);
    let nowhere = HaProxy::new("/nowhere/s", "db", "blue", "green").unwrap();
    assert!(nowhere.hold().await.unwrap_err().message().contains("does not answer"));
}

/// How many connections wait in the backend, as HAProxy says.
async fn proxy_queue(proxy: &HaProxyServer) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut socket = tokio::net::UnixStream::connect(proxy.socket()).await.unwrap();
    socket.write_all(b"show stat\n").await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    let backend = answer.lines().find(|line| line.starts_with("db,BACKEND,")).unwrap();
    backend.split(',').nth(2).unwrap().to_owned()
}
