//! For `create`: a table walked along its row key, and what a log says of a time in which a table was walked.

use super::changes::{Changed, Changes, may_name};
use super::due::Due;
use super::family::Family;
use super::log::Log;
use super::logged::LoggedKey;
use super::pair::{Both, Pair, Side};
use super::range::{KeyText, Range, any_of};
use super::reads::boundary;
use crate::decode::{Change, Transaction};
use crate::error::Result;
use crate::model::{Position, ServerVersion, Table, TableName};
use crate::net::{Server, ServerUrl, Session};

/// Keys of one statement; see [`plan`](super::plan).
const KEYS_A_STATEMENT: usize = 500;

/// A table that is read in pieces, each between two keys.
#[derive(Debug)]
pub(crate) struct Walk {
    pair: Pair,
    definition: Table,
}

impl Walk {
    /// Of a table that both servers have. `versions`: blue's and green's.
    pub(crate) fn new(blue: &Table, green: &Table, versions: (ServerVersion, ServerVersion)) -> Walk {
        let pair = Pair::new(blue, green, &Both { blue: versions.0, green: versions.1 });
        Walk { pair, definition: blue.clone() }
    }

    /// Whether the table can be read in pieces: it has a key that both servers have in the same order.
    pub(crate) fn can_cut(&self) -> bool {
        self.pair.key.as_ref().is_some_and(|key| key.index.is_some())
    }

    /// The last key of the next `rows` rows of blue after `above`; `None` where fewer are left.
    ///
    /// # Errors
    /// Those of the statement.
    pub(crate) async fn bound(&self, blue: &mut Session, above: Option<KeyText>, rows: u64) -> Result<Option<KeyText>> {
        boundary(blue, &self.pair, above, rows).await
    }

    /// What follows the table's name on blue: the index to take, and ` WHERE …`. Nothing for the whole table.
    pub(crate) fn of_range(&self, range: &Range) -> String {
        match range.predicate(&self.pair, Side::Blue) {
            Some(predicate) => format!("{} WHERE {predicate}", self.pair.hint(Side::Blue)),
            None => String::new(),
        }
    }

    /// The range as a condition on green; `None`: the whole table.
    pub(crate) fn on_green(&self, range: &Range) -> Option<String> {
        range.predicate(&self.pair, Side::Green)
    }

    /// The rows of `keys` that are in none of the ranges, in statements' worth: what follows the table's name on blue,
    /// and the condition on green of the same keys wherever they are.
    pub(crate) fn of_keys(&self, keys: &[KeyText], but: &[Range]) -> Vec<(String, String)> {
        let excluded: Vec<String> = but
            .iter()
            .map(|range| match range.predicate(&self.pair, Side::Blue) {
                Some(predicate) => format!(" AND NOT ({predicate})"),
                None => " AND FALSE".to_owned(),
            })
            .collect();
        let statement = |some: &[KeyText]| {
            let on_blue = any_of(&self.pair, Side::Blue, some);
            let blue = format!("{} WHERE ({on_blue}){}", self.pair.hint(Side::Blue), excluded.concat());
            (blue, any_of(&self.pair, Side::Green, some))
        };
        keys.chunks(KEYS_A_STATEMENT).map(statement).collect()
    }
}

/// Which rows of the walked tables blue has changed between two positions of its log. Above `key_limit` rows whole tables
/// are due.
///
/// # Errors
/// `Purged` where blue no longer has the log, `Privilege`, and what the log holds that cannot be read.
pub(crate) async fn changed(
    (url, server, blue): (&ServerUrl, &Server, &mut Session),
    (from, to): (&Position, &Position),
    walks: impl Iterator<Item = &Walk>,
    key_limit: u64,
) -> Result<Due> {
    let family = Family::read(blue).await?;
    let walked = walks.map(|walk| Changed {
        definition: &walk.definition,
        key: LoggedKey::new(&walk.pair, Side::Blue, &walk.definition),
    });
    let (mut changes, mut due) = (Changes::new(walked, &family), Due::nothing(key_limit));
    let mut log = Log::open(url, server, blue, from).await?;
    log.read_to(to, |transaction, _| changes.add(transaction, &mut due)).await?;
    Ok(due)
}

/// A table of those that a statement in blue's log named, between two positions, which puts other rows under a table's name
/// and leaves the rows as they are: RENAME, EXCHANGE PARTITION. An open snapshot then reads the other rows and raises no
/// error (seen on MySQL 9.7 and MariaDB 10.11).
///
/// # Errors
/// Those of [`changed`].
pub(crate) async fn moved(
    (url, server, blue): (&ServerUrl, &Server, &mut Session),
    (from, to): (&Position, &Position),
    tables: impl Iterator<Item = &TableName>,
) -> Result<Option<TableName>> {
    let tables: Vec<&TableName> = tables.collect();
    let mut found = None;
    let mut log = Log::open(url, server, blue, from).await?;
    log.read_to(to, |transaction, _| {
        found = found.take().or_else(|| moved_by(transaction, &tables));
        Ok(())
    })
    .await?;
    Ok(found)
}

fn moved_by(transaction: &Transaction, tables: &[&TableName]) -> Option<TableName> {
    transaction.changes.iter().find_map(|change| {
        let Change::Statement(statement) = change else { return None };
        let text = String::from_utf8_lossy(&statement.sql).to_lowercase();
        let moves = ["rename", "exchange", "convert"].iter().any(|word| text.contains(word));
        tables.iter().find(|name| moves && may_name(&text, name)).map(|name| (*name).clone())
    })
}
