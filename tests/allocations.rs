//! What decoding allocates: nothing in steady state, and never more than the bytes that are there call for.
//!
//! Counted are the thread's allocations in Rust; zstd's own window, of 128 MiB at most, is not among them.

use std::io::Read;

use allocation_counter::measure;
use bluegreen::ErrorKind;
use bluegreen::Result;
use bluegreen::decode::json::{JsonNode, JsonRef};
use bluegreen::decode::{DecimalBuffer, Decoded, Decoder, DecoderOptions, RowBuffer, ValueRef};
use bluegreen::model::{Coordinates, Frame, TemporalParts};
use bluegreen::source::file::FileSource;
use bluegreen::testkit::{
    Cell, Checksum, ColumnSpec, ColumnType, Event, Gtid, LogWriter, MariaDbGtid, PayloadCompression, Query, Release,
    RowMetadata, Rows, TableMap, kind,
};

const MIB: u64 = 1 << 20;

fn decoder(release: Release) -> Decoder {
    Decoder::new(DecoderOptions::new(release.flavor(), Coordinates::new("bin.000001", 4)))
}

/// Decodes a frame and visits every value of all rows; gives the number of rows.
fn visit(decoder: &mut Decoder, buffer: &mut RowBuffer, frame: Frame) -> Result<u64> {
    decoder.push(frame)?;
    let mut count = 0;
    while let Some(decoded) = decoder.next()? {
        let Decoded::Rows(change) = decoded else { continue };
        let mut rows = change.rows(buffer);
        while let Some(row) = rows.next()? {
            count += 1;
            for image in row.before.iter().chain(&row.after) {
                for value in image.iter() {
                    visit_value(value?.expect("images are whole"))?;
                }
            }
        }
    }
    Ok(count)
}

fn visit_value(value: ValueRef<'_>) -> Result<()> {
    match value {
        ValueRef::Decimal(decimal) => assert!(!decimal.ascii(&mut DecimalBuffer::default())?.is_empty()),
        ValueRef::Json(document) => visit_json(document)?,
        _ => {}
    }
    Ok(())
}

fn visit_json(value: JsonRef<'_>) -> Result<()> {
    match value.node()? {
        JsonNode::Array(array) => array.iter().try_for_each(|item| visit_json(item?)),
        JsonNode::Object(object) => object.iter().try_for_each(|member| visit_json(member?.1)),
        _ => Ok(()),
    }
}

/// A column of each kind, and a row of it.
fn table(release: Release) -> (TableMap, Vec<Cell>) {
    use ColumnType::*;
    let parts = TemporalParts { year: 2026, month: 2, day: 3, ..TemporalParts::default() };
    let time = TemporalParts { is_negative: true, hour: 8, micros: 120_000, ..TemporalParts::default() };
    let members = vec!["a".to_owned(), "b".to_owned()];
    let mut columns = vec![
        (Integer(1), Cell::Int(-1)),
        (Integer(2), Cell::Int(-2)),
        (Integer(3), Cell::Int(-3)),
        (Integer(4), Cell::Int(-4)),
        (Integer(8), Cell::Int(-5)),
        (Float, Cell::Float(1.5)),
        (Double, Cell::Double(2.5)),
        (Decimal(65, 30), Cell::Decimal("-12345678901234567890.5".into())),
        (Bit(9), Cell::Bit(257)),
        (Enum(members.clone()), Cell::Enum(2)),
        (Set(members), Cell::Set(3)),
        (Char(20), Cell::from("char")),
        (VarChar(300), Cell::from("varchar")),
        (Blob(3), Cell::Bytes(vec![7; 500])),
        (Geometry(1), Cell::Bytes(vec![0; 25])),
        (Year, Cell::Year(2026)),
        (Date, Cell::Date(parts)),
        (Time(2), Cell::Time(time)),
        (DateTime(0), Cell::DateTime(parts)),
        (Timestamp(6), Cell::Timestamp(1_790_000_000, 999_999)),
        (Integer(4), Cell::Null),
    ];
    match release {
        Release::MySql57 | Release::MySql97 => {
            // `{"a": [1.5, null]}`.
            let document = b"\x00\x01\0\x1e\0\x0b\0\x01\0\x02\x0c\0a\x02\0\x12\0\x0b\x0a\0\x04\0\0\0\0\0\0\0\0\xf8\x3f";
            columns.push((Json, Cell::Bytes(document.to_vec())));
        }
        _ => {
            columns.push((VarCharCompressed(1000), Cell::Bytes(vec![b'x'; 900])));
            columns.push((BlobCompressed(2), Cell::ZlibWrapped(vec![b'y'; 9000])));
        }
    }
    let cells = columns.iter().map(|(_, cell)| cell.clone()).collect();
    let specs = columns.into_iter().map(|(kind, _)| ColumnSpec::new(kind).named("c").nullable()).collect();
    let map = TableMap::new(9, "s", "t", specs).metadata(RowMetadata::Full(release.flavor()));
    (map, cells)
}

