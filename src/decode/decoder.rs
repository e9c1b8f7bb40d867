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
use super::table::OpenTables;
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
    unfolder: Unfolder,
    grammar: Grammar,
    stopped: Option<Stopped>,
}

/// What events mean behind those before them.
#[derive(Debug)]
struct Grammar {
    flavor: Flavor,
    coordinates: Coordinates,
    format: Option<FormatDescription>,
    fractions: Fractions,
    tables: OpenTables,
    group: Option<Group>,
    unzip: Unzip,
    /// What the event said first, until it is given away. Parts are large: they are made here, and moved once.
    part: Option<Decoded>,
    /// What an event said beyond its first part.
    due: VecDeque<Decoded>,
}

impl Decoder {
    /// A decoder of a stream's first frame on.
    pub fn new(options: DecoderOptions) -> Decoder {
        Decoder { unfolder: Unfolder::new(&options), grammar: Grammar::new(options), stopped: None }
    }

    /// The end of the last event that was understood. Inside of a transaction no stream may start from here.
    pub fn coordinates(&self) -> &Coordinates {
        &self.grammar.coordinates
    }

    /// Where the open transaction starts; `None` between transactions. A stream that ends inside of one is cut.
    pub fn transaction_start(&self) -> Option<&Coordinates> {
        self.grammar.group.as_ref().map(|group| &group.start)
    }

    /// Whether the open transaction is one of two phases: it ends with its preparation.
    pub(super) fn is_two_phase(&self) -> bool {
        self.grammar.group.as_ref().is_some_and(|group| group.is_two_phase)
    }

    /// Takes the next frame, in log order, once [`Decoder::next`] gave all of the one before.
    ///
    /// # Errors
    /// `Internal`: parts of the frame before are left. After an error of [`Decoder::next`], that one again.
    #[inline]
    pub fn push(&mut self, frame: Frame) -> Result<()> {
        if let Some(stopped) = &self.stopped {
            return Err(stopped.again());
        }
        if self.unfolder.is_busy() || !self.grammar.due.is_empty() {
            return Err(Error::internal("a frame was pushed before all of the last one was taken"));
        }
        self.unfolder.give(frame);
        Ok(())
    }

    /// The next part; `None` where the next frame is wanted.
    ///
    /// # Errors
    /// `Corrupt`: bytes that no server writes, a checksum that does not match, a lost frame. `Unsupported`: something
    /// that is not handled, see the module. `Limit`: an event above the bound.
    #[expect(clippy::should_implement_trait, reason = "an end is not the end: another frame may be pushed")]
    #[inline]
    pub fn next(&mut self) -> Result<Option<Decoded>> {
        match self.advance() {
            Ok(()) => Ok(self.grammar.part.take()),
            Err(error) => Err(error),
        }
    }

    /// Goes on to the next part; there is none where the next frame is wanted.
    fn advance(&mut self) -> Result<()> {
        if let Some(stopped) = &self.stopped {
            return Err(stopped.again());
        }
        if !self.grammar.due.is_empty() {
            self.grammar.part = self.grammar.due.pop_front();
            return Ok(());
        }
        while self.grammar.part.is_none() {
            match self.unfolder.unfold() {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => return Err(self.stop(error)),
            }
            let event = self.unfolder.event();
            let understood = self.grammar.event(event);
            // The source fills its memory again once no event holds it.
            drop(event.take());
            if let Err(error) = understood {
                return Err(self.stop(error));
            }
        }
        Ok(())
    }

    /// Takes an event of an [`Unfolder`] apart, and gives its first part; the others come by [`Decoder::next`].
    ///
    /// # Errors
    /// As [`Decoder::push`] and [`Decoder::next`].
    pub fn push_event(&mut self, mut event: Event) -> Result<Option<Decoded>> {
        if let Some(stopped) = &self.stopped {
            return Err(stopped.again());
        }
        if self.unfolder.is_busy() || !self.grammar.due.is_empty() {
            return Err(Error::internal("an event was pushed before all of the last one was taken"));
        }
        match self.grammar.event(&mut event) {
            Ok(()) => Ok(self.grammar.part.take()),
            Err(error) => Err(self.stop(error)),
        }
    }

