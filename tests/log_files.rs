//! Log files: every place where one may be cut, every way its bytes may arrive, and series of them.

use std::io::Read;
use std::path::{Path, PathBuf};

use bluegreen::decode::{Assembled, Assembler, DecoderOptions};
use bluegreen::error::{Error, ErrorKind};
use bluegreen::model::{Coordinates, Flavor, Frame};
use bluegreen::source::file::{End, FileSeries, FileSource};
use proptest::prelude::*;

const SERVERS: [&str; 5] = ["mysql-9.7.4", "mysql-5.6.24", "mariadb-10.5", "mariadb-10.11", "mariadb-11.8"];
const ROTATE: u8 = 4;
const STOP: u8 = 3;
/// Where the flags of the first event are in a file.
const FLAGS: usize = 4 + 17;

fn golden(server: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/binlog").join(server).join("transactions.bin");
    std::fs::read(path).unwrap()
}

/// The same file as a server leaves it that has closed it: the flag is not covered by the checksum.
fn closed(mut log: Vec<u8>) -> Vec<u8> {
    log[FLAGS] &= !1;
    log
}

/// An event with a header and a checksum that fit.
fn event(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut event = vec![1, 0, 0, 0, kind, 1, 0, 0, 0];
    event.extend((19 + body.len() as u32 + 4).to_le_bytes());
    event.extend([0; 6]);
    event.extend(body);
    event.extend(crc32fast::hash(&event).to_le_bytes());
    event
}

fn rotate(file: &str) -> Vec<u8> {
    event(ROTATE, &[&4_u64.to_le_bytes(), file.as_bytes()].concat())
}

/// Where the events of a log end.
fn ends(log: &[u8]) -> Vec<usize> {
    let mut ends = vec![4];
    while let Some(size) = log.get(ends[ends.len() - 1] + 9..).and_then(|rest| rest.first_chunk()) {
        ends.push(ends[ends.len() - 1] + u32::from_le_bytes(*size) as usize);
    }
    ends
}

/// The frames, then how the file ends.
fn read(reader: impl Read) -> (Vec<Frame>, Result<End, Error>) {
    let mut source = match FileSource::new(reader, "bin.000001") {
        Ok(source) => source,
        Err(error) => return (Vec::new(), Err(error)),
    };
    let mut frames = Vec::new();
    for frame in source.by_ref() {
        match frame {
            Ok(frame) => frames.push(frame),
            Err(error) => {
                assert_eq!(source.end(), None);
                assert!(source.next().is_none(), "an error is the last thing that comes");
                return (frames, Err(error));
            }
        }
    }
    assert!(source.next().is_none());
    (frames, Ok(source.end().unwrap().clone()))
}

#[test]
fn a_file_cut_at_every_byte_says_so() {
    for server in SERVERS {
        let in_use = golden(server);
        let closed = closed(in_use.clone());
        let ends = ends(&in_use);
        for cut in 0..in_use.len() {
            let whole = ends.iter().filter(|end| **end <= cut).count().saturating_sub(1);
            let last = ends[whole];
            let (frames, end) = read(&in_use[..cut]);
            let is_told = cut >= 4 + 19;
            assert_eq!(frames.len(), whole);
            match end {
                Ok(End::Open) => assert!(is_told && cut == last, "{server}: {cut}"),
                Ok(End::Unfinished { offset, bytes }) => {
                    assert!(is_told && cut > last, "{server}: {cut}");
                    assert_eq!((offset, bytes), (last as u64, (cut - last) as u64));
                }
                Ok(other) => panic!("{server}: {cut}: {other:?}"),
                Err(error) => {
                    assert!(!is_told, "{server}: {cut}: {error}");
                    assert_eq!(error.kind(), ErrorKind::Corrupt);
                }
            }
            let (frames, end) = read(&closed[..cut]);
            assert_eq!(frames.len(), whole);
            match end {
                Ok(end) => assert_eq!((end, cut), (End::Open, last)),
                Err(error) => {
                    assert!(cut != last || cut == 4, "{server}: {cut}: {error}");
                    let at = error.place().unwrap().coordinates.clone().unwrap();
                    assert_eq!(at, Coordinates::new("bin.000001", if cut < 4 { 0 } else { last as u64 }));
                }
            }
        }
    }
}

#[test]
fn the_last_event_says_how_a_file_was_closed() {
    for server in SERVERS {
        let log = golden(server);
        assert_eq!(read(&log[..]).1.unwrap(), End::Open);
        let log = closed(log);
        let rotated = [log.clone(), rotate("bin.000002")].concat();
        assert_eq!(read(&rotated[..]).1.unwrap(), End::Clean { next: Some("bin.000002".into()) });
        let stopped = [log, event(STOP, &[])].concat();
        assert_eq!(read(&stopped[..]).1.unwrap(), End::Clean { next: None });
    }
}

