use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::accounts::Accounts;
use super::keys;
use crate::checks::named;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Column, ColumnKind, ServerVersion, Table, TableName, modern_charset};
use crate::net::{NOT_SYSTEM, Session, identifier, qualified, tables, text_literal};
use crate::objects::{self, Object, Sequence};

/// Stands before the counter in a table's definition.
const COUNTER: &str = " AUTO_INCREMENT=";

/// All that a server holds but rows, in the server's own words.
pub(super) struct Definitions {
    schemas: Vec<SchemaDefinition>,
    pub(super) tables: Vec<Arc<TableDefinition>>,
    pub(super) sequences: Vec<Sequence>,
    pub(super) objects: Vec<Object>,
    pub(super) accounts: Accounts,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct SchemaDefinition {
    name: String,
    charset: String,
    collation: String,
}

pub(super) struct TableDefinition {
    pub(super) table: Table,
    /// `SHOW CREATE TABLE`.
    pub(super) sql: String,
    /// Estimate of the server's statistics.
    pub(super) rows: u64,
    /// The same.
    pub(super) bytes: u64,
}

impl TableDefinition {
    /// Where the next AUTO_INCREMENT value would be, if the table counts.
    pub(super) fn counter(&self) -> Option<u64> {
        let rest = self.sql.get(self.sql.rfind(COUNTER)? + COUNTER.len()..)?;
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    }

    #[cfg(test)]
    pub(super) fn new(table: Table, sql: String) -> TableDefinition {
        TableDefinition { table, sql, rows: 0, bytes: 0 }
    }
}

impl Definitions {
    /// The tables that foreign keys refer to.
    pub(super) fn referenced(&self) -> BTreeSet<&TableName> {
        self.tables.iter().flat_map(|table| &table.table.references).map(|reference| &reference.table).collect()
    }

    /// What tells a definition from another, by name; the same for the same words, within one build of this library.
    pub(super) fn fingerprints(&self) -> BTreeMap<String, u64> {
        let tables =
            self.tables.iter().map(|table| (table.table.name.to_string(), fingerprint(&without_counter(&table.sql))));
        let objects = self.objects.iter().map(|object| (object.label(), fingerprint(object)));
        let schemas = self.schemas.iter().map(|schema| (schema.name.clone(), fingerprint(schema)));
        let accounts = [("mysql.user".to_owned(), fingerprint(&self.accounts))];
        // Where a sequence stands is read anew.
        let sequences =
            self.sequences.iter().map(|sequence| (sequence.name.to_string(), fingerprint(&sequence.definition())));
        tables.chain(objects).chain(schemas).chain(accounts).chain(sequences).collect()
    }

    /// Invariant 2 of `create`: nothing was defined, altered or dropped between the two readings.
    pub(super) fn must_equal(&self, later: &Definitions) -> Result<()> {
        for (mine, theirs) in [(self, later), (later, self)] {
            for schema in &mine.schemas {
                if !theirs.schemas.contains(schema) {
                    return Err(changed(&schema.name));
                }
            }
            for definition in &mine.tables {
                let is_same = |other: &Arc<TableDefinition>| {
                    other.table == definition.table && without_counter(&other.sql) == without_counter(&definition.sql)
                };
                // Both lists are in the order of the names.
                let at = theirs.tables.binary_search_by(|other| other.table.name.cmp(&definition.table.name));
                if !at.is_ok_and(|at| theirs.tables.get(at).is_some_and(is_same)) {
                    return Err(changed(&definition.table.name.to_string()));
                }
            }
            let is_there = |mine: &Sequence| theirs.sequences.iter().any(|theirs| theirs.is_defined_as(mine));
            if let Some(sequence) = mine.sequences.iter().find(|sequence| !is_there(sequence)) {
                return Err(changed(&sequence.name.to_string()));
            }
            if let Some(object) = mine.objects.iter().find(|object| !theirs.objects.contains(object)) {
                return Err(changed(&object.name.to_string()));
            }
        }
        if self.accounts != later.accounts {
            return Err(changed("mysql.user"));
        }
        Ok(())
    }

