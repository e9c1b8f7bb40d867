//! Binary log files.
//!
//! # Invariants
//! 1. Memory follows the bytes that are in the file, not the length that an event claims.
//! 2. A file that ends inside of an event is an error, never an end.
//! 3. After an error or the end nothing more comes.
//!
//! Format: MySQL source, `sql/binlog_istream.cc` and `libs/mysql/binlog/event/binlog_event.h`, "Binlog file header".

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind as IoErrorKind, Read};
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{Coordinates, Frame};

const MAGIC: [u8; 4] = *b"\xfebin";
const ENCRYPTED_MAGIC: [u8; 4] = *b"\xfdbin";
const HEADER_LENGTH: u64 = 19;
/// 1 GiB, the largest packet that servers take, and room for an event's fixed parts.
const MAX_EVENT_LENGTH: u64 = (1 << 30) + (1 << 20);
const START_ENCRYPTION: u8 = 164;

/// The frames of one file, in order.
///
/// The end of the file may be inside of a transaction, on a source that runs or crashed: ask the decoder.
#[derive(Debug)]
pub struct FileSource<R = BufReader<File>> {
    reader: R,
    at: Coordinates,
    is_done: bool,
}

impl FileSource {
    /// Opens a log file.
    ///
    /// # Errors
    /// `Io`: the file cannot be read. `Corrupt`: it is not a log file. `Unsupported`: it is encrypted.
    pub fn open(path: impl AsRef<Path>) -> Result<FileSource> {
        let path = path.as_ref();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let file = File::open(path).map_err(|error| failed(error, &Coordinates::new(name.as_str(), 0)))?;
        FileSource::new(BufReader::with_capacity(1 << 18, file), name)
    }
}

impl<R: BufRead> FileSource<R> {
    /// Reads a log file's bytes from its start; `name` is what the server lists it by.
    ///
    /// # Errors
    /// As [`FileSource::open`].
    pub fn new(mut reader: R, name: impl Into<String>) -> Result<FileSource<R>> {
        let mut at = Coordinates::new(name.into(), 0);
        let mut magic = Vec::with_capacity(MAGIC.len());
        (&mut reader).take(4).read_to_end(&mut magic).map_err(|error| failed(error, &at))?;
        if magic == ENCRYPTED_MAGIC {
            return Err(located(ErrorKind::Unsupported, "the log file is encrypted", &at)
                .with_advice("read it from the running server, which decrypts it"));
        }
        if magic != MAGIC {
            return Err(located(ErrorKind::Corrupt, "expected a binary log file, found another one", &at));
        }
        at.offset = 4;
        Ok(FileSource { reader, at, is_done: false })
    }

    /// Where the next event starts.
    pub fn coordinates(&self) -> &Coordinates {
        &self.at
    }

    fn read(&mut self) -> Result<Option<Frame>> {
        let mut event = Vec::with_capacity(256);
        self.fill(&mut event, HEADER_LENGTH)?;
        if event.is_empty() {
            return Ok(None);
        }
        let (kind, size) = match event.as_slice() {
            [_, _, _, _, kind, _, _, _, _, a, b, c, d, _, _, _, _, _, _] => {
                (*kind, u32::from_le_bytes([*a, *b, *c, *d]))
            }
            cut => return Err(self.cut(HEADER_LENGTH, cut.len())),
        };
        let size = u64::from(size);
        if !(HEADER_LENGTH..=MAX_EVENT_LENGTH).contains(&size) {
            let message =
                format!("expected an event of {HEADER_LENGTH} to {MAX_EVENT_LENGTH} bytes, found {size} bytes");
            return Err(located(ErrorKind::Corrupt, message, &self.at));
        }
        self.fill(&mut event, size.saturating_sub(HEADER_LENGTH))?;
        if u64::try_from(event.len()).ok() != Some(size) {
            return Err(self.cut(size, event.len()));
        }
        if kind == START_ENCRYPTION {
            return Err(located(ErrorKind::Unsupported, "the log file is encrypted from here on", &self.at)
                .at(|place| place.event = Some("START_ENCRYPTION".into()))
                .with_advice("read it from the running server, which decrypts it"));
        }
        self.at.offset = self.at.offset.saturating_add(size);
        Ok(Some(Frame::new(event.into())))
    }

    /// Adds up to `length` bytes, fewer at the end of the file.
    fn fill(&mut self, event: &mut Vec<u8>, length: u64) -> Result<()> {
        (&mut self.reader).take(length).read_to_end(event).map(drop).map_err(|error| failed(error, &self.at))
    }

    fn cut(&self, expected: u64, found: usize) -> Error {
        let message = format!("the file ends inside an event: expected {expected} bytes, found {found} bytes");
        located(ErrorKind::Corrupt, message, &self.at)
    }
}

impl<R: BufRead> Iterator for FileSource<R> {
    type Item = Result<Frame>;

    fn next(&mut self) -> Option<Result<Frame>> {
        if self.is_done {
            return None;
        }
        let next = self.read().transpose();
        self.is_done = !matches!(next, Some(Ok(_)));
        next
    }
}

impl<R: BufRead> std::iter::FusedIterator for FileSource<R> {}

fn located(kind: ErrorKind, message: impl Into<std::borrow::Cow<'static, str>>, at: &Coordinates) -> Error {
    Error::new(kind, message).at(|place| place.coordinates = Some(at.clone()))
}

fn failed(error: std::io::Error, at: &Coordinates) -> Error {
    let message = match error.kind() {
        IoErrorKind::NotFound => "the log file does not exist",
        IoErrorKind::PermissionDenied => "the log file may not be read",
        _ => "the log file cannot be read",
    };
    located(ErrorKind::Io, message, at).with_source(error)
}