/// Inserts, updates and deletes of so many rows each.
fn changes(release: Release, row_count: usize) -> Vec<Event> {
    let (map, cells) = table(release);
    let (mut inserted, mut updated, mut deleted) = (Rows::insert(&map), Rows::update(&map), Rows::delete(&map));
    for _ in 0..row_count {
        inserted = inserted.row(&cells);
        updated = updated.updated_row(&cells, &cells);
        deleted = deleted.row(&cells);
    }
    [inserted.into(), updated.into(), deleted.into()].into_iter().flat_map(|rows| [map.event(), rows]).collect()
}

/// A log of so many equal transactions.
fn log(release: Release, transaction_count: u64, changes: &[Event], payload: Option<PayloadCompression>) -> LogWriter {
    let mut log = LogWriter::new(release);
    for number in 1..=transaction_count {
        if release == Release::MariaDb118 {
            log.write(MariaDbGtid::new(0, 1, number));
            changes.iter().for_each(|event| _ = log.write(event.clone()));
            log.write(Event::xid(number));
            continue;
        }
        let mut events = vec![Query::begin().into()];
        events.extend_from_slice(changes);
        events.push(Event::xid(number));
        if let Some(compression) = payload {
            events = vec![Event::transaction_payload(&events, compression)];
        }
        let gtid = Gtid::new([7; 16], number).clock(0, 1);
        log.transaction(
            match release {
                Release::MySql57 => gtid,
                _ => gtid.committed_at(1, 1).versions(90_704, 90_704),
            },
            &events,
        );
    }
    log
}

/// Decodes the first frames to warm up, then the others, which must not allocate.
#[track_caller]
fn expect_none(release: Release, log: &LogWriter, warm: usize) {
    let (first, others) = log.frames().split_at(warm);
    let others = others.to_vec();
    let (mut decoder, mut buffer) = (decoder(release), RowBuffer::new());
    for frame in first {
        visit(&mut decoder, &mut buffer, frame.clone()).unwrap();
    }
    let mut rows = 0;
    let found = measure(|| {
        for frame in others {
            rows += visit(&mut decoder, &mut buffer, frame).unwrap();
        }
    });
    assert_eq!(found.count_total, 0, "{release:?}: allocations in {rows} rows");
    assert!(rows > 0);
}

#[test]
fn rows_take_no_allocation() {
    // The first transaction has the same table; the rows of the second, however many, find everything made.
    for release in [Release::MySql97, Release::MariaDb118] {
        let mut log = log(release, 1, &changes(release, 1), None);
        let warm = log.frames().len();
        match release {
            Release::MariaDb118 => log.write(MariaDbGtid::new(0, 1, 2)),
            _ => log.write(Gtid::anonymous().clock(1, 2)).write(Query::begin()),
        };
        changes(release, 1_000).into_iter().for_each(|event| _ = log.write(event));
        log.write(Event::xid(9));
        expect_none(release, &log, warm);
    }
}

#[test]
fn small_transactions_take_no_allocation() {
    for release in [Release::MySql57, Release::MySql97, Release::MariaDb118] {
        let log = log(release, 100, &changes(release, 1), None);
        let warm = log.frames().len() / 10;
        expect_none(release, &log, warm);
    }
}

