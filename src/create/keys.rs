//! Secondary keys of large tables are made when the rows are there, all of a table at once: sorted, not row by row.
//!
//! Green's CPU time a row of sysbench's table, loaded by `LOAD DATA` (MySQL 9.7; MariaDB 10.11; one run on a busy machine):
//! with its secondary key there 16.3 µs; 11.7 µs, and the key made behind the rows 12.9 µs; 9.7 µs. With three keys: 37.1 µs;
//! 25.1 µs, and behind the rows 26.6 µs; 13.4 µs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::schema::TableDefinition;
use super::{STATEMENT_LIMIT, variables};
use crate::error::{Error, Result};
use crate::model::TableName;
use crate::net::{NOT_SYSTEM, Session, qualified};

/// Rows' bytes, by blue's statistics, from which it is worth a statement of its own.
const LARGE: u64 = 16 << 20;
/// Sorting the keys of a table of terabytes takes long, and the server says nothing meanwhile.
const LIMIT: Duration = Duration::from_secs(7 * 24 * 3600);

/// A secondary key in the words of `SHOW CREATE TABLE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    name: String,
    sql: String,
}

/// A definition without those keys that can be made later, and these. Nothing is taken out of what is not understood.
pub(super) fn split(definition: &TableDefinition, referenced: &BTreeSet<&TableName>) -> (String, Vec<Key>) {
    let all = || (definition.sql.clone(), Vec::new());
    // A foreign key needs one on both sides; rows of the past would be lost or stand in the way.
    let is_bound = !definition.table.references.is_empty()
        || referenced.contains(&definition.table.name)
        || definition.sql.contains("FOR SYSTEM_TIME")
        || definition.sql.contains("SYSTEM VERSIONING");
    if is_bound || !has_counter_key(definition) {
        return all();
    }
    let lines: Vec<&str> = definition.sql.split('\n').collect();
    let Some(end) = lines.iter().position(|line| line.starts_with(')')) else { return all() };
    let (Some((head, body)), Some(rest)) =
        (lines.get(..end).and_then(<[_]>::split_first), lines.get(end..).map(|rest| rest.join("\n")))
    else {
        return all();
    };
    let (mut kept, mut keys) = (Vec::new(), Vec::new());
    for (index, line) in body.iter().enumerate() {
        let text = line.strip_suffix(',');
        let is_last = index + 1 == body.len();
        // Each line is one item; where one goes on, this is another form of text.
        if text.is_none() != is_last || !line.starts_with("  ") {
            return all();
        }
        let text = text.unwrap_or(line);
        match text.strip_prefix("  KEY `").and_then(quoted) {
            Some(name) => keys.push(Key { name, sql: text.trim_start().to_owned() }),
            None => kept.push(text),
        }
    }
    if keys.is_empty() || kept.is_empty() {
        return all();
    }
    (format!("{head}\n{}\n{rest}", kept.join(",\n")), keys)
}

/// Whether it is worth it.
pub(super) fn are_late(definition: &TableDefinition) -> bool {
    definition.bytes >= LARGE
}

/// Whether a counting column, if there is one, is the first of a key that stays: the server wants that.
fn has_counter_key(definition: &TableDefinition) -> bool {
    let counts = |line: &&str| line.starts_with("  `") && line.contains(" AUTO_INCREMENT");
    let Some(line) = definition.sql.split('\n').find(counts) else { return true };
    let name = line.strip_prefix("  `").and_then(quoted);
    let table = &definition.table;
    let is_first = |key: &crate::model::UniqueKey| {
        let first = key.columns.first().and_then(|index| table.columns.get(*index));
        first.is_some_and(|column| Some(&column.name) == name.as_ref())
    };
    table.unique_keys.iter().any(is_first)
}

/// A name up to its closing quote.
fn quoted(text: &str) -> Option<String> {
    let mut name = String::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '`' if letters.peek() == Some(&'`') => {
                letters.next();
                name.push('`');
            }
            '`' => return Some(name),
            other => name.push(other),
        }
    }
    None
}

/// The names of all keys that a server has, by table.
pub(super) async fn present(session: &mut Session) -> Result<BTreeMap<TableName, BTreeSet<String>>> {
    let mut present: BTreeMap<TableName, BTreeSet<String>> = BTreeMap::new();
    let sql = format!(
        "SELECT DISTINCT TABLE_SCHEMA, TABLE_NAME, INDEX_NAME FROM information_schema.STATISTICS \
         WHERE LOWER(TABLE_SCHEMA) {NOT_SYSTEM}"
    );
    for row in session.rows(&sql).await? {
        present.entry(TableName::new(row.text(0), row.text(1))).or_default().insert(row.text(2));
    }
    Ok(present)
}

