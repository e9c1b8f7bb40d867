//! Files that are wrong: each is one line with what, where and what to do, exit status 3, and little memory.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::log::{Log, closed, data, events, seal, write};

const FORMAT_DESCRIPTION: u8 = 15;
const TABLE_MAP: u8 = 19;
const WRITE_ROWS_COMPRESSED_V1: u8 = 166;
/// Kilobytes of address space: less than the gigabyte that some of these files claim to need.
const MEMORY: u32 = 900_000;
const HUGE: u32 = 1 << 30;

/// Runs the verb with little memory: exit status, standard output, standard error.
fn run(arguments: &[&str], file: &Path) -> (Option<i32>, String, String) {
    let mut command = Command::new("sh");
    command.args([
        "-c",
        &format!("ulimit -v {MEMORY} && exec \"$0\" \"$@\""),
        env!("CARGO_BIN_EXE_bluegreen"),
        "binlog",
    ]);
    let output = command.args(arguments).arg(file).stdin(Stdio::null()).output().expect("the binary runs");
    let [stdout, stderr] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    (output.status.code(), stdout, stderr)
}

/// The log is refused at that offset, or anywhere, with all of `words`; the lines in front of it are whole.
#[track_caller]
fn refused(what: &str, log: &[u8], offset: Option<usize>, words: &[&str]) {
    let (_folder, file) = write("bin.000001", log);
    let (status, stdout, line) = run(&["--json"], &file);
    assert_eq!(status, Some(3), "{what}: {line}");
    assert!(stdout.is_empty() || stdout.ends_with('\n'), "{what}");
    for line in stdout.lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{what}: {error}: {line}"));
    }
    let document: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{what}: {error}: {line}"));
    let error = &document["error"];
    assert!(error["kind"].is_string() && error["message"].is_string() && error["advice"].is_string(), "{what}: {line}");
    assert_eq!(error["place"]["file"], "bin.000001", "{what}: {line}");
    match offset {
        Some(offset) => assert_eq!(error["place"]["offset"], offset, "{what}: {line}"),
        None => assert!(error["place"]["offset"].is_u64(), "{what}: {line}"),
    }
    for arguments in [&[][..], &["--stats"]] {
        let (status, stdout, line) = run(arguments, &file);
        assert_eq!(status, Some(3), "{what}: {line}");
        assert!(arguments.is_empty() || stdout.is_empty(), "{what}: {stdout}");
        assert!(line.starts_with("bluegreen: ") && line.lines().count() == 1, "{what}: {line}");
        assert!(line.contains("bin.000001:"), "{what}: {line}");
        for word in words {
            assert!(line.contains(word), "{what}: `{word}` is not in {line}");
        }
    }
}

fn golden(server: &str, case: &str) -> Vec<u8> {
    std::fs::read(data(server, case)).unwrap()
}

#[test]
fn files_that_are_no_logs() {
    let log = golden("mysql-9.7.4", "transactions");
    refused("empty", b"", Some(0), &["empty"]);
    refused("a part of the first bytes", &log[..3], Some(0), &["first 4 bytes"]);
    refused("text", b"bin.000001\nbin.000002\n", Some(0), &["text"]);
    refused("another format", b"\x7fELF\x02\x01\x01", Some(0), &["another"]);
    refused("encrypted", &[b"\xfdbin", &log[4..]].concat(), Some(0), &["encrypted", "server"]);
    let (status, _, line) = run(&[], Path::new("/nowhere/bin.000001"));
    assert!(status == Some(3) && line.contains("does not exist"), "{line}");
    let (status, _, line) = run(&[], Path::new(env!("CARGO_MANIFEST_DIR")));
    assert!(status == Some(3) && line.contains("folder"), "{line}");
}

#[test]
fn a_log_of_the_future() {
    let mut log = golden("mysql-9.7.4", "transactions");
    assert_eq!(events(&log)[0], (4, FORMAT_DESCRIPTION));
    log[4 + 19] = 5;
    seal(&mut log, 4);
    refused("a later version", &log, Some(4), &["version 5"]);
    let mut log = Log::mysql();
    log.transaction();
    let at = log.bytes.len();
    log.event(120, b"from the future");
    refused("an unknown event", &log.bytes, Some(at), &["120"]);
}

#[test]
fn files_that_are_cut() {
    let mut log = Log::mysql();
    log.transaction();
    log.transaction();
    let all = events(&log.bytes);
    // Behind the head and behind each transaction.
    let boundaries: Vec<_> = all.iter().filter(|(_, kind)| *kind == 34).map(|(start, _)| *start).collect();
    for cut in (4..log.bytes.len()).step_by(29).chain(all.iter().map(|(start, _)| *start)) {
        let part = &log.bytes[..cut];
        let is_whole = boundaries.contains(&cut) || all[1].0 == cut;
        let what = format!("cut at {cut}");
        let (_folder, file) = write("bin.000001", part);
        let is_in_use = cut > all[1].0;
        if is_in_use {
            // The server may be writing the rest.
            let (status, _, stderr) = run(&[], &file);
            assert_eq!(status, Some(0), "{what}: {stderr}");
            assert_eq!(stderr.lines().count() > 0, !is_whole, "{what}: {stderr}");
            assert!(stderr.lines().all(|line| line.starts_with("bluegreen: note: ")), "{what}: {stderr}");
        }
        if !is_whole && cut > 4 + 17 {
            refused(&what, &closed(part.to_vec()), None, &["the file ends inside"]);
        }
    }
}

