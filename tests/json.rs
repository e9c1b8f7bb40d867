//! JSON against a real MySQL: its documents as its log has them, in its own text, in its own bytes, and through its partial
//! updates.
#![cfg(feature = "sandbox")]

use std::collections::BTreeMap;
use std::fmt::Write;

use bluegreen::decode::json::{JsonDiff, JsonOperation, JsonRef, encode};
use bluegreen::decode::{Decoded, Decoder, DecoderOptions, RowBuffer};
use bluegreen::model::{Coordinates, Flavor, Json, Value};
use bluegreen::sandbox::{Kind, Server};
use bluegreen::source::file::FileSource;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const TABLE_MAP: u8 = 19;
const WRITE_ROWS: u8 = 30;
const UPDATE_ROWS: u8 = 31;
const PARTIAL_UPDATE_ROWS: u8 = 39;
const LONG: u8 = 3;
const JSON: u8 = 245;

// What the log holds, read by hand: the decoder under test has no part in it.

/// A column of a row image. One that the image leaves out is not there.
#[derive(Debug, Clone, PartialEq)]
enum Column {
    Null,
    Int(i32),
    Document(Vec<u8>),
    Diff(Vec<u8>),
}

/// Columns by their place in the table.
type Image = BTreeMap<usize, Column>;

struct Row {
    table: String,
    event: u8,
    before: Option<Image>,
    after: Image,
    /// The bits in front of a partial after image.
    partial_bits: Vec<u8>,
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }

    fn number(&mut self, length: usize) -> usize {
        self.take(length).iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte))
    }

    fn packed(&mut self) -> usize {
        match self.number(1) {
            252 => self.number(2),
            253 => self.number(3),
            254 => self.number(8),
            short => short,
        }
    }

    fn image(&mut self, types: &[u8], present: &[u8], partial: &[u8]) -> Image {
        let columns: Vec<_> = (0..types.len()).filter(|column| bit(present, *column)).collect();
        let nulls = self.take(columns.len().div_ceil(8));
        let mut image = Image::new();
        for (index, column) in columns.into_iter().enumerate() {
            let json_index = types[..column].iter().filter(|kind| **kind == JSON).count();
            let value = match types[column] {
                _ if bit(nulls, index) => Column::Null,
                LONG => Column::Int(self.number(4) as u32 as i32),
                JSON => {
                    let length = self.number(4);
                    let bytes = self.take(length).to_vec();
                    if bit(partial, json_index) { Column::Diff(bytes) } else { Column::Document(bytes) }
                }
                other => panic!("a column of type {other}"),
            };
            image.insert(column, value);
        }
        image
    }
}

fn bit(bits: &[u8], index: usize) -> bool {
    bits.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1)
}

/// The rows of all log files, in order.
async fn rows(server: &Server) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut tables = BTreeMap::new();
    for file in log_files(server).await {
        for frame in FileSource::open(file).unwrap() {
            let frame = frame.unwrap().bytes;
            let event = frame[4];
            let mut body = Bytes(&frame[19..frame.len() - 4]);
            if event == TABLE_MAP {
                let id = body.number(6);
                body.take(2);
                let [_, table] = [(); 2].map(|()| {
                    let length = body.number(1);
                    let name = String::from_utf8(body.take(length).to_vec()).unwrap();
                    body.take(1);
                    name
                });
                let count = body.packed();
                tables.insert(id, (table, body.take(count).to_vec()));
            }
            if ![WRITE_ROWS, UPDATE_ROWS, PARTIAL_UPDATE_ROWS].contains(&event) {
                continue;
            }
            let (table, types) = &tables[&body.number(6)];
            if types.iter().any(|kind| ![LONG, JSON].contains(kind)) {
                continue;
            }
            body.take(2);
            let extra = body.number(2);
            body.take(extra - 2);
            let count = body.packed();
            assert_eq!(count, types.len());
            let first = body.take(count.div_ceil(8));
            let second = if event == WRITE_ROWS { first } else { body.take(count.div_ceil(8)) };
            while !body.0.is_empty() {
                let before = (event != WRITE_ROWS).then(|| body.image(types, first, &[]));
                let mut partial_bits = Vec::new();
                if event == PARTIAL_UPDATE_ROWS && body.packed() & 1 == 1 {
                    let json_columns = types.iter().filter(|kind| **kind == JSON).count();
                    partial_bits = body.take(json_columns.div_ceil(8)).to_vec();
                }
                let after = body.image(types, second, &partial_bits);
                rows.push(Row { table: table.clone(), event, before, after, partial_bits });
            }
        }
    }
    rows
}

