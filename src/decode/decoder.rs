//! Events to the parts of transactions.

use std::collections::VecDeque;
use std::sync::Arc;

use super::compression::Unzip;
use super::event::format_description::FormatDescription;
use super::event::gtid::{Clock, GtidEvent};
use super::event::mariadb_gtid::MariaDbGtidEvent;
use super::event::query::{QueryEvent, Verb};
use super::event::session_value::SessionValue;
use super::event::xa::XaPrepare;
use super::event::{self, Event, kind, previous_gtids};
use super::fault::{Stopped, corrupt, unsupported};
use super::group::{Group, Phase, Step};
use super::rows::{RowsChange, RowsHead, RowsKind};
use super::statement::Statement;
use super::table::{OpenTables, TableMap};
use super::transaction::{Begin, Decoded, End, Outcome};
use super::unfold::{self, Unfolder};
use super::{DecoderOptions, Fractions};
use crate::error::{Error, Result};
use crate::model::{Coordinates, Flavor, Frame};

/// Frames of one stream to the parts of transactions: a transaction of any size streams through it.
///
/// # Guarantees
/// Parts come in log order, each once. After an error every call is an error. In steady state nothing is allocated, by
/// row or by event: what is given holds the frames' own bytes.
///
/// ```
/// use bluegreen::decode::{Decoded, Decoder, DecoderOptions, RowBuffer};
/// use bluegreen::model::Flavor;
/// use bluegreen::source::file::FileSource;
///
/// # fn main() -> bluegreen::Result<()> {
/// let source = FileSource::open("tests/data/binlog/mysql-9.7.4/transactions.bin")?;
/// let mut decoder = Decoder::new(DecoderOptions::new(Flavor::MySql, source.coordinates().clone()));
/// let (mut buffer, mut row_count) = (RowBuffer::new(), 0);
/// for frame in source {
///     decoder.push(frame?)?;
///     while let Some(decoded) = decoder.next()? {
///         let Decoded::Rows(change) = decoded else { continue };
///         let mut rows = change.rows(&mut buffer);
///         while let Some(row) = rows.next()? {
///             row_count += 1;
///             for value in row.after.iter().flat_map(|image| image.iter()) {
///                 let _ = value?;
///             }
///         }
///     }
/// }
/// assert!(row_count > 0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Decoder {
    flavor: Flavor,
    unfolder: Unfolder,
    coordinates: Coordinates,
    format: Option<FormatDescription>,
    fractions: Fractions,
    tables: OpenTables,
    group: Option<Group>,
    unzip: Unzip,
    /// What an event said beyond its first part.
    due: VecDeque<Decoded>,
    /// What [`Decoder::push`] gave and [`Decoder::next`] has not looked at.
    frame: Option<Frame>,
    stopped: Option<Stopped>,
}

impl Decoder {
    /// A decoder of a stream's first frame on.
    pub fn new(options: DecoderOptions) -> Decoder {
        Decoder {
            flavor: options.flavor,
            unfolder: Unfolder::new(&options),
            coordinates: options.start,
            format: None,
            fractions: options.fractions,
            tables: OpenTables::default(),
            group: None,
            unzip: Unzip::default(),
            due: VecDeque::new(),
            frame: None,
            stopped: None,
        }
    }

    /// The end of the last event that was understood. Inside of a transaction no stream may start from here.
    pub fn coordinates(&self) -> &Coordinates {
        &self.coordinates
    }

    /// Where the open transaction starts; `None` between transactions. A stream that ends inside of one is cut.
    pub fn transaction_start(&self) -> Option<&Coordinates> {
        self.group.as_ref().map(|group| &group.start)
    }

    /// Whether the open transaction is one of two phases: it ends with its preparation.
    pub(super) fn is_two_phase(&self) -> bool {
        self.group.as_ref().is_some_and(|group| group.is_two_phase)
    }

