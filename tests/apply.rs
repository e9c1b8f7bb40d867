//! Backlogs that are hard to merge, on real servers. Blue writes while the engine is away, so that what it did in many
//! transactions is applied in few; green must be as blue is, byte for byte, and no row may have met a surprise.

mod support;

use bluegreen::sandbox::Kind;
use support::Pair;

const SCHEMA: &[&str] = &[
    "CREATE DATABASE hard DEFAULT CHARACTER SET utf8mb4",
    // Texts that are equal though their bytes differ: by case, by accents, by blanks at the end.
    "CREATE TABLE hard.folded (name VARCHAR(40) CHARACTER SET utf8 COLLATE utf8_unicode_ci NOT NULL PRIMARY KEY, n INT)",
    "CREATE TABLE hard.latin (name CHAR(20) CHARACTER SET latin1 COLLATE latin1_german1_ci NOT NULL, n INT NOT NULL, \
     v INT, PRIMARY KEY (name, n))",
    "CREATE TABLE hard.wide_text (name VARCHAR(40) CHARACTER SET ucs2 NOT NULL PRIMARY KEY, n INT)",
    // Unique values that wander.
    "CREATE TABLE hard.seat (id INT NOT NULL PRIMARY KEY, owner VARCHAR(20) NULL, place INT NULL, UNIQUE (owner), \
     UNIQUE (place))",
    "CREATE TABLE hard.prefix (id INT NOT NULL PRIMARY KEY, t TEXT NOT NULL, UNIQUE (t(3)))",
    // Keys that change.
    "CREATE TABLE hard.moved (a SMALLINT NOT NULL, b BIGINT UNSIGNED NOT NULL, v VARBINARY(20), PRIMARY KEY (b, a))",
    "CREATE TABLE hard.only_key (a INT NOT NULL, b INT NOT NULL, PRIMARY KEY (a, b))",
    // Keys of other types.
    "CREATE TABLE hard.typed (d DECIMAL(20,3) NOT NULL, t DATETIME(3) NOT NULL, e ENUM('x','y') NOT NULL, \
     y YEAR NOT NULL, raw BINARY(4) NOT NULL, ts TIMESTAMP(2) NOT NULL DEFAULT CURRENT_TIMESTAMP(2) \
     ON UPDATE CURRENT_TIMESTAMP(2), n INT, PRIMARY KEY (d, t, e, y, raw))",
    "CREATE TABLE hard.floating (f DOUBLE NOT NULL PRIMARY KEY, n INT)",
    // Foreign keys: to itself, and over two steps with every action.
    "CREATE TABLE hard.tree (id INT NOT NULL PRIMARY KEY, up INT NULL, n INT, \
     FOREIGN KEY (up) REFERENCES hard.tree (id) ON DELETE CASCADE)",
    "CREATE TABLE hard.parent (id INT NOT NULL PRIMARY KEY, n INT)",
    "CREATE TABLE hard.child (id INT NOT NULL PRIMARY KEY, parent INT NULL, n INT, \
     FOREIGN KEY (parent) REFERENCES hard.parent (id) ON DELETE SET NULL ON UPDATE CASCADE)",
    "CREATE TABLE hard.grandchild (id INT NOT NULL PRIMARY KEY, child INT NOT NULL, \
     FOREIGN KEY (child) REFERENCES hard.child (id) ON DELETE CASCADE)",
    // No key; and values that the server computes.
    "CREATE TABLE hard.heap (a INT NULL, b VARCHAR(10) NULL)",
    "CREATE TABLE hard.computed (id INT NOT NULL PRIMARY KEY, a INT, b INT GENERATED ALWAYS AS (a + 1) STORED, \
     c INT GENERATED ALWAYS AS (a * 2) VIRTUAL, UNIQUE (b))",
    "CREATE TABLE hard.plain (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, n INT NOT NULL DEFAULT 7, big MEDIUMTEXT, \
     price FLOAT, at DATETIME(6) NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6))",
];

