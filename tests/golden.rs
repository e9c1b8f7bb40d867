//! Logs of real servers: what their rows add up to must be what the server itself selects.
//!
//! `tests/data/binlog/<server>-<version>/<case>`: `.sql` made the log `.bin`, `.txt` is the server's own answer
//! afterwards: a table's name, then its columns; byte strings in hex, BIT, ENUM and SET as numbers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bluegreen::decode::{Assembled, Assembler, Change, DecoderOptions, RowBuffer, TableMap, Transaction};
use bluegreen::model::{ChangeKind, Coordinates, Flavor, Frame, Json, JsonNumber, Value};
use bluegreen::source::file::{End, FileSource};

const FILE: &str = "bin.000001";

fn cases() -> Vec<PathBuf> {
    let mut cases = Vec::new();
    for server in Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/binlog").read_dir().unwrap() {
        for file in server.unwrap().path().read_dir().unwrap() {
            let file = file.unwrap().path();
            if file.extension().is_some_and(|extension| extension == "bin") {
                cases.push(file);
            }
        }
    }
    cases.sort();
    assert!(cases.len() >= 15, "expected the golden files, found {}", cases.len());
    cases
}

fn flavor(case: &Path) -> Flavor {
    if case.to_string_lossy().contains("mariadb-") { Flavor::MariaDb } else { Flavor::MySql }
}

fn assembler(flavor: Flavor) -> Assembler {
    Assembler::new(DecoderOptions::new(flavor, Coordinates::new(FILE, 4)))
}

fn transactions(case: &Path) -> Vec<Transaction> {
    let mut assembler = assembler(flavor(case));
    let mut transactions = Vec::new();
    let mut boundary = Coordinates::new(FILE, 4);
    for frame in FileSource::open(case).unwrap() {
        match assembler
            .push(frame.unwrap())
            .and_then(|()| assembler.next())
            .unwrap_or_else(|error| panic!("{}: {error}", case.display()))
        {
            Some(Assembled::Transaction(transaction)) => {
                assert_eq!(transaction.start, Coordinates::new(FILE, boundary.offset), "{}", case.display());
                assert_eq!(transaction.bytes, transaction.end.offset - transaction.start.offset);
                assert!(transaction.committed_at_micros > 1_700_000_000_000_000);
                boundary = transaction.end.clone();
                transactions.push(transaction);
            }
            Some(Assembled::Advanced(coordinates)) => boundary = coordinates,
            _ => {}
        }
    }
    assert!(!assembler.is_in_transaction());
    assert_eq!(assembler.coordinates().offset, case.metadata().unwrap().len());
    transactions
}

type RowImage = Vec<Option<Value>>;
type Rows = BTreeMap<(String, i64), (std::sync::Arc<TableMap>, RowImage)>;

fn key(image: &RowImage) -> i64 {
    match image.first() {
        Some(Some(Value::Int(key))) => *key,
        _ => panic!("expected the key in the first column"),
    }
}

fn fold(transactions: &[Transaction]) -> Rows {
    let (mut rows, mut buffer) = (Rows::new(), RowBuffer::new());
    for transaction in transactions {
        for change in &transaction.changes {
            let Change::Rows(change) = change else { continue };
            let name = &change.table.name.table;
            let mut logged = change.rows(&mut buffer);
            while let Some(row) = logged.next().unwrap() {
                let [before, after] =
                    [row.before, row.after].map(|image| image.map(|image| image.to_values().unwrap()));
                match change.kind {
                    ChangeKind::Insert => {
                        let image = after.unwrap();
                        let old = rows.insert((name.clone(), key(&image)), (change.table.clone(), image));
                        assert!(old.is_none(), "inserted twice");
                    }
                    ChangeKind::Delete => {
                        let id = key(before.as_ref().unwrap());
                        assert!(rows.remove(&(name.clone(), id)).is_some(), "deleted twice");
                    }
                    ChangeKind::Update => {
                        let before = before.unwrap();
                        let (_, mut image) = rows.remove(&(name.clone(), key(&before))).expect("an update of a row");
                        for (value, old) in before.iter().zip(&image) {
                            assert!(value.is_none() || value == old, "the before image is the row as it was");
                        }
                        for (value, new) in image.iter_mut().zip(after.as_ref().unwrap()) {
                            if new.is_some() {
                                value.clone_from(new);
                            }
                        }
                        rows.insert((name.clone(), key(&image)), (change.table.clone(), image));
                    }
                }
            }
        }
    }
    rows
}

