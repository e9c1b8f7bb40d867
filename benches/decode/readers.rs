//! Those who read the logs, each of them every value of every row.

use std::hint::black_box;
use std::process::{Command, Stdio};
use std::thread;

use bluegreen::decode::json::JsonNode;
use bluegreen::decode::{Decoded, Decoder, DecoderOptions, Event, Image, RowBuffer, RowsChange, Unfolder, ValueRef};
use bluegreen::model::{Coordinates, Flavor};
use bluegreen::source::file::FileSource;
use mysql_common_peer::binlog::BinlogFile;
use mysql_common_peer::binlog::consts::BinlogVersion;
use mysql_common_peer::binlog::events::EventData;

/// What all rows of a log add up to.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(crate) struct Sum {
    pub(crate) images: u64,
    /// NULLs too.
    pub(crate) values: u64,
    /// Of numbers as they are, and of what other values have that costs work to tell.
    content: u64,
}

impl Sum {
    fn add(&mut self, number: u64) {
        self.content = self.content.wrapping_add(number);
    }

    /// Numbers as numbers (DECIMAL without its point), text and bytes by length and first byte, temporal values by their
    /// parts, of documents the root and how many members it has.
    fn visit(&mut self, image: &Image<'_>) {
        self.images += 1;
        for value in image.iter() {
            let Some(value) = value.unwrap() else { continue };
            self.values += 1;
            match value {
                ValueRef::Null => {}
                ValueRef::Int(number) => self.add(number.cast_unsigned()),
                ValueRef::UInt(number) | ValueRef::Bit(number) | ValueRef::Set(number) => self.add(number),
                ValueRef::Float(number) => self.add(number.to_bits().into()),
                ValueRef::Double(number) => self.add(number.to_bits()),
                ValueRef::Decimal(decimal) => self.add(decimal.unscaled().unwrap().unwrap() as u64),
                ValueRef::Bytes(bytes) => self.add(bytes.len() as u64 + u64::from(bytes.first().copied().unwrap_or(0))),
                ValueRef::Enum(index) | ValueRef::Year(index) => self.add(index.into()),
                ValueRef::Timestamp(timestamp) => {
                    let (seconds, micros) = timestamp.unix().unwrap();
                    self.add(seconds + u64::from(micros));
                }
                ValueRef::Date(temporal) | ValueRef::Time(temporal) | ValueRef::DateTime(temporal) => {
                    let parts = temporal.parts().unwrap();
                    self.add(u64::from(parts.day) + u64::from(parts.second) + u64::from(parts.micros));
                }
                ValueRef::Json(document) => match document.node().unwrap() {
                    JsonNode::Object(object) => self.add(object.len() as u64),
                    other => drop(black_box(other)),
                },
                other => drop(black_box(other)),
            }
        }
    }

    fn visit_rows(&mut self, change: &RowsChange, buffer: &mut RowBuffer) {
        let mut rows = change.rows(buffer);
        while let Some(row) = rows.next().unwrap() {
            row.before.iter().chain(&row.after).for_each(|image| self.visit(image));
        }
    }
}

fn options() -> DecoderOptions {
    DecoderOptions::new(Flavor::MySql, Coordinates::new("bin.000001", 4))
}

/// This library, on one thread.
pub(crate) fn decode(log: &[u8]) -> Sum {
    let (mut decoder, mut buffer, mut sum) = (Decoder::new(options()), RowBuffer::new(), Sum::default());
    for frame in FileSource::new(log, "bin.000001").unwrap() {
        decoder.push(frame.unwrap()).unwrap();
        while let Some(decoded) = decoder.next().unwrap() {
            if let Decoded::Rows(change) = decoded {
                sum.visit_rows(&change, &mut buffer);
            }
        }
    }
    sum
}

/// This library, with checksums and decompression on a thread of their own.
pub(crate) fn decode_on_two_threads(log: &[u8]) -> Sum {
    /// Events are handed over together, as handing over one costs more than to decode it; but few enough bytes for both
    /// processors' caches.
    const BATCH: usize = 256;
    const BATCH_BYTES: usize = 64 << 10;
    let (sender, receiver) = crossbeam_channel::bounded::<Vec<Event>>(2);
    thread::scope(|scope| {
        scope.spawn(move || {
            let (mut unfolder, mut batch, mut bytes) = (Unfolder::new(&options()), Vec::with_capacity(BATCH), 0);
            for frame in FileSource::new(log, "bin.000001").unwrap() {
                let mut event = unfolder.push(frame.unwrap()).unwrap();
                while let Some(next) = event {
                    bytes += next.bytes().len();
                    batch.push(next);
                    if batch.len() == BATCH || bytes >= BATCH_BYTES {
                        bytes = 0;
                        sender.send(std::mem::replace(&mut batch, Vec::with_capacity(BATCH))).unwrap();
                    }
                    event = unfolder.next().unwrap();
                }
            }
            sender.send(batch).unwrap();
        });
        let (mut decoder, mut buffer, mut sum) = (Decoder::new(options()), RowBuffer::new(), Sum::default());
        for event in receiver.into_iter().flatten() {
            let mut decoded = decoder.push_event(event).unwrap();
            while let Some(part) = decoded {
                if let Decoded::Rows(change) = part {
                    sum.visit_rows(&change, &mut buffer);
                }
                decoded = decoder.next().unwrap();
            }
        }
        sum
    })
}

/// `mysql_common`, which does not check checksums.
pub(crate) fn mysql_common(log: &[u8]) -> Sum {
    let mut file = BinlogFile::new(BinlogVersion::Version4, log).unwrap();
    let mut sum = Sum::default();
    while let Some(event) = file.next() {
        let event = event.unwrap();
        let Some(EventData::RowsEvent(rows)) = event.read_data().unwrap() else { continue };
        let table = file.reader().get_tme(rows.table_id()).unwrap();
        for row in rows.rows(table) {
            let (before, after) = row.unwrap();
            for image in before.into_iter().chain(after) {
                sum.images += 1;
                for value in image.unwrap() {
                    sum.values += 1;
                    black_box(value);
                }
            }
        }
    }
    sum
}

/// The server's own tool, which does not check checksums either; its text goes nowhere.
pub(crate) fn mysqlbinlog(mut tool: Command, path: &std::path::Path) {
    tool.args(["--no-defaults", "--base64-output=DECODE-ROWS", "-vv"]).arg(path).stdout(Stdio::null());
    assert!(tool.status().unwrap().success());
}

/// The compressed payloads of a log, each with what it unfolds to.
pub(crate) fn payloads(log: &[u8]) -> Vec<(Vec<u8>, usize)> {
    let file = BinlogFile::new(BinlogVersion::Version4, log).unwrap();
    let mut payloads = Vec::new();
    for event in file {
        if let Some(EventData::TransactionPayloadEvent(payload)) = event.unwrap().read_data().unwrap() {
            payloads.push((payload.payload_raw().to_vec(), payload.uncompressed_size() as usize));
        }
    }
    payloads
}

/// Decompression alone, with one context and one buffer for all payloads; gives the bytes that come out.
pub(crate) fn unzstd(payloads: &[(Vec<u8>, usize)]) -> usize {
    let mut zstd = zstd::bulk::Decompressor::new().unwrap();
    let mut plain = vec![0; payloads.iter().map(|(_, length)| *length).max().unwrap_or(0)];
    payloads.iter().map(|(folded, _)| black_box(zstd.decompress_to_buffer(folded, &mut plain).unwrap())).sum()
}
