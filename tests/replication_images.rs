//! Row images that are not full, in replication: `binlog_row_image`, and partial updates of JSON documents. Each test ends with a comparison of
//! every row by plain SELECTs.

mod support;

use std::time::Duration;

use bluegreen::ErrorKind;
use bluegreen::sandbox::Kind;
use support::Pair;
use support::load::{self, Load};

/// Updates of which MySQL logs the changes inside of documents only.
const PARTIAL: &[&str] = &[
    "UPDATE s.d SET a = JSON_SET(a, '$.x', 2) WHERE id = 1",
    "UPDATE s.d SET a = JSON_REPLACE(a, '$.x', 'text \\'quoted\\' 😀', '$.list[1]', CAST(1.50 AS DECIMAL(5, 2))) WHERE id = 1",
    "UPDATE s.d SET a = JSON_REMOVE(a, '$.list[0]', '$.gone') WHERE id = 1",
    // Two documents, of which one is replaced as a whole, and a column of another type.
    "UPDATE s.d SET a = JSON_SET(a, '$.x', 3, '$.new', JSON_OBJECT('k', NULL)), b = JSON_ARRAY_INSERT(b, '$[0]', TRUE), n = n + 1",
    "UPDATE s.d SET a = JSON_REMOVE(a, '$.new'), b = JSON_OBJECT('whole', 1.5e0) WHERE id = 1",
    "UPDATE s.d SET a = NULL WHERE id = 2",
    "UPDATE s.d SET a = '{\"x\": 1}', b = NULL WHERE id = 2",
    "UPDATE s.d SET a = JSON_SET(a, '$.x', CAST('12:00:00' AS TIME), '$.y', CAST('2020-02-29' AS DATE)) WHERE id = 2",
    "UPDATE s.d SET a = JSON_SET(a, '$.x', REPEAT('ü', 9000)) WHERE id = 3",
    // The key changes with the document, and the document is the same in another table without a key.
    "UPDATE s.d SET id = 40, a = JSON_SET(a, '$.x', 4) WHERE id = 4",
    "UPDATE s.k SET a = JSON_SET(a, '$.x', a->'$.x' + 1)",
    // One row many times in a transaction: the planner merges the changes.
    "BEGIN; UPDATE s.d SET a = JSON_SET(a, '$.m', 1) WHERE id = 5; UPDATE s.d SET a = JSON_SET(a, '$.m', JSON_ARRAY(2)) \
     WHERE id = 5; UPDATE s.d SET a = JSON_REMOVE(a, '$.m[0]'), b = JSON_SET(b, '$[0]', 'z') WHERE id = 5; COMMIT",
    "BEGIN; INSERT INTO s.d VALUES (7, '{\"x\": 1, \"pad\": \"....................\"}', NULL, 7); \
     UPDATE s.d SET a = JSON_SET(a, '$.x', 2) WHERE id = 7; UPDATE s.d SET n = 8 WHERE id = 7; COMMIT",
    "DELETE FROM s.d WHERE id = 6",
];

async fn documents(options: &str) -> Pair {
    let pair = Pair::start(Kind::MySql97, Kind::MySql97).await;
    let pad = "'pad', REPEAT('.', 200)";
    for statement in [
        "CREATE DATABASE s",
        "CREATE TABLE s.d (id INT PRIMARY KEY, a JSON, b JSON, n INT NOT NULL)",
        "CREATE TABLE s.k (a JSON, n INT)",
        &format!("SET GLOBAL {options}"),
    ] {
        pair.blue.sql(statement).await.unwrap();
    }
    for id in 1..=6 {
        let document = format!("JSON_OBJECT('x', {id}, 'gone', 1, 'list', JSON_ARRAY(1, 2, 3), {pad})");
        pair.blue
            .sql(&format!("INSERT INTO s.d VALUES ({id}, {document}, JSON_ARRAY('a', {id}, {document}), {id})"))
            .await
            .unwrap();
        pair.blue.sql(&format!("INSERT INTO s.k VALUES ({document}, {id} % 2)")).await.unwrap();
    }
    pair.create().await;
    pair
}