fn equals(value: &Value, width: u32, expected: &str) -> Result<(), String> {
    let found = match value {
        Value::Null => "NULL".to_owned(),
        // Without a sign in the log the number may be the unsigned one with the same bits.
        Value::Int(number) if *number < 0 && !expected.starts_with('-') => {
            ((*number as u64) & (u64::MAX >> (64 - width))).to_string()
        }
        Value::Int(number) => number.to_string(),
        Value::UInt(number) | Value::Bit(number) | Value::Set(number) => number.to_string(),
        Value::Float(number) => return same_number(f64::from(*number), expected),
        Value::Double(number) => return same_number(*number, expected),
        Value::Decimal(text) => text.clone(),
        Value::Bytes(bytes) => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
            if bytes == expected.as_bytes() { expected.to_owned() } else { hex }
        }
        Value::Enum(index) => index.to_string(),
        Value::Year(year) => format!("{year:04}"),
        Value::Json(json) => {
            let expected: serde_json::Value = serde_json::from_str(expected).unwrap();
            let found = as_serde(json);
            return if found == expected { Ok(()) } else { Err(found.to_string()) };
        }
        temporal => temporal.temporal_text().unwrap(),
    };
    if found == expected { Ok(()) } else { Err(found) }
}

fn same_number(found: f64, expected: &str) -> Result<(), String> {
    if expected.parse() == Ok(found) { Ok(()) } else { Err(found.to_string()) }
}

fn as_serde(json: &Json) -> serde_json::Value {
    match json {
        Json::Null => serde_json::Value::Null,
        Json::Bool(yes) => (*yes).into(),
        Json::Number(JsonNumber::Int(number)) => (*number).into(),
        Json::Number(JsonNumber::UInt(number)) => (*number).into(),
        Json::Number(JsonNumber::Double(number)) => (*number).into(),
        Json::String(text) => text.as_str().into(),
        Json::Decimal(text) => serde_json::from_str(text).unwrap(),
        Json::Date(parts) => parts.date().to_string().into(),
        Json::Time(parts) => parts.time().to_string().into(),
        Json::DateTime(parts) | Json::Timestamp(parts) => parts.date_time().to_string().into(),
        Json::Array(items) => items.iter().map(as_serde).collect(),
        Json::Object(members) => members.iter().map(|(key, value)| (key.clone(), as_serde(value))).collect(),
        _ => panic!("expected JSON that text can say"),
    }
}

fn width(type_code: u8) -> u32 {
    match type_code {
        1 => 8,
        2 => 16,
        9 => 24,
        3 => 32,
        _ => 64,
    }
}

#[test]
fn rows_add_up_to_what_the_server_selects() {
    for case in cases() {
        let rows = fold(&transactions(&case));
        let text = std::fs::read_to_string(case.with_extension("txt")).unwrap();
        let mut seen = 0;
        for line in text.lines() {
            let mut cells = line.split('\t');
            let table = cells.next().unwrap().to_owned();
            let id: i64 = cells.clone().next().unwrap().parse().unwrap();
            let place = format!("{}: {table} {id}", case.display());
            let (map, image) = rows.get(&(table, id)).unwrap_or_else(|| panic!("{place} is missing"));
            let cells: Vec<_> = cells.collect();
            assert_eq!(cells.len(), image.len(), "{place}");
            for (index, (cell, value)) in cells.iter().zip(image).enumerate() {
                // A minimal image leaves out what is at its default, here NULL.
                let value = value.as_ref().unwrap_or(&Value::Null);
                if let Err(found) = equals(value, width(map.columns[index].type_code), cell) {
                    panic!("{place}: column {index}: expected {cell}, found {found}");
                }
            }
            seen += 1;
        }
        assert_eq!(seen, rows.len(), "{}", case.display());
    }
}

#[test]
fn full_metadata_names_signs_and_collations() {
    for case in cases() {
        if !case.ends_with("types.bin") || case.to_string_lossy().contains("5.6") {
            continue;
        }
        let rows = fold(&transactions(&case));
        let map = |name: &str| rows.iter().find(|((table, _), _)| table == name).unwrap().1.0.clone();
        let ints = map("ints");
        let signs: Vec<_> = ints.columns.iter().map(|column| column.is_unsigned.unwrap()).collect();
        assert_eq!(signs, [false, false, true, false, true, false, true, false, true, false, true]);
        let names: String = ints.columns.iter().skip(1).map(|column| column.name.clone().unwrap()).collect();
        assert_eq!(names, "abcdefghij");
        assert_eq!(ints.primary_key, Some(vec![0]));
        let texts = map("texts");
        // latin1_swedish_ci, binary, and ENUM with the collation of the other columns of its schema.
        assert_eq!(texts.columns[11].collation, Some(8), "{}", case.display());
        assert_eq!(texts.columns[5].collation, Some(63));
        let misc = map("misc");
        assert!(misc.columns[4].collation.is_some() && misc.columns[4].collation == misc.columns[5].collation);
        assert_eq!(misc.columns[1].collation, None);
    }
}

