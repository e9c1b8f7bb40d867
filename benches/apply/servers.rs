//! Blue and two greens with the same data.

use std::fs;
use std::path::Path;
use std::time::Duration;

use bluegreen::sandbox::{Kind, Server};
use mysql_async::Conn;
use tempfile::TempDir;

use crate::data::Tables;
use crate::{Size, engine, native, process};

/// Of the servers' own replication.
const WORKERS: u32 = 4;

pub(crate) struct Trio {
    pub(crate) blue: Server,
    /// Replicates by itself.
    pub(crate) native: Server,
    /// Is replicated to by the engine.
    pub(crate) green: Server,
    /// The GTIDs that the greens began with.
    pub(crate) start: String,
    // Dropped last.
    _folder: TempDir,
}

impl Trio {
    /// Fills blue with `tables`, copies it, and starts all three.
    pub(crate) async fn start(kind: Kind, tables: &[&Tables], size: Size) -> Trio {
        let folder = tempfile::tempdir().unwrap();
        let [blue, native, green] = ["blue", "native", "green"].map(|name| folder.path().join(name));
        let mut blue_server = server(kind, &blue, 1).await;
        crate::latency::create_marker(&blue_server).await;
        let mut filled = Vec::new();
        for tables in tables {
            if !filled.contains(&tables.schema) {
                filled.push(tables.schema);
                tables.fill(&blue_server, size).await;
            }
        }
        blue_server.stop().await.unwrap();
        for copy in [&native, &green] {
            copy_folder(&blue, copy);
            // The server's own identity; where there is none, it makes a new one.
            let _ = fs::remove_file(copy.join("auto.cnf"));
        }
        blue_server.start().await.unwrap();
        let native = server(kind, &native, 2).await;
        let green = server(kind, &green, 3).await;
        let start = head(&blue_server).await;
        if kind.is_mariadb() {
            native.sql(&format!("SET GLOBAL gtid_slave_pos = '{start}'")).await.unwrap();
        }
        let trio = Trio { blue: blue_server, native, green, start, _folder: folder };
        // Both have been set up once before anything is measured.
        let target = trio.blue_head().await;
        native::catch_up(&trio.native, trio.blue.port(), &target).await;
        engine::catch_up(&trio.blue.url(), &trio.green.url(), &trio.start, (1, false), trio.green_pid()).await;
        trio
    }

    pub(crate) async fn blue_head(&self) -> String {
        head(&self.blue).await
    }

    pub(crate) fn green_pid(&self) -> u32 {
        process::of_server(&self.green)
    }

    /// Leaves blue and the native replica running, with nothing left to do from before.
    pub(crate) async fn only_native(&self) {
        self.native.resume().unwrap();
        self.green.resume().unwrap();
        for server in [&self.blue, &self.native, &self.green] {
            write_pages(server).await;
        }
        self.green.pause().unwrap();
    }

    /// Leaves blue and the engine's green running, with nothing left to do from before.
    pub(crate) async fn only_green(&self) {
        self.green.resume().unwrap();
        write_pages(&self.native).await;
        self.native.pause().unwrap();
    }
}

/// Waits until the server has written its changed pages: a work that would be the next one's otherwise.
async fn write_pages(server: &Server) {
    server.sql("SET GLOBAL innodb_max_dirty_pages_pct = 0, GLOBAL innodb_io_capacity = 20000").await.unwrap();
    // Servers that do nothing keep some.
    for _ in 0..200 {
        let pages = server.sql("SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_pages_dirty'").await.unwrap();
        if pages.split('\t').nth(1).unwrap().parse::<u64>().unwrap() < 50 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let defaults = ["max_dirty_pages_pct", "max_dirty_pages_pct_lwm", "io_capacity", "io_capacity_max"];
    let defaults = defaults.map(|name| format!("GLOBAL innodb_{name} = DEFAULT")).join(", ");
    server.sql(&format!("SET {defaults}")).await.unwrap();
}

pub(crate) async fn connect(server: &Server) -> Conn {
    Conn::from_url(server.url()).await.unwrap()
}

/// The GTIDs of all that a server has in its log.
async fn head(server: &Server) -> String {
    let variable = if server.kind().is_mariadb() { "gtid_binlog_pos" } else { "gtid_executed" };
    server.sql(&format!("SELECT @@GLOBAL.{variable}")).await.unwrap().replace("\\n", "")
}

async fn server(kind: Kind, folder: &Path, id: u32) -> Server {
    let workers = match kind.is_mariadb() {
        true => [
            "--log-slave-updates=ON".into(),
            format!("--slave-parallel-threads={WORKERS}"),
            "--slave-parallel-mode=optimistic".into(),
        ],
        false => [
            "--skip-replica-start=ON".into(),
            format!("--replica-parallel-workers={WORKERS}"),
            "--replica-preserve-commit-order=ON".into(),
        ],
    };
    let builder = Server::builder(kind).durable(true).data_dir(folder).options(workers);
    let builder = builder.option(format!("--server-id={id}")).option("--max-binlog-size=1G");
    // All rows fit in memory.
    builder.option("--innodb-buffer-pool-size=1G").start().await.unwrap()
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy_folder(&entry.path(), &to.join(entry.file_name()));
        } else if kind.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}
