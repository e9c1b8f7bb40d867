//! Seeds from the golden files of `tests/data/binlog`, and from what none of them has: `seeds FOLDER` fills
//! `FOLDER/<target>`.
//!
//! Names are `<server>_<case>_<number>`. Seeds hold the logs' own bytes in the form that each target reads; of equal ones
//! there is one.

mod written;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bluegreen::decode::{Assembled, Assembler, Change, DecimalBuffer, DecoderOptions, RowBuffer, ValueRef};
use bluegreen::model::{Coordinates, Flavor, Frame};
use bluegreen::source::file::FileSource;
use bluegreen::testkit::{Checksum, LogWriter, Release, flag, kind as number};
use written::Scene;

const HEADER: usize = 19;
const CHECKSUM: usize = 4;
/// Seeds are short: what is longer is tried through its parts.
const LONGEST: usize = 4_096;

/// A golden file, or events of the testkit.
struct Log {
    name: String,
    /// Of a golden file: one that writes as the file's server did.
    release: Release,
    has_checksums: bool,
    frames: Vec<Frame>,
}

impl Log {
    fn checksum_length(&self, frame: &Frame) -> usize {
        let is_sealed =
            self.has_checksums || (kind(frame) == number::FORMAT_DESCRIPTION && self.release.knows_checksums());
        if is_sealed { CHECKSUM } else { 0 }
    }

    fn body<'a>(&self, frame: &'a Frame) -> &'a [u8] {
        &frame.bytes[HEADER..frame.bytes.len() - self.checksum_length(frame)]
    }

    /// The event without a checksum and without a place.
    fn bare(&self, frame: &Frame) -> Vec<u8> {
        let mut out = frame.bytes.to_vec();
        match kind(frame) {
            // The head keeps the place of its checksum, and says that there are none.
            number::FORMAT_DESCRIPTION if self.has_checksums => {
                let algorithm = out.len() - CHECKSUM - 1;
                out[algorithm] = 0;
            }
            number::FORMAT_DESCRIPTION => {}
            _ => out.truncate(out.len() - self.checksum_length(frame)),
        }
        let size = out.len() as u32;
        out[9..13].copy_from_slice(&size.to_le_bytes());
        out[13..17].fill(0);
        out
    }
}

fn kind(frame: &Frame) -> u8 {
    frame.bytes[4]
}

/// The target `frame`'s flags of an event.
fn flags(frame: &Frame) -> u8 {
    let header = u16::from_le_bytes([frame.bytes[17], frame.bytes[18]]);
    let is_streamed_only =
        header & flag::ARTIFICIAL != 0 || matches!(kind(frame), number::HEARTBEAT | number::HEARTBEAT_V2);
    let has_no_place = frame.bytes[13..17] == [0; 4];
    u8::from(header & flag::IGNORABLE != 0) | u8::from(is_streamed_only) << 1 | u8::from(has_no_place) << 2
}

fn logs() -> Vec<Log> {
    let mut files: Vec<PathBuf> = Vec::new();
    for server in Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/binlog").read_dir().expect("golden files") {
        for file in server.expect("a folder").path().read_dir().expect("golden files") {
            files.push(file.expect("a file").path());
        }
    }
    files.retain(|file| file.extension().is_some_and(|extension| extension == "bin"));
    files.sort();
    files.iter().map(|file| log(file)).collect()
}

fn log(file: &Path) -> Log {
    let server = file.parent().and_then(Path::file_name).expect("a folder").to_string_lossy();
    let case = file.file_stem().expect("a name").to_string_lossy();
    let release = match server.as_ref() {
        server if server.starts_with("mysql-5.6") => Release::MySql56,
        server if server.starts_with("mysql-") => Release::MySql97,
        "mariadb-10.5" => Release::MariaDb105,
        "mariadb-10.11" => Release::MariaDb1011,
        _ => Release::MariaDb118,
    };
    let frames = FileSource::open(file).expect("a golden file").map(|frame| frame.expect("a frame")).collect();
    Log { name: format!("{server}_{case}"), release, has_checksums: true, frames }
}

