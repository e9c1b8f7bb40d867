//! A row change, whoever tells of it.

use std::collections::BTreeMap;

/// What was done to the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Insert,
    Update,
    Delete,
}

/// Where an event ends; the tool does not say which of a statement's events a row was in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Logged {
    pub(crate) file: String,
    pub(crate) ends: Vec<u64>,
}

/// Values by the column's index; what is not there was not logged.
pub(crate) type Image<V> = BTreeMap<usize, V>;

#[derive(Debug, Clone)]
pub(crate) struct Change<V> {
    pub(crate) kind: Kind,
    pub(crate) schema: String,
    pub(crate) table: String,
    pub(crate) place: Logged,
    pub(crate) before: Option<Image<V>>,
    pub(crate) after: Option<Image<V>>,
}

impl<V> Change<V> {
    /// The same change with other values: `by` knows the image as it was before.
    pub(crate) fn map<W>(self, mut by: impl FnMut(usize, V) -> W) -> Change<W> {
        let mut image = |image: Option<Image<V>>| {
            image.map(|values| values.into_iter().map(|(column, value)| (column, by(column, value))).collect())
        };
        let (before, after) = (image(self.before), image(self.after));
        Change { kind: self.kind, schema: self.schema, table: self.table, place: self.place, before, after }
    }
}

/// Rows by table and key, the first column.
pub(crate) type Rows<V> = BTreeMap<(String, String), Image<V>>;

/// What changes add up to.
pub(crate) fn fold<'a, V: Clone + 'a>(
    changes: impl IntoIterator<Item = &'a Change<V>>,
    key: impl Fn(&V) -> String,
) -> Rows<V> {
    let mut rows = Rows::new();
    for change in changes {
        let id = |image: &Image<V>| (change.table.clone(), key(&image[&0]));
        let place = || format!("{} {:?}", change.table, change.place);
        match (change.kind, &change.before, &change.after) {
            (Kind::Insert, None, Some(after)) => {
                let old = rows.insert(id(after), after.clone());
                assert!(old.is_none(), "inserted twice: {}", place());
            }
            (Kind::Delete, Some(before), None) => {
                assert!(rows.remove(&id(before)).is_some(), "deleted twice: {}", place());
            }
            (Kind::Update, Some(before), Some(after)) => {
                // An image without duplicates has the key in neither part's after image.
                let mut row = rows.remove(&id(before)).unwrap_or_else(|| panic!("an update of no row: {}", place()));
                row.extend(after.clone());
                rows.insert(id(&row), row);
            }
            _ => panic!("a change with the wrong images: {}", place()),
        }
    }
    rows
}