    /// Takes the next frame, in log order, once [`Decoder::next`] gave all of the one before.
    ///
    /// # Errors
    /// `Internal`: parts of the frame before are left. After an error of [`Decoder::next`], that one again.
    pub fn push(&mut self, frame: Frame) -> Result<()> {
        if let Some(stopped) = &self.stopped {
            return Err(stopped.again());
        }
        if self.frame.is_some() || !self.due.is_empty() {
            return Err(Error::internal("a frame was pushed before all of the last one was taken"));
        }
        self.frame = Some(frame);
        Ok(())
    }

    /// The next part; `None` where the next frame is wanted.
    ///
    /// # Errors
    /// `Corrupt`: bytes that no server writes, a checksum that does not match, a lost frame. `Unsupported`: something
    /// that is not handled, see the module. `Limit`: an event above the bound.
    #[expect(clippy::should_implement_trait, reason = "an end is not the end: another frame may be pushed")]
    pub fn next(&mut self) -> Result<Option<Decoded>> {
        if let Some(stopped) = &self.stopped {
            return Err(stopped.again());
        }
        loop {
            if let Some(due) = self.due.pop_front() {
                return Ok(Some(due));
            }
            let event = match self.frame.take() {
                Some(frame) => self.unfolder.push(frame),
                None => self.unfolder.next(),
            };
            match event {
                Ok(None) => return Ok(None),
                Ok(Some(event)) => match self.event(event) {
                    Ok(None) => {}
                    Ok(Some(decoded)) => return Ok(Some(decoded)),
                    Err(error) => return Err(self.stop(error)),
                },
                Err(error) => return Err(self.stop(error)),
            }
        }
    }

    /// Takes an event of an [`Unfolder`] apart, and gives its first part; the others come by [`Decoder::next`].
    ///
    /// # Errors
    /// As [`Decoder::push`] and [`Decoder::next`].
    pub fn push_event(&mut self, event: Event) -> Result<Option<Decoded>> {
        if let Some(stopped) = &self.stopped {
            return Err(stopped.again());
        }
        if self.frame.is_some() || !self.due.is_empty() {
            return Err(Error::internal("an event was pushed before all of the last one was taken"));
        }
        match self.event(event) {
            Ok(decoded) => Ok(decoded),
            Err(error) => Err(self.stop(error)),
        }
    }

    #[cold]
    fn stop(&mut self, error: Error) -> Error {
        self.stopped = Some(Stopped::by(&error));
        error
    }

    fn event(&mut self, event: Event) -> Result<Option<Decoded>> {
        match RowsKind::of(event.kind()) {
            Some(kind) => self.rows(event, kind),
            None => match self.other(&event) {
                Ok(decoded) => Ok(decoded),
                Err(error) => Err(self.locate(error, event.start(), event.kind())),
            },
        }
    }

    #[cold]
    fn locate(&self, error: Error, start: Coordinates, kind: u8) -> Error {
        let gtid = self.group.as_ref().and_then(|group| group.gtid.as_ref());
        error.at(|place| {
            place.coordinates = Some(start);
            place.gtid = gtid.map(ToString::to_string);
            place.event = Some(event::name_of(kind));
        })
    }

    /// An event of the stream, of the file, or of a transaction, but for rows. The coordinates move once all else has
    /// succeeded.
    fn other(&mut self, event: &Event) -> Result<Option<Decoded>> {
        let advanced = || (!event.is_artificial()).then(|| Decoded::Advanced(event.end_coordinates()));
        let decoded = match event.kind() {
            kind::FORMAT_DESCRIPTION => {
                self.expect_between("a format description")?;
                self.format = Some(FormatDescription::read(&mut event.body_with_checksum())?);
                self.tables.forget();
                advanced()
            }
            kind::ROTATE => return self.rotate(event),
            kind::HEARTBEAT | kind::HEARTBEAT_V2 => return self.heartbeat(event).map(Some),
            _ => {
                self.expect_known(event)?;
                match event.kind() {
                    // A checkpoint is written by a thread of its own, but never between a transaction's events.
                    kind::STOP | kind::BINLOG_CHECKPOINT => {
                        self.expect_between("an event of the log file itself")?;
                        advanced()
                    }
                    kind::PREVIOUS_GTIDS | kind::MARIADB_GTID_LIST => {
                        self.expect_between("an event of the log file itself")?;
                        let previous = match event.kind() {
                            kind::PREVIOUS_GTIDS => previous_gtids::read(&mut event.body())?,
                            _ => previous_gtids::read_list(&mut event.body())?,
                        };
                        self.due.extend(advanced());
                        Some(Decoded::Previous(previous))
                    }
                    _ => self.change(event)?,
                }
            }
        };
        self.pass(event.is_last(), event.end());
        Ok(decoded)
    }

