//! After a full pass `verify` looks only at what changed since, whatever names the rows, and its answer is of all rows.

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use bluegreen::checks::{Difference, DifferenceKind, KeyValue, Scope, Verification, Verifier, VerifyConfig};
use bluegreen::repair::repair;
use bluegreen::sandbox::{Kind, Server};
use bluegreen::{ErrorKind, Result};
use support::Pair;
use support::load::{self, Load};

/// A key: the columns' definitions, the key's columns, and the values of row `i`, 1 to 60.
struct Key {
    name: &'static str,
    columns: &'static str,
    key: &'static str,
    values: fn(u64) -> String,
    /// Whether the log tells which row it is; else the table is compared as a whole.
    is_logged: bool,
}

const KEYS: [Key; 19] = [
    Key { name: "num", columns: "k int", key: "k", values: |i| format!("-{i}"), is_logged: true },
    Key {
        name: "big",
        columns: "k bigint unsigned",
        key: "k",
        values: |i| (u64::MAX - i).to_string(),
        is_logged: true,
    },
    Key { name: "tiny", columns: "k tinyint unsigned", key: "k", values: |i| (255 - i).to_string(), is_logged: true },
    Key { name: "dec_", columns: "k decimal(20,5)", key: "k", values: |i| format!("-{i}.5"), is_logged: true },
    Key { name: "folded", columns: "k varchar(20)", key: "k", values: |i| format!("'Ké''{i} '"), is_logged: true },
    Key {
        name: "latin",
        columns: "k varchar(20) character set latin1",
        key: "k",
        values: |i| format!("'ü{i}'"),
        is_logged: true,
    },
    Key {
        name: "chars",
        columns: "k char(8) character set utf8mb4 collate utf8mb4_bin",
        key: "k",
        values: |i| format!("'😀{i}'"),
        is_logged: true,
    },
    Key { name: "bytes", columns: "k varbinary(8)", key: "k", values: |i| format!("x'00{i:04x}00'"), is_logged: true },
    Key { name: "fixed", columns: "k binary(4)", key: "k", values: |i| format!("x'{i:02x}'"), is_logged: true },
    Key {
        name: "moment",
        columns: "k datetime(6)",
        key: "k",
        values: |i| format!("'2024-01-01 00:00:00.0000{i:02}'"),
        is_logged: true,
    },
    Key {
        name: "stamp",
        columns: "k timestamp(3) default '2001-01-01'",
        key: "k",
        values: |i| format!("'2024-03-31 02:30:{:02}.5'", i - 1),
        is_logged: true,
    },
    Key { name: "day", columns: "k date", key: "k", values: |i| format!("'20{i:02}-02-03'"), is_logged: true },
    Key { name: "clock", columns: "k time(2)", key: "k", values: |i| format!("'-{i}:00:00.5'"), is_logged: true },
    Key { name: "yr", columns: "k year", key: "k", values: |i| (1990 + i).to_string(), is_logged: true },
    Key { name: "bits", columns: "k bit(16)", key: "k", values: |i| (i * 257).to_string(), is_logged: true },
    Key {
        name: "pair",
        columns: "a int, k varchar(9), d date",
        key: "k, d, a",
        values: |i| format!("{}, 'x{}', '2024-01-{:02}'", i % 3, i % 5, i % 28 + 1),
        is_logged: true,
    },
    Key {
        name: "member",
        columns: "k set('a','b','c','d','e','f')",
        key: "k",
        values: |i| i.to_string(),
        is_logged: false,
    },
    Key { name: "real_", columns: "k double", key: "k", values: |i| format!("{i}.1e0"), is_logged: false },
    Key { name: "keyless", columns: "k int", key: "", values: |i| (i % 7).to_string(), is_logged: false },
];

/// What a pass compares where so many rows of each table have changed.
fn rows_due(of_each: u64) -> u64 {
    KEYS.iter().map(|key| if key.is_logged { of_each } else { 59 }).sum()
}

async fn fill(blue: &Server) {
    let mut script =
        "SET NAMES utf8mb4; SET time_zone = '+00:00'; CREATE DATABASE k DEFAULT CHARACTER SET utf8mb4; USE k"
            .to_owned();
    for Key { name, columns, key, values, .. } in &KEYS {
        let columns = match key.is_empty() {
            true => (*columns).to_owned(),
            false => format!("{}, PRIMARY KEY ({key})", columns.replace(", ", " NOT NULL, ") + " NOT NULL"),
        };
        let columns = columns.replace("default '2001-01-01' NOT NULL", "NOT NULL default '2001-01-01'");
        // `n` is in the middle, so that the key's place counts.
        script.push_str(&format!("; CREATE TABLE {name} (n int, v varchar(20), {columns})"));
        let rows: Vec<String> = (1..=59).map(|i| format!("({i},'v{i}',{})", values(i))).collect();
        script.push_str(&format!("; INSERT INTO {name} VALUES {}", rows.join(",")));
    }
    blue.sql(&script).await.unwrap();
}