#[test]
fn files_that_are_no_logs_are_told_apart() {
    let refusal = |bytes: &[u8]| {
        let (frames, end) = read(bytes);
        assert!(frames.is_empty());
        let error = end.unwrap_err();
        assert!(error.place().unwrap().coordinates.is_some());
        let text = error.to_string();
        assert!(!text.contains('\n'), "{text}");
        (error.kind(), text)
    };
    let says = |bytes: &[u8], kind: ErrorKind, text: &str| {
        let (found, message) = refusal(bytes);
        assert!(found == kind && message.contains(text), "{found:?}: {message}");
    };
    says(b"", ErrorKind::Corrupt, "empty");
    says(b"\xfeb", ErrorKind::Corrupt, "first 4 bytes");
    says(b"./binlog.000001\n", ErrorKind::Corrupt, "found text");
    says(b"\x1f\x8b\x08\x00\x00", ErrorKind::Corrupt, "another one");
    says(b"\xfdbin\x01", ErrorKind::Unsupported, "decrypts");
    says(b"\xfebin", ErrorKind::Corrupt, "ends inside an event");
    let whole = golden("mysql-9.7.4");
    let changed = |at: usize, to: &[u8]| {
        let mut log = whole.clone();
        log[at..at + to.len()].copy_from_slice(to);
        log
    };
    says(&changed(4 + 4, &[1]), ErrorKind::Unsupported, "before 5.0");
    says(&changed(4 + 4, &[2]), ErrorKind::Corrupt, "format description");
    says(&changed(FLAGS, &[0x41]), ErrorKind::Unsupported, "relay log");
    says(&changed(4 + 19, &[3]), ErrorKind::Unsupported, "version 3");
    says(&changed(4 + 21, b"?"), ErrorKind::Corrupt, "version");
    says(&changed(4 + 9, &18_u32.to_le_bytes()), ErrorKind::Corrupt, "found 18 bytes");
    says(&changed(4 + 9, &u32::MAX.to_le_bytes()), ErrorKind::Corrupt, "found 4294967295 bytes");
    // A size that is possible and a lie takes no memory. It does not agree with the event's end; where that is not said,
    // the event is just not there.
    says(&changed(4 + 9, &(1_u32 << 30).to_le_bytes()), ErrorKind::Corrupt, "do not agree");
    let silent = changed(4 + 9, &[&(1_u32 << 30).to_le_bytes()[..], &[0; 4]].concat());
    assert!(matches!(
        read(&silent[..]).1,
        Ok(End::Unfinished { offset: 4, bytes }) if bytes == whole.len() as u64 - 4
    ));
    // Encrypted from the second event on.
    let head = &whole[..ends(&whole)[1]];
    let (frames, end) = read(&[head, &event(164, &[1; 17])].concat()[..]);
    assert_eq!((frames.len(), end.unwrap_err().kind()), (1, ErrorKind::Unsupported));
    let missing = FileSource::open("no/such/bin.000001").unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Io);
    assert!(missing.to_string().contains("bin.000001:0"), "{missing}");
    assert_eq!(FileSource::open(env!("CARGO_MANIFEST_DIR")).unwrap_err().kind(), ErrorKind::Io);
}

/// Gives as many bytes at a time as it is told, again and again.
struct Portions<'a> {
    bytes: &'a [u8],
    sizes: std::iter::Cycle<std::slice::Iter<'a, usize>>,
}