fn written(scene: Scene) -> Log {
    let mut log = LogWriter::with_checksum(scene.release, Checksum::None);
    for event in scene.events {
        log.write(event);
    }
    let name = format!("{:?}_{}", scene.release, scene.name).to_lowercase();
    Log { name, release: scene.release, has_checksums: false, frames: log.frames().to_vec() }
}

/// From one end of a transaction to the next, with the transactions' changes of rows.
fn transactions(log: &Log) -> Vec<(Vec<&Frame>, Vec<Change>)> {
    let mut assembler = Assembler::new(DecoderOptions::new(log.release.flavor(), Coordinates::new("bin.000001", 4)));
    let (mut all, mut frames) = (Vec::new(), Vec::new());
    for frame in &log.frames {
        frames.push(frame);
        assembler.push(frame.clone()).expect("a server's own event");
        while let Some(assembled) = assembler.next().expect("a server's own event") {
            let changes = match assembled {
                Assembled::Transaction(transaction) => transaction.changes,
                _ => Vec::new(),
            };
            all.push((std::mem::take(&mut frames), changes));
        }
    }
    all
}

/// Seeds of one target.
struct Seeds {
    folder: PathBuf,
    seen: BTreeSet<Vec<u8>>,
}

impl Seeds {
    fn of(folder: &Path, target: &str) -> Seeds {
        let folder = folder.join(target);
        std::fs::create_dir_all(&folder).expect("a folder for seeds");
        Seeds { folder, seen: BTreeSet::new() }
    }

    fn add(&mut self, log: &Log, seed: Vec<u8>) {
        if seed.len() <= LONGEST && self.seen.insert(seed.clone()) {
            let name = format!("{}_{}", log.name, self.seen.len());
            std::fs::write(self.folder.join(name), seed).expect("a place for a seed");
        }
    }
}

/// As the targets say it: even is MySQL.
fn flavor(log: &Log) -> u8 {
    u8::from(log.release.flavor() == Flavor::MariaDb)
}

fn part(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_le_bytes(), bytes].concat()
}

fn main() {
    let folder = PathBuf::from(std::env::args().nth(1).expect("a folder for the seeds"));
    let mut targets = Targets::of(&folder);
    for log in &logs() {
        for (frames, changes) in transactions(log) {
            targets.add_events(log, &frames);
            changes.iter().for_each(|change| targets.add_values(log, change));
        }
    }
    for log in written::scenes().into_iter().map(written) {
        targets.add_events(&log, &log.frames.iter().skip(1).collect::<Vec<_>>());
    }
}

/// The seeds of the targets.
struct Targets {
    frame: Seeds,
    stream: Seeds,
    rows: Seeds,
    payload: Seeds,
    json: Seeds,
    decimal: Seeds,
    gtid: Seeds,
    charset: Seeds,
}

impl Targets {
    fn of(folder: &Path) -> Targets {
        let of = |target| Seeds::of(folder, target);
        Targets {
            frame: of("frame"),
            stream: of("stream"),
            rows: of("rows"),
            payload: of("payload"),
            json: of("json"),
            decimal: of("decimal"),
            gtid: of("gtid_binary"),
            charset: of("charset"),
        }
    }

