//! Frames to transactions: bytes in, values out.
//!
//! # Invariants
//! 1. No bytes make it panic, and none make it take more memory than the bound of
//!    [`DecoderOptions::max_transaction_bytes`] allows of logged or unfolded bytes.
//! 2. Nothing is passed over: an event that is not understood is an error, unless the server flagged it ignorable.
//! 3. After an error every call is an error, and the coordinates stay where they were.
//! 4. A [`Decoded::Transaction`] is whole. Rows that were rolled back are not in it.
//! 5. What stands in the log behind [`Decoder::coordinates`] has not been given away. All coordinates of
//!    [`Decoded`] are between transactions.
//! 6. Every event with a checksum is checked before its body is read.
//!
//! # Coordinates
//! Headers hold the low 32 bits of an event's end. Logs grow beyond 4 GiB with one large transaction, and MariaDB from
//! 11.4 writes 0 inside of transactions. So the decoder adds lengths, and takes the header's figure as a check of the
//! low 32 bits. Servers leave out events of a dump by GTID that the replica has already, and MariaDB leaves out
//! annotations that it was not asked for: where the header's figure is *ahead* by less than 2 GiB the decoder goes there,
//! carrying into the high bits. Any other difference is an error, and so is a gap inside of a transaction of MySQL.
//!
//! An error's place is the *start* of the event that it names; events of a compressed transaction have the place of the
//! payload. The byte is counted from the start of the event's header; of compressed parts, from the start of the
//! unfolded part.
//!
//! # What is refused
//! XA transactions, statement-format data (INTVAR, RAND, USER_VAR, LOAD events), partial JSON updates, MariaDB's
//! compressed columns, row fragments and two-phase ALTER, encrypted files, logs of servers before 5.0, incidents: each
//! with what an operator can do.
//!
//! Must not know: SQL beyond the words that bound a transaction, sockets, clocks.
//!
//! Formats: MySQL source, `libs/mysql/binlog/event`; MariaDB source, `sql/log_event.h`; each file names its own.

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::panic
    )
)]

mod assembler;
mod checksum;
mod compression;
mod cursor;
mod event;
mod fault;
mod header;
mod row;
mod table_maps;
mod value;

use bytes::Bytes;

pub use self::value::json;

use self::assembler::{Assembler, Moment, Phase};
use self::checksum::Checksum;
use self::cursor::Cursor;
use self::event::format_description::FormatDescription;
use self::event::gtid::GtidEvent;
use self::event::heartbeat::Offset;
use self::event::kind;
use self::event::mariadb_gtid::{self, MariaDbGtidEvent};
use self::event::payload::PayloadEvents;
use self::event::query::QueryEvent;
use self::event::rows::{DUMMY_TABLE, RowsEvent, RowsKind};
use self::fault::{corrupt, unsupported};
use self::header::Header;
use self::table_maps::TableMaps;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Coordinates, Flavor, Frame, RowsChange, Transaction};

/// How a stream is decoded.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DecoderOptions {
    /// The source's family: the two number some events and count some columns differently.
    pub flavor: Flavor,
    /// Where the first frame starts. A live dump says so itself with its first event; then this is only what stands in
    /// errors before.
    pub start: Coordinates,
    /// Whether events in front of the first format description have a checksum: what the session's
    /// `@master_binlog_checksum` asked for. Default `false`, right for files.
    pub initial_checksum: bool,
    /// The most bytes of events, unfolded where they are compressed, that one transaction may have. Decoded values take
    /// several times as much memory. Default 1 GiB; at least the source's `max_allowed_packet` is wise.
    pub max_transaction_bytes: u64,
}

impl DecoderOptions {
    /// The defaults.
    pub fn new(flavor: Flavor, start: Coordinates) -> DecoderOptions {
        DecoderOptions { flavor, start, initial_checksum: false, max_transaction_bytes: 1 << 30 }
    }
}

/// What frames add up to.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Decoded {
    /// A committed transaction.
    Transaction(Transaction),
    /// A point between transactions was passed without one: a stream may start again from here.
    Advanced(Coordinates),
    /// The source is idle, or passed transactions that were not asked for. A stream may start again from here.
    Heartbeat(Coordinates),
}