    /// What an operator should know of these tables.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let documents: Vec<String> = self
            .tables
            .iter()
            .flat_map(|definition| definition.table.columns.iter().map(move |column| (definition, column)))
            .filter(|(_, column)| column.kind == ColumnKind::Json && !column.is_generated)
            .map(|(definition, column)| format!("{}.{}", definition.table.name, column.name))
            .collect();
        if !documents.is_empty() {
            warnings.push(format!(
                "JSON documents are copied as text: a DECIMAL, temporal or binary value inside one becomes a number or a \
                 string ({})",
                named(&documents)
            ));
        }
        let scaled: Vec<String> = self
            .tables
            .iter()
            .flat_map(|definition| definition.table.columns.iter().map(move |column| (definition, column)))
            .filter(|(_, column)| {
                matches!(column.kind, ColumnKind::Float | ColumnKind::Double) && column.full_type.contains('(')
            })
            .map(|(definition, column)| format!("{}.{}", definition.table.name, column.name))
            .collect();
        if !scaled.is_empty() {
            // `INSERT … SELECT` through a temporary table stores such values unrounded on MySQL 9.7; no literal can.
            warnings.push(format!(
                "FLOAT and DOUBLE columns with a scale get their values rounded to it: {}",
                named(&scaled)
            ));
        }
        let moved: Vec<String> = self
            .objects
            .iter()
            .filter(|object| {
                let schema = self.schemas.iter().find(|schema| schema.name == object.name.schema);
                schema.is_some_and(|schema| object.is_of_another_collation(&schema.collation))
            })
            .map(|object| object.name.to_string())
            .collect();
        if !moved.is_empty() {
            warnings.push(format!(
                "made while their schema had another collation, which parameters and variables keep on blue and green does \
                 not know of: {}",
                named(&moved)
            ));
        }
        let placed: Vec<String> = self
            .tables
            .iter()
            .filter(|definition| {
                definition.sql.contains("DATA DIRECTORY") || definition.sql.contains("INDEX DIRECTORY")
            })
            .map(|definition| definition.table.name.to_string())
            .collect();
        if !placed.is_empty() {
            warnings.push(format!("DATA DIRECTORY is not carried to green: {}", named(&placed)));
        }
        warnings
    }
}

fn fingerprint(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// The error for a definition that changed while green was built.
pub(super) fn changed(name: &str) -> Error {
    Error::new(ErrorKind::State, format!("`{name}` was changed on blue during create"))
        .with_advice("create again, and let no DDL run on blue meanwhile")
}

/// Reads the definitions; tables in the order of their names.
pub(super) async fn read(session: &mut Session, version: ServerVersion) -> Result<Definitions> {
    let schemas = session
        .rows(&format!(
            // `#mysql50#` marks folders that are no schemas, `lost+found` for example.
            "SELECT SCHEMA_NAME, DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA \
             WHERE LOWER(SCHEMA_NAME) {NOT_SYSTEM} AND SCHEMA_NAME NOT LIKE '#mysql50#%' ORDER BY SCHEMA_NAME"
        ))
        .await?
        .iter()
        .map(|row| SchemaDefinition { name: row.text(0), charset: row.text(1), collation: row.text(2) })
        .collect();
    let sizes: HashMap<TableName, (u64, u64)> = session
        .rows(&format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_ROWS, DATA_LENGTH FROM information_schema.TABLES \
             WHERE LOWER(TABLE_SCHEMA) {NOT_SYSTEM}"
        ))
        .await?
        .iter()
        .map(|row| {
            let number = |index| row.number(index).unwrap_or(0);
            (TableName::new(row.text(0), row.text(1)), (number(2), number(3)))
        })
        .collect();
    let mut definitions = Vec::new();
    for table in tables(session).await? {
        let (rows, bytes) = sizes.get(&table.name).copied().unwrap_or_default();
        let sql = show_create(session, &table).await?;
        definitions.push(Arc::new(TableDefinition { table, sql, rows, bytes }));
    }
    Ok(Definitions {
        schemas,
        tables: definitions,
        sequences: objects::sequences(session).await?,
        objects: objects::read(session, version).await?,
        accounts: Accounts::read(session, version).await?,
    })
}