    /// Moves to the end of an event. Those of a compressed transaction end where their payload ends.
    fn pass(&mut self, is_last: bool, end: u64) {
        if is_last {
            self.coordinates.offset = end;
        }
    }

    /// Whether the event may come here: behind a format description, and in a transaction without a gap. Where servers
    /// leave events out between transactions, see the module on coordinates.
    fn expect_known(&self, event: &Event) -> Result<()> {
        if self.format.is_none() {
            return Err(corrupt("expected a format description before any other event"));
        }
        let start = event.start_coordinates();
        let is_gap = start.offset > self.coordinates.offset && !event.is_inner();
        if is_gap && self.group.is_some() && self.flavor == Flavor::MySql {
            let lost = start.offset.saturating_sub(self.coordinates.offset);
            return Err(corrupt(format!("{lost} bytes of events are missing inside of a transaction")));
        }
        Ok(())
    }

    fn expect_between(&self, what: &str) -> Result<()> {
        match self.group {
            Some(_) => Err(corrupt(format!("expected the end of a transaction, found {what}"))),
            None => Ok(()),
        }
    }

    fn rotate(&mut self, event: &Event) -> Result<Option<Decoded>> {
        let next = event::rotate::read(&mut event.body())?;
        self.expect_between("the end of the log file")?;
        // The first event of a dump only says where it starts; later ones say the same of each file, where the file
        // before may have ended without a ROTATE of its own.
        let is_other = next.file != self.coordinates.file;
        let is_news = !event.is_artificial() || (self.format.is_some() && is_other);
        if is_other {
            self.tables.forget();
        }
        self.coordinates = next;
        Ok(is_news.then(|| Decoded::Advanced(self.coordinates.clone())))
    }

    fn heartbeat(&mut self, event: &Event) -> Result<Decoded> {
        let offset = unfold::heartbeat_offset(event, &self.coordinates, self.flavor)?;
        if let Some(group) = &self.group {
            return Ok(Decoded::Heartbeat(group.start.clone()));
        }
        self.coordinates.offset = offset;
        Ok(Decoded::Heartbeat(self.coordinates.clone()))
    }

    fn rows(&mut self, event: Event, kind: RowsKind) -> Result<Option<Decoded>> {
        let found = match self.rows_head(&event, kind) {
            Ok(found) => found,
            Err(error) => return Err(self.locate(error, event.start(), event.kind())),
        };
        let (is_last, end) = (event.is_last(), event.end());
        let decoded = match found {
            (_, None) => None,
            (head, Some(table)) => match RowsChange::new(event, kind, &head, table, &mut self.unzip) {
                Ok(change) => Some(Decoded::Rows(change)),
                Err((error, event)) => return Err(self.locate(error, event.start(), event.kind())),
            },
        };
        self.pass(is_last, end);
        Ok(decoded)
    }

    /// What stands in front of the rows, and their table; no table where the event only closes tables.
    fn rows_head(&mut self, event: &Event, kind: RowsKind) -> Result<(RowsHead, Option<Arc<TableMap>>)> {
        self.expect_known(event)?;
        let post_header_length = self.post_header_length(event)?;
        let Some(group) = self.group.as_mut().filter(|group| group.is_begun()) else {
            return Err(corrupt("expected a transaction around a change of rows, found none"));
        };
        let head = RowsHead::read(&mut event.body(), kind, post_header_length)?;
        let table = match head.is_dummy() {
            true => None,
            false => {
                group.change();
                Some(self.tables.find(head.table_id)?)
            }
        };
        if head.is_statement_end {
            self.tables.close();
        }
        Ok((head, table))
    }

