//! GTID, ANONYMOUS_GTID, GTID_TAGGED_LOG and PREVIOUS_GTIDS of MySQL (MySQL source,
//! `libs/mysql/binlog/event/control_events.h`, `Gtid_event`, and `.cpp`; `sql/rpl_gtid_set.cc`, `Gtid_set::encode`;
//! the tagged form: `libs/mysql/serialization`).

use super::event::{Event, flag};
use super::{encode, kind};
use crate::model::GtidSet;

/// Mark of the logical clock.
const LOGICAL_CLOCK: u8 = 2;
/// In the immediate commit time: the original one follows.
const HAS_ORIGINAL_TIME: u64 = 1 << 55;
/// In the immediate version: the original one follows.
const HAS_ORIGINAL_VERSION: u32 = 1 << 31;

/// A transaction's start on MySQL, which becomes an [`Event`].
///
/// Each generation of servers writes more behind what the ones before it wrote. So a part is written only if all in front
/// of it are given: clock (5.7.5), commit times and length (8.0.2), versions (8.0.14), ticket (group replication alone). A tagged one
/// (8.3) writes all but the ticket always.
#[derive(Debug, Clone, Default)]
pub struct Gtid {
    origin: Option<([u8; 16], String, u64)>,
    has_statements: bool,
    clock: Option<(i64, i64)>,
    times: Option<(u64, u64)>,
    length: Option<u64>,
    versions: Option<(u32, u32)>,
    ticket: Option<u64>,
}

impl Gtid {
    /// A GTID as 5.6 wrote it: UUID and number alone.
    pub fn new(uuid: [u8; 16], number: u64) -> Gtid {
        Gtid { origin: Some((uuid, String::new(), number)), ..Gtid::default() }
    }

    /// The start of a transaction without a GTID.
    pub fn anonymous() -> Gtid {
        Gtid::default()
    }

    /// Gives the GTID a tag, which makes it a GTID_TAGGED_LOG.
    ///
    /// # Panics
    /// Where it is anonymous.
    #[must_use]
    pub fn tag(mut self, tag: &str) -> Gtid {
        tag.clone_into(&mut self.origin.as_mut().expect("an anonymous transaction has no tag").1);
        self
    }

    /// Says that the transaction may have statements in place of rows.
    #[must_use]
    pub fn with_statements(self) -> Gtid {
        Gtid { has_statements: true, ..self }
    }

    /// The logical clock: `last_committed` and `sequence_number`.
    #[must_use]
    pub fn clock(self, last_committed: i64, sequence_number: i64) -> Gtid {
        Gtid { clock: Some((last_committed, sequence_number)), ..self }
    }

    /// When this server and the original one committed, in microseconds since 1970.
    #[must_use]
    pub fn committed_at(self, immediate: u64, original: u64) -> Gtid {
        Gtid { times: Some((immediate, original)), ..self }
    }

    /// The bytes of the whole transaction, this event and checksums included.
    #[must_use]
    pub fn length(self, bytes: u64) -> Gtid {
        Gtid { length: Some(bytes), ..self }
    }

    /// The versions of this server and the original one, such as 90704 for 9.7.4.
    #[must_use]
    pub fn versions(self, immediate: u32, original: u32) -> Gtid {
        Gtid { versions: Some((immediate, original)), ..self }
    }

    /// The ticket of the commit group.
    #[must_use]
    pub fn ticket(self, ticket: u64) -> Gtid {
        Gtid { ticket: Some(ticket), ..self }
    }

    /// The event, with the transaction's length set by what `measure` makes of the event itself. Only where the event has
    /// commit times is there a place for it.
    pub(super) fn with_length_of(self, measure: impl Fn(&Event) -> u64) -> Event {
        if self.times.is_none() || self.length.is_some() {
            return self.into();
        }
        let mut length = 0;
        loop {
            let event = Event::from(self.clone().length(length));
            let measured = measure(&event);
            // The length's own bytes are part of the length.
            if measured == length {
                return event;
            }
            length = measured;
        }
    }
}

impl From<Gtid> for Event {
    fn from(gtid: Gtid) -> Event {
        let flags = u8::from(gtid.has_statements);
        match &gtid.origin {
            Some((uuid, tag, number)) if !tag.is_empty() => {
                Event::raw(kind::GTID_TAGGED, 0, tagged(&gtid, *uuid, tag, *number))
            }
            Some((uuid, _, number)) => Event::raw(kind::GTID, 0, plain(&gtid, flags, *uuid, *number)),
            None => Event::raw(kind::ANONYMOUS_GTID, 0, plain(&gtid, flags, [0; 16], 0)),
        }
    }
}