async fn log_files(server: &Server) -> Vec<std::path::PathBuf> {
    let base = server.sql("SELECT @@log_bin_basename").await.unwrap();
    let folder = std::path::Path::new(&base).parent().unwrap().to_owned();
    let list = server.sql("SHOW BINARY LOGS").await.unwrap();
    list.lines().map(|line| folder.join(line.split('\t').next().unwrap())).collect()
}

fn text(document: &[u8]) -> String {
    let mut text = String::new();
    JsonRef::new(document).unwrap().write_text(&mut text).unwrap();
    text
}

fn tree(document: &[u8]) -> Json {
    JsonRef::new(document).unwrap().to_tree().unwrap()
}

fn unhex(hex: &str) -> String {
    let bytes = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap());
    String::from_utf8(bytes.collect()).unwrap()
}

fn assert_same_text(ours: &str, servers: &str, place: &str) {
    if ours != servers {
        let at = ours.bytes().zip(servers.bytes()).position(|(a, b)| a != b).unwrap_or(ours.len().min(servers.len()));
        let part = |text: &str| {
            String::from_utf8_lossy(&text.as_bytes()[at.saturating_sub(40)..]).chars().take(100).collect::<String>()
        };
        panic!("{place}: ours {:?}, the server's {:?}", part(ours), part(servers));
    }
}

// Documents as SQL expressions.

const KEYS: &[&str] =
    &["a", "b", "ab", "", "key two", "q\"\\", "é", "日本", "a.b", "x[0]", "1", "\u{1}\t\n", "$", "_u", "😀"];

fn literal(text: &str) -> String {
    let mut sql = "_utf8mb4 x'".to_owned();
    text.bytes().for_each(|byte| write!(sql, "{byte:02x}").unwrap());
    sql + "'"
}

fn string(random: &mut StdRng) -> String {
    let length = match random.random_range(0..10) {
        0 => 0,
        1 => random.random_range(100..300),
        _ => random.random_range(1..20),
    };
    let any = [
        'a', 'Z', '"', '\\', '/', '\0', '\u{1}', '\u{8}', '\t', '\n', '\u{b}', '\u{c}', '\r', '\u{1f}', '\u{7f}',
        '\u{80}', 'é', '日', '\u{2028}', '\u{ffff}', '😀',
    ];
    (0..length).map(|_| any[random.random_range(0..any.len())]).collect()
}

fn double(random: &mut StdRng) -> f64 {
    match random.random_range(0..7) {
        // In the middle of two numbers of 16 or 17 digits, or near it.
        6 => {
            let behind = random.random_range(16..=25);
            let numerator = 10_f64.powf(random.random_range(15.5..18.0)) / 5_f64.powi(behind);
            (numerator.min(9e15).floor() + 1.0) * 2_f64.powi(-behind)
        }
        0 => f64::from(random.random_range(-1000..1000)),
        1 => f64::from(random.random_range(-100_000..100_000)) / 1000.0,
        2 => 10_f64.powi(random.random_range(-20..25)),
        3 => 2_f64.powi(random.random_range(-1074..1024)),
        _ => loop {
            let number = f64::from_bits(random.random());
            if number.is_finite() {
                break number;
            }
        },
    }
}

