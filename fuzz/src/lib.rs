//! What the targets share: inputs taken apart, decoders that are watched, rows that are read in every way.

use bluegreen::decode::{DecimalBuffer, Decoded, Decoder, DecoderOptions, Image, RowBuffer, RowsChange, ValueRef};
use bluegreen::model::{Coordinates, Frame};
use bluegreen::testkit::{Event, LogWriter, Release};
use bluegreen::{Error, Result};

/// The most bytes of an event that is unfolded: what is larger is refused, so that memory is bounded by megabytes.
pub const MAX_EVENT_BYTES: u64 = 1 << 20;

/// An input, taken from its front. Where it ends, zeros follow.
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    pub fn short(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// Two bytes of a length, and so many bytes; fewer where the input ends.
    pub fn part(&mut self) -> &'a [u8] {
        let length = usize::from(self.short()).min(self.0.len());
        let (part, rest) = self.0.split_at(length);
        self.0 = rest;
        part
    }

    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    pub fn release(&mut self) -> Release {
        Release::ALL[usize::from(self.byte()) % Release::ALL.len()]
    }
}

pub fn options(release: Release) -> DecoderOptions {
    let mut options = DecoderOptions::new(release.flavor(), Coordinates::new("bin.000001", 4));
    options.max_event_bytes = MAX_EVENT_BYTES;
    options
}

/// A decoder that is held to its promises: what comes is well nested, coordinates stay where an error found them, and
/// after an error nothing but errors comes.
pub struct Watched {
    decoder: Decoder,
    is_in_transaction: bool,
    changes: u64,
    is_stopped: bool,
}

impl Watched {
    pub fn new(release: Release) -> Watched {
        Watched::with(options(release))
    }

    pub fn with(options: DecoderOptions) -> Watched {
        let decoder = Decoder::new(options);
        Watched { decoder, is_in_transaction: false, changes: 0, is_stopped: false }
    }

    pub fn coordinates(&self) -> &Coordinates {
        self.decoder.coordinates()
    }

    pub fn is_in_transaction(&self) -> bool {
        self.decoder.transaction_start().is_some()
    }

    /// All that a frame says.
    pub fn push(&mut self, frame: Frame) -> Result<Vec<Decoded>> {
        let before = self.decoder.coordinates().clone();
        let decoded = self.decode(frame);
        assert!(decoded.is_err() || !self.is_stopped, "a decoder that stopped goes on");
        if let Err(error) = &decoded {
            assert_eq!(*self.decoder.coordinates(), before, "an error moved the coordinates");
            expect_no_internal(error);
            self.is_stopped = true;
        }
        decoded
    }

    fn decode(&mut self, frame: Frame) -> Result<Vec<Decoded>> {
        self.decoder.push(frame)?;
        let mut all = Vec::new();
        while let Some(decoded) = self.decoder.next()? {
            self.watch(&decoded);
            all.push(decoded);
        }
        Ok(all)
    }

    fn watch(&mut self, decoded: &Decoded) {
        let was_in_transaction = self.is_in_transaction;
        match decoded {
            Decoded::Begin(begin) => {
                assert!(!was_in_transaction, "a transaction in another");
                assert!(begin.start.offset >= 4);
                (self.is_in_transaction, self.changes) = (true, 0);
            }
            Decoded::Rows(_) | Decoded::Statement(_) => {
                assert!(was_in_transaction, "a change outside of a transaction");
                self.changes += 1;
            }
            Decoded::SessionValue { .. } | Decoded::Source(_) => assert!(was_in_transaction),
            Decoded::RolledBack { kept, .. } => {
                assert!(was_in_transaction && *kept <= self.changes, "more is kept than there was");
                self.changes = *kept;
            }
            Decoded::End(_) => {
                assert!(was_in_transaction, "an end without a start");
                self.is_in_transaction = false;
            }
            Decoded::Previous(_) | Decoded::Advanced(_) => assert!(!was_in_transaction),
            _ => {}
        }
    }
}

/// No bytes are a fault of the code.
pub fn expect_no_internal(error: &Error) {
    assert_ne!(error.kind(), bluegreen::ErrorKind::Internal, "{error}");
}

/// The head of a release's log, and one event behind the other in a transaction of theirs.
pub fn log_with(release: Release, events: impl IntoIterator<Item = Event>) -> LogWriter {
    let mut log = LogWriter::new(release);
    for event in events {
        log.write(event);
    }
    log
}

/// Visits all rows and reads each value in every way that there is. Gives the number of rows.
pub fn visit(change: &RowsChange, buffer: &mut RowBuffer) -> Result<u64> {
    let mut count = 0;
    let mut rows = change.rows(buffer);
    let result = loop {
        match rows.next() {
            Ok(Some(row)) => {
                count += 1;
                assert!(row.before.is_some() || row.after.is_some());
                row.before.iter().chain(&row.after).for_each(visit_image);
            }
            Ok(None) => break Ok(count),
            Err(error) => break Err(error),
        }
    };
    assert!(matches!(rows.next(), Ok(None)), "something comes behind the last row or an error");
    result.inspect_err(expect_no_internal)
}

fn visit_image(image: &Image<'_>) {
    assert_eq!(image.len(), image.table().columns.len());
    let mut are_all_well = true;
    for (index, value) in image.iter().enumerate() {
        let again = image.get(index);
        match (value, again) {
            (Ok(Some(value)), Ok(Some(again))) => {
                are_all_well &= visit_value(value, image, index);
                assert_eq!(std::mem::discriminant(&value), std::mem::discriminant(&again));
            }
            (Ok(None), Ok(None)) => {}
            (Err(error), Err(_)) => {
                expect_no_internal(&error);
                are_all_well = false;
            }
            _ => panic!("a value is read in one way and not in the other"),
        }
    }
    assert_eq!(image.to_values().is_ok(), are_all_well);
}

/// Whether the value has an owned form.
fn visit_value(value: ValueRef<'_>, image: &Image<'_>, index: usize) -> bool {
    match value {
        ValueRef::Decimal(decimal) => {
            if let Ok(text) = decimal.text(&mut DecimalBuffer::default()) {
                let (precision, scale) = decimal.precision_and_scale();
                let digits = text.trim_start_matches('-').replace('.', "");
                assert!(digits.bytes().all(|digit| digit.is_ascii_digit()));
                assert!((1 + usize::from(scale)..=1 + usize::from(precision)).contains(&digits.len()));
            }
        }
        ValueRef::Bytes(bytes) => {
            let charset = image.table().columns[index].charset;
            let text = charset.and_then(|charset| charset.text(bytes));
            assert!(text.is_none_or(|text| text.len() <= 3 * bytes.len()));
        }
        ValueRef::Json(document) => {
            let mut text = String::new();
            let is_printed = document.write_text(&mut text).is_ok();
            assert!(!is_printed || document.to_tree().is_ok());
        }
        ValueRef::Date(moment) | ValueRef::Time(moment) | ValueRef::DateTime(moment) | ValueRef::Timestamp(moment) => {
            assert!(moment.fraction() <= 6);
            assert_eq!(moment.parts().is_ok(), value.to_value().is_ok());
        }
        ValueRef::JsonDiff(diff) => {
            diff.iter().for_each(drop);
            let _ = diff.write_json(&mut String::new());
        }
        _ => {}
    }
    match value.to_value() {
        Ok(owned) => {
            let _ = owned.temporal_text();
            assert!(!format!("{owned:?}").is_empty());
            true
        }
        Err(error) => {
            expect_no_internal(&error);
            false
        }
    }
}