#[test]
fn compressed_transactions_take_no_allocation() {
    for compression in [PayloadCompression::Zstd, PayloadCompression::None] {
        let log = log(Release::MySql97, 100, &changes(Release::MySql97, 20), Some(compression));
        expect_none(Release::MySql97, &log, 21);
    }
}

#[test]
fn a_file_takes_no_allocation() {
    let log = log(Release::MySql97, 400, &changes(Release::MySql97, 10), None);
    assert!(log.bytes().len() > 8 << 20, "many chunks");
    let mut source = FileSource::new(log.bytes(), "bin.000001").unwrap();
    let (mut decoder, mut buffer) = (decoder(Release::MySql97), RowBuffer::new());
    for _ in 0..1_000 {
        visit(&mut decoder, &mut buffer, source.next().unwrap().unwrap()).unwrap();
    }
    let mut rows = 0;
    let found = measure(|| {
        for frame in source {
            rows += visit(&mut decoder, &mut buffer, frame.unwrap()).unwrap();
        }
    });
    assert!(rows > 5_000);
    assert_eq!(found.count_total, 0, "allocations in {rows} rows");
}

/// The same bytes again and again.
struct Repeated<'a> {
    bytes: &'a [u8],
    at: usize,
    left: u64,
}

impl Read for Repeated<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        if self.at == self.bytes.len() && self.left > 0 {
            (self.at, self.left) = (0, self.left - 1);
        }
        let count = (&self.bytes[self.at..]).read(out)?;
        self.at += count;
        Ok(count)
    }
}

/// A log up to the rows of a transaction, its table, a row event of `size` bytes and a little more, and the end.
fn parts_of_a_long_transaction(size: usize) -> (LogWriter, Event, Event, Event) {
    let map = TableMap::new(9, "s", "t", vec![ColumnSpec::new(ColumnType::Blob(4))]);
    let mut log = LogWriter::with_checksum(Release::MySql97, Checksum::None);
    log.write(Gtid::anonymous().clock(0, 1)).write(Query::begin()).write(map.event());
    let row = Cell::Bytes(vec![7; size / 4]);
    let rows = (0..4).fold(Rows::insert(&map).flags(0), |rows, _| rows.row(std::slice::from_ref(&row)));
    // Without a place: the same bytes are right anywhere.
    (log, map.event(), Event::from(rows).with_log_position(0), Event::xid(7).with_log_position(0))
}

#[test]
fn a_transaction_of_gigabytes_streams_in_bounded_memory() {
    const EVENTS: u64 = 6_000;
    let (mut log, _, rows, end) = parts_of_a_long_transaction(1 << 20);
    let start = log.position();
    log.write(rows).write(end);
    let length = log.position() - start;
    let [head @ .., rows, end] = log.frames() else { panic!("expected the rows and the end") };
    let (mut decoder, mut buffer, mut count) = (decoder(Release::MySql97), RowBuffer::new(), 0);
    let found = measure(|| {
        let repeated = std::iter::repeat_n(rows, EVENTS as usize);
        for frame in head.iter().chain(repeated).chain([end]) {
            count += visit(&mut decoder, &mut buffer, frame.clone()).unwrap();
        }
    });
    assert_eq!(count, 4 * EVENTS);
    let more = (EVENTS - 1) * rows.bytes.len() as u64;
    assert_eq!(decoder.coordinates().offset, start + length + more);
    assert!(decoder.coordinates().offset > 1 << 32);
    assert!(found.bytes_max < MIB / 4, "{found:?}");
}

