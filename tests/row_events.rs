//! The two ways in which rows come to green: in row events where the account may use them, and as SQL where it may not. By
//! either green gets what blue has, byte for byte, and what somebody else wrote there is noticed. Which way it was, green
//! itself counts.

mod support;

use bluegreen::pipeline::{Replication, ReplicationConfig};
use bluegreen::sandbox::{Kind, Server};
use mysql_async::prelude::Queryable;
use support::Pair;

/// Which account applies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// One that may use the `BINLOG` statement.
    RowEvents,
    /// One that may do all else.
    Sql,
}

use Way::{RowEvents, Sql};

/// The keys are not the first columns, and there are more columns than a bitmap's byte has bits.
const SCHEMA: &[&str] = &[
    "CREATE DATABASE way DEFAULT CHARACTER SET utf8mb4",
    "CREATE TABLE way.numbers (t TINYINT NULL, s SMALLINT UNSIGNED NOT NULL, m MEDIUMINT NULL, b BIGINT NOT NULL, \
     id INT UNSIGNED NOT NULL, u BIGINT UNSIGNED NULL, d DECIMAL(20,6) NULL, e DECIMAL(3,0) UNSIGNED NOT NULL, f FLOAT NULL, \
     g DOUBLE NULL, bits BIT(13) NULL, whole BIT(16) NOT NULL, PRIMARY KEY (id, b), UNIQUE (u))",
    "CREATE TABLE way.texts (c CHAR(20) CHARACTER SET latin1 NULL, l VARCHAR(300) CHARACTER SET latin2 NULL, \
     v VARCHAR(200) CHARACTER SET utf8 NOT NULL, w VARCHAR(20) CHARACTER SET ucs2 NULL, x TINYTEXT NULL, y MEDIUMTEXT NULL, \
     z CHAR(255) NULL, id VARCHAR(40) COLLATE utf8mb4_bin NOT NULL PRIMARY KEY, e ENUM('a','b,c','d''e') NULL, \
     o SET('p','q','r','s','t','u','v','w','x') NULL, a CHAR(5) CHARACTER SET ascii NOT NULL, j VARCHAR(9) CHARACTER SET sjis NULL)",
    "CREATE TABLE way.sjis_free (id INT NOT NULL PRIMARY KEY, c CHAR(20) CHARACTER SET latin1 NULL, \
     l VARCHAR(300) CHARACTER SET latin2 NULL, v VARCHAR(200) CHARACTER SET utf8 NOT NULL, \
     w VARCHAR(20) CHARACTER SET ucs2 NULL, x TINYTEXT NULL, y MEDIUMTEXT NULL, z CHAR(255) NULL, \
     e ENUM('a','b,c','d''e') NULL, o SET('p','q','r','s','t','u','v','w','x') NULL, a CHAR(5) CHARACTER SET ascii NOT NULL)",
    "CREATE TABLE way.times (id INT NOT NULL PRIMARY KEY, d DATE NULL, y YEAR NULL, t TIME NULL, t3 TIME(3) NULL, \
     dt DATETIME NOT NULL DEFAULT '2000-01-01', dt6 DATETIME(6) NULL, ts TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE \
     CURRENT_TIMESTAMP, ts5 TIMESTAMP(5) NULL)",
    "CREATE TABLE way.bytes (id BINARY(4) NOT NULL PRIMARY KEY, v VARBINARY(100) NULL, w VARBINARY(300) NOT NULL, \
     b BLOB NULL, l LONGBLOB NULL, n INT NOT NULL AUTO_INCREMENT, KEY (n))",
];

/// Some rows' numbers in a statement that is run for each.
fn for_each(range: std::ops::Range<u32>, statement: &str) -> Vec<String> {
    range.map(|number| statement.replace("{n}", &number.to_string())).collect()
}

