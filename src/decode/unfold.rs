//! Frames to events: the first half of decoding, for a thread of its own where one is free.
//!
//! # Invariants
//! 1. Every event with a checksum is checked before its body is read.
//! 2. Events come in the log's order; those of a compressed transaction one by one, with the place of their payload.
//! 3. After an error nothing more comes.

use std::sync::Arc;

use bytes::Bytes;

use super::DecoderOptions;
use super::checksum::Checksum;
use super::cursor::Cursor;
use super::event::format_description::FormatDescription;
use super::event::fragment::Fragments;
use super::event::heartbeat::{self, Offset};
use super::event::payload::Payload;
use super::event::{self, Event, kind};
use super::fault::{Stopped, corrupt, unsupported};
use super::header::Header;
use crate::error::{Error, Result};
use crate::model::{Coordinates, Flavor, Frame};

/// Frames of one stream to [`Event`]s: checks checksums, keeps count of the place in the log, unfolds compressed
/// transactions. A [`Decoder`](super::Decoder) has one inside; use it apart to unfold and to decode on two threads, with
/// [`Decoder::push_event`](super::Decoder::push_event).
#[derive(Debug)]
pub struct Unfolder {
    flavor: Flavor,
    max_event_bytes: u64,
    coordinates: Coordinates,
    checksum: Checksum,
    fragments: Fragments,
    payload: Payload,
    /// The payload event that is open.
    outer: Option<Event>,
    stopped: Option<Stopped>,
}

impl Unfolder {
    /// An unfolder of a stream's first frame on.
    pub fn new(options: &DecoderOptions) -> Unfolder {
        Unfolder {
            flavor: options.flavor,
            max_event_bytes: options.max_event_bytes,
            coordinates: options.start.clone(),
            checksum: if options.initial_checksum { Checksum::Crc32 } else { Checksum::Off },
            fragments: Fragments::default(),
            payload: Payload::default(),
            outer: None,
            stopped: None,
        }
    }

    /// Takes the next frame, in log order, and gives its first event; the others come by [`Unfolder::next`].
    ///
    /// # Errors
    /// `Corrupt`: bytes that no server writes, a checksum that does not match, a lost frame. `Unsupported`: a log that
    /// is not handled. `Limit`: an event above the bound. `Internal`: events of the frame before are left.
    pub fn push(&mut self, frame: Frame) -> Result<Option<Event>> {
        if let Some(stopped) = &self.stopped {
            return Err(stopped.again());
        }
        if self.outer.is_some() {
            return Err(Error::internal("a frame was pushed before all events of the last one were taken"));
        }
        match self.take(frame) {
            Ok(event) => Ok(event),
            Err(error) => Err(self.stop(error)),
        }
    }

    /// The next event of the frame; `None` where the next frame is wanted.
    ///
    /// # Errors
    /// As [`Unfolder::push`].
    #[expect(clippy::should_implement_trait, reason = "an end is not the end: another frame may be pushed")]
    #[inline]
    pub fn next(&mut self) -> Result<Option<Event>> {
        if self.outer.is_none() && self.stopped.is_none() { Ok(None) } else { self.next_inner() }
    }

    fn next_inner(&mut self) -> Result<Option<Event>> {
        if let Some(stopped) = &self.stopped {
            return Err(stopped.again());
        }
        let Some(outer) = &self.outer else { return Ok(None) };
        let bytes = self.payload.next(self.max_event_bytes);
        let inner = bytes.and_then(|bytes| Event::inner(bytes, outer, !self.payload.is_open()));
        let inner = inner.map_err(|error| outer.locate(error));
        if !self.payload.is_open() {
            self.outer = None;
        }
        match inner {
            Ok(event) => Ok(Some(event)),
            Err(error) => Err(self.stop(error)),
        }
    }

    /// Remembers an error: nothing more comes (invariant 3).
    #[cold]
    fn stop(&mut self, error: Error) -> Error {
        self.stopped = Some(Stopped::by(&error));
        error
    }

    fn take(&mut self, frame: Frame) -> Result<Option<Event>> {
        let event = self.event(frame.bytes)?;
        if self.fragments.is_open() && event.kind() != kind::PARTIAL_ROW_DATA {
            return Err(event.locate(corrupt("expected the next part of an event, found another event")));
        }
        match event.kind() {
            kind::TRANSACTION_PAYLOAD => {
                self.only_from(Flavor::MySql, &event)?;
                self.payload.open(event.bytes(), &mut event.body()).map_err(|error| event.locate(error))?;
                self.outer = Some(event);
                self.next_inner()
            }
            kind::PARTIAL_ROW_DATA => {
                self.only_from(Flavor::MariaDb, &event)?;
                let whole = self.fragments.push(&mut event.body(), self.max_event_bytes);
                let whole = whole.and_then(|whole| whole.map(|whole| Event::inner(whole, &event, true)).transpose());
                whole.map_err(|error| event.locate(error))
            }
            _ => Ok(Some(event)),
        }
    }

    fn only_from(&self, flavor: Flavor, event: &Event) -> Result<()> {
        if self.flavor == flavor {
            return Ok(());
        }
        Err(event.locate(event::of_other_flavor(event.kind(), self.flavor)))
    }