/// Frames of one stream to transactions.
///
/// # Guarantees
/// Transactions come in log order, each once and whole. After an error every call is an error.
///
/// ```
/// use bluegreen::decode::{Decoder, DecoderOptions};
/// use bluegreen::model::{Coordinates, Flavor, Frame};
///
/// let start = Coordinates::new("bin.000001", 4);
/// let mut decoder = Decoder::new(DecoderOptions::new(Flavor::MySql, start.clone()));
/// let cut = Frame::new(b"half a header".as_slice().into());
/// assert!(decoder.push(cut).is_err());
/// assert_eq!(decoder.coordinates(), &start);
/// ```
#[derive(Debug)]
pub struct Decoder {
    flavor: Flavor,
    max_bytes: u64,
    coordinates: Coordinates,
    checksum: Checksum,
    format: Option<FormatDescription>,
    tables: TableMaps,
    assembler: Assembler,
    stopped: Option<(ErrorKind, String)>,
}

impl Decoder {
    /// A decoder of a stream's first frame on.
    pub fn new(options: DecoderOptions) -> Decoder {
        Decoder {
            flavor: options.flavor,
            max_bytes: options.max_transaction_bytes,
            coordinates: options.start,
            checksum: if options.initial_checksum { Checksum::Crc32 } else { Checksum::Off },
            format: None,
            tables: TableMaps::default(),
            assembler: Assembler::new(options.max_transaction_bytes),
            stopped: None,
        }
    }

    /// The end of the last frame that was understood. Inside of a transaction no stream may start from here.
    pub fn coordinates(&self) -> &Coordinates {
        &self.coordinates
    }

    /// Whether a transaction has begun and not ended: a stream that ends now is cut.
    pub fn is_in_transaction(&self) -> bool {
        self.assembler.is_open()
    }

    /// Takes the next frame, in log order.
    ///
    /// # Errors
    /// `Corrupt`: bytes that no server writes, a checksum that does not match, a lost frame. `Unsupported`: something
    /// that is not handled, see the module. `Limit`: a transaction above the bound.
    pub fn push(&mut self, frame: Frame) -> Result<Option<Decoded>> {
        if let Some((kind, message)) = &self.stopped {
            return Err(Error::new(*kind, format!("decoding stopped before: {message}")));
        }
        let result = self.frame(&frame.bytes);
        if let Err(error) = &result {
            self.stopped = Some((error.kind(), error.message().to_owned()));
        }
        result
    }

    fn frame(&mut self, event: &Bytes) -> Result<Option<Decoded>> {
        let mut cursor = Cursor::new(event);
        let at_running = |error: Error| error.at(|place| place.coordinates = Some(self.coordinates.clone()));
        let header = Header::read(&mut cursor).map_err(at_running)?;
        let found = u64::try_from(event.len()).unwrap_or(u64::MAX);
        if u64::from(header.size) != found {
            let message = format!("expected an event of {} bytes, found {found} bytes", header.size);
            return Err(at_running(corrupt(message)));
        }
        let format = self
            .strip_checksum(event, &header, &mut cursor)
            .map_err(|error| at_running(error).at(|place| place.event = Some(event_name(header.kind))))?;
        let moment = self.moment(&header).map_err(at_running)?;
        let gtid = self.assembler.gtid().cloned();
        self.logged(&header, cursor, format, &moment).map_err(|error| {
            error.at(|place| {
                place.coordinates = Some(moment.start.clone());
                place.gtid = gtid.map(|gtid| gtid.to_string());
                place.event = Some(event_name(header.kind));
            })
        })
    }

    /// Checks and removes the checksum. A format description says itself which one it has.
    fn strip_checksum(
        &self,
        event: &Bytes,
        header: &Header,
        cursor: &mut Cursor<'_>,
    ) -> Result<Option<FormatDescription>> {
        if header.kind == kind::START_V3 {
            return Err(unsupported("the log is of a server before 5.0"));
        }
        if header.kind != kind::FORMAT_DESCRIPTION {
            self.checksum.strip(event, cursor)?;
            return Ok(None);
        }
        let format = FormatDescription::read(&mut cursor.clone())?;
        // Without checksums in use the bytes are there, but a server that changes the event for a dump leaves them.
        format.checksum.strip(event, cursor)?;
        Ok(Some(format))
    }

