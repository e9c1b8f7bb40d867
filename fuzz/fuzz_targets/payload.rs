//! What is compressed: transactions of MySQL, statements, rows and columns of MariaDB, events in parts; and bombs.
//!
//! Input: which of them, and the bytes. Memory is the runner's to watch (`-malloc_limit_mb`): an event may unfold to a
//! megabyte, a zlib part to about a thousand times the input.
#![no_main]

use bluegreen::Result;
use bluegreen::decode::{Decoded, RowBuffer, Unfolder};
use bluegreen::model::Frame;
use bluegreen::testkit::{
    Cell, ColumnSpec, ColumnType, Event, MariaDbGtid, PayloadCompression, Query, Release, Rows, TableMap, kind,
};
use bluegreen_fuzz::{Input, Watched, expect_no_internal, log_with, options, visit};
use libfuzzer_sys::fuzz_target;

fn events(input: &mut Input<'_>) -> Vec<Event> {
    let mut events = Vec::new();
    while !input.is_empty() {
        events.push(Event::raw(input.byte(), 0, input.part()));
    }
    events
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let which = input.byte() % 8;
    let gtid = || Event::from(bluegreen::testkit::Gtid::anonymous());
    let group = || Event::from(MariaDbGtid::new(0, 1, 1));
    let map = |kind| TableMap::new(9, "s", "t", vec![ColumnSpec::new(kind)]);
    let log = match which {
        // A payload as it is: fields and folded bytes.
        0 => log_with(Release::MySql97, [gtid(), Event::raw(kind::TRANSACTION_PAYLOAD, 0, input.rest())]),
        // Right fields around anything that claims to be a frame of zstd.
        1 => {
            let promised = u64::from(input.short()) << 16;
            let folded = input.rest();
            let mut body = vec![2, 1, 0, 3, 9, 254];
            body.extend(promised.to_le_bytes());
            body.extend([1, 3, 252]);
            body.extend((folded.len() as u16).to_le_bytes());
            body.push(0);
            body.extend(folded);
            log_with(Release::MySql97, [gtid(), Event::raw(kind::TRANSACTION_PAYLOAD, 0, body)])
        }
        // Right payloads of any events.
        2 => {
            let payload = Event::transaction_payload(&events(&mut input), PayloadCompression::Zstd);
            log_with(Release::MySql97, [gtid(), payload])
        }
        3 => {
            let payload = Event::transaction_payload(&events(&mut input), PayloadCompression::None);
            log_with(Release::MySql97, [gtid(), payload])
        }
        // The rows of a compressed row event.
        4 => {
            let table = map(ColumnType::Blob(4));
            let head = [&[9, 0, 0, 0, 0, 0, 1, 0, 1, 1], input.rest()].concat();
            let rows = Event::raw(kind::WRITE_ROWS_COMPRESSED_V1, 0, head);
            log_with(Release::MariaDb118, [group(), table.event(), rows])
        }
        // The text of a compressed statement.
        5 => {
            let head = [[0; 14].as_slice(), input.rest()].concat();
            log_with(Release::MariaDb118, [group(), Event::raw(kind::QUERY_COMPRESSED, 0, head)])
        }
        // A compressed column.
        6 => {
            let table = map(ColumnType::BlobCompressed(4));
            let mut value = Vec::from((input.0.len() as u32).to_le_bytes());
            value.extend(input.rest());
            let rows = Rows::insert(&table).written_by(Release::MariaDb118).row(&[Cell::Raw(value)]);
            log_with(Release::MariaDb118, [group(), table.event(), rows.into()])
        }
        // Parts of an event.
        _ => {
            let mut all = vec![group()];
            while !input.is_empty() {
                all.push(Event::raw(kind::PARTIAL_ROW_DATA, 0, input.part()));
            }
            all.push(Query::commit().into());
            log_with(Release::MariaDb123, all)
        }
    };
    let release = match which {
        0..=3 => Release::MySql97,
        4..=6 => Release::MariaDb118,
        _ => Release::MariaDb123,
    };
    let (mut decoder, mut buffer) = (Watched::new(release), RowBuffer::new());
    let mut unfolder = Unfolder::new(&options(release));
    for frame in log.frames() {
        let parts = decoder.push(frame.clone());
        // Apart, the unfolder takes all that the decoder takes.
        let unfolded = unfold(&mut unfolder, frame.clone()).inspect_err(expect_no_internal);
        assert!(parts.is_err() || unfolded.is_ok(), "an unfolder apart refuses what the one inside takes");
        for part in parts.into_iter().flatten() {
            if let Decoded::Rows(change) = part {
                let _ = visit(&change, &mut buffer);
            }
        }
    }
});

fn unfold(unfolder: &mut Unfolder, frame: Frame) -> Result<()> {
    unfolder.push(frame)?;
    while unfolder.next()?.is_some() {}
    Ok(())
}
