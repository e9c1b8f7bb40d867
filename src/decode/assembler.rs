//! Parts to whole transactions, for whoever does not want to see them stream.
//!
//! # Invariants
//! 1. A transaction leaves whole or not at all, unless parts were asked for; then a part leaves when it is full. Changes
//!    that were rolled back are not in it.
//! 2. Memory is bounded: what is kept is charged before.
//! 3. A two-phase transaction is held until its commit. One whose PREPARE was not seen is an error, not nothing, unless
//!    whoever asked for that tells the two apart.

use std::collections::HashMap;

use super::DecoderOptions;
use super::decoder::Decoder;
use super::fault::{Stopped, corrupt, limit, unsupported};
use super::transaction::{AlterPhase, Begin, Change, Decoded, End, Outcome, Prepared, Transaction, Xid};
use crate::error::{Error, Result};
use crate::model::{Coordinates, Frame};

const MICROS_PER_SECOND: u64 = 1_000_000;

/// The most bytes of events, unfolded where they are compressed, that an [`Assembler`] keeps unless it is told
/// otherwise: 1 GiB.
const MAX_KEPT_BYTES: u64 = 1 << 30;

/// What frames add up to.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Assembled {
    /// A committed transaction; behind its parts the rest of it.
    Transaction(Transaction),
    /// The next changes of a transaction that is larger than [`Assembler::with_parts`] lets it be. It ends as a
    /// `Transaction`, or never: behind an error nothing of it counts. Up to there its `end` is the last part's, and it has
    /// no time.
    Part(Transaction),
    /// A two-phase transaction was prepared; what it did comes with its commit. A stream that starts again from here
    /// must start in front of it, or that commit is an error.
    Prepared(Prepared),
    /// A point between transactions was passed without one: a stream may start again from here.
    Advanced(Coordinates),
    /// The source is idle, or passed transactions that were not asked for. A stream may start again from here.
    Heartbeat(Coordinates),
}

/// Frames of one stream to whole transactions.
///
/// # Guarantees
/// Transactions come in log order, each once and whole. After an error every call is an error. After each
/// [`push`](Self::push) take everything that [`next`](Self::next) has.
///
/// ```
/// use bluegreen::decode::{Assembler, DecoderOptions};
/// use bluegreen::model::{Coordinates, Flavor, Frame};
///
/// let start = Coordinates::new("bin.000001", 4);
/// let mut assembler = Assembler::new(DecoderOptions::new(Flavor::MySql, start.clone()));
/// let cut = Frame::new(b"half a header".as_slice().into());
/// assert!(assembler.push(cut).and_then(|()| assembler.next()).is_err());
/// assert_eq!(assembler.coordinates(), &start);
/// ```
#[derive(Debug)]
pub struct Assembler {
    decoder: Decoder,
    open: Option<Open>,
    prepared: HashMap<Xid, Open>,
    max_kept_bytes: u64,
    max_part_bytes: u64,
    kept_bytes: u64,
    /// The last frame ended a transaction.
    has_ended_one: bool,
    gives_unprepared: bool,
    stopped: Option<Stopped>,
}

/// A transaction whose end was not seen.
#[derive(Debug)]
struct Open {
    begin: Begin,
    changes: Vec<Change>,
    kept_bytes: u64,
    /// Bytes in the log, known at the end.
    bytes: u64,
    /// How many parts of it have left, and with how many changes.
    parts: u64,
    gone_changes: u64,
}

impl Assembler {
    /// An assembler of a stream's first frame on.
    pub fn new(options: DecoderOptions) -> Assembler {
        Assembler {
            decoder: Decoder::new(options),
            open: None,
            prepared: HashMap::new(),
            max_kept_bytes: MAX_KEPT_BYTES,
            max_part_bytes: u64::MAX,
            kept_bytes: 0,
            has_ended_one: false,
            gives_unprepared: false,
            stopped: None,
        }
    }

    /// Bounds what open and prepared transactions may keep, in bytes of events, unfolded where they are compressed.
    #[must_use]
    pub fn with_max_kept_bytes(mut self, max_kept_bytes: u64) -> Assembler {
        self.max_kept_bytes = max_kept_bytes;
        self
    }

    /// Gives transactions of more than so many bytes of events, unfolded where they are compressed, in parts, each as soon
    /// as it is full. Without it all come whole. Two-phase transactions always do.
    #[must_use]
    pub fn with_parts(mut self, max_part_bytes: u64) -> Assembler {
        self.max_part_bytes = max_part_bytes;
        self
    }

    /// Gives transactions that were prepared in front of the stream's start, without what they did: for a stream that
    /// starts in front of what was applied, which [`Transaction::is_unprepared`] of what comes behind must stop.
    #[must_use]
    pub fn with_unprepared(mut self, gives_unprepared: bool) -> Assembler {
        self.gives_unprepared = gives_unprepared;
        self
    }

