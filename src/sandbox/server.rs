//! A server of one's own: its process, port and data.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use url::Url;

use super::directory::ServerDirectory;
use super::port::Port;
use super::process::{POLL, Process, Signal};
use super::program::option;
use super::template::{PATIENCE, create_data, failed};
use super::{Installation, Kind, SandboxError, SandboxErrorKind, fetch, session};

/// Settings of a [`Server`] that is not started yet; [`Server::builder`] makes one.
#[derive(Debug, Clone)]
#[must_use = "a server runs after `start`"]
pub struct ServerBuilder {
    kind: Kind,
    options: Vec<String>,
    gtid: bool,
    durable: bool,
    data: Option<PathBuf>,
}

impl ServerBuilder {
    /// Adds an option of the server program, such as `--max-connections=50`. Options given later win over earlier ones,
    /// and all of them over the sandbox's own. One that a data directory is made with, such as
    /// `--lower-case-table-names=1`, also holds for that.
    pub fn option(mut self, option: impl Into<String>) -> Self {
        self.options.push(option.into());
        self
    }

    /// Adds several options, as [`option`](Self::option) does.
    pub fn options<O: Into<String>>(mut self, options: impl IntoIterator<Item = O>) -> Self {
        self.options.extend(options.into_iter().map(Into::into));
        self
    }

    /// Whether MySQL writes GTIDs; it does by default. MariaDB always writes its own and heeds this not at all.
    pub fn gtid(mut self, gtid: bool) -> Self {
        self.gtid = gtid;
        self
    }

    /// Whether every commit is on disk before it is acknowledged (`sync_binlog=1`, `innodb_flush_log_at_trx_commit=1`).
    /// By default it is handed to the system only: a killed *process* loses nothing, a machine without power does.
    pub fn durable(mut self, durable: bool) -> Self {
        self.durable = durable;
        self
    }

    /// Keeps the data in that folder, which stays when the server is dropped. A folder that is missing is filled with
    /// fresh data; one that exists is used as it is, so it must hold data that suits the server.
    pub fn data_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.data = Some(folder.into());
        self
    }

    /// Fetches the server if need be, starts it, and returns once it answers.
    ///
    /// # Cancel safety
    /// A start that is dropped leaves no process and no folder; what was fetched so far is fetched again next time.
    ///
    /// # Errors
    /// [`SandboxErrorKind::Unavailable`] where the server cannot be had, [`SandboxErrorKind::Start`] with the last errors
    /// of its log where it ends or does not answer within 60 s, [`SandboxErrorKind::Io`].
    pub async fn start(self) -> Result<Server, SandboxError> {
        let installation = Box::pin(fetch(self.kind, &|_| {})).await?;
        let directory = ServerDirectory::create();
        let directory = Arc::new(directory.map_err(|error| SandboxError::io("create a server's folder", error))?);
        let data = match &self.data {
            Some(folder) => std::path::absolute(folder)
                .map_err(|error| SandboxError::io(format_args!("find the folder {}", folder.display()), error))?,
            None => directory.path().join("data"),
        };
        if !data.is_dir() {
            Box::pin(create_data(&installation, &self.options, &data, Arc::clone(&directory))).await?;
        }
        let socket = directory.path().join("s.sock");
        let port = Port::reserve()?;
        let mut server = Server { process: None, settings: self, installation, directory, data, socket, port };
        // Only a process that knows nothing of the reservation can take the port in between.
        for _ in 0..4 {
            match server.start().await {
                Err(_) if server.port_was_taken() => {
                    server.port = Port::reserve()?;
                    let _ = fs::remove_file(server.error_log());
                }
                started => return started.map(|()| server),
            }
        }
        server.start().await.map(|()| server)
    }
}

/// A running or stopped server with a data directory and a port of its own.
///
/// It listens on 127.0.0.1 and on a Unix socket; `root` has all privileges there and no password. Dropping it kills the
/// process and removes its folder, inside and outside of a runtime.
#[derive(Debug)]
pub struct Server {
    // Dropped first: the process has to be gone before its folder and its port are given back.
    process: Option<Process>,
    settings: ServerBuilder,
    installation: Installation,
    directory: Arc<ServerDirectory>,
    data: PathBuf,
    socket: PathBuf,
    port: Port,
}

impl Server {
    /// Settings of a server of that kind: GTIDs on, fresh data.
    pub fn builder(kind: Kind) -> ServerBuilder {
        ServerBuilder { kind, options: Vec::new(), gtid: true, durable: false, data: None }
    }

