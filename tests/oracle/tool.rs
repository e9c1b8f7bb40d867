//! What the server's own log tool prints of a log: `mysqlbinlog --base64-output=DECODE-ROWS -vv`.
//!
//! Source of the form: MySQL source, `sql/log_event.cc`, `Rows_log_event::print_verbose`, `log_event_print_value`;
//! MariaDB's is of the same origin.

use std::collections::{BTreeMap, VecDeque};

use crate::change::{Change, Kind, Logged};

/// A value as printed, without the comment behind it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Printed {
    /// `NULL`.
    Null,
    /// Between quotes, without its escapes.
    Quoted(Vec<u8>),
    /// Anything else.
    Plain(String),
}

/// What the printed log says, in its order.
#[derive(Debug)]
pub(crate) enum Item {
    /// A row of a transaction that is not known to be committed yet.
    Row(Change<Printed>),
    /// A statement, `BEGIN` and the like among them.
    Statement(String),
    /// The end of a transaction of an engine that has them.
    Xid,
    /// The statement that `XA PREPARE` is.
    Prepare { xid: String },
}

/// Reads the text that the tool printed of `file`.
pub(crate) fn read(file: &str, text: &[u8], is_mariadb: bool) -> Vec<Item> {
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    let starts = starts(&lines);
    let mut reader =
        Reader { file, is_mariadb, lines: lines.into(), starts, headers: 0, row_events: Vec::new(), items: Vec::new() };
    while let Some(line) = reader.lines.pop_front() {
        reader.line(line);
    }
    reader.items
}

/// Where events start: the tool says so of every event, in order, but not always right in front of it.
fn starts(lines: &[&[u8]]) -> Vec<u64> {
    lines.iter().filter_map(|line| std::str::from_utf8(line.strip_prefix(b"# at ")?).ok()?.parse().ok()).collect()
}

struct Reader<'a> {
    file: &'a str,
    is_mariadb: bool,
    lines: VecDeque<&'a [u8]>,
    starts: Vec<u64>,
    /// How many events' headers have been passed.
    headers: usize,
    /// Ends of the row events whose rows are printed next: the tool prints them at a statement's end.
    row_events: Vec<u64>,
    items: Vec<Item>,
}

impl Reader<'_> {
    fn line(&mut self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        if let Some(header) = header(&text) {
            self.header(&text, header);
        } else if let Some(row) = text.strip_prefix("### ") {
            assert!(!row.starts_with("Row"), "{row}");
            self.row(row);
        } else if let Some(xid) = text.strip_prefix("XA START ") {
            self.items.push(Item::Statement(format!("XA START {}", xid.trim_end_matches("/*!*/;"))));
        } else if text.starts_with("START TRANSACTION") {
            self.items.push(Item::Statement("BEGIN".to_owned()));
        }
    }

    /// Where the last event ends. What its header says is the low half, and 0 inside of MariaDB's transactions.
    fn end(&self) -> u64 {
        self.starts.get(self.headers).copied().unwrap_or(u64::MAX)
    }

    fn header(&mut self, line: &str, what: &str) {
        self.headers += 1;
        let said: u64 = line.split("end_log_pos ").nth(1).unwrap().split_whitespace().next().unwrap().parse().unwrap();
        let end = if said == 0 { self.end() } else { said };
        let name = what.split([' ', ':', '\t']).next().unwrap_or_default();
        match name {
            // Annotate_rows and Rows_query have no rows.
            _ if name.contains("_rows")
                && ["Write", "Update", "Delete"].iter().any(|change| name.starts_with(change)) =>
            {
                self.row_events.push(end);
            }
            "Query" | "Query_compressed" => {
                let sql = self.statement();
                self.items.push(Item::Statement(sql));
            }
            "Xid" => self.items.push(Item::Xid),
            "XID" | "XA_prepare" | "XA" => {
                let lines: Vec<_> =
                    self.lines.iter().take(3).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
                let prepare = lines.iter().find(|line| line.starts_with("XA "));
                let prepare =
                    prepare.unwrap_or_else(|| panic!("expected what is prepared behind {line}, found {lines:?}"));
                let (verb, xid) = prepare.trim_end_matches("/*!*/;").trim()[3..].split_once(' ').unwrap();
                match verb {
                    "PREPARE" => self.items.push(Item::Prepare { xid: xid.to_owned() }),
                    // In one phase: the log has no word for it but this one.
                    "COMMIT" => self.items.push(Item::Xid),
                    other => panic!("XA {other}"),
                }
            }
            _ => {}
        }
    }

    /// The text of a query event, behind the settings that the tool prints for it.
    fn statement(&mut self) -> String {
        const END: &[u8] = b"/*!*/;";
        while self.lines.front().is_some_and(|line| line.ends_with(END) && *line != END && !is_whole(line)) {
            self.lines.pop_front();
        }
        // The first phase of MariaDB's ALTER is no statement to run, so it is printed as a comment, without an end.
        if let Some(alter) = self.lines.front().and_then(|line| line.strip_prefix(b"### ")) {
            let alter = String::from_utf8_lossy(alter).into_owned();
            self.lines.pop_front();
            return alter;
        }
        let mut sql = Vec::new();
        while let Some(line) = self.lines.pop_front() {
            if line == END {
                break;
            }
            let (line, is_last) = line.strip_suffix(END).map_or((line, false), |line| (line, true));
            sql.push(String::from_utf8_lossy(line).into_owned());
            if is_last {
                break;
            }
        }
        sql.join("\n")
    }

    /// A row, from the line that says what was done to it.
    fn row(&mut self, first: &str) {
        let (kind, name) = match first {
            _ if first.starts_with("INSERT INTO ") => (Kind::Insert, &first[12..]),
            _ if first.starts_with("UPDATE ") => (Kind::Update, &first[7..]),
            _ if first.starts_with("DELETE FROM ") => (Kind::Delete, &first[12..]),
            _ => panic!("expected a row, found {first}"),
        };
        let (schema, table) = names(name);
        let mut images = [None, None];
        let mut image = 0;
        while let Some(line) = self.lines.front().and_then(|line| line.strip_prefix(b"### ")) {
            if line == b"WHERE" || line == b"SET" {
                image = usize::from(line == b"SET");
                images[image] = Some(BTreeMap::new());
            } else if let Some(value) = line.strip_prefix(b"  @") {
                let mut value = value.to_vec();
                // A function of the document as it was may take several lines.
                while is_function(&value) && !value.windows(4).any(|part| part == b" /* ") {
                    self.lines.pop_front();
                    value.extend(self.lines[0].strip_prefix(b"###").unwrap().trim_ascii());
                }
                let (number, value) = printed(&value, self.is_mariadb);
                images[image].get_or_insert_default().insert(number, value);
            } else {
                break;
            }
            self.lines.pop_front();
        }
        let [before, after] = images;
        let ends = self.row_events.clone();
        if !self.lines.front().is_some_and(|line| line.starts_with(b"### ")) {
            self.row_events.clear();
        }
        let place = Logged { file: self.file.to_owned(), ends };
        self.items.push(Item::Row(Change { kind, schema, table, place, before, after }));
    }
}