#[test]
fn bits_that_are_flipped() {
    for (server, case) in [("mysql-9.7.4", "types_compressed"), ("mariadb-11.8", "types_compressed")] {
        let log = golden(server, case);
        let all = events(&log);
        for (start, end) in
            all.iter().map(|(start, _)| *start).zip(all.iter().skip(1).map(|(start, _)| *start)).step_by(3)
        {
            let flip = |at: usize, bit: u8| {
                let mut log = log.clone();
                log[at] ^= 1 << bit;
                log
            };
            let what = format!("{server}: event at {start}");
            refused(&what, &flip(end - 5, 3), Some(start), &["checksum"]);
            // The length. MariaDB from 11.4 does not say where events inside of a transaction end: of a file in use, one
            // that is too long is not told from one that is written now.
            refused(&what, &closed(flip(start + 9, 2)), None, &[]);
            refused(&what, &closed(flip(start + 11, 7)), None, &[]);
            if server.starts_with("mysql") {
                refused(&what, &flip(start + 9, 2), None, &[]);
                refused(&what, &flip(start + 11, 7), None, &[]);
            }
        }
    }
}

#[test]
fn two_files_in_one() {
    let log = golden("mysql-9.7.4", "transactions");
    refused("with its first bytes", &[&log[..], &log].concat(), Some(log.len()), &[]);
    refused("without its first bytes", &[&log[..], &log[4..]].concat(), None, &[]);
}

#[test]
fn a_transaction_is_left_out() {
    let mut log = Log::mysql();
    log.transaction();
    let (start, whole) = (log.bytes.len(), log.bytes.clone());
    log.transaction();
    let end = log.bytes.len();
    log.transaction();
    let log = [&whole[..], &log.bytes[end..]].concat();
    refused("a gap", &log, None, &[&format!("{} bytes", end - start), "missing"]);
}

#[test]
fn a_table_map_that_contradicts_its_rows() {
    for (server, case) in [("mysql-9.7.4", "types"), ("mysql-5.6.24", "types"), ("mariadb-10.11", "types")] {
        let log = golden(server, case);
        let all = events(&log);
        let map = all.iter().position(|(_, kind)| *kind == TABLE_MAP).unwrap();
        // Id, flags, the two names with lengths and zero bytes, the number of columns, the first one's type.
        let first_type = all[map].0 + 19 + 6 + 2 + (1 + 1 + 1) + (1 + 4 + 1) + 1;
        assert_eq!(log[first_type], 3, "INT");
        let mut wrong = log.clone();
        wrong[first_type] = 8;
        seal(&mut wrong, all[map].0);
        refused(server, &wrong, Some(all[map + 1].0), &["g.ints", "WRITE_ROWS"]);
    }
}

#[test]
fn gigabytes_that_are_not_there() {
    let small = |start: usize, kind: u8, size: u32| {
        let mut event = vec![0_u8; 30];
        event[4] = kind;
        event[9..13].copy_from_slice(&size.to_le_bytes());
        event[13..17].copy_from_slice(&(start as u32 + 30).to_le_bytes());
        event
    };
    let mut log = Log::mysql();
    log.transaction();
    let start = log.bytes.len();
    for size in [HUGE, u32::MAX, HUGE / 2] {
        let claimed = [&log.bytes[..], &small(start, 30, size)].concat();
        refused("an event's length", &claimed, Some(start), &[]);
        refused("an event's length in a closed file", &closed(claimed), Some(start), &[]);
    }

    // Lengths within an event.
    let huge = [&b"\xfe"[..], &u64::from(HUGE).to_le_bytes()].concat();
    for (what, kind, body) in [
        ("columns", TABLE_MAP, [b"\x01\0\0\0\0\0\x01\0\x01g\0\x01t\0", &huge[..]].concat()),
        ("a variable", 14, [&HUGE.to_le_bytes()[..], b"x"].concat()),
        ("a variable's value", 14, [&b"\x01\0\0\0x\0\0\xff\0\0\0"[..], &HUGE.to_le_bytes(), b"x"].concat()),
        ("settings", 2, [&b"\x01\0\0\0\0\0\0\0\x01\0\0\xff\xff"[..], b"x"].concat()),
    ] {
        let mut log = Log::mysql();
        log.begin();
        let start = log.bytes.len();
        log.event(kind, &body);
        refused(what, &log.bytes, Some(start), &[]);
    }

    // A compressed transaction, and what it says of itself.
    let zstd = b"\x28\xb5\x2f\xfd\xa0\x00\x00\x00\x40\x01\x00\x00";
    let mut log = Log::mysql();
    log.gtid();
    let start = log.bytes.len();
    let length = zstd.len() as u8;
    log.event(40, &[&[1, 1, length, 2, 1, 0, 3, 9][..], &huge, &[0], zstd].concat());
    refused("a compressed transaction", &log.bytes, Some(start), &["TRANSACTION_PAYLOAD"]);

    // Compressed rows of MariaDB: a length of four bytes in front.
    let mut log = golden("mariadb-10.11", "types_compressed");
    let found = events(&log).into_iter().find(|(_, kind)| *kind == WRITE_ROWS_COMPRESSED_V1);
    let (start, _) = found.expect("compressed rows");
    let columns = usize::from(log[start + 19 + 8]);
    let at = start + 19 + 8 + 1 + columns.div_ceil(8);
    assert_eq!(log[at] & 0xf8, 0x80, "zlib");
    log[at] = 0x84;
    log[at + 1..at + 5].copy_from_slice(&(HUGE - 1).to_be_bytes());
    seal(&mut log, start);
    refused("compressed rows", &log, Some(start), &["WRITE_ROWS_COMPRESSED"]);
}
