//! How much of a server's dump stream gets through to the one who asked for it?
//!
//! ```text
//! cargo bench --bench dump
//! ```
//!
//! A server with a backlog of row changes and of small transactions sends it over TCP, in turn to a bare socket reader,
//! which counts bytes and looks at none, and to [`Dump`], which gives every event. Both ask for the same stream, so
//! both get the same bytes. The share of the one in the other is printed.

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bluegreen::model::{Coordinates, Position};
use bluegreen::net::{Server, ServerUrl};
use bluegreen::sandbox::{self, Kind};
use bluegreen::source::{Dump, DumpRequest};
use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use tokio::runtime::Runtime;

const SERVER_ID: u32 = 4_201;
const CAPABILITIES: u32 = 0x1 | 0x200 | 0x2000 | 0x8000 | 0x8_0000;
/// Header of a packet, and the byte before each event.
const PACKET_BYTES: u64 = 4 + 1;

/// How much is written and how often it is read.
struct Size {
    /// Rows of the table: this many times doubled.
    doublings: u32,
    updates: u32,
    small_transactions: u32,
    least_bytes: u64,
    rounds: usize,
}

const FULL: Size = Size { doublings: 16, updates: 5, small_transactions: 40_000, least_bytes: 200_000_000, rounds: 9 };
const SMALL: Size = Size { doublings: 10, updates: 1, small_transactions: 200, least_bytes: 500_000, rounds: 1 };

/// A server with a log that was written before.
struct Backlog {
    runtime: Runtime,
    sandbox: sandbox::Server,
    url: ServerUrl,
    server: Server,
    start: Coordinates,
    /// What the stream has on the wire, from `start` to the log's end.
    wire_bytes: u64,
    event_count: u64,
}

impl Backlog {
    fn write(kind: Kind, size: &Size) -> Backlog {
        let runtime = Runtime::new().unwrap();
        let (sandbox, url, server) = runtime.block_on(async {
            let sandbox = sandbox::Server::builder(kind).option("--max-binlog-size=1G").start().await.unwrap();
            let url: ServerUrl = sandbox.url().parse().unwrap();
            let server = Box::pin(Server::ask(&url)).await.unwrap();
            (sandbox, url, server)
        });
        let mut backlog =
            Backlog { runtime, sandbox, url, server, start: Coordinates::new("", 4), wire_bytes: 0, event_count: 0 };
        backlog.sql("FLUSH BINARY LOGS");
        backlog.start.file = backlog.end().file;
        backlog.write_rows(size);
        (backlog.event_count, backlog.wire_bytes) = backlog.measure();
        assert!(backlog.wire_bytes >= size.least_bytes, "the backlog has {} bytes only", backlog.wire_bytes);
        backlog
    }

    fn write_rows(&self, size: &Size) {
        self.sql("CREATE SCHEMA shop");
        self.sql(
            "CREATE TABLE shop.orders (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, amount DECIMAL(12,2) NOT NULL, \
             n BIGINT NOT NULL, placed DATETIME(6) NOT NULL, note VARCHAR(200) NOT NULL, raw VARBINARY(200) NOT NULL) \
             CHARACTER SET latin1",
        );
        let row = "INSERT INTO shop.orders (amount, n, placed, note, raw) VALUES (7.5, 1, NOW(6), REPEAT('note ', 30), \
                   RANDOM_BYTES(100))";
        // MariaDB 10.11 has RANDOM_BYTES too.
        self.sql(row);
        for _ in 0..size.doublings {
            self.sql(
                "INSERT INTO shop.orders (amount, n, placed, note, raw) \
                 SELECT amount + 1, n * 3, placed, note, raw FROM shop.orders",
            );
        }
        for _ in 0..size.updates {
            self.sql("UPDATE shop.orders SET n = n + 1, amount = amount + 0.01");
        }
        self.sql(&format!(
            "CREATE PROCEDURE shop.many(count INT) \
             BEGIN WHILE count > 0 DO {row}; SET count = count - 1; END WHILE; END"
        ));
        self.sql(&format!("CALL shop.many({})", size.small_transactions));
    }

    fn sql(&self, statement: &str) -> String {
        self.runtime.block_on(self.sandbox.sql(statement)).unwrap()
    }

    fn end(&self) -> Coordinates {
        let status = match self.sandbox.kind().is_mariadb() {
            true => self.sql("SHOW MASTER STATUS"),
            false => self.sql("SHOW BINARY LOG STATUS"),
        };
        let mut columns = status.split('\t');
        Coordinates::new(columns.next().unwrap(), columns.next().unwrap().parse().unwrap())
    }

    /// Counts the events, and their bytes on the wire, up to the log's end.
    fn measure(&self) -> (u64, u64) {
        let end = self.end();
        assert_eq!(end.file, self.start.file, "the backlog is in several files");
        let mut stream = BufReader::new(self.dump_socket());
        let (mut event_count, mut bytes) = (0, 0);
        loop {
            let (_, packet) = read_packet(&mut stream);
            assert_eq!(packet[0], 0, "{}", String::from_utf8_lossy(&packet));
            event_count += 1;
            bytes += 4 + packet.len() as u64;
            let end_of_event = u32::from_le_bytes(packet[14..18].try_into().unwrap());
            if u64::from(end_of_event) == end.offset {
                return (event_count, bytes);
            }
        }
    }

