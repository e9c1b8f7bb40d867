//! Which rows a log has changed.

use std::collections::HashMap;

use super::due::Due;
use super::family::Family;
use super::logged::LoggedKey;
use crate::decode::{Change, Row, RowBuffer, RowsChange, Statement, Transaction};
use crate::error::Result;
use crate::model::{Table, TableName};

/// Collects the keys of the rows that one server's log speaks of.
pub(super) struct Changes<'a> {
    tables: HashMap<&'a TableName, Changed<'a>>,
    family: &'a Family,
    buffer: RowBuffer,
}

/// A table that is compared.
pub(super) struct Changed<'a> {
    /// Its definition on the server whose log it is.
    pub(super) definition: &'a Table,
    /// `None`: the log does not tell its rows' keys.
    pub(super) key: Option<LoggedKey>,
}

impl<'a> Changes<'a> {
    pub(super) fn new(tables: impl Iterator<Item = Changed<'a>>, family: &'a Family) -> Changes<'a> {
        let tables = tables.map(|table| (&table.definition.name, table)).collect();
        Changes { tables, family, buffer: RowBuffer::new() }
    }

    /// Adds what a transaction, or a part of it, has changed.
    ///
    /// # Errors
    /// `Corrupt`: bytes that are no rows.
    pub(super) fn add(&mut self, transaction: &Transaction, due: &mut Due) -> Result<()> {
        if transaction.is_unprepared {
            // What it did was logged before this log's start.
            due.add_everything();
        }
        for change in &transaction.changes {
            match change {
                Change::Rows(rows) => self.add_rows(rows, due)?,
                Change::Statement(statement) => self.add_statement(statement, due),
            }
        }
        Ok(())
    }

    fn add_rows(&mut self, change: &RowsChange, due: &mut Due) -> Result<()> {
        let name = &change.table.name;
        let Some(Changed { definition, key }) = self.tables.get(name) else { return Ok(()) };
        let mut rows = change.rows(&mut self.buffer);
        while let Some(row) = rows.next()? {
            if !change.flags.logged_cascades {
                add_followers(&row, definition, self.family, due);
            }
            let before = row.before.as_ref();
            let read = |key: &LoggedKey| {
                let first = before.map_or(Some(None), |image| key.read(image, None).map(Some))?;
                let second = row.after.as_ref().map_or(Some(None), |image| key.read(image, before).map(Some))?;
                Some([first, second])
            };
            match key.as_ref().and_then(read) {
                Some(keys) => keys.into_iter().flatten().for_each(|key| due.add_key(name, key)),
                None => due.add_whole(name),
            }
        }
        Ok(())
    }

    /// A statement may do anything to the tables that it names; what is no definition, or of whole schemas, to all.
    fn add_statement(&mut self, statement: &Statement, due: &mut Due) {
        let text = String::from_utf8_lossy(&statement.sql).to_lowercase();
        if !is_of_named_objects(&text) {
            due.add_everything();
            return;
        }
        self.tables.keys().filter(|name| may_name(&text, name)).for_each(|name| due.add_whole(name));
    }
}

/// The tables whose rows go or change with this one.
fn add_followers(row: &Row<'_>, definition: &Table, family: &Family, due: &mut Due) {
    for child in family.children(&definition.name) {
        let is_concerned = match (&row.before, &row.after) {
            (Some(before), Some(after)) => {
                let is_referred = |name: &str| name.eq_ignore_ascii_case(&child.column);
                let index = definition.columns.iter().position(|column| is_referred(&column.name));
                child.follows_update && index.is_none_or(|index| after.has(index) && !before.is_same_at(after, index))
            }
            (Some(_), None) => child.follows_delete,
            (None, _) => false,
        };
        if is_concerned {
            family.descendants(&child.table).iter().for_each(|table| due.add_whole(table));
        }
    }
}

/// Whether a statement in lower case may name the table. The text is in its session's character set, in all of which ASCII
/// stands for itself: of other letters nothing is known.
pub(super) fn may_name(text: &str, name: &TableName) -> bool {
    let table = name.table.to_lowercase();
    let is_there = text.contains(&table) || text.contains(&table.replace('`', "``"));
    is_there || (!table.is_ascii() && !text.is_ascii())
}

/// Whether a statement in lower case changes only objects that its text names.
fn is_of_named_objects(text: &str) -> bool {
    const VERBS: [&str; 13] = [
        "create", "alter", "drop", "rename", "truncate", "analyze", "optimize", "repair", "grant", "revoke", "flush",
        "set", "comment",
    ];
    let mut words = text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
    let starts_with_verb = text.trim_start().starts_with(|c: char| c.is_alphabetic())
        && words.clone().next().is_some_and(|word| VERBS.contains(&word));
    starts_with_verb && !words.any(|word| matches!(word, "database" | "schema"))
}

#[cfg(test)]
mod tests {
    use super::{is_of_named_objects, may_name};
    use crate::model::TableName;

    #[test]
    fn letters_of_an_unknown_set_may_be_any() {
        let name = |table: &str| TableName::new("s", table);
        assert!(may_name("truncate `a``b`", &name("A`b")));
        assert!(!may_name("truncate `ab`", &name("x")));
        let latin = String::from_utf8_lossy(b"truncate m\xfcller");
        assert!(may_name(&latin, &name("müller")) && !may_name(&latin, &name("t2")));
        assert!(!may_name("truncate t", &name("müller")));
    }

    #[test]
    fn only_definitions_of_named_objects_are_taken_as_such() {
        for text in ["alter table t add c int", "truncate shop.t", " create index i on t (a)", "grant select on t to a"]
        {
            assert!(is_of_named_objects(text), "{text}");
        }
        for text in ["drop database shop", "update t set a = 1", "call p()", "/* x */ drop table t", "", "load data"] {
            assert!(!is_of_named_objects(text), "{text}");
        }
    }
}
