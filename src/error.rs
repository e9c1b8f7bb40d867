//! One error type for the whole crate: what failed, where, and what to do about it.
//!
//! # Invariants
//! 1. [`Error::recovery`] is one exhaustive match on the kind; nothing else decides what may be retried.
//! 2. A message is one line, names no row value, no password and no whole statement.
//! 3. Conflicts, lag, drift and vetoes are values elsewhere, never an `Error`.

use std::borrow::Cow;
use std::fmt;

use crate::model::Coordinates;

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What failed, where, and what to do. One word wide; see [`Error::kind`] to act on it.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: Cow<'static, str>,
    place: Place,
    advice: Option<Cow<'static, str>>,
    code: Option<u16>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What kind of thing went wrong. Copy, without payload: match on it, count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// The call or the configuration is wrong.
    Config,
    /// A server could not be reached, or its name not resolved.
    Unreachable,
    /// An established connection ended or went silent.
    Disconnected,
    /// A server is shutting down, starting, or out of connections.
    Unavailable,
    /// A deadlock, a lock wait timeout: the transaction may be tried again as a whole.
    Contention,
    /// Wrong user or password, or an authentication this library does not speak.
    Authentication,
    /// The account lacks a privilege.
    Privilege,
    /// A server variable has a value that replication cannot work with.
    Setting,
    /// The log that holds the wanted position is no longer on the server.
    Purged,
    /// The position belongs to another server, or does not exist on this one.
    Position,
    /// Bytes that no server writes: a checksum that does not match, a cut event, a contradiction.
    Corrupt,
    /// Something a server may write that this version does not handle.
    Unsupported,
    /// A bound was reached before memory was taken.
    Limit,
    /// Green does not hold what the change supposes, and the change cannot be made.
    Divergence,
    /// Green is read-only for this account, or was promoted: the engine may not write there.
    ReadOnly,
    /// Another engine took over this stream; this one must not write any more.
    TakenOver,
    /// What is to be built is there already.
    NotEmpty,
    /// The pair of versions is not supported.
    Version,
    /// The deployment is in a state that does not allow the verb.
    State,
    /// The server refused a statement for a reason of its own.
    Refused,
    /// A bound in time was reached.
    Timeout,
    /// A file or the local system failed.
    Io,
    /// A broken promise of this library. Please report it.
    Internal,
}

/// What may follow an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Recovery {
    /// The world may change by itself: connect again and go on from the checkpoint.
    Retry,
    /// A person must change something first; trying again before that fails the same way.
    Operator,
    /// Going on would risk a wrong row.
    Halt,
}

/// Where an error happened, as far as is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Place {
    /// The server, as `host:port` or socket path; never with credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Log file and offset of the event.
    #[serde(flatten)]
    pub coordinates: Option<Coordinates>,
    /// The transaction's GTID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gtid: Option<String>,
    /// The event's type, with the manual's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<Cow<'static, str>>,
    /// `schema.table`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// The column's name or number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// Byte within the event, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub byte: Option<u64>,
}

impl Place {
    fn is_empty(&self) -> bool {
        *self == Place::default()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        let mut part = |f: &mut fmt::Formatter<'_>, text: fmt::Arguments<'_>| {
            write!(f, "{separator}{text}")?;
            separator = ", ";
            Ok(())
        };
        if let Some(server) = &self.server {
            part(f, format_args!("{server}"))?;
        }
        if let Some(coordinates) = &self.coordinates {
            part(f, format_args!("{coordinates}"))?;
        }
        if let Some(gtid) = &self.gtid {
            part(f, format_args!("gtid {gtid}"))?;
        }
        if let Some(event) = &self.event {
            part(f, format_args!("{event} event"))?;
        }
        if let Some(table) = &self.table {
            part(f, format_args!("table {table}"))?;
        }
        if let Some(column) = &self.column {
            part(f, format_args!("column {column}"))?;
        }
        if let Some(byte) = &self.byte {
            part(f, format_args!("byte {byte} of the event"))?;
        }
        Ok(())
    }
}