    /// Where the event stands, see the module on coordinates.
    fn moment(&self, header: &Header) -> Result<Moment> {
        let running = self.coordinates.offset;
        let is_heartbeat = matches!(header.kind, kind::HEARTBEAT | kind::HEARTBEAT_V2);
        let size = u64::from(header.size);
        let (start, end) = if header.is_artificial() || is_heartbeat {
            (running, running)
        } else {
            let expected = running.saturating_add(size);
            let end = match header.log_position {
                0 => expected,
                low => forward(expected, low).ok_or_else(|| {
                    corrupt(format!("expected an event that ends at {expected}, found one that ends at {low}"))
                })?,
            };
            if end != expected && self.assembler.is_open() && self.flavor == Flavor::MySql {
                let lost = end.saturating_sub(expected);
                return Err(corrupt(format!("{lost} bytes of events are missing inside of a transaction")));
            }
            (end.saturating_sub(size), end)
        };
        let file = &self.coordinates.file;
        Ok(Moment {
            start: Coordinates::new(file.as_str(), start),
            end: Coordinates::new(file.as_str(), end),
            seconds: header.timestamp,
            bytes: size,
        })
    }

    /// An event of the stream itself: moves the coordinates once all else has succeeded.
    fn logged(
        &mut self,
        header: &Header,
        mut cursor: Cursor<'_>,
        format: Option<FormatDescription>,
        moment: &Moment,
    ) -> Result<Option<Decoded>> {
        let cursor = &mut cursor;
        let advanced = || Some(Decoded::Advanced(moment.end.clone()));
        if let Some(format) = format {
            self.expect_between("a format description")?;
            self.checksum = format.checksum;
            self.format = Some(format);
            self.tables.forget();
            self.coordinates = moment.end.clone();
            return Ok(if header.is_artificial() { None } else { advanced() });
        }
        match header.kind {
            kind::ROTATE => return self.rotate(header, cursor),
            kind::HEARTBEAT | kind::HEARTBEAT_V2 => return self.heartbeat(header, cursor),
            _ => {}
        }
        if self.format.is_none() {
            return Err(corrupt("expected a format description before any other event"));
        }
        let decoded = match header.kind {
            kind::STOP | kind::PREVIOUS_GTIDS | kind::MARIADB_GTID_LIST => {
                if header.kind == kind::MARIADB_GTID_LIST {
                    mariadb_gtid::read_list(cursor)?;
                }
                self.expect_between("an event of the log file itself")?;
                if header.is_artificial() { None } else { advanced() }
            }
            // Written by a thread of its own, but never between a transaction's events.
            kind::BINLOG_CHECKPOINT => {
                self.expect_between("a binlog checkpoint")?;
                if header.is_artificial() { None } else { advanced() }
            }
            kind::TRANSACTION_PAYLOAD => self.payload(cursor, header, moment)?.map(Decoded::Transaction),
            _ => {
                self.assembler.count(moment.bytes)?;
                self.change(header, cursor, moment)?.map(Decoded::Transaction)
            }
        };
        self.coordinates = moment.end.clone();
        Ok(decoded)
    }

    fn expect_between(&self, what: &str) -> Result<()> {
        match self.assembler.is_open() {
            true => Err(corrupt(format!("expected the end of a transaction, found {what}"))),
            false => Ok(()),
        }
    }

    fn rotate(&mut self, header: &Header, cursor: &mut Cursor<'_>) -> Result<Option<Decoded>> {
        let next = event::rotate::read(cursor)?;
        self.expect_between("the end of the log file")?;
        // The first event of a dump only says where it starts; later ones say the same of each file, where the file
        // before may have ended without a ROTATE of its own.
        let is_news = !header.is_artificial() || (self.format.is_some() && next.file != self.coordinates.file);
        if next.file != self.coordinates.file {
            self.tables.forget();
        }
        self.coordinates = next;
        Ok(is_news.then(|| Decoded::Advanced(self.coordinates.clone())))
    }

