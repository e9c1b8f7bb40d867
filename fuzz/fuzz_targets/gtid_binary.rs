//! GTIDs in their binary forms: single ones, sets and lists. A set that was read is written and read again.
//!
//! Input: which event, and its body.
#![no_main]

use bluegreen::decode::Decoded;
use bluegreen::model::{Gtid, GtidPosition};
use bluegreen::testkit::{Event, Release, flag, kind};
use bluegreen_fuzz::{Input, Watched, log_with};
use libfuzzer_sys::fuzz_target;

fn decoded(release: Release, event: Event) -> Option<Vec<Decoded>> {
    let mut decoder = Watched::new(release);
    let log = log_with(release, [event]);
    log.frames().iter().map(|frame| decoder.push(frame.clone()).ok()).last().flatten()
}

fn previous(release: Release, event: Event) -> Option<GtidPosition> {
    decoded(release, event)?.into_iter().find_map(|part| match part {
        Decoded::Previous(position) => Some(position),
        _ => None,
    })
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let which = input.byte() % 6;
    let body = input.rest();
    let (release, kind) = match which {
        0 => (Release::MySql97, kind::PREVIOUS_GTIDS),
        1 => (Release::MariaDb118, kind::MARIADB_GTID_LIST),
        2 => (Release::MySql97, kind::GTID),
        3 => (Release::MySql97, kind::ANONYMOUS_GTID),
        4 => (Release::MySql97, kind::GTID_TAGGED),
        _ => (Release::MariaDb118, kind::MARIADB_GTID),
    };
    if which > 1 {
        for part in decoded(release, Event::raw(kind, 0, body)).into_iter().flatten() {
            let Decoded::Begin(begin) = part else { continue };
            let Some(gtid) = begin.gtid else { continue };
            let mut position = GtidPosition::empty(release.flavor());
            assert!(position.insert(&gtid), "a GTID of the other flavour");
            assert_eq!(GtidPosition::parse(release.flavor(), &gtid.to_string()), Ok(position), "{gtid}");
            assert_eq!(matches!(gtid, Gtid::MySql(_)), which < 5);
        }
        return;
    }
    let Some(position) = previous(release, Event::raw(kind, flag::IGNORABLE, body)) else { return };
    assert_eq!(GtidPosition::parse(release.flavor(), &position.to_string()).as_ref(), Ok(&position));
    assert_eq!(position.covers(&position), Some(true));
    let written = match &position {
        GtidPosition::MySql(set) => Event::previous_gtids(set),
        GtidPosition::MariaDb(list) => {
            let list: Vec<_> = list.iter().map(|gtid| (gtid.domain, gtid.server, gtid.sequence)).collect();
            Event::mariadb_gtid_list(&list)
        }
    };
    assert_eq!(previous(release, written), Some(position), "a set changes on its way");
});
