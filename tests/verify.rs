//! `verify` on real servers: every kind of damage is found and named, and nothing else is.

use std::collections::BTreeSet;
use std::error::Error;

use bluegreen::checks::{DifferenceKind, KeyValue, Verification, VerifyConfig, verify};
use bluegreen::sandbox::{Kind, Server};

/// Column, type, value on blue, and what green is changed to.
const TYPES: [(&str, &str, &str, &str); 22] = [
    ("i1", "tinyint", "-5", "-6"),
    ("i3", "mediumint unsigned", "16777215", "0"),
    ("u8", "bigint unsigned", "18446744073709551615", "18446744073709551614"),
    ("de", "decimal(30,10)", "-1.5", "-1.5000000001"),
    ("fl", "float", "0.1", "0.10000001"),
    ("db", "double", "1.0000000000000002", "1"),
    ("b64", "bit(64)", "18446744073709551615", "18446744073709551614"),
    ("en", "enum('x','y','Z')", "2", "3"),
    ("se", "set('a','b','c')", "5", "4"),
    ("yr", "year", "2024", "1901"),
    ("dt", "datetime(6)", "'2024-02-03 04:05:06.000001'", "'2024-02-03 04:05:06.000002'"),
    ("ts", "timestamp(3) null", "'2024-02-03 04:05:06.120'", "'2024-02-03 04:05:06.121'"),
    ("ti", "time(2)", "'-01:02:03.50'", "'-01:02:03.51'"),
    ("cs", "varchar(20)", "'abc'", "'abC'"),
    ("sp", "varchar(20)", "'abc'", "'abc '"),
    ("ac", "varchar(20)", "'e'", "x'c3a9'"),
    ("nu", "varchar(20)", "''", "NULL"),
    ("da", "varchar(20)", "'-'", "NULL"),
    ("lt", "longtext character set latin1", "repeat('a',50000)", "concat(repeat('a',49999),'A')"),
    ("vb", "varbinary(4)", "x'6100'", "x'61'"),
    ("bl", "longblob", "repeat('x',300000)", "concat(repeat('x',299999),'y')"),
    ("ge", "geometry", "ST_GeomFromText('POINT(1 2)')", "ST_GeomFromText('POINT(1 3)')"),
];

fn schema() -> String {
    let columns: Vec<String> = TYPES.iter().map(|(name, kind, ..)| format!("{name} {kind}")).collect();
    let names: Vec<&str> = TYPES.iter().map(|(name, ..)| *name).collect();
    let values: Vec<&str> = TYPES.iter().map(|(_, _, value, _)| *value).collect();
    let rows: Vec<String> = (1..=40).map(|id| format!("({id},{})", values.join(","))).collect();
    format!(
        "SET NAMES utf8mb4; CREATE DATABASE v DEFAULT CHARACTER SET utf8mb4; USE v;
         CREATE TABLE types (id int PRIMARY KEY, {});
         INSERT INTO types (id, {}) VALUES {};
         CREATE TABLE swapped (id int PRIMARY KEY, a varchar(5), b varchar(5));
         INSERT INTO swapped VALUES (1,'a','bc'),(2,NULL,'x'),(3,'x','y'),(4,'y','x');
         CREATE TABLE gaps (id int PRIMARY KEY, v int);
         INSERT INTO gaps SELECT id * 10, id FROM types;
         CREATE TABLE keyless (a int, b varchar(10), t text);
         INSERT INTO keyless VALUES (1,'x','t'),(1,'x','t'),(2,'y','t'),(3,NULL,repeat('q',9000));
         CREATE TABLE folded (k varchar(20) PRIMARY KEY, v int);
         INSERT INTO folded VALUES ('abc',1),('d',2);
         CREATE TABLE composite (a int, l varchar(10) CHARACTER SET latin1, d datetime(3), v int, PRIMARY KEY (a, l, d));
         INSERT INTO composite SELECT id % 4, concat('k', id), '2024-01-01' + INTERVAL id SECOND, id FROM types;",
        columns.join(", "),
        names.join(", "),
        rows.join(", ")
    )
}

const DAMAGE: &str = "SET NAMES utf8mb4; USE v;
    DELETE FROM types WHERE id = 40; INSERT INTO types (id) VALUES (-1), (1000);
    UPDATE swapped SET a = 'ab', b = 'c' WHERE id = 1; UPDATE swapped SET a = 'x', b = NULL WHERE id = 2;
    UPDATE swapped SET a = 'y', b = 'x' WHERE id = 3; UPDATE swapped SET a = 'x', b = 'y' WHERE id = 4;
    DELETE FROM gaps WHERE id IN (10, 200, 400); INSERT INTO gaps VALUES (5, 1), (15, 1), (9999, 1);
    DELETE FROM keyless WHERE a = 1 LIMIT 1; UPDATE keyless SET b = 'z' WHERE a = 2;
    UPDATE folded SET k = 'ABC' WHERE v = 1;
    UPDATE composite SET v = -1 WHERE v = 5; DELETE FROM composite WHERE v = 6;
    CREATE TABLE only_green (i int);";

/// `table first-key-value kind columns` of each difference.
fn described(verification: &Verification) -> BTreeSet<String> {
    let describe = |difference: &bluegreen::checks::Difference| {
        let key = match difference.key.first() {
            Some((_, KeyValue::Signed(number))) => number.to_string(),
            Some((_, KeyValue::Text(text))) => text.clone(),
            Some(_) => "?".to_owned(),
            None => String::new(),
        };
        let kind = match difference.kind {
            DifferenceKind::MissingOnGreen => "missing",
            DifferenceKind::ExtraOnGreen => "extra",
            _ => "different",
        };
        format!("{} {key} {kind} {}", difference.table.table, difference.columns.join(","))
    };
    verification.differences.iter().map(describe).collect()
}