    fn heartbeat(&mut self, header: &Header, cursor: &mut Cursor<'_>) -> Result<Option<Decoded>> {
        let (file, offset) = event::heartbeat::read(cursor, header, self.flavor)?;
        let running = &self.coordinates;
        if !running.file.is_empty() && file != running.file {
            return Err(corrupt("a heartbeat names another log file than the stream is in"));
        }
        let offset = match offset {
            Offset::Whole(offset) => Some(offset).filter(|offset| *offset >= running.offset),
            Offset::Low(low) => forward(running.offset, low),
        };
        let Some(offset) = offset else {
            return Err(corrupt("a heartbeat names a place before the stream's"));
        };
        if let Some(start) = self.assembler.start() {
            return Ok(Some(Decoded::Heartbeat(start.clone())));
        }
        self.coordinates.offset = offset;
        Ok(Some(Decoded::Heartbeat(self.coordinates.clone())))
    }

    /// A compressed transaction.
    fn payload(&mut self, cursor: &mut Cursor<'_>, header: &Header, moment: &Moment) -> Result<Option<Transaction>> {
        self.only_from(Flavor::MySql, header)?;
        if !self.assembler.is_open() {
            return Err(corrupt("expected a GTID before a transaction's payload"));
        }
        self.assembler.count(moment.bytes)?;
        let mut events = PayloadEvents::open(cursor, self.max_bytes)?;
        let mut transaction = None;
        while let Some(event) = events.next()? {
            if transaction.is_some() {
                return Err(corrupt("expected the end of a payload behind its transaction, found an event"));
            }
            let mut inner = Cursor::new(&event);
            let header = Header::read(&mut inner)?;
            let moment = Moment { seconds: header.timestamp, bytes: u64::from(header.size), ..moment.clone() };
            self.assembler.charge(moment.bytes)?;
            let within = |error: Error| error.at(|place| place.event = Some(event_name(header.kind)));
            transaction = self.change(&header, &mut inner, &moment).map_err(within)?;
        }
        if transaction.is_none() {
            return Err(corrupt("expected the end of the transaction in its payload, found none"));
        }
        Ok(transaction)
    }

    /// An event of a transaction, in the log or in a payload.
    fn change(&mut self, header: &Header, cursor: &mut Cursor<'_>, moment: &Moment) -> Result<Option<Transaction>> {
        if let Some(rows) = RowsKind::of(header.kind) {
            self.rows(header, rows, cursor, moment)?;
            return Ok(None);
        }
        let finished = match header.kind {
            kind::QUERY | kind::QUERY_COMPRESSED => {
                let is_compressed = header.kind == kind::QUERY_COMPRESSED;
                let query = QueryEvent::read(cursor, is_compressed, self.post_header_length(header)?, self.max_bytes)?;
                if is_compressed {
                    self.assembler.charge(u64::try_from(query.sql.len()).unwrap_or(u64::MAX))?;
                }
                self.assembler.query(moment, query)?
            }
            kind::XID => {
                cursor.u64()?;
                self.assembler.commit(moment)?
            }
            kind::TABLE_MAP => {
                self.assembler.expect_begun()?;
                let post_header_length = self.post_header_length(header)?;
                self.tables.open(cursor, post_header_length, self.flavor)?;
                None
            }
            kind::GTID | kind::ANONYMOUS_GTID | kind::GTID_TAGGED => {
                self.only_from(Flavor::MySql, header)?;
                let GtidEvent { gtid, committed_at_micros } = GtidEvent::read(cursor, header.kind)?;
                self.assembler.announce(moment, gtid, committed_at_micros, Phase::Announced)?;
                None
            }
            kind::MARIADB_GTID => {
                self.only_from(Flavor::MariaDb, header)?;
                let gtid = MariaDbGtidEvent::read(cursor, header.server)?;
                let phase = if gtid.is_standalone { Phase::Standalone } else { Phase::Begun };
                self.assembler.announce(moment, Some(gtid.gtid), None, phase)?;
                None
            }
            kind::IGNORABLE
            | kind::ROWS_QUERY
            | kind::TRANSACTION_CONTEXT
            | kind::VIEW_CHANGE
            | kind::ANNOTATE_ROWS
            // A dump is decrypted by the server; of files, `source::file` refuses this event.
            | kind::START_ENCRYPTION => None,
            other => {
                refuse(other, header.is_ignorable())?;
                None
            }
        };
        if finished.is_some() {
            self.tables.close();
        }
        Ok(finished)
    }

