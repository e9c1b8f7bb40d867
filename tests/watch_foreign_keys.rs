//! Foreign writes and blue's changes that meet in a foreign key, and deletes on both sides, on real servers.

mod support;

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use bluegreen::ErrorKind;
use bluegreen::sandbox::Kind;
use bluegreen::watch::{self, ForeignWrite};
use support::Pair;

const SCHEMA: [&str; 5] = [
    "CREATE DATABASE shop",
    "CREATE TABLE shop.parent (id INT PRIMARY KEY, code VARCHAR(9) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, note TEXT, \
     UNIQUE KEY (code)) ENGINE = InnoDB",
    "CREATE TABLE shop.child (id INT PRIMARY KEY, parent_id INT, note TEXT, \
     FOREIGN KEY (parent_id) REFERENCES shop.parent (id) ON DELETE CASCADE) ENGINE = InnoDB",
    "CREATE TABLE shop.by_code (id INT PRIMARY KEY, parent_code VARCHAR(9) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, \
     FOREIGN KEY (parent_code) REFERENCES shop.parent (code) ON UPDATE RESTRICT) ENGINE = InnoDB",
    "INSERT INTO shop.parent VALUES (1, 'a', ''), (2, 'b', ''), (3, 'c', ''), (4, 'd', ''), (5, 'e', ''), (6, 'f', ''), \
     (7, 'g', ''), (8, 'h', ''), (9, 'i', '')",
];

/// How the only foreign write with a row id met blue, by table and id.
type Meetings = BTreeMap<(String, i64), Option<(String, String)>>;

fn meetings(writes: &[ForeignWrite]) -> Meetings {
    let key =
        |write: &ForeignWrite| (write.table.clone().unwrap(), write.key.as_ref().unwrap()["id"].as_i64().unwrap());
    let met = |write: &ForeignWrite| write.met.as_ref().map(|met| (met.how.clone(), met.resolution.clone()));
    writes.iter().map(|write| (key(write), met(write))).collect()
}

async fn run(server: &bluegreen::sandbox::Server, statements: &[&str]) {
    for statement in statements {
        server.sql(statement).await.expect(statement);
    }
}

/// Invariant 5 of the watch, in both orders.
async fn met_in_a_foreign_key(kind: Kind) {
    let pair = Pair::start(kind, kind).await;
    run(&pair.blue, &SCHEMA).await;
    run(&pair.blue, &["INSERT INTO shop.child VALUES (80, 8, '')"]).await;
    pair.create().await;
    let replication = pair.replicate().await;
    // Blue first.
    run(&pair.blue, &["INSERT INTO shop.child VALUES (60, 6, '')", "DELETE FROM shop.parent WHERE id = 9"]).await;
    pair.level(&replication).await;
    run(
        &pair.green,
        &[
            "DELETE FROM shop.parent WHERE id = 6",
            "SET SESSION foreign_key_checks = 0; INSERT INTO shop.child VALUES (90, 9, '')",
            // Then blue.
            "INSERT INTO shop.child VALUES (10, 1, '')",
            "DELETE FROM shop.parent WHERE id = 2",
            "UPDATE shop.parent SET note = 'foreign' WHERE id = 3",
            "INSERT INTO shop.child VALUES (40, 4, ''), (41, NULL, '')",
            "UPDATE shop.parent SET code = 'E' WHERE id = 5",
            "DELETE FROM shop.parent WHERE id = 7",
            "UPDATE shop.child SET note = 'foreign' WHERE id = 80",
        ],
    )
    .await;
    watch::scan(&pair.green_url(), true).await.unwrap();
    run(
        &pair.blue,
        &[
            "DELETE FROM shop.parent WHERE id = 1",
            "INSERT INTO shop.child VALUES (20, 2, '')",
            "INSERT INTO shop.child VALUES (30, 3, '')",
            "UPDATE shop.parent SET note = 'blue' WHERE id = 4",
            "INSERT INTO shop.by_code VALUES (50, 'e')",
            "DELETE FROM shop.parent WHERE id = 7",
            "DELETE FROM shop.parent WHERE id = 8",
        ],
    )
    .await;
    pair.level(&replication).await;
    replication.stop().await.unwrap();
    watch::scan(&pair.green_url(), true).await.unwrap();
    let writes = watch::journal(&pair.green_url()).await.unwrap();
    let is = |how: &str, resolution: &str| Some((how.to_owned(), resolution.to_owned()));
    let key = is("foreign_key", "blue_wins");
    let expected = [
        (("parent", 6), is("foreign_key", "foreign_write_stands")),
        (("child", 90), is("foreign_key", "foreign_write_stands")),
        (("child", 10), key.clone()),
        (("parent", 2), key.clone()),
        (("parent", 3), None),
        (("child", 40), None),
        (("child", 41), None),
        (("parent", 5), key.clone()),
        (("parent", 7), is("row", "blue_wins")),
        (("child", 80), key),
    ];
    let mut expected: Meetings = expected.map(|((table, id), met)| ((table.to_owned(), id), met)).into();
    let mut found = meetings(&writes);
    // Newer servers log the rows that a cascade deletes: these are written too.
    let cascaded = ("child".to_owned(), 60);
    assert!(found.get(&cascaded).is_none_or(|met| *met == is("row", "foreign_write_stands")), "{found:?}");
    found.remove(&cascaded);
    if found[&("child".to_owned(), 10)] == is("row", "blue_wins") {
        // … and so does the engine's change of them meet the row itself.
        for id in [10, 80] {
            expected.insert(("child".into(), id), is("row", "blue_wins"));
        }
    }
    assert_eq!(found, expected);
    let met = |table: &str, id: i64| {
        let write = writes.iter().find(|write| {
            write.table.as_deref() == Some(table)
                && write.key.as_ref().is_some_and(|key| key["id"].as_i64() == Some(id))
        });
        write.unwrap().met.clone().unwrap()
    };
    let child = met("parent", 2);
    assert_eq!((child.before, child.after.unwrap()["id"].as_i64()), (None, Some(20)));
    assert_eq!(met("parent", 7).after, None, "blue deleted it too");
}

