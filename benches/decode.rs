//! How fast do logged rows become values?
//!
//! ```text
//! cargo bench --bench decode
//! ```
//!
//! The log is written here: head, GTID, BEGIN and XID events are those of a golden file, the rows are made from a fixed
//! seed. `mysql_common` reads the same bytes in the same run; it does not check checksums, this library does.

use std::hint::black_box;
use std::time::Duration;

use bluegreen::decode::{Decoded, Decoder, DecoderOptions, Image, RowBuffer, ValueRef};
use bluegreen::model::{Coordinates, Flavor};
use bluegreen::source::file::FileSource;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mysql_common::binlog::BinlogFile;
use mysql_common::binlog::consts::BinlogVersion;
use mysql_common::binlog::events::EventData;
use mysql_common::binlog::value::BinlogValue;

const GOLDEN: &[u8] = include_bytes!("../tests/data/binlog/mysql-9.7.4/transactions.bin");
const ROWS_IN_EVENT: u64 = 100;
const LOG_BYTES: usize = 4 << 20;

const QUERY: u8 = 2;
const XID: u8 = 16;
const TABLE_MAP: u8 = 19;
const WRITE_ROWS: u8 = 30;
const ANONYMOUS_GTID: u8 = 34;

/// What all rows of a log add up to.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
struct Sum {
    rows: u64,
    values: u64,
    integers: i64,
    text_bytes: u64,
}

/// A column that rows are made of: its type number, its metadata, and its value's bytes.
#[derive(Clone, Copy)]
enum Column {
    Int,
    BigInt,
    Double,
    /// DECIMAL(12,2).
    Decimal,
    /// VARCHAR of up to this many bytes.
    VarChar(u8),
    /// DATETIME(6).
    DateTime,
}

impl Column {
    fn type_code(self) -> u8 {
        match self {
            Column::Int => 3,
            Column::BigInt => 8,
            Column::Double => 5,
            Column::Decimal => 246,
            Column::VarChar(_) => 15,
            Column::DateTime => 18,
        }
    }

    fn metadata(self) -> Vec<u8> {
        match self {
            Column::Int | Column::BigInt => Vec::new(),
            Column::Double => vec![8],
            Column::Decimal => vec![12, 2],
            Column::VarChar(length) => vec![length, 0],
            Column::DateTime => vec![6],
        }
    }

    fn write(self, seed: &mut u64, row: &mut Vec<u8>, sum: &mut Sum) {
        let random = next(seed);
        match self {
            Column::Int => {
                let number = random as i32;
                sum.integers = sum.integers.wrapping_add(number.into());
                row.extend(number.to_le_bytes());
            }
            Column::BigInt => {
                sum.integers = sum.integers.wrapping_add(random as i64);
                row.extend(random.to_le_bytes());
            }
            Column::Double => row.extend((random as f64).to_le_bytes()),
            Column::Decimal => {
                row.push((random % 10) as u8 | 0x80);
                row.extend((((random >> 8) % 1_000_000_000) as u32).to_be_bytes());
                row.push(((random >> 40) % 100) as u8);
            }
            Column::VarChar(length) => {
                let length = random % (u64::from(length) + 1);
                sum.text_bytes += length;
                row.push(length as u8);
                row.extend((0..length).map(|index| b'a' + ((random >> (index % 32)) % 26) as u8));
            }
            Column::DateTime => {
                let (month, day) = (random % 12 + 1, (random >> 8) % 28 + 1);
                let date = ((2026 * 13 + month) << 5) | day;
                let time = ((random >> 16) % 24) << 12 | ((random >> 24) % 60) << 6 | ((random >> 32) % 60);
                let packed = (date << 17 | time) + (1 << 39);
                row.extend(&packed.to_be_bytes()[3..]);
                row.extend(&((random >> 40) % 1_000_000).to_be_bytes()[5..]);
            }
        }
    }
}

