//! What servers compress: parts of events, columns, and whole transactions.

use std::io::Write;

use super::event::Event;
use super::{encode, kind};

/// How a TRANSACTION_PAYLOAD holds its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PayloadCompression {
    /// As they are.
    None,
    /// One zstd frame.
    Zstd,
}

impl Event {
    /// TRANSACTION_PAYLOAD of MySQL around all events of a transaction but its GTID (MySQL source,
    /// `libs/mysql/binlog/event/codecs/binary.cpp`). The events within have no checksums and no places.
    pub fn transaction_payload(events: &[Event], compression: PayloadCompression) -> Event {
        const END: u64 = 0;
        const PAYLOAD_SIZE: u64 = 1;
        const COMPRESSION: u64 = 2;
        const UNCOMPRESSED_SIZE: u64 = 3;
        let plain: Vec<u8> = events.iter().flat_map(|event| event.to_bytes(0, 0)).collect();
        let (number, payload) = match compression {
            PayloadCompression::None => (255, plain.clone()),
            PayloadCompression::Zstd => (0, zstd::bulk::compress(&plain, 3).expect("bytes in memory compress")),
        };
        let mut body = Vec::new();
        encode::field(&mut body, COMPRESSION, &encode::packed_alone(number));
        encode::field(&mut body, UNCOMPRESSED_SIZE, &encode::packed_alone(plain.len() as u64));
        encode::field(&mut body, PAYLOAD_SIZE, &encode::packed_alone(payload.len() as u64));
        encode::packed(&mut body, END);
        body.extend(payload);
        Event::raw(kind::TRANSACTION_PAYLOAD, 0, body)
    }

    /// PARTIAL_ROW_DATA of MariaDB 12.3: the event in pieces of up to `size` bytes, each an event of its own (MariaDB
    /// manual, "PARTIAL_ROW_DATA_EVENT"). The pieces are those of the whole event, its header included and without a
    /// checksum. The manual has the count in front of the piece's number; a comment in the server's source is said to have
    /// them the other way round.
    ///
    /// # Panics
    /// Where `size` is 0.
    pub fn partial_row_data(rows: &Event, size: usize) -> Vec<Event> {
        const HAS_WHOLE_SIZE: u8 = 0x1;
        let whole = rows.to_bytes(0, 0);
        let count = whole.len().div_ceil(size);
        let fragment = |(index, piece): (usize, &[u8])| {
            let mut body = Vec::from((count as u32).to_le_bytes());
            body.extend((index as u32 + 1).to_le_bytes());
            if index == 0 {
                body.push(HAS_WHOLE_SIZE);
                body.extend((whole.len() as u64).to_le_bytes());
            } else {
                body.push(0);
            }
            body.extend(piece);
            Event {
                server_id: rows.server_id,
                timestamp: rows.timestamp,
                ..Event::raw(kind::PARTIAL_ROW_DATA, 0, body)
            }
        };
        whole.chunks(size).enumerate().map(fragment).collect()
    }
}

/// Adds `plain` as MariaDB compresses statements and rows (MariaDB source, `sql/log_event.cc`, `binlog_buf_compress`): a
/// byte `0x80 | algorithm << 4 | length of the length`, the length with its highest byte first, and a zlib stream.
pub(super) fn fold_mariadb(plain: &[u8], out: &mut Vec<u8>) {
    let width = length_width(plain.len());
    out.push(0x80 | width as u8);
    encode::be(out, plain.len() as u64, width);
    out.extend(zlib(plain));
}

/// From so many bytes on MariaDB compresses a value (`column_compression_threshold`).
const COLUMN_THRESHOLD: usize = 100;

/// The value as a compressed column of MariaDB stores it (MariaDB source, `sql/field_comp.cc`, `compress_zlib`, and
/// `sql/field.cc`, `Field_longstr::compress`): nothing for an empty one, a zero byte and the value where it is short or
/// does not shrink, else a byte `0x80 | is raw << 3 | length of the length`, the length with its highest byte first, and
/// the stream, which is raw unless `column_compression_zlib_wrap` is set.
pub(super) fn fold_column(plain: &[u8], is_wrapped: bool) -> Vec<u8> {
    if plain.is_empty() {
        return Vec::new();
    }
    let width = length_width(plain.len());
    let mut folded = vec![0x80 | u8::from(!is_wrapped) << 3 | width as u8];
    encode::be(&mut folded, plain.len() as u64, width);
    folded.extend(if is_wrapped { zlib(plain) } else { deflate(plain) });
    if plain.len() < COLUMN_THRESHOLD || folded.len() > plain.len() {
        return [&[0], plain].concat();
    }
    folded
}

fn length_width(length: usize) -> usize {
    (1..4).find(|width| length >> (8 * width) == 0).unwrap_or(4)
}

fn zlib(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(plain).and_then(|()| encoder.finish()).expect("bytes in memory compress")
}

fn deflate(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(plain).and_then(|()| encoder.finish()).expect("bytes in memory compress")
}