impl Error {
    /// An error of `kind`; `message` is lowercase, without a full stop.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Error {
        Error(Box::new(Inner {
            kind,
            message: message.into(),
            place: Place::default(),
            advice: None,
            code: None,
            source: None,
        }))
    }

    /// A broken promise of this library.
    pub(crate) fn internal(message: impl Into<Cow<'static, str>>) -> Error {
        Error::new(ErrorKind::Internal, message)
    }

    /// What kind of thing went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The message alone, without place and advice.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Where it happened; `None` if nothing is known.
    pub fn place(&self) -> Option<&Place> {
        (!self.0.place.is_empty()).then_some(&self.0.place)
    }

    /// What an operator can do about it.
    pub fn advice(&self) -> Option<&str> {
        self.0.advice.as_deref().or_else(|| self.0.kind.advice())
    }

    /// The server's own error number, where a server refused something.
    pub fn code(&self) -> Option<u16> {
        self.0.code
    }

    /// Whether and how work may go on (invariant 1).
    pub fn recovery(&self) -> Recovery {
        self.0.kind.recovery()
    }

    /// Replaces the kind's advice by one that fits better.
    #[must_use]
    pub fn with_advice(mut self, advice: impl Into<Cow<'static, str>>) -> Error {
        self.0.advice = Some(advice.into());
        self
    }

    /// Records the server's error number.
    #[must_use]
    pub(crate) fn with_code(mut self, code: u16) -> Error {
        self.0.code = Some(code);
        self
    }

    /// Records the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        self.0.source = Some(source.into());
        self
    }

    /// Adds what is known of the place and was not known before.
    #[must_use]
    pub fn at(mut self, known: impl FnOnce(&mut Place)) -> Error {
        let mut place = Place::default();
        known(&mut place);
        let mine = &mut self.0.place;
        mine.server = mine.server.take().or(place.server);
        mine.coordinates = mine.coordinates.take().or(place.coordinates);
        mine.gtid = mine.gtid.take().or(place.gtid);
        mine.event = mine.event.take().or(place.event);
        mine.table = mine.table.take().or(place.table);
        mine.column = mine.column.take().or(place.column);
        mine.byte = mine.byte.or(place.byte);
        self
    }
}

impl ErrorKind {
    /// The kind's name as `--json` prints it.
    pub fn name(self) -> String {
        serde_json::to_value(self)
            .ok()
            .and_then(|value| value.as_str().map(str::to_owned))
            .unwrap_or_else(|| format!("{self:?}"))
    }

    fn recovery(self) -> Recovery {
        match self {
            ErrorKind::Unreachable | ErrorKind::Disconnected | ErrorKind::Unavailable | ErrorKind::Contention => {
                Recovery::Retry
            }
            ErrorKind::Config
            | ErrorKind::Authentication
            | ErrorKind::Privilege
            | ErrorKind::Setting
            | ErrorKind::Purged
            | ErrorKind::Position
            | ErrorKind::Unsupported
            | ErrorKind::Limit
            | ErrorKind::ReadOnly
            | ErrorKind::NotEmpty
            | ErrorKind::Version
            | ErrorKind::State
            | ErrorKind::Refused
            | ErrorKind::Timeout
            | ErrorKind::Io => Recovery::Operator,
            ErrorKind::Corrupt | ErrorKind::Divergence | ErrorKind::TakenOver | ErrorKind::Internal => Recovery::Halt,
        }
    }

    fn advice(self) -> Option<&'static str> {
        Some(match self {
            ErrorKind::Unreachable => "check host, port and that the server runs",
            ErrorKind::Disconnected | ErrorKind::Unavailable => "start it again: it goes on from the checkpoint",
            ErrorKind::Contention => "start it again when the server is less busy",
            ErrorKind::Authentication => "check user and password of the server's URL",
            ErrorKind::Privilege => "grant the account of the server's URL the privilege that is named",
            ErrorKind::Purged => "build green anew with `create`, and keep blue's logs longer",
            ErrorKind::Position => "check that this is the server the position was taken on",
            ErrorKind::Corrupt => {
                "check the log on the server with its own log tool; nothing of this event was applied"
            }
            ErrorKind::Unsupported => "see the README on what is supported, or use a newer version of bluegreen",
            ErrorKind::Divergence => "compare the two with `verify`",
            ErrorKind::TakenOver => "leave the stream to the other engine, or stop that one first",
            ErrorKind::NotEmpty => "use an empty server as green, or drop the named objects there",
            ErrorKind::Version => "use a green of the same flavour and of the same or a newer version",
            ErrorKind::Internal => "please report this with the line above",
            _ => return None,
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        if !self.0.place.is_empty() {
            write!(f, " ({})", self.0.place)?;
        }
        if let Some(advice) = self.advice() {
            write!(f, "; {advice}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("message", &self.0.message)
            .field("place", &self.0.place)
            .field("code", &self.0.code)
            .field("source", &self.0.source.as_ref().map(ToString::to_string))
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_where_and_what_to_do() {
        let error = Error::new(ErrorKind::Purged, "the log is gone")
            .at(|place| place.server = Some("db:3306".into()))
            .at(|place| place.server = Some("other:1".into()));
        assert_eq!(
            error.to_string(),
            "the log is gone (db:3306); build green anew with `create`, and keep blue's logs longer"
        );
        assert_eq!(error.recovery(), Recovery::Operator);
        assert_eq!(error.kind().name(), "purged");
    }
}