/// What the log leaves out is as it was, or, of a new row, the default; under a load and in cases of its own.
async fn follows_with(image: &str, blue: Kind, green: Kind) {
    let pair = Pair::start(blue, green).await;
    pair.blue.sql(&format!("SET GLOBAL binlog_row_image = {image}")).await.unwrap();
    load::schema(&pair.blue).await;
    pair.blue
        .sql(
            "CREATE TABLE shop.part (id INT NOT NULL DEFAULT 5, n INT NOT NULL DEFAULT 7, t VARCHAR(20) DEFAULT 'dflt', \
             b TEXT, u INT, at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP, \
             d DATETIME NULL, f FLOAT, PRIMARY KEY (id), UNIQUE (u)) ENGINE = InnoDB",
        )
        .await
        .unwrap();
    let load = Load::start(pair.blue.url(), 4, 8, Duration::from_millis(1));
    load.commit_more(100).await;
    pair.create().await;
    let replication = pair.replicate().await;
    load.commit_more(600).await;
    for statement in [
        "INSERT INTO shop.part (n) VALUES (1)",
        "INSERT INTO shop.part (id, b, u) VALUES (1, REPEAT('b', 3000), 10), (2, NULL, 20)",
        "INSERT INTO shop.part (id) VALUES (3), (4), (6)",
        "INSERT INTO shop.part VALUES (8, 1, 't', 'b', 80, '2020-01-01', '2020-01-01', -0.0), (9, 1, 't', 'b', 90, '2020-01-01', NULL, 1)",
        // The time stays where it is set to what it was.
        "UPDATE shop.part SET n = 2, at = at WHERE id = 8",
        "UPDATE shop.part SET f = 0, d = '2021-01-01' WHERE id = 8",
        "UPDATE shop.part SET b = NULL, t = NULL WHERE id = 1",
        // The key, and what several changes of one row leave.
        "BEGIN; UPDATE shop.part SET id = 11 WHERE id = 1; UPDATE shop.part SET n = 3 WHERE id = 11; UPDATE shop.part SET t = 'x' WHERE id = 11; COMMIT",
        "BEGIN; UPDATE shop.part SET n = 4 WHERE id = 3; UPDATE shop.part SET b = 'late' WHERE id = 3; COMMIT",
        "BEGIN; INSERT INTO shop.part (id, n) VALUES (12, 1); UPDATE shop.part SET t = 'y' WHERE id = 12; DELETE FROM shop.part WHERE id = 4; \
         INSERT INTO shop.part (id) VALUES (4); UPDATE shop.part SET n = 5 WHERE id = 6; DELETE FROM shop.part WHERE id = 6; COMMIT",
        // Unique values move.
        "BEGIN; UPDATE shop.part SET u = NULL WHERE id = 8; UPDATE shop.part SET u = 80 WHERE id = 9; UPDATE shop.part SET u = 90 WHERE id = 8; COMMIT",
        "BEGIN; DELETE FROM shop.part WHERE id = 9; UPDATE shop.part SET u = 80 WHERE id = 2; COMMIT",
        "UPDATE shop.part SET n = n + 1",
    ] {
        pair.blue.sql(statement).await.unwrap();
    }
    load.stop().await;
    pair.level(&replication).await;
    assert_eq!(replication.progress().borrow().conflicts, 0);
    replication.stop().await.unwrap();
    pair.assert_same().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn images_of_mysql_97() {
    follows_with("MINIMAL", Kind::MySql97, Kind::MySql97).await;
    follows_with("NOBLOB", Kind::MySql97, Kind::MySql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn images_of_mysql_56() {
    follows_with("MINIMAL", Kind::MySql56, Kind::MySql97).await;
    follows_with("NOBLOB", Kind::MySql56, Kind::MySql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn images_of_mariadb_1011() {
    follows_with("MINIMAL", Kind::MariaDb1011, Kind::MariaDb1011).await;
    follows_with("NOBLOB", Kind::MariaDb1011, Kind::MariaDb1011).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn images_of_mariadb_105() {
    follows_with("MINIMAL", Kind::MariaDb105, Kind::MariaDb118).await;
    follows_with("NOBLOB", Kind::MariaDb105, Kind::MariaDb118).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn images_of_mariadb_118() {
    follows_with("MINIMAL", Kind::MariaDb118, Kind::MariaDb118).await;
    follows_with("FULL_NODUP", Kind::MariaDb118, Kind::MariaDb118).await;
}

/// Blue finds the row by another unique key than green, of which the log has nothing then.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_the_log_does_not_name_stops_the_stream() {
    let pair = Pair::start(Kind::MySql97, Kind::MySql97).await;
    pair.blue.sql("SET GLOBAL binlog_row_image = MINIMAL").await.unwrap();
    pair.blue.sql("CREATE DATABASE s; CREATE TABLE s.t (id INT PRIMARY KEY, n INT)").await.unwrap();
    pair.create().await;
    pair.green.sql("SET sql_log_bin = 0; ALTER TABLE s.t DROP PRIMARY KEY").await.unwrap();
    let mut replication = pair.replicate().await;
    pair.blue.sql("INSERT INTO s.t VALUES (1, 1); UPDATE s.t SET n = 2").await.unwrap();
    let error = replication.finished().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Setting, "{error}");
    assert!(error.advice().unwrap().contains("binlog_row_image=FULL"), "{error}");
    assert_eq!(error.place().unwrap().table.as_deref(), Some("s.t"));
}

#[tokio::test(flavor = "multi_thread")]
async fn partial_updates_of_documents() {
    for image in ["FULL", "NOBLOB", "MINIMAL"] {
        follows_partial_updates(image).await;
    }
}

async fn follows_partial_updates(image: &str) {
    let pair = documents(&format!("binlog_row_value_options = PARTIAL_JSON, GLOBAL binlog_row_image = {image}")).await;
    let replication = pair.replicate().await;
    for statement in PARTIAL {
        pair.blue.sql(statement).await.unwrap();
    }
    pair.level(&replication).await;
    assert_eq!(replication.progress().borrow().conflicts, 0);
    replication.stop().await.unwrap();
    // All at once, so that they are merged.
    for statement in PARTIAL.iter().filter(|statement| !statement.contains("INSERT INTO s.d")) {
        pair.blue.sql(statement).await.unwrap();
    }
    let replication = pair.replicate().await;
    pair.level(&replication).await;
    assert_eq!(replication.progress().borrow().conflicts, 0);
    replication.stop().await.unwrap();
    let partial = pair.blue.sql("SHOW BINLOG EVENTS").await.unwrap().matches("Update_rows_partial").count();
    assert!(partial > 20, "blue logged {partial} partial updates");
    pair.assert_same().await;
}
