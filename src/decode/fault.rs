//! The three things that decoding says when it stops, and what it says ever after.

use std::borrow::Cow;

use crate::error::{Error, ErrorKind};

/// Bytes that no server writes.
#[cold]
pub(super) fn corrupt(message: impl Into<Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::Corrupt, message)
}

/// Something a server may write that this version does not handle.
#[cold]
pub(super) fn unsupported(message: impl Into<Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::Unsupported, message)
}

/// A bound that was reached before memory was taken.
#[cold]
pub(super) fn limit(message: impl Into<Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::Limit, message)
}

/// The error after which nothing more comes.
#[derive(Debug)]
pub(super) struct Stopped {
    kind: ErrorKind,
    message: String,
}

impl Stopped {
    #[cold]
    pub(super) fn by(error: &Error) -> Stopped {
        Stopped { kind: error.kind(), message: error.message().to_owned() }
    }

    /// The error of every later call.
    #[cold]
    pub(super) fn again(&self) -> Error {
        Error::new(self.kind, format!("decoding stopped before: {}", self.message))
    }
}
