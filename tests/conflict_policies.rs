//! What becomes of blue's changes of rows that somebody else wrote on green, on real servers.

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use bluegreen::ErrorKind;
use bluegreen::apply::Policy;
use bluegreen::checks::{VerifyConfig, verify};
use bluegreen::model::TableName;
use bluegreen::pipeline::{Replication, ReplicationConfig};
use bluegreen::sandbox::Kind;
use bluegreen::watch;
use support::Pair;
use support::load::{self, Load};

async fn pair(kind: Kind) -> Pair {
    let pair = Pair::start(kind, kind).await;
    load::schema(&pair.blue).await;
    pair.blue
        .sql(
            "CREATE TABLE shop.kinds (id INT UNSIGNED, part VARCHAR(9), f FLOAT, d DOUBLE, n DECIMAL(20,5), c CHAR(9), \
             t TEXT, b BLOB, bits BIT(9), e ENUM('x','y'), s SET('x','y'), y YEAR, da DATE, ti TIME(3), dt DATETIME(6), \
             ts TIMESTAMP NULL, j JSON, l VARCHAR(20) CHARACTER SET latin1, fixed BINARY(5), PRIMARY KEY (id, part)) \
             ENGINE = InnoDB",
        )
        .await
        .unwrap();
    pair.blue
        .sql(
            "INSERT INTO shop.kinds VALUES (1, 'a', 0.1, 1e-7, -3.14, 'pad', 'tëxt', x'00ff27', 5, 'y', 'x,y', 2024, \
             '2024-02-29', '-838:59:59', '2024-01-01 01:02:03.000004', '2024-01-01 01:02:03', '{\"k\": [1, 2.5]}', 'é', \
             'ab'), (4000000000, 'b', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
             NULL, NULL, NULL)",
        )
        .await
        .unwrap();
    pair.create().await;
    pair
}

async fn replicate(pair: &Pair, policy: Policy) -> Replication {
    let mut config = ReplicationConfig::new(pair.blue_url(), pair.green_url());
    config.conflicts = policy;
    Box::pin(Replication::start(config)).await.unwrap()
}

/// The stream stops, names the table, and has changed nothing; blue's change wins where that is wanted.
async fn stops(pair: &Pair, table: &str, foreign: &str, blue: &str) {
    let replication = replicate(pair, Policy::Stop).await;
    pair.level(&replication).await;
    replication.stop().await.unwrap();
    pair.green.sql(foreign).await.unwrap();
    let rows = format!("SELECT * FROM {table} ORDER BY 1");
    let before = pair.green.sql(&rows).await.unwrap();
    pair.blue.sql(blue).await.unwrap();
    let mut replication = replicate(pair, Policy::Stop).await;
    let error = tokio::time::timeout(Duration::from_secs(30), replication.finished()).await.expect(blue).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Divergence, "{blue}: {error}");
    assert_eq!(error.place().unwrap().table.as_deref(), Some(table), "{blue}: {error}");
    assert_eq!(pair.green.sql(&rows).await.unwrap(), before, "{blue}");
    let replication = replicate(pair, Policy::BlueWins).await;
    pair.level(&replication).await;
    replication.stop().await.unwrap();
    pair.assert_same().await;
}