    fn rows(&mut self, header: &Header, rows: RowsKind, cursor: &mut Cursor<'_>, moment: &Moment) -> Result<()> {
        self.assembler.expect_begun()?;
        let event = RowsEvent::read(cursor, rows, self.post_header_length(header)?, self.max_bytes)?;
        if event.table_id == DUMMY_TABLE && event.is_statement_end && cursor.is_empty() {
            self.tables.close();
            return Ok(());
        }
        let table = self.tables.find(event.table_id)?;
        let read = match &event.unfolded {
            Some(unfolded) => {
                self.assembler.charge(u64::try_from(unfolded.len()).unwrap_or(u64::MAX))?;
                row::read_all(&mut Cursor::new(unfolded), &event, rows.change, &table, self.flavor)
            }
            None => row::read_all(cursor, &event, rows.change, &table, self.flavor),
        };
        let read = read.map_err(|error| error.at(|place| place.table = Some(table.name.to_string())))?;
        if event.is_statement_end {
            self.tables.close();
        }
        self.assembler.rows(RowsChange::new(table, rows.change, event.flags, read, moment.end.clone()))
    }

    fn only_from(&self, flavor: Flavor, header: &Header) -> Result<()> {
        if self.flavor == flavor {
            return Ok(());
        }
        let (found, expected) = (header.kind, self.flavor);
        Err(unsupported(format!("event {found} is of {flavor}, the source was said to be {expected}"))
            .with_advice("give the source's flavour as it is"))
    }

    fn post_header_length(&self, header: &Header) -> Result<u8> {
        let length = self.format.as_ref().and_then(|format| format.post_header_length(header.kind));
        length.ok_or_else(|| corrupt("the log's format description does not list this event"))
    }
}

/// The smallest number from `from` on with these low 32 bits, if it is less than 2 GiB away.
fn forward(from: u64, low: u32) -> Option<u64> {
    let distance = u64::from(low).wrapping_sub(from) & u64::from(u32::MAX);
    if distance < 1 << 31 { from.checked_add(distance) } else { None }
}

fn event_name(number: u8) -> std::borrow::Cow<'static, str> {
    match event::name(number) {
        "unknown" => format!("number {number}").into(),
        name => name.into(),
    }
}

/// Events that are not handled.
fn refuse(number: u8, is_ignorable: bool) -> Result<()> {
    const ROW_FORMAT: &str = "set binlog_format=ROW on the source, for running sessions too";
    let name = event_name(number);
    Err(match number {
        kind::INTVAR | kind::RAND | kind::USER_VAR | 6..=12 | 17 | 18 => {
            unsupported(format!("a change was logged as a statement ({name}), not as rows")).with_advice(ROW_FORMAT)
        }
        20..=22 => unsupported("the log is of a server before 5.1.18"),
        kind::INCIDENT => corrupt("the source says that events were lost")
            .with_advice("build green anew with `create`: the log does not hold all changes"),
        kind::XA_PREPARE => {
            unsupported("XA transactions are not handled").with_advice("keep XA transactions off the source")
        }
        kind::PARTIAL_UPDATE_ROWS => unsupported("partial updates of JSON are not handled")
            .with_advice("set binlog_row_value_options='' on the source, for running sessions too"),
        kind::PARTIAL_ROW_DATA => unsupported("rows in fragments are not handled")
            .with_advice("raise binlog_row_event_fragment_threshold on the source"),
        kind::FORMAT_DESCRIPTION
        | kind::ROTATE
        | kind::STOP
        | kind::HEARTBEAT
        | kind::HEARTBEAT_V2
        | kind::PREVIOUS_GTIDS
        | kind::MARIADB_GTID_LIST
        | kind::BINLOG_CHECKPOINT
        | kind::TRANSACTION_PAYLOAD => corrupt(format!("expected an event of a transaction, found {name}")),
        _ if is_ignorable => return Ok(()),
        _ => unsupported(format!("event {number} is not known, and the source does not say that it may be ignored")),
    })
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