    fn event(&mut self, bytes: Bytes) -> Result<Event> {
        let mut cursor = Cursor::new(&bytes);
        let at_running = |error: Error| error.at(|place| place.coordinates = Some(self.coordinates.clone()));
        let header = Header::read(&mut cursor).map_err(at_running)?;
        let named = |error: Error| at_running(error).at(|place| place.event = Some(event::name_of(header.kind)));
        let found = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if u64::from(header.size) != found {
            let message = format!("expected an event of {} bytes, found {found} bytes", header.size);
            return Err(named(corrupt(message)));
        }
        let checksum = self.strip_checksum(&bytes, &header, &mut cursor).map_err(named)?;
        let body_end = cursor.offset().saturating_add(cursor.remaining());
        let (start, end) = self.place(&header).map_err(named)?;
        let file = Arc::clone(&self.coordinates.file);
        let event = Event::new(header, bytes, body_end, Coordinates::new(file, start), end);
        self.follow(&event, checksum).map_err(|error| event.locate(error))?;
        Ok(event)
    }

    /// Checks and removes the checksum. A format description says itself which one it has, and all events behind it.
    fn strip_checksum(&self, event: &Bytes, header: &Header, cursor: &mut Cursor<'_>) -> Result<Option<Checksum>> {
        match header.kind {
            kind::START_V3 => Err(unsupported("the log is of a server before 5.0")),
            kind::FORMAT_DESCRIPTION => {
                let format = FormatDescription::read(&mut cursor.clone())?;
                // Without checksums in use the bytes are there, but a server that changes the event for a dump leaves
                // them as they were.
                format.checksum.strip(event, cursor)?;
                Ok(Some(format.checksum))
            }
            _ => {
                self.checksum.strip(event, cursor)?;
                Ok(None)
            }
        }
    }

    /// Where the event stands, see the module `decode` on coordinates.
    fn place(&self, header: &Header) -> Result<(u64, u64)> {
        let running = self.coordinates.offset;
        if header.is_artificial() || matches!(header.kind, kind::HEARTBEAT | kind::HEARTBEAT_V2) {
            return Ok((running, running));
        }
        let size = u64::from(header.size);
        let expected = running.saturating_add(size);
        let end = match header.log_position {
            0 => expected,
            low => forward(expected, low).ok_or_else(|| {
                corrupt(format!("expected an event that ends at {expected}, found one that ends at {low}"))
            })?,
        };
        Ok((end.saturating_sub(size), end))
    }

    /// Moves with the event: to its end, or where it says that the log goes on.
    fn follow(&mut self, event: &Event, checksum: Option<Checksum>) -> Result<()> {
        match event.kind() {
            kind::ROTATE => self.coordinates = event::rotate::read(&mut event.body())?,
            kind::HEARTBEAT | kind::HEARTBEAT_V2 => {
                self.coordinates.offset = heartbeat_offset(event, &self.coordinates, self.flavor)?;
            }
            _ => self.coordinates.offset = event.end(),
        }
        if let Some(checksum) = checksum {
            self.checksum = checksum;
        }
        Ok(())
    }
}

/// Where a heartbeat says that the source is, behind `running`.
pub(super) fn heartbeat_offset(event: &Event, running: &Coordinates, flavor: Flavor) -> Result<u64> {
    let (file, offset) = heartbeat::read(&mut event.body(), event.header(), flavor)?;
    if !running.file.is_empty() && *file != *running.file {
        return Err(corrupt("a heartbeat names another log file than the stream is in"));
    }
    let offset = match offset {
        Offset::Whole(offset) => Some(offset).filter(|offset| *offset >= running.offset),
        Offset::Low(low) => forward(running.offset, low),
    };
    offset.ok_or_else(|| corrupt("a heartbeat names a place before the stream's"))
}

/// The smallest number from `from` on with these low 32 bits, if it is less than 2 GiB away.
fn forward(from: u64, low: u32) -> Option<u64> {
    let distance = u64::from(low).wrapping_sub(from) & u64::from(u32::MAX);
    if distance < 1 << 31 { from.checked_add(distance) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behind_an_error_within_a_payload_comes_that_error_again() {
        use crate::ErrorKind;
        use crate::testkit::{Checksum, Event, LogWriter, PayloadCompression, Release};
        // An event within that claims to be longer than the bound.
        let long = Event::raw(super::kind::QUERY, 0, vec![0; 100]);
        let events = [Event::xid(1), long, Event::xid(2)];
        let mut log = LogWriter::with_checksum(Release::MySql97, Checksum::None);
        log.write(Event::transaction_payload(&events, PayloadCompression::None)).write(Event::xid(3));
        let [head, payload, after] = log.frames() else { panic!("three frames") };
        let mut options = DecoderOptions::new(Flavor::MySql, Coordinates::new("bin.000001", 4));
        options.max_event_bytes = 50;
        let mut unfolder = Unfolder::new(&options);
        assert!(unfolder.push(head.clone()).unwrap().is_some());
        assert!(unfolder.push(payload.clone()).unwrap().is_some());
        assert_eq!(unfolder.next().unwrap_err().kind(), ErrorKind::Limit);
        assert_eq!(unfolder.next().unwrap_err().kind(), ErrorKind::Limit);
        assert_eq!(unfolder.push(after.clone()).unwrap_err().kind(), ErrorKind::Limit);
    }

    #[test]
    fn positions_wrap_forward_only() {
        assert_eq!(forward(100, 100), Some(100));
        assert_eq!(forward(100, 150), Some(150));
        assert_eq!(forward(100, 99), None);
        assert_eq!(forward(0xffff_fff0, 16), Some(0x1_0000_0010));
        assert_eq!(forward(0x1_0000_0000, 5), Some(0x1_0000_0005));
    }
}
