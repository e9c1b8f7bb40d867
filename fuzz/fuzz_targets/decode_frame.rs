//! No bytes make the decoder panic, and after an error it gives nothing but errors.
//!
//! Input: one byte for the flavour (even: MySQL, odd: MariaDB), then events, each as its type number, the length of its
//! body in two bytes (little endian), and the body. Headers and checksums are put on here, so that what is tried are the
//! events' insides.
#![no_main]

use bluegreen::decode::{Decoder, DecoderOptions};
use bluegreen::model::{Coordinates, Flavor, Frame};
use libfuzzer_sys::fuzz_target;

const MYSQL: &[u8] = include_bytes!("../../tests/data/binlog/mysql-9.7.4/types.bin");
const MARIADB: &[u8] = include_bytes!("../../tests/data/binlog/mariadb-11.8/types.bin");
const HEADER_LENGTH: usize = 19;
const CHECKSUM_LENGTH: usize = 4;

/// The log's first event, a format description, behind the file's four bytes.
fn format_description(log: &'static [u8]) -> &'static [u8] {
    let size = u32::from_le_bytes([log[13], log[14], log[15], log[16]]) as usize;
    &log[4..4 + size]
}

fn event(kind: u8, body: &[u8], start: u64) -> Vec<u8> {
    let size = (HEADER_LENGTH + body.len() + CHECKSUM_LENGTH) as u32;
    let mut event = Vec::with_capacity(size as usize);
    event.extend(0_u32.to_le_bytes());
    event.push(kind);
    event.extend(1_u32.to_le_bytes());
    event.extend(size.to_le_bytes());
    event.extend((start as u32).wrapping_add(size).to_le_bytes());
    event.extend(0_u16.to_le_bytes());
    event.extend(body);
    event.extend(crc32fast::hash(&event).to_le_bytes());
    event
}

fuzz_target!(|data: &[u8]| {
    let Some((flavor, mut rest)) = data.split_first() else { return };
    let (flavor, log) = match flavor % 2 {
        0 => (Flavor::MySql, MYSQL),
        _ => (Flavor::MariaDb, MARIADB),
    };
    let mut options = DecoderOptions::new(flavor, Coordinates::new("bin.000001", 4));
    options.max_transaction_bytes = 1 << 20;
    let mut decoder = Decoder::new(options);
    decoder.push(Frame::new(format_description(log).into())).expect("a server's own event");
    let mut is_stopped = false;
    while let [kind, low, high, after @ ..] = rest {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(after.len());
        let (body, next) = after.split_at(length);
        rest = next;
        let before = decoder.coordinates().clone();
        let result = decoder.push(Frame::new(event(*kind, body, before.offset).into()));
        assert!(result.is_err() || !is_stopped, "a decoder that stopped goes on");
        if result.is_err() {
            is_stopped = true;
            assert_eq!(*decoder.coordinates(), before, "an error moved the coordinates");
        }
    }
});
