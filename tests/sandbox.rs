//! The sandbox's promises, on real servers of every kind.
#![cfg(feature = "sandbox")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bluegreen::sandbox::{Kind, SandboxError, SandboxErrorKind, Server, fetch};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// The version that a kind's server begins with, unless it is the machine's own.
fn version(kind: Kind) -> &'static str {
    match kind {
        Kind::MySql97 => "9.7.",
        Kind::MySql56 => "5.6.",
        Kind::MariaDb105 => "10.5.",
        Kind::MariaDb1011 => "10.11.",
        Kind::MariaDb118 => "11.8.",
        _ => unreachable!("a kind without a test"),
    }
}

async fn lives_and_dies(kind: Kind) -> Outcome {
    Box::pin(fetch(kind, &|line| eprintln!("{line}"))).await?;
    let began = Instant::now();
    let mut server = Server::builder(kind).start().await?;
    eprintln!("{kind}: first start {:?}", began.elapsed());
    let again = Instant::now();
    drop(Server::builder(kind).start().await?);
    eprintln!("{kind}: start from the template {:?}", again.elapsed());

    // It is what its kind says, and a full replication source.
    let answer = server.sql("select version()").await?;
    assert!(answer.starts_with(version(kind)), "{answer}");
    let settings = "select @@log_bin, @@binlog_format, @@binlog_row_image, @@binlog_checksum, @@server_id";
    assert_eq!(server.sql(settings).await?, format!("1\tROW\tFULL\tCRC32\t{}", server.port()));
    if !kind.is_mariadb() {
        assert_eq!(server.sql("select @@gtid_mode, @@global.gtid_executed").await?, "ON\t");
    }
    let accounts = "select user, host from mysql.user where user in ('', 'root') order by host";
    assert_eq!(server.sql(accounts).await?, "root\t127.0.0.1\nroot\tlocalhost");
    assert_eq!(server.sql("show schemas like 'test'").await?, "");

    // Root gets in over TCP without a password, and may grant what it has.
    let mut session = Conn::new(Opts::from_url(&server.url())?).await?;
    session.query_drop("create user app@'127.0.0.1' identified by 'p:/w'").await?;
    session.query_drop("grant select on *.* to app@'127.0.0.1'").await?;
    session.disconnect().await?;
    let mut session = Conn::new(Opts::from_url(&server.url_as("app", "p:/w"))?).await?;
    assert_eq!(session.query_first::<String, _>("select user()").await?.as_deref(), Some("app@127.0.0.1"));
    session.disconnect().await?;

    // A committed row outlives a crash and an orderly stop.
    server.sql("create schema shop; create table shop.item (id int primary key, name text)").await?;
    server.sql("insert into shop.item values (1, 'a\tb'), (2, null)").await?;
    let (port, folder) = (server.port(), server.data_dir().to_owned());
    server.kill().await?;
    assert!(!server.is_running());
    let refused = server.sql("select 1").await.unwrap_err();
    assert_eq!(refused.kind(), SandboxErrorKind::NotRunning);
    server.start().await?;
    assert_eq!(server.port(), port);
    assert_eq!(server.sql("select * from shop.item order by id").await?, "1\ta\\tb\n2\tNULL");
    server.restart().await?;
    assert_eq!(server.sql("select count(*) from shop.item").await?, "2");

    // Its own programs read its binary log; MySQL 5.6's package has none.
    let log = folder.join("binlog.000001");
    match server.tool("mysqlbinlog", &[&log]).await {
        Ok(output) => {
            assert!(output.status.success(), "{output:?}");
            assert!(String::from_utf8_lossy(&output.stdout).contains("create schema shop"));
        }
        Err(error) => {
            assert_eq!((kind, error.kind()), (Kind::MySql56, SandboxErrorKind::NoProgram), "{error}");
        }
    }

    // Nothing is left of it.
    let process = process_of(&server);
    assert!(Path::new("/proc").join(&process).exists());
    drop(server);
    assert!(!folder.exists());
    assert!(!Path::new("/proc").join(&process).exists());
    Ok(())
}

fn process_of(server: &Server) -> String {
    let file = server.socket().with_file_name("pid");
    std::fs::read_to_string(file).expect("a running server's process file").trim().to_owned()
}

#[tokio::test]
async fn mysql_9_7_lives_and_dies() -> Outcome {
    lives_and_dies(Kind::MySql97).await
}

#[tokio::test]
async fn mysql_5_6_lives_and_dies() -> Outcome {
    lives_and_dies(Kind::MySql56).await
}

#[tokio::test]
async fn mariadb_10_5_lives_and_dies() -> Outcome {
    lives_and_dies(Kind::MariaDb105).await
}

#[tokio::test]
async fn mariadb_10_11_lives_and_dies() -> Outcome {
    lives_and_dies(Kind::MariaDb1011).await
}

