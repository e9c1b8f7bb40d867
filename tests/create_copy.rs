//! The copy of `create`: chunks along every kind of key, secondary keys behind the rows, what blue does to its tables
//! meanwhile, and going on after the engine or green has died at any moment. Each test ends with a comparison of every row
//! by plain SELECTs.
#![cfg(feature = "sandbox")]

mod support;

use std::time::Duration;

use bluegreen::create::{CreateConfig, Created, Progress, create};
use bluegreen::sandbox::{Kind, Server};
use bluegreen::{Error, ErrorKind};
use mysql_async::prelude::Queryable;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use support::Pair;
use support::load::{self, Load};
use tokio::sync::Notify;

/// Numbers from 1 up..
fn numbers(count: u32) -> String {
    let digits = "(SELECT 0 d UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5 \
         UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9)";
    format!(
        "(SELECT 1 + a.d + 10 * b.d + 100 * c.d + 1000 * e.d + 10000 * f.d i \
         FROM {digits} a, {digits} b, {digits} c, {digits} e, {digits} f) n WHERE i <= {count}"
    )
}

fn config(pair: &Pair) -> CreateConfig {
    CreateConfig::new("mydb1", pair.blue_url(), pair.green_url()).unwrap().with_chunk_rows(100).unwrap()
}

async fn build(config: &CreateConfig) -> bluegreen::Result<Created> {
    Box::pin(create(config, |_| {})).await
}

/// Tables of `rows` rows, each with another kind of key.
const KEYED: [(&str, &str, &str); 13] = [
    ("composite", "a VARCHAR(20) NOT NULL, b INT NOT NULL, PRIMARY KEY (a, b)", "CONCAT('Ж', i % 7), -i"),
    ("folded", "a VARCHAR(40) COLLATE utf8mb4_unicode_ci NOT NULL PRIMARY KEY", "CONCAT(CHAR(65 + i % 26), 'é ', i)"),
    ("latin", "a CHAR(9) CHARACTER SET latin1 NOT NULL PRIMARY KEY", "CONCAT('ß', i)"),
    ("raw", "a VARBINARY(20) NOT NULL PRIMARY KEY", "CONCAT(UNHEX('00FF2C27'), i)"),
    ("fixed", "a BINARY(8) NOT NULL PRIMARY KEY", "UNHEX(LPAD(HEX(i), 8, '0'))"),
    ("large", "a BIGINT UNSIGNED NOT NULL PRIMARY KEY", "18446744073709551615 - i"),
    ("negative", "a INT NOT NULL PRIMARY KEY", "i - 1500"),
    ("exact", "a DECIMAL(20,4) NOT NULL PRIMARY KEY", "(i - 1500) / 8"),
    ("moment", "a DATETIME(6) NOT NULL PRIMARY KEY", "'2001-02-03 04:05:06.7' + INTERVAL i * 1001 MICROSECOND"),
    (
        "stamp",
        "a TIMESTAMP(3) NOT NULL DEFAULT '2000-01-01', b BIT(12) NOT NULL, PRIMARY KEY (b, a)",
        "'2001-02-03 04:05:06', i",
    ),
    ("span", "a TIME(2) NOT NULL PRIMARY KEY", "SEC_TO_TIME(i - 1500)"),
    ("second", "a INT NOT NULL, b INT NULL, UNIQUE KEY `by a` (a), KEY (b)", "i * 3, NULL"),
    ("parts", "a INT NOT NULL, PRIMARY KEY (a)", "i"),
];

async fn fill(blue: &Server, rows: u32) {
    load::schema(blue).await;
    blue.sql("CREATE DATABASE keyed DEFAULT CHARACTER SET utf8mb4").await.unwrap();
    for (name, columns, values) in KEYED {
        let partitions = if name == "parts" { " PARTITION BY HASH (a) PARTITIONS 3" } else { "" };
        let table = format!("CREATE TABLE keyed.{name} ({columns}, v INT NULL, pad VARCHAR(60) NULL){partitions}");
        blue.sql(&table).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        let rows =
            format!("INSERT INTO keyed.{name} SELECT {values}, i, LEFT(SHA2(i, 224), 32) FROM {}", numbers(rows));
        blue.sql(&rows).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        blue.sql(&format!("ANALYZE TABLE keyed.{name}")).await.unwrap();
    }
    blue.sql("CREATE TABLE keyed.without (a INT NULL, b TEXT NULL)").await.unwrap();
    blue.sql(&format!("INSERT INTO keyed.without SELECT i % 50, i FROM {}", numbers(rows))).await.unwrap();
}