async fn each(server: &Server, first: &str, statement: impl Fn(&Key) -> String) {
    let statements: Vec<String> = KEYS.iter().map(statement).collect();
    server
        .sql(&format!("SET NAMES utf8mb4; SET time_zone = '+00:00'; USE k; {first}; {}", statements.join(";")))
        .await
        .unwrap();
}

fn verifier(pair: &Pair) -> Verifier {
    Verifier::new(VerifyConfig::new(pair.blue_url(), pair.green_url()))
}

/// Tables with so many differences of a kind.
fn counted(verification: &Verification, kind: DifferenceKind) -> Vec<(String, usize)> {
    let tables: BTreeSet<&str> = KEYS.iter().map(|key| key.name).collect();
    let of = |table: &str| {
        let is_of = |difference: &&Difference| difference.table.table == table && difference.kind == kind;
        (table.to_owned(), verification.differences.iter().filter(is_of).count())
    };
    tables.into_iter().map(of).collect()
}

fn text(verification: &Verification) -> String {
    serde_json::to_string(verification).unwrap()
}

async fn only_changed_rows_are_compared(blue: Kind, green: Kind, gtid: bool) {
    let pair = Pair::with_gtid(blue, green, gtid).await;
    fill(&pair.blue).await;
    pair.create().await;
    let replication = pair.replicate().await;
    let mut verifier = verifier(&pair);
    let full = verifier.full(|_| ()).await.unwrap();
    assert!(full.equal && full.scope == Scope::Full, "{}", text(&full));
    assert_eq!(full.rows, 59 * KEYS.len() as u64);

    let nothing = verifier.again(|_| ()).await.unwrap();
    assert!(nothing.equal && nothing.rows == 0 && nothing.tables == full.tables, "{}", text(&nothing));

    // An update, a delete and an insert of each.
    each(&pair.blue, "DO 0", |key| {
        let Key { name, values, .. } = key;
        format!(
            "UPDATE {name} SET v = 'new' WHERE n = 7; DELETE FROM {name} WHERE n = 8; \
             INSERT INTO {name} VALUES (60, 'v', {})",
            values(60)
        )
    })
    .await;
    pair.level(&replication).await;
    let changed = verifier.again(|_| ()).await.unwrap();
    assert!(changed.equal && changed.scope == Scope::Changed, "{}", text(&changed));
    assert_eq!(changed.rows, rows_due(2), "{}", text(&changed));

    // Somebody writes on green. The log tells; all kinds of keys are found and named.
    let damage = |key: &Key| {
        let Key { name, values, .. } = key;
        format!(
            "UPDATE {name} SET v = 'green' WHERE n = 9; DELETE FROM {name} WHERE n IN (10, 11); \
             UPDATE {name} SET v = NULL, k = {} WHERE n = 12",
            if *name == "pair" { "'moved'".to_owned() } else { values(8) }
        )
    };
    each(&pair.green, "DO 0", damage).await;
    for _ in 0..2 {
        // And once more: what is not equal is looked at again.
        let damaged = verifier.again(|_| ()).await.unwrap();
        assert!(!damaged.equal && damaged.unverified.is_empty(), "{}", text(&damaged));
        let of = |keyed: usize, keyless: usize| {
            let count = |name: &str| if name == "keyless" { keyless } else { keyed };
            let tables: BTreeSet<&str> = KEYS.iter().map(|key| key.name).collect();
            tables.into_iter().map(|name| (name.to_owned(), count(name))).collect::<Vec<_>>()
        };
        assert_eq!(counted(&damaged, DifferenceKind::Different), of(1, 0));
        assert_eq!(counted(&damaged, DifferenceKind::MissingOnGreen), of(3, 4));
        assert_eq!(counted(&damaged, DifferenceKind::ExtraOnGreen), of(1, 2));
    }

    let repaired = repair(&verifier).await.unwrap();
    let refused: Vec<&str> = repaired.refused.iter().map(|refused| refused.table.table.as_str()).collect();
    assert_eq!(refused, ["keyless"], "{repaired:?}");
    assert_eq!(repaired.rows, 5 * (KEYS.len() as u64 - 1));
    let now = verifier.again(|_| ()).await.unwrap();
    assert_eq!(
        now.differences.iter().filter(|difference| difference.table.table != "keyless").count(),
        0,
        "{}",
        text(&now)
    );
    assert_eq!(now.differences.len(), 6);
    replication.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_changed_rows_are_compared_on_mysql_9_7() {
    only_changed_rows_are_compared(Kind::MySql97, Kind::MySql97, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_changed_rows_are_compared_on_mariadb_10_11() {
    only_changed_rows_are_compared(Kind::MariaDb1011, Kind::MariaDb1011, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_changed_rows_are_compared_from_mysql_5_6_to_9_7_without_gtids() {
    only_changed_rows_are_compared(Kind::MySql56, Kind::MySql97, false).await;
}

/// What a cascade did stands in no log, and what a statement did only by its name.
async fn changes_without_a_row_event_are_found(kind: Kind) {
    let pair = Pair::start(kind, kind).await;
    let schema = "CREATE DATABASE f; USE f;
        CREATE TABLE parent (id int PRIMARY KEY, v int);
        CREATE TABLE child (id int PRIMARY KEY, parent int, FOREIGN KEY (parent) REFERENCES parent (id) ON DELETE CASCADE);
        CREATE TABLE other (id int PRIMARY KEY, v int);
        INSERT INTO parent VALUES (1,1),(2,2),(3,3); INSERT INTO child VALUES (10,1),(20,2),(21,2),(30,3);
        INSERT INTO other VALUES (1,1),(2,2)";
    for server in [&pair.blue, &pair.green] {
        server.sql(schema).await.unwrap();
    }
    let key = pair
        .green
        .sql("SELECT CONSTRAINT_NAME FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = 'f'");
    let key = key.await.unwrap();
    pair.green.sql(&format!("ALTER TABLE f.child DROP FOREIGN KEY {key}")).await.unwrap();
    let mut verifier = verifier(&pair);
    assert!(verifier.full(|_| ()).await.unwrap().equal);

    // An update that no child follows makes nothing but its row due.
    for server in [&pair.blue, &pair.green] {
        server.sql("UPDATE f.parent SET v = 5 WHERE id = 1").await.unwrap();
    }
    let updated = verifier.again(|_| ()).await.unwrap();
    assert!(updated.equal && updated.rows == 1, "{}", text(&updated));

    for server in [&pair.blue, &pair.green] {
        server.sql("DELETE FROM f.parent WHERE id = 2").await.unwrap();
    }
    let cascaded = verifier.again(|_| ()).await.unwrap();
    let found: Vec<_> =
        cascaded.differences.iter().map(|difference| (&*difference.table.table, &difference.key[0].1)).collect();
    assert_eq!(found, [("child", &KeyValue::Signed(20)), ("child", &KeyValue::Signed(21))], "{}", text(&cascaded));

    pair.green.sql("DELETE FROM f.child WHERE parent = 2").await.unwrap();
    assert!(verifier.again(|_| ()).await.unwrap().equal);
    pair.green.sql("TRUNCATE f.other").await.unwrap();
    let emptied = verifier.again(|_| ()).await.unwrap();
    assert_eq!(emptied.differences.len(), 2, "{}", text(&emptied));
    pair.green.sql("INSERT INTO f.other VALUES (1,1),(2,2); ALTER TABLE f.other ADD COLUMN w int").await.unwrap();
    let altered = verifier.again(|_| ()).await.unwrap();
    assert!(altered.equal && altered.rows == 2, "{}", text(&altered));
    pair.green.sql("CREATE TABLE f.more (id int)").await.unwrap();
    assert_eq!(verifier.again(|_| ()).await.unwrap().differences.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_without_a_row_event_are_found_on_mysql_9_7() {
    changes_without_a_row_event_are_found(Kind::MySql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_without_a_row_event_are_found_on_mariadb_10_11() {
    changes_without_a_row_event_are_found(Kind::MariaDb1011).await;
}

/// Live traffic makes no false difference, and a repair under it is right.
async fn traffic_goes_on_meanwhile(kind: Kind) {
    let pair = Pair::start(kind, kind).await;
    load::schema(&pair.blue).await;
    pair.create().await;
    let replication = pair.replicate().await;
    let load = Load::start(pair.blue.url(), 3, 11, Duration::from_millis(2));
    let mut verifier = verifier(&pair);
    let full = verifier.full(|_| ()).await.unwrap();
    assert!(full.equal, "{}", text(&full));
    for _ in 0..5 {
        let again = verifier.again(|_| ()).await.unwrap();
        assert!(again.equal, "{}", text(&again));
    }
    pair.green
        .sql(
            "SET sql_log_bin = 0; UPDATE shop.account SET note = 'damaged'; DELETE FROM shop.seat WHERE id % 3 = 0; \
              UPDATE `od.d ``s`.`select` SET v = 1901",
        )
        .await
        .unwrap();
    // What blue has just changed may be left for another time.
    let mut found = verifier.full(|_| ()).await.unwrap();
    assert!(!found.equal);
    for _ in 0..5 {
        if found.equal {
            break;
        }
        let repaired = repair(&verifier).await.unwrap();
        assert_eq!(repaired.refused, [], "{}", text(&found));
        found = verifier.again(|_| ()).await.unwrap();
    }
    assert!(found.equal, "{}", text(&found));
    load.stop().await;
    pair.level(&replication).await;
    assert!(verifier.again(|_| ()).await.unwrap().equal);
    pair.assert_same().await;
    replication.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn traffic_goes_on_meanwhile_on_mysql_9_7() {
    traffic_goes_on_meanwhile(Kind::MySql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn traffic_goes_on_meanwhile_on_mariadb_10_11() {
    traffic_goes_on_meanwhile(Kind::MariaDb1011).await;
}

/// Many rows, and a difference in the last of them.
async fn long_tables() -> Pair {
    let pair = Pair::start(Kind::MySql97, Kind::MySql97).await;
    let schema = "CREATE DATABASE l; CREATE TABLE l.t (id int PRIMARY KEY, v varchar(40));
        SET cte_max_recursion_depth = 100000;
        INSERT INTO l.t WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000) SELECT i, MD5(i) FROM n";
    pair.blue.sql(&schema.replace("MD5(i)", "SHA2(i, 224)").replace("varchar(40)", "varchar(60)")).await.unwrap();
    pair.create().await;
    pair
}

/// Runs `again`, or `full`, and `act` once the first rows were compared.
async fn in_the_middle(verifier: &mut Verifier, act: impl Future<Output = ()>) -> Result<Verification> {
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let begun = std::sync::Mutex::new(Some(begun));
    let progress = |at: bluegreen::checks::VerifyProgress| {
        if at.rows_done > 0
            && let Some(begun) = begun.lock().unwrap().take()
        {
            begun.send(()).unwrap();
        }
    };
    let act = async {
        has_begun.await.unwrap();
        act.await;
    };
    let (found, ()) = tokio::join!(verifier.full(progress), act);
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_no_equality() {
    let mut pair = long_tables().await;
    let replication = pair.replicate().await;
    let mut config = VerifyConfig::new(pair.blue_url(), pair.green_url());
    config.chunk_rows = 100;
    let mut verifier = Verifier::new(config);
    assert!(verifier.full(|_| ()).await.unwrap().equal);
    replication.stop().await.unwrap();

    let killed = in_the_middle(&mut verifier, async { pair.green.kill().await.unwrap() }).await;
    assert!(matches!(killed.unwrap_err().kind(), ErrorKind::Disconnected | ErrorKind::Unreachable));
    // Nor is anything known of before.
    assert!(verifier.again(|_| ()).await.is_err());
    pair.green.start().await.unwrap();

    assert!(verifier.full(|_| ()).await.unwrap().equal);
    pair.green.sql("SET sql_log_bin = 0; UPDATE l.t SET v = '' WHERE id = 60000").await.unwrap();
    pair.blue.kill().await.unwrap();
    assert!(verifier.again(|_| ()).await.is_err(), "blue is gone");
    pair.blue.start().await.unwrap();
    let killed = in_the_middle(&mut verifier, async { pair.blue.kill().await.unwrap() }).await;
    assert!(killed.is_err());
    pair.blue.start().await.unwrap();

    // A server that does not answer for a while, and then goes on.
    let frozen = in_the_middle(&mut verifier, async {
        pair.green.pause().unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        pair.green.resume().unwrap();
    });
    assert_eq!(frozen.await.unwrap().differences.len(), 1);
}

/// Without an engine nothing tells a difference from a change that is on its way.
#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_gone_is_no_equality() {
    let pair = long_tables().await;
    let mut config = VerifyConfig::new(pair.blue_url(), pair.green_url());
    config.settle_limit = Duration::from_millis(500);
    let mut verifier = Verifier::new(config);
    assert!(verifier.full(|_| ()).await.unwrap().equal);
    pair.blue.sql("UPDATE l.t SET v = 'new' WHERE id = 5").await.unwrap();
    for _ in 0..2 {
        let error = verifier.again(|_| ()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::State, "{error}");
    }
    let replication = pair.replicate().await;
    pair.level(&replication).await;
    let now = verifier.again(|_| ()).await.unwrap();
    assert!(now.equal && now.rows == 1, "what was due is not forgotten: {}", text(&now));
    replication.stop().await.unwrap();
}
