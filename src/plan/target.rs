use super::{key, mapping, stored};
use crate::decode::Image;
use crate::decode::charset::Charset;
use crate::model::{Column, ColumnKind, Flavor, Table, TableName};

/// A table on green, as far as planning and applying need to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TargetTable {
    /// Its name.
    pub name: TableName,
    /// Its columns in order.
    pub columns: Vec<TargetColumn>,
    /// The columns that name a row; `None`: the table has no such key.
    pub row_key: Option<Vec<usize>>,
    /// The columns of every unique key that consists of whole columns, the row key among them.
    pub unique_keys: Vec<Vec<usize>>,
    /// Whether a row that comes can meet another row in its row key only.
    pub has_one_key: bool,
    /// Whether the row key is the primary key, in which a row that comes meets others first.
    pub has_primary_key: bool,
    /// Whether rows of equal keys are told by the keys' bytes.
    pub(super) has_comparable_key: bool,
    /// Whether changes of a row may be merged at all: the rules of `merge` that the definition decides.
    pub(super) is_mergeable: bool,
    /// The unique keys but the row key.
    pub(super) other_keys: Vec<Vec<usize>>,
    /// Whether its rows are spread over the lanes by their keys.
    pub(super) is_spread: bool,
    /// What says, with the key of a row that is spread, which lane has it.
    pub(super) lane_name: String,
    /// Whether its rows can be made by row events, as far as green alone is concerned.
    pub(super) stores_rows: bool,
}

/// A column on green.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TargetColumn {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: ColumnKind,
    /// The type as the server prints it.
    pub full_type: String,
    /// Integers without a sign.
    pub is_unsigned: bool,
    /// Computed by green itself.
    pub is_generated: bool,
    /// The character set of text.
    pub charset: Option<String>,
    /// Whether texts are equal only where their characters are, but for blanks at the end.
    pub(super) has_binary_collation: bool,
    /// The character set that a literal to compare with is given in: another name for the same bytes, where green would
    /// warn of the column's own.
    pub(crate) literal_charset: Option<String>,
    /// The length of BINARY(n) in bytes.
    pub fixed_bytes: Option<usize>,
    pub(super) is_nullable: bool,
    pub(super) known_charset: Option<Charset>,
    /// The type's number and metadata, as green itself would log them.
    pub(super) stored_as: Option<(u8, u16)>,
}

impl TargetTable {
    /// Whether an image has a whole value for every column that can be written.
    pub(crate) fn is_full(&self, image: &Image<'_>) -> bool {
        mapping::lacking(image, self).is_none()
    }

    /// A table of a server of `flavor`. `is_related`: foreign keys connect it with tables, or with itself.
    pub fn new(table: Table, flavor: Flavor, is_related: bool) -> TargetTable {
        let has_primary_key = table.row_key().is_some_and(|key| key.name == "PRIMARY");
        let row_key = table.row_key().map(|key| key.columns.clone());
        let columns: Vec<TargetColumn> =
            table.columns.into_iter().map(|column| TargetColumn::new(column, flavor)).collect();
        let is_comparable =
            |key: &Vec<usize>| key.iter().all(|&index| columns.get(index).is_some_and(key::is_comparable));
        let (has_one_key, is_whole) = (table.unique_keys.len() == 1, table.unique_keys.iter().all(|key| key.is_whole));
        let unique_keys: Vec<Vec<usize>> =
            table.unique_keys.into_iter().filter(|key| key.is_whole).map(|key| key.columns).collect();
        let has_comparable_key = row_key.as_ref().is_some_and(is_comparable);
        let is_mergeable = has_comparable_key && is_whole && !is_related && unique_keys.iter().all(is_comparable);
        let other_keys = unique_keys.iter().filter(|key| row_key.as_ref() != Some(*key)).cloned().collect();
        let mut target = TargetTable {
            // Nothing of another row can stand in a row's way.
            is_spread: is_mergeable && has_one_key,
            lane_name: table.name.to_string(),
            name: table.name,
            columns,
            row_key,
            unique_keys,
            has_one_key,
            has_primary_key,
            has_comparable_key,
            is_mergeable,
            other_keys,
            stores_rows: false,
        };
        target.stores_rows = target.can_store_rows(&table.engine);
        target
    }
}

impl TargetColumn {
    fn new(column: Column, flavor: Flavor) -> TargetColumn {
        let fixed_bytes = match column.kind {
            ColumnKind::FixedBinary => column.length.and_then(|length| usize::try_from(length).ok()),
            _ => None,
        };
        let literal_charset = match (flavor, column.charset.as_deref()) {
            // MySQL calls these names deprecated, with a warning for each statement that holds them.
            (Flavor::MySql, Some("utf8" | "utf8mb3")) => Some("utf8mb4".to_owned()),
            (Flavor::MySql, Some("ucs2")) => Some("utf16".to_owned()),
            (_, charset) => charset.map(str::to_owned),
        };
        TargetColumn {
            stored_as: stored::format(&column),
            is_nullable: column.is_nullable,
            known_charset: column.charset.as_deref().and_then(Charset::from_name),
            name: column.name,
            kind: column.kind,
            full_type: column.full_type,
            is_unsigned: column.is_unsigned,
            is_generated: column.is_generated,
            charset: column.charset,
            has_binary_collation: column.collation.is_some_and(|name| name.ends_with("_bin")),
            literal_charset,
            fixed_bytes,
        }
    }
}
