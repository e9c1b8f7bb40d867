//! A table of blue and its counterpart on green: which columns are compared, in which form, and by which key.

use super::difference::shown;
use super::expression::{Form, Part, digest, row_hash, row_text};
use super::range::{KeyText, equals};
use crate::model::{Column, ColumnKind, ServerVersion, Table, TableName, UniqueKey, modern_charset};
use crate::net::identifier;

/// One of the two servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Blue,
    Green,
}

/// Something that each server has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Both<T> {
    pub(super) blue: T,
    pub(super) green: T,
}

impl<T> Both<T> {
    pub(super) fn of(&self, side: Side) -> &T {
        match side {
            Side::Blue => &self.blue,
            Side::Green => &self.green,
        }
    }

    pub(super) fn of_mut(&mut self, side: Side) -> &mut T {
        match side {
            Side::Blue => &mut self.blue,
            Side::Green => &mut self.green,
        }
    }
}

/// A table that both servers have.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) name: TableName,
    /// The columns that both have, in blue's order.
    pub(super) columns: Vec<Compared>,
    /// What names a row on both; `None`: only all columns together do.
    pub(super) key: Option<Key>,
    /// Columns that only blue has.
    pub(super) missing: Vec<String>,
}

/// A column that both servers have.
#[derive(Debug)]
pub(super) struct Compared {
    pub(super) name: String,
    /// The name on green, which may differ in case.
    pub(super) green_name: String,
    pub(super) kind: ColumnKind,
    pub(super) is_unsigned: bool,
    pub(super) form: Form,
    pub(super) charset: Both<Option<String>>,
    pub(super) is_nullable: Both<bool>,
}

/// A key that names rows on both servers.
#[derive(Debug)]
pub(super) struct Key {
    /// Indexes into [`Pair::columns`].
    pub(super) columns: Vec<usize>,
    /// The index to walk; `None` where the servers do not share an order that an index has, so that the table is one
    /// chunk.
    pub(super) index: Option<Both<String>>,
}

impl Compared {
    pub(super) fn name_on(&self, side: Side) -> &str {
        match side {
            Side::Blue => &self.name,
            Side::Green => &self.green_name,
        }
    }
}

impl Pair {
    /// Pairs two definitions of a table. `versions` decide whether types that only one version knows sort alike.
    pub(super) fn new(blue: &Table, green: &Table, versions: &Both<ServerVersion>) -> Pair {
        let counterpart =
            |column: &Column| green.columns.iter().find(|other| other.name.eq_ignore_ascii_case(&column.name));
        let names = |table: &Table, key: &UniqueKey| -> Vec<String> {
            let columns = key.columns.iter().filter_map(|index| table.columns.get(*index));
            columns.map(|column| column.name.to_ascii_lowercase()).collect()
        };
        // A key with a column that green has not names no row there.
        let key = blue.unique_keys.iter().find(|key| {
            key.is_row_key
                && key.columns.iter().all(|index| blue.columns.get(*index).is_some_and(|c| counterpart(c).is_some()))
        });
        let key_names = key.map(|key| names(blue, key)).unwrap_or_default();
        let (mut columns, mut missing) = (Vec::new(), Vec::new());
        for column in &blue.columns {
            let Some(other) = counterpart(column) else {
                missing.push(column.name.clone());
                continue;
            };
            let is_key = key_names.contains(&column.name.to_ascii_lowercase());
            columns.push(Compared {
                name: column.name.clone(),
                green_name: other.name.clone(),
                kind: column.kind,
                is_unsigned: column.is_unsigned,
                form: Form::of(column, other, is_key),
                charset: Both { blue: column.charset.clone(), green: other.charset.clone() },
                is_nullable: Both { blue: column.is_nullable, green: other.is_nullable },
            });
        }
        let key = key.map(|key| {
            let indexes = key_names
                .iter()
                .filter_map(|name| columns.iter().position(|column| column.name.eq_ignore_ascii_case(name)));
            let is_ordered = key
                .columns
                .iter()
                .filter_map(|index| blue.columns.get(*index))
                .all(|column| counterpart(column).is_some_and(|other| shares_order(column, other, versions)));
            let twin = green.unique_keys.iter().find(|other| other.is_row_key && names(green, other) == key_names);
            let index =
                twin.filter(|_| is_ordered).map(|twin| Both { blue: key.name.clone(), green: twin.name.clone() });
            Key { columns: indexes.collect(), index }
        });
        Pair { name: blue.name.clone(), columns, key, missing }
    }