/// Xorshift: the same log in every run.
fn next(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

/// Events of the golden file: where the first transaction starts, and the first event that `wanted` is true of.
fn golden(wanted: impl Fn(u8, &[u8]) -> bool) -> (usize, &'static [u8]) {
    let mut start = 4;
    while start < GOLDEN.len() {
        let size = u32::from_le_bytes(GOLDEN[start + 9..start + 13].try_into().unwrap()) as usize;
        let event = &GOLDEN[start..start + size];
        if wanted(event[4], event) {
            return (start, event);
        }
        start += size;
    }
    panic!("the golden file has no such event");
}

/// Adds an event with the header's other parts and the checksum as they must be.
fn log_event(log: &mut Vec<u8>, kind: u8, body: &[u8]) {
    let start = log.len();
    let size = 19 + body.len() + 4;
    log.extend(1_790_000_000_u32.to_le_bytes());
    log.push(kind);
    log.extend(1_u32.to_le_bytes());
    log.extend((size as u32).to_le_bytes());
    log.extend(((start + size) as u32).to_le_bytes());
    log.extend(0_u16.to_le_bytes());
    log.extend(body);
    log.extend(crc32fast::hash(&log[start..]).to_le_bytes());
}

fn body(event: &[u8]) -> &[u8] {
    &event[19..event.len() - 4]
}

/// A log of one table's inserts.
fn written(columns: &[Column]) -> (Vec<u8>, Sum) {
    let (head_length, gtid) = golden(|kind, _| kind == ANONYMOUS_GTID);
    let (_, begin) = golden(|kind, event| kind == QUERY && body(event).ends_with(b"BEGIN"));
    let (_, xid) = golden(|kind, _| kind == XID);
    let table_id = [42, 0, 0, 0, 0, 0];
    let bitmap_length = columns.len().div_ceil(8);

    let mut table_map = Vec::from(table_id);
    table_map.extend(b"\x01\x00\x04shop\x00\x06orders\x00");
    table_map.push(columns.len() as u8);
    table_map.extend(columns.iter().map(|column| column.type_code()));
    let metadata: Vec<u8> = columns.iter().flat_map(|column| column.metadata()).collect();
    table_map.push(metadata.len() as u8);
    table_map.extend(metadata);
    table_map.resize(table_map.len() + bitmap_length, 0xff);

    let (mut log, mut sum, mut seed) = (GOLDEN[..head_length].to_vec(), Sum::default(), 0x5eed);
    while log.len() < LOG_BYTES {
        let mut rows = Vec::from(table_id);
        rows.extend(b"\x01\x00\x02\x00");
        rows.push(columns.len() as u8);
        rows.resize(rows.len() + bitmap_length, 0xff);
        for _ in 0..ROWS_IN_EVENT {
            let nulls = rows.len();
            rows.resize(nulls + bitmap_length, 0);
            for (index, column) in columns.iter().enumerate() {
                sum.values += 1;
                // Every eleventh value is NULL.
                if index > 0 && next(&mut seed).is_multiple_of(11) {
                    rows[nulls + index / 8] |= 1 << (index % 8);
                } else {
                    column.write(&mut seed, &mut rows, &mut sum);
                }
            }
            sum.rows += 1;
        }
        log_event(&mut log, ANONYMOUS_GTID, body(gtid));
        log_event(&mut log, QUERY, body(begin));
        log_event(&mut log, TABLE_MAP, &table_map);
        log_event(&mut log, WRITE_ROWS, &rows);
        log_event(&mut log, XID, body(xid));
    }
    (log, sum)
}

fn visit(image: &Image<'_>, sum: &mut Sum) {
    sum.rows += 1;
    for value in image.iter() {
        let Some(value) = value.unwrap() else { continue };
        sum.values += 1;
        match value {
            ValueRef::Int(number) => sum.integers = sum.integers.wrapping_add(number),
            ValueRef::Bytes(bytes) => sum.text_bytes += bytes.len() as u64,
            ValueRef::Decimal(decimal) => drop(black_box(decimal.text())),
            other => {
                black_box(other);
            }
        }
    }
}

fn decode(log: &[u8]) -> Sum {
    let mut decoder = Decoder::new(DecoderOptions::new(Flavor::MySql, Coordinates::new("bin.000001", 4)));
    let (mut sum, mut buffer) = (Sum::default(), RowBuffer::new());
    for frame in FileSource::new(log, "bin.000001").unwrap() {
        decoder.push(frame.unwrap()).unwrap();
        while let Some(decoded) = decoder.next().unwrap() {
            let Decoded::Rows(change) = decoded else { continue };
            let mut rows = change.rows(&mut buffer);
            while let Some(row) = rows.next().unwrap() {
                row.after.iter().for_each(|image| visit(image, &mut sum));
            }
        }
    }
    sum
}

fn decode_with_mysql_common(log: &[u8]) -> Sum {
    let mut file = BinlogFile::new(BinlogVersion::Version4, log).unwrap();
    let mut sum = Sum::default();
    while let Some(event) = file.next() {
        let event = event.unwrap();
        let Some(EventData::RowsEvent(rows)) = event.read_data().unwrap() else { continue };
        let table = file.reader().get_tme(rows.table_id()).unwrap();
        for row in rows.rows(table) {
            let (_, after) = row.unwrap();
            sum.rows += 1;
            for value in after.unwrap().unwrap() {
                sum.values += 1;
                match value {
                    BinlogValue::Value(mysql_common::Value::Int(number)) => {
                        sum.integers = sum.integers.wrapping_add(number)
                    }
                    // DECIMAL comes as text too, so lengths are no figure to compare.
                    other => drop(black_box(other)),
                }
            }
        }
    }
    sum
}

fn rows(criterion: &mut Criterion) {
    let narrow = vec![Column::BigInt, Column::Int, Column::VarChar(40)];
    let wide = [Column::Int, Column::BigInt, Column::Double, Column::Decimal, Column::VarChar(100), Column::DateTime];
    for (shape, columns) in [("narrow", narrow), ("wide", wide.repeat(7))] {
        let (log, expected) = written(&columns);
        assert_eq!(decode(&log), expected);
        assert_eq!(decode_with_mysql_common(&log), Sum { text_bytes: 0, ..expected });
        let mut group = criterion.benchmark_group("decode/rows");
        group.throughput(Throughput::Bytes(log.len() as u64)).measurement_time(Duration::from_secs(5)).sample_size(20);
        group.bench_function(shape, |bencher| bencher.iter(|| decode(black_box(&log))));
        group.bench_function(format!("{shape}/mysql_common"), |bencher| {
            bencher.iter(|| decode_with_mysql_common(black_box(&log)))
        });
        group.finish();
    }
}

criterion_group!(benches, rows);
criterion_main!(benches);