/// Changes rows here and there, keys too.
async fn change(blue: &Server, random: &mut StdRng) {
    for (name, _, _) in KEYED {
        let (n, m) = (random.random_range(3..60), random.random_range(0..60));
        blue.sql(&format!("DELETE FROM keyed.{name} WHERE v % 60 = {n}")).await.unwrap();
        blue.sql(&format!("UPDATE keyed.{name} SET pad = 'changed {n}' WHERE v % 60 = {m}")).await.unwrap();
    }
    let n = random.random_range(0..1_000_000);
    for statement in [
        format!("UPDATE IGNORE keyed.negative SET a = a + 100000 WHERE v % 97 = {}", n % 97),
        format!("UPDATE keyed.composite SET a = CONCAT('z', {n}) WHERE v % 89 = {}", n % 89),
        format!("UPDATE keyed.folded SET a = UPPER(a) WHERE v % 53 = {}", n % 53),
        format!("INSERT INTO keyed.raw VALUES ('new {n}', {n}, 'new')"),
        format!("REPLACE INTO keyed.fixed VALUES (UNHEX('01'), {n}, 'new')"),
    ] {
        blue.sql(&statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    // Values go from row to row.
    let (a, b) = (n % 200, (n + 1 + n / 200 % 198) % 200);
    let swap = format!(
        "BEGIN; SELECT @a := owner FROM shop.seat WHERE id = {a}; SELECT @b := owner FROM shop.seat WHERE id = {b}; \
         UPDATE shop.seat SET owner = NULL WHERE id = {a}; UPDATE shop.seat SET owner = @a WHERE id = {b}; \
         UPDATE shop.seat SET owner = @b WHERE id = {a}; COMMIT"
    );
    // Another client may hold them.
    let _ = blue.sql(&swap).await;
}

/// The future of `create` is dropped, or green killed, at one moment after the other, while blue changes. Invariants 1 to 3
/// of `create::resume`.
async fn goes_on_after_every_end(from: Kind, to: Kind) {
    let mut pair = Pair::start(from, to).await;
    fill(&pair.blue, 3000).await;
    let mut random = StdRng::seed_from_u64(7);
    let load = Load::start(pair.blue.url(), 2, 7, Duration::from_millis(20));
    let config = config(&pair).with_resume(true).with_tables_at_once(3).unwrap();
    let mut noted = 0;
    for round in 0..20_u64 {
        let enough = Notify::new();
        let show = |at: Progress| {
            if at.rows_done >= (round + 1) * 1400 {
                enough.notify_one();
            }
        };
        let is_killed = round % 3 == 1;
        let ended = tokio::select! {
            created = Box::pin(create(&config, show)) => Some(created),
            () = enough.notified() => None,
        };
        if let Some(ended) = ended {
            ended.unwrap();
            panic!("it ended before it was stopped");
        }
        if is_killed {
            pair.green.kill().await.unwrap();
            pair.green.start().await.unwrap();
        }
        let status = pair.green.sql("SELECT status FROM bluegreen.deployment").await.unwrap();
        assert_eq!(status, "PROVISIONING");
        let now: u64 = pair.green.sql("SELECT COUNT(*) FROM bluegreen.copied_chunk").await.unwrap().parse().unwrap();
        assert!(now > 0, "nothing is noted");
        noted = noted.max(now);
        change(&pair.blue, &mut random).await;
    }
    assert!(noted > 60, "the tables are cut: {noted}");
    let created = build(&config).await.unwrap();
    assert!(created.rows < 30_000, "it began anew: {created:?}");
    assert_eq!(pair.green.sql("SELECT COUNT(*) FROM bluegreen.copied_chunk").await.unwrap(), "0");
    change(&pair.blue, &mut random).await;
    let replication = pair.replicate().await;
    load.stop().await;
    pair.level(&replication).await;
    assert_eq!(replication.progress().borrow().conflicts, 0);
    replication.stop().await.unwrap();
    pair.assert_same().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql97_goes_on_after_every_end() {
    Box::pin(goes_on_after_every_end(Kind::MySql97, Kind::MySql97)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb1011_goes_on_after_every_end() {
    Box::pin(goes_on_after_every_end(Kind::MariaDb1011, Kind::MariaDb1011)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql56_to_mysql97_goes_on_after_every_end() {
    Box::pin(goes_on_after_every_end(Kind::MySql56, Kind::MySql97)).await;
}

/// Blue ends the connections in the middle of chunks: none of these may count as copied.
async fn a_chunk_that_was_cut_off_is_not_noted(kind: Kind) {
    let pair = Pair::start(kind, kind).await;
    for statement in [
        "CREATE DATABASE shop",
        "CREATE TABLE shop.wide (id INT NOT NULL PRIMARY KEY, pad VARCHAR(1000) NOT NULL) ENGINE = InnoDB",
        &format!("INSERT INTO shop.wide SELECT i, REPEAT('x', 1000) FROM {}", numbers(60_000)),
        "ANALYZE TABLE shop.wide",
    ] {
        pair.blue.sql(statement).await.unwrap();
    }
    let config = config(&pair).with_resume(true).with_chunk_rows(50_000).unwrap();
    for round in 0..4 {
        let cut = async {
            let mut session = mysql_async::Conn::from_url(pair.blue.url()).await.unwrap();
            let others = "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = 'root' AND ID <> CONNECTION_ID()";
            let ids: Vec<u64> = session.query(others).await.unwrap();
            for id in ids {
                // It may have ended by itself.
                let _ = session.query_drop(format!("KILL {id}")).await;
            }
        };
        let created = once_copied(&config, round * 1_500 + 1, cut).await;
        if created.is_ok() {
            assert!(round > 0, "it was not cut off");
            break;
        }
    }
    if pair.green.sql("SELECT status FROM bluegreen.deployment").await.unwrap() == "PROVISIONING" {
        build(&config).await.unwrap();
    }
    pair.assert_same().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql97_notes_no_chunk_that_was_cut_off() {
    a_chunk_that_was_cut_off_is_not_noted(Kind::MySql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb1011_notes_no_chunk_that_was_cut_off() {
    a_chunk_that_was_cut_off_is_not_noted(Kind::MariaDb1011).await;
}

/// Runs `create` and, once some rows are copied, statements on blue.
async fn meanwhile(pair: &Pair, config: &CreateConfig, statements: &[&str]) -> bluegreen::Result<Created> {
    let act = async {
        for statement in statements {
            pair.blue.sql(statement).await.unwrap();
        }
    };
    once_copied(config, 1, act).await
}

/// Runs `create`, and `act` beside it as soon as `rows` rows are copied or it has ended.
async fn once_copied(config: &CreateConfig, rows: u64, act: impl Future<Output = ()>) -> bluegreen::Result<Created> {
    let enough = Notify::new();
    let show = |at: Progress| {
        if at.rows_done >= rows {
            enough.notify_one();
        }
    };
    let creating = async {
        let created = Box::pin(create(config, show)).await;
        enough.notify_one();
        created
    };
    let acting = async {
        enough.notified().await;
        act.await;
    };
    tokio::join!(creating, acting).0
}

async fn large_and_small(pair: &Pair) {
    pair.blue.sql("CREATE DATABASE shop").await.unwrap();
    let large = "CREATE TABLE shop.large (id INT NOT NULL PRIMARY KEY, pad VARCHAR(100) NULL)";
    pair.blue.sql(large).await.unwrap();
    pair.blue
        .sql(&format!("INSERT INTO shop.large SELECT i, LEFT(SHA2(i, 224), 32) FROM {}", numbers(20_000)))
        .await
        .unwrap();
    pair.blue.sql("ANALYZE TABLE shop.large").await.unwrap();
    for (name, value) in [("a", 1), ("b", 2)] {
        let small = format!("CREATE TABLE shop.{name} (id INT PRIMARY KEY); INSERT INTO shop.{name} VALUES ({value})");
        pair.blue.sql(&small).await.unwrap();
    }
}

/// A snapshot reads the other table without an error.
async fn finds_tables_that_change_places(kind: Kind) {
    let pair = Pair::start(kind, kind).await;
    large_and_small(&pair).await;
    let config = config(&pair).with_tables_at_once(1).unwrap();
    let swap = "RENAME TABLE shop.a TO shop.c, shop.b TO shop.a, shop.c TO shop.b";
    let error = meanwhile(&pair, &config, &[swap]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::State, "{error}");
    assert!(error.message().contains("renamed"), "{error}");
    let created = build(&config.with_resume(true)).await.unwrap();
    assert_eq!(created.rows, 2, "the two that changed places");
    pair.assert_same().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql97_finds_tables_that_change_places() {
    Box::pin(finds_tables_that_change_places(Kind::MySql97)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb1011_finds_tables_that_change_places() {
    Box::pin(finds_tables_that_change_places(Kind::MariaDb1011)).await;
}

/// Invariant 4 of `create::resume`: what is not as it was is refused by name, and `create` begins anew.
async fn refuses_tables_that_changed(kind: Kind) {
    let named = |error: &Error, name: &str| {
        assert_eq!(error.kind(), ErrorKind::State, "{error}");
        assert!(error.message().contains(name), "{error}");
    };
    let pair = Pair::start(kind, kind).await;
    large_and_small(&pair).await;
    let config = config(&pair).with_tables_at_once(1).unwrap();
    named(&meanwhile(&pair, &config, &["DROP TABLE shop.b"]).await.unwrap_err(), "shop.b");
    named(&build(&config.clone().with_resume(true)).await.unwrap_err(), "shop.b");
    let alter = "ALTER TABLE shop.a MODIFY id BIGINT NOT NULL";
    named(&meanwhile(&pair, &config, &[alter]).await.unwrap_err(), "shop.a");
    assert_eq!(build(&config).await.unwrap().rows, 20_001);
    pair.assert_same().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql97_refuses_tables_that_changed() {
    Box::pin(refuses_tables_that_changed(Kind::MySql97)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb1011_refuses_tables_that_changed() {
    Box::pin(refuses_tables_that_changed(Kind::MariaDb1011)).await;
}

/// Secondary keys of a large table, a row of 64 MB, 200 columns, nothing at all, generated and compressed, and many tables
/// (20,000 by `BLUEGREEN_MANY_TABLES`).
async fn carries_every_shape(kind: Kind) {
    // A row in the log may have a tenth of it.
    let log = if kind.is_mariadb() { "--innodb-log-file-size=1G" } else { "--innodb-redo-log-capacity=1G" };
    let with = || Server::builder(kind).options(["--max-allowed-packet=256M", log]).start();
    let (blue, green) = tokio::try_join!(with(), with()).unwrap();
    let pair = Pair::of(blue, green);
    let columns: Vec<String> = (0..200).map(|n| format!("c{n} INT NULL")).collect();
    let many: u32 = std::env::var("BLUEGREEN_MANY_TABLES").map_or(200, |count| count.parse().unwrap());
    for statement in [
        "CREATE DATABASE shape",
        "CREATE TABLE shape.large (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, k INT NOT NULL, c VARCHAR(1000) NOT NULL, \
         d INT GENERATED ALWAYS AS (k + 1) VIRTUAL, UNIQUE KEY u (id, k), KEY `k``s` (k) COMMENT 'a, `b`', KEY d (d), \
         KEY c (c(30), k))",
        &format!(
            "INSERT INTO shape.large (k, c) SELECT i * 7919 % 30000, REPEAT(LEFT(SHA2(i, 224), 32), 25) FROM {}",
            numbers(30_000)
        ),
        "ANALYZE TABLE shape.large",
        "CREATE TABLE shape.blobs (id INT NOT NULL PRIMARY KEY, b LONGBLOB NULL)",
        "INSERT INTO shape.blobs VALUES (1, REPEAT(UNHEX('FF'), 67108864)), (2, NULL), (3, '')",
        &format!("CREATE TABLE shape.wide (id INT NOT NULL PRIMARY KEY, {})", columns.join(", ")),
        &format!("INSERT INTO shape.wide (id, c0, c199) SELECT i, i, -i FROM {}", numbers(500)),
        "CREATE TABLE shape.empty (id INT NOT NULL PRIMARY KEY)",
        "CREATE TABLE shape.pressed (id INT NOT NULL PRIMARY KEY, t TEXT) ROW_FORMAT=COMPRESSED",
        "INSERT INTO shape.pressed VALUES (1, REPEAT('a', 5000))",
        "CREATE DATABASE many",
    ] {
        pair.blue.sql(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    for n in 0..many {
        let table = format!("CREATE TABLE many.t{n} (id INT PRIMARY KEY); INSERT INTO many.t{n} VALUES ({n})");
        pair.blue.sql(&table).await.unwrap();
    }
    let created = build(&config(&pair)).await.unwrap();
    assert_eq!(created.tables, 5 + many as usize);
    let show = "SHOW CREATE TABLE shape.large";
    assert_eq!(pair.green.sql(show).await.unwrap(), pair.blue.sql(show).await.unwrap());
    let hash = "SELECT id, SHA2(b, 256) FROM shape.blobs ORDER BY id";
    assert_eq!(pair.green.sql(hash).await.unwrap(), pair.blue.sql(hash).await.unwrap());
    let checks = "CHECK TABLE shape.large, shape.wide, shape.pressed";
    assert!(pair.green.sql(checks).await.unwrap().lines().all(|line| line.ends_with("\tOK")));
    for server in [&pair.blue, &pair.green] {
        server.sql("DROP TABLE shape.blobs").await.unwrap();
    }
    pair.assert_same().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql97_carries_every_shape() {
    Box::pin(carries_every_shape(Kind::MySql97)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb1011_carries_every_shape() {
    Box::pin(carries_every_shape(Kind::MariaDb1011)).await;
}
