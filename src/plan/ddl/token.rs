//! A statement's text as words, names, strings and signs, as the server's own lexer cuts it.
//!
//! What is in a versioned comment (`/*!40005 … */`, `/*M!100300 … */`) counts as text: a server logs the mark only where
//! it carried the text out, and a plain comment otherwise (MySQL and MariaDB source, `sql/sql_lex.cc`, "patch and skip the
//! conditional comment").

use std::borrow::Cow;
use std::ops::Range;

use crate::decode::charset::Charset;

/// The longest text that is cut, in bytes: 16 MiB.
const MAX_TEXT: usize = 16 << 20;

/// How the session read its text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    /// `character_set_client`.
    pub(super) charset: Charset,
    /// `sql_mode` has ANSI_QUOTES: a double quote bounds a name.
    pub(super) ansi_quotes: bool,
    /// `sql_mode` lacks NO_BACKSLASH_ESCAPES.
    pub(super) backslash_escapes: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A keyword, a name without quotes, a number.
    Word,
    /// A name in quotes.
    Name,
    /// A string.
    Text,
    /// Any other character.
    Sign(u8),
}

/// A piece of the text and where it stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Token {
    fn range(self) -> Range<usize> {
        self.start..self.end
    }

    /// Whether it is this keyword.
    pub(super) fn is(self, sql: &[u8], word: &str) -> bool {
        self.kind == Kind::Word && sql.get(self.range()).is_some_and(|text| text.eq_ignore_ascii_case(word.as_bytes()))
    }

    /// The name that it stands for; `None`: it is none, or not valid in the character set.
    pub(super) fn name(self, sql: &[u8], charset: Charset) -> Option<String> {
        let text = sql.get(self.range())?;
        match self.kind {
            Kind::Word => charset.text(text).map(Cow::into_owned),
            Kind::Name => {
                let (quote, rest) = text.split_first()?;
                let text = charset.text(rest.get(..rest.len().checked_sub(1)?)?)?;
                let quote = char::from(*quote);
                Some(text.replace(&format!("{quote}{quote}"), &quote.to_string()))
            }
            Kind::Text | Kind::Sign(_) => None,
        }
    }
}

/// Cuts a text; `None` where it is too long, a quote or comment has no end, or the character set is not ASCII's superset.
pub(super) fn tokens(sql: &[u8], reading: Reading) -> Option<Vec<Token>> {
    if sql.len() > MAX_TEXT || matches!(reading.charset, Charset::Swe7) {
        return None;
    }
    let mut lexer = Lexer { sql, reading, at: 0, is_versioned: false };
    let mut tokens = Vec::new();
    while lexer.skip_blank()? {
        let start = lexer.at;
        let kind = lexer.token()?;
        tokens.push(Token { kind, start, end: lexer.at });
    }
    (!lexer.is_versioned).then_some(tokens)
}

