//! The server's own word: its columns, their values, and how it converts text.

use std::collections::{BTreeMap, BTreeSet};

use bluegreen::sandbox::{Kind, Server};

use crate::cases::SCHEMA;
use crate::change::{Change, Rows};
use crate::value::{Cell, Column, Type};

pub(crate) type Tables = BTreeMap<String, Table>;

#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) columns: Vec<Column>,
    /// Whether a rollback takes its rows back.
    pub(crate) is_transactional: bool,
    /// Whether images may leave out what is at its default.
    pub(crate) is_partial: bool,
    /// Whether its rows are what its changes add up to. Not where statements are logged as text, and not of a SEQUENCE,
    /// whose one row is logged as an insert again and again.
    pub(crate) adds_up: bool,
    /// Why the tool prints no rows of it, where it does not.
    pub(crate) tool_fails: Option<&'static str>,
}

/// The tables with rows that are in the log.
pub(crate) async fn tables(server: &Server) -> Tables {
    let statement = format!(
        "SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, IFNULL(CHARACTER_SET_NAME, ''), IFNULL(DATETIME_PRECISION, 0), ENGINE, TABLE_TYPE \
         FROM information_schema.COLUMNS JOIN information_schema.TABLES USING (TABLE_SCHEMA, TABLE_NAME) \
         WHERE TABLE_SCHEMA = '{SCHEMA}' AND TABLE_TYPE IN ('BASE TABLE', 'SEQUENCE') ORDER BY TABLE_NAME, ORDINAL_POSITION"
    );
    let mut tables = Tables::new();
    for line in server.sql(&statement).await.unwrap().lines() {
        let [table, name, data, full, set, precision, engine, of] =
            line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let entry = tables.entry(table.to_owned()).or_insert_with(|| Table {
            columns: Vec::new(),
            is_transactional: engine == "InnoDB",
            is_partial: ["image_minimal", "image_noblob"].contains(&table),
            adds_up: table != "counted" && of == "BASE TABLE",
            tool_fails: None,
        });
        let column = column(server.kind(), name, data, full, set, precision.parse().unwrap());
        if column.of == (Type::Bytes { is_padded: false }) && is_spatial(data) && !server.kind().is_mariadb() {
            entry.tool_fails = Some("it does not know GEOMETRY, and prints nothing more of the event");
        }
        if full.contains("mariadb-5.3") && table == "old_temporals" {
            entry.tool_fails = Some("it ends at fractions of seconds in the old formats");
        }
        entry.columns.push(column);
    }
    tables
}

fn is_spatial(data: &str) -> bool {
    ["geometry", "point", "linestring", "polygon", "geomcollection", "geometrycollection"]
        .iter()
        .any(|name| data.ends_with(name))
}

fn column(kind: Kind, name: &str, data: &str, full: &str, set: &str, precision: usize) -> Column {
    let quoted = format!("`{}`", name.replace('`', "``"));
    let is_unsigned = full.contains("unsigned");
    let integer = |bits| Type::Integer { bits, is_unsigned };
    let bytes = |is_padded| Type::Bytes { is_padded };
    let text = || format!("CAST({quoted} AS CHAR)");
    let (of, expression) = match data {
        "tinyint" => (integer(8), quoted.clone()),
        "smallint" => (integer(16), quoted.clone()),
        "mediumint" => (integer(24), quoted.clone()),
        "int" => (integer(32), quoted.clone()),
        "bigint" => (integer(64), quoted.clone()),
        // A product has all digits, whatever the column is shown with.
        "float" => (Type::Float, format!("{quoted} * 1e0")),
        "double" => (Type::Double, format!("{quoted} * 1e0")),
        "decimal" => (Type::Decimal, quoted.clone()),
        "bit" => (Type::Bit, format!("CAST({quoted} AS UNSIGNED)")),
        "set" => (Type::Set, format!("CAST({quoted} AS UNSIGNED)")),
        "enum" => (Type::Enum, format!("CAST({quoted} AS UNSIGNED)")),
        "year" => (Type::Year, quoted.clone()),
        "date" => (Type::Date, text()),
        "time" => (Type::Time, text()),
        "datetime" => (Type::DateTime, text()),
        "timestamp" => (Type::Timestamp { precision }, text()),
        "json" => (Type::Json, format!("HEX(CAST({quoted} AS CHAR))")),
        "vector" => (Type::Vector, format!("HEX({quoted})")),
        "binary" => (bytes(true), format!("HEX({quoted})")),
        "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => (bytes(false), format!("HEX({quoted})")),
        "uuid" => (bytes(true), format!("UPPER(REPLACE({quoted}, '-', ''))")),
        "inet6" | "inet4" => (bytes(true), format!("HEX(INET6_ATON({quoted}))")),
        spatial if is_spatial(spatial) => (bytes(false), format!("HEX({quoted})")),
        _ if !set.is_empty() => (
            Type::Text(set.to_owned()),
            format!(
                "CONCAT_WS('/', HEX({quoted}), HEX(CONVERT({quoted} USING utf8mb4)), \
                 HEX(CONVERT(CONVERT({quoted} USING utf8mb4) USING {set})))"
            ),
        ),
        other => panic!("{name}: {other} on {kind} is not compared"),
    };
    // CONCAT_WS has no NULL.
    let expression = format!("IF({quoted} IS NULL, NULL, {expression})");
    let tool_fails = full.contains("COMPRESSED").then_some("it prints the compressed bytes");
    Column { name: name.to_owned(), of, expression, tool_fails }
}