    /// Which server this is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.settings.kind
    }

    /// Its TCP port on 127.0.0.1, the same after every restart. Also its `server_id`.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Its Unix socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Its data directory, which also holds the binary logs (`binlog.000001` …).
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.data
    }

    /// Its programs.
    #[must_use]
    pub fn installation(&self) -> &Installation {
        &self.installation
    }

    /// Its address over TCP as root, `mysql://root@127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("mysql://root@127.0.0.1:{}", self.port())
    }

    /// Its address over TCP as somebody else. The account is the caller's to create.
    #[must_use]
    pub fn url_as(&self, user: &str, password: &str) -> String {
        address_as(&self.url(), user, password)
    }

    /// The file that the server writes its messages to.
    #[must_use]
    pub fn error_log(&self) -> PathBuf {
        self.directory.path().join("error.log")
    }

    /// Whether its process runs, be it paused.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.ended().is_none())
    }

    /// Starts the server again on the same port and the same data, and returns once it answers. Does nothing while it
    /// runs.
    ///
    /// # Cancel safety
    /// A start that is dropped leaves the server stopped.
    ///
    /// # Errors
    /// [`SandboxErrorKind::Start`] with the last errors of its log where it ends or does not answer within 60 s.
    pub async fn start(&mut self) -> Result<(), SandboxError> {
        if self.is_running() {
            return Ok(());
        }
        self.process = None;
        // A socket of a killed process would look like one that just refuses.
        let _ = fs::remove_file(&self.socket);
        let process = Process::start(self.command(), &self.error_log()).await?;
        self.answers(&process).await?;
        self.process = Some(process);
        Ok(())
    }

    /// Stops the server in order (SIGTERM) and waits until it is gone. Does nothing when it does not run.
    ///
    /// # Cancel safety
    /// A stop that is dropped was asked for all the same; call it again to wait for the end.
    ///
    /// # Errors
    /// [`SandboxErrorKind::Stop`] where it takes longer than 60 s; it is killed then.
    pub async fn stop(&mut self) -> Result<(), SandboxError> {
        let Some(process) = &self.process else {
            return Ok(());
        };
        process.signal(Signal::Terminate)?;
        // A paused process would never see the other signal.
        process.signal(Signal::Continue)?;
        let ended = process.wait(PATIENCE).await;
        self.process = None;
        match ended {
            Some(_) => Ok(()),
            None => {
                let message =
                    format!("{} did not stop within {} s and was killed", self.kind().label(), PATIENCE.as_secs());
                Err(SandboxError::new(SandboxErrorKind::Stop, message))
            }
        }
    }

    /// Kills the server (SIGKILL) as a crash would, and waits until it is gone. Does nothing when it does not run.
    ///
    /// # Cancel safety
    /// Never waits for anything but the end of the process.
    ///
    /// # Errors
    /// [`SandboxErrorKind::Io`] where the signal cannot be sent.
    pub async fn kill(&mut self) -> Result<(), SandboxError> {
        let Some(process) = &self.process else {
            return Ok(());
        };
        process.signal(Signal::Kill)?;
        process.wait(PATIENCE).await;
        self.process = None;
        Ok(())
    }

    /// Stops the server in order and starts it again.
    ///
    /// # Errors
    /// Those of [`stop`](Self::stop) and [`start`](Self::start).
    pub async fn restart(&mut self) -> Result<(), SandboxError> {
        self.stop().await?;
        self.start().await
    }

    /// Freezes the process (SIGSTOP): connections stay open and nothing answers.
    ///
    /// # Errors
    /// [`SandboxErrorKind::NotRunning`], [`SandboxErrorKind::Io`].
    pub fn pause(&self) -> Result<(), SandboxError> {
        self.running()?.signal(Signal::Stop)
    }

    /// Lets a paused process go on (SIGCONT).
    ///
    /// # Errors
    /// [`SandboxErrorKind::NotRunning`], [`SandboxErrorKind::Io`].
    pub fn resume(&self) -> Result<(), SandboxError> {
        self.running()?.signal(Signal::Continue)
    }

    /// Runs statements as root over the socket, in a session of its own, and returns the rows as text, as the client
    /// programs do in batch mode: a line a row without a line end after the last, fields between tabs, `NULL`, no
    /// headers, and tab, line end, zero and backslash within a field as `\t`, `\n`, `\0` and `\\`. Several statements
    /// stand between semicolons; there is no `delimiter`, so a routine's body is a statement of its own.
    ///
    /// # Cancel safety
    /// Dropping it closes the session; the statement may or may not take effect.
    ///
    /// # Errors
    /// [`SandboxErrorKind::Statement`] with the server's error number, [`SandboxErrorKind::Connection`],
    /// [`SandboxErrorKind::NotRunning`].
    pub async fn sql(&self, statement: &str) -> Result<String, SandboxError> {
        self.running()?;
        session::query(&self.socket, statement).await
    }

    /// Runs one of the server's own programs to its end, such as `mysqlbinlog`, with `--no-defaults` and then `arguments`.
    /// The server need not run; a client program finds it at [`socket`](Self::socket).
    ///
    /// # Cancel safety
    /// Dropping it kills the program.
    ///
    /// # Errors
    /// [`SandboxErrorKind::NoProgram`] where the package has none of that name, [`SandboxErrorKind::Io`] where it cannot
    /// be run. That it ran and failed is told by the output's status.
    pub async fn tool<A: AsRef<OsStr>>(&self, program: &str, arguments: &[A]) -> Result<Output, SandboxError> {
        let mut command = self.installation.program(program)?;
        command.arg("--no-defaults").args(arguments);
        let running = tokio::process::Command::from(command).kill_on_drop(true).output();
        running.await.map_err(|error| SandboxError::io(format_args!("run {program}"), error))
    }

    /// Leaves the server's folder (log, data) in place when it is dropped, and returns it. The process is killed all the
    /// same.
    pub fn keep(&mut self) -> &Path {
        self.directory.keep();
        self.directory.path()
    }

    fn running(&self) -> Result<&Process, SandboxError> {
        self.process.as_ref().filter(|process| process.ended().is_none()).ok_or_else(|| {
            SandboxError::new(SandboxErrorKind::NotRunning, format!("{} is not running", self.kind().label()))
        })
    }

    /// The command that runs the server, for starting a kept one by hand.
    #[must_use]
    pub fn command(&self) -> Command {
        let folder = self.directory.path();
        let mut command = self.installation.server(&self.data);
        command.arg(option("--socket", &self.socket)).arg(option("--pid-file", &folder.join("pid")));
        command.arg(option("--tmpdir", &folder.join("tmp"))).arg(option("--log-error", &self.error_log()));
        command.args([format!("--port={}", self.port()), format!("--server-id={}", self.port())]);
        command.args(default_options(&self.settings)).args(&self.settings.options);
        command
    }

    /// Waits until the server takes connections and answers a statement.
    async fn answers(&self, process: &Process) -> Result<(), SandboxError> {
        let failed = |doing: &str| failed(self.kind(), doing, &self.error_log());
        let deadline = Instant::now() + PATIENCE;
        loop {
            // Looked at last, so that a server that took the port before this one is not taken for it.
            let ready = answers_over(&self.socket).await && greets(self.port()).await;
            if process.ended().is_some() {
                return Err(failed("start"));
            }
            if ready {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(failed(&format!("answer within {} s of its start", PATIENCE.as_secs())));
            }
            sleep(POLL).await;
        }
    }

    fn port_was_taken(&self) -> bool {
        let log = fs::read(self.error_log()).unwrap_or_default();
        String::from_utf8_lossy(&log).contains("Address already in use")
    }
}