/// A backlog in which every table has rows that come, change and go.
fn backlog() -> Vec<String> {
    let mut statements = Vec::new();
    let mut add = |range, statement: &str| statements.extend(for_each(range, statement));
    add(
        0..12,
        "INSERT INTO way.numbers VALUES (-{n}, {n} * 5000, NULL, -9e18 + {n}, {n}, 18446744073709551615 - {n}, -{n}.000001, {n}, \
         {n} / 3, -0.0, {n}, {n} * 4000), ({n}, 0, -8388608 + {n}, {n}, {n} + 100, NULL, NULL, 999, NULL, {n} / 7, NULL, 0)",
    );
    add(0..8, "UPDATE way.numbers SET m = {n}, f = -0.0, bits = 8191, u = u - 100 WHERE id = {n}");
    add(4..10, "DELETE FROM way.numbers WHERE id = 100 + {n}");
    for table in ["texts", "sjis_free"] {
        add(
            0..9,
            &format!(
                "INSERT INTO way.{table} (id, c, l, v, w, x, y, z, e, o, a) VALUES ('{{n}}', 'é{{n}}  ', 'ł\\\\''', 'ß\\0{{n}}', 'Ж', '', \
                 REPEAT('😀', {{n}} * 900), 'z ', 1 + {{n}} % 3, {{n}} * 50, 'abc')"
            ),
        );
        add(0..6, &format!("UPDATE way.{table} SET v = '', c = NULL, e = NULL, o = 0, w = '日本' WHERE id = '{{n}}'"));
        add(3..9, &format!("UPDATE way.{table} SET l = 'čš{{n}}' WHERE id = '{{n}}'"));
        add(1..5, &format!("DELETE FROM way.{table} WHERE id = '{{n}}'"));
    }
    add(
        1..9,
        "INSERT INTO way.times VALUES ({n}, '0000-00-00', 1900 + {n}, '-838:59:59', '12:34:56.78{n}', '2024-00-00 00:00:00', \
         '9999-12-31 23:59:59.99999{n}', '2038-01-19 03:14:07', '1970-01-01 00:00:01.{n}'), \
         ({n} + 50, NULL, NULL, '00:00:0{n}', NULL, '2024-02-29', NULL, '2001-01-01', NULL)",
    );
    add(1..7, "UPDATE way.times SET t3 = '-00:00:00.001', dt6 = '2024-01-01 00:00:00.5' WHERE id = {n}");
    add(1..7, "DELETE FROM way.times WHERE id = 50 + {n}");
    for number in 0..16_u8 {
        // Every byte, and what quoting or a text mode would change.
        let all: String =
            (0..=255_u8).map(|byte| format!("{:02x}", byte.wrapping_mul(7).wrapping_add(number))).collect();
        let (long, null) = (all.repeat(20 * usize::from(number % 3)), if number % 4 == 0 { "NULL" } else { "''" });
        statements.push(format!(
            "INSERT INTO way.bytes VALUES (x'00{number:02x}', x'00271a5c0d0aff{number:02x}', x'{all}', {null}, x'{long}', {number})"
        ));
    }
    let mut add = |range, statement: &str| statements.extend(for_each(range, statement));
    // Little of a long row, in several columns.
    add(2..9, "UPDATE way.bytes SET v = UNHEX('00{n}0') WHERE n = {n}");
    add(2..9, "UPDATE way.bytes SET w = '' WHERE n = {n} + 1 AND n % 2");
    add(4..9, "UPDATE way.bytes SET b = NULL, l = NULL WHERE n = {n} + 5");
    add(1..7, "DELETE FROM way.bytes WHERE n = {n} + 9");
    statements
}