    #[cold]
    fn stop(&mut self, error: Error) -> Error {
        self.stopped = Some(Stopped::by(&error));
        error
    }
}

impl Grammar {
    fn new(options: DecoderOptions) -> Grammar {
        Grammar {
            flavor: options.flavor,
            coordinates: options.start,
            format: None,
            fractions: options.fractions,
            tables: OpenTables::default(),
            group: None,
            unzip: Unzip::default(),
            part: None,
            due: VecDeque::new(),
        }
    }

    /// What an event says. The coordinates move once all else has succeeded.
    #[inline(always)]
    fn event(&mut self, event: &mut Event) -> Result<()> {
        let understood = match RowsKind::of(event.kind()) {
            Some(kind) => self.rows(event, kind),
            None => self.understand(event),
        };
        match understood {
            Ok(()) => Ok(()),
            Err(error) => Err(self.locate(error, event)),
        }
    }

    #[cold]
    fn locate(&self, error: Error, event: &Event) -> Error {
        let gtid = self.group.as_ref().and_then(|group| group.gtid.as_ref());
        error.at(|place| {
            place.coordinates = Some(self.at(event.start()));
            place.gtid = gtid.map(ToString::to_string);
            place.event = Some(event::name_of(event.kind()));
        })
    }

    /// An offset in the file that the stream is in.
    fn at(&self, offset: u64) -> Coordinates {
        Coordinates::new(Arc::clone(&self.coordinates.file), offset)
    }

    /// An event of the stream, of the file, or of a transaction, but for rows.
    fn understand(&mut self, event: &Event) -> Result<()> {
        match event.kind() {
            kind::FORMAT_DESCRIPTION
            | kind::ROTATE
            | kind::HEARTBEAT
            | kind::HEARTBEAT_V2
            | kind::STOP
            | kind::BINLOG_CHECKPOINT
            | kind::PREVIOUS_GTIDS
            | kind::MARIADB_GTID_LIST
                if event.is_inner() =>
            {
                return Err(corrupt("expected an event of a transaction, found one of the log file itself"));
            }
            kind::FORMAT_DESCRIPTION => {
                self.expect_between("a format description")?;
                self.format = Some(FormatDescription::read(&mut event.body_with_checksum())?);
                self.tables.forget();
                self.part = self.advanced(event);
            }
            kind::ROTATE => return self.rotate(event),
            kind::HEARTBEAT | kind::HEARTBEAT_V2 => return self.heartbeat(event),
            _ => {
                self.expect_known(event)?;
                match event.kind() {
                    // A checkpoint is written by a thread of its own, but never between a transaction's events.
                    kind::STOP | kind::BINLOG_CHECKPOINT => {
                        self.expect_between("an event of the log file itself")?;
                        self.part = self.advanced(event);
                    }
                    kind::PREVIOUS_GTIDS | kind::MARIADB_GTID_LIST => {
                        self.expect_between("an event of the log file itself")?;
                        let previous = match event.kind() {
                            kind::PREVIOUS_GTIDS => previous_gtids::read(&mut event.body())?,
                            _ => previous_gtids::read_list(&mut event.body())?,
                        };
                        self.due.extend(self.advanced(event));
                        self.part = Some(Decoded::Previous(previous));
                    }
                    _ => self.change(event)?,
                }
            }
        }
        self.pass(event);
        Ok(())
    }

    fn advanced(&self, event: &Event) -> Option<Decoded> {
        (!event.is_artificial()).then(|| Decoded::Advanced(self.at(event.end())))
    }

    /// Moves to the end of an event. Those of a compressed transaction end where their payload ends.
    fn pass(&mut self, event: &Event) {
        if event.is_last() {
            self.coordinates.offset = event.end();
        }
    }

