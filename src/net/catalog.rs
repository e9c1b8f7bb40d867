use std::collections::{BTreeMap, BTreeSet};

use super::session::Session;
use crate::error::Result;
use crate::model::{Column, ColumnKind, Reference, Table, TableName, UniqueKey};

/// Follows a schema's name in lower case: neither the server's own nor this library's.
pub(crate) const NOT_SYSTEM: &str = "NOT IN ('mysql', 'information_schema', 'performance_schema', 'sys', 'bluegreen')";

/// Follows an account's name: not one of the servers' own. MariaDB's PUBLIC stands for everybody.
pub(crate) const NOT_SYSTEM_USER: &str =
    "NOT IN ('mysql.sys', 'mysql.session', 'mysql.infoschema', 'mariadb.sys', 'PUBLIC')";

/// The names of all schemas that are not the server's or this library's own.
pub(crate) async fn schemas(session: &mut Session) -> Result<Vec<String>> {
    let sql = format!(
        "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE LOWER(SCHEMA_NAME) {NOT_SYSTEM} ORDER BY SCHEMA_NAME"
    );
    Ok(session.rows(&sql).await?.iter().map(|row| row.text(0)).collect())
}

/// All base tables that are not the server's or this library's own, by name.
pub(crate) async fn tables(session: &mut Session) -> Result<Vec<Table>> {
    read(session, &format!("LOWER(TABLE_SCHEMA) {NOT_SYSTEM}"), "'BASE TABLE', 'SYSTEM VERSIONED'").await
}

/// The same with sequences (MariaDB), which the log changes as tables of one row.
pub(crate) async fn targets(session: &mut Session) -> Result<Vec<Table>> {
    read(session, &format!("LOWER(TABLE_SCHEMA) {NOT_SYSTEM}"), "'BASE TABLE', 'SYSTEM VERSIONED', 'SEQUENCE'").await
}

/// The names of all sequences (MariaDB).
pub(crate) async fn sequences(session: &mut Session) -> Result<BTreeSet<TableName>> {
    let rows = session
        .rows("SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_TYPE = 'SEQUENCE'")
        .await?;
    Ok(rows.iter().map(|row| TableName::new(row.text(0), row.text(1))).collect())
}

async fn read(session: &mut Session, filter: &str, types: &str) -> Result<Vec<Table>> {
    let mut tables = BTreeMap::new();
    let engines = session
        .rows(&format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME, ENGINE FROM information_schema.TABLES \
             WHERE {filter} AND TABLE_TYPE IN ({types})"
        ))
        .await?;
    for row in engines {
        let name = TableName::new(row.text(0), row.text(1));
        let table = Table {
            name: name.clone(),
            columns: Vec::new(),
            unique_keys: Vec::new(),
            engine: row.text(2),
            references: Vec::new(),
        };
        tables.insert(name, table);
    }
    let columns = session
        .rows(&format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, IS_NULLABLE, EXTRA, \
             CHARACTER_SET_NAME, COLLATION_NAME, CHARACTER_MAXIMUM_LENGTH FROM information_schema.COLUMNS \
             WHERE {filter} ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION"
        ))
        .await?;
    for row in columns {
        let Some(table) = tables.get_mut(&TableName::new(row.text(0), row.text(1))) else { continue };
        let (full_type, extra) = (row.text(4), row.text(6).to_ascii_uppercase());
        let kind = column_kind(&row.text(3).to_ascii_lowercase());
        table.columns.push(Column {
            name: row.text(2),
            kind,
            is_unsigned: full_type.to_ascii_lowercase().contains("unsigned"),
            full_type,
            is_nullable: row.text(5) == "YES",
            // DEFAULT_GENERATED (MySQL) is a default that is an expression, not a generated column.
            is_generated: extra.split_whitespace().any(|word| matches!(word, "VIRTUAL" | "STORED" | "PERSISTENT")),
            charset: row.bytes(7).map(|_| row.text(7)),
            collation: row.bytes(8).map(|_| row.text(8)),
            length: row.number(9),
        });
    }
    let keys = session
        .rows(&format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, COLUMN_NAME, SUB_PART FROM information_schema.STATISTICS \
             WHERE {filter} AND NON_UNIQUE = 0 ORDER BY TABLE_SCHEMA, TABLE_NAME, INDEX_NAME <> 'PRIMARY', INDEX_NAME, \
             SEQ_IN_INDEX"
        ))
        .await?;
    for row in keys {
        let Some(table) = tables.get_mut(&TableName::new(row.text(0), row.text(1))) else { continue };
        let name = row.text(2);
        if table.unique_keys.last().is_none_or(|key| key.name != name) {
            table.unique_keys.push(UniqueKey { name, columns: Vec::new(), is_row_key: true, is_whole: true });
        }
        let column = row.text(3);
        let index = table.columns.iter().position(|other| row.bytes(3).is_some() && other.name == column);
        let is_prefix = row.bytes(4).is_some();
        if let Some(key) = table.unique_keys.last_mut() {
            let names_rows = index.and_then(|index| table.columns.get(index)).is_some_and(|column| !column.is_nullable);
            key.is_row_key &= names_rows && !is_prefix;
            key.is_whole &= index.is_some() && !is_prefix;
            key.columns.extend(index);
        }
    }
    let parts = session
        .rows(&format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, COLUMN_NAME, REFERENCED_TABLE_SCHEMA, \
             REFERENCED_TABLE_NAME, REFERENCED_COLUMN_NAME FROM information_schema.KEY_COLUMN_USAGE \
             WHERE {filter} AND REFERENCED_TABLE_NAME IS NOT NULL ORDER BY ORDINAL_POSITION"
        ))
        .await?;
    let mut references: BTreeMap<(TableName, String), Reference> = BTreeMap::new();
    for row in parts {
        let (name, column) = (TableName::new(row.text(0), row.text(1)), row.text(3));
        let index = tables.get(&name).and_then(|table| table.columns.iter().position(|other| other.name == column));
        let Some(index) = index else { continue };
        let reference = references.entry((name, row.text(2)));
        let reference = reference.or_insert_with(|| Reference::new(TableName::new(row.text(4), row.text(5))));
        reference.columns.push(index);
        reference.referenced.push(row.text(6));
    }
    for ((name, _), reference) in references {
        tables.entry(name).and_modify(|table| table.references.push(reference));
    }
    Ok(tables.into_values().collect())
}

fn column_kind(data_type: &str) -> ColumnKind {
    match data_type {
        "tinyint" => ColumnKind::Integer(1),
        "smallint" => ColumnKind::Integer(2),
        "mediumint" => ColumnKind::Integer(3),
        "int" => ColumnKind::Integer(4),
        "bigint" => ColumnKind::Integer(8),
        "decimal" => ColumnKind::Decimal,
        "float" => ColumnKind::Float,
        "double" => ColumnKind::Double,
        "bit" => ColumnKind::Bit,
        "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" => ColumnKind::Text,
        "binary" => ColumnKind::FixedBinary,
        "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => ColumnKind::Binary,
        "enum" => ColumnKind::Enum,
        "set" => ColumnKind::Set,
        "year" => ColumnKind::Year,
        "date" => ColumnKind::Date,
        "time" => ColumnKind::Time,
        "datetime" => ColumnKind::DateTime,
        "timestamp" => ColumnKind::Timestamp,
        "json" => ColumnKind::Json,
        "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring" | "multipolygon"
        | "geometrycollection" | "geomcollection" => ColumnKind::Geometry,
        "vector" => ColumnKind::Vector,
        _ => ColumnKind::Other,
    }
}