async fn show_create(session: &mut Session, table: &Table) -> Result<String> {
    let row = session.first(&format!("SHOW CREATE TABLE {}", qualified(&table.name))).await?;
    let text = row.as_ref().and_then(|row| row.bytes(1)).map(|bytes| String::from_utf8(bytes.to_vec()));
    match text {
        Some(Ok(sql)) => Ok(sql),
        _ => Err(Error::new(ErrorKind::Unsupported, "the table's definition is not text in UTF-8")
            .at(|place| place.table = Some(table.name.to_string()))),
    }
}

/// A definition without the counter of AUTO_INCREMENT, which moves with every insert.
fn without_counter(sql: &str) -> String {
    match sql.rfind(COUNTER) {
        Some(at) => {
            let (before, rest) = sql.split_at(at);
            let digits = rest.get(COUNTER.len()..).unwrap_or_default();
            format!("{before}{}", digits.trim_start_matches(|c: char| c.is_ascii_digit()))
        }
        None => sql.to_owned(),
    }
}

/// Makes schemas, sequences and tables, the large ones without the [keys] that can come later. Each schema is noted in
/// `bluegreen.created_schema` before it is made.
pub(super) async fn build(green: &mut Session, definitions: &Definitions) -> Result<()> {
    for schema in &definitions.schemas {
        green.run(&format!("INSERT INTO bluegreen.created_schema SET name = {}", text_literal(&schema.name))).await?;
        green
            .run(&format!(
                "CREATE DATABASE {} CHARACTER SET {} COLLATE {}",
                identifier(&schema.name),
                schema.charset,
                schema.collation
            ))
            .await?;
    }
    // A column's default may draw from one of any schema.
    for sequence in &definitions.sequences {
        sequence.build(green).await?;
    }
    let (mut current, referenced) = (None, definitions.referenced());
    for definition in &definitions.tables {
        let name = &definition.table.name;
        if current != Some(&name.schema) {
            // The text names no schema, neither for the table nor for the parents in the same one.
            green.run(&format!("USE {}", identifier(&name.schema))).await?;
            current = Some(&name.schema);
        }
        let sql = match keys::are_late(definition) {
            true => keys::split(definition, &referenced).0,
            false => definition.sql.clone(),
        };
        green.run(&sql).await.map_err(|error| {
            error
                .with_advice(
                    "green does not take blue's definition; change it on blue, or use another version for green",
                )
                .at(|place| place.table = Some(name.to_string()))
        })?;
    }
    Ok(())
}

/// Reads back what green made of the definitions: a server may take a definition and understand it differently. Answers
/// its tables, in the order of their names.
pub(super) async fn compare(green: &mut Session, definitions: &Definitions) -> Result<Vec<Table>> {
    let made = tables(green).await?;
    for definition in &definitions.tables {
        let wanted = &definition.table;
        let found = made.binary_search_by(|table| table.name.cmp(&wanted.name)).ok().and_then(|at| made.get(at));
        if let Some(difference) = difference(wanted, found) {
            return Err(Error::new(ErrorKind::Divergence, format!("green made the table differently: {difference}"))
                .with_advice("change the definition on blue so that both versions read it alike")
                .at(|place| place.table = Some(wanted.name.to_string())));
        }
    }
    objects::compare_sequences(green, &definitions.sequences).await?;
    Ok(made)
}

