//! Whole frames with right headers and checksums: what is tried are the events' insides.
//!
//! Input: the release, then events, each as its type's number, flags, the length of its body in two bytes and the body.
#![no_main]

use bluegreen::decode::{Assembler, Decoded, RowBuffer};
use bluegreen::testkit::{Event, flag};
use bluegreen_fuzz::{Input, Watched, expect_no_internal, log_with, options, visit};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let release = input.release();
    let mut events = Vec::new();
    while !input.is_empty() {
        let (kind, flags) = (input.byte(), input.byte());
        let mut event = Event::raw(kind, 0, input.part());
        if flags & 1 != 0 {
            event = event.with_flags(flag::IGNORABLE);
        }
        if flags & 2 != 0 {
            event = event.with_flags(flag::ARTIFICIAL).streamed_only();
        }
        if flags & 4 != 0 {
            event = event.with_log_position(0);
        }
        events.push(event);
    }
    let log = log_with(release, events);
    let mut decoder = Watched::new(release);
    let mut assembler = Assembler::new(options(release));
    let mut buffer = RowBuffer::new();
    let mut has_assembler_stopped = false;
    for frame in log.frames() {
        let parts = decoder.push(frame.clone());
        let assembled = assembler.push(frame.clone()).and_then(|()| assembler.next());
        assert!(parts.is_ok() || assembled.is_err(), "an assembler takes what the decoder refuses");
        match assembled {
            Ok(_) => {
                assert!(!has_assembler_stopped, "an assembler that stopped goes on");
                assert_eq!(assembler.coordinates(), decoder.coordinates());
                assert_eq!(assembler.is_in_transaction(), decoder.is_in_transaction());
            }
            Err(error) => {
                expect_no_internal(&error);
                has_assembler_stopped = true;
            }
        }
        for part in parts.iter().flatten() {
            match part {
                Decoded::Rows(change) => drop(visit(change, &mut buffer)),
                Decoded::Statement(statement) => drop(statement.context()),
                _ => {}
            }
        }
    }
});