/// Runs the statements on a server in one connection, each a transaction.
async fn run(server: &Server, statements: &[String]) {
    let mut conn = mysql_async::Conn::from_url(server.url()).await.unwrap();
    // Blue's clock is not green's: what a row event says must not stay.
    conn.query_drop(
        "SET NAMES utf8mb4, timestamp = 1500000000, sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES'",
    )
    .await
    .unwrap();
    for statement in statements {
        conn.query_drop(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    conn.disconnect().await.unwrap();
}

async fn pair(blue: Kind, green: Kind) -> Pair {
    let pair = Pair::start(blue, green).await;
    for statement in SCHEMA {
        pair.blue.sql(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    pair
}

/// Starts the engine with an account of green that has to go this way.
async fn replicate(pair: &Pair, way: Way) -> Replication {
    let green = match (way, pair.green.kind()) {
        (RowEvents, _) => pair.green.url(),
        // SUPER, which passes read_only too, cannot be revoked in part. But a row that is missing must be an error.
        (Sql, Kind::MySql56) => {
            pair.green.sql("SET GLOBAL slave_exec_mode = IDEMPOTENT").await.unwrap();
            pair.green.url()
        }
        (Sql, kind) => {
            let revoked = match kind {
                Kind::MySql97 => "BINLOG_ADMIN, REPLICATION_APPLIER, SUPER",
                _ => "BINLOG REPLAY, SUPER",
            };
            for statement in [
                "CREATE USER engine@'%' IDENTIFIED BY 'secret'",
                "GRANT ALL ON *.* TO engine@'%' WITH GRANT OPTION",
                &format!("REVOKE {revoked} ON *.* FROM engine@'%'"),
            ] {
                pair.green.sql(statement).await.unwrap();
            }
            pair.green.url_as("engine", "secret")
        }
    };
    let config = ReplicationConfig::new(pair.blue_url(), green.parse().unwrap());
    Box::pin(Replication::start(config)).await.unwrap()
}

/// How many `BINLOG` statements green ran.
async fn row_events(pair: &Pair) -> u64 {
    let status = pair.green.sql("SHOW GLOBAL STATUS LIKE 'Com_binlog'").await.unwrap();
    status.split('\t').nth(1).unwrap().parse().unwrap()
}

async fn stores_every_type(blue: Kind, green: Kind, way: Way) {
    let pair = pair(blue, green).await;
    pair.create().await;
    let before = row_events(&pair).await;
    run(&pair.blue, &backlog()).await;
    let replication = replicate(&pair, way).await;
    pair.level(&replication).await;
    let progress = replication.progress().borrow().clone();
    assert_eq!((progress.conflicts, progress.reconnects), (0, 0), "{progress:?}");
    // The session's clock goes on behind row events.
    run(&pair.blue, &["INSERT INTO way.numbers (id, b, s, e, whole) VALUES (1, 1, 1, 1, 1)".to_owned()]).await;
    pair.level(&replication).await;
    let is_new =
        "SELECT updated_at > UTC_TIMESTAMP() - INTERVAL 5 MINUTE FROM bluegreen.checkpoint WHERE stream = 'forward'";
    assert_eq!(pair.green.sql(is_new).await.unwrap(), "1");
    replication.stop().await.unwrap();
    pair.assert_same().await;
    let count = row_events(&pair).await - before;
    match way {
        // One when the session was opened.
        RowEvents => assert!(count > 1, "{count} statements of row events"),
        Sql => assert!(count <= 1, "{count} statements of row events"),
    }
}

/// What blue changes while somebody else writes on green.
async fn notices_foreign_writes(blue: Kind, green: Kind, way: Way) {
    let pair = pair(blue, green).await;
    let insert = "INSERT INTO way.numbers (id, b, u, s, e, whole) VALUES ({n}, {n}, {n}, {n}, {n}, {n})";
    run(&pair.blue, &for_each(1..30, insert)).await;
    pair.create().await;
    for statement in [
        // Rows that blue changes and deletes are gone, another has changed, and one is there that blue is about to make.
        "DELETE FROM way.numbers WHERE id IN (1, 11)",
        "UPDATE way.numbers SET s = 77, t = 7 WHERE id = 2",
        "INSERT INTO way.numbers (id, b, u, s, e, whole) VALUES (30, 30, 300, 1, 1, 1)",
        // Another row has a unique value of a row that comes.
        "INSERT INTO way.numbers (id, b, u, s, e, whole) VALUES (90, 90, 33, 1, 1, 1)",
    ] {
        pair.green.sql(statement).await.unwrap();
    }
    run(&pair.blue, &for_each(1..10, "UPDATE way.numbers SET s = {n} + 100, t = NULL WHERE id = {n}")).await;
    run(&pair.blue, &for_each(11..19, "DELETE FROM way.numbers WHERE id = {n}")).await;
    run(&pair.blue, &for_each(30..38, insert)).await;
    let replication = replicate(&pair, way).await;
    pair.level(&replication).await;
    let progress = replication.progress().borrow().clone();
    assert_eq!((progress.conflicts, progress.reconnects), (4, 0), "{progress:?}");
    let before = row_events(&pair).await;
    // The session goes on as before. In one transaction, so that it is many rows at once.
    let rows: Vec<String> = (50..60).map(|id| format!("({id}, 1, 1, 1, 1)")).collect();
    let rows = format!("INSERT INTO way.numbers (id, b, s, e, whole) VALUES {}", rows.join(","));
    run(&pair.blue, &[rows]).await;
    pair.level(&replication).await;
    assert_eq!(row_events(&pair).await > before, way == RowEvents);
    replication.stop().await.unwrap();
    pair.assert_same().await;
}

/// Where green passes over errors of row events, a row that is missing would stay so, and nobody would hear of it.
async fn skipped_errors_are_heard(kind: Kind, skips: &str) {
    let (blue, green) = tokio::join!(Server::builder(kind).start(), Server::builder(kind).options([skips]).start());
    let pair = Pair::of(blue.unwrap(), green.unwrap());
    pair.blue.sql(SCHEMA[0]).await.unwrap();
    pair.blue.sql("CREATE TABLE way.t (id INT PRIMARY KEY, n INT) ENGINE = InnoDB").await.unwrap();
    run(&pair.blue, &for_each(1..30, "INSERT INTO way.t VALUES ({n}, 0)")).await;
    pair.create().await;
    let before = row_events(&pair).await;
    pair.green.sql("DELETE FROM way.t WHERE id = 7").await.unwrap();
    pair.blue.sql("UPDATE way.t SET n = id").await.unwrap();
    let replication = replicate(&pair, RowEvents).await;
    pair.level(&replication).await;
    assert_eq!(replication.progress().borrow().conflicts, 1);
    replication.stop().await.unwrap();
    assert_eq!(row_events(&pair).await, before);
    pair.assert_same().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn skipped_errors_are_heard_on_mysql() {
    skipped_errors_are_heard(Kind::MySql97, "--replica-skip-errors=1032,1062").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn skipped_errors_are_heard_on_mariadb() {
    skipped_errors_are_heard(Kind::MariaDb1011, "--slave-skip-errors=1032,1062").await;
}

/// The same where somebody lets green skip them while the engine runs.
async fn a_mode_that_changes_is_noticed(kind: Kind) {
    let pair = pair(kind, kind).await;
    pair.blue.sql("CREATE TABLE way.t (id INT PRIMARY KEY, n INT) ENGINE = InnoDB").await.unwrap();
    run(&pair.blue, &for_each(1..30, "INSERT INTO way.t VALUES ({n}, 0)")).await;
    pair.create().await;
    let replication = replicate(&pair, RowEvents).await;
    pair.blue.sql("UPDATE way.t SET n = 1").await.unwrap();
    pair.level(&replication).await;
    pair.green.sql("SET GLOBAL slave_exec_mode = IDEMPOTENT").await.unwrap();
    pair.green.sql("DELETE FROM way.t WHERE id = 7").await.unwrap();
    pair.blue.sql("UPDATE way.t SET n = 2").await.unwrap();
    pair.level(&replication).await;
    assert_eq!(replication.progress().borrow().conflicts, 1);
    replication.stop().await.unwrap();
    pair.assert_same().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mode_that_changes_is_noticed_on_mysql_56() {
    a_mode_that_changes_is_noticed(Kind::MySql56).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mode_that_changes_is_noticed_on_mariadb() {
    a_mode_that_changes_is_noticed(Kind::MariaDb1011).await;
}

macro_rules! pairs {
    ($($name:ident: $blue:ident, $green:ident;)+) => {$(
        mod $name {
            use super::*;

            #[tokio::test(flavor = "multi_thread")]
            async fn row_events_store_every_type() {
                stores_every_type(Kind::$blue, Kind::$green, RowEvents).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn sql_stores_every_type() {
                stores_every_type(Kind::$blue, Kind::$green, Sql).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn row_events_notice_foreign_writes() {
                notices_foreign_writes(Kind::$blue, Kind::$green, RowEvents).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn sql_notices_foreign_writes() {
                notices_foreign_writes(Kind::$blue, Kind::$green, Sql).await;
            }
        }
    )+};
}

pairs! {
    mysql_97: MySql97, MySql97;
    mysql_56: MySql56, MySql56;
    mysql_56_to_97: MySql56, MySql97;
    mariadb_1011: MariaDb1011, MariaDb1011;
    mariadb_105_to_118: MariaDb105, MariaDb118;
}