impl Read for Portions<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let size = *self.sizes.next().unwrap();
        if size == 0 {
            return Err(std::io::ErrorKind::Interrupted.into());
        }
        let size = size.min(buffer.len()).min(self.bytes.len());
        let (now, later) = self.bytes.split_at(size);
        buffer[..size].copy_from_slice(now);
        self.bytes = later;
        Ok(size)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Frames are the same however the bytes arrive, wherever chunks end, and whether frames are kept or dropped.
    #[test]
    fn frames_do_not_depend_on_chunks(
        bodies in proptest::collection::vec(prop_oneof![8 => 0..400_usize, 4 => 0..60_000_usize, 1 => 200_000..700_000_usize], 1..60),
        mut sizes in proptest::collection::vec(prop_oneof![0..3_usize, 1..5_000_usize, 100_000..1_000_000_usize], 0..8),
        kept in 1..9_usize,
        cut in any::<prop::sample::Index>(),
    ) {
        sizes.push(70_000);
        let log = golden("mysql-9.7.4");
        let mut log = log[..ends(&log)[1]].to_vec();
        for (index, length) in bodies.iter().enumerate() {
            log.extend(event(100, &vec![index as u8; *length]));
        }
        log.truncate(cut.index(log.len() - 140) + 140);
        let ends = ends(&log);
        let mut source = FileSource::new(Portions { bytes: &log, sizes: sizes.iter().cycle() }, "bin.000001").unwrap();
        let mut frames = Vec::new();
        let mut start = 4;
        while let Some(frame) = source.next() {
            let frame = frame.unwrap();
            prop_assert!(frame.bytes == log[start..start + frame.bytes.len()]);
            start += frame.bytes.len();
            prop_assert_eq!(source.coordinates().offset, start as u64);
            if frames.len() % kept == 0 {
                frames.push((start, frame));
            }
        }
        let last = *ends.iter().rfind(|end| **end <= log.len()).unwrap();
        prop_assert_eq!(start, last);
        match source.end().unwrap() {
            End::Open => prop_assert_eq!(last, log.len()),
            End::Unfinished { offset, bytes } => prop_assert_eq!((*offset, offset + bytes), (last as u64, log.len() as u64)),
            other => prop_assert!(false, "{:?}", other),
        }
        // What was kept was not written over.
        for (end, frame) in frames {
            prop_assert!(frame.bytes == log[end - frame.bytes.len()..end]);
        }
    }
}

/// Frames that are dropped give their chunk back: all of a long log is read in the same memory.
#[test]
fn dropped_frames_give_their_memory_back() {
    let log = golden("mysql-9.7.4");
    let mut log = log[..ends(&log)[1]].to_vec();
    let next = event(100, &[7; 5_000]);
    while log.len() < 8 << 20 {
        log.extend(&next);
    }
    let places: Vec<usize> =
        FileSource::new(&log[..], "bin.000001").unwrap().map(|frame| frame.unwrap().bytes.as_ptr().addr()).collect();
    let spread = places.iter().max().unwrap() - places.iter().min().unwrap();
    assert!(spread < 1 << 19, "{} frames lie over {spread} bytes", places.len());
}

/// Files of one log in a folder, written back to front.
fn folder(files: &[(&str, Vec<u8>)]) -> (tempfile::TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let paths = files.iter().rev().map(|(name, bytes)| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    });
    let paths = paths.collect();
    (folder, paths)
}

#[test]
fn a_series_follows_rotation_stops_and_crashes() {
    for server in SERVERS {
        let flavor = if server.starts_with("mariadb") { Flavor::MariaDb } else { Flavor::MySql };
        let log = golden(server);
        let files = [
            ("bin.999998", [closed(log.clone()), rotate("bin.999999")].concat()),
            ("bin.999999", [closed(log.clone()), event(STOP, &[])].concat()),
            ("bin.1000000", log.clone()),
            ("bin.1000001", [&log[..], &event(STOP + 9, &[0; 100])[..23]].concat()),
            ("bin.1000002", log.clone()),
        ];
        let (_folder, paths) = folder(&files);
        let mut series = FileSeries::open(&paths).unwrap();
        let mut assembler = Assembler::new(DecoderOptions::new(flavor, series.coordinates().clone()));
        let mut seen = Vec::new();
        let mut added = 0;
        for frame in series.by_ref() {
            let frame = frame.unwrap();
            added += usize::from(frame.bytes[4] == ROTATE && frame.bytes[17] & 0x20 != 0);
            if let Some(Assembled::Transaction(transaction)) =
                assembler.push(frame).and_then(|()| assembler.next()).unwrap()
            {
                assert!(transaction.end.offset < log.len() as u64 + 1);
                seen.push(transaction.end.file);
            }
        }
        let count = seen.len() / files.len();
        assert!(count > 0);
        let names = files.iter().map(|(name, _)| *name);
        assert_eq!(seen, names.clone().flat_map(|name| vec![name.into(); count]).collect::<Vec<std::sync::Arc<str>>>());
        assert_eq!(added, 3);
        let unfinished = End::Unfinished { offset: log.len() as u64, bytes: 23 };
        let ends = [
            End::Clean { next: Some("bin.999999".into()) },
            End::Clean { next: None },
            End::Open,
            unfinished,
            End::Open,
        ];
        assert!(series.ends().iter().map(|(name, end)| (name.as_str(), end)).eq(names.zip(&ends)));
        assert_eq!(assembler.coordinates(), series.coordinates());
    }
}

