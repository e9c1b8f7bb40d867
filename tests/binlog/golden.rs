//! What the lines of `--json` add up to is what the server itself selected: see `tests/golden.rs` on the files.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{data, lines};

type Rows = BTreeMap<(String, i64), Vec<Value>>;

/// Columns of the table `texts` in other sets than UTF-8, and the one of type BINARY(4).
const LATIN1: usize = 11;
const UCS2: usize = 12;
const BINARY: usize = 5;

fn fold(lines: &[Value]) -> Rows {
    let mut rows = Rows::new();
    let mut savepoints = BTreeMap::new();
    for line in lines {
        if let Some(sql) = line["statement"].as_str() {
            if let Some(name) = sql.strip_prefix("SAVEPOINT ") {
                savepoints.insert(name.to_lowercase(), rows.clone());
            } else if let Some(name) = sql.strip_prefix("ROLLBACK TO ") {
                rows.clone_from(&savepoints[&name.to_lowercase()]);
            }
            continue;
        }
        let table = line["table"].as_str().unwrap();
        let key = |image: &Value| (table.to_owned(), image[0].as_i64().unwrap());
        let (before, after) = (&line["before"], &line["after"]);
        let mut row = match before {
            Value::Null => Vec::new(),
            before => rows.remove(&key(before)).expect("a row that is there"),
        };
        let Value::Array(values) = after else { continue };
        row.resize(values.len(), Value::Null);
        for (value, new) in row.iter_mut().zip(values) {
            if new.get("absent").is_none() {
                value.clone_from(new);
            }
        }
        let key = (table.to_owned(), row[0].as_i64().unwrap());
        assert!(rows.insert(key, row).is_none(), "inserted twice");
    }
    rows
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

fn base64(text: &str) -> Vec<u8> {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    for four in text.trim_end_matches('=').as_bytes().chunks(4) {
        let bits = four.iter().fold(0, |bits, digit| bits << 6 | DIGITS.find(*digit as char).unwrap() as u32);
        let bits = bits << (6 * (4 - four.len()));
        bytes.extend(&bits.to_be_bytes()[1..four.len()]);
    }
    bytes
}

/// Whether the value is the server's answer. Without metadata in the log, signs and sets are not known.
fn is(value: &Value, column: usize, expected: &str, is_named: bool) -> bool {
    let unpadded = |bytes: &[u8]| hex(bytes).trim_end_matches("00").to_owned();
    match value {
        Value::Null => expected == "NULL",
        Value::Number(number) if number.is_f64() => number.as_f64() == expected.parse().ok(),
        Value::Number(number) => {
            let (found, expected): (i128, i128) = (number.to_string().parse().unwrap(), expected.parse().unwrap());
            let is_unsigned = !is_named && [8, 16, 24, 32, 64].iter().any(|bits| expected - found == 1 << bits);
            found == expected || is_unsigned
        }
        Value::String(text) => {
            let latin1: Option<Vec<u8>> = text.chars().map(|character| u8::try_from(character).ok()).collect();
            let ucs2: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
            text == expected
                || hex(text.as_bytes()) == expected
                || column == LATIN1 && latin1.is_some_and(|bytes| hex(&bytes) == expected)
                || column == UCS2 && hex(&ucs2) == expected
                || !is_named && column == BINARY && unpadded(text.as_bytes()) == expected
        }
        Value::Object(_) => {
            let bytes = base64(value["base64"].as_str().unwrap());
            hex(&bytes) == expected || column == BINARY && bytes.len() == 4 && unpadded(&bytes) == expected
        }
        _ => false,
    }
}

#[test]
fn lines_add_up_to_what_the_server_selects() {
    let mut count = 0;
    for server in ["mysql-9.7.4", "mysql-5.6.24", "mariadb-10.5", "mariadb-10.11", "mariadb-11.8"] {
        for case in ["types", "types_compressed", "types_minimal", "transactions", "json", "tagged"] {
            let file = data(server, case);
            if !file.exists() {
                continue;
            }
            count += 1;
            let lines = lines(&[], &[&file]);
            let rows = fold(&lines);
            let is_named = lines.iter().any(|line| line["columns"].is_array());
            let answers = std::fs::read_to_string(file.with_extension("txt")).unwrap();
            let mut seen = 0;
            for answer in answers.lines() {
                let mut cells = answer.split('\t');
                let table = cells.next().unwrap().to_owned();
                let cells: Vec<_> = cells.collect();
                let key = (table, cells[0].parse().unwrap());
                let row = rows.get(&key).unwrap_or_else(|| panic!("{server} {case}: {key:?} is missing"));
                assert_eq!(row.len(), cells.len());
                for (column, (value, cell)) in row.iter().zip(&cells).enumerate() {
                    let place = format!("{server} {case}: {key:?}, column {column}");
                    assert!(is(value, column, cell, is_named), "{place}: expected {cell}, found {value}");
                }
                seen += 1;
            }
            assert_eq!(seen, rows.len(), "{server} {case}");
        }
    }
    assert_eq!(count, 20);
}
