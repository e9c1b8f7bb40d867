//! A table's row plan: how wide each value is and how it is read, worked out once for all of the table's rows.

use super::WireColumn;
use crate::decode::value::{self, DecimalFormat, Packing, Reader, TemporalFormat, TemporalKind, Width, text};
use crate::model::Flavor;

/// One column's part of the plan: how many bytes a value takes, and how they are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::decode) struct ColumnLayout {
    /// How many bytes of a length stand in front of the value, 1 to 4; 0: its length is fixed; [`UNKNOWN`].
    pub(in crate::decode) prefix: u8,
    /// The fixed length, or the largest one.
    pub(in crate::decode) limit: u32,
    pub(in crate::decode) reader: Reader,
}

/// In [`ColumnLayout::prefix`]: nothing says how long the value is, so it cannot be passed.
pub(in crate::decode) const UNKNOWN: u8 = u8::MAX;

/// The plan of all columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::decode) struct Layout {
    pub(in crate::decode) columns: Box<[ColumnLayout]>,
    /// How many columns are JSON: a partial update has a bit for each.
    pub(in crate::decode) json_count: usize,
    /// Whether a column holds compressed values.
    pub(in crate::decode) has_compressed: bool,
}

impl Layout {
    pub(in crate::decode) fn new(columns: &[WireColumn], flavor: Flavor) -> Layout {
        let columns: Box<[ColumnLayout]> = columns.iter().map(|column| layout(column, flavor)).collect();
        let count = |reader| columns.iter().filter(|column| column.reader == reader).count();
        let (json_count, has_compressed) = (count(Reader::Json), count(Reader::Compressed) > 0);
        Layout { columns, json_count, has_compressed }
    }
}

/// The types' widths: MySQL source, `libs/mysql/binlog/event/binary_log_funcs.cpp`, `calc_field_size`.
fn layout(column: &WireColumn, flavor: Flavor) -> ColumnLayout {
    let [low, high] = column.metadata.to_le_bytes();
    let is_unsigned = column.is_unsigned == Some(true);
    let fixed = |width: u8, reader| ColumnLayout { prefix: 0, limit: width.into(), reader };
    let integer = |bytes| {
        let width = Width::of_bytes(bytes);
        fixed(bytes, if is_unsigned { Reader::UInt(width) } else { Reader::Int(width) })
    };
    let bounded = |max: u16, reader| ColumnLayout { prefix: if max > 255 { 2 } else { 1 }, limit: max.into(), reader };
    let unknown = ColumnLayout { prefix: UNKNOWN, limit: 0, reader: Reader::Bytes };
    let blob = |reader| match low {
        1..=4 => ColumnLayout { prefix: low, limit: u32::MAX, reader },
        _ => unknown,
    };
    let temporal = |whole: u8, kind| match column.metadata {
        0..=6 => self::temporal(whole.saturating_add(low.div_ceil(2)), kind, Packing::Modern, low),
        _ => unknown,
    };
    match column.type_code {
        value::TINY => integer(1),
        value::SHORT => integer(2),
        value::INT24 => integer(3),
        value::LONG => integer(4),
        value::LONGLONG => integer(8),
        value::FLOAT if low == 4 => fixed(4, Reader::Float),
        value::DOUBLE if low == 8 => fixed(8, Reader::Double),
        value::NEWDECIMAL => match DecimalFormat::new(high, low) {
            Some(format) => fixed(format.byte_count(), Reader::Decimal(format)),
            None => unknown,
        },
        value::STRING => bounded(text::fixed_length(column.metadata), Reader::Bytes),
        value::VARCHAR | value::VAR_STRING => bounded(column.metadata, Reader::Bytes),
        value::VARCHAR_COMPRESSED => bounded(column.metadata, Reader::Compressed),
        value::TINY_BLOB | value::MEDIUM_BLOB | value::LONG_BLOB | value::BLOB | value::GEOMETRY | value::VECTOR => {
            blob(Reader::Bytes)
        }
        value::BLOB_COMPRESSED => blob(Reader::Compressed),
        value::JSON => blob(Reader::Json),
        value::ENUM if matches!(low, 1 | 2) => fixed(low, Reader::Enum),
        value::SET if matches!(low, 1..=8) => fixed(low, Reader::Set),
        // The high byte counts whole bytes, the low one the bits beyond them (`Field_bit::do_save_field_metadata`).
        value::BIT => match u16::from(high).saturating_mul(8).saturating_add(u16::from(low)) {
            bits @ 1..=64 if low <= 7 => fixed(high.saturating_add(u8::from(low > 0)), Reader::Bit(bits)),
            _ => unknown,
        },
        value::YEAR => fixed(1, Reader::Year),
        value::DATE | value::NEWDATE => self::temporal(3, TemporalKind::Date, Packing::Modern, 0),
        value::TIME2 => temporal(3, TemporalKind::Time),
        value::DATETIME2 => temporal(5, TemporalKind::DateTime),
        value::TIMESTAMP2 => temporal(4, TemporalKind::Timestamp),
        value::NULL => fixed(0, Reader::Null),
        value::TIME | value::DATETIME | value::TIMESTAMP => old_temporal(column, flavor).unwrap_or(unknown),
        _ => unknown,
    }
}

/// Temporal columns made before 5.6. MariaDB goes on to make them with `mysql56_temporal_format=OFF`, packs those with a
/// fraction in another way and does not log how many digits they have; the table's definition must say.
fn old_temporal(column: &WireColumn, flavor: Flavor) -> Option<ColumnLayout> {
    let digits = match (flavor, column.declared_fraction) {
        (Flavor::MySql, _) => 0,
        (Flavor::MariaDb, declared) => declared?,
    };
    // MariaDB source, `sql/field.cc`, `Field_time_hires`, `Field_datetime_hires`, `Field_timestamp_hires`.
    let widths: [u8; 7] = match column.type_code {
        value::TIME => [3, 4, 4, 5, 5, 5, 6],
        value::DATETIME => [8, 6, 6, 7, 7, 7, 8],
        _ => [4, 5, 5, 6, 6, 7, 7],
    };
    let width = *widths.get(usize::from(digits))?;
    let kind = match column.type_code {
        value::TIME => TemporalKind::Time,
        value::DATETIME => TemporalKind::DateTime,
        _ => TemporalKind::Timestamp,
    };
    Some(temporal(width, kind, if digits == 0 { Packing::Old } else { Packing::Hires }, digits))
}

fn temporal(width: u8, kind: TemporalKind, packing: Packing, fraction: u8) -> ColumnLayout {
    let format = TemporalFormat { packing, fraction };
    let reader = match kind {
        TemporalKind::Date => Reader::Date(format),
        TemporalKind::Time => Reader::Time(format),
        TemporalKind::DateTime => Reader::DateTime(format),
        TemporalKind::Timestamp => Reader::Timestamp(format),
    };
    ColumnLayout { prefix: 0, limit: width.into(), reader }
}
