//! The three things that decoding says when it stops.

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