    /// The end of the last event that was understood. Inside of a transaction no stream may start from here.
    pub fn coordinates(&self) -> &Coordinates {
        self.decoder.coordinates()
    }

    /// Whether a transaction has begun and not ended: a stream that ends now is cut.
    pub fn is_in_transaction(&self) -> bool {
        self.open.is_some()
    }

    /// Takes the next frame, in log order.
    ///
    /// # Errors
    /// `Corrupt`: bytes that no server writes, a checksum that does not match, a lost frame. `Unsupported`: something
    /// that is not handled, see the module.
    pub fn push(&mut self, frame: Frame) -> Result<()> {
        self.guarded(|assembler| {
            assembler.has_ended_one = false;
            assembler.decoder.push(frame)
        })
    }

    /// What the frames so far add up to; `None`: the next frame is needed.
    ///
    /// # Errors
    /// Those of [`push`](Self::push), and `Limit`: transactions above the bound.
    #[expect(clippy::should_implement_trait, reason = "it ends for want of a frame only")]
    pub fn next(&mut self) -> Result<Option<Assembled>> {
        self.guarded(|assembler| {
            while let Some(decoded) = assembler.decoder.next()? {
                if let Some(assembled) = assembler.take(decoded)? {
                    return Ok(Some(assembled));
                }
            }
            Ok(None)
        })
    }

    /// Stays stopped after an error.
    fn guarded<T>(&mut self, step: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if let Some(stopped) = &self.stopped {
            return Err(stopped.again());
        }
        let result = step(self);
        if let Err(error) = &result {
            self.stopped = Some(Stopped::by(error));
        }
        result
    }

    fn take(&mut self, decoded: Decoded) -> Result<Option<Assembled>> {
        match decoded {
            Decoded::Begin(begin) => {
                self.open =
                    Some(Open { begin, changes: Vec::new(), kept_bytes: 0, bytes: 0, parts: 0, gone_changes: 0 });
            }
            Decoded::Rows(change) => {
                let start = change.start.clone();
                let end = Coordinates { offset: change.end, ..change.start.clone() };
                self.keep(Change::Rows(change)).map_err(|error| at(error, &start))?;
                return Ok(self.full_part(end));
            }
            Decoded::Statement(statement) => {
                let start = statement.start.clone();
                if statement.error_code != 0 {
                    let code = statement.error_code;
                    let error =
                        unsupported(format!("a statement failed with error {code} on the source and was logged"));
                    return Err(at(error, &start).with_advice(
                        "it may have been carried out in part: compare the two servers and start behind it",
                    ));
                }
                self.keep(Change::Statement(statement)).map_err(|error| at(error, &start))?;
            }
            Decoded::SessionValue { start, .. } => {
                let error = unsupported("a change was logged as a statement, not as rows");
                return Err(
                    at(error, &start).with_advice("set binlog_format=ROW on the source, for running sessions too")
                );
            }
            Decoded::RolledBack { kept, statement } => {
                self.roll_back(kept).map_err(|error| at(error, &statement.start))?;
            }
            Decoded::End(end) => return self.end(end),
            Decoded::Advanced(coordinates) => return Ok(Some(Assembled::Advanced(coordinates))),
            Decoded::Heartbeat(coordinates) => return Ok(Some(Assembled::Heartbeat(coordinates))),
            Decoded::Savepoint(_) | Decoded::Source(_) | Decoded::Previous(_) => {}
        }
        Ok(None)
    }

    fn keep(&mut self, change: Change) -> Result<()> {
        let bytes = change.byte_count();
        self.kept_bytes = self.kept_bytes.saturating_add(bytes);
        if self.kept_bytes > self.max_kept_bytes {
            let (found, bound) = (self.kept_bytes, self.max_kept_bytes);
            return Err(limit(format!("open transactions have {found} bytes or more, the bound is {bound} bytes"))
                .with_advice("raise the bound, or let this transaction pass before starting"));
        }
        let Some(open) = &mut self.open else { return Err(Error::internal("a change outside of a transaction")) };
        open.kept_bytes = open.kept_bytes.saturating_add(bytes);
        open.changes.push(change);
        Ok(())
    }

    /// The changes that are kept, once they are enough for a part.
    fn full_part(&mut self, end: Coordinates) -> Option<Assembled> {
        let open = self.open.as_mut().filter(|open| open.kept_bytes >= self.max_part_bytes)?;
        if self.decoder.is_two_phase() {
            return None;
        }
        let mut part = Transaction::new(open.begin.start.clone(), end);
        part.gtid.clone_from(&open.begin.gtid);
        part.parts = open.parts;
        part.changes = std::mem::take(&mut open.changes);
        open.parts = open.parts.saturating_add(1);
        open.gone_changes = open.gone_changes.saturating_add(u64::try_from(part.changes.len()).unwrap_or(u64::MAX));
        self.kept_bytes = self.kept_bytes.saturating_sub(std::mem::take(&mut open.kept_bytes));
        Some(Assembled::Part(part))
    }

