//! Which of the logged rows were committed. The log has some that were not: behind a savepoint that was gone back to,
//! in a transaction that also changed a table without transactions, and prepared by XA.

use std::collections::BTreeMap;

use crate::change::Change;
use crate::schema::Tables;
use crate::tool::{Item, Printed};

#[derive(Debug, Default)]
pub(crate) struct Committed {
    /// In the order of their commits.
    pub(crate) changes: Vec<Change<Printed>>,
    /// All statements but those that bound transactions.
    pub(crate) statements: Vec<String>,
}

pub(crate) fn committed(items: Vec<Item>, tables: &Tables) -> Committed {
    let mut committed = Committed::default();
    let mut open: Vec<Change<Printed>> = Vec::new();
    let mut savepoints: Vec<(String, usize)> = Vec::new();
    let mut prepared: BTreeMap<String, Vec<Change<Printed>>> = BTreeMap::new();
    let stays = |change: &Change<Printed>| !tables[&change.table].is_transactional;
    for item in items {
        match item {
            Item::Row(change) => {
                let table = tables.get(&change.table).unwrap_or_else(|| panic!("{} is no table", change.table));
                if table.tool_fails.is_none() {
                    open.push(change);
                }
            }
            Item::Xid => committed.changes.append(&mut open),
            Item::Prepare { xid } => {
                prepared.insert(same(&xid), std::mem::take(&mut open));
            }
            Item::Statement(sql) => {
                if let Some(name) = sql.strip_prefix("SAVEPOINT ") {
                    savepoints.push((name.to_owned(), open.len()));
                } else if let Some(name) = sql.strip_prefix("ROLLBACK TO ") {
                    let (_, length) = savepoints.iter().rfind(|(other, _)| other == name).unwrap();
                    let mut gone = open.split_off((*length).min(open.len()));
                    gone.retain(stays);
                    open.append(&mut gone);
                } else if let Some(xid) = sql.strip_prefix("XA COMMIT ") {
                    match prepared.remove(&same(xid)) {
                        Some(mut changes) => committed.changes.append(&mut changes),
                        None => committed.changes.append(&mut open),
                    }
                } else if let Some(xid) = sql.strip_prefix("XA ROLLBACK ") {
                    assert!(prepared.remove(&same(xid)).is_some(), "{xid} was not prepared");
                } else if sql == "COMMIT" {
                    committed.changes.append(&mut open);
                } else if sql == "ROLLBACK" {
                    open.retain(stays);
                    committed.changes.append(&mut open);
                } else if !is_bound(&sql) {
                    committed.statements.push(sql);
                }
            }
        }
        if open.is_empty() {
            savepoints.clear();
        }
    }
    assert!(open.is_empty(), "a transaction without an end: {open:?}");
    assert!(prepared.is_empty(), "prepared to no end: {prepared:?}");
    committed
}

/// Whether a statement only bounds a transaction: who reads changes need not see it.
pub(crate) fn is_bound(sql: &str) -> bool {
    ["BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT ", "ROLLBACK TO ", "XA "].iter().any(|word| match word.ends_with(' ') {
        true => sql.starts_with(word),
        false => sql == *word,
    })
}

fn same(xid: &str) -> String {
    xid.split_whitespace().collect::<String>().to_lowercase()
}