#[tokio::test(flavor = "multi_thread")]
async fn met_in_a_foreign_key_on_mysql() {
    met_in_a_foreign_key(Kind::MySql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn met_in_a_foreign_key_on_mariadb() {
    met_in_a_foreign_key(Kind::MariaDb1011).await;
}

/// A foreign key that refuses stops the stream, and names the table; what was deleted on both sides is settled by a
/// comparison, also where blue's delete could leave no trace on green.
async fn refused_and_deleted_twice(kind: Kind) {
    let pair = Pair::start(kind, kind).await;
    run(&pair.blue, &SCHEMA).await;
    pair.create().await;
    let mut replication = pair.replicate().await;
    run(
        &pair.green,
        &[
            "INSERT INTO shop.by_code VALUES (10, 'a')",
            // The row that blue deletes cannot come for a moment: another has its code.
            "DELETE FROM shop.parent WHERE id = 2",
            "INSERT INTO shop.parent VALUES (22, 'b', '')",
        ],
    )
    .await;
    run(&pair.blue, &["DELETE FROM shop.parent WHERE id = 2"]).await;
    pair.level(&replication).await;
    run(&pair.blue, &["DELETE FROM shop.parent WHERE id = 1"]).await;
    let stopped = tokio::time::timeout(Duration::from_secs(30), replication.finished()).await.expect("it goes on");
    let error = stopped.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Divergence, "{error}");
    assert_eq!(error.place().and_then(|place| place.table.as_deref()), Some("shop.parent"), "{error}");
    watch::scan(&pair.green_url(), true).await.unwrap();
    let writes = watch::journal(&pair.green_url()).await.unwrap();
    assert!(writes.len() == 3 && writes.iter().all(|write| write.met.is_none() && write.is_open()), "{writes:?}");

    // Whoever takes back what the stream stopped at lets it go on.
    run(&pair.green, &["DELETE FROM shop.by_code WHERE id = 10"]).await;
    let replication = pair.replicate().await;
    pair.level(&replication).await;
    let done = tokio::task::spawn_blocking({
        let (blue, green) = (pair.blue.url().to_owned(), pair.green.url().to_owned());
        move || {
            Command::new(env!("CARGO_BIN_EXE_bluegreen"))
                .args(["conflicts", "--repair", "--blue", &blue, "--green", &green])
                .output()
                .unwrap()
        }
    });
    let done = done.await.unwrap();
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    let writes = watch::journal(&pair.green_url()).await.unwrap();
    assert!(writes.len() == 4 && writes.iter().all(|write| write.repaired), "{writes:?}");
    assert_eq!(pair.green.sql("SELECT id FROM shop.parent WHERE id IN (1, 2, 22)").await.unwrap(), "");
    replication.stop().await.unwrap();
    pair.assert_same().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_and_deleted_twice_on_mysql() {
    refused_and_deleted_twice(Kind::MySql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_and_deleted_twice_on_mariadb() {
    refused_and_deleted_twice(Kind::MariaDb1011).await;
}
