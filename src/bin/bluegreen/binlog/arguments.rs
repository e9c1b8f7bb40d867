use std::path::PathBuf;

use bluegreen::decode::DecoderOptions;
use bluegreen::model::{Coordinates, Flavor, TableName};
use clap::Args;

use crate::arguments::table;

/// Text is shown as text where the log names its character set. Where it does not (MySQL before 8.0.1, and MariaDB with
/// `binlog_row_metadata=NO_LOG`), bytes that are UTF-8 are shown as text, and all others as base64.
#[derive(Args)]
pub(crate) struct Binlog {
    /// Log files of one server, in any order, none left out.
    #[arg(required = true, value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
    /// Decodes every value of every row, and prints counts and the speed.
    #[arg(long)]
    pub(super) stats: bool,
    /// Only rows of this table, no statements; what rolls its rows back or ends an XA transaction with them is shown.
    #[arg(long, value_name = "SCHEMA.TABLE", value_parser = table)]
    pub(super) table: Option<TableName>,
    /// Only events that start here or later; of several files, counted in the first.
    #[arg(long, value_name = "OFFSET")]
    pub(super) from: Option<u64>,
    /// Only events that start in front of this offset; of several files, counted in the last.
    #[arg(long, value_name = "OFFSET")]
    pub(super) to: Option<u64>,
    /// Digits behind the second of a TIME, DATETIME or TIMESTAMP column in MariaDB's old format, by the column's number
    /// from 1: the log does not say them. May be given again.
    #[arg(long, value_name = "SCHEMA.TABLE:COLUMN=DIGITS", value_parser = temporal_digits)]
    pub(super) temporal_digits: Vec<TemporalDigits>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TemporalDigits {
    table: TableName,
    /// From 0.
    column: usize,
    digits: u8,
}

impl Binlog {
    /// Whether rows of this table are asked for.
    pub(super) fn shows(&self, name: &TableName) -> bool {
        self.table.as_ref().is_none_or(|table| table == name)
    }

    pub(super) fn decoder_options(&self, flavor: Flavor, start: Coordinates) -> DecoderOptions {
        let mut options = DecoderOptions::new(flavor, start);
        for TemporalDigits { table, column, digits } in &self.temporal_digits {
            options.declare_fraction(table.clone(), *column, *digits);
        }
        options
    }
}

fn temporal_digits(text: &str) -> Result<TemporalDigits, String> {
    let read = || {
        let (place, digits) = text.rsplit_once('=')?;
        let (name, number) = place.rsplit_once(':')?;
        let column = number.parse::<usize>().ok()?.checked_sub(1)?;
        let digits = digits.parse().ok().filter(|digits| *digits <= 6)?;
        Some(TemporalDigits { table: table(name).ok()?, column, digits })
    };
    read().ok_or_else(|| "write SCHEMA.TABLE:COLUMN=DIGITS, the column's number from 1 and 0 to 6 digits".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporal_digits_are_read() {
        let expected = TemporalDigits { table: TableName::new("shop", "t:x=y"), column: 2, digits: 6 };
        assert_eq!(temporal_digits("shop.t:x=y:3=6"), Ok(expected));
        for wrong in ["", "shop.t", "shop.t:3", "shop.t:0=6", "shop.t:3=7", "shop:3=6", "shop.t:c=6"] {
            assert!(temporal_digits(wrong).is_err(), "{wrong}");
        }
    }
}
