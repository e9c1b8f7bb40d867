//! The decoder against bytes that no server wrote: it errs or understands, and never panics.

use bluegreen::ErrorKind;
use bluegreen::decode::{Assembled, Assembler, Change, DecoderOptions, RowBuffer, Unfolder};
use bluegreen::model::{Coordinates, Value};
use bluegreen::testkit::{
    Cell, Checksum, ColumnSpec, Event, LogWriter, PayloadCompression, Query, Release, Rows, TableMap, flag, kind,
};
use proptest::prelude::*;

/// A log that is decoded as it is written, without checksums.
struct Log {
    writer: LogWriter,
    assembler: Assembler,
}

impl Log {
    fn new(release: Release) -> Log {
        let assembler = Assembler::new(DecoderOptions::new(release.flavor(), Coordinates::new("bin.000001", 4)));
        let mut log = Log { writer: LogWriter::with_checksum(release, Checksum::None), assembler };
        let assembled = log.assembler.push(log.writer.frames()[0].clone()).and_then(|()| log.assembler.next()).unwrap();
        assert!(matches!(assembled, Some(Assembled::Advanced(_))));
        log
    }

    fn push(&mut self, event: impl Into<Event>) -> bluegreen::Result<Option<Assembled>> {
        self.writer.write(event);
        self.assembler.push(self.writer.frames().last().unwrap().clone()).and_then(|()| self.assembler.next())
    }

    fn query(&mut self, sql: &str) -> bluegreen::Result<Option<Assembled>> {
        self.push(Query::new("s", sql))
    }

    fn insert(&mut self, number: i64) {
        assert!(self.push(table().event()).unwrap().is_none());
        assert!(self.push(Rows::insert(&table()).row(&[Cell::Int(number)])).unwrap().is_none());
    }
}

fn table() -> TableMap {
    TableMap::new(9, "s", "t", vec![ColumnSpec::int()])
}

