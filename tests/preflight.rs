//! What is said of two servers before green is built, on real ones.

mod support;

use std::process::Command;

use bluegreen::ErrorKind;
use bluegreen::checks::{Check, Verdict};
use bluegreen::create::{CreateConfig, create, dry_run};
use bluegreen::sandbox::Kind;
use serde_json::Value;
use support::Pair;

fn config(pair: &Pair) -> CreateConfig {
    CreateConfig::new("mydb1", pair.blue_url(), pair.green_url()).unwrap()
}

fn named<'c>(checks: &'c [Check], name: &str) -> &'c Check {
    let found: Vec<&Check> = checks.iter().filter(|check| check.name == name).collect();
    assert_eq!(found.len(), 1, "{name}: {found:?}");
    found[0]
}

fn is(checks: &[Check], name: &str, verdict: Verdict, evidence: &str) {
    let check = named(checks, name);
    assert_eq!(check.verdict, verdict, "{check:?}");
    assert!(check.evidence.contains(evidence), "{evidence}: {check:?}");
    assert_eq!(check.verdict == Verdict::Pass, check.advice.is_none(), "{check:?}");
}

/// Each is there once, none is unknown, and what stands in the way of nothing is built.
async fn of_a_good_pair(blue: Kind, green: Kind) {
    let pair = Pair::start(blue, green).await;
    pair.blue.sql("CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY) ENGINE = InnoDB").await.unwrap();
    let checks = Box::pin(dry_run(&config(&pair))).await;
    assert!(!checks.iter().any(Check::blocks), "{checks:?}");
    for name in ["create", "log_bin", "version", "objects", "engines", "tables_without_key", "cascades", "collations"] {
        assert_eq!(named(&checks, name).verdict, Verdict::Pass, "{checks:?}");
    }
    assert_eq!(pair.green.sql("SHOW DATABASES LIKE 'bluegreen'").await.unwrap(), "", "a look has written");
    pair.create().await;
    is(&Box::pin(dry_run(&config(&pair))).await, "create", Verdict::Fail, "belongs to the deployment");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_good_pair_of_mysql() {
    of_a_good_pair(Kind::MySql97, Kind::MySql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_good_pair_of_mariadb() {
    of_a_good_pair(Kind::MariaDb1011, Kind::MariaDb1011).await;
}

/// What somebody should know, and what is refused, each by name.
async fn all_is_found(kind: Kind) {
    let pair = Pair::start(kind, kind).await;
    pair.blue
        .sql(
            "CREATE DATABASE shop; \
             CREATE TABLE shop.parent (id INT PRIMARY KEY) ENGINE = InnoDB; \
             CREATE TABLE shop.child (id INT PRIMARY KEY, p INT, CONSTRAINT takes FOREIGN KEY (p) REFERENCES shop.parent \
             (id) ON DELETE CASCADE) ENGINE = InnoDB; \
             CREATE TABLE shop.keyless (a INT) ENGINE = InnoDB; \
             CREATE TABLE shop.years (y INT) ENGINE = InnoDB PARTITION BY RANGE (y) (PARTITION p0 VALUES LESS THAN (9)); \
             CREATE USER 'app'@'%'; SET GLOBAL sync_binlog = 7; SET GLOBAL innodb_flush_log_at_trx_commit = 2; \
             SET GLOBAL time_zone = '+05:00'; SET GLOBAL binlog_checksum = 'NONE'",
        )
        .await
        .unwrap();
    pair.blue.sql("SET GLOBAL event_scheduler = ON").await.unwrap();
    pair.green.sql("SET GLOBAL event_scheduler = OFF").await.unwrap();
    pair.blue.sql("INSERT INTO mysql.time_zone_name VALUES ('Europe/Nowhere', 1)").await.unwrap();
    let checks = Box::pin(dry_run(&config(&pair))).await;
    is(&checks, "create", Verdict::Pass, "");
    is(&checks, "time_zone_names", Verdict::Warn, "Europe/Nowhere");
    is(&checks, "tables_without_key", Verdict::Warn, "shop.keyless, shop.years");
    is(&checks, "cascades", Verdict::Warn, "shop.child (takes)");
    is(&checks, "partitions", Verdict::Warn, "shop.years");
    is(&checks, "accounts", Verdict::Pass, "");
    is(&checks, "sync_binlog", Verdict::Warn, "7 on blue");
    is(&checks, "innodb_flush_log_at_trx_commit", Verdict::Warn, "2 on blue");
    is(&checks, "time_zone", Verdict::Warn, "+05:00");
    is(&checks, "binlog_checksum", Verdict::Warn, "NONE on blue");
    is(&checks, "event_scheduler", Verdict::Warn, "ON on blue, OFF on green");
    is(&checks, "free_disk", Verdict::Warn, "MiB");
    let created = Box::pin(create(&config(&pair), |_| {})).await.unwrap();
    assert!(created.warnings.iter().any(|warning| warning.contains("shop.keyless")), "{:?}", created.warnings);

    let pair = Pair::start(kind, kind).await;
    pair.blue
        .sql(
            "CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY) ENGINE = InnoDB; \
             CREATE TABLE shop.old (a INT PRIMARY KEY) ENGINE = MyISAM; CREATE DEFINER = 'gone'@'%' TRIGGER shop.fires BEFORE INSERT ON shop.t FOR EACH ROW SET NEW.id = 1; \
             CREATE EVENT shop.ticks ON SCHEDULE EVERY 1 DAY DO SELECT 1; CREATE VIEW shop.v AS SELECT 1",
        )
        .await
        .unwrap();
    let checks = Box::pin(dry_run(&config(&pair))).await;
    is(&checks, "create", Verdict::Fail, "shop.old (MyISAM)");
    is(&checks, "objects", Verdict::Pass, "");
    is(&checks, "engines", Verdict::Fail, "shop.old (MyISAM)");
    is(&checks, "definers", Verdict::Warn, "gone@%");
    let refusal = Box::pin(create(&config(&pair), |_| {})).await.unwrap_err();
    assert_eq!(refusal.kind(), ErrorKind::Unsupported, "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_is_found_on_mysql() {
    all_is_found(Kind::MySql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_is_found_on_mariadb() {
    all_is_found(Kind::MariaDb1011).await;
}

/// What a newer version sees otherwise: its words, computed columns, modes that are gone. The newer servers themselves say
/// which words are theirs.
#[tokio::test(flavor = "multi_thread")]
async fn newer_versions() {
    let pair = Pair::start(Kind::MySql56, Kind::MySql97).await;
    pair.blue
        .sql(
            "CREATE DATABASE shop; CREATE TABLE shop.groups (id INT PRIMARY KEY, rank INT, `select` INT, name INT) \
             ENGINE = InnoDB; SET GLOBAL sql_mode = 'NO_AUTO_CREATE_USER,STRICT_ALL_TABLES'",
        )
        .await
        .unwrap();
    let checks = Box::pin(dry_run(&config(&pair))).await;
    is(&checks, "reserved_words", Verdict::Warn, "only: groups, rank");
    is(&checks, "sql_mode", Verdict::Warn, "NO_AUTO_CREATE_USER");
    is(&checks, "collations", Verdict::Pass, "");

    let pair = Pair::start(Kind::MariaDb105, Kind::MariaDb118).await;
    pair.blue
        .sql(
            "CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY, vector INT, twice INT AS (id * 2)) \
             ENGINE = InnoDB CHARACTER SET utf8 COLLATE utf8_general_ci",
        )
        .await
        .unwrap();
    let checks = Box::pin(dry_run(&config(&pair))).await;
    is(&checks, "reserved_words", Verdict::Warn, "only: vector");
    is(&checks, "generated_columns", Verdict::Warn, "shop.t");
    is(&checks, "collations", Verdict::Pass, "");
}

/// What differs is told, but for what is declared: that is set on green, for good where green can keep it.
async fn settings_are_told_or_intended(kind: Kind) {
    let pair = Pair::start(kind, kind).await;
    pair.blue.sql("CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY) ENGINE = InnoDB").await.unwrap();
    pair.blue.sql("SET GLOBAL max_connections = 123; SET GLOBAL group_concat_max_len = 4321").await.unwrap();
    let told = Box::pin(dry_run(&config(&pair))).await;
    is(&told, "settings_drift", Verdict::Warn, "max_connections (how many can connect: 123 on blue");
    is(&told, "settings_drift", Verdict::Warn, "group_concat_max_len");
    is(&told, "intended_settings", Verdict::Pass, "");
    let declared = [("max_connections", "77"), ("group_concat_max_len", "5000"), ("character_set_server", "latin1")];
    let declared = declared.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let config = config(&pair).with_green_variables(declared).unwrap();
    let checks = Box::pin(dry_run(&config)).await;
    let drift = named(&checks, "settings_drift");
    assert!(!drift.evidence.contains("max_connections") && !drift.evidence.contains("group_concat"), "{drift:?}");
    let kept = if kind.is_mariadb() { Verdict::Warn } else { Verdict::Pass };
    is(&checks, "intended_settings", kept, "group_concat_max_len = 5000, max_connections = 77");
    assert_ne!(pair.green.sql("SELECT @@global.max_connections").await.unwrap(), "77", "a look has written");
    Box::pin(create(&config, |_| {})).await.unwrap();
    let set = "SELECT @@global.max_connections, @@global.group_concat_max_len, @@global.character_set_server";
    assert_eq!(pair.green.sql(set).await.unwrap(), "77\t5000\tlatin1");
    if !kind.is_mariadb() {
        let kept = "SELECT COUNT(*) FROM performance_schema.persisted_variables \
            WHERE VARIABLE_NAME IN ('max_connections', 'group_concat_max_len', 'character_set_server')";
        assert_eq!(pair.green.sql(kept).await.unwrap(), "3");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_told_or_intended_on_mysql() {
    settings_are_told_or_intended(Kind::MySql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_told_or_intended_on_mariadb() {
    settings_are_told_or_intended(Kind::MariaDb1011).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_that_green_does_not_take_is_named() {
    let pair = Pair::start(Kind::MySql97, Kind::MySql97).await;
    pair.blue.sql("CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY)").await.unwrap();
    let declared = [("innodb_page_size".to_owned(), "4096".to_owned())].into();
    let refusal = Box::pin(create(&config(&pair).with_green_variables(declared).unwrap(), |_| {})).await.unwrap_err();
    assert_eq!(refusal.kind(), ErrorKind::Setting, "{refusal}");
    assert!(refusal.to_string().contains("innodb_page_size = 4096"), "{refusal}");
    assert_eq!(pair.green.sql("SHOW DATABASES LIKE 'bluegreen'").await.unwrap(), "");
}

/// On the command line: exit status 0 where it may be built, 1 where not; JSON is JSON.
#[tokio::test(flavor = "multi_thread")]
async fn on_the_command_line() {
    let pair = Pair::start(Kind::MariaDb1011, Kind::MariaDb1011).await;
    pair.blue.sql("CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY) ENGINE = InnoDB").await.unwrap();
    let dry_run = async |more: &'static [&'static str]| {
        let (blue, green) = (pair.blue.url().to_owned(), pair.green.url().to_owned());
        let run = move || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_bluegreen"));
            command.args(["create", "--dry-run", "--blue", &blue, "--green", &green]).args(more).output().unwrap()
        };
        tokio::task::spawn_blocking(run).await.unwrap()
    };
    let shown = dry_run(&[]).await;
    assert_eq!(shown.status.code(), Some(0), "{}", String::from_utf8_lossy(&shown.stdout));
    assert!(String::from_utf8_lossy(&shown.stdout).contains("sync_binlog"));
    pair.blue.sql("CREATE TABLE shop.s (id INT PRIMARY KEY) WITH SYSTEM VERSIONING").await.unwrap();
    let shown = dry_run(&["--json"]).await;
    assert_eq!(shown.status.code(), Some(1));
    let document: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let objects = document["checks"].as_array().unwrap().iter().find(|check| check["name"] == "objects");
    assert_eq!(objects.unwrap()["verdict"], "fail");
}
