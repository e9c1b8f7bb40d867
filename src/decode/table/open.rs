//! The tables that row events may name.
//!
//! # Invariants
//! 1. A row event finds only a map of its own statement: maps close with the statement's last row event, with the
//!    transaction, and with the log file.
//! 2. A map is parsed once for equal bytes; while the file lasts, equal bytes are the same [`Arc`].

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use super::TableMap;
use super::map::{self, Fractions};
use crate::decode::cursor::Cursor;
use crate::decode::fault::corrupt;
use crate::error::Result;
use crate::model::Flavor;

/// Parsed maps that are kept; ids grow for ever on a source that alters its tables.
const MAX_PARSED: usize = 4_096;

/// A map and the bytes that it was parsed from.
type Parsed = (Box<[u8]>, Arc<TableMap>);

/// Table ids are counted up by the server: any spread will do.
#[derive(Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        // 2^64 divided by the golden ratio.
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

#[derive(Debug, Default)]
pub(in crate::decode) struct OpenTables {
    /// A statement has a few tables: no map is faster.
    open: Vec<(u64, Arc<TableMap>)>,
    parsed: HashMap<u64, Parsed, BuildHasherDefault<IdHasher>>,
}

impl OpenTables {
    /// Opens the table that a TABLE_MAP event's body describes.
    pub(in crate::decode) fn open(
        &mut self,
        cursor: &mut Cursor<'_>,
        post_header_length: u8,
        flavor: Flavor,
        fractions: Fractions<'_>,
    ) -> Result<()> {
        let id = map::read_id(cursor, post_header_length)?;
        let body = cursor.clone().rest();
        let known = self.parsed.get(&id).filter(|(bytes, _)| **bytes == *body).map(|(_, map)| Arc::clone(map));
        let map = match known {
            Some(map) => map,
            None => {
                let map = Arc::new(map::read(cursor, flavor, fractions)?);
                if self.parsed.len() >= MAX_PARSED {
                    self.parsed.clear();
                }
                self.parsed.insert(id, (body.into(), Arc::clone(&map)));
                map
            }
        };
        match self.open.iter_mut().find(|(open, _)| *open == id) {
            Some((_, open)) => *open = map,
            None => self.open.push((id, map)),
        }
        Ok(())
    }

    /// The table that a row event names.
    pub(in crate::decode) fn find(&self, id: u64) -> Result<Arc<TableMap>> {
        let found = self.open.iter().find(|(open, _)| *open == id);
        found.map(|(_, map)| Arc::clone(map)).ok_or_else(|| corrupt(format!("no table map is open for table id {id}")))
    }

    /// A statement or transaction ended.
    pub(in crate::decode) fn close(&mut self) {
        self.open.clear();
    }

    /// A log file ended.
    pub(in crate::decode) fn forget(&mut self) {
        self.open.clear();
        self.parsed.clear();
    }
}
