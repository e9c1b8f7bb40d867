//! Any bytes as a log file, read in pieces of any size: the pieces make no difference.
//!
//! Input: the flavour (even: MySQL), the size of the pieces, and the file behind its four first bytes. The seeds have no
//! checksums and no places, so that what is changed in them is still read.
#![no_main]

use std::io::Read;

use bluegreen::decode::{Decoded, RowBuffer};
use bluegreen::model::Frame;
use bluegreen::source::file::{End, FileSource};
use bluegreen::testkit::Release;
use bluegreen_fuzz::{Input, Watched, expect_no_internal, visit};
use libfuzzer_sys::fuzz_target;

struct Pieces<'a> {
    bytes: &'a [u8],
    size: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let size = self.size.min(out.len());
        self.bytes.read(&mut out[..size])
    }
}

/// The frames, how the file ends, and whether an error ended it.
fn frames(bytes: &[u8], size: usize) -> Option<(Vec<Frame>, Option<End>, bool)> {
    let mut source = FileSource::new(Pieces { bytes, size }, "bin.000001").ok()?;
    let (mut frames, mut has_failed, mut length) = (Vec::new(), false, 4);
    while let Some(frame) = source.next() {
        match frame {
            Ok(frame) => {
                length += frame.bytes.len() as u64;
                assert_eq!(source.coordinates().offset, length);
                frames.push(frame);
            }
            Err(error) => {
                expect_no_internal(&error);
                has_failed = true;
            }
        }
    }
    assert!(source.next().is_none());
    assert_eq!(source.end().is_none(), has_failed);
    Some((frames, source.end().cloned(), has_failed))
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let release = if input.byte().is_multiple_of(2) { Release::MySql97 } else { Release::MariaDb118 };
    let size = usize::from(input.byte()) + 1;
    let file = [b"\xfebin", input.rest()].concat();
    let whole = frames(&file, usize::MAX);
    assert!(whole == frames(&file, size), "the pieces make a difference");
    let Some((frames, ..)) = whole else { return };
    let (mut decoder, mut buffer) = (Watched::new(release), RowBuffer::new());
    for frame in frames {
        for part in decoder.push(frame).into_iter().flatten() {
            if let Decoded::Rows(change) = part {
                let _ = visit(&change, &mut buffer);
            }
        }
    }
});