fn expected() -> BTreeSet<String> {
    let types = TYPES.iter().zip(1..).map(|((name, ..), id)| format!("types {id} different {name}"));
    let rest = [
        "types 40 missing ",
        "types -1 extra ",
        "types 1000 extra ",
        "swapped 1 different a,b",
        "swapped 2 different a,b",
        "swapped 3 different a,b",
        "swapped 4 different a,b",
        "gaps 10 missing ",
        "gaps 200 missing ",
        "gaps 400 missing ",
        "gaps 5 extra ",
        "gaps 15 extra ",
        "gaps 9999 extra ",
        "keyless 1 missing ",
        "keyless 2 missing ",
        "keyless 2 extra ",
        "folded abc different k",
        "composite 1 different v",
        "composite 2 missing ",
        "only_green  extra ",
    ];
    types.chain(rest.map(str::to_owned)).collect()
}

/// Invariant 4 of `checks`: what was damaged is found, whatever the size of a chunk, and nothing else is.
async fn damage_is_found(blue: Kind, green: Kind) -> Result<(), Box<dyn Error>> {
    let (blue, green) = (Server::builder(blue).start().await?, Server::builder(green).start().await?);
    for server in [&blue, &green] {
        server.sql(&schema()).await?;
    }
    let mut config = VerifyConfig::new(blue.url().parse()?, green.url().parse()?);
    for chunk_rows in [10_000, 7, 1] {
        config.chunk_rows = chunk_rows;
        let clean = verify(&config, |_| ()).await?;
        assert!(clean.equal, "chunks of {chunk_rows}: {}", serde_json::to_string(&clean)?);
        assert_eq!(clean.tables, 6);
    }
    let mut damage = DAMAGE.to_owned();
    for ((name, _, _, value), id) in TYPES.iter().zip(1..) {
        damage.push_str(&format!("UPDATE types SET {name} = {value} WHERE id = {id};"));
    }
    green.sql(&damage).await?;
    for chunk_rows in [10_000, 7] {
        config.chunk_rows = chunk_rows;
        let damaged = verify(&config, |_| ()).await?;
        assert!(!damaged.equal);
        assert_eq!(described(&damaged), expected(), "chunks of {chunk_rows}");
        assert_eq!(damaged.unverified, []);
    }
    Ok(())
}

#[tokio::test]
async fn damage_is_found_between_two_mysql_9_7() -> Result<(), Box<dyn Error>> {
    damage_is_found(Kind::MySql97, Kind::MySql97).await
}

#[tokio::test]
async fn damage_is_found_from_mysql_5_6_to_9_7() -> Result<(), Box<dyn Error>> {
    damage_is_found(Kind::MySql56, Kind::MySql97).await
}

#[tokio::test]
async fn damage_is_found_from_mariadb_10_5_to_11_8() -> Result<(), Box<dyn Error>> {
    damage_is_found(Kind::MariaDb105, Kind::MariaDb118).await
}

#[tokio::test]
async fn damage_is_found_between_two_mariadb_10_11() -> Result<(), Box<dyn Error>> {
    damage_is_found(Kind::MariaDb1011, Kind::MariaDb1011).await
}

#[tokio::test]
async fn progress_counts_tables_and_rows() -> Result<(), Box<dyn Error>> {
    let blue = Server::builder(Kind::MySql97).start().await?;
    let green = Server::builder(Kind::MySql97).start().await?;
    for server in [&blue, &green] {
        server.sql(&schema()).await?;
    }
    let last = std::sync::Mutex::new(None);
    let config = VerifyConfig::new(blue.url().parse()?, green.url().parse()?);
    let verification = verify(&config, |progress| {
        *last.lock().unwrap() = Some((progress.tables_total, progress.tables_done, progress.rows_done));
    })
    .await?;
    assert_eq!(*last.lock().unwrap(), Some((6, 6, verification.rows)));
    Ok(())
}

/// A row that the server cannot hash is no equal row.
#[tokio::test]
async fn a_row_that_is_too_long_is_an_error() -> Result<(), Box<dyn Error>> {
    let start = || Server::builder(Kind::MariaDb1011).option("--max-allowed-packet=4096").start();
    let (blue, green) = tokio::try_join!(start(), start())?;
    let columns: Vec<String> = (1..10).map(|number| format!("c{number} varchar(500) character set latin1")).collect();
    let schema = format!("CREATE DATABASE v; CREATE TABLE v.t (id int PRIMARY KEY, {})", columns.join(", "));
    let fill: Vec<String> = (1..10).map(|number| format!("UPDATE v.t SET c{number} = REPEAT('x', 500)")).collect();
    for server in [&blue, &green] {
        server.sql(&schema).await?;
        server.sql("INSERT INTO v.t (id) VALUES (1), (2)").await?;
    }
    let config = VerifyConfig::new(blue.url().parse()?, green.url().parse()?);
    assert!(verify(&config, |_| ()).await?.equal);
    for server in [&blue, &green] {
        server.sql(&fill.join("; ")).await?;
    }
    let error = verify(&config, |_| ()).await.unwrap_err();
    assert_eq!(error.kind(), bluegreen::ErrorKind::Limit, "{error}");
    Ok(())
}
