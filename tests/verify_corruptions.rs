//! More than ten thousand values of green are changed behind its log's back, in columns of every type and by every kind of damage:
//! `verify` must name exactly these rows and columns. What is stored differently, the servers' own text says.

mod support;

#[path = "verify_corruptions/columns.rs"]
mod columns;

use std::collections::{BTreeMap, BTreeSet};

use bluegreen::checks::{DifferenceKind, KeyValue, Verification, Verifier, VerifyConfig};
use bluegreen::repair::repair;
use bluegreen::sandbox::{Kind, Server};
use columns::Table;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use support::Pair;

const ROWS: i64 = 400;
const CORRUPTIONS: usize = 16_000;
/// Values that must differ in the end: some damage puts there what is there already, or hits a value twice.
const DIFFERING: usize = 10_000;
const SESSION: &str =
    "SET NAMES utf8mb4; SET sql_mode = 'ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO'; SET time_zone = '+00:00'; USE c";

/// Rows by their id: the text of each value.
type Rows = BTreeMap<i64, Vec<Option<String>>>;
/// Table, id, kind, columns.
type Difference = (String, i64, &'static str, BTreeSet<String>);

/// Runs statements in one session, many to a round trip.
async fn run(server: &Server, first: &str, statements: &[String]) {
    for some in statements.chunks(100) {
        let script = format!("{SESSION};{first};{}", some.join(";"));
        if let Err(error) = server.sql(&script).await {
            for statement in some {
                if server.sql(&format!("{SESSION};{first};{statement}")).await.is_err() {
                    panic!("{error:?}: {}", statement.chars().take(300).collect::<String>());
                }
            }
            panic!("{error:?}");
        }
    }
}

fn value<'a>(column: &'a columns::Column, random: &mut StdRng) -> &'a str {
    column.values.choose(random).unwrap()
}

fn insert(table: &Table, id: i64, random: &mut StdRng) -> String {
    let names: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
    let values: Vec<&str> = table.columns.iter().map(|column| value(column, random)).collect();
    format!("INSERT INTO {} (id,{}) VALUES ({id},{})", table.name, names.join(","), values.join(","))
}

async fn fill(blue: &Server, tables: &[Table], random: &mut StdRng) {
    let mut statements = Vec::new();
    for table in tables {
        let columns: Vec<String> =
            table.columns.iter().map(|column| format!("{} {}", column.name, column.of)).collect();
        statements.push(format!("CREATE TABLE {} (id int PRIMARY KEY, {})", table.name, columns.join(", ")));
        statements.extend((1..=ROWS).map(|id| insert(table, id, random)));
    }
    blue.sql("CREATE DATABASE c DEFAULT CHARACTER SET utf8mb4").await.unwrap();
    run(blue, "DO 0", &statements).await;
}

/// Random damage; some of it puts there what is there already.
fn damage(tables: &[Table], random: &mut StdRng) -> Vec<String> {
    let mut statements = Vec::new();
    let mut extra = ROWS;
    for number in 0..CORRUPTIONS {
        let table = tables.choose(random).unwrap();
        let (name, id) = (&table.name, random.random_range(1..=ROWS));
        statements.push(match number % 200 {
            0 => format!("DELETE FROM {name} WHERE id = {id}"),
            1 => {
                extra += 1;
                insert(table, if random.random() { extra } else { -extra }, random)
            }
            2 => {
                let other = random.random_range(1..=ROWS);
                format!(
                    "UPDATE {name} SET id = 0 WHERE id = {id}; UPDATE {name} SET id = {id} WHERE id = {other}; \
                     UPDATE {name} SET id = {other} WHERE id = 0"
                )
            }
            _ => {
                let column = table.columns.choose(random).unwrap();
                let set = format!("UPDATE {name} SET {} = {} WHERE id = {id}", column.name, value(column, random));
                match column.of.starts_with("timestamp") && random.random_bool(0.3) {
                    // As a session in another time zone would have written it.
                    true => format!("SET time_zone = '+05:30'; {set}; SET time_zone = '+00:00'"),
                    false => set,
                }
            }
        });
    }
    statements
}

