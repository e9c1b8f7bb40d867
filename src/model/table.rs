use std::borrow::Cow;
use std::fmt;

/// A table's schema and name, as the server spells them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct TableName {
    /// The schema (database).
    pub schema: String,
    /// The table.
    pub table: String,
}

impl TableName {
    /// A name by its parts.
    pub fn new(schema: impl Into<String>, table: impl Into<String>) -> TableName {
        TableName { schema: schema.into(), table: table.into() }
    }

    /// Whether the table is the server's or this library's own, and so never part of a deployment's data.
    pub fn is_system(&self) -> bool {
        const OWN: [&str; 5] = ["mysql", "information_schema", "performance_schema", "sys", "bluegreen"];
        OWN.iter().any(|schema| self.schema.eq_ignore_ascii_case(schema))
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.table)
    }
}

/// A table's definition as a server's catalogue describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Table {
    /// Its name.
    pub name: TableName,
    /// All columns in order, generated and invisible ones too.
    pub columns: Vec<Column>,
    /// The primary key first, then the other unique keys by name.
    pub unique_keys: Vec<UniqueKey>,
    /// The storage engine's name, `InnoDB` for example.
    pub engine: String,
    /// Its foreign keys.
    pub references: Vec<Reference>,
}

/// One column as the catalogue describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Column {
    /// The name.
    pub name: String,
    /// What kind of values it holds.
    pub kind: ColumnKind,
    /// The full type as the server prints it, `int(10) unsigned` for example.
    pub full_type: String,
    /// Integers and decimals without a sign.
    pub is_unsigned: bool,
    /// Whether NULL is allowed.
    pub is_nullable: bool,
    /// Computed by the server, so never written.
    pub is_generated: bool,
    /// For text, ENUM and SET: the character set's name.
    pub charset: Option<String>,
    /// For text, ENUM and SET: the collation's name.
    pub collation: Option<String>,
    /// For CHAR and BINARY: the length in characters or bytes.
    pub length: Option<u64>,
}

/// The kinds of columns, by what it takes to write or to compare their values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ColumnKind {
    /// TINYINT to BIGINT, with the width in bytes (1, 2, 3, 4 or 8).
    Integer(u8),
    /// DECIMAL.
    Decimal,
    /// FLOAT.
    Float,
    /// DOUBLE.
    Double,
    /// BIT.
    Bit,
    /// CHAR, VARCHAR and the TEXT types.
    Text,
    /// BINARY(n), which is padded with zero bytes.
    FixedBinary,
    /// VARBINARY and the BLOB types.
    Binary,
    /// ENUM.
    Enum,
    /// SET.
    Set,
    /// YEAR.
    Year,
    /// DATE.
    Date,
    /// TIME.
    Time,
    /// DATETIME.
    DateTime,
    /// TIMESTAMP.
    Timestamp,
    /// MySQL's JSON.
    Json,
    /// GEOMETRY and its subtypes.
    Geometry,
    /// MySQL's VECTOR.
    Vector,
    /// A type that this version does not replicate; the full type names it.
    Other,
}

/// A unique key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UniqueKey {
    /// `PRIMARY` or the index's name.
    pub name: String,
    /// Indexes into [`Table::columns`]; an expression has none.
    pub columns: Vec<usize>,
    /// Whether it can name a row: no nullable column, no column prefix, no expression.
    pub is_row_key: bool,
    /// Whether the columns say all of it: no column prefix, no expression.
    pub is_whole: bool,
}

/// A foreign key: columns whose values, where none is NULL, must be those of a row of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reference {
    /// The table that it refers to; it may be the same one.
    pub table: TableName,
    /// Indexes into [`Table::columns`].
    pub columns: Vec<usize>,
    /// The columns there, one for each of `columns`.
    pub referenced: Vec<String>,
}

impl Reference {
    /// A foreign key to a table, without columns yet.
    pub fn new(table: TableName) -> Reference {
        Reference { table, columns: Vec::new(), referenced: Vec::new() }
    }
}

impl Table {
    /// The key that names a row: the primary key, else the first unique key over whole NOT NULL columns. `None`: rows
    /// can only be told by all their columns.
    pub fn row_key(&self) -> Option<&UniqueKey> {
        self.unique_keys.iter().find(|key| key.is_row_key)
    }
}

/// A character set's or collation's name as the newest servers have it: MySQL 8.0.30 and MariaDB 10.6 renamed `utf8`, and
/// its collations, to `utf8mb3`.
pub(crate) fn modern_charset(name: &str) -> Cow<'_, str> {
    match name.strip_prefix("utf8") {
        Some(rest) if rest.is_empty() || rest.starts_with('_') => format!("utf8mb3{rest}").into(),
        _ => name.into(),
    }
}

#[cfg(test)]
impl Column {
    /// A column that may be NULL, without a character set and a length.
    pub(crate) fn sample(name: &str, kind: ColumnKind, full_type: &str) -> Column {
        Column {
            name: name.into(),
            kind,
            full_type: full_type.into(),
            is_unsigned: false,
            is_nullable: true,
            is_generated: false,
            charset: None,
            collation: None,
            length: None,
        }
    }
}

#[cfg(test)]
impl Table {
    /// A table of the schema `s` without keys.
    pub(crate) fn sample(name: &str, columns: Vec<Column>) -> Table {
        Table {
            name: TableName::new("s", name),
            columns,
            unique_keys: Vec::new(),
            engine: "InnoDB".into(),
            references: Vec::new(),
        }
    }
}
