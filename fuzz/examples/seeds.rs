//! Seeds from the golden files of `tests/data/binlog`: `seeds FOLDER` fills `FOLDER/<target>`.
//!
//! Names are `<server>_<case>_<number>`. Seeds hold the logs' own bytes in the form that each target reads; of equal ones
//! there is one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bluegreen::decode::{Assembled, Assembler, Change, DecoderOptions, RowBuffer, ValueRef};
use bluegreen::model::{Coordinates, Flavor, Frame};
use bluegreen::source::file::FileSource;

const HEADER: usize = 19;
const CHECKSUM: usize = 4;
const FORMAT_DESCRIPTION: u8 = 15;
const TABLE_MAP: u8 = 19;
const PAYLOAD: u8 = 40;
/// Seeds are short: what is longer is tried through its parts.
const LONGEST: usize = 4_096;

/// A golden file.
struct Log {
    name: String,
    flavor: Flavor,
    /// The number in `Release::ALL` of a release that writes as the file's server did.
    release: u8,
    frames: Vec<Frame>,
}

fn kind(frame: &Frame) -> u8 {
    frame.bytes[4]
}

fn body(frame: &Frame) -> &[u8] {
    &frame.bytes[HEADER..frame.bytes.len() - CHECKSUM]
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
    let (flavor, release) = match server.as_ref() {
        server if server.starts_with("mysql-5.6") => (Flavor::MySql, 1),
        server if server.starts_with("mysql-") => (Flavor::MySql, 5),
        "mariadb-10.5" => (Flavor::MariaDb, 6),
        "mariadb-10.11" => (Flavor::MariaDb, 7),
        _ => (Flavor::MariaDb, 8),
    };
    let frames = FileSource::open(file).expect("a golden file").map(|frame| frame.expect("a frame")).collect();
    Log { name: format!("{server}_{case}"), flavor, release, frames }
}

/// From one end of a transaction to the next, with the transactions' changes of rows.
fn transactions(log: &Log) -> Vec<(Vec<&Frame>, Vec<Change>)> {
    let mut assembler = Assembler::new(DecoderOptions::new(log.flavor, Coordinates::new("bin.000001", 4)));
    let (mut all, mut frames) = (Vec::new(), Vec::new());
    for frame in &log.frames {
        frames.push(frame);
        match assembler.push(frame.clone()).and_then(|()| assembler.next()).expect("a server's own event") {
            Some(Assembled::Transaction(transaction)) => {
                all.push((std::mem::take(&mut frames), transaction.changes));
            }
            Some(_) => all.push((std::mem::take(&mut frames), Vec::new())),
            None => {}
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

fn part(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_le_bytes(), bytes].concat()
}

/// The event without a checksum and without a place.
fn bare(frame: &Frame) -> Vec<u8> {
    let is_head = kind(frame) == FORMAT_DESCRIPTION;
    // The head keeps the place of its checksum, and says that there are none.
    let mut out = frame.bytes[..frame.bytes.len() - if is_head { 0 } else { CHECKSUM }].to_vec();
    if is_head {
        let algorithm = out.len() - CHECKSUM - 1;
        out[algorithm] = 0;
    }
    let size = out.len() as u32;
    out[9..13].copy_from_slice(&size.to_le_bytes());
    out[13..17].fill(0);
    out
}

fn main() {
    let folder = PathBuf::from(std::env::args().nth(1).expect("a folder for the seeds"));
    let of = |target| Seeds::of(&folder, target);
    let (mut frame, mut stream, mut rows, mut payload) = (of("frame"), of("stream"), of("rows"), of("payload"));
    let (mut json, mut decimal, mut gtid, mut charset) = (of("json"), of("decimal"), of("gtid_binary"), of("charset"));
    for log in &logs() {
        let parity = u8::from(log.flavor == Flavor::MariaDb);
        let mut map = Vec::new();
        for (frames, changes) in transactions(log) {
            let mut events = vec![log.release];
            let mut file = vec![parity, 0xff];
            file.extend(bare(&log.frames[0]));
            for event in frames {
                events.extend([kind(event), 0]);
                events.extend(part(body(event)));
                if kind(event) != FORMAT_DESCRIPTION {
                    file.extend(bare(event));
                }
                match kind(event) {
                    TABLE_MAP => map = body(event).to_vec(),
                    23..=25 | 30..=32 | 39 | 166..=171 => add_rows(&mut rows, log, &map, event),
                    PAYLOAD => payload.add(log, [&[0], body(event)].concat()),
                    35 => gtid.add(log, [&[0], body(event)].concat()),
                    163 => gtid.add(log, [&[1], body(event)].concat()),
                    33 => gtid.add(log, [&[2], body(event)].concat()),
                    42 => gtid.add(log, [&[4], body(event)].concat()),
                    162 => gtid.add(log, [&[5], body(event)].concat()),
                    _ => {}
                }
            }
            frame.add(log, events.clone());
            stream.add(log, file);
            if log.flavor == Flavor::MySql {
                payload.add(log, [&[2], &events[1..]].concat());
            }
            for change in changes {
                add_values(log, &change, &mut json, &mut decimal, &mut charset);
            }
        }
    }
}

fn add_rows(rows: &mut Seeds, log: &Log, map: &[u8], event: &Frame) {
    let mut columns = &map[8..];
    for _ in 0..2 {
        columns = &columns[usize::from(columns[0]) + 2..];
    }
    let kinds = [23, 24, 25, 30, 31, 32, 39, 166, 167, 168, 169, 170, 171];
    let which = kinds.iter().position(|number| *number == kind(event)).expect("a row event");
    let is_first_version = matches!(kind(event), 23..=25 | 166..=168);
    let images = &body(event)[if is_first_version { 8 } else { 10 }..];
    rows.add(log, [&[log.release, which as u8], part(columns).as_slice(), images].concat());
}

fn add_values(log: &Log, change: &Change, json: &mut Seeds, decimal: &mut Seeds, charset: &mut Seeds) {
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
                        json.add(log, [part(&bytes).as_slice(), diffs[bytes.len() % 2]].concat());
                    }
                    Some(ValueRef::Decimal(value)) => {
                        let (precision, scale) = value.precision_and_scale();
                        let text = value.text().expect("a server's own number");
                        decimal.add(log, written(text.as_str(), precision, scale));
                    }
                    Some(ValueRef::Bytes(bytes)) => {
                        let [low, high] = column.collation.unwrap_or(255).to_le_bytes();
                        charset.add(log, [&[u8::from(log.flavor == Flavor::MariaDb), low, high], bytes].concat());
                    }
                    _ => {}
                }
            }
        }
    }
}

/// A row event of one column has the number's bytes behind its bitmaps.
fn written(text: &str, precision: u8, scale: u8) -> Vec<u8> {
    use bluegreen::testkit::{Cell, ColumnSpec, ColumnType, Event, Rows, TableMap};
    let table = TableMap::new(1, "s", "t", vec![ColumnSpec::new(ColumnType::Decimal(precision, scale))]);
    let event: Event = Rows::insert(&table).row(&[Cell::Decimal(text.to_owned())]).into();
    let number = &event.body()[6 + 2 + 2 + 1 + 1 + 1..];
    [&[precision, scale], number].concat()
}