    fn add_events(&mut self, log: &Log, frames: &[&Frame]) {
        let release = Release::ALL.iter().position(|release| *release == log.release).expect("one of all") as u8;
        let mut events = vec![release];
        let mut file = vec![flavor(log), 0xff];
        file.extend(log.bare(&log.frames[0]));
        let (mut payload, mut fragments) = (Vec::new(), Vec::new());
        let mut map: &[u8] = &[];
        for frame in frames {
            let (kind, body) = (kind(frame), log.body(frame));
            events.extend([kind, flags(frame)]);
            events.extend(part(body));
            if kind != number::FORMAT_DESCRIPTION {
                file.extend(log.bare(frame));
            }
            payload.push(kind);
            payload.extend(part(body));
            match kind {
                number::TABLE_MAP => map = body,
                23..=25 | 30..=32 | 39 | 166..=171 => add_rows(&mut self.rows, log, release, map, kind, body),
                number::TRANSACTION_PAYLOAD => self.payload.add(log, [&[0], body].concat()),
                number::PARTIAL_ROW_DATA => fragments.extend(part(body)),
                number::PREVIOUS_GTIDS => self.gtid.add(log, [&[0], body].concat()),
                number::MARIADB_GTID_LIST => self.gtid.add(log, [&[1], body].concat()),
                number::GTID => self.gtid.add(log, [&[2], body].concat()),
                number::GTID_TAGGED => self.gtid.add(log, [&[4], body].concat()),
                number::MARIADB_GTID => self.gtid.add(log, [&[5], body].concat()),
                _ => {}
            }
        }
        self.frame.add(log, events);
        self.stream.add(log, file);
        if log.release.flavor() == Flavor::MySql {
            self.payload.add(log, [&[2], payload.as_slice()].concat());
        }
        if !fragments.is_empty() {
            self.payload.add(log, [&[7], fragments.as_slice()].concat());
        }
    }

    fn add_values(&mut self, log: &Log, change: &Change) {
        let Change::Rows(change) = change else { return };
        let mut buffer = RowBuffer::new();
        let mut rows = change.rows(&mut buffer);
        while let Some(row) = rows.next().expect("a server's own rows") {
            for image in row.before.iter().chain(&row.after) {
                for (column, value) in image.table().columns.iter().zip(image.iter()) {
                    match value.expect("a server's own value") {
                        Some(ValueRef::Json(document)) => {
                            let tree = document.to_tree().expect("a server's own document");
                            let bytes = bluegreen::decode::json::encode(&tree).expect("a document");
                            // `$.a` becomes null; `$[0]` goes.
                            let diffs = [b"\x00\x03$.a\x02\x04\0".as_slice(), b"\x02\x04$[0]"];
                            self.json.add(log, [part(&bytes).as_slice(), diffs[bytes.len() % 2]].concat());
                        }
                        Some(ValueRef::Decimal(value)) => {
                            let (precision, scale) = value.precision_and_scale();
                            let mut buffer = DecimalBuffer::default();
                            let text = value.text(&mut buffer).expect("a server's own number");
                            self.decimal.add(log, number_bytes(text, precision, scale));
                        }
                        Some(ValueRef::Bytes(bytes)) => {
                            let [low, high] = column.collation.unwrap_or(255).to_le_bytes();
                            self.charset.add(log, [&[flavor(log), low, high], bytes].concat());
                        }
                        _ => {}
                    }
                }
            }
        }
    }
}

fn add_rows(rows: &mut Seeds, log: &Log, release: u8, map: &[u8], kind: u8, body: &[u8]) {
    if map.is_empty() {
        return;
    }
    let mut columns = &map[8..];
    for _ in 0..2 {
        columns = &columns[usize::from(columns[0]) + 2..];
    }
    let kinds = [23, 24, 25, 30, 31, 32, 39, 166, 167, 168, 169, 170, 171];
    let which = kinds.iter().position(|number| *number == kind).expect("a row event");
    let is_first_version = matches!(kind, 23..=25 | 166..=168);
    let extra = if is_first_version { 0 } else { usize::from(body[8]) };
    let images = &body[8 + extra..];
    let one = [&[which as u8], part(images).as_slice()].concat();
    // Twice, so that the second event finds the first one's buffer.
    rows.add(log, [&[release], part(columns).as_slice(), &one, &one].concat());
}

/// A row event of one column has the number's bytes behind its bitmaps.
fn number_bytes(text: &str, precision: u8, scale: u8) -> Vec<u8> {
    use bluegreen::testkit::{Cell, ColumnSpec, ColumnType, Event, Rows, TableMap};
    let table = TableMap::new(1, "s", "t", vec![ColumnSpec::new(ColumnType::Decimal(precision, scale))]);
    let event: Event = Rows::insert(&table).row(&[Cell::Decimal(text.to_owned())]).into();
    let number = &event.body()[6 + 2 + 2 + 1 + 1 + 1..];
    [&[precision, scale], number].concat()
}
