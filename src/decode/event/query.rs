//! QUERY: a statement as text, and the words that bound a transaction (MySQL source,
//! `libs/mysql/binlog/event/statement_events.h`, `Query_event`).

use std::ops::Range;

use super::xa::Xid;
use crate::decode::cursor::Cursor;
use crate::decode::fault::unsupported;
use crate::error::Result;

/// A QUERY event up to its text.
pub(in crate::decode) struct QueryEvent<'a> {
    /// The session's default schema.
    pub(in crate::decode) schema: &'a str,
    /// The session that ran it.
    pub(in crate::decode) thread: u32,
    /// The error that the statement ended with on the source.
    pub(in crate::decode) error_code: u16,
    /// Where the session's settings are in the event.
    pub(in crate::decode) status: Range<usize>,
    /// What is behind: the text, folded or plain.
    pub(in crate::decode) text: Cursor<'a>,
}

impl<'a> QueryEvent<'a> {
    /// Reads the body up to the text.
    pub(in crate::decode) fn read(mut cursor: Cursor<'a>, post_header_length: u8) -> Result<QueryEvent<'a>> {
        let mut fixed = cursor.part(usize::from(post_header_length))?;
        let thread = fixed.u32()?;
        let _seconds = fixed.u32()?;
        let schema_length = usize::from(fixed.u8()?);
        let error_code = fixed.u16()?;
        // Servers before 5.0 had none.
        let status_length = if fixed.is_empty() { 0 } else { usize::from(fixed.u16()?) };
        let status = cursor.offset();
        cursor.skip(status_length)?;
        let status = status..cursor.offset();
        let schema = cursor.identifier(schema_length)?;
        let here = cursor.clone();
        if cursor.u8()? != 0 {
            return Err(here.corrupt("expected a zero byte behind the schema"));
        }
        Ok(QueryEvent { schema, thread, error_code, status, text: cursor })
    }
}

/// What a text means for the transaction it stands in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::decode) enum Verb {
    Begin,
    Commit,
    Rollback,
    /// With the name in lower case.
    Savepoint(Vec<u8>),
    /// With the name in lower case.
    RollbackTo(Vec<u8>),
    /// The start of a two-phase transaction's changes.
    XaStart,
    /// Their end; the PREPARE follows.
    XaEnd,
    /// The commit of a prepared transaction.
    XaCommit(Xid),
    /// The rollback of a prepared transaction.
    XaRollback(Xid),
    /// Any other statement.
    Other,
}

impl Verb {
    /// Tells the words by their exact text, whatever their case; anything else, a comment in between too, is
    /// [`Verb::Other`].
    pub(in crate::decode) fn of(sql: &[u8]) -> Result<Verb> {
        if sql == b"BEGIN" {
            return Ok(Verb::Begin);
        }
        let sql = sql.trim_ascii();
        let is = |word: &str| sql.eq_ignore_ascii_case(word.as_bytes());
        if is("BEGIN") {
            return Ok(Verb::Begin);
        }
        if is("COMMIT") {
            return Ok(Verb::Commit);
        }
        if is("ROLLBACK") {
            return Ok(Verb::Rollback);
        }
        if let Some(rest) = word(sql, "XA") {
            return xa(rest);
        }
        if let Some(name) = word(sql, "SAVEPOINT") {
            return savepoint_name(name).map(|name| name.map_or(Verb::Other, Verb::Savepoint));
        }
        if let Some(rest) = word(sql, "ROLLBACK") {
            let rest = word(rest, "WORK").unwrap_or(rest);
            if let Some(name) = word(rest, "TO") {
                let name = word(name, "SAVEPOINT").unwrap_or(name);
                return savepoint_name(name).map(|name| name.map_or(Verb::Other, Verb::RollbackTo));
            }
        }
        Ok(Verb::Other)
    }
}

