//! The decoder against bytes that no server wrote: it errs or understands, and never panics.

use bluegreen::ErrorKind;
use bluegreen::decode::{Assembled, Assembler, Change, DecoderOptions, RowBuffer};
use bluegreen::model::{Coordinates, Flavor, Frame, Value};
use proptest::prelude::*;

const FORMAT_DESCRIPTION: u8 = 15;
const ROTATE: u8 = 4;
const QUERY: u8 = 2;
const XID: u8 = 16;
const ARTIFICIAL: u16 = 0x20;
const IGNORABLE: u16 = 0x80;

/// Writes a log's events one behind the other, without checksums.
struct Log {
    assembler: Assembler,
    at: u64,
}

fn event(kind: u8, flags: u16, log_position: u32, body: &[u8]) -> Frame {
    let size = 19 + body.len() as u32;
    let mut out = 7_u32.to_le_bytes().to_vec();
    out.push(kind);
    out.extend(1_u32.to_le_bytes());
    out.extend(size.to_le_bytes());
    out.extend(log_position.to_le_bytes());
    out.extend(flags.to_le_bytes());
    out.extend(body);
    Frame::new(out.into())
}

fn format_description(version: &str) -> Vec<u8> {
    let mut body = 4_u16.to_le_bytes().to_vec();
    body.extend(version.bytes().chain(std::iter::repeat(0)).take(50));
    body.extend([0; 4]);
    body.push(19);
    let mut lengths = [0_u8; 172];
    for (kind, length) in [(2, 13), (4, 8), (19, 8), (30, 10), (31, 10), (32, 10), (23, 8), (24, 8), (25, 8), (162, 19)]
    {
        lengths[kind - 1] = length;
    }
    for (kind, length) in [(165, 13), (166, 8), (167, 8), (168, 8), (169, 10), (170, 10), (171, 10)] {
        lengths[kind - 1] = length;
    }
    body.extend(lengths);
    body.extend([0; 5]);
    body
}

impl Log {
    fn new(flavor: Flavor) -> Log {
        let assembler = Assembler::new(DecoderOptions::new(flavor, Coordinates::new("bin.000001", 4)));
        let mut log = Log { assembler, at: 4 };
        let version = match flavor {
            Flavor::MySql => "8.4.0",
            Flavor::MariaDb => "10.11.1-MariaDB",
        };
        let assembled = log.push(FORMAT_DESCRIPTION, &format_description(version)).unwrap();
        assert!(matches!(assembled, Some(Assembled::Advanced(_))));
        log
    }

    fn push(&mut self, kind: u8, body: &[u8]) -> bluegreen::Result<Option<Assembled>> {
        self.push_flagged(kind, 0, body)
    }

    fn push_flagged(&mut self, kind: u8, flags: u16, body: &[u8]) -> bluegreen::Result<Option<Assembled>> {
        self.at += 19 + body.len() as u64;
        self.assembler.push(event(kind, flags, self.at as u32, body))
    }

    fn query(&mut self, sql: &str) -> bluegreen::Result<Option<Assembled>> {
        self.push(QUERY, &query(sql))
    }

    fn open_table(&mut self) {
        let mut body = vec![9, 0, 0, 0, 0, 0, 1, 0];
        body.extend(b"\x01s\0\x01t\0\x01\x03\x00\x00");
        assert!(self.push(19, &body).unwrap().is_none());
    }

    fn insert(&mut self, number: i32) {
        let mut body = vec![9, 0, 0, 0, 0, 0, 1, 0, 2, 0, 1, 0xff, 0];
        body.extend(number.to_le_bytes());
        self.open_table();
        assert!(self.push(30, &body).unwrap().is_none());
    }
}

fn query(sql: &str) -> Vec<u8> {
    let mut body = vec![0; 8];
    body.extend([1, 0, 0, 0, 0]);
    body.extend(b"s\0");
    body.extend(sql.bytes());
    body
}

fn numbers(assembled: Option<Assembled>) -> Vec<i64> {
    let Some(Assembled::Transaction(transaction)) = assembled else { panic!("expected a transaction") };
    let mut numbers = Vec::new();
    for change in &transaction.changes {
        let Change::Rows(change) = change else { continue };
        let mut buffer = RowBuffer::new();
        let mut rows = change.rows(&mut buffer);
        while let Some(row) = rows.next().unwrap() {
            match row.after.unwrap().to_values().unwrap().remove(0) {
                Some(Value::Int(number)) => numbers.push(number),
                _ => panic!("expected an integer"),
            }
        }
    }
    numbers
}