    /// Whether the event may come here: behind a format description, and in a transaction without a gap. Where servers
    /// leave events out between transactions, see the module on coordinates.
    fn expect_known(&self, event: &Event) -> Result<()> {
        if self.format.is_none() {
            return Err(corrupt("expected a format description before any other event"));
        }
        let start = event.start();
        let is_gap = start > self.coordinates.offset && !event.is_inner();
        if is_gap && self.group.is_some() && self.flavor == Flavor::MySql {
            let lost = start.saturating_sub(self.coordinates.offset);
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

    fn rotate(&mut self, event: &Event) -> Result<()> {
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
        self.part = is_news.then(|| Decoded::Advanced(self.coordinates.clone()));
        Ok(())
    }

    fn heartbeat(&mut self, event: &Event) -> Result<()> {
        let offset = unfold::heartbeat_offset(event, &self.coordinates, self.flavor)?;
        if self.group.is_none() {
            self.coordinates.offset = offset;
        }
        let passed = self.group.as_ref().map_or(&self.coordinates, |group| &group.start);
        self.part = Some(Decoded::Heartbeat(passed.clone()));
        Ok(())
    }

    /// An event of rows, checked up to these; one that only closes tables says nothing.
    #[inline(always)]
    fn rows(&mut self, event: &mut Event, kind: RowsKind) -> Result<()> {
        self.expect_known(event)?;
        let post_header_length = self.post_header_length(event)?;
        let Some(group) = self.group.as_mut().filter(|group| group.is_begun()) else {
            return Err(corrupt("expected a transaction around a change of rows, found none"));
        };
        let head = RowsHead::read(&mut event.body(), kind, post_header_length)?;
        // The number is an ordinary one, too: servers count through it.
        if !head.is_dummy() || self.tables.find(head.table_id).is_ok() {
            group.change();
            let table = self.tables.find(head.table_id)?;
            RowsChange::check(event, kind, &head, &mut self.unzip)?;
            let start = Coordinates::new(Arc::clone(&self.coordinates.file), event.start());
            self.part = Some(Decoded::Rows(RowsChange::new(event, kind, &head, Arc::clone(table), start)));
        }
        if head.is_statement_end {
            self.tables.close();
        }
        self.pass(event);
        Ok(())
    }

    /// An event of a transaction, but for rows.
    fn change(&mut self, event: &Event) -> Result<()> {
        let cursor = &mut event.body();
        match event.kind() {
            kind::QUERY | kind::QUERY_COMPRESSED => self.query(event)?,
            kind::XID => {
                cursor.u64()?;
                self.expect_begun()?;
                self.part = Some(self.end(event, Outcome::Committed));
            }
            kind::XA_PREPARE => {
                let prepare = XaPrepare::read(cursor)?;
                self.expect_begun()?;
                let outcome = match prepare.is_one_phase {
                    true => Outcome::Committed,
                    false => Outcome::Prepared(prepare.xid),
                };
                self.part = Some(self.end(event, outcome));
            }
            kind::TABLE_MAP => {
                self.expect_begun()?;
                let post_header_length = self.post_header_length(event)?;
                let fractions = |name: &_, index| self.fractions.get(name, index);
                self.tables.open(cursor, post_header_length, self.flavor, &fractions)?;
            }
            kind::GTID | kind::ANONYMOUS_GTID | kind::GTID_TAGGED => {
                self.only_from(Flavor::MySql, event)?;
                self.expect_between("the start of another")?;
                let GtidEvent { gtid, clock } = GtidEvent::read(cursor, event.kind())?;
                self.group = Some(Group::new(self.at(event.start()), gtid.clone(), Phase::Announced));
                self.part = Some(Decoded::Begin(Begin { gtid, ..begin(self.at(event.start()), clock) }));
            }
            kind::MARIADB_GTID => {
                self.only_from(Flavor::MariaDb, event)?;
                self.expect_between("the start of another")?;
                let head = MariaDbGtidEvent::read(cursor, event.header().server)?;
                let phase = if head.is_standalone { Phase::Standalone } else { Phase::Begun };
                let gtid = Some(head.gtid);
                let mut group = Group::new(self.at(event.start()), gtid.clone(), phase);
                group.is_two_phase = head.is_two_phase;
                self.group = Some(group);
                let (group_commit_id, alter) = (head.group_commit_id, head.alter);
                self.part = Some(Decoded::Begin(Begin {
                    gtid,
                    group_commit_id,
                    alter,
                    ..begin(self.at(event.start()), Clock::default())
                }));
            }
            kind::INTVAR | kind::RAND | kind::USER_VAR => {
                if self.group.is_none() {
                    return Err(corrupt("expected a transaction around a value of its session, found none"));
                }
                let value = SessionValue::read(cursor, event.kind())?;
                self.part = Some(Decoded::SessionValue { value, start: self.at(event.start()), end: event.end() });
            }
            kind::ROWS_QUERY | kind::ANNOTATE_ROWS => {
                self.expect_begun()?;
                if event.kind() == kind::ROWS_QUERY {
                    // A length that is too short for most texts; the text goes on to the end.
                    cursor.u8()?;
                }
                self.part = Some(Decoded::Source(event.bytes().slice(cursor.offset()..event.body_end())));
            }
            // Group replication's own, and what servers pass over.
            kind::IGNORABLE | kind::TRANSACTION_CONTEXT | kind::VIEW_CHANGE => {}
            // A dump is decrypted by the server; of files, `source::file` refuses this event.
            kind::START_ENCRYPTION => {}
            other => refuse(other, event)?,
        }
        Ok(())
    }

    fn query(&mut self, event: &Event) -> Result<()> {
        let mut query = QueryEvent::read(event.body(), self.post_header_length(event)?)?;
        let text = query.text.offset();
        let unfolded = match event.kind() {
            kind::QUERY_COMPRESSED => Some(self.unzip.unfold(event.bytes(), &mut query.text)?),
            _ => None,
        };
        let verb = match &unfolded {
            Some(bytes) => Verb::of(bytes.get(text..).unwrap_or_default())?,
            None => Verb::of(query.text.rest())?,
        };
        let mut first = None;
        if self.group.is_none() {
            // A source without GTID events.
            if let Verb::Commit | Verb::Savepoint(_) | Verb::RollbackTo(_) = verb {
                return Err(corrupt("expected the start of a transaction, found a statement that ends or divides one"));
            }
            self.group = Some(Group::new(self.at(event.start()), None, Phase::Announced));
            first = Some(Decoded::Begin(begin(self.at(event.start()), Clock::default())));
        }
        let Some(group) = &mut self.group else { return Ok(()) };
        group.thread = Some(query.thread);
        let step = group.step(verb)?;
        if matches!(step, Step::Quiet) {
            self.part = first;
            return Ok(());
        }
        let mut parts = [first, None, None];
        let [_, part, last] = &mut parts;
        let (start, end) = (self.at(event.start()), self.at(event.end()));
        let statement = || {
            let bytes = unfolded.unwrap_or_else(|| event.bytes().slice(..event.body_end()));
            let mut statement = Statement::new(query.schema, bytes.slice(text..), start.clone(), end.clone());
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
                *last = Some(self.end(event, Outcome::Committed));
            }
            Step::End(outcome) => *last = Some(self.end(event, outcome)),
        }
        let mut parts = parts.into_iter().flatten();
        self.part = parts.next();
        self.due.extend(parts);
        Ok(())
    }

    /// Closes the transaction.
    fn end(&mut self, event: &Event, outcome: Outcome) -> Decoded {
        let thread = self.group.take().and_then(|group| group.thread);
        self.tables.close();
        Decoded::End(End { end: self.at(event.end()), seconds: event.seconds(), thread, outcome })
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

fn begin(start: Coordinates, clock: Clock) -> Begin {
    let micros = |time: u64| Some(time).filter(|time| *time > 0);
    Begin {
        start,
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
