//! Foreign writes on real servers: each is in the journal once, with what it met, and nothing of ours is.

mod support;

use std::time::{Duration, Instant};

use bluegreen::sandbox::Kind;
use bluegreen::watch::{self, ForeignWrite, Watch};
use serde_json::json;
use support::{Pair, load};

async fn pair(kind: Kind) -> Pair {
    let pair = Pair::start(kind, kind).await;
    load::schema(&pair.blue).await;
    pair.blue
        .sql("CREATE TABLE shop.thing (id INT UNSIGNED PRIMARY KEY, name VARCHAR(20), price DECIMAL(9,2), UNIQUE KEY (name)) ENGINE = InnoDB")
        .await
        .unwrap();
    pair.blue.sql("INSERT INTO shop.thing VALUES (1, 'one', 1.5), (2, 'two', 2.5), (3, 'three', 3)").await.unwrap();
    pair.blue.sql("CREATE TABLE shop.keyless (a INT, b VARCHAR(9)) ENGINE = InnoDB").await.unwrap();
    pair.create().await;
    pair
}

/// Waits until the watch has journalled so many writes.
async fn found(watch: &Watch, count: u64) {
    let mut progress = watch.progress();
    let found = progress.wait_for(|progress| progress.found >= count);
    let seen = tokio::time::timeout(Duration::from_secs(20), found).await.expect("not found").unwrap().found;
    assert_eq!(seen, count);
}

/// Waits until it has read all that green has committed by now.
async fn level(watch: &Watch) {
    let (asked, mut progress) = (Instant::now(), watch.progress());
    let level = progress.wait_for(|progress| progress.level_at.is_some_and(|at| at > asked));
    let _ = tokio::time::timeout(Duration::from_secs(20), level).await.expect("not level").unwrap();
}

fn of<'w>(writes: &'w [ForeignWrite], table: &str, kind: &str) -> Vec<&'w ForeignWrite> {
    writes.iter().filter(|write| write.table.as_deref() == Some(table) && write.kind == kind).collect()
}

