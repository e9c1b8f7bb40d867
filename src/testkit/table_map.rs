//! TABLE_MAP (MySQL source, `libs/mysql/binlog/event/rows_event.h`, `Table_map_event`, and `sql/log_event.cc`,
//! `Table_map_log_event::init_metadata_fields`; MariaDB source, `sql/log_event_server.cc`).

use super::column::{ColumnSpec, ColumnType};
use super::event::Event;
use super::{encode, kind};
use crate::model::Flavor;

/// How much TABLE_MAP says of the columns: `binlog_row_metadata`, with the flavour that counts columns of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RowMetadata {
    /// Types alone, as servers before MySQL 8.0.1 and MariaDB 10.5 do.
    None,
    /// Signs, collations, geometries, dimensions.
    Minimal(Flavor),
    /// Names, members, keys and visibility too.
    Full(Flavor),
}

/// The flags that servers set.
const BIT_LENGTHS_ARE_EXACT: u16 = 0x1;

/// A table as its row events know it. It stays usable after [`TableMap::event`].
#[derive(Debug, Clone)]
pub struct TableMap {
    pub(super) id: u64,
    schema: String,
    table: String,
    pub(super) columns: Vec<ColumnSpec>,
    metadata: RowMetadata,
    primary_key: Vec<(usize, u64)>,
    has_collation_each: bool,
    flags: u16,
}

impl TableMap {
    /// A table whose events name it `id`, without metadata.
    pub fn new(id: u64, schema: &str, table: &str, columns: Vec<ColumnSpec>) -> TableMap {
        TableMap {
            id,
            schema: schema.to_owned(),
            table: table.to_owned(),
            columns,
            metadata: RowMetadata::None,
            primary_key: Vec::new(),
            has_collation_each: false,
            flags: BIT_LENGTHS_ARE_EXACT,
        }
    }

    /// Sets how much is said of the columns.
    #[must_use]
    pub fn metadata(self, metadata: RowMetadata) -> TableMap {
        TableMap { metadata, ..self }
    }

    /// Sets the primary key: each column's index with the length of its prefix in characters, 0 for the whole column. Only
    /// full metadata tells.
    #[must_use]
    pub fn primary_key(self, primary_key: &[(usize, u64)]) -> TableMap {
        TableMap { primary_key: primary_key.to_vec(), ..self }
    }

    /// Writes a collation for each column of text in place of a default and exceptions. Servers take the shorter form.
    #[must_use]
    pub fn collation_each(self) -> TableMap {
        TableMap { has_collation_each: true, ..self }
    }

    /// The event.
    pub fn event(&self) -> Event {
        let mut body = Vec::new();
        encode::le(&mut body, self.id, 6);
        body.extend(self.flags.to_le_bytes());
        for name in [&self.schema, &self.table] {
            body.push(u8::try_from(name.len()).expect("a name has up to 255 bytes"));
            body.extend(name.as_bytes());
            body.push(0);
        }
        encode::packed(&mut body, self.columns.len() as u64);
        body.extend(self.columns.iter().map(ColumnSpec::type_code));
        encode::packed_bytes(&mut body, &self.columns.iter().flat_map(ColumnSpec::metadata).collect::<Vec<_>>());
        body.extend(encode::bits_from_low(&self.each(|column| column.is_nullable)));
        match self.metadata {
            RowMetadata::None => {}
            RowMetadata::Minimal(flavor) => self.write_minimal(flavor, &mut body),
            RowMetadata::Full(flavor) => {
                self.write_minimal(flavor, &mut body);
                self.write_full(flavor, &mut body);
            }
        }
        Event::raw(kind::TABLE_MAP, 0, body)
    }

    fn each<T>(&self, of: impl Fn(&ColumnSpec) -> T) -> Vec<T> {
        self.columns.iter().map(of).collect()
    }

