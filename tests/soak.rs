//! Everything is killed again and again under load, and green is blue in the end, byte for byte.
//!
//! A run of a few seconds, as long as `BLUEGREEN_SOAK_SECONDS` says: `BLUEGREEN_SOAK_SECONDS=600 cargo test --test soak`
//! kills the engine 600 times and each server ten times.

mod support;

use std::process::Child;
use std::time::{Duration, Instant};

use bluegreen::sandbox::{Kind, Server};
use support::Pair;
use support::load::{self, Load};

async fn soak(kind: Kind) {
    let seconds = std::env::var("BLUEGREEN_SOAK_SECONDS").map_or(8, |seconds| seconds.parse().unwrap());
    let kills = (seconds / 60).max(1);
    let server = || Box::pin(Server::builder(kind).gtid(true).durable(true).start());
    let (blue, green) = tokio::join!(server(), server());
    let mut pair = Pair::of(blue.unwrap(), green.unwrap());
    load::schema(&pair.blue).await;
    pair.create().await;
    let load = Load::start(pair.blue.url(), 4, 17, Duration::from_millis(2));
    let (began, mut engines, mut killed) = (Instant::now(), 0, 0);
    while began.elapsed() < Duration::from_secs(seconds) {
        let mut child = pair.engine(&["--lanes", ["1", "4", "2", "3"][engines % 4]]);
        engines += 1;
        // Blue and green in turn, in the middle of whatever the engine does.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let due = (began.elapsed().as_secs_f64() / seconds as f64 * (2 * kills) as f64) as u64;
        if killed < due {
            killed += 1;
            let server = if killed % 2 == 1 { &mut pair.blue } else { &mut pair.green };
            server.kill().await.unwrap();
            server.start().await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(child.try_wait().unwrap().is_none(), "the engine ended by itself: {:?}", said(child));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let committed = load.stop().await;
    let last = pair.engine(&["--lanes", "1", "--until-caught-up"]).wait_with_output().unwrap();
    assert!(last.status.success(), "{}", String::from_utf8_lossy(&last.stderr));
    pair.assert_same().await;
    assert_eq!(bluegreen::watch::scan(&pair.green_url(), true).await.unwrap().total(), 0);
    let checkpoint = "SELECT transactions > 0, conflicts FROM bluegreen.checkpoint WHERE stream = 'forward'";
    assert_eq!(pair.green.sql(checkpoint).await.unwrap(), "1\t0");
    println!("{kind:?}: {engines} engines and {killed} servers killed in {seconds} s, {committed} transactions");
}

fn said(child: Child) -> String {
    String::from_utf8_lossy(&child.wait_with_output().unwrap().stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn soak_on_mysql() {
    soak(Kind::MySql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn soak_on_mariadb() {
    soak(Kind::MariaDb1011).await;
}
