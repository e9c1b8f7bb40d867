//! What the tests on real servers share: a pair of servers, a load that never stands still, and a comparison that
//! trusts nothing of the library's own.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

pub mod load;
pub mod proxy;

use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use bluegreen::create::{CreateConfig, create};
use bluegreen::model::Position;
use bluegreen::net::ServerUrl;
use bluegreen::pipeline::{Replication, ReplicationConfig};
use bluegreen::sandbox::{Kind, Server};

/// No test takes as long.
const TEST_LIMIT: Duration = Duration::from_secs(20 * 60);

/// Ends the process where its test takes too long: a test that waits for what never comes has to say so, by name.
struct Watchdog {
    _alive: mpsc::Sender<()>,
}

impl Watchdog {
    fn start() -> Watchdog {
        // A test's thread has its name.
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        let (_alive, ended) = mpsc::channel::<()>();
        std::thread::spawn(move || {
            if ended.recv_timeout(TEST_LIMIT) == Err(mpsc::RecvTimeoutError::Timeout) {
                eprintln!("{test} has not ended within {} s", TEST_LIMIT.as_secs());
                std::process::exit(101);
            }
        });
        Watchdog { _alive }
    }
}

/// Two servers, the second to become the first's green.
pub struct Pair {
    pub blue: Server,
    pub green: Server,
    _watchdog: Watchdog,
}

impl Pair {
    pub async fn start(blue: Kind, green: Kind) -> Pair {
        Pair::with_gtid(blue, green, true).await
    }

    pub async fn with_gtid(blue: Kind, green: Kind, gtid: bool) -> Pair {
        let blue = Server::builder(blue).gtid(gtid).start();
        let green = Server::builder(green).gtid(gtid).start();
        let (blue, green) = tokio::join!(blue, green);
        Pair::of(blue.unwrap(), green.unwrap())
    }

    /// Of servers that are there.
    pub fn of(blue: Server, green: Server) -> Pair {
        Pair { blue, green, _watchdog: Watchdog::start() }
    }

    pub fn blue_url(&self) -> ServerUrl {
        self.blue.url().parse().unwrap()
    }

    pub fn green_url(&self) -> ServerUrl {
        self.green.url().parse().unwrap()
    }

    /// Builds green.
    pub async fn create(&self) {
        let config = CreateConfig::new("mydb1", self.blue_url(), self.green_url()).unwrap();
        Box::pin(create(&config, |_| {})).await.unwrap();
    }

    pub fn config(&self) -> ReplicationConfig {
        ReplicationConfig::new(self.blue_url(), self.green_url())
    }

    pub async fn replicate(&self) -> Replication {
        Box::pin(Replication::start(self.config())).await.unwrap()
    }

