//! Rows under an arbitrary table map, every value read.
//!
//! Input: the release, which row event, the length of the columns' description in two bytes, the description as in
//! TABLE_MAP behind the names, and the row event behind its extra data.
#![no_main]

use bluegreen::decode::{Decoded, RowBuffer};
use bluegreen::model::ChangeKind;
use bluegreen::testkit::{Event, MariaDbGtid, Query, kind};
use bluegreen_fuzz::{Input, Watched, log_with, visit};
use libfuzzer_sys::fuzz_target;

const ID: &[u8] = &[9, 0, 0, 0, 0, 0];
/// Two bytes of flags: the last of its statement.
const FLAGS: &[u8] = &[1, 0];
/// The extra data's length, which counts itself.
const NO_EXTRA: &[u8] = &[2, 0];
const KINDS: [u8; 13] = [23, 24, 25, 30, 31, 32, 39, 166, 167, 168, 169, 170, 171];

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let release = input.release();
    let kind = KINDS[usize::from(input.byte()) % KINDS.len()];
    let map = [ID, &[0, 0], b"\x01s\0\x01t\0", input.part()].concat();
    let is_first_version = matches!(kind, 23..=25 | 166..=168);
    let extra: &[u8] = if is_first_version { &[] } else { NO_EXTRA };
    let rows = [ID, FLAGS, extra, input.rest()].concat();
    let begin = match release.flavor() {
        bluegreen::model::Flavor::MySql => Query::begin().into(),
        bluegreen::model::Flavor::MariaDb => MariaDbGtid::new(0, 1, 1).into(),
    };
    let log = log_with(release, [begin, Event::raw(kind::TABLE_MAP, 0, map), Event::raw(kind, 0, rows)]);
    let (mut decoder, mut buffer) = (Watched::new(release), RowBuffer::new());
    for frame in log.frames() {
        for part in decoder.push(frame.clone()).into_iter().flatten() {
            let Decoded::Rows(change) = part else { continue };
            let count = visit(&change, &mut buffer);
            // The number of rows does not depend on what was in the buffer, and images are what the kind says.
            assert_eq!(change.row_count(&mut RowBuffer::new()).ok(), count.ok());
            let mut rows = change.rows(&mut buffer);
            if let Ok(Some(row)) = rows.next() {
                assert_eq!(row.before.is_none(), change.kind == ChangeKind::Insert);
                assert_eq!(row.after.is_none(), change.kind == ChangeKind::Delete);
            }
        }
    }
});
