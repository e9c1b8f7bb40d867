//! Frames to events: the first half of decoding, for a thread of its own where one is free.
//!
//! # Invariants
//! 1. Every event with a checksum is checked before its body is read.
//! 2. Events come in the log's order; those of a compressed transaction one by one, with the place of their payload.
//! 3. After an error nothing more comes.

use std::sync::Arc;

use bytes::Bytes;
use crc32fast::Hasher;

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
    hasher: Hasher,
    fragments: Fragments,
    payload: Payload,
    /// Where the payload that is open starts and ends.
    outer: Option<(u64, u64)>,
    /// The last event. A frame's bytes stand in it from the start on.
    event: Event,
    is_given: bool,
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
            hasher: Hasher::new(),
            fragments: Fragments::default(),
            payload: Payload::default(),
            outer: None,
            event: Event::none(),
            is_given: false,
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
        self.give(frame);
        self.next()
    }

    /// The next event of the frame; `None` where the next frame is wanted.
    ///
    /// # Errors
    /// As [`Unfolder::push`].
    #[expect(clippy::should_implement_trait, reason = "an end is not the end: another frame may be pushed")]
    pub fn next(&mut self) -> Result<Option<Event>> {
        Ok(self.unfold()?.then(|| std::mem::replace(&mut self.event, Event::none())))
    }

    /// Takes the next frame, once [`Unfolder::unfold`] found no more in the one before.
    #[inline]
    pub(super) fn give(&mut self, frame: Frame) {
        self.event.set_bytes(frame.bytes);
        self.is_given = true;
    }

    /// Whether there may be events that were not taken.
    #[inline]
    pub(super) fn is_busy(&self) -> bool {
        self.is_given || self.outer.is_some()
    }

    /// As [`Unfolder::next`]: whether there is an event, which [`Unfolder::event`] lends.
    #[inline]
    pub(super) fn unfold(&mut self) -> Result<bool> {
        if !self.is_busy() && self.stopped.is_none() { Ok(false) } else { self.unfold_next() }
    }

    fn unfold_next(&mut self) -> Result<bool> {
        if let Some(stopped) = &self.stopped {
            return Err(stopped.again());
        }
        let unfolded = if std::mem::take(&mut self.is_given) { self.unfold_first() } else { self.unfold_inner() };
        unfolded.map_err(|error| self.stop(error))
    }

    /// The event that was unfolded last.
    #[inline]
    pub(super) fn event(&mut self) -> &mut Event {
        &mut self.event
    }

    fn unfold_inner(&mut self) -> Result<bool> {
        let Some((start, end)) = self.outer else { return Ok(false) };
        let bytes = self.payload.next(self.max_event_bytes);
        let is_last = !self.payload.is_open();
        if is_last {
            self.outer = None;
        }
        match bytes.and_then(|bytes| self.event.set_inner(bytes, start, end, is_last)) {
            Ok(()) => Ok(true),
            Err(error) => Err(error.at(|place| {
                let file = Arc::clone(&self.coordinates.file);
                place.coordinates.get_or_insert_with(|| Coordinates::new(file, start));
                place.event.get_or_insert_with(|| event::name_of(kind::TRANSACTION_PAYLOAD));
            })),
        }
    }

    /// Remembers an error: nothing more comes (invariant 3).
    #[cold]
    fn stop(&mut self, error: Error) -> Error {
        self.stopped = Some(Stopped::by(&error));
        error
    }

    #[inline(always)]
    fn unfold_first(&mut self) -> Result<bool> {
        self.read()?;
        let kind = self.event.kind();
        if self.fragments.is_open() || matches!(kind, kind::TRANSACTION_PAYLOAD | kind::PARTIAL_ROW_DATA) {
            return self.open(kind);
        }
        Ok(true)
    }

    /// An event that holds others, or a part of one.
    fn open(&mut self, kind: u8) -> Result<bool> {
        let opened = match kind {
            kind::PARTIAL_ROW_DATA => self.add_fragment(),
            _ if self.fragments.is_open() => Err(corrupt("expected the next part of an event, found another event")),
            _ => self.open_payload().map(|()| true),
        };
        let has_more = opened.map_err(|error| self.event.locate(&self.coordinates.file, error))?;
        if self.outer.is_some() { self.unfold_inner() } else { Ok(has_more) }
    }

    fn open_payload(&mut self) -> Result<()> {
        self.only_from(Flavor::MySql)?;
        self.payload.open(self.event.bytes(), &mut self.event.body())?;
        self.outer = Some((self.event.start(), self.event.end()));
        Ok(())
    }

    fn add_fragment(&mut self) -> Result<bool> {
        self.only_from(Flavor::MariaDb)?;
        let whole = self.fragments.push(&mut self.event.body(), self.max_event_bytes)?;
        let Some(whole) = whole else { return Ok(false) };
        let (start, end) = (self.event.start(), self.event.end());
        self.event.set_inner(whole, start, end, true).map(|()| true)
    }

    fn only_from(&self, flavor: Flavor) -> Result<()> {
        if self.flavor == flavor {
            return Ok(());
        }
        Err(event::of_other_flavor(self.event.kind(), self.flavor))
    }

    /// Reads the event that the log has next up to its body.
    #[inline(always)]
    fn read(&mut self) -> Result<()> {
        let bytes = self.event.bytes();
        let mut cursor = Cursor::new(bytes);
        let header = match Header::read(&mut cursor) {
            Ok(header) => header,
            Err(error) => return Err(self.at_running(error)),
        };
        let found = match self.check(bytes, &header, &mut cursor) {
            Ok(found) => found,
            Err(error) => {
                let error = self.at_running(error);
                return Err(error.at(|place| place.event = Some(event::name_of(header.kind))));
            }
        };
        let body_end = cursor.offset().saturating_add(cursor.remaining());
        self.event.set(header, body_end, found.start, found.end);
        self.follow(found.checksum).map_err(|error| self.event.locate(&self.coordinates.file, error))
    }

    #[cold]
    fn at_running(&self, error: Error) -> Error {
        error.at(|place| place.coordinates = Some(self.coordinates.clone()))
    }

    /// Checks length and checksum, which is taken off the cursor, and the event's place.
    #[inline(always)]
    fn check(&self, bytes: &Bytes, header: &Header, cursor: &mut Cursor<'_>) -> Result<Found> {
        let found = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if u64::from(header.size) != found {
            return Err(corrupt(format!("expected an event of {} bytes, found {found} bytes", header.size)));
        }
        let checksum = self.strip_checksum(bytes, header, cursor)?;
        let (start, end) = self.place(header)?;
        Ok(Found { checksum, start, end })
    }

    /// Checks and removes the checksum. A format description says itself which one it has, and all events behind it.
    #[inline(always)]
    fn strip_checksum(&self, event: &Bytes, header: &Header, cursor: &mut Cursor<'_>) -> Result<Option<Checksum>> {
        match header.kind {
            kind::START_V3 => Err(unsupported("the log is of a server before 5.0")),
            kind::FORMAT_DESCRIPTION => {
                let format = FormatDescription::read(&mut cursor.clone())?;
                // Without checksums in use the bytes are there, but a server that changes the event for a dump leaves
                // them as they were.
                format.checksum.strip(event, cursor, &self.hasher)?;
                Ok(Some(format.checksum))
            }
            _ => {
                self.checksum.strip(event, cursor, &self.hasher)?;
                Ok(None)
            }
        }
    }

    /// Where the event stands, see the module `decode` on coordinates.
    #[inline(always)]
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
    #[inline(always)]
    fn follow(&mut self, checksum: Option<Checksum>) -> Result<()> {
        match self.event.kind() {
            kind::ROTATE => self.coordinates = event::rotate::read(&mut self.event.body())?,
            kind::HEARTBEAT | kind::HEARTBEAT_V2 => {
                self.coordinates.offset = heartbeat_offset(&self.event, &self.coordinates, self.flavor)?;
            }
            _ => self.coordinates.offset = self.event.end(),
        }
        if let Some(checksum) = checksum {
            self.checksum = checksum;
        }
        Ok(())
    }
}

/// What is known of an event before its body.
struct Found {
    /// Of a format description: how events are protected from here on.
    checksum: Option<Checksum>,
    start: u64,
    end: u64,
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
    fn positions_wrap_forward_only() {
        assert_eq!(forward(100, 100), Some(100));
        assert_eq!(forward(100, 150), Some(150));
        assert_eq!(forward(100, 99), None);
        assert_eq!(forward(0xffff_fff0, 16), Some(0x1_0000_0010));
        assert_eq!(forward(0x1_0000_0000, 5), Some(0x1_0000_0005));
    }
}
