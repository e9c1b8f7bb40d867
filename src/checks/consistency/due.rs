//! What is still to be compared: whole tables, or rows by their keys.

use std::collections::{HashMap, HashSet};
use std::fmt;

use super::range::KeyText;
use crate::model::TableName;

/// What is to be compared of each table; of those that it does not name, nothing.
#[derive(Clone)]
pub(crate) struct Due {
    is_everything: bool,
    tables: HashMap<TableName, Part>,
    key_count: u64,
    key_limit: u64,
}

/// What is to be compared of a table.
#[derive(Clone)]
pub(crate) enum Part {
    Keys(HashSet<KeyText>),
    Whole,
}

impl Due {
    /// Nothing. Above `key_limit` keys in all, the table with most of them is due as a whole: memory is bounded.
    pub(super) fn nothing(key_limit: u64) -> Due {
        Due { is_everything: false, tables: HashMap::new(), key_count: 0, key_limit }
    }

    pub(super) fn add_everything(&mut self) {
        self.is_everything = true;
        self.tables.clear();
        self.key_count = 0;
    }

    pub(super) fn add_whole(&mut self, table: &TableName) {
        if self.is_everything {
            return;
        }
        if let Some(Part::Keys(keys)) = self.tables.insert(table.clone(), Part::Whole) {
            self.key_count -= keys.len() as u64;
        }
    }

    pub(super) fn add_key(&mut self, table: &TableName, key: KeyText) {
        if self.is_everything {
            return;
        }
        if !self.tables.contains_key(table) {
            self.tables.insert(table.clone(), Part::Keys(HashSet::new()));
        }
        if let Some(Part::Keys(keys)) = self.tables.get_mut(table)
            && keys.insert(key)
        {
            self.key_count += 1;
        }
        while self.key_count > self.key_limit {
            let count = |part: &Part| if let Part::Keys(keys) = part { keys.len() } else { 0 };
            let Some(largest) = self.tables.iter().max_by_key(|(_, part)| count(part)) else { break };
            let largest = largest.0.clone();
            self.add_whole(&largest);
        }
    }

    /// What is due of a table.
    pub(crate) fn take(&mut self, table: &TableName) -> Option<Part> {
        if self.is_everything { Some(Part::Whole) } else { self.tables.remove(table) }
    }

    /// The keys that are due of a table; none where it is due as a whole.
    pub(super) fn keys(&self, table: &TableName) -> Vec<KeyText> {
        match self.tables.get(table) {
            Some(Part::Keys(keys)) => keys.iter().cloned().collect(),
            _ => Vec::new(),
        }
    }

    /// Whether the table is due as a whole.
    pub(super) fn is_whole(&self, table: &TableName) -> bool {
        self.is_everything || matches!(self.tables.get(table), Some(Part::Whole))
    }
}

impl fmt::Debug for Due {
    /// Without the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Due")
            .field("is_everything", &self.is_everything)
            .field("tables", &self.tables.len())
            .field("key_count", &self.key_count)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> KeyText {
        vec![text.as_bytes().to_vec()]
    }

    #[test]
    fn keys_are_bounded_and_a_whole_table_takes_them_in() {
        let (a, b) = (TableName::new("s", "a"), TableName::new("s", "b"));
        let mut due = Due::nothing(3);
        for (table, text) in [(&a, "1"), (&b, "1"), (&b, "2"), (&b, "2")] {
            due.add_key(table, key(text));
        }
        assert_eq!(due.keys(&b).len(), 2);
        due.add_key(&a, key("2"));
        assert!(due.is_whole(&a) || due.is_whole(&b), "four keys are too many");
        assert!(due.key_count <= 3);
        due.add_whole(&a);
        due.add_whole(&b);
        due.add_key(&b, key("3"));
        assert_eq!(due.key_count, 0);
        assert!(matches!(due.take(&b), Some(Part::Whole)));
        assert!(due.take(&b).is_none());
        due.add_everything();
        assert!(matches!(due.take(&b), Some(Part::Whole)));
    }
}
