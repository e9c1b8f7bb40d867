//! The tables that row events may name.
//!
//! # Invariants
//! 1. A row event finds only a map of its own statement: maps close with the statement's last row event, with the
//!    transaction, and with the log file.
//! 2. A map is parsed once for equal bytes; while the file lasts, equal bytes are the same [`Arc`].

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::cursor::Cursor;
use super::event::table_map;
use super::fault::corrupt;
use crate::error::Result;
use crate::model::{Flavor, TableMap};

/// Parsed maps that are kept; ids grow for ever on a source that alters its tables.
const MAX_PARSED: usize = 4_096;

#[derive(Debug, Default)]
pub(super) struct TableMaps {
    open: HashMap<u64, Arc<TableMap>>,
    parsed: HashMap<u64, (Bytes, Arc<TableMap>)>,
}

impl TableMaps {
    /// Opens the table that a TABLE_MAP event's body describes.
    pub(super) fn open(&mut self, cursor: &mut Cursor<'_>, post_header_length: u8, flavor: Flavor) -> Result<()> {
        let id = table_map::read_id(cursor, post_header_length)?;
        let body = cursor.clone().rest();
        if let Some((bytes, map)) = self.parsed.get(&id)
            && bytes == body
        {
            self.open.insert(id, Arc::clone(map));
            return Ok(());
        }
        let map = Arc::new(table_map::read(cursor, flavor)?);
        if self.parsed.len() >= MAX_PARSED {
            self.parsed.clear();
        }
        // A copy: a view would keep the whole buffer of the event, and of its neighbours, alive.
        self.parsed.insert(id, (Bytes::copy_from_slice(body), Arc::clone(&map)));
        self.open.insert(id, map);
        Ok(())
    }

    /// The table that a row event names.
    pub(super) fn find(&self, id: u64) -> Result<Arc<TableMap>> {
        self.open.get(&id).cloned().ok_or_else(|| corrupt(format!("no table map is open for table id {id}")))
    }

    /// A statement or transaction ended.
    pub(super) fn close(&mut self) {
        self.open.clear();
    }

    /// A log file ended.
    pub(super) fn forget(&mut self) {
        self.open.clear();
        self.parsed.clear();
    }
}