    /// A socket that the stream comes out of: logged in, registered, asked for as [`Dump`] asks.
    fn dump_socket(&self) -> TcpStream {
        let mut socket = TcpStream::connect(("127.0.0.1", self.sandbox.port())).unwrap();
        socket.set_nodelay(true).unwrap();
        let (greeting, _) = read_packet(&mut socket);
        let mut login = CAPABILITIES.to_le_bytes().to_vec();
        login.extend([0, 0, 0, 1, 45]);
        login.extend([0; 23]);
        login.extend(b"root\0\0mysql_native_password\0");
        write_packet(&mut socket, greeting + 1, &login);
        loop {
            match read_packet(&mut socket) {
                // Another authentication is wanted; none of them asks for more where the password is empty.
                (sequence, packet) if packet[0] == 0xFE => write_packet(&mut socket, sequence + 1, &[]),
                (_, packet) if packet[0] == 0 => break,
                (_, packet) => panic!("{}", String::from_utf8_lossy(&packet)),
            }
        }
        command(
            &mut socket,
            b"\x03SET @master_binlog_checksum = @@global.binlog_checksum, \
              @source_binlog_checksum = @@global.binlog_checksum, @mariadb_slave_capability = 4",
        );
        read_ok(&mut socket);
        command(&mut socket, &[&[0x15][..], &SERVER_ID.to_le_bytes(), &[0; 3 + 2 + 4 + 4]].concat());
        read_ok(&mut socket);
        let offset = u32::try_from(self.start.offset).unwrap().to_le_bytes();
        let request = [&[0x12][..], &offset, &[0; 2], &SERVER_ID.to_le_bytes(), self.start.file.as_bytes()];
        command(&mut socket, &request.concat());
        socket
    }

    fn read_bare(&self) -> Duration {
        let began = Instant::now();
        let mut socket = self.dump_socket();
        let mut buffer = vec![0; 1 << 20];
        let mut bytes = 0;
        while bytes < self.wire_bytes {
            let count = socket.read(&mut buffer).unwrap();
            assert!(count > 0, "the server closed the connection");
            bytes += count as u64;
        }
        let took = began.elapsed();
        assert_eq!(bytes, self.wire_bytes);
        took
    }

    fn read_dump(&self) -> Duration {
        let (url, server) = (self.url.clone(), self.server.clone());
        let request = DumpRequest::new(Position::new(self.start.clone(), None), SERVER_ID + 1);
        let (expected_bytes, expected_count) = (self.wire_bytes, self.event_count);
        let reading = async move {
            let began = Instant::now();
            let mut dump = Box::pin(Dump::open(&url, &server, &request)).await.unwrap();
            let (mut event_count, mut bytes) = (0, 0);
            let mut frames = Vec::new();
            while bytes < expected_bytes {
                dump.next_batch(&mut frames).await.unwrap();
                event_count += frames.len() as u64;
                bytes += frames.drain(..).map(|frame| PACKET_BYTES + frame.bytes.len() as u64).sum::<u64>();
            }
            let took = began.elapsed();
            assert_eq!((bytes, event_count), (expected_bytes, expected_count));
            took
        };
        self.runtime.block_on(async { tokio::spawn(reading).await.unwrap() })
    }

    /// Reads in turn and prints the share.
    fn compare(&self, rounds: usize) {
        let (mut bare, mut dump) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            bare.push(self.read_bare());
            dump.push(self.read_dump());
        }
        let (bare, dump) = (median(bare), median(dump));
        let rate = |took: Duration| self.wire_bytes as f64 / took.as_secs_f64() / 1e6;
        println!(
            "{}, {} MB in {} events, median of {rounds}: bare socket {:.0} MB/s, dump {:.0} MB/s: {:.1} %",
            self.sandbox.kind().label(),
            self.wire_bytes / 1_000_000,
            self.event_count,
            rate(bare),
            rate(dump),
            100.0 * bare.as_secs_f64() / dump.as_secs_f64(),
        );
    }
}

fn read_packet(stream: &mut impl Read) -> (u8, Vec<u8>) {
    let mut header = [0; 4];
    stream.read_exact(&mut header).unwrap();
    let length = u32::from_le_bytes([header[0], header[1], header[2], 0]);
    assert!(length < 0xFF_FFFF, "the backlog has no events of 16 MiB");
    let mut packet = vec![0; length as usize];
    stream.read_exact(&mut packet).unwrap();
    (header[3], packet)
}

fn read_ok(stream: &mut impl Read) {
    let (_, packet) = read_packet(stream);
    assert_eq!(packet[0], 0, "{}", String::from_utf8_lossy(&packet));
}

fn command(socket: &mut TcpStream, payload: &[u8]) {
    write_packet(socket, 0, payload);
}

fn write_packet(socket: &mut TcpStream, sequence: u8, payload: &[u8]) {
    let mut packet = u32::try_from(payload.len()).unwrap().to_le_bytes().to_vec();
    packet[3] = sequence;
    packet.extend(payload);
    socket.write_all(&packet).unwrap();
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn tcp(criterion: &mut Criterion) {
    // Criterion measures where cargo says `--bench`, and only tries where it says `--test`.
    let has = |flag: &str| std::env::args().any(|argument| argument == flag);
    let size = if has("--bench") && !has("--test") { FULL } else { SMALL };
    for (kind, name) in [(Kind::MySql97, "dump/tcp"), (Kind::MariaDb1011, "dump/tcp/mariadb-10.11")] {
        let backlog = Backlog::write(kind, &size);
        backlog.compare(size.rounds);
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Bytes(backlog.wire_bytes)).sampling_mode(SamplingMode::Flat).sample_size(10);
        group.bench_function("bare_socket", |bencher| {
            bencher.iter_custom(|rounds| (0..rounds).map(|_| backlog.read_bare()).sum())
        });
        group.bench_function("dump", |bencher| {
            bencher.iter_custom(|rounds| (0..rounds).map(|_| backlog.read_dump()).sum())
        });
        group.finish();
    }
}

criterion_group!(benches, tcp);
criterion_main!(benches);