#[test]
fn a_file_of_any_length_streams_in_bounded_memory() {
    const EVENTS: u64 = 2_000;
    let (mut log, _, rows, end) = parts_of_a_long_transaction(200_000);
    let head = log.bytes().to_vec();
    log.write(rows);
    let rows = log.bytes()[head.len()..].to_vec();
    log.write(end);
    let end = log.bytes()[head.len() + rows.len()..].to_vec();
    let repeated = Repeated { bytes: &rows, at: rows.len(), left: EVENTS };
    let file = head.as_slice().chain(repeated).chain(end.as_slice());
    let (mut decoder, mut buffer, mut count) = (decoder(Release::MySql97), RowBuffer::new(), 0);
    let found = measure(|| {
        for frame in FileSource::new(file, "bin.000001").unwrap() {
            count += visit(&mut decoder, &mut buffer, frame.unwrap()).unwrap();
        }
    });
    assert_eq!(count, 4 * EVENTS);
    assert!(decoder.transaction_start().is_none());
    assert!(found.bytes_max < 2 * MIB, "{found:?}");
}

#[test]
fn a_compressed_transaction_streams_in_bounded_memory() {
    let (_, map, rows, end) = parts_of_a_long_transaction(100_000);
    let mut events = vec![Query::begin().into(), map];
    events.extend(std::iter::repeat_n(rows, 600));
    events.push(end);
    let mut log = LogWriter::new(Release::MySql97);
    log.transaction(Gtid::anonymous().clock(0, 1), &[Event::transaction_payload(&events, PayloadCompression::Zstd)]);
    assert!(log.position() < MIB / 10);
    let (mut decoder, mut buffer, mut count) = (decoder(Release::MySql97), RowBuffer::new(), 0);
    let found = measure(|| {
        for frame in log.frames() {
            count += visit(&mut decoder, &mut buffer, frame.clone()).unwrap();
        }
    });
    assert_eq!(count, 4 * 600);
    assert!(found.bytes_max < 2 * MIB, "{found:?}");
}

/// Decodes until an error, which must come, and with less memory than a megabyte.
#[track_caller]
fn expect_small_error(release: Release, events: Vec<Event>, expected: ErrorKind, what: &str) {
    let mut log = LogWriter::new(release);
    events.into_iter().for_each(|event| _ = log.write(event));
    let (mut decoder, mut buffer, mut error) = (decoder(release), RowBuffer::new(), None);
    let found = measure(|| {
        error = log.frames().iter().find_map(|frame| visit(&mut decoder, &mut buffer, frame.clone()).err());
    });
    let error = error.unwrap_or_else(|| panic!("{what}: expected an error"));
    assert_eq!(error.kind(), expected, "{what}: {error}");
    assert!(found.bytes_max < MIB, "{what}: {found:?}");
}

/// TRANSACTION_PAYLOAD that promises `promised` bytes.
fn payload(promised: u64, folded: &[u8]) -> Vec<Event> {
    let mut body = vec![2, 1, 0, 3, 9, 254];
    body.extend(promised.to_le_bytes());
    body.extend([1, 1, folded.len() as u8, 0]);
    body.extend(folded);
    vec![Gtid::anonymous().clock(0, 1).into(), Event::raw(kind::TRANSACTION_PAYLOAD, 0, body)]
}

#[test]
fn a_payload_that_declares_gigabytes_takes_no_memory_for_them() {
    let fold = |plain: &[u8]| zstd::bulk::compress(plain, 3).unwrap();
    let event = |size: u32| {
        let mut header = vec![0; 9];
        header[4] = kind::QUERY;
        header.extend(size.to_le_bytes());
        header.resize(19, 0);
        header
    };
    let expect = |promised, plain: &[u8], kind, what| {
        expect_small_error(Release::MySql97, payload(promised, &fold(plain)), kind, what);
    };
    expect(u64::MAX, &event(19), ErrorKind::Corrupt, "a promise that is not kept");
    expect(1 << 30, &event(1 << 30), ErrorKind::Corrupt, "an event that is not there");
    expect(1 << 32, &event(u32::MAX), ErrorKind::Limit, "an event above the bound");
    // Megabytes of zeros: no event is so short, and nothing of what follows is unfolded.
    let mut zeros = zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
    std::io::copy(&mut std::io::repeat(0).take(64 * MIB), &mut zeros).unwrap();
    let zeros = zeros.finish().unwrap();
    let mut body = vec![2, 1, 0, 1, 3, 252];
    body.extend((zeros.len() as u16).to_le_bytes());
    body.push(0);
    body.extend(zeros);
    let bomb = vec![Gtid::anonymous().clock(0, 1).into(), Event::raw(kind::TRANSACTION_PAYLOAD, 0, body)];
    expect_small_error(Release::MySql97, bomb, ErrorKind::Corrupt, "zeros");
}