const SEED: &[&str] = &[
    "INSERT INTO hard.folded VALUES ('one', 1), ('two', 2), ('strasse', 3)",
    "INSERT INTO hard.latin VALUES ('a', 1, 1), ('b', 1, 1)",
    "INSERT INTO hard.wide_text VALUES ('a', 1), ('Ж', 2)",
    "INSERT INTO hard.seat VALUES (1, 'ann', 1), (2, 'bob', 2), (3, 'cid', 3), (4, NULL, NULL)",
    "INSERT INTO hard.prefix VALUES (1, 'abcd'), (2, 'xyz')",
    "INSERT INTO hard.moved VALUES (1, 1, 'a'), (1, 2, 'b'), (1, 3, 'c'), (1, 18446744073709551615, 'd')",
    "INSERT INTO hard.only_key VALUES (1, 1), (1, 2), (2, 1)",
    "INSERT INTO hard.typed (d, t, e, y, raw, n) VALUES (-1.5, '2024-01-01 00:00:00.5', 'x', 2001, 'ab', 1)",
    "INSERT INTO hard.floating VALUES (0, 1), (1.5, 2)",
    "INSERT INTO hard.tree VALUES (1, NULL, 1), (2, 1, 1), (3, 2, 1), (4, NULL, 1)",
    "INSERT INTO hard.parent VALUES (1, 1), (2, 1), (3, 1)",
    "INSERT INTO hard.child VALUES (1, 1, 1), (2, 2, 1), (3, 3, 1)",
    "INSERT INTO hard.grandchild VALUES (1, 1), (2, 2), (3, 3)",
    "INSERT INTO hard.heap VALUES (1, 'a'), (1, 'a'), (2, 'b'), (NULL, NULL)",
    "INSERT INTO hard.computed (id, a) VALUES (1, 10), (2, 20)",
    "INSERT INTO hard.plain (id, big, price) VALUES (1, REPEAT('x', 20000), 0.1), (2, 'y', -0.0), (3, NULL, NULL)",
];

/// Each line is a transaction.
const BACKLOG: &[&str] = &[
    "UPDATE hard.folded SET name = 'ONE' WHERE n = 1",
    "UPDATE hard.folded SET n = 10 WHERE name = 'one'",
    "DELETE FROM hard.folded WHERE n = 3; INSERT INTO hard.folded VALUES ('straße', 4)",
    "DELETE FROM hard.folded WHERE n = 4; INSERT INTO hard.folded VALUES ('STRASSE', 5)",
    "DELETE FROM hard.folded WHERE n = 2; INSERT INTO hard.folded VALUES ('twó', 6)",
    "UPDATE hard.latin SET name = 'A' WHERE name = 'a'; UPDATE hard.latin SET v = 2 WHERE name = 'a'",
    "DELETE FROM hard.latin WHERE name = 'b'; INSERT INTO hard.latin VALUES ('B ', 1, 5)",
    "UPDATE hard.wide_text SET name = 'A' WHERE name = 'a'; UPDATE hard.wide_text SET n = n + 5",
    // A swap through a value in between, a chain, a value given up and taken.
    "UPDATE hard.seat SET owner = 'tmp' WHERE id = 1; UPDATE hard.seat SET owner = 'ann' WHERE id = 2; \
     UPDATE hard.seat SET owner = 'bob' WHERE id = 1",
    "UPDATE hard.seat SET place = NULL WHERE id = 1; UPDATE hard.seat SET place = 1 WHERE id = 2; \
     UPDATE hard.seat SET place = 2 WHERE id = 3; UPDATE hard.seat SET place = 3 WHERE id = 1",
    "UPDATE hard.seat SET owner = NULL WHERE id = 3; UPDATE hard.seat SET owner = 'CID' WHERE id = 4",
    "DELETE FROM hard.seat WHERE id = 4; INSERT INTO hard.seat VALUES (5, 'cid', 9)",
    "UPDATE hard.prefix SET t = 'zzz' WHERE id = 1; UPDATE hard.prefix SET t = 'ABC' WHERE id = 2",
    "UPDATE hard.moved SET b = b + 1 WHERE b < 10 ORDER BY b DESC; UPDATE hard.moved SET v = 'moved' WHERE b = 3",
    "UPDATE hard.moved SET b = b - 1 WHERE b < 10 ORDER BY b; UPDATE hard.moved SET a = -1 WHERE b > 10",
    "DELETE FROM hard.moved WHERE b = 1; INSERT INTO hard.moved VALUES (1, 1, 'again')",
    "INSERT INTO hard.moved VALUES (5, 5, 'x'); UPDATE hard.moved SET b = 6 WHERE b = 5; DELETE FROM hard.moved WHERE b = 6",
    "UPDATE hard.only_key SET b = 9 WHERE a = 2; DELETE FROM hard.only_key WHERE a = 1 AND b = 2",
    "INSERT INTO hard.only_key VALUES (1, 2), (3, 3)",
    "UPDATE hard.typed SET n = 2; UPDATE hard.typed SET d = -2.5; UPDATE hard.typed SET n = 3",
    "INSERT INTO hard.typed (d, t, e, y, raw, n) VALUES (0, '2024-01-01', 'y', 2155, 'a''b', 1), \
     (0, '2024-01-01', 'y', 2155, '', 1)",
    "UPDATE hard.floating SET f = -0.0 WHERE n = 1; UPDATE hard.floating SET n = 3 WHERE f = 0",
    "INSERT INTO hard.tree VALUES (5, 4, 1), (6, 5, 1); UPDATE hard.tree SET up = 6 WHERE id = 1",
    "DELETE FROM hard.tree WHERE id = 3; INSERT INTO hard.tree VALUES (3, 1, 2); DELETE FROM hard.tree WHERE id = 2",
    "INSERT INTO hard.parent VALUES (4, 1); INSERT INTO hard.child VALUES (4, 4, 1); UPDATE hard.parent SET id = 14 \
     WHERE id = 4",
    "DELETE FROM hard.parent WHERE id = 1; UPDATE hard.parent SET id = 12 WHERE id = 2; DELETE FROM hard.child WHERE id = 3",
    "INSERT INTO hard.parent VALUES (1, 5); UPDATE hard.child SET parent = 1 WHERE id = 1; UPDATE hard.child SET n = 8",
    "DELETE FROM hard.heap WHERE a = 1 LIMIT 1; UPDATE hard.heap SET b = 'z' WHERE a = 2; INSERT INTO hard.heap VALUES (1, 'A')",
    "UPDATE hard.heap SET a = 7 WHERE a IS NULL; DELETE FROM hard.heap WHERE a = 2",
    "UPDATE hard.computed SET a = 30 WHERE id = 1; UPDATE hard.computed SET a = 10 WHERE id = 2; \
     INSERT INTO hard.computed (id, a) VALUES (3, 20)",
    "UPDATE hard.plain SET n = n + 1; UPDATE hard.plain SET n = n + 1 WHERE id < 3",
    "UPDATE hard.plain SET n = n - 2 WHERE id = 1; UPDATE hard.plain SET price = 0.3, big = 'it''s \\\\' WHERE id = 2",
    "DELETE FROM hard.plain WHERE id = 3; INSERT INTO hard.plain (id, n, at) VALUES (3, 0, '2020-01-01'), (0, 1, NULL)",
    "INSERT INTO hard.plain (n) VALUES (1), (2), (3); DELETE FROM hard.plain WHERE n = 2",
];