fn plain(gtid: &Gtid, flags: u8, uuid: [u8; 16], number: u64) -> Vec<u8> {
    let mut body = vec![flags];
    body.extend(uuid);
    body.extend(number.to_le_bytes());
    let Some((last_committed, sequence_number)) = gtid.clock else { return body };
    body.push(LOGICAL_CLOCK);
    body.extend(last_committed.to_le_bytes());
    body.extend(sequence_number.to_le_bytes());
    let Some((immediate, original)) = gtid.times else { return body };
    if immediate == original {
        encode::le(&mut body, immediate, 7);
    } else {
        encode::le(&mut body, immediate | HAS_ORIGINAL_TIME, 7);
        encode::le(&mut body, original, 7);
    }
    encode::packed(&mut body, gtid.length.unwrap_or_default());
    let Some((immediate, original)) = gtid.versions else { return body };
    if immediate == original {
        body.extend(immediate.to_le_bytes());
    } else {
        body.extend((immediate | HAS_ORIGINAL_VERSION).to_le_bytes());
        body.extend(original.to_le_bytes());
    }
    body.extend(gtid.ticket.map(u64::to_le_bytes).into_iter().flatten());
    body
}

/// All fields have a number in front, in the order in which the server declares them.
fn tagged(gtid: &Gtid, uuid: [u8; 16], tag: &str, number: u64) -> Vec<u8> {
    const VERSION: u64 = 1;
    const LAST_REQUIRED_FIELD: u64 = 0;
    let (last_committed, sequence_number) = gtid.clock.unwrap_or_default();
    let (immediate_time, original_time) = gtid.times.unwrap_or_default();
    let (immediate_version, original_version) = gtid.versions.unwrap_or_default();
    let mut fields = Vec::new();
    let mut field = |number: u64, values: &[u64]| {
        variable(&mut fields, number);
        values.iter().for_each(|value| variable(&mut fields, *value));
    };
    field(0, &[u64::from(gtid.has_statements)]);
    field(1, &uuid.map(u64::from));
    field(2, &[signed(number.cast_signed())]);
    field(3, &[tag.len() as u64]);
    fields.extend(tag.as_bytes());
    let mut field = |number: u64, value: u64| {
        variable(&mut fields, number);
        variable(&mut fields, value);
    };
    field(4, signed(last_committed));
    field(5, signed(sequence_number));
    field(6, immediate_time);
    if original_time != immediate_time {
        field(7, original_time);
    }
    field(8, gtid.length.unwrap_or_default());
    field(9, u64::from(immediate_version));
    if original_version != immediate_version {
        field(10, u64::from(original_version));
    }
    if let Some(ticket) = gtid.ticket {
        field(11, ticket);
    }

    // The size covers itself.
    let mut size = 0;
    loop {
        let mut out = Vec::new();
        variable(&mut out, VERSION);
        variable(&mut out, size);
        variable(&mut out, LAST_REQUIRED_FIELD);
        out.extend(&fields);
        if out.len() as u64 == size {
            return out;
        }
        size = out.len() as u64;
    }
}

/// An integer of 1 to 9 bytes: the count of low one-bits in the first byte is the count of bytes that follow.
fn variable(out: &mut Vec<u8>, number: u64) {
    let width = (64 - number.leading_zeros()).max(1).div_ceil(7);
    if width > 8 {
        out.push(0xff);
        out.extend(number.to_le_bytes());
    } else {
        encode::le(out, number << width | ((1 << (width - 1)) - 1), width as usize);
    }
}

/// A number whose lowest bit is its sign.
fn signed(number: i64) -> u64 {
    let magnitude = if number < 0 { !number } else { number };
    magnitude.cast_unsigned() << 1 | u64::from(number < 0)
}

impl Event {
    /// PREVIOUS_GTIDS: what all earlier logs hold. A set with tags is written as servers since 8.3 do, without tags as all
    /// do.
    pub fn previous_gtids(set: &GtidSet) -> Event {
        let is_tagged = set.iter().any(|(_, tag, _)| !tag.is_empty());
        let count = set.iter().count() as u64;
        let mut body = Vec::new();
        // The tagged form says so in the highest byte and in the lowest one.
        body.extend(if is_tagged { 1 << 56 | count << 8 | 1 } else { count }.to_le_bytes());
        for (uuid, tag, intervals) in set.iter() {
            body.extend(uuid);
            if is_tagged {
                variable(&mut body, tag.len() as u64);
                body.extend(tag.as_bytes());
            }
            body.extend((intervals.len() as u64).to_le_bytes());
            for (first, last) in intervals {
                body.extend(first.to_le_bytes());
                body.extend((last + 1).to_le_bytes());
            }
        }
        Event::raw(kind::PREVIOUS_GTIDS, flag::IGNORABLE, body)
    }
}
