//! DECIMAL: any bytes of any type are an error or a number, and what is printed is written as the same bytes.
//!
//! Input: precision, scale, and the bytes of one value.
#![no_main]

use bluegreen::decode::{DecimalBuffer, Decoded, RowBuffer, ValueRef};
use bluegreen::testkit::{Cell, ColumnSpec, ColumnType, Event, Query, Release, Rows, TableMap};
use bluegreen_fuzz::{Input, Watched, log_with, visit};
use libfuzzer_sys::fuzz_target;

fn decoded(table: &TableMap, cell: Cell, mut with: impl FnMut(ValueRef<'_>)) {
    let rows: Event = Rows::insert(table).row(&[cell]).into();
    let log = log_with(Release::MySql97, [Query::begin().into(), table.event(), rows]);
    let (mut decoder, mut buffer) = (Watched::new(Release::MySql97), RowBuffer::new());
    for frame in log.frames() {
        for part in decoder.push(frame.clone()).into_iter().flatten() {
            let Decoded::Rows(change) = part else { continue };
            if visit(&change, &mut buffer).is_err() {
                continue;
            }
            let mut rows = change.rows(&mut buffer);
            let row = rows.next().expect("it was visited").expect("there is a row");
            if let Ok(Some(value)) = row.after.expect("a row was inserted").get(0) {
                with(value);
            }
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let (precision, scale) = (input.byte(), input.byte());
    let bytes = input.rest();
    let table = TableMap::new(9, "s", "t", vec![ColumnSpec::new(ColumnType::Decimal(precision, scale))]);
    let mut printed = None;
    decoded(&table, Cell::Raw(bytes.to_vec()), |value| {
        let ValueRef::Decimal(decimal) = value else { panic!("expected a DECIMAL") };
        assert_eq!(decimal.precision_and_scale(), (precision, scale));
        printed = decimal.text(&mut DecimalBuffer::default()).ok().map(str::to_owned);
    });
    let Some(printed) = printed else { return };
    let mut again = None;
    decoded(&table, Cell::Decimal(printed.clone()), |value| {
        let ValueRef::Decimal(decimal) = value else { panic!("expected a DECIMAL") };
        again = decimal.text(&mut DecimalBuffer::default()).ok().map(str::to_owned);
    });
    assert_eq!(again, Some(printed), "DECIMAL({precision},{scale})");
});