/// Those that a server's table has not.
pub(super) fn missing(keys: &[Key], present: Option<&BTreeSet<String>>) -> Vec<Key> {
    let is_missing = |key: &&Key| present.is_none_or(|present| !present.contains(&key.name));
    keys.iter().filter(is_missing).cloned().collect()
}

/// Makes the keys.
///
/// # Errors
/// What green refuses.
pub(super) async fn make(green: &mut Session, table: &TableName, keys: &[Key]) -> Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    variables::for_sorting(green).await?;
    let keys: Vec<String> = keys.iter().map(|key| format!("ADD {}", key.sql)).collect();
    green.set_limit(LIMIT);
    let made = green.run(&format!("ALTER TABLE {} {}", qualified(table), keys.join(", "))).await;
    green.set_limit(STATEMENT_LIMIT);
    made.map(drop)
}

/// Checks that no key was left out.
pub(super) async fn check<'a>(
    green: &mut Session,
    mut tables: impl Iterator<Item = (&'a TableName, &'a [Key])>,
) -> Result<()> {
    let present = present(green).await?;
    match tables.find(|(table, keys)| !missing(keys, present.get(table)).is_empty()) {
        Some((table, _)) => {
            Err(Error::internal("a secondary key was not made").at(|place| place.table = Some(table.to_string())))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::create::literal::tests::{column, table};
    use crate::model::{ColumnKind, Reference, UniqueKey};

    fn definition(sql: &str) -> TableDefinition {
        let mut table = table(vec![column("id", ColumnKind::Integer(4), "int"), column("k", ColumnKind::Text, "text")]);
        let primary = UniqueKey { name: "PRIMARY".into(), columns: vec![0], is_row_key: true, is_whole: true };
        table.unique_keys.push(primary);
        TableDefinition::new(table, sql.into())
    }

    #[test]
    fn plain_keys_are_taken_out_and_nothing_else() {
        let sql = "CREATE TABLE `t` (\n  `id` int NOT NULL AUTO_INCREMENT,\n  `k` text COMMENT 'KEY `x`',\n  \
            PRIMARY KEY (`id`),\n  UNIQUE KEY `u` (`k`(5)),\n  KEY `a``b` (`k`(3)) USING BTREE COMMENT 'a, b',\n  \
            KEY `c` ((lower(`k`))),\n  FULLTEXT KEY `f` (`k`)\n) ENGINE=InnoDB\n/*!50100 PARTITION BY HASH (id) */";
        let (rest, keys) = split(&definition(sql), &BTreeSet::new());
        assert_eq!(keys[0], Key { name: "a`b".into(), sql: "KEY `a``b` (`k`(3)) USING BTREE COMMENT 'a, b'".into() });
        assert_eq!(keys[1].sql, "KEY `c` ((lower(`k`)))");
        assert_eq!(
            rest,
            "CREATE TABLE `t` (\n  `id` int NOT NULL AUTO_INCREMENT,\n  `k` text COMMENT 'KEY `x`',\n  \
            PRIMARY KEY (`id`),\n  UNIQUE KEY `u` (`k`(5)),\n  FULLTEXT KEY `f` (`k`)\n) ENGINE=InnoDB\n\
            /*!50100 PARTITION BY HASH (id) */"
        );
        let last = "CREATE TABLE `t` (\n  `id` int,\n  KEY `k` (`id`)\n) ENGINE=InnoDB";
        assert_eq!(split(&definition(last), &BTreeSet::new()).0, "CREATE TABLE `t` (\n  `id` int\n) ENGINE=InnoDB");
    }

    #[test]
    fn keys_that_something_needs_stay() {
        let sql = "CREATE TABLE `t` (\n  `k` int NOT NULL AUTO_INCREMENT,\n  PRIMARY KEY (`id`),\n  KEY `k` (`k`)\n) E";
        assert!(split(&definition(sql), &BTreeSet::new()).1.is_empty(), "the counter's");
        let plain = "CREATE TABLE `t` (\n  `k` int,\n  KEY `k` (`k`)\n) E";
        let mut child = definition(plain);
        assert!(split(&child, &BTreeSet::from([&child.table.name.clone()])).1.is_empty(), "a parent's");
        child.table.references.push(Reference::new(TableName::new("s", "p")));
        assert!(split(&child, &BTreeSet::new()).1.is_empty(), "a child's");
        let folded = "CREATE TABLE `t` (\n  `k` int DEFAULT 'a\nb',\n  KEY `k` (`k`)\n) E";
        assert!(split(&definition(folded), &BTreeSet::new()).1.is_empty(), "a text of another form");
    }
}