fn default_options(settings: &ServerBuilder) -> Vec<&'static str> {
    let mut options = vec![
        "--bind-address=127.0.0.1",
        "--skip-name-resolve",
        "--character-set-server=utf8mb4",
        "--log-bin=binlog",
        "--relay-log=relay",
        "--binlog-format=ROW",
        "--binlog-row-image=FULL",
        "--binlog-checksum=CRC32",
        "--innodb-buffer-pool-size=128M",
    ];
    match settings.kind {
        Kind::MySql97 => options.extend(["--binlog-row-metadata=FULL", "--mysqlx=OFF"]),
        Kind::MySql56 => options.push("--log-slave-updates"),
        _ => options.extend(["--binlog-row-metadata=FULL", "--log-slave-updates"]),
    }
    if !settings.kind.is_mariadb() {
        // Off is spelled out too: MySQL 9.7 writes GTIDs by default.
        options.extend(if settings.gtid {
            ["--gtid-mode=ON", "--enforce-gtid-consistency=ON"]
        } else {
            ["--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"]
        });
    }
    options.extend(if settings.durable {
        ["--sync-binlog=1", "--innodb-flush-log-at-trx-commit=1"]
    } else {
        ["--sync-binlog=0", "--innodb-flush-log-at-trx-commit=2"]
    });
    options
}

/// Whether something on that port of 127.0.0.1 speaks first, as servers do.
async fn greets(port: u16) -> bool {
    let greeting = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.read_u8().await
    };
    matches!(timeout(Duration::from_secs(2), greeting).await, Ok(Ok(_)))
}

/// Whether the server answers over its socket. To refuse is an answer: the accounts of a caller's data are the caller's.
async fn answers_over(socket: &Path) -> bool {
    match timeout(Duration::from_secs(5), session::query(socket, "select 1")).await {
        Ok(Ok(_)) => true,
        Ok(Err(error)) => error.kind() == SandboxErrorKind::Statement,
        Err(_) => false,
    }
}

fn address_as(address: &str, user: &str, password: &str) -> String {
    let Ok(mut url) = Url::parse(address) else {
        return address.to_owned();
    };
    // These fail for addresses without a host only.
    let _ = url.set_username(user);
    let _ = url.set_password(Some(password).filter(|password| !password.is_empty()));
    url.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_escaped_in_an_address() {
        let address = "mysql://root@127.0.0.1:3306";
        assert_eq!(address_as(address, "app", ""), "mysql://app@127.0.0.1:3306");
        assert_eq!(address_as(address, "a@b", "p:/ä"), "mysql://a%40b:p%3A%2F%C3%A4@127.0.0.1:3306");
    }

    #[test]
    fn gtids_and_durability_are_choices() {
        let options = |builder: ServerBuilder| default_options(&builder).join(" ");
        assert!(options(Server::builder(Kind::MySql56)).contains("--gtid-mode=ON"));
        assert!(options(Server::builder(Kind::MySql56).gtid(false)).contains("--gtid-mode=OFF"));
        assert!(!options(Server::builder(Kind::MariaDb118)).contains("gtid"));
        assert!(options(Server::builder(Kind::MySql97).durable(true)).contains("--sync-binlog=1"));
    }
}
