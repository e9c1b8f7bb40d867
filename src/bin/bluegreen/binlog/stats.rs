use std::fmt;
use std::hint::black_box;
use std::time::Instant;

use bluegreen::Result;
use bluegreen::decode::{Begin, DecimalBuffer, Image, RowBuffer, RowsChange, ValueRef};
use bluegreen::model::{ChangeKind, TemporalParts};
use serde_json::json;

use super::log::Report;
use super::statement::Said;
use crate::output::{self, count};

/// Counts, of which every value was decoded.
pub(super) struct Stats {
    is_json: bool,
    started: Instant,
    buffer: RowBuffer,
    transactions: u64,
    inserts: u64,
    updates: u64,
    deletes: u64,
    values: u64,
    statements: u64,
    bytes: u64,
}

impl Stats {
    pub(super) fn new(is_json: bool) -> Stats {
        Stats {
            is_json,
            started: Instant::now(),
            buffer: RowBuffer::new(),
            transactions: 0,
            inserts: 0,
            updates: 0,
            deletes: 0,
            values: 0,
            statements: 0,
            bytes: 0,
        }
    }
}

impl Report for Stats {
    fn rows(&mut self, _begin: &Begin, change: &RowsChange) -> Result<()> {
        let (mut row_count, mut value_count) = (0, 0);
        let mut rows = change.rows(&mut self.buffer);
        while let Some(row) = rows.next()? {
            row_count += 1;
            for image in row.before.iter().chain(&row.after) {
                value_count += decode(image)?;
            }
        }
        self.values += value_count;
        *match change.kind {
            ChangeKind::Insert => &mut self.inserts,
            ChangeKind::Update => &mut self.updates,
            ChangeKind::Delete => &mut self.deletes,
        } += row_count;
        Ok(())
    }

    fn statement(&mut self, _begin: &Begin, _said: &Said<'_>) -> Result<()> {
        self.statements += 1;
        Ok(())
    }

    fn event(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    fn transaction(&mut self) {
        self.transactions += 1;
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        let Stats { inserts, updates, deletes, .. } = *self;
        let rows = inserts + updates + deletes;
        let seconds = self.started.elapsed().as_secs_f64();
        let speed = self.bytes as f64 / 1e6 / seconds;
        if self.is_json {
            output::document(&json!({
                "transactions": self.transactions,
                "row_changes": { "total": rows, "insert": inserts, "update": updates, "delete": deletes },
                "values": self.values,
                "statements": self.statements,
                "bytes": self.bytes,
                "seconds": seconds,
                "mb_per_second": speed,
            }));
            return Ok(());
        }
        output::line(format_args!("transactions  {}", count(self.transactions)));
        output::line(format_args!(
            "row changes   {} ({} inserts, {} updates, {} deletes)",
            count(rows),
            count(inserts),
            count(updates),
            count(deletes)
        ));
        output::line(format_args!("values        {}", count(self.values)));
        output::line(format_args!("statements    {}", count(self.statements)));
        output::line(format_args!("bytes         {}", count(self.bytes)));
        output::line(format_args!("seconds       {seconds:.3} ({speed:.1} MB/s)"));
        Ok(())
    }
}

/// Decodes all values that the image carries, and says how many.
fn decode(image: &Image<'_>) -> Result<u64> {
    let (mut value_count, mut sum) = (0, 0_u64);
    for (index, value) in image.iter().enumerate() {
        let Some(value) = value? else { continue };
        value_count += 1;
        sum = sum.wrapping_add(taken(value).map_err(|error| image.locate(error, index))?);
    }
    // Nothing that was decoded can be left out.
    black_box(sum);
    Ok(value_count)
}

/// Some number that takes all of the value.
#[inline]
fn taken(value: ValueRef<'_>) -> Result<u64> {
    let of_parts = |parts: TemporalParts| {
        let clock = u64::from(parts.hour) ^ u64::from(parts.minute) ^ u64::from(parts.second) ^ u64::from(parts.micros);
        clock ^ u64::from(parts.year) ^ u64::from(parts.month) ^ u64::from(parts.day)
    };
    let mut length = Length(0);
    Ok(match value {
        ValueRef::Int(number) => number.cast_unsigned(),
        ValueRef::UInt(number) | ValueRef::Bit(number) | ValueRef::Set(number) => number,
        ValueRef::Enum(number) | ValueRef::Year(number) => number.into(),
        ValueRef::Float(number) => number.to_bits().into(),
        ValueRef::Double(number) => number.to_bits(),
        ValueRef::Bytes(bytes) => bytes.len() as u64,
        ValueRef::Decimal(decimal) => black_box(decimal.ascii(&mut DecimalBuffer::default())?).len() as u64,
        ValueRef::Date(value) | ValueRef::Time(value) | ValueRef::DateTime(value) => of_parts(value.parts()?),
        ValueRef::Timestamp(value) => {
            let (seconds, micros) = value.unix()?;
            seconds ^ u64::from(micros)
        }
        ValueRef::Json(document) => {
            document.write_text(&mut length)?;
            length.0
        }
        ValueRef::JsonDiff(diff) => {
            diff.write_json(&mut length)?;
            length.0
        }
        _ => 0,
    })
}

/// Takes text and keeps its length.
struct Length(u64);

impl fmt::Write for Length {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += black_box(text).len() as u64;
        Ok(())
    }
}
