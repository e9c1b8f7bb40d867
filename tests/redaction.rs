//! Passwords and row values are in no `Debug`, no `Display` and no error.

use bluegreen::Error;
use bluegreen::checks::VerifyConfig;
use bluegreen::create::CreateConfig;
use bluegreen::decode::{Assembled, Assembler, Change, DecoderOptions, RowBuffer, Statement};
use bluegreen::deployment::DeleteConfig;
use bluegreen::model::{Coordinates, Flavor, Frame, Json, JsonNumber, TemporalParts, Value};
use bluegreen::net::ServerUrl;
use bluegreen::pipeline::ReplicationConfig;
use bluegreen::source::file::FileSource;
use bluegreen::switchover::SwitchoverConfig;

const PASSWORD: &str = "hunter2xyzzy";
/// The text and the number that stand in the values below.
const VALUE: &str = "plughvalue";
const NUMBER: u16 = 1987;

/// Whether a value's text or number can be read in `shown`.
#[track_caller]
fn assert_hidden(shown: &str) {
    for secret in [VALUE.to_owned(), format!("{:?}", VALUE.as_bytes()), NUMBER.to_string()] {
        assert!(!shown.contains(&secret), "{secret} is in {shown}");
    }
}

fn parts() -> TemporalParts {
    TemporalParts { year: NUMBER, hour: NUMBER, micros: NUMBER.into(), ..TemporalParts::default() }
}

fn documents() -> Vec<Json> {
    let leaves = vec![
        Json::String(VALUE.into()),
        Json::Number(JsonNumber::Int(NUMBER.into())),
        Json::Number(JsonNumber::UInt(NUMBER.into())),
        Json::Number(JsonNumber::Double(NUMBER.into())),
        Json::Decimal(NUMBER.to_string()),
        Json::Date(parts()),
        Json::Time(parts()),
        Json::DateTime(parts()),
        Json::Timestamp(parts()),
        Json::Opaque(15, VALUE.into()),
    ];
    let members = leaves.iter().map(|leaf| (VALUE.to_owned(), leaf.clone())).collect();
    [leaves.clone(), vec![Json::Array(leaves), Json::Object(members)]].concat()
}

fn values() -> Vec<Value> {
    let mut values = vec![
        Value::Int(NUMBER.into()),
        Value::UInt(NUMBER.into()),
        Value::Float(NUMBER.into()),
        Value::Double(NUMBER.into()),
        Value::Decimal(NUMBER.to_string()),
        Value::Bytes(VALUE.into()),
        Value::Bit(NUMBER.into()),
        Value::Enum(NUMBER),
        Value::Set(NUMBER.into()),
        Value::Year(NUMBER),
        Value::Date(parts()),
        Value::Time(parts()),
        Value::DateTime(parts()),
        Value::Timestamp { seconds: NUMBER.into(), micros: NUMBER.into(), fraction: 6 },
    ];
    values.extend(documents().into_iter().map(|document| Value::Json(Box::new(document))));
    values
}

#[test]
fn a_servers_url_shows_the_address_only() {
    let url: ServerUrl = format!("mysql://appuser:{PASSWORD}@db.example:3307").parse().unwrap();
    assert_eq!(url.to_string(), "db.example:3307");
    for shown in [format!("{url:?}"), format!("{url:#?}"), url.address()] {
        assert!(!shown.contains(PASSWORD) && !shown.contains("appuser"), "{shown}");
    }
    let configs: [&dyn std::fmt::Debug; 5] = [
        &CreateConfig::new("shop", url.clone(), url.clone()).unwrap(),
        &ReplicationConfig::new(url.clone(), url.clone()),
        &VerifyConfig::new(url.clone(), url.clone()),
        &SwitchoverConfig::new(url.clone(), url.clone()),
        &DeleteConfig::new(url),
    ];
    for config in configs {
        let shown = format!("{config:?}");
        assert!(shown.contains("db.example:3307"), "{shown}");
        assert!(!shown.contains(PASSWORD) && !shown.contains("appuser"), "{shown}");
    }
}

#[test]
fn the_error_of_a_bad_url_does_not_quote_it() {
    for text in [
        "{P}",
        "mysql:{P}",
        "mysql://{P}",
        "mysql://app:{P}",
        "mysql://app:{P}@",
        "mysql://app:{P}@:3306",
        "mysql://app:{P}@host:port",
        "mysql://app:{P}@host:99999",
        "mysql://app:{P}@host/schema",
        "mysql://app:{P}@host?tls=maybe",
        "mysql://app:{P}@host?ca=/file",
        "mysql://app:{P}@host?what=1",
        "mysql://app:{P}%@host",
        "mysql://app:{P}%zz@host",
        "mysql://app:{P}%ff@host",
        "mysql://app:{P}@ho st",
        "mysql://app:{P}@[::1",
        "mysql://:{P}@host",
        "postgres://app:{P}@host",
        "mysql://app:a/{P}@host",
        "mysql://app:a#{P}@host",
    ] {
        let Err(error) = text.replace("{P}", PASSWORD).parse::<ServerUrl>() else {
            // Nothing to hide but the user: a password without a colon is one.
            assert_eq!(text, "mysql://{P}");
            continue;
        };
        assert_no_secret(&error, PASSWORD, text);
    }
}

