//! Rows under an arbitrary table map, every value read, with a buffer that other events have used.
//!
//! Input: the release and how many digits undescribed columns have, the length of the columns' description in two bytes,
//! the description as in TABLE_MAP behind the names, and row events: which one, its length behind the extra data in two
//! bytes, and so many bytes.
#![no_main]

use bluegreen::decode::{Decoded, Row, RowBuffer, RowsChange};
use bluegreen::model::{ChangeKind, Flavor, TableName, Value};
use bluegreen::testkit::{Event, MariaDbGtid, Query, Release, kind};
use bluegreen_fuzz::{Input, Watched, log_with, options, visit};
use libfuzzer_sys::fuzz_target;

const ID: &[u8] = &[9, 0, 0, 0, 0, 0];
/// Two bytes of flags: more of the statement follows.
const FLAGS: &[u8] = &[0, 0];
/// The extra data's length, which counts itself.
const NO_EXTRA: &[u8] = &[2, 0];
const KINDS: [u8; 13] = [23, 24, 25, 30, 31, 32, 39, 166, 167, 168, 169, 170, 171];

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let first = usize::from(input.byte());
    let release = Release::ALL[first % Release::ALL.len()];
    let mut options = options(release);
    // Columns of MariaDB's own temporal format have so many digits behind the second; from 7 on nothing says.
    let digits = (first / Release::ALL.len()) as u8;
    (0..8).filter(|_| digits < 7).for_each(|column| options.declare_fraction(TableName::new("s", "t"), column, digits));
    let begin = match release.flavor() {
        Flavor::MySql => Query::begin().into(),
        Flavor::MariaDb => MariaDbGtid::new(0, 1, 1).into(),
    };
    let map = [ID, &[0, 0], b"\x01s\0\x01t\0", input.part()].concat();
    let mut events = vec![begin, Event::raw(kind::TABLE_MAP, 0, map)];
    while !input.is_empty() {
        let kind = KINDS[usize::from(input.byte()) % KINDS.len()];
        let is_first_version = matches!(kind, 23..=25 | 166..=168);
        let extra = if is_first_version { &[] } else { NO_EXTRA };
        events.push(Event::raw(kind, 0, [ID, FLAGS, extra, input.part()].concat()));
    }
    let (mut decoder, mut used) = (Watched::with(options), RowBuffer::new());
    for frame in log_with(release, events).frames() {
        for part in decoder.push(frame.clone()).into_iter().flatten() {
            let Decoded::Rows(change) = part else { continue };
            compare(&change, &mut used);
            let count = visit(&change, &mut used);
            assert_eq!(change.row_count(&mut used).ok(), count.ok());
        }
    }
});

type Images = [Option<Vec<Option<Value>>>; 2];

fn images(row: &Row<'_>) -> Images {
    [row.before, row.after].map(|image| image.and_then(|image| image.to_values().ok()))
}

/// What was in the buffer makes no difference, and images are what the kind says.
fn compare(change: &RowsChange, used: &mut RowBuffer) {
    let mut fresh = RowBuffer::new();
    let (mut one, mut other) = (change.rows(&mut fresh), change.rows(used));
    loop {
        match (one.next(), other.next()) {
            (Ok(Some(one)), Ok(Some(other))) => {
                assert_eq!(one.before.is_none(), change.kind == ChangeKind::Insert);
                assert_eq!(one.after.is_none(), change.kind == ChangeKind::Delete);
                let (one, other) = (images(&one), images(&other));
                assert!(one == other || one != one.clone(), "what was in the buffer makes a difference");
            }
            (Ok(None), Ok(None)) | (Err(_), Err(_)) => return,
            _ => panic!("what was in the buffer makes a difference"),
        }
    }
}