async fn read(server: &Server, table: &Table) -> Rows {
    let list: Vec<String> = table.columns.iter().map(|column| format!("IFNULL({}, 'NULL')", column.read)).collect();
    let text = server.sql(&format!("{SESSION}; SELECT id, {} FROM {}", list.join(","), table.name)).await.unwrap();
    let row = |line: &str| {
        let mut fields = line.split('\t');
        let id = fields.next().unwrap().parse().unwrap();
        (id, fields.map(|field| (field != "NULL").then(|| field.to_owned())).collect())
    };
    text.lines().map(row).collect()
}

/// What the servers' own answers say.
async fn differing(pair: &Pair, tables: &[Table]) -> BTreeSet<Difference> {
    let mut differing = BTreeSet::new();
    for table in tables {
        let (blue, green) = tokio::join!(read(&pair.blue, table), read(&pair.green, table));
        for id in blue.keys().chain(green.keys()) {
            let (kind, columns) = match (blue.get(id), green.get(id)) {
                (Some(_), None) => ("missing", BTreeSet::new()),
                (None, _) => ("extra", BTreeSet::new()),
                (Some(mine), Some(theirs)) if mine == theirs => continue,
                (Some(mine), Some(theirs)) => {
                    let columns = table.columns.iter().zip(mine.iter().zip(theirs));
                    let columns = columns.filter(|(_, (mine, theirs))| mine != theirs);
                    ("different", columns.map(|(column, _)| column.name.clone()).collect())
                }
            };
            differing.insert((table.name.clone(), *id, kind, columns));
        }
    }
    differing
}

/// What `verify` says.
fn named(verification: &Verification) -> BTreeSet<Difference> {
    let name = |difference: &bluegreen::checks::Difference| {
        let [(_, KeyValue::Signed(id))] = difference.key.as_slice() else { panic!("{difference:?}") };
        let kind = match difference.kind {
            DifferenceKind::MissingOnGreen => "missing",
            DifferenceKind::ExtraOnGreen => "extra",
            _ => "different",
        };
        (difference.table.table.clone(), *id, kind, difference.columns.iter().cloned().collect())
    };
    let named: BTreeSet<Difference> = verification.differences.iter().map(name).collect();
    assert_eq!(named.len(), verification.differences.len(), "a row is named twice");
    named
}

fn assert_equal(found: &BTreeSet<Difference>, expected: &BTreeSet<Difference>) {
    let lost: Vec<_> = expected.difference(found).take(10).collect();
    let invented: Vec<_> = found.difference(expected).take(10).collect();
    assert!(lost.is_empty() && invented.is_empty(), "not found: {lost:#?}; found and not so: {invented:#?}");
}

async fn all_damage_is_found_and_repaired(kind: Kind) {
    let mut random = StdRng::seed_from_u64(7);
    let pair = Pair::start(kind, kind).await;
    let tables = columns::tables(&pair.blue).await;
    fill(&pair.blue, &tables, &mut random).await;
    pair.create().await;
    let replication = pair.replicate().await;
    let mut verifier = Verifier::new(VerifyConfig::new(pair.blue_url(), pair.green_url()));
    let clean = verifier.full(|_| ()).await.unwrap();
    assert!(clean.equal, "{}", serde_json::to_string(&clean).unwrap());

    run(&pair.green, "SET sql_log_bin = 0", &damage(&tables, &mut random)).await;
    let expected = differing(&pair, &tables).await;
    let values: usize = expected.iter().map(|(.., columns)| columns.len().max(1)).sum();
    assert!(values >= DIFFERING, "{values} values differ");
    let found = verifier.full(|_| ()).await.unwrap();
    assert!(!found.equal);
    assert_eq!((found.more, found.unverified.as_slice()), (0, [].as_slice()));
    assert_equal(&named(&found), &expected);

    let repaired = repair(&verifier).await.unwrap();
    assert_eq!((repaired.rows, repaired.left, repaired.refused.len()), (expected.len() as u64, 0, 0));
    let now = verifier.again(|_| ()).await.unwrap();
    assert!(now.equal, "{}", serde_json::to_string(&now).unwrap());
    assert_equal(&differing(&pair, &tables).await, &BTreeSet::new());
    assert_eq!(
        bluegreen::watch::scan(&pair.green_url(), false).await.unwrap().total(),
        0,
        "a repair is no foreign write"
    );
    replication.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn all_damage_is_found_and_repaired_on_mysql_9_7() {
    all_damage_is_found_and_repaired(Kind::MySql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_damage_is_found_and_repaired_on_mariadb_10_11() {
    all_damage_is_found_and_repaired(Kind::MariaDb1011).await;
}
