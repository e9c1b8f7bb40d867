//! What `bluegreen binlog --json` writes: a line for each row change and each statement.

use std::collections::BTreeMap;

use crate::cases::SCHEMA;
use crate::change::{Change, Kind, Logged};
use crate::json::Json;
use crate::schema::Tables;
use crate::short;
use crate::transactions::is_bound;
use crate::value::{Cell, Column};

/// A value, and whether the log it is from names columns.
#[derive(Debug, Clone)]
pub(crate) struct Value {
    json: Json,
    is_named: bool,
}

impl Value {
    pub(crate) fn key(&self) -> String {
        match &self.json {
            Json::Number(number) => number.clone(),
            other => panic!("expected a key, found {other:?}"),
        }
    }

    /// Whether this is the value. A part of a document is nobody's whole value: see [`Value::is_part`].
    pub(crate) fn is(&self, column: &Column, cell: &Cell) -> bool {
        self.is_part() && column.is_document() || column.is_written(&self.json, cell, self.is_named)
    }

    /// Whether this says only what changed within a document.
    fn is_part(&self) -> bool {
        self.json.get("json_diff").is_some()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Read {
    /// In the order of the lines.
    pub(crate) changes: Vec<Change<Value>>,
    pub(crate) statements: Vec<String>,
}

pub(crate) fn read(lines: &str, tables: &Tables) -> Read {
    let (mut read, mut bounds) = (Read::default(), Bounds::default());
    for line in lines.lines() {
        let json = Json::read(line);
        let text = |name: &str| {
            let text = json.get(name).and_then(Json::text);
            text.unwrap_or_else(|| panic!("expected a text as {name:?} in {line:.300}")).to_owned()
        };
        for member in ["schema", "file", "offset", "gtid"] {
            assert!(json.get(member).is_some(), "expected {member:?} in {line:.300}");
        }
        if json.get("statement").is_some() {
            let sql = text("statement");
            bounds.statement(&sql, &text("file"), json.get("transaction_start"), &mut read.changes, tables);
            read.statements.push(sql);
            continue;
        }
        let schema = text("schema");
        // The server keeps tables of its own in the log, such as those of accounts.
        if schema != SCHEMA {
            continue;
        }
        let table = text("table");
        let kind = match text("change").as_str() {
            "insert" => Kind::Insert,
            "update" => Kind::Update,
            "delete" => Kind::Delete,
            other => panic!("no change is called {other:?}"),
        };
        let Some(Json::Number(offset)) = json.get("offset") else { panic!("expected an offset in {line:.300}") };
        assert!(text("time").ends_with('Z'), "{line:.300}");
        let columns = &tables[&table].columns;
        let is_named = match json.get("columns") {
            Some(Json::Array(names)) => {
                let expected: Vec<_> = columns.iter().map(|column| Some(column.name.as_str())).collect();
                assert_eq!(names.iter().map(Json::text).collect::<Vec<_>>(), expected, "{table}");
                true
            }
            Some(Json::Null) => false,
            other => panic!("expected columns, found {other:?}"),
        };
        let image = |name: &str| match json.get(name) {
            Some(Json::Array(values)) => {
                assert_eq!(values.len(), columns.len(), "{table}: {line:.300}");
                let values = values.iter().enumerate().filter(|(_, value)| value.get("absent").is_none());
                Some(values.map(|(index, json)| (index, Value { json: json.clone(), is_named })).collect())
            }
            Some(Json::Null) => None,
            other => panic!("expected an image, found {other:?} in {line:.300}"),
        };
        let place = Logged { file: text("file"), ends: vec![offset.parse().unwrap()] };
        let (before, after): (Option<BTreeMap<_, _>>, Option<BTreeMap<_, _>>) = (image("before"), image("after"));
        read.changes.push(Change { kind, schema, table, place, before, after });
    }
    read
}

/// What takes rows back that were told of already, or holds them.
#[derive(Default)]
struct Bounds {
    savepoints: Vec<(String, usize)>,
    prepared: BTreeMap<String, Vec<Change<Value>>>,
}

impl Bounds {
    fn statement(
        &mut self,
        sql: &str,
        file: &str,
        start: Option<&Json>,
        changes: &mut Vec<Change<Value>>,
        tables: &Tables,
    ) {
        let stays = |change: &Change<Value>| !tables[&change.table].is_transactional;
        let start = start.map(|start| match start {
            Json::Number(offset) => (file, offset.parse::<u64>().unwrap()),
            other => panic!("expected an offset, found {other:?}"),
        });
        if let Some(name) = sql.strip_prefix("SAVEPOINT ") {
            self.savepoints.push((name.to_owned(), changes.len()));
        } else if let Some(name) = sql.strip_prefix("ROLLBACK TO ") {
            let (_, length) = self.savepoints.iter().rfind(|(other, _)| other == name).unwrap();
            let gone = changes.split_off((*length).min(changes.len()));
            changes.extend(gone.into_iter().filter(stays));
        } else if let Some(xid) = sql.strip_prefix("XA PREPARE ") {
            self.prepared.insert(xid.to_owned(), since(changes, start));
        } else if let Some(xid) = sql.strip_prefix("XA COMMIT ") {
            changes.extend(self.prepared.remove(xid).unwrap_or_default());
        } else if let Some(xid) = sql.strip_prefix("XA ROLLBACK ") {
            self.prepared.remove(xid);
        } else if sql == "ROLLBACK" {
            let undone = since(changes, start);
            changes.extend(undone.into_iter().filter(stays));
        }
    }
}

/// Takes the changes of the transaction that starts there, the last one.
fn since(changes: &mut Vec<Change<Value>>, start: Option<(&str, u64)>) -> Vec<Change<Value>> {
    let (file, start) = start.expect("where the transaction starts");
    let first = changes.iter().rposition(|change| change.place.file != file || change.place.ends[0] <= start);
    changes.split_off(first.map_or(0, |last| last + 1))
}

/// Every statement is the one that the tool prints. MariaDB logs an ALTER in two phases as the same text twice, of which
/// a reader may leave out one.
pub(crate) fn compare_statements(found: &[String], expected: &[String]) {
    let statements = |all: &[String]| {
        let is_told = |sql: &&String| !is_bound(sql) && !is_session_value(sql);
        let mut all: Vec<_> = all.iter().filter(is_told).map(|sql| sql.trim_end().to_owned()).collect();
        all.dedup();
        all
    };
    let (found, expected) = (statements(found), statements(expected));
    for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert_eq!(found, expected, "statement {index}");
    }
    assert_eq!(found.len(), expected.len());
}

/// What the session had for the next statement; the tool's are not read.
fn is_session_value(sql: &str) -> bool {
    ["SET INSERT_ID=", "SET LAST_INSERT_ID=", "SET @@RAND_SEED1=", "SET @`"].iter().any(|start| sql.starts_with(start))
}

/// Every change is the one that the tool prints, at the same place. Rows of one transaction may be told of at its
/// prepare or at its commit, so the order is that of the log.
pub(crate) fn compare_changes(tables: &Tables, found: &[Change<Value>], expected: &[Change<Cell>]) {
    let mut found: Vec<_> = found.iter().filter(|change| tables[&change.table].tool_fails.is_none()).collect();
    let mut expected: Vec<_> = expected.iter().collect();
    found.sort_by_key(|change| (change.place.file.clone(), change.place.ends[0]));
    expected.sort_by_key(|change| (change.place.file.clone(), change.place.ends[0]));
    let mut differences = Vec::new();
    for (found, expected) in found.iter().zip(&expected) {
        let place = format!("{} {:?} in {:?}", found.table, found.kind, found.place);
        assert_eq!(
            (found.kind, &found.schema, &found.table),
            (expected.kind, &expected.schema, &expected.table),
            "{place}"
        );
        assert_eq!(found.place.file, expected.place.file, "{place}");
        assert!(expected.place.ends.contains(&found.place.ends[0]), "{place}, expected {:?}", expected.place);
        let columns = &tables[&found.table].columns;
        let before = found.before.as_ref();
        for (name, found, expected) in
            [("before", &found.before, &expected.before), ("after", &found.after, &expected.after)]
        {
            let (Some(found), Some(expected)) = (found, expected) else {
                assert_eq!(found.is_some(), expected.is_some(), "{place}: {name}");
                continue;
            };
            if !found.keys().eq(expected.keys()) {
                differences.push(format!(
                    "{place}: {name}: columns {:?}, expected {:?}",
                    found.keys(),
                    expected.keys()
                ));
            }
            for ((index, value), cell) in found.iter().zip(expected.values()) {
                let column = &columns[*index];
                if value.is_part() && before.is_some_and(|before| before.contains_key(index)) {
                    differences.push(format!("{place}: column {}: a part, and the document is known", column.name));
                }
                if !value.is(column, cell) {
                    differences.push(format!(
                        "{place}: {name}, column {}: {}, expected {}",
                        column.name,
                        short(value),
                        short(cell)
                    ));
                }
            }
        }
    }
    assert!(
        differences.is_empty(),
        "{} differences: {:#?}",
        differences.len(),
        &differences[..differences.len().min(20)]
    );
    assert_eq!(found.len(), expected.len());
}
