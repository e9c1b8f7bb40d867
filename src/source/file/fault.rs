//! What reading files says when it stops, always with the place.

use std::borrow::Cow;
use std::io::ErrorKind as IoErrorKind;

use crate::error::{Error, ErrorKind};
use crate::model::Coordinates;

pub(super) fn located(kind: ErrorKind, message: impl Into<Cow<'static, str>>, at: &Coordinates) -> Error {
    Error::new(kind, message).at(|place| place.coordinates = Some(at.clone()))
}

/// Bytes that no server writes.
pub(super) fn corrupt(message: impl Into<Cow<'static, str>>, at: &Coordinates) -> Error {
    located(ErrorKind::Corrupt, message, at)
}

/// A log that only the server can decrypt.
pub(super) fn encrypted(message: &'static str, at: &Coordinates) -> Error {
    located(ErrorKind::Unsupported, message, at).with_advice("read it from the running server, which decrypts it")
}

pub(super) fn failed(error: std::io::Error, at: &Coordinates) -> Error {
    let message = match error.kind() {
        IoErrorKind::NotFound => "the log file does not exist",
        IoErrorKind::PermissionDenied => "the log file may not be read",
        IoErrorKind::IsADirectory => "expected a log file, found a folder",
        _ => "the log file cannot be read",
    };
    located(ErrorKind::Io, message, at).with_source(error).with_advice("check the path, and who may read it")
}
