//! The verb `binlog`: its lines are what the servers selected, and whatever is wrong with a file is one line with the
//! place, exit status 3, and little memory.
#![cfg(feature = "cli")]

#[path = "binlog/bad.rs"]
mod bad;
#[path = "binlog/golden.rs"]
mod golden;
#[path = "binlog/log.rs"]
mod log;

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use self::log::{Log, data, write};

fn bluegreen(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bluegreen"));
    command.args(arguments).env_remove("BLUEGREEN_LOG").stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    bluegreen(arguments).output().expect("the binary runs")
}

/// The lines of a log that has nothing wrong with it.
#[track_caller]
fn lines(arguments: &[&str], files: &[&Path]) -> Vec<Value> {
    let files: Vec<_> = files.iter().map(|file| file.to_str().unwrap()).collect();
    let output = run(&[&["binlog", "--json"], arguments, &files].concat());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), &*stderr), (Some(0), ""), "{files:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

fn statements(lines: &[Value]) -> Vec<&str> {
    lines.iter().filter_map(|line| line["statement"].as_str()).collect()
}

#[test]
fn keys_come_in_the_order_of_the_contract() {
    let file = data("mysql-9.7.4", "types");
    let output = run(&["binlog", "--json", file.to_str().unwrap()]);
    let text = String::from_utf8(output.stdout).unwrap();
    let change = text.lines().find(|line| line.starts_with("{\"change\"")).unwrap();
    assert_eq!(
        change,
        "{\"change\":\"insert\",\"schema\":\"g\",\"table\":\"ints\",\"file\":\"types.bin\",\"offset\":2568,\
         \"gtid\":\"fbebdb88-e6ff-11f1-ae62-02fc00000001:7\",\"time\":\"2026-11-23T06:03:48.773052Z\",\
         \"columns\":[\"id\",\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\",\"i\",\"j\"],\"before\":null,\
         \"after\":[1,-128,0,-32768,0,-8388608,0,-2147483648,0,-9223372036854775808,0]}"
    );
    assert_eq!(
        text.lines().next().unwrap(),
        "{\"statement\":\"CREATE DATABASE g\",\"schema\":\"g\",\"file\":\"types.bin\",\"offset\":334,\
         \"gtid\":\"fbebdb88-e6ff-11f1-ae62-02fc00000001:1\"}"
    );
    // Without a commit time in the log: the second of the event.
    let maria = lines(&["--table", "g.ints"], &[&data("mariadb-10.11", "types")]);
    assert!(maria[0]["time"].as_str().unwrap().ends_with(".000000Z"));
    assert!(maria[0]["gtid"].as_str().unwrap().starts_with("0-1-"));
    let old = lines(&["--table", "g.ints"], &[&data("mysql-5.6.24", "types")]);
    assert_eq!((&old[0]["gtid"], &old[0]["columns"]), (&Value::Null, &Value::Null));
}

#[test]
fn columns_that_were_not_logged_are_absent() {
    let changes = lines(&["--table", "g.t"], &[&data("mysql-9.7.4", "transactions")]);
    let update = changes.iter().find(|line| line["change"] == "update").unwrap();
    assert_eq!(update["before"].to_string(), "[2,{\"absent\":true}]");
    assert_eq!(update["after"].to_string(), "[{\"absent\":true},\"bb\"]");
}

#[test]
fn a_table_and_a_range_select() {
    let file = data("mysql-9.7.4", "types");
    let all = lines(&[], &[&file]);
    let ints = lines(&["--table", "g.ints"], &[&file]);
    let expected: Vec<_> = all.iter().filter(|line| line["table"] == "ints").cloned().collect();
    assert_eq!(ints, expected);
    assert_eq!(lines(&["--table", "g.nothing"], &[&file]), Vec::<Value>::new());
    // Wherever the log is divided, both parts together are the whole, in order.
    let size = file.metadata().unwrap().len();
    for offset in (0..=size + 50).step_by(211) {
        let offset = offset.to_string();
        let mut parts = lines(&["--to", &offset], &[&file]);
        parts.extend(lines(&["--from", &offset], &[&file]));
        assert_eq!(parts, all, "{offset}");
    }
    // An event is in the range by its start.
    let end = all[0]["offset"].as_u64().unwrap();
    assert_eq!(lines(&["--to", &end.to_string()], &[&file]), &all[..1]);
    assert_eq!(lines(&["--from", &end.to_string()], &[&file]), &all[1..]);
}