/// A scalar of any type that gets into a document; `scalars` is a table of one row with a column of most types.
fn scalar(random: &mut StdRng) -> String {
    let micros = random.random_range(0..1_000_000);
    match random.random_range(0..20) {
        0 => "CAST('null' AS JSON)".into(),
        1 => format!("CAST('{}' AS JSON)", random.random::<bool>()),
        2 => random.random::<i8>().to_string(),
        3 => random.random::<i16>().to_string(),
        4 => random.random::<i32>().to_string(),
        5 => format!("CAST({} AS SIGNED)", random.random::<i64>()),
        6 => format!("CAST({} AS UNSIGNED)", random.random::<u64>() >> random.random_range(0..64)),
        7..=9 => format!("{:e}", double(random)),
        10..=12 => literal(&string(random)),
        13 => {
            let scale = random.random_range(0..=30);
            let precision = random.random_range(scale.max(1)..=65);
            let number = double(random).clamp(-1e9, 1e9);
            format!("CAST({number:e} AS DECIMAL({precision},{scale}))")
        }
        14 => format!(
            "CAST('{:04}-{:02}-{:02}' AS DATE)",
            random.random_range(1..=9999),
            random.random_range(1..=12),
            random.random_range(1..=28)
        ),
        15 => format!(
            "CAST('{}{}:{:02}:{:02}.{micros:06}' AS TIME({}))",
            if random.random() { "-" } else { "" },
            random.random_range(0..838),
            random.random_range(0..60),
            random.random_range(0..60),
            random.random_range(0..=6),
        ),
        16 => format!(
            "CAST('{:04}-{:02}-01 {:02}:00:01.{micros:06}' AS DATETIME({}))",
            random.random_range(1..=9998),
            random.random_range(1..=12),
            random.random_range(0..24),
            random.random_range(0..=6)
        ),
        17 => {
            let length = random.random_range(0..200);
            let bytes: String = (0..length).map(|_| format!("{:02x}", random.random::<u8>())).collect();
            format!("CAST(x'{bytes}' AS BINARY({}))", length + random.random_range(0..3))
        }
        18 => format!("x'{:04x}'", random.random::<u16>()),
        _ => {
            const COLUMNS: &[&str] = &[
                "stamp", "bits", "bits64", "year", "enum", "set", "blob", "varbin", "geo", "num", "day", "moment",
                "time", "flt", "txt",
            ];
            format!("(SELECT c_{} FROM scalars)", COLUMNS[random.random_range(0..COLUMNS.len())])
        }
    }
}

fn expression(random: &mut StdRng, depth: u32) -> String {
    let count = random.random_range(0..6);
    match random.random_range(0..4) {
        _ if depth == 0 => scalar(random),
        0 => scalar(random),
        1 => {
            let items: Vec<_> = (0..count).map(|_| expression(random, depth - 1)).collect();
            format!("JSON_ARRAY({})", items.join(","))
        }
        _ => object(random, depth, count),
    }
}

fn object(random: &mut StdRng, depth: u32, count: u32) -> String {
    let members: Vec<_> = (0..count)
        .map(|_| format!("{},{}", literal(KEYS[random.random_range(0..KEYS.len())]), expression(random, depth - 1)))
        .collect();
    format!("JSON_OBJECT({})", members.join(","))
}

/// Documents beyond what the small format holds, and at its border.
fn large(random: &mut StdRng) -> Vec<String> {
    let numbers = |count: usize, number: &mut dyn FnMut() -> i64| {
        let numbers: Vec<_> = (0..count).map(|_| number().to_string()).collect();
        format!("CAST('[{}]' AS JSON)", numbers.join(","))
    };
    let mut documents = vec![
        numbers(20_000, &mut || random.random_range(-40_000..40_000)),
        numbers(70_000, &mut || 7),
        numbers(9_000, &mut || random.random::<i32>().into()),
        numbers(9_400, &mut || random.random::<i32>().into()),
        numbers(6_000, &mut || random.random()),
    ];
    for length in [65_500, 65_526, 65_527, 65_528, 65_529, 65_530, 65_535, 65_536, 100_000, 3_000_000] {
        documents.push(format!("JSON_ARRAY(REPEAT('x',{length}),100000,-5,40000)"));
        documents.push(format!("JSON_OBJECT('k',REPEAT('x',{length}),'n',JSON_ARRAY(100000,-1))"));
        documents.push(format!("CAST(JSON_QUOTE(REPEAT('y',{length})) AS JSON)"));
    }
    let keys: Vec<_> = (0..6_000).map(|number| format!("\"key{number}\":{}", number * 13)).collect();
    documents.push(format!("CAST('{{{}}}' AS JSON)", keys.join(",")));
    // A small one in a large one in a large one.
    documents
        .push("JSON_ARRAY(1,JSON_ARRAY(2,JSON_ARRAY(3,70000),REPEAT('z',70000),-70000),JSON_OBJECT('a',70000))".into());
    documents.push("JSON_OBJECT(REPEAT('k',65535),1,REPEAT('k',300),-300)".into());
    for levels in [1, 50, 100] {
        documents.push(format!("CAST('{}1{}' AS JSON)", "[".repeat(levels), "]".repeat(levels)));
        documents.push(format!("CAST('{}null{}' AS JSON)", "{\"a\":".repeat(levels), "}".repeat(levels)));
    }
    documents
}