/// What follows `XA`.
fn xa(rest: &[u8]) -> Result<Verb> {
    let id = |text: &[u8]| {
        // The server's own text; whatever else it is, it would be guessed.
        let text = text.strip_suffix(b" ONE PHASE").unwrap_or(text);
        Xid::parse(text).ok_or_else(|| unsupported("a statement of a two-phase transaction has an unknown form"))
    };
    if word(rest, "START").is_some() || word(rest, "BEGIN").is_some() {
        return Ok(Verb::XaStart);
    }
    if word(rest, "END").is_some() {
        return Ok(Verb::XaEnd);
    }
    if let Some(text) = word(rest, "COMMIT") {
        return id(text).map(Verb::XaCommit);
    }
    match word(rest, "ROLLBACK") {
        Some(text) => id(text).map(Verb::XaRollback),
        None => Err(unsupported("a statement of a two-phase transaction has an unknown form")),
    }
}

/// What follows `word` and at least one blank (or, for a quoted name, directly).
fn word<'a>(sql: &'a [u8], word: &str) -> Option<&'a [u8]> {
    let (front, rest) = sql.split_at_checked(word.len())?;
    let is_apart = rest.first().is_some_and(|byte| byte.is_ascii_whitespace() || *byte == b'`');
    (front.eq_ignore_ascii_case(word.as_bytes()) && is_apart).then(|| rest.trim_ascii_start())
}

/// The name without its quotes, in lower case; `None` where the text is more than a name.
fn savepoint_name(text: &[u8]) -> Result<Option<Vec<u8>>> {
    let name = match text {
        [b'`', inner @ .., b'`'] => {
            let mut name = Vec::with_capacity(inner.len());
            let mut bytes = inner.iter();
            while let Some(byte) = bytes.next() {
                // A quote within the name is doubled.
                if *byte == b'`' && bytes.next() != Some(&b'`') {
                    return Ok(None);
                }
                name.push(byte.to_ascii_lowercase());
            }
            name
        }
        plain if plain.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..)) => {
            plain.to_ascii_lowercase()
        }
        _ => return Ok(None),
    };
    if !name.is_ascii() {
        // The server compares names under a collation; which of them are equal is not ours to guess.
        return Err(unsupported("a savepoint's name has other characters than ASCII's"));
    }
    Ok((!name.is_empty()).then_some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_told_by_their_exact_text() {
        let of = |text: &str| Verb::of(text.as_bytes()).unwrap();
        assert_eq!(of("BEGIN"), Verb::Begin);
        assert_eq!(of(" begin\n"), Verb::Begin);
        assert_eq!(of("COMMIT"), Verb::Commit);
        assert_eq!(of("rollback"), Verb::Rollback);
        assert_eq!(of("BEGIN WORK"), Verb::Other);
        assert_eq!(of("/* x */ COMMIT"), Verb::Other);
        assert_eq!(of("XA START X'61',X'',1"), Verb::XaStart);
        assert_eq!(of("XA END X'61',X'',1"), Verb::XaEnd);
        assert_eq!(of("XA COMMIT X'61',X'',1"), Verb::XaCommit(Xid::parse(b"X'61',X'',1").unwrap()));
        assert_eq!(of("XA ROLLBACK X'61',X'',1"), Verb::XaRollback(Xid::parse(b"X'61',X'',1").unwrap()));
        assert!(Verb::of(b"XA RECOVER").is_err());
        assert_eq!(of("XAVIER"), Verb::Other);
        assert_eq!(of("SAVEPOINT `A``b`"), Verb::Savepoint(b"a`b".to_vec()));
        assert_eq!(of("savepoint A_1"), Verb::Savepoint(b"a_1".to_vec()));
        assert_eq!(of("ROLLBACK TO `a`"), Verb::RollbackTo(b"a".to_vec()));
        assert_eq!(of("ROLLBACK TO SAVEPOINT a"), Verb::RollbackTo(b"a".to_vec()));
        assert_eq!(of("ROLLBACK WORK TO savepoint"), Verb::RollbackTo(b"savepoint".to_vec()));
        assert_eq!(of("SAVEPOINT a; DROP"), Verb::Other);
        assert_eq!(of("SAVEPOINT `a` `b`"), Verb::Other);
        assert!(Verb::of("SAVEPOINT é".as_bytes()).is_err());
    }
}