async fn journalled_with_what_it_met(kind: Kind) {
    let pair = pair(kind).await;
    let replication = pair.replicate().await;
    let watch = Watch::start(pair.green_url()).await.unwrap();
    pair.blue.sql("UPDATE shop.thing SET price = 1.75 WHERE id = 1").await.unwrap();
    pair.level(&replication).await;

    let written = Instant::now();
    pair.green.sql("UPDATE shop.thing SET price = 99, name = 'ONE' WHERE id = 1").await.unwrap();
    found(&watch, 1).await;
    assert!(written.elapsed() < Duration::from_secs(1), "{:?}", written.elapsed());
    pair.green.sql("INSERT INTO shop.thing VALUES (4000000000, 'four', NULL)").await.unwrap();
    pair.green.sql("DELETE FROM shop.thing WHERE id = 3").await.unwrap();
    pair.green.sql("INSERT INTO shop.keyless VALUES (1, 'x')").await.unwrap();
    pair.green.sql("CREATE TABLE shop.stray (id INT PRIMARY KEY)").await.unwrap();
    pair.green.sql("CREATE USER 'stray'@'%' IDENTIFIED BY 'plugh'").await.unwrap();
    pair.green.sql("ANALYZE TABLE shop.thing").await.unwrap();
    found(&watch, 6).await;

    // Blue's changes of the same row, of a row that a foreign one excludes, and of rows that nobody touched.
    pair.blue.sql("UPDATE shop.thing SET price = 2 WHERE id = 1").await.unwrap();
    pair.blue.sql("INSERT INTO shop.thing VALUES (5, 'FOUR', 5)").await.unwrap();
    pair.blue.sql("UPDATE shop.thing SET price = 20 WHERE id = 2").await.unwrap();
    pair.level(&replication).await;
    level(&watch).await;
    // Somebody restarts, and somebody else looks.
    watch.stop().await.unwrap();
    let sums = watch::scan(&pair.green_url(), true).await.unwrap();
    assert_eq!((sums.total(), sums.open()), (6, 6));
    let watch = Watch::start(pair.green_url()).await.unwrap();
    level(&watch).await;

    let writes = watch::journal(&pair.green_url()).await.unwrap();
    assert_eq!(writes.len(), 6);
    let update = of(&writes, "thing", "update")[0];
    assert_eq!(update.key, Some(json!({ "id": 1 })));
    assert_eq!(update.before, Some(json!({ "id": 1, "name": "one", "price": "1.75" })));
    assert_eq!(update.after, Some(json!({ "id": 1, "name": "ONE", "price": "99.00" })));
    let met = update.met.as_ref().expect("not met");
    assert_eq!((met.how.as_str(), met.resolution.as_str()), ("row", "blue_wins"));
    assert_eq!(met.before, update.before);
    assert_eq!(met.after.as_ref().unwrap()["price"], "2.00");
    assert!(met.blue.coordinates.is_some());
    let insert = of(&writes, "thing", "insert")[0];
    assert_eq!(insert.key, Some(json!({ "id": 4_000_000_000_u32 })));
    assert_eq!(insert.met.as_ref().map(|met| met.how.as_str()), Some("unique_value"));
    assert_eq!(of(&writes, "thing", "delete")[0].met, None);
    let keyless = of(&writes, "keyless", "insert")[0];
    assert_eq!(keyless.key, Some(json!({ "a": 1, "b": "x" })));
    let statements: Vec<&str> =
        writes.iter().filter(|write| write.kind == "ddl").filter_map(|write| write.statement.as_deref()).collect();
    assert_eq!(statements, ["CREATE TABLE shop.stray (id INT PRIMARY KEY)", "CREATE USER …"]);
    if kind == Kind::MySql97 {
        assert!(update.thread.is_some());
    }

    // Accepting is not writing on green.
    let ids: Vec<u64> = writes.iter().map(|write| write.id).collect();
    watch::acknowledge(&pair.green_url(), &[ids[0], 999]).await.unwrap_err();
    watch::acknowledge(&pair.green_url(), &ids[..5]).await.unwrap();
    level(&watch).await;
    watch.stop().await.unwrap();
    let sums = watch::scan(&pair.green_url(), false).await.unwrap();
    assert_eq!((sums.total(), sums.open()), (6, 1));
    replication.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn journalled_with_what_it_met_on_mysql() {
    journalled_with_what_it_met(Kind::MySql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn journalled_with_what_it_met_on_mariadb() {
    journalled_with_what_it_met(Kind::MariaDb1011).await;
}

/// Invariant 3, and none of ours: thousands of random writes under blue's load, while the watch is killed again and again.
async fn each_once_under_load(kind: Kind) {
    let pair = pair(kind).await;
    let replication = pair.replicate().await;
    let load = load::Load::start(pair.blue.url(), 4, 7, Duration::from_millis(2));
    let (mut written, mut random) = (0_u64, 7_u32);
    for round in 0..12 {
        // Dropped in the middle of whatever it does.
        let _watch = Watch::start(pair.green_url()).await.unwrap();
        for number in 0..40 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let id = 100_000 + (round * 40 + number) * 10;
            let rows = 1 + u64::from(random >> 16) % 5;
            let values: Vec<String> = (0..rows).map(|row| format!("({}, NULL, 1)", id as u64 + row)).collect();
            let mut statements = vec![format!("INSERT INTO shop.thing VALUES {}", values.join(", "))];
            written += rows;
            if random & 0x100 != 0 {
                statements.push(format!("UPDATE shop.thing SET price = 2 WHERE id = {id}"));
                written += 1;
            }
            if random & 0x200 != 0 {
                statements.push(format!("DELETE FROM shop.thing WHERE id = {id}"));
                written += 1;
            }
            pair.green.sql(&format!("BEGIN; {}; COMMIT", statements.join("; "))).await.unwrap();
        }
    }
    load.stop().await;
    pair.level(&replication).await;
    let sums = watch::scan(&pair.green_url(), true).await.unwrap();
    assert_eq!(sums.total(), written);
    assert!(sums.sums.iter().all(|sum| sum.table.as_ref().is_some_and(|name| name.table == "thing")), "{sums:?}");
    let distinct = pair
        .green
        .sql("SELECT COUNT(DISTINCT file, `offset`, row_key, kind) FROM bluegreen.foreign_write")
        .await
        .unwrap();
    assert_eq!(distinct, written.to_string());
    replication.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_once_under_load_on_mysql() {
    each_once_under_load(Kind::MySql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_once_under_load_on_mariadb() {
    each_once_under_load(Kind::MariaDb1011).await;
}

/// Beside the server's own replication: what green itself commits is foreign, what it replicates is not.
async fn beside_native_replication(kind: Kind) {
    let pair = Pair::start(kind, kind).await;
    pair.follow_natively().await;
    pair.blue.sql("CREATE DATABASE d").await.unwrap();
    pair.blue.sql("CREATE TABLE d.t (id INT AUTO_INCREMENT PRIMARY KEY, v TEXT) ENGINE = InnoDB").await.unwrap();
    pair.blue.sql("INSERT INTO d.t (v) VALUES ('a'), ('b')").await.unwrap();
    pair.level_natively().await;
    watch::install(&pair.green_url()).await.unwrap();
    watch::install(&pair.green_url()).await.unwrap();
    let watch = Watch::start(pair.green_url()).await.unwrap();
    pair.blue.sql("INSERT INTO d.t (v) VALUES ('c')").await.unwrap();
    pair.green.sql("UPDATE d.t SET v = 'foreign' WHERE id = 1").await.unwrap();
    pair.blue.sql("UPDATE d.t SET v = 'blue' WHERE id = 1").await.unwrap();
    pair.level_natively().await;
    found(&watch, 1).await;
    level(&watch).await;
    watch.stop().await.unwrap();
    let writes = watch::journal(&pair.green_url()).await.unwrap();
    assert_eq!(writes.len(), 1, "{writes:?}");
    assert_eq!(writes[0].after, Some(json!({ "id": 1, "v": "foreign" })));
    let met = writes[0].met.as_ref().expect("not met");
    assert_eq!(met.after, Some(json!({ "id": 1, "v": "blue" })));
    // Nothing of the library's own reached blue.
    assert_eq!(pair.blue.sql("SHOW DATABASES LIKE 'bluegreen'").await.unwrap(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_native_replication_on_mysql() {
    beside_native_replication(Kind::MySql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_native_replication_on_mariadb() {
    beside_native_replication(Kind::MariaDb1011).await;
}