/// What of a table is different on green, as far as it decides how rows are stored and told apart.
fn difference(wanted: &Table, found: Option<&Table>) -> Option<String> {
    let Some(found) = found else { return Some("it is not there".into()) };
    if found.engine != wanted.engine {
        return Some(format!("its engine is {}, not {}", found.engine, wanted.engine));
    }
    if found.columns.len() != wanted.columns.len() {
        return Some(format!("it has {} columns, not {}", found.columns.len(), wanted.columns.len()));
    }
    for (mine, theirs) in found.columns.iter().zip(&wanted.columns) {
        if essence(mine) != essence(theirs) {
            return Some(format!("column {} is {:?}, not {:?}", theirs.name, essence(mine), essence(theirs)));
        }
    }
    (found.unique_keys != wanted.unique_keys).then(|| "it has other unique keys".into())
}

/// The parts of a column that two versions of a server may print differently without meaning something else.
type Essence<'a> = (&'a str, ColumnKind, bool, bool, bool, Cow<'a, str>, Cow<'a, str>, Option<u64>, String);

fn essence(column: &Column) -> Essence<'_> {
    // MySQL 8.0.19 and newer print no display width; MariaDB marks old temporal formats in a comment.
    let full_type = match column.kind {
        ColumnKind::Integer(_) | ColumnKind::Year | ColumnKind::Geometry => String::new(),
        _ => column.full_type.split(" /*").next().unwrap_or_default().to_owned(),
    };
    (
        &column.name,
        column.kind,
        column.is_unsigned,
        column.is_nullable,
        column.is_generated,
        modern_charset(column.charset.as_deref().unwrap_or_default()),
        modern_charset(column.collation.as_deref().unwrap_or_default()),
        column.length,
        full_type,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::create::literal::tests::{column, table};

    fn definitions(sql: &str) -> Definitions {
        let table = table(vec![column("a", ColumnKind::Integer(4), "int(11)")]);
        let definition = TableDefinition { table, sql: sql.into(), rows: 0, bytes: 0 };
        let schema = SchemaDefinition { name: "s".into(), charset: "utf8mb4".into(), collation: "utf8mb4_bin".into() };
        Definitions {
            schemas: vec![schema],
            tables: vec![Arc::new(definition)],
            sequences: Vec::new(),
            objects: Vec::new(),
            accounts: Accounts::default(),
        }
    }

    /// Invariant 2 of `create`.
    #[test]
    fn a_change_of_a_definition_is_seen_and_a_counter_is_none() {
        let before = definitions("CREATE TABLE `t` (\n) ENGINE=InnoDB AUTO_INCREMENT=7 DEFAULT CHARSET=latin1");
        let counted = definitions("CREATE TABLE `t` (\n) ENGINE=InnoDB AUTO_INCREMENT=19 DEFAULT CHARSET=latin1");
        let altered = definitions("CREATE TABLE `t` (\n) ENGINE=InnoDB AUTO_INCREMENT=7 DEFAULT CHARSET=latin2");
        assert!(before.must_equal(&counted).is_ok());
        assert_eq!(before.must_equal(&altered).unwrap_err().kind(), ErrorKind::State);
        let mut fewer = definitions("");
        fewer.tables.clear();
        assert!(before.must_equal(&fewer).is_err());
        assert!(fewer.must_equal(&before).is_err());
    }

    #[test]
    fn versions_may_print_a_column_differently() {
        let mut old =
            table(vec![column("a", ColumnKind::Integer(4), "int(11)"), column("b", ColumnKind::Text, "text")]);
        let mut new = table(vec![column("a", ColumnKind::Integer(4), "int"), column("b", ColumnKind::Text, "text")]);
        (old.columns[1].charset, new.columns[1].charset) = (Some("utf8".into()), Some("utf8mb3".into()));
        (old.columns[1].collation, new.columns[1].collation) =
            (Some("utf8_general_ci".into()), Some("utf8mb3_general_ci".into()));
        assert_eq!(difference(&old, Some(&new)), None);
        new.columns[1].collation = Some("utf8mb3_unicode_ci".into());
        assert!(difference(&old, Some(&new)).unwrap().starts_with("column b is"));
        assert!(difference(&old, None).is_some());
    }
}