/// The number that says "only close the tables" is that of a table, too, once a server has counted so far.
#[test]
fn a_table_of_the_dummys_number_keeps_its_rows() {
    let mut log = Log::new(Release::MySql97);
    let table = TableMap::new(0xff_ffff, "s", "t", vec![ColumnSpec::int()]);
    log.query("BEGIN").unwrap();
    log.push(table.event()).unwrap();
    log.push(Rows::insert(&table).row(&[Cell::Int(5)])).unwrap();
    // Nothing is open behind it: this one only closes.
    log.push(Rows::insert(&table)).unwrap();
    assert_eq!(numbers(log.query("COMMIT").unwrap()), [5]);
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

/// Reads every value up to the first row that is none.
fn read_all(change: &Change) {
    let Change::Rows(change) = change else { return };
    let mut buffer = RowBuffer::new();
    let mut rows = change.rows(&mut buffer);
    while let Ok(Some(row)) = rows.next() {
        for image in row.before.iter().chain(&row.after) {
            let _ = image.to_values();
        }
    }
}

#[test]
fn savepoints_are_honoured() {
    let mut log = Log::new(Release::MySql80);
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
    assert_eq!(numbers(log.push(Event::xid(7)).unwrap()), [1, 2, 4, 6]);
    assert!(!log.assembler.is_in_transaction());
    log.query("BEGIN").unwrap();
    assert_eq!(log.query("ROLLBACK TO a").unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn rolled_back_groups() {
    let mut log = Log::new(Release::MySql80);
    log.query("BEGIN").unwrap();
    assert!(numbers(log.query("ROLLBACK").unwrap()).is_empty());
    log.query("BEGIN").unwrap();
    log.insert(1);
    assert_eq!(log.query("ROLLBACK").unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn a_stream_is_fused_after_an_error_and_stays_where_it_was() {
    let mut log = Log::new(Release::MySql80);
    let before = log.assembler.coordinates().clone();
    assert_eq!(log.push(Event::raw(99, 0, [])).unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(log.query("BEGIN").unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(log.assembler.coordinates(), &before);
}

#[test]
fn unknown_events_pass_only_with_the_servers_leave() {
    let mut log = Log::new(Release::MySql80);
    assert!(log.push(Event::raw(99, flag::IGNORABLE, b"x")).unwrap().is_none());
    for (kind, remedy) in [(5, "binlog_format=ROW"), (17, "binlog_format=ROW"), (26, "create")] {
        let mut log = Log::new(Release::MySql80);
        log.query("BEGIN").unwrap();
        let before = log.assembler.coordinates().clone();
        let error = log.push(Event::raw(kind, flag::IGNORABLE, [1; 9])).unwrap_err();
        assert!(error.advice().unwrap().contains(remedy), "{error}");
        assert_eq!(error.place().unwrap().coordinates, Some(before), "{error}");
    }
}

#[test]
fn a_live_dump_starts_inside_of_a_file_and_moves_to_the_next() {
    const START: u64 = 5_000_000_000;
    const RELEASE: Release = Release::MySql80;
    let mut assembler =
        Assembler::new(DecoderOptions::new(RELEASE.flavor(), Coordinates::new("", 4))).with_max_kept_bytes(980);
    let mut log = LogWriter::with_checksum(RELEASE, Checksum::None);
    let push = |assembler: &mut Assembler, log: &mut LogWriter, event: Event| {
        log.write(event);
        assembler.push(log.frames().last().unwrap().clone()).and_then(|()| assembler.next())
    };
    let head = Event::format_description(RELEASE, Checksum::None).with_log_position(0).streamed_only();
    assert!(push(&mut assembler, &mut log, Event::artificial_rotate("bin.000007", START)).unwrap().is_none());
    assert!(push(&mut assembler, &mut log, head).unwrap().is_none());
    assert_eq!(assembler.coordinates(), &Coordinates::new("bin.000007", START));

    // The header has the low 32 bits only.
    let ddl = || Event::from(Query::new("s", "DROP TABLE t"));
    log.skip_to(START);
    let Some(Assembled::Transaction(transaction)) = push(&mut assembler, &mut log, ddl()).unwrap() else {
        panic!("expected a transaction")
    };
    assert_eq!((transaction.start.offset, transaction.end.offset), (START, log.position()));

    // Passed transactions leave a gap, and a heartbeat says how far.
    let passed = log.position() + 500;
    let heartbeat = push(&mut assembler, &mut log, Event::heartbeat("bin.000007", passed as u32)).unwrap();
    assert!(matches!(heartbeat, Some(Assembled::Heartbeat(at)) if at.offset == passed));
    log.skip_to(passed + 500);
    let Some(Assembled::Transaction(transaction)) = push(&mut assembler, &mut log, ddl()).unwrap() else {
        panic!("expected a transaction")
    };
    assert_eq!((transaction.start.offset, transaction.end.offset), (passed + 500, log.position()));

    let real = push(&mut assembler, &mut log, Event::rotate("bin.000008", 4)).unwrap();
    assert!(matches!(real, Some(Assembled::Advanced(at)) if at == Coordinates::new("bin.000008", 4)));
    assert!(push(&mut assembler, &mut log, Event::artificial_rotate("bin.000008", 4)).unwrap().is_none());
    let mut log = LogWriter::with_checksum(RELEASE, Checksum::None);
    let advanced = assembler.push(log.frames()[0].clone()).and_then(|()| assembler.next()).unwrap();
    assert!(matches!(advanced, Some(Assembled::Advanced(at)) if at.offset == log.position()));

    // A server that crashed left no ROTATE of its own.
    let moved = push(&mut assembler, &mut log, Event::artificial_rotate("bin.000009", 4)).unwrap();
    assert!(matches!(moved, Some(Assembled::Advanced(at)) if at == Coordinates::new("bin.000009", 4)));
    let mut log = LogWriter::with_checksum(RELEASE, Checksum::None);
    assert!(assembler.push(log.frames()[0].clone()).and_then(|()| assembler.next()).unwrap().is_some());
    assert!(!assembler.is_in_transaction());
    push(&mut assembler, &mut log, Query::begin().into()).unwrap();
    let long = Query::new("s", "x".repeat(990));
    let error = push(&mut assembler, &mut log, long.into()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
}

#[test]
fn a_lost_frame_inside_of_a_transaction_is_found() {
    let mut log = Log::new(Release::MySql80);
    log.query("BEGIN").unwrap();
    log.insert(1);
    log.writer.skip_to(log.writer.position() + 40);
    assert_eq!(log.push(Event::xid(7)).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn rows_need_their_table_map() {
    let mut log = Log::new(Release::MySql80);
    log.query("BEGIN").unwrap();
    log.insert(1);
    // The insert ended its statement, and the map with it.
    let error = log.push(Rows::insert(&table()).row(&[Cell::Int(1)])).unwrap_err();
    assert_eq!(error.message(), "no table map is open for table id 9");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_body_of_any_event(
        number: u8,
        flags in prop::sample::select(vec![0_u16, flag::IGNORABLE, flag::ARTIFICIAL]),
        release in prop::sample::select(Release::ALL.to_vec()),
        is_begun: bool,
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut log = Log::new(release);
        if is_begun {
            log.push(Query::begin()).unwrap();
            log.push(table().event()).unwrap();
        }
        let _ = log.push(Event::raw(number, flags, body));
    }

    #[test]
    fn any_columns_with_any_rows(
        types in prop::collection::vec(prop::sample::select(
            (0..=19_u8).chain(140..=141).chain(242..=255).collect::<Vec<_>>()), 0..12),
        metadata in prop::collection::vec(any::<u8>(), 0..30),
        optional in prop::collection::vec(any::<u8>(), 0..20),
        images in prop::collection::vec(any::<u8>(), 0..200),
        release in prop::sample::select(vec![Release::MySql80, Release::MariaDb1011]),
        number in 30..=32_u8,
    ) {
        let mut log = Log::new(release);
        log.push(Query::begin()).unwrap();
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
        if log.push(Event::raw(kind::TABLE_MAP, 0, body)).is_ok() {
            let mut body = vec![9, 0, 0, 0, 0, 0, 1, 0, 2, 0, types.len() as u8];
            body.extend(images);
            let _ = log.push(Event::raw(number, 0, body));
            if let Ok(Some(Assembled::Transaction(transaction))) = log.push(Event::xid(7)) {
                transaction.changes.iter().for_each(read_all);
            }
        }
    }
}

#[test]
fn behind_an_error_within_a_payload_comes_that_error_again() {
    // An event within that claims to be longer than the bound.
    let long = Event::raw(kind::QUERY, 0, vec![0; 100]);
    let events = [Event::xid(1), long, Event::xid(2)];
    let mut log = LogWriter::with_checksum(Release::MySql97, Checksum::None);
    log.write(Event::transaction_payload(&events, PayloadCompression::None)).write(Event::xid(3));
    let [head, payload, after] = log.frames() else { panic!("three frames") };
    let mut options = DecoderOptions::new(Release::MySql97.flavor(), Coordinates::new("bin.000001", 4));
    options.max_event_bytes = 50;
    let mut unfolder = Unfolder::new(&options);
    assert!(unfolder.push(head.clone()).unwrap().is_some());
    assert!(unfolder.push(payload.clone()).unwrap().is_some());
    assert_eq!(unfolder.next().unwrap_err().kind(), ErrorKind::Limit);
    assert_eq!(unfolder.next().unwrap_err().kind(), ErrorKind::Limit);
    assert_eq!(unfolder.push(after.clone()).unwrap_err().kind(), ErrorKind::Limit);
}

/// Events of the log file itself have no place in a compressed transaction: they would move the stream, and an error
/// behind them would leave it there. Found by fuzzing (`payload`).
#[test]
fn events_of_the_file_are_refused_inside_of_a_payload() {
    for event in [Event::rotate("elsewhere", 4), Event::stop(), Event::raw(kind::HEARTBEAT, 0, b"bin.000001".to_vec())]
    {
        let mut log = Log::new(Release::MySql97);
        log.push(bluegreen::testkit::Gtid::anonymous()).unwrap();
        let before = log.assembler.coordinates().clone();
        let events = [Event::from(Query::begin()), Event::xid(1), event, Event::xid(2)];
        let error = log.push(Event::transaction_payload(&events, PayloadCompression::Zstd)).and_then(|first| {
            assert!(first.is_some());
            log.assembler.next()
        });
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(*log.assembler.coordinates(), before);
    }
}
