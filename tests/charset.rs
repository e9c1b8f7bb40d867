//! Text in every character set, against the servers: each converts every character that its sets can have, and says which
//! set each of its collations belongs to.
//!
//! A difference is printed as the bytes, the server's text and ours. With `Difference` tables emptied the list is what
//! they are made from.
#![cfg(feature = "sandbox")]

use std::ops::RangeInclusive;

use bluegreen::decode::charset::Charset;
use bluegreen::model::Flavor;
use bluegreen::sandbox::{Kind, Server};

/// Stands behind each character that a server converts: a character that is cut off takes it along.
const END: &str = "!";

async fn start(kind: Kind) -> Server {
    let server = Server::builder(kind).option("--group-concat-max-len=16777216").start().await.unwrap();
    let numbers: Vec<String> = (0..256).map(|number| format!("({number})")).collect();
    server.sql("CREATE DATABASE charset").await.unwrap();
    server.sql("CREATE TABLE charset.n (n INT NOT NULL PRIMARY KEY)").await.unwrap();
    server.sql(&format!("INSERT INTO charset.n VALUES {}", numbers.join(","))).await.unwrap();
    server
}

async fn server_agrees(kind: Kind) {
    let server = start(kind).await;
    let names = server.sql("SELECT CHARACTER_SET_NAME FROM information_schema.CHARACTER_SETS").await.unwrap();
    assert!(names.lines().count() >= 39, "{names}");
    for name in names.lines() {
        let charset = Charset::from_name(name).unwrap_or_else(|| panic!("{kind} has {name}"));
        if charset.is_binary() {
            assert_eq!(charset.text(b"a"), None);
            continue;
        }
        for shape in shapes(charset) {
            compare(&server, name, charset, &shape).await;
        }
    }
    collations_agree(&server).await;
}

/// The values of each byte of a character.
type Shape = Vec<RangeInclusive<u8>>;

/// Every character of one to three bytes, and what is none, but for pairs that begin with ASCII. Of four bytes all of
/// gb18030's that stand for two bytes of Unicode, and the edges of the others.
fn shapes(charset: Charset) -> Vec<Shape> {
    const ANY: RangeInclusive<u8> = 0..=0xff;
    const UPPER: RangeInclusive<u8> = 0x80..=0xff;
    let one = |byte| byte..=byte;
    match charset {
        Charset::Ucs2 => vec![vec![ANY, ANY]],
        Charset::Utf16 => vec![
            vec![ANY, ANY],
            vec![0xd7..=0xe0, 0xfe..=0xff, 0xdb..=0xe0, 0..=0x10],
            vec![0xd8..=0xdc, ANY, 0xdc..=0xdf, one(0xff)],
        ],
        Charset::Utf16le => vec![
            vec![ANY, ANY],
            vec![0xfe..=0xff, 0xd7..=0xe0, 0..=0x10, 0xdb..=0xe0],
            vec![ANY, 0xd8..=0xdc, one(0xff), 0xdc..=0xdf],
        ],
        Charset::Utf32 => vec![vec![one(0), 0..=0x12, ANY, 0xfd..=0xff], vec![0..=1, one(0), ANY, one(0x3f)]],
        Charset::Utf8mb3 | Charset::Utf8mb4 => vec![
            vec![ANY],
            vec![UPPER, ANY],
            vec![0xdf..=0xf0, 0x7f..=0xc0, 0x7f..=0xc0],
            vec![0xef..=0xff, 0x7f..=0xc0, 0x7f..=0x81, 0xbe..=0xc0],
        ],
        Charset::Big5 | Charset::Sjis | Charset::Euckr | Charset::Gb2312 | Charset::Gbk | Charset::Cp932 => {
            vec![vec![ANY], vec![UPPER, ANY]]
        }
        Charset::Ujis | Charset::Eucjpms => vec![vec![ANY], vec![UPPER, ANY], vec![one(0x8f), UPPER, ANY]],
        Charset::Gb18030 => vec![
            vec![ANY],
            vec![UPPER, ANY],
            vec![0x81..=0x85, 0x30..=0x39, 0x81..=0xfe, 0x30..=0x39],
            vec![0x8f..=0xff, 0x2f..=0x3a, 0x80..=0x82, 0x2f..=0x3a],
            vec![0x8f..=0xff, 0x2f..=0x3a, 0xfd..=0xff, 0x2f..=0x3a],
        ],
        _ => vec![vec![ANY]],
    }
}