    /// The program, replicating, with the servers' addresses in its environment.
    pub fn engine(&self, arguments: &[&str]) -> Child {
        Command::new(env!("CARGO_BIN_EXE_bluegreen"))
            .arg("replicate")
            .args(arguments)
            .env("BLUEGREEN_BLUE", self.blue.url())
            .env("BLUEGREEN_GREEN", self.green.url())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Makes green a replica of blue by the servers' own means.
    pub async fn follow_natively(&self) {
        let port = self.blue.port();
        let source = match self.green.kind().is_mariadb() {
            true => format!(
                "MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={port}, MASTER_USER='root', MASTER_USE_GTID=slave_pos"
            ),
            false => format!(
                "REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT={port}, SOURCE_USER='root', \
                 SOURCE_AUTO_POSITION=1, GET_SOURCE_PUBLIC_KEY=1"
            ),
        };
        self.green.sql(&format!("CHANGE {source}")).await.unwrap();
        self.native("START").await;
    }

    /// `START` or `STOP`: the replication that [`follow_natively`](Self::follow_natively) set up.
    pub async fn native(&self, verb: &str) {
        let word = if self.green.kind().is_mariadb() { "SLAVE" } else { "REPLICA" };
        self.green.sql(&format!("{verb} {word}")).await.unwrap();
    }

    /// Waits until such a replica holds all that blue has now.
    pub async fn level_natively(&self) {
        let (position, wait) = match self.green.kind().is_mariadb() {
            true => ("SELECT @@gtid_binlog_pos", "MASTER_GTID_WAIT"),
            false => ("SELECT @@gtid_executed", "WAIT_FOR_EXECUTED_GTID_SET"),
        };
        let position = self.blue.sql(position).await.unwrap().replace("\\n", "");
        assert_eq!(self.green.sql(&format!("SELECT {wait}('{position}', 60)")).await.unwrap(), "0", "not level");
    }

    /// Waits until green holds all that blue has now.
    pub async fn level(&self, replication: &Replication) {
        let head = head(&self.blue).await;
        let reached = tokio::time::timeout(Duration::from_secs(120), replication.reached(&head)).await;
        if let Err(error) = reached.expect("green does not reach blue's head") {
            panic!("{error}; state {:?}", replication.progress().borrow().state);
        }
    }

    /// Every row of every table is the same on both, byte for byte.
    pub async fn assert_same(&self) {
        assert_same(&self.blue, &self.green).await;
    }
}

/// Where a server's log ends, asked of the server itself.
pub async fn head(server: &Server) -> Position {
    let statement = if server.kind() == Kind::MySql97 { "SHOW BINARY LOG STATUS" } else { "SHOW MASTER STATUS" };
    let status = server.sql(statement).await.unwrap();
    let columns: Vec<&str> = status.split('\t').collect();
    let coordinates = bluegreen::model::Coordinates::new(columns[0], columns[1].parse().unwrap());
    let gtid = match server.kind().is_mariadb() {
        true => Some(server.sql("SELECT @@gtid_binlog_pos").await.unwrap()),
        false => columns.get(4).map(|text| text.replace("\\n", "")).filter(|text| !text.is_empty()),
    };
    let flavor = match server.kind().is_mariadb() {
        true => bluegreen::model::Flavor::MariaDb,
        false => bluegreen::model::Flavor::MySql,
    };
    let gtid = gtid.map(|text| bluegreen::model::GtidPosition::parse(flavor, &text).unwrap());
    Position::new(coordinates, gtid)
}

/// Compares all schemas but the servers' own with plain SELECTs: names, rows, bytes.
pub async fn assert_same(blue: &Server, green: &Server) {
    let tables = tables(blue).await;
    assert_eq!(tables, self::tables(green).await, "the tables differ");
    assert!(!tables.is_empty(), "there is nothing to compare");
    for table in tables {
        let (on_blue, on_green) = tokio::join!(rows(blue, &table), rows(green, &table));
        if on_blue != on_green {
            let blue_lines: std::collections::BTreeSet<&str> = on_blue.lines().collect();
            let green_lines: std::collections::BTreeSet<&str> = on_green.lines().collect();
            let only_blue: Vec<_> = blue_lines.difference(&green_lines).take(5).collect();
            let only_green: Vec<_> = green_lines.difference(&blue_lines).take(5).collect();
            let checkpoint = green.sql("SELECT * FROM bluegreen.checkpoint").await;
            panic!(
                "{table:?} differs: only on blue {only_blue:#?}, only on green {only_green:#?}; checkpoint {checkpoint:?}; \
                 the last of it in blue's log: {:#?}",
                last_changes(blue, &table)
            );
        }
    }
}

/// What blue's own log has last of a table: whether green missed it, or blue lost it.
fn last_changes(blue: &Server, (schema, name): &(String, String)) -> Vec<String> {
    const SHOWN: usize = 40;
    let files = std::fs::read_dir(blue.data_dir()).unwrap().map(|file| file.unwrap().path());
    let is_log = |path: &std::path::PathBuf| {
        path.file_stem().is_some_and(|stem| stem == "binlog") && path.extension().is_some_and(|ext| ext != "index")
    };
    let mut files: Vec<_> = files.filter(is_log).collect();
    files.sort();
    let shown = Command::new(env!("CARGO_BIN_EXE_bluegreen"))
        .args(["binlog", "--json", "--table", &format!("{schema}.{name}")])
        .args(files)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&shown.stdout);
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines[lines.len().saturating_sub(SHOWN)..].to_vec()
}

/// Schema and name of each table.
async fn tables(server: &Server) -> Vec<(String, String)> {
    let text = server
        .sql(
            "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA NOT IN ('mysql', 'sys', \
             'information_schema', 'performance_schema', 'bluegreen') ORDER BY 1, 2",
        )
        .await
        .unwrap();
    text.lines().filter_map(|line| line.split_once('\t')).map(|(schema, name)| (schema.into(), name.into())).collect()
}

/// All rows of a table as hexadecimal text, in an order that depends on the bytes alone.
pub async fn rows(server: &Server, (schema, name): &(String, String)) -> String {
    let columns = server
        .sql(&format!(
            "SELECT CONCAT('IFNULL(HEX(CAST(`', COLUMN_NAME, '` AS BINARY)),0x4e554c4c)') FROM information_schema.COLUMNS \
             WHERE TABLE_SCHEMA = '{schema}' AND TABLE_NAME = '{name}' ORDER BY ORDINAL_POSITION"
        ))
        .await
        .unwrap();
    let columns = columns.lines().collect::<Vec<_>>().join(",0x20,");
    let table = [schema, name].map(|name| format!("`{}`", name.replace('`', "``"))).join(".");
    let text = server.sql(&format!("SELECT CONCAT({columns}) FROM {table}")).await.unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}