/// Whether a statement is printed with its end on its own line, as the tool does with the ends of transactions.
fn is_whole(line: &[u8]) -> bool {
    [&b"COMMIT/*"[..], b"ROLLBACK/*", b"BEGIN/*"].iter().any(|start| line.starts_with(start))
}

/// What an event's header says the event is.
fn header(line: &str) -> Option<&str> {
    let rest = line.strip_prefix('#')?;
    if !rest.starts_with(|first: char| first.is_ascii_digit()) || !rest.contains(" server id ") {
        return None;
    }
    // A tab stands in front of the name, be there a checksum or not.
    rest.split_once(" server id ")?.1.split_once('\t').map(|(_, what)| what)
}

/// The names in `` `schema`.`table` ``; within them a backquote is written twice, or by some tools once.
fn names(text: &str) -> (String, String) {
    let text = text.trim().trim_start_matches('`').trim_end_matches('`');
    let (schema, table) = text.split_once("`.`").unwrap();
    (schema.replace("``", "`"), table.replace("``", "`"))
}

fn is_function(line: &[u8]) -> bool {
    line.splitn(2, |byte| *byte == b'=').nth(1).is_some_and(|value| value.starts_with(b"JSON_"))
}

/// `n=value /* … */`.
fn printed(line: &[u8], is_mariadb: bool) -> (usize, Printed) {
    let equals = line.iter().position(|byte| *byte == b'=').unwrap();
    let number: usize = std::str::from_utf8(&line[..equals]).unwrap().parse().unwrap();
    let value = &line[equals + 1..];
    if let Some(quoted) = value.strip_prefix(b"'") {
        return (number - 1, Printed::Quoted(unquoted(quoted, is_mariadb)));
    }
    let value = String::from_utf8_lossy(value);
    let value = value.rsplit_once(" /* ").map_or(&*value, |(value, _)| value).trim();
    let value = if value == "NULL" { Printed::Null } else { Printed::Plain(value.to_owned()) };
    (number - 1, value)
}

/// The value between the quotes, up to the comment behind it. Control bytes are escaped, by MariaDB as `\xHH`, by MySQL
/// with letters where there are such. MariaDB does not escape quotes and backslashes.
fn unquoted(quoted: &[u8], is_mariadb: bool) -> Vec<u8> {
    let end = quoted.windows(5).rposition(|part| part == b"' /* ").expect("the end of a quoted value");
    let mut bytes = Vec::new();
    let mut rest = &quoted[..end];
    while let [first, tail @ ..] = rest {
        let hex = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
        let (after, byte) = match tail {
            _ if *first != b'\\' => (tail, *first),
            [b'x', high, low, tail @ ..] if hex(&[*high, *low]).is_some_and(|byte| !is_mariadb || byte < b' ') => {
                (tail, hex(&[*high, *low]).unwrap())
            }
            [letter, tail @ ..] if !is_mariadb => {
                let byte = match letter {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'f' => 0x0c,
                    b'0' => 0,
                    other => *other,
                };
                (tail, byte)
            }
            _ => (tail, *first),
        };
        bytes.push(byte);
        rest = after;
    }
    bytes
}