#[track_caller]
fn assert_no_secret(error: &Error, secret: &str, what: &str) {
    let mut shown = format!("{error} {error:?} {error:#?} {}", error.advice().unwrap_or_default());
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        shown.push_str(&format!(" {inner} {inner:?}"));
        cause = inner.source();
    }
    assert!(!shown.contains(secret), "{what}: {shown}");
}

#[test]
fn row_values_are_in_no_debug() {
    for document in documents() {
        assert_hidden(&format!("{document:?} {document:#?}"));
    }
    for value in values() {
        assert_hidden(&format!("{value:?} {value:#?}"));
    }
    assert_hidden(&format!("{:?}", Frame::new(VALUE.into())));
    let end = Coordinates::new("bin.000001", 4);
    let sql = format!("INSERT INTO item VALUES ('{VALUE}')");
    let statement = Statement::new("shop", sql.into(), end.clone(), end);
    assert_hidden(&format!("{statement:?} {statement:#?}"));
}

const LOG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/binlog/mysql-9.7.4/transactions.bin");

fn frames() -> Vec<Frame> {
    FileSource::open(LOG).unwrap().collect::<Result<_, _>>().unwrap()
}

fn assembler() -> Assembler {
    Assembler::new(DecoderOptions::new(Flavor::MySql, Coordinates::new("bin.000001", 4)))
}

/// Values and statements of that log.
fn secrets() -> [String; 4] {
    ["longlong".into(), "CREATE TABLE".into(), "VARCHAR".into(), format!("{:?}", b"long")[1..19].into()]
}

#[test]
fn what_a_log_decodes_to_shows_no_values() {
    let (mut assembler, mut buffer, mut row_count) = (assembler(), RowBuffer::new(), 0);
    for frame in frames() {
        let Some(Assembled::Transaction(transaction)) = assembler.push(frame).and_then(|()| assembler.next()).unwrap()
        else {
            continue;
        };
        let mut shown = format!("{transaction:?} {transaction:#?}");
        for change in &transaction.changes {
            let Change::Rows(change) = change else { continue };
            let mut rows = change.rows(&mut buffer);
            shown += &format!("{rows:?}");
            while let Some(row) = rows.next().unwrap() {
                row_count += 1;
                shown += &format!("{row:?}");
                row.after.iter().flat_map(|image| image.iter()).for_each(|value| shown += &format!("{value:?}"));
            }
            shown += &format!("{buffer:?}");
        }
        secrets().iter().for_each(|secret| assert!(!shown.contains(secret), "{secret} is in {shown}"));
    }
    assert!(row_count > 10, "only {row_count} rows");
}

/// Every byte of a real log wrong in turn, under a checksum that is right: whatever is wrong, its error quotes no value
/// and no statement, and neither does the decoder that holds half a transaction.
#[test]
fn the_error_of_a_bad_log_quotes_neither_values_nor_statements() {
    let frames = frames();
    let (secrets, mut buffer) = (secrets(), RowBuffer::new());
    // The file that is read holds all of the rest.
    let mut source = FileSource::open(LOG).unwrap();
    while source.next().is_some() {
        let shown = format!("{source:?}");
        secrets.iter().for_each(|secret| assert!(!shown.contains(secret), "{secret} is in {shown}"));
    }
    let mut error_count = 0;
    for (wrong, frame) in frames.iter().enumerate() {
        for byte in 19..frame.bytes.len() - 4 {
            let mut event = frame.bytes.to_vec();
            event[byte] ^= 0xff;
            let checksum_at = event.len() - 4;
            let checksum = crc32fast::hash(&event[..checksum_at]);
            event[checksum_at..].copy_from_slice(&checksum.to_le_bytes());
            let mut assembler = assembler();
            for (index, frame) in frames.iter().enumerate() {
                let frame = if index == wrong { Frame::new(event.clone().into()) } else { frame.clone() };
                let Err(error) = visit(&mut assembler, frame, &mut buffer) else { continue };
                error_count += 1;
                secrets.iter().for_each(|secret| assert_no_secret(&error, secret, &format!("event {wrong}")));
                break;
            }
        }
        let mut assembler = assembler();
        frames[..=wrong]
            .iter()
            .for_each(|frame| drop(assembler.push(frame.clone()).and_then(|()| assembler.next()).unwrap()));
        let shown = format!("{assembler:?}");
        secrets.iter().for_each(|secret| assert!(!shown.contains(secret), "{secret} is in {shown}"));
    }
    assert!(error_count > 100, "only {error_count} errors");
}

/// Reads every value of what the frame ends.
fn visit(assembler: &mut Assembler, frame: Frame, buffer: &mut RowBuffer) -> bluegreen::Result<()> {
    let Some(Assembled::Transaction(transaction)) = assembler.push(frame).and_then(|()| assembler.next())? else {
        return Ok(());
    };
    for change in &transaction.changes {
        let Change::Rows(change) = change else { continue };
        let mut rows = change.rows(buffer);
        while let Some(row) = rows.next()? {
            for image in [row.before, row.after].into_iter().flatten() {
                image.to_values()?;
            }
        }
    }
    Ok(())
}