/// Green is built, blue writes the backlog some times over, and green catches up.
async fn is_applied_in_few(blue: Kind, green: Kind) {
    let pair = Pair::start(blue, green).await;
    for statement in SCHEMA.iter().chain(SEED) {
        // MySQL 5.6 has no generated columns.
        if blue != Kind::MySql56 || !statement.contains("computed") {
            pair.blue.sql(statement).await.unwrap();
        }
    }
    pair.create().await;
    for transaction in BACKLOG {
        if blue == Kind::MySql56 && transaction.contains("computed") {
            continue;
        }
        let mut script = vec!["BEGIN"];
        script.extend(transaction.split("; "));
        script.push("COMMIT");
        transact(&pair, &script).await;
    }
    let replication = pair.replicate().await;
    pair.level(&replication).await;
    let progress = replication.progress().borrow().clone();
    assert_eq!(progress.conflicts, 0);
    assert!(progress.groups * 2 < progress.transactions, "nothing was merged: {progress:?}");
    replication.stop().await.unwrap();
    pair.assert_same().await;
}

/// Runs the statements on blue in one connection.
async fn transact(pair: &Pair, script: &[&str]) {
    use mysql_async::prelude::Queryable;
    let mut conn = mysql_async::Conn::from_url(pair.blue.url()).await.unwrap();
    for statement in script {
        conn.query_drop(*statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    conn.disconnect().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_97() {
    is_applied_in_few(Kind::MySql97, Kind::MySql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_56_to_97() {
    is_applied_in_few(Kind::MySql56, Kind::MySql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_1011() {
    is_applied_in_few(Kind::MariaDb1011, Kind::MariaDb1011).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_105_to_118() {
    is_applied_in_few(Kind::MariaDb105, Kind::MariaDb118).await;
}