    /// An event of a transaction, but for rows.
    fn change(&mut self, event: &Event) -> Result<Option<Decoded>> {
        let cursor = &mut event.body();
        match event.kind() {
            kind::QUERY | kind::QUERY_COMPRESSED => self.query(event),
            kind::XID => {
                cursor.u64()?;
                self.expect_begun()?;
                Ok(Some(self.end(event, Outcome::Committed)))
            }
            kind::XA_PREPARE => {
                let prepare = XaPrepare::read(cursor)?;
                self.expect_begun()?;
                let outcome = match prepare.is_one_phase {
                    true => Outcome::Committed,
                    false => Outcome::Prepared(prepare.xid),
                };
                Ok(Some(self.end(event, outcome)))
            }
            kind::TABLE_MAP => {
                self.expect_begun()?;
                let post_header_length = self.post_header_length(event)?;
                let fractions = |name: &_, index| self.fractions.get(name, index);
                self.tables.open(cursor, post_header_length, self.flavor, &fractions)?;
                Ok(None)
            }
            kind::GTID | kind::ANONYMOUS_GTID | kind::GTID_TAGGED => {
                self.only_from(Flavor::MySql, event)?;
                self.expect_between("the start of another")?;
                let GtidEvent { gtid, clock } = GtidEvent::read(cursor, event.kind())?;
                self.group = Some(Group::new(event, gtid.clone(), Phase::Announced));
                Ok(Some(Decoded::Begin(Begin { gtid, ..begin(event, clock) })))
            }
            kind::MARIADB_GTID => {
                self.only_from(Flavor::MariaDb, event)?;
                self.expect_between("the start of another")?;
                let head = MariaDbGtidEvent::read(cursor, event.header().server)?;
                let phase = if head.is_standalone { Phase::Standalone } else { Phase::Begun };
                let gtid = Some(head.gtid);
                let mut group = Group::new(event, gtid.clone(), phase);
                group.is_two_phase = head.is_two_phase;
                self.group = Some(group);
                let (group_commit_id, alter) = (head.group_commit_id, head.alter);
                Ok(Some(Decoded::Begin(Begin { gtid, group_commit_id, alter, ..begin(event, Clock::default()) })))
            }
            kind::INTVAR | kind::RAND | kind::USER_VAR => {
                if self.group.is_none() {
                    return Err(corrupt("expected a transaction around a value of its session, found none"));
                }
                let value = SessionValue::read(cursor, event.kind())?;
                Ok(Some(Decoded::SessionValue { value, start: event.start(), end: event.end() }))
            }
            kind::ROWS_QUERY | kind::ANNOTATE_ROWS => {
                self.expect_begun()?;
                if event.kind() == kind::ROWS_QUERY {
                    // A length that is too short for most texts; the text goes on to the end.
                    cursor.u8()?;
                }
                Ok(Some(Decoded::Source(event.bytes().slice(cursor.offset()..event.body_end()))))
            }
            // Group replication's own, and what servers pass over.
            kind::IGNORABLE | kind::TRANSACTION_CONTEXT | kind::VIEW_CHANGE => Ok(None),
            // A dump is decrypted by the server; of files, `source::file` refuses this event.
            kind::START_ENCRYPTION => Ok(None),
            other => refuse(other, event).map(|()| None),
        }
    }

