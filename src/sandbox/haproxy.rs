//! A throw-away HAProxy before servers, for tests of what drives it.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use super::directory::ServerDirectory;
use super::fetch::fetch_haproxy;
use super::port::Port;
use super::process::{POLL, Process};
use super::{SandboxError, SandboxErrorKind};

/// How long it may take to start.
const START_LIMIT: Duration = Duration::from_secs(20);

/// A running HAProxy with one backend, `db`, of the servers `blue` (ready) and `green` (in maintenance); dropping it ends
/// the process.
#[derive(Debug)]
pub struct HaProxyServer {
    // Dropped before the directory that it runs in.
    process: Process,
    port: Port,
    directory: ServerDirectory,
}

impl HaProxyServer {
    /// Starts it before two servers of this machine.
    ///
    /// # Errors
    /// Where it cannot be fetched or does not start.
    pub async fn start(blue: u16, green: u16) -> Result<Self, SandboxError> {
        let mut command = Box::pin(fetch_haproxy()).await?;
        let directory =
            ServerDirectory::create().map_err(|error| SandboxError::io("create a temporary folder", error))?;
        let port = Port::reserve()?;
        let (file, log) = (directory.path().join("haproxy.cfg"), directory.path().join("haproxy.log"));
        let configuration = format!(
            "global\n  stats socket {socket} level admin\n\
             defaults\n  mode tcp\n  timeout connect 5s\n  timeout queue 60s\n  timeout client 1h\n  timeout server 1h\n\
             frontend application\n  bind 127.0.0.1:{port}\n  default_backend db\n\
             backend db\n  server blue 127.0.0.1:{blue}\n  server green 127.0.0.1:{green} disabled\n",
            socket = directory.path().join("s").display(),
            port = port.number(),
        );
        fs::write(&file, configuration).map_err(|error| SandboxError::io("write HAProxy's configuration", error))?;
        command.arg("-db").arg("-f").arg(&file);
        let server = Self { process: Process::start(command, &log).await?, port, directory };
        let deadline = Instant::now() + START_LIMIT;
        while TcpStream::connect(server.address()).await.is_err() {
            if let Some(status) = server.process.ended() {
                let said = fs::read_to_string(&log).unwrap_or_default();
                let message = format!("HAProxy ended ({status}): {}", said.lines().last().unwrap_or_default());
                return Err(SandboxError::new(SandboxErrorKind::Start, message));
            }
            if Instant::now() >= deadline {
                return Err(SandboxError::new(SandboxErrorKind::Start, "HAProxy does not listen"));
            }
            sleep(POLL).await;
        }
        Ok(server)
    }

    /// Where applications connect to.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port.number())
    }

    /// The socket of its Runtime API.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("s")
    }

    /// Whether it still runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.process.ended().is_none()
    }
}