/// What is known to be hard.
fn chosen() -> Vec<String> {
    let mut documents: Vec<String> =
        ["-0e0", "0e0", "1e0", "1e15", "1e16", "1e20", "1e-15", "1e-16", "1.5e-7", "123456789012345678e0"]
            .map(Into::into)
            .into();
    documents.extend(
        [
            "999999999999999.9",
            "1234567890123456.7",
            "-1234567890123456.7",
            "1.7976931348623157e308",
            "5e-324",
            "2.2250738585072014e-308",
        ]
        .map(|number| {
            format!("{number}e0").replace("e308e0", "e308").replace("e-324e0", "e-324").replace("e-308e0", "e-308")
        }),
    );
    documents.extend(
        [
            "-999999999999999.9e0",
            "9007199254740993e0",
            "4503599627370497.5e0",
            "1.2345678901234567e-15",
            "-1.2345678901234567e-15",
            "-1.2345678901234567e-16",
        ]
        .map(Into::into),
    );
    for text in [
        "{}",
        "[]",
        "\"\"",
        "{\"\":\"\"}",
        "{\"\":{\"\":[]}}",
        "18446744073709551615",
        "9223372036854775808",
        "-9223372036854775808",
        "1.10",
        "-0",
        "-0.0",
        "1e400000000000",
        "0.1",
        "1E5",
        "32767",
        "32768",
        "-32768",
        "-32769",
        "65535",
        "65536",
        "2147483648",
        "-2147483649",
        "4294967296",
    ] {
        if text != "1e400000000000" {
            documents.push(format!("CAST('{text}' AS JSON)"));
            documents.push(format!("CAST('[{text},{{\"a\":{text}}}]' AS JSON)"));
        }
    }
    for decimal in [
        "0",
        "0.5",
        "-0.5",
        "0.00",
        "1.10",
        "-1.10",
        "123456789.123456789",
        "1234567890.0000000001",
        "99999999999999999999999999999999999999999999999999999999999999999",
        "0.000000000000000000000000000001",
    ] {
        documents.push(format!("CAST({decimal} AS JSON)"));
        documents.push(format!("JSON_ARRAY({decimal},CAST({decimal} AS DECIMAL(65,30)))"));
        documents.push(format!("JSON_ARRAY(CAST({decimal} AS DECIMAL(65,0)))"));
    }
    documents
}

const SCALARS: &str = "CREATE TABLE scalars (c_stamp TIMESTAMP(6), c_bits BIT(5), c_bits64 BIT(64), c_year YEAR, \
    c_enum ENUM('x','y'), c_set SET('s','t'), c_blob BLOB, c_varbin VARBINARY(300), c_geo POINT, c_num DECIMAL(20,5), \
    c_day DATE, c_moment DATETIME(3), c_time TIME(2), c_flt FLOAT, c_txt TEXT CHARACTER SET latin1); \
    INSERT INTO scalars VALUES ('2024-02-29 12:30:01.25', b'10101', 0x8000000000000001, 2024, 'y', 's,t', \
    REPEAT(0xff00, 100), REPEAT('v', 57), POINT(1.5, -2), 12.5, '0000-00-00', '2024-00-01 00:00:00.125', '-00:00:00.5', \
    1.1, 0xe9)";