#[test]
fn tagged_gtids_are_read() {
    let case = cases().into_iter().find(|case| case.ends_with("tagged.bin")).unwrap();
    let gtids: Vec<_> = transactions(&case).iter().map(|t| t.gtid.as_ref().unwrap().to_string()).collect();
    assert!(gtids.iter().any(|gtid| gtid == "3e11fa47-71ca-11e1-9e33-c80aa9429562:green_1:77"), "{gtids:?}");
    assert!(gtids.iter().any(|gtid| gtid.ends_with(":blue:1")), "{gtids:?}");
}

/// A file cut anywhere: it does not end between events where it is cut inside of one, and no transaction is made of a
/// part.
#[test]
fn a_cut_is_never_a_clean_end() {
    for case in cases() {
        if !(case.ends_with("transactions.bin") || case.ends_with("tagged.bin")) {
            continue;
        }
        let whole = std::fs::read(&case).unwrap();
        let ends: Vec<_> = transactions(&case).iter().map(|transaction| transaction.end.offset).collect();
        let mut frames_end = Vec::new();
        let mut source = FileSource::open(&case).unwrap();
        while source.next().is_some() {
            frames_end.push(source.coordinates().offset);
        }
        for cut in 0..whole.len() {
            let Ok(mut source) = FileSource::new(&whole[..cut], FILE) else {
                assert!(cut < 4);
                continue;
            };
            let mut assembler = assembler(flavor(&case));
            let mut count = 0;
            for frame in source.by_ref().map_while(Result::ok) {
                let assembled = assembler.push(frame).and_then(|()| assembler.next()).unwrap();
                count += usize::from(matches!(assembled, Some(Assembled::Transaction(_))));
            }
            let is_cut = source.end() != Some(&End::Open);
            assert_eq!(is_cut, !frames_end.contains(&(cut as u64)), "{}: {cut}", case.display());
            assert_eq!(count, ends.iter().filter(|end| **end <= cut as u64).count());
        }
    }
}

/// Every frame cut at every byte, with its length made to fit and no checksum to save it: an error or less, no panic.
#[test]
fn cut_frames_never_panic() {
    for case in cases() {
        let mut assembler = assembler(flavor(&case));
        let frames: Vec<_> = FileSource::open(&case).unwrap().map(Result::unwrap).collect();
        for (index, frame) in frames.iter().enumerate() {
            for cut in (0..frame.bytes.len()).step_by(1 + frame.bytes.len() / 64) {
                let mut bytes = frame.bytes[..cut].to_vec();
                if cut >= 19 {
                    bytes[9..13].copy_from_slice(&(cut as u32).to_le_bytes());
                    let checksum = crc32fast::hash(&bytes);
                    let at = bytes.len();
                    bytes.extend(checksum.to_le_bytes());
                    bytes[9..13].copy_from_slice(&((at + 4) as u32).to_le_bytes());
                }
                let mut fresh = self::assembler(flavor(&case));
                for before in &frames[index.saturating_sub(3)..index] {
                    let _ = fresh.push(before.clone()).and_then(|()| fresh.next());
                }
                let _ = fresh.push(Frame::new(bytes.into())).and_then(|()| fresh.next());
            }
            assembler.push(frame.clone()).and_then(|()| assembler.next()).unwrap();
        }
    }
}

#[test]
fn a_flipped_bit_is_found() {
    for case in cases().iter().filter(|case| case.ends_with("transactions.bin")) {
        let frames: Vec<_> = FileSource::open(case).unwrap().map(Result::unwrap).collect();
        for flipped in 1..frames.len() {
            let mut assembler = assembler(flavor(case));
            for (index, frame) in frames.iter().enumerate() {
                let mut bytes = frame.bytes.to_vec();
                if index == flipped {
                    let last = bytes.len() - 5;
                    bytes[last] ^= 0x10;
                }
                let result = assembler.push(Frame::new(bytes.into())).and_then(|()| assembler.next());
                assert_eq!(result.is_err(), index >= flipped, "{}: frame {index}", case.display());
            }
        }
    }
}
