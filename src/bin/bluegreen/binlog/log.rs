//! Files to what a report is told of.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

use bluegreen::decode::{AlterPhase, Begin, Decoded, Decoder, Outcome, RowsChange, Xid};
use bluegreen::model::{Coordinates, Flavor};
use bluegreen::source::file::{End, FileSeries};
use bluegreen::{Error, ErrorKind, Result};

use super::Binlog;
use super::statement::Said;

/// Who is told what the log holds, in the log's order.
pub(super) trait Report {
    fn rows(&mut self, begin: &Begin, change: &RowsChange) -> Result<()>;

    fn statement(&mut self, begin: &Begin, said: &Said<'_>) -> Result<()>;

    /// An event of so many bytes was read.
    fn event(&mut self, _bytes: u64) {}

    /// A transaction ended.
    fn transaction(&mut self) {}

    /// Writes what is left to write, behind an error too.
    fn flush(&mut self) -> Result<()>;

    /// The log was read to its end.
    fn finish(&mut self) -> Result<()> {
        self.flush()
    }
}

/// Reads the files, and tells the report of what was asked for. A stop is heeded between two transactions.
pub(super) fn read(arguments: &Binlog, is_stopped: &AtomicBool, report: &mut impl Report) -> Result<()> {
    let mut series = FileSeries::open(&arguments.files)?;
    let start = series.coordinates().clone();
    let Some(first) = series.next() else { return note_end(&series, None) };
    let mut frame = first?;
    let flavor = series.server().map_or(Flavor::MySql, |server| server.flavor);
    let mut decoder = Decoder::new(arguments.decoder_options(flavor, start));
    let mut selection = Selection::new(arguments, flavor);
    loop {
        let (bytes, end) = (frame.bytes.len() as u64, series.coordinates().offset);
        let start = end.saturating_sub(bytes);
        let is_first_file = series.ends().is_empty();
        let is_last_file = series.ends().len() + 1 == arguments.files.len();
        if is_last_file && arguments.to.is_some_and(|to| start >= to) {
            return Ok(());
        }
        let is_wanted = !(is_first_file && arguments.from.is_some_and(|from| start < from));
        if is_wanted {
            report.event(bytes);
        }
        decoder.push(frame)?;
        while let Some(decoded) = decoder.next()? {
            selection.part(decoded, is_wanted, report)?;
        }
        expect_no_gap(&decoder, series.coordinates())?;
        if is_stopped.load(Ordering::Relaxed) && decoder.transaction_start().is_none() {
            return Ok(());
        }
        frame = match series.next() {
            Some(next) => next?,
            None => return note_end(&series, decoder.transaction_start()),
        };
    }
}

/// What a dump may leave out, a file has.
fn expect_no_gap(decoder: &Decoder, at: &Coordinates) -> Result<()> {
    let passed = decoder.coordinates();
    if passed.file != at.file || passed.offset <= at.offset {
        return Ok(());
    }
    let message = format!("{} bytes of the log are missing before here", passed.offset - at.offset);
    Err(Error::new(ErrorKind::Corrupt, message)
        .at(|place| place.coordinates = Some(at.clone()))
        .with_advice("take the file again from the server: it is not whole"))
}

/// Says how the log ends where that is not between transactions. A file that was closed does not end there.
fn note_end(series: &FileSeries, open: Option<&Coordinates>) -> Result<()> {
    if let Some(start) = open
        && !series.is_in_use()
    {
        let message = "the file ends inside of the transaction that starts here, though it was closed";
        return Err(Error::new(ErrorKind::Corrupt, message)
            .at(|place| place.coordinates = Some(start.clone()))
            .with_advice("take the file again from the server: it is not whole"));
    }
    for (file, end) in series.ends() {
        if let End::Unfinished { offset, bytes } = end {
            eprintln!(
                "bluegreen: note: {file} ends with {bytes} bytes of the event at {offset}, which was never finished"
            );
        }
    }
    if let Some(start) = open {
        eprintln!("bluegreen: note: the transaction at {start} is not finished in the file");
    }
    Ok(())
}

/// Which parts are told.
struct Selection<'a> {
    arguments: &'a Binlog,
    flavor: Flavor,
    /// The open transaction.
    begin: Option<Begin>,
    /// Whether rows of it were told.
    has_rows: bool,
    /// Transactions that were prepared with rows that were told.
    prepared: HashSet<Xid>,
}

impl<'a> Selection<'a> {
    fn new(arguments: &'a Binlog, flavor: Flavor) -> Selection<'a> {
        Selection { arguments, flavor, begin: None, has_rows: false, prepared: HashSet::new() }
    }

    fn part(&mut self, decoded: Decoded, is_wanted: bool, report: &mut impl Report) -> Result<()> {
        let decoded = match decoded {
            Decoded::Begin(begin) => {
                (self.begin, self.has_rows) = (Some(begin), false);
                return Ok(());
            }
            decoded => decoded,
        };
        // All others that are told are inside of a transaction.
        let Some(begin) = self.begin.as_ref().filter(|_| is_wanted) else { return Ok(()) };
        let all = self.arguments.table.is_none();
        match decoded {
            Decoded::Rows(change) if self.arguments.shows(&change.table.name) => {
                self.has_rows = true;
                report.rows(begin, &change)?;
            }
            // An ALTER in two phases is logged twice, and is made with the second.
            Decoded::Statement(_) if matches!(begin.alter, Some(AlterPhase::Start | AlterPhase::Rollback)) => {}
            Decoded::Statement(statement) if all => {
                report.statement(begin, &Said::statement(&statement, self.flavor)?)?
            }
            Decoded::SessionValue { value, start, end } if all => {
                let end = Coordinates::new(start.file, end);
                report.statement(begin, &Said::session_value(&value, self.flavor, end))?;
            }
            Decoded::Savepoint(statement) | Decoded::RolledBack { statement, .. } if all || self.has_rows => {
                report.statement(begin, &Said::statement(&statement, self.flavor)?)?;
            }
            Decoded::End(end) => {
                report.transaction();
                let ends_rows = match &end.outcome {
                    Outcome::Prepared(xid) => self.has_rows && self.prepared.insert(xid.clone()),
                    Outcome::CommittedPrepared(xid) | Outcome::RolledBackPrepared(xid) => self.prepared.remove(xid),
                    _ => self.has_rows,
                };
                if let Some(said) = Said::end(&end.outcome, &begin.start, end.end).filter(|_| all || ends_rows) {
                    report.statement(begin, &said)?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}
