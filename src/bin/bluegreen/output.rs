//! Standard output and standard error, as the contract has them.

use std::io::Write;
use std::process::ExitCode;

use bluegreen::{Error, ErrorKind};
use serde::Serialize;
use serde_json::{Value, json};

/// What a verb that ran answers; an error is not among it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Done, or yes.
    Yes,
    /// No: differences, a veto.
    No,
    /// A switchover's outcome is unknown.
    Unknown,
}

impl Answer {
    pub(crate) fn status(self) -> u8 {
        match self {
            Answer::Yes => 0,
            Answer::No => 1,
            Answer::Unknown => 4,
        }
    }

    pub(crate) fn of_status(status: u64) -> Answer {
        match status {
            0 => Answer::Yes,
            1 => Answer::No,
            _ => Answer::Unknown,
        }
    }
}

impl From<Answer> for ExitCode {
    fn from(answer: Answer) -> ExitCode {
        ExitCode::from(answer.status())
    }
}

/// Prints an error, and answers the exit status for it.
pub(crate) fn failed(error: &Error, json: bool) -> ExitCode {
    let text = if json { json!({ "error": as_json(error) }).to_string() } else { format!("bluegreen: {error}") };
    // One line, whatever a server put into its message.
    let line = text.replace(['\n', '\r'], " ");
    let _ = writeln!(std::io::stderr(), "{line}");
    match error.kind() {
        ErrorKind::Config => ExitCode::from(2),
        _ => ExitCode::from(3),
    }
}

pub(crate) fn as_json(error: &Error) -> Value {
    json!({
        "kind": error.kind().name(),
        "message": error.message(),
        "place": error.place(),
        "advice": error.advice(),
    })
}

/// A line on standard output. A reader that is gone ends nothing that is under way.
pub(crate) fn line(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// A JSON document on a line of standard output.
pub(crate) fn document(value: &impl Serialize) {
    match serde_json::to_string(value) {
        Ok(text) => line(text),
        Err(error) => line(json!({ "error": error.to_string() })),
    }
}

/// The text with every URL blotted out: it may hold a password.
pub(crate) fn without_urls(text: &str) -> String {
    let mut clean = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let scheme = rest[..at].rfind(|c: char| !c.is_ascii_alphanumeric()).map_or(0, |last| last + 1);
        // From the scheme on; a quote may stand inside of a password, so only blanks end a URL.
        clean.push_str(&rest[..scheme]);
        clean.push('…');
        let end = rest[at..].find(char::is_whitespace).map_or(rest.len(), |blank| at + blank);
        rest = &rest[end..];
    }
    clean.push_str(rest);
    clean
}

/// A number with thin marks between thousands, for people.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes for people.
pub(crate) fn bytes(number: u64) -> String {
    match number {
        0..10_000 => format!("{number} B"),
        10_000..10_000_000 => format!("{:.1} kB", number as f64 / 1e3),
        10_000_000..10_000_000_000 => format!("{:.1} MB", number as f64 / 1e6),
        _ => format!("{:.1} GB", number as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_blotted_out() {
        assert_eq!(without_urls("got 'mysql://a:b'c@h' here"), "got '… here");
        assert_eq!(without_urls("x mysql://u:p@h y mysql://u:q@h"), "x … y …");
        assert_eq!(without_urls("nothing"), "nothing");
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(bytes(12_345), "12.3 kB");
    }

    #[test]
    fn the_exit_status_tells_a_wrong_call_from_a_failure() {
        let of = |kind| format!("{:?}", failed(&Error::new(kind, "x"), false));
        assert_eq!(of(ErrorKind::Config), format!("{:?}", ExitCode::from(2)));
        assert_eq!(of(ErrorKind::Setting), format!("{:?}", ExitCode::from(3)));
    }
}
