//! How fast do logged rows become values?
//!
//! ```text
//! cargo bench --bench decode
//! ```
//!
//! The log is the testkit's, the rows are made from a fixed seed. `mysql_common` reads the same bytes in the same run; it
//! does not check checksums, this library does.

use std::hint::black_box;
use std::time::Duration;

use bluegreen::decode::{DecimalBuffer, Decoded, Decoder, DecoderOptions, Image, RowBuffer, ValueRef};
use bluegreen::model::{Coordinates, Flavor, TemporalParts};
use bluegreen::source::file::FileSource;
use bluegreen::testkit::{Cell, ColumnSpec, ColumnType, Event, Gtid, LogWriter, Query, Release, Rows, TableMap};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mysql_common::binlog::BinlogFile;
use mysql_common::binlog::consts::BinlogVersion;
use mysql_common::binlog::events::EventData;
use mysql_common::binlog::value::BinlogValue;

const ROWS_IN_EVENT: u64 = 100;
const LOG_BYTES: usize = 4 << 20;

/// What all rows of a log add up to.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
struct Sum {
    rows: u64,
    values: u64,
    integers: i64,
    text_bytes: u64,
}

/// A random value of the column, which is counted.
fn random_cell(column: &ColumnType, seed: &mut u64, sum: &mut Sum) -> Cell {
    let random = next(seed);
    match column {
        ColumnType::Integer(4) => {
            let number = random as i32;
            sum.integers = sum.integers.wrapping_add(number.into());
            Cell::Int(number.into())
        }
        ColumnType::Integer(8) => {
            sum.integers = sum.integers.wrapping_add(random as i64);
            Cell::Int(random as i64)
        }
        ColumnType::Double => Cell::Double(random as f64),
        ColumnType::Decimal(12, 2) => {
            Cell::Decimal(format!("{}.{:02}", (random >> 8) % 10_000_000_000, (random >> 40) % 100))
        }
        ColumnType::VarChar(length) => {
            let length = random % (u64::from(*length) + 1);
            sum.text_bytes += length;
            Cell::Bytes((0..length).map(|index| b'a' + ((random >> (index % 32)) % 26) as u8).collect())
        }
        ColumnType::DateTime(6) => Cell::DateTime(TemporalParts {
            year: 2026,
            month: (random % 12) as u8 + 1,
            day: ((random >> 8) % 28) as u8 + 1,
            hour: ((random >> 16) % 24) as u16,
            minute: ((random >> 24) % 60) as u8,
            second: ((random >> 32) % 60) as u8,
            micros: ((random >> 40) % 1_000_000) as u32,
            ..TemporalParts::default()
        }),
        other => panic!("no values of {other:?} are made"),
    }
}

/// Xorshift: the same log in every run.
fn next(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

/// A log of one table's inserts.
fn written(columns: &[ColumnType]) -> (Vec<u8>, Sum) {
    let specs = columns.iter().map(|column| ColumnSpec::new(column.clone()).nullable()).collect();
    let table = TableMap::new(42, "shop", "orders", specs);
    let (mut log, mut sum, mut seed) = (LogWriter::new(Release::MySql97), Sum::default(), 0x5eed);
    while log.bytes().len() < LOG_BYTES {
        let mut rows = Rows::insert(&table);
        for _ in 0..ROWS_IN_EVENT {
            let mut cells = Vec::with_capacity(columns.len());
            for (index, column) in columns.iter().enumerate() {
                // Every eleventh value is NULL.
                cells.push(match index > 0 && next(&mut seed).is_multiple_of(11) {
                    true => Cell::Null,
                    false => random_cell(column, &mut seed, &mut sum),
                });
            }
            sum.rows += 1;
            sum.values += columns.len() as u64;
            rows = rows.row(&cells);
        }
        let gtid = Gtid::anonymous().clock(0, 1).committed_at(1_790_000_000_000_000, 1_790_000_000_000_000);
        log.transaction(
            gtid.versions(90_704, 90_704),
            &[Query::begin().into(), table.event(), rows.into(), Event::xid(7)],
        );
    }
    (log.bytes().to_vec(), sum)
}

fn visit(image: &Image<'_>, decimals: &mut DecimalBuffer, sum: &mut Sum) {
    sum.rows += 1;
    for value in image.iter() {
        let Some(value) = value.unwrap() else { continue };
        sum.values += 1;
        match value {
            ValueRef::Int(number) => sum.integers = sum.integers.wrapping_add(number),
            ValueRef::Bytes(bytes) => sum.text_bytes += bytes.len() as u64,
            ValueRef::Double(number) => _ = black_box(number),
            ValueRef::Decimal(decimal) => _ = black_box(decimal.ascii(decimals).unwrap().len()),
            ValueRef::DateTime(value) | ValueRef::Date(value) => _ = black_box(value.parts().unwrap().second),
            ValueRef::Timestamp(value) => _ = black_box(value.unix().unwrap()),
            ValueRef::Null => {}
            other => drop(black_box(format!("{other:?}"))),
        }
    }
}

fn decode(log: &[u8]) -> Sum {
    let mut decoder = Decoder::new(DecoderOptions::new(Flavor::MySql, Coordinates::new("bin.000001", 4)));
    let (mut sum, mut buffer, mut decimals) = (Sum::default(), RowBuffer::new(), DecimalBuffer::default());
    for frame in FileSource::new(log, "bin.000001").unwrap() {
        decoder.push(frame.unwrap()).unwrap();
        while let Some(decoded) = decoder.next().unwrap() {
            let Decoded::Rows(change) = decoded else { continue };
            let mut rows = change.rows(&mut buffer);
            while let Some(row) = rows.next().unwrap() {
                row.after.iter().for_each(|image| visit(image, &mut decimals, &mut sum));
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
    let (int, bigint, double, decimal) =
        (ColumnType::Integer(4), ColumnType::Integer(8), ColumnType::Double, ColumnType::Decimal(12, 2));
    let narrow = vec![bigint.clone(), int.clone(), ColumnType::VarChar(40)];
    let wide = [int, bigint, double, decimal, ColumnType::VarChar(100), ColumnType::DateTime(6)];
    for (shape, columns) in [("narrow", narrow), ("wide", wide.iter().cycle().take(42).cloned().collect())] {
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