#[test]
fn statistics_count_what_the_lines_show() {
    for (server, case) in [("mysql-9.7.4", "types"), ("mysql-9.7.4", "types_compressed"), ("mariadb-10.5", "types")] {
        let file = data(server, case);
        let lines = lines(&[], &[&file]);
        let count = |kind: &str| lines.iter().filter(|line| line["change"] == kind).count();
        let values = |line: &Value| {
            let images = ["before", "after"].map(|image| line[image].as_array().cloned().unwrap_or_default());
            images.concat().iter().filter(|value| value.get("absent").is_none()).count()
        };
        let output = run(&["binlog", "--stats", "--json", file.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(0));
        let stats: Value = serde_json::from_slice(&output.stdout).unwrap();
        let changes = &stats["row_changes"];
        assert_eq!(
            [&changes["insert"], &changes["update"], &changes["delete"]],
            [count("insert"), count("update"), count("delete")]
        );
        assert_eq!(stats["values"], lines.iter().map(values).sum::<usize>());
        assert_eq!(stats["statements"], statements(&lines).len());
        assert_eq!(stats["bytes"], file.metadata().unwrap().len() - 4);
        assert!(stats["seconds"].as_f64().unwrap() > 0.0 && stats["mb_per_second"].as_f64().unwrap() > 0.0);
        let output = run(&["binlog", "--stats", file.to_str().unwrap()]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("row changes") && text.contains("MB/s"), "{text}");
    }
}

#[test]
fn people_read_one_line_a_change() {
    let file = data("mariadb-10.11", "transactions");
    let output = run(&["binlog", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    for line in [
        "transactions.bin:445 0-1-1 (g) CREATE DATABASE g",
        "transactions.bin:996 0-1-4 INSERT g.t id=1 v=\"a\"",
        "transactions.bin:1229 0-1-4 UPDATE g.t id=2 v=\"bb\"",
        "transactions.bin:2989 0-1-9 DELETE g.t id=104",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
    }
    assert!(text.lines().all(|line| line.starts_with("transactions.bin:")), "a line is broken: {text}");
}

#[test]
fn statements_come_with_what_the_session_had() {
    let mut log = Log::mysql();
    log.begin();
    log.event(5, &[&[2], &5_u64.to_le_bytes()[..]].concat());
    log.event(5, &[&[1], &7_u64.to_le_bytes()[..]].concat());
    log.event(13, &[1_u64.to_le_bytes(), 2_u64.to_le_bytes()].concat());
    let user = |name: &str, kind: u8, value: &[u8], flags: u8| {
        let (name_length, length) = ((name.len() as u32).to_le_bytes(), (value.len() as u32).to_le_bytes());
        [&name_length[..], name.as_bytes(), &[0, kind], &255_u32.to_le_bytes(), &length, value, &[flags]].concat()
    };
    log.event(14, &user("a`b", 0, "ü".as_bytes(), 0));
    log.event(14, &user("i", 2, &(-3_i64).to_le_bytes(), 0));
    log.event(14, &user("u", 2, &u64::MAX.to_le_bytes(), 1));
    log.event(14, &user("r", 1, &1.5_f64.to_le_bytes(), 0));
    log.event(14, &user("d", 4, &[2, 1, 0x81, 0x05], 0));
    log.event(14, &[&1_u32.to_le_bytes()[..], b"n\x01"].concat());
    log.query("INSERT INTO t VALUES ('\u{e9}', RAND(), @n)");
    log.query_bytes(b"INSERT INTO t VALUES ('\xff')");
    log.commit();
    // Prepared, and undone by a transaction of its own.
    let xid = [&b"\x00"[..], &1_u32.to_le_bytes(), &1_u32.to_le_bytes(), &0_u32.to_le_bytes(), b"x"].concat();
    log.gtid();
    log.query("XA START X'78',X'',1");
    log.rows();
    log.query("XA END X'78',X'',1");
    log.event(38, &xid);
    log.gtid();
    log.query("XA ROLLBACK X'78',X'',1");
    // A part that is undone, and a whole.
    log.begin();
    log.query("SAVEPOINT `s`");
    log.rows();
    log.query("ROLLBACK TO `s`");
    log.query("ROLLBACK");
    let (_folder, file) = write("bin.000001", &log.bytes);
    let found = lines(&[], &[&file]);
    assert_eq!(
        statements(&found),
        [
            "SET INSERT_ID=5",
            "SET LAST_INSERT_ID=7",
            "SET @@RAND_SEED1=1, @@RAND_SEED2=2",
            "SET @`a``b`:=_utf8mb4 X'C3BC'",
            "SET @`i`:=-3",
            "SET @`u`:=18446744073709551615",
            "SET @`r`:=1.5e0",
            "SET @`d`:=1.5",
            "SET @`n`:=NULL",
            "INSERT INTO t VALUES ('\u{e9}', RAND(), @n)",
            "XA PREPARE X'78',X'',1",
            "XA ROLLBACK X'78',X'',1",
            "SAVEPOINT `s`",
            "ROLLBACK TO `s`",
            "ROLLBACK"
        ]
    );
    let not_text = found.iter().find(|line| line["statement"].is_object()).unwrap();
    assert_eq!(not_text["statement"]["base64"], "SU5TRVJUIElOVE8gdCBWQUxVRVMgKCf/Jyk=");
    assert_eq!(found[0]["schema"], Value::Null);
    // With a table, what undoes its rows is still there, and nothing else.
    let of_table = lines(&["--table", "g.t"], &[&file]);
    assert_eq!(
        statements(&of_table),
        ["XA PREPARE X'78',X'',1", "XA ROLLBACK X'78',X'',1", "ROLLBACK TO `s`", "ROLLBACK"]
    );
    assert_eq!(of_table.len(), 4 + 4);
}

#[test]
fn digits_that_the_log_does_not_say_are_told() {
    let mut log = Log::mariadb();
    log.mariadb_gtid();
    // INT, and a DATETIME(3) of MariaDB's old format.
    log.event(19, b"\x2a\0\0\0\0\0\x01\0\x01g\0\x01t\0\x02\x03\x0c\0\x03");
    let units = [13, 32, 24, 60, 60, 1000].into_iter().zip([2, 29, 12, 4, 5, 678]);
    let packed: u64 = units.fold(2024, |packed, (size, part)| packed * size + part);
    log.event(23, &[&b"\x2a\0\0\0\0\0\x01\0\x02\x03\0\x01\0\0\0"[..], &packed.to_be_bytes()[1..]].concat());
    log.commit();
    let (_folder, file) = write("bin.000001", &log.bytes);
    let found = lines(&["--temporal-digits", "g.t:2=3"], &[&file]);
    assert_eq!(found[0]["after"].to_string(), "[1,\"2024-02-29 12:04:05.678\"]");
    let output = run(&["binlog", file.to_str().unwrap()]);
    let line = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{line}");
    assert!(line.contains("DATETIME") && line.contains("number 2") && line.contains("digits"), "{line}");
    assert_eq!(run(&["binlog", "--temporal-digits", "g.t:0=3", "x"]).status.code(), Some(2));
}

#[test]
fn several_files_are_one_log() {
    let mut one = Log::mysql();
    one.transaction();
    let in_one = one.bytes.len();
    one.rotate("bin.000002");
    let mut two = Log::mysql();
    two.transaction();
    let in_two = two.bytes.len();
    two.transaction();
    let folder = tempfile::tempdir().unwrap();
    let paths = ["bin.000001", "bin.000002"].map(|name| folder.path().join(name));
    std::fs::write(&paths[0], &one.bytes).unwrap();
    std::fs::write(&paths[1], &two.bytes).unwrap();
    // The order of the arguments is not that of the log.
    let all = lines(&[], &[&paths[1], &paths[0]]);
    let files: Vec<_> = all.iter().map(|line| line["file"].as_str().unwrap()).collect();
    assert_eq!(files, [["bin.000001"; 2], ["bin.000002"; 2], ["bin.000002"; 2]].concat());
    // FROM counts in the first file, TO in the last.
    assert_eq!(lines(&["--from", &in_one.to_string()], &[&paths[0], &paths[1]]), &all[2..]);
    assert_eq!(lines(&["--to", &in_two.to_string()], &[&paths[0], &paths[1]]), &all[..4]);
    let missing = folder.path().join("bin.000004");
    std::fs::write(&missing, &two.bytes).unwrap();
    let output = run(&["binlog", paths[0].to_str().unwrap(), missing.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let mut log = Log::mysql();
    while log.bytes.len() < 1 << 20 {
        log.transaction();
    }
    let (_folder, file) = write("bin.000001", &log.bytes);
    for arguments in [&["binlog", "--json"][..], &["binlog"]] {
        let arguments = [arguments, &[file.to_str().unwrap()]].concat();
        let mut child = bluegreen(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        assert!(first.ends_with('\n'));
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert_eq!((child.wait().unwrap().code(), stderr.as_str()), (Some(0), ""));
    }
}

/// A transaction of 64 MB is shown while it is read.
#[test]
fn a_large_transaction_takes_little_memory() {
    let mut log = Log::mysql();
    log.begin();
    while log.bytes.len() < 64 << 20 {
        log.many_rows();
    }
    log.commit();
    let (_folder, file) = write("bin.000001", &log.bytes);
    let mut child = bluegreen(&["binlog", "--json", file.to_str().unwrap()]).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    std::io::copy(&mut (&mut stdout).take(8 << 20), &mut std::io::sink()).unwrap();
    // It waits for us: the pipe holds far less than what is left.
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kilobytes: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kilobytes < 40_000, "{kilobytes} kB");
    drop(stdout);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