async fn stop(kind: Kind) {
    let pair = pair(kind).await;
    // Nobody wrote on green: nothing stops, whatever the types, and whether rows come alone or in groups.
    let replication = replicate(&pair, Policy::Stop).await;
    let load = Load::start(pair.blue.url(), 4, 11, Duration::from_millis(1));
    for number in 0..20 {
        pair.blue
            .sql(&format!("UPDATE shop.kinds SET n = {number}.5, j = JSON_SET(COALESCE(j, '{{}}'), '$.n', {number})"))
            .await
            .unwrap();
    }
    load.commit_more(300).await;
    load.stop().await;
    pair.blue.sql("UPDATE shop.kinds SET part = CONCAT(part, 'x'), ts = NULL").await.unwrap();
    pair.level(&replication).await;
    assert_eq!(replication.progress().borrow().conflicts, 0);
    replication.stop().await.unwrap();
    pair.assert_same().await;

    let kinds = "shop.kinds";
    stops(&pair, kinds, "UPDATE shop.kinds SET t = 'TËXT' WHERE id = 1", "UPDATE shop.kinds SET y = 2000 WHERE id = 1")
        .await;
    stops(&pair, kinds, "UPDATE shop.kinds SET b = '' WHERE b IS NULL", "UPDATE shop.kinds SET y = 2001").await;
    stops(
        &pair,
        kinds,
        "UPDATE shop.kinds SET ti = '00:00:00.001' WHERE id = 1",
        "DELETE FROM shop.kinds WHERE id = 1",
    )
    .await;
    stops(
        &pair,
        kinds,
        "INSERT INTO shop.kinds (id, part) VALUES (7, 'z')",
        "INSERT INTO shop.kinds (id, part) VALUES (7, 'Z')",
    )
    .await;
    stops(&pair, kinds, "DELETE FROM shop.kinds WHERE id = 7", "DELETE FROM shop.kinds WHERE id = 7").await;
    stops(
        &pair,
        "shop.seat",
        "UPDATE shop.seat SET owner = 'foreign' WHERE id = 3",
        "UPDATE shop.seat SET owner = CONCAT('seat ', id) WHERE id < 9",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_on_mysql() {
    stop(Kind::MySql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_on_mariadb() {
    stop(Kind::MariaDb1011).await;
}

/// A table that is green's own takes none of blue's rows, and what others write there is in nobody's way.
#[tokio::test(flavor = "multi_thread")]
async fn kept_tables_are_greens_own() {
    let pair = pair(Kind::MySql97).await;
    let scratch = TableName::new("shop", "kinds");
    let config = |tables: &[&TableName]| {
        let mut config = ReplicationConfig::new(pair.blue_url(), pair.green_url());
        config.keep_green = Some(tables.iter().map(|table| (*table).clone()).collect::<BTreeSet<_>>());
        config
    };
    let replication = Box::pin(Replication::start(config(&[&scratch]))).await.unwrap();
    pair.blue.sql("UPDATE shop.kinds SET y = 1999").await.unwrap();
    pair.blue.sql("UPDATE shop.seat SET owner = 'new' WHERE id = 1").await.unwrap();
    pair.green.sql("DELETE FROM shop.kinds WHERE id = 1").await.unwrap();
    pair.green.sql("UPDATE shop.seat SET owner = 'mine' WHERE id = 2").await.unwrap();
    pair.level(&replication).await;
    replication.stop().await.unwrap();
    assert_eq!(pair.green.sql("SELECT COUNT(*) FROM shop.kinds WHERE y = 1999").await.unwrap(), "0");
    assert_eq!(pair.green.sql("SELECT owner FROM shop.seat WHERE id = 1").await.unwrap(), "new");
    for record in [false, true, false] {
        let writes = watch::scan(&pair.green_url(), record).await.unwrap();
        assert_eq!((writes.total(), writes.open()), (2, 1));
    }
    let journal = watch::journal(&pair.green_url()).await.unwrap();
    let open: Vec<_> = journal.iter().filter(|write| write.is_open()).map(|write| write.table.as_deref()).collect();
    assert_eq!(open, [Some("seat")]);
    // It is not compared: of the two tables that differ one is green's own.
    let found = verify(&VerifyConfig::new(pair.blue_url(), pair.green_url()), |_| {}).await.unwrap();
    let tables: Vec<&str> = found.differences.iter().map(|difference| difference.table.table.as_str()).collect();
    assert_eq!(tables, ["seat"]);
    // It has missed blue's changes.
    let error = Box::pin(Replication::start(config(&[]))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::State);
    assert!(error.to_string().contains("shop.kinds"), "{error}");
}