    /// The same between servers of which one takes -0.0 for 0.0.
    pub(super) fn without_zero_signs(mut self) -> Pair {
        for column in self.columns.iter_mut().filter(|column| column.form == Form::Real) {
            column.form = Form::RealWithoutZeroSign;
        }
        self
    }

    pub(super) fn key_columns(&self) -> impl Iterator<Item = &Compared> {
        let indexes = self.key.as_ref().map(|key| key.columns.as_slice()).unwrap_or_default();
        indexes.iter().filter_map(|index| self.columns.get(*index))
    }

    /// The predicates that find a key's row on blue and on green.
    pub(super) fn predicates(&self, key: &KeyText) -> (String, String) {
        (equals(self, Side::Blue, key), equals(self, Side::Green, key))
    }

    fn row_text(&self, side: Side) -> String {
        row_text(self.columns.iter().map(|column| Part {
            name: column.name_on(side),
            form: column.form,
            is_nullable: *column.is_nullable.of(side),
        }))
    }

    /// The select list of a digest.
    pub(super) fn digest(&self, side: Side) -> String {
        digest(&self.row_text(side))
    }

    /// The expression of a row's hash.
    pub(super) fn row_hash(&self, side: Side) -> String {
        row_hash(&self.row_text(side))
    }

    /// The expressions of all columns.
    pub(super) fn column_list(&self, side: Side) -> String {
        let list: Vec<String> = self.columns.iter().map(|column| column.form.sql(column.name_on(side))).collect();
        list.join(", ")
    }

    /// The expressions of all columns as they are shown.
    pub(super) fn shown_list(&self, side: Side) -> String {
        let list: Vec<String> = self.columns.iter().map(|column| shown(column).sql(column.name_on(side))).collect();
        list.join(", ")
    }

    /// `FORCE INDEX` where there is an index to walk.
    pub(super) fn hint(&self, side: Side) -> String {
        match self.key.as_ref().and_then(|key| key.index.as_ref()) {
            Some(index) => format!(" FORCE INDEX ({})", identifier(index.of(side))),
            None => String::new(),
        }
    }
}

/// Whether a range over the column holds the same values on both servers, and an index can serve it.
fn shares_order(blue: &Column, green: &Column, versions: &Both<ServerVersion>) -> bool {
    use ColumnKind as Kind;
    match (blue.kind, green.kind) {
        (Kind::Integer(_), Kind::Integer(_)) => true,
        (Kind::Text, Kind::Text) => {
            let [blue, green] = [blue, green]
                .map(|column| [&column.collation, &column.charset].map(|name| name.as_deref().map(modern_charset)));
            blue == green
        }
        (Kind::FixedBinary, Kind::FixedBinary) => blue.full_type.eq_ignore_ascii_case(&green.full_type),
        (Kind::Decimal, Kind::Decimal)
        | (Kind::Bit, Kind::Bit)
        | (Kind::Binary, Kind::Binary)
        | (Kind::Year, Kind::Year)
        | (Kind::Date, Kind::Date)
        | (Kind::Time, Kind::Time)
        | (Kind::DateTime, Kind::DateTime)
        | (Kind::Timestamp, Kind::Timestamp) => true,
        // MariaDB's UUID changed its order between versions.
        (Kind::Other, Kind::Other) => {
            let series = |version: &ServerVersion| (version.major, version.minor);
            blue.full_type.eq_ignore_ascii_case(&green.full_type) && series(&versions.blue) == series(&versions.green)
        }
        // ENUM and SET: the servers' ranges over a number do not use the index. FLOAT and DOUBLE: not worth a proof.
        _ => false,
    }
}