/// All rows of the tables.
pub(crate) async fn rows(server: &Server, tables: &Tables) -> Rows<Cell> {
    let mut rows = Rows::new();
    for (name, table) in tables.iter().filter(|(_, table)| table.adds_up) {
        let expressions: Vec<_> = table.columns.iter().map(|column| column.expression.as_str()).collect();
        let name_in_sql = name.replace('`', "``");
        let statement = format!(
            "SET NAMES utf8mb4, time_zone = '+00:00'; SELECT {} FROM {SCHEMA}.`{name_in_sql}`",
            expressions.join(",")
        );
        let answer = server.sql(&statement).await;
        for line in answer.unwrap_or_else(|error| panic!("{name}: {:?}", std::error::Error::source(&error))).lines() {
            let cells = line.split('\t').zip(&table.columns).map(|(cell, column)| column.selected(cell));
            let row: BTreeMap<_, _> = cells.enumerate().collect();
            rows.insert((name.clone(), row[&0].key()), row);
        }
    }
    rows
}

/// Adds to the texts that the tool printed how the server converts them.
pub(crate) async fn convert(server: &Server, tables: &Tables, changes: &mut [Change<Cell>]) {
    let mut wanted = BTreeSet::new();
    visit(tables, changes, |set, bytes, _, _| {
        wanted.insert((set.to_owned(), bytes.to_owned()));
    });
    let wanted: Vec<_> = wanted.into_iter().collect();
    let mut converted = BTreeMap::new();
    for some in wanted.chunks(100) {
        let statements = some.iter().map(|(set, bytes)| {
            let text = format!("CONVERT(CONVERT(x'{bytes}' USING {set}) USING utf8mb4)");
            format!("SELECT CONCAT_WS('/', HEX({text}), HEX(CONVERT({text} USING {set})))")
        });
        let answers = server.sql(&statements.collect::<Vec<_>>().join(";")).await.unwrap();
        assert_eq!(answers.split('\n').count(), some.len());
        converted.extend(some.iter().cloned().zip(answers.split('\n').map(str::to_owned)));
    }
    visit(tables, changes, |set, bytes, utf8, is_text| {
        if let Some((text, back)) = converted[&(set.to_owned(), bytes.to_owned())].split_once('/') {
            text.clone_into(utf8);
            *is_text = back == bytes;
        }
    });
}

fn visit(tables: &Tables, changes: &mut [Change<Cell>], mut by: impl FnMut(&str, &str, &mut String, &mut bool)) {
    for change in changes {
        let columns = &tables[&change.table].columns;
        for (index, cell) in change.before.iter_mut().chain(&mut change.after).flatten() {
            if let (Cell::Text { bytes, utf8, is_text }, Type::Text(set)) = (cell, &columns[*index].of) {
                by(set, bytes, utf8, is_text);
            }
        }
    }
}
