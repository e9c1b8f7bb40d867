//! The tables that row events may name.
//!
//! # Invariants
//! 1. A row event finds only a map of its own statement: maps close with the statement's last row event, with the
//!    transaction, and with the log file.
//! 2. A map is parsed once for equal bytes; as long as it is kept, equal bytes are the same [`Arc`].

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

/// A map that was read.
#[derive(Debug)]
struct Parsed {
    /// The bytes that it was parsed from.
    body: Box<[u8]>,
    map: Arc<TableMap>,
    /// The statement that it was opened in last.
    statement: u64,
}

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
    parsed: HashMap<u64, Parsed, BuildHasherDefault<IdHasher>>,
    /// The number of the statement that runs: only what was opened in it is open.
    statement: u64,
    /// How many were open when room was made last.
    kept: usize,
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
        if let Some(parsed) = self.parsed.get_mut(&id).filter(|parsed| *parsed.body == *body) {
            parsed.statement = self.statement;
            return Ok(());
        }
        let map = Arc::new(map::read(cursor, flavor, fractions)?);
        self.make_room();
        self.parsed.insert(id, Parsed { body: body.into(), map, statement: self.statement });
        Ok(())
    }

    /// Keeps only what is open, once there is much more than that.
    fn make_room(&mut self) {
        if self.parsed.len() >= MAX_PARSED.max(self.kept.saturating_mul(2)) {
            self.parsed.retain(|_, parsed| parsed.statement == self.statement);
            self.kept = self.parsed.len();
        }
    }

    /// The table that a row event names.
    pub(in crate::decode) fn find(&self, id: u64) -> Result<&Arc<TableMap>> {
        match self.parsed.get(&id) {
            Some(parsed) if parsed.statement == self.statement => Ok(&parsed.map),
            _ => Err(corrupt(format!("no table map is open for table id {id}"))),
        }
    }

    /// A statement or transaction ended.
    pub(in crate::decode) fn close(&mut self) {
        self.statement = self.statement.wrapping_add(1);
    }

    /// A log file ended.
    pub(in crate::decode) fn forget(&mut self) {
        self.parsed.clear();
        self.kept = 0;
    }
}
