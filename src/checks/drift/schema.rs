use std::collections::BTreeSet;

use super::{Differences, Facts};
use crate::checks::{Check, Verdict};
use crate::error::Result;
use crate::model::{TableName, modern_charset};
use crate::net::{NOT_SYSTEM, Row, Session};

pub(super) const NAME: &str = "schema_drift";

/// What belongs to a table.
const PARTS: [&str; 3] = ["column ", "foreign key ", "key "];

/// Tables and columns that green lacks are a failure: rows of blue have no place there. All else is a warning.
pub(super) async fn check(blue: &mut Session, green: &mut Session, own: &BTreeSet<TableName>) -> Check {
    let read = async {
        let (mut blue, mut green) = tokio::try_join!(facts(blue, own), facts(green, own))?;
        // Of a table that only one has, or of a view, its columns and keys say nothing more.
        let is_shared = |name: &String, other: &Facts| {
            let Some(of_table) = PARTS.iter().find_map(|kind| name.strip_prefix(kind)) else { return true };
            let table = of_table.rsplit_once('\0').map_or(of_table, |(table, _)| table);
            other.contains_key(&format!("table {table}"))
        };
        let (on_blue, on_green) = (blue.clone(), green.clone());
        blue.retain(|name, _| is_shared(name, &on_blue) && is_shared(name, &on_green));
        green.retain(|name, _| is_shared(name, &on_blue) && is_shared(name, &on_green));
        let mut found = Differences::between(&blue, &green);
        for name in found.missing.iter_mut().chain(&mut found.different).chain(&mut found.extra) {
            *name = name.replace('\0', ".");
        }
        Ok(found)
    };
    let differences = match read.await {
        Ok(differences) => differences,
        Err(error) => return Check::unknown(NAME, &error),
    };
    let holds_rows = |name: &String| name.starts_with("table ") || name.starts_with("column ");
    let verdict = if differences.missing.iter().any(holds_rows) { Verdict::Fail } else { Verdict::Warn };
    differences.check(
        NAME,
        "schemas, tables, columns, keys and programs",
        verdict,
        "make green's as blue's, or mean it",
    )
}

async fn facts(session: &mut Session, own: &BTreeSet<TableName>) -> Result<Facts> {
    let mut facts = Facts::new();
    let mut add = |kind: &str, row: &Row, name: usize| {
        let table = TableName::new(row.text(0), row.text(1));
        if own.contains(&table) {
            return;
        }
        let parts: Vec<String> = (0..name).map(|index| row.text(index)).filter(|part| !part.is_empty()).collect();
        // No name has this character, and it is told as a dot.
        let fact: Vec<String> = (name..row.columns().len()).map(|index| modern(&row.text(index))).collect();
        facts.insert(format!("{kind} {}", parts.join("\0")), fact.join(" "));
    };
    // Every list starts with the schema and the table or program; then comes the thing's own name, if it has another.
    let lists = [
        ("schema", 2, "SELECT SCHEMA_NAME, '', DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA", "SCHEMA_NAME"),
        (
            "table",
            2,
            "SELECT TABLE_SCHEMA, TABLE_NAME, ENGINE, TABLE_COLLATION FROM information_schema.TABLES \
             WHERE TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED')",
            "TABLE_SCHEMA",
        ),
        (
            "column",
            3,
            "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, ORDINAL_POSITION, COLUMN_TYPE, IS_NULLABLE, \
             COALESCE(COLUMN_DEFAULT, ''), EXTRA, COALESCE(COLLATION_NAME, '') FROM information_schema.COLUMNS \
             WHERE 1 = 1",
            "TABLE_SCHEMA",
        ),
        (
            "key",
            3,
            "SELECT TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, MAX(NON_UNIQUE), GROUP_CONCAT(COALESCE(COLUMN_NAME, '()'), \
             '/', COALESCE(SUB_PART, '') ORDER BY SEQ_IN_INDEX) FROM information_schema.STATISTICS WHERE 1 = 1",
            "TABLE_SCHEMA",
        ),
        (
            "foreign key",
            3,
            "SELECT CONSTRAINT_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, REFERENCED_TABLE_NAME, UPDATE_RULE, DELETE_RULE \
             FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE 1 = 1",
            "CONSTRAINT_SCHEMA",
        ),
        (
            "sequence",
            2,
            "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_TYPE = 'SEQUENCE'",
            "TABLE_SCHEMA",
        ),
        ("view", 2, "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.VIEWS WHERE 1 = 1", "TABLE_SCHEMA"),
        (
            "routine",
            3,
            "SELECT ROUTINE_SCHEMA, ROUTINE_NAME, ROUTINE_TYPE FROM information_schema.ROUTINES WHERE 1 = 1",
            "ROUTINE_SCHEMA",
        ),
        (
            "trigger",
            2,
            "SELECT TRIGGER_SCHEMA, TRIGGER_NAME FROM information_schema.TRIGGERS WHERE 1 = 1",
            "TRIGGER_SCHEMA",
        ),
        ("event", 2, "SELECT EVENT_SCHEMA, EVENT_NAME FROM information_schema.EVENTS WHERE 1 = 1", "EVENT_SCHEMA"),
    ];
    for (kind, name, select, schema) in lists {
        let word = if select.contains(" WHERE ") { "AND" } else { "WHERE" };
        let group = if kind == "key" { " GROUP BY TABLE_SCHEMA, TABLE_NAME, INDEX_NAME" } else { "" };
        let rows = session.rows(&format!("{select} {word} LOWER({schema}) {NOT_SYSTEM}{group}")).await?;
        rows.iter().for_each(|row| add(kind, row, name));
    }
    Ok(facts)
}

/// A word of the catalogue as the newest servers of its family have it: names that were changed without a change of
/// meaning are no drift.
fn modern(text: &str) -> String {
    let text = text.to_lowercase().replace("default_generated", "").replace("current_timestamp()", "current_timestamp");
    without_width(modern_charset(&text).split("/*").next().unwrap_or_default()).trim().to_owned()
}

/// An integer's or a year's type without the width that newer servers do not print.
fn without_width(text: &str) -> String {
    let types = ["tinyint(", "smallint(", "mediumint(", "bigint(", "int(", "year("];
    match types.iter().find(|name| text.starts_with(*name)).zip(text.split_once(')')) {
        Some((name, (_, rest))) => format!("{}{rest}", name.trim_end_matches('(')),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_newer_servers_print_otherwise_is_the_same() {
        for (old, new) in [
            ("int(10) unsigned", "int unsigned"),
            ("tinyint(1)", "tinyint"),
            ("year(4)", "year"),
            ("utf8_general_ci", "utf8mb3_general_ci"),
            ("datetime /* mariadb-5.3 */", "datetime"),
            ("on update CURRENT_TIMESTAMP", "DEFAULT_GENERATED on update CURRENT_TIMESTAMP"),
        ] {
            assert_eq!(modern(old), modern(new));
        }
        assert_ne!(modern("varchar(10)"), modern("varchar(11)"));
        assert_ne!(modern("int(10)"), modern("bigint(10)"));
    }
}