struct Lexer<'a> {
    sql: &'a [u8],
    reading: Reading,
    at: usize,
    /// Within a versioned comment.
    is_versioned: bool,
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.sql.get(self.at + ahead).copied()
    }

    fn starts_with(&self, text: &[u8]) -> bool {
        self.sql.get(self.at..).is_some_and(|rest| rest.starts_with(text))
    }

    /// Skips blanks and comments; `false` at the end of the text, `None` where a comment has no end.
    fn skip_blank(&mut self) -> Option<bool> {
        while let Some(byte) = self.peek(0) {
            if byte.is_ascii_whitespace() || matches!(byte, 0 | 0x0b) {
                self.at += 1;
            } else if byte == b'#' || (self.starts_with(b"--") && self.peek(2).is_none_or(|byte| byte <= b' ')) {
                while self.peek(0).is_some_and(|byte| byte != b'\n') {
                    self.at += 1;
                }
            } else if self.is_versioned && self.starts_with(b"*/") {
                self.is_versioned = false;
                self.at += 2;
            } else if !self.is_versioned && (self.starts_with(b"/*!") || self.starts_with(b"/*M!")) {
                self.is_versioned = true;
                self.at += if self.starts_with(b"/*!") { 3 } else { 4 };
                while self.peek(0).is_some_and(|byte| byte.is_ascii_digit()) {
                    self.at += 1;
                }
            } else if self.starts_with(b"/*") {
                let end = self.sql.get(self.at + 2..)?.windows(2).position(|pair| pair == b"*/")?;
                self.at += end + 4;
            } else {
                return Some(true);
            }
        }
        Some(false)
    }

    fn token(&mut self) -> Option<Kind> {
        let byte = self.peek(0)?;
        match byte {
            b'`' => self.quoted(byte, false).map(|()| Kind::Name),
            b'"' if self.reading.ansi_quotes => self.quoted(byte, false).map(|()| Kind::Name),
            b'\'' | b'"' => self.quoted(byte, self.reading.backslash_escapes).map(|()| Kind::Text),
            _ if is_word(byte) => {
                while self.peek(0).is_some_and(is_word) {
                    self.at += self.length();
                }
                Some(Kind::Word)
            }
            _ => {
                self.at += 1;
                Some(Kind::Sign(byte))
            }
        }
    }

    /// Passes a quoted text; a quote within is doubled or, where that holds, behind a backslash.
    fn quoted(&mut self, quote: u8, backslash_escapes: bool) -> Option<()> {
        self.at += 1;
        loop {
            match self.peek(0)? {
                byte if byte == quote => {
                    self.at += 1;
                    if self.peek(0) != Some(quote) {
                        return Some(());
                    }
                    self.at += 1;
                }
                b'\\' if backslash_escapes => {
                    self.at += 1;
                    self.peek(0)?;
                    self.at += self.length();
                }
                _ => self.at += self.length(),
            }
        }
    }

    /// Bytes of the character here. Only these sets have characters that end in a byte which could be a sign.
    fn length(&self) -> usize {
        let Some(byte) = self.peek(0) else { return 0 };
        let is_lead = match self.reading.charset {
            Charset::Sjis | Charset::Cp932 => matches!(byte, 0x81..=0x9f | 0xe0..=0xfc),
            // A character of four bytes has the form of two of two bytes.
            Charset::Big5 | Charset::Gbk | Charset::Gb18030 => byte >= 0x81,
            _ => false,
        };
        1 + usize::from(is_lead && self.peek(1).is_some())
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Reading = Reading { charset: Charset::Utf8mb4, ansi_quotes: false, backslash_escapes: true };

    fn cut(sql: &[u8], reading: Reading) -> Option<Vec<String>> {
        let text = |token: Token| String::from_utf8_lossy(&sql[token.range()]).into_owned();
        Some(tokens(sql, reading)?.into_iter().map(text).collect())
    }

    #[test]
    fn comments_are_left_out_and_versioned_ones_are_text() {
        let sql = b"/* a */ DROP /*!40005 TEMPORARY */ TABLE # x\n `a``b`.c -- y\n, d/*M!100300 , e*/ --1";
        let expected = ["DROP", "TEMPORARY", "TABLE", "`a``b`", ".", "c", ",", "d", ",", "e", "-", "-", "1"];
        assert_eq!(cut(sql, PLAIN).unwrap(), expected);
    }

    #[test]
    fn quotes_follow_the_sql_mode() {
        assert_eq!(cut(br#"'a\'b' "c""#, PLAIN).unwrap().len(), 2);
        assert_eq!(cut(br"'a\' 'b'", Reading { backslash_escapes: false, ..PLAIN }).unwrap().len(), 2);
        assert!(cut(br"'a\'", PLAIN).is_none());
        let ansi = Reading { ansi_quotes: true, ..PLAIN };
        let sql = br#""a""b""#;
        assert_eq!(tokens(sql, ansi).unwrap()[0].name(sql, Charset::Utf8mb4).as_deref(), Some("a\"b"));
        assert!(tokens(sql, PLAIN).unwrap()[0].name(sql, Charset::Utf8mb4).is_none());
    }

    /// A character whose second byte is that of a backslash or a backtick.
    #[test]
    fn second_bytes_are_no_signs() {
        let sjis = Reading { charset: Charset::Sjis, ..PLAIN };
        assert_eq!(cut(b"'\x95\x5c' x", sjis).unwrap().len(), 2);
        assert!(cut(b"'\x95\x5c' x", PLAIN).is_none());
        assert_eq!(cut(b"`\x83\x60` x", sjis).unwrap().len(), 2);
    }

    #[test]
    fn what_has_no_end_is_nothing() {
        for sql in [&b"/* a"[..], b"`a", b"'a", b"/*!40000 a", b"a\\'"] {
            assert!(cut(sql, PLAIN).is_none(), "{sql:?}");
        }
    }
}