#[test]
fn a_short_row_event_that_declares_gigabytes_takes_no_memory_for_them() {
    let group = || Event::from(MariaDbGtid::new(0, 1, 1));
    let map = |kind: ColumnType| TableMap::new(9, "s", "t", vec![ColumnSpec::new(kind)]);
    let head = [9, 0, 0, 0, 0, 0, 1, 0, 1, 1];
    let expect = |events: [Event; 3], kind, what| {
        expect_small_error(Release::MariaDb118, events.into(), kind, what);
    };
    let long_blob = || Cell::Raw(vec![0xf0, 0xff, 0xff, 0xff, 1, 2]);
    let blob = map(ColumnType::Blob(4));
    let rows = Rows::insert(&blob).written_by(Release::MariaDb118).row(&[long_blob()]);
    expect([group(), blob.event(), rows.into()], ErrorKind::Corrupt, "a value of 4 GiB");

    for (length, error) in [([0x40, 0, 0, 0], ErrorKind::Corrupt), ([0xff; 4], ErrorKind::Limit)] {
        // A stream of zlib that unfolds to nothing.
        let folded = [&head[..], &[0x84], &length, &[0x78, 0x9c, 3, 0, 0, 0, 0, 1]].concat();
        let rows = Event::raw(kind::WRITE_ROWS_COMPRESSED_V1, 0, folded);
        expect([group(), blob.event(), rows], error, "compressed rows");

        let column = map(ColumnType::BlobCompressed(4));
        let folded = [&[7, 0, 0, 0, 0x8c], &length[..], &[3, 0]].concat();
        let rows = Rows::insert(&column).written_by(Release::MariaDb118).row(&[Cell::Raw(folded)]);
        expect([group(), column.event(), rows.into()], error, "a compressed column");

        let text = [&[0; 8], [0, 0, 0, 0, 0, 0, 0x84].as_slice(), &length, &[0x78, 0x9c, 3, 0, 0, 0, 0, 1]].concat();
        let query = Event::raw(kind::QUERY_COMPRESSED, 0, text);
        expect([group(), blob.event(), query], error, "a compressed statement");
    }

    // The count of columns: 2 to the power of 40.
    let columns = b"\x09\0\0\0\0\0\x01\0\x01s\0\x01t\0\xfe\0\0\0\0\0\x01\0\0".to_vec();
    expect([group(), Event::raw(kind::TABLE_MAP, 0, columns), Event::xid(1)], ErrorKind::Corrupt, "columns");

    // The first of four billion parts, of an event of 16 EiB, and of one of a gigabyte whose next part is missing.
    for (size, error) in [(u64::MAX, ErrorKind::Limit), (1 << 30, ErrorKind::Corrupt)] {
        let mut part = Vec::from(u32::MAX.to_le_bytes());
        part.extend([1, 0, 0, 0, 1]);
        part.extend(size.to_le_bytes());
        part.push(0);
        let events = vec![group(), Event::raw(kind::PARTIAL_ROW_DATA, 0, part), Event::xid(1)];
        expect_small_error(Release::MariaDb123, events, error, "parts");
    }
}

#[test]
fn a_file_whose_event_declares_gigabytes_takes_no_memory_for_them() {
    let mut log = LogWriter::with_checksum(Release::MySql97, Checksum::None);
    let size_at = log.bytes().len() + 9;
    log.write(Event::xid(7));
    let mut file = log.bytes().to_vec();
    file[size_at..][..4].copy_from_slice(&(1_u32 << 30).to_le_bytes());
    let mut has_failed = false;
    let found = measure(|| {
        has_failed = FileSource::new(file.as_slice(), "bin.000001").unwrap().any(|frame| frame.is_err());
    });
    assert!(has_failed);
    assert!(found.bytes_max < MIB, "{found:?}");
}
