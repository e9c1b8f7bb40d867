//! Foreign keys that change rows without a word in the log.
//!
//! What a cascade does stands in no log before MySQL 9.6, nor in MariaDB's (MySQL manual, "InnoDB and FOREIGN KEY
//! Constraints"; MariaDB knowledge base, "Foreign Keys"). So the tables that refer to a row are compared as a whole once
//! the row goes, or changes in a column that they refer to.

use std::collections::HashMap;

use crate::error::Result;
use crate::model::TableName;
use crate::net::{NOT_SYSTEM, Session};

/// What happens to other tables with a table's rows.
#[derive(Debug, Default)]
pub(super) struct Family {
    parents: HashMap<TableName, Vec<Child>>,
}

/// A table that a foreign key connects with its parent.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) table: TableName,
    /// The parent's column that it refers to.
    pub(super) column: String,
    pub(super) follows_delete: bool,
    pub(super) follows_update: bool,
}

impl Family {
    /// Reads a server's foreign keys.
    pub(super) async fn read(session: &mut Session) -> Result<Family> {
        let rows = session
            .rows(&format!(
                "SELECT u.REFERENCED_TABLE_SCHEMA, u.REFERENCED_TABLE_NAME, u.TABLE_SCHEMA, u.TABLE_NAME, \
                 u.REFERENCED_COLUMN_NAME, r.DELETE_RULE, r.UPDATE_RULE \
                 FROM information_schema.KEY_COLUMN_USAGE u JOIN information_schema.REFERENTIAL_CONSTRAINTS r \
                 ON r.CONSTRAINT_SCHEMA = u.CONSTRAINT_SCHEMA AND r.CONSTRAINT_NAME = u.CONSTRAINT_NAME \
                 AND r.TABLE_NAME = u.TABLE_NAME \
                 WHERE u.REFERENCED_TABLE_NAME IS NOT NULL AND LOWER(u.TABLE_SCHEMA) {NOT_SYSTEM}"
            ))
            .await?;
        let mut family = Family::default();
        for row in rows {
            let acts = |index| !matches!(row.text(index).as_str(), "NO ACTION" | "RESTRICT");
            let child = Child {
                table: TableName::new(row.text(2), row.text(3)),
                column: row.text(4),
                follows_delete: acts(5),
                follows_update: acts(6),
            };
            if child.follows_delete || child.follows_update {
                family.parents.entry(TableName::new(row.text(0), row.text(1))).or_default().push(child);
            }
        }
        Ok(family)
    }

    /// The tables whose rows may change with the table's.
    pub(super) fn children(&self, parent: &TableName) -> &[Child] {
        self.parents.get(parent).map(Vec::as_slice).unwrap_or_default()
    }

    /// The table and all that follow it, theirs too: a cascade goes on.
    pub(super) fn descendants(&self, table: &TableName) -> Vec<TableName> {
        let mut all = vec![table.clone()];
        let mut at = 0;
        while let Some(parent) = all.get(at).cloned() {
            for child in self.children(&parent) {
                if !all.contains(&child.table) {
                    all.push(child.table.clone());
                }
            }
            at += 1;
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cascade_goes_on_and_ends() {
        let name = |table: &str| TableName::new("s", table);
        let child = |table: &str| Child {
            table: name(table),
            column: "id".into(),
            follows_delete: true,
            follows_update: false,
        };
        let mut family = Family::default();
        family.parents.insert(name("a"), vec![child("b"), child("a")]);
        family.parents.insert(name("b"), vec![child("c")]);
        family.parents.insert(name("c"), vec![child("a")]);
        assert_eq!(family.descendants(&name("b")), ["b", "c", "a"].map(name));
        assert!(family.children(&name("d")).is_empty());
    }
}
