//! Names on blue that are reserved words of green's version only. The servers are asked: their lists differ from version to
//! version, and MariaDB's does not say which words are reserved.

use std::collections::BTreeSet;

use crate::checks::{Check, Verdict, named};
use crate::error::Result;
use crate::model::{Flavor, Table};
use crate::net::{Server, Session};

const NAME: &str = "reserved_words";
/// Words that a server without a list of them is asked about, each by a statement.
const ASKED: usize = 5_000;
/// A word that cannot stand where a name may.
const SYNTAX_ERROR: u16 = 1064;

pub(super) async fn check(
    tables: &[Table],
    blue: &mut Session,
    (green_server, green): (&Server, &mut Session),
) -> Check {
    let read = async {
        let mut words = names(tables);
        if let Some(listed) = keywords(green_server, green).await? {
            words.retain(|word| listed.contains(word));
        }
        let is_cut = words.len() > ASKED;
        let mut found = Vec::new();
        for word in words.into_iter().take(ASKED) {
            if is_reserved(green, &word).await? && !is_reserved(blue, &word).await? {
                found.push(word);
            }
        }
        Ok((found, is_cut))
    };
    match read.await {
        Err(error) => Check::unknown(NAME, &error),
        Ok((found, _)) if !found.is_empty() => {
            let evidence = format!("names that are reserved words on green only: {}", named(&found));
            Check::new(NAME, Verdict::Warn, evidence).with_advice(
                "put them in backticks in the application's statements: without, green takes them for syntax",
            )
        }
        Ok((_, true)) => Check::new(NAME, Verdict::Unknown, "green has no list of its words, and blue too many names")
            .with_advice("compare with the manual of green's version"),
        Ok(_) => Check::new(NAME, Verdict::Pass, "no name on blue is a reserved word of green's version only"),
    }
}

/// Names of schemas, tables and columns that need no quotes for their characters, in small letters.
fn names(tables: &[Table]) -> BTreeSet<String> {
    let columns = tables.iter().flat_map(|table| table.columns.iter().map(|column| &column.name));
    let names = tables.iter().flat_map(|table| [&table.name.schema, &table.name.table]).chain(columns);
    names.filter(|name| is_plain(name)).map(|name| name.to_ascii_lowercase()).collect()
}

fn is_plain(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_')
}

/// All words that the server knows, reserved or not; `None`: it has no list.
async fn keywords(server: &Server, session: &mut Session) -> Result<Option<BTreeSet<String>>> {
    let version = &server.version;
    if !version.is_at_least(Flavor::MySql, (8, 0, 13)) && !version.is_at_least(Flavor::MariaDb, (10, 6, 3)) {
        return Ok(None);
    }
    let rows = session.rows("SELECT WORD FROM information_schema.KEYWORDS").await?;
    Ok(Some(rows.iter().map(|row| row.text(0).to_ascii_lowercase()).collect()))
}

async fn is_reserved(session: &mut Session, word: &str) -> Result<bool> {
    match session.rows(&format!("SELECT 1 AS {word}")).await {
        Ok(_) => Ok(false),
        Err(error) if error.code() == Some(SYNTAX_ERROR) => Ok(true),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_are_words_are_asked_about() {
        for (name, is) in [("rank", true), ("a_1", true), ("", false), ("1a", false), ("a b", false), ("a;b", false)] {
            assert_eq!(is_plain(name), is, "{name}");
        }
    }
}