#[tokio::test]
async fn mariadb_11_8_lives_and_dies() -> Outcome {
    lives_and_dies(Kind::MariaDb118).await
}

#[tokio::test]
async fn copies_of_a_template_are_servers_of_their_own() -> Result<(), SandboxError> {
    let (one, two) = tokio::join!(Server::builder(Kind::MySql97).start(), Server::builder(Kind::MySql97).start());
    let (one, two) = (one?, two?);
    assert_ne!(one.port(), two.port());
    assert_ne!(one.sql("select @@server_uuid").await?, two.sql("select @@server_uuid").await?);
    Ok(())
}

#[tokio::test]
async fn the_callers_options_win() -> Result<(), SandboxError> {
    let server = Server::builder(Kind::MySql97)
        .gtid(false)
        .durable(true)
        .option("--lower-case-table-names=1")
        .option("--binlog-row-image=MINIMAL")
        .start()
        .await?;
    let settings = "select @@gtid_mode, @@sync_binlog, @@lower_case_table_names, @@binlog_row_image";
    assert_eq!(server.sql(settings).await?, "OFF\t1\t1\tMINIMAL");
    Ok(())
}

#[tokio::test]
async fn a_server_that_cannot_start_says_why_at_once() {
    let began = Instant::now();
    let error = Server::builder(Kind::MariaDb1011).option("--no-such-option").start().await.unwrap_err();
    assert_eq!(error.kind(), SandboxErrorKind::Start);
    assert!(error.to_string().contains("no-such-option"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn a_refused_statement_keeps_its_number() -> Result<(), SandboxError> {
    let server = Server::builder(Kind::MariaDb1011).start().await?;
    let error = server.sql("select 1; select * from mysql.nowhere").await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (SandboxErrorKind::Statement, Some(1146)));
    Ok(())
}

#[tokio::test]
async fn a_paused_server_answers_when_it_is_resumed() -> Result<(), SandboxError> {
    let mut server = Server::builder(Kind::MariaDb1011).start().await?;
    server.pause()?;
    let asked = tokio::time::timeout(Duration::from_millis(200), server.sql("select 1")).await;
    assert!(asked.is_err(), "a paused server answered");
    assert!(server.is_running());
    server.resume()?;
    assert_eq!(server.sql("select 1").await?, "1");
    server.pause()?;
    server.stop().await?;
    assert!(!server.is_running());
    Ok(())
}

#[tokio::test]
async fn data_of_the_callers_own_stays() -> Outcome {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let server = Server::builder(Kind::MariaDb1011).data_dir(&data).start().await?;
    server.sql("create schema shop").await?;
    drop(server);
    let server = Server::builder(Kind::MariaDb1011).data_dir(&data).start().await?;
    assert_eq!(server.sql("show schemas like 'shop'").await?, "shop");
    drop(server);
    assert!(data.is_dir());
    Ok(())
}

#[test]
fn a_server_is_dropped_outside_of_a_runtime() -> Outcome {
    let runtime = tokio::runtime::Runtime::new()?;
    let server = runtime.block_on(Server::builder(Kind::MariaDb1011).start())?;
    drop(runtime);
    let process = process_of(&server);
    assert!(server.is_running());
    drop(server);
    assert!(!Path::new("/proc").join(process).exists());
    Ok(())
}

/// Run by the next test in a process of its own, which that test kills.
#[tokio::test]
#[ignore = "never ends by itself"]
async fn runs_a_server_until_killed() -> Outcome {
    let server = Server::builder(Kind::MariaDb1011).start().await?;
    println!("process {} {}", process_of(&server), server.data_dir().display());
    std::future::pending().await
}

#[test]
fn a_server_dies_with_the_process_that_started_it() -> Outcome {
    use std::io::{BufRead, BufReader};
    let mut child = Command::new(std::env::current_exe()?)
        .args(["runs_a_server_until_killed", "--exact", "--ignored", "--nocapture"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
    let line =
        lines.map_while(Result::ok).find_map(|line| line.split_once("process ").map(|(_, rest)| rest.to_owned()));
    let line = line.ok_or("the server did not start")?;
    let (process, data) = line.split_once(' ').ok_or("no data directory")?;
    let running = Path::new("/proc").join(process).join("task");
    assert!(running.exists());
    child.kill()?;
    child.wait()?;
    let began = Instant::now();
    while is_alive(process) {
        assert!(began.elapsed() < Duration::from_secs(20), "the server outlives its parent");
        std::thread::sleep(Duration::from_millis(20));
    }
    // A killed process cannot clean up; the next one does.
    std::fs::remove_dir_all(Path::new(data).parent().ok_or("no folder")?)?;
    Ok(())
}

/// Whether the process runs; one that has ended and that nobody has asked about yet does not.
fn is_alive(process: &str) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    state.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}
