//! What differs between blue and green but for rows, on real servers.

mod support;

use std::collections::BTreeSet;

use bluegreen::checks::{Check, Intended, Verdict, drift};
use bluegreen::model::TableName;
use bluegreen::sandbox::Kind;
use support::Pair;
use support::load;

async fn measured(pair: &Pair, intended: &Intended) -> [Check; 3] {
    let checks = drift(&pair.blue_url(), &pair.green_url(), intended).await;
    checks.try_into().expect("three checks")
}

fn names(check: &Check, parts: &[&str]) {
    assert_eq!(check.verdict, Verdict::Warn, "{check:?}");
    for part in parts {
        assert!(check.evidence.contains(part), "{part}: {check:?}");
    }
}

async fn is_named(blue: Kind, green: Kind) {
    let pair = Pair::start(blue, green).await;
    load::schema(&pair.blue).await;
    pair.blue
        .sql(
            "CREATE TABLE shop.kinds (id INT UNSIGNED PRIMARY KEY, flag TINYINT(1) NOT NULL DEFAULT '1', \
             name VARCHAR(20) CHARACTER SET utf8 DEFAULT 'x', at TIMESTAMP NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE \
             CURRENT_TIMESTAMP, part TEXT, KEY (name(5)), KEY (part(9))) ENGINE = InnoDB",
        )
        .await
        .unwrap();
    pair.create().await;
    let level = measured(&pair, &Intended::default()).await;
    assert_eq!(level[0].verdict, Verdict::Pass, "{level:?}");
    let same_series = blue == green;
    if same_series {
        assert!(level.iter().all(|check| check.verdict == Verdict::Pass), "{level:?}");
    }

    pair.green.sql("ALTER TABLE shop.kinds DROP KEY part").await.unwrap();
    pair.green.sql("CREATE TABLE shop.scratch (id INT PRIMARY KEY)").await.unwrap();
    pair.blue.sql("CREATE VIEW shop.v AS SELECT 1").await.unwrap();
    pair.blue.sql("CREATE USER app@'%' IDENTIFIED BY 'secretword'").await.unwrap();
    pair.blue.sql("SET GLOBAL group_concat_max_len = 4321").await.unwrap();
    let [schema, accounts, settings] = measured(&pair, &Intended::default()).await;
    names(&schema, &["key shop.kinds.part", "table shop.scratch", "view shop.v"]);
    names(&accounts, &["'app'@'%'"]);
    assert!(!accounts.evidence.contains("secretword"));
    names(&settings, &["group_concat_max_len", "4321"]);

    // What is meant is no drift.
    let mut intended = Intended::of_tables(BTreeSet::from([TableName::new("shop", "scratch")]));
    intended.settings.insert("group_concat_max_len".into());
    let [schema, _, settings] = measured(&pair, &intended).await;
    assert!(!schema.evidence.contains("scratch"), "{schema:?}");
    assert!(!settings.evidence.contains("group_concat_max_len"), "{settings:?}");

    // Rows of blue have no place there.
    pair.green.sql("ALTER TABLE shop.kinds DROP COLUMN part").await.unwrap();
    assert_eq!(measured(&pair, &intended).await[0].verdict, Verdict::Fail);

    // The same account with another password, or other rights.
    if same_series {
        pair.green.sql("CREATE USER app@'%' IDENTIFIED BY 'other'").await.unwrap();
        names(&measured(&pair, &intended).await[1], &["different: 'app'@'%'"]);
    }
    // A server that does not answer is unknown, never a pass.
    let gone = format!("mysql://root@127.0.0.1:{}", pair.blue.port());
    drop(pair.blue);
    let checks = drift(&gone.parse().unwrap(), &pair.green.url().parse().unwrap(), &intended).await;
    assert!(checks.len() == 3 && checks.iter().all(|check| check.verdict == Verdict::Unknown), "{checks:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn is_named_on_mysql() {
    is_named(Kind::MySql97, Kind::MySql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn is_named_on_mariadb() {
    is_named(Kind::MariaDb1011, Kind::MariaDb1011).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn is_named_from_mysql_56_to_97() {
    is_named(Kind::MySql56, Kind::MySql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn is_named_from_mariadb_105_to_118() {
    is_named(Kind::MariaDb105, Kind::MariaDb118).await;
}