#[test]
fn a_series_leaves_no_file_out() {
    let log = golden("mysql-5.6.24");
    let refused = |names: &[&str], text: &str| {
        let files: Vec<_> = names.iter().map(|name| (*name, log.clone())).collect();
        let error = FileSeries::open(folder(&files).1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains(text), "{error}");
    };
    refused(&["bin.000001", "bin.000003"], "expected the file that follows bin.000001, found bin.000003");
    refused(&["a.000001", "b.000002"], "expected the file that follows a.000001");
    refused(&["bin.000001", "bin.index"], "expected the number");
    assert_eq!(FileSeries::open::<PathBuf>([]).unwrap_err().kind(), ErrorKind::Config);
    let (kept, paths) = folder(&[("bin.000001", log.clone())]);
    assert_eq!(FileSeries::open([&paths[0], &paths[0]]).unwrap_err().kind(), ErrorKind::Config);
    drop(kept);

    // The names fit, and the log says otherwise.
    let rotated = [closed(log.clone()), rotate("other.000002")].concat();
    let length = rotated.len() as u64;
    let (_folder, paths) = folder(&[("bin.000001", rotated.clone()), ("bin.000002", log.clone())]);
    let mut series = FileSeries::open(&paths).unwrap();
    let error = series.find_map(Result::err).unwrap();
    assert_eq!(error.place().unwrap().coordinates, Some(Coordinates::new("bin.000001", length)));
    assert!(error.to_string().contains("other.000002"), "{error}");
    assert!(series.next().is_none());

    // One alone may have any name, and end with any ROTATE.
    let (_folder, paths) = folder(&[("copy.bin", rotated)]);
    let mut series = FileSeries::open(&paths).unwrap();
    assert!(series.by_ref().all(|frame| frame.is_ok()));
    assert_eq!(series.ends(), [("copy.bin".to_owned(), End::Clean { next: Some("other.000002".into()) })]);

    // A file that is missing is an error when its turn comes.
    let (_folder, mut paths) = folder(&[("bin.000001", log)]);
    paths.push(paths[0].with_file_name("bin.000002"));
    let mut series = FileSeries::open(&paths).unwrap();
    assert_eq!(series.find_map(Result::err).unwrap().kind(), ErrorKind::Io);
}

/// What real servers leave: a rotation, a crash inside of a write, an orderly stop.
#[cfg(feature = "sandbox")]
#[tokio::test(flavor = "multi_thread")]
async fn logs_of_crashed_and_stopped_servers_are_read_on() {
    let mut kinds = tokio::task::JoinSet::new();
    for kind in bluegreen::sandbox::Kind::ALL {
        kinds.spawn(crashed_and_stopped(kind));
    }
    kinds.join_all().await;
}

#[cfg(feature = "sandbox")]
async fn crashed_and_stopped(kind: bluegreen::sandbox::Kind) {
    let flavor = if kind.is_mariadb() { Flavor::MariaDb } else { Flavor::MySql };
    let mut server = bluegreen::sandbox::Server::builder(kind).start().await.unwrap();
    server.sql("create schema s; create table s.t (id int primary key); insert into s.t values (1)").await.unwrap();
    server.sql("flush logs; insert into s.t values (2)").await.unwrap();
    let files = server.sql("show binary logs").await.unwrap();
    let crashed = server.data_dir().join(files.lines().last().unwrap().split('\t').next().unwrap());
    server.kill().await.unwrap();
    // Killed in the middle of writing the next event.
    let mut log = std::fs::read(&crashed).unwrap();
    let length = log.len() as u64;
    log.extend(&event(100, &[0; 200])[..36]);
    std::fs::write(&crashed, log).unwrap();
    server.start().await.unwrap();
    server.sql("insert into s.t values (3)").await.unwrap();
    server.restart().await.unwrap();
    server.sql("insert into s.t values (4)").await.unwrap();

    let files = server.sql("show binary logs").await.unwrap();
    let files = files.lines().map(|line| server.data_dir().join(line.split('\t').next().unwrap()));
    let mut series = FileSeries::open(files).unwrap();
    let mut assembler = Assembler::new(DecoderOptions::new(flavor, series.coordinates().clone()));
    let mut count = 0;
    for frame in series.by_ref() {
        let decoded = assembler.push(frame.unwrap()).and_then(|()| assembler.next()).unwrap();
        count += usize::from(matches!(decoded, Some(Assembled::Transaction(_))));
    }
    assert_eq!(count, 6, "{kind}: two statements and four rows");
    let ends: Vec<_> = series.ends().iter().map(|(_, end)| end.clone()).collect();
    let crashed = match kind.is_mariadb() {
        true => End::Unfinished { offset: length, bytes: 36 },
        // MySQL cuts the tail off when it starts again.
        false => End::Open,
    };
    let rotated = End::Clean { next: Some("binlog.000002".into()) };
    assert_eq!(ends, [rotated, crashed, End::Clean { next: None }, End::Open], "{kind}");
}
