use std::io::{self, StdoutLock, Write};

use bluegreen::{Error, ErrorKind, Result};

/// Bytes that are written at once.
const CHUNK: usize = 1 << 16;
/// A buffer that grew beyond this for one long line is given back.
const KEPT: usize = 1 << 20;

/// Standard output, whole lines only.
pub(super) struct Out {
    stdout: StdoutLock<'static>,
    /// Whole lines, then the one that is being made.
    pub(super) bytes: Vec<u8>,
    /// Where the last whole line ends.
    whole: usize,
}

impl Out {
    pub(super) fn new() -> Out {
        Out { stdout: io::stdout().lock(), bytes: Vec::with_capacity(2 * CHUNK), whole: 0 }
    }

    /// Ends the line.
    #[inline]
    pub(super) fn end_line(&mut self) -> Result<()> {
        self.bytes.push(b'\n');
        self.whole = self.bytes.len();
        if self.whole >= CHUNK { self.write() } else { Ok(()) }
    }

    /// Writes what is whole.
    pub(super) fn flush(&mut self) -> Result<()> {
        self.write()?;
        self.stdout.flush().map_err(failed)
    }

    fn write(&mut self) -> Result<()> {
        let written = self.stdout.write_all(&self.bytes[..self.whole]);
        self.bytes.clear();
        self.bytes.shrink_to(KEPT);
        self.whole = 0;
        written.map_err(failed)
    }
}

fn failed(error: io::Error) -> Error {
    Error::new(ErrorKind::Io, "standard output cannot be written").with_source(error)
}

/// Whether nobody reads standard output any more.
pub(super) fn is_closed_pipe(error: &Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    source.is_some_and(|source| source.kind() == io::ErrorKind::BrokenPipe)
}