    fn write_minimal(&self, flavor: Flavor, body: &mut Vec<u8>) {
        let signs: Vec<bool> =
            self.columns.iter().filter(|column| column.has_sign()).map(|column| column.is_unsigned).collect();
        field(body, 1, &encode::bits_from_high(&signs));
        self.write_collations(body, (2, 3), |column| column.is_text(flavor));
        field(
            body,
            7,
            &self.packed(|column| match column.kind {
                ColumnType::Geometry(subtype) => Some(u64::from(subtype)),
                _ => None,
            }),
        );
        field(
            body,
            13,
            &self.packed(|column| match column.kind {
                ColumnType::Vector(dimensions) => Some(u64::from(dimensions)),
                _ => None,
            }),
        );
    }

    fn write_full(&self, flavor: Flavor, body: &mut Vec<u8>) {
        let mut names = Vec::new();
        self.columns.iter().for_each(|column| encode::packed_bytes(&mut names, column.name.as_bytes()));
        field(body, 4, &names);
        let has_members = |column: &ColumnSpec| matches!(column.kind, ColumnType::Enum(_) | ColumnType::Set(_));
        self.write_collations(body, (10, 11), has_members);
        field(
            body,
            5,
            &self.members(|kind| match kind {
                ColumnType::Set(members) => Some(members),
                _ => None,
            }),
        );
        field(
            body,
            6,
            &self.members(|kind| match kind {
                ColumnType::Enum(members) => Some(members),
                _ => None,
            }),
        );
        let has_prefix = self.primary_key.iter().any(|(_, prefix)| *prefix > 0);
        let mut key = Vec::new();
        for (index, prefix) in &self.primary_key {
            encode::packed(&mut key, *index as u64);
            if has_prefix {
                encode::packed(&mut key, *prefix);
            }
        }
        field(body, if has_prefix { 9 } else { 8 }, &key);
        if flavor == Flavor::MySql {
            field(body, 12, &encode::bits_from_high(&self.each(|column| column.is_visible)));
        }
    }

    /// The most common collation with the exceptions, or one for each.
    fn write_collations(&self, body: &mut Vec<u8>, forms: (u8, u8), counts: impl Fn(&ColumnSpec) -> bool) {
        let collations: Vec<u16> =
            self.columns.iter().filter(|column| counts(column)).map(|column| column.collation).collect();
        let count_of = |wanted: u16| collations.iter().filter(|collation| **collation == wanted).count();
        let Some(default) = collations.iter().copied().rev().max_by_key(|collation| count_of(*collation)) else {
            return;
        };
        let exceptions: Vec<(usize, u16)> =
            collations.iter().copied().enumerate().filter(|(_, collation)| *collation != default).collect();
        let mut value = Vec::new();
        if self.has_collation_each || 2 * exceptions.len() + 1 >= collations.len().max(2) {
            collations.iter().for_each(|collation| encode::packed(&mut value, u64::from(*collation)));
            return field(body, forms.1, &value);
        }
        encode::packed(&mut value, u64::from(default));
        for (index, collation) in exceptions {
            encode::packed(&mut value, index as u64);
            encode::packed(&mut value, u64::from(collation));
        }
        field(body, forms.0, &value);
    }

    fn packed(&self, of: impl Fn(&ColumnSpec) -> Option<u64>) -> Vec<u8> {
        self.columns.iter().filter_map(of).flat_map(encode::packed_alone).collect()
    }

    fn members<'a>(&'a self, of: impl Fn(&'a ColumnType) -> Option<&'a Vec<String>>) -> Vec<u8> {
        let mut out = Vec::new();
        for members in self.columns.iter().filter_map(|column| of(&column.kind)) {
            encode::packed(&mut out, members.len() as u64);
            members.iter().for_each(|member| encode::packed_bytes(&mut out, member.as_bytes()));
        }
        out
    }
}

/// A field of the metadata, left out where it has nothing to say.
fn field(body: &mut Vec<u8>, number: u8, value: &[u8]) {
    if !value.is_empty() {
        body.push(number);
        encode::packed_bytes(body, value);
    }
}
