use std::fs::File;
use std::io::Read;
use std::iter::FusedIterator;
use std::path::Path;

use super::End;
use super::chunks::Chunks;
use super::fault::{corrupt, failed};
use super::format::{self, HEADER_LENGTH, Header, MAGIC_LENGTH, ROTATE, STOP};
use crate::error::{Error, Result};
use crate::model::{Coordinates, Frame, ServerVersion};

/// The frames of one file, in order; then [`FileSource::end`] tells how the file ends.
#[derive(Debug)]
pub struct FileSource<R = File> {
    chunks: Chunks<R>,
    at: Coordinates,
    is_in_use: bool,
    server: Option<ServerVersion>,
    pub(super) has_checksums: bool,
    /// How the file ends if the last event was its last.
    so_far: End,
    end: Option<End>,
    is_done: bool,
}

impl FileSource {
    /// Opens a log file.
    ///
    /// # Errors
    /// `Io`: the file cannot be read. `Corrupt`: it is not a log file. `Unsupported`: it is encrypted.
    pub fn open(path: impl AsRef<Path>) -> Result<FileSource> {
        let path = path.as_ref();
        let name = file_name(path);
        let file = File::open(path).map_err(|error| failed(error, &Coordinates::new(name.as_str(), 0)))?;
        FileSource::new(file, name)
    }
}

impl<R: Read> FileSource<R> {
    /// Reads a log file's bytes from its start; `name` is what the server lists it by. The reader needs no buffer.
    ///
    /// # Errors
    /// As [`FileSource::open`].
    pub fn new(reader: R, name: impl Into<String>) -> Result<FileSource<R>> {
        let mut at = Coordinates::new(name.into(), 0);
        let mut chunks = Chunks::new(reader);
        let magic = chunks.take(MAGIC_LENGTH).map_err(|error| failed(error, &at))?;
        format::expect_magic(&magic, &at)?;
        at.offset = 4;
        Ok(FileSource {
            chunks,
            at,
            is_in_use: false,
            server: None,
            has_checksums: false,
            so_far: End::Open,
            end: None,
            is_done: false,
        })
    }

    /// Where the next event starts: in front of a call of `next`, where its frame starts; behind it, where it ends.
    pub fn coordinates(&self) -> &Coordinates {
        &self.at
    }

    /// How the file ends; `None` before the iteration has come there, and after an error.
    pub fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// The server that wrote the file, as its format description says; `None` before the first frame.
    pub fn server(&self) -> Option<ServerVersion> {
        self.server
    }

    /// Whether the file says that it was not closed: the server still writes to it, or crashed. `false` before the first
    /// frame.
    pub fn is_in_use(&self) -> bool {
        self.is_in_use
    }

    fn read(&mut self) -> Result<Option<Frame>> {
        let is_first = self.at.offset == 4;
        let found = self.chunks.peek(HEADER_LENGTH).map_err(|error| failed(error, &self.at))?;
        let header = match found.first_chunk() {
            Some(header) => Header::read(header, &self.at)?,
            None if found.is_empty() && !is_first => {
                self.end = Some(self.so_far.clone());
                return Ok(None);
            }
            None => {
                let found = found.len();
                return self.cut(HEADER_LENGTH, found);
            }
        };
        if is_first {
            header.expect_first(&self.at)?;
            self.is_in_use = header.is_in_use();
        }
        let event = self.chunks.take(header.size).map_err(|error| failed(error, &self.at))?;
        if event.len() < header.size {
            if !header.fits(&self.at) {
                return Err(self.not_that_long(header.size, event.len()));
            }
            return self.cut(header.size, event.len());
        }
        if is_first {
            let (server, has_checksums) = format::read_description(&event, &self.at)?;
            (self.server, self.has_checksums) = (Some(server), has_checksums);
        }
        self.so_far = match header.kind {
            ROTATE => End::Clean { next: Some(format::next_file(&event, self.has_checksums)) },
            STOP => End::Clean { next: None },
            _ => End::Open,
        };
        self.at.offset = self.at.offset.saturating_add(length(event.len()));
        Ok(Some(Frame::new(event)))
    }

    /// The end inside of an event.
    fn cut(&mut self, expected: usize, found: usize) -> Result<Option<Frame>> {
        if !self.is_in_use {
            return Err(self.cut_though_closed(expected, found));
        }
        self.end = Some(End::Unfinished { offset: self.at.offset, bytes: length(found) });
        Ok(None)
    }

    /// A length that is wrong would otherwise look like the end of a file that is written now.
    fn not_that_long(&self, expected: usize, found: usize) -> Error {
        let message = format!(
            "the file ends inside an event whose length and end do not agree: expected {expected} bytes, found {found} bytes"
        );
        corrupt(message, &self.at).with_advice("take the file again from the server: it is damaged")
    }

    fn cut_though_closed(&self, expected: usize, found: usize) -> Error {
        let message = format!("the file ends inside an event: expected {expected} bytes, found {found} bytes");
        corrupt(message, &self.at).with_advice("take the file again from the server: it is not whole")
    }
}

impl<R: Read> Iterator for FileSource<R> {
    type Item = Result<Frame>;

    fn next(&mut self) -> Option<Result<Frame>> {
        if self.is_done {
            return None;
        }
        match self.read() {
            Ok(Some(frame)) => Some(Ok(frame)),
            last => {
                self.is_done = true;
                last.transpose()
            }
        }
    }
}

impl<R: Read> FusedIterator for FileSource<R> {}

/// The name that a server lists a file by.
pub(super) fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