#[test]
fn savepoints_are_honoured() {
    let mut log = Log::new(Flavor::MySql);
    log.query("BEGIN").unwrap();
    log.insert(1);
    log.query("SAVEPOINT `a`").unwrap();
    log.insert(2);
    log.query("SAVEPOINT b").unwrap();
    log.insert(3);
    log.query("ROLLBACK TO `B`").unwrap();
    log.insert(4);
    log.query("SAVEPOINT A").unwrap();
    log.insert(5);
    log.query("ROLLBACK TO `a`").unwrap();
    log.insert(6);
    assert!(log.assembler.is_in_transaction());
    assert_eq!(numbers(log.push(XID, &[0; 8]).unwrap()), [1, 2, 4, 6]);
    assert!(!log.assembler.is_in_transaction());
    log.query("BEGIN").unwrap();
    assert_eq!(log.query("ROLLBACK TO a").unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn rolled_back_groups() {
    let mut log = Log::new(Flavor::MySql);
    log.query("BEGIN").unwrap();
    assert!(numbers(log.query("ROLLBACK").unwrap()).is_empty());
    log.query("BEGIN").unwrap();
    log.insert(1);
    assert_eq!(log.query("ROLLBACK").unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn a_stream_is_fused_after_an_error_and_stays_where_it_was() {
    let mut log = Log::new(Flavor::MySql);
    let before = log.assembler.coordinates().clone();
    assert_eq!(log.push(99, &[]).unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(log.query("BEGIN").unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(log.assembler.coordinates(), &before);
}

#[test]
fn unknown_events_pass_only_with_the_servers_leave() {
    let mut log = Log::new(Flavor::MySql);
    assert!(log.push_flagged(99, IGNORABLE, b"x").unwrap().is_none());
    for (kind, remedy) in [(5, "binlog_format=ROW"), (17, "binlog_format=ROW"), (26, "create")] {
        let mut log = Log::new(Flavor::MySql);
        log.query("BEGIN").unwrap();
        let before = log.assembler.coordinates().clone();
        let error = log.push_flagged(kind, IGNORABLE, &[1; 9]).unwrap_err();
        assert!(error.advice().unwrap().contains(remedy), "{error}");
        assert_eq!(error.place().unwrap().coordinates, Some(before), "{error}");
    }
}

#[test]
fn a_live_dump_starts_inside_of_a_file_and_moves_to_the_next() {
    let options = DecoderOptions::new(Flavor::MySql, Coordinates::new("", 4));
    let mut assembler = Assembler::new(options).with_max_kept_bytes(980);
    let rotate = |file: &str, offset: u64| [&offset.to_le_bytes()[..], file.as_bytes()].concat();
    assert!(assembler.push(event(ROTATE, ARTIFICIAL, 0, &rotate("bin.000007", 5_000_000_000))).unwrap().is_none());
    assert!(assembler.push(event(FORMAT_DESCRIPTION, 0, 0, &format_description("8.4.0"))).unwrap().is_none());
    assert_eq!(assembler.coordinates(), &Coordinates::new("bin.000007", 5_000_000_000));

    // The header has the low 32 bits only.
    let ddl = query("DROP TABLE t");
    let end = 5_000_000_000 + 19 + ddl.len() as u64;
    let Some(Assembled::Transaction(transaction)) = assembler.push(event(QUERY, 0, end as u32, &ddl)).unwrap() else {
        panic!("expected a transaction")
    };
    assert_eq!((transaction.start.offset, transaction.end.offset), (5_000_000_000, end));

    // Passed transactions leave a gap, and a heartbeat says how far.
    let heartbeat = assembler.push(event(27, 0, (end + 500) as u32, b"bin.000007")).unwrap();
    assert!(matches!(heartbeat, Some(Assembled::Heartbeat(at)) if at.offset == end + 500));
    let Some(Assembled::Transaction(transaction)) =
        assembler.push(event(QUERY, 0, (end + 1_000) as u32, &ddl)).unwrap()
    else {
        panic!("expected a transaction")
    };
    assert_eq!(transaction.end.offset, end + 1_000);

    let body = rotate("bin.000008", 4);
    let real = assembler.push(event(ROTATE, 0, (end + 1_000 + 19 + body.len() as u64) as u32, &body)).unwrap();
    assert!(matches!(real, Some(Assembled::Advanced(at)) if at == Coordinates::new("bin.000008", 4)));
    assert!(assembler.push(event(ROTATE, ARTIFICIAL, 0, &body)).unwrap().is_none());
    let description = format_description("8.4.0");
    let size = description.len() as u32 + 19;
    let advanced = assembler.push(event(FORMAT_DESCRIPTION, 0, 4 + size, &description)).unwrap();
    assert!(matches!(advanced, Some(Assembled::Advanced(at)) if at.offset == u64::from(size) + 4));

    // A server that crashed left no ROTATE of its own.
    let moved = assembler.push(event(ROTATE, ARTIFICIAL, 0, &rotate("bin.000009", 4))).unwrap();
    assert!(matches!(moved, Some(Assembled::Advanced(at)) if at == Coordinates::new("bin.000009", 4)));
    assert_eq!(
        assembler.push(event(FORMAT_DESCRIPTION, 0, 4 + size, &description)).unwrap().is_some(),
        !assembler.is_in_transaction()
    );
    let begin = query("BEGIN");
    let at = u64::from(size) + 4 + 19 + begin.len() as u64;
    assembler.push(event(QUERY, 0, at as u32, &begin)).unwrap();
    let long = query(&"x".repeat(990));
    let error = assembler.push(event(QUERY, 0, (at + 19 + long.len() as u64) as u32, &long)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
}

#[test]
fn a_lost_frame_inside_of_a_transaction_is_found() {
    let mut log = Log::new(Flavor::MySql);
    log.query("BEGIN").unwrap();
    log.insert(1);
    log.at += 40;
    assert_eq!(log.push(XID, &[0; 8]).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn rows_need_their_table_map() {
    let mut log = Log::new(Flavor::MySql);
    log.query("BEGIN").unwrap();
    log.insert(1);
    // The insert ended its statement, and the map with it.
    let error = log.push(30, &[9, 0, 0, 0, 0, 0, 1, 0, 2, 0, 1, 0xff, 0, 1, 0, 0, 0]).unwrap_err();
    assert_eq!(error.message(), "no table map is open for table id 9");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_body_of_any_event(
        kind: u8, flags in prop::sample::select(vec![0_u16, IGNORABLE, ARTIFICIAL]), is_maria: bool, is_begun: bool,
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut log = Log::new(if is_maria { Flavor::MariaDb } else { Flavor::MySql });
        if is_begun {
            log.query("BEGIN").unwrap();
            log.open_table();
        }
        let _ = log.push_flagged(kind, flags, &body);
    }

    #[test]
    fn any_columns_with_any_rows(
        types in prop::collection::vec(prop::sample::select(
            (0..=19_u8).chain(140..=141).chain(242..=255).collect::<Vec<_>>()), 0..12),
        metadata in prop::collection::vec(any::<u8>(), 0..30),
        optional in prop::collection::vec(any::<u8>(), 0..20),
        images in prop::collection::vec(any::<u8>(), 0..200),
        is_maria: bool,
        kind in 30..=32_u8,
    ) {
        let mut log = Log::new(if is_maria { Flavor::MariaDb } else { Flavor::MySql });
        log.query("BEGIN").unwrap();
        let widths = |code: u8| match code {
            4 | 5 | 17..=19 | 140 | 242 | 245 | 249..=252 | 255 => 1,
            15 | 16 | 141 | 246..=248 | 253 | 254 => 2,
            _ => 0,
        };
        let needed: usize = types.iter().map(|code| widths(*code)).sum();
        let mut body = vec![9, 0, 0, 0, 0, 0, 1, 0];
        body.extend(b"\x01s\0\x01t\0");
        body.push(types.len() as u8);
        body.extend(&types);
        body.push(needed as u8);
        body.extend(metadata.iter().cycle().copied().chain(std::iter::repeat(2)).take(needed));
        body.extend(vec![0xff; types.len().div_ceil(8)]);
        body.extend(optional);
        if log.push(19, &body).is_ok() {
            let mut body = vec![9, 0, 0, 0, 0, 0, 1, 0, 2, 0, types.len() as u8];
            body.extend(images);
            let _ = log.push(kind, &body);
        }
    }
}
