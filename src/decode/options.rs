use std::collections::HashMap;

use crate::model::{Coordinates, Flavor, TableName};

/// How a stream is decoded.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DecoderOptions {
    /// The source's family: the two number some events and count some columns differently.
    pub flavor: Flavor,
    /// Where the first frame starts. A live dump says so itself with its first event; then this is only what stands in
    /// errors before.
    pub start: Coordinates,
    /// Whether events in front of the first format description have a checksum: what the session's
    /// `@master_binlog_checksum` asked for. Default `false`, right for files.
    pub initial_checksum: bool,
    /// The most bytes of one event within a compressed transaction, or put together from parts. Default 1 GiB, which is
    /// the largest packet that servers take, and 1 MiB for the fixed parts.
    pub max_event_bytes: u64,
    pub(super) fractions: Fractions,
}

/// Digits behind the second of columns whose type does not say them.
#[derive(Debug, Clone, Default)]
pub(super) struct Fractions(HashMap<TableName, HashMap<usize, u8>>);

impl Fractions {
    pub(super) fn get(&self, table: &TableName, column: usize) -> Option<u8> {
        self.0.get(table)?.get(&column).copied()
    }
}

impl DecoderOptions {
    /// The defaults.
    pub fn new(flavor: Flavor, start: Coordinates) -> DecoderOptions {
        DecoderOptions {
            flavor,
            start,
            initial_checksum: false,
            max_event_bytes: (1 << 30) + (1 << 20),
            fractions: Fractions::default(),
        }
    }

    /// Tells how many digits behind the second, 0 to 6, a column of MariaDB has, counted from 0. Wanted for columns of
    /// TIME, DATETIME and TIMESTAMP in MariaDB's own format (`mysql56_temporal_format=OFF`) only: the log does not say
    /// it of them. `DATETIME_PRECISION` in `information_schema.COLUMNS` has it.
    pub fn declare_fraction(&mut self, table: TableName, column: usize, digits: u8) {
        self.fractions.0.entry(table).or_default().insert(column, digits);
    }
}
