//! Everything that a server may log, read back from its log files by `bluegreen binlog --json`.
//!
//! Nobody types an expected value here. The rows that the changes add up to must be those that the server selects, and
//! every single change must be the one that the server's own log tool prints of the same file.
#![cfg(all(feature = "sandbox", feature = "cli"))]

#[path = "oracle/cases.rs"]
mod cases;
#[path = "oracle/change.rs"]
mod change;
#[path = "oracle/json.rs"]
mod json;
#[path = "oracle/schema.rs"]
mod schema;
#[path = "oracle/tool.rs"]
mod tool;
#[path = "oracle/transactions.rs"]
mod transactions;
#[path = "oracle/value.rs"]
mod value;
#[path = "oracle/verb.rs"]
mod verb;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use bluegreen::sandbox::{Installation, Kind, Server, fetch};

use change::{Change, Rows, fold};
use schema::Tables;
use tool::{Item, Printed};
use value::Cell;

#[tokio::test(flavor = "multi_thread")]
async fn mysql_97_logs() {
    Box::pin(check(Kind::MySql97, true)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_97_logs_without_gtid() {
    Box::pin(check(Kind::MySql97, false)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_56_logs() {
    Box::pin(check(Kind::MySql56, true)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_56_logs_without_gtid() {
    Box::pin(check(Kind::MySql56, false)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_105_logs() {
    Box::pin(check(Kind::MariaDb105, true)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_1011_logs() {
    Box::pin(check(Kind::MariaDb1011, true)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_118_logs() {
    Box::pin(check(Kind::MariaDb118, true)).await;
}

async fn check(kind: Kind, gtid: bool) {
    let server = Server::builder(kind).gtid(gtid).start().await.unwrap();
    write(&server, gtid).await;
    let tables = schema::tables(&server).await;
    let selected = schema::rows(&server, &tables).await;
    let files = files(&server).await;
    assert!(files.len() > 3);

    // First the two oracles with each other, as far as the tool goes.
    let items = printed(kind, &files).await;
    let committed = transactions::committed(items, &tables);
    let expected = cells(&server, &tables, committed.changes).await;
    assert!(expected.len() > 1000, "{}", expected.len());
    let added_up = fold(expected.iter().filter(|change| tables[&change.table].adds_up), Cell::key);
    compare(
        &tables,
        &selected,
        &added_up,
        |table| tables[table].tool_fails.is_some(),
        |_, cell, expected| cell.agrees(expected),
    );

    // Then what is tested, with both.
    let lines = binlog(&files, &digits(&server).await);
    let read = verb::read(&lines, &tables);
    verb::compare_statements(&read.statements, &committed.statements);
    verb::compare_changes(&tables, &read.changes, &expected);
    let added_up = fold(read.changes.iter().filter(|change| tables[&change.table].adds_up), verb::Value::key);
    compare(&tables, &selected, &added_up, |_| false, |column, value, expected| value.is(column, expected));
}

async fn write(server: &Server, gtid: bool) {
    let sets = "SELECT CHARACTER_SET_NAME, MAXLEN FROM information_schema.CHARACTER_SETS ORDER BY 1";
    let sets = server.sql(sets).await.unwrap();
    let sets: Vec<(String, u32)> = sets
        .lines()
        .map(|line| line.split_once('\t').unwrap())
        .map(|(name, longest)| (name.to_owned(), longest.parse().unwrap()))
        .collect();
    for session in cases::sessions(server.kind(), gtid, &sets) {
        if let Err(error) = server.sql(&session).await {
            panic!("{error}: {:?} in {session:.200}", std::error::Error::source(&error));
        }
    }
}

/// The log files, in their order.
async fn files(server: &Server) -> Vec<PathBuf> {
    let list = server.sql("SHOW BINARY LOGS").await.unwrap();
    list.lines().map(|line| server.data_dir().join(line.split('\t').next().unwrap())).collect()
}

/// What the server's own tool prints. MySQL 5.6 comes without its tool: the one of MySQL 9.7 reads its logs.
async fn printed(kind: Kind, files: &[PathBuf]) -> Vec<Item> {
    let tool = if kind == Kind::MySql56 { Kind::MySql97 } else { kind };
    let tool: Installation = fetch(tool, &|_| {}).await.unwrap();
    let mut items = Vec::new();
    for file in files {
        let mut command = tool.program("mysqlbinlog").unwrap();
        command.args(["--no-defaults", "--base64-output=DECODE-ROWS", "-vv"]).arg(file);
        let output = command.output().unwrap();
        let name = file.file_name().unwrap().to_string_lossy();
        let read = tool::read(&name, &output.stdout, kind.is_mariadb());
        // MariaDB's tool ends at fractions in the old formats, which are in a file of their own.
        let is_known = kind.is_mariadb() && output.stdout.windows(13).any(|part| part == b"old_temporals");
        assert!(output.status.success() || is_known, "{name}: {}", String::from_utf8_lossy(&output.stderr));
        items.extend(read);
    }
    items
}

/// The tool's values in the form that they are compared in, with what only the server can say of them.
async fn cells(server: &Server, tables: &Tables, changes: Vec<Change<Printed>>) -> Vec<Change<Cell>> {
    let mut documents: Rows<Cell> = Rows::new();
    let mut result = Vec::new();
    for change in changes {
        let columns = &tables[&change.table].columns;
        let mut functions = BTreeMap::new();
        let change = change.map(|index, value| match &value {
            Printed::Plain(function) if columns[index].is_document() => {
                functions.insert(index, function.clone());
                Cell::Unknown
            }
            _ => columns[index].printed(&value),
        });
        let mut change = change;
        let key = |image: &change::Image<Cell>| (change.table.clone(), image[&0].key());
        let old = change.before.as_ref().map(key).and_then(|key| documents.remove(&key));
        for (index, function) in functions {
            // The tool prints a partial update as a function of the document as it was: the server knows what it makes.
            let Some(Cell::Exact(before)) = old.as_ref().and_then(|row| row.get(&index)) else {
                assert_eq!(function, format!("@{}", index + 1));
                change.after.as_mut().unwrap().insert(index, Cell::Null);
                continue;
            };
            let before = value::hex(before.as_bytes());
            let statement = format!(
                "SET NAMES utf8mb4, @{} = CAST(CONVERT(x'{before}' USING utf8mb4) AS JSON); SELECT HEX(CAST({function} AS CHAR))",
                index + 1
            );
            let answer = server.sql(&statement).await.unwrap();
            change.after.as_mut().unwrap().insert(index, columns[index].selected(&answer));
        }
        if columns.iter().any(value::Column::is_document)
            && let Some(after) = &change.after
        {
            let mut row = old.unwrap_or_default();
            row.extend(after.clone());
            documents.insert((change.table.clone(), row[&0].key()), row);
        }
        result.push(change);
    }
    schema::convert(server, tables, &mut result).await;
    result
}

/// What MariaDB does not log of columns in its old temporal format.
async fn digits(server: &Server) -> Vec<String> {
    let answer = server
        .sql(&format!(
            "SELECT CONCAT('--temporal-digits=', TABLE_SCHEMA, '.', TABLE_NAME, ':', ORDINAL_POSITION, '=', DATETIME_PRECISION) \
             FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = '{}' AND DATA_TYPE IN ('time', 'datetime', 'timestamp')",
            cases::SCHEMA
        ))
        .await
        .unwrap();
    answer.lines().map(str::to_owned).collect()
}

/// The lines that the binary under test writes.
fn binlog(files: &[PathBuf], digits: &[String]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bluegreen"));
    command.args(["binlog", "--json"]).args(digits).args(files.iter().map(|file| file.as_path() as &Path));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Compares rows with those that the server selects.
fn compare<V: std::fmt::Debug>(
    tables: &Tables,
    selected: &Rows<Cell>,
    added_up: &Rows<V>,
    leave_out: impl Fn(&str) -> bool,
    is: impl Fn(&value::Column, &V, &Cell) -> bool,
) {
    let mut differences = Vec::new();
    let extra = added_up
        .keys()
        .filter(|(table, key)| tables.contains_key(table) && !selected.contains_key(&(table.clone(), key.clone())));
    differences.extend(extra.map(|(table, key)| format!("{table} {key} is not on the server")));
    for ((table, key), row) in selected.iter().filter(|((table, _), _)| !leave_out(table)) {
        let Some(found) = added_up.get(&(table.clone(), key.clone())) else {
            differences.push(format!("{table} {key} is missing"));
            continue;
        };
        for (index, expected) in row {
            let column = &tables[table].columns[*index];
            // What no image of a row says is at its default, which is why it was left out.
            match found.get(index) {
                Some(value) if is(column, value, expected) => {}
                None if tables[table].is_partial => {}
                other => differences.push(format!(
                    "{table} {key}, column {} ({:?}): expected {}, found {}",
                    column.name,
                    column.of,
                    short(expected),
                    short(&other)
                )),
            }
        }
    }
    assert!(
        differences.is_empty(),
        "{} differences: {:#?}",
        differences.len(),
        &differences[..differences.len().min(20)]
    );
}

/// Enough of a value to know it by.
fn short(value: &impl std::fmt::Debug) -> String {
    format!("{value:?}").chars().take(200).collect()
}