/// A server with the schema `s`, which holds `scalars`.
async fn start() -> Server {
    let server = Server::builder(Kind::MySql97).start().await.unwrap();
    server.sql("CREATE SCHEMA s").await.unwrap();
    server.sql(&format!("USE s; SET sql_mode=''; {SCALARS}")).await.unwrap();
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_are_the_servers_in_text_and_bytes() {
    let server = start().await;
    server.sql("CREATE TABLE s.d (id INT PRIMARY KEY, doc JSON NOT NULL)").await.unwrap();
    let mut random = StdRng::seed_from_u64(18);
    let mut documents = chosen();
    documents.extend((0..600).map(|_| expression(&mut random, 5)));
    documents.extend((0..300).map(|_| {
        let doubles: Vec<_> = (0..100).map(|_| format!("{:e}", double(&mut random))).collect();
        format!("JSON_ARRAY({})", doubles.join(","))
    }));
    // No scalar but text gets into a column directly.
    documents.iter_mut().for_each(|sql| *sql = format!("JSON_EXTRACT(JSON_ARRAY({sql}),'$[0]')"));
    documents.extend(large(&mut random));
    for (batch, chunk) in documents.chunks(25).enumerate() {
        let rows: Vec<_> =
            chunk.iter().enumerate().map(|(index, sql)| format!("({},{sql})", batch * 25 + index)).collect();
        server.sql(&format!("USE s; SET sql_mode=''; INSERT INTO d VALUES {}", rows.join(","))).await.unwrap();
    }
    server.sql("INSERT IGNORE INTO s.d SELECT -1, NULL").await.unwrap();

    let answer = server.sql("SELECT id, HEX(CAST(doc AS CHAR)) FROM s.d").await.unwrap();
    let texts: BTreeMap<i32, String> = answer
        .lines()
        .map(|line| line.split_once('\t').unwrap())
        .map(|(id, hex)| (id.parse().unwrap(), unhex(hex)))
        .collect();
    assert_eq!(texts.len(), documents.len() + 1);

    let mut logged = BTreeMap::new();
    for row in rows(&server).await.into_iter().filter(|row| row.table == "d") {
        let (Column::Int(id), Column::Document(document)) = (&row.after[&0], &row.after[&1]) else { panic!("a row") };
        logged.insert(*id, document.clone());
    }
    assert_eq!(logged.len(), texts.len());
    assert!(logged[&-1].is_empty());
    let mut same = 0;
    for (id, document) in &logged {
        let sql = documents.get(*id as usize).map_or("", String::as_str);
        let place = format!("document {id}, {}", &sql[..sql.len().min(300)]);
        assert_same_text(&text(document), &texts[id], &place);
        let tree = tree(document);
        let encoded = encode(&tree).unwrap();
        assert!(self::tree(&encoded) == tree, "{place}");
        // A DECIMAL that was computed has leading zeros that its value does not tell, and no bytes at all are null.
        if encoded == *document {
            same += 1;
        } else {
            assert!(sql.contains("DECIMAL") || sql.contains("c_num") || document.is_empty(), "{place}");
        }
    }
    assert!(same > documents.len() / 2, "{same}");

    let (mut decoded, mut buffer) = (0, RowBuffer::new());
    for file in log_files(&server).await {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let mut decoder = Decoder::new(DecoderOptions::new(Flavor::MySql, Coordinates::new(name, 4)));
        for frame in FileSource::open(file).unwrap() {
            decoder.push(frame.unwrap()).unwrap();
            while let Some(part) = decoder.next().unwrap() {
                let Decoded::Rows(change) = part else { continue };
                if change.table.name.table != "d" {
                    continue;
                }
                let mut rows = change.rows(&mut buffer);
                while let Some(row) = rows.next().unwrap() {
                    let values = row.after.unwrap().to_values().unwrap();
                    let [Some(Value::Int(id)), Some(Value::Json(json))] = values.as_slice() else { panic!("a row") };
                    assert!(**json == tree(&logged[&(*id as i32)]));
                    decoded += 1;
                }
            }
        }
    }
    assert_eq!(decoded, logged.len());
}

fn path(random: &mut StdRng) -> String {
    let mut path = "$".to_owned();
    for _ in 0..random.random_range(1..4) {
        match random.random_range(0..8) {
            0..5 => {
                let key = KEYS[random.random_range(0..KEYS.len())];
                write!(path, ".{}", serde_json::Value::from(key)).unwrap();
            }
            5 => path += "[last]",
            6 => path += "[last-1]",
            _ => write!(path, "[{}]", random.random_range(0..5)).unwrap(),
        }
    }
    literal(&path)
}

/// A new value for a column, most often from its old one in a way that the server logs as diffs.
fn change(random: &mut StdRng, column: &str) -> String {
    let function =
        ["JSON_SET", "JSON_SET", "JSON_SET", "JSON_REPLACE", "JSON_REMOVE", "JSON_ARRAY_INSERT", "JSON_ARRAY_APPEND"]
            [random.random_range(0..7)];
    let mut changed = column.to_owned();
    for _ in 0..random.random_range(1..4) {
        let path = match function {
            "JSON_ARRAY_INSERT" => literal(&format!("$.a[{}]", random.random_range(0..4))),
            _ => path(random),
        };
        changed = match function {
            "JSON_REMOVE" => format!("JSON_REMOVE({changed},{path})"),
            _ => format!("{function}({changed},{path},{})", expression(random, 2)),
        };
    }
    changed
}

#[tokio::test(flavor = "multi_thread")]
async fn partial_updates_make_the_servers_documents() {
    const DOCUMENTS: i32 = 60;
    const STEPS: i32 = 25;
    let server = start().await;
    server.sql("CREATE TABLE s.p (id INT PRIMARY KEY, a JSON, step INT, b JSON)").await.unwrap();
    let mut random = StdRng::seed_from_u64(21);
    let mut texts = BTreeMap::new();
    for id in 0..DOCUMENTS {
        let pad = if id % 8 == 7 { 70_000 } else { 600 };
        let [a, b] = [(); 2].map(|()| {
            let object = object(&mut random, 4, 12);
            let items: Vec<_> = (0..6).map(|_| expression(&mut random, 2)).collect();
            let array = format!("JSON_ARRAY({},REPEAT('p',{pad}))", items.join(","));
            if random.random_range(0..4) == 0 {
                array
            } else {
                format!("JSON_SET({object},'$.pad',REPEAT('p',{pad}),'$.a',{array})")
            }
        });
        let image = if id % 2 == 0 { "FULL" } else { "MINIMAL" };
        let text = "SELECT id, step, HEX(CAST(a AS CHAR)), HEX(CAST(b AS CHAR)) FROM p WHERE id";
        let mut sql = format!(
            "USE s; SET sql_mode='', binlog_row_value_options=PARTIAL_JSON, binlog_row_image={image}; \
             INSERT INTO p VALUES ({id},{a},0,{b}); {text}={id};"
        );
        for step in 1..=STEPS {
            let columns = match random.random_range(0..3) {
                0 => vec!["a"],
                1 => vec!["b"],
                _ => vec!["a", "b"],
            };
            let set: String =
                columns.iter().map(|column| format!(",{column}={}", change(&mut random, column))).collect();
            write!(sql, "UPDATE p SET step={step}{set} WHERE id={id}; {text}={id};").unwrap();
        }
        for line in server.sql(&sql).await.unwrap().lines() {
            let fields: Vec<_> = line.split('\t').collect();
            let key: (i32, i32) = (fields[0].parse().unwrap(), fields[1].parse().unwrap());
            texts.insert(key, [unhex(fields[2]), unhex(fields[3])]);
        }
    }
    assert_eq!(texts.len() as i32, DOCUMENTS * (STEPS + 1));

    let mut now: BTreeMap<(i32, usize), Vec<u8>> = BTreeMap::new();
    let (mut seen, mut operations) = (0, BTreeMap::new());
    let mut current = 0;
    for row in rows(&server).await.into_iter().filter(|row| row.table == "p") {
        if row.event == WRITE_ROWS {
            let Column::Int(id) = row.after[&0] else { panic!("a key") };
            current = id;
        }
        let Column::Int(step) = row.after[&2] else { panic!("a step") };
        for (column, index) in [(1, 0), (3, 1)] {
            let place = format!("document {current}, step {step}, column {column}");
            if let Some(Column::Document(before)) = row.before.as_ref().and_then(|before| before.get(&column)) {
                assert_eq!(current % 2, 0, "a minimal image has no documents");
                assert_same_text(&text(&now[&(current, column)]), &text(before), &place);
                now.insert((current, column), before.clone());
            }
            match row.after.get(&column) {
                Some(Column::Document(document)) => drop(now.insert((current, column), document.clone())),
                Some(Column::Diff(bytes)) => {
                    let diff = JsonDiff::new(bytes);
                    let document = diff.apply(JsonRef::new(&now[&(current, column)]).unwrap()).unwrap();
                    now.insert((current, column), document);
                    for edit in diff.iter() {
                        *operations.entry(edit.unwrap().operation.name()).or_insert(0) += 1;
                    }
                    let mut json = String::new();
                    diff.write_json(&mut json).unwrap();
                    let edits: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
                    assert_eq!(edits.len(), diff.iter().count());
                }
                Some(_) => panic!("{place}: expected a document"),
                None => {}
            }
            let document = &now[&(current, column)];
            assert_same_text(&text(document), &texts[&(current, step)][index], &place);
        }
        seen += 1;
    }
    assert_eq!(seen, DOCUMENTS * (STEPS + 1));
    for operation in [JsonOperation::Replace, JsonOperation::Insert, JsonOperation::Remove] {
        assert!(operations[operation.name()] > 50, "{operations:?}");
    }
}

/// The bits that say which JSON columns hold diffs stand for all JSON columns of the table, also for those that the image
/// leaves out.
#[tokio::test(flavor = "multi_thread")]
async fn partial_bits_stand_for_every_json_column() {
    let server = start().await;
    let columns: Vec<_> = (0..10).map(|number| format!("j{number} JSON")).collect();
    server.sql(&format!("CREATE TABLE s.w (id INT PRIMARY KEY, {})", columns.join(","))).await.unwrap();
    let document = "JSON_OBJECT('a',1,'pad',REPEAT('p',200))";
    server.sql(&format!("INSERT INTO s.w VALUES (1{})", format!(",{document}").repeat(10))).await.unwrap();
    server
        .sql(
            "USE s; SET sql_mode='', binlog_row_value_options=PARTIAL_JSON, binlog_row_image=MINIMAL; \
             UPDATE w SET j1=JSON_SET(j1,'$.a',2); UPDATE w SET j9=JSON_SET(j9,'$.b',3), j8=JSON_OBJECT('whole',1); \
             UPDATE w SET j3=JSON_OBJECT('whole',1)",
        )
        .await
        .unwrap();
    let rows = rows(&server).await;
    let updates: Vec<_> = rows.iter().filter(|row| row.table == "w" && row.event != WRITE_ROWS).collect();
    let places = |row: &Row| row.after.keys().copied().collect::<Vec<_>>();
    assert_eq!((updates[0].partial_bits.as_slice(), places(updates[0])), (&[0b10, 0][..], vec![2]));
    assert_eq!((updates[1].partial_bits.as_slice(), places(updates[1])), (&[0, 0b10][..], vec![9, 10]));
    assert!(updates[2].partial_bits.is_empty());
    let Column::Diff(bytes) = &updates[1].after[&10] else { panic!("a diff") };
    let mut json = String::new();
    JsonDiff::new(bytes).write_json(&mut json).unwrap();
    assert_eq!(json, r#"[{"op":"insert","path":"$.b","value":3}]"#);
}