/// Has the server convert all characters of a shape, and compares.
async fn compare(server: &Server, name: &str, charset: Charset, shape: &Shape) {
    let tables: Vec<String> = (0..shape.len()).map(|place| format!("charset.n AS b{place}")).collect();
    let bytes: Vec<String> = (0..shape.len()).map(|place| format!("b{place}.n")).collect();
    let within: Vec<String> = shape
        .iter()
        .enumerate()
        .map(|(place, range)| format!("b{place}.n BETWEEN {} AND {}", range.start(), range.end()))
        .collect();
    let end: Vec<String> = of_ascii(charset, END).iter().map(u8::to_string).collect();
    let character = bytes.join(",");
    let answer = server
        .sql(&format!(
            "SELECT GROUP_CONCAT(HEX(CHAR({character})), ' ', IFNULL(HEX(CONVERT(CONVERT(CHAR({character},{}) USING {name}) \
             USING utf8mb4)), '')) FROM {} WHERE {} GROUP BY b0.n",
            end.join(","),
            tables.join(" STRAIGHT_JOIN "),
            within.join(" AND ")
        ))
        .await
        .unwrap();
    let (mut count, mut differences) = (0, Vec::new());
    let (mut valid_bytes, mut valid_text) = (Vec::new(), String::new());
    for pair in answer.lines().flat_map(|line| line.split(',')) {
        let (bytes, converted) = pair.split_once(' ').unwrap();
        let (bytes, converted) = (unhex(bytes), unhex(converted));
        let on_server = valid(charset, &bytes, &converted);
        let ours = charset.text(&bytes);
        if ours.as_deref() != on_server {
            differences.push(format!("{bytes:02X?}: {on_server:?}, ours {ours:?}"));
        }
        if let Some(text) = on_server {
            valid_bytes.extend(&bytes);
            valid_text.push_str(text);
        }
        count += 1;
    }
    assert_eq!(count, shape.iter().map(ExactSizeIterator::len).product::<usize>(), "{name}: the server left some out");
    let first = differences.iter().take(200).cloned().collect::<Vec<_>>().join("\n");
    assert!(differences.is_empty(), "{} {name} differs in {} characters:\n{first}", server.kind(), differences.len());
    let has_none = charset == Charset::Utf8mb3 && shape.len() == 4;
    assert_eq!(valid_text.is_empty(), has_none, "{} {name}: what the server holds valid", server.kind());
    // A text is read in runs, not one by one.
    assert!(charset.text(&valid_bytes).as_deref() == Some(&valid_text), "{} {name} as one text", server.kind());
}

/// The server's text of `bytes`, `None` where it is no faithful one. For what is wrong MySQL 9.7 answers NULL, 5.6
/// cuts off, and MariaDB puts `?`; for what is right and not in Unicode, all of them put `?` or U+FFFD.
fn valid<'a>(charset: Charset, bytes: &[u8], converted: &'a [u8]) -> Option<&'a str> {
    let text = str::from_utf8(converted).ok()?.strip_suffix(END)?;
    let question = of_ascii(charset, "?");
    let questions = bytes.chunks(question.len()).filter(|unit| *unit == question).count();
    let is_replaced = text.matches('?').count() != questions || (text == "?" && bytes != question);
    let has_replacement = !matches!(charset, Charset::Big5 | Charset::Tis620) || !text.contains('\u{fffd}');
    (!text.is_empty() && !is_replaced && has_replacement).then_some(text)
}

/// A character of ASCII in the set.
fn of_ascii(charset: Charset, character: &str) -> Vec<u8> {
    let byte = character.as_bytes()[0];
    match charset {
        Charset::Ucs2 | Charset::Utf16 => vec![0, byte],
        Charset::Utf16le => vec![byte, 0],
        Charset::Utf32 => vec![0, 0, 0, byte],
        _ => vec![byte],
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |digit: u8| if digit <= b'9' { digit - b'0' } else { digit - b'A' + 10 };
    text.as_bytes().as_chunks().0.iter().map(|[high, low]| digit(*high) << 4 | digit(*low)).collect()
}

async fn collations_agree(server: &Server) {
    let flavor = if server.kind().is_mariadb() { Flavor::MariaDb } else { Flavor::MySql };
    let of_collations = "SELECT ID, CHARACTER_SET_NAME FROM information_schema.COLLATIONS WHERE ID IS NOT NULL";
    let mut answer = server.sql(of_collations).await.unwrap();
    if matches!(server.kind(), Kind::MariaDb1011 | Kind::MariaDb118) {
        let of_both =
            "SELECT ID, CHARACTER_SET_NAME FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY WHERE ID > 0";
        answer = format!("{answer}\n{}", server.sql(of_both).await.unwrap());
    }
    assert!(answer.lines().count() > 200, "{answer}");
    for line in answer.lines() {
        let (id, name) = line.split_once('\t').unwrap();
        let charset = Charset::of_collation(flavor, id.parse().unwrap());
        assert_eq!(charset, Charset::from_name(name), "{} {line}", server.kind());
        assert!(charset.is_some(), "{} {line}", server.kind());
    }
}

#[tokio::test]
async fn mysql_97_has_the_same_text() {
    server_agrees(Kind::MySql97).await;
}

#[tokio::test]
async fn mysql_56_has_the_same_text() {
    server_agrees(Kind::MySql56).await;
}

#[tokio::test]
async fn mariadb_118_has_the_same_text() {
    server_agrees(Kind::MariaDb118).await;
}

#[tokio::test]
async fn servers_between_number_their_collations_alike() {
    for kind in [Kind::MariaDb105, Kind::MariaDb1011] {
        collations_agree(&Server::builder(kind).start().await.unwrap()).await;
    }
}
