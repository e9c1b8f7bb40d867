//! Why a sandbox server could not be had, and what to do about it.

use std::error::Error;
use std::fmt;
use std::io;

/// A failure of the sandbox, in one line: what happened, and what to do where something can be done.
pub struct SandboxError {
    kind: SandboxErrorKind,
    message: String,
    code: Option<u16>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// What sort of failure a [`SandboxError`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SandboxErrorKind {
    /// A name that is no [`Kind`](super::Kind).
    UnknownKind,
    /// Servers cannot be had on this machine: the platform or a program is missing, or the download failed.
    Unavailable,
    /// The server did not start.
    Start,
    /// The server did not stop when asked, and was killed.
    Stop,
    /// The server is not running.
    NotRunning,
    /// The server refused a statement; [`SandboxError::code`] is its error number.
    Statement,
    /// The connection broke, or could not be made.
    Connection,
    /// The server's package has no such program.
    NoProgram,
    /// A file or a process of this machine failed.
    Io,
}

impl SandboxError {
    pub(super) fn new(kind: SandboxErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), code: None, source: None }
    }

    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(SandboxErrorKind::Unavailable, message)
    }

    pub(super) fn io(doing: impl fmt::Display, error: io::Error) -> Self {
        Self::new(SandboxErrorKind::Io, format!("could not {doing}")).caused_by(error)
    }

    pub(super) fn with_code(mut self, code: u16) -> Self {
        self.code = Some(code);
        self
    }

    pub(super) fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What sort of failure this is.
    #[must_use]
    pub fn kind(&self) -> SandboxErrorKind {
        self.kind
    }

    /// The server's own error number, for [`SandboxErrorKind::Statement`].
    #[must_use]
    pub fn code(&self) -> Option<u16> {
        self.code
    }
}

impl fmt::Display for SandboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Tests return this error from `main` and `#[test]`, which print it with `Debug`: message and causes in one line.
impl fmt::Debug for SandboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.message)?;
        let mut cause = self.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl Error for SandboxError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|error| error as &(dyn Error + 'static))
    }
}