    /// Bytes of what is undone stay charged until the transaction ends.
    fn roll_back(&mut self, kept: u64) -> Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let kept = kept.checked_sub(open.gone_changes).ok_or_else(|| {
            unsupported("a transaction too large for one piece is rolled back in part")
                .with_advice("this is logged for non-transactional tables only: convert these to InnoDB")
        })?;
        open.changes.truncate(usize::try_from(kept).unwrap_or(usize::MAX));
        Ok(())
    }

    fn end(&mut self, End { end, seconds, thread, outcome }: End) -> Result<Option<Assembled>> {
        let Some(mut open) = self.open.take() else { return Err(Error::internal("an end outside of a transaction")) };
        if std::mem::replace(&mut self.has_ended_one, true) {
            // A stream could not start again between the two.
            return Err(at(corrupt("an event ends more than one transaction"), &end));
        }
        open.bytes = end.offset.saturating_sub(open.begin.start.offset);
        let mut transaction = match outcome {
            Outcome::Committed => self.finish(open, None, end, seconds),
            Outcome::RolledBack if open.changes.is_empty() && open.parts == 0 => self.finish(open, None, end, seconds),
            Outcome::RolledBack => {
                let error = unsupported("a transaction with changes ends in ROLLBACK");
                return Err(
                    at(error, &end).with_advice("the changes are of non-transactional tables: convert these to InnoDB")
                );
            }
            Outcome::Prepared(xid) => {
                let (start, gtid) = (open.begin.start.clone(), open.begin.gtid.clone());
                if self.prepared.insert(xid.clone(), open).is_some() {
                    return Err(at(corrupt("a two-phase transaction is prepared twice"), &end));
                }
                return Ok(Some(Assembled::Prepared(Prepared { xid, start, end, gtid })));
            }
            Outcome::CommittedPrepared(xid) => {
                let held = self.prepared.remove(&xid);
                if held.is_none() && !self.gives_unprepared {
                    return Err(unprepared(&end));
                }
                let is_unprepared = held.is_none();
                let mut transaction = self.finish(open, held.map(|held| (xid, held)), end, seconds);
                transaction.is_unprepared = is_unprepared;
                transaction
            }
            Outcome::RolledBackPrepared(xid) => {
                // A source rolls back prepared transactions that were prepared before the stream's start; they had no
                // effect then and have none now.
                let held = self.prepared.remove(&xid).map(|mut held| {
                    held.changes.clear();
                    (xid, held)
                });
                self.finish(open, held, end, seconds)
            }
        };
        transaction.thread = thread;
        Ok(Some(Assembled::Transaction(transaction)))
    }

    fn finish(&mut self, open: Open, held: Option<(Xid, Open)>, end: Coordinates, seconds: u32) -> Transaction {
        let mut transaction = Transaction::new(open.begin.start.clone(), end);
        self.kept_bytes = self.kept_bytes.saturating_sub(open.kept_bytes);
        transaction.bytes = open.bytes;
        transaction.parts = open.parts;
        transaction.changes = match open.begin.alter {
            // The group that ends the ALTER has the statement again, if it is to be made.
            Some(AlterPhase::Start | AlterPhase::Rollback) => Vec::new(),
            _ => open.changes,
        };
        if let Some((xid, held)) = held {
            self.kept_bytes = self.kept_bytes.saturating_sub(held.kept_bytes);
            transaction.bytes = transaction.bytes.saturating_add(held.bytes);
            transaction.changes = held.changes;
            transaction.prepared_gtid = held.begin.gtid;
            transaction.prepared_xid = Some(xid);
        }
        transaction.gtid = open.begin.gtid;
        transaction.last_committed = open.begin.last_committed;
        transaction.sequence_number = open.begin.sequence_number;
        transaction.committed_at_micros =
            open.begin.committed_at_micros.unwrap_or_else(|| u64::from(seconds).saturating_mul(MICROS_PER_SECOND));
        transaction
    }
}

/// The error of a commit whose PREPARE was not seen.
pub(crate) fn unprepared(end: &Coordinates) -> Error {
    let error = unsupported("a two-phase transaction is committed that was prepared before the stream's start");
    at(error, end).with_advice("start from a position before its XA PREPARE, or build green anew with `create`")
}

fn at(error: Error, coordinates: &Coordinates) -> Error {
    error.at(|place| place.coordinates = Some(coordinates.clone()))
}