    fn query(&mut self, event: &Event) -> Result<Option<Decoded>> {
        let mut query = QueryEvent::read(event.body(), self.post_header_length(event)?)?;
        let text = query.text.offset();
        let bytes = match event.kind() {
            kind::QUERY_COMPRESSED => self.unzip.unfold(event.bytes(), &mut query.text)?,
            _ => event.bytes().slice(..event.body_end()),
        };
        let verb = Verb::of(bytes.get(text..).unwrap_or_default())?;
        let mut first = None;
        if self.group.is_none() {
            // A source without GTID events.
            if let Verb::Commit | Verb::Savepoint(_) | Verb::RollbackTo(_) = verb {
                return Err(corrupt("expected the start of a transaction, found a statement that ends or divides one"));
            }
            self.group = Some(Group::new(event, None, Phase::Announced));
            first = Some(Decoded::Begin(begin(event, Clock::default())));
        }
        let Some(group) = &mut self.group else { return Ok(None) };
        let step = group.step(verb)?;
        if matches!(step, Step::Quiet) {
            return Ok(first);
        }
        let mut parts = [first, None, None];
        let [_, part, end] = &mut parts;
        let statement = || {
            let mut statement =
                Statement::new(query.schema, bytes.slice(text..), event.start(), event.end_coordinates());
            (statement.seconds, statement.thread) = (event.seconds(), query.thread);
            statement.error_code = query.error_code;
            statement.with_status(bytes, query.status)
        };
        match step {
            Step::Quiet => {}
            Step::Savepoint => *part = Some(Decoded::Savepoint(statement())),
            Step::RolledBack(kept) => *part = Some(Decoded::RolledBack { kept, statement: statement() }),
            Step::Change => *part = Some(Decoded::Statement(statement())),
            Step::LastChange => {
                *part = Some(Decoded::Statement(statement()));
                *end = Some(self.end(event, Outcome::Committed));
            }
            Step::End(outcome) => *end = Some(self.end(event, outcome)),
        }
        let mut parts = parts.into_iter().flatten();
        let first = parts.next();
        self.due.extend(parts);
        Ok(first)
    }

    /// Closes the transaction.
    fn end(&mut self, event: &Event, outcome: Outcome) -> Decoded {
        self.group = None;
        self.tables.close();
        Decoded::End(End { end: event.end_coordinates(), seconds: event.seconds(), outcome })
    }

    fn expect_begun(&self) -> Result<()> {
        match &self.group {
            Some(group) if group.is_begun() => Ok(()),
            _ => Err(corrupt("expected a transaction around a change of rows, found none")),
        }
    }

    fn only_from(&self, flavor: Flavor, event: &Event) -> Result<()> {
        if self.flavor == flavor { Ok(()) } else { Err(event::of_other_flavor(event.kind(), self.flavor)) }
    }

    fn post_header_length(&self, event: &Event) -> Result<u8> {
        let length = self.format.as_ref().and_then(|format| format.post_header_length(event.kind()));
        length.ok_or_else(|| corrupt("the log's format description does not list this event"))
    }
}

fn begin(event: &Event, clock: Clock) -> Begin {
    let micros = |time: u64| Some(time).filter(|time| *time > 0);
    Begin {
        start: event.start(),
        gtid: None,
        committed_at_micros: micros(clock.committed_at_micros),
        original_committed_at_micros: micros(clock.original_committed_at_micros),
        last_committed: clock.last_committed,
        sequence_number: clock.sequence_number,
        group_commit_id: None,
        alter: None,
    }
}

/// Events that are not handled.
#[cold]
fn refuse(number: u8, event: &Event) -> Result<()> {
    const ROW_FORMAT: &str = "set binlog_format=ROW on the source, for running sessions too";
    let name = event::name_of(number);
    Err(match number {
        6..=12 | 17 | 18 => {
            unsupported(format!("LOAD DATA was logged as a statement ({name}), not as rows")).with_advice(ROW_FORMAT)
        }
        20..=22 => unsupported("the log is of a server before 5.1.18"),
        kind::INCIDENT => corrupt("the source says that events were lost")
            .with_advice("build green anew with `create`: the log does not hold all changes"),
        kind::FORMAT_DESCRIPTION
        | kind::ROTATE
        | kind::STOP
        | kind::HEARTBEAT
        | kind::HEARTBEAT_V2
        | kind::PREVIOUS_GTIDS
        | kind::MARIADB_GTID_LIST
        | kind::BINLOG_CHECKPOINT
        | kind::PARTIAL_ROW_DATA
        | kind::TRANSACTION_PAYLOAD => corrupt(format!("expected an event of a transaction, found {name}")),
        _ if event.header().is_ignorable() => return Ok(()),
        _ => unsupported(format!("event {number} is not known, and the source does not say that it may be ignored")),
    })
}
