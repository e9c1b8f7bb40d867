//! Logs made by hand, on the head of a golden one.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

const QUERY: u8 = 2;
const ROTATE: u8 = 4;
const FORMAT_DESCRIPTION: u8 = 15;
const XID: u8 = 16;
const TABLE_MAP: u8 = 19;
const WRITE_ROWS: u8 = 30;
const ANONYMOUS_GTID: u8 = 34;
const MARIADB_GTID: u8 = 162;
/// The first flags byte of the first event of a file.
const FLAGS: usize = 4 + 17;

pub(crate) fn data(server: &str, case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/binlog").join(server).join(case).with_extension("bin")
}

/// A file of that name, while the folder lasts.
pub(crate) fn write(name: &str, bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

/// The start and the kind of each event.
pub(crate) fn events(log: &[u8]) -> Vec<(usize, u8)> {
    let (mut events, mut at) = (Vec::new(), 4);
    while let Some(header) = log.get(at..at + 19) {
        events.push((at, header[4]));
        at += u32::from_le_bytes(header[9..13].try_into().unwrap()) as usize;
    }
    events
}

/// The same file as a server leaves it that has closed it: the flag is not covered by the checksum.
pub(crate) fn closed(mut log: Vec<u8>) -> Vec<u8> {
    log[FLAGS] &= !1;
    log
}

/// Makes an event's checksum fit again.
pub(crate) fn seal(log: &mut [u8], start: usize) {
    let size = u32::from_le_bytes(log[start + 9..start + 13].try_into().unwrap()) as usize;
    let event = &mut log[start..start + size];
    let (body, checksum) = event.split_at_mut(size - 4);
    // The flag of a file in use is not covered.
    let mut covered = body.to_vec();
    if covered[4] == FORMAT_DESCRIPTION {
        covered[17] &= !1;
    }
    checksum.copy_from_slice(&crc32fast::hash(&covered).to_le_bytes());
}

/// A log that grows.
pub(crate) struct Log {
    pub(crate) bytes: Vec<u8>,
    /// Events of the golden log, to be written again.
    golden: Vec<(u8, Vec<u8>)>,
}

impl Log {
    /// A log of MySQL 9.7 in use, without a transaction yet.
    pub(crate) fn mysql() -> Log {
        Log::of("mysql-9.7.4", ANONYMOUS_GTID)
    }

    /// The same of MariaDB 10.11.
    pub(crate) fn mariadb() -> Log {
        Log::of("mariadb-10.11", MARIADB_GTID)
    }

    fn of(server: &str, gtid: u8) -> Log {
        let bytes = std::fs::read(data(server, "transactions")).unwrap();
        let events = events(&bytes);
        let golden = events.windows(2).map(|pair| (pair[0].1, bytes[pair[0].0 + 19..pair[1].0 - 4].to_vec())).collect();
        let first = events.iter().find(|(_, kind)| *kind == gtid).unwrap().0;
        Log { bytes: bytes[..first].to_vec(), golden }
    }

    pub(crate) fn event(&mut self, kind: u8, body: &[u8]) {
        let start = self.bytes.len();
        let size = 19 + body.len() + 4;
        self.bytes.extend([0x60, 0x10, 0x0a, 0x6b, kind, 1, 0, 0, 0]);
        self.bytes.extend((size as u32).to_le_bytes());
        self.bytes.extend(((start + size) as u32).to_le_bytes());
        self.bytes.extend([0, 0]);
        self.bytes.extend(body);
        self.bytes.extend([0; 4]);
        seal(&mut self.bytes, start);
    }

    fn body(&self, kind: u8) -> Vec<u8> {
        self.golden.iter().find(|(other, _)| *other == kind).unwrap().1.clone()
    }

    pub(crate) fn gtid(&mut self) {
        self.event(ANONYMOUS_GTID, &self.body(ANONYMOUS_GTID));
    }

    /// The start of a transaction of MariaDB.
    pub(crate) fn mariadb_gtid(&mut self) {
        // Number, domain, then flags, of which the first says that one statement follows.
        let is_start = |(kind, body): &&(u8, Vec<u8>)| *kind == MARIADB_GTID && body[12] & 1 == 0;
        let body = self.golden.iter().find(is_start).unwrap().1.clone();
        self.event(MARIADB_GTID, &body);
    }

    pub(crate) fn query(&mut self, sql: &str) {
        self.query_bytes(sql.as_bytes());
    }

    pub(crate) fn query_bytes(&mut self, sql: &[u8]) {
        let begin = self.golden.iter().find(|(kind, body)| *kind == QUERY && body.ends_with(b"BEGIN")).unwrap();
        let head = &begin.1[..begin.1.len() - 5];
        self.event(QUERY, &[head, sql].concat());
    }

    pub(crate) fn begin(&mut self) {
        self.gtid();
        self.query("BEGIN");
    }

    /// Two rows of `g.t`.
    pub(crate) fn rows(&mut self) {
        self.event(TABLE_MAP, &self.body(TABLE_MAP));
        self.event(WRITE_ROWS, &self.body(WRITE_ROWS));
    }

    /// Thousands of rows of `g.t` in one event.
    pub(crate) fn many_rows(&mut self) {
        self.event(TABLE_MAP, &self.body(TABLE_MAP));
        let body = self.body(WRITE_ROWS);
        // Table id, flags, extra data, the number of columns and their bits.
        let (head, rows) = body.split_at(6 + 2 + 2 + 1 + 1);
        self.event(WRITE_ROWS, &[head, &rows.repeat(4_000)].concat());
    }

    pub(crate) fn commit(&mut self) {
        self.event(XID, &[0; 8]);
    }

    pub(crate) fn transaction(&mut self) {
        self.begin();
        self.rows();
        self.commit();
    }

    pub(crate) fn rotate(&mut self, file: &str) {
        self.event(ROTATE, &[&4_u64.to_le_bytes(), file.as_bytes()].concat());
    }
}
