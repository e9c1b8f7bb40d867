//! Row images that are not full, in replication: partial updates of JSON documents. Each test ends with a comparison of
//! every row by plain SELECTs.

mod support;

use bluegreen::sandbox::Kind;
use support::Pair;

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

#[tokio::test(flavor = "multi_thread")]
async fn partial_updates_of_documents() {
    let pair = documents("binlog_row_value_options = PARTIAL_JSON").await;
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
