//! `create` on real servers: every scalar type, exactness at the position, refusals, and beginning anew.
#![cfg(feature = "sandbox")]

use bluegreen::ErrorKind;
use bluegreen::checks::{VerifyConfig, verify};
use bluegreen::create::{CreateConfig, Created, create};
use bluegreen::sandbox::{Kind, Server};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn script(kind: Kind) -> String {
    let own = match kind {
        Kind::MySql56 => "",
        kind if kind.is_mariadb() => include_str!("create/mariadb.sql"),
        _ => include_str!("create/mysql.sql"),
    };
    let lines = include_str!("create/every_type.sql").lines().chain(own.lines());
    lines.filter(|line| !line.starts_with("--")).collect::<Vec<_>>().join("\n")
}

async fn build(blue: &Server, green: &Server) -> bluegreen::Result<Created> {
    let config = CreateConfig::new("mydb1", blue.url().parse()?, green.url().parse()?)?;
    Box::pin(create(&config, |_| {})).await
}

/// The server's own checksum of each table's stored rows. What MariaDB's newest say of stored generated columns is not what
/// others say: tables that have any are left out where `compares_generated` is not set.
async fn checksums(server: &Server, compares_generated: bool) -> Result<String, Box<dyn std::error::Error>> {
    let all = "SET SESSION group_concat_max_len = 1000000; \
        SELECT GROUP_CONCAT('`', REPLACE(table_schema, '`', '``'), '`.`', REPLACE(table_name, '`', '``'), '`' ORDER BY table_schema, table_name) \
        FROM information_schema.tables t WHERE table_type = 'BASE TABLE' AND table_schema NOT IN \
        ('mysql', 'sys', 'information_schema', 'performance_schema', 'bluegreen')";
    let not_generated = " AND NOT EXISTS (SELECT 1 FROM information_schema.columns c WHERE c.table_schema = t.table_schema \
        AND c.table_name = t.table_name AND c.extra LIKE '%STORED%')";
    let list = format!("{all}{}", if compares_generated { "" } else { not_generated });
    let tables = server.sql(&list).await?;
    Ok(server.sql(&format!("CHECKSUM TABLE {tables}")).await?)
}

async fn carries_every_type(from: Kind, to: Kind) -> Outcome {
    let (blue, green) = (Server::builder(from).start().await?, Server::builder(to).start().await?);
    blue.sql(&script(from)).await?;
    let created = build(&blue, &green).await?;
    let verified = Box::pin(verify(&VerifyConfig::new(blue.url().parse()?, green.url().parse()?), |_| {})).await?;
    assert!(verified.equal && verified.rows == created.rows, "{verified:?}");
    let tells = "SELECT -0e0 LIKE '-%'";
    if blue.sql(tells).await? != green.sql(tells).await? {
        // The newest MariaDBs take -0.0 for 0.0, and so did the comparison.
        blue.sql("UPDATE types.floats SET f = 0, d = 0, dd = 0 WHERE id = 2").await?;
    }
    let is_same_series = from == to;
    let (wanted, found) = (checksums(&blue, is_same_series).await?, checksums(&green, is_same_series).await?);
    assert!(wanted.lines().count() >= 16 && !wanted.contains("NULL"), "{wanted}");
    assert_eq!(found, wanted);
    assert!(created.rows > 60_000, "{created:?}");
    assert_eq!(green.sql("SELECT @@read_only, status FROM bluegreen.deployment").await?, "1\tAVAILABLE");
    assert_eq!(green.sql("SELECT stream FROM bluegreen.checkpoint ORDER BY stream").await?, "forward\nwatch");
    // The counter goes on where blue's is.
    let counter = green.sql("SHOW CREATE TABLE types.counted").await?;
    assert!(counter.contains("AUTO_INCREMENT=5000"), "{counter}");
    let again = build(&blue, &green).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::NotEmpty, "{again}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql97_to_mysql97() -> Outcome {
    Box::pin(carries_every_type(Kind::MySql97, Kind::MySql97)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql56_to_mysql97() -> Outcome {
    Box::pin(carries_every_type(Kind::MySql56, Kind::MySql97)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb1011_to_mariadb1011() -> Outcome {
    Box::pin(carries_every_type(Kind::MariaDb1011, Kind::MariaDb1011)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb105_to_mariadb118() -> Outcome {
    Box::pin(carries_every_type(Kind::MariaDb105, Kind::MariaDb118)).await
}

/// Invariants 1, 4 and 5 of `create`.
#[tokio::test(flavor = "multi_thread")]
async fn refuses_before_writing_and_begins_anew_after_a_failure() -> Outcome {
    let (blue, green) = (Server::builder(Kind::MySql97).start().await?, Server::builder(Kind::MySql97).start().await?);
    blue.sql("CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY); INSERT INTO shop.t VALUES (1), (2)")
        .await?;
    blue.sql("CREATE TABLE shop.old (a INT) ENGINE = MyISAM; CREATE TABLE shop.older (a INT) ENGINE = MyISAM").await?;
    let refusal = build(&blue, &green).await.unwrap_err();
    assert_eq!(refusal.kind(), ErrorKind::Unsupported);
    assert!(refusal.message().contains("shop.older") && refusal.message().contains("shop.old"), "{refusal}");
    assert_eq!(green.sql("SHOW DATABASES LIKE 'bluegreen'").await?, "");
    assert_eq!(green.sql("SELECT @@read_only").await?, "0");

    blue.sql("DROP TABLE shop.older; DROP TABLE shop.old").await?;
    blue.sql("XA START 'a'; INSERT INTO shop.t VALUES (3); XA END 'a'; XA PREPARE 'a'").await?;
    let failure = build(&blue, &green).await.unwrap_err();
    assert_eq!(failure.kind(), ErrorKind::State, "{failure}");
    assert_eq!(green.sql("SELECT status FROM bluegreen.deployment").await?, "PROVISIONING");
    blue.sql("XA COMMIT 'a'").await?;
    // What a create that failed later would have left.
    green
        .sql("INSERT INTO bluegreen.created_schema VALUES ('shop'); CREATE DATABASE shop; CREATE TABLE shop.t (x INT)")
        .await?;
    let created = build(&blue, &green).await?;
    assert_eq!((created.tables, created.rows), (1, 3));
    assert_eq!(checksums(&green, true).await?, checksums(&blue, true).await?);
    Ok(())
}
